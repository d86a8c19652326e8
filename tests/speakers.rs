//! Two whole speakers against each other over a simulated network under a
//! virtual clock: delays, cuts, half-open connections, collisions, resets,
//! and changes of what is announced, one story a test.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, unreachable_pub, dead_code)]

mod common;

use std::time::Duration;

use burgee::bgp::export::Overrides;
use burgee::bgp::message::as_path::AsPath;
use burgee::bgp::message::attribute::{Attributes, Origin, community};
use burgee::bgp::message::notification::{Notification, cease};
use burgee::bgp::peer::Side;
use burgee::bgp::rib::originated::{Deprefer, NextHop, Path};
use burgee::bgp::session::State;
use common::network::{Network, Node, prefix};

fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

fn pair() -> Network {
    Network::new([Node::new("10.0.0.1", 65001), Node::new("10.0.0.2", 65000)], 1)
}

#[test]
fn two_speakers_meet_and_the_routes_arrive() {
    let mut network = pair();
    network.announce(0, "192.0.2.10/32");
    network.announce(0, "2001:db8::10/128");
    network.start();
    network.run(seconds(1));
    assert!(network.is_established());
    let learned = network.learned(1);
    assert_eq!(learned, [prefix("192.0.2.10/32"), prefix("2001:db8::10/128")].into());
    let attributes = network.attributes(1, "192.0.2.10/32").expect("learned");
    assert_eq!(attributes.as_path.to_string(), "65001");
    assert_eq!(attributes.next_hop, Some("10.0.0.1".parse().expect("an address")));
    assert_eq!((attributes.local_pref, attributes.med), (None, None));
    network.withdraw(0, "192.0.2.10/32");
    network.run(seconds(1));
    assert_eq!(network.learned(1), [prefix("2001:db8::10/128")].into());
}

#[test]
fn inside_one_as_the_path_is_empty_and_local_pref_is_100() {
    let nodes = [Node::new("10.0.0.1", 65001), Node::new("10.0.0.2", 65001)];
    let mut network = Network::new(nodes, 2);
    network.announce(0, "192.0.2.10/32");
    network.start();
    network.run(seconds(1));
    let attributes = network.attributes(1, "192.0.2.10/32").expect("learned");
    assert_eq!(attributes.as_path.to_string(), "");
    assert_eq!(attributes.local_pref, Some(100));
}

/// A path that says all it can, and what is set for a neighbour beside it.
fn full_path() -> (Path, Overrides) {
    let path = Path {
        med: Some(10),
        local_pref: 200,
        prepend: 1,
        communities: vec![community::NO_EXPORT, 0xfde9_0001],
        large_communities: vec![[65001, 1, 2]],
        extended_communities: vec![[0, 2, 0xfd, 0xe9, 0, 0, 0, 1]],
        next_hop: Some(NextHop::Address("10.0.0.9".parse().expect("an address"))),
        ..Path::default()
    };
    let overrides = Overrides {
        med: Some(5),
        local_pref: Some(300),
        prepend: 2,
        communities: vec![0xfde9_0000, 0xfde9_0001],
        large_communities: vec![[65001, 1, 1]],
        extended_communities: vec![[0, 3, 0xfd, 0xe9, 0, 0, 0, 1]],
        next_hop: Some(NextHop::Own),
    };
    (path, overrides)
}

/// What a neighbour of AS `asn` has after `path` was announced to it.
fn seen_by(asn: u32, overrides: Overrides, path: &Path) -> Attributes {
    let mut us = Node::new("10.0.0.1", 65001);
    us.overrides = overrides;
    let mut network = Network::new([us, Node::new("10.0.0.2", asn)], 11);
    network.announce_path(0, "192.0.2.10/32", path.clone());
    network.start();
    network.run(seconds(1));
    network.attributes(1, "192.0.2.10/32").expect("learned").clone()
}

#[test]
fn a_neighbour_sees_exactly_what_the_path_says() {
    let (path, _) = full_path();
    let next_hop = Some("10.0.0.9".parse().expect("an address"));
    let as_path = AsPath::sequence(&[65001, 65001]);
    let expected = Attributes {
        med: Some(10),
        communities: vec![0xfde9_0001, community::NO_EXPORT],
        large_communities: vec![[65001, 1, 2]],
        extended_communities: vec![[0, 2, 0xfd, 0xe9, 0, 0, 0, 1]],
        ..Attributes::new(Origin::Igp, as_path, next_hop)
    };
    assert_eq!(seen_by(65000, Overrides::default(), &path), expected);
    let inside =
        Attributes { as_path: AsPath::default(), local_pref: Some(200), ..expected.clone() };
    assert_eq!(seen_by(65001, Overrides::default(), &path), inside);
}

