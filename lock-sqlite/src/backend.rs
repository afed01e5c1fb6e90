//! The trait, by way of the writer thread.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use lock_core::{Attempt, Backend, Claim, Error, ErrorKind, Ownership, Profile, Result, Wakeups};

use crate::Sqlite;
use crate::error::NAME;
use crate::writer::{Answer, Call};

impl Sqlite {
    async fn call(&self, call: Call) -> Result<Answer> {
        if std::process::id() != self.client.process {
            let message =
                "opened before a fork(): a database connection does not survive one; open the file anew";
            return Err(Error::new(ErrorKind::Backend, message));
        }
        match self.lone {
            true => self.client.desk.call(call).await,
            false => self.client.desk.leave(call).await,
        }
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl Backend for Sqlite {
    fn profile(&self) -> Profile {
        Profile::new(NAME)
    }

    async fn acquire(&self, claim: &Claim) -> Result<Attempt> {
        match self.call(Call::Acquire(claim.clone())).await? {
            Answer::Attempt(attempt) => Ok(attempt),
            _ => unreachable!("an acquire is answered with an attempt"),
        }
    }

    async fn renew(&self, claims: &[Arc<Claim>]) -> Vec<Result<Ownership>> {
        match self.call(Call::Renew(claims.to_vec())).await {
            Ok(Answer::Ownerships(answers)) => answers.into_iter().map(Ok).collect(),
            Ok(_) => unreachable!("a renewal is answered with ownerships"),
            Err(error) => vec![Err(error); claims.len()],
        }
    }

    async fn release(&self, claim: &Claim, keep: Duration) -> Result<Ownership> {
        match self.call(Call::Release(claim.clone(), keep)).await? {
            Answer::Ownership(ownership) => Ok(ownership),
            _ => unreachable!("a release is answered with an ownership"),
        }
    }

    async fn wakeups(&self, claim: &Claim) -> Result<Wakeups> {
        Ok(self.client.bells.hang(claim))
    }

    /// The writer thread drives the I/O, no runtime does; and nothing is done on the fork's.
    async fn fork(&self) -> Result<Arc<dyn Backend>> {
        Ok(Arc::new(Self { client: self.client.clone(), lone: false }))
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::sync::Arc;
    use std::task::{Context, Waker};
    use std::time::Duration;

    use lock_core::{Backend, Claim, Error, ErrorKind, Mode};
    use rstest::rstest;

    use crate::Sqlite;

    /// An executor may do it itself, the keeper's one thread must not.
    #[rstest]
    #[case::of_a_handle(false)]
    #[case::of_its_fork(true)]
    #[tokio::test]
    async fn a_lone_call_is_done_at_first_poll_unless_of_a_fork(#[case] forked: bool) {
        let directory = tempfile::tempdir().expect("a directory");
        let store = Sqlite::open(directory.path().join("locks.db")).await.expect("it opens");
        let claim = Claim::new("a", Mode::Exclusive, Duration::from_secs(600)).expect("valid");
        store.renew(&[Arc::new(claim.clone())]).await;
        let store = if forked { store.fork().await.expect("a fork") } else { Arc::new(store) };
        let mut acquire = pin!(store.acquire(&claim));
        let polled = acquire.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        assert_eq!(polled.is_pending(), forked);
        if forked {
            acquire.await.expect("an attempt");
        }
    }

    #[tokio::test]
    async fn what_was_opened_before_a_fork_is_refused_after_it() {
        let directory = tempfile::tempdir().expect("a directory");
        let store = Sqlite::open(directory.path().join("locks.db")).await.expect("it opens");
        let mut client = Arc::into_inner(store.client).expect("the only handle");
        client.process += 1;
        let store = Sqlite { client: Arc::new(client), lone: true };

        let claim = Claim::new("a", Mode::Exclusive, Duration::from_secs(30)).expect("valid");
        let refused = |error: Error| {
            assert_eq!(error.kind(), ErrorKind::Backend);
            assert!(error.to_string().contains("fork") && error.to_string().contains("open the file anew"));
        };
        refused(store.acquire(&claim).await.expect_err("another process"));
        refused(store.release(&claim, Duration::ZERO).await.expect_err("another process"));
        let renewed = store.renew(&[Arc::new(claim.clone()), Arc::new(claim)]).await;
        assert_eq!(renewed.len(), 2);
        renewed.into_iter().for_each(|answer| refused(answer.expect_err("another process")));
    }
}
