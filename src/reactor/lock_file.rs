//! A lock beside a file that one process at a time may own.
//!
//! It is a file of its own, `NAME.lock`, because what it guards is replaced or
//! removed, and a lock would go with it. It stays when the lock is given back:
//! to remove it would let two processes lock two files of one name. The system
//! gives the lock back when the process ends, in whatever way.

use std::ffi::OsString;
use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// Octets of a lock file that are read: the number of a process.
const CONTENT: u64 = 32;

/// The lock of one path, held until it is dropped.
#[derive(Debug)]
pub struct LockFile {
    _file: File,
}

impl LockFile {
    /// Takes the lock of `path`, and makes its directory if only that is
    /// missing.
    ///
    /// # Errors
    /// WouldBlock, with a text, if another process holds it; those of mkdir(2),
    /// open(2) and flock(2), with the name of what could not be made.
    pub fn take(path: &Path) -> io::Result<LockFile> {
        make_parent(path)?;
        let name = beside(path, ".lock");
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o644)
            .custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK)
            .open(&name)
            .map_err(|error| named("cannot open", &name, &error))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let text = format!("another instance{} holds {}", holder(file), path.display());
                return Err(io::Error::new(io::ErrorKind::WouldBlock, text));
            }
            Err(TryLockError::Error(error)) => return Err(named("cannot lock", &name, &error)),
        }
        // For people, and for the text above; the lock does not depend on it.
        let _ = file.set_len(0).and_then(|()| writeln!(file, "{}", std::process::id()));
        Ok(LockFile { _file: file })
    }
}

/// Which process says that it holds a lock: ` (process 1234)`, or nothing.
fn holder(file: File) -> String {
    let mut text = String::new();
    let _ = file.take(CONTENT).read_to_string(&mut text);
    text.trim().parse().map_or_else(|_| String::new(), |id: u32| format!(" (process {id})"))
}

/// The path with something at the end of its name.
pub(super) fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(ending);
    PathBuf::from(name)
}

/// An error with what was tried, and on what.
pub(super) fn named(tried: &str, path: &Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{tried} {}: {error}", path.display()))
}

/// Makes the directory of a path, if it is missing and its own one is there:
/// what is missing above that is more likely a slip than a wish.
fn make_parent(path: &Path) -> io::Result<()> {
    let Some(parent) = path.parent().filter(|parent| !parent.as_os_str().is_empty()) else {
        return Ok(());
    };
    if fs::metadata(parent).is_ok() {
        return Ok(());
    }
    match DirBuilder::new().mode(0o755).create(parent) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
            Err(named("cannot make the directory", parent, &error))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reactor::testing::Folder;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn one_holds_it_at_a_time_and_is_named() {
        let folder = Folder::new("lock");
        let path = folder.0.join("state");
        let held = LockFile::take(&path).unwrap();
        assert_eq!(fs::metadata(&folder.0).unwrap().permissions().mode() & 0o777, 0o755);
        let error = LockFile::take(&path).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
        let text = format!("another instance (process {}) holds", std::process::id());
        assert!(error.to_string().starts_with(&text), "{error}");
        drop(held);
        drop(LockFile::take(&path).unwrap());
        // Whoever wrote something else into it is not believed.
        fs::write(beside(&path, ".lock"), "x\u{7}\n".repeat(99)).unwrap();
        let _held = LockFile::take(&path).unwrap();
        assert!(!path.exists());
    }

    #[test]
    fn what_cannot_be_made_is_named() {
        let folder = Folder::new("lock-nowhere");
        let error = LockFile::take(&folder.0.join("a/state")).unwrap_err().to_string();
        assert!(error.contains("cannot make the directory") && error.contains("lock-nowhere/a"));
        fs::create_dir(&folder.0).unwrap();
        fs::create_dir(folder.0.join("state.lock")).unwrap();
        let error = LockFile::take(&folder.0.join("state")).unwrap_err().to_string();
        assert!(error.contains("cannot open") && error.contains("state.lock"), "{error}");
        std::os::unix::fs::symlink("elsewhere", folder.0.join("link.lock")).unwrap();
        assert!(LockFile::take(&folder.0.join("link")).is_err());
        assert!(!folder.0.join("elsewhere").exists(), "nothing is made through a link");
    }
}
