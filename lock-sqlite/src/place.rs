//! Where a lock file may lie, and which SQLite may write it.

use std::path::Path;

use lock_core::{Error, ErrorKind, Result};

/// The first SQLite without the WAL-reset bug, which can corrupt a database that several processes write
/// (<https://sqlite.org/wal.html#walresetbug>).
const SMALLEST: i32 = 3_051_003;

/// Refuses a SQLite that can corrupt the file.
pub(crate) fn check_version(version: i32) -> Result<()> {
    if version >= SMALLEST {
        return Ok(());
    }
    let dotted = |v: i32| format!("{}.{}.{}", v / 1_000_000, v / 1_000 % 1_000, v % 1_000);
    let (found, needed) = (dotted(version), dotted(SMALLEST));
    let message = format!(
        "SQLite {found} can corrupt a database that several processes write; {needed} or newer is needed \
         (rusqlite's feature `bundled` brings it)"
    );
    Err(Error::new(ErrorKind::Unsupported, message))
}

/// Refuses file systems on which the processes of several machines would not see each other's locks.
pub(crate) fn check_file_system(directory: &Path) -> Result<()> {
    let found = rustix::fs::statfs(directory).map_err(|error| {
        let message = format!("the directory {} cannot be read: {error}", directory.display());
        Error::new(ErrorKind::Backend, message).with_source(error)
    })?;
    let Some(name) = network_file_system(found.f_type) else { return Ok(()) };
    let message = format!(
        "{} is on {name}: SQLite's locks and shared memory need a file system of this machine",
        directory.display()
    );
    Err(Error::new(ErrorKind::Unsupported, message))
}

/// The name of a file system that is, or may be, on another machine, by its magic number in statfs(2).
fn network_file_system(magic: impl TryInto<i64>) -> Option<&'static str> {
    // The field is signed on some architectures: compare the 32 bits that the kernel defines.
    let magic = magic.try_into().ok()? & 0xffff_ffff;
    Some(match magic {
        0x6969 => "NFS",
        0x517b | 0xff53_4d42 | 0xfe53_4d42 => "SMB",
        0x0102_1997 => "9P, a directory shared by a virtual machine's host",
        0x6573_5546 => "FUSE, which may be a network or a virtual machine's host",
        0x00c3_6400 => "Ceph",
        0x5346_414f | 0x6b41_4653 => "AFS",
        0x7375_7245 => "Coda",
        0x564c => "NCP",
        0x0bd0_0bd0 => "Lustre",
        0x0116_1970 => "GFS2",
        0x7461_636f => "OCFS2",
        0x786f_4256 => "a VirtualBox shared folder",
        0x4750_4653 => "GPFS",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    #[rstest]
    #[case::first_good(3_051_003, true)]
    #[case::newer(3_053_002, true)]
    #[case::last_bad(3_051_002, false)]
    #[case::old(3_040_001, false)]
    fn a_sqlite_that_can_corrupt_the_file_is_refused(#[case] version: i32, #[case] good: bool) {
        assert_eq!(super::check_version(version).is_ok(), good);
    }

    #[test]
    fn the_refusal_names_both_versions() {
        let error = super::check_version(3_051_002).unwrap_err().to_string();
        assert!(error.contains("3.51.2") && error.contains("3.51.3"), "{error}");
    }

    #[test]
    fn the_linked_sqlite_is_new_enough() {
        super::check_version(rusqlite::version_number()).expect("the bundled version");
    }

    #[rstest]
    #[case::nfs(0x6969, true)]
    #[case::cifs(0xff53_4d42, true)]
    #[case::cifs_as_a_signed_field(-11_317_950, true)]
    #[case::fuse(0x6573_5546, true)]
    #[case::ext4(0xef53, false)]
    #[case::tmpfs(0x0102_1994, false)]
    #[case::overlayfs(0x794c_7630, false)]
    #[case::btrfs(0x9123_683e, false)]
    #[case::xfs(0x5846_5342, false)]
    fn network_file_systems_are_known(#[case] magic: i64, #[case] network: bool) {
        assert_eq!(super::network_file_system(magic).is_some(), network);
    }
}
