//! What we offer in our OPEN beside the families (RFC 5492).

use super::message::capability::{Capability, add_path};
use super::message::prefix::{Family, FamilySet};
use super::role::Role;

/// The "Restart State" and "Notification" bits of the graceful restart
/// capability (RFC 4724 §3, RFC 8538 §2).
const RESTARTED: u8 = 8;
const NOTIFICATION: u8 = 4;

/// The "Forwarding State" bit of one family in it (RFC 4724 §3).
const PRESERVED: u8 = 0x80;

/// What we offer a neighbour. Route refresh, enhanced route refresh, four-octet
/// AS numbers and extended messages are always offered; the default offers
/// nothing else.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Offer {
    /// Several paths for a prefix (RFC 7911).
    pub add_path: AddPath,
    /// IPv4 routes may have IPv6 next hops (RFC 8950).
    pub extended_next_hop: bool,
    /// Graceful restart (RFC 4724), if it is wanted.
    pub graceful_restart: Option<RestartOffer>,
    /// What we are to the neighbour (RFC 9234); only for external ones.
    pub role: Option<Role>,
    /// Refuse a neighbour that does not say what it is (RFC 9234 §4.2).
    pub strict_role: bool,
    /// Our host and domain name, for operators
    /// (draft-walton-bgp-hostname-capability).
    pub names: Option<(String, String)>,
    /// The program and its version (draft-ietf-idr-bgp-software-version).
    pub software_version: Option<String>,
    /// No capability at all: the neighbour does not know them (RFC 5492 §3).
    pub plain: bool,
}

/// In which directions paths have identifiers (RFC 7911 §4).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AddPath {
    /// From us to the neighbour.
    pub send: bool,
    /// From the neighbour to us.
    pub receive: bool,
}

/// Our side of graceful restart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RestartOffer {
    /// How long the neighbour should keep our routes for us, in seconds; under
    /// 4096 (RFC 4724 §3).
    pub time: u16,
    /// We have just been started, so that the neighbour need not wait for our
    /// End-of-RIB (RFC 4724 §4.1).
    pub restarted: bool,
}

impl AddPath {
    fn code(self) -> Option<u8> {
        match (self.send, self.receive) {
            (true, true) => Some(add_path::BOTH),
            (true, false) => Some(add_path::SEND),
            (false, true) => Some(add_path::RECEIVE),
            (false, false) => None,
        }
    }
}

impl Offer {
    /// The capabilities, for a speaker of `families` in AS `asn`.
    pub(super) fn capabilities(&self, asn: u32, families: FamilySet) -> Vec<Capability> {
        if self.plain {
            return Vec::new();
        }
        let mut list: Vec<Capability> = families
            .iter()
            .map(|family| Capability::Multiprotocol { afi: family.afi(), safi: family.safi() })
            .collect();
        list.push(Capability::RouteRefresh);
        if self.extended_next_hop && families.contains(Family::Ipv4Unicast) {
            let (ipv4, ipv6) = (Family::Ipv4Unicast, Family::Ipv6Unicast);
            list.push(Capability::ExtendedNextHop(vec![(
                ipv4.afi(),
                ipv4.safi().into(),
                ipv6.afi(),
            )]));
        }
        list.push(Capability::ExtendedMessage);
        list.extend(self.role.map(|role| Capability::Role(role.code())));
        list.extend(self.graceful_restart.map(|offer| offer.capability(families)));
        list.push(Capability::FourOctetAs(asn));
        if let Some(mode) = self.add_path.code() {
            let entry = |family: Family| (family.afi(), family.safi(), mode);
            list.push(Capability::AddPath(families.iter().map(entry).collect()));
        }
        list.push(Capability::EnhancedRouteRefresh);
        if let Some((host, domain)) = self.names.clone() {
            list.push(Capability::Fqdn { host, domain });
        }
        list.extend(self.software_version.clone().map(Capability::SoftwareVersion));
        list
    }
}

impl RestartOffer {
    /// We ask for the routes to be kept ("preserved"), although it is our
    /// process that forwards: who switches graceful restart on wants just that.
    fn capability(self, families: FamilySet) -> Capability {
        let restarted = if self.restarted { RESTARTED } else { 0 };
        Capability::GracefulRestart {
            flags: restarted | NOTIFICATION,
            time: self.time,
            families: families.iter().map(|f| (f.afi(), f.safi(), PRESERVED)).collect(),
        }
    }
}

/// The neighbour's side of graceful restart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PeerRestart {
    /// Seconds that it needs to come back.
    pub time: u16,
    /// It has been restarted.
    pub restarted: bool,
    /// It also restarts gracefully after a NOTIFICATION (RFC 8538 §2).
    pub notification: bool,
    /// The families that it is able to restart gracefully.
    pub families: FamilySet,
    /// Those whose routes it still forwards.
    pub preserved: FamilySet,
}

impl PeerRestart {
    /// What the neighbour's capabilities say of it. Of several, the last counts
    /// (RFC 4724 §3).
    pub(super) fn of(capabilities: &[Capability]) -> Option<PeerRestart> {
        capabilities.iter().rev().find_map(|capability| match capability {
            Capability::GracefulRestart { flags, time, families } => {
                let with = |bit: u8| {
                    let chosen = families.iter().filter(move |(.., flags)| flags & bit == bit);
                    chosen.filter_map(|(afi, safi, _)| Family::from_codes(*afi, *safi)).collect()
                };
                Some(PeerRestart {
                    time: *time,
                    restarted: flags & RESTARTED != 0,
                    notification: flags & NOTIFICATION != 0,
                    families: with(0),
                    preserved: with(PRESERVED),
                })
            }
            _ => None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ipv4() -> FamilySet {
        [Family::Ipv4Unicast].into_iter().collect()
    }

    fn offered(offer: &Offer) -> Vec<Capability> {
        offer.capabilities(65001, ipv4())
    }

    #[test]
    fn the_default_offers_what_costs_nothing() {
        let always = [
            Capability::Multiprotocol { afi: 1, safi: 1 },
            Capability::RouteRefresh,
            Capability::ExtendedMessage,
            Capability::FourOctetAs(65001),
            Capability::EnhancedRouteRefresh,
        ];
        assert_eq!(offered(&Offer::default()), always);
        assert_eq!(offered(&Offer { plain: true, ..Offer::default() }), []);
    }

    #[test]
    fn everything_is_offered_in_the_order_of_its_codes() {
        let offer = Offer {
            add_path: AddPath { send: true, receive: true },
            extended_next_hop: true,
            graceful_restart: Some(RestartOffer { time: 120, restarted: true }),
            role: Some(Role::Customer),
            strict_role: true,
            names: Some(("edge1".to_owned(), "example".to_owned())),
            software_version: Some("burgee".to_owned()),
            plain: false,
        };
        let list = offered(&offer);
        assert!(list.is_sorted_by_key(Capability::code), "{list:?}");
        assert!(list.contains(&Capability::ExtendedNextHop(vec![(1, 1, 2)])));
        assert!(list.contains(&Capability::AddPath(vec![(1, 1, 3)])));
        let restart =
            Capability::GracefulRestart { flags: 12, time: 120, families: vec![(1, 1, 0x80)] };
        assert!(list.contains(&restart));
        let seen = PeerRestart::of(&list).expect("there is one");
        assert_eq!((seen.time, seen.restarted, seen.notification), (120, true, true));
        assert_eq!((seen.families, seen.preserved), (ipv4(), ipv4()));
        assert_eq!(PeerRestart::of(&[]), None);
    }
}
