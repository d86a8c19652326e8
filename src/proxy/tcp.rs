//! One relayed connection: two sockets, and the steps that the rules of
//! [`super::relay`] ask for.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr};
use std::time::Duration;

use mio::net::TcpStream;

use super::Counters;
use super::relay::{
    Action, Direction, Limits, MESSAGE_STEP, Method, Relay, Room, Silence, Step,
    short_read_is_the_last,
};
use crate::reactor::buffer::Pool;
use crate::reactor::fault;
use crate::reactor::socket;
use crate::reactor::timer_wheel::{Alarm, TimerWheel};
use crate::reactor::{Readiness, Time, Token};

/// Most targets that are dialled for one client.
const DIALS: usize = 16;

/// What a connection may spend in one turn before others have theirs: half a
/// millisecond of copying, or of system calls.
const CONNECTION_BUDGET: Budget = Budget { steps: 16, bytes: 1024 * 1024 };

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
    pub(super) counters: &'a mut Counters,
    /// What all connections may still spend in this turn.
    pub(super) budget: &'a mut Budget,
}

impl Tools<'_> {
    fn room(&self) -> Room {
        Room { small: self.small.available() > 0, large: self.large.available() > 0 }
    }
}

/// What a connection wants after it was served.
#[derive(Debug)]
pub(super) enum Verdict {
    /// An event or its timer.
    Wait,
    /// Another turn: its budget is spent, not its bytes.
    Again,
    /// A target to dial.
    Dial,
    /// Nothing; its target answered, and it can be served at once.
    Connected(SocketAddr),
    /// Nothing; its target did not answer, and it wants another.
    DialFailed(SocketAddr, String),
    /// To be closed.
    Close(Ending),
}

/// How a connection ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    /// Both streams came to their ends.
    Finished,
    /// A side was reset, or bytes were lost: the other must not take it for
    /// the end of a stream.
    Reset,
    /// A limit of silence was reached. With bytes undelivered, as a reset.
    Silent(Silence, bool),
    /// It was never connected.
    Unserved,
}

impl Ending {
    fn is_reset(self) -> bool {
        matches!(self, Ending::Reset | Ending::Silent(_, true))
    }
}

#[derive(Debug)]
struct Side {
    stream: TcpStream,
    ready: Readiness,
}

impl Side {
    /// Whether the connection was cut off, as far as an event said so. EPIPE
    /// does not: the peer had ended its stream in order before, and what is
    /// left of that can be read.
    fn is_cut(&mut self) -> bool {
        if !self.ready.contains(Readiness::ERROR) {
            return false;
        }
        self.ready.remove(Readiness::ERROR);
        let error = socket::take_error(&self.stream).ok().flatten();
        error.is_some_and(|error| error.kind() != ErrorKind::BrokenPipe)
    }
}

#[derive(Debug)]
enum Stage {
    /// It has no target yet.
    Arrived,
    /// A target was called.
    Dialing { deadline: Time },
    /// Bytes pass.
    Relaying,
}

/// A client's connection and the one to its target.
#[derive(Debug)]
pub(super) struct Connection {
    client: Side,
    target: Option<(Side, SocketAddr)>,
    stage: Stage,
    relay: Relay,
    limits: Limits,
    /// The client's address, and that of the listener it came to.
    peer: SocketAddr,
    listener: SocketAddr,
    /// Targets that failed; empty on the way that is usual.
    tried: Vec<SocketAddr>,
    alarm: Alarm,
    /// A sink was reset by its peer.
    reset: bool,
    /// In the list of those that can make progress.
    pub(super) queued: bool,
    /// Its handling panics; for the test of the boundary around it.
    pub(super) sabotaged: bool,
}

/// An idle connection is this and two sockets.
const _: () = assert!(size_of::<Connection>() <= 600);

impl Connection {
    pub(super) fn new(
        now: Time,
        stream: TcpStream,
        peer: SocketAddr,
        listener: SocketAddr,
        limits: Limits,
    ) -> Connection {
        Connection {
            client: Side { stream, ready: Readiness::NONE },
            target: None,
            stage: Stage::Arrived,
            relay: Relay::new(now),
            limits,
            peer,
            listener,
            tried: Vec::new(),
            alarm: Alarm::new(),
            reset: false,
            queued: false,
            sabotaged: false,
        }
    }

    /// The client's socket, to be registered.
    pub(super) fn client_stream(&mut self) -> &mut TcpStream {
        &mut self.client.stream
    }

    /// The client's address.
    pub(super) fn peer(&self) -> SocketAddr {
        self.peer
    }

    /// The address of the listener that the client came to.
    pub(super) fn listener(&self) -> SocketAddr {
        self.listener
    }

