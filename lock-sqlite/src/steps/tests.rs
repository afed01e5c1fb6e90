//! The steps against the model in plain words, and what they cost.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use lock_core::{Attempt, Claim, Mode, Ownership};
use rstest::rstest;
use rusqlite::Connection;

use super::Steps;
use crate::clock::nanos;
use crate::turns::Turn;

mod model;

use model::Model;

fn database() -> Connection {
    let db = Connection::open_in_memory().expect("memory");
    db.execute_batch(include_str!("../schema.sql")).expect("the schema");
    db
}

fn steps(db: &Connection) -> Steps<'_> {
    Steps { db, now: 1_000_000_000_000, last: 0, bell: "here" }
}

fn permit(of: u32) -> Mode {
    Mode::permit_of(of).expect("at least one")
}

fn claim(keys: &str, mode: Mode) -> Claim {
    let keys: Vec<_> = keys.split(' ').collect();
    Claim::new(keys, mode, Duration::from_secs(30)).expect("valid").queued()
}

fn tags(turns: &[Turn]) -> Vec<u64> {
    turns.iter().map(|turn| turn.tag).collect()
}

/// How many instructions of SQLite's virtual machine a step takes.
fn cost(db: &Connection, step: impl FnOnce()) -> usize {
    let count = Arc::new(AtomicUsize::new(0));
    let counted = count.clone();
    let one_more = move || {
        counted.fetch_add(1, Ordering::Relaxed);
        false
    };
    db.progress_handler(1, Some(one_more)).expect("a handler");
    step();
    db.progress_handler(0, None::<fn() -> bool>).expect("no handler");
    count.load(Ordering::Relaxed)
}

#[test]
fn random_steps_agree_with_the_model() {
    for seed in 0..150 {
        let (db, mut random) = (database(), fastrand::Rng::with_seed(seed));
        let (mut steps, mut model) = (steps(&db), Model::default());
        let mut claims: Vec<Claim> = Vec::new();
        for step in 0..150 {
            let at = format!("seed {seed}, step {step}");
            if claims.len() < 8 || random.u8(..) < 64 {
                claims.push(model::any_claim(&mut random));
            }
            let claim = &claims[claims.len() - 1 - random.usize(..claims.len().min(8))];
            let now = steps.now;
            match random.u8(..10) {
                0..5 => {
                    let attempt = steps.acquire(claim).expect("a look");
                    model.acquire(claim, now, attempt, &at);
                }
                5 => {
                    let held = model.renew(claim, now);
                    let expected = if held { Ownership::held(claim.ttl()) } else { Ownership::Lost };
                    assert_eq!(steps.renew(claim).expect("a renewal"), expected, "{at}");
                }
                6..8 => {
                    let keep = Duration::from_millis(random.u64(0..3) * 20);
                    let (ownership, turns) = steps.release(claim, keep).expect("a release");
                    let expected = model.release(claim, keep, now);
                    let held = if expected.is_some() { Ownership::held(keep) } else { Ownership::Lost };
                    assert_eq!(ownership, held, "{at}");
                    assert_eq!(tags(&turns), expected.unwrap_or_default(), "{at}: who is rung");
                }
                8 => steps.now += random.i64(0..40_000_000),
                _ => steps.sweep().expect("a sweep"),
            }
        }
        steps.now += nanos(Duration::from_secs(1));
        steps.sweep().expect("a sweep");
        assert_eq!(rows(&db), (0, 0), "seed {seed}: everything has lapsed");
    }
}

fn rows(db: &Connection) -> (i64, i64) {
    let sql = "SELECT (SELECT count(*) FROM lock_claims), (SELECT count(*) FROM lock_queue)";
    db.query_row(sql, [], |row| Ok((row.get(0)?, row.get(1)?))).expect("two counts")
}

