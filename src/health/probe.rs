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

/// Most checks that begin in one turn, some 20 µs each: those of sixty thousand
/// new targets must not keep others waiting.
const BEGIN_PER_TURN: usize = 8;

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

    /// Checks otherwise from now on: who rests is checked the new interval after
    /// its last check.
    pub fn change(&mut self, reactor: &mut Reactor, settings: ProberSettings) {
        if settings == std::mem::replace(&mut self.settings, settings) {
            return;
        }
        for key in self.checks.keys() {
            if let Some(Check { stage: Stage::Resting { until }, began, .. }) =
                self.checks.get_mut(key)
            {
                *until = *began + settings.interval;
            }
            self.arm(reactor, key);
        }
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
        // Counted, because a check that fails at once is never under way.
        for _ in 0..IN_FLIGHT.saturating_sub(self.in_flight).min(BEGIN_PER_TURN) {
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
                if let Some(outcome) = outcome(stream, check.address, check.ready, now >= *deadline)
                {
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
        // Not left to fire early: a check's deadline moves rarely, and an idle
        // process is to sleep through the time between two of them.
        check.alarm.clear(&mut reactor.wheel);
        check.alarm.set(&mut reactor.wheel, key.token(Kind::Probe), deadline);
    }
}

fn connect(reactor: &mut Reactor, address: SocketAddr, key: Key) -> io::Result<TcpStream> {
    let mut stream = socket::connect(address, &ConnectOptions::default())?;
    reactor.register(&mut stream, key.token(Kind::Probe), Interest::WRITABLE)?;
    Ok(stream)
}

/// What a check came to, once it is known.
fn outcome(
    stream: &TcpStream,
    address: SocketAddr,
    ready: Readiness,
    is_over: bool,
) -> Option<Result<(), String>> {
    if ready.intersects(Readiness::ERROR | Readiness::WRITE_CLOSED) {
        let error = socket::take_error(stream).ok().flatten();
        return Some(Err(error.map_or_else(|| "closed at once".to_owned(), |e| e.to_string())));
    }
    if ready.contains(Readiness::WRITABLE) {
        let nobody = socket::met_itself(stream, address);
        return Some(if nobody { Err("nobody listens there".to_owned()) } else { Ok(()) });
    }
    is_over.then(|| Err("no answer in time".to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reactor::poll::{self, Phases};
    use std::net::TcpListener as StdListener;

    struct House {
        prober: Prober,
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
            self.prober.api(reactor);
            while let Some((id, outcome)) = self.prober.next_result() {
                self.results.push((id, outcome, reactor.now()));
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
            let settings = ProberSettings {
                interval: Duration::from_millis(interval),
                timeout: Duration::from_millis(timeout),
            };
            let house = House { prober: Prober::new(settings, 1), results: Vec::new() };
            Lab { reactor: Reactor::new().unwrap(), house }
        }

        fn ensure(&mut self, id: u32, address: SocketAddr) {
            let now = self.reactor.now();
            self.house.prober.ensure(&mut self.reactor, id, address, now);
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
        lab.ensure(7, up);
        assert!(lab.house.prober.has_ready());
        let results = lab.results(4);
        assert!(results.iter().all(|(id, outcome, _)| *id == 7 && outcome.is_ok()));
        // 45 to 50 ms lie between two beginnings.
        assert!(results[3].2 >= begin + Duration::from_millis(3 * 45));
        assert_eq!(lab.house.prober.in_flight(), 0);
    }

    #[test]
    fn refusal_and_silence_are_told_apart() {
        let (listener, down) = listening();
        drop(listener);
        let (_listener, silent, _fill) = black_hole();
        let mut lab = Lab::new(10_000, 30);
        lab.ensure(1, down);
        lab.ensure(2, silent);
        let results = lab.results(2);
        assert!(results[0].1.as_ref().unwrap_err().contains("refused"), "{results:?}");
        assert_eq!((results[1].0, &results[1].1), (2, &Err("no answer in time".to_owned())));
    }

    #[test]
    fn a_target_that_is_known_goes_on_and_a_retired_one_says_nothing() {
        let (_listener, up) = listening();
        let mut lab = Lab::new(10_000, 1000);
        lab.ensure(1, up);
        lab.results(1);
        let next = lab.reactor.wheel.next_deadline().unwrap();
        assert!(next > lab.reactor.now() + Duration::from_secs(5), "no wake-up in between");
        lab.ensure(1, up);
        assert!(!lab.house.prober.has_ready(), "no second first check");
        let (_other, elsewhere) = listening();
        lab.ensure(1, elsewhere);
        lab.results(2);
        lab.ensure(2, up);
        lab.house.prober.api(&mut lab.reactor);
        assert_eq!(lab.house.prober.in_flight(), 1);
        lab.house.prober.retire(&mut lab.reactor, 2);
        lab.house.prober.retire(&mut lab.reactor, 1);
        (0..10).for_each(|_| lab.turn());
        assert_eq!(lab.house.results.len(), 2);
        assert_eq!((lab.house.prober.targets(), lab.house.prober.in_flight()), (0, 0));
        assert_eq!(lab.reactor.wheel.len(), 0);
    }

    #[test]
    fn another_interval_holds_at_once() {
        let (_listener, up) = listening();
        let mut lab = Lab::new(3_600_000, 1000);
        lab.ensure(1, up);
        lab.results(1);
        let settings = ProberSettings {
            interval: Duration::from_millis(20),
            timeout: Duration::from_millis(1000),
        };
        lab.house.prober.change(&mut lab.reactor, settings);
        lab.results(3);
        assert_eq!(lab.reactor.wheel.len(), 1, "one timer a target");
    }

    #[test]
    fn no_more_than_a_bounded_number_are_under_way() {
        let (_listener, silent, _fill) = black_hole();
        let mut lab = Lab::new(10_000, 30);
        let count = 3 * u32::try_from(IN_FLIGHT).unwrap();
        (0..count).for_each(|id| lab.ensure(id, silent));
        for turn in 1..=IN_FLIGHT / BEGIN_PER_TURN {
            assert!(lab.house.prober.has_ready());
            lab.turn();
            assert_eq!(lab.house.prober.in_flight(), turn * BEGIN_PER_TURN);
        }
        assert_eq!(lab.house.prober.in_flight(), IN_FLIGHT);
        assert!(!lab.house.prober.has_ready(), "the others wait without spinning");
        let mut ids: Vec<u32> = lab.results(count as usize).iter().map(|r| r.0).collect();
        ids.sort_unstable();
        assert_eq!(ids, (0..count).collect::<Vec<_>>(), "and each has its turn");
    }

    #[test]
    fn checks_that_fail_at_once_are_spread_over_turns_as_well() {
        // A connection to the broadcast address is refused by the call itself.
        let nowhere = "255.255.255.255:80".parse().unwrap();
        let mut lab = Lab::new(10_000, 1000);
        let count = 3 * BEGIN_PER_TURN;
        (0..count).for_each(|id| lab.ensure(id.try_into().unwrap(), nowhere));
        for turn in 1..=3 {
            assert!(lab.house.prober.has_ready());
            lab.turn();
            assert_eq!(lab.house.results.len(), turn * BEGIN_PER_TURN);
        }
        assert!(!lab.house.prober.has_ready());
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
        lab.ensure(1, up);
        (0..5).for_each(|_| lab.turn());
        assert!(lab.house.results.is_empty(), "{:?}", lab.house.results);
        assert!(!lab.house.prober.has_ready(), "no spinning");
        hoard.clear();
        assert_eq!(lab.results(1)[0].1, Ok(()));
    }
}
