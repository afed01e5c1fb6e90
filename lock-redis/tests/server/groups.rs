//! What tasks ask at the same time goes together, and is answered to each of them.

use std::collections::BTreeSet;
use std::time::Duration;

use conformance_tests::Server;
use futures::future::BoxFuture;
use futures::{FutureExt, poll};
use lock_core::{Attempt, Backend, Claim, ErrorKind, Mode, Ownership, Result};
use lock_redis::{Options, Redis};
use rstest::rstest;

use crate::help::{LONG, ask, caught_up, claim, follow, info, queued, server, store, two_servers, within};

const NO: Duration = Duration::ZERO;

async fn scripts(server: &Server) -> u64 {
    info(server, "commandstats", "cmdstat_evalsha").await
}

fn claims(count: usize) -> Vec<Claim> {
    (0..count).map(|n| claim(&format!("{n}"), LONG)).collect()
}

type Asking<'a, T> = Vec<BoxFuture<'a, Result<T>>>;

/// Has all of them asked before the first is answered.
async fn ask_all<T>(server: &mut Server, asking: &mut Asking<'_, T>) {
    server.pause();
    for future in asking {
        assert!(poll!(future).is_pending());
    }
    server.resume();
}

/// In their order, because a task hears only so many answers at once.
async fn hear_all<T>(asking: Asking<'_, T>) -> Vec<Result<T>> {
    let mut answers = Vec::new();
    for future in asking {
        answers.push(within(future).await);
    }
    answers
}

fn acquires<'a>(store: &'a Redis, claims: &'a [Claim]) -> Asking<'a, Attempt> {
    claims.iter().map(|claim| store.acquire(claim).boxed()).collect()
}

fn releases<'a>(store: &'a Redis, claims: &'a [Claim]) -> Asking<'a, Ownership> {
    claims.iter().map(|claim| store.release(claim, NO).boxed()).collect()
}

async fn acquire(server: &mut Server, store: &Redis, claims: &[Claim]) -> Vec<Result<Attempt>> {
    let mut asking = acquires(store, claims);
    ask_all(server, &mut asking).await;
    hear_all(asking).await
}

async fn release(server: &mut Server, store: &Redis, claims: &[Claim]) -> Vec<Result<Ownership>> {
    let mut asking = releases(store, claims);
    ask_all(server, &mut asking).await;
    hear_all(asking).await
}

fn granted(attempt: &Result<Attempt>) -> bool {
    matches!(attempt, Ok(Attempt::Granted(_)))
}

