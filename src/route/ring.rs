//! Weights: from fixed weights to shares of the traffic to a ring of slots,
//! by fabio's rules.

/// How many slots a weighted ring is divided into, before every target that
/// has any share is given at least one.
pub const RING_SLOTS: u32 = 10_000;

/// Larger fixed weights count as this one, so that sums of them stay finite.
const LARGEST_WEIGHT: f64 = 1e12;

/// The share of the traffic of each target, in the order given, from its
/// fixed weight; 0 means that it has none.
///
/// Without any fixed weight all shares are equal. Fixed weights are fractions
/// of the traffic; if they sum up to more than 1, or to less than 1 with no
/// other target to take the rest, they are scaled to 1. What remains is
/// divided equally among the targets without a fixed weight, which get
/// nothing when nothing remains.
pub fn shares(fixed_weights: &[f64]) -> Vec<f64> {
    let fixed = fixed_weights.iter().filter(|&&w| w > 0.0).map(|w| w.min(LARGEST_WEIGHT));
    let (count, sum) = fixed.fold((0_usize, 0.0), |(n, sum), w| (n.saturating_add(1), sum + w));
    let others = fixed_weights.len().saturating_sub(count);
    let remainder = if others == 0 { 0.0 } else { (1.0 - sum).max(0.0) / others as f64 };
    let scale = if sum > 1.0 || (others == 0 && sum > 0.0) { sum } else { 1.0 };
    let share = |&w: &f64| if w > 0.0 { w.min(LARGEST_WEIGHT) / scale } else { remainder };
    fixed_weights.iter().map(share).collect()
}

/// How many slots of the ring each share is worth: ⌊10000·share⌋, and at
/// least one for a share above zero.
pub fn slots(shares: &[f64]) -> Vec<u32> {
    let slots = |&share: &f64| {
        let whole = (f64::from(RING_SLOTS) * share) as u32;
        if share > 0.0 { whole.clamp(1, RING_SLOTS) } else { 0 }
    };
    shares.iter().map(slots).collect()
}

/// Places targets on a ring: the target's index for each slot of the ring,
/// from the number of slots of each target.
///
/// Targets are placed in ascending order of their slot count, so that small
/// ones are spread best; each starts at slot 0, takes the next empty slot and
/// then jumps by the ring's size divided by its slot count.
pub fn place(slots: &[u32]) -> Vec<usize> {
    let size = slots.iter().fold(0_usize, |sum, &n| sum.saturating_add(n as usize));
    let mut order: Vec<(usize, usize)> =
        slots.iter().map(|&n| n as usize).enumerate().filter(|&(_, n)| n > 0).collect();
    order.sort_by_key(|&(_, n)| n);
    let mut ring = vec![0; size];
    let mut empty = EmptySlots::new(size);
    for (target, count) in order {
        let jump = size.checked_div(count).unwrap_or(0);
        let mut from = 0;
        for _ in 0..count {
            let slot = empty.take(from);
            if let Some(place) = ring.get_mut(slot) {
                *place = target;
            }
            from = slot.saturating_add(jump).checked_rem(size).unwrap_or(0);
        }
    }
    ring
}

/// Which slots of a ring are empty. Each slot points at itself while empty,
/// else at a later one that may be; pointers are halved as they are followed,
/// so that filling a ring is close to linear however crowded it is.
struct EmptySlots {
    next: Vec<usize>,
}

impl EmptySlots {
    /// All `size` slots empty. One more, past the end, says "start over".
    fn new(size: usize) -> EmptySlots {
        EmptySlots { next: (0..=size).collect() }
    }

    /// Takes the first empty slot at or after `from`, going round the end.
    /// There must be one.
    fn take(&mut self, from: usize) -> usize {
        let end = self.next.len().saturating_sub(1);
        let mut slot = self.find(from);
        if slot == end {
            slot = self.find(0);
        }
        if let Some(next) = self.next.get_mut(slot) {
            *next = slot.saturating_add(1).min(end);
        }
        slot
    }

