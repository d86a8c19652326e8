//! All names that are wanted, and the questions about them: pure.
//!
//! Each name is looked up in rounds: for addresses of both kinds at a time, and
//! with a search list for one candidate after the other. A question is put to
//! one server after the other in tries; each try is one socket of the door, so
//! that an answer can be told by where it arrives (RFC 5452 §9.2).

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use super::entry::{CAP, Entry, Outcome, Step};
use super::event::{Event, Status};
use super::hosts::Hosts;
use super::message::{self, Record, Reply};
use super::name::Name;
use super::resolv_conf::{ResolvConf, Server};
use crate::reactor::Time;
use crate::reactor::random::Random;

/// Most tries under way at a time: a thousand names leave descriptors for
/// clients, and a small server is not run over. The other questions wait.
pub const IN_FLIGHT: usize = 64;

/// Most names; each may ask two questions a second.
pub const MAX_NAMES: usize = 16_384;

/// Most timers that are served at a time, which keeps a turn short.
const TIMERS: usize = 1024;

/// For how long a server that did not answer is asked after the others:
/// otherwise one that is down would cost each question its whole timeout.
const SUSPICION: Duration = Duration::from_secs(30);

/// How long questions are put off when this machine has no socket for them.
const PUT_OFF: Duration = Duration::from_millis(500);

/// Answers to something else that one try takes for noise. More of them are
/// somebody's guesses, and the question moves to TCP, where guessing is harder
/// (RFC 5452 §9.3).
const STRANGERS: u32 = 8;

/// A round begins at most this part of its time earlier than the last answer
/// ends, so that names that were added together drift apart.
const JITTER_PARTS: u64 = 10;

/// The name of one try.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct TryId(u64);

/// Something to send, from a socket of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transmit {
    /// What the answer is to be given under.
    pub id: TryId,
    /// To whom.
    pub server: Server,
    /// Whether over TCP; the octets then begin with their length (RFC 1035
    /// §4.2.2).
    pub over_tcp: bool,
    /// What.
    pub octets: Vec<u8>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Timer {
    Round(u64),
    Try(TryId),
}

/// A question on its way from server to server.
#[derive(Debug)]
struct Question {
    entry: u64,
    record: Record,
    name: Name,
    /// The servers in the order in which they are asked, by their places.
    order: Vec<usize>,
    /// Tries that failed.
    failed: usize,
    edns: bool,
    over_tcp: bool,
}

#[derive(Debug)]
struct Try {
    question: Question,
    server: usize,
    number: u16,
    deadline: Time,
    strangers: u32,
    /// What has come over TCP.
    stream: Vec<u8>,
}

/// All names that are wanted.
#[derive(Debug)]
pub struct Machine {
    conf: ResolvConf,
    hosts: Hosts,
    entries: BTreeMap<u64, Entry>,
    ids: BTreeMap<Name, u64>,
    next_id: u64,
    waiting: VecDeque<Question>,
    tries: BTreeMap<TryId, Try>,
    timers: BTreeSet<(Time, Timer)>,
    /// Until when each server is asked after the others.
    suspected: Vec<Time>,
    rotation: usize,
    put_off: Option<Time>,
    closed: VecDeque<TryId>,
    events: VecDeque<Event>,
    random: Random,
}

impl Machine {
    /// No names. `seed` spreads the rounds; what must not be guessed comes with
    /// [`Machine::poll_transmit`].
    pub fn new(conf: ResolvConf, hosts: Hosts, seed: u64) -> Machine {
        let conf = with_servers(conf);
        Machine {
            suspected: vec![Time::ZERO; conf.servers.len()],
            conf,
            hosts,
            entries: BTreeMap::new(),
            ids: BTreeMap::new(),
            next_id: 0,
            waiting: VecDeque::new(),
            tries: BTreeMap::new(),
            timers: BTreeSet::new(),
            rotation: 0,
            put_off: None,
            closed: VecDeque::new(),
            events: VecDeque::new(),
            random: Random::new(seed),
        }
    }

