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

    /// Whether a try is still under way.
    pub fn is_open(&self, id: TryId) -> bool {
        self.tries.contains_key(&id)
    }

    /// Whether [`Machine::poll_transmit`] has something to send.
    pub fn is_about_to_ask(&self) -> bool {
        self.can_send() && !self.waiting.is_empty()
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
        self.is_about_to_ask() || !self.closed.is_empty() || !self.events.is_empty()
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

#[cfg(test)]
mod tests {
    use super::super::testing::{self, Answer, Asked};
    use super::*;
    use std::net::IpAddr;

    const V4: [&str; 2] = ["192.0.2.1", "192.0.2.2"];
    const V6: [&str; 1] = ["2001:db8::1"];
    const BOTH: [&str; 3] = ["192.0.2.1", "192.0.2.2", "2001:db8::1"];

    /// One server unless a file says otherwise; the clock stands until it is
    /// moved.
    struct Lab {
        machine: Machine,
        now: Time,
        number: u16,
    }

    /// What was sent, as the server reads it.
    struct Sent {
        transmit: Transmit,
        asked: Asked,
    }

    impl Sent {
        fn server(&self) -> String {
            self.transmit.server.address.to_string()
        }
    }

    fn name(text: &str) -> Name {
        Name::parse(text).unwrap()
    }

    fn lab(conf: &str, hosts: &str) -> Lab {
        let conf = ResolvConf::parse(conf);
        let machine = Machine::new(conf, Hosts::parse(hosts), 1);
        Lab { machine, now: Time::from_millis(1_000_000), number: 0 }
    }

    fn resolved(text: &str, addresses: &[&str]) -> Event {
        let addresses = addresses.iter().map(|text| text.parse().unwrap()).collect();
        Event::Resolved { name: name(text), addresses }
    }

    fn failed(text: &str, error: &str, stale: bool) -> Event {
        Event::Failed { name: name(text), error: error.to_owned(), stale }
    }

    impl Lab {
        fn want(&mut self, text: &str) {
            self.machine.want(self.now, &name(text)).unwrap();
        }

        /// What goes out now.
        fn sent(&mut self) -> Vec<Sent> {
            let mut sent = Vec::new();
            self.number = self.number.wrapping_add(0x1357);
            while let Some(transmit) = self.machine.poll_transmit(self.now, self.number) {
                let skipped = if transmit.over_tcp { 2 } else { 0 };
                let asked = Asked::read(&transmit.octets[skipped..]);
                assert_eq!(asked.id, self.number);
                sent.push(Sent { transmit, asked });
                self.number = self.number.wrapping_add(0x1357);
            }
            sent
        }

        fn answer(&mut self, sent: &Sent, answer: &Answer) {
            let (id, from) = (sent.transmit.id, sent.transmit.server.address);
            match sent.transmit.over_tcp {
                true => self.machine.receive_stream(self.now, id, from, &answer.stream()),
                false => self.machine.receive(self.now, id, from, &answer.octets()),
            }
        }

        /// A server that answers everything at once; returns what it was asked.
        fn serve(&mut self, server: impl Fn(&Asked) -> Answer) -> Vec<Asked> {
            let mut asked = Vec::new();
            loop {
                let sent = self.sent();
                if sent.is_empty() {
                    return asked;
                }
                for sent in sent {
                    self.answer(&sent, &server(&sent.asked));
                    asked.push(sent.asked);
                }
            }
        }

        /// Moves the clock, with a stop at each deadline on the way where
        /// nobody answers.
        fn pass(&mut self, seconds: f64) -> Vec<Sent> {
            let end = self.now + Duration::from_secs_f64(seconds);
            let mut sent = Vec::new();
            while let Some(at) = self.machine.deadline().filter(|at| *at <= end) {
                self.now = at.max(self.now);
                self.machine.timeout(self.now);
                sent.extend(self.sent());
            }
            self.now = end;
            sent
        }

        /// Moves the clock while somebody answers.
        fn pass_served(&mut self, seconds: f64, server: fn(&Asked) -> Answer) {
            let end = self.now + Duration::from_secs_f64(seconds);
            while let Some(at) = self.machine.deadline().filter(|at| *at <= end) {
                self.now = at;
                self.machine.timeout(at);
                self.serve(server);
            }
            self.now = end;
        }

        fn events(&mut self) -> Vec<Event> {
            std::iter::from_fn(|| self.machine.poll_event()).collect()
        }

        fn status(&self, text: &str) -> Status {
            self.machine.status(&name(text)).unwrap()
        }

        /// Nothing is left over: no try, no socket, no timer but the rounds'.
        fn settled(&mut self) {
            while self.machine.poll_closed().is_some() {}
            assert_eq!((self.machine.in_flight(), self.machine.waiting.len()), (0, 0));
            assert_eq!(self.machine.timers.len(), self.machine.entries.len());
            assert!(!self.machine.has_ready());
        }
    }

    fn both(asked: &Asked) -> Answer {
        asked.addresses(&BOTH, 100)
    }

    #[test]
    fn a_name_is_looked_up_at_once_and_again_before_its_time_is_over() {
        let mut lab = lab("", "");
        lab.want("web.test");
        lab.want("web.test");
        let asked = lab.serve(both);
        let kinds: Vec<u16> = asked.iter().map(|asked| asked.kind).collect();
        assert_eq!(kinds, [testing::A, testing::AAAA]);
        assert!(asked.iter().all(|asked| asked.name == "web.test" && asked.edns == Some(1232)));
        assert_eq!(lab.events(), [resolved("web.test", &BOTH)]);
        let status = lab.status("web.test");
        assert_eq!((status.answered, status.problem), (Some(lab.now), None));
        let rest = status.next.unwrap().since(lab.now);
        assert!((90..=100).contains(&rest.as_secs()), "{rest:?}");
        lab.settled();
        assert!(lab.pass(89.9).is_empty());
        lab.now = lab.machine.deadline().unwrap();
        lab.machine.timeout(lab.now);
        assert_eq!(lab.serve(both).len(), 2);
        assert_eq!(lab.events(), [], "nothing has changed");
        lab.now = lab.machine.deadline().unwrap();
        lab.machine.timeout(lab.now);
        lab.serve(|asked| asked.addresses(&V4, 100));
        assert_eq!(lab.events(), [resolved("web.test", &V4)]);
    }

    #[test]
    fn one_family_is_enough() {
        for (addresses, kind) in [(&V4[..], testing::A), (&V6[..], testing::AAAA)] {
            let mut lab = lab("", "");
            lab.want("web.test");
            lab.serve(|asked| match asked.kind == kind {
                true => asked.addresses(addresses, 100),
                false => asked.nothing(0, 5),
            });
            assert_eq!(lab.events(), [resolved("web.test", addresses)]);
            let rest = lab.status("web.test").next.unwrap().since(lab.now);
            assert!(rest.as_secs() >= 90, "what is not there need not be asked for often");
        }
        let mut lab = lab("options no-aaaa", "");
        lab.want("web.test");
        assert_eq!(lab.serve(both).len(), 1);
        assert_eq!(lab.events(), [resolved("web.test", &V4)]);
    }

    #[test]
    fn times_have_a_floor_and_a_cap() {
        for (ttl, least, most) in [(0, 900, 1000), (u32::MAX, 270_000, 300_000)] {
            let mut lab = lab("", "");
            lab.want("web.test");
            lab.serve(|asked| asked.addresses(&BOTH, ttl));
            let rest = lab.status("web.test").next.unwrap().since(lab.now).as_millis();
            assert!((least..=most).contains(&rest), "{rest}");
        }
    }

    #[test]
    fn names_that_were_added_together_drift_apart() {
        let mut lab = lab("", "");
        (0..1000).for_each(|n| lab.want(&format!("n{n}.test")));
        lab.serve(both);
        assert_eq!(lab.events().len(), 1000);
        let mut due: Vec<u64> = lab.machine.timers.iter().map(|(at, _)| at.as_millis()).collect();
        due.dedup();
        assert!(due.len() > 900, "{}", due.len());
        let tenth = due.iter().filter(|at| **at < lab.now.as_millis() + 91_000).count();
        assert!((50..200).contains(&tenth), "{tenth} in the first tenth of the time");
    }

    #[test]
    fn a_bounded_number_of_questions_is_under_way() {
        let mut lab = lab("", "");
        (0..100).for_each(|n| lab.want(&format!("n{n}.test")));
        let sent = lab.sent();
        assert_eq!((sent.len(), lab.machine.in_flight()), (IN_FLIGHT, IN_FLIGHT));
        assert!(!lab.machine.has_ready(), "the others wait without spinning");
        for sent in &sent[..10] {
            lab.answer(sent, &both(&sent.asked));
        }
        assert!(lab.machine.has_ready());
        let more = lab.sent();
        assert_eq!(more.len(), 10);
        for sent in sent[10..].iter().chain(&more) {
            lab.answer(sent, &both(&sent.asked));
        }
        lab.serve(both);
        assert_eq!(lab.events().len(), 100);
    }

    #[test]
    fn a_question_that_is_lost_is_asked_again_with_another_number() {
        let mut lab = lab("options timeout:2", "");
        lab.want("web.test");
        let first = lab.sent();
        assert!(lab.pass(1.9).is_empty());
        let second = lab.pass(0.1);
        assert_eq!(second.len(), 2);
        assert_ne!(first[0].asked.id, second[0].asked.id);
        // The first answer comes late, to a socket that is closed.
        let closed: Vec<TryId> = std::iter::from_fn(|| lab.machine.poll_closed()).collect();
        assert_eq!(closed, [first[0].transmit.id, first[1].transmit.id]);
        lab.answer(&first[0], &first[0].asked.addresses(&["192.0.2.9"], 60));
        assert_eq!(lab.machine.in_flight(), 2);
        for sent in &second {
            lab.answer(sent, &both(&sent.asked));
        }
        assert_eq!(lab.events(), [resolved("web.test", &BOTH)]);
        lab.settled();
    }

    #[test]
    fn what_does_not_answer_the_question_is_not_taken() {
        let mut lab = lab("nameserver 192.0.2.53\noptions no-aaaa", "");
        lab.want("web.test");
        let sent = &lab.sent()[0];
        let forged = sent.asked.addresses(&["203.0.113.1"], 60);
        for wrong in [
            Answer { id: forged.id ^ 1, ..forged.clone() },
            Answer { question: Some(("web.tesu".to_owned(), testing::A)), ..forged.clone() },
            Answer { question: Some(("web.test".to_owned(), testing::AAAA)), ..forged.clone() },
        ] {
            lab.answer(sent, &wrong);
        }
        for from in ["192.0.2.54:53", "192.0.2.53:54"] {
            let from = from.parse().unwrap();
            lab.machine.receive(lab.now, sent.transmit.id, from, &forged.octets());
        }
        lab.machine.receive(lab.now, sent.transmit.id, sent.transmit.server.address, b"noise");
        assert_eq!((lab.machine.in_flight(), lab.events()), (1, vec![]));
        lab.answer(sent, &sent.asked.addresses(&V4, 60));
        assert_eq!(lab.events(), [resolved("web.test", &V4)]);
    }

    #[test]
    fn many_wrong_answers_make_the_question_move_to_tcp() {
        let mut lab = lab("options no-aaaa", "");
        lab.want("web.test");
        let sent = &lab.sent()[0];
        for id in 1..=8 {
            assert!(lab.sent().is_empty());
            let forged = sent.asked.addresses(&["203.0.113.1"], 60);
            lab.answer(sent, &Answer { id: sent.asked.id.wrapping_add(id), ..forged });
        }
        let again = &lab.sent()[0];
        assert!(again.transmit.over_tcp);
        lab.answer(again, &again.asked.addresses(&V4, 60));
        assert_eq!(lab.events(), [resolved("web.test", &V4)]);
        lab.settled();
    }

    #[test]
    fn half_an_answer_is_fetched_over_tcp_in_pieces_of_any_size() {
        for size in [1, 2, 3, 7, 1000] {
            let mut lab = lab("options no-aaaa", "");
            lab.want("web.test");
            let sent = &lab.sent()[0];
            lab.answer(sent, &sent.asked.answer().truncated());
            let again = &lab.sent()[0];
            let length = again.transmit.octets.len() - 2;
            assert_eq!(again.transmit.octets[..2], (length as u16).to_be_bytes());
            let many: Vec<String> = (1..=60).map(|n| format!("192.0.2.{n}")).collect();
            let many: Vec<&str> = many.iter().map(String::as_str).collect();
            let stream = again.asked.addresses(&many, 60).stream();
            let (id, from) = (again.transmit.id, again.transmit.server.address);
            for piece in stream.chunks(size) {
                assert_eq!(lab.events(), [], "not before the last octet");
                lab.machine.receive_stream(lab.now, id, from, piece);
            }
            let Event::Resolved { addresses, .. } = &lab.events()[0] else { panic!() };
            assert_eq!(addresses.len(), 60);
            lab.settled();
        }
    }

    #[test]
    fn tcp_has_its_own_ways_to_fail() {
        let mut lab = lab("nameserver 192.0.2.53\noptions no-aaaa use-vc attempts:3", "");
        lab.want("web.test");
        let sent = &lab.sent()[0];
        assert!(sent.transmit.over_tcp);
        lab.answer(sent, &sent.asked.answer().truncated());
        let sent = &lab.sent()[0];
        lab.answer(sent, &Answer { id: 1, ..sent.asked.answer() });
        let sent = &lab.sent()[0];
        lab.machine.failed(lab.now, sent.transmit.id, "the connection was closed");
        let error = "192.0.2.53: the connection was closed";
        assert_eq!(lab.events(), [failed("web.test", error, false)]);
        lab.settled();
    }

    #[test]
    fn a_server_without_edns_is_asked_without_it() {
        let mut lab = lab("", "");
        lab.want("web.test");
        let asked = lab.serve(|asked| match asked.edns {
            Some(_) => asked.answer().rcode(1),
            None => both(asked),
        });
        assert_eq!(asked.iter().filter(|asked| asked.edns.is_none()).count(), 2);
        assert_eq!((asked.len(), lab.events()), (4, vec![resolved("web.test", &BOTH)]));
    }

    #[test]
    fn the_next_server_is_asked_and_the_silent_one_comes_last_for_a_while() {
        let mut lab = lab("nameserver 192.0.2.53\nnameserver 192.0.2.54\noptions no-aaaa", "");
        lab.want("web.test");
        assert_eq!(lab.sent()[0].server(), "192.0.2.53:53");
        let second = &lab.pass(5.0)[0];
        assert_eq!(second.server(), "192.0.2.54:53");
        lab.answer(second, &second.asked.addresses(&V4, 10));
        assert_eq!(lab.events(), [resolved("web.test", &V4)]);
        let again = &lab.pass(10.0)[0];
        assert_eq!(again.server(), "192.0.2.54:53", "no time is lost with the first one");
        lab.answer(again, &again.asked.addresses(&V4, 40));
        let later = &lab.pass(40.0)[0];
        assert_eq!(later.server(), "192.0.2.53:53", "it has another chance");
        lab.answer(later, &later.asked.answer().rcode(2));
        let last = &lab.sent()[0];
        assert_eq!(last.server(), "192.0.2.54:53", "a failure is not waited for");
        lab.answer(last, &last.asked.addresses(&V4, 40));
        lab.settled();
    }

    #[test]
    fn servers_take_turns_if_the_file_says_so() {
        let conf = "nameserver 192.0.2.1\nnameserver 192.0.2.2\noptions rotate no-aaaa";
        let mut lab = lab(conf, "");
        ["a.", "b.", "c."].iter().for_each(|name| lab.want(name));
        let asked: Vec<String> = lab.sent().iter().map(Sent::server).collect();
        assert_eq!(asked, ["192.0.2.1:53", "192.0.2.2:53", "192.0.2.1:53"]);
    }

    #[test]
    fn when_all_servers_are_down_the_last_answer_stays() {
        let conf = "nameserver 192.0.2.53\nnameserver 192.0.2.54\noptions timeout:1";
        let mut lab = lab(conf, "");
        lab.want("web.test");
        lab.serve(both);
        lab.events();
        let answered = lab.now;
        let began = lab.status("web.test").next.unwrap();
        lab.pass(110.0);
        let error = "192.0.2.54: no answer in time";
        assert_eq!(lab.events(), [failed("web.test", error, true)], "it is said once");
        lab.pass(3600.0);
        assert_eq!(lab.events(), []);
        let status = lab.status("web.test");
        let addresses: Vec<IpAddr> = BOTH.map(|text| text.parse().unwrap()).to_vec();
        assert_eq!((status.addresses, status.answered), (addresses, Some(answered)));
        let since = status.problem.unwrap().0.since(began).as_secs();
        assert_eq!(since, 4, "two servers, two attempts");
        // The pauses between the rounds grow, to a bound.
        let sent = lab.pass(340.0).len();
        assert!((72..=88).contains(&sent), "{sent}: eight questions in 34 seconds");
        lab.pass_served(35.0, both);
        assert_eq!(lab.events().last(), Some(&resolved("web.test", &BOTH)));
        assert_eq!(lab.status("web.test").problem, None);
    }

    #[test]
    fn a_name_that_was_never_resolved_has_no_addresses() {
        let mut lab = lab("nameserver 192.0.2.53", "");
        lab.want("web.test");
        lab.serve(|asked| asked.answer().rcode(5));
        let error = "192.0.2.53: the server says REFUSED";
        assert_eq!(lab.events(), [failed("web.test", error, false)]);
        let rest = lab.status("web.test").next.unwrap().since(lab.now).as_millis();
        assert!((900..=1000).contains(&rest), "{rest}");
    }

    #[test]
    fn a_name_may_go_away_and_come_back() {
        let mut lab = lab("", "");
        lab.want("web.test");
        lab.serve(both);
        lab.pass(100.0).iter().for_each(|sent| lab.answer(sent, &sent.asked.nothing(3, 20)));
        let gone = failed("web.test", "there is no such name", false);
        assert_eq!(lab.events(), [resolved("web.test", &BOTH), gone]);
        assert!(lab.status("web.test").addresses.is_empty());
        let rest = lab.status("web.test").next.unwrap().since(lab.now).as_secs();
        assert!((17..=20).contains(&rest), "{rest}");
        lab.pass(20.0).iter().for_each(|sent| lab.answer(sent, &both(&sent.asked)));
        assert_eq!(lab.events(), [resolved("web.test", &BOTH)]);
        lab.settled();
    }

    #[test]
    fn what_does_not_exist_is_asked_for_again_within_a_minute() {
        for (answer, least, most, text) in [
            (
                (|asked| asked.nothing(3, 3600)) as fn(&Asked) -> Answer,
                54,
                60,
                "there is no such name",
            ),
            (|asked| asked.nothing(0, 0), 0, 1, "the name has no address"),
            (|asked| asked.answer(), 4, 5, "the name has no address"),
        ] {
            let mut lab = lab("", "");
            lab.want("web.test");
            lab.serve(answer);
            assert_eq!(lab.events(), [failed("web.test", text, false)]);
            let rest = lab.status("web.test").next.unwrap().since(lab.now).as_secs();
            assert!((least..=most).contains(&rest), "{rest}");
        }
    }

    #[test]
    fn a_family_that_is_never_answered_does_not_hold_up_the_other() {
        let mut lab = lab("nameserver 192.0.2.53", "");
        lab.want("web.test");
        let sent = lab.sent();
        lab.answer(&sent[0], &sent[0].asked.addresses(&V4, 300));
        assert_eq!(lab.events(), [], "the other answer is about to come");
        assert_eq!(lab.pass(5.0).len(), 1);
        assert_eq!(lab.events(), [resolved("web.test", &V4)]);
        lab.pass(5.0);
        let status = lab.status("web.test");
        assert_eq!(status.problem.unwrap().1, "192.0.2.53: no answer in time");
        assert!(status.next.unwrap() <= lab.now + Duration::from_secs(1));
        assert_eq!(lab.events(), []);
        let sent = lab.pass(1.0);
        lab.answer(&sent[0], &sent[0].asked.addresses(&V4, 300));
        lab.answer(&sent[1], &sent[1].asked.addresses(&V6, 300));
        assert_eq!(lab.events(), [resolved("web.test", &BOTH)]);
    }

    #[test]
    fn the_search_list_is_gone_through_and_ends_at_the_first_host() {
        let mut lab = lab("search one.test two.test", "");
        lab.want("web");
        let asked = lab.serve(|asked| match asked.name.as_str() {
            "web.two.test" => both(asked),
            _ => asked.nothing(3, 30),
        });
        let names: Vec<&str> = asked.iter().map(|asked| asked.name.as_str()).collect();
        assert_eq!(names, ["web.one.test", "web.one.test", "web.two.test", "web.two.test"]);
        assert_eq!(lab.events(), [resolved("web", &BOTH)]);
        // A failure does not lead to another host of that name.
        lab.pass(100.0).iter().for_each(|sent| lab.answer(sent, &sent.asked.nothing(3, 30)));
        lab.serve(|asked| asked.answer().rcode(2));
        let error = "127.0.0.1: the server says SERVFAIL";
        assert_eq!(lab.events(), [failed("web", error, true)]);
        // What another candidate leads to is not mixed with what was known.
        lab.pass(1.0).iter().for_each(|sent| match sent.asked.kind {
            testing::A => lab.answer(sent, &sent.asked.addresses(&["192.0.2.77"], 100)),
            _ => lab.answer(sent, &sent.asked.answer().rcode(2)),
        });
        lab.serve(|asked| asked.answer().rcode(2));
        assert_eq!(lab.events(), [resolved("web", &["192.0.2.77"])]);
    }

    #[test]
    fn a_name_below_no_domain_says_so() {
        let mut lab = lab("search one.test two.test", "");
        lab.want("web");
        let asked = lab.serve(|asked| match asked.name.as_str() {
            "web.one.test" => asked.nothing(0, 30),
            _ => asked.nothing(3, 10),
        });
        assert_eq!((asked.len(), asked[5].name.as_str()), (6, "web"));
        assert_eq!(lab.events(), [failed("web", "the name has no address", false)]);
        let rest = lab.status("web").next.unwrap().since(lab.now).as_secs();
        assert!((9..=10).contains(&rest), "the least of all: {rest}");
    }

    #[test]
    fn the_file_of_hosts_is_asked_first() {
        let mut lab = lab("", "192.0.2.9 web.test\n::1 web.test");
        lab.want("web.test");
        lab.want("localhost");
        assert!(lab.sent().is_empty());
        let local = resolved("localhost", &["127.0.0.1", "::1"]);
        assert_eq!(lab.events(), [resolved("web.test", &["192.0.2.9", "::1"]), local]);
        lab.settled();
        // A name that leaves the file is asked for over DNS.
        lab.machine.configure(lab.now, ResolvConf::default(), Hosts::default());
        assert_eq!(lab.status("web.test").addresses.len(), 2, "until then it stays");
        lab.machine.timeout(lab.now);
        assert_eq!(lab.serve(both).len(), 2);
        assert_eq!(lab.events(), [resolved("web.test", &BOTH)]);
        lab.settled();
    }

    #[test]
    fn other_servers_are_asked_at_once() {
        let mut lab = lab("nameserver 192.0.2.53", "");
        lab.want("web.test");
        let old = lab.sent();
        let conf = ResolvConf::parse("nameserver 192.0.2.54");
        lab.machine.configure(lab.now, conf.clone(), Hosts::default());
        lab.answer(&old[0], &both(&old[0].asked));
        lab.machine.timeout(lab.now);
        let new = lab.sent();
        assert!(new.len() == 2 && new.iter().all(|sent| sent.server() == "192.0.2.54:53"));
        lab.machine.configure(lab.now, conf, Hosts::default());
        new.iter().for_each(|sent| lab.answer(sent, &both(&sent.asked)));
        assert_eq!(lab.events(), [resolved("web.test", &BOTH)], "the same files change nothing");
        lab.settled();
    }

    #[test]
    fn a_name_that_is_not_wanted_any_more_leaves_nothing_behind() {
        let mut lab = lab("", "");
        (0..100).for_each(|n| lab.want(&format!("n{n}.test")));
        let sent = lab.sent();
        lab.answer(&sent[0], &both(&sent[0].asked));
        lab.answer(&sent[1], &both(&sent[1].asked));
        (0..100).for_each(|n| lab.machine.unwant(&name(&format!("n{n}.test"))));
        lab.machine.unwant(&name("n0.test"));
        assert_eq!(lab.events(), []);
        for sent in &sent {
            lab.answer(sent, &both(&sent.asked));
        }
        lab.settled();
        assert_eq!((lab.machine.deadline(), lab.machine.names().count()), (None, 0));
        assert_eq!(lab.machine.status(&name("n0.test")), None);
    }

    #[test]
    fn without_descriptors_questions_are_put_off() {
        let mut lab = lab("nameserver 192.0.2.53", "");
        lab.want("web.test");
        let first = lab.machine.poll_transmit(lab.now, 1).unwrap();
        lab.machine.exhausted(lab.now, first.id);
        assert!(lab.sent().is_empty());
        while lab.machine.poll_closed().is_some() {}
        assert!(!lab.machine.has_ready(), "no spinning");
        assert_eq!(lab.machine.deadline(), Some(lab.now + PUT_OFF));
        assert!(lab.pass(0.4).is_empty());
        let sent = lab.pass(0.1);
        assert_eq!(sent.len(), 2);
        sent.iter().for_each(|sent| lab.answer(sent, &both(&sent.asked)));
        assert_eq!(lab.events(), [resolved("web.test", &BOTH)]);
    }

    #[test]
    fn there_is_a_most_of_names() {
        let mut lab = lab("", "");
        (0..MAX_NAMES).for_each(|n| lab.want(&format!("n{n}.test")));
        assert!(lab.machine.want(lab.now, &name("n0.test")).is_ok());
        let error = lab.machine.want(lab.now, &name("one.more")).unwrap_err();
        assert_eq!(error, "one.more: more than 16384 names");
    }
}
