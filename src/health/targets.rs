//! The health of all targets, by service and address.
//!
//! A target's state belongs to its service and address and not to a route
//! table, so a new table that has the same target does not forget what is
//! known of it.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use super::machine::{Change, Machine, State};
use crate::reactor::Time;

/// One target and what is known of it.
#[derive(Clone, Debug)]
pub struct Target {
    service: String,
    address: SocketAddr,
    machine: Machine,
}

impl Target {
    /// The service that it belongs to.
    pub fn service(&self) -> &str {
        &self.service
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its state, since when, and its last error.
    pub fn machine(&self) -> &Machine {
        &self.machine
    }
}

/// What [`Targets::sync`] did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SyncChange {
    /// The id of each target that is wanted, in the order in which they were.
    pub ids: Vec<u32>,
    /// Those that are new, and unknown.
    pub added: Vec<u32>,
    /// Those that are gone. What is still under way for them means nothing.
    pub removed: Vec<u32>,
}

/// How many targets there are in each state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Counts {
    unknown: usize,
    healthy: usize,
    unhealthy: usize,
}

impl Counts {
    fn of(&mut self, state: State) -> &mut usize {
        match state {
            State::Unknown => &mut self.unknown,
            State::Healthy => &mut self.healthy,
            State::Unhealthy => &mut self.unhealthy,
        }
    }

    fn enter(&mut self, state: State) {
        let count = self.of(state);
        *count = count.saturating_add(1);
    }

    fn leave(&mut self, state: State) {
        let count = self.of(state);
        *count = count.saturating_sub(1);
    }
}

/// All targets. An id stands for the same target as long as that exists, and
/// is not given to another one afterwards, so a late result cannot be taken
/// for another target's.
#[derive(Clone, Debug)]
pub struct Targets {
    rise: u32,
    fall: u32,
    next_id: u32,
    targets: BTreeMap<u32, Target>,
    by_address: BTreeMap<SocketAddr, Vec<u32>>,
    counts: Counts,
    /// The unhealthy ones, by the time of their last error.
    errors: BTreeSet<(Time, u32)>,
}

impl Targets {
    /// No targets. `rise` and `fall` are `health.rise` and `health.fall`.
    pub fn new(rise: u32, fall: u32) -> Targets {
        Targets {
            rise,
            fall,
            next_id: 0,
            targets: BTreeMap::new(),
            by_address: BTreeMap::new(),
            counts: Counts::default(),
            errors: BTreeSet::new(),
        }
    }

    /// Judges all targets by other numbers from the next result on.
    pub fn change(&mut self, rise: u32, fall: u32) {
        (self.rise, self.fall) = (rise, fall);
        self.targets.values_mut().for_each(|target| target.machine.change(rise, fall));
    }

    /// No targets, with the same thresholds.
    pub fn like(other: &Targets) -> Targets {
        Targets::new(other.rise, other.fall)
    }

    /// Makes these the targets that exist. Those that exist already keep
    /// their id and their state.
    pub fn sync(&mut self, now: Time, wanted: &[(String, SocketAddr)]) -> SyncChange {
        let mut change = SyncChange::default();
        for (service, address) in wanted {
            let (id, is_new) = self.ensure(now, service, *address);
            change.added.extend(is_new.then_some(id));
            change.ids.push(id);
        }
        let keep: BTreeSet<u32> = change.ids.iter().copied().collect();
        change.removed = self.targets.keys().copied().filter(|id| !keep.contains(id)).collect();
        for &id in &change.removed {
            self.remove(id);
        }
        change
    }

    /// The id of a target, and whether it was not there before.
    pub fn ensure(&mut self, now: Time, service: &str, address: SocketAddr) -> (u32, bool) {
        match self.by_address(service, address) {
            Some(id) => (id, false),
            None => (self.add(now, service, address), true),
        }
    }

