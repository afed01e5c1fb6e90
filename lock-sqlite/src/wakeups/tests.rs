//! Pipes: who may use them, what survives in them, and that none is left.

#![allow(
    clippy::disallowed_methods,
    reason = "a test starts threads, and looks again until it sees their end"
)]

use std::fs;
use std::io::Write;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::Duration;

use lock_core::{Bells, Claim, Mode, Wakeups};
use rstest::rstest;
use tempfile::TempDir;

use super::{Pipe, Pipes, open_to_ring};

/// How long something may take that ought to happen.
const LONG: Duration = Duration::from_secs(30);

/// A file to put pipes beside.
struct Place {
    database: PathBuf,
    bells: PathBuf,
    _directory: TempDir,
}

impl Place {
    fn new() -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let at = |name| directory.path().join(name);
        let (database, bells) = (at("locks.db"), at("locks.db-bells"));
        fs::write(&database, "").expect("a file");
        Self { database, bells, _directory: directory }
    }

    fn client(&self, name: &str, bells: &Bells) -> Pipe {
        let pipes = Pipes::of(&self.database).expect("a directory");
        pipes.listen(&self.database, name.to_owned(), bells.clone()).expect("a pipe")
    }

    fn left(&self) -> Vec<String> {
        let entries = fs::read_dir(&self.bells).expect("the directory");
        entries.map(|entry| entry.expect("an entry").file_name().into_string().expect("text")).collect()
    }
}

fn claim() -> Claim {
    Claim::new("a", Mode::Exclusive, Duration::from_secs(600)).expect("valid").queued()
}

async fn rings(wakeups: &mut Wakeups) {
    let ring = tokio::time::timeout(LONG, wakeups.next()).await;
    assert!(ring.expect("a ring in time").is_some());
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).expect("it is there").permissions().mode() & 0o777
}

#[tokio::test]
async fn a_ring_reaches_the_claim_at_another_client() {
    let (place, bells, claim) = (Place::new(), Bells::default(), claim());
    let (here, there) = (place.client("01", &Bells::default()), place.client("02", &bells));
    here.pipes().ring(&there.name, claim.tag());
    rings(&mut bells.hang(&claim)).await;
}

#[test]
fn a_client_that_goes_takes_its_pipe_and_its_thread_along() {
    let (place, bells) = (Place::new(), Bells::default());
    let pipe = place.client("01", &bells);
    assert_eq!(place.left(), ["01"]);
    drop(pipe);
    assert!(place.left().is_empty());
}

#[rstest]
#[case::in_use(false)]
#[case::whose_name_is_gone(true)]
fn the_thread_of_a_dropped_pipe_ends(#[case] removed: bool) {
    let place = Place::new();
    let path = place.bells.join("01");
    let pipe = place.client("01", &Bells::default());
    // A second way in, to see without a ring whether anybody still reads.
    let ringer = open_to_ring(&path).expect("it listens");
    let again = format!("/proc/self/fd/{}", ringer.as_raw_fd());
    if removed {
        fs::remove_file(&path).expect("removed");
    }
    drop(pipe);
    until(|| {
        let mut open = fs::OpenOptions::new();
        let open =
            open.write(true).custom_flags(rustix::fs::OFlags::NONBLOCK.bits().cast_signed()).open(&again);
        open.is_err_and(|error| super::is_dead(&error))
    });
}

fn until(mut done: impl FnMut() -> bool) {
    let start = std::time::Instant::now();
    while !done() {
        assert!(start.elapsed() < LONG, "it does not happen");
        std::thread::sleep(Duration::from_millis(1));
    }
}

#[tokio::test]
async fn garbage_in_a_pipe_does_no_harm() {
    let (place, bells, claim) = (Place::new(), Bells::default(), claim());
    let (here, there) = (place.client("01", &Bells::default()), place.client("02", &bells));
    let mut pipe = open_to_ring(&place.bells.join("02")).expect("it listens");
    for garbage in [&[0; 8][..], &[0; 64], &[255; 8], b"hello", b"\n", &[7; 4096]] {
        pipe.write_all(garbage).expect("there is room");
    }
    let mut wakeups = bells.hang(&claim);
    here.pipes().ring(&there.name, claim.tag());
    rings(&mut wakeups).await;
    // And whatever is read of it, rings go on arriving.
    here.pipes().ring(&there.name, claim.tag());
    rings(&mut wakeups).await;
}

