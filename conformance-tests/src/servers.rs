//! Servers for tests: found, or started for the run and gone with it.
//!
//! In this order: the address in an environment variable; a container, where a Docker engine answers; a program that is
//! installed on this machine. The run says which. No server at all is a panic that says what is missing, never a skip.
//!
//! | server | address | image | program |
//! | --- | --- | --- | --- |
//! | Redis | `LOCK_TEST_REDIS_URL` | `LOCK_TEST_REDIS_IMAGE`, or `redis:7-bookworm` | `redis-server` |
//!
//! A container or program is ended when its [`Server`] is dropped, and by a process that holds a pipe to this one when
//! this one dies, however it dies.

mod container;
mod leash;
mod program;
mod recipe;

use std::env;

use rustix::process::Signal;

use recipe::{REDIS, Recipe};

/// A server for tests. Dropped, it is gone if the run started it.
#[derive(Debug)]
pub struct Server {
    url: String,
    /// Ends what was started; nothing for a server that was there.
    running: Option<Running>,
}

/// What runs for this run.
#[derive(Debug)]
enum Running {
    Container { _container: Box<container::Container> },
    Program(program::Program),
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

impl Server {
    /// A Redis, in the first way that works.
    ///
    /// # Panics
    ///
    /// When none does.
    ///
    /// ```no_run
    /// let server = conformance_tests::Server::redis();
    /// println!("{}", server.url());
    /// ```
    pub fn redis() -> Self {
        Self::start(&REDIS, &[Way::Address, Way::Container, Way::Program])
    }

    /// A Redis, in one way.
    ///
    /// # Panics
    ///
    /// When it does not work.
    ///
    /// ```no_run
    /// use conformance_tests::{Server, Way};
    /// let server = Server::redis_by(Way::Program);
    /// ```
    pub fn redis_by(way: Way) -> Self {
        Self::start(&REDIS, &[way])
    }

    /// A Redis from this machine's program, alone and with further arguments: one to kill, stop and start again.
    ///
    /// # Panics
    ///
    /// When it does not start.
    ///
    /// ```no_run
    /// let mut server = conformance_tests::Server::redis_with(&["--appendonly", "yes"]);
    /// server.kill();
    /// server.restart();
    /// ```
    pub fn redis_with(arguments: &[&str]) -> Self {
        let program = program::Program::start(&REDIS, arguments).unwrap_or_else(|reason| panic!("{reason}"));
        Self { url: (REDIS.url)(program.port), running: Some(Running::Program(program)) }
    }

    /// Kills it as `kill -9` does. Its port and its directory stay.
    ///
    /// # Panics
    ///
    /// Like [`restart`](Self::restart), [`pause`](Self::pause) and [`resume`](Self::resume), when it is no program.
    ///
    /// ```no_run
    /// conformance_tests::Server::redis_with(&[]).kill();
    /// ```
    pub fn kill(&mut self) {
        self.program().kill();
    }

    /// Kills it if it runs, and starts it again where it was, with what is in its directory.
    ///
    /// ```no_run
    /// conformance_tests::Server::redis_with(&[]).restart();
    /// ```
    pub fn restart(&mut self) {
        self.program().restart().unwrap_or_else(|reason| panic!("{reason}"));
    }

    /// Stops it where it stands, as a debugger or a paused machine does.
    ///
    /// ```no_run
    /// conformance_tests::Server::redis_with(&[]).pause();
    /// ```
    pub fn pause(&mut self) {
        self.program().signal(Signal::STOP);
    }

    /// Lets it go on.
    ///
    /// ```no_run
    /// conformance_tests::Server::redis_with(&[]).resume();
    /// ```
    pub fn resume(&mut self) {
        self.program().signal(Signal::CONT);
    }

    fn program(&mut self) -> &mut program::Program {
        match &mut self.running {
            Some(Running::Program(program)) => program,
            _ => panic!("the server is no program of this machine"),
        }
    }

    /// Where it listens.
    ///
    /// ```no_run
    /// let url = conformance_tests::Server::redis().url().to_owned();
    /// ```
    pub fn url(&self) -> &str {
        &self.url
    }

    fn start(recipe: &'static Recipe, ways: &[Way]) -> Self {
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
            let url =
                env::var(recipe.url_variable).map_err(|_| format!("{} is not set", recipe.url_variable))?;
            Ok((Server { url, running: None }, format!("as {} says", recipe.url_variable)))
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
            let program = program::Program::start(recipe, &[])?;
            let (url, origin) = ((recipe.url)(program.port), format!("the program {}", recipe.program));
            Ok((Server { url, running: Some(Running::Program(program)) }, origin))
        }
    }
}
