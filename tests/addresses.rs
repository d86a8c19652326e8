//! Addresses on a real interface, in a network namespace of their own.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, unreachable_pub, dead_code)]

mod common;

use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::process::Command;

use burgee::reactor::netlink::{Added, Netlink};
use burgee::reactor::socket::{ListenOptions, listen};
use burgee::reactor::{Kind, Reactor, Token};
use burgee::vip::{Door, problem_on_host};
use common::namespace::{is_inside, run};

const TOKEN: Token = Token::new(Kind::Daemon, 0, 7);

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// What `ip` says of the addresses of an interface.
fn listed(interface: &str) -> String {
    let output = Command::new("ip").args(["-o", "address", "show", "dev", interface]).output();
    String::from_utf8(output.expect("ip of iproute2").stdout).unwrap()
}

const BOTH: [&str; 2] = ["192.0.2.10", "2001:db8::10"];

#[test]
fn an_address_is_usable_as_soon_as_it_was_added() {
    if !is_inside("an_address_is_usable_as_soon_as_it_was_added", &[]) {
        return;
    }
    run("ip link set lo up");
    let mut netlink = Netlink::new().unwrap();
    for (text, shown) in BOTH.into_iter().zip(["/32 scope host lo", "/128 scope global"]) {
        let address = ip(text);
        assert!(TcpListener::bind((address, 0)).is_err(), "{text}");
        assert!(!netlink.is_local(address).unwrap());
        assert!(problem_on_host(address).unwrap().contains("bgp.vip"));
        assert_eq!(netlink.add_address(1, address).unwrap(), Added::New);
        TcpListener::bind((address, 0)).unwrap();
        assert_eq!(netlink.add_address(1, address).unwrap(), Added::WasThere);
        let list = listed("lo");
        let line = list.lines().find(|line| line.contains(text)).expect("listed");
        assert!(line.contains(shown) && !line.contains("tentative"), "{line}");
        while !netlink.is_local(address).unwrap() {}
        assert_eq!(problem_on_host(address), None);
        assert!(netlink.remove_address(1, address).unwrap());
        assert!(!netlink.remove_address(1, address).unwrap(), "it was gone");
        assert!(!listed("lo").contains(text));
    }
    // A network on lo is as many addresses of this host.
    run("ip address add 192.0.2.0/24 dev lo");
    assert!(netlink.is_local(ip("192.0.2.99")).unwrap());
}

/// A listener that does not wait for its address serves it from the moment
/// that it is there.
#[test]
fn a_listener_can_be_there_before_its_address() {
    if !is_inside("a_listener_can_be_there_before_its_address", &[]) {
        return;
    }
    run("ip link set lo up");
    let mut netlink = Netlink::new().unwrap();
    for address in BOTH.map(ip) {
        let options = ListenOptions { freebind: true, ..ListenOptions::default() };
        let listener = listen(SocketAddr::new(address, 0), &options).unwrap();
        let served = listener.local_addr().unwrap();
        assert!(TcpStream::connect(served).is_err(), "{served}");
        netlink.add_address(1, address).unwrap();
        while !netlink.is_local(address).unwrap() {}
        TcpStream::connect(served).unwrap();
    }
}

#[test]
fn what_we_added_goes_and_what_was_there_stays() {
    if !is_inside("what_we_added_goes_and_what_was_there_stays", &[]) {
        return;
    }
    run("ip link set lo up");
    run("ip address add 192.0.2.9/32 dev lo");
    let mut reactor = Reactor::new().unwrap();
    let now = reactor.now();
    let mut door = Door::open(&mut reactor, "lo", TOKEN, [], now).unwrap();
    for text in BOTH.into_iter().chain(["192.0.2.9"]) {
        door.want(&mut reactor, ip(text));
        door.want(&mut reactor, ip(text));
        assert_eq!(door.vip().problem(ip(text)), None);
        assert!(listed("lo").contains(text));
    }
    assert!(door.vip().ours().eq(BOTH.map(ip)));
    // Killed: what it had added is known to the next one.
    let restored: Vec<IpAddr> = door.vip().ours().collect();
    drop(door);
    let mut door = Door::open(&mut reactor, "lo", TOKEN, restored, now).unwrap();
    assert!(!BOTH.iter().any(|text| listed("lo").contains(text)), "nobody wanted them in time");
    door.want(&mut reactor, ip(BOTH[0]));
    door.release(&mut reactor, ip(BOTH[0]), now);
    // Not before its withdrawal was sent, in a later turn.
    assert!(listed("lo").contains(BOTH[0]));
    door.remove_all(&mut reactor);
    assert!(!listed("lo").contains(BOTH[0]));
    BOTH.iter().for_each(|text| door.want(&mut reactor, ip(text)));
    door.want(&mut reactor, ip("192.0.2.9"));
    door.remove_all(&mut reactor);
    let left = listed("lo");
    assert!(!BOTH.iter().any(|text| left.contains(text)) && left.contains("192.0.2.9"), "{left}");
    assert!(reactor.wheel.is_empty());
}

#[test]
fn an_interface_that_is_not_of_use_is_named() {
    if !is_inside("an_interface_that_is_not_of_use_is_named", &[]) {
        return;
    }
    let mut reactor = Reactor::new().unwrap();
    let now = reactor.now();
    let mut door = Door::open(&mut reactor, "lo", TOKEN, [], now).unwrap();
    door.want(&mut reactor, ip(BOTH[0]));
    let problem = door.vip().problem(ip(BOTH[0])).expect("lo is down");
    assert!(problem.contains("ip link set lo up"), "{problem}");
    assert!(door.vip().is_ours(ip(BOTH[0])) && listed("lo").contains(BOTH[0]));
    door.remove_all(&mut reactor);
    assert!(!listed("lo").contains(BOTH[0]));
    let mut door = Door::open(&mut reactor, "anycast0", TOKEN, [], now).unwrap();
    door.want(&mut reactor, ip(BOTH[0]));
    assert_eq!(door.vip().problem(ip(BOTH[0])), Some("there is no interface anycast0"));
    run("ip link set lo up");
    std::fs::write("/proc/sys/net/ipv6/conf/lo/disable_ipv6", "1").unwrap();
    let mut door = Door::open(&mut reactor, "lo", TOKEN, [], now).unwrap();
    door.want(&mut reactor, ip(BOTH[1]));
    let problem = door.vip().problem(ip(BOTH[1])).expect("it is switched off");
    assert!(problem.contains("IPv6 is disabled"), "{problem}");
}

/// The namespace is ours, but not its configuration.
#[test]
fn without_the_privilege_the_problem_says_which() {
    let setpriv = ["setpriv", "--bounding-set=-net_admin", "--inh-caps=-net_admin"];
    if !is_inside("without_the_privilege_the_problem_says_which", &setpriv) {
        return;
    }
    let mut reactor = Reactor::new().unwrap();
    let now = reactor.now();
    let mut door = Door::open(&mut reactor, "lo", TOKEN, [], now).unwrap();
    for text in BOTH {
        door.want(&mut reactor, ip(text));
        let problem = door.vip().problem(ip(text)).expect("refused");
        assert!(problem.contains("CAP_NET_ADMIN"), "{problem}");
        assert!(!door.vip().is_ours(ip(text)));
    }
    assert_eq!(listed("lo").lines().count(), 0);
}
