//! What a wrong veneer takes a claim for.

use std::time::Duration;

use lock_core::{Claim, Key, Mode};

use crate::fault::Fault::{self, *};

/// The claim that the store is given instead; `None` for the claim itself.
pub(crate) fn claim(fault: Fault, claim: &Claim) -> Option<Claim> {
    let keys = |name: fn(&str) -> String| renamed(claim, name);
    let changed = match fault {
        CaseIsIgnored => keys(|name| name.to_lowercase()),
        SpacesAreTrimmed => keys(|name| name.trim().to_owned()),
        KeysAreCutAt255Bytes => keys(|name| name[..name.floor_char_boundary(255)].to_owned()),
        KeysAreNormalised => keys(|name| name.replace("e\u{301}", "\u{e9}")),
        KeysArePrefixes => keys(first_segments),
        BracesAreHashTags => keys(|name| name.replace(['{', '}'], "")),
        OneKeyIsTaken => made(&claim.keys()[..1], claim.mode(), claim.ttl()),
        KeysAreOneName => {
            let names: Vec<_> = claim.keys().iter().map(Key::as_str).collect();
            made(&[shortened(&names.join(","))], claim.mode(), claim.ttl())
        }
        KeysAreBuckets => keys(bucket),
        LapsesEarly => with_ttl(claim, (claim.ttl() / 2).max(Claim::MIN_TTL)),
        LapsesLate => with_ttl(claim, (claim.ttl() * 20).min(Claim::MAX_TTL)),
        SkipQueues | NobodyQueues => made(claim.keys(), claim.mode(), claim.ttl()),
        _ => made(claim.keys(), mode(fault, claim.mode())?, claim.ttl()),
    };
    let waits = fault == SkipQueues || claim.waits() && fault != NobodyQueues;
    Some(if waits { changed.queued() } else { changed })
}

pub(crate) fn with_ttl(claim: &Claim, ttl: Duration) -> Claim {
    made(claim.keys(), claim.mode(), ttl)
}

fn mode(fault: Fault, mode: Mode) -> Option<Mode> {
    let permit = |of: u32| Mode::permit_of(of.max(1)).expect("it is not zero");
    Some(match (fault, mode) {
        (ExclusiveIsShared, Mode::Exclusive) | (PermitIsShared, Mode::Permit { .. }) => Mode::Shared,
        (SharedIsExclusive, Mode::Shared) | (PermitIsExclusive, Mode::Permit { .. }) => Mode::Exclusive,
        (SharedIsAPermit, Mode::Shared) => permit(u32::MAX),
        (OnePermitTooMany, Mode::Permit { of }) => permit(of.get().saturating_add(1)),
        (OnePermitTooFew, Mode::Permit { of }) => permit(of.get() - 1),
        _ => return None,
    })
}

fn made<K: AsRef<str>>(keys: &[K], mode: Mode, ttl: Duration) -> Claim {
    Claim::new(keys, mode, ttl).expect("valid as the claim it stands for")
}

/// With each key called otherwise, unless that is no key.
fn renamed(claim: &Claim, name: fn(&str) -> String) -> Claim {
    let keys = claim.keys().iter().map(|key| Key::new(name(key.as_str())).unwrap_or_else(|_| key.clone()));
    made(&keys.collect::<Vec<_>>(), claim.mode(), claim.ttl())
}

/// `case/1/a/b` is `case/1/a`.
fn first_segments(name: &str) -> String {
    name.split('/').take(3).collect::<Vec<_>>().join("/")
}

/// One of a few hundred, as a short hash is.
fn bucket(name: &str) -> String {
    format!(
        "bucket {}",
        name.bytes().fold(7_u32, |hash, byte| hash.wrapping_mul(31).wrapping_add(byte.into())) % 251
    )
}

fn shortened(name: &str) -> String {
    name[..name.floor_char_boundary(Key::MAX_BYTES)].to_owned()
}
