//! Two who come at the same instant: what one has done and not committed, the other must not overlook.

use std::time::Duration;

use lock_core::{Attempt, Backend, Ownership};
use rstest::rstest;
use sqlx::postgres::PgListener;
use sqlx::{AssertSqlSafe, Executor, PgConnection};

use crate::help::{LONG, becomes, claim, database, number, raw, run, store, within};

/// Queues somebody for the key "midway", or grants it to him, and has not committed yet.
pub(crate) async fn midway(url: &str) -> PgConnection {
    let mut connection = raw(url).await;
    let acquire = r"BEGIN; SELECT locks.claims_acquire(ARRAY['\x00'::bytea], ARRAY[0], ARRAY[600000::bigint], ARRAY[true],
        ARRAY[7::bigint], ARRAY[''], ARRAY[1], ARRAY['midway'::bytea], 'his_bell')";
    within(connection.execute(acquire)).await.expect("nobody is in the queue");
    connection
}

/// Waits until somebody waits for a queue.
pub(crate) async fn somebody_waits(url: &str) {
    let waits = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted
        AND database = (SELECT oid FROM pg_database WHERE datname = current_database())";
    becomes(url, waits, 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_who_come_at_once_one_is_first() {
    let url = database().await;
    let two = store(&url).await;
    let mut one = midway(&url).await;
    let asking = tokio::spawn(async move { two.acquire(&claim("midway", LONG)).await });
    somebody_waits(&url).await;
    within(one.execute("COMMIT")).await.expect("a commit");
    let attempt = within(asking).await.expect("no panic");
    assert!(matches!(attempt, Ok(Attempt::Busy(_))), "{attempt:?}");
}

/// Nor for the counter, which whoever was the first in a while has raised and not committed.
#[tokio::test(flavor = "multi_thread")]
async fn one_key_does_not_wait_for_another() {
    let url = database().await;
    let store = store(&url).await;
    let mut one = midway(&url).await;
    for n in 0..10 {
        run(&url, "SELECT setval('locks.claims_number', 1)").await;
        let other = claim(&format!("other/{n}"), LONG);
        let attempt = within(store.acquire(&other)).await;
        assert!(matches!(attempt, Ok(Attempt::Granted(_))), "{attempt:?}");
        within(store.release(&other, Duration::ZERO)).await.expect("it was held");
    }
    within(one.execute("COMMIT")).await.expect("a commit");
}

/// Whoever raises it later, by a clock that he has read before, would have numbers come again.
#[tokio::test(flavor = "multi_thread")]
async fn who_finds_that_another_raises_the_counter_does_not_set_it_back() {
    let url = database().await;
    let store = store(&url).await;
    run(&url, "SELECT setval('locks.claims_number', 1)").await;
    let lock = |what: &str| {
        let table = "'locks.claims'::regclass::oid::bigint::bit(32)::integer";
        AssertSqlSafe(format!("SELECT pg_advisory_{what}({table}, -1)"))
    };
    let mut other = raw(&url).await;
    within(other.execute(lock("lock"))).await.expect("nobody raises it");
    let asking = tokio::spawn(async move { store.acquire(&claim("a", LONG)).await });
    somebody_waits(&url).await;
    let ahead = 8_000_000_000_000_000;
    within(other.execute(AssertSqlSafe(format!("SELECT setval('locks.claims_number', {ahead})"))))
        .await
        .expect("it is raised");
    within(other.execute(lock("unlock"))).await.expect("it was locked");
    let Ok(Attempt::Granted(grant)) = within(asking).await.expect("no panic") else { panic!("it is free") };
    assert_eq!(grant.token.get(), ahead + 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_who_queues_while_the_holder_releases_is_rung() {
    let url = database().await;
    let holder = store(&url).await;
    let held = claim("midway", LONG);
    assert!(matches!(within(holder.acquire(&held)).await, Ok(Attempt::Granted(_))));
    let mut listener = within(PgListener::connect(&url)).await.expect("the server is there");
    within(listener.listen("his_bell")).await.expect("he listens");
    let mut waiter = midway(&url).await;
    let releasing = tokio::spawn(async move { holder.release(&held, Duration::ZERO).await });
    somebody_waits(&url).await;
    within(waiter.execute("COMMIT")).await.expect("a commit");
    assert!(matches!(within(releasing).await.expect("no panic"), Ok(Ownership::Held { .. })));
    let number = number(&url, "SELECT max(number) FROM locks.claims").await;
    assert_eq!(within(listener.recv()).await.expect("a ring").payload(), format!("7 {number}"));
}

/// Has the key "a" held by one, and another wait for "a" and "b".
const ONE_AND_ANOTHER: &str = r"SELECT locks.claims_acquire(ARRAY['\x01'::bytea, '\x02'], ARRAY[0, 0], ARRAY[600000::bigint, 600000],
        ARRAY[true, true], ARRAY[6::bigint, 7], ARRAY['', ''], ARRAY[1, 2], ARRAY['a'::bytea, 'a', 'b'], 'his_bell')";

const RELEASE_ONE: &str = r"SELECT locks.claims_release(ARRAY['\x01'::bytea], ARRAY[0::bigint], ARRAY[''::bytea],
        ARRAY['a'::bytea])";

/// Neither release sees what the other has done: each would leave it to the other to ring.
#[tokio::test(flavor = "multi_thread")]
async fn one_whose_keys_are_released_by_two_at_once_is_rung() {
    let url = database().await;
    let other = store(&url).await;
    let held = claim("b", LONG);
    assert!(matches!(within(other.acquire(&held)).await, Ok(Attempt::Granted(_))));
    let mut one = raw(&url).await;
    within(one.execute(ONE_AND_ANOTHER)).await.expect("the key a is free");
    let mut listener = within(PgListener::connect(&url)).await.expect("the server is there");
    within(listener.listen("his_bell")).await.expect("he listens");
    within(one.execute("BEGIN")).await.expect("a transaction");
    within(one.execute(RELEASE_ONE)).await.expect("a release that is not committed");
    let releasing = tokio::spawn(async move { other.release(&held, Duration::ZERO).await });
    somebody_waits(&url).await;
    within(one.execute("COMMIT")).await.expect("a commit");
    assert!(matches!(within(releasing).await.expect("no panic"), Ok(Ownership::Held { .. })));
    assert_eq!(within(listener.recv()).await.expect("a ring").payload(), "7");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_is_rung_when_it_cannot_be_told_whether_its_other_key_is_being_released() {
    let url = database().await;
    let other = store(&url).await;
    assert!(matches!(within(other.acquire(&claim("b", LONG))).await, Ok(Attempt::Granted(_))));
    let (mut one, mut at_work) = (raw(&url).await, raw(&url).await);
    within(one.execute(ONE_AND_ANOTHER)).await.expect("the key a is free");
    let mut listener = within(PgListener::connect(&url)).await.expect("the server is there");
    within(listener.listen("his_bell")).await.expect("he listens");
    let enter = "BEGIN; SELECT locks.claims_enter(ARRAY['b'::bytea])";
    within(at_work.execute(enter)).await.expect("nobody else is in the queue");
    within(one.execute(RELEASE_ONE)).await.expect("it waits for nobody");
    assert_eq!(within(listener.recv()).await.expect("a ring").payload(), "7");
}

/// A statement would not see what was committed while it waited to enter.
#[rstest]
#[case::one_queue("ARRAY['a'::bytea]")]
#[case::two("ARRAY['a'::bytea, 'b']")]
#[tokio::test(flavor = "multi_thread")]
async fn nobody_enters_with_an_old_snapshot(#[case] keys: &str) {
    let url = database().await;
    drop(store(&url).await);
    for isolation in ["REPEATABLE READ", "SERIALIZABLE"] {
        let enter = format!("BEGIN ISOLATION LEVEL {isolation}; SELECT locks.claims_enter({keys})");
        let refused = within(raw(&url).await.execute(AssertSqlSafe(enter))).await.expect_err("refused");
        assert!(refused.to_string().contains("it must be read committed"), "{refused}");
    }
}
