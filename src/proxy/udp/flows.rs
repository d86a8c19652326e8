//! The flows of datagrams, as a table: who belongs together, who has been
//! silent for longest, and who gives way. It knows no socket: what a flow
//! carries is for the door to say.
//!
//! A flow is a client's address, the address of ours that it asked, and the
//! listener. Each listener keeps its flows in the order of their last
//! datagram, so that the next one to expire is always the first: the whole
//! table needs one timer, and a datagram costs a move to the end of a list.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use crate::proxy::Lent;
use crate::reactor::Time;
use crate::reactor::slab::{Key, Slab};

/// What makes datagrams one flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Name {
    /// The listener, as [`Flows::add_lane`] numbered it.
    pub(super) lane: usize,
    /// Who asks.
    pub(super) client: SocketAddr,
    /// Which of our addresses is asked, so that the answers come from it.
    pub(super) local: Option<IpAddr>,
}

/// What a listener allows its flows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Bounds {
    /// A flow without a datagram for this long is over.
    pub(super) idle: Duration,
    /// Most flows at a time, at least one.
    pub(super) flows: usize,
}

/// One flow, linked into the list of its listener.
#[derive(Debug)]
struct Entry<T> {
    name: Name,
    value: T,
    used: Time,
    /// Whether it was there when the drain began.
    is_old: bool,
    before: Option<Key>,
    after: Option<Key>,
}

/// The flows of one listener, the one that has been silent for longest first.
#[derive(Debug)]
struct Lane {
    bounds: Bounds,
    first: Option<Key>,
    last: Option<Key>,
    count: usize,
}

/// All flows.
#[derive(Debug)]
pub(super) struct Flows<T> {
    entries: Slab<Entry<T>>,
    by_name: HashMap<Name, Key>,
    lanes: Vec<Lane>,
    limit: usize,
    /// In a drain: how many are left of those that were there at its beginning.
    old: Option<usize>,
}

impl<T> Flows<T> {
    /// No flows, and room for none.
    pub(super) fn new() -> Flows<T> {
        Flows {
            entries: Slab::new(),
            by_name: HashMap::new(),
            lanes: Vec::new(),
            limit: 0,
            old: None,
        }
    }

    /// Sets how many flows there may be in all.
    pub(super) fn set_limit(&mut self, limit: usize) {
        self.limit = limit;
    }

    /// Adds a listener; returns its number.
    pub(super) fn add_lane(&mut self, bounds: Bounds) -> usize {
        self.lanes.push(Lane { bounds, first: None, last: None, count: 0 });
        self.lanes.len().saturating_sub(1)
    }

    /// How many flows there are.
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// How many flows a listener has, and most of them.
    pub(super) fn at_lane(&self, lane: usize) -> Option<Lent> {
        let lane = self.lanes.get(lane)?;
        Some(Lent { count: lane.count, limit: lane.bounds.flows })
    }

    /// From now on [`Flows::awaited`] counts only the flows that are there.
    pub(super) fn begin_drain(&mut self) {
        let mut old = 0_usize;
        for (_, entry) in self.entries.iter_mut() {
            entry.is_old = true;
            old = old.saturating_add(1);
        }
        self.old = Some(old);
    }

    /// How many flows a drain waits for: all, or in a drain those that were
    /// there at its beginning. Newcomers are served too, but not waited for.
    pub(super) fn awaited(&self) -> usize {
        self.old.unwrap_or(self.entries.len())
    }

    /// The flow of this name.
    pub(super) fn find(&self, name: &Name) -> Option<Key> {
        self.by_name.get(name).copied()
    }

    /// The name of a flow.
    pub(super) fn name(&self, key: Key) -> Option<Name> {
        self.entries.get(key).map(|entry| entry.name)
    }

    /// What a flow carries.
    pub(super) fn get_mut(&mut self, key: Key) -> Option<&mut T> {
        self.entries.get_mut(key).map(|entry| &mut entry.value)
    }

    /// The flow that has to give way before another one fits into the lane:
    /// the one of the lane that has been silent for longest when the lane is
    /// full; when all are full, the one of any lane.
    pub(super) fn in_the_way(&self, lane: usize) -> Option<Key> {
        let own = self.lanes.get(lane)?;
        if own.count >= own.bounds.flows {
            return own.first;
        }
        if self.entries.len() < self.limit {
            return None;
        }
        self.oldest()
    }

    /// The flow that has been silent for longest.
    pub(super) fn oldest(&self) -> Option<Key> {
        let used = |key: &Key| self.entries.get(*key).map(|entry| entry.used);
        self.lanes.iter().filter_map(|lane| lane.first).min_by_key(used)
    }

    /// The shortest idle time of any listener.
    pub(super) fn shortest_idle(&self) -> Duration {
        self.lanes.iter().map(|lane| lane.bounds.idle).min().unwrap_or_default()
    }

