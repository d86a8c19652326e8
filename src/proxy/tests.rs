//! The data plane over real loopback sockets, in a loop that is stepped turn by
//! turn. Nothing here waits for a time; loops are bounded by turns.

use std::collections::BTreeMap;
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpListener as StdListener, TcpStream as StdStream};

use super::*;
use crate::reactor::buffer::BUFFER_SIZE;
use crate::reactor::poll::{self, Phases};

const LOCALHOST: &str = "127.0.0.1:0";

/// Targets in the order of their trial.
#[derive(Default)]
struct Choice {
    targets: Vec<SocketAddr>,
    no_route: bool,
    picks: Vec<(SocketAddr, SocketAddr)>,
    failed: Vec<(SocketAddr, String)>,
    succeeded: Vec<SocketAddr>,
}

impl Targets for Choice {
    fn pick(
        &mut self,
        _: Time,
        listener: SocketAddr,
        client: SocketAddr,
        tried: &[SocketAddr],
    ) -> Pick {
        self.picks.push((listener, client));
        let left = self.targets.iter().find(|target| !tried.contains(target));
        match left {
            _ if self.no_route => Pick::NoRoute,
            Some(target) => Pick::Target(*target),
            None => Pick::NoTarget,
        }
    }
    fn dial_failed(&mut self, _: Time, target: SocketAddr, error: &str) {
        self.failed.push((target, error.to_owned()));
    }
    fn dial_succeeded(&mut self, _: Time, target: SocketAddr) {
        self.succeeded.push(target);
    }
}

struct House {
    proxy: Proxy,
    choice: Choice,
}

impl Phases for House {
    fn collect(&mut self, _: &mut Reactor, token: Token, readiness: Readiness) {
        if token.kind != Kind::Guest {
            self.proxy.collect(token, readiness);
        }
    }
    fn expired(&mut self, reactor: &mut Reactor, token: Token) {
        if token.kind != Kind::Guest {
            self.proxy.expired(reactor, token);
        }
    }
    fn control(&mut self, _: &mut Reactor) {}
    fn apply(&mut self, _: &mut Reactor) {}
    fn data(&mut self, reactor: &mut Reactor) {
        self.proxy.data(reactor, &mut self.choice);
    }
    fn accept(&mut self, reactor: &mut Reactor) {
        self.proxy.accept(reactor, &mut self.choice);
    }
    fn api(&mut self, _: &mut Reactor) {}
    fn flush(&mut self, reactor: &mut Reactor) {
        self.proxy.flush(reactor);
    }
    fn has_ready(&self) -> bool {
        self.proxy.has_ready()
    }
    fn exit_code(&self) -> Option<i32> {
        None
    }
}

/// A proxy in its loop.
struct Lab {
    reactor: Reactor,
    house: House,
    address: SocketAddr,
}

fn settings() -> ProxySettings {
    ProxySettings {
        listeners: vec![ListenerSettings {
            address: LOCALHOST.parse().unwrap(),
            dual_stack: false,
            read_timeout: Duration::ZERO,
            write_timeout: Duration::ZERO,
        }],
        dial_timeout: Duration::from_secs(30),
        idle_timeout: Duration::ZERO,
        connection_limit: 0,
    }
}

impl Lab {
    fn new(settings: &ProxySettings, targets: &[SocketAddr]) -> Lab {
        let mut reactor = Reactor::new().unwrap();
        let mut proxy = Proxy::new();
        proxy.bind(&mut reactor, settings).unwrap();
        let address = proxy.listening_on()[0];
        let choice = Choice { targets: targets.to_vec(), ..Choice::default() };
        Lab { reactor, house: House { proxy, choice }, address }
    }

    /// One turn, which a timer ends if nothing happens.
    fn turn(&mut self) {
        let soon = self.reactor.now() + Duration::from_millis(2);
        let guard = self.reactor.wheel.insert(soon, Token::new(Kind::Guest, 0, 0));
        poll::turn(&mut self.reactor, &mut self.house).unwrap();
        self.reactor.wheel.cancel(guard);
    }

    /// Turns until `done`, which may do a little each time.
    fn until(&mut self, what: &str, mut done: impl FnMut(&mut Lab) -> bool) {
        for _ in 0..5000 {
            if done(self) {
                return;
            }
            self.turn();
        }
        panic!("never: {what}; {:?}", self.counters());
    }

    fn turns(&mut self, count: usize) {
        (0..count).for_each(|_| self.turn());
    }

    fn counters(&self) -> Counters {
        *self.house.proxy.counters()
    }

    fn client(&self) -> Peer {
        Peer::new(StdStream::connect(self.address).unwrap())
    }

    /// A client and the target's end of its connection.
    fn pair(&mut self, backend: &StdListener) -> (Peer, Peer) {
        let client = self.client();
        let mut accepted = None;
        let before = self.house.choice.succeeded.len();
        self.until("the target sees a client", |lab| {
            accepted = accepted.take().or_else(|| backend.accept().ok());
            accepted.is_some() && lab.house.choice.succeeded.len() > before
        });
        (client, Peer::new(accepted.unwrap().0))
    }

    /// Nothing of a connection is left.
    fn assert_empty(&mut self) {
        self.until("all connections are gone", |lab| lab.house.proxy.connections() == 0);
        self.turns(2);
        assert_eq!(self.reactor.pool.lent(), 0);
        assert_eq!(self.house.proxy.large.lent(), 0);
        assert_eq!(self.reactor.wheel.len(), 0);
        assert!(!self.house.proxy.has_ready());
        assert_eq!(self.counters().panics, 0);
    }

