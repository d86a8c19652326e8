//! The door of knocks: asks a UDP port that refused datagrams whether somebody
//! is there again.
//!
//! UDP has no handshake, and an honest check of a service would have to speak
//! its protocol. So targets of datagrams are not checked while they serve. One
//! whose host said that nobody listens (ICMP port unreachable, RFC 1122
//! §3.2.2.1) gets an empty datagram at every interval, until one is not refused
//! in time. The traffic itself cannot ask: while no target is healthy, the
//! routes are withdrawn, and none comes.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use mio::Interest;

use crate::reactor::datagram::Connected;
use crate::reactor::slab::{Key, Slab};
use crate::reactor::socket;
use crate::reactor::timer_wheel::Alarm;
use crate::reactor::{Kind, Reactor, Readiness, Time, Token};

/// Most knocks that wait for an answer at a time, so that a thousand targets
/// leave descriptors for clients.
const IN_FLIGHT: usize = 64;

/// How long a knock is put off when this machine has nothing left for it.
const PUT_OFF: Duration = Duration::from_millis(500);

/// Octets of an answer that are taken; what it says does not matter.
const ANSWER: usize = 16;

/// When targets are knocked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KnockSettings {
    /// Time between two knocks at one target.
    pub interval: Duration,
    /// A knock that is not refused for so long is good.
    pub timeout: Duration,
}

#[derive(Debug)]
enum Stage {
    Resting { until: Time },
    Listening { socket: Connected, until: Time },
}

#[derive(Debug)]
struct Knock {
    id: u32,
    address: SocketAddr,
    stage: Stage,
    alarm: Alarm,
    queued: bool,
}

/// The targets that refused datagrams.
#[derive(Debug)]
pub struct Knocker {
    settings: KnockSettings,
    knocks: Slab<Knock>,
    by_id: BTreeMap<u32, Key>,
    ready: Vec<Key>,
    in_flight: usize,
    results: VecDeque<(u32, Result<(), String>)>,
}

impl Knocker {
    /// No targets.
    pub fn new(settings: KnockSettings) -> Knocker {
        Knocker {
            settings,
            knocks: Slab::new(),
            by_id: BTreeMap::new(),
            ready: Vec::new(),
            in_flight: 0,
            results: VecDeque::new(),
        }
    }

    /// Knocks otherwise from the next time on.
    pub fn change(&mut self, settings: KnockSettings) {
        self.settings = settings;
    }

    /// Knocks at `address` under the name `id`, at once and then at every
    /// interval, until [`Knocker::retire`].
    pub fn suspect(&mut self, now: Time, id: u32, address: SocketAddr) {
        if self.by_id.contains_key(&id) {
            return;
        }
        let stage = Stage::Resting { until: now };
        let knock = Knock { id, address, stage, alarm: Alarm::new(), queued: false };
        let key = self.knocks.insert(knock);
        self.by_id.insert(id, key);
        self.queue(key);
    }

    /// Knocks no more at the target `id`, and forgets what came of it.
    pub fn retire(&mut self, reactor: &mut Reactor, id: u32) {
        let removed = self.by_id.remove(&id).and_then(|key| self.knocks.remove(key));
        let Some(mut knock) = removed else { return };
        knock.alarm.clear(&mut reactor.wheel);
        if matches!(knock.stage, Stage::Listening { .. }) {
            self.in_flight = self.in_flight.saturating_sub(1);
        }
        self.results.retain(|(of, _)| *of != id);
    }

    /// How many targets are knocked at.
    pub fn targets(&self) -> usize {
        self.knocks.len()
    }

    /// Collect: remembers that a knock has its answer.
    pub fn collect(&mut self, token: Token, _: Readiness) {
        self.queue(token.into());
    }

    /// Expire: remembers that a knock's timer fired.
    pub fn expired(&mut self, token: Token) {
        if let Some(knock) = self.knocks.get_mut(token.into()) {
            knock.alarm.fired();
        }
        self.queue(token.into());
    }

    /// Api: ends knocks that have their answer or were not refused in time,
    /// and begins those that are due.
    pub fn api(&mut self, reactor: &mut Reactor) {
        for key in std::mem::take(&mut self.ready) {
            self.look_at(reactor, key);
        }
    }

