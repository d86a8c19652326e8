//! A neighbour played by hand, octet by octet: what the capabilities change.

mod limits;

use std::net::SocketAddr;
use std::time::Duration;

use ipnet::IpNet;

use super::*;
use crate::bgp::message::as_path::AsPath;
use crate::bgp::message::attribute::{Attributes, Origin};
use crate::bgp::message::capability::Capability;
use crate::bgp::message::header::{self, MessageType};
use crate::bgp::message::notification::cease;
use crate::bgp::message::open::Open;
use crate::bgp::message::route_refresh::{RouteRefresh, subtype};
use crate::bgp::message::update::{
    EncodeOptions, encode_announce, encode_end_of_rib, encode_withdraw,
};
use crate::bgp::offer::{AddPath, Offer};
use crate::bgp::outbox;
use crate::bgp::peer_settings::PrefixLimit;
use crate::bgp::rib::originated::{Owner, Path};
use crate::bgp::role::Role;
use crate::bgp::testing;

const US: &str = "10.0.0.1:179";
const THEM: &str = "10.0.0.2:179";
const SIDE: Side = Side::Incoming;

fn at(seconds: u64) -> Time {
    Time::from_millis(seconds * 1000)
}

fn address(text: &str) -> SocketAddr {
    text.parse().expect("an address")
}

/// We and a neighbour that offers the same, played by the test.
struct Play {
    peer: Peer,
    theirs: Terms,
    table: Originated,
    /// What was reported, in lines.
    seen: Vec<String>,
    /// What was sent last, message by message.
    sent: Vec<(MessageType, Vec<u8>)>,
}

impl Play {
    fn new(offer: Offer, limit: Option<PrefixLimit>) -> Play {
        let ours = Terms { offer: offer.clone(), ..testing::terms(65001, 65000, [10, 0, 0, 1]) };
        let ours = Terms { passive: true, ..ours };
        let settings = PeerSettings {
            import: Import::Report,
            limit,
            ..PeerSettings::new("them", address(THEM).ip(), ours)
        };
        let mut peer = Peer::new(settings, 1);
        peer.start(at(0));
        let role = offer.role.map(Role::counterpart);
        let offer = Offer { role, ..offer };
        let theirs = Terms { offer, ..testing::terms(65000, 65001, [10, 0, 0, 2]) };
        Play { peer, theirs, table: Originated::default(), seen: Vec::new(), sent: Vec::new() }
    }

    /// The same, established at `seconds`.
    fn up(offer: Offer, limit: Option<PrefixLimit>) -> Play {
        let mut play = Play::new(offer, limit);
        play.establish(1);
        assert_eq!(play.seen(), ["up"]);
        play
    }

    fn establish(&mut self, seconds: u64) {
        assert!(self.connect(seconds), "the connection is welcome");
        let open = self.theirs.open();
        self.receive(seconds, |out| open.encode(out));
        self.receive(seconds, header::encode_keepalive);
    }

    fn connect(&mut self, seconds: u64) -> bool {
        let welcome = self.peer.accept(at(seconds));
        if welcome {
            self.peer.connected(at(seconds), SIDE, address(US), address(THEM));
        }
        self.settle(seconds);
        welcome
    }

    fn receive(&mut self, seconds: u64, write: impl FnOnce(&mut Vec<u8>)) {
        let mut bytes = Vec::new();
        write(&mut bytes);
        self.peer.receive(at(seconds), SIDE, &bytes);
        self.settle(seconds);
    }

