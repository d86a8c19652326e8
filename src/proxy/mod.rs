//! The data plane: listeners, and connections relayed to targets.
//!
//! [`Proxy`] owns them all. It does not know routes or health: what it needs
//! of them it asks through [`Targets`]. `relay` has the rules of passing bytes
//! on, `pump` does it to sockets, `tcp` is one connection from its arrival to
//! its end, `listener` takes clients in. `udp` has the
//! listeners and flows of datagrams.
//!
//! Four parts of it are pure: [`proxy_header`] and [`client_hello`] read what a
//! client sends first, [`limits`] counts connections, and [`access_log`] writes
//! a line about each.
//!
//! An idle connection is one slot and two sockets. A connection that waits for
//! a slow reader holds at most one buffer in each direction; when the buffers
//! are used up, others go on without.

pub mod access_log;
mod change;
pub mod client_hello;
mod counters;
pub mod limits;
mod listener;
mod octets;
pub mod proxy_header;
mod pump;
mod relay;
mod settings;
mod targets;
mod tcp;
pub mod udp;

#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use log::{debug, error, warn};
use mio::Interest;
use mio::net::TcpStream;

pub use self::change::Prepared;
pub use self::counters::Counters;
use self::listener::{Accepted, Listener};
use self::pump::{Budget, Tools};
pub use self::settings::{ListenerSettings, ProxySettings};
pub use self::targets::{Pick, Targets};
use self::tcp::{Connection, Ending, Verdict};
use self::udp::{Udp, UdpCounters};
use crate::reactor::buffer::Pool;
use crate::reactor::log_sink::quoted;
use crate::reactor::pipe::Pipes;
use crate::reactor::signal::descriptor_limit;
use crate::reactor::slab::{Key, Slab};
use crate::reactor::socket::{self, ConnectOptions};
use crate::reactor::{Kind, Reactor, Readiness, Time, Token};

/// Buffers for a whole bulk step, 4 MiB at most, and those kept unused. More
/// directions than that go on without one, which costs them a tenth.
const LARGE_BUFFERS: usize = 16;
const SPARE_LARGE_BUFFERS: usize = 2;

/// Most pipes for streams, 64 MiB if all were full, and how many descriptors
/// there must be for each: the two of its own are a small part of them. A
/// stream that finds none is copied.
const PIPES: u64 = 64;
const DESCRIPTORS_PER_PIPE: u64 = 128;

/// What all connections together may spend in one turn: about 2 ms, so that
/// BGP is never kept waiting for longer.
const TURN_BUDGET: Budget = Budget { steps: 512, bytes: 4 * 1024 * 1024 };

/// What a dial costs of it, in steps: it has as many system calls.
const DIAL_STEPS: usize = 4;

/// What a close costs of it: two sockets, each with what is queued in it.
const CLOSE_STEPS: usize = 4;

/// Most clients taken from one listener in a turn: about 1 ms with their dials.
const ACCEPTS_PER_TURN: usize = 32;

/// Most clients taken from a listener that closes: a full backlog.
const ACCEPTS_AT_CLOSE: usize = 4096;

/// Descriptors that connections leave to everything else: BGP, health checks,
/// listeners, operators.
const RESERVED_DESCRIPTORS: u64 = 128;

/// Most connections where nobody set a limit: some containers allow a billion
/// descriptors, and memory for a quarter of a million connections is much.
pub const CONNECTIONS: u64 = 262_144;

/// What an attempt to take a client in came to.
enum Taken {
    Client(Key),
    Failed,
    NoMore,
}

/// The data plane.
#[derive(Debug)]
pub struct Proxy {
    listeners: Slab<Listener>,
    connections: Slab<Connection>,
    udp: Udp,
    /// Connections that can make progress now.
    ready: VecDeque<Key>,
    /// Targets that connections are done with, until somebody is told.
    released: Vec<SocketAddr>,
    large: Pool,
    pipes: Pipes,
    limit: usize,
    at_limit: bool,
    dial_timeout: Duration,
    counters: Counters,
    inject_panic: bool,
}

