//! One client's connection: from its arrival over the dial of a target to the
//! end of both streams.

use std::io::{self, ErrorKind, Read, Write};
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use log::debug;
use mio::net::TcpStream;

use super::access_log::{Ending as Why, TcpRecord};
use super::client_hello::ClientHello;
use super::limits::Permit;
use super::opening::{Expected, Heard, Opening, Refusal};
use super::proxy_header::{Endpoints, Extras, Version, encode_v1, encode_v2};
use super::pump::{Budget, Pumped, Side, Tools, discard, give_back, pump};
use super::relay::{Limits, Relay, Silence};
use super::targets::{Client, Picked};
use crate::reactor::buffer::Pool;
use crate::reactor::fault;
use crate::reactor::log_sink::quoted;
use crate::reactor::pipe::Pipes;
use crate::reactor::socket;
use crate::reactor::timer_wheel::{Alarm, TimerWheel};
use crate::reactor::{Readiness, Time, Token};

/// Most targets that are dialled for one client.
const DIALS: usize = 16;

/// What a connection may spend in one turn before others have theirs: half a
/// millisecond of copying, or of system calls.
const CONNECTION_BUDGET: Budget = Budget { steps: 16, bytes: 1024 * 1024 };

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
    DialFailed(Picked, String),
    /// To be closed.
    Close(Ending),
}

/// How a connection ends: why, and what its two sides are to think of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ending {
    pub(super) why: Why,
    pub(super) manner: Manner,
}

/// What the two sides are to think of an end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Manner {
    /// Their streams are over.
    InOrder,
    /// They were cut off: this must not be taken for the end of a stream.
    Reset,
    /// It was never connected.
    Unserved,
}

impl Ending {
    pub(super) const fn reset(why: Why) -> Ending {
        Ending { why, manner: Manner::Reset }
    }

    pub(super) const fn unserved(why: Why) -> Ending {
        Ending { why, manner: Manner::Unserved }
    }

    /// A limit of silence was reached; with bytes undelivered it is a reset.
    fn silent(silence: Silence, lossy: bool) -> Ending {
        let why = match silence {
            Silence::Idle => Why::IdleTimeout,
            Silence::Read => Why::ReadTimeout,
            Silence::Write => Why::WriteTimeout,
            Silence::HalfClosed => Why::HalfClosedTimeout,
        };
        Ending { why, manner: if lossy { Manner::Reset } else { Manner::InOrder } }
    }
}

#[derive(Debug)]
enum Stage {
    /// The client says first what it has to say.
    Opening(Box<Opening>),
    /// It has no target yet.
    Arrived,
    /// A target was called.
    Dialing { since: Time, deadline: Time },
    /// Bytes pass.
    Relaying,
}

/// What is known of a client by what it said first.
#[derive(Debug, Default)]
struct Story {
    /// Who sent the PROXY header, and what the client connected to there.
    proxy: Option<(SocketAddr, SocketAddr)>,
    hello: Option<ClientHello>,
}

/// A client's connection and the one to its target.
#[derive(Debug)]
pub(super) struct Connection {
    client: Side,
    target: Option<(Side, Picked)>,
    stage: Stage,
    relay: Relay,
    limits: Limits,
    /// The client's address, and that of the listener it came to.
    peer: SocketAddr,
    local: SocketAddr,
    story: Option<Box<Story>>,
    /// What it counts as, and whether its source is counted.
    permit: Option<Permit>,
    counted: bool,
    /// Targets that failed; empty on the way that is usual.
    tried: Vec<SocketAddr>,
    retries: u8,
    accepted: Time,
    /// How long the target took to accept.
    dial_time: Option<Duration>,
    /// When it is cut, because its target has left the routes.
    leave: Option<Time>,
    alarm: Alarm,
    /// A sink was reset by its peer, and by which.
    reset: Option<Why>,
    /// In the list of those that can make progress.
    pub(super) queued: bool,
    /// Its handling panics; for the test of the boundary around it.
    pub(super) sabotaged: bool,
}

/// An idle connection is this and two sockets.
const _: () = assert!(size_of::<Connection>() <= 600);

/// A client that has just been accepted.
#[derive(Debug)]
pub(super) struct Arrival {
    pub(super) stream: TcpStream,
    /// The other end of its socket.
    pub(super) peer: SocketAddr,
    /// Where it came to.
    pub(super) local: SocketAddr,
    pub(super) limits: Limits,
}

