//! `proxy.addr`: the listeners.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use super::address::{self, Address};
use super::reader::{Item, Reader};
use super::templates::ListInterfaces;
use super::{ListenerConfig, Protocol, duration, proxy_header, values};

/// The protocols that fabio knows.
const PROTOCOLS: [&str; 9] = [
    "http",
    "https",
    "tcp",
    "tcp+sni",
    "tcp-dynamic",
    "https+tcp+sni",
    "grpc",
    "grpcs",
    "prometheus",
];

/// The protocols that burgee serves, for messages.
const SUPPORTED: &str = "only proto=tcp, tcp+sni, tcp-dynamic and udp";

/// `hellotimeout=` of a listener that does not set it: a ClientHello is the
/// first thing that a client sends, and may be lost twice.
const HELLO_TIMEOUT: Duration = Duration::from_secs(5);

/// `it=` of a `proto=udp` listener that does not set it: longer than resolvers
/// wait for an answer, and as long as firewalls commonly keep such a flow.
const UDP_IDLE: Duration = Duration::from_secs(30);

/// Reads all listeners. `read_timeout` and `write_timeout` hold for those that
/// do not say otherwise.
pub(super) fn read(
    reader: &mut Reader<'_>,
    read_timeout: Duration,
    write_timeout: Duration,
    interfaces: ListInterfaces<'_>,
) -> Vec<ListenerConfig> {
    let Some((setting, maps)) = reader.maps("proxy.addr") else { return Vec::new() };
    let mut listeners: Vec<ListenerConfig> = Vec::new();
    for (number, map) in (1_usize..).zip(&maps) {
        let written = map.get("").or(map.get("addr")).unwrap_or_default();
        let name = match written {
            "" => format!("listener {number}"),
            written => format!("listener {written}"),
        };
        let item = Item::new(setting, name, map);
        item.check_keys(reader.report);
        let address = address(&item, written, interfaces, reader);
        let protocol = protocol(&item, reader);
        let rt = item.duration(reader.report, "rt").unwrap_or(read_timeout);
        let wt = item.duration(reader.report, "wt").unwrap_or(write_timeout);
        let (Some(Address { mut address, dual_stack, .. }), Some(protocol)) = (address, protocol)
        else {
            continue;
        };
        if protocol == Protocol::TcpDynamic && address.port() != 0 {
            item.warn(
                reader.report,
                "the port is not used: the routes say which ports are listened on; write 0",
            );
            address.set_port(0);
        }
        let is_udp = matches!(protocol, Protocol::Udp { .. });
        let proxy_header = if is_udp { None } else { proxy_header::read(&item, reader) };
        let listener = ListenerConfig {
            address,
            dual_stack,
            protocol,
            read_timeout: if is_udp { Duration::ZERO } else { rt },
            write_timeout: if is_udp { Duration::ZERO } else { wt },
            proxy_header,
            connection_limit: if is_udp { 0 } else { connection_limit(&item, reader) },
            freebind: freebind(&item, address, reader),
        };
        if let Some(other) = listeners.iter().find(|other| overlap(other, &listener)) {
            let text = format!("it takes the same connections as listener {}", print(other));
            item.fail(reader.report, &text);
        }
        listeners.push(listener);
    }
    listeners
}

/// The address of a listener, or an error about it.
pub(super) fn address(
    item: &Item<'_>,
    written: &str,
    interfaces: ListInterfaces<'_>,
    reader: &mut Reader<'_>,
) -> Option<Address> {
    match address::read(written, interfaces) {
        Ok(address) => {
            if let Some(resolved) = &address.resolved {
                reader.report.note(item.setting.spec.key, &format!("{written} is {resolved}"));
            }
            Some(address)
        }
        Err(what) => {
            item.fail(reader.report, &what);
            None
        }
    }
}

