//! Law 7: tokens grow, and are never issued twice.

use std::collections::BTreeSet;

use lock_core::{Mode, Token};

use super::{Case, case};
use crate::World;
use crate::asking::{AT_ONCE, Client, permit, renew, wins};
use crate::patience::crowd;
use crate::world::{busy, granted, held};

pub(crate) const CASES: &[Case] = &[
    case!(tokens_grow_from_holder_to_holder, exclusive),
    case!(tokens_grow_across_an_expiry, exclusive),
    case!(tokens_grow_past_what_was_kept, exclusive),
    case!(tokens_grow_from_mode_to_mode; needs Shared, Permits),
    case!(a_writer_has_a_greater_token_than_every_reader_before; needs Shared),
    case!(tokens_grow_when_clients_come_and_go, exclusive),
    case!(tokens_grow_along_the_queue, exclusive; needs Fair),
    case!(tokens_grow_on_every_key_of_a_claim, exclusive; needs Several),
    case!(tokens_grow_on_a_key_that_was_long_gone, exclusive),
    case!(a_token_lies_between_the_clock_and_the_limit, exclusive),
    case!(no_token_is_issued_twice; needs Permits),
    case!(no_token_is_issued_twice_to_readers; needs Shared),
    case!(a_refused_claim_is_no_grant, exclusive),
    case!(a_renewal_changes_no_token, exclusive),
];

/// Grants a claim, remembers its token, and lets it go.
async fn pass(client: &Client, claim: &lock_core::Claim, last: &mut Token) {
    let token = granted(client.acquire(claim).await).token;
    assert!(token > *last, "{token} after {last}");
    *last = token;
    held(client.release(claim, AT_ONCE).await);
}

/// A token is greater than that of every earlier grant of the key, whoever had it.
async fn tokens_grow_from_holder_to_holder(world: World) {
    let clients: [_; 3] = world.clients().await;
    let mut last = Token::new(0);
    for at in 0..60 {
        pass(&clients[at * at % 3], &world.lasting(world.key("a")), &mut last).await;
    }
}

/// A token is greater than that of a grant that lapsed.
async fn tokens_grow_across_an_expiry(world: World) {
    let [here, there] = world.clients().await;
    let key = world.key("a");
    let first = granted(here.acquire(&world.claim(&key)).await).token;
    let second = wins(&there, &world.claim(&key)).await.token;
    let third = wins(&here, &world.lasting(&key)).await.token;
    assert!(first < second && second < third, "{first}, {second}, {third}");
}

/// A token is greater than that of a grant whose keys were kept.
async fn tokens_grow_past_what_was_kept(world: World) {
    let client = world.client().await;
    let key = world.key("a");
    let kept = world.lasting(&key);
    let first = granted(client.acquire(&kept).await).token;
    held(client.release(&kept, std::time::Duration::from_millis(1)).await);
    let second = wins(&client, &world.lasting(&key)).await.token;
    assert!(first < second, "{first}, {second}");
}

/// A token is greater than that of every earlier grant, whatever the modes.
async fn tokens_grow_from_mode_to_mode(world: World) {
    let [here, there] = world.clients().await;
    let key = world.key("a");
    let modes = [Mode::Exclusive, Mode::Shared, permit(1), permit(4)];
    let mut last = Token::new(0);
    for one in modes {
        for two in modes {
            pass(&here, &world.lasting_as(one, &key), &mut last).await;
            pass(&there, &world.lasting_as(two, &key), &mut last).await;
        }
    }
}

/// A writer's token is greater than those of all readers before it, and theirs after it are greater.
async fn a_writer_has_a_greater_token_than_every_reader_before(world: World) {
    let clients: [_; 3] = world.clients().await;
    let key = world.key("a");
    let mut floor = Token::new(0);
    for _ in 0..5 {
        let mut readers = Vec::new();
        for client in &clients {
            let reader = world.lasting_as(Mode::Shared, &key);
            let token = granted(client.acquire(&reader).await).token;
            assert!(token > floor, "a reader's {token} after a writer's {floor}");
            readers.push((reader, token));
        }
        for (reader, token) in readers {
            floor = floor.max(token);
            held(clients[0].release(&reader, AT_ONCE).await);
        }
        pass(&clients[0], &world.lasting_as(Mode::Exclusive, &key), &mut floor).await;
    }
}

/// Tokens grow though the client that had the last one is gone: the store counts, not the client.
async fn tokens_grow_when_clients_come_and_go(world: World) {
    let mut last = Token::new(0);
    for _ in 0..8 {
        let client = world.client().await;
        pass(&client, &world.lasting(world.key("a")), &mut last).await;
    }
}

