//! The listening side: who may connect, and with which options a SYN is
//! judged.

use std::io::{self, Write};
use std::net::SocketAddr;
use std::time::Duration;

use log::{info, warn};
use mio::Interest;
use mio::net::{TcpListener, TcpStream};

use super::{PeerTransport, TRAFFIC_CLASS, Transport, Use};
use crate::bgp::message::notification::{Notification, cease};
use crate::bgp::peer::{Peer, Side, collision_cease};
use crate::bgp::session::State;
use crate::bgp::speaker::PeerId;
use crate::reactor::log_sink::quoted;
use crate::reactor::socket::{self, Family, ListenOptions};
use crate::reactor::timer_wheel::Alarm;
use crate::reactor::{Reactor, Token};

/// Most connections taken from one listener in one turn.
const ACCEPT_BUDGET: usize = 16;

/// The pause after the system had no descriptor or memory for a newcomer.
const PAUSE: Duration = Duration::from_millis(200);

/// Strangers beyond this many are counted, and only every so-manieth logged.
const STRANGERS_LOGGED: u64 = 8;

/// What all listeners share, found from all neighbours: the kernel judges a
/// SYN by the listener, before anybody can know which neighbour it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ListenerSettings {
    ttl: Option<u8>,
    minimum_ttl: Option<u8>,
    md5_keys: Vec<(std::net::IpAddr, Vec<u8>)>,
}

impl ListenerSettings {
    pub(super) fn of(peers: &[PeerTransport]) -> ListenerSettings {
        let minimum = peers.iter().map(|peer| peer.minimum_ttl.unwrap_or(0)).min();
        ListenerSettings {
            // RFC 5082 §3: our answer to a GTSM neighbour must leave with 255.
            ttl: peers.iter().any(|peer| peer.minimum_ttl.is_some()).then_some(255),
            // The lowest of all: a neighbour without GTSM must still get in.
            minimum_ttl: minimum.filter(|&ttl| ttl > 0),
            md5_keys: peers
                .iter()
                .filter_map(|peer| Some((peer.remote.ip(), peer.md5_key.clone()?)))
                .collect(),
        }
    }
}

#[derive(Debug)]
pub(super) struct Listener {
    socket: TcpListener,
    token: Token,
    pub(super) ready: bool,
    paused: bool,
    alarm: Alarm,
}

impl Listener {
    pub(super) fn open(
        reactor: &mut Reactor,
        address: SocketAddr,
        token: Token,
        settings: &ListenerSettings,
    ) -> Result<Listener, String> {
        let options = ListenOptions {
            reuse_address: true,
            v6_only: true,
            ttl: settings.ttl,
            minimum_ttl: settings.minimum_ttl,
            traffic_class: Some(TRAFFIC_CLASS),
            ..ListenOptions::default()
        };
        let mut socket = socket::listen(address, &options).map_err(|e| bind_help(address, &e))?;
        for (peer, key) in &settings.md5_keys {
            if peer.is_ipv4() == address.is_ipv4() {
                socket::set_md5_key(&socket, *peer, None, Some(key))
                    .map_err(|error| md5_help(*peer, &error))?;
            }
        }
        reactor
            .register(&mut socket, token, Interest::READABLE)
            .map_err(|error| format!("bgp: cannot watch the listener on {address}: {error}"))?;
        Ok(Listener { socket, token, ready: true, paused: false, alarm: Alarm::new() })
    }

    pub(super) fn local_address(&self) -> Option<SocketAddr> {
        self.socket.local_addr().ok()
    }

    pub(super) fn is_runnable(&self) -> bool {
        self.ready && !self.paused
    }

    pub(super) fn resume(&mut self) {
        self.alarm.fired();
        self.paused = false;
    }
}

fn bind_help(address: SocketAddr, error: &io::Error) -> String {
    let advice = match error.kind() {
        io::ErrorKind::PermissionDenied => {
            "ports below 1024 need root or CAP_NET_BIND_SERVICE; or set bgp.listenport to a \
             higher port, or to -1 to only connect out"
        }
        io::ErrorKind::AddrInUse => {
            "another BGP speaker (bird, frr, gobgpd, openbgpd or a second burgee) holds it; stop \
             that one, or set bgp.listenport or bgp.listenaddresses, or bgp.listenport = -1 to \
             only connect out"
        }
        io::ErrorKind::AddrNotAvailable => "bgp.listenaddresses names an address not on this host",
        _ => "see bgp.listenport and bgp.listenaddresses",
    };
    format!("bgp: cannot listen on {address}: {error}; {advice}")
}

