//! Generational storage: values named by keys that miss once the value is gone.

use super::token::{Kind, Token};

/// The name of one value in a [`Slab`]: a slot and which use of it is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Key {
    /// The slot.
    pub index: u32,
    /// The use of the slot, 24 bits (see [`Token::GENERATION_MASK`]).
    pub generation: u32,
}

impl Key {
    /// The token that names this value towards the poll and the timers.
    pub const fn token(self, kind: Kind) -> Token {
        Token::new(kind, self.generation, self.index)
    }
}

impl From<Token> for Key {
    fn from(token: Token) -> Key {
        Key { index: token.index, generation: token.generation }
    }
}

#[derive(Debug)]
struct Slot<T> {
    generation: u32,
    value: Option<T>,
}

/// Values of one type under [`Key`]s.
///
/// A slot that was emptied is used again only after [`Slab::reclaim`], which
/// the loop calls when a turn ends: until then a stale event of the same turn
/// finds nothing. Generations count over the whole slab, so that they differ
/// even after the memory of a slot went back and came again.
#[derive(Debug)]
pub struct Slab<T> {
    slots: Vec<Slot<T>>,
    /// Slots that may be used, lowest first: what lives gathers at the front,
    /// and the tail can be given back.
    free: Numbers,
    /// Slots emptied in this turn.
    emptied: Vec<u32>,
    /// All slots from here on are empty.
    end: usize,
    /// There may be more of them.
    searching: bool,
    next_generation: u32,
    len: usize,
}

impl<T> Slab<T> {
    /// Fewer slots than this are never given back.
    const KEPT_SLOTS: usize = 64;

    /// Slots that one turn looks at to find the last one in use.
    const SEARCH_STEPS: usize = 1024;

    /// An empty slab; allocates nothing.
    pub const fn new() -> Slab<T> {
        Slab {
            slots: Vec::new(),
            free: Numbers::new(),
            emptied: Vec::new(),
            end: 0,
            searching: false,
            next_generation: 0,
            len: 0,
        }
    }

    /// Stores a value.
    pub fn insert(&mut self, value: T) -> Key {
        self.insert_with(|_| value)
    }

    /// Stores the value that `make` builds, which may want to know its key.
    pub fn insert_with(&mut self, make: impl FnOnce(Key) -> T) -> Key {
        let generation = self.next_generation;
        self.next_generation = generation.wrapping_add(1) & Token::GENERATION_MASK;
        let index = match self.free.pop() {
            Some(index) => index,
            None => {
                self.slots.push(Slot { generation, value: None });
                // Slots take memory, so 2^32 of them cannot be reached.
                u32::try_from(self.slots.len().saturating_sub(1)).unwrap_or(u32::MAX)
            }
        };
        let key = Key { index, generation };
        let value = make(key);
        if let Some(slot) = self.slots.get_mut(index as usize) {
            *slot = Slot { generation, value: Some(value) };
            self.len += 1;
            self.end = self.end.max(index as usize + 1);
        }
        key
    }

    /// The value under `key`, unless it is gone.
    pub fn get(&self, key: Key) -> Option<&T> {
        let slot = self.slots.get(key.index as usize)?;
        slot.value.as_ref().filter(|_| slot.generation == key.generation)
    }

    /// The value under `key`, unless it is gone.
    pub fn get_mut(&mut self, key: Key) -> Option<&mut T> {
        let slot = self.slots.get_mut(key.index as usize)?;
        slot.value.as_mut().filter(|_| slot.generation == key.generation)
    }

    /// Whether `key` still names a value.
    pub fn contains(&self, key: Key) -> bool {
        self.get(key).is_some()
    }

    /// Takes the value under `key` out. The slot rests until
    /// [`Slab::reclaim`].
    pub fn remove(&mut self, key: Key) -> Option<T> {
        let slot = self.slots.get_mut(key.index as usize)?;
        if slot.generation != key.generation {
            return None;
        }
        let value = slot.value.take()?;
        self.emptied.push(key.index);
        self.len -= 1;
        Some(value)
    }

    /// How many values are stored.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether nothing is stored.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// All values, in the order of their slots.
    pub fn iter(&self) -> impl Iterator<Item = (Key, &T)> {
        self.slots
            .iter()
            .enumerate()
            .filter_map(|(index, slot)| Some((key(index, slot.generation), slot.value.as_ref()?)))
    }

