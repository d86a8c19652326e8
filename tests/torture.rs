//! The real binary between clients and targets that do all that TCP allows, and
//! some that it hardly does. Nothing here waits for a time: what does not come
//! keeps its test from ending.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, unreachable_pub, dead_code)]
#![allow(clippy::print_stdout)]

mod common;
#[path = "torture/rig.rs"]
mod rig;

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use burgee::reactor::random::Random;
use rig::{
    End, Held, Opening, Pattern, Rig, Service, drain, exchange, expect_pattern, half_close,
    listener, reset, send_pattern,
};
use socket2::SockRef;

const MIB: usize = 1 << 20;

/// A usual queue of a target.
const BACKLOG: i32 = 1024;

#[test]
fn after_the_client_s_end_the_target_may_go_on() {
    let target = listener(BACKLOG);
    let rig = Rig::start(&[&target], &[]);
    for size in [0, 1, 100_000] {
        let (mut client, mut accepted) = rig.pair(&target);
        let (question, answer) = (Pattern::new(1).take(size), Pattern::new(2).take(MIB));
        client.write_all(&question).unwrap();
        half_close(&client);
        assert_eq!(drain(&mut accepted), (question, End::InOrder));
        thread::scope(|scope| {
            scope.spawn(|| {
                accepted.write_all(&answer).unwrap();
                half_close(&accepted);
            });
            assert!(drain(&mut client) == (answer.clone(), End::InOrder));
        });
    }
    rig.finish();
}

#[test]
fn after_the_target_s_end_the_client_may_go_on() {
    let target = listener(BACKLOG);
    let rig = Rig::start(&[&target], &[]);
    for size in [0, 1, 100_000] {
        let (mut client, mut accepted) = rig.pair(&target);
        let (greeting, upload) = (Pattern::new(3).take(size), Pattern::new(4).take(MIB));
        accepted.write_all(&greeting).unwrap();
        half_close(&accepted);
        assert_eq!(drain(&mut client), (greeting, End::InOrder));
        thread::scope(|scope| {
            scope.spawn(|| {
                client.write_all(&upload).unwrap();
                half_close(&client);
            });
            assert!(drain(&mut accepted) == (upload.clone(), End::InOrder));
        });
    }
    rig.finish();
}

/// Sends this and the end of the stream in one segment.
fn send_last(stream: &mut TcpStream, bytes: &[u8]) {
    SockRef::from(&*stream).set_tcp_cork(true).unwrap();
    stream.write_all(bytes).unwrap();
    half_close(stream);
}

#[test]
fn an_end_that_comes_with_the_last_octets_is_passed_on_after_them() {
    let target = listener(BACKLOG);
    let rig = Rig::start(&[&target], &[]);
    for _ in 0..200 {
        // The client's may be there before burgee has called the target.
        let mut client = rig.client();
        send_last(&mut client, b"question");
        let mut accepted = target.accept().unwrap().0;
        assert_eq!(drain(&mut accepted), (b"question".to_vec(), End::InOrder));
        send_last(&mut accepted, b"answer");
        assert_eq!(drain(&mut client), (b"answer".to_vec(), End::InOrder));
    }
    rig.finish();
}

#[test]
fn an_urgent_octet_stalls_and_disturbs_nothing() {
    let target = listener(BACKLOG);
    let rig = Rig::start(&[&target], &[]);
    for round in 0..40 {
        let (mut client, mut accepted) = rig.pair(&target);
        if round % 2 == 1 {
            std::mem::swap(&mut client, &mut accepted);
        }
        let (sender, receiver) = (&mut client, &mut accepted);
        let stream = Pattern::new(round).take(40_000);
        let (before, after) = stream.split_at(round as usize * 17);
        sender.write_all(before).unwrap();
        if round % 4 < 2 {
            // The octet comes by itself.
            receiver.read_exact(&mut vec![0; before.len()]).unwrap();
        }
        assert_eq!(SockRef::from(&*sender).send_out_of_band(b"!").unwrap(), 1);
        sender.write_all(after).unwrap();
        half_close(sender);
        let expected = if round % 4 < 2 { after } else { &stream };
        assert!(drain(receiver) == (expected.to_vec(), End::InOrder), "round {round}");
        half_close(receiver);
        assert_eq!(drain(sender), (Vec::new(), End::InOrder));
    }
    rig.finish();
}

