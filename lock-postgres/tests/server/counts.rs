//! How many statements and connections it takes.

use std::sync::Arc;
use std::time::Duration;

use lock_core::{Attempt, Backend, Claim, Mode, Ownership};
use rstest::rstest;

use crate::help::{LONG, becomes, calls, claim, counted, locker, number, raw, run, store, within};

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
        becomes(
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

/// How many pages a call of a step has read on average, of the step that read most; with what it took to make its plan. Each
/// index has some hundred.
const PAGES: &str = "SELECT max((shared_blks_hit + shared_blks_read) / calls) FROM pg_stat_statements
    WHERE toplevel AND query ~ '^SELECT [^ ]*claims_' AND dbid = (SELECT oid FROM pg_database WHERE datname = current_database())";

/// The plans are made when a step is asked for the first time, and nobody has said then that the table has filled.
#[tokio::test(flavor = "multi_thread")]
async fn no_step_reads_the_whole_table_though_statistics_say_that_it_is_empty() {
    let url = counted().await;
    let store = store(&url).await;
    // So many that one index is higher than the other, which may then look cheaper.
    let fill = "INSERT INTO locks.claims (key, number, owner, mode, parts, expires, ttl, bell, tag, label)
        SELECT convert_to('k' || n, 'UTF8'), n, decode(md5(n::text), 'hex'), 0, 1, now() + '1 h', '1 h', '', n, ''
        FROM generate_series(1, 45000) AS n";
    run(&url, "ALTER TABLE locks.claims SET (autovacuum_enabled = false)").await;
    for sql in [fill, "DELETE FROM locks.claims", "VACUUM (ANALYZE) locks.claims", fill] {
        run(&url, sql).await;
    }

    let granted = async |claim: &Claim| {
        let attempt = within(store.acquire(claim)).await;
        assert!(matches!(attempt, Ok(Attempt::Granted(_))), "{attempt:?}");
        let renewed = within(store.renew(&[Arc::new(claim.clone())])).await;
        assert!(matches!(renewed[..], [Ok(Ownership::Held { .. })]), "{renewed:?}");
    };
    for _ in 0..40 {
        let alone = claim("alone", LONG);
        let [first, second] = [["a", "b"], ["b", "c"]]
            .map(|keys| Claim::new(keys, Mode::Exclusive, LONG).expect("a valid claim").queued());
        granted(&alone).await;
        granted(&first).await;
        assert!(matches!(within(store.acquire(&second)).await, Ok(Attempt::Busy(_))));
        for (held, keep) in [(&alone, 0), (&first, 0), (&second, 10)] {
            let keep = Duration::from_millis(keep);
            assert_eq!(within(store.release(held, keep)).await.expect("an answer"), Ownership::held(keep));
        }
        // It is in the way of the next ones, as something that has lapsed.
        let kept = "SELECT count(*) FROM locks.claims WHERE remnant AND expires > clock_timestamp()";
        becomes(&url, kept, 0).await;
    }
    let pages = number(&url, PAGES).await;
    assert!(pages < 100, "{pages}");
}
