//! A future dropped at every await, behind every combination of gates: afterwards nothing of it is left.

use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;

use rstest::rstest;
use tokio::runtime::Handle;
use tokio::time::{sleep, timeout};

use super::*;
use crate::Error;
use crate::acquire::GRACE;

const TTL: Duration = Duration::from_secs(3);
const LIMIT: Duration = Duration::from_secs(2);
const PAUSE: Duration = Duration::from_secs(1);

/// What is dropped.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Act {
    Acquire,
    AcquireInTime,
    TryAcquire,
    Release,
    Run,
    Close,
}

/// What it meets.
#[derive(Clone, Copy, Debug)]
struct Gates {
    /// Somebody else holds the key.
    held: bool,
    acquire: Gate,
    wakeups: Gate,
    renew: Gate,
    release: Gate,
    fork: Gate,
}

const OPEN: Gates = Gates {
    held: false,
    acquire: Gate::Ok,
    wakeups: Gate::Ok,
    renew: Gate::Ok,
    release: Gate::Ok,
    fork: Gate::Ok,
};

impl Gates {
    fn set(&self, store: &Gated) {
        store.set(Method::Acquire, self.acquire);
        store.set(Method::Wakeups, self.wakeups);
        store.set(Method::Renew, self.renew);
        store.set(Method::Release, self.release);
        store.set(Method::Fork, self.fork);
    }

    /// Whether the keeper gets through to the store, so that nothing has to lapse.
    fn let_go(&self) -> bool {
        let acts = |gate| matches!(gate, Gate::Ok | Gate::ReplyLost | Gate::Slow(_));
        acts(self.release) && matches!(self.fork, Gate::Ok | Gate::Slow(_))
    }
}

/// Polls a future so many times, dropping it after that: the answer if it had one by then.
async fn polled<T>(future: impl Future<Output = T>, polls: usize) -> Option<T> {
    let mut future = pin!(future);
    let mut left = polls;
    poll_fn(|cx| {
        left -= 1;
        match future.as_mut().poll(cx) {
            Poll::Ready(answer) => Poll::Ready(Some(answer)),
            Poll::Pending if left == 0 => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        }
    })
    .await
}

/// Does the act, dropped after so many polls; true if it had ended by then.
async fn dropped(act: Act, gates: Gates, polls: usize, store: &Gated, locks: &Locker) -> bool {
    let lock = || locks.lock("a").ttl(TTL);
    if matches!(act, Act::Acquire | Act::AcquireInTime | Act::TryAcquire) {
        gates.set(store);
        return match act {
            Act::Acquire => polled(lock().acquire(), polls).await.is_some(),
            Act::AcquireInTime => polled(lock().timeout(LIMIT).acquire(), polls).await.is_some(),
            _ => polled(lock().try_acquire(), polls).await.is_some(),
        };
    }
    let guard = lock().acquire().await.unwrap();
    gates.set(store);
    sleep(TTL / 2).await;
    let work = async |_: &Guard| {
        sleep(TTL / 2).await;
        Ok::<_, Error>(())
    };
    match act {
        Act::Release => polled(guard.release(), polls).await.is_some(),
        Act::Run => polled(guard.run(work), polls).await.is_some(),
        _ => {
            drop(guard);
            polled(locks.close(), polls).await.is_some()
        }
    }
}

/// Drops the act after so many polls and looks for what is left; true if it had ended by then.
async fn leaves_nothing(act: Act, gates: Gates, polls: usize) -> bool {
    let scene = format!("{act:?} dropped after poll {polls}, {gates:?}");
    let (store, locks) = gated();
    let other = match gates.held {
        true => Some(abandoned(store.memory(), "a", Mode::Exclusive, TTL * 10).await),
        false => None,
    };
    let ended = dropped(act, gates, polls, &store, &locks).await;
    let start = Instant::now();
    if let Some(other) = other {
        store.memory().release(&other, Duration::ZERO).await.unwrap();
    }

    let lapsed = async {
        sleep(PAUSE + TTL + TICK).await;
        assert!(store.is_empty(), "a ttl later the store is not empty: {scene}");
    };
    let closed = async {
        let most = PAUSE + TTL * 2 + GRACE;
        assert!(timeout(most, locks.close()).await.is_ok(), "releases do not end: {scene}");
        assert!(!gates.let_go() || store.is_empty(), "closed, the store is not empty: {scene}");
    };
    tokio::join!(lapsed, closed);

    drop(locks);
    while store.others() > 0 || Handle::current().metrics().num_alive_tasks() > 0 {
        assert!(start.elapsed() < TTL * 3 + PAUSE, "{} clients are left: {scene}", store.others());
        sleep(millis(100)).await;
    }
    ended
}

