//! What `confirm` and `fence` are worth inside a transaction of the caller's own, and what they say when they cannot help.

#![allow(clippy::disallowed_methods, reason = "a test waits for what must not happen, too")]

use std::path::{Path, PathBuf};
use std::time::Duration;

use lock_core::{Error, ErrorKind, Guard, Locker, Memory, Result, Token};
use lock_sqlite::{Sqlite, confirm, fence};
use rstest::rstest;
use rusqlite::{Connection, TransactionBehavior, TransactionState};
use tempfile::TempDir;
use tokio::sync::oneshot;
use tokio::time::timeout;

/// For what must happen.
const LIMIT: Duration = Duration::from_secs(60);

struct Scene {
    directory: TempDir,
}

impl Scene {
    fn new() -> Self {
        Self { directory: tempfile::tempdir().expect("a directory") }
    }

    fn path(&self) -> PathBuf {
        self.directory.path().join("locks.db")
    }

    async fn locks(&self) -> Locker {
        Locker::new(Sqlite::open(self.path()).await.expect("it opens"))
    }

    /// A connection to the lock file itself.
    fn inside(&self) -> Connection {
        Connection::open(self.path()).expect("it opens")
    }

    /// A connection to a file of its own, with a table of trades in it.
    fn trades(&self) -> Connection {
        let db = Connection::open(self.directory.path().join("trades.db")).expect("it opens");
        db.busy_timeout(LIMIT).expect("a timeout");
        db.pragma_update(None, "journal_mode", "wal").expect("a log");
        db.execute_batch("CREATE TABLE IF NOT EXISTS trades (who TEXT)").expect("a table");
        db
    }

    /// The same, with the lock file attached.
    fn beside(&self) -> Connection {
        let db = self.trades();
        db.execute("ATTACH ?1 AS \"the locks\"", [text(&self.path())]).expect("attached");
        db
    }
}

fn text(path: &Path) -> &str {
    path.to_str().expect("UTF-8")
}

fn begin(db: &mut Connection) -> rusqlite::Transaction<'_> {
    db.transaction_with_behavior(TransactionBehavior::Immediate).expect("a transaction")
}

fn trades(db: &Connection) -> i64 {
    db.query_row("SELECT count(*) FROM main.trades", [], |row| row.get(0)).expect("a count")
}

fn trade(db: &Connection, who: &str) {
    db.execute("INSERT INTO main.trades VALUES (?1)", [who]).expect("a trade");
}

/// Held for a moment and never renewed.
async fn brief(locks: &Locker) -> Guard {
    locks.lock("bot/4").ttl(Duration::from_millis(300)).renewal(false).acquire().await.expect("a grant")
}

fn kind<T: std::fmt::Debug>(result: Result<T>) -> ErrorKind {
    result.expect_err("it is refused").kind()
}

/// Whoever holds the lock trades if nobody has. The lease of the first lapses after its last check, and before its commit.
#[rstest]
#[case::confirmed(true, 1)]
#[case::not_confirmed(false, 2)]
#[tokio::test(flavor = "multi_thread")]
async fn a_lease_that_lapses_before_the_commit_lets_nobody_in_if_it_was_confirmed(
    #[case] confirmed: bool,
    #[case] trades_in_the_end: i64,
) {
    let scene = Scene::new();
    let (locks, their_locks) = (scene.locks().await, scene.locks().await);
    let mut theirs = scene.trades();
    let mut db = if confirmed { scene.beside() } else { scene.trades() };
    let guard = brief(&locks).await;
    let tx = db.transaction().expect("a transaction");
    assert_eq!(trades(&tx), 0);
    trade(&tx, "the first");
    assert!(guard.is_held());
    if confirmed {
        confirm(&tx, &guard).expect("it is held");
    }
    guard.lost().await;

    let (looked, has_looked) = oneshot::channel();
    let successor = async move {
        let guard = their_locks.lock("bot/4").acquire().await.expect("a grant");
        tokio::task::block_in_place(|| {
            let traded = trades(&theirs);
            let _ = looked.send(());
            if traded == 0 {
                let tx = begin(&mut theirs);
                trade(&tx, "the successor");
                tx.commit().expect("it is written");
            }
        });
        guard.release().await.expect("held to the end");
    };
    let successor = tokio::spawn(successor);
    // What must not happen is given half a second to.
    let patience = if confirmed { Duration::from_millis(500) } else { LIMIT };
    let looked = timeout(patience, has_looked).await;
    assert_eq!(looked.is_err(), confirmed, "the successor was let in");
    tx.commit().expect("it is written");
    successor.await.expect("it ends");
    assert_eq!(trades(&db), trades_in_the_end);
}

