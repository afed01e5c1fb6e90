//! The versions of what locks are kept in: made where that is allowed, checked where it is not.

use lock_core::{Error, ErrorKind, Result};
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection, Row};
use tokio::time::timeout;

use crate::error::{code, explain, silent};
use crate::names::{Names, literal};
use crate::server::{BEGIN, PATIENCE, Session};

/// What each version adds to the one before it. What was released is never changed: a client of an older version goes on
/// with the functions that it knows.
const VERSIONS: &[&[&str]] = &[&[
    include_str!("schema.sql"),
    include_str!("release.sql"),
    include_str!("acquire.sql"),
    include_str!("alone.sql"),
    include_str!("renew.sql"),
    include_str!("sweep.sql"),
]];

/// The statements of all versions, for somebody who may make what a client may not.
pub(crate) fn script(names: &Names) -> String {
    let mut script = names.fill("CREATE SCHEMA IF NOT EXISTS {schema};\n");
    for version in 1..=VERSIONS.len() {
        script.push_str(&upgrade(names, version));
    }
    script
}

/// What leads from the version before to this one.
fn upgrade(names: &Names, version: usize) -> String {
    let said = format!(
        "CREATE OR REPLACE FUNCTION {{version}}() RETURNS integer LANGUAGE sql IMMUTABLE AS 'SELECT {version}';\n"
    );
    VERSIONS[version - 1].iter().copied().chain([&*said]).map(|part| names.fill(part)).collect()
}

/// Sees to it that everything is there, and that this user may use it. Answers whether every character can be stored.
pub(crate) async fn ready(session: &mut Session, names: &Names) -> Result<bool> {
    let connection = session.connection();
    let ready = async {
        let found = version(connection, names).await?;
        if found < VERSIONS.len() {
            make(connection, names).await.map_err(|error| cannot_make(error, names, found))?;
        }
        match ask_alone(connection, names.fill(LACKS)).await.map_err(explain)?.as_str() {
            "" => {}
            lacks => return Err(Error::new(ErrorKind::Backend, format!("the user lacks {lacks}"))),
        }
        let encoding = ask_alone(connection, "SELECT current_setting('server_encoding')".to_owned());
        Ok(encoding.await.map_err(explain)? == "UTF8")
    };
    timeout(PATIENCE * 4, ready).await.map_err(|_| silent())?
}

/// The version that is there; 0 for none.
async fn version(connection: &mut PgConnection, names: &Names) -> Result<usize> {
    let usable = format!(
        "SELECT coalesce(bool_and(has_schema_privilege(oid, 'USAGE')), true)::text FROM pg_namespace WHERE nspname = {}",
        literal(&names.schema)
    );
    if ask_alone(connection, usable).await.map_err(explain)? == "false" {
        let message = format!("the user lacks USAGE on schema {}", names.quoted("schema"));
        return Err(Error::new(ErrorKind::Backend, message));
    }
    let mut transaction = connection.begin_with(BEGIN).await.map_err(explain)?;
    let found = found(&mut transaction, names).await.map_err(explain)?;
    transaction.commit().await.map_err(explain)?;
    Ok(found)
}

/// The same in a transaction. What is not there is no error: after one the transaction would stand open as the role has it.
async fn found(transaction: &mut PgConnection, names: &Names) -> sqlx::Result<usize> {
    let known = format!(
        "SELECT count(*)::text FROM pg_proc WHERE proname = {}
        AND pronamespace = (SELECT oid FROM pg_namespace WHERE nspname = {})",
        literal(&format!("{}_version", names.table)),
        literal(&names.schema)
    );
    if ask(transaction, known).await? == "0" {
        return Ok(0);
    }
    Ok(ask(transaction, names.fill("SELECT {version}()::text")).await?.parse().unwrap_or(0))
}

/// Makes what is missing, all or nothing, one client at a time.
async fn make(connection: &mut PgConnection, names: &Names) -> sqlx::Result<()> {
    let mut transaction = connection.begin_with(BEGIN).await?;
    // It waits for others who do the same, and for those who use the table.
    let alone = "SET LOCAL statement_timeout = '15s'; SET LOCAL lock_timeout = '10s';
        SELECT pg_advisory_xact_lock(hashtext('lock-postgres'), hashtext({'claims'}))";
    transaction.execute(AssertSqlSafe(names.fill(alone))).await?;
    let schema = literal(&names.schema);
    let there = format!("SELECT count(*)::text FROM pg_namespace WHERE nspname = {schema}");
    // Asked first: for IF NOT EXISTS one has to have the right to make it.
    if ask(&mut transaction, there).await? == "0" {
        transaction.execute(AssertSqlSafe(names.fill("CREATE SCHEMA {schema}"))).await?;
    }
    let found = found(&mut transaction, names).await?;
    for version in found + 1..=VERSIONS.len() {
        transaction.execute(AssertSqlSafe(upgrade(names, version))).await?;
    }
    transaction.commit().await
}

fn cannot_make(error: sqlx::Error, names: &Names, found: usize) -> Error {
    if code(&error) != "42501" {
        return explain(error);
    }
    let what = match found {
        0 => format!("the table {} is missing", names.quoted("claims")),
        found => format!(
            "the table {} is of version {found}, {} is needed",
            names.quoted("claims"),
            VERSIONS.len()
        ),
    };
    let message = format!(
        "{what}, and the user may not make it ({}): connect once as a user who may, or run what Options::script says",
        explain(error)
    );
    Error::new(ErrorKind::Backend, message)
}

/// What a user must be allowed and is not.
const LACKS: &str = "
    SELECT coalesce(string_agg(what, ', '), '') FROM (VALUES
        ('SELECT on the table', has_table_privilege({'claims'}, 'SELECT')),
        ('INSERT on the table', has_table_privilege({'claims'}, 'INSERT')),
        ('UPDATE on the table', has_table_privilege({'claims'}, 'UPDATE')),
        ('DELETE on the table', has_table_privilege({'claims'}, 'DELETE')),
        ('USAGE on the sequence', has_sequence_privilege({'number'}, 'USAGE')),
        ('UPDATE on the sequence', has_sequence_privilege({'number'}, 'UPDATE')),
        ('EXECUTE on the functions', (
            SELECT bool_and(has_function_privilege(oid, 'EXECUTE')) FROM pg_proc
            WHERE pronamespace = (SELECT relnamespace FROM pg_class WHERE oid = {'claims'}::regclass)
                AND starts_with(proname, (SELECT relname FROM pg_class WHERE oid = {'claims'}::regclass) || '_')
        ))
    ) AS needed (what, granted) WHERE NOT granted";

/// The same in a transaction of its own, whatever the role has set.
async fn ask_alone(connection: &mut PgConnection, sql: String) -> sqlx::Result<String> {
    let mut transaction = connection.begin_with(BEGIN).await?;
    let answer = ask(&mut transaction, sql).await?;
    transaction.commit().await?;
    Ok(answer)
}

/// The one text that a statement answers; in the simple protocol, which a pooler understands.
async fn ask(connection: &mut PgConnection, sql: String) -> sqlx::Result<String> {
    connection.fetch_one(AssertSqlSafe(sql)).await?.try_get(0)
}
