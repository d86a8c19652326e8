//! The data plane: listeners, and connections relayed to targets.
//!
//! [`Proxy`] owns them all. It does not know routes or health: what it needs
//! of them it asks through [`Targets`]. `listener` is a socket on which clients
//! come, `intake` takes them in, and `tcp` is one connection from then to its
//! end, whose wishes `serve` fulfils. `pump` moves bytes. `dynamic` has the
//! listeners of `proto=tcp-dynamic`, `change` is a reload. `udp` has the
//! listeners and flows of datagrams.
//!
//! Some parts are pure: `opening` is what a client says first, which
//! [`proxy_header`] and [`client_hello`] read, `relay` the rules of passing
//! bytes on, [`limits`] counts connections, and [`access_log`] writes
//! a line about each.
//!
//! An idle connection is one slot and two sockets. A connection that waits for
//! a slow reader holds at most one buffer or pipe in each direction; when these
//! are used up, others go on without.

pub mod access_log;
mod change;
pub mod client_hello;
mod counters;
mod dynamic;
mod intake;
pub mod limits;
mod listener;
mod octets;
mod opening;
pub mod proxy_header;
mod pump;
mod relay;
mod serve;
mod settings;
mod targets;
mod tcp;
pub mod udp;
mod view;

#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use mio::Interest;
use mio::net::TcpStream;

use self::access_log::{AccessLog, Ending as Why};
pub use self::change::Prepared;
pub use self::counters::Counters;
use self::dynamic::Dynamic;
use self::limits::{Limits, SourceSettings};
use self::listener::Listener;
pub use self::opening::HeaderSettings;
use self::pump::Budget;
use self::relay::Limits as Silences;
pub use self::settings::{ListenerSettings, ProxySettings};
pub use self::targets::{Client, Pick, Picked, Targets};
use self::tcp::{Connection, Ending};
use self::udp::{Udp, UdpCounters};
pub use self::view::{Lent, Listening};
use crate::health::probe::checks_beyond_reserve;
use crate::reactor::buffer::Pool;
use crate::reactor::pipe::Pipes;
use crate::reactor::signal::descriptor_limit;
use crate::reactor::slab::{Key, Slab};
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

/// Most clients taken from one listener in a turn: about 1 ms with their dials.
const ACCEPTS_PER_TURN: usize = 32;

/// Most clients taken from a listener that closes: a full backlog.
const ACCEPTS_AT_CLOSE: usize = 4096;

/// Most slots of connections that are looked at in a turn after their targets
/// changed.
const SWEPT_PER_TURN: u32 = 1000;

/// Descriptors that connections leave to everything else: BGP, the first health
/// checks, listeners, operators.
const RESERVED_DESCRIPTORS: u64 = 128;

/// Most connections where nobody set a limit: some containers allow a billion
/// descriptors, and memory for a quarter of a million connections is much.
pub const CONNECTIONS: u64 = 262_144;

/// The data plane.
#[derive(Debug)]
pub struct Proxy {
    listeners: Slab<Listener>,
    dynamic: Dynamic,
    connections: Slab<Connection>,
    udp: Udp,
    /// Connections that can make progress now.
    ready: VecDeque<Key>,
    /// Targets that connections are done with, until somebody is told.
    released: Vec<Picked>,
    large: Pool,
    pipes: Pipes,
    /// Who may be taken in, and how many there are.
    admission: Limits,
    access_log: Option<AccessLog>,
    seed: u64,
    limit: usize,
    at_limit: bool,
    /// The place of the listener that takes clients in first: where the budget
    /// of the turn before was spent.
    next: u32,
    /// The limits of silence that all connections have.
    silences: Silences,
    dial_timeout: Duration,
    /// How long a connection goes on whose target left the routes.
    removed_target_wait: Option<Duration>,
    /// Where the walk over all connections is that looks for such.
    sweep: Option<u32>,
    counters: Counters,
    inject_panic: bool,
}

/// Whether a socket is bound to what was asked for.
fn is_meant(asked: SocketAddr, bound: SocketAddr) -> bool {
    asked.ip() == bound.ip() && (asked.port() == 0 || asked.port() == bound.port())
}

impl Proxy {
    /// A data plane that listens nowhere. `seed` is what no client knows.
    pub fn new(seed: u64) -> Proxy {
        Proxy {
            listeners: Slab::new(),
            dynamic: Dynamic::new(),
            connections: Slab::new(),
            udp: Udp::new(),
            ready: VecDeque::new(),
            released: Vec::new(),
            large: Pool::new(relay::BULK_STEP, LARGE_BUFFERS, SPARE_LARGE_BUFFERS),
            pipes: Pipes::new(0),
            admission: Limits::new(&SourceSettings::default(), seed),
            access_log: None,
            seed,
            limit: 0,
            at_limit: false,
            next: 0,
            silences: Silences::default(),
            dial_timeout: Duration::ZERO,
            removed_target_wait: None,
            sweep: None,
            counters: Counters::default(),
            inject_panic: false,
        }
    }

