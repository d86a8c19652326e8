//! A small file that outlives the process: whole when it is read, replaced as a
//! whole, and of one process at a time.
//!
//! It is meant for `/run`, which is in memory. Nothing here waits for a disk:
//! fsync(2) may take seconds, and a loop that serves clients has none. After a
//! loss of power the content may be an older one or none, and the kernel that
//! knew what it tells of is gone as well.

use std::fs::{self, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use super::lock_file::{LockFile, beside, named};

/// Longest content in octets: some hundred for each of ten thousand prefixes.
/// It is read at once and written at once, which takes half a millisecond.
const LIMIT: usize = 1024 * 1024;

/// The file, and the right to replace it.
#[derive(Debug)]
pub struct StateFile {
    path: PathBuf,
    _lock: LockFile,
}

impl StateFile {
    /// Takes possession of the file, which need not be there yet; its directory
    /// is made if only that is missing.
    ///
    /// # Errors
    /// WouldBlock, with a text, if another process has it; others name what
    /// could not be made.
    pub fn open(path: &Path) -> io::Result<StateFile> {
        let lock = LockFile::take(path)?;
        Ok(StateFile { path: path.to_owned(), _lock: lock })
    }

    /// The content; empty if there is no file.
    ///
    /// # Errors
    /// Those of open(2) and read(2); a file that is not a regular one or longer
    /// than 1 MiB is none of ours.
    pub fn read(&self) -> io::Result<Vec<u8>> {
        match self.read_existing() {
            Ok(content) => Ok(content),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
            Err(error) => Err(named("cannot read", &self.path, &error)),
        }
    }

    fn read_existing(&self) -> io::Result<Vec<u8>> {
        // To open a pipe without this would wait for who writes into it.
        let flags = libc::O_NOFOLLOW | libc::O_NONBLOCK;
        let file = OpenOptions::new().read(true).custom_flags(flags).open(&self.path)?;
        if !file.metadata()?.is_file() {
            return Err(io::Error::other("it is not a regular file"));
        }
        let mut content = Vec::new();
        file.take(LIMIT as u64 + 1).read_to_end(&mut content)?;
        if content.len() > LIMIT {
            return Err(too_long());
        }
        Ok(content)
    }

    /// Puts `content` in the place of what is there. Whoever reads the file
    /// sees the one or the other, and never a part.
    ///
    /// # Errors
    /// Those of the file system; the old content is then still there.
    pub fn replace(&self, content: &[u8]) -> io::Result<()> {
        if content.len() > LIMIT {
            return Err(named("cannot write", &self.path, &too_long()));
        }
        let new = beside(&self.path, ".new");
        let written = write_new(&new, content).and_then(|()| fs::rename(&new, &self.path));
        written.map_err(|error| {
            let _ = fs::remove_file(&new);
            named("cannot write", &self.path, &error)
        })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

/// Makes a file that was not there: what a process that died has left goes, and
/// nothing is written through a link that somebody put there.
fn write_new(path: &Path, content: &[u8]) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o644).open(path)?;
    file.write_all(content)
}

fn too_long() -> io::Error {
    io::Error::new(io::ErrorKind::FileTooLarge, "it is longer than 1 MiB")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reactor::testing::Folder;
    use std::os::unix::fs::symlink;

    impl Folder {
        fn open(&self) -> io::Result<StateFile> {
            StateFile::open(&self.0.join("state"))
        }

        fn names(&self) -> Vec<String> {
            let entries = fs::read_dir(&self.0).unwrap();
            let name = |entry: fs::DirEntry| entry.file_name().into_string().unwrap();
            let mut names: Vec<String> = entries.map(|entry| name(entry.unwrap())).collect();
            names.sort();
            names
        }
    }

    #[test]
    fn what_was_written_is_read_in_the_next_life() {
        let folder = Folder::new("state");
        let file = folder.open().unwrap();
        assert_eq!(file.read().unwrap(), b"");
        file.replace(b"one").unwrap();
        file.replace(b"two\n").unwrap();
        assert_eq!(folder.names(), ["state", "state.lock"]);
        assert_eq!(folder.open().unwrap_err().kind(), io::ErrorKind::WouldBlock);
        drop(file);
        // A process that died in the middle of a write.
        fs::write(folder.0.join("state.new"), "thr").unwrap();
        let file = folder.open().unwrap();
        assert_eq!(file.read().unwrap(), b"two\n");
        file.replace(b"").unwrap();
        assert_eq!(file.read().unwrap(), b"");
        assert_eq!(folder.names(), ["state", "state.lock"]);
    }

    #[test]
    fn a_reader_never_sees_a_part() {
        let folder = Folder::new("state-whole");
        let file = folder.open().unwrap();
        file.replace(&[b'a'; 5000]).unwrap();
        let mut reader = fs::File::open(file.path()).unwrap();
        file.replace(&[b'b'; 10]).unwrap();
        let mut seen = Vec::new();
        reader.read_to_end(&mut seen).unwrap();
        assert_eq!(seen, [b'a'; 5000]);
        assert_eq!(file.read().unwrap(), [b'b'; 10]);
    }

    #[test]
    fn what_is_none_of_ours_is_named_and_left() {
        let folder = Folder::new("state-strange");
        let file = folder.open().unwrap();
        let text = |result: io::Result<Vec<u8>>| result.unwrap_err().to_string();
        fs::create_dir(file.path()).unwrap();
        assert!(text(file.read()).contains("not a regular file"));
        let error = file.replace(b"x").unwrap_err().to_string();
        assert!(error.contains("cannot write") && error.contains("state"), "{error}");
        fs::remove_dir(file.path()).unwrap();
        let pipe = std::process::Command::new("mkfifo").arg(file.path()).status().unwrap();
        assert!(pipe.success());
        assert!(text(file.read()).contains("not a regular file"), "nor is it waited for");
        file.replace(b"x").unwrap();
        assert_eq!(file.read().unwrap(), b"x");
        fs::write(file.path(), vec![0; LIMIT + 1]).unwrap();
        assert!(text(file.read()).contains("longer than"));
        assert!(file.replace(&vec![0; LIMIT + 1]).is_err());
        file.replace(&vec![0; LIMIT]).unwrap();
        assert_eq!(file.read().unwrap().len(), LIMIT);
        // A link is not followed, and what it leads to stays as it is.
        let victim = folder.0.join("victim");
        fs::write(&victim, "precious").unwrap();
        for name in ["state", "state.new"] {
            let _ = fs::remove_file(folder.0.join(name));
            symlink(&victim, folder.0.join(name)).unwrap();
        }
        assert!(file.read().is_err());
        file.replace(b"x").unwrap();
        assert_eq!(fs::read(&victim).unwrap(), b"precious");
        assert_eq!(file.read().unwrap(), b"x");
    }
}
