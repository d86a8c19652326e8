//! What does not go together in `bgp.*`, beyond fabio's rules.

use std::net::IpAddr;

use ipnet::IpNet;

use super::reader::Reader;
use super::{
    AnycastConfig, AttributeConfig, BgpConfig, NextHopConfig, announcement_rules, anycast,
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
    own_addresses(bgp, reader);
    connections(bgp, reader);
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
        let name = format!("peer {}", peer.address);
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

/// A neighbour that nobody connects to.
fn connections(bgp: &BgpConfig, reader: &mut Reader<'_>) {
    if bgp.listen_port.is_some() {
        return;
    }
    let Some(setting) = reader.setting("bgp.peers") else { return };
    for peer in bgp.peers.iter().filter(|peer| peer.passive) {
        let what = format!(
            "peer {}: passive=true waits for its connection, but bgp.listenport is -1",
            peer.address
        );
        reader.fail(setting, &what);
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
