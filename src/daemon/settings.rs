//! The configuration, as each room wants it. Rooms do not read the
//! configuration themselves, so that facts travel in one direction.

mod announcing;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use ipnet::IpNet;

pub(super) use self::announcing::{announcing, drain_limits, hosts, path, rules};
use super::checks;
use crate::bfd::machine;
use crate::bfd::transport::{Kinds as BfdKinds, SessionSettings};
use crate::bgp::export::{NextHops, Overrides};
use crate::bgp::message::prefix::{Family, FamilySet};
use crate::bgp::negotiation::Terms;
use crate::bgp::offer::{AddPath, Offer, RestartOffer};
use crate::bgp::peer_settings::{Import, PeerSettings, PrefixLimit};
use crate::bgp::rib::originated::NextHop;
use crate::bgp::role::Role;
use crate::bgp::transport::{Group, Kinds, PeerTransport, TransportSettings};
use crate::config::{
    AccessLogConfig, AccessLogTarget, AttributeConfig, BgpConfig, CapabilityConfig, Config,
    HealthConfig, ListenerConfig, NextHopConfig, PeerConfig, Protocol, ProxyHeaderConfig,
    RemoteConfig, RemovedTargets, RoleConfig, Strategy,
};
use crate::health::ejection;
use crate::health::knock::KnockSettings;
use crate::health::{HealthDefaults, Thresholds};
use crate::proxy::access_log::Format;
use crate::proxy::limits::SourceSettings;
use crate::proxy::proxy_header::{HeaderPolicy, Mode, TrustedSources};
use crate::proxy::udp::UdpListenerSettings;
use crate::proxy::{HeaderSettings, ListenerSettings, ProxySettings};
use crate::reactor::Kind;
use crate::route::pick;

/// The token kinds of the daemon's own speaker.
pub(super) const BGP_KINDS: Kinds =
    Kinds { listener: Kind::BgpListener, session: Kind::BgpSession, peer: Kind::BgpPeer };

pub(super) const BFD_KINDS: BfdKinds = BfdKinds { listener: Kind::BfdListener, session: Kind::Bfd };

/// How long a neighbour of a prefix is remembered after its connection is gone:
/// longer than a router takes to restart BGP and come back.
const KEEP_GROUP_NEIGHBOUR: Duration = Duration::from_secs(60);

/// TTL of a neighbour on the link (RFC 4271 leaves it open; one hop is what
/// eBGP speakers use), and of GTSM (RFC 5082 §3).
const EBGP_TTL: u8 = 1;
const GTSM_TTL: u8 = 255;

/// The neighbours, as sessions see them.
pub(super) fn peers(config: &BgpConfig) -> Vec<PeerSettings> {
    known(config).map(|(peer, address)| peer_settings(config, peer, address)).collect()
}

/// The neighbours that are known by their address, in the order of their
/// numbers in the speaker.
fn known(config: &BgpConfig) -> impl Iterator<Item = (&PeerConfig, IpAddr)> {
    config.peers.iter().filter_map(|peer| Some((peer, peer.remote.address()?)))
}

/// Those that are known by a prefix, in the order of the door's groups.
fn unknown(config: &BgpConfig) -> impl Iterator<Item = (&PeerConfig, IpNet, u32)> {
    config.peers.iter().filter_map(|peer| match peer.remote {
        RemoteConfig::Prefix { prefix, limit } => Some((peer, prefix, limit)),
        RemoteConfig::Address { .. } => None,
    })
}

fn peer_settings(config: &BgpConfig, peer: &PeerConfig, address: IpAddr) -> PeerSettings {
    // Families are those of what is announced, whatever address the neighbour
    // is reached at.
    let families: FamilySet = prefixes(config).iter().map(Family::of).collect();
    let terms = Terms {
        asn: config.asn,
        identifier: config.router_id,
        peer_asn: peer.asn,
        hold_time: u16::try_from(peer.hold_time.as_secs()).unwrap_or(u16::MAX),
        keepalive: peer.keepalive,
        families,
        connect_retry: config.connect_retry,
        passive: peer.passive,
        offer: offer(&peer.capabilities),
    };
    PeerSettings {
        name: peer.name.clone(),
        group: None,
        address,
        terms,
        next_hops: next_hops(config),
        overrides: overrides(&peer.attributes),
        import: Import::Reject,
        advertisement_interval: peer.advertisement_interval,
        limit: peer.prefix_limit.map(|limit| PrefixLimit {
            maximum: limit.maximum,
            warning: limit.warning,
            restart: limit.restart,
        }),
    }
}