/// Makes pairs, in both orders: whoever is first does something to the second.
fn both_ways(
    rig: &Rig,
    target: &TcpListener,
    times: usize,
    mut act: impl FnMut(TcpStream, TcpStream),
) {
    for _ in 0..times {
        let (client, accepted) = rig.pair(target);
        act(client, accepted);
        let (client, accepted) = rig.pair(target);
        act(accepted, client);
    }
}

#[test]
fn a_reset_is_passed_on_as_a_reset() {
    let target = listener(BACKLOG);
    let rig = Rig::start(&[&target], &[]);
    // The client's may come before burgee knows that the target has answered.
    // (A target's reset at that time is a dial that failed.)
    for _ in 0..50 {
        let (client, mut accepted) = rig.pair(&target);
        reset(client);
        assert_eq!(drain(&mut accepted), (Vec::new(), End::Reset));
    }
    both_ways(&rig, &target, 50, |mut one, mut other| {
        exchange(&mut one, &mut other, b"hello");
        reset(one);
        assert_eq!(drain(&mut other), (Vec::new(), End::Reset));
    });
    rig.finish();
}

#[test]
fn octets_before_a_reset_arrive() {
    let target = listener(BACKLOG);
    let rig = Rig::start(&[&target], &[]);
    both_ways(&rig, &target, 50, |mut one, mut other| {
        exchange(&mut one, &mut other, b"hello");
        one.write_all(b"last words").unwrap();
        reset(one);
        assert_eq!(drain(&mut other), (b"last words".to_vec(), End::Reset));
    });
    rig.finish();
}

/// Who has ended a stream and then resets the connection will not read the answer
/// either, so nobody is to wait for one.
#[test]
fn a_reset_after_the_end_of_a_stream_is_passed_on() {
    let target = listener(BACKLOG);
    let rig = Rig::start(&[&target], &[]);
    let (mut client, mut accepted) = rig.pair(&target);
    both_ways(&rig, &target, 20, |one, mut other| {
        half_close(&one);
        assert_eq!(drain(&mut other), (Vec::new(), End::InOrder));
        reset(one);
        // Whatever happened before is known to burgee when it has served others, unless
        // a busy kernel brings the reset later than what came after it.
        let mut served = 0;
        while rig.extra_descriptors() > 2 {
            assert!(served < 1000, "the connection is kept");
            exchange(&mut client, &mut accepted, b"hello");
            served += 1;
        }
        assert!(other.write_all(b"is anybody there?").is_err(), "it was no reset");
    });
    drop((client, accepted));
    rig.finish();
}

/// What comes while burgee is busy with something else comes all at once.
#[test]
fn whatever_comes_in_one_turn_is_taken_in_its_order() {
    let target = listener(BACKLOG);
    let rig = Rig::start(&[&target], &[]);
    let text = |bytes: &[u8], end| (bytes.to_vec(), end);
    both_ways(&rig, &target, 10, |mut one, mut other| {
        exchange(&mut one, &mut other, b"hello");
        rig.while_stopped(|| {
            send_last(&mut one, b"a question");
            send_last(&mut other, b"an answer");
        });
        assert_eq!(drain(&mut one), text(b"an answer", End::InOrder));
        assert_eq!(drain(&mut other), text(b"a question", End::InOrder));
    });
    both_ways(&rig, &target, 10, |mut one, mut other| {
        exchange(&mut one, &mut other, b"hello");
        rig.while_stopped(|| {
            one.write_all(b"a question").unwrap();
            other.write_all(b"an answer").unwrap();
            reset(other);
        });
        assert_eq!(drain(&mut one), text(b"an answer", End::Reset));
    });
    both_ways(&rig, &target, 10, |mut one, mut other| {
        exchange(&mut one, &mut other, b"hello");
        rig.while_stopped(|| {
            send_last(&mut one, b"a question");
            reset(other);
        });
        assert_eq!(drain(&mut one), text(b"", End::Reset));
    });
    both_ways(&rig, &target, 10, |mut one, mut other| {
        exchange(&mut one, &mut other, b"hello");
        rig.while_stopped(|| {
            reset(one);
            reset(other);
        });
    });
    rig.finish();
}

