//! A master that goes, and a replica in its place.

use std::time::Duration;

use conformance_tests::{Proxy, Server};
use lock_core::{Attempt, Backend, ErrorKind, Guard, Locker, Ownership};
use lock_redis::Redis;
use rstest::rstest;

use crate::help::{LIMIT, LONG, ask, caught_up, claim, follow, queued, two_servers, within};

/// Long enough for a failover on a slow machine.
const TTL: Duration = Duration::from_secs(10);

/// How the master goes.
#[derive(Clone, Copy)]
enum End {
    Killed,
    Demoted,
}

/// Two servers, and a way that leads to whichever is the master.
struct Pair {
    master: Server,
    replica: Server,
    /// From the replica to its master.
    replication: Proxy,
    to_master: Proxy,
}

impl Pair {
    async fn new() -> Self {
        let [master, replica] = two_servers();
        let (replication, to_master) = (Proxy::to(master.url()).await, Proxy::to(master.url()).await);
        follow(&replica, replication.url()).await;
        caught_up(&master).await;
        Self { master, replica, replication, to_master }
    }

    async fn locker(&self) -> Locker {
        Locker::new(Redis::connect(self.to_master.url()).await.expect("the master is there")).with_ttl(TTL)
    }

    /// The replica is the master from now on, and the address leads there.
    async fn fail_over(&mut self, end: End) {
        if matches!(end, End::Killed) {
            self.master.kill();
        }
        ask::<()>(&self.replica, "REPLICAOF NO ONE").await;
        if matches!(end, End::Demoted) {
            follow(&self.master, self.replica.url()).await;
        }
        self.to_master.lead_to(self.replica.url());
    }

    /// When the first claim on a key expires on the server that was the replica.
    async fn expiry(&self, key: &str) -> u64 {
        let first: Vec<String> = ask(&self.replica, &format!("ZRANGE lock:q:{key} 0 0")).await;
        ask(&self.replica, &format!("PEXPIRETIME {}", first[0])).await
    }
}

#[rstest]
#[case::a_dead_master(End::Killed)]
#[case::a_demoted_master(End::Demoted)]
#[tokio::test(flavor = "multi_thread")]
async fn what_the_replica_has_goes_on_after(#[case] end: End) {
    let mut pair = Pair::new().await;
    let (one, two) = (pair.locker().await, pair.locker().await);
    let held = within(one.lock("a").acquire()).await.expect("granted");
    let waiter = tokio::spawn(two.lock("a").acquire());
    queued(&pair.master, "a", 2).await;
    caught_up(&pair.master).await;

    let before = pair.expiry("a").await;
    pair.fail_over(end).await;
    within(async {
        while pair.expiry("a").await <= before {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    })
    .await;
    assert!(held.is_held(), "it is renewed on the new master");
    let token = held.token();
    within(held.release()).await.expect("it was held all the time");
    let handed = within(waiter).await.expect("no panic").expect("granted");
    assert!(handed.token() > token);
    let newer = within(one.lock("b").timeout(LIMIT).acquire()).await.expect("granted");
    assert!(newer.token() > handed.token());
}

#[rstest]
#[case::a_dead_master(End::Killed)]
#[case::a_demoted_master(End::Demoted)]
#[tokio::test(flavor = "multi_thread")]
async fn what_the_replica_has_not_seen_is_lost_after(#[case] end: End) {
    let mut pair = Pair::new().await;
    let (one, two) = (pair.locker().await, pair.locker().await);
    pair.replication.hold();
    let held = within(one.lock("a").acquire()).await.expect("granted");
    pair.fail_over(end).await;

    let next = within(two.lock("a").timeout(LIMIT).acquire()).await.expect("granted: nobody knows better");
    assert!(next.token() > held.token(), "the resource can tell who is stale");
    // The next renewal tells.
    within(held.lost()).await;
    assert_eq!(within(Guard::release(held)).await.expect_err("it is lost").kind(), ErrorKind::Lost);
    assert!(next.is_held());
}

#[tokio::test(flavor = "multi_thread")]
async fn who_asks_a_demoted_master_is_answered_by_the_new_one_at_the_first_try() {
    let mut pair = Pair::new().await;
    let store = Redis::connect(pair.to_master.url()).await.expect("the master is there");
    let held = std::sync::Arc::new(claim("a", LONG));
    assert!(matches!(store.acquire(&held).await, Ok(Attempt::Granted(_))));
    caught_up(&pair.master).await;
    pair.fail_over(End::Demoted).await;
    let renewed = within(store.renew(&[held])).await;
    assert!(matches!(renewed[..], [Ok(Ownership::Held { .. })]), "{renewed:?}");
}
