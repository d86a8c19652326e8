//! Where a target is: the third word of `route add`, a URL.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::host_name::host_name;
use super::source::{canonical, parse_port};
use super::words::quoted;

/// The part before `://`. TCP connections go to a target of any scheme but
/// `udp`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// `tcp`
    Tcp,
    /// `udp`: datagrams.
    Udp,
    /// `http`
    Http,
    /// `https`
    Https,
    /// `grpc`
    Grpc,
    /// `grpcs`
    Grpcs,
    /// `ws`
    Ws,
    /// `wss`
    Wss,
}

const SCHEMES: [(&str, Scheme, Option<u16>); 8] = [
    ("tcp", Scheme::Tcp, None),
    ("udp", Scheme::Udp, None),
    ("http", Scheme::Http, Some(80)),
    ("https", Scheme::Https, Some(443)),
    ("grpc", Scheme::Grpc, None),
    ("grpcs", Scheme::Grpcs, None),
    ("ws", Scheme::Ws, Some(80)),
    ("wss", Scheme::Wss, Some(443)),
];

/// A target's URL: `SCHEME://HOST:PORT`, and what may follow it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Destination {
    text: String,
    scheme: Scheme,
    place: Place,
}

/// Where connections to a target go.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Place {
    Address(SocketAddr),
    /// Of a `tcp` target, whose name is looked up.
    Name(Box<str>, u16),
    /// Nowhere: a redirect, or a name that is not looked up.
    None,
}

impl Destination {
    /// Reads a URL. That of a redirect may have no host, or `$host`.
    ///
    /// # Errors
    /// What was found and what was expected.
    pub fn parse(word: &str, is_redirect: bool) -> Result<Destination, String> {
        let Some((name, rest)) = word.split_once("://") else {
            return Err(format!(
                "the target {} has no scheme; expected tcp://ADDRESS:PORT",
                quoted(word)
            ));
        };
        let known = SCHEMES.iter().find(|(known, _, _)| name.eq_ignore_ascii_case(known));
        let Some(&(name, scheme, default_port)) = known else {
            let known = SCHEMES.map(|(name, _, _)| name).join(", ");
            return Err(format!(
                "{} is no scheme of a target; expected one of {known}",
                quoted(name)
            ));
        };
        let text = format!("{name}://{rest}");
        let authority = rest.split(['/', '?', '#']).next().unwrap_or(rest);
        let place = if is_redirect {
            Place::None
        } else {
            let (host, port) = split_authority(authority)?;
            let ip = parse_address(host)?;
            let port = match (port, default_port) {
                (Some(port), _) => parse_port(port)?,
                (None, Some(port)) => port,
                (None, None) => {
                    return Err(format!(
                        "the target {} has no port; expected {name}://ADDRESS:PORT",
                        quoted(authority)
                    ));
                }
            };
            match (ip, scheme) {
                (Some(ip), _) => Place::Address(canonical(SocketAddr::new(ip, port))),
                (None, Scheme::Tcp) if !cfg!(feature = "names") => {
                    return Err(format!(
                        "{} is a name, and this burgee was built without the feature `names`",
                        quoted(host)
                    ));
                }
                (None, Scheme::Tcp) => Place::Name(host_name(host)?.into(), port),
                (None, Scheme::Udp) => {
                    return Err(format!(
                        "the target {} is a name; a udp target needs an IP address",
                        quoted(host)
                    ));
                }
                (None, _) => Place::None,
            }
        };
        Ok(Destination { text, scheme, place })
    }

    /// The whole URL, its scheme in lower case. Targets are told apart by it.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Its scheme.
    pub fn scheme(&self) -> Scheme {
        self.scheme
    }

    /// Where to connect to; `None` for a redirect, and for a name.
    pub fn address(&self) -> Option<SocketAddr> {
        match self.place {
            Place::Address(address) => Some(address),
            Place::Name(..) | Place::None => None,
        }
    }

    /// The name of a `tcp` target, whose addresses are to be looked up, and the
    /// port. The name is in lower case; a dot at its end says that it is absolute.
    pub fn name(&self) -> Option<(&str, u16)> {
        match &self.place {
            Place::Name(name, port) => Some((name, *port)),
            Place::Address(_) | Place::None => None,
        }
    }
}

impl fmt::Display for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// Divides `host:port`, `[host]:port` and the forms without a port. The
/// brackets stay, so that they still tell an IPv6 address.
fn split_authority(authority: &str) -> Result<(&str, Option<&str>), String> {
    let after_host = match (authority.starts_with('['), authority.find(']')) {
        (true, Some(bracket)) => bracket.saturating_add(1),
        (true, None) => {
            return Err(format!("the target {} has no closing bracket", quoted(authority)));
        }
        (false, _) => authority.rfind(':').unwrap_or(authority.len()),
    };
    let (host, rest) = authority.split_at_checked(after_host).unwrap_or((authority, ""));
    match rest.strip_prefix(':') {
        Some(port) => Ok((host, Some(port))),
        None if rest.is_empty() => Ok((host, None)),
        None => Err(format!(
            "expected a colon and a port after {}, found {}",
            quoted(host),
            quoted(rest)
        )),
    }
}

