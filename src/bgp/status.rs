//! What is known of a neighbour, as one value: for the log, and for those who
//! ask.

use std::net::{IpAddr, SocketAddr};

use super::down::DownReason;
use super::message::notification::Notification;
use super::negotiation::Negotiated;
use super::peer::{PeerCounters, Side};
use super::session::State;
use crate::reactor::Time;

/// One neighbour at one moment. Times are those of the loop's clock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerStatus {
    /// What it is called.
    pub name: String,
    /// The name of the group that it came by, if it did.
    pub group: Option<String>,
    /// Its address.
    pub address: IpAddr,
    /// The AS number that it must show.
    pub asn: u32,
    /// The state of the session that is furthest.
    pub state: State,
    /// Since when it is established.
    pub established: Option<Time>,
    /// Who opened the connection of the established session.
    pub side: Option<Side>,
    /// Our and its address of that connection.
    pub endpoints: Option<(SocketAddr, SocketAddr)>,
    /// What was agreed with it, as long as it is established.
    pub negotiated: Option<Negotiated>,
    /// How many prefixes it has been announced.
    pub announced: usize,
    /// How many it announces, as far as they are counted: see
    /// [`super::peer_settings::PeerSettings`]'s `limit` and `import`.
    pub received: usize,
    /// What was counted of it, over all sessions.
    pub counters: PeerCounters,
    /// When and why the last session ended.
    pub last_down: Option<(Time, DownReason)>,
    /// The last NOTIFICATION that it was sent, and when.
    pub last_sent: Option<(Time, Notification)>,
    /// The last NOTIFICATION that it sent, and when.
    pub last_received: Option<(Time, Notification)>,
    /// Until when it is kept out because it announced too much.
    pub kept_out_until: Option<Time>,
    /// When the hold timer of the session that is furthest fires, if it runs.
    pub hold_until: Option<Time>,
    /// When the next attempt to connect is made, if one is waited for.
    pub retry_at: Option<Time>,
}
