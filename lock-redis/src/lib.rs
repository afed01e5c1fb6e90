#![doc = include_str!("../README.md")]

use std::sync::Arc;

use lock_core::{Bells, Error, ErrorKind, Key, Result};
use redis::{Client, IntoConnectionInfo};

mod backend;
mod error;
mod group;
mod link;
mod server;
mod step;
mod tls;
mod words;

use error::NAME;
use group::Group;
use link::Link;
use step::Step;
use words::Words;

/// Locks in Redis.
///
/// One connection carries a client's requests and its rings. Clones are the same client.
///
/// ```no_run
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> lock_core::Result<()> {
/// use lock_core::Locker;
/// use lock_redis::Redis;
///
/// let locks = Locker::new(Redis::connect("redis://127.0.0.1").await?);
/// let guard = locks.lock("report/2025-01").acquire().await?;
/// guard.release().await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Redis {
    link: Arc<Link>,
    names: Names,
    acquires: Arc<Group>,
    releases: Arc<Group>,
    renewals: Step,
}

impl Redis {
    /// Connects to `redis://[user:password@]host[:port][/database]`, or `rediss://` for TLS, with the default
    /// [`Options`].
    ///
    /// # Errors
    ///
    /// - [`Invalid`](ErrorKind::Invalid): no such address. The message does not repeat it: it may have a password.
    /// - [`Unsupported`](ErrorKind::Unsupported): a Redis older than 7.0, or a Redis Cluster.
    /// - [`Backend`](ErrorKind::Backend): the user or the password is wrong.
    /// - [`Unavailable`](ErrorKind::Unavailable): no answer.
    ///
    /// # Cancel safety
    ///
    /// Nothing is left behind.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// let error = lock_redis::Redis::connect("http://127.0.0.1").await.unwrap_err();
    /// assert!(error.to_string().contains("redis://"));
    /// # }
    /// ```
    pub async fn connect(url: impl AsRef<str>) -> Result<Self> {
        Options::default().connect(url).await
    }

    /// Connects as a client of the application's own says, with the default [`Options`].
    ///
    /// The client's connections are not shared: it is taken as a description of where the server is.
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
    /// let client = redis::Client::open("redis://127.0.0.1")?;
    /// let store = lock_redis::Redis::from_client(&client).await?;
    /// # Ok(())
    /// # }
    /// ```
    pub async fn from_client(client: &Client) -> Result<Self> {
        Options::default().from_client(client).await
    }
}

impl std::fmt::Debug for Redis {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Redis").field("prefix", &self.names.prefix).finish_non_exhaustive()
    }
}

/// How to use a server.
///
/// ```no_run
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> lock_core::Result<()> {
/// let store = lock_redis::Options::default().prefix("billing").connect("redis://127.0.0.1").await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    prefix: String,
    min_replicas: u32,
}

impl Default for Options {
    fn default() -> Self {
        Self { prefix: "lock".into(), min_replicas: 0 }
    }
}

impl Options {
    /// What all names on the server begin with, before a colon: 1 to 64 letters, digits, `_`, `-` and `.`; `lock` by
    /// default. Clients with different prefixes do not see each other's locks.
    ///
    /// ```
    /// let options = lock_redis::Options::default().prefix("billing");
    /// ```
    #[must_use]
    pub fn prefix(mut self, prefix: impl Into<String>) -> Self {
        self.prefix = prefix.into();
        self
    }

    /// How many replicas must have a grant or a renewal before it counts, by `WAIT`; 0 by default. One that not so many
    /// have acknowledged within a second is [`Unavailable`](ErrorKind::Unavailable): it may be in the store, and is asked
    /// for again or removed.
    ///
    /// It takes one more round trip, and as long as a replica takes to answer the server. What else this client asks is
    /// held up for so long. What it promises, and what not, is in the README under "Replicas".
    ///
    /// ```
    /// let options = lock_redis::Options::default().min_replicas(1);
    /// ```
    #[must_use]
    pub fn min_replicas(mut self, replicas: u32) -> Self {
        self.min_replicas = replicas;
        self
    }

