//! The sockets of the API: those that listen, and those of clients.

use std::fmt;
use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Shutdown, SocketAddr};
use std::path::Path;
use std::time::Duration;

use mio::net::{TcpListener, TcpStream, UnixStream};
use mio::{Interest, event};

use super::{AddressSettings, SocketSettings};
use crate::reactor::socket::{self, ListenOptions};
use crate::reactor::timer_wheel::{Alarm, TimerWheel};
use crate::reactor::unix_socket::UnixSocket;
use crate::reactor::{Reactor, Time, Token};

/// How long a listener rests when the system is out of descriptors or memory.
const PAUSE: Duration = Duration::from_millis(100);

/// A listener.
#[derive(Debug)]
pub(super) struct Listener {
    source: Source,
    /// Someone may wait to be accepted.
    pub(super) is_readable: bool,
    is_paused: bool,
    alarm: Alarm,
}

#[derive(Debug)]
enum Source {
    /// With what it was asked for, and where it is: they differ for port 0.
    Tcp(TcpListener, AddressSettings, SocketAddr),
    Unix(UnixSocket),
}

/// A client's socket.
#[derive(Debug)]
pub(super) enum Socket {
    Tcp(TcpStream),
    Unix(UnixStream),
}

/// A client.
#[derive(Debug)]
pub(super) struct Client {
    pub(super) socket: Socket,
    /// Who it is, for the log.
    pub(super) peer: String,
    /// Our address towards it; none over the unix socket.
    pub(super) local: Option<SocketAddr>,
}

impl Listener {
    /// Listens on an address.
    ///
    /// # Errors
    /// A sentence with the address and the cause.
    pub(super) fn tcp(settings: &AddressSettings) -> Result<Listener, String> {
        let asked = settings.address;
        let named = |error: io::Error| {
            let advice = match error.kind() {
                io::ErrorKind::AddrInUse => "another process holds it; `ss -ltnp` shows which",
                io::ErrorKind::AddrNotAvailable => "it is not an address of this host",
                io::ErrorKind::PermissionDenied => "ports below 1024 need CAP_NET_BIND_SERVICE",
                _ => "choose another, or none",
            };
            format!("ui.addr: cannot listen on {asked}: {error}; {advice}")
        };
        let options = ListenOptions { v6_only: !settings.dual_stack, ..ListenOptions::default() };
        let listener = match socket::listen(asked, &options) {
            // A system without IPv6: the IPv4 half is all that there is.
            Err(error) if settings.dual_stack && socket::has_no_ipv6(&error) => {
                let any = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), asked.port());
                socket::listen(any, &options)
            }
            other => other,
        };
        let listener = listener.map_err(named)?;
        // Inherited by what it accepts: the last part of an answer must not
        // wait for the acknowledgement of the one before.
        socket::set_nodelay(&listener).map_err(named)?;
        let address = listener.local_addr().map_err(named)?;
        Ok(Listener::new(Source::Tcp(listener, *settings, address)))
    }

    /// Listens at a path.
    ///
    /// # Errors
    /// A sentence with the path and the cause.
    pub(super) fn unix(settings: &SocketSettings) -> Result<Listener, String> {
        let socket = UnixSocket::bind(Path::new(&settings.path));
        let socket = socket.map_err(|error| format!("ui.socket: {error}"))?;
        Ok(Listener::new(Source::Unix(socket)))
    }

    fn new(source: Source) -> Listener {
        Listener { source, is_readable: false, is_paused: false, alarm: Alarm::new() }
    }

    /// Whether it is what these settings ask for.
    pub(super) fn is_for_address(&self, wanted: &AddressSettings) -> bool {
        match &self.source {
            Source::Tcp(_, asked, _) => {
                (asked.address, asked.dual_stack) == (wanted.address, wanted.dual_stack)
            }
            Source::Unix(_) => false,
        }
    }

    /// Whether it is what these settings ask for.
    pub(super) fn is_for_path(&self, wanted: &SocketSettings) -> bool {
        match &self.source {
            Source::Tcp(..) => false,
            Source::Unix(socket) => socket.path() == Path::new(&wanted.path),
        }
    }

    /// The address, unless it is a path.
    pub(super) fn address(&self) -> Option<SocketAddr> {
        match &self.source {
            Source::Tcp(_, _, address) => Some(*address),
            Source::Unix(_) => None,
        }
    }

    /// Makes the poll tell of clients.
    ///
    /// # Errors
    /// Those of epoll_ctl(2).
    pub(super) fn register(&mut self, reactor: &mut Reactor, token: Token) -> io::Result<()> {
        match &mut self.source {
            Source::Tcp(socket, ..) => reactor.register(socket, token, Interest::READABLE),
            Source::Unix(socket) => reactor.register(socket, token, Interest::READABLE),
        }
    }

    /// Whether an attempt to accept makes sense now.
    pub(super) fn is_ready(&self) -> bool {
        self.is_readable && !self.is_paused
    }

    /// The rest is over.
    pub(super) fn fired(&mut self) {
        self.alarm.fired();
        self.is_paused = false;
    }

    /// Rests for [`PAUSE`].
    pub(super) fn pause(&mut self, now: Time, wheel: &mut TimerWheel, token: Token) {
        self.is_paused = true;
        self.alarm.set(wheel, token, Some(now + PAUSE));
    }

    /// Takes the timer out of the wheel, before the listener goes away.
    pub(super) fn clear(&mut self, wheel: &mut TimerWheel) {
        self.alarm.clear(wheel);
    }

    /// Accepts a client, if one waits.
    ///
    /// # Errors
    /// Those of accept4(2), but for WouldBlock.
    pub(super) fn accept(&mut self) -> io::Result<Option<Client>> {
        let accepted = match &self.source {
            Source::Tcp(listener, _, address) => socket::accept(listener).map(|(stream, peer)| {
                let local = stream.local_addr().unwrap_or(*address);
                let peer = SocketAddr::new(peer.ip().to_canonical(), peer.port()).to_string();
                Client { socket: Socket::Tcp(stream), peer, local: Some(local) }
            }),
            Source::Unix(listener) => listener.accept().map(|stream| {
                let peer = "ui.socket".to_owned();
                Client { socket: Socket::Unix(stream), peer, local: None }
            }),
        };
        match accepted {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                self.is_readable = false;
                Ok(None)
            }
            other => other.map(Some),
        }
    }
}

impl fmt::Display for Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.source {
            Source::Tcp(_, _, address) => address.fmt(f),
            Source::Unix(socket) => socket.path().display().fmt(f),
        }
    }
}

impl Socket {
    /// What the poll registers.
    pub(super) fn source(&mut self) -> &mut dyn event::Source {
        match self {
            Socket::Tcp(stream) => stream,
            Socket::Unix(stream) => stream,
        }
    }

    /// read(2)
    pub(super) fn read(&mut self, place: &mut [u8]) -> io::Result<usize> {
        match self {
            Socket::Tcp(stream) => stream.read(place),
            Socket::Unix(stream) => stream.read(place),
        }
    }

    /// write(2)
    pub(super) fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
        match self {
            Socket::Tcp(stream) => stream.write(octets),
            Socket::Unix(stream) => stream.write(octets),
        }
    }

    /// Says that nothing more is sent; the client may be gone already.
    pub(super) fn finish(&mut self) {
        let _ = match self {
            Socket::Tcp(stream) => stream.shutdown(Shutdown::Write),
            Socket::Unix(stream) => stream.shutdown(Shutdown::Write),
        };
    }
}
