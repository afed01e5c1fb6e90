//! What the tests say often.

use std::time::Duration;

use conformance_tests::{Server, Software};
use lock_core::{Claim, Locker, Mode};
use lock_redis::Redis;
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, FromRedisValue, cmd};

/// How long anything may take that has to come.
pub(crate) const LIMIT: Duration = Duration::from_secs(60);

/// A ttl that no test outlasts.
pub(crate) const LONG: Duration = Duration::from_secs(600);

/// Waits for something that has to come.
pub(crate) async fn within<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(LIMIT, future).await.expect("it takes no minute")
}

/// A server of the test's own.
pub(crate) fn server() -> Server {
    Server::with(Software::Redis, &[])
}

pub(crate) async fn store(server: &Server) -> Redis {
    Redis::connect(server.url()).await.expect("the server is there")
}

pub(crate) async fn locker(server: &Server) -> Locker {
    Locker::new(store(server).await).with_ttl(LONG)
}

/// A claim that waits.
pub(crate) fn claim(key: &str, ttl: Duration) -> Claim {
    Claim::new(key, Mode::Exclusive, ttl).expect("a valid claim").queued()
}

/// A connection beside the library's.
pub(crate) async fn raw(url: &str) -> MultiplexedConnection {
    let config =
        AsyncConnectionConfig::new().set_connection_timeout(Some(LIMIT)).set_response_timeout(Some(LIMIT));
    let client = Client::open(url).expect("an address");
    client.get_multiplexed_async_connection_with_config(&config).await.expect("the server is there")
}

/// Has the server do something, by the words of a command.
pub(crate) async fn ask<T: FromRedisValue>(server: &Server, command: &str) -> T {
    let mut words = command.split(' ');
    let mut command = cmd(words.next().expect("a command has a word"));
    words.for_each(|word| {
        command.arg(word);
    });
    command.query_async(&mut raw(server.url()).await).await.expect("the server does it")
}

/// A number that `INFO` tells, as `name:number` or within `cmdstat_name:calls=number`.
pub(crate) async fn info(server: &Server, section: &str, name: &str) -> u64 {
    let info: String = ask(server, &format!("INFO {section}")).await;
    let line = info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    let number = line.map_or("0", |line| line.trim_start_matches("calls=").split(',').next().unwrap_or(line));
    number.trim().parse().expect("a number")
}

/// The names of the claims in a key's queue, as it is written for one and for many.
pub(crate) async fn queue(server: &Server, key: &str) -> Vec<String> {
    const READ: &str =
        "if redis.call('TYPE', KEYS[1]).ok ~= 'string' then return redis.call('ZRANGE', KEYS[1], 0, -1) end
        return { string.match(redis.call('GET', KEYS[1]), '^%S+') }";
    let mut read = cmd("EVAL_RO");
    read.arg(READ).arg(1).arg(format!("lock:q:{key}"));
    read.query_async(&mut raw(server.url()).await).await.expect("the server tells")
}

/// Waits until that many claims are in a key's queue.
pub(crate) async fn queued(server: &Server, key: &str, count: usize) {
    within(async {
        while queue(server, key).await.len() != count {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
}

/// Two servers, one of which can be made a replica of the other without delay.
pub(crate) fn two_servers() -> [Server; 2] {
    [(); 2].map(|()| Server::with(Software::Redis, &["--repl-diskless-sync-delay", "0"]))
}

/// Makes a server the replica of the one at an address.
pub(crate) async fn follow(replica: &Server, url: &str) {
    let master = url.trim_start_matches("redis://").replace(':', " ");
    ask::<()>(replica, &format!("REPLICAOF {master}")).await;
}

/// Waits until a replica has all that a server has done.
pub(crate) async fn caught_up(master: &Server) {
    let mut raw = raw(master.url()).await;
    cmd("PING").query_async::<()>(&mut raw).await.expect("the server answers");
    let wait = cmd("WAIT").arg(1).arg(LIMIT.as_millis() as u64).query_async::<u64>(&mut raw).await;
    assert_eq!(wait.expect("the server answers"), 1, "a replica comes");
}
