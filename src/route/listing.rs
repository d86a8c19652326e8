//! All targets of a table, some at a time, from a place that outlives the table.
//!
//! Between two slices another table may have come into force, in which the same
//! place is another route's. So a place has a part of the hash of its route, by
//! which that is found again. Only if the route itself is gone, or far away from
//! where it was, does the walk go on at what is in its place: then a route may
//! be shown twice or not at all.

use std::ops::Range;

use super::table::{Route, Table, Target};

/// The order of a walk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// By host, and those of one host by path downwards: fabio's `/api/routes`.
    Hosts,
    /// As [`Table::sorted`]: fabio's `/api/routes?raw`.
    Sorted,
}

/// How far from its old place a route is looked for, well below a millisecond.
const REACH: usize = 1024;

/// How many targets are looked at for each that is wanted. Some are not shown.
const LOOKS: usize = 8;

/// Where a walk goes on: with this target of the route at this place, which has
/// this hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Cursor {
    place: usize,
    target: usize,
    hash: u64,
}

/// Bits of the parts of a [`Cursor`]. The text of a table with more routes, or a
/// route with more targets, is longer than any that is read.
const PLACE: u32 = 22;
const TARGET: u32 = 22;
const HASH: u32 = 20;

/// The lowest bits.
const fn lowest(bits: u32) -> u64 {
    match 1_u64.checked_shl(bits) {
        Some(next) => next.saturating_sub(1),
        None => u64::MAX,
    }
}

impl Cursor {
    fn pack(self) -> Option<u64> {
        let fits =
            |part: usize, bits: u32| u64::try_from(part).ok().filter(|part| *part <= lowest(bits));
        let place = fits(self.place, PLACE)?.checked_shl(TARGET.saturating_add(HASH))?;
        let target = fits(self.target, TARGET)?.checked_shl(HASH)?;
        Some(place | target | (self.hash & lowest(HASH)))
    }

    fn unpack(from: u64) -> Cursor {
        let part = |bits: u32, behind: u32| {
            let part = from.checked_shr(behind).unwrap_or(0) & lowest(bits);
            usize::try_from(part).unwrap_or(usize::MAX)
        };
        Cursor {
            place: part(PLACE, TARGET.saturating_add(HASH)),
            target: part(TARGET, HASH),
            hash: from & lowest(HASH),
        }
    }
}

/// The last bits of a source's hash.
fn hash_of(route: &Route) -> u64 {
    route.source().hash() & lowest(HASH)
}

impl Table {
    /// About `most` of what `show` makes of the targets, from a place on: 0, or
    /// what the call before returned besides. There it goes on; `None`: that was
    /// all.
    pub fn list<T>(
        &self,
        order: Order,
        from: u64,
        most: usize,
        show: impl Fn(&Route, &Target) -> Option<T>,
    ) -> (Vec<T>, Option<u64>) {
        let mut at = self.find_again(order, from);
        let mut items = Vec::new();
        let mut looks = most.max(1).saturating_mul(LOOKS);
        for route in self.routes_from(order, at.place) {
            for target in route.targets().iter().skip(at.target) {
                if items.len() >= most.max(1) || (looks == 0 && !items.is_empty()) {
                    let next = Cursor { hash: hash_of(route), ..at };
                    return (items, next.pack());
                }
                items.extend(show(route, target));
                looks = looks.saturating_sub(1);
                at.target = at.target.saturating_add(1);
            }
            at = Cursor { place: at.place.saturating_add(1), target: 0, hash: 0 };
        }
        (items, None)
    }

    /// Where the route that is to be shown next is in this table.
    fn find_again(&self, order: Order, from: u64) -> Cursor {
        let cursor = Cursor::unpack(from);
        let last = self.routes().len().saturating_sub(1);
        let expected = self.sorted_place(order, cursor.place.min(last));
        let is_it = |at: usize| self.sorted_at(at).is_some_and(|it| hash_of(it) == cursor.hash);
        if from == 0 || (cursor.place <= last && is_it(expected)) {
            return cursor;
        }
        let near = (0..=REACH).flat_map(|way| {
            [expected.checked_sub(way), expected.checked_add(way)].into_iter().flatten()
        });
        match near.into_iter().find(|at| is_it(*at)) {
            Some(at) => Cursor { place: self.place(order, at), ..cursor },
            None => Cursor { target: 0, ..cursor },
        }
    }