    /// Targets that failed.
    pub(super) fn tried(&self) -> &[SocketAddr] {
        &self.tried
    }

    /// Whether another target may be dialled.
    pub(super) fn may_dial(&self) -> bool {
        self.tried.len() < DIALS
    }

    /// The client's socket said something.
    pub(super) fn client_event(&mut self, readiness: Readiness) {
        self.client.ready |= readiness;
    }

    /// The target's socket said something.
    pub(super) fn target_event(&mut self, readiness: Readiness) {
        if let Some((side, _)) = &mut self.target {
            side.ready |= readiness;
        }
    }

    /// A connection to `address` is under way.
    pub(super) fn dialing(
        &mut self,
        now: Time,
        stream: TcpStream,
        address: SocketAddr,
        limit: Duration,
    ) {
        self.target = Some((Side { stream, ready: Readiness::NONE }, address));
        self.stage = Stage::Dialing { deadline: now + limit };
    }

    /// The target at `address` is not to be dialled again.
    pub(super) fn dial_failed(&mut self, address: SocketAddr) {
        self.target = None;
        self.stage = Stage::Arrived;
        self.tried.push(address);
    }

    /// Arms the timer for the next deadline.
    pub(super) fn arm(&mut self, wheel: &mut TimerWheel, token: Token) {
        let deadline = match self.stage {
            Stage::Arrived => None,
            Stage::Dialing { deadline } => Some(deadline),
            Stage::Relaying => self.relay.watch.deadline(&self.limits).map(|(time, _)| time),
        };
        self.alarm.set(wheel, token, deadline);
    }

    /// The timer fired, on time or early.
    pub(super) fn fired(&mut self) {
        self.alarm.fired();
    }

    /// Does what can be done now, within the budget.
    pub(super) fn advance(&mut self, tools: &mut Tools<'_>) -> Verdict {
        if self.sabotaged {
            fault::inject("a proxied connection");
        }
        match self.stage {
            Stage::Arrived => Verdict::Dial,
            Stage::Dialing { deadline } => self.dial(tools.now, deadline),
            Stage::Relaying => self.relay(tools),
        }
    }

    fn dial(&mut self, now: Time, deadline: Time) -> Verdict {
        let gone = Readiness::ERROR | Readiness::WRITE_CLOSED;
        if self.client.ready.intersects(gone) {
            return Verdict::Close(Ending::Reset);
        }
        let Some((side, address)) = &self.target else { return Verdict::Dial };
        if side.ready.intersects(gone) {
            let error = socket::take_error(&side.stream).ok().flatten();
            let text = error.map_or_else(|| "closed at once".to_owned(), |e| e.to_string());
            return Verdict::DialFailed(*address, text);
        }
        if side.ready.contains(Readiness::WRITABLE) {
            self.stage = Stage::Relaying;
            self.tried = Vec::new();
            self.relay = Relay::new(now);
            return Verdict::Connected(*address);
        }
        if now >= deadline {
            return Verdict::DialFailed(*address, "no answer in time".to_owned());
        }
        Verdict::Wait
    }

    fn relay(&mut self, tools: &mut Tools<'_>) -> Verdict {
        let Some((target, _)) = &mut self.target else { return Verdict::Close(Ending::Reset) };
        let (client, relay) = (&mut self.client, &mut self.relay);
        let before = (relay.up.bytes, relay.down.bytes);
        let mut budget = CONNECTION_BUDGET;

        let down_is_done = relay.down.is_done();
        let up = pump(&mut relay.up, client, target, down_is_done, tools, &mut budget);
        let up_is_done = relay.up.is_done();
        let down = pump(&mut relay.down, target, client, up_is_done, tools, &mut budget);

        let moved = |now: u64, before: u64| now.saturating_sub(before);
        let counters = &mut tools.counters;
        counters.bytes_up = counters.bytes_up.saturating_add(moved(relay.up.bytes, before.0));
        counters.bytes_down = counters.bytes_down.saturating_add(moved(relay.down.bytes, before.1));
        relay.observe(tools.now, before, client.ready, target.ready);

        self.reset |= up == Pumped::SinkReset || down == Pumped::SinkReset;
        if up == Pumped::Lost || down == Pumped::Lost {
            return Verdict::Close(Ending::Reset);
        }
        if relay.is_done() {
            let ending = if self.reset { Ending::Reset } else { Ending::Finished };
            return Verdict::Close(ending);
        }
        if up == Pumped::Unfinished || down == Pumped::Unfinished {
            return Verdict::Again;
        }
        // Whoever waits for the target would not read what the client's kernel
        // has said.
        if relay.up.is_open() && client.is_cut() {
            return Verdict::Close(Ending::Reset);
        }
        match relay.watch.deadline(&self.limits) {
            Some((deadline, silence)) if deadline <= tools.now => {
                let lossy = relay.would_lose(client.ready, target.ready);
                Verdict::Close(Ending::Silent(silence, lossy))
            }
            _ => Verdict::Wait,
        }
    }