    /// Adds a flow; one of the same name must not be there.
    pub(super) fn insert(&mut self, now: Time, name: Name, value: T) -> Key {
        let entry = Entry { name, value, used: now, is_old: false, before: None, after: None };
        let key = self.entries.insert(entry);
        self.by_name.insert(name, key);
        self.append(key, name.lane);
        key
    }

    /// A datagram of the flow passed.
    pub(super) fn touch(&mut self, now: Time, key: Key) {
        let Some(entry) = self.entries.get_mut(key) else { return };
        entry.used = now;
        let lane = entry.name.lane;
        // The last one stays where it is.
        if entry.after.is_some() {
            self.unlink(key);
            self.append(key, lane);
        }
    }

    /// Takes a flow out.
    pub(super) fn remove(&mut self, key: Key) -> Option<T> {
        self.unlink(key);
        let entry = self.entries.remove(key)?;
        self.by_name.remove(&entry.name);
        if let (true, Some(old)) = (entry.is_old, &mut self.old) {
            *old = old.saturating_sub(1);
        }
        Some(entry.value)
    }

    /// A flow whose time is over.
    pub(super) fn expired(&self, now: Time) -> Option<Key> {
        let is_over = |lane: &&Lane| self.end(lane).is_some_and(|end| end <= now);
        self.lanes.iter().find(is_over)?.first
    }

    /// When the next flow's time is over, as things stand.
    pub(super) fn deadline(&self) -> Option<Time> {
        self.lanes.iter().filter_map(|lane| self.end(lane)).min()
    }

    /// The keys of all flows.
    pub(super) fn keys(&self) -> Vec<Key> {
        self.entries.keys()
    }

    /// Slots that were freed in this turn may be used again.
    pub(super) fn reclaim(&mut self) {
        self.entries.reclaim();
        // A flood is over: the index gives its memory back, too.
        if self.by_name.capacity() > self.entries.len().saturating_mul(8).max(KEPT) {
            self.by_name.shrink_to(self.entries.len().saturating_mul(2));
        }
    }

    fn end(&self, lane: &Lane) -> Option<Time> {
        let entry = self.entries.get(lane.first?)?;
        Some(entry.used + lane.bounds.idle)
    }

    fn append(&mut self, key: Key, lane: usize) {
        let Some(lane) = self.lanes.get_mut(lane) else { return };
        let before = lane.last.replace(key);
        lane.count = lane.count.saturating_add(1);
        if before.is_none() {
            lane.first = Some(key);
        }
        if let Some(entry) = before.and_then(|key| self.entries.get_mut(key)) {
            entry.after = Some(key);
        }
        if let Some(entry) = self.entries.get_mut(key) {
            entry.before = before;
            entry.after = None;
        }
    }

    fn unlink(&mut self, key: Key) {
        let Some(entry) = self.entries.get_mut(key) else { return };
        let (before, after, lane) = (entry.before.take(), entry.after.take(), entry.name.lane);
        let Some(lane) = self.lanes.get_mut(lane) else { return };
        lane.count = lane.count.saturating_sub(1);
        match before.and_then(|key| self.entries.get_mut(key)) {
            Some(entry) => entry.after = after,
            None => lane.first = after,
        }
        match after.and_then(|key| self.entries.get_mut(key)) {
            Some(entry) => entry.before = before,
            None => lane.last = before,
        }
    }
}

