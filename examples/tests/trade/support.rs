//! Runs the program, or one of its workers, and waits for what it says.

use std::io::{BufRead as _, BufReader, Read, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::LazyLock;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use conformance_tests::{Server, Software};
use examples::backend::Url;
use examples::trade::books::Books;
use examples::trade::check::{Findings, check};
use lock_core::{Guard, Locker};
use rusqlite::Connection;
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

/// How long to wait for what must happen: on a busy machine everything takes its time.
pub(crate) const LIMIT: Duration = Duration::from_secs(60);

/// The program, with nothing of this process's own settings.
pub(crate) fn program() -> Command {
    let mut program = Command::new(env!("CARGO_BIN_EXE_trade"));
    program.env_remove("RUST_LOG");
    program
}

/// Where the locks live.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Store {
    /// In a file beside the data, as without `--backend`.
    Sqlite,
    /// On a server that all tests share.
    Redis,
}

/// One for all tests. Whatever was started for it ends when this process does. Started on a thread of its own: the first
/// test that wants it may be inside a runtime, where a container cannot be waited for.
static REDIS: LazyLock<Server> = LazyLock::new(|| {
    std::thread::spawn(|| Server::of(Software::Redis)).join().expect("a server for the tests")
});

impl Store {
    /// What a command line says of it, where it is not the default.
    pub(crate) fn backend(self, data: &Path) -> Vec<String> {
        match self {
            Self::Sqlite => Vec::new(),
            Self::Redis => vec!["--backend".to_owned(), self.url(data)],
        }
    }

    /// What `--backend` has to say.
    pub(crate) fn url(self, data: &Path) -> String {
        match self {
            Self::Sqlite => Url::sqlite(&data.join("locks.db")).as_arg().to_owned(),
            Self::Redis => REDIS.url().to_owned(),
        }
    }
}

/// A file of orders, and a place for the data.
pub(crate) struct Scene {
    store: Store,
    dir: TempDir,
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
        let scene = Self { store, dir: tempfile::tempdir().expect("a temporary directory") };
        let mut text = "id,exchange,symbol,side,quantity,price,bot\n".to_owned();
        orders.into_iter().for_each(|line| text += &format!("{}\n", line.as_ref()));
        std::fs::write(scene.file(), text).expect("the orders are written");
        scene
    }

    pub(crate) fn file(&self) -> PathBuf {
        self.dir.path().join("orders.csv")
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    /// Runs the whole program on the orders, in fresh data.
    pub(crate) fn run(&self, args: &str) -> Ran {
        self.command(args).ended()
    }

    /// The same, not yet started.
    pub(crate) fn command(&self, args: &str) -> Command {
        let _ = std::fs::remove_dir_all(self.data());
        let mut command = program();
        command.arg("--orders").arg(self.file()).arg("--data").arg(self.data()).args(args.split_whitespace());
        command.args(self.store.backend(&self.data()));
        command
    }

    /// Makes the books, for workers that are started one by one.
    pub(crate) fn books(&self, cooldown: Duration) -> Books {
        std::fs::create_dir_all(self.data()).expect("a directory for the data");
        let orders = examples::trade::orders::read(&self.file()).expect("good orders");
        Books::create(&self.data(), &orders, cooldown).expect("new books")
    }

    /// Takes a lock of these books, as a worker would.
    pub(crate) async fn lock(&self, what: &str) -> Guard {
        let books = Books::open(&self.data()).expect("the books");
        let store = Url::from(self.store.url(&self.data())).connect().await.expect("a store");
        Locker::new(store).lock(format!("{}/{what}", books.name())).acquire().await.expect("nobody else's")
    }

    /// Starts one worker, which logs everything.
    pub(crate) fn worker(&self, role: &str, name: &str, seat: &str, args: &str) -> Worker {
        let mut command = program();
        command
            .args(["worker", role, "--name", name])
            .args(["--of", &seat[seat.len() - 1..], "--seat", &seat[..1]])
            .arg("--backend")
            .arg(self.store.url(&self.data()))
            .arg("--data")
            .arg(self.data())
            .args(args.split_whitespace());
        let mut worker = Worker::start(command);
        worker.hears("ready");
        worker
    }

    /// What the checker finds in the books, looking at the file of orders.
    pub(crate) fn findings(&self) -> Findings {
        let orders = examples::trade::orders::read(&self.file()).expect("good orders");
        let books = Books::open(&self.data()).expect("the books");
        let look = || {
            let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
            runtime.block_on(check(&books, &orders)).expect("a check")
        };
        // On a thread of its own: the test may be inside a runtime.
        std::thread::scope(|scope| scope.spawn(look).join().expect("no panic"))
    }

    /// What a query of one number answers.
    pub(crate) fn number(&self, sql: &str) -> i64 {
        query(&self.data(), sql)
    }

    /// Panics if the database had to help out: by `UNIQUE`, or by the fence.
    pub(crate) fn assert_nothing_was_refused(&self) {
        assert_eq!(self.number("SELECT count(*) FROM refusals"), 0);
    }

    /// Changes what is in the books.
    pub(crate) fn change(&self, sql: &str) {
        open(&self.data()).execute_batch(sql).expect("it is changed");
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

fn open(data: &Path) -> Connection {
    let db = Connection::open(Books::file(data)).expect("the books");
    db.busy_timeout(LIMIT).expect("a timeout");
    db
}

fn query(data: &Path, sql: &str) -> i64 {
    open(data).query_row(sql, [], |row| row.get(0)).expect("an answer")
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
