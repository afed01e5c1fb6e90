//! The push path: a named pipe for each client, beside the database, into which whoever makes room writes the tags
//! of the claims that have their turn.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use lock_core::Bells;
use rustix::fs::{CWD, FileType, Mode, OFlags, mknodat};
use rustix::io::Errno;
use rustix::pipe::fcntl_getpipe_size;

/// A pipe takes rings by the page: with less than this left, it may have turned one away.
const PAGE: usize = 4096;

/// The pipes of all clients of one database.
#[derive(Debug)]
pub(crate) struct Pipes {
    directory: PathBuf,
}

/// This client's pipe. Dropped, it is removed and its thread ends.
#[derive(Debug)]
pub(crate) struct Pipe {
    pub(crate) name: String,
    pipes: Pipes,
    /// Its other end, to wake the thread by even if somebody has removed the name.
    end: File,
    /// The client is going.
    over: Arc<AtomicBool>,
}

impl Pipes {
    /// Finds or makes the directory `DATABASE-bells`, open to whoever may write the database.
    pub(crate) fn of(database: &Path) -> io::Result<Self> {
        let mut directory = database.as_os_str().to_owned();
        directory.push("-bells");
        let directory = PathBuf::from(directory);
        match fs::create_dir(&directory) {
            Ok(()) => {
                let writers = fs::metadata(database)?.mode() & 0o222;
                share(&directory, database, 0o700 | writers | writers << 1 | writers >> 1)?;
            }
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
        Ok(Self { directory })
    }

    /// Makes this client's pipe and a thread that rings `bells` for what arrives there; removes the pipes of
    /// clients that died.
    pub(crate) fn listen(self, database: &Path, name: String, bells: Bells) -> io::Result<Pipe> {
        self.sweep()?;
        let (new, path) = (self.directory.join(format!(".{name}")), self.directory.join(&name));
        mknodat(CWD, &new, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0)?;
        let made = self.start(database, &new, name, bells).and_then(|pipe| {
            fs::rename(&new, &path)?;
            Ok(pipe)
        });
        made.inspect_err(|_| drop(fs::remove_file(&new)))
    }

    fn start(self, database: &Path, new: &Path, name: String, bells: Bells) -> io::Result<Pipe> {
        // Open for writing too, so that it never reads as ended; and before it has its name, so that nobody takes it
        // for a dead client's.
        let pipe = OpenOptions::new().read(true).write(true).open(new)?;
        let end = open_to_ring(new)?;
        share(new, database, 0o600 | fs::metadata(database)?.mode() & 0o222)?;
        let over = Arc::new(AtomicBool::new(false));
        let is_over = over.clone();
        let thread = std::thread::Builder::new().name("lock-sqlite-bell".into());
        thread.spawn(move || listen(pipe, &bells, &is_over))?;
        Ok(Pipe { name, pipes: self, end, over })
    }

    /// Rings a claim of another client. A ring that cannot be delivered finds its client dead, or its pipe so full
    /// that it will look at everything.
    pub(crate) fn ring(&self, client: &str, tag: u64) {
        // It comes from the database: not a path to wherever its author likes.
        if !is_name(client) {
            return tracing::debug!(client, "not the name of a client");
        }
        let path = self.directory.join(client);
        match open_to_ring(&path) {
            Ok(mut pipe) => drop(pipe.write(&tag.to_be_bytes())),
            Err(error) if is_dead(&error) => drop(fs::remove_file(&path)),
            // It went in good order.
            Err(error) if error.kind() == io::ErrorKind::NotFound && self.directory.exists() => {}
            Err(error) => {
                tracing::warn!(%error, client, "could not ring; its claim looks by itself, but later")
            }
        }
    }

    fn sweep(&self) -> io::Result<()> {
        for entry in fs::read_dir(&self.directory)? {
            let path = entry?.path();
            let named = !path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
            if named && open_to_ring(&path).is_err_and(|error| is_dead(&error)) {
                let _ = fs::remove_file(&path);
            }
        }
        Ok(())
    }
}

impl Pipe {
    pub(crate) fn pipes(&self) -> &Pipes {
        &self.pipes
    }
}

impl Drop for Pipe {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Release);
        // A pipe too full for it has something to read already.
        let _ = (&self.end).write(&[0; 8]);
        let _ = fs::remove_file(self.pipes.directory.join(&self.name));
    }
}

/// What [`Pipes::listen`] is given: hexadecimal digits.
fn is_name(client: &str) -> bool {
    !client.is_empty() && client.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// Gives a new file the mode, and the database's owner and group as far as this process may.
fn share(path: &Path, database: &Path, mode: u32) -> io::Result<()> {
    let (own, database) = (fs::metadata(path)?, fs::metadata(database)?);
    if (own.uid(), own.gid()) != (database.uid(), database.gid())
        && chown(path, Some(database.uid()), Some(database.gid())).is_err()
    {
        let _ = chown(path, None, Some(database.gid()));
    }
    fs::set_permissions(path, fs::Permissions::from_mode(mode))
}

fn open_to_ring(path: &Path) -> io::Result<File> {
    let flags = OFlags::NONBLOCK | OFlags::NOFOLLOW;
    let pipe = OpenOptions::new().write(true).custom_flags(flags.bits().cast_signed()).open(path)?;
    if pipe.metadata()?.file_type().is_fifo() {
        return Ok(pipe);
    }
    Err(io::Error::other("not a pipe"))
}

/// Nobody reads the pipe.
fn is_dead(error: &io::Error) -> bool {
    Errno::from_io_error(error) == Some(Errno::NXIO)
}

/// Rings for what arrives until the client is over.
fn listen(mut pipe: File, bells: &Bells, over: &AtomicBool) {
    // Small where the kernel rations pipes; unknown, every reading may have been of a full one.
    let capacity = fcntl_getpipe_size(&pipe).unwrap_or(PAGE);
    let mut buffer = vec![0; capacity];
    loop {
        let read = match pipe.read(&mut buffer) {
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => {
                tracing::warn!(%error, "wake-ups from other processes have ended; waiting claims look by themselves");
                return;
            }
        };
        if over.load(Ordering::Acquire) {
            return;
        }
        let (tags, rest) = buffer[..read].as_chunks::<8>();
        tags.iter().for_each(|tag| bells.ring(u64::from_be_bytes(*tag)));
        if read > capacity - PAGE || !rest.is_empty() {
            bells.ring_all();
        }
    }
}

#[cfg(test)]
mod tests;
