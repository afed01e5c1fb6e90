//! Transfer between two accounts: both are locked in one step, so the order in which they are named deadlocks nobody.

use std::cell::RefCell;
use std::collections::BTreeMap;

use futures::future::try_join_all;
use lock_core::{Locker, Result};
use lock_sqlite::Sqlite;
use tokio::task::yield_now;

type Accounts = RefCell<BTreeMap<&'static str, i64>>;

/// Reads both balances, thinks, and writes them: without the lock, transfers would undo each other.
async fn transfer(locks: &Locker, accounts: &Accounts, from: &'static str, to: &'static str) -> Result<()> {
    let guard = locks.lock([format!("account/{from}"), format!("account/{to}")]).acquire().await?;
    let (has, gets) = (accounts.borrow()[from], accounts.borrow()[to]);
    yield_now().await;
    accounts.borrow_mut().extend([(from, has - 1), (to, gets + 1)]);
    guard.release().await
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let directory = tempfile::tempdir()?;
    let locks = Locker::new(Sqlite::open(directory.path().join("locks.db")).await?);
    let accounts = Accounts::new([("ann", 100), ("bob", 100)].into());

    println!("before: {:?}", accounts.borrow());
    let there = (0..30).map(|_| transfer(&locks, &accounts, "ann", "bob"));
    let back = (0..10).map(|_| transfer(&locks, &accounts, "bob", "ann"));
    tokio::try_join!(try_join_all(there), try_join_all(back))?;
    println!("after 30 there and 10 back: {:?}", accounts.borrow());
    Ok(())
}
