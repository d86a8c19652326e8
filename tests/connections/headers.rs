//! The PROXY protocol: who the client is, told to burgee and by burgee.

use std::net::{Ipv4Addr, TcpListener};

use crate::common::program::free_port;
use crate::rig::{End, Target, header_v1, header_v2, hello, route, route_of, start};

const CLIENT: &str = "203.0.113.7:51000";
const SERVICE: &str = "198.51.100.9:443";

/// What a TLS target is told of the name behind the addresses (PROXY §2.2.2).
fn authority(name: &str) -> Vec<u8> {
    [&[2, 0, name.len() as u8][..], name.as_bytes()].concat()
}

#[test]
fn headers_of_both_versions_name_the_client_and_stay_with_us() {
    let (port, told) = (free_port(), free_port());
    let (plain, informed) = (Target::start(), Target::start());
    let listeners = [port, told].map(|port| format!("127.0.0.1:{port};proto=tcp;pxyproto=strict"));
    let routes = [
        route(&format!(":{port}"), &plain, ""),
        route(&format!(":{told}"), &informed, "pxyproto=true"),
    ];
    let mut burgee = start("versions", &listeners.join(","), &routes, "");
    for header in [header_v1(CLIENT, SERVICE), header_v2(CLIENT, SERVICE, &authority("x"))] {
        // In one segment with what follows, and octet by octet.
        let mut client = End::saying(port, &[&*header, b"hello"].concat());
        let mut server = plain.next();
        server.expect(b"hello");
        client.talks_to(&mut server);
        drop((client, server));
        burgee.log.until(&format!("event=closed client={CLIENT} target={}", plain.address));
        let mut client = End::connect(told);
        header.iter().for_each(|octet| client.send(&[*octet]));
        client.send(b"hello");
        let mut server = informed.next();
        server.expect(&header_v1(CLIENT, SERVICE));
        server.expect(b"hello");
        client.talks_to(&mut server);
    }
}

#[test]
fn targets_are_told_of_the_client_in_the_version_that_they_want() {
    let ports = [free_port(), free_port(), free_port()];
    let target = Target::start();
    let options = ["pxyproto=true", "pxyproto=v1", "pxyproto=v2"];
    let listeners = ports.map(|port| format!("127.0.0.1:{port};proto=tcp"));
    let routes: Vec<String> = ports
        .iter()
        .zip(options)
        .map(|(port, option)| route_of(option, &format!(":{port}"), &target, option))
        .collect();
    let _burgee = start("told", &listeners.join(","), &routes, "");
    for (port, option) in ports.into_iter().zip(options) {
        let mut client = End::saying(port, b"hello");
        let (source, destination) = (client.local().to_string(), format!("127.0.0.1:{port}"));
        let mut server = target.next();
        match option {
            "pxyproto=v2" => server.expect(&header_v2(&source, &destination, b"")),
            _ => server.expect(&header_v1(&source, &destination)),
        }
        server.expect(b"hello");
        client.talks_to(&mut server);
    }
}

#[test]
fn a_target_that_speaks_first_is_told_before_the_client_says_anything() {
    let port = free_port();
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    let routes = [format!("route add mail :{port} tcp://{address} opts \"pxyproto=true\"")];
    let _burgee = start("mail", &format!("127.0.0.1:{port};proto=tcp"), &routes, "");
    let mut client = End::connect(port);
    let header = header_v1(&client.local().to_string(), &format!("127.0.0.1:{port}"));
    // The check of the target ends without a word.
    let mut server = loop {
        let (stream, _) = listener.accept().unwrap();
        if matches!(stream.peek(&mut [0]), Ok(1..)) {
            break stream;
        }
    };
    let mut told = vec![0; header.len()];
    std::io::Read::read_exact(&mut server, &mut told).unwrap();
    assert_eq!(told, header);
    std::io::Write::write_all(&mut server, b"220 ready\r\n").unwrap();
    client.expect(b"220 ready\r\n");
}

#[test]
fn two_in_a_row_tell_the_target_of_the_client() {
    let (outer_port, inner_port) = (free_port(), free_port());
    let target = Target::start();
    let inner_options = "pxyproto=strict;pxytrusted=127.0.0.0/8";
    let _inner = start(
        "inner",
        &format!("127.0.0.1:{inner_port};proto=tcp+sni;{inner_options}"),
        &[route("a.example/", &target, "pxyproto=v2")],
        "",
    );
    let _outer = start(
        "outer",
        &format!("127.0.0.1:{outer_port};proto=tcp+sni"),
        &[format!("route add web *.example/ tcp://127.0.0.1:{inner_port} opts \"pxyproto=v2\"")],
        "",
    );
    let octets = hello(Some("a.example"), &["h2"]);
    let mut client = End::saying(outer_port, &octets);
    let (source, destination) = (client.local().to_string(), format!("127.0.0.1:{outer_port}"));
    let mut server = target.next();
    server.expect(&header_v2(&source, &destination, &authority("a.example")));
    server.expect(&octets);
    client.talks_to(&mut server);
}

