//! One neighbour: up to two sessions at a time, which of them is kept, what
//! follows when one ends, and the writer of the one that is established.

mod actions;
mod change;
#[cfg(test)]
mod played;
mod view;

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Duration;

use super::down::{Down, DownReason};
use super::export::Exporter;
use super::intake::{Intake, Resolution, limit_cease};
use super::message::notification::{Notification, code, open_error};
use super::message::prefix::{Family, FamilySet};
use super::negotiation::{Negotiated, Terms};
use super::offer::RestartOffer;
use super::peer_settings::{Import, PeerSettings};
use super::retained::Retained;
use super::rib::Key;
use super::rib::originated::Originated;
use super::rib::received::Received;
use super::session::{Event, Session, Start, State};
use super::timers::jitter;
use super::writer::Writer;
use crate::reactor::Time;
use crate::reactor::random::Random;

pub use self::actions::{Action, Learned, PeerCounters, Side};
pub use super::intake::collision_cease;

/// The first wait after a session failed; it doubles up to
/// [`IDLE_HOLD_MAXIMUM`], and starts over once a session lasts
/// [`STABLE_AFTER`]. Only a session with a valid OPEN sets it off, so a
/// stranger who reaches the port cannot keep a neighbour out.
const IDLE_HOLD_FIRST: Duration = Duration::from_millis(100);
const IDLE_HOLD_MAXIMUM: Duration = Duration::from_secs(10);
const STABLE_AFTER: Duration = Duration::from_secs(30);

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
    /// What the octets that are being read bring: it is reported after the Up
    /// that came before them, and before the Down that comes after.
    reports: Vec<Action>,
    received: Received,
    /// The families of which this session has come near to its limit.
    warned: FamilySet,
    retained: Retained,
    counters: PeerCounters,
    last_down: Option<(Time, DownReason)>,
    last_sent: Option<(Time, Notification)>,
    last_received: Option<(Time, Notification)>,
    /// The next session offers no capabilities (RFC 5492 §3).
    plain: bool,
    /// Until when we count as restarted (RFC 4724 §4.1).
    restarted_until: Option<Time>,
    kept_out_until: Option<Time>,
    /// When the next announcements may go.
    advertise_at: Option<Time>,
    /// See [`Peer::take_moved`].
    moved: Vec<(Key, bool)>,
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
            reports: Vec::new(),
            received: Received::default(),
            warned: FamilySet::EMPTY,
            retained: Retained::default(),
            counters: PeerCounters::default(),
            last_down: None,
            last_sent: None,
            last_received: None,
            plain: false,
            restarted_until: None,
            kept_out_until: None,
            advertise_at: None,
            moved: Vec::new(),
        }
    }

    /// Starts: the first attempt is made at once.
    pub fn start(&mut self, now: Time) {
        self.stopped = false;
        let restart = self.settings.terms.offer.graceful_restart;
        self.restarted_until = restart.map(|r| now + Duration::from_secs(r.time.into()));
        self.ensure_outgoing(now, Start::Now);
        self.settle(now);
    }

    /// A fresh neighbour with the same settings that waits a while before it
    /// dials, for use after a fault in this one's handling. Those who follow what
    /// is reported hear that the session and the routes are gone.
    pub fn renewed(&mut self, now: Time) -> Peer {
        let mut fresh = Peer::new(self.settings.clone(), self.random.next_u64());
        fresh.stopped = self.stopped;
        fresh.counters = self.counters();
        fresh.kept_out_until = self.kept_out_until;
        let reported = |action: &Action| {
            matches!(action, Action::Up { .. } | Action::Down { .. } | Action::Learned(_))
        };
        fresh.actions.extend(self.actions.drain(..).filter(reported));
        if let Some((side, since)) = self.established {
            let reason = DownReason::ConnectionClosed;
            let down = Down { reason, had_open: true, was_established: true };
            fresh.counters.flaps = fresh.counters.flaps.saturating_add(1);
            fresh.last_down = Some((now, down.reason.clone()));
            fresh.actions.push_back(Action::Down { side, down, uptime: now.since(since) });
        }
        fresh.received = std::mem::take(&mut self.received);
        fresh.received.mark_stale(FamilySet::ALL);
        fresh.forget_stale(FamilySet::ALL);
        self.close_writer();
        fresh.moved = std::mem::take(&mut self.moved);
        let wait = fresh.kept_out_until.map_or(Duration::ZERO, |until| until.since(now));
        fresh.ensure_outgoing(now, Start::AfterIdleHold(wait.max(IDLE_HOLD_MAXIMUM)));
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

    /// See [`Session::worded`].
    pub fn worded(&self, side: Side, notification: Notification) -> Notification {
        match self.session(side) {
            Some(session) => session.worded(notification),
            None => notification,
        }
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
        if self.stopped || self.kept_out_until.is_some_and(|until| now < until) {
            return false;
        }
        self.give_way(now);
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
        self.incoming = Some(Session::incoming(self.terms(now), seed));
        true
    }

    /// RFC 4724 §4.2: a neighbour that restarts gracefully and connects again
    /// has lost the session that we still think is established. One that has no
    /// family in its capability never does (§5).
    fn give_way(&mut self, now: Time) {
        let Some((side, _)) = self.established else { return };
        let restart =
            self.session(side).and_then(Session::negotiated).and_then(|n| n.graceful_restart);
        if restart.is_some_and(|restart| !restart.families.is_empty())
            && let Some(session) = self.session_mut(side)
        {
            session.closed(now);
            self.settle(now);
        }
    }

    /// What we bring to the next session.
    fn terms(&self, now: Time) -> Terms {
        let mut terms = self.settings.terms.clone();
        let restarted = self.restarted_until.is_some_and(|until| now < until);
        terms.offer.graceful_restart =
            terms.offer.graceful_restart.map(|offer| RestartOffer { restarted, ..offer });
        terms.offer.plain |= self.plain;
        terms
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
            import: self.settings.import,
            limit: self.settings.limit,
            counters: &mut self.counters,
            received: &mut self.received,
            warned: &mut self.warned,
            reports: &mut self.reports,
            resolution: Resolution::Undecided,
            refreshes: FamilySet::EMPTY,
            swept: FamilySet::EMPTY,
            exceeded: None,
        };
        let session = match side {
            Side::Outgoing => &mut self.outgoing,
            Side::Incoming => &mut self.incoming,
        };
        if let Some(session) = session {
            session.receive(now, bytes, &mut intake);
        }
        let Intake { resolution, refreshes, swept, exceeded, .. } = intake;
        if let Some(other) = self.session_mut(side.other()) {
            match resolution {
                Resolution::CloseOther => other.stop(now, collision_cease()),
                Resolution::CloseThis => other.probe(now),
                Resolution::Undecided => {}
            }
        }
        for family in refreshes.iter() {
            self.reports.push(Action::RefreshAsked(family));
            if let Some(writer) = &mut self.writer {
                writer.refresh(family);
            }
        }
        if let (Some(family), Some(limit)) = (exceeded, self.settings.limit) {
            self.kept_out_until = Some(now + limit.restart);
            // Nor does it get in by its other connection.
            for side in [side, side.other()] {
                if let Some(session) = self.session_mut(side) {
                    session.stop(now, limit_cease(family, limit));
                }
            }
        }
        self.settle(now);
        self.retained.arrived(swept);
    }

    /// Fires the timers that are due.
    pub fn timeout(&mut self, now: Time) {
        for side in [Side::Outgoing, Side::Incoming] {
            if let Some(session) = self.session_mut(side) {
                session.timeout(now);
            }
        }
        if self.retained.take_due(now) {
            self.forget_stale(FamilySet::ALL);
        }
        if self.advertise_at.is_some_and(|at| at <= now) {
            self.advertise_at = None;
            if let Some(writer) = &mut self.writer {
                writer.hold(false);
            }
        }
        self.settle(now);
    }

    /// When [`Peer::timeout`] must be called.
    pub fn deadline(&self) -> Option<Time> {
        let of = |session: &Option<Session>| session.as_ref().and_then(Session::deadline);
        let sessions = of(&self.outgoing).into_iter().chain(of(&self.incoming));
        sessions.chain(self.retained.deadline()).chain(self.advertise_at).min()
    }

    /// The path of `key` may have changed.
    pub fn mark(&mut self, key: Key) {
        if let Some(writer) = &mut self.writer {
            writer.mark(key);
        }
    }

    /// Asks the neighbour for `family` again in full; returns whether it is
    /// established and can be asked (RFC 2918 §4).
    pub fn request_refresh(&mut self, now: Time, family: Family) -> bool {
        let side = self.established.map(|(side, _)| side);
        side.and_then(|side| self.session_mut(side))
            .is_some_and(|session| session.request_refresh(now, family))
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
            && writer.is_due(table)
        {
            writer.begin_round();
            session.send_routes(now, |out| writer.next_message(table, out) && !writer.is_spent());
            let interval = self.settings.advertisement_interval;
            if !interval.is_zero() && !writer.is_due(table) && writer.take_announced() {
                writer.hold(true);
                self.advertise_at = Some(now + jitter(interval, &mut self.random));
            }
            self.moved.append(&mut writer.take_moved());
        }
    }

    /// The keys that the neighbour has since the last call, with `true`, and
    /// those that it has no more; see [`Writer::take_moved`].
    pub fn take_moved(&mut self) -> Vec<(Key, bool)> {
        std::mem::take(&mut self.moved)
    }

    /// With its session the neighbour loses all that it was sent.
    pub(super) fn close_writer(&mut self) {
        let Some(mut writer) = self.writer.take() else { return };
        self.moved.append(&mut writer.take_moved());
        self.moved.extend(writer.sent().map(|(key, _)| (*key, false)));
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
        let mut session = Session::outgoing(self.terms(now), seed);
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
        self.actions.extend(self.reports.drain(..));
    }

    fn session_event(&mut self, now: Time, side: Side, event: Event) {
        match event {
            Event::Dial => self.actions.push_back(Action::Dial),
            Event::HangUp => self.actions.push_back(Action::HangUp),
            Event::Up => self.session_up(now, side),
            Event::Down(down) => {
                if self.established.is_some_and(|(established, _)| established == side) {
                    self.actions.extend(self.reports.drain(..));
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
            extended_next_hop: negotiated.extended_next_hop,
            role: negotiated.role,
        };
        self.writer = Some(Writer::new(exporter, negotiated.clone()));
        self.established = Some((side, now));
        self.restarted_until = None;
        // One that is over may be so because it announced too much at once.
        if !over {
            self.kept_out_until = None;
        }
        let lost = self.retained.back(now, &negotiated);
        let hold_time = negotiated.hold_time;
        self.actions.push_back(Action::Up { side, negotiated });
        let kept_for_later = std::mem::take(&mut self.reports);
        self.forget_stale(lost);
        self.reports.extend(kept_for_later);
        // A session that has ended since, in the same octets, takes no other
        // with it. Nor is one closed that waits for its OPEN: until that comes
        // there is no collision (RFC 4271 §6.8), and the neighbour may still
        // prefer it to this one. It waits no longer than a silent session.
        if let Some(other) = self.session_mut(side.other())
            && !over
        {
            match other.state() {
                State::OpenSent if hold_time.is_zero() => {}
                State::OpenSent => other.hurry(now, hold_time),
                _ => other.stop(now, collision_cease()),
            }
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
            self.close_writer();
            self.advertise_at = None;
            self.warned = FamilySet::EMPTY;
            self.counters.flaps = self.counters.flaps.saturating_add(1);
            if uptime >= STABLE_AFTER {
                self.failures = 0;
            }
            self.retain(now, session.negotiated(), &down);
        }
        let start = self.after(now, &down);
        if down.reason != DownReason::Stopped {
            self.note_down(now, &down);
            self.actions.push_back(Action::Down { side, down, uptime });
        }
        self.ensure_outgoing(now, start);
    }

    fn note_down(&mut self, now: Time, down: &Down) {
        // Who loses a collision says nothing of why the last session ended.
        let beside = self.established.is_some() || down.reason.is_collision();
        if down.was_established || !beside {
            self.last_down = Some((now, down.reason.clone()));
        }
        // RFC 5492 §3: a neighbour that knows no capabilities is spoken to
        // without, once. Without a common family that would be in vain.
        let ipv4 = self.settings.terms.families.contains(Family::Ipv4Unicast);
        let worth = ipv4 && !self.settings.terms.offer.strict_role && !self.plain;
        let refused = (code::OPEN, open_error::UNSUPPORTED_OPTIONAL_PARAMETER);
        self.plain = worth
            && matches!(&down.reason, DownReason::Received(n) if (n.code, n.subcode) == refused);
        if down.reason.is_collision() {
            return;
        }
        match &down.reason {
            DownReason::Sent(n) => self.last_sent = Some((now, n.clone())),
            DownReason::Received(n) => self.last_received = Some((now, n.clone())),
            DownReason::ConnectionClosed | DownReason::Stopped => {}
        }
    }

    /// Keeps the routes of a neighbour that restarts gracefully, and loses all
    /// others.
    fn retain(&mut self, now: Time, negotiated: Option<&Negotiated>, down: &Down) {
        // RFC 4724 §4.2: what was stale already has not come in between.
        self.forget_stale(FamilySet::ALL);
        self.retained.end();
        let kept = negotiated.map(|n| Retained::families(n, down)).unwrap_or_default();
        if let Some(negotiated) = negotiated.filter(|_| !kept.is_empty() && !self.stopped) {
            self.received.mark_stale(kept);
            self.retained.begin(now, negotiated);
        }
        let mut lost = FamilySet::ALL;
        if self.retained.deadline().is_some() {
            kept.iter().for_each(|family| lost.remove(family));
        }
        self.received.mark_stale(lost);
        self.forget_stale(lost);
    }

    fn forget_stale(&mut self, families: FamilySet) {
        let withdrawn = self.received.take_stale(families);
        if !withdrawn.is_empty() && self.settings.import == Import::Report {
            self.reports.push(Action::Learned(Learned { withdrawn, announced: Vec::new() }));
        }
    }

    /// How the next attempt begins after a session ended.
    fn after(&mut self, now: Time, down: &Down) -> Start {
        if let Some(until) = self.kept_out_until
            && now < until
        {
            return Start::AfterIdleHold(until.since(now));
        }
        if !down.had_open || down.reason.is_collision() {
            return Start::AfterConnectRetry;
        }
        let doubled = IDLE_HOLD_FIRST.saturating_mul(1 << self.failures.min(16));
        self.failures = self.failures.saturating_add(1);
        Start::AfterIdleHold(jitter(doubled.min(IDLE_HOLD_MAXIMUM), &mut self.random))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
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
        let terms = terms(65001, 65000, [10, 0, 0, 1]);
        let settings = PeerSettings::new("them", address(THEM).ip(), terms);
        let mut peer = Peer::new(PeerSettings { import: Import::Report, ..settings }, 1);
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
                Action::Learned(learned) => {
                    let keys = learned.announced.iter().flat_map(|(keys, _)| keys);
                    seen.extend(keys.map(|key| format!("learned {}", key.prefix)));
                    seen.extend(learned.withdrawn.iter().map(|key| format!("lost {}", key.prefix)));
                }
                _ => {}
            }
        }
        let (learned, lost) = ("learned 203.0.113.0/24", "lost 203.0.113.0/24");
        assert_eq!(seen, ["down Outgoing", "up Incoming", learned, "down Incoming", lost]);
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

    /// Its other end is gone, and nobody says so.
    #[test]
    fn a_silent_connection_beside_an_established_session_ends_with_the_hold_time() {
        let mut peer = dialling();
        connect(&mut peer, at(1), Side::Outgoing);
        assert!(peer.accept(at(2)));
        connect(&mut peer, at(2), Side::Incoming);
        receive(&mut peer, at(3), Side::Incoming, &their_open());
        receive(&mut peer, at(4), Side::Incoming, &message(MessageType::Keepalive, &[]));
        assert_eq!(peer.session(Side::Outgoing).map(Session::state), Some(State::OpenSent));
        // What keeps the established one alive.
        receive(&mut peer, at(9003), Side::Incoming, &message(MessageType::Keepalive, &[]));
        peer.timeout(at(9003));
        assert!(peer.session(Side::Outgoing).is_some(), "it has as long as a silent session");
        peer.timeout(at(9004));
        assert!(peer.session(Side::Outgoing).is_none());
        assert!(peer.established().is_some());
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