fn protocol(item: &Item<'_>, reader: &mut Reader<'_>) -> Option<Protocol> {
    let protocol = match item.get("proto") {
        Some("tcp") => {
            check_stream(item, "tcp", reader);
            return Some(Protocol::Tcp);
        }
        Some("tcp+sni") => {
            check_stream(item, "tcp+sni", reader);
            return Some(Protocol::TcpSni { hello_timeout: hello_timeout(item, reader) });
        }
        Some("tcp-dynamic") => {
            check_stream(item, "tcp-dynamic", reader);
            return Some(Protocol::TcpDynamic);
        }
        Some("udp") => return udp(item, reader),
        Some(protocol) => protocol,
        // fabio's default; with a certificate source, which is refused
        // anyway, it is https.
        None => {
            item.fail(
                reader.report,
                "proto is not set, which is \"http\", and that is not supported yet; write \
                 proto=tcp",
            );
            return None;
        }
    };
    if PROTOCOLS.contains(&protocol) {
        let text = format!("proto {protocol:?} is not supported yet; {SUPPORTED} are");
        item.fail(reader.report, &text);
    } else {
        let what = format!("unknown protocol; {SUPPORTED} are supported");
        item.fail_value(reader.report, "proto", protocol, &what);
    }
    None
}

/// Names the options that are for other protocols than this one of connections.
fn check_stream(item: &Item<'_>, protocol: &str, reader: &mut Reader<'_>) {
    if item.get("it").is_some() {
        let text = format!(
            "option \"it\" has no effect: it is for HTTP, and in fabio too without effect on \
             proto={protocol}"
        );
        item.warn(reader.report, &text);
    }
    if item.get("flows").is_some() {
        let text = "flows is for proto=udp; the limit of connections is connections=";
        item.fail(reader.report, text);
    }
    if item.get("hellotimeout").is_some() && protocol != "tcp+sni" {
        item.fail(reader.report, "hellotimeout is for proto=tcp+sni");
    }
    let refresh = item.duration(reader.report, "refresh");
    if refresh.is_some() && protocol != "tcp-dynamic" {
        item.warn(reader.report, "option \"refresh\" has no effect: it is for proto=tcp-dynamic");
    }
}

fn hello_timeout(item: &Item<'_>, reader: &mut Reader<'_>) -> Duration {
    let timeout = item.parse(reader.report, "hellotimeout", |text| {
        let timeout = duration::parse(text)?;
        match timeout.is_zero() {
            true => Err("expected more than 0: a client that never speaks would hold its place \
                         for ever"
                .to_owned()),
            false => Ok(timeout),
        }
    });
    timeout.unwrap_or(HELLO_TIMEOUT)
}

fn connection_limit(item: &Item<'_>, reader: &mut Reader<'_>) -> u32 {
    count(item, reader, "connections", "expected a number of connections")
}

fn freebind(item: &Item<'_>, address: SocketAddr, reader: &mut Reader<'_>) -> bool {
    let freebind = item.boolean(reader.report, "freebind");
    if freebind && address.ip().is_unspecified() {
        let text = "freebind has no effect, as all addresses are listened on, those to come too";
        item.warn(reader.report, text);
    }
    freebind
}

fn count(item: &Item<'_>, reader: &mut Reader<'_>, key: &str, expected: &str) -> u32 {
    let count = item.parse(reader.report, key, |value| {
        let number = values::decimal(value).and_then(|number| u32::try_from(number).ok());
        number.ok_or_else(|| expected.to_owned())
    });
    count.unwrap_or_default()
}

/// The options of a `proto=udp` listener, and errors for those that promise
/// what datagrams cannot have.
fn udp(item: &Item<'_>, reader: &mut Reader<'_>) -> Option<Protocol> {
    let meaningless = [
        ("rt", "clients may be silent; it= ends flows that are"),
        ("wt", "clients take datagrams or lose them; it= ends silent flows"),
        ("cs", "datagrams are passed on as they come"),
        ("pxyproto", "a datagram has no place for the PROXY protocol"),
        ("pxytimeout", "a datagram has no place for the PROXY protocol"),
        ("pxytrusted", "a datagram has no place for the PROXY protocol"),
        ("hellotimeout", "it is for proto=tcp+sni"),
        ("connections", "there are none; flows= is the limit of flows"),
        ("refresh", "it is for proto=tcp-dynamic"),
    ];
    for (key, why) in meaningless {
        if item.get(key).is_some() {
            item.fail(reader.report, &format!("{key} makes no sense with proto=udp: {why}"));
        }
    }
    let idle_timeout = match item.duration(reader.report, "it") {
        Some(Duration::ZERO) => {
            let value = item.get("it").unwrap_or_default();
            let what = "expected more than 0: a flow has no other end than silence";
            item.fail_value(reader.report, "it", value, what);
            return None;
        }
        other => other.unwrap_or(UDP_IDLE),
    };
    let flow_limit = count(item, reader, "flows", "expected a number of flows");
    Some(Protocol::Udp { idle_timeout, flow_limit })
}

