//! The access log itself: lines, and what the operational log is told of
//! those that were lost.

use log::{info, warn};

use super::format::Format;
use super::record::TcpRecord;
use crate::reactor::line_sink::LineSink;
use crate::reactor::{Reactor, Time, Token};

/// Most bytes that wait for the reader: about five thousand lines, which
/// bridges a stall of a quarter of a second at 20,000 connections a second.
const QUEUE_LIMIT: usize = 1024 * 1024;

/// Writes a line of each connection that is over.
#[derive(Debug)]
pub struct AccessLog {
    format: Format,
    sink: LineSink,
    /// The line that is being made; used again.
    line: String,
    lines: u64,
    told: Told,
    /// Dropped lines of stalls that the operational log knows to be over.
    accounted: u64,
}

/// What the operational log knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Told {
    /// Nothing, or that all is well again.
    Nothing,
    /// That lines are being dropped.
    Dropping,
    /// That the reader is gone.
    Closed,
}

/// What the operational log is to be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum News {
    Dropping,
    /// So many lines were lost.
    Resumed(u64),
    Closed,
}

impl AccessLog {
    /// An access log on standard output (fabio's `log.access.target=stdout`).
    pub fn stdout(format: Format) -> AccessLog {
        AccessLog::new(format, LineSink::stdout(QUEUE_LIMIT))
    }

    /// An access log that writes to `sink`.
    pub fn new(format: Format, sink: LineSink) -> AccessLog {
        AccessLog { format, sink, line: String::new(), lines: 0, told: Told::Nothing, accounted: 0 }
    }

    /// Queues the line of a connection for the end of the turn. Drops it if
    /// the reader is too far behind.
    pub fn write(&mut self, record: &TcpRecord<'_>) {
        self.line.clear();
        self.format.write(record, &mut self.line);
        self.lines = self.lines.saturating_add(1);
        // A line that is dropped is counted, and told of when the turn ends.
        self.sink.append(&self.line);
    }

    /// Writes the lines of this turn, as far as the reader takes them.
    pub fn flush(&mut self, now: Time) {
        self.sink.flush(now);
        if let Some(news) = self.news() {
            tell(news);
        }
    }

    /// Registers standard output with the loop, if it can be; each event under
    /// `token` is to be passed on to [`AccessLog::writable`].
    pub fn attach(&mut self, reactor: &mut Reactor, token: Token) {
        self.sink.attach(reactor, token);
    }

    /// There was an event of the descriptor.
    pub fn writable(&mut self) {
        self.sink.writable();
    }

    /// Writes what waits before the program ends; waits at most a quarter of a
    /// second for a reader that stalls.
    pub fn flush_at_exit(&mut self) {
        self.sink.flush_at_exit();
    }

    /// How many lines there were, dropped ones among them.
    pub fn lines(&self) -> u64 {
        self.lines
    }

    /// How many of them were lost, because the reader was slow or gone, or the
    /// disk full.
    pub fn dropped(&self) -> u64 {
        self.sink.dropped()
    }

    fn news(&mut self) -> Option<News> {
        let dropped = self.sink.dropped();
        match self.told {
            Told::Nothing | Told::Dropping if self.sink.is_closed() => {
                self.told = Told::Closed;
                Some(News::Closed)
            }
            Told::Nothing if dropped > self.accounted => {
                self.told = Told::Dropping;
                Some(News::Dropping)
            }
            Told::Dropping if self.sink.has_room() => {
                let lost = dropped.saturating_sub(self.accounted);
                (self.told, self.accounted) = (Told::Nothing, dropped);
                Some(News::Resumed(lost))
            }
            Told::Nothing | Told::Dropping | Told::Closed => None,
        }
    }
}

