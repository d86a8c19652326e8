//! The anycast prefixes: what is announced, why, and who was sent what.

use std::rc::Rc;

use ipnet::IpNet;

use super::sessions::{some_of, state as session_state};
use super::{count, since, slice, until};
use crate::admin::Slice;
use crate::admin::view::{
    AddressView, AnnouncementState, AnnouncementView, ConditionView, NextView, PathView, SentView,
    ServiceView,
};
use crate::announce::{Condition, Facts, Level, PoolFact, PrefixStatus, Reason};
use crate::bgp::message::attribute::{Attributes, Origin, community};
use crate::bgp::message::prefix::Family;
use crate::bgp::negotiation::Negotiated;
use crate::bgp::peer::Peer;
use crate::bgp::rib::Key;
use crate::bgp::rib::originated::Originated;
use crate::bgp::transport::Transport;
use crate::bgp::writer::Writer;
use crate::config::AnycastConfig;
use crate::daemon::Daemon;
use crate::reactor::Time;
use crate::reactor::netlink::Netlink;
use crate::vip::Door;

/// Most neighbours that are told of with one prefix, about a millisecond of work.
const MOST_PEERS: usize = 256;

/// The conditions that have to hold for clients to be served, as
/// [`Condition::name`] has them.
const SERVICE: [&str; 4] = ["listeners", "table", "registry", "targets"];

impl Daemon {
    /// See [`crate::admin::House::announcements`].
    pub(super) fn tell_announcements(
        &self,
        now: Time,
        from: u64,
        most: usize,
    ) -> Slice<AnnouncementView> {
        let first = usize::try_from(from).unwrap_or(usize::MAX);
        let facts = self.facts_of(first..first.saturating_add(most.max(1)));
        let mut kernel = Netlink::new().ok();
        let status = self.announcing.announcer.status();
        let mut views = slice(status, from, most, |place, status| {
            self.announcement_view(now, place, status, &facts)
        });
        for (view, status) in views.items.iter_mut().zip(status.iter().skip(first)) {
            view.address = self.address(&status.prefix, kernel.as_mut());
        }
        views
    }

    /// See [`crate::admin::House::announcement`].
    pub(super) fn tell_announcement(&self, now: Time, prefix: &IpNet) -> Option<AnnouncementView> {
        let place = self.place_of(prefix)?;
        let status = self.announcing.announcer.status().get(place)?;
        let facts = self.facts_of(place..place.saturating_add(1));
        let view = self.announcement_view(now, place, status, &facts);
        let address = self.address(&status.prefix, Netlink::new().ok().as_mut());
        let peers = self.sent(place, status);
        Some(AnnouncementView { address, peers, ..view })
    }

    /// The place of a prefix among those that are configured.
    pub(super) fn place_of(&self, prefix: &IpNet) -> Option<usize> {
        let all = self.announcing.announcer.status();
        all.iter().position(|status| status.prefix == prefix.trunc())
    }

    /// Without its address and its neighbours.
    fn announcement_view(
        &self,
        now: Time,
        place: usize,
        status: &PrefixStatus,
        facts: &Facts,
    ) -> AnnouncementView {
        let conditions = self.announcing.announcer.conditions(now, &status.prefix, facts);
        let pools = facts.prefixes.get(place).map_or(&[][..], |own| own.pools.as_slice());
        let serves = |it: &&Condition| SERVICE.contains(&it.name);
        let speaker = self.bgp.as_ref().map(Transport::speaker);
        AnnouncementView {
            prefix: status.prefix.to_string(),
            state: state(status.level),
            since_ms: since(now, status.since),
            reason: status.reason.at(now).to_string(),
            reason_kind: kind(&status.reason).to_owned(),
            can_serve: conditions.iter().filter(serves).all(|it| it.ok),
            next: status.next.map(|next| NextView {
                in_ms: until(now, next.at),
                state: state(next.level),
                why: next.why.to_owned(),
            }),
            penalty: penalty(status.penalty(now)),
            suppressed_for_ms: status.suppressed_until.map(|at| until(now, at)),
            changes: status.changes,
            drained: self.announcing.drains.has(&status.prefix),
            conditions: condition_views(conditions, pools),
            address: AddressView::default(),
            services: pools.iter().map(|pool| self.pool_view(place, pool)).collect(),
            wanted_by: count(self.wanted_by(place)),
            sent_to: count(speaker.map_or(0, |speaker| speaker.sent_to(&status.prefix))),
            peers: Vec::new(),
        }
    }

