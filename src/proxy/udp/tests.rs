//! Flows of datagrams over real loopback sockets, in a loop that is stepped
//! turn by turn. Nothing here waits for a time; loops are bounded by turns.

use std::collections::BTreeSet;
use std::net::UdpSocket;

use super::*;
use crate::reactor::poll::{self, Phases};

/// Targets in the order of their choice.
#[derive(Default)]
struct Choice {
    targets: Vec<SocketAddr>,
    unfit: Vec<SocketAddr>,
    no_route: bool,
    epoch: u64,
    asked: Vec<(SocketAddr, SocketAddr)>,
    refused: Vec<SocketAddr>,
    answered: Vec<SocketAddr>,
}

impl UdpTargets for Choice {
    fn pick_udp(
        &mut self,
        _: Time,
        local: SocketAddr,
        client: SocketAddr,
        tried: &[SocketAddr],
    ) -> Pick<SocketAddr> {
        self.asked.push((local, client));
        let untried = || self.targets.iter().filter(|target| !tried.contains(target));
        match untried().find(|target| !self.unfit.contains(target)).or(untried().next()) {
            _ if self.no_route => Pick::NoRoute,
            Some(target) => Pick::Target(*target),
            None => Pick::NoTarget,
        }
    }
    fn is_udp_fit(&self, _: SocketAddr, _: SocketAddr, target: SocketAddr) -> bool {
        self.targets.contains(&target) && !self.unfit.contains(&target)
    }
    fn udp_epoch(&self) -> u64 {
        self.epoch
    }
    fn udp_refused(&mut self, _: Time, target: SocketAddr, error: &str) {
        assert!(error.contains("refused"), "{error}");
        self.refused.push(target);
    }
    fn udp_answered(&mut self, _: Time, target: SocketAddr) {
        self.answered.push(target);
    }
}

struct House {
    udp: Udp,
    choice: Choice,
}

impl Phases for House {
    fn collect(&mut self, _: &mut Reactor, token: Token, readiness: Readiness) {
        self.udp.collect(token, readiness);
    }
    fn expired(&mut self, _: &mut Reactor, token: Token) {
        if token.kind == Kind::UdpListener {
            self.udp.expired();
        }
    }
    fn control(&mut self, _: &mut Reactor) {}
    fn apply(&mut self, _: &mut Reactor) {}
    fn data(&mut self, reactor: &mut Reactor) {
        self.udp.data(reactor, &mut self.choice);
    }
    fn accept(&mut self, _: &mut Reactor) {}
    fn api(&mut self, _: &mut Reactor) {}
    fn flush(&mut self, _: &mut Reactor) {
        self.udp.flush();
    }
    fn has_ready(&self) -> bool {
        self.udp.has_ready()
    }
    fn exit_code(&self) -> Option<i32> {
        None
    }
}

struct Lab {
    reactor: Reactor,
    house: House,
    port: u16,
}

fn settings(address: &str) -> UdpListenerSettings {
    UdpListenerSettings {
        address: address.parse().unwrap(),
        dual_stack: false,
        freebind: false,
        idle_timeout: Duration::from_secs(600),
        flow_limit: 0,
    }
}

impl Lab {
    fn with(settings: &[UdpListenerSettings], targets: &[&UdpSocket]) -> Lab {
        let mut reactor = Reactor::new().unwrap();
        let mut udp = Udp::new();
        udp.bind(&mut reactor, settings, 4096).unwrap();
        let port = udp.listening_on()[0].port();
        let targets = targets.iter().map(|target| target.local_addr().unwrap()).collect();
        let choice = Choice { targets, ..Choice::default() };
        Lab { reactor, house: House { udp, choice }, port }
    }

    fn new(targets: &[&UdpSocket]) -> Lab {
        Lab::with(&[settings("0.0.0.0:0")], targets)
    }

