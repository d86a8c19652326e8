//! The end of a session, as a value.

use super::message::notification::{Notification, cease, code};

/// The end of a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Down {
    /// Why.
    pub reason: DownReason,
    /// Whether the neighbour had shown an acceptable OPEN: only then may a
    /// back-off follow.
    pub had_open: bool,
    /// Whether it had been established.
    pub was_established: bool,
}

/// Why a session ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DownReason {
    /// We sent this NOTIFICATION.
    Sent(Notification),
    /// The neighbour sent this NOTIFICATION.
    Received(Notification),
    /// The connection was closed or reset.
    ConnectionClosed,
    /// It was stopped before it had a connection.
    Stopped,
}

impl std::fmt::Display for DownReason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            DownReason::Sent(n) => write!(f, "sent {n}"),
            DownReason::Received(n) => write!(f, "received {n}"),
            DownReason::ConnectionClosed => f.write_str("connection closed"),
            DownReason::Stopped => f.write_str("stopped"),
        }
    }
}

impl DownReason {
    /// Whether the session ended only because another with the neighbour is
    /// kept (RFC 4271 §6.8).
    pub fn is_collision(&self) -> bool {
        match self {
            DownReason::Sent(n) | DownReason::Received(n) => {
                n.code == code::CEASE && n.subcode == cease::CONNECTION_COLLISION_RESOLUTION
            }
            DownReason::ConnectionClosed | DownReason::Stopped => false,
        }
    }
}
