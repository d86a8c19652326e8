//! What the door is told: where neighbours are, and how the connections with
//! them are made.

use std::io;
use std::net::{IpAddr, SocketAddr, SocketAddrV6};
use std::time::Duration;

use ipnet::IpNet;

use crate::bgp::peer_settings::PeerSettings;
use crate::reactor::Kind;
use crate::reactor::datagram::interface_index;

/// The token kinds that this speaker's sources carry, so that two speakers can
/// share a loop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kinds {
    /// Listeners.
    pub listener: Kind,
    /// Connections.
    pub session: Kind,
    /// Timers of neighbours.
    pub peer: Kind,
}

/// How the connections with one neighbour are made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerTransport {
    /// Where the neighbour listens.
    pub remote: SocketAddr,
    /// The name of the interface that a link-local neighbour is on. It is
    /// looked up whenever it is needed, so that it may come and go.
    pub interface: Option<String>,
    /// The local address of our connections.
    pub source: Option<IpAddr>,
    /// Whether a source address that is not on this host is an error, or else
    /// only a preference.
    pub source_required: bool,
    /// The TCP MD5 key (RFC 2385).
    pub md5_key: Option<Vec<u8>>,
    /// The TTL of our packets; `None`: the system's.
    pub ttl: Option<u8>,
    /// GTSM (RFC 5082): the smallest TTL that is let in.
    pub minimum_ttl: Option<u8>,
    /// How long sent octets may stay unacknowledged (TCP_USER_TIMEOUT).
    pub user_timeout: Option<Duration>,
}

impl PeerTransport {
    /// The index of the neighbour's interface, now; 0 for a neighbour that
    /// needs none.
    ///
    /// # Errors
    /// NotFound when the interface does not exist.
    pub(super) fn scope(&self) -> io::Result<u32> {
        let Some(name) = &self.interface else { return Ok(0) };
        interface_index(name).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => {
                io::Error::new(error.kind(), format!("interface {name} does not exist"))
            }
            _ => error,
        })
    }

    /// Whether a connection from `remote` is this neighbour's. A link-local
    /// address says who it is only together with its link (RFC 4007 §6).
    pub(super) fn is_at(&self, remote: SocketAddr) -> bool {
        let scope = match remote {
            SocketAddr::V6(remote) => remote.scope_id(),
            SocketAddr::V4(_) => 0,
        };
        self.remote.ip() == remote.ip()
            && (self.interface.is_none() || self.scope().is_ok_and(|index| index == scope))
    }
}

/// The address as sockets want it: a link-local one with its interface.
pub(super) fn scoped(address: SocketAddr, scope: u32) -> SocketAddr {
    match address.ip() {
        IpAddr::V6(ip) if ip.is_unicast_link_local() => {
            SocketAddrV6::new(ip, address.port(), 0, scope).into()
        }
        _ => address,
    }
}

/// Neighbours that are not known one by one: whoever connects from the prefix.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// Where they are.
    pub prefix: IpNet,
    /// Most of them at a time.
    pub limit: usize,
    /// How long one is kept after its connection is gone: if it comes back
    /// meanwhile, it goes on with its counters, and what was complained of
    /// once is not complained of again. A full group does not wait for it.
    pub keep: Duration,
    /// How to speak with each. The name is that of the group; the address
    /// means nothing.
    pub peer: PeerSettings,
    /// How the connections with each are. The address means nothing.
    pub transport: PeerTransport,
}

/// How the speaker is reached and reaches others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TransportSettings {
    /// Where to listen; empty: nowhere.
    pub listen: Vec<SocketAddr>,
    /// One for each of the speaker's neighbours, in its order.
    pub peers: Vec<PeerTransport>,
    /// Who may come besides.
    pub groups: Vec<Group>,
    /// The token kinds.
    pub kinds: Kinds,
}

#[cfg(test)]
impl PeerTransport {
    /// Nothing but an address.
    pub(super) fn plain(remote: SocketAddr) -> PeerTransport {
        PeerTransport {
            remote,
            interface: None,
            source: None,
            source_required: false,
            md5_key: None,
            ttl: None,
            minimum_ttl: None,
            user_timeout: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> SocketAddr {
        text.parse().expect("an address")
    }

    #[test]
    fn a_link_local_neighbour_is_known_by_its_interface_as_well() {
        let loopback = interface_index("lo").expect("every host has it");
        let on = |interface: &str| PeerTransport {
            interface: Some(interface.to_owned()),
            ..PeerTransport::plain(address("[fe80::1]:179"))
        };
        let from = |scope| scoped(address("[fe80::1]:4711"), scope);
        assert_eq!(from(7).to_string(), "[fe80::1%7]:4711");
        assert!(on("lo").is_at(from(loopback)));
        assert!(!on("lo").is_at(from(loopback + 1)));
        assert!(!on("lo").is_at(scoped(address("[fe80::2]:4711"), loopback)));
        assert!(!on("no-such-one").is_at(from(0)), "an interface that is not there is no scope");
        let error = on("no-such-one").scope().expect_err("it does not exist");
        assert_eq!(error.to_string(), "interface no-such-one does not exist");
        let global = address("[2001:db8::1]:179");
        assert!(PeerTransport::plain(global).is_at(address("[2001:db8::1]:4711")));
        assert_eq!(scoped(global, 7), global);
        assert_eq!(PeerTransport::plain(global).scope().expect("none is needed"), 0);
    }
}
