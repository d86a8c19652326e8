//! The door of health checks: connects to each target again and again.
//!
//! A check is a TCP connection that is closed as soon as it is made. What its
//! outcome means for the target is for [`super::machine`] to say.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use mio::Interest;
use mio::net::TcpStream;

use crate::reactor::random::Random;
use crate::reactor::slab::{Key, Slab};
use crate::reactor::socket::{self, ConnectOptions};
use crate::reactor::timer_wheel::Alarm;
use crate::reactor::{Kind, Reactor, Readiness, Time, Token};

/// Most checks under way at a time: a thousand targets that do not answer
/// leave descriptors for clients. The others wait for their turn.
const IN_FLIGHT: usize = 64;

/// How long a check is put off when this machine has no descriptor or port
/// for it.
const PUT_OFF: Duration = Duration::from_millis(500);

/// Checks of one target are this much of the interval earlier than it, at
/// most, so that targets that were added together drift apart.
const JITTER_PARTS: u64 = 10;

/// How targets are checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProberSettings {
    /// Time between two checks of one target.
    pub interval: Duration,
    /// How long one check may take.
    pub timeout: Duration,
}

#[derive(Debug)]
enum Stage {
    /// Waits for its time.
    Resting { until: Time },
    /// Waits for others to finish, because [`IN_FLIGHT`] are under way.
    Due,
    /// Connecting.
    Connecting { stream: TcpStream, deadline: Time },
}

#[derive(Debug)]
struct Check {
    id: u32,
    address: SocketAddr,
    stage: Stage,
    ready: Readiness,
    /// When the last check began.
    began: Time,
    alarm: Alarm,
    queued: bool,
}

/// All targets under check.
#[derive(Debug)]
pub struct Prober {
    settings: ProberSettings,
    checks: Slab<Check>,
    by_id: BTreeMap<u32, Key>,
    /// Checks to look at: an event came, or a timer fired.
    ready: Vec<Key>,
    /// Checks in [`Stage::Due`], first come, first served.
    due: VecDeque<Key>,
    in_flight: usize,
    results: VecDeque<(u32, Result<(), String>)>,
    random: Random,
}

impl Prober {
    /// No targets. `seed` spreads their checks.
    pub fn new(settings: ProberSettings, seed: u64) -> Prober {
        Prober {
            settings,
            checks: Slab::new(),
            by_id: BTreeMap::new(),
            ready: Vec::new(),
            due: VecDeque::new(),
            in_flight: 0,
            results: VecDeque::new(),
            random: Random::new(seed),
        }
    }

    /// Makes sure that `address` is checked under the name `id`: at once, and
    /// then at every interval. A target that is known stays as it is.
    pub fn ensure(&mut self, reactor: &mut Reactor, id: u32, address: SocketAddr, now: Time) {
        let known = self.by_id.get(&id).and_then(|key| self.checks.get(*key));
        if known.is_some_and(|check| check.address == address) {
            return;
        }
        self.retire(reactor, id);
        let key = self.checks.insert(Check {
            id,
            address,
            stage: Stage::Due,
            ready: Readiness::NONE,
            began: now,
            alarm: Alarm::new(),
            queued: false,
        });
        self.by_id.insert(id, key);
        self.due.push_back(key);
    }

    /// Checks `id` no more. A check under way is dropped without a result.
    pub fn retire(&mut self, reactor: &mut Reactor, id: u32) {
        let Some(mut check) = self.by_id.remove(&id).and_then(|key| self.checks.remove(key)) else {
            return;
        };
        check.alarm.clear(&mut reactor.wheel);
        if matches!(check.stage, Stage::Connecting { .. }) {
            self.in_flight = self.in_flight.saturating_sub(1);
        }
        self.results.retain(|(of, _)| *of != id);
    }

    /// How many targets are checked.
    pub fn targets(&self) -> usize {
        self.checks.len()
    }

    /// How many checks are under way.
    pub fn in_flight(&self) -> usize {
        self.in_flight
    }

    /// Collect: remembers what the kernel said about a check's socket.
    pub fn collect(&mut self, token: Token, readiness: Readiness) {
        if let Some(check) = self.checks.get_mut(token.into()) {
            check.ready |= readiness;
        }
        self.queue(token.into());
    }

    /// Expire: remembers that a check's timer fired.
    pub fn expired(&mut self, token: Token) {
        if let Some(check) = self.checks.get_mut(token.into()) {
            check.alarm.fired();
        }
        self.queue(token.into());
    }

