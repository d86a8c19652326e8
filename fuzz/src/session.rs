//! A speaker with several neighbours, and around it what its door and the
//! kernel would be. Whatever is done to it, each step checks what holds always.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use burgee::bgp::export::{NextHops, Overrides};
use burgee::bgp::message::attribute::Attributes;
use burgee::bgp::message::header::{self, MAX_LENGTH, MessageType};
use burgee::bgp::message::notification::{Notification, cease};
use burgee::bgp::message::open::Open;
use burgee::bgp::message::prefix::Family;
use burgee::bgp::negotiation::{Negotiated, Terms};
use burgee::bgp::offer::{AddPath, Offer, RestartOffer};
use burgee::bgp::outbox::LIMIT;
use burgee::bgp::peer::{Action, Peer, Side};
use burgee::bgp::peer_settings::{Import, PeerSettings, PrefixLimit};
use burgee::bgp::rib::originated::{Owner, Path};
use burgee::bgp::role::Role;
use burgee::bgp::speaker::{PeerId, Speaker};
use burgee::reactor::Time;
use ipnet::IpNet;

use super::stream::Stream;

pub(crate) const OWNERS: [Owner; 3] = [Owner::Announcer, Owner::Api, Owner::File];
pub(crate) const SIDES: [Side; 2] = [Side::Outgoing, Side::Incoming];

/// The same port for both ends does no harm: nothing here listens.
const PORT: u16 = 179;

/// What is chosen for one neighbour.
#[derive(Clone, Copy)]
pub(crate) struct Choice {
    /// Two bits for the hold time, two for the AS numbers, two for the families,
    /// one for who dials and one for what becomes of routes.
    pub(crate) terms: u8,
    /// Two bits for the directions of path identifiers, one each for IPv6 next
    /// hops and graceful restart, two for the role, one for no capability at all
    /// and one for a limit of prefixes.
    pub(crate) offer: u8,
}

/// What we bring to the session with the neighbour at this place.
pub(crate) fn terms(place: u8, choice: Choice) -> Terms {
    let bits = choice.terms;
    let (asn, peer_asn) = match bits >> 2 & 3 {
        0 => (65001, 65000),
        1 => (65001, 65001),
        2 => (65001, 4_200_000_000),
        _ => (4_200_000_001, 65000),
    };
    let families: &[Family] = match bits >> 4 & 3 {
        0 => &[Family::Ipv4Unicast],
        1 => &[Family::Ipv6Unicast],
        _ => &Family::ALL,
    };
    Terms {
        asn,
        identifier: [10, 0, 0, 50].into(),
        peer_asn,
        hold_time: [9, 3, 90, 0][usize::from(bits & 3)],
        keepalive: (place == 1).then_some(Duration::from_secs(1)),
        families: families.iter().copied().collect(),
        connect_retry: Duration::from_secs(3),
        passive: bits >> 6 & 1 == 1,
        offer: offer(choice.offer, families.contains(&Family::Ipv4Unicast)),
    }
}

/// What else we offer. Without capabilities only IPv4 can be spoken.
fn offer(bits: u8, ipv4: bool) -> Offer {
    let roles = [None, Some(Role::Customer), Some(Role::Provider), Some(Role::Peer)];
    Offer {
        add_path: AddPath { send: bits & 1 == 1, receive: bits & 2 == 2 },
        extended_next_hop: bits & 4 == 4,
        graceful_restart: (bits & 8 == 8).then_some(RestartOffer { time: 10, restarted: false }),
        role: roles[usize::from(bits >> 4 & 3)],
        strict_role: bits >> 4 & 3 == 3,
        plain: bits & 64 == 64 && ipv4,
        ..Offer::default()
    }
}

