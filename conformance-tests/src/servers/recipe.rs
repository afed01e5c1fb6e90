//! What there is to know of a server: how it is started, and how one knows that it is there.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::ops::Range;
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How long a server may take to be there.
const LIMIT: Duration = Duration::from_secs(60);

/// A program's arguments, or why there is none to be started.
pub(super) type SetUp = Result<Vec<String>, String>;

#[derive(Debug)]
pub(super) struct Recipe {
    /// In capitals, it is part of the names of its variables.
    pub(super) name: &'static str,
    pub(super) program: &'static str,
    /// The Debian package that brings the program.
    pub(super) package: &'static str,
    /// Whether the program refuses to be root.
    pub(super) never_root: bool,
    /// Makes a directory ready for the program, and says its arguments for a port and that directory. The last words are
    /// what a test asked for.
    pub(super) set_up: fn(u16, &Path, &[&str]) -> SetUp,
    pub(super) image: &'static str,
    /// The command in a container, and the port that it listens on there.
    pub(super) contained: (&'static [&'static str], u16),
    pub(super) url: fn(u16) -> String,
    /// Whether it answers.
    pub(super) ready: fn(TcpStream) -> std::io::Result<bool>,
}

impl Recipe {
    /// The name of an environment variable.
    pub(super) fn variable(&self, of: &str) -> String {
        format!("LOCK_TEST_{}_{of}", self.name.to_uppercase())
    }

    /// Waits until the server answers on a port of this machine. `alive` says why it never will.
    pub(super) fn wait(
        &self,
        port: u16,
        mut alive: impl FnMut() -> Result<(), String>,
    ) -> Result<(), String> {
        let start = Instant::now();
        while start.elapsed() < LIMIT {
            alive()?;
            if self.answers(port).unwrap_or(false) {
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Err(format!("{} did not answer on port {port} within {LIMIT:?}", self.name))
    }

    fn answers(&self, port: u16) -> std::io::Result<bool> {
        let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
        stream.set_read_timeout(Some(Duration::from_secs(1)))?;
        (self.ready)(stream)
    }
}

/// Below those that a system gives to whoever connects or listens anywhere: one of those would be taken by a stranger while
/// its server has not begun, or is down to be started again.
const PORTS: Range<u16> = 16_384..32_768;

/// A port that nobody listens on. A server of another process may take it before this one does, which then ends at once.
pub(super) fn free_port() -> Result<u16, String> {
    // Never one twice: its server may be down, to be started again.
    static GIVEN: Mutex<BTreeSet<u16>> = Mutex::new(BTreeSet::new());
    let mut given = GIVEN.lock().unwrap_or_else(PoisonError::into_inner);
    let free = |port: &u16| TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok();
    let mut some = std::iter::repeat_with(|| fastrand::u16(PORTS)).take(100);
    let port = some.find(|port| !given.contains(port) && free(port));
    port.inspect(|port| _ = given.insert(*port)).ok_or_else(|| format!("no port of {PORTS:?} is free"))
}

/// Words of our own, and those that a test asked for.
pub(super) fn words(ours: &[&str], more: &[&str]) -> Vec<String> {
    ours.iter().chain(more).map(|word| (*word).to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::free_port;

    #[test]
    fn no_port_is_given_twice() {
        let ports: BTreeSet<_> = (0..1_000).map(|_| free_port().expect("there are more")).collect();
        assert_eq!(ports.len(), 1_000);
    }
}
