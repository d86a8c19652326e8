//! What passes through a connection, and how it ends.

use super::*;

#[test]
fn bytes_pass_both_ways_and_ends_pass_on() {
    let (backend, address) = backend();
    let mut lab = Lab::new(&settings(), &[address]);
    let (mut client, mut target) = lab.pair(&backend);
    client.send(b"hello");
    lab.until("the target reads", |_| target.saw(b"hello"));
    target.send(b"world");
    lab.until("the client reads", |_| client.saw(b"world"));
    assert_eq!(lab.house.choice.picks, [(lab.address, client.stream.local_addr().unwrap())]);
    assert_eq!(lab.house.choice.succeeded, [address]);
    client.end();
    lab.until("the target sees the end", |_| target.saw_end());
    target.end();
    lab.until("the client sees the end", |_| client.saw_end());
    lab.assert_empty();
    let counters = lab.counters();
    assert_eq!((counters.accepted, counters.bytes_up, counters.bytes_down), (1, 5, 5));
    assert_eq!(counters.resets, 0);
}

#[test]
fn an_address_has_clients_until_the_last_one_leaves() {
    let (backend, address) = backend();
    let mut lab = Lab::new(&settings(), &[address]);
    let own = lab.address.ip();
    assert!(!lab.house.proxy.may_have_clients_at(own));
    let (client, target) = lab.pair(&backend);
    assert!(lab.house.proxy.may_have_clients_at(own));
    assert!(!lab.house.proxy.may_have_clients_at([192, 0, 2, 1].into()));
    drop((client, target));
    lab.until("nobody is left", |lab| !lab.house.proxy.may_have_clients_at(own));
}

#[test]
fn a_half_that_ended_leaves_the_other_open() {
    let (backend, address) = backend();
    let mut lab = Lab::new(&settings(), &[address]);
    // The client ends first, then the target answers at length.
    let (mut client, mut target) = lab.pair(&backend);
    client.send(b"request");
    client.end();
    lab.until("the request with its end", |_| target.saw_end());
    assert_eq!(target.seen, b"request");
    let answer = pattern(300_000);
    let mut sent = 0;
    lab.until("the answer", |_| {
        sent += target.write(&answer[sent..]);
        client.saw(&answer)
    });
    lab.turns(3);
    assert_eq!(lab.house.proxy.connections(), 1);
    drop(target);
    lab.until("its end", |_| client.saw_end());
    lab.assert_empty();
    // The target ends first, then the client goes on.
    let (mut client, mut target) = lab.pair(&backend);
    target.send(b"greeting");
    target.end();
    lab.until("the greeting with its end", |_| client.saw_end());
    client.send(b"after");
    lab.until("bytes after it", |_| target.saw(b"after"));
    client.end();
    lab.until("the last end", |_| target.saw_end());
    lab.assert_empty();
    assert_eq!(lab.counters().resets, 0);
}

#[test]
fn a_slow_reader_costs_bounded_memory_and_loses_nothing() {
    let (backend, address) = backend();
    let mut lab = Lab::new(&settings(), &[address]);
    let (mut client, mut target) = lab.pair(&backend);
    // A period that no power of two divides, so that a misplaced piece shows.
    let stream = pattern(1_000_003);
    let at = |offset: usize| &stream[offset % stream.len()..];
    let mut sent = 0;
    // Nobody reads until everything is full.
    let mut still = 0;
    lab.until("everything is full", |_| {
        let more = target.write(at(sent));
        sent += more;
        still = if more == 0 { still + 1 } else { 0 };
        still > 20
    });
    assert!(lab.lent_bytes() <= relay::SPLICE_STEP, "{}", lab.lent_bytes());
    lab.turns(5);
    assert!(!lab.house.proxy.has_ready(), "a blocked direction leaves the list");
    let last = sent + 3 * stream.len();
    let mut read = 0;
    lab.until("every byte, in order", |_| {
        let more = at(sent);
        sent += target.write(&more[..more.len().min(last - sent)]);
        client.read(50_000);
        for piece in std::mem::take(&mut client.seen).chunks(997) {
            let expected: Vec<u8> =
                at(read).iter().chain(&stream).copied().take(piece.len()).collect();
            assert!(piece == expected, "at {read}");
            read += piece.len();
        }
        read == last
    });
    target.end();
    client.end();
    lab.until("the end", |_| client.saw_end() && target.saw_end());
    lab.assert_empty();
}

#[test]
fn without_buffers_everything_still_passes() {
    let (backend, address) = backend();
    let mut lab = Lab::new(&settings(), &[address]);
    let hoard: Vec<_> = std::iter::from_fn(|| lab.reactor.pool.take()).collect();
    let large: Vec<_> = std::iter::from_fn(|| lab.house.proxy.large.take()).collect();
    let (mut client, mut target) = lab.pair(&backend);
    let stream = pattern(6 << 20);
    let (mut up, mut down) = (0, 0);
    let mut rounds = 0_usize;
    lab.until("both streams", |_| {
        rounds += 1;
        up += client.write(&stream[up..]);
        down += target.write(&stream[down..]);
        // Both read in fits and starts.
        if rounds.is_multiple_of(3) {
            client.read(100_000);
            target.read(70_000);
        }
        client.seen.len() == stream.len() && target.seen.len() == stream.len()
    });
    assert!(client.seen == stream && target.seen == stream);
    client.end();
    target.end();
    lab.until("the ends", |_| client.saw_end() && target.saw_end());
    hoard.into_iter().for_each(|buffer| lab.reactor.pool.give(buffer));
    large.into_iter().for_each(|buffer| lab.house.proxy.large.give(buffer));
    lab.assert_empty();
}

