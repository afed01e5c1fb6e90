//! What must be true of a server before it is trusted with locks.

use std::collections::HashMap;

use lock_core::{Error, ErrorKind, Result};
use redis::{Value, cmd};

use crate::error::explain;
use crate::link::Link;

/// The first Redis whose scripts can say that they may run without memory to spare.
const SMALLEST: u32 = 7;

/// Refuses a server that cannot keep locks, and warns of one that may drop them.
pub(crate) async fn check(link: &Link) -> Result<()> {
    let mut connection = link.line(false).await.map_err(explain)?.connection;
    let hello: HashMap<String, Value> = cmd("HELLO").query_async(&mut connection).await.map_err(explain)?;
    let word = |name| hello.get(name).and_then(|value| redis::from_redis_value_ref::<String>(value).ok());
    judge(&word("version").unwrap_or_default(), &word("mode").unwrap_or_default())?;

    // Not every user may ask; the README says what to look for.
    let info: redis::RedisResult<String> = cmd("INFO").arg("memory").query_async(&mut connection).await;
    let policy = info.ok().and_then(|info| eviction(&info));
    if let Some(policy) = policy.filter(|policy| policy != "noeviction") {
        tracing::warn!(%policy, "maxmemory-policy lets Redis drop locks when memory runs out; noeviction does not");
    }
    Ok(())
}

fn judge(version: &str, mode: &str) -> Result<()> {
    let major = version.split('.').next().and_then(|major| major.parse().ok()).unwrap_or(0);
    if major < SMALLEST {
        let message = format!("the server is Redis {version:?}; {SMALLEST}.0 or newer is needed");
        return Err(Error::new(ErrorKind::Unsupported, message));
    }
    if mode == "cluster" {
        let message = "the server is part of a Redis Cluster, whose slots a script cannot reach across: \
                       use one that is not, with replicas if need be";
        return Err(Error::new(ErrorKind::Unsupported, message));
    }
    Ok(())
}

/// The line `maxmemory_policy:POLICY`.
fn eviction(info: &str) -> Option<String> {
    info.lines()
        .find_map(|line| line.strip_prefix("maxmemory_policy:"))
        .map(|policy| policy.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    #[rstest]
    #[case::smallest("7.0.15", "standalone", true)]
    #[case::newer("10.2.1", "standalone", true)]
    #[case::behind_sentinel("7.2.0", "sentinel", true)]
    #[case::old("6.2.14", "standalone", false)]
    #[case::cluster("7.0.15", "cluster", false)]
    #[case::unknown("", "", false)]
    fn a_server_that_cannot_keep_locks_is_refused(
        #[case] version: &str,
        #[case] mode: &str,
        #[case] good: bool,
    ) {
        assert_eq!(super::judge(version, mode).is_ok(), good);
    }

    #[test]
    fn the_eviction_policy_is_found() {
        let info = "# Memory\r\nused_memory:1\r\nmaxmemory_policy:allkeys-lru\r\n";
        assert_eq!(super::eviction(info).as_deref(), Some("allkeys-lru"));
    }
}
