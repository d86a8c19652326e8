//! Who an entry of `bgp.peers` is for: one address, or all of a prefix; its
//! name; and what depends on it.

use std::net::IpAddr;

use ipnet::IpNet;

use super::bgp::{self, FabioRules};
use super::reader::{Item, Reader, hint_of_blanks};
use super::report::Report;
use super::{PeerConfig, RemoteConfig};

/// The longest name of a neighbour, which is on every log line about it.
const LONGEST_NAME: usize = 64;

/// The longest name of an interface in Linux (IFNAMSIZ less the zero at its
/// end).
pub(super) const LONGEST_INTERFACE: usize = 15;

/// Most neighbours of one prefix, and how many there may be unless `limit` is
/// set. Each may have 64 KiB waiting to be sent, so 1000 hold 64 MB at worst,
/// and a withdrawal that goes to all of them in one turn takes some 10 ms.
const LIMIT_MAXIMUM: u32 = 1000;
const LIMIT_DEFAULT: u32 = 100;

/// Who it is. `None` after an error.
pub(super) fn read(
    item: &Item<'_>,
    reader: &mut Reader<'_>,
    rules: &mut FabioRules,
) -> Option<RemoteConfig> {
    match (item.get("address"), item.get("prefix")) {
        (Some(_), Some(_)) => {
            let what = "address and prefix do not go together; an address is one neighbour, a \
                        prefix all that connect from it";
            item.fail(reader.report, what);
            None
        }
        (None, Some(_)) => prefix(item, reader.report),
        // fabio's rule 3
        (None, None) => {
            let what = format!("{} has no address; write address=192.0.2.1", item.name);
            rules.broken(reader, item.setting, &what);
            None
        }
        (Some(text), None) => address(item, text, reader, rules),
    }
}

/// fabio's rule 3, and what it lets pass.
fn address(
    item: &Item<'_>,
    text: &str,
    reader: &mut Reader<'_>,
    rules: &mut FabioRules,
) -> Option<RemoteConfig> {
    let (written, zone) = split_zone(text);
    let Ok(address) = written.parse::<IpAddr>().map(|address| address.to_canonical()) else {
        let hint = hint_of_blanks(text);
        let what = format!("peer address {text} is not a valid IP{hint}");
        rules.broken(reader, item.setting, &what);
        return None;
    };
    let what = if address.is_unspecified() || !bgp::is_host(address) {
        "expected the address of a neighbour".to_string()
    } else {
        match (is_link_local(address), zone) {
            (false, None) => return Some(RemoteConfig::Address { address, interface: None }),
            (false, Some(_)) => {
                format!("only an address of fe80::/10 has an interface; write address={address}")
            }
            (true, None) => format!(
                "a link-local address needs its interface; write address={address}%eth0, with the \
                 interface that leads to the neighbour"
            ),
            (true, Some(zone)) if is_interface(zone) => {
                return Some(RemoteConfig::Address { address, interface: Some(zone.to_string()) });
            }
            (true, Some(_)) => format!(
                "expected the name of an interface after the %, of at most {LONGEST_INTERFACE} \
                 bytes"
            ),
        }
    };
    item.fail_value(reader.report, "address", text, &what);
    None
}

/// An address and the zone after the `%` (RFC 4007 §11).
fn split_zone(text: &str) -> (&str, Option<&str>) {
    match text.split_once('%') {
        Some((address, zone)) => (address, Some(zone)),
        None => (text, None),
    }
}

fn is_link_local(address: IpAddr) -> bool {
    matches!(address, IpAddr::V6(address) if address.is_unicast_link_local())
}

/// What the kernel takes as the name of an interface.
pub(super) fn is_interface(name: &str) -> bool {
    (1..=LONGEST_INTERFACE).contains(&name.len())
        && name != "."
        && name != ".."
        && !name.contains(|c: char| c == '/' || c == ':' || c == '\0' || c.is_whitespace())
}

