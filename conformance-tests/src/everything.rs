//! Everything that locks do, for tests of what a user has to be allowed.

use std::sync::Arc;
use std::time::Duration;

use lock_core::{Backend, Claim, Locker, Mode, Ownership, Result};

use crate::patience::{LIMIT, LONG, within};

/// Does once what a store can be asked for: a look, a place, a ring, a renewal, a release, a cooldown, and shared holders.
///
/// # Errors
///
/// The store's first one.
///
/// # Panics
///
/// When the store answers what cannot be.
///
/// # Cancel safety
///
/// Some keys may be taken for as long as ten minutes.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> lock_core::Result<()> {
/// conformance_tests::everything(std::sync::Arc::new(lock_core::Memory::new())).await?;
/// # Ok(())
/// # }
/// ```
pub async fn everything(store: Arc<dyn Backend>) -> Result<()> {
    let claim = || Claim::new("a", Mode::Exclusive, LONG).expect("a valid claim").queued();
    let (one, two) = (Arc::new(claim()), claim());
    store.acquire(&one).await?;
    store.acquire(&two).await?;
    let mut rings = store.wakeups(&two).await?;
    for answer in store.renew(std::slice::from_ref(&one)).await {
        assert_eq!(answer?, Ownership::held(LONG));
    }
    assert_eq!(store.release(&one, Duration::ZERO).await?, Ownership::held(Duration::ZERO));
    assert!(within("a ring", rings.next()).await.is_some(), "the stream ended instead of ringing");
    store.release(&two, Duration::ZERO).await?;
    let locks = Locker::new(store).with_ttl(LONG);
    locks.lock("b").hold_at_least(LIMIT).try_acquire().await?.expect("free").release().await?;
    locks.lock("c").shared().run(async |_| Ok(())).await
}
