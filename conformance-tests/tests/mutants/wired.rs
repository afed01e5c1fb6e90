//! A client on a line that can be cut, and what it may make of that.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use conformance_tests::Line;
use futures::{StreamExt, stream};
use lock_core::{
    Attempt, Backend, Busy, Claim, Error, ErrorKind, Grant, Ownership, Profile, Result, Token, Wakeups,
};
use tokio::sync::watch;

use crate::fault::Fault::{self, *};

/// What is broken about a client when its line is, if anything.
#[derive(Debug)]
pub(crate) struct Wire {
    fault: Option<Fault>,
    cuts: watch::Sender<usize>,
    /// The next answer is lost.
    doomed: AtomicBool,
    /// The next look is the first one after a cut.
    fresh: AtomicBool,
    held: Mutex<Vec<Claim>>,
}

/// A client, or a fork of it: each is a connection.
#[derive(Debug)]
pub(crate) struct Wired {
    inner: Arc<dyn Backend>,
    wire: Arc<Wire>,
    connection: Arc<()>,
}

/// A line to a client.
pub(crate) struct Cable(Arc<Wire>);

impl Wired {
    /// The server has a share in every connection.
    pub(crate) fn new(fault: Option<Fault>, inner: Arc<dyn Backend>, server: &Arc<()>) -> (Self, Cable) {
        let wire = Arc::new(Wire {
            fault,
            cuts: watch::Sender::new(0),
            doomed: AtomicBool::default(),
            fresh: AtomicBool::default(),
            held: Mutex::default(),
        });
        if fault == Some(ConnectionsStay) {
            std::mem::forget(server.clone());
        }
        (Self { inner, wire: wire.clone(), connection: server.clone() }, Cable(wire))
    }

    fn is(&self, fault: Fault) -> bool {
        self.wire.fault == Some(fault)
    }

    /// What a request finds before it gets to the store.
    async fn reach(&self) -> Result<()> {
        if self.is(CutIsForEver) && *self.wire.cuts.borrow() > 0 {
            return Err(lost());
        }
        if self.is(CutReleases) && self.wire.fresh.swap(false, Ordering::SeqCst) {
            let held: Vec<_> = self.wire.held.lock().expect("no call panics").drain(..).collect();
            for claim in held {
                self.inner.release(&claim, Duration::ZERO).await?;
            }
        }
        Ok(())
    }

    fn is_lost(&self) -> bool {
        self.wire.doomed.swap(false, Ordering::SeqCst)
    }
}

fn lost() -> Error {
    Error::new(ErrorKind::Unavailable, "the line was cut")
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl Backend for Wired {
    fn profile(&self) -> Profile {
        self.inner.profile()
    }

    async fn acquire(&self, claim: &Claim) -> Result<Attempt> {
        self.reach().await?;
        if self.is(FirstLookAfterACutIsBusy) && self.wire.fresh.swap(false, Ordering::SeqCst) {
            return Ok(Attempt::Busy(Busy::new(Duration::ZERO)));
        }
        let attempt = self.inner.acquire(claim).await?;
        if matches!(attempt, Attempt::Granted(_)) {
            self.wire.held.lock().expect("no call panics").push(claim.clone());
        }
        match self.wire.fault {
            _ if !self.is_lost() => Ok(attempt),
            Some(CutAnswerIsBusy) => Ok(Attempt::Busy(Busy::new(Duration::ZERO))),
            Some(CutAnswerIsHeld) => Ok(Attempt::Granted(Grant::new(Token::new(1), claim.ttl()))),
            _ => Err(lost()),
        }
    }

    async fn renew(&self, claims: &[Arc<Claim>]) -> Vec<Result<Ownership>> {
        if let Err(error) = self.reach().await {
            return vec![Err(error); claims.len()];
        }
        let answers = self.inner.renew(claims).await;
        match self.wire.fault {
            _ if !self.is_lost() => answers,
            Some(CutAnswerIsLost) => vec![Ok(Ownership::Lost); claims.len()],
            _ => vec![Err(lost()); claims.len()],
        }
    }

    async fn release(&self, claim: &Claim, keep: Duration) -> Result<Ownership> {
        self.reach().await?;
        let answer = self.inner.release(claim, keep).await;
        match self.wire.fault {
            _ if !self.is_lost() => answer,
            // As if it had been asked for again.
            Some(CutAnswerIsLost) => Ok(Ownership::Lost),
            _ => Err(lost()),
        }
    }

    async fn wakeups(&self, claim: &Claim) -> Result<Wakeups> {
        let (rings, mut cuts) = (self.inner.wakeups(claim).await?, self.wire.cuts.subscribe());
        if !self.is(CutSilencesBells) {
            return Ok(rings);
        }
        let cut = async move { drop(cuts.changed().await) };
        Ok(Wakeups::new(rings.take_until(Box::pin(cut)).chain(stream::pending())))
    }

    async fn fork(&self) -> Result<Arc<dyn Backend>> {
        let (wire, connection) = (self.wire.clone(), self.connection.clone());
        Ok(Arc::new(Self { inner: self.inner.fork().await?, wire, connection }))
    }
}

impl Line for Cable {
    fn cut(&self) {
        self.0.fresh.store(true, Ordering::SeqCst);
        self.0.cuts.send_modify(|cuts| *cuts += 1);
    }

    fn cut_answers(&self) {
        self.0.doomed.store(true, Ordering::SeqCst);
    }
}
