//! `c12`: a database fails in the middle of it.

use conformance_tests::{Line as _, Proxy, Server, Software};
use examples::backend::Url;
use examples::claim::ledger::Ledger;
use rstest::rstest;

use crate::scene::{DAY, ONE_DAY, ONE_POLICY, Scene, ends_well};
use crate::support::{Stage, Store, Worker};

/// A worker that has got this far when the database fails. The ttl is so long that nothing lapses within the test.
fn asked(fault: &str) -> String {
    format!("--ttl 10m --fault stall@{fault}")
}

/// Lets the worker go on, and sees to it that all ends well, whatever failed.
async fn comes_right(scene: &Scene, worker: Worker) -> String {
    scene.answer();
    let said = ends_well(worker);
    assert!(said.contains("ERROR"), "it has noticed:\n{said}");
    assert_eq!(scene.findings().offences, []);
    assert_eq!(scene.number("SELECT count(*) FROM policy_claims"), 3);
    drop(scene.lock(&scene.key("P-1", DAY).await).await); // it is not stuck
    said
}

/// The data on a server of its own, and the locks with it or in a store that all tests share.
fn on(server: &Server, store: Store) -> Scene {
    let scene = Scene::at(Stage::on(server.url(), store, Ledger::FILE), &ONE_POLICY, &ONE_DAY);
    scene.make();
    scene
}

#[rstest]
#[case::postgres(Store::Postgres)]
#[case::apart(Store::Apart)]
#[tokio::test(flavor = "multi_thread")]
async fn c12_the_database_is_killed_and_started_again(
    #[case] store: Store,
    #[values("calculation", "write")] point: &str,
) {
    let mut server = Server::with(Software::Postgres, &[]);
    let scene = on(&server, store);
    let mut worker = scene.worker("worker-1", &asked(point));
    worker.go();
    worker.hears("something goes wrong");
    server.restart();
    comes_right(&scene, worker).await;
    assert_eq!(scene.number("SELECT count(*) FROM calculations"), 1);
}

/// Where the connection to the data, and with it in one PostgreSQL that to the locks, leads through a proxy.
async fn by(proxy: &Proxy, scene: &Scene, point: &str) -> Worker {
    let here = |url: &str, there: &str| url.replace(there, proxy.url());
    let data = scene.data();
    let there = Url::from(data.clone()).server().to_owned();
    let backend = here(&scene.url(), &there);
    let mut worker =
        scene.0.worker_by(&backend, &here(&data, &there), scene.asked("worker-1", &asked(point)));
    worker.go();
    worker.hears("something goes wrong");
    worker
}

#[rstest]
#[case::postgres(Store::Postgres)]
#[case::apart(Store::Apart)]
#[tokio::test(flavor = "multi_thread")]
async fn c12_the_connection_to_the_data_is_cut(
    #[case] store: Store,
    #[values("calculation", "write")] point: &str,
) {
    let scene = Scene::one_day(store);
    scene.make();
    let proxy = Proxy::to(Url::from(scene.data()).server()).await;
    let worker = by(&proxy, &scene, point).await;
    proxy.cut();
    comes_right(&scene, worker).await;
    assert_eq!(scene.number("SELECT count(*) FROM calculations"), 1);
}

#[rstest]
#[case::postgres(Store::Postgres)]
#[case::apart(Store::Apart)]
#[tokio::test(flavor = "multi_thread")]
async fn c12_the_commit_is_done_and_nobody_hears_of_it(#[case] store: Store) {
    let scene = Scene::one_day(store);
    scene.make();
    let proxy = Proxy::to(Url::from(scene.data()).server()).await;
    let worker = by(&proxy, &scene, "write").await;
    proxy.cut_answers();
    let said = comes_right(&scene, worker).await;
    assert!(said.contains("already calculated"), "{said}");
    assert_eq!(
        scene.number("SELECT count(*) FROM calculations"),
        1,
        "it was looked at again, not done again"
    );
}

/// The locks are on a server of their own, which is gone for a moment: what was calculated is there, and is not done again.
#[rstest]
#[case::redis(Store::Redis, Software::Redis, &["--appendonly", "yes", "--appendfsync", "always"])]
#[case::redis_that_forgets(Store::Redis, Software::Redis, &[])]
#[cfg_attr(feature = "etcd", case::etcd(Store::Etcd, Software::Etcd, &[]))]
#[tokio::test(flavor = "multi_thread")]
async fn c12_the_server_of_the_locks_is_killed_and_started_again(
    #[case] store: Store,
    #[case] software: Software,
    #[case] arguments: &[&str],
    #[values("calculation", "write")] point: &str,
) {
    let mut server = Server::with(software, arguments);
    let scene = Scene::at(Stage::with_locks(server.url(), store, Ledger::FILE), &ONE_POLICY, &ONE_DAY);
    scene.make();
    let mut worker = scene.worker("worker-1", &asked(point));
    worker.go();
    worker.hears("something goes wrong");
    server.restart();
    scene.answer();
    ends_well(worker);
    assert_eq!(scene.findings().offences, []);
    assert_eq!(scene.number("SELECT count(*) FROM policy_claims"), 3);
    drop(scene.lock(&scene.key("P-1", DAY).await).await); // it is not stuck
}

#[rstest]
#[case::sqlite(Store::Sqlite)]
#[case::redis(Store::Redis)]
#[case::postgres(Store::Postgres)]
#[case::apart(Store::Apart)]
#[cfg_attr(feature = "etcd", case::etcd(Store::Etcd))]
#[tokio::test(flavor = "multi_thread")]
async fn c12_after_three_attempts_a_day_is_given_up_and_another_run_does_it(#[case] store: Store) {
    let scene = Scene::one_day(store);
    scene.make();
    scene.change("ALTER TABLE calculations RENAME TO elsewhere");
    let mut worker = scene.worker("worker-1", "--ttl 10m");
    worker.go();
    let (status, said) = worker.ends();
    assert_eq!(status.code(), Some(2), "{said}");
    assert!(said.contains("gave up 1 days after 3 attempts each"), "{said}");
    assert_eq!(said.lines().filter(|line| *line == "failed").count(), 3, "{said}");
    scene.change("ALTER TABLE elsewhere RENAME TO calculations");
    scene.assert_nothing_is_stored();
    assert!(scene.is_free(&scene.key("P-1", DAY).await).await, "it is not stuck");
    let mut next = scene.worker("worker-2", "");
    next.go();
    ends_well(next);
    scene.assert_paid_once();
}
