//! Rings that do not come.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use conformance_tests::Proxy;
use futures::FutureExt;
use lock_core::{Attempt, Backend, Locker};
use lock_redis::Redis;

use crate::help::{LIMIT, LONG, ask, claim, locker, queued, server, store, within};

#[tokio::test(flavor = "multi_thread")]
async fn who_waits_on_a_dead_subscription_finds_the_lock_by_its_own_look() {
    let server = server();
    let proxy = Proxy::to(server.url()).await;
    let near = locker(&server).await;
    let deaf = Locker::new(Redis::connect(proxy.url()).await.expect("connected"));
    // Held so long that its lapse wakes nobody.
    let held = within(near.lock("a").ttl(LONG).acquire()).await.expect("granted");
    let waiter = tokio::spawn(deaf.lock("a").ttl(Duration::from_secs(20)).acquire());
    queued(&server, "a", 2).await;

    let swallowed = Arc::new(AtomicUsize::new(0));
    let counter = swallowed.clone();
    proxy.edit(move |said| {
        while cut_message(said) {
            counter.fetch_add(1, Ordering::SeqCst);
        }
    });
    within(held.release()).await.expect("it was held");
    drop(within(waiter).await.expect("no panic").expect("granted"));
    assert_eq!(swallowed.load(Ordering::SeqCst), 1, "it was rung, and did not hear it");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_on_which_nothing_comes_back_is_given_up() {
    let server = server();
    let proxy = Proxy::to(server.url()).await;
    let near = locker(&server).await;
    let far = Locker::new(Redis::connect(proxy.url()).await.expect("connected")).with_ttl(LONG);
    within(within(far.lock("a").acquire()).await.expect("granted").release()).await.expect("it was held");
    let held = within(near.lock("b").acquire()).await.expect("granted");
    let waiter = tokio::spawn(far.lock("b").acquire());
    queued(&server, "b", 2).await;

    proxy.hold();
    let guard = within(far.lock("a").timeout(LIMIT).acquire()).await.expect("granted on a new connection");
    within(guard.release()).await.expect("it was held");
    // The new connection hears the rings of those who waited on the old one.
    within(held.release()).await.expect("it was held");
    drop(within(waiter).await.expect("no panic").expect("granted"));
}

/// Nobody heard it, and whoever comes to listen does not know.
#[tokio::test(flavor = "multi_thread")]
async fn who_takes_over_a_place_hears_what_was_rung_while_nobody_listened() {
    let server = server();
    let (near, origin) = (store(&server).await, store(&server).await);
    let fork = origin.fork().await.expect("another client of it");
    // So that what rings when it begins to listen rings none of these.
    origin.acquire(&claim("b", LONG)).await.expect("granted");
    let [held, first, second] = [(); 3].map(|()| claim("a", LONG));
    for (client, claim) in [(&near, &held), (&origin, &first), (&origin, &second)] {
        client.acquire(claim).await.expect("an answer");
    }
    drop(origin);
    within(async {
        // `near` listens.
        while ask::<String>(&server, "CLIENT LIST TYPE pubsub").await.lines().count() > 1 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
    near.release(&held, Duration::ZERO).await.expect("released");
    let mut bell = fork.wakeups(&first).await.expect("a bell");
    within(bell.next()).await.expect("a ring");

    // From here on it listens.
    let mut bell = fork.wakeups(&second).await.expect("a bell");
    assert!(matches!(fork.acquire(&first).await, Ok(Attempt::Granted(_))));
    while bell.next().now_or_never().is_some() {}
    near.release(&first, Duration::ZERO).await.expect("released");
    within(bell.next()).await.expect("a ring");
}

/// Takes one message of a channel out of what the server said, if there is one.
fn cut_message(said: &mut Vec<u8>) -> bool {
    const START: &[u8] = b">3\r\n$7\r\nmessage\r\n";
    let Some(at) = said.windows(START.len()).position(|window| window == START) else { return false };
    // A length, a channel, a length, a tag.
    let ends = said[at + START.len()..].windows(2).enumerate().filter(|(_, two)| two == b"\r\n");
    let (end, _) = ends.clone().nth(3).expect("a message comes in one piece");
    said.drain(at..at + START.len() + end + 2);
    true
}
