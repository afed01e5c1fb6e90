//! What others leave under the names of the locks, and what they take away.

use std::time::Duration;

use etcd_client::DeleteOptions;
use lock_core::{Attempt, Backend, Claim, ErrorKind, Mode, Ownership};
use rstest::rstest;

use crate::help::{LONG, claim, locker, queue, raw, server, store, within};

#[rstest]
#[case::in_a_queue("lock/q/b/x", "x")]
#[case::in_a_directory("lock/q/b/e/x", "x")]
#[case::like_a_claim_that_never_lapses(
    "lock/q/b/e/00000000000000000000000000000000",
    "1 00000000000000000000000000000000 exclusive 3 0 0 0 "
)]
#[case::the_epoch("lock/n", "x")]
#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_lock_is_an_error_and_nothing_is_half_done(#[case] name: &str, #[case] value: &str) {
    let server = server();
    let (raw, locks) = (raw(&server).await, locker(server.url()).await);
    raw.kv_client().put(name, value, None).await.expect("put");

    let skipped = within(locks.lock(["a", "b"]).try_acquire()).await.expect_err("poisoned");
    let waited = within(locks.lock(["a", "b"]).acquire()).await.expect_err("poisoned");
    for error in [skipped, waited] {
        assert_eq!(error.kind(), ErrorKind::Backend);
        let said = error.to_string();
        assert!(said.contains(r#""a", "b" on etcd: "#) && said.contains("prefix"), "{said}");
    }
    locks.close().await;
    assert!(queue(&raw, "a").await.is_empty());
    let left = queue(&raw, "b").await;
    assert!(left.iter().all(|one| one.key() == name.as_bytes()), "more than the poison is left");
}

#[rstest]
#[case::below_all_claims("0")]
#[case::above_all_claims("x")]
#[case::of_a_later_version("2 00000000000000000000000000000000 exclusive 3 0 0 0 ")]
#[tokio::test(flavor = "multi_thread")]
async fn nobody_comes_beside_what_is_no_lock_under_its_own_name(#[case] value: &str) {
    let server = server();
    let (raw, store) = (raw(&server).await, store(server.url()).await);
    let claim = claim("a", LONG);
    let name = format!("lock/q/a/e/{}", &claim.owner().to_hex()[..2]);
    raw.kv_client().put(name, value, None).await.expect("put");
    let error = within(store.acquire(&claim)).await.expect_err("poisoned");
    assert_eq!(error.kind(), ErrorKind::Backend);
    assert_eq!(queue(&raw, "a").await.len(), 1, "it could not be released, either");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_others_store_beside_the_locks_is_in_nobodys_way() {
    let server = server();
    let (raw, locks) = (raw(&server).await, locker(server.url()).await);
    for name in [
        "lock",
        "lock/",
        "lock/q",
        "lock/q/",
        "lock/q/a",
        "lock/q/a0",
        "lock/q/a%2Fb/e/x",
        "lock/qa/",
        "locks/q/a/e/x",
    ] {
        raw.kv_client().put(name, "x", None).await.expect("put");
    }
    let held = within(locks.lock("a").try_acquire()).await.expect("an answer").expect("free");
    within(held.release()).await.expect("it was held");
    within(within(locks.lock("a").acquire()).await.expect("granted").release()).await.expect("it was held");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_claim_that_was_taken_away_on_one_key_is_lost_and_frees_the_others() {
    let server = server();
    let (raw, store) = (raw(&server).await, store(server.url()).await);
    let both = || Claim::new(["a", "b"], Mode::Exclusive, LONG).expect("a valid claim");
    let take = async |claim: &Claim| {
        let Ok(Attempt::Granted(grant)) = store.acquire(claim).await else { panic!("it is free") };
        let all = DeleteOptions::new().with_prefix();
        raw.kv_client().delete("lock/q/b/", Some(all)).await.expect("deleted");
        grant.token
    };
    let one = both();
    take(&one).await;
    assert_eq!(store.release(&one, Duration::ZERO).await.expect("an answer"), Ownership::Lost);
    assert!(queue(&raw, "a").await.is_empty());

    let two = both();
    take(&two).await;
    assert_eq!(store.release(&two, LONG).await.expect("an answer"), Ownership::Lost);
    assert!(queue(&raw, "a").await.is_empty());

    let three = both();
    let first = take(&three).await;
    let Ok(Attempt::Granted(again)) = store.acquire(&three).await else { panic!("it is free") };
    assert!(again.token > first, "it has arrived anew");
    assert_eq!((queue(&raw, "a").await.len(), queue(&raw, "b").await.len()), (1, 1));
}
