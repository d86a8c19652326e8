//! The system's two files, read again when they have changed.
//!
//! They are looked at when there is something to ask for, so that nothing needs
//! to be watched, and an idle process looks at nothing.

use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::Duration;

use log::{info, warn};

use super::Paths;
use super::hosts::Hosts;
use super::resolv_conf::ResolvConf;
use crate::reactor::Time;
use crate::reactor::log_sink::quoted;

/// The longest file that is read: others are served meanwhile, and a file of
/// this size takes a millisecond or two.
const MAX_FILE: u64 = 256 * 1024;

/// The shortest time between two looks.
const PAUSE: Duration = Duration::from_secs(1);

/// What tells one state of a file from another; `None`: there is no file.
type Stamp = Option<(u64, u64, i64, i64, u64)>;

#[derive(Debug)]
pub(super) struct Files {
    paths: Paths,
    stamps: [Stamp; 2],
    conf: ResolvConf,
    hosts: Hosts,
    /// Not looked at before then.
    rest: Time,
}

impl Files {
    /// Reads both.
    pub(super) fn new(paths: Paths) -> Files {
        let (conf, hosts) = (ResolvConf::default(), Hosts::default());
        let mut files = Files { paths, stamps: [None; 2], conf, hosts, rest: Time::ZERO };
        files.read();
        files
    }

    /// What they say.
    pub(super) fn content(&self) -> (ResolvConf, Hosts) {
        (self.conf.clone(), self.hosts.clone())
    }

    /// Looks at them, if that was not done a moment ago; says whether they were
    /// read again.
    pub(super) fn look(&mut self, now: Time) -> bool {
        if now < self.rest {
            return false;
        }
        self.rest = now + PAUSE;
        let is_changed = self.stamps != self.stamp();
        if is_changed {
            self.read();
        }
        is_changed
    }

    fn stamp(&self) -> [Stamp; 2] {
        [&self.paths.resolv_conf, &self.paths.hosts].map(|path| {
            let it = fs::metadata(path).ok()?;
            Some((it.dev(), it.ino(), it.mtime(), it.mtime_nsec(), it.size()))
        })
    }

    fn read(&mut self) {
        self.stamps = self.stamp();
        // A file that cannot be read changes nothing; one that is not there
        // says nothing, as for the C library.
        if let Some(text) = read(&self.paths.resolv_conf) {
            self.conf = ResolvConf::parse(&text);
        }
        if let Some(text) = read(&self.paths.hosts) {
            self.hosts = Hosts::parse(&text);
        }
        let servers: Vec<String> = self.conf.servers.iter().map(ToString::to_string).collect();
        info!("resolve event=configured servers={}", servers.join(","));
    }
}

fn read(path: &Path) -> Option<String> {
    match read_regular(path) {
        Ok(octets) => Some(String::from_utf8_lossy(&octets).into_owned()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Some(String::new()),
        Err(error) => {
            warn!("resolve event=read_failed path={} error={}", path.display(), quoted(error));
            None
        }
    }
}

/// Only a regular file, which cannot make us wait.
fn read_regular(path: &Path) -> io::Result<Vec<u8>> {
    if !fs::metadata(path)?.is_file() {
        return Err(io::Error::other("it is no regular file"));
    }
    let mut octets = Vec::new();
    File::open(path)?.take(MAX_FILE.saturating_add(1)).read_to_end(&mut octets)?;
    match u64::try_from(octets.len()).is_ok_and(|length| length <= MAX_FILE) {
        true => Ok(octets),
        false => Err(io::Error::other("it is longer than 256 KiB")),
    }
}
