//! A fenced write: who was stopped, has lost the lock and does not know it yet, cannot write over its successor.

use std::time::Duration;

use lock_core::{Locker, Token};
use lock_sqlite::{Sqlite, fence};
use rusqlite::{Connection, TransactionBehavior};

/// The database remembers the highest token that it has seen for the bot, and refuses a lower one.
fn write(db: &mut Connection, token: Token, price: u32) -> anyhow::Result<()> {
    let tx = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
    fence(&tx, "bot/4", token)?;
    tx.execute("UPDATE orders SET price = ?1", [price])?;
    Ok(tx.commit()?)
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let directory = tempfile::tempdir()?;
    let locks = Locker::new(Sqlite::open(directory.path().join("locks.db")).await?);
    let mut db = Connection::open(directory.path().join("orders.db"))?;
    db.execute_batch("CREATE TABLE orders (price INTEGER); INSERT INTO orders VALUES (1)")?;

    // One worker is stopped, nothing renews its lock, and a second one takes over.
    let stopped = locks.lock("bot/4").ttl(Duration::from_millis(100)).renewal(false).acquire().await?;
    let second = locks.lock("bot/4").acquire().await?;
    write(&mut db, second.token(), 200)?;
    println!("the second writes 200");
    match write(&mut db, stopped.token(), 100) {
        Ok(()) => println!("the first writes 100"),
        Err(error) => println!("the first is refused: {error}"),
    }
    println!("the price is {}", db.query_row("SELECT price FROM orders", [], |row| row.get::<_, u32>(0))?);
    Ok(())
}
