//! Which routes a neighbour has announced: as much of an Adj-RIB-In (RFC 4271
//! §3.2) as a speaker needs that rejects them all but may count them, or that
//! passes them on.

use std::collections::BTreeMap;

use super::Key;
use crate::bgp::message::prefix::{Family, FamilySet};

/// The keys of one neighbour's routes: see the module's page. All of them
/// become stale in one step, and a sweep looks at them only if it finds some:
/// a neighbour may mark and sweep with every 23 octets that it sends.
#[derive(Clone, Debug, Default)]
pub struct Received {
    ipv4: Keys,
    ipv6: Keys,
}

/// The keys of one family, each with the round in which it was last announced.
/// Those of earlier rounds are stale.
#[derive(Clone, Debug, Default)]
struct Keys {
    rounds: BTreeMap<Key, u64>,
    round: u64,
    /// How many are of this round.
    fresh: usize,
}

impl Keys {
    fn insert(&mut self, key: Key) -> bool {
        let before = self.rounds.insert(key, self.round);
        if before != Some(self.round) {
            self.fresh = self.fresh.saturating_add(1);
        }
        before.is_none()
    }

    fn remove(&mut self, key: &Key) -> bool {
        let before = self.rounds.remove(key);
        if before == Some(self.round) {
            self.fresh = self.fresh.saturating_sub(1);
        }
        before.is_some()
    }

    fn mark_stale(&mut self) {
        self.round = self.round.saturating_add(1);
        self.fresh = 0;
    }

    fn take_stale(&mut self) -> Vec<Key> {
        if self.fresh == self.rounds.len() {
            return Vec::new();
        }
        let round = self.round;
        self.rounds.extract_if(.., |_, last| *last != round).map(|(key, _)| key).collect()
    }
}

impl Received {
    fn of(&mut self, family: Family) -> &mut Keys {
        match family {
            Family::Ipv4Unicast => &mut self.ipv4,
            Family::Ipv6Unicast => &mut self.ipv6,
        }
    }

    /// The neighbour announced `key`; returns whether it is new.
    pub fn insert(&mut self, key: Key) -> bool {
        self.of(key.family()).insert(key)
    }

    /// The neighbour withdrew `key`; returns whether it was there.
    pub fn remove(&mut self, key: &Key) -> bool {
        self.of(key.family()).remove(key)
    }

    /// How many routes of a family there are.
    pub fn count(&self, family: Family) -> usize {
        match family {
            Family::Ipv4Unicast => self.ipv4.rounds.len(),
            Family::Ipv6Unicast => self.ipv6.rounds.len(),
        }
    }

    /// The neighbour is about to send the routes of `families` anew
    /// (RFC 4724 §4.2, RFC 7313 §4).
    pub fn mark_stale(&mut self, families: FamilySet) {
        families.iter().for_each(|family| self.of(family).mark_stale());
    }

    /// Takes out what was not announced again.
    pub fn take_stale(&mut self, families: FamilySet) -> Vec<Key> {
        families.iter().flat_map(|family| self.of(family).take_stale()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reactor::random::Random;

    fn key(text: &str) -> Key {
        Key::new(text.parse().unwrap())
    }

    #[test]
    fn counts_by_family() {
        let mut received = Received::default();
        assert!(received.insert(key("192.0.2.0/24")));
        assert!(!received.insert(key("192.0.2.0/24")));
        assert!(received.insert(key("2001:db8::/32")));
        let counts = |r: &Received| Family::ALL.map(|family| r.count(family));
        assert_eq!(counts(&received), [1, 1]);
        assert!(!received.remove(&key("198.51.100.0/24")));
        assert!(received.remove(&key("2001:db8::/32")));
        assert_eq!(counts(&received), [1, 0]);
        received.mark_stale(FamilySet::ALL);
        assert_eq!(received.take_stale(FamilySet::ALL), [key("192.0.2.0/24")]);
        assert_eq!(counts(&received), [0, 0]);
    }

    #[test]
    fn what_is_not_sent_again_goes() {
        let mut received = Received::default();
        for text in ["192.0.2.0/25", "192.0.2.128/25", "2001:db8::/32"] {
            received.insert(key(text));
        }
        let ipv4: FamilySet = [Family::Ipv4Unicast].into_iter().collect();
        received.mark_stale(ipv4);
        received.insert(key("192.0.2.0/25"));
        assert_eq!(received.take_stale(ipv4), [key("192.0.2.128/25")]);
        assert_eq!(received.take_stale(ipv4), []);
        assert_eq!(received.count(Family::Ipv6Unicast), 1);
    }
    /// Whatever is done in whatever order, it is as if each key said itself
    /// whether it is stale.
    #[test]
    fn it_is_as_good_as_a_flag_for_each_key() {
        let mut random = Random::new(7);
        let mut received = Received::default();
        let mut flags: BTreeMap<Key, bool> = BTreeMap::new();
        for _ in 0..20_000 {
            let texts = ["192.0.2.0/24", "2001:db8::/48"];
            let path_id = random.below(6) as u32;
            let key = Key { path_id, ..key(texts[random.index(2)]) };
            let families: FamilySet = match random.below(3) {
                0 => FamilySet::ALL,
                _ => [key.family()].into_iter().collect(),
            };
            match random.below(12) {
                0 => {
                    received.mark_stale(families);
                    let marked = flags.iter_mut().filter(|(k, _)| families.contains(k.family()));
                    marked.for_each(|(_, stale)| *stale = true);
                }
                1 => {
                    let gone = |k: &Key, stale: bool| stale && families.contains(k.family());
                    let swept: Vec<Key> =
                        flags.extract_if(.., |k, stale| gone(k, *stale)).map(|(k, _)| k).collect();
                    assert_eq!(received.take_stale(families), swept);
                }
                2..5 => assert_eq!(received.remove(&key), flags.remove(&key).is_some()),
                _ => assert_eq!(received.insert(key), flags.insert(key, false).is_none()),
            }
            for family in Family::ALL {
                let count = flags.keys().filter(|k| k.family() == family).count();
                assert_eq!(received.count(family), count);
            }
        }
    }
}