    fn settle(&mut self, seconds: u64) {
        self.peer.pump(at(seconds), &self.table);
        self.sent.clear();
        let mut bytes = self.peer.transmit(SIDE).to_vec();
        self.peer.transmitted(at(seconds), SIDE, bytes.len());
        while let Some(action) = self.peer.poll_action() {
            match action {
                Action::Up { .. } => self.seen.push("up".to_owned()),
                Action::Down { down, .. } => self.seen.push(format!("down: {}", down.reason)),
                Action::Close { rest, .. } => bytes.extend(rest),
                Action::Learned(learned) => {
                    let gone = learned.withdrawn.iter().map(|key| format!("- {}", key.prefix));
                    self.seen.extend(gone);
                    for (keys, attributes) in learned.announced {
                        let otc = attributes.only_to_customer;
                        let otc = otc.map_or_else(String::new, |otc| format!(" otc {otc}"));
                        let lines = keys.iter().map(|key| format!("+ {}{otc}", key.prefix));
                        self.seen.extend(lines);
                    }
                }
                Action::RefreshAsked(family) => self.seen.push(format!("refresh {family}")),
                Action::Malformed { text, .. } => self.seen.push(text),
                Action::PrefixWarning { count, .. } => self.seen.push(format!("warning {count}")),
                Action::Dial | Action::HangUp => {}
            }
        }
        let mut rest = &bytes[..];
        while let Some(frame) =
            header::next_frame(rest, header::EXTENDED_MAX_LENGTH).expect("we send what is sound")
        {
            self.sent.push((frame.kind, frame.body.to_vec()));
            rest = &rest[frame.length..];
        }
    }

    fn seen(&mut self) -> Vec<String> {
        std::mem::take(&mut self.seen)
    }

    fn announce(&mut self, seconds: u64, prefixes: &[&str], otc: Option<u32>) {
        let update = self.update(prefixes, otc);
        self.receive(seconds, |out| out.extend(update));
    }

    fn update(&self, prefixes: &[&str], otc: Option<u32>) -> Vec<u8> {
        let options = EncodeOptions {
            four_octet_as: true,
            add_path: self.theirs.offer.add_path.send,
            max_length: header::MAX_LENGTH,
        };
        let mut path = AsPath::default();
        path.prepend(65000, 1);
        let next_hop = Some(address(THEM).ip());
        let mut attributes = Attributes::new(Origin::Igp, path, next_hop);
        attributes.only_to_customer = otc;
        let keys: Vec<(u32, IpNet)> = prefixes.iter().map(|text| (7, net(text))).collect();
        let mut out = Vec::new();
        encode_announce(&mut out, Family::Ipv4Unicast, &attributes, &keys, &options);
        out
    }

    /// We dial as well, and have just begun to.
    fn dial(&mut self, seconds: u64) {
        self.peer.settings.terms.passive = false;
        self.peer.ensure_outgoing(at(seconds), Start::Now);
        self.settle(seconds);
    }
}

fn net(text: &str) -> IpNet {
    text.parse().expect("a prefix")
}

fn restart() -> Offer {
    let restarted = false;
    let graceful_restart = Some(RestartOffer { time: 100, restarted });
    Offer { graceful_restart, ..Offer::default() }
}

const A: &str = "203.0.113.0/25";
const B: &str = "203.0.113.128/25";

const ONE: Option<PrefixLimit> =
    Some(PrefixLimit { maximum: 1, warning: 0, restart: Duration::from_secs(60) });

/// RFC 4724 §4.2: kept while it is gone; what it does not send again goes with
/// its End-of-RIB.
#[test]
fn routes_of_a_neighbour_that_restarts_are_kept_until_it_is_back() {
    let mut play = Play::up(restart(), None);
    play.announce(2, &[A, B], None);
    play.seen();
    play.peer.closed(at(3), SIDE);
    play.settle(3);
    assert_eq!(play.seen(), ["down: connection closed"]);
    play.establish(50);
    play.announce(51, &[A], None);
    assert_eq!(play.seen(), ["up", "+ 203.0.113.0/25"]);
    play.receive(52, |out| encode_end_of_rib(out, Family::Ipv4Unicast));
    assert_eq!(play.seen(), ["- 203.0.113.128/25"]);
}

