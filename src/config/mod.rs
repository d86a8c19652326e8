//! What the operator wrote, as one plain comparable value.
//!
//! Sources (flags, environment, properties file) are merged key by key, each
//! value is parsed by the type that the one table in [`options`] gives its
//! key, and the whole is checked before anything is started. A [`Config`]
//! that exists is valid.
//!
//! To read the room: `properties`, `expansion`, `kv_list`, `values` and the
//! reactor's `duration` are the grammars; `command_line` and `settings` merge the sources;
//! `reader` takes values out of the settings, for `load`, `listeners`, `proxy_header`, `bgp`,
//! `anycast`, `peers`, `peer_remote`, `peer_templates` and `attributes`; `bgp_rules` and `announcement_rules`
//! look at what does not go together; `address` and `templates` are for addresses to
//! listen on; `report` gathers what is wrong; `change` is
//! the difference of two configurations; `check` and `help` print. None of them
//! opens a file or looks into the environment.

mod address;
mod announcement_rules;
mod anycast;
mod attributes;
mod bgp;
mod bgp_rules;
mod capabilities;
pub mod change;
mod check;
mod command_line;
mod expansion;
pub mod help;
mod kv_list;
mod listeners;
mod load;
pub(crate) mod nearest;
pub mod options;
mod peer_remote;
mod peer_templates;
mod peers;
mod properties;
mod proxy_header;
mod reader;
mod report;
mod settings;
mod templates;
#[cfg(test)]
mod testing;
mod values;

pub use crate::reactor::duration;
pub use check::Effective;
pub use command_line::{DifferenceRequest, Request, difference, request};
pub use load::{LoadError, Loaded, ReadFile, Sources, load};

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use ipnet::IpNet;

/// The whole configuration. Comparable, so that a reload is a difference of
/// two values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// `proxy.*`
    pub proxy: ProxyConfig,
    /// `log.*`
    pub log: LogConfig,
    /// `registry.*`
    pub registry: RegistryConfig,
    /// `health.*`
    pub health: HealthConfig,
    /// `bgp.*`
    pub bgp: BgpConfig,
    /// `config.watch`: reload when the properties file is another one.
    pub watch: bool,
}

/// `proxy.*`: listeners and the data plane.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProxyConfig {
    /// `proxy.addr`: the listeners.
    pub listeners: Vec<ListenerConfig>,
    /// `proxy.strategy`
    pub strategy: Strategy,
    /// `proxy.dialtimeout`: how long one target may take to accept.
    pub dial_timeout: Duration,
    /// `proxy.idletimeout`: a connection without a byte for this long is
    /// closed; zero: never.
    pub idle_timeout: Duration,
    /// `proxy.connectionlimit`: most proxied connections at a time; zero:
    /// what the descriptor limit allows.
    pub connection_limit: u32,
    /// `proxy.sourcelimit`: most connections of one source at a time; zero:
    /// any number.
    pub source_limit: u32,
    /// `proxy.sourceprefix4`: leading bits of an IPv4 address that are one
    /// source, 1 to 32.
    pub source_prefix4: u8,
    /// `proxy.sourceprefix6`: leading bits of an IPv6 address that are one
    /// source, 1 to 128.
    pub source_prefix6: u8,
    /// `proxy.servicelimit`: most connections to all targets of one service,
    /// where a route does not say; zero: any number.
    pub service_limit: u32,
    /// `proxy.halfclosedtimeout`: how long one direction may go on without a
    /// byte after the other has ended; zero: for ever.
    pub half_closed_timeout: Duration,
    /// `proxy.removedtargets`: what becomes of connections to a target that
    /// left the table.
    pub removed_targets: RemovedTargets,
    /// `proxy.shutdownwait`: how long connections may finish in a drain.
    pub shutdown_wait: Duration,
    /// `proxy.deregistergraceperiod`: how long everything goes on serving
    /// after the withdrawal in a drain. Unset: 2 s with BGP, else 0.
    pub deregister_grace_period: Duration,
}

/// `proxy.removedtargets`: what becomes of the connections to a target that is
/// in no route any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RemovedTargets {
    /// `drain`: they go on until they end by themselves.
    Drain,
    /// `cut`, or a duration: they are cut after this time; zero: at once.
    CutAfter(Duration),
}

