//! Stands between a client and its server, and keeps things from it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use conformance_tests::Server;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};

/// A way to a server.
pub(crate) struct Proxy {
    pub(crate) url: String,
    faults: Arc<Faults>,
}

#[derive(Default)]
struct Faults {
    deaf: AtomicBool,
    swallowed: AtomicUsize,
    /// Connections so far, and the first that still works.
    connections: AtomicUsize,
    working: AtomicUsize,
}

impl Proxy {
    pub(crate) async fn to(server: &Server) -> Self {
        let faults = Arc::<Faults>::default();
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let url = format!("redis://{}", listener.local_addr().expect("it is bound"));
        let target = server.url().trim_start_matches("redis://").to_owned();
        tokio::spawn(accept(listener, target, faults.clone()));
        Self { url, faults }
    }

    /// From now on no message of any channel comes through.
    pub(crate) fn swallow_messages(&self) {
        self.faults.deaf.store(true, Ordering::SeqCst);
    }

    /// How many messages did not come through.
    pub(crate) fn swallowed(&self) -> usize {
        self.faults.swallowed.load(Ordering::SeqCst)
    }

    /// From now on nothing comes through on the connections that are there. They stay open.
    pub(crate) fn freeze_connections(&self) {
        let connections = self.faults.connections.load(Ordering::SeqCst);
        self.faults.working.store(connections, Ordering::SeqCst);
    }
}

async fn accept(listener: TcpListener, target: String, faults: Arc<Faults>) {
    while let Ok((client, _)) = listener.accept().await {
        let server = TcpStream::connect(&target).await.expect("the server is there");
        let number = faults.connections.fetch_add(1, Ordering::SeqCst);
        let ((from_client, to_client), (from_server, to_server)) = (client.into_split(), server.into_split());
        tokio::spawn(pass(from_client, to_server, number, faults.clone(), false));
        tokio::spawn(pass(from_server, to_client, number, faults.clone(), true));
    }
}

async fn pass(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    number: usize,
    faults: Arc<Faults>,
    filters: bool,
) {
    let mut buffer = Vec::with_capacity(1 << 16);
    while matches!(from.read_buf(&mut buffer).await, Ok(1..)) {
        if filters && faults.deaf.load(Ordering::SeqCst) {
            while cut_message(&mut buffer) {
                faults.swallowed.fetch_add(1, Ordering::SeqCst);
            }
        }
        let frozen = number < faults.working.load(Ordering::SeqCst);
        if !frozen && to.write_all(&buffer).await.is_err() {
            return;
        }
        buffer.clear();
    }
}

/// Takes one message of a channel out of what the server said, if there is one.
fn cut_message(said: &mut Vec<u8>) -> bool {
    const START: &[u8] = b">3\r\n$7\r\nmessage\r\n";
    let Some(at) = said.windows(START.len()).position(|window| window == START) else { return false };
    // A length, a channel, a length, a tag.
    let ends = said[at + START.len()..].windows(2).enumerate().filter(|(_, two)| two == b"\r\n");
    let (end, _) = ends.clone().nth(3).expect("a message comes in one piece");
    said.drain(at..at + START.len() + end + 2);
    true
}
