//! `{{ }}` in addresses: what only the host itself knows.
//!
//! fabio runs addresses through the templates of HashiCorp's go-sockaddr. Here
//! are the three functions of it that give one address:
//!
//! - `GetPrivateIP`: one in a block of RFC 6890 that is forwarded, of an
//!   interface that is up;
//! - `GetPublicIP`: likewise one in no such block;
//! - `GetInterfaceIP "eth0"`: one of this interface that is forwarded.
//!
//! Of several the first two prefer the interface of the default route, then all
//! three IPv4, then the larger network. Where there is none, fabio goes on with
//! nothing in its place, which is all addresses; here that is an error. The
//! argument is a name, and not an expression that names match.

use std::io;
use std::net::IpAddr;

use ipnet::IpNet;

use crate::reactor::interfaces::{InterfaceAddress, Interfaces};

/// Lists the interfaces of the host. It is asked only where a template is.
pub(super) type ListInterfaces<'a> = &'a dyn Fn() -> io::Result<Interfaces>;

const SUPPORTED: &str = "supported are {{ GetPrivateIP }}, {{ GetPublicIP }} and \
                         {{ GetInterfaceIP \"eth0\" }}";

/// The blocks of RFC 6890 §2.2.2 and §2.2.3.
const SPECIAL: [&str; 28] = [
    "0.0.0.0/8",
    "10.0.0.0/8",
    "100.64.0.0/10",
    "127.0.0.0/8",
    "169.254.0.0/16",
    "172.16.0.0/12",
    "192.0.0.0/24",
    "192.0.2.0/24",
    "192.88.99.0/24",
    "192.168.0.0/16",
    "198.18.0.0/15",
    "198.51.100.0/24",
    "203.0.113.0/24",
    "240.0.0.0/4",
    "255.255.255.255/32",
    "::1/128",
    "::/128",
    "64:ff9b::/96",
    "::ffff:0:0/96",
    "100::/64",
    "2001::/23",
    "2001::/32",
    "2001:2::/48",
    "2001:db8::/32",
    "2001:10::/28",
    "2002::/16",
    "fc00::/7",
    "fe80::/10",
];

/// Those of them that no router forwards.
const NOT_FORWARDED: [&str; 15] = [
    "0.0.0.0/8",
    "127.0.0.0/8",
    "169.254.0.0/16",
    "192.0.0.0/24",
    "192.0.2.0/24",
    "198.51.100.0/24",
    "203.0.113.0/24",
    "240.0.0.0/4",
    "255.255.255.255/32",
    "::1/128",
    "::/128",
    "::ffff:0:0/96",
    "2001:db8::/32",
    "2001:10::/28",
    "fe80::/10",
];

/// Puts addresses in the place of templates. `None`: there is none in the
/// text.
///
/// # Errors
/// A sentence that says what is supported, or what was not found.
pub(super) fn resolve(
    text: &str,
    interfaces: ListInterfaces<'_>,
) -> Result<Option<String>, String> {
    if !text.contains("{{") {
        return Ok(None);
    }
    let mut interfaces = interfaces()
        .map_err(|error| format!("the interfaces of this host cannot be listed: {error}"))?;
    // From here on a sort by other criteria keeps the order of the kernel.
    interfaces.addresses.sort_by_key(|own| (own.address.is_ipv6(), own.prefix_len));
    let mut resolved = String::new();
    let mut rest = text;
    while let Some((before, from_action)) = rest.split_once("{{") {
        let (action, after) = split_action(from_action)?;
        // A dash inside the braces takes the blanks outside along.
        let trimmed = action.strip_prefix("- ").map(|action| (before.trim_end(), action));
        let (before, action) = trimmed.unwrap_or((before, action));
        let trimmed = action.strip_suffix(" -").map(|action| (after.trim_start(), action));
        let (after, action) = trimmed.unwrap_or((after, action));
        resolved.push_str(before);
        resolved.push_str(&call(action, &interfaces)?.to_string());
        rest = after;
    }
    resolved.push_str(rest);
    Ok(Some(resolved))
}

/// What is between the braces, and what follows them. Braces inside quotes do
/// not count.
fn split_action(text: &str) -> Result<(&str, &str), String> {
    let mut quote = None;
    let mut characters = text.char_indices();
    while let Some((at, c)) = characters.next() {
        match (quote, c) {
            (None, '"' | '`') => quote = Some(c),
            (Some('"'), '\\') => drop(characters.next()),
            (Some(open), c) if open == c => quote = None,
            (None, '}') => {
                let after = text.get(at..).and_then(|rest| rest.strip_prefix("}}"));
                if let (Some(action), Some(after)) = (text.get(..at), after) {
                    return Ok((action, after));
                }
            }
            _ => {}
        }
    }
    Err("a \"{{\" without a \"}}\" after it".to_owned())
}

