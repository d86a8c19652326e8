//! The rules by which bytes pass between the two sides of a connection: pure,
//! without a socket or a clock.

use std::time::Duration;

use crate::reactor::buffer::{BUFFER_SIZE, Buffer};
use crate::reactor::pipe::{PIPE_SIZE, Pipe};
use crate::reactor::{Readiness, Time};

/// Most bytes of one step while a direction carries messages: what the other
/// side does not take then fits into one small buffer.
pub(super) const MESSAGE_STEP: usize = BUFFER_SIZE;

/// Most bytes of one step in bulk. What bulk costs is work per step, far more
/// than copying: steps of this size cost half of what 16 KiB do.
pub(super) const BULK_STEP: usize = 256 * 1024;

/// Most bytes of one step through a pipe, and most that one holds back.
pub(super) const SPLICE_STEP: usize = PIPE_SIZE;

/// Bytes of a step that is worth a pipe, if others are like it.
const PLENTY_STEP: usize = 64 * 1024;

/// From how many steps of plenty on a direction is worth a pipe. Each counts
/// one up to the limit, each message takes one off: so the odd small step of a
/// stream does not end it, and a few messages do.
const PLENTY: u8 = 3;
const MOST_PLENTY: u8 = 6;

/// What a direction seems to carry, learned from its last steps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Flow {
    /// Less than a [`MESSAGE_STEP`] at a time.
    Messages,
    /// More than that, and the other side takes it all.
    Bulk,
    /// More than the other side takes. `step` follows what it took, so that
    /// little is held back.
    Congested {
        /// Bytes worth asking for.
        step: usize,
    },
}

/// How the bytes of one step are moved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Method {
    /// Receive, then send. What the other side does not take is held back in a
    /// buffer: two system calls.
    Copy,
    /// Look at the bytes, send them, and take from the receive queue what was
    /// sent. Nothing needs to be held back: three system calls.
    Peek,
    /// Through a pipe, inside the kernel. What the other side does not take is
    /// held back in the pipe: two system calls, and one more to see that the
    /// receive queue is empty.
    Splice,
}

/// One step: how, and how many bytes at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Step {
    /// How the bytes are moved.
    pub(super) method: Method,
    /// Most bytes to ask for.
    pub(super) bytes: usize,
}

/// Whether a buffer could be had for what is left over from a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Room {
    /// One for [`MESSAGE_STEP`] bytes.
    pub(super) small: bool,
    /// One for [`BULK_STEP`] bytes.
    pub(super) large: bool,
    /// A pipe.
    pub(super) pipe: bool,
}

/// Chooses how to move the next bytes. This is the only place that does.
///
/// A pipe is cheapest for much, and dearest for little. Copying needs a promise
/// that the whole step can be held back. A direction that is congested would
/// hold bytes all the time, and one that finds no buffer must not wait for the
/// buffers of others, so both look before they take.
pub(super) fn method(flow: Flow, plenty: bool, room: Room) -> Step {
    match flow {
        Flow::Congested { step } if plenty && room.pipe => {
            Step { method: Method::Splice, bytes: step.max(PLENTY_STEP) }
        }
        _ if plenty && room.pipe => Step { method: Method::Splice, bytes: SPLICE_STEP },
        Flow::Messages if room.small => Step { method: Method::Copy, bytes: MESSAGE_STEP },
        Flow::Messages => Step { method: Method::Peek, bytes: MESSAGE_STEP },
        Flow::Bulk if room.large => Step { method: Method::Copy, bytes: BULK_STEP },
        Flow::Bulk => Step { method: Method::Peek, bytes: BULK_STEP },
        Flow::Congested { step } => Step { method: Method::Peek, bytes: step.min(BULK_STEP) },
    }
}

impl Flow {
    /// What a step teaches: how many bytes were `found`, and how many the
    /// other side took.
    fn after(self, step: Step, found: usize, taken: usize) -> Flow {
        let (asked, most) = match step.method {
            Method::Splice => (step.bytes, SPLICE_STEP),
            Method::Copy | Method::Peek => (step.bytes, BULK_STEP),
        };
        if taken < found {
            let step = taken.saturating_mul(2).clamp(MESSAGE_STEP, most);
            return Flow::Congested { step };
        }
        match self {
            _ if found < asked && found <= MESSAGE_STEP => Flow::Messages,
            _ if found < asked => self,
            Flow::Congested { step } if step < most => {
                Flow::Congested { step: step.saturating_mul(2).min(most) }
            }
            _ => Flow::Bulk,
        }
    }
}

