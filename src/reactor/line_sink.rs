//! Lines to a descriptor whose reader can never make the loop wait: a bounded
//! queue, emptied as far as the reader takes it.
//!
//! A reader that is slow, or a disk that is full, costs lines, which are
//! counted; what is queued is written when there is room again. After a reader
//! that is gone for good nothing is kept any more, only counted.
#![allow(unsafe_code)]

use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::time::Duration;

use mio::Interest;
use mio::unix::SourceFd;

use super::clock::{Clock, Time};
use super::poll::Reactor;
use super::token::Token;

/// A queue that grew past this is given back when that much was not needed for
/// [`KEPT_FOR`], so that busy turns do not ask for memory each time.
const QUEUE_KEPT: usize = 16 * 1024;
/// How long a queue that grew is kept.
const KEPT_FOR: Duration = Duration::from_secs(1);
/// Most bytes in one write to anything but a regular file. A pipe takes
/// PIPE_BUF bytes in one piece or not at all (pipe(7)), and so do a Unix socket
/// and most others, so that the lines of another writer to the same reader
/// stay beside ours and not inside. And where only a poll says that there is
/// room for some, that many do not block.
const PIECE: usize = 4096;
/// How long a descriptor is left alone after an error that may pass: a full
/// disk, a file at its size limit.
const RETRY: Duration = Duration::from_secs(1);
/// How long the end of the program waits for a reader that does not read.
const EXIT_WAIT: Duration = Duration::from_millis(250);

/// A bounded queue of lines in front of a descriptor.
#[derive(Debug)]
pub struct LineSink {
    queue: VecDeque<u8>,
    /// Most bytes in the queue.
    limit: usize,
    output: Output,
    /// Registered with the poll.
    attached: bool,
    wait: Wait,
    /// When more than [`QUEUE_KEPT`] was last needed.
    grown: Time,
    /// A line did not fit, and the queue has not been half empty since.
    dropping: bool,
    dropped: u64,
}

/// What has to happen before the next write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wait {
    Nothing,
    /// The reader's side is full, and the loop will tell when it is not.
    Event,
    /// The last write met an error that may pass.
    Until(Time),
}

impl LineSink {
    /// A queue of at most `limit` bytes in front of `descriptor`, which has to
    /// stay open. If it is not open, all lines are dropped.
    pub fn to(descriptor: RawFd, limit: usize) -> LineSink {
        LineSink {
            queue: VecDeque::new(),
            limit,
            output: Output::open(descriptor),
            attached: false,
            wait: Wait::Nothing,
            grown: Time::ZERO,
            dropping: false,
            dropped: 0,
        }
    }

    /// A queue of at most `limit` bytes in front of standard output.
    pub fn stdout(limit: usize) -> LineSink {
        LineSink::to(libc::STDOUT_FILENO, limit)
    }

    /// A queue of at most `limit` bytes in front of standard error.
    pub fn stderr(limit: usize) -> LineSink {
        LineSink::to(libc::STDERR_FILENO, limit)
    }

    /// Registers the descriptor with the loop, so that it wakes when a reader
    /// that stalled reads on; each event has to be passed on to
    /// [`LineSink::writable`]. What cannot be registered, such as a regular
    /// file, is tried again whenever it is flushed.
    pub fn attach(&mut self, reactor: &mut Reactor, token: Token) {
        if let Some(raw) = self.output.raw() {
            let registered = reactor.register(&mut SourceFd(&raw), token, Interest::WRITABLE);
            self.attached = registered.is_ok();
        }
    }

    /// Queues a line, which brings its own end of line, for the next flush.
    /// Returns false if there was no room, and the line is dropped and counted.
    /// Once a line was dropped, so are all others until the queue is half
    /// empty: a stall leaves one gap and not many.
    pub fn append(&mut self, line: &str) -> bool {
        let length = self.queue.len().saturating_add(line.len());
        let fits = self.has_room() && length <= self.limit;
        self.dropping = !fits;
        match fits {
            true => self.queue.extend(line.as_bytes()),
            false => self.dropped = self.dropped.saturating_add(1),
        }
        fits
    }

