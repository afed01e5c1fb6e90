//! What was asked of the server so far, and what that took.

use std::time::Duration;

use super::process::{Server, cpu};
use super::{Bench, Values};

pub(super) struct Meter {
    requests: Option<u64>,
    client: Duration,
    server: Option<Duration>,
}

/// What was used between two readings.
pub(super) struct Used {
    requests: Option<u64>,
    client: Duration,
    server: Option<Duration>,
}

impl Meter {
    pub(super) async fn read(bench: &Bench<'_>, server: Option<&Server>) -> Self {
        let requests = bench.store.requests(bench.rival).await;
        Self { requests, client: cpu(), server: server.map(Server::cpu) }
    }

    pub(super) fn since(&self, before: &Self) -> Used {
        let between = |now: Option<u64>, then: Option<u64>| Some(now?.saturating_sub(then?));
        Used {
            requests: between(self.requests, before.requests),
            client: self.client.saturating_sub(before.client),
            server: self.server.zip(before.server).map(|(now, then)| now.saturating_sub(then)),
        }
    }
}

impl Used {
    /// For each of so many turns.
    pub(super) fn each(&self, turns: usize, values: &mut Values) {
        let each = 1.0 / turns.max(1) as f64;
        self.put(values, ["requests each", "client µs each", "server µs each"], each, each * 1e6);
    }

    /// In each of so many seconds.
    pub(super) fn a_second(&self, seconds: f64, values: &mut Values) {
        let names = ["requests/s", "client % of a core", "server % of a core"];
        self.put(values, names, 1.0 / seconds, 100.0 / seconds);
    }

    fn put(&self, values: &mut Values, names: [&str; 3], requests: f64, cpu: f64) {
        let [asked, client, server] = names.map(str::to_owned);
        if let Some(count) = self.requests {
            values.insert(asked, count as f64 * requests);
        }
        values.insert(client, self.client.as_secs_f64() * cpu);
        if let Some(time) = self.server {
            values.insert(server, time.as_secs_f64() * cpu);
        }
    }
}
