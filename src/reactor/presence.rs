//! A file whose existence says something, whatever is in it.

use std::io;
use std::path::Path;

use super::inotify::FileWatch;
use super::{Reactor, Token};

/// Watches whether a file is there.
///
/// There is no settling as with a file that is read: a file that exists for a
/// moment counts for a moment. Neither the file nor its directory need exist: what
/// is watched then is the deepest directory on the way that does.
#[derive(Debug)]
pub struct Presence {
    path: String,
    watch: FileWatch,
    is_there: bool,
}

impl Presence {
    /// Watches the file of this name. Events carry `token`.
    ///
    /// # Errors
    /// Those of inotify_init1(2), inotify_add_watch(2) and epoll_ctl(2).
    pub fn open(reactor: &mut Reactor, path: &str, token: Token) -> io::Result<Presence> {
        let mut watch = FileWatch::begin(reactor, path, token)?;
        watch_directories(&mut watch)?;
        // Looked at after the watch began, so that nothing falls in between.
        Ok(Presence { path: path.to_owned(), watch, is_there: Path::new(path).exists() })
    }

    /// Looks at the file once, and never again: where it cannot be watched.
    pub fn unwatched(path: &str, token: Token) -> Presence {
        let watch = FileWatch::without_events(path, token);
        Presence { path: path.to_owned(), watch, is_there: Path::new(path).exists() }
    }

    /// The name.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Whether it was there at the last look.
    pub fn is_there(&self) -> bool {
        self.is_there
    }

    /// Collect: an event of the poll. One with another token means nothing.
    pub fn collect(&mut self, token: Token) {
        self.watch.collect(token);
    }

    /// Whether there is work that needs no further event.
    pub fn has_ready(&self) -> bool {
        self.watch.has_ready()
    }

    /// Control: looks if there was an event; says whether the file came or went.
    pub fn poll_changed(&mut self) -> bool {
        if !self.watch.has_ready() || !self.watch.read_events() {
            return false;
        }
        // What could be watched at first can be no longer: better looked at than not.
        let _ = watch_directories(&mut self.watch);
        let is_there = Path::new(&self.path).exists();
        std::mem::replace(&mut self.is_there, is_there) != is_there
    }
}

/// A directory that is not there leaves the ones above it, which tell when it
/// comes. It may come while they are being watched, so they are watched twice.
fn watch_directories(watch: &mut FileWatch) -> io::Result<()> {
    match watch.watch_directories().or_else(|_| watch.watch_directories()) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::super::poll::{self, Phases};
    use super::super::{Kind, Readiness};
    use super::*;
    use std::fs;
    use std::time::Duration;

    const TOKEN: Token = Token::new(Kind::Watch, 0, 2);

    struct House(Presence, bool);

    impl Phases for House {
        fn collect(&mut self, _: &mut Reactor, token: Token, _: Readiness) {
            self.0.collect(token);
        }
        fn expired(&mut self, _: &mut Reactor, _: Token) {}
        fn control(&mut self, _: &mut Reactor) {
            self.1 |= self.0.poll_changed();
        }
        fn apply(&mut self, _: &mut Reactor) {}
        fn data(&mut self, _: &mut Reactor) {}
        fn accept(&mut self, _: &mut Reactor) {}
        fn api(&mut self, _: &mut Reactor) {}
        fn flush(&mut self, _: &mut Reactor) {}
        fn has_ready(&self) -> bool {
            self.0.has_ready()
        }
        fn exit_code(&self) -> Option<i32> {
            None
        }
    }

    struct Lab {
        reactor: Reactor,
        house: House,
        directory: std::path::PathBuf,
    }

    impl Lab {
        fn new(name: &str, path: &str) -> Lab {
            let directory =
                std::env::temp_dir().join(format!("burgee-{name}-{}", std::process::id()));
            let _ = fs::remove_dir_all(&directory);
            fs::create_dir(&directory).unwrap();
            let mut reactor = Reactor::new().unwrap();
            let path = directory.join(path);
            let presence = Presence::open(&mut reactor, path.to_str().unwrap(), TOKEN).unwrap();
            Lab { reactor, house: House(presence, false), directory }
        }

        /// Turns until the file came or went; says which.
        fn next(&mut self) -> bool {
            for _ in 0..1000 {
                let soon = self.reactor.now() + Duration::from_millis(2);
                let guard = self.reactor.wheel.insert(soon, Token::new(Kind::Guest, 0, 0));
                poll::turn(&mut self.reactor, &mut self.house).unwrap();
                self.reactor.wheel.cancel(guard);
                if std::mem::take(&mut self.house.1) {
                    return self.house.0.is_there();
                }
            }
            panic!("nothing happened");
        }
    }

    impl Drop for Lab {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.directory);
        }
    }

    #[test]
    fn a_file_comes_and_goes_whatever_is_in_it() {
        let mut lab = Lab::new("presence", "maintenance");
        assert!(!lab.house.0.is_there());
        let file = lab.directory.join("maintenance");
        fs::write(&file, "").unwrap();
        assert!(lab.next());
        fs::rename(&file, lab.directory.join("aside")).unwrap();
        assert!(!lab.next());
        std::os::unix::fs::symlink("aside", &file).unwrap();
        assert!(lab.next());
        fs::remove_file(lab.directory.join("aside")).unwrap();
        assert!(!lab.next(), "a link that leads nowhere is no file");
    }

    #[test]
    fn its_directory_may_come_later_and_go_again() {
        let mut lab = Lab::new("presence-later", "a/b/maintenance");
        assert!(!lab.house.0.is_there());
        let folder = lab.directory.join("a/b");
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("maintenance"), "").unwrap();
        assert!(lab.next());
        fs::remove_dir_all(lab.directory.join("a")).unwrap();
        assert!(!lab.next());
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("maintenance"), "").unwrap();
        assert!(lab.next());
    }

    #[test]
    fn one_that_is_there_already_is_seen() {
        let directory = std::env::temp_dir();
        let path = directory.join(format!("burgee-present-{}", std::process::id()));
        fs::write(&path, "").unwrap();
        let mut reactor = Reactor::new().unwrap();
        let presence = Presence::open(&mut reactor, path.to_str().unwrap(), TOKEN).unwrap();
        fs::remove_file(&path).unwrap();
        assert!(presence.is_there());
    }

    /// As on a host that has no watch left to give.
    #[test]
    fn a_file_that_cannot_be_watched_is_an_error_and_is_looked_at_once_all_the_same() {
        let directory = std::env::temp_dir().join(format!("burgee-{}-unseen", std::process::id()));
        fs::write(&directory, "").unwrap();
        let mut reactor = Reactor::new().unwrap();
        let below = directory.join("file").to_str().unwrap().to_owned();
        let error = Presence::open(&mut reactor, &below, TOKEN).expect_err("no directory");
        assert_eq!(error.kind(), io::ErrorKind::NotADirectory);
        assert!(!Presence::unwatched(&below, TOKEN).is_there());
        let mut presence = Presence::unwatched(directory.to_str().unwrap(), TOKEN);
        assert!(presence.is_there() && !presence.has_ready());
        fs::remove_file(&directory).unwrap();
        assert!(!presence.poll_changed() && presence.is_there());
    }
}
