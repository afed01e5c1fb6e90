//! How many statements and connections it takes.

use std::time::Duration;

use rstest::rstest;

use crate::help::{calls, counted, locker, number, raw, within};

#[tokio::test(flavor = "multi_thread")]
async fn a_pair_is_two_statements() {
    let url = counted().await;
    let locks = locker(&url).await;
    let before = calls(&url).await;
    for _ in 0..100 {
        let guard = within(locks.lock("a").acquire()).await.expect("granted");
        within(guard.release()).await.expect("it was held");
    }
    let calls = calls(&url).await - before;
    assert!((200..=202).contains(&calls), "{calls}");
}

#[rstest]
#[case::of_two(2, 50)]
#[case::of_sixteen(16, 8)]
#[case::of_256(256, 3)]
#[tokio::test(flavor = "multi_thread")]
async fn a_hand_over_is_two_statements(#[case] contenders: i64, #[case] rounds: i64) {
    let url = counted().await;
    let locks = locker(&url).await;
    let before = calls(&url).await;
    let contend = |_| {
        let locks = locks.clone();
        tokio::spawn(async move {
            for _ in 0..rounds {
                let guard = within(locks.lock("a").acquire()).await.expect("granted");
                tokio::time::sleep(Duration::from_millis(1)).await;
                within(guard.release()).await.expect("it was held");
            }
        })
    };
    for contender in (0..contenders).map(contend).collect::<Vec<_>>() {
        contender.await.expect("no panic");
    }
    // To ask and to release, often together with others: who is rung is told that it has its turn. And each may look once
    // more because the client has begun to listen, whenever it keeps its place, and when the ring is faster than the answer
    // that it has to wait, which is seldom.
    let (calls, turns) = (calls(&url).await - before, contenders * rounds);
    assert!(calls <= 2 * turns + turns / 2 + contenders, "{calls} for {contenders} times {rounds}");
}

#[tokio::test(flavor = "multi_thread")]
async fn two_thousand_held_locks_take_few_connections_and_statements() {
    let url = counted().await;
    let locks = locker(&url).await.with_ttl(Duration::from_secs(15));
    let asking: Vec<_> = (0..2_000).map(|n| tokio::spawn(locks.lock(format!("key/{n}")).acquire())).collect();
    let mut held = Vec::new();
    for asked in asking {
        held.push(within(asked).await.expect("no panic").expect("granted"));
    }
    let clock = "SELECT extract(epoch FROM clock_timestamp()) * 1000";
    let (before, start) = (calls(&url).await, number(&url, clock).await);
    // Until all of them were renewed twice.
    let mut connection = raw(&url).await;
    for _ in 0..2 {
        let last: i64 =
            sqlx::query_scalar("SELECT (extract(epoch FROM max(expires)) * 1000)::bigint FROM locks.claims")
                .fetch_one(&mut connection)
                .await
                .expect("rows");
        crate::help::becomes(
            &url,
            &format!(
                "SELECT count(*) FILTER (WHERE extract(epoch FROM expires) * 1000 > {last}) FROM locks.claims"
            ),
            2_000,
        )
        .await;
    }
    let (calls, millis) = (calls(&url).await - before, number(&url, clock).await - start);
    assert!(calls >= 2 && calls * 1000 <= 30 * millis, "{calls} in {millis} ms");
    assert!(held.iter().all(lock_core::Guard::is_held));
    let connections = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'lock-postgres' AND datname = current_database()";
    assert!(number(&url, connections).await <= 5);
}
