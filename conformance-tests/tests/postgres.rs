//! The conformance run of the store in PostgreSQL.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use conformance_tests::{Line, Proxy, Server, Software, Subject, Users};
use lock_core::{Backend, Result};
use lock_postgres::Postgres;
use sqlx::{Connection, PgConnection};
use tokio::sync::OnceCell;

/// A server, and its address: alone in a process that did not start it.
struct InPostgres {
    url: String,
    _server: Option<Server>,
}

impl InPostgres {
    fn on(server: Server) -> Self {
        Self { url: server.url().to_owned(), _server: Some(server) }
    }
}

/// The users of a case, on a server of their own that is started for the first of them.
#[derive(Default)]
struct Roles(OnceCell<Server>);

/// What the README says that a user needs, for a role that all users have.
const RIGHTS: &str = "
    CREATE ROLE app;
    GRANT USAGE ON SCHEMA locks TO app;
    GRANT SELECT, INSERT, UPDATE, DELETE ON locks.claims TO app;
    GRANT USAGE, UPDATE ON SEQUENCE locks.claims_number TO app;";

impl Roles {
    async fn server(&self) -> &Server {
        let start = async || {
            let server = Server::with(Software::Postgres, &[]);
            // The first client makes the table.
            drop(Postgres::connect(server.url()).await.expect("the server is there"));
            run(&server, RIGHTS.to_owned()).await;
            server
        };
        self.0.get_or_init(start).await
    }
}

async fn run(server: &Server, statements: String) {
    let mut connection = PgConnection::connect(server.url()).await.expect("the server is there");
    sqlx::raw_sql(sqlx::AssertSqlSafe(statements))
        .execute(&mut connection)
        .await
        .expect("the server's own user may do it");
    connection.close().await.expect("the end of a connection");
}

#[async_trait]
impl Users for Roles {
    async fn address(&self, name: &str) -> String {
        let server = self.server().await;
        run(server, format!("CREATE ROLE {name} LOGIN IN ROLE app")).await;
        server.url().replace("//postgres@", &format!("//{name}@"))
    }
}

#[async_trait]
impl Subject for InPostgres {
    fn name(&self) -> &str {
        "postgres"
    }

    fn ttl(&self) -> Duration {
        Duration::from_secs(1)
    }

    async fn client(&self) -> Result<Arc<dyn Backend>> {
        Ok(Arc::new(Postgres::connect(&self.url).await?))
    }

    async fn cuttable(&self) -> Result<Option<(Arc<dyn Backend>, Arc<dyn Line>)>> {
        let proxy = Proxy::to(&self.url).await;
        Ok(Some((Arc::new(Postgres::connect(proxy.url()).await?), Arc::new(proxy))))
    }

    async fn alone(&self) -> Result<Option<Arc<dyn Subject>>> {
        Ok(Some(Arc::new(Self::on(Server::with(Software::Postgres, &[])))))
    }

    async fn connections(&self) -> Result<Option<usize>> {
        let mut connection = PgConnection::connect(&self.url).await.expect("the server is there");
        let count = "SELECT count(*) FROM pg_stat_activity
            WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()";
        let count: i64 = sqlx::query_scalar(count).fetch_one(&mut connection).await.expect("it tells");
        connection.close().await.expect("the end of a connection");
        Ok(usize::try_from(count).ok())
    }

    fn users(&self) -> Option<Box<dyn Users>> {
        Some(Box::new(Roles::default()))
    }

    fn address(&self) -> Option<String> {
        Some(self.url.clone())
    }
}

fn start(address: Option<String>) -> InPostgres {
    if let Some(url) = address {
        return InPostgres { url, _server: None };
    }
    InPostgres::on(Server::of(Software::Postgres))
}

fn main() -> ExitCode {
    conformance_tests::main(start)
}
