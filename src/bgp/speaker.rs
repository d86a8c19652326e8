//! All neighbours and the table of what we originate: the whole of BGP, but
//! for sockets. Pure, so that two speakers can be run against each other.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use ipnet::IpNet;

use super::message::notification::Notification;
use super::message::prefix::Family;
use super::peer::{Action, Peer, Side};
use super::peer_settings::PeerSettings;
use super::rib::Key;
use super::rib::originated::{Originated, Owner, Path};
use crate::reactor::Time;
use crate::reactor::random::Random;

/// Names a neighbour of one speaker. Those that a speaker begins with have the
/// numbers of their places in the list; those that are added later get numbers
/// that nobody had before, so that what is left of a neighbour that is gone
/// (a timer, a notice) never hits another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PeerId(pub u32);

/// The speaker: see the module's page.
#[derive(Clone, Debug)]
pub struct Speaker {
    peers: BTreeMap<PeerId, Peer>,
    next_id: u32,
    running: bool,
    random: Random,
    table: Originated,
    /// How many neighbours have each key.
    holders: BTreeMap<Key, usize>,
}

impl Speaker {
    /// A speaker with these neighbours, none of them started. `seed` feeds the
    /// jitter of their timers.
    pub fn new(peers: Vec<PeerSettings>, seed: u64) -> Speaker {
        let mut speaker = Speaker {
            peers: BTreeMap::new(),
            next_id: 0,
            running: false,
            random: Random::new(seed),
            table: Originated::default(),
            holders: BTreeMap::new(),
        };
        for settings in peers {
            speaker.insert(settings);
        }
        speaker
    }

    fn insert(&mut self, settings: PeerSettings) -> PeerId {
        // All numbers can be used up only by a speaker that runs for decades,
        // and then the old ones that are free are old enough.
        while self.peers.contains_key(&PeerId(self.next_id)) {
            self.next_id = self.next_id.wrapping_add(1);
        }
        let id = PeerId(self.next_id);
        self.next_id = self.next_id.wrapping_add(1);
        self.peers.insert(id, Peer::new(settings, self.random.next_u64()));
        id
    }

    /// One more neighbour, which is started if the others are.
    pub fn add(&mut self, now: Time, settings: PeerSettings) -> PeerId {
        let id = self.insert(settings);
        if self.running
            && let Some(peer) = self.peers.get_mut(&id)
        {
            peer.start(now);
        }
        id
    }

    /// Forgets a neighbour and whatever it had to say. Its sessions are not
    /// ended: that is for who knows their connections to do first.
    pub fn remove(&mut self, id: PeerId) {
        if let Some(mut peer) = self.peers.remove(&id) {
            peer.close_writer();
            self.count_holders(peer.take_moved());
        }
    }

    /// The names of all neighbours.
    pub fn peer_ids(&self) -> impl Iterator<Item = PeerId> + use<> {
        let ids: Vec<PeerId> = self.peers.keys().copied().collect();
        ids.into_iter()
    }

    /// One neighbour.
    pub fn peer(&self, id: PeerId) -> Option<&Peer> {
        self.peers.get(&id)
    }

    /// All neighbours, in the order of their numbers, for those who look at them.
    pub fn peers(&self) -> impl Iterator<Item = (PeerId, &Peer)> {
        self.peers.iter().map(|(id, peer)| (*id, peer))
    }

    fn peer_mut(&mut self, id: PeerId) -> Option<&mut Peer> {
        self.peers.get_mut(&id)
    }

    /// How many neighbours have an established session.
    pub fn established(&self) -> usize {
        self.peers.values().filter(|peer| peer.established().is_some()).count()
    }

    /// Starts every neighbour.
    pub fn start(&mut self, now: Time) {
        self.running = true;
        self.peers.values_mut().for_each(|peer| peer.start(now));
    }

    /// Ends every session with `cease`, and starts none again.
    pub fn stop(&mut self, now: Time, cease: &Notification) {
        self.running = false;
        self.peers.values_mut().for_each(|peer| peer.stop(now, cease));
    }

