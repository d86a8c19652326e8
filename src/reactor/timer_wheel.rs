//! Timers: one hierarchical wheel for the whole loop.

use super::{Time, Token};

/// Slots of a level, one bit each in the level's occupancy map.
const SLOTS: usize = 64;
/// Bits of a tick that pick the slot of a level.
const BITS: u32 = 6;
/// Eight levels of six bits reach 2^48 ms, and the last millisecond that
/// [`Time`] can tell is under 2^45: no deadline lies beyond the wheel.
const LEVELS: usize = 8;
/// "No entry" in links.
const NIL: u32 = u32::MAX;
/// "Not known" in a slot's minimum.
const UNKNOWN: u64 = u64::MAX;

/// The name of one entry of a [`TimerWheel`]; it misses once the entry has
/// fired or was cancelled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimerKey {
    index: u32,
    generation: u32,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    token: Option<Token>,
    tick: u64,
    generation: u32,
    previous: u32,
    next: u32,
}

/// A list of entries in the order of their insertion.
#[derive(Clone, Copy, Debug)]
struct Slot {
    first: u32,
    last: u32,
    /// The earliest tick in the list, or [`UNKNOWN`] after it was cancelled.
    minimum: u64,
}

impl Slot {
    const EMPTY: Slot = Slot { first: NIL, last: NIL, minimum: UNKNOWN };
}

#[derive(Debug)]
struct Level {
    occupied: u64,
    slots: [Slot; SLOTS],
}

impl Level {
    const EMPTY: Level = Level { occupied: 0, slots: [Slot::EMPTY; SLOTS] };
}

/// Deadlines in ticks of one millisecond, rounded up, so that nothing fires
/// early.
///
/// An entry lies on the level of the highest digit (base 64) in which its tick
/// differs from `elapsed`, in the slot of that digit. So everything on a lower
/// level is due before everything on a higher one, and lower slots before
/// higher ones: the first set bit of the first level that has one leads to the
/// next deadline. Entries live in one vector that only grows; once it has its
/// size, nothing is allocated.
#[derive(Debug)]
pub struct TimerWheel {
    levels: Box<[Level; LEVELS]>,
    entries: Vec<Entry>,
    /// Head of the list of unused entries, linked through `next`.
    unused: u32,
    /// The last tick that was expired.
    elapsed: u64,
    len: usize,
}

impl TimerWheel {
    /// An empty wheel that starts at `now`.
    pub fn new(now: Time) -> TimerWheel {
        TimerWheel {
            levels: Box::new([Level::EMPTY; LEVELS]),
            entries: Vec::new(),
            unused: NIL,
            elapsed: now.as_millis(),
            len: 0,
        }
    }

    /// Arranges that `token` comes out of [`TimerWheel::expire`] at `at`, or at
    /// the next call if that has passed.
    pub fn insert(&mut self, at: Time, token: Token) -> TimerKey {
        let tick = at.as_nanos().div_ceil(1_000_000).max(self.elapsed);
        let index = self.take_unused();
        let mut generation = 0;
        if let Some(entry) = self.entries.get_mut(index as usize) {
            generation = entry.generation;
            entry.token = Some(token);
            entry.tick = tick;
        }
        self.link(index, tick);
        self.len += 1;
        TimerKey { index, generation }
    }

    /// Takes an entry out. Returns whether it was still there.
    pub fn cancel(&mut self, key: TimerKey) -> bool {
        let Some(entry) = self.entries.get(key.index as usize).copied() else { return false };
        if entry.generation != key.generation || entry.token.is_none() {
            return false;
        }
        self.unlink(key.index, entry);
        self.release(key.index);
        true
    }

    /// The exact moment at which the next entry fires.
    pub fn next_deadline(&mut self) -> Option<Time> {
        let (level, slot) = self.first_slot()?;
        let mut minimum = self.levels.get(level)?.slots.get(slot)?.minimum;
        if minimum == UNKNOWN {
            minimum = self.list(level, slot).map(|(_, tick)| tick).min()?;
            self.levels.get_mut(level)?.slots.get_mut(slot)?.minimum = minimum;
        }
        Some(Time::from_millis(minimum))
    }

