//! The anycast prefixes: what is announced, why, and what comes next.

use serde::{Deserialize, Serialize};

use super::{ServiceView, SessionState};

/// One prefix, and the way from the facts to the decision.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct AnnouncementView {
    /// `192.0.2.10/32`
    pub prefix: String,
    /// What the neighbours are told.
    pub state: AnnouncementState,
    /// For how long.
    pub since_ms: u64,
    /// Why, in words.
    pub reason: String,
    /// A name for the reason out of a small set, for metrics:
    /// `no-healthy-target`.
    pub reason_kind: String,
    /// Whether its traffic can be served in full now, whatever is announced.
    pub can_serve: bool,
    /// The next change that time alone brings.
    pub next: Option<NextView>,
    /// For changing often; it decays.
    pub penalty: u32,
    /// For how long it stays withdrawn because of the penalty.
    pub suppressed_for_ms: Option<u64>,
    /// Changes of the state, those before a restart included.
    pub changes: u64,
    /// The operator withdrew it with `burgee drain PREFIX`.
    pub drained: bool,
    /// All that has to hold, in the order in which it is looked at.
    pub conditions: Vec<ConditionView>,
    /// Whether the host has the address.
    pub address: AddressView,
    /// The services that it depends on; one without a name stands for all
    /// that its address serves.
    pub services: Vec<ServiceView>,
    /// Neighbours that are meant to have it, whatever its state.
    pub wanted_by: u64,
    /// Neighbours that have it, that is were sent it in the session that is
    /// up.
    pub sent_to: u64,
    /// What each neighbour was sent. Only told of one prefix at a time, and of no
    /// more than the first 256 neighbours; the numbers above are of all.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub peers: Vec<SentView>,
}

/// What the neighbours are told of a prefix.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AnnouncementState {
    /// Come here.
    Announced,
    /// Rather go elsewhere: a longer AS_PATH, a lower LOCAL_PREF.
    Depreferred,
    /// Go elsewhere soon: GRACEFUL_SHUTDOWN (RFC 8326).
    GracefulShutdown,
    /// Nothing, or nothing any longer.
    Withdrawn,
    /// One that this version has no name for.
    #[default]
    #[serde(other)]
    Unknown,
}

impl AnnouncementState {
    /// The names of all that there are.
    pub const NAMES: [&'static str; 4] =
        ["announced", "depreferred", "graceful-shutdown", "withdrawn"];

    /// Its name, as in JSON.
    pub fn name(self) -> &'static str {
        match self {
            AnnouncementState::Announced => "announced",
            AnnouncementState::Depreferred => "depreferred",
            AnnouncementState::GracefulShutdown => "graceful-shutdown",
            AnnouncementState::Withdrawn => "withdrawn",
            AnnouncementState::Unknown => "unknown",
        }
    }
}

/// A change that is to come.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct NextView {
    /// In how long, if everything stays as it is.
    pub in_ms: u64,
    /// The state then.
    pub state: AnnouncementState,
    /// What is waited for: `holdup`, `flap penalty`.
    pub why: String,
}

/// One thing that has to hold.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ConditionView {
    /// `listeners`, `routes`, `registry`, `targets web`, `maintenance`
    pub name: String,
    /// Whether it does.
    pub ok: bool,
    /// The fact: `1 of 3 healthy, 2 needed`.
    pub text: String,
}

/// The address of a host prefix, on the host.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct AddressView {
    /// Whether it should be there; a prefix that is no single address needs
    /// none.
    pub needed: bool,
    /// Whether it is.
    pub on_host: bool,
    /// The interface that has it.
    pub interface: Option<String>,
    /// Who put it there: `burgee` or `other`; none where it is not.
    pub by: Option<String>,
    /// What is wrong with it.
    pub problem: Option<String>,
}

/// What one neighbour has of a prefix.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct SentView {
    /// The neighbour.
    pub name: String,
    /// Its session.
    pub state: SessionState,
    /// What it was sent; none: nothing, or a withdrawal.
    pub sent: Option<PathView>,
    /// Why it was sent nothing, where that is not because of the prefix's state:
    /// `session is down`, `not for this neighbour`, `family not negotiated`.
    pub why_not: Option<String>,
}

/// Path attributes as they were sent (RFC 4271 §5).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct PathView {
    /// `64512 64512`; empty: none, towards our own AS.
    pub as_path: String,
    /// NEXT_HOP, or that of MP_REACH_NLRI.
    pub next_hop: String,
    /// `igp`, `egp` or `incomplete`
    pub origin: String,
    /// MULTI_EXIT_DISC
    pub med: Option<u32>,
    /// LOCAL_PREF
    pub local_pref: Option<u32>,
    /// COMMUNITIES (RFC 1997): `64512:20`, or the name of a well-known one.
    pub communities: Vec<String>,
    /// LARGE_COMMUNITY (RFC 8092): `64512:1:20`
    pub large_communities: Vec<String>,
}
