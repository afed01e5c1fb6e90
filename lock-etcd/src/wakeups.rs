//! The push path: one stream of watches, on which a waiting claim watches whom it waits for, and itself.
//!
//! A watch tells what happens from now on, and "now" is some moment after it was asked for. So who waits looks once more
//! when its watches are there, unless the store was not written to since its last look. Whenever one of those it waits for
//! goes, it looks again, and rings if its turn has come: of that look it leaves word, so that who is rung need not look once
//! more. Watches begin now and never at an earlier revision: etcd serves those by a loop that runs ten times a second.

use std::collections::{HashMap, VecDeque};
use std::pin::Pin;
use std::task::{Context, Poll};

use etcd_client::{
    Client, EventType, KvClient, ResponseHeader, WatchFilterType, WatchOptions, WatchRequestSender,
    WatchResponse, WatchResponseStream,
};
use futures::future::{BoxFuture, FutureExt};
use futures::stream::{FuturesUnordered, Stream, StreamExt};
use lock_core::Ring;
use tokio::sync::mpsc;
use tokio::time::timeout;

use crate::clock::Moment;
use crate::link::PATIENCE;
use crate::queue::View;
use crate::steps;
use crate::waiter::{Wait, Waiter};

/// What the task is told.
#[derive(Debug)]
pub(crate) enum Command {
    /// Somebody waits; whom it waited for at its last look, and the revision of that look.
    Wait(u64, Wait, Vec<Vec<u8>>, i64),
    Leave(u64),
}

/// The rings of one who waits.
pub(crate) struct Rings {
    pub(crate) id: u64,
    pub(crate) rings: mpsc::Receiver<Ring>,
    pub(crate) task: mpsc::WeakUnboundedSender<Command>,
}

impl Stream for Rings {
    type Item = Ring;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Ring>> {
        self.rings.poll_recv(cx)
    }
}

impl Drop for Rings {
    fn drop(&mut self) {
        if let Some(task) = self.task.upgrade() {
            // Gone, the task has no watches either.
            let _ = task.send(Command::Leave(self.id));
        }
    }
}

/// Rings those who wait, until nobody can come any more or the stream breaks. Then all streams of rings end.
pub(crate) async fn run(
    client: Client,
    kv: KvClient,
    nothing: String,
    mut told: mpsc::UnboundedReceiver<Command>,
) {
    // etcd-client opens the stream with a watch.
    let idle = WatchOptions::new().with_watch_id(IDLE).with_filters([WatchFilterType::NoPut]);
    let opened = timeout(PATIENCE, client.watch_client().watch(nothing, Some(idle))).await;
    let Ok(Ok(stream)) = opened else { return };
    let (requests, answers) = stream.split();
    let mut task = Task {
        kv,
        requests,
        answers,
        sending: VecDeque::new(),
        waiters: HashMap::new(),
        watches: HashMap::new(),
        last: IDLE,
        looks: FuturesUnordered::new(),
    };
    if let End::Refused = task.serve(&mut told).await {
        // The token may have expired that the stream was opened with; the next one has a new one.
        let _ = timeout(PATIENCE, client.refresh_token()).await;
    }
    // Before the streams of rings end: who hears that, and comes again, begins with another stream.
    told.close();
}

/// The number of the watch that opens the stream.
const IDLE: i64 = 1;

/// Why the task ends.
enum End {
    Over,
    Refused,
}

struct Task {
    kv: KvClient,
    requests: WatchRequestSender,
    answers: WatchResponseStream,
    sending: VecDeque<Request>,
    waiters: HashMap<u64, Waiter>,
    /// By number: whose it is, and what it watches.
    watches: HashMap<i64, (u64, Vec<u8>)>,
    last: i64,
    looks: FuturesUnordered<BoxFuture<'static, (u64, Option<View>)>>,
}

#[derive(Clone)]
enum Request {
    Watch { number: i64, name: Vec<u8> },
    Cancel(i64),
}

impl Task {
    async fn serve(&mut self, told: &mut mpsc::UnboundedReceiver<Command>) -> End {
        loop {
            tokio::select! {
                // Sent again from the start if it is interrupted: then nothing was sent.
                sent = send(&mut self.requests, self.sending.front().cloned()), if !self.sending.is_empty() => {
                    if sent.is_err() {
                        return End::Over;
                    }
                    self.sending.pop_front();
                }
                answer = self.answers.message() => match answer {
                    Ok(Some(answer)) if answer.created() && answer.canceled() => return End::Refused,
                    Ok(Some(answer)) => self.hear(&answer),
                    Ok(None) | Err(_) => return End::Over,
                },
                Some((id, view)) = self.looks.next(), if !self.looks.is_empty() => match view {
                    Some(view) => self.looked(id, &view),
                    None => return End::Over,
                },
                command = told.recv() => match command {
                    Some(Command::Wait(id, wait, behind, seen)) => self.begin(id, wait, &behind, seen),
                    Some(Command::Leave(id)) => self.leave(id),
                    None => return End::Over,
                },
            }
        }
    }