    /// Whether lines are queued rather than dropped, as far as that does not
    /// depend on their length.
    pub fn has_room(&self) -> bool {
        !self.is_closed() && (!self.dropping || self.queue.len() <= self.limit / 2)
    }

    /// Whether the reader is gone for good.
    pub fn is_closed(&self) -> bool {
        matches!(self.output, Output::Closed)
    }

    /// Whether nothing waits to be written.
    pub fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// How many lines were lost since the start, because the reader was slow
    /// or gone.
    pub fn dropped(&self) -> u64 {
        self.dropped
    }

    /// An event of the descriptor: it takes bytes again, or has an error that
    /// the next write will tell.
    pub fn writable(&mut self) {
        if self.wait == Wait::Event {
            self.wait = Wait::Nothing;
        }
    }

    /// Writes what waits, as far as the descriptor takes it. To be called at
    /// the end of each turn.
    pub fn flush(&mut self, now: Time) {
        if self.queue.len() > QUEUE_KEPT {
            self.grown = now;
        }
        match self.wait {
            Wait::Event => return,
            Wait::Until(later) if now < later => return,
            Wait::Nothing | Wait::Until(_) => {}
        }
        self.drain(now);
        let unneeded = self.queue.is_empty() && now.since(self.grown) >= KEPT_FOR;
        if unneeded && self.queue.capacity() > QUEUE_KEPT {
            self.queue.shrink_to(QUEUE_KEPT);
        }
    }

    /// Writes what waits before the program ends; gives a reader that does not
    /// read a quarter of a second in all. The only call that waits.
    pub fn flush_at_exit(&mut self) {
        let clock = Clock::new();
        loop {
            self.drain(Time::ZERO);
            let left = EXIT_WAIT.saturating_sub(clock.now().since(Time::ZERO));
            let hopeless = left.is_zero() || matches!(self.wait, Wait::Until(_));
            match self.output.raw() {
                Some(raw) if !self.queue.is_empty() && !hopeless => {
                    may_write(raw, i32::try_from(left.as_millis()).unwrap_or(0));
                }
                _ => return,
            }
        }
    }

    fn drain(&mut self, now: Time) {
        self.wait = Wait::Nothing;
        while self.wait == Wait::Nothing && !self.queue.is_empty() {
            match self.output.write(self.queue.make_contiguous()) {
                Ok(written @ 1..) => drop(self.queue.drain(..written.min(self.queue.len()))),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    // Without an event to wait for, every turn tries again.
                    if self.attached {
                        self.wait = Wait::Event;
                    }
                    return;
                }
                Err(error) if is_final(&error) => self.close(),
                Ok(_) | Err(_) => self.wait = Wait::Until(now + RETRY),
            }
        }
    }

    /// The reader is gone. Nothing can be said any more, only counted.
    fn close(&mut self) {
        let lines = self.queue.iter().filter(|byte| **byte == b'\n').count();
        self.dropped = self.dropped.saturating_add(u64::try_from(lines).unwrap_or(u64::MAX));
        self.queue = VecDeque::new();
        self.output = Output::Closed;
    }
}

/// Whether no later write can do better.
fn is_final(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset)
}

/// The beginning of `bytes` that goes into one write of at most [`PIECE`]
/// bytes: whole lines, or as much as fits of one that is longer.
fn piece(bytes: &[u8]) -> &[u8] {
    let Some(most) = bytes.get(..PIECE) else { return bytes };
    let end = most.iter().rposition(|byte| *byte == b'\n');
    end.and_then(|end| most.get(..=end)).unwrap_or(most)
}

/// Where the bytes go, and which way of writing does not block.
#[derive(Debug)]
enum Output {
    Open {
        descriptor: Descriptor,
        how: How,
    },
    /// The reader is gone.
    Closed,
}

