//! The door of this room: sockets on one side, sessions on the other. It is
//! the only file group of BGP that knows the loop.

mod change;
mod dial;
mod group;
mod linger;
mod listener;
mod neighbour;
mod output;
mod reports;
mod settings;
#[cfg(test)]
pub(super) mod testing;
mod view;

pub use change::Prepared;
pub use settings::{Group, Kinds, PeerTransport, TransportSettings};

use std::collections::{BTreeMap, VecDeque};
use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};

use log::error;
use mio::Interest;
use mio::net::TcpStream;

use self::listener::{Listener, ListenerSettings};
use self::neighbour::Neighbour;
use super::message::notification::Notification;
use super::peer::{Action, Side};
use super::speaker::{PeerId, Speaker};
use crate::reactor::slab::{Key, Slab};
use crate::reactor::socket;
use crate::reactor::timer_wheel::Alarm;
use crate::reactor::{Reactor, Readiness, Time, Token, fault};

/// Octets read from one connection in one turn, so that a neighbour with a full
/// table holds up neither the others nor the proxy: some 10 µs of work. With as
/// many, proxied clients do not feel the table; with 16 KiB, which take a tenth
/// less CPU, their 99th percentile triples (`tests/bench/feed`).
const READ_BUDGET: usize = 4 * 1024;

/// Most neighbours that one turn looks at for their timers or a change of what
/// is announced: some 10 µs each, so about a millisecond. The others have their
/// turn next, before the loop sleeps.
const SERVICE_BUDGET: usize = 128;

