//! Our OPEN and the neighbour's make one value: what the session may do.

use std::net::Ipv4Addr;
use std::time::Duration;

use super::message::capability::{Capability, add_path};
use super::message::header;
use super::message::notification::{Notification, code, open_error};
use super::message::open::{AS_TRANS, Open};
use super::message::prefix::{Family, FamilySet};
use super::offer::{Offer, PeerRestart};
use super::role::Role;

/// What we bring to a session with one neighbour.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Terms {
    /// Our AS number.
    pub asn: u32,
    /// Our BGP identifier.
    pub identifier: Ipv4Addr,
    /// The AS number that the neighbour must show.
    pub peer_asn: u32,
    /// The hold time that we propose, in seconds: 0 or at least 3.
    pub hold_time: u16,
    /// Time between two KEEPALIVEs; `None`: a third of the hold time.
    pub keepalive: Option<Duration>,
    /// The families that we speak.
    pub families: FamilySet,
    /// Time between two attempts to connect.
    pub connect_retry: Duration,
    /// Never dial; wait for the neighbour.
    pub passive: bool,
    /// What else we offer.
    pub offer: Offer,
}

impl Terms {
    /// Whether the neighbour is in our own AS.
    pub fn is_ibgp(&self) -> bool {
        self.asn == self.peer_asn
    }

    /// What we offer: a role has no meaning inside an AS (RFC 9234 §4.1).
    fn effective_offer(&self) -> Offer {
        let role = self.offer.role.filter(|_| !self.is_ibgp());
        Offer { role, ..self.offer.clone() }
    }

    /// The OPEN that we send (RFC 4271 §4.2, RFC 5492, RFC 4760 §8, RFC 2918,
    /// RFC 6793 §4.1).
    pub fn open(&self) -> Open {
        Open {
            version: 4,
            my_as: u16::try_from(self.asn).unwrap_or(AS_TRANS),
            hold_time: self.hold_time,
            identifier: self.identifier,
            capabilities: self.effective_offer().capabilities(self.asn, self.families),
        }
    }
}

/// What both sides agreed on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Negotiated {
    /// The neighbour's AS number.
    pub peer_asn: u32,
    /// The neighbour's BGP identifier.
    pub peer_identifier: Ipv4Addr,
    /// Whether the neighbour is in our own AS.
    pub ibgp: bool,
    /// The smaller of both hold times; zero: no hold and no keepalive timer
    /// (RFC 4271 §4.2, §4.4).
    pub hold_time: Duration,
    /// Time between two of our KEEPALIVEs, before jitter; zero: none.
    pub keepalive: Duration,
    /// The families that both speak.
    pub families: FamilySet,
    /// AS numbers have four octets in both directions (RFC 6793).
    pub four_octet_as: bool,
    /// The neighbour answers and may send ROUTE-REFRESH (RFC 2918).
    pub route_refresh: bool,
    /// The beginning and the end of a refresh are marked (RFC 7313).
    pub enhanced_refresh: bool,
    /// The longest message in octets that the neighbour takes (RFC 8654).
    pub longest_sent: usize,
    /// The families of which the neighbour takes path identifiers (RFC 7911).
    pub add_path_sent: FamilySet,
    /// The families of which it sends them.
    pub add_path_received: FamilySet,
    /// IPv4 routes may have IPv6 next hops, in both directions (RFC 8950).
    pub extended_next_hop: bool,
    /// What the neighbour says of graceful restart (RFC 4724), if we offered it
    /// too.
    pub graceful_restart: Option<PeerRestart>,
    /// What we are to the neighbour, if that is configured (RFC 9234).
    pub role: Option<Role>,
    /// All that we offered.
    pub offered: Vec<Capability>,
    /// All that the neighbour offered.
    pub peer_offered: Vec<Capability>,
}

impl Negotiated {
    /// Whether also a NOTIFICATION begins a graceful restart (RFC 8538 §2).
    pub fn survives_notification(&self) -> bool {
        self.graceful_restart.is_some_and(|restart| restart.notification)
    }

    /// The names of what both sides do beyond RFC 4271.
    pub fn features(&self) -> Vec<String> {
        let flags = [
            (self.four_octet_as, "four-octet-as"),
            (self.route_refresh, "route-refresh"),
            (self.enhanced_refresh, "enhanced-route-refresh"),
            (self.longest_sent > header::MAX_LENGTH, "extended-message"),
            (self.extended_next_hop, "extended-next-hop"),
            (!self.add_path_sent.is_empty(), "add-path-send"),
            (!self.add_path_received.is_empty(), "add-path-receive"),
            (self.graceful_restart.is_some(), "graceful-restart"),
        ];
        let agreed = flags.iter().filter(|(agreed, _)| *agreed);
        let names = agreed.map(|(_, name)| (*name).to_owned());
        names.chain(self.role.map(|role| format!("role:{role}"))).collect()
    }
}

