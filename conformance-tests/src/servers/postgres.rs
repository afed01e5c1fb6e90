//! PostgreSQL, which lets everybody on this machine in as anybody, and PgBouncer before it.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;

use super::program::{command, finish};
use super::recipe::{Recipe, words};

pub(super) static POSTGRES: Recipe = Recipe {
    name: "postgres",
    program: "postgres",
    package: "postgresql",
    never_root: true,
    set_up: |port, directory, more| {
        let (port, data) = (port.to_string(), directory.join("data").display().to_string());
        let sockets = format!("unix_socket_directories={}", directory.display());
        let mut initdb = command("initdb", true);
        initdb.args(["-D", &data, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--no-locale", "--no-sync"]);
        finish(&mut initdb)?;
        let settings = [
            // With several addresses it would go on without one that somebody else has.
            "listen_addresses=127.0.0.1",
            "max_connections=1000",
            "fsync=off",
            &sockets,
        ];
        let settings = settings.map(|setting| ["-c", setting]).concat();
        Ok(words(&[&["-D", &data, "-p", &port][..], &settings].concat(), more))
    },
    image: "postgres:15-bookworm",
    contained: (&["sh", "-c", include_str!("postgres.sh")], 5432),
    url,
    ready,
};

/// In transaction mode. The first word asked for is the port of the PostgreSQL behind it, the others are further settings.
pub(super) static PGBOUNCER: Recipe = Recipe {
    name: "pgbouncer",
    program: "pgbouncer",
    package: "pgbouncer",
    never_root: true,
    set_up: |port, directory, more| {
        let (behind, more) = more.split_first().ok_or("the port of a PostgreSQL is missing")?;
        let file = directory.join("pgbouncer.ini");
        let settings = format!(
            "[databases]\n* = host=127.0.0.1 port={behind} user=postgres\n\
             [pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\n\
             auth_type = any\npool_mode = transaction\nmax_client_conn = 1000\n{}\n",
            more.join("\n")
        );
        fs::write(&file, settings).map_err(|error| format!("{}: {error}", file.display()))?;
        Ok(words(&[&file.display().to_string()], &[]))
    },
    image: "none",
    contained: (&[], 0),
    url,
    ready,
};

fn url(port: u16) -> String {
    format!("postgres://postgres@127.0.0.1:{port}/postgres")
}

/// Whether it lets somebody in: while it starts up, it listens and refuses.
fn ready(mut stream: TcpStream) -> std::io::Result<bool> {
    let words = b"\0\x03\0\0user\0postgres\0database\0postgres\0\0";
    let length = u32::try_from(words.len() + 4).expect("a few bytes");
    stream.write_all(&length.to_be_bytes())?;
    stream.write_all(words)?;
    let mut answer = [0; 1];
    stream.read_exact(&mut answer)?;
    Ok(&answer == b"R")
}