impl Connection {
    /// A connection of which nothing is waited for before its dial.
    pub(super) fn new(now: Time, arrival: Arrival, permit: Permit) -> Connection {
        let Arrival { stream, peer, local, limits } = arrival;
        Connection {
            client: Side::client(stream),
            target: None,
            stage: Stage::Arrived,
            relay: Relay::new(now),
            limits,
            peer,
            local,
            story: None,
            permit: Some(permit),
            counted: false,
            tried: Vec::new(),
            retries: 0,
            accepted: now,
            dial_time: None,
            leave: None,
            alarm: Alarm::new(),
            reset: None,
            queued: false,
            sabotaged: false,
        }
    }

    /// Waits for what the listener expects of a client first.
    ///
    /// # Errors
    /// It may not come at all.
    pub(super) fn expect(&mut self, now: Time, expected: &Rc<Expected>) -> Result<(), Refusal> {
        if let Some(opening) = expected.begin(now, self.peer.ip())? {
            self.stage = Stage::Opening(Box::new(opening));
        }
        Ok(())
    }

    /// The client's socket, to be registered.
    pub(super) fn client_stream(&mut self) -> &mut TcpStream {
        &mut self.client.stream
    }

    /// The client's address.
    pub(super) fn peer(&self) -> SocketAddr {
        self.peer
    }

    /// The address that the client came to.
    pub(super) fn local(&self) -> SocketAddr {
        self.local
    }