    fn pool_view(&self, place: usize, pool: &PoolFact) -> ServiceView {
        let PoolFact { service, targets } = pool;
        let ejected_of = |name: &Rc<str>| self.switchboard.service_counts(name).ejected;
        let scope = self.announcing.scopes.get(place).and_then(|it| it.services.as_ref());
        let ejected = match (service, scope) {
            (Some(name), _) => ejected_of(name),
            (None, Some(names)) => names.iter().map(ejected_of).fold(0, usize::saturating_add),
            (None, None) => self.switchboard.counts().ejected,
        };
        ServiceView {
            service: service.as_ref().map_or_else(String::new, |name| name.to_string()),
            healthy: count(targets.healthy),
            total: count(targets.total),
            unknown: count(targets.unknown),
            ejected: count(ejected),
            last_error: targets.last_error.clone(),
        }
    }

    /// The settings of the prefix at this place.
    fn anycast(&self, place: usize) -> Option<&AnycastConfig> {
        self.config.bgp.anycast_addresses.get(place)
    }

    /// How many neighbours are meant to have it.
    fn wanted_by(&self, place: usize) -> usize {
        let Some(bgp) = &self.bgp else { return 0 };
        match self.anycast(place).map(|it| it.peers.as_slice()).unwrap_or_default() {
            [] => bgp.speaker().peer_count(),
            names => names.iter().map(|name| bgp.meant_by(name)).fold(0, usize::saturating_add),
        }
    }

    /// What the neighbours were sent; of many, the first ones.
    fn sent(&self, place: usize, status: &PrefixStatus) -> Vec<SentView> {
        let Some(bgp) = &self.bgp else { return Vec::new() };
        let anycast = self.anycast(place);
        let is_for = |peer: &Peer| anycast.is_none_or(|it| it.is_for(peer.settings().audience()));
        let (ids, _) = some_of(bgp, 0, MOST_PEERS);
        let peers = ids.into_iter().filter_map(|id| bgp.speaker().peer(id));
        let table = bgp.speaker().table();
        peers.map(|peer| sent_view(peer, table, status, is_for(peer))).collect()
    }

    /// The address of a host prefix on the host, as far as that can be found out.
    fn address(&self, prefix: &IpNet, kernel: Option<&mut Netlink>) -> AddressView {
        if prefix.prefix_len() != prefix.max_prefix_len() {
            return AddressView::default();
        }
        let address = prefix.addr();
        let vip = self.vip.as_ref().map(Door::vip);
        let is_ours = vip.is_some_and(|vip| vip.is_ours(address));
        let is_local = kernel.and_then(|kernel| kernel.is_local(address).ok());
        let on_host = is_local.unwrap_or(is_ours);
        let problem = vip.and_then(|vip| vip.problem(address)).map(str::to_owned);
        // Without `bgp.vip` nobody else sees to it, whether it is announced or not.
        let missing = (vip.is_none() && is_local == Some(false)).then(|| {
            "it is not an address of this host; add it to an interface, or set bgp.vip".to_owned()
        });
        let by = match (on_host, is_ours) {
            (false, _) => None,
            (true, true) => Some("burgee".to_owned()),
            (true, false) => Some("other".to_owned()),
        };
        let interface = self.vip.as_ref().filter(|_| is_ours).map(|it| it.interface().to_owned());
        AddressView { needed: true, on_host, interface, by, problem: problem.or(missing) }
    }
}

