//! That no secret is ever logged. One process, whose log is heard from the first line.

use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use conformance_tests::{Server, Software};
use lock_core::{Backend, Claim, Mode};
use lock_postgres::Postgres;
use sqlx::{Connection, PgConnection, PgPool};

const SECRET: &str = "Sesame-0pen";

static LOG: Mutex<Vec<u8>> = Mutex::new(Vec::new());

struct Write;

impl io::Write for Write {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        LOG.lock().expect("no writer panics").write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn log() -> String {
    String::from_utf8(LOG.lock().expect("no writer panics").clone()).expect("logs are text")
}

/// Everything that is logged of a step, and an error; the claims that it was about.
async fn every_step(store: &Postgres, url: &str) -> [Arc<Claim>; 2] {
    let claim =
        || Claim::new("a", Mode::Exclusive, Duration::from_secs(600)).expect("a valid claim").queued();
    let claims = [(); 2].map(|()| Arc::new(claim()));
    for claim in &claims {
        store.acquire(claim).await.expect("an answer");
    }
    store.wakeups(&claims[1]).await.expect("rings");
    for answer in store.renew(&claims).await {
        answer.expect("it is there");
    }
    let mut beside = PgConnection::connect(url).await.expect("the server is there");
    for (from, to) in [("renew", "gone"), ("gone", "renew")] {
        let rename = format!("ALTER FUNCTION locks.claims_{from} RENAME TO claims_{to}");
        sqlx::raw_sql(sqlx::AssertSqlSafe(rename)).execute(&mut beside).await.expect("it is there");
        if to == "gone" {
            store.renew(&claims).await.remove(0).expect_err("no such function");
        }
    }
    for claim in &claims {
        store.release(claim, Duration::ZERO).await.expect("an answer");
    }
    claims
}

#[tokio::test(flavor = "multi_thread")]
async fn no_secret_is_ever_logged() {
    let subscriber = tracing_subscriber::fmt().with_max_level(tracing::Level::TRACE).with_ansi(false);
    subscriber.with_writer(|| Write).init();
    let server = Server::with(Software::Postgres, &[]);
    let url = server.url().replace("//postgres@", &format!("//postgres:{SECRET}@"));

    let store = Postgres::connect(&url).await.expect("the server is there");
    let mut claims = every_step(&store, &url).await.to_vec();
    assert!(log().contains("claims_gone"), "a statement of the test's own");
    assert!(!log().contains("claims_take"), "statements are not logged: {}", log());
    // Of an application's connections it is the application's business.
    let pool = PgPool::connect(&url).await.expect("the server is there");
    let store = Postgres::from_pool(&pool).await.expect("the server is there");
    claims.extend(every_step(&store, &url).await);

    let log = log();
    assert!(log.contains("claims_take"), "a statement on the pool's connection");
    assert!(!log.contains(SECRET), "{log}");
    for owner in claims.iter().map(|claim| claim.owner()) {
        let (bytes, number) = (owner.to_bytes(), u128::from_be_bytes(owner.to_bytes()));
        for said in [owner.to_hex(), format!("{bytes:?}"), format!("{bytes:x?}"), number.to_string()] {
            assert!(!log.contains(&said), "{log}");
        }
    }
}
