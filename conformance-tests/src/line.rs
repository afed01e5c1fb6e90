//! The line between a client and its server, for tests that cut it.

use std::fmt;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt, copy};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// What the suite does to the connections between one client, with its forks, and the server.
///
/// [`Proxy`] does it for every server that is reached over TCP.
pub trait Line: Send + Sync + 'static {
    /// Ends the connections that there are. New ones come through.
    fn cut(&self);

    /// From now on nothing that the server says comes through on the connections that there are. What the client says
    /// does, and the connections stay open.
    fn hold(&self);

    /// How many connections there are.
    fn connections(&self) -> usize;
}

/// A way to a server, on which a client can be cut off, kept from hearing, and led to another server.
///
/// Dropped, it ends all its connections.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> std::io::Result<()> {
/// use conformance_tests::{Line, Proxy};
/// use tokio::io::AsyncReadExt;
/// use tokio::net::{TcpListener, TcpStream};
///
/// let server = TcpListener::bind("127.0.0.1:0").await?;
/// let proxy = Proxy::to(server.local_addr()?).await;
/// let mut client = TcpStream::connect(proxy.address()).await?;
/// let (_served, _) = server.accept().await?;
/// proxy.cut();
/// assert_eq!(client.read(&mut [0]).await?, 0); // the end
/// # Ok(())
/// # }
/// ```
pub struct Proxy {
    address: SocketAddr,
    state: Arc<State>,
    accepting: JoinHandle<()>,
}

struct State {
    target: Mutex<String>,
    cuts: watch::Sender<usize>,
    /// How many connections there have been, and how many of those hear nothing more.
    made: AtomicUsize,
    held: AtomicUsize,
    open: AtomicUsize,
    edit: Mutex<Box<Edit>>,
}

type Edit = dyn FnMut(&mut Vec<u8>) + Send;

impl Proxy {
    /// A way to the server at `host:port`, driven by the runtime this is called on.
    pub async fn to(target: impl ToString) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("it is bound");
        let state = Arc::new(State {
            target: Mutex::new(target.to_string()),
            cuts: watch::Sender::new(0),
            made: AtomicUsize::new(0),
            held: AtomicUsize::new(0),
            open: AtomicUsize::new(0),
            edit: Mutex::new(Box::new(|_| {})),
        });
        let accepting = tokio::spawn(accept(listener, state.clone()));
        Self { address, state, accepting }
    }

    /// Where a client connects instead.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// From now on connections are made to another server. Those that there are stay.
    pub fn lead_to(&self, target: impl ToString) {
        *self.state.target.lock().expect("no holder panics") = target.to_string();
    }

    /// From now on what the server says is changed, piece by piece as it comes.
    pub fn edit(&self, edit: impl FnMut(&mut Vec<u8>) + Send + 'static) {
        *self.state.edit.lock().expect("no holder panics") = Box::new(edit);
    }
}

impl Line for Proxy {
    fn cut(&self) {
        self.state.cuts.send_modify(|cuts| *cuts += 1);
    }

    fn hold(&self) {
        self.state.held.store(self.state.made.load(Ordering::SeqCst), Ordering::SeqCst);
    }

    fn connections(&self) -> usize {
        self.state.open.load(Ordering::SeqCst)
    }
}

impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Proxy").field("address", &self.address).finish_non_exhaustive()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.accepting.abort();
        self.cut();
    }
}

async fn accept(listener: TcpListener, state: Arc<State>) {
    while let Ok((client, _)) = listener.accept().await {
        let mut cut = state.cuts.subscribe();
        let number = state.made.fetch_add(1, Ordering::SeqCst);
        state.open.fetch_add(1, Ordering::SeqCst);
        let state = state.clone();
        tokio::spawn(async move {
            tokio::select! {
                _ = cut.changed() => {}
                () = pass(client, number, &state) => {}
            }
            state.open.fetch_sub(1, Ordering::SeqCst);
        });
    }
}

/// Passes on what both say, until one of them ends it.
async fn pass(client: TcpStream, number: usize, state: &State) {
    let target = state.target.lock().expect("no holder panics").clone();
    let Ok(server) = TcpStream::connect(target).await else { return };
    let ((mut said, to_client), (from_server, mut to_server)) = (client.into_split(), server.into_split());
    tokio::select! {
        _ = copy(&mut said, &mut to_server) => {}
        () = answer(from_server, to_client, number, state) => {}
    }
}

async fn answer(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, number: usize, state: &State) {
    let mut said = Vec::with_capacity(1 << 16);
    while matches!(from.read_buf(&mut said).await, Ok(1..)) {
        (state.edit.lock().expect("no holder panics"))(&mut said);
        let held = number < state.held.load(Ordering::SeqCst);
        if !held && to.write_all(&said).await.is_err() {
            return;
        }
        said.clear();
    }
}