#[test]
fn what_is_set_for_the_neighbour_goes_before_and_is_joined() {
    let (path, overrides) = full_path();
    let next_hop = Some("10.0.0.1".parse().expect("an address"));
    let expected = Attributes {
        med: Some(5),
        communities: vec![0xfde9_0000, 0xfde9_0001, community::NO_EXPORT],
        large_communities: vec![[65001, 1, 1], [65001, 1, 2]],
        extended_communities: vec![[0, 2, 0xfd, 0xe9, 0, 0, 0, 1], [0, 3, 0xfd, 0xe9, 0, 0, 0, 1]],
        ..Attributes::new(Origin::Igp, AsPath::sequence(&[65001; 4]), next_hop)
    };
    assert_eq!(seen_by(65000, overrides.clone(), &path), expected);
    let inside =
        Attributes { as_path: AsPath::default(), local_pref: Some(300), ..expected.clone() };
    assert_eq!(seen_by(65001, overrides, &path), inside);
}

/// The most that can be configured still fits into a message.
#[test]
fn as_many_communities_as_can_be_configured_arrive() {
    let half = |from: u32| (from..from + 64).collect::<Vec<u32>>();
    let large = |from: u32| half(from).into_iter().map(|n| [n, 0, 0]).collect::<Vec<_>>();
    let extended = |from: u32| half(from).into_iter().map(|n| u64::from(n).to_be_bytes()).collect();
    let path = Path {
        prepend: 32,
        communities: half(0),
        large_communities: large(0),
        extended_communities: extended(0),
        ..Path::default()
    };
    let overrides = Overrides {
        prepend: 32,
        communities: half(64),
        large_communities: large(64),
        extended_communities: extended(64),
        ..Overrides::default()
    };
    let seen = seen_by(65000, overrides, &path);
    assert_eq!((seen.communities.len(), seen.large_communities.len()), (128, 128));
    assert_eq!((seen.extended_communities.len(), seen.as_path.length()), (128, 65));
}

#[test]
fn each_neighbour_hears_of_its_own_prefixes() {
    let only = |name: &str| Some([name.to_owned()].into());
    for (name, other) in [("tor1", "192.0.2.1/32"), ("tor2", "192.0.2.2/32")] {
        let mut us = Node::new("10.0.0.1", 65001);
        us.neighbour = name.to_owned();
        let mut network = Network::new([us, Node::new("10.0.0.2", 65000)], 12);
        for (text, audience) in
            [("192.0.2.1/32", only("tor1")), ("192.0.2.2/32", only("tor2")), ("192.0.2.3/32", None)]
        {
            network.announce_path(0, text, Path { audience, ..Path::default() });
        }
        network.start();
        network.run(seconds(1));
        assert_eq!(network.learned(1), [prefix(other), prefix("192.0.2.3/32")].into(), "{name}");
        // Out of the audience is withdrawn, over the session that is up.
        network.announce_path(0, other, Path { audience: only("tor3"), ..Path::default() });
        network.run(seconds(1));
        assert_eq!(network.learned(1), [prefix("192.0.2.3/32")].into(), "{name}");
        assert_eq!(network.flaps(), 0);
    }
}

#[test]
fn a_graceful_shutdown_is_announced_over_the_session_that_is_up() {
    for (asn, local_pref) in [(65000, None), (65001, Some(0))] {
        let mut network =
            Network::new([Node::new("10.0.0.1", 65001), Node::new("10.0.0.2", asn)], 13);
        network.announce(0, "192.0.2.10/32");
        network.start();
        network.run(seconds(1));
        assert!(network.attributes(1, "192.0.2.10/32").expect("learned").communities.is_empty());
        let path = Path { graceful_shutdown: true, ..Path::default() };
        network.announce_path(0, "192.0.2.10/32", path);
        network.run(seconds(1));
        let seen = network.attributes(1, "192.0.2.10/32").expect("learned");
        assert_eq!(seen.communities, [community::GRACEFUL_SHUTDOWN]);
        assert_eq!((seen.local_pref, network.flaps()), (local_pref, 0));
    }
}