/// What is marked later is not for the end of the restart to sweep.
#[test]
fn a_restart_is_over_with_its_last_end_of_rib() {
    let mut play = Play::up(restart(), None);
    play.announce(2, &[A], None);
    play.peer.closed(at(3), SIDE);
    play.settle(3);
    play.establish(50);
    play.announce(51, &[A], None);
    let families = play.theirs.families;
    play.receive(52, |out| families.iter().for_each(|family| encode_end_of_rib(out, family)));
    play.seen();
    let mark = |kind| RouteRefresh::marker(Family::Ipv4Unicast, kind);
    play.receive(53, |out| mark(subtype::BEGIN).encode(out));
    assert_eq!(play.peer.retained.deadline(), None);
    // The session ended and came back, all in one read.
    play.peer.closed(at(60), SIDE);
    play.settle(60);
    assert!(play.connect(61));
    let open = play.theirs.open();
    play.receive(61, |out| open.encode(out));
    play.receive(61, |out| {
        header::encode_keepalive(out);
        families.iter().for_each(|family| encode_end_of_rib(out, family));
    });
    assert_eq!(play.peer.retained.deadline(), None);
    assert_eq!(play.peer.deadline().map(|t| t < at(400)), Some(true));
}

#[test]
fn routes_of_a_neighbour_that_stays_away_go_with_its_restart_time() {
    let mut play = Play::up(restart(), None);
    play.announce(2, &[A], None);
    play.seen();
    play.peer.closed(at(3), SIDE);
    play.settle(3);
    assert_eq!(play.peer.deadline(), Some(at(103)));
    play.peer.timeout(at(103));
    play.settle(103);
    assert_eq!(play.seen(), ["down: connection closed", "- 203.0.113.0/25"]);
    assert_eq!(play.peer.deadline(), None);
}

/// RFC 4724 §4.2: it comes back, but its forwarding plane has forgotten.
#[test]
fn routes_that_a_neighbour_has_not_preserved_go_when_it_is_back() {
    let mut play = Play::up(restart(), None);
    play.announce(2, &[A], None);
    play.peer.closed(at(3), SIDE);
    play.settle(3);
    play.seen();
    assert!(play.connect(10));
    let mut open = play.theirs.open();
    for capability in &mut open.capabilities {
        if let Capability::GracefulRestart { families, .. } = capability {
            families.iter_mut().for_each(|(.., flags)| *flags = 0);
        }
    }
    play.receive(10, |out| open.encode(out));
    play.receive(10, header::encode_keepalive);
    assert_eq!(play.seen(), ["up", "- 203.0.113.0/25"]);
}

/// RFC 8538 §4: after a NOTIFICATION as well, unless it is a hard reset.
#[test]
fn a_notification_is_graceful_and_a_hard_reset_is_not() {
    for (data, kept) in [(&[4, 0][..], true), (&[6, 4], true), (&[6, 9, 6, 2], false)] {
        let mut play = Play::up(restart(), None);
        play.announce(2, &[A], None);
        play.seen();
        play.receive(3, |out| {
            let start = header::begin(out, MessageType::Notification);
            out.extend_from_slice(data);
            header::finish(out, start);
        });
        let lost = play.seen().iter().any(|line| line.starts_with("- "));
        assert_eq!(lost, !kept, "{data:?}");
    }
}

/// Without graceful restart a closed connection takes all routes with it.
#[test]
fn routes_go_with_the_session_otherwise() {
    let mut play = Play::up(Offer::default(), None);
    play.announce(2, &[A], None);
    play.seen();
    play.peer.closed(at(3), SIDE);
    play.settle(3);
    assert_eq!(play.seen(), ["down: connection closed", "- 203.0.113.0/25"]);
}

/// RFC 4724 §4.2: its new connection says that it has lost the old one.
#[test]
fn a_neighbour_that_restarts_need_not_wait_for_our_hold_timer() {
    let mut play = Play::up(restart(), None);
    play.announce(2, &[A], None);
    play.seen();
    play.establish(3);
    assert_eq!(play.seen(), ["down: connection closed", "up"]);
    let mut plain = Play::up(Offer::default(), None);
    assert!(!plain.connect(3), "else it could be anybody");
}

/// RFC 4724 §5: only with the capability "with one or more AFIs/SAFIs". Without
/// any a neighbour says that it helps others to restart, and not that it does.
#[test]
fn a_neighbour_that_only_helps_others_to_restart_has_one_session() {
    let mut play = Play::new(restart(), None);
    assert!(play.connect(1));
    let mut open = play.theirs.open();
    for capability in &mut open.capabilities {
        if let Capability::GracefulRestart { families, .. } = capability {
            families.clear();
        }
    }
    play.receive(1, |out| open.encode(out));
    play.receive(1, header::encode_keepalive);
    assert!(!play.connect(3));
    assert_eq!(play.seen(), ["up"]);
}

