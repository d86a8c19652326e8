//! One path as one neighbour should see it (RFC 4271 §5.1).
//!
//! What is set for the neighbour goes before what the path says, and that
//! before the defaults. But prepends add up, and communities are joined, in
//! ascending order and without repeats. A path that is to be less preferred
//! goes before both, because otherwise a neighbour with settings of its own
//! would not see that; one about to be withdrawn goes before all.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;

use super::message::as_path::AsPath;
use super::message::attribute::{Attributes, community};
use super::message::prefix::Family;
use super::rib::originated::{NextHop, Path};
use super::role::Role;

/// The next hops that we announce, by family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NextHops {
    /// For IPv4 prefixes; `None`: the session's own IPv4 address.
    pub ipv4: Option<Ipv4Addr>,
    /// For IPv6 prefixes; `None`: the session's own global IPv6 address.
    pub ipv6: Option<Ipv6Addr>,
}

/// What is announced to one neighbour otherwise than its path says. The default
/// changes nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Overrides {
    /// MULTI_EXIT_DISC.
    pub med: Option<u32>,
    /// LOCAL_PREF towards our own AS; `None` is 0 if `communities` hold
    /// GRACEFUL_SHUTDOWN, else that of the path.
    pub local_pref: Option<u32>,
    /// How many more times our AS is in AS_PATH, beside those of the path.
    pub prepend: u8,
    /// COMMUNITIES, beside those of the path.
    pub communities: Vec<u32>,
    /// LARGE_COMMUNITIES, beside those of the path.
    pub large_communities: Vec<[u32; 3]>,
    /// EXTENDED_COMMUNITIES, beside those of the path.
    pub extended_communities: Vec<[u8; 8]>,
    /// The next hop.
    pub next_hop: Option<NextHop>,
}

/// What the export to one neighbour depends on, beside the path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exporter {
    /// Our AS number.
    pub asn: u32,
    /// Whether the neighbour is in our own AS.
    pub ibgp: bool,
    /// The next hops of paths that have none of their own.
    pub next_hops: NextHops,
    /// Our address of the session.
    pub local: IpAddr,
    /// The neighbour's name.
    pub name: String,
    /// What is set for the neighbour.
    pub overrides: Overrides,
    /// IPv4 routes may have IPv6 next hops (RFC 8950).
    pub extended_next_hop: bool,
    /// What we are to the neighbour, if it is known (RFC 9234).
    pub role: Option<Role>,
}

impl Exporter {
    /// The attributes to send. `None`: the neighbour is not told of the path,
    /// because it is not for it, or there is no next hop of the prefix's
    /// family; an IPv4-mapped or foreign address would attract traffic to
    /// nowhere.
    pub fn attributes(&self, prefix: &IpNet, path: &Path) -> Option<Attributes> {
        if !path.is_for(&self.name) {
            return None;
        }
        let next_hop = self.next_hop(Family::of(prefix), path)?;
        let own = &self.overrides;
        let mut attributes = Attributes::new(path.origin, self.as_path(path), Some(next_hop));
        let lower = path.deprefer.as_ref();
        attributes.med = lower.and_then(|lower| lower.med).or(own.med).or(path.med);
        // RFC 4271 §5.1.5: to every internal neighbour, never to an external.
        attributes.local_pref = self.ibgp.then(|| self.local_pref(path));
        attributes.communities = joined(&own.communities, &path.communities);
        if let Some(lower) = lower {
            attributes.communities = joined(&attributes.communities, &lower.communities);
        }
        if path.graceful_shutdown {
            // RFC 8326 §4: the neighbour's import policy acts on it.
            let shutdown = [community::GRACEFUL_SHUTDOWN];
            attributes.communities = joined(&attributes.communities, &shutdown);
        }
        attributes.large_communities = joined(&own.large_communities, &path.large_communities);
        attributes.extended_communities =
            joined(&own.extended_communities, &path.extended_communities);
        if let Some(role) = self.role {
            attributes.only_to_customer = role.egress(self.asn, attributes.only_to_customer)?;
        }
        Some(attributes)
    }

