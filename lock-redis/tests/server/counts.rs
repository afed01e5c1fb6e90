//! How many requests and connections it takes.

use std::time::Duration;

use conformance_tests::Server;
use lock_core::Backend;
use rstest::rstest;

use crate::help::{LONG, ask, claim, info, locker, server, store, within};

async fn scripts(server: &Server) -> u64 {
    info(server, "commandstats", "cmdstat_evalsha").await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pair_is_two_requests() {
    let server = server();
    let locks = locker(&server).await;
    let pair = async || {
        let guard = within(locks.lock("a").acquire()).await.expect("granted");
        within(guard.release()).await.expect("it was held");
    };
    // The first one brings the scripts.
    pair().await;
    let before = (scripts(&server).await, info(&server, "stats", "total_commands_processed").await);
    for _ in 0..100 {
        pair().await;
    }
    assert_eq!(scripts(&server).await - before.0, 200);
    // With what the scripts call; and to ask for these numbers takes a few.
    let commands = info(&server, "stats", "total_commands_processed").await - before.1;
    assert!(commands <= 12 * 100 + 20, "{commands} commands");
}

#[rstest]
#[case::of_two(2, 100)]
#[case::of_sixty_four(64, 10)]
#[tokio::test(flavor = "multi_thread")]
async fn a_hand_over_is_two_requests(#[case] contenders: u64, #[case] rounds: u64) {
    let server = server();
    let locks = locker(&server).await;
    drop(within(locks.lock("a").acquire()).await.expect("granted"));
    locks.close().await;
    let before = scripts(&server).await;
    let contend = |_| {
        let locks = locks.clone();
        tokio::spawn(async move {
            for _ in 0..rounds {
                let guard = within(locks.lock("a").acquire()).await.expect("granted");
                within(guard.release()).await.expect("it was held");
            }
        })
    };
    for contender in (0..contenders).map(contend).collect::<Vec<_>>() {
        contender.await.expect("no panic");
    }
    // To ask and to release: who is rung is told that it has its turn. And each may look once more when the client begins to
    // listen, and when the ring is faster than the answer that it has to wait, which is seldom.
    let (requests, turns) = (scripts(&server).await - before, contenders * rounds);
    assert!(requests <= 2 * turns + turns / 2 + contenders, "{requests} for {contenders} times {rounds}");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_comes_to_a_long_queue_costs_no_more_than_who_comes_to_a_short_one() {
    let server = server();
    let store = store(&server).await;
    let ask_one = async || {
        let before = info(&server, "stats", "total_commands_processed").await;
        let claim = claim("a", LONG);
        within(store.acquire(&claim)).await.expect("an answer");
        // With what the script calls.
        info(&server, "stats", "total_commands_processed").await - before
    };
    let mut costs = Vec::new();
    for _ in 0..400 {
        costs.push(ask_one().await);
    }
    let (short, long) = (costs[20..40].iter().max(), costs[380..].iter().max());
    assert!(short > costs[..2].iter().max(), "some are looked at");
    assert!(long <= short, "{long:?} commands, not {short:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn two_thousand_held_locks_take_two_connections_and_few_requests() {
    let server = server();
    let locks = locker(&server).await.with_ttl(Duration::from_secs(30));
    let mut held = Vec::new();
    for n in 0..2_000 {
        held.push(within(locks.lock(format!("key/{n}")).acquire()).await.expect("granted"));
    }
    let name = "PTTL lock:q:key/1999";
    let now = async || ask::<(u64, u64)>(&server, "TIME").await.0;
    let (start, before, mut left) = (now().await, scripts(&server).await, ask::<u64>(&server, name).await);
    // Until the last one is renewed twice.
    for _ in 0..2 {
        within(async {
            loop {
                tokio::time::sleep(Duration::from_millis(50)).await;
                let after = ask::<u64>(&server, name).await;
                let renewed = after > left;
                left = after;
                if renewed {
                    return;
                }
            }
        })
        .await;
    }
    let (requests, seconds) = (scripts(&server).await - before, now().await - start);
    assert!(requests <= 10 * seconds, "{requests} requests in {seconds} s");
    assert!(requests >= 2_000 / 128, "{requests} requests");
    assert!(held.iter().all(lock_core::Guard::is_held));
    let clients: String = ask(&server, "CLIENT LIST").await;
    assert_eq!(clients.lines().count(), 3, "a client, its keeper, and whoever asks: {clients}");
}
