//! Tokens grow, whatever becomes of the counter.

use std::time::{Duration, SystemTime};

use conformance_tests::Proxy;
use futures::StreamExt;
use lock_core::{Attempt, Backend, Locker, Token};
use rstest::rstest;

use crate::help::{LIMIT, LONG, claim, locker, queue, queued, raw, server, store, within};

async fn grants(locks: &Locker, count: usize) -> Vec<Token> {
    let mut tokens = Vec::new();
    for _ in 0..count {
        let guard = within(locks.lock("a").timeout(LIMIT).acquire()).await.expect("granted");
        tokens.push(guard.token());
        within(guard.release()).await.expect("it was held");
    }
    tokens
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_grow_though_the_epoch_was_deleted_or_set_back() {
    let server = server();
    let (raw, locks) = (raw(&server).await, locker(server.url()).await);
    let mut tokens = grants(&locks, 3).await;
    raw.kv_client().delete("lock/n", None).await.expect("deleted");
    tokens.extend(grants(&locks, 3).await);
    raw.kv_client().put("lock/n", format!("{:016}", 7), None).await.expect("put");
    tokens.extend(grants(&locks, 3).await);
    // Somebody who has seen nothing of that.
    raw.kv_client().delete("lock/n", None).await.expect("deleted");
    tokens.extend(grants(&locker(server.url()).await, 3).await);
    assert!(tokens.is_sorted_by(|one, next| one < next), "{tokens:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_grow_across_an_older_store() {
    let (old, new) = (server(), server());
    // The new one is far ahead of the old one, as a store is of its snapshot.
    let raw = raw(&new).await;
    for _ in 0..500 {
        raw.kv_client().put("x", "x", None).await.expect("put");
    }
    let mut tokens = grants(&locker(new.url()).await, 3).await;
    tokio::time::sleep(Duration::from_millis(1100)).await;
    tokens.extend(grants(&locker(old.url()).await, 3).await);
    assert!(tokens.is_sorted_by(|one, next| one < next), "{tokens:?}");
}

fn wall_micros() -> u64 {
    let since_1970 = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("it is later");
    u64::try_from(since_1970.as_micros()).expect("not in this millennium")
}

#[rstest]
#[case::waits(true)]
#[case::skips(false)]
#[tokio::test(flavor = "multi_thread")]
async fn a_token_is_the_time_though_much_happened_that_its_client_did_not_see(#[case] waits: bool) {
    let server = server();
    let (raw, locks) = (raw(&server).await, locker(server.url()).await);
    grants(&locks, 1).await;
    // The epoch is due after a second, and these would be 80 ms.
    tokio::time::sleep(Duration::from_millis(1100)).await;
    let puts = (0..5_000).map(|_| async { raw.kv_client().put("x", "x", None).await.map(drop) });
    let puts: Vec<_> = futures::stream::iter(puts).buffer_unordered(100).collect().await;
    assert!(puts.iter().all(Result::is_ok));
    let before = wall_micros();
    let guard = match waits {
        true => within(locks.lock("a").acquire()).await.expect("granted"),
        false => within(locks.lock("a").try_acquire()).await.expect("an answer").expect("free"),
    };
    let (token, after) = (guard.token().get(), wall_micros());
    assert!(token <= after, "{} µs ahead", token - after);
    assert!(token >= before - 1_000_000, "{} µs behind", before - token);
}

#[rstest]
#[case::that_is_free(false)]
#[case::that_is_held(true)]
#[tokio::test(flavor = "multi_thread")]
async fn a_claim_that_is_found_later_on_a_key(#[case] held: bool) {
    let server = server();
    let (raw, proxy) = (raw(&server).await, Proxy::to(server.url()).await);
    let (here, there) = (store(proxy.url()).await, store(server.url()).await);
    let (first, one) = (claim("a", LONG), claim("a", LONG));
    let Ok(Attempt::Granted(before)) = here.acquire(&first).await else { panic!("it is free") };
    // Where somebody has met another, a claim comes at once.
    let spare = claim(if held { "a" } else { "b" }, LONG);
    here.acquire(&spare).await.expect("an answer");
    here.release(if held { &spare } else { &first }, Duration::ZERO).await.expect("it was there");
    // The store forgets, and a claim comes of which nobody is told.
    raw.kv_client().put("lock/n", format!("{:016}", 7), None).await.expect("put");
    // Not cut at the next word: the server also speaks of the connection itself, before the claim has come.
    proxy.hold();
    within(here.acquire(&one)).await.expect_err("no answer");
    queued(&raw, "a", if held { 2 } else { 1 }).await;
    let number = queue(&raw, "a").await.last().expect("it is there").create_revision();
    if held {
        assert!(matches!(within(here.acquire(&one)).await.expect("an answer"), Attempt::Busy(_)));
        let mut rings = here.wakeups(&one).await.expect("a bell");
        there.release(&first, Duration::ZERO).await.expect("it was there");
        assert!(within(rings.next()).await.is_some(), "the stream ended instead of ringing");
    }
    let Ok(Attempt::Granted(grant)) = within(here.acquire(&one)).await else { panic!("it is free") };
    assert!(grant.token > before.token, "{:?} after {:?}", grant.token, before.token);
    let queue = queue(&raw, "a").await;
    assert!(queue.len() == 1 && queue[0].create_revision() > number, "it has come anew");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_claim_whose_answer_got_lost_has_its_token_though_the_store_was_compacted() {
    let server = server();
    let (raw, proxy) = (raw(&server).await, Proxy::to(server.url()).await);
    let (here, there) = (store(proxy.url()).await, store(server.url()).await);
    let [holder, met, one] = [(); 3].map(|()| claim("a", LONG));
    let Ok(Attempt::Granted(before)) = there.acquire(&holder).await else { panic!("it is free") };
    // Where somebody has met another, a claim comes at once.
    here.acquire(&met).await.expect("it is held");
    here.release(&met, Duration::ZERO).await.expect("it waits");
    proxy.hold();
    within(here.acquire(&one)).await.expect_err("no answer");
    queued(&raw, "a", 2).await;
    assert!(matches!(within(here.acquire(&one)).await.expect("an answer"), Attempt::Busy(_)));
    let revision =
        raw.kv_client().put("x", "x", None).await.expect("put").header().map_or(0, |h| h.revision());
    raw.kv_client().compact(revision, None).await.expect("compacted");
    let mut rings = here.wakeups(&one).await.expect("a bell");
    there.release(&holder, Duration::ZERO).await.expect("it holds");
    assert!(within(rings.next()).await.is_some(), "the stream ended instead of ringing");
    let attempt = within(here.acquire(&one)).await.expect("its token is known");
    assert!(matches!(attempt, Attempt::Granted(grant) if grant.token > before.token), "{attempt:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_claim_has_one_token_whoever_asks_and_however_long_ago_the_epoch_was() {
    let server = server();
    let (raw, here) = (raw(&server).await, store(server.url()).await);
    let one = claim("a", LONG);
    let Ok(Attempt::Granted(first)) = here.acquire(&one).await else { panic!("it is free") };
    let revision = queue(&raw, "a").await[0].create_revision();
    raw.kv_client().put("lock/n", format!("{:016}", Token::LIMIT - 1000), None).await.expect("put");
    let there = store(server.url()).await;
    let Ok(Attempt::Granted(again)) = there.acquire(&one).await else { panic!("it is held") };
    assert_eq!(first.token, again.token);

    // What the epoch was is not known any more: then nothing is made up.
    raw.kv_client().compact(revision + 1, None).await.expect("compacted");
    let elsewhere = store(server.url()).await;
    let error = within(elsewhere.acquire(&one)).await.expect_err("its token is not known");
    assert!(error.to_string().contains("token"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_counter_at_its_limit_grants_nothing() {
    let server = server();
    let raw = raw(&server).await;
    raw.kv_client().put("lock/n", format!("{:016}", Token::LIMIT), None).await.expect("put");
    let locks = locker(server.url()).await;
    let error = within(locks.lock("a").try_acquire()).await.expect_err("no token is left");
    assert!(error.to_string().contains("2^53"), "{error}");
}
