//! `med=` and its companions: what a prefix or a neighbour says of the routes
//! that are announced. The same options in `bgp.anycastaddresses` and in
//! `bgp.peers`.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr};

use super::reader::Item;
use super::report::{Report, quoted};
use super::{AttributeConfig, NextHopConfig, bgp, nearest, values};

/// Most times that our AS is put in front for a prefix or a neighbour. Longer
/// paths than 50 or so are refused by many networks.
const MOST_PREPENDS: u32 = 32;

/// Most communities of one kind of a prefix or a neighbour, so that those of
/// both, three kinds of them, fit into one UPDATE of 4096 octets with room for
/// the prefix: 2 × 64 × (4 + 8 + 12) octets are 3072.
const MOST_COMMUNITIES: usize = 64;

/// GRACEFUL_SHUTDOWN (RFC 8326 §5).
pub(super) const GRACEFUL_SHUTDOWN: u32 = 0xffff_0000;

/// Well-known communities that a speaker may put on a route, as the registry of
/// IANA calls them: RFC 1997, 3765, 7999, 8326 and 9494.
const WELL_KNOWN: [(&str, u32); 8] = [
    ("graceful-shutdown", GRACEFUL_SHUTDOWN),
    ("llgr-stale", 0xffff_0006),
    ("no-llgr", 0xffff_0007),
    ("blackhole", 0xffff_029a),
    ("no-export", 0xffff_ff01),
    ("no-advertise", 0xffff_ff02),
    ("no-export-subconfed", 0xffff_ff03),
    ("no-peer", 0xffff_ff04),
];

/// The options whose values have blanks between them.
pub(super) const BLANK_LISTS: [&str; 6] = [
    "communities",
    "largecommunities",
    "extcommunities",
    "peers",
    "service",
    "deprefercommunities",
];

/// Reads the options of one prefix or neighbour. After an error it goes on as
/// if the option were not there.
pub(super) fn read(item: &Item<'_>, report: &mut Report) -> AttributeConfig {
    AttributeConfig {
        med: item.number(report, "med", 0..=u32::MAX),
        local_pref: item.number(report, "localpref", 0..=u32::MAX),
        prepend: prepend(item, report, "prepend").unwrap_or_default(),
        communities: plain_communities(item, report, "communities"),
        large_communities: communities(item, report, "largecommunities", large_community),
        extended_communities: communities(item, report, "extcommunities", extended_community),
        next_hop: item.parse(report, "nexthop", next_hop),
    }
}

/// How many more times our AS is in AS_PATH.
pub(super) fn prepend(item: &Item<'_>, report: &mut Report, key: &str) -> Option<u8> {
    let times = item.number(report, key, 0..=MOST_PREPENDS);
    times.and_then(|times| u8::try_from(times).ok())
}

/// The communities of RFC 1997 in an option.
pub(super) fn plain_communities(item: &Item<'_>, report: &mut Report, key: &str) -> Vec<u32> {
    communities(item, report, key, community)
}

/// Reads texts with blanks between them, in ascending order and without
/// repeats, so that two ways to write the same set are no change.
fn communities<T: Ord>(
    item: &Item<'_>,
    report: &mut Report,
    key: &str,
    parse: impl Fn(&str) -> Result<T, String>,
) -> Vec<T> {
    let mut found = BTreeSet::new();
    for text in item.get(key).unwrap_or_default().split_whitespace() {
        match parse(text) {
            Ok(value) => drop(found.insert(value)),
            Err(what) => item.fail_value(report, key, text, &what),
        }
    }
    if found.len() > MOST_COMMUNITIES {
        let what = format!("{key} has {} values; expected at most {MOST_COMMUNITIES}", found.len());
        item.fail_option(report, key, &what);
    }
    found.into_iter().collect()
}

