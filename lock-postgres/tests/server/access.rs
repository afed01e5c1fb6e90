//! Who may come in, and what one is told who may not.

use std::sync::Arc;

use lock_core::{Backend, Error, ErrorKind, Locker, Result};
use lock_postgres::{Options, Postgres};
use rstest::rstest;

use crate::help::{LIMIT, LONG, as_user, claim, database, number, run, store, text, unique, within};

const SECRET: &str = "Sesame-0pen";

/// What the README says that a user needs.
const RIGHTS: [(&str, &str); 7] = [
    ("USAGE", "SCHEMA locks"),
    ("SELECT", "TABLE locks.claims"),
    ("INSERT", "TABLE locks.claims"),
    ("UPDATE", "TABLE locks.claims"),
    ("DELETE", "TABLE locks.claims"),
    ("USAGE", "SEQUENCE locks.claims_number"),
    ("UPDATE", "SEQUENCE locks.claims_number"),
];

/// A user who may do nothing but what is said.
async fn user_with(url: &str, rights: impl IntoIterator<Item = (&str, &str)>) -> String {
    let user = unique("mere");
    run(url, &format!("CREATE ROLE {user} LOGIN")).await;
    for (right, on) in rights {
        run(url, &format!("GRANT {right} ON {on} TO {user}")).await;
    }
    as_user(url, &user)
}