/// One listener of `proxy.addr`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListenerConfig {
    /// Where to listen. `:1234` is `[::]:1234`, which serves IPv4 as well. The
    /// port is 0 with [`Protocol::TcpDynamic`].
    pub address: SocketAddr,
    /// Whether the unspecified address was left out (`:1234`): one dual-stack
    /// socket. An explicit `0.0.0.0` or `[::]` serves its own family only.
    pub dual_stack: bool,
    /// `proto=`
    pub protocol: Protocol,
    /// `rt=`, else `proxy.readtimeout`: longest wait for bytes from the
    /// client; zero: none.
    pub read_timeout: Duration,
    /// `wt=`, else `proxy.writetimeout`: longest wait for the client to take
    /// bytes; zero: none.
    pub write_timeout: Duration,
    /// `pxyproto=` and its companions: `None`: connections begin with the
    /// client's own bytes. Always so with datagrams.
    pub proxy_header: Option<ProxyHeaderConfig>,
    /// `connections=`: most connections of this listener at a time; zero: no
    /// limit of its own. Always zero with datagrams.
    pub connection_limit: u32,
}

/// `pxyproto=`, `pxytimeout=` and `pxytrusted=`: how a listener deals with the
/// header of the PROXY protocol.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProxyHeaderConfig {
    /// `pxyproto=strict`: who sends no valid header, or is not trusted, is
    /// closed. Else the header is optional, as in fabio.
    pub strict: bool,
    /// `pxytimeout=`: how long the header may take; not zero.
    pub timeout: Duration,
    /// `pxytrusted=`: whose header is believed, without host bits and at most
    /// 256; empty: everybody's.
    pub trusted: Vec<IpNet>,
}

impl ListenerConfig {
    /// Whether it serves datagrams, and not connections.
    pub fn takes_datagrams(&self) -> bool {
        matches!(self.protocol, Protocol::Udp { .. })
    }
}

/// The protocols that a listener can serve.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// `tcp`: connections are relayed to the targets of route `:port`.
    Tcp,
    /// `tcp+sni`: connections are relayed, as they are, to the targets of the
    /// route of the server name in their TLS ClientHello.
    TcpSni {
        /// `hellotimeout=`: how long the ClientHello may take; not zero.
        hello_timeout: Duration,
    },
    /// `tcp-dynamic`: a template for a listener on each port that the routes
    /// name.
    TcpDynamic,
    /// `udp`: datagrams are relayed to the `udp://` targets of route `:port`.
    Udp {
        /// `it=`: a flow without a datagram for this long is over; not zero.
        idle_timeout: Duration,
        /// `flows=`: most flows at a time; zero: as many as there may be.
        flow_limit: u32,
    },
}

/// `proxy.strategy`: how a target is picked, where a route does not say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Strategy {
    /// `rnd`: a uniform random slot of the ring.
    Random,
    /// `rr`: the ring's slots in turn.
    RoundRobin,
    /// `least`: the target with the fewest connections for its weight.
    Least,
    /// `hash`: by the client's address, the same on every instance.
    Hash,
}

/// `log.*`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogConfig {
    /// `log.level`
    pub level: log::LevelFilter,
    /// `log.access.*`
    pub access: AccessLogConfig,
}

/// `log.access.*`: a line for each connection or request that is over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccessLogConfig {
    /// `log.access.target`: where the lines go; `None`: nowhere.
    pub target: Option<AccessLogTarget>,
    /// `log.access.format`: the name of a format, or a format, which is not
    /// compiled here.
    pub format: String,
}

/// `log.access.target`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AccessLogTarget {
    /// `stdout`
    Stdout,
}

/// `registry.*`: where the route commands come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RegistryConfig {
    /// `registry.backend`, with what belongs to it.
    pub backend: Backend,
}

impl RegistryConfig {
    /// The route commands that the configuration holds itself; empty with any
    /// backend but `static`.
    pub fn static_routes(&self) -> &str {
        match &self.backend {
            Backend::Static { routes } => routes,
            Backend::File { .. } => "",
        }
    }
}

/// `registry.backend`
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Backend {
    /// `static`
    Static {
        /// `registry.static.routes`: route commands, a line each.
        routes: String,
    },
    /// `file`
    File {
        /// `registry.file.path`: the file with the route commands; not empty.
        path: String,
        /// `registry.file.pollinterval`: how often the file is looked at,
        /// whether or not the kernel has told of a change; zero: never.
        poll_interval: Duration,
    },
}

/// `health.*`: the check of every target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HealthConfig {
    /// `health.interval`: time between two checks of one target.
    pub interval: Duration,
    /// `health.timeout`: how long one check may take.
    pub timeout: Duration,
    /// `health.rise`: successes in a row that make a target healthy.
    pub rise: u32,
    /// `health.fall`: failures in a row that make a target unhealthy.
    pub fall: u32,
}

