//! The trait: one script a step.

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use async_trait::async_trait;
use lock_core::{
    Attempt, Backend, Busy, Claim, Error, ErrorKind, Grant, Mode, Ownership, Profile, Result, Token, Wakeups,
};
use redis::{FromRedisValue, Script, Value};

use crate::Redis;
use crate::error::NAME;

/// One text of a few files.
macro_rules! script {
    ($shebang:literal, $($file:literal),+) => {
        LazyLock::new(|| Script::new(concat!($shebang, "\n", $(include_str!($file)),+)))
    };
}
// A step that only makes room or keeps it has to work when the server is out of memory, too.
static ACQUIRE: LazyLock<Script> = script!("#!lua", "take.lua", "queue.lua", "acquire.lua");
static RENEW: LazyLock<Script> = script!("#!lua flags=allow-oom", "queue.lua", "renew.lua");
static RELEASE: LazyLock<Script> = script!("#!lua flags=allow-oom", "give.lua", "queue.lua", "release.lua");

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
        let names = &self.names;
        let (mode, ttl) = (mode(claim.mode()), millis(claim.ttl()));
        let mut call = ACQUIRE.prepare_invoke();
        call.key(names.counter()).key(names.claim(&claim.owner().to_hex()));
        let mut text = format!("{mode} {ttl} {} {} {}", claim.tag(), self.link.channel(), claim.label());
        for queue in claim.keys().iter().map(|key| names.queue(key)) {
            text.push('\n');
            text.push_str(&queue);
            call.key(queue);
        }
        call.arg(ttl).arg(text).arg(mode).arg(u8::from(claim.waits()));
        let (answer, line) = self.link.run_again(&call, claim.waits()).await?;
        match answer {
            Value::Array(_) => {
                let (retry_after, place) = read(answer)?;
                self.link.turns().wait(claim, place);
                Ok(Attempt::Busy(Busy::new(Duration::from_millis(retry_after))))
            }
            Value::Int(retry_after) => {
                Ok(Attempt::Busy(Busy::new(Duration::from_millis(retry_after.unsigned_abs()))))
            }
            token => {
                // A place need not be: the look that finds it granted writes once more.
                self.link.replicated(line).await?;
                Ok(Attempt::Granted(Grant::new(Token::new(read(token)?), Duration::from_millis(ttl))))
            }
        }
    }

    async fn renew(&self, claims: &[Arc<Claim>]) -> Vec<Result<Ownership>> {
        let mut answers = Vec::with_capacity(claims.len());
        for batch in claims.chunks(BATCH) {
            match self.renew_some(batch).await {
                Ok(some) => answers.extend(some),
                Err(error) => answers.extend(batch.iter().map(|_| Err(error.clone()))),
            }
        }
        answers
    }

    async fn release(&self, claim: &Claim, keep: Duration) -> Result<Ownership> {
        self.link.turns().forget(claim);
        let mut call = RELEASE.prepare_invoke();
        call.key(self.names.claim(&claim.owner().to_hex())).arg(millis(keep));
        for key in claim.keys() {
            call.key(self.names.queue(key));
        }
        if !keep.is_zero() {
            call.key(self.names.claim(&crate::random()?));
        }
        // Once: a second run would say of what the first one removed that it was lost.
        match read::<u64>(self.link.run(&call, false).await?)? {
            1 => Ok(Ownership::held(keep)),
            0 => Ok(Ownership::Lost),
            _ => Err(strange()),
        }
    }

    async fn wakeups(&self, claim: &Claim) -> Result<Wakeups> {
        // What another client of this store queued, whose rings come here too: a fork listens as well.
        self.link.listen().await?;
        Ok(self.link.bells().hang(claim))
    }

    async fn fork(&self) -> Result<Arc<dyn Backend>> {
        Ok(Arc::new(Self { link: Arc::new(self.link.fork()), names: self.names.clone() }))
    }
}

impl Redis {
    async fn renew_some(&self, claims: &[Arc<Claim>]) -> Result<Vec<Result<Ownership>>> {
        let mut call = RENEW.prepare_invoke();
        for claim in claims {
            call.key(self.names.claim(&claim.owner().to_hex())).arg(millis(claim.ttl()));
        }
        let (answer, line) = self.link.run_again(&call, false).await?;
        let leases = read::<Vec<u64>>(answer)?;
        let replicated = match leases.iter().any(|lease| *lease > 0) {
            true => self.link.replicated(line).await,
            false => Ok(()),
        };
        let ownership = |lease| match lease {
            0 => Ok(Ownership::Lost),
            lease => replicated.clone().map(|()| Ownership::held(Duration::from_millis(lease))),
        };
        Ok(leases.into_iter().map(ownership).collect())
    }
}

fn read<T: FromRedisValue>(value: Value) -> Result<T> {
    redis::from_redis_value(value).map_err(|_| strange())
}

fn strange() -> Error {
    Error::new(ErrorKind::Backend, "the server answered what no script of this library does")
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
