//! The door of health checks: connects to each target again and again, and asks
//! where an HTTP check is wanted.
//!
//! A TCP check is a connection that is closed as soon as it is made. How a target
//! is checked is for [`Targets`] to say, whenever a check begins; so is what its
//! outcome means, and with that when the next one is due.

use std::collections::{BTreeMap, VecDeque};
use std::io::{ErrorKind, Read, Write};
use std::net::SocketAddr;
use std::time::Duration;

use mio::Interest;
use mio::net::TcpStream;

use super::check::{Check, Kind as CheckKind};
#[cfg(feature = "http")]
use super::exchange::Exchange;
#[cfg(not(feature = "http"))]
use super::no_exchange::Exchange;
use super::targets::Targets;
use crate::reactor::random::Random;
use crate::reactor::slab::{Key, Slab};
use crate::reactor::socket::{self, ConnectOptions};
use crate::reactor::timer_wheel::Alarm;
use crate::reactor::{Kind, Reactor, Readiness, Time, Token};

/// Fewest and most checks under way at a time, and how many descriptors there
/// must be for each of them. Only checks without an answer are under way for
/// longer than some milliseconds, and of two thousand such targets with the
/// usual second of time and two of interval a thousand are at a time.
const FEWEST_UNDER_WAY: u64 = 64;
const MOST_UNDER_WAY: u64 = 1024;
const DESCRIPTORS_PER_CHECK: u64 = 64;

/// Most checks that begin in one turn, some 20 µs each: those of sixty thousand
/// new targets must not keep others waiting.
const BEGIN_PER_TURN: usize = 4;

/// Most checks that are looked at in one turn: when a network is gone, all those
/// under way run out of time together, and the end of each is a line in the log.
const LOOKS_PER_TURN: usize = 12;

/// How long a check is put off when this machine has no descriptor or port
/// for it.
const PUT_OFF: Duration = Duration::from_millis(500);

/// Checks of one target are this part of the interval earlier than it, at most,
/// so that they drift apart: the second one by up to a half, because targets that
/// were added together are checked for the first time all at once.
const JITTER_PARTS: u64 = 10;
const FIRST_JITTER_PARTS: u64 = 2;

/// Octets that are read at once, and how often that is done in one look at a
/// check. The head of an answer is complete after one.
const READ: usize = 2048;
const READS: usize = 4;

/// The timer that says when an ejection ends; no check has this slot.
const REMINDER: Token = Token::new(Kind::Probe, 0, u32::MAX);

/// Most checks under way at a time in a process that may have so many
/// descriptors: the others are for clients.
pub fn most_under_way(descriptors: u64) -> usize {
    let most = (descriptors / DESCRIPTORS_PER_CHECK).clamp(FEWEST_UNDER_WAY, MOST_UNDER_WAY);
    usize::try_from(most).unwrap_or(usize::MAX)
}

/// How many of these are more than the few for which there is always a place.
pub fn checks_beyond_reserve(descriptors: u64) -> u64 {
    let most = u64::try_from(most_under_way(descriptors)).unwrap_or(u64::MAX);
    most.saturating_sub(FEWEST_UNDER_WAY)
}

#[derive(Debug)]
enum Stage {
    /// Waits for its time.
    Resting {
        until: Time,
    },
    /// Waits for its turn.
    Due,
    UnderWay(Attempt),
    /// Waits for [`Prober::rest`].
    Judged,
}

/// A check that is under way.
#[derive(Debug)]
struct Attempt {
    stream: TcpStream,
    address: SocketAddr,
    deadline: Time,
    /// What is asked once there is a connection; `None`: nothing.
    exchange: Option<Box<Exchange>>,
    is_connected: bool,
    /// It began in the queue of those that did not answer the last time.
    was_silent: bool,
}

#[derive(Debug)]
struct Probe {
    id: u32,
    address: SocketAddr,
    stage: Stage,
    ready: Readiness,
    /// When the last check began.
    began: Time,
    /// It had no answer in time.
    is_silent: bool,
    /// It was checked once at most.
    is_new: bool,
    alarm: Alarm,
    queued: bool,
}

/// All targets under check.
#[derive(Debug)]
pub struct Prober {
    checks: Slab<Probe>,
    by_id: BTreeMap<u32, Key>,
    /// Checks to look at: an event came, or a timer fired.
    ready: VecDeque<Key>,
    /// Checks in [`Stage::Due`], first come, first served. Those of targets that
    /// did not answer the last time have a queue and half of the places, so that
    /// however many they are the others are found out about in time.
    due: VecDeque<Key>,
    due_silent: VecDeque<Key>,
    under_way: usize,
    silent_under_way: usize,
    most: usize,
    results: VecDeque<(u32, Result<(), String>)>,
    random: Random,
    reminder: Alarm,
    is_reminded: bool,
}

