//! What the tests of several files of this room begin with.

use std::time::Duration;

use super::message::prefix::Family;
use super::negotiation::Terms;
use super::offer::Offer;

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