    /// Who asks for a target.
    pub(super) fn asker(&self) -> Client<'_> {
        let hello = self.story.as_ref().and_then(|story| story.hello.as_ref());
        Client { local: self.local, source: self.peer, hello }
    }

    /// Its permit, the first time that it is asked for while its source is
    /// known.
    pub(super) fn uncounted(&mut self) -> Option<&mut Permit> {
        if matches!(&self.stage, Stage::Opening(opening) if opening.awaits_header()) {
            return None;
        }
        match std::mem::replace(&mut self.counted, true) {
            true => None,
            false => self.permit.as_mut(),
        }
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

    /// A connection to `target` is under way.
    pub(super) fn dialing(
        &mut self,
        now: Time,
        stream: TcpStream,
        target: Picked,
        limit: Duration,
    ) {
        let side = Side::target(stream, target.header.is_some());
        self.target = Some((side, target));
        // What was said about another one's end is not said about this one.
        self.leave = None;
        self.stage = Stage::Dialing { since: now, deadline: now + limit };
    }

    /// The target at `address` is not to be dialled again.
    pub(super) fn dial_failed(&mut self, address: SocketAddr) {
        self.target = None;
        self.stage = Stage::Arrived;
        self.tried.push(address);
    }

    /// When it is cut, because its target has left the routes; `None`: it is
    /// one of them. The earliest that was said about that holds. Says whether
    /// that is news.
    pub(super) fn leave_by(&mut self, deadline: Option<Time>) -> bool {
        let leave = deadline.map(|deadline| self.leave.map_or(deadline, |it| it.min(deadline)));
        std::mem::replace(&mut self.leave, leave) != leave
    }

    /// Arms the timer for the next deadline.
    pub(super) fn arm(&mut self, wheel: &mut TimerWheel, token: Token) {
        let deadline = match &self.stage {
            Stage::Arrived => None,
            Stage::Opening(opening) => Some(opening.deadline()),
            Stage::Dialing { deadline, .. } => Some(*deadline),
            Stage::Relaying => {
                let silent = self.relay.watch.deadline(&self.limits).map(|(time, _)| time);
                silent.into_iter().chain(self.leave).min()
            }
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
            Stage::Relaying => self.relay(tools),
            Stage::Dialing { since, deadline } => self.dial(tools.now, since, deadline),
            Stage::Arrived => Verdict::Dial,
            Stage::Opening(_) => self.open(tools),
        }
    }

    /// Looks at what the client has said so far. It stays in the receive queue,
    /// but for a PROXY header, so that nothing has to be kept here meanwhile,
    /// and what follows at once is passed on as well.
    fn open(&mut self, tools: &mut Tools<'_>) -> Verdict {
        let Stage::Opening(mut opening) = std::mem::replace(&mut self.stage, Stage::Arrived) else {
            return Verdict::Dial;
        };
        let reset = Verdict::Close(Ending::reset(Why::ClientReset));
        if self.client.ready.intersects(Readiness::ERROR | Readiness::WRITE_CLOSED) {
            return reset;
        }
        let ended = self.client.ready.contains(Readiness::READ_CLOSED);
        let spoke = ended || self.client.ready.contains(Readiness::READABLE);
        let found = match spoke || tools.now >= opening.deadline() {
            true => self.client.stream.peek(tools.scratch),
            false => Ok(0),
        };
        let mut count = match found {
            Ok(count) => count,
            Err(error) if error.kind() == ErrorKind::WouldBlock => 0,
            Err(error) if error.kind() == ErrorKind::Interrupted => {
                self.stage = Stage::Opening(opening);
                return Verdict::Again;
            }
            Err(_) => return reset,
        };
        tools.budget.spend(1, count);
        let mut from = 0;
        loop {
            let octets = tools.scratch.get(from..count).unwrap_or_default();
            match opening.hear(tools.now, octets, ended) {
                Heard::NeedMore => {
                    self.client.ready.remove(Readiness::READABLE);
                    self.stage = Stage::Opening(opening);
                    return Verdict::Wait;
                }
                Heard::Header { length, endpoints } => {
                    count = count.max(length);
                    from = length;
                    if discard(&self.client, tools.scratch, length).is_err() {
                        return reset;
                    }
                    self.believe(endpoints);
                }
                Heard::Done(hello) => {
                    if count > from {
                        self.client.ready |= Readiness::READABLE;
                    }
                    if hello.is_some() {
                        self.story.get_or_insert_default().hello = hello;
                    }
                    return Verdict::Dial;
                }
                Heard::Refused(refusal) => return self.refuse(refusal),
            }
        }
    }

    /// Takes the addresses of a PROXY header for its own.
    fn believe(&mut self, endpoints: Option<Endpoints>) {
        if let Some(Endpoints { source, destination }) = endpoints {
            let proxy = std::mem::replace(&mut self.peer, source);
            self.story.get_or_insert_default().proxy = Some((proxy, destination));
        }
    }

    fn refuse(&self, refusal: Refusal) -> Verdict {
        debug!(
            "proxy event=refused client={} listener={} reason={}",
            self.peer,
            self.local,
            quoted(refusal)
        );
        Verdict::Close(Ending::unserved(refusal.ending()))
    }

    fn dial(&mut self, now: Time, since: Time, deadline: Time) -> Verdict {
        let gone = Readiness::ERROR | Readiness::WRITE_CLOSED;
        if self.client.ready.intersects(gone) {
            return Verdict::Close(Ending::reset(Why::ClientReset));
        }
        let Some((side, picked)) = &self.target else { return Verdict::Dial };
        if side.ready.intersects(gone) {
            let error = socket::take_error(&side.stream).ok().flatten();
            let text = error.map_or_else(|| "closed at once".to_owned(), |e| e.to_string());
            return Verdict::DialFailed(picked.clone(), text);
        }
        if side.ready.contains(Readiness::WRITABLE) {
            if socket::met_itself(&side.stream, picked.address) {
                return self.fail("nobody listens there".to_owned());
            }
            if let Err(error) = self.introduce() {
                let text = format!("cannot send the PROXY header: {error}");
                return self.fail(text);
            }
            return self.connected(now, since);
        }
        if now >= deadline {
            return Verdict::DialFailed(picked.clone(), "no answer in time".to_owned());
        }
        Verdict::Wait
    }

    fn fail(&self, text: String) -> Verdict {
        match &self.target {
            Some((_, picked)) => Verdict::DialFailed(picked.clone(), text),
            None => Verdict::Dial,
        }
    }

    fn connected(&mut self, now: Time, since: Time) -> Verdict {
        let Some((_, picked)) = &self.target else { return Verdict::Dial };
        self.stage = Stage::Relaying;
        self.retries = u8::try_from(self.tried.len()).unwrap_or(u8::MAX);
        self.tried = Vec::new();
        self.dial_time = Some(now.since(since));
        self.relay = Relay::new(now);
        if let Some(hello) = self.story.as_mut().and_then(|story| story.hello.as_mut()) {
            // A target is not asked for again; only the name is told later.
            let server_name = hello.server_name.take();
            *hello = ClientHello { server_name, ..ClientHello::default() };
        }
        Verdict::Connected(picked.address)
    }

    /// Tells the target about the client, where it wants that (PROXY §2): in
    /// one segment, and before anything else.
    fn introduce(&mut self) -> io::Result<()> {
        let Some((side, picked)) = &mut self.target else { return Ok(()) };
        let Some(version) = picked.header else { return Ok(()) };
        let story = self.story.as_ref();
        let destination = match story.and_then(|story| story.proxy) {
            Some((_, destination)) => destination,
            None => self.client.stream.local_addr()?,
        };
        let endpoints = Endpoints { source: self.peer, destination };
        let name = story.and_then(|story| story.hello.as_ref()?.server_name.as_deref());
        let mut header = Vec::new();
        match version {
            Version::V1 => encode_v1(&mut header, Some(&endpoints)),
            Version::V2 => {
                let extras = Extras { authority: name, ..Extras::default() };
                encode_v2(&mut header, Some(&endpoints), &extras);
            }
        }
        // The send queue of a new connection takes more than the longest header.
        match side.stream.write(&header)? {
            written if written == header.len() => Ok(()),
            _ => Err(ErrorKind::WriteZero.into()),
        }
    }

    fn relay(&mut self, tools: &mut Tools<'_>) -> Verdict {
        let Some((target, _)) = &mut self.target else { return Verdict::Dial };
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

        match (up, down) {
            (Pumped::Lost, _) => return Verdict::Close(Ending::reset(Why::ClientReset)),
            (_, Pumped::Lost) => return Verdict::Close(Ending::reset(Why::TargetReset)),
            (Pumped::SinkReset, _) => self.reset = Some(Why::TargetReset),
            (_, Pumped::SinkReset) => self.reset = Some(Why::ClientReset),
            _ => {}
        }
        if relay.is_done() {
            let in_order = Ending { why: Why::Finished, manner: Manner::InOrder };
            return Verdict::Close(self.reset.map_or(in_order, Ending::reset));
        }
        if up == Pumped::Unfinished || down == Pumped::Unfinished {
            return Verdict::Again;
        }
        // Whoever waits for the target would not read what the client's kernel
        // has said.
        if relay.up.is_open() && client.is_cut() || relay.up.is_done() && client.is_broken() {
            return Verdict::Close(Ending::reset(Why::ClientReset));
        }
        // Nobody reads on after the end of a stream, so only the event tells of
        // a reset that comes behind it.
        if relay.down.is_done() && target.is_broken() {
            return Verdict::Close(Ending::reset(Why::TargetReset));
        }
        if self.leave.is_some_and(|deadline| deadline <= tools.now) {
            return Verdict::Close(Ending::reset(Why::TargetRemoved));
        }
        match relay.watch.deadline(&self.limits) {
            Some((deadline, silence)) if deadline <= tools.now => {
                let lossy = relay.would_lose(client.ready, target.ready);
                Verdict::Close(Ending::silent(silence, lossy))
            }
            _ => Verdict::Wait,
        }
    }

    /// Closes both sockets and gives back what was borrowed. Returns what it
    /// counted as.
    pub(super) fn close(
        mut self,
        manner: Manner,
        small: &mut Pool,
        large: &mut Pool,
        pipes: &mut Pipes,
        wheel: &mut TimerWheel,
    ) -> Option<Permit> {
        self.alarm.clear(wheel);
        for direction in [&mut self.relay.up, &mut self.relay.down] {
            give_back(direction, small, large, pipes);
        }
        if manner == Manner::Reset {
            // Fails only on a socket that is gone already.
            let _ = socket::reset_on_close(&self.client.stream);
            if let Some((side, _)) = &self.target {
                let _ = socket::reset_on_close(&side.stream);
            }
        }
        self.permit
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

    /// The target, if one was chosen.
    pub(super) fn target(&self) -> Option<&Picked> {
        self.target.as_ref().map(|(_, picked)| picked)
    }

    /// The whole connection, as it is over now. `wall` is the time since the
    /// Unix epoch.
    pub(super) fn record(&self, now: Time, wall: Duration, ending: Why) -> TcpRecord<'_> {
        let duration = now.since(self.accepted);
        let accepted = self.target().filter(|_| self.dial_time.is_some());
        let story = self.story.as_deref();
        let proxy = story.and_then(|story| story.proxy);
        let local = match proxy {
            Some((_, destination)) => destination,
            None if self.local.ip().is_unspecified() => {
                self.client.stream.local_addr().unwrap_or(self.local)
            }
            None => self.local,
        };
        TcpRecord {
            client: self.peer,
            local: SocketAddr::new(local.ip().to_canonical(), local.port()),
            proxy: proxy.map(|(address, _)| address),
            listener: self.local,
            service: self.target().map(|picked| &*picked.service),
            target: accepted.map(|picked| picked.address),
            server_name: story.and_then(|story| story.hello.as_ref()?.server_name.as_deref()),
            bytes_received: self.relay.up.bytes,
            bytes_sent: self.relay.down.bytes,
            start: wall.saturating_sub(duration),
            duration,
            dial_time: self.dial_time,
            retries: match self.stage {
                Stage::Relaying => self.retries.into(),
                _ => u32::try_from(self.tried.len()).unwrap_or(u32::MAX),
            },
            ending,
        }
    }
}
