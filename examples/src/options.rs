//! What all workflows are asked in the same words.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use clap::Args;
use humantime::{format_duration, parse_duration};
use lock_core::{Backend, ErrorKind, Guard, Locker, Token};
use lock_postgres::Postgres;

use crate::backend::{KNOWN, Url};
use crate::data::Proof;
use crate::place::{Home, Place};

/// What says where the locks live, and where the data is, without being among the arguments.
pub const BACKEND: &str = "LOCK_EXAMPLES_BACKEND";
/// See [`BACKEND`].
pub const DATA: &str = "LOCK_EXAMPLES_DATA";

/// Options that every workflow has.
#[derive(Args, Clone, Debug)]
pub struct Options {
    /// Where the locks live; without it, beside the data.
    #[arg(long, value_name = "URL", env = BACKEND, hide_env_values = true, help = format!("Where the locks live: {KNOWN} [default: beside the data]"))]
    pub backend: Option<Url>,
    /// Run the same workers bare, and see the damage
    #[arg(long)]
    pub no_locks: bool,
    /// How long a lock outlives a worker that died
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = parse_duration)]
    pub ttl: Duration,
    /// Where the data is kept; without it, in a temporary place: where the locks are if that is a PostgreSQL.
    #[arg(long, value_name = "PLACE", env = DATA, hide_env_values = true, help = format!("Keep the data in {} [default: in a temporary place, \
        removed at the end: in the PostgreSQL that the locks are in, or in a directory]", Place::KNOWN))]
    pub data: Option<Place>,
}

impl Options {
    /// Does the work of a run, in a place that is made for the data before and removed afterwards, unless it is kept.
    ///
    /// # Errors
    ///
    /// As for [`home`](Self::home), or the work's.
    pub async fn at_home<T>(&self, work: impl AsyncFnOnce(&Place) -> Result<T>) -> Result<T> {
        let home = self.home().await?;
        let outcome = work(home.place()).await;
        let ended = home.end().await;
        outcome.and_then(|outcome| ended.map(|()| outcome))
    }

    /// Makes the place that the data is in, and makes sure of the store of the locks.
    ///
    /// # Errors
    ///
    /// The store's, or the ttl is none: nothing was made, but for a directory where the locks were to be in it. Or the
    /// place cannot be made.
    pub async fn home(&self) -> Result<Home> {
        let server = self.backend.as_ref().filter(|url| url.is_postgres());
        // Locks that are to be in what is made cannot be tried before.
        let (first, inside) = match (&self.data, &self.backend) {
            (None, Some(url)) if server.is_none() => (Some(url), false),
            (Some(place), Some(url)) if !place.shares(url) => (Some(url), false),
            _ => (None, true),
        };
        if let Some(url) = first {
            self.probe(url).await?;
        }
        let home = match &self.data {
            Some(place) => Home::kept(place.clone()).await?,
            None => Home::temporary(server).await?,
        };
        if inside && let Err(error) = self.probe(&self.url(home.place())).await {
            // What went wrong first is what has to be said.
            let _ = home.undo().await;
            return Err(error);
        }
        Ok(home)
    }

    /// Where the locks of a run are, in words.
    pub fn words(&self, place: &Place) -> String {
        if self.no_locks { "no locks".to_owned() } else { format!("locks in {}", self.url(place)) }
    }

    /// The URL of the store: beside the data, unless another one was given.
    pub fn url(&self, place: &Place) -> Url {
        match &self.backend {
            // In the same database, in the schema of the data: what is removed with it leaves nothing behind.
            Some(url) if place.shares(url) && url.schema().is_none() => place.locks(),
            Some(url) => url.clone(),
            None => place.locks(),
        }
    }

    /// Takes a lock and gives it back, so that what is wrong with the store is known before anything is begun.
    async fn probe(&self, url: &Url) -> Result<()> {
        if self.no_locks {
            return Ok(());
        }
        let locks = self.locker(url.connect().await?, "probe");
        // Skipping, what is wrong is said at once, and not after having been tried again for a while.
        let Some(guard) = locks.lock("probe").shared().try_acquire().await? else { return Ok(()) };
        match guard.release().await {
            // The store is there, only slow: the release goes on by itself.
            Err(error) if error.kind() == ErrorKind::Unavailable => Ok(()),
            released => Ok(released?),
        }
    }

    /// Connects to the store, unless it is to be done without.
    ///
    /// # Errors
    ///
    /// The store's.
    pub async fn locks(&self, place: &Place, label: &str) -> Result<Option<Locks>> {
        let url = self.url(place);
        if self.no_locks {
            Ok(None)
        } else if place.shares(&url) {
            let store = url.postgres().await?;
            Ok(Some(Locks { keys: self.locker(Arc::new(store.clone()), label), beside: Some(store) }))
        } else {
            Ok(Some(Locks { keys: self.locker(url.connect().await?, label), beside: None }))
        }
    }

    fn locker(&self, backend: Arc<dyn Backend>, label: &str) -> Locker {
        Locker::new(backend).with_ttl(self.ttl).with_label(label)
    }

    /// What passes them on to a worker.
    pub fn to_args(&self) -> Vec<String> {
        let mut args = vec!["--ttl".to_owned(), format_duration(self.ttl).to_string()];
        args.extend(self.no_locks.then(|| "--no-locks".to_owned()));
        args
    }

    /// The rest, which may have passwords: everybody on the machine can read arguments.
    pub fn to_env(&self, place: &Place) -> [(&'static str, String); 2] {
        [(DATA, place.as_arg()), (BACKEND, self.url(place).as_arg().to_owned())]
    }
}

/// The store of the locks.
#[derive(Clone, Debug)]
pub struct Locks {
    /// Locks by key.
    pub keys: Locker,
    /// The same, where the data is in the same database: so that a transaction can see whether a lock is held.
    pub beside: Option<Postgres>,
}

impl Locks {
    /// What a transaction is shown by whoever holds a lock on a resource, whose key it is called by.
    pub fn proof<'a>(&'a self, guard: &'a Guard, resource: &'a str, key: &str) -> Proof<'a> {
        match &self.beside {
            Some(store) => Proof::Held(store, guard),
            None => Proof::Token(resource, guard.token_of(key).unwrap_or(guard.token())),
        }
    }

    /// The same by whoever holds one lock on several resources. `tokens` has each with its token, in one order for all, so that
    /// no two transactions wait for each other.
    pub fn proof_of_all<'a>(&'a self, guard: &'a Guard, tokens: &'a [(String, Token)]) -> Proof<'a> {
        match &self.beside {
            Some(store) => Proof::Held(store, guard),
            None => Proof::Tokens(tokens),
        }
    }
}
