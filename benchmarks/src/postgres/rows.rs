//! The bare driver's rows with an expiry, for locks that outlive a connection. Nobody is woken.

use std::sync::{Arc, Mutex, PoisonError, Weak};

use async_trait::async_trait;
use sqlx::Executor;
use tokio::time::interval;

use super::bare::Few;
use super::connect;
use crate::measure::Measure;
use crate::rival::{Client, Contender, Failure, Held, Kind, Rival, TTL, Untold};

pub(crate) struct Rows(pub(crate) String);

#[async_trait]
impl Rival for Rows {
    fn name(&self) -> &'static str {
        "sqlx, rows"
    }

    fn kind(&self) -> Kind {
        Kind::Bare
    }

    fn waits(&self) -> &'static str {
        "does not wait"
    }

    fn unable(&self, measure: Measure, _: usize) -> Option<String> {
        let waiting = measure.is_waiting();
        waiting.then(|| "has nobody to wake who waits: the advisory locks are the bare driver there".into())
    }

    async fn client(&self, users: usize) -> Result<Arc<dyn Client>, Failure> {
        let table = "CREATE TABLE IF NOT EXISTS bare (key text PRIMARY KEY, owner bytea NOT NULL, expires timestamptz NOT NULL)";
        connect(&self.0).await.execute(table).await?;
        let few = Arc::new(Few::new(&self.0, users));
        let owner = fastrand::u128(..).to_be_bytes();
        let held = Arc::<Mutex<Vec<String>>>::default();
        tokio::spawn(renew(few.clone(), owner, Arc::downgrade(&held)));
        Ok(Arc::new(Table { few, owner, held }))
    }
}

struct Table {
    few: Arc<Few>,
    owner: [u8; 16],
    /// What is held and renewed.
    held: Arc<Mutex<Vec<String>>>,
}

const TAKE: &str = "INSERT INTO bare VALUES ($1, $2, clock_timestamp() + interval '30 s')
    ON CONFLICT (key) DO UPDATE SET owner = excluded.owner, expires = excluded.expires
    WHERE bare.expires < clock_timestamp()";

#[async_trait]
impl Client for Table {
    async fn pair(&self, key: &str) {
        let owner = fastrand::u128(..).to_be_bytes();
        self.few
            .with(async |connection| {
                for step in [TAKE, "DELETE FROM bare WHERE key = $1 AND owner = $2"] {
                    let done = sqlx::query(step).bind(key).bind(owner).execute(&mut *connection).await;
                    assert_eq!(done.expect("an answer").rows_affected(), 1, "nobody else takes it");
                }
            })
            .await;
    }

    async fn hold(&self, key: &str) -> Box<dyn Held> {
        let take = sqlx::query(TAKE).bind(key).bind(self.owner);
        let done = self.few.with(async |connection| take.execute(connection).await).await;
        assert_eq!(done.expect("an answer").rows_affected(), 1, "nobody else takes it");
        self.held.lock().unwrap_or_else(PoisonError::into_inner).push(key.to_owned());
        Box::new(Untold(()))
    }

    async fn contender(&self, _: &str) -> Box<dyn Contender> {
        unreachable!("nobody waits for a row")
    }

    async fn close(&self) {
        let gone = sqlx::query("DELETE FROM bare WHERE owner = $1").bind(self.owner);
        self.few.with(async |connection| gone.execute(connection).await).await.expect("an answer");
    }
}

/// Renews what is held, all in one statement.
async fn renew(few: Arc<Few>, owner: [u8; 16], held: Weak<Mutex<Vec<String>>>) {
    let renew =
        "UPDATE bare SET expires = clock_timestamp() + interval '30 s' WHERE key = ANY ($1) AND owner = $2";
    let mut due = interval(TTL / 3);
    loop {
        due.tick().await;
        let Some(held) = held.upgrade() else { return };
        let keys = held.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if !keys.is_empty() {
            let renew = sqlx::query(renew).bind(keys).bind(owner);
            few.with(async |connection| renew.execute(connection).await).await.expect("an answer");
        }
    }
}
