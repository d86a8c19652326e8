//! What others see of the door and the neighbours behind it.

use std::collections::HashMap;
use std::net::IpAddr;

use super::Transport;
use super::settings::PeerTransport;
use crate::bgp::speaker::PeerId;
use crate::bgp::status::PeerStatus;
use crate::reactor::Time;

impl Transport {
    /// All that is known of each neighbour, in the order of their numbers.
    pub fn statuses(&self) -> impl Iterator<Item = (PeerId, PeerStatus)> {
        self.speaker.peers().map(|(id, peer)| (id, peer.status()))
    }

    /// The neighbours that the settings name, in their order.
    pub fn named(&self) -> &[PeerId] {
        &self.order
    }

    /// The neighbours that came by a group, from this number on, in the order
    /// of their numbers.
    pub fn joined_from(&self, id: PeerId) -> impl Iterator<Item = PeerId> {
        let none = self.members.iter().all(|count| *count == 0);
        let all = (!none).then(|| self.neighbours.range(id..)).into_iter().flatten();
        all.filter(|(_, neighbour)| neighbour.membership.is_some()).map(|(id, _)| *id)
    }

    /// How many neighbours are meant by this name of paths that are not for
    /// all: those of the group that is called so, else one.
    pub fn meant_by(&self, name: &str) -> usize {
        let group = self.settings.groups.iter().position(|group| group.peer.name == name);
        group.map_or(1, |group| self.members.get(group).copied().unwrap_or(0))
    }

    /// When and why a neighbour could last not be reached, since it was last
    /// up.
    pub fn failure(&self, id: PeerId) -> Option<(Time, &str)> {
        self.neighbours.get(&id)?.failure()
    }

    /// Connections from addresses that are no neighbour's.
    pub fn strangers(&self) -> u64 {
        self.strangers
    }

