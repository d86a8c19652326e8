//! What the tests of this door begin with: a loop with nothing in it but BGP,
//! and the other end of its connections, by hand.

use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use mio::net::TcpStream;

use super::{Group, Kinds, PeerTransport, Transport, TransportSettings};
use crate::bgp::message::header::{self, MessageType};
use crate::bgp::negotiation::Terms;
use crate::bgp::peer::Peer;
use crate::bgp::peer_settings::PeerSettings;
use crate::bgp::session::State;
use crate::bgp::speaker::{PeerId, Speaker};
use crate::bgp::testing;
use crate::reactor::poll::{Phases, turn};
use crate::reactor::socket::{self, ConnectOptions};
use crate::reactor::{Kind, Reactor, Readiness, Token};

pub(super) const LOCAL: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
pub(super) const PEER: PeerId = PeerId(0);
pub(super) const KINDS: Kinds =
    Kinds { listener: Kind::BgpListener, session: Kind::BgpSession, peer: Kind::BgpPeer };

/// A loop with nothing in it but BGP.
pub(super) struct House {
    pub(super) reactor: Reactor,
    pub(super) phases: Bgp,
}

pub(super) struct Bgp(pub(super) Transport);

impl Phases for Bgp {
    fn collect(&mut self, _: &mut Reactor, token: Token, readiness: Readiness) {
        self.0.collect(token, readiness);
    }
    fn expired(&mut self, _: &mut Reactor, token: Token) {
        if token.kind != Kind::Daemon {
            self.0.expired(token);
        }
    }
    fn control(&mut self, reactor: &mut Reactor) {
        self.0.control(reactor);
    }
    fn apply(&mut self, _: &mut Reactor) {}
    fn data(&mut self, _: &mut Reactor) {}
    fn accept(&mut self, _: &mut Reactor) {}
    fn api(&mut self, _: &mut Reactor) {}
    fn flush(&mut self, _: &mut Reactor) {
        self.0.flush();
    }
    fn has_ready(&self) -> bool {
        self.0.has_ready()
    }
    fn exit_code(&self) -> Option<i32> {
        None
    }
}

pub(super) fn terms(asn: u32, peer_asn: u32, identifier: [u8; 4]) -> Terms {
    Terms { hold_time: 90, passive: true, ..testing::terms(asn, peer_asn, identifier) }
}

impl House {
    pub(super) fn is_quiet(&self) -> bool {
        self.phases.0.speaker().is_quiet()
    }

    /// It listens for one neighbour with this address.
    pub(super) fn listening(address: IpAddr) -> House {
        let peer = PeerSettings::new("them", address, terms(65001, 65000, [10, 0, 0, 1]));
        let peers = vec![PeerTransport::plain(SocketAddr::new(address, 179))];
        House::with(vec![peer], peers, Vec::new())
    }

    /// It listens for 127.0.0.1 and 127.0.0.2.
    pub(super) fn listening_for_two() -> House {
        let addresses: [IpAddr; 2] =
            ["127.0.0.1", "127.0.0.2"].map(|a| a.parse().expect("an address"));
        let terms = || terms(65001, 65000, [10, 0, 0, 1]);
        House::with(
            addresses.iter().map(|a| PeerSettings::new(a.to_string(), *a, terms())).collect(),
            addresses.iter().map(|a| PeerTransport::plain(SocketAddr::new(*a, 179))).collect(),
            Vec::new(),
        )
    }

    /// The sessions of the two.
    pub(super) fn two_established(&mut self) -> [Router; 2] {
        let mut routers = ["127.0.0.1", "127.0.0.2"].map(|from| self.connect_from(from));
        routers.iter_mut().for_each(Router::greet);
        self.until(|house| house.bgp().speaker().established() == 2);
        routers
    }

    pub(super) fn with(
        peers: Vec<PeerSettings>,
        transports: Vec<PeerTransport>,
        groups: Vec<Group>,
    ) -> House {
        let settings = TransportSettings {
            listen: vec![SocketAddr::new(LOCAL, 0)],
            peers: transports,
            groups,
            kinds: KINDS,
        };
        let mut reactor = Reactor::new().expect("a reactor");
        let speaker = Speaker::new(peers, 1);
        let mut transport = Transport::new(&mut reactor, speaker, settings).expect("a port");
        transport.start(&mut reactor);
        House { reactor, phases: Bgp(transport) }
    }

