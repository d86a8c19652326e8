//! One entry of `bgp.peers`, as a value: who it is for and what it asks for.

use std::net::IpAddr;
use std::time::Duration;

use ipnet::IpNet;

use super::{AttributeConfig, Secret};

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