/// A place's number is its token: tokens grow along the queue.
async fn tokens_grow_along_the_queue(world: World) {
    let clients: [_; 3] = world.clients().await;
    let key = world.key("a");
    let holder = world.lasting(&key);
    let mut last = granted(clients[0].acquire(&holder).await).token;
    let waiters: Vec<_> = (0..9).map(|_| world.lasting(&key).queued()).collect();
    for (at, waiter) in waiters.iter().enumerate() {
        busy(clients[at % 3].acquire(waiter).await);
    }
    held(clients[0].release(&holder, AT_ONCE).await);
    for (at, waiter) in waiters.iter().enumerate() {
        pass(&clients[at % 3], waiter, &mut last).await;
    }
}

/// A claim's one token is greater than those of earlier grants of each of its keys.
async fn tokens_grow_on_every_key_of_a_claim(world: World) {
    let [here, there] = world.clients().await;
    let keys: Vec<_> = (0..16).map(|at| world.key(&format!("k{at}"))).collect();
    let mut last = vec![Token::new(0); keys.len()];
    for round in 0..4 {
        for (key, last) in keys.iter().zip(&mut last) {
            pass(&here, &world.lasting(key), last).await;
        }
        let some: Vec<_> = keys.iter().skip(round).step_by(2).collect();
        let all = world.lasting(&some);
        let token = granted(there.acquire(&all).await).token;
        for (key, last) in keys.iter().zip(&mut last).filter(|(key, _)| all.keys().contains(key)) {
            assert!(token > *last, "{token} after {last} on {key}");
            *last = token;
        }
        held(there.release(&all, AT_ONCE).await);
    }
}

/// Tokens of a key grow though the store has forgotten the key meanwhile, and granted many others.
async fn tokens_grow_on_a_key_that_was_long_gone(world: World) {
    let [here, there] = world.clients().await;
    let key = world.key("a");
    let mut last = Token::new(0);
    pass(&here, &world.lasting(&key), &mut last).await;
    for at in 0..100 {
        pass(&there, &world.lasting(world.key(&format!("other {at}"))), &mut Token::new(0)).await;
    }
    pass(&here, &world.lasting(&key), &mut last).await;
}

/// A token is at least the wall clock, in µs, of when its counter was started, and stays below 2^53.
async fn a_token_lies_between_the_clock_and_the_limit(world: World) {
    // No store started counting before there was anything to count for.
    const YEAR_2025: u64 = 1_735_689_600_000_000;
    let client = world.client().await;
    let token = granted(client.acquire(&world.lasting(world.key("a"))).await).token;
    assert!((YEAR_2025..Token::LIMIT).contains(&token.get()), "{token}");
}

/// A token is never issued twice, to however many at once.
async fn no_token_is_issued_twice(world: World) {
    issue(&world, permit(1000)).await;
}

/// A token is never issued twice, though readers do not conflict.
async fn no_token_is_issued_twice_to_readers(world: World) {
    issue(&world, Mode::Shared).await;
}

async fn issue(world: &World, mode: Mode) {
    const EACH: usize = 30;
    let clients: [_; 8] = world.clients().await;
    let tokens = crowd(clients.len(), |at| {
        let (client, world) = (clients[at].clone(), world.clone());
        async move {
            let mut tokens = Vec::new();
            for _ in 0..EACH {
                let claim = world.lasting_as(mode, world.key("a"));
                tokens.push(granted(client.acquire(&claim).await).token);
            }
            tokens
        }
    });
    let tokens = tokens.await;
    for mine in &tokens {
        assert!(mine.is_sorted(), "one after the other, and yet {mine:?}");
    }
    let distinct: BTreeSet<_> = tokens.iter().flatten().collect();
    assert_eq!(distinct.len(), clients.len() * EACH);
}

/// A refused claim that asks again when the lock is free has a token of that moment, not of its refusal.
async fn a_refused_claim_is_no_grant(world: World) {
    let [here, there] = world.clients().await;
    let [holder, early, late] = world.rivals(&world.key("a"));
    let mut last = Token::new(0);
    granted(here.acquire(&holder).await);
    busy(there.acquire(&early).await);
    held(here.release(&holder, AT_ONCE).await);
    pass(&here, &late, &mut last).await;
    pass(&there, &early, &mut last).await;
}

/// The token stays when the claim is renewed.
async fn a_renewal_changes_no_token(world: World) {
    let [here, there] = world.clients().await;
    let claim = world.lasting(world.key("a"));
    let token = granted(here.acquire(&claim).await).token;
    for _ in 0..3 {
        held(renew(&here, &claim).await);
        held(renew(&there, &claim).await);
        assert_eq!(granted(here.acquire(&claim).await).token, token);
    }
}
