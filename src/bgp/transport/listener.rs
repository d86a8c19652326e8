//! The listening side: who may connect, and with which options a SYN is
//! judged.

use std::io::{self, Write};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use log::{info, warn};
use mio::Interest;
use mio::net::{TcpListener, TcpStream};

use super::group::Joined;
use super::{TRAFFIC_CLASS, Transport, TransportSettings, Use};
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

/// Refused connections beyond this many are counted, and only every so-manieth
/// is logged, so that nobody can fill the log.
const REFUSALS_LOGGED: u64 = 8;

/// Whether the refusal that is the `count`th of its kind is logged.
pub(super) fn is_logged(count: u64) -> bool {
    count <= REFUSALS_LOGGED || count.is_multiple_of(1000)
}

/// What all listeners share, found from all neighbours: the kernel judges a
/// SYN by the listener, before anybody can know which neighbour it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ListenerSettings {
    ttl: Option<u8>,
    minimum_ttl: Option<u8>,
    md5_keys: Vec<Md5Key>,
}

/// A key by which SYNs are judged, for one address or for all of a prefix. The
/// kernel takes the longest prefix, and knows nothing of interfaces but VRFs.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Md5Key {
    name: String,
    address: IpAddr,
    prefix_length: Option<u8>,
    key: Vec<u8>,
}

impl Md5Key {
    fn is_for(&self, other: &Md5Key) -> bool {
        (self.address, self.prefix_length) == (other.address, other.prefix_length)
    }

    fn set(&self, listener: &TcpListener) -> Result<(), String> {
        socket::set_md5_key(listener, self.address, self.prefix_length, Some(&self.key))
            .map_err(|error| md5_help(&self.name, &error))
    }
}

impl ListenerSettings {
    pub(super) fn of(settings: &TransportSettings) -> ListenerSettings {
        let groups = settings.groups.iter().map(|group| &group.transport);
        let all = || settings.peers.iter().chain(groups.clone());
        let minimum = all().map(|peer| peer.minimum_ttl.unwrap_or(0)).min();
        let of_peers = settings.peers.iter().filter_map(|peer| {
            let address = peer.remote.ip();
            let key = peer.md5_key.clone()?;
            Some(Md5Key { name: address.to_string(), address, prefix_length: None, key })
        });
        let of_groups = settings.groups.iter().filter_map(|group| {
            Some(Md5Key {
                name: group.prefix.to_string(),
                address: group.prefix.network(),
                prefix_length: Some(group.prefix.prefix_len()),
                key: group.transport.md5_key.clone()?,
            })
        });
        ListenerSettings {
            // RFC 5082 §3: our answer to a GTSM neighbour must leave with 255.
            ttl: all().any(|peer| peer.minimum_ttl.is_some()).then_some(255),
            // The lowest of all: a neighbour without GTSM must still get in.
            minimum_ttl: minimum.filter(|&ttl| ttl > 0),
            md5_keys: of_peers.chain(of_groups).collect(),
        }
    }
}

