//! Redis: it keeps nothing across a restart unless a test asks for it.

use std::io::{Read, Write};

use super::recipe::{Recipe, words};

pub(super) static REDIS: Recipe = Recipe {
    name: "redis",
    program: "redis-server",
    package: "redis-server",
    never_root: false,
    set_up: |port, directory, more| {
        let (port, directory) = (port.to_string(), directory.display().to_string());
        Ok(words(&["--port", &port, "--bind", "127.0.0.1", "--save", "", "--dir", &directory], more))
    },
    image: "redis:7-bookworm",
    contained: (&["redis-server", "--save", "", "--protected-mode", "no"], 6379),
    url: |port| format!("redis://127.0.0.1:{port}"),
    ready: |mut stream| {
        stream.write_all(b"PING\r\n")?;
        let mut answer = [0; 5];
        stream.read_exact(&mut answer)?;
        Ok(&answer == b"+PONG")
    },
};
