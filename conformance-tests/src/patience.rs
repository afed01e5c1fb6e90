//! How long a case waits: long for what must happen, and never in the hope that something has happened.

use std::time::Duration;

use futures::future::join_all;
use lock_core::{ErrorKind, Guard, Lock};
use tokio::time::timeout;

/// What must happen has happened by then, on the slowest machine.
pub(crate) const LIMIT: Duration = Duration::from_secs(30);

/// A ttl that ends after every case: whatever is left behind with it is in the way of those who come next, and
/// no delay of a busy machine costs anybody a lock.
pub(crate) const LONG: Duration = Duration::from_secs(600);

/// Waits for what must happen; panics, naming it, if it does not.
pub(crate) async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    match timeout(LIMIT, future).await {
        Ok(value) => value,
        Err(_) => panic!("{what}: not within {LIMIT:?}"),
    }
}

/// Releases a lock that must not have been lost. What a slow store has not confirmed in time goes on in the
/// background, as it may.
#[track_caller]
pub(crate) fn let_go(guard: Guard) -> impl Future<Output = ()> + Send {
    let place = std::panic::Location::caller();
    async move {
        match guard.release().await {
            Err(error) if error.kind() != ErrorKind::Unavailable => {
                panic!("{place}: not held to the end: {error}")
            }
            _ => {}
        }
    }
}

/// Takes a lock that must be free by now, by one look that does not wait.
#[track_caller]
pub(crate) fn is_free(lock: Lock) -> impl Future<Output = ()> + Send {
    let place = std::panic::Location::caller();
    async move {
        let guard = lock.try_acquire().await.unwrap_or_else(|error| panic!("{place}: {error}"));
        let_go(guard.unwrap_or_else(|| panic!("{place}: something is in the way"))).await;
    }
}

/// Takes a lock by looks that do not wait and leave nothing behind: a claim that lasts and is in the way shows.
#[track_caller]
pub(crate) fn gets_in(lock: Lock) -> impl Future<Output = Guard> + Send {
    let place = std::panic::Location::caller();
    let looks = async move {
        loop {
            match lock.clone().try_acquire().await {
                Ok(Some(guard)) => return guard,
                Ok(None) => tokio::time::sleep(Duration::from_millis(5)).await,
                Err(error) => assert_eq!(error.kind(), ErrorKind::Unavailable, "{place}: {error}"),
            }
        }
    };
    async move { within(&format!("{place}: a free key"), looks).await }
}

/// Runs a number of tasks, and answers what they answer, in the order of their numbers. A panic of one is a panic
/// here.
pub(crate) async fn crowd<T, F>(size: usize, task: impl Fn(usize) -> F) -> Vec<T>
where
    F: Future<Output = T> + Send + 'static,
    T: Send + 'static,
{
    let tasks: Vec<_> = (0..size).map(|number| tokio::spawn(task(number))).collect();
    // However slow a store is, it serves five hundred in a minute more than a few.
    let limit = LIMIT + LIMIT * u32::try_from(size).expect("some hundreds") / 250;
    let ends = timeout(limit, join_all(tasks)).await;
    let ends = ends.unwrap_or_else(|_| panic!("the end of {size} tasks: not within {limit:?}"));
    ends.into_iter().map(|end| end.unwrap_or_else(|error| panic!("one of {size} tasks: {error}"))).collect()
}
