//! Stop when the lock is lost: work that may not go on without its lock ends with it.

use std::future::pending;
use std::time::Duration;

use lock_core::{ErrorKind, Locker, Result};
use lock_sqlite::Sqlite;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let directory = tempfile::tempdir()?;
    let file = directory.path().join("locks.db");
    let healthy = Locker::new(Sqlite::open(&file).await?);
    // Nothing renews its locks, as on a machine that has lost its network.
    let ailing = healthy.clone().with_ttl(Duration::from_millis(200)).with_renewal(false);

    let endless = ailing.lock("import").run(async |_guard| {
        println!("importing");
        pending::<Result<()>>().await
    });
    match endless.await {
        Err(error) if error.kind() == ErrorKind::Lost => println!("stopped: {error}"),
        other => println!("nothing stopped it: {other:?}"),
    }

    let guard = healthy.lock("import").acquire().await?;
    println!("somebody else imports");
    guard.release().await?;
    Ok(())
}