#[test]
fn who_comes_while_nobody_accepts_is_served_afterwards() {
    let target = listener(BACKLOG);
    let rig = Rig::start(&[&target], &[]);
    let _echo = echo(&target);
    let mut clients = rig.while_stopped(|| {
        let mut clients: Vec<TcpStream> = (0..500).map(|_| rig.client()).collect();
        clients.iter_mut().for_each(|client| send_last(client, b"hello"));
        clients
    });
    for client in &mut clients {
        assert_eq!(drain(client), (b"hello".to_vec(), End::InOrder));
    }
    rig.finish();
}

/// Whoever closes with octets unread resets.
#[test]
fn who_closes_without_reading_ends_the_other_s_stream() {
    let target = listener(BACKLOG);
    let rig = Rig::start(&[&target], &[]);
    both_ways(&rig, &target, 20, |one, mut other| {
        other.write_all(b"never read").unwrap();
        assert_eq!(one.peek(&mut [0; 100]).unwrap(), 10);
        drop(one);
        assert_eq!(drain(&mut other), (Vec::new(), End::Reset));
    });
    // It closes in order, and what comes then is not wanted.
    both_ways(&rig, &target, 20, |one, mut other| {
        drop(one);
        let bulk = vec![0; 65_536];
        while other.write_all(&bulk).is_ok() {}
    });
    rig.finish();
}

#[test]
fn a_reset_in_the_middle_of_bulk_is_no_end_of_the_stream() {
    const BULK: usize = 64 * MIB;
    let target = listener(BACKLOG);
    let rig = Rig::start(&[&target], &[]);
    both_ways(&rig, &target, 3, |mut one, mut other| {
        one.set_nonblocking(true).unwrap();
        let bulk = Pattern::new(9).take(BULK);
        let mut sent = 0;
        // Until nobody on the way takes more.
        while let Ok(count @ 1..) = one.write(&bulk[sent..]) {
            sent += count;
        }
        assert!(sent < BULK);
        reset(one);
        let (received, end) = drain(&mut other);
        assert_eq!(end, End::Reset);
        assert!(received.len() <= sent && received == bulk[..received.len()]);
    });
    rig.finish();
}

#[test]
fn a_client_that_leaves_a_silent_target_leaves_nothing_behind() {
    let hole = listener(0);
    let hours = ["-proxy.dialtimeout=1h"];
    let rig = Rig::start(&[&hole], &hours);
    let queued = TcpStream::connect(hole.local_addr().unwrap()).unwrap();
    let mut clients: Vec<TcpStream> = (0..50).map(|_| rig.client()).collect();
    clients.iter_mut().for_each(|client| client.write_all(b"hello?").unwrap());
    while rig.extra_descriptors() < 2 * clients.len() {
        thread::yield_now();
    }
    clients.into_iter().for_each(reset);
    rig.until_idle();
    drop(queued);
    rig.finish();
}

#[test]
fn single_octets_pass_in_order() {
    let target = listener(BACKLOG);
    let rig = Rig::start(&[&target], &[]);
    both_ways(&rig, &target, 1, |mut one, mut other| {
        let stream = Pattern::new(5).take(65_536);
        thread::scope(|scope| {
            scope.spawn(|| {
                stream.iter().for_each(|octet| one.write_all(&[*octet]).unwrap());
                half_close(&one);
            });
            assert!(drain(&mut other) == (stream.clone(), End::InOrder));
        });
    });
    rig.finish();
}

/// What one direction may hold is bounded, and others do not wait for it.
#[test]
fn a_slow_reader_costs_little_memory_and_nobody_s_time() {
    const BULK: usize = 64 * MIB;
    let target = listener(BACKLOG);
    let rig = Rig::start(&[&target], &[]);
    let mut others: Vec<_> = (0..100).map(|_| rig.pair(&target)).collect();
    let before = rig.memory("VmRSS");
    rig.forget_peak();
    both_ways(&rig, &target, 1, |one, other| {
        let (one, other) = (Held(one), Held(other));
        let sent = AtomicUsize::new(0);
        thread::scope(|scope| {
            scope.spawn(|| {
                let mut pattern = Pattern::new(6);
                while sent.load(Ordering::SeqCst) < BULK {
                    (&one.0).write_all(&pattern.take(65_536)).unwrap();
                    sent.fetch_add(65_536, Ordering::SeqCst);
                }
                half_close(&one.0);
            });
            // Until a whole round passes while nothing of the bulk does.
            loop {
                let so_far = sent.load(Ordering::SeqCst);
                for (client, accepted) in &mut others {
                    exchange(client, accepted, b"are you still there?");
                }
                if so_far > MIB && sent.load(Ordering::SeqCst) == so_far {
                    break;
                }
            }
            assert!(sent.load(Ordering::SeqCst) < BULK, "somebody holds all of it");
            let held = rig.memory("VmHWM").saturating_sub(before);
            assert!(held < 16 * 1024, "{held} KiB are held");
            expect_pattern(&other, 6, BULK, MIB);
        });
    });
    let held = rig.memory("VmHWM").saturating_sub(before);
    assert!(held < 16 * 1024, "{held} KiB were held");
    drop(others);
    rig.finish();
}