/// As above, but the successor has come and gone before the first gets to its transaction.
#[rstest]
#[case::confirmed(true, 1)]
#[case::not_confirmed(false, 2)]
#[tokio::test]
async fn who_comes_too_late_to_commit_is_told(#[case] confirmed: bool, #[case] trades_in_the_end: i64) {
    let scene = Scene::new();
    let locks = scene.locks().await;
    let guard = brief(&locks).await;
    let mut db = scene.beside();
    assert_eq!((trades(&db), guard.is_held()), (0, true));

    let successor = scene.locks().await.lock("bot/4").acquire().await.expect("once it has lapsed");
    trade(&scene.trades(), "the successor");
    successor.release().await.expect("held to the end");

    let tx = begin(&mut db);
    trade(&tx, "the first");
    let held = if confirmed { confirm(&tx, &guard) } else { Ok(()) };
    assert_eq!(held.is_err(), confirmed);
    match held {
        Ok(()) => tx.commit().expect("it is written"),
        Err(error) => {
            assert_eq!(error.kind(), ErrorKind::Lost);
            tx.rollback().expect("rolled back");
        }
    }
    assert_eq!(trades(&db), trades_in_the_end);
}

#[rstest]
#[case::begun_as_a_writer(TransactionBehavior::Immediate)]
#[case::not_yet_a_writer(TransactionBehavior::Deferred)]
#[tokio::test]
async fn a_confirmed_transaction_is_the_writer_of_the_lock_file(#[case] behavior: TransactionBehavior) {
    let scene = Scene::new();
    let guard = scene.locks().await.lock(["a", "b"]).acquire().await.expect("a grant");
    for (mut db, name) in [(scene.inside(), "main"), (scene.beside(), "the locks")] {
        let tx = db.transaction_with_behavior(behavior).expect("a transaction");
        confirm(&tx, &guard).expect("it is held");
        assert_eq!(tx.transaction_state(Some(name)).expect("a state"), TransactionState::Write);
        let other = scene.inside();
        other.busy_timeout(Duration::ZERO).expect("no patience");
        let busy = other.execute_batch("BEGIN IMMEDIATE").expect_err("one writer");
        assert_eq!(busy.sqlite_error_code(), Some(rusqlite::ErrorCode::DatabaseBusy));
        confirm(&tx, &guard).expect("as often as one likes");
        tx.commit().expect("nothing was written");
    }
    guard.release().await.expect("held to the end");
}

#[tokio::test]
async fn a_transaction_that_has_read_what_is_no_longer_so_is_to_begin_again() {
    let scene = Scene::new();
    let locks = scene.locks().await;
    let guard = locks.lock("a").acquire().await.expect("a grant");
    let mut db = scene.inside();
    let tx = db.transaction().expect("a transaction");
    tx.query_row("SELECT count(*) FROM lock_claims", [], |_| Ok(())).expect("a look");
    let other = locks.lock("b").acquire().await.expect("a grant");
    let error = confirm(&tx, &guard).expect_err("somebody has written");
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(error.to_string().contains("BEGIN IMMEDIATE"), "{error}");
    let error = fence(&tx, "a", guard.token()).expect_err("for the same reason");
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    tx.rollback().expect("rolled back");
    confirm(&db.transaction().expect("another"), &guard).expect("it is held");
    other.release().await.expect("held");
}