    /// Looks a name up from now on, at once for the first time. One that is
    /// known stays as it is.
    ///
    /// # Errors
    /// There are [`MAX_NAMES`] already.
    pub fn want(&mut self, now: Time, name: &Name) -> Result<(), String> {
        if self.ids.contains_key(name) {
            return Ok(());
        }
        if self.ids.len() >= MAX_NAMES {
            return Err(format!("{name}: more than {MAX_NAMES} names"));
        }
        let id = self.new_id();
        self.ids.insert(name.clone(), id);
        self.entries.insert(id, Entry::new(name.clone()));
        self.begin(now, id);
        Ok(())
    }

    /// Looks a name up no more, and forgets what is known of it.
    pub fn unwant(&mut self, name: &Name) {
        let Some(id) = self.ids.remove(name) else { return };
        if let Some(due) = self.entries.remove(&id).and_then(|entry| entry.due) {
            self.timers.remove(&(due, Timer::Round(id)));
        }
        self.waiting.retain(|question| question.entry != id);
        let tries = self.tries.iter().filter(|(_, it)| it.question.entry == id);
        for id in tries.map(|(id, _)| *id).collect::<Vec<_>>() {
            self.close(id);
        }
        self.events.retain(|event| event.name() != name);
    }

    /// Goes by other files from now on. If they differ, each name is looked up
    /// again; its addresses stay until then.
    pub fn configure(&mut self, now: Time, conf: ResolvConf, hosts: Hosts) {
        if self.conf == conf && self.hosts == hosts {
            return;
        }
        let conf = with_servers(conf);
        self.suspected = vec![Time::ZERO; conf.servers.len()];
        (self.conf, self.hosts) = (conf, hosts);
        self.waiting.clear();
        for id in self.tries.keys().copied().collect::<Vec<_>>() {
            self.close(id);
        }
        self.timers.clear();
        for (id, entry) in &mut self.entries {
            entry.give_up();
            entry.due = Some(now);
            self.timers.insert((now, Timer::Round(*id)));
        }
    }

    /// How a name stands, if it is wanted.
    pub fn status(&self, name: &Name) -> Option<Status> {
        self.ids.get(name).and_then(|id| self.entries.get(id)).map(Entry::status)
    }

    /// All names that are wanted.
    pub fn names(&self) -> impl Iterator<Item = &Name> {
        self.ids.keys()
    }

    /// How many tries are under way.
    pub fn in_flight(&self) -> usize {
        self.tries.len()
    }

    /// Serves what is due, a bounded part of it.
    pub fn timeout(&mut self, now: Time) {
        self.put_off = self.put_off.filter(|until| *until > now);
        for _ in 0..TIMERS {
            let Some((at, timer)) = self.timers.first().copied().filter(|(at, _)| *at <= now)
            else {
                break;
            };
            self.timers.remove(&(at, timer));
            match timer {
                Timer::Round(id) => self.begin(now, id),
                Timer::Try(id) => self.failed(now, id, "no answer in time"),
            }
        }
    }

    /// The next question to send. `number` is to be unpredictable (RFC 5452
    /// §9.2), as is the source port of the socket.
    pub fn poll_transmit(&mut self, now: Time, number: u16) -> Option<Transmit> {
        if !self.can_send() {
            return None;
        }
        let question = self.waiting.pop_front()?;
        let place = question.failed.checked_rem(question.order.len())?;
        let place = question.order.get(place).copied()?;
        let server = self.conf.servers.get(place)?.clone();
        let over_tcp = question.over_tcp;
        let message = message::question(number, &question.name, question.record, question.edns);
        let octets = if over_tcp { with_length(&message) } else { message };
        let id = TryId(self.new_id());
        let deadline = now + self.conf.timeout;
        self.timers.insert((deadline, Timer::Try(id)));
        let stream = Vec::new();
        let it = Try { question, server: place, number, deadline, strangers: 0, stream };
        self.tries.insert(id, it);
        Some(Transmit { id, server, over_tcp, octets })
    }

    /// The next try that is over, whether it had an answer or not: its socket
    /// is of no more use.
    pub fn poll_closed(&mut self) -> Option<TryId> {
        self.closed.pop_front()
    }

    /// The next thing to report.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// When [`Machine::timeout`] is to be called.
    pub fn deadline(&self) -> Option<Time> {
        let put_off = self.put_off.filter(|_| !self.waiting.is_empty());
        self.timers.first().map(|(at, _)| *at).into_iter().chain(put_off).min()
    }

