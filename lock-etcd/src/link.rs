//! The connection to the store, made again when it breaks: to whichever member answers first.

use std::fmt;
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use etcd_client::proto::{PbRangeResponse, PbTxnResponse};
use etcd_client::{Client, ConnectOptions, Error as EtcdError, GetOptions, KvClient, LeaseClient, Txn};
use futures::future::{BoxFuture, select_ok};
use lock_core::{Error, ErrorKind, Result};
use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::clock::{Moment, wall_micros};
use crate::epoch::{self, Epoch};
use crate::error::{Trouble, breaks, explain, late, wants_token};
use crate::keepalive::{self, Renewal};
use crate::leases::Lease;
use crate::names::Names;
use crate::steps::{self, Get};
use crate::wakeups::{self, Command};

/// How long the store may take to answer before the connection is given up.
pub(crate) const PATIENCE: Duration = Duration::from_secs(3);

/// The largest answer that is read: the queue of a key with some ten thousand claims.
const LARGEST: usize = 64 << 20;

/// Where the store is.
#[derive(Clone)]
pub(crate) enum Source {
    Endpoints {
        endpoints: Arc<[String]>,
        options: Box<ConnectOptions>,
    },
    /// A client of the application's own, which sees to its connections itself.
    Client(Box<Client>),
}

/// A connection that carries all requests, one stream of renewals, and one of wake-ups.
#[derive(Clone)]
pub(crate) struct Link {
    source: Source,
    names: Names,
    /// Shared by all links of a client.
    epoch: Arc<Epoch>,
    current: Arc<Mutex<Option<Arc<Session>>>>,
    /// One at a time connects.
    connecting: Arc<tokio::sync::Mutex<()>>,
}

/// A connection, while it works.
pub(crate) struct Session {
    client: Client,
    kv: KvClient,
    leases: LeaseClient,
    /// A name under which nothing is stored.
    nothing: String,
    renewals: Mutex<Option<UnboundedSender<Renewal>>>,
    waiters: Mutex<Option<UnboundedSender<Command>>>,
}

impl Link {
    pub(crate) fn new(source: Source, names: Names, epoch: Arc<Epoch>) -> Self {
        Self { source, names, epoch, current: Arc::default(), connecting: Arc::default() }
    }

    /// Another connection of the same client; `None` if its client is somebody else's.
    pub(crate) fn fork(&self) -> Option<Self> {
        match self.source {
            Source::Endpoints { .. } => {
                Some(Self::new(self.source.clone(), self.names.clone(), self.epoch.clone()))
            }
            Source::Client(_) => None,
        }
    }

    pub(crate) async fn session(&self) -> Result<Arc<Session>> {
        if let Some(session) = &*self.current() {
            return Ok(session.clone());
        }
        // Others wait for this one, which may not wait for its caller to be polled.
        let mut attempt = JoinSet::new();
        attempt.spawn(self.clone().reconnect());
        let ended = || Error::new(ErrorKind::Unavailable, "the runtime that was to connect has ended");
        attempt.join_next().await.and_then(|session| session.ok()).ok_or_else(ended)?
    }

    async fn reconnect(self) -> Result<Arc<Session>> {
        let _one = self.connecting.lock().await;
        if let Some(session) = &*self.current() {
            return Ok(session.clone());
        }
        let client = timeout(PATIENCE, self.connect()).await.map_err(|_| late())??;
        let session = Arc::new(Session::new(client, self.names.nothing()));
        *self.current() = Some(session.clone());
        Ok(session)
    }