/// What the neighbour brings to the same session, if it is well-behaved. Its
/// identifier is lower than ours for the first and higher for the others.
pub(crate) fn their_terms(place: u8, ours: &Terms) -> Terms {
    Terms {
        asn: ours.peer_asn,
        identifier: [10, 0, 0, if place == 0 { 1 } else { 100 + place }].into(),
        peer_asn: ours.asn,
        hold_time: 9,
        keepalive: None,
        passive: false,
        offer: Offer {
            add_path: AddPath { send: true, receive: true },
            role: ours.offer.role.map(Role::counterpart),
            plain: false,
            ..ours.offer.clone()
        },
        ..ours.clone()
    }
}

fn settings(place: u8, choice: Choice) -> PeerSettings {
    let limit = PrefixLimit { maximum: 3, warning: 2, restart: Duration::from_secs(5) };
    let address = [10, 0, 0, 100 + place].into();
    PeerSettings {
        next_hops: NextHops { ipv4: None, ipv6: Some([0xfd00, 0, 0, 0, 0, 0, 0, 1].into()) },
        overrides: Overrides {
            prepend: place,
            med: (place == 2).then_some(7),
            ..Overrides::default()
        },
        import: if choice.terms >> 7 == 0 { Import::Report } else { Import::Reject },
        limit: (choice.offer >> 7 == 1).then_some(limit),
        advertisement_interval: Duration::from_millis(if place == 2 { 2000 } else { 0 }),
        ..PeerSettings::new(format!("n{place}"), address, terms(place, choice))
    }
}

pub(crate) fn message(kind: MessageType, body: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let start = header::begin(&mut out, kind);
    out.extend_from_slice(body);
    header::finish(&mut out, start);
    out
}

fn index(side: Side) -> usize {
    usize::from(side == Side::Incoming)
}

/// A connection that is open, as the kernel knows it.
#[derive(Default)]
pub(crate) struct Link {
    pub(crate) stream: Stream,
    /// Its other end is served by the well-behaved neighbour.
    pub(crate) served: bool,
    /// The first octets that came in: enough for an OPEN.
    heard: Vec<u8>,
}

impl Link {
    /// Whether the neighbour's OPEN asks for no hold time, so that only the
    /// kernel ever finds out that the neighbour is gone (RFC 4271 section 4.4).
    pub(crate) fn asks_for_no_hold_time(&self) -> bool {
        let frame = header::next_frame(&self.heard, MAX_LENGTH);
        let open = frame.ok().flatten().and_then(|frame| Open::parse(frame.body).ok());
        open.is_some_and(|open| open.hold_time == 0)
    }
}

/// One neighbour, and what the speaker has said of it.
pub(crate) struct Neighbour {
    pub(crate) id: PeerId,
    pub(crate) theirs: Terms,
    pub(crate) dialing: bool,
    pub(crate) links: [Option<Link>; 2],
    up: Option<Side>,
}

/// The speaker and everything around it.
pub(crate) struct World {
    pub(crate) now: Time,
    pub(crate) speaker: Speaker,
    pub(crate) neighbours: Vec<Neighbour>,
    routes: BTreeMap<IpNet, BTreeMap<Owner, Path>>,
}

impl World {
    /// One neighbour for each choice of terms.
    pub(crate) fn new(choices: &[Choice]) -> World {
        let places = || (0..).zip(choices.iter().copied());
        let all: Vec<_> = places().map(|(place, choice)| settings(place, choice)).collect();
        let neighbour = |(place, settings): (u8, &PeerSettings)| Neighbour {
            id: PeerId(place.into()),
            theirs: their_terms(place, &settings.terms),
            dialing: false,
            links: [None, None],
            up: None,
        };
        let neighbours = (0..).zip(&all).map(neighbour).collect();
        let mut world = World {
            now: Time::from_millis(1000),
            speaker: Speaker::new(all, 1),
            neighbours,
            routes: BTreeMap::new(),
        };
        world.speaker.start(world.now);
        world.settle_all();
        world
    }

    pub(crate) fn peer(&self, place: usize) -> &Peer {
        self.speaker.peer(self.neighbours[place].id).expect("a neighbour")
    }