    /// The first id from this one on: to walk over all targets piece by piece.
    pub fn id_from(&self, id: u32) -> Option<u32> {
        self.targets.range(id..).next().map(|(&id, _)| id)
    }

    /// Takes the result of a check; see [`Machine::record`]. `None` as well
    /// for a target that is gone.
    pub fn record(&mut self, id: u32, now: Time, outcome: Result<(), String>) -> Option<Change> {
        let machine = &mut self.targets.get_mut(&id)?.machine;
        let before = failing_at(machine);
        let change = machine.record(now, outcome);
        let after = failing_at(machine);
        if before != after {
            before.map(|at| self.errors.remove(&(at, id)));
            self.errors.extend(after.map(|at| (at, id)));
        }
        let change = change?;
        self.counts.leave(change.from);
        self.counts.enter(change.to);
        Some(change)
    }

    /// A client's connection to the target failed: as a failed check.
    pub fn dial_failed(&mut self, id: u32, now: Time, error: String) -> Option<Change> {
        self.record(id, now, Err(error))
    }

    /// A client's connection to the targets at this address was made; see
    /// [`Machine::dial_succeeded`].
    pub fn dial_succeeded(&mut self, address: SocketAddr) {
        for id in self.by_address.get(&address).into_iter().flatten() {
            if let Some(target) = self.targets.get_mut(id) {
                target.machine.dial_succeeded();
            }
        }
    }

    /// The target with this id.
    pub fn get(&self, id: u32) -> Option<&Target> {
        self.targets.get(&id)
    }

    /// The state of the target with this id.
    pub fn state(&self, id: u32) -> Option<State> {
        self.get(id).map(|target| target.machine.state())
    }

    /// The id of a service's target at this address.
    pub fn by_address(&self, service: &str, address: SocketAddr) -> Option<u32> {
        let has_service = |id: &u32| self.get(*id).is_some_and(|t| t.service == service);
        self.ids_at(address).iter().copied().find(has_service)
    }

    /// The ids of the targets at this address, one for each service.
    pub fn ids_at(&self, address: SocketAddr) -> &[u32] {
        self.by_address.get(&address).map_or(&[], Vec::as_slice)
    }

    /// How many there are.
    pub fn total(&self) -> usize {
        self.targets.len()
    }

    /// How many are healthy.
    pub fn healthy_count(&self) -> usize {
        self.counts.healthy
    }

    /// How many have not been checked yet.
    pub fn unknown_count(&self) -> usize {
        self.counts.unknown
    }

    /// How many are unhealthy.
    pub fn unhealthy_count(&self) -> usize {
        self.counts.unhealthy
    }

    /// The latest error of a target that is unhealthy.
    pub fn last_error(&self) -> Option<&str> {
        let (_, id) = self.errors.last()?;
        self.get(*id)?.machine.last_error().map(|(_, error)| error)
    }

    /// All targets with their ids, oldest first.
    pub fn iter(&self) -> impl Iterator<Item = (u32, &Target)> {
        self.targets.iter().map(|(&id, target)| (id, target))
    }

    fn add(&mut self, now: Time, service: &str, address: SocketAddr) -> u32 {
        // After four billion targets ids start over, past those in use.
        while self.targets.contains_key(&self.next_id) {
            self.next_id = self.next_id.wrapping_add(1);
        }
        let id = self.next_id;
        self.next_id = id.wrapping_add(1);
        let machine = Machine::new(now, self.rise, self.fall);
        self.counts.enter(machine.state());
        self.targets.insert(id, Target { service: service.to_owned(), address, machine });
        self.by_address.entry(address).or_default().push(id);
        id
    }

    /// A target is gone, and what is still under way for it means nothing.
    pub fn remove(&mut self, id: u32) {
        let Some(target) = self.targets.remove(&id) else { return };
        self.counts.leave(target.machine.state());
        failing_at(&target.machine).map(|at| self.errors.remove(&(at, id)));
        if let Some(ids) = self.by_address.get_mut(&target.address) {
            ids.retain(|&other| other != id);
            if ids.is_empty() {
                self.by_address.remove(&target.address);
            }
        }
    }
}