/// How far a direction's stream has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stream {
    /// More may come.
    Open,
    /// The source ended; what is held back and the end are to be passed on.
    Ended,
    /// The end was passed on.
    Passed,
    /// The sink takes nothing any more.
    Broken,
}

/// What a direction can do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Action {
    /// Nothing, until a side gets ready.
    Wait,
    /// Write what is held back.
    Flush,
    /// Read, and write at once.
    Move(Step),
    /// Tell the sink that the stream is over.
    PassEnd,
    /// Nothing, ever.
    Done,
}

/// Bytes that the sink did not take yet, and what they are in.
#[derive(Debug, Default)]
pub(super) enum Held {
    /// There are none, and nothing is borrowed.
    #[default]
    Nothing,
    /// They were copied.
    Buffer(Buffer),
    /// They stayed in the kernel.
    Pipe(Pipe),
}

impl Held {
    fn is_nothing(&self) -> bool {
        matches!(self, Held::Nothing)
    }
}

/// One direction of a connection: from its source to its sink.
#[derive(Debug)]
pub(super) struct Direction {
    /// What the sink did not take yet.
    pub(super) held: Held,
    /// Bytes that the sink took.
    pub(super) bytes: u64,
    flow: Flow,
    /// Steps of plenty, less messages.
    plenty: u8,
    stream: Stream,
}

impl Direction {
    pub(super) const fn new() -> Direction {
        let (flow, stream) = (Flow::Messages, Stream::Open);
        Direction { held: Held::Nothing, bytes: 0, flow, plenty: 0, stream }
    }

    /// What to do next, given the readiness of both sides. A source is read
    /// only while the sink takes bytes: back-pressure.
    pub(super) fn next(&self, source: Readiness, sink: Readiness, room: Room) -> Action {
        let writable = sink.contains(Readiness::WRITABLE);
        match (self.stream, &self.held) {
            (Stream::Passed | Stream::Broken, _) => Action::Done,
            (_, Held::Buffer(_) | Held::Pipe(_)) if writable => Action::Flush,
            (_, Held::Buffer(_) | Held::Pipe(_)) => Action::Wait,
            (Stream::Ended, Held::Nothing) => Action::PassEnd,
            (Stream::Open, Held::Nothing) if writable && source.contains(Readiness::READABLE) => {
                // A pipe does not get over an urgent octet.
                let is_plain = !source.contains(Readiness::PRIORITY);
                Action::Move(method(self.flow, is_plain && self.plenty >= PLENTY, room))
            }
            (Stream::Open, Held::Nothing) => Action::Wait,
        }
    }

    /// A step was made: `found` bytes were there, `taken` ones went on.
    pub(super) fn moved(&mut self, step: Step, found: usize, taken: usize) {
        self.flow = self.flow.after(step, found, taken);
        if found >= PLENTY_STEP || (found == step.bytes && found > MESSAGE_STEP) {
            self.plenty = self.plenty.saturating_add(1).min(MOST_PLENTY);
        } else if found < step.bytes && found <= MESSAGE_STEP {
            self.plenty = self.plenty.saturating_sub(1);
        }
    }

    /// A pipe got nothing although there was no error. That is the end of the
    /// stream or an urgent octet, and only a read tells which.
    pub(super) fn found_no_more(&mut self) {
        self.plenty = 0;
    }

    /// The sink took bytes.
    pub(super) fn count(&mut self, taken: usize) {
        self.bytes = self.bytes.saturating_add(u64::try_from(taken).unwrap_or(u64::MAX));
    }

    /// The source's stream is over.
    pub(super) fn end(&mut self) {
        if self.stream == Stream::Open {
            self.stream = Stream::Ended;
        }
    }

    /// The end was passed on.
    pub(super) fn end_passed(&mut self) {
        self.stream = Stream::Passed;
    }

    /// The sink takes nothing any more.
    pub(super) fn break_off(&mut self) {
        self.stream = Stream::Broken;
    }

