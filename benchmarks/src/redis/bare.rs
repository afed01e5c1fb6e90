//! The bare driver: `SET NX PX` and a script that compares before it deletes; who waits does so in `BLPOP`.

use std::sync::{Arc, Mutex, PoisonError, Weak};

use async_trait::async_trait;
use redis::aio::MultiplexedConnection;
use redis::{Script, cmd};
use tokio::time::interval;

use super::{PATIENCE, connect};
use crate::rival::{Client, Contender, Failure, Held, Kind, Rival, TTL, Untold};

pub(crate) struct Bare(pub(crate) String);

#[async_trait]
impl Rival for Bare {
    fn name(&self) -> &'static str {
        "redis-rs"
    }

    fn kind(&self) -> Kind {
        Kind::Bare
    }

    fn waits(&self) -> &'static str {
        "BLPOP on a connection of its own"
    }

    fn commands(&self) -> &'static [&'static str] {
        &["blpop", "evalsha", "rpush", "set"]
    }

    async fn client(&self, _: usize) -> Result<Arc<dyn Client>, Failure> {
        let requests = connect(&self.0, Some(PATIENCE)).await;
        let release = "return redis.call('GET', KEYS[1]) == ARGV[1] and redis.call('DEL', KEYS[1]) or 0";
        let release = Script::new(release);
        let owner = fastrand::u128(..).to_be_bytes();
        let held = Arc::<Mutex<Vec<String>>>::default();
        tokio::spawn(renew(requests.clone(), owner, Arc::downgrade(&held)));
        Ok(Arc::new(Multiplexed { url: self.0.clone(), requests, release, owner, held }))
    }

    /// The lock is a list, whose one element whoever holds the lock has taken out.
    async fn make(&self, key: &str) -> Result<(), Failure> {
        let mut make = cmd("RPUSH");
        Ok(make.arg(key).arg(1).exec_async(&mut connect(&self.0, Some(PATIENCE)).await).await?)
    }
}

/// One connection for everybody, and one for each who waits.
struct Multiplexed {
    url: String,
    requests: MultiplexedConnection,
    release: Script,
    owner: [u8; 16],
    /// What is held and renewed.
    held: Arc<Mutex<Vec<String>>>,
}

impl Multiplexed {
    async fn take(&self, key: &str, owner: &[u8]) {
        let mut take = cmd("SET");
        take.arg(key).arg(owner).arg("NX").arg("PX").arg(TTL.as_millis() as u64);
        let taken: Option<String> = take.query_async(&mut self.requests.clone()).await.expect("an answer");
        assert!(taken.is_some(), "nobody else takes it");
    }
}

#[async_trait]
impl Client for Multiplexed {
    async fn pair(&self, key: &str) {
        let owner = fastrand::u128(..).to_be_bytes();
        self.take(key, &owner).await;
        let mut release = self.release.key(key);
        let given: u64 =
            release.arg(&owner).invoke_async(&mut self.requests.clone()).await.expect("an answer");
        assert_eq!(given, 1, "it was there");
    }

    async fn hold(&self, key: &str) -> Box<dyn Held> {
        self.take(key, &self.owner).await;
        self.held.lock().unwrap_or_else(PoisonError::into_inner).push(key.to_owned());
        Box::new(Untold(()))
    }

    async fn contender(&self, key: &str) -> Box<dyn Contender> {
        Box::new(Blocking { connection: connect(&self.url, None).await, key: key.to_owned() })
    }
}

/// Renews what is held, a thousand in a script.
async fn renew(mut requests: MultiplexedConnection, owner: [u8; 16], held: Weak<Mutex<Vec<String>>>) {
    let renew = Script::new(
        "for _, key in ipairs(KEYS) do
            if redis.call('GET', key) == ARGV[1] then redis.call('PEXPIRE', key, ARGV[2]) end
        end",
    );
    let mut due = interval(TTL / 3);
    loop {
        due.tick().await;
        let Some(held) = held.upgrade() else { return };
        let keys = held.lock().unwrap_or_else(PoisonError::into_inner).clone();
        for some in keys.chunks(1000) {
            let mut call = renew.prepare_invoke();
            for key in some {
                call.key(key);
            }
            call.arg(&owner).arg(TTL.as_millis() as u64);
            call.invoke_async::<()>(&mut requests).await.expect("an answer");
        }
    }
}

struct Blocking {
    connection: MultiplexedConnection,
    key: String,
}

#[async_trait]
impl Contender for Blocking {
    async fn take(&mut self) {
        let mut take = cmd("BLPOP");
        take.arg(&self.key).arg(0).exec_async(&mut self.connection).await.expect("an answer");
    }

    async fn give(&mut self) {
        let mut give = cmd("RPUSH");
        give.arg(&self.key).arg(1).exec_async(&mut self.connection).await.expect("an answer");
    }
}