    /// Where the route at a place of a walk is in [`Table::sorted`]. The groups
    /// of one host lie the other way round than they are shown, each in its
    /// order.
    fn sorted_place(&self, order: Order, place: usize) -> usize {
        let group = match order {
            Order::Sorted => return place,
            Order::Hosts => self.group_around(self.opposite(place)),
        };
        let before = self.routes().len().saturating_sub(group.end);
        group.start.saturating_add(place.saturating_sub(before))
    }

    /// The other way round: the place in a walk.
    fn place(&self, order: Order, at: usize) -> usize {
        let group = match order {
            Order::Sorted => return at,
            Order::Hosts => self.group_around(at),
        };
        let before = self.routes().len().saturating_sub(group.end);
        before.saturating_add(at.saturating_sub(group.start))
    }

    fn opposite(&self, place: usize) -> usize {
        self.routes().len().saturating_sub(1).saturating_sub(place)
    }

    fn routes_from(&self, order: Order, place: usize) -> Routes<'_> {
        let all = self.routes().len();
        let (at, group) = match order {
            _ if place >= all => (0, 0..0),
            Order::Sorted => (place, 0..all),
            Order::Hosts => {
                (self.sorted_place(order, place), self.group_around(self.opposite(place)))
            }
        };
        Routes { table: self, at, group }
    }

    /// The places of all routes with the host of the one at `place`.
    fn group_around(&self, place: usize) -> Range<usize> {
        let Some(host) = self.sorted_at(place).map(|route| route.source().host_and_path().0) else {
            return 0..0;
        };
        let has_it = |at: usize| {
            let route = self.sorted_at(at);
            route.is_some_and(|route| route.source().host_and_path().0 == host)
        };
        // Downwards, so those with a greater host come before.
        let (mut low, mut high) = (0, place);
        if !place.checked_sub(1).is_some_and(has_it) {
            low = place;
        }
        while low < high {
            let middle = low.midpoint(high);
            if has_it(middle) { high = middle } else { low = middle.saturating_add(1) }
        }
        let start = low;
        let (mut low, mut high) = (place.saturating_add(1), self.routes().len());
        if !has_it(low) {
            high = low;
        }
        while low < high {
            let middle = low.midpoint(high);
            if has_it(middle) { low = middle.saturating_add(1) } else { high = middle }
        }
        start..low
    }
}

/// The routes from one on.
struct Routes<'a> {
    table: &'a Table,
    at: usize,
    /// The routes of one host, among them the next, or all.
    group: Range<usize>,
}

impl<'a> Iterator for Routes<'a> {
    type Item = &'a Route;

    fn next(&mut self) -> Option<&'a Route> {
        if self.at >= self.group.end {
            let last = self.group.start.checked_sub(1)?;
            self.group = self.table.group_around(last);
            self.at = self.group.start;
        }
        let route = self.table.sorted_at(self.at)?;
        self.at = self.at.saturating_add(1);
        Some(route)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reactor::random::Random;
    use crate::route::{Command, command};

    fn table(text: &str) -> Table {
        let parsed = command::parse(text);
        let commands: Vec<(usize, Command)> = parsed.commands;
        Table::build(&commands)
    }

    fn shown(route: &Route, target: &Target) -> Option<String> {
        (target.slots > 0).then(|| format!("{} {}", route.source(), target.destination))
    }

    /// All, in slices of a size.
    fn walk(table: &Table, order: Order, most: usize) -> Vec<String> {
        let (mut all, mut next) = (Vec::new(), Some(0));
        while let Some(from) = next {
            let (items, then) = table.list(order, from, most, shown);
            assert!(!items.is_empty() || then.is_none(), "an empty slice is the last one");
            all.extend(items);
            next = then;
        }
        all
    }