    /// Does what the speaker asks for of one neighbour, and checks what holds
    /// after every step.
    pub(crate) fn settle(&mut self, place: usize) {
        let id = self.neighbours[place].id;
        while let Some(action) = self.speaker.poll_action(id) {
            self.act(place, action);
        }
        let neighbour = &self.neighbours[place];
        let peer = self.speaker.peer(id).expect("a neighbour");
        assert_eq!(peer.established().map(|(side, _)| side), neighbour.up);
        for side in SIDES {
            let waiting = self.speaker.transmit((id, side));
            match &neighbour.links[index(side)] {
                Some(link) => {
                    // Some short messages and a last one may come on top.
                    let most = LIMIT + link.stream.longest() + 2 * MAX_LENGTH;
                    assert!(waiting.len() <= most, "{} octets wait", waiting.len());
                    link.stream.check_waiting(waiting);
                }
                None => assert!(waiting.is_empty(), "something to send, and no connection"),
            }
        }
    }

    fn settle_all(&mut self) {
        (0..self.neighbours.len()).for_each(|place| self.settle(place));
        let up = self.neighbours.iter().filter(|neighbour| neighbour.up.is_some()).count();
        assert_eq!(self.speaker.established(), up);
    }

    fn act(&mut self, place: usize, action: Action) {
        let neighbour = &mut self.neighbours[place];
        match action {
            Action::Dial => {
                assert!(!neighbour.dialing && neighbour.links[0].is_none(), "dials twice");
                neighbour.dialing = true;
            }
            Action::HangUp => {
                assert!(neighbour.links[0].is_none(), "hangs up what is open");
                neighbour.dialing = false;
            }
            Action::Close { side, rest } => {
                let mut link = neighbour.links[index(side)].take().expect("closes nothing");
                link.stream.end(&rest);
            }
            Action::Up { side, negotiated } => {
                assert_eq!(neighbour.up, None, "up twice");
                let link = neighbour.links[index(side)].as_mut().expect("up without a connection");
                link.stream.negotiated = Some(negotiated);
                neighbour.up = Some(side);
            }
            Action::Down { side, down, .. } => {
                super::decoders::one_line(&down.reason.to_string());
                assert_eq!(down.was_established, neighbour.up == Some(side));
                if down.was_established {
                    neighbour.up = None;
                }
            }
            // Stale routes may go while there is no session.
            Action::Learned(learned) => {
                assert!(neighbour.up.is_some() || learned.announced.is_empty(), "no session");
                assert!(!learned.announced.is_empty() || !learned.withdrawn.is_empty());
            }
            Action::Malformed { text, .. } => super::decoders::one_line(&text),
            _ => {}
        }
    }

    /// The neighbour's kernel answers our attempt, or the neighbour dials and
    /// is let in. Says whether there is a new connection.
    pub(crate) fn connect(&mut self, place: usize, side: Side) -> bool {
        let id = self.neighbours[place].id;
        let welcome = match side {
            Side::Outgoing => std::mem::take(&mut self.neighbours[place].dialing),
            Side::Incoming => self.speaker.accept(self.now, id),
        };
        if !welcome {
            self.settle(place);
            return false;
        }
        // A newcomer may have taken the place of another, which goes first.
        while let Some(action) = self.speaker.poll_action(id) {
            self.act(place, action);
        }
        let open = self.neighbours[place].links[index(side)].replace(Link::default());
        assert!(open.is_none(), "two connections on one side");
        let (local, remote) = ([10, 0, 0, 50], [10, 0, 0, 100]);
        let (local, remote) = (SocketAddr::from((local, PORT)), SocketAddr::from((remote, PORT)));
        self.speaker.connected(self.now, (id, side), local, remote);
        self.settle(place);
        true
    }

    pub(crate) fn refuse(&mut self, place: usize) {
        if std::mem::take(&mut self.neighbours[place].dialing) {
            self.speaker.connect_failed(self.now, self.neighbours[place].id);
        }
        self.settle(place);
    }

