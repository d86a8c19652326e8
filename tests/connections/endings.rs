//! When a connection ends by burgee: silence, and a planned stop.

use std::net::SocketAddr;

use burgee::reactor::socket::{self, ConnectOptions, ListenOptions};

use crate::common::program::free_port;
use crate::rig::{End, Target, assert_refused, configuration, header_v1, hello, route, start};

#[test]
fn silence_ends_a_connection_or_half_of_one() {
    let port = free_port();
    let target = Target::start();
    let listener = format!("127.0.0.1:{port};proto=tcp");
    let routes = [route(&format!(":{port}"), &target, "")];
    let with = |settings: &str| configuration(&listener, &routes, settings);
    let mut burgee = start("silence", &listener, &routes, "proxy.halfclosedtimeout=200ms");
    let pair = || {
        let client = End::saying(port, b"hello");
        let mut server = target.next();
        server.expect(b"hello");
        (client, server)
    };
    let (mut whole_client, mut whole_server) = pair();
    let (mut client, mut server) = pair();
    client.end();
    server.expect_end();
    client.expect_end();
    burgee.log.until("ending=half-closed-timeout");
    whole_client.talks_to(&mut whole_server);
    burgee.reload(&with("proxy.idletimeout=200ms"));
    let (mut client, mut server) = pair();
    client.expect_end();
    server.expect_end();
    burgee.log.until("ending=idle-timeout");
}

#[test]
fn a_target_that_does_not_answer_is_left_for_the_next() {
    let port = free_port();
    // A listener that answers nobody, because its queue is full.
    let options = ListenOptions { backlog: 0, ..ListenOptions::default() };
    let hole = socket::listen(SocketAddr::from(([127, 0, 0, 1], 0)), &options).unwrap();
    let address = hole.local_addr().unwrap();
    let fill = || socket::connect(address, &ConnectOptions::default()).unwrap();
    let _full: Vec<_> = (0..8).map(|_| fill()).collect();
    let target = Target::start();
    // A check would find that out before a client does.
    let routes = [
        format!("route add web :{port} tcp://{address} opts \"check=none\""),
        route(&format!(":{port}"), &target, "check=none"),
    ];
    let listener = format!("127.0.0.1:{port};proto=tcp");
    let settings = "proxy.dialtimeout=200ms\nproxy.strategy=rr";
    let mut burgee = start("dial", &listener, &routes, settings);
    let mut client = End::saying(port, b"hello");
    let mut server = target.next();
    server.expect(b"hello");
    client.talks_to(&mut server);
    let line = burgee.log.until("event=dial_failed");
    assert!(line.contains(&address.to_string()) && line.contains("no answer in time"), "{line}");
}

