//! Servers for tests: found, or started for the run and gone with it.
//!
//! In this order: the address in an environment variable; a container, where a Docker engine answers; a program that is
//! installed on this machine. The run says which. No server at all is a panic that says what is missing, never a skip.
//!
//! | server | address | image | program |
//! | --- | --- | --- | --- |
//! | Redis | `LOCK_TEST_REDIS_URL` | `LOCK_TEST_REDIS_IMAGE`, or `redis:7-bookworm` | `redis-server` |
//! | PostgreSQL | `LOCK_TEST_POSTGRES_URL` | `LOCK_TEST_POSTGRES_IMAGE`, or `postgres:15-bookworm` | `postgres` |
//! | etcd | `LOCK_TEST_ETCD_URL` | `LOCK_TEST_ETCD_IMAGE`, or `quay.io/coreos/etcd:v3.5.21` | `etcd` |
//!
//! What a container keeps, it keeps in memory, and a PostgreSQL that is started here has `fsync` off: a busy disk would hold up
//! every test, and only a machine that loses its power would show the difference.
//!
//! A container or program is ended when its [`Server`] is dropped, and by a process that holds a pipe to this one when
//! this one dies, however it dies.

mod certificate;
mod container;
mod etcd;
mod leash;
mod postgres;
mod program;
mod recipe;
mod redis;

use std::env;

use rustix::process::Signal;

pub use certificate::Certificate;
pub use etcd::etcd_metric;

use etcd::ETCD;
use postgres::{PGBOUNCER, POSTGRES};
use program::Program;
use recipe::Recipe;
use redis::REDIS;

/// A server for tests. Dropped, it is gone if the run started it.
#[derive(Debug)]
pub struct Server {
    url: String,
    /// Ends what was started; nothing for a server that was there.
    running: Option<Running>,
}

const NO_PROGRAM: &str = "the server is no program of this machine";

/// What runs for this run.
#[derive(Debug)]
enum Running {
    Container { _container: Box<container::Container> },
    Program(Program),
}

/// A way to come by a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Way {
    /// The address in the environment variable.
    Address,
    /// A container.
    Container,
    /// A program of this machine.
    Program,
}

/// What a server can be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Software {
    /// `redis://…`
    Redis,
    /// `postgres://…`
    Postgres,
    /// `etcd://…`
    Etcd,
}

impl Software {
    fn recipe(self) -> &'static Recipe {
        match self {
            Self::Redis => &REDIS,
            Self::Postgres => &POSTGRES,
            Self::Etcd => &ETCD,
        }
    }
}

impl Server {
    /// A server, in the first way that works.
    ///
    /// # Panics
    ///
    /// When none does.
    ///
    /// ```no_run
    /// use conformance_tests::{Server, Software};
    /// println!("{}", Server::of(Software::Redis).url());
    /// ```
    pub fn of(software: Software) -> Self {
        Self::start(software, &[Way::Address, Way::Container, Way::Program])
    }

    /// A server, in one way.
    ///
    /// # Panics
    ///
    /// When it does not work.
    ///
    /// ```no_run
    /// use conformance_tests::{Server, Software, Way};
    /// let server = Server::by(Way::Program, Software::Redis);
    /// ```
    pub fn by(way: Way, software: Software) -> Self {
        Self::start(software, &[way])
    }

    /// A server from this machine's program, alone and with further arguments: one to kill, stop and start again. In them,
    /// `{port}` stands for the port on which it is waited for.
    ///
    /// # Panics
    ///
    /// When it does not start.
    ///
    /// ```no_run
    /// use conformance_tests::{Server, Software};
    /// let mut server = Server::with(Software::Redis, &["--appendonly", "yes"]);
    /// server.kill();
    /// server.restart();
    /// ```
    pub fn with(software: Software, arguments: &[&str]) -> Self {
        Self::program(Program::start(software.recipe(), arguments))
    }

    /// A PgBouncer in transaction mode, with further settings, before a PostgreSQL of this machine.
    ///
    /// # Panics
    ///
    /// When it does not start.
    ///
    /// ```no_run
    /// use conformance_tests::{Server, Software};
    /// let behind = Server::with(Software::Postgres, &[]);
    /// let server = Server::pgbouncer(&behind, &["server_round_robin = 1"]);
    /// ```
    pub fn pgbouncer(behind: &Self, settings: &[&str]) -> Self {
        Self::program(Program::start(&PGBOUNCER, &[&[&*behind.port().to_string()], settings].concat()))
    }

