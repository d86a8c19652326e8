//! One neighbour: up to two sessions at a time, which of them is kept, what
//! follows when one ends, and the writer of the one that is established.

use std::collections::VecDeque;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use ipnet::IpNet;

use super::counts::MessageCounts;
use super::down::{Down, DownReason};
use super::export::Exporter;
use super::message::attribute::Attributes;
use super::message::header::MAX_LENGTH;
use super::message::notification::{Notification, cease};
use super::message::prefix::{Family, FamilySet};
use super::message::update::{EncodeOptions, Update};
use super::negotiation::Negotiated;
use super::peer_settings::{Import, PeerSettings};
use super::rib::Key;
use super::rib::originated::Originated;
use super::session::{Event, Handler, Session, Start, State, Verdict};
use super::writer::Writer;
use crate::reactor::Time;
use crate::reactor::random::Random;

/// The first wait after a session failed; it doubles up to
/// [`IDLE_HOLD_MAXIMUM`], and starts over once a session lasts
/// [`STABLE_AFTER`]. Only a session with a valid OPEN sets it off, so a
/// stranger who reaches the port cannot keep a neighbour out.
const IDLE_HOLD_FIRST: Duration = Duration::from_millis(100);
const IDLE_HOLD_MAXIMUM: Duration = Duration::from_secs(10);
const STABLE_AFTER: Duration = Duration::from_secs(30);

/// Which of a neighbour's two sessions is meant: the one that we opened, or
/// the one that the neighbour opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Side {
    /// We connect to the neighbour.
    Outgoing,
    /// The neighbour connects to us.
    Incoming,
}

impl Side {
    fn other(self) -> Side {
        match self {
            Side::Outgoing => Side::Incoming,
            Side::Incoming => Side::Outgoing,
        }
    }
}

/// What a neighbour asks of the door, or reports, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Open the outgoing connection.
    Dial,
    /// Give up the outgoing connection attempt.
    HangUp,
    /// Close this side's connection, after sending `rest`.
    Close {
        /// Which connection.
        side: Side,
        /// Octets that should still reach the neighbour.
        rest: Vec<u8>,
    },
    /// A session is established.
    Up {
        /// Which connection it uses.
        side: Side,
        /// What was agreed.
        negotiated: Negotiated,
    },
    /// A session that had got as far as an OPEN or further is over.
    Down {
        /// Which connection it used.
        side: Side,
        /// Why, and how far it had got.
        down: Down,
        /// How long it was established.
        uptime: Duration,
    },
    /// Routes came in (only with [`Import::Report`]).
    Learned {
        /// The prefixes that can be reached, all with `attributes`.
        announced: Vec<IpNet>,
        /// The attributes; `None` if nothing was announced.
        attributes: Option<Box<Attributes>>,
        /// The prefixes that cannot be reached any more.
        withdrawn: Vec<IpNet>,
    },
}

/// What was counted of one neighbour over all its sessions that ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PeerCounters {
    /// Messages received in sessions that are over.
    pub received: MessageCounts,
    /// Messages sent in sessions that are over.
    pub sent: MessageCounts,
    /// Prefixes announced to us; all rejected.
    pub prefixes_received: u64,
    /// Prefixes withdrawn by the neighbour.
    pub prefixes_withdrawn: u64,
    /// UPDATEs that RFC 7606 lets a session survive.
    pub malformed_updates: u64,
    /// Times that an established session ended.
    pub flaps: u64,
}

/// One neighbour: see the module's page.
#[derive(Clone, Debug)]
pub struct Peer {
    settings: PeerSettings,
    outgoing: Option<Session>,
    incoming: Option<Session>,
    writer: Option<Writer>,
    established: Option<(Side, Time)>,
    failures: u32,
    stopped: bool,
    random: Random,
    actions: VecDeque<Action>,
    /// Routes of the octets that are being read: they are reported after the
    /// Up that came before them, and before the Down that comes after.
    learned: Vec<Action>,
    counters: PeerCounters,
    last_down: Option<(Time, DownReason)>,
}

/// The Cease of the connection that loses a collision (RFC 4486).
pub fn collision_cease() -> Notification {
    Notification::cease(cease::CONNECTION_COLLISION_RESOLUTION, "")
}