    /// Connects to an address with these options.
    ///
    /// # Errors
    ///
    /// As [`Redis::connect`]; [`Invalid`](ErrorKind::Invalid) for a bad prefix, too.
    ///
    /// # Cancel safety
    ///
    /// Nothing is left behind.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// let error = lock_redis::Options::default().prefix("a:b").connect("redis://127.0.0.1").await.unwrap_err();
    /// assert!(error.to_string().contains("prefix"));
    /// # }
    /// ```
    pub async fn connect(self, url: impl AsRef<str>) -> Result<Redis> {
        let invalid = "not the address of a Redis: redis://[user:password@]host[:port][/database], or rediss:// for TLS";
        let client = Client::open(url.as_ref()).map_err(|_| Error::new(ErrorKind::Invalid, invalid));
        match client {
            Ok(client) => self.from_client(&client).await,
            Err(error) => Err(error.in_operation("connect", &[], NAME)),
        }
    }

    /// Connects as a client says, with these options.
    ///
    /// # Errors
    ///
    /// As [`Redis::connect`].
    ///
    /// # Cancel safety
    ///
    /// Nothing is left behind.
    ///
    /// ```no_run
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let client = redis::Client::open("redis://127.0.0.1")?;
    /// let store = lock_redis::Options::default().prefix("billing").from_client(&client).await?;
    /// # Ok(())
    /// # }
    /// ```
    pub async fn from_client(self, client: &Client) -> Result<Redis> {
        self.start(client).await.map_err(|error| error.in_operation("connect", &[], NAME))
    }

    async fn start(self, client: &Client) -> Result<Redis> {
        let names = Names::new(&self.prefix)?;
        let info = client.get_connection_info().clone().into_connection_info().map_err(error::explain)?;
        // Rings come over the connection that carries the requests: that takes RESP3.
        let settings = info.redis_settings().clone().set_protocol(redis::ProtocolVersion::RESP3);
        let client = Client::open(info.set_redis_settings(settings)).map_err(error::explain)?;
        let link = Link::new(client, names.channel(&random()?).into(), Bells::default(), self.min_replicas);
        server::check(&link).await?;
        Ok(Redis::over(link, names))
    }
}

/// What things are called on the server. A prefix has no colon, so no name of one is a name of another.
#[derive(Clone)]
struct Names {
    prefix: Arc<str>,
}

impl Names {
    fn new(prefix: &str) -> Result<Self> {
        let plain = |c: char| c.is_ascii_alphanumeric() || "_-.".contains(c);
        if prefix.is_empty() || prefix.len() > 64 || !prefix.chars().all(plain) {
            let message =
                format!("the prefix is {prefix:?}; it must be 1 to 64 letters, digits, '_', '-' and '.'");
            return Err(Error::new(ErrorKind::Invalid, message));
        }
        Ok(Self { prefix: prefix.into() })
    }

    fn counter(&self) -> String {
        format!("{}:n", self.prefix)
    }

    /// Begins a word with a claim's name. All are as long as each other.
    fn claim<'a>(&self, words: &'a mut Words, owner: &str) -> &'a mut Words {
        words.add(&self.prefix).add(":c:").add(owner)
    }

    fn queue<'a>(&self, words: &'a mut Words, key: &Key) -> &'a mut Words {
        words.add(&self.prefix).add(":q:").add(key.as_str())
    }

    fn channel(&self, random: &str) -> String {
        format!("{}:b:{random}", self.prefix)
    }
}

/// 128 random bits, for a name that nobody guesses.
fn random() -> Result<String> {
    let mut random = [0; 16];
    getrandom::fill(&mut random)
        .map_err(|e| Error::new(ErrorKind::Unavailable, "no random numbers to be had").with_source(e))?;
    Ok(format!("{:032x}", u128::from_be_bytes(random)))
}
