//! Where log records go: a bounded queue that the loop empties into standard
//! error without ever waiting for its reader.
#![allow(unsafe_code)]

use std::collections::VecDeque;
use std::fmt::{Display, Write as _};
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::sync::{Mutex, MutexGuard, PoisonError, TryLockError};
use std::time::Duration;

use log::{Level, LevelFilter, Log, Metadata, Record};
use mio::Interest;
use mio::unix::SourceFd;

use super::calendar::{Fraction, Utc};
use super::clock::Clock;
use super::poll::Reactor;
use super::token::{Kind, Token};

/// Most bytes that wait for the reader of the log: some thousand lines, which
/// bridges a stall of a second at a busy moment.
const QUEUE_LIMIT: usize = 256 * 1024;
/// Most bytes of one message; what is longer is cut and marked.
const MESSAGE_LIMIT: usize = 4096;
/// A queue that grew past this is given back when it is empty.
const QUEUE_KEPT: usize = 16 * 1024;
/// Most bytes in one write where only a poll says that there is room for
/// some: a pipe that polls writable takes PIPE_BUF without blocking (pipe(7)).
const POLLED_WRITE: usize = 4096;
/// How often, and how long each time, the end of the program waits for a
/// reader that does not read: 250 ms in all.
const EXIT_ATTEMPTS: u32 = 10;
const EXIT_WAIT_MS: i32 = 25;

static SINK: Mutex<Option<Sink>> = Mutex::new(None);
static LOGGER: Gate = Gate;

/// A value for a log line, in double quotes, with those inside it escaped, so
/// that `key=value` can be taken apart again.
pub fn quoted(value: impl Display) -> String {
    format!("{:?}", value.to_string())
}

/// Sends the records of the `log` crate up to `level` to standard error,
/// through the sink, and the words of a panic as well: the standard hook would
/// write them with a call that blocks. A later call only changes the level.
pub fn install(level: LevelFilter) {
    let mut sink = sink();
    if sink.is_none() {
        *sink = Some(Sink::new(Output::open(libc::STDERR_FILENO), Clock::new().wall()));
        std::panic::set_hook(Box::new(|panic| {
            let place = panic.location().map(ToString::to_string).unwrap_or_default();
            let text = panic.payload_as_str().unwrap_or_default();
            log::error!("event=panic place={place} message={}", quoted(text));
        }));
    }
    // An error says that a logger is set already: this one, or the one of a
    // program that embeds us and keeps its own.
    let _ = log::set_logger(&LOGGER);
    log::set_max_level(level);
}

/// Registers the sink with the loop, so that it wakes when a reader that
/// stalled reads on. A regular file cannot be registered and never stalls.
pub fn attach(reactor: &mut Reactor) {
    if let Some(Sink { output: Output::Open { descriptor, .. }, attached, .. }) = &mut *sink() {
        let token = Token::new(Kind::Log, 0, 0);
        let raw = descriptor.raw();
        *attached = reactor.register(&mut SourceFd(&raw), token, Interest::WRITABLE).is_ok();
    }
}

/// Sets the time that the lines of this turn carry.
pub(super) fn begin_turn(wall: Duration) {
    if let Some(sink) = &mut *sink() {
        sink.wall = wall;
    }
}

/// The descriptor takes bytes again.
pub(super) fn writable() {
    if let Some(sink) = &mut *sink() {
        sink.blocked = false;
    }
}

/// Writes what waits, as far as the reader takes it. The loop does this at the
/// end of each turn.
pub fn flush() {
    if let Some(sink) = &mut *sink() {
        sink.flush();
    }
}

/// Writes what waits before the program ends; gives a stalled reader a quarter
/// of a second.
pub fn flush_at_exit() {
    if let Some(sink) = &mut *sink() {
        for _ in 0..EXIT_ATTEMPTS {
            sink.blocked = false;
            sink.flush();
            match &sink.output {
                Output::Open { descriptor, .. } if !sink.queue.is_empty() => {
                    may_write(descriptor.raw(), EXIT_WAIT_MS);
                }
                _ => return,
            }
        }
    }
}