/// RFC 1997: an AS number and a value of its own, 16 bits each.
fn community(text: &str) -> Result<u32, String> {
    let expected = "expected ASN:VALUE with numbers from 0 to 65535";
    if let Some((_, value)) = WELL_KNOWN.iter().find(|(name, _)| *name == text) {
        return Ok(*value);
    }
    // Which of the many ways to write one number was meant cannot be known.
    if let Some(plain) = values::decimal(text).and_then(|number| u32::try_from(number).ok()) {
        let (asn, value) = (plain >> 16, plain & 0xffff);
        return Err(format!("{expected}; {plain} is {asn}:{value}"));
    }
    let Some((asn, value)) = text.split_once(':') else {
        let names = WELL_KNOWN.iter().map(|(name, _)| *name);
        return Err(match nearest::nearest(text, names.clone()) {
            Some(near) => format!("did you mean {near:?}?"),
            None => format!("{expected}, or one of {}", names.collect::<Vec<&str>>().join(" ")),
        });
    };
    match (values::decimal(asn), values::decimal(value)) {
        (Some(asn @ 0..=0xffff), Some(value @ 0..=0xffff)) => {
            u32::try_from((asn << 16) | value).map_err(|_| expected.to_string())
        }
        (Some(0x1_0000..=0xffff_ffff), Some(_)) => {
            Err(format!("{expected}; an AS number of 32 bits needs largecommunities"))
        }
        _ => Err(expected.to_string()),
    }
}

/// RFC 8092 §3: the AS number of who defines it, and two numbers of his.
fn large_community(text: &str) -> Result<[u32; 3], String> {
    let expected = || "expected ASN:NUMBER:NUMBER with numbers from 0 to 4294967295".to_string();
    let parts: Option<Vec<u32>> = text
        .split(':')
        .map(|part| values::decimal(part).and_then(|number| u32::try_from(number).ok()))
        .collect();
    parts.and_then(|parts| parts.try_into().ok()).ok_or_else(expected)
}

/// RFC 4360 §3 and §4, RFC 5668: `rt:` and `soo:` with an AS number of two or
/// four octets or an IPv4 address, or all eight octets in hexadecimal.
fn extended_community(text: &str) -> Result<[u8; 8], String> {
    if let Some(digits) = text.strip_prefix("0x") {
        let whole = digits.len() == 16 && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
        return u64::from_str_radix(digits, 16)
            .ok()
            .filter(|_| whole)
            .map(u64::to_be_bytes)
            .ok_or_else(|| "expected 16 hexadecimal digits after 0x".to_string());
    }
    let expected = || {
        "expected rt:ASN:NUMBER, rt:IP:NUMBER, the same with soo:, or 0x and 16 hexadecimal digits"
            .to_string()
    };
    let mut parts = text.split(':');
    let (Some(kind), Some(administrator), Some(number), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(expected());
    };
    let sub_type = match kind {
        "rt" => 0x02,
        "soo" => 0x03,
        _ => return Err(expected()),
    };
    let number = values::decimal(number).ok_or_else(expected)?;
    let small = |shape: &str| {
        u16::try_from(number)
            .map(u16::to_be_bytes)
            .map_err(|_| format!("expected a last number from 0 to 65535 after {shape}"))
    };
    if let Ok(address) = administrator.parse::<Ipv4Addr>() {
        let ([a, b, c, d], [e, f]) = (address.octets(), small("an IPv4 address")?);
        return Ok([0x01, sub_type, a, b, c, d, e, f]);
    }
    let asn = values::decimal(administrator).and_then(|asn| u32::try_from(asn).ok());
    let asn = asn.ok_or_else(expected)?;
    // RFC 5668 §2: an AS number that fits into two octets is written in two.
    if let Ok(asn) = u16::try_from(asn) {
        let number = u32::try_from(number)
            .map_err(|_| "expected a last number from 0 to 4294967295".to_string())?;
        let ([a, b], [c, d, e, f]) = (asn.to_be_bytes(), number.to_be_bytes());
        return Ok([0x00, sub_type, a, b, c, d, e, f]);
    }
    let ([a, b, c, d], [e, f]) = (asn.to_be_bytes(), small("an AS number of 32 bits")?);
    Ok([0x02, sub_type, a, b, c, d, e, f])
}