    /// Binds all listeners, or none.
    ///
    /// # Errors
    /// A sentence that names the address and the cause.
    pub fn bind(&mut self, reactor: &mut Reactor, settings: &ProxySettings) -> Result<(), String> {
        self.admission = Limits::new(&settings.sources, self.seed);
        let bound: Result<Vec<Listener>, String> =
            settings.listeners.iter().map(|it| Listener::bind(it, silences(settings))).collect();
        for listener in bound? {
            self.listen(reactor, listener)?;
        }
        self.udp.bind(reactor, &settings.udp_listeners, descriptor_limit())?;
        self.take(settings);
        self.set_templates(settings);
        Ok(())
    }

    /// Takes the settings that hold from the next use on.
    fn take(&mut self, settings: &ProxySettings) {
        let flows = u64::try_from(self.udp.limit()).unwrap_or(u64::MAX);
        let descriptors = descriptor_limit().saturating_sub(flows);
        self.limit = connection_limit(settings.connection_limit, descriptors);
        self.pipes.set_limit(usize::try_from(pipe_limit(descriptors)).unwrap_or_default());
        self.silences = silences(settings);
        self.dial_timeout = settings.dial_timeout;
        self.removed_target_wait = settings.removed_target_wait;
        self.admission.set_sources(&settings.sources);
    }

    /// Takes clients from a bound listener.
    fn listen(&mut self, reactor: &mut Reactor, mut listener: Listener) -> Result<(), String> {
        listener.set_id(self.admission.add_listener(listener.connection_limit()));
        let key = self.listeners.insert(listener);
        let Some(listener) = self.listeners.get_mut(key) else { return Ok(()) };
        let address = listener.address();
        let token = key.token(Kind::ProxyListener);
        let id = listener.id();
        let registered = reactor.register(listener.socket(), token, Interest::READABLE);
        registered.map_err(|error| {
            self.admission.remove_listener(id);
            self.listeners.remove(key);
            format!("cannot poll the listener on {address}: {error}")
        })
    }

    /// Writes a line about each connection that is over.
    pub fn log_accesses(&mut self, reactor: &mut Reactor, mut log: AccessLog) {
        log.attach(reactor, Token::new(Kind::AccessLog, 0, 0));
        self.access_log = Some(log);
    }

    /// The last lines of the access log leave, as far as their reader takes
    /// them.
    pub fn flush_at_exit(&mut self) {
        self.access_log.iter_mut().for_each(AccessLog::flush_at_exit);
    }

    /// The addresses of all listeners that the settings name; for port 0 the
    /// port that was chosen.
    pub fn listening_on(&self) -> Vec<SocketAddr> {
        self.static_listeners().map(Listener::address).collect()
    }

    /// Whether connections are accepted on this address; port 0 stands for any
    /// port of it.
    pub fn is_bound(&self, address: SocketAddr) -> bool {
        self.static_listeners().any(|listener| is_meant(address, listener.address()))
    }

    /// The same of datagrams.
    pub fn is_bound_for_datagrams(&self, address: SocketAddr) -> bool {
        self.udp.listening_on().iter().any(|bound| is_meant(address, *bound))
    }

    /// Whether the listener on this address waits for a ClientHello, whose server
    /// name has the route.
    pub fn waits_for_names(&self, address: SocketAddr) -> bool {
        let mut all = self.static_listeners();
        all.any(|listener| listener.address() == address && listener.waits_for_names())
    }

    /// Whether a connection may have come to this address: it did, or it came by a
    /// listener on all addresses, or there are too many to look at each.
    pub fn may_have_clients_at(&self, address: IpAddr) -> bool {
        const MOST_LOOKED_AT: usize = 10_000;
        let is_crowded = self.connections.len() > MOST_LOOKED_AT;
        is_crowded
            || self.connections.iter().any(|(_, connection)| {
                let local = connection.local().ip().to_canonical();
                local == address || local.is_unspecified()
            })
    }