#[derive(Clone, Copy, Debug)]
enum How {
    /// A regular file, which takes all at once.
    Whole,
    /// Our own non-blocking description of a pipe or terminal.
    Write,
    /// A socket: each call says that it must not block.
    Send,
    /// Somebody else's description: poll first, then write little.
    Poll,
}

/// Ours, or that of the process, which stays open.
#[derive(Debug)]
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
            libc::S_IFREG => Output::Open { descriptor: process, how: How::Whole },
            libc::S_IFSOCK => Output::Open { descriptor: process, how: How::Send },
            _ => match reopen(raw) {
                Ok(own) => Output::Open { descriptor: Descriptor::Owned(own), how: How::Write },
                // open(2): ENXIO is a FIFO that no process has open for reading.
                Err(error) if mode == libc::S_IFIFO && is(&error, libc::ENXIO) => Output::Closed,
                Err(_) => Output::Open { descriptor: process, how: How::Poll },
            },
        }
    }

    fn raw(&self) -> Option<RawFd> {
        match self {
            Output::Open { descriptor, .. } => Some(descriptor.raw()),
            Output::Closed => None,
        }
    }

    fn write(&self, bytes: &[u8]) -> io::Result<usize> {
        let Output::Open { descriptor, how } = self else {
            return Err(io::ErrorKind::BrokenPipe.into());
        };
        let raw = descriptor.raw();
        let bytes = match how {
            How::Whole => bytes,
            How::Poll if !may_write(raw, 0) => return Err(io::ErrorKind::WouldBlock.into()),
            How::Write | How::Send | How::Poll => piece(bytes),
        };
        let (start, len) = (bytes.as_ptr().cast(), bytes.len());
        let flags = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL;
        // SAFETY: both read `len` bytes from `start`, which is the slice.
        let written = match how {
            How::Send => unsafe { libc::send(raw, start, len, flags) },
            How::Whole | How::Write | How::Poll => unsafe { libc::write(raw, start, len) },
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reactor::{Kind, Readiness, poll};
    use std::fs::File;
    use std::io::{PipeReader, PipeWriter, Read, Seek, Write, pipe};
    use std::os::unix::net::UnixStream;

    const LIMIT: usize = 256 * 1024;
    const NOW: Time = Time::from_millis(5000);
    const TOKEN: Token = Token::new(Kind::AccessLog, 0, 0);

    fn sink_to(writer: &impl AsRawFd) -> LineSink {
        LineSink::to(writer.as_raw_fd(), LIMIT)
    }

    /// The numbered line `n`, of `length` bytes.
    fn line(n: usize, length: usize) -> String {
        format!("{n} {:x<width$}\n", "", width = length - n.to_string().len() - 2)
    }

    /// Appends and flushes as the turns of a loop do, until lines are dropped;
    /// returns how many were not.
    fn fill(sink: &mut LineSink, length: usize) -> usize {
        (0..)
            .find(|n| {
                let appended = sink.append(&line(*n, length));
                sink.flush(NOW);
                !appended
            })
            .unwrap()
    }

    /// Reads what is there without waiting for more.
    fn read_now(reader: &mut PipeReader) -> String {
        let (mut text, mut piece) = (Vec::new(), vec![0; 65_536]);
        let mut entry = libc::pollfd { fd: reader.as_raw_fd(), events: libc::POLLIN, revents: 0 };
        // SAFETY: poll reads and writes the one entry.
        while unsafe { libc::poll(&mut entry, 1, 0) } == 1 {
            match reader.read(&mut piece).unwrap() {
                0 => break,
                count => text.extend_from_slice(&piece[..count]),
            }
        }
        String::from_utf8(text).unwrap()
    }

    /// Reads until the sink has nothing left.
    fn read_all(reader: &mut PipeReader, sink: &mut LineSink) -> String {
        let mut text = String::new();
        while !sink.is_empty() {
            text += &read_now(reader);
            sink.flush(NOW);
        }
        text + &read_now(reader)
    }

    /// Fills a pipe to its last byte.
    fn full_pipe() -> (PipeReader, PipeWriter) {
        let (reader, mut writer) = pipe().unwrap();
        // SAFETY: F_GETPIPE_SZ only reads a number.
        let size = unsafe { libc::fcntl(writer.as_raw_fd(), libc::F_GETPIPE_SZ) };
        writer.write_all(&vec![b'#'; usize::try_from(size).unwrap()]).unwrap();
        (reader, writer)
    }

    fn blocking(raw: RawFd) -> bool {
        // SAFETY: F_GETFL only reads the flags.
        unsafe { libc::fcntl(raw, libc::F_GETFL) & libc::O_NONBLOCK == 0 }
    }

    fn memory_file() -> File {
        // SAFETY: memfd_create reads the name, which ends with a zero byte.
        let file = unsafe { libc::memfd_create(c"log".as_ptr(), libc::MFD_CLOEXEC) };
        // SAFETY: it was just returned, and nothing else owns it.
        File::from(unsafe { OwnedFd::from_raw_fd(file) })
    }

    #[test]
    fn a_reader_that_stalls_costs_lines_but_no_order() {
        let (mut reader, writer) = pipe().unwrap();
        let mut sink = sink_to(&writer);
        assert!(blocking(writer.as_raw_fd()), "the shared description is left as it was");
        let kept = fill(&mut sink, 1000);
        assert!(sink.queue.len() <= LIMIT && sink.queue.capacity() <= 2 * LIMIT);
        for n in 1..100 {
            assert!(!sink.append("short\n") && !sink.has_room());
            assert_eq!(sink.dropped(), n + 1);
        }
        let text = read_all(&mut reader, &mut sink);
        let expected: String = (0..kept).map(|n| line(n, 1000)).collect();
        assert!(text == expected, "all that was appended, as it was");
        assert!(sink.append("after\n"));
        sink.flush(NOW);
        assert_eq!(read_now(&mut reader), "after\n");
        assert_eq!(sink.dropped(), 100);
        assert!(sink.queue.capacity() > QUEUE_KEPT, "it may be needed again at once");
        sink.flush(NOW + KEPT_FOR);
        assert!(sink.queue.capacity() <= QUEUE_KEPT, "the memory is given back");
    }

    #[test]
    fn a_stall_leaves_one_gap() {
        let (mut reader, writer) = pipe().unwrap();
        let mut sink = sink_to(&writer);
        fill(&mut sink, 1000);
        let mut appended = Vec::new();
        while !sink.is_empty() {
            read_now(&mut reader);
            sink.flush(NOW);
            let half_empty = sink.queue.len() <= LIMIT / 2;
            assert_eq!(sink.append(""), half_empty);
            appended.push(half_empty);
        }
        assert!(appended.is_sorted() && appended.first() == Some(&false));
    }

    #[test]
    fn a_pipe_that_was_full_before_is_waited_for() {
        let (mut reader, writer) = full_pipe();
        let mut sink = sink_to(&writer);
        assert!(sink.append("first\n"));
        sink.flush(NOW);
        assert!(!sink.is_empty());
        assert!(sink.append("second\n"));
        assert!(read_all(&mut reader, &mut sink).ends_with("###first\nsecond\n"));
        assert_eq!(sink.dropped(), 0);
    }

    #[test]
    fn a_line_that_is_longer_than_all_room_is_dropped_alone() {
        let (mut reader, writer) = pipe().unwrap();
        let mut sink = sink_to(&writer);
        assert!(!sink.append(&"x".repeat(LIMIT + 1)));
        assert!(sink.append("next\n"));
        sink.flush(NOW);
        assert_eq!((read_now(&mut reader).as_str(), sink.dropped()), ("next\n", 1));
    }

    #[test]
    fn a_reader_that_is_gone_is_survived_and_counted() {
        let (reader, writer) = pipe().unwrap();
        let mut sink = sink_to(&writer);
        assert!(sink.append("one\n") && sink.append("two\n"));
        drop(reader);
        sink.flush(NOW);
        assert!(sink.is_closed() && sink.is_empty() && !sink.has_room());
        assert!(!sink.append("three\n"));
        sink.flush(NOW);
        sink.flush_at_exit();
        assert_eq!(sink.dropped(), 3);
        let mut sink = sink_to(&writer);
        sink.append("gone from the start\n");
        sink.flush(NOW);
        assert_eq!(sink.dropped(), 1);
        let mut sink = LineSink::to(-1, LIMIT);
        assert!(!sink.append("never open\n"));
    }

    #[test]
    fn a_full_disk_is_tried_again_each_second() {
        let full = File::options().write(true).open("/dev/full").unwrap();
        let mut sink = sink_to(&full);
        assert!(sink.append("kept\n"));
        sink.flush(NOW);
        assert!(!sink.is_empty() && !sink.is_closed());
        assert_eq!(sink.wait, Wait::Until(NOW + RETRY));
        sink.flush_at_exit();
        let kept = fill(&mut sink, 1000);
        assert!(kept > 200, "{kept}");
        assert_eq!(sink.dropped(), 1);
        // There is room on it again.
        let mut file = memory_file();
        sink.output = Output::open(file.as_raw_fd());
        sink.flush(NOW + Duration::from_millis(999));
        assert_eq!(file.metadata().unwrap().len(), 0, "left alone for a second");
        sink.flush(NOW + RETRY);
        let mut text = String::new();
        file.rewind().unwrap();
        file.read_to_string(&mut text).unwrap();
        assert_eq!(text.lines().count(), kept + 1);
        assert!(text.starts_with("kept\n0 xxx") && sink.is_empty());
    }

    /// A house that only notes what the loop says of the sink.
    #[derive(Default)]
    struct House {
        events: usize,
    }

    impl poll::Phases for House {
        fn collect(&mut self, _: &mut Reactor, token: Token, _: Readiness) {
            assert_eq!(token, TOKEN);
            self.events += 1;
        }
        fn expired(&mut self, _: &mut Reactor, _: Token) {}
        fn control(&mut self, _: &mut Reactor) {}
        fn apply(&mut self, _: &mut Reactor) {}
        fn data(&mut self, _: &mut Reactor) {}
        fn accept(&mut self, _: &mut Reactor) {}
        fn api(&mut self, _: &mut Reactor) {}
        fn flush(&mut self, _: &mut Reactor) {}
        fn has_ready(&self) -> bool {
            true
        }
        fn exit_code(&self) -> Option<i32> {
            None
        }
    }

    impl House {
        /// The events of one turn.
        fn events(&mut self, reactor: &mut Reactor) -> usize {
            self.events = 0;
            poll::turn(reactor, self).unwrap();
            self.events
        }
    }

    #[test]
    fn a_stalled_reader_wakes_the_loop_and_not_before() {
        let (mut reader, writer) = full_pipe();
        let mut reactor = Reactor::new().unwrap();
        let mut house = House::default();
        let mut sink = sink_to(&writer);
        sink.attach(&mut reactor, TOKEN);
        assert_eq!(house.events(&mut reactor), 0);
        assert!(sink.append("x\n"));
        sink.flush(NOW);
        assert_eq!(sink.wait, Wait::Event);
        read_now(&mut reader);
        sink.flush(NOW);
        assert!(!sink.is_empty(), "no write without an event");
        assert_eq!(house.events(&mut reactor), 1);
        sink.writable();
        sink.flush(NOW);
        assert_eq!(read_now(&mut reader), "x\n");
    }

    #[test]
    fn a_full_socket_neither_blocks_nor_kills_and_neither_does_a_closed_one() {
        let (here, mut there) = UnixStream::pair().unwrap();
        let mut sink = sink_to(&here);
        assert!(sink.append("to=socket\n"));
        sink.flush(NOW);
        assert!(blocking(here.as_raw_fd()));
        let mut piece = [0; 100];
        assert_eq!(there.read(&mut piece).unwrap(), 10);
        fill(&mut sink, 4000);
        drop(there);
        sink.flush(NOW);
        assert!(sink.is_closed());
    }

    #[test]
    fn a_regular_file_takes_all_at_once() {
        let mut file = memory_file();
        let mut sink = sink_to(&file);
        sink.attach(&mut Reactor::new().unwrap(), TOKEN);
        assert!(!sink.attached);
        let lines: Vec<String> = (0..100).map(|n| line(n, 1000)).collect();
        assert!(lines.iter().all(|line| sink.append(line)));
        assert_eq!(sink.output.write(sink.queue.make_contiguous()).unwrap(), 100_000);
        sink.flush(NOW);
        file.rewind().unwrap();
        let mut text = String::new();
        file.read_to_string(&mut text).unwrap();
        assert!(text == lines.concat().repeat(2));
    }

    #[test]
    fn two_sinks_of_one_reader_do_not_cut_each_other_s_lines() {
        let (mut reader, writer) = pipe().unwrap();
        let mut sinks = [sink_to(&writer), sink_to(&writer)];
        let mut text = String::new();
        for n in 0..3000 {
            for (sink, length) in sinks.iter_mut().zip([77, 333]) {
                assert!(sink.append(&line(n, length)));
                sink.flush(NOW);
            }
            // The reader is slow, so that both are blocked most of the time.
            if n % 100 == 0 {
                let mut piece = [0; 8000];
                let count = reader.read(&mut piece).unwrap();
                text += str::from_utf8(&piece[..count]).unwrap();
            }
            if n % 500 == 499 {
                while sinks.iter().any(|sink| !sink.is_empty()) {
                    text += &read_now(&mut reader);
                    sinks.iter_mut().rev().for_each(|sink| sink.flush(NOW));
                }
            }
        }
        text += &read_now(&mut reader);
        assert_eq!(text.lines().count(), 6000);
        assert!(text.lines().all(|line| [76, 332].contains(&line.len())));
    }

    #[test]
    fn pieces_end_with_lines_where_they_can() {
        let short = "a\nbc\n";
        assert_eq!(piece(short.as_bytes()), short.as_bytes());
        let exact = line(0, PIECE);
        assert_eq!(piece(exact.as_bytes()).len(), PIECE);
        let two = line(0, 4000) + &line(1, 4000);
        assert_eq!(piece(two.as_bytes()).len(), 4000);
        assert_eq!(piece(line(0, 5000).as_bytes()).len(), PIECE, "a longer one is cut");
        assert_eq!(piece(b""), b"");
    }

    #[test]
    fn a_pipe_that_cannot_be_opened_again_is_polled() {
        let (mut reader, writer) = pipe().unwrap();
        let mut sink = sink_to(&writer);
        let descriptor = Descriptor::Process(writer.as_raw_fd());
        sink.output = Output::Open { descriptor, how: How::Poll };
        for n in 0..200 {
            assert!(sink.append(&line(n, 1000)));
            sink.flush(NOW);
        }
        assert!(!sink.is_empty(), "the pipe is full and the program lives");
        assert_eq!(read_all(&mut reader, &mut sink).lines().count(), 200);
    }

    #[test]
    fn at_the_exit_a_reader_that_reads_gets_all_and_one_that_does_not_is_left() {
        let (mut reader, writer) = pipe().unwrap();
        let mut sink = LineSink::to(writer.as_raw_fd(), 8 * LIMIT);
        drop(writer);
        let kept = fill(&mut sink, 1000);
        sink.flush_at_exit();
        assert!(sink.queue.len() > 6 * LIMIT, "nobody reads");
        let reads = std::thread::spawn(move || {
            let mut text = String::new();
            reader.read_to_string(&mut text).unwrap();
            text
        });
        // On a busy machine a reader that reads may need more than one of them.
        while !sink.is_empty() {
            sink.flush_at_exit();
        }
        drop(sink);
        assert_eq!(reads.join().unwrap().lines().count(), kept);
    }
}
