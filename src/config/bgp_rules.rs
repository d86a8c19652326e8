//! What does not go together in `bgp.*`, beyond fabio's rules.

use std::net::IpAddr;

use ipnet::IpNet;

use super::reader::Reader;
use super::{
    AnycastConfig, AttributeConfig, BgpConfig, NextHopConfig, PeerConfig, RemoteConfig,
    announcement_rules, anycast,
};

/// Reports what cannot work. Values that could not be read are not in `bgp`,
/// and were reported where they were read; `all_peers` is false when a
/// neighbour is missing for that.
pub(super) fn check(bgp: &BgpConfig, all_peers: bool, reader: &mut Reader<'_>) {
    if !bgp.enabled {
        if !bgp.peers.is_empty()
            && let Some(setting) = reader.setting("bgp.peers")
        {
            reader.warn(setting, "bgp.enabled is false, so that no peer is connected");
        }
        return;
    }
    announcement_rules::check(bgp, all_peers, reader);
    host_addresses(bgp, reader);
    own_addresses(bgp, reader);
    connections(bgp, reader);
    passwords(bgp, reader);
}

/// Only a prefix of one address says which address the host is to have.
fn host_addresses(bgp: &BgpConfig, reader: &mut Reader<'_>) {
    let is_host = |prefix: &IpNet| prefix.prefix_len() == prefix.max_prefix_len();
    if bgp.vip.is_some()
        && !bgp.anycast_addresses.iter().any(|anycast| is_host(&anycast.prefix))
        && let Some(setting) = reader.setting("bgp.vip")
    {
        let what = "no address is added, as no prefix of bgp.anycastaddresses is a /32 or a /128";
        reader.warn(setting, what);
    }
}

/// An address of this host that lies in an anycast prefix is one that the
/// routers send to any instance.
fn own_addresses(bgp: &BgpConfig, reader: &mut Reader<'_>) {
    let inside = |address: IpAddr| -> Option<&IpNet> {
        let mut prefixes = bgp.anycast_addresses.iter().map(|anycast| &anycast.prefix);
        prefixes.find(|prefix| prefix.contains(&address))
    };
    let what = |prefix: &IpNet| {
        format!("it is in the anycast prefix {prefix}; expected an address that only this host has")
    };
    let keys = [
        ("bgp.routerid", Some(IpAddr::V4(bgp.router_id))),
        ("bgp.nexthop", bgp.next_hop.map(IpAddr::V4)),
        ("bgp.nexthop6", bgp.next_hop6.map(IpAddr::V6)),
    ];
    for (key, address) in keys {
        let address = address.filter(|address| !address.is_unspecified());
        if let Some(prefix) = address.and_then(inside)
            && let Some(setting) = reader.setting(key)
        {
            reader.fail(setting, &what(prefix));
        }
    }
    let mut option = |key: &str, name: &str, option: &str, address: Option<IpAddr>| {
        if let Some(address) = address
            && let Some(prefix) = inside(address)
        {
            reader.fail_at(key, name, &format!("{option} = \"{address}\": {}", what(prefix)));
        }
    };
    for AnycastConfig { prefix, attributes, .. } in &bgp.anycast_addresses {
        option(anycast::KEY, &format!("prefix {prefix}"), "nexthop", next_hop(attributes));
    }
    for peer in &bgp.peers {
        let name = peer_name(peer);
        option("bgp.peers", &name, "source", peer.source);
        option("bgp.peers", &name, "nexthop", next_hop(&peer.attributes));
    }
}

fn next_hop(attributes: &AttributeConfig) -> Option<IpAddr> {
    match attributes.next_hop? {
        NextHopConfig::Own => None,
        NextHopConfig::Address(address) => Some(address),
    }
}

fn peer_name(peer: &PeerConfig) -> String {
    format!("peer {}", peer.remote)
}

/// A neighbour that nobody connects to: it would have to find a listener, and
/// there is none for it.
fn connections(bgp: &BgpConfig, reader: &mut Reader<'_>) {
    for peer in bgp.peers.iter().filter(|peer| peer.passive) {
        let remote = &peer.remote;
        let missing = if bgp.listen_port.is_none() {
            "bgp.listenport is -1".to_string()
        } else if !bgp.listen_addresses.iter().any(|address| is_for(*address, remote)) {
            let any = if remote.is_ipv4() { "0.0.0.0" } else { "::" };
            format!("no address of bgp.listenaddresses is for it; add {any}")
        } else {
            continue;
        };
        let waits = match remote {
            RemoteConfig::Address { .. } => "passive=true waits for its connection",
            RemoteConfig::Prefix { .. } => "its neighbours are waited for",
        };
        reader.fail_at("bgp.peers", &peer_name(peer), &format!("{waits}, but {missing}"));
    }
}

