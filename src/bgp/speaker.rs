//! All neighbours and the table of what we originate: the whole of BGP, but
//! for sockets. Pure, so that two speakers can be run against each other.

use std::net::{IpAddr, SocketAddr};

use ipnet::IpNet;

use super::message::notification::Notification;
use super::message::prefix::Family;
use super::peer::{Action, Peer, Side};
use super::peer_settings::PeerSettings;
use super::rib::Key;
use super::rib::originated::{Originated, Owner, Path};
use crate::reactor::Time;
use crate::reactor::random::Random;

/// Names a neighbour of one speaker: its place in the list of settings.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PeerId(pub u32);

/// The speaker: see the module's page.
#[derive(Clone, Debug)]
pub struct Speaker {
    peers: Vec<Peer>,
    table: Originated,
}

impl Speaker {
    /// A speaker with these neighbours, none of them started. `seed` feeds the
    /// jitter of their timers.
    pub fn new(peers: Vec<PeerSettings>, seed: u64) -> Speaker {
        let mut random = Random::new(seed);
        let peers = peers.into_iter().map(|peer| Peer::new(peer, random.next_u64())).collect();
        Speaker { peers, table: Originated::default() }
    }

    /// The names of all neighbours.
    pub fn peer_ids(&self) -> impl Iterator<Item = PeerId> + use<> {
        (0..u32::try_from(self.peers.len()).unwrap_or(u32::MAX)).map(PeerId)
    }

    /// One neighbour.
    pub fn peer(&self, id: PeerId) -> Option<&Peer> {
        self.peers.get(id.0 as usize)
    }

    fn peer_mut(&mut self, id: PeerId) -> Option<&mut Peer> {
        self.peers.get_mut(id.0 as usize)
    }

    /// The neighbour with this address.
    pub fn peer_at(&self, address: IpAddr) -> Option<PeerId> {
        self.peer_ids().find(|id| self.peer(*id).is_some_and(|p| p.settings().address == address))
    }

    /// How many neighbours have an established session.
    pub fn established(&self) -> usize {
        self.peers.iter().filter(|peer| peer.established().is_some()).count()
    }

    /// Starts every neighbour.
    pub fn start(&mut self, now: Time) {
        self.peers.iter_mut().for_each(|peer| peer.start(now));
    }

    /// Ends every session with `cease`, and starts none again.
    pub fn stop(&mut self, now: Time, cease: &Notification) {
        self.peers.iter_mut().for_each(|peer| peer.stop(now, cease));
    }

    /// See [`Peer::reset`].
    pub fn reset(&mut self, now: Time, id: PeerId, cease: Notification) {
        if let Some(peer) = self.peer_mut(id) {
            peer.reset(now, cease);
        }
    }

    /// `owner` originates `prefix`; every neighbour hears of it as soon as
    /// [`Speaker::pump`] is called.
    pub fn originate(&mut self, prefix: IpNet, owner: Owner, path: Path) {
        if self.table.insert(prefix, owner, path) {
            self.mark(Key::new(prefix));
        }
    }

    /// `owner` originates `prefix` no longer.
    pub fn withdraw(&mut self, prefix: IpNet, owner: Owner) {
        if self.table.remove(prefix, owner) {
            self.mark(Key::new(prefix));
        }
    }

    /// Whether all that is to be announced after the start is in the table; until
    /// then no neighbour gets its End-of-RIB. See [`Originated::set_complete`].
    pub fn set_complete(&mut self, complete: bool) {
        self.table.set_complete(complete);
    }

    fn mark(&mut self, key: Key) {
        self.peers.iter_mut().for_each(|peer| peer.mark(key));
    }

    /// What we originate.
    pub fn table(&self) -> &Originated {
        &self.table
    }

    /// See [`Peer::accept`].
    pub fn accept(&mut self, now: Time, id: PeerId) -> bool {
        self.peer_mut(id).is_some_and(|peer| peer.accept(now))
    }

    /// See [`Peer::connected`].
    pub fn connected(
        &mut self,
        now: Time,
        (id, side): (PeerId, Side),
        local: SocketAddr,
        remote: SocketAddr,
    ) {
        if let Some(peer) = self.peer_mut(id) {
            peer.connected(now, side, local, remote);
        }
    }

    /// See [`Peer::connect_failed`].
    pub fn connect_failed(&mut self, now: Time, id: PeerId) {
        if let Some(peer) = self.peer_mut(id) {
            peer.connect_failed(now);
        }
    }

    /// See [`Peer::closed`].
    pub fn closed(&mut self, now: Time, (id, side): (PeerId, Side)) {
        if let Some(peer) = self.peer_mut(id) {
            peer.closed(now, side);
        }
    }

    /// See [`Peer::receive`].
    pub fn receive(&mut self, now: Time, (id, side): (PeerId, Side), bytes: &[u8]) {
        if let Some(peer) = self.peer_mut(id) {
            peer.receive(now, side, bytes);
        }
    }

    /// See [`Peer::timeout`].
    pub fn timeout(&mut self, now: Time, id: PeerId) {
        if let Some(peer) = self.peer_mut(id) {
            peer.timeout(now);
        }
    }

    /// See [`Peer::deadline`].
    pub fn deadline(&self, id: PeerId) -> Option<Time> {
        self.peer(id)?.deadline()
    }

    /// See [`Peer::request_refresh`].
    pub fn request_refresh(&mut self, now: Time, id: PeerId, family: Family) -> bool {
        self.peer_mut(id).is_some_and(|peer| peer.request_refresh(now, family))
    }

    /// See [`Peer::pump`].
    pub fn pump(&mut self, now: Time, id: PeerId) {
        if let Some(peer) = self.peers.get_mut(id.0 as usize) {
            peer.pump(now, &self.table);
        }
    }

    /// See [`Peer::transmit`].
    pub fn transmit(&self, (id, side): (PeerId, Side)) -> &[u8] {
        self.peer(id).map_or(&[], |peer| peer.transmit(side))
    }

    /// See [`Peer::transmitted`].
    pub fn transmitted(&mut self, now: Time, (id, side): (PeerId, Side), count: usize) {
        if let Some(peer) = self.peer_mut(id) {
            peer.transmitted(now, side, count);
        }
    }

    /// See [`Peer::poll_action`].
    pub fn poll_action(&mut self, id: PeerId) -> Option<Action> {
        self.peer_mut(id)?.poll_action()
    }

    /// Throws a neighbour's state away, after a fault in its handling, and
    /// starts over with what is configured.
    pub fn replace(&mut self, now: Time, id: PeerId) {
        if let Some(peer) = self.peer_mut(id) {
            *peer = peer.renewed(now);
        }
    }

    /// Whether every neighbour has been handed all it should know.
    pub fn is_quiet(&self) -> bool {
        self.peers.iter().all(|peer| peer.is_quiet(&self.table))
    }
}
