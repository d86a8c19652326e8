//! A listening socket of the data plane: bound once, paused when the system
//! has nothing left to give, drained before it closes.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::rc::Rc;
use std::time::Duration;

use log::warn;
use mio::net::{TcpListener, TcpStream};

use super::ListenerSettings;
use super::limits::ListenerId;
use super::opening::Expected;
use super::relay::Limits;
use crate::reactor::log_sink::quoted;
use crate::reactor::socket::{self, ListenOptions};
use crate::reactor::timer_wheel::{Alarm, TimerWheel};
use crate::reactor::{Readiness, Time, Token};

/// How long a listener rests when the system is out of descriptors or memory:
/// ten turns a second, and nobody waits long once there are some.
const PAUSE: Duration = Duration::from_millis(100);

/// Time between two log lines about failures of one listener.
const LOG_INTERVAL: Duration = Duration::from_secs(1);

/// Idle time before keep-alive probes ask whether a client is still there, as
/// in fabio.
const KEEPALIVE: Duration = Duration::from_secs(180);

/// What an attempt to accept came to.
#[derive(Debug)]
pub(super) enum Accepted {
    /// A client, and its address (an IPv4 one as such).
    Client(TcpStream, SocketAddr),
    /// Nobody waits.
    Nobody,
    /// One client could not be accepted; the next one may.
    Failed,
    /// None can be accepted for now; the listener rests.
    Paused,
}

/// A listening socket.
#[derive(Debug)]
pub(super) struct Listener {
    settings: ListenerSettings,
    socket: TcpListener,
    address: SocketAddr,
    limits: Limits,
    expected: Rc<Expected>,
    id: ListenerId,
    /// It has as many connections as it may.
    at_limit: bool,
    /// Someone may wait to be accepted.
    readable: bool,
    paused: bool,
    alarm: Alarm,
    /// Failures that the log does not tell of yet, and when it may.
    untold: u64,
    tell_at: Time,
}

impl Listener {
    /// Binds and listens. Accepted sockets inherit TCP_NODELAY and keep-alive,
    /// which saves two system calls on each connection.
    ///
    /// # Errors
    /// A sentence with the address and the cause.
    pub(super) fn bind(settings: &ListenerSettings, base: Limits) -> Result<Listener, String> {
        let named = |error: io::Error| bind_help(settings.address, false, &error);
        let socket = listen(settings).map_err(named)?;
        socket::set_nodelay(&socket).map_err(named)?;
        socket::set_keepalive(&socket, KEEPALIVE).map_err(named)?;
        Ok(Listener {
            address: socket.local_addr().map_err(named)?,
            settings: settings.clone(),
            socket,
            limits: limits(settings, base),
            expected: expected(settings),
            id: ListenerId::default(),
            at_limit: false,
            readable: false,
            paused: false,
            alarm: Alarm::new(),
            untold: 0,
            tell_at: Time::ZERO,
        })
    }

    /// What its connections are counted as.
    pub(super) fn set_id(&mut self, id: ListenerId) {
        self.id = id;
    }

    /// What its connections are counted as.
    pub(super) fn id(&self) -> ListenerId {
        self.id
    }

    /// Most connections at a time; zero: no limit of its own.
    pub(super) fn connection_limit(&self) -> u32 {
        self.settings.connection_limit
    }

    /// What its clients say first.
    pub(super) fn expected(&self) -> &Rc<Expected> {
        &self.expected
    }

    /// Says whether it has just reached its limit of connections.
    pub(super) fn note_limit(&mut self, at_limit: bool) -> bool {
        !std::mem::replace(&mut self.at_limit, at_limit) && at_limit
    }

    /// Whether it is the socket that these settings ask for.
    pub(super) fn is_for(&self, settings: &ListenerSettings) -> bool {
        let key = |it: &ListenerSettings| (it.address, it.dual_stack, it.dynamic);
        key(&self.settings) == key(settings)
    }

    /// Whether it may have to be closed before a socket on this port is bound.
    pub(super) fn is_on_port(&self, port: u16) -> bool {
        self.settings.address.port() == port
    }

    /// Gives the connections that are accepted from now on other limits.
    pub(super) fn change(&mut self, settings: &ListenerSettings, base: Limits) {
        self.limits = limits(settings, base);
        self.expected = expected(settings);
        self.settings = settings.clone();
    }

