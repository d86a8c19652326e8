//! How a client comes to its target.

use std::collections::BTreeMap;

use super::*;

#[test]
fn bytes_that_came_before_the_target_are_kept() {
    let (backend, address) = backend();
    let mut lab = Lab::new(&settings(), &[address]);
    let mut client = lab.client();
    client.send(b"early");
    client.end();
    lab.turns(1);
    let mut accepted = None;
    lab.until("a client", |_| {
        accepted = backend.accept().ok();
        accepted.is_some()
    });
    let mut target = Peer::new(accepted.unwrap().0);
    lab.until("its bytes and its end", |_| target.saw_end());
    assert_eq!(target.seen, b"early");
}

#[test]
fn a_target_that_refuses_is_followed_by_the_next() {
    let (backend, address) = backend();
    let refusing = [refusing(), refusing()];
    let mut lab = Lab::new(&settings(), &[refusing[0], refusing[1], address]);
    let (mut client, mut target) = lab.pair(&backend);
    client.send(b"hello");
    lab.until("the third target reads", |_| target.saw(b"hello"));
    let failed: Vec<SocketAddr> = lab.house.choice.failed.iter().map(|(a, _)| *a).collect();
    assert_eq!(failed, refusing);
    assert!(lab.house.choice.failed[0].1.contains("refused"));
    assert_eq!(lab.counters().dial_failures, 2);
    drop((client, target));
    lab.assert_empty();
}

#[test]
fn without_a_target_or_a_route_a_client_is_closed_in_order() {
    let mut lab = Lab::new(&settings(), &[refusing()]);
    let mut client = lab.client();
    client.send(b"anybody there?");
    lab.until("the client is closed without a reset", |_| client.saw_end());
    lab.assert_empty();
    assert_eq!((lab.counters().no_target, lab.counters().no_route), (1, 0));
    lab.house.choice.no_route = true;
    let mut client = lab.client();
    client.send(b"and now?");
    lab.until("the client is closed without a reset", |_| client.saw_end());
    lab.assert_empty();
    assert_eq!((lab.counters().no_target, lab.counters().no_route), (1, 1));
}

/// A listener that answers nobody, because its backlog is full.
pub(super) fn black_hole() -> (mio::net::TcpListener, SocketAddr, Vec<mio::net::TcpStream>) {
    let options = socket::ListenOptions { backlog: 0, ..socket::ListenOptions::default() };
    let listener = socket::listen(LOCALHOST.parse().unwrap(), &options).unwrap();
    let address = listener.local_addr().unwrap();
    let fill = || socket::connect(address, &ConnectOptions::default()).unwrap();
    (listener, address, (0..8).map(|_| fill()).collect())
}

#[test]
fn a_target_that_is_silent_is_left_after_the_dial_timeout() {
    let (backend, address) = backend();
    let (_listener, hole, _fill) = black_hole();
    let settings = ProxySettings { dial_timeout: Duration::from_millis(40), ..settings() };
    let mut lab = Lab::new(&settings, &[hole, address]);
    let (mut client, mut target) = lab.pair(&backend);
    assert_eq!(lab.house.choice.failed, [(hole, "no answer in time".to_owned())]);
    client.send(b"hello");
    lab.until("the second target reads", |_| target.saw(b"hello"));
    drop((client, target));
    lab.assert_empty();
}

#[test]
fn a_client_that_leaves_during_the_dial_takes_its_dial_along() {
    let (_listener, hole, _fill) = black_hole();
    let mut lab = Lab::new(&settings(), &[hole]);
    let client = lab.client();
    lab.until("it is dialled", |lab| !lab.house.choice.picks.is_empty());
    client.reset();
    lab.assert_empty();
    assert_eq!(lab.counters().dial_failures, 0, "the target is not to blame");
}

#[test]
fn who_waits_at_a_closing_listener_is_still_served() {
    let (backend, address) = backend();
    let mut lab = Lab::new(&settings(), &[address]);
    let mut waiting: Vec<Peer> = (0..50).map(|_| lab.client()).collect();
    waiting.iter_mut().for_each(|client| client.send(b"in time"));
    // The loop has not learned of them yet, as of those that come between the
    // poll and the close.
    lab.house.proxy.close_listeners(&mut lab.reactor, &mut lab.house.choice);
    assert!(lab.house.proxy.listening_on().is_empty());
    assert!(StdStream::connect(lab.address).is_err());
    let mut served = BTreeMap::new();
    lab.until("all are served", |_| {
        if let Ok((stream, peer)) = backend.accept() {
            served.insert(peer, Peer::new(stream));
        }
        served.len() == 50 && served.values_mut().all(|target| target.saw(b"in time"))
    });
    // And what is still open is cut when the time is over.
    lab.house.proxy.abort_all(&mut lab.reactor);
    lab.assert_empty();
    assert!(waiting.iter_mut().all(Peer::saw_reset));
}

