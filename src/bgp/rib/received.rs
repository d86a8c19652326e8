//! Which routes a neighbour has announced: as much of an Adj-RIB-In (RFC 4271
//! §3.2) as a speaker needs that rejects them all but may count them, or that
//! passes them on.

use std::collections::BTreeMap;

use super::Key;
use crate::bgp::message::prefix::{Family, FamilySet};

/// The keys of one neighbour's routes: see the module's page.
#[derive(Clone, Debug, Default)]
pub struct Received {
    /// Whether each is stale: not announced again since the neighbour began
    /// to send its routes anew.
    stale: BTreeMap<Key, bool>,
    ipv4: usize,
}

impl Received {
    /// The neighbour announced `key`; returns whether it is new.
    pub fn insert(&mut self, key: Key) -> bool {
        let new = self.stale.insert(key, false).is_none();
        if new && key.family() == Family::Ipv4Unicast {
            self.ipv4 = self.ipv4.saturating_add(1);
        }
        new
    }

    /// The neighbour withdrew `key`; returns whether it was there.
    pub fn remove(&mut self, key: &Key) -> bool {
        let known = self.stale.remove(key).is_some();
        if known && key.family() == Family::Ipv4Unicast {
            self.ipv4 = self.ipv4.saturating_sub(1);
        }
        known
    }

    /// How many routes of a family there are.
    pub fn count(&self, family: Family) -> usize {
        match family {
            Family::Ipv4Unicast => self.ipv4,
            Family::Ipv6Unicast => self.stale.len().saturating_sub(self.ipv4),
        }
    }

    /// The neighbour is about to send the routes of `families` anew
    /// (RFC 4724 §4.2, RFC 7313 §4).
    pub fn mark_stale(&mut self, families: FamilySet) {
        for (key, stale) in &mut self.stale {
            *stale |= families.contains(key.family());
        }
    }

    /// Takes out what was not announced again.
    pub fn take_stale(&mut self, families: FamilySet) -> Vec<Key> {
        let gone = |key: &Key, stale: bool| stale && families.contains(key.family());
        let keys: Vec<Key> =
            self.stale.iter().filter(|(key, stale)| gone(key, **stale)).map(|(k, _)| *k).collect();
        keys.iter().for_each(|key| {
            self.remove(key);
        });
        keys
    }

    /// Takes out everything.
    pub fn take_all(&mut self) -> Vec<Key> {
        self.ipv4 = 0;
        std::mem::take(&mut self.stale).into_keys().collect()
    }

    /// Whether there is nothing.
    pub fn is_empty(&self) -> bool {
        self.stale.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
        assert_eq!(received.take_all(), [key("192.0.2.0/24")]);
        assert_eq!(counts(&received), [0, 0]);
        assert!(received.is_empty());
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
}