/// Judges the neighbour's OPEN against our terms.
///
/// # Errors
/// The NOTIFICATION to send: Bad Peer AS, Bad BGP Identifier (RFC 4271 §6.2,
/// RFC 6286 §2.2), Unsupported Capability when no family is common
/// (RFC 5492 §5), or Role Mismatch (RFC 9234 §4.2).
pub fn negotiate(terms: &Terms, open: &Open) -> Result<Negotiated, Notification> {
    let peer_asn = open.asn();
    if peer_asn != terms.peer_asn || peer_asn == 0 {
        return Err(Notification::new(code::OPEN, open_error::BAD_PEER_AS));
    }
    // RFC 6286 §2.2: identifiers need only differ inside one AS.
    if terms.is_ibgp() && open.identifier == terms.identifier {
        return Err(Notification::new(code::OPEN, open_error::BAD_BGP_IDENTIFIER));
    }
    let ours = terms.open();
    let families = common_families(ours.families().intersection(terms.families), open)?;
    check_roles(terms, open)?;
    let hold_time = Duration::from_secs(terms.hold_time.min(open.hold_time).into());
    // RFC 4271 §4.4: a reasonable maximum is a third of the hold time, so a
    // configured interval never lets the neighbour's smaller hold time starve.
    let third = hold_time.checked_div(3).unwrap_or_default();
    let keepalive = terms.keepalive.map_or(third, |wanted| wanted.min(third));
    let both = |test: fn(&Capability) -> bool| {
        ours.capabilities.iter().any(test) && open.capabilities.iter().any(test)
    };
    let extended = both(|c| *c == Capability::ExtendedMessage);
    let mutual = |sender: &Open, receiver: &Open| {
        let (sent, taken) = (
            add_path_families(sender, add_path::SEND),
            add_path_families(receiver, add_path::RECEIVE),
        );
        families.intersection(sent).intersection(taken)
    };
    Ok(Negotiated {
        peer_asn,
        peer_identifier: open.identifier,
        ibgp: terms.is_ibgp(),
        hold_time,
        keepalive,
        families,
        four_octet_as: both(|c| matches!(c, Capability::FourOctetAs(_))),
        route_refresh: both(|c| *c == Capability::RouteRefresh),
        enhanced_refresh: both(|c| *c == Capability::EnhancedRouteRefresh),
        longest_sent: if extended { header::EXTENDED_MAX_LENGTH } else { header::MAX_LENGTH },
        add_path_sent: mutual(&ours, open),
        add_path_received: mutual(open, &ours),
        extended_next_hop: families.contains(Family::Ipv4Unicast) && both(has_extended_next_hop),
        graceful_restart: terms
            .offer
            .graceful_restart
            .filter(|_| !terms.offer.plain)
            .and_then(|_| PeerRestart::of(&open.capabilities)),
        role: terms.offer.role.filter(|_| !terms.is_ibgp()),
        offered: ours.capabilities,
        peer_offered: open.capabilities.clone(),
    })
}

/// Those of the `wanted` families that the neighbour speaks too.
fn common_families(wanted: FamilySet, open: &Open) -> Result<FamilySet, Notification> {
    let families = wanted.intersection(open.families());
    if !families.is_empty() {
        return Ok(families);
    }
    let mut data = Vec::new();
    for family in wanted.iter() {
        Capability::Multiprotocol { afi: family.afi(), safi: family.safi() }.encode(&mut data);
    }
    Err(Notification::with_data(code::OPEN, open_error::UNSUPPORTED_CAPABILITY, data))
}

/// RFC 9234 §4.2: external neighbours only, and only where we have a role.
fn check_roles(terms: &Terms, open: &Open) -> Result<(), Notification> {
    let Some(role) = terms.offer.role.filter(|_| !terms.is_ibgp() && !terms.offer.plain) else {
        return Ok(());
    };
    let mut theirs = open.capabilities.iter().filter_map(|capability| match capability {
        Capability::Role(code) => Some(*code),
        _ => None,
    });
    let fits = match theirs.next() {
        None => !terms.offer.strict_role,
        // Several that differ are a mismatch as well.
        Some(first) => theirs.all(|code| code == first) && first == role.counterpart().code(),
    };
    match fits {
        true => Ok(()),
        false => Err(Notification::new(code::OPEN, open_error::ROLE_MISMATCH)),
    }
}

/// The families for which an OPEN says that its speaker can `direction`
/// (RFC 7911 §4). Where a family comes more than once, the first counts.
fn add_path_families(open: &Open, direction: u8) -> FamilySet {
    let mut seen = FamilySet::EMPTY;
    let mut able = FamilySet::EMPTY;
    for capability in &open.capabilities {
        let Capability::AddPath(entries) = capability else { continue };
        for (afi, safi, mode) in entries {
            let Some(family) = Family::from_codes(*afi, *safi) else { continue };
            if !seen.contains(family) && mode & direction != 0 {
                able.insert(family);
            }
            seen.insert(family);
        }
    }
    able
}