impl Prober {
    /// No targets, and at most `most` checks under way at a time, from 2. `seed`
    /// spreads them.
    pub fn new(most: usize, seed: u64) -> Prober {
        Prober {
            checks: Slab::new(),
            by_id: BTreeMap::new(),
            ready: VecDeque::new(),
            due: VecDeque::new(),
            due_silent: VecDeque::new(),
            under_way: 0,
            silent_under_way: 0,
            most: most.max(2),
            results: VecDeque::new(),
            random: Random::new(seed),
            reminder: Alarm::new(),
            is_reminded: false,
        }
    }

    /// Makes sure that the target `id` at `address` is checked: at once, and
    /// then whenever [`Prober::rest`] says. One that is known stays as it is.
    pub fn ensure(&mut self, reactor: &mut Reactor, id: u32, address: SocketAddr, now: Time) {
        let known = self.by_id.get(&id).and_then(|key| self.checks.get(*key));
        if known.is_some_and(|probe| probe.address == address) {
            return;
        }
        self.retire(reactor, id);
        let key = self.checks.insert(Probe {
            id,
            address,
            stage: Stage::Due,
            ready: Readiness::NONE,
            began: now,
            is_silent: false,
            is_new: true,
            alarm: Alarm::new(),
            queued: false,
        });
        self.by_id.insert(id, key);
        self.due.push_back(key);
    }

    /// Checks `id` no more. A check under way is dropped without a result.
    pub fn retire(&mut self, reactor: &mut Reactor, id: u32) {
        let Some(mut probe) = self.by_id.remove(&id).and_then(|key| self.checks.remove(key)) else {
            return;
        };
        probe.alarm.clear(&mut reactor.wheel);
        if let Stage::UnderWay(attempt) = &probe.stage {
            self.leave(attempt.was_silent);
        }
        self.results.retain(|(of, _)| *of != id);
    }

    /// The next check of `id` is to begin `pause` after the last one began, or
    /// somewhat earlier. Every result has to be answered so; one that rests
    /// already is put off or brought forward.
    pub fn rest(&mut self, reactor: &mut Reactor, id: u32, pause: Duration) {
        let nanos = u64::try_from(pause.as_nanos()).unwrap_or(u64::MAX);
        let most = match self.probe(id).is_some_and(|(_, probe)| probe.is_new) {
            true => nanos / FIRST_JITTER_PARTS,
            false => nanos / JITTER_PARTS,
        };
        let early = Duration::from_nanos(self.random.below(most));
        let Some((key, probe)) = self.probe(id) else { return };
        if let Stage::Judged | Stage::Resting { .. } = probe.stage {
            probe.is_new = false;
            // At least a tick, so that a check that takes long does not make
            // the next one start in the same turn.
            let soon = reactor.now() + Duration::from_millis(1);
            let until = (probe.began + pause.saturating_sub(early)).max(soon);
            probe.stage = Stage::Resting { until };
            self.arm(reactor, key);
        }
    }

    /// The next check of `id` is to begin at once, but no sooner than `least`
    /// after the last one began.
    pub fn hurry(&mut self, reactor: &mut Reactor, id: u32, least: Duration) {
        let now = reactor.now();
        let Some((key, probe)) = self.probe(id) else { return };
        let sooner = (probe.began + least).max(now);
        match &mut probe.stage {
            Stage::Resting { until } if sooner <= now && *until > now => {
                *until = now;
                self.queue(key);
            }
            Stage::Resting { until } if sooner < *until => {
                *until = sooner;
                self.arm(reactor, key);
            }
            _ => {}
        }
    }

    /// Is due at this moment, whatever the checks do: see [`Prober::has_ready`].
    pub fn remind(&mut self, reactor: &mut Reactor, at: Option<Time>) {
        self.is_reminded = false;
        self.reminder.set(&mut reactor.wheel, REMINDER, at);
    }

    /// How many targets are checked.
    pub fn targets(&self) -> usize {
        self.checks.len()
    }

    /// How many checks are under way.
    pub fn under_way(&self) -> usize {
        self.under_way
    }

    /// Collect: remembers what the kernel said about a check's socket.
    pub fn collect(&mut self, token: Token, readiness: Readiness) {
        if let Some(probe) = self.checks.get_mut(token.into()) {
            probe.ready |= readiness;
        }
        self.queue(token.into());
    }

    /// Expire: remembers that a check's timer fired.
    pub fn expired(&mut self, token: Token) {
        if token == REMINDER {
            self.reminder.fired();
            self.is_reminded = true;
        } else if let Some(probe) = self.checks.get_mut(token.into()) {
            probe.alarm.fired();
        }
        self.queue(token.into());
    }