    /// RFC 4271 §5.1.2: a route that we originate has an empty AS_PATH inside
    /// our AS, and our AS alone in it towards another, as often as is wanted.
    fn as_path(&self, path: &Path) -> AsPath {
        let mut as_path = AsPath::default();
        if !self.ibgp {
            let lower = path.deprefer.as_ref().map_or(0, |lower| lower.prepend);
            let more = [path.prepend, self.overrides.prepend, lower].map(usize::from);
            let more = more.into_iter().fold(0, usize::saturating_add);
            as_path.prepend(self.asn, more.saturating_add(1));
        }
        as_path
    }

    /// RFC 8326 §4: inside our AS the value of a graceful shutdown is 0. What is
    /// set for the neighbour goes before the 0 of its own community, but not
    /// before that of a path that is about to be withdrawn. What makes a path
    /// less preferred only ever lowers it.
    fn local_pref(&self, path: &Path) -> u32 {
        if path.graceful_shutdown {
            return 0;
        }
        let own = &self.overrides;
        let leaving = own.communities.contains(&community::GRACEFUL_SHUTDOWN).then_some(0);
        let usual = own.local_pref.or(leaving).unwrap_or(path.local_pref);
        path.deprefer.as_ref().map_or(usual, |lower| usual.min(lower.local_pref))
    }

    fn next_hop(&self, family: Family, path: &Path) -> Option<IpAddr> {
        let asked =
            [self.overrides.next_hop, path.next_hop].into_iter().flatten().find(|next_hop| {
                match next_hop {
                    NextHop::Own => true,
                    NextHop::Address(address) => self.fits(family, *address),
                }
            });
        match asked {
            Some(NextHop::Address(address)) => Some(address),
            Some(NextHop::Own) => self.own(family),
            None => self.default(family).or_else(|| self.own(family)),
        }
    }

    /// Whether routes of the family may have this next hop.
    fn fits(&self, family: Family, address: IpAddr) -> bool {
        match family {
            Family::Ipv4Unicast => address.is_ipv4() || self.extended_next_hop,
            Family::Ipv6Unicast => address.is_ipv6(),
        }
    }

    fn default(&self, family: Family) -> Option<IpAddr> {
        let ipv6 = self.next_hops.ipv6.map(IpAddr::V6);
        match family {
            // The neighbour is reached over IPv6, and perhaps nothing else.
            Family::Ipv4Unicast if self.extended_next_hop && self.own_ipv6().is_some() => {
                ipv6.or_else(|| self.own(family))
            }
            Family::Ipv4Unicast => self.next_hops.ipv4.map(IpAddr::V4),
            Family::Ipv6Unicast => ipv6,
        }
    }

    /// Our own address of the session, if routes of this family may have it.
    fn own(&self, family: Family) -> Option<IpAddr> {
        let ipv6 = self.own_ipv6().map(IpAddr::V6);
        match (family, self.local.to_canonical()) {
            (Family::Ipv4Unicast, IpAddr::V4(address)) => Some(IpAddr::V4(address)),
            (Family::Ipv4Unicast, IpAddr::V6(_)) => ipv6.filter(|_| self.extended_next_hop),
            (Family::Ipv6Unicast, _) => ipv6,
        }
    }

    /// Our own IPv6 address of the session. A link-local one is seen only by a
    /// neighbour on the link, which can use it (RFC 2545 §3 would have a global
    /// one before it, but a link without any has none).
    fn own_ipv6(&self) -> Option<Ipv6Addr> {
        match self.local.to_canonical() {
            IpAddr::V6(address) => Some(address),
            IpAddr::V4(_) => None,
        }
    }
}