    /// The neighbour's kernel ends a connection.
    pub(crate) fn close(&mut self, place: usize, side: Side) {
        if self.neighbours[place].links[index(side)].is_some() {
            self.speaker.closed(self.now, (self.neighbours[place].id, side));
            self.settle(place);
            assert!(self.neighbours[place].links[index(side)].is_none(), "kept a dead connection");
        }
    }

    /// Octets come in, in pieces, until they end or the connection does.
    pub(crate) fn receive(&mut self, place: usize, side: Side, bytes: &[u8], piece: usize) {
        for part in bytes.chunks(piece.max(1)) {
            let Some(link) = &mut self.neighbours[place].links[index(side)] else { return };
            let space = MAX_LENGTH.saturating_sub(link.heard.len());
            link.heard.extend_from_slice(&part[..part.len().min(space)]);
            self.speaker.receive(self.now, (self.neighbours[place].id, side), part);
            self.settle(place);
        }
    }

    /// The kernel takes up to `most` octets. Says how many.
    pub(crate) fn transmit(&mut self, place: usize, side: Side, most: usize) -> usize {
        let id = self.neighbours[place].id;
        let Some(link) = &mut self.neighbours[place].links[index(side)] else { return 0 };
        let waiting = self.speaker.transmit((id, side));
        let taken = &waiting[..waiting.len().min(most)];
        link.stream.take(taken);
        let count = taken.len();
        self.speaker.transmitted(self.now, (id, side), count);
        self.settle(place);
        count
    }

    pub(crate) fn pump(&mut self, place: usize) {
        self.speaker.pump(self.now, self.neighbours[place].id);
        self.settle(place);
    }

    pub(crate) fn reset(&mut self, place: usize) {
        let cease = Notification::cease(cease::BFD_DOWN, "");
        self.speaker.reset(self.now, self.neighbours[place].id, cease);
        self.settle(place);
        assert_eq!(self.neighbours[place].up, None);
    }

    /// We ask the neighbour for its routes again.
    pub(crate) fn request_refresh(&mut self, place: usize, family: Family) {
        self.speaker.request_refresh(self.now, self.neighbours[place].id, family);
        self.settle(place);
    }

    /// Stops all, and checks that all take their leave.
    pub(crate) fn stop(&mut self) {
        self.speaker.stop(self.now, &Notification::cease(cease::ADMINISTRATIVE_SHUTDOWN, "bye"));
        self.settle_all();
        for (place, neighbour) in self.neighbours.iter().enumerate() {
            assert!(neighbour.links.iter().all(Option::is_none) && !neighbour.dialing);
            // What a neighbour that restarts left behind still has its time.
            let restarts = self.peer(place).settings().terms.offer.graceful_restart.is_some();
            let deadline = self.peer(place).deadline();
            assert!(restarts || deadline.is_none(), "a timer of what is stopped");
        }
    }

    pub(crate) fn start(&mut self) {
        self.speaker.start(self.now);
        self.settle_all();
    }

    /// A fault in a neighbour's handling: the door forgets its connections, and
    /// an end of its session is reported as any other.
    pub(crate) fn replace(&mut self, place: usize) {
        let neighbour = &mut self.neighbours[place];
        (neighbour.links, neighbour.dialing) = ([None, None], false);
        self.speaker.replace(self.now, neighbour.id);
        self.settle(place);
    }

    pub(crate) fn originate(&mut self, prefix: IpNet, owner: Owner, path: Path) {
        self.routes.entry(prefix).or_default().insert(owner, path.clone());
        self.speaker.originate(prefix, owner, path);
    }

    pub(crate) fn withdraw(&mut self, prefix: IpNet, owner: Owner) {
        if let Some(owners) = self.routes.get_mut(&prefix) {
            owners.remove(&owner);
        }
        self.speaker.withdraw(prefix, owner);
    }

