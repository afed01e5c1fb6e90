//! `Memory`, or any other store, behind a wrong veneer.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use lock_core::{
    Attempt, Backend, Busy, Claim, Error, ErrorKind, Grant, Memory, Owner, Ownership, Profile, Result, Token,
    Wakeups,
};

use crate::fault::Fault::{self, *};
use crate::rewrite;

#[derive(Clone, Debug)]
pub(crate) struct Veneer {
    fault: Fault,
    store: Arc<dyn Backend>,
    shared: Arc<Shared>,
    client: u64,
}

/// What the clients of a store share.
#[derive(Debug, Default)]
struct Shared {
    calls: AtomicU64,
    clients: AtomicU64,
    known: Mutex<HashMap<Owner, Known>>,
}

/// What is known of a claim.
#[derive(Clone, Debug)]
struct Known {
    /// What the store is given in its stead.
    claim: Arc<Claim>,
    /// Who asked first.
    client: u64,
    /// The how manieth it was to be granted; zero if it was not.
    grant: u64,
    released: bool,
}

impl Veneer {
    /// A client of a store in memory.
    pub(crate) fn new(fault: Fault) -> Self {
        Self { fault, store: Arc::new(Memory::new()), shared: Arc::default(), client: 0 }
    }

    /// An independent client.
    pub(crate) fn client(&self) -> Self {
        match self.fault {
            EveryClientIsAStore => Self::new(self.fault),
            _ => self.client_over(self.store.clone()),
        }
    }

    /// An independent client over a client of another store.
    pub(crate) fn client_over(&self, store: Arc<dyn Backend>) -> Self {
        let client = self.shared.clients.fetch_add(1, Ordering::Relaxed) + 1;
        Self { client, store, ..self.clone() }
    }

    /// What the store is given in a claim's stead: always the same.
    fn known(&self, claim: &Claim) -> Known {
        let mut known = self.shared.known.lock().expect("no call panics");
        let fresh = || Known {
            claim: Arc::new(rewrite::claim(self.fault, claim).unwrap_or_else(|| claim.clone())),
            client: self.client,
            grant: 0,
            released: false,
        };
        known.entry(claim.owner()).or_insert_with(fresh).clone()
    }

    /// Every third call has trouble with the store.
    fn trouble(&self) -> bool {
        self.shared.calls.fetch_add(1, Ordering::Relaxed) % 3 == 2
    }

    fn grant(&self, claim: &Claim, grant: Grant) -> Grant {
        let mut known = self.shared.known.lock().expect("no call panics");
        let grants = known.values().filter(|known| known.grant > 0).count() as u64;
        let known = known.get_mut(&claim.owner()).expect("it was asked for");
        let again = known.grant > 0;
        if !again {
            known.grant = grants + 1;
        }
        let token = grant.token.get();
        let token = match self.fault {
            TokenIsConstant => Token::LIMIT - 1,
            TokenCountsFromOne => known.grant,
            TokenRepeats => (1 << 51) + known.grant.div_ceil(2),
            TokenShrinks => Token::LIMIT - token % (1 << 32),
            TokenIsTooLarge => token << 8,
            TokenIsNewWhenAskedAgain if again => token + 1,
            _ => token,
        };
        let lease = match self.fault {
            LeaseIsTooLong => claim.ttl() * 2,
            LeaseIsAThousandfold => claim.ttl() * 1000,
            LapsesEarly | LapsesLate => claim.ttl(),
            _ => grant.lease,
        };
        Grant::new(Token::new(token), lease)
    }

    async fn renew_one(&self, claim: &Claim) -> Result<Ownership> {
        let known = self.known(claim);
        let store = async || self.store.renew(std::slice::from_ref(&known.claim)).await.remove(0);
        match self.fault {
            TroubleIsLost if self.trouble() => Ok(Ownership::Lost),
            RenewIsForItsClient if known.client != self.client => Ok(Ownership::Lost),
            RenewDoesNothing => Ok(Ownership::held(claim.ttl())),
            _ => match store().await? {
                Ownership::Lost if self.fault == RenewCreates => {
                    self.store.acquire(&known.claim).await?;
                    Ok(Ownership::held(claim.ttl()))
                }
                Ownership::Lost if self.fault == RenewSaysHeld => Ok(Ownership::held(claim.ttl())),
                Ownership::Lost if self.fault == LostRenewIsAnError => Err(unavailable()),
                Ownership::Lost if self.fault == RenewIsByKey => self.renew_others(claim).await,
                Ownership::Held { .. } if self.fault == RenewLeaseIsTooLong => {
                    Ok(Ownership::held(claim.ttl() * 2))
                }
                other => Ok(other),
            },
        }
    }