    /// One turn, which a timer ends if nothing happens.
    fn turn(&mut self) {
        let soon = self.reactor.now() + Duration::from_millis(2);
        let guard = self.reactor.wheel.insert(soon, Token::new(Kind::Guest, 0, 0));
        poll::turn(&mut self.reactor, &mut self.house).unwrap();
        self.reactor.wheel.cancel(guard);
    }

    fn until(&mut self, what: &str, mut done: impl FnMut(&mut Lab) -> bool) {
        for _ in 0..5000 {
            if done(self) {
                return;
            }
            self.turn();
        }
        panic!("never: {what}; {:?}", self.counters());
    }

    fn counters(&self) -> UdpCounters {
        *self.house.udp.counters()
    }

    /// What comes to a socket next, and from whom.
    fn next(&mut self, socket: &UdpSocket) -> (Vec<u8>, SocketAddr) {
        let mut place = vec![0; PLACE];
        let mut found = None;
        self.until("a datagram", |_| {
            found = found.take().or_else(|| socket.recv_from(&mut place).ok());
            found.is_some()
        });
        let (length, from) = found.unwrap();
        place.truncate(length);
        (place, from)
    }

    /// Asks and answers once; returns whom the target saw.
    fn exchange(&mut self, client: &UdpSocket, target: &UdpSocket) -> SocketAddr {
        client.send(b"question").unwrap();
        let (question, from) = self.next(target);
        assert_eq!(question, b"question");
        target.send_to(b"answer", from).unwrap();
        assert_eq!(self.next(client).0, b"answer");
        from
    }

    fn client(&self, local: &str) -> UdpSocket {
        let client = socket("127.0.0.1:0");
        client.connect((local, self.port)).unwrap();
        client
    }
}

fn socket(address: &str) -> UdpSocket {
    let socket = UdpSocket::bind(address).unwrap();
    socket.set_nonblocking(true).unwrap();
    socket
}

fn target() -> UdpSocket {
    socket("127.0.0.1:0")
}

fn address(socket: &UdpSocket) -> SocketAddr {
    socket.local_addr().unwrap()
}

#[test]
fn a_flow_has_a_socket_of_its_own_and_stays_with_its_target() {
    let targets = [target(), target()];
    let mut lab = Lab::new(&[&targets[0], &targets[1]]);
    let clients = [lab.client("127.0.0.1"), lab.client("127.0.0.1")];
    let seen: BTreeSet<SocketAddr> =
        clients.iter().map(|client| lab.exchange(client, &targets[0])).collect();
    assert_eq!(seen.len(), 2);
    // Whoever would be picked now: they stay.
    lab.house.choice.targets.reverse();
    for client in &clients {
        assert!(seen.contains(&lab.exchange(client, &targets[0])));
    }
    assert_eq!(lab.house.choice.asked.len(), 2, "each flow asks once");
    assert_eq!(lab.house.choice.answered, [address(&targets[0]); 2]);
    let counters = lab.counters();
    assert_eq!((counters.flows, counters.datagrams_up, counters.datagrams_down), (2, 4, 4));
    assert_eq!((counters.bytes_up, counters.bytes_down), (32, 24));
    assert_eq!((counters.lost(), lab.house.udp.awaited()), (0, 2));
}

#[test]
fn answers_leave_from_the_address_that_was_asked() {
    let target = target();
    let mut lab = Lab::new(&[&target]);
    // One client that talks to two of our addresses has two flows.
    let client = socket("127.0.0.1:0");
    for local in ["127.0.0.2", "127.0.0.77"] {
        let asked: SocketAddr = format!("{local}:{}", lab.port).parse().unwrap();
        client.send_to(b"who?", asked).unwrap();
        let (_, from) = lab.next(&target);
        target.send_to(local.as_bytes(), from).unwrap();
        assert_eq!(lab.next(&client), (local.as_bytes().to_vec(), asked));
        assert_eq!(lab.house.choice.asked.last().unwrap(), &(asked, address(&client)));
    }
    assert_eq!(lab.counters().flows, 2);
}