/// What our OPEN offers.
fn offer(config: &CapabilityConfig) -> Offer {
    let role = |role| match role {
        RoleConfig::Provider => Role::Provider,
        RoleConfig::RouteServer => Role::RouteServer,
        RoleConfig::RouteServerClient => Role::RouteServerClient,
        RoleConfig::Customer => Role::Customer,
        RoleConfig::Peer => Role::Peer,
    };
    let restart = |time: Duration| RestartOffer {
        time: u16::try_from(time.as_secs()).unwrap_or(u16::MAX),
        restarted: false,
    };
    Offer {
        add_path: AddPath { send: config.add_path_send, receive: config.add_path_receive },
        extended_next_hop: config.extended_next_hop,
        graceful_restart: config.restart_time.map(restart),
        role: config.role.map(role),
        strict_role: config.strict_role,
        names: config.names.then(host_names),
        software_version: config
            .software_version
            .then(|| format!("burgee/{}", env!("CARGO_PKG_VERSION"))),
        plain: false,
    }
}

/// The names of the host and of its domain, which may be empty.
fn host_names() -> (String, String) {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    match name.trim().split_once('.') {
        Some((host, domain)) => (host.to_owned(), domain.to_owned()),
        None => (name.trim().to_owned(), String::new()),
    }
}

/// What is announced.
fn prefixes(config: &BgpConfig) -> Vec<IpNet> {
    config.anycast_addresses.iter().map(|anycast| anycast.prefix).collect()
}

/// What one neighbour is announced otherwise than the others.
fn overrides(attributes: &AttributeConfig) -> Overrides {
    Overrides {
        med: attributes.med,
        local_pref: attributes.local_pref,
        prepend: attributes.prepend,
        communities: attributes.communities.clone(),
        large_communities: attributes.large_communities.clone(),
        extended_communities: attributes.extended_communities.clone(),
        next_hop: attributes.next_hop.map(next_hop),
    }
}

