//! The door of this room: UDP sockets on one side, sessions on the other.
//!
//! Packets come in on one socket for each family and kind of path, and only
//! where a session needs it; each session sends from a socket of its own,
//! because its source port belongs to it alone (RFC 5881 §4).

mod settings;

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use log::{debug, error, info, warn};
use mio::Interest;

use self::settings::Channel;
use super::machine::{MAXIMUM_TTL, Session, Status};
use super::packet::{Discard, Packet, State};
use crate::reactor::datagram::{DatagramOptions, Datagrams, Outgoing, Received};
use crate::reactor::random::Random;
use crate::reactor::slab::{Key, Slab};
use crate::reactor::timer_wheel::Alarm;
use crate::reactor::{Reactor, Readiness, Time, Token};

pub use self::settings::{Kinds, Ports, SessionSettings};
/// What a session reports.
pub use super::machine::Event as Notice;

/// DSCP CS6, network control (RFC 4594 §3.2), as it stands in the octet of the
/// IP header.
const TRAFFIC_CLASS: u8 = 0xc0;

/// Octets kept of a datagram: a packet has 24, and what follows is not read.
const PACKET_SIZE: usize = 64;

/// Batches taken from one listener in one turn: 256 packets, well under a
/// millisecond of work, whoever sends them.
const BATCHES: usize = 8;

/// The first source port (RFC 5881 §4), and how many there are.
const FIRST_PORT: u16 = 49152;
const PORTS: u64 = 16384;

/// Tries to find a source port that nobody has.
const PORT_TRIES: usize = 64;

/// The longest time for which a neighbour is told that its session was
/// retired: at one packet a second, as good as certain.
const LONGEST_LEAVE: Duration = Duration::from_secs(5);

/// Packets that are discarded for one reason beyond this many are counted, and
/// only every so-manieth logged.
const DISCARDS_LOGGED: u64 = 4;

#[derive(Debug)]
struct Listener {
    socket: Datagrams,
    ready: bool,
}

#[derive(Debug)]
struct Entry {
    settings: SessionSettings,
    session: Session,
    /// Where packets leave; `None` until one could be bound.
    sender: Option<(Datagrams, u16)>,
    alarm: Alarm,
    queued: bool,
    /// Whether a failure to send was logged since a packet was last sent.
    complained: bool,
    /// Retired: the neighbour is told until then.
    until: Option<Time>,
}

/// Sockets ↔ sessions: see the module's page.
#[derive(Debug)]
pub struct BfdTransport {
    kinds: Kinds,
    ports: Ports,
    random: Random,
    listeners: [Option<Listener>; Channel::ALL.len()],
    sessions: Slab<Entry>,
    by_id: BTreeMap<u32, Key>,
    by_discriminator: BTreeMap<u32, Key>,
    /// Sessions to look at: a packet came, a timer fired, a command was given.
    due: VecDeque<Key>,
    notices: VecDeque<(u32, Notice)>,
    received: Vec<Received>,
    discarded: [u64; Discard::ALL.len()],
    panics: u64,
    inject_panic: bool,
}

impl BfdTransport {
    /// No sessions and no sockets. `seed` makes ports, names and jitter.
    pub fn new(kinds: Kinds, ports: Ports, seed: u64) -> BfdTransport {
        BfdTransport {
            kinds,
            ports,
            random: Random::new(seed),
            listeners: [const { None }; Channel::ALL.len()],
            sessions: Slab::new(),
            by_id: BTreeMap::new(),
            by_discriminator: BTreeMap::new(),
            due: VecDeque::new(),
            notices: VecDeque::new(),
            received: Vec::new(),
            discarded: [0; Discard::ALL.len()],
            panics: 0,
            inject_panic: false,
        }
    }

