//! Random queues: the store agrees with the model in `Backend`'s docs for every claim, at every step.

use std::sync::Arc;

use fastrand::Rng;
use lock_core::{Attempt, Claim, Key, Mode, Room, Token};

use super::{Case, case};
use crate::World;
use crate::asking::{AT_ONCE, Client, permit};
use crate::world::{held, lost};

pub(crate) const CASES: &[Case] = &[
    case!(random_queues_on_one_key_agree_with_the_model; needs Shared, Permits, Fair),
    case!(random_queues_on_many_keys_agree_with_the_model; needs Shared, Permits, Several, Fair),
];

const STEPS: usize = 150;

/// For every claim, in random queues of mixed modes, the store says what the model says.
async fn random_queues_on_one_key_agree_with_the_model(world: World) {
    for seed in 0..3 {
        let keys = vec![world.key(&format!("a{seed}"))];
        Run::new(&world, seed, keys).await.steps().await;
    }
}

/// The same on overlapping sets of keys.
async fn random_queues_on_many_keys_agree_with_the_model(world: World) {
    for seed in 10..13 {
        let keys = ["a", "b", "c", "d"].map(|name| world.key(&format!("{name}{seed}")));
        Run::new(&world, seed, keys.to_vec()).await.steps().await;
    }
}

/// A store, and beside it what it has to hold: every claim that is held or queued, oldest first.
struct Run {
    world: World,
    clients: [Client; 3],
    random: Rng,
    keys: Vec<Key>,
    queue: Vec<(Arc<Claim>, Option<Token>)>,
    gone: Vec<Arc<Claim>>,
}

impl Run {
    async fn new(world: &World, seed: u64, keys: Vec<Key>) -> Self {
        let clients = world.clients().await;
        let random = Rng::with_seed(seed);
        Self { world: world.clone(), clients, random, keys, queue: Vec::new(), gone: Vec::new() }
    }

    async fn steps(mut self) {
        for step in 0..STEPS {
            match self.random.usize(..10) {
                0..5 if self.queue.len() < 12 => self.arrive().await,
                0..9 => self.leave().await,
                _ => self.renew().await,
            }
            for at in 0..self.queue.len() {
                self.look(at, step).await;
            }
        }
    }

    fn client(&mut self) -> Client {
        self.clients[self.random.usize(..self.clients.len())].clone()
    }

    /// Whether there is room behind those ahead.
    fn fits(&self, claim: &Claim, at: usize) -> bool {
        claim.keys().iter().all(|key| {
            let mut room = Room::default();
            let ahead = self.queue[..at].iter().filter(|(other, _)| other.keys().contains(key));
            ahead.for_each(|(other, _)| room.add(other.mode()));
            room.fits(claim.mode())
        })
    }

    async fn arrive(&mut self) {
        let modes = [Mode::Exclusive, Mode::Shared, Mode::Shared, permit(1), permit(2), permit(4), permit(4)];
        let mode = self.random.choice(modes).expect("seven modes");
        let most = self.keys.len().min(3);
        let keys = self.random.clone().choose_multiple(&self.keys, self.random.usize(1..=most));
        let claim = self.world.lasting_as(mode, keys);
        let claim = Arc::new(if self.random.u8(..3) > 0 { claim.queued() } else { claim });
        let answer = self.client().acquire(&claim).await;
        let fits = self.fits(&claim, self.queue.len());
        assert_eq!(is_granted(&answer), fits, "{claim:?} arrives behind {:?}", self.queue);
        if fits || claim.waits() {
            self.queue.push((claim, token(&answer)));
        } else {
            self.gone.push(claim);
        }
    }

    async fn look(&mut self, at: usize, step: usize) {
        let (claim, earlier) = self.queue[at].clone();
        let answer = self.client().acquire(&claim).await;
        let ahead = &self.queue[..at];
        assert_eq!(is_granted(&answer), self.fits(&claim, at), "step {step}: {claim:?} behind {ahead:?}");
        let Some(token) = token(&answer) else { return };
        assert!(earlier.is_none_or(|earlier| earlier == token), "{token} was {earlier:?}");
        let same_key = |other: &Claim| other.keys().iter().any(|key| claim.keys().contains(key));
        let before = ahead.iter().filter(|(other, _)| same_key(other)).filter_map(|(_, token)| *token).max();
        assert!(Some(token) > before, "step {step}: {token} came after {before:?}");
        self.queue[at].1 = Some(token);
    }

    async fn leave(&mut self) {
        if self.queue.is_empty() {
            return;
        }
        let at = self.random.usize(..self.queue.len());
        let (claim, _) = self.queue.remove(at);
        held(self.client().release(&claim, AT_ONCE).await);
        self.gone.push(claim);
    }

    async fn renew(&mut self) {
        let there = self.queue.iter().map(|(claim, _)| (claim.clone(), true));
        let gone = self.gone.iter().rev().take(5).map(|claim| (claim.clone(), false));
        let mut batch: Vec<_> = there.chain(gone).collect();
        self.random.shuffle(&mut batch);
        let claims: Vec<_> = batch.iter().map(|(claim, _)| claim.clone()).collect();
        let answers = self.client().renew(&claims).await;
        assert_eq!(answers.len(), claims.len());
        for ((_, there), answer) in batch.into_iter().zip(answers) {
            if there {
                held(answer);
            } else {
                lost(answer);
            }
        }
    }
}

fn is_granted(answer: &lock_core::Result<Attempt>) -> bool {
    token(answer).is_some()
}

fn token(answer: &lock_core::Result<Attempt>) -> Option<Token> {
    match answer {
        Ok(Attempt::Granted(grant)) => Some(grant.token),
        Ok(Attempt::Busy(_)) => None,
        other => panic!("expected a grant or a refusal, got {other:?}"),
    }
}
