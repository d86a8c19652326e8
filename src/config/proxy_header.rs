//! `pxyproto=`, `pxytimeout=` and `pxytrusted=` of a listener: the header of
//! the PROXY protocol.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use ipnet::{IpNet, Ipv4Net};

use super::reader::{Item, Reader};
use super::{ProxyHeaderConfig, values};

/// fabio's wait for a header that may be there: whoever sends none waits so
/// long.
const OPTIONAL_TIMEOUT: Duration = Duration::from_millis(250);

/// The wait for a header that must be there: one segment may be lost, which is
/// sent again after a second (RFC 6298 §2), and once more after two.
const STRICT_TIMEOUT: Duration = Duration::from_secs(3);

/// Most entries of `pxytrusted=`: they are looked through one by one for each
/// connection.
const MOST_TRUSTED: usize = 256;

/// Reads the options of a listener for connections.
pub(super) fn read(item: &Item<'_>, reader: &mut Reader<'_>) -> Option<ProxyHeaderConfig> {
    let mode = item.parse(reader.report, "pxyproto", |text| match text {
        "strict" => Ok(Some(true)),
        text => match values::boolean(text) {
            Ok(true) => Ok(Some(false)),
            Ok(false) => Ok(None),
            Err(_) => Err("expected true, false or strict".to_owned()),
        },
    });
    let timeout = item.duration(reader.report, "pxytimeout").filter(|timeout| !timeout.is_zero());
    let trusted = item.parse(reader.report, "pxytrusted", trusted);
    let Some(strict) = mode.flatten() else {
        // With a value of pxyproto that is an error nothing is known of it.
        if mode.is_some() || item.get("pxyproto").is_none() {
            report_unused(item, reader);
        }
        return None;
    };
    if item.get("pxytrusted").is_none() {
        item.warn(
            reader.report,
            "pxyproto without pxytrusted: any client can claim any address, as in fabio",
        );
    }
    Some(ProxyHeaderConfig {
        strict,
        timeout: timeout.unwrap_or(if strict { STRICT_TIMEOUT } else { OPTIONAL_TIMEOUT }),
        trusted: trusted.unwrap_or_default(),
    })
}

/// The options that do nothing without `pxyproto=`. Who lists trusted sources
/// counts on the others not being served.
fn report_unused(item: &Item<'_>, reader: &mut Reader<'_>) {
    if item.get("pxytimeout").is_some() {
        let text = "option \"pxytimeout\" has no effect without pxyproto=true or strict";
        item.warn(reader.report, text);
    }
    if item.get("pxytrusted").is_some() {
        item.fail(reader.report, "pxytrusted needs pxyproto=true or pxyproto=strict");
    }
}

/// Addresses and prefixes with blanks between them.
fn trusted(text: &str) -> Result<Vec<IpNet>, String> {
    let sources: Vec<IpNet> = text.split_whitespace().map(source).collect::<Result<_, String>>()?;
    match sources.len() {
        0 => Err("expected addresses or prefixes with blanks between them".to_owned()),
        count if count > MOST_TRUSTED => {
            Err(format!("{count} entries, and at most {MOST_TRUSTED} are allowed"))
        }
        _ => Ok(sources),
    }
}

/// A prefix, or an address as the prefix of itself alone. Clients are compared
/// as the IPv4 addresses that they are, so an IPv4-mapped prefix is one too.
fn source(text: &str) -> Result<IpNet, String> {
    let address = || text.parse::<IpAddr>().map(IpNet::from);
    let net = text.parse().or_else(|_| address()).map_err(|_| {
        format!("{text:?} is no address or prefix such as 192.0.2.0/24 or 2001:db8::/32")
    })?;
    if net.trunc() != net {
        return Err(format!("{text} has bits set beyond its length; write {}", net.trunc()));
    }
    Ok(mapped(net).unwrap_or(net))
}

fn mapped(net: IpNet) -> Option<IpNet> {
    let IpNet::V6(net) = net else { return None };
    let address: Ipv4Addr = net.addr().to_ipv4_mapped()?;
    let length = net.prefix_len().checked_sub(96)?;
    Some(IpNet::V4(Ipv4Net::new(address, length).ok()?))
}

#[cfg(test)]
mod tests {
    use super::super::testing::{errors, load_file, loaded};
    use super::*;

    fn header(options: &str) -> Option<ProxyHeaderConfig> {
        let text = format!("proxy.addr = :80;proto=tcp;{options}");
        loaded(&text).config.proxy.listeners.remove(0).proxy_header
    }