#[test]
fn a_port_alone_serves_both_families() {
    let dual = UdpListenerSettings { dual_stack: true, ..settings("[::]:0") };
    let six = socket("[::1]:0");
    let mut lab = Lab::with(&[dual], &[&six]);
    assert_eq!(lab.house.udp.listening_on().len(), 1, "it is one listener");
    for (local, asked) in [("127.0.0.1:0", "127.0.0.9"), ("[::1]:0", "::1")] {
        let client = socket(local);
        let asked = SocketAddr::new(asked.parse().unwrap(), lab.port);
        client.send_to(b"hello", asked).unwrap();
        let (_, from) = lab.next(&six);
        six.send_to(b"hi", from).unwrap();
        assert_eq!(lab.next(&client), (b"hi".to_vec(), asked));
    }
}

#[test]
fn an_address_that_is_yet_to_come_is_bound_if_that_is_wanted() {
    let mut reactor = Reactor::new().unwrap();
    for address in ["192.0.2.77:0", "[2001:db8::77]:0"] {
        let plain = settings(address);
        let free = UdpListenerSettings { freebind: true, ..plain.clone() };
        let error = Udp::new().bind(&mut reactor, &[plain], 16).unwrap_err();
        assert!(error.contains("freebind=true"), "{error}");
        let mut udp = Udp::new();
        udp.bind(&mut reactor, std::slice::from_ref(&free), 16).unwrap();
        assert_eq!(udp.listening_on()[0].ip(), free.address.ip());
    }
}

#[test]
fn the_shortest_and_the_longest_datagram_pass_unchanged() {
    let target = target();
    let mut lab = Lab::new(&[&target]);
    let client = lab.client("127.0.0.1");
    let longest: Vec<u8> = (0..65_507_u32).map(|n| (n % 251) as u8).collect();
    for payload in [&longest[..], b"", b"x", &longest[..1500]] {
        client.send(payload).unwrap();
        let (question, from) = lab.next(&target);
        assert!(question == payload, "{} octets", payload.len());
        target.send_to(payload, from).unwrap();
        assert!(lab.next(&client).0 == payload, "{} octets", payload.len());
    }
    assert_eq!(lab.counters().lost(), 0);
}

#[test]
fn many_answers_to_one_question_and_many_clients_at_once() {
    let target = target();
    let mut lab = Lab::new(&[&target]);
    let clients: Vec<UdpSocket> = (0..100).map(|_| lab.client("127.0.0.1")).collect();
    for (n, client) in clients.iter().enumerate() {
        client.send(&[n as u8]).unwrap();
    }
    for _ in 0..100 {
        let (question, from) = lab.next(&target);
        for answer in 0..20 {
            target.send_to(&[question[0], answer], from).unwrap();
        }
    }
    for (n, client) in clients.iter().enumerate() {
        for answer in 0..20 {
            assert_eq!(lab.next(client).0, [n as u8, answer], "in order");
        }
    }
    assert_eq!(lab.counters().datagrams_down, 2000);
    lab.until("there is nothing to spin on", |lab| !lab.house.udp.has_ready());
}

#[test]
fn a_refusal_moves_the_flow_with_its_next_datagram() {
    let (gone, other) = (target(), target());
    let mut lab = Lab::new(&[&gone, &other]);
    let client = lab.client("127.0.0.1");
    lab.exchange(&client, &gone);
    let address_of_gone = address(&gone);
    drop(gone);
    client.send(b"lost").unwrap();
    lab.until("the target has refused", |lab| lab.counters().refused == 1);
    assert_eq!(lab.house.choice.refused, [address_of_gone]);
    lab.exchange(&client, &other);
    assert_eq!((lab.counters().flows, lab.counters().moved), (1, 1));
}

#[test]
fn a_refusal_that_comes_with_the_next_datagram_does_not_lose_it() {
    let (gone, other) = (target(), target());
    let mut lab = Lab::new(&[&gone, &other]);
    drop(gone);
    let client = lab.client("127.0.0.1");
    // Both are there before the loop looks: the second one meets the error of
    // the first.
    client.send(b"one").unwrap();
    client.send(b"two").unwrap();
    assert_eq!(lab.next(&other).0, b"two");
    assert_eq!((lab.counters().refused, lab.counters().moved), (1, 1));
}