    /// Api: ends checks that have their answer or no time left, and begins
    /// those that are due as `targets` says.
    pub fn api(&mut self, reactor: &mut Reactor, targets: &Targets) {
        for _ in 0..LOOKS_PER_TURN.min(self.ready.len()) {
            let Some(key) = self.ready.pop_front() else { break };
            self.look_at(reactor, key);
        }
        // Counted, because a check that fails at once is never under way. The
        // two queues take turns.
        for turn in 0..BEGIN_PER_TURN {
            let key = match turn % 2 {
                0 => self.next_due().or_else(|| self.next_silent()),
                _ => self.next_silent().or_else(|| self.next_due()),
            };
            let Some(key) = key else { break };
            self.begin(reactor, targets, key);
        }
    }

    /// The next outcome of a check: the target's name, and an error in words.
    pub fn next_result(&mut self) -> Option<(u32, Result<(), String>)> {
        self.results.pop_front()
    }

    /// Flush: slots that were freed in this turn may be used again.
    pub fn flush(&mut self, _reactor: &mut Reactor) {
        self.checks.reclaim();
    }

    /// Whether anything can make progress without another event, or the moment
    /// has come of which to remind.
    pub fn has_ready(&self) -> bool {
        !self.ready.is_empty()
            || !self.results.is_empty()
            || self.is_reminded
            || (!self.due.is_empty() && self.has_place())
            || (!self.due_silent.is_empty() && self.has_silent_place())
    }

    fn has_place(&self) -> bool {
        self.under_way < self.most
    }

    fn has_silent_place(&self) -> bool {
        self.has_place() && self.silent_under_way < self.most / 2
    }

    fn next_due(&mut self) -> Option<Key> {
        if self.has_place() { self.due.pop_front() } else { None }
    }

    fn next_silent(&mut self) -> Option<Key> {
        if self.has_silent_place() { self.due_silent.pop_front() } else { None }
    }

    fn probe(&mut self, id: u32) -> Option<(Key, &mut Probe)> {
        let key = *self.by_id.get(&id)?;
        Some((key, self.checks.get_mut(key)?))
    }

    fn queue(&mut self, key: Key) {
        let probe = self.checks.get_mut(key);
        if probe.is_some_and(|probe| !std::mem::replace(&mut probe.queued, true)) {
            self.ready.push_back(key);
        }
    }

    fn leave(&mut self, was_silent: bool) {
        self.under_way = self.under_way.saturating_sub(1);
        self.silent_under_way = self.silent_under_way.saturating_sub(usize::from(was_silent));
    }

    fn look_at(&mut self, reactor: &mut Reactor, key: Key) {
        let now = reactor.now();
        let Some(probe) = self.checks.get_mut(key) else { return };
        probe.queued = false;
        match &mut probe.stage {
            Stage::Resting { until } if *until <= now => {
                probe.stage = Stage::Due;
                match probe.is_silent {
                    true => self.due_silent.push_back(key),
                    false => self.due.push_back(key),
                }
            }
            Stage::UnderWay(attempt) => {
                let (is_over, was_silent) = (now >= attempt.deadline, attempt.was_silent);
                let scratch = reactor.scratch.get_mut(..READ).unwrap_or_default();
                let outcome = attempt.proceed(&mut probe.ready, scratch);
                let is_silent = outcome.is_none() && is_over;
                let silence = || is_over.then(|| Err("no answer in time".to_owned()));
                if let Some(outcome) = outcome.or_else(silence) {
                    self.leave(was_silent);
                    self.finish(key, outcome, is_silent);
                } else if probe.ready.contains(Readiness::READABLE) {
                    self.queue(key);
                }
            }
            Stage::Resting { .. } | Stage::Due | Stage::Judged => {}
        }
        self.arm(reactor, key);
    }

    fn begin(&mut self, reactor: &mut Reactor, targets: &Targets, key: Key) {
        let now = reactor.now();
        let Some(probe) = self.checks.get_mut(key) else { return };
        let Some(check) = targets.check(probe.id) else { return };
        probe.began = now;
        probe.ready = Readiness::NONE;
        let was_silent = probe.is_silent;
        match Attempt::begin(reactor, &check, probe, key) {
            Ok(Some(attempt)) => {
                probe.stage = Stage::UnderWay(attempt);
                self.under_way = self.under_way.saturating_add(1);
                let silent = usize::from(was_silent);
                self.silent_under_way = self.silent_under_way.saturating_add(silent);
            }
            Ok(None) => self.finish(key, Ok(()), false),
            // It says nothing about the target.
            Err(Obstacle::Exhaustion) => {
                probe.stage = Stage::Resting { until: now + PUT_OFF };
            }
            Err(Obstacle::Failure(error)) => self.finish(key, Err(error), false),
        }
        self.arm(reactor, key);
    }