/// `bgp.*`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BgpConfig {
    /// `bgp.enabled`
    pub enabled: bool,
    /// `bgp.asn`: our AS number, never 0.
    pub asn: u32,
    /// `bgp.routerid`: the BGP identifier; unspecified while BGP is off.
    pub router_id: Ipv4Addr,
    /// `bgp.nexthop`: the next hop of IPv4 prefixes, `None` for
    /// `bgp.routerid`. 0.0.0.0 stands for the session's own address.
    pub next_hop: Option<Ipv4Addr>,
    /// `bgp.nexthop6`: the next hop of IPv6 prefixes, `None` for the
    /// session's own global address.
    pub next_hop6: Option<Ipv6Addr>,
    /// `bgp.anycastaddresses`: what to announce, no prefix twice.
    pub anycast_addresses: Vec<AnycastConfig>,
    /// `bgp.announce`
    pub announce: AnnouncePolicy,
    /// `bgp.listenport`: `None` for -1, no listener.
    pub listen_port: Option<u16>,
    /// `bgp.listenaddresses`
    pub listen_addresses: Vec<IpAddr>,
    /// `bgp.connectretry`: time between two attempts to connect.
    pub connect_retry: Duration,
    /// `bgp.peers`, with what they have of `bgp.templates`
    pub peers: Vec<PeerConfig>,
}

/// `bgp.announce`: what an announcement depends on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AnnouncePolicy {
    /// `ready`: only while the prefix can be served.
    Ready,
    /// `always`: while the process lives, as fabio does.
    Always,
}

/// One prefix of `bgp.anycastaddresses`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AnycastConfig {
    /// The prefix, without host bits.
    pub prefix: IpNet,
    /// What it is announced with, unless a neighbour's own go before it.
    pub attributes: AttributeConfig,
    /// `peers=`: the names of the neighbours that hear of it; empty: all.
    pub peers: Vec<String>,
}

impl AnycastConfig {
    /// Whether the neighbour of this name hears of the prefix.
    pub fn is_for(&self, name: &str) -> bool {
        self.peers.is_empty() || self.peers.iter().any(|peer| peer == name)
    }
}

/// What a prefix or a neighbour sets of the attributes of routes. Where both
/// do, the neighbour's counts; but prepends add up and communities are joined.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AttributeConfig {
    /// `med=`: MULTI_EXIT_DISC; `None`: it is not sent.
    pub med: Option<u32>,
    /// `localpref=`: LOCAL_PREF towards our own AS; `None`: 100.
    pub local_pref: Option<u32>,
    /// `prepend=`: how many more times our AS is in AS_PATH towards other
    /// ASes, at most 32.
    pub prepend: u8,
    /// `communities=` (RFC 1997), ascending: AS number and value, 16 bits each.
    pub communities: Vec<u32>,
    /// `largecommunities=` (RFC 8092), ascending.
    pub large_communities: Vec<[u32; 3]>,
    /// `extcommunities=` (RFC 4360), ascending.
    pub extended_communities: Vec<[u8; 8]>,
    /// `nexthop=`; `None`: `bgp.nexthop` or `bgp.nexthop6`.
    pub next_hop: Option<NextHopConfig>,
}

impl AttributeConfig {
    /// What `nexthop=` says of prefixes of one family; an address says nothing
    /// of the other.
    pub fn next_hop_of(&self, is_ipv4: bool) -> Option<NextHopConfig> {
        self.next_hop.filter(|next_hop| match next_hop {
            NextHopConfig::Own => true,
            NextHopConfig::Address(address) => address.is_ipv4() == is_ipv4,
        })
    }
}

/// `nexthop=` of a prefix or a neighbour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NextHopConfig {
    /// `self`: the session's own address of the prefix's family.
    Own,
    /// An address of the prefix's family.
    Address(IpAddr),
}

/// Who one entry of `bgp.peers` is for. As text it is what was written,
/// shortened: `192.0.2.1`, `fe80::1%eth0` or `10.1.0.0/16`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RemoteConfig {
    /// `address=`: one neighbour.
    Address {
        /// Its address.
        address: IpAddr,
        /// The name of the interface that it is on; of a link-local address,
        /// and of no other.
        interface: Option<String>,
    },
    /// `prefix=` and `limit=`: whoever connects from there.
    Prefix {
        /// From where, without host bits.
        prefix: IpNet,
        /// Most of them at a time.
        limit: u32,
    },
}

impl RemoteConfig {
    /// The address of a neighbour that is known by it.
    pub fn address(&self) -> Option<IpAddr> {
        match self {
            RemoteConfig::Address { address, .. } => Some(*address),
            RemoteConfig::Prefix { .. } => None,
        }
    }

    /// The family of the sessions.
    pub fn is_ipv4(&self) -> bool {
        match self {
            RemoteConfig::Address { address, .. } => address.is_ipv4(),
            RemoteConfig::Prefix { prefix, .. } => prefix.addr().is_ipv4(),
        }
    }

    /// Whether the sessions are of one link only, with link-local addresses
    /// at both ends.
    pub fn is_link_local(&self) -> bool {
        matches!(self, RemoteConfig::Address { interface: Some(_), .. })
    }
}