fn prefix(item: &Item<'_>, report: &mut Report) -> Option<RemoteConfig> {
    let prefix = item.parse(report, "prefix", |text| {
        let prefix = text.parse::<IpNet>().map_err(|_| match text.parse::<IpAddr>() {
            Ok(_) => "expected a prefix; one neighbour is written with address=".to_string(),
            Err(_) => "expected a prefix such as 10.1.0.0/16".to_string(),
        })?;
        let (first, last) = (prefix.network(), prefix.broadcast());
        if prefix != prefix.trunc() {
            return Err(format!("it has bits set beyond its length; write {}", prefix.trunc()));
        }
        if is_link_local(first) && is_link_local(last) {
            let what = "link-local neighbours are written one by one, as address=fe80::1%eth0";
            return Err(what.to_string());
        }
        if !bgp::is_host(first) || first.to_canonical() != first {
            return Err("expected a prefix of addresses that neighbours can have".to_string());
        }
        Ok(prefix)
    });
    let limit = check_limit(item, report).unwrap_or(LIMIT_DEFAULT);
    Some(RemoteConfig::Prefix { prefix: prefix?, limit })
}

/// Most neighbours of a prefix, if that is written.
pub(super) fn check_limit(item: &Item<'_>, report: &mut Report) -> Option<u32> {
    item.number(report, "limit", 1..=LIMIT_MAXIMUM)
}

/// What logs and the `peers` of prefixes call a neighbour: `name`, or else its
/// address. `None` after an error.
pub(super) fn name(item: &Item<'_>, remote: &RemoteConfig, report: &mut Report) -> Option<String> {
    let default = remote.to_string();
    if item.get("name").is_none_or(|name| name == default) {
        return Some(default);
    }
    item.parse(report, "name", |text| {
        // A name that is another neighbour's address would name two of them.
        let as_address = text.parse::<IpAddr>().map(|address| address.to_canonical());
        if as_address.is_ok_and(|other| Some(other) != remote.address()) {
            return Err("expected a name, or the address of this very peer".to_string());
        }
        check_name(text).map(|()| text.to_string())
    })
}

/// Whether a neighbour or a template can be called so.
pub(super) fn check_name(text: &str) -> Result<(), String> {
    let fine = |c: char| c.is_alphanumeric() || "._-:/@".contains(c);
    match text.chars().all(fine) && text.chars().count() <= LONGEST_NAME {
        true => Ok(()),
        false => Err(format!("expected at most {LONGEST_NAME} letters, digits and . _ - : / @")),
    }
}

/// The local address of our connections. That of a link-local neighbour may
/// name the interface once more.
pub(super) fn source(item: &Item<'_>, report: &mut Report) -> Option<IpAddr> {
    let own_zone = item.get("address").and_then(|text| split_zone(text).1);
    item.parse(report, "source", |text| {
        let (written, zone) = split_zone(text);
        match written.parse::<IpAddr>().map(|address| address.to_canonical()) {
            Ok(address) if zone.is_some() && !is_link_local(address) => Err(format!(
                "only an address of fe80::/10 has an interface; write source={address}"
            )),
            Ok(_) if zone.is_some() && zone != own_zone && !item.is_partial => {
                Err("expected the interface that the address of the peer has".to_string())
            }
            Ok(address) if !address.is_unspecified() && bgp::is_host(address) => Ok(address),
            _ => Err("expected an IP address of this host".to_string()),
        }
    })
}

/// What an entry may say only of an address, or only of a prefix.
pub(super) fn check(item: &Item<'_>, peer: &mut PeerConfig, report: &mut Report) {
    match peer.remote {
        RemoteConfig::Address { .. } => {
            check_source(item, peer, report);
            if item.has_own("limit") && item.get("limit").is_some() {
                item.warn(report, "limit has no effect without prefix");
            }
        }
        RemoteConfig::Prefix { .. } => {
            for option in ["port", "source"] {
                if item.get(option).is_some() {
                    let from = if item.has_own(option) { "" } else { " of its template" };
                    let what = format!(
                        "{option}{from} is for a neighbour that is dialled, and those of a prefix \
                         are waited for; remove it"
                    );
                    item.fail(report, &what);
                }
            }
            if item.get("passive").is_some() && !peer.passive {
                let what = "passive=false needs an address to dial; those of a prefix are always \
                            waited for";
                item.fail(report, what);
            }
            peer.passive = true;
        }
    }
}

