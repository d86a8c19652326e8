//! `/etc/resolv.conf`: which servers to ask, and how (resolv.conf(5)).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use super::name::Name;

/// Most servers that are used, as in the C library (MAXNS).
const MAX_SERVERS: usize = 3;

/// Most domains that are searched: a name that does not exist is asked for
/// below each of them, so more would be a weapon against the server.
const MAX_SEARCH: usize = 16;

/// The port of name servers (RFC 1035 §4.2).
const PORT: u16 = 53;

/// The largest values that the C library takes (resolv.conf(5)).
const MAX_NDOTS: u64 = 15;
const MAX_TIMEOUT: u64 = 30;
const MAX_ATTEMPTS: u64 = 5;

/// A server to ask.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Server {
    /// Where it is.
    pub address: SocketAddr,
    /// The interface on whose link it is (RFC 4007 §11): its name or number.
    pub zone: Option<String>,
}

/// What the file says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResolvConf {
    /// Whom to ask, in order; at least one.
    pub servers: Vec<Server>,
    /// Domains below which a name that is not absolute is looked for.
    pub search: Vec<Name>,
    /// A name with this many dots is first looked for as it is.
    pub ndots: usize,
    /// How long one try may take.
    pub timeout: Duration,
    /// How often each server is asked, at least once.
    pub attempts: usize,
    /// Whether each question begins with another server.
    pub rotate: bool,
    /// Whether TCP is used at once.
    pub use_tcp: bool,
    /// Whether no IPv6 addresses are asked for.
    pub no_aaaa: bool,
}

impl Default for ResolvConf {
    /// What holds without a file: the server of this machine is asked, as by
    /// the C library.
    fn default() -> ResolvConf {
        ResolvConf {
            servers: vec![Server {
                address: SocketAddr::new(Ipv4Addr::LOCALHOST.into(), PORT),
                zone: None,
            }],
            search: Vec::new(),
            ndots: 1,
            timeout: Duration::from_secs(5),
            attempts: 2,
            rotate: false,
            use_tcp: false,
            no_aaaa: false,
        }
    }
}

impl ResolvConf {
    /// Reads the file. As in the C library, lines and options that are not
    /// known are passed over, and of `search` and `domain` the last one counts.
    /// Two things differ: the name of this machine makes no search list, and a
    /// server may have a port, `[address]:port`, as on OpenBSD.
    pub fn parse(text: &str) -> ResolvConf {
        let mut conf = ResolvConf::default();
        let mut servers = Vec::new();
        for line in text.lines() {
            let mut words = line.split_ascii_whitespace();
            // A keyword must begin its line, so that a comment in the first
            // column is none.
            let Some(keyword) = words.next().filter(|_| !line.starts_with([' ', '\t'])) else {
                continue;
            };
            match keyword {
                "nameserver" if servers.len() < MAX_SERVERS => {
                    servers.extend(words.next().and_then(parse_server));
                }
                "search" => conf.search = parse_search(words),
                "domain" => conf.search = parse_search(words.take(1)),
                "options" => words.for_each(|option| conf.set(option)),
                _ => {}
            }
        }
        if !servers.is_empty() {
            conf.servers = servers;
        }
        conf
    }

    fn set(&mut self, option: &str) {
        let (key, value) = option.split_once(':').unwrap_or((option, ""));
        let number = |most: u64| value.parse::<u64>().ok().map(|number| number.min(most));
        let count = |most: u64| number(most).and_then(|number| usize::try_from(number).ok());
        match key {
            "ndots" => self.ndots = count(MAX_NDOTS).unwrap_or(self.ndots),
            "attempts" => self.attempts = count(MAX_ATTEMPTS).unwrap_or(self.attempts).max(1),
            "timeout" => {
                let seconds = number(MAX_TIMEOUT).map(|number| Duration::from_secs(number.max(1)));
                self.timeout = seconds.unwrap_or(self.timeout);
            }
            "rotate" => self.rotate = true,
            "use-vc" => self.use_tcp = true,
            "no-aaaa" => self.no_aaaa = true,
            _ => {}
        }
    }
}