impl std::fmt::Display for RemoteConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            RemoteConfig::Address { address, interface: None } => write!(f, "{address}"),
            RemoteConfig::Address { address, interface: Some(name) } => {
                write!(f, "{address}%{name}")
            }
            RemoteConfig::Prefix { prefix, .. } => write!(f, "{prefix}"),
        }
    }
}

/// One entry of `bgp.peers`: a neighbour, or all neighbours of a prefix.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerConfig {
    /// `name=`, else the address or the prefix as text: what it is called in
    /// the log and in the `peers=` of prefixes. No two have the same.
    pub name: String,
    /// `address=`, or `prefix=` and `limit=`
    pub remote: RemoteConfig,
    /// `port=`: the neighbour's port, 179 unless set.
    pub port: u16,
    /// Whether `port=` was given at all: fabio then dials from the router id.
    pub port_given: bool,
    /// `asn=`: the neighbour's AS number, never 0.
    pub asn: u32,
    /// `multihop=` and `multihoplength=`: the TTL of our packets, when the
    /// neighbour is more than one hop away. `None`: 1 towards eBGP.
    pub multihop_ttl: Option<u8>,
    /// `ttlsecurity=`: GTSM (RFC 5082): most hops to the neighbour, 1 for a
    /// neighbour on the link. Packets with a TTL under 256 minus it are
    /// dropped by the kernel, and ours leave with 255.
    pub ttl_security_hops: Option<u8>,
    /// `password=` or the content of `passwordfile=`: the TCP MD5 key
    /// (RFC 2385).
    pub password: Option<Secret>,
    /// `passive=`: never dial, wait for the neighbour. Always so with
    /// `prefix=`.
    pub passive: bool,
    /// `source=`: the local address of our connections.
    pub source: Option<IpAddr>,
    /// `bfd=`, `bfdinterval=` and `bfdmultiplier=`
    pub bfd: Option<BfdConfig>,
    /// `holdtime=`, else `bgp.holdtime`: whole seconds, 0 or at least 3
    /// (RFC 4271 §4.2).
    pub hold_time: Duration,
    /// `keepalive=`, else `bgp.keepalive`, else a third of the negotiated
    /// hold time (RFC 4271 §4.4): `None`.
    pub keepalive: Option<Duration>,
    /// `advertisementinterval=`: least time between two announcements; zero:
    /// none.
    pub advertisement_interval: Duration,
    /// What is announced to it goes with these.
    pub attributes: AttributeConfig,
    /// What else our OPEN offers it.
    pub capabilities: CapabilityConfig,
    /// `maxprefixes=`: how much it may announce.
    pub prefix_limit: Option<PrefixLimitConfig>,
}

/// What our OPEN offers a neighbour beside families, route refresh and
/// four-octet AS numbers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CapabilityConfig {
    /// `extendednexthop=`: IPv4 routes with IPv6 next hops (RFC 8950).
    pub extended_next_hop: bool,
    /// `addpath=send` or `both` (RFC 7911).
    pub add_path_send: bool,
    /// `addpath=receive` or `both`.
    pub add_path_receive: bool,
    /// `gracefulrestart=` and `restarttime=` (RFC 4724): whole seconds, under
    /// 4096.
    pub restart_time: Option<Duration>,
    /// `role=` (RFC 9234)
    pub role: Option<RoleConfig>,
    /// `strictrole=`: refuse a neighbour without a role.
    pub strict_role: bool,
    /// `fqdn=`: tell our host name.
    pub names: bool,
    /// `softwareversion=`: tell our name and version.
    pub software_version: bool,
}

/// `role=`: what we are to the neighbour (RFC 9234 §4.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RoleConfig {
    /// `provider`
    Provider,
    /// `rs`
    RouteServer,
    /// `rs-client`
    RouteServerClient,
    /// `customer`
    Customer,
    /// `peer`
    Peer,
}

/// `maxprefixes=` and its companions, for each family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PrefixLimitConfig {
    /// `maxprefixes=`: with more, the session ends.
    pub maximum: u32,
    /// `maxprefixeswarning=` of it: the number that is warned of; 0: never.
    pub warning: u32,
    /// `maxprefixesrestart=`: how long the neighbour is kept out then.
    pub restart: Duration,
}

/// BFD (RFC 5880) with one neighbour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BfdConfig {
    /// `bfdinterval=`: the interval that we offer and ask for.
    pub interval: Duration,
    /// `bfdmultiplier=`: packets in a row that may be lost, never 0.
    pub multiplier: u8,
}

/// A value that must never be printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Wraps a secret text.
    pub fn new(text: String) -> Secret {
        Secret(text)
    }

    /// The text itself, for the one place that needs it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("<secret>")
    }
}

impl std::fmt::Display for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("***")
    }
}