    /// Moves the tokens of all entries that are due at `now` into `due`: in
    /// the order of their deadlines, and those of one millisecond in the order
    /// of their insertion.
    pub fn expire(&mut self, now: Time, due: &mut Vec<Token>) {
        let target = now.as_millis();
        while let Some((level, slot)) = self.first_slot() {
            let start = self.slot_start(level, slot);
            if start > target {
                break;
            }
            self.elapsed = self.elapsed.max(start);
            let mut index = self.empty_slot(level, slot);
            while let Some(entry) = self.entries.get(index as usize).copied() {
                if level == 0 {
                    due.extend(entry.token);
                    self.release(index);
                } else {
                    self.link(index, entry.tick);
                }
                index = entry.next;
            }
        }
        self.elapsed = self.elapsed.max(target);
    }

    /// How many entries wait.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether no entry waits.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The slot that holds the next deadline.
    fn first_slot(&self) -> Option<(usize, usize)> {
        let level = self.levels.iter().position(|level| level.occupied != 0)?;
        let slot = self.levels.get(level)?.occupied.trailing_zeros();
        Some((level, slot as usize))
    }

    /// The first tick that belongs to a slot.
    fn slot_start(&self, level: usize, slot: usize) -> u64 {
        let shift = BITS * level as u32;
        let above = self.elapsed >> (shift + BITS) << (shift + BITS);
        above | (slot as u64) << shift
    }

    fn position(&self, tick: u64) -> (usize, usize) {
        let differing = (self.elapsed ^ tick) | 1;
        let level = (differing.ilog2() / BITS) as usize;
        (level, (tick >> (BITS * level as u32)) as usize % SLOTS)
    }

    /// The entries of a slot: index and tick.
    fn list(&self, level: usize, slot: usize) -> impl Iterator<Item = (u32, u64)> {
        let first = self.levels.get(level).and_then(|l| l.slots.get(slot)).map_or(NIL, |s| s.first);
        let entry = |index: u32| Some((index, self.entries.get(index as usize)?));
        std::iter::successors(entry(first), move |(_, e)| entry(e.next))
            .map(|(index, e)| (index, e.tick))
    }

    /// Appends an entry to the slot that its tick belongs to.
    fn link(&mut self, index: u32, tick: u64) {
        let (level, slot) = self.position(tick);
        let Some(level) = self.levels.get_mut(level) else { return };
        let Some(list) = level.slots.get_mut(slot) else { return };
        let was_empty = list.first == NIL;
        let previous = list.last;
        list.last = index;
        if was_empty {
            level.occupied |= 1 << slot;
            list.first = index;
            list.minimum = tick;
        } else {
            if list.minimum != UNKNOWN {
                list.minimum = list.minimum.min(tick);
            }
            if let Some(entry) = self.entries.get_mut(previous as usize) {
                entry.next = index;
            }
        }
        if let Some(entry) = self.entries.get_mut(index as usize) {
            entry.previous = previous;
            entry.next = NIL;
        }
    }

    fn unlink(&mut self, index: u32, entry: Entry) {
        let (level, slot) = self.position(entry.tick);
        let Some(level) = self.levels.get_mut(level) else { return };
        let Some(list) = level.slots.get_mut(slot) else { return };
        if list.first == index {
            list.first = entry.next;
        }
        if list.last == index {
            list.last = entry.previous;
        }
        if list.first == NIL {
            level.occupied &= !(1 << slot);
            *list = Slot::EMPTY;
        } else if list.minimum == entry.tick {
            list.minimum = UNKNOWN;
        }
        if let Some(previous) = self.entries.get_mut(entry.previous as usize) {
            previous.next = entry.next;
        }
        if let Some(next) = self.entries.get_mut(entry.next as usize) {
            next.previous = entry.previous;
        }
    }

    /// Detaches the list of a slot and returns its first entry.
    fn empty_slot(&mut self, level: usize, slot: usize) -> u32 {
        let Some(level) = self.levels.get_mut(level) else { return NIL };
        level.occupied &= !(1 << slot);
        level.slots.get_mut(slot).map_or(NIL, |list| std::mem::replace(list, Slot::EMPTY).first)
    }