/// Both lists as one, in ascending order and without repeats.
fn joined<T: Ord + Copy>(one: &[T], other: &[T]) -> Vec<T> {
    let all: BTreeSet<T> = one.iter().chain(other).copied().collect();
    all.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bgp::rib::originated::Deprefer;

    const V4: &str = "192.0.2.10/32";
    const V6: &str = "2001:db8::10/128";

    fn exporter(ibgp: bool, local: &str) -> Exporter {
        Exporter {
            asn: 65001,
            ibgp,
            next_hops: NextHops { ipv4: None, ipv6: None },
            local: local.parse().expect("an address"),
            name: "tor1".into(),
            overrides: Overrides::default(),
            extended_next_hop: false,
            role: None,
        }
    }

    fn seen(exporter: &Exporter, prefix: &str) -> Option<Attributes> {
        exporter.attributes(&prefix.parse().expect("a prefix"), &Path::default())
    }

    #[test]
    fn our_as_is_in_the_path_once_to_ebgp_and_never_to_ibgp() {
        let ebgp = seen(&exporter(false, "10.0.0.1"), V4).expect("announced");
        assert_eq!(ebgp.as_path.to_string(), "65001");
        assert_eq!(ebgp.local_pref, None);
        let ibgp = seen(&exporter(true, "10.0.0.1"), V4).expect("announced");
        assert_eq!(ibgp.as_path.length(), 0);
        assert_eq!(ibgp.local_pref, Some(100));
    }

    #[test]
    fn next_hops_follow_the_family_and_are_never_mapped() {
        let mut exporter = exporter(false, "10.0.0.1");
        let own: IpAddr = "10.0.0.1".parse().expect("an address");
        assert_eq!(seen(&exporter, V4).and_then(|a| a.next_hop), Some(own));
        assert_eq!(seen(&exporter, V6), None);
        exporter.next_hops.ipv6 = Some("2001:db8::1".parse().expect("an address"));
        exporter.next_hops.ipv4 = Some("198.51.100.1".parse().expect("an address"));
        let v6 = seen(&exporter, V6).and_then(|a| a.next_hop).map(|a| a.to_string());
        assert_eq!(v6.as_deref(), Some("2001:db8::1"));
        let v4 = seen(&exporter, V4).and_then(|a| a.next_hop).map(|a| a.to_string());
        assert_eq!(v4.as_deref(), Some("198.51.100.1"));
    }

    #[test]
    fn a_mapped_session_address_is_no_next_hop_and_a_link_local_one_is() {
        assert!(seen(&exporter(false, "fe80::1"), V6).is_some());
        assert_eq!(seen(&exporter(false, "::ffff:10.0.0.1"), V6), None);
        assert!(seen(&exporter(false, "2001:db8::5"), V6).is_some());
    }

    #[test]
    fn ipv4_goes_over_ipv6_where_both_agreed() {
        let next_hop = |exporter: &Exporter| seen(exporter, V4).and_then(|a| a.next_hop);
        let mut exporter = exporter(false, "2001:db8::5");
        exporter.next_hops.ipv4 = Some("198.51.100.1".parse().expect("an address"));
        assert_eq!(next_hop(&exporter), "198.51.100.1".parse().ok());
        exporter.extended_next_hop = true;
        assert_eq!(next_hop(&exporter), "2001:db8::5".parse().ok());
        exporter.next_hops.ipv6 = Some("2001:db8::1".parse().expect("an address"));
        assert_eq!(next_hop(&exporter), "2001:db8::1".parse().ok());
        exporter.overrides.next_hop = Some(NextHop::Address("2001:db8::7".parse().expect("v6")));
        assert_eq!(next_hop(&exporter), "2001:db8::7".parse().ok());
        exporter.overrides.next_hop = Some(NextHop::Address("10.9.9.9".parse().expect("v4")));
        assert_eq!(next_hop(&exporter), "10.9.9.9".parse().ok());
        // The session itself is over IPv4.
        exporter.overrides.next_hop = None;
        exporter.local = "10.0.0.1".parse().expect("an address");
        assert_eq!(next_hop(&exporter), "198.51.100.1".parse().ok());
    }

    #[test]
    fn a_provider_marks_its_routes_and_a_customer_does_not() {
        let otc = |role| {
            let exporter = Exporter { role, ..exporter(false, "10.0.0.1") };
            seen(&exporter, V4).expect("announced").only_to_customer
        };
        assert_eq!(otc(None), None);
        assert_eq!(otc(Some(Role::Customer)), None);
        assert_eq!(otc(Some(Role::Provider)), Some(65001));
    }

    fn announced(exporter: &Exporter, prefix: &str, path: &Path) -> Attributes {
        exporter.attributes(&prefix.parse().expect("a prefix"), path).expect("announced")
    }

    /// A path and a neighbour that both set everything.
    fn both_set(ibgp: bool) -> (Exporter, Path) {
        let path = Path {
            med: Some(10),
            local_pref: 200,
            prepend: 1,
            communities: vec![0xffff_ff01, 7, 3],
            large_communities: vec![[2, 0, 0], [1, 9, 9]],
            extended_communities: vec![[0, 2, 0, 9, 0, 0, 0, 1]],
            next_hop: Some(NextHop::Address("198.51.100.1".parse().expect("an address"))),
            ..Path::default()
        };
        let mut exporter = exporter(ibgp, "10.0.0.1");
        exporter.overrides = Overrides {
            med: Some(5),
            local_pref: Some(300),
            prepend: 2,
            communities: vec![5, 7],
            large_communities: vec![[1, 9, 9], [1, 2, 3]],
            extended_communities: vec![[0, 2, 0, 1, 0, 0, 0, 1], [0, 2, 0, 9, 0, 0, 0, 1]],
            next_hop: Some(NextHop::Own),
        };
        (exporter, path)
    }

    #[test]
    fn a_path_is_announced_with_what_it_says() {
        let (mut exporter, path) = both_set(false);
        exporter.overrides = Overrides::default();
        let seen = announced(&exporter, V4, &path);
        assert_eq!((seen.med, seen.local_pref), (Some(10), None));
        assert_eq!(seen.as_path.to_string(), "65001 65001");
        assert_eq!(seen.communities, [3, 7, 0xffff_ff01]);
        assert_eq!(seen.large_communities, [[1, 9, 9], [2, 0, 0]]);
        assert_eq!(seen.next_hop, "198.51.100.1".parse().ok());
        let default = announced(&exporter, V4, &Path::default());
        assert_eq!((default.med, default.next_hop), (None, "10.0.0.1".parse().ok()));
        assert!(default.communities.is_empty() && default.extended_communities.is_empty());
    }

    #[test]
    fn the_neighbour_goes_before_the_path_and_lists_are_joined() {
        let (exporter, path) = both_set(false);
        let seen = announced(&exporter, V4, &path);
        assert_eq!((seen.med, seen.local_pref), (Some(5), None));
        assert_eq!(seen.as_path.to_string(), "65001 65001 65001 65001");
        assert_eq!(seen.communities, [3, 5, 7, 0xffff_ff01]);
        assert_eq!(seen.large_communities, [[1, 2, 3], [1, 9, 9], [2, 0, 0]]);
        let extended = [[0, 2, 0, 1, 0, 0, 0, 1], [0, 2, 0, 9, 0, 0, 0, 1]];
        assert_eq!(seen.extended_communities, extended);
        assert_eq!(seen.next_hop, "10.0.0.1".parse().ok());
    }

    #[test]
    fn inside_our_as_there_is_a_local_pref_and_nothing_to_prepend_to() {
        let (mut exporter, path) = both_set(true);
        let seen = announced(&exporter, V4, &path);
        assert_eq!((seen.local_pref, seen.as_path.length()), (Some(300), 0));
        exporter.overrides.local_pref = None;
        assert_eq!(announced(&exporter, V4, &path).local_pref, Some(200));
    }

    #[test]
    fn next_hops_of_the_other_family_are_passed_over() {
        let (mut exporter, mut path) = both_set(false);
        path.next_hop = Some(NextHop::Address("2001:db8::7".parse().expect("an address")));
        exporter.overrides.next_hop = Some(NextHop::Address("10.9.9.9".parse().expect("v4")));
        assert_eq!(announced(&exporter, V6, &path).next_hop, "2001:db8::7".parse().ok());
        assert_eq!(announced(&exporter, V4, &path).next_hop, "10.9.9.9".parse().ok());
        // Our own address is asked for, and the session has none of IPv6.
        exporter.overrides.next_hop = Some(NextHop::Own);
        assert_eq!(exporter.attributes(&V6.parse().expect("a prefix"), &path), None);
    }

    #[test]
    fn only_the_audience_hears_of_a_path() {
        let names = |names: &[&str]| Some(names.iter().map(|name| name.to_string()).collect());
        let seen = |audience| {
            let path = Path { audience, ..Path::default() };
            exporter(false, "10.0.0.1").attributes(&V4.parse().expect("a prefix"), &path).is_some()
        };
        assert!(seen(None) && seen(names(&["tor0", "tor1"])));
        assert!(!seen(names(&["tor2"])) && !seen(names(&[])));
    }

    #[test]
    fn a_graceful_shutdown_is_the_least_preferred_on_both_sides() {
        for ibgp in [false, true] {
            let (exporter, mut path) = both_set(ibgp);
            let before = announced(&exporter, V4, &path);
            path.graceful_shutdown = true;
            let seen = announced(&exporter, V4, &path);
            assert_eq!(seen.communities, [3, 5, 7, 0xffff_0000, 0xffff_ff01]);
            assert_eq!(seen.local_pref, ibgp.then_some(0));
            let communities = before.communities.clone();
            let rest = Attributes { local_pref: before.local_pref, communities, ..seen };
            assert_eq!(rest, before, "nothing else changes");
        }
    }

    fn lower() -> Deprefer {
        Deprefer { prepend: 3, local_pref: 50, med: Some(900), communities: vec![4, 7] }
    }

    #[test]
    fn a_path_that_is_less_preferred_is_so_whatever_is_set_for_the_neighbour() {
        let (exporter, mut path) = both_set(false);
        let before = announced(&exporter, V4, &path);
        path.deprefer = Some(lower());
        let seen = announced(&exporter, V4, &path);
        assert_eq!((seen.med, seen.local_pref), (Some(900), None));
        assert_eq!(seen.as_path, AsPath::sequence(&[65001; 7]));
        assert_eq!(seen.communities, [3, 4, 5, 7, 0xffff_ff01]);
        let rest = Attributes {
            med: before.med,
            as_path: before.as_path.clone(),
            communities: before.communities.clone(),
            ..seen
        };
        assert_eq!(rest, before, "nothing else changes");
        let (exporter, _) = both_set(true);
        let inside = announced(&exporter, V4, &path);
        assert_eq!((inside.local_pref, inside.as_path.length()), (Some(50), 0));
    }

    #[test]
    fn nothing_that_is_less_preferred_already_is_lifted() {
        let (mut exporter, mut path) = both_set(true);
        path.deprefer = Some(Deprefer { med: None, ..lower() });
        exporter.overrides.local_pref = Some(20);
        let seen = announced(&exporter, V4, &path);
        assert_eq!((seen.local_pref, seen.med), (Some(20), Some(5)), "no MED was asked for");
        exporter.overrides.local_pref = None;
        path.local_pref = 10;
        assert_eq!(announced(&exporter, V4, &path).local_pref, Some(10));
        path.graceful_shutdown = true;
        assert_eq!(announced(&exporter, V4, &path).local_pref, Some(0));
        exporter.ibgp = false;
        let leaving = announced(&exporter, V4, &path);
        assert!(leaving.communities.contains(&community::GRACEFUL_SHUTDOWN));
        assert_eq!(leaving.as_path.length(), 7, "one step of the ladder keeps the one above");
    }

    #[test]
    fn a_neighbour_with_the_community_of_graceful_shutdown_is_sent_a_local_pref_of_0() {
        let (mut exporter, path) = both_set(true);
        exporter.overrides.communities.push(community::GRACEFUL_SHUTDOWN);
        assert_eq!(announced(&exporter, V4, &path).local_pref, Some(300));
        exporter.overrides.local_pref = None;
        let seen = announced(&exporter, V4, &path);
        assert_eq!(seen.local_pref, Some(0));
        assert_eq!(seen.communities, [3, 5, 7, 0xffff_0000, 0xffff_ff01]);
        exporter.ibgp = false;
        assert_eq!(announced(&exporter, V4, &path).local_pref, None);
    }
}
