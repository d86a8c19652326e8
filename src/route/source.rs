//! What a route matches: the second word of `route add`.

use std::borrow::Cow;
use std::fmt;
use std::net::SocketAddr;

use super::destination::Scheme;
use super::hash::Hash;
use super::words::quoted;

/// What a route matches.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Source {
    /// `:PORT`: connections to this port of ours.
    Port(u16),
    /// `ADDRESS:PORT`: connections to this port of this address of ours. To
    /// HTTP it is a host as any other.
    Address(SocketAddr),
    /// `:PORT` with a `udp://` target, or `:PORT/udp`: datagrams to this port of
    /// ours. A service such as DNS has both, and the two share neither targets
    /// nor weights.
    UdpPort(u16),
    /// `ADDRESS:PORT` with a `udp://` target.
    UdpAddress(SocketAddr),
    /// `HOST` or `HOST/PATH`: TLS connections and requests by name.
    Host {
        /// In lower case; empty for any. `*`, `?`, `[…]` and `{…}` make it a
        /// pattern, and a port may follow the name.
        host: String,
        /// It begins with `/`.
        path: String,
    },
}

impl Source {
    /// Reads a source.
    ///
    /// # Errors
    /// What was found and what was expected.
    pub fn parse(word: &str) -> Result<Source, String> {
        if let Some(port) = word.strip_prefix(':') {
            return match port.strip_suffix("/udp") {
                Some(port) => parse_port(port).map(Source::UdpPort),
                None => parse_port(port).map(Source::Port),
            };
        }
        let slash = word.find('/').unwrap_or(word.len());
        let (host, path) = word.split_at_checked(slash).unwrap_or((word, ""));
        let path = if path.is_empty() { "/" } else { path };
        if path == "/"
            && let Ok(address) = host.parse::<SocketAddr>()
        {
            return match address.port() {
                0 => Err(format!("{} is no port; expected a number from 1 to 65535", quoted("0"))),
                _ => Ok(Source::Address(canonical(address))),
            };
        }
        check_pattern(host)?;
        check_pattern(path)?;
        let host = without_last_dot(host).to_lowercase();
        Ok(Source::Host { host, path: path.to_owned() })
    }

    /// The source of routes to targets of this scheme: datagrams have sources of
    /// their own.
    ///
    /// # Errors
    /// The two do not go together.
    pub(super) fn of(self, scheme: Scheme) -> Result<Source, String> {
        match (self, scheme == Scheme::Udp) {
            (Source::Port(port), true) => Ok(Source::UdpPort(port)),
            (Source::Address(address), true) => Ok(Source::UdpAddress(address)),
            (source @ Source::Host { .. }, true) => Err(format!(
                "datagrams have no name and no path; expected a source such as :53, found {}",
                quoted(&source.to_string())
            )),
            (source @ Source::UdpPort(_), false) => Err(format!(
                "the source {} is for datagrams; expected a target such as udp://192.0.2.1:53",
                quoted(&source.to_string())
            )),
            (source, _) => Ok(source),
        }
    }

    /// Whether it is one of datagrams.
    pub fn is_udp(&self) -> bool {
        matches!(self, Source::UdpPort(_) | Source::UdpAddress(_))
    }

    /// Whether there are listeners that look up sources of this kind: names
    /// are those that a TLS client can ask for. What nobody looks up is held
    /// and shown, and a warning says so; its targets are not checked, because
    /// their health must not count for the announcements.
    pub fn is_looked_up(&self) -> bool {
        match self {
            Source::Port(_) | Source::Address(_) | Source::UdpPort(_) | Source::UdpAddress(_) => {
                true
            }
            Source::Host { host, path } => path == "/" && is_server_name(host),
        }
    }

    /// Host and path, as requests are matched with them and as they sort; a
    /// port is a host `:PORT` without a path.
    pub fn host_and_path(&self) -> (Cow<'_, str>, &str) {
        match self {
            Source::Port(port) => (format!(":{port}").into(), ""),
            Source::UdpPort(port) => (format!(":{port}").into(), "/udp"),
            Source::Address(address) => (address.to_string().into(), "/"),
            Source::UdpAddress(address) => (address.to_string().into(), "/udp"),
            Source::Host { host, path } => (host.into(), path),
        }
    }

