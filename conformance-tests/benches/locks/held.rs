//! Many locks held and renewed: what that costs.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use lock_core::{Locker, Result};

use crate::stats::{cpu, resident};
use crate::store::{Counting, Counts, Store};

pub(crate) async fn held(store: &Store, locks: usize) -> Result<()> {
    const WATCHED: Duration = Duration::from_secs(20);
    let counts = Arc::new(Counts::default());
    let locker = Locker::new(Counting { inner: store.client().await?, counts: counts.clone() });
    let before = resident();
    let mut guards = Vec::with_capacity(locks);
    for n in 0..locks {
        guards.push(locker.lock(format!("held/{n}")).acquire().await?);
    }
    let each = resident().saturating_sub(before) as f64 / locks as f64;
    let (renewed, used) = (counts.renew.load(Ordering::Relaxed), cpu());
    tokio::time::sleep(WATCHED).await;
    let calls = counts.renew.load(Ordering::Relaxed) - renewed;
    let used = (cpu() - used).as_secs_f64() / WATCHED.as_secs_f64();
    let lost = guards.iter().filter(|guard| !guard.is_held()).count();
    println!(
        "{locks} locks held, ttl 30 s: {:.2} renewing calls/s, {:.1} % of a core, {each:.0} bytes each, {lost} lost",
        calls as f64 / WATCHED.as_secs_f64(),
        used * 100.0,
    );
    drop(guards);
    locker.close().await;
    Ok(())
}
