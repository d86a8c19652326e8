//! How much a neighbour may announce, and how much it may make us say.

use super::*;

#[test]
fn a_neighbour_over_its_limit_is_warned_of_ended_and_kept_out() {
    let limit = PrefixLimit { maximum: 2, warning: 1, restart: Duration::from_secs(60) };
    let mut play = Play::up(Offer::default(), Some(limit));
    play.announce(2, &[A], None);
    play.announce(2, &[A], None);
    assert_eq!(play.seen(), ["warning 1", "+ 203.0.113.0/25", "+ 203.0.113.0/25"]);
    play.announce(3, &[B, "198.51.100.0/24", "192.0.2.0/24"], None);
    let seen = play.seen();
    let reason = "down: sent Cease/Maximum Number of Prefixes Reached (6/1) data=00010100000002";
    assert!(seen.iter().any(|line| line == reason), "{seen:?}");
    assert!(!play.connect(62), "kept out for a minute");
    play.establish(64);
    assert!(play.peer.established().is_some());
}

/// Its table follows the last KEEPALIVE of the handshake in one segment.
#[test]
fn a_limit_that_is_passed_at_once_keeps_the_neighbour_out_as_well() {
    let mut play = Play::new(Offer::default(), ONE);
    assert!(play.connect(1));
    let (open, update) = (play.theirs.open(), play.update(&[A, B], None));
    play.receive(1, |out| open.encode(out));
    play.receive(1, |out| {
        header::encode_keepalive(out);
        out.extend(update);
    });
    assert!(play.seen().iter().any(|line| line.contains("(6/1)")));
    assert_eq!(play.peer.kept_out_until(), Some(at(61)));
    assert!(!play.connect(60));
    assert!(play.connect(61));
}

/// Neither by a connection that we open, nor by one that is there already.
#[test]
fn a_neighbour_over_its_limit_has_no_other_way_in() {
    let mut play = Play::new(Offer::default(), ONE);
    play.dial(1);
    play.peer.connected(at(1), Side::Outgoing, address(US), address(THEM));
    play.establish(1);
    play.announce(2, &[A, B], None);
    assert!(play.seen().iter().any(|line| line.contains("(6/1)")));
    let mut shake = Vec::new();
    play.theirs.open().encode(&mut shake);
    header::encode_keepalive(&mut shake);
    play.peer.receive(at(3), Side::Outgoing, &shake);
    play.settle(3);
    assert_eq!(play.peer.established(), None);
    assert_eq!(play.peer.deadline(), Some(at(62)), "when we dial again");
}

/// The limit holds for what there is, not for what ever came.
#[test]
fn what_is_withdrawn_does_not_count_against_the_limit() {
    let limit = PrefixLimit { maximum: 1, warning: 0, restart: Duration::from_secs(60) };
    let mut play = Play::up(Offer::default(), Some(limit));
    for second in 2..9 {
        play.announce(second, &[A], None);
        let options = EncodeOptions { four_octet_as: true, add_path: false, max_length: 4096 };
        play.receive(second, |out| {
            encode_withdraw(out, Family::Ipv4Unicast, &[(0, net(A))], &options);
        });
    }
    assert!(play.peer.established().is_some());
}

/// So that nobody fills the log with a route that comes and goes, or by asking
/// again and again.
#[test]
fn what_is_repeated_is_reported_once() {
    let limit = PrefixLimit { maximum: 9, warning: 1, restart: Duration::from_secs(60) };
    let mut play = Play::up(Offer::default(), Some(limit));
    let options = EncodeOptions { four_octet_as: true, add_path: false, max_length: 4096 };
    for second in 2..5 {
        play.announce(second, &[A], None);
        play.receive(second, |out| {
            encode_withdraw(out, Family::Ipv4Unicast, &[(0, net(A))], &options);
        });
    }
    let ask = RouteRefresh::request(Family::Ipv4Unicast);
    play.receive(6, |out| (0..700).for_each(|_| ask.encode(out)));
    let seen = play.seen();
    let count = |what: &str| seen.iter().filter(|line| line.starts_with(what)).count();
    assert_eq!((count("warning"), count("refresh")), (1, 1));
    play.peer.closed(at(7), SIDE);
    play.establish(8);
    play.announce(9, &[A], None);
    assert!(play.seen().iter().any(|line| line == "warning 1"), "a new session is news again");
}

impl Play {
    /// Routes of some 3600 octets each.
    fn originate(&mut self, count: u32) {
        for n in 0..count {
            let path = Path { communities: (n..n + 900).collect(), ..Path::default() };
            let prefix = IpNet::from(std::net::IpAddr::V4((0x0a00_0000 + n).into()));
            self.table.insert(prefix, Owner::Announcer, path);
            self.peer.mark(Key::new(prefix));
        }
    }
}

/// The interval begins when all has been said, and not when the outbox is full.
#[test]
fn what_does_not_fit_into_one_outbox_does_not_wait_for_the_interval() {
    let mut play = Play::new(Offer::default(), None);
    play.peer.settings.advertisement_interval = Duration::from_secs(30);
    play.establish(1);
    // More than the writer compares at a time.
    play.originate(1100);
    let mut updates = 0;
    while !play.peer.is_quiet(&play.table) || !play.sent.is_empty() {
        play.settle(2);
        updates += play.sent.iter().filter(|(kind, _)| *kind == MessageType::Update).count();
    }
    assert_eq!(updates, 1100);
    play.table.insert(net(A), Owner::Announcer, Path::default());
    play.peer.mark(Key::new(net(A)));
    play.settle(3);
    assert!(play.sent.is_empty(), "what comes now waits");
}

/// RFC 9687 §3.1: slow is not dead.
#[test]
fn a_neighbour_that_reads_a_little_now_and_then_is_kept() {
    let mut play = Play::up(Offer::default(), None);
    play.originate(100);
    for seconds in (4..1200).step_by(3) {
        play.peer.pump(at(seconds), &play.table);
        assert!(!play.peer.transmit(SIDE).is_empty());
        if seconds % 100 == 0 {
            play.peer.transmitted(at(seconds), SIDE, 1000);
        }
        play.peer.receive(at(seconds), SIDE, &{
            let mut keepalive = Vec::new();
            header::encode_keepalive(&mut keepalive);
            keepalive
        });
        play.peer.timeout(at(seconds));
        assert!(play.peer.established().is_some(), "after {seconds} s");
    }
}