#[tokio::test]
async fn while_somebody_writes_a_confirmation_is_unavailable() {
    let scene = Scene::new();
    let guard = scene.locks().await.lock("a").acquire().await.expect("a grant");
    let (mut writer, mut db) = (scene.inside(), scene.inside());
    let _writing = begin(&mut writer);
    db.busy_timeout(Duration::ZERO).expect("no patience");
    let tx = db.transaction().expect("a transaction");
    assert_eq!(kind(confirm(&tx, &guard)), ErrorKind::Unavailable);
}

/// The guard has not noticed yet: it is renewed every ten minutes.
#[rstest]
#[case::removed("DELETE FROM lock_claims", ErrorKind::Lost)]
#[case::lapsed("UPDATE lock_claims SET expires = 1", ErrorKind::Lost)]
#[case::of_another_boot("UPDATE lock_meta SET boot = 'another'", ErrorKind::Lost)]
#[case::of_a_newer_version("UPDATE lock_meta SET version = 9", ErrorKind::Unsupported)]
#[tokio::test]
async fn what_is_not_in_the_file_is_not_held(#[case] change: &str, #[case] refused: ErrorKind) {
    let scene = Scene::new();
    let locks = scene.locks().await.with_ttl(Duration::from_secs(1800));
    let guard = locks.lock("a").acquire().await.expect("a grant");
    let mut db = scene.inside();
    db.execute_batch(change).expect("changed");
    assert!(guard.is_held());
    assert_eq!(kind(confirm(&begin(&mut db), &guard)), refused);
}

#[tokio::test]
async fn of_several_lock_files_the_guards_own_counts() {
    let [ours, other] = [Scene::new(), Scene::new()];
    let (locks, _other) = (ours.locks().await, other.locks().await);
    let guard = locks.lock("a").acquire().await.expect("a grant");
    let mut db = other.inside();
    let error = confirm(&begin(&mut db), &guard).expect_err("in another file");
    assert_eq!(error.kind(), ErrorKind::Lost);
    assert_eq!(
        error.to_string(),
        r#"confirm "a" on sqlite: the lock is not held any more, or in another file"#
    );
    db.execute("ATTACH ?1 AS ours", [text(&ours.path())]).expect("attached");
    confirm(&begin(&mut db), &guard).expect("it is held");
}

#[tokio::test]
async fn a_lock_file_may_become_one_after_it_was_opened() {
    let scene = Scene::new();
    let mut db = scene.inside();
    db.execute_batch("CREATE TABLE mine (a)").expect("a table");
    let guard = scene.locks().await.lock("a").acquire().await.expect("a grant");
    confirm(&begin(&mut db), &guard).expect("it is held");
}

#[tokio::test]
async fn what_cannot_be_confirmed_is_said() {
    let scene = Scene::new();
    let guard = scene.locks().await.lock("a").acquire().await.expect("a grant");
    let mut alone = Connection::open_in_memory().expect("it opens");
    let error = confirm(&begin(&mut alone), &guard).expect_err("no lock file");
    assert_eq!(error.kind(), ErrorKind::Invalid);
    assert!(error.to_string().contains("open the lock file with it, or attach it"), "{error}");

    let elsewhere = Locker::new(Memory::new()).lock("a").acquire().await.expect("a grant");
    let error = confirm(&begin(&mut scene.inside()), &elsewhere).expect_err("another store");
    assert_eq!(error.kind(), ErrorKind::Invalid);
    assert!(error.to_string().contains("of memory") && error.to_string().contains("fence"), "{error}");
}

fn raise(db: &mut Connection, resource: &str, token: u64) -> Result<(), Error> {
    let tx = begin(db);
    fence(&tx, resource, Token::new(token))?;
    tx.commit().expect("it is remembered");
    Ok(())
}