    /// All values, in the order of their slots.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = (Key, &mut T)> {
        self.slots
            .iter_mut()
            .enumerate()
            .filter_map(|(index, slot)| Some((key(index, slot.generation), slot.value.as_mut()?)))
    }

    /// The keys of all values, for a walk that changes the slab.
    pub fn keys(&self) -> Vec<Key> {
        self.iter().map(|(key, _)| key).collect()
    }

    /// The value in the slot `index`, if there is one.
    pub fn key_at(&self, index: u32) -> Option<Key> {
        let slot = self.slots.get(index as usize)?;
        slot.value.is_some().then_some(Key { index, generation: slot.generation })
    }

    /// How many slots there are, used or not: what a walk in pieces has to look
    /// at.
    pub fn slots(&self) -> usize {
        self.slots.len()
    }

    /// The first value in the slot `index` or behind.
    pub fn key_from(&self, index: u32) -> Option<Key> {
        let behind = self.slots.iter().enumerate().skip(usize::try_from(index).ok()?);
        let mut used = behind.filter(|(_, slot)| slot.value.is_some());
        used.next().map(|(index, slot)| key(index, slot.generation))
    }

    /// Lets the slots that were emptied since the last call be used again,
    /// and gives memory back when more than half of it lies unused at the end.
    /// Called once a turn, in the flush phase.
    pub fn reclaim(&mut self) {
        if self.emptied.is_empty() && !self.searching {
            return;
        }
        let free = &mut self.free;
        self.emptied.drain(..).for_each(|index| free.insert(index));
        // A slot is passed once for each time that it was the last one in use.
        let used = self.slots.iter().take(self.end);
        let empty = used.rev().take(Self::SEARCH_STEPS).take_while(|slot| slot.value.is_none());
        let passed = empty.count();
        self.end -= passed;
        self.searching = passed == Self::SEARCH_STEPS;
        let kept = self.end.max(Self::KEPT_SLOTS);
        if kept <= self.slots.len() / 2 {
            self.shrink(kept);
        }
    }

    /// Whether another [`Slab::reclaim`] may find memory to give back.
    pub fn is_searching(&self) -> bool {
        self.searching
    }

    fn shrink(&mut self, kept: usize) {
        self.slots.truncate(kept);
        self.slots.shrink_to_fit();
        self.free.keep_below(kept);
        self.emptied.shrink_to_fit();
    }
}

/// A set of numbers, a bit each, of which the lowest is taken: little memory, and
/// little work for many at a time.
#[derive(Debug)]
struct Numbers {
    words: Vec<u64>,
    /// No word before this one has a bit.
    first: usize,
}

impl Numbers {
    const fn new() -> Numbers {
        Numbers { words: Vec::new(), first: 0 }
    }

    fn insert(&mut self, number: u32) {
        let (word, bit) = (number as usize / 64, number % 64);
        if word >= self.words.len() {
            self.words.resize(word + 1, 0);
        }
        if let Some(bits) = self.words.get_mut(word) {
            *bits |= 1 << bit;
            self.first = self.first.min(word);
        }
    }

    /// Takes the lowest out.
    fn pop(&mut self) -> Option<u32> {
        let words = self.words.iter_mut().enumerate().skip(self.first);
        for (word, bits) in words {
            self.first = word;
            if *bits != 0 {
                let bit = bits.trailing_zeros();
                *bits &= *bits - 1;
                return u32::try_from(word * 64).ok().map(|number| number + bit);
            }
        }
        self.first = self.words.len();
        None
    }

    /// Takes all out that are not below `limit`.
    fn keep_below(&mut self, limit: usize) {
        self.words.truncate(limit.div_ceil(64));
        self.words.shrink_to_fit();
        if let Some(bits) = self.words.get_mut(limit / 64) {
            *bits &= (1 << (limit % 64)) - 1;
        }
        self.first = self.first.min(self.words.len());
    }
}

fn key(index: usize, generation: u32) -> Key {
    Key { index: u32::try_from(index).unwrap_or(u32::MAX), generation }
}

