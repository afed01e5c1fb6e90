//! The push path: a named pipe for each client, beside the database, into which whoever makes room writes the tags
//! of the claims that have their turn.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use lock_core::Bells;
use rustix::fs::{CWD, FileType, Mode, OFlags, mknodat};
use rustix::io::Errno;

/// As much as a pipe holds. Read that full, it may have turned rings away.
const PIPE: usize = 64 * 1024;

/// A ring for nobody: the client itself is going.
const GOODBYE: u64 = 0;

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
}

impl Pipes {
    /// Finds or makes the directory `DATABASE-bells`, readable by whom the database is.
    pub(crate) fn of(database: &Path) -> io::Result<Self> {
        let mut directory = database.as_os_str().to_owned();
        directory.push("-bells");
        let directory = PathBuf::from(directory);
        match fs::create_dir(&directory) {
            Ok(()) => {
                let readers = fs::metadata(database)?.mode() & 0o444;
                let mode = readers | readers >> 1 | readers >> 2;
                fs::set_permissions(&directory, fs::Permissions::from_mode(mode | 0o700))?;
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
        let mode = fs::metadata(database)?.mode() & 0o666;
        let (new, path) = (self.directory.join(format!(".{name}")), self.directory.join(&name));
        mknodat(CWD, &new, FileType::Fifo, Mode::from_raw_mode(mode), 0)?;
        fs::set_permissions(&new, fs::Permissions::from_mode(mode))?;
        // Open for writing too, so that it never reads as ended; and before it has its name, so that nobody takes it
        // for a dead client's.
        let pipe = OpenOptions::new().read(true).write(true).open(&new)?;
        fs::rename(&new, &path)?;
        let thread = std::thread::Builder::new().name("lock-sqlite-bell".into());
        thread.spawn(move || listen(pipe, &bells))?;
        Ok(Pipe { name, pipes: self })
    }

    /// Rings a claim of another client. A ring that cannot be delivered finds its client dead, or its pipe so full
    /// that it will look at everything.
    pub(crate) fn ring(&self, client: &str, tag: u64) {
        let path = self.directory.join(client);
        match open_to_ring(&path) {
            Ok(mut pipe) => drop(pipe.write(&tag.to_be_bytes())),
            Err(error) if is_dead(&error) => drop(fs::remove_file(&path)),
            Err(error) => tracing::debug!(%error, client, "could not ring"),
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
        self.pipes.ring(&self.name, GOODBYE);
        let _ = fs::remove_file(self.pipes.directory.join(&self.name));
    }
}

fn open_to_ring(path: &Path) -> io::Result<File> {
    let flags = OFlags::NONBLOCK | OFlags::NOFOLLOW;
    OpenOptions::new().write(true).custom_flags(flags.bits().cast_signed()).open(path)
}

/// Nobody reads the pipe.
fn is_dead(error: &io::Error) -> bool {
    Errno::from_io_error(error) == Some(Errno::NXIO)
}

/// Rings for what arrives until the client says goodbye.
fn listen(mut pipe: File, bells: &Bells) {
    let mut buffer = vec![0; PIPE];
    loop {
        let read = match pipe.read(&mut buffer) {
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => {
                tracing::warn!(%error, "wake-ups from other processes have ended; waiting claims look by themselves");
                return;
            }
        };
        let (tags, rest) = buffer[..read].as_chunks::<8>();
        for tag in tags {
            match u64::from_be_bytes(*tag) {
                GOODBYE => return,
                tag => bells.ring(tag),
            }
        }
        if read > PIPE - 4096 || !rest.is_empty() {
            bells.ring_all();
        }
    }
}