    /// Where it listens; the port is the one that the system chose for port 0.
    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where a client came to. A dynamic listener's routes may be those of one
    /// of its addresses.
    pub(super) fn local_address(&self, stream: &TcpStream) -> SocketAddr {
        match self.settings.dynamic && self.address.ip().is_unspecified() {
            true => stream.local_addr().unwrap_or(self.address),
            false => self.address,
        }
    }

    /// Where it was told to listen: with port 0 for a port that the system
    /// chose.
    pub(super) fn asked_address(&self) -> SocketAddr {
        self.settings.address
    }

    /// Whether it was told to serve IPv4 on its IPv6 socket.
    pub(super) fn is_dual_stack(&self) -> bool {
        self.settings.dual_stack
    }

    /// Whether its clients say first which server they want.
    pub(super) fn waits_for_names(&self) -> bool {
        self.settings.hello_timeout.is_some()
    }

    /// Whether it listens because a route says so.
    pub(super) fn is_dynamic(&self) -> bool {
        self.settings.dynamic
    }

    /// The limits of silence of its connections.
    pub(super) fn limits(&self) -> Limits {
        self.limits
    }

    /// The socket, to be registered.
    pub(super) fn socket(&mut self) -> &mut TcpListener {
        &mut self.socket
    }

    /// The socket said something.
    pub(super) fn event(&mut self, readiness: Readiness) {
        self.readable |= readiness.intersects(Readiness::READABLE | Readiness::ERROR);
    }

    /// Whether an attempt to accept makes sense now.
    pub(super) fn is_ready(&self) -> bool {
        self.readable && !self.paused
    }

    /// Rests for [`PAUSE`].
    pub(super) fn pause(&mut self, now: Time, wheel: &mut TimerWheel, token: Token) {
        self.paused = true;
        self.alarm.set(wheel, token, Some(now + PAUSE));
    }

    /// The rest is over.
    pub(super) fn fired(&mut self) {
        self.alarm.fired();
        self.paused = false;
    }

    /// Takes the timer out of the wheel, before the listener goes away.
    pub(super) fn clear(&mut self, wheel: &mut TimerWheel) {
        self.alarm.clear(wheel);
    }

    /// Accepts one client, if one waits. Only `WouldBlock` says that nobody
    /// does.
    pub(super) fn accept(&mut self, now: Time) -> Accepted {
        match socket::accept(&self.socket) {
            Ok((stream, peer)) => {
                let peer = SocketAddr::new(peer.ip().to_canonical(), peer.port());
                Accepted::Client(stream, peer)
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                self.readable = false;
                Accepted::Nobody
            }
            Err(error) => {
                self.tell(now, &error);
                match socket::is_of_one_connection(&error) {
                    true => Accepted::Failed,
                    false => Accepted::Paused,
                }
            }
        }
    }

    fn tell(&mut self, now: Time, error: &io::Error) {
        self.untold = self.untold.saturating_add(1);
        if now < self.tell_at {
            return;
        }
        warn!(
            "proxy event=accept_failed listener={} failures={} error={}",
            self.address,
            self.untold,
            quoted(error)
        );
        self.untold = 0;
        self.tell_at = now + LOG_INTERVAL;
    }
}

/// The limits of silence of a listener's connections, over those of all.
fn limits(settings: &ListenerSettings, base: Limits) -> Limits {
    Limits { read: settings.read_timeout, write: settings.write_timeout, ..base }
}

fn expected(settings: &ListenerSettings) -> Rc<Expected> {
    Rc::new(Expected { header: settings.header.clone(), hello: settings.hello_timeout })
}

fn listen(settings: &ListenerSettings) -> io::Result<TcpListener> {
    let options = ListenOptions {
        v6_only: !settings.dual_stack,
        freebind: settings.freebind,
        ..ListenOptions::default()
    };
    match socket::listen(settings.address, &options) {
        // A system without IPv6: the IPv4 half is all that there is.
        Err(error) if settings.dual_stack && socket::has_no_ipv6(&error) => {
            let any = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
            socket::listen(SocketAddr::new(any, settings.address.port()), &options)
        }
        other => other,
    }
}