/// Drops the act at each of its awaits; how many there are.
async fn at_every_await(act: Act, gates: Gates, most: usize) -> usize {
    for polls in 1..=most {
        if leaves_nothing(act, gates, polls).await {
            return polls;
        }
    }
    most
}

#[rstest]
#[case::acquire(Act::Acquire, 12)]
#[case::acquire_in_time(Act::AcquireInTime, 60)]
#[case::try_acquire(Act::TryAcquire, 12)]
#[tokio::test(start_paused = true)]
async fn a_dropped_wait_leaves_nothing(#[case] act: Act, #[case] most: usize) {
    use Gate::{Broken, Error, Late, Never, No, Ok, ReplyLost, Silent, Slow};
    let mut awaits = 0;
    for acquire in [Ok, No, Error, ReplyLost, Broken, Slow(PAUSE), Late(PAUSE), Never, Silent] {
        for wakeups in [Ok, No, Error, Slow(PAUSE), Never] {
            if act == Act::TryAcquire && wakeups != Ok {
                continue;
            }
            for release in [Ok, Error, ReplyLost, Slow(PAUSE), Never, Silent] {
                for fork in [Ok, Error, Slow(PAUSE), Never] {
                    // Where the keeper has no client of its own, it does not matter what that would be told; and
                    // how a wait is woken does not matter to how its release fails.
                    if (matches!(fork, Error | Never) || wakeups != Ok) && !matches!(release, Ok | Slow(_)) {
                        continue;
                    }
                    for held in [false, true] {
                        let gates = Gates { held, acquire, wakeups, release, fork, ..OPEN };
                        awaits += at_every_await(act, gates, most).await;
                    }
                }
            }
        }
    }
    assert!(awaits > 500, "only {awaits} awaits were tried");
}

#[rstest]
#[case::release(Act::Release)]
#[case::run(Act::Run)]
#[case::close(Act::Close)]
#[tokio::test(start_paused = true)]
async fn a_dropped_release_leaves_nothing(#[case] act: Act) {
    use Gate::{Broken, Error, Late, Never, No, Ok, ReplyLost, Silent, Slow};
    let mut awaits = 0;
    for renew in [Ok, No, Error, ReplyLost, Broken, Slow(PAUSE), Late(PAUSE), Never, Silent] {
        for release in [Ok, Error, ReplyLost, Broken, Slow(PAUSE), Never, Silent] {
            for fork in [Ok, Error, Slow(PAUSE), Never] {
                awaits += at_every_await(act, Gates { renew, release, fork, ..OPEN }, 30).await;
            }
        }
    }
    assert!(awaits > 500, "only {awaits} awaits were tried");
}

#[tokio::test(start_paused = true)]
async fn a_future_that_was_never_polled_sends_nothing() {
    let (store, locks) = gated();
    drop(locks.lock("a").acquire());
    drop(locks.lock("a").try_acquire());
    drop(locks.lock("a").run(async |_| Ok::<_, Error>(())));
    locks.close().await;
    assert_eq!(store.all_calls(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_dropped_wait_waits_for_its_request_and_then_releases_it() {
    let (store, locks) = gated();
    store.set(Method::Acquire, Gate::Slow(secs(5)));
    assert!(polled(locks.lock("a").acquire(), 2).await.is_none());
    sleep(secs(4)).await;
    assert_eq!(store.count(Method::Release), 0);
    locks.close().await;
    assert_eq!(store.count(Method::Release), 1);
    assert!(store.is_empty());
}

#[tokio::test(start_paused = true)]
async fn those_behind_a_dropped_wait_move_up_at_once() {
    let (store, locks) = gated();
    let other = rival(&store, "a").await;
    let mut first = Box::pin(locks.lock("a").acquire());
    assert!(timeout(secs(1), &mut first).await.is_err());
    let second = tokio::spawn(locks.lock("a").acquire());
    sleep(secs(1)).await;
    other.release().await.unwrap();
    drop(first);
    let start = Instant::now();
    assert!(second.await.unwrap().unwrap().is_held());
    assert!(took(start, Duration::ZERO));
}