#[test]
fn a_fence_refuses_a_token_lower_than_one_it_has_seen() {
    let scene = Scene::new();
    let (mut db, mut other) = (scene.inside(), scene.inside());
    other.query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(())).expect("no table yet");
    raise(&mut db, "bot/4", 8).expect("the first");
    raise(&mut other, "bot/4", 8).expect("the same holder again");
    raise(&mut other, "bot/4", 9).expect("a later one");
    let error = raise(&mut db, "bot/4", 8).expect_err("too late");
    assert_eq!(error.kind(), ErrorKind::Lost);
    assert_eq!(error.to_string(), r#"fence "bot/4" on sqlite: token 8 comes too late: 9 has been seen"#);
    raise(&mut db, "bot/5", 1).expect("another resource");
    raise(&mut db, "BOT/4", 1).expect("yet another");
    raise(&mut db, "bot/4", 9).expect("nothing has changed");
}

#[test]
fn what_was_rolled_back_was_never_seen() {
    let scene = Scene::new();
    let mut db = scene.inside();
    let tx = begin(&mut db);
    fence(&tx, "a", Token::new(8)).expect("the first");
    tx.rollback().expect("rolled back");
    assert!(!db.table_exists(Some("main"), "lock_fences").expect("an answer"), "not even the table");
    raise(&mut db, "a", 7).expect("the first");
    let tx = begin(&mut db);
    fence(&tx, "a", Token::new(9)).expect("a later one");
    tx.rollback().expect("rolled back");
    raise(&mut db, "a", 8).expect("nine was not seen");
}

#[test]
fn a_fence_is_a_write_so_that_those_who_pass_it_follow_each_other() {
    let scene = Scene::new();
    let mut db = scene.inside();
    raise(&mut db, "a", 8).expect("the first");
    let tx = db.transaction().expect("a transaction");
    fence(&tx, "a", Token::new(8)).expect("the same holder again");
    assert_eq!(tx.transaction_state(Some("main")).expect("a state"), TransactionState::Write);
}

#[test]
fn many_who_come_first_at_once_all_pass_in_the_end() {
    let scene = Scene::new();
    let all = std::sync::Barrier::new(8);
    std::thread::scope(|scope| {
        for number in 0..8 {
            let (mut db, all) = (scene.inside(), &all);
            db.busy_timeout(LIMIT).expect("a timeout");
            scope.spawn(move || {
                let tx = db.transaction().expect("not a writer yet");
                all.wait();
                fence(&tx, format!("a/{number}"), Token::new(1)).expect("the first");
                tx.commit().expect("it is remembered");
            });
        }
    });
    let count = "SELECT count(*) FROM lock_fences";
    assert_eq!(scene.inside().query_row(count, [], |row| row.get::<_, i64>(0)).expect("a count"), 8);
}

#[rstest]
#[case::no_name("", 1, "the key is empty")]
#[case::two_lines("a\nb", 1, "control character")]
#[case::no_token("a", Token::LIMIT, "tokens are below 2^53")]
#[case::no_number("a", u64::MAX, "tokens are below 2^53")]
fn what_makes_no_sense_is_refused(#[case] resource: &str, #[case] token: u64, #[case] why: &str) {
    let mut db = Connection::open_in_memory().expect("it opens");
    let error = raise(&mut db, resource, token).expect_err("it makes no sense");
    assert_eq!(error.kind(), ErrorKind::Invalid);
    assert!(error.to_string().contains(why), "{error}");
}

#[test]
fn a_name_is_a_name_whatever_is_in_it() {
    let mut db = Connection::open_in_memory().expect("it opens");
    let name = r#"a'; DROP TABLE lock_fences; --"{é}"#;
    raise(&mut db, name, 8).expect("the first");
    assert_eq!(kind(raise(&mut db, name, 7)), ErrorKind::Lost);
}