    /// A number that other sources do not have, as good as certain. It is the
    /// same in each table.
    pub fn hash(&self) -> u64 {
        match self {
            Source::Port(port) => hash_port(*port),
            Source::Address(address) => hash_address(*address),
            Source::UdpPort(port) => hash_udp_port(*port),
            Source::UdpAddress(address) => hash_udp_address(*address),
            Source::Host { host, path } => hash_host(hash_backwards(host), path),
        }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Source::Port(port) => write!(f, ":{port}"),
            Source::UdpPort(port) => write!(f, ":{port}/udp"),
            Source::Address(address) | Source::UdpAddress(address) => write!(f, "{address}/"),
            Source::Host { host, path } => write!(f, "{host}{path}"),
        }
    }
}

pub(super) fn hash_port(port: u16) -> u64 {
    Hash::new().byte(1).number(port.into()).finish()
}

pub(super) fn hash_address(address: SocketAddr) -> u64 {
    hash_socket(Hash::new().byte(2), address).finish()
}

pub(super) fn hash_udp_port(port: u16) -> u64 {
    Hash::new().byte(3).number(port.into()).finish()
}

pub(super) fn hash_udp_address(address: SocketAddr) -> u64 {
    hash_socket(Hash::new().byte(4), address).finish()
}

/// A name is hashed from its end, so that one pass meets all of its suffixes.
pub(super) fn hash_backwards(host: &str) -> Hash {
    host.bytes().rev().fold(Hash::new(), Hash::byte)
}

pub(super) fn hash_host(host: Hash, path: &str) -> u64 {
    host.byte(0xff).bytes(path.as_bytes()).finish()
}

/// Adds address and port.
pub(super) fn hash_socket(hash: Hash, address: SocketAddr) -> Hash {
    let hash = match address.ip() {
        std::net::IpAddr::V4(ip) => hash.bytes(&ip.octets()),
        std::net::IpAddr::V6(ip) => hash.bytes(&ip.octets()),
    };
    hash.number(address.port().into())
}

/// IPv4 as IPv4, and without what a socket adds to IPv6 (RFC 4291 §2.5.5.2).
pub(super) fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

/// A name is the same with a dot at its end, and what is but a dot is no name.
fn without_last_dot(host: &str) -> &str {
    host.strip_suffix('.').filter(|name| !matches!(*name, "" | "*")).unwrap_or(host)
}

/// Whether [`Table::lookup_name`](super::Table::lookup_name) can find a host:
/// any, `*`, `*.SUFFIX` and plain names. Server names are ASCII (RFC 6066 §3),
/// know no ports, and are matched with no other patterns.
fn is_server_name(host: &str) -> bool {
    let rest = match host.strip_prefix('*') {
        Some(suffix) if suffix.is_empty() || suffix.starts_with('.') => suffix,
        _ => host,
    };
    rest.is_ascii() && !rest.contains(['*', '?', '[', ']', '{', '}', '\\', ':'])
}

/// Reads a port.
pub(super) fn parse_port(word: &str) -> Result<u16, String> {
    let digits = word.bytes().all(|b| b.is_ascii_digit());
    match word.parse::<u16>() {
        Ok(port) if port > 0 && digits => Ok(port),
        _ => Err(format!("{} is no port; expected a number from 1 to 65535", quoted(word))),
    }
}

