//! How many connections there may be, and which target has the next one.

use crate::common::program::free_port;
use crate::common::running::Running;
use crate::rig::{End, Target, header_v1, route, route_of, start};

const SERVICE: &str = "198.51.100.9:443";

/// A client that claims to be there, at a listener that believes it.
fn from(port: u16, client: &str) -> End {
    let service = if client.starts_with('[') { "[2001:db8::1]:443" } else { SERVICE };
    End::saying(port, &[&*header_v1(client, service), b"hello"].concat())
}

fn believing(port: u16) -> String {
    format!("127.0.0.1:{port};proto=tcp;pxyproto=strict")
}

/// The same, and its other end.
fn pair(port: u16, client: &str, target: &Target) -> (End, End) {
    let client = from(port, client);
    let mut server = target.next();
    server.expect(b"hello");
    (client, server)
}

/// Ends what is there of this client's connection, and waits until burgee has
/// seen it.
fn leave<T>(burgee: &mut Running, ends: T, client: &str) {
    drop(ends);
    burgee.log.until(&format!("event=closed client={client}"));
}

#[test]
fn a_listener_s_clients_wait_for_a_place_and_others_do_not() {
    let (small, other) = (free_port(), free_port());
    let target = Target::start();
    let listeners =
        format!("127.0.0.1:{small};proto=tcp;connections=2,127.0.0.1:{other};proto=tcp");
    let routes = [small, other].map(|port| route(&format!(":{port}"), &target, ""));
    let mut burgee = start("listener-limit", &listeners, &routes, "");
    let mut open: Vec<End> = (0..2).map(|_| End::saying(small, b"first")).collect();
    let mut served: Vec<End> = open.iter().map(|_| target.next()).collect();
    let mut waiting = End::saying(small, b"third");
    let line = burgee.log.until("event=limit_reached");
    assert!(line.contains(&format!("listener=127.0.0.1:{small} connections=2")), "{line}");
    let _elsewhere = End::saying(other, b"other");
    target.next().expect(b"other");
    target.assert_nobody();
    drop((open.pop(), served.pop()));
    drop((open.pop(), served.pop()));
    let mut server = target.next();
    server.expect(b"third");
    waiting.talks_to(&mut server);
}

#[test]
fn a_source_has_so_many_connections_and_no_more() {
    let port = free_port();
    let target = Target::start();
    let routes = [route(&format!(":{port}"), &target, "")];
    let limits = "proxy.sourcelimit=2\nproxy.sourceprefix4=24\nproxy.sourceprefix6=64";
    let mut burgee = start("source-limit", &believing(port), &routes, limits);
    for (first, second, third, stranger) in [
        ("203.0.113.7:1", "203.0.113.8:2", "203.0.113.9:3", "203.0.114.7:4"),
        ("[2001:db8::1]:1", "[2001:db8::2]:2", "[2001:db8::3]:3", "[2001:db8:0:1::1]:4"),
    ] {
        let leaves = pair(port, first, &target);
        let _stays = [pair(port, second, &target), pair(port, stranger, &target)];
        from(port, third).expect_end();
        let line = burgee.log.until(&format!("event=refused client={third}"));
        assert!(line.contains("source"), "{line}");
        leave(&mut burgee, leaves, first);
        pair(port, third, &target);
    }
    target.assert_nobody();
}

#[test]
fn a_service_at_its_limit_leaves_clients_to_others_or_refuses_them() {
    let (alone, shared) = (free_port(), free_port());
    let (small, other) = (Target::start(), Target::start());
    let listeners = [believing(alone), believing(shared)].join(",");
    let routes = [
        route_of("small", &format!(":{alone}"), &small, "limit=1"),
        route_of("small", &format!(":{shared}"), &small, "limit=1 strategy=rr"),
        route_of("other", &format!(":{shared}"), &other, ""),
    ];
    let mut burgee = start("service-limit", &listeners, &routes, "proxy.servicelimit=2");
    let only = pair(alone, "203.0.113.7:1", &small);
    from(alone, "203.0.113.7:2").expect_end();
    burgee.log.until("ending=limit-service");
    // Its other route has the same connections; the other service has a limit
    // of its own.
    let _rest = ["203.0.113.7:3", "203.0.113.7:4"].map(|it| pair(shared, it, &other));
    from(shared, "203.0.113.7:5").expect_end();
    burgee.log.until("client=203.0.113.7:5 target=none ending=limit-service");
    leave(&mut burgee, only, "203.0.113.7:1");
    pair(alone, "203.0.113.7:6", &small);
    small.assert_nobody();
}

#[test]
fn the_strategy_of_a_route_goes_before_that_of_all() {
    let (least, hash) = (free_port(), free_port());
    let [one, two, three] = ["one\n", "two\n", "three\n"].map(Target::greeting);
    let listeners = [believing(least), believing(hash)].join(",");
    let sources = [(least, "strategy=least"), (hash, "strategy=hash")];
    let routes: Vec<String> = sources
        .iter()
        .flat_map(|(port, option)| {
            [&one, &two, &three].map(|target| route(&format!(":{port}"), target, option))
        })
        .collect();
    let mut burgee = start("strategies", &listeners, &routes, "proxy.strategy=rnd");
    // The fewest connections: three clients, three targets, and who leaves makes
    // place for the next.
    let mut open: Vec<(String, End)> = Vec::new();
    for round in 0..9 {
        let mut client = from(least, &format!("203.0.113.7:{}", round + 1));
        let name = client.line();
        assert!(open.iter().all(|(other, _)| *other != name), "{name} has one already");
        open.push((name, client));
        if open.len() == 3 {
            let (_, oldest) = open.remove(0);
            leave(&mut burgee, oldest, &format!("203.0.113.7:{}", round - 1));
        }
    }
    drop(open);
    // The same address, the same target; many addresses, all targets.
    let mut names = std::collections::BTreeSet::new();
    for client in 0..40 {
        let name = from(hash, &format!("203.0.113.{client}:1")).line();
        for port in 2..5 {
            assert_eq!(from(hash, &format!("203.0.113.{client}:{port}")).line(), name);
        }
        names.insert(name);
    }
    assert_eq!(names.len(), 3, "{names:?}");
}
