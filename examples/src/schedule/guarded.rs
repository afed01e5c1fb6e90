//! How it is locked: this file, and nothing else. What is done meanwhile is in `inside`.
//!
//! | section | what is locked | how |
//! | --- | --- | --- |
//! | [`generate`](Office::generate) | `block/{id}` | alone, in line |
//! | [`settle`](Office::settle) a swap | `block/{id}` of both shifts | shared: it waits for whoever generates one, and for nobody else |
//! | | and inside, in one claim: both `shift/{id}`, and `person/{name}` of both people | alone |
//! | [`read`](Office::read) a board | `block/{id}` of the day | shared |
//! | | and inside, in one claim: every `shift/{id}` of the day | shared: beside other readers, not beside a swap |
//! | [`edit`](Office::edit) | nothing: the version is compared | whoever comes second is told what has changed |
//! | | or the assignment's row; in SQLite, which has no such locks, `shift/{id}` | alone, from opening to saving |
//!
//! A swap takes all that it touches in one claim, so no two swaps deadlock, whatever they touch and in whatever order. The
//! people are part of that: two swaps of other shifts could each find the same person free, and book him twice.
//!
//! Blocks come first, by everybody: whoever waits for a shift has his blocks already, and whoever waits for a block has
//! nothing. One claim for both would not do. It has one mode; and a reader who waits for a block would stand in line for the
//! shifts meanwhile, in the way of a swap that holds the block and wants them.
//!
//! Who waits for the second has a limit, all the same: should somebody ever take them the other way, that is an error, and nobody
//! waits for ever.
//!
//! A key is a lease: it may lapse while its holder is stopped. So whoever looks or writes alone shows the database a
//! [`Proof`] that he holds it still: the guard, where the database has the lock, too (`confirm`), or else the token of each
//! key (`fence`). The database refuses what comes too late. Readers write nothing that others could read wrong: they look at
//! the end whether the locks were held all along. A block is generated once, and stays so: a swap shows no proof for its blocks.
//!
//! Every key begins with the name of the rota, which is drawn when it is made: a store may be shared.

use std::time::Duration;

use anyhow::{Context as _, Result};
use lock_core::{Guard, Lock};
use lock_postgres::RowWait;
use tokio::time::timeout;
use tracing::info;

use crate::data::Proof;
use crate::options::Locks;
use crate::schedule::board::ROOM;
use crate::schedule::cancel::Cancel;
use crate::schedule::edit::Change;
use crate::schedule::fault::Faults;
use crate::schedule::rota::Rota;
use crate::schedule::shifts::Shift;
use crate::schedule::swap::{self, Request, Swap};

/// Where the schedule is made and changed: one in every worker process.
#[derive(Clone, Debug)]
pub struct Office {
    /// Without it the office works bare.
    pub locks: Option<Locks>,
    /// What is made and changed.
    pub rota: Rota,
    /// How long it takes to think of a shift, when a block is generated.
    pub thinking: Duration,
    /// How long people take: between two looks, or a look and a write.
    pub latency: Duration,
    /// How long the work under a lock may take, and the wait for a second one.
    pub patience: Duration,
    /// Who does it.
    pub worker: String,
    /// What goes wrong.
    pub faults: Faults,
}

/// What came of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The block is generated now.
    Generated,
    /// It was before.
    AlreadyGenerated,
    /// Somebody wanted it to end: nothing of it is left.
    Cancelled,
    /// The shifts have changed hands.
    Executed,
    /// The swap is refused, and why stands beside it.
    Refused,
    /// Somebody else has settled it.
    Settled,
    /// The block is not generated yet: come back later.
    NotYet,
    /// The edit is saved.
    Edited,
    /// Somebody else has changed it meanwhile: look again.
    Outdated,
    /// The board is read.
    Read,
    /// The lock was lost, and what came too late was refused.
    Stale,
}

/// How an edit makes sure that nothing is lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Manner {
    /// By the version, which is compared when it is saved.
    Version,
    /// By a lock from opening to saving.
    Lock,
}

impl Office {
    /// Generates a block, unless it is generated. Takes its time, and can be cancelled; or dropped, which comes to the same.
    ///
    /// # Errors
    ///
    /// The rota's or the lock's; or it took too long. Nothing is written, and the lock is free again.
    pub async fn generate(&self, block: &str, cancel: &Cancel) -> Result<Answer> {
        let Some(locks) = &self.locks else { return self.fill(block, Proof::None, cancel).await };
        let resource = format!("block/{block}");
        let key = self.key(&resource);
        let Some(guard) = cancel.unless(locks.keys.lock(&key).acquire()).await else {
            return Ok(Answer::Cancelled);
        };
        let guard = guard?;
        info!(block, token = guard.token().get(), "lock taken");
        let work = async |guard: &Guard| {
            self.in_time(self.fill(block, locks.proof(guard, &resource, &key), cancel)).await
        };
        guard.run(work).await
    }

