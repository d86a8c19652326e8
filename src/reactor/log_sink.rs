//! Where log records go: lines on standard error, through a [`LineSink`], so
//! that its reader can neither stop the loop nor end the program.

use std::fmt::{Display, Write as _};
use std::sync::{Mutex, MutexGuard, PoisonError, TryLockError};
use std::time::Duration;

use log::{Level, LevelFilter, Log, Metadata, Record};

use super::calendar::{Fraction, Utc};
use super::clock::{Clock, Time};
use super::line_sink::LineSink;
use super::poll::Reactor;
use super::token::{Kind, Token};

/// Most bytes that wait for the reader of the log: some thousand lines, which
/// bridges a stall of a second at a busy moment.
const QUEUE_LIMIT: usize = 256 * 1024;
/// Most bytes of one message; what is longer is cut and marked.
const MESSAGE_LIMIT: usize = 4096;

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
        *sink = Some(Sink::new(LineSink::stderr(QUEUE_LIMIT), Clock::new().wall()));
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
    if let Some(sink) = &mut *sink() {
        sink.lines.attach(reactor, Token::new(Kind::Log, 0, 0));
    }
}

/// Sets the time of this turn, and the one that its lines carry.
pub(super) fn begin_turn(now: Time, wall: Duration) {
    if let Some(sink) = &mut *sink() {
        (sink.now, sink.wall) = (now, wall);
    }
}

/// There was an event of the descriptor.
pub(super) fn writable() {
    if let Some(sink) = &mut *sink() {
        sink.lines.writable();
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
        sink.flush_at_exit();
    }
}

/// How many lines were lost since the start, because the reader was slow or
/// gone.
pub fn dropped() -> u64 {
    sink().as_ref().map_or(0, |sink| sink.lines.dropped())
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
    lines: LineSink,
    now: Time,
    wall: Duration,
    /// Dropped lines that the log itself has told of.
    told: u64,
}

impl Sink {
    fn new(lines: LineSink, wall: Duration) -> Sink {
        Sink { lines, now: Time::ZERO, wall, told: 0 }
    }

    fn push(&mut self, level: Level, message: &Message) {
        self.report();
        self.lines.append(&line(self.wall, level, &message.text));
    }

    /// Queues the line that tells of dropped ones, if there are any, as soon
    /// as lines are queued again.
    fn report(&mut self) {
        let untold = self.lines.dropped().saturating_sub(self.told);
        if untold > 0 && self.lines.has_room() {
            let text = format!("event=log-lines-dropped dropped={untold}");
            if self.lines.append(&line(self.wall, Level::Warn, &text)) {
                self.told = self.told.saturating_add(untold);
            }
        }
    }

    fn flush(&mut self) {
        self.lines.flush(self.now);
        if self.lines.dropped() > self.told {
            self.report();
            self.lines.flush(self.now);
        }
    }

    fn flush_at_exit(&mut self) {
        self.lines.flush_at_exit();
        if self.lines.is_empty() {
            self.flush();
        }
    }
}

/// `2026-11-23T17:00:00.123Z INFO message`, and the end of the line.
fn line(wall: Duration, level: Level, message: &str) -> String {
    let time = Utc::at(wall).rfc3339(Fraction::Millis);
    format!("{time} {level} {message}\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{PipeReader, Read, pipe};
    use std::os::fd::AsRawFd;

    const WALL: Duration = Duration::from_millis(1_795_453_200_123);

    /// A sink, and the pipe that it writes to. The sink has an end of its own.
    fn sink_to_pipe() -> (PipeReader, Sink) {
        let (reader, writer) = pipe().unwrap();
        let lines = LineSink::to(writer.as_raw_fd(), QUEUE_LIMIT);
        (reader, Sink::new(lines, WALL))
    }

    fn say(sink: &mut Sink, text: &str) {
        sink.push(Level::Info, &Message::of(format_args!("{text}")));
    }

    /// What comes out until the sink has nothing left, and one line more that
    /// marks the end.
    fn read_all(reader: &mut PipeReader, sink: &mut Sink) -> String {
        let (mut text, mut piece) = (Vec::new(), vec![0; 65_536]);
        while !sink.lines.is_empty() {
            let count = reader.read(&mut piece).unwrap();
            text.extend_from_slice(&piece[..count]);
            sink.flush();
        }
        say(sink, "end=1");
        sink.flush();
        while !text.ends_with(b"INFO end=1\n") {
            let count = reader.read(&mut piece).unwrap();
            text.extend_from_slice(&piece[..count]);
        }
        String::from_utf8(text).unwrap()
    }

    #[test]
    fn a_line_has_utc_time_level_and_message() {
        let (mut reader, mut sink) = sink_to_pipe();
        say(&mut sink, "event=started version=1");
        sink.flush();
        assert_eq!(
            read_all(&mut reader, &mut sink),
            "2026-11-23T17:00:00.123Z INFO event=started version=1\n\
             2026-11-23T17:00:00.123Z INFO end=1\n"
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
    fn the_log_tells_where_a_stall_of_its_reader_cost_lines() {
        let (mut reader, mut sink) = sink_to_pipe();
        let text = "k=v ".repeat(250);
        for _ in 0..1000 {
            say(&mut sink, &text);
            sink.flush();
        }
        let dropped = sink.lines.dropped();
        assert!(dropped > 500, "{dropped}");
        let log = read_all(&mut reader, &mut sink);
        let lines: Vec<&str> = log.lines().collect();
        let kept = 1000 - usize::try_from(dropped).unwrap();
        assert_eq!(lines.len(), kept + 2);
        assert!(lines[..kept].iter().all(|line| line.ends_with(&text)));
        let told =
            format!("2026-11-23T17:00:00.123Z WARN event=log-lines-dropped dropped={dropped}");
        assert_eq!(lines[kept], told);
        say(&mut sink, "after=1");
        sink.flush();
        let log = read_all(&mut reader, &mut sink);
        assert!(log.contains("INFO after=1\n") && !log.contains("dropped"), "told once: {log}");
        assert_eq!(sink.lines.dropped(), dropped);
    }

    #[test]
    fn what_was_dropped_is_told_at_the_exit() {
        let (mut reader, mut sink) = sink_to_pipe();
        while sink.lines.dropped() == 0 {
            say(&mut sink, &"x".repeat(1000));
        }
        let reads = std::thread::spawn(move || {
            let mut text = String::new();
            reader.read_to_string(&mut text).unwrap();
            text
        });
        // On a busy machine a reader that reads may need more than one of them.
        while sink.told == 0 {
            sink.flush_at_exit();
        }
        drop(sink);
        assert!(reads.join().unwrap().ends_with("WARN event=log-lines-dropped dropped=1\n"));
    }
}