/// Those that find no buffer left lose nothing, and hold nothing.
#[test]
fn many_slow_readers_share_what_may_be_held() {
    const BULK: usize = 64 * MIB;
    let target = listener(BACKLOG);
    let rig = Rig::start(&[&target], &[]);
    let before = rig.memory("VmRSS");
    rig.forget_peak();
    let bulk = Pattern::new(10).take(BULK);
    let (mut client, mut accepted) = rig.pair(&target);
    let mut pairs: Vec<_> = (0..60).map(|_| (rig.pair(&target), 0)).collect();
    pairs.iter().for_each(|((_, sender), _)| sender.set_nonblocking(true).unwrap());
    loop {
        let mut moved = false;
        for ((_, sender), sent) in &mut pairs {
            while let Ok(count @ 1..) = sender.write(&bulk[*sent..]) {
                *sent += count;
                moved = true;
            }
        }
        exchange(&mut client, &mut accepted, b"are you still there?");
        if !moved {
            break;
        }
    }
    for ((mut reader, mut sender), sent) in pairs {
        assert!(sent < BULK, "somebody holds all of it");
        sender.set_nonblocking(false).unwrap();
        thread::scope(|scope| {
            scope.spawn(|| {
                sender.write_all(&bulk[sent..]).unwrap();
                half_close(&sender);
            });
            let (received, end) = drain(&mut reader);
            assert!(received == bulk && end == End::InOrder);
        });
    }
    let held = rig.memory("VmHWM").saturating_sub(before);
    assert!(held < 16 * 1024, "{held} KiB were held");
    drop((client, accepted));
    rig.finish();
}

#[test]
fn bulk_in_both_directions_at_once_arrives_whole() {
    const BULK: usize = 32 * MIB;
    let target = listener(BACKLOG);
    let rig = Rig::start(&[&target], &[]);
    let (client, accepted) = rig.pair(&target);
    let (client, accepted) = (Held(client), Held(accepted));
    thread::scope(|scope| {
        for (end, seed) in [(&client, 7), (&accepted, 8)] {
            scope.spawn(move || {
                send_pattern(end, seed, BULK, 300_000);
                half_close(&end.0);
            });
        }
        scope.spawn(|| expect_pattern(&client, 8, BULK, 300_000));
        expect_pattern(&accepted, 7, BULK, 300_000);
    });
    drop((client, accepted));
    rig.finish();
}

#[test]
fn a_target_that_refuses_is_followed_by_the_next() {
    let (gone, target) = (listener(BACKLOG), listener(BACKLOG));
    let mut rig = Rig::start(&[&gone, &target], &["-log.level=DEBUG"]);
    drop(gone);
    for _ in 0..4 {
        let (mut client, mut accepted) = rig.pair(&target);
        exchange(&mut client, &mut accepted, b"hello");
    }
    let refused = format!("event=dial_failed target={}", rig.target(0));
    rig.log().until(&refused);
    rig.finish();
}

