//! What a connection may not do, and what runs out.

use super::*;

#[test]
fn many_connections_leave_nothing_behind() {
    let (backend, address) = backend();
    let mut lab = Lab::new(&settings(), &[address]);
    for round in 0..5 {
        let mut open = Vec::new();
        while open.len() < 100 {
            let (mut client, mut target) = lab.pair(&backend);
            client.send(b"x");
            target.send(b"y");
            open.push((client, target));
        }
        assert_eq!(lab.house.proxy.connections(), 100);
        lab.turns(3);
        for (n, (client, target)) in open.into_iter().enumerate() {
            match (n + round) % 4 {
                0 => client.reset(),
                1 => target.reset(),
                _ => drop((client, target)),
            }
        }
        lab.assert_empty();
    }
    assert_eq!(lab.counters().accepted, 500);
}

#[test]
fn silence_ends_a_connection_and_activity_prolongs_it() {
    let (backend, address) = backend();
    let limit = Duration::from_millis(60);
    let mut lab = Lab::new(&ProxySettings { idle_timeout: limit, ..settings() }, &[address]);
    let (mut client, mut target) = lab.pair(&backend);
    let begin = lab.reactor.now();
    // A byte in either direction, for longer than the limit; but a machine that
    // is busy with other things may make a silence of its own.
    let (mut last, mut silence) = (begin, Duration::ZERO);
    lab.until("three limits pass", |lab| {
        for peer in [&mut client, &mut target] {
            let _ = peer.stream.write(b"x");
            lab.turns(3);
        }
        let now = lab.reactor.now();
        silence = silence.max(now.since(last));
        last = now;
        now > begin + 3 * limit
    });
    assert!(lab.house.proxy.connections() == 1 || silence >= limit);
    lab.until("silence ends it", |lab| lab.house.proxy.connections() == 0);
    assert_eq!(lab.counters().silent, 1);
    lab.assert_empty();
}

#[test]
fn a_client_that_takes_nothing_is_cut_after_the_write_timeout() {
    let (backend, address) = backend();
    let mut settings = settings();
    settings.listeners[0].write_timeout = Duration::from_millis(60);
    let mut lab = Lab::new(&settings, &[address]);
    let (mut client, mut target) = lab.pair(&backend);
    let piece = pattern(1 << 20);
    lab.until("it is cut", |lab| {
        if target.stream.write(&piece).is_err_and(|e| e.kind() != ErrorKind::WouldBlock) {
            return lab.house.proxy.connections() == 0;
        }
        lab.house.proxy.connections() == 0
    });
    lab.until("as a reset, because bytes were lost", |_| client.saw_reset());
    assert_eq!(lab.counters().silent, 1);
    lab.assert_empty();
}

#[test]
fn a_client_that_sends_nothing_is_closed_after_the_read_timeout() {
    let (backend, address) = backend();
    let mut settings = settings();
    settings.listeners[0].read_timeout = Duration::from_millis(60);
    let mut lab = Lab::new(&settings, &[address]);
    let (mut client, mut target) = lab.pair(&backend);
    client.send(b"hello");
    lab.until("both see the end", |_| client.saw_end() && target.saw_end());
    assert_eq!(target.seen, b"hello");
    assert_eq!(lab.counters().silent, 1);
    lab.assert_empty();
}

#[test]
fn at_its_limit_a_proxy_rests_and_takes_the_next_when_one_leaves() {
    let (backend, address) = backend();
    let settings = ProxySettings { connection_limit: 3, ..settings() };
    let mut lab = Lab::new(&settings, &[address]);
    let mut open: Vec<_> = (0..3).map(|_| lab.pair(&backend)).collect();
    let mut waiting = lab.client();
    waiting.send(b"let me in");
    lab.turns(10);
    assert_eq!(lab.house.proxy.connections(), 3);
    assert_eq!(lab.counters().limit_reached, 1);
    assert!(!lab.house.proxy.has_ready(), "nothing to spin on");
    drop(open.pop());
    let mut accepted = None;
    lab.until("the fourth is served", |_| {
        accepted = accepted.take().or_else(|| backend.accept().ok());
        accepted.is_some()
    });
    let mut target = Peer::new(accepted.unwrap().0);
    lab.until("with its bytes", |_| target.saw(b"let me in"));
    assert_eq!(lab.house.proxy.connections(), 3);
}

