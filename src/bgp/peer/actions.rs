//! What a neighbour asks of its owner, and what was counted of it.

use std::time::Duration;

use crate::bgp::counts::MessageCounts;
use crate::bgp::down::Down;
use crate::bgp::message::attribute::Attributes;
use crate::bgp::message::prefix::Family;
use crate::bgp::negotiation::Negotiated;
#[cfg(doc)]
use crate::bgp::peer_settings::Import;
use crate::bgp::peer_settings::PrefixLimit;
use crate::bgp::rib::Key;

/// Which of a neighbour's two sessions is meant: the one that we opened, or
/// the one that the neighbour opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Side {
    /// We connect to the neighbour.
    Outgoing,
    /// The neighbour connects to us.
    Incoming,
}

impl Side {
    pub(super) fn other(self) -> Side {
        match self {
            Side::Outgoing => Side::Incoming,
            Side::Incoming => Side::Outgoing,
        }
    }
}

/// What a neighbour asks of the door, or reports, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Open the outgoing connection.
    Dial,
    /// Give up the outgoing connection attempt.
    HangUp,
    /// Close this side's connection, after sending `rest`.
    Close {
        /// Which connection.
        side: Side,
        /// Octets that should still reach the neighbour.
        rest: Vec<u8>,
    },
    /// A session is established.
    Up {
        /// Which connection it uses.
        side: Side,
        /// What was agreed.
        negotiated: Negotiated,
    },
    /// A session that had got as far as an OPEN or further is over.
    Down {
        /// Which connection it used.
        side: Side,
        /// Why, and how far it had got.
        down: Down,
        /// How long it was established.
        uptime: Duration,
    },
    /// Routes came in or are gone (only with [`Import::Report`]).
    Learned(Learned),
    /// The neighbour asked for a family again in full (RFC 2918 §4).
    RefreshAsked(Family),
    /// An UPDATE was malformed, and the session survives it (RFC 7606). Of many
    /// only some are reported.
    Malformed {
        /// What is wrong, and what was done about it.
        text: String,
        /// How many there were of the kind.
        count: u64,
        /// The routes and the octets, one line each (RFC 7606 §6).
        evidence: Vec<String>,
    },
    /// The neighbour comes near to its limit.
    PrefixWarning {
        /// The family that is meant.
        family: Family,
        /// How many prefixes it has announced.
        count: usize,
        /// The limit.
        limit: PrefixLimit,
    },
}

/// What became of a neighbour's routes; what is gone comes first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Learned {
    /// The routes that there are no more.
    pub withdrawn: Vec<Key>,
    /// The routes that there are now, by attributes.
    pub announced: Vec<(Vec<Key>, Box<Attributes>)>,
}

/// What was counted of one neighbour over all its sessions that ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PeerCounters {
    /// Messages received in sessions that are over.
    pub received: MessageCounts,
    /// Messages sent in sessions that are over.
    pub sent: MessageCounts,
    /// Prefixes announced to us; all rejected.
    pub prefixes_received: u64,
    /// Prefixes withdrawn by the neighbour.
    pub prefixes_withdrawn: u64,
    /// UPDATEs whose routes were taken as withdrawn (RFC 7606 §2).
    pub malformed_updates: u64,
    /// UPDATEs of which only attributes were discarded (RFC 7606 §2).
    pub discarded_attributes: u64,
    /// Routes that should not have come from this neighbour (RFC 9234 §5).
    pub leaks: u64,
    /// Times that an established session ended.
    pub flaps: u64,
}
