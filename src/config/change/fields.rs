//! Every field of a configuration as a text, under the key or the option that
//! sets it. Each structure is taken apart field by field and without `..`, so
//! that a new field that is forgotten here does not compile.

use std::fmt::Display;
use std::time::Duration;

use crate::config::{
    AccessLogConfig, AccessLogTarget, AnnouncePolicy, AnnouncingConfig, AnycastConfig,
    AttributeConfig, Backend, BfdConfig, BgpConfig, CapabilityConfig, Config, DepreferConfig,
    HealthConfig, ListenerConfig, LogConfig, NextHopConfig, PeerConfig, PrefixLimitConfig,
    Protocol, ProxyConfig, ProxyHeaderConfig, RegistryConfig, RemoteConfig, RemovedTargets,
    RequireConfig, RoleConfig, Secret, Strategy, UiConfig, WhenEmptyConfig, duration,
};

/// Fields by the names of their keys or options, always in the same order.
pub(super) type Fields = Vec<(&'static str, String)>;

/// One item of a list.
pub(super) struct Item {
    /// What makes it the same item in two configurations.
    pub(super) identity: String,
    /// What it is called.
    pub(super) name: String,
    pub(super) fields: Fields,
}

impl Item {
    fn new(name: impl Display, identity: impl Display, fields: Fields) -> Item {
        Item { identity: identity.to_string(), name: name.to_string(), fields }
    }
}

/// The keys that have one value each. Those with items are in [`lists`], and
/// the routes are compared by their lines.
pub(super) fn keys(config: &Config) -> Fields {
    let Config { proxy, log, registry, health, bgp, ui, watch } = config;
    let LogConfig { level, access } = log;
    let AccessLogConfig { target, format } = access;
    let target = match target {
        Some(AccessLogTarget::Stdout) => "stdout",
        None => "",
    };
    let mut fields = vec![
        ("config.watch", watch.to_string()),
        ("log.level", level.to_string()),
        ("log.access.target", target.to_owned()),
        ("log.access.format", format.clone()),
    ];
    fields.extend(health_keys(health));
    fields.extend(proxy_keys(proxy));
    fields.extend(registry_keys(registry));
    fields.extend(bgp_keys(bgp));
    fields.extend(announcing_keys(&bgp.announcing));
    fields.extend(ui_keys(ui));
    fields
}

fn health_keys(health: &HealthConfig) -> Fields {
    let HealthConfig {
        check,
        interval,
        fast_interval,
        timeout,
        rise,
        fall,
        eject_after,
        eject_time,
        eject_max_time,
        eject_limit,
        when_none_all,
    } = health;
    let when_none = if *when_none_all { "all" } else { "refuse" };
    vec![
        ("health.check", check.clone()),
        ("health.interval", time(interval)),
        ("health.fastinterval", time(fast_interval)),
        ("health.timeout", time(timeout)),
        ("health.rise", rise.to_string()),
        ("health.fall", fall.to_string()),
        ("health.ejectafter", eject_after.to_string()),
        ("health.ejecttime", time(eject_time)),
        ("health.ejectmaxtime", time(eject_max_time)),
        ("health.ejectlimit", eject_limit.to_string()),
        ("health.whennone", when_none.to_owned()),
    ]
}

/// Whether somebody set an address or a socket makes no difference once it is
/// there.
fn ui_keys(ui: &UiConfig) -> Fields {
    let UiConfig {
        addr,
        dual_stack,
        addr_is_set: _,
        socket,
        socket_is_set: _,
        read_only,
        path,
        credentials,
        metrics_path,
    } = ui;
    let address = match addr {
        Some(addr) if *dual_stack => format!(":{}", addr.port()),
        addr => optional(addr.as_ref()),
    };
    let (name, password) = match credentials {
        Some((name, password)) => (name.clone(), password.expose().to_owned()),
        None => Default::default(),
    };
    vec![
        ("metrics.prometheus.path", metrics_path.clone()),
        ("ui.addr", address),
        ("ui.socket", socket.clone().unwrap_or_default()),
        ("ui.access", if *read_only { "ro" } else { "rw" }.to_owned()),
        ("ui.path", path.clone()),
        ("ui.username", name),
        ("ui.password", password),
    ]
}

fn proxy_keys(proxy: &ProxyConfig) -> Fields {
    let ProxyConfig {
        listeners: _,
        strategy,
        dial_timeout,
        idle_timeout,
        connection_limit,
        source_limit,
        source_prefix4,
        source_prefix6,
        service_limit,
        half_closed_timeout,
        removed_targets,
        shutdown_wait,
        deregister_grace_period,
    } = proxy;
    let strategy = match strategy {
        Strategy::Random => "rnd",
        Strategy::RoundRobin => "rr",
        Strategy::Least => "least",
        Strategy::Hash => "hash",
    };
    let removed_targets = match removed_targets {
        RemovedTargets::Drain => "drain".to_owned(),
        RemovedTargets::CutAfter(Duration::ZERO) => "cut".to_owned(),
        RemovedTargets::CutAfter(after) => time(after),
    };
    vec![
        ("proxy.strategy", strategy.to_owned()),
        ("proxy.dialtimeout", time(dial_timeout)),
        ("proxy.idletimeout", time(idle_timeout)),
        ("proxy.connectionlimit", connection_limit.to_string()),
        ("proxy.sourcelimit", source_limit.to_string()),
        ("proxy.sourceprefix4", source_prefix4.to_string()),
        ("proxy.sourceprefix6", source_prefix6.to_string()),
        ("proxy.servicelimit", service_limit.to_string()),
        ("proxy.halfclosedtimeout", time(half_closed_timeout)),
        ("proxy.removedtargets", removed_targets),
        ("proxy.shutdownwait", time(shutdown_wait)),
        ("proxy.deregistergraceperiod", time(deregister_grace_period)),
    ]
}

fn registry_keys(registry: &RegistryConfig) -> Fields {
    let RegistryConfig { backend, stale_after, withdraw_when_stale } = registry;
    let when_stale = if *withdraw_when_stale { "withdraw" } else { "deprefer" };
    let (backend, path, poll_interval) = match backend {
        Backend::Static { routes: _ } => ("static", String::new(), String::new()),
        Backend::File { path, poll_interval } => ("file", path.clone(), time(poll_interval)),
    };
    vec![
        ("registry.backend", backend.to_owned()),
        ("registry.file.path", path),
        ("registry.file.pollinterval", poll_interval),
        ("registry.staleafter", time(stale_after)),
        ("registry.whenstale", when_stale.to_owned()),
    ]
}

fn bgp_keys(bgp: &BgpConfig) -> Fields {
    let BgpConfig {
        enabled,
        asn,
        router_id,
        next_hop,
        next_hop6,
        anycast_addresses: _,
        announce,
        announcing: _,
        maintenance_file,
        graceful_shutdown,
        vip,
        listen_port,
        listen_addresses,
        connect_retry,
        peers: _,
    } = bgp;
    let announce = match announce {
        AnnouncePolicy::Ready => "ready",
        AnnouncePolicy::Always => "always",
    };
    let port = listen_port.map_or_else(|| "-1".to_owned(), |port| port.to_string());
    vec![
        ("bgp.enabled", enabled.to_string()),
        ("bgp.asn", asn.to_string()),
        ("bgp.routerid", router_id.to_string()),
        ("bgp.nexthop", optional(next_hop.as_ref())),
        ("bgp.nexthop6", optional(next_hop6.as_ref())),
        ("bgp.announce", announce.to_owned()),
        ("bgp.maintenancefile", maintenance_file.clone().unwrap_or_default()),
        ("bgp.gracefulshutdown", time(graceful_shutdown)),
        ("bgp.vip", vip.clone().unwrap_or_default()),
        ("bgp.listenport", port),
        ("bgp.listenaddresses", joined(listen_addresses, ",")),
        ("bgp.connectretry", time(connect_retry)),
    ]
}

fn announcing_keys(announcing: &AnnouncingConfig) -> Fields {
    let AnnouncingConfig {
        hold_up,
        flap_half_life,
        flap_suppress,
        flap_reuse,
        flap_max,
        state_file,
    } = announcing;
    vec![
        ("bgp.announce.holdup", time(hold_up)),
        ("bgp.announce.flaphalflife", time(flap_half_life)),
        ("bgp.announce.flapsuppress", flap_suppress.to_string()),
        ("bgp.announce.flapreuse", flap_reuse.to_string()),
        ("bgp.announce.flapmax", time(flap_max)),
        ("bgp.announce.statefile", state_file.clone().unwrap_or_default()),
    ]
}

/// The keys that have items, in the order in which a reload deals with them.
pub(super) fn lists(config: &Config) -> [(&'static str, Vec<Item>); 3] {
    [
        ("proxy.addr", config.proxy.listeners.iter().map(listener).collect()),
        ("bgp.anycastaddresses", config.bgp.anycast_addresses.iter().map(prefix).collect()),
        ("bgp.peers", config.bgp.peers.iter().map(peer).collect()),
    ]
}

/// The listeners for datagrams, which are bound at the start only.
pub(super) fn datagram_listeners(config: &Config) -> Vec<Item> {
    config.proxy.listeners.iter().filter(|l| l.takes_datagrams()).map(listener).collect()
}

fn listener(listener: &ListenerConfig) -> Item {
    let ListenerConfig {
        address,
        dual_stack,
        protocol,
        read_timeout,
        write_timeout,
        proxy_header,
        connection_limit,
        freebind,
    } = listener;
    let (protocol, own) = match protocol {
        Protocol::Tcp => ("tcp", Vec::new()),
        Protocol::TcpSni { hello_timeout } => {
            ("tcp+sni", vec![("hellotimeout", time(hello_timeout))])
        }
        Protocol::TcpDynamic => ("tcp-dynamic", Vec::new()),
        Protocol::Udp { idle_timeout, flow_limit } => {
            ("udp", vec![("it", time(idle_timeout)), ("flows", flow_limit.to_string())])
        }
    };
    let written = match dual_stack {
        true => format!(":{}", address.port()),
        false => address.to_string(),
    };
    let mut fields = vec![
        ("", written.clone()),
        ("proto", protocol.to_owned()),
        ("rt", time(read_timeout)),
        ("wt", time(write_timeout)),
        ("connections", connection_limit.to_string()),
        ("freebind", freebind.to_string()),
    ];
    fields.extend(proxy_header_options(proxy_header.as_ref()));
    fields.extend(own);
    Item::new(written, format!("{protocol} {address}"), fields)
}

fn proxy_header_options(header: Option<&ProxyHeaderConfig>) -> Fields {
    let (mode, timeout, trusted) = match header {
        None => ("false", String::new(), String::new()),
        Some(ProxyHeaderConfig { strict, timeout, trusted }) => {
            (if *strict { "strict" } else { "true" }, time(timeout), joined(trusted, " "))
        }
    };
    vec![("pxyproto", mode.to_owned()), ("pxytimeout", timeout), ("pxytrusted", trusted)]
}

fn prefix(anycast: &AnycastConfig) -> Item {
    let AnycastConfig {
        prefix,
        attributes: own,
        peers,
        services,
        require,
        min_healthy,
        shutdown_below,
        deprefer_below,
        when_empty,
        deprefer,
    } = anycast;
    let require = match require {
        RequireConfig::All => "all",
        RequireConfig::Any => "any",
    };
    let when_empty = match when_empty {
        WhenEmptyConfig::Withdraw => "withdraw",
        WhenEmptyConfig::Keep => "keep",
        WhenEmptyConfig::Deprefer => "deprefer",
    };
    let mut fields = attributes(own);
    fields.extend([
        ("peers", joined(peers, " ")),
        ("service", joined(services, " ")),
        ("require", require.to_owned()),
        ("minhealthy", min_healthy.to_string()),
        ("shutdownbelow", optional(shutdown_below.as_ref())),
        ("depreferbelow", optional(deprefer_below.as_ref())),
        ("whenempty", when_empty.to_owned()),
    ]);
    fields.extend(deprefer_options(deprefer));
    Item::new(prefix, prefix, fields)
}

fn deprefer_options(deprefer: &DepreferConfig) -> Fields {
    let DepreferConfig { prepend, local_pref, med, communities } = deprefer;
    vec![
        ("depreferprepend", prepend.to_string()),
        ("depreferlocalpref", local_pref.to_string()),
        ("deprefermed", optional(med.as_ref())),
        ("deprefercommunities", plain_communities(communities)),
    ]
}

fn plain_communities(communities: &[u32]) -> String {
    let texts = communities.iter().map(|c| format!("{}:{}", c >> 16, c & 0xffff));
    joined(&texts.collect::<Vec<String>>(), " ")
}

fn attributes(attributes: &AttributeConfig) -> Fields {
    let AttributeConfig {
        med,
        local_pref,
        prepend,
        communities,
        large_communities,
        extended_communities,
        next_hop,
    } = attributes;
    let large = large_communities.iter().map(|[a, b, c]| format!("{a}:{b}:{c}"));
    let extended = extended_communities.iter().map(|c| format!("{:#018x}", u64::from_be_bytes(*c)));
    let next_hop = next_hop.as_ref().map(|next_hop| match next_hop {
        NextHopConfig::Own => "self".to_owned(),
        NextHopConfig::Address(address) => address.to_string(),
    });
    vec![
        ("med", optional(med.as_ref())),
        ("localpref", optional(local_pref.as_ref())),
        ("prepend", prepend.to_string()),
        ("communities", plain_communities(communities)),
        ("largecommunities", joined(&large.collect::<Vec<_>>(), " ")),
        ("extcommunities", joined(&extended.collect::<Vec<_>>(), " ")),
        ("nexthop", next_hop.unwrap_or_default()),
    ]
}

fn peer(peer: &PeerConfig) -> Item {
    let PeerConfig {
        name,
        remote,
        port,
        port_given,
        asn,
        multihop_ttl,
        ttl_security_hops,
        password,
        passive,
        source,
        bfd,
        hold_time,
        keepalive,
        advertisement_interval,
        attributes: own,
        capabilities: offered,
        prefix_limit,
    } = peer;
    let limit = match remote {
        RemoteConfig::Address { address: _, interface: _ } => String::new(),
        RemoteConfig::Prefix { prefix: _, limit } => limit.to_string(),
    };
    let port = if *port_given { port.to_string() } else { format!("{port} by default") };
    let mut fields = vec![
        ("name", name.clone()),
        ("limit", limit),
        ("port", port),
        ("asn", asn.to_string()),
        ("multihoplength", optional(multihop_ttl.as_ref())),
        ("ttlsecurity", optional(ttl_security_hops.as_ref())),
        ("password", password.as_ref().map(Secret::expose).unwrap_or_default().to_owned()),
        ("passive", passive.to_string()),
        ("source", optional(source.as_ref())),
        ("holdtime", time(hold_time)),
        ("keepalive", keepalive.as_ref().map(time).unwrap_or_default()),
        ("advertisementinterval", time(advertisement_interval)),
    ];
    fields.extend(bfd_options(bfd.as_ref()));
    fields.extend(attributes(own));
    fields.extend(capabilities(offered));
    fields.extend(prefix_limit_options(prefix_limit.as_ref()));
    Item::new(name, remote, fields)
}

fn bfd_options(bfd: Option<&BfdConfig>) -> Fields {
    let (interval, multiplier) = match bfd {
        Some(BfdConfig { interval, multiplier }) => (time(interval), multiplier.to_string()),
        None => Default::default(),
    };
    vec![
        ("bfd", bfd.is_some().to_string()),
        ("bfdinterval", interval),
        ("bfdmultiplier", multiplier),
    ]
}

fn capabilities(capabilities: &CapabilityConfig) -> Fields {
    let CapabilityConfig {
        extended_next_hop,
        add_path_send,
        add_path_receive,
        restart_time,
        role,
        strict_role,
        names,
        software_version,
    } = capabilities;
    let add_path = match (add_path_send, add_path_receive) {
        (false, false) => "none",
        (true, false) => "send",
        (false, true) => "receive",
        (true, true) => "both",
    };
    let role = match role {
        None => "",
        Some(RoleConfig::Provider) => "provider",
        Some(RoleConfig::RouteServer) => "rs",
        Some(RoleConfig::RouteServerClient) => "rs-client",
        Some(RoleConfig::Customer) => "customer",
        Some(RoleConfig::Peer) => "peer",
    };
    vec![
        ("extendednexthop", extended_next_hop.to_string()),
        ("addpath", add_path.to_owned()),
        ("gracefulrestart", restart_time.is_some().to_string()),
        ("restarttime", restart_time.as_ref().map(time).unwrap_or_default()),
        ("role", role.to_owned()),
        ("strictrole", strict_role.to_string()),
        ("fqdn", names.to_string()),
        ("softwareversion", software_version.to_string()),
    ]
}

fn prefix_limit_options(limit: Option<&PrefixLimitConfig>) -> Fields {
    let (maximum, warning, restart) = match limit {
        Some(PrefixLimitConfig { maximum, warning, restart }) => {
            (maximum.to_string(), format!("{warning} prefixes"), time(restart))
        }
        None => Default::default(),
    };
    vec![("maxprefixes", maximum), ("maxprefixeswarning", warning), ("maxprefixesrestart", restart)]
}

fn time(time: &Duration) -> String {
    duration::print(*time)
}

fn optional(value: Option<&impl Display>) -> String {
    value.map(ToString::to_string).unwrap_or_default()
}

fn joined(values: &[impl Display], separator: &str) -> String {
    values.iter().map(ToString::to_string).collect::<Vec<String>>().join(separator)
}
