//! What a process uses: CPU, memory, connections.

use std::fs;
use std::path::Path;
use std::time::Duration;

use rustix::param::page_size;
use rustix::time::{ClockId, clock_gettime};

/// CPU time of this process, user and system.
pub(super) fn cpu() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec.cast_unsigned(), u32::try_from(time.tv_nsec).unwrap_or(0))
}

/// Resident memory of this process in bytes.
pub(super) fn resident() -> u64 {
    let statm = fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages: u64 = statm.split_whitespace().nth(1).and_then(|pages| pages.parse().ok()).unwrap_or(0);
    pages * page_size() as u64
}

/// Connections of this process: open descriptors of a database's file, and TCP sockets.
pub(super) fn connections(file: Option<&Path>) -> usize {
    let sockets: Vec<_> = sockets().map(|socket| socket.inode).collect();
    let is_one = |open: &Path| file == Some(open) || sockets.iter().any(|socket| Path::new(socket) == open);
    open("self").filter(|open| is_one(open)).count()
}

/// A server of this machine: the process that listens on a port, and those that it started.
pub(super) struct Server(u32);

impl Server {
    pub(super) fn at(url: &str) -> Option<Self> {
        let (_, port) = url.rsplit_once(':')?;
        let port: u16 = port.split('/').next()?.parse().ok()?;
        let inode = sockets().find(|socket| socket.listens && socket.port == port)?.inode;
        let listens = |process: &u32| open(&process.to_string()).any(|open| open == Path::new(&inode));
        processes().filter(listens).min().map(Self)
    }

    fn tree(&self) -> impl Iterator<Item = u32> {
        let root = self.0;
        let child = move |process: &u32| {
            *process == root || stat(*process).is_some_and(|fields| fields[1] == root.to_string())
        };
        processes().filter(child)
    }

    /// CPU time so far, of processes and threads that are still there.
    pub(super) fn cpu(&self) -> Duration {
        let threads =
            |process: u32| fs::read_dir(format!("/proc/{process}/task")).into_iter().flatten().flatten();
        let nanoseconds = |thread: fs::DirEntry| -> Option<u64> {
            let text = fs::read_to_string(thread.path().join("schedstat")).ok()?;
            text.split_whitespace().next()?.parse().ok()
        };
        Duration::from_nanos(self.tree().flat_map(threads).filter_map(nanoseconds).sum())
    }

    /// Memory in bytes; of what processes share, each has its part.
    pub(super) fn memory(&self) -> u64 {
        let share = |process: u32| -> Option<u64> {
            let rollup = fs::read_to_string(format!("/proc/{process}/smaps_rollup")).ok()?;
            let line = rollup.lines().find_map(|line| line.strip_prefix("Pss:"))?;
            line.split_whitespace().next()?.parse().ok()
        };
        self.tree().filter_map(share).sum::<u64>() * 1024
    }
}

/// The numbers of all processes.
fn processes() -> impl Iterator<Item = u32> {
    let all = fs::read_dir("/proc").into_iter().flatten().flatten();
    all.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

/// What `/proc` says of a process, from its state on.
fn stat(process: u32) -> Option<Vec<String>> {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    Some(stat.rsplit_once(") ")?.1.split(' ').map(str::to_owned).collect())
}

/// What a process has open.
fn open(process: &str) -> impl Iterator<Item = std::path::PathBuf> {
    let links = fs::read_dir(format!("/proc/{process}/fd")).into_iter().flatten().flatten();
    links.filter_map(|link| fs::read_link(link.path()).ok())
}

struct Socket {
    /// As it is called among open files.
    inode: String,
    port: u16,
    listens: bool,
}

/// The TCP sockets of this machine.
fn sockets() -> impl Iterator<Item = Socket> {
    let tables = ["/proc/self/net/tcp", "/proc/self/net/tcp6"].map(fs::read_to_string);
    let lines = tables
        .into_iter()
        .flatten()
        .flat_map(|table| table.lines().skip(1).map(str::to_owned).collect::<Vec<_>>());
    lines.filter_map(|line| {
        let words: Vec<_> = line.split_whitespace().collect();
        let port = u16::from_str_radix(words.get(1)?.rsplit_once(':')?.1, 16).ok()?;
        Some(Socket { inode: format!("socket:[{}]", words.get(9)?), port, listens: *words.get(3)? == "0A" })
    })
}
