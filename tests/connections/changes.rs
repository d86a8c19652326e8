//! What a reload does to connections and listeners.

use std::net::TcpStream;

use crate::common::program::free_port;
use crate::rig::{
    End, Target, assert_refused, configuration, header_v1, hello, route, route_of, start,
};

#[test]
fn connections_to_a_target_that_left_end_as_the_settings_say() {
    let port = free_port();
    let listener = format!("127.0.0.1:{port};proto=tcp");
    let with = |target: &Target, removed: &str| {
        let routes = [route(&format!(":{port}"), target, "")];
        configuration(&listener, &routes, &format!("proxy.removedtargets={removed}"))
    };
    let (one, two) = (Target::start(), Target::start());
    let source = format!(":{port}");
    let mut burgee = start("removed", &listener, &[route(&source, &one, "")], "");
    let pair = |target: &Target| {
        let client = End::saying(port, b"hello");
        let mut server = target.next();
        server.expect(b"hello");
        (client, server)
    };
    // By default they live on.
    let (mut old_client, mut old_server) = pair(&one);
    burgee.reroute(&with(&two, "drain"));
    old_client.talks_to(&mut old_server);
    // Cut at once, where the target left; the others live on.
    let (mut client, mut server) = pair(&two);
    burgee.reroute(&with(&one, "cut"));
    client.expect_reset();
    server.expect_reset();
    burgee.log.until("ending=target-removed");
    old_client.talks_to(&mut old_server);
    // After a while; a target that is back before that keeps its connections.
    let (mut kept_client, mut kept_server) = pair(&one);
    burgee.reroute(&with(&two, "1h"));
    burgee.reroute(&with(&one, "1h"));
    burgee.reload(&with(&one, "300ms"));
    let (mut cut_client, mut cut_server) = pair(&one);
    kept_client.talks_to(&mut kept_server);
    burgee.reroute(&with(&two, "300ms"));
    for end in [&mut cut_client, &mut cut_server, &mut kept_client, &mut kept_server] {
        end.expect_reset();
    }
}

#[test]
fn what_was_left_to_end_by_itself_can_be_cut_later() {
    let port = free_port();
    let listener = format!("127.0.0.1:{port};proto=tcp");
    let (one, two) = (Target::start(), Target::start());
    let source = format!(":{port}");
    let with = |removed: &str| {
        let routes = [route(&source, &two, "")];
        configuration(&listener, &routes, &format!("proxy.removedtargets={removed}"))
    };
    let mut burgee = start("cut-later", &listener, &[route(&source, &one, "")], "");
    let mut client = End::saying(port, b"hello");
    let mut server = one.next();
    server.expect(b"hello");
    // To drain after all takes the time back that was given before.
    burgee.reroute(&with("drain"));
    for removed in ["1h", "drain"] {
        client.talks_to(&mut server);
        burgee.reload(&with(removed));
    }
    client.talks_to(&mut server);
    let (mut other_client, mut other_server) = (End::saying(port, b"hello"), two.next());
    other_server.expect(b"hello");
    burgee.reload(&with("1h"));
    burgee.reload(&with("cut"));
    client.expect_reset();
    server.expect_reset();
    other_client.talks_to(&mut other_server);
}

