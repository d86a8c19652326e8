//! What the data plane is to do, as a value.

use std::net::SocketAddr;
use std::time::Duration;

use super::udp::UdpListenerSettings;

/// What the data plane is to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProxySettings {
    /// Where to listen.
    pub listeners: Vec<ListenerSettings>,
    /// Where to listen for datagrams.
    pub udp_listeners: Vec<UdpListenerSettings>,
    /// How long one target may take to accept.
    pub dial_timeout: Duration,
    /// A connection without a byte for this long is closed; zero: never.
    pub idle_timeout: Duration,
    /// Most connections at a time, as far as the descriptor limit allows;
    /// zero: that many, or [`CONNECTIONS`](super::CONNECTIONS).
    pub connection_limit: u32,
}

/// One listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListenerSettings {
    /// Where to listen.
    pub address: SocketAddr,
    /// One IPv6 socket that serves IPv4 as well.
    pub dual_stack: bool,
    /// Longest wait for bytes from the client; zero: none.
    pub read_timeout: Duration,
    /// Longest wait for the client to take bytes; zero: none.
    pub write_timeout: Duration,
}
