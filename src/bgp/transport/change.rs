//! Other settings for a speaker that runs: the settings are compared with what
//! is there, and only what differs is touched.

use std::net::SocketAddr;

use log::{debug, info};

use super::Transport;
use super::listener::{Listener, ListenerSettings};
use super::neighbour::{Membership, Neighbour};
use super::settings::{PeerTransport, TransportSettings};
use crate::bgp::message::notification::{Notification, cease};
use crate::bgp::peer_settings::PeerSettings;
use crate::bgp::speaker::{PeerId, Speaker};
use crate::reactor::{Reactor, Token};

/// Settings whose new listeners are open, so that little can go wrong when they
/// are put in force. Dropped, they leave everything as it is.
#[derive(Debug)]
pub struct Prepared {
    peers: Vec<PeerSettings>,
    settings: TransportSettings,
    opened: Vec<Listener>,
    /// Addresses that can be listened on only when others are closed.
    later: Vec<SocketAddr>,
}

/// What one neighbour is to be.
struct Wanted {
    peer: PeerSettings,
    transport: PeerTransport,
    membership: Option<Membership>,
}

impl Transport {
    /// Opens the listeners that `settings` have and that are not there yet.
    /// `peers` are one for each of the settings' neighbours, in their order.
    ///
    /// # Errors
    /// A listener that cannot be opened, as a sentence that says what to do;
    /// nothing is changed then.
    pub fn prepare_change(
        &mut self,
        reactor: &mut Reactor,
        peers: Vec<PeerSettings>,
        settings: TransportSettings,
    ) -> Result<Prepared, String> {
        let rules = ListenerSettings::of(&settings);
        let (mut opened, mut later) = (Vec::new(), Vec::new());
        let is_open = |address| self.listeners.iter().any(|l| l.address == address);
        let new: Vec<SocketAddr> =
            settings.listen.iter().copied().filter(|address| !is_open(*address)).collect();
        for address in new {
            // One port of one family is listened on by all addresses or by this.
            let in_the_way = self.listeners.iter().any(|listener| {
                let other = listener.address;
                !settings.listen.contains(&other)
                    && (other.port(), other.is_ipv4()) == (address.port(), address.is_ipv4())
            });
            match in_the_way {
                true => later.push(address),
                false => opened.push(self.open(reactor, address, &rules)?),
            }
        }
        Ok(Prepared { peers, settings, opened, later })
    }

    /// Puts prepared settings in force, and with them a change of what is
    /// originated. Neighbours that are gone hear Cease/Peer De-configured, and
    /// those that need a new session Cease/Other Configuration Change
    /// (RFC 4486 §4); all others hear what is announced otherwise now.
    ///
    /// Returns what went wrong, a sentence each; the rest is in force.
    pub fn commit_change(
        &mut self,
        reactor: &mut Reactor,
        prepared: Prepared,
        change: impl FnOnce(&mut Speaker),
    ) -> Vec<String> {
        let Prepared { peers, settings, opened, later } = prepared;
        let old = std::mem::replace(&mut self.settings, settings);
        let problems = self.listen_anew(reactor, &old, opened, later);
        self.carry_over_refusals(&old);
        let transports = self.settings.peers.clone();
        let mut configured: Vec<Option<(PeerSettings, PeerTransport)>> =
            peers.into_iter().zip(transports).map(Some).collect();
        let ids: Vec<PeerId> = self.neighbours.keys().copied().collect();
        for id in ids {
            match self.wanted(id, &mut configured) {
                Ok(wanted) => self.take_settings(reactor, id, wanted),
                Err(subcode) => self.dismiss(reactor, id, subcode),
            }
        }
        for (peer, transport) in configured.into_iter().flatten() {
            let id = self.speaker.add(reactor.now(), peer);
            self.neighbours.insert(id, Neighbour::new(transport, None));
        }
        self.take_stock();
        change(&mut self.speaker);
        self.service_all(reactor);
        problems
    }

    fn open(
        &mut self,
        reactor: &mut Reactor,
        address: SocketAddr,
        rules: &ListenerSettings,
    ) -> Result<Listener, String> {
        let token = Token::new(self.settings.kinds.listener, 0, self.next_listener);
        self.next_listener = self.next_listener.wrapping_add(1);
        Listener::open(reactor, address, token, rules)
    }

