//! What one who waits concludes from a look.

use std::sync::atomic::AtomicU64;
use std::time::Duration;

use etcd_client::proto::PbKeyValue;
use lock_core::Claim;
use rstest::rstest;

use super::*;
use crate::crowds::Crowds;
use crate::epoch::Epoch;
use crate::leases::Leases;
use crate::names::Names;
use crate::queue::{self, Entry, value};

const TTL: Duration = Duration::from_secs(600);

fn claim() -> Claim {
    Claim::new("a", Mode::Exclusive, TTL).expect("a valid claim")
}

/// A claim as it is stored: under its long name, with its number as its lease.
fn stored(claim: &Claim, place: &Place, number: i64) -> PbKeyValue {
    PbKeyValue {
        key: place.own(Form::Long).into(),
        value: value(claim, TTL, 0, 0, 0).into(),
        create_revision: number,
        lease: number,
        ..PbKeyValue::default()
    }
}

/// Its number is 7; whether it is there, and with which number, and with which number another one.
#[rstest]
#[case::it_is_first(Some(7), None, true)]
#[case::one_is_behind(Some(7), Some(8), true)]
#[case::one_is_ahead(Some(7), Some(6), false)]
#[case::it_is_not_there(None, None, false)]
#[case::it_came_anew(Some(9), None, false)]
fn when_its_turn_has_come(#[case] own: Option<i64>, #[case] other: Option<i64>, #[case] come: bool) {
    let names = Names::new("lock").expect("a plain prefix");
    let [claim, another] = [(); 2].map(|()| claim());
    let [places, others] = [&claim, &another].map(|claim| names.places(claim));
    let (epoch, leases, crowds) = (Arc::<Epoch>::default(), Leases::default(), Crowds::default());
    let shared = Arc::new(Shared { names, epoch, leases, crowds, arrived: AtomicU64::new(0) });
    let known = Entry::read(stored(&claim, &places[0], 7), &places[0]).expect("a claim");
    let refusal = queue::Wait { turn: Turn::Others, behind: Vec::new(), lapse: TTL, left: 0, seen: 8 };
    shared.leases.renewed(claim.owner(), &known, 0, TTL, Moment::now());
    shared.leases.refused(claim.owner(), refusal);

    let wait = Wait {
        owner: claim.owner(),
        own: own_names(&places, [Form::Long]),
        places: places.clone().into(),
        mode: claim.mode(),
        number: Some(7),
        shared: shared.clone(),
        rings: mpsc::channel(1).0,
    };
    let own = own.map(|number| stored(&claim, &places[0], number));
    let other = other.map(|number| stored(&another, &others[0], number));
    let view = View::read(vec![own.into_iter().chain(other).collect()], &places, 9).expect("claims");
    Waiter::new(wait, 8).saw(&view, Moment::now() + Duration::from_nanos(1));
    assert_eq!(shared.leases.turn(claim.owner(), Moment::now()).is_some(), come);
}
