//! The line between a client and its server, for tests that cut it.

use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt, copy};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// What the suite does to the connections of one client and its forks.
///
/// [`Proxy`] does it for every server that is reached over TCP.
///
/// ```no_run
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> lock_core::Result<()> {
/// use conformance_tests::{Line, Proxy};
/// use lock_core::Locker;
/// use lock_redis::Redis;
///
/// let proxy = Proxy::to("redis://127.0.0.1:6379").await;
/// let locks = Locker::new(Redis::connect(proxy.url()).await?);
/// let guard = locks.lock("a").acquire().await?;
/// proxy.cut_answers(); // the release is done, and nobody hears of it
/// guard.release().await?;
/// proxy.cut();
/// # Ok(())
/// # }
/// ```
pub trait Line: Send + Sync + 'static {
    /// Ends the connections that there are. New ones come through.
    fn cut(&self);

    /// Ends each of the connections that there are when the server next says something on it, which is not passed on: what
    /// the client asked is done, and the client does not hear of it.
    fn cut_answers(&self);
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
/// let proxy = Proxy::to(&format!("tcp://{}", server.local_addr()?)).await;
/// let mut client = TcpStream::connect(proxy.url().trim_start_matches("tcp://")).await?;
/// let (_served, _) = server.accept().await?;
/// proxy.cut();
/// assert_eq!(client.read(&mut [0]).await?, 0); // the end
/// # Ok(())
/// # }
/// ```
pub struct Proxy {
    url: String,
    state: Arc<State>,
    accepting: JoinHandle<()>,
}

struct State {
    target: Mutex<String>,
    cuts: watch::Sender<usize>,
    /// How many connections there have been; how many of those hear nothing more, or are cut by what they would hear.
    made: AtomicUsize,
    held: AtomicUsize,
    doomed: AtomicUsize,
    edit: Mutex<Box<Edit>>,
}

type Edit = dyn FnMut(&mut Vec<u8>) + Send;

impl Proxy {
    /// A way to the server at `scheme://[…@]host:port[/…]`, driven by the runtime this is called on.
    ///
    /// # Panics
    ///
    /// When that is no such address.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// use conformance_tests::Proxy;
    /// let proxy = Proxy::to("redis://me:secret@localhost:6379/3").await;
    /// assert!(proxy.url().starts_with("redis://me:secret@127.0.0.1:") && proxy.url().ends_with("/3"));
    /// # }
    /// ```
    pub async fn to(url: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let here = listener.local_addr().expect("it is bound").to_string();
        let state = Arc::new(State {
            target: Mutex::new(target(url).to_owned()),
            cuts: watch::Sender::new(0),
            made: AtomicUsize::new(0),
            held: AtomicUsize::new(0),
            doomed: AtomicUsize::new(0),
            edit: Mutex::new(Box::new(|_| {})),
        });
        let accepting = tokio::spawn(accept(listener, state.clone()));
        Self { url: url.replacen(target(url), &here, 1), state, accepting }
    }

    /// The same address, but for the host and the port: those of this proxy.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// use conformance_tests::Proxy;
    /// let proxy = Proxy::to("postgres://localhost:5432").await;
    /// assert_ne!(proxy.url(), "postgres://localhost:5432");
    /// # }
    /// ```
    pub fn url(&self) -> &str {
        &self.url
    }

    /// From now on connections are made to the server at another address, as after a failover. Those that there are stay.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// use conformance_tests::Proxy;
    /// let proxy = Proxy::to("redis://localhost:6379").await;
    /// proxy.lead_to("redis://localhost:6380");
    /// # }
    /// ```
    pub fn lead_to(&self, url: &str) {
        *self.state.target.lock().expect("no holder panics") = target(url).to_owned();
    }

    /// From now on nothing that the server says comes through on the connections that there are. What the client says
    /// does, and the connections stay open.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// use conformance_tests::Proxy;
    /// let proxy = Proxy::to("redis://localhost:6379").await;
    /// proxy.hold();
    /// # }
    /// ```
    pub fn hold(&self) {
        self.state.held.store(self.state.made.load(Ordering::SeqCst), Ordering::SeqCst);
    }

    /// From now on what the server says is changed, piece by piece as it comes.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// use conformance_tests::Proxy;
    /// let proxy = Proxy::to("redis://localhost:6379").await;
    /// proxy.edit(|said| said.retain(|byte| *byte != 0));
    /// # }
    /// ```
    pub fn edit(&self, edit: impl FnMut(&mut Vec<u8>) + Send + 'static) {
        *self.state.edit.lock().expect("no holder panics") = Box::new(edit);
    }
}

/// The host and the port of an address.
pub(crate) fn target(url: &str) -> &str {
    let authority = url.split_once("://").map(|(_, rest)| rest.split(['/', '?']).next().unwrap_or(rest));
    let target = authority.map(|authority| authority.rsplit('@').next().unwrap_or(authority));
    target.filter(|target| target.contains(':')).expect("an address with a host and a port")
}

impl Line for Proxy {
    fn cut(&self) {
        self.state.cuts.send_modify(|cuts| *cuts += 1);
    }

    fn cut_answers(&self) {
        self.state.doomed.store(self.state.made.load(Ordering::SeqCst), Ordering::SeqCst);
    }
}

impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Proxy").field("target", &self.state.target).finish_non_exhaustive()
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
        let state = state.clone();
        tokio::spawn(async move {
            tokio::select! {
                _ = cut.changed() => {}
                () = pass(client, number, &state) => {}
            }
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
        if number < state.doomed.load(Ordering::SeqCst) {
            return;
        }
        (state.edit.lock().expect("no holder panics"))(&mut said);
        let held = number < state.held.load(Ordering::SeqCst);
        if !held && to.write_all(&said).await.is_err() {
            return;
        }
        said.clear();
    }
}