    /// Reports an outcome, and closes the socket.
    fn finish(&mut self, key: Key, outcome: Result<(), String>, is_silent: bool) {
        let Some(probe) = self.checks.get_mut(key) else { return };
        probe.stage = Stage::Judged;
        probe.is_silent = is_silent;
        self.results.push_back((probe.id, outcome));
    }

    fn arm(&mut self, reactor: &mut Reactor, key: Key) {
        let Some(probe) = self.checks.get_mut(key) else { return };
        let deadline = match &probe.stage {
            Stage::Resting { until } => Some(*until),
            Stage::Due | Stage::Judged => None,
            Stage::UnderWay(attempt) => Some(attempt.deadline),
        };
        // Not left to fire early: a check's deadline moves rarely, and an idle
        // process is to sleep through the time between two of them.
        probe.alarm.clear(&mut reactor.wheel);
        probe.alarm.set(&mut reactor.wheel, key.token(Kind::Probe), deadline);
    }
}

/// Why a check did not begin.
enum Obstacle {
    /// This machine has nothing left for it.
    Exhaustion,
    Failure(String),
}

impl Attempt {
    /// Begins a check; `None` where there is nothing to do.
    fn begin(
        reactor: &mut Reactor,
        check: &Check,
        probe: &Probe,
        key: Key,
    ) -> Result<Option<Attempt>, Obstacle> {
        let address = check.address(probe.address);
        let (exchange, interest) = match &check.kind {
            CheckKind::None => return Ok(None),
            CheckKind::Tcp { .. } => (None, Interest::WRITABLE),
            CheckKind::Http { path, .. } => {
                let own = || address.to_string();
                let host = check.host.as_ref().map_or_else(own, |host| host.to_string());
                let exchange = Exchange::new(path, &host, check.statuses);
                let exchange = exchange.map_err(Obstacle::Failure)?;
                (Some(Box::new(exchange)), Interest::WRITABLE | Interest::READABLE)
            }
        };
        let connected = socket::connect(address, &ConnectOptions::default());
        let registered = connected.and_then(|mut stream| {
            reactor.register(&mut stream, key.token(Kind::Probe), interest)?;
            Ok(stream)
        });
        let stream = registered.map_err(|error| match socket::is_exhaustion(&error) {
            true => Obstacle::Exhaustion,
            false => Obstacle::Failure(error.to_string()),
        })?;
        Ok(Some(Attempt {
            stream,
            address,
            deadline: reactor.now() + check.timeout,
            exchange,
            is_connected: false,
            was_silent: probe.is_silent,
        }))
    }

    /// Goes on as far as it can; the outcome, once it is known.
    fn proceed(&mut self, ready: &mut Readiness, scratch: &mut [u8]) -> Option<Result<(), String>> {
        if !self.is_connected {
            if let Err(error) = self.connected(*ready)? {
                return Some(Err(error));
            }
            self.is_connected = true;
        }
        let Some(exchange) = &mut self.exchange else { return Some(Ok(())) };
        converse(&mut self.stream, exchange, ready, scratch)
    }

    /// Whether there is a connection, once that is known.
    fn connected(&self, ready: Readiness) -> Option<Result<(), String>> {
        let is_refused = match self.exchange {
            // Who is asked may have answered and left already.
            Some(_) => ready.contains(Readiness::ERROR),
            None => ready.intersects(Readiness::ERROR | Readiness::WRITE_CLOSED),
        };
        if is_refused {
            let error = socket::take_error(&self.stream).ok().flatten();
            return Some(Err(error.map_or_else(|| "closed at once".to_owned(), |e| e.to_string())));
        }
        let nobody = || socket::met_itself(&self.stream, self.address);
        ready.intersects(Readiness::WRITABLE | Readiness::WRITE_CLOSED).then(|| match nobody() {
            true => Err("nobody listens there".to_owned()),
            false => Ok(()),
        })
    }
}

