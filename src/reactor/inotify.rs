//! Files that are watched, so that a change of one is an event of the loop.
//!
//! Directories are watched and not the file, because a file is replaced more
//! often than it is written: editors and `mv` put another one under its name,
//! and a link anywhere on the way to it can be turned. Every event only leads to
//! a look at the file, so that lost ones (IN_Q_OVERFLOW) lose nothing.
#![allow(unsafe_code)]

use std::collections::VecDeque;
use std::ffi::{CString, OsString};
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

/// A file that was written to so short a time ago may be half of what it is to
/// be, and could change once more without another time of modification, so it
/// is looked at again.
const FRESH: Duration = Duration::from_millis(50);

/// The same for a file without content: `generate > file` empties it first, and
/// `generate` may take a while.
const FRESH_AND_EMPTY: Duration = Duration::from_secs(2);

/// How often in a row a look is put off for that, so that a clock that is ahead
/// does not put it off for ever.
const MOST_PUT_OFF: u32 = 4;

/// What changes the file that a name leads to, or whether it can be read:
/// written and closed, renamed, linked, deleted, given other permissions.
const EVENTS: u32 = libc::IN_CLOSE_WRITE
    | libc::IN_MOVE
    | libc::IN_CREATE
    | libc::IN_DELETE
    | libc::IN_ATTRIB
    | libc::IN_MOVE_SELF
    | libc::IN_ONLYDIR;

/// Most links on the way to a file, as in path_resolution(7).
const MOST_LINKS: usize = 40;

/// Octets read at a time, a hundred events or more, and reads in one turn.
const READ_SIZE: usize = 4096;
const READS: usize = 16;

/// One file that is watched under its name.
#[derive(Debug)]
pub struct FileWatch {
    path: PathBuf,
    token: Token,
    /// Without one, the file is only looked at every now and then.
    descriptor: Option<OwnedFd>,
    /// The directory of the name, and those that the file may be exchanged in.
    watched: Vec<i32>,
    seen: Option<Identity>,
    ready: bool,
    look_at: Option<Time>,
    put_off: u32,
    interval: Option<Duration>,
    next: Option<Time>,
    alarm: Alarm,
}

/// What a look at the file found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Look {
    /// It is another file, or has another content, than before.
    Changed,
    /// It is there no longer.
    Gone,
    /// It is as it was.
    Same,
}

/// What tells one content of a file from the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity {
    place: (u64, u64),
    modified: (i64, i64),
    changed: (i64, i64),
    size: u64,
}

impl Identity {
    /// Of the file that this was asked of.
    pub fn new(data: &fs::Metadata) -> Identity {
        Identity {
            place: (data.dev(), data.ino()),
            modified: (data.mtime(), data.mtime_nsec()),
            changed: (data.ctime(), data.ctime_nsec()),
            size: data.size(),
        }
    }

    fn of(path: &Path) -> Option<Identity> {
        fs::metadata(path).ok().as_ref().map(Identity::new)
    }

    /// How long it should be left alone still.
    fn unrest(&self, wall: Duration) -> Duration {
        let seconds = u64::try_from(self.modified.0).unwrap_or(0);
        let nanos = u32::try_from(self.modified.1).unwrap_or(0);
        let age = wall.saturating_sub(Duration::new(seconds, nanos));
        let rest = if self.size == 0 { FRESH_AND_EMPTY } else { FRESH };
        rest.saturating_sub(age)
    }
}

impl FileWatch {
    /// Watches the file of this name, which need not exist yet; its directory
    /// must. Events and the timer carry `token`.
    ///
    /// # Errors
    /// Those of inotify_init1(2), inotify_add_watch(2) and epoll_ctl(2).
    pub fn open(reactor: &mut Reactor, path: &str, token: Token) -> io::Result<FileWatch> {
        let mut file = FileWatch::begin(reactor, path, token)?;
        file.watch_directories()?;
        file.seen = Identity::of(&file.path);
        Ok(file)
    }

    /// A watch of nothing yet.
    pub(super) fn begin(reactor: &mut Reactor, path: &str, token: Token) -> io::Result<FileWatch> {
        // SAFETY: inotify_init1 takes no pointer.
        let descriptor = unsafe { libc::inotify_init1(libc::IN_NONBLOCK | libc::IN_CLOEXEC) };
        if descriptor < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: inotify_init1 has just returned this descriptor, and nothing
        // else owns it.
        let descriptor = unsafe { OwnedFd::from_raw_fd(descriptor) };
        reactor.register(&mut SourceFd(&descriptor.as_raw_fd()), token, Interest::READABLE)?;
        Ok(FileWatch::new(path, token, Some(descriptor)))
    }

