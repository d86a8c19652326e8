//! What the data plane is to do, as a value.

use std::net::SocketAddr;
use std::time::Duration;

use super::limits::SourceSettings;
use super::opening::HeaderSettings;
use super::udp::UdpListenerSettings;

/// What the data plane is to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProxySettings {
    /// Where to listen.
    pub listeners: Vec<ListenerSettings>,
    /// How to listen on the ports of the routes; the port here means nothing.
    pub dynamic: Vec<ListenerSettings>,
    /// Where to listen for datagrams.
    pub udp_listeners: Vec<UdpListenerSettings>,
    /// How long one target may take to accept.
    pub dial_timeout: Duration,
    /// A connection without a byte for this long is closed; zero: never.
    pub idle_timeout: Duration,
    /// The same for one of which one side has ended its stream; zero: as if it
    /// had not.
    pub half_closed_timeout: Duration,
    /// Most connections at a time, as far as the descriptor limit allows;
    /// zero: that many, or [`CONNECTIONS`](super::CONNECTIONS).
    pub connection_limit: u32,
    /// How many connections each source of clients may have.
    pub sources: SourceSettings,
    /// How long connections go on whose target left the routes; `None`: until
    /// they end by themselves.
    pub removed_target_wait: Option<Duration>,
}

/// One listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListenerSettings {
    /// Where to listen.
    pub address: SocketAddr,
    /// One IPv6 socket that serves IPv4 as well.
    pub dual_stack: bool,
    /// `address` may be one that this host does not have (yet).
    pub freebind: bool,
    /// Longest wait for bytes from the client; zero: none.
    pub read_timeout: Duration,
    /// Longest wait for the client to take bytes; zero: none.
    pub write_timeout: Duration,
    /// PROXY headers of clients.
    pub header: Option<HeaderSettings>,
    /// How long a client may take for its ClientHello, whose server name has
    /// the route; `None`: the route is that of the port.
    pub hello_timeout: Option<Duration>,
    /// Most connections at a time; zero: no limit of its own.
    pub connection_limit: u32,
    /// It is there because a route names its port.
    pub dynamic: bool,
}

impl Default for ProxySettings {
    /// What a configuration without a word about them asks for.
    fn default() -> ProxySettings {
        ProxySettings {
            listeners: Vec::new(),
            dynamic: Vec::new(),
            udp_listeners: Vec::new(),
            dial_timeout: Duration::from_secs(30),
            idle_timeout: Duration::ZERO,
            half_closed_timeout: Duration::ZERO,
            connection_limit: 0,
            sources: SourceSettings::default(),
            removed_target_wait: None,
        }
    }
}

impl ProxySettings {
    /// Whether a listener that they name has this port.
    pub(super) fn name_port(&self, port: u16) -> bool {
        self.listeners.iter().any(|listener| listener.address.port() == port)
    }
}

impl ListenerSettings {
    /// A listener for connections whose route is that of its port, without
    /// limits.
    pub fn new(address: SocketAddr) -> ListenerSettings {
        ListenerSettings {
            address,
            dual_stack: false,
            freebind: false,
            read_timeout: Duration::ZERO,
            write_timeout: Duration::ZERO,
            header: None,
            hello_timeout: None,
            connection_limit: 0,
            dynamic: false,
        }
    }
}
