//! One stream that renews all leases of a connection.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use etcd_client::{Error as EtcdError, LeaseClient, LeaseKeepAliveStream, LeaseKeeper};
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

use crate::link::PATIENCE;

/// A lease to renew. The answer is the ttl that it now has; zero if it is gone.
pub(crate) struct Renewal {
    pub(crate) lease: i64,
    pub(crate) answer: oneshot::Sender<Duration>,
}

/// Renews what it is asked to, until nobody is left to ask or the stream breaks. What is not answered then is dropped:
/// nobody knows.
pub(crate) async fn run(mut client: LeaseClient, mut asked: mpsc::UnboundedReceiver<Renewal>) {
    let Some((keeper, answers)) = open(&mut client, &mut asked).await else { return };
    let mut stream = Stream { keeper, answers, sending: VecDeque::new(), waiting: HashMap::new() };
    // The only error is that of a broken stream.
    let _ = stream.serve(&mut asked).await;
}

/// etcd-client opens the stream with a lease to renew, and not if that lease is gone.
async fn open(
    client: &mut LeaseClient,
    asked: &mut mpsc::UnboundedReceiver<Renewal>,
) -> Option<(LeaseKeeper, LeaseKeepAliveStream)> {
    loop {
        let Renewal { lease, answer } = asked.recv().await?;
        match timeout(PATIENCE, client.keep_alive(lease)).await.ok()? {
            Ok(stream) => {
                // The first answer was taken to open it; the next one is this one's.
                let (mut keeper, mut answers) = stream;
                keeper.keep_alive().await.ok()?;
                let renewed = timeout(PATIENCE, answers.message()).await.ok()?.ok()??;
                let _ = answer.send(seconds(renewed.ttl()));
                return Some((keeper, answers));
            }
            Err(EtcdError::LeaseKeepAliveError(_)) => {
                let _ = answer.send(Duration::ZERO);
            }
            Err(_) => return None,
        }
    }
}

struct Stream {
    keeper: LeaseKeeper,
    answers: LeaseKeepAliveStream,
    sending: VecDeque<i64>,
    /// Each request has an answer of its own, in the order in which a lease's were sent.
    waiting: HashMap<i64, VecDeque<oneshot::Sender<Duration>>>,
}

impl Stream {
    async fn serve(&mut self, asked: &mut mpsc::UnboundedReceiver<Renewal>) -> Result<(), EtcdError> {
        loop {
            if let Some(lease) = self.sending.front() {
                // The keeper's own lease is no more than what it sends.
                self.keeper.id = *lease;
            }
            tokio::select! {
                sent = self.keeper.keep_alive(), if !self.sending.is_empty() => {
                    sent?;
                    self.sending.pop_front();
                }
                answer = self.answers.message() => {
                    let Some(answer) = answer? else { return Ok(()) };
                    if let Entry::Occupied(mut waiting) = self.waiting.entry(answer.id()) {
                        if let Some(first) = waiting.get_mut().pop_front() {
                            let _ = first.send(seconds(answer.ttl()));
                        }
                        if waiting.get().is_empty() {
                            waiting.remove();
                        }
                    }
                }
                renewal = asked.recv() => {
                    let Some(Renewal { lease, answer }) = renewal else { return Ok(()) };
                    self.waiting.entry(lease).or_default().push_back(answer);
                    self.sending.push_back(lease);
                }
            }
        }
    }
}

fn seconds(ttl: i64) -> Duration {
    Duration::from_secs(u64::try_from(ttl).unwrap_or(0))
}
