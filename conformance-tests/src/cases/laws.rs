//! The laws of `Backend`, in their order.

use std::time::Duration;

use super::{Case, case};
use crate::World;
use crate::world::{busy, granted, held, lost};

pub(crate) const CASES: &[Case] = &[
    case!(a_holder_asking_again_gets_the_same_token, exclusive),
    case!(only_the_holder_releases, exclusive),
];

/// Law 2: a holder asking again gets the same token.
async fn a_holder_asking_again_gets_the_same_token(world: World) {
    let client = world.client().await;
    let claim = world.claim(world.key("a"));
    let first = granted(client.acquire(&claim).await);
    let again = granted(client.acquire(&claim).await);
    assert_eq!(first.token, again.token);
}

/// Law 4: release by any other owner changes nothing and says `Lost`.
async fn only_the_holder_releases(world: World) {
    let (here, there) = (world.client().await, world.client().await);
    let (holder, other) = (world.claim(world.key("a")), world.claim(world.key("a")));
    granted(here.acquire(&holder).await);
    lost(there.release(&other, Duration::ZERO).await);
    busy(there.acquire(&other).await);
    held(here.release(&holder, Duration::ZERO).await);
}
