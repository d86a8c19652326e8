//! The door of this room: sockets on one side, sessions on the other. It is
//! the only file group of BGP that knows the loop.

mod linger;
mod listener;
mod reports;

use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::net::{IpAddr, SocketAddr};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use log::{debug, error, warn};
use mio::Interest;
use mio::net::TcpStream;

use self::listener::{Listener, ListenerSettings};
use super::message::notification::Notification;
use super::peer::{Action, Side};
use super::speaker::{PeerId, Speaker};
use crate::reactor::slab::{Key, Slab};
use crate::reactor::socket::{self, ConnectOptions};
use crate::reactor::timer_wheel::Alarm;
use crate::reactor::{Kind, Reactor, Readiness, Time, Token};

/// Octets read from one connection in one turn: about a millisecond of work,
/// so that a neighbour with a full table never holds up the others.
const READ_BUDGET: usize = 64 * 1024;

/// DSCP CS6, network control (RFC 4594 §3.2), as it stands in the octet of the
/// IP header.
const TRAFFIC_CLASS: u8 = 0xc0;

/// The token kinds that this speaker's sources carry, so that two speakers can
/// share a loop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kinds {
    /// Listeners.
    pub listener: Kind,
    /// Connections.
    pub session: Kind,
    /// Timers of neighbours.
    pub peer: Kind,
}

/// How the connections with one neighbour are made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerTransport {
    /// Where the neighbour listens.
    pub remote: SocketAddr,
    /// The local address of our connections.
    pub source: Option<IpAddr>,
    /// Whether a source address that is not on this host is an error, or else
    /// only a preference.
    pub source_required: bool,
    /// The TCP MD5 key (RFC 2385).
    pub md5_key: Option<Vec<u8>>,
    /// The TTL of our packets; `None`: the system's.
    pub ttl: Option<u8>,
    /// GTSM (RFC 5082): the smallest TTL that is let in.
    pub minimum_ttl: Option<u8>,
    /// How long sent octets may stay unacknowledged (TCP_USER_TIMEOUT).
    pub user_timeout: Option<Duration>,
}

/// How the speaker is reached and reaches others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TransportSettings {
    /// Where to listen; empty: nowhere.
    pub listen: Vec<SocketAddr>,
    /// One for each of the speaker's neighbours, in its order.
    pub peers: Vec<PeerTransport>,
    /// The token kinds.
    pub kinds: Kinds,
}

#[derive(Debug)]
enum Use {
    /// Our attempt to reach the neighbour.
    Connecting(PeerId),
    /// The connection of a session.
    Open(PeerId, Side),
    /// No session any more: `rest` goes out, then the neighbour's end is
    /// awaited until `until`.
    Lingering { rest: Vec<u8>, until: Time, alarm: Alarm },
}

#[derive(Debug)]
struct Connection {
    stream: TcpStream,
    used_for: Use,
    readiness: Readiness,
    queued: bool,
    ended: bool,
}

/// Sockets ↔ sessions: see the module's page.
#[derive(Debug)]
pub struct Transport {
    speaker: Speaker,
    settings: TransportSettings,
    listeners: Vec<Listener>,
    connections: Slab<Connection>,
    /// Per neighbour: the outgoing and the incoming connection.
    places: Vec<[Option<Key>; 2]>,
    alarms: Vec<Alarm>,
    /// Whether a failed connect was logged since the neighbour was last up.
    complained: Vec<bool>,
    ready: VecDeque<Key>,
    due: VecDeque<PeerId>,
    notices: VecDeque<(PeerId, Action)>,
    lingering: usize,
    strangers: u64,
    panics: u64,
    inject_panic: bool,
}