    /// Withdraws all, and returns what that was.
    pub(crate) fn withdraw_all(&mut self) -> Vec<(IpNet, Owner, Path)> {
        let all = std::mem::take(&mut self.routes).into_iter();
        let all: Vec<_> = all
            .flat_map(|(prefix, owners)| owners.into_iter().map(move |(o, p)| (prefix, o, p)))
            .collect();
        all.iter().for_each(|(prefix, owner, _)| self.withdraw(*prefix, *owner));
        all
    }

    /// Lets time pass; `punctual` says whether timers are served in time, or
    /// all of them late at the end.
    pub(crate) fn pass(&mut self, duration: Duration, punctual: bool) {
        let end = self.now + duration;
        while let Some(at) = self.deadline().filter(|at| punctual && *at <= end) {
            self.now = self.now.max(at);
            self.serve_timers();
        }
        self.now = end;
        self.serve_timers();
    }

    fn deadline(&self) -> Option<Time> {
        let deadlines = self.neighbours.iter().filter_map(|n| self.speaker.deadline(n.id));
        deadlines.min()
    }

    fn serve_timers(&mut self) {
        for place in 0..self.neighbours.len() {
            let id = self.neighbours[place].id;
            self.speaker.timeout(self.now, id);
            let next = self.speaker.deadline(id);
            assert!(next.is_none_or(|next| next > self.now), "a timer that is past");
        }
        self.settle_all();
    }

    /// What the neighbour should see on a session with these terms: prefixes
    /// with the MED, and how often our AS is in the path.
    fn expected(&self, place: usize, negotiated: &Negotiated) -> BTreeMap<IpNet, Summary> {
        let name = format!("n{place}");
        let ours = &self.peer(place).settings().terms;
        let long = negotiated.longest_sent > MAX_LENGTH;
        let mut expected = BTreeMap::new();
        for (prefix, owners) in &self.routes {
            let Some((_, path)) = owners.first_key_value() else { continue };
            let heard = path.audience.as_ref().is_none_or(|names| names.contains(&name));
            let fits = long || path.communities.len() < 900;
            if heard && fits && negotiated.families.contains(Family::of(prefix)) {
                let med = if place == 2 { Some(7) } else { path.med };
                let length = usize::from(path.prepend) + place + 1;
                let length = if ours.asn == ours.peer_asn { 0 } else { length };
                expected.insert(*prefix, (med, length));
            }
        }
        expected
    }

    /// What the neighbour has been sent over the session that is up.
    pub(crate) fn seen(&self, place: usize) -> Option<&Stream> {
        let neighbour = &self.neighbours[place];
        let link = neighbour.links[index(neighbour.up?)].as_ref()?;
        Some(&link.stream)
    }

    /// That every neighbour has a session, and has been sent exactly what it
    /// should see and the end of each family.
    pub(crate) fn check_all_is_well(&self) {
        for place in 0..self.neighbours.len() {
            let why = self.peer(place).last_down();
            let seen = self.seen(place).unwrap_or_else(|| panic!("{place} is stuck: {why:?}"));
            let view = |(prefix, attributes): (&IpNet, &_)| (*prefix, summary(attributes));
            let routes: BTreeMap<_, _> = seen.routes.iter().map(view).collect();
            let negotiated = seen.negotiated.as_ref().expect("it is up");
            assert_eq!(routes, self.expected(place, negotiated), "what neighbour {place} sees");
            // Without capabilities IPv4 is spoken (RFC 4760 section 8).
            let families = match negotiated.offered.is_empty() {
                true => [Family::Ipv4Unicast].into_iter().collect(),
                false => self.neighbours[place].theirs.families,
            };
            assert_eq!(negotiated.families, families);
            assert_eq!(seen.ends_of_rib, families.iter().collect());
            assert!(seen.refreshing.is_empty(), "a refresh that does not end");
        }
        assert!(self.speaker.is_quiet());
    }
}

/// MED and length of the path.
type Summary = (Option<u32>, usize);

fn summary(attributes: &Attributes) -> Summary {
    (attributes.med, attributes.as_path.length())
}
