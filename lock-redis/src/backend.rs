//! The trait: one script a step.

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use async_trait::async_trait;
use lock_core::{Attempt, Backend, Busy, Claim, Grant, Mode, Ownership, Profile, Result, Token, Wakeups};
use redis::{FromRedisValue, Script, Value};

use crate::error::NAME;
use crate::group::Group;
use crate::link::Link;
use crate::step::{Part, Step, strange};
use crate::words::Words;
use crate::{Names, Redis};

/// One text of a few files.
macro_rules! script {
    ($shebang:literal, $($file:literal),+) => {
        LazyLock::new(|| Script::new(concat!($shebang, "\n", $(include_str!($file)),+)))
    };
}
// A step that only makes room or keeps it has to work when the server is out of memory, too.
static ACQUIRE: LazyLock<Script> = script!("#!lua", "take.lua", "queue.lua", "acquire.lua");
static RENEW: LazyLock<Script> = script!("#!lua flags=allow-oom", "queue.lua", "renew.lua");
static RELEASE: LazyLock<Script> = script!("#!lua flags=allow-oom", "leave.lua", "queue.lua", "release.lua");

/// The most claims of one script, which holds up every other client of the server.
const BATCH: usize = 128;

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl Backend for Redis {
    fn profile(&self) -> Profile {
        Profile::new(NAME)
    }

    async fn acquire(&self, claim: &Claim) -> Result<Attempt> {
        if let Some(grant) = self.link.told(claim) {
            return Ok(Attempt::Granted(grant));
        }
        let lease = millis(claim.ttl());
        match self.acquires.ask(self.asking(claim, lease)).await? {
            Value::Int(token) => {
                let token = Token::new(token.unsigned_abs());
                Ok(Attempt::Granted(Grant::new(token, Duration::from_millis(lease))))
            }
            busy => {
                let numbers: Vec<u64> = read(busy)?;
                let retry_after = *numbers.first().ok_or_else(strange)?;
                numbers.get(1).into_iter().for_each(|place| self.link.turns().wait(claim, *place));
                Ok(Attempt::Busy(Busy::new(Duration::from_millis(retry_after))))
            }
        }
    }

    async fn renew(&self, claims: &[Arc<Claim>]) -> Vec<Result<Ownership>> {
        let mut answers = Vec::with_capacity(claims.len());
        for batch in claims.chunks(BATCH) {
            let part =
                |claim: &Arc<Claim>| self.part(claim, |words| words.add(" ").number(millis(claim.ttl())));
            let parts: Vec<_> = batch.iter().map(part).collect();
            let some = self.renewals.run(&self.link, &parts).await;
            answers.extend(some.into_iter().map(|answer| {
                Ok(match answer? {
                    Value::Int(0) => Ownership::Lost,
                    lease => Ownership::held(Duration::from_millis(read(lease)?)),
                })
            }));
        }
        answers
    }

    async fn release(&self, claim: &Claim, keep: Duration) -> Result<Ownership> {
        self.link.turns().forget(claim);
        let remnant = if keep.is_zero() { None } else { Some(crate::random()?) };
        let part = self.part(claim, |words| match &remnant {
            Some(remnant) => self.names.claim(words.add(" ").number(millis(keep)).add(" "), remnant),
            None => words,
        });
        match self.releases.ask(part).await? {
            Value::Int(1) => Ok(Ownership::held(keep)),
            Value::Int(0) => Ok(Ownership::Lost),
            _ => Err(strange()),
        }
    }

    async fn wakeups(&self, claim: &Claim) -> Result<Wakeups> {
        // What another client of this store queued, whose rings come here too: a fork listens as well.
        self.link.listen().await?;
        Ok(self.link.bells().hang(claim))
    }

    async fn fork(&self) -> Result<Arc<dyn Backend>> {
        Ok(Arc::new(Self::over(self.link.fork(), self.names.clone())))
    }
}

impl Redis {
    pub(crate) fn over(link: Link, names: Names) -> Self {
        let link = Arc::new(link);
        let acquires = Group::new(&link, Step::giving(&ACQUIRE).with(names.counter()));
        let releases = Group::new(&link, Step::taking(&RELEASE));
        Self { link, names, acquires, releases, renewals: Step::giving(&RENEW) }
    }

    /// What a script is told of a claim: the names of its queues, and a text of its own name and more.
    fn part(&self, claim: &Claim, more: impl FnOnce(&mut Words) -> &mut Words) -> Part {
        let mut words = Words::new();
        claim.keys().iter().for_each(|key| self.names.queue(&mut words, key).end());
        more(self.names.claim(&mut words, &claim.owner().to_hex())).end();
        Part { words, listens: false }
    }

    /// What the look is told: the claim's text without its number.
    fn asking(&self, claim: &Claim, ttl: u64) -> Part {
        let part = self.part(claim, |words| {
            words.add(" ").number(ttl).add(" ").number(mode(claim.mode()));
            words.add(if claim.waits() { " 1 " } else { " 0 " }).number(claim.tag());
            words.add(" ").add(self.link.channel()).add(" ").add(claim.label()).add("\n");
            if claim.keys().len() > 1 {
                for key in claim.keys() {
                    self.names.queue(words, key).add("\n");
                }
            }
            words
        });
        Part { listens: claim.waits(), ..part }
    }
}

fn read<T: FromRedisValue>(value: Value) -> Result<T> {
    redis::from_redis_value(value).map_err(|_| strange())
}

/// Every duration of a claim is whole milliseconds, at most a day, and greater than zero but for `keep`.
fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX)
}

fn mode(mode: Mode) -> i64 {
    match mode {
        Mode::Shared => -1,
        Mode::Permit { of } => i64::from(of.get()),
        _ => 0,
    }
}
