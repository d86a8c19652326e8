//! Limits of listeners and sources, targets that leave, ports that come.

use super::*;
use crate::proxy::limits::SourceSettings;

#[test]
fn at_its_limit_a_listener_rests_and_takes_the_next_when_one_leaves() {
    let (backend, address) = backend();
    let mut settings = settings();
    settings.listeners[0].connection_limit = 2;
    let mut lab = Lab::new(&settings, &[address]);
    let mut open: Vec<_> = (0..2).map(|_| lab.pair(&backend)).collect();
    let waiting = lab.client();
    lab.turns(10);
    assert_eq!((lab.house.proxy.connections(), lab.counters().limit_reached), (2, 1));
    assert!(!lab.house.proxy.has_ready(), "nothing to spin on");
    drop(open.pop());
    let mut accepted = None;
    lab.until("the third is served", |_| {
        accepted = accepted.take().or_else(|| backend.accept().ok());
        accepted.is_some()
    });
    drop((open, waiting, accepted));
    lab.assert_empty();
}

#[test]
fn a_source_has_a_limit_of_its_own() {
    let (backend, address) = backend();
    let sources = SourceSettings { limit: 2, ..SourceSettings::default() };
    let mut lab = Lab::new(&ProxySettings { sources, ..settings() }, &[address]);
    let mut open: Vec<_> = (0..2).map(|_| lab.pair(&backend)).collect();
    let mut third = lab.client();
    lab.until("the third is closed", |_| third.saw_end());
    assert_eq!((lab.house.proxy.connections(), lab.counters().source_limit), (2, 1));
    drop(open.pop());
    lab.until("one leaves", |lab| lab.house.proxy.connections() == 1);
    open.push(lab.pair(&backend));
    drop(open);
    lab.assert_empty();
}

#[test]
fn one_half_may_not_go_on_for_ever() {
    let (backend, address) = backend();
    let half_closed_timeout = Duration::from_millis(40);
    let mut lab = Lab::new(&ProxySettings { half_closed_timeout, ..settings() }, &[address]);
    let (mut client, mut target) = lab.pair(&backend);
    lab.turns(40);
    assert_eq!(lab.house.proxy.connections(), 1, "two halves are no matter of this limit");
    client.end();
    lab.until("the target sees the end", |_| target.saw_end());
    lab.until("and the client is closed", |_| client.saw_end());
    assert_eq!(lab.counters().silent, 1);
    drop(target);
    lab.assert_empty();
}

#[test]
fn connections_to_a_target_that_left_go_on_or_are_cut() {
    for wait in [None, Some(Duration::ZERO), Some(Duration::from_millis(30))] {
        let (backend, address) = backend();
        let (other, other_address) = self::backend();
        let settings = ProxySettings { removed_target_wait: wait, ..settings() };
        let mut lab = Lab::new(&settings, &[address, other_address]);
        let (mut client, mut target) = lab.pair(&backend);
        lab.house.choice.targets = vec![other_address];
        let (mut stays, mut served) = lab.pair(&other);
        lab.house.proxy.targets_changed();
        if wait.is_some() {
            lab.until("it is cut", |_| client.saw_reset());
            lab.until("on both sides", |_| target.saw_reset());
        } else {
            lab.turns(20);
            client.send(b"still here");
            lab.until("it goes on", |_| target.saw(b"still here"));
        }
        assert_eq!(lab.counters().target_removed, u64::from(wait.is_some()));
        stays.send(b"me too");
        lab.until("others go on", |_| served.saw(b"me too"));
        drop((client, target, stays, served));
        lab.assert_empty();
    }
}

#[test]
fn a_target_that_comes_back_in_time_keeps_its_connections() {
    let (backend, address) = backend();
    let wait = Some(Duration::from_secs(3600));
    let settings = ProxySettings { removed_target_wait: wait, ..settings() };
    let mut lab = Lab::new(&settings, &[address]);
    let (client, target) = lab.pair(&backend);
    let timers = lab.reactor.wheel.len();
    lab.house.choice.targets.clear();
    lab.house.proxy.targets_changed();
    lab.until("it has a deadline", |lab| lab.reactor.wheel.len() == timers + 1);
    lab.house.choice.targets = vec![address];
    lab.house.proxy.targets_changed();
    lab.until("it has none any more", |lab| lab.reactor.wheel.len() == timers);
    drop((client, target));
    lab.assert_empty();
}

