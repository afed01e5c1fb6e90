//! Runs the program, or one of its workers, and waits for what it says.

use std::io::{BufRead as _, BufReader, Read, Write as _};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::LazyLock;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use conformance_tests::{Server, Software};
use examples::backend::Url;
use examples::data::{Proof, Sqlite, Tx};
use examples::options::{BACKEND, DATA};
use examples::place::{Home, Place, drawn};
use examples::trade::books::Books;
use examples::trade::check::{Findings, check};
use lock_core::{Guard, Locker};
use lock_postgres::RowWait;
use rusqlite::Connection;
use rustix::process::{Pid, Signal, kill_process};
use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions as _, PgConnection};
use tempfile::TempDir;

/// How long to wait for what must happen: on a busy machine everything takes its time.
pub(crate) const LIMIT: Duration = Duration::from_secs(60);

/// The program, with nothing of this process's own settings.
pub(crate) fn program() -> Command {
    let mut program = Command::new(env!("CARGO_BIN_EXE_trade"));
    for name in ["RUST_LOG", BACKEND, DATA] {
        program.env_remove(name);
    }
    program
}

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
}

/// One for all tests. Whatever was started for it ends when this process does. Started on a thread of its own: the first
/// test that wants it may be inside a runtime, where a container cannot be waited for.
static REDIS: LazyLock<Server> = LazyLock::new(|| aside(|| Server::of(Software::Redis)));

static POSTGRES: LazyLock<Server> = LazyLock::new(|| aside(|| Server::of(Software::Postgres)));

fn aside<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    std::thread::scope(|scope| scope.spawn(work).join().expect("no panic"))
}

/// Does it on a thread and in a runtime of its own: a test may be inside one.
fn apart<T: Send>(work: impl Future<Output = T> + Send) -> T {
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    aside(|| runtime().block_on(work))
}

impl Store {
    /// What a command line says of it, where it is not the default.
    pub(crate) fn backend(self) -> Vec<String> {
        match self {
            Self::Sqlite => Vec::new(),
            Self::Redis | Self::Apart => vec!["--backend".to_owned(), REDIS.url().to_owned()],
            Self::Postgres => vec!["--backend".to_owned(), POSTGRES.url().to_owned()],
        }
    }

