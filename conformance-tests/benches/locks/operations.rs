//! What a hand-over costs the store, however many wait.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use lock_core::{Locker, Result};
use tokio::time::sleep;

use crate::store::{Counting, Counts, Store};

/// Store operations for each hand-over, at a ttl so long that none of them keeps a place.
pub(crate) async fn operations(store: &dyn Store, waiters: usize) -> Result<()> {
    let counts = Arc::new(Counts::default());
    let locks = Locker::new(Counting { inner: store.client().await?, counts: counts.clone() });
    let locks = locks.with_ttl(Duration::from_secs(3600));
    let served = store.requests().await;
    let first = locks.lock("operations").acquire().await?;
    let tasks: Vec<_> = (0..waiters)
        .map(|_| {
            let locks = locks.clone();
            tokio::spawn(async move { locks.lock("operations").acquire().await?.release().await })
        })
        .collect();
    while counts.acquire.load(Ordering::Relaxed) < waiters + 1 {
        sleep(Duration::from_millis(1)).await;
    }
    let queued = counts.all();
    first.release().await?;
    for task in tasks {
        task.await.expect("no panic")?;
    }
    // Queueing is one look each, before the count begins; each hand-over is then a release and a look.
    let each = (counts.all() - queued) as f64 / waiters as f64;
    print!("store operations per hand-over, {waiters} waiters: {each:.2}, and 1 to queue");
    if let (Some(before), Some(after)) = (served, store.requests().await) {
        // From the first holder's request to the last one's release.
        let each = (after - before) as f64 / (waiters + 1) as f64;
        print!("; {each:.2} {} a turn at the server, to queue too", store.request());
    }
    println!();
    Ok(())
}
