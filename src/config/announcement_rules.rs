//! What does not go together in what neighbours are announced: who hears of
//! which prefix, with which next hop, and options that have no effect.

use std::net::IpAddr;

use super::reader::Reader;
use super::{
    AnnouncePolicy, AnycastConfig, BgpConfig, DepreferConfig, NextHopConfig, PeerConfig,
    ShareConfig, WhenEmptyConfig, anycast, nearest,
};

const PEERS: &str = "bgp.peers";

/// Reports what cannot work. `all_peers` is false when a neighbour with an
/// error is missing in `bgp`.
pub(super) fn check(bgp: &BgpConfig, all_peers: bool, reader: &mut Reader<'_>) {
    if all_peers {
        unknown_peers(bgp, reader);
        peers_without_prefix(bgp, reader);
    }
    next_hops(bgp, reader);
    if bgp.announce == AnnouncePolicy::Always {
        for prefix in &bgp.anycast_addresses {
            rules_without_effect(prefix, reader);
        }
    }
    // Without our own AS number, which was not read, nothing is known of it.
    if bgp.asn != 0 {
        for peer in &bgp.peers {
            peer_effects(bgp, peer, reader);
        }
        for prefix in &bgp.anycast_addresses {
            prefix_effects(bgp, prefix, reader);
        }
    }
}

/// What messages call a prefix.
pub(super) fn prefix_name(prefix: &AnycastConfig) -> String {
    format!("prefix {}", prefix.prefix)
}

fn peer_name(peer: &PeerConfig) -> String {
    format!("peer {}", peer.remote)
}

/// The neighbours that hear of a prefix.
pub(super) fn hearers<'a>(
    bgp: &'a BgpConfig,
    prefix: &'a AnycastConfig,
) -> impl Iterator<Item = &'a PeerConfig> {
    bgp.peers.iter().filter(|peer| prefix.is_for(&peer.name))
}

fn unknown_peers(bgp: &BgpConfig, reader: &mut Reader<'_>) {
    let known = || bgp.peers.iter().map(|peer| peer.name.as_str());
    for prefix in &bgp.anycast_addresses {
        for name in prefix.peers.iter().filter(|name| !known().any(|known| known == *name)) {
            let hint = match nearest::nearest(name, known()) {
                Some(near) => format!("did you mean {near:?}?"),
                None => "expected the name or the address of a peer".to_string(),
            };
            let what = format!("unknown peer {name:?}; {hint}");
            reader.fail_at(anycast::KEY, &prefix_name(prefix), &what);
        }
    }
}

fn peers_without_prefix(bgp: &BgpConfig, reader: &mut Reader<'_>) {
    if bgp.anycast_addresses.is_empty() {
        return;
    }
    for peer in &bgp.peers {
        if !bgp.anycast_addresses.iter().any(|prefix| prefix.is_for(&peer.name)) {
            let what = "no prefix is announced to it; every one names others in its peers";
            reader.warn_at(PEERS, &peer_name(peer), what);
        }
    }
}

/// What is always announced depends on nothing.
fn rules_without_effect(prefix: &AnycastConfig, reader: &mut Reader<'_>) {
    let options = [
        ("service", !prefix.services.is_empty()),
        ("minhealthy", prefix.min_healthy != ShareConfig::Count(1)),
        ("shutdownbelow", prefix.shutdown_below.is_some()),
        ("depreferbelow", prefix.deprefer_below.is_some()),
        ("whenempty", prefix.when_empty != WhenEmptyConfig::Withdraw),
        ("what it says of being less preferred", prefix.deprefer != DepreferConfig::default()),
    ];
    for (option, _) in options.iter().filter(|(_, is_set)| *is_set) {
        let what = format!("{option} has no effect, as bgp.announce is always");
        reader.warn_at(anycast::KEY, &prefix_name(prefix), &what);
    }
}

/// Every prefix has a next hop of its own family on every session that carries
/// it. Each place in the configuration is reported once.
fn next_hops(bgp: &BgpConfig, reader: &mut Reader<'_>) {
    let mut reported: Vec<(&str, String)> = Vec::new();
    for prefix in &bgp.anycast_addresses {
        for peer in hearers(bgp, prefix) {
            let (place, next_hop) = next_hop(bgp, prefix, peer);
            let Some(what) = judge_next_hop(prefix, peer, &place, next_hop) else { continue };
            let at = (place.key, place.item);
            if !reported.contains(&at) {
                match at.1.is_empty() {
                    true => fail_key(reader, at.0, &what),
                    false => reader.fail_at(at.0, &at.1, &what),
                }
                reported.push(at);
            }
        }
    }
}

