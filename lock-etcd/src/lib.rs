#![doc = include_str!("../README.md")]

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use etcd_client::{Client, ConnectOptions, TlsOptions};
use lock_core::{Error, Result};

mod address;
mod arriving;
mod backend;
mod clock;
mod crowds;
mod ending;
mod epoch;
mod error;
mod group;
mod keepalive;
mod kinds;
mod leases;
mod link;
mod names;
mod queue;
mod renewing;
mod steps;
mod taking;
mod waiter;
mod wakeups;

use address::Address;
use crowds::Crowds;
use epoch::Epoch;
use error::NAME;
use group::Group;
use kinds::{Arrivals, Removals};
use leases::Leases;
use link::{Link, PATIENCE, Source};
use names::Names;

/// Locks in etcd.
///
/// One connection carries a client's requests and its rings; another one its keeper's renewals. Clones are the same client.
///
/// ```no_run
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> lock_core::Result<()> {
/// use lock_core::Locker;
/// use lock_etcd::Etcd;
///
/// let locks = Locker::new(Etcd::connect("etcd://127.0.0.1").await?);
/// let guard = locks.lock("report/2025-01").acquire().await?;
/// guard.release().await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Etcd {
    link: Arc<Link>,
    shared: Arc<Shared>,
    arrivals: Arc<Group<Arrivals>>,
    removals: Arc<Group<Removals>>,
}

/// What a client shares with its forks.
#[derive(Debug)]
struct Shared {
    names: Names,
    epoch: Arc<Epoch>,
    leases: Leases,
    crowds: Crowds,
    /// How many arrivals there have been.
    arrived: AtomicU64,
}

impl Etcd {
    /// Connects to `etcd://[user:password@]host[:port][,host[:port]…][/prefix]`, or `etcds://` for TLS, or to endpoints as
    /// etcd's own tools take them, with the default [`Options`].
    ///
    /// The hosts are members of one cluster; the first that answers is used, and another one when it does not any more.
    ///
    /// # Errors
    ///
    /// - [`Invalid`](lock_core::ErrorKind::Invalid): no such address. The message does not repeat it: it may have a
    ///   password.
    /// - [`Backend`](lock_core::ErrorKind::Backend): the user or the password is wrong, or may not read.
    /// - [`Unavailable`](lock_core::ErrorKind::Unavailable): no answer of any member that reaches the others.
    ///
    /// # Cancel safety
    ///
    /// Nothing is left behind.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// let error = lock_etcd::Etcd::connect("redis://127.0.0.1").await.unwrap_err();
    /// assert!(error.to_string().contains("etcd://"));
    /// # }
    /// ```
    pub async fn connect(address: impl AsRef<str>) -> Result<Self> {
        Options::default().connect(address).await
    }

    /// Uses a client of the application's own, with the default [`Options`].
    ///
    /// It is not connected anew: it has to see to that itself, and what is held is renewed by way of the runtime that it
    /// was made on.
    ///
    /// # Errors
    ///
    /// As [`connect`](Self::connect).
    ///
    /// # Cancel safety
    ///
    /// Nothing is left behind.
    ///
    /// ```no_run
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let client = etcd_client::Client::connect(["127.0.0.1:2379"], None).await?;
    /// let store = lock_etcd::Etcd::from_client(client).await?;
    /// # Ok(())
    /// # }
    /// ```
    pub async fn from_client(client: Client) -> Result<Self> {
        Options::default().from_client(client).await
    }

    fn over(link: Arc<Link>, shared: Arc<Shared>) -> Self {
        let arrivals = Arrivals { epoch: shared.epoch.clone(), name: shared.names.epoch() };
        let (arrivals, removals) = (Group::new(&link, arrivals), Group::new(&link, Removals));
        Self { link, shared, arrivals, removals }
    }
}

impl std::fmt::Debug for Etcd {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Etcd").field("prefix", &self.shared.names.prefix()).finish_non_exhaustive()
    }
}