#[tokio::test]
async fn a_pipe_too_full_for_a_ring_rings_everybody() {
    let (place, bells, claim) = (Place::new(), Bells::default(), claim());
    let mut wakeups = bells.hang(&claim);
    // Filled before anybody reads.
    let pipes = Pipes::of(&place.database).expect("a directory");
    let path = place.bells.join("01");
    dead_pipe(&path);
    let reader = fs::OpenOptions::new().read(true).write(true).open(&path).expect("its end");
    let mut ringer = open_to_ring(&path).expect("another end");
    while ringer.write(&5_u64.to_be_bytes()).is_ok() {}
    pipes.ring("01", claim.tag());
    std::thread::spawn(move || super::listen(reader, &bells, &false.into()));
    rings(&mut wakeups).await;
}

#[test]
fn pipes_of_dead_clients_are_swept_by_the_next_and_by_whoever_rings() {
    let place = Place::new();
    let alive = place.client("0a", &Bells::default());
    let dead = |name| dead_pipe(&place.bells.join(name));
    dead("0b");
    alive.pipes().ring("0b", 7);
    assert_eq!(place.left(), ["0a"]);
    dead("0b");
    dead("0c");
    let next = place.client("0d", &Bells::default());
    let mut left = place.left();
    left.sort();
    assert_eq!(left, ["0a", "0d"]);
    drop(next);
}

#[rstest]
#[case::private(0o600, 0o700, 0o600)]
#[case::others_may_read(0o644, 0o700, 0o600)]
#[case::a_group(0o660, 0o770, 0o620)]
#[case::a_group_and_readers(0o664, 0o770, 0o620)]
#[case::everybody(0o666, 0o777, 0o622)]
fn who_may_write_the_database_may_ring(#[case] database: u32, #[case] directory: u32, #[case] pipe: u32) {
    let place = Place::new();
    fs::set_permissions(&place.database, fs::Permissions::from_mode(database)).expect("a mode");
    let client = place.client("01", &Bells::default());
    let path = place.bells.join("01");
    assert!(fs::metadata(&path).expect("it is there").file_type().is_fifo());
    assert_eq!((mode(&place.bells), mode(&path)), (directory, pipe));
    drop(client);
}

/// A pipe that nobody reads, as the dead leave it.
fn dead_pipe(path: &Path) {
    let rw = rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR;
    rustix::fs::mknodat(rustix::fs::CWD, path, rustix::fs::FileType::Fifo, rw, 0).expect("a pipe");
}

#[rstest]
#[case::up("../victim")]
#[case::hidden(".01")]
#[case::other_letters("locks")]
fn what_is_no_name_of_a_client_is_not_touched(#[case] name: &str) {
    let place = Place::new();
    let client = place.client("01", &Bells::default());
    let victim = place.bells.join(name);
    dead_pipe(&victim);
    client.pipes().ring(name, 7);
    client.pipes().ring(victim.to_str().expect("UTF-8"), 7);
    client.pipes().ring("", 7);
    assert!(victim.exists());
}

#[test]
fn what_is_no_pipe_is_not_written_to() {
    let place = Place::new();
    let client = place.client("01", &Bells::default());
    let (file, link) = (place.bells.join("02"), place.bells.join("03"));
    fs::write(&file, "unharmed").expect("written");
    std::os::unix::fs::symlink(&file, &link).expect("a link");
    client.pipes().ring("02", 7);
    client.pipes().ring("03", 7);
    assert_eq!(fs::read(&file).expect("it is there"), b"unharmed");
}

/// What is logged at `WARN` or above while `work` is done.
fn warnings(work: impl FnOnce()) -> String {
    let (mut log, writer) = std::io::pipe().expect("a pipe");
    let warnings =
        tracing_subscriber::fmt().with_max_level(tracing::Level::WARN).with_writer(Mutex::new(writer));
    tracing::subscriber::with_default(warnings.finish(), work);
    std::io::read_to_string(&mut log).expect("text")
}

#[test]
fn a_ring_that_a_living_client_may_miss_is_warned_of() {
    let place = Place::new();
    let client = place.client("01", &Bells::default());
    let ring = |name: &str| warnings(|| client.pipes().ring(name, 7));
    dead_pipe(&place.bells.join("0d"));
    assert_eq!(ring("0d"), "", "nobody reads any more");
    assert_eq!(ring("0e"), "", "it has gone");
    fs::write(place.bells.join("02"), "").expect("written");
    assert!(ring("02").contains("could not ring"));
    fs::remove_dir_all(&place.bells).expect("removed");
    assert!(ring("01").contains("could not ring"), "the directory has gone, and all pipes in it");
}
