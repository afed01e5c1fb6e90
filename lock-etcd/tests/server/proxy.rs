//! Stands between a client and its server, and keeps things from it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use conformance_tests::Server;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// A way to a server.
pub(crate) struct Proxy {
    pub(crate) url: String,
    faults: Arc<Faults>,
}

#[derive(Default)]
struct Faults {
    /// Connections so far, and the first through which anything passes.
    connections: AtomicUsize,
    working: AtomicUsize,
    /// The first connection that is open.
    open: watch::Sender<usize>,
}

impl Proxy {
    pub(crate) async fn to(server: &Server) -> Self {
        let faults = Arc::<Faults>::default();
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let url = format!("etcd://{}", listener.local_addr().expect("it is bound"));
        let target = server.url().trim_start_matches("etcd://").to_owned();
        tokio::spawn(accept(listener, target, faults.clone()));
        Self { url, faults }
    }

    /// Nothing comes through any more on the connections that are there. They stay open.
    pub(crate) fn freeze(&self) {
        self.faults.working.store(self.connections(), Ordering::SeqCst);
    }

    /// Closes the connections that are there.
    pub(crate) fn cut(&self) {
        self.faults.open.send_replace(self.connections());
    }

    pub(crate) fn connections(&self) -> usize {
        self.faults.connections.load(Ordering::SeqCst)
    }
}

async fn accept(listener: TcpListener, target: String, faults: Arc<Faults>) {
    while let Ok((client, _)) = listener.accept().await {
        let Ok(server) = TcpStream::connect(&target).await else { continue };
        let number = faults.connections.fetch_add(1, Ordering::SeqCst);
        let ((from_client, to_client), (from_server, to_server)) = (client.into_split(), server.into_split());
        tokio::spawn(pass(from_client, to_server, number, faults.clone()));
        tokio::spawn(pass(from_server, to_client, number, faults.clone()));
    }
}

async fn pass(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, number: usize, faults: Arc<Faults>) {
    let mut open = faults.open.subscribe();
    let mut buffer = vec![0; 1 << 16];
    loop {
        let read = tokio::select! {
            read = from.read(&mut buffer) => read,
            _ = open.wait_for(|open| number < *open) => return,
        };
        let Ok(size @ 1..) = read else { return };
        let frozen = number < faults.working.load(Ordering::SeqCst);
        if !frozen && to.write_all(&buffer[..size]).await.is_err() {
            return;
        }
    }
}