fn state(level: Level) -> AnnouncementState {
    match level {
        Level::Full => AnnouncementState::Announced,
        Level::Depreferred => AnnouncementState::Depreferred,
        Level::GracefulShutdown => AnnouncementState::GracefulShutdown,
        Level::Withdrawn => AnnouncementState::Withdrawn,
    }
}

fn penalty(value: f64) -> u32 {
    value.round() as u32
}

/// A name for a reason, for metrics.
fn kind(reason: &Reason) -> &'static str {
    match reason {
        Reason::Starting => "starting",
        Reason::Stopping => "stopping",
        Reason::Maintenance(_) => "maintenance",
        Reason::Drained => "drained",
        Reason::Always => "always",
        Reason::NoListener => "no-listener",
        Reason::ListenersNotBound(_) => "listeners-not-bound",
        Reason::NoTable => "no-table",
        Reason::AwaitingChecks { .. } => "awaiting-checks",
        Reason::NoTarget { .. } => "no-target",
        Reason::BelowMinimum { short, .. } if short.healthy == 0 => "no-healthy-target",
        Reason::BelowMinimum { .. } => "below-minhealthy",
        Reason::BelowShutdown(_) => "below-shutdownbelow",
        Reason::BelowDeprefer(_) => "below-depreferbelow",
        Reason::RegistryStale { .. } => "registry-stale",
        Reason::HoldingUp { .. } => "hold-up",
        Reason::Suppressed { .. } => "flap-penalty",
        Reason::Ready { .. } => "ready",
    }
}

/// The conditions of targets, one for each pool in their order, are told with
/// the names of their services.
fn condition_views(conditions: Vec<Condition>, pools: &[PoolFact]) -> Vec<ConditionView> {
    let mut pools = pools.iter();
    let view = |Condition { name, ok, text }| {
        let service = if name == "targets" { pools.next() } else { None };
        let service = service.and_then(|pool| pool.service.as_ref());
        let name = service.map_or_else(|| name.to_owned(), |service| format!("{name} {service}"));
        ConditionView { name, ok, text }
    };
    conditions.into_iter().map(view).collect()
}

fn sent_view(peer: &Peer, table: &Originated, status: &PrefixStatus, is_for: bool) -> SentView {
    let sent = peer.sent(&status.prefix);
    SentView {
        name: peer.settings().name.clone(),
        state: session_state(peer.state()),
        sent: sent.map(path_view),
        why_not: match sent {
            None if status.level.is_announced() => Some(why_not(peer, table, status, is_for)),
            _ => None,
        },
    }
}

/// Why a neighbour has nothing of a prefix that is announced.
fn why_not(peer: &Peer, table: &Originated, status: &PrefixStatus, is_for: bool) -> String {
    let has_family = |agreed: &Negotiated| agreed.families.contains(Family::of(&status.prefix));
    let path = table.best(&Key::new(status.prefix));
    let has_next_hop = |writer: &Writer| {
        path.is_none_or(|(_, path)| writer.exporter().attributes(&status.prefix, path).is_some())
    };
    let why = if !is_for {
        "not for this neighbour"
    } else if peer.established().is_none() {
        "session is down"
    } else if !peer.negotiated().is_some_and(has_family) {
        "family not negotiated"
    } else if !peer.writer().is_some_and(has_next_hop) {
        "no next hop of its family"
    } else {
        "is being sent"
    };
    why.to_owned()
}

fn path_view(attributes: &Attributes) -> PathView {
    let origin = match attributes.origin {
        Origin::Igp => "igp",
        Origin::Egp => "egp",
        Origin::Incomplete => "incomplete",
    };
    let large = |[admin, one, two]: &[u32; 3]| format!("{admin}:{one}:{two}");
    PathView {
        as_path: attributes.as_path.to_string(),
        next_hop: attributes.next_hop.map(|it| it.to_string()).unwrap_or_default(),
        origin: origin.to_owned(),
        med: attributes.med,
        local_pref: attributes.local_pref,
        communities: attributes.communities.iter().map(|it| community_text(*it)).collect(),
        large_communities: attributes.large_communities.iter().map(large).collect(),
    }
}