/// Whether the kernel refuses to open both. Port 0 is another one each time.
/// Which ports a template takes is not known before there are routes, but two
/// templates take the same.
fn overlap(one: &ListenerConfig, other: &ListenerConfig) -> bool {
    let templates = [one, other]
        .into_iter()
        .filter(|listener| listener.protocol == Protocol::TcpDynamic)
        .count();
    let same_port = one.address.port() == other.address.port() && one.address.port() != 0;
    if templates == 1 || (templates == 0 && !same_port) {
        return false;
    }
    // Each protocol has ports of its own.
    if matches!(one.protocol, Protocol::Udp { .. })
        != matches!(other.protocol, Protocol::Udp { .. })
    {
        return false;
    }
    meet((one.address.ip(), one.dual_stack), (other.address.ip(), other.dual_stack))
}

/// Whether one of two addresses is the other or takes it in. Each is given with
/// whether it is that of both families.
fn meet(one: (IpAddr, bool), other: (IpAddr, bool)) -> bool {
    let covers = |(wide, dual_stack): (IpAddr, bool), (narrow, _): (IpAddr, bool)| {
        wide.is_unspecified() && (dual_stack || wide.is_ipv4() == narrow.is_ipv4())
    };
    one.0 == other.0 || covers(one, other) || covers(other, one)
}

/// Whether the listener takes connections of another address. Which ports a
/// template takes is not known here.
pub(super) fn takes(listener: &ListenerConfig, other: &Address) -> bool {
    let (own, port) = (listener.address, other.address.port());
    own.port() == port
        && port != 0
        && !listener.takes_datagrams()
        && meet((own.ip(), listener.dual_stack), (other.address.ip(), other.dual_stack))
}