    pub(super) fn bgp(&mut self) -> &mut Transport {
        &mut self.phases.0
    }

    pub(super) fn peer(&mut self) -> &Peer {
        self.bgp().speaker().peer(PEER).expect("the neighbour")
    }

    /// One turn, which waits for an event, but not for long.
    pub(super) fn turn(&mut self) {
        let soon = self.reactor.now() + Duration::from_millis(1);
        self.reactor.wheel.insert(soon, Token::new(Kind::Daemon, 0, 0));
        turn(&mut self.reactor, &mut self.phases).expect("a turn");
    }

    pub(super) fn until(&mut self, done: impl Fn(&mut House) -> bool) {
        while !done(self) {
            self.turn();
        }
    }

    pub(super) fn connect(&mut self) -> Router {
        self.connect_from("127.0.0.1")
    }

    pub(super) fn connect_from(&mut self, source: &str) -> Router {
        let router = self.connect_with_key(source, None);
        self.until(|_| router.stream.peer_addr().is_ok());
        router
    }

    /// Begins to connect from `source`, with a TCP MD5 key.
    pub(super) fn connect_with_key(&mut self, source: &str, key: Option<&[u8]>) -> Router {
        let key = key.map(<[u8]>::to_vec);
        self.connect_with(source, ConnectOptions { md5_key: key, ..ConnectOptions::default() })
    }

    /// Begins to connect from `source`.
    pub(super) fn connect_with(&mut self, source: &str, options: ConnectOptions) -> Router {
        let source: IpAddr = source.parse().expect("an address");
        let source = Some(SocketAddr::new(source, 0));
        let options = ConnectOptions { source, nodelay: true, ..options };
        let address = self.bgp().listening_on()[0];
        let stream = socket::connect(address, &options).expect("under way");
        Router { stream, received: Vec::new(), ended: false }
    }

    pub(super) fn established(&mut self) -> Router {
        let mut neighbour = self.connect();
        neighbour.greet();
        self.until(|house| house.peer().state() == State::Established);
        neighbour
    }
}

/// The other end, by hand.
pub(super) struct Router {
    pub(super) stream: TcpStream,
    received: Vec<u8>,
    ended: bool,
}

impl Router {
    /// All that a session needs to be established.
    pub(super) fn greet(&mut self) {
        let mut open = Vec::new();
        terms(65000, 65001, [10, 0, 0, 2]).open().encode(&mut open);
        self.send(&open);
        self.send(&message(MessageType::Keepalive, &[]));
    }

    pub(super) fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).expect("room for a message");
    }

    /// Reads what is there, and says how many whole UPDATEs that have
    /// routes were in it.
    pub(super) fn updates_read(&mut self) -> u32 {
        let mut buffer = vec![0; 1 << 20];
        if let Ok(count) = self.stream.read(&mut buffer) {
            self.received.extend_from_slice(&buffer[..count]);
        }
        let (mut at, mut updates) = (0, 0);
        while let Some(frame) =
            header::next_frame(&self.received[at..], header::MAX_LENGTH).expect("sound")
        {
            at += frame.length;
            updates += u32::from(frame.kind == MessageType::Update && frame.length > 100);
        }
        self.received.drain(..at);
        updates
    }

    /// Everything up to the end of the stream, as message types and bodies.
    pub(super) fn hear_all(&mut self, house: &mut House) -> Vec<(MessageType, Vec<u8>)> {
        while !self.ended {
            house.turn();
            let mut buffer = [0; 4096];
            match self.stream.read(&mut buffer) {
                Ok(count) => {
                    self.ended = count == 0;
                    self.received.extend_from_slice(&buffer[..count]);
                }
                Err(error) => assert_eq!(error.kind(), io::ErrorKind::WouldBlock),
            }
        }
        let mut rest = &self.received[..];
        let mut messages = Vec::new();
        while let Some(frame) = header::next_frame(rest, header::MAX_LENGTH).expect("sound") {
            messages.push((frame.kind, frame.body.to_vec()));
            rest = &rest[frame.length..];
        }
        messages
    }
}

pub(super) fn message(kind: MessageType, body: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let start = header::begin(&mut out, kind);
    out.extend_from_slice(body);
    header::finish(&mut out, start);
    out
}