    fn take_unused(&mut self) -> u32 {
        let index = self.unused;
        if let Some(entry) = self.entries.get(index as usize) {
            self.unused = entry.next;
            return index;
        }
        self.entries.push(Entry { token: None, tick: 0, generation: 0, previous: NIL, next: NIL });
        // Entries take memory, so 2^32 of them cannot be reached.
        u32::try_from(self.entries.len().saturating_sub(1)).unwrap_or(NIL)
    }

    fn release(&mut self, index: u32) {
        if let Some(entry) = self.entries.get_mut(index as usize) {
            entry.token = None;
            entry.generation = entry.generation.wrapping_add(1);
            entry.next = self.unused;
            self.unused = index;
            self.len = self.len.saturating_sub(1);
        }
    }
}

/// The one entry that a source has in the wheel, re-armed lazily.
///
/// A source moves its own deadline as often as it likes. A later one leaves
/// the entry where it is: it fires early, the source sees that nothing is due
/// and sets its deadline again. Only an earlier deadline touches the wheel.
#[derive(Debug, Default)]
pub struct Alarm {
    entry: Option<(TimerKey, Time)>,
}

impl Alarm {
    /// An alarm that is not set.
    pub const fn new() -> Alarm {
        Alarm { entry: None }
    }

    /// Makes sure that `token` fires at `deadline` or before. `None` takes the
    /// entry out.
    pub fn set(&mut self, wheel: &mut TimerWheel, token: Token, deadline: Option<Time>) {
        let Some(deadline) = deadline else { return self.clear(wheel) };
        if self.entry.is_some_and(|(_, at)| at <= deadline) {
            return;
        }
        self.clear(wheel);
        self.entry = Some((wheel.insert(deadline, token), deadline));
    }

    /// Says that the entry came out of [`TimerWheel::expire`]. The source then
    /// looks at its own deadline and calls [`Alarm::set`] again if it lies
    /// ahead.
    pub fn fired(&mut self) {
        self.entry = None;
    }

