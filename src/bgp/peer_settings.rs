//! How to speak with one neighbour, as a value.

use std::net::IpAddr;
use std::time::Duration;

use super::export::{NextHops, Overrides};
use super::negotiation::Terms;

/// What becomes of received routes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Import {
    /// Counted and rejected: a speaker that only announces.
    Reject,
    /// Reported as [`super::peer::Action::Learned`], for a speaker that shows them.
    Report,
}

/// How many prefixes of one family a neighbour may announce (RFC 4271 §6.7).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PrefixLimit {
    /// With more than these the session ends (RFC 4486 §4).
    pub maximum: u32,
    /// With this many there is a warning; 0: never.
    pub warning: u32,
    /// How long the neighbour is kept out afterwards.
    pub restart: Duration,
}

/// How to speak with one neighbour.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerSettings {
    /// What it is called in the log and by paths that are not for all.
    pub name: String,
    /// The name of the group that it came by, which stands for it in paths
    /// that are not for all.
    pub group: Option<String>,
    /// The neighbour's address.
    pub address: IpAddr,
    /// What we bring to the session.
    pub terms: Terms,
    /// The next hops that we announce.
    pub next_hops: NextHops,
    /// What is announced to it otherwise than to others.
    pub overrides: Overrides,
    /// What becomes of its routes.
    pub import: Import,
    /// How many it may announce.
    pub limit: Option<PrefixLimit>,
    /// The least time between two announcements to it, before jitter
    /// (MinRouteAdvertisementIntervalTimer, RFC 4271 §9.2.1.1; as all routes are
    /// our own, it is MinASOriginationIntervalTimer as well). Zero: none.
    pub advertisement_interval: Duration,
}

impl PeerSettings {
    /// A neighbour whose routes are rejected, and that is announced everything
    /// as it stands, with our addresses of the sessions as next hops.
    pub fn new(name: impl Into<String>, address: IpAddr, terms: Terms) -> PeerSettings {
        PeerSettings {
            name: name.into(),
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

    /// What paths that are not for all call it.
    pub fn audience(&self) -> &str {
        self.group.as_deref().unwrap_or(&self.name)
    }
}
