//! What the operator wrote, as one plain comparable value.
//!
//! Sources (flags, environment, properties file) are merged key by key, each
//! value is parsed by the type that the one table in [`options`] gives its
//! key, and the whole is checked before anything is started. A [`Config`]
//! that exists is valid.
//!
//! To read the room: `properties`, `expansion`, `kv_list`, `values` and
//! the reactor's `duration` are the grammars; `command_line` and `settings` merge the sources;
//! `reader` takes values out of the settings, for `load`, `listeners`,
//! `proxy_header`, `health`, `ui`, `bgp`, `announcing`, `anycast`, `services`,
//! `peers`, `peer_remote`, `peer_templates` and `attributes`; `bgp_rules`,
//! `announcement_rules` and `deprefer_rules` look at what does not go together;
//! `address` and `templates` are for addresses to listen on; `report` gathers
//! what is wrong; `neighbours` is what `peers` reads; `change` is the difference
//! of two configurations; `check`, `in_force` and `help` show. None of them opens
//! a file or looks into the environment.

mod address;
mod announcement_rules;
mod announcing;
mod anycast;
mod attributes;
mod bgp;
mod bgp_rules;
mod capabilities;
pub mod change;
mod check;
mod command_line;
mod deprefer_rules;
mod expansion;
mod health;
pub mod help;
mod in_force;
mod kv_list;
mod listeners;
mod load;
pub(crate) mod nearest;
mod neighbours;
pub mod options;
mod peer_remote;
mod peer_templates;
mod peers;
mod properties;
mod proxy_header;
mod reader;
mod report;
mod services;
mod settings;
mod templates;
#[cfg(test)]
mod testing;
mod ui;
mod values;

pub use crate::reactor::duration;
pub use announcing::{
    AnnouncingConfig, DepreferConfig, RequireConfig, ShareConfig, WhenEmptyConfig,
};
pub use check::Effective;
pub use command_line::{DifferenceRequest, Request, difference, request};
pub use in_force::{InForce, Value};
pub use load::{LoadError, Loaded, ReadFile, Sources, load};
pub use neighbours::{
    BfdConfig, CapabilityConfig, PeerConfig, PrefixLimitConfig, RemoteConfig, RoleConfig,
};
pub use ui::UiConfig;

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
    /// `ui.*` and `metrics.prometheus.path`
    pub ui: UiConfig,
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
    /// `freebind=`: listen on the address although the host may not have it
    /// (IP_FREEBIND of ip(7)).
    pub freebind: bool,
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
    /// `registry.staleafter`: how old the last good read may be, while reading
    /// fails, before the routes are stale; zero: they never are.
    pub stale_after: Duration,
    /// `registry.whenstale`: whether stale routes withdraw the prefixes. Else
    /// these are announced as less preferred.
    pub withdraw_when_stale: bool,
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

/// `health.*`: which targets are fit to serve.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HealthConfig {
    /// `health.check`: the `check=` of routes that have none: `tcp`,
    /// `tcp:PORT`, `http:/PATH`, `http:PORT/PATH` or `none`.
    pub check: String,
    /// `health.interval`: time between two checks of one target.
    pub interval: Duration,
    /// `health.fastinterval`: the same while results contradict the state.
    pub fast_interval: Duration,
    /// `health.timeout`: how long one check may take.
    pub timeout: Duration,
    /// `health.rise`: successes in a row that make a target healthy.
    pub rise: u32,
    /// `health.fall`: failures in a row that make a target unhealthy.
    pub fall: u32,
    /// `health.ejectafter`: dials for clients that have to fail in a row
    /// before the target is ejected; 0: it never is.
    pub eject_after: u32,
    /// `health.ejecttime`: how long the first ejection takes; each further one
    /// twice as long as the one before.
    pub eject_time: Duration,
    /// `health.ejectmaxtime`: the longest ejection, not less than the first.
    pub eject_max_time: Duration,
    /// `health.ejectlimit`: most targets of one service that are ejected at a
    /// time, in percent of them, 0 to 100; rounded down.
    pub eject_limit: u8,
    /// `health.whennone=all`: a service without a healthy target is served by
    /// all of them. Else its connections are refused.
    pub when_none_all: bool,
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
    /// `bgp.announce.*`
    pub announcing: AnnouncingConfig,
    /// `bgp.maintenancefile`: everything drains while this file is there.
    pub maintenance_file: Option<String>,
    /// `bgp.gracefulshutdown`: how long prefixes carry GRACEFUL_SHUTDOWN
    /// (RFC 8326) before a planned withdrawal; zero: not at all.
    pub graceful_shutdown: Duration,
    /// `bgp.vip`: the interface that gets the addresses of host prefixes.
    pub vip: Option<String>,
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
    /// `service=`: the services that it depends on, none twice; empty: those
    /// of the routes that its address serves, else all.
    pub services: Vec<String>,
    /// `require=`
    pub require: RequireConfig,
    /// `minhealthy=`: with fewer healthy targets of a service it is empty.
    pub min_healthy: ShareConfig,
    /// `shutdownbelow=`: with fewer it is announced with GRACEFUL_SHUTDOWN.
    pub shutdown_below: Option<ShareConfig>,
    /// `depreferbelow=`: with fewer it is announced as less preferred.
    pub deprefer_below: Option<ShareConfig>,
    /// `whenempty=`
    pub when_empty: WhenEmptyConfig,
    /// `deprefer...=`: what less preferred means.
    pub deprefer: DepreferConfig,
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