/// How many lines were lost since the start, because the reader was slow or
/// gone.
pub fn dropped() -> u64 {
    sink().as_ref().map_or(0, |sink| sink.dropped)
}

fn sink() -> MutexGuard<'static, Option<Sink>> {
    SINK.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The face towards the `log` crate.
struct Gate;

impl Log for Gate {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.level() <= log::max_level()
    }

    fn log(&self, record: &Record<'_>) {
        if !self.enabled(record.metadata()) {
            return;
        }
        // Formatted before the sink is locked: a value's Display may log.
        let message = Message::of(*record.args());
        // There is one thread, so the sink is locked only if a panic in the
        // sink itself brought us here.
        let mut sink = match SINK.try_lock() {
            Ok(sink) => sink,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => return,
        };
        if let Some(sink) = &mut *sink {
            sink.push(record.level(), &message);
        }
    }

    fn flush(&self) {}
}

/// One message on one line: control characters are escaped, so that bytes from
/// the network cannot forge a line or speak to a terminal.
struct Message {
    text: String,
    cut: bool,
}

impl Message {
    fn of(arguments: std::fmt::Arguments<'_>) -> Message {
        let mut message = Message { text: String::new(), cut: false };
        // The only error is our own, that the message is full.
        let _ = message.write_fmt(arguments);
        if message.cut {
            message.text.push_str("[...]");
        }
        message
    }
}

impl std::fmt::Write for Message {
    fn write_str(&mut self, text: &str) -> std::fmt::Result {
        for c in text.chars() {
            if self.text.len() >= MESSAGE_LIMIT {
                self.cut = true;
                return Err(std::fmt::Error);
            }
            match c.is_control() {
                true => self.text.extend(c.escape_default()),
                false => self.text.push(c),
            }
        }
        Ok(())
    }
}

struct Sink {
    queue: VecDeque<u8>,
    output: Output,
    /// The reader's side is full and the loop will tell when it is not.
    blocked: bool,
    /// Registered with the poll.
    attached: bool,
    wall: Duration,
    dropped: u64,
    /// Dropped lines that the log itself does not tell of yet.
    unreported: u64,
}

impl Sink {
    fn new(output: Output, wall: Duration) -> Sink {
        Sink {
            queue: VecDeque::new(),
            output,
            blocked: false,
            attached: false,
            wall,
            dropped: 0,
            unreported: 0,
        }
    }

    fn push(&mut self, level: Level, message: &Message) {
        if !self.report() || !self.append(&line(self.wall, level, &message.text)) {
            self.lose(1);
        }
    }

    fn lose(&mut self, lines: u64) {
        self.dropped = self.dropped.saturating_add(lines);
        self.unreported = self.unreported.saturating_add(lines);
    }

    fn append(&mut self, line: &str) -> bool {
        let fits = self.queue.len().saturating_add(line.len()) <= QUEUE_LIMIT
            && !matches!(self.output, Output::Closed);
        if fits {
            self.queue.extend(line.as_bytes());
        }
        fits
    }

    /// Queues the line that tells of dropped ones, if there are any, once the
    /// queue is half empty, so that one stall of the reader is told once.
    /// Returns whether none is left untold.
    fn report(&mut self) -> bool {
        if self.unreported > 0 && self.queue.len() <= QUEUE_LIMIT / 2 {
            let text = format!("event=log-lines-dropped dropped={}", self.unreported);
            if self.append(&line(self.wall, Level::Warn, &text)) {
                self.unreported = 0;
            }
        }
        self.unreported == 0
    }

    fn flush(&mut self) {
        self.drain();
        if self.unreported > 0 && self.report() {
            self.drain();
        }
        if self.queue.is_empty() && self.queue.capacity() > QUEUE_KEPT {
            self.queue.shrink_to(QUEUE_KEPT);
        }
    }

