//! Who may come in, what one is told who may not, and tokens of users that expire.

use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use conformance_tests::{Server, Software};
use etcd_client::{Client, ConnectOptions, Permission, PermissionType};
use lock_core::{Backend, Error, ErrorKind, Locker, Ownership, Result};
use lock_etcd::{Etcd, Options};
use rstest::rstest;

use crate::help::{LIMIT, LONG, SHORT, behind, claim, queue, raw, renew, server, within};

const SECRET: &str = "Sesame-0pen";

/// Gives a server a user who may only read and write a range of names. The client is root's.
async fn guard(server: &Server, from: &str, to: &str) -> (Client, String) {
    let open = raw(server).await;
    let mut auth = open.auth_client();
    auth.user_add("root", SECRET, None).await.expect("added");
    auth.role_add("root").await.expect("added");
    auth.user_grant_role("root", "root").await.expect("granted");
    auth.user_add("locks", SECRET, None).await.expect("added");
    auth.role_add("locks").await.expect("added");
    let both = Permission::new(PermissionType::Readwrite, from).with_range_end(to);
    auth.role_grant_permission("locks", both).await.expect("granted");
    auth.user_grant_role("locks", "locks").await.expect("granted");
    auth.auth_enable().await.expect("enabled");
    let options = ConnectOptions::new().with_user("root", SECRET).with_auto_token_refresh(true);
    let root =
        Client::connect([server.url().replace("etcd://", "http://")], Some(options)).await.expect("root");
    (root, server.url().replace("etcd://", &format!("etcd://locks:{SECRET}@")))
}

