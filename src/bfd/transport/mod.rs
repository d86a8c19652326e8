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
use crate::reactor::{Reactor, Readiness, Time, Token, fault};

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
    /// elsewhere under the same name is retired.
    ///
    /// # Errors
    /// A listener that cannot be opened, as a sentence that says what to do.
    pub fn ensure(
        &mut self,
        reactor: &mut Reactor,
        settings: SessionSettings,
    ) -> Result<(), String> {
        let known = self.by_id.get(&settings.id).copied();
        if let Some(key) = known
            && let Some(entry) = self.sessions.get_mut(key)
            && entry.settings.is_same_path(&settings)
        {
            entry.session.change(settings.session);
            entry.settings = settings;
            self.touch(key);
            return Ok(());
        }
        // One that is still being taken leave of must not get its packets. With
        // it goes its listener, unless others need that.
        let same = |entry: &Entry| entry.until.is_some() && entry.settings.is_same_path(&settings);
        let leaving: Vec<Key> =
            self.sessions.iter().filter(|(_, entry)| same(entry)).map(|(key, _)| key).collect();
        for key in leaving {
            self.forget(reactor, key);
        }
        self.listen(reactor, settings.channel())?;
        self.retire(reactor, settings.id);
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
            fault::inject("a BFD session");
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
            ..DatagramOptions::default()
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bfd::machine::{Path, Settings};
    use crate::bfd::packet::{Diagnostic, LENGTH};
    use crate::reactor::poll::{self, Phases};
    use crate::reactor::{Kind, Time};
    use std::net::IpAddr;

    const KINDS: Kinds = Kinds { listener: Kind::BfdListener, session: Kind::Bfd };

    /// A door, and the loop around it.
    struct House {
        bfd: BfdTransport,
        /// Events of the poll do not reach the door.
        deaf: bool,
        notices: Vec<(u32, Notice)>,
    }

    impl Phases for House {
        fn collect(&mut self, _: &mut Reactor, token: Token, readiness: Readiness) {
            if !self.deaf {
                self.bfd.collect(token, readiness);
            }
        }
        fn expired(&mut self, _: &mut Reactor, token: Token) {
            self.bfd.expired(token);
        }
        fn control(&mut self, reactor: &mut Reactor) {
            self.bfd.control(reactor);
            self.notices.extend(std::iter::from_fn(|| self.bfd.poll_notice()));
        }
        fn apply(&mut self, _: &mut Reactor) {}
        fn data(&mut self, _: &mut Reactor) {}
        fn accept(&mut self, _: &mut Reactor) {}
        fn api(&mut self, _: &mut Reactor) {}
        fn flush(&mut self, _: &mut Reactor) {
            self.bfd.flush();
        }
        fn has_ready(&self) -> bool {
            self.bfd.has_ready()
        }
        fn exit_code(&self) -> Option<i32> {
            None
        }
    }

    impl House {
        fn until(&mut self, reactor: &mut Reactor, reached: impl Fn(&House) -> bool) {
            while !reached(self) {
                poll::turn(reactor, self).unwrap();
            }
        }

        fn until_time(&mut self, reactor: &mut Reactor, end: Time) {
            // Some timer of a session is always near.
            while reactor.now() < end {
                poll::turn(reactor, self).unwrap();
            }
        }

        /// Waits for these notices, in any order, and for no others.
        fn expect(&mut self, reactor: &mut Reactor, mut expected: Vec<(u32, Notice)>) {
            self.until(reactor, |house| house.notices.len() >= expected.len());
            let mut seen = std::mem::take(&mut self.notices);
            seen.sort_by_key(|notice| notice.0);
            expected.sort_by_key(|notice| notice.0);
            assert_eq!(seen, expected);
        }

        fn count(&self, reason: Discard) -> u64 {
            self.bfd.discarded[reason as usize]
        }
    }

    /// Ports that nobody has.
    fn free_ports() -> Ports {
        let free = || {
            let any = "0.0.0.0:0".parse().unwrap();
            let socket = Datagrams::bind(any, &DatagramOptions::default()).unwrap();
            (socket.local_address().unwrap().port(), socket)
        };
        let (one, two) = (free(), free());
        Ports { single_hop: one.0, multihop: two.0 }
    }

    /// A house without sessions.
    fn house() -> (Reactor, House) {
        let bfd = BfdTransport::new(KINDS, free_ports(), 5880);
        (Reactor::new().unwrap(), House { bfd, deaf: false, notices: Vec::new() })
    }

    fn session(id: u32, local: &str, remote: &str, path: Path) -> SessionSettings {
        // A busy machine may well stop us for some of these.
        let (interval, multiplier) = (Duration::from_millis(20), 20);
        SessionSettings {
            id,
            remote: remote.parse().unwrap(),
            local: Some(local.parse().unwrap()),
            interface: None,
            session: Settings { min_tx: interval, min_rx: interval, multiplier, path },
        }
    }

    /// Two sessions of one door, with each other, Up and at their full pace.
    fn pair(path: Path) -> (Reactor, House) {
        let (mut reactor, mut house) = house();
        house.bfd.ensure(&mut reactor, session(1, "127.0.0.1", "127.0.0.2", path)).unwrap();
        house.bfd.ensure(&mut reactor, session(2, "127.0.0.2", "127.0.0.1", path)).unwrap();
        house.expect(&mut reactor, vec![(1, Notice::Up), (2, Notice::Up)]);
        for id in [1, 2] {
            house.until(&mut reactor, |house| {
                house.bfd.status(id).unwrap().detection_time == Some(Duration::from_millis(400))
            });
        }
        (reactor, house)
    }

    /// A neighbour by hand: a socket at the port of a path.
    fn neighbor(address: &str, port: u16, ttl: u8) -> Datagrams {
        let address = SocketAddr::new(address.parse().unwrap(), port);
        let options = DatagramOptions { ttl: Some(ttl), ..DatagramOptions::default() };
        Datagrams::bind(address, &options).unwrap()
    }

    fn down(mine: u32, yours: u32) -> [u8; LENGTH] {
        let mut octets = [0; LENGTH];
        octets[..4].copy_from_slice(&[0x20, 0x40, 3, 24]);
        octets[4..8].copy_from_slice(&mine.to_be_bytes());
        octets[8..12].copy_from_slice(&yours.to_be_bytes());
        octets
    }

    #[test]
    fn the_door_speaks_with_itself() {
        let (mut reactor, mut house) = pair(Path::SingleHop);
        let both = |notice| vec![(1, notice), (2, notice)];
        house.bfd.set_administratively_down(1, true);
        house.expect(&mut reactor, both(Notice::AdminDown));
        house.bfd.set_administratively_down(1, false);
        house.expect(&mut reactor, both(Notice::Up));
        assert!(house.bfd.discarded().all(|(_, count)| count == 0));
    }

    #[test]
    fn a_session_runs_over_ipv6_and_over_several_hops() {
        let (mut reactor, mut house) = house();
        // A packet to ourselves finds the one session there is.
        house.bfd.ensure(&mut reactor, session(7, "::1", "::1", Path::SingleHop)).unwrap();
        house.expect(&mut reactor, vec![(7, Notice::Up)]);
        let several = Path::Multihop { minimum_ttl: 255 };
        house.bfd.ensure(&mut reactor, session(8, "::1", "::1", several)).unwrap();
        house.expect(&mut reactor, vec![(8, Notice::Up)]);
        pair(several);
    }

    #[test]
    fn packets_leave_as_the_rfc_wants_them() {
        let (mut reactor, mut house) = house();
        let mut ports = Vec::new();
        for (id, address) in [(1, "127.0.0.2"), (2, "127.0.0.3")] {
            let settings = session(id, "127.0.0.1", address, Path::SingleHop);
            house.bfd.ensure(&mut reactor, settings).unwrap();
            // The door itself listens on every address.
            house.bfd.ports = free_ports();
            let neighbor = neighbor(address, house.bfd.ports.single_hop, 255);
            let (mut buffer, mut found) = ([0; 64], Vec::new());
            for _ in 0..2 {
                while neighbor.receive(&mut buffer, 64, &mut found).is_err() {
                    poll::turn(&mut reactor, &mut house).unwrap();
                }
                let received = found[0];
                assert_eq!(received.ttl, Some(255));
                assert_eq!(received.source.ip(), "127.0.0.1".parse::<IpAddr>().unwrap());
                assert!(Packet::parse(received.payload(&buffer)).is_ok());
                ports.push(received.source.port());
            }
        }
        assert!(ports.iter().all(|port| *port >= FIRST_PORT), "{ports:?}");
        assert_eq!((ports[0], ports[2]), (ports[1], ports[3]), "one port for a session");
        assert_ne!(ports[0], ports[2], "and for no other");
    }

    #[test]
    fn what_is_discarded_is_counted() {
        let (mut reactor, mut house) = house();
        let settings = session(1, "127.0.0.1", "127.0.0.2", Path::SingleHop);
        house.bfd.ensure(&mut reactor, settings).unwrap();
        let several = Path::Multihop { minimum_ttl: 0 };
        let settings = session(2, "127.0.0.1", "127.0.0.9", several);
        house.bfd.ensure(&mut reactor, settings).unwrap();
        let port = house.bfd.ports.single_hop;
        // What the sessions send goes elsewhere, and not back here.
        house.bfd.ports = free_ports();
        let name = house.bfd.sessions.iter().next().unwrap().1.session.discriminator().get();
        let mut signed = [0; 26];
        signed[..LENGTH].copy_from_slice(&down(9, name));
        (signed[1], signed[3]) = (0x44, 26);
        let mut late = down(9, name);
        late[1] = 0xc1;
        let cases: [(&str, u8, &[u8], Discard); 9] = [
            ("127.0.0.2", 255, b"", Discard::Truncated),
            ("127.0.0.2", 255, &[0; LENGTH], Discard::Version),
            ("127.0.0.2", 255, &late, Discard::Multipoint),
            ("127.0.0.2", 255, &down(9, name ^ 1), Discard::UnknownDiscriminator),
            ("127.0.0.3", 255, &down(9, 0), Discard::UnknownNeighbor),
            // A session over several hops has another port.
            ("127.0.0.9", 255, &down(9, 0), Discard::UnknownNeighbor),
            ("127.0.0.2", 254, &down(9, 0), Discard::Ttl),
            ("127.0.0.3", 254, &down(9, name), Discard::Ttl),
            ("127.0.0.2", 255, &signed, Discard::Authentication),
        ];
        for (address, ttl, payload, reason) in cases {
            let before = house.count(reason);
            let destination = SocketAddr::new("127.0.0.1".parse().unwrap(), port);
            let outgoing = Outgoing { destination, source: None, interface: None, payload };
            neighbor(address, 0, ttl).send(&[outgoing]).unwrap();
            house.until(&mut reactor, |house| house.count(reason) > before);
            assert_eq!(house.count(reason), before + 1);
        }
        assert_eq!(house.bfd.discarded().map(|(_, count)| count).sum::<u64>(), 9);
        assert!(house.bfd.status(1).unwrap().remote.is_none(), "the session saw none of them");
    }

    #[test]
    fn silence_is_noticed_and_a_deaf_poll_is_not_silence() {
        let (mut reactor, mut house) = pair(Path::SingleHop);
        house.deaf = true;
        let end = reactor.now() + Duration::from_secs(2);
        house.until_time(&mut reactor, end);
        assert_eq!(house.notices, [], "the packets were there");
        house.deaf = false;
        // The neighbour's packets come from elsewhere now, and find nobody.
        house.bfd.listeners = [const { None }; Channel::ALL.len()];
        let expired = Notice::Down { diagnostic: Diagnostic::DETECTION_TIME_EXPIRED };
        house.expect(&mut reactor, vec![(1, expired), (2, expired)]);
    }

    #[test]
    fn a_session_is_changed_moved_and_retired() {
        let (mut reactor, mut house) = pair(Path::SingleHop);
        let mut settings = session(1, "127.0.0.1", "127.0.0.2", Path::SingleHop);
        settings.session.min_rx = Duration::from_millis(50);
        house.bfd.ensure(&mut reactor, settings.clone()).unwrap();
        house.until(&mut reactor, |house| {
            house.bfd.status(2).unwrap().transmit_interval == Duration::from_millis(50)
        });
        assert_eq!(house.notices, [], "it stays Up");
        // Elsewhere: the old neighbour is told, the new one is asked. A leave is
        // as long as the neighbour's patience.
        settings.session.multiplier = 1;
        house.bfd.ensure(&mut reactor, settings.clone()).unwrap();
        settings.remote = "127.0.0.3".parse().unwrap();
        house.bfd.ensure(&mut reactor, settings).unwrap();
        house.expect(&mut reactor, vec![(2, Notice::AdminDown)]);
        assert_eq!(house.bfd.sessions.len(), 3, "one is being taken leave of");
        house.until(&mut reactor, |house| house.bfd.sessions.len() == 2);
        let mut other = session(2, "127.0.0.2", "127.0.0.1", Path::SingleHop);
        other.session.multiplier = 1;
        house.bfd.ensure(&mut reactor, other).unwrap();
        house.bfd.retire_all(&reactor);
        assert!(house.bfd.status(1).is_none());
        house.until(&mut reactor, |house| house.bfd.is_empty());
        assert_eq!(house.notices, [], "nobody is told of what he asked for");
        assert!(house.bfd.listeners.iter().all(Option::is_none));
        assert!(house.bfd.by_id.is_empty() && house.bfd.by_discriminator.is_empty());
        assert!(!house.bfd.has_ready());
        assert!(reactor.wheel.is_empty());
    }

    #[test]
    fn one_that_comes_back_while_it_is_leaving_is_up_again() {
        let (mut reactor, mut house) = pair(Path::SingleHop);
        house.bfd.retire(&reactor, 1);
        house.expect(&mut reactor, vec![(2, Notice::AdminDown)]);
        let settings = session(1, "127.0.0.1", "127.0.0.2", Path::SingleHop);
        house.bfd.ensure(&mut reactor, settings).unwrap();
        assert_eq!(house.bfd.sessions.len(), 2);
        house.expect(&mut reactor, vec![(1, Notice::Up), (2, Notice::Up)]);
        // The only one of its family takes its listener along, and back.
        house.bfd.ensure(&mut reactor, session(3, "::1", "::1", Path::SingleHop)).unwrap();
        house.expect(&mut reactor, vec![(3, Notice::Up)]);
        house.bfd.retire(&reactor, 3);
        house.bfd.ensure(&mut reactor, session(3, "::1", "::1", Path::SingleHop)).unwrap();
        house.expect(&mut reactor, vec![(3, Notice::Up)]);
    }

    #[test]
    fn a_taken_port_says_who_may_have_it() {
        let (mut reactor, mut house) = house();
        let any = SocketAddr::new(Channel::SingleHopV4.any(), house.bfd.ports.single_hop);
        let holder = Datagrams::bind(any, &DatagramOptions::default()).unwrap();
        let settings = session(1, "127.0.0.1", "127.0.0.2", Path::SingleHop);
        let error = house.bfd.ensure(&mut reactor, settings.clone()).unwrap_err();
        for word in ["bird", "bfdd", "burgee", &any.to_string()] {
            assert!(error.contains(word), "{error}");
        }
        assert!(house.bfd.is_empty() && house.bfd.status(1).is_none());
        drop(holder);
        house.bfd.ensure(&mut reactor, settings).unwrap();
        assert_eq!(house.bfd.listeners.iter().flatten().count(), 1, "only what is needed");
    }

    #[test]
    fn a_local_address_that_is_not_there_is_tried_again() {
        let (mut reactor, mut house) = house();
        let settings = session(1, "192.0.2.1", "127.0.0.2", Path::SingleHop);
        house.bfd.ensure(&mut reactor, settings).unwrap();
        let entry = |house: &House| house.bfd.sessions.iter().next().unwrap().1.complained;
        house.until(&mut reactor, entry);
        let (_, entry) = house.bfd.sessions.iter_mut().next().unwrap();
        entry.settings.local = Some("127.0.0.1".parse().unwrap());
        house.until(&mut reactor, |house| {
            house.bfd.sessions.iter().all(|(_, entry)| entry.sender.is_some() && !entry.complained)
        });
    }

    #[test]
    fn a_panic_costs_one_session_and_it_begins_again() {
        let (mut reactor, mut house) = pair(Path::SingleHop);
        house.bfd.inject_panic();
        house.until(&mut reactor, |house| house.notices.len() >= 4);
        assert_eq!(house.bfd.panics(), 1);
        let ups = house.notices.iter().filter(|(_, notice)| *notice == Notice::Up);
        let mut ids: Vec<u32> = ups.map(|(id, _)| *id).collect();
        ids.sort_unstable();
        assert_eq!(ids, [1, 2]);
        assert!(house.notices.iter().any(|(_, notice)| *notice == Notice::AdminDown));
    }

    #[test]
    fn without_a_session_there_is_nothing() {
        let (mut reactor, house) = house();
        assert!(house.bfd.is_empty() && !house.bfd.has_ready());
        assert!(house.bfd.listeners.iter().all(Option::is_none));
        assert!(reactor.wheel.next_deadline().is_none());
    }
}