#[test]
fn bulk_passes_through_large_buffers_both_ways() {
    let (backend, address) = backend();
    let mut lab = Lab::new(&settings(), &[address]);
    let (mut client, mut target) = lab.pair(&backend);
    let stream = pattern(8 << 20);
    let (mut up, mut down) = (0, 0);
    let (mut most_lent, mut rounds) = (0, 0_usize);
    lab.until("both streams", |lab| {
        rounds += 1;
        up += client.write(&stream[up..]);
        down += target.write(&stream[down..]);
        if rounds.is_multiple_of(5) {
            client.read(1 << 20);
            target.read(1 << 20);
        }
        most_lent = most_lent.max(lab.lent_bytes());
        client.seen.len() == stream.len() && target.seen.len() == stream.len()
    });
    assert!(client.seen == stream && target.seen == stream);
    assert!(most_lent > 0, "something was held back");
    drop((client, target));
    lab.assert_empty();
}

#[test]
fn one_byte_at_a_time_passes() {
    let (backend, address) = backend();
    let mut lab = Lab::new(&settings(), &[address]);
    let (mut client, mut target) = lab.pair(&backend);
    let stream = pattern(500);
    for (n, byte) in stream.iter().enumerate() {
        client.send(&[*byte]);
        lab.until("the byte", |_| target.saw(&stream[..=n]));
        target.send(&[*byte]);
        lab.until("its echo", |_| client.saw(&stream[..=n]));
    }
}

#[test]
fn a_reset_stays_a_reset() {
    let (backend, address) = backend();
    let mut lab = Lab::new(&settings(), &[address]);
    let (client, mut target) = lab.pair(&backend);
    client.reset();
    lab.until("the target is reset", |_| target.saw_reset());
    let (mut client, target) = lab.pair(&backend);
    target.reset();
    lab.until("the client is reset", |_| client.saw_reset());
    lab.assert_empty();
    assert_eq!(lab.counters().resets, 2);
}

#[test]
fn an_answer_is_delivered_although_the_target_takes_no_more() {
    let (backend, address) = backend();
    let mut lab = Lab::new(&settings(), &[address]);
    let (mut client, mut target) = lab.pair(&backend);
    client.send(b"a long upload begins");
    lab.until("it begins", |_| target.saw(b"a long upload begins"));
    client.send(b"more that nobody reads");
    lab.turns(5);
    // Closed with unread bytes: the answer, its end, and a reset.
    target.send(b"413 too large");
    target.end();
    lab.until("the answer", |_| client.saw(b"413 too large"));
    drop(target);
    client.write(b"and more");
    lab.until("it is over", |lab| lab.house.proxy.connections() == 0);
    assert_eq!(client.seen, b"413 too large");
    lab.assert_empty();
    assert_eq!(lab.counters().resets, 0, "a reset would have destroyed the answer");
}

#[test]
fn an_urgent_octet_stalls_nothing() {
    let (backend, address) = backend();
    let mut lab = Lab::new(&settings(), &[address]);
    for rounds in 0..20_usize {
        let (mut client, mut target) = lab.pair(&backend);
        let stream = pattern(40_000);
        client.send(&stream[..rounds]);
        if rounds.is_multiple_of(2) {
            lab.turns(2);
        }
        let urgent = socket2::SockRef::from(&client.stream);
        assert_eq!(urgent.send_out_of_band(b"!").unwrap(), 1);
        if rounds.is_multiple_of(3) {
            lab.turns(2);
        }
        client.send(&stream[rounds..]);
        lab.until("all but the urgent octet", |_| target.saw(&stream));
        client.end();
        lab.until("the end", |_| target.saw_end());
    }
}

#[test]
fn a_busy_connection_has_a_budget_and_lets_others_pass() {
    let (backend, address) = backend();
    let mut lab = Lab::new(&settings(), &[address]);
    let (mut busy, mut sink) = lab.pair(&backend);
    let (mut client, mut target) = lab.pair(&backend);
    let piece = pattern(1 << 20);
    // The kernel's buffers grow while bytes flow.
    lab.until("48 MiB pass", |lab| {
        busy.write(&piece);
        sink.read(1 << 20);
        sink.seen.clear();
        lab.counters().bytes_up > 48 << 20
    });
    let mut most = 0;
    for round in 0..30 {
        while busy.write(&piece) > 0 {}
        for _ in 0..10 {
            sink.read(1 << 20);
            sink.seen.clear();
        }
        client.send(b".");
        let expected = vec![b'.'; round + 1];
        for turn in 0.. {
            let before = lab.counters().bytes_up;
            lab.turn();
            most = most.max(lab.counters().bytes_up - before);
            if target.saw(&expected) {
                break;
            }
            assert!(turn < 10, "the small one waits for the large one");
        }
    }
    // The last step may go beyond the budget, and the small one moves a byte.
    let budget = (1 << 20) + u64::try_from(relay::SPLICE_STEP).unwrap();
    assert!(most <= budget, "{most}");
    assert!(most > 1 << 19, "there was more to move in a turn: {most}");
}

#[test]
fn a_client_s_reset_is_seen_although_its_target_takes_nothing() {
    let (backend, address) = backend();
    let mut lab = Lab::new(&settings(), &[address]);
    let (mut client, mut target) = lab.pair(&backend);
    let piece = pattern(1 << 20);
    let mut still = 0;
    lab.until("everything is full", |_| {
        still = if client.write(&piece) == 0 { still + 1 } else { 0 };
        still > 20
    });
    client.reset();
    lab.until("the connection is gone", |lab| lab.house.proxy.connections() == 0);
    lab.until("and the target is reset", |_| target.saw_reset());
    lab.assert_empty();
}