    /// The same without inotify: the file is looked at as
    /// [`FileWatch::look_every`] says, and otherwise not at all.
    pub fn without_events(path: &str, token: Token) -> FileWatch {
        let mut file = FileWatch::new(path, token, None);
        file.seen = Identity::of(&file.path);
        file
    }

    fn new(path: &str, token: Token, descriptor: Option<OwnedFd>) -> FileWatch {
        FileWatch {
            path: PathBuf::from(path),
            token,
            descriptor,
            watched: Vec::new(),
            seen: None,
            ready: false,
            look_at: None,
            put_off: 0,
            interval: None,
            next: None,
            alarm: Alarm::new(),
        }
    }

    /// Looks at the file every `interval` as well, for a file system that tells
    /// no events, as those over a network; zero: no longer.
    pub fn look_every(&mut self, reactor: &mut Reactor, interval: Duration) {
        let interval = (!interval.is_zero()).then_some(interval);
        if self.interval != interval {
            self.interval = interval;
            self.next = interval.map(|interval| reactor.now() + interval);
            self.set_alarm(reactor);
        }
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

    /// When the file is looked at next, without a further event.
    pub fn deadline(&self) -> Option<Time> {
        [self.look_at, self.next].into_iter().flatten().min()
    }

    /// Control: looks at the file if there is a reason to; says what it found.
    pub fn poll(&mut self, reactor: &mut Reactor) -> Option<Look> {
        let now = reactor.now();
        if self.ready && self.read_events() && self.look_at.is_none() {
            self.look_at = Some(now + SETTLE);
        }
        let mut look = None;
        if self.deadline().is_some_and(|at| at <= now) {
            self.look_at = None;
            self.next = self.interval.map(|interval| now + interval);
            look = self.look(reactor);
        }
        self.set_alarm(reactor);
        look
    }

    /// Control: whether the file is another one, or has another content, than
    /// when it was last asked. A file that is gone is not: it may be back in a
    /// moment.
    pub fn poll_changed(&mut self, reactor: &mut Reactor) -> bool {
        self.poll(reactor) == Some(Look::Changed)
    }

    /// Takes the timer out of the wheel, for a watch that ends.
    pub fn close(mut self, reactor: &mut Reactor) {
        self.alarm.clear(&mut reactor.wheel);
    }

    fn set_alarm(&mut self, reactor: &mut Reactor) {
        let deadline = self.deadline();
        self.alarm.set(&mut reactor.wheel, self.token, deadline);
    }

    fn look(&mut self, reactor: &Reactor) -> Option<Look> {
        // A directory that is not there leaves what can be watched.
        let _ = self.watch_directories();
        let identity = Identity::of(&self.path);
        if identity == self.seen {
            self.put_off = 0;
            return Some(Look::Same);
        }
        let unrest = identity.map_or(Duration::ZERO, |it| it.unrest(reactor.wall()));
        if !unrest.is_zero() && self.put_off < MOST_PUT_OFF {
            self.put_off = self.put_off.saturating_add(1);
            self.look_at = Some(reactor.now() + unrest);
            return None;
        }
        self.put_off = 0;
        self.seen = identity;
        Some(if identity.is_some() { Look::Changed } else { Look::Gone })
    }

    /// Reads events, whatever they are; says whether there were any.
    pub(super) fn read_events(&mut self) -> bool {
        let Some(descriptor) = self.descriptor.as_ref().map(AsRawFd::as_raw_fd) else {
            self.ready = false;
            return false;
        };
        let mut any = false;
        for _ in 0..READS {
            let mut buffer = [0_u8; READ_SIZE];
            // SAFETY: read writes at most the size of the buffer into it.
            let count = unsafe { libc::read(descriptor, buffer.as_mut_ptr().cast(), buffer.len()) };
            if count <= 0 {
                self.ready = false;
                break;
            }
            any = true;
        }
        any
    }

    /// Watches the directory of the name and those that the file may be
    /// exchanged in, and no others. To watch one again changes nothing.
    pub(super) fn watch_directories(&mut self) -> io::Result<()> {
        let Some(descriptor) = &self.descriptor else { return Ok(()) };
        let own = watch(descriptor, &directory(&self.path));
        let mut wanted: Vec<i32> = own.as_ref().copied().into_iter().collect();
        each_junction(&self.path, &mut |directory| {
            let watched = watch(descriptor, directory);
            wanted.extend(watched.ok().filter(|watched| !wanted.contains(watched)));
        });
        for old in std::mem::replace(&mut self.watched, wanted) {
            if !self.watched.contains(&old) {
                // SAFETY: inotify_rm_watch takes no pointer; for a watch that
                // ended with its directory it returns an error.
                unsafe { libc::inotify_rm_watch(descriptor.as_raw_fd(), old) };
            }
        }
        own.map(|_| ())
    }
}

fn directory(path: &Path) -> PathBuf {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
        _ => PathBuf::from("."),
    }
}