fn next_hop(next_hop: NextHopConfig) -> NextHop {
    match next_hop {
        NextHopConfig::Own => NextHop::Own,
        NextHopConfig::Address(address) => NextHop::Address(address),
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
    let peers =
        known(config).map(|(peer, address)| peer_transport(config, peer, address)).collect();
    let group = |(peer, prefix, limit): (&PeerConfig, IpNet, u32)| Group {
        prefix,
        limit: usize::try_from(limit).unwrap_or(usize::MAX),
        keep: KEEP_GROUP_NEIGHBOUR,
        peer: peer_settings(config, peer, prefix.addr()),
        transport: peer_transport(config, peer, prefix.addr()),
    };
    TransportSettings {
        listen,
        peers,
        groups: unknown(config).map(group).collect(),
        kinds: BGP_KINDS,
    }
}

fn peer_transport(config: &BgpConfig, peer: &PeerConfig, address: IpAddr) -> PeerTransport {
    // fabio dials from the router id as soon as `port=` is given; where that
    // address cannot be used, fabio never connects, and we let the system
    // choose.
    let from_router_id = || {
        let router_id = IpAddr::V4(config.router_id);
        (peer.port_given && address.is_ipv4()).then_some(router_id)
    };
    let ebgp_ttl = (peer.asn != config.asn).then_some(EBGP_TTL);
    let ttl = match (peer.ttl_security_hops, peer.multihop_ttl) {
        (Some(_), _) => Some(GTSM_TTL),
        (None, Some(ttl)) => Some(ttl),
        (None, None) => ebgp_ttl,
    };
    PeerTransport {
        remote: SocketAddr::new(address, peer.port),
        interface: match &peer.remote {
            RemoteConfig::Address { interface, .. } => interface.clone(),
            RemoteConfig::Prefix { .. } => None,
        },
        source: peer.source.or_else(from_router_id),
        source_required: peer.source.is_some(),
        md5_key: peer.password.as_ref().map(|p| p.expose().as_bytes().to_vec()),
        ttl,
        // RFC 5082 §3: what comes from `hops` away has lost hops − 1.
        minimum_ttl: peer
            .ttl_security_hops
            .map(|hops| GTSM_TTL.saturating_sub(hops).saturating_add(1)),
        user_timeout: (!peer.hold_time.is_zero()).then_some(peer.hold_time),
    }
}

/// The BFD sessions that are there from the start. Where it is the connection
/// that says where a neighbour is, the session waits for that: see
/// [`bfd_at`].
pub(super) fn bfd(config: &BgpConfig) -> Vec<SessionSettings> {
    let all = known(config).zip(0..);
    all.filter_map(|((peer, _), id)| bfd_with(config, id, &peer.name)).collect()
}

/// The BFD session with neighbour `id`, which is called so, if its address
/// alone says where it is.
pub(super) fn bfd_with(config: &BgpConfig, id: u32, name: &str) -> Option<SessionSettings> {
    let peer = config.peers.iter().find(|peer| peer.name == name)?;
    let address = peer.remote.address().filter(|_| !peer.remote.is_link_local())?;
    bfd_session(peer, id, SocketAddr::new(address, 0))
}

/// The BFD session with neighbour `id` whose BGP session is with `remote`. Only
/// now is the interface of a link-local neighbour known for sure, and one of a
/// group known at all; `None` for all others. `name` is the neighbour's, or its
/// group's.
pub(super) fn bfd_at(
    config: &BgpConfig,
    id: u32,
    name: &str,
    remote: SocketAddr,
) -> Option<SessionSettings> {
    let peer = config.peers.iter().find(|peer| peer.name == name)?;
    let by_connection = peer.remote.is_link_local() || peer.remote.address().is_none();
    by_connection.then(|| bfd_session(peer, id, remote))?
}

fn bfd_session(peer: &PeerConfig, id: u32, remote: SocketAddr) -> Option<SessionSettings> {
    let bfd = peer.bfd?;
    // RFC 5883 §5 leaves the smallest TTL to the operator; some speakers send
    // with 64 over several hops, so none is asked for.
    let path = match peer.multihop_ttl {
        Some(_) => machine::Path::Multihop { minimum_ttl: 0 },
        None => machine::Path::SingleHop,
    };
    let interface = match remote {
        SocketAddr::V6(remote) => Some(remote.scope_id()).filter(|index| *index != 0),
        SocketAddr::V4(_) => None,
    };
    Some(SessionSettings {
        id,
        remote: remote.ip(),
        local: peer.source,
        interface,
        session: machine::Settings {
            min_tx: bfd.interval,
            min_rx: bfd.interval,
            multiplier: bfd.multiplier,
            path,
        },
    })
}

/// Listeners and limits, as the data plane wants them.
pub(super) fn proxy(whole: &Config) -> ProxySettings {
    let config = &whole.proxy;
    let listeners: Vec<ListenerConfig> =
        config.listeners.iter().map(|it| bound_in_time(it, &whole.bgp)).collect();
    let all = || listeners.iter();
    let is_dynamic = |it: &&ListenerConfig| it.protocol == Protocol::TcpDynamic;
    ProxySettings {
        listeners: all().filter(|it| !is_dynamic(it)).filter_map(stream_listener).collect(),
        dynamic: all().filter(is_dynamic).filter_map(stream_listener).collect(),
        udp_listeners: all().filter_map(datagram_listener).collect(),
        dial_timeout: config.dial_timeout,
        idle_timeout: config.idle_timeout,
        half_closed_timeout: config.half_closed_timeout,
        connection_limit: config.connection_limit,
        sources: SourceSettings {
            limit: config.source_limit,
            ipv4_prefix: config.source_prefix4,
            ipv6_prefix: config.source_prefix6,
            ..SourceSettings::default()
        },
        removed_target_wait: match config.removed_targets {
            RemovedTargets::Drain => None,
            RemovedTargets::CutAfter(wait) => Some(wait),
        },
    }
}

/// A listener on an address that `bgp.vip` puts on the host only when its prefix
/// is announced, which waits for the listener.
fn bound_in_time(listener: &ListenerConfig, bgp: &BgpConfig) -> ListenerConfig {
    let is_managed = bgp.enabled && bgp.vip.is_some();
    let is_late = is_managed && hosts(bgp).any(|address| address == listener.address.ip());
    ListenerConfig { freebind: listener.freebind || is_late, ..listener.clone() }
}

/// The format of the access log; `None`: there is none.
///
/// # Errors
/// What is wrong with it, as a sentence with the key.
pub(super) fn access_log(config: &AccessLogConfig) -> Result<Option<Format>, String> {
    let Some(AccessLogTarget::Stdout) = config.target else { return Ok(None) };
    let format = Format::compile(&config.format);
    format.map(Some).map_err(|problem| format!("log.access.format: {problem}"))
}

fn stream_listener(listener: &ListenerConfig) -> Option<ListenerSettings> {
    let hello_timeout = match listener.protocol {
        Protocol::Tcp | Protocol::TcpDynamic => None,
        Protocol::TcpSni { hello_timeout } => Some(hello_timeout),
        Protocol::Udp { .. } => return None,
    };
    Some(ListenerSettings {
        address: listener.address,
        dual_stack: listener.dual_stack,
        freebind: listener.freebind,
        read_timeout: listener.read_timeout,
        write_timeout: listener.write_timeout,
        header: listener.proxy_header.as_ref().map(header),
        hello_timeout,
        connection_limit: listener.connection_limit,
        dynamic: listener.protocol == Protocol::TcpDynamic,
    })
}

fn header(config: &ProxyHeaderConfig) -> HeaderSettings {
    let trusted = match config.trusted.as_slice() {
        [] => TrustedSources::everybody(),
        prefixes => TrustedSources::new(prefixes.iter().copied()),
    };
    let mode = if config.strict { Mode::Strict } else { Mode::Lenient };
    HeaderSettings { policy: HeaderPolicy { mode, trusted }, timeout: config.timeout }
}

fn datagram_listener(listener: &ListenerConfig) -> Option<UdpListenerSettings> {
    match listener.protocol {
        Protocol::Udp { idle_timeout, flow_limit } => Some(UdpListenerSettings {
            address: listener.address,
            dual_stack: listener.dual_stack,
            freebind: listener.freebind,
            idle_timeout,
            flow_limit,
        }),
        Protocol::Tcp | Protocol::TcpSni { .. } | Protocol::TcpDynamic => None,
    }
}

/// `health.*`, as checks and judgements want it.
pub(super) fn health(config: &HealthConfig) -> HealthDefaults {
    let defaults = HealthDefaults::default();
    HealthDefaults {
        interval: config.interval,
        timeout: config.timeout,
        thresholds: Thresholds { rise: config.rise, fall: config.fall },
        // What cannot be read was refused before (`Daemon::check`).
        kind: checks::default_kind(&config.check).unwrap_or(defaults.kind),
        fast_interval: config.fast_interval,
        ejection: ejection::Rules {
            after: config.eject_after,
            time: config.eject_time,
            max_time: config.eject_max_time,
        },
        eject_limit: config.eject_limit,
        when_none_all: config.when_none_all,
    }
}

/// The same, as knocks want it.
pub(super) fn knocks(config: &HealthConfig) -> KnockSettings {
    KnockSettings { interval: config.interval, timeout: config.timeout }
}

/// `proxy.strategy`, as the picker wants it.
pub(super) fn strategy(strategy: Strategy) -> pick::Strategy {
    match strategy {
        Strategy::Random => pick::Strategy::Random,
        Strategy::RoundRobin => pick::Strategy::RoundRobin,
        Strategy::Least => pick::Strategy::Least,
        Strategy::Hash => pick::Strategy::Hash,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config;

    pub(super) fn bgp(prefixes: &str, peers: &str) -> BgpConfig {
        let arguments = [
            "-proxy.addr=:80;proto=tcp".to_owned(),
            "-bgp.enabled=true".to_owned(),
            "-bgp.routerid=198.51.100.1".to_owned(),
            "-bgp.nexthop6=2001:db8::1".to_owned(),
            format!("-bgp.anycastaddresses={prefixes}"),
            format!("-bgp.peers={peers}"),
        ];
        let no_file = |_: &str| Err(std::io::Error::from(std::io::ErrorKind::NotFound));
        config::load(&arguments, &[], &no_file).expect("a valid configuration").config.bgp
    }

    pub(super) const ATTRIBUTES: &str = "med=10;localpref=200;prepend=3;communities=65000:1;\
                              largecommunities=1:2:3;extcommunities=0x0102030405060708;\
                              nexthop=198.51.100.9";

    #[test]
    fn what_a_neighbour_says_goes_before_and_all_families_are_offered() {
        let peers = format!(
            "name=tor1;address=198.51.100.2;asn=1;{ATTRIBUTES},\
             address=198.51.100.3;asn=1;nexthop=self"
        );
        let settings = super::peers(&bgp("192.0.2.10/32,2001:db8::10/128;peers=tor1", &peers));
        let expected = Overrides {
            med: Some(10),
            local_pref: Some(200),
            prepend: 3,
            communities: vec![0xfde8_0001],
            large_communities: vec![[1, 2, 3]],
            extended_communities: vec![[1, 2, 3, 4, 5, 6, 7, 8]],
            next_hop: Some(NextHop::Address("198.51.100.9".parse().expect("an address"))),
        };
        assert_eq!((settings[0].name.as_str(), &settings[0].overrides), ("tor1", &expected));
        let own = Overrides { next_hop: Some(NextHop::Own), ..Overrides::default() };
        assert_eq!((settings[1].name.as_str(), &settings[1].overrides), ("198.51.100.3", &own));
        let all: FamilySet = Family::ALL.into_iter().collect();
        assert!(settings.iter().all(|peer| peer.terms.families == all));
    }

    #[test]
    fn every_kind_of_neighbour_reaches_the_door_and_the_speaker() {
        let peers = "name=racks;prefix=10.1.0.0/16;asn=65000;limit=7;ttlsecurity=2;password=x,\
                     name=tor1;address=fe80::1%eth0;asn=65001;source=fe80::2,\
                     name=tor2;address=198.51.100.2;asn=1";
        let config = bgp("192.0.2.10/32;peers=racks tor1", peers);
        let names: Vec<String> = super::peers(&config).into_iter().map(|peer| peer.name).collect();
        assert_eq!(names, ["tor1", "tor2"]);
        let TransportSettings { peers, groups, .. } = transport(&config);
        assert_eq!(peers[0].interface.as_deref(), Some("eth0"));
        assert_eq!((peers[0].source, peers[0].ttl), ("fe80::2".parse().ok(), Some(1)));
        assert_eq!((peers[1].interface.clone(), peers.len()), (None, 2));
        let [racks] = &groups[..] else { panic!("{groups:?}") };
        assert_eq!((racks.prefix.to_string().as_str(), racks.limit), ("10.1.0.0/16", 7));
        assert_eq!((racks.peer.name.as_str(), racks.peer.terms.passive), ("racks", true));
        assert_eq!((racks.transport.ttl, racks.transport.minimum_ttl), (Some(255), Some(254)));
        assert_eq!(racks.transport.md5_key.as_deref(), Some(&b"x"[..]));
    }

    #[test]
    fn bfd_waits_for_the_connection_that_says_where_a_neighbour_is() {
        let peers = "prefix=10.1.0.0/16;asn=1,prefix=10.2.0.0/16;asn=1;bfd=true,\
                     name=link;address=fe80::1%eth0;asn=1;bfd=true;source=fe80::2,\
                     address=198.51.100.2;asn=1;bfd=true,address=198.51.100.3;asn=1";
        let config = bgp("192.0.2.10/32", peers);
        let fixed: Vec<_> =
            bfd(&config).into_iter().map(|s| (s.id, s.remote.to_string())).collect();
        assert_eq!(fixed, [(1, "198.51.100.2".to_owned())]);
        let at = |id, name, remote: &str| {
            let found = bfd_at(&config, id, name, remote.parse().expect("an address"))?;
            Some((found.id, found.remote.to_string(), found.local, found.interface))
        };
        let source = "fe80::2".parse().ok();
        let link_local = (0, "fe80::1".to_owned(), source, Some(7));
        assert_eq!(at(0, "link", "[fe80::1%7]:179"), Some(link_local));
        assert_eq!(at(1, "198.51.100.2", "198.51.100.2:179"), None, "it is there already");
        assert_eq!(at(9, "10.1.0.0/16", "10.1.0.1:4711"), None, "none is wanted");
        let member = (9, "10.2.0.1".to_owned(), None, None);
        assert_eq!(at(9, "10.2.0.0/16", "10.2.0.1:4711"), Some(member));
        assert_eq!(at(9, "nobody", "10.2.0.1:4711"), None);
    }
}
