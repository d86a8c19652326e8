//! `/etc/hosts`: names with addresses of their own (hosts(5)).

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::MAX_ADDRESSES;
use super::name::Name;

/// What the file says: addresses by name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hosts {
    addresses: HashMap<String, Vec<IpAddr>>,
}

impl Hosts {
    /// Reads the file: in each line an address and its names, up to a `#`. A
    /// line that makes no sense is passed over, as in the C library, and so is
    /// an address with a zone, which no target can have.
    pub fn parse(text: &str) -> Hosts {
        let mut hosts = Hosts::default();
        for line in text.lines() {
            let mut words = line.split('#').next().unwrap_or_default().split_ascii_whitespace();
            let Some(address) = words.next().and_then(|word| word.parse::<IpAddr>().ok()) else {
                continue;
            };
            for name in words.filter_map(|word| Name::parse(word).ok()) {
                let known = hosts.addresses.entry(name.as_str().to_owned()).or_default();
                if known.len() < MAX_ADDRESSES && !known.contains(&address) {
                    known.push(address);
                }
            }
        }
        hosts
    }

    /// The addresses of a name, if DNS need not be asked. `localhost` and the
    /// names below it are always this machine, and never asked for (RFC 6761
    /// §6.3).
    pub fn find(&self, name: &Name) -> Option<Vec<IpAddr>> {
        let known = self.addresses.get(name.as_str());
        if !name.is_localhost() {
            return known.cloned();
        }
        let loopback = known.into_iter().flatten().filter(|address| address.is_loopback());
        let loopback: Vec<IpAddr> = loopback.copied().collect();
        Some(match loopback.is_empty() {
            true => vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()],
            false => loopback,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn find(text: &str, name: &str) -> Option<Vec<String>> {
        let found = Hosts::parse(text).find(&Name::parse(name).unwrap());
        found.map(|found| found.iter().map(IpAddr::to_string).collect())
    }

    fn addresses<const N: usize>(addresses: [&str; N]) -> Option<Vec<String>> {
        Some(addresses.map(str::to_owned).to_vec())
    }

    #[test]
    fn names_and_aliases_have_all_their_addresses() {
        let text = "# a comment\n192.0.2.1\tWeb web.example # other\n\n2001:db8::1 web\n\
                    192.0.2.1 web\nnonsense web\n192.0.2.7\nfe80::1%eth0 web\n 192.0.2.2 db\r\n";
        assert_eq!(find(text, "web"), addresses(["192.0.2.1", "2001:db8::1"]));
        assert_eq!(find(text, "WEB.example."), addresses(["192.0.2.1"]));
        assert_eq!(find(text, "db"), addresses(["192.0.2.2"]));
        assert_eq!(find(text, "other"), None);
        assert_eq!(find("\0\u{fffd}\n1 2 3", "a"), None);
    }

    #[test]
    fn localhost_is_always_this_machine() {
        assert_eq!(find("", "localhost"), addresses(["127.0.0.1", "::1"]));
        assert_eq!(find("192.0.2.1 localhost", "a.localhost"), addresses(["127.0.0.1", "::1"]));
        assert_eq!(find("192.0.2.1 localhost", "localhost"), addresses(["127.0.0.1", "::1"]));
        assert_eq!(find("127.0.0.1 localhost", "localhost."), addresses(["127.0.0.1"]));
    }

    #[test]
    fn a_name_has_a_bounded_number_of_addresses() {
        let text: String = (0..200).map(|n| format!("192.0.2.{n} web\n")).collect();
        assert_eq!(find(&text, "web").unwrap().len(), MAX_ADDRESSES);
    }
}