/// It is one UPDATE that takes the place of the one before, and the neighbour is
/// never without the route.
#[test]
fn a_less_preferred_route_takes_the_place_of_the_one_before() {
    let prefix = "192.0.2.10/32";
    for (asn, as_path, local_pref) in [(65000, vec![65001; 4], None), (65001, vec![], Some(50))] {
        let mut network =
            Network::new([Node::new("10.0.0.1", 65001), Node::new("10.0.0.2", asn)], 14);
        assert_eq!(network.sent(0, prefix), None);
        network.announce(0, prefix);
        network.start();
        network.run(seconds(1));
        let usual = network.attributes(1, prefix).expect("learned").clone();
        assert_eq!(network.sent(0, prefix), Some(&usual));
        let (before, _) = network.updates_and_withdrawn(0);
        let path = Path { deprefer: Some(Deprefer::default()), ..Path::default() };
        network.announce_path(0, prefix, path);
        network.run(seconds(1));
        let seen = network.attributes(1, prefix).expect("learned");
        let as_path = AsPath::sequence(&as_path);
        assert_eq!(*seen, Attributes { as_path, local_pref, ..usual.clone() });
        assert_eq!(network.sent(0, prefix), Some(seen));
        network.announce(0, prefix);
        network.run(seconds(1));
        assert_eq!(network.attributes(1, prefix), Some(&usual));
        assert_eq!(network.updates_and_withdrawn(0).0, before + 2);
        assert_eq!((network.updates_and_withdrawn(1).1, network.flaps()), (0, 0));
        network.withdraw(0, prefix);
        network.run(seconds(1));
        assert_eq!((network.sent(0, prefix), network.updates_and_withdrawn(1).1), (None, 1));
    }
}

#[test]
fn four_octet_as_numbers_travel_whole() {
    let nodes = [Node::new("10.0.0.1", 4_200_000_001), Node::new("10.0.0.2", 65000)];
    let mut network = Network::new(nodes, 3);
    network.announce(0, "192.0.2.10/32");
    network.start();
    network.run(seconds(1));
    let attributes = network.attributes(1, "192.0.2.10/32").expect("learned");
    assert_eq!(attributes.as_path.to_string(), "4200000001");
}

#[test]
fn dialling_at_the_same_moment_leaves_one_session_opened_by_the_higher_identifier() {
    for latency in [1, 5, 40, 300] {
        let mut network = pair();
        network.latency = Duration::from_millis(latency);
        network.announce(0, "192.0.2.10/32");
        network.start();
        network.run(seconds(5));
        assert!(network.is_established(), "latency {latency} ms");
        assert_eq!(network.open_connections(), 1, "latency {latency} ms");
        // RFC 4271 §6.8: 10.0.0.2 is the higher identifier.
        assert_eq!(network.established_side(1), Some(Side::Outgoing), "latency {latency} ms");
        assert_eq!(network.flaps(), 0, "the loser must never have been established");
        assert_eq!(network.learned(1).len(), 1);
    }
}

#[test]
fn one_side_passive_is_enough_and_both_passive_never_meet() {
    let mut passive = Node::new("10.0.0.2", 65000);
    passive.passive = true;
    let mut network = Network::new([Node::new("10.0.0.1", 65001), passive.clone()], 4);
    network.start();
    network.run(seconds(2));
    assert!(network.is_established());
    let mut other = Node::new("10.0.0.1", 65001);
    other.passive = true;
    let mut network = Network::new([other, passive], 5);
    network.start();
    network.run(seconds(60));
    assert!(!network.is_established());
    assert_eq!(network.connections_made(), 0);
}

#[test]
fn a_cut_ends_by_the_hold_timer_and_heals() {
    let mut network = pair();
    network.announce(0, "192.0.2.10/32");
    network.start();
    network.run(seconds(2));
    assert!(network.is_established());
    network.cut = true;
    network.run(seconds(6));
    assert!(network.is_established(), "the hold time of 9 s is not over");
    network.run(seconds(4));
    assert!(!network.is_established());
    assert!(network.learned(1).is_empty(), "a dead session's routes are gone");
    network.cut = false;
    network.run(seconds(15));
    assert!(network.is_established());
    assert_eq!(network.learned(1), [prefix("192.0.2.10/32")].into());
}