/// Who is kept when an acceptable OPEN arrives on `side` while the other
/// session is in state `other` (RFC 4271 §6.8).
fn resolve(side: Side, ours: (Ipv4Addr, u32), theirs: (Ipv4Addr, u32), other: State) -> Resolution {
    match other {
        State::Established => Resolution::CloseThis,
        State::OpenConfirm => {
            // The connection that the speaker with the higher identifier
            // opened is kept; RFC 6286 §2.3 lets AS numbers decide a tie.
            let keep = if ours < theirs { Side::Incoming } else { Side::Outgoing };
            if keep == side { Resolution::CloseOther } else { Resolution::CloseThis }
        }
        State::Idle | State::Connect | State::Active | State::OpenSent => Resolution::Undecided,
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Resolution {
    Undecided,
    CloseThis,
    CloseOther,
}

/// Collects what one `receive` brings, while the session itself is borrowed.
struct Intake<'a> {
    side: Side,
    ours: (Ipv4Addr, u32),
    other: Option<State>,
    resolution: Resolution,
    refreshes: Vec<Family>,
    import: Import,
    counters: &'a mut PeerCounters,
    learned: &'a mut Vec<Action>,
}

impl Handler for Intake<'_> {
    fn open_received(&mut self, negotiated: &Negotiated) -> Verdict {
        if let Some(other) = self.other {
            let theirs = (negotiated.peer_identifier, negotiated.peer_asn);
            self.resolution = resolve(self.side, self.ours, theirs, other);
        }
        match self.resolution {
            Resolution::CloseThis => Verdict::Collides,
            Resolution::Undecided | Resolution::CloseOther => Verdict::GoOn,
        }
    }

    fn update(&mut self, _: &Negotiated, update: &Update<'_>) {
        let (announced, withdrawn) = update.counts();
        let counters = &mut *self.counters;
        counters.prefixes_received = counters.prefixes_received.saturating_add(announced as u64);
        counters.prefixes_withdrawn = counters.prefixes_withdrawn.saturating_add(withdrawn as u64);
        if update.treat_as_withdraw().is_some() {
            counters.malformed_updates = counters.malformed_updates.saturating_add(1);
        }
        if self.import == Import::Report {
            let announced: Vec<_> = update.announced().map(|(_, _, prefix)| prefix).collect();
            let withdrawn: Vec<_> = update.withdrawn().map(|(_, _, prefix)| prefix).collect();
            if !announced.is_empty() || !withdrawn.is_empty() {
                let attributes = (!announced.is_empty()).then(|| Box::new(update.attributes()));
                self.learned.push(Action::Learned { announced, attributes, withdrawn });
            }
        }
    }

    fn refresh(&mut self, family: Family) {
        self.refreshes.push(family);
    }
}

impl Peer {
    /// A neighbour that does nothing until [`Peer::start`].
    pub fn new(settings: PeerSettings, seed: u64) -> Peer {
        Peer {
            settings,
            outgoing: None,
            incoming: None,
            writer: None,
            established: None,
            failures: 0,
            stopped: true,
            random: Random::new(seed),
            actions: VecDeque::new(),
            learned: Vec::new(),
            counters: PeerCounters::default(),
            last_down: None,
        }
    }

    /// Starts: the first attempt is made at once.
    pub fn start(&mut self, now: Time) {
        self.stopped = false;
        self.ensure_outgoing(now, Start::Now);
        self.settle(now);
    }

    /// A fresh neighbour with the same settings that waits a while before it
    /// dials, for use after a fault in this one's handling.
    pub fn renewed(&mut self, now: Time) -> Peer {
        let mut fresh = Peer::new(self.settings.clone(), self.random.next_u64());
        fresh.stopped = self.stopped;
        fresh.counters = self.counters;
        fresh.ensure_outgoing(now, Start::AfterIdleHold(IDLE_HOLD_MAXIMUM));
        fresh.settle(now);
        fresh
    }

    /// Stops for good: every session ends with `cease`.
    pub fn stop(&mut self, now: Time, cease: &Notification) {
        self.stopped = true;
        for side in [Side::Outgoing, Side::Incoming] {
            if let Some(session) = self.session_mut(side) {
                session.stop(now, cease.clone());
            }
        }
        self.settle(now);
    }