fn check_source(item: &Item<'_>, peer: &PeerConfig, report: &mut Report) {
    let Some(source) = peer.source else { return };
    let (remote, text) = (&peer.remote, source.to_string());
    let wanted = match (source.is_ipv4() == remote.is_ipv4(), remote.is_link_local()) {
        (false, _) if remote.is_ipv4() => "an IPv4 address",
        (false, _) => "an IPv6 address",
        (true, true) if !is_link_local(source) => "a link-local address",
        (true, false) if is_link_local(source) => "an address that is not link-local",
        (true, _) => return,
    };
    // What does not fit may be the template's fault or the entry's, so it is
    // said of the entry.
    item.fail(report, &format!("source = {text:?}: expected {wanted}, as the peer has one"));
}

/// Two entries for one neighbour, or with one name.
pub(super) fn check_twice(
    item: &Item<'_>,
    peer: &PeerConfig,
    others: &[PeerConfig],
    report: &mut Report,
) {
    for other in others {
        match (&peer.remote, &other.remote) {
            (RemoteConfig::Address { .. }, remote) if peer.remote == *remote => {
                return item.fail(report, "two peers have this address");
            }
            (
                RemoteConfig::Prefix { prefix, .. },
                RemoteConfig::Prefix { prefix: other_prefix, .. },
            ) if prefix == other_prefix => {
                let what = format!("two peers have this prefix: {} and {}", other.name, peer.name);
                return item.fail(report, &what);
            }
            _ => {}
        }
    }
    if others.iter().any(|other| other.name == peer.name) {
        item.fail_value(report, "name", &peer.name, "two peers have this name");
    }
}