    async fn connect(&self) -> Result<Client> {
        let seen = wall_micros();
        let (client, epoch) = match &self.source {
            Source::Client(client) => self.probe((**client).clone()).await?,
            Source::Endpoints { endpoints, options } => {
                // A member that is down or cut off from the others does not answer a read like this one.
                let connect = |endpoint: &String| -> BoxFuture<'_, _> {
                    let (endpoint, options) = ([endpoint.clone()], (**options).clone());
                    Box::pin(async move {
                        let client = Client::connect(endpoint, Some(options)).await.map_err(explain)?;
                        self.probe(client).await
                    })
                };
                select_ok(endpoints.iter().map(connect)).await?.0
            }
        };
        // What is stored there may be no epoch. Nothing is taken then; but what is held can be let go.
        let revision = epoch.header.as_ref().map_or(0, |header| header.revision);
        let _ = self.epoch.learn(&epoch, revision, seen);
        Ok(client)
    }

    /// Reads the epoch, which takes a member that reaches the others, and a user who may read.
    async fn probe(&self, client: Client) -> Result<(Client, PbRangeResponse), Trouble> {
        let answer = client.kv_client().get(self.names.epoch(), None).await.map_err(explain)?;
        Ok((client, answer.0))
    }

    /// Asks the store. A request that it did not answer may have been done all the same.
    async fn call<T, F>(&self, request: impl Fn(&Session) -> F) -> Result<T, Trouble>
    where
        F: Future<Output = Result<T, EtcdError>>,
    {
        let session = self.session().await?;
        let mut refreshed = false;
        loop {
            let error = match timeout(PATIENCE, request(&session)).await {
                Ok(Ok(answer)) => return Ok(answer),
                Ok(Err(error)) => error,
                Err(_) => {
                    self.doubt(&session);
                    return Err(late().into());
                }
            };
            if wants_token(&error) && !refreshed {
                refreshed = true;
                match timeout(PATIENCE, session.client.refresh_token()).await {
                    Ok(Ok(())) => continue,
                    Ok(Err(error)) => return Err(explain(error)),
                    Err(_) => return Err(late().into()),
                }
            }
            if breaks(&error) {
                self.doubt(&session);
            }
            return Err(explain(error));
        }
    }

    pub(crate) async fn transact(&self, txn: impl Into<Txn>) -> Result<PbTxnResponse, Trouble> {
        let txn = txn.into();
        let answer = self.call(|session| {
            let (mut kv, txn) = (session.kv.clone(), txn.clone());
            async move { kv.txn(txn).await }
        });
        Ok(answer.await?.0)
    }

    /// Reads names and ranges at one revision.
    pub(crate) async fn read(&self, gets: Vec<Get>) -> Result<Vec<PbRangeResponse>, Trouble> {
        Ok(steps::ranges(self.transact(steps::read(gets)).await?).collect())
    }

    async fn get(&self, get: &Get) -> Result<PbRangeResponse, Trouble> {
        let answer = self.call(|session| {
            let (mut kv, Get { name, options }) = (session.kv.clone(), get.clone());
            async move { kv.get(name, options).await }
        });
        Ok(answer.await?.0)
    }

    /// The epoch at the revision of a claim that another client took: as long as etcd has not compacted it.
    pub(crate) async fn epoch_at(&self, revision: i64) -> Result<u64> {
        let past = GetOptions::new().with_revision(revision);
        match self.get(&Get { name: self.names.epoch(), options: Some(past) }).await {
            Ok(stored) => epoch::read(&stored),
            Err(Trouble::Compacted) => {
                let message = "another client took it, and its token is not known any more: the store was compacted since";
                Err(Error::new(ErrorKind::Backend, message))
            }
            Err(trouble) => Err(trouble.into()),
        }
    }

    pub(crate) async fn grant(&self, seconds: i64) -> Result<Lease, Trouble> {
        let renewed = Moment::now();
        let answer = self.call(|session| {
            let mut leases = session.leases.clone();
            async move { leases.grant(seconds, None).await }
        });
        let answer = answer.await?;
        let ttl = Duration::from_secs(u64::try_from(answer.ttl()).unwrap_or(0));
        Ok(Lease { id: answer.id(), seconds, ttl, renewed })
    }

    /// Renews a lease: its ttl, or zero if it is gone. That it was renewed proves nothing of what is stored with it: etcd
    /// 3.4 renews leases that were revoked.
    pub(crate) async fn renew(&self, lease: i64) -> Result<Duration> {
        let session = self.session().await?;
        match timeout(PATIENCE, session.renew(lease)).await {
            Ok(Some(ttl)) => Ok(ttl),
            Ok(None) => {
                self.doubt(&session);
                Err(Error::new(ErrorKind::Unavailable, "the stream of renewals broke"))
            }
            Err(_) => {
                self.doubt(&session);
                Err(late())
            }
        }
    }

    /// Gives up a connection that may be broken, or that leads to a member which is cut off.
    pub(crate) fn doubt(&self, session: &Arc<Session>) {
        let mut current = self.current();
        if current.as_ref().is_some_and(|current| Arc::ptr_eq(current, session)) {
            *current = None;
            session.close();
        }
    }

    fn current(&self) -> MutexGuard<'_, Option<Arc<Session>>> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Link").finish_non_exhaustive()
    }
}

impl Session {
    fn new(client: Client, nothing: String) -> Self {
        let kv = client.kv_client().max_decoding_message_size(LARGEST);
        let leases = client.lease_client();
        Self { client, kv, leases, nothing, renewals: Mutex::default(), waiters: Mutex::default() }
    }

    /// `None` if the stream broke.
    async fn renew(&self, lease: i64) -> Option<Duration> {
        let (answer, ttl) = oneshot::channel();
        let run = |asked| keepalive::run(self.leases.clone(), asked);
        tell(&self.renewals, Renewal { lease, answer }, run);
        ttl.await.ok()
    }

    /// Tells the task that rings; it begins with the first waiter, and ends with the stream.
    pub(crate) fn tell(&self, command: Command) -> mpsc::WeakUnboundedSender<Command> {
        tell(&self.waiters, command, |told| {
            wakeups::run(self.client.clone(), self.kv.clone(), self.nothing.clone(), told)
        })
    }

    /// Ends the tasks of both streams.
    fn close(&self) {
        self.renewals.lock().unwrap_or_else(PoisonError::into_inner).take();
        self.waiters.lock().unwrap_or_else(PoisonError::into_inner).take();
    }
}

/// Sends something to a stream's task, which is started if there is none any more.
fn tell<T, F>(
    task: &Mutex<Option<UnboundedSender<T>>>,
    mut message: T,
    run: impl FnOnce(mpsc::UnboundedReceiver<T>) -> F,
) -> mpsc::WeakUnboundedSender<T>
where
    F: Future<Output = ()> + Send + 'static,
{
    let mut task = task.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(running) = &*task {
        match running.send(message) {
            Ok(()) => return running.downgrade(),
            Err(unsent) => message = unsent.0,
        }
    }
    let (sender, told) = mpsc::unbounded_channel();
    // Its receiver is right here.
    let _ = sender.send(message);
    #[expect(
        clippy::disallowed_methods,
        reason = "one task a stream; it ends with the session, or the stream"
    )]
    drop(tokio::spawn(run(told)));
    task.insert(sender).downgrade()
}

/// The revision at which a transaction was done, or read.
pub(crate) fn revision(answer: &PbTxnResponse) -> i64 {
    answer.header.as_ref().map_or(0, |header| header.revision)
}