fn fail_key(reader: &mut Reader<'_>, key: &str, what: &str) {
    if let Some(setting) = reader.setting(key) {
        reader.fail(setting, what);
    }
}

/// Where a next hop is written.
struct Place {
    key: &'static str,
    /// The prefix or neighbour in it; empty for a key with one value.
    item: String,
}

/// The next hop of a prefix towards a neighbour, and where it was set: what the
/// neighbour sets goes before what the prefix sets, and that before the
/// defaults.
fn next_hop(bgp: &BgpConfig, prefix: &AnycastConfig, peer: &PeerConfig) -> (Place, NextHopConfig) {
    let is_ipv4 = prefix.prefix.addr().is_ipv4();
    if let Some(next_hop) = peer.attributes.next_hop_of(is_ipv4) {
        return (Place { key: PEERS, item: peer_name(peer) }, next_hop);
    }
    if let Some(next_hop) = prefix.attributes.next_hop_of(is_ipv4) {
        return (Place { key: anycast::KEY, item: prefix_name(prefix) }, next_hop);
    }
    let (key, next_hop) = match (is_ipv4, bgp.next_hop) {
        (true, Some(address)) if address.is_unspecified() => ("bgp.nexthop", NextHopConfig::Own),
        (true, address) => {
            let address = IpAddr::V4(address.unwrap_or(bgp.router_id));
            ("bgp.nexthop", NextHopConfig::Address(address))
        }
        (false, _) => {
            let address = bgp.next_hop6.map(IpAddr::V6);
            ("bgp.nexthop6", address.map_or(NextHopConfig::Own, NextHopConfig::Address))
        }
    };
    (Place { key, item: String::new() }, next_hop)
}

/// Whether our own address of a session can be the next hop of a family. An
/// IPv6 one can be that of IPv4 routes where it is asked for (RFC 8950).
fn has_own_next_hop(peer: &PeerConfig, is_ipv4: bool) -> bool {
    peer.remote.is_ipv4() == is_ipv4 || is_ipv4 && peer.capabilities.extended_next_hop
}

/// What is wrong with the next hop of a prefix towards a neighbour.
fn judge_next_hop(
    prefix: &AnycastConfig,
    peer: &PeerConfig,
    place: &Place,
    next_hop: NextHopConfig,
) -> Option<String> {
    let (prefix, remote) = (prefix.prefix, &peer.remote);
    let is_ipv4 = prefix.addr().is_ipv4();
    match next_hop {
        NextHopConfig::Own if !has_own_next_hop(peer, is_ipv4) => {
            let family = if is_ipv4 { "IPv4" } else { "IPv6" };
            let option = if place.item.is_empty() { place.key } else { "its nexthop" };
            Some(format!(
                "{prefix} has no next hop towards peer {remote}, whose sessions have no {family} \
                 address; set {option} to an {family} address of this host"
            ))
        }
        // RFC 4271 §5.1.3: a route is not advertised to a neighbour with an
        // address of that neighbour as its next hop.
        NextHopConfig::Address(next_hop) if Some(next_hop) == remote.address() => Some(format!(
            "{next_hop} is the address of peer {remote} itself, and no next hop towards it"
        )),
        NextHopConfig::Own | NextHopConfig::Address(_) => None,
    }
}

/// LOCAL_PREF is for our own AS alone (RFC 4271 §5.1.5), and inside it the AS
/// path of our own routes is empty (§5.1.2).
fn peer_effects(bgp: &BgpConfig, peer: &PeerConfig, reader: &mut Reader<'_>) {
    let name = peer_name(peer);
    let ibgp = peer.asn == bgp.asn;
    if peer.attributes.local_pref.is_some() && !ibgp {
        reader.warn_at(PEERS, &name, "localpref has no effect, as the peer is in another AS");
    }
    if peer.attributes.prepend > 0 && ibgp {
        reader.warn_at(PEERS, &name, "prepend has no effect, as the peer is in our own AS");
    }
    if let Some(NextHopConfig::Address(address)) = peer.attributes.next_hop {
        let heard = bgp.anycast_addresses.iter().filter(|prefix| prefix.is_for(&peer.name));
        let mut families = heard.map(|prefix| prefix.prefix.addr().is_ipv4());
        if !families.any(|is_ipv4| is_ipv4 == address.is_ipv4()) {
            let family = if address.is_ipv4() { "IPv4" } else { "IPv6" };
            let what = format!("nexthop has no effect, as no {family} prefix is announced to it");
            reader.warn_at(PEERS, &name, &what);
        }
    }
}

