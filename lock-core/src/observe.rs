//! Everything that is counted, timed and logged, in one place.
//!
//! | metric | kind | what |
//! | --- | --- | --- |
//! | `lock_granted_total` | counter | claims granted |
//! | `lock_skipped_total` | counter | claims refused that would not wait |
//! | `lock_timed_out_total` | counter | waits that reached their limit |
//! | `lock_lost_total` | counter | grants lost before they were released |
//! | `lock_renew_failures_total` | counter | renewals whose outcome is unknown |
//! | `lock_wait_seconds` | histogram | from asking to the grant |
//! | `lock_hold_seconds` | histogram | from the grant to its end |
//!
//! All are labelled `backend`, with the [profile](crate::Profile)'s name.

use std::time::Duration;

use metrics::{counter, histogram};
use tracing::{Level, Span};

use crate::acquire::Order;
use crate::{Claim, Error, Profile, Token};

pub(crate) fn granted(profile: &Profile, waited: Duration) {
    counter!("lock_granted_total", "backend" => profile.name).increment(1);
    histogram!("lock_wait_seconds", "backend" => profile.name).record(waited);
}

pub(crate) fn skipped(profile: &Profile) {
    counter!("lock_skipped_total", "backend" => profile.name).increment(1);
}

pub(crate) fn timed_out(profile: &Profile) {
    counter!("lock_timed_out_total", "backend" => profile.name).increment(1);
}

pub(crate) fn ended(profile: &Profile, held: Duration) {
    histogram!("lock_hold_seconds", "backend" => profile.name).record(held);
}

pub(crate) fn lost(profile: &Profile, claim: &Claim, token: Token) {
    counter!("lock_lost_total", "backend" => profile.name).increment(1);
    tracing::warn!(backend = profile.name, keys = ?claim.keys(), %token, "lock lost");
}

pub(crate) fn renew_failed(profile: &Profile, error: &Error) {
    counter!("lock_renew_failures_total", "backend" => profile.name).increment(1);
    tracing::debug!(backend = profile.name, %error, "renewal failed; trying again until the deadline");
}

pub(crate) fn left_behind(profile: &Profile, claim: &Claim, error: &Error) {
    tracing::warn!(backend = profile.name, keys = ?claim.keys(), %error, "release failed; the claim lapses by itself");
}

/// Open while somebody asks.
pub(crate) fn wait_span(profile: &Profile, keys: &[crate::Key]) -> Span {
    tracing::span!(Level::DEBUG, "lock_wait", backend = profile.name, ?keys)
}

/// Open while a guard lives.
pub(crate) fn hold_span(profile: &Profile, order: &Order, token: Token) -> Span {
    let Order { keys, mode, label, .. } = order;
    tracing::span!(Level::DEBUG, "lock_hold", backend = profile.name, ?keys, %mode, label, %token)
}