    /// Ends the established session with `cease`; another attempt follows.
    pub fn reset(&mut self, now: Time, cease: Notification) {
        if let Some((side, _)) = self.established
            && let Some(session) = self.session_mut(side)
        {
            session.stop(now, cease);
        }
        self.settle(now);
    }

    /// Whether a connection that the neighbour opened is welcome; if so, call
    /// [`Peer::connected`] with it. A newcomer replaces a connection that has
    /// not shown an OPEN yet, so silent ones never keep the neighbour out.
    /// Beside an established session it does not even get our OPEN: a neighbour
    /// that is not established yet could prefer it, and both would be lost.
    pub fn accept(&mut self, now: Time) -> bool {
        if self.stopped {
            return false;
        }
        let confirming = self.incoming.as_ref().is_some_and(|s| s.state() == State::OpenConfirm);
        let kept = self.established.map(|(side, _)| side);
        if let Some(side) = kept.or(confirming.then_some(Side::Incoming)) {
            if let Some(session) = self.session_mut(side) {
                session.probe(now);
            }
            return false;
        }
        if let Some(session) = &mut self.incoming {
            session.stop(now, collision_cease());
            self.settle(now);
        }
        let seed = self.random.next_u64();
        self.incoming = Some(Session::incoming(self.settings.terms.clone(), seed));
        true
    }

    /// The connection of `side` is up.
    pub fn connected(&mut self, now: Time, side: Side, local: SocketAddr, remote: SocketAddr) {
        if let Some(session) = self.session_mut(side) {
            session.connected(now, local, remote);
        }
        self.settle(now);
    }

    /// The outgoing connection could not be made.
    pub fn connect_failed(&mut self, now: Time) {
        if let Some(session) = &mut self.outgoing {
            session.connect_failed(now);
        }
        self.settle(now);
    }

    /// The connection of `side` was closed or reset.
    pub fn closed(&mut self, now: Time, side: Side) {
        if let Some(session) = self.session_mut(side) {
            session.closed(now);
        }
        self.settle(now);
    }

    /// Octets came in on the connection of `side`.
    pub fn receive(&mut self, now: Time, side: Side, bytes: &[u8]) {
        let other = self.session(side.other()).map(Session::state);
        let mut intake = Intake {
            side,
            ours: (self.settings.terms.identifier, self.settings.terms.asn),
            other,
            resolution: Resolution::Undecided,
            refreshes: Vec::new(),
            import: self.settings.import,
            counters: &mut self.counters,
            learned: &mut self.learned,
        };
        let session = match side {
            Side::Outgoing => &mut self.outgoing,
            Side::Incoming => &mut self.incoming,
        };
        if let Some(session) = session {
            session.receive(now, bytes, &mut intake);
        }
        let (resolution, refreshes) = (intake.resolution, intake.refreshes);
        if let Some(other) = self.session_mut(side.other()) {
            match resolution {
                Resolution::CloseOther => other.stop(now, collision_cease()),
                Resolution::CloseThis => other.probe(now),
                Resolution::Undecided => {}
            }
        }
        if let Some(writer) = &mut self.writer {
            refreshes.into_iter().for_each(|family| writer.refresh(family));
        }
        self.settle(now);
    }

    /// Fires the timers that are due.
    pub fn timeout(&mut self, now: Time) {
        for side in [Side::Outgoing, Side::Incoming] {
            if let Some(session) = self.session_mut(side) {
                session.timeout(now);
            }
        }
        self.settle(now);
    }

    /// When [`Peer::timeout`] must be called.
    pub fn deadline(&self) -> Option<Time> {
        let of = |session: &Option<Session>| session.as_ref().and_then(Session::deadline);
        of(&self.outgoing).into_iter().chain(of(&self.incoming)).min()
    }

    /// The path of `key` may have changed.
    pub fn mark(&mut self, key: Key) {
        if let Some(writer) = &mut self.writer {
            writer.mark(key);
        }
    }

    /// Moves differences from the table into the session's outbox, as far as
    /// there is room.
    pub fn pump(&mut self, now: Time, table: &Originated) {
        let Some((side, _)) = self.established else { return };
        let session = match side {
            Side::Outgoing => &mut self.outgoing,
            Side::Incoming => &mut self.incoming,
        };
        if let (Some(session), Some(writer)) = (session, &mut self.writer)
            && writer.is_due()
        {
            session.send_updates(now, |out| writer.next_message(table, out));
        }
    }