    /// Three etcd members that make one cluster.
    ///
    /// # Panics
    ///
    /// When they do not start.
    ///
    /// ```no_run
    /// let [one, two, three] = conformance_tests::Server::etcd_cluster();
    /// ```
    pub fn etcd_cluster() -> [Self; 3] {
        let members = etcd::members(3).unwrap_or_else(|reason| panic!("{reason}"));
        // None answers before most of them are there.
        let starting = members.into_iter().map(|words| {
            std::thread::Builder::new()
                .spawn(move || {
                    let words: Vec<_> = words.iter().map(String::as_str).collect();
                    Self::with(Software::Etcd, &words)
                })
                .expect("a thread")
        });
        let starting: Vec<_> = starting.collect();
        let members: Vec<_> = starting.into_iter().map(|member| member.join().expect("it starts")).collect();
        members.try_into().expect("as many as were started")
    }

    /// Kills it as `kill -9` does. Its port and its directory stay.
    ///
    /// # Panics
    ///
    /// Like [`restart`](Self::restart), [`pause`](Self::pause) and [`resume`](Self::resume), when it is no program.
    ///
    /// ```no_run
    /// conformance_tests::Server::etcd_cluster()[0].kill();
    /// ```
    pub fn kill(&mut self) {
        self.running().kill();
    }

    /// Kills it if it runs, and starts it again where it was, with what is in its directory.
    ///
    /// ```no_run
    /// conformance_tests::Server::etcd_cluster()[0].restart();
    /// ```
    pub fn restart(&mut self) {
        self.running().restart().unwrap_or_else(|reason| panic!("{reason}"));
    }

    /// Stops it where it stands, as a debugger or a paused machine does.
    ///
    /// ```no_run
    /// conformance_tests::Server::etcd_cluster()[0].pause();
    /// ```
    pub fn pause(&mut self) {
        self.running().pause();
    }

    /// Lets it go on.
    ///
    /// ```no_run
    /// conformance_tests::Server::etcd_cluster()[0].resume();
    /// ```
    pub fn resume(&mut self) {
        self.running().signal(Signal::CONT);
    }

    /// The port of this machine that it listens on.
    ///
    /// # Panics
    ///
    /// When it is no program of this machine.
    ///
    /// ```no_run
    /// use conformance_tests::{Server, Software};
    /// let port = Server::with(Software::Redis, &[]).port();
    /// ```
    pub fn port(&self) -> u16 {
        match &self.running {
            Some(Running::Program(program)) => program.port,
            _ => panic!("{NO_PROGRAM}"),
        }
    }

    fn running(&mut self) -> &mut Program {
        match &mut self.running {
            Some(Running::Program(program)) => program,
            _ => panic!("{NO_PROGRAM}"),
        }
    }

    fn program(started: Result<Program, String>) -> Self {
        let program = started.unwrap_or_else(|reason| panic!("{reason}"));
        Self { url: program.url(), running: Some(Running::Program(program)) }
    }

    /// Where it listens.
    ///
    /// ```no_run
    /// use conformance_tests::{Server, Software};
    /// let url = Server::of(Software::Redis).url().to_owned();
    /// ```
    pub fn url(&self) -> &str {
        &self.url
    }

    fn start(software: Software, ways: &[Way]) -> Self {
        let recipe = software.recipe();
        let mut missing = Vec::new();
        for way in ways {
            match attempt(recipe, *way) {
                Ok((server, origin)) => {
                    eprintln!("{}: {origin}", recipe.name);
                    return server;
                }
                Err(reason) => missing.push(reason),
            }
        }
        panic!("no {} for the tests:\n  - {}", recipe.name, missing.join("\n  - "));
    }
}

/// The server and where it is from, or why not.
fn attempt(recipe: &'static Recipe, way: Way) -> Result<(Server, String), String> {
    match way {
        Way::Address => {
            let variable = recipe.variable("URL");
            let url = env::var(&variable).map_err(|_| format!("{variable} is not set"))?;
            Ok((Server { url, running: None }, format!("as {variable} says")))
        }
        Way::Container => {
            let container = container::Container::start(recipe)?;
            let (url, origin) = ((recipe.url)(container.port), format!("a container of {}", container.image));
            Ok((
                Server { url, running: Some(Running::Container { _container: Box::new(container) }) },
                origin,
            ))
        }
        Way::Program => {
            let program = Program::start(recipe, &[])?;
            Ok((Server::program(Ok(program)), format!("the program {}", recipe.program)))
        }
    }
}