#[test]
fn strict_serves_nobody_without_a_header_and_no_stranger() {
    let (strict, strangers) = (free_port(), free_port());
    let target = Target::start();
    let listeners = [
        format!("127.0.0.1:{strict};proto=tcp;pxyproto=strict;pxytimeout=300ms"),
        format!("127.0.0.1:{strangers};proto=tcp;pxyproto=strict;pxytrusted=192.0.2.0/24"),
    ];
    let routes = [strict, strangers].map(|port| route(&format!(":{port}"), &target, ""));
    let mut burgee = start("strict", &listeners.join(","), &routes, "");
    let header = header_v1(CLIENT, SERVICE);
    for (octets, reason) in [
        (&b"GET / HTTP/1.1\r\n"[..], "no PROXY header"),
        (b"", "no whole PROXY header in time"),
        (&header[..20], "no whole PROXY header in time"),
        (b"PROXY TCP4 nonsense\r\n", "malformed PROXY header"),
    ] {
        End::saying(strict, octets).expect_end();
        burgee.log.until(reason);
    }
    End::connect(strangers).expect_end();
    burgee.log.until("not a trusted source of PROXY headers");
    target.assert_nobody();
}

#[test]
fn otherwise_a_header_is_optional_and_a_stranger_s_is_his_own_octets() {
    let (lenient, strangers) = (free_port(), free_port());
    let target = Target::start();
    let listeners = [
        format!("127.0.0.1:{lenient};proto=tcp;pxyproto=true;pxytimeout=300ms"),
        format!("127.0.0.1:{strangers};proto=tcp;pxyproto=true;pxytrusted=192.0.2.0/24"),
    ];
    let routes =
        [lenient, strangers].map(|port| route(&format!(":{port}"), &target, "pxyproto=v1"));
    let _burgee = start("lenient", &listeners.join(","), &routes, "");
    let header = header_v1(CLIENT, SERVICE);
    for (port, octets) in [(lenient, &b"GET /"[..]), (lenient, b"PRO"), (strangers, &header)] {
        let mut client = End::saying(port, octets);
        let mut server = target.next();
        server.expect(&header_v1(&client.local().to_string(), &format!("127.0.0.1:{port}")));
        server.expect(octets);
        client.talks_to(&mut server);
    }
    // What can only be a header and is none ends the connection here, too.
    End::saying(lenient, b"PROXY TCP4 nonsense\r\n").expect_end();
}

#[test]
fn a_greeting_waits_for_the_header_or_its_time() {
    let (short, long) = (free_port(), free_port());
    let target = Target::greeting("220 ready\n");
    let listeners = [(short, "300ms"), (long, "1h")]
        .map(|(port, time)| format!("127.0.0.1:{port};proto=tcp;pxyproto=true;pxytimeout={time}"));
    let routes = [short, long].map(|port| route(&format!(":{port}"), &target, ""));
    let _burgee = start("greeting", &listeners.join(","), &routes, "");
    let mut silent = End::connect(short);
    assert_eq!(silent.line(), "220 ready");
    let mut known = End::saying(long, &header_v1(CLIENT, SERVICE));
    assert_eq!(known.line(), "220 ready");
}

#[test]
fn access_rules_hold_for_the_address_in_the_header() {
    let port = free_port();
    let target = Target::start();
    let listener = format!("127.0.0.1:{port};proto=tcp;pxyproto=strict");
    let rules = "allow=ip:203.0.113.0/24,ip:2001:db8::/32 deny=ip:203.0.113.66";
    let routes = [route(&format!(":{port}"), &target, rules)];
    let mut burgee = start("header-access", &listener, &routes, "");
    for (client, service, is_let_in) in [
        ("203.0.113.7:1", SERVICE, true),
        ("203.0.113.66:1", SERVICE, false),
        ("127.0.0.1:1", SERVICE, false),
        ("[2001:db8::7]:1", "[2001:db8:a::10]:443", true),
        ("[2001:db9::7]:1", "[2001:db8:a::10]:443", false),
    ] {
        for header in [header_v1(client, service), header_v2(client, service, b"")] {
            let mut connection = End::saying(port, &[&*header, b"hello"].concat());
            if is_let_in {
                let mut server = target.next();
                server.expect(b"hello");
                connection.talks_to(&mut server);
            } else {
                connection.expect_end();
                burgee
                    .log
                    .until(&format!("event=closed client={client} target=none ending=denied"));
            }
        }
    }
    target.assert_nobody();
}

#[test]
fn a_proxy_that_checks_us_is_a_client_of_its_own() {
    let port = free_port();
    let target = Target::start();
    let listener = format!("127.0.0.1:{port};proto=tcp;pxyproto=strict");
    let routes = [route(&format!(":{port}"), &target, "pxyproto=v1")];
    let _burgee = start("local", &listener, &routes, "");
    // LOCAL (PROXY §2.2) and UNKNOWN (§2.1): the ends of the connection itself.
    for header in [&b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0"[..], b"PROXY UNKNOWN\r\n"] {
        let mut client = End::saying(port, &[header, b"hello"].concat());
        let mut server = target.next();
        server.expect(&header_v1(&client.local().to_string(), &format!("127.0.0.1:{port}")));
        server.expect(b"hello");
        client.talks_to(&mut server);
    }
}

#[test]
fn the_route_is_that_of_our_port_whatever_a_header_says() {
    let (one, other) = (free_port(), free_port());
    let (right, wrong) = (Target::greeting("right\n"), Target::greeting("wrong\n"));
    let listeners = [one, other].map(|port| format!("127.0.0.1:{port};proto=tcp;pxyproto=true"));
    let routes = [
        route_of("right", &format!(":{one}"), &right, ""),
        route_of("wrong", &format!("127.0.0.9:{other}"), &wrong, ""),
        route_of("wrong", &format!(":{other}"), &wrong, ""),
    ];
    let _burgee = start("own-port", &listeners.join(","), &routes, "");
    let claim = header_v1(CLIENT, &format!("127.0.0.9:{other}"));
    assert_eq!(End::saying(one, &claim).line(), "right");
}
