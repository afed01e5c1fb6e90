//! The cases, one module for each law or theme.

use std::future::Future;
use std::pin::Pin;

use lock_core::Profile;

use crate::World;

mod all_or_nothing;
mod asking_twice;
mod bells;
mod cancel;
mod clients;
mod contention;
mod cooldown;
mod crash;
mod cuts;
mod deadlock;
mod durations;
mod ends;
mod fairness;
mod first_come;
mod flaky;
mod keeping;
mod key_names;
mod labels;
mod lapsing;
mod many_users;
mod model;
mod modes;
mod nobody_else;
mod only_the_holder;
mod permits;
mod release;
mod remnants;
mod renewal;
mod retry_after;
mod rings;
mod rwlock;
mod several_keys;
mod skip;
mod skipping;
mod timeout;
mod tokens;
mod users;

/// One thing that every backend has to do: a documented async function whose words are the law it checks. It
/// panics if the store does otherwise.
///
/// ```
/// let about_tokens: Vec<_> = conformance_tests::all().filter(|case| case.law == "tokens").collect();
/// assert!(!about_tokens.is_empty());
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Case {
    /// The law or theme, as the module is called.
    pub law: &'static str,
    /// The sentence, as the function is called.
    pub name: &'static str,
    /// What it needs of the store; otherwise it is shown as ignored, with the reason.
    pub needs: &'static [Needs],
    /// Whether it is about exclusion, and so runs again with a permit of one.
    pub exclusive: bool,
    /// The case.
    pub run: fn(World) -> Pin<Box<dyn Future<Output = ()> + Send>>,
}

/// What a case may need of a store.
///
/// ```
/// use conformance_tests::{Needs, all};
/// let over_processes = all().filter(|case| case.needs.contains(&Needs::Processes));
/// assert!(over_processes.count() > 0);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Needs {
    /// Shared claims.
    Shared,
    /// Permits.
    Permits,
    /// Several keys in one step.
    Several,
    /// The order of arrival.
    Fair,
    /// Pushed wake-ups.
    Pushed,
    /// Other processes that reach the same store.
    Processes,
    /// A client whose connections can be cut.
    Cut,
    /// A server of the case's own that tells how many connections it has.
    Counted,
    /// Users who log in.
    Users,
}

/// What a [`Subject`](crate::Subject) can do beside making clients.
///
/// ```
/// let in_memory = conformance_tests::Means::default();
/// assert!(!in_memory.processes && !in_memory.cut && !in_memory.users);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Means {
    /// Other processes reach the store.
    pub processes: bool,
    /// A client's connections can be cut.
    pub cut: bool,
    /// The server tells how many connections it has.
    pub counted: bool,
    /// The store has users.
    pub users: bool,
}

impl Needs {
    /// Why a store cannot run the case; `None` if it can.
    ///
    /// ```
    /// use conformance_tests::{Means, Needs};
    /// use lock_core::{Backend, Memory};
    ///
    /// let profile = Memory::new().profile();
    /// assert_eq!(Needs::Fair.missing(&profile, Means::default()), None);
    /// assert_eq!(Needs::Processes.missing(&profile, Means::default()), Some("no other process reaches the store"));
    /// ```
    pub fn missing(self, profile: &Profile, means: Means) -> Option<&'static str> {
        let (met, reason) = match self {
            Self::Shared => (profile.shared, "the store has no shared claims"),
            Self::Permits => (profile.permits, "the store has no permits"),
            Self::Several => (profile.several, "the store takes one key at a time"),
            Self::Fair => (profile.fair, "the store grants in any order"),
            Self::Pushed => (profile.pushed, "the store does not ring"),
            Self::Processes => (means.processes, "no other process reaches the store"),
            Self::Cut => (means.cut, "no client has connections to cut"),
            Self::Counted => (means.counted, "the server does not count its connections"),
            Self::Users => (means.users, "the store has no users"),
        };
        (!met).then_some(reason)
    }
}

/// Every case of the suite.
///
/// ```
/// assert!(conformance_tests::all().count() > 100);
/// ```
pub fn all() -> impl Iterator<Item = Case> {
    [
        all_or_nothing::CASES,
        asking_twice::CASES,
        lapsing::CASES,
        only_the_holder::CASES,
        release::CASES,
        remnants::CASES,
        skip::CASES,
        tokens::CASES,
        renewal::CASES,
        bells::CASES,
        rings::CASES,
        nobody_else::CASES,
        first_come::CASES,
        modes::CASES,
        model::CASES,
        several_keys::CASES,
        key_names::CASES,
        labels::CASES,
        durations::CASES,
        retry_after::CASES,
        cancel::CASES,
        clients::CASES,
        contention::CASES,
        deadlock::CASES,
        timeout::CASES,
        skipping::CASES,
        fairness::CASES,
        rwlock::CASES,
        permits::CASES,
        cooldown::CASES,
        keeping::CASES,
        ends::CASES,
        crash::CASES,
        many_users::CASES,
        users::CASES,
        flaky::CASES,
        cuts::CASES,
    ]
    .into_iter()
    .flatten()
    .copied()
}

/// Names a case after its module and function. `exclusive` runs it again with a permit of one; what follows `needs`
/// is what it needs of a store.
macro_rules! case {
    ($name:ident $(, $flag:ident)? $(; needs $($needs:ident),+)?) => {
        $crate::Case {
            law: $crate::cases::last_segment(module_path!()),
            name: stringify!($name),
            needs: &[$($($crate::Needs::$needs),+)?],
            exclusive: $crate::cases::flag(&[$(stringify!($flag))?]),
            run: |world| Box::pin($name(world)),
        }
    };
}
pub(crate) use case;

/// The module's own name.
const fn last_segment(path: &'static str) -> &'static str {
    let mut at = path.len();
    while at > 0 && path.as_bytes()[at - 1] != b':' {
        at -= 1;
    }
    path.split_at(at).1
}

/// Whether a flag was given.
const fn flag(flags: &[&str]) -> bool {
    !flags.is_empty()
}