#[rstest]
#[case::exclusive(Mode::Exclusive)]
#[case::the_only_permit(permit(1))]
fn a_hand_over_costs_no_more_in_a_long_queue_and_a_look_from_its_end_so_much_each(#[case] mode: Mode) {
    let costs = |waiting: usize| {
        let db = database();
        let mut steps = steps(&db);
        let queue: Vec<_> = (0..waiting).map(|_| claim("a", mode)).collect();
        let newcomer = claim("a", mode);
        for claim in &queue {
            steps.acquire(claim).expect("queued");
        }
        let look = cost(&db, || _ = steps.acquire(&newcomer).expect("queued"));
        let flat = [
            cost(&db, || _ = steps.release(&newcomer, Duration::ZERO).expect("given up")),
            cost(&db, || _ = steps.renew(&queue[0]).expect("renewed")),
            cost(&db, || _ = steps.release(&queue[0], Duration::ZERO).expect("released")),
            cost(&db, || _ = steps.acquire(&queue[1]).expect("granted")),
        ];
        (look, flat)
    };
    let ((near, short), (far, long)) = (costs(10), costs(1_000));
    assert!(far <= near * 110, "{far} steps behind 1000, {near} behind ten");
    for (short, long) in short.into_iter().zip(long) {
        assert!(long <= short + short / 10, "{long} steps with 1000 waiting, {short} with ten");
    }
}

#[test]
fn letting_many_in_costs_so_much_each() {
    let cost_of = |waiting: usize| {
        let db = database();
        let mut steps = steps(&db);
        let writer = claim("a", Mode::Exclusive);
        steps.acquire(&writer).expect("granted");
        for _ in 0..waiting {
            steps.acquire(&claim("a", Mode::Shared)).expect("queued");
        }
        let mut rung = 0;
        let cost = cost(&db, || rung = steps.release(&writer, Duration::ZERO).expect("released").1.len());
        assert_eq!(rung, waiting);
        cost
    };
    let (few, many) = (cost_of(20), cost_of(400));
    assert!(many <= few * 22, "{many} steps for 400 readers, {few} for 20");
}

#[test]
fn those_who_have_their_turn_are_rung_oldest_first() {
    let db = database();
    let mut steps = steps(&db);
    let writer = claim("a b c", Mode::Exclusive);
    steps.acquire(&writer).expect("granted");
    let readers: Vec<_> = ["c", "a", "b", "a c", "b"].map(|keys| claim(keys, Mode::Shared)).into();
    for reader in &readers {
        steps.acquire(reader).expect("queued");
    }
    let (_, turns) = steps.release(&writer, Duration::ZERO).expect("released");
    assert_eq!(tags(&turns), readers.iter().map(Claim::tag).collect::<Vec<_>>());
}

#[test]
fn a_grant_that_needs_no_write_says_what_is_left_of_it() {
    let db = database();
    let mut steps = steps(&db);
    let holder = claim("a", Mode::Exclusive);
    steps.acquire(&holder).expect("granted");
    let changes = db.total_changes();
    steps.now += nanos(Duration::from_secs(10));
    let Attempt::Granted(grant) = steps.acquire(&holder).expect("a look") else { panic!("it holds") };
    assert_eq!((grant.lease, db.total_changes()), (Duration::from_secs(20), changes));
    steps.now += 1;
    let Attempt::Granted(grant) = steps.acquire(&holder).expect("a look") else { panic!("it holds") };
    assert_eq!((grant.lease, db.total_changes()), (Duration::from_secs(30), changes + 1));
}

#[test]
fn a_sweep_takes_what_has_lapsed_and_nothing_that_was_renewed_or_kept() {
    let db = database();
    let mut steps = steps(&db);
    let [lapses, is_renewed, is_kept] = ["a", "b c", "d"].map(|keys| claim(keys, Mode::Exclusive));
    for claim in [&lapses, &is_renewed, &is_kept] {
        steps.acquire(claim).expect("granted");
    }
    steps.now += nanos(Duration::from_secs(29));
    steps.renew(&is_renewed).expect("renewed");
    steps.release(&is_kept, Duration::from_secs(2)).expect("released");
    steps.now += nanos(Duration::from_secs(1));
    steps.sweep().expect("a sweep");
    assert_eq!(rows(&db), (2, 3));
    assert_eq!(steps.renew(&lapses).expect("an answer"), Ownership::Lost);
    assert!(matches!(steps.acquire(&claim("d", Mode::Exclusive)).expect("a look"), Attempt::Busy(_)));
}