    fn find(&mut self, mut slot: usize) -> usize {
        while let Some(&next) = self.next.get(slot)
            && next != slot
        {
            let after = self.next.get(next).copied().unwrap_or(next);
            if let Some(pointer) = self.next.get_mut(slot) {
                *pointer = after;
            }
            slot = after;
        }
        slot
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Placement as the rule says it, slot by slot.
    fn place_slowly(slots: &[u32]) -> Vec<usize> {
        let size: usize = slots.iter().map(|&n| n as usize).sum();
        let mut ring = vec![usize::MAX; size];
        let mut order: Vec<usize> = (0..slots.len()).filter(|&i| slots[i] > 0).collect();
        order.sort_by_key(|&i| slots[i]);
        for i in order {
            let mut next = 0;
            for _ in 0..slots[i] {
                while ring[next] != usize::MAX {
                    next = (next + 1) % size;
                }
                ring[next] = i;
                next = (next + size / slots[i] as usize) % size;
            }
        }
        ring
    }

    fn assert_shares(fixed: &[f64], expected: &[f64]) {
        let shares = shares(fixed);
        assert_eq!(shares.len(), expected.len());
        for (share, expected) in shares.iter().zip(expected) {
            assert!((share - expected).abs() < 1e-9, "{fixed:?} gave {shares:?}");
        }
    }

    #[test]
    fn shares_follow_the_rules() {
        assert_shares(&[], &[]);
        assert_shares(&[0.0], &[1.0]);
        assert_shares(&[0.0, 0.0], &[0.5, 0.5]);
        assert_shares(&[0.2, 0.0, 0.0], &[0.2, 0.4, 0.4]);
        assert_shares(&[0.1, 0.3], &[0.25, 0.75]);
        assert_shares(&[3.0, 1.0], &[0.75, 0.25]);
        assert_shares(&[1.5, 0.5, 0.0], &[0.75, 0.25, 0.0]);
        assert_shares(&[1.0, 0.0], &[1.0, 0.0]);
        assert_shares(&[0.001], &[1.0]);
    }

    #[test]
    fn extreme_weights_neither_overflow_nor_vanish() {
        assert_shares(&[f64::MAX, f64::MAX], &[0.5, 0.5]);
        assert_shares(&[f64::MIN_POSITIVE / 4.0], &[1.0]);
        assert_shares(&[f64::NAN, 0.0], &[0.5, 0.5]);
        assert_eq!(slots(&shares(&[1e-300, 0.0])), [1, 10_000]);
        assert_eq!(slots(&[f64::INFINITY, f64::NAN]), [10_000, 0]);
    }

    #[test]
    fn every_share_above_zero_has_a_slot() {
        assert_eq!(slots(&[0.5, 0.25, 0.25]), [5_000, 2_500, 2_500]);
        assert_eq!(slots(&[0.99999, 0.00001, 0.0]), [9_999, 1, 0]);
    }

    #[test]
    fn targets_are_spread_evenly() {
        assert_eq!(place(&[]), [0_usize; 0]);
        assert_eq!(place(&[0]), [0_usize; 0]);
        assert_eq!(place(&[1]), [0]);
        assert_eq!(place(&[2, 2]), [0, 1, 0, 1]);
        assert_eq!(place(&[4, 2]), [1, 0, 0, 1, 0, 0]);
        assert_eq!(place(&[2, 0, 1]), [2, 0, 0]);
    }

    #[test]
    fn placement_is_that_of_the_plain_rule() {
        let mut random = crate::reactor::random::Random::new(11);
        for _ in 0..300 {
            let count = 1 + random.index(8);
            let slots: Vec<u32> = (0..count).map(|_| random.index(40) as u32).collect();
            assert_eq!(place(&slots), place_slowly(&slots), "{slots:?}");
        }
    }

    #[test]
    fn a_crowded_ring_holds_every_target_as_often_as_it_should() {
        let slots: Vec<u32> = (0..3_000).map(|i| 1 + i % 7).collect();
        let mut left = slots.clone();
        for target in place(&slots) {
            left[target] -= 1;
        }
        assert!(left.iter().all(|&n| n == 0));
    }
}