impl Transport {
    /// Opens the listeners. Nothing is dialled before [`Transport::start`].
    ///
    /// # Errors
    /// A listener that cannot be opened, as a sentence that says what to do.
    pub fn new(
        reactor: &mut Reactor,
        speaker: Speaker,
        settings: TransportSettings,
    ) -> Result<Transport, String> {
        let rules = ListenerSettings::of(&settings.peers);
        let mut listeners = Vec::new();
        for (address, index) in settings.listen.iter().zip(0..) {
            let token = Token::new(settings.kinds.listener, 0, index);
            listeners.push(Listener::open(reactor, *address, token, &rules)?);
        }
        let count = settings.peers.len();
        Ok(Transport {
            speaker,
            settings,
            listeners,
            connections: Slab::default(),
            places: vec![[None; 2]; count],
            alarms: (0..count).map(|_| Alarm::new()).collect(),
            complained: vec![false; count],
            ready: VecDeque::new(),
            due: VecDeque::new(),
            notices: VecDeque::new(),
            lingering: 0,
            strangers: 0,
            panics: 0,
            inject_panic: false,
        })
    }

    /// Starts every neighbour.
    pub fn start(&mut self, reactor: &mut Reactor) {
        self.speaker.start(reactor.now());
        self.service_all(reactor);
    }

    /// Ends every session with `cease` and starts none again.
    pub fn stop(&mut self, reactor: &mut Reactor, cease: &Notification) {
        self.speaker.stop(reactor.now(), cease);
        self.service_all(reactor);
    }

    /// The speaker behind the door. After a change, call
    /// [`Transport::service_all`].
    pub fn speaker(&self) -> &Speaker {
        &self.speaker
    }

    /// Changes what the speaker originates, and lets the neighbours know.
    pub fn change(&mut self, reactor: &mut Reactor, change: impl FnOnce(&mut Speaker)) {
        change(&mut self.speaker);
        self.service_all(reactor);
    }

    /// The next thing that a neighbour reported: Up, Down or Learned.
    pub fn poll_notice(&mut self) -> Option<(PeerId, Action)> {
        self.notices.pop_front()
    }

    /// Whether every neighbour's kernel has acknowledged all that it should
    /// know (SIOCOUTQ is 0).
    pub fn is_acknowledged(&self) -> bool {
        let unsent = |connection: &Connection| match connection.used_for {
            Use::Open(..) => socket::unsent_bytes(&connection.stream).unwrap_or(0) > 0,
            Use::Connecting(_) | Use::Lingering { .. } => false,
        };
        self.speaker.is_quiet() && !self.connections.iter().any(|(_, c)| unsent(c))
    }

    /// Whether no connection is left, not even one that is being closed.
    pub fn is_closed(&self) -> bool {
        self.connections.is_empty()
    }

    /// The bound addresses of the listeners.
    pub fn listening_on(&self) -> Vec<SocketAddr> {
        self.listeners.iter().filter_map(Listener::local_address).collect()
    }

    /// Connections from addresses that are no neighbour's.
    pub fn strangers(&self) -> u64 {
        self.strangers
    }

    /// Panics that were caught at the edge of one session.
    pub fn panics(&self) -> u64 {
        self.panics
    }

    /// The next received octets meet a panic: proof that one is survived.
    pub fn inject_panic(&mut self) {
        self.inject_panic = true;
    }

    /// Phase 1: an event of the poll.
    pub fn collect(&mut self, token: Token, readiness: Readiness) {
        if token.kind == self.settings.kinds.listener {
            if let Some(listener) = self.listeners.get_mut(token.index as usize) {
                listener.ready = true;
            }
        } else if token.kind == self.settings.kinds.session {
            let key = Key::from(token);
            if let Some(connection) = self.connections.get_mut(key) {
                connection.readiness |= readiness;
                self.enqueue(key);
            }
        }
    }

    /// Phase 2: a timer of the wheel.
    pub fn expired(&mut self, token: Token) {
        if token.kind == self.settings.kinds.peer {
            if let Some(alarm) = self.alarms.get_mut(token.index as usize) {
                alarm.fired();
                self.due.push_back(PeerId(token.index));
            }
        } else if token.kind == self.settings.kinds.session {
            let key = Key::from(token);
            if let Some(connection) = self.connections.get_mut(key) {
                if let Use::Lingering { alarm, .. } = &mut connection.used_for {
                    alarm.fired();
                }
                self.enqueue(key);
            }
        } else if let Some(listener) = self.listeners.get_mut(token.index as usize) {
            listener.resume();
        }
    }

