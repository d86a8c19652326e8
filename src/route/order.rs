//! Sorting that can stop anywhere, because to sort a large table takes longer
//! than a turn of the loop may.

use std::cmp::Ordering;

/// So many are sorted at once, to begin with.
const RUN: usize = 64;

/// A merge sort of the numbers from 0 up, by whatever they stand for.
#[derive(Debug, Default)]
pub(super) struct Order {
    items: Vec<usize>,
    /// Runs of this length are in order.
    width: usize,
    /// What the pairs of runs were merged to so far, and the next of each of
    /// the two that are being merged.
    merged: Vec<usize>,
    left: usize,
    right: usize,
}

impl Order {
    /// An order of `count` numbers.
    pub(super) fn new(count: usize) -> Order {
        Order { items: (0..count).collect(), merged: Vec::with_capacity(count), ..Order::default() }
    }

    /// Takes up to `steps` steps, each of which puts one number in its place
    /// among a few; the numbers in order are the end of it.
    pub(super) fn advance(
        &mut self,
        steps: usize,
        compare: impl Fn(usize, usize) -> Ordering,
    ) -> Option<Vec<usize>> {
        let mut left = steps;
        while left > 0 {
            if self.width == 0 {
                let run = self.items.get_mut(self.left..).unwrap_or_default();
                let run = run.get_mut(..RUN.min(run.len())).unwrap_or_default();
                run.sort_by(|&a, &b| compare(a, b));
                left = left.saturating_sub(run.len().max(1));
                self.left = self.left.saturating_add(RUN);
                if self.left >= self.items.len() {
                    self.begin_pass(RUN);
                }
            } else if self.width >= self.items.len() {
                return Some(std::mem::take(&mut self.items));
            } else if self.merged.len() == self.items.len() {
                std::mem::swap(&mut self.items, &mut self.merged);
                self.begin_pass(self.width.saturating_mul(2));
            } else {
                self.merge_one(&compare);
                left = left.saturating_sub(1);
            }
        }
        None
    }

    fn begin_pass(&mut self, width: usize) {
        self.width = width;
        self.merged.clear();
        (self.left, self.right) = (0, width);
    }

    fn merge_one(&mut self, compare: &impl Fn(usize, usize) -> Ordering) {
        let both = self.width.saturating_mul(2);
        let begin =
            self.merged.len().saturating_sub(self.merged.len().checked_rem(both).unwrap_or(0));
        let middle = begin.saturating_add(self.width);
        if self.merged.len() == begin {
            (self.left, self.right) = (begin, middle);
        }
        let end = begin.saturating_add(both).min(self.items.len());
        let at = |place: usize, end: usize| self.items.get(place).filter(|_| place < end).copied();
        let (left, right) = (at(self.left, middle), at(self.right, end));
        let takes_left = match (left, right) {
            (Some(left), Some(right)) => compare(left, right) != Ordering::Greater,
            (left, _) => left.is_some(),
        };
        if takes_left {
            self.merged.extend(left);
            self.left = self.left.saturating_add(1);
        } else {
            self.merged.extend(right);
            self.right = self.right.saturating_add(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reactor::random::Random;

    #[test]
    fn it_sorts_whatever_the_size_of_the_steps() {
        let mut random = Random::new(2);
        for count in [0, 1, 2, 63, 64, 65, 127, 128, 129, 300, 1000] {
            let values: Vec<u64> = (0..count).map(|_| random.below(50)).collect();
            // Equal values stay in their order.
            let mut expected: Vec<usize> = (0..count).collect();
            expected.sort_by_key(|&at| values[at]);
            for steps in [1, 7, 100, usize::MAX] {
                let mut order = Order::new(count);
                let mut calls = 0;
                let sorted = loop {
                    calls += 1;
                    assert!(calls < 20_000, "it does not end");
                    if let Some(sorted) = order.advance(steps, |a, b| values[a].cmp(&values[b])) {
                        break sorted;
                    }
                };
                assert_eq!(sorted, expected);
                let rounds = count.div_ceil(RUN).max(1).ilog2() as usize + 2;
                assert!(calls <= count * rounds / steps + rounds + 1, "{count} {steps}: {calls}");
            }
        }
    }
}
