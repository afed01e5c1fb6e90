//! What the other processes do.

use std::future::Future;
use std::time::Duration;

use lock_core::{Backend, Claim, Locker, Mode};
use lock_sqlite::Sqlite;

use crate::child::file;

/// Rounds of a counter.
pub(crate) const ROUNDS: usize = 50;

/// The ttl of one who will be killed.
pub(crate) const TTL: Duration = Duration::from_millis(300);

pub(crate) fn play(role: &str) {
    // Ends with the test, however that ends.
    std::thread::spawn(|| {
        let _ = std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
        std::process::exit(1);
    });
    match role {
        "open" => block_on(open()),
        "hold" => block_on(hold()),
        "count" => block_on(count()),
        "wait" => block_on(wait()),
        "churn" => block_on(churn()),
        other => panic!("no role is called {other}"),
    }
}

pub(crate) fn block_on(work: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime").block_on(work);
}

async fn store() -> Sqlite {
    Sqlite::open(file()).await.expect("it opens")
}

/// Opens and says what came of it.
async fn open() {
    match Sqlite::open(file()).await {
        Ok(_) => println!("opened"),
        Err(error) => println!("{:?}: {error}", error.kind()),
    }
}

/// Has the file open until it is killed.
async fn hold() {
    let _store = store().await;
    println!("open");
    std::future::pending().await
}

/// Reads, adds one and writes, with nothing but the lock to keep others out.
async fn count() {
    let (locks, counter) = (Locker::new(store().await), file().with_file_name("counter"));
    for _ in 0..ROUNDS {
        let guard = locks.lock("counter").acquire().await.expect("granted");
        let text = std::fs::read_to_string(&counter).expect("a counter");
        tokio::task::yield_now().await;
        let number: usize = text.parse().expect("a number");
        std::fs::write(&counter, (number + 1).to_string()).expect("written");
        println!("{}", guard.token());
        guard.release().await.expect("held");
    }
}

/// Waits so that nothing but a ring wakes it within the test: its place lasts a day.
async fn wait() {
    let locks = Locker::new(store().await).with_ttl(Claim::MAX_TTL);
    let waiting = locks.lock("a").acquire();
    println!("waiting");
    let guard = waiting.await.expect("granted");
    println!("granted");
    guard.release().await.expect("held");
}

/// Takes and leaves keys, several kinds, as fast as it can, and says each token.
async fn churn() {
    let store = store().await;
    for n in 0.. {
        let keys = [["a", "b"], ["b", "c"], ["c", "c"]][n % 3];
        let claim = Claim::new(keys, Mode::Exclusive, TTL).expect("valid").queued();
        let attempt = store.acquire(&claim).await.expect("a look");
        if let lock_core::Attempt::Granted(grant) = attempt {
            println!("{}", grant.token);
        }
        store.release(&claim, Duration::ZERO).await.expect("an answer");
    }
}
