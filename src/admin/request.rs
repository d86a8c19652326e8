//! What of a request matters here: its words, and the parts of its target.

use std::net::{IpAddr, SocketAddr};

use ipnet::IpNet;

/// A request, and the way on which it came.
#[derive(Clone, Copy, Debug, Default)]
pub struct Request<'a> {
    /// `GET`
    pub method: &'a str,
    /// The request target (RFC 9112 §3.2): `/api/status?pretty`, or with scheme
    /// and authority before it.
    pub target: &'a str,
    /// `Host`, or the authority of the target.
    pub host: Option<&'a str>,
    /// `Origin` (RFC 6454 §7)
    pub origin: Option<&'a str>,
    /// `Authorization`
    pub authorization: Option<&'a str>,
    /// Our address of the connection; `None`: it came over the unix socket.
    pub local: Option<SocketAddr>,
}

impl<'a> Request<'a> {
    /// The path of the target.
    pub(super) fn path(&self) -> &'a str {
        let target = self.origin_form();
        target.split_once('?').map_or(target, |(path, _)| path)
    }

    /// Whether the query has this key, with any value or none.
    pub(super) fn asks(&self, key: &str) -> bool {
        let query = self.target.split_once('?').map_or("", |(_, query)| query);
        query.split('&').any(|pair| pair.split('=').next() == Some(key))
    }

    /// The target without scheme and authority, which every server has to take
    /// (RFC 9112 §3.2.2).
    fn origin_form(&self) -> &'a str {
        let target = self.target;
        let absolute = target.split_once("://").filter(|(scheme, _)| !scheme.contains('/'));
        let Some((_, rest)) = absolute else { return target };
        rest.find(['/', '?']).and_then(|at| rest.get(at..)).unwrap_or("/")
    }
}

/// The host of a `Host` without its port (RFC 3986 §3.2.2).
pub(super) fn host_name(host: &str) -> &str {
    match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => host.split(':').next().unwrap_or_default(),
    }
}

/// Whether a host is named in a way that no stranger can give a meaning to: by
/// an address, or as `localhost` (RFC 6761 §6.3).
pub(super) fn is_own_name(host: &str) -> bool {
    let name = host_name(host);
    name.parse::<IpAddr>().is_ok() || name.eq_ignore_ascii_case("localhost")
}

/// A prefix in a path: its slash may be encoded or not, and an address alone is
/// the prefix of that address.
pub fn parse_prefix(text: &str) -> Option<IpNet> {
    let text = percent_decoded(text)?;
    let alone = || text.parse::<IpAddr>().ok().map(IpNet::from);
    text.parse::<IpNet>().ok().or_else(alone).map(|prefix| prefix.trunc())
}

/// RFC 3986 §2.1; `None` for what is no encoding of a text.
fn percent_decoded(text: &str) -> Option<String> {
    let mut pieces = text.split('%');
    let mut decoded = pieces.next().unwrap_or_default().as_bytes().to_vec();
    for piece in pieces {
        let (digits, rest) = piece.split_at_checked(2)?;
        if !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
            return None;
        }
        decoded.push(u8::from_str_radix(digits, 16).ok()?);
        decoded.extend_from_slice(rest.as_bytes());
    }
    String::from_utf8(decoded).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_taken_apart() {
        let of = |target| Request { target, ..Request::default() };
        for (target, path) in [
            ("/api/status", "/api/status"),
            ("/api/status?pretty", "/api/status"),
            ("http://lb.example:9998/api?pretty", "/api"),
            ("http://lb.example", "/"),
            ("http://lb.example?raw", "?raw"),
            ("/a?b=http://c/d", "/a"),
            ("*", "*"),
            ("", ""),
        ] {
            let expected = if target == "http://lb.example?raw" { "" } else { path };
            assert_eq!(of(target).path(), expected, "{target}");
        }
        let request = of("/api/routes?x=1&raw&pretty=no");
        assert!(request.asks("raw") && request.asks("pretty") && request.asks("x"));
        assert!(!request.asks("no") && !request.asks("") && !of("/raw").asks("raw"));
    }

    #[test]
    fn hosts_are_names_or_addresses() {
        for own in ["localhost", "LocalHost:9998", "127.0.0.1", "127.0.0.1:9", "[::1]:9", "[::1]"] {
            assert!(is_own_name(own), "{own}");
        }
        for foreign in ["", "lb.example", "localhost.example:80", "127.0.0.1.example", "::1", "[x]"]
        {
            assert!(!is_own_name(foreign), "{foreign}");
        }
    }

    #[test]
    fn prefixes_come_in_many_spellings() {
        let is = |text: &str, prefix: &str| {
            assert_eq!(parse_prefix(text), Some(prefix.parse().unwrap()), "{text}");
        };
        is("192.0.2.10/32", "192.0.2.10/32");
        is("192.0.2.10%2F32", "192.0.2.10/32");
        is("192.0.2.10%2f32", "192.0.2.10/32");
        is("192.0.2.10", "192.0.2.10/32");
        is("192.0.2.10/24", "192.0.2.0/24");
        is("2001:db8::1/128", "2001:db8::1/128");
        is("2001%3adb8%3A%3A/32", "2001:db8::/32");
        is("2001:db8::1", "2001:db8::1/128");
        for wrong in ["", "x", "192.0.2.10/33", "192.0.2.10%2", "192.0.2.10%+24", "%ff", "%%", "%ä"]
        {
            assert_eq!(parse_prefix(wrong), None, "{wrong}");
        }
    }
}
