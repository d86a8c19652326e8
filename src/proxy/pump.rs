//! Moves bytes from one socket to another, by the rules of [`super::relay`].

use std::io::{self, ErrorKind, Read, Write};
use std::net::Shutdown;

use mio::net::TcpStream;

use super::Counters;
use super::relay::{
    Action, Direction, Held, MESSAGE_STEP, Method, Room, Step, short_read_is_the_last,
};
use crate::reactor::buffer::Pool;
use crate::reactor::pipe::Pipes;
use crate::reactor::socket;
use crate::reactor::{Readiness, Time};

/// What is left to spend: steps (a few system calls each), and bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Budget {
    pub(super) steps: usize,
    pub(super) bytes: usize,
}

impl Budget {
    pub(super) fn spend(&mut self, steps: usize, bytes: usize) {
        self.steps = self.steps.saturating_sub(steps);
        self.bytes = self.bytes.saturating_sub(bytes);
    }

    pub(super) fn is_spent(&self) -> bool {
        self.steps == 0 || self.bytes == 0
    }
}

/// What the connections share while one of them is served.
pub(super) struct Tools<'a> {
    pub(super) now: Time,
    pub(super) scratch: &'a mut [u8],
    pub(super) small: &'a mut Pool,
    pub(super) large: &'a mut Pool,
    pub(super) pipes: &'a mut Pipes,
    pub(super) counters: &'a mut Counters,
    /// What all connections may still spend in this turn.
    pub(super) budget: &'a mut Budget,
}

impl Tools<'_> {
    fn room(&mut self) -> Room {
        let (small, large) = (self.small.available() > 0, self.large.available() > 0);
        Room { small, large, pipe: self.pipes.is_available() }
    }
}

/// When a socket gets the option TCP_NODELAY. Without it a small segment waits
/// while an earlier small one is not acknowledged (RFC 9293 section 3.7.4), so
/// the first write never waits, and many a connection has but one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Nodelay {
    /// It has it.
    Set,
    /// With the next write.
    Due,
    /// With the next write but one.
    NotYet,
}

/// One socket of a connection, and what is known of it.
#[derive(Debug)]
pub(super) struct Side {
    pub(super) stream: TcpStream,
    pub(super) ready: Readiness,
    nodelay: Nodelay,
    /// It takes no byte any more, as an event said.
    broken: bool,
}

impl Side {
    /// A client's socket, which has TCP_NODELAY from its listener.
    pub(super) const fn client(stream: TcpStream) -> Side {
        Side { stream, ready: Readiness::NONE, nodelay: Nodelay::Set, broken: false }
    }

    /// A target's socket. `has_nodelay` says that it has the option already;
    /// else it gets it here before its second write.
    pub(super) const fn target(stream: TcpStream, has_nodelay: bool) -> Side {
        let nodelay = if has_nodelay { Nodelay::Set } else { Nodelay::NotYet };
        Side { stream, ready: Readiness::NONE, nodelay, broken: false }
    }

    fn before_write(&mut self) {
        match self.nodelay {
            Nodelay::Set => {}
            Nodelay::NotYet => self.nodelay = Nodelay::Due,
            Nodelay::Due => {
                // Fails only on a socket that is gone, and the write says so.
                let _ = socket::set_nodelay(&self.stream);
                self.nodelay = Nodelay::Set;
            }
        }
    }

    /// Whether the connection was cut off, as far as an event said so. EPIPE
    /// does not: the peer had ended its stream in order before, and what is
    /// left of that can be read.
    pub(super) fn is_cut(&mut self) -> bool {
        if !self.ready.contains(Readiness::ERROR) {
            return false;
        }
        self.ready.remove(Readiness::ERROR);
        let error = socket::take_error(&self.stream).ok().flatten();
        self.broken |= error.is_some();
        error.is_some_and(|error| error.kind() != ErrorKind::BrokenPipe)
    }

    /// Whether it takes no byte any more, as far as an event said so. After the
    /// end of its stream a reset is an EPIPE as well.
    pub(super) fn is_broken(&mut self) -> bool {
        self.is_cut() || self.broken
    }
}

/// How a round of steps in one direction ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pumped {
    /// Nothing more can be done now.
    Settled,
    /// The budget is spent first.
    Unfinished,
    /// The sink's peer reset its connection. What it sent before may still be
    /// read.
    SinkReset,
    /// The source's peer reset its connection, or it is lost in another way.
    Lost,
}

