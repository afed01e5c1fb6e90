//! What is on the server: names, and what stays.

use std::time::Duration;

use lock_core::Locker;
use lock_redis::{Options, Redis};
use rstest::rstest;

use crate::help::{LIMIT, LONG, ask, info, locker, queued, raw, server, within};

const HOSTILE: [&str; 12] = [
    "a",
    "A",
    "a/b",
    "{a}",
    "a:q:b",
    "*",
    "a b",
    "'; redis.call('FLUSHALL') --",
    r#"]] .. redis.call("FLUSHALL") .. [["#,
    r"\n\0\x41",
    "%s%d%.0f",
    "ü\u{202e}🔒",
];

#[tokio::test(flavor = "multi_thread")]
async fn no_value_of_a_caller_is_part_of_a_script() {
    let server = server();
    let locks = locker(&server).await;
    let mut held = Vec::new();
    for key in HOSTILE {
        held.push(within(locks.lock(key).label(key).acquire()).await.expect("a key of its own"));
    }
    held.push(within(locks.lock("shared").shared().ttl(LIMIT).acquire()).await.expect("granted"));
    held.push(
        within(locks.lock("permit").permit_of(7).hold_at_least(LIMIT).acquire()).await.expect("granted"),
    );
    for key in HOSTILE {
        assert!(
            within(locks.lock(key).try_acquire()).await.expect("an answer").is_none(),
            "{key:?} is taken"
        );
    }
    let store = crate::help::store(&server).await;
    let claim = std::sync::Arc::new(crate::help::claim("'", LONG));
    lock_core::Backend::renew(&store, &[claim]).await;
    for guard in held {
        within(guard.release()).await.expect("it was held");
    }
    assert_eq!(info(&server, "memory", "number_of_cached_scripts").await, 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_counter_is_all_that_stays() {
    let server = server();
    let (one, two) = (locker(&server).await, locker(&server).await);
    for locks in [&one, &two] {
        drop(within(locks.lock(["a", "b"]).acquire()).await.expect("granted"));
        locks.close().await;
    }
    let held = within(one.lock("a").acquire()).await.expect("granted");
    assert!(within(two.lock("a").try_acquire()).await.expect("an answer").is_none());
    within(two.lock("a").timeout(Duration::from_millis(1)).acquire()).await.expect_err("it is held");
    let given_up = tokio::spawn(two.lock("a").shared().acquire());
    let waiter = tokio::spawn(two.lock("a").permit_of(3).acquire());
    queued(&server, "a", 3).await;
    given_up.abort();
    queued(&server, "a", 2).await;
    within(held.release()).await.expect("it was held");
    within(within(waiter).await.expect("no panic").expect("granted").release()).await.expect("it was held");
    two.close().await;
    let left: Vec<String> = ask(&server, "KEYS *").await;
    assert_eq!(left, ["lock:n"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_skip_writes_nothing() {
    let server = server();
    let locks = locker(&server).await;
    let _held = within(locks.lock("a").acquire()).await.expect("granted");
    let _waiter = tokio::spawn(locks.lock("a").acquire());
    queued(&server, "a", 2).await;
    let changes = async || info(&server, "persistence", "rdb_changes_since_last_save").await;
    let (before, calls) = (changes().await, info(&server, "commandstats", "cmdstat_evalsha").await);
    for _ in 0..10 {
        assert!(within(locks.lock("a").try_acquire()).await.expect("an answer").is_none());
        assert!(within(locks.lock("a").shared().try_acquire()).await.expect("an answer").is_none());
        assert!(
            within(locks.lock(["a", "b"]).permit_of(2).try_acquire()).await.expect("an answer").is_none()
        );
    }
    assert_eq!(info(&server, "commandstats", "cmdstat_evalsha").await, calls + 30);
    assert_eq!(changes().await, before);
    assert_eq!(info(&server, "replication", "master_repl_offset").await, 0);
}

#[rstest]
#[case::first(0)]
#[case::last(15)]
#[tokio::test(flavor = "multi_thread")]
async fn locks_are_in_the_database_of_the_address(#[case] number: u8) {
    let server = server();
    let url = format!("{}/{number}", server.url());
    let connect = async || Locker::new(Redis::connect(&url).await.expect("connected")).with_ttl(LONG);
    let (one, two) = (connect().await, connect().await);
    let held = within(one.lock("a").acquire()).await.expect("granted");
    let waiter = tokio::spawn(two.lock("a").acquire());
    let size = async |url: &str| {
        redis::cmd("DBSIZE").query_async::<u64>(&mut raw(url).await).await.expect("the server answers")
    };
    within(async {
        while size(&url).await < 4 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
    assert_eq!(size(&format!("{}/7", server.url())).await, 0);
    within(held.release()).await.expect("it was held");
    drop(within(waiter).await.expect("no panic").expect("rings are heard in every database"));
}

#[tokio::test(flavor = "multi_thread")]
async fn prefixes_do_not_see_each_other() {
    let server = server();
    let mut held = Vec::new();
    for prefix in ["lock", "locks", "lock-2", "q"] {
        let store = Options::default().prefix(prefix).connect(server.url()).await.expect("connected");
        let locks = Locker::new(store).with_ttl(LONG);
        held.push(within(locks.lock("a").try_acquire()).await.expect("an answer").expect("free"));
        assert!(within(locks.lock("a").try_acquire()).await.expect("an answer").is_none());
        assert_eq!(ask::<Vec<String>>(&server, &format!("KEYS {prefix}:*")).await.len(), 2);
    }
}