    pub(crate) fn has_schema(self) -> bool {
        matches!(self, Self::Postgres | Self::Apart)
    }
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

fn number(url: &str, sql: &str) -> i64 {
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

/// A file of orders, and a place for the data.
pub(crate) struct Scene {
    store: Store,
    dir: TempDir,
    schema: String,
}

/// What a run said, and how it ended.
pub(crate) struct Ran {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Scene {
    /// `orders` are lines of `id,exchange,symbol,side,quantity,price,bot`.
    pub(crate) fn new<L: AsRef<str>>(orders: impl IntoIterator<Item = L>) -> Self {
        Self::on(Store::Sqlite, orders)
    }

    /// The same, with the locks in a store.
    pub(crate) fn on<L: AsRef<str>>(store: Store, orders: impl IntoIterator<Item = L>) -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let scene = Self { store, dir, schema: drawn("test-") };
        let mut text = "id,exchange,symbol,side,quantity,price,bot\n".to_owned();
        orders.into_iter().for_each(|line| text += &format!("{}\n", line.as_ref()));
        std::fs::write(scene.file(), text).expect("the orders are written");
        scene
    }

    pub(crate) fn file(&self) -> PathBuf {
        self.dir.path().join("orders.csv")
    }

    /// What `--data` says.
    pub(crate) fn data(&self) -> String {
        if self.store.has_schema() {
            Url::from(POSTGRES.url().to_owned()).in_schema(&self.schema).as_arg().to_owned()
        } else {
            self.dir.path().join("data").display().to_string()
        }
    }

    pub(crate) fn place(&self) -> Place {
        Place::from(self.data())
    }

    /// What `--backend` has to say to a worker.
    fn url(&self) -> String {
        match self.store {
            Store::Redis | Store::Apart => REDIS.url().to_owned(),
            Store::Sqlite | Store::Postgres => self.place().locks().as_arg().to_owned(),
        }
    }

    /// What a worker's exchange that stalls waits for.
    pub(crate) fn answer(&self) -> PathBuf {
        self.dir.path().join("answer")
    }

    /// Runs the whole program on the orders, in fresh data.
    pub(crate) fn run(&self, args: &str) -> Ran {
        self.command(args).ended()
    }

    /// The same, not yet started.
    pub(crate) fn command(&self, args: &str) -> Command {
        self.clear();
        let mut command = program();
        command.arg("--orders").arg(self.file()).arg("--data").arg(self.data()).args(args.split_whitespace());
        command.args(self.store.backend());
        command
    }

    fn clear(&self) {
        if self.store.has_schema() {
            run(
                POSTGRES.url(),
                &format!("SET lock_timeout = '60s'; DROP SCHEMA IF EXISTS \"{}\" CASCADE", self.schema),
            );
        } else {
            let _ = std::fs::remove_dir_all(self.data());
        }
    }

    /// Makes the books, for workers that are started one by one.
    pub(crate) fn make(&self, cooldown: Duration) {
        apart(async { drop(self.books(cooldown).await) });
    }

    /// The same, for the caller.
    pub(crate) async fn books(&self, cooldown: Duration) -> Books {
        Home::kept(self.place()).await.expect("a place for the data");
        let orders = examples::trade::orders::read(&self.file()).expect("good orders");
        Books::create(&self.place(), &orders, cooldown).await.expect("new books")
    }

    async fn open(&self) -> Books {
        Books::open(&self.place(), Duration::MAX).await.expect("the books")
    }

    /// Takes a lock of these books, as a worker would.
    pub(crate) async fn lock(&self, what: &str) -> Guard {
        let store = Url::from(self.url()).connect().await.expect("a store");
        let key = format!("{}/{what}", self.open().await.name());
        Locker::new(store).lock(key).acquire().await.expect("nobody else's")
    }

    /// Locks a position of the house, as a worker would.
    pub(crate) async fn lock_position(&self, exchange: &str, symbol: &str) -> Held {
        if self.store != Store::Postgres {
            return Held::Key(self.lock(&format!("position/{exchange}/{symbol}")).await);
        }
        let mut tx =
            self.open().await.begin(Proof::None).await.expect("an answer").expect("no proof is asked for");
        let row = format!("/{exchange}/{symbol}");
        assert!(tx.lock_row("positions", &row, RowWait::Block).await.expect("an answer"), "it is there");
        Held::Row(tx)
    }

    /// Starts one worker, which logs everything.
    pub(crate) fn worker(&self, role: &str, name: &str, seat: &str, args: &str) -> Worker {
        let mut command = program();
        command
            .args(["worker", role, "--name", name])
            .args(["--of", &seat[seat.len() - 1..], "--seat", &seat[..1]])
            .args(["--backend", &self.url(), "--data", &self.data()])
            .arg("--answer")
            .arg(self.answer())
            .args(args.split_whitespace());
        let mut worker = Worker::start(command);
        worker.hears("ready");
        worker
    }

    /// What the checker finds in the books, looking at the file of orders.
    pub(crate) fn findings(&self) -> Findings {
        let orders = examples::trade::orders::read(&self.file()).expect("good orders");
        apart(async { check(&self.open().await, &orders).await.expect("a check") })
    }

    /// What a query of one number answers.
    pub(crate) fn number(&self, sql: &str) -> i64 {
        if self.store.has_schema() {
            return number(&self.data(), sql);
        }
        self.file_of_books().query_row(sql, [], |row| row.get(0)).expect("an answer")
    }

    /// Panics if the database had to help out: by `UNIQUE`, or by the fence.
    pub(crate) fn assert_nothing_was_refused(&self) {
        assert_eq!(self.number("SELECT count(*) FROM refusals"), 0);
    }

    /// Changes what is in the books.
    pub(crate) fn change(&self, sql: &str) {
        match self.store.has_schema() {
            true => run(&self.data(), sql),
            false => self.file_of_books().execute_batch(sql).expect("it is changed"),
        }
    }

    fn file_of_books(&self) -> Connection {
        let db = Connection::open(Sqlite::path(self.data().as_ref(), Books::FILE)).expect("the books");
        db.busy_timeout(LIMIT).expect("a timeout");
        db
    }

    /// Waits until a query of one number answers this.
    pub(crate) fn wait_for(&self, sql: &str, number: i64) {
        let begun = Instant::now();
        while self.number(sql) != number {
            assert!(begun.elapsed() < LIMIT, "{sql} is {} and not {number}", self.number(sql));
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            self.clear();
        }
    }
}

/// A position that is locked.
pub(crate) enum Held {
    /// By a key.
    Key(Guard),
    /// By its row.
    Row(Tx),
}

impl Held {
    /// Panics if it is not locked any more.
    pub(crate) async fn release(self) {
        match self {
            Self::Key(guard) => guard.release().await.expect("held to the end"),
            Self::Row(tx) => tx.commit().await.expect("held to the end"),
        }
    }
}

/// Runs it to its end.
pub(crate) trait Ended {
    fn ended(&mut self) -> Ran;
}

impl Ended for Command {
    fn ended(&mut self) -> Ran {
        let output = self.output().expect("the program runs");
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("text");
        Ran { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
    }
}

impl Ran {
    /// The figure of a line of the table.
    pub(crate) fn figure(&self, name: &str) -> usize {
        let line = self.out.lines().find_map(|line| line.strip_prefix(name));
        let figure = line.and_then(|rest| rest.split_whitespace().next());
        let figure = figure.unwrap_or_else(|| panic!("no {name:?} in\n{}{}", self.out, self.err));
        figure.replace(',', "").parse().expect("a figure")
    }

    /// Panics unless it ended well, without an error anywhere. It may have been warned of a release that took longer than
    /// a second: so long may a disk take to be flushed, which is done now and then where many workers write a lot.
    pub(crate) fn assert_clean(&self) {
        assert_eq!(self.code, Some(0), "{}{}", self.out, self.err);
        assert!(self.out.contains("clean"), "{}", self.out);
        assert_eq!(self.figure("errors"), 0, "{}{}", self.out, self.err);
        self.assert_silent(&["ERROR", "panicked"]);
    }

    /// Panics unless it ended well and said nothing of trouble.
    pub(crate) fn assert_untroubled(&self) {
        self.assert_clean();
        self.assert_silent(&["WARN"]);
    }

    fn assert_silent(&self, words: &[&str]) {
        let said = words.iter().find(|word| self.err.contains(*word));
        assert_eq!(said, None, "{}", self.err);
    }
}

/// Panics if nothing at all is wrong in the books after twenty runs.
pub(crate) fn damages(scene: &Scene, args: &str, damaged: impl Fn(&Findings) -> bool) {
    for _ in 0..20 {
        let ran = scene.run(&format!("{args} --no-locks"));
        if damaged(&scene.findings()) {
            assert_eq!(ran.code, Some(1), "{}{}", ran.out, ran.err);
            assert!(ran.out.contains("BROKEN"), "{}", ran.out);
            return;
        }
    }
    panic!("twenty bare runs did no damage");
}

/// A process that is listened to while it runs: one worker on its own, or a whole run.
pub(crate) struct Worker {
    child: Child,
    stdin: Option<ChildStdin>,
    lines: Receiver<String>,
    heard: Vec<String>,
}

impl Worker {
    pub(crate) fn start(mut command: Command) -> Self {
        command.env("RUST_LOG", "info").stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("the worker starts");
        let (tell, lines) = channel();
        listen(child.stdout.take().expect("a pipe"), tell.clone());
        listen(child.stderr.take().expect("a pipe"), tell);
        let stdin = child.stdin.take();
        Self { child, stdin, lines, heard: Vec::new() }
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn go(&mut self) {
        self.stdin.as_mut().expect("a pipe").write_all(b"go\n").expect("the worker listens");
    }

    /// Waits for a line with `text`, said or logged, and answers it.
    pub(crate) fn hears(&mut self, text: &str) -> String {
        let begun = Instant::now();
        loop {
            let left = LIMIT.saturating_sub(begun.elapsed());
            let Ok(line) = self.lines.recv_timeout(left) else {
                panic!("no {text:?} in\n{}", self.heard.join("\n"));
            };
            self.heard.push(line.clone());
            if line.contains(text) {
                return line;
            }
        }
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).expect("it is there");
    }

    pub(crate) fn kill(&mut self) {
        self.child.kill().expect("it can be killed");
        self.child.wait().expect("it ends");
    }

    /// Waits for its end, and answers all that it said.
    pub(crate) fn ends(mut self) -> (ExitStatus, String) {
        let begun = Instant::now();
        let status = loop {
            if let Some(status) = self.child.try_wait().expect("a child") {
                break status;
            }
            assert!(begun.elapsed() < LIMIT, "it does not end:\n{}", self.heard.join("\n"));
            std::thread::sleep(Duration::from_millis(5));
        };
        self.heard.extend(self.lines.iter());
        (status, self.heard.join("\n"))
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn listen(pipe: impl Read + Send + 'static, tell: Sender<String>) {
    let read = move || {
        for line in BufReader::new(pipe).lines().map_while(Result::ok) {
            if tell.send(line).is_err() {
                return;
            }
        }
    };
    std::thread::spawn(read);
}