/// Calls the one function that is written between the braces.
fn call(action: &str, interfaces: &Interfaces) -> Result<IpAddr, String> {
    let action = action.trim();
    let unsupported = || format!("{{{{ {action} }}}}: {SUPPORTED}");
    let (function, argument) = match action.split_once(|c: char| c.is_whitespace() || c == '"') {
        Some((function, _)) => {
            let argument = action.strip_prefix(function).unwrap_or_default().trim();
            (function, Some(unquoted(argument).ok_or_else(unsupported)?))
        }
        None => (action, None),
    };
    let found = match (function, argument) {
        ("GetPrivateIP", None) => preferred(interfaces, |address| is_in(&SPECIAL, address)),
        ("GetPublicIP", None) => preferred(interfaces, |address| !is_in(&SPECIAL, address)),
        ("GetInterfaceIP", Some(name)) => {
            let name = plain_name(name).ok_or_else(|| {
                format!("{{{{ {action} }}}}: the name of an interface is taken as it stands")
            })?;
            of_interface(interfaces, name)
        }
        _ => return Err(unsupported()),
    };
    found.ok_or_else(|| {
        let what = match function {
            "GetPrivateIP" => "no interface that is up has a private address",
            "GetPublicIP" => "no interface that is up has a public address",
            _ => "there is no such interface, or it has no address that is forwarded",
        };
        format!("{{{{ {action} }}}}: {what}")
    })
}

/// The text between two quotes of one kind, without escapes.
fn unquoted(text: &str) -> Option<&str> {
    let inside = |quote: char| text.strip_prefix(quote)?.strip_suffix(quote);
    inside('"').or_else(|| inside('`')).filter(|text| !text.contains(['"', '`', '\\']))
}

/// The one name that an expression stands for: itself, also with the anchors
/// around it. `None`: it stands for more than one.
fn plain_name(expression: &str) -> Option<&str> {
    let name = expression.strip_prefix('^').unwrap_or(expression);
    let name = name.strip_suffix('$').unwrap_or(name);
    let plain = !name.is_empty() && !name.contains(['*', '+', '?', '(', '[', '{', '|', '^', '$']);
    plain.then_some(name)
}

/// The first address that is forwarded and wanted, of an interface that is up;
/// those of the default route's interface go first.
fn preferred(interfaces: &Interfaces, wanted: impl Fn(IpAddr) -> bool) -> Option<IpAddr> {
    let is_candidate = |own: &&InterfaceAddress| {
        own.up && !is_in(&NOT_FORWARDED, own.address) && wanted(own.address)
    };
    let has_default_route =
        |own: &&InterfaceAddress| Some(&own.name) == interfaces.default_route.as_ref();
    let candidates = interfaces.addresses.iter().filter(is_candidate);
    candidates.clone().find(has_default_route).or_else(|| candidates.clone().next()).map(ip)
}

fn of_interface(interfaces: &Interfaces, name: &str) -> Option<IpAddr> {
    let is_candidate =
        |own: &&InterfaceAddress| own.name == name && !is_in(&NOT_FORWARDED, own.address);
    interfaces.addresses.iter().find(is_candidate).map(ip)
}

fn ip(own: &InterfaceAddress) -> IpAddr {
    own.address
}

