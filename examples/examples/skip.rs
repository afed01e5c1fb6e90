//! Skip what is running already: a job that every machine starts at midnight runs on one of them.

use lock_core::{Guard, Locker, Result};
use lock_sqlite::Sqlite;

/// Nobody waits here: where somebody else has the lock, there is nothing to do.
async fn clean_up(machine: &str, locks: &Locker) -> Result<Option<Guard>> {
    let guard = locks.lock("cleanup").try_acquire().await?;
    match &guard {
        Some(_) => println!("{machine}: cleaning up"),
        None => println!("{machine}: somebody else is at it, skipped"),
    }
    Ok(guard)
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let directory = tempfile::tempdir()?;
    let file = directory.path().join("locks.db");
    let (one, two) = (Locker::new(Sqlite::open(&file).await?), Locker::new(Sqlite::open(&file).await?));

    let running = clean_up("one", &one).await?;
    clean_up("two", &two).await?;
    if let Some(guard) = running {
        println!("one: done");
        guard.release().await?;
    }
    clean_up("two", &two).await?;
    Ok(())
}
