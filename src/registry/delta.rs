//! What differs between two route tables, found in slices.

use std::collections::HashSet;

use crate::route::{Route, Table, Target};

/// Targets of one route whose lines are compared one with another; of a longer
/// route that differs only the number is known.
const MOST_TARGETS: usize = 200;

/// The difference of two tables. A route is known by its source.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Delta {
    /// Routes that only the new table has.
    pub added: usize,
    /// Routes that only the old table has.
    pub removed: usize,
    /// Routes of both tables whose targets differ.
    pub changed: usize,
    /// The first commands that differ: `+ route add …` for one that is new,
    /// `- route add …` for one that is gone, as fabio's
    /// `log.routes.format = delta` shows them.
    pub lines: Vec<String>,
    /// Routes that differ and whose lines are not kept.
    pub not_shown: usize,
    most_lines: usize,
    /// The route of the new table, then of the old one, to look at next, and of
    /// a new one the first target that was not compared yet.
    at_new: usize,
    at_target: usize,
    at_old: usize,
}

impl Delta {
    /// Nothing was compared yet; about `most_lines` lines are to be kept;
    /// with 0 they are not even counted.
    pub fn new(most_lines: usize) -> Delta {
        Delta { most_lines, ..Delta::default() }
    }

    /// Whether nothing differs, once everything is compared.
    pub fn is_empty(&self) -> bool {
        self.added == 0 && self.removed == 0 && self.changed == 0
    }

    /// Compares about `steps` routes or targets; says whether all are compared.
    /// It has to be the same two tables each time.
    pub fn step(&mut self, old: &Table, new: &Table, steps: usize) -> bool {
        let mut left = steps.max(1);
        while let Some(route) = new.routes().get(self.at_new) {
            if left == 0 {
                return false;
            }
            left = left.saturating_sub(self.compare(old.lookup(route.source()), route, left));
        }
        while let Some(route) = old.routes().get(self.at_old) {
            if left == 0 {
                return false;
            }
            left = left.saturating_sub(1);
            self.at_old = self.at_old.saturating_add(1);
            if new.lookup(route.source()).is_none() {
                self.removed = self.removed.saturating_add(1);
                self.show(Some(route), None);
            }
        }
        true
    }

    /// Compares a route, or as many of its targets; returns how many steps that
    /// was.
    fn compare(&mut self, old: Option<&Route>, new: &Route, steps: usize) -> usize {
        let Some(old) = old else {
            self.added = self.added.saturating_add(1);
            self.show(None, Some(new));
            self.next_route();
            return 1;
        };
        let (ours, theirs) = (new.targets(), old.targets());
        let from = self.at_target;
        let upto = from.saturating_add(steps).min(ours.len());
        let mut pairs = ours.iter().zip(theirs).take(upto).skip(from);
        let are_same = ours.len() == theirs.len() && pairs.all(is_same);
        if !are_same {
            self.changed = self.changed.saturating_add(1);
            self.show(Some(old), Some(new));
        }
        if are_same && upto < ours.len() {
            self.at_target = upto;
        } else {
            self.next_route();
        }
        upto.saturating_sub(from).max(1)
    }

    fn next_route(&mut self) {
        self.at_new = self.at_new.saturating_add(1);
        self.at_target = 0;
    }

    fn show(&mut self, old: Option<&Route>, new: Option<&Route>) {
        if self.most_lines == 0 {
            return;
        }
        let is_short = |route: &Route| route.targets().len() <= MOST_TARGETS;
        let are_short = old.is_none_or(is_short) && new.is_none_or(is_short);
        if self.lines.len() >= self.most_lines || !are_short {
            self.not_shown = self.not_shown.saturating_add(1);
            return;
        }
        let text = |route: Option<&Route>| route.map(ToString::to_string).unwrap_or_default();
        let (old, new) = (text(old), text(new));
        let (olds, news): (HashSet<&str>, HashSet<&str>) =
            (old.lines().collect(), new.lines().collect());
        let gone = old.lines().filter(|line| !news.contains(line)).map(|line| format!("- {line}"));
        let come = new.lines().filter(|line| !olds.contains(line)).map(|line| format!("+ {line}"));
        self.lines.extend(gone.chain(come));
    }
}

