//! How many connections targets and services have.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::hash::Hash;
use std::net::SocketAddr;
use std::rc::Rc;

use crate::proxy::Picked;

/// Connections to each target and each service that has any, those under way
/// included.
#[derive(Debug, Default)]
pub(super) struct Load {
    targets: HashMap<SocketAddr, u32>,
    services: HashMap<Rc<str>, u32>,
}

impl Load {
    /// There is a connection to this target.
    pub(super) fn add(&mut self, target: &Picked) {
        add(self.targets.entry(target.address));
        match self.services.get_mut(&target.service) {
            Some(count) => *count = count.saturating_add(1),
            None => add(self.services.entry(Rc::clone(&target.service))),
        }
    }

    /// A connection to this target is over, or never came to be.
    pub(super) fn remove(&mut self, target: &Picked) {
        remove(&mut self.targets, &target.address);
        remove(&mut self.services, &target.service);
    }

    /// How many a target has, over all services.
    pub(super) fn of_target(&self, address: SocketAddr) -> usize {
        self.targets.get(&address).map_or(0, |count| usize::try_from(*count).unwrap_or(usize::MAX))
    }

    /// Whether a service may have one more; a limit of zero is none.
    pub(super) fn has_room(&self, service: &str, limit: u32) -> bool {
        limit == 0 || self.services.get(service).is_none_or(|count| *count < limit)
    }
}

fn add<K>(entry: Entry<'_, K, u32>) {
    let count = entry.or_insert(0);
    *count = count.saturating_add(1);
}

fn remove<K: Eq + Hash>(counts: &mut HashMap<K, u32>, key: &K) {
    let Some(count) = counts.get_mut(key) else { return };
    *count = count.saturating_sub(1);
    if *count == 0 {
        counts.remove(key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn picked(service: &str, port: u16) -> Picked {
        let address = SocketAddr::from(([192, 0, 2, 1], port));
        Picked { address, service: service.into(), header: None }
    }

    #[test]
    fn what_is_over_leaves_nothing_behind() {
        let mut load = Load::default();
        for target in [picked("web", 1), picked("web", 2), picked("api", 1)] {
            load.add(&target);
        }
        assert_eq!(load.of_target(picked("web", 1).address), 2);
        assert!(load.has_room("web", 3) && load.has_room("web", 0) && load.has_room("new", 1));
        assert!(!load.has_room("web", 2) && !load.has_room("api", 1));
        for target in [picked("web", 1), picked("web", 2), picked("api", 1), picked("api", 1)] {
            load.remove(&target);
        }
        assert_eq!(load.of_target(picked("web", 1).address), 0);
        assert!(load.targets.is_empty() && load.services.is_empty());
    }
}