/// Tells of a stall when it begins, because one that lasts would else never be
/// heard of, and when it is over and its cost is known.
fn tell(news: News) {
    match news {
        News::Dropping => warn!(
            "access_log event=lines_dropped reason=\"the reader of standard output is behind, or \
             its disk is full\""
        ),
        News::Resumed(dropped) => info!("access_log event=resumed dropped={dropped}"),
        News::Closed => warn!(
            "access_log event=closed reason=\"the reader of standard output is gone\" \
             effect=\"no more lines are written\""
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::record;
    use super::*;
    use std::fs::File;
    use std::io::{PipeReader, Read, Write, pipe};
    use std::os::fd::AsRawFd;
    use std::os::unix::net::UnixDatagram;

    const NOW: Time = Time::ZERO;

    fn log_to(writer: &impl AsRawFd) -> AccessLog {
        let format = Format::compile("$retries $upstream_service").unwrap();
        AccessLog::new(format, LineSink::to(writer.as_raw_fd(), QUEUE_LIMIT))
    }

    /// The end of a turn, and what would be told.
    fn flush(log: &mut AccessLog) -> Option<News> {
        log.sink.flush(NOW);
        log.news()
    }

    /// A turn with line number `n`, a thousand octets long.
    fn turn(log: &mut AccessLog, n: u32) -> Option<News> {
        let name = "x".repeat(1000 - n.to_string().len() - 2);
        log.write(&TcpRecord { retries: n, service: Some(&name), ..record() });
        flush(log)
    }

    /// Turns until something is to be told; returns how many there were before.
    fn fill(log: &mut AccessLog) -> (u32, News) {
        (0..).find_map(|n| turn(log, n).map(|news| (n, news))).unwrap()
    }

    /// Turns without a line until all is read; returns the text and the news.
    fn read_all(reader: &mut PipeReader, log: &mut AccessLog) -> (String, Vec<News>) {
        let (mut text, mut news) = (Vec::new(), Vec::new());
        let mut piece = vec![0; 65_536];
        while !log.sink.is_empty() {
            let count = reader.read(&mut piece).unwrap();
            text.extend_from_slice(&piece[..count]);
            news.extend(flush(log));
        }
        // The last of it is in the pipe, and a line that marks its end.
        log.write(&TcpRecord { retries: 0, service: Some("end"), ..record() });
        news.extend(flush(log));
        while !text.ends_with(b"\n0 end\n") {
            let count = reader.read(&mut piece).unwrap();
            text.extend_from_slice(&piece[..count]);
        }
        (String::from_utf8(text).unwrap(), news)
    }

    #[test]
    fn the_lines_of_a_turn_go_out_in_one_write() {
        let (reader, writer) = UnixDatagram::pair().unwrap();
        let mut log = log_to(&writer);
        log.flush(NOW);
        for retries in 0..10 {
            log.write(&TcpRecord { retries, ..record() });
        }
        log.flush(NOW);
        log.write(&record());
        log.flush(NOW);
        let receive = || {
            let mut datagram = [0; 1000];
            let count = reader.recv(&mut datagram).unwrap();
            String::from_utf8(datagram[..count].to_vec()).unwrap()
        };
        let expected: String = (0..10).map(|retries| format!("{retries} web\n")).collect();
        assert_eq!(receive(), expected);
        assert_eq!(receive(), "2 web\n");
        assert_eq!((log.lines(), log.dropped()), (11, 0));
    }

    #[test]
    fn a_pipe_that_nobody_reads_costs_lines_and_each_stall_is_told_once() {
        let (mut reader, writer) = pipe().unwrap();
        let mut log = log_to(&writer);
        let (kept, news) = fill(&mut log);
        assert_eq!((kept > 1000, news), (true, News::Dropping));
        assert!((0..100).all(|n| turn(&mut log, n).is_none()));
        assert_eq!((log.lines(), log.dropped()), (u64::from(kept) + 101, 101));
        let (text, news) = read_all(&mut reader, &mut log);
        assert_eq!(news, [News::Resumed(101)]);
        let numbers =
            text.lines().map(|line| line.split(' ').next().unwrap().parse::<u32>().unwrap());
        assert!(numbers.eq((0..kept).chain([0])), "in order, and then there is a gap");
        // The next stall is another one.
        assert_eq!(fill(&mut log).1, News::Dropping);
        let (_, news) = read_all(&mut reader, &mut log);
        assert_eq!(news, [News::Resumed(1)]);
    }

    #[test]
    fn a_reader_that_is_gone_is_told_once() {
        let (reader, writer) = pipe().unwrap();
        let mut log = log_to(&writer);
        assert_eq!(turn(&mut log, 0), None);
        drop(reader);
        assert_eq!(turn(&mut log, 1), Some(News::Closed));
        assert!((2..10).all(|n| turn(&mut log, n).is_none()));
        log.flush(NOW);
        assert_eq!((log.lines(), log.dropped()), (10, 9));
    }

    #[test]
    fn a_pipe_that_was_full_before_loses_nothing() {
        let (mut reader, mut writer) = pipe().unwrap();
        // A pipe holds 64 KiB unless told otherwise.
        writer.write_all(&[b'#'; 65_536]).unwrap();
        let mut log = log_to(&writer);
        assert!((0..500).all(|n| turn(&mut log, n).is_none()));
        let (text, news) = read_all(&mut reader, &mut log);
        assert_eq!((text.lines().count(), news, log.dropped()), (501, vec![], 0));
        assert!(text.starts_with("###") && text.contains("#0 xxx"));
    }

    #[test]
    fn a_full_disk_is_not_taken_for_a_reader_that_is_gone() {
        let full = File::options().write(true).open("/dev/full").unwrap();
        let mut log = log_to(&full);
        let (kept, news) = fill(&mut log);
        assert_eq!((kept > 1000, news), (true, News::Dropping));
        assert!((0..10).all(|n| turn(&mut log, n).is_none()));
    }

    #[test]
    fn all_lines_are_made_in_one_buffer() {
        let null = File::options().write(true).open("/dev/null").unwrap();
        let mut log = log_to(&null);
        log.format = Format::default();
        let mut turn = || {
            (0..100).for_each(|_| log.write(&record()));
            log.flush(NOW);
            (log.line.as_ptr(), log.line.capacity())
        };
        let first = turn();
        assert!((0..10).all(|_| turn() == first));
    }
}