    fn static_listeners(&self) -> impl Iterator<Item = &Listener> {
        self.listeners.iter().map(|(_, listener)| listener).filter(|it| !it.is_dynamic())
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
        match token.kind {
            Kind::UdpListener | Kind::UdpFlow => return self.udp.collect(token, readiness),
            Kind::AccessLog => return self.access_log.iter_mut().for_each(AccessLog::writable),
            _ => {}
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
            if self.retry_ports(token) {
                return;
            }
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
        self.change_ports(reactor);
        self.sweep(reactor.now(), targets);
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

    /// Flush: slots that were freed in this turn may be used again.
    pub fn flush(&mut self, reactor: &mut Reactor) {
        self.access_log.iter_mut().for_each(|log| log.flush(reactor.now()));
        self.connections.reclaim();
        self.listeners.reclaim();
        self.udp.flush();
    }

    /// Whether anything can make progress without another event.
    pub fn has_ready(&self) -> bool {
        !self.ready.is_empty()
            || self.can_accept()
            || self.sweep.is_some()
            || self.dynamic.is_changing()
            || self.connections.is_searching()
            || self.udp.has_ready()
    }

    /// Closes all listeners, after taking in who waits at them: to be closed
    /// with a client in the queue resets it. Those of datagrams stay open for
    /// their flows.
    pub fn close_listeners(&mut self, reactor: &mut Reactor, _targets: &mut dyn Targets) {
        self.udp.begin_drain();
        self.dynamic.stop(reactor);
        for key in self.listeners.keys() {
            self.close_listener(reactor, key);
        }
    }

    /// Cuts all connections: their ends are resets, because they are not the
    /// ends of their streams. Flows end in silence.
    pub fn abort_all(&mut self, reactor: &mut Reactor) {
        self.udp.close(reactor);
        for key in self.connections.keys() {
            self.close(reactor, key, Ending::reset(Why::Stopped));
        }
        self.ready.clear();
    }

    /// Says that other targets are there than before: who is connected to one
    /// that is gone goes on as long as the settings say.
    pub fn targets_changed(&mut self) {
        self.sweep = Some(0);
    }

    /// Looks at some connections whether their targets are still there.
    fn sweep(&mut self, now: Time, targets: &dyn Targets) {
        let Some(begin) = self.sweep.take() else { return };
        let end = begin.saturating_add(SWEPT_PER_TURN);
        for at in begin..end {
            let Some(key) = self.connections.key_at(at) else { continue };
            let Some(connection) = self.connections.get_mut(key) else { continue };
            let Some(target) = connection.target() else { continue };
            let is_gone = !targets.is_target(target);
            let wait = self.removed_target_wait.filter(|_| is_gone);
            if connection.leave_by(wait.map(|wait| now + wait)) {
                self.queue(key);
            }
        }
        let is_over = usize::try_from(end).is_ok_and(|end| end >= self.connections.slots());
        self.sweep = (!is_over).then_some(end);
    }

    fn tell_released(&mut self, targets: &mut dyn Targets) {
        self.released.drain(..).for_each(|target| targets.released(&target));
    }

    fn queue(&mut self, key: Key) {
        let connection = self.connections.get_mut(key);
        if connection.is_some_and(|it| !std::mem::replace(&mut it.queued, true)) {
            self.ready.push_back(key);
        }
    }
}

/// One registration for everything that a socket of a connection will tell.
fn register(reactor: &mut Reactor, stream: &mut TcpStream, token: Token) -> io::Result<()> {
    let all = Interest::READABLE | Interest::WRITABLE | Interest::PRIORITY;
    reactor.register(stream, token, all)
}

fn silences(settings: &ProxySettings) -> Silences {
    Silences {
        idle: settings.idle_timeout,
        half_closed: settings.half_closed_timeout,
        ..Silences::default()
    }
}

fn count(counter: &mut u64) {
    *counter = counter.saturating_add(1);
}

fn pipe_limit(descriptors: u64) -> u64 {
    PIPES.min(descriptors / DESCRIPTORS_PER_PIPE)
}

/// Most connections: `configured`, but no more than have two descriptors each
/// of the process's limit, less what pipes and many health checks take. A
/// quarter is left alone if that is less than the usual reserve.
fn connection_limit(configured: u32, descriptors: u64) -> usize {
    let pipes = pipe_limit(descriptors).saturating_mul(2);
    let reserve = RESERVED_DESCRIPTORS.min(descriptors / 4).saturating_add(pipes);
    let reserve = reserve.saturating_add(checks_beyond_reserve(descriptors));
    let possible = (descriptors.saturating_sub(reserve) / 2).max(1);
    let limit = match configured {
        0 => possible.min(CONNECTIONS),
        configured => possible.min(configured.into()),
    };
    usize::try_from(limit).unwrap_or(usize::MAX)
}