/// `64512:20`, or the registered name of a well-known one.
fn community_text(value: u32) -> String {
    match value {
        community::GRACEFUL_SHUTDOWN => "graceful-shutdown".to_owned(),
        community::BLACKHOLE => "blackhole".to_owned(),
        community::NO_EXPORT => "no-export".to_owned(),
        community::NO_ADVERTISE => "no-advertise".to_owned(),
        community::NO_EXPORT_SUBCONFED => "no-export-subconfed".to_owned(),
        _ => format!("{}:{}", value >> 16, value & 0xffff),
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Lab, Pair, all, free_port};
    use super::*;
    use crate::admin::House;
    use crate::admin::view::SessionState;

    const PREFIX: &str = "198.51.100.0/24";

    fn told(lab: &Lab) -> AnnouncementView {
        let prefix = PREFIX.parse().expect("a prefix");
        let one = lab.daemon.announcement(&lab.moment(), &prefix).expect("it is there");
        // The list tells the same, but for the neighbours.
        let listed = lab.daemon.announcements(&lab.moment(), 0, 9).items.remove(0);
        assert_eq!(listed, AnnouncementView { peers: Vec::new(), ..one.clone() });
        one
    }

    #[test]
    fn a_prefix_that_is_announced_says_to_whom_and_with_what() {
        let pair = Pair::established("");
        let view = told(&pair.one);
        assert_eq!((view.prefix.as_str(), view.state), (PREFIX, AnnouncementState::Announced));
        assert_eq!((view.reason_kind.as_str(), view.can_serve), ("ready", true));
        assert_eq!((view.wanted_by, view.sent_to, view.changes), (1, 1, 1));
        assert!(view.next.is_none() && view.conditions.iter().all(|it| it.ok), "{view:?}");
        let all = &view.services[0];
        assert_eq!((all.service.as_str(), all.healthy, all.total), ("", 1, 1));
        assert_eq!(view.address, AddressView::default(), "it is no single address");
        let [them] = &view.peers[..] else { panic!("{view:?}") };
        assert_eq!((them.name.as_str(), them.state), ("them", SessionState::Established));
        let expected = PathView {
            as_path: "64511".into(),
            next_hop: "192.0.2.11".into(),
            origin: "igp".into(),
            ..PathView::default()
        };
        assert_eq!((them.sent.as_ref(), them.why_not.as_ref()), (Some(&expected), None));
    }

    #[test]
    fn a_prefix_that_cannot_be_served_says_why_and_then_what_comes_next() {
        let mut pair = Pair::established(
            "health.interval = 10ms\nhealth.fall = 1\nhealth.rise = 1\n\
             bgp.announce.holdup = 1h\nbgp.announce.flaphalflife = 1m\n",
        );
        let address = pair.backend.take().expect("there").local_addr().expect("bound");
        let lab = &mut pair.one;
        lab.until(|lab| told(lab).state == AnnouncementState::Withdrawn);
        let view = told(lab);
        assert_eq!((view.reason_kind.as_str(), view.can_serve), ("no-healthy-target", false));
        assert_eq!((view.wanted_by, view.sent_to, view.penalty), (1, 0, 1000));
        let bad: Vec<&str> =
            view.conditions.iter().filter(|it| !it.ok).map(|it| it.name.as_str()).collect();
        assert_eq!(bad, ["targets"]);
        assert_eq!((&view.peers[0].sent, &view.peers[0].why_not), (&None, &None));
        let _backend = std::net::TcpListener::bind(address).expect("free again");
        lab.until(|lab| told(lab).reason_kind == "hold-up");
        let view = told(lab);
        assert_eq!((view.state, view.can_serve), (AnnouncementState::Withdrawn, true));
        let next = view.next.expect("it rises");
        assert_eq!(next.state, AnnouncementState::Announced);
        assert!(next.in_ms > 3_000_000, "{next:?}");
    }

    #[test]
    fn who_has_nothing_of_a_prefix_says_why() {
        let mut lab = Lab::new(&format!(
            "bgp.enabled = true\nbgp.asn = 64511\nbgp.routerid = 192.0.2.1\n\
             bgp.listenport = {}\nbgp.listenaddresses = 127.0.0.1\nbgp.announce = always\n\
             bgp.anycastaddresses = 198.51.100.1/32;peers=a,127.0.0.0/8;peers=b racks\n\
             bgp.peers = name=a;address=127.0.0.1;asn=1;passive=true,\
             name=b;address=127.0.0.2;asn=2;passive=true,\
             name=racks;prefix=127.0.1.0/24;asn=3;limit=9\n",
            free_port()
        ));
        lab.turn();
        let at = lab.moment();
        let views = all(1, |from, most| lab.daemon.announcements(&at, from, most));
        let counts: Vec<(&str, u64, u64)> =
            views.iter().map(|it| (it.prefix.as_str(), it.wanted_by, it.sent_to)).collect();
        assert_eq!(counts, [("198.51.100.1/32", 1, 0), ("127.0.0.0/8", 1, 0)], "nobody of racks");
        let prefix = "198.51.100.1/32".parse().expect("a prefix");
        let view = lab.daemon.announcement(&at, &prefix).expect("it is there");
        assert_eq!(
            (view.state, view.reason_kind.as_str()),
            (AnnouncementState::Announced, "always")
        );
        let why: Vec<Option<&str>> = view.peers.iter().map(|it| it.why_not.as_deref()).collect();
        assert_eq!(why, [Some("session is down"), Some("not for this neighbour")]);
        assert!(view.address.needed && !view.address.on_host, "{:?}", view.address);
        assert!(view.address.problem.is_some_and(|text| text.contains("bgp.vip")));
        let unknown = "192.0.2.0/24".parse().expect("a prefix");
        assert_eq!(lab.daemon.announcement(&at, &unknown), None);
    }

    #[test]
    fn an_address_that_is_on_the_host_without_us_is_anothers() {
        let lab = Lab::new("");
        let mut kernel = Netlink::new().expect("a socket");
        let mut address = |text: &str, asks: bool| {
            let prefix = text.parse().expect("a prefix");
            lab.daemon.address(&prefix, Some(&mut kernel).filter(|_| asks))
        };
        let by = Some("other".to_owned());
        let needed = AddressView { needed: true, ..AddressView::default() };
        let there = AddressView { on_host: true, by, ..needed.clone() };
        assert_eq!(address("127.0.0.9/32", true), there);
        assert_eq!(address("127.0.0.0/8", true), AddressView::default());
        assert_eq!(address("198.51.100.1/32", false), needed, "nobody knows");
    }

    #[test]
    fn attributes_are_told_as_operators_write_them() {
        let attributes = Attributes {
            med: Some(7),
            local_pref: Some(50),
            communities: vec![community::GRACEFUL_SHUTDOWN, community::NO_EXPORT, 0xfc00_0014],
            large_communities: vec![[64512, 1, 20]],
            ..Attributes::default()
        };
        let view = path_view(&attributes);
        assert_eq!((view.as_path.as_str(), view.next_hop.as_str()), ("", ""));
        assert_eq!((view.med, view.local_pref), (Some(7), Some(50)));
        assert_eq!(view.communities, ["graceful-shutdown", "no-export", "64512:20"]);
        assert_eq!(view.large_communities, ["64512:1:20"]);
    }

    #[test]
    fn conditions_of_targets_have_the_names_of_their_services() {
        let pool =
            |name: Option<&str>| PoolFact { service: name.map(Into::into), ..PoolFact::default() };
        let condition = |name| Condition { name, ok: true, text: String::new() };
        let conditions = ["listeners", "targets", "targets", "stop"].map(condition).to_vec();
        let views = condition_views(conditions, &[pool(Some("web")), pool(None)]);
        let names: Vec<&str> = views.iter().map(|it| it.name.as_str()).collect();
        assert_eq!(names, ["listeners", "targets web", "targets", "stop"]);
    }
}