/// An index with room for fewer names than this is not made smaller.
const KEPT: usize = 1024;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reactor::random::Random;

    fn at(seconds: u64) -> Time {
        Time::from_millis(seconds * 1000)
    }

    fn name(lane: usize, port: u16) -> Name {
        let local = Some(IpAddr::from([192, 0, 2, 10]));
        Name { lane, client: SocketAddr::from(([198, 51, 100, 1], port)), local }
    }

    fn flows(limit: usize, lanes: &[(u64, usize)]) -> Flows<u16> {
        let mut flows = Flows::new();
        flows.set_limit(limit);
        for (idle, count) in lanes {
            flows.add_lane(Bounds { idle: Duration::from_secs(*idle), flows: *count });
        }
        flows
    }

    #[test]
    fn a_flow_is_a_client_a_local_address_and_a_listener() {
        let mut flows = flows(10, &[(30, 10), (30, 10)]);
        let key = flows.insert(at(0), name(0, 1), 7);
        assert_eq!(flows.find(&name(0, 1)), Some(key));
        assert_eq!((flows.name(key), flows.get_mut(key)), (Some(name(0, 1)), Some(&mut 7)));
        let elsewhere = Name { local: Some(IpAddr::from([192, 0, 2, 11])), ..name(0, 1) };
        for other in [name(1, 1), name(0, 2), elsewhere] {
            assert_eq!(flows.find(&other), None);
        }
        assert_eq!(flows.remove(key), Some(7));
        assert_eq!((flows.find(&name(0, 1)), flows.remove(key), flows.len()), (None, None, 0));
        assert_eq!(flows.deadline(), None);
    }

    #[test]
    fn silence_ends_a_flow_and_datagrams_prolong_it() {
        let mut flows = flows(10, &[(30, 10), (5, 10)]);
        let keys = [0, 1, 2].map(|n| flows.insert(at(u64::from(n)), name(0, n), n));
        assert_eq!(flows.deadline(), Some(at(30)));
        flows.touch(at(3), keys[0]);
        flows.touch(at(3), keys[0]);
        assert_eq!(flows.deadline(), Some(at(31)));
        let quick = flows.insert(at(4), name(1, 0), 9);
        assert_eq!(flows.deadline(), Some(at(9)));
        assert_eq!(flows.expired(at(8)), None);
        for (second, key) in [(9, quick), (31, keys[1]), (32, keys[2]), (33, keys[0])] {
            assert_eq!(flows.expired(at(second - 1)), None);
            assert_eq!(flows.expired(at(second)), Some(key));
            flows.remove(key);
        }
        assert_eq!((flows.expired(at(100)), flows.deadline()), (None, None));
    }

    #[test]
    fn at_a_limit_the_flow_that_was_silent_for_longest_gives_way() {
        let mut flows = flows(4, &[(30, 2), (30, 10)]);
        let a = flows.insert(at(0), name(0, 1), 1);
        assert_eq!(flows.in_the_way(0), None);
        let b = flows.insert(at(1), name(0, 2), 2);
        assert_eq!(flows.in_the_way(0), Some(a), "the lane is full");
        assert_eq!(flows.in_the_way(1), None, "others are not in the way of another lane");
        flows.touch(at(2), a);
        assert_eq!(flows.in_the_way(0), Some(b));
        let c = flows.insert(at(3), name(1, 1), 3);
        flows.insert(at(4), name(1, 2), 4);
        assert_eq!(flows.in_the_way(1), Some(b), "all are full: the oldest of any lane");
        flows.touch(at(5), a);
        flows.touch(at(5), b);
        assert_eq!(flows.in_the_way(1), Some(c));
        assert_eq!(flows.in_the_way(7), None, "there is no such lane");
    }

    #[test]
    fn a_drain_waits_for_those_that_were_there() {
        let mut flows = flows(10, &[(30, 10)]);
        let keys = [0, 1].map(|n| flows.insert(at(0), name(0, n), n));
        assert_eq!(flows.awaited(), 2);
        flows.begin_drain();
        let late = flows.insert(at(1), name(0, 5), 5);
        assert_eq!((flows.awaited(), flows.len()), (2, 3));
        flows.remove(keys[0]);
        flows.remove(late);
        assert_eq!(flows.awaited(), 1);
        flows.remove(keys[1]);
        assert_eq!(flows.awaited(), 0);
    }

    #[test]
    fn after_a_flood_the_memory_goes_back() {
        let mut flows = flows(100_000, &[(30, 100_000)]);
        let keys: Vec<Key> = (0..50_000).map(|n| flows.insert(at(0), name(0, n), n)).collect();
        keys.iter().for_each(|key| assert!(flows.remove(*key).is_some()));
        flows.reclaim();
        assert!(flows.by_name.capacity() <= KEPT, "{}", flows.by_name.capacity());
    }

    /// The table against a plain list, in random order.
    #[test]
    fn it_does_what_a_plain_list_does() {
        for seed in 0..50 {
            let mut random = Random::new(seed);
            let mut flows = flows(8, &[(3, 5), (7, 8)]);
            let mut model: Vec<(Name, Time)> = Vec::new();
            for step in 0..400 {
                let now = at(step / 2);
                let idle = |name: &Name| Duration::from_secs([3, 7][name.lane]);
                while let Some(key) = flows.expired(now) {
                    let gone = flows.name(key).unwrap();
                    flows.remove(key).unwrap();
                    let at = model.iter().position(|(name, _)| *name == gone).unwrap();
                    assert!(model[at].1 + idle(&gone) <= now);
                    model.remove(at);
                }
                assert!(model.iter().all(|(name, used)| *used + idle(name) > now), "{seed}");
                let name = name(random.index(2), u16::try_from(random.below(12)).unwrap());
                match flows.find(&name) {
                    Some(key) if random.below(5) == 0 => {
                        flows.remove(key);
                        model.retain(|(other, _)| *other != name);
                    }
                    Some(key) => {
                        flows.touch(now, key);
                        model.retain(|(other, _)| *other != name);
                        model.push((name, now));
                    }
                    None => {
                        while let Some(key) = flows.in_the_way(name.lane) {
                            let gone = flows.name(key).unwrap();
                            flows.remove(key);
                            let oldest = model.iter().position(|(n, _)| n.lane == gone.lane);
                            assert_eq!(model[oldest.unwrap()].0, gone, "{seed}");
                            model.remove(oldest.unwrap());
                        }
                        flows.insert(now, name, 0);
                        model.push((name, now));
                    }
                }
                flows.reclaim();
                assert_eq!(flows.len(), model.len());
                assert!(flows.len() <= 8);
                for (name, _) in &model {
                    assert!(flows.find(name).is_some());
                }
            }
        }
    }
}
