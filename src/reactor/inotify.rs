//! Files that are watched, so that a change of one is an event of the loop.
//!
//! The directories are watched and not the file, because a file is replaced
//! more often than it is written: editors and `mv` put another one under its
//! name, and a link can be turned to another directory. Every event only leads
//! to a look at the file, so that lost ones (IN_Q_OVERFLOW) lose nothing.
#![allow(unsafe_code)]

use std::ffi::CString;
use std::fs;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use mio::Interest;
use mio::unix::SourceFd;

use super::timer_wheel::Alarm;
use super::{Reactor, Time, Token};

/// How long after the first event the file is looked at: an editor makes its
/// few calls in far less, and nobody notices it.
const SETTLE: Duration = Duration::from_millis(100);

/// What changes the file that a name leads to: written and closed, renamed,
/// linked.
const EVENTS: u32 = libc::IN_CLOSE_WRITE | libc::IN_MOVED_TO | libc::IN_CREATE | libc::IN_ONLYDIR;

/// Octets read at a time, a hundred events or more, and reads in one turn.
const READ_SIZE: usize = 4096;
const READS: usize = 16;

/// One file that is watched under its name.
#[derive(Debug)]
pub struct FileWatch {
    path: PathBuf,
    token: Token,
    descriptor: OwnedFd,
    /// The directory of the name, and the one that links lead to.
    watched: Vec<i32>,
    seen: Option<Identity>,
    ready: bool,
    look_at: Option<Time>,
    alarm: Alarm,
}

/// What tells one content of a file from the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Identity {
    place: (u64, u64),
    modified: (i64, i64),
    size: u64,
}

impl Identity {
    fn of(path: &Path) -> Option<Identity> {
        let data = fs::metadata(path).ok()?;
        Some(Identity {
            place: (data.dev(), data.ino()),
            modified: (data.mtime(), data.mtime_nsec()),
            size: data.size(),
        })
    }
}

impl FileWatch {
    /// Watches the file of this name, which need not exist yet; its directory
    /// must. Events and the timer carry `token`.
    ///
    /// # Errors
    /// Those of inotify_init1(2), inotify_add_watch(2) and epoll_ctl(2).
    pub fn open(reactor: &mut Reactor, path: &str, token: Token) -> io::Result<FileWatch> {
        // SAFETY: inotify_init1 takes no pointer.
        let descriptor = unsafe { libc::inotify_init1(libc::IN_NONBLOCK | libc::IN_CLOEXEC) };
        if descriptor < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: inotify_init1 has just returned this descriptor, and nothing
        // else owns it.
        let descriptor = unsafe { OwnedFd::from_raw_fd(descriptor) };
        reactor.register(&mut SourceFd(&descriptor.as_raw_fd()), token, Interest::READABLE)?;
        let mut watch = FileWatch {
            path: PathBuf::from(path),
            token,
            descriptor,
            watched: Vec::new(),
            seen: None,
            ready: false,
            look_at: None,
            alarm: Alarm::new(),
        };
        watch.watch_directories()?;
        watch.seen = Identity::of(&watch.path);
        Ok(watch)
    }

    /// Collect: an event of the poll. One with another token means nothing.
    pub fn collect(&mut self, token: Token) {
        self.ready |= token == self.token;
    }

    /// Expire: a timer fired. One with another token means nothing.
    pub fn expired(&mut self, token: Token) {
        if token == self.token {
            self.alarm.fired();
        }
    }

    /// Whether there is work that needs no further event.
    pub fn has_ready(&self) -> bool {
        self.ready
    }

    /// Control: whether the file is another one, or has another content, than
    /// when it was last asked. A file that is gone is not: it may be back in a
    /// moment.
    pub fn poll_changed(&mut self, reactor: &mut Reactor) -> bool {
        let now = reactor.now();
        if self.ready && self.read_events() && self.look_at.is_none() {
            self.look_at = Some(now + SETTLE);
        }
        let due = self.look_at.is_some_and(|at| at <= now);
        if due {
            self.look_at = None;
        }
        self.alarm.set(&mut reactor.wheel, self.token, self.look_at);
        due && self.look()
    }

