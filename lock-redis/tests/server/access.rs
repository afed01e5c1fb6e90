//! Who may come in, and what one is told who may not.

use std::sync::Arc;

use conformance_tests::{Certificate, Server, Software};
use lock_core::{Backend, Error, ErrorKind, Locker, Result};
use lock_redis::{Options, Redis};
use redis::TlsCertificates;
use rstest::rstest;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::help::{LONG, ask, claim, server, within};

const SECRET: &str = "Sesame-0pen";

/// What the README says that a user needs.
const COMMANDS: [&str; 16] = [
    "evalsha",
    "script|load",
    "subscribe",
    "publish",
    "time",
    "get",
    "mget",
    "set",
    "del",
    "pexpire",
    "pttl",
    "zadd",
    "zrange",
    "zrem",
    "zscore",
    "select",
];

async fn refused(url: &str) -> Error {
    let error = within(Redis::connect(url)).await.expect_err("it must not connect");
    for said in [format!("{error}"), format!("{error:?}")] {
        assert!(!said.contains(SECRET), "{said}");
    }
    error
}

/// A server with a user who may do nothing but what is said.
async fn server_with(rights: &str) -> (Server, String) {
    let server = server();
    ask::<()>(&server, &format!("ACL SETUSER locks reset on >{SECRET} {rights}")).await;
    let url = server.url().replace("redis://", &format!("redis://locks:{SECRET}@"));
    (server, format!("{url}/3"))
}

fn needed(but: &str) -> String {
    let commands = COMMANDS.iter().filter(|command| **command != but);
    commands.fold("~lock:* &lock:*".to_owned(), |rights, command| format!("{rights} +{command}"))
}

/// Everything that locks do.
async fn everything(url: &str) -> Result<()> {
    conformance_tests::everything(Arc::new(Redis::connect(url).await?)).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_with_the_needed_rights_alone_can_do_everything() {
    let (_server, url) = server_with(&needed("")).await;
    within(everything(&url)).await.expect("no right is missing");
    let readme = include_str!("../../README.md");
    for command in COMMANDS {
        assert!(readme.contains(&format!("+{command}")), "the README has no +{command}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_without_one_of_the_needed_rights_is_told_so() {
    let (server, url) = server_with("").await;
    let commands = COMMANDS.iter().map(|command| needed(command));
    let rights = commands.chain([needed("").replace("~lock:*", ""), needed("").replace("&lock:*", "")]);
    for rights in rights {
        ask::<()>(&server, &format!("ACL SETUSER locks reset on >{SECRET} {rights}")).await;
        let error = within(everything(&url)).await.expect_err("a right is missing");
        assert_eq!(error.kind(), ErrorKind::Backend, "with {rights}: {error:?}");
        let said = format!("{error:?}");
        assert!(said.contains("may not") && said.contains("README"), "with {rights}: {said}");
        assert!(!said.contains(SECRET), "{said}");
        ask::<()>(&server, "FLUSHALL").await;
    }
}

#[rstest]
#[case::the_password(&format!("default:{SECRET}wrong"))]
#[case::the_user(&format!("nobody:{SECRET}"))]
#[case::nothing_at_all("")]
#[tokio::test(flavor = "multi_thread")]
async fn who_says_it_wrong_is_told_so(#[case] credentials: &str) {
    let server = server();
    ask::<()>(&server, "CONFIG SET requirepass another").await;
    let error = refused(&server.url().replace("//", &format!("//{credentials}@"))).await;
    assert_eq!(error.kind(), ErrorKind::Backend, "{error}");
    assert!(error.to_string().contains("the user or the password is wrong"), "{error}");
}

#[rstest]
#[case::another_scheme("http://me:Sesame-0pen@localhost")]
#[case::no_address("Sesame-0pen")]
#[case::no_port("redis://me:Sesame-0pen@localhost:port")]
#[case::no_database("redis://me:Sesame-0pen@localhost/many")]
#[tokio::test]
async fn what_is_no_address_is_invalid(#[case] url: &str) {
    let error = refused(url).await;
    assert_eq!(error.kind(), ErrorKind::Invalid);
    assert!(error.to_string().contains("redis://"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn where_nobody_listens_nobody_answers() {
    let mut server = server();
    server.kill();
    let error = refused(&server.url().replace("//", &format!("//me:{SECRET}@"))).await;
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(error.to_string().contains("refused"), "{error}");
}

#[rstest]
#[case::that_speaks("HTTP/1.1 400 Bad Request\r\n\r\n", "no Redis")]
#[case::that_is_silent("", "in time")]
#[tokio::test(flavor = "multi_thread")]
async fn another_kind_of_server(#[case] says: &'static str, #[case] expected: &str) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let url = format!("redis://me:{SECRET}@{}", listener.local_addr().expect("it is bound"));
    tokio::spawn(async move {
        let mut kept = Vec::new();
        while let Ok((mut stream, _)) = listener.accept().await {
            let _ = stream.read(&mut [0; 1024]).await;
            let _ = stream.write_all(says.as_bytes()).await;
            kept.push(stream);
        }
    });
    let error = refused(&url).await;
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error:?}");
    assert!(error.to_string().contains(expected), "{error:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_is_refused() {
    let server = Server::with(Software::Redis, &["--cluster-enabled", "yes"]);
    let error = refused(server.url()).await;
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    assert!(error.to_string().contains("Cluster"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_shows_neither_its_password_nor_its_owners() {
    let server = server();
    ask::<()>(&server, &format!("CONFIG SET requirepass {SECRET}")).await;
    let url = server.url().replace("//", &format!("//:{SECRET}@"));
    let store = Redis::connect(&url).await.expect("connected");
    let held = claim("a", LONG);
    store.acquire(&held).await.expect("granted");
    let shown = format!("{store:?} {:?} {:?}", Locker::new(store.clone()), store.wakeups(&held).await);
    assert!(!shown.contains(SECRET) && !shown.contains(&held.owner().to_hex()), "{shown}");
}

#[tokio::test(flavor = "multi_thread")]
async fn tls_wants_a_certificate_that_is_known() {
    let ours = Certificate::new();
    let port = std::net::TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
    let port = port.expect("a free port").port().to_string();
    let _server = Server::with(
        Software::Redis,
        &[
            "--tls-port",
            &port,
            "--tls-cert-file",
            &ours.certificate(),
            "--tls-key-file",
            &ours.key(),
            "--tls-auth-clients",
            "no",
        ],
    );
    let url = format!("rediss://:{SECRET}@localhost:{port}");
    let error = refused(&url).await;
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(error.to_string().contains("certificate"), "{error}");

    let url = format!("rediss://localhost:{port}");
    let root_cert = Some(std::fs::read(ours.authority()).expect("just written"));
    let trusting = redis::Client::build_with_tls(url, TlsCertificates { client_tls: None, root_cert });
    let store = Options::default().from_client(&trusting.expect("a client")).await.expect("connected");
    drop(within(Locker::new(store).lock("a").acquire()).await.expect("granted"));
}