fn prefix_effects(bgp: &BgpConfig, prefix: &AnycastConfig, reader: &mut Reader<'_>) {
    let name = prefix_name(prefix);
    let (mut ibgp, mut ebgp) = (false, false);
    for peer in hearers(bgp, prefix) {
        ibgp |= peer.asn == bgp.asn;
        ebgp |= peer.asn != bgp.asn;
    }
    if prefix.attributes.local_pref.is_some() && ebgp && !ibgp {
        let what = "localpref has no effect, as every peer that hears of it is in another AS";
        reader.warn_at(anycast::KEY, &name, what);
    }
    if prefix.attributes.prepend > 0 && ibgp && !ebgp {
        let what = "prepend has no effect, as every peer that hears of it is in our own AS";
        reader.warn_at(anycast::KEY, &name, what);
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{errors, load_file};

    const V4: &str = "192.0.2.53/32";
    const V6: &str = "2001:db8:53::/48";
    const PEER4: &str = "address=198.51.100.2;asn=65001;name=tor1";
    const PEER6: &str = "address=2001:db8::2;asn=65001;name=tor2";
    const IBGP: &str = "address=198.51.100.3;asn=65000;name=rr1";

    fn text(prefixes: &str, peers: &str, rest: &str) -> String {
        format!(
            "proxy.addr=:80;proto=tcp\nbgp.enabled=true\nbgp.anycastaddresses={prefixes}\n\
             bgp.peers={peers}\nbgp.routerid=198.51.100.1\n{rest}"
        )
    }

    fn broken(prefixes: &str, peers: &str, rest: &str) -> Vec<String> {
        errors(&text(prefixes, peers, rest))
    }

    fn warnings(prefixes: &str, peers: &str) -> Vec<String> {
        load_file(&text(prefixes, peers, "")).unwrap().warnings
    }

    fn fine(prefixes: &str, peers: &str, rest: &str) {
        let none: Vec<String> = Vec::new();
        assert_eq!(broken(prefixes, peers, rest), none, "{prefixes} {peers} {rest}");
    }

    #[test]
    fn next_hops_of_the_other_family() {
        fine(V4, PEER4, "");
        fine(V6, PEER6, "");
        fine(V4, PEER6, "");
        fine(V4, PEER4, "bgp.nexthop=0.0.0.0");
        fine(V6, PEER4, "bgp.nexthop6=2001:db8::1");
        let peer4 = "2001:db8:53::/48 has no next hop towards peer 198.51.100.2, whose sessions \
                     have no IPv6 address; set bgp.nexthop6 to an IPv6 address of this host";
        assert_eq!(broken(V6, PEER4, ""), [format!("bgp.nexthop6: {peer4}")]);
        assert_eq!(
            broken(V6, PEER4, "bgp.nexthop6=::"),
            [format!("f:6: bgp.nexthop6 = \"::\": {peer4}")]
        );
        assert_eq!(
            broken(V4, &format!("{PEER4},{PEER6}"), "bgp.nexthop=0.0.0.0"),
            ["f:6: bgp.nexthop = \"0.0.0.0\": 192.0.2.53/32 has no next hop towards peer \
              2001:db8::2, whose sessions have no IPv4 address; set bgp.nexthop to an IPv4 address \
              of this host"]
        );
    }

    #[test]
    fn next_hops_of_prefixes_and_peers_go_before_the_defaults() {
        let own = |list: &str| format!("{list};nexthop=self");
        fine(&format!("{V6};nexthop=2001:db8::1"), PEER4, "");
        fine(V6, &format!("{PEER4};nexthop=2001:db8::1"), "");
        fine(&own(V4), PEER4, "");
        fine(&own(V4), &format!("{PEER6};nexthop=198.51.100.1"), "");
        fine(&format!("{V4},{V6}"), &format!("{PEER4};nexthop=198.51.100.9"), "bgp.nexthop6=::1");
        fine(&format!("{V6};peers=tor2,{V4}"), &format!("{PEER4},{PEER6}"), "");
        let ipv4 = "192.0.2.53/32 has no next hop towards peer 2001:db8::2, whose sessions have \
                    no IPv4 address; set its nexthop to an IPv4 address of this host";
        let both = format!("{PEER4},{PEER6}");
        assert_eq!(
            broken(&own(V4), &both, ""),
            [format!("f:3: bgp.anycastaddresses: prefix 192.0.2.53/32: {ipv4}")]
        );
        assert_eq!(
            broken(&format!("{V4},192.0.2.54/32"), &own(&both), ""),
            [format!("f:4: bgp.peers: peer 2001:db8::2: {ipv4}")],
            "once, and not for each prefix"
        );
    }

    #[test]
    fn a_neighbour_is_no_next_hop_towards_itself() {
        let itself = "198.51.100.2 is the address of peer 198.51.100.2 itself, and no next hop \
                      towards it";
        assert_eq!(
            broken(V4, &format!("{PEER4};nexthop=198.51.100.2"), ""),
            [format!("f:4: bgp.peers: peer 198.51.100.2: {itself}")]
        );
        assert_eq!(
            broken(V4, PEER4, "bgp.nexthop=198.51.100.2"),
            [format!("f:6: bgp.nexthop = \"198.51.100.2\": {itself}")]
        );
    }

    /// Neighbours on the link can use its addresses as next hops, those of IPv4
    /// routes as well if they are asked for that.
    #[test]
    fn a_link_needs_no_address_but_its_own() {
        let peer = "address=fe80::1%eth0;asn=65001";
        let own = "bgp.nexthop=0.0.0.0";
        fine(V6, peer, "");
        fine(V6, &format!("{peer};nexthop=self"), "");
        fine(V4, peer, "");
        fine(V4, &format!("{peer};extendednexthop=true"), own);
        assert_eq!(
            broken(V4, peer, own),
            ["f:6: bgp.nexthop = \"0.0.0.0\": 192.0.2.53/32 has no next hop towards peer \
              fe80::1%eth0, whose sessions have no IPv4 address; set bgp.nexthop to an IPv4 \
              address of this host"]
        );
    }

    #[test]
    fn a_prefix_of_neighbours_is_named_like_one() {
        let racks = "name=racks;prefix=203.0.113.0/24;asn=65001";
        fine(&format!("{V4};peers=racks"), racks, "");
        fine(&format!("{V4};peers=203.0.113.0/24"), racks, "");
        let first = "bgp.nexthop=203.0.113.0";
        fine(V4, racks, first);
        assert_eq!(
            broken(&format!("{V4};peers=rack"), racks, ""),
            ["f:3: bgp.anycastaddresses: prefix 192.0.2.53/32: unknown peer \"rack\"; did you \
              mean \"racks\"?"]
        );
    }

    #[test]
    fn unknown_peers_are_errors_that_name_the_nearest() {
        let both = format!("{PEER4},{PEER6}");
        let begin = "f:3: bgp.anycastaddresses: prefix 192.0.2.53/32: unknown peer";
        assert_eq!(
            broken(&format!("{V4};peers=tro2 tor1 router"), &both, ""),
            [
                format!("{begin} \"tro2\"; did you mean \"tor2\"?"),
                format!("{begin} \"router\"; expected the name or the address of a peer"),
            ]
        );
        fine(&format!("{V4};peers=198.51.100.2 2001:db8:0::2"), &both, "");
        // A neighbour with an error of its own is known all the same.
        let errors = broken(&format!("{V4};peers=tor1 tor2"), &format!("{both};port=x"), "");
        assert_eq!(errors.len(), 1, "{errors:?}");
        let errors = broken(&format!("{V4};peers=tor1"), "address=x;asn=1;name=tor1", "");
        assert_eq!(errors.len(), 1, "{errors:?}");
    }

    #[test]
    fn a_neighbour_without_a_prefix_is_questionable() {
        assert_eq!(
            warnings(&format!("{V4};peers=tor1"), &format!("{PEER4},{IBGP}")),
            ["f:4: bgp.peers: peer 198.51.100.3: no prefix is announced to it; every one names \
              others in its peers"]
        );
    }

    #[test]
    fn options_without_effect_are_questionable() {
        let both = format!("{PEER4},{IBGP}");
        let none: Vec<String> = Vec::new();
        assert_eq!(warnings(&format!("{V4};localpref=1;prepend=1"), &both), none);
        assert_eq!(warnings(V4, &format!("{PEER4};prepend=1,{IBGP};localpref=1")), none);
        assert_eq!(
            warnings(&format!("{V4};localpref=1;prepend=1;peers=tor1"), &both)[0],
            "f:3: bgp.anycastaddresses: prefix 192.0.2.53/32: localpref has no effect, as every \
             peer that hears of it is in another AS"
        );
        assert_eq!(
            warnings(&format!("{V4};localpref=1;prepend=1;peers=rr1"), &both)[0],
            "f:3: bgp.anycastaddresses: prefix 192.0.2.53/32: prepend has no effect, as every peer \
             that hears of it is in our own AS"
        );
        assert_eq!(
            warnings(V4, &format!("{PEER4};localpref=1;nexthop=2001:db8::1,{IBGP};prepend=1")),
            [
                "f:4: bgp.peers: peer 198.51.100.2: localpref has no effect, as the peer is in \
                 another AS",
                "f:4: bgp.peers: peer 198.51.100.2: nexthop has no effect, as no IPv6 prefix is \
                 announced to it",
                "f:4: bgp.peers: peer 198.51.100.3: prepend has no effect, as the peer is in our \
                 own AS",
            ]
        );
    }
}
