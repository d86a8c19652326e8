//! `bgp.anycastaddresses`: the prefixes, and what is said of each.

use std::net::IpAddr;

use ipnet::IpNet;

use super::bgp::FabioRules;
use super::kv_list::Map;
use super::reader::{Item, Reader};
use super::{
    AnycastConfig, AttributeConfig, NextHopConfig, PeerConfig, RemoteConfig, attributes, services,
};

/// Its key.
pub(super) const KEY: &str = "bgp.anycastaddresses";

/// Reads all prefixes. Those with an error may be missing in the result.
pub(super) fn read(reader: &mut Reader<'_>, rules: &mut FabioRules) -> Vec<AnycastConfig> {
    let Some((setting, maps)) = reader.maps(KEY) else { return Vec::new() };
    let mut prefixes: Vec<AnycastConfig> = Vec::new();
    let mut before: Option<&Map> = None;
    for (number, map) in (1_usize..).zip(&maps) {
        let mut item = Item::new(setting, format!("prefix {number}"), map);
        let prefix = prefix(&item, before.replace(map), reader, rules);
        if let Some(prefix) = prefix {
            item.name = format!("prefix {prefix}");
        }
        item.check_keys(reader.report);
        let attributes = attributes::read(&item, reader.report);
        let peers = attributes::peers(&item, reader.report);
        let rule = services::read(&item, reader.report);
        let Some(prefix) = prefix else { continue };
        check_next_hop(&item, prefix, &attributes, reader);
        let services::Rule {
            services,
            require,
            min_healthy,
            shutdown_below,
            deprefer_below,
            when_empty,
            deprefer,
        } = rule;
        let entry = AnycastConfig {
            prefix,
            attributes,
            peers,
            services,
            require,
            min_healthy,
            shutdown_below,
            deprefer_below,
            when_empty,
            deprefer,
        };
        match prefixes.iter().find(|other| other.prefix == prefix) {
            None => prefixes.push(entry),
            Some(other) if *other == entry => {
                reader.warn(setting, &format!("{prefix} is there twice"));
            }
            Some(_) => item.fail(
                reader.report,
                "it is there twice with different options; what differs between peers is set in \
                 bgp.peers",
            ),
        }
    }
    prefixes
}

/// fabio's rule 1, and what it does not look at. `before` is the entry before
/// this one.
fn prefix(
    item: &Item<'_>,
    before: Option<&Map>,
    reader: &mut Reader<'_>,
    rules: &mut FabioRules,
) -> Option<IpNet> {
    let Some(text) = item.get("") else {
        item.fail(reader.report, "it has no prefix; write that first, as in 192.0.2.53/32;med=10");
        return None;
    };
    let Ok(prefix) = text.parse::<IpNet>() else {
        let last = before.and_then(|map| map.pairs.last()).map(|pair| pair.key.as_str());
        let list = last.filter(|key| attributes::BLANK_LISTS.contains(key));
        let expected = match (text.parse::<IpAddr>(), list) {
            (Ok(address), None) => format!("write {}", IpNet::from(address)),
            (_, Some(key)) => {
                format!("expected a prefix; the values of {key} are separated by blanks")
            }
            (Err(_), None) => "expected a prefix such as 192.0.2.53/32".to_string(),
        };
        let what = format!("could not parse cidr for anycast address {text}: {expected}");
        rules.broken(reader, item.setting, &what);
        return None;
    };
    if prefix != prefix.trunc() {
        let what = format!("{prefix} has bits set beyond its length; write {}", prefix.trunc());
        reader.fail(item.setting, &what);
        return None;
    }
    Some(prefix)
}

fn check_next_hop(
    item: &Item<'_>,
    prefix: IpNet,
    attributes: &AttributeConfig,
    reader: &mut Reader<'_>,
) {
    if let Some(NextHopConfig::Address(address)) = attributes.next_hop
        && address.is_ipv4() != prefix.addr().is_ipv4()
    {
        let family = if prefix.addr().is_ipv4() { "IPv4" } else { "IPv6" };
        let what = format!("expected self, or an {family} address, as the prefix is one");
        item.fail_value(reader.report, "nexthop", &address.to_string(), &what);
    }
}

/// Writes the names of neighbours where their addresses or prefixes were given.
pub(super) fn resolve(prefixes: &mut [AnycastConfig], peers: &[PeerConfig]) {
    for text in prefixes.iter_mut().flat_map(|prefix| &mut prefix.peers) {
        if let Some(peer) = peers.iter().find(|peer| is_written(&peer.remote, text)) {
            text.clone_from(&peer.name);
        }
    }
}

