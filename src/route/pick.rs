//! Picking one of a route's targets.

use std::collections::HashMap;
use std::net::SocketAddr;

use super::command::Source;
use super::table::{Route, Target};
use crate::reactor::random::Random;

/// `proxy.strategy`: how a target is picked from a route's weighted ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Strategy {
    /// `rnd`: a uniform random slot of the ring.
    Random,
    /// `rr`: the ring's slots in turn.
    RoundRobin,
}

/// Picks targets by `proxy.strategy`. It holds what a strategy remembers, and
/// is kept when the table changes: round-robin goes on where it was. (fabio
/// starts over with the first target at every change of the table.)
#[derive(Debug)]
pub struct Picker {
    strategy: Strategy,
    random: Random,
    /// The slot that is next in turn. At most one for each source.
    turns: HashMap<Source, usize>,
    /// Which of a route's targets can be picked; kept for its memory alone.
    fit: Vec<bool>,
}

impl Picker {
    /// A picker; `seed` makes its random choices.
    pub fn new(strategy: Strategy, seed: u64) -> Picker {
        Picker { strategy, random: Random::new(seed), turns: HashMap::new(), fit: Vec::new() }
    }

    /// Picks a target that is usable and whose address was not tried before;
    /// `None` when there is none. A target without slots on the ring is never
    /// picked.
    ///
    /// What an unusable target would have got goes to the others by their
    /// weights, not to its neighbour on the ring alone.
    pub fn pick<'r>(
        &mut self,
        route: &'r Route,
        usable: &dyn Fn(&Target) -> bool,
        tried: &[SocketAddr],
    ) -> Option<&'r Target> {
        let fit = |target: &Target| !tried.contains(&target.address) && usable(target);
        match self.strategy {
            Strategy::Random => self.pick_random(route, &fit),
            Strategy::RoundRobin => self.pick_next(route, &fit),
        }
    }

    /// A uniform random slot; if that one does not fit, a uniform random slot
    /// of those that do.
    fn pick_random<'r>(
        &mut self,
        route: &'r Route,
        fit: &dyn Fn(&Target) -> bool,
    ) -> Option<&'r Target> {
        let first = route.at_slot(self.random.index(route.ring().len()))?;
        if fit(first) {
            return Some(first);
        }
        let slots = self.mark_fit(route, fit);
        let mut left = self.random.index(slots);
        for (target, _) in route.targets().iter().zip(&self.fit).filter(|&(_, &fit)| fit) {
            match left.checked_sub(target.slots as usize) {
                Some(rest) => left = rest,
                None => return Some(target),
            }
        }
        None
    }

    /// The slot whose turn it is, or the next one that fits; the turn moves
    /// behind it, so that those that fit share alike.
    fn pick_next<'r>(
        &mut self,
        route: &'r Route,
        fit: &dyn Fn(&Target) -> bool,
    ) -> Option<&'r Target> {
        let size = route.ring().len();
        let turn = self.turns.get(route.source()).copied().unwrap_or(0);
        let first = turn.checked_rem(size)?;
        let slot = if route.at_slot(first).is_some_and(fit) {
            first
        } else if self.mark_fit(route, fit) > 0 {
            let fits = |&(_, at): &(usize, &usize)| self.fit.get(*at).copied().unwrap_or(false);
            route.ring().iter().enumerate().cycle().skip(first).take(size).find(fits)?.0
        } else {
            return None;
        };
        self.turns.insert(route.source().clone(), slot.saturating_add(1));
        route.at_slot(slot)
    }

    /// Asks every target once, and returns the slots of those that fit. One
    /// question a target, because a ring may have ten thousand slots.
    fn mark_fit(&mut self, route: &Route, fit: &dyn Fn(&Target) -> bool) -> usize {
        self.fit.clear();
        self.fit.extend(route.targets().iter().map(fit));
        let fitting = route.targets().iter().zip(&self.fit).filter(|&(_, &fit)| fit);
        fitting.fold(0, |sum, (target, _)| sum.saturating_add(target.slots as usize))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::route::command::parse;
    use crate::route::table::Table;

    const BOTH: [Strategy; 2] = [Strategy::Random, Strategy::RoundRobin];

    /// A table with route `:1` of one target for each weight; the target's
    /// place is its port, from 1.
    fn table(weights: &[&str]) -> Table {
        let line = |(port, weight): (usize, &&str)| {
            format!("route add a :1 tcp://192.0.2.1:{port} weight {weight}\n")
        };
        let text: String = (1..).zip(weights).map(line).collect();
        let parsed = parse(&text);
        assert_eq!(parsed.errors, []);
        Table::build(&parsed.commands)
    }

    /// How often each target is picked in `picks` picks, with some unusable.
    fn counts(picker: &mut Picker, table: &Table, picks: usize, down: &[u16]) -> Vec<usize> {
        let route = table.lookup_port(1).unwrap();
        let mut counts = vec![0; route.targets().len()];
        for _ in 0..picks {
            let usable = |target: &Target| !down.contains(&target.address.port());
            let target = picker.pick(route, &usable, &[]).unwrap();
            counts[usize::from(target.address.port()) - 1] += 1;
        }
        counts
    }

    fn assert_near(counts: &[usize], expected: &[usize]) {
        let total: usize = expected.iter().sum();
        let near = |(&got, &want): (&usize, &usize)| {
            if want == 0 { got == 0 } else { got.abs_diff(want) <= total / 50 }
        };
        assert_eq!(counts.len(), expected.len());
        assert!(counts.iter().zip(expected).all(near), "{counts:?}, expected {expected:?}");
    }

    #[test]
    fn picks_follow_the_weights() {
        let table = table(&["0.5", "0.2", "0", "0"]);
        for strategy in BOTH {
            let mut picker = Picker::new(strategy, 42);
            let counts = counts(&mut picker, &table, 20_000, &[]);
            assert_near(&counts, &[10_000, 4_000, 3_000, 3_000]);
        }
    }

    #[test]
    fn one_turn_of_round_robin_is_exact() {
        let table = table(&["0.5", "0.3", "0.2"]);
        let mut picker = Picker::new(Strategy::RoundRobin, 0);
        assert_eq!(counts(&mut picker, &table, 10_000, &[]), [5_000, 3_000, 2_000]);
    }

    #[test]
    fn what_an_unusable_target_leaves_goes_to_all_others_by_weight() {
        let table = table(&["0", "0", "0", "0"]);
        for strategy in BOTH {
            let mut picker = Picker::new(strategy, 42);
            let counts = counts(&mut picker, &table, 12_000, &[1]);
            assert_near(&counts, &[0, 4_000, 4_000, 4_000]);
        }
        let table = self::table(&["0.4", "0.4", "0.2"]);
        let mut picker = Picker::new(Strategy::Random, 42);
        assert_near(&counts(&mut picker, &table, 12_000, &[1]), &[0, 8_000, 4_000]);
    }

    #[test]
    fn the_last_usable_target_gets_everything_however_small_it_is() {
        let table = table(&["0.0001", "0.5", "0.4999"]);
        for strategy in BOTH {
            let mut picker = Picker::new(strategy, 42);
            assert_eq!(counts(&mut picker, &table, 100, &[2, 3]), [100, 0, 0]);
        }
    }

    #[test]
    fn a_tried_target_is_never_picked_again() {
        let table = table(&["0.9", "0.05", "0.05"]);
        let route = table.lookup_port(1).unwrap();
        for strategy in BOTH {
            let mut picker = Picker::new(strategy, 1);
            for _ in 0..200 {
                let mut tried = Vec::new();
                while let Some(target) = picker.pick(route, &|_| true, &tried) {
                    assert!(!tried.contains(&target.address));
                    tried.push(target.address);
                }
                assert_eq!(tried.len(), 3);
            }
        }
    }

    #[test]
    fn without_a_usable_target_there_is_no_pick() {
        let table = table(&["0.5", "0.5"]);
        for strategy in BOTH {
            let mut picker = Picker::new(strategy, 1);
            assert!(picker.pick(table.lookup_port(1).unwrap(), &|_| false, &[]).is_none());
        }
    }

    #[test]
    fn a_target_without_a_share_gets_nothing_even_when_it_is_the_last() {
        let table = table(&["1", "0"]);
        for strategy in BOTH {
            let mut picker = Picker::new(strategy, 9);
            assert_eq!(counts(&mut picker, &table, 1_000, &[]), [1_000, 0]);
            let route = table.lookup_port(1).unwrap();
            assert!(picker.pick(route, &|t| t.address.port() == 2, &[]).is_none());
        }
    }

    #[test]
    fn a_single_target_is_picked_whatever_its_weight() {
        for weight in ["0", "-1", "0.001", "3"] {
            for strategy in BOTH {
                let mut picker = Picker::new(strategy, 9);
                assert_eq!(counts(&mut picker, &table(&[weight]), 10, &[]), [10]);
            }
        }
    }

    #[test]
    fn round_robin_goes_on_across_tables() {
        let mut picker = Picker::new(Strategy::RoundRobin, 0);
        let mut order = Vec::new();
        for _ in 0..4 {
            let table = table(&["0", "0", "0"]);
            let route = table.lookup_port(1).unwrap();
            order.extend(picker.pick(route, &|_| true, &[]).map(|t| t.address.port()));
        }
        assert_eq!(order, [1, 2, 3, 1]);
        assert_eq!(counts(&mut picker, &table(&["0"]), 2, &[]), [2], "a smaller ring");
    }

    #[test]
    fn routes_take_their_turns_apart() {
        let parsed = parse(
            "route add a :1 tcp://192.0.2.1:1\nroute add a :1 tcp://192.0.2.1:2\n\
             route add a :2 tcp://192.0.2.1:3\nroute add a :2 tcp://192.0.2.1:4",
        );
        let table = Table::build(&parsed.commands);
        let mut picker = Picker::new(Strategy::RoundRobin, 0);
        let mut pick = |port: u16| {
            let route = table.lookup_port(port).unwrap();
            picker.pick(route, &|_| true, &[]).unwrap().address.port()
        };
        assert_eq!([pick(1), pick(2), pick(1), pick(2)], [1, 3, 2, 4]);
    }

    #[test]
    fn the_seed_makes_the_choices() {
        let table = table(&["0", "0", "0"]);
        let picks = |seed: u64| {
            let mut picker = Picker::new(Strategy::Random, seed);
            let route = table.lookup_port(1).unwrap();
            let mut pick = || picker.pick(route, &|_| true, &[]).unwrap().address.port();
            (0..50).map(|_| pick()).collect::<Vec<u16>>()
        };
        assert_eq!(picks(5), picks(5));
        assert_ne!(picks(5), picks(6));
    }
}