#[test]
fn the_only_target_is_tried_again_after_a_refusal() {
    let target = target();
    let mut lab = Lab::new(&[&target]);
    let bound = address(&target);
    drop(target);
    let client = lab.client("127.0.0.1");
    client.send(b"lost").unwrap();
    lab.until("the target has refused", |lab| lab.counters().refused == 1);
    let target = socket(&bound.to_string());
    lab.exchange(&client, &target);
    assert_eq!((lab.counters().moved, lab.counters().no_target), (0, 0));
}

#[test]
fn flows_leave_a_target_that_is_unfit_or_gone() {
    let targets = [target(), target(), target()];
    let mut lab = Lab::new(&[&targets[0], &targets[1], &targets[2]]);
    let client = lab.client("127.0.0.1");
    lab.exchange(&client, &targets[0]);
    lab.house.choice.unfit = vec![address(&targets[0])];
    lab.exchange(&client, &targets[0]);
    lab.house.choice.epoch = 1;
    lab.exchange(&client, &targets[1]);
    lab.house.choice.unfit.clear();
    lab.house.choice.epoch = 2;
    lab.exchange(&client, &targets[1]);
    lab.house.choice.targets = vec![address(&targets[2])];
    lab.house.choice.epoch = 3;
    lab.exchange(&client, &targets[2]);
    assert_eq!((lab.counters().moved, lab.counters().flows), (2, 1));
    lab.house.choice.targets.clear();
    lab.house.choice.epoch = 4;
    client.send(b"nobody").unwrap();
    lab.until("it is dropped", |lab| lab.counters().no_target == 1);
    assert_eq!(lab.house.udp.awaited(), 0, "a flow without a target is over");
}

#[test]
fn without_a_route_datagrams_are_dropped_and_counted() {
    let mut lab = Lab::new(&[]);
    lab.house.choice.no_route = true;
    let client = lab.client("127.0.0.1");
    (0..3).for_each(|_| client.send(b"?").map(drop).unwrap());
    lab.until("they are dropped", |lab| lab.counters().no_route == 3);
    assert_eq!((lab.house.udp.awaited(), lab.counters().lost()), (0, 3));
}

#[test]
fn at_its_limit_a_listener_lets_the_most_silent_flow_give_way() {
    let target = target();
    let limited = UdpListenerSettings { flow_limit: 2, ..settings("127.0.0.1:0") };
    let mut lab = Lab::with(&[limited], &[&target]);
    let clients: Vec<UdpSocket> = (0..3).map(|_| lab.client("127.0.0.1")).collect();
    let first = lab.exchange(&clients[0], &target);
    let second = lab.exchange(&clients[1], &target);
    assert_eq!(lab.exchange(&clients[0], &target), first);
    lab.exchange(&clients[2], &target);
    assert_eq!((lab.house.udp.awaited(), lab.counters().gave_way), (2, 1));
    assert_eq!(lab.exchange(&clients[0], &target), first, "whoever talks stays");
    assert_ne!(lab.exchange(&clients[1], &target), second, "who gave way begins anew");
    // What comes for a flow that is gone comes to a closed socket.
    target.send_to(b"too late", second).unwrap();
    lab.exchange(&clients[1], &target);
}

#[test]
fn silence_ends_flows_with_one_timer_for_all() {
    let target = target();
    let brief =
        UdpListenerSettings { idle_timeout: Duration::from_millis(80), ..settings("127.0.0.1:0") };
    let mut lab = Lab::with(&[brief], &[&target]);
    let clients: Vec<UdpSocket> = (0..50).map(|_| lab.client("127.0.0.1")).collect();
    clients.iter().for_each(|client| client.send(b"?").map(drop).unwrap());
    lab.until("all flows are there", |lab| lab.counters().flows == 50);
    assert_eq!(lab.reactor.wheel.len(), 1);
    let begin = lab.reactor.now();
    lab.until("they are over", |lab| lab.house.udp.awaited() == 0);
    assert!(lab.reactor.now() >= begin + Duration::from_millis(60), "not before their time");
    lab.turn();
    assert_eq!(lab.reactor.wheel.len(), 0, "nothing wakes an idle loop");
    assert_eq!(lab.counters().expired, 50);
}

