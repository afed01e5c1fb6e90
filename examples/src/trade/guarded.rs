//! How it is locked: this file, and nothing else.
//!
//! Two critical sections. Both read, ask the exchange, and write what they have calculated; neither is right when
//! somebody else does the same in between.
//!
//! | section | key | when it is taken |
//! | --- | --- | --- |
//! | [`fill`](Desk::fill) | `order/{id}` and `position/{exchange}/{symbol}`, in one claim | a socket waits in line, a scheduler skips and comes back |
//! | [`evaluate`](Desk::evaluate) | `bot/{id}` | another trade is in progress: refused at once |
//!
//! A fill takes both of its keys in one claim: nobody else records this fill, and nobody else moves this position
//! between our look and our write. Taken one after the other they could deadlock with somebody who takes them the
//! other way; in one claim they cannot. (Two arrivals of one fill also share the position, so its key alone would
//! do. The order's key costs nothing in the same step, says what is meant, and shows up for an operator.)
//!
//! Every key begins with the name of the books, which is drawn when they are made. What is protected is in the books: an
//! order, a position and a bot of the same name in other books are others, and a store may be shared.
//!
//! A bot trades on an account of its own. Nobody else moves its positions, so its one key covers all it touches,
//! and two bots never meet.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use lock_core::{Locker, Token};
use tokio::time::timeout;
use tracing::{info, warn};

use crate::trade::books::Books;
use crate::trade::entry::{Entry, Written};
use crate::trade::exchange::Exchange;
use crate::trade::orders::Order;

/// Where trades are recorded: one in every worker process.
#[derive(Clone, Debug)]
pub struct Desk {
    /// Without it the desk works bare.
    pub locks: Option<Locker>,
    /// What is recorded.
    pub books: Books,
    /// Who confirms it.
    pub exchange: Arc<Exchange>,
    /// How long the work under a lock may take.
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
    /// The lock was lost, and the fence refused what came too late.
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
        let Some(locks) = &self.locks else { return self.record(order, None).await };
        let position = self.key(&order.resource());
        let lock = locks.lock([&self.key(&format!("order/{}", order.id)), &position]);
        let guard = match when_busy {
            WhenBusy::Wait => Some(lock.acquire().await?),
            WhenBusy::Skip => lock.try_acquire().await?,
        };
        let Some(guard) = guard else {
            info!(order = order.id, position, "skipped: the position is busy");
            return Ok(Answer::Skipped);
        };
        let token = guard.token_of(&position);
        info!(order = order.id, position, token = token.map(Token::get), "lock taken");
        self.in_time(guard.run(async |_| self.record(order, token).await)).await
    }

    /// Lets a bot trade, unless it did so a moment ago: the cooldown is checked *inside* the lock.
    ///
    /// # Errors
    ///
    /// The books', the exchange's or the lock's; or it took too long. The lock is free again.
    pub async fn evaluate(&self, bot: &str, order: &Order) -> Result<Answer> {
        let Some(locks) = &self.locks else { return self.trade(bot, order, None).await };
        let Some(guard) = locks.lock(self.key(&order.resource())).try_acquire().await? else {
            info!(bot, order = order.id, "refused: another trade is in progress");
            return Ok(Answer::InProgress);
        };
        info!(bot, order = order.id, token = guard.token().get(), "lock taken");
        self.in_time(guard.run(async |guard| self.trade(bot, order, Some(guard.token())).await)).await
    }

    /// Ends work that takes too long: dropped, it gives its lock back.
    async fn in_time(&self, work: impl Future<Output = Result<Answer>>) -> Result<Answer> {
        timeout(self.patience, work).await.with_context(|| format!("gave up after {:?}", self.patience))?
    }

    /// Inside `bot/{id}`.
    async fn trade(&self, bot: &str, order: &Order, token: Option<Token>) -> Result<Answer> {
        let Some(left) = self.books.cooldown_left(order, token).await? else { return Ok(Self::stale(order)) };
        if !left.is_zero() {
            info!(bot, ?left, "cooldown remaining");
            return Ok(Answer::Cooling(left));
        }
        self.record(order, token).await
    }

    /// Inside the keys of the order, or of the bot: looks, asks, and writes what follows from what it saw.
    async fn record(&self, order: &Order, token: Option<Token>) -> Result<Answer> {
        if self.books.has_trade(order).await? {
            info!(order = order.id, "already recorded");
            return Ok(Answer::AlreadyRecorded);
        }
        let Some(position) = self.books.position(order, token).await? else { return Ok(Self::stale(order)) };
        self.exchange.confirm(order).await?;
        let position =
            position.after(order).with_context(|| format!("{}: the position is too large", order.id))?;
        let entry = Entry { order: order.clone(), position, worker: self.worker.clone(), token };
        match self.books.write(entry).await? {
            Written::Recorded => {
                info!(order = order.id, token = token.map(Token::get), "recorded");
                Ok(Answer::Recorded)
            }
            Written::Duplicate => {
                warn!(order = order.id, "duplicate: the database refused a second trade");
                Ok(Answer::Duplicate)
            }
            Written::Stale => Ok(Self::stale(order)),
        }
    }

    fn stale(order: &Order) -> Answer {
        warn!(order = order.id, "too late: a higher token has been seen");
        Answer::Stale
    }

    /// What is locked by whoever records an order, moves a position or trades for a bot, of these books.
    fn key(&self, resource: &str) -> String {
        format!("{}/{resource}", self.books.name())
    }
}