    /// Phase 3: timers first, so that a hold timer is judged before the octets
    /// that came too late; then connections, then newcomers.
    pub fn control(&mut self, reactor: &mut Reactor) {
        for _ in 0..self.due.len() {
            let Some(id) = self.due.pop_front() else { break };
            self.guarded(reactor, id, |transport, reactor| {
                transport.speaker.timeout(reactor.now(), id);
                transport.service(reactor, id);
            });
        }
        for _ in 0..self.ready.len() {
            let Some(key) = self.ready.pop_front() else { break };
            self.run(reactor, key);
        }
        self.accept(reactor);
    }

    /// Phase 8: slots of closed connections may be used again.
    pub fn flush(&mut self) {
        self.connections.reclaim();
    }

    /// Whether there is work that needs no further event.
    pub fn has_ready(&self) -> bool {
        !self.ready.is_empty()
            || !self.due.is_empty()
            || self.listeners.iter().any(Listener::is_runnable)
    }

    /// Last words before the process dies of a fault in shared state: one
    /// best-effort write of `notification` to every neighbour.
    pub fn last_words(&mut self, notification: &Notification) {
        let mut bytes = Vec::new();
        notification.encode(&mut bytes);
        for (_, connection) in self.connections.iter_mut() {
            if matches!(connection.used_for, Use::Open(..)) {
                let _ = connection.stream.write(&bytes);
            }
        }
    }

    fn enqueue(&mut self, key: Key) {
        if let Some(connection) = self.connections.get_mut(key)
            && !connection.queued
        {
            connection.queued = true;
            self.ready.push_back(key);
        }
    }

    fn service_all(&mut self, reactor: &mut Reactor) {
        let ids: Vec<PeerId> = self.speaker.peer_ids().collect();
        for id in ids {
            self.guarded(reactor, id, |transport, reactor| transport.service(reactor, id));
        }
    }

    /// Runs one neighbour's own handling inside an unwind boundary: a panic
    /// costs that neighbour its session, and nobody else.
    fn guarded(
        &mut self,
        reactor: &mut Reactor,
        id: PeerId,
        handle: impl FnOnce(&mut Transport, &mut Reactor),
    ) {
        if catch_unwind(AssertUnwindSafe(|| handle(self, reactor))).is_ok() {
            return;
        }
        self.panics = self.panics.saturating_add(1);
        error!("bgp event=panic peer={} action=\"session dropped\"", self.name(id));
        for side in [Side::Outgoing, Side::Incoming] {
            if let Some(key) = self.take_place(id, side) {
                self.drop_connection(reactor, key);
            }
        }
        self.speaker.replace(reactor.now(), id);
        self.service(reactor, id);
    }

    fn run(&mut self, reactor: &mut Reactor, key: Key) {
        let Some(connection) = self.connections.get_mut(key) else { return };
        connection.queued = false;
        match connection.used_for {
            Use::Connecting(id) => {
                self.guarded(reactor, id, |t, r| t.finish_connect(r, key, id));
            }
            Use::Open(id, side) => {
                self.guarded(reactor, id, |t, r| t.run_session(r, key, id, side));
            }
            Use::Lingering { .. } => self.run_lingering(reactor, key),
        }
    }

    /// Does what the neighbour asks for, writes what it has to say, and sets
    /// its timer.
    fn service(&mut self, reactor: &mut Reactor, id: PeerId) {
        let now = reactor.now();
        loop {
            self.speaker.pump(now, id);
            for side in [Side::Outgoing, Side::Incoming] {
                self.write_session(reactor, id, side);
            }
            let Some(action) = self.speaker.poll_action(id) else { break };
            self.act(reactor, id, action);
        }
        let token = Token::new(self.settings.kinds.peer, 0, id.0);
        let deadline = self.speaker.deadline(id);
        if let Some(alarm) = self.alarms.get_mut(id.0 as usize) {
            alarm.set(&mut reactor.wheel, token, deadline);
        }
    }