    fn errors_of(options: &str) -> Vec<String> {
        let errors = errors(&format!("proxy.addr = :80;proto=tcp;{options}"));
        let strip = |error: String| {
            error.strip_prefix("f:1: proxy.addr: listener :80: ").unwrap().to_string()
        };
        errors.into_iter().map(strip).collect()
    }

    #[test]
    fn the_header_is_optional_as_in_fabio_or_strict() {
        assert_eq!(header(""), None);
        assert_eq!(header("pxyproto=false"), None);
        let optional = header("pxyproto=true").unwrap();
        let quarter = Duration::from_millis(250);
        assert_eq!(
            optional,
            ProxyHeaderConfig { strict: false, timeout: quarter, trusted: Vec::new() }
        );
        assert_eq!(header("pxyproto=true;pxytimeout=0").unwrap(), optional);
        let strict = header("pxyproto=strict").unwrap();
        assert_eq!((strict.strict, strict.timeout), (true, Duration::from_secs(3)));
        let longer = header("pxyproto=strict;pxytimeout=4s").unwrap();
        assert_eq!(longer.timeout, Duration::from_secs(4));
        assert_eq!(
            errors_of("pxyproto=maybe"),
            ["pxyproto = \"maybe\": expected true, false or strict"]
        );
        assert_eq!(errors_of("pxyproto=true;pxytimeout=5").len(), 1);
    }

    #[test]
    fn every_protocol_of_connections_has_it() {
        for protocol in ["tcp", "tcp+sni", "tcp-dynamic"] {
            let text = format!("proxy.addr = :0;proto={protocol};pxyproto=strict");
            assert!(loaded(&text).config.proxy.listeners[0].proxy_header.is_some(), "{protocol}");
        }
    }

    #[test]
    fn trusted_sources_are_prefixes_and_addresses() {
        let trusted = |text: &str| header(&format!("pxyproto=true;pxytrusted={text}")).unwrap();
        let nets: Vec<String> = trusted(
            " 192.0.2.0/24  198.51.100.1 2001:db8::/32 ::1 ::ffff:203.0.113.0/120 0.0.0.0/0",
        )
        .trusted
        .iter()
        .map(ToString::to_string)
        .collect();
        assert_eq!(
            nets,
            [
                "192.0.2.0/24",
                "198.51.100.1/32",
                "2001:db8::/32",
                "::1/128",
                "203.0.113.0/24",
                "0.0.0.0/0"
            ]
        );
        let error = |text: &str| errors_of(&format!("pxyproto=true;pxytrusted={text}"));
        assert_eq!(
            error("192.0.2.1/24"),
            ["pxytrusted = \"192.0.2.1/24\": 192.0.2.1/24 has bits set beyond its length; write \
              192.0.2.0/24"]
        );
        assert_eq!(
            error("lb1"),
            ["pxytrusted = \"lb1\": \"lb1\" is no address or prefix such as 192.0.2.0/24 or \
              2001:db8::/32"]
        );
        assert_eq!(error(" ").len(), 1);
        let many = |count| "192.0.2.1 ".repeat(count);
        assert_eq!(trusted(&many(256)).trusted.len(), 256);
        let error = error(&many(257));
        assert!(error[0].contains("257 entries, and at most 256 are allowed"), "{error:?}");
    }

    #[test]
    fn whom_to_trust_is_asked_and_not_assumed() {
        let warnings = |options: &str| {
            load_file(&format!("proxy.addr = :80;proto=tcp;{options}")).unwrap().warnings
        };
        let everybody = "f:1: proxy.addr: listener :80: pxyproto without pxytrusted: any client can \
                         claim any address, as in fabio";
        assert_eq!(warnings("pxyproto=true"), [everybody]);
        assert_eq!(warnings("pxyproto=strict"), [everybody]);
        assert_eq!(warnings("pxyproto=true;pxytrusted=192.0.2.1"), Vec::<String>::new());
        assert_eq!(
            warnings("pxytimeout=1s"),
            ["f:1: proxy.addr: listener :80: option \"pxytimeout\" has no effect without \
              pxyproto=true or strict"]
        );
        let needs = ["pxytrusted needs pxyproto=true or pxyproto=strict"];
        assert_eq!(errors_of("pxytrusted=192.0.2.1"), needs);
        assert_eq!(errors_of("pxyproto=false;pxytrusted=192.0.2.1"), needs);
        assert_eq!(errors_of("pxyproto=no;pxytrusted=192.0.2.1").len(), 1);
    }
}