    /// Makes sure that there is this session: a new one begins at once, one
    /// that is there takes the new intervals and stays Up, and one that led
    /// elsewhere under the same name is retired first.
    ///
    /// # Errors
    /// A listener that cannot be opened, as a sentence that says what to do.
    pub fn ensure(
        &mut self,
        reactor: &mut Reactor,
        settings: SessionSettings,
    ) -> Result<(), String> {
        let known = self.by_id.get(&settings.id).copied();
        if let Some((key, entry)) = known.and_then(|key| Some((key, self.sessions.get_mut(key)?))) {
            if entry.settings.is_same_path(&settings) {
                entry.session.change(settings.session);
                entry.settings = settings;
                self.touch(key);
                return Ok(());
            }
            self.retire(reactor, settings.id);
        }
        self.listen(reactor, settings.channel())?;
        // One that is still being taken leave of must not get its packets.
        let same = |entry: &Entry| entry.until.is_some() && entry.settings.is_same_path(&settings);
        let leaving: Vec<Key> =
            self.sessions.iter().filter(|(_, entry)| same(entry)).map(|(key, _)| key).collect();
        for key in leaving {
            self.forget(reactor, key);
        }
        let discriminator = self.new_discriminator();
        let session = Session::new(settings.session, discriminator, self.random.next_u64());
        let id = settings.id;
        let key = self.sessions.insert(Entry {
            settings,
            session,
            sender: None,
            alarm: Alarm::new(),
            queued: false,
            complained: false,
            until: None,
        });
        self.by_id.insert(id, key);
        self.by_discriminator.insert(discriminator.get(), key);
        self.touch(key);
        Ok(())
    }

    /// Ends a session. The neighbour is told for a detection time that this is
    /// on purpose (RFC 5880 §6.8.16), so that it draws no conclusion; there is
    /// no notice.
    pub fn retire(&mut self, reactor: &Reactor, id: u32) {
        let Some(key) = self.by_id.remove(&id) else { return };
        self.notices.retain(|(of, _)| *of != id);
        if let Some(entry) = self.sessions.get_mut(key) {
            entry.session.administratively_down();
            let leave = entry.session.remote_detection_time().min(LONGEST_LEAVE);
            entry.until = Some(reactor.now() + leave);
            self.touch(key);
        }
    }

    /// Ends every session: see [`BfdTransport::retire`].
    pub fn retire_all(&mut self, reactor: &Reactor) {
        let ids: Vec<u32> = self.by_id.keys().copied().collect();
        for id in ids {
            self.retire(reactor, id);
        }
    }

    /// Holds a session down, or ends that. The neighbour is told.
    pub fn set_administratively_down(&mut self, id: u32, down: bool) {
        let Some(&key) = self.by_id.get(&id) else { return };
        if let Some(entry) = self.sessions.get_mut(key) {
            match down {
                true => entry.session.administratively_down(),
                false => entry.session.enable(),
            }
            self.touch(key);
        }
    }

    /// The next thing that a session reported.
    pub fn poll_notice(&mut self) -> Option<(u32, Notice)> {
        self.notices.pop_front()
    }

    /// How a session stands.
    pub fn status(&self, id: u32) -> Option<Status> {
        let entry = self.sessions.get(*self.by_id.get(&id)?)?;
        Some(entry.session.status())
    }

    /// How many packets were discarded, for each reason.
    pub fn discarded(&self) -> impl Iterator<Item = (Discard, u64)> {
        Discard::ALL.into_iter().zip(self.discarded)
    }

    /// Whether no session is left, not even one that is being taken leave of.
    pub fn is_empty(&self) -> bool {
        self.sessions.is_empty()
    }

    /// Panics that were caught at the edge of one session.
    pub fn panics(&self) -> u64 {
        self.panics
    }

    /// The next session that is looked at meets a panic: proof that one is
    /// survived.
    pub fn inject_panic(&mut self) {
        self.inject_panic = true;
    }

    /// Phase 1: an event of the poll.
    pub fn collect(&mut self, token: Token, readiness: Readiness) {
        if token.kind == self.kinds.listener
            && readiness.intersects(Readiness::READABLE | Readiness::ERROR)
            && let Some(Some(listener)) = self.listeners.get_mut(token.index as usize)
        {
            listener.ready = true;
        }
    }