    /// Counts and sorts the neighbours anew, after other settings.
    pub(super) fn take_stock(&mut self) {
        let place = |peer: &PeerTransport| (peer.remote.ip(), peer.interface.clone());
        let mut ids: HashMap<(IpAddr, Option<String>), PeerId> = HashMap::new();
        self.members = vec![0; self.settings.groups.len()];
        for (id, neighbour) in &self.neighbours {
            match neighbour.membership {
                Some(it) => {
                    let group = self.members.get_mut(it.group).into_iter();
                    group.for_each(|count| *count = count.saturating_add(1));
                }
                None => drop(ids.insert(place(&neighbour.transport), *id)),
            }
        }
        let named = self.settings.peers.iter();
        self.order = named.filter_map(|peer| ids.get(&place(peer)).copied()).collect();
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;
    use std::time::Duration;

    use super::super::testing::{House, KINDS, LOCAL, PEER, message, terms};
    use super::super::{Group, TransportSettings};
    use super::*;
    use crate::bgp::message::header::MessageType;
    use crate::bgp::negotiation::Terms;
    use crate::bgp::peer_settings::PeerSettings;
    use crate::bgp::rib::originated::{Owner, Path};

    fn peer(at: &str) -> (PeerSettings, PeerTransport) {
        let address: IpAddr = at.parse().expect("an address");
        let settings = PeerSettings::new(at, address, terms(65001, 65000, [10, 0, 0, 1]));
        (settings, PeerTransport::plain(SocketAddr::new(address, 179)))
    }

    fn group(name: &str, prefix: &str) -> Group {
        let (peer, transport) = peer("127.0.0.1");
        let peer = PeerSettings { name: name.to_owned(), ..peer };
        let prefix = prefix.parse().expect("a prefix");
        Group { prefix, limit: 9, keep: Duration::from_secs(3600), peer, transport }
    }

    fn change(house: &mut House, named: &[&str], groups: Vec<Group>) {
        let (peers, transports) = named.iter().map(|at| peer(at)).unzip();
        let listen = house.bgp().settings.listen.clone();
        let settings = TransportSettings { listen, peers: transports, groups, kinds: KINDS };
        let House { reactor, phases } = house;
        let prepared = phases.0.prepare_change(reactor, peers, settings).expect("it can listen");
        assert!(phases.0.commit_change(reactor, prepared, |_| {}).is_empty());
    }

    fn addresses(house: &mut House, ids: Vec<PeerId>) -> Vec<String> {
        let of = |id| house.bgp().speaker().peer(id).map(|it| it.settings().address.to_string());
        ids.into_iter().filter_map(of).collect()
    }

    #[test]
    fn the_order_is_that_of_the_settings_also_after_a_reload() {
        let mut house = House::with(Vec::new(), Vec::new(), vec![group("all", "127.0.9.0/24")]);
        for named in [
            &["127.0.0.1", "127.0.0.2"][..],
            &["127.0.0.3", "127.0.0.2", "127.0.0.1"],
            &["127.0.0.1", "127.0.0.3"],
        ] {
            change(&mut house, named, vec![group("all", "127.0.9.0/24")]);
            let ids = house.bgp().named().to_vec();
            assert_eq!(addresses(&mut house, ids), named);
        }
        assert_eq!(house.bgp().joined_from(PeerId(0)).count(), 0);
    }

    #[test]
    fn those_of_a_group_are_counted_as_they_come_and_go() {
        let groups = || vec![group("near", "127.0.1.0/24"), group("far", "127.0.0.0/16")];
        let mut house = House::with(Vec::new(), Vec::new(), groups());
        let count = |house: &mut House| house.bgp().speaker().peer_count();
        let routers = ["127.0.1.1", "127.0.2.1", "127.0.1.2"].map(|from| house.connect_from(from));
        house.until(|house| count(house) == 3);
        let meant = |house: &mut House| ["near", "far", "else"].map(|it| house.bgp().meant_by(it));
        assert_eq!(meant(&mut house), [2, 1, 1]);
        let joined: Vec<PeerId> = house.bgp().joined_from(PeerId(1)).collect();
        assert_eq!(addresses(&mut house, joined), ["127.0.2.1", "127.0.1.2"]);
        let House { reactor, phases } = &mut house;
        phases.0.forget(reactor, PeerId(0));
        assert_eq!(meant(&mut house), [1, 1, 1]);
        // The groups change places, and one of the neighbours its group.
        change(&mut house, &[], vec![group("far", "127.0.0.0/16")]);
        assert_eq!(meant(&mut house), [1, 2, 1]);
        drop(routers);
    }

    #[test]
    fn who_was_sent_a_prefix_is_counted_until_the_session_ends() {
        let mut house = House::listening_for_two();
        let prefix = "192.0.2.1/32".parse().expect("a prefix");
        let sent = |house: &mut House| house.bgp().speaker().sent_to(&prefix);
        let originate = |house: &mut House, communities| {
            let House { reactor, phases } = house;
            phases.0.change(reactor, |speaker| {
                let path = Path { communities, ..Path::default() };
                speaker.originate(prefix, Owner::Announcer, path);
            });
        };
        originate(&mut house, Vec::new());
        assert_eq!(sent(&mut house), 0, "nobody is there");
        let [one, two] = house.two_established();
        house.until(|house| house.is_quiet());
        assert_eq!(sent(&mut house), 2);
        originate(&mut house, vec![1]);
        assert_eq!(sent(&mut house), 2, "sent again, and not to more");
        drop(one);
        house.until(|house| house.bgp().speaker().established() == 1);
        assert_eq!(sent(&mut house), 1);
        // A fault costs the session, and what was sent in it.
        house.bgp().inject_panic();
        let mut two = two;
        two.send(&message(MessageType::Keepalive, &[]));
        house.until(|house| house.bgp().panics() == 1);
        assert_eq!(sent(&mut house), 0);
        let again = house.two_established();
        house.until(|house| house.is_quiet());
        change(&mut house, &["127.0.0.2"], Vec::new());
        assert_eq!(sent(&mut house), 1, "the other one is no neighbour any more");
        let House { reactor, phases } = &mut house;
        phases.0.change(reactor, |speaker| speaker.withdraw(prefix, Owner::Announcer));
        assert_eq!(sent(&mut house), 0);
        drop((two, again));
    }

    #[test]
    fn a_neighbour_that_cannot_be_reached_says_why_and_when_it_is_tried_again() {
        let terms = Terms { passive: false, ..terms(65001, 65000, [10, 0, 0, 1]) };
        let peers = vec![PeerSettings::new("them", LOCAL, terms)];
        // Nobody listens on a port that was free a moment ago.
        let free = std::net::TcpListener::bind("127.0.0.1:0").and_then(|it| it.local_addr());
        let doors = vec![PeerTransport::plain(free.expect("a port"))];
        let mut house = House::with(peers, doors, Vec::new());
        house.until(|house| house.bgp().failure(PEER).is_some());
        let (at, why) = house.phases.0.failure(PEER).expect("it failed");
        assert!(why.contains("refused"), "{why}");
        let status = house.peer().status();
        assert!(status.retry_at.expect("it is tried again") > at);
        assert_eq!((status.hold_until, status.asn, status.group), (None, 65000, None));
        let _router = house.established();
        assert_eq!(house.bgp().failure(PEER), None);
        let status = house.peer().status();
        assert_eq!(status.retry_at, None);
        assert!(status.hold_until.expect("it runs") > house.reactor.now());
    }
}