/// What messages call it.
pub(super) fn print(listener: &ListenerConfig) -> String {
    match listener.dual_stack {
        true => format!(":{}", listener.address.port()),
        false => listener.address.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{errors, loaded};
    use super::*;

    #[test]
    fn a_list_of_listeners() {
        let text = "proxy.addr = :80;proto=tcp;rt=3s,addr=192.0.2.1:443;proto=tcp;wt=1m,\n\
                    proxy.readtimeout = 1s\nproxy.writetimeout = 2s";
        let listener = |address: &str, dual_stack, rt, wt| ListenerConfig {
            address: address.parse().unwrap(),
            dual_stack,
            protocol: Protocol::Tcp,
            read_timeout: Duration::from_secs(rt),
            write_timeout: Duration::from_secs(wt),
            proxy_header: None,
            connection_limit: 0,
            freebind: false,
        };
        assert_eq!(
            loaded(text).config.proxy.listeners,
            [listener("[::]:80", true, 3, 2), listener("192.0.2.1:443", false, 1, 60)]
        );
    }

    #[test]
    fn protocols() {
        let error = |pairs: &str| errors(&format!("proxy.addr = :80{pairs}"));
        assert_eq!(
            error(""),
            ["f:1: proxy.addr: listener :80: proto is not set, which is \"http\", and that is \
              not supported yet; write proto=tcp"]
        );
        assert_eq!(
            error(";proto=http"),
            ["f:1: proxy.addr: listener :80: proto \"http\" is not supported yet; only \
              proto=tcp, tcp+sni, tcp-dynamic and udp are"]
        );
        assert_eq!(
            error(";proto=tpc"),
            ["f:1: proxy.addr: listener :80: proto = \"tpc\": unknown protocol; only \
              proto=tcp, tcp+sni, tcp-dynamic and udp are supported"]
        );
        assert_eq!(
            error(";proto=tcp "),
            ["f:1: proxy.addr: listener :80: proto = \"tcp \": unknown protocol; only \
              proto=tcp, tcp+sni, tcp-dynamic and udp are supported (there is a blank before or after it)"]
        );
    }

    #[test]
    fn listeners_by_server_name() {
        let protocol = |options: &str| {
            let text = format!("proxy.addr = :443;proto=tcp+sni;{options}");
            loaded(&text).config.proxy.listeners[0].protocol
        };
        let sni = |seconds| Protocol::TcpSni { hello_timeout: Duration::from_secs(seconds) };
        assert_eq!(protocol(""), sni(5));
        assert_eq!(protocol("hellotimeout=2s"), sni(2));
        assert_eq!(
            errors("proxy.addr = :443;proto=tcp+sni;hellotimeout=0"),
            ["f:1: proxy.addr: listener :443: hellotimeout = \"0\": expected more than 0: a \
              client that never speaks would hold its place for ever"]
        );
        assert_eq!(
            errors("proxy.addr = :443;proto=tcp;hellotimeout=1s"),
            ["f:1: proxy.addr: listener :443: hellotimeout is for proto=tcp+sni"]
        );
    }

    #[test]
    fn templates_of_listeners() {
        let listener = |text: &str| {
            let loaded = loaded(&format!("proxy.addr = {text}"));
            let listener = loaded.config.proxy.listeners.into_iter().next().unwrap();
            assert_eq!(listener.protocol, Protocol::TcpDynamic);
            ((listener.address.to_string(), listener.dual_stack), loaded.warnings)
        };
        for (text, address, dual_stack) in [
            (":0;proto=tcp-dynamic", "[::]:0", true),
            ("0.0.0.0:0;proto=tcp-dynamic;refresh=5s", "0.0.0.0:0", false),
            ("192.0.2.1:0;proto=tcp-dynamic", "192.0.2.1:0", false),
        ] {
            assert_eq!(listener(text), ((address.to_owned(), dual_stack), vec![]), "{text}");
        }
        let (address, warnings) = listener("0.0.0.0:9999;proto=tcp-dynamic");
        assert_eq!(address, ("0.0.0.0:0".to_owned(), false));
        assert_eq!(
            warnings,
            ["f:1: proxy.addr: listener 0.0.0.0:9999: the port is not used: the routes say which \
              ports are listened on; write 0"]
        );
        assert_eq!(errors("proxy.addr = :0;proto=tcp-dynamic;refresh=5").len(), 1);
        assert_eq!(
            loaded("proxy.addr = :80;proto=tcp;refresh=5s").warnings,
            ["f:1: proxy.addr: listener :80: option \"refresh\" has no effect: it is for \
              proto=tcp-dynamic"]
        );
    }

    #[test]
    fn templates_overlap_only_each_other() {
        let dynamic = |other: &str| {
            errors(&format!("proxy.addr = 0.0.0.0:0;proto=tcp-dynamic,{other}")).len()
        };
        assert_eq!(dynamic("0.0.0.0:0;proto=tcp-dynamic"), 1);
        assert_eq!(dynamic(":0;proto=tcp-dynamic"), 1);
        assert_eq!(dynamic("192.0.2.1:7;proto=tcp-dynamic"), 1);
        assert_eq!(dynamic("[::]:0;proto=tcp-dynamic"), 0);
        assert_eq!(dynamic("0.0.0.0:80;proto=tcp,:0;proto=tcp"), 0);
    }

    #[test]
    fn limits_of_connections() {
        for protocol in ["tcp", "tcp+sni", "tcp-dynamic"] {
            let text = format!("proxy.addr = :0;proto={protocol};connections=7");
            assert_eq!(loaded(&text).config.proxy.listeners[0].connection_limit, 7);
        }
        assert_eq!(
            errors("proxy.addr = :80;proto=tcp;connections=-1"),
            ["f:1: proxy.addr: listener :80: connections = \"-1\": expected a number of \
              connections"]
        );
    }

    #[test]
    fn addresses_that_the_host_may_not_have() {
        for protocol in ["tcp", "tcp+sni", "tcp-dynamic", "udp"] {
            let text = format!("proxy.addr = 192.0.2.1:0;proto={protocol};freebind=true");
            let loaded = loaded(&text);
            assert!(loaded.config.proxy.listeners[0].freebind, "{protocol}");
            assert_eq!(loaded.warnings, Vec::<String>::new(), "{protocol}");
        }
        assert!(!loaded("proxy.addr = :80;proto=tcp").config.proxy.listeners[0].freebind);
        assert_eq!(
            errors("proxy.addr = 192.0.2.1:80;proto=tcp;freebind=maybe"),
            ["f:1: proxy.addr: listener 192.0.2.1:80: freebind = \"maybe\": expected true or \
              false"]
        );
        assert_eq!(
            loaded("proxy.addr = :80;proto=tcp;freebind=true").warnings,
            [
                "f:1: proxy.addr: listener :80: freebind has no effect, as all addresses are listened \
              on, those to come too"
            ]
        );
    }

    #[test]
    fn listeners_of_datagrams() {
        let text = "proxy.addr = :53;proto=udp,:53;proto=tcp,192.0.2.1:514;proto=udp;it=5s;flows=9\n\
                    proxy.readtimeout = 1s";
        let listeners = loaded(text).config.proxy.listeners;
        let udp = |seconds, flow_limit| Protocol::Udp {
            idle_timeout: Duration::from_secs(seconds),
            flow_limit,
        };
        let protocols: Vec<Protocol> = listeners.iter().map(|it| it.protocol).collect();
        assert_eq!(protocols, [udp(30, 0), Protocol::Tcp, udp(5, 9)]);
        assert_eq!(listeners[0].read_timeout, Duration::ZERO);
        let refused = |pairs: &str| errors(&format!("proxy.addr = :53;proto=udp;{pairs}")).len();
        for pairs in [
            "rt=1s",
            "wt=1s",
            "it=0s",
            "it=5",
            "flows=-1",
            "flows=x",
            "pxyproto=strict",
            "pxytimeout=1s",
            "pxytrusted=192.0.2.1",
            "connections=1",
            "hellotimeout=1s",
        ] {
            assert_eq!(refused(pairs), 1, "{pairs}");
        }
        assert_eq!(refused("rt=1s;wt=1s;it=0s"), 3, "all are named");
        assert_eq!(errors("proxy.addr = :80;proto=tcp;flows=1").len(), 1);
        assert_eq!(errors("proxy.addr = :53;proto=udp,192.0.2.1:53;proto=udp").len(), 1);
    }

    #[test]
    fn every_bad_listener_is_reported() {
        let text = "proxy.addr = :80;proto=tcp;rt=3,localhost:1;proto=tcp,proto=tcp";
        assert_eq!(
            errors(text),
            [
                "f:1: proxy.addr: listener :80: rt = \"3\": expected a duration such as 30s or \
                 1m30s (the unit is missing)",
                "f:1: proxy.addr: listener localhost:1: expected :port, ip:port or [ipv6]:port; \
                 names are not supported",
                "f:1: proxy.addr: listener 3: it has no address; expected :port, ip:port or \
                 [ipv6]:port as the first value",
            ]
        );
    }

    #[test]
    fn listeners_do_not_overlap() {
        let clash = |one: &str, other: &str| {
            let text = format!("proxy.addr = {one};proto=tcp,{other};proto=tcp");
            !errors(&text).is_empty()
        };
        for (one, other) in [
            (":80", ":80"),
            (":80", "0.0.0.0:80"),
            ("[::]:80", ":80"),
            (":80", "192.0.2.1:80"),
            ("192.0.2.1:80", "0.0.0.0:80"),
            ("[::]:80", "[2001:db8::1]:80"),
        ] {
            assert!(clash(one, other), "{one} {other}");
        }
        for (one, other) in [
            (":80", ":81"),
            ("0.0.0.0:80", "[::]:80"),
            ("192.0.2.1:80", "192.0.2.2:80"),
            ("[::]:80", "192.0.2.1:80"),
            (":0", ":0"),
        ] {
            let text = format!("proxy.addr = {one};proto=tcp,{other};proto=tcp");
            assert_eq!(loaded(&text).config.proxy.listeners.len(), 2, "{one} {other}");
        }
        assert_eq!(
            errors("proxy.addr = :80;proto=tcp,0.0.0.0:80;proto=tcp"),
            ["f:1: proxy.addr: listener 0.0.0.0:80: it takes the same connections as listener :80"]
        );
    }
}