    /// Phase 2: a timer of the wheel.
    pub fn expired(&mut self, token: Token) {
        if token.kind == self.kinds.session
            && let Some(entry) = self.sessions.get_mut(token.into())
        {
            entry.alarm.fired();
            self.touch(token.into());
        }
    }

    /// Phase 3: packets first and timers second. After a pause of the process
    /// or the machine the neighbour's packets wait in the socket, and the
    /// silence was ours; so nobody is called silent before that was looked at,
    /// even if the poll did not tell of it.
    pub fn control(&mut self, reactor: &mut Reactor) {
        for key in &self.due {
            if let Some(entry) = self.sessions.get(*key)
                && entry.session.is_silent(reactor.now())
                && let Some(Some(listener)) =
                    self.listeners.get_mut(entry.settings.channel() as usize)
            {
                listener.ready = true;
            }
        }
        for channel in Channel::ALL {
            self.read(reactor, channel);
        }
        for _ in 0..self.due.len() {
            let Some(key) = self.due.pop_front() else { break };
            self.guarded(reactor, key, BfdTransport::service);
        }
    }

    /// Phase 8: slots of retired sessions may be used again.
    pub fn flush(&mut self) {
        self.sessions.reclaim();
    }

    /// Whether there is work that needs no further event.
    pub fn has_ready(&self) -> bool {
        !self.due.is_empty() || self.listeners.iter().flatten().any(|listener| listener.ready)
    }

    fn touch(&mut self, key: Key) {
        if let Some(entry) = self.sessions.get_mut(key)
            && !std::mem::replace(&mut entry.queued, true)
        {
            self.due.push_back(key);
        }
    }

    fn listen(&mut self, reactor: &mut Reactor, channel: Channel) -> Result<(), String> {
        let Some(place) = self.listeners.get_mut(channel as usize) else { return Ok(()) };
        if place.is_some() {
            return Ok(());
        }
        let address = SocketAddr::new(channel.any(), channel.port(self.ports));
        let mut socket = Datagrams::bind(address, &DatagramOptions::default())
            .map_err(|error| bind_help(address, &error))?;
        let token = Token::new(self.kinds.listener, 0, channel as u32);
        reactor
            .register(&mut socket, token, Interest::READABLE)
            .map_err(|error| format!("bfd: cannot watch the listener on {address}: {error}"))?;
        *place = Some(Listener { socket, ready: true });
        Ok(())
    }

