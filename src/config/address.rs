//! Addresses to listen on: `:port`, `ip:port` or `[ipv6]:port`, where a template
//! may stand for what only the host knows.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use super::templates::{self, ListInterfaces};
use super::values;

/// An address to listen on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Address {
    pub(super) address: SocketAddr,
    /// Whether the host was left out, which is all addresses of both families.
    pub(super) dual_stack: bool,
    /// What the text became, where there were templates in it.
    pub(super) resolved: Option<String>,
}

/// Reads an address.
///
/// # Errors
/// A sentence that says what was expected, and what templates became.
pub(super) fn read(text: &str, interfaces: ListInterfaces<'_>) -> Result<Address, String> {
    let resolved = templates::resolve(text, interfaces)?;
    let (address, dual_stack) = match &resolved {
        None => parse(text)?,
        Some(became) => parse(became).map_err(|what| format!("it became {became:?}: {what}"))?,
    };
    Ok(Address { address, dual_stack, resolved })
}

/// Reads an address without templates, and says whether the host was left out.
fn parse(text: &str) -> Result<(SocketAddr, bool), String> {
    const EXPECTED: &str = "expected :port, ip:port or [ipv6]:port";
    if text.is_empty() {
        return Err(format!("it has no address; {EXPECTED} as the first value"));
    }
    let Some((host, port)) = text.rsplit_once(':') else {
        return Err(format!("{EXPECTED}; the port is missing"));
    };
    let port = values::decimal(port)
        .and_then(|port| u16::try_from(port).ok())
        .ok_or_else(|| format!("{EXPECTED}, with a port of at most 65535"))?;
    if host.is_empty() {
        return Ok((SocketAddr::new(Ipv6Addr::UNSPECIFIED.into(), port), true));
    }
    let bracketed = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    let address = match bracketed {
        Some(host) if host.contains('%') => {
            return Err("link-local addresses with a zone are not supported yet".into());
        }
        // Go takes an IPv4 address in brackets too, and so a template that may
        // become either.
        Some(host) => host.parse::<IpAddr>().ok().map(|address| address.to_canonical()),
        None if host.parse::<Ipv6Addr>().is_ok() => {
            return Err(format!("{EXPECTED}; an IPv6 address needs its brackets"));
        }
        None => host.parse::<IpAddr>().ok(),
    };
    match address {
        Some(address) => Ok((SocketAddr::new(address, port), false)),
        None => Err(format!("{EXPECTED}; names are not supported")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reactor::interfaces::{InterfaceAddress, Interfaces};

    #[test]
    fn addresses() {
        let golden = [
            (":80", "[::]:80", true),
            (":0", "[::]:0", true),
            ("0.0.0.0:80", "0.0.0.0:80", false),
            ("192.0.2.1:65535", "192.0.2.1:65535", false),
            ("[192.0.2.1]:80", "192.0.2.1:80", false),
            ("[::]:80", "[::]:80", false),
            ("[2001:db8::1]:80", "[2001:db8::1]:80", false),
            ("[::ffff:192.0.2.1]:80", "192.0.2.1:80", false),
        ];
        for (text, address, dual_stack) in golden {
            assert_eq!(parse(text), Ok((address.parse().unwrap(), dual_stack)), "{text}");
        }
        let bad = [
            ("", "it has no address"),
            ("80", "the port is missing"),
            ("192.0.2.1", "the port is missing"),
            (":http", "with a port of at most 65535"),
            (":65536", "with a port of at most 65535"),
            (":", "with a port of at most 65535"),
            ("localhost:80", "names are not supported"),
            ("*:80", "names are not supported"),
            ("2001:db8::1:80", "needs its brackets"),
            ("[fe80::1%eth0]:80", "link-local addresses with a zone are not supported yet"),
        ];
        for (text, part) in bad {
            let error = parse(text).unwrap_err();
            assert!(error.contains(part), "{text}: {error}");
        }
    }

    #[test]
    fn a_template_becomes_an_address_or_an_error_that_says_what() {
        let host = |address: &str| Interfaces {
            addresses: vec![InterfaceAddress {
                name: "eth0".to_owned(),
                address: address.parse().unwrap(),
                prefix_len: 24,
                up: true,
                loopback: false,
            }],
            default_route: None,
        };
        let with = |text: &str, address: &str| read(text, &|| Ok(host(address)));
        let found = with("{{ GetPrivateIP }}:80", "10.0.0.1").unwrap();
        assert_eq!(found.address, "10.0.0.1:80".parse().unwrap());
        assert_eq!(found.resolved.as_deref(), Some("10.0.0.1:80"));
        for address in ["10.0.0.1", "fd00::1"] {
            let found = with("[{{ GetPrivateIP }}]:80", address).unwrap();
            assert_eq!(found.address.ip().to_string(), address);
        }
        assert_eq!(
            with("{{ GetPrivateIP }}:80", "fd00::1"),
            Err("it became \"fd00::1:80\": expected :port, ip:port or [ipv6]:port; an IPv6 address \
                 needs its brackets"
                .to_owned())
        );
        assert!(with("{{ GetPublicIP }}:80", "10.0.0.1").is_err());
        let nobody_asks = || panic!("there is no template");
        assert_eq!(read(":80", &nobody_asks).unwrap().resolved, None);
    }
}