/// Whether each `[` and `{` of a pattern is closed and each `\` is followed by
/// what it quotes. (fabio rejects the table for a path, and fails each request
/// for a host.)
fn check_pattern(text: &str) -> Result<(), String> {
    let mut left = text.chars();
    let mut open = 0_usize;
    let unclosed = |what: &str| format!("the pattern {} has {what}", quoted(text));
    while let Some(c) = left.next() {
        match c {
            '\\' if left.next().is_none() => return Err(unclosed("nothing after its last \\")),
            '[' if !left.by_ref().any(|c| c == ']') => return Err(unclosed("a [ without its ]")),
            '{' => open = open.saturating_add(1),
            '}' => open = open.saturating_sub(1),
            _ => {}
        }
    }
    if open > 0 { Err(unclosed("a { without its }")) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(word: &str) -> Source {
        Source::parse(word).unwrap()
    }

    fn host(host: &str, path: &str) -> Source {
        Source::Host { host: host.to_owned(), path: path.to_owned() }
    }

    #[test]
    fn every_kind_of_source_is_read() {
        assert_eq!(source(":80"), Source::Port(80));
        assert_eq!(source("192.0.2.1:80"), Source::Address("192.0.2.1:80".parse().unwrap()));
        assert_eq!(source("[2001:DB8:0::1]:80/"), source("[2001:db8::1]:80"));
        assert_eq!(source("example.com"), host("example.com", "/"));
        assert_eq!(source("example.com/"), host("example.com", "/"));
        assert_eq!(source("example.com:8080/a/B"), host("example.com:8080", "/a/B"));
        assert_eq!(source("/"), host("", "/"));
        assert_eq!(source("/foo"), host("", "/foo"));
        assert_eq!(source("192.0.2.1:80/foo"), host("192.0.2.1:80", "/foo"));
    }

    #[test]
    fn hosts_are_in_lower_case_and_paths_are_not() {
        assert_eq!(source("Example.COM/Foo"), host("example.com", "/Foo"));
        assert_eq!(source("*.BÜCHER.example/"), host("*.bücher.example", "/"));
    }

    #[test]
    fn a_dot_at_the_end_of_a_host_means_nothing() {
        assert_eq!(source("x.com./"), source("x.com"));
        assert_eq!(source("*.x.com."), source("*.x.com/"));
        assert_eq!(source("./"), host(".", "/"), "it is not any host");
        assert_eq!(source("*./"), host("*.", "/"));
    }

    #[test]
    fn what_tls_can_ask_for_is_looked_up() {
        for word in [":80", "192.0.2.1:80", "/", "*/", "*.x.com/", "x.com", "X.com./", "x_y.com"] {
            assert!(source(word).is_looked_up(), "{word}");
        }
        for word in [
            "/a",
            "x.com/a",
            "*.x.com/a",
            "*x.com/",
            "a.*.com",
            "[ab].com",
            "x.com:443",
            "b\u{fc}.de",
        ] {
            assert!(!source(word).is_looked_up(), "{word}");
        }
    }

    #[test]
    fn mapped_sources_are_ipv4_sources() {
        assert_eq!(source("[::ffff:192.0.2.1]:80"), source("192.0.2.1:80"));
    }

    #[test]
    fn ports_are_numbers() {
        for word in [":", ":0", ":65536", ":http", ":+1", ":80/", ":80/foo"] {
            assert!(Source::parse(word).unwrap_err().contains("is no port"), "{word}");
        }
        assert!(Source::parse("192.0.2.1:0").unwrap_err().contains("is no port"));
    }

    #[test]
    fn patterns_are_closed() {
        for good in ["[a-z].example.com/", "{a,b{c,d}}.x/", "a}b]/", "/\\[", "[[]/", "[::1]/"] {
            source(good);
        }
        for (bad, part) in [
            ("[a.example.com/", "a [ without its ]"),
            ("/[]", ""),
            ("{a,b.example.com/x", "a { without its }"),
            ("x/{a{b}", "a { without its }"),
            ("x/a\\", "nothing after its last \\"),
        ] {
            match Source::parse(bad) {
                Err(problem) => assert!(problem.contains(part) && !part.is_empty(), "{problem}"),
                Ok(_) => assert!(part.is_empty(), "{bad} was taken"),
            }
        }
    }

    #[test]
    fn sources_are_shown_as_fabio_shows_them() {
        for (word, shown) in [
            (":80", ":80"),
            ("192.0.2.1:80", "192.0.2.1:80/"),
            ("[2001:db8::1]:80", "[2001:db8::1]:80/"),
            ("Example.com", "example.com/"),
            ("/", "/"),
            ("x/Y", "x/Y"),
        ] {
            assert_eq!(source(word).to_string(), shown);
            assert_eq!(source(shown), source(word));
            let source = source(word);
            let (host, path) = source.host_and_path();
            assert_eq!(format!("{host}{path}"), shown);
        }
    }

    #[test]
    fn equal_sources_have_equal_hashes_and_kinds_differ() {
        assert_eq!(source("[::ffff:192.0.2.1]:80").hash(), source("192.0.2.1:80").hash());
        let words = [":80", "80", "/80", "192.0.2.1:80", "192.0.2.1", "a/b", "ab", "b/a"];
        for (i, a) in words.iter().enumerate() {
            for b in &words[..i] {
                assert_ne!(source(a).hash(), source(b).hash(), "{a} {b}");
            }
        }
    }
}
