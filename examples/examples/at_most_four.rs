//! At most four at once: a permit of four is a lock that four can hold.

use std::sync::atomic::{AtomicU32, Ordering::SeqCst};

use futures::future::try_join_all;
use lock_core::{Locker, Result};
use lock_sqlite::Sqlite;
use tokio::sync::Barrier;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let directory = tempfile::tempdir()?;
    let locks = Locker::new(Sqlite::open(directory.path().join("locks.db")).await?);
    let (working, most, four) = (AtomicU32::new(0), AtomicU32::new(0), Barrier::new(4));

    let job = async || -> Result<()> {
        let guard = locks.lock("gpu").permit_of(4).acquire().await?;
        most.fetch_max(working.fetch_add(1, SeqCst) + 1, SeqCst);
        if four.wait().await.is_leader() {
            println!("{} at work", working.load(SeqCst)); // all four wait for each other here
        }
        working.fetch_sub(1, SeqCst);
        guard.release().await
    };
    try_join_all((0..12).map(|_| job())).await?;

    println!("12 jobs, never more than {} at once", most.load(SeqCst));
    Ok(())
}