/// A literal IPv4 address, or an IPv6 address in brackets; what can be nothing
/// but a name is `None`.
fn parse_address(host: &str) -> Result<Option<IpAddr>, String> {
    let bracketed = host.strip_prefix('[').and_then(|h| h.strip_suffix(']'));
    if let Some(inside) = bracketed {
        let address = inside.parse::<Ipv6Addr>();
        return address
            .map(|address| Some(IpAddr::V6(address)))
            .map_err(|_| format!("{} is no IPv6 address", quoted(inside)));
    }
    if let Ok(address) = host.parse::<Ipv4Addr>() {
        return Ok(Some(IpAddr::V4(address)));
    }
    Err(if host.is_empty() {
        "the target has no address; expected tcp://ADDRESS:PORT".to_owned()
    } else if host.contains('@') {
        format!("the target {} has a user name, which no target is asked with", quoted(host))
    } else if host.contains(':') {
        format!("{} must be in brackets, as in tcp://[2001:db8::1]:80", quoted(host))
    } else if host.chars().all(|c| c.is_ascii_digit() || c == '.') {
        format!("{} is no IPv4 address", quoted(host))
    } else {
        return Ok(None);
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn destination(word: &str) -> Destination {
        Destination::parse(word, false).unwrap()
    }

    #[test]
    fn bad_targets_say_what_is_wrong() {
        for (target, part) in [
            ("192.0.2.1:80", "has no scheme"),
            ("backend:80", "has no scheme"),
            (
                "sctp://192.0.2.1:80/",
                "\"sctp\" is no scheme of a target; expected one of tcp, udp, ",
            ),
            ("udp://backend:53", "is a name; a udp target needs an IP address"),
            ("udp://192.0.2.1", "has no port; expected udp://ADDRESS:PORT"),
            ("tcp://192.0.2.1", "has no port"),
            ("grpc://192.0.2.1", "has no port; expected grpc://ADDRESS:PORT"),
            ("tcp://[2001:db8::1]", "has no port"),
            ("tcp://192.0.2.1:", "\"\" is no port"),
            ("tcp://192.0.2.1:0", "\"0\" is no port"),
            ("tcp://[2001:db8::1]:99999", "\"99999\" is no port"),
            ("http://192.0.2.1:x/", "\"x\" is no port"),
            ("http://backend:x/", "\"x\" is no port"),
            ("tcp://2001:db8::1:80", "must be in brackets"),
            ("tcp://[2001:db8::1:80", "no closing bracket"),
            ("tcp://[192.0.2.1]:80", "is no IPv6 address"),
            ("tcp://[2001:db8::1]80", "expected a colon and a port"),
            ("tcp://192.0.2.256:80", "is no IPv4 address"),
            ("tcp://backend", "has no port"),
            ("tcp://backend:", "\"\" is no port"),
            ("tcp://back_end:80", "is no host name"),
            ("tcp://host.1:80", "its last part is a number"),
            ("tcp://me@192.0.2.1:80", "has a user name"),
            ("tcp://:80", "has no address"),
            ("tcp://", "has no address"),
            ("http:///path", "has no address"),
        ] {
            let problem = Destination::parse(target, false).unwrap_err();
            assert!(problem.contains(part), "{target}: {problem}");
        }
    }

    #[test]
    fn the_address_is_what_matters_of_a_url() {
        let address = Some("192.0.2.1:80".parse().unwrap());
        for target in [
            "TCP://192.0.2.1:80",
            "tcp://192.0.2.1:80/",
            "tcp://192.0.2.1:80/a?b#c",
            "http://192.0.2.1",
            "ws://192.0.2.1/x",
            "grpc://192.0.2.1:80",
            "tcp://[::ffff:192.0.2.1]:80",
        ] {
            assert_eq!(destination(target).address(), address, "{target}");
        }
        assert_eq!(destination("https://192.0.2.1").address().map(|a| a.port()), Some(443));
        let ipv6 = destination("tcp://[2001:db8::1]:80");
        assert_eq!(ipv6.address(), Some("[2001:db8::1]:80".parse().unwrap()));
    }

    #[test]
    fn the_text_is_kept_but_for_the_case_of_the_scheme() {
        assert_eq!(destination("TCP://192.0.2.1:80/A?b").as_str(), "tcp://192.0.2.1:80/A?b");
        assert_eq!(destination("HTTPS://192.0.2.1").scheme(), Scheme::Https);
        assert_eq!(destination("tcp://192.0.2.1:80").to_string(), "tcp://192.0.2.1:80");
    }

    #[test]
    fn names_of_tcp_targets_are_to_be_looked_up() {
        let named = destination("tcp://DB.example.com.:5432/x");
        assert_eq!((named.address(), named.name()), (None, Some(("db.example.com.", 5432))));
        assert_eq!(named.as_str(), "tcp://DB.example.com.:5432/x");
        assert_eq!(destination("tcp://192.0.2.1:80").name(), None);
        assert_eq!(Destination::parse("tcp://backend:80", true).unwrap().name(), None);
    }

    #[test]
    fn other_names_and_redirects_are_kept_without_an_address() {
        let backend = destination("http://backend:8080/");
        assert_eq!((backend.address(), backend.name()), (None, None));
        for target in ["https://$host$path", "https:///x", "http://192.0.2.1/$path"] {
            let redirect = Destination::parse(target, true).unwrap();
            assert_eq!((redirect.address(), redirect.as_str()), (None, target));
        }
        assert!(Destination::parse("$host", true).unwrap_err().contains("has no scheme"));
    }
}
