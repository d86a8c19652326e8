//! The file of `registry.file.path`, read in pieces while others are served.

use std::fs::{self, File};
use std::io::{self, Read};

use crate::reactor::inotify::Identity;
use crate::registry::loader::Reading;

/// Most octets of the file: a million routes, sixteen times what the largest
/// known fabio has. All of it is in memory while the table is built.
const LIMIT: u64 = 64 * 1024 * 1024;

/// Octets read in one turn, some 50 µs from the page cache. A disk makes
/// everybody wait, which no file system of Linux lets a single thread avoid.
const PIECE: u64 = 256 * 1024;

/// How often it is read at the start, if it changes meanwhile.
const ATTEMPTS: u32 = 3;

/// A file that is open and was read up to somewhere.
#[derive(Debug)]
pub(super) struct RoutesFile {
    file: File,
    /// What it was when it was opened.
    identity: Identity,
    content: Vec<u8>,
}

impl RoutesFile {
    /// Opens the file.
    ///
    /// # Errors
    /// Those of stat(2) and open(2); and it has to be a regular file, because
    /// another one can make the reader wait, and no longer than 64 MiB.
    pub(super) fn open(path: &str) -> io::Result<RoutesFile> {
        // Asked before it is opened, because to open a pipe waits for a writer.
        is_regular(&fs::metadata(path)?)?;
        let file = File::open(path)?;
        let data = file.metadata()?;
        is_regular(&data)?;
        if data.len() > LIMIT {
            return Err(too_long());
        }
        let room = usize::try_from(data.len()).unwrap_or(0).saturating_add(1);
        let content = Vec::with_capacity(room);
        Ok(RoutesFile { file, identity: Identity::new(&data), content })
    }

    /// Reads a piece.
    pub(super) fn read(&mut self) -> Reading {
        self.read_up_to(PIECE).unwrap_or_else(|problem| Reading::Failed(problem.to_string()))
    }

    fn read_up_to(&mut self, most: u64) -> io::Result<Reading> {
        let count = self.file.by_ref().take(most).read_to_end(&mut self.content)?;
        if self.content.len() as u64 > LIMIT {
            return Err(too_long());
        }
        if count as u64 == most {
            return Ok(Reading::More);
        }
        if Identity::new(&self.file.metadata()?) != self.identity {
            return Ok(Reading::Spoiled);
        }
        Ok(Reading::Whole(std::mem::take(&mut self.content)))
    }
}

/// Reads the whole file at once: for the start and for `burgee check`, while
/// nobody is served.
///
/// # Errors
/// Why it cannot be read, as a sentence with the key and the path.
pub fn read_routes_file(path: &str) -> Result<Vec<u8>, String> {
    for _ in 0..ATTEMPTS {
        let reading = RoutesFile::open(path).and_then(|mut file| file.read_up_to(LIMIT + 1));
        match reading {
            Ok(Reading::Whole(content)) => return Ok(content),
            Ok(_) => {}
            Err(problem) => return Err(cannot_read(path, &problem)),
        }
    }
    Err(cannot_read(path, &io::Error::other("it changes while it is read")))
}

pub(super) fn cannot_read(path: &str, problem: &io::Error) -> String {
    format!("registry.file.path: {path}: cannot be read: {problem}")
}

fn is_regular(data: &fs::Metadata) -> io::Result<()> {
    match data.is_file() {
        true => Ok(()),
        false => Err(io::Error::other("it is no regular file")),
    }
}

fn too_long() -> io::Error {
    io::Error::other("it is longer than 64 MiB")
}