    fn drain(&mut self) {
        while !self.blocked && !self.queue.is_empty() {
            let (front, _) = self.queue.as_slices();
            match self.output.write(front) {
                Ok(0) => return,
                Ok(count) => drop(self.queue.drain(..count.min(self.queue.len()))),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    // Without an event to wait for, every turn tries again.
                    self.blocked = self.attached;
                    return;
                }
                // The reader is gone. Nothing can be said any more, only counted.
                Err(_) => {
                    let lines = self.queue.iter().filter(|byte| **byte == b'\n').count();
                    self.lose(u64::try_from(lines).unwrap_or(u64::MAX));
                    self.queue = VecDeque::new();
                    self.output = Output::Closed;
                }
            }
        }
    }
}

/// Where the bytes go, and which way of writing does not block.
enum Output {
    Open {
        descriptor: Descriptor,
        how: How,
    },
    /// The reader is gone.
    Closed,
}

#[derive(Clone, Copy)]
enum How {
    /// A regular file, or our own non-blocking description of a pipe or
    /// terminal.
    Write,
    /// A socket: each call says that it must not block.
    Send,
    /// Somebody else's description: poll first, then write little.
    Poll,
}

/// Ours, or that of the process, which stays open.
enum Descriptor {
    Owned(OwnedFd),
    Process(RawFd),
}

impl Descriptor {
    fn raw(&self) -> RawFd {
        match self {
            Descriptor::Owned(descriptor) => descriptor.as_raw_fd(),
            Descriptor::Process(raw) => *raw,
        }
    }
}

impl Output {
    /// Finds the way to write to `raw`. A pipe or a terminal is opened a second
    /// time, because O_NONBLOCK belongs to the open file description, and
    /// this one may be shared with a shell.
    fn open(raw: RawFd) -> Output {
        let mut status = std::mem::MaybeUninit::<libc::stat>::uninit();
        // SAFETY: fstat writes a stat structure into the place given.
        if unsafe { libc::fstat(raw, status.as_mut_ptr()) } != 0 {
            return Output::Closed;
        }
        // SAFETY: fstat succeeded, so the structure is initialised.
        let mode = unsafe { status.assume_init() }.st_mode & libc::S_IFMT;
        let process = Descriptor::Process(raw);
        match mode {
            libc::S_IFREG => Output::Open { descriptor: process, how: How::Write },
            libc::S_IFSOCK => Output::Open { descriptor: process, how: How::Send },
            _ => match reopen(raw) {
                Ok(own) => Output::Open { descriptor: Descriptor::Owned(own), how: How::Write },
                // open(2): ENXIO is a FIFO that no process has open for reading.
                Err(error) if mode == libc::S_IFIFO && is(&error, libc::ENXIO) => Output::Closed,
                Err(_) => Output::Open { descriptor: process, how: How::Poll },
            },
        }
    }

    fn write(&self, bytes: &[u8]) -> io::Result<usize> {
        let Output::Open { descriptor, how } = self else {
            return Err(io::ErrorKind::BrokenPipe.into());
        };
        let raw = descriptor.raw();
        let bytes = match how {
            How::Write | How::Send => bytes,
            How::Poll if !may_write(raw, 0) => return Err(io::ErrorKind::WouldBlock.into()),
            How::Poll => bytes.get(..POLLED_WRITE).unwrap_or(bytes),
        };
        let (start, len) = (bytes.as_ptr().cast(), bytes.len());
        let flags = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL;
        // SAFETY: both read `len` bytes from `start`, which is the slice.
        let written = match how {
            How::Send => unsafe { libc::send(raw, start, len, flags) },
            How::Write | How::Poll => unsafe { libc::write(raw, start, len) },
        };
        usize::try_from(written).map_err(|_| io::Error::last_os_error())
    }
}

fn is(error: &io::Error, number: i32) -> bool {
    error.raw_os_error() == Some(number)
}

