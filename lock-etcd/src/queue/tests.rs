//! Queues by hand, and what follows from them.

use std::time::Duration;

use etcd_client::proto::PbKeyValue;
use lock_core::{Claim, ErrorKind, Mode};
use rstest::rstest;

use super::*;
use crate::names::Names;

const TTL: Duration = Duration::from_secs(3);

/// A queue in words: `e` exclusive, `s` shared, a digit a permit of so many; before a `'`, kept by a release.
fn queue(key: usize, words: &str) -> Vec<Entry> {
    let entry = |(number, word): (usize, &str)| {
        let mode = match word.trim_end_matches('\'') {
            "e" => Mode::Exclusive,
            "s" => Mode::Shared,
            of => Mode::permit_of(of.parse().expect("a digit")).expect("not zero"),
        };
        let number = i64::try_from(number).expect("a short queue");
        let (name, remnant) = (format!("{key}{number}").into_bytes(), word.ends_with('\''));
        let (form, owner, ttl) = (Form::Long, 1, TTL * (number as u32 + 1));
        Entry { name, form, owner, number, nth: 0, mode, remnant, ttl, lease: 1, floor: 0 }
    };
    words.split_whitespace().enumerate().map(entry).collect()
}

fn wait(queues: &[&str], mode: Mode) -> Wait {
    let queues = queues.iter().enumerate().map(|(key, words)| queue(key, words)).collect();
    View { queues, seen: 0 }.wait(mode, i64::MAX)
}

fn permit(of: u32) -> Mode {
    Mode::permit_of(of).expect("not zero")
}

#[rstest]
#[case::free(&[""], Mode::Exclusive, Turn::Now, &[])]
#[case::behind_one(&["e"], Mode::Exclusive, Turn::Others, &["00"])]
#[case::behind_two(&["e e"], Mode::Exclusive, Turn::Others, &["01"])]
#[case::a_writer_behind_readers(&["s s s"], Mode::Exclusive, Turn::Others, &["02"])]
#[case::a_reader_behind_readers(&["s s"], Mode::Shared, Turn::Now, &[])]
#[case::a_reader_behind_a_writer(&["s e s"], Mode::Shared, Turn::Others, &["01"])]
#[case::a_reader_behind_two_writers(&["e s e s"], Mode::Shared, Turn::Others, &["02"])]
#[case::a_permit_with_room(&["2"], permit(2), Turn::Now, &[])]
#[case::a_permit_behind_as_many(&["2 2"], permit(2), Turn::Others, &["01", "00"])]
#[case::a_permit_behind_more(&["2 2 2"], permit(2), Turn::Others, &["02", "01"])]
#[case::the_smallest_number_counts(&["3 1 3"], permit(3), Turn::Others, &["02"])]
#[case::a_permit_of_one(&["1 1"], permit(1), Turn::Others, &["01"])]
#[case::a_permit_behind_a_writer(&["e 2 2"], permit(2), Turn::Others, &["00"])]
#[case::a_permit_behind_a_writer_alone(&["e 2"], permit(2), Turn::Others, &["00"])]
#[case::what_was_kept(&["e'"], Mode::Exclusive, Turn::Remnants, &["00"])]
#[case::one_behind_what_was_kept(&["e' e"], Mode::Exclusive, Turn::Others, &["01"])]
#[case::what_was_kept_behind_one(&["s s'"], Mode::Exclusive, Turn::Others, &["00"])]
#[case::two_that_were_kept(&["s' s'"], Mode::Exclusive, Turn::Remnants, &["01"])]
#[case::the_second_key(&["", "e"], Mode::Exclusive, Turn::Others, &["10"])]
#[case::both_keys(&["e", "e"], Mode::Exclusive, Turn::Others, &["00"])]
#[case::kept_on_one_key(&["e'", "e"], Mode::Exclusive, Turn::Others, &["10"])]
#[case::a_kept_permit(&["2' 2"], permit(2), Turn::Remnants, &["01", "00"])]
fn whom_a_claim_waits_for(
    #[case] queues: &[&str],
    #[case] mode: Mode,
    #[case] turn: Turn,
    #[case] behind: &[&str],
) {
    let wait = wait(queues, mode);
    let expected: Vec<_> = behind.iter().map(|name| name.as_bytes().to_vec()).collect();
    assert_eq!((wait.turn, wait.behind), (turn, expected));
}

#[test]
fn the_first_lapse_among_those_that_conflict_counts() {
    assert_eq!(wait(&["e e"], Mode::Exclusive).lapse, TTL);
    assert_eq!(wait(&["s e s"], Mode::Shared).lapse, TTL * 2);
    assert_eq!(wait(&["s", "s s e"], Mode::Shared).lapse, TTL * 3);
}

#[test]
fn only_those_ahead_count() {
    let view = View { queues: vec![queue(0, "e e e")], seen: 9 };
    assert_eq!(view.wait(Mode::Exclusive, 0).turn, Turn::Now);
    assert_eq!(view.wait(Mode::Exclusive, 1).behind, [b"00"]);
}

fn stored(place: &Place, revision: i64, value: &str) -> PbKeyValue {
    let (key, value) = (place.own(Form::Short).into(), value.into());
    PbKeyValue { key, value, lease: 7, create_revision: revision, ..PbKeyValue::default() }
}

