//! The paths that we originate, each with its owner.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::ops::Bound;

use ipnet::IpNet;

use super::Key;
use crate::bgp::message::attribute::Origin;

/// Who put a path into the table. The order is precedence: while the announcer
/// holds a prefix, no other owner's path for it is exported.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Owner {
    /// The announcer: an anycast prefix that can be served.
    Announcer,
    /// The operator, at run time through the API.
    Api,
    /// The operator, in a configuration file.
    File,
}

/// Which next hop a route is announced with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NextHop {
    /// Our own address of the session, of the prefix's family.
    Own,
    /// This one; it says nothing of prefixes of the other family.
    Address(IpAddr),
}

/// How a path is made less preferred than those of other speakers, who still
/// announce theirs in full. Each part acts on some neighbours only, so they go
/// together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Deprefer {
    /// How many more times our AS is in AS_PATH towards other ASes: the longer
    /// path loses (RFC 4271 §9.1.2.2 a).
    pub prepend: u8,
    /// The highest LOCAL_PREF towards our own AS (RFC 4271 §5.1.5).
    pub local_pref: u32,
    /// MULTI_EXIT_DISC in place of every other one. It acts only between
    /// routes of one neighbouring AS (RFC 4271 §9.1.2.2 c).
    pub med: Option<u32>,
    /// COMMUNITIES beside the others (RFC 1997), for what the neighbours' import
    /// policies do with them.
    pub communities: Vec<u32>,
}

impl Default for Deprefer {
    /// Three more of our AS, and LOCAL_PREF 50.
    fn default() -> Deprefer {
        Deprefer { prepend: 3, local_pref: 50, med: None, communities: Vec::new() }
    }
}

/// What a path says before it is made ready for one neighbour, whose own
/// settings go before it: see [`crate::bgp::export`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Path {
    /// ORIGIN (RFC 4271 §5.1.1).
    pub origin: Origin,
    /// MULTI_EXIT_DISC (RFC 4271 §5.1.4), if any.
    pub med: Option<u32>,
    /// LOCAL_PREF towards our own AS (RFC 4271 §5.1.5).
    pub local_pref: u32,
    /// How many more times our AS is in AS_PATH towards other ASes.
    pub prepend: u8,
    /// COMMUNITIES (RFC 1997).
    pub communities: Vec<u32>,
    /// LARGE_COMMUNITIES (RFC 8092).
    pub large_communities: Vec<[u32; 3]>,
    /// EXTENDED_COMMUNITIES (RFC 4360).
    pub extended_communities: Vec<[u8; 8]>,
    /// The next hop; `None`: the one of the prefix's family that the neighbour
    /// is sent by default.
    pub next_hop: Option<NextHop>,
    /// The route is there, but others are better: what makes it less preferred.
    /// This alone goes after what is set for a neighbour.
    pub deprefer: Option<Deprefer>,
    /// The route is about to be withdrawn, and the least preferred until then
    /// (RFC 8326).
    pub graceful_shutdown: bool,
    /// The names of the neighbours that hear of it; `None`: all.
    pub audience: Option<BTreeSet<String>>,
}

impl Path {
    /// Whether the neighbour of this name hears of it.
    pub fn is_for(&self, name: &str) -> bool {
        self.audience.as_ref().is_none_or(|names| names.contains(name))
    }
}

impl Default for Path {
    /// IGP, LOCAL_PREF 100, for all neighbours, nothing else.
    fn default() -> Path {
        Path {
            origin: Origin::Igp,
            med: None,
            local_pref: 100,
            prepend: 0,
            communities: Vec::new(),
            large_communities: Vec::new(),
            extended_communities: Vec::new(),
            next_hop: None,
            deprefer: None,
            graceful_shutdown: false,
            audience: None,
        }
    }
}

/// The table: per key the paths of all owners, of which the first counts.
#[derive(Clone, Debug, Default)]
pub struct Originated {
    paths: BTreeMap<Key, BTreeMap<Owner, Path>>,
    incomplete: bool,
}

impl Originated {
    /// Says whether everything is in it that is to be announced as soon as the
    /// process has found its feet. A new table is complete.
    pub fn set_complete(&mut self, complete: bool) {
        self.incomplete = !complete;
    }

    /// Whether an End-of-RIB would be true (RFC 4724 §2).
    pub fn is_complete(&self) -> bool {
        !self.incomplete
    }

    /// Puts in or replaces `owner`'s path; returns whether what is exported
    /// may have changed.
    pub fn insert(&mut self, prefix: IpNet, owner: Owner, path: Path) -> bool {
        let owners = self.paths.entry(Key::new(prefix)).or_default();
        owners.insert(owner, path.clone()) != Some(path)
    }

    /// Takes `owner`'s path out; returns whether there was one.
    pub fn remove(&mut self, prefix: IpNet, owner: Owner) -> bool {
        let key = Key::new(prefix);
        let Some(owners) = self.paths.get_mut(&key) else { return false };
        let removed = owners.remove(&owner).is_some();
        if owners.is_empty() {
            self.paths.remove(&key);
        }
        removed
    }

    /// The path to export for `key`, and whose it is.
    pub fn best(&self, key: &Key) -> Option<(Owner, &Path)> {
        self.paths.get(key)?.first_key_value().map(|(owner, path)| (*owner, path))
    }

    /// The first key after `after`: the step of a walk that tolerates change.
    pub fn next_key(&self, after: Option<Key>) -> Option<Key> {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        self.paths.range((from, Bound::Unbounded)).next().map(|(key, _)| *key)
    }

    /// How many prefixes are in it.
    pub fn len(&self) -> usize {
        self.paths.len()
    }

    /// Whether nothing is in it.
    pub fn is_empty(&self) -> bool {
        self.paths.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn net(text: &str) -> IpNet {
        text.parse().expect("a prefix")
    }

    #[test]
    fn the_announcer_goes_before_every_other_owner() {
        let mut table = Originated::default();
        let key = Key::new(net("192.0.2.10/32"));
        let theirs = Path { med: Some(5), ..Path::default() };
        assert!(table.insert(key.prefix, Owner::Api, theirs.clone()));
        assert!(!table.insert(key.prefix, Owner::Api, theirs.clone()), "nothing new");
        assert!(table.insert(key.prefix, Owner::Announcer, Path::default()));
        assert_eq!(table.best(&key), Some((Owner::Announcer, &Path::default())));
        assert!(table.remove(key.prefix, Owner::Announcer));
        assert_eq!(table.best(&key), Some((Owner::Api, &theirs)));
        assert!(table.remove(key.prefix, Owner::Api));
        assert!(!table.remove(key.prefix, Owner::Api));
        assert!(table.is_empty());
    }

    #[test]
    fn a_walk_visits_every_key_once_and_survives_changes() {
        let mut table = Originated::default();
        for text in ["192.0.2.1/32", "192.0.2.3/32", "2001:db8::1/128"] {
            table.insert(net(text), Owner::File, Path::default());
        }
        let first = table.next_key(None).expect("a key");
        table.remove(first.prefix, Owner::File);
        table.insert(net("192.0.2.2/32"), Owner::File, Path::default());
        let mut seen = vec![first];
        while let Some(key) = table.next_key(seen.last().copied()) {
            seen.push(key);
        }
        let texts: Vec<_> = seen.iter().map(|key| key.prefix.to_string()).collect();
        assert_eq!(texts, ["192.0.2.1/32", "192.0.2.2/32", "192.0.2.3/32", "2001:db8::1/128"]);
    }
}