/// Everything that locks do.
async fn everything(url: &str) -> Result<()> {
    conformance_tests::everything(Arc::new(Postgres::connect(url).await?)).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_with_the_needed_rights_alone_can_do_everything() {
    let url = database().await;
    store(&url).await;
    let mere = user_with(&url, RIGHTS).await;
    within(everything(&mere)).await.expect("allowed");
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn each_right_that_is_missing_is_named(#[values(0, 1, 2, 3, 4, 5, 6)] missing: usize) {
    let url = database().await;
    store(&url).await;
    let rights = RIGHTS.into_iter().enumerate().filter(|(n, _)| *n != missing).map(|(_, right)| right);
    let mere = user_with(&url, rights).await;
    let error = within(Postgres::connect(&mere)).await.expect_err("a right is missing");
    assert_eq!(error.kind(), ErrorKind::Backend);
    let (right, on) = RIGHTS[missing];
    let what = on.split(' ').next().expect("a word").to_lowercase();
    assert!(error.to_string().contains(&format!("lacks {right} on ")), "{error}");
    assert!(error.to_string().contains(&what), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_who_may_not_make_the_table_is_told_so_and_somebody_else_can() {
    let url = database().await;
    let mere = user_with(&url, []).await;
    let error = within(Postgres::connect(&mere)).await.expect_err("there is no table");
    assert_eq!(error.kind(), ErrorKind::Backend);
    assert!(error.to_string().contains(r#"the table "locks"."claims" is missing"#), "{error}");
    assert!(error.to_string().contains("may not make it"), "{error}");

    run(&url, &Options::default().script().expect("good names")).await;
    let user = mere.split(['/', '@']).nth(2).expect("a user");
    for (right, on) in RIGHTS {
        run(&url, &format!("GRANT {right} ON {on} TO {user}")).await;
    }
    within(everything(&mere)).await.expect("allowed");
}

#[rstest]
#[case::all("ALL FUNCTIONS IN SCHEMA locks", "permission denied for function claims_version")]
#[case::one("FUNCTION locks.claims_renew", "the user lacks EXECUTE on the functions")]
#[tokio::test(flavor = "multi_thread")]
async fn functions_that_may_not_be_called_are_named(#[case] revoked: &str, #[case] expected: &str) {
    let url = database().await;
    store(&url).await;
    run(&url, &format!("REVOKE EXECUTE ON {revoked} FROM public")).await;
    let error = within(Postgres::connect(user_with(&url, RIGHTS).await)).await.expect_err("it may not");
    assert_eq!(error.kind(), ErrorKind::Backend);
    assert!(error.to_string().contains(expected), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_who_may_create_in_the_schema_alone_makes_the_table() {
    let url = database().await;
    run(&url, "CREATE SCHEMA locks").await;
    let mere = user_with(&url, [("USAGE, CREATE", "SCHEMA locks")]).await;
    within(everything(&mere)).await.expect("allowed");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_goes_on_when_a_later_version_has_come() {
    let url = database().await;
    store(&url).await;
    let later = "CREATE OR REPLACE FUNCTION locks.claims_version() RETURNS integer LANGUAGE sql IMMUTABLE AS 'SELECT 99'";
    run(&url, later).await;
    within(everything(&url)).await.expect("what it knows is there");
    assert_eq!(number(&url, "SELECT locks.claims_version()").await, 99);
}

#[tokio::test(flavor = "multi_thread")]
async fn names_are_only_names() {
    let url = database().await;
    for (schema, table) in
        [(r#"a"; DROP SCHEMA locks; --"#, "claims"), ("A b", "Ünïcode 🔒 'q' \\"), ("{claims}", "x{key}")]
    {
        let options = Options::default().schema(schema).table(table);
        let (one, two) = (options.clone(), options);
        let one = Locker::new(within(one.connect(&url)).await.expect("connected")).with_ttl(LONG);
        let two = Locker::new(within(two.connect(&url)).await.expect("connected")).with_ttl(LONG);
        let held = within(one.lock("a").acquire()).await.expect("free in a table of its own");
        let waiter = tokio::spawn(two.lock("a").acquire());
        within(held.release()).await.expect("it was held");
        drop(within(waiter).await.expect("no panic").expect("granted"));
    }
    assert_eq!(number(&url, "SELECT count(*) FROM pg_namespace WHERE nspname = 'locks'").await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_label_that_the_database_cannot_store_fails_nobody() {
    let latin = unique("latin");
    let create = format!("CREATE DATABASE {latin} ENCODING 'LATIN1' TEMPLATE template0 LOCALE 'C'");
    run(crate::help::shared().url(), &create).await;
    let (server, _) = crate::help::shared().url().rsplit_once('/').expect("an address has a database");
    let url = format!("{server}/{latin}");
    let locks = Locker::new(store(&url).await).with_ttl(LONG);
    let held = within(locks.lock("ключ").label("имя a").acquire()).await.expect("granted");
    assert_eq!(text(&url, "SELECT label FROM locks.claims").await, "??? a");
    within(held.release()).await.expect("it was held");
}

#[tokio::test(flavor = "multi_thread")]
async fn many_who_come_first_make_one_table() {
    let url = database().await;
    let coming: Vec<_> =
        (0..8).map(|_| (url.clone(),)).map(|(url,)| tokio::spawn(async move { store(&url).await })).collect();
    for client in coming {
        client.await.expect("connected");
    }
    assert_eq!(number(&url, "SELECT count(*) FROM pg_class WHERE relname = 'claims'").await, 1);
}

fn silent_about_secrets(error: &Error) {
    for said in [format!("{error}"), format!("{error:?}")] {
        assert!(!said.contains(SECRET), "{said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_password_is_said() {
    let url = database().await;
    let with = url.replace("//postgres@", &format!("//postgres:{SECRET}@"));
    let store = store(&with).await;
    assert!(!format!("{store:?}").contains(SECRET));
    let pool = sqlx::PgPool::connect(&with).await.expect("a pool");
    assert!(!format!("{:?}", within(Postgres::from_pool(&pool)).await).contains(SECRET));
    let no_port = with.rsplit_once(':').expect("a port").0;
    for bad in [
        format!("{no_port}:1/postgres"),
        format!("{no_port}:port/postgres"),
        format!("{with}?sslmode=require"),
        format!("{with}_not"),
        with.replace("postgres:Sesame", "nobody:Sesame"),
        with.replace("127.0.0.1", "256.256.256.256"),
    ] {
        silent_about_secrets(&within(Postgres::connect(&bad)).await.expect_err(&bad));
    }
    pool.close().await;
    silent_about_secrets(&within(Postgres::from_pool(&pool)).await.expect_err("a closed pool"));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_encrypted_connection_that_cannot_be_is_an_error() {
    let url = format!("{}?sslmode=require", database().await);
    let error = within(Postgres::connect(&url)).await.expect_err("the server has no certificate");
    assert!(error.to_string().contains("sslmode=disable"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn no_owner_is_part_of_a_statement() {
    let url = database().await;
    run(&url, "CREATE EXTENSION pg_stat_statements").await;
    let store = store(&url).await;
    let claims: Vec<_> = (0..10).map(|n| claim(&format!("key/{n}"), LONG)).collect();
    for claim in &claims {
        within(store.acquire(claim)).await.expect("an answer");
        within(store.release(claim, LIMIT)).await.expect("an answer");
        let seen = "SELECT string_agg(query, ' ') FROM (SELECT query FROM pg_stat_statements UNION ALL SELECT query FROM pg_stat_activity) AS q";
        let seen = text(&url, seen).await;
        assert!(seen.contains("claims_take") && seen.contains("claims_release"));
        assert!(!seen.contains(&claim.owner().to_hex()));
    }
}
