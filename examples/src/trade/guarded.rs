//! How it is locked: this file, and nothing else.
//!
//! Two critical sections. Both read, ask the exchange, and write what they have calculated; neither is right when
//! somebody else does the same in between.
//!
//! | section | what is locked | when it is taken |
//! | --- | --- | --- |
//! | [`fill`](Desk::fill) | the keys `order/{id}` and `position/{exchange}/{symbol}`, in one claim; or the position's row | a socket waits in line, a scheduler skips and comes back |
//! | [`evaluate`](Desk::evaluate) | the key `bot/{id}` | another trade is in progress: refused at once |
//!
//! A fill takes both of its keys in one claim: nobody else records this fill, and nobody else moves this position
//! between our look and our write. Taken one after the other they could deadlock with somebody who takes them the
//! other way; in one claim they cannot. (Two arrivals of one fill also share the position, so its key alone would
//! do. The order's key costs nothing in the same step, says what is meant, and shows up for an operator.)
//!
//! Where locks and books are in one PostgreSQL, the position's row is its lock, and look and write are one transaction:
//! a socket waits for the row (`FOR UPDATE`), a scheduler skips it (`SKIP LOCKED`).
//!
//! A key is a lease: it may lapse while its holder is stopped. So whoever looks or writes under one shows the database a
//! [`Proof`] that it is held still: the guard, where the database has the lock, too (`confirm`), or else its token
//! (`fence`). The database refuses what comes too late.
//!
//! Every key begins with the name of the books, which is drawn when they are made. What is protected is in the books: an
//! order, a position and a bot of the same name in other books are others, and a store may be shared.
//!
//! A bot trades on an account of its own. Nobody else moves its positions, so its one key covers all it touches,
//! and two bots never meet.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use lock_core::{Guard, Token};
use lock_postgres::RowWait;
use tokio::runtime::Handle;
use tokio::task::block_in_place;
use tokio::time::timeout;
use tracing::{info, warn};

use crate::data::{Proof, Tx};
use crate::options::Locks;
use crate::trade::books::Books;
use crate::trade::entry::{Entry, Written};
use crate::trade::exchange::Exchange;
use crate::trade::orders::Order;

/// Where trades are recorded: one in every worker process.
#[derive(Clone, Debug)]
pub struct Desk {
    /// Without it the desk works bare.
    pub locks: Option<Locks>,
    /// What is recorded.
    pub books: Books,
    /// Who confirms it.
    pub exchange: Arc<Exchange>,
    /// How long the work under a lock may take; its write as long again, and so the wait for a row.
    pub patience: Duration,
    /// Who records it.
    pub worker: String,
}

/// What came of an order that was looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It is a trade now.
    Recorded,
    /// It was one before.
    AlreadyRecorded,
    /// Somebody else is at this position: come back later.
    Skipped,
    /// Somebody else is trading for this bot.
    InProgress,
    /// The bot has to wait that much longer.
    Cooling(Duration),
    /// The database had to refuse a second trade.
    Duplicate,
    /// The lock was lost, and the database refused what came too late.
    Stale,
}

/// Whether to wait for a busy position.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WhenBusy {
    /// In line, first come first served.
    Wait,
    /// Not at all.
    Skip,
}

impl Desk {
    /// Records a fill: one trade, one move of the position.
    ///
    /// # Errors
    ///
    /// The books', the exchange's or the lock's; or it took too long. The lock is free again.
    pub async fn fill(&self, order: &Order, when_busy: WhenBusy) -> Result<Answer> {
        let Some(locks) = &self.locks else { return self.record(order, Proof::None, None).await };
        if locks.beside.is_some() {
            return self.fill_row(order, when_busy).await;
        }
        let resource = order.resource();
        let position = self.key(&resource);
        let lock = locks.keys.lock([&self.key(&format!("order/{}", order.id)), &position]);
        let guard = match when_busy {
            WhenBusy::Wait => Some(lock.acquire().await?),
            WhenBusy::Skip => lock.try_acquire().await?,
        };
        let Some(guard) = guard else { return Ok(Self::skipped(order)) };
        info!(order = order.id, position, token = guard.token_of(&position).map(Token::get), "lock taken");
        let work = async |guard: &Guard| {
            self.in_time(self.record(order, locks.proof(guard, &resource, &position), None)).await
        };
        guard.run(work).await
    }

