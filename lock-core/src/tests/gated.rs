//! The reference store with a gate before each of its methods, which writes down what comes to it.

use std::collections::VecDeque;
use std::future::pending;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use async_trait::async_trait;
use tokio::task::yield_now;
use tokio::time::{Instant, sleep};

use crate::{
    Attempt, Backend, Busy, Claim, Error, ErrorKind, Grant, Memory, Owner, Ownership, Profile, Result,
    Wakeups,
};

/// What becomes of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Gate {
    /// The store acts and answers.
    Ok,
    /// The answer is no, and the store is not asked: busy, lost, or (to `wakeups`) that there is nothing to hear.
    No,
    /// It fails before the store has acted.
    Error,
    /// It fails after the store has acted.
    ReplyLost,
    /// It fails in a way that asking again does not mend.
    Broken,
    /// The store acts after this long.
    Slow(Duration),
    /// The store acts; the answer comes after this long.
    Late(Duration),
    /// The store never acts, and no answer comes.
    Never,
    /// The store acts, and no answer comes.
    Silent,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Method {
    Acquire,
    Renew,
    Release,
    Wakeups,
    Fork,
}

/// A call that came to a gate.
#[derive(Clone, Debug)]
pub(super) struct Call {
    pub(super) method: Method,
    /// Which client it came to: 0 is the user's, the others are forks.
    pub(super) client: usize,
    pub(super) at: Instant,
    pub(super) claims: Vec<Claim>,
    pub(super) keep: Duration,
}

impl Call {
    pub(super) fn owner(&self) -> Owner {
        self.claims[0].owner()
    }
}

/// One client of the store; clones are the same client.
#[derive(Clone, Debug)]
pub(super) struct Gated {
    client: usize,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    memory: Memory,
    profile: Profile,
    book: Mutex<Book>,
}

#[derive(Debug)]
struct Book {
    gates: [Script; 5],
    calls: Vec<Call>,
    /// What the store says of its leases, if not the truth.
    grants: Option<Duration>,
    renews: Option<Duration>,
    clients: usize,
}

#[derive(Clone, Debug)]
struct Script {
    next: VecDeque<Gate>,
    then: Gate,
}

impl Gated {
    pub(super) fn new(profile: Profile) -> Self {
        Self::on(Memory::new(), profile)
    }

    pub(super) fn on(memory: Memory, profile: Profile) -> Self {
        let open = Script { next: VecDeque::new(), then: Gate::Ok };
        let gates = std::array::from_fn(|_| open.clone());
        let book = Book { gates, calls: Vec::new(), grants: None, renews: None, clients: 1 };
        Self { client: 0, shared: Arc::new(Shared { memory, profile, book: Mutex::new(book) }) }
    }

    /// Sets a gate from now on.
    pub(super) fn set(&self, method: Method, gate: Gate) {
        self.book().gates[method as usize] = Script { next: VecDeque::new(), then: gate };
    }

    /// Sets a gate for the next calls; later ones find it as it is.
    pub(super) fn next(&self, method: Method, gates: impl IntoIterator<Item = Gate>) {
        self.book().gates[method as usize].next.extend(gates);
    }

    /// Has every grant say that it lasts so long.
    pub(super) fn grant_for(&self, lease: Duration) {
        self.book().grants = Some(lease);
    }

    /// Has every renewal say that it lasts so long.
    pub(super) fn renew_for(&self, lease: Duration) {
        self.book().renews = Some(lease);
    }

    pub(super) fn calls(&self, method: Method) -> Vec<Call> {
        self.book().calls.iter().filter(|call| call.method == method).cloned().collect()
    }

    pub(super) fn count(&self, method: Method) -> usize {
        self.book().calls.iter().filter(|call| call.method == method).count()
    }

    pub(super) fn all_calls(&self) -> usize {
        self.book().calls.len()
    }

    pub(super) fn memory(&self) -> &Memory {
        &self.shared.memory
    }

    pub(super) fn is_empty(&self) -> bool {
        self.shared.memory.is_empty()
    }

