//! What the tests of several files of this room begin with.

use std::net::IpAddr;
use std::time::Duration;

use super::export::{NextHops, Overrides};
use super::message::prefix::Family;
use super::negotiation::Terms;
use super::offer::Offer;
use super::peer_settings::{Import, PeerSettings};

/// A speaker that dials, with both families and a hold time of 9 s.
pub(super) fn terms(asn: u32, peer_asn: u32, identifier: [u8; 4]) -> Terms {
    Terms {
        asn,
        identifier: identifier.into(),
        peer_asn,
        hold_time: 9,
        keepalive: None,
        families: Family::ALL.into_iter().collect(),
        connect_retry: Duration::from_secs(3),
        passive: false,
        offer: Offer::default(),
    }
}

/// A neighbour of which nothing is learned.
pub(super) fn peer(name: &str, address: IpAddr, terms: Terms) -> PeerSettings {
    PeerSettings {
        name: name.to_owned(),
        group: None,
        address,
        terms,
        next_hops: NextHops { ipv4: None, ipv6: None },
        overrides: Overrides::default(),
        import: Import::Reject,
        limit: None,
        advertisement_interval: Duration::ZERO,
    }
}