#[test]
fn questions_and_answers_prolong_a_flow() {
    let target = target();
    let mut lab = Lab::new(&[&target]);
    let client = lab.client("127.0.0.1");
    let from = lab.exchange(&client, &target);
    let mut deadline = lab.house.udp.flows.deadline().unwrap();
    for _ in 0..3 {
        let begin = lab.reactor.now();
        lab.until("time passes", |lab| lab.reactor.now() > begin);
        target.send_to(b"more", from).unwrap();
        assert_eq!(lab.next(&client).0, b"more");
        let later = lab.house.udp.flows.deadline().unwrap();
        assert!(later > std::mem::replace(&mut deadline, later));
        client.send(b"go on").unwrap();
        assert_eq!(lab.next(&target).0, b"go on");
        let later = lab.house.udp.flows.deadline().unwrap();
        assert!(later > std::mem::replace(&mut deadline, later));
    }
    assert_eq!(lab.reactor.wheel.len(), 1, "and no timer is touched");
}

#[test]
fn what_cannot_be_answered_is_not_passed_on() {
    let target = target();
    let mut lab = Lab::new(&[&target]);
    let own = SocketAddr::from(([127, 0, 0, 1], lab.port));
    let door = &lab.house.udp.doors[0];
    let misaddressed = |client: &str, local: &str| {
        door.is_misaddressed(client.parse().unwrap(), Some(local.parse().unwrap()))
    };
    assert!(misaddressed("198.51.100.1:5353", "224.0.0.251"));
    assert!(misaddressed("198.51.100.1:5353", "255.255.255.255"));
    assert!(misaddressed("[2001:db8::1]:5353", "ff02::fb"));
    assert!(misaddressed("198.51.100.1:0", "192.0.2.10"));
    assert!(misaddressed(&own.to_string(), "127.0.0.1"));
    assert!(!misaddressed(&own.to_string(), "127.0.0.2"), "another host's port may be the same");
    assert!(!misaddressed("198.51.100.1:53", "192.0.2.10"));
    // Through the socket: we ask ourselves.
    let loopback = lab.house.udp.doors[0].socket.send(&[Outgoing {
        destination: own,
        source: Some(own.ip()),
        interface: None,
        payload: b"echo",
    }]);
    assert_eq!(loopback.unwrap(), 1);
    lab.until("it is dropped", |lab| lab.counters().misaddressed == 1);
    assert_eq!(lab.house.udp.awaited(), 0);
}

#[test]
fn a_client_that_cannot_be_reached_costs_its_answer_alone() {
    let target = target();
    let mut lab = Lab::new(&[&target]);
    let clients = [lab.client("127.0.0.1"), lab.client("127.0.0.1")];
    lab.exchange(&clients[0], &target);
    lab.exchange(&clients[1], &target);
    // Answers that the kernel refuses, before and behind one that it takes.
    let answer = |client: SocketAddr| Answer {
        door: 0,
        client,
        local: Some(IpAddr::from([127, 0, 0, 1])),
        place: 0,
        length: 2,
    };
    let nowhere = SocketAddr::from(([255, 255, 255, 255], 9));
    let reachable = address(&clients[1]);
    lab.house.udp.answers = vec![answer(nowhere), answer(reachable), answer(nowhere)];
    lab.house.udp.buffer[..2].copy_from_slice(b"ok");
    lab.house.udp.send_answers();
    assert_eq!(lab.next(&clients[1]).0, b"ok");
    assert_eq!((lab.counters().lost_down, lab.counters().datagrams_down), (2, 3));
}