    /// Api: ends checks that have their answer or no time left, and begins
    /// those that are due.
    pub fn api(&mut self, reactor: &mut Reactor) {
        for key in std::mem::take(&mut self.ready) {
            self.look_at(reactor, key);
        }
        while self.in_flight < IN_FLIGHT {
            let Some(key) = self.due.pop_front() else { break };
            self.begin(reactor, key);
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

    /// Whether anything can make progress without another event.
    pub fn has_ready(&self) -> bool {
        !self.ready.is_empty()
            || !self.results.is_empty()
            || (!self.due.is_empty() && self.in_flight < IN_FLIGHT)
    }

    fn queue(&mut self, key: Key) {
        let check = self.checks.get_mut(key);
        if check.is_some_and(|check| !std::mem::replace(&mut check.queued, true)) {
            self.ready.push(key);
        }
    }

    fn look_at(&mut self, reactor: &mut Reactor, key: Key) {
        let now = reactor.now();
        let Some(check) = self.checks.get_mut(key) else { return };
        check.queued = false;
        match &check.stage {
            Stage::Resting { until } if *until <= now => {
                check.stage = Stage::Due;
                self.due.push_back(key);
            }
            Stage::Connecting { stream, deadline } => {
                if let Some(outcome) = outcome(stream, check.ready, now >= *deadline) {
                    self.in_flight = self.in_flight.saturating_sub(1);
                    self.finish(reactor, key, outcome);
                }
            }
            Stage::Resting { .. } | Stage::Due => {}
        }
        self.arm(reactor, key);
    }

    fn begin(&mut self, reactor: &mut Reactor, key: Key) {
        let now = reactor.now();
        let Some(check) = self.checks.get_mut(key) else { return };
        check.began = now;
        check.ready = Readiness::NONE;
        match connect(reactor, check.address, key) {
            Ok(stream) => {
                check.stage = Stage::Connecting { stream, deadline: now + self.settings.timeout };
                self.in_flight = self.in_flight.saturating_add(1);
            }
            // It says nothing about the target.
            Err(error) if socket::is_exhaustion(&error) => {
                check.stage = Stage::Resting { until: now + PUT_OFF };
            }
            Err(error) => self.finish(reactor, key, Err(error.to_string())),
        }
        self.arm(reactor, key);
    }

    /// Reports an outcome, closes the socket and rests until the next check.
    fn finish(&mut self, reactor: &Reactor, key: Key, outcome: Result<(), String>) {
        let early = self.jitter();
        let Some(check) = self.checks.get_mut(key) else { return };
        self.results.push_back((check.id, outcome));
        let rest = self.settings.interval.saturating_sub(early);
        // At least a tick, so that a check that takes long does not make the
        // next one start in the same turn.
        let until = (check.began + rest).max(reactor.now() + Duration::from_millis(1));
        check.stage = Stage::Resting { until };
    }

    fn jitter(&mut self) -> Duration {
        let most = u64::try_from(self.settings.interval.as_nanos()).unwrap_or(u64::MAX);
        Duration::from_nanos(self.random.below(most / JITTER_PARTS))
    }

    fn arm(&mut self, reactor: &mut Reactor, key: Key) {
        let Some(check) = self.checks.get_mut(key) else { return };
        let deadline = match check.stage {
            Stage::Resting { until } => Some(until),
            Stage::Due => None,
            Stage::Connecting { deadline, .. } => Some(deadline),
        };
        check.alarm.set(&mut reactor.wheel, key.token(Kind::Probe), deadline);
    }
}

fn connect(reactor: &mut Reactor, address: SocketAddr, key: Key) -> io::Result<TcpStream> {
    let mut stream = socket::connect(address, &ConnectOptions::default())?;
    reactor.register(&mut stream, key.token(Kind::Probe), Interest::WRITABLE)?;
    Ok(stream)
}

/// What a check came to, once it is known.
fn outcome(stream: &TcpStream, ready: Readiness, is_over: bool) -> Option<Result<(), String>> {
    if ready.intersects(Readiness::ERROR | Readiness::WRITE_CLOSED) {
        let error = socket::take_error(stream).ok().flatten();
        return Some(Err(error.map_or_else(|| "closed at once".to_owned(), |e| e.to_string())));
    }
    if ready.contains(Readiness::WRITABLE) {
        return Some(Ok(()));
    }
    is_over.then(|| Err("no answer in time".to_owned()))
}