fn is_in(blocks: &[&str], address: IpAddr) -> bool {
    let mut blocks = blocks.iter().filter_map(|block| block.parse::<IpNet>().ok());
    blocks.any(|block| block.contains(&address))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn own(name: &str, net: &str, up: bool) -> InterfaceAddress {
        let net: IpNet = net.parse().unwrap();
        InterfaceAddress {
            name: name.to_owned(),
            address: net.addr(),
            prefix_len: net.prefix_len(),
            up,
            loopback: name == "lo",
        }
    }

    fn host(default_route: Option<&str>, addresses: &[(&str, &str, bool)]) -> Interfaces {
        Interfaces {
            addresses: addresses.iter().map(|(name, net, up)| own(name, net, *up)).collect(),
            default_route: default_route.map(str::to_owned),
        }
    }

    fn edge() -> Interfaces {
        host(
            Some("eth0"),
            &[
                ("lo", "127.0.0.1/8", true),
                ("docker0", "172.17.0.1/16", true),
                ("eth1", "10.9.0.1/8", false),
                ("eth0", "10.0.0.5/24", true),
                ("eth0", "9.9.9.9/29", true),
                ("lo", "::1/128", true),
                ("eth0", "fd00::5/64", true),
                ("eth0", "fe80::5/64", true),
                ("eth0.7", "fe80::7/64", true),
                ("eth0.7", "fd00:7::7/64", true),
                ("eth2", "2a00::2/64", true),
            ],
        )
    }

    fn resolved(text: &str, host: &Interfaces) -> Result<Option<String>, String> {
        resolve(text, &|| Ok(host.clone()))
    }

    #[test]
    fn every_block_is_a_prefix() {
        for block in SPECIAL.iter().chain(&NOT_FORWARDED) {
            assert!(block.parse::<IpNet>().is_ok_and(|net| net == net.trunc()), "{block}");
        }
        assert!(NOT_FORWARDED.iter().all(|block| SPECIAL.contains(block)));
    }

    #[test]
    fn addresses_take_the_place_of_templates() {
        let golden = [
            ("{{ GetPrivateIP }}:9999", "10.0.0.5:9999"),
            ("{{GetPrivateIP}}:9999", "10.0.0.5:9999"),
            ("{{GetPublicIP}}:9999", "9.9.9.9:9999"),
            ("{{ GetInterfaceIP \"eth0\" }}:1", "10.0.0.5:1"),
            ("{{GetInterfaceIP `eth0`}}:1", "10.0.0.5:1"),
            ("{{ GetInterfaceIP\t\"docker0\" }}:1", "172.17.0.1:1"),
            ("{{ GetInterfaceIP \"^docker0$\" }}:1", "172.17.0.1:1"),
            ("{{ GetInterfaceIP \"eth1\" }}:1", "10.9.0.1:1"),
            ("[{{ GetInterfaceIP \"eth0.7\" }}]:1", "[fd00:7::7]:1"),
            ("a {{- GetPrivateIP -}} :1", "a10.0.0.5:1"),
            ("a {{- GetPrivateIP }} :1", "a10.0.0.5 :1"),
            ("a {{ GetPrivateIP -}} :1", "a 10.0.0.5:1"),
            ("{{GetPrivateIP}}{{GetPublicIP}}", "10.0.0.59.9.9.9"),
        ];
        for (text, expected) in golden {
            assert_eq!(resolved(text, &edge()), Ok(Some(expected.to_owned())), "{text}");
        }
        assert_eq!(resolved("192.0.2.1:80", &edge()), Ok(None));
    }

    #[test]
    fn the_default_route_goes_first_then_ipv4_then_the_larger_network() {
        let private = |host: &Interfaces| resolved("{{ GetPrivateIP }}", host).unwrap().unwrap();
        let mut host = edge();
        assert_eq!(private(&host), "10.0.0.5");
        host.default_route = Some("eth0.7".to_owned());
        assert_eq!(private(&host), "fd00:7::7");
        host.default_route = None;
        assert_eq!(private(&host), "172.17.0.1");
        host.addresses.retain(|own| own.address.is_ipv6());
        assert_eq!(private(&host), "fd00::5");
    }

    #[test]
    fn most_addresses_under_2001_are_public() {
        for (address, public) in [("2001:470::1/64", true), ("2001:1::1/64", false)] {
            let host = host(None, &[("eth0", address, true)]);
            assert_eq!(resolved("{{ GetPublicIP }}", &host).is_ok(), public, "{address}");
            assert_eq!(resolved("{{ GetPrivateIP }}", &host).is_ok(), !public, "{address}");
        }
    }

    #[test]
    fn where_there_is_no_address_it_is_an_error() {
        let none = host(Some("eth0"), &[("lo", "127.0.0.1/8", true), ("eth0", "fe80::1/64", true)]);
        let golden = [
            ("{{ GetPrivateIP }}", "no interface that is up has a private address"),
            ("{{ GetPublicIP }}", "no interface that is up has a public address"),
            (
                "{{ GetInterfaceIP \"eth0\" }}",
                "there is no such interface, or it has no address that is forwarded",
            ),
        ];
        for (text, what) in golden {
            assert_eq!(resolved(text, &none), Err(format!("{text}: {what}")));
        }
        let fail = || Err(io::Error::from(io::ErrorKind::PermissionDenied));
        assert_eq!(
            resolve("{{ GetPrivateIP }}", &fail),
            Err("the interfaces of this host cannot be listed: permission denied".to_owned())
        );
    }

    #[test]
    fn what_is_not_supported_says_what_is() {
        for text in [
            "{{ GetPrivateInterfaces | attr \"address\" }}",
            "{{ GetAllInterfaces | include \"name\" \"eth0\" | attr \"address\" }}",
            "{{ GetPrivateIPs }}",
            "{{ GetPrivateIP | upper }}",
            "{{ GetPrivateIP \"eth0\" }}",
            "{{ GetInterfaceIP }}",
            "{{ GetInterfaceIP eth0 }}",
            "{{ GetInterfaceIP \"eth0\" \"eth1\" }}",
            "{{ GetInterfaceIP \"a\\\"b\" }}",
            "{{ . }}",
            "{{ }}",
            "{{}}",
            "{{ if true }}x{{ end }}",
        ] {
            let error = resolved(text, &edge()).unwrap_err();
            assert!(error.contains("supported are {{ GetPrivateIP }}"), "{text}: {error}");
        }
        let error = resolved("{{ GetInterfaceIP \"eth.*\" }}", &edge()).unwrap_err();
        assert!(error.ends_with("the name of an interface is taken as it stands"), "{error}");
        let other = host(None, &[("veth0", "10.0.0.1/8", true)]);
        assert!(resolved("{{ GetInterfaceIP \"eth0\" }}", &other).is_err());
        for text in ["{{ GetPrivateIP", "{{ GetPrivateIP }", "{{ GetInterfaceIP \"}}"] {
            let error = resolved(text, &edge()).unwrap_err();
            assert_eq!(error, "a \"{{\" without a \"}}\" after it", "{text}");
        }
    }
}