    fn act(&mut self, reactor: &mut Reactor, id: PeerId, action: Action) {
        match action {
            Action::Dial => self.dial(reactor, id),
            Action::HangUp => {
                if let Some(key) = self.take_place(id, Side::Outgoing) {
                    self.drop_connection(reactor, key);
                }
            }
            Action::Close { side, rest } => {
                if let Some(key) = self.take_place(id, side) {
                    self.linger(reactor, key, rest);
                }
            }
            Action::Up { .. } => {
                if let Some(complained) = self.complained.get_mut(id.0 as usize) {
                    *complained = false;
                }
                self.log_up(id, &action);
                self.notices.push_back((id, action));
            }
            Action::Down { ref down, .. } => {
                self.log_down(id, down);
                self.notices.push_back((id, action));
            }
            Action::Learned { .. } => self.notices.push_back((id, action)),
        }
    }

    fn dial(&mut self, reactor: &mut Reactor, id: PeerId) {
        let Some(peer) = self.settings.peers.get(id.0 as usize) else { return };
        let mut options = ConnectOptions {
            source: peer.source.map(|address| SocketAddr::new(address, 0)),
            ttl: peer.ttl,
            minimum_ttl: peer.minimum_ttl,
            md5_key: peer.md5_key.clone(),
            user_timeout: peer.user_timeout,
            traffic_class: Some(TRAFFIC_CLASS),
            nodelay: true,
            ..ConnectOptions::default()
        };
        let mut outcome = socket::connect(peer.remote, &options);
        if let Err(error) = &outcome
            && error.kind() == io::ErrorKind::AddrNotAvailable
            && !peer.source_required
            && options.source.take().is_some()
        {
            outcome = socket::connect(peer.remote, &options);
        }
        let connected = outcome.and_then(|stream| {
            self.adopt(reactor, stream, Use::Connecting(id))
                .map(|key| self.set_place(id, Side::Outgoing, Some(key)))
        });
        if let Err(error) = connected {
            self.connect_failed(reactor.now(), id, &error);
        }
    }

    fn connect_failed(&mut self, now: Time, id: PeerId, error: &io::Error) {
        let name = self.name(id);
        if self.complains(id) {
            warn!("bgp event=connect_failed peer={name} error=\"{error}\" next=\"keeps trying\"");
        } else {
            debug!("bgp event=connect_failed peer={name} error=\"{error}\"");
        }
        self.speaker.connect_failed(now, id);
    }

    fn adopt(
        &mut self,
        reactor: &mut Reactor,
        mut stream: TcpStream,
        used_for: Use,
    ) -> io::Result<Key> {
        let kind = self.settings.kinds.session;
        let interest = Interest::READABLE | Interest::WRITABLE;
        let mut outcome = Ok(());
        let key = self.connections.insert_with(|key| {
            outcome = reactor.register(&mut stream, key.token(kind), interest);
            Connection { stream, used_for, readiness: Readiness::NONE, queued: false, ended: false }
        });
        if let Err(error) = outcome {
            self.connections.remove(key);
            return Err(error);
        }
        Ok(key)
    }

    fn finish_connect(&mut self, reactor: &mut Reactor, key: Key, id: PeerId) {
        let Some(connection) = self.connections.get_mut(key) else { return };
        let outcome = match socket::connect_finished(&connection.stream) {
            Ok(false) => return,
            Ok(true) => endpoints(&connection.stream),
            Err(error) => Err(error),
        };
        match outcome {
            Ok((local, remote)) => {
                connection.used_for = Use::Open(id, Side::Outgoing);
                self.speaker.connected(reactor.now(), (id, Side::Outgoing), local, remote);
                self.enqueue(key);
            }
            Err(error) => {
                self.take_place(id, Side::Outgoing);
                self.drop_connection(reactor, key);
                self.connect_failed(reactor.now(), id, &error);
            }
        }
        self.service(reactor, id);
    }