    /// The next outcome: the target's name, and the refusal in words.
    pub fn next_result(&mut self) -> Option<(u32, Result<(), String>)> {
        self.results.pop_front()
    }

    /// Flush: slots that were freed in this turn may be used again.
    pub fn flush(&mut self) {
        self.knocks.reclaim();
    }

    /// Whether anything can make progress without another event.
    pub fn has_ready(&self) -> bool {
        !self.ready.is_empty() || !self.results.is_empty()
    }

    fn queue(&mut self, key: Key) {
        let knock = self.knocks.get_mut(key);
        if knock.is_some_and(|knock| !std::mem::replace(&mut knock.queued, true)) {
            self.ready.push(key);
        }
    }

    fn look_at(&mut self, reactor: &mut Reactor, key: Key) {
        let now = reactor.now();
        let is_full = self.in_flight >= IN_FLIGHT;
        let Some(knock) = self.knocks.get_mut(key) else { return };
        knock.queued = false;
        match &knock.stage {
            Stage::Resting { until } if *until > now => {}
            Stage::Resting { .. } if is_full => {
                knock.stage = Stage::Resting { until: now + PUT_OFF };
            }
            Stage::Resting { .. } => self.begin(reactor, key),
            Stage::Listening { socket, until } => {
                if let Some(outcome) = outcome(socket, now >= *until) {
                    self.in_flight = self.in_flight.saturating_sub(1);
                    self.finish(now, key, outcome);
                }
            }
        }
        let Some(knock) = self.knocks.get_mut(key) else { return };
        let (Stage::Resting { until } | Stage::Listening { until, .. }) = knock.stage;
        knock.alarm.clear(&mut reactor.wheel);
        knock.alarm.set(&mut reactor.wheel, key.token(Kind::Knock), Some(until));
    }

    fn begin(&mut self, reactor: &mut Reactor, key: Key) {
        let now = reactor.now();
        let Some(knock) = self.knocks.get_mut(key) else { return };
        match knock_at(reactor, knock.address, key) {
            Ok(socket) => {
                knock.stage = Stage::Listening { socket, until: now + self.settings.timeout };
                self.in_flight = self.in_flight.saturating_add(1);
            }
            // It says nothing about the target.
            Err(error) if socket::is_exhaustion(&error) => {
                knock.stage = Stage::Resting { until: now + PUT_OFF };
            }
            Err(error) => self.finish(now, key, Err(error.to_string())),
        }
    }

    fn finish(&mut self, now: Time, key: Key, outcome: Result<(), String>) {
        let Some(knock) = self.knocks.get_mut(key) else { return };
        // At least a tick, so that an interval of 0 is no endless turn.
        let rest = self.settings.interval.max(Duration::from_millis(1));
        knock.stage = Stage::Resting { until: now + rest };
        self.results.push_back((knock.id, outcome));
    }
}

fn knock_at(reactor: &mut Reactor, address: SocketAddr, key: Key) -> io::Result<Connected> {
    let mut socket = Connected::connect(address)?;
    reactor.register(&mut socket, key.token(Kind::Knock), Interest::READABLE)?;
    socket.send(&[])?;
    Ok(socket)
}