fn reopen(raw: RawFd) -> io::Result<OwnedFd> {
    let path = std::ffi::CString::new(format!("/proc/self/fd/{raw}"))?;
    let flags = libc::O_WRONLY | libc::O_NONBLOCK | libc::O_NOCTTY | libc::O_CLOEXEC;
    // SAFETY: open reads the path, which ends with a zero byte.
    let own = unsafe { libc::open(path.as_ptr(), flags) };
    match own {
        ..0 => Err(io::Error::last_os_error()),
        // SAFETY: open has just returned it, and nothing else owns it.
        own => Ok(unsafe { OwnedFd::from_raw_fd(own) }),
    }
}

/// Whether a write would not block within `wait_ms` milliseconds.
fn may_write(raw: RawFd, wait_ms: i32) -> bool {
    let mut entry = libc::pollfd { fd: raw, events: libc::POLLOUT, revents: 0 };
    // SAFETY: poll reads and writes the one entry.
    unsafe { libc::poll(&mut entry, 1, wait_ms) == 1 }
}

/// `2026-11-23T17:00:00.123Z INFO message`, and the end of the line.
fn line(wall: Duration, level: Level, message: &str) -> String {
    let time = Utc::at(wall).rfc3339(Fraction::Millis);
    format!("{time} {level} {message}\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;
    use std::os::unix::net::UnixStream;

    const WALL: Duration = Duration::from_millis(1_795_453_200_123);

    fn sink_to(raw: RawFd) -> Sink {
        Sink::new(Output::open(raw), WALL)
    }

    fn say(sink: &mut Sink, text: &str) {
        sink.push(Level::Info, &Message::of(format_args!("{text}")));
    }

    /// Reads what there is without waiting for the end.
    fn read_all(reader: &mut io::PipeReader) -> String {
        let mut text = Vec::new();
        let mut piece = vec![0; 65_536];
        let mut entry = libc::pollfd { fd: reader.as_raw_fd(), events: libc::POLLIN, revents: 0 };
        // SAFETY: poll reads and writes the one entry.
        while unsafe { libc::poll(&mut entry, 1, 0) } == 1 {
            match reader.read(&mut piece).unwrap() {
                0 => break,
                n => text.extend_from_slice(&piece[..n]),
            }
        }
        String::from_utf8(text).unwrap()
    }

    fn blocking(raw: RawFd) -> bool {
        // SAFETY: F_GETFL only reads the flags.
        unsafe { libc::fcntl(raw, libc::F_GETFL) & libc::O_NONBLOCK == 0 }
    }

    #[test]
    fn a_line_has_utc_time_level_and_message() {
        let (mut reader, writer) = io::pipe().unwrap();
        let mut sink = sink_to(writer.as_raw_fd());
        say(&mut sink, "event=started version=1");
        sink.flush();
        assert_eq!(
            read_all(&mut reader),
            "2026-11-23T17:00:00.123Z INFO event=started version=1\n"
        );
    }

    #[test]
    fn bytes_from_outside_cannot_forge_a_line() {
        let message = Message::of(format_args!("a={}", "x\r\n2026 ERROR\u{1b}[2J\0\u{85}é"));
        assert_eq!(message.text, "a=x\\r\\n2026 ERROR\\u{1b}[2J\\u{0}\\u{85}é");
        let message = Message::of(format_args!("{}", "é".repeat(MESSAGE_LIMIT)));
        assert!(message.text.ends_with("[...]") && message.text.len() <= MESSAGE_LIMIT + 7);
    }

    #[test]
    fn a_full_pipe_drops_counts_and_tells() {
        let (mut reader, writer) = io::pipe().unwrap();
        let mut sink = sink_to(writer.as_raw_fd());
        assert!(blocking(writer.as_raw_fd()), "the shared description is left as it was");
        let text = "k=v ".repeat(250);
        for _ in 0..1000 {
            say(&mut sink, &text);
            sink.flush();
        }
        assert!(sink.queue.len() <= QUEUE_LIMIT && sink.queue.capacity() <= 2 * QUEUE_LIMIT);
        let dropped = sink.dropped;
        assert!(dropped > 500, "{dropped}");
        let mut log = String::new();
        while !sink.queue.is_empty() {
            log += &read_all(&mut reader);
            sink.flush();
        }
        log += &read_all(&mut reader);
        let lines: Vec<&str> = log.lines().collect();
        assert_eq!(lines.len() as u64, 1000 - dropped + 1);
        assert!(lines[lines.len() - 1].ends_with(&format!("dropped={dropped}")));
        assert!(lines.iter().all(|line| line.starts_with("2026-11-23T17:00:00.123Z ")));
        say(&mut sink, "after=1");
        sink.flush();
        assert!(read_all(&mut reader).ends_with("INFO after=1\n"), "told once");
        assert_eq!(sink.dropped, dropped);
    }

    #[test]
    fn a_closed_pipe_is_survived_and_counted() {
        let (reader, writer) = io::pipe().unwrap();
        let mut sink = sink_to(writer.as_raw_fd());
        say(&mut sink, "one");
        say(&mut sink, "two");
        drop(reader);
        sink.flush();
        say(&mut sink, "three");
        sink.flush();
        assert_eq!(sink.dropped, 3);
        assert_eq!(sink.queue.len(), 0);
        let mut sink = sink_to(writer.as_raw_fd());
        say(&mut sink, "closed from the start");
        sink.flush();
        assert_eq!(sink.dropped, 1);
    }

    #[test]
    fn a_stalled_reader_wakes_the_loop_and_not_before() {
        let (mut reader, writer) = io::pipe().unwrap();
        let mut sink = sink_to(writer.as_raw_fd());
        sink.attached = true;
        for _ in 0..100 {
            say(&mut sink, &"x".repeat(1000));
        }
        sink.flush();
        assert!(sink.blocked);
        let waiting = sink.queue.len();
        read_all(&mut reader);
        sink.flush();
        assert_eq!(sink.queue.len(), waiting, "no write without an event");
        sink.blocked = false;
        sink.flush();
        assert!(sink.queue.is_empty());
    }

    #[test]
    fn sockets_and_files_take_lines_too() {
        let (here, mut there) = UnixStream::pair().unwrap();
        let mut sink = sink_to(here.as_raw_fd());
        say(&mut sink, "to=socket");
        sink.flush();
        assert!(blocking(here.as_raw_fd()));
        let mut piece = [0; 100];
        let count = there.read(&mut piece).unwrap();
        assert!(piece[..count].ends_with(b"INFO to=socket\n"));
        // A full socket neither blocks nor kills, and neither does a closed one.
        for _ in 0..1000 {
            say(&mut sink, &"x".repeat(4000));
            sink.flush();
        }
        assert!(sink.dropped > 0);
        drop(there);
        sink.flush();
        assert!(matches!(sink.output, Output::Closed));

        let name = std::ffi::CString::new("log").unwrap();
        // SAFETY: memfd_create reads the name, which ends with a zero byte.
        let file = unsafe { libc::memfd_create(name.as_ptr(), libc::MFD_CLOEXEC) };
        // SAFETY: it was just returned, and nothing else owns it.
        let mut file = std::fs::File::from(unsafe { OwnedFd::from_raw_fd(file) });
        let mut sink = sink_to(file.as_raw_fd());
        say(&mut sink, "to=file");
        sink.flush();
        let mut text = String::new();
        std::io::Seek::rewind(&mut file).unwrap();
        file.read_to_string(&mut text).unwrap();
        assert!(text.ends_with("INFO to=file\n"));
    }

    #[test]
    fn a_pipe_that_cannot_be_opened_again_is_polled() {
        let (mut reader, writer) = io::pipe().unwrap();
        let descriptor = Descriptor::Process(writer.as_raw_fd());
        let mut sink = Sink::new(Output::Open { descriptor, how: How::Poll }, WALL);
        for _ in 0..200 {
            say(&mut sink, &"y".repeat(1000));
            sink.flush();
        }
        assert!(!sink.queue.is_empty(), "the pipe is full and the program lives");
        while !sink.queue.is_empty() {
            read_all(&mut reader);
            sink.flush();
        }
        assert_eq!(sink.dropped, 0);
    }
}