impl Proxy {
    /// A data plane that listens nowhere.
    pub fn new() -> Proxy {
        Proxy {
            listeners: Slab::new(),
            connections: Slab::new(),
            udp: Udp::new(),
            ready: VecDeque::new(),
            released: Vec::new(),
            large: Pool::new(relay::BULK_STEP, LARGE_BUFFERS, SPARE_LARGE_BUFFERS),
            pipes: Pipes::new(0),
            limit: 0,
            at_limit: false,
            dial_timeout: Duration::ZERO,
            counters: Counters::default(),
            inject_panic: false,
        }
    }

    /// Binds all listeners, or none.
    ///
    /// # Errors
    /// A sentence that names the address and the cause.
    pub fn bind(&mut self, reactor: &mut Reactor, settings: &ProxySettings) -> Result<(), String> {
        let bound: Result<Vec<Listener>, String> = settings
            .listeners
            .iter()
            .map(|listener| Listener::bind(listener, settings.idle_timeout))
            .collect();
        for listener in bound? {
            self.listen(reactor, listener)?;
        }
        let descriptors = descriptor_limit();
        self.udp.bind(reactor, &settings.udp_listeners, descriptors)?;
        let flows = u64::try_from(self.udp.limit()).unwrap_or(u64::MAX);
        let left = descriptors.saturating_sub(flows);
        self.pipes.set_limit(usize::try_from(pipe_limit(left)).unwrap_or_default());
        self.limit = connection_limit(settings.connection_limit, left);
        self.dial_timeout = settings.dial_timeout;
        Ok(())
    }

    /// Takes clients from a bound listener.
    fn listen(&mut self, reactor: &mut Reactor, listener: Listener) -> Result<(), String> {
        let key = self.listeners.insert(listener);
        let Some(listener) = self.listeners.get_mut(key) else { return Ok(()) };
        let address = listener.address();
        let token = key.token(Kind::ProxyListener);
        let registered = reactor.register(listener.socket(), token, Interest::READABLE);
        registered.map_err(|error| {
            self.listeners.remove(key);
            format!("cannot poll the listener on {address}: {error}")
        })
    }

    /// The addresses of all listeners; for port 0 the port that was chosen.
    pub fn listening_on(&self) -> Vec<SocketAddr> {
        self.listeners.iter().map(|(_, listener)| listener.address()).collect()
    }

    /// The same of the listeners of datagrams.
    pub fn listening_for_datagrams_on(&self) -> &[SocketAddr] {
        self.udp.listening_on()
    }

    /// How many connections there are, and flows of datagrams. In a drain: how
    /// many of them are waited for.
    pub fn connections(&self) -> usize {
        self.connections.len().saturating_add(self.udp.awaited())
    }

    /// Most connections that there may be.
    pub fn connection_limit(&self) -> usize {
        self.limit
    }

    /// What happened since the start.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// What happened to datagrams since the start.
    pub fn udp_counters(&self) -> &UdpCounters {
        self.udp.counters()
    }

    /// Panics that were caught at the edge of a connection or a flow.
    pub fn panics(&self) -> u64 {
        self.counters.panics.saturating_add(self.udp.counters().panics)
    }

    /// Makes the handling of the next accepted connection panic, and of the
    /// next flow, or takes that back; for the test of the boundary around each.
    pub fn inject_panic(&mut self, inject: bool) {
        self.inject_panic = inject;
        self.udp.inject_panic(inject);
    }

    /// Collect: remembers what the kernel said about a socket.
    pub fn collect(&mut self, token: Token, readiness: Readiness) {
        if matches!(token.kind, Kind::UdpListener | Kind::UdpFlow) {
            return self.udp.collect(token, readiness);
        }
        if token.kind == Kind::ProxyListener {
            if let Some(listener) = self.listeners.get_mut(token.into()) {
                listener.event(readiness);
            }
            return;
        }
        let Some(connection) = self.connections.get_mut(token.into()) else { return };
        match token.kind {
            Kind::Upstream => connection.target_event(readiness),
            _ => connection.client_event(readiness),
        }
        self.queue(token.into());
    }

    /// Expire: remembers that a timer fired.
    pub fn expired(&mut self, _reactor: &mut Reactor, token: Token) {
        if token.kind == Kind::UdpListener {
            return self.udp.expired();
        }
        if token.kind == Kind::ProxyListener {
            if let Some(listener) = self.listeners.get_mut(token.into()) {
                listener.fired();
            }
        } else if let Some(connection) = self.connections.get_mut(token.into()) {
            connection.fired();
            self.queue(token.into());
        }
    }

