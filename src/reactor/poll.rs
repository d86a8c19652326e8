//! The loop: one turn, its eight phases, and what all of them share.

use std::io;
use std::time::Duration;

use mio::event::{Event, Source};
use mio::{Events, Interest, Poll};

use super::buffer::{BUFFER_SIZE, Pool};
use super::clock::{Clock, Time, thread_cpu};
use super::log_sink;
use super::readiness::Readiness;
use super::timer_wheel::TimerWheel;
use super::token::{Kind, Token};

/// Bytes of the one buffer that all connections share. A step of this size
/// costs half of what steps of 64 KiB do for bulk, and a message no more.
pub const SCRATCH_SIZE: usize = 256 * 1024;
/// Most events taken from the kernel in a turn; the rest waits for the next
/// one. Bounds the work of the collect phase.
const EVENTS_PER_TURN: usize = 1024;
/// Most buffers lent at a time, 64 MiB: a relay that finds the pool empty goes
/// on without one, so this bounds memory and not connections.
const BUFFERS: usize = 4096;
/// Unused buffers kept for the next borrower, 1 MiB.
const SPARE_BUFFERS: usize = 64;

/// What the phases of a turn share: the poll, the clock, timers and buffers.
#[derive(Debug)]
pub struct Reactor {
    /// The timers.
    pub wheel: TimerWheel,
    /// [`SCRATCH_SIZE`] bytes for whoever reads next. Nothing in it outlives
    /// the handler that read it.
    pub scratch: Vec<u8>,
    /// Buffers for bytes that could not be written yet.
    pub pool: Pool,
    poll: Poll,
    events: Events,
    due: Vec<Token>,
    clock: Clock,
    now: Time,
    wall: Duration,
    turns: u64,
    longest_turn: Duration,
    /// The thread's CPU time when the last turn began, and the most of it that
    /// a turn took; `None`: not measured.
    cpu: Option<(Duration, Duration)>,
}

impl Reactor {
    /// A loop with nothing registered. Errors are those of epoll_create1(2).
    pub fn new() -> io::Result<Reactor> {
        let clock = Clock::new();
        let now = clock.now();
        Ok(Reactor {
            wheel: TimerWheel::new(now),
            scratch: vec![0; SCRATCH_SIZE],
            pool: Pool::new(BUFFER_SIZE, BUFFERS, SPARE_BUFFERS),
            poll: Poll::new()?,
            events: Events::with_capacity(EVENTS_PER_TURN),
            due: Vec::new(),
            clock,
            now,
            wall: clock.wall(),
            turns: 0,
            longest_turn: Duration::ZERO,
            cpu: None,
        })
    }

    /// The moment at which this turn began, the same for all its handlers.
    pub fn now(&self) -> Time {
        self.now
    }

    /// The wall clock at that moment: time since the Unix epoch, UTC.
    pub fn wall(&self) -> Duration {
        self.wall
    }

    /// How many turns the loop has made.
    pub fn turns(&self) -> u64 {
        self.turns
    }

    /// The longest time by the monotonic clock that the loop spent between two
    /// polls; it includes what the system gave to other processes meanwhile.
    pub fn longest_turn(&self) -> Duration {
        self.longest_turn
    }

    /// From now on measures how long turns are on the CPU as well. Not done
    /// unless asked for: that clock costs two system calls a turn.
    pub fn measure_cpu(&mut self) {
        self.cpu = Some((thread_cpu(), Duration::ZERO));
    }

    /// The longest time that the thread was on a CPU between two polls, since
    /// [`Reactor::measure_cpu`]; unlike [`Reactor::longest_turn`] it does not
    /// grow while others have the CPU. `None`: not measured.
    pub fn longest_turn_cpu(&self) -> Option<Duration> {
        self.cpu.map(|(_, longest)| longest)
    }

    /// Makes the poll report `source` under `token`, edge-triggered. Once per
    /// source; closing it ends the registration.
    pub fn register(
        &mut self,
        source: &mut (impl Source + ?Sized),
        token: Token,
        interest: Interest,
    ) -> io::Result<()> {
        self.poll.registry().register(source, token.into(), interest)
    }

    /// Ends a registration whose descriptor stays open.
    pub fn deregister(&mut self, source: &mut (impl Source + ?Sized)) -> io::Result<()> {
        self.poll.registry().deregister(source)
    }