/// How to use a store.
///
/// ```no_run
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> lock_core::Result<()> {
/// let store = lock_etcd::Options::default().prefix("billing").connect("etcd://127.0.0.1").await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Default)]
pub struct Options {
    prefix: Option<String>,
    user: Option<(String, String)>,
    tls: Option<TlsOptions>,
}

impl Options {
    /// What all names in the store begin with, before a slash: 1 to 64 letters, digits, `_`, `-` and `.`; `lock` by
    /// default. Clients with different prefixes do not see each other's locks. An address may have it, too; then that
    /// counts.
    ///
    /// ```
    /// let options = lock_etcd::Options::default().prefix("billing");
    /// ```
    #[must_use]
    pub fn prefix(mut self, prefix: impl Into<String>) -> Self {
        self.prefix = Some(prefix.into());
        self
    }

    /// The user's name and password; the address may have them instead.
    ///
    /// ```
    /// let options = lock_etcd::Options::default().user("locks", "a password");
    /// assert!(!format!("{options:?}").contains("password"));
    /// ```
    #[must_use]
    pub fn user(mut self, name: impl Into<String>, password: impl Into<String>) -> Self {
        self.user = Some((name.into(), password.into()));
        self
    }

    /// Which authorities vouch for the servers of `https://` and `etcds://`, and a certificate of the client's own. By
    /// default, those that Mozilla lists.
    ///
    /// ```
    /// use etcd_client::{Certificate, TlsOptions};
    ///
    /// let authority = Certificate::from_pem("-----BEGIN CERTIFICATE-----");
    /// let options = lock_etcd::Options::default().tls(TlsOptions::new().ca_certificate(authority));
    /// ```
    #[must_use]
    pub fn tls(mut self, tls: TlsOptions) -> Self {
        self.tls = Some(tls);
        self
    }

    /// Connects to an address with these options.
    ///
    /// # Errors
    ///
    /// As [`Etcd::connect`]; [`Invalid`](lock_core::ErrorKind::Invalid) for a bad prefix, too.
    ///
    /// # Cancel safety
    ///
    /// Nothing is left behind.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// let error = lock_etcd::Options::default().prefix("a b").connect("etcd://127.0.0.1").await.unwrap_err();
    /// assert!(error.to_string().contains("prefix"));
    /// # }
    /// ```
    pub async fn connect(self, address: impl AsRef<str>) -> Result<Etcd> {
        match Address::parse(address.as_ref()) {
            Ok(address) => self.connect_to(address).await,
            Err(error) => Err(error),
        }
        .map_err(connecting)
    }

    /// Uses a client of the application's own, with the prefix of these options.
    ///
    /// # Errors
    ///
    /// As [`Etcd::connect`].
    ///
    /// # Cancel safety
    ///
    /// Nothing is left behind.
    ///
    /// ```no_run
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let client = etcd_client::Client::connect(["127.0.0.1:2379"], None).await?;
    /// let store = lock_etcd::Options::default().prefix("billing").from_client(client).await?;
    /// # Ok(())
    /// # }
    /// ```
    pub async fn from_client(self, client: Client) -> Result<Etcd> {
        start(Source::Client(Box::new(client)), self.prefix).await.map_err(connecting)
    }

    async fn connect_to(self, address: Address) -> Result<Etcd> {
        // etcd counts more than one ping in five seconds as an attack, and any without a stream.
        let mut options = ConnectOptions::new()
            .with_connect_timeout(PATIENCE)
            .with_keep_alive(Duration::from_secs(10), Duration::from_secs(10))
            .with_keep_alive_while_idle(false)
            .with_require_leader(true);
        if let Some((name, password)) = address.user.or(self.user) {
            options = options.with_user(name, password);
        }
        if address.endpoints.iter().all(|endpoint| endpoint.starts_with("https://")) {
            options = options.with_tls(self.tls.unwrap_or_else(|| TlsOptions::new().with_enabled_roots()));
        }
        let source = Source::Endpoints { endpoints: address.endpoints.into(), options: Box::new(options) };
        start(source, address.prefix.or(self.prefix)).await
    }
}

impl std::fmt::Debug for Options {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Options").field("prefix", &self.prefix).finish_non_exhaustive()
    }
}

async fn start(source: Source, prefix: Option<String>) -> Result<Etcd> {
    let names = Names::new(prefix.as_deref().unwrap_or("lock"))?;
    let epoch = Arc::<Epoch>::default();
    let link = Link::new(source, names.clone(), epoch.clone());
    link.session().await?;
    Ok(Etcd::over(
        Arc::new(link),
        Arc::new(Shared {
            names,
            epoch,
            leases: Leases::default(),
            crowds: Crowds::default(),
            arrived: AtomicU64::new(0),
        }),
    ))
}

fn connecting(error: Error) -> Error {
    error.in_operation("connect", &[], NAME)
}