    /// Takes the entry out of the wheel; for a source that goes away.
    pub fn clear(&mut self, wheel: &mut TimerWheel) {
        if let Some((key, _)) = self.entry.take() {
            wheel.cancel(key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Kind;
    use super::super::random::Random;
    use super::*;
    use std::time::Duration;

    fn token(index: u32) -> Token {
        Token::new(Kind::Daemon, 0, index)
    }

    /// The wheel as a plain list: tick, number of insertion, token, key.
    #[derive(Default)]
    struct Naive(Vec<(u64, u64, Token, TimerKey)>);

    impl Naive {
        fn next(&self) -> Option<Time> {
            self.0.iter().map(|e| Time::from_millis(e.0)).min()
        }

        fn expire(&mut self, now: Time) -> Vec<Token> {
            let mut due: Vec<_> =
                self.0.iter().copied().filter(|e| e.0 <= now.as_millis()).collect();
            due.sort_by_key(|e| (e.0, e.1));
            self.0.retain(|e| e.0 > now.as_millis());
            due.into_iter().map(|e| e.2).collect()
        }
    }

    fn against_the_model(seed: u64) {
        let mut random = Random::new(seed);
        let mut now = Time::from_nanos(random.below(1 << 45));
        let mut wheel = TimerWheel::new(now);
        let mut naive = Naive::default();
        let mut stale = Vec::new();
        let start = now;
        for step in 0..20_000_u64 {
            match random.below(10) {
                0..=3 => {
                    let reach = 1_u64 << random.below(44);
                    let at = Time::from_nanos(now.as_nanos() + random.below(reach));
                    let token = token(step as u32);
                    let tick = at.as_nanos().div_ceil(1_000_000).max(now.as_millis());
                    naive.0.push((tick, step, token, wheel.insert(at, token)));
                }
                4..=5 if !naive.0.is_empty() => {
                    let chosen = random.below(naive.0.len() as u64) as usize;
                    let (_, _, _, key) = naive.0.swap_remove(chosen);
                    assert!(wheel.cancel(key), "seed {seed} step {step}");
                    stale.push(key);
                }
                6 => {
                    for key in stale.drain(..) {
                        assert!(!wheel.cancel(key), "seed {seed} step {step}");
                    }
                }
                7 => now = naive.next().map_or(now, |next| next.max(now)),
                8 => {
                    let reach = 1 << random.below(43);
                    now = now + Duration::from_nanos(random.below(reach));
                }
                _ => now = now + Duration::from_nanos(random.below(3_000_000)),
            }
            assert_eq!(wheel.next_deadline(), naive.next(), "seed {seed} step {step}");
            let mut due = Vec::new();
            wheel.expire(now, &mut due);
            assert_eq!(due, naive.expire(now), "seed {seed} step {step}");
            assert_eq!(wheel.len(), naive.0.len(), "seed {seed} step {step}");
        }
        assert!(now.since(start) > Duration::from_secs(3600), "hours must pass");
    }

    #[test]
    fn the_wheel_does_what_a_plain_list_does() {
        for seed in 1..=8 {
            against_the_model(seed);
        }
    }

    #[test]
    fn nothing_fires_early() {
        let mut wheel = TimerWheel::new(Time::ZERO);
        wheel.insert(Time::from_nanos(1_000_001), token(1));
        assert_eq!(wheel.next_deadline(), Some(Time::from_millis(2)));
        let mut due = Vec::new();
        wheel.expire(Time::from_nanos(1_999_999), &mut due);
        assert!(due.is_empty());
        wheel.expire(Time::from_millis(2), &mut due);
        assert_eq!(due, [token(1)]);
        assert_eq!(wheel.next_deadline(), None);
    }

    #[test]
    fn the_ends_of_the_clock_are_on_the_wheel() {
        let mut wheel = TimerWheel::new(Time::ZERO);
        wheel.insert(Time::from_nanos(u64::MAX), token(1));
        wheel.insert(Time::ZERO, token(0));
        let mut due = Vec::new();
        wheel.expire(Time::ZERO, &mut due);
        assert_eq!(due, [token(0)]);
        // The last whole millisecond is before the end, and never early is kept.
        wheel.expire(Time::from_nanos(u64::MAX), &mut due);
        assert_eq!(due, [token(0)]);
        assert_eq!(wheel.len(), 1);
    }

    #[test]
    fn a_full_wheel_is_emptied_without_another_allocation() {
        let mut wheel = TimerWheel::new(Time::ZERO);
        let mut due = Vec::new();
        for round in 0..50_u64 {
            for n in 0..1000 {
                wheel.insert(Time::from_millis(round * 100_000 + n * 90), token(n as u32));
            }
            wheel.expire(Time::from_millis((round + 1) * 100_000), &mut due);
            assert!(wheel.is_empty());
            assert_eq!(wheel.entries.len(), 1000);
        }
        assert_eq!(due.len(), 50_000);
    }

    #[test]
    fn an_alarm_moves_its_entry_only_forward_in_time() {
        let mut wheel = TimerWheel::new(Time::ZERO);
        let mut alarm = Alarm::new();
        alarm.set(&mut wheel, token(1), Some(Time::from_millis(100)));
        alarm.set(&mut wheel, token(1), Some(Time::from_millis(500)));
        assert_eq!(wheel.next_deadline(), Some(Time::from_millis(100)), "left to fire early");
        alarm.set(&mut wheel, token(1), Some(Time::from_millis(50)));
        assert_eq!((wheel.next_deadline(), wheel.len()), (Some(Time::from_millis(50)), 1));
        let mut due = Vec::new();
        wheel.expire(Time::from_millis(50), &mut due);
        alarm.fired();
        alarm.set(&mut wheel, token(1), Some(Time::from_millis(500)));
        assert_eq!(wheel.next_deadline(), Some(Time::from_millis(500)));
        alarm.set(&mut wheel, token(1), None);
        assert!(wheel.is_empty());
        alarm.clear(&mut wheel);
    }
}
