//! The connecting side: from the neighbour's settings to a connection, or to a
//! complaint that says why there is none.

use std::io;
use std::net::SocketAddr;

use log::{debug, warn};
use mio::net::TcpStream;

use super::settings::{PeerTransport, scoped};
use super::{TRAFFIC_CLASS, Transport, Use, endpoints};
use crate::bgp::peer::Side;
use crate::bgp::session::State;
use crate::bgp::speaker::PeerId;
use crate::reactor::log_sink::quoted;
use crate::reactor::slab::Key;
use crate::reactor::socket::{self, ConnectOptions};
use crate::reactor::{Reactor, Time};

/// Starts a connection to a neighbour. A source address that this host does
/// not have is left out where it is only a preference.
fn connect(peer: &PeerTransport) -> io::Result<TcpStream> {
    let scope = peer.scope()?;
    let remote = scoped(peer.remote, scope);
    let mut options = ConnectOptions {
        source: peer.source.map(|address| scoped(SocketAddr::new(address, 0), scope)),
        ttl: peer.ttl,
        minimum_ttl: peer.minimum_ttl,
        md5_key: peer.md5_key.clone(),
        user_timeout: peer.user_timeout,
        traffic_class: Some(TRAFFIC_CLASS),
        nodelay: true,
        ..ConnectOptions::default()
    };
    match socket::connect(remote, &options) {
        Err(error)
            if error.kind() == io::ErrorKind::AddrNotAvailable
                && !peer.source_required
                && options.source.take().is_some() =>
        {
            socket::connect(remote, &options)
        }
        outcome => outcome,
    }
}

impl Transport {
    pub(super) fn dial(&mut self, reactor: &mut Reactor, id: PeerId) {
        let outcome = match self.neighbours.get(&id) {
            Some(neighbour) => connect(&neighbour.transport),
            None => return,
        };
        let connected = outcome.and_then(|stream| {
            self.adopt(reactor, stream, Use::Connecting(id))
                .map(|key| self.set_place(id, Side::Outgoing, Some(key)))
        });
        if let Err(error) = connected {
            self.connect_failed(reactor.now(), id, &error);
        }
    }

    /// Gives up an attempt. When it is because another follows, the neighbour
    /// has not answered at all, which an operator should hear of.
    pub(super) fn hang_up(&mut self, reactor: &mut Reactor, id: PeerId) {
        let Some(key) = self.take_place(id, Side::Outgoing) else { return };
        self.drop_connection(reactor, key);
        if self.speaker.peer(id).is_some_and(|peer| peer.state() == State::Connect) {
            let now = reactor.now();
            self.report_failure(
                now,
                id,
                "no answer; is it the address, a firewall, or the password?",
            );
        }
    }

    fn connect_failed(&mut self, now: Time, id: PeerId, error: &io::Error) {
        let source = self.neighbours.get(&id).and_then(|neighbour| neighbour.transport.source);
        let text = match (error.kind(), source) {
            (io::ErrorKind::AddrNotAvailable, Some(source)) => {
                format!("{error}: source={source} is not an address of this host")
            }
            _ => error.to_string(),
        };
        self.report_failure(now, id, &text);
        self.speaker.connect_failed(now, id);
    }

    fn report_failure(&mut self, now: Time, id: PeerId, text: &str) {
        self.neighbours.get_mut(&id).into_iter().for_each(|it| it.failed(now, text));
        let (name, error) = (self.name(id), quoted(text));
        if self.complains(id, text) {
            warn!("bgp event=connect_failed peer={name} error={error} next=\"keeps trying\"");
        } else {
            debug!("bgp event=connect_failed peer={name} error={error}");
        }
    }

    pub(super) fn finish_connect(&mut self, reactor: &mut Reactor, key: Key, id: PeerId) {
        let Some(connection) = self.connections.get_mut(key) else { return };
        let outcome = match socket::connect_finished(&connection.stream) {
            Ok(false) => return,
            Ok(true) => endpoints(&connection.stream),
            Err(error) => Err(error),
        };
        match outcome {
            Ok((local, remote)) => {
                connection.used_for = Use::Open(id, Side::Outgoing);
                self.speaker.connected(reactor.now(), (id, Side::Outgoing), local, remote);
                self.enqueue(key);
            }
            Err(error) => {
                self.take_place(id, Side::Outgoing);
                self.drop_connection(reactor, key);
                self.connect_failed(reactor.now(), id, &error);
            }
        }
        self.service(reactor, id);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use crate::bgp::negotiation::Terms;
    use crate::bgp::peer_settings::PeerSettings;
    use crate::bgp::session::State;
    use crate::bgp::testing;
    use crate::bgp::transport::PeerTransport;
    use crate::bgp::transport::testing::{House, PEER};

    /// It is no failure to start, and looked for at each attempt.
    #[test]
    fn an_interface_that_is_not_there_is_complained_of_once() {
        let address = "fe80::1".parse().expect("an address");
        let terms = Terms {
            connect_retry: Duration::from_millis(1),
            ..testing::terms(65001, 65000, [10, 0, 0, 1])
        };
        let transport = PeerTransport {
            interface: Some("no-such-one".to_owned()),
            ..PeerTransport::plain(std::net::SocketAddr::new(address, 179))
        };
        let peer = PeerSettings::new("fe80::1%no-such-one", address, terms);
        let mut house = House::with(vec![peer], vec![transport], Vec::new());
        let text = "interface no-such-one does not exist";
        assert!(!house.bgp().complains(PEER, text), "that was said at the first attempt");
        for _ in 0..10 {
            house.turn();
            assert_eq!(house.peer().state(), State::Active, "it keeps trying");
            assert!(house.bgp().is_closed());
        }
        assert!(house.bgp().complains(PEER, "something else"));
    }
}
