//! The configuration, as each room wants it. Rooms do not read the
//! configuration themselves, so that facts travel in one direction.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use crate::announce;
use crate::bgp::export::NextHops;
use crate::bgp::message::prefix::{Family, FamilySet};
use crate::bgp::negotiation::Terms;
use crate::bgp::peer::{Import, PeerSettings};
use crate::bgp::transport::{Kinds, PeerTransport, TransportSettings};
use crate::config::{
    AnnouncePolicy, BgpConfig, ListenerConfig, PeerConfig, Protocol, ProxyConfig, Strategy,
};
use crate::proxy::{ListenerSettings, ProxySettings};
use crate::reactor::Kind;
use crate::route::pick;

/// The token kinds of the daemon's own speaker.
pub(super) const BGP_KINDS: Kinds =
    Kinds { listener: Kind::BgpListener, session: Kind::BgpSession, peer: Kind::BgpPeer };

/// TTL of a neighbour on the link (RFC 4271 leaves it open; one hop is what
/// eBGP speakers use), and of GTSM (RFC 5082 §3).
const EBGP_TTL: u8 = 1;
const GTSM_TTL: u8 = 255;

/// The neighbours, as sessions see them.
pub(super) fn peers(config: &BgpConfig) -> Vec<PeerSettings> {
    // Families are those of what is announced, whatever address the neighbour
    // is reached at.
    let families: FamilySet = config.anycast_addresses.iter().map(Family::of).collect();
    config.peers.iter().map(|peer| peer_settings(config, peer, families)).collect()
}

fn peer_settings(config: &BgpConfig, peer: &PeerConfig, families: FamilySet) -> PeerSettings {
    let terms = Terms {
        asn: config.asn,
        identifier: config.router_id,
        peer_asn: peer.asn,
        hold_time: u16::try_from(peer.hold_time.as_secs()).unwrap_or(u16::MAX),
        keepalive: peer.keepalive,
        families,
        connect_retry: config.connect_retry,
        passive: peer.passive,
    };
    PeerSettings {
        address: peer.address,
        terms,
        next_hops: next_hops(config),
        import: Import::Reject,
    }
}

/// `bgp.nexthop`, else the router id, for IPv4; `bgp.nexthop6`, else the
/// session's own address, for IPv6. The unspecified address of either family
/// stands for the session's own.
fn next_hops(config: &BgpConfig) -> NextHops {
    let ipv4 = config.next_hop.unwrap_or(config.router_id);
    NextHops {
        ipv4: Some(ipv4).filter(|address| *address != Ipv4Addr::UNSPECIFIED),
        ipv6: config.next_hop6.filter(|address| !address.is_unspecified()),
    }
}

/// The neighbours, as sockets see them, and the listeners.
pub(super) fn transport(config: &BgpConfig) -> TransportSettings {
    let listen = config
        .listen_port
        .map(|port| config.listen_addresses.iter().map(|a| SocketAddr::new(*a, port)).collect())
        .unwrap_or_default();
    let peers = config.peers.iter().map(|peer| peer_transport(config, peer)).collect();
    TransportSettings { listen, peers, kinds: BGP_KINDS }
}

fn peer_transport(config: &BgpConfig, peer: &PeerConfig) -> PeerTransport {
    // fabio dials from the router id as soon as `port=` is given; where that
    // address cannot be used, fabio never connects, and we let the system
    // choose.
    let from_router_id = || {
        let router_id = IpAddr::V4(config.router_id);
        (peer.port_given && peer.address.is_ipv4()).then_some(router_id)
    };
    let ebgp_ttl = (peer.asn != config.asn).then_some(EBGP_TTL);
    let ttl = match (peer.ttl_security_hops, peer.multihop_ttl) {
        (Some(_), _) => Some(GTSM_TTL),
        (None, Some(ttl)) => Some(ttl),
        (None, None) => ebgp_ttl,
    };
    PeerTransport {
        remote: SocketAddr::new(peer.address, peer.port),
        source: peer.source.or_else(from_router_id),
        source_required: peer.source.is_some(),
        md5_key: peer.password.as_ref().map(|p| p.expose().as_bytes().to_vec()),
        ttl,
        // RFC 5082 §3: what comes from `hops` away has lost hops − 1.
        minimum_ttl: peer.ttl_security_hops.map(|hops| GTSM_TTL.saturating_sub(hops - 1)),
        user_timeout: (!peer.hold_time.is_zero()).then_some(peer.hold_time),
    }
}

/// Listeners and limits, as the data plane wants them.
pub(super) fn proxy(config: &ProxyConfig) -> ProxySettings {
    let listener = |listener: &ListenerConfig| {
        let Protocol::Tcp = listener.protocol;
        ListenerSettings {
            address: listener.address,
            dual_stack: listener.dual_stack,
            read_timeout: listener.read_timeout,
            write_timeout: listener.write_timeout,
        }
    };
    ProxySettings {
        listeners: config.listeners.iter().map(listener).collect(),
        dial_timeout: config.dial_timeout,
        idle_timeout: config.idle_timeout,
        connection_limit: config.connection_limit,
    }
}

/// `bgp.announce`, as the announcer wants it.
pub(super) fn announce_policy(config: &BgpConfig) -> announce::Policy {
    match config.announce {
        AnnouncePolicy::Ready => announce::Policy::Ready,
        AnnouncePolicy::Always => announce::Policy::Always,
    }
}

/// `proxy.strategy`, as the picker wants it.
pub(super) fn strategy(strategy: Strategy) -> pick::Strategy {
    match strategy {
        Strategy::Random => pick::Strategy::Random,
        Strategy::RoundRobin => pick::Strategy::RoundRobin,
    }
}
