//! Many who log in, each as a user of its own.

use std::time::Instant;

use futures::future::join_all;
use lock_core::Key;

use super::{Case, case};
use crate::World;
use crate::helper::Helper;
use crate::history::{History, Operation};
use crate::patience::{LONG, within};
use crate::recorded::assert_nothing;

pub(crate) const CASES: &[Case] = &[
    case!(a6_ten_processes_of_ten_users_cannot_touch_each_others_claims, exclusive; needs Processes, Users),
    case!(a6_five_hundred_processes_of_as_many_users_cannot_touch_each_others_claims; needs Processes, Users),
];

/// As many processes at once.
const WAVE: usize = 10;

/// Ten processes, each logged in as a user who may do what locks need and nothing else. Each holds a lock, which none of the
/// others can take, renew or release; no two have the same token; and a number that all of them count up, reading and later
/// writing it under one lock, misses none.
async fn a6_ten_processes_of_ten_users_cannot_touch_each_others_claims(world: World) {
    processes(world, 10, 9).await;
}

/// The same with 500 users, of whom ten have a process at a time, and each meddles with one other.
async fn a6_five_hundred_processes_of_as_many_users_cannot_touch_each_others_claims(world: World) {
    processes(world, 500, 1).await;
}

async fn processes(world: World, size: usize, others: usize) {
    let directory = tempfile::tempdir().expect("a directory for the case");
    let file = directory.path().join("number");
    std::fs::write(&file, "0").expect("a file for the case");
    let users = world.subject().users().expect("the case needs Users");
    // All are made before the first logs in: to some servers, every change of users is one of all logins.
    let mut logins = Vec::new();
    for name in (0..size).map(|n| format!("user{n}")) {
        let address = within("a user", users.address(&name)).await;
        logins.push((name, address));
    }
    let (start, mut history) = (Instant::now(), Vec::new());
    for wave in logins.chunks(WAVE) {
        let helpers = join_all(wave.iter().map(|(_, address)| Helper::start_at(address))).await;
        let keys: Vec<_> = wave.iter().map(|(name, _)| world.key(name)).collect();
        history.extend(hold(&world, helpers, &keys, others, start, &file).await);
    }
    let history: History = history.into_iter().collect();
    assert_nothing([history.order(), history.identity()].concat());
    let counted = std::fs::read_to_string(&file).expect("the file of the case");
    assert_eq!(counted, (size * 2).to_string());
}

/// Each holds its key, tries what it may not do to the keys of so many others, and counts. Answers who held what.
async fn hold(
    world: &World,
    mut helpers: Vec<Helper>,
    keys: &[Key],
    others: usize,
    start: Instant,
    file: &std::path::Path,
) -> Vec<Operation> {
    let mode = world.mode();
    let holding = helpers.iter_mut().zip(keys).map(async |(helper, key)| {
        let token = helper.hold(mode, &[key], LONG).await;
        Operation::new(key.as_str(), start.elapsed(), None).by(key.as_str()).holds(key.clone(), mode, token)
    });
    let mut held = join_all(holding).await;
    let trying = helpers.iter_mut().enumerate().map(async |(own, helper)| {
        for other in keys.iter().cycle().skip(own + 1).take(others) {
            helper.meddle(mode, other).await;
        }
    });
    join_all(trying).await;
    held.iter_mut().for_each(|operation| operation.end = Some(start.elapsed()));
    let common = world.key("number");
    let counting = helpers.iter_mut().map(async |helper| {
        helper.ask("release", "released").await;
        helper.count(mode, &common, file, 2).await;
        helper.expect("counted").await;
    });
    join_all(counting).await;
    held
}