    /// Data: serves the flows and the connections that can make progress, in
    /// turn, until the turn's budgets are spent.
    pub fn data(&mut self, reactor: &mut Reactor, targets: &mut dyn Targets) {
        self.udp.data(reactor, targets);
        self.tell_released(targets);
        let mut budget = TURN_BUDGET;
        // Those that want another turn queue up behind the ones that are here.
        for _ in 0..self.ready.len() {
            if budget.is_spent() {
                return;
            }
            let Some(key) = self.ready.pop_front() else { return };
            if let Some(connection) = self.connections.get_mut(key) {
                connection.queued = false;
                self.serve(reactor, targets, key, &mut budget);
            }
        }
    }

    /// Accept: takes clients in, a bounded number from each listener, and none
    /// above the limit.
    pub fn accept(&mut self, reactor: &mut Reactor, targets: &mut dyn Targets) {
        self.tell_released(targets);
        if !self.can_accept() {
            return;
        }
        let mut budget = TURN_BUDGET;
        for key in self.listeners.keys() {
            for _ in 0..ACCEPTS_PER_TURN {
                match self.accept_one(reactor, key) {
                    Taken::Client(client) => {
                        self.serve(reactor, targets, client, &mut budget);
                    }
                    Taken::Failed => {}
                    Taken::NoMore => break,
                }
            }
        }
    }

    /// Flush: slots that were freed in this turn may be used again.
    pub fn flush(&mut self, _reactor: &mut Reactor) {
        self.connections.reclaim();
        self.listeners.reclaim();
        self.udp.flush();
    }

    /// Whether anything can make progress without another event.
    pub fn has_ready(&self) -> bool {
        !self.ready.is_empty() || self.can_accept() || self.udp.has_ready()
    }

    /// Closes all listeners, after taking in who waits at them: to be closed
    /// with a client in the queue resets it. Those of datagrams stay open for
    /// their flows.
    pub fn close_listeners(&mut self, reactor: &mut Reactor, _targets: &mut dyn Targets) {
        self.udp.begin_drain();
        for key in self.listeners.keys() {
            self.close_listener(reactor, key);
        }
    }

    fn close_listener(&mut self, reactor: &mut Reactor, key: Key) {
        if let Some(listener) = self.listeners.get_mut(key) {
            // Whoever came since the poll has made no event yet.
            listener.event(Readiness::READABLE);
        }
        for _ in 0..ACCEPTS_AT_CLOSE {
            // They are dialled in the data phases that follow, within
            // their budgets.
            match self.accept_one(reactor, key) {
                Taken::Client(client) => self.queue(client),
                Taken::Failed => {}
                Taken::NoMore => break,
            }
        }
        if let Some(mut listener) = self.listeners.remove(key) {
            listener.clear(&mut reactor.wheel);
        }
    }

    /// Cuts all connections: their ends are resets, because they are not the
    /// ends of their streams. Flows end in silence.
    pub fn abort_all(&mut self, reactor: &mut Reactor) {
        self.udp.close(reactor);
        for key in self.connections.keys() {
            self.close(reactor, key, Ending::Reset);
        }
        self.ready.clear();
    }

    fn tell_released(&mut self, targets: &mut dyn Targets) {
        self.released.drain(..).for_each(|target| targets.released(target));
    }

    fn can_accept(&self) -> bool {
        self.connections.len() < self.limit
            && self.listeners.iter().any(|(_, listener)| listener.is_ready())
    }

    fn queue(&mut self, key: Key) {
        let connection = self.connections.get_mut(key);
        if connection.is_some_and(|it| !std::mem::replace(&mut it.queued, true)) {
            self.ready.push_back(key);
        }
    }