/// When the last error of a target was that is unhealthy.
fn failing_at(machine: &Machine) -> Option<Time> {
    let (at, _) = machine.last_error()?;
    (machine.state() == State::Unhealthy).then_some(at)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(list: &[(&str, u16)]) -> Vec<(String, SocketAddr)> {
        let pair = |&(service, port): &(&str, u16)| {
            (service.to_owned(), SocketAddr::from(([192, 0, 2, 1], port)))
        };
        list.iter().map(pair).collect()
    }

    fn at(seconds: u64) -> Time {
        Time::from_millis(seconds * 1_000)
    }

    fn assert_counts_balance(targets: &Targets) {
        let count = |state| targets.iter().filter(|(_, t)| t.machine().state() == state).count();
        assert_eq!(targets.unknown_count(), count(State::Unknown));
        assert_eq!(targets.healthy_count(), count(State::Healthy));
        assert_eq!(targets.unhealthy_count(), count(State::Unhealthy));
        let indexed: usize = targets.by_address.values().map(Vec::len).sum();
        assert_eq!(targets.total(), indexed);
        let failing = |(id, t): (u32, &Target)| Some((failing_at(t.machine())?, id));
        let errors: BTreeSet<(Time, u32)> = targets.iter().filter_map(failing).collect();
        assert_eq!(targets.errors, errors);
    }

    #[test]
    fn targets_come_and_go_and_ids_are_not_used_twice() {
        let mut targets = Targets::new(1, 1);
        let change = targets.sync(at(1), &wanted(&[("a", 1), ("b", 1), ("a", 2)]));
        assert_eq!(change.ids, [0, 1, 2]);
        assert_eq!(change.added, [0, 1, 2]);
        assert!(change.removed.is_empty());
        let change = targets.sync(at(2), &wanted(&[("a", 3), ("b", 1)]));
        assert_eq!(change, SyncChange { ids: vec![3, 1], added: vec![3], removed: vec![0, 2] });
        let change = targets.sync(at(3), &wanted(&[("a", 1)]));
        assert_eq!(change, SyncChange { ids: vec![4], added: vec![4], removed: vec![1, 3] });
        assert_eq!(targets.get(4).unwrap().machine().since(), at(3));
        assert_counts_balance(&targets);
    }

    #[test]
    fn other_numbers_hold_for_all_targets_from_the_next_result_on() {
        let mut targets = Targets::new(1, 1);
        targets.sync(at(1), &wanted(&[("a", 1)]));
        targets.record(0, at(2), Ok(()));
        targets.change(2, 2);
        targets.sync(at(3), &wanted(&[("a", 1), ("a", 2)]));
        targets.record(1, at(3), Ok(()));
        for id in [0, 1] {
            assert_eq!(targets.record(id, at(4), Err("refused".to_owned())), None);
            assert_eq!(targets.state(id), Some(State::Healthy));
            assert!(targets.record(id, at(5), Err("refused".to_owned())).is_some());
            assert_eq!(targets.record(id, at(6), Ok(())), None, "and two to rise");
        }
    }

    #[test]
    fn state_survives_a_new_table() {
        let mut targets = Targets::new(1, 1);
        targets.sync(at(1), &wanted(&[("a", 1), ("a", 2)]));
        targets.record(0, at(2), Ok(()));
        targets.record(1, at(2), Err("refused".to_owned()));
        let change = targets.sync(at(3), &wanted(&[("a", 2), ("c", 9), ("a", 1)]));
        assert_eq!(change, SyncChange { ids: vec![1, 2, 0], added: vec![2], removed: vec![] });
        assert_eq!(targets.state(0), Some(State::Healthy));
        assert_eq!(targets.state(1), Some(State::Unhealthy));
        assert_eq!(targets.state(2), Some(State::Unknown));
        assert_eq!((targets.total(), targets.healthy_count(), targets.unknown_count()), (3, 1, 1));
        assert_counts_balance(&targets);
    }

    #[test]
    fn a_target_that_comes_back_is_unknown_again() {
        let mut targets = Targets::new(1, 1);
        targets.sync(at(1), &wanted(&[("a", 1)]));
        targets.record(0, at(2), Ok(()));
        targets.sync(at(3), &[]);
        assert_eq!((targets.total(), targets.healthy_count()), (0, 0));
        targets.sync(at(4), &wanted(&[("a", 1)]));
        assert_eq!(targets.unknown_count(), 1);
        assert_counts_balance(&targets);
    }

    #[test]
    fn a_target_wanted_twice_is_one_target() {
        let mut targets = Targets::new(1, 1);
        let change = targets.sync(at(1), &wanted(&[("a", 1), ("a", 1)]));
        assert_eq!(change.ids, [0, 0]);
        assert_eq!(change.added, [0]);
        assert_eq!(targets.total(), 1);
    }

    #[test]
    fn targets_are_found_by_service_and_address() {
        let mut targets = Targets::new(1, 1);
        targets.sync(at(1), &wanted(&[("a", 1), ("b", 1)]));
        let address = SocketAddr::from(([192, 0, 2, 1], 1));
        assert_eq!(targets.by_address("a", address), Some(0));
        assert_eq!(targets.by_address("b", address), Some(1));
        assert_eq!(targets.by_address("c", address), None);
        targets.sync(at(2), &wanted(&[("b", 1)]));
        assert_eq!(targets.by_address("a", address), None);
        assert_eq!(targets.by_address("b", address), Some(1));
        assert_eq!(targets.get(1).map(Target::service), Some("b"));
        assert_eq!(targets.get(1).map(Target::address), Some(address));
    }

    #[test]
    fn results_move_the_counts() {
        let mut targets = Targets::new(1, 2);
        targets.sync(at(1), &wanted(&[("a", 1), ("a", 2)]));
        assert!(targets.record(0, at(2), Ok(())).is_some());
        assert!(targets.record(1, at(2), Ok(())).is_some());
        assert!(targets.dial_failed(1, at(3), "timed out".to_owned()).is_none());
        targets.dial_succeeded(SocketAddr::from(([192, 0, 2, 1], 2)));
        assert!(targets.dial_failed(1, at(4), "timed out".to_owned()).is_none());
        assert_eq!(targets.last_error(), None, "nothing is unhealthy");
        assert!(targets.dial_failed(1, at(5), "reset".to_owned()).is_some());
        assert_eq!((targets.healthy_count(), targets.unhealthy_count()), (1, 1));
        assert_eq!(targets.last_error(), Some("reset"));
        assert_counts_balance(&targets);
    }

    #[test]
    fn results_of_a_target_that_is_gone_mean_nothing() {
        let mut targets = Targets::new(1, 1);
        targets.sync(at(1), &wanted(&[("a", 1)]));
        targets.sync(at(2), &wanted(&[("a", 2)]));
        assert_eq!(targets.record(0, at(3), Ok(())), None);
        targets.dial_succeeded(SocketAddr::from(([192, 0, 2, 1], 1)));
        assert_eq!(targets.state(0), None);
        assert_eq!(targets.healthy_count(), 0);
    }

    #[test]
    fn ids_that_start_over_pass_those_in_use() {
        let mut targets = Targets::new(1, 1);
        targets.sync(at(1), &wanted(&[("a", 1)]));
        targets.next_id = u32::MAX;
        let change = targets.sync(at(2), &wanted(&[("a", 1), ("a", 2), ("a", 3)]));
        assert_eq!(change.ids, [0, u32::MAX, 1]);
    }
}