impl<T> Default for Slab<T> {
    fn default() -> Self {
        Slab::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_set_of_numbers_the_lowest_is_taken() {
        let mut random = crate::reactor::random::Random::new(5);
        for _ in 0..200 {
            let (mut numbers, mut model) = (Numbers::new(), std::collections::BTreeSet::new());
            for _ in 0..300 {
                match random.index(20) {
                    0 => {
                        let limit = random.index(400);
                        numbers.keep_below(limit);
                        model.retain(|number| (*number as usize) < limit);
                    }
                    1..=9 => assert_eq!(numbers.pop(), model.pop_first()),
                    _ => {
                        let number = u32::try_from(random.index(400)).unwrap();
                        numbers.insert(number);
                        model.insert(number);
                    }
                }
            }
            while let Some(number) = model.pop_first() {
                assert_eq!(numbers.pop(), Some(number));
            }
            assert_eq!(numbers.pop(), None);
        }
    }

    #[test]
    fn a_key_misses_once_its_value_is_gone() {
        let mut slab = Slab::new();
        let a = slab.insert("a");
        assert_eq!(slab.get(a), Some(&"a"));
        assert_eq!(slab.remove(a), Some("a"));
        assert_eq!(slab.remove(a), None);
        assert!(!slab.contains(a));
        let b = slab.insert("b");
        assert_ne!(b.index, a.index, "a slot rests until the turn is over");
        slab.reclaim();
        let c = slab.insert("c");
        assert_eq!(c.index, a.index);
        assert_ne!(c.generation, a.generation);
        assert_eq!(slab.get(a), None);
        assert_eq!(slab.get_mut(a), None);
        assert_eq!(slab.len(), 2);
    }

    #[test]
    fn a_value_may_know_its_key_and_travel_as_a_token() {
        let mut slab = Slab::new();
        let key = slab.insert_with(|key| key);
        assert_eq!(slab.get(key), Some(&key));
        assert_eq!(Key::from(key.token(Kind::Client)), key);
        assert_eq!(key.token(Kind::Probe).kind, Kind::Probe);
    }

    #[test]
    fn walks_see_what_lives() {
        let mut slab: Slab<u32> = (0..5).fold(Slab::new(), |mut slab, n| {
            slab.insert(n);
            slab
        });
        let keys = slab.keys();
        slab.remove(keys[2]);
        for (_, value) in slab.iter_mut() {
            *value *= 10;
        }
        assert_eq!(slab.iter().map(|(_, v)| *v).collect::<Vec<_>>(), [0, 10, 30, 40]);
        assert_eq!(slab.keys().len(), 4);
    }

    #[test]
    fn memory_goes_back_and_old_keys_still_miss() {
        let mut slab = Slab::new();
        let first = slab.insert(0);
        let keys: Vec<Key> = (0..10_000).map(|n| slab.insert(n)).collect();
        for key in &keys {
            assert!(slab.remove(*key).is_some());
        }
        // A turn searches so far, and no further.
        (0..=10_000 / Slab::<u32>::SEARCH_STEPS).for_each(|_| slab.reclaim());
        assert!(slab.slots.capacity() <= 2 * Slab::<i32>::KEPT_SLOTS);
        assert_eq!(slab.get(first), Some(&0));
        for n in 0..10_000 {
            slab.insert(n);
        }
        assert_eq!(slab.slots.len(), 10_001, "no slot was handed out twice");
        assert!(keys.iter().all(|key| !slab.contains(*key)));
    }

    #[test]
    fn memory_goes_back_however_few_leave_last() {
        let mut slab: Slab<u32> = Slab::new();
        let keys: Vec<Key> = (0..10_000).map(|n| slab.insert(n)).collect();
        for left in [9000, 500, 1] {
            for key in &keys[..10_000 - left] {
                slab.remove(*key);
            }
            slab.reclaim();
            assert_eq!(slab.slots.len(), 10_000, "the last one is in use");
        }
        slab.remove(keys[9_999]);
        (0..=10_000 / Slab::<u32>::SEARCH_STEPS).for_each(|_| slab.reclaim());
        assert!(slab.is_empty() && slab.slots.capacity() <= 2 * Slab::<u32>::KEPT_SLOTS);
    }
}