/// IPv4 unicast with IPv6 next hops (RFC 8950 §4).
fn has_extended_next_hop(capability: &Capability) -> bool {
    let (ipv4, ipv6) = (Family::Ipv4Unicast, Family::Ipv6Unicast);
    let wanted = (ipv4.afi(), ipv4.safi().into(), ipv6.afi());
    matches!(capability, Capability::ExtendedNextHop(entries) if entries.contains(&wanted))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bgp::message::prefix::Family;
    use crate::bgp::testing;

    fn terms(asn: u32, peer_asn: u32) -> Terms {
        Terms { hold_time: 90, ..testing::terms(asn, peer_asn, [10, 0, 0, 1]) }
    }

    fn open_of(mut terms: Terms, identifier: [u8; 4]) -> Open {
        terms.identifier = identifier.into();
        terms.open()
    }

    #[test]
    fn the_smaller_hold_time_wins_and_keepalive_is_a_third() {
        let mut theirs = open_of(terms(65000, 65001), [10, 0, 0, 2]);
        theirs.hold_time = 9;
        let agreed = negotiate(&terms(65001, 65000), &theirs).expect("agreed");
        assert_eq!(agreed.hold_time, Duration::from_secs(9));
        assert_eq!(agreed.keepalive, Duration::from_secs(3));
        assert!(agreed.four_octet_as && agreed.route_refresh && !agreed.ibgp);
        let mut ours = terms(65001, 65000);
        ours.keepalive = Some(Duration::from_secs(20));
        let agreed = negotiate(&ours, &theirs).expect("agreed");
        assert_eq!(agreed.keepalive, Duration::from_secs(3), "never over a third");
        theirs.hold_time = 0;
        let agreed = negotiate(&ours, &theirs).expect("agreed");
        assert_eq!((agreed.hold_time, agreed.keepalive), (Duration::ZERO, Duration::ZERO));
    }

    #[test]
    fn a_role_is_for_external_neighbours() {
        for (peer_asn, roles) in [(65000, 1), (65001, 0)] {
            let offer = Offer { role: Some(Role::Peer), ..Offer::default() };
            let open = Terms { offer, ..terms(65001, peer_asn) }.open();
            let is_role = |c: &&Capability| matches!(c, Capability::Role(_));
            assert_eq!(open.capabilities.iter().filter(is_role).count(), roles);
        }
    }

    #[test]
    fn a_wrong_as_is_a_bad_peer_as() {
        let theirs = open_of(terms(64999, 65001), [10, 0, 0, 2]);
        let refused = negotiate(&terms(65001, 65000), &theirs).expect_err("wrong AS");
        assert_eq!((refused.code, refused.subcode), (2, 2));
    }

    #[test]
    fn a_four_octet_as_hides_behind_as_trans() {
        let theirs = open_of(terms(4_200_000_001, 65001), [10, 0, 0, 2]);
        assert_eq!(theirs.my_as, AS_TRANS);
        assert!(negotiate(&terms(65001, 4_200_000_001), &theirs).is_ok());
        let mut old = theirs.clone();
        old.capabilities.retain(|c| !matches!(c, Capability::FourOctetAs(_)));
        let refused = negotiate(&terms(65001, 4_200_000_001), &old).expect_err("AS_TRANS alone");
        assert_eq!((refused.code, refused.subcode), (2, 2));
    }

    #[test]
    fn our_own_identifier_is_refused_inside_our_as_only() {
        let theirs = open_of(terms(65001, 65001), [10, 0, 0, 1]);
        let refused = negotiate(&terms(65001, 65001), &theirs).expect_err("same identifier");
        assert_eq!((refused.code, refused.subcode), (2, 3));
        let theirs = open_of(terms(65000, 65001), [10, 0, 0, 1]);
        assert!(negotiate(&terms(65001, 65000), &theirs).is_ok(), "RFC 6286");
    }

    #[test]
    fn without_a_common_family_the_refusal_names_ours() {
        let mut ours = terms(65001, 65000);
        ours.families = [Family::Ipv6Unicast].into_iter().collect();
        let mut theirs = open_of(terms(65000, 65001), [10, 0, 0, 2]);
        theirs.capabilities.retain(|c| !matches!(c, Capability::Multiprotocol { .. }));
        let refused = negotiate(&ours, &theirs).expect_err("IPv4 only");
        assert_eq!((refused.code, refused.subcode), (2, 7));
        assert_eq!(refused.data, [1, 4, 0, 2, 0, 1]);
    }
}
