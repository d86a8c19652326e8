//! The neighbours.

use serde::{Deserialize, Serialize};

/// A neighbour and the session with it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct SessionView {
    /// What it is called in the log and in the settings.
    pub name: String,
    /// Its address; empty where it is not known yet.
    pub address: String,
    /// The AS number that it must show.
    pub asn: u32,
    /// It came by itself, out of a prefix of `bgp.peers` (dynamic neighbour).
    pub dynamic: bool,
    /// The state of the session that is furthest (RFC 4271 §8.2.2).
    pub state: SessionState,
    /// For how long it is established.
    pub uptime_ms: Option<u64>,
    /// How often an established session ended.
    pub flaps: u64,
    /// Prefixes that it was announced.
    pub announced: u64,
    /// Prefixes that it announces, as far as they are counted: 0 for a neighbour
    /// without a limit of its own, whose routes are not even kept.
    pub received: u64,
    /// Messages from it, over all sessions.
    pub messages_in: MessagesView,
    /// Messages to it.
    pub messages_out: MessagesView,
    /// When the hold timer expires, unless it says something.
    pub hold_left_ms: Option<u64>,
    /// The next attempt to connect.
    pub retry_in_ms: Option<u64>,
    /// It is kept out for so long, because it announced too much.
    pub kept_out_for_ms: Option<u64>,
    /// Why there is no session, or why the last one ended.
    pub last_error: Option<FailureView>,
    /// BFD with it, if that is configured.
    pub bfd: Option<BfdView>,
    /// What was agreed, while it is established.
    pub negotiated: Option<NegotiatedView>,
}

/// The states of RFC 4271 §8.2.2.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SessionState {
    /// Idle
    Idle,
    /// Connect
    Connect,
    /// Active
    Active,
    /// OpenSent
    OpenSent,
    /// OpenConfirm
    OpenConfirm,
    /// Established
    Established,
    /// One that this version has no name for.
    #[default]
    #[serde(other)]
    Unknown,
}

impl SessionState {
    /// The names of all that there are.
    pub const NAMES: [&'static str; 6] =
        ["idle", "connect", "active", "open-sent", "open-confirm", "established"];

    /// Its name, as in JSON.
    pub fn name(self) -> &'static str {
        match self {
            SessionState::Idle => "idle",
            SessionState::Connect => "connect",
            SessionState::Active => "active",
            SessionState::OpenSent => "open-sent",
            SessionState::OpenConfirm => "open-confirm",
            SessionState::Established => "established",
            SessionState::Unknown => "unknown",
        }
    }
}

/// Messages by type.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct MessagesView {
    /// OPEN
    pub opens: u64,
    /// UPDATE
    pub updates: u64,
    /// NOTIFICATION
    pub notifications: u64,
    /// KEEPALIVE
    pub keepalives: u64,
    /// ROUTE-REFRESH
    pub route_refreshes: u64,
}

/// What went wrong, and when.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct FailureView {
    /// In words.
    pub text: String,
    /// A name for its kind out of a small set, for metrics: `sent 4/0`,
    /// `received 6/2`, `connection closed`.
    pub kind: String,
    /// How long ago.
    pub ms_ago: u64,
}

/// BFD with a neighbour (RFC 5880).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct BfdView {
    /// `admin-down`, `down`, `init` or `up` (RFC 5880 §4.1)
    pub state: String,
    /// Why it last changed.
    pub diagnostic: String,
    /// The neighbour's state, if it is heard.
    pub remote_state: Option<String>,
    /// The longest time between two of our packets, in microseconds.
    pub transmit_interval_us: u64,
    /// How long the neighbour may be silent, in microseconds, if it is heard.
    pub detection_time_us: Option<u64>,
}

/// What was agreed with a neighbour.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct NegotiatedView {
    /// Its BGP identifier.
    pub router_id: String,
    /// Our address and port of the connection.
    pub local: String,
    /// Its address and port.
    pub remote: String,
    /// Whether we opened the connection.
    pub dialled: bool,
    /// Whether it is in our own AS.
    pub ibgp: bool,
    /// 0: no hold timer.
    pub hold_time_ms: u64,
    /// 0: no KEEPALIVE is sent.
    pub keepalive_ms: u64,
    /// `ipv4-unicast`, `ipv6-unicast`
    pub families: Vec<String>,
    /// What both sides have, by name: `four-octet-as`, `route-refresh`.
    pub capabilities: Vec<String>,
}
