//! Neighbours that are not known one by one: whoever connects from the prefix
//! of a group becomes one of its neighbours, up to its limit, and is forgotten
//! a while after its connection is gone.

use std::net::{IpAddr, SocketAddr};

use log::{debug, info};

use super::listener::{is_logged, rejection};
use super::neighbour::{Membership, Neighbour};
use super::settings::{Group, PeerTransport, TransportSettings};
use super::{Transport, endpoints};
use crate::bgp::peer::Side;
use crate::bgp::peer_settings::PeerSettings;
use crate::bgp::speaker::PeerId;
use crate::reactor::Reactor;

/// What becomes of a newcomer that is no neighbour yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Joined {
    /// It is this neighbour now.
    As(PeerId),
    /// It is in no group.
    Stranger,
    /// Its group has no place for it, or all of BGP is being stopped.
    Refused,
}

impl Group {
    /// The settings of the neighbour at this address. It waits to be called:
    /// nobody knows at which port it could be.
    pub(super) fn member(&self, remote: SocketAddr) -> (PeerSettings, PeerTransport) {
        let mut peer = self.peer.clone();
        peer.name = format!("{}/{}", self.peer.name, remote.ip());
        peer.group = Some(self.peer.name.clone());
        peer.address = remote.ip();
        peer.terms.passive = true;
        (peer, PeerTransport { remote, ..self.transport.clone() })
    }
}

impl TransportSettings {
    /// The group of whoever is at this address, and its place. The longest
    /// prefix counts. A link-local address belongs to a link and not to a
    /// prefix.
    pub(super) fn group_around(&self, remote: SocketAddr) -> Option<(usize, &Group)> {
        let link_local =
            matches!(remote.ip(), IpAddr::V6(address) if address.is_unicast_link_local());
        let groups = self.groups.iter().enumerate().filter(|_| !link_local);
        let around = groups.filter(|(_, group)| group.prefix.contains(&remote.ip()));
        around.max_by_key(|(_, group)| group.prefix.prefix_len())
    }
}

impl Transport {
    /// Makes a neighbour of a newcomer, if a group has a place for it.
    pub(super) fn join(&mut self, reactor: &mut Reactor, remote: SocketAddr) -> Joined {
        let Some((index, group)) = self.settings.group_around(remote) else {
            return Joined::Stranger;
        };
        if !self.speaker.is_running() {
            return Joined::Refused;
        }
        let membership = Membership { group: index, keep: group.keep };
        let (limit, (peer, transport)) = (group.limit, group.member(remote));
        if !self.has_place(reactor, index, limit) {
            self.turn_away(index, remote);
            return Joined::Refused;
        }
        debug!("bgp event=joined peer={}", peer.name);
        let id = self.speaker.add(reactor.now(), peer);
        self.neighbours.insert(id, Neighbour::new(transport, Some(membership)));
        self.members.get_mut(index).into_iter().for_each(|n| *n = n.saturating_add(1));
        Joined::As(id)
    }

    /// Whether a group has room for one more. One that is only kept in case it
    /// comes back makes room, and one that says nothing.
    fn has_place(&mut self, reactor: &mut Reactor, group: usize, limit: usize) -> bool {
        if self.members.get(group).is_none_or(|count| *count < limit) {
            return true;
        }
        let now = reactor.now();
        let members = self.neighbours.iter().filter(|(_, n)| n.is_of(group));
        let useless = members.filter_map(|(&id, n)| Some((n.useless_since(now)?, id))).min();
        let Some((_, id)) = useless else { return false };
        self.forget(reactor, id);
        true
    }

    fn turn_away(&mut self, index: usize, remote: SocketAddr) {
        let Some(count) = self.turned_away.get_mut(index) else { return };
        *count = count.saturating_add(1);
        if is_logged(*count)
            && let Some(group) = self.settings.groups.get(index)
        {
            info!(
                "bgp event=refused remote={remote} reason=\"{} has all the neighbours that its \
                 limit of {} allows\" count={count}",
                group.peer.name, group.limit
            );
        }
    }