#[test]
fn a_target_that_is_silent_is_left_after_the_dial_timeout() {
    const LIMIT: Duration = Duration::from_millis(200);
    let (hole, target) = (listener(0), listener(BACKLOG));
    let mut rig = Rig::start(&[&hole, &target], &["-log.level=DEBUG", "-proxy.dialtimeout=200ms"]);
    // A queue without room takes one all the same, and drops who comes then.
    let queued = TcpStream::connect(hole.local_addr().unwrap()).unwrap();
    let mut longest = Duration::ZERO;
    for _ in 0..2 {
        let start = Instant::now();
        let (mut client, mut accepted) = rig.pair(&target);
        longest = longest.max(start.elapsed());
        exchange(&mut client, &mut accepted, b"hello");
    }
    assert!(longest >= LIMIT, "of two clients one was to be sent there first: {longest:?}");
    let line = format!("event=dial_failed target={}", rig.target(0));
    assert!(rig.log().until(&line).contains("no answer in time"));
    drop(queued);
    rig.finish();
}

#[test]
fn without_a_target_a_client_is_closed_in_order() {
    let (one, two) = (listener(BACKLOG), listener(BACKLOG));
    let rig = Rig::start(&[&one, &two], &[]);
    drop((one, two));
    for _ in 0..20 {
        assert_eq!(drain(&mut rig.client()), (Vec::new(), End::InOrder));
    }
    rig.finish();
}

/// Who spins has more of a second, even on a machine with twenty others.
const SPIN: Duration = Duration::from_millis(50);

/// How much of a second the process is on the CPU.
fn cpu_of_a_second(rig: &Rig) -> Duration {
    let (start, before) = (Instant::now(), rig.cpu());
    thread::sleep(Duration::from_secs(1));
    let used = rig.cpu() - before;
    used.div_f64(start.elapsed().as_secs_f64())
}

/// A target that sends back what it gets, each connection by itself.
fn echo(listener: &TcpListener) -> Service {
    Service::start(listener, |mut stream| {
        thread::spawn(move || {
            let mut buffer = [0; 1024];
            while let Ok(count @ 1..) = stream.read(&mut buffer) {
                if stream.write_all(&buffer[..count]).is_err() {
                    return;
                }
            }
        });
    })
}

fn is_served(client: &mut TcpStream) {
    client.write_all(b"hello").unwrap();
    let mut buffer = [0; 5];
    client.read_exact(&mut buffer).expect("an answer");
    assert_eq!(&buffer, b"hello");
}

#[test]
fn with_few_descriptors_clients_wait_and_nothing_spins() {
    let target = listener(BACKLOG);
    let rig = Rig::limited(&[&target], &[], "64");
    let _echo = echo(&target);
    let mut clients: Vec<TcpStream> = (0..100).map(|_| rig.client()).collect();
    is_served(&mut clients[0]);
    let cpu = cpu_of_a_second(&rig);
    assert!(cpu < SPIN, "{cpu:?}");
    // Each that leaves lets another in.
    for mut client in clients {
        is_served(&mut client);
    }
    rig.finish();
}

/// Here the limit comes where burgee does not expect it: below what it has.
#[test]
fn without_descriptors_nothing_spins_and_all_are_served_later() {
    let target = listener(BACKLOG);
    let rig = Rig::start(&[&target], &[]);
    let _echo = echo(&target);
    let mut early: Vec<TcpStream> = (0..10).map(|_| rig.client()).collect();
    early.iter_mut().for_each(is_served);
    rig.limit_descriptors(3);
    let mut late: Vec<TcpStream> = (0..50).map(|_| rig.client()).collect();
    let cpu = cpu_of_a_second(&rig);
    assert!(cpu < SPIN, "{cpu:?}");
    early.iter_mut().for_each(is_served);
    rig.limit_descriptors(1024);
    late.iter_mut().for_each(is_served);
    early.iter_mut().for_each(is_served);
    drop((early, late));
    rig.finish();
}

#[test]
fn five_thousand_connections_leave_nothing_behind() {
    const COUNT: usize = 5_000;
    let target = listener(BACKLOG);
    let rig = Rig::start(&[&target], &[]);
    let first = rig.memory("VmRSS");
    let mut after = Vec::new();
    for _ in 0..3 {
        let mut pairs: Vec<_> = (0..COUNT).map(|_| rig.pair(&target)).collect();
        assert_eq!(rig.extra_descriptors(), 2 * COUNT);
        for (client, accepted) in &mut pairs {
            exchange(client, accepted, b"hello");
        }
        drop(pairs);
        rig.until_idle();
        // It goes back in the turns that follow the last close.
        let looks = (0..30).map(|_| {
            thread::sleep(Duration::from_millis(10));
            rig.memory("VmRSS")
        });
        after.extend(looks.min());
    }
    // An allocator keeps some of it, but no more each time.
    assert!(after[0] < first + 8 * 1024, "{first} KiB before, after each round {after:?}");
    assert!(after[2] < after[0] + 1024, "{first} KiB before, after each round {after:?}");
    rig.finish();
}