    /// Closes the listeners that are gone, has those that stay judge SYNs by the
    /// new settings, and takes the new ones.
    fn listen_anew(
        &mut self,
        reactor: &mut Reactor,
        old: &TransportSettings,
        opened: Vec<Listener>,
        later: Vec<SocketAddr>,
    ) -> Vec<String> {
        let (before, now) = (ListenerSettings::of(old), ListenerSettings::of(&self.settings));
        let mut problems = Vec::new();
        for listener in std::mem::take(&mut self.listeners) {
            if self.settings.listen.contains(&listener.address) {
                problems.extend(listener.change(&before, &now).err());
                self.listeners.push(listener);
            } else {
                info!("bgp event=not_listening address={}", listener.address);
                listener.close(reactor);
            }
        }
        let mut new = opened;
        for address in later {
            match self.open(reactor, address, &now) {
                Ok(listener) => new.push(listener),
                Err(problem) => problems.push(problem),
            }
        }
        for listener in &new {
            info!("bgp event=listening address={}", listener.address);
        }
        self.listeners.append(&mut new);
        problems
    }

    /// Groups are known by their places, which may be others now.
    fn carry_over_refusals(&mut self, old: &TransportSettings) {
        let counts = old.groups.iter().map(|group| group.prefix).zip(&self.turned_away);
        let count = |prefix| counts.clone().find(|(other, _)| *other == prefix);
        let groups = self.settings.groups.iter();
        self.turned_away =
            groups.map(|group| count(group.prefix).map_or(0, |(_, count)| *count)).collect();
    }

    /// What a neighbour that is there is to be, taken out of `configured` if it
    /// is one of these; else the subcode of the Cease that it hears.
    fn wanted(
        &self,
        id: PeerId,
        configured: &mut [Option<(PeerSettings, PeerTransport)>],
    ) -> Result<Wanted, u8> {
        let neighbour = self.neighbours.get(&id).ok_or(cease::PEER_DECONFIGURED)?;
        let remote = neighbour.transport.remote;
        if neighbour.membership.is_some() {
            if self.settings.peers.iter().any(|peer| peer.is_at(remote)) {
                return Err(cease::OTHER_CONFIGURATION_CHANGE);
            }
            let around = self.settings.group_around(remote);
            let (index, group) = around.ok_or(cease::PEER_DECONFIGURED)?;
            let (peer, transport) = group.member(remote);
            let membership = Some(Membership { group: index, keep: group.keep });
            return Ok(Wanted { peer, transport, membership });
        }
        let place = configured.iter_mut().find(|entry| {
            let same = |other: &PeerTransport| {
                (other.remote.ip(), &other.interface)
                    == (remote.ip(), &neighbour.transport.interface)
            };
            entry.as_ref().is_some_and(|(_, transport)| same(transport))
        });
        let (peer, transport) = place.and_then(Option::take).ok_or(cease::PEER_DECONFIGURED)?;
        Ok(Wanted { peer, transport, membership: None })
    }

    fn take_settings(&mut self, reactor: &mut Reactor, id: PeerId, wanted: Wanted) {
        let now = reactor.now();
        let Some(neighbour) = self.neighbours.get_mut(&id) else { return };
        let differ = neighbour.transport != wanted.transport;
        neighbour.transport = wanted.transport;
        neighbour.membership = wanted.membership;
        if differ {
            // Whatever was complained of may be better, or news.
            neighbour.contented();
        }
        self.speaker.change(now, id, wanted.peer, differ);
    }