/// Moves what can be moved in one direction. `is_last` says that the other one
/// is over, so that the end needs no half-close: both sockets are closed.
pub(super) fn pump(
    direction: &mut Direction,
    source: &mut Side,
    sink: &mut Side,
    is_last: bool,
    tools: &mut Tools<'_>,
    budget: &mut Budget,
) -> Pumped {
    loop {
        let action = direction.next(source.ready, sink.ready, tools.room());
        if matches!(action, Action::Move(_) | Action::Flush) {
            if budget.is_spent() {
                return Pumped::Unfinished;
            }
            budget.spend(1, 0);
            tools.budget.spend(1, 0);
        }
        let outcome = match action {
            Action::Wait | Action::Done => return Pumped::Settled,
            Action::PassEnd => {
                if !is_last {
                    // Fails only when the sink is gone, and it says so itself.
                    let _ = sink.stream.shutdown(Shutdown::Write);
                }
                direction.end_passed();
                return Pumped::Settled;
            }
            Action::Flush => flush(direction, sink, tools),
            Action::Move(step) => match step.method {
                Method::Copy | Method::Peek => advance(direction, source, sink, step, tools),
                Method::Splice => splice(direction, source, sink, step, tools),
            },
        };
        match outcome {
            Ok(handled) => {
                budget.spend(0, handled);
                tools.budget.spend(0, handled);
            }
            Err(Failure::Source) => return Pumped::Lost,
            Err(Failure::Sink(kind)) => {
                direction.break_off();
                give_back(direction, tools.small, tools.large, tools.pipes);
                // EPIPE: the peer had ended its own stream in order before it
                // closed altogether. Any other error cut that stream, too.
                let ended = kind == ErrorKind::BrokenPipe;
                return if ended { Pumped::Settled } else { Pumped::SinkReset };
            }
        }
    }
}

/// Which side failed in a step.
#[derive(Debug)]
pub(super) enum Failure {
    Source,
    Sink(ErrorKind),
}

/// Writes what is held back; returns how many bytes the sink took.
fn flush(
    direction: &mut Direction,
    sink: &mut Side,
    tools: &mut Tools<'_>,
) -> Result<usize, Failure> {
    let (taken, is_empty) = match &mut direction.held {
        Held::Nothing => return Ok(0),
        Held::Buffer(buffer) => {
            let taken = write(sink, buffer.readable())?;
            buffer.consume(taken);
            (taken, buffer.is_empty())
        }
        Held::Pipe(pipe) => {
            let there = pipe.len();
            (sent(sink, there, |stream| pipe.drain(stream))?, pipe.is_empty())
        }
    };
    direction.count(taken);
    if is_empty {
        give_back(direction, tools.small, tools.large, tools.pipes);
    }
    Ok(taken)
}

/// Moves bytes from the source into a pipe, and at once on to the sink. Returns
/// how many there were.
fn splice(
    direction: &mut Direction,
    source: &mut Side,
    sink: &mut Side,
    step: Step,
    tools: &mut Tools<'_>,
) -> Result<usize, Failure> {
    let Some(mut pipe) = tools.pipes.take() else { return Ok(0) };
    let filled = pipe.fill(&source.stream, step.bytes);
    if let Ok(found @ 1..) = filled {
        direction.held = Held::Pipe(pipe);
        let taken = flush(direction, sink, tools)?;
        direction.moved(step, found, taken);
        return Ok(found);
    }
    tools.pipes.give(pipe);
    match filled.map_err(|error| error.kind()) {
        Ok(_) => direction.found_no_more(),
        // Only this says that nothing is there: a pipe takes less than there is
        // when its places are used up, however little is in each.
        Err(ErrorKind::WouldBlock) => source.ready.remove(Readiness::READABLE),
        Err(ErrorKind::Interrupted) => {}
        // Some sandboxes have no splice(2) for sockets, or allow none.
        Err(ErrorKind::InvalidInput | ErrorKind::PermissionDenied | ErrorKind::Unsupported) => {
            tools.pipes.set_limit(0);
        }
        Err(_) => return Err(Failure::Source),
    }
    Ok(0)
}