    /// Reads what waits on one listener, a bounded number of batches.
    fn read(&mut self, reactor: &mut Reactor, channel: Channel) {
        let mut found = std::mem::take(&mut self.received);
        for _ in 0..BATCHES {
            let Some(Some(listener)) = self.listeners.get_mut(channel as usize) else { break };
            if !listener.ready {
                break;
            }
            match listener.socket.receive(&mut reactor.scratch, PACKET_SIZE, &mut found) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    // The next packet makes an event, whatever this was.
                    listener.ready = false;
                    if error.kind() != io::ErrorKind::WouldBlock {
                        warn!("bfd event=receive_failed listener={channel:?} error=\"{error}\"");
                    }
                }
            }
            for received in &found {
                let payload = received.payload(&reactor.scratch);
                if let Err(reason) = self.packet(reactor.now(), channel, received, payload) {
                    self.discard(reason, received);
                }
            }
        }
        self.received = found;
    }

    fn packet(
        &mut self,
        now: Time,
        channel: Channel,
        received: &Received,
        payload: &[u8],
    ) -> Result<(), Discard> {
        let packet = Packet::parse(payload)?;
        // RFC 5880 §6.3: Your Discriminator alone names the session, and
        // addresses only where it is zero.
        let key = match packet.your_discriminator {
            0 => self.find(channel, received).ok_or(Discard::UnknownNeighbor)?,
            name => *self.by_discriminator.get(&name).ok_or(Discard::UnknownDiscriminator)?,
        };
        let entry = self.sessions.get_mut(key).ok_or(Discard::UnknownDiscriminator)?;
        let ttl = received.ttl.unwrap_or_default();
        match catch_unwind(AssertUnwindSafe(|| entry.session.receive(now, &packet, ttl))) {
            Ok(outcome) => outcome?,
            Err(_) => self.replace(key),
        }
        self.touch(key);
        Ok(())
    }

    /// A plain search: operators configure neighbours by hand, and only first
    /// packets come here.
    fn find(&self, channel: Channel, received: &Received) -> Option<Key> {
        let mut matching =
            self.sessions.iter().filter(|(_, entry)| entry.settings.matches(channel, received));
        matching.next().map(|(key, _)| key)
    }

    fn discard(&mut self, reason: Discard, received: &Received) {
        let Some(count) = self.discarded.get_mut(reason as usize) else { return };
        *count = count.saturating_add(1);
        if *count <= DISCARDS_LOGGED || count.is_multiple_of(1000) {
            info!(
                "bfd event=discarded remote={} ttl={} reason=\"{reason}\" count={count}",
                received.source.ip(),
                received.ttl.unwrap_or_default(),
            );
        }
    }

    /// Runs one session's own handling inside an unwind boundary: a panic costs
    /// that session, and nobody else.
    fn guarded(
        &mut self,
        reactor: &mut Reactor,
        key: Key,
        handle: impl Fn(&mut BfdTransport, &mut Reactor, Key),
    ) {
        if catch_unwind(AssertUnwindSafe(|| handle(self, reactor, key))).is_err() {
            self.replace(key);
        }
    }

    /// Puts a fresh session in the place of one that panicked. That says
    /// nothing about the path, and so does the notice.
    fn replace(&mut self, key: Key) {
        self.panics = self.panics.saturating_add(1);
        let seed = self.random.next_u64();
        let Some(entry) = self.sessions.get_mut(key) else { return };
        let remote = entry.settings.remote;
        error!("bfd event=panic peer={remote} action=\"session begun again\"");
        let discriminator = entry.session.discriminator();
        entry.session = Session::new(entry.settings.session, discriminator, seed);
        entry.queued = false;
        if entry.until.is_none() {
            self.notices.push_back((entry.settings.id, Notice::AdminDown));
        }
        self.touch(key);
    }

    /// Judges the session's timers, sends what it has to say, passes on what it
    /// reports, and sets its alarm.
    fn service(&mut self, reactor: &mut Reactor, key: Key) {
        let now = reactor.now();
        let Some(entry) = self.sessions.get_mut(key) else { return };
        entry.queued = false;
        if std::mem::take(&mut self.inject_panic) {
            injected_panic();
        }
        if entry.until.is_some_and(|until| now >= until) {
            return self.forget(reactor, key);
        }
        entry.session.timeout(now);
        while let Some(packet) =
            self.sessions.get_mut(key).and_then(|e| e.session.poll_transmit(now))
        {
            self.transmit(key, &packet);
        }
        let Some(entry) = self.sessions.get_mut(key) else { return };
        while let Some(event) = entry.session.poll_event() {
            log_event(&entry.settings, event, &entry.session.status());
            if entry.until.is_none() {
                self.notices.push_back((entry.settings.id, event));
            }
        }
        let deadline = entry.session.deadline().into_iter().chain(entry.until).min();
        entry.alarm.set(&mut reactor.wheel, key.token(self.kinds.session), deadline);
    }

    /// Sends one packet. A failure is one more way to lose it: the protocol
    /// draws the conclusion.
    fn transmit(&mut self, key: Key, payload: &[u8]) {
        let opened = match self.sessions.get(key) {
            Some(entry) if entry.sender.is_none() => Some(self.open_sender(key)),
            _ => None,
        };
        let Some(entry) = self.sessions.get_mut(key) else { return };
        let outcome = match opened {
            Some(Err(error)) => Err(error),
            Some(Ok(sender)) => {
                entry.sender = Some(sender);
                entry.send(self.ports, payload)
            }
            None => entry.send(self.ports, payload),
        };
        let complained = std::mem::replace(&mut entry.complained, outcome.is_err());
        let remote = entry.settings.remote;
        match outcome {
            Err(error) if !complained => {
                warn!("bfd event=send_failed peer={remote} error=\"{error}\" next=\"tries again\"");
            }
            Err(error) => debug!("bfd event=send_failed peer={remote} error=\"{error}\""),
            Ok(()) => {}
        }
    }

    /// A socket of the session's own, with a source port that no other session
    /// has (RFC 5881 §4).
    fn open_sender(&mut self, key: Key) -> io::Result<(Datagrams, u16)> {
        let options = DatagramOptions {
            ttl: Some(MAXIMUM_TTL),
            traffic_class: Some(TRAFFIC_CLASS),
            // Nobody has a reason to send to this port.
            receive_buffer: Some(0),
        };
        for _ in 0..PORT_TRIES {
            let offset = u16::try_from(self.random.below(PORTS)).unwrap_or_default();
            let port = FIRST_PORT.saturating_add(offset);
            if self.sessions.iter().any(|(_, e)| e.sender.as_ref().is_some_and(|s| s.1 == port)) {
                continue;
            }
            let Some(entry) = self.sessions.get(key) else { break };
            let local = entry.settings.local.unwrap_or(entry.settings.channel().any());
            match Datagrams::bind(entry.settings.socket_address(local, port), &options) {
                Err(error) if error.kind() == io::ErrorKind::AddrInUse => {}
                outcome => return outcome.map(|socket| (socket, port)),
            }
        }
        Err(io::ErrorKind::AddrInUse.into())
    }

    fn forget(&mut self, reactor: &mut Reactor, key: Key) {
        let Some(mut entry) = self.sessions.remove(key) else { return };
        entry.alarm.clear(&mut reactor.wheel);
        self.by_discriminator.remove(&entry.session.discriminator().get());
        let channel = entry.settings.channel();
        if !self.sessions.iter().any(|(_, entry)| entry.settings.channel() == channel)
            && let Some(place) = self.listeners.get_mut(channel as usize)
        {
            *place = None;
        }
    }

    /// A random name (RFC 5880 §6.8.1), not 0 and not in use.
    fn new_discriminator(&mut self) -> NonZeroU32 {
        loop {
            let name = u32::try_from(self.random.next_u64() >> 32).unwrap_or_default();
            if let Some(name) = NonZeroU32::new(name)
                && !self.by_discriminator.contains_key(&name.get())
            {
                return name;
            }
        }
    }
}