    const ROUTES: &str = "route add a b.test/x tcp://192.0.2.1:1\n\
        route add a b.test/y tcp://192.0.2.1:2\n\
        route add a a.test/ tcp://192.0.2.1:3\n\
        route add a a.test/ tcp://192.0.2.1:4\n\
        route add a :80 tcp://192.0.2.1:5\n\
        route add a / tcp://192.0.2.1:6\n\
        route add a c.test/ tcp://192.0.2.1:7 weight 1\n\
        route add a c.test/ tcp://192.0.2.1:8";

    #[test]
    fn both_orders_are_fabios_and_slices_of_any_size_make_the_whole() {
        let table = table(ROUTES);
        let ports = |order, most| -> String {
            let all = walk(&table, order, most);
            all.iter().filter_map(|line| line.chars().last()).collect()
        };
        for most in [0, 1, 2, 3, 7, 100] {
            // Without a host, then :80, then by name; paths go downwards.
            assert_eq!(ports(Order::Hosts, most), "6534217", "{most}");
            assert_eq!(ports(Order::Sorted, most), "7213456", "{most}");
        }
        let lines = walk(&table, Order::Sorted, 100);
        let raw: Vec<String> = table.to_string().lines().map(str::to_owned).collect();
        for (line, raw) in lines.iter().zip(&raw) {
            assert!(raw.contains(line), "{raw} is {line}");
        }
        assert_eq!(walk(&Table::default(), Order::Hosts, 5), Vec::<String>::new());
        assert_eq!(table.list(Order::Hosts, u64::MAX, 5, shown), (Vec::new(), None));
    }

    /// As many hosts as there are, and as many paths of each: no place is lost.
    #[test]
    fn groups_of_any_size_are_walked_as_a_plain_sort_has_them() {
        let mut random = Random::new(7);
        for hosts in [1, 2, 5, 40] {
            let mut lines = String::new();
            for port in 1..=60 {
                let host = random.below(hosts);
                lines += &format!("route add a h{host:02}.test/{port:02} tcp://192.0.2.1:{port}\n");
            }
            let table = table(&lines);
            let mut expected: Vec<&Route> = table.routes().iter().collect();
            expected.sort_by(|a, b| {
                let (a, b) = (a.source().host_and_path(), b.source().host_and_path());
                a.0.cmp(&b.0).then(b.1.cmp(a.1))
            });
            let expected: Vec<String> =
                expected.iter().filter_map(|it| shown(it, &it.targets()[0])).collect();
            for most in [1, 7, 60] {
                assert_eq!(walk(&table, Order::Hosts, most), expected);
            }
        }
    }

    /// Routes come and go between two slices; those that stay are shown once.
    #[test]
    fn what_does_not_change_is_shown_once_though_the_table_does() {
        let line = |n: u32| {
            let route = format!("route add a h{:03}.test/{} tcp://192.0.2.1", n / 4, n % 4);
            format!("{route}:80\n{route}:81\n")
        };
        let of = |is_there: &dyn Fn(u32) -> bool| {
            table(&(0..900).filter(|n| is_there(*n)).map(line).collect::<String>())
        };
        let stays = |n: u32| n.is_multiple_of(3);
        let tables = [of(&|n| n % 2 == 0 || stays(n)), of(&|n| n % 5 == 0 || stays(n))];
        let number = |route: &Route, target: &Target| {
            let (host, path) = route.source().host_and_path();
            let n: u32 = host[1..4].parse::<u32>().unwrap() * 4 + path[1..].parse::<u32>().unwrap();
            Some((n, target.address()?.port()))
        };
        for order in [Order::Hosts, Order::Sorted] {
            let (mut seen, mut next, mut swaps) = (Vec::new(), Some(0), 0);
            while let Some(from) = next {
                let (items, then) = tables[swaps % 2].list(order, from, 1, number);
                seen.extend(items);
                next = then;
                // Where the next one is not in the other table, its place counts.
                let coming = then.map(|from| tables[swaps % 2].list(order, from, 1, number).0);
                swaps += usize::from(coming.is_some_and(|it| stays(it[0].0)));
            }
            assert!(swaps > 300, "{swaps}");
            for n in (0..900).filter(|n| stays(*n)) {
                for port in [80, 81] {
                    let times = seen.iter().filter(|it| **it == (n, port)).count();
                    assert_eq!(times, 1, "{order:?} {n} {port}");
                }
            }
        }
    }
}
