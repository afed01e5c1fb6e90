//! Wait in line: who comes first is served first, and nobody has to wait longer than he likes.

use std::time::Duration;

use lock_core::{ErrorKind, Locker, Result};
use lock_sqlite::Sqlite;

async fn pay(customer: &str, till: &Locker, patience: Duration) -> Result<()> {
    match till.lock("till").timeout(patience).acquire().await {
        Ok(guard) => {
            println!("{customer} pays");
            guard.release().await
        }
        // It is certain that the lock was not taken, and no place in the line is left.
        Err(error) if error.kind() == ErrorKind::Timeout => {
            println!("{customer} leaves: {error}");
            Ok(())
        }
        Err(error) => Err(error),
    }
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let directory = tempfile::tempdir()?;
    let till = Locker::new(Sqlite::open(directory.path().join("locks.db")).await?);

    let cashier = till.lock("till").acquire().await?;
    println!("the cashier counts the money");
    let (long, short) = (Duration::from_secs(60), Duration::from_millis(50));
    let opening = async {
        pay("cid", &till, short).await?;
        println!("the till opens");
        cashier.release().await
    };
    tokio::try_join!(pay("ann", &till, long), pay("bob", &till, long), opening)?;
    Ok(())
}