#[test]
fn a_drain_serves_all_and_waits_for_those_that_were_there() {
    let target = target();
    let mut lab = Lab::new(&[&target]);
    let clients = [lab.client("127.0.0.1"), lab.client("127.0.0.1")];
    lab.exchange(&clients[0], &target);
    lab.house.udp.begin_drain();
    lab.exchange(&clients[0], &target);
    lab.exchange(&clients[1], &target);
    assert_eq!((lab.house.udp.awaited(), lab.house.udp.flows.len()), (1, 2));
    assert_eq!(lab.house.udp.listening_on().len(), 1);
    lab.house.udp.close(&mut lab.reactor);
    assert_eq!((lab.house.udp.awaited(), lab.house.udp.flows.len()), (0, 0));
    assert!(lab.house.udp.listening_on().is_empty() && !lab.house.udp.has_ready());
    assert_eq!(lab.reactor.wheel.len(), 0);
    // Events of sockets that are gone mean nothing.
    lab.house.udp.collect(Token::new(Kind::UdpFlow, 0, 0), Readiness::READABLE);
    lab.house.udp.collect(Token::new(Kind::UdpListener, 0, 9), Readiness::READABLE);
    lab.turn();
}

#[test]
fn a_panic_costs_one_flow() {
    let target = target();
    let mut lab = Lab::new(&[&target]);
    let clients = [lab.client("127.0.0.1"), lab.client("127.0.0.1")];
    lab.exchange(&clients[0], &target);
    lab.house.udp.inject_panic(true);
    clients[1].send(b"victim").unwrap();
    lab.until("it is dropped", |lab| lab.counters().panics == 1);
    assert_eq!(lab.house.udp.awaited(), 1);
    lab.exchange(&clients[0], &target);
    lab.exchange(&clients[1], &target);
}

#[test]
fn listeners_are_bound_all_or_none_and_named() {
    let taken = socket("127.0.0.1:0");
    let address = address(&taken).to_string();
    let mut reactor = Reactor::new().unwrap();
    let mut udp = Udp::new();
    let error =
        udp.bind(&mut reactor, &[settings("127.0.0.1:0"), settings(&address)], 4096).unwrap_err();
    assert!(error.contains(&address) && error.contains("ss -lunp"), "{error}");
    assert!(udp.listening_on().is_empty() && udp.doors.is_empty());
    udp.bind(&mut reactor, &[], 4096).unwrap();
    assert_eq!((udp.limit(), udp.buffer.len()), (0, 0), "without a listener it takes nothing");
}

/// A process of its own, because its descriptors run out.
#[test]
fn without_descriptors_the_oldest_flow_gives_its_own() {
    const NAME: &str = "proxy::udp::tests::without_descriptors_the_oldest_flow_gives_its_own";
    if std::env::var_os("BURGEE_TEST_FEW_DESCRIPTORS").is_none() {
        let output = std::process::Command::new("sh")
            .args(["-c", "ulimit -n 64 && exec \"$0\" --exact \"$1\" --nocapture"])
            .arg(std::env::current_exe().unwrap())
            .arg(NAME)
            .env("BURGEE_TEST_FEW_DESCRIPTORS", "1")
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success() && said.contains("1 passed"), "{said}");
        return;
    }
    let target = target();
    let mut lab = Lab::new(&[&target]);
    let clients = [lab.client("127.0.0.1"), lab.client("127.0.0.1")];
    let mut hoard = Vec::new();
    while let Ok(file) = std::fs::File::open("/dev/null") {
        hoard.push(file);
    }
    clients[0].send(b"no room").unwrap();
    lab.until("it is dropped", |lab| lab.counters().exhausted == 1);
    assert_eq!(lab.house.udp.awaited(), 0);
    hoard.pop();
    lab.exchange(&clients[0], &target);
    lab.exchange(&clients[1], &target);
    assert_eq!((lab.house.udp.awaited(), lab.counters().gave_way), (1, 1));
    assert!(lab.house.choice.refused.is_empty(), "no target is to blame");
}