/// Why a listener cannot be opened, of connections or of datagrams, and what to
/// do about it.
pub(super) fn bind_help(address: SocketAddr, is_datagram: bool, error: &io::Error) -> String {
    let (what, flags, example) = match is_datagram {
        true => (" with proto=udp", "-lunp", ":53"),
        false => ("", "-ltnp", ":80"),
    };
    let advice = match error.kind() {
        io::ErrorKind::PermissionDenied => {
            "ports below 1024 need root or CAP_NET_BIND_SERVICE; or listen on a higher one"
        }
        io::ErrorKind::AddrInUse => &format!("another process holds it; `ss {flags}` shows which"),
        io::ErrorKind::AddrNotAvailable => &format!(
            "it is not an address of this host; add it, or let freebind=true listen without it, \
             or listen on the port alone, as in {example}"
        ),
        _ => "see proxy.addr",
    };
    format!("proxy.addr: cannot listen on {address}{what}: {error}; {advice}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reactor::{Kind, Reactor};
    use std::net::TcpStream as StdStream;

    fn settings(address: &str, dual_stack: bool) -> ListenerSettings {
        ListenerSettings { dual_stack, ..ListenerSettings::new(address.parse().unwrap()) }
    }

    fn bind(address: &str, dual_stack: bool) -> Listener {
        Listener::bind(&settings(address, dual_stack), Limits::default()).unwrap()
    }

    /// Accepts the connection that is on its way.
    fn accept(listener: &mut Listener) -> (TcpStream, SocketAddr) {
        for _ in 0..1_000_000 {
            if let Accepted::Client(stream, peer) = listener.accept(Time::ZERO) {
                return (stream, peer);
            }
        }
        panic!("nobody came");
    }

    #[test]
    fn a_port_alone_serves_both_families_and_ipv4_clients_keep_their_address() {
        let mut listener = bind("[::]:0", true);
        let port = listener.address().port();
        for localhost in ["127.0.0.1", "::1"] {
            let localhost: IpAddr = localhost.parse().unwrap();
            let client = StdStream::connect((localhost, port)).unwrap();
            let (stream, peer) = accept(&mut listener);
            assert_eq!(peer, client.local_addr().unwrap());
            assert!(stream.nodelay().unwrap(), "inherited");
            assert!(socket::keepalive(&stream).unwrap(), "inherited");
        }
        let only_v6 = bind("[::]:0", false);
        let port = only_v6.address().port();
        assert!(StdStream::connect(("127.0.0.1", port)).is_err());
    }

    #[test]
    fn an_address_that_cannot_be_bound_is_named_with_the_cause() {
        let taken = bind("127.0.0.1:0", false);
        let address = taken.address().to_string();
        let error = Listener::bind(&settings(&address, false), Limits::default()).unwrap_err();
        assert!(error.contains(&address) && error.contains("in use"), "{error}");
    }

    #[test]
    fn an_address_that_is_yet_to_come_is_bound_if_that_is_wanted() {
        for address in ["192.0.2.77:0", "[2001:db8::77]:0"] {
            let plain = settings(address, false);
            let error = Listener::bind(&plain, Limits::default()).unwrap_err();
            assert!(error.contains("freebind=true"), "{error}");
            let free = ListenerSettings { freebind: true, ..plain };
            let listener = Listener::bind(&free, Limits::default()).unwrap();
            assert_eq!(listener.address().ip(), free.address.ip());
        }
    }

    #[test]
    fn a_pause_ends_with_its_timer() {
        let mut reactor = Reactor::new().unwrap();
        let mut listener = bind("127.0.0.1:0", false);
        listener.event(Readiness::READABLE);
        assert!(listener.is_ready());
        let now = reactor.now();
        let token = Token::new(Kind::ProxyListener, 0, 0);
        listener.pause(now, &mut reactor.wheel, token);
        listener.pause(now, &mut reactor.wheel, token);
        assert!(!listener.is_ready());
        assert_eq!(reactor.wheel.len(), 1);
        let mut due = Vec::new();
        reactor.wheel.expire(now + 2 * PAUSE, &mut due);
        assert_eq!(due, [token]);
        listener.fired();
        assert!(listener.is_ready(), "its readiness was kept");
        assert!(matches!(listener.accept(now), Accepted::Nobody));
        assert!(!listener.is_ready());
    }
}