fn places(keys: &[&str]) -> (Claim, Vec<Place>) {
    let claim =
        Claim::new(keys, permit(4), TTL).expect("a valid claim").labelled("worker 3 a").expect("short");
    let places = Names::new("lock").expect("a plain prefix").places(&claim);
    (claim, places)
}

#[test]
fn a_claim_reads_as_it_was_written() {
    let (claim, places) = places(&["a"]);
    let entry =
        Entry::read(stored(&places[0], 9, &value(&claim, TTL, 3, 1, 5)), &places[0]).expect("a claim");
    assert_eq!((entry.number, entry.nth, entry.mode, entry.remnant), (9, 3, permit(4), false));
    assert!(entry.is_of(claim.owner()) && entry.form == Form::Short);
    assert_eq!((entry.ttl, entry.lease, entry.floor), (TTL, 7, 5));
}

#[test]
fn a_remnant_stands_where_its_claim_stood() {
    let (claim, places) = places(&["a"]);
    let kept = PbKeyValue {
        key: places[0].remnant(1).into_bytes(),
        ..stored(&places[0], 99, &kept(&claim, TTL, 9, 1, 1))
    };
    let entry = Entry::read(kept, &places[0]).expect("a remnant");
    assert_eq!((entry.number, entry.remnant), (9, true));
    assert!(!entry.is_of(claim.owner()));
}

#[rstest]
#[case::nothing("")]
#[case::another_version("2 00000000000000000000000000000000 exclusive 3 0 1 5 ")]
#[case::no_mode("1 00000000000000000000000000000000 x 3 0 1 5 ")]
#[case::no_permits("1 00000000000000000000000000000000 0 3 0 1 5 ")]
#[case::no_ttl("1 00000000000000000000000000000000 exclusive x 0 1 5 ")]
#[case::more_than_come_at_once("1 00000000000000000000000000000000 exclusive 3 16 1 5 ")]
#[case::no_floor("1 00000000000000000000000000000000 exclusive 3 0 1 x ")]
#[case::a_floor_beyond_all_tokens("1 00000000000000000000000000000000 exclusive 3 0 1 9007199254740992 ")]
#[case::no_owner("1 0 exclusive 3 0 1 5 ")]
#[case::too_short("1 00000000000000000000000000000000 exclusive 3")]
fn what_is_no_claim_is_an_error(#[case] value: &str) {
    let (_, places) = places(&["a"]);
    let error = Entry::read(stored(&places[0], 9, value), &places[0]).expect_err("no claim");
    assert_eq!(error.kind(), ErrorKind::Backend);
}

#[test]
fn a_claim_without_a_lease_would_never_lapse_and_is_an_error() {
    let (claim, places) = places(&["a"]);
    let never = PbKeyValue { lease: 0, ..stored(&places[0], 9, &value(&claim, TTL, 3, 1, 5)) };
    assert!(Entry::read(never, &places[0]).is_err());
}

#[test]
fn a_claim_is_there_on_all_its_keys_at_one_revision_or_not() {
    let (claim, places) = places(&["a", "b"]);
    let value = value(&claim, TTL, 3, 1, 5);
    let view = |revisions: [Option<i64>; 2]| {
        let queue = |(revision, place): (Option<i64>, &Place)| {
            revision.map(|revision| stored(place, revision, &value)).into_iter().collect()
        };
        View::read(revisions.into_iter().zip(&places).map(queue).collect(), &places, 9).expect("claims")
    };
    assert!(matches!(view([Some(4), Some(4)]).mine(claim.owner()), Mine::Here(own) if own.number == 4));
    assert!(matches!(view([None, None]).mine(claim.owner()), Mine::Absent));
    assert!(matches!(view([None, Some(4)]).mine(claim.owner()), Mine::Partly(parts) if parts.len() == 1));
    assert!(matches!(view([Some(4), Some(5)]).mine(claim.owner()), Mine::Partly(parts) if parts.len() == 2));
}

#[test]
fn a_short_name_that_is_anothers_is_known_by_its_number() {
    let (one, there) = places(&["a", "b"]);
    let (two, _) = places(&["a", "b"]);
    let other = stored(&there[1], 5, &value(&two, TTL, 3, 1, 5));
    let view = View::read(vec![vec![], vec![other]], &there, 9).expect("a claim");
    assert!(matches!(view.mine(one.owner()), Mine::Absent));
    assert!(matches!(view.under(&there), Under::Long(taken) if taken == [0, 5]));
    let nobody = View { queues: vec![vec![], vec![]], seen: 9 };
    assert!(matches!(nobody.under(&there), Under::Short));
}

#[rstest]
#[case::all("", 9)]
#[case::some("9 9 9", 6)]
#[case::the_smallest_number_counts("9 4 9", 1)]
#[case::none("9 2 9", 0)]
#[case::beside_a_reader("s", 0)]
fn how_many_permits_are_left(#[case] words: &str, #[case] left: usize) {
    assert_eq!(wait(&[words, ""], permit(9)).left, left);
    assert_eq!(wait(&[words], Mode::Shared).left, 0);
}