/// Visits the directories in which it is decided what the name leads to: those
/// that hold a link on the way, the one of the file itself, and where the way
/// ends too early the one in which it would go on. None is named through a
/// link, and a link is read after the visit, so that who begins to watch misses
/// nothing.
fn each_junction(path: &Path, visit: &mut dyn FnMut(&Path)) {
    let mut here = PathBuf::from(".");
    let mut rest: VecDeque<OsString> = parts(path).collect();
    let mut links: usize = 0;
    while let Some(name) = rest.pop_front() {
        // An absolute name takes the place of all before it.
        let next = here.join(&name);
        let data = fs::symlink_metadata(&next);
        let is_link = data.as_ref().is_ok_and(fs::Metadata::is_symlink);
        if is_link || rest.is_empty() || data.is_err() {
            visit(&here);
        }
        if is_link {
            links = links.saturating_add(1);
            match fs::read_link(&next) {
                Ok(target) if links <= MOST_LINKS => {
                    parts(&target).rev().for_each(|part| rest.push_front(part));
                }
                _ => break,
            }
        } else if data.is_ok() {
            here = next;
        } else {
            break;
        }
    }
}

fn parts(path: &Path) -> impl DoubleEndedIterator<Item = OsString> {
    path.components().map(|part| part.as_os_str().to_owned())
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
        looks: Vec<Look>,
    }

    impl Phases for House {
        fn collect(&mut self, _: &mut Reactor, token: Token, _: Readiness) {
            self.watch.collect(token);
        }
        fn expired(&mut self, _: &mut Reactor, token: Token) {
            self.watch.expired(token);
        }
        fn control(&mut self, reactor: &mut Reactor) {
            self.looks.extend(self.watch.poll(reactor));
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
            Lab { directory, reactor, house: House { watch, looks: Vec::new() } }
        }

        fn write(&self, name: &str, text: &str) {
            fs::write(self.directory.join(name), text).unwrap();
        }

        /// How many changes are seen until what happened has settled.
        fn changes(&mut self) -> usize {
            self.looks().iter().filter(|look| **look == Look::Changed).count()
        }

        /// All looks until what happened has settled. What happened is in the
        /// kernel's queue, so a turn that does not wait finds it.
        fn looks(&mut self) -> Vec<Look> {
            let guard = self.reactor.wheel.insert(self.reactor.now(), GUARD);
            poll::turn(&mut self.reactor, &mut self.house).unwrap();
            self.reactor.wheel.cancel(guard);
            while self.house.watch.ready || self.house.watch.look_at.is_some() {
                poll::turn(&mut self.reactor, &mut self.house).unwrap();
            }
            std::mem::take(&mut self.house.looks)
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
        assert_eq!(lab.looks(), [Look::Gone]);
        lab.write("f", "5");
        assert_eq!(lab.changes(), 1);
        fs::remove_file(lab.directory.join("f")).unwrap();
        lab.write("f", "6");
        assert_eq!(lab.looks(), [Look::Changed], "it was back in a moment");
    }

    /// What opened the file, wrote to it and has not closed it yet.
    #[test]
    fn a_file_that_is_being_written_is_left_alone() {
        let mut lab = Lab::new("writing", with_file);
        let mut file = fs::File::create(lab.directory.join("f")).unwrap();
        assert_eq!(lab.looks(), [], "nothing was closed, so nobody looks");
        lab.write("other", "");
        let begun = lab.reactor.now();
        assert_eq!(lab.looks(), [Look::Changed], "an empty file is believed at last");
        assert!(lab.reactor.now().since(begun) > FRESH_AND_EMPTY - SETTLE);
        lab.write("other", "");
        io::Write::write_all(&mut file, b"2").unwrap();
        drop(file);
        assert_eq!(lab.looks(), [Look::Changed], "events that come together are one look");
    }

    #[test]
    fn other_permissions_are_a_change_because_the_file_may_be_readable_now() {
        use std::os::unix::fs::PermissionsExt;
        let mut lab = Lab::new("permissions", with_file);
        for mode in [0o200, 0o600] {
            let path = lab.directory.join("f");
            fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
            assert_eq!(lab.looks(), [Look::Changed]);
        }
    }

    #[test]
    fn a_clock_that_is_ahead_puts_a_look_off_only_so_often() {
        let mut lab = Lab::new("future", with_file);
        lab.write("f", "22");
        let future = std::time::SystemTime::now() + Duration::from_secs(3600);
        let file = fs::File::options().write(true).open(lab.directory.join("f")).unwrap();
        file.set_modified(future).unwrap();
        drop(file);
        assert_eq!(lab.looks(), [Look::Changed]);
    }

    #[test]
    fn without_events_the_file_is_looked_at_every_interval_and_else_never() {
        let mut lab = Lab::new("polled", with_file);
        let path = lab.directory.join("f").to_str().unwrap().to_owned();
        lab.house.watch = FileWatch::without_events(&path, TOKEN);
        assert_eq!(lab.reactor.wheel.next_deadline(), None);
        let interval = Duration::from_millis(60);
        lab.house.watch.look_every(&mut lab.reactor, interval);
        let first = lab.reactor.now() + interval;
        assert_eq!(lab.house.watch.deadline(), Some(first));
        let mut until = |count: usize| {
            while lab.house.looks.len() < count {
                poll::turn(&mut lab.reactor, &mut lab.house).unwrap();
            }
            std::mem::take(&mut lab.house.looks)
        };
        assert_eq!(until(3), [Look::Same; 3]);
        fs::write(&path, "2").unwrap();
        assert!(until(3).contains(&Look::Changed));
        lab.house.watch.look_every(&mut lab.reactor, Duration::ZERO);
        assert_eq!(lab.reactor.wheel.next_deadline(), None);
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
        lab.write("other", "");
        assert_eq!(lab.looks(), [Look::Same]);
    }

    /// The name is a link to another directory, which has links of its own, and
    /// a part of the way is one as well.
    #[test]
    fn a_link_is_followed_through_all_directories() {
        let fill = |directory: &Path, name: &str| {
            fs::create_dir(directory.join(name)).unwrap();
            fs::write(directory.join(name).join("f"), name).unwrap();
        };
        let turn = |directory: &Path, name: &str, to: &str| {
            symlink(to, directory.join("new")).unwrap();
            fs::rename(directory.join("new"), directory.join(name)).unwrap();
        };
        let mut lab = Lab::new("chain", |directory| {
            fs::create_dir(directory.join("volume")).unwrap();
            fill(&directory.join("volume"), "..1");
            symlink("..1", directory.join("volume/..data")).unwrap();
            symlink("..data/f", directory.join("volume/f")).unwrap();
            symlink(directory.join("volume"), directory.join("mount")).unwrap();
            symlink("./mount/../mount/f", directory.join("f")).unwrap();
        });
        let volume = lab.directory.join("volume");
        fill(&volume, "..2");
        assert_eq!(lab.changes(), 0);
        turn(&volume, "..data", "..2");
        assert_eq!(lab.changes(), 1, "in the other directory, and the old one is still there");
        lab.write("volume/..2/f", "in place");
        assert_eq!(lab.changes(), 1);
        fill(&lab.directory, "elsewhere");
        turn(&lab.directory, "mount", "elsewhere");
        assert_eq!(lab.changes(), 1, "on the way");
        turn(&lab.directory, "f", "nowhere/f");
        assert_eq!(lab.looks(), [Look::Gone]);
        fill(&lab.directory, "nowhere");
        assert_eq!(lab.changes(), 1, "where the way ended");
    }

    #[test]
    fn a_directory_that_is_exchanged_is_a_change() {
        let mut lab = Lab::new("exchange", |directory| {
            fs::create_dir(directory.join("a")).unwrap();
            with_file(&directory.join("a"));
        });
        let path = lab.directory.join("a/f").to_str().unwrap().to_owned();
        lab.house.watch = FileWatch::open(&mut lab.reactor, &path, TOKEN).unwrap();
        fs::create_dir(lab.directory.join("b")).unwrap();
        lab.write("b/f", "other");
        fs::rename(lab.directory.join("a"), lab.directory.join("c")).unwrap();
        assert_eq!(lab.looks(), [Look::Gone]);
        fs::rename(lab.directory.join("b"), lab.directory.join("a")).unwrap();
        assert_eq!(lab.changes(), 1);
        fs::remove_dir_all(lab.directory.join("a")).unwrap();
        assert_eq!(lab.looks().last(), Some(&Look::Gone));
    }

    #[test]
    fn links_in_a_circle_come_to_an_end() {
        let lab = Lab::new("circle", |directory| {
            symlink("f", directory.join("f")).unwrap();
        });
        assert_eq!(lab.house.watch.watched.len(), 1);
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