/// A fault in its handling is the end of a session like any other to those who
/// follow what a neighbour does.
#[test]
fn a_neighbour_that_begins_anew_leaves_nothing_behind() {
    let mut play = Play::up(restart(), ONE);
    play.announce(2, &[A], None);
    play.seen();
    play.peer = play.peer.renewed(at(3));
    play.settle(3);
    assert_eq!(play.seen(), ["down: connection closed", "- 203.0.113.0/25"]);
    assert_eq!(play.peer.counters().flaps, 1);
    play.establish(4);
    play.announce(5, &[A, B], None);
    play.peer = play.peer.renewed(at(6));
    play.settle(6);
    assert!(!play.connect(64), "nor is it let in earlier");
}

/// RFC 8538 §5: what must take our routes away says so.
#[test]
fn a_planned_end_is_a_hard_reset() {
    let shutdown = Notification::cease(cease::ADMINISTRATIVE_SHUTDOWN, "bye");
    for (offer, subcode) in [(restart(), cease::HARD_RESET), (Offer::default(), 2)] {
        let mut play = Play::up(offer, None);
        play.peer.stop(at(5), &shutdown);
        play.settle(5);
        let (kind, body) = play.sent.last().expect("a last word");
        assert_eq!((*kind, body[1]), (MessageType::Notification, subcode));
        let said = Notification::parse(body).expect("sound");
        assert_eq!(said.shutdown_text().as_deref(), Some("bye"));
        assert_eq!(play.peer.status().last_sent, Some((at(5), said)));
    }
}

/// RFC 9384 §4: the path is lost, and we have not restarted. Nothing of ours is
/// to be kept for it.
#[test]
fn a_path_that_is_lost_is_a_hard_reset() {
    let mut play = Play::up(restart(), None);
    play.peer.reset(at(5), Notification::cease(cease::BFD_DOWN, ""));
    play.settle(5);
    let hard = vec![6, cease::HARD_RESET, 6, cease::BFD_DOWN];
    assert_eq!(play.sent.last(), Some(&(MessageType::Notification, hard)));
}

/// Both dial again after a session ended, and one of the two connections loses.
#[test]
fn why_a_session_ended_is_not_forgotten_for_a_collision() {
    let mut play = Play::up(Offer::default(), None);
    play.receive(5, |out| Notification::cease(cease::BFD_DOWN, "").encode(out));
    play.dial(6);
    play.peer.connected(at(6), Side::Outgoing, address(US), address(THEM));
    play.establish(6);
    let ends = [
        |peer: &mut Peer| peer.closed(at(7), Side::Outgoing),
        |peer: &mut Peer| {
            let mut lost = Vec::new();
            collision_cease().encode(&mut lost);
            peer.receive(at(7), Side::Outgoing, &lost);
        },
    ];
    for end in ends {
        let mut peer = play.peer.clone();
        end(&mut peer);
        assert!(peer.session(Side::Outgoing).is_none());
        let ended = peer.last_down().map(|(when, reason)| (*when, reason.to_string()));
        assert_eq!(ended, Some((at(5), "received Cease/BFD Down (6/10)".to_owned())));
    }
}

/// RFC 4724 §4.1: until we have been up once.
#[test]
fn we_count_as_restarted_at_first() {
    let mut play = Play::new(restart(), None);
    let flags = |play: &Play| {
        let (_, body) = play.sent.first().expect("our OPEN");
        let open = Open::parse(body).expect("sound");
        open.capabilities.iter().find_map(|capability| match capability {
            Capability::GracefulRestart { flags, .. } => Some(*flags),
            _ => None,
        })
    };
    assert!(play.connect(1));
    assert_eq!(flags(&play), Some(12));
    play.peer.closed(at(2), SIDE);
    play.establish(3);
    play.peer.closed(at(4), SIDE);
    play.settle(4);
    assert!(play.connect(5));
    assert_eq!(flags(&play), Some(4));
}