/// Whether `text` is an address or prefix in any spelling.
fn is_written(remote: &RemoteConfig, text: &str) -> bool {
    match remote {
        RemoteConfig::Address { address, interface } => {
            let (written, zone) = match text.split_once('%') {
                Some((written, zone)) => (written, Some(zone)),
                None => (text, None),
            };
            let written = written.parse::<IpAddr>().map(|address| address.to_canonical());
            written.as_ref() == Ok(address) && zone == interface.as_deref()
        }
        RemoteConfig::Prefix { prefix, .. } => text.parse::<IpNet>().as_ref() == Ok(prefix),
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{errors, load_file, loaded};
    use super::*;

    fn prefixes(text: &str) -> Vec<AnycastConfig> {
        loaded(&format!("bgp.anycastaddresses={text}")).config.bgp.anycast_addresses
    }

    fn only_error(text: &str) -> String {
        let mut errors = errors(&format!("bgp.anycastaddresses={text}"));
        assert_eq!(errors.len(), 1, "{text}: {errors:?}");
        errors.remove(0)
    }

    #[test]
    fn plain_lists_are_lists_of_entries() {
        let names = |text: &str| {
            let prefixes = prefixes(text);
            assert!(prefixes.iter().all(|p| p.attributes == AttributeConfig::default()));
            prefixes.iter().map(|p| p.prefix.to_string()).collect::<Vec<String>>().join(" ")
        };
        assert_eq!(names(""), "");
        assert_eq!(names("192.0.2.0/24, 2001:db8::/48 ,"), "192.0.2.0/24 2001:db8::/48");
        assert_eq!(names(" ,192.0.2.0/24;,,2001:db8::/48;"), "192.0.2.0/24 2001:db8::/48");
    }

    #[test]
    fn each_entry_has_its_own_options() {
        let found = prefixes("192.0.2.10/32;med=10;peers=a  b a,2001:db8::10/128;prepend=1");
        assert_eq!(found[0].attributes.med, Some(10));
        assert_eq!(found[0].peers, ["a", "b"]);
        assert_eq!((found[1].attributes.med, found[1].attributes.prepend), (None, 1));
        assert!(found[1].peers.is_empty());
    }

    #[test]
    fn peers_can_be_named_by_address_in_any_spelling() {
        let text = "bgp.peers=name=tor1;address=192.0.2.1;asn=1,address=2001:db8::2;asn=1\n\
                    bgp.anycastaddresses=192.0.2.53/32;peers=::ffff:192.0.2.1 2001:DB8:0::2 x";
        let bgp = loaded(text).config.bgp;
        assert_eq!(bgp.anycast_addresses[0].peers, ["tor1", "2001:db8::2", "x"]);
        let text = "bgp.peers=name=a;address=fe80::1%eth0;asn=1,address=fe80::1%eth1;asn=1,\
                    name=racks;prefix=2001:db8::/64;asn=1\n\
                    bgp.anycastaddresses=192.0.2.53/32;peers=FE80:0::1%eth0 fe80:0::1%eth1 \
                    2001:DB8:0::/64 fe80::1";
        let bgp = loaded(text).config.bgp;
        assert_eq!(bgp.anycast_addresses[0].peers, ["a", "fe80::1%eth1", "racks", "fe80::1"]);
    }

    #[test]
    fn bad_entries() {
        let begin = "f:1: bgp.anycastaddresses";
        assert_eq!(
            only_error("192.0.2.53/32,med=10"),
            format!(
                "{begin}: prefix 2: it has no prefix; write that first, as in 192.0.2.53/32;med=10"
            )
        );
        assert_eq!(
            only_error("192.0.2.53/32;peers=tor1,tor2"),
            format!(
                "{begin} = \"192.0.2.53/32;peers=tor1,tor2\": BGP configuration invalid: could not \
                 parse cidr for anycast address tor2: expected a prefix; the values of peers are \
                 separated by blanks"
            )
        );
        assert_eq!(
            only_error("192.0.2.53/32;nexthop=2001:db8::1"),
            format!(
                "{begin}: prefix 192.0.2.53/32: nexthop = \"2001:db8::1\": expected self, or an \
                 IPv4 address, as the prefix is one"
            )
        );
        assert_eq!(
            only_error("192.0.2.53/32;med=1,192.0.2.53/32;med=2"),
            format!(
                "{begin}: prefix 192.0.2.53/32: it is there twice with different options; what \
                 differs between peers is set in bgp.peers"
            )
        );
        let twice = "bgp.anycastaddresses=192.0.2.53/32;med=1,192.0.2.53/32;med=01";
        let twice = load_file(twice).unwrap();
        assert_eq!(twice.config.bgp.anycast_addresses.len(), 1);
        assert!(twice.warnings[0].ends_with("192.0.2.53/32 is there twice"));
    }

    #[test]
    fn unknown_options_are_named() {
        let loaded = loaded("bgp.anycastaddresses=192.0.2.53/32;comunities=65000:1");
        assert_eq!(
            loaded.warnings[..1],
            [
                "f:1: bgp.anycastaddresses: prefix 192.0.2.53/32: unknown option \"comunities\"; did \
              you mean \"communities\"?"
            ]
        );
    }
}
