//! `allow=` and `deny=`: which clients a target may be reached by.

use std::net::IpAddr;
use std::str::FromStr;

use ipnet::{IpNet, Ipv4Net};

use super::words::quoted;

/// Whom a target lets in. Both lists hold at once: a client must be allowed,
/// and must not be denied. (In fabio the two together are an error that is
/// logged, and lets everybody in.)
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Access {
    allow: Option<Vec<IpNet>>,
    deny: Vec<IpNet>,
    /// A list was bad, so nobody is let in.
    closed: bool,
}

impl Access {
    /// Reads the values of `allow` and `deny`: `ip:CIDR` or `ip:ADDRESS`,
    /// separated by commas. With the result come the entries that are wrong;
    /// if there are any, nobody is let in. (fabio keeps what stood before a
    /// bad entry, which may be nothing.)
    pub fn parse(allow: Option<&str>, deny: Option<&str>) -> (Access, Vec<String>) {
        let mut problems = Vec::new();
        let mut list = |key: &str, text: &str| -> Vec<IpNet> {
            let entries = text.split(',').map(|entry| parse_entry(key, entry));
            let good = entries.filter_map(|entry| entry.map_err(|e| problems.push(e)).ok());
            good.collect()
        };
        let allow = allow.map(|text| list("allow", text));
        let deny = deny.map(|text| list("deny", text)).unwrap_or_default();
        (Access { allow, deny, closed: !problems.is_empty() }, problems)
    }

    /// Whether a client with this address is let in. An IPv4 address that is
    /// mapped into IPv6 (RFC 4291 §2.5.5.2), as a socket of both families
    /// shows it, is that IPv4 address.
    pub fn admits(&self, client: IpAddr) -> bool {
        let client = client.to_canonical();
        let holds = |nets: &[IpNet]| nets.iter().any(|net| net.contains(&client));
        !self.closed && self.allow.as_deref().is_none_or(holds) && !holds(&self.deny)
    }

    /// Whether everybody is let in, because nothing was asked for.
    pub fn is_open(&self) -> bool {
        !self.closed && self.allow.is_none() && self.deny.is_empty()
    }
}

fn parse_entry(key: &str, entry: &str) -> Result<IpNet, String> {
    let net = entry.strip_prefix("ip:").and_then(parse_net);
    net.ok_or_else(|| {
        format!(
            "{} is no entry of {key}; expected ip:ADDRESS or ip:ADDRESS/LENGTH; nobody is let in",
            quoted(entry)
        )
    })
}

/// A prefix or an address; bits behind the length are ignored, as in fabio.
fn parse_net(text: &str) -> Option<IpNet> {
    let net = IpNet::from_str(text).ok().or_else(|| IpAddr::from_str(text).ok().map(IpNet::from));
    Some(match net?.trunc() {
        IpNet::V6(net) => {
            let mapped = net.addr().to_ipv4_mapped();
            let length = net.prefix_len().checked_sub(96);
            let inside = mapped.zip(length).and_then(|(a, n)| Ipv4Net::new(a, n).ok());
            inside.map_or(IpNet::V6(net), IpNet::V4)
        }
        net => net,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn access(allow: Option<&str>, deny: Option<&str>) -> Access {
        let (access, problems) = Access::parse(allow, deny);
        assert_eq!(problems, [""; 0]);
        access
    }

    #[test]
    fn without_lists_everybody_is_let_in() {
        assert!(access(None, None).is_open());
        assert!(access(None, None).admits(ip("192.0.2.1")));
        assert!(!access(None, Some("ip:192.0.2.1")).is_open());
    }

    #[test]
    fn allow_lets_in_whom_it_names_and_nobody_else() {
        let access = access(Some("ip:10.0.0.0/8,ip:192.0.2.7,ip:2001:db8::/32"), None);
        for client in ["10.255.0.1", "192.0.2.7", "2001:db8:1::1"] {
            assert!(access.admits(ip(client)), "{client}");
        }
        for client in ["11.0.0.1", "192.0.2.8", "2001:db9::1"] {
            assert!(!access.admits(ip(client)), "{client}");
        }
    }

    #[test]
    fn deny_keeps_out_whom_it_names_and_nobody_else() {
        let access = access(None, Some("ip:10.1.2.3/8,ip:2001:db8::1"));
        assert!(!access.admits(ip("10.255.0.1")), "bits behind the length are ignored");
        assert!(!access.admits(ip("2001:db8::1")));
        assert!(access.admits(ip("192.0.2.7")));
        assert!(access.admits(ip("2001:db8::2")));
    }

    #[test]
    fn both_lists_hold_at_once() {
        let access = access(Some("ip:10.0.0.0/8"), Some("ip:10.0.0.1"));
        assert!(access.admits(ip("10.0.0.2")));
        assert!(!access.admits(ip("10.0.0.1")));
        assert!(!access.admits(ip("192.0.2.1")));
    }

    #[test]
    fn mapped_addresses_are_ipv4_addresses() {
        let access = access(Some("ip:10.0.0.0/8,ip:::ffff:192.0.2.0/120"), None);
        assert!(access.admits(ip("::ffff:10.0.0.1")));
        assert!(access.admits(ip("192.0.2.200")));
        assert!(access.admits(ip("::ffff:192.0.2.200")));
        assert!(!access.admits(ip("::ffff:11.0.0.1")));
        let both = self::access(None, Some("ip:::/0"));
        assert!(!both.admits(ip("2001:db8::1")));
        assert!(both.admits(ip("192.0.2.1")), "the families are apart");
    }

    #[test]
    fn a_bad_access_list_lets_nobody_in() {
        for bad in [
            "",
            "10.0.0.0/8",
            "ip:",
            "ip:10.0.0.0/33",
            "ip:10.0.0.0/8,",
            "ip:10.0.0.0/8,192.0.2.1",
            "ip:example.com",
            "ip:[2001:db8::1]",
            "IP:10.0.0.1",
            "ip:10.0.0.0/-1",
        ] {
            for (allow, deny) in [(Some(bad), None), (None, Some(bad))] {
                let (access, problems) = Access::parse(allow, deny);
                assert_eq!(problems.len(), 1, "{bad}");
                assert!(problems[0].contains("nobody is let in"), "{}", problems[0]);
                assert!(!access.is_open());
                for client in ["10.0.0.1", "192.0.2.9", "::1"] {
                    assert!(!access.admits(ip(client)), "{bad} {client}");
                }
            }
        }
        let (access, problems) = Access::parse(Some("ip:10.0.0.0/8"), Some("x"));
        assert_eq!(problems.len(), 1);
        assert!(!access.admits(ip("10.0.0.1")), "one bad list closes both");
    }
}
