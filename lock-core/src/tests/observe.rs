//! What is counted. (What is logged is in `tests/log.rs`: a log is kept by the process.)

use metrics_util::debugging::{DebugValue, DebuggingRecorder, Snapshotter};
use tokio::time::sleep;

use super::*;

/// Runs on a paused clock with everything counted; the runtime is of one thread, as the recorder is.
fn counted(work: impl AsyncFnOnce()) -> Snapshotter {
    let recorder = DebuggingRecorder::new();
    let snapshotter = recorder.snapshotter();
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    metrics::with_local_recorder(&recorder, || runtime.block_on(work()));
    snapshotter
}

/// Every metric as `name{label=value} count`, or for a histogram how many values it has and their sum in whole
/// seconds.
fn lines(snapshotter: &Snapshotter) -> Vec<String> {
    let line = |(key, _, _, value): (metrics_util::CompositeKey, _, _, DebugValue)| {
        let key = key.key().clone();
        let labels: Vec<_> = key.labels().map(|label| format!("{}={}", label.key(), label.value())).collect();
        let value = match value {
            DebugValue::Counter(count) => count.to_string(),
            DebugValue::Gauge(value) => value.to_string(),
            DebugValue::Histogram(values) => {
                format!("{} of {:.0} s", values.len(), values.iter().map(|value| value.0).sum::<f64>())
            }
        };
        format!("{}{{{}}} {value}", key.name(), labels.join(","))
    };
    let mut lines: Vec<_> = snapshotter.snapshot().into_vec().into_iter().map(line).collect();
    lines.sort();
    lines
}

#[test]
fn every_outcome_is_counted_by_backend() {
    let snapshotter = counted(async || {
        let (store, locks) = gated();
        let guard = locks.lock("a").acquire().await.unwrap();
        assert!(locks.lock("a").try_acquire().await.unwrap().is_none());
        assert!(locks.lock("a").try_acquire().await.unwrap().is_none());
        assert!(locks.lock("a").timeout(secs(1)).acquire().await.is_err());
        assert!(locks.lock("a").timeout(Duration::ZERO).acquire().await.is_err());
        let wait = tokio::spawn(locks.lock("a").acquire());
        sleep(secs(4)).await;
        guard.release().await.unwrap();
        let lost = wait.await.unwrap().unwrap();
        store.next(Method::Renew, [Gate::Error, Gate::ReplyLost, Gate::No]);
        lost.lost().await;
        drop(lost);
        let work = async |_: &Guard| {
            sleep(secs(3)).await;
            Ok::<_, crate::Error>(())
        };
        locks.lock("a").run(work).await.unwrap();
    });
    assert_eq!(
        lines(&snapshotter),
        [
            "lock_granted_total{backend=gated} 3",
            "lock_hold_seconds{backend=gated} 3 of 20 s",
            "lock_lost_total{backend=gated} 1",
            "lock_renew_failures_total{backend=gated} 2",
            "lock_skipped_total{backend=gated} 2",
            "lock_timed_out_total{backend=gated} 2",
            "lock_wait_seconds{backend=gated} 3 of 4 s",
        ]
    );
}

#[test]
fn a_loss_is_counted_once_whoever_sees_it_first() {
    let snapshotter = counted(async || {
        let (store, locks) = gated();
        let taken_away = locks.lock("a").acquire().await.unwrap();
        store.next(Method::Release, [Gate::No]);
        assert_eq!(kind(taken_away.release().await), Some(ErrorKind::Lost));
        for ends_by_itself in [true, false] {
            let guard = locks.lock("b").ttl(secs(2)).renewal(false).acquire().await.unwrap();
            // Past the deadline before the keeper has had its turn.
            tokio::time::advance(secs(2)).await;
            match ends_by_itself {
                true => drop(guard),
                false => assert_eq!(kind(guard.release().await), Some(ErrorKind::Lost)),
            }
        }
    });
    assert!(lines(&snapshotter).contains(&"lock_lost_total{backend=gated} 3".to_owned()));
}

#[test]
fn errors_are_neither_skips_nor_timeouts() {
    let snapshotter = counted(async || {
        let (store, locks) = gated();
        store.set(Method::Acquire, Gate::Broken);
        assert!(locks.lock("a").acquire().await.is_err());
        assert!(locks.lock("a").try_acquire().await.is_err());
        assert!(locks.lock("").acquire().await.is_err());
        locks.close().await;
    });
    assert_eq!(lines(&snapshotter), Vec::<String>::new());
}