    /// Whether there is something to send, to close or to report.
    pub fn has_ready(&self) -> bool {
        let is_sending = self.can_send() && !self.waiting.is_empty();
        is_sending || !self.closed.is_empty() || !self.events.is_empty()
    }

    /// Takes a datagram, or a message of a stream without its length.
    pub fn receive(&mut self, now: Time, id: TryId, from: SocketAddr, octets: &[u8]) {
        let Some(it) = self.tries.get_mut(&id) else { return };
        let is_server = self.conf.servers.get(it.server).is_some_and(|server| {
            // Not the zone, which only our side of a link-local address has.
            (server.address.ip(), server.address.port()) == (from.ip(), from.port())
        });
        let Question { name, record, over_tcp, .. } = &it.question;
        let over_tcp = *over_tcp;
        let reply = match is_server {
            true => message::reply(octets, it.number, name, *record),
            false => None,
        };
        if let Some(reply) = reply {
            return self.answered(now, id, reply);
        }
        it.strangers = it.strangers.saturating_add(1);
        if over_tcp {
            self.failed(now, id, "an answer to another question");
        } else if it.strangers >= STRANGERS
            && let Some(it) = self.close(id)
        {
            self.waiting.push_front(Question { over_tcp: true, ..it.question });
        }
    }

    /// Takes what came over TCP, in pieces of any size.
    pub fn receive_stream(&mut self, now: Time, id: TryId, from: SocketAddr, octets: &[u8]) {
        let Some(it) = self.tries.get_mut(&id) else { return };
        // One message is all that is waited for, so this is at most its length
        // and one piece more.
        it.stream.extend_from_slice(octets);
        let Some((length, rest)) = it.stream.split_first_chunk::<2>() else { return };
        let length = usize::from(u16::from_be_bytes(*length));
        if let Some(message) = rest.get(..length).map(<[u8]>::to_vec) {
            self.receive(now, id, from, &message);
        }
    }

    /// A try met an error: the server cannot be reached, or ended the
    /// connection. The next one is asked.
    pub fn failed(&mut self, now: Time, id: TryId, error: &str) {
        let Some(it) = self.close(id) else { return };
        if let Some(until) = self.suspected.get_mut(it.server) {
            *until = now + SUSPICION;
        }
        self.ask_next(now, it, error);
    }

    /// This machine has no descriptor or port for a try, which says nothing
    /// about the server: it is made again a while later.
    pub fn exhausted(&mut self, now: Time, id: TryId) {
        let Some(it) = self.close(id) else { return };
        self.waiting.push_front(it.question);
        self.put_off = Some(now + PUT_OFF);
    }

    fn can_send(&self) -> bool {
        self.tries.len() < IN_FLIGHT && self.put_off.is_none()
    }

    /// Numbers that are never used again, for names and for tries.
    fn new_id(&mut self) -> u64 {
        self.next_id = self.next_id.wrapping_add(1);
        self.next_id
    }

    /// Begins a round.
    fn begin(&mut self, now: Time, id: u64) {
        let Some(entry) = self.entries.get_mut(&id) else { return };
        entry.due = None;
        if let Some(addresses) = self.hosts.find(entry.name()) {
            entry.settle(now, addresses);
            self.events.extend(entry.report());
            return self.rest(now, id, CAP);
        }
        let candidates = entry.name().candidates(self.conf.ndots, &self.conf.search);
        if let Some(name) = entry.begin(candidates, !self.conf.no_aaaa) {
            self.ask(now, id, &name);
        }
    }

    /// Asks for one candidate.
    fn ask(&mut self, now: Time, id: u64, name: &Name) {
        let Some(entry) = self.entries.get(&id) else { return };
        let records = entry.records();
        let order = self.order(now);
        self.waiting.extend(records.iter().map(|record| Question {
            entry: id,
            record: *record,
            name: name.clone(),
            order: order.clone(),
            failed: 0,
            edns: true,
            over_tcp: self.conf.use_tcp,
        }));
    }

