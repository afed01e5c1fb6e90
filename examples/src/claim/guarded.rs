//! How it is locked: this file, and nothing else.
//!
//! One critical section: what a policy pays for a day. It looks at what happened and what was paid, asks a model that takes
//! its time, and writes what follows from what it saw. Three things must not change in between:
//!
//! | what | how it is locked | when it is taken |
//! | --- | --- | --- |
//! | the day: nobody else pays it | the key `claim_calc/{policy}/{date}` | it is skipped, and looked at again later |
//! | its events: nobody corrects them | their rows, from the look to the write (`FOR UPDATE`) | waits |
//! | what is left of the policy's limit | the policy's row, for the write alone | waits |
//!
//! The limit spans days that several workers calculate at the same time. What a day pays follows from the events alone
//! ([`due`](crate::claim::calculation::due)), so mostly they are not in each other's way. But an event may be reported when
//! later days have been paid already, and then two days would both spend what is left. So whoever writes locks the policy's
//! row and asks again what has been paid. Why not a second key, for the policy, in the same claim? It would make days of a
//! policy wait for each other's models, and guard by a lease what is in one database: that database can guard it for the few
//! statements that matter.
//!
//! A day that is done asks for no row: to see that it is, nobody has to wait.
//!
//! In SQLite there are no locks on rows. Whoever writes is alone in the file, so nobody else spends from the limit; but a
//! transaction that were open while the model takes its time would keep out everybody. So look and write are two, and the
//! second one sees whether the events are what they were.
//!
//! A key is a lease: it may lapse while its holder is stopped. So whoever looks or writes shows the database a [`Proof`] that
//! it is held still: the guard, where the database has the lock, too (`confirm`), or else its token (`fence`). The database
//! refuses what comes too late.
//!
//! Every key begins with the name of the ledger, which is drawn when it is made: a store may be shared, and a policy of
//! another ledger is another.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use lock_core::{Guard, Token};
use lock_postgres::RowWait;
use tokio::runtime::Handle;
use tokio::task::block_in_place;
use tokio::time::timeout;
use tracing::{info, warn};

use crate::claim::input::Case;
use crate::claim::ledger::{Ledger, Seen};
use crate::claim::model::{Model, Point};
use crate::data::{Proof, Tx};
use crate::options::Locks;

/// Where claims are calculated: one in every worker process.
#[derive(Clone, Debug)]
pub struct Desk {
    /// Without it the desk works bare.
    pub locks: Option<Locks>,
    /// What is calculated with, and what comes of it.
    pub ledger: Ledger,
    /// What takes its time.
    pub model: Arc<Model>,
    /// How long the work under a lock may take; its write as long again.
    pub patience: Duration,
    /// Who calculates.
    pub worker: String,
}

/// What came of a day that was looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It is calculated now.
    Calculated,
    /// It was before.
    AlreadyCalculated,
    /// Somebody else is at it: come back later.
    Skipped,
    /// Its events were corrected meanwhile: come back.
    Changed,
    /// The lock was lost, and the database refused what came too late.
    Stale,
}

impl Desk {
    /// Calculates what a policy pays for a day.
    ///
    /// # Errors
    ///
    /// The ledger's, the model's or the lock's; or it took too long. The lock is free again.
    pub async fn calculate(&self, case: &Case) -> Result<Answer> {
        let Some(locks) = &self.locks else { return self.claim(case, Proof::None).await };
        let (policy, day, resource) = (&case.policy, &case.day, case.resource());
        let key = format!("{}/{resource}", self.ledger.name());
        let Some(guard) = locks.keys.lock(&key).try_acquire().await? else {
            info!(policy, %day, "skipped: somebody else is calculating it");
            return Ok(Answer::Skipped);
        };
        info!(policy, %day, token = guard.token().get(), "lock held");
        let work =
            async |guard: &Guard| self.in_time(self.claim(case, locks.proof(guard, &resource, &key))).await;
        let answer = guard.run(work).await;
        info!(policy, %day, "lock released");
        answer
    }

    /// Ends work that takes too long. Inside the lock: what came of the work is the answer, also if its release takes long.
    async fn in_time<T>(&self, work: impl Future<Output = Result<T>>) -> Result<T> {
        timeout(self.patience, work).await.with_context(|| format!("gave up after {:?}", self.patience))?
    }

    /// Inside the lock: looks, asks, and writes what follows from what it saw.
    async fn claim(&self, case: &Case, proof: Proof<'_>) -> Result<Answer> {
        let (policy, day) = (&case.policy, &case.day);
        let Some(mut tx) = self.ledger.begin(proof).await? else { return self.stale(case).await };
        let by_rows = self.locks.is_some() && tx.has_rows();
        let mut seen = Ledger::look(&mut tx, case).await?;
        // Most looks end here: they need not wait for those who calculate with the same events.
        if by_rows && !seen.is_done(day) {
            Ledger::lock_events(&mut tx, case).await?;
            seen = Ledger::look(&mut tx, case).await?;
        }
        info!(policy, %day, events = seen.events.len(), "events read");
        if seen.is_done(day) {
            info!(policy, %day, "already calculated");
            return Ok(Answer::AlreadyCalculated);
        }
        let tx = if by_rows {
            tx.during(self.model.assess(case)).await??;
            Some(tx)
        } else {
            tx.commit().await?;
            self.model.assess(case).await?;
            None
        };
        let answer = self.write(tx, proof, case, &seen)?;
        if answer == Answer::Calculated {
            self.model.reach(Point::Commit, case).await?;
        }
        Ok(answer)
    }

    /// Not dropped halfway: once sent off, it may be in the ledger, whether or not the lock is lost meanwhile. That is for the
    /// database to say. One that says nothing is not waited for, with the lock renewed, for ever: the next look tells.
    fn write(&self, tx: Option<Tx>, proof: Proof<'_>, case: &Case, seen: &Seen) -> Result<Answer> {
        let write = async { timeout(self.patience, self.commit(tx, proof, case, seen)).await };
        let written = block_in_place(|| Handle::current().block_on(write));
        written.with_context(|| {
            format!("no answer to the write after {:?}: it may be in the ledger", self.patience)
        })?
    }

    async fn commit(&self, tx: Option<Tx>, proof: Proof<'_>, case: &Case, seen: &Seen) -> Result<Answer> {
        let (policy, day, by_rows) = (&case.policy, &case.day, tx.is_some());
        let tx = if by_rows { tx } else { self.ledger.begin(proof).await? };
        let Some(mut tx) = tx else { return self.stale(case).await };
        let mut paid = seen.paid;
        if self.locks.is_some() {
            if by_rows {
                tx.lock_row("policies", policy, RowWait::Block).await?;
            } else if Ledger::events(&mut tx, case).await? != seen.events {
                info!(policy, %day, "its events were corrected meanwhile");
                return Ok(Answer::Changed);
            }
            paid = Ledger::paid(&mut tx, case).await?;
        }
        let claims = seen.lacks(day, paid);
        Ledger::add(&mut tx, case, &claims, &self.worker, proof.token()).await.context("the ledger")?;
        self.model.reach(Point::Write, case).await?;
        tx.commit().await.context("the ledger")?;
        info!(policy, %day, claims = claims.len(), token = proof.token().map(Token::get), "committed");
        Ok(Answer::Calculated)
    }

    async fn stale(&self, case: &Case) -> Result<Answer> {
        warn!(policy = case.policy, day = %case.day, "too late: the lock was lost");
        self.ledger.refused(case, &self.worker).await?;
        Ok(Answer::Stale)
    }
}