    /// Sleeps until an event, the next deadline, or not at all. The time is
    /// taken from a fresh reading, so that the length of the last turn is not
    /// slept on top, and mio rounds it up to the millisecond that epoll counts
    /// in: the loop neither spins before a deadline nor wakes early.
    fn wait(&mut self, has_ready: bool) -> io::Result<()> {
        let asked = self.clock.now();
        if self.turns > 0 {
            self.longest_turn = self.longest_turn.max(asked.since(self.now));
        }
        if let Some((began, longest)) = &mut self.cpu {
            *longest = (*longest).max(thread_cpu().saturating_sub(*began));
        }
        let timeout = match has_ready {
            true => Some(Duration::ZERO),
            false => self.wheel.next_deadline().map(|deadline| deadline.since(asked)),
        };
        let polled = self.poll.poll(&mut self.events, timeout);
        self.now = self.clock.now();
        self.wall = self.clock.wall();
        if let Some((began, _)) = &mut self.cpu {
            *began = thread_cpu();
        }
        self.turns = self.turns.saturating_add(1);
        match polled {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {
                self.events.clear();
                Ok(())
            }
            other => other,
        }
    }
}

/// What a house does in the phases of a turn, in this order.
pub trait Phases {
    /// Remembers what the kernel said about a source; never acts on it.
    fn collect(&mut self, reactor: &mut Reactor, token: Token, readiness: Readiness);
    /// Remembers that a timer fired; never acts on it.
    fn expired(&mut self, reactor: &mut Reactor, token: Token);
    /// Signals and routing protocols: first, and always.
    fn control(&mut self, reactor: &mut Reactor);
    /// Facts to desired state: route tables, announcements, a reload.
    fn apply(&mut self, reactor: &mut Reactor);
    /// Relaying, with a budget for each connection.
    fn data(&mut self, reactor: &mut Reactor);
    /// New connections, bounded for each listener.
    fn accept(&mut self, reactor: &mut Reactor);
    /// Operators' interfaces, registries and health checks.
    fn api(&mut self, reactor: &mut Reactor);
    /// Writes what is due; closes and frees what died in this turn.
    fn flush(&mut self, reactor: &mut Reactor);
    /// Whether any source can make progress now, without another event.
    fn has_ready(&self) -> bool;
    /// The process's exit code, once there is nothing left to do.
    fn exit_code(&self) -> Option<i32>;
}

/// One turn of the loop. An error is one of epoll_wait(2) other than EINTR,
/// which makes an empty turn.
pub fn turn(reactor: &mut Reactor, house: &mut dyn Phases) -> io::Result<()> {
    reactor.wait(house.has_ready())?;
    log_sink::begin_turn(reactor.now, reactor.wall);

    // The lists are taken out so that the handlers can have the reactor.
    let events = std::mem::replace(&mut reactor.events, Events::with_capacity(0));
    for event in &events {
        match Token::from_mio(event.token()) {
            Some(Token { kind: Kind::Log, .. }) => log_sink::writable(),
            Some(token) => house.collect(reactor, token, readiness(event)),
            None => {}
        }
    }
    reactor.events = events;

    let mut due = std::mem::take(&mut reactor.due);
    reactor.wheel.expire(reactor.now, &mut due);
    for token in due.drain(..) {
        house.expired(reactor, token);
    }
    reactor.due = due;

    house.control(reactor);
    house.apply(reactor);
    house.data(reactor);
    house.accept(reactor);
    house.api(reactor);
    house.flush(reactor);
    log_sink::flush();
    Ok(())
}

/// Turns until the house has an exit code, which is returned.
pub fn run(reactor: &mut Reactor, house: &mut dyn Phases) -> io::Result<i32> {
    loop {
        if let Some(code) = house.exit_code() {
            return Ok(code);
        }
        turn(reactor, house)?;
    }
}

