//! The finite state machine of RFC 4271 §8 for one transport connection.
//!
//! A pure value: bytes, events and the time go in; bytes, events and one
//! deadline come out. A session lives for at most one connection that came to
//! be; its [`super::peer::Peer`] makes a fresh one afterwards, so nothing of an
//! old connection can leak into the next.
//!
//! The optional attributes DelayOpen, DampPeerOscillations and TrackTcpState
//! (RFC 4271 §8.1.1) are not offered.

mod events;

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Duration;

use super::counts::MessageCounts;
use super::down::{Down, DownReason};
use super::message::header::{self, Frame, MessageType};
use super::message::notification::{Notification, code, fsm_error};
use super::message::open::Open;
use super::message::prefix::{Family, FamilySet};
use super::message::route_refresh::{RouteRefresh, subtype};
use super::message::update::{self, Context, Update};
use super::negotiation::{Negotiated, Terms, negotiate};
use super::outbox::Outbox;
use super::timers::{Timer, Timers, jitter};
use crate::reactor::Time;
use crate::reactor::random::Random;

pub use self::events::{Event, Handler, Start, State, Verdict};

/// The wait for the neighbour's OPEN: RFC 4271 §8.2.2 suggests a large value,
/// four minutes.
const OPEN_HOLD: Duration = Duration::from_secs(240);

/// The send hold time is never under eight minutes (RFC 9687 §3.1).
const SEND_HOLD_MINIMUM: Duration = Duration::from_secs(480);

/// One input of the state machine: the events of RFC 4271 §8.1. It lives on the
/// stack for one step, so its size costs nothing.
#[allow(clippy::large_enum_variant)]
enum Input<'a> {
    Start(Start),
    Stop(Notification),
    Connected,
    ConnectFailed,
    Closed,
    Expired(Timer),
    Open(Open),
    Keepalive,
    Update(Update<'a>),
    Refresh(RouteRefresh),
    Notification(Notification),
    /// A message that has no place in this state, whatever it says.
    Unexpected,
    /// A message that could not be parsed, with the answer it deserves.
    Malformed(Notification),
}

/// One session: see the module's page.
#[derive(Clone, Debug)]
pub struct Session {
    terms: Terms,
    state: State,
    over: bool,
    timers: Timers,
    random: Random,
    inbox: Vec<u8>,
    outbox: Outbox,
    negotiated: Option<Negotiated>,
    endpoints: Option<(SocketAddr, SocketAddr)>,
    events: VecDeque<Event>,
    received: MessageCounts,
    sent: MessageCounts,
}

impl Session {
    fn new(terms: Terms, state: State, seed: u64) -> Session {
        Session {
            terms,
            state,
            over: false,
            timers: Timers::default(),
            random: Random::new(seed),
            inbox: Vec::new(),
            outbox: Outbox::default(),
            negotiated: None,
            endpoints: None,
            events: VecDeque::new(),
            received: MessageCounts::default(),
            sent: MessageCounts::default(),
        }
    }

    /// A session that dials, once [`Session::start`] is called.
    pub fn outgoing(terms: Terms, seed: u64) -> Session {
        Session::new(terms, State::Idle, seed)
    }

    /// A session for a connection that the neighbour opened; call
    /// [`Session::connected`] next.
    pub fn incoming(terms: Terms, seed: u64) -> Session {
        Session::new(terms, State::Active, seed)
    }

    /// ManualStart or AutomaticStart (RFC 4271 §8.1.2, events 1 and 3).
    pub fn start(&mut self, now: Time, start: Start) {
        self.step(now, Input::Start(start), &mut NoHandler);
    }

    /// The connection is up (events 16 and 17).
    pub fn connected(&mut self, now: Time, local: SocketAddr, remote: SocketAddr) {
        self.endpoints = Some((local, remote));
        self.step(now, Input::Connected, &mut NoHandler);
    }

    /// The connection could not be made (event 18, before a connection).
    pub fn connect_failed(&mut self, now: Time) {
        self.step(now, Input::ConnectFailed, &mut NoHandler);
    }

    /// The connection ended (event 18, after a connection).
    pub fn closed(&mut self, now: Time) {
        self.step(now, Input::Closed, &mut NoHandler);
    }

