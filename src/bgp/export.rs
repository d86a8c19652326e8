//! One path as one neighbour should see it (RFC 4271 §5.1).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;

use super::message::as_path::AsPath;
use super::message::attribute::Attributes;
use super::message::prefix::Family;
use super::rib::originated::Path;

/// The next hops that we announce, by family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NextHops {
    /// For IPv4 prefixes; `None`: the session's own IPv4 address.
    pub ipv4: Option<Ipv4Addr>,
    /// For IPv6 prefixes; `None`: the session's own global IPv6 address.
    pub ipv6: Option<Ipv6Addr>,
}

/// What the export to one neighbour depends on, beside the path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exporter {
    /// Our AS number.
    pub asn: u32,
    /// Whether the neighbour is in our own AS.
    pub ibgp: bool,
    /// The next hops.
    pub next_hops: NextHops,
    /// Our address of the session.
    pub local: IpAddr,
}

impl Exporter {
    /// The attributes to send, or `None` when there is no next hop of the
    /// prefix's family: then the route is not announced at all, since an
    /// IPv4-mapped or foreign address would attract traffic to nowhere.
    pub fn attributes(&self, prefix: &IpNet, path: &Path) -> Option<Attributes> {
        let next_hop = match Family::of(prefix) {
            Family::Ipv4Unicast => {
                let own = match self.local {
                    IpAddr::V4(address) => Some(address),
                    IpAddr::V6(address) => address.to_ipv4_mapped(),
                };
                IpAddr::V4(self.next_hops.ipv4.or(own)?)
            }
            Family::Ipv6Unicast => IpAddr::V6(self.next_hops.ipv6.or_else(|| self.own_ipv6())?),
        };
        // RFC 4271 §5.1.2: a route that we originate has an empty AS_PATH
        // inside our AS, and our AS alone in it towards another.
        let as_path = if self.ibgp { AsPath::default() } else { AsPath::sequence(&[self.asn]) };
        let mut attributes = Attributes::new(path.origin, as_path, Some(next_hop));
        attributes.med = path.med;
        // RFC 4271 §5.1.5: to every internal neighbour, never to an external.
        attributes.local_pref = self.ibgp.then_some(path.local_pref);
        attributes.communities = path.communities.clone();
        Some(attributes)
    }

    fn own_ipv6(&self) -> Option<Ipv6Addr> {
        match self.local {
            // fe80::/10 reaches no further than the link.
            IpAddr::V6(address)
                if address.to_ipv4_mapped().is_none() && !address.is_unicast_link_local() =>
            {
                Some(address)
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const V4: &str = "192.0.2.10/32";
    const V6: &str = "2001:db8::10/128";

    fn exporter(ibgp: bool, local: &str) -> Exporter {
        Exporter {
            asn: 65001,
            ibgp,
            next_hops: NextHops { ipv4: None, ipv6: None },
            local: local.parse().expect("an address"),
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
    fn a_link_local_or_mapped_session_address_is_no_next_hop() {
        assert_eq!(seen(&exporter(false, "fe80::1"), V6), None);
        assert_eq!(seen(&exporter(false, "::ffff:10.0.0.1"), V6), None);
        assert!(seen(&exporter(false, "2001:db8::5"), V6).is_some());
    }
}