    fn lent_bytes(&self) -> usize {
        self.reactor.pool.lent() * BUFFER_SIZE + self.house.proxy.large.lent() * relay::BULK_STEP
    }
}

fn backend() -> (StdListener, SocketAddr) {
    let listener = StdListener::bind(LOCALHOST).unwrap();
    listener.set_nonblocking(true).unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

/// An address at which nobody listens.
fn refusing() -> SocketAddr {
    backend().1
}

/// One end that the test plays.
struct Peer {
    stream: StdStream,
    seen: Vec<u8>,
    end: Option<std::io::Result<()>>,
}

impl Peer {
    fn new(stream: StdStream) -> Peer {
        stream.set_nonblocking(true).unwrap();
        Peer { stream, seen: Vec::new(), end: None }
    }

    /// Reads at most `most` bytes of what has come.
    fn read(&mut self, most: usize) {
        let mut piece = vec![0; most];
        match self.stream.read(&mut piece) {
            Ok(0) => self.end = Some(Ok(())),
            Ok(count) => self.seen.extend_from_slice(&piece[..count]),
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(error) => self.end = Some(Err(error)),
        }
    }

    fn saw(&mut self, bytes: &[u8]) -> bool {
        self.read(1 << 20);
        self.seen == bytes
    }

    fn saw_end(&mut self) -> bool {
        self.read(1 << 20);
        matches!(self.end, Some(Ok(())))
    }

    fn saw_reset(&mut self) -> bool {
        self.read(1 << 20);
        match &self.end {
            Some(Err(error)) => error.kind() == ErrorKind::ConnectionReset,
            _ => false,
        }
    }

    /// Writes what fits now, and returns how much that was.
    fn write(&mut self, bytes: &[u8]) -> usize {
        match self.stream.write(bytes) {
            Ok(count) => count,
            Err(error) if error.kind() == ErrorKind::WouldBlock => 0,
            Err(error) => panic!("{error}"),
        }
    }

    fn send(&mut self, bytes: &[u8]) {
        assert_eq!(self.write(bytes), bytes.len());
    }

    fn end(&mut self) {
        self.stream.shutdown(Shutdown::Write).unwrap();
    }

    fn reset(self) {
        socket::reset_on_close(&self.stream).unwrap();
    }
}

/// Bytes that show a lost, doubled or swapped piece.
fn pattern(count: usize) -> Vec<u8> {
    (0..count as u64).map(|n| (n.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as u8).collect()
}

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
    assert!(lab.lent_bytes() <= relay::BULK_STEP, "{}", lab.lent_bytes());
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
fn black_hole() -> (mio::net::TcpListener, SocketAddr, Vec<mio::net::TcpStream>) {
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
fn silence_ends_a_connection_and_activity_prolongs_it() {
    let (backend, address) = backend();
    let settings = ProxySettings { idle_timeout: Duration::from_millis(60), ..settings() };
    let mut lab = Lab::new(&settings, &[address]);
    let (mut client, mut target) = lab.pair(&backend);
    let begin = lab.reactor.now();
    // A byte in either direction, for longer than the limit.
    lab.until("three limits pass", |lab| {
        client.send(b"x");
        lab.turns(3);
        target.send(b"x");
        lab.turns(3);
        lab.reactor.now() > begin + 3 * Duration::from_millis(60)
    });
    assert_eq!(lab.house.proxy.connections(), 1);
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
fn who_waits_at_a_closing_listener_is_still_served() {
    let (backend, address) = backend();
    let mut lab = Lab::new(&settings(), &[address]);
    let mut waiting: Vec<Peer> = (0..50).map(|_| lab.client()).collect();
    waiting.iter_mut().for_each(|client| client.send(b"in time"));
    // The loop must learn of them before the listener closes.
    let readable = Readiness::READABLE;
    let key = lab.house.proxy.listeners.keys()[0];
    lab.house.proxy.collect(key.token(Kind::ProxyListener), readable);
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

#[test]
fn a_busy_connection_lets_others_pass() {
    let (backend, address) = backend();
    let mut lab = Lab::new(&settings(), &[address]);
    let (mut busy, mut sink) = lab.pair(&backend);
    let (mut client, mut target) = lab.pair(&backend);
    let piece = pattern(1 << 20);
    for round in 0..50 {
        while busy.write(&piece) > 0 {}
        client.send(b".");
        let expected = vec![b'.'; round + 1];
        let before = lab.reactor.turns();
        lab.until("the small one passes", |_| target.saw(&expected));
        assert!(lab.reactor.turns() - before < 5, "and does not wait for the large one");
        sink.read(1 << 20);
        sink.seen.clear();
    }
    assert!(lab.counters().bytes_up > 10 << 20);
}

#[test]
fn the_limit_leaves_descriptors_to_others() {
    assert_eq!(connection_limit(0, 1024), (1024 - 128) / 2);
    assert_eq!(connection_limit(100, 1024), 100);
    assert_eq!(connection_limit(5000, 1024), 448);
    assert_eq!(connection_limit(0, 64), 24);
    assert_eq!(connection_limit(0, 0), 1);
    assert!(connection_limit(0, u64::MAX) > 1 << 40);
}

/// A process of its own, because its descriptors run out.
#[test]
fn without_descriptors_the_listener_rests_and_recovers() {
    const NAME: &str = "proxy::tests::without_descriptors_the_listener_rests_and_recovers";
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
