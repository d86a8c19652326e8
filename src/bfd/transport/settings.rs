//! What the door is told: where a session leads, and so by which socket its
//! packets come in.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};

use crate::bfd::machine::{Path, Settings};
use crate::reactor::Kind;
use crate::reactor::datagram::Received;

/// The token kinds that this door's sources carry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kinds {
    /// Listeners.
    pub listener: Kind,
    /// Timers of sessions.
    pub session: Kind,
}

/// Where both ends listen. Others than the default are for tests: no router
/// can be told of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ports {
    /// For sessions over one hop.
    pub single_hop: u16,
    /// For sessions over several.
    pub multihop: u16,
}

impl Default for Ports {
    /// RFC 5881 §4 and RFC 5883 §5.
    fn default() -> Ports {
        Ports { single_hop: 3784, multihop: 4784 }
    }
}

/// A session with one neighbour.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionSettings {
    /// The neighbour's name towards the owner of the door.
    pub id: u32,
    /// The neighbour's address.
    pub remote: IpAddr,
    /// Ours; `None`: what the routes say.
    pub local: Option<IpAddr>,
    /// The index of the interface that leads there, which link-local addresses
    /// need; `None`: what the routes say.
    pub interface: Option<u32>,
    /// Intervals and the like.
    pub session: Settings,
}

impl SessionSettings {
    /// Whether the two are the same session, however its intervals differ.
    pub(super) fn is_same_path(&self, other: &SessionSettings) -> bool {
        let ends = |s: &SessionSettings| (s.remote, s.local, s.interface);
        ends(self) == ends(other) && self.channel() == other.channel()
    }

    pub(super) fn channel(&self) -> Channel {
        match (self.session.path, self.remote) {
            (Path::SingleHop, IpAddr::V4(_)) => Channel::SingleHopV4,
            (Path::SingleHop, IpAddr::V6(_)) => Channel::SingleHopV6,
            (Path::Multihop { .. }, IpAddr::V4(_)) => Channel::MultihopV4,
            (Path::Multihop { .. }, IpAddr::V6(_)) => Channel::MultihopV6,
        }
    }

    /// Whether a first packet belongs here. RFC 5881 §3 goes by the interface
    /// and the neighbour, RFC 5883 §3 by both addresses.
    pub(super) fn matches(&self, channel: Channel, received: &Received) -> bool {
        self.channel() == channel
            && self.remote == received.source.ip()
            && (self.local.is_none() || self.local == received.local)
            && (self.interface.is_none() || self.interface == received.interface)
    }

    pub(super) fn socket_address(&self, address: IpAddr, port: u16) -> SocketAddr {
        match address {
            IpAddr::V4(_) => SocketAddr::new(address, port),
            IpAddr::V6(address) => {
                let scope = match address.is_unicast_link_local() {
                    true => self.interface.unwrap_or_default(),
                    false => 0,
                };
                SocketAddrV6::new(address, port, 0, scope).into()
            }
        }
    }
}

/// What a listener is for; the number is its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Channel {
    SingleHopV4,
    SingleHopV6,
    MultihopV4,
    MultihopV6,
}

impl Channel {
    pub(super) const ALL: [Channel; 4] =
        [Channel::SingleHopV4, Channel::SingleHopV6, Channel::MultihopV4, Channel::MultihopV6];

    pub(super) fn port(self, ports: Ports) -> u16 {
        match self {
            Channel::SingleHopV4 | Channel::SingleHopV6 => ports.single_hop,
            Channel::MultihopV4 | Channel::MultihopV6 => ports.multihop,
        }
    }

    pub(super) fn any(self) -> IpAddr {
        match self {
            Channel::SingleHopV4 | Channel::MultihopV4 => Ipv4Addr::UNSPECIFIED.into(),
            Channel::SingleHopV6 | Channel::MultihopV6 => Ipv6Addr::UNSPECIFIED.into(),
        }
    }
}
