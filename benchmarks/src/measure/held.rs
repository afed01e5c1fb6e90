//! Many locks held and renewed: what that costs.

use std::sync::Arc;
use std::time::Instant;

use futures::StreamExt;
use futures::stream::iter;

use super::meter::Meter;
use super::process::{Server, connections, resident};
use super::{Bench, Values, fresh, values};
use crate::rival::{Client, Failure, Held};

/// So many are asked for at the same time.
const AT_ONCE: usize = 64;

pub(super) async fn hold(client: &Arc<dyn Client>, locks: usize) -> Vec<Box<dyn Held>> {
    let prefix = fresh("held");
    let taking = (0..locks).map(|n| {
        let key = format!("{prefix}/{n}");
        async move { client.hold(&key).await }
    });
    iter(taking).buffer_unordered(AT_ONCE).collect().await
}

pub(super) async fn held(bench: &Bench<'_>, locks: usize) -> Result<Values, Failure> {
    let server = Server::at(bench.store.url());
    let memory = || server.as_ref().map(Server::memory);
    let open = || connections(bench.store.file());
    let (opened, size, stored) = (open(), resident(), memory());
    let client = bench.rival.client(locks).await?;
    let start = Instant::now();
    let guards = hold(&client, locks).await;
    let taken = start.elapsed();
    let each = |bytes: u64| bytes as f64 / locks as f64;
    let mut cost = values([
        ("taken/s", locks as f64 / taken.as_secs_f64()),
        ("client bytes each", each(resident().saturating_sub(size))),
    ]);
    if let Some((after, before)) = memory().zip(stored) {
        cost.insert("server bytes each".into(), each(after.saturating_sub(before)));
    }
    let (before, start) = (Meter::read(bench, server.as_ref()).await, Instant::now());
    tokio::time::sleep(bench.scale.watched).await;
    let used = Meter::read(bench, server.as_ref()).await.since(&before);
    used.a_second(start.elapsed().as_secs_f64(), &mut cost);
    cost.insert("connections".into(), open().saturating_sub(opened) as f64);
    let told: Vec<_> = guards.iter().filter_map(|guard| guard.is_held()).collect();
    if !told.is_empty() {
        cost.insert("lost".into(), told.iter().filter(|held| !**held).count() as f64);
    }
    drop(guards);
    client.close().await;
    Ok(cost)
}
