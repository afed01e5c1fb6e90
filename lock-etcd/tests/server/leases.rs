//! Leases that are taken away, and leases that are used again.

use std::sync::Arc;
use std::time::Duration;

use conformance_tests::Proxy;
use lock_core::{Attempt, Backend, Ownership};
use rstest::rstest;

use crate::help::{
    LONG, SHORT, claim, locker, queue, queued, raw, renew, server, store, transactions, within,
};

#[rstest]
#[case::it_was_revoked(LONG)]
#[case::it_ran_out(SHORT)]
#[tokio::test(flavor = "multi_thread")]
async fn one_whose_lease_is_gone_while_it_waits_is_told_at_once_and_holds_nothing(#[case] ttl: Duration) {
    let server = server();
    let (raw, here, there) = (raw(&server).await, store(server.url()).await, store(server.url()).await);
    let (holder, waiter) = (claim("a", LONG), Arc::new(claim("a", ttl)));
    let ends = async |place: usize| {
        if ttl == LONG {
            let lease = queue(&raw, "a").await[place].lease();
            raw.lease_client().revoke(lease).await.expect("there is such a lease");
        }
    };
    let Ok(Attempt::Granted(held)) = here.acquire(&holder).await else { panic!("it is free") };
    let Ok(Attempt::Busy(_)) = there.acquire(&waiter).await else { panic!("it is held") };
    let mut rings = there.wakeups(&waiter).await.expect("a bell");

    ends(1).await;
    assert!(within(rings.next()).await.is_some(), "the stream ended instead of ringing");
    here.release(&holder, Duration::ZERO).await.expect("an answer");

    assert_eq!(renew(&there, &waiter).await, Ownership::Lost);
    let Ok(Attempt::Granted(grant)) = there.acquire(&waiter).await else { panic!("it is free") };
    assert!(grant.token > held.token);
    // It stands there again, and hears what happens to it.
    ends(0).await;
    assert!(within(rings.next()).await.is_some(), "the stream ended instead of ringing");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lock_whose_lease_was_revoked_is_lost_at_the_next_renewal() {
    let server = server();
    let (raw, locks) = (raw(&server).await, locker(server.url()).await);
    let held = within(locks.lock("a").ttl(SHORT * 20).acquire()).await.expect("granted");
    let lease = queue(&raw, "a").await[0].lease();
    raw.lease_client().revoke(lease).await.expect("there is such a lease");
    // It would be lost at its deadline, too, which is later.
    tokio::time::timeout(SHORT * 12, held.lost()).await.expect("a renewal after a third of its ttl");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lock_whose_name_was_deleted_is_lost_though_its_lease_is_there() {
    let server = server();
    let (raw, store) = (raw(&server).await, store(server.url()).await);
    let claims = ["a", "b"].map(|key| Arc::new(claim(key, LONG)));
    for claim in &claims {
        store.acquire(claim).await.expect("granted");
    }
    let name = queue(&raw, "a").await[0].key().to_vec();
    raw.kv_client().delete(name, None).await.expect("it is there");
    assert_eq!(renew(&store, &claims[0]).await, Ownership::Lost);
    assert_eq!(renew(&store, &claims[1]).await, Ownership::held(LONG));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_spare_lease_that_was_revoked_is_no_hindrance() {
    let server = server();
    let (raw, locks) = (raw(&server).await, locker(server.url()).await);
    for waits in [true, false] {
        drop(within(locks.lock("a").acquire()).await.expect("granted"));
        locks.close().await;
        for lease in raw.lease_client().leases().await.expect("an answer").leases() {
            raw.lease_client().revoke(lease.id()).await.expect("there is such a lease");
        }
        let again = match waits {
            true => within(locks.lock("a").acquire()).await.expect("granted"),
            false => within(locks.lock("a").try_acquire()).await.expect("an answer").expect("free"),
        };
        assert!(again.is_held());
        within(again.release()).await.expect("it was held");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lease_is_used_again_and_lasts_as_long_as_the_claim_is_told() {
    let server = server();
    let (raw, store) = (raw(&server).await, store(server.url()).await);
    let ttl = SHORT * 4;
    for _ in 0..20 {
        let one = claim("a", ttl);
        store.acquire(&one).await.expect("granted");
        store.release(&one, Duration::ZERO).await.expect("an answer");
    }
    assert_eq!(raw.lease_client().leases().await.expect("an answer").leases().len(), 1);

    // It has aged by now, and is not what the claim asked for.
    tokio::time::sleep(ttl / 5).await;
    let one = claim("a", ttl);
    let asked = std::time::Instant::now();
    let Ok(Attempt::Granted(grant)) = store.acquire(&one).await else { panic!("it is free") };
    queued(&raw, "a", 0).await;
    assert!(asked.elapsed() >= grant.lease, "it had {:?}", grant.lease);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_claim_whose_answer_got_lost_gives_its_lease_to_nobody() {
    let server = server();
    let raw = raw(&server).await;
    let proxy = Proxy::to(server.url()).await;
    let store = store(proxy.url()).await;
    let one = claim("a", SHORT * 10);
    store.acquire(&one).await.expect("granted");
    store.release(&one, Duration::ZERO).await.expect("an answer");
    // A spare lease is there; what comes of this request is not known.
    proxy.hold();
    let two = claim("a", SHORT * 10);
    store.acquire(&two).await.expect_err("no answer");
    let three = claim("b", SHORT * 10);
    store.acquire(&three).await.expect("granted over another connection");
    let leases = [queue(&raw, "a").await, queue(&raw, "b").await].concat();
    assert!(leases.len() == 1 || leases[0].lease() != leases[1].lease());
    assert_eq!(raw.lease_client().leases().await.expect("an answer").leases().len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_released_during_its_renewal_is_not_remembered() {
    let server = server();
    // Far ahead, the epoch need not be looked at while transactions are counted.
    raw(&server).await.kv_client().put("lock/n", format!("{:016}", 1_u64 << 52), None).await.expect("put");
    let store = store(server.url()).await;
    let one = Arc::new(claim("a", LONG));
    for turns in 0..60 {
        store.acquire(&one).await.expect("it is free");
        let release = async {
            for _ in 0..turns * 20 {
                tokio::task::yield_now().await;
            }
            store.release(&one, Duration::ZERO).await.expect("it was there");
        };
        futures::join!(store.renew(std::slice::from_ref(&one)), release);
        let before = transactions(&server).await;
        store.acquire(&one).await.expect("it is free");
        assert_eq!(transactions(&server).await - before, 1, "it does not look where it was");
        store.release(&one, Duration::ZERO).await.expect("it was there");
    }
}
