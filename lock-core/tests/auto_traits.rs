//! What can be sent and shared between threads, and that a backend can be a trait object.
#![allow(clippy::disallowed_methods, reason = "a test spawns as it likes")]

use lock_core::{Backend, Bells, Claim, Error, Guard, Lock, Locker, Memory, Wakeups};

fn send<T: Send>(_: &T) {}
fn send_and_sync<T: Send + Sync + 'static>() {}
fn object(_: &dyn Backend) {}

#[test]
fn everything_a_service_holds_is_send_and_sync() {
    send_and_sync::<Locker>();
    send_and_sync::<Lock>();
    send_and_sync::<Guard>();
    send_and_sync::<Error>();
    send_and_sync::<Claim>();
    send_and_sync::<Bells>();
    send_and_sync::<Box<dyn Backend>>();
    send(&Wakeups::once());
    object(&Memory::new());
}

#[tokio::test]
async fn every_future_can_be_spawned() {
    let locks = Locker::new(Memory::new());
    let task = async move {
        send(&locks.lock("a").acquire());
        send(&locks.lock("a").try_acquire());
        send(&locks.close());
        let guard = locks.lock("a").acquire().await?;
        send(&guard.lost());
        guard.release().await?;
        let name = String::from("a");
        locks.lock(&name).run(async |guard| Ok::<_, Error>((guard.token(), name.len()))).await
    };
    let (_, len) = tokio::spawn(task).await.expect("no panic").expect("granted");
    assert_eq!(len, 1);
}