    /// Accepts one client, unless the limit is reached.
    fn accept_one(&mut self, reactor: &mut Reactor, key: Key) -> Taken {
        if self.connections.len() >= self.limit {
            if !std::mem::replace(&mut self.at_limit, true) {
                count(&mut self.counters.limit_reached);
                warn!(
                    "proxy event=limit_reached connections={} effect=\"clients wait\" \
                     key=proxy.connectionlimit",
                    self.limit
                );
            }
            return Taken::NoMore;
        }
        self.at_limit = false;
        let Some(listener) = self.listeners.get_mut(key).filter(|listener| listener.is_ready())
        else {
            return Taken::NoMore;
        };
        let now = reactor.now();
        match listener.accept(now) {
            Accepted::Client(stream, peer) => {
                let (address, limits) = (listener.address(), listener.limits());
                self.admit(reactor, Connection::new(now, stream, peer, address, limits))
            }
            Accepted::Nobody => Taken::NoMore,
            Accepted::Failed => {
                count(&mut self.counters.accept_errors);
                Taken::Failed
            }
            Accepted::Paused => {
                count(&mut self.counters.accept_errors);
                listener.pause(now, &mut reactor.wheel, key.token(Kind::ProxyListener));
                Taken::NoMore
            }
        }
    }

    /// Gives a client a slot and registers it, once for its whole life.
    fn admit(&mut self, reactor: &mut Reactor, mut connection: Connection) -> Taken {
        count(&mut self.counters.accepted);
        connection.sabotaged = std::mem::take(&mut self.inject_panic);
        let key = self.connections.insert(connection);
        let Some(connection) = self.connections.get_mut(key) else { return Taken::Failed };
        let token = key.token(Kind::Client);
        if let Err(error) = register(reactor, connection.client_stream(), token) {
            debug!("proxy event=register_failed error={}", quoted(error));
            count(&mut self.counters.accept_errors);
            self.close(reactor, key, Ending::Unserved);
            return Taken::Failed;
        }
        Taken::Client(key)
    }

    /// Serves one connection as far as it goes now. Its own handling runs
    /// inside an unwind boundary; the questions to `targets`, which all
    /// connections share, do not.
    fn serve(
        &mut self,
        reactor: &mut Reactor,
        targets: &mut dyn Targets,
        key: Key,
        budget: &mut Budget,
    ) {
        loop {
            let Some(connection) = self.connections.get_mut(key) else { return };
            let now = reactor.now();
            let mut tools = Tools {
                now,
                scratch: &mut reactor.scratch,
                small: &mut reactor.pool,
                large: &mut self.large,
                pipes: &mut self.pipes,
                counters: &mut self.counters,
                budget: &mut *budget,
            };
            let advance = AssertUnwindSafe(|| connection.advance(&mut tools));
            let Ok(verdict) = catch_unwind(advance) else {
                return self.drop_after_panic(reactor, key);
            };
            match verdict {
                Verdict::Wait => {
                    connection.arm(&mut reactor.wheel, key.token(Kind::Client));
                    return;
                }
                Verdict::Again => {
                    connection.arm(&mut reactor.wheel, key.token(Kind::Client));
                    return self.queue(key);
                }
                Verdict::Dial => {
                    budget.spend(DIAL_STEPS, 0);
                    self.dial(reactor, targets, key);
                }
                Verdict::Connected(target) => targets.dial_succeeded(now, target),
                Verdict::DialFailed(target, error) => {
                    self.dial_failed(now, targets, key, target, &error);
                }
                Verdict::Close(ending) => {
                    budget.spend(CLOSE_STEPS, 0);
                    return self.close(reactor, key, ending);
                }
            }
        }
    }

    /// Asks for a target and starts to dial it.
    fn dial(&mut self, reactor: &mut Reactor, targets: &mut dyn Targets, key: Key) {
        let now = reactor.now();
        let Some(connection) = self.connections.get_mut(key) else { return };
        let (listener, peer) = (connection.listener(), connection.peer());
        let pick = match connection.may_dial() {
            true => targets.pick(now, listener, peer, connection.tried()),
            false => Pick::NoTarget,
        };
        let counter = match pick {
            Pick::Target(address) => return self.dial_target(reactor, targets, key, address),
            Pick::NoRoute => &mut self.counters.no_route,
            Pick::NoTarget => &mut self.counters.no_target,
            Pick::Denied => &mut self.counters.denied,
        };
        count(counter);
        let tried = connection.tried().len();
        debug!(
            "proxy event=unserved client={peer} listener={listener} pick={pick:?} tried={tried}"
        );
        self.close(reactor, key, Ending::Unserved);
    }