    /// ManualStop or AutomaticStop (events 2 and 8): `cease` goes to the
    /// neighbour if there is a connection.
    pub fn stop(&mut self, now: Time, cease: Notification) {
        self.step(now, Input::Stop(cease), &mut NoHandler);
    }

    /// Fires every timer that is due (events 9 to 13).
    pub fn timeout(&mut self, now: Time) {
        while let Some(timer) = self.timers.take_due(now) {
            self.step(now, Input::Expired(timer), &mut NoHandler);
        }
    }

    /// Takes octets from the connection, in whatever pieces they come. Whole
    /// messages are read where they lie; only a partial one is copied.
    pub fn receive(&mut self, now: Time, mut bytes: &[u8], handler: &mut dyn Handler) {
        while !self.inbox.is_empty() && !bytes.is_empty() {
            let wanted = octets_missing(&self.inbox).clamp(1, bytes.len());
            let Some((head, rest)) = bytes.split_at_checked(wanted) else { return };
            self.inbox.extend_from_slice(head);
            bytes = rest;
            let inbox = std::mem::take(&mut self.inbox);
            let partial = !self.receive_whole(now, &inbox, handler).is_empty();
            if partial && !self.over {
                self.inbox = inbox;
            }
        }
        let partial = self.receive_whole(now, bytes, handler);
        if !partial.is_empty() && !self.over {
            self.inbox.extend_from_slice(partial);
        }
    }

