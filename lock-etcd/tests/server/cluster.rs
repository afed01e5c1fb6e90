//! Three members, of which one or two go.

use std::sync::Arc;
use std::time::{Duration, Instant};

use conformance_tests::Server;
use lock_core::{Backend, ErrorKind, Ownership};
use lock_etcd::Etcd;
use rstest::rstest;

use crate::help::{LIMIT, LONG, SHORT, behind, claim, locker, queued, raw, renew, store, until, within};

/// What the members may take to elect another leader: one or two seconds, and again if nobody wins.
const ELECTION: Duration = Duration::from_secs(10);

/// The address of all members.
fn url(members: &[Server]) -> String {
    let hosts = members.iter().map(|member| member.url().trim_start_matches("etcd://"));
    format!("etcd://{}", hosts.collect::<Vec<_>>().join(","))
}

/// The number of the member that leads.
async fn leader(members: &[Server]) -> usize {
    within(async {
        loop {
            for (at, member) in members.iter().enumerate() {
                let status = raw(member).await.maintenance_client().status().await.expect("it is there");
                if status.header().is_some_and(|header| header.member_id() == status.leader()) {
                    return at;
                }
            }
        }
    })
    .await
}

#[derive(Clone, Copy)]
enum Blow {
    Kill,
    Stop,
}

fn strike(member: &mut Server, blow: Blow) {
    match blow {
        Blow::Kill => member.kill(),
        Blow::Stop => member.pause(),
    }
}

#[rstest]
#[case::is_killed(Blow::Kill)]
#[case::stands_still(Blow::Stop)]
#[tokio::test(flavor = "multi_thread")]
async fn locks_go_on_when_the_leader(#[case] blow: Blow) {
    let mut members = Server::etcd_cluster();
    let url = url(&members);
    let ttl = SHORT * 5;
    let locks = locker(&url).await.with_ttl(ttl);
    let held = within(locks.lock("a").acquire()).await.expect("granted");
    let dead = store(&url).await;
    let left = claim("dead", SHORT);
    let asked = Instant::now();
    dead.acquire(&left).await.expect("granted");

    let at = leader(&members).await;
    strike(&mut members[at], blow);
    // Nobody gets it too early, though another member counts the time now; and somebody does in time.
    let next = within(locks.lock("dead").timeout(LIMIT).acquire()).await.expect("granted");
    let after = asked.elapsed();
    assert!((SHORT..SHORT * 2 + ELECTION).contains(&after), "after {after:?}");
    within(next.release()).await.expect("it was held");
    tokio::time::sleep(ttl).await;
    assert!(held.is_held(), "it was renewed over another member");
    within(held.release()).await.expect("it was held all the time");
    if matches!(blow, Blow::Stop) {
        members[at].resume();
    }
}

#[rstest]
#[case::is_killed(Blow::Kill)]
#[case::stands_still(Blow::Stop)]
#[tokio::test(flavor = "multi_thread")]
async fn a_waiter_is_handed_the_lock_when_the_leader(#[case] blow: Blow) {
    let mut members = Server::etcd_cluster();
    let url = url(&members);
    let (one, two) = (locker(&url).await, locker(&url).await);
    let held = within(one.lock("a").acquire()).await.expect("granted");
    let waiter = tokio::spawn(two.lock("a").acquire());
    queued(&raw(&members[0]).await, "a", 2).await;
    let at = leader(&members).await;
    strike(&mut members[at], blow);
    let token = held.token();
    within(held.release()).await.ok();
    let handed = within(waiter).await.expect("no panic").expect("granted");
    assert!(handed.token() > token);
    if matches!(blow, Blow::Stop) {
        members[at].resume();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_of_rings_ends_when_its_member_has_lost_its_leader() {
    let mut members = Server::etcd_cluster();
    let store = store(members[0].url()).await;
    let (_, _, mut rings) = behind(&store).await;
    for member in &mut members[1..] {
        member.kill();
    }
    within(async { while rings.next().await.is_some() {} }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_renewal_without_an_answer_is_none_though_the_claim_is_there() {
    let mut members = Server::etcd_cluster();
    let at = leader(&members).await;
    members.swap(0, at);
    // Those that it knows hand renewals on to the leader, and elect another one before the claim is looked at.
    let store = store(&url(&members[1..])).await;
    let one = Arc::new(claim("a", LONG));
    store.acquire(&one).await.expect("granted");
    assert_eq!(renew(&store, &one).await, Ownership::held(LONG));
    members[0].pause();
    let answers = within(store.renew(std::slice::from_ref(&one))).await;
    assert!(
        matches!(&answers[..], [Err(error)] if error.kind() == ErrorKind::Unavailable),
        "nobody renewed it: {answers:?}"
    );
    members[0].resume();
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_majority_nothing_is_granted_and_what_is_held_is_lost_in_time() {
    let mut members = Server::etcd_cluster();
    let url = url(&members);
    let store = store(&url).await;
    // Long enough that it would be renewed meanwhile, if that were possible.
    let ttl = SHORT * 4;
    let locks = lock_core::Locker::new(store.clone()).with_ttl(ttl);
    let kept = Arc::new(claim("kept", LONG));
    store.acquire(&kept).await.expect("granted");
    let held = within(locks.lock("a").acquire()).await.expect("granted");

    let (one, two) = (leader(&members).await, (leader(&members).await + 1) % 3);
    members[one].kill();
    members[two].kill();
    let struck = Instant::now();
    let error = within(locks.lock("b").try_acquire()).await.expect_err("two of three are gone");
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    // Nor does anybody connect to the one that is left: it does not reach the others.
    let error = within(Etcd::connect(&url)).await.expect_err("two of three are gone");
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    within(held.lost()).await;
    assert!(struck.elapsed() <= ttl + Duration::from_secs(2), "lost after {:?}", struck.elapsed());

    let waiting = tokio::spawn(locks.lock("b").timeout(LIMIT).acquire());
    members[one].restart();
    drop(within(waiting).await.expect("no panic").expect("granted with a majority"));
    // The first answer may be that nobody leads yet.
    until(|| async {
        matches!(store.renew(std::slice::from_ref(&kept)).await[..], [Ok(Ownership::Held { .. })])
    })
    .await;
}