    /// Ends a neighbour's sessions, and forgets it.
    fn dismiss(&mut self, reactor: &mut Reactor, id: PeerId, subcode: u8) {
        debug!("bgp event=dismissed peer={}", self.name(id));
        self.guarded(reactor, id, |transport, reactor| {
            let cease = Notification::cease(subcode, "");
            transport.speaker.stop_peer(reactor.now(), id, &cease);
            transport.service(reactor, id);
        });
        self.forget(reactor, id);
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;
    use std::time::Duration;

    use super::super::testing::{House, KINDS, LOCAL, message, terms};
    use super::super::{Group, Use};
    use super::*;
    use crate::bgp::export::Overrides;
    use crate::bgp::message::header::MessageType;
    use crate::bgp::rib::originated::{Owner, Path};

    fn address(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    fn peer(at: &str) -> (PeerSettings, PeerTransport) {
        let settings = PeerSettings::new(at, address(at), terms(65001, 65000, [10, 0, 0, 1]));
        (settings, PeerTransport::plain(SocketAddr::new(address(at), 179)))
    }

    fn group(prefix: &str) -> Group {
        let (peer, transport) = peer("127.0.0.1");
        let peer = PeerSettings { name: prefix.to_owned(), ..peer };
        let prefix = prefix.parse().expect("a prefix");
        Group { prefix, limit: 9, keep: Duration::from_secs(60), peer, transport }
    }

    /// Puts these neighbours and groups in force.
    fn change(house: &mut House, peers: Vec<(PeerSettings, PeerTransport)>, groups: Vec<Group>) {
        let listen = house.bgp().settings.listen.clone();
        commit(house, listen, peers, groups);
    }

    fn commit(
        house: &mut House,
        listen: Vec<SocketAddr>,
        peers: Vec<(PeerSettings, PeerTransport)>,
        groups: Vec<Group>,
    ) {
        let (peers, transports) = peers.into_iter().unzip();
        let settings = TransportSettings { listen, peers: transports, groups, kinds: KINDS };
        let House { reactor, phases } = house;
        let prepared = phases.0.prepare_change(reactor, peers, settings).expect("it can listen");
        let problems = phases.0.commit_change(reactor, prepared, |_| {});
        assert!(problems.is_empty(), "{problems:?}");
    }

    /// The subcode of the Cease at the end of what is heard.
    fn cease_of(heard: &[(MessageType, Vec<u8>)]) -> Option<u8> {
        match heard.last()? {
            (MessageType::Notification, body) => body.get(1).copied(),
            _ => None,
        }
    }

    #[test]
    fn only_who_changed_is_touched() {
        let mut house = House::listening_for_two();
        let [mut one, mut two] = house.two_established();
        let both = || vec![peer("127.0.0.1"), peer("127.0.0.2")];
        change(&mut house, both(), Vec::new());
        let mut changed = both();
        changed[1].0.terms.hold_time = 30;
        change(&mut house, changed, Vec::new());
        assert_eq!(cease_of(&two.hear_all(&mut house)), Some(6), "Other Configuration Change");
        assert_eq!(house.bgp().speaker().established(), 1);
        assert_eq!(house.peer().counters().flaps, 0);
        change(&mut house, vec![peer("127.0.0.2")], Vec::new());
        assert_eq!(cease_of(&one.hear_all(&mut house)), Some(3), "Peer De-configured");
        assert_eq!(house.bgp().speaker().peer_ids().count(), 1);
        let mut again = house.connect_from("127.0.0.2");
        again.greet();
        house.until(|house| house.bgp().speaker().established() == 1);
        change(&mut house, both(), Vec::new());
        let ids: Vec<PeerId> = house.bgp().speaker().peer_ids().collect();
        assert_eq!(ids, [PeerId(1), PeerId(2)], "a new neighbour has a new number");
    }

    #[test]
    fn attributes_go_over_the_session_that_is_up() {
        let mut house = House::listening(LOCAL);
        let mut neighbour = house.established();
        let House { reactor, phases } = &mut house;
        phases.0.change(reactor, |speaker| {
            let prefix = "192.0.2.1/32".parse().expect("a prefix");
            // Long enough to be counted by the other end.
            let path = Path { communities: (0..50).collect(), ..Path::default() };
            speaker.originate(prefix, Owner::Announcer, path);
        });
        let heard_one = |house: &mut House, neighbour: &mut super::super::testing::Router| {
            let mut heard = 0;
            while heard == 0 {
                house.turn();
                heard = neighbour.updates_read();
            }
            assert_eq!(heard, 1);
        };
        heard_one(&mut house, &mut neighbour);
        let (mut settings, transport) = peer("127.0.0.1");
        settings.name = "them".to_owned();
        settings.overrides = Overrides { med: Some(7), ..Overrides::default() };
        change(&mut house, vec![(settings, transport)], Vec::new());
        heard_one(&mut house, &mut neighbour);
        assert_eq!(house.peer().counters().flaps, 0);
    }

    #[test]
    fn members_follow_their_group() {
        let mut house = House::with(Vec::new(), Vec::new(), vec![group("127.0.0.0/8")]);
        let mut router = house.connect();
        router.greet();
        house.until(|house| house.bgp().speaker().established() == 1);
        // A longer prefix is another group, with the same terms.
        change(&mut house, Vec::new(), vec![group("10.0.0.0/8"), group("127.0.0.0/16")]);
        let name = |house: &mut House| house.bgp().name(PeerId(0));
        assert_eq!(name(&mut house), "127.0.0.0/16/127.0.0.1");
        assert_eq!(house.bgp().group(PeerId(0)), Some(1));
        assert_eq!(house.bgp().speaker().established(), 1);
        router.send(&message(MessageType::Keepalive, &[]));
        // Configured by its address it is another neighbour.
        change(&mut house, vec![peer("127.0.0.1")], vec![group("127.0.0.0/16")]);
        assert_eq!(cease_of(&router.hear_all(&mut house)), Some(6));
        let mut router = house.connect_from("127.0.0.2");
        router.greet();
        house.until(|house| house.bgp().speaker().established() == 1);
        change(&mut house, vec![peer("127.0.0.1")], Vec::new());
        assert_eq!(cease_of(&router.hear_all(&mut house)), Some(3));
    }

    #[test]
    fn listeners_come_and_go_and_one_that_cannot_changes_nothing() {
        let mut house = House::listening(LOCAL);
        let _neighbour = house.established();
        let any = |text: &str| text.parse::<SocketAddr>().expect("an address");
        let first = any("127.0.0.1:0");
        commit(&mut house, vec![first, any("[::1]:0")], vec![peer("127.0.0.1")], Vec::new());
        assert_eq!(house.bgp().listening_on().len(), 2);
        let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let taken = taken.local_addr().map(|at| (taken, at)).expect("bound");
        let settings = TransportSettings {
            listen: vec![taken.1],
            peers: Vec::new(),
            groups: Vec::new(),
            kinds: KINDS,
        };
        let House { reactor, phases } = &mut house;
        let refused =
            phases.0.prepare_change(reactor, Vec::new(), settings).expect_err("it is taken");
        assert!(refused.contains("cannot listen"), "{refused}");
        assert_eq!(house.bgp().listening_on().len(), 2);
        commit(&mut house, Vec::new(), vec![peer("127.0.0.1")], Vec::new());
        assert!(house.bgp().listening_on().is_empty());
        assert_eq!(house.bgp().speaker().established(), 1, "sessions need no listener");
        let open = |(_, c): (_, &super::super::Connection)| matches!(c.used_for, Use::Open(..));
        assert_eq!(house.bgp().connections.iter().filter(|c| open(*c)).count(), 1);
    }

    /// The kernel judges the SYN: without the key, or with another, nobody
    /// gets in.
    #[test]
    fn keys_are_added_changed_and_removed_at_the_listener() {
        let mut house = House::listening(LOCAL);
        let with = |key: Option<&str>| {
            let (settings, transport) = peer("127.0.0.1");
            let md5_key = key.map(|key| key.as_bytes().to_vec());
            vec![(settings, PeerTransport { md5_key, ..transport })]
        };
        for (key, flaps) in [(Some("one"), 0), (Some("two"), 1), (None, 2)] {
            change(&mut house, with(key), Vec::new());
            assert_eq!(house.peer().counters().flaps, flaps, "the old key is of no use");
            let mut router = house.connect_with_key("127.0.0.1", key.map(str::as_bytes));
            house.until(|_| router.stream.peer_addr().is_ok());
            router.greet();
            house.until(|house| house.bgp().speaker().established() == 1);
        }
    }

    /// The same for GTSM (RFC 5082): what was too far away is let in again.
    #[test]
    fn the_ttl_that_is_let_in_follows_the_neighbours() {
        use crate::reactor::socket::ConnectOptions;
        let mut house = House::listening(LOCAL);
        for (minimum_ttl, theirs) in [(Some(255), 255), (Some(250), 251), (None, 64)] {
            let (settings, transport) = peer("127.0.0.1");
            let transport =
                PeerTransport { minimum_ttl, ttl: minimum_ttl.map(|_| 255), ..transport };
            change(&mut house, vec![(settings, transport)], Vec::new());
            let options = ConnectOptions { ttl: Some(theirs), ..ConnectOptions::default() };
            let mut router = house.connect_with("127.0.0.1", options);
            house.until(|_| router.stream.peer_addr().is_ok());
            router.greet();
            house.until(|house| house.bgp().speaker().established() == 1);
        }
    }
}