    /// Handles the whole messages at the front of `bytes` and returns the
    /// partial one that follows them.
    fn receive_whole<'a>(
        &mut self,
        now: Time,
        mut bytes: &'a [u8],
        handler: &mut dyn Handler,
    ) -> &'a [u8] {
        while !self.over {
            match header::next_frame(bytes, self.longest_received()) {
                Ok(Some(frame)) => {
                    self.message(now, &frame, handler);
                    bytes = bytes.get(frame.length..).unwrap_or_default();
                }
                Ok(None) => return bytes,
                // Nothing after it can be framed.
                Err(answer) => {
                    self.step(now, Input::Malformed(answer), handler);
                    return &[];
                }
            }
        }
        &[]
    }

    /// The longest message that may come: once our capability is there, the
    /// neighbour may send extended ones, whatever it takes itself (RFC 8654 §4).
    fn longest_received(&self) -> usize {
        match self.negotiated.as_ref().is_some_and(|_| !self.terms.offer.plain) {
            true => header::EXTENDED_MAX_LENGTH,
            false => header::MAX_LENGTH,
        }
    }

    fn message(&mut self, now: Time, frame: &Frame<'_>, handler: &mut dyn Handler) {
        self.received.add(frame.kind);
        let context = self.context();
        let input = match frame.kind {
            // An error by its kind, so what it says is not looked at: RFC 4271
            // §8.2.2 counts even a malformed OPEN as an error of the FSM here.
            MessageType::Open if self.state == State::Established => Ok(Input::Unexpected),
            MessageType::Update | MessageType::RouteRefresh if self.state != State::Established => {
                Ok(Input::Unexpected)
            }
            MessageType::Open => Open::parse(frame.body).map(Input::Open),
            MessageType::Update => update::parse(frame.body, &context).map(Input::Update),
            MessageType::Notification => {
                // A malformed NOTIFICATION is never answered (RFC 4271 §6.4).
                Ok(Input::Notification(Notification::parse(frame.body).unwrap_or_else(|bad| bad)))
            }
            MessageType::Keepalive => Ok(Input::Keepalive),
            MessageType::RouteRefresh => {
                let enhanced = self.negotiated.as_ref().is_some_and(|n| n.enhanced_refresh);
                RouteRefresh::parse(frame.body, enhanced).map(Input::Refresh)
            }
        };
        self.step(now, input.unwrap_or_else(Input::Malformed), handler);
    }

    fn context(&self) -> Context {
        let agreed = self.negotiated.as_ref();
        Context {
            four_octet_as: agreed.is_some_and(|n| n.four_octet_as),
            ibgp: self.terms.is_ibgp(),
            families: agreed.map(|n| n.families).unwrap_or_default(),
            add_path: agreed.map(|n| n.add_path_received).unwrap_or_default(),
            extended_next_hop: match agreed.is_some_and(|n| n.extended_next_hop) {
                true => [Family::Ipv4Unicast].into_iter().collect(),
                false => FamilySet::EMPTY,
            },
        }
    }

    /// The transitions of RFC 4271 §8.2.2, state by state.
    fn step(&mut self, now: Time, input: Input<'_>, handler: &mut dyn Handler) {
        use State::{Active, Connect, Established, Idle, OpenConfirm, OpenSent};
        if self.over {
            return;
        }
        match (self.state, input) {
            (Idle, Input::Start(Start::AfterIdleHold(wait))) => {
                self.timers.set(Timer::IdleHold, now + wait);
            }
            (Idle, Input::Start(Start::AfterConnectRetry)) => self.wait_in_active(now),
            (Idle, Input::Start(Start::Now) | Input::Expired(Timer::IdleHold)) => self.dial(now),
            (Idle | Connect | Active, Input::Stop(_) | Input::Closed) => {
                self.finish(DownReason::Stopped);
            }

            (Connect | Active, Input::Connected) => self.send_open(now),
            // RFC 4271 §8.2.2 goes back to Idle here, where the neighbour's own
            // connection would be refused; waiting in Active is what speakers do.
            (Connect, Input::ConnectFailed) => self.wait_in_active(now),
            (Connect, Input::Expired(Timer::ConnectRetry)) => {
                self.events.push_back(Event::HangUp);
                self.dial(now);
            }
            (Active, Input::Expired(Timer::ConnectRetry)) => self.dial(now),
            (Idle | Connect | Active, _) => {}

            (OpenSent | OpenConfirm | Established, Input::Closed) => {
                self.finish(DownReason::ConnectionClosed);
            }
            (OpenSent | OpenConfirm | Established, Input::Stop(cease)) => self.notify(cease),
            (OpenSent | OpenConfirm | Established, Input::Malformed(answer)) => {
                self.notify(answer);
            }
            (OpenSent | OpenConfirm | Established, Input::Notification(received)) => {
                self.finish(DownReason::Received(received));
            }
            (OpenSent | OpenConfirm | Established, Input::Expired(timer)) => {
                self.expired(now, timer);
            }

            (OpenSent, Input::Open(open)) => self.judge_open(now, &open, handler),
            (OpenSent, Input::Keepalive | Input::Unexpected) => {
                self.unexpected(fsm_error::UNEXPECTED_MESSAGE_IN_OPEN_SENT);
            }

            (OpenConfirm, Input::Keepalive) => {
                self.restart_hold(now);
                self.state = Established;
                self.events.push_back(Event::Up);
            }
            (OpenConfirm, Input::Open(_) | Input::Unexpected) => {
                self.unexpected(fsm_error::UNEXPECTED_MESSAGE_IN_OPEN_CONFIRM);
            }

            (Established, Input::Keepalive) => self.restart_hold(now),
            (Established, Input::Update(update)) => {
                self.restart_hold(now);
                if let Some(negotiated) = &self.negotiated {
                    handler.update(negotiated, &update);
                }
            }
            (Established, Input::Refresh(refresh)) => self.refresh_asked(refresh, handler),
            (Established, Input::Unexpected) => {
                self.unexpected(fsm_error::UNEXPECTED_MESSAGE_IN_ESTABLISHED);
            }

            (OpenSent | OpenConfirm | Established, _) => {}
        }
    }

    fn dial(&mut self, now: Time) {
        if self.terms.passive {
            self.state = State::Active;
            return;
        }
        self.state = State::Connect;
        let wait = jitter(self.terms.connect_retry, &mut self.random);
        self.timers.set(Timer::ConnectRetry, now + wait);
        self.events.push_back(Event::Dial);
    }

    fn wait_in_active(&mut self, now: Time) {
        self.state = State::Active;
        // The retry timer that started with the attempt goes on, so attempts
        // are `connect_retry` apart however fast each one fails.
        if !self.terms.passive && self.timers.get(Timer::ConnectRetry).is_none() {
            let wait = jitter(self.terms.connect_retry, &mut self.random);
            self.timers.set(Timer::ConnectRetry, now + wait);
        }
    }

    fn send_open(&mut self, now: Time) {
        self.timers.stop_all();
        self.state = State::OpenSent;
        let open = self.terms.open();
        self.queue(now, MessageType::Open, |out| open.encode(out));
        self.timers.set(Timer::Hold, now + OPEN_HOLD);
    }

    fn judge_open(&mut self, now: Time, open: &Open, handler: &mut dyn Handler) {
        let negotiated = match negotiate(&self.terms, open) {
            Ok(negotiated) => negotiated,
            Err(answer) => return self.notify(answer),
        };
        let verdict = handler.open_received(&negotiated);
        let keepalive = negotiated.keepalive;
        self.negotiated = Some(negotiated);
        if verdict == Verdict::Collides {
            return self.notify(super::peer::collision_cease());
        }
        self.state = State::OpenConfirm;
        self.queue_keepalive(now);
        if keepalive.is_zero() {
            // Without a hold time the wait for the KEEPALIVE still has an end,
            // that of the wait for the OPEN: a silent connection would keep the
            // neighbour's others out for ever.
            self.timers.stop(Timer::Keepalive);
        } else {
            self.restart_hold(now);
        }
    }

    fn refresh_asked(&mut self, refresh: RouteRefresh, handler: &mut dyn Handler) {
        // RFC 2918 §4 ignores families that were not negotiated, RFC 7313 §5
        // subtypes that are not known; without its capability the octet is
        // reserved, and what is not 0 is not for us.
        let Some(agreed) = &self.negotiated else { return };
        let known = match refresh.subtype {
            subtype::REQUEST => true,
            subtype::BEGIN | subtype::END => agreed.enhanced_refresh,
            _ => false,
        };
        if let Some(family) = refresh.family().filter(|f| known && agreed.families.contains(*f)) {
            handler.refresh(family, refresh.subtype);
        }
    }

    fn expired(&mut self, now: Time, timer: Timer) {
        match timer {
            Timer::Hold => self.notify(Notification::new(code::HOLD_TIMER, 0)),
            // The NOTIFICATION cannot leave either; it is queued for a
            // neighbour that reads again while the connection is closed.
            Timer::SendHold => self.notify(Notification::new(code::SEND_HOLD, 0)),
            // A message that waits to be sent is as good a sign of life.
            Timer::Keepalive if self.transmit().is_empty() => self.queue_keepalive(now),
            Timer::Keepalive => self.restart_keepalive(now),
            Timer::ConnectRetry | Timer::IdleHold => {}
        }
    }

    fn unexpected(&mut self, subcode: u8) {
        // RFC 6608 §3: FSM errors say in which state.
        self.notify(Notification::new(code::FSM, subcode));
    }

    /// How the neighbour is told so: what is final is a hard reset for one that
    /// would keep our routes after anything else (RFC 8538 §3).
    pub fn worded(&self, notification: Notification) -> Notification {
        let survives = self.negotiated.as_ref().is_some_and(Negotiated::survives_notification);
        match survives && self.state == State::Established && notification.is_final() {
            true => notification.into_hard_reset(),
            false => notification,
        }
    }

    fn notify(&mut self, notification: Notification) {
        let notification = self.worded(notification);
        self.sent.add(MessageType::Notification);
        notification.encode(self.outbox.end());
        self.finish(DownReason::Sent(notification));
    }

    fn finish(&mut self, reason: DownReason) {
        let down = Down {
            reason,
            had_open: self.negotiated.is_some(),
            was_established: self.state == State::Established,
        };
        self.over = true;
        self.state = State::Idle;
        self.timers.stop_all();
        self.inbox = Vec::new();
        self.events.push_back(Event::Down(down));
    }

    fn restart_hold(&mut self, now: Time) {
        match self.negotiated.as_ref().map(|n| n.hold_time) {
            Some(hold) if !hold.is_zero() => self.timers.set(Timer::Hold, now + hold),
            _ => self.timers.stop(Timer::Hold),
        }
    }

    fn restart_keepalive(&mut self, now: Time) {
        if let Some(every) = self.negotiated.as_ref().map(|n| n.keepalive)
            && !every.is_zero()
        {
            let wait = jitter(every, &mut self.random);
            self.timers.set(Timer::Keepalive, now + wait);
        }
    }

    fn restart_send_hold(&mut self, now: Time) {
        let hold = self.negotiated.as_ref().map_or(OPEN_HOLD, |n| n.hold_time);
        if hold.is_zero() {
            // RFC 9687 §3.1: no hold time, no send hold time.
            return self.timers.stop(Timer::SendHold);
        }
        let wait = hold.saturating_mul(2).max(SEND_HOLD_MINIMUM);
        self.timers.set(Timer::SendHold, now + wait);
    }

    fn queue_keepalive(&mut self, now: Time) {
        self.queue(now, MessageType::Keepalive, header::encode_keepalive);
        self.restart_keepalive(now);
    }

    fn queue(&mut self, now: Time, kind: MessageType, encode: impl FnOnce(&mut Vec<u8>)) {
        encode(self.outbox.end());
        self.sent.add(kind);
        if self.timers.get(Timer::SendHold).is_none() {
            self.restart_send_hold(now);
        }
    }

    /// Asks the neighbour for `family` again in full (RFC 2918 §4); returns
    /// whether it is one that can be asked, and reads what it is sent.
    pub fn request_refresh(&mut self, now: Time, family: Family) -> bool {
        let able = |n: &Negotiated| n.route_refresh && n.families.contains(family);
        let able = self.state == State::Established
            && self.outbox.has_room()
            && self.negotiated.as_ref().is_some_and(able);
        if able {
            let request = RouteRefresh::request(family);
            self.queue(now, MessageType::RouteRefresh, |out| request.encode(out));
        }
        able
    }

    /// Waits no longer than `wait` for the neighbour's OPEN, since another
    /// session with it is established: this one may be a connection whose other
    /// end is gone.
    pub fn hurry(&mut self, now: Time, wait: Duration) {
        let at = now + wait;
        if self.state == State::OpenSent && self.timers.get(Timer::Hold).is_some_and(|t| t > at) {
            self.timers.set(Timer::Hold, at);
        }
    }

    /// Sends a KEEPALIVE out of turn, where one may be sent: a connection whose
    /// other end is gone answers it with a reset.
    pub fn probe(&mut self, now: Time) {
        if matches!(self.state, State::OpenConfirm | State::Established)
            && self.transmit().is_empty()
        {
            self.queue_keepalive(now);
        }
    }

    /// Lets `fill` append whole messages to the outbox, one a call, while there
    /// is room for one of full length; it returns false when it has nothing
    /// more. Only an established session asks.
    pub fn send_routes(&mut self, now: Time, mut fill: impl FnMut(&mut Vec<u8>) -> bool) {
        let mut any = false;
        while self.state == State::Established && self.outbox.has_room() {
            let before = self.outbox.waiting().len();
            let more = fill(self.outbox.end());
            let message = self.outbox.waiting().get(before..).unwrap_or_default();
            if let Some(kind) = header::kind_of(message) {
                any = true;
                self.sent.add(kind);
            }
            if !more {
                break;
            }
        }
        if any {
            if self.timers.get(Timer::SendHold).is_none() {
                self.restart_send_hold(now);
            }
            // RFC 4271 §4.4: an UPDATE counts as a KEEPALIVE.
            self.restart_keepalive(now);
        }
    }

    /// The octets that wait to be sent.
    pub fn transmit(&self) -> &[u8] {
        self.outbox.waiting()
    }

    /// `count` octets of [`Session::transmit`] were taken by the kernel.
    pub fn transmitted(&mut self, now: Time, count: usize) {
        self.outbox.sent(count);
        if self.outbox.waiting().is_empty() {
            self.timers.stop(Timer::SendHold);
        } else if count > 0 && !self.over {
            self.restart_send_hold(now);
        }
    }

    /// When [`Session::timeout`] must be called.
    pub fn deadline(&self) -> Option<Time> {
        self.timers.deadline()
    }

    /// When one of the timers fires, if it runs.
    pub fn timer(&self, timer: Timer) -> Option<Time> {
        self.timers.get(timer)
    }

    /// The next event, in order.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// The state.
    pub fn state(&self) -> State {
        self.state
    }

    /// Whether the session ended: it will do nothing more.
    pub fn is_over(&self) -> bool {
        self.over
    }

    /// What was agreed, once an acceptable OPEN was seen.
    pub fn negotiated(&self) -> Option<&Negotiated> {
        self.negotiated.as_ref()
    }

    /// Our and the neighbour's address, once connected.
    pub fn endpoints(&self) -> Option<(SocketAddr, SocketAddr)> {
        self.endpoints
    }

    /// Messages received and sent so far.
    pub fn counts(&self) -> (MessageCounts, MessageCounts) {
        (self.received, self.sent)
    }
}