/// Sends what is to be asked and reads what is answered, as far as both go.
fn converse(
    stream: &mut TcpStream,
    exchange: &mut Exchange,
    ready: &mut Readiness,
    scratch: &mut [u8],
) -> Option<Result<(), String>> {
    let mut unsent = None;
    while !exchange.to_send().is_empty() && ready.contains(Readiness::WRITABLE) {
        match stream.write(exchange.to_send()) {
            Ok(count) => exchange.sent(count),
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                ready.remove(Readiness::WRITABLE);
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            // An answer may have come before that all the same.
            Err(error) => {
                unsent = Some(Err(error.to_string()));
                break;
            }
        }
    }
    let is_over = Readiness::READ_CLOSED | Readiness::WRITE_CLOSED | Readiness::ERROR;
    for _ in 0..READS {
        if unsent.is_none() && !ready.intersects(Readiness::READABLE | is_over) {
            return None;
        }
        match stream.read(scratch) {
            Ok(0) => return Some(unsent.unwrap_or_else(|| exchange.ended())),
            Ok(count) => {
                let outcome = exchange.received(scratch.get(..count).unwrap_or_default());
                if outcome.is_some() {
                    return outcome;
                }
                // A short read has emptied the queue (see the poll's rule).
                if count < scratch.len() && !ready.intersects(is_over) && unsent.is_none() {
                    ready.remove(Readiness::READABLE);
                }
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                ready.remove(Readiness::READABLE);
                return unsent;
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Some(Err(error.to_string())),
        }
    }
    unsent
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::health::{HealthDefaults, Transport, Wanted};
    use crate::reactor::poll::{self, Phases};
    use std::net::TcpListener as StdListener;
    use std::rc::Rc;

    /// Checks under way at a time.
    const MOST: usize = 64;

    struct House {
        prober: Prober,
        targets: Targets,
        results: Vec<(u32, Result<(), String>, Time)>,
    }

    impl Phases for House {
        fn collect(&mut self, _: &mut Reactor, token: Token, readiness: Readiness) {
            self.prober.collect(token, readiness);
        }
        fn expired(&mut self, _: &mut Reactor, token: Token) {
            if token.kind == Kind::Probe {
                self.prober.expired(token);
            }
        }
        fn control(&mut self, _: &mut Reactor) {}
        fn apply(&mut self, _: &mut Reactor) {}
        fn data(&mut self, _: &mut Reactor) {}
        fn accept(&mut self, _: &mut Reactor) {}
        fn api(&mut self, reactor: &mut Reactor) {
            self.prober.api(reactor, &self.targets);
            while let Some((id, outcome)) = self.prober.next_result() {
                self.targets.record(id, reactor.now(), outcome.clone());
                self.results.push((id, outcome, reactor.now()));
                self.prober.rest(reactor, id, self.targets.pause(id).unwrap());
            }
        }
        fn flush(&mut self, reactor: &mut Reactor) {
            self.prober.flush(reactor);
        }
        fn has_ready(&self) -> bool {
            self.prober.has_ready()
        }
        fn exit_code(&self) -> Option<i32> {
            None
        }
    }

    struct Lab {
        reactor: Reactor,
        house: House,
    }

    impl Lab {
        fn new(interval: u64, timeout: u64) -> Lab {
            let targets = Targets::new(HealthDefaults {
                interval: Duration::from_millis(interval),
                fast_interval: Duration::from_millis(interval),
                timeout: Duration::from_millis(timeout),
                ..HealthDefaults::default()
            });
            let house = House { prober: Prober::new(MOST, 1), targets, results: Vec::new() };
            Lab { reactor: Reactor::new().unwrap(), house }
        }

        /// Lets a target be checked as the defaults say. Targets have the ids 0,
        /// 1 and so on.
        fn ensure(&mut self, address: SocketAddr) -> u32 {
            self.ensure_as(address, Wanted::default())
        }

        fn ensure_as(&mut self, address: SocketAddr, wanted: Wanted) -> u32 {
            let (now, wanted) = (self.reactor.now(), Rc::new(wanted));
            let House { targets, prober, .. } = &mut self.house;
            let service = Rc::from(format!("service-{}", targets.counts().total));
            let id = targets.ensure(now, Transport::Tcp, &service, address, Some(&wanted)).id;
            prober.ensure(&mut self.reactor, id, address, now);
            id
        }

        /// Turns until there are `count` results.
        fn results(&mut self, count: usize) -> &[(u32, Result<(), String>, Time)] {
            let mut turns = 0;
            while self.house.results.len() < count {
                self.turn();
                turns += 1;
                assert!(turns < 10_000, "{:?}", self.house.results);
            }
            &self.house.results
        }

        /// One turn, which a timer ends if nothing happens.
        fn turn(&mut self) {
            let soon = self.reactor.now() + Duration::from_millis(2);
            let guard = self.reactor.wheel.insert(soon, Token::new(Kind::Guest, 0, 0));
            poll::turn(&mut self.reactor, &mut self.house).unwrap();
            self.reactor.wheel.cancel(guard);
        }
    }

    fn listening() -> (StdListener, SocketAddr) {
        let listener = StdListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        (listener, address)
    }

    /// A listener that answers nobody, because its backlog is full.
    fn black_hole() -> (mio::net::TcpListener, SocketAddr, Vec<TcpStream>) {
        let options = socket::ListenOptions { backlog: 0, ..socket::ListenOptions::default() };
        let listener = socket::listen("127.0.0.1:0".parse().unwrap(), &options).unwrap();
        let address = listener.local_addr().unwrap();
        let fill = || socket::connect(address, &ConnectOptions::default()).unwrap();
        (listener, address, (0..8).map(|_| fill()).collect())
    }

    #[test]
    fn a_target_is_checked_at_once_and_then_at_every_interval() {
        let (_listener, up) = listening();
        let mut lab = Lab::new(50, 1000);
        let begin = lab.reactor.now();
        lab.ensure(up);
        assert!(lab.house.prober.has_ready());
        let results = lab.results(4);
        assert!(results.iter().all(|(id, outcome, _)| *id == 0 && outcome.is_ok()));
        // 25 to 50 ms lie between the first two beginnings, and 45 to 50 then.
        assert!(results[3].2 >= begin + Duration::from_millis(25 + 2 * 45));
        assert_eq!(lab.house.prober.under_way(), 0);
    }

    #[test]
    fn refusal_and_silence_are_told_apart() {
        let (listener, down) = listening();
        drop(listener);
        let (_listener, silent, _fill) = black_hole();
        let mut lab = Lab::new(10_000, 30);
        lab.ensure(down);
        lab.ensure(silent);
        let results = lab.results(2);
        assert!(results[0].1.as_ref().unwrap_err().contains("refused"), "{results:?}");
        assert_eq!((results[1].0, &results[1].1), (1, &Err("no answer in time".to_owned())));
    }

    #[test]
    fn a_target_that_is_known_goes_on_and_a_retired_one_says_nothing() {
        let (_listener, up) = listening();
        let mut lab = Lab::new(10_000, 1000);
        let id = lab.ensure(up);
        lab.results(1);
        let next = lab.reactor.wheel.next_deadline().unwrap();
        assert!(next > lab.reactor.now() + Duration::from_secs(5), "no wake-up in between");
        let now = lab.reactor.now();
        lab.house.prober.ensure(&mut lab.reactor, id, up, now);
        assert!(!lab.house.prober.has_ready(), "no second first check");
        let other = lab.ensure(up);
        lab.house.prober.api(&mut lab.reactor, &lab.house.targets);
        assert_eq!(lab.house.prober.under_way(), 1);
        lab.house.prober.retire(&mut lab.reactor, other);
        lab.house.prober.retire(&mut lab.reactor, id);
        (0..10).for_each(|_| lab.turn());
        assert_eq!(lab.house.results.len(), 1);
        assert_eq!((lab.house.prober.targets(), lab.house.prober.under_way()), (0, 0));
        assert_eq!(lab.reactor.wheel.len(), 0);
    }

    #[test]
    fn another_interval_holds_at_once() {
        let (_listener, up) = listening();
        let mut lab = Lab::new(3_600_000, 1000);
        let id = lab.ensure(up);
        lab.results(1);
        lab.house.targets.set_defaults(HealthDefaults {
            interval: Duration::from_millis(20),
            ..HealthDefaults::default()
        });
        lab.house.prober.rest(&mut lab.reactor, id, Duration::from_millis(20));
        lab.results(3);
        assert_eq!(lab.reactor.wheel.len(), 1, "one timer a target");
    }

    #[test]
    fn another_check_is_made_from_the_next_time_on() {
        let (listener, down) = listening();
        drop(listener);
        let (_listener, up) = listening();
        let mut lab = Lab::new(10, 1000);
        lab.ensure(down);
        assert!(lab.results(1)[0].1.is_err());
        let kind = CheckKind::Tcp { port: Some(up.port()) };
        let wanted = Rc::new(Wanted { kind: Some(kind), ..Wanted::default() });
        let (now, service) = (lab.reactor.now(), "service-0".into());
        let targets = &mut lab.house.targets;
        assert!(targets.ensure(now, Transport::Tcp, &service, down, Some(&wanted)).is_changed);
        assert_eq!(lab.results(2)[1].1, Ok(()));
    }

    #[test]
    fn a_check_that_is_urgent_is_made_at_once_but_not_too_often() {
        let (_listener, up) = listening();
        let mut lab = Lab::new(3_600_000, 1000);
        let id = lab.ensure(up);
        lab.results(1);
        let hurry = |lab: &mut Lab, least| {
            let least = Duration::from_millis(least);
            lab.house.prober.hurry(&mut lab.reactor, id, least);
        };
        let begin = lab.reactor.now();
        hurry(&mut lab, 40);
        hurry(&mut lab, 80);
        assert!(!lab.house.prober.has_ready(), "not yet");
        let second = lab.results(2)[1].2;
        // It began at most a tick before the first call.
        assert!(second >= begin + Duration::from_millis(35), "{second:?} {begin:?}");
        hurry(&mut lab, 0);
        assert!(lab.house.prober.has_ready());
        hurry(&mut lab, 0);
        lab.results(3);
        (0..20).for_each(|_| lab.turn());
        assert_eq!(lab.house.results.len(), 3, "asked for twice and made once");
    }

    #[test]
    fn no_more_than_a_bounded_number_are_under_way() {
        let (_listener, silent, _fill) = black_hole();
        let mut lab = Lab::new(10_000, 30);
        let count = 3 * MOST;
        (0..count).for_each(|_| {
            lab.ensure(silent);
        });
        for turn in 1..=MOST / BEGIN_PER_TURN {
            assert!(lab.house.prober.has_ready());
            lab.turn();
            assert_eq!(lab.house.prober.under_way(), turn * BEGIN_PER_TURN);
        }
        assert_eq!(lab.house.prober.under_way(), MOST);
        assert!(!lab.house.prober.has_ready(), "the others wait without spinning");
        let mut ids: Vec<u32> = lab.results(count).iter().map(|r| r.0).collect();
        ids.sort_unstable();
        let all: Vec<u32> = (0..).take(count).collect();
        assert_eq!(ids, all, "and each has its turn");
    }

    #[test]
    fn targets_that_do_not_answer_leave_half_of_the_places_to_the_others() {
        let (_listener, silent, _fill) = black_hole();
        let (_other, up) = listening();
        let mut lab = Lab::new(1, 40);
        let count = 4 * MOST;
        (0..count).for_each(|_| {
            lab.ensure(silent);
        });
        let mut known = std::collections::BTreeSet::new();
        while known.len() < count {
            lab.turn();
            known.extend(lab.house.results.iter().map(|result| result.0));
        }
        // All of them are due again all the time.
        lab.house.results.clear();
        let id = lab.ensure(up);
        let mut turns = 0;
        let checks = |lab: &Lab| lab.house.results.iter().filter(|it| it.0 == id).count();
        while checks(&lab) < 20 {
            lab.turn();
            turns += 1;
            let prober = &lab.house.prober;
            assert!(prober.silent_under_way <= MOST / 2 && prober.under_way <= MOST / 2 + 1);
            assert!(turns < 10_000, "starved");
        }
        let silent = |lab: &Lab| lab.house.results.iter().filter(|it| it.0 != id).count();
        while silent(&lab) < 2 * count {
            lab.turn();
        }
        let again: std::collections::BTreeSet<u32> =
            lab.house.results.iter().map(|it| it.0).collect();
        assert_eq!(again.len(), count + 1, "and they have their turn as well");
    }

    #[test]
    fn checks_that_fail_at_once_are_spread_over_turns_as_well() {
        // A connection to the broadcast address is refused by the call itself.
        let nowhere = "255.255.255.255:80".parse().unwrap();
        let mut lab = Lab::new(10_000, 1000);
        (0..3 * BEGIN_PER_TURN).for_each(|_| {
            lab.ensure(nowhere);
        });
        for turn in 1..=3 {
            assert!(lab.house.prober.has_ready());
            lab.turn();
            assert_eq!(lab.house.results.len(), turn * BEGIN_PER_TURN);
        }
        assert!(!lab.house.prober.has_ready());
    }

    #[test]
    fn a_reminder_comes_in_time_and_once() {
        let mut lab = Lab::new(1000, 1000);
        let at = lab.reactor.now() + Duration::from_millis(10);
        lab.house.prober.remind(&mut lab.reactor, Some(at));
        while !lab.house.prober.has_ready() {
            assert!(lab.reactor.wheel.len() == 1);
            lab.turn();
        }
        assert!(lab.reactor.now() >= at);
        lab.house.prober.remind(&mut lab.reactor, None);
        assert!(!lab.house.prober.has_ready() && lab.reactor.wheel.is_empty());
    }

    #[test]
    fn more_descriptors_allow_more_checks_up_to_a_bound() {
        let most = [0, 256, 1024, 4096, 8192, 65_536, u64::MAX].map(most_under_way);
        assert_eq!(most, [64, 64, 64, 64, 128, 1024, 1024]);
    }

    /// Answers each connection with this, in these pieces; then closes it, or
    /// keeps it open. What the last one asked comes out.
    #[cfg(feature = "http")]
    fn server(
        pieces: &[&'static str],
        stays: bool,
    ) -> (SocketAddr, std::sync::mpsc::Receiver<String>) {
        use std::io::{BufRead, BufReader};
        let (listener, address) = listening();
        let pieces = pieces.to_vec();
        let (tell, asked) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            let mut open = Vec::new();
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let reader = BufReader::new(stream.try_clone().unwrap());
                let lines =
                    reader.lines().map_while(Result::ok).take_while(|line| !line.is_empty());
                let request: Vec<String> = lines.collect();
                for piece in &pieces {
                    let _ = stream.write_all(piece.as_bytes());
                    std::thread::yield_now();
                }
                open.extend(stays.then_some(stream));
                if tell.send(request.join("|")).is_err() {
                    return;
                }
            }
        });
        (address, asked)
    }

    #[cfg(feature = "http")]
    fn http(path: &str) -> Wanted {
        let kind = CheckKind::Http { port: None, path: path.into() };
        Wanted { kind: Some(kind), ..Wanted::default() }
    }

    #[cfg(feature = "http")]
    #[test]
    fn an_http_check_asks_and_judges_the_status() {
        let (good, asked) = server(&["HTTP/1.1 204 No", " Content\r\n\r", "\n"], false);
        let (bad, _bad) = server(&["HTTP/1.1 503 Busy\r\nContent-Length: 9\r\n\r\n"], true);
        let (other, _other) = server(&["SSH-2.0-x\r\n"], true);
        let (hasty, _hasty) = server(&[], false);
        let (silent, _silent) = server(&["HTTP/1.1 200 OK\r\n"], true);
        let mut lab = Lab::new(10_000, 200);
        let ids = [good, bad, other, hasty, silent].map(|at| lab.ensure_as(at, http("/h")));
        lab.results(ids.len());
        let outcome = |id: u32| {
            let result = lab.house.results.iter().find(|result| result.0 == id).unwrap();
            result.1.clone().err().unwrap_or_default()
        };
        assert_eq!(outcome(0), "");
        assert_eq!(outcome(1), "status 503, expected 200-399");
        assert!(outcome(2).starts_with("not an HTTP response: "), "{}", outcome(2));
        assert_eq!(outcome(3), "closed without an answer");
        assert_eq!(outcome(4), "no answer in time");
        let request = asked.recv().unwrap();
        assert!(request.starts_with(&format!("GET /h HTTP/1.1|Host: {good}|")), "{request}");
        assert!(request.ends_with("Connection: close"), "{request}");
        assert_eq!(lab.house.prober.under_way(), 0);
    }

    #[cfg(feature = "http")]
    #[test]
    fn an_http_check_of_a_port_that_is_closed_says_so() {
        let (listener, down) = listening();
        drop(listener);
        let (good, asked) = server(&["HTTP/1.0 200 OK\r\n\r\n"], false);
        let mut lab = Lab::new(10_000, 1000);
        lab.ensure_as(down, http("/"));
        let kind = CheckKind::Http { port: Some(good.port()), path: "/x".into() };
        let host = Some("www.example".into());
        lab.ensure_as(down, Wanted { kind: Some(kind), host, ..Wanted::default() });
        let mut results = lab.results(2).to_vec();
        results.sort_by_key(|result| result.0);
        assert!(results[0].1.as_ref().unwrap_err().contains("refused"));
        assert_eq!(results[1].1, Ok(()), "another port and another host");
        assert!(asked.recv().unwrap().contains("|Host: www.example|"));
    }

    /// A process of its own, because its descriptors run out.
    #[test]
    fn without_descriptors_a_check_is_put_off() {
        const NAME: &str = "health::probe::tests::without_descriptors_a_check_is_put_off";
        if std::env::var_os("BURGEE_TEST_FEW_DESCRIPTORS").is_none() {
            let output = std::process::Command::new("sh")
                .args(["-c", "ulimit -n 64 && exec \"$0\" --exact \"$1\""])
                .arg(std::env::current_exe().unwrap())
                .arg(NAME)
                .env("BURGEE_TEST_FEW_DESCRIPTORS", "1")
                .output()
                .unwrap();
            let said = String::from_utf8_lossy(&output.stdout);
            assert!(output.status.success() && said.contains("1 passed"), "{said}");
            return;
        }
        let (_listener, up) = listening();
        let mut lab = Lab::new(10_000, 1000);
        let mut hoard = Vec::new();
        while let Ok(file) = std::fs::File::open("/dev/null") {
            hoard.push(file);
        }
        lab.ensure(up);
        (0..5).for_each(|_| lab.turn());
        assert!(lab.house.results.is_empty(), "{:?}", lab.house.results);
        assert!(!lab.house.prober.has_ready(), "no spinning");
        hoard.clear();
        assert_eq!(lab.results(1)[0].1, Ok(()));
    }
}
