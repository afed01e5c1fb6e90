//! Where locks and data are: in files, or on servers that all tests of a process share.

use std::sync::LazyLock;

use conformance_tests::{Server, Software};
use examples::backend::Url;
use examples::place::drawn;
use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions as _, PgConnection};

/// Where the locks live, and the data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Store {
    /// The locks in a file beside the data, as without `--backend`.
    Sqlite,
    /// The locks on a server that all tests share, the data in a file.
    Redis,
    /// Both in a schema of a server that all tests share.
    Postgres,
    /// The locks in Redis, and the data in PostgreSQL.
    Apart,
    /// The locks in an etcd that all tests share, the data in a file.
    #[cfg(feature = "etcd")]
    Etcd,
}

/// One for all tests. Whatever was started for it ends when this process does. Started on a thread of its own: the first
/// test that wants it may be inside a runtime, where a container cannot be waited for.
static REDIS: LazyLock<Server> = LazyLock::new(|| aside(|| Server::of(Software::Redis)));

static POSTGRES: LazyLock<Server> = LazyLock::new(|| aside(|| Server::of(Software::Postgres)));

#[cfg(feature = "etcd")]
static ETCD: LazyLock<Server> = LazyLock::new(|| aside(|| Server::of(Software::Etcd)));

impl Store {
    /// The server of the locks, if there is one.
    pub(crate) fn server(self) -> Option<&'static str> {
        match self {
            Self::Sqlite => None,
            Self::Redis | Self::Apart => Some(REDIS.url()),
            Self::Postgres => Some(POSTGRES.url()),
            #[cfg(feature = "etcd")]
            Self::Etcd => Some(ETCD.url()),
        }
    }

    /// What a command line says of it, where it is not the default.
    pub(crate) fn backend(self) -> Vec<String> {
        self.server().map_or(Vec::new(), |url| vec!["--backend".to_owned(), url.to_owned()])
    }

    /// Whether the data is in PostgreSQL.
    pub(crate) fn has_schema(self) -> bool {
        matches!(self, Self::Postgres | Self::Apart)
    }

    /// Whether locks and data are in one PostgreSQL.
    pub(crate) fn is_one(self) -> bool {
        self == Self::Postgres
    }
}

/// A schema on the server that all tests share.
pub(super) fn schema(name: &str) -> Url {
    Url::from(POSTGRES.url().to_owned()).in_schema(name)
}

/// A database of its own on the server that all tests share.
pub(crate) struct Database(pub(crate) String);

impl Database {
    pub(crate) fn new() -> Self {
        let name = drawn("test_");
        run(POSTGRES.url(), &format!("CREATE DATABASE {name}"));
        let (server, _) = POSTGRES.url().rsplit_once('/').expect("an address with a database");
        Self(format!("{server}/{name}"))
    }

    /// What is in it.
    pub(crate) fn objects(&self) -> i64 {
        number(&self.0, "SELECT (SELECT count(*) FROM pg_namespace) + (SELECT count(*) FROM pg_class)")
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        let (_, name) = self.0.rsplit_once('/').expect("an address with a database");
        run(POSTGRES.url(), &format!("DROP DATABASE {name} WITH (FORCE)"));
    }
}

/// Has a PostgreSQL do something, in the schema that the address names.
pub(crate) fn run(url: &str, sql: &str) {
    let work = async {
        let mut connection = connect(url).await;
        sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(&mut connection).await.expect("good SQL");
    };
    apart(work);
}

pub(super) fn number(url: &str, sql: &str) -> i64 {
    let answer =
        async { sqlx::query_scalar(AssertSqlSafe(sql.to_owned())).fetch_one(&mut connect(url).await).await };
    apart(answer).expect("an answer")
}

async fn connect(url: &str) -> PgConnection {
    let url = Url::from(url.to_owned());
    let options: PgConnectOptions = url.server().parse().expect("an address");
    let schema = url.schema().unwrap_or("public");
    options.options([("search_path", schema)]).connect().await.expect("the server is there")
}

fn aside<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    std::thread::scope(|scope| scope.spawn(work).join().expect("no panic"))
}

/// Does it on a thread and in a runtime of its own: a test may be inside one.
pub(crate) fn apart<T: Send>(work: impl Future<Output = T> + Send) -> T {
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    aside(|| runtime().block_on(work))
}