/// RFC 5492 §3: once without, then as ever.
#[test]
fn a_neighbour_that_knows_no_capabilities_is_spoken_to_without() {
    let mut play = Play::new(Offer::default(), None);
    let offered = |play: &Play| {
        let (_, body) = play.sent.first().expect("our OPEN");
        Open::parse(body).expect("sound").capabilities.len()
    };
    let refuse = |out: &mut Vec<u8>| Notification::new(2, 4).encode(out);
    assert!(play.connect(1));
    assert!(offered(&play) > 4);
    play.receive(1, refuse);
    assert!(play.connect(2));
    assert_eq!(offered(&play), 0);
    play.receive(2, refuse);
    assert!(play.connect(3));
    assert!(offered(&play) > 4);
    play.receive(3, refuse);
    play.theirs.offer.plain = true;
    play.establish(4);
    let agreed = play.peer.status().negotiated.expect("established");
    assert!(!agreed.four_octet_as && !agreed.route_refresh);
    assert_eq!(agreed.families.iter().collect::<Vec<_>>(), [Family::Ipv4Unicast]);
    // RFC 8654 §4: nobody told it that more than 4096 octets may come.
    play.seen();
    play.receive(5, |out| {
        let start = header::begin(out, MessageType::Update);
        out.resize(start + 4097, 0);
        header::finish(out, start);
    });
    let seen = play.seen();
    assert!(seen.iter().any(|line| line.contains("Bad Message Length (1/2)")), "{seen:?}");
}

/// RFC 9234 §4.2.
#[test]
fn roles_that_do_not_fit_are_refused() {
    let cases = [
        (Role::Customer, Some(Role::Provider), false, true),
        (Role::Customer, Some(Role::Peer), false, false),
        (Role::Peer, Some(Role::Peer), true, true),
        (Role::Customer, None, false, true),
        (Role::Customer, None, true, false),
    ];
    for (ours, theirs, strict_role, fits) in cases {
        let mut play = Play::new(Offer { role: Some(ours), strict_role, ..Offer::default() }, None);
        play.theirs.offer.role = theirs;
        play.establish(1);
        assert_eq!(play.peer.established().is_some(), fits, "{ours} {theirs:?} {strict_role}");
        if !fits {
            assert_eq!(play.seen(), ["down: sent OPEN Message Error/Role Mismatch (2/11)"]);
        }
    }
}

/// RFC 9234 §5: a customer's route to others' customers only.
#[test]
fn leaks_are_not_eligible() {
    let mut play = Play::up(Offer { role: Some(Role::Provider), ..Offer::default() }, None);
    play.announce(2, &[A], None);
    play.announce(2, &[A, B], Some(64999));
    assert_eq!(play.seen(), ["+ 203.0.113.0/25", "- 203.0.113.0/25"]);
    assert_eq!(play.peer.counters().leaks, 2);
    let mut play = Play::up(Offer { role: Some(Role::Customer), ..Offer::default() }, None);
    play.announce(2, &[A], None);
    assert_eq!(play.seen(), ["+ 203.0.113.0/25 otc 65000"]);
}

/// RFC 7313 §4.
#[test]
fn a_marked_refresh_sweeps_what_did_not_come_again() {
    let mut play = Play::up(Offer::default(), None);
    play.announce(2, &[A, B], None);
    let mark = |kind| RouteRefresh::marker(Family::Ipv4Unicast, kind);
    play.receive(3, |out| mark(subtype::BEGIN).encode(out));
    play.announce(3, &[B], None);
    play.seen();
    play.receive(3, |out| mark(subtype::END).encode(out));
    assert_eq!(play.seen(), ["- 203.0.113.0/25"]);
    play.receive(4, |out| mark(subtype::REQUEST).encode(out));
    assert_eq!(play.seen(), ["refresh ipv4-unicast"]);
    let subtypes: Vec<u8> = play.sent.iter().map(|(_, body)| body[2]).collect();
    assert_eq!(subtypes, [subtype::BEGIN, subtype::END]);
}

