//! A ring that tells of a turn saves the look, and nothing else does.

use std::num::NonZeroU32;
use std::time::Duration;

use futures::FutureExt;
use lock_core::{Attempt, Backend, Claim, Mode, Ownership};
use lock_postgres::Postgres;
use rstest::rstest;
use sqlx::postgres::PgListener;
use sqlx::{AssertSqlSafe, Executor, Row};

use crate::help::{LONG, becomes, calls, claim, counted, database, number, raw, run, store, text, within};

const NO: Duration = Duration::ZERO;

async fn granted(store: &Postgres, claim: &Claim) {
    let attempt = within(store.acquire(claim)).await;
    assert!(matches!(attempt, Ok(Attempt::Granted(_))), "{attempt:?}");
}

async fn busy(store: &Postgres, claim: &Claim) {
    let attempt = within(store.acquire(claim)).await;
    assert!(matches!(attempt, Ok(Attempt::Busy(_))), "{attempt:?}");
}

async fn release(store: &Postgres, held: &Claim, keep: Duration) {
    assert_eq!(within(store.release(held, keep)).await.expect("an answer"), Ownership::held(keep));
}

fn shared(key: &str, ttl: Duration) -> Claim {
    Claim::new(key, Mode::Shared, ttl).expect("a valid claim").queued()
}