/// Listeners of all kinds, their clients at all stages.
#[test]
fn a_planned_stop_lets_clients_of_every_listener_finish() {
    let [plain, header, name, dynamic] = [(); 4].map(|()| free_port());
    let target = Target::start();
    let listeners = [
        format!("127.0.0.1:{plain};proto=tcp"),
        format!("127.0.0.1:{header};proto=tcp;pxyproto=strict;pxytimeout=1h"),
        format!("127.0.0.1:{name};proto=tcp+sni;hellotimeout=1h"),
        "127.0.0.1:0;proto=tcp-dynamic;pxyproto=true;pxytimeout=1h".to_owned(),
    ];
    let routes: Vec<String> =
        [format!(":{plain}"), format!(":{header}"), "a.example/".to_owned(), format!(":{dynamic}")]
            .iter()
            .map(|source| route(source, &target, ""))
            .collect();
    let mut burgee = start("stop", &listeners.join(","), &routes, "proxy.shutdownwait=1h");
    burgee.log.until("reason=route");

    let (line, octets) =
        (header_v1("203.0.113.7:1", "198.51.100.9:443"), hello(Some("a.example"), &[]));
    let opening: [(u16, &[u8], &[u8]); 4] = [
        (plain, b"", b"hello"),
        (header, &line, b"hello"),
        (name, b"", &octets),
        (dynamic, &line, b"hello"),
    ];
    // Of each kind one who is served, and one who has said the first octets of
    // what it has to say first.
    let (mut served, mut beginning) = (Vec::new(), Vec::new());
    for (port, header, first) in opening {
        let whole = [header, first].concat();
        let client = End::saying(port, &whole);
        let mut server = target.next();
        server.expect(first);
        served.push((client, server));
        if port != plain {
            let (said, rest) = whole.split_at(20);
            beginning.push((End::saying(port, said), rest.to_vec(), first));
        }
    }
    burgee.burgee.signal("TERM");
    burgee.log.until("step=finishing");
    [plain, header, name, dynamic].into_iter().for_each(assert_refused);
    for (client, server) in &mut served {
        client.talks_to(server);
    }
    for (mut client, rest, first) in beginning {
        client.send(&rest);
        let mut server = target.next();
        server.expect(first);
        client.talks_to(&mut server);
        client.end();
        server.expect_end();
        server.end();
        client.expect_end();
    }
    // The last one keeps burgee for as long as it wants.
    let (mut last, mut server) = served.pop().unwrap();
    drop(served);
    assert!(burgee.burgee.is_running());
    last.talks_to(&mut server);
    drop((last, server));
    assert_eq!(burgee.burgee.wait().code(), Some(0));
    let log = burgee.log.rest();
    assert!(!log.contains("event=cut") && !log.contains("ending=stopped"), "{log}");
}

#[test]
fn a_stop_that_waits_no_longer_cuts_what_is_left() {
    for wait in ["0s", "200ms"] {
        let port = free_port();
        let target = Target::start();
        let listener = format!("127.0.0.1:{port};proto=tcp");
        let routes = [route(&format!(":{port}"), &target, "")];
        let settings = format!("proxy.shutdownwait={wait}");
        let mut burgee = start(&format!("cut-{wait}"), &listener, &routes, &settings);
        let mut client = End::saying(port, b"hello");
        let mut server = target.next();
        server.expect(b"hello");
        burgee.burgee.signal("TERM");
        // Not as the end of a stream, which it is not.
        client.expect_reset();
        server.expect_reset();
        assert_eq!(burgee.burgee.wait().code(), Some(0));
        assert!(burgee.log.rest().contains("event=cut connections=1"));
    }
}

#[test]
fn before_a_stop_closes_everybody_is_served_for_the_grace_period() {
    let port = free_port();
    let target = Target::greeting("hello\n");
    let listener = format!("127.0.0.1:{port};proto=tcp");
    let routes = [route(&format!(":{port}"), &target, "")];
    let settings = "proxy.deregistergraceperiod=1h\nproxy.shutdownwait=1h";
    let mut burgee = start("grace", &listener, &routes, settings);
    burgee.burgee.signal("TERM");
    burgee.log.until("step=converging");
    let mut late = End::connect(port);
    assert_eq!(late.line(), "hello");
    // A second signal skips what is left of the waits.
    burgee.burgee.signal("TERM");
    burgee.log.until("event=cut connections=1");
    late.expect_reset();
    assert_refused(port);
    assert_eq!(burgee.burgee.wait().code(), Some(0));
}

#[test]
fn who_waits_at_a_full_listener_is_served_when_it_closes() {
    let port = free_port();
    let target = Target::start();
    let listener = format!("127.0.0.1:{port};proto=tcp;connections=1");
    let routes = [route(&format!(":{port}"), &target, "")];
    let mut burgee = start("full", &listener, &routes, "proxy.shutdownwait=1h");
    let mut client = End::saying(port, b"hello");
    let mut server = target.next();
    server.expect(b"hello");
    let mut waiting = End::saying(port, b"me too");
    burgee.log.until("event=limit_reached");
    burgee.burgee.signal("TERM");
    let mut another = target.next();
    another.expect(b"me too");
    waiting.talks_to(&mut another);
    client.talks_to(&mut server);
    drop((client, server, waiting, another));
    assert_eq!(burgee.burgee.wait().code(), Some(0));
    target.assert_nobody();
}