/// Reads once, and writes that at once. Returns how many bytes there were:
/// they cost what they cost, whether the sink takes them or not.
fn advance(
    direction: &mut Direction,
    source: &mut Side,
    sink: &mut Side,
    step: Step,
    tools: &mut Tools<'_>,
) -> Result<usize, Failure> {
    let asked = step.bytes.min(tools.scratch.len());
    let Some(scratch) = tools.scratch.get_mut(..asked) else { return Ok(0) };
    let takes = step.method == Method::Copy;
    let read = if takes { source.stream.read(scratch) } else { source.stream.peek(scratch) };
    let found = match read {
        Ok(0) => {
            direction.end();
            return Ok(0);
        }
        Ok(found) => found,
        Err(error) if error.kind() == ErrorKind::WouldBlock => {
            source.ready.remove(Readiness::READABLE | Readiness::PRIORITY);
            return Ok(0);
        }
        Err(error) if error.kind() == ErrorKind::Interrupted => return Ok(0),
        Err(_) => return Err(Failure::Source),
    };
    let bytes = scratch.get(..found).unwrap_or_default();
    let taken = write(sink, bytes)?;
    direction.moved(Step { bytes: asked, ..step }, found, taken);
    direction.count(taken);
    let left = bytes.get(taken..).unwrap_or_default();
    if !takes {
        discard(source, scratch, taken)?;
    } else if !left.is_empty() {
        hold_back(direction, left, tools.small, tools.large)?;
    }
    let emptied = takes || taken == found;
    if emptied && short_read_is_the_last(source.ready, asked, found) {
        source.ready.remove(Readiness::READABLE);
    }
    Ok(found)
}

/// Keeps the bytes that the sink did not take. The step was chosen so that a
/// buffer is there; if not, the bytes are lost and the connection with them.
fn hold_back(
    direction: &mut Direction,
    bytes: &[u8],
    small: &mut Pool,
    large: &mut Pool,
) -> Result<(), Failure> {
    let pool = if bytes.len() <= MESSAGE_STEP && small.available() > 0 { small } else { large };
    let mut buffer = pool.take().ok_or(Failure::Source)?;
    let kept = buffer.extend_from(bytes);
    direction.held = Held::Buffer(buffer);
    if kept == bytes.len() { Ok(()) } else { Err(Failure::Source) }
}

/// Gives back what a direction holds bytes in; the bytes are lost.
pub(super) fn give_back(
    direction: &mut Direction,
    small: &mut Pool,
    large: &mut Pool,
    pipes: &mut Pipes,
) {
    match std::mem::take(&mut direction.held) {
        Held::Nothing => {}
        Held::Buffer(buffer) if buffer.size() == large.size() => large.give(buffer),
        Held::Buffer(buffer) => small.give(buffer),
        Held::Pipe(pipe) => pipes.give(pipe),
    }
}

fn write(sink: &mut Side, bytes: &[u8]) -> Result<usize, Failure> {
    sent(sink, bytes.len(), |stream| stream.write(bytes))
}

/// Sends once, `there` bytes if the sink takes them all. A short write is
/// believed: the send queue is full, and room in it makes an event.
fn sent(
    sink: &mut Side,
    there: usize,
    send: impl FnOnce(&mut TcpStream) -> io::Result<usize>,
) -> Result<usize, Failure> {
    sink.before_write();
    match send(&mut sink.stream) {
        Ok(taken) => {
            if taken < there {
                sink.ready.remove(Readiness::WRITABLE);
            }
            Ok(taken)
        }
        Err(error) if error.kind() == ErrorKind::WouldBlock => {
            sink.ready.remove(Readiness::WRITABLE);
            Ok(0)
        }
        Err(error) if error.kind() == ErrorKind::Interrupted => Ok(0),
        Err(error) => Err(Failure::Sink(error.kind())),
    }
}

