//! What is done inside the locks, naive on purpose: it looks, takes its time, and writes what follows from what it saw.

use anyhow::{Context as _, Result};
use lock_core::{Guard, Token};
use tokio::runtime::Handle;
use tokio::task::block_in_place;
use tokio::time::sleep;
use tracing::{info, warn};

use crate::data::{Proof, Tx};
use crate::schedule::board;
use crate::schedule::cancel::Cancel;
use crate::schedule::edit::{self, Change};
use crate::schedule::generation;
use crate::schedule::guarded::{Answer, Office};
use crate::schedule::plan::Plan;
use crate::schedule::shifts::Shift;
use crate::schedule::swap::{self, Swap};

impl Office {
    /// Inside the lock: looks, thinks for long, and writes the whole block in one transaction. Dropped or cancelled at any
    /// moment, it leaves nothing.
    pub(super) async fn fill(&self, block: &str, proof: Proof<'_>, cancel: &Cancel) -> Result<Answer> {
        let Some(mut tx) = self.rota.begin(proof).await? else { return self.stale(block).await };
        let seen = generation::look(&mut tx, block).await?;
        tx.commit().await?;
        if seen.generated {
            info!(block, "already generated");
            return Ok(Answer::AlreadyGenerated);
        }
        let Some(given) = self.plan(block, &seen, cancel).await? else { return Ok(Self::cancelled(block)) };
        self.faults.be_late(block);
        let Some(mut tx) = self.rota.begin(proof).await? else { return self.stale(block).await };
        let mut moment = None;
        for (done, (shift, person)) in given.iter().enumerate() {
            moment = Some(generation::give(&mut tx, shift, person, moment).await?);
            if done == given.len() / 2 && cancel.unless(self.faults.hang(block)).await.is_none() {
                return Ok(Self::cancelled(block));
            }
        }
        generation::finish(&mut tx, block, &self.worker, proof.token()).await?;
        tx.commit().await?;
        info!(block, shifts = given.len(), "generated");
        Ok(Answer::Generated)
    }

    /// Thinks of every shift of a block; `None` if it was cancelled.
    async fn plan(
        &self,
        block: &str,
        seen: &generation::Seen,
        cancel: &Cancel,
    ) -> Result<Option<Vec<(Shift, String)>>> {
        let mut plan = Plan::new(&seen.people, &seen.before);
        let mut given = Vec::new();
        for shift in &seen.shifts {
            let person = plan.give(shift).with_context(|| format!("nobody is free for {}", shift.id))?;
            given.push((shift.clone(), person.to_owned()));
            info!(block, "{} of {} shifts", given.len(), seen.shifts.len());
            let half = given.len() == seen.shifts.len() / 2;
            let thinks = async {
                sleep(self.thinking).await;
                if half {
                    self.faults.stall(block).await;
                }
            };
            if cancel.unless(thinks).await.is_none() {
                return Ok(None);
            }
        }
        Ok(Some(given))
    }

    /// Inside the locks: looks, lets the people agree, and writes what follows from what it saw.
    pub(super) async fn exchange(&self, swap: &Swap, proof: Proof<'_>) -> Result<Answer> {
        let what = format!("swap {}", swap.id);
        let Some(mut tx) = self.rota.begin(proof).await? else { return self.stale(&what).await };
        let seen = swap::look(&mut tx, swap).await?;
        tx.commit().await?;
        if seen.settled {
            return Ok(Answer::Settled);
        }
        let Some(decided) = seen.decide(swap) else { return Ok(Answer::NotYet) };
        sleep(self.latency).await;
        self.faults.block(&what);
        // Not dropped halfway: once sent off, it may be written, whether or not the lock is lost meanwhile. That is for the
        // database to say.
        let write = async {
            let Some(mut tx) = self.rota.begin(proof).await? else { return self.stale(&what).await };
            swap::write(&mut tx, swap, &decided, &self.worker, proof.token()).await?;
            tx.commit().await?;
            match &decided {
                Ok(_) => {
                    info!(swap = swap.id, token = proof.token().map(Token::get), "executed");
                    Ok(Answer::Executed)
                }
                Err(conflict) => {
                    info!(swap = swap.id, "refused: {conflict}");
                    Ok(Answer::Refused)
                }
            }
        };
        let write = self.in_time(write);
        block_in_place(|| Handle::current().block_on(write))
    }

    /// Inside the locks: reads line after line, each as it is at that moment.
    pub(super) async fn copy(&self, day: &[Shift], guards: &[&Guard]) -> Result<Answer> {
        let mut lines = Vec::new();
        for shift in day {
            lines.push(board::read(&self.rota, &shift.id).await?);
            info!("{} of {} lines", lines.len(), day.len());
            sleep(self.latency).await;
            if lines.len() == day.len() / 2 {
                self.faults.stall("a board").await;
            }
        }
        if lines.iter().all(|line| line.holder.is_none()) {
            return Ok(Answer::NotYet);
        }
        self.faults.be_late("a board");
        // Held now, it was held while all of it was read: that is right, whenever it is kept.
        if !guards.iter().all(|guard| guard.is_held()) {
            return self.stale("a board").await;
        }
        let mut tx = self.rota.unproven().await?;
        board::keep(&mut tx, &lines, &self.worker).await?;
        tx.commit().await?;
        Ok(Answer::Read)
    }

    /// Opens the form, thinks, and saves it; all in the one transaction that has the row locked, if there is one.
    pub(super) async fn open_and_save(
        &self,
        shift: &str,
        change: &Change,
        proof: Proof<'_>,
        row: Option<Tx>,
    ) -> Result<Answer> {
        let by_row = row.is_some();
        let look = if by_row { row } else { self.rota.begin(proof).await? };
        let Some(mut tx) = look else { return self.stale(shift).await };
        let Some(form) = edit::open(&mut tx, shift).await? else { return Ok(Answer::NotYet) };
        info!(shift, version = form.version, "opened");
        let tx = if by_row {
            tx.during(sleep(self.latency)).await?;
            self.faults.block(shift);
            Some(tx)
        } else {
            tx.commit().await?;
            sleep(self.latency).await;
            self.faults.block(shift);
            self.rota.begin(proof).await?
        };
        let Some(mut tx) = tx else { return self.stale(shift).await };
        let compares = self.locks.is_some();
        match form.save(&mut tx, change, &self.worker, compares).await? {
            Ok(()) => {
                tx.commit().await?;
                info!(shift, version = form.version + 1, "saved");
                Ok(Answer::Edited)
            }
            Err(outdated) => {
                info!("conflict: {outdated}");
                Ok(Answer::Outdated)
            }
        }
    }

    async fn stale(&self, what: &str) -> Result<Answer> {
        warn!("too late: the lock of {what} was lost");
        self.rota.refused(&self.worker, what).await?;
        Ok(Answer::Stale)
    }

    fn cancelled(block: &str) -> Answer {
        info!(block, "cancelled");
        Answer::Cancelled
    }
}