    /// Closes both sockets and gives back what was borrowed.
    pub(super) fn close(
        mut self,
        ending: Ending,
        small: &mut Pool,
        large: &mut Pool,
        wheel: &mut TimerWheel,
    ) {
        self.alarm.clear(wheel);
        for direction in [&mut self.relay.up, &mut self.relay.down] {
            give_back(direction, small, large);
        }
        if ending.is_reset() {
            // Fails only on a socket that is gone already.
            let _ = socket::reset_on_close(&self.client.stream);
            if let Some((side, _)) = &self.target {
                let _ = socket::reset_on_close(&side.stream);
            }
        }
    }

    /// Takes from the client what it has sent so far: closing with unread bytes
    /// would be a reset. Bounded, because nothing else of it is served.
    pub(super) fn discard_input(&mut self, scratch: &mut [u8]) {
        const READS: usize = 4;
        for _ in 0..READS {
            match self.client.stream.read(scratch) {
                Ok(1..) => {}
                Ok(0) | Err(_) => return,
            }
        }
    }

    /// The address of the target, if one was chosen.
    pub(super) fn target(&self) -> Option<SocketAddr> {
        self.target.as_ref().map(|(_, address)| *address)
    }

    /// Bytes moved to the target and to the client.
    pub(super) fn bytes(&self) -> (u64, u64) {
        (self.relay.up.bytes, self.relay.down.bytes)
    }
}

/// How a round of steps in one direction ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Pumped {
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
fn pump(
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
            Action::Move(step) => advance(direction, source, sink, step, tools),
        };
        match outcome {
            Ok(handled) => {
                budget.spend(0, handled);
                tools.budget.spend(0, handled);
            }
            Err(Failure::Source) => return Pumped::Lost,
            Err(Failure::Sink(kind)) => {
                direction.break_off();
                give_back(direction, tools.small, tools.large);
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
enum Failure {
    Source,
    Sink(ErrorKind),
}

/// Writes what is held back; returns how many bytes the sink took.
fn flush(
    direction: &mut Direction,
    sink: &mut Side,
    tools: &mut Tools<'_>,
) -> Result<usize, Failure> {
    let Some(held) = &mut direction.held else { return Ok(0) };
    let taken = write(sink, held.readable())?;
    held.consume(taken);
    let is_empty = held.is_empty();
    direction.count(taken);
    if is_empty {
        give_back(direction, tools.small, tools.large);
    }
    Ok(taken)
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
    let read = match step.method {
        Method::Copy => source.stream.read(scratch),
        Method::Peek => source.stream.peek(scratch),
    };
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
    direction.moved(asked, found, taken);
    let left = bytes.get(taken..).unwrap_or_default();
    let emptied = match step.method {
        Method::Copy if left.is_empty() => true,
        Method::Copy => {
            hold_back(direction, left, tools.small, tools.large)?;
            true
        }
        Method::Peek => {
            discard(source, scratch, taken)?;
            taken == found
        }
    };
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
    direction.held = Some(buffer);
    if kept == bytes.len() { Ok(()) } else { Err(Failure::Source) }
}

fn give_back(direction: &mut Direction, small: &mut Pool, large: &mut Pool) {
    if let Some(buffer) = direction.held.take() {
        let pool = if buffer.size() == large.size() { large } else { small };
        pool.give(buffer);
    }
}

/// Writes once. A short write is believed: the send queue is full, and room in
/// it makes an event.
fn write(sink: &mut Side, bytes: &[u8]) -> Result<usize, Failure> {
    match sink.stream.write(bytes) {
        Ok(taken) => {
            if taken < bytes.len() {
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
fn discard(source: &Side, scratch: &mut [u8], count: usize) -> Result<(), Failure> {
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
    use super::*;
    use std::net::{TcpListener as StdListener, TcpStream as StdStream};

    /// A side, and its other end.
    fn side(ready: Readiness) -> (Side, StdStream) {
        let listener = StdListener::bind("127.0.0.1:0").unwrap();
        let other = StdStream::connect(listener.local_addr().unwrap()).unwrap();
        let (stream, _) = listener.accept().unwrap();
        stream.set_nonblocking(true).unwrap();
        (Side { stream: TcpStream::from_std(stream), ready }, other)
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