/// Takes `count` bytes, which were looked at and sent, out of the receive
/// queue. If that fails they would be sent twice, so the connection is lost.
pub(super) fn discard(source: &Side, scratch: &mut [u8], count: usize) -> Result<(), Failure> {
    let mut left = count;
    while let Some(room) = scratch.get_mut(..left).filter(|room| !room.is_empty()) {
        match socket::discard(&source.stream, room) {
            Ok(0) => return Err(Failure::Source),
            Ok(gone) => left = left.saturating_sub(gone),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => return Err(Failure::Source),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::relay::BULK_STEP;
    use super::*;
    use std::net::{TcpListener as StdListener, TcpStream as StdStream};

    /// A side, and its other end.
    fn side(ready: Readiness) -> (Side, StdStream) {
        let listener = StdListener::bind("127.0.0.1:0").unwrap();
        let other = StdStream::connect(listener.local_addr().unwrap()).unwrap();
        let (stream, _) = listener.accept().unwrap();
        stream.set_nonblocking(true).unwrap();
        (Side { ready, ..Side::target(TcpStream::from_std(stream), false) }, other)
    }

    /// As when an urgent octet and the end come after the events of this turn:
    /// to a pipe the first looks like the second.
    #[test]
    fn what_follows_an_urgent_octet_is_not_lost_with_the_end() {
        let (mut source, mut sender) = side(Readiness::READABLE);
        let (mut sink, mut receiver) = side(Readiness::WRITABLE);
        assert_eq!(socket2::SockRef::from(&sender).send_out_of_band(b"!").unwrap(), 1);
        sender.write_all(b"after").unwrap();
        sender.shutdown(Shutdown::Write).unwrap();
        let mut pipes = Pipes::new(1);
        let mut pipe = pipes.take().unwrap();
        while pipe.fill(&source.stream, 9).is_err() {}
        pipes.give(pipe);
        let mut direction = Direction::new();
        let plenty = Step { method: Method::Copy, bytes: BULK_STEP };
        (0..9).for_each(|_| direction.moved(plenty, BULK_STEP, BULK_STEP));
        let (mut small, mut large) = (Pool::new(1, 0, 0), Pool::new(BULK_STEP, 1, 0));
        let mut tools = Tools {
            now: Time::ZERO,
            scratch: &mut [0; 1000],
            small: &mut small,
            large: &mut large,
            pipes: &mut pipes,
            counters: &mut Counters::default(),
            budget: &mut Budget { steps: 100, bytes: 10_000 },
        };
        let mut budget = Budget { steps: 100, bytes: 10_000 };
        let pumped = pump(&mut direction, &mut source, &mut sink, false, &mut tools, &mut budget);
        assert_eq!((pumped, direction.bytes), (Pumped::Settled, 5));
        source.ready |= Readiness::READABLE | Readiness::READ_CLOSED;
        pump(&mut direction, &mut source, &mut sink, false, &mut tools, &mut budget);
        assert!(direction.is_done());
        let mut seen = Vec::new();
        receiver.read_to_end(&mut seen).unwrap();
        assert_eq!(seen, b"after");
    }

    #[test]
    fn small_segments_of_a_target_wait_for_nothing_from_its_second_write_on() {
        let (mut sink, mut receiver) = side(Readiness::WRITABLE);
        assert!(!sink.stream.nodelay().unwrap());
        for (written, has_nodelay) in [(b"1", false), (b"2", true), (b"3", true)] {
            assert_eq!(write(&mut sink, written).unwrap(), 1);
            assert_eq!(sink.stream.nodelay().unwrap(), has_nodelay);
        }
        let mut seen = [0; 3];
        receiver.read_exact(&mut seen).unwrap();
        assert_eq!(&seen, b"123");
    }

    #[test]
    fn bytes_that_the_sink_does_not_take_are_paid_for_as_well() {
        let (mut source, mut sender) = side(Readiness::READABLE);
        let (mut sink, _receiver) = side(Readiness::WRITABLE);
        while sink.stream.write(&[0; 65536]).is_ok() {}
        sender.write_all(&[1; 500]).unwrap();
        while source.stream.peek(&mut [0; 500]).ok() != Some(500) {}
        let (mut small, mut large) = (Pool::new(1, 0, 0), Pool::new(1, 0, 0));
        let mut shared = Budget { steps: 100, bytes: 10_000 };
        let mut own = Budget { steps: 10, bytes: 1000 };
        let mut tools = Tools {
            now: Time::ZERO,
            scratch: &mut [0; 1000],
            small: &mut small,
            large: &mut large,
            pipes: &mut Pipes::new(0),
            counters: &mut Counters::default(),
            budget: &mut shared,
        };
        let mut direction = Direction::new();
        let pumped = pump(&mut direction, &mut source, &mut sink, false, &mut tools, &mut own);
        assert_eq!((pumped, direction.bytes), (Pumped::Settled, 0));
        assert_eq!(own, Budget { steps: 9, bytes: 500 });
        assert_eq!(shared, Budget { steps: 99, bytes: 9500 });
    }
}
