//! `proto=tcp+sni`: what a TLS client says first chooses its target.

use crate::common::program::free_port;
use crate::rig::{End, Target, hello, hello_message, records, route, start};

/// Who greets a client that says this.
fn who(port: u16, octets: &[u8]) -> String {
    End::saying(port, octets).line()
}

#[test]
fn a_server_name_chooses_the_route() {
    let port = free_port();
    let (exact, wildcard, rest) =
        (Target::greeting("exact\n"), Target::greeting("wildcard\n"), Target::greeting("rest\n"));
    let routes = [
        route("www.example.com/", &exact, ""),
        route("*.example.com/", &wildcard, ""),
        route("/", &rest, ""),
    ];
    let _burgee = start("names", &format!("127.0.0.1:{port};proto=tcp+sni"), &routes, "");
    for (name, expected) in [
        (Some("www.example.com"), "exact"),
        (Some("WWW.Example.COM"), "exact"),
        (Some("shop.example.com"), "wildcard"),
        (Some("a.b.example.com"), "wildcard"),
        (Some("example.com"), "rest"),
        (Some("example.org"), "rest"),
        (None, "rest"),
    ] {
        assert_eq!(who(port, &hello(name, &[])), expected, "{name:?}");
    }
}

#[test]
fn a_name_without_a_route_is_closed_in_order() {
    let port = free_port();
    let target = Target::start();
    let listener = format!("127.0.0.1:{port};proto=tcp+sni");
    let mut burgee = start("no-route", &listener, &[route("a.example/", &target, "")], "");
    for name in [Some("b.example"), None] {
        End::saying(port, &hello(name, &[])).expect_end();
        burgee.log.until("ending=no-route");
    }
    target.assert_nobody();
}

#[test]
fn a_hello_in_any_pieces_arrives_as_it_came_with_what_follows_it() {
    let port = free_port();
    let target = Target::start();
    let listener = format!("127.0.0.1:{port};proto=tcp+sni");
    let mut burgee = start("pieces", &listener, &[route("a.example/", &target, "")], "");
    let message = hello_message(Some("a.example"), &["h2"]);
    // Early data (RFC 8446 §4.2.10), as far as it can be told from outside.
    let early: Vec<u8> = [&[23, 3, 3, 0x40, 0][..], &[0xea; 0x4000]].concat();
    for longest in [1, 7, message.len() / 2, 1 << 14] {
        let octets = [records(&message, longest), early.clone()].concat();
        let mut client = End::saying(port, &octets);
        client.end();
        let mut server = target.next();
        server.expect(&octets);
        server.expect_end();
        server.send(b"answer");
        drop(server);
        client.expect(b"answer");
        client.expect_end();
        // All that the client said is counted as the client's, its hello too.
        burgee.log.until(&format!("ending=finished up={} down=6", octets.len()));
    }
    // And each octet in a segment of its own.
    let octets = records(&message, 40);
    let mut client = End::connect(port);
    octets.iter().for_each(|octet| client.send(&[*octet]));
    let mut server = target.next();
    server.expect(&octets);
    client.talks_to(&mut server);
}

#[test]
fn a_hello_may_be_as_long_as_a_record() {
    let port = free_port();
    let target = Target::start();
    let listener = format!("127.0.0.1:{port};proto=tcp+sni");
    let mut burgee = start("long", &listener, &[route("a.example/", &target, "")], "");
    let long = |protocols: usize| hello(Some("a.example"), &vec![&*"x".repeat(255); protocols]);
    let octets = long(63);
    assert!((16_000..=16_384 + 5).contains(&octets.len()), "{}", octets.len());
    let mut client = End::saying(port, &octets);
    let mut server = target.next();
    server.expect(&octets);
    client.talks_to(&mut server);
    // One that is longer is refused as soon as it says so.
    let longer = records(&hello_message(Some("a.example"), &vec![&*"x".repeat(255); 70]), 1 << 14);
    End::saying(port, &longer[..100]).expect_end();
    burgee.log.until("too large");
}

#[test]
fn without_a_hello_in_time_a_client_is_closed() {
    let port = free_port();
    let target = Target::start();
    let listener = format!("127.0.0.1:{port};proto=tcp+sni;hellotimeout=300ms");
    let mut burgee = start("hello-timeout", &listener, &[route("/", &target, "")], "");
    let whole = hello(Some("a.example"), &[]);
    for octets in [&b""[..], &whole[..5], &whole[..whole.len() - 1]] {
        End::saying(port, octets).expect_end();
        burgee.log.until("reason=\"no whole ClientHello in time\"");
    }
    End::saying(port, b"GET / HTTP/1.1\r\n\r\n").expect_end();
    burgee.log.until("reason=\"not TLS\"");
    // One that is whole has all the time that it wants.
    let mut client = End::saying(port, &whole);
    let mut server = target.next();
    server.expect(&whole);
    End::connect(port).expect_end();
    client.talks_to(&mut server);
    target.assert_nobody();
}

#[test]
fn an_offered_protocol_chooses_among_the_targets_of_a_name() {
    let port = free_port();
    let (http2, challenge, rest) =
        (Target::greeting("http2\n"), Target::greeting("challenge\n"), Target::greeting("rest\n"));
    let routes = [
        route("a.example/", &rest, ""),
        route("a.example/", &http2, "alpn=h2"),
        route("a.example/", &challenge, "alpn=acme-tls/1"),
    ];
    let _burgee = start("alpn", &format!("127.0.0.1:{port};proto=tcp+sni"), &routes, "");
    for (protocols, expected) in [
        (&["h2", "http/1.1"][..], "http2"),
        (&["http/1.1", "h2"], "http2"),
        (&["acme-tls/1"], "challenge"),
        (&["http/1.1"], "rest"),
        (&["H2"], "rest"),
        (&[], "rest"),
    ] {
        for _ in 0..3 {
            assert_eq!(who(port, &hello(Some("a.example"), protocols)), expected, "{protocols:?}");
        }
    }
}

#[test]
fn access_rules_hold_for_names() {
    let port = free_port();
    let (closed, open) = (Target::start(), Target::greeting("open\n"));
    let routes = [
        route("closed.example/", &closed, "deny=ip:127.0.0.0/8"),
        route("open.example/", &open, "allow=ip:127.0.0.0/8"),
    ];
    let listener = format!("127.0.0.1:{port};proto=tcp+sni");
    let mut burgee = start("names-access", &listener, &routes, "");
    End::saying(port, &hello(Some("closed.example"), &[])).expect_end();
    burgee.log.until("ending=denied");
    assert_eq!(who(port, &hello(Some("open.example"), &[])), "open");
    closed.assert_nobody();
}