    /// Takes the timer out of the wheel, for a watch that ends.
    pub fn close(mut self, reactor: &mut Reactor) {
        self.alarm.clear(&mut reactor.wheel);
    }

    fn look(&mut self) -> bool {
        // A directory that is not there leaves what can be watched.
        let _ = self.watch_directories();
        let Some(identity) = Identity::of(&self.path) else { return false };
        self.seen.replace(identity) != Some(identity)
    }

    /// Reads events, whatever they are; says whether there were any.
    fn read_events(&mut self) -> bool {
        let mut any = false;
        for _ in 0..READS {
            let mut buffer = [0_u8; READ_SIZE];
            // SAFETY: read writes at most the size of the buffer into it.
            let count = unsafe {
                libc::read(self.descriptor.as_raw_fd(), buffer.as_mut_ptr().cast(), buffer.len())
            };
            if count <= 0 {
                self.ready = false;
                break;
            }
            any = true;
        }
        any
    }

    /// Watches the directory of the name and that of the file it leads to, and
    /// no others. To watch one again changes nothing.
    fn watch_directories(&mut self) -> io::Result<()> {
        let own = watch(&self.descriptor, &directory(&self.path))?;
        let mut wanted = vec![own];
        if let Ok(file) = fs::canonicalize(&self.path)
            && let Ok(other) = watch(&self.descriptor, &directory(&file))
        {
            wanted.push(other);
        }
        for old in std::mem::replace(&mut self.watched, wanted) {
            if !self.watched.contains(&old) {
                // SAFETY: inotify_rm_watch takes no pointer; for a watch that
                // ended with its directory it returns an error.
                unsafe { libc::inotify_rm_watch(self.descriptor.as_raw_fd(), old) };
            }
        }
        Ok(())
    }
}

fn directory(path: &Path) -> PathBuf {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
        _ => PathBuf::from("."),
    }
}

fn watch(descriptor: &OwnedFd, directory: &Path) -> io::Result<i32> {
    let path = CString::new(directory.as_os_str().as_bytes())?;
    // SAFETY: the path is terminated, and lives for the call.
    let watch = unsafe { libc::inotify_add_watch(descriptor.as_raw_fd(), path.as_ptr(), EVENTS) };
    if watch < 0 { Err(io::Error::last_os_error()) } else { Ok(watch) }
}

#[cfg(test)]
mod tests {
    use super::super::poll::{self, Phases};
    use super::super::{Kind, Readiness};
    use super::*;
    use std::os::unix::fs::symlink;

    const TOKEN: Token = Token::new(Kind::Watch, 0, 0);
    const GUARD: Token = Token::new(Kind::Guest, 0, 0);

    struct House {
        watch: FileWatch,
        changes: u32,
    }

    impl Phases for House {
        fn collect(&mut self, _: &mut Reactor, token: Token, _: Readiness) {
            self.watch.collect(token);
        }
        fn expired(&mut self, _: &mut Reactor, token: Token) {
            self.watch.expired(token);
        }
        fn control(&mut self, reactor: &mut Reactor) {
            self.changes += u32::from(self.watch.poll_changed(reactor));
        }
        fn apply(&mut self, _: &mut Reactor) {}
        fn data(&mut self, _: &mut Reactor) {}
        fn accept(&mut self, _: &mut Reactor) {}
        fn api(&mut self, _: &mut Reactor) {}
        fn flush(&mut self, _: &mut Reactor) {}
        fn has_ready(&self) -> bool {
            self.watch.has_ready()
        }
        fn exit_code(&self) -> Option<i32> {
            None
        }
    }

    /// A directory of its own with a file `f` in it that is watched.
    struct Lab {
        directory: PathBuf,
        reactor: Reactor,
        house: House,
    }