/// What a knock came to, once it is known. Whoever answers is there.
fn outcome(socket: &Connected, is_over: bool) -> Option<Result<(), String>> {
    match socket.receive(&mut [0; ANSWER], ANSWER, &mut Vec::new()) {
        Ok(()) => Some(Ok(())),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => is_over.then_some(Ok(())),
        Err(error) => Some(Err(error.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reactor::poll::{self, Phases};
    use std::net::UdpSocket;

    struct House {
        knocker: Knocker,
        results: Vec<(u32, Result<(), String>, Time)>,
    }

    impl Phases for House {
        fn collect(&mut self, _: &mut Reactor, token: Token, readiness: Readiness) {
            self.knocker.collect(token, readiness);
        }
        fn expired(&mut self, _: &mut Reactor, token: Token) {
            if token.kind == Kind::Knock {
                self.knocker.expired(token);
            }
        }
        fn control(&mut self, _: &mut Reactor) {}
        fn apply(&mut self, _: &mut Reactor) {}
        fn data(&mut self, _: &mut Reactor) {}
        fn accept(&mut self, _: &mut Reactor) {}
        fn api(&mut self, reactor: &mut Reactor) {
            self.knocker.api(reactor);
            while let Some((id, outcome)) = self.knocker.next_result() {
                self.results.push((id, outcome, reactor.now()));
            }
        }
        fn flush(&mut self, _: &mut Reactor) {
            self.knocker.flush();
        }
        fn has_ready(&self) -> bool {
            self.knocker.has_ready()
        }
        fn exit_code(&self) -> Option<i32> {
            None
        }
    }

    fn lab(interval: u64, timeout: u64) -> (Reactor, House) {
        let (interval, timeout) = (Duration::from_millis(interval), Duration::from_millis(timeout));
        let knocker = Knocker::new(KnockSettings { interval, timeout });
        (Reactor::new().unwrap(), House { knocker, results: Vec::new() })
    }

    fn until_results(reactor: &mut Reactor, house: &mut House, count: usize) {
        for _ in 0..10_000 {
            if house.results.len() >= count {
                return;
            }
            poll::turn(reactor, house).unwrap();
        }
        panic!("{:?}", house.results);
    }

    #[test]
    fn a_closed_port_is_knocked_at_until_it_is_open() {
        let (mut reactor, mut house) = lab(20, 60);
        let target = UdpSocket::bind("127.0.0.1:0").unwrap();
        let address = target.local_addr().unwrap();
        drop(target);
        let begin = reactor.now();
        house.knocker.suspect(begin, 7, address);
        house.knocker.suspect(begin, 7, address);
        assert_eq!(house.knocker.targets(), 1);
        until_results(&mut reactor, &mut house, 2);
        for (id, outcome, _) in &house.results {
            assert_eq!(*id, 7);
            assert!(outcome.as_ref().unwrap_err().contains("refused"), "{outcome:?}");
        }
        assert!(house.results[1].2 >= begin + Duration::from_millis(20), "an interval apart");
        let target = UdpSocket::bind(address).unwrap();
        house.results.clear();
        until_results(&mut reactor, &mut house, 1);
        assert_eq!(house.results[0].1, Ok(()));
        let (count, _) = target.recv_from(&mut [0; 16]).unwrap();
        assert_eq!(count, 0, "it is an empty datagram");
        house.knocker.retire(&mut reactor, 7);
        house.knocker.flush();
        assert_eq!((house.knocker.targets(), house.knocker.in_flight), (0, 0));
        assert_eq!(reactor.wheel.len(), 0);
        assert!(!house.knocker.has_ready());
    }

    #[test]
    fn whoever_answers_is_there_at_once() {
        let (mut reactor, mut house) = lab(1000, 600_000);
        let target = UdpSocket::bind("[::1]:0").unwrap();
        let begin = reactor.now();
        house.knocker.suspect(begin, 1, target.local_addr().unwrap());
        poll::turn(&mut reactor, &mut house).unwrap();
        let (_, from) = target.recv_from(&mut [0; 16]).unwrap();
        target.send_to(b"I am here", from).unwrap();
        until_results(&mut reactor, &mut house, 1);
        assert_eq!(house.results[0].1, Ok(()));
    }

    #[test]
    fn no_more_than_a_bounded_number_wait_and_all_have_their_turn() {
        let (mut reactor, mut house) = lab(600_000, 5);
        let target = UdpSocket::bind("127.0.0.1:0").unwrap();
        let address = target.local_addr().unwrap();
        let count = 2 * u32::try_from(IN_FLIGHT).unwrap();
        let now = reactor.now();
        (0..count).for_each(|id| house.knocker.suspect(now, id, address));
        poll::turn(&mut reactor, &mut house).unwrap();
        assert_eq!(house.knocker.in_flight, IN_FLIGHT);
        until_results(&mut reactor, &mut house, count as usize);
        let mut ids: Vec<u32> = house.results.iter().map(|result| result.0).collect();
        ids.sort_unstable();
        assert_eq!(ids, (0..count).collect::<Vec<_>>());
    }
}