#[test]
fn ports_of_the_routes_come_and_go_with_them() {
    let [first, second, named] = [(); 3].map(|()| free_port());
    let target = Target::start();
    let listeners = format!("127.0.0.1:0;proto=tcp-dynamic,127.0.0.1:{named};proto=tcp");
    let with = |sources: &[String]| {
        let routes: Vec<String> = sources.iter().map(|it| route(it, &target, "")).collect();
        configuration(&listeners, &routes, "")
    };
    let (both, one) = ([first, second].map(|port| format!(":{port}")), [format!(":{second}")]);
    let routes: Vec<String> = both.iter().map(|it| route(it, &target, "")).collect();
    let mut burgee = start("ports", &listeners, &routes, "");
    for _ in 0..2 {
        burgee.log.until("event=listening address=127.0.0.1:");
    }
    let mut pairs = [first, second].map(|port| {
        let client = End::saying(port, b"hello");
        let mut server = target.next();
        server.expect(b"hello");
        (client, server)
    });
    burgee.reload(&with(&one));
    burgee.log.until(&format!("event=not_listening address=127.0.0.1:{first}"));
    assert_refused(first);
    for (client, server) in &mut pairs {
        client.talks_to(server);
    }
    // A port that another listener names stays with that one, and a target of
    // another kind keeps a port closed.
    burgee.file.write(&with(&[format!(":{second}"), format!(":{named}"), format!(":{first}")]));
    burgee.burgee.signal("HUP");
    burgee.log.until(&format!("event=listening address=127.0.0.1:{first} reason=route"));
    let mut client = End::saying(named, b"named");
    let mut server = target.next();
    server.expect(b"named");
    client.talks_to(&mut server);
    let web = format!("route add web :{first} http://{}", target.address);
    let routes = [route(&one[0], &target, ""), route(&both[0], &target, ""), web];
    burgee.file.write(&configuration(&listeners, &routes, ""));
    burgee.burgee.signal("HUP");
    burgee.log.until(&format!("event=not_listening address=127.0.0.1:{first}"));
    assert_refused(first);
}

#[test]
fn a_port_of_the_routes_becomes_a_listener_of_its_own_and_back() {
    let port = free_port();
    let target = Target::start();
    let routes = [route(&format!(":{port}"), &target, "")];
    let dynamic = ":0;proto=tcp-dynamic".to_owned();
    let own = format!("{dynamic},127.0.0.1:{port};proto=tcp;pxyproto=strict");
    let header = header_v1("203.0.113.7:1", "198.51.100.9:443");
    let mut pairs = Vec::new();
    let mut serve = |octets: &[u8]| {
        let client = End::saying(port, octets);
        let mut server = target.next();
        server.expect(b"hello");
        pairs.push((client, server));
    };
    let mut burgee = start("hands", &dynamic, &routes, "");
    burgee.log.until("reason=route");
    for _ in 0..2 {
        serve(b"hello");
        assert!(burgee.reload(&configuration(&own, &routes, "")).contains("failed=0"));
        serve(&[&*header, b"hello"].concat());
        End::saying(port, b"no header").expect_end();
        assert!(burgee.reload(&configuration(&dynamic, &routes, "")).contains("failed=0"));
        burgee.log.until("reason=route");
    }
    pairs.iter_mut().for_each(|(client, server)| client.talks_to(server));
}

#[test]
fn an_address_of_ours_has_its_own_targets_on_a_port_of_the_routes() {
    let port = free_port();
    let (own, rest) = (Target::greeting("own\n"), Target::greeting("rest\n"));
    let routes = [
        route_of("own", &format!("127.0.0.2:{port}"), &own, ""),
        route_of("rest", &format!(":{port}"), &rest, ""),
    ];
    let mut burgee = start("own-address", ":0;proto=tcp-dynamic", &routes, "");
    burgee.log.until("reason=route");
    for (address, expected) in [("127.0.0.2", "own\n"), ("127.0.0.1", "rest\n"), ("::1", "rest\n")]
    {
        let mut client = TcpStream::connect((address, port)).unwrap();
        let mut greeting = vec![0; expected.len()];
        std::io::Read::read_exact(&mut client, &mut greeting).unwrap();
        assert_eq!(String::from_utf8_lossy(&greeting), expected, "{address}");
    }
}

#[test]
fn targets_behind_ports_of_the_routes_are_told_of_the_client_and_rules_hold() {
    let (open, closed) = (free_port(), free_port());
    let target = Target::start();
    let routes = [
        route(&format!(":{open}"), &target, "pxyproto=v1"),
        route(&format!(":{closed}"), &target, "deny=ip:127.0.0.0/8"),
    ];
    let listener = "127.0.0.1:0;proto=tcp-dynamic";
    let mut burgee = start("dynamic-options", listener, &routes, "");
    (0..2).for_each(|_| drop(burgee.log.until("reason=route")));
    let mut client = End::saying(open, b"hello");
    let mut server = target.next();
    server.expect(&header_v1(&client.local().to_string(), &format!("127.0.0.1:{open}")));
    server.expect(b"hello");
    client.talks_to(&mut server);
    End::connect(closed).expect_end();
    burgee.log.until("ending=denied");
}

