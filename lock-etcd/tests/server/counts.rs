//! How many requests, writes and connections it takes.

use std::fs;
use std::time::Duration;

use conformance_tests::{Server, etcd_metric};
use lock_core::{Guard, Locker};
use rstest::rstest;

use crate::help::{LONG, locker, server, until, within};

async fn metric(server: &Server, name: &str) -> u64 {
    etcd_metric(server.url(), name).await.expect("the server tells of itself")
}

async fn proposals(server: &Server) -> u64 {
    metric(server, "etcd_server_proposals_committed_total").await
}

async fn streams(server: &Server, method: &str, service: &str) -> u64 {
    let labels = format!(
        r#"{{grpc_method="{method}",grpc_service="etcdserverpb.{service}",grpc_type="bidi_stream"}}"#
    );
    metric(server, &format!("grpc_server_started_total{labels}")).await
}

/// The connections of this process to a port. The server has one to itself.
fn connections(port: u16) -> usize {
    let table = fs::read_to_string("/proc/net/tcp").expect("Linux has it");
    let remote = format!("0100007F:{port:04X}");
    let established = |line: &str| {
        let words: Vec<_> = line.split_whitespace().collect();
        (words.get(2)? == &remote && words.get(3)? == &"01").then(|| format!("socket:[{}]", words[9]))
    };
    let sockets: Vec<_> = table.lines().filter_map(established).collect();
    let ours = fs::read_dir("/proc/self/fd").expect("Linux has it").flatten();
    let ours = ours.filter_map(|entry| fs::read_link(entry.path()).ok());
    ours.filter(|target| sockets.iter().any(|socket| target.as_os_str() == &**socket)).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pair_is_two_writes() {
    let server = server();
    let locks = locker(server.url()).await;
    for waits in [true, false] {
        let pair = async || {
            let guard = match waits {
                true => within(locks.lock("a").acquire()).await.expect("granted"),
                false => within(locks.lock("a").try_acquire()).await.expect("an answer").expect("free"),
            };
            within(guard.release()).await.expect("it was held");
        };
        // The first one brings a lease.
        pair().await;
        let before = proposals(&server).await;
        for _ in 0..100 {
            pair().await;
        }
        assert_eq!(proposals(&server).await - before, 200);
    }
}

/// Proposals, removals and grants of leases.
async fn counts(server: &Server) -> [u64; 3] {
    let (removals, grants) = ("etcd_debugging_mvcc_delete_total", "etcd_debugging_lease_granted_total");
    [proposals(server).await, metric(server, removals).await, metric(server, grants).await]
}

fn differences(before: [u64; 3], after: [u64; 3]) -> [u64; 3] {
    std::array::from_fn(|at| after[at] - before[at])
}

#[rstest]
#[case::of_two(2, 50, false)]
#[case::of_sixty_four(64, 5, false)]
#[case::of_sixty_four_clients(64, 5, true)]
#[case::of_two_hundred_and_fifty_six(256, 2, false)]
#[tokio::test(flavor = "multi_thread")]
async fn a_hand_over_is_two_writes(#[case] contenders: u64, #[case] rounds: u64, #[case] apart: bool) {
    let server = server();
    let locks = locker(server.url()).await;
    let mut all = vec![locks; contenders as usize];
    if apart {
        for locks in &mut all {
            *locks = locker(server.url()).await;
        }
    }
    let before = counts(&server).await;
    let contend = |locks: Locker| {
        tokio::spawn(async move {
            for _ in 0..rounds {
                let guard = within(locks.lock("a").acquire()).await.expect("granted");
                within(guard.release()).await.expect("it was held");
            }
        })
    };
    for contender in all.into_iter().map(contend).collect::<Vec<_>>() {
        contender.await.expect("no panic");
    }
    // To arrive, and to leave; a lease for each. Also for those who find their short name taken: there are 256 of them.
    let [writes, removed, leases] = differences(before, counts(&server).await);
    let turns = contenders * rounds;
    assert_eq!(removed, turns, "each leaves once, by one name");
    // Who expected nobody asks twice: at first, and where nobody was met eight times over.
    let guesses = writes - 2 * turns - leases;
    assert!(guesses <= contenders + turns / 8, "{contenders} times {rounds}: {guesses} wrong guesses");
    assert!(leases <= contenders, "{leases} for {contenders}");
    let watches = streams(&server, "Watch", "Watch").await;
    assert!(if apart { watches <= contenders } else { watches == 1 }, "{watches} streams");
}

#[tokio::test(flavor = "multi_thread")]
async fn two_thousand_held_locks_take_two_connections_and_two_streams() {
    let server = server();
    let locks = locker(server.url()).await.with_ttl(Duration::from_secs(30));
    let mut held = Vec::new();
    for n in 0..2_000 {
        held.push(within(locks.lock(format!("key/{n}")).acquire()).await.expect("granted"));
    }
    let renewals = r#"grpc_server_msg_received_total{grpc_method="LeaseKeepAlive",grpc_service="etcdserverpb.Lease",grpc_type="bidi_stream"}"#;
    let reads = r#"grpc_server_handled_total{grpc_code="OK",grpc_method="Txn",grpc_service="etcdserverpb.KV",grpc_type="unary"}"#;
    let before = (metric(&server, renewals).await, metric(&server, reads).await, proposals(&server).await);
    // Until all are renewed twice.
    until(|| async { metric(&server, renewals).await - before.0 >= 4_000 }).await;
    let reads = metric(&server, reads).await - before.1;
    assert!(held.iter().all(Guard::is_held));
    assert!(reads >= 4_000 / 128 - 1, "it looks at what it renewed: {reads}");
    assert!(reads <= 400, "many at once: {reads}");
    assert!(proposals(&server).await - before.2 <= 10, "a renewal is no write");
    assert!(streams(&server, "LeaseKeepAlive", "Lease").await <= 2);
    assert_eq!(connections(server.port()), 2, "a client and its keeper");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_skip_is_one_request_and_leaves_no_lease() {
    let server = server();
    let (one, two) = (locker(server.url()).await, locker(server.url()).await);
    let held = within(one.lock("a").ttl(LONG).acquire()).await.expect("granted");
    let reads =
        r#"grpc_server_started_total{grpc_method="Txn",grpc_service="etcdserverpb.KV",grpc_type="unary"}"#;
    let grants = r#"grpc_server_started_total{grpc_method="LeaseGrant",grpc_service="etcdserverpb.Lease",grpc_type="unary"}"#;
    let before = (metric(&server, reads).await, metric(&server, grants).await);
    for _ in 0..10 {
        assert!(within(two.lock("a").try_acquire()).await.expect("an answer").is_none());
    }
    assert_eq!(metric(&server, reads).await - before.0, 10);
    assert_eq!(metric(&server, grants).await, before.1);
    assert!(held.is_held());
}