/// The neighbours of a prefix are called by the name of that and their
/// address; nobody else may be.
pub(super) fn check_names(peers: &[PeerConfig], reader: &mut Reader<'_>) {
    for group in peers.iter().filter(|peer| peer.remote.address().is_none()) {
        let is_member = |name: &str| {
            let rest = name.strip_prefix(group.name.as_str()).and_then(|r| r.strip_prefix('/'));
            rest.is_some_and(|rest| rest.parse::<IpAddr>().is_ok())
        };
        for peer in peers.iter().filter(|peer| is_member(&peer.name)) {
            let what =
                format!("name = {:?}: a neighbour of {} is called so", peer.name, group.name);
            reader.fail_at("bgp.peers", &format!("peer {}", peer.remote), &what);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{errors, errors_of, load_file, one, peers};
    use super::*;

    fn only_error(text: &str) -> String {
        let mut errors = errors(&format!("bgp.peers={text}"));
        assert_eq!(errors.len(), 1, "{text}: {errors:?}");
        let error = errors.remove(0);
        error.strip_prefix("f:1: bgp.peers: ").unwrap_or(&error).to_string()
    }

    #[test]
    fn addresses() {
        let error = |address: &str| errors(&format!("bgp.peers=address={address};asn=1")).remove(0);
        for address in ["0.0.0.0", "::", "224.0.0.1", "255.255.255.255", "ff02::1"] {
            assert_eq!(
                error(address),
                format!(
                    "f:1: bgp.peers: peer 1: address = \"{address}\": expected the address of a \
                     neighbour"
                )
            );
        }
        assert_eq!(
            error("[2001:db8::1]"),
            "f:1: bgp.peers: BGP configuration invalid: peer address [2001:db8::1] is not a valid \
             IP"
        );
        assert_eq!(
            errors("bgp.peers=address=192.0.2.1 ;asn=1"),
            ["f:1: bgp.peers: BGP configuration invalid: peer address 192.0.2.1  is not a valid \
              IP (there is a blank before or after it)"]
        );
        assert_eq!(
            errors("bgp.peers=192.0.2.1;asn=1"),
            ["f:1: bgp.peers: BGP configuration invalid: peer 1 has no address; write \
              address=192.0.2.1"]
        );
        assert_eq!(
            errors("bgp.peers=address=192.0.2.1;asn=1,address=::ffff:192.0.2.1;asn=2"),
            ["f:1: bgp.peers: peer 192.0.2.1: two peers have this address"]
        );
    }

    #[test]
    fn names() {
        assert_eq!(one("name=rack-1/tor.a:b_c@d").name, "rack-1/tor.a:b_c@d");
        assert_eq!(one("name=192.0.2.1").name, "192.0.2.1");
        assert_eq!(one("name=").name, "192.0.2.1");
        let expected = "expected at most 64 letters, digits and . _ - : / @";
        for bad in ["tor 1", "\"tor,1\"", "tor\"1", "tor=1", &"x".repeat(65)] {
            let errors = errors_of(&format!("name={bad}"));
            assert!(errors.len() == 1 && errors[0].contains(expected), "{bad}: {errors:?}");
        }
        assert_eq!(
            errors_of("name=192.0.2.2"),
            ["name = \"192.0.2.2\": expected a name, or the address of this very peer"]
        );
        assert_eq!(
            errors("bgp.peers=address=192.0.2.1;asn=1;name=a,address=192.0.2.2;asn=1;name=a"),
            ["f:1: bgp.peers: peer 192.0.2.2: name = \"a\": two peers have this name"]
        );
    }

    #[test]
    fn link_local_neighbours_are_on_an_interface() {
        let found = peers(
            "address=fe80::1%eth0;asn=1;source=fe80::9,address=fe80::1%eth1;asn=1;\
             source=fe80::9%eth1,address=FE80:0::2%vlan.100;asn=1;name=fe80::2%vlan.100",
        );
        let names: Vec<&str> = found.iter().map(|peer| peer.name.as_str()).collect();
        assert_eq!(names, ["fe80::1%eth0", "fe80::1%eth1", "fe80::2%vlan.100"]);
        let source = "fe80::9".parse().ok();
        assert_eq!((found[0].source, found[1].source, found[2].source), (source, source, None));
        let address = "fe80::1".parse().unwrap();
        let remote = RemoteConfig::Address { address, interface: Some("eth1".to_string()) };
        assert_eq!(found[1].remote, remote);
        assert!(remote.is_link_local() && !remote.is_ipv4());

        let golden = [
            (
                "address=fe80::1;asn=1",
                "peer 1: address = \"fe80::1\": a link-local address needs its interface; write \
                 address=fe80::1%eth0, with the interface that leads to the neighbour",
            ),
            (
                "address=192.0.2.1%eth0;asn=1",
                "peer 1: address = \"192.0.2.1%eth0\": only an address of fe80::/10 has an \
                 interface; write address=192.0.2.1",
            ),
            (
                "address=fe80::1%;asn=1",
                "peer 1: address = \"fe80::1%\": expected the name of an interface after the %, of \
                 at most 15 bytes",
            ),
            (
                "address=fe80::1%eth0;asn=1,address=fe80:0::1%eth0;asn=2",
                "peer fe80::1%eth0: two peers have this address",
            ),
            (
                "address=fe80::1%eth0;asn=1;source=2001:db8::1",
                "peer fe80::1%eth0: source = \"2001:db8::1\": expected a link-local address, as \
                 the peer has one",
            ),
            (
                "address=fe80::1%eth0;asn=1;source=fe80::2%eth1",
                "peer fe80::1%eth0: source = \"fe80::2%eth1\": expected the interface that the \
                 address of the peer has",
            ),
            (
                "address=2001:db8::1;asn=1;source=fe80::2",
                "peer 2001:db8::1: source = \"fe80::2\": expected an address that is not \
                 link-local, as the peer has one",
            ),
            (
                "address=2001:db8::1;asn=1;source=2001:db8::2%eth0",
                "peer 2001:db8::1: source = \"2001:db8::2%eth0\": only an address of fe80::/10 has \
                 an interface; write source=2001:db8::2",
            ),
        ];
        for (text, error) in golden {
            assert_eq!(only_error(text), error, "{text}");
        }
        for bad in ["a b", "a/b", "..", "sixteen-letters-"] {
            assert!(only_error(&format!("address=fe80::1%{bad};asn=1")).contains("after the %"));
        }
        assert!(only_error("address=x%eth0;asn=1").contains("x%eth0 is not a valid IP"));
    }

    #[test]
    fn a_prefix_is_all_that_connect_from_it() {
        let found = peers(
            "name=racks;prefix=10.1.0.0/16;asn=65000;limit=1000;bfd=true;password=x,\
             prefix=2001:db8::/64;asn=1;passive=true,prefix=0.0.0.0/0;asn=1",
        );
        let prefix =
            |text: &str, limit| RemoteConfig::Prefix { prefix: text.parse().unwrap(), limit };
        assert_eq!(
            (found[0].name.as_str(), &found[0].remote),
            ("racks", &prefix("10.1.0.0/16", 1000))
        );
        assert_eq!(found[1].name, "2001:db8::/64");
        assert_eq!(found[1].remote, prefix("2001:db8::/64", 100));
        assert!(found.iter().all(|peer| peer.passive && peer.remote.address().is_none()));
        assert_eq!(found[2].remote, prefix("0.0.0.0/0", 100));

        let golden = [
            ("prefix=10.1.0.0;asn=1", "expected a prefix; one neighbour is written with address="),
            ("prefix=10.1/16;asn=1", "expected a prefix such as 10.1.0.0/16"),
            ("prefix=10.1.2.0/16;asn=1", "it has bits set beyond its length; write 10.1.0.0/16"),
            (
                "prefix=fe80::/64;asn=1",
                "link-local neighbours are written one by one, as address=fe80::1%eth0",
            ),
            ("prefix=224.0.0.0/8;asn=1", "expected a prefix of addresses that neighbours can have"),
            (
                "prefix=::ffff:10.1.0.0/112;asn=1",
                "expected a prefix of addresses that neighbours can have",
            ),
        ];
        for (text, what) in golden {
            let value = text.trim_start_matches("prefix=").trim_end_matches(";asn=1");
            assert_eq!(only_error(text), format!("peer 1: prefix = {value:?}: {what}"));
        }
        let dialled = "is for a neighbour that is dialled, and those of a prefix are waited for; \
                       remove it";
        let golden = [
            ("port=1179", format!("port {dialled}")),
            ("source=10.1.0.1", format!("source {dialled}")),
            (
                "passive=false",
                "passive=false needs an address to dial; those of a prefix are always waited for"
                    .to_string(),
            ),
            ("limit=0", "limit = \"0\": expected a number from 1 to 1000".to_string()),
            ("limit=1001", "limit = \"1001\": expected a number from 1 to 1000".to_string()),
        ];
        for (option, what) in golden {
            let error = only_error(&format!("prefix=10.1.0.0/16;asn=1;{option}"));
            assert_eq!(error.split_once(": ").unwrap().1, what);
        }
        assert_eq!(
            only_error("address=10.1.0.1;prefix=10.1.0.0/16;asn=1"),
            "peer 1: address and prefix do not go together; an address is one neighbour, a prefix \
             all that connect from it"
        );
        assert_eq!(
            load_file("bgp.peers=address=10.1.0.1;asn=1;limit=5").unwrap().warnings[..1],
            ["f:1: bgp.peers: peer 10.1.0.1: limit has no effect without prefix"]
        );
    }

    #[test]
    fn prefixes_and_the_names_of_their_neighbours_are_unique() {
        assert_eq!(
            only_error("name=racks;prefix=10.1.0.0/16;asn=1,name=rows;prefix=10.1.0.0/16;asn=2"),
            "peer 10.1.0.0/16: two peers have this prefix: racks and rows"
        );
        assert_eq!(
            only_error("name=racks;prefix=10.1.0.0/16;asn=1,name=racks;prefix=10.2.0.0/16;asn=1"),
            "peer 10.2.0.0/16: name = \"racks\": two peers have this name"
        );
        assert_eq!(
            only_error(
                "name=racks/10.1.0.1;address=192.0.2.1;asn=1,name=racks;prefix=10.1.0.0/16;asn=1"
            ),
            "peer 192.0.2.1: name = \"racks/10.1.0.1\": a neighbour of racks is called so"
        );
        let fine = "name=racks/tor1;address=10.1.0.1;asn=1,name=racks;prefix=10.1.0.0/16;asn=1,\
                    prefix=10.1.1.0/24;asn=1";
        assert_eq!(peers(fine).len(), 3);
    }
}
