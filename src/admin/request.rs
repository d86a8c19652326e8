//! What of a request matters here: its words, and the parts of its target.

use std::net::{IpAddr, SocketAddr};

use ipnet::IpNet;

use crate::http::{Method, RequestHead, decode_text};

/// A request, and the way on which it came.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// Its head. A body has no meaning here.
    pub head: &'a RequestHead,
    /// Our address of the connection; `None`: it came over the unix socket.
    pub local: Option<SocketAddr>,
}

impl<'a> Request<'a> {
    pub(super) fn method(&self) -> &'a Method {
        &self.head.method
    }

    pub(super) fn path(&self) -> &'a str {
        self.head.target.path()
    }

    /// The host that is asked, with its port; none in HTTP/1.0.
    pub(super) fn host(&self) -> Option<&'a str> {
        self.head.authority()
    }

    /// The page that asks (RFC 6454 §7); empty for one that cannot be read.
    pub(super) fn origin(&self) -> Option<&'a str> {
        let fields = &self.head.fields;
        fields.has("origin").then(|| fields.text("origin").unwrap_or_default())
    }

    pub(super) fn authorization(&self) -> Option<&'a str> {
        self.head.fields.text("authorization")
    }

    /// Whether the query has this key, with any value or none.
    pub(super) fn asks(&self, key: &str) -> bool {
        let query = self.head.target.query().unwrap_or_default();
        query.split('&').any(|pair| pair.split('=').next() == Some(key))
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
    let text = decode_text(text)?;
    let alone = || text.parse::<IpAddr>().ok().map(IpNet::from);
    text.parse::<IpNet>().ok().or_else(alone).map(|prefix| prefix.trunc())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_of_a_query_are_found() {
        let head = RequestHead::new(Method::Get, "/api/routes?x=1&raw&pretty=no", "h").unwrap();
        let request = Request { head: &head, local: None };
        assert!(request.asks("raw") && request.asks("pretty") && request.asks("x"));
        assert!(!request.asks("no") && !request.asks("1"));
        let head = RequestHead::new(Method::Get, "/raw", "h").unwrap();
        assert!(!Request { head: &head, local: None }.asks("raw"));
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