/// Runs the named test once more, in a network of its own that has four ports
/// for connections and no IPv6. True in that process.
fn in_poor_network(name: &str) -> bool {
    if std::env::var_os("BURGEE_TEST_POOR_NETWORK").is_some() {
        return true;
    }
    let script = "ip link set lo up && cd /proc/sys/net \
                  && echo 40000 40003 >ipv4/ip_local_port_range \
                  && echo 1 >ipv6/conf/all/disable_ipv6 \
                  && exec \"$0\" --exact \"$1\" --nocapture";
    let output = std::process::Command::new("unshare")
        .args(["-r", "-n", "sh", "-c", script])
        .arg(std::env::current_exe().unwrap())
        .arg(name)
        .env("BURGEE_TEST_POOR_NETWORK", "1")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    let erred = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.contains("1 passed"), "{said}{erred}");
    false
}

#[test]
fn a_target_that_no_local_address_can_reach_is_followed_by_the_next() {
    let name = "a_target_that_no_local_address_can_reach_is_followed_by_the_next";
    if !in_poor_network(&format!("proxy::tests::dials::{name}")) {
        return;
    }
    let (backend, address) = backend();
    let unreachable = "[2001:db8::1]:80".parse().unwrap();
    let mut lab = Lab::new(&settings(), &[unreachable, address]);
    let (mut client, mut target) = lab.pair(&backend);
    client.send(b"hello");
    lab.until("the second target reads", |_| target.saw(b"hello"));
    assert_eq!(lab.house.choice.failed.len(), 1, "its health is to suffer");
    assert_eq!(lab.house.choice.failed[0].0, unreachable);
    assert_eq!(lab.counters().dials_exhausted, 0);
}

#[test]
fn a_target_that_no_port_is_left_for_is_followed_by_the_next() {
    let name = "a_target_that_no_port_is_left_for_is_followed_by_the_next";
    if !in_poor_network(&format!("proxy::tests::dials::{name}")) {
        return;
    }
    // Ports for the two targets, the listener and, not to be used up, clients.
    let backends = ["127.0.0.1:1001", "127.0.0.1:1002"].map(|a| StdListener::bind(a).unwrap());
    let addresses = [1001, 1002].map(|port| SocketAddr::from(([127, 0, 0, 1], port)));
    let mut settings = settings();
    settings.listeners[0].address = SocketAddr::from(([127, 0, 0, 1], 1000));
    let mut lab = Lab::new(&settings, &addresses);
    let _taken: Vec<_> = (0..4).map(|_| StdStream::connect(addresses[0]).unwrap()).collect();
    let mut client = lab.client();
    client.send(b"hello");
    backends[1].set_nonblocking(true).unwrap();
    let mut accepted = None;
    lab.until("the second target is dialled", |_| {
        accepted = accepted.take().or_else(|| backends[1].accept().ok());
        accepted.is_some()
    });
    let mut target = Peer::new(accepted.unwrap().0);
    lab.until("and reads", |_| target.saw(b"hello"));
    assert!(lab.house.choice.failed.is_empty(), "no target is to blame");
    assert_eq!(lab.counters().dials_exhausted, 1);
    // With no port for either, the client is closed and no other one waits.
    let _rest: Vec<_> = (0..3).map(|_| StdStream::connect(addresses[1]).unwrap()).collect();
    let mut client = lab.client();
    lab.until("it is closed in order", |_| client.saw_end());
    assert_eq!((lab.counters().dials_exhausted, lab.counters().no_target), (3, 1));
}

#[test]
fn a_target_that_did_not_accept_is_not_told_of_as_one_that_did() {
    use crate::proxy::access_log::{AccessLog, Format};
    use crate::reactor::line_sink::LineSink;
    use std::os::fd::AsRawFd;
    let (mut reader, writer) = std::io::pipe().unwrap();
    let (_listener, hole, _fill) = black_hole();
    let mut lab = Lab::new(&settings(), &[refusing(), hole]);
    let format = Format::compile("$upstream_addr $retries $ending").unwrap();
    let sink = LineSink::to(writer.as_raw_fd(), 1000);
    lab.house.proxy.access_log = Some(AccessLog::new(format, sink));
    let client = lab.client();
    lab.until("the second target is dialled", |lab| lab.house.choice.taken == [hole]);
    client.reset();
    lab.assert_empty();
    let mut line = [0; 100];
    let count = reader.read(&mut line).unwrap();
    assert_eq!(str::from_utf8(&line[..count]), Ok("- 1 client-reset\n"));
}

/// A port that the system may choose for our own end, where nobody listens.
#[test]
fn a_dial_that_meets_itself_is_no_target() {
    let range = std::fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").unwrap();
    let first: u16 = range.split_whitespace().next().unwrap().parse().unwrap();
    let at = SocketAddr::from(([127, 0, 0, 1], (first + 2001) & !1));
    let mut lab = Lab::new(&settings(), &[at]);
    for round in 0..1000 {
        let clients: Vec<_> = (0..32).map(|_| lab.client()).collect();
        for _ in 0..50 {
            lab.turn();
            if lab.house.proxy.connections() == 0 && !lab.house.proxy.has_ready() {
                break;
            }
        }
        assert_eq!(lab.house.choice.succeeded, [], "after {} dials", round * 32);
        drop(clients);
    }
}