#[test]
fn a_neighbour_that_lost_its_connection_is_back_long_before_the_hold_time() {
    let mut network = pair();
    network.start();
    network.run(seconds(5));
    network.lose_end(1);
    // The survivor has noticed nothing; the newcomer's OPEN makes it ask.
    network.run(seconds(4));
    assert!(network.is_established());
}

#[test]
fn a_lost_path_ends_the_session_at_once_and_another_follows() {
    let mut network = pair();
    network.announce(0, "192.0.2.10/32");
    network.start();
    network.run(seconds(5));
    network.lose_path(1);
    assert!(network.learned(1).is_empty(), "its routes are gone in the same moment");
    network.run(seconds(5));
    let reason = network.last_down(0).expect("the neighbour was told");
    assert!(reason.contains("BFD Down"), "{reason}");
    assert!(network.is_established());
    assert_eq!(network.learned(1), [prefix("192.0.2.10/32")].into());
}

#[test]
fn keepalives_hold_an_idle_session_for_hours() {
    let mut network = pair();
    network.start();
    network.run(seconds(2));
    let before = network.messages_sent();
    network.run(seconds(6 * 3600));
    assert!(network.is_established());
    assert_eq!(network.flaps(), 0);
    // Hold 9 s, so one each 3 s less up to a quarter, in both directions.
    let sent = network.messages_sent() - before;
    assert!((14_400..=19_300).contains(&sent), "{sent} keepalives");
}

#[test]
fn a_stop_says_cease_and_starts_nothing_again() {
    let mut network = pair();
    network.announce(0, "192.0.2.10/32");
    network.start();
    network.run(seconds(2));
    let text = "burgee was asked to stop";
    network.stop(0, &Notification::cease(cease::ADMINISTRATIVE_SHUTDOWN, text));
    network.run(Duration::from_millis(10));
    let reason = network.last_down(1).expect("the neighbour saw the end");
    assert!(reason.contains("Administrative Shutdown") && reason.contains(text), "{reason}");
    network.run(seconds(30));
    assert_eq!(network.state(0), State::Idle);
    assert!(network.learned(1).is_empty());
    let reason = network.last_down(1).expect("the neighbour called again");
    assert!(reason.contains("Connection Rejected"), "{reason}");
}

#[test]
fn with_equal_identifiers_the_higher_as_decides() {
    let mut lower = Node::new("10.0.0.1", 64999);
    lower.identifier = "10.0.0.9".parse().expect("an identifier");
    let mut higher = Node::new("10.0.0.2", 65000);
    higher.identifier = lower.identifier;
    let mut network = Network::new([lower, higher], 6);
    network.start();
    network.run(seconds(5));
    assert!(network.is_established());
    // RFC 6286 §2.3.
    assert_eq!(network.established_side(1), Some(Side::Outgoing));
    assert_eq!(network.flaps(), 0);
}

#[test]
fn a_slow_reader_gets_everything_in_the_end() {
    for window in [1, 18, 19, 100, 5000] {
        let mut network = pair();
        network.window = window;
        for n in 0..60 {
            network.announce(0, &format!("192.0.2.{n}/32"));
        }
        network.start();
        network.run(seconds(8));
        assert!(network.is_established(), "window {window}");
        assert_eq!(network.learned(1).len(), 60, "window {window}");
        assert_eq!(network.flaps(), 0, "window {window}");
    }
}

/// The neighbour's process dies and is back: its kernel says so at once, and
/// nobody waits for a hold time.
#[test]
fn a_neighbour_that_crashes_is_back_within_the_connect_retry_time() {
    for passive in [false, true] {
        let mut survivor = Node::new("10.0.0.1", 65001);
        survivor.passive = passive;
        let mut network = Network::new([survivor, Node::new("10.0.0.2", 65000)], 7);
        network.announce(0, "192.0.2.10/32");
        network.start();
        network.run(seconds(60));
        network.crash(1);
        network.run(seconds(4));
        assert!(network.is_established(), "passive {passive}");
        assert_eq!(network.learned(1).len(), 1, "passive {passive}");
    }
}

#[test]
fn who_cannot_be_called_calls_itself() {
    let mut network = pair();
    network.deaf[1] = true;
    network.start();
    network.run(seconds(5));
    assert_eq!(network.established_side(1), Some(Side::Outgoing));
    network.reset_all();
    network.run(seconds(5));
    assert!(network.is_established());
}