    /// The same where locks and books are in one PostgreSQL. What ends the transaction frees the row: the commit, an error, the
    /// end of the worker; and if that is only stopped, the server, which does not hear of it for the ttl.
    async fn fill_row(&self, order: &Order, when_busy: WhenBusy) -> Result<Answer> {
        let position = order.position();
        let wait = match when_busy {
            WhenBusy::Wait => RowWait::Block,
            WhenBusy::Skip => RowWait::Skip,
        };
        let locking = async {
            let mut tx = self.books.begin(Proof::None).await?.context("nobody asks for a proof")?;
            Ok(tx.lock_row("positions", &position, wait).await?.then_some(tx))
        };
        // A time of its own: who has waited long has as long for the work as anybody.
        let Some(tx) = self.in_time(locking).await? else { return Ok(Self::skipped(order)) };
        info!(order = order.id, position, "row locked");
        self.in_time(self.record(order, Proof::None, Some(tx))).await
    }

    /// Lets a bot trade, unless it did so a moment ago: the cooldown is checked *inside* the lock.
    ///
    /// # Errors
    ///
    /// The books', the exchange's or the lock's; or it took too long. The lock is free again.
    pub async fn evaluate(&self, bot: &str, order: &Order) -> Result<Answer> {
        let Some(locks) = &self.locks else { return self.record(order, Proof::None, None).await };
        let resource = order.resource();
        let key = self.key(&resource);
        let Some(guard) = locks.keys.lock(&key).try_acquire().await? else {
            info!(bot, order = order.id, "refused: another trade is in progress");
            return Ok(Answer::InProgress);
        };
        info!(bot, order = order.id, token = guard.token().get(), "lock taken");
        let work = async |guard: &Guard| {
            self.in_time(self.record(order, locks.proof(guard, &resource, &key), None)).await
        };
        guard.run(work).await
    }

    /// Ends work that takes too long. Inside the lock: what came of the work is the answer, also if its release takes long.
    async fn in_time<T>(&self, work: impl Future<Output = Result<T>>) -> Result<T> {
        timeout(self.patience, work).await.with_context(|| format!("gave up after {:?}", self.patience))?
    }

    /// Inside the lock: looks, asks, and writes what follows from what it saw. With a row locked, all in the one
    /// transaction that has it. Else the look is one and the write another: none is open while the exchange takes its time.
    async fn record(&self, order: &Order, proof: Proof<'_>, row: Option<Tx>) -> Result<Answer> {
        let by_row = row.is_some();
        let look = if by_row { row } else { self.books.begin(proof).await? };
        let Some(mut tx) = look else { return Ok(Self::stale(order)) };
        let seen = Books::look(&mut tx, order).await?;
        let mut row = if by_row {
            Some(tx)
        } else {
            tx.commit().await?;
            None
        };
        if seen.recorded {
            info!(order = order.id, "already recorded");
            return Ok(Answer::AlreadyRecorded);
        }
        if !seen.cooldown.is_zero() {
            info!(bot = order.bot, left = ?seen.cooldown, "cooldown remaining");
            return Ok(Answer::Cooling(seen.cooldown));
        }
        match &mut row {
            Some(tx) => tx.during(self.exchange.confirm(order)).await??,
            None => self.exchange.confirm(order).await?,
        }
        let position = seen.position.after(order);
        let position = position.with_context(|| format!("{}: the position is too large", order.id))?;
        let entry = Entry { order: order.clone(), position, worker: self.worker.clone() };
        match self.write(row, proof, &entry)? {
            Written::Recorded => {
                info!(order = order.id, token = proof.token().map(Token::get), "recorded");
                Ok(Answer::Recorded)
            }
            Written::Duplicate => {
                warn!(order = order.id, "duplicate: the database refused a second trade");
                Ok(Answer::Duplicate)
            }
            Written::Stale => Ok(Self::stale(order)),
        }
    }

    /// Not dropped halfway: once sent off, it may be in the books, whether or not the lock is lost meanwhile. That is for the
    /// database to say. One that says nothing is not waited for, with the lock renewed, for ever: the next look tells.
    fn write(&self, row: Option<Tx>, proof: Proof<'_>, entry: &Entry) -> Result<Written> {
        let write = async { timeout(self.patience, self.books.write(row, proof, entry)).await };
        let written = block_in_place(|| Handle::current().block_on(write));
        written.with_context(|| {
            format!("no answer to the write after {:?}: it may be in the books", self.patience)
        })?
    }

    fn skipped(order: &Order) -> Answer {
        info!(order = order.id, "skipped: the position is busy");
        Answer::Skipped
    }

    fn stale(order: &Order) -> Answer {
        warn!(order = order.id, "too late: the lock was lost");
        Answer::Stale
    }

    /// What is locked by whoever records an order, moves a position or trades for a bot, of these books.
    fn key(&self, resource: &str) -> String {
        format!("{}/{resource}", self.books.name())
    }
}