fn next_hop(text: &str) -> Result<NextHopConfig, String> {
    if text == "self" {
        return Ok(NextHopConfig::Own);
    }
    let address = text.parse::<IpAddr>().map(|address| address.to_canonical());
    match address {
        Ok(IpAddr::V6(address)) if address.is_unicast_link_local() => {
            Err("expected self, or a global address and not a link-local one".to_string())
        }
        Ok(address) if !address.is_unspecified() && bgp::is_host(address) => {
            Ok(NextHopConfig::Address(address))
        }
        Ok(_) => Err("expected self, or the address of a host".to_string()),
        Err(_) => Err("expected self, or an IP address".to_string()),
    }
}

/// The names of neighbours: texts with blanks between them.
pub(super) fn peers(item: &Item<'_>, report: &mut Report) -> Vec<String> {
    let Some(text) = item.get("peers") else { return Vec::new() };
    let mut names: Vec<String> = Vec::new();
    for name in text.split_whitespace() {
        if !names.iter().any(|other| other == name) {
            names.push(name.to_string());
        }
    }
    if names.is_empty() {
        item.fail(report, &format!("peers = {}: expected names of peers", quoted(text)));
    }
    names
}

#[cfg(test)]
mod tests {
    use super::super::testing::{errors, loaded};
    use super::*;

    fn attributes(options: &str) -> AttributeConfig {
        let text = format!("bgp.anycastaddresses=192.0.2.10/32;{options}");
        loaded(&text).config.bgp.anycast_addresses.remove(0).attributes
    }

    #[test]
    fn every_option() {
        assert_eq!(attributes(""), AttributeConfig::default());
        assert_eq!(attributes("med=;prepend=0;communities=;nexthop="), AttributeConfig::default());
        let all = "med=0;localpref=4294967295;prepend=32;communities=65000:2 no-export  65000:1;\
                   largecommunities=4200000000:1:2;extcommunities=rt:65000:1;nexthop=self";
        assert_eq!(
            attributes(all),
            AttributeConfig {
                med: Some(0),
                local_pref: Some(u32::MAX),
                prepend: 32,
                communities: vec![0xfde8_0001, 0xfde8_0002, 0xffff_ff01],
                large_communities: vec![[4_200_000_000, 1, 2]],
                extended_communities: vec![[0, 2, 0xfd, 0xe8, 0, 0, 0, 1]],
                next_hop: Some(NextHopConfig::Own),
            }
        );
    }

    #[test]
    fn communities_in_any_order_and_number_are_one_set() {
        assert_eq!(community("0:0"), Ok(0));
        assert_eq!(community("65535:65535"), Ok(u32::MAX));
        assert_eq!(community("graceful-shutdown"), community("65535:0"));
        assert_eq!(community("blackhole"), community("65535:666"));
        assert_eq!(community("no-peer"), community("65535:65284"));
        let same = ["65000:1 65000:2", "65000:2 65000:1 65000:1", " 65000:2\t65000:1 "];
        for text in same {
            let found = attributes(&format!("communities={text}")).communities;
            assert_eq!(found, [0xfde8_0001, 0xfde8_0002], "{text}");
        }
    }