    /// Renews whatever there is on a claim's keys.
    async fn renew_others(&self, claim: &Claim) -> Result<Ownership> {
        let all: Vec<_> = self.shared.known.lock().expect("no call panics").values().cloned().collect();
        let others = all.into_iter().map(|known| known.claim).filter(|other| other.keys() == claim.keys());
        let answers = self.store.renew(&others.collect::<Vec<_>>()).await;
        let held = answers.into_iter().flatten().find(|answer| *answer != Ownership::Lost);
        Ok(held.unwrap_or(Ownership::Lost))
    }
}

fn unavailable() -> Error {
    Error::new(ErrorKind::Unavailable, "no answer")
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl Backend for Veneer {
    fn profile(&self) -> Profile {
        self.store.profile()
    }

    async fn acquire(&self, claim: &Claim) -> Result<Attempt> {
        if self.fault == RequestAfterReleaseStaysForEver {
            tokio::task::yield_now().await;
        }
        let known = self.known(claim);
        match self.fault {
            RequestAfterReleaseStaysForEver if known.released => {
                return self.store.acquire(&rewrite::with_ttl(claim, Claim::MAX_TTL)).await;
            }
            LabelsAreRefused if !claim.label().is_empty() => {
                return Err(Error::new(ErrorKind::Backend, "no such column: label"));
            }
            TroubleIsBusy if self.trouble() => return Ok(Attempt::Busy(Busy::new(claim.ttl()))),
            DroppedRequestStaysForEver => {
                let long = rewrite::with_ttl(claim, Claim::MAX_TTL);
                self.store.acquire(&long).await?;
                tokio::task::yield_now().await;
                self.store.release(&long, Duration::ZERO).await?;
            }
            _ => {}
        }
        match self.store.acquire(&known.claim).await? {
            Attempt::Granted(grant) => Ok(Attempt::Granted(self.grant(claim, grant))),
            Attempt::Busy(_) if self.fault == BusyIsAnError => Err(unavailable()),
            Attempt::Busy(_) if self.fault == RetryAfterADay => Ok(Attempt::Busy(Busy::new(Claim::MAX_TTL))),
            other => Ok(other),
        }
    }

    async fn renew(&self, claims: &[Arc<Claim>]) -> Vec<Result<Ownership>> {
        let mut answers = Vec::new();
        for claim in claims {
            answers.push(self.renew_one(claim).await);
            if self.fault == RenewStopsAtTheFirst {
                answers.resize_with(claims.len(), || Ok(Ownership::held(claim.ttl())));
                break;
            }
            if self.fault == RenewStopsAtTheLost && matches!(answers.last(), Some(Ok(Ownership::Lost))) {
                answers.resize_with(claims.len(), || Ok(Ownership::Lost));
                break;
            }
        }
        match self.fault {
            RenewOfNothingHasAnAnswer if claims.is_empty() => answers.push(Err(unavailable())),
            RenewAnswersBackwards => answers.reverse(),
            RenewLeavesOutTheLost => answers.retain(|answer| !matches!(answer, Ok(Ownership::Lost))),
            _ => {}
        }
        answers
    }

    async fn release(&self, claim: &Claim, keep: Duration) -> Result<Ownership> {
        let known = self.known(claim);
        self.shared.known.lock().expect("no call panics").get_mut(&claim.owner()).expect("it is").released =
            true;
        let keep = match self.fault {
            KeepIsIgnored => Duration::ZERO,
            KeepIsTheTtl if !keep.is_zero() => claim.ttl(),
            _ => keep,
        };
        match self.fault {
            TroubleIsHeld if self.trouble() => return Ok(Ownership::held(keep)),
            ReleaseIsForItsClient if known.client != self.client => return Ok(Ownership::Lost),
            ReleaseDoesNothing => return Ok(Ownership::held(keep)),
            _ => {}
        }
        match self.store.release(&known.claim, keep).await? {
            Ownership::Lost if self.fault == ReleaseSaysHeld => Ok(Ownership::held(keep)),
            Ownership::Lost if self.fault == LostReleaseIsAnError => Err(unavailable()),
            other => Ok(other),
        }
    }

    async fn wakeups(&self, claim: &Claim) -> Result<Wakeups> {
        match self.fault {
            WakeupsFail => Err(unavailable()),
            WakeupsEnd => Ok(Wakeups::once()),
            _ => self.store.wakeups(&self.known(claim).claim).await,
        }
    }

    async fn fork(&self) -> Result<Arc<dyn Backend>> {
        match self.fault {
            ForkIsAnotherStore => Ok(Arc::new(Self::new(self.fault))),
            ForkFails => Err(unavailable()),
            _ => Ok(Arc::new(self.clone())),
        }
    }
}
