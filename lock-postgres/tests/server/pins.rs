//! Rows that somebody's transaction has locked.

use std::sync::Arc;
use std::time::Duration;

use lock_core::{Attempt, Backend, ErrorKind, Ownership};
use rstest::rstest;
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection};

use crate::help::{LONG, becomes, claim, database, number, raw, run, store, within};

/// A transaction that has locked all rows of a key.
async fn pin(url: &str, key: &str, how: &str) -> PgConnection {
    let mut connection = raw(url).await;
    let sql = format!("BEGIN; SELECT FROM locks.claims WHERE key = convert_to('{key}', 'UTF8') FOR {how}");
    within(connection.execute(AssertSqlSafe(sql))).await.expect("the rows are free");
    connection
}

async fn end(mut connection: PgConnection) {
    within(connection.execute("COMMIT")).await.expect("a commit");
    within(connection.close()).await.expect("a goodbye");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pinned_claim_is_renewed_not_released_and_counts_when_it_has_lapsed() {
    let url = database().await;
    let (one, two) = (store(&url).await, store(&url).await);
    let ttl = Duration::from_secs(2);
    let (held, next) = (Arc::new(claim("a", ttl)), claim("a", ttl));
    assert!(matches!(within(one.acquire(&held)).await, Ok(Attempt::Granted(_))));
    let transaction = pin(&url, "a", "KEY SHARE").await;

    let renewed = within(one.renew(std::slice::from_ref(&held))).await;
    assert!(matches!(renewed[..], [Ok(Ownership::Held { .. })]), "{renewed:?}");
    let error = within(one.release(&held, Duration::ZERO)).await.expect_err("it is pinned");
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(error.to_string().contains("confirmed"), "{error}");
    // Not a wait that was given up.
    let other = claim("b", ttl);
    assert!(matches!(within(one.acquire(&other)).await, Ok(Attempt::Granted(_))));

    tokio::time::sleep(ttl * 2).await;
    let attempt = within(two.acquire(&next)).await.expect("an answer");
    let Attempt::Busy(busy) = attempt else {
        panic!("{attempt:?} past a transaction that counts on the lock")
    };
    assert!(busy.retry_after > Duration::ZERO, "it would spin");
    end(transaction).await;
    assert!(matches!(within(two.acquire(&next)).await, Ok(Attempt::Granted(_))));
    let renewed = within(one.renew(std::slice::from_ref(&held))).await;
    assert!(matches!(renewed[..], [Ok(Ownership::Lost)]), "{renewed:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pin_stops_no_other_release_of_its_batch() {
    let url = database().await;
    let one = store(&url).await;
    let claims: Vec<_> = (0..20).map(|n| claim(&format!("key/{n}"), LONG)).collect();
    for claim in &claims {
        assert!(matches!(within(one.acquire(claim)).await, Ok(Attempt::Granted(_))));
    }
    let transaction = pin(&url, "key/7", "KEY SHARE").await;
    let releases: Vec<_> = claims
        .iter()
        .map(|claim| {
            let (one, claim) = (one.clone(), claim.clone());
            tokio::spawn(async move { within(one.release(&claim, Duration::ZERO)).await })
        })
        .collect();
    for (n, release) in releases.into_iter().enumerate() {
        let answer = release.await.expect("no panic");
        assert_eq!(answer.is_err(), n == 7, "{n}: {answer:?}");
    }
    end(transaction).await;
    assert!(matches!(within(one.release(&claims[7], Duration::ZERO)).await, Ok(Ownership::Held { .. })));
    assert_eq!(number(&url, "SELECT count(*) FROM locks.claims").await, 0);
}

/// The release has seen the pin, and then meets the claim without it: a trigger holds it up at another claim of its batch.
#[tokio::test(flavor = "multi_thread")]
async fn a_pin_that_ends_while_its_claim_is_released_makes_no_loss_of_it() {
    let url = database().await;
    let one = store(&url).await;
    let claims = ["free", "pinned"].map(|key| claim(key, LONG));
    for claim in &claims {
        assert!(matches!(within(one.acquire(claim)).await, Ok(Attempt::Granted(_))));
    }
    let holds_up = "
        CREATE FUNCTION hold_up() RETURNS trigger LANGUAGE plpgsql AS
            'BEGIN PERFORM pg_catalog.pg_advisory_xact_lock(1); RETURN OLD; END';
        CREATE TRIGGER hold_up BEFORE DELETE ON locks.claims FOR EACH ROW
            WHEN (OLD.key = convert_to('free', 'UTF8')) EXECUTE FUNCTION hold_up()";
    run(&url, holds_up).await;
    let mut gate = raw(&url).await;
    within(gate.execute("BEGIN; SELECT pg_advisory_xact_lock(1)")).await.expect("free");
    let transaction = pin(&url, "pinned", "KEY SHARE").await;

    let [free, pinned] = claims.each_ref().map(|claim| claim.owner().to_bytes().to_vec());
    let mut releasing = raw(&url).await;
    let release = tokio::spawn(async move {
        let sql = "SELECT locks.claims_release($1, '{0, 0}', '{NULL, NULL}', ARRAY['free'::bytea, 'pinned'])";
        let answers: Vec<i32> =
            sqlx::query_scalar(sql).bind([free, pinned]).fetch_one(&mut releasing).await.expect("answers");
        answers
    });
    let held_up = "SELECT count(*) FROM pg_locks JOIN pg_database AS d ON d.oid = database
        WHERE datname = current_database() AND locktype = 'advisory' AND NOT granted";
    becomes(&url, held_up, 1).await;
    end(transaction).await;
    end(gate).await;
    assert_eq!(within(release).await.expect("no panic"), [1, -1], "it was there, and not lost");
    assert!(matches!(within(one.release(&claims[1], Duration::ZERO)).await, Ok(Ownership::Held { .. })));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_locked_row_stops_no_other_renewal_of_its_batch() {
    let url = database().await;
    let one = store(&url).await;
    let claims: Vec<_> = (0..20).map(|n| Arc::new(claim(&format!("key/{n}"), LONG))).collect();
    for claim in &claims {
        assert!(matches!(within(one.acquire(claim)).await, Ok(Attempt::Granted(_))));
    }
    let transaction = pin(&url, "key/7", "UPDATE").await;
    for (n, answer) in within(one.renew(&claims)).await.into_iter().enumerate() {
        assert_eq!(answer.is_err(), n == 7, "{n}: {answer:?}");
    }
    end(transaction).await;
    assert!(
        within(one.renew(&claims)).await.iter().all(|answer| matches!(answer, Ok(Ownership::Held { .. })))
    );
}

#[rstest]
#[case::for_ever("expires + interval '1 year'")]
#[case::a_minute("expires + interval '1 minute'")]
#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_was_set_back_keeps_nobody_longer_than_his_ttl(#[case] expires: &str) {
    let url = database().await;
    let one = store(&url).await;
    let ttl = Duration::from_secs(2);
    let (held, next) = (claim("a", ttl), claim("a", LONG));
    assert!(matches!(within(one.acquire(&held)).await, Ok(Attempt::Granted(_))));
    run(&url, &format!("UPDATE locks.claims SET expires = {expires}")).await;
    let attempt = within(one.acquire(&next)).await.expect("an answer");
    let Attempt::Busy(busy) = attempt else { panic!("{attempt:?}") };
    assert!(busy.retry_after <= ttl, "{busy:?}");
    tokio::time::sleep(ttl).await;
    assert!(matches!(within(one.acquire(&next)).await, Ok(Attempt::Granted(_))));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_counter_that_was_set_back_gives_no_smaller_token() {
    let url = database().await;
    let one = store(&url).await;
    let mut last = 0;
    for _ in 0..3 {
        let held = claim("a", LONG);
        let Ok(Attempt::Granted(grant)) = within(one.acquire(&held)).await else { panic!("it is free") };
        assert!(grant.token.get() > last, "{} after {last}", grant.token.get());
        last = grant.token.get();
        within(one.release(&held, Duration::ZERO)).await.expect("it was held");
        run(&url, "SELECT setval('locks.claims_number', 1)").await;
    }
    let micros = number(&url, "SELECT extract(epoch FROM clock_timestamp()) * 1000000").await;
    assert!(last.abs_diff(micros.cast_unsigned()) < 60_000_000, "the clock, not more");
}