fn free_ports<const N: usize>() -> [u16; N] {
    let listeners = [(); N].map(|()| StdListener::bind(LOCALHOST).unwrap());
    listeners.map(|listener| listener.local_addr().unwrap().port())
}

#[test]
fn ports_come_and_go_with_the_routes() {
    let (backend, address) = backend();
    let dynamic = vec![ListenerSettings {
        dynamic: true,
        ..ListenerSettings::new("127.0.0.1:0".parse().unwrap())
    }];
    let settings = ProxySettings { dynamic, ..settings() };
    let mut lab = Lab::new(&settings, &[address]);
    let first = lab.address;
    assert_eq!(lab.house.proxy.dynamic_listeners(), Some(0));
    let [one, two] = free_ports();
    // A port that has a listener already is left to it.
    lab.house.proxy.set_ports(vec![one, two, first.port()]);
    assert!(lab.house.proxy.has_ready());
    lab.until("both are open", |lab| lab.house.proxy.dynamic_listeners() == Some(2));
    assert!(lab.house.proxy.take_listeners_changed());
    let mut pairs = Vec::new();
    for port in [one, two] {
        lab.address.set_port(port);
        pairs.push(lab.pair(&backend));
        assert_eq!(lab.house.choice.picks.last().unwrap().0, lab.address);
    }
    lab.house.proxy.set_ports(vec![two]);
    lab.until("one is closed", |lab| lab.house.proxy.dynamic_listeners() == Some(1));
    assert!(StdStream::connect(("127.0.0.1", one)).is_err());
    for (client, target) in &mut pairs {
        client.send(b"still here");
        lab.until("connections live on", |_| target.saw(b"still here"));
    }
    assert_eq!(lab.house.proxy.listening_on(), [first]);
    drop(pairs);
    lab.assert_empty();
}

#[test]
fn a_port_that_another_process_holds_is_tried_again() {
    let dynamic = vec![ListenerSettings {
        dynamic: true,
        ..ListenerSettings::new("127.0.0.1:0".parse().unwrap())
    }];
    let mut lab = Lab::new(&ProxySettings { dynamic, ..settings() }, &[]);
    let holder = StdListener::bind(LOCALHOST).unwrap();
    let port = holder.local_addr().unwrap().port();
    lab.house.proxy.set_ports(vec![port]);
    lab.until("it was tried", |lab| !lab.house.proxy.has_ready());
    assert_eq!(lab.house.proxy.dynamic_listeners(), Some(0));
    assert_eq!(lab.reactor.wheel.len(), 1, "the time of the next try");
    drop(holder);
    let timer = Token::new(Kind::ProxyListener, 0, u32::MAX);
    let Lab { reactor, house, .. } = &mut lab;
    house.proxy.expired(reactor, timer);
    lab.until("it is open", |lab| lab.house.proxy.dynamic_listeners() == Some(1));
}

#[test]
fn a_drain_opens_no_port_again() {
    let [port] = free_ports();
    let dynamic = vec![ListenerSettings {
        dynamic: true,
        ..ListenerSettings::new("127.0.0.1:0".parse().unwrap())
    }];
    let mut lab = Lab::new(&ProxySettings { dynamic, ..settings() }, &[]);
    lab.house.proxy.set_ports(vec![port]);
    lab.until("it is open", |lab| lab.house.proxy.dynamic_listeners() == Some(1));
    let Lab { reactor, house, .. } = &mut lab;
    house.proxy.close_listeners(reactor, &mut house.choice);
    house.proxy.set_ports(vec![]);
    house.proxy.set_ports(vec![port]);
    lab.turns(3);
    assert!(StdStream::connect(("127.0.0.1", port)).is_err());
}