    /// Forgets a neighbour whose time is over.
    pub(super) fn forget_if_gone(&mut self, reactor: &mut Reactor, id: PeerId) {
        let until = self.neighbours.get(&id).and_then(Neighbour::forget_at);
        if until.is_some_and(|until| until <= reactor.now()) {
            self.forget(reactor, id);
        }
    }

    pub(super) fn forget(&mut self, reactor: &mut Reactor, id: PeerId) {
        debug!("bgp event=forgotten peer={}", self.name(id));
        if let Some(mut neighbour) = self.neighbours.remove(&id) {
            neighbour.alarm.clear(&mut reactor.wheel);
            let group = neighbour.membership.and_then(|it| self.members.get_mut(it.group));
            group.into_iter().for_each(|count| *count = count.saturating_sub(1));
            for key in neighbour.places.into_iter().flatten() {
                self.linger(reactor, key, rejection());
            }
        }
        self.speaker.remove(id);
    }

    /// The group that a neighbour came by: its place in the settings.
    pub fn group(&self, id: PeerId) -> Option<usize> {
        self.neighbours.get(&id)?.membership.map(|membership| membership.group)
    }

    /// The other end of a neighbour's established session, a link-local address
    /// with the index of its interface.
    pub fn remote(&self, id: PeerId) -> Option<SocketAddr> {
        let (side, _): (Side, _) = self.speaker.peer(id)?.established()?;
        let connection = self.connections.get(self.place(id, side)?)?;
        endpoints(&connection.stream).ok().map(|(_, remote)| remote)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::bgp::message::header::MessageType;
    use crate::bgp::message::notification::Notification;
    use crate::bgp::rib::originated::{Owner, Path};
    use crate::bgp::session::State;
    use crate::bgp::transport::testing::{House, Router, terms};
    use crate::reactor::socket::ConnectOptions;

    const LONG: Duration = Duration::from_secs(3600);

    fn group(name: &str, prefix: &str, limit: usize, keep: Duration) -> Group {
        let prefix: ipnet::IpNet = prefix.parse().expect("a prefix");
        Group {
            prefix,
            limit,
            keep,
            peer: PeerSettings::new(name, prefix.addr(), terms(65001, 65000, [10, 0, 0, 1])),
            transport: PeerTransport::plain(SocketAddr::new(prefix.addr(), 0)),
        }
    }

    fn house(groups: Vec<Group>) -> House {
        House::with(Vec::new(), Vec::new(), groups)
    }

    /// The names of all neighbours and the states that they are in.
    fn names(house: &mut House) -> Vec<(String, State)> {
        house.bgp().statuses().map(|(_, peer)| (peer.name, peer.state)).collect()
    }

    fn established(house: &mut House, from: &str) -> Router {
        let before = house.bgp().speaker().established();
        let mut router = house.connect_from(from);
        router.greet();
        house.until(|house| house.bgp().speaker().established() > before);
        router
    }

    fn hears_that_it_is_rejected(house: &mut House, from: &str) {
        let mut router = house.connect_from(from);
        assert_eq!(router.hear_all(house), [(MessageType::Notification, vec![6, 5])], "{from}");
    }

    #[test]
    fn whoever_connects_from_the_prefix_is_a_neighbour() {
        let mut house = house(vec![group("racks", "127.0.1.0/24", 2, LONG)]);
        hears_that_it_is_rejected(&mut house, "127.0.2.1");
        assert_eq!(house.bgp().strangers(), 1);
        let _one = established(&mut house, "127.0.1.1");
        let _two = established(&mut house, "127.0.1.2");
        let up = |name: &str| (name.to_owned(), State::Established);
        assert_eq!(names(&mut house), [up("racks/127.0.1.1"), up("racks/127.0.1.2")]);
        hears_that_it_is_rejected(&mut house, "127.0.1.3");
        assert_eq!((house.bgp().strangers(), house.bgp().turned_away[0]), (1, 1));
        let id = PeerId(1);
        assert_eq!(house.bgp().group(id), Some(0));
        let remote = house.bgp().remote(id).map(|remote| remote.ip().to_string());
        assert_eq!(remote.as_deref(), Some("127.0.1.2"));
    }

    #[test]
    fn a_full_group_forgets_who_is_gone_and_nobody_else() {
        let mut house = house(vec![group("racks", "127.0.1.0/24", 2, LONG)]);
        let one = established(&mut house, "127.0.1.1");
        let _two = established(&mut house, "127.0.1.2");
        drop(one);
        house.until(|house| house.bgp().speaker().established() == 1);
        let _one_again = established(&mut house, "127.0.1.1");
        assert_eq!(house.bgp().speaker().peer_ids().collect::<Vec<_>>(), [PeerId(0), PeerId(1)]);
        assert_eq!(house.peer().counters().flaps, 1, "it goes on where it was");
        drop(_one_again);
        house.until(|house| house.bgp().speaker().established() == 1);
        let _three = established(&mut house, "127.0.1.3");
        let up = |name: &str| (name.to_owned(), State::Established);
        assert_eq!(names(&mut house), [up("racks/127.0.1.2"), up("racks/127.0.1.3")]);
        assert_eq!(house.bgp().group(PeerId(0)), None, "its number is nobody's");
    }

    #[test]
    fn who_has_to_give_way_hears_of_it() {
        let mut house = house(vec![group("racks", "127.0.1.0/24", 1, LONG)]);
        let mut silent = house.connect_from("127.0.1.1");
        house.until(|house| house.bgp().speaker().peer_ids().count() == 1);
        house.until(|house| house.peer().transmit(Side::Incoming).is_empty());
        let House { reactor, phases } = &mut house;
        phases.0.forget(reactor, PeerId(0));
        let heard: Vec<_> = silent.hear_all(&mut house).into_iter().map(|(kind, _)| kind).collect();
        assert_eq!(heard, [MessageType::Open, MessageType::Notification]);
        assert_eq!(house.bgp().speaker().peer_ids().count(), 0);
        let _other = established(&mut house, "127.0.1.2");
    }

    #[test]
    fn who_stays_away_is_forgotten() {
        let mut house = house(vec![group("racks", "127.0.1.0/24", 2, Duration::from_millis(1))]);
        let one = established(&mut house, "127.0.1.1");
        drop(one);
        house.until(|house| house.bgp().speaker().peer_ids().count() == 0);
        assert!(house.bgp().neighbours.is_empty());
        house.until(|house| house.bgp().is_closed());
        // What is left of it hits nobody.
        let token = crate::reactor::Token::new(crate::reactor::Kind::BgpPeer, 0, 0);
        house.bgp().expired(token);
        assert!(house.bgp().due.is_empty());
        let _again = established(&mut house, "127.0.1.1");
        assert_eq!(house.bgp().speaker().peer_ids().collect::<Vec<_>>(), [PeerId(1)]);
    }

    #[test]
    fn an_address_goes_before_a_prefix_and_a_long_prefix_before_a_short_one() {
        let address = "127.0.1.1".parse().expect("an address");
        let peer = PeerSettings::new("tor1", address, terms(65001, 65000, [10, 0, 0, 1]));
        let transport = PeerTransport::plain(SocketAddr::new(address, 179));
        let groups = vec![
            group("wide", "127.0.0.0/16", 9, LONG),
            group("narrow", "127.0.1.0/24", 9, LONG),
            group("all", "0.0.0.0/0", 9, LONG),
        ];
        let mut house = House::with(vec![peer], vec![transport], groups);
        let mut routers = Vec::new();
        for from in ["127.0.1.1", "127.0.1.2", "127.0.2.1", "127.1.0.1"] {
            routers.push(established(&mut house, from));
        }
        let names: Vec<String> = names(&mut house).into_iter().map(|(name, _)| name).collect();
        assert_eq!(names, ["tor1", "narrow/127.0.1.2", "wide/127.0.2.1", "all/127.1.0.1"]);
    }

    #[test]
    fn a_path_for_a_group_is_for_all_of_it() {
        let groups = vec![group("a", "127.0.1.0/24", 9, LONG), group("b", "127.0.2.0/24", 9, LONG)];
        let mut house = house(groups);
        let House { reactor, phases } = &mut house;
        phases.0.change(reactor, |speaker| {
            let path = Path { audience: Some(["a".to_owned()].into()), ..Path::default() };
            speaker.originate("192.0.2.0/24".parse().expect("a prefix"), Owner::Announcer, path);
        });
        let _routers = ["127.0.1.1", "127.0.1.2", "127.0.2.1"].map(|a| established(&mut house, a));
        house.until(|house| house.bgp().is_acknowledged());
        let sent = |id| {
            let peer = house.phases.0.speaker().peer(PeerId(id)).expect("a neighbour");
            peer.writer().map_or(0, |writer| writer.sent().count())
        };
        assert_eq!([sent(0), sent(1), sent(2)], [1, 1, 0]);
    }

    #[test]
    fn nobody_joins_after_the_stop() {
        let mut house = house(vec![group("racks", "127.0.1.0/24", 2, LONG)]);
        let House { reactor, phases } = &mut house;
        phases.0.stop(reactor, &Notification::cease(2, ""));
        hears_that_it_is_rejected(&mut house, "127.0.1.1");
        assert_eq!(house.bgp().speaker().peer_ids().count(), 0);
    }

    /// A whole group can be asked for a key, as one neighbour can.
    #[test]
    fn a_group_has_one_key() {
        let mut with_key = group("racks", "127.0.1.0/24", 2, LONG);
        with_key.transport.md5_key = Some(b"right".to_vec());
        let mut house = house(vec![with_key]);
        let mut router = house.connect_with_key("127.0.1.1", Some(b"right"));
        house.until(|house| house.bgp().speaker().peer_ids().count() == 1);
        router.greet();
        house.until(|house| house.bgp().speaker().established() == 1);
        let before = house.reactor.turns();
        let _unsigned = house.connect_with_key("127.0.1.2", None);
        house.until(|house| house.reactor.turns() > before + 50);
        assert_eq!(house.bgp().speaker().peer_ids().count(), 1);
        let _outside = house.connect_from("127.0.2.1");
        house.until(|house| house.bgp().strangers() == 1);
    }

    /// RFC 5082: the listener lets in what any neighbour may send, and the
    /// group's own rule holds from then on.
    #[test]
    fn a_group_can_be_near() {
        let mut near = group("near", "127.0.1.0/24", 9, LONG);
        near.transport.minimum_ttl = Some(255);
        near.transport.ttl = Some(255);
        let mut house = house(vec![near, group("far", "127.0.2.0/24", 9, LONG)]);
        let ttl = |ttl| ConnectOptions { ttl: Some(ttl), ..ConnectOptions::default() };
        let joined =
            |count| move |house: &mut House| house.bgp().speaker().peer_ids().count() == count;
        let mut spoofed = house.connect_with("127.0.1.1", ttl(254));
        house.until(joined(1));
        spoofed.greet();
        let mut honest = house.connect_with("127.0.1.2", ttl(255));
        house.until(joined(2));
        honest.greet();
        let _far = established(&mut house, "127.0.2.1");
        house.until(|house| house.bgp().speaker().established() == 2);
        let before = house.reactor.turns();
        house.until(|house| house.reactor.turns() > before + 50);
        let states: Vec<State> = names(&mut house).into_iter().map(|(_, state)| state).collect();
        assert_eq!(states, [State::OpenSent, State::Established, State::Established]);
    }
}
