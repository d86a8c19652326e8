//! One hash function for the table's index and for picking by source address.
//!
//! It is FNV-1a of 64 bits (Fowler, Noll and Vo; RFC 9923) over the bytes, and
//! then the last three steps of SplitMix64, which spread the result over all
//! bits. There is no seed, so that every instance and every version of burgee
//! sends the same client to the same target: do not change it. The keys of the
//! index are the operator's own, so nobody else can crowd a place of it.

const OFFSET_BASIS: u64 = 0xcbf2_9ce4_8422_2325;
const PRIME: u64 = 0x0000_0100_0000_01b3;

/// A hash under way. A copy of it may go on in two ways.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hash(u64);

impl Hash {
    /// The hash of nothing.
    pub const fn new() -> Hash {
        Hash(OFFSET_BASIS)
    }

    /// With one more byte.
    pub const fn byte(self, byte: u8) -> Hash {
        Hash((self.0 ^ byte as u64).wrapping_mul(PRIME))
    }

    /// With these bytes, and one that no UTF-8 text contains: so that `ab`,
    /// `c` and `a`, `bc` differ.
    pub fn bytes(self, bytes: &[u8]) -> Hash {
        bytes.iter().fold(self, |hash, &byte| hash.byte(byte)).byte(0xff)
    }

    /// With a number, its highest byte first.
    pub fn number(self, number: u64) -> Hash {
        number.to_be_bytes().into_iter().fold(self, Hash::byte)
    }

    /// The result.
    pub const fn finish(self) -> u64 {
        mix(self.0)
    }
}

impl Default for Hash {
    fn default() -> Hash {
        Hash::new()
    }
}

/// The hash of one text.
pub(super) fn hash_text(text: &str) -> u64 {
    Hash::new().bytes(text.as_bytes()).finish()
}

/// Spreads a number over all 64 bits, one to one: SplitMix64's last steps.
pub const fn mix(number: u64) -> u64 {
    let z = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// Finds places in a list by the hash of what is there. It holds no keys of
/// its own, so it is one allocation however many places it knows: whoever asks
/// says whether a place is the one that is meant.
#[derive(Clone, Debug, Default)]
pub(super) struct Places {
    /// Linear probing; a power of two long, and at least a quarter is vacant.
    /// A slot is half a hash, and a place plus one; a vacant one is 0.
    slots: Vec<u64>,
    used: usize,
}

const VACANT: u64 = 0;

/// Fewest slots of an index.
const FEWEST: usize = 16;

impl Places {
    /// An index that does not grow before it holds `count` places. Room that
    /// is never used costs nothing: the kernel gives zeroed memory by need.
    pub(super) fn with_room(count: usize) -> Places {
        let slots = count.saturating_add(count / 2).max(FEWEST).checked_next_power_of_two();
        Places { slots: vec![VACANT; slots.unwrap_or(FEWEST)], used: 0 }
    }

    /// Whether no place was put in.
    pub(super) fn is_empty(&self) -> bool {
        self.used == 0
    }

    /// A place with this hash that `is_meant`.
    pub(super) fn find(&self, hash: u64, is_meant: impl Fn(usize) -> bool) -> Option<usize> {
        let hash = folded(hash);
        let mut at = hash as usize;
        loop {
            let slot = *self.slots.get(at & self.mask())?;
            // A vacant slot is no place.
            let place = (slot as u32).checked_sub(1)? as usize;
            if slot >> 32 == hash && is_meant(place) {
                return Some(place);
            }
            at = at.wrapping_add(1);
        }
    }

    /// Puts a place in. No list has as many places as 32 bits can count,
    /// because no text has that many lines.
    pub(super) fn insert(&mut self, hash: u64, place: usize) {
        if self.used >= self.slots.len().saturating_sub(self.slots.len() / 4) {
            let larger = Places::with_room(self.slots.len());
            let smaller = std::mem::replace(self, larger);
            smaller.slots.into_iter().filter(|&slot| slot != VACANT).for_each(|s| self.put(s));
        }
        let place = u32::try_from(place.saturating_add(1)).unwrap_or(u32::MAX);
        self.put(folded(hash) << 32 | u64::from(place));
    }

    fn put(&mut self, new: u64) {
        let mut at = (new >> 32) as usize;
        let mask = self.mask();
        while let Some(slot) = self.slots.get_mut(at & mask) {
            if *slot == VACANT {
                *slot = new;
                self.used = self.used.saturating_add(1);
                return;
            }
            at = at.wrapping_add(1);
        }
    }

    fn mask(&self) -> usize {
        self.slots.len().saturating_sub(1)
    }
}

/// 32 bits of a hash.
fn folded(hash: u64) -> u64 {
    (hash >> 32) ^ (hash & 0xffff_ffff)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The values that FNV-1a has by its authors, before the last steps.
    #[test]
    fn it_is_fnv_1a() {
        let fnv = |text: &str| text.bytes().fold(Hash::new(), Hash::byte).0;
        assert_eq!(fnv(""), 0xcbf2_9ce4_8422_2325);
        assert_eq!(fnv("a"), 0xaf63_dc4c_8601_ec8c);
        assert_eq!(fnv("foobar"), 0x8594_4171_f739_67e8);
    }

    /// Instances of different versions must agree.
    #[test]
    fn the_hash_never_changes() {
        assert_eq!(Hash::new().finish(), 0xf52a_15e9_a9b5_e89b);
        assert_eq!(Hash::new().bytes(b"burgee").number(80).finish(), 0xe5dd_551d_da36_5084);
    }

    #[test]
    fn the_end_of_each_part_counts() {
        let hash = |parts: [&str; 2]| {
            parts.iter().fold(Hash::new(), |h, part| h.bytes(part.as_bytes())).finish()
        };
        assert_ne!(hash(["ab", "c"]), hash(["a", "bc"]));
        assert_ne!(hash(["abc", ""]), hash(["", "abc"]));
    }

    #[test]
    fn places_are_found_again_however_many_there_are() {
        let keys: Vec<u64> = (0..5_000).map(|n| mix(n / 2)).collect();
        let mut places = Places::default();
        for (place, &key) in keys.iter().enumerate() {
            places.insert(key, place);
        }
        for (place, &key) in keys.iter().enumerate() {
            assert_eq!(places.find(key, |at| at == place), Some(place));
            let found = places.find(key, |at| keys[at] == key).unwrap();
            assert_eq!(keys[found], key);
        }
        assert_eq!(places.find(mix(9_999), |at| keys[at] == mix(9_999)), None);
        assert_eq!(Places::default().find(1, |_| true), None);
    }

    #[test]
    fn keys_with_one_hash_are_told_apart() {
        let mut places = Places::with_room(3);
        for place in 0..100 {
            places.insert(7, place);
        }
        for place in 0..100 {
            assert_eq!(places.find(7, |at| at == place), Some(place));
        }
        assert_eq!(places.find(7, |_| false), None);
    }
}