#[test]
fn the_deadline_of_a_target_that_left_is_not_that_of_the_next_one() {
    let (backend, address) = backend();
    let (_listener, hole, _fill) = super::dials::black_hole();
    let settings = ProxySettings {
        removed_target_wait: Some(Duration::from_secs(3600)),
        dial_timeout: Duration::from_millis(40),
        ..settings()
    };
    let mut lab = Lab::new(&settings, &[hole, address]);
    let client = lab.client();
    lab.until("the first target is dialled", |lab| lab.house.choice.taken == [hole]);
    lab.house.choice.targets = vec![address];
    lab.house.proxy.targets_changed();
    let mut accepted = None;
    lab.until("the second one accepts", |lab| {
        accepted = accepted.take().or_else(|| backend.accept().ok());
        accepted.is_some() && lab.house.choice.succeeded == [address]
    });
    lab.turns(3);
    assert_eq!(lab.reactor.wheel.len(), 0, "nothing is waited for");
    drop((client, accepted));
    lab.assert_empty();
}

#[test]
fn one_turn_takes_in_no_more_clients_for_many_listeners() {
    let (backend, address) = backend();
    let listeners = vec![ListenerSettings::new(LOCALHOST.parse().unwrap()); 10];
    let mut lab = Lab::new(&ProxySettings { listeners, ..settings() }, &[address]);
    let addresses = lab.house.proxy.listening_on();
    let connect = |at: &SocketAddr| StdStream::connect(at).unwrap();
    let clients: Vec<_> = (0..32).flat_map(|_| addresses.iter().map(connect)).collect();
    let mut most = 0;
    lab.until("all are accepted", |lab| {
        let before = lab.counters().accepted;
        lab.turn();
        most = most.max(lab.counters().accepted - before);
        lab.counters().accepted == 320
    });
    assert!(most <= 96, "{most} in one turn");
    drop((clients, backend));
    lab.assert_empty();
}

#[test]
fn a_port_of_the_routes_follows_its_template_from_both_families_to_one() {
    let with = |dual_stack| {
        let template = ListenerSettings::new("[::]:0".parse().unwrap());
        let dynamic = vec![ListenerSettings { dynamic: true, dual_stack, ..template }];
        ProxySettings { dynamic, ..settings() }
    };
    let [port] = free_ports();
    let mut lab = Lab::new(&with(true), &[]);
    lab.house.proxy.set_ports(vec![port]);
    lab.until("it is open", |lab| lab.house.proxy.dynamic_listeners() == Some(1));
    StdStream::connect(("127.0.0.1", port)).unwrap();
    let Lab { reactor, house, .. } = &mut lab;
    let prepared = house.proxy.prepare_change(with(false)).unwrap();
    assert!(house.proxy.commit_change(reactor, prepared).is_empty());
    lab.until("nothing is left to do", |lab| !lab.house.proxy.has_ready());
    assert!(StdStream::connect(("::1", port)).is_ok());
    assert!(StdStream::connect(("127.0.0.1", port)).is_err());
}

#[test]
fn what_ended_in_a_turn_is_counted_off_for_who_asks_in_the_same_turn() {
    let (backend, address) = backend();
    let mut settings = settings();
    settings.listeners[0].hello_timeout = Some(Duration::from_secs(60));
    let mut lab = Lab::new(&settings, &[address]);
    let hello = super::openings::client_hello("a.test");
    let mut first = lab.client();
    first.send(&hello);
    let mut accepted = None;
    lab.until("the first is served", |lab| {
        accepted = accepted.take().or_else(|| backend.accept().ok());
        accepted.is_some() && lab.house.choice.succeeded.len() == 1
    });
    let mut second = lab.client();
    second.send(&hello[..20]);
    lab.turns(5);
    first.reset();
    second.send(&hello[20..]);
    lab.until("the second asks", |lab| lab.house.choice.picks.len() == 2);
    assert_eq!(lab.house.choice.loads, [0, 0]);
}
