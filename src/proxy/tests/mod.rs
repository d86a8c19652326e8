//! The data plane over real loopback sockets, in a loop that is stepped turn by
//! turn. Nothing here waits for a time; loops are bounded by turns.

mod changes;
mod dials;
mod limits;
mod openings;
mod pipes;
mod streams;

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpListener as StdListener, TcpStream as StdStream};

use super::proxy_header::Version;
use super::udp::UdpTargets;
use super::*;
use crate::reactor::buffer::BUFFER_SIZE;
use crate::reactor::poll::{self, Phases};
use crate::reactor::socket::{self, ConnectOptions};

const LOCALHOST: &str = "127.0.0.1:0";

/// Targets in the order of their trial.
#[derive(Default)]
struct Choice {
    targets: Vec<SocketAddr>,
    no_route: bool,
    /// What targets are told of clients.
    header: Option<Version>,
    /// Listener and client of each question, and the name that was asked for.
    picks: Vec<(SocketAddr, SocketAddr)>,
    names: Vec<Option<String>>,
    /// How many targets were taken at each question.
    loads: Vec<usize>,
    failed: Vec<(SocketAddr, String)>,
    succeeded: Vec<SocketAddr>,
    /// Targets that were picked, and are neither failed nor released.
    taken: Vec<SocketAddr>,
}

impl Choice {
    fn give_back(&mut self, target: SocketAddr) {
        let at = self.taken.iter().position(|taken| *taken == target);
        self.taken.remove(at.expect("a target that was picked"));
    }
}

impl Targets for Choice {
    fn pick(&mut self, _: Time, client: &Client<'_>, tried: &[SocketAddr]) -> Pick {
        self.picks.push((client.local, client.source));
        self.loads.push(self.taken.len());
        self.names.push(client.hello.and_then(|hello| hello.server_name.clone()));
        let left = self.targets.iter().find(|target| !tried.contains(target));
        match left {
            _ if self.no_route => Pick::NoRoute,
            Some(target) => {
                self.taken.push(*target);
                Pick::Target(Picked {
                    address: *target,
                    service: "web".into(),
                    header: self.header,
                })
            }
            None => Pick::NoTarget,
        }
    }
    fn released(&mut self, target: &Picked) {
        self.give_back(target.address);
    }
    fn dial_failed(&mut self, _: Time, target: &Picked, error: &str) {
        self.give_back(target.address);
        self.failed.push((target.address, error.to_owned()));
    }
    fn dial_succeeded(&mut self, _: Time, target: SocketAddr) {
        self.succeeded.push(target);
    }
    fn is_target(&self, target: &Picked) -> bool {
        self.targets.contains(&target.address)
    }
}

/// No datagrams come here.
impl UdpTargets for Choice {
    fn pick_udp(
        &mut self,
        _: Time,
        _: SocketAddr,
        _: SocketAddr,
        _: &[SocketAddr],
    ) -> Pick<SocketAddr> {
        Pick::NoRoute
    }
    fn is_udp_fit(&self, _: SocketAddr, _: SocketAddr, _: SocketAddr) -> bool {
        false
    }
    fn udp_epoch(&self) -> u64 {
        0
    }
    fn udp_refused(&mut self, _: Time, _: SocketAddr, _: &str) {}
    fn udp_answered(&mut self, _: Time, _: SocketAddr) {}
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
        listeners: vec![ListenerSettings::new(LOCALHOST.parse().unwrap())],
        ..ProxySettings::default()
    }
}

impl Lab {
    fn new(settings: &ProxySettings, targets: &[SocketAddr]) -> Lab {
        let mut reactor = Reactor::new().unwrap();
        let mut proxy = Proxy::new(1);
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
        assert_eq!(self.house.proxy.pipes.lent(), 0);
        assert_eq!(self.reactor.wheel.len(), 0);
        assert!(!self.house.proxy.has_ready());
        assert_eq!(self.counters().panics, 0);
        assert_eq!(self.house.choice.taken, [], "targets that were never given back");
    }

    fn lent_bytes(&self) -> usize {
        self.reactor.pool.lent() * BUFFER_SIZE
            + self.house.proxy.large.lent() * relay::BULK_STEP
            + self.house.proxy.pipes.lent() * relay::SPLICE_STEP
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
        if self.end.is_some() {
            return;
        }
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