    /// Whether more may come from its source.
    pub(super) fn is_open(&self) -> bool {
        self.stream == Stream::Open
    }

    /// Whether nothing more will be moved.
    pub(super) fn is_done(&self) -> bool {
        matches!(self.stream, Stream::Passed | Stream::Broken)
    }

    /// Whether it waits for bytes of its source, and for nothing else.
    fn waits_for_source(&self, sink: Readiness) -> bool {
        self.stream == Stream::Open && self.held.is_nothing() && sink.contains(Readiness::WRITABLE)
    }

    /// Whether there are bytes, held back or not read yet, for its sink.
    fn has_bytes(&self, source: Readiness) -> bool {
        match self.stream {
            Stream::Open => !self.held.is_nothing() || source.contains(Readiness::READABLE),
            Stream::Ended => !self.held.is_nothing(),
            Stream::Passed | Stream::Broken => false,
        }
    }

    /// Whether it has bytes that its sink does not take.
    fn waits_for_sink(&self, source: Readiness, sink: Readiness) -> bool {
        self.has_bytes(source) && !sink.contains(Readiness::WRITABLE)
    }
}

/// What happens to a source's READABLE after it gave `found` bytes of the
/// `asked` ones. A short read is believed: the receive queue is empty, and the
/// next byte makes an event. But not when the last event told of more than
/// bytes (an end, an error, or an urgent octet, at which a read stops): then
/// only `WouldBlock` says so.
pub(super) fn short_read_is_the_last(source: Readiness, asked: usize, found: usize) -> bool {
    let special = Readiness::READ_CLOSED | Readiness::ERROR | Readiness::PRIORITY;
    found < asked && !source.intersects(special)
}

/// The limits of a connection's silence; zero: none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Limits {
    /// Without a byte in either direction.
    pub(super) idle: Duration,
    /// Without a byte from the client, while one is waited for.
    pub(super) read: Duration,
    /// Without a byte taken by the client, while there is one for it.
    pub(super) write: Duration,
    /// Without a byte after one of both sides has ended its stream.
    pub(super) half_closed: Duration,
}

/// Which of the [`Limits`] was reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Silence {
    /// Neither side.
    Idle,
    /// The client sent nothing.
    Read,
    /// The client took nothing.
    Write,
    /// One side ended its stream, and the other went on with nothing.
    HalfClosed,
}

/// Since when a connection is silent, in each sense of [`Limits`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Watch {
    idle: Time,
    read: Option<Time>,
    write: Option<Time>,
    half_closed: Option<Time>,
}

impl Watch {
    pub(super) const fn new(now: Time) -> Watch {
        Watch { idle: now, read: None, write: None, half_closed: None }
    }

    /// When the first limit is reached, and which.
    pub(super) fn deadline(&self, limits: &Limits) -> Option<(Time, Silence)> {
        let after = |since: Option<Time>, limit: Duration, silence| {
            since.filter(|_| !limit.is_zero()).map(|since| (since + limit, silence))
        };
        [
            after(Some(self.idle), limits.idle, Silence::Idle),
            after(self.read, limits.read, Silence::Read),
            after(self.write, limits.write, Silence::Write),
            after(self.half_closed, limits.half_closed, Silence::HalfClosed),
        ]
        .into_iter()
        .flatten()
        .min_by_key(|(deadline, _)| *deadline)
    }
}

/// Both directions of a connection.
#[derive(Debug)]
pub(super) struct Relay {
    /// From the client to the target.
    pub(super) up: Direction,
    /// From the target to the client.
    pub(super) down: Direction,
    /// Since when it is silent.
    pub(super) watch: Watch,
}

impl Relay {
    pub(super) const fn new(now: Time) -> Relay {
        Relay { up: Direction::new(), down: Direction::new(), watch: Watch::new(now) }
    }

    /// Takes the time after a round of steps. `before` are the bytes that each
    /// direction had moved before it.
    pub(super) fn observe(
        &mut self,
        now: Time,
        before: (u64, u64),
        client: Readiness,
        target: Readiness,
    ) {
        let (sent, taken) = (self.up.bytes != before.0, self.down.bytes != before.1);
        if sent || taken {
            self.watch.idle = now;
        }
        let since = |then: Option<Time>, waits: bool, moved: bool| match waits {
            true if moved => Some(now),
            true => then.or(Some(now)),
            false => None,
        };
        self.watch.read = since(self.watch.read, self.up.waits_for_source(target), sent);
        let blocked = self.down.waits_for_sink(target, client);
        self.watch.write = since(self.watch.write, blocked, taken);
        let half_closed = self.up.is_open() != self.down.is_open();
        self.watch.half_closed = since(self.watch.half_closed, half_closed, sent || taken);
    }

