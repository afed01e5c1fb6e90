//! A worker that was stopped for longer than its ttl: it writes nothing any more.

use rstest::rstest;
use rustix::process::Signal;

use crate::scene::{Scene, ends_well};
use crate::support::Store;

/// It is stopped between its look and its write, or with its write begun, and another calculates meanwhile. It blocks its
/// thread: it does not see that its lock is lost before it has sent its write off.
#[rstest]
#[case::sqlite(Store::Sqlite, "calculation")]
#[case::redis(Store::Redis, "calculation")]
#[case::postgres(Store::Postgres, "calculation")]
#[case::postgres_before_its_commit(Store::Postgres, "write")]
#[case::apart(Store::Apart, "calculation")]
#[case::apart_before_its_commit(Store::Apart, "write")]
#[cfg_attr(feature = "etcd", case::etcd(Store::Etcd, "calculation"))]
fn a_late_write_is_refused(#[case] store: Store, #[case] point: &str) {
    let scene = Scene::one_day(store);
    scene.make();
    let mut stopped = scene.worker("stopped", &format!("--ttl 1s --fault stall@{point}"));
    let mut other = scene.worker("other", "--ttl 10m");
    stopped.go();
    stopped.hears("something goes wrong");
    stopped.signal(Signal::STOP);
    other.go();
    other.hears("committed");
    ends_well(other);
    scene.answer();
    stopped.signal(Signal::CONT);
    let said = ends_well(stopped);
    assert!(said.contains("already calculated"), "it looked again:\n{said}");
    // A transaction with rows locked was ended by the server: there was nothing left to refuse.
    let refused = i64::from(!store.has_schema());
    assert_eq!(said.contains("too late: the lock was lost"), refused == 1, "{said}");
    assert_eq!(scene.number("SELECT count(*) FROM refusals"), refused);
    assert_eq!(scene.findings().offences, []);
    let by_other = "SELECT count(*) FROM calculations WHERE worker = 'other'";
    assert_eq!(scene.number(by_other), scene.number("SELECT count(*) FROM calculations"));
}
