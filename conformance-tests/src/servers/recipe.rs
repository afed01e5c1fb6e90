//! How each server is started, and how one knows that it is there.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::path::Path;
use std::time::{Duration, Instant};

/// How long a server may take to be there.
const LIMIT: Duration = Duration::from_secs(60);

#[derive(Debug)]
pub(super) struct Recipe {
    pub(super) name: &'static str,
    pub(super) url_variable: &'static str,
    pub(super) image_variable: &'static str,
    pub(super) image: &'static str,
    /// The port inside a container.
    pub(super) port: u16,
    pub(super) program: &'static str,
    /// The Debian package that brings the program.
    pub(super) package: &'static str,
    /// The command in a container.
    pub(super) contained: &'static [&'static str],
    /// The program's arguments, for a port and a directory to work in.
    pub(super) arguments: fn(u16, &Path) -> Vec<String>,
    pub(super) url: fn(u16) -> String,
    /// Whether it answers.
    ready: fn(TcpStream) -> std::io::Result<bool>,
}

pub(super) static REDIS: Recipe = Recipe {
    name: "redis",
    url_variable: "LOCK_TEST_REDIS_URL",
    image_variable: "LOCK_TEST_REDIS_IMAGE",
    image: "redis:7-bookworm",
    port: 6379,
    program: "redis-server",
    package: "redis-server",
    contained: &["redis-server", "--save", "", "--protected-mode", "no"],
    arguments: |port, directory| {
        let directory = directory.display().to_string();
        let words = ["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", "", "--dir", &directory];
        words.map(str::to_owned).to_vec()
    },
    url: |port| format!("redis://127.0.0.1:{port}"),
    ready: |mut stream| {
        stream.write_all(b"PING\r\n")?;
        let mut answer = [0; 5];
        stream.read_exact(&mut answer)?;
        Ok(&answer == b"+PONG")
    },
};

impl Recipe {
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