fn readiness(event: &Event) -> Readiness {
    [
        (event.is_readable(), Readiness::READABLE),
        (event.is_writable(), Readiness::WRITABLE),
        (event.is_read_closed(), Readiness::READ_CLOSED),
        (event.is_write_closed(), Readiness::WRITE_CLOSED),
        (event.is_error(), Readiness::ERROR),
        (event.is_priority(), Readiness::PRIORITY),
    ]
    .into_iter()
    .filter(|(set, _)| *set)
    .fold(Readiness::NONE, |all, (_, bit)| all | bit)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    /// Writes down what the loop calls.
    #[derive(Default)]
    struct Diary {
        calls: Vec<String>,
        ready: bool,
        turns_left: Option<u32>,
        fired: Vec<(Time, Token)>,
    }

    impl Phases for Diary {
        fn collect(&mut self, _: &mut Reactor, token: Token, readiness: Readiness) {
            let readable = readiness.contains(Readiness::READABLE);
            self.calls.push(format!("collect {:?} {readable}", token.kind));
        }
        fn expired(&mut self, reactor: &mut Reactor, token: Token) {
            self.fired.push((reactor.now(), token));
            self.calls.push(format!("expired {}", token.index));
        }
        fn control(&mut self, _: &mut Reactor) {
            self.calls.push("control".into());
        }
        fn apply(&mut self, _: &mut Reactor) {
            self.calls.push("apply".into());
        }
        fn data(&mut self, _: &mut Reactor) {
            self.calls.push("data".into());
        }
        fn accept(&mut self, _: &mut Reactor) {
            self.calls.push("accept".into());
        }
        fn api(&mut self, _: &mut Reactor) {
            self.calls.push("api".into());
        }
        fn flush(&mut self, _: &mut Reactor) {
            self.calls.push("flush".into());
            self.turns_left = self.turns_left.map(|n| n.saturating_sub(1));
        }
        fn has_ready(&self) -> bool {
            self.ready
        }
        fn exit_code(&self) -> Option<i32> {
            (self.turns_left == Some(0)).then_some(7)
        }
    }

    #[test]
    fn a_turn_has_its_phases_in_order() {
        let mut reactor = Reactor::new().unwrap();
        let (mut here, there) = std::os::unix::net::UnixStream::pair().unwrap();
        there.set_nonblocking(true).unwrap();
        let mut there = mio::net::UnixStream::from_std(there);
        let token = Token::new(Kind::Guest, 0, 1);
        reactor.register(&mut there, token, Interest::READABLE).unwrap();
        reactor.wheel.insert(Time::ZERO, Token::new(Kind::Daemon, 0, 9));
        here.write_all(b"x").unwrap();
        let mut diary = Diary::default();
        turn(&mut reactor, &mut diary).unwrap();
        let phases = ["control", "apply", "data", "accept", "api", "flush"];
        assert_eq!(diary.calls[..2], ["collect Guest true", "expired 9"]);
        assert_eq!(diary.calls[2..], phases);
        // Edge-triggered: what was told once is not told again.
        diary.calls.clear();
        diary.ready = true;
        turn(&mut reactor, &mut diary).unwrap();
        assert_eq!(diary.calls, phases);
        assert_eq!(reactor.turns(), 2);
    }

    #[test]
    fn deadlines_wake_the_loop_once_and_never_early() {
        let mut reactor = Reactor::new().unwrap();
        let mut diary = Diary::default();
        // One that is late fires in one turn with those that are due by then.
        let mut deadlines = Vec::new();
        for n in 0..5_u32 {
            let at = Time::from_nanos(reactor.now().as_nanos() + 2_300_000 * u64::from(n + 1));
            reactor.wheel.insert(at, Token::new(Kind::Daemon, 0, n));
            deadlines.push(at);
        }
        while reactor.wheel.next_deadline().is_some() {
            turn(&mut reactor, &mut diary).unwrap();
        }
        assert_eq!(diary.fired.len(), 5);
        assert!(reactor.turns() <= 5, "each turn had something to do");
        for (fired, token) in &diary.fired {
            assert!(*fired >= deadlines[token.index as usize]);
        }
    }

    /// Sleeps and works in its control phase.
    struct Worker {
        work: Duration,
        sleep: Duration,
    }

    impl Phases for Worker {
        fn collect(&mut self, _: &mut Reactor, _: Token, _: Readiness) {}
        fn expired(&mut self, _: &mut Reactor, _: Token) {}
        fn control(&mut self, _: &mut Reactor) {
            let began = thread_cpu();
            while thread_cpu() - began < self.work {}
            std::thread::sleep(self.sleep);
        }
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

    #[test]
    fn the_longest_turn_is_measured_in_cpu_time_if_that_is_asked_for() {
        let mut reactor = Reactor::new().unwrap();
        assert_eq!(reactor.longest_turn_cpu(), None);
        reactor.measure_cpu();
        let (work, sleep) = (Duration::from_millis(3), Duration::from_millis(60));
        let mut run = |work, sleep| turn(&mut reactor, &mut Worker { work, sleep }).unwrap();
        run(work, Duration::ZERO);
        run(Duration::ZERO, sleep);
        run(Duration::ZERO, Duration::ZERO);
        let cpu = reactor.longest_turn_cpu().unwrap();
        assert!(reactor.longest_turn() >= sleep);
        assert!(cpu >= work && cpu < reactor.longest_turn(), "{cpu:?}");
    }

    #[test]
    fn the_loop_ends_with_the_house_s_exit_code() {
        let mut reactor = Reactor::new().unwrap();
        let mut diary = Diary { ready: true, turns_left: Some(3), ..Diary::default() };
        assert_eq!(run(&mut reactor, &mut diary).unwrap(), 7);
        assert_eq!(reactor.turns(), 3);
    }
}