    /// See [`Peer::change`].
    pub fn change(&mut self, now: Time, id: PeerId, settings: PeerSettings, differ: bool) {
        if let Some(peer) = self.peer_mut(id) {
            peer.change(now, settings, differ);
        }
    }

    /// Ends one neighbour's sessions with `cease`, and starts none again.
    pub fn stop_peer(&mut self, now: Time, id: PeerId, cease: &Notification) {
        if let Some(peer) = self.peer_mut(id) {
            peer.stop(now, cease);
        }
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
        self.peers.values_mut().for_each(|peer| peer.mark(key));
    }

    /// Whether the neighbours were started and not stopped since.
    pub fn is_running(&self) -> bool {
        self.running
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
        if let Some(peer) = self.peers.get_mut(&id) {
            peer.pump(now, &self.table);
            let moved = peer.take_moved();
            self.count_holders(moved);
        }
    }

    fn count_holders(&mut self, moved: Vec<(Key, bool)>) {
        for (key, has) in moved {
            let count = self.holders.entry(key).or_default();
            *count = if has { count.saturating_add(1) } else { count.saturating_sub(1) };
            if *count == 0 {
                self.holders.remove(&key);
            }
        }
    }

    /// How many neighbours were sent a prefix in the session that is up, and
    /// have not been told to forget it. A session that ended counts until the
    /// next [`Speaker::pump`].
    pub fn sent_to(&self, prefix: &IpNet) -> usize {
        self.holders.get(&Key::new(*prefix)).copied().unwrap_or(0)
    }

    /// How many neighbours there are.
    pub fn peer_count(&self) -> usize {
        self.peers.len()
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
        self.peers.values().all(|peer| peer.is_quiet(&self.table))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bgp::testing;

    fn peer(name: &str) -> PeerSettings {
        let terms = testing::terms(65001, 65000, [10, 0, 0, 1]);
        PeerSettings::new(name, "192.0.2.1".parse().expect("an address"), terms)
    }

    #[test]
    fn a_number_names_one_neighbour_for_ever() {
        let now = Time::from_millis(1);
        let mut speaker = Speaker::new(vec![peer("a"), peer("b")], 1);
        let name = |speaker: &Speaker, id| speaker.peer(id).map(|p| p.settings().name.clone());
        assert_eq!(name(&speaker, PeerId(1)).as_deref(), Some("b"));
        let third = speaker.add(now, peer("c"));
        speaker.remove(third);
        speaker.remove(PeerId(0));
        let fourth = speaker.add(now, peer("d"));
        assert_eq!((third, fourth), (PeerId(2), PeerId(3)));
        assert_eq!(name(&speaker, third), None);
        assert_eq!(speaker.poll_action(third), None);
        assert_eq!(speaker.peer_ids().collect::<Vec<_>>(), [PeerId(1), fourth]);
        // After all numbers were used, those that live are passed over.
        speaker.next_id = u32::MAX;
        assert_eq!(speaker.add(now, peer("e")), PeerId(u32::MAX));
        assert_eq!(speaker.add(now, peer("f")), PeerId(0));
        assert_eq!(speaker.add(now, peer("g")), PeerId(2));
    }

    #[test]
    fn who_is_added_is_started_with_the_others() {
        let now = Time::from_millis(1);
        let mut speaker = Speaker::new(Vec::new(), 1);
        let early = speaker.add(now, peer("early"));
        assert_eq!(speaker.poll_action(early), None);
        assert!(!speaker.is_running());
        speaker.start(now);
        let late = speaker.add(now, peer("late"));
        assert_eq!(speaker.poll_action(early), Some(Action::Dial));
        assert_eq!(speaker.poll_action(late), Some(Action::Dial));
        speaker.stop(now, &Notification::cease(2, ""));
        let too_late = speaker.add(now, peer("too late"));
        assert_eq!(speaker.poll_action(too_late), None);
        assert!(!speaker.accept(now, too_late) && !speaker.is_running());
    }
}
