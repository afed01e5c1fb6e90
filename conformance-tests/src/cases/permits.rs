//! So many at a time.

use lock_core::{Key, Locker, Mode};
use tokio::sync::watch;

use super::{Case, case};
use crate::World;
use crate::helper::Helper;
use crate::history::Recorder;
use crate::patience::{crowd, gets_in, let_go, within};
use crate::queue::Queue;

pub(crate) const CASES: &[Case] = &[
    case!(the_peak_is_exactly_the_number; needs Permits),
    case!(one_freed_permit_lets_one_in; needs Permits),
    case!(a_permit_of_one_excludes; needs Permits),
    case!(a_dead_holders_permit_comes_back_alone; needs Permits, Processes),
];

/// Tasks that hold permits together, as many as there are.
#[derive(Clone)]
pub(crate) struct Crew {
    of: u32,
    history: Recorder,
    /// How many hold now, and the most that ever did.
    inside: watch::Sender<(u32, u32)>,
}

impl Crew {
    pub(crate) fn of(of: u32) -> Self {
        Self { of, history: Recorder::default(), inside: watch::Sender::default() }
    }

    /// Holds a permit, the first of the crew until all permits are held at once.
    pub(crate) async fn work(self, task: usize, locks: Locker, key: Key) {
        let guard = locks.lock(key).permit_of(self.of).acquire().await.expect("granted in the end");
        let peak = async {
            self.inside.send_modify(|(now, peak)| (*now, *peak) = (*now + 1, (*now + 1).max(*peak)));
            let mut inside = self.inside.subscribe();
            let all = inside.wait_for(|(_, peak)| *peak >= self.of);
            drop(within("as many holders as permits", all).await);
            self.inside.send_modify(|(now, _)| *now -= 1);
        };
        self.history.record(format!("task {task}"), &guard, peak).await;
        let_go(guard).await;
    }

    /// Panics unless there were ever as many holders as permits, never more, and so many in all.
    #[track_caller]
    pub(crate) fn assert_peak(&self, holds: usize) {
        self.history.assert_sound(holds);
        assert_eq!(*self.inside.borrow(), (0, self.of), "(holders left, peak)");
    }
}

/// 20 tasks on four permits: four hold at once, which none of them could wait for otherwise, and never five.
async fn the_peak_is_exactly_the_number(world: World) {
    let clients = world.steadies::<2>().await;
    let crew = Crew::of(4);
    crowd(20, |task| crew.clone().work(task, clients[task % 2].clone(), world.key("a"))).await;
    crew.assert_peak(20);
}

/// With all permits taken, the release of one lets in the first of two who wait, and the second stays where it is.
async fn one_freed_permit_lets_one_in(world: World) {
    let (queue, [here, there]) = (Queue::default(), world.steadies().await);
    let key = world.key("a");
    let one = here.lock(&key).permit_of(2).acquire().await.expect("free");
    let two = there.lock(&key).permit_of(2).acquire().await.expect("one is left");
    let waiting = [queue.locker(&world).await, queue.locker(&world).await];
    let first = tokio::spawn(waiting[0].lock(&key).permit_of(2).acquire());
    queue.has(1).await;
    let second = tokio::spawn(waiting[1].lock(&key).permit_of(2).acquire());
    queue.has(2).await;
    let_go(one).await;
    let first = within("the freed permit", first).await.expect("no panic").expect("granted");
    assert!(!second.is_finished(), "three permits of two");
    let_go(first).await;
    let second = within("the next permit", second).await.expect("no panic").expect("granted");
    let_go(two).await;
    let_go(second).await;
}

/// A permit of one is as good as an exclusive claim, and stands in the way of one.
async fn a_permit_of_one_excludes(world: World) {
    let [here, there] = world.steadies().await;
    let key = world.key("a");
    let guard = here.lock(&key).permit_of(1).acquire().await.expect("free");
    assert!(there.lock(&key).permit_of(1).try_acquire().await.expect("an answer").is_none());
    assert!(there.lock(&key).try_acquire().await.expect("an answer").is_none());
    let_go(guard).await;
    drop(gets_in(there.lock(&key)).await);
}

/// A process that holds one of two permits is killed: after its ttl one who waits gets in, and only one.
async fn a_dead_holders_permit_comes_back_alone(world: World) {
    let [here, there] = world.steadies().await;
    let key = world.key("a");
    let mut helper = Helper::start(&world).await;
    helper.hold(Mode::permit_of(2).expect("not zero"), &[&key], world.ttl()).await;
    let alive = here.lock(&key).permit_of(2).acquire().await.expect("one is left");
    helper.kill().await;
    let next = within("the dead holder's permit", there.lock(&key).permit_of(2).acquire()).await;
    let next = next.expect("granted after the ttl");
    assert!(here.lock(&key).permit_of(2).try_acquire().await.expect("an answer").is_none());
    let_go(alive).await;
    let_go(next).await;
}
