//! The push path: a stream of rings, and the board that a client hangs its bells on.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll, ready};

use futures_core::Stream;
use tokio::sync::mpsc::{self, error::TrySendError};

use crate::Claim;
use crate::clock::Moment;

/// It is worth looking again. That is all a ring says: whether there is room, a look tells.
///
/// ```
/// assert_eq!(lock_core::Ring::new(), lock_core::Ring::default());
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Ring;

impl Ring {
    /// A ring.
    ///
    /// ```
    /// let ring = lock_core::Ring::new();
    /// ```
    pub const fn new() -> Self {
        Self
    }
}

/// The rings of one waiting claim. When it ends, the core polls.
///
/// Dropping it forgets them.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// use lock_core::Wakeups;
///
/// let mut wakeups = Wakeups::once();
/// assert!(wakeups.next().await.is_some());
/// assert!(wakeups.next().await.is_none());
/// # }
/// ```
pub struct Wakeups(Pin<Box<dyn Stream<Item = Ring> + Send>>);

impl Wakeups {
    /// Wraps a stream of rings.
    ///
    /// ```
    /// use lock_core::Wakeups;
    ///
    /// let wakeups = Wakeups::new(Wakeups::once()); // any stream of rings, as another one
    /// # drop(wakeups);
    /// ```
    pub fn new(rings: impl Stream<Item = Ring> + Send + 'static) -> Self {
        Self(Box::pin(rings))
    }

    /// Rings once and ends, which means: poll.
    ///
    /// ```
    /// let wakeups = lock_core::Wakeups::once();
    /// # drop(wakeups);
    /// ```
    pub fn once() -> Self {
        struct Once(bool);
        impl Stream for Once {
            type Item = Ring;
            fn poll_next(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Ring>> {
                Poll::Ready(std::mem::take(&mut self.0).then_some(Ring))
            }
        }
        Self::new(Once(true))
    }

    /// The next ring; `None` when there will be no more.
    ///
    /// # Cancel safety
    ///
    /// No ring is lost when the future is dropped.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// assert!(lock_core::Wakeups::once().next().await.is_some());
    /// # }
    /// ```
    pub async fn next(&mut self) -> Option<Ring> {
        std::future::poll_fn(|cx| self.0.as_mut().poll_next(cx)).await
    }
}

impl fmt::Debug for Wakeups {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Wakeups")
    }
}

impl Stream for Wakeups {
    type Item = Ring;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Ring>> {
        self.0.as_mut().poll_next(cx)
    }
}

/// The board on which one client of a store hangs a bell for each claim that waits.
///
/// A ring that comes before its bell hangs is kept for it, so [`hang`](Self::hang) may be called after the look
/// that said busy and still miss nothing, if the client has listened since before that look; one that begins to listen
/// later calls [`ring_all`](Self::ring_all) once it does. Cheap to clone; clones are the same board, and a
/// [fork](crate::Backend::fork) of a client shares it.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> lock_core::Result<()> {
/// use lock_core::{Bells, Claim, Mode};
///
/// let bells = Bells::default();
/// let claim = Claim::new("a", Mode::Exclusive, std::time::Duration::from_secs(30))?.queued();
/// bells.ring(claim.tag()); // nobody listens yet
/// assert!(bells.hang(&claim).next().await.is_some());
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Default)]
pub struct Bells(Arc<Mutex<Board>>);

#[derive(Default)]
struct Board {
    hung: HashMap<u64, mpsc::Sender<Ring>>,
    /// Rings for claims with no bell yet, oldest first.
    kept: VecDeque<u64>,
    /// Rings for claims made before this may be missing from `kept`: their bells begin with a ring.
    forgot: Option<Moment>,
}

/// As many early rings as are kept for bells that do not hang yet.
const KEPT: usize = 1024;

impl Bells {
    /// Hangs a bell for a claim. It comes down when the stream is dropped.
    ///
    /// ```
    /// # use lock_core::{Bells, Claim, Mode};
    /// # let claim = Claim::new("a", Mode::Exclusive, std::time::Duration::from_secs(30))?.queued();
    /// let wakeups = Bells::default().hang(&claim);
    /// # drop(wakeups);
    /// # Ok::<(), lock_core::Error>(())
    /// ```
    pub fn hang(&self, claim: &Claim) -> Wakeups {
        // One slot: a ring that was not heard yet says all that a second one could.
        let (sender, rings) = mpsc::channel(1);
        let mut board = self.board();
        let early = board.kept.iter().position(|tag| *tag == claim.tag());
        if early.and_then(|at| board.kept.remove(at)).is_some()
            || board.forgot.is_some_and(|at| claim.made() <= at)
        {
            let _ = sender.try_send(Ring);
        }
        board.hung.insert(claim.tag(), sender);
        Wakeups::new(Hanging { tag: claim.tag(), rings, board: Arc::downgrade(&self.0) })
    }

    /// Rings the bell of the claim with this tag.
    ///
    /// ```
    /// # use lock_core::Bells;
    /// Bells::default().ring(7);
    /// ```
    pub fn ring(&self, tag: u64) {
        let mut board = self.board();
        match board.hung.get(&tag).map(|bell| bell.try_send(Ring)) {
            // Full, there is a ring that was not heard yet.
            Some(Ok(()) | Err(TrySendError::Full(_))) => return,
            // About to come down: the next one hears it.
            Some(Err(TrySendError::Closed(_))) | None => {}
        }
        if board.kept.len() == KEPT {
            board.kept.clear();
            board.forgot = Some(Moment::now());
        }
        board.kept.push_back(tag);
    }

    /// Rings every bell, and those yet to hang for claims that exist by now: for a client that may have missed
    /// some, as after a reconnect.
    ///
    /// ```
    /// # use lock_core::Bells;
    /// Bells::default().ring_all();
    /// ```
    pub fn ring_all(&self) {
        let mut board = self.board();
        board.kept.clear();
        board.forgot = Some(Moment::now());
        for bell in board.hung.values() {
            let _ = bell.try_send(Ring);
        }
    }

    fn board(&self) -> MutexGuard<'_, Board> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Bells {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bells").field("hung", &self.board().hung.len()).finish_non_exhaustive()
    }
}

/// A bell on the board.
struct Hanging {
    tag: u64,
    rings: mpsc::Receiver<Ring>,
    board: Weak<Mutex<Board>>,
}

impl Stream for Hanging {
    type Item = Ring;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Ring>> {
        Poll::Ready(ready!(self.rings.poll_recv(cx)))
    }
}

impl Drop for Hanging {
    fn drop(&mut self) {
        self.rings.close();
        if let Some(board) = self.board.upgrade() {
            let mut board = board.lock().unwrap_or_else(PoisonError::into_inner);
            // Hung again by a later wait for the same claim, the bell there is not this one.
            if board.hung.get(&self.tag).is_some_and(mpsc::Sender::is_closed) {
                board.hung.remove(&self.tag);
            }
        }
    }
}
