//! Tokens grow, whatever becomes of the counter.

use conformance_tests::Server;
use lock_core::{Locker, Token};
use rstest::rstest;

use crate::help::{LIMIT, ask, locker, server, within};

#[derive(Clone, Copy)]
enum Loss {
    Flush,
    Restart,
    OlderDump,
}

async fn grants(locks: &Locker, count: usize) -> Vec<Token> {
    let mut tokens = Vec::new();
    for _ in 0..count {
        let guard = within(locks.lock("a").timeout(LIMIT).acquire()).await.expect("granted");
        tokens.push(guard.token());
        within(guard.release()).await.expect("it was held");
    }
    tokens
}

async fn lose(server: &mut Server, loss: Loss) {
    match loss {
        Loss::Flush => ask(server, "FLUSHALL").await,
        Loss::Restart | Loss::OlderDump => server.restart(),
    }
}

#[rstest]
#[case::flushall(Loss::Flush)]
#[case::a_restart_without_persistence(Loss::Restart)]
#[case::a_dump_older_than_the_last_grants(Loss::OlderDump)]
#[tokio::test(flavor = "multi_thread")]
async fn tokens_grow_across(#[case] loss: Loss) {
    let mut server = server();
    let locks = locker(&server).await;
    let mut tokens = grants(&locks, 3).await;
    if matches!(loss, Loss::OlderDump) {
        ask::<()>(&server, "SAVE").await;
    }
    tokens.extend(grants(&locks, 20).await);
    lose(&mut server, loss).await;
    if matches!(loss, Loss::OlderDump) {
        let saved: u64 = ask(&server, "GET lock:n").await;
        assert_eq!(saved, tokens[2].get(), "the server has come back with the dump");
    }
    tokens.extend(grants(&locks, 3).await);
    assert!(tokens.is_sorted_by(|one, next| one < next), "{tokens:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_are_exact_to_the_last() {
    let server = server();
    let locks = locker(&server).await;
    let start = Token::LIMIT - 1000;
    ask::<()>(&server, &format!("SET lock:n {start}")).await;
    let tokens = grants(&locks, 20).await;
    let exact: Vec<_> = (1..=20).map(|n| Token::new(start + n)).collect();
    assert_eq!(tokens, exact);

    // So is the order in which claims stand.
    let held = within(locks.lock("a").acquire()).await.expect("granted");
    let mut waiters = Vec::new();
    for n in 0..5 {
        waiters.push(tokio::spawn(locks.lock("a").acquire()));
        crate::help::queued(&server, "a", n + 2).await;
    }
    let mut last = held.token();
    within(held.release()).await.expect("it was held");
    for waiter in waiters {
        let guard = within(waiter).await.expect("no panic").expect("granted");
        assert_eq!(guard.token().get(), last.get() + 1);
        last = guard.token();
        within(guard.release()).await.expect("it was held");
    }
}