fn md5_help(peer: std::net::IpAddr, error: &io::Error) -> String {
    let advice =
        if error.kind() == io::ErrorKind::OutOfMemory { "; raise net.core.optmem_max" } else { "" };
    format!("bgp: cannot set the TCP MD5 key of neighbour {peer}: {error}{advice}")
}

/// Says that a connection is not wanted, as far as that needs no waiting, and
/// closes it (RFC 4486 §4).
fn reject(mut stream: TcpStream) {
    let mut bytes = Vec::new();
    Notification::cease(cease::CONNECTION_REJECTED, "").encode(&mut bytes);
    let _ = stream.write(&bytes);
}

impl Transport {
    /// Takes newcomers from every listener, a bounded number each.
    pub(super) fn accept(&mut self, reactor: &mut Reactor) {
        for index in 0..self.listeners.len() {
            for _ in 0..ACCEPT_BUDGET {
                let Some(listener) = self.listeners.get_mut(index) else { break };
                if !listener.is_runnable() {
                    break;
                }
                match socket::accept(&listener.socket) {
                    Ok((stream, remote)) => self.newcomer(reactor, stream, remote),
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                        listener.ready = false;
                    }
                    Err(error) if socket::is_of_one_connection(&error) => {}
                    Err(error) => {
                        listener.paused = true;
                        let until = reactor.now() + PAUSE;
                        listener.alarm.set(&mut reactor.wheel, listener.token, Some(until));
                        warn!(
                            "bgp event=accept_failed error={} next=\"tries again\"",
                            quoted(error)
                        );
                    }
                }
            }
        }
    }

    fn newcomer(&mut self, reactor: &mut Reactor, stream: TcpStream, remote: SocketAddr) {
        let Some(id) = self.speaker.peer_at(remote.ip()) else {
            self.strangers = self.strangers.saturating_add(1);
            if self.strangers <= STRANGERS_LOGGED || self.strangers.is_multiple_of(1000) {
                info!(
                    "bgp event=refused remote={remote} reason=\"not the address of a neighbour\" \
                     count={}",
                    self.strangers
                );
            }
            return reject(stream);
        };
        self.guarded(reactor, id, |transport, reactor| {
            transport.admit(reactor, stream, remote, id);
        });
    }

    fn admit(&mut self, reactor: &mut Reactor, stream: TcpStream, remote: SocketAddr, id: PeerId) {
        let now = reactor.now();
        if !self.speaker.accept(now, id) {
            // The session that is kept was asked for a sign of life.
            self.service(reactor, id);
            return match self.speaker.peer(id).map(Peer::state) {
                Some(State::OpenConfirm | State::Established) => {
                    self.refuse(reactor, stream, id, &collision_cease());
                }
                // Nothing is awaited after a stop: that would hold it up.
                _ => reject(stream),
            };
        }
        // Whatever the newcomer replaces leaves its place first.
        self.service(reactor, id);
        let adopted = self.prepare(&stream, id).and_then(|()| {
            let endpoints = super::endpoints(&stream)?;
            Ok((self.adopt(reactor, stream, Use::Open(id, Side::Incoming))?, endpoints))
        });
        match adopted {
            Ok((key, (local, remote))) => {
                self.set_place(id, Side::Incoming, Some(key));
                self.speaker.connected(now, (id, Side::Incoming), local, remote);
            }
            Err(error) => {
                info!("bgp event=refused remote={remote} reason={}", quoted(&error));
                self.speaker.closed(now, (id, Side::Incoming));
            }
        }
        self.service(reactor, id);
    }

    /// An accepted socket inherits the listener's options; the neighbour's own
    /// are set before an octet is read.
    fn prepare(&self, stream: &TcpStream, id: PeerId) -> io::Result<()> {
        let Some(peer) = self.settings.peers.get(id.0 as usize) else { return Ok(()) };
        let family = Family::from(peer.remote);
        if let Some(ttl) = peer.ttl {
            socket::set_ttl(stream, family, ttl)?;
        }
        socket::set_minimum_ttl(stream, family, peer.minimum_ttl.unwrap_or(0))?;
        if let Some(timeout) = peer.user_timeout {
            socket::set_user_timeout(stream, timeout)?;
        }
        stream.set_nodelay(true)
    }
}