/// DSCP CS6, network control (RFC 4594 §3.2), as it stands in the octet of the
/// IP header.
const TRAFFIC_CLASS: u8 = 0xc0;

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
    /// The number of the next listener.
    next_listener: u32,
    connections: Slab<Connection>,
    neighbours: BTreeMap<PeerId, Neighbour>,
    /// Those that the settings name, in their order.
    order: Vec<PeerId>,
    /// How many neighbours each group has.
    members: Vec<usize>,
    /// Connections that found their group full, by group.
    turned_away: Vec<u64>,
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
        let rules = ListenerSettings::of(&settings);
        let (mut listeners, mut next_listener) = (Vec::new(), 0);
        for address in &settings.listen {
            let token = Token::new(settings.kinds.listener, 0, next_listener);
            listeners.push(Listener::open(reactor, *address, token, &rules)?);
            next_listener = next_listener.wrapping_add(1);
        }
        let doors = settings.peers.iter().map(|peer| Neighbour::new(peer.clone(), None));
        let neighbours = speaker.peer_ids().zip(doors).collect();
        Ok(Transport {
            order: speaker.peer_ids().collect(),
            members: vec![0; settings.groups.len()],
            turned_away: vec![0; settings.groups.len()],
            speaker,
            settings,
            listeners,
            next_listener,
            connections: Slab::default(),
            neighbours,
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

    /// Ends a neighbour's established session with `cease`; another attempt
    /// follows.
    pub fn reset(&mut self, reactor: &mut Reactor, id: PeerId, cease: Notification) {
        self.speaker.reset(reactor.now(), id, cease);
        self.guarded(reactor, id, |transport, reactor| transport.service(reactor, id));
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
            if let Some(listener) = self.listener_mut(token) {
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
            let id = PeerId(token.index);
            if let Some(neighbour) = self.neighbours.get_mut(&id) {
                neighbour.alarm.fired();
                self.make_due(id);
            }
        } else if token.kind == self.settings.kinds.session {
            let key = Key::from(token);
            if let Some(connection) = self.connections.get_mut(key) {
                if let Use::Lingering { alarm, .. } = &mut connection.used_for {
                    alarm.fired();
                }
                self.enqueue(key);
            }
        } else if let Some(listener) = self.listener_mut(token) {
            listener.resume();
        }
    }

    /// Phase 3: timers first, so that a hold timer is judged before the octets
    /// that came too late; then connections, then newcomers.
    pub fn control(&mut self, reactor: &mut Reactor) {
        for _ in 0..self.due.len().min(SERVICE_BUDGET) {
            let Some(id) = self.due.pop_front() else { break };
            if let Some(neighbour) = self.neighbours.get_mut(&id) {
                neighbour.due = false;
            }
            self.guarded(reactor, id, |transport, reactor| {
                transport.speaker.timeout(reactor.now(), id);
                transport.service(reactor, id);
                transport.forget_if_gone(reactor, id);
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
    /// best-effort write of `notification` to every neighbour, behind what waits:
    /// the kernel may have taken a part of a message.
    pub fn last_words(&mut self, notification: &Notification) {
        for (_, connection) in self.connections.iter_mut() {
            if let Use::Open(id, side) = connection.used_for {
                let mut bytes = self.speaker.transmit((id, side)).to_vec();
                let peer = self.speaker.peer(id);
                let words = peer.map(|peer| peer.worded(side, notification.clone()));
                words.iter().for_each(|words| words.encode(&mut bytes));
                let _ = connection.stream.write(&bytes);
            }
        }
    }

    fn listener_mut(&mut self, token: Token) -> Option<&mut Listener> {
        self.listeners.iter_mut().find(|listener| listener.token == token)
    }

    fn enqueue(&mut self, key: Key) {
        if let Some(connection) = self.connections.get_mut(key)
            && !connection.queued
        {
            connection.queued = true;
            self.ready.push_back(key);
        }
    }

    /// Lets every neighbour say what it has to say: the first ones now, so that
    /// a withdrawal is not even a turn late where there are few.
    fn service_all(&mut self, reactor: &mut Reactor) {
        let mut ids = self.speaker.peer_ids();
        for id in ids.by_ref().take(SERVICE_BUDGET) {
            self.guarded(reactor, id, |transport, reactor| transport.service(reactor, id));
        }
        ids.for_each(|id| self.make_due(id));
    }

    fn make_due(&mut self, id: PeerId) {
        if let Some(neighbour) = self.neighbours.get_mut(&id)
            && !std::mem::replace(&mut neighbour.due, true)
        {
            self.due.push_back(id);
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
        if let (Some(neighbour), Some(peer)) = (self.neighbours.get_mut(&id), self.speaker.peer(id))
        {
            neighbour.note(now, peer.state(), peer.kept_out_until());
            let deadline = deadline.into_iter().chain(neighbour.forget_at()).min();
            neighbour.alarm.set(&mut reactor.wheel, token, deadline);
        }
    }

    fn act(&mut self, reactor: &mut Reactor, id: PeerId, action: Action) {
        match action {
            Action::Dial => self.dial(reactor, id),
            Action::HangUp => self.hang_up(reactor, id),
            Action::Close { side, rest } => {
                if let Some(key) = self.take_place(id, side) {
                    self.linger(reactor, key, rest);
                }
            }
            Action::Up { .. } => {
                if let Some(neighbour) = self.neighbours.get_mut(&id) {
                    neighbour.contented();
                }
                self.log_up(id, &action);
                self.notices.push_back((id, action));
            }
            Action::Down { ref down, uptime, .. } => {
                self.log_down(id, down, uptime);
                self.notices.push_back((id, action));
            }
            Action::Learned(_) => self.notices.push_back((id, action)),
            Action::RefreshAsked(_) | Action::Malformed { .. } | Action::PrefixWarning { .. } => {
                self.log_report(id, &action);
            }
        }
    }

    fn adopt(
        &mut self,
        reactor: &mut Reactor,
        mut stream: TcpStream,
        used_for: Use,
    ) -> io::Result<Key> {
        let kind = self.settings.kinds.session;
        let interest = Interest::READABLE | Interest::WRITABLE | Interest::PRIORITY;
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

    fn run_session(&mut self, reactor: &mut Reactor, key: Key, id: PeerId, side: Side) {
        let now = reactor.now();
        if std::mem::take(&mut self.inject_panic) {
            fault::inject("a BGP session");
        }
        let Some(connection) = self.connections.get_mut(key) else { return };
        let worth = Readiness::READABLE | Readiness::READ_CLOSED | Readiness::ERROR;
        if connection.readiness.intersects(worth) {
            let Some(buffer) = reactor.scratch.get_mut(..READ_BUDGET) else { return };
            match connection.stream.read(buffer) {
                Ok(0) => self.session_ended(now, key, id, side),
                Ok(count) => {
                    // A short read means that the kernel had no more, unless
                    // the end, an error or an urgent octet cut it off.
                    let last = Readiness::READ_CLOSED | Readiness::ERROR | Readiness::PRIORITY;
                    if count < buffer.len() && !connection.readiness.intersects(last) {
                        connection.readiness.remove(Readiness::READABLE);
                    }
                    let bytes = buffer.get(..count).unwrap_or_default();
                    self.speaker.receive(now, (id, side), bytes);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    connection.readiness.remove(worth | Readiness::PRIORITY);
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

    fn drop_connection(&mut self, reactor: &mut Reactor, key: Key) {
        if let Some(mut connection) = self.connections.remove(key)
            && let Use::Lingering { alarm, .. } = &mut connection.used_for
        {
            alarm.clear(&mut reactor.wheel);
            self.lingering = self.lingering.saturating_sub(1);
        }
    }

    fn place(&self, id: PeerId, side: Side) -> Option<Key> {
        self.neighbours.get(&id)?.places.get(side as usize).copied().flatten()
    }

    fn set_place(&mut self, id: PeerId, side: Side, key: Option<Key>) {
        if let Some(place) =
            self.neighbours.get_mut(&id).and_then(|n| n.places.get_mut(side as usize))
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

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};

    use ipnet::IpNet;
    use socket2::SockRef;

    use super::testing::{House, LOCAL, message, terms};
    use super::*;
    use crate::bgp::message::header::MessageType;
    use crate::bgp::negotiation::Terms;
    use crate::bgp::offer::{Offer, RestartOffer};
    use crate::bgp::peer_settings::PeerSettings;
    use crate::bgp::rib::originated::{Owner, Path};
    use crate::bgp::session::State;

    /// RFC 4271 §6.4: the neighbour said its last word and waits for our end.
    #[test]
    fn a_notification_is_followed_by_our_end_at_once() {
        let mut house = House::listening(LOCAL);
        let mut neighbour = house.established();
        neighbour.send(&message(MessageType::Notification, &[6, 2]));
        neighbour.hear_all(&mut house);
        assert!(!house.bgp().is_closed(), "the neighbour's own end is still awaited");
        drop(neighbour);
        house.until(|house| house.bgp().is_closed());
    }

    #[test]
    fn the_last_word_arrives_although_input_is_unread() {
        let mut house = House::listening(LOCAL);
        let mut neighbour = house.established();
        neighbour.send(b"GET / HTTP/1.1\r\n\r\n");
        neighbour.send(&[0; 100_000]);
        let heard = neighbour.hear_all(&mut house);
        assert_eq!(heard.last(), Some(&(MessageType::Notification, vec![1, 1])));
    }

    /// RFC 4271 §6.8: a second connection beside an established one loses.
    #[test]
    fn a_second_connection_of_a_neighbour_hears_that_it_collides() {
        let mut house = House::listening(LOCAL);
        let _first = house.established();
        let mut second = house.connect();
        let mut open = Vec::new();
        terms(65000, 65001, [10, 0, 0, 2]).open().encode(&mut open);
        second.send(&open);
        let heard = second.hear_all(&mut house);
        assert_eq!(heard, [(MessageType::Notification, vec![6, 7])]);
        drop(second);
        house.until(|house| house.bgp().lingering == 0);
        assert_eq!(house.peer().state(), State::Established);
        assert_eq!(house.peer().counters().sent.keepalives, 2, "and the first one was probed");
    }

    /// RFC 4486 §4.
    #[test]
    fn who_is_no_neighbour_hears_that_it_is_rejected() {
        let mut house = House::listening("192.0.2.1".parse().expect("an address"));
        let mut stranger = house.connect();
        let heard = stranger.hear_all(&mut house);
        assert_eq!(heard, [(MessageType::Notification, vec![6, 5])]);
        assert!(house.bgp().is_closed());
        assert_eq!(house.bgp().strangers(), 1);
    }

    /// Reading stops before an urgent octet, however much is behind it.
    #[test]
    fn octets_behind_an_urgent_one_are_read() {
        let mut house = House::listening(LOCAL);
        let mut neighbour = house.established();
        neighbour.send(&message(MessageType::Keepalive, &[]));
        SockRef::from(&neighbour.stream).send_out_of_band(b"!").expect("sent");
        neighbour.send(&message(MessageType::Update, &[0, 0, 0, 0]));
        let before = house.reactor.turns();
        house.until(|house| {
            house.peer().counters().received.updates == 1 || house.reactor.turns() > before + 500
        });
        assert_eq!(house.peer().counters().received.updates, 1);
    }

    /// More than both kernels hold, for a neighbour that reads only later.
    #[test]
    fn a_blocked_connection_goes_on_when_the_neighbour_reads() {
        let mut house = House::listening(LOCAL);
        let mut neighbour = house.established();
        let mut routes: u32 = 0;
        while house.is_quiet() {
            let House { reactor, phases } = &mut house;
            phases.0.change(reactor, |speaker| {
                for n in routes..routes + 100 {
                    // Some 3600 octets of its own for each route.
                    let path = Path { communities: (n..n + 900).collect(), ..Path::default() };
                    let address = Ipv4Addr::from(0x0a00_0000 + n);
                    speaker.originate(IpNet::from(IpAddr::V4(address)), Owner::Announcer, path);
                }
            });
            routes += 100;
            house.turn();
        }
        let mut heard = 0;
        while heard < routes {
            house.turn();
            heard += neighbour.updates_read();
        }
        house.until(|house| house.is_quiet());
        assert_eq!(heard, routes);
        assert_eq!(house.peer().counters().flaps, 0);
    }

    /// However many neighbours there are, a turn looks at some.
    #[test]
    fn many_neighbours_are_served_over_several_turns() {
        let addresses: Vec<IpAddr> =
            (1..=300).map(|n: u32| Ipv4Addr::from(0x7f01_0000 + n).into()).collect();
        let terms = || terms(65001, 65000, [10, 0, 0, 1]);
        let peers =
            addresses.iter().map(|a| PeerSettings::new(a.to_string(), *a, terms())).collect();
        let transports =
            addresses.iter().map(|a| PeerTransport::plain(SocketAddr::new(*a, 179))).collect();
        let mut house = House::with(peers, transports, Vec::new());
        for left in [172, 44] {
            assert_eq!((house.bgp().due.len(), house.bgp().has_ready()), (left, true));
            crate::reactor::poll::turn(&mut house.reactor, &mut house.phases).expect("a turn");
        }
        assert!(house.bgp().due.is_empty());
        // Each is in the list once, however often something changes meanwhile.
        for _ in 0..10 {
            let House { reactor, phases } = &mut house;
            phases.0.change(reactor, |_| {});
        }
        assert_eq!(house.bgp().due.len(), 172);
        crate::reactor::poll::turn(&mut house.reactor, &mut house.phases).expect("a turn");
        assert_eq!(house.bgp().due.len(), 44);
    }

    /// Those who follow what a neighbour does hear of it in the same turn.
    #[test]
    fn a_fault_in_one_session_is_its_end() {
        let mut house = House::listening(LOCAL);
        let mut neighbour = house.established();
        house.until(|house| house.is_quiet());
        while house.bgp().poll_notice().is_some() {}
        house.bgp().inject_panic();
        neighbour.send(&message(MessageType::Keepalive, &[]));
        house.until(|house| house.bgp().panics() == 1);
        let notice = house.bgp().poll_notice();
        assert!(
            matches!(&notice, Some((_, Action::Down { down, .. })) if down.was_established),
            "{notice:?}"
        );
        assert!(house.bgp().is_closed());
        let _again = house.established();
    }

    /// RFC 8538 §3: a neighbour that would keep our routes after any other.
    #[test]
    fn the_last_words_of_the_process_are_final() {
        for (graceful_restart, words) in [
            (None, vec![6, 2]),
            (Some(RestartOffer { time: 100, restarted: false }), vec![6, 9, 6, 2]),
        ] {
            let offer = Offer { graceful_restart, ..Offer::default() };
            let ours = Terms { offer, ..terms(65001, 65000, [10, 0, 0, 1]) };
            let mut theirs = Vec::new();
            Terms { asn: 65000, peer_asn: 65001, identifier: [10, 0, 0, 2].into(), ..ours.clone() }
                .open()
                .encode(&mut theirs);
            let peers = vec![PeerSettings::new("them", LOCAL, ours)];
            let doors = vec![PeerTransport::plain(SocketAddr::new(LOCAL, 179))];
            let mut house = House::with(peers, doors, Vec::new());
            let mut neighbour = house.connect();
            neighbour.send(&theirs);
            neighbour.send(&message(MessageType::Keepalive, &[]));
            house.until(|house| house.peer().state() == State::Established && house.is_quiet());
            house.bgp().last_words(&Notification::cease(2, ""));
            for (_, connection) in house.bgp().connections.iter() {
                connection.stream.shutdown(std::net::Shutdown::Write).expect("open until now");
            }
            let heard = neighbour.hear_all(&mut house);
            assert_eq!(heard.last(), Some(&(MessageType::Notification, words)));
        }
    }
}