#[rstest]
// The first goes alone, because nothing is under way; beside it go five times twelve, and the last three after whichever
// ends first.
#[case::sixty_four(64, 7)]
// No more than eight scripts are under way, and none is for more than 256 names: a claim's own, and that of its queue.
#[case::three_hundred(300, 10)]
#[tokio::test(flavor = "multi_thread")]
async fn tasks_that_ask_together_share_calls(#[case] tasks: usize, #[case] calls: u64) {
    let mut server = server();
    let store = store(&server).await;
    // The first one brings the scripts, and begins to listen.
    let first = [claim("first", LONG)];
    assert!(granted(&acquire(&mut server, &store, &first).await[0]));
    release(&mut server, &store, &first).await;

    let claims = claims(tasks);
    let before = scripts(&server).await;
    // Which of two scripts that go at once is the first, nobody knows; no token is given twice.
    let mut tokens = BTreeSet::new();
    for attempt in acquire(&mut server, &store, &claims).await {
        let Ok(Attempt::Granted(grant)) = attempt else { panic!("it is free, but {attempt:?}") };
        assert!(tokens.insert(grant.token), "{grant:?} is given twice");
    }
    assert_eq!(scripts(&server).await - before, calls);
    // What is left of a claim that was in a queue before that somebody deleted goes with it.
    ask::<()>(&server, &format!("SET lock:c:{} x", claims[1].owner().to_hex())).await;
    for answer in release(&mut server, &store, &claims).await {
        assert_eq!(answer.expect("an answer"), Ownership::held(NO));
    }
    assert_eq!(scripts(&server).await - before, 2 * calls);
    assert_eq!(ask::<Vec<String>>(&server, "KEYS *").await, ["lock:n"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_claim_that_is_released_twice_at_once_was_there_once() {
    let mut server = server();
    let store = store(&server).await;
    let held = claims(3);
    assert!(acquire(&mut server, &store, &held).await.iter().all(granted));
    // The first goes alone, and the others together.
    let all = [&held[0], &held[1], &held[2], &held[1]].map(Clone::clone);
    let answers: Vec<_> = release(&mut server, &store, &all)
        .await
        .into_iter()
        .map(|answer| answer.expect("an answer"))
        .collect();
    let there = Ownership::held(NO);
    assert_eq!(answers, [there, there, there, Ownership::Lost]);
    assert_eq!(ask::<Vec<String>>(&server, "KEYS *").await, ["lock:n"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_waits_for_somebody_elses_future_to_be_polled() {
    let mut server = server();
    let store = store(&server).await;
    let claims = claims(3);
    let mut asking = acquires(&store, &claims);
    ask_all(&mut server, &mut asking).await;
    while let Some(last) = asking.pop() {
        assert!(granted(&within(last).await));
    }
    let mut asking = releases(&store, &claims);
    ask_all(&mut server, &mut asking).await;
    while let Some(last) = asking.pop() {
        assert_eq!(within(last).await.expect("an answer"), Ownership::held(NO));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_asks_together_for_one_key_is_granted_it_one_after_the_other() {
    let mut server = server();
    let store = store(&server).await;
    let claims: Vec<_> = ["other", "a", "a", "a"].map(|key| claim(key, LONG)).into();
    let attempts = acquire(&mut server, &store, &claims).await;
    assert_eq!(attempts.iter().map(granted).collect::<Vec<_>>(), [true, true, false, false]);
    let Ok(Attempt::Granted(first)) = &attempts[1] else { panic!("it was free") };
    // All that leave together leave, each once.
    let leaving: Vec<_> = [1, 0, 0, 1, 3].map(|n| claims[n].clone()).into();
    let answers =
        release(&mut server, &store, &leaving).await.into_iter().map(|answer| answer.expect("an answer"));
    let held = Ownership::held(NO);
    assert_eq!(answers.collect::<Vec<_>>(), [held, held, Ownership::Lost, Ownership::Lost, held]);
    queued(&server, "a", 1).await;
    let next = within(store.acquire(&claims[2])).await;
    let Ok(Attempt::Granted(next)) = next else { panic!("it was the next, but {next:?}") };
    assert!(next.token > first.token, "{next:?} after {first:?}");
}

/// Of those who are asked for together nobody is overtaken, however many keys each wants.
#[tokio::test(flavor = "multi_thread")]
async fn who_asks_together_for_one_key_and_for_several_has_its_turn_in_order() {
    let mut server = server();
    let store = store(&server).await;
    let keys: [&[&str]; 7] = [&["other"], &["a", "b"], &["a"], &["c"], &["b", "c", "d"], &["d"], &["e"]];
    let claims = keys.map(|keys| Claim::new(keys, Mode::Exclusive, LONG).expect("a valid claim").queued());
    let attempts = acquire(&mut server, &store, &claims).await;
    let expected = [true, true, false, true, false, false, true];
    assert_eq!(attempts.iter().map(granted).collect::<Vec<_>>(), expected);
    // What is left of a claim that was in a queue before that somebody deleted goes with it.
    ask::<()>(&server, &format!("SET lock:c:{} x", claims[6].owner().to_hex())).await;
    let leaving = [0, 1, 3, 6].map(|n: usize| claims[n].clone());
    for answer in release(&mut server, &store, &leaving).await {
        assert_eq!(answer.expect("an answer"), Ownership::held(NO));
    }
    for next in [2, 4] {
        assert!(granted(&within(store.acquire(&claims[next])).await), "it was the next");
    }
    // Whoever still waits leaves together with those it waits for.
    let leaving = [5, 2, 4].map(|n: usize| claims[n].clone());
    for answer in release(&mut server, &store, &leaving).await {
        assert_eq!(answer.expect("an answer"), Ownership::held(NO));
    }
    assert_eq!(ask::<Vec<String>>(&server, "KEYS *").await, ["lock:n"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_poisoned_key_in_a_group_fails_alone() {
    let mut server = server();
    let store = store(&server).await;
    let claims = claims(5);
    ask::<()>(&server, "SET lock:q:3 x").await;
    for (n, attempt) in acquire(&mut server, &store, &claims).await.into_iter().enumerate() {
        match attempt {
            Ok(Attempt::Granted(_)) if n != 3 => {}
            Err(error) if n == 3 => {
                assert_eq!(error.kind(), ErrorKind::Backend);
                assert!(error.to_string().contains("prefix"), "{error}");
            }
            other => panic!("{n}: {other:?}"),
        }
    }
    store.acquire(&claim("2", LONG)).await.expect("a place behind it");
    let name = format!("lock:c:{}", claims[2].owner().to_hex());
    ask::<u64>(&server, &format!("DEL {name} lock:q:3")).await;
    ask::<u64>(&server, &format!("RPUSH {name} x")).await;
    for (n, answer) in release(&mut server, &store, &claims).await.into_iter().enumerate() {
        match answer {
            Ok(Ownership::Held { .. }) if n != 2 && n != 3 => {}
            Ok(Ownership::Lost) if n == 3 => {}
            Err(error) if n == 2 => assert!(error.to_string().contains("prefix"), "{error}"),
            other => panic!("{n}: {other:?}"),
        }
    }
    for key in [0, 1, 3, 4] {
        queued(&server, &key.to_string(), 0).await;
    }
}

#[rstest]
#[case::who_asked_first(0)]
#[case::one_who_joined(2)]
#[tokio::test(flavor = "multi_thread")]
async fn a_dropped_future_takes_nobody_with_it(#[case] dropped: usize) {
    let mut server = server();
    let store = store(&server).await;
    let claims = claims(5);
    let mut asking = acquires(&store, &claims);
    ask_all(&mut server, &mut asking).await;
    drop(asking.remove(dropped));
    assert!(hear_all(asking).await.iter().all(granted));

    let mut leaving = releases(&store, &claims);
    ask_all(&mut server, &mut leaving).await;
    drop(leaving.remove(dropped));
    for answer in hear_all(leaving).await {
        assert_eq!(answer.expect("an answer"), Ownership::held(NO));
    }

    // Nor does one whose request is under way with theirs: it is when the one before has gone.
    let mut asking = acquires(&store, &claims);
    server.pause();
    for future in &mut asking {
        assert!(poll!(future).is_pending());
    }
    drop(asking.remove(0));
    drop(asking.remove(dropped));
    server.resume();
    assert!(hear_all(asking).await.iter().all(granted));
}

#[tokio::test(flavor = "multi_thread")]
async fn replicas_are_waited_for_once_for_all() {
    let [mut master, replica] = two_servers();
    follow(&replica, master.url()).await;
    caught_up(&master).await;
    let store = Options::default().min_replicas(1).connect(master.url()).await.expect("the server is there");
    let waits = async |master: &Server| info(master, "commandstats", "cmdstat_wait").await;
    let before = waits(&master).await;
    // More than are worth a script beside another.
    assert!(acquire(&mut master, &store, &claims(30)).await.iter().all(granted));
    assert_eq!(waits(&master).await - before, 2, "for the first, and for the others");
}