/// Whether the neighbour can connect to this address of ours.
fn is_for(listener: IpAddr, remote: &RemoteConfig) -> bool {
    listener.is_ipv4() == remote.is_ipv4() && (!remote.is_link_local() || listener.is_unspecified())
}

/// The kernel keeps the TCP MD5 keys of a listener by address and prefix. It
/// asks the sender of a SYN for the key of the longest prefix that has one, and
/// has no way to say that one address in it needs none, nor that the same
/// address has another one behind another interface.
fn passwords(bgp: &BgpConfig, reader: &mut Reader<'_>) {
    if bgp.listen_port.is_none() {
        return;
    }
    for (index, peer) in bgp.peers.iter().enumerate() {
        let mut before = bgp.peers.iter().take(index);
        let same_address = |other: &&PeerConfig| other.remote.address() == peer.remote.address();
        if peer.remote.is_link_local()
            && let Some(other) = before.find(|o| same_address(o) && o.password != peer.password)
        {
            let what = format!(
                "its password is not that of peer {}; Linux knows TCP MD5 keys by address and not \
                 by interface, so both need the same",
                other.remote
            );
            reader.fail_at("bgp.peers", &peer_name(peer), &what);
        }
        let around = bgp.peers.iter().find(|other| {
            peer.password.is_none() && other.password.is_some() && is_within(peer, other)
        });
        let Some(around) = around else { continue };
        let what = format!(
            "it has no password, but is in the prefix of {}, whose password Linux then asks it \
             for when it connects",
            around.name
        );
        match peer.passive {
            true => reader.fail_at("bgp.peers", &peer_name(peer), &what),
            false => reader.warn_at("bgp.peers", &peer_name(peer), &what),
        }
    }
}

