//! The rule against a model that is written as `Backend`'s docs say it, over every short queue.

use super::*;
use crate::Room;

/// The model: looking at the unlapsed claims ahead.
pub(super) fn has_room(ahead: &[Mode], mode: Mode) -> bool {
    match mode {
        Mode::Exclusive => ahead.is_empty(),
        Mode::Shared => ahead.iter().all(|other| *other == Mode::Shared),
        Mode::Permit { of } => {
            let sizes: Option<Vec<_>> = ahead
                .iter()
                .map(|other| match other {
                    Mode::Permit { of } => Some(of.get()),
                    _ => None,
                })
                .collect();
            let fewest = |sizes: &[u32]| sizes.iter().copied().min().unwrap_or(of.get()).min(of.get());
            sizes.is_some_and(|sizes| u32::try_from(sizes.len()).unwrap() < fewest(&sizes))
        }
    }
}

pub(super) fn modes() -> [Mode; 5] {
    let permit = |of| Mode::permit_of(of).unwrap();
    [Mode::Exclusive, Mode::Shared, permit(1), permit(2), permit(4)]
}

/// Every sequence of so many of these.
pub(super) fn sequences<T: Clone>(of: &[T], length: usize) -> Vec<Vec<T>> {
    (0..length).fold(vec![Vec::new()], |shorter, _| {
        let longer = |one: &Vec<T>| {
            let one = one.clone();
            of.iter().map(move |last| one.iter().cloned().chain([last.clone()]).collect::<Vec<_>>())
        };
        shorter.iter().flat_map(longer).collect()
    })
}

#[test]
fn room_is_as_the_model_says_for_every_queue_of_up_to_six() {
    for length in 0..=6 {
        for queue in sequences(&modes(), length) {
            let mut room = Room::default();
            for (at, mode) in queue.iter().enumerate() {
                for newcomer in modes() {
                    let expected = has_room(&queue[..at], newcomer);
                    assert_eq!(room.fits(newcomer), expected, "{newcomer} behind {:?}", &queue[..at]);
                }
                room.add(*mode);
            }
        }
    }
}

#[test]
fn behind_one_without_room_nobody_has_room() {
    for queue in sequences(&modes(), 5) {
        let fits: Vec<_> = queue.iter().enumerate().map(|(at, mode)| has_room(&queue[..at], *mode)).collect();
        assert!(fits.is_sorted_by(|ahead, behind| ahead >= behind), "{queue:?}: {fits:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn memory_grants_as_the_model_says_for_every_queue_of_up_to_four() {
    for queue in sequences(&modes(), 4) {
        let store = Memory::new();
        for (at, mode) in queue.iter().enumerate() {
            for newcomer in modes() {
                let skips = Claim::new("a", newcomer, TTL).unwrap();
                let granted = matches!(store.acquire(&skips).await.unwrap(), Attempt::Granted(_));
                assert_eq!(granted, has_room(&queue[..at], newcomer), "{newcomer} behind {:?}", &queue[..at]);
                store.release(&skips, Duration::ZERO).await.unwrap();
            }
            abandoned(&store, "a", *mode, TTL).await;
        }
    }
}