    fn run_session(&mut self, reactor: &mut Reactor, key: Key, id: PeerId, side: Side) {
        let now = reactor.now();
        if std::mem::take(&mut self.inject_panic) {
            injected_panic();
        }
        let Some(connection) = self.connections.get_mut(key) else { return };
        let worth = Readiness::READABLE | Readiness::READ_CLOSED | Readiness::ERROR;
        if connection.readiness.intersects(worth) {
            let Some(buffer) = reactor.scratch.get_mut(..READ_BUDGET) else { return };
            match connection.stream.read(buffer) {
                Ok(0) => self.session_ended(now, key, id, side),
                Ok(count) => {
                    // A short read means that the kernel had no more, unless
                    // the end or an error waits behind it.
                    let last = Readiness::READ_CLOSED | Readiness::ERROR;
                    if count < buffer.len() && !connection.readiness.intersects(last) {
                        connection.readiness.remove(Readiness::READABLE);
                    }
                    let bytes = buffer.get(..count).unwrap_or_default();
                    self.speaker.receive(now, (id, side), bytes);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    connection.readiness.remove(worth);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => self.session_ended(now, key, id, side),
            }
        }
        self.service(reactor, id);
        if let Some(connection) = self.connections.get_mut(key)
            && matches!(connection.used_for, Use::Open(..))
            && connection.readiness.intersects(worth)
        {
            self.enqueue(key);
        }
    }

    fn session_ended(&mut self, now: Time, key: Key, id: PeerId, side: Side) {
        if let Some(connection) = self.connections.get_mut(key) {
            connection.ended = true;
        }
        self.speaker.closed(now, (id, side));
    }

    fn write_session(&mut self, reactor: &mut Reactor, id: PeerId, side: Side) {
        let Some(key) = self.place(id, side) else { return };
        let Some(connection) = self.connections.get_mut(key) else { return };
        if !matches!(connection.used_for, Use::Open(..)) {
            return;
        }
        let now = reactor.now();
        loop {
            let bytes = self.speaker.transmit((id, side));
            if bytes.is_empty() || !connection.readiness.contains(Readiness::WRITABLE) {
                return;
            }
            match connection.stream.write(bytes) {
                Ok(count) => {
                    self.speaker.transmitted(now, (id, side), count);
                    self.speaker.pump(now, id);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    connection.readiness.remove(Readiness::WRITABLE);
                    return;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // The read side finds the end, and with it what the neighbour
                // may have said last.
                Err(_) => {
                    connection.readiness.remove(Readiness::WRITABLE);
                    connection.readiness |= Readiness::READ_CLOSED;
                    self.enqueue(key);
                    return;
                }
            }
        }
    }

    fn drop_connection(&mut self, reactor: &mut Reactor, key: Key) {
        if let Some(mut connection) = self.connections.remove(key)
            && let Use::Lingering { alarm, .. } = &mut connection.used_for
        {
            alarm.clear(&mut reactor.wheel);
            self.lingering = self.lingering.saturating_sub(1);
        }
    }

    fn place(&self, id: PeerId, side: Side) -> Option<Key> {
        self.places.get(id.0 as usize)?.get(side as usize).copied().flatten()
    }

    fn set_place(&mut self, id: PeerId, side: Side, key: Option<Key>) {
        if let Some(place) =
            self.places.get_mut(id.0 as usize).and_then(|places| places.get_mut(side as usize))
        {
            *place = key;
        }
    }

    fn take_place(&mut self, id: PeerId, side: Side) -> Option<Key> {
        let key = self.place(id, side);
        self.set_place(id, side, None);
        key
    }

    /// The neighbour's name in the log.
    pub(super) fn name(&self, id: PeerId) -> String {
        self.speaker.peer(id).map(|peer| peer.settings().name.clone()).unwrap_or_default()
    }
}

fn endpoints(stream: &TcpStream) -> io::Result<(SocketAddr, SocketAddr)> {
    Ok((stream.local_addr()?, stream.peer_addr()?))
}

#[allow(clippy::panic)]
fn injected_panic() {
    panic!("injected panic in a BGP session");
}