/// Waits until a claim is rung.
async fn rung(store: &Postgres, waiter: &Claim, why: impl Future<Output = ()>) {
    let mut rings = store.wakeups(waiter).await.expect("it listens");
    // Once, perhaps, because the client has begun to listen.
    while rings.next().now_or_never().is_some() {}
    why.await;
    within(rings.next()).await.expect("it is rung");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_told_of_its_turn_holds_the_lock_and_asks_no_more() {
    let url = counted().await;
    let store = store(&url).await;
    let (held, waiter) = (claim("a", LONG), claim("a", LONG));
    granted(&store, &held).await;
    busy(&store, &waiter).await;
    rung(&store, &waiter, release(&store, &held, NO)).await;

    let before = calls(&url).await;
    let Ok(Attempt::Granted(told)) = store.acquire(&waiter).await else { panic!("it has its turn") };
    assert_eq!(calls(&url).await, before);
    let Ok(Attempt::Granted(asked)) = store.acquire(&waiter).await else { panic!("it is held") };
    assert_eq!(calls(&url).await, before + 1);
    assert_eq!(told.token, asked.token);
    assert!(told.lease < LONG && told.lease > LONG * 2 / 3, "{told:?}");
    release(&store, &waiter, NO).await;
    assert_eq!(number(&url, "SELECT count(*) FROM locks.claims").await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_told_of_a_place_does_not_count_for_another() {
    let url = database().await;
    let store = store(&url).await;
    let (held, waiter, other) = (claim("a", LONG), claim("a", LONG), claim("a", LONG));
    granted(&store, &held).await;
    busy(&store, &waiter).await;
    let place = number(&url, "SELECT max(number) FROM locks.claims").await;
    rung(&store, &waiter, release(&store, &held, NO)).await;
    release(&store, &waiter, NO).await;
    granted(&store, &other).await;
    busy(&store, &waiter).await;

    // Nor does a ring for a place that it has had.
    let channel = text(&url, "SELECT max(bell) FROM locks.claims").await;
    let old = format!("SELECT pg_notify('{channel}', '{} {place}')", waiter.tag());
    rung(&store, &waiter, run(&url, &old)).await;
    busy(&store, &waiter).await;
}

/// As many statements as are left over: who is rung for another reason than its turn looks.
#[rstest]
#[case::a_remnant_is_in_the_way(claim("a", LONG), LONG, 1)]
#[case::one_of_several_keys(Claim::new(["a", "b"], Mode::Exclusive, LONG).expect("valid").queued(), NO, 1)]
#[case::one_who_shares(shared("a", LONG), NO, 1)]
#[case::one_permit(Claim::new("a", Mode::Permit { of: NonZeroU32::MIN }, LONG).expect("valid").queued(), NO, 1)]
#[case::alone(claim("a", LONG), NO, 0)]
#[tokio::test(flavor = "multi_thread")]
async fn who_is_rung_asks_where(#[case] waiter: Claim, #[case] keep: Duration, #[case] asks: i64) {
    let url = counted().await;
    let store = store(&url).await;
    let held = claim("a", LONG);
    granted(&store, &held).await;
    busy(&store, &waiter).await;
    rung(&store, &waiter, release(&store, &held, keep)).await;
    let before = calls(&url).await;
    let has_room = matches!(within(store.acquire(&waiter)).await, Ok(Attempt::Granted(_)));
    assert_eq!((has_room, calls(&url).await - before), (keep.is_zero(), asks));
}

#[tokio::test(flavor = "multi_thread")]
async fn one_whose_place_is_not_sure_any_more_asks() {
    let url = counted().await;
    let store = store(&url).await;
    let ttl = Duration::from_secs(3);
    let (held, waiter) = (claim("a", LONG), claim("a", ttl));
    granted(&store, &held).await;
    busy(&store, &waiter).await;
    tokio::time::sleep(ttl / 2).await;
    busy(&store, &waiter).await;
    rung(&store, &waiter, release(&store, &held, NO)).await;
    let before = calls(&url).await;
    granted(&store, &waiter).await;
    assert_eq!(calls(&url).await, before + 1);
}

/// Who holds the key alone has let go; but of another, which has lapsed, a transaction that counts on it has not ended.
#[tokio::test(flavor = "multi_thread")]
async fn one_behind_a_pinned_claim_is_not_told() {
    let url = database().await;
    let store = store(&url).await;
    let (pinned, held, waiter) = (shared("a", Duration::from_secs(1)), shared("a", LONG), claim("a", LONG));
    granted(&store, &pinned).await;
    let mut transaction = raw(&url).await;
    within(transaction.execute("BEGIN; SELECT FROM locks.claims FOR KEY SHARE")).await.expect("it is there");
    granted(&store, &held).await;
    busy(&store, &waiter).await;
    becomes(&url, "SELECT count(*) FROM locks.claims WHERE expires <= clock_timestamp()", 1).await;
    rung(&store, &waiter, release(&store, &held, NO)).await;
    busy(&store, &waiter).await;
    within(transaction.execute("COMMIT")).await.expect("a commit");
    granted(&store, &waiter).await;
}

/// Nobody would be rung if the one that has lapsed were told that it has its turn.
#[tokio::test(flavor = "multi_thread")]
async fn one_behind_a_lapsed_waiter_is_rung() {
    let url = database().await;
    let store = store(&url).await;
    let (held, lapsing, waiter) =
        (claim("a", LONG), claim("a", Duration::from_millis(100)), claim("a", LONG));
    granted(&store, &held).await;
    busy(&store, &lapsing).await;
    busy(&store, &waiter).await;
    becomes(&url, "SELECT count(*) FROM locks.claims WHERE expires <= clock_timestamp()", 1).await;
    rung(&store, &waiter, release(&store, &held, NO)).await;
    granted(&store, &waiter).await;
}

/// Of each key, `b` and `a`, one who holds it and one who waits for it, with the tags 3 and 4.
const TWO_AND_TWO: &str = r"SELECT locks.claims_acquire(ARRAY['\x01'::bytea, '\x02', '\x03', '\x04'], ARRAY[0, 0, 0, 0],
    ARRAY[600000::bigint, 600000, 600000, 600000], ARRAY[true, true, true, true], ARRAY[1::bigint, 2, 3, 4], ARRAY['', '', '', ''],
    ARRAY[1, 2, 3, 4], ARRAY['b'::bytea, 'a', 'b', 'a'], 'his_bell')";

/// What one call answers that releases these, and who is rung by it.
async fn released(url: &str, owners: &[&str], keys: &[&str]) -> (String, Vec<String>) {
    let mut listener = within(PgListener::connect(url)).await.expect("the server is there");
    within(listener.listen_all(["his_bell", "her_bell"])).await.expect("they listen");
    let array =
        |words: &[&str]| words.iter().map(|word| format!("'{word}'::bytea")).collect::<Vec<_>>().join(", ");
    let nothing = |what: &str| vec![what; owners.len()].join(", ");
    let call = format!(
        "SELECT locks.claims_release(ARRAY[{}], ARRAY[{}], ARRAY[{}], ARRAY[{}])::text",
        array(owners),
        nothing("0::bigint"),
        nothing("''::bytea"),
        array(keys)
    );
    let mut connection = raw(url).await;
    let row = within(sqlx::query(AssertSqlSafe(call)).fetch_one(&mut connection)).await.expect("an answer");
    within(connection.execute("NOTIFY his_bell, 'the end'")).await.expect("said");
    let mut rings = Vec::new();
    loop {
        let ring = within(listener.recv()).await.expect("a ring");
        if ring.payload() == "the end" {
            rings.sort_unstable();
            return (row.get(0), rings);
        }
        rings.push(format!("{} {}", ring.channel(), ring.payload()));
    }
}

async fn place(url: &str, owner: &str) -> i64 {
    number(url, &format!("SELECT number FROM locks.claims WHERE owner = '{owner}'")).await
}

#[tokio::test(flavor = "multi_thread")]
async fn each_who_is_next_after_a_batch_is_told_its_own_number() {
    let url = database().await;
    store(&url).await;
    run(&url, TWO_AND_TWO).await;
    run(&url, r"UPDATE locks.claims SET bell = 'her_bell' WHERE owner = '\x03'").await;
    let (three, four) = (place(&url, r"\x03").await, place(&url, r"\x04").await);
    let (answers, rings) = released(&url, &[r"\x01", r"\x02"], &["b", "a"]).await;
    assert_eq!(answers, "{1,1}");
    assert_eq!(rings, [format!("her_bell 3 {three}"), format!("his_bell 4 {four}")]);
}

#[rstest]
#[case::whoever_is_released_twice_was_there_once(&[r"\x01", r"\x01"], "{1,0}", true)]
#[case::who_leaves_with_the_holder_is_not_rung(&[r"\x01", r"\x03"], "{1,1}", false)]
#[tokio::test(flavor = "multi_thread")]
async fn a_batch_of_one_key(#[case] owners: &[&str], #[case] answers: &str, #[case] rung: bool) {
    let url = database().await;
    store(&url).await;
    run(&url, TWO_AND_TWO).await;
    let (said, rings) = released(&url, owners, &["b", "b"]).await;
    assert_eq!((&*said, !rings.is_empty()), (answers, rung), "{rings:?}");
}