    impl Lab {
        fn new(name: &str, prepare: impl FnOnce(&Path)) -> Lab {
            let directory =
                std::env::temp_dir().join(format!("burgee-inotify-{}-{name}", std::process::id()));
            let _ = fs::remove_dir_all(&directory);
            fs::create_dir(&directory).unwrap();
            prepare(&directory);
            let mut reactor = Reactor::new().unwrap();
            let path = directory.join("f").to_str().unwrap().to_owned();
            let watch = FileWatch::open(&mut reactor, &path, TOKEN).unwrap();
            Lab { directory, reactor, house: House { watch, changes: 0 } }
        }

        fn write(&self, name: &str, text: &str) {
            fs::write(self.directory.join(name), text).unwrap();
        }

        /// How many changes are seen until what happened has settled. What
        /// happened is in the kernel's queue, so a turn that does not wait
        /// finds it.
        fn changes(&mut self) -> u32 {
            let guard = self.reactor.wheel.insert(self.reactor.now(), GUARD);
            poll::turn(&mut self.reactor, &mut self.house).unwrap();
            self.reactor.wheel.cancel(guard);
            while self.house.watch.ready || self.house.watch.look_at.is_some() {
                poll::turn(&mut self.reactor, &mut self.house).unwrap();
            }
            std::mem::take(&mut self.house.changes)
        }
    }

    impl Drop for Lab {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.directory);
        }
    }

    fn with_file(directory: &Path) {
        fs::write(directory.join("f"), "1").unwrap();
    }

    #[test]
    fn written_in_place_or_replaced_it_is_one_change_each_time() {
        let mut lab = Lab::new("written", with_file);
        assert_eq!(lab.changes(), 0);
        for text in ["2", "22", "222"] {
            lab.write("f", text);
        }
        assert_eq!(lab.changes(), 1, "what comes together is one change");
        lab.write("f.new", "4");
        assert_eq!(lab.changes(), 0, "another file");
        fs::rename(lab.directory.join("f.new"), lab.directory.join("f")).unwrap();
        assert_eq!(lab.changes(), 1);
        fs::remove_file(lab.directory.join("f")).unwrap();
        assert_eq!(lab.changes(), 0, "it may be back in a moment");
        lab.write("f", "5");
        assert_eq!(lab.changes(), 1);
    }

    #[test]
    fn a_file_that_is_not_there_yet_is_a_change_when_it_comes() {
        let mut lab = Lab::new("later", |_| {});
        assert_eq!(lab.changes(), 0);
        lab.write("f", "1");
        assert_eq!(lab.changes(), 1);
        assert!(FileWatch::open(&mut lab.reactor, "/no/such/directory/f", TOKEN).is_err());
    }

    /// The way of Kubernetes: `f` leads through `..data` to a directory of its
    /// own, and `..data` is turned to another one by a rename.
    #[test]
    fn a_link_that_is_turned_is_a_change() {
        let fill = |directory: &Path, name: &str| {
            fs::create_dir(directory.join(name)).unwrap();
            fs::write(directory.join(name).join("f"), name).unwrap();
        };
        let mut lab = Lab::new("link", |directory| {
            fill(directory, "..1");
            symlink("..1", directory.join("..data")).unwrap();
            symlink("..data/f", directory.join("f")).unwrap();
        });
        fill(&lab.directory, "..2");
        symlink("..2", lab.directory.join("..data_tmp")).unwrap();
        assert_eq!(lab.changes(), 0);
        fs::rename(lab.directory.join("..data_tmp"), lab.directory.join("..data")).unwrap();
        fs::remove_dir_all(lab.directory.join("..1")).unwrap();
        assert_eq!(lab.changes(), 1);
        lab.write("..2/f", "in place");
        assert_eq!(lab.changes(), 1, "where the link leads to now");
        assert_eq!(lab.house.watch.watched.len(), 2);
    }

    /// More events than the kernel keeps (fs.inotify.max_queued_events, 16384).
    #[test]
    fn lost_events_lose_nothing() {
        let mut lab = Lab::new("overflow", with_file);
        for n in 0..9000 {
            lab.write(&format!("other{}", n % 2), "");
            fs::remove_file(lab.directory.join(format!("other{}", n % 2))).unwrap();
        }
        lab.write("f", "2");
        assert_eq!(lab.changes(), 1);
    }
}