#[derive(Debug)]
pub(super) struct Listener {
    /// Where it was asked to listen.
    pub(super) address: SocketAddr,
    socket: TcpListener,
    pub(super) token: Token,
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
        for key in settings.md5_keys.iter().filter(|k| k.address.is_ipv4() == address.is_ipv4()) {
            key.set(&socket)?;
        }
        reactor
            .register(&mut socket, token, Interest::READABLE)
            .map_err(|error| format!("bgp: cannot watch the listener on {address}: {error}"))?;
        Ok(Listener { address, socket, token, ready: true, paused: false, alarm: Alarm::new() })
    }

    /// Judges SYNs by other settings from now on.
    ///
    /// # Errors
    /// What could not be set, as a sentence; the rest is.
    pub(super) fn change(
        &self,
        old: &ListenerSettings,
        new: &ListenerSettings,
    ) -> Result<(), String> {
        let family = Family::from(self.address);
        let failed = |error: io::Error| {
            format!("bgp: cannot set the TTL of the listener on {}: {error}", self.address)
        };
        let mut outcome = Ok(());
        if old.ttl != new.ttl {
            let set = match new.ttl {
                Some(ttl) => socket::set_ttl(&self.socket, family, ttl),
                None => socket::set_default_ttl(&self.socket, family),
            };
            outcome = outcome.and(set.map_err(failed));
        }
        if old.minimum_ttl != new.minimum_ttl {
            let minimum = new.minimum_ttl.unwrap_or(0);
            outcome =
                outcome.and(socket::set_minimum_ttl(&self.socket, family, minimum).map_err(failed));
        }
        let of = |keys: &[Md5Key]| -> Vec<Md5Key> {
            let is_ours = |key: &&Md5Key| key.address.is_ipv4() == self.address.is_ipv4();
            keys.iter().filter(is_ours).cloned().collect()
        };
        let (before, now) = (of(&old.md5_keys), of(&new.md5_keys));
        // Room is made first: the kernel bounds the memory of all keys.
        for key in before.iter().filter(|key| !now.iter().any(|other| other.is_for(key))) {
            let removed = socket::set_md5_key(&self.socket, key.address, key.prefix_length, None);
            outcome = outcome.and(removed.map_err(|error| md5_help(&key.name, &error)));
        }
        for key in now.iter().filter(|key| !before.contains(key)) {
            outcome = outcome.and(key.set(&self.socket));
        }
        outcome
    }

    pub(super) fn close(mut self, reactor: &mut Reactor) {
        self.alarm.clear(&mut reactor.wheel);
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

fn md5_help(peer: &str, error: &io::Error) -> String {
    let advice =
        if error.kind() == io::ErrorKind::OutOfMemory { "; raise net.core.optmem_max" } else { "" };
    format!("bgp: cannot set the TCP MD5 key of neighbour {peer}: {error}{advice}")
}

/// Says that a connection is not wanted, as far as that needs no waiting, and
/// closes it.
fn reject(mut stream: TcpStream) {
    let _ = stream.write(&rejection());
}

/// What a connection hears that is not wanted (RFC 4486 §4).
pub(super) fn rejection() -> Vec<u8> {
    let mut bytes = Vec::new();
    Notification::cease(cease::CONNECTION_REJECTED, "").encode(&mut bytes);
    bytes
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

    /// The neighbour that connects from there.
    fn neighbour_at(&self, remote: SocketAddr) -> Option<PeerId> {
        self.neighbours
            .iter()
            .find(|(_, neighbour)| neighbour.transport.is_at(remote))
            .map(|(&id, _)| id)
    }

    fn newcomer(&mut self, reactor: &mut Reactor, stream: TcpStream, remote: SocketAddr) {
        let known =
            self.neighbour_at(remote).map_or_else(|| self.join(reactor, remote), Joined::As);
        let Joined::As(id) = known else {
            if known == Joined::Refused {
                return reject(stream);
            }
            self.strangers = self.strangers.saturating_add(1);
            if is_logged(self.strangers) {
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
        let Some(neighbour) = self.neighbours.get(&id) else { return Ok(()) };
        let peer = &neighbour.transport;
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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::bgp::peer_settings::PeerSettings;
    use crate::bgp::transport::settings::{Group, PeerTransport};
    use crate::bgp::transport::testing::{KINDS, terms};

    fn peer(address: &str, minimum_ttl: Option<u8>, md5_key: Option<&str>) -> PeerTransport {
        PeerTransport {
            minimum_ttl,
            md5_key: md5_key.map(|key| key.as_bytes().to_vec()),
            ..PeerTransport::plain(address.parse().expect("an address"))
        }
    }

    fn group(prefix: &str, minimum_ttl: Option<u8>, md5_key: Option<&str>) -> Group {
        let prefix: ipnet::IpNet = prefix.parse().expect("a prefix");
        Group {
            prefix,
            limit: 1,
            keep: Duration::ZERO,
            peer: PeerSettings::new("group", prefix.addr(), terms(65001, 65000, [10, 0, 0, 1])),
            transport: peer("192.0.2.1:0", minimum_ttl, md5_key),
        }
    }

    fn of(peers: Vec<PeerTransport>, groups: Vec<Group>) -> ListenerSettings {
        ListenerSettings::of(&TransportSettings { listen: Vec::new(), peers, groups, kinds: KINDS })
    }

    #[test]
    fn the_lowest_ttl_of_all_neighbours_and_groups_is_let_in() {
        let near = || peer("192.0.2.1:179", Some(255), None);
        let ttls = |peers, groups| {
            let settings = of(peers, groups);
            (settings.ttl, settings.minimum_ttl)
        };
        assert_eq!(ttls(Vec::new(), Vec::new()), (None, None));
        assert_eq!(ttls(vec![near()], Vec::new()), (Some(255), Some(255)));
        let two_hops = group("10.1.0.0/16", Some(254), None);
        assert_eq!(ttls(vec![near()], vec![two_hops]), (Some(255), Some(254)));
        let any = group("10.1.0.0/16", None, None);
        assert_eq!(ttls(vec![near()], vec![any]), (Some(255), None));
    }

    /// Keys of the other family would be an error of the kernel.
    #[test]
    fn every_kind_of_key_is_set_on_the_listeners_of_its_family() {
        let settings = of(
            vec![
                peer("192.0.2.1:179", None, Some("a")),
                peer("[2001:db8::1]:179", None, Some("b")),
                peer("[fe80::1]:179", None, Some("c")),
                peer("[fe80::1]:179", None, Some("c")),
                peer("192.0.2.2:179", None, None),
            ],
            vec![
                group("10.1.0.0/16", None, Some("d")),
                group("2001:db8:1::/48", None, Some("e")),
                group("0.0.0.0/0", None, Some("f")),
                group("::/0", None, Some("g")),
                group("10.2.0.0/16", None, None),
            ],
        );
        let lengths: Vec<_> = settings.md5_keys.iter().map(|key| key.prefix_length).collect();
        let expected = [None, None, None, None, Some(16), Some(48), Some(0), Some(0)];
        assert_eq!(lengths, expected);
        let mut reactor = Reactor::new().expect("a reactor");
        for (address, index) in ["127.0.0.1:0", "[::1]:0"].into_iter().zip(0..) {
            let address = address.parse().expect("an address");
            let token = Token::new(KINDS.listener, 0, index);
            let listener = Listener::open(&mut reactor, address, token, &settings);
            assert_eq!(listener.map(drop), Ok(()));
        }
    }
}
