//! Picking one of a route's targets.

use std::collections::HashMap;
use std::net::IpAddr;

use super::hash::{Hash, mix};
use super::source::hash_socket;
use super::table::{Route, Target};
use crate::reactor::random::Random;

/// Most rings that are kept, of 40 KiB and more each. Only `rr` needs them, on
/// routes with fixed weights, and makes them again when they are not kept.
const MOST_RINGS: usize = 512;

/// `proxy.strategy` and `strategy=`: how one of a route's targets is picked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Strategy {
    /// `rnd`: at random, by the targets' shares.
    Random,
    /// `rr`: the slots of the weighted ring in turn.
    RoundRobin,
    /// `least`: the target with the fewest connections for its share.
    Least,
    /// `hash`: always the same target for the same client address, by shares.
    Hash,
}

impl Strategy {
    /// Reads a strategy's name.
    pub fn parse(text: &str) -> Option<Strategy> {
        Some(match text {
            "rnd" => Strategy::Random,
            "rr" => Strategy::RoundRobin,
            "least" => Strategy::Least,
            "hash" => Strategy::Hash,
            _ => return None,
        })
    }
}

/// What a pick is about.
pub struct Ask<'a> {
    /// Who wants to be served.
    pub client: IpAddr,
    /// Whether a target can be picked.
    pub fit: &'a dyn Fn(&Target) -> bool,
    /// How many connections a target has.
    pub load: &'a dyn Fn(&Target) -> usize,
}

/// Picks targets. It holds what the strategies remember about the routes of
/// one table; [`Picker::change_table`] takes that over to another.
#[derive(Debug)]
pub struct Picker {
    strategy: Strategy,
    random: Random,
    /// For each route of the table, by its place, the slot that is next in
    /// turn; those behind the end of the list are at their beginning.
    turns: Vec<usize>,
    rings: HashMap<usize, Vec<usize>>,
    /// Which of a route's targets can be picked; kept for its memory alone.
    fit: Vec<bool>,
}

impl Picker {
    /// A picker. `strategy` is for routes without one of their own; `seed`
    /// makes its random choices.
    pub fn new(strategy: Strategy, seed: u64) -> Picker {
        Picker {
            strategy,
            random: Random::new(seed),
            turns: Vec::new(),
            rings: HashMap::new(),
            fit: Vec::new(),
        }
    }

    /// The routes have new places: for each place of the new table comes the
    /// place that a route with this source had in the old one. Such a route
    /// goes on with the target whose turn it is. (fabio starts over with the
    /// first target at every change of the table.)
    pub fn change_table(&mut self, old_places: impl IntoIterator<Item = Option<usize>>) {
        let turn = |place: Option<usize>| place.and_then(|at| self.turns.get(at)).copied();
        self.turns = old_places.into_iter().map(|place| turn(place).unwrap_or(0)).collect();
        self.rings.clear();
    }

    /// Picks a target that is fit; `None` when there is none. A target without
    /// a share is never picked.
    ///
    /// What a target that is not fit would have got goes to the others by
    /// their shares, not to its neighbour on the ring alone.
    pub fn pick<'r>(&mut self, route: &'r Route, ask: &Ask<'_>) -> Option<&'r Target> {
        match route.strategy().unwrap_or(self.strategy) {
            Strategy::Random => self.pick_random(route, ask),
            Strategy::RoundRobin => self.pick_next(route, ask),
            Strategy::Least => self.pick_least(route, ask),
            Strategy::Hash => pick_hash(route, ask),
        }
    }