#[test]
fn what_a_listener_expects_of_its_clients_changes_for_those_to_come() {
    let port = free_port();
    let target = Target::start();
    let sources = [format!(":{port}"), "a.example/".to_owned()];
    let routes = sources.map(|source| route(&source, &target, ""));
    let with =
        |options: &str| configuration(&format!("127.0.0.1:{port};proto={options}"), &routes, "");
    let mut burgee = start("live", &format!("127.0.0.1:{port};proto=tcp"), &routes, "");
    let mut old_client = End::saying(port, b"hello");
    let mut old_server = target.next();
    old_server.expect(b"hello");
    burgee.reload(&with("tcp;pxyproto=strict;pxytimeout=1h"));
    let mut waiting = End::saying(port, b"PROXY");
    End::saying(port, b"no header").expect_end();
    burgee.reload(&with("tcp+sni"));
    let octets = hello(Some("a.example"), &[]);
    let mut client = End::saying(port, &octets);
    let mut server = target.next();
    server.expect(&octets);
    client.talks_to(&mut server);
    // Who came before is asked for what was asked for then.
    waiting.send(b" UNKNOWN\r\nhello");
    let mut server = target.next();
    server.expect(b"hello");
    waiting.talks_to(&mut server);
    old_server.send(b"still here");
    old_client.expect(b"still here");
}

#[test]
fn other_limits_hold_from_the_next_client_on_and_let_in_who_waits() {
    let port = free_port();
    let target = Target::start();
    let routes = [route(&format!(":{port}"), &target, "")];
    let listener =
        |limit: u32| format!("127.0.0.1:{port};proto=tcp;pxyproto=strict;connections={limit}");
    let with = |limit, more: &str| configuration(&listener(limit), &routes, more);
    let from = |client: &str| {
        End::saying(port, &[&*header_v1(client, "198.51.100.9:1"), b"hello"].concat())
    };
    let mut open = Vec::new();
    let mut serve = |client: End| {
        let mut server = target.next();
        server.expect(b"hello");
        open.push((client, server));
    };
    let mut burgee = start("other-limits", &listener(1), &routes, "proxy.sourcelimit=1");
    serve(from("203.0.113.1:1"));
    // Who waits at a listener, and then at all of them.
    let waiting = from("203.0.113.2:1");
    burgee.reload(&with(1, "proxy.sourcelimit=1\nproxy.connectionlimit=2"));
    target.assert_nobody();
    burgee.reload(&with(2, "proxy.sourcelimit=1\nproxy.connectionlimit=2"));
    serve(waiting);
    let waiting = from("203.0.113.3:1");
    burgee.reload(&with(0, "proxy.sourcelimit=1\nproxy.connectionlimit=2"));
    target.assert_nobody();
    burgee.reload(&with(0, "proxy.sourcelimit=1"));
    serve(waiting);
    // Sources.
    from("203.0.113.3:2").expect_end();
    burgee.reload(&with(0, "proxy.sourcelimit=2"));
    serve(from("203.0.113.3:3"));
    from("203.0.113.3:4").expect_end();
    burgee.reload(&with(0, "proxy.sourcelimit=2\nproxy.sourceprefix4=24"));
    serve(from("192.0.2.1:1"));
    serve(from("192.0.2.2:1"));
    from("192.0.2.3:1").expect_end();
    // Services.
    burgee.reload(&with(0, "proxy.servicelimit=1"));
    from("203.0.113.9:1").expect_end();
    burgee.log.until("ending=limit-service");
    burgee.reload(&with(0, ""));
    serve(from("203.0.113.9:2"));
    target.assert_nobody();
}