    /// Whether both directions are over.
    pub(super) fn is_done(&self) -> bool {
        self.up.is_done() && self.down.is_done()
    }

    /// Whether bytes are lost if the connection ends now.
    pub(super) fn would_lose(&self, client: Readiness, target: Readiness) -> bool {
        self.up.has_bytes(client) || self.down.has_bytes(target)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reactor::buffer::Pool;

    const ROOM: Room = Room { small: true, large: true, pipe: true };
    const BOTH: Readiness = Readiness::READABLE;

    fn held(bytes: &[u8]) -> Held {
        let mut buffer = Pool::new(BUFFER_SIZE, 1, 0).take().unwrap();
        buffer.extend_from(bytes);
        Held::Buffer(buffer)
    }

    #[test]
    fn a_source_is_read_only_while_the_sink_takes_bytes() {
        let mut direction = Direction::new();
        let step = Step { method: Method::Copy, bytes: MESSAGE_STEP };
        let (readable, writable) = (Readiness::READABLE, Readiness::WRITABLE);
        assert_eq!(direction.next(readable, writable, ROOM), Action::Move(step));
        assert_eq!(direction.next(readable, Readiness::NONE, ROOM), Action::Wait);
        assert_eq!(direction.next(Readiness::NONE, writable, ROOM), Action::Wait);
        direction.held = held(b"x");
        assert_eq!(direction.next(readable, Readiness::NONE, ROOM), Action::Wait);
        assert_eq!(direction.next(readable, writable, ROOM), Action::Flush);
    }

    #[test]
    fn the_end_comes_after_the_last_byte() {
        let mut direction = Direction::new();
        direction.held = held(b"last");
        direction.end();
        assert_eq!(direction.next(BOTH, Readiness::NONE, ROOM), Action::Wait);
        assert_eq!(direction.next(BOTH, Readiness::WRITABLE, ROOM), Action::Flush);
        direction.held = Held::Nothing;
        assert_eq!(direction.next(BOTH, Readiness::NONE, ROOM), Action::PassEnd);
        assert!(!direction.is_done());
        direction.end_passed();
        assert_eq!(direction.next(BOTH, Readiness::WRITABLE, ROOM), Action::Done);
        direction.end();
        assert!(direction.is_done(), "an end is passed on once");
    }

    #[test]
    fn bulk_grows_and_congestion_looks_before_it_takes() {
        let copy = |bytes| Step { method: Method::Copy, bytes };
        let full = |flow: Flow| {
            let step = method(flow, false, ROOM);
            flow.after(step, step.bytes, step.bytes)
        };
        assert_eq!(full(Flow::Messages), Flow::Bulk);
        assert_eq!(full(Flow::Bulk), Flow::Bulk);
        let congested = Flow::Bulk.after(copy(BULK_STEP), BULK_STEP, 40_000);
        assert_eq!(congested, Flow::Congested { step: 80_000 });
        let step = Step { method: Method::Peek, bytes: 80_000 };
        assert_eq!(method(congested, false, ROOM), step);
        assert_eq!(full(congested), Flow::Congested { step: 160_000 });
        assert_eq!(full(full(full(congested))), Flow::Bulk);
        assert_eq!(
            Flow::Bulk.after(copy(BULK_STEP), BULK_STEP, 0),
            Flow::Congested { step: MESSAGE_STEP }
        );
        // A short read of a message ends both.
        assert_eq!(Flow::Bulk.after(copy(BULK_STEP), 100, 100), Flow::Messages);
        assert_eq!(congested.after(step, 100, 100), Flow::Messages);
        assert_eq!(Flow::Bulk.after(copy(BULK_STEP), 100_000, 100_000), Flow::Bulk);
        assert_eq!(Flow::Messages.after(copy(MESSAGE_STEP), 5, 5), Flow::Messages);
    }

    #[test]
    fn little_is_held_back_in_a_pipe_for_a_slow_sink() {
        let step = method(Flow::Bulk, true, ROOM);
        assert_eq!(step, Step { method: Method::Splice, bytes: SPLICE_STEP });
        let slow = Flow::Bulk.after(step, SPLICE_STEP, 10_000);
        let least = method(slow, true, ROOM);
        assert_eq!(least, Step { method: Method::Splice, bytes: PLENTY_STEP });
        let faster = slow.after(step, SPLICE_STEP, 400_000);
        assert_eq!(method(faster, true, ROOM).bytes, 800_000);
        let no_pipe = Step { method: Method::Peek, bytes: BULK_STEP };
        assert_eq!(method(faster, true, Room { pipe: false, ..ROOM }), no_pipe);
        let all = |flow: Flow| {
            let step = method(flow, true, ROOM);
            flow.after(step, step.bytes, step.bytes)
        };
        assert_eq!(all(faster), Flow::Congested { step: SPLICE_STEP });
        assert_eq!(all(all(faster)), Flow::Bulk);
    }

    #[test]
    fn without_a_buffer_nothing_is_taken_that_might_be_held_back() {
        for flow in [Flow::Messages, Flow::Bulk, Flow::Congested { step: 20_000 }] {
            let none = Room { small: false, large: false, pipe: false };
            assert_eq!(method(flow, false, none).method, Method::Peek);
            assert_eq!(method(flow, false, none).bytes, method(flow, false, ROOM).bytes);
            assert_eq!(method(flow, true, none), method(flow, false, none), "no pipe");
        }
        let small = Room { small: true, large: false, pipe: false };
        assert_eq!(method(Flow::Bulk, false, small).method, Method::Peek);
        assert_eq!(method(Flow::Messages, false, small).method, Method::Copy);
    }

    /// Makes a step in which the source has `found` bytes and the sink takes
    /// `taken`; returns how.
    fn step(direction: &mut Direction, found: usize, taken: usize) -> Method {
        let both = Readiness::READABLE | Readiness::WRITABLE;
        let Action::Move(step) = direction.next(both, both, ROOM) else { panic!("no step") };
        let found = found.min(step.bytes);
        direction.moved(step, found, taken.min(found));
        step.method
    }

    #[test]
    fn plenty_takes_to_a_pipe_and_messages_leave_it() {
        let mut direction = Direction::new();
        let all = usize::MAX;
        let methods: Vec<Method> = (0..5).map(|_| step(&mut direction, all, all)).collect();
        assert_eq!(methods[..4], [Method::Copy; 4], "one message, then three of plenty");
        assert_eq!(methods[4], Method::Splice);
        (0..9).for_each(|_| assert_eq!(step(&mut direction, all, 0), Method::Splice));
        // A stream in pieces: much, then a little.
        for _ in 0..9 {
            assert_eq!(step(&mut direction, all, all), Method::Splice);
            assert_eq!(step(&mut direction, 100, all), Method::Splice);
        }
        (0..3).for_each(|_| assert_eq!(step(&mut direction, 100, all), Method::Splice));
        assert_eq!(step(&mut direction, 100, all), Method::Copy);
        assert_eq!(direction.flow, Flow::Messages);
    }

    #[test]
    fn a_slow_sink_of_a_plentiful_source_gets_a_pipe_as_well() {
        let mut direction = Direction::new();
        let methods: Vec<Method> =
            (0..6).map(|_| step(&mut direction, usize::MAX, 10_000)).collect();
        assert!(methods.contains(&Method::Peek) && methods.ends_with(&[Method::Splice]));
    }

    #[test]
    fn messages_never_see_a_pipe() {
        let mut direction = Direction::new();
        for length in (0..1000).map(|n| n * 16) {
            assert_eq!(step(&mut direction, length, usize::MAX), Method::Copy);
        }
    }

    #[test]
    fn an_urgent_octet_and_an_end_are_read_without_a_pipe() {
        let mut direction = Direction::new();
        while step(&mut direction, usize::MAX, usize::MAX) != Method::Splice {}
        let (readable, writable) = (Readiness::READABLE, Readiness::WRITABLE);
        let how = |direction: &Direction, source| match direction.next(source, writable, ROOM) {
            Action::Move(step) => step.method,
            other => panic!("{other:?}"),
        };
        assert_eq!(how(&direction, readable), Method::Splice);
        assert_eq!(how(&direction, readable | Readiness::PRIORITY), Method::Copy);
        direction.found_no_more();
        assert_eq!(how(&direction, readable), Method::Copy);
    }

    #[test]
    fn a_short_read_is_believed_unless_something_else_was_told() {
        let readable = Readiness::READABLE;
        assert!(short_read_is_the_last(readable, 100, 99));
        assert!(!short_read_is_the_last(readable, 100, 100));
        for special in [Readiness::READ_CLOSED, Readiness::ERROR, Readiness::PRIORITY] {
            assert!(!short_read_is_the_last(readable | special, 100, 99));
        }
    }

    #[test]
    fn limits_run_only_while_their_side_is_waited_for() {
        let second = Duration::from_secs(1);
        let limits =
            Limits { idle: 10 * second, read: 3 * second, write: 2 * second, ..Limits::default() };
        let (none, writable) = (Readiness::NONE, Readiness::WRITABLE);
        let at = |s: u64| Time::from_millis(s * 1000);
        let mut relay = Relay::new(at(0));
        relay.observe(at(0), (0, 0), writable, writable);
        assert_eq!(relay.watch.deadline(&limits), Some((at(3), Silence::Read)));
        // The target does not take bytes: not the client's fault.
        relay.observe(at(1), (0, 0), writable, none);
        assert_eq!(relay.watch.deadline(&limits), Some((at(10), Silence::Idle)));
        relay.observe(at(5), (0, 0), writable, writable);
        assert_eq!(relay.watch.deadline(&limits), Some((at(8), Silence::Read)));
        // A byte from the client starts both again.
        relay.up.count(1);
        relay.observe(at(7), (0, 0), writable, writable);
        assert_eq!(relay.watch.deadline(&limits), Some((at(10), Silence::Read)));
        // There are bytes for the client, and it takes none.
        relay.observe(at(8), (1, 0), none, writable | Readiness::READABLE);
        assert_eq!(relay.watch.deadline(&limits), Some((at(10), Silence::Read)));
        relay.up.end();
        relay.observe(at(9), (1, 0), none, writable | Readiness::READABLE);
        assert_eq!(relay.watch.deadline(&limits), Some((at(10), Silence::Write)));
        relay.down.count(1);
        relay.observe(at(9), (1, 0), none, writable | Readiness::READABLE);
        assert_eq!(relay.watch.deadline(&limits), Some((at(11), Silence::Write)));
        assert_eq!(relay.watch.deadline(&Limits::default()), None);
    }

    #[test]
    fn half_a_connection_has_a_limit_of_its_own() {
        let second = Duration::from_secs(1);
        let limits = Limits { half_closed: 3 * second, ..Limits::default() };
        let at = |s: u64| Time::from_millis(s * 1000);
        let mut relay = Relay::new(at(0));
        let observe = |relay: &mut Relay, now: u64, before| {
            relay.observe(at(now), before, Readiness::NONE, Readiness::NONE);
            relay.watch.deadline(&limits)
        };
        assert_eq!(observe(&mut relay, 1, (0, 0)), None);
        relay.up.end();
        assert_eq!(observe(&mut relay, 2, (0, 0)), Some((at(5), Silence::HalfClosed)));
        relay.down.count(1);
        assert_eq!(observe(&mut relay, 4, (0, 0)), Some((at(7), Silence::HalfClosed)));
        assert_eq!(observe(&mut relay, 5, (0, 1)), Some((at(7), Silence::HalfClosed)));
        relay.down.end();
        assert_eq!(observe(&mut relay, 6, (0, 1)), None, "both are on their way out");
    }

    #[test]
    fn unread_and_held_bytes_would_be_lost() {
        let (none, readable) = (Readiness::NONE, Readiness::READABLE);
        let mut relay = Relay::new(Time::ZERO);
        assert!(!relay.would_lose(none, none));
        assert!(relay.would_lose(readable, none) && relay.would_lose(none, readable));
        relay.down.held = held(b"x");
        relay.down.end();
        assert!(relay.would_lose(none, none));
        relay.down.held = Held::Nothing;
        assert!(!relay.would_lose(none, readable), "the end was read already");
    }
}