    /// A uniform random slot; if that one does not fit, a uniform random slot
    /// of those that do.
    fn pick_random<'r>(&mut self, route: &'r Route, ask: &Ask<'_>) -> Option<&'r Target> {
        let first = route.at_share(self.random.index(route.ring_size()))?;
        if (ask.fit)(first) {
            return Some(first);
        }
        let slots = self.mark_fit(route, ask);
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
    fn pick_next<'r>(&mut self, route: &'r Route, ask: &Ask<'_>) -> Option<&'r Target> {
        let size = route.ring_size();
        let first = self.turn(route).checked_rem(size)?;
        self.keep_ring(route);
        let place = at_slot(self.ring(route), first)?;
        let picked = if route.targets().get(place).is_some_and(ask.fit) {
            (first, place)
        } else {
            if self.mark_fit(route, ask) == 0 {
                return None;
            }
            let ring = self.ring(route);
            let places = |slot: usize| Some((slot, at_slot(ring, slot)?));
            let is_fit = |&(_, place): &(usize, usize)| self.fit.get(place) == Some(&true);
            (first..size).chain(0..first).filter_map(places).find(is_fit)?
        };
        let (slot, place) = picked;
        self.set_turn(route, slot.saturating_add(1));
        route.targets().get(place)
    }

    /// The target with the fewest connections over its share. Of several such
    /// it is the first from the one whose turn it is, and the turn moves
    /// behind it.
    fn pick_least<'r>(&mut self, route: &'r Route, ask: &Ask<'_>) -> Option<&'r Target> {
        let count = route.targets().len();
        let first = self.turn(route).checked_rem(count)?;
        let mut best: Option<(usize, f64)> = None;
        for place in (first..count).chain(0..first) {
            let Some(target) = route.targets().get(place) else { continue };
            if target.slots == 0 || !(ask.fit)(target) {
                continue;
            }
            let load = (ask.load)(target) as f64 / target.share;
            if best.is_none_or(|(_, least)| load < least) {
                best = Some((place, load));
            }
        }
        let (place, _) = best?;
        self.set_turn(route, place.saturating_add(1));
        route.targets().get(place)
    }

    fn turn(&self, route: &Route) -> usize {
        self.turns.get(route.place()).copied().unwrap_or(0)
    }

    fn set_turn(&mut self, route: &Route, turn: usize) {
        if self.turns.len() <= route.place() {
            self.turns.resize(route.place().saturating_add(1), 0);
        }
        if let Some(own) = self.turns.get_mut(route.place()) {
            *own = turn;
        }
    }

    /// Sees to it that the ring of a weighted route is there.
    fn keep_ring(&mut self, route: &Route) {
        if route.is_weighted() && !self.rings.contains_key(&route.place()) {
            if self.rings.len() >= MOST_RINGS {
                self.rings.clear();
            }
            self.rings.insert(route.place(), route.ring());
        }
    }

    /// The ring of a weighted route, which is kept; others need none.
    fn ring(&self, route: &Route) -> Option<&[usize]> {
        let ring = self.rings.get(&route.place()).filter(|_| route.is_weighted())?;
        Some(ring.as_slice())
    }

    /// Asks every target once, and returns the slots of those that fit. One
    /// question a target, because a ring may have ten thousand slots.
    fn mark_fit(&mut self, route: &Route, ask: &Ask<'_>) -> usize {
        self.fit.clear();
        self.fit.extend(route.targets().iter().map(ask.fit));
        let fitting = route.targets().iter().zip(&self.fit).filter(|&(_, &fit)| fit);
        fitting.fold(0, |sum, (target, _)| sum.saturating_add(target.slots as usize))
    }
}

/// The place of the target at a slot; without a ring the slots are the targets.
fn at_slot(ring: Option<&[usize]>, slot: usize) -> Option<usize> {
    match ring {
        Some(ring) => ring.get(slot).copied(),
        None => Some(slot),
    }
}

/// Rendezvous hashing (Thaler and Ravishankar, 1998) with weights (Schindelhauer
/// and Schomaker, 2005): each target draws a number from the client's address
/// and its own service and address, and the highest `-share / ln(number)` wins.
/// So every instance sends a client to the same target, and when a target goes
/// or is not fit only its own clients move.
fn pick_hash<'r>(route: &'r Route, ask: &Ask<'_>) -> Option<&'r Target> {
    let client = match ask.client.to_canonical() {
        IpAddr::V4(ip) => Hash::new().bytes(&ip.octets()),
        IpAddr::V6(ip) => Hash::new().bytes(&ip.octets()),
    };
    let client = client.finish();
    let mut best: Option<(&Target, f64)> = None;
    for target in route.targets() {
        if target.slots == 0 || !(ask.fit)(target) {
            continue;
        }
        let score = target.share / -ln_of_fraction(mix(client ^ key(target)));
        if best.is_none_or(|(_, highest)| score > highest) {
            best = Some((target, score));
        }
    }
    best.map(|(target, _)| target)
}

/// What `hash` knows a target by.
fn key(target: &Target) -> u64 {
    let service = Hash::new().bytes(target.service.as_bytes());
    match target.address() {
        Some(address) => hash_socket(service, address).finish(),
        None => service.bytes(target.destination.as_str().as_bytes()).finish(),
    }
}

/// The natural logarithm of (`draw` + ½) / 2⁵² for the highest 52 bits of
/// `draw`; below 0. Only additions, multiplications and divisions, so that it
/// is the same to the last bit on every machine, which a library's is not.
fn ln_of_fraction(draw: u64) -> f64 {
    const LN_2: f64 = std::f64::consts::LN_2;
    let number = (draw >> 12) as f64 + 0.5;
    // number = mantissa · 2^exponent, and the mantissa is from 1 to 2.
    let bits = number.to_bits();
    let exponent = ((bits >> 52) & 0x7ff) as f64 - 1023.0;
    let mantissa = f64::from_bits((bits & 0x000f_ffff_ffff_ffff) | 0x3ff0_0000_0000_0000);
    // ln m = 2·artanh((m − 1) / (m + 1)); (m − 1) / (m + 1) is at most ⅓, so
    // that sixteen terms of the series are exact enough.
    let x = (mantissa - 1.0) / (mantissa + 1.0);
    let mut sum = 0.0;
    let mut power = x;
    for term in 0..16_u8 {
        sum += power / (2.0 * f64::from(term) + 1.0);
        power *= x * x;
    }
    2.0 * sum + (exponent - 52.0) * LN_2
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::route::command::parse;
    use crate::route::table::Table;

    const BOTH: [Strategy; 2] = [Strategy::Random, Strategy::RoundRobin];
    const ALL: [Strategy; 4] =
        [Strategy::Random, Strategy::RoundRobin, Strategy::Least, Strategy::Hash];

    fn port(target: &Target) -> u16 {
        target.address().map_or(0, |address| address.port())
    }

    fn client(number: u32) -> IpAddr {
        IpAddr::from(number.to_be_bytes())
    }

    fn ask<'a>(fit: &'a dyn Fn(&Target) -> bool) -> Ask<'a> {
        Ask { client: client(1), fit, load: &|_| 0 }
    }

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
            let fit = |target: &Target| !down.contains(&port(target));
            let target = picker.pick(route, &ask(&fit)).unwrap();
            counts[usize::from(port(target)) - 1] += 1;
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
        for strategy in ALL {
            let mut picker = Picker::new(strategy, 42);
            assert_eq!(counts(&mut picker, &table, 100, &[2, 3]), [100, 0, 0]);
        }
    }

    #[test]
    fn without_a_usable_target_there_is_no_pick() {
        let table = table(&["0.5", "0.5"]);
        for strategy in ALL {
            let mut picker = Picker::new(strategy, 1);
            assert!(picker.pick(table.lookup_port(1).unwrap(), &ask(&|_| false)).is_none());
        }
    }

    #[test]
    fn a_target_without_a_share_gets_nothing_even_when_it_is_the_last() {
        let table = table(&["1", "0"]);
        for strategy in ALL {
            let mut picker = Picker::new(strategy, 9);
            assert_eq!(counts(&mut picker, &table, 1_000, &[]), [1_000, 0]);
            let route = table.lookup_port(1).unwrap();
            assert!(picker.pick(route, &ask(&|t| port(t) == 2)).is_none());
        }
    }

    #[test]
    fn a_single_target_is_picked_whatever_its_weight() {
        for weight in ["0", "-1", "0.001", "3"] {
            for strategy in ALL {
                let mut picker = Picker::new(strategy, 9);
                assert_eq!(counts(&mut picker, &table(&[weight]), 10, &[]), [10]);
            }
        }
    }

    #[test]
    fn round_robin_goes_on_across_tables() {
        let mut picker = Picker::new(Strategy::RoundRobin, 0);
        let mut order = Vec::new();
        let mut at = Vec::new();
        for before in 0..4 {
            // Routes come and go before this one, so that its place changes.
            let text: String = (0..before)
                .map(|n| format!("route add b :{} tcp://192.0.2.1:1\n", 100 + n))
                .chain((1..4).map(|n| format!("route add a :1 tcp://192.0.2.1:{n}\n")))
                .collect();
            let table = Table::build(&parse(&text).commands);
            let route = table.lookup_port(1).unwrap();
            let old = |_: &Route| at.last().copied();
            picker.change_table(table.routes().iter().map(old));
            at.push(route.place());
            order.extend(picker.pick(route, &ask(&|_| true)).map(port));
        }
        assert_eq!(order, [1, 2, 3, 1]);
        assert_eq!(at, [0, 1, 2, 3]);
        picker.change_table([Some(3)]);
        assert_eq!(counts(&mut picker, &table(&["0"]), 2, &[]), [2], "a smaller ring");
        picker.change_table([None]);
        let table = table(&["0", "0"]);
        let first = picker.pick(table.lookup_port(1).unwrap(), &ask(&|_| true)).map(port);
        assert_eq!(first, Some(1), "a new route begins with its first target");
    }

    #[test]
    fn round_robin_follows_the_order_of_the_ring() {
        let table = table(&["0.5", "0.3", "0.2"]);
        let route = table.lookup_port(1).unwrap();
        let mut picker = Picker::new(Strategy::RoundRobin, 0);
        for slot in route.ring() {
            let target = picker.pick(route, &ask(&|_| true)).unwrap();
            assert_eq!(target, &route.targets()[slot]);
        }
    }

    #[test]
    fn rings_are_made_again_when_too_many_are_kept() {
        let text: String = (1..=600)
            .flat_map(|port| {
                let line =
                    move |n| format!("route add a :{port} tcp://192.0.2.1:{n} weight 0.{n}\n");
                (1..3).map(line)
            })
            .collect();
        let table = Table::build(&parse(&text).commands);
        let mut picker = Picker::new(Strategy::RoundRobin, 0);
        for route in table.routes() {
            assert_eq!(picker.pick(route, &ask(&|_| true)).map(port), Some(1));
            assert!(picker.rings.len() <= MOST_RINGS);
        }
        let second = picker.pick(&table.routes()[0], &ask(&|_| true)).map(port);
        let ring = table.routes()[0].ring();
        assert_eq!(second, Some(ring[1] as u16 + 1), "the turn is not forgotten with the ring");
    }

    #[test]
    fn the_strategy_of_a_route_goes_before_that_of_all() {
        let text: String = (1..4)
            .map(|n| format!("route add a :1 tcp://192.0.2.1:{n} opts \"strategy=rr\"\n"))
            .collect();
        let table = Table::build(&parse(&text).commands);
        let mut picker = Picker::new(Strategy::Hash, 0);
        assert_eq!(counts(&mut picker, &table, 6, &[]), [2, 2, 2]);
    }

    /// Connections that only come: `least` must fill the targets by weight.
    fn fill(table: &Table, picks: usize) -> Vec<usize> {
        let route = table.lookup_port(1).unwrap();
        let mut picker = Picker::new(Strategy::Least, 0);
        let mut loads = vec![0_usize; route.targets().len()];
        for _ in 0..picks {
            let load = |target: &Target| loads[usize::from(port(target)) - 1];
            let ask = Ask { client: client(1), fit: &|_| true, load: &load };
            let at = usize::from(port(picker.pick(route, &ask).unwrap())) - 1;
            loads[at] += 1;
        }
        loads
    }

    #[test]
    fn least_fills_targets_by_their_weights() {
        assert_eq!(fill(&table(&["0", "0", "0"]), 31), [11, 10, 10]);
        assert_eq!(fill(&table(&["0.5", "0.3", "0.2"]), 1000), [500, 300, 200]);
        assert_eq!(fill(&table(&["1", "0"]), 10), [10, 0]);
    }

    #[test]
    fn least_takes_ties_in_turn_and_the_least_loaded_first() {
        let table = table(&["0", "0", "0"]);
        let mut picker = Picker::new(Strategy::Least, 0);
        let route = table.lookup_port(1).unwrap();
        let order: Vec<u16> =
            (0..5).filter_map(|_| picker.pick(route, &ask(&|_| true)).map(port)).collect();
        assert_eq!(order, [1, 2, 3, 1, 2]);
        let load = |target: &Target| if port(target) == 2 { 3 } else { 4 };
        let ask = Ask { client: client(1), fit: &|_| true, load: &load };
        for _ in 0..3 {
            assert_eq!(picker.pick(route, &ask).map(port), Some(2));
        }
    }

    /// The targets, by port, that these clients are sent to.
    fn hashed(table: &Table, down: &[u16]) -> Vec<u16> {
        let fit = |target: &Target| !down.contains(&port(target));
        let pick = |n: u32| {
            let client = client(mix(u64::from(n)) as u32);
            let ask = Ask { client, fit: &fit, load: &|_| 0 };
            port(pick_hash(table.lookup_port(1).unwrap(), &ask).unwrap())
        };
        (0..20_000).map(pick).collect()
    }

    fn histogram(ports: &[u16], targets: usize) -> Vec<usize> {
        let count = |n: usize| ports.iter().filter(|&&port| usize::from(port) == n).count();
        (1..=targets).map(count).collect()
    }

    #[test]
    fn hash_follows_the_weights() {
        let equal = hashed(&table(&["0", "0", "0", "0"]), &[]);
        assert_near(&histogram(&equal, 4), &[5_000; 4]);
        let weighted = hashed(&table(&["0.5", "0.3", "0.2", "0"]), &[]);
        assert_near(&histogram(&weighted, 4), &[10_000, 6_000, 4_000, 0]);
    }

    #[test]
    fn hash_moves_only_the_clients_of_the_target_that_goes() {
        let all = hashed(&table(&["0", "0", "0", "0"]), &[]);
        let unfit = hashed(&table(&["0", "0", "0", "0"]), &[4]);
        let removed = hashed(&table(&["0", "0", "0"]), &[]);
        assert_eq!(unfit, removed);
        for (before, after) in all.iter().zip(&removed) {
            assert!(before == after || *before == 4, "{before} became {after}");
        }
        assert_near(&histogram(&removed, 3), &[6_667; 3]);
    }

    #[test]
    fn hash_does_not_depend_on_the_order_of_the_lines() {
        let line = |n: u16| format!("route add a :1 tcp://192.0.2.1:{n}\n");
        let table = |order: [u16; 4]| {
            let text: String = order.into_iter().map(line).collect();
            Table::build(&parse(&text).commands)
        };
        assert_eq!(hashed(&table([1, 2, 3, 4]), &[]), hashed(&table([4, 2, 1, 3]), &[]));
    }

    /// Instances of different versions must agree.
    #[test]
    fn hash_never_changes() {
        let ports = hashed(&table(&["0", "0.2", "0"]), &[]);
        assert_eq!(
            ports[..24],
            [1, 1, 2, 1, 1, 3, 1, 3, 1, 3, 3, 3, 1, 1, 1, 2, 1, 1, 2, 1, 1, 3, 1, 1]
        );
    }

    #[test]
    fn a_client_is_the_same_whatever_socket_it_came_by() {
        let table = table(&["0", "0", "0", "0", "0"]);
        let route = table.lookup_port(1).unwrap();
        for n in 0..100_u32 {
            let pick = |client| {
                let ask = Ask { client, fit: &|_| true, load: &|_| 0 };
                pick_hash(route, &ask).map(port)
            };
            let ip = std::net::Ipv4Addr::from(n.to_be_bytes());
            assert_eq!(pick(ip.into()), pick(ip.to_ipv6_mapped().into()));
        }
    }

    #[test]
    fn the_logarithm_is_one() {
        for draw in (0..64).map(|bit| u64::MAX >> bit).chain((0..1_000).map(mix)) {
            let fraction = ((draw >> 12) as f64 + 0.5) / 4_503_599_627_370_496.0;
            let ours = ln_of_fraction(draw);
            assert!((ours - fraction.ln()).abs() <= 1e-13, "{draw:x}: {ours}");
            assert!(ours < 0.0, "{draw:x}");
        }
    }

    #[test]
    fn routes_take_their_turns_apart() {
        let parsed = parse(
            "route add a :1 tcp://192.0.2.1:1\nroute add a :1 tcp://192.0.2.1:2\n\
             route add a :2 tcp://192.0.2.1:3\nroute add a :2 tcp://192.0.2.1:4",
        );
        let table = Table::build(&parsed.commands);
        let mut picker = Picker::new(Strategy::RoundRobin, 0);
        let mut pick = |of: u16| {
            let route = table.lookup_port(of).unwrap();
            port(picker.pick(route, &ask(&|_| true)).unwrap())
        };
        assert_eq!([pick(1), pick(2), pick(1), pick(2)], [1, 3, 2, 4]);
    }

    #[test]
    fn the_seed_makes_the_choices() {
        let table = table(&["0", "0", "0"]);
        let picks = |seed: u64| {
            let mut picker = Picker::new(Strategy::Random, seed);
            let route = table.lookup_port(1).unwrap();
            let mut pick = || port(picker.pick(route, &ask(&|_| true)).unwrap());
            (0..50).map(|_| pick()).collect::<Vec<u16>>()
        };
        assert_eq!(picks(5), picks(5));
        assert_ne!(picks(5), picks(6));
    }
}
