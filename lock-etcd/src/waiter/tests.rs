//! What one who waits concludes from what it hears.

use std::sync::atomic::AtomicU64;
use std::time::Duration;

use lock_core::Claim;
use rstest::rstest;

use super::*;
use crate::crowds::Crowds;
use crate::epoch::Epoch;
use crate::leases::{Came, Known, Leases};
use crate::names::Names;
use Heard::{Began, Cut, Gone, Looks, Went};

const TTL: Duration = Duration::from_secs(600);

/// Which claim it is.
const OWN: Id = (7, 5);

/// What one hears who waits for `a` and `b`, which a look at revision 9 found in its way, and nobody else.
enum Heard {
    /// Its watches are there, and tell of everything after a revision.
    Began(i64),
    /// One of the two went at a revision.
    Went(&'static str, i64),
    /// It looks.
    Looks,
    /// A watch ended.
    Cut,
    /// Its own place went.
    Gone,
}

fn waiter() -> Waiter {
    let claim = Claim::new("a", Mode::Exclusive, TTL).expect("a valid claim");
    let names = Names::new("lock").expect("a plain prefix");
    let places = names.places(&claim);
    let shared = Shared {
        names,
        epoch: Arc::new(Epoch::default()),
        leases: Leases::default(),
        crowds: Crowds::default(),
        arrived: AtomicU64::new(0),
    };
    let (number, lease) = OWN;
    let renewed = Moment::now();
    let (form, epoch) = (Form::Short, Some(0));
    let refusal = Arc::new(queue::Wait {
        turn: Turn::Others,
        behind: vec![b"a".to_vec(), b"b".to_vec()],
        complete: true,
        lapse: TTL,
        left: 0,
        seen: 9,
        sent: renewed + Duration::from_nanos(1),
    });
    let known = Known {
        number,
        nth: 0,
        form,
        epoch,
        lease,
        ttl: TTL,
        renewed,
        floor: 0,
        clean: true,
        wait: Some(refusal.clone()),
        come: None,
    };
    shared.leases.remember(claim.owner(), known);
    let wait = Wait {
        owner: claim.owner(),
        own: own_names(&places, [form]),
        places: places.into(),
        mode: claim.mode(),
        number: Some(number),
        shared: Arc::new(shared),
        rings: mpsc::channel(1).0,
    };
    let mut waiter = Waiter::new(wait, Some((OWN, &refusal)));
    let watched = refusal.behind.iter().chain(&waiter.wait.own).cloned();
    waiter.watched = watched.map(|name| (name, (1, false))).collect();
    waiter
}

#[test]
fn of_a_store_that_went_back_everything_counts_anew() {
    let mut waiter = waiter();
    let names: Vec<_> = waiter.watched.keys().cloned().collect();
    let looks: Vec<_> = names.iter().map(|name| waiter.began(name, 5)).collect();
    assert_eq!((looks, waiter.seen), (vec![false, false, true], 5));
}

#[test]
fn a_look_that_is_older_than_what_was_heard_tells_nothing() {
    let mut waiter = waiter();
    for name in waiter.watched.keys().cloned().collect::<Vec<_>>() {
        waiter.began(&name, 9);
    }
    let view =
        |seen| View::read(vec![Vec::new()], &waiter.wait.places, (seen, Moment::now())).expect("nothing");
    let (old, new) = (view(10), view(11));
    assert!(!waiter.went(b"a", 10) && waiter.went(b"b", 11));
    assert_eq!((waiter.saw(&old), waiter.seen), (None, 11));
    assert_eq!(waiter.saw(&new), Some(Vec::new()));
}

#[rstest]
#[case::both_went(&[Began(9), Went("a", 10), Went("b", 11)], true)]
#[case::in_whichever_order(&[Began(9), Went("b", 10), Went("a", 11)], true)]
#[case::one_is_left(&[Began(9), Went("a", 10)], false)]
#[case::of_before_the_look(&[Began(9), Went("a", 9), Went("b", 10)], false)]
#[case::before_it_watches(&[Went("a", 10), Went("b", 11)], false)]
#[case::something_was_missed(&[Began(10), Went("a", 11), Went("b", 12)], false)]
#[case::it_is_to_be_looked_at_what_was_missed(&[Began(10), Looks, Went("a", 11), Went("b", 12)], false)]
#[case::it_looks_and_nothing_was_missed(&[Began(9), Went("a", 10), Looks, Went("b", 11)], true)]
#[case::a_watch_ended(&[Began(9), Cut, Looks, Went("a", 10), Went("b", 11)], false)]
#[case::its_own_place_went(&[Began(9), Gone, Went("a", 11), Went("b", 12)], false)]
fn when_its_turn_has_come_without_a_look(#[case] heard: &[Heard], #[case] come: bool) {
    let mut waiter = waiter();
    let names: Vec<_> = waiter.watched.keys().cloned().collect();
    let mut said = false;
    for one in heard {
        match one {
            Began(since) => {
                for name in &names {
                    waiter.began(name, *since);
                }
            }
            Went(name, revision) => {
                waiter.watched.remove(name.as_bytes());
                said = waiter.went(name.as_bytes(), *revision);
            }
            Looks => {
                waiter.looks();
            }
            Cut => waiter.cut(b"a"),
            Gone => waiter.gone(),
        }
    }
    let turn = waiter.wait.shared.leases.turn(waiter.wait.owner, Moment::now());
    assert_eq!((said, turn.map(|(_, came)| came)), (come, come.then_some(Came::Heard)));
}