    fn begin(&mut self, id: u64, wait: Wait, behind: &[Vec<u8>], seen: i64) {
        self.waiters.insert(id, Waiter::new(wait, seen));
        self.aim(id, behind);
    }

    fn leave(&mut self, id: u64) {
        for (_, (number, _)) in self.waiters.remove(&id).map(|waiter| waiter.watched).unwrap_or_default() {
            self.cancel(number);
        }
    }

    fn cancel(&mut self, number: i64) {
        self.watches.remove(&number);
        self.sending.push_back(Request::Cancel(number));
    }

    /// Watches these, and itself, and nobody else.
    fn aim(&mut self, id: u64, behind: &[Vec<u8>]) {
        let Some(waiter) = self.waiters.get_mut(&id) else { return };
        let own = waiter.wait.own.clone();
        let mut missed = Vec::new();
        waiter.watched.retain(|name, (number, _)| {
            let kept = own.contains(name) || behind.contains(name);
            if !kept {
                missed.push(*number);
            }
            kept
        });
        for name in behind.iter().chain(&own) {
            if !waiter.watched.contains_key(name) {
                self.last += 1;
                waiter.watched.insert(name.clone(), (self.last, false));
                self.watches.insert(self.last, (id, name.clone()));
                self.sending.push_back(Request::Watch { number: self.last, name: name.clone() });
            }
        }
        missed.into_iter().for_each(|number| self.cancel(number));
    }

    fn hear(&mut self, answer: &WatchResponse) {
        let number = answer.watch_id();
        let Some((id, name)) = self.watches.get(&number).cloned() else { return };
        let Some(waiter) = self.waiters.get_mut(&id) else { return };
        if answer.canceled() {
            // It fell behind, and what it missed is not known.
            self.watches.remove(&number);
            waiter.watched.remove(&name);
            self.look(id);
            return;
        }
        if answer.created() {
            if let Some((_, there)) = waiter.watched.get_mut(&name) {
                *there = true;
            }
            // It tells of everything after this revision. An earlier one is that of a store which went back.
            let since = answer.header().map_or(i64::MAX, ResponseHeader::revision);
            waiter.missed |= since != waiter.seen;
            if waiter.missed && waiter.watched.values().all(|(_, there)| *there) {
                self.look(id);
            }
        }
        for event in answer.events() {
            self.happened(id, &name, event.event_type());
        }
    }

    fn happened(&mut self, id: u64, name: &[u8], event: EventType) {
        let Some(waiter) = self.waiters.get_mut(&id) else { return };
        if waiter.wait.own.iter().any(|own| own == name) {
            // It lapsed in the queue and is told at once; or it has arrived anew.
            waiter.gone();
            match event {
                EventType::Delete => waiter.ring(),
                EventType::Put => {}
            }
            return self.look(id);
        }
        if event == EventType::Put {
            // It has gone and another one has come, which is behind.
            return;
        }
        let spent = waiter.watched.remove(name);
        self.look(id);
        if let Some((number, _)) = spent {
            self.cancel(number);
        }
    }

    fn look(&mut self, id: u64) {
        let Some(waiter) = self.waiters.get_mut(&id) else { return };
        waiter.again = waiter.looking.is_some();
        if !waiter.again {
            waiter.missed = false;
            waiter.looking = Some(Moment::now());
            let (mut kv, places, number) = (self.kv.clone(), waiter.wait.places.clone(), waiter.wait.number);
            let look = async move {
                let look = steps::read(steps::look(&places, number));
                let answer = timeout(PATIENCE, kv.txn(look)).await.ok()?.ok()?;
                steps::view(steps::ranges(answer.0), &places).ok()
            };
            self.looks.push(look.map(move |view| (id, view)).boxed());
        }
    }

    fn looked(&mut self, id: u64, view: &View) {
        let Some(waiter) = self.waiters.get_mut(&id) else { return };
        let sent = waiter.looking.take();
        if std::mem::take(&mut waiter.again) {
            return self.look(id);
        }
        let Some(sent) = sent else { return };
        let behind = waiter.saw(view, sent);
        self.aim(id, &behind);
    }
}

async fn send(requests: &mut WatchRequestSender, request: Option<Request>) -> Result<(), etcd_client::Error> {
    match request {
        Some(Request::Watch { number, name }) => {
            // Of another's name that may become its own it has to hear puts as well.
            requests.watch(name, Some(WatchOptions::new().with_watch_id(number))).await
        }
        Some(Request::Cancel(number)) => requests.cancel(number).await,
        None => Ok(()),
    }
}