    /// Octets that wait to be sent on the connection of `side`.
    pub fn transmit(&self, side: Side) -> &[u8] {
        self.session(side).map_or(&[], Session::transmit)
    }

    /// The kernel took `count` octets of [`Peer::transmit`].
    pub fn transmitted(&mut self, now: Time, side: Side, count: usize) {
        if let Some(session) = self.session_mut(side) {
            session.transmitted(now, count);
        }
    }

    /// The next thing to do or to report.
    pub fn poll_action(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    /// Whether everything that the neighbour should know has been handed to
    /// the kernel; a neighbour without a session has nothing to know.
    pub fn is_quiet(&self) -> bool {
        match self.established {
            None => true,
            Some((side, _)) => {
                self.transmit(side).is_empty()
                    && self.writer.as_ref().is_none_or(|writer| !writer.is_due())
            }
        }
    }

    /// The settings.
    pub fn settings(&self) -> &PeerSettings {
        &self.settings
    }

    /// The side and the start of the established session.
    pub fn established(&self) -> Option<(Side, Time)> {
        self.established
    }

    /// The state of the session that is furthest.
    pub fn state(&self) -> State {
        let of = |session: &Option<Session>| session.as_ref().map_or(State::Idle, Session::state);
        let (a, b) = (of(&self.outgoing), of(&self.incoming));
        if a as u8 >= b as u8 { a } else { b }
    }

    /// What the neighbour has been sent.
    pub fn writer(&self) -> Option<&Writer> {
        self.writer.as_ref()
    }

    /// The counters, with those of the sessions that live.
    pub fn counters(&self) -> PeerCounters {
        let mut counters = self.counters;
        for session in self.outgoing.iter().chain(&self.incoming) {
            let (received, sent) = session.counts();
            counters.received.merge(&received);
            counters.sent.merge(&sent);
        }
        counters
    }

    /// When and why the last session ended.
    pub fn last_down(&self) -> Option<&(Time, DownReason)> {
        self.last_down.as_ref()
    }

    fn session(&self, side: Side) -> Option<&Session> {
        match side {
            Side::Outgoing => self.outgoing.as_ref(),
            Side::Incoming => self.incoming.as_ref(),
        }
    }

    fn session_mut(&mut self, side: Side) -> Option<&mut Session> {
        match side {
            Side::Outgoing => self.outgoing.as_mut(),
            Side::Incoming => self.incoming.as_mut(),
        }
    }

    fn ensure_outgoing(&mut self, now: Time, start: Start) {
        if self.stopped || self.outgoing.is_some() || self.established.is_some() {
            return;
        }
        if self.settings.terms.passive {
            return;
        }
        let seed = self.random.next_u64();
        let mut session = Session::outgoing(self.settings.terms.clone(), seed);
        session.start(now, start);
        self.outgoing = Some(session);
    }

    /// Acts on what both sessions have to say, until neither has more.
    fn settle(&mut self, now: Time) {
        loop {
            let mut progress = false;
            for side in [Side::Outgoing, Side::Incoming] {
                while let Some(event) = self.session_mut(side).and_then(Session::poll_event) {
                    progress = true;
                    self.session_event(now, side, event);
                }
            }
            if !progress {
                break;
            }
        }
        self.actions.extend(self.learned.drain(..));
    }

    fn session_event(&mut self, now: Time, side: Side, event: Event) {
        match event {
            Event::Dial => self.actions.push_back(Action::Dial),
            Event::HangUp => self.actions.push_back(Action::HangUp),
            Event::Up => self.session_up(now, side),
            Event::Down(down) => {
                if self.established.is_some_and(|(established, _)| established == side) {
                    self.actions.extend(self.learned.drain(..));
                }
                self.session_down(now, side, down);
            }
        }
    }

    fn session_up(&mut self, now: Time, side: Side) {
        let Some(session) = self.session(side) else { return };
        let over = session.is_over();
        let (Some(negotiated), Some((local, _))) =
            (session.negotiated().cloned(), session.endpoints())
        else {
            return;
        };
        let exporter = Exporter {
            asn: self.settings.terms.asn,
            ibgp: negotiated.ibgp,
            next_hops: self.settings.next_hops,
            local: local.ip(),
            name: self.settings.audience().to_owned(),
            overrides: self.settings.overrides.clone(),
        };
        let options = EncodeOptions {
            four_octet_as: negotiated.four_octet_as,
            add_path: false,
            max_length: MAX_LENGTH,
        };
        let families: FamilySet = negotiated.families;
        self.writer = Some(Writer::new(exporter, families, options));
        self.established = Some((side, now));
        self.actions.push_back(Action::Up { side, negotiated });
        // A session that has ended since, in the same octets, takes no other
        // with it. Nor is one closed that waits for its OPEN: until that comes
        // there is no collision (RFC 4271 §6.8), and the neighbour may still
        // prefer it to this one.
        if let Some(other) = self.session_mut(side.other())
            && !over
            && other.state() != State::OpenSent
        {
            other.stop(now, collision_cease());
        }
    }

    fn session_down(&mut self, now: Time, side: Side, down: Down) {
        let session = match side {
            Side::Outgoing => self.outgoing.take(),
            Side::Incoming => self.incoming.take(),
        };
        let Some(session) = session else { return };
        let (received, sent) = session.counts();
        self.counters.received.merge(&received);
        self.counters.sent.merge(&sent);
        if down.reason == DownReason::Stopped {
            // There was no connection, at most an attempt at one.
            if side == Side::Outgoing {
                self.actions.push_back(Action::HangUp);
            }
        } else {
            let rest = session.transmit().to_vec();
            self.actions.push_back(Action::Close { side, rest });
        }
        let mut uptime = Duration::ZERO;
        if let Some((established, since)) = self.established
            && established == side
        {
            uptime = now.since(since);
            self.established = None;
            self.writer = None;
            self.counters.flaps = self.counters.flaps.saturating_add(1);
            if uptime >= STABLE_AFTER {
                self.failures = 0;
            }
        }
        let start = self.after(&down);
        if down.reason != DownReason::Stopped {
            self.last_down = Some((now, down.reason.clone()));
            self.actions.push_back(Action::Down { side, down, uptime });
        }
        self.ensure_outgoing(now, start);
    }

    /// How the next attempt begins after a session ended.
    fn after(&mut self, down: &Down) -> Start {
        if !down.had_open || down.reason.is_collision() {
            return Start::AfterConnectRetry;
        }
        let doubled = IDLE_HOLD_FIRST.saturating_mul(1 << self.failures.min(16));
        self.failures = self.failures.saturating_add(1);
        Start::AfterIdleHold(doubled.min(IDLE_HOLD_MAXIMUM))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bgp::export::{NextHops, Overrides};
    use crate::bgp::message::header::{self, MessageType};
    use crate::bgp::testing::terms;

    const US: &str = "10.0.0.1:179";
    const THEM: &str = "10.0.0.2:179";

    fn at(millis: u64) -> Time {
        Time::from_millis(millis)
    }

    fn address(text: &str) -> SocketAddr {
        text.parse().expect("an address")
    }

    /// Started, with an attempt to connect under way.
    fn dialling() -> Peer {
        let settings = PeerSettings {
            name: "them".to_owned(),
            group: None,
            overrides: Overrides::default(),
            address: address(THEM).ip(),
            terms: terms(65001, 65000, [10, 0, 0, 1]),
            next_hops: NextHops { ipv4: None, ipv6: None },
            import: Import::Report,
        };
        let mut peer = Peer::new(settings, 1);
        peer.start(at(0));
        assert_eq!(peer.poll_action(), Some(Action::Dial));
        peer
    }

    fn their_open() -> Vec<u8> {
        let mut out = Vec::new();
        terms(65000, 65001, [10, 0, 0, 2]).open().encode(&mut out);
        out
    }

    fn message(kind: MessageType, body: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        let start = header::begin(&mut out, kind);
        out.extend_from_slice(body);
        header::finish(&mut out, start);
        out
    }

    fn connect(peer: &mut Peer, now: Time, side: Side) {
        peer.connected(now, side, address(US), address(THEM));
        let count = peer.transmit(side).len();
        peer.transmitted(now, side, count);
    }

    fn receive(peer: &mut Peer, now: Time, side: Side, bytes: &[u8]) {
        peer.receive(now, side, bytes);
        let count = peer.transmit(side).len();
        peer.transmitted(now, side, count);
    }

    /// All in one segment, while the other connection goes under: the routes
    /// are those of the session that came up, so they come after it.
    #[test]
    fn routes_are_reported_between_the_up_and_the_down_of_their_session() {
        let mut peer = dialling();
        connect(&mut peer, at(1), Side::Outgoing);
        receive(&mut peer, at(2), Side::Outgoing, &their_open());
        assert!(peer.accept(at(3)));
        connect(&mut peer, at(3), Side::Incoming);
        let attributes =
            [0x40, 1, 1, 0, 0x40, 2, 6, 2, 1, 0, 0, 0xfd, 0xe8, 0x40, 3, 4, 10, 0, 0, 2];
        let update = [&[0, 0, 0, 20][..], &attributes, &[24, 203, 0, 113]].concat();
        let mut all = their_open();
        all.extend(message(MessageType::Keepalive, &[]));
        all.extend(message(MessageType::Update, &update));
        all.extend(message(MessageType::Notification, &[6, 2]));
        receive(&mut peer, at(4), Side::Incoming, &all);
        let mut seen = Vec::new();
        while let Some(action) = peer.poll_action() {
            match action {
                Action::Up { side, .. } => seen.push(format!("up {side:?}")),
                Action::Down { side, .. } => seen.push(format!("down {side:?}")),
                Action::Learned { announced, .. } => seen.push(format!("learned {announced:?}")),
                Action::Dial | Action::HangUp | Action::Close { .. } => {}
            }
        }
        let learned = "learned [203.0.113.0/24]";
        assert_eq!(seen, ["down Outgoing", "up Incoming", learned, "down Incoming"]);
    }

    /// The neighbour confirmed our connection and then, before we read it,
    /// preferred its own.
    #[test]
    fn a_session_that_is_over_takes_no_other_with_it() {
        let mut peer = dialling();
        connect(&mut peer, at(1), Side::Outgoing);
        receive(&mut peer, at(2), Side::Outgoing, &their_open());
        assert!(peer.accept(at(3)));
        connect(&mut peer, at(3), Side::Incoming);
        let mut both = message(MessageType::Keepalive, &[]);
        both.extend(message(MessageType::Notification, &[6, 7]));
        receive(&mut peer, at(4), Side::Outgoing, &both);
        assert_eq!(peer.established(), None);
        receive(&mut peer, at(5), Side::Incoming, &their_open());
        receive(&mut peer, at(6), Side::Incoming, &message(MessageType::Keepalive, &[]));
        assert_eq!(peer.established(), Some((Side::Incoming, at(6))));
    }

    /// Established at our end only: the neighbour would prefer the newcomer
    /// once it saw our OPEN on it.
    #[test]
    fn a_newcomer_beside_an_established_session_gets_no_open() {
        let mut peer = dialling();
        connect(&mut peer, at(1), Side::Outgoing);
        receive(&mut peer, at(2), Side::Outgoing, &their_open());
        receive(&mut peer, at(3), Side::Outgoing, &message(MessageType::Keepalive, &[]));
        assert!(!peer.accept(at(4)));
        assert!(!peer.transmit(Side::Outgoing).is_empty(), "the established one is probed");
    }

    /// A neighbour that restarted in the middle of the handshake must not wait
    /// for the hold time of the connection that it forgot.
    #[test]
    fn a_newcomer_makes_a_half_made_session_ask_for_a_sign_of_life() {
        for half_made in [Side::Outgoing, Side::Incoming] {
            let mut peer = dialling();
            if half_made == Side::Incoming {
                assert!(peer.accept(at(1)));
            }
            connect(&mut peer, at(1), half_made);
            receive(&mut peer, at(2), half_made, &their_open());
            assert_eq!(peer.state(), State::OpenConfirm);
            if peer.accept(at(1000)) {
                // Ours is the lower identifier, so theirs is kept.
                connect(&mut peer, at(1000), Side::Incoming);
                receive(&mut peer, at(1001), Side::Incoming, &their_open());
                assert!(peer.session(half_made).is_none_or(|s| s.state() == State::Active));
            } else {
                assert!(!peer.transmit(half_made).is_empty(), "{half_made:?}");
            }
        }
    }
}
