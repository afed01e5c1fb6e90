//! The trait: one script a step.

use std::fmt::{Arguments, Formatter, from_fn};
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
            place @ Value::Array(_) => {
                let (retry_after, place) = read(place)?;
                self.link.turns().wait(claim, place);
                Ok(Attempt::Busy(Busy::new(Duration::from_millis(retry_after))))
            }
            Value::Int(retry_after) => {
                Ok(Attempt::Busy(Busy::new(Duration::from_millis(retry_after.unsigned_abs()))))
            }
            token => Ok(Attempt::Granted(Grant::new(Token::new(read(token)?), Duration::from_millis(lease)))),
        }
    }

    async fn renew(&self, claims: &[Arc<Claim>]) -> Vec<Result<Ownership>> {
        let mut answers = Vec::with_capacity(claims.len());
        for batch in claims.chunks(BATCH) {
            let part = |claim: &Arc<Claim>| self.part(claim, format_args!(" {}", millis(claim.ttl())));
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
        let part = if keep.is_zero() {
            self.part(claim, format_args!(""))
        } else {
            let remnant = crate::random()?;
            self.part(claim, format_args!(" {} {}", millis(keep), self.names.claim(&remnant)))
        };
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
    fn part(&self, claim: &Claim, more: Arguments<'_>) -> Part {
        let mut words = Words::new();
        claim.keys().iter().for_each(|key| words.push(format_args!("{}", self.names.queue(key))));
        words.push(format_args!("{}{more}", self.names.claim(&claim.owner().to_hex())));
        Part { words, listens: false }
    }

    /// What the look is told: the claim's text without its number.
    fn asking(&self, claim: &Claim, ttl: u64) -> Part {
        let (mode, waits) = (mode(claim.mode()), u8::from(claim.waits()));
        let (tag, bell, label) = (claim.tag(), self.link.channel(), claim.label());
        let queues = |f: &mut Formatter<'_>| match claim.keys() {
            [_] => Ok(()),
            keys => keys.iter().try_for_each(|key| writeln!(f, "{}", self.names.queue(key))),
        };
        let more = format_args!(" {ttl} {mode} {waits} {tag} {bell} {label}\n{}", from_fn(queues));
        Part { listens: claim.waits(), ..self.part(claim, more) }
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