impl Entry {
    fn send(&self, ports: Ports, payload: &[u8]) -> io::Result<()> {
        let Some((socket, _)) = &self.sender else { return Ok(()) };
        let port = self.settings.channel().port(ports);
        let outgoing = Outgoing {
            destination: self.settings.socket_address(self.settings.remote, port),
            source: self.settings.local,
            interface: self.settings.interface,
            payload,
        };
        socket.send(&[outgoing]).map(|_| ())
    }
}

fn log_event(settings: &SessionSettings, event: Notice, status: &Status) {
    let peer = settings.remote;
    match event {
        Notice::Up => info!("bfd event=up peer={peer}"),
        Notice::Down { diagnostic } => {
            let theirs = status.remote.map(|(_, diagnostic)| diagnostic).unwrap_or_default();
            warn!(
                "bfd event=down peer={peer} diagnostic=\"{diagnostic}\" \
                 remote_diagnostic=\"{theirs}\""
            );
        }
        Notice::AdminDown => {
            let by = match status.state {
                State::AdminDown => "us",
                _ => "neighbour",
            };
            info!("bfd event=admin_down peer={peer} by={by}");
        }
    }
}

fn bind_help(address: SocketAddr, error: &io::Error) -> String {
    let advice = match error.kind() {
        io::ErrorKind::AddrInUse => {
            "another BFD daemon (bird with protocol bfd, frr's bfdd or a second burgee) holds it; \
             stop BFD there, or set bfd=false for the neighbours"
        }
        _ => "or set bfd=false for the neighbours",
    };
    format!("bfd: cannot listen on {address}: {error}; {advice}")
}

#[allow(clippy::panic)]
fn injected_panic() {
    panic!("injected panic in a BFD session");
}