    #[test]
    fn bad_communities() {
        let expected = "expected ASN:VALUE with numbers from 0 to 65535";
        assert_eq!(community("4259840001"), Err(format!("{expected}; 4259840001 is 65000:1")));
        assert_eq!(
            community("4200000000:1"),
            Err(format!("{expected}; an AS number of 32 bits needs largecommunities"))
        );
        assert_eq!(community("no-exprot"), Err("did you mean \"no-export\"?".into()));
        for bad in ["65000:65536", "65000:", ":1", "65000:1:2", "a:b", "-1:1", "4294967296:1"] {
            assert_eq!(community(bad), Err(expected.to_string()), "{bad}");
        }
        for bad in ["accept-own", "4294967296"] {
            let answer = community(bad).unwrap_err();
            assert!(answer.starts_with(expected) && answer.ends_with("no-peer"), "{answer}");
        }
        for bad in ["1:2", "1:2:3:4", "1:2:4294967296", "1::3", "x:1:2", "1:2:3 "] {
            assert!(large_community(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn extended_communities_in_all_their_forms() {
        let golden = [
            ("rt:65000:4294967295", [0, 2, 0xfd, 0xe8, 0xff, 0xff, 0xff, 0xff]),
            ("rt:65536:65535", [2, 2, 0, 1, 0, 0, 0xff, 0xff]),
            ("rt:192.0.2.1:7", [1, 2, 192, 0, 2, 1, 0, 7]),
            ("soo:65000:1", [0, 3, 0xfd, 0xe8, 0, 0, 0, 1]),
            ("soo:4200000000:1", [2, 3, 0xfa, 0x56, 0xea, 0, 0, 1]),
            ("soo:192.0.2.1:1", [1, 3, 192, 0, 2, 1, 0, 1]),
            ("0x0002fDe800000001", [0, 2, 0xfd, 0xe8, 0, 0, 0, 1]),
        ];
        for (text, octets) in golden {
            assert_eq!(extended_community(text), Ok(octets), "{text}");
        }
        let bad = [
            "rt:65000:4294967296",
            "rt:65536:65536",
            "rt:192.0.2.1:65536",
            "rt:4294967296:1",
            "rt:65000",
            "rt:65000:1:2",
            "65000:1",
            "RT:65000:1",
            "0x0002fde80000000",
            "0x0002fde8000000011",
            "0x+002fde800000001",
            "0x",
            "rt:2001:db8::1:1",
        ];
        for text in bad {
            assert!(extended_community(text).is_err(), "{text}");
        }
    }

    #[test]
    fn next_hops() {
        let address = |text: &str| next_hop(text).map(|_| ());
        assert_eq!(next_hop("self"), Ok(NextHopConfig::Own));
        let mapped = NextHopConfig::Address("192.0.2.1".parse().unwrap());
        assert_eq!(next_hop("::ffff:192.0.2.1"), Ok(mapped));
        assert!(address("2001:db8::1").is_ok());
        for bad in ["0.0.0.0", "::", "224.0.0.1", "255.255.255.255", "ff02::1", "fe80::1", "x"] {
            assert!(address(bad).unwrap_err().starts_with("expected self, or "), "{bad}");
        }
    }

    #[test]
    fn errors_name_prefix_option_and_value() {
        let one = |options: &str| {
            let errors = errors(&format!("bgp.anycastaddresses=192.0.2.10/32;{options}"));
            assert_eq!(errors.len(), 1, "{options}: {errors:?}");
            let begin = "f:1: bgp.anycastaddresses: prefix 192.0.2.10/32: ";
            errors[0].strip_prefix(begin).unwrap().to_string()
        };
        let number = "expected a number from 0 to";
        assert_eq!(one("med=4294967296"), format!("med = \"4294967296\": {number} 4294967295"));
        assert_eq!(one("localpref=high"), format!("localpref = \"high\": {number} 4294967295"));
        assert_eq!(one("prepend=33"), format!("prepend = \"33\": {number} 32"));
        assert!(
            one("communities=65000:1 x").starts_with("communities = \"x\": expected ASN:VALUE")
        );
        assert!(one("largecommunities=1:2").starts_with("largecommunities = \"1:2\": expected"));
        assert!(one("extcommunities=rt:1").starts_with("extcommunities = \"rt:1\": expected rt:"));
        assert_eq!(one("nexthop=me"), "nexthop = \"me\": expected self, or an IP address");
        assert_eq!(one("peers= "), "peers = \" \": expected names of peers");
        let many: Vec<String> = (0..65).map(|n| format!("65000:{n}")).collect();
        assert_eq!(
            one(&format!("communities={}", many.join(" "))),
            "communities has 65 values; expected at most 64"
        );
    }
}