#[test]
fn clients_that_leave_at_once_leave_nothing_behind() {
    let target = listener(BACKLOG);
    let rig = Rig::start(&[&target], &[]);
    let service = Service::start(&target, |mut stream| {
        drain(&mut stream);
    });
    let before = rig.memory("VmRSS");
    for round in 0..10_000 {
        let client = rig.client();
        if round % 3 == 0 {
            reset(client);
        }
    }
    rig.until_idle();
    drop(service);
    let held = rig.memory("VmRSS").saturating_sub(before);
    assert!(held < 4 * 1024, "{held} KiB are kept");
    let (mut client, mut accepted) = rig.pair(&target);
    exchange(&mut client, &mut accepted, b"hello");
    drop((client, accepted));
    rig.finish();
}

/// A target that resets before burgee has looked at the connection counts as
/// one that did not answer; both are an end for the client.
#[test]
fn a_target_that_accepts_and_resets_ends_each_client() {
    let target = listener(BACKLOG);
    let rig = Rig::start(&[&target], &[]);
    let service = Service::start(&target, reset);
    for _ in 0..500 {
        let mut client = rig.client();
        let _ = client.write_all(b"hello");
        let (answer, _) = drain(&mut client);
        assert_eq!(answer, b"");
    }
    let many: Vec<TcpStream> = (0..200).map(|_| rig.client()).collect();
    for mut client in many {
        assert_eq!(drain(&mut client).0, b"");
    }
    drop(service);
    rig.finish();
}

/// What both ends of a connection are to do: each knows it from the seed.
#[derive(Debug)]
struct Plan {
    up: usize,
    down: usize,
    largest: usize,
    /// Who sends only after the other has ended its stream.
    polite: Option<Role>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    Client,
    Target,
}

impl Plan {
    fn new(seed: u64) -> Plan {
        let mut random = Random::new(seed);
        let mut size = |largest: u32| {
            // As many small ones as large ones.
            let bits = random.index(largest as usize + 1);
            random.index(1 << bits)
        };
        let (up, down) = (size(20), size(20));
        // Single octets, but not a million of them.
        let largest = (1 + size(17)).max(up.max(down) / 4096);
        let polite = [None, None, Some(Role::Client), Some(Role::Target)][random.index(4)];
        Plan { up, down, largest, polite }
    }

    /// One end: it sends its stream and its end, and reads the other's, at once
    /// or one after the other.
    fn play(&self, stream: TcpStream, seed: u64, role: Role) {
        let held = Held(stream);
        let ((own, sent), (other, read)) = match role {
            Role::Client => ((seed, self.up), (seed ^ 1, self.down)),
            Role::Target => ((seed ^ 1, self.down), (seed, self.up)),
        };
        let send = || {
            let second = Held(held.0.try_clone().unwrap());
            send_pattern(&second, own, sent, self.largest);
            half_close(&second.0);
        };
        thread::scope(|scope| {
            if self.polite != Some(role) {
                scope.spawn(send);
            }
            expect_pattern(&held, other, read, self.largest);
        });
        if self.polite == Some(role) {
            send();
        }
    }
}

#[test]
fn random_conversations_are_carried_faithfully() {
    let given = std::env::var("BURGEE_SEED").ok().and_then(|text| text.parse().ok());
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    let first: u64 = given.unwrap_or(now.as_nanos() as u64) & !0xffff;
    println!("BURGEE_SEED={first}");
    for opening in Opening::ALL {
        let target = listener(BACKLOG);
        let rig = Rig::opened_by(opening, &target, &[]);
        thread::scope(|scope| {
            for number in 0..256 {
                let seed = first + 2 * number;
                let (rig, target) = (&rig, &target);
                scope.spawn(move || {
                    let client = rig.silent_client();
                    let octets = [&opening.octets()[..], &seed.to_be_bytes()].concat();
                    in_pieces(&client, &octets, seed);
                    Plan::new(seed).play(client, seed, Role::Client);
                });
                scope.spawn(move || {
                    let mut accepted = rig.accept(target);
                    let mut seed = [0; 8];
                    accepted.read_exact(&mut seed).unwrap();
                    let seed = u64::from_be_bytes(seed);
                    Plan::new(seed).play(accepted, seed, Role::Target);
                });
            }
        });
        rig.finish();
    }
}

