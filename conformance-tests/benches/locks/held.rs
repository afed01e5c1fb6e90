//! Many locks held and renewed: what that costs.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use lock_core::{Locker, Result};

use crate::stats::{connections, cpu, resident};
use crate::store::{Counting, Counts, Store};

pub(crate) async fn held(store: &dyn Store, locks: usize) -> Result<()> {
    const WATCHED: Duration = Duration::from_secs(20);
    let open = || connections(store.file());
    let (opened, streams, size) = (open(), store.streams().await, resident());
    let counts = Arc::new(Counts::default());
    let locker = Locker::new(Counting { inner: store.client().await?, counts: counts.clone() });
    let mut guards = Vec::with_capacity(locks);
    for n in 0..locks {
        guards.push(locker.lock(format!("held/{n}")).acquire().await?);
    }
    let each = resident().saturating_sub(size) as f64 / locks as f64;
    let so_far = |count: &AtomicUsize| count.load(Ordering::Relaxed);
    let count = || [counts.all(), so_far(&counts.renew), so_far(&counts.renewed)];
    let a_second = |many: f64| many / WATCHED.as_secs_f64();
    let (before, served, used) = (count(), store.requests().await, cpu());
    tokio::time::sleep(WATCHED).await;
    let after = count();
    let [all, calls, renewed] = [0, 1, 2].map(|n| a_second((after[n] - before[n]) as f64));
    let used = a_second((cpu() - used).as_secs_f64());
    let connections = open().saturating_sub(opened);
    let lost = guards.iter().filter(|guard| !guard.is_held()).count();
    print!(
        "{locks} locks held, ttl 30 s: {connections} connections, {all:.2} store operations/s, of them {calls:.2} \
         renewing calls/s for {renewed:.0} locks/s, {:.1} % of a core, {each:.0} bytes each, {lost} lost",
        used * 100.0,
    );
    if let (Some(before), Some(after)) = (served, store.requests().await) {
        print!("; {:.2} {}/s at the server", a_second((after - before) as f64), store.request());
    }
    if let (Some(before), Some(after)) = (streams, store.streams().await) {
        print!("; {} streams", after - before);
    }
    println!();
    drop(guards);
    locker.close().await;
    Ok(())
}