    fn dial_target(
        &mut self,
        reactor: &mut Reactor,
        targets: &mut dyn Targets,
        key: Key,
        address: SocketAddr,
    ) {
        let now = reactor.now();
        let options = ConnectOptions { nodelay: true, ..ConnectOptions::default() };
        let dialled = socket::connect(address, &options).and_then(|mut stream| {
            register(reactor, &mut stream, key.token(Kind::Upstream))?;
            Ok(stream)
        });
        let Some(connection) = self.connections.get_mut(key) else { return };
        match dialled {
            Ok(stream) => connection.dialing(now, stream, address, self.dial_timeout),
            Err(error) if socket::is_exhaustion(&error) => {
                // Not the target's fault.
                self.released.push(address);
                count(&mut self.counters.dials_exhausted);
                debug!("proxy event=dial_exhausted target={address} error={}", quoted(&error));
                if error.kind() == io::ErrorKind::AddrNotAvailable {
                    // Ports run out for each target by itself.
                    return connection.dial_failed(address);
                }
                // Whoever comes next waits in the backlog until something is
                // given back.
                self.close(reactor, key, Ending::Unserved);
                for (key, listener) in self.listeners.iter_mut() {
                    listener.pause(now, &mut reactor.wheel, key.token(Kind::ProxyListener));
                }
            }
            Err(error) => self.dial_failed(now, targets, key, address, &error.to_string()),
        }
    }

    fn dial_failed(
        &mut self,
        now: Time,
        targets: &mut dyn Targets,
        key: Key,
        target: SocketAddr,
        error: &str,
    ) {
        count(&mut self.counters.dial_failures);
        if let Some(connection) = self.connections.get_mut(key) {
            connection.dial_failed(target);
        }
        targets.dial_failed(now, target, error);
    }

    fn drop_after_panic(&mut self, reactor: &mut Reactor, key: Key) {
        count(&mut self.counters.panics);
        if let Some(connection) = self.connections.get(key) {
            let peer = connection.peer();
            error!("proxy event=panic client={peer} effect=\"this connection is dropped\"");
        }
        self.close(reactor, key, Ending::Reset);
    }

    fn close(&mut self, reactor: &mut Reactor, key: Key, ending: Ending) {
        let Some(mut connection) = self.connections.remove(key) else { return };
        match ending {
            Ending::Finished => {}
            Ending::Unserved => connection.discard_input(&mut reactor.scratch),
            Ending::Reset => count(&mut self.counters.resets),
            Ending::Silent(..) => count(&mut self.counters.silent),
        }
        let (up, down) = connection.bytes();
        debug!(
            "proxy event=closed client={} target={} ending=\"{ending:?}\" up={up} down={down}",
            connection.peer(),
            connection.target().map_or_else(|| "none".to_owned(), |target| target.to_string())
        );
        self.released.extend(connection.target());
        let (small, large) = (&mut reactor.pool, &mut self.large);
        connection.close(ending, small, large, &mut self.pipes, &mut reactor.wheel);
    }
}

impl Default for Proxy {
    fn default() -> Self {
        Proxy::new()
    }
}

/// One registration for everything that a socket of a connection will tell.
fn register(reactor: &mut Reactor, stream: &mut TcpStream, token: Token) -> io::Result<()> {
    let all = Interest::READABLE | Interest::WRITABLE | Interest::PRIORITY;
    reactor.register(stream, token, all)
}

fn count(counter: &mut u64) {
    *counter = counter.saturating_add(1);
}

fn pipe_limit(descriptors: u64) -> u64 {
    PIPES.min(descriptors / DESCRIPTORS_PER_PIPE)
}

/// Most connections: `configured`, but no more than have two descriptors each
/// of the process's limit, less what pipes take. A quarter is left alone if
/// that is less than the usual reserve.
fn connection_limit(configured: u32, descriptors: u64) -> usize {
    let pipes = pipe_limit(descriptors).saturating_mul(2);
    let reserve = RESERVED_DESCRIPTORS.min(descriptors / 4).saturating_add(pipes);
    let possible = (descriptors.saturating_sub(reserve) / 2).max(1);
    let limit = match configured {
        0 => possible.min(CONNECTIONS),
        configured => possible.min(configured.into()),
    };
    usize::try_from(limit).unwrap_or(usize::MAX)
}