/// In one piece, or in some, or octet by octet.
fn in_pieces(mut stream: &TcpStream, octets: &[u8], seed: u64) {
    let mut random = Random::new(seed);
    let longest = [1, 20, octets.len()][random.index(3)];
    let mut rest = octets;
    while !rest.is_empty() {
        let (piece, after) = rest.split_at((1 + random.index(longest)).min(rest.len()));
        stream.write_all(piece).unwrap();
        rest = after;
    }
}

/// All of it in one segment: what is said first, early data and the end.
#[test]
fn what_comes_with_the_opening_is_passed_on() {
    for opening in Opening::ALL {
        let target = listener(BACKLOG);
        let rig = Rig::opened_by(opening, &target, &[]);
        let octets = opening.octets();
        for _ in 0..50 {
            let mut client = rig.silent_client();
            send_last(&mut client, &[&octets[..], b"early data"].concat());
            let mut accepted = rig.accept(&target);
            assert_eq!(drain(&mut accepted), (b"early data".to_vec(), End::InOrder));
            send_last(&mut accepted, b"answer");
            assert_eq!(drain(&mut client), (b"answer".to_vec(), End::InOrder));
        }
        let bulk = Pattern::new(11).take(4 * MIB);
        let client = Held(rig.silent_client());
        thread::scope(|scope| {
            scope.spawn(|| {
                (&client.0).write_all(&[&octets[..], &bulk].concat()).unwrap();
                half_close(&client.0);
            });
            let mut accepted = rig.accept(&target);
            assert!(drain(&mut accepted) == (bulk.clone(), End::InOrder));
        });
        drop(client);
        rig.finish();
    }
}

/// None of them gets to a target, and those that are whole do.
#[test]
fn openings_that_stop_halfway_hold_up_nobody_and_leave_nothing_behind() {
    for opening in [Opening::Names, Opening::Headers, Opening::Both] {
        let target = listener(BACKLOG);
        let rig = Rig::opened_by(opening, &target, &[]);
        let octets = opening.octets();
        let (mut client, mut accepted) = rig.pair(&target);
        let mut halfway = Vec::new();
        for length in (0..octets.len()).cycle().take(300) {
            let mut silent = rig.silent_client();
            silent.write_all(&octets[..length]).unwrap();
            exchange(&mut client, &mut accepted, b"hello");
            halfway.push(silent);
        }
        assert_eq!(rig.extra_descriptors(), 2 + halfway.len());
        let cpu = cpu_of_a_second(&rig);
        assert!(cpu < SPIN, "{opening:?}: {cpu:?}");
        for (number, silent) in halfway.into_iter().enumerate() {
            match number % 3 {
                0 => reset(silent),
                1 => drop(silent),
                _ => {
                    half_close(&silent);
                    let mut silent = silent;
                    assert_eq!(drain(&mut silent).0, b"", "{opening:?} {number}");
                }
            }
        }
        drop((client, accepted));
        rig.finish();
        target.set_nonblocking(true).unwrap();
        assert!(target.accept().is_err(), "{opening:?}: half an opening was passed on");
    }
}

#[test]
fn whatever_is_no_opening_is_closed() {
    for opening in [Opening::Names, Opening::Headers, Opening::Both] {
        let target = listener(BACKLOG);
        let rig = Rig::opened_by(opening, &target, &[]);
        let octets = opening.octets();
        for seed in 0..400 {
            let mut random = Random::new(seed);
            let mut wrong = octets.clone();
            // A wrong octet where each matters: the type of the record, or the
            // signature of the header.
            wrong[random.index(if opening == Opening::Names { 1 } else { 6 })] ^= 0x55;
            let client = rig.silent_client();
            // It may be closed before all of it is sent.
            let _ = (&client).write_all(&wrong);
            assert_eq!(drain(&mut { client }).0, b"", "{opening:?} {seed}");
        }
        rig.finish();
        target.set_nonblocking(true).unwrap();
        assert!(target.accept().is_err(), "{opening:?}: it was passed on");
    }
}