fn parse_search<'a>(words: impl Iterator<Item = &'a str>) -> Vec<Name> {
    words.filter_map(|word| Name::parse(word).ok()).take(MAX_SEARCH).collect()
}

fn parse_server(word: &str) -> Option<Server> {
    let (host, port) = match word.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((host, "")) => (host, PORT),
        Some((host, port)) => (host, port.strip_prefix(':')?.parse().ok().filter(|p| *p != 0)?),
        None => (word, PORT),
    };
    let (address, zone) = match host.split_once('%') {
        Some((address, zone)) if !zone.is_empty() => {
            (IpAddr::V6(address.parse::<Ipv6Addr>().ok()?), Some(zone.to_owned()))
        }
        Some(_) => return None,
        None => (host.parse().ok()?, None),
    };
    Some(Server { address: SocketAddr::new(address, port), zone })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn servers(text: &str) -> Vec<String> {
        let conf = ResolvConf::parse(text);
        let zone = |server: &Server| server.zone.clone().map(|zone| format!("%{zone}"));
        conf.servers
            .iter()
            .map(|s| format!("{}{}", s.address, zone(s).unwrap_or_default()))
            .collect()
    }

    #[test]
    fn without_a_server_this_machine_is_asked() {
        for text in ["", "search a.test\n", "nameserver example.com\n", "nameserver\n", "\0\u{ff}"]
        {
            assert_eq!(servers(text), ["127.0.0.1:53"], "{text:?}");
        }
        assert_eq!(ResolvConf::parse(""), ResolvConf::default());
    }

    #[test]
    fn servers_are_read_in_order_and_three_are_used() {
        let text = "; comment\n# nameserver 192.0.2.9\n nameserver 192.0.2.8\n\
                    nameserver 192.0.2.1 trailing\r\nnameserver\t2001:db8::1\n\
                    nameserver fe80::1%eth0\nnameserver 192.0.2.4\n";
        assert_eq!(servers(text), ["192.0.2.1:53", "[2001:db8::1]:53", "[fe80::1]:53%eth0"]);
        assert_eq!(
            servers("nameserver [192.0.2.1]:8600\nnameserver [::1]\n"),
            ["192.0.2.1:8600", "[::1]:53"]
        );
        for bad in ["[::1]x", "[::1]:0", "[::1]:65536", "[::1", "fe80::1%", "192.0.2.1%eth0"] {
            assert_eq!(servers(&format!("nameserver {bad}")), ["127.0.0.1:53"], "{bad}");
        }
    }

    #[test]
    fn the_last_search_list_counts() {
        let search = |text: &str| {
            ResolvConf::parse(text).search.iter().map(Name::to_string).collect::<Vec<_>>()
        };
        assert_eq!(search("search a.test B.test.\n"), ["a.test", "b.test."]);
        assert_eq!(search("search a.test\ndomain b.test c.test\n"), ["b.test"]);
        assert_eq!(search("domain b.test\nsearch a.test . x..y\n"), ["a.test"]);
        assert_eq!(search("search a.test\nsearch\n"), [""; 0]);
        assert_eq!(search(&format!("search{}", " a.test".repeat(100))).len(), MAX_SEARCH);
    }

    #[test]
    fn options_have_the_bounds_of_the_c_library() {
        let conf = ResolvConf::parse(
            "options ndots:5 timeout:2 attempts:4\noptions rotate edns0 use-vc no-aaaa single-request\n",
        );
        assert_eq!((conf.ndots, conf.timeout, conf.attempts), (5, Duration::from_secs(2), 4));
        assert!(conf.rotate && conf.use_tcp && conf.no_aaaa);
        let conf = ResolvConf::parse("options ndots:99 timeout:99 attempts:99");
        assert_eq!((conf.ndots, conf.timeout, conf.attempts), (15, Duration::from_secs(30), 5));
        let conf = ResolvConf::parse("options ndots:0 timeout:0 attempts:0");
        assert_eq!((conf.ndots, conf.timeout, conf.attempts), (0, Duration::from_secs(1), 1));
        let conf = ResolvConf::parse("options ndots:x timeout: attempts:-1 :: ndots");
        assert_eq!(conf, ResolvConf::default());
    }
}