/// RFC 8654 §4 and RFC 7911 §3, what comes in.
#[test]
fn long_messages_and_path_identifiers_are_taken() {
    let add_path = AddPath { send: true, receive: true };
    let mut play = Play::up(Offer { add_path, ..Offer::default() }, None);
    play.announce(2, &[A], None);
    assert_eq!(play.seen(), ["+ 203.0.113.0/25"]);
    play.receive(3, |out| {
        let start = header::begin(out, MessageType::Update);
        let withdrawn = [0, 0, 0, 7, 25, 203, 0, 113, 0].repeat(2000);
        out.extend_from_slice(&18000_u16.to_be_bytes());
        out.extend_from_slice(&withdrawn);
        out.extend_from_slice(&[0, 0]);
        header::finish(out, start);
    });
    assert_eq!(play.seen().first().map(String::as_str), Some("- 203.0.113.0/25"));
    assert!(play.peer.established().is_some());
    assert_eq!(play.peer.counters().prefixes_withdrawn, 2000);
}

/// RFC 9687: it goes on sending KEEPALIVEs and never reads. Until it is let go
/// it costs one outbox, however much there is to say.
#[test]
fn a_neighbour_that_never_reads_is_bounded_and_let_go() {
    let mut play = Play::up(Offer::default(), None);
    for n in 0..50_000_u32 {
        let prefix = IpNet::from(std::net::IpAddr::V4((0x0a00_0000 + n).into()));
        play.table.insert(prefix, Owner::Announcer, Path::default());
        play.peer.mark(Key::new(prefix));
    }
    let mut keepalive = Vec::new();
    header::encode_keepalive(&mut keepalive);
    let mut seconds = 2;
    while play.peer.established().is_some() {
        // More rounds than it takes to fill the outbox.
        for _ in 0..100 {
            play.peer.pump(at(seconds), &play.table);
        }
        let waiting = play.peer.transmit(SIDE).len();
        assert!(waiting <= outbox::LIMIT + header::EXTENDED_MAX_LENGTH, "{waiting} octets");
        seconds += 3;
        play.peer.timeout(at(seconds));
        play.peer.receive(at(seconds), SIDE, &keepalive);
    }
    assert_eq!(seconds, 482, "eight minutes after the first octet that stayed");
    play.settle(seconds);
    assert_eq!(play.seen(), ["down: sent Send Hold Timer Expired (8/0)"]);
}

#[test]
fn malformed_updates_are_reported_and_not_all_of_many() {
    let mut play = Play::up(Offer::default(), None);
    for _ in 0..20 {
        play.receive(2, |out| {
            let start = header::begin(out, MessageType::Update);
            out.extend_from_slice(&[0, 0, 0, 4, 0x40, 1, 1, 9, 24, 203, 0, 113]);
            header::finish(out, start);
        });
    }
    let seen = play.seen();
    assert_eq!(seen.iter().filter(|line| line.contains("ORIGIN")).count(), 8, "{seen:?}");
    assert_eq!(play.peer.counters().malformed_updates, 20);
    assert!(play.peer.established().is_some());
}

/// Everything that the API will show, as one value.
#[test]
fn the_status_is_one_value() {
    let mut play = Play::up(Offer::default(), None);
    play.receive(7, |out| {
        Notification::cease(cease::ADMINISTRATIVE_RESET, "new software").encode(out);
    });
    let down = play.peer.status();
    assert_eq!(down.state, State::Idle);
    let (when, said) = down.last_received.expect("it said something");
    assert_eq!((when, said.shutdown_text().as_deref()), (at(7), Some("new software")));
    assert_eq!((down.counters.flaps, down.last_sent), (1, None));
    assert_eq!(down.counters.received.notifications, 1);
    play.establish(8);
    let up = play.peer.status();
    assert_eq!((up.state, up.established, up.side), (State::Established, Some(at(8)), Some(SIDE)));
    let agreed = up.negotiated.expect("agreed");
    assert!(agreed.peer_offered.contains(&Capability::FourOctetAs(65000)));
    assert!(agreed.offered.contains(&Capability::FourOctetAs(65001)));
    assert_eq!((up.counters.received.opens, up.counters.sent.opens), (2, 2));
}