/// Whether two targets are written alike. Their places in the tables may differ.
fn is_same((a, b): (&Target, &Target)) -> bool {
    a.service == b.service
        && a.destination == b.destination
        && a.fixed_weight == b.fixed_weight
        && a.tags == b.tags
        && a.options == b.options
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::static_routes;

    fn table(text: &str) -> Table {
        let delivery = static_routes::load(text);
        assert_eq!(delivery.errors, []);
        delivery.table
    }

    fn delta(old: &str, new: &str, steps: usize) -> Delta {
        let (old, new) = (table(old), table(new));
        let mut delta = Delta::new(100);
        while !delta.step(&old, &new, steps) {}
        delta
    }

    fn counts(delta: &Delta) -> [usize; 3] {
        [delta.added, delta.removed, delta.changed]
    }

    const OLD: &str = "route add a :1 tcp://192.0.2.1:1\n\
                       route add a :2 tcp://192.0.2.1:1\n\
                       route add a :2 tcp://192.0.2.1:2\n\
                       route add a :3 tcp://192.0.2.1:3\n";

    #[test]
    fn routes_come_go_and_change() {
        let new = "route add b :4 tcp://192.0.2.1:4\n\
                   route add a :2 tcp://192.0.2.1:1\n\
                   route add a :2 tcp://192.0.2.1:5 weight 0.5\n\
                   route add a :1 tcp://192.0.2.1:1\n";
        for steps in [1, 2, 100] {
            let delta = delta(OLD, new, steps);
            assert_eq!(counts(&delta), [1, 1, 1], "{steps}");
            assert_eq!(
                delta.lines,
                [
                    "+ route add b :4 tcp://192.0.2.1:4",
                    "- route add a :2 tcp://192.0.2.1:2",
                    "+ route add a :2 tcp://192.0.2.1:5 weight 0.5000",
                    "- route add a :3 tcp://192.0.2.1:3",
                ]
            );
            assert!(!delta.is_empty() && delta.not_shown == 0);
        }
    }

    #[test]
    fn what_is_only_in_another_place_is_no_difference() {
        let mut lines: Vec<&str> = OLD.lines().collect();
        lines.rotate_left(1);
        for steps in [1, 3, 100] {
            assert!(delta(OLD, &lines.join("\n"), steps).is_empty());
            assert!(delta(OLD, OLD, steps).is_empty());
            assert!(delta("", "", steps).is_empty());
        }
    }

    /// Each of these is one thing that a line can say.
    #[test]
    fn every_part_of_a_target_counts() {
        let line = |rest: &str| format!("route add a :1 tcp://192.0.2.1:1{rest}\n");
        for rest in [
            " weight 0.5",
            " tags \"x\"",
            " opts \"strategy=rr\"",
            "\nroute add a :1 tcp://192.0.2.1:2",
            "/",
        ] {
            assert_eq!(counts(&delta(&line(""), &line(rest), 1)), [0, 0, 1], "{rest}");
            assert_eq!(counts(&delta(&line(rest), &line(""), 1)), [0, 0, 1], "{rest}");
        }
        assert_eq!(counts(&delta(&line(""), &line("").replace(" a ", " b "), 1)), [0, 0, 1]);
    }

    #[test]
    fn a_route_with_many_targets_is_compared_in_slices() {
        let many = |count: u16| -> String {
            (1..=count).map(|port| format!("route add a :1 tcp://192.0.2.1:{port}\n")).collect()
        };
        let (old, new) = (table(&many(300)), table(&many(300)));
        let mut delta = Delta::new(100);
        let mut steps = 1;
        while !delta.step(&old, &new, 50) {
            steps += 1;
        }
        assert_eq!(steps, 7, "six for the targets and one for the old table");
        assert!(delta.is_empty());
        let longer = table(&many(301));
        let mut delta = Delta::new(100);
        while !delta.step(&old, &longer, 50) {}
        assert_eq!((counts(&delta), delta.not_shown), ([0, 0, 1], 1));
    }

    #[test]
    fn only_so_many_lines_are_kept() {
        let text: String =
            (1..=50).map(|port| format!("route add a :{port} tcp://192.0.2.1:1\n")).collect();
        let (old, new) = (table(""), table(&text));
        let mut delta = Delta::new(10);
        while !delta.step(&old, &new, 7) {}
        assert_eq!((delta.lines.len(), delta.not_shown, delta.added), (10, 40, 50));
        let mut delta = Delta::new(0);
        while !delta.step(&old, &new, 7) {}
        assert_eq!((delta.lines.len(), delta.not_shown, delta.added), (0, 0, 50));
    }
}
