//! Labels: what a person reads, and nothing that a store goes by.

use lock_core::Claim;

use super::{Case, case};
use crate::World;
use crate::asking::{AT_ONCE, renew};
use crate::world::{busy, granted, held, lost};

pub(crate) const CASES: &[Case] =
    &[case!(any_label_can_be_stored, exclusive), case!(a_label_identifies_nobody, exclusive)];

/// A label of up to 128 bytes is stored with the claim, held or queued, whatever it says.
async fn any_label_can_be_stored(world: World) {
    let [here, there] = world.clients().await;
    let longest =
        ["x".repeat(Claim::MAX_LABEL_BYTES), "🔒".repeat(Claim::MAX_LABEL_BYTES / 4), "é".repeat(64)];
    let special = "| |worker 3|'; DROP TABLE claims; --|\"|\\|\\0|%s%n|{a}|a,b;c:d=e|null|[[|]]|0|e\u{301}|日本|\u{feff}|$1|*?[a]";
    for label in special.split('|').chain(longest.iter().map(String::as_str)) {
        let key = world.key(label.get(..1).unwrap_or("none"));
        let labelled = |claim: Claim| claim.labelled(label).expect("a valid label");
        let [holder, waiter] = world.rivals(&key).map(Claim::queued).map(labelled);
        granted(here.acquire(&holder).await);
        busy(there.acquire(&waiter).await);
        held(renew(&there, &holder).await);
        held(renew(&there, &waiter).await);
        held(here.release(&holder, AT_ONCE).await);
        granted(there.acquire(&waiter).await);
        held(there.release(&waiter, AT_ONCE).await);
    }
}

/// Two claims of one label are two claims.
async fn a_label_identifies_nobody(world: World) {
    let [here, there] = world.clients().await;
    let labelled = |claim: Claim| claim.labelled("the same").expect("a valid label");
    let [holder, other] = world.rivals(&world.key("a")).map(labelled);
    granted(here.acquire(&holder).await);
    busy(here.acquire(&other).await);
    lost(renew(&here, &other).await);
    lost(there.release(&other, AT_ONCE).await);
    held(there.release(&holder, AT_ONCE).await);
}