/// Everything that locks do.
async fn everything(url: &str) -> Result<()> {
    conformance_tests::everything(Arc::new(Etcd::connect(url).await?)).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_with_the_needed_rights_alone_can_do_everything() {
    let server = server();
    let (_root, url) = guard(&server, "lock/", "lock0").await;
    within(everything(&url)).await.expect("no right is missing");
}

#[rstest]
#[case::on_other_names("other/", "other0")]
#[case::on_queues_alone("lock/q/", "lock/q0")]
#[tokio::test(flavor = "multi_thread")]
async fn a_user_with_rights(#[case] from: &str, #[case] to: &str) {
    let server = server();
    let (_root, url) = guard(&server, from, to).await;
    let error = within(everything(&url)).await.expect_err("a right is missing");
    assert_eq!(error.kind(), ErrorKind::Backend, "{error:?}");
    let said = format!("{error:?}");
    assert!(said.contains("may not") && said.contains("README") && !said.contains(SECRET), "{said}");
}

async fn refused(url: &str) -> Error {
    let error = within(Etcd::connect(url)).await.expect_err("it must not connect");
    for said in [format!("{error}"), format!("{error:?}")] {
        assert!(!said.contains(SECRET), "{said}");
    }
    error
}

#[tokio::test(flavor = "multi_thread")]
async fn who_says_it_wrong_is_told_so() {
    let server = server();
    let (_root, url) = guard(&server, "lock/", "lock0").await;
    for wrong in [url.replace("locks:", "nobody:"), url.replace('@', "x@")] {
        let error = refused(&wrong).await;
        assert_eq!(error.kind(), ErrorKind::Backend, "{error}");
        assert!(error.to_string().contains("the user or the password is wrong"), "{error}");
    }
    let error = refused(server.url()).await;
    assert_eq!(error.kind(), ErrorKind::Backend, "{error}");
    assert!(error.to_string().contains("wants a user"), "{error}");
    let options = Options::default().user("locks", SECRET);
    assert!(!format!("{options:?}").contains(SECRET));
    let store = within(options.connect(server.url())).await.expect("the user is known");
    assert!(!format!("{store:?} {:?}", Locker::new(store.clone())).contains(SECRET));
}

#[tokio::test(flavor = "multi_thread")]
async fn one_user_can_neither_renew_nor_release_what_another_prefix_holds() {
    let server = server();
    let (root, url) = guard(&server, "lock/", "lock0").await;
    let other =
        Options::default().prefix("other").user("root", SECRET).connect(server.url()).await.expect("root");
    let theirs = Arc::new(claim("a", LONG));
    other.acquire(&theirs).await.expect("granted");
    let store = within(Etcd::connect(&url)).await.expect("the user is known");
    assert_eq!(renew(&store, &theirs).await, Ownership::Lost);
    assert_eq!(store.release(&theirs, Duration::ZERO).await.expect("an answer"), Ownership::Lost);
    assert_eq!(renew(&other, &theirs).await, Ownership::held(LONG));
    assert!(queue(&root, "a").await.is_empty());
}

#[derive(Clone, Copy)]
enum Staleness {
    /// The server forgets the tokens that it issued.
    Restart,
    /// Another user comes: tokens of before are refused.
    AnotherUser,
    /// They expire.
    Expiry,
}

/// Arguments by which tokens of users expire after two seconds, and the directory of their keys.
fn expiring() -> (tempfile::TempDir, String) {
    let directory = tempfile::tempdir().expect("a directory");
    let file = |name: &str| directory.path().join(name).display().to_string();
    let (private, public) = (file("private"), file("public"));
    for words in [format!("genrsa -out {private} 2048"), format!("rsa -in {private} -pubout -out {public}")] {
        let output = Command::new("openssl").args(words.split(' ')).output().expect("openssl is installed");
        assert!(output.status.success(), "{output:?}");
    }
    let token = format!("--auth-token=jwt,pub-key={public},priv-key={private},sign-method=RS256,ttl=2s");
    (directory, token)
}

#[rstest]
#[case::are_forgotten(Staleness::Restart)]
#[case::are_outdated(Staleness::AnotherUser)]
#[case::expire(Staleness::Expiry)]
#[tokio::test(flavor = "multi_thread")]
async fn a_client_works_on_when_tokens_of_users(#[case] staleness: Staleness) {
    let (_directory, token) = expiring();
    let mut server = match staleness {
        Staleness::Expiry => Server::with(Software::Etcd, &[&token]),
        _ => server(),
    };
    let (root, url) = guard(&server, "lock/", "lock0").await;
    let [one, two] = [(); 2].map(|()| Etcd::connect(url.clone()));
    let (one, two) = (within(one).await.expect("a user"), within(two).await.expect("a user"));
    let (one, two) = (Locker::new(one).with_ttl(2 * SHORT), Locker::new(two).with_ttl(2 * SHORT));
    // Streams are there, and have tokens.
    let held = within(one.lock("a").acquire()).await.expect("granted");
    let waiter = tokio::spawn(two.lock("a").acquire());
    crate::help::queued(&root, "a", 2).await;

    match staleness {
        Staleness::Restart => server.restart(),
        Staleness::AnotherUser => {
            root.auth_client().user_add("another", SECRET, None).await.map(drop).expect("added")
        }
        Staleness::Expiry => {}
    }
    // Two renewals later.
    tokio::time::sleep(2 * SHORT).await;
    assert!(held.is_held());
    let skipped = within(one.lock("b").try_acquire()).await;
    if !matches!(staleness, Staleness::Restart) {
        assert!(skipped.expect("an answer").is_some());
    }
    within(held.release()).await.expect("it was held all the time");
    drop(within(waiter).await.expect("no panic").expect("granted"));
    let again = within(two.lock("c").timeout(LIMIT).acquire()).await.expect("granted");
    within(again.release()).await.expect("it was held");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_whose_token_expired_ends_with_the_next_watch_and_is_opened_anew() {
    let (_directory, token) = expiring();
    let server = Server::with(Software::Etcd, &[&token]);
    let (_root, url) = guard(&server, "lock/", "lock0").await;
    let store = within(Etcd::connect(url)).await.expect("a user");
    let (holder, waiter, mut rings) = within(behind(&store)).await;
    // It lasts two seconds.
    tokio::time::sleep(SHORT).await;
    let last = claim("a", LONG);
    within(store.acquire(&last)).await.expect("it waits");
    let _refused = within(store.wakeups(&last)).await.expect("a bell");
    within(async { while rings.next().await.is_some() {} }).await;
    let mut rings = within(store.wakeups(&waiter)).await.expect("a bell");
    within(store.release(&holder, Duration::ZERO)).await.expect("it holds");
    assert!(within(rings.next()).await.is_some(), "the stream ended instead of ringing");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_of_the_applications_own_will_do() {
    let server = server();
    let store = Etcd::from_client(raw(&server).await).await.expect("the server is there");
    let locks = Locker::new(store).with_ttl(SHORT);
    let held = within(locks.lock("a").acquire()).await.expect("granted");
    tokio::time::sleep(SHORT).await;
    assert!(held.is_held(), "it is renewed");
    within(held.release()).await.expect("it was held");
}