/// How many octets a partial message needs at least, before more of it can be
/// judged: first those of the header, then those that its length field counts
/// (RFC 4271 §4.1).
fn octets_missing(partial: &[u8]) -> usize {
    let length = match partial.get(16..18) {
        Some(&[high, low]) if partial.len() >= header::HEADER_LENGTH => {
            usize::from(u16::from_be_bytes([high, low]))
        }
        _ => header::HEADER_LENGTH,
    };
    length.saturating_sub(partial.len())
}

/// For the inputs that never read a message.
struct NoHandler;

impl Handler for NoHandler {
    fn open_received(&mut self, _: &Negotiated) -> Verdict {
        Verdict::Collides
    }

    fn update(&mut self, _: &Negotiated, _: &Update<'_>) {}

    fn refresh(&mut self, _: Family, _: u8) {}
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bgp::testing;

    #[derive(Default)]
    struct Seen {
        updates: usize,
        refreshes: Vec<Family>,
        collide: bool,
    }

    impl Handler for Seen {
        fn open_received(&mut self, _: &Negotiated) -> Verdict {
            if self.collide { Verdict::Collides } else { Verdict::GoOn }
        }

        fn update(&mut self, _: &Negotiated, _: &Update<'_>) {
            self.updates += 1;
        }

        fn refresh(&mut self, family: Family, kind: u8) {
            assert_eq!(kind, subtype::REQUEST);
            self.refreshes.push(family);
        }
    }

    fn terms() -> Terms {
        testing::terms(65001, 65000, [10, 0, 0, 1])
    }

    fn at(millis: u64) -> Time {
        Time::from_millis(millis)
    }

    fn message(kind: MessageType, body: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        let start = header::begin(&mut out, kind);
        out.extend_from_slice(body);
        header::finish(&mut out, start);
        out
    }

    fn their_open() -> Vec<u8> {
        let theirs = testing::terms(65000, 65001, [10, 0, 0, 2]);
        let mut out = Vec::new();
        theirs.open().encode(&mut out);
        out
    }

    fn keepalive() -> Vec<u8> {
        message(MessageType::Keepalive, &[])
    }

    fn drained(session: &mut Session, now: Time) -> Vec<u8> {
        let bytes = session.transmit().to_vec();
        session.transmitted(now, bytes.len());
        bytes
    }

    fn kinds(bytes: &[u8]) -> Vec<MessageType> {
        let mut rest = bytes;
        let mut kinds = Vec::new();
        while let Ok(Some(frame)) = header::next_frame(rest, header::MAX_LENGTH) {
            kinds.push(frame.kind);
            rest = &rest[frame.length..];
        }
        kinds
    }

    fn open_sent() -> Session {
        let mut session = Session::outgoing(terms(), 1);
        session.start(at(0), Start::Now);
        assert_eq!(session.poll_event(), Some(Event::Dial));
        let address = "10.0.0.1:179".parse().expect("an address");
        session.connected(at(1), address, address);
        assert_eq!(kinds(&drained(&mut session, at(1))), [MessageType::Open]);
        session
    }

    fn established() -> Session {
        let mut session = open_sent();
        session.receive(at(2), &their_open(), &mut Seen::default());
        session.receive(at(3), &keepalive(), &mut Seen::default());
        assert_eq!(kinds(&drained(&mut session, at(3))), [MessageType::Keepalive]);
        assert_eq!(session.poll_event(), Some(Event::Up));
        assert_eq!(session.state(), State::Established);
        session
    }

    fn down(session: &mut Session) -> Down {
        match session.poll_event() {
            Some(Event::Down(down)) => down,
            other => panic!("expected the end, got {other:?}"),
        }
    }

    fn sent_by(session: &mut Session) -> (u8, u8) {
        match down(session).reason {
            DownReason::Sent(n) => (n.code, n.subcode),
            other => panic!("expected a NOTIFICATION of ours, got {other}"),
        }
    }

    #[test]
    fn any_split_of_the_stream_gives_the_same_session() {
        let mut stream = their_open();
        stream.extend(keepalive());
        stream.extend(message(MessageType::Update, &[0, 0, 0, 0]));
        stream.extend(message(MessageType::RouteRefresh, &[0, 1, 0, 1]));
        for size in 1..=stream.len() {
            let mut session = open_sent();
            let mut seen = Seen::default();
            for piece in stream.chunks(size) {
                session.receive(at(5), piece, &mut seen);
            }
            assert_eq!(session.state(), State::Established, "pieces of {size}");
            assert_eq!((seen.updates, seen.refreshes), (1, vec![Family::Ipv4Unicast]));
            assert!(session.inbox.is_empty());
        }
    }

    #[test]
    fn the_hold_timer_is_exact_and_every_message_restarts_it() {
        let mut session = established();
        session.receive(at(5000), &keepalive(), &mut Seen::default());
        session.timeout(at(13_999));
        assert!(!session.is_over());
        session.timeout(at(14_000));
        assert_eq!(sent_by(&mut session), (code::HOLD_TIMER, 0));
        assert!(session.transmit().ends_with(&[3, 4, 0]), "the neighbour is told");
    }

    #[test]
    fn keepalives_go_out_at_three_quarters_to_one_third_of_the_hold_time() {
        let mut session = established();
        let mut last = at(3);
        for _ in 0..50 {
            let due = session.timers.get(Timer::Keepalive).expect("runs");
            let wait = due.since(last);
            assert!(
                wait > Duration::from_millis(2249) && wait <= Duration::from_secs(3),
                "{wait:?}"
            );
            session.receive(due, &keepalive(), &mut Seen::default());
            session.timeout(due);
            assert_eq!(kinds(&drained(&mut session, due)), [MessageType::Keepalive]);
            last = due;
        }
    }

    #[test]
    fn a_neighbour_that_takes_nothing_ends_by_the_send_hold_timer() {
        let mut session = established();
        let mut now = at(3);
        while !session.is_over() {
            now = session.deadline().expect("timers run");
            session.receive(now, &keepalive(), &mut Seen::default());
            session.timeout(now);
            assert!(session.transmit().len() < 200, "keepalives do not pile up");
        }
        assert_eq!(sent_by(&mut session), (code::SEND_HOLD, 0));
        let waited = now.since(at(3));
        assert!(waited >= SEND_HOLD_MINIMUM && waited < SEND_HOLD_MINIMUM * 2, "{waited:?}");
    }

    #[test]
    fn unexpected_messages_carry_the_state_in_their_subcode() {
        let update = message(MessageType::Update, &[0, 0, 0, 0]);
        let mut session = open_sent();
        session.receive(at(2), &keepalive(), &mut Seen::default());
        assert_eq!(sent_by(&mut session), (code::FSM, 1));
        let mut session = open_sent();
        session.receive(at(2), &their_open(), &mut Seen::default());
        session.receive(at(2), &update, &mut Seen::default());
        assert_eq!(sent_by(&mut session), (code::FSM, 2));
        let mut session = established();
        session.receive(at(4), &their_open(), &mut Seen::default());
        assert_eq!(sent_by(&mut session), (code::FSM, 3));
    }

    /// RFC 4271 §8.2.2: BGPOpenMsgErr is no exception in Established, nor is a
    /// message that may not come at all in OpenSent and OpenConfirm.
    #[test]
    fn what_an_unexpected_message_says_does_not_matter() {
        let mut session = established();
        let as_zero = message(MessageType::Open, &[4, 0, 0, 0, 90, 10, 0, 0, 2, 0]);
        session.receive(at(4), &as_zero, &mut Seen::default());
        assert_eq!(sent_by(&mut session), (code::FSM, 3));
        let short_refresh = message(MessageType::RouteRefresh, &[0, 1]);
        let mut session = open_sent();
        session.receive(at(2), &short_refresh, &mut Seen::default());
        assert_eq!(sent_by(&mut session), (code::FSM, 1));
        let mut session = open_sent();
        session.receive(at(2), &their_open(), &mut Seen::default());
        session.receive(at(2), &short_refresh, &mut Seen::default());
        assert_eq!(sent_by(&mut session), (code::FSM, 2));
    }

    /// RFC 4271 §4.4 lets KEEPALIVEs go out in OpenConfirm as well.
    #[test]
    fn a_probe_asks_as_soon_as_the_neighbour_s_open_is_there() {
        let mut session = open_sent();
        session.probe(at(2));
        assert!(session.transmit().is_empty(), "in OpenSent it would be an error");
        session.receive(at(2), &their_open(), &mut Seen::default());
        drained(&mut session, at(2));
        session.probe(at(3));
        assert_eq!(kinds(&drained(&mut session, at(3))), [MessageType::Keepalive]);
    }

    #[test]
    fn framing_faults_are_answered_and_end_the_session() {
        let mut session = established();
        session.receive(at(4), b"GET / HTTP/1.1\r\n\r\n", &mut Seen::default());
        assert_eq!(sent_by(&mut session), (code::MESSAGE_HEADER, 1));
        let mut session = open_sent();
        let mut unknown = keepalive();
        unknown[18] = 9;
        session.receive(at(4), &unknown, &mut Seen::default());
        assert_eq!(sent_by(&mut session), (code::MESSAGE_HEADER, 3));
        assert!(!down_would_back_off(&session));
    }

    fn down_would_back_off(session: &Session) -> bool {
        session.negotiated().is_some()
    }

    #[test]
    fn the_loser_of_a_collision_says_cease_and_never_confirms() {
        let mut session = open_sent();
        let mut seen = Seen { collide: true, ..Seen::default() };
        session.receive(at(2), &their_open(), &mut seen);
        assert_eq!(kinds(session.transmit()), [MessageType::Notification]);
        assert_eq!(sent_by(&mut session), (code::CEASE, 7));
    }

    #[test]
    fn a_notification_is_never_answered() {
        let mut session = established();
        let bytes = message(MessageType::Notification, &[6, 2]);
        session.receive(at(4), &bytes, &mut Seen::default());
        assert!(session.transmit().is_empty());
        let end = down(&mut session);
        assert!(end.was_established && end.had_open);
        assert_eq!(end.reason.to_string(), "received Cease/Administrative Shutdown (6/2)");
    }

    #[test]
    fn attempts_are_connect_retry_apart_however_fast_they_fail() {
        let mut session = Session::outgoing(terms(), 1);
        session.start(at(0), Start::Now);
        let mut dials = 0;
        let mut now = at(0);
        while now < at(30_000) {
            while let Some(event) = session.poll_event() {
                assert_eq!(event, Event::Dial);
                dials += 1;
                session.connect_failed(now);
            }
            now = session.deadline().expect("the retry timer runs");
            session.timeout(now);
        }
        assert!((10..=14).contains(&dials), "{dials} attempts in 30 s");
    }

    #[test]
    fn an_attempt_without_an_answer_is_given_up_and_made_again() {
        let mut session = Session::outgoing(terms(), 1);
        session.start(at(0), Start::Now);
        session.poll_event();
        session.timeout(at(3000));
        assert_eq!(session.poll_event(), Some(Event::HangUp));
        assert_eq!(session.poll_event(), Some(Event::Dial));
        assert_eq!(session.state(), State::Connect);
    }

    #[test]
    fn a_hold_time_of_zero_runs_no_timer_once_established() {
        let mut session = Session::incoming(Terms { hold_time: 0, ..terms() }, 1);
        let address = "10.0.0.1:179".parse().expect("an address");
        session.connected(at(0), address, address);
        session.receive(at(1), &their_open(), &mut Seen::default());
        drained(&mut session, at(1));
        assert_eq!(session.state(), State::OpenConfirm);
        assert_eq!(session.deadline(), Some(at(0) + OPEN_HOLD), "it may be silent for ever");
        session.receive(at(1), &keepalive(), &mut Seen::default());
        assert_eq!(session.state(), State::Established);
        assert_eq!(session.deadline(), None);
    }

    #[test]
    fn the_outbox_is_bounded_whatever_there_is_to_send() {
        let mut session = established();
        let update = message(MessageType::Update, &[0; 4000]);
        session.send_routes(at(4), |out| {
            out.extend_from_slice(&update);
            true
        });
        let waiting = session.transmit().len();
        assert!(waiting <= crate::bgp::outbox::LIMIT && waiting > 50 * 1024, "{waiting}");
    }
}