    /// How many clients, and tasks that use them, are left beside this one.
    pub(super) fn others(&self) -> usize {
        Arc::strong_count(&self.shared) - 1
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.shared.book.lock().unwrap()
    }

    /// Takes a call through its gate. Every await of a real client is one here: before the store acts and after.
    async fn pass<T>(
        &self,
        (method, claims, keep): (Method, Vec<Claim>, Duration),
        act: impl Future<Output = T>,
        no: impl FnOnce() -> T,
    ) -> Result<T> {
        let gate = {
            let mut book = self.book();
            book.calls.push(Call { method, client: self.client, at: Instant::now(), claims, keep });
            let script = &mut book.gates[method as usize];
            script.next.pop_front().unwrap_or(script.then)
        };
        yield_now().await;
        match gate {
            Gate::No => return Ok(no()),
            Gate::Error => return Err(Error::new(ErrorKind::Unavailable, "the gate is shut")),
            Gate::Broken => return Err(Error::new(ErrorKind::Backend, "the gate is broken")),
            Gate::Never => pending().await,
            Gate::Slow(pause) => sleep(pause).await,
            _ => {}
        }
        let answer = act.await;
        yield_now().await;
        match gate {
            Gate::ReplyLost => return Err(Error::new(ErrorKind::Unavailable, "the reply is lost")),
            Gate::Late(pause) => sleep(pause).await,
            Gate::Silent => pending().await,
            _ => {}
        }
        Ok(answer)
    }
}

#[async_trait]
impl Backend for Gated {
    fn profile(&self) -> Profile {
        self.shared.profile
    }

    async fn acquire(&self, claim: &Claim) -> Result<Attempt> {
        let call = (Method::Acquire, vec![claim.clone()], Duration::ZERO);
        let busy = || Ok(Attempt::Busy(Busy::new(Duration::from_secs(60))));
        let answer = self.pass(call, self.memory().acquire(claim), busy).await??;
        Ok(match (answer, self.book().grants) {
            (Attempt::Granted(grant), Some(lease)) => Attempt::Granted(Grant::new(grant.token, lease)),
            _ => answer,
        })
    }

    async fn renew(&self, claims: &[Arc<Claim>]) -> Vec<Result<Ownership>> {
        let call = (Method::Renew, claims.iter().map(|claim| (**claim).clone()).collect(), Duration::ZERO);
        let lost = || claims.iter().map(|_| Ok(Ownership::Lost)).collect();
        let answers = self.pass(call, self.memory().renew(claims), lost).await;
        let answers = answers.unwrap_or_else(|error| claims.iter().map(|_| Err(error.clone())).collect());
        let renews = self.book().renews;
        let said = |answer| match (answer, renews) {
            (Ok(Ownership::Held { .. }), Some(lease)) => Ok(Ownership::held(lease)),
            (answer, _) => answer,
        };
        answers.into_iter().map(said).collect()
    }

    async fn release(&self, claim: &Claim, keep: Duration) -> Result<Ownership> {
        let call = (Method::Release, vec![claim.clone()], keep);
        self.pass(call, self.memory().release(claim, keep), || Ok(Ownership::Lost)).await?
    }

    async fn wakeups(&self, claim: &Claim) -> Result<Wakeups> {
        let call = (Method::Wakeups, vec![claim.clone()], Duration::ZERO);
        let hang = async {
            if self.shared.profile.pushed { self.memory().wakeups(claim).await } else { Ok(Wakeups::once()) }
        };
        self.pass(call, hang, || Ok(Wakeups::once())).await?
    }

    async fn fork(&self) -> Result<Arc<dyn Backend>> {
        let fork = async {
            let mut book = self.book();
            book.clients += 1;
            Arc::new(Self { client: book.clients - 1, shared: self.shared.clone() }) as Arc<dyn Backend>
        };
        let own = || Arc::new(self.clone()) as Arc<dyn Backend>;
        self.pass((Method::Fork, Vec::new(), Duration::ZERO), fork, own).await
    }
}