/// Whether a neighbour, or a prefix, lies in another's prefix.
fn is_within(peer: &PeerConfig, other: &PeerConfig) -> bool {
    let RemoteConfig::Prefix { prefix, .. } = &other.remote else { return false };
    match &peer.remote {
        RemoteConfig::Address { address, .. } => prefix.contains(address),
        RemoteConfig::Prefix { prefix: inner, .. } => inner != prefix && prefix.contains(inner),
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{errors, load_file};

    /// The errors of a BGP configuration with one listener.
    fn broken(prefixes: &str, peers: &str, rest: &str) -> Vec<String> {
        errors(&format!(
            "proxy.addr=:80;proto=tcp\nbgp.enabled=true\nbgp.anycastaddresses={prefixes}\n\
             bgp.peers={peers}\nbgp.routerid=198.51.100.1\n{rest}"
        ))
    }

    const V4: &str = "192.0.2.53/32";
    const V6: &str = "2001:db8:53::/48";
    const PEER4: &str = "address=198.51.100.2;asn=65001";
    const PEER6: &str = "address=2001:db8::2;asn=65001";

    fn fine(prefixes: &str, peers: &str, rest: &str) {
        assert_eq!(
            broken(prefixes, peers, rest),
            Vec::<String>::new(),
            "{prefixes} {peers} {rest}"
        );
    }

    #[test]
    fn own_addresses_are_not_anycast() {
        let inside = "expected an address that only this host has";
        assert_eq!(
            broken("198.51.100.0/24", PEER4, ""),
            [format!(
                "f:5: bgp.routerid = \"198.51.100.1\": it is in the anycast prefix \
                 198.51.100.0/24; {inside}"
            )]
        );
        assert_eq!(
            broken(V4, PEER4, "bgp.nexthop=192.0.2.53"),
            [format!(
                "f:6: bgp.nexthop = \"192.0.2.53\": it is in the anycast prefix 192.0.2.53/32; \
                 {inside}"
            )]
        );
        assert_eq!(
            broken(V6, PEER6, "bgp.nexthop6=2001:db8:53::1"),
            [format!(
                "f:6: bgp.nexthop6 = \"2001:db8:53::1\": it is in the anycast prefix \
                 2001:db8:53::/48; {inside}"
            )]
        );
        assert_eq!(
            broken(V4, &format!("{PEER4};source=192.0.2.53"), ""),
            [format!(
                "f:4: bgp.peers: peer 198.51.100.2: source = \"192.0.2.53\": it is in the anycast \
                 prefix 192.0.2.53/32; {inside}"
            )]
        );
        assert_eq!(
            broken(&format!("{V4};nexthop=192.0.2.53"), &format!("{PEER4};nexthop=192.0.2.53"), ""),
            [
                format!(
                    "f:3: bgp.anycastaddresses: prefix 192.0.2.53/32: nexthop = \"192.0.2.53\": it \
                     is in the anycast prefix 192.0.2.53/32; {inside}"
                ),
                format!(
                    "f:4: bgp.peers: peer 198.51.100.2: nexthop = \"192.0.2.53\": it is in the \
                     anycast prefix 192.0.2.53/32; {inside}"
                ),
            ]
        );
        fine("0.0.0.0/32", PEER4, "bgp.nexthop=0.0.0.0");
    }

    #[test]
    fn somebody_has_to_connect() {
        let passive = format!("{PEER4};passive=true");
        fine(V4, &passive, "");
        fine(V4, PEER4, "bgp.listenport=-1");
        assert_eq!(
            broken(V4, &passive, "bgp.listenport=-1"),
            ["f:4: bgp.peers: peer 198.51.100.2: passive=true waits for its connection, but \
              bgp.listenport is -1"]
        );
        let prefix = "prefix=203.0.113.0/24;asn=65001";
        fine(V4, prefix, "");
        assert_eq!(
            broken(V4, prefix, "bgp.listenport=-1"),
            ["f:4: bgp.peers: peer 203.0.113.0/24: its neighbours are waited for, but \
              bgp.listenport is -1"]
        );
        assert_eq!(
            broken(V4, &format!("{prefix},{passive}"), "bgp.listenaddresses=::"),
            [
                "f:4: bgp.peers: peer 203.0.113.0/24: its neighbours are waited for, but no \
                 address of bgp.listenaddresses is for it; add 0.0.0.0",
                "f:4: bgp.peers: peer 198.51.100.2: passive=true waits for its connection, but no \
                 address of bgp.listenaddresses is for it; add 0.0.0.0",
            ]
        );
        let link_local = "address=fe80::1%eth0;asn=65001;passive=true";
        fine(V4, link_local, "");
        assert_eq!(
            broken(V4, link_local, "bgp.listenaddresses=2001:db8::1"),
            ["f:4: bgp.peers: peer fe80::1%eth0: passive=true waits for its connection, but no \
              address of bgp.listenaddresses is for it; add ::"]
        );
    }

    #[test]
    fn passwords_are_as_the_kernel_can_keep_them() {
        let pair = |one: &str, two: &str| {
            format!("address=fe80::1%eth0;asn=1;{one},address=fe80::1%eth1;asn=1;{two}")
        };
        fine(V4, &pair("password=s3cret", "password=s3cret"), "");
        fine(V4, &pair("", ""), "");
        fine(V4, &pair("password=s3cret", ""), "bgp.listenport=-1");
        let other = "f:4: bgp.peers: peer fe80::1%eth1: its password is not that of peer \
                     fe80::1%eth0; Linux knows TCP MD5 keys by address and not by interface, so \
                     both need the same";
        assert_eq!(broken(V4, &pair("password=s3cret", ""), ""), [other]);
        assert_eq!(broken(V4, &pair("password=s3cret", "password=x"), ""), [other]);

        let racks = "name=racks;prefix=10.1.0.0/16;asn=1;password=s3cret";
        let what = "it has no password, but is in the prefix of racks, whose password Linux then \
                    asks it for when it connects";
        let text = |peer: &str| format!("{racks},{peer}");
        assert_eq!(
            broken(V4, &text("prefix=10.1.1.0/24;asn=1"), ""),
            [format!("f:4: bgp.peers: peer 10.1.1.0/24: {what}")]
        );
        assert_eq!(
            broken(V4, &text("address=10.1.0.1;asn=1;passive=true"), ""),
            [format!("f:4: bgp.peers: peer 10.1.0.1: {what}")]
        );
        fine(V4, &text("prefix=10.1.1.0/24;asn=1;password=x,prefix=10.0.0.0/8;asn=1"), "");
        let dialled = format!(
            "proxy.addr=:80;proto=tcp\nbgp.enabled=true\nbgp.routerid=198.51.100.1\n\
             bgp.anycastaddresses={V4}\nbgp.peers={}",
            text("address=10.1.0.1;asn=1")
        );
        assert_eq!(
            load_file(&dialled).unwrap().warnings,
            [format!("f:5: bgp.peers: peer 10.1.0.1: {what}")]
        );
    }

    #[test]
    fn peers_without_bgp_are_questionable() {
        let text = format!("proxy.addr=:80;proto=tcp\nbgp.peers={PEER4}");
        assert_eq!(
            load_file(&text).unwrap().warnings,
            ["f:2: bgp.peers: bgp.enabled is false, so that no peer is connected"]
        );
    }
}