    /// The servers in the order of the file, turned on with each question if it
    /// says so; those that did not answer lately come last.
    fn order(&mut self, now: Time) -> Vec<usize> {
        let mut order: Vec<usize> = (0..self.conf.servers.len()).collect();
        if self.conf.rotate {
            let first = self.rotation.checked_rem(order.len()).unwrap_or_default();
            order.rotate_left(first);
            self.rotation = self.rotation.wrapping_add(1);
        }
        order.sort_by_key(|place| self.suspected.get(*place).is_some_and(|until| *until > now));
        order
    }

    fn close(&mut self, id: TryId) -> Option<Try> {
        let it = self.tries.remove(&id)?;
        self.timers.remove(&(it.deadline, Timer::Try(id)));
        self.closed.push_back(id);
        Some(it)
    }

    /// Puts a question to the next server, or to the first one again, until
    /// each was asked as often as the file says.
    fn ask_next(&mut self, now: Time, it: Try, error: &str) {
        let Try { mut question, server, .. } = it;
        question.failed = question.failed.saturating_add(1);
        if question.failed >= self.conf.attempts.saturating_mul(question.order.len()) {
            let server = self.conf.servers.get(server).map_or(String::new(), Server::to_string);
            let outcome = Outcome::Failed(format!("{server}: {error}"));
            return self.conclude(now, question.entry, question.record, outcome);
        }
        if let Some(entry) = self.entries.get_mut(&question.entry)
            && entry.use_early(now)
        {
            self.events.extend(entry.report());
        }
        (question.edns, question.over_tcp) = (true, self.conf.use_tcp);
        self.waiting.push_back(question);
    }

    fn answered(&mut self, now: Time, id: TryId, reply: Reply) {
        let Some(it) = self.close(id) else { return };
        if let Some(until) = self.suspected.get_mut(it.server) {
            *until = Time::ZERO;
        }
        let outcome = match reply {
            Reply::Addresses { addresses, ttl } => Outcome::Addresses(addresses, ttl),
            Reply::NoSuchName(ttl) => Outcome::Nothing { exists: false, ttl },
            Reply::NoAddress(ttl) => Outcome::Nothing { exists: true, ttl },
            Reply::Truncated if it.question.over_tcp => {
                return self.ask_next(now, it, "half an answer, and over TCP");
            }
            Reply::Truncated => {
                let question = Question { over_tcp: true, ..it.question };
                return self.waiting.push_front(question);
            }
            // RFC 6891 §7: a server that does not know EDNS says so.
            Reply::NotUnderstood if it.question.edns => {
                let question = Question { edns: false, ..it.question };
                return self.waiting.push_front(question);
            }
            Reply::NotUnderstood => {
                return self.ask_next(now, it, "the question was not understood");
            }
            Reply::Failed(error) => return self.ask_next(now, it, &error),
        };
        self.conclude(now, it.question.entry, it.question.record, outcome);
    }

    /// Takes what came of a question, and goes on with the round.
    fn conclude(&mut self, now: Time, id: u64, record: Record, outcome: Outcome) {
        let Some(entry) = self.entries.get_mut(&id) else { return };
        match entry.take(record, outcome) {
            Step::Wait => {}
            Step::Ask(name) => self.ask(now, id, &name),
            Step::Done => {
                let rest = entry.finish(now);
                self.events.extend(entry.report());
                self.rest(now, id, rest);
            }
        }
    }

    /// Arranges for the next round.
    fn rest(&mut self, now: Time, id: u64, rest: Duration) {
        let nanos = u64::try_from(rest.as_nanos()).unwrap_or(u64::MAX);
        let early = Duration::from_nanos(self.random.below(nanos / JITTER_PARTS));
        let due = now + rest.saturating_sub(early);
        let Some(entry) = self.entries.get_mut(&id) else { return };
        entry.due = Some(due);
        self.timers.insert((due, Timer::Round(id)));
    }
}

/// There is always a server, so that each question comes to an end.
fn with_servers(mut conf: ResolvConf) -> ResolvConf {
    if conf.servers.is_empty() {
        conf.servers = ResolvConf::default().servers;
    }
    conf
}

/// A message as it goes over TCP.
fn with_length(message: &[u8]) -> Vec<u8> {
    let length = u16::try_from(message.len()).unwrap_or_default();
    [&length.to_be_bytes(), message].concat()
}

impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.zone {
            Some(zone) => write!(f, "{}%{zone}", self.address.ip()),
            None => write!(f, "{}", self.address.ip()),
        }
    }
}
