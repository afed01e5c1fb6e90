//! Tokens grow, whatever becomes of the counter.

use lock_core::{Attempt, Backend, Locker, Token};

use crate::help::{LIMIT, LONG, claim, locker, queue, raw, server, store, within};

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
    tokio::time::sleep(std::time::Duration::from_millis(1100)).await;
    tokens.extend(grants(&locker(old.url()).await, 3).await);
    assert!(tokens.is_sorted_by(|one, next| one < next), "{tokens:?}");
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