#[test]
fn a_panic_costs_one_connection() {
    let (backend, address) = backend();
    let mut lab = Lab::new(&settings(), &[address]);
    let (mut bystander, mut served) = lab.pair(&backend);
    lab.house.proxy.inject_panic(true);
    let mut victim = lab.client();
    lab.until("the victim is reset", |_| victim.saw_reset());
    assert_eq!((lab.counters().panics, lab.house.proxy.connections()), (1, 1));
    bystander.send(b"still here");
    lab.until("others are served", |_| served.saw(b"still here"));
    let (mut client, mut target) = lab.pair(&backend);
    client.send(b"new");
    lab.until("and newcomers, too", |_| target.saw(b"new"));
}

#[test]
fn the_limit_leaves_descriptors_to_others() {
    assert_eq!(connection_limit(0, 1024), (1024 - 128 - 2 * 8) / 2);
    assert_eq!(connection_limit(100, 1024), 100);
    assert_eq!(connection_limit(5000, 1024), 440);
    assert_eq!(connection_limit(0, 64), 24);
    assert_eq!(connection_limit(0, 0), 1);
    assert_eq!(connection_limit(0, u64::MAX), 262_144);
    assert_eq!(connection_limit(1 << 20, u64::MAX), 1 << 20);
    // With room for many health checks: of 1024, all but the first 64.
    assert_eq!(connection_limit(0, 65_536), (65_536 - 128 - 2 * 64 - 960) / 2);
}

/// A process of its own, because its descriptors run out.
#[test]
fn without_descriptors_the_listener_rests_and_recovers() {
    const NAME: &str = "proxy::tests::limits::without_descriptors_the_listener_rests_and_recovers";
    if std::env::var_os("BURGEE_TEST_FEW_DESCRIPTORS").is_none() {
        let program = std::env::current_exe().unwrap();
        let status = std::process::Command::new("sh")
            .args(["-c", "ulimit -n 64 && exec \"$0\" --exact \"$1\" --nocapture"])
            .arg(program)
            .arg(NAME)
            .env("BURGEE_TEST_FEW_DESCRIPTORS", "1")
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&status.stdout);
        assert!(status.status.success() && said.contains("1 passed"), "{said}");
        return;
    }
    let (backend, address) = backend();
    let mut lab = Lab::new(&settings(), &[address]);
    let mut client = lab.client();
    client.send(b"patience");
    let mut hoard = Vec::new();
    while let Ok(file) = std::fs::File::open("/dev/null") {
        hoard.push(file);
    }
    // With no descriptor left accepting fails, and with one the dial does.
    for spare in 0..2 {
        let begin = lab.reactor.now();
        let before = lab.reactor.turns();
        while lab.reactor.now() < begin + Duration::from_millis(500) {
            let soon = begin + Duration::from_millis(500);
            let guard = lab.reactor.wheel.insert(soon, Token::new(Kind::Guest, 0, 0));
            poll::turn(&mut lab.reactor, &mut lab.house).unwrap();
            lab.reactor.wheel.cancel(guard);
        }
        let turns = lab.reactor.turns() - before;
        assert!(turns < 10, "{turns} turns in half a second with {spare} spare");
        assert!(lab.counters().accept_errors > 0);
        if spare == 0 {
            hoard.pop();
        }
    }
    assert_eq!(lab.counters().dials_exhausted, 1, "{:?}", lab.counters());
    assert!(lab.house.choice.failed.is_empty(), "no target is to blame");
    lab.until("the client is closed in order", |_| client.saw_end());
    hoard.clear();
    let (mut client, mut target) = lab.pair(&backend);
    client.send(b"hello");
    lab.until("served again", |_| target.saw(b"hello"));
}

#[test]
fn connections_that_end_together_end_in_several_turns() {
    let (backend, address) = backend();
    let mut lab = Lab::new(&settings(), &[address]);
    let open: Vec<_> = (0..400).map(|_| lab.pair(&backend)).collect();
    open.into_iter().for_each(|(client, _)| client.reset());
    let mut most = 0;
    lab.until("all are gone", |lab| {
        let before = lab.house.proxy.connections();
        lab.turn();
        most = most.max(before - lab.house.proxy.connections());
        lab.house.proxy.connections() == 0
    });
    // Each costs a read and a close at least.
    assert!(most <= TURN_BUDGET.steps.div_ceil(1 + serve::CLOSE_STEPS), "{most} in one turn");
    lab.assert_empty();
}
