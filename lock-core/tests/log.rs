//! What is logged, and that no owner ever is. One process, whose log is heard from the first line.
#![allow(clippy::disallowed_methods, reason = "a test waits as it likes")]

use std::fmt::Debug;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Arc, Mutex, Once};
use std::time::Duration;

use async_trait::async_trait;
use lock_core::{
    Attempt, Backend, Claim, Error, ErrorKind, Locker, Memory, Ownership, Profile, Result, Wakeups,
};
use tracing_subscriber::fmt::format::FmtSpan;

static LOG: Mutex<Vec<u8>> = Mutex::new(Vec::new());

struct Write;

impl io::Write for Write {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        LOG.lock().expect("no writer panics").write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Logs all there is to log from now on.
fn listen() {
    static LISTEN: Once = Once::new();
    LISTEN.call_once(|| {
        tracing_subscriber::fmt()
            .with_max_level(tracing::Level::TRACE)
            .with_span_events(FmtSpan::FULL)
            .with_ansi(false)
            .with_writer(|| Write)
            .init();
    });
}

fn log() -> String {
    String::from_utf8(LOG.lock().expect("no writer panics").clone()).expect("logs are text")
}

/// A store that can be told to fail, and that remembers what it was asked for.
#[derive(Clone, Debug, Default)]
struct Moody {
    store: Memory,
    mood: Arc<Mood>,
}

#[derive(Debug, Default)]
struct Mood {
    acquire: AtomicBool,
    renew: AtomicBool,
    release: AtomicBool,
    asked: Mutex<Vec<Claim>>,
}

impl Moody {
    fn fails(&self, method: &AtomicBool) -> Result<()> {
        match method.load(SeqCst) {
            true => Err(Error::new(ErrorKind::Backend, "in a bad mood")),
            false => Ok(()),
        }
    }
}

#[async_trait]
impl Backend for Moody {
    fn profile(&self) -> Profile {
        Profile::new("moody")
    }

    async fn acquire(&self, claim: &Claim) -> Result<Attempt> {
        self.mood.asked.lock().expect("no holder panics").push(claim.clone());
        self.fails(&self.mood.acquire)?;
        self.store.acquire(claim).await
    }

    async fn renew(&self, claims: &[Arc<Claim>]) -> Vec<Result<Ownership>> {
        match self.fails(&self.mood.renew) {
            Err(error) => claims.iter().map(|_| Err(error.clone())).collect(),
            Ok(()) => self.store.renew(claims).await,
        }
    }

    async fn release(&self, claim: &Claim, keep: Duration) -> Result<Ownership> {
        self.fails(&self.mood.release)?;
        self.store.release(claim, keep).await
    }

    async fn wakeups(&self, claim: &Claim) -> Result<Wakeups> {
        self.store.wakeups(claim).await
    }

    async fn fork(&self) -> Result<Arc<dyn Backend>> {
        Ok(Arc::new(self.clone()))
    }
}

#[tokio::test]
async fn no_owner_is_ever_printed() -> Result<()> {
    listen();
    let store = Moody::default();
    let locks = Locker::new(store.clone()).with_ttl(Duration::from_secs(1));
    let mut printed = String::new();
    let mut print = |thing: &dyn Debug| printed.push_str(&format!("{thing:?} {thing:#?}\n"));

    let lock = locks.lock(["a", "b"]).label("worker 3").hold_at_least(Duration::from_millis(5));
    print(&locks);
    print(&lock);
    store.mood.renew.store(true, SeqCst);
    let guard = lock.acquire().await?;
    print(&guard);
    let timed_out = locks.lock("a").timeout(Duration::from_millis(5)).acquire().await;
    print(&timed_out.expect_err("a is held"));
    guard.lost().await;
    print(&guard.release().await.expect_err("it was lost"));
    store.mood.release.store(true, SeqCst);
    print(&locks.lock("c").run(async |_| Ok::<_, Error>(())).await);
    locks.close().await;
    store.mood.acquire.store(true, SeqCst);
    print(&locks.lock("a").try_acquire().await.expect_err("the mood is bad"));
    locks.close().await;

    let asked = store.mood.asked.lock().expect("no holder panics").clone();
    asked.iter().for_each(|claim| print(claim));
    print(&store.store);
    let log = log();
    for expected in ["lock_wait", "lock_hold", "worker 3", "lock lost", "renewal failed", "release failed"] {
        assert!(log.contains(expected), "the log has no {expected:?}: {log}");
    }
    assert!(asked.len() >= 4);
    for owner in asked.iter().map(Claim::owner) {
        let hex = owner.to_hex();
        let number = u128::from_be_bytes(owner.to_bytes()).to_string();
        let bytes = format!("{:?}", owner.to_bytes());
        for secret in [&hex, &hex.to_uppercase(), &number, &bytes, &format!("{:#?}", owner.to_bytes())] {
            assert!(!printed.contains(secret), "{printed}");
            assert!(!log.contains(secret), "{log}");
        }
    }
    Ok(())
}

#[tokio::test]
async fn the_wait_is_over_when_the_hold_begins() -> Result<()> {
    listen();
    let closed = |span: &str| {
        let log = log();
        let mut lines = log.lines().filter(|line| line.contains(span) && line.contains("close-span"));
        lines.any(|line| line.contains(": close "))
    };
    let locks = Locker::new(Memory::new());
    let guard = locks.lock("close-span").acquire().await?;
    assert!(closed("lock_wait{"), "{}", log());
    assert!(!closed("lock_hold{"), "{}", log());
    guard.release().await?;
    assert!(closed("lock_hold{"), "{}", log());
    Ok(())
}