    /// Accepts a request for a swap as pending: at once, whatever is locked.
    ///
    /// # Errors
    ///
    /// The rota's.
    pub async fn request(&self, request: &Request) -> Result<i64> {
        let mut tx = self.rota.unproven().await?;
        let id = swap::accept(&mut tx, request).await?;
        tx.commit().await?;
        let Request { person, gives, takes } = request;
        info!(swap = id, person, gives, takes, "accepted as pending");
        Ok(id)
    }

    /// Executes or refuses a swap that was accepted, as soon as its blocks are not being generated.
    ///
    /// # Errors
    ///
    /// The rota's or the lock's; or it took too long. The locks are free again.
    pub async fn settle(&self, id: i64) -> Result<Answer> {
        let swap = swap::find(&self.rota, id).await?;
        let Some(locks) = &self.locks else { return self.exchange(&swap, Proof::None).await };
        let blocks = self.share(locks, swap.blocks.iter().map(String::as_str)).acquire().await?;
        blocks.run(async |_| self.settle_inside(&swap, locks).await).await
    }

    async fn settle_inside(&self, swap: &Swap, locks: &Locks) -> Result<Answer> {
        let assignments = self.rota.assignments().await?;
        let Request { person, gives, takes } = &swap.request;
        let Some(other) = assignments.iter().find(|its| its.shift.id == *takes) else {
            return Ok(Answer::NotYet);
        };
        let mut resources =
            vec![format!("shift/{gives}"), format!("shift/{takes}"), format!("person/{person}")];
        if other.person != *person {
            resources.push(format!("person/{}", other.person));
        }
        resources.sort_unstable();
        let keys: Vec<_> = resources.iter().map(|its| self.key(its)).collect();
        let guard = locks.keys.lock(&keys).timeout(self.patience).acquire().await?;
        info!(swap = swap.id, keys = resources.join(" "), token = guard.token().get(), "locks taken");
        let work = async |guard: &Guard| {
            let token = |key| guard.token_of(key).unwrap_or(guard.token());
            let tokens: Vec<_> = resources.into_iter().zip(keys.iter().map(token)).collect();
            self.in_time(self.exchange(swap, locks.proof_of_all(guard, &tokens))).await
        };
        guard.run(work).await
    }

    /// Reads the board of a day, shift by shift.
    ///
    /// # Errors
    ///
    /// The rota's or the lock's. The locks are free again.
    pub async fn read(&self, day: &[Shift]) -> Result<Answer> {
        let day = &day[..day.len().min(ROOM)];
        let Some(locks) = &self.locks else { return self.copy(day, &[]).await };
        let blocks = self.share(locks, day.iter().map(|shift| shift.block.as_str())).acquire().await?;
        let inside = async |blocks: &Guard| {
            let keys: Vec<_> = day.iter().map(|shift| self.key(&format!("shift/{}", shift.id))).collect();
            let shifts = locks.keys.lock(keys).shared().timeout(self.patience).acquire().await?;
            shifts.run(async |shifts| self.copy(day, &[blocks, shifts]).await).await
        };
        blocks.run(inside).await
    }

    /// Edits an assignment.
    ///
    /// # Errors
    ///
    /// The rota's or the lock's; or it took too long. The locks are free again.
    pub async fn edit(&self, shift: &str, change: &Change, manner: Manner) -> Result<Answer> {
        let Some(locks) = self.locks.as_ref().filter(|_| manner == Manner::Lock) else {
            return self.open_and_save(shift, change, Proof::None, None).await;
        };
        if self.rota.has_row_locks() {
            let mut tx = self.rota.unproven().await?;
            if !self.in_time(tx.lock_row("assignments", shift, RowWait::Block)).await? {
                return Ok(Answer::NotYet);
            }
            info!(shift, "row locked");
            return self.in_time(self.open_and_save(shift, change, Proof::None, Some(tx))).await;
        }
        let resource = format!("shift/{shift}");
        let key = self.key(&resource);
        let guard = locks.keys.lock(&key).acquire().await?;
        info!(shift, token = guard.token().get(), "lock taken");
        let work = async |guard: &Guard| {
            let proof = locks.proof(guard, &resource, &key);
            self.in_time(self.open_and_save(shift, change, proof, None)).await
        };
        guard.run(work).await
    }

    /// Ends work that takes too long. Inside the lock: what came of the work is the answer, also if its release takes long.
    pub(super) async fn in_time<T>(&self, work: impl Future<Output = Result<T>>) -> Result<T> {
        timeout(self.patience, work).await.with_context(|| format!("gave up after {:?}", self.patience))?
    }

    /// Asks for blocks beside all others who do not generate them.
    fn share<'a>(&self, locks: &Locks, blocks: impl Iterator<Item = &'a str>) -> Lock {
        let mut keys: Vec<_> = blocks.map(|block| self.key(&format!("block/{block}"))).collect();
        keys.sort_unstable();
        keys.dedup();
        locks.keys.lock(keys).shared()
    }

    /// What is locked by whoever changes something, of this rota.
    fn key(&self, resource: &str) -> String {
        format!("{}/{resource}", self.rota.name())
    }
}
