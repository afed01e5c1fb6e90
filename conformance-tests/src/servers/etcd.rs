//! etcd: one member alone, unless further arguments make it one of several.

use std::io::{Read, Write};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::recipe::{Recipe, free_port, words};
use crate::line::target;

pub(super) static ETCD: Recipe = Recipe {
    name: "etcd",
    program: "etcd",
    package: "etcd-server",
    never_root: false,
    set_up: |port, directory, more| {
        let data = directory.join("data").display().to_string();
        let (clients, peers) = (address(port), address(free_port()?));
        let member = [
            format!("--data-dir={data}"),
            format!("--listen-client-urls={clients}"),
            format!("--advertise-client-urls={clients}"),
            format!("--listen-peer-urls={peers}"),
            format!("--initial-advertise-peer-urls={peers}"),
            format!("--initial-cluster=default={peers}"),
        ];
        // Of an argument given twice the later one counts.
        Ok(words(&member.each_ref().map(String::as_str), more))
    },
    image: "quay.io/coreos/etcd:v3.5.21",
    contained: (
        &[
            "etcd",
            "--data-dir=/tmp/etcd",
            "--listen-client-urls=http://0.0.0.0:2379",
            "--advertise-client-urls=http://127.0.0.1:2379",
        ],
        2379,
    ),
    url: |port| format!("etcd://127.0.0.1:{port}"),
    ready: |mut stream| {
        stream.write_all(b"GET /health HTTP/1.0\r\n\r\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer.contains(r#""health":"true""#))
    },
};

/// What makes each of `count` members one of a cluster.
pub(super) fn members(count: usize) -> Result<Vec<Vec<String>>, String> {
    let peers = (0..count).map(|_| free_port().map(address)).collect::<Result<Vec<_>, _>>()?;
    let named: Vec<_> = peers.iter().enumerate().map(|(i, peer)| format!("m{i}={peer}")).collect();
    let all = format!("--initial-cluster={}", named.join(","));
    let member = |(i, peer): (usize, &String)| {
        let name = format!("--name=m{i}");
        let listens = format!("--listen-peer-urls={peer}");
        vec![name, listens, format!("--initial-advertise-peer-urls={peer}"), all.clone()]
    };
    Ok(peers.iter().enumerate().map(member).collect())
}

/// A number that the etcd at `etcd://host:port` tells of itself, by the name and the labels that it has there; zero if it has
/// told nothing of it yet.
///
/// # Errors
///
/// Nobody answers.
///
/// # Cancel safety
///
/// Nothing is left behind.
///
/// ```no_run
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> std::io::Result<()> {
/// let url = "etcd://127.0.0.1:2379";
/// let writes = conformance_tests::etcd_metric(url, "etcd_server_proposals_committed_total").await?;
/// # Ok(())
/// # }
/// ```
pub async fn etcd_metric(url: &str, name: &str) -> std::io::Result<u64> {
    let mut stream = TcpStream::connect(target(url)).await?;
    stream.write_all(b"GET /metrics HTTP/1.0\r\n\r\n").await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    let number = answer.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    Ok(number.and_then(|number| number.parse::<f64>().ok()).map_or(0, |number| number as u64))
}

fn address(port: u16) -> String {
    format!("http://127.0.0.1:{port}")
}
