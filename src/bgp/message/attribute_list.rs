//! The list of path attributes of an UPDATE (RFC 4271 §4.3), taken apart
//! without looking at what the attributes say.

use super::wire::Reader;

/// Attribute type codes.
pub mod code {
    /// RFC 4271 §5.1.1.
    pub const ORIGIN: u8 = 1;
    /// RFC 4271 §5.1.2.
    pub const AS_PATH: u8 = 2;
    /// RFC 4271 §5.1.3.
    pub const NEXT_HOP: u8 = 3;
    /// RFC 4271 §5.1.4.
    pub const MULTI_EXIT_DISC: u8 = 4;
    /// RFC 4271 §5.1.5.
    pub const LOCAL_PREF: u8 = 5;
    /// RFC 4271 §5.1.6.
    pub const ATOMIC_AGGREGATE: u8 = 6;
    /// RFC 4271 §5.1.7.
    pub const AGGREGATOR: u8 = 7;
    /// RFC 1997.
    pub const COMMUNITIES: u8 = 8;
    /// RFC 4456 §8.
    pub const ORIGINATOR_ID: u8 = 9;
    /// RFC 4456 §8.
    pub const CLUSTER_LIST: u8 = 10;
    /// RFC 4760 §3.
    pub const MP_REACH_NLRI: u8 = 14;
    /// RFC 4760 §4.
    pub const MP_UNREACH_NLRI: u8 = 15;
    /// RFC 4360 §2.
    pub const EXTENDED_COMMUNITIES: u8 = 16;
    /// RFC 6793 §3.
    pub const AS4_PATH: u8 = 17;
    /// RFC 6793 §3.
    pub const AS4_AGGREGATOR: u8 = 18;
    /// RFC 5701 §2.
    pub const IPV6_EXTENDED_COMMUNITIES: u8 = 25;
    /// RFC 8092 §3.
    pub const LARGE_COMMUNITIES: u8 = 32;
    /// RFC 9234 §5.
    pub const ONLY_TO_CUSTOMER: u8 = 35;
}

/// Attribute flags (RFC 4271 §4.3).
pub mod flag {
    /// Optional, as opposed to well-known.
    pub const OPTIONAL: u8 = 0x80;
    /// Passed on also by those who do not know it.
    pub const TRANSITIVE: u8 = 0x40;
    /// Passed on by somebody who did not know it.
    pub const PARTIAL: u8 = 0x20;
    /// The length has two octets.
    pub const EXTENDED_LENGTH: u8 = 0x10;
}

/// The name of an attribute, as the RFCs write it.
pub fn name(code: u8) -> Option<&'static str> {
    Some(match code {
        code::ORIGIN => "ORIGIN",
        code::AS_PATH => "AS_PATH",
        code::NEXT_HOP => "NEXT_HOP",
        code::MULTI_EXIT_DISC => "MULTI_EXIT_DISC",
        code::LOCAL_PREF => "LOCAL_PREF",
        code::ATOMIC_AGGREGATE => "ATOMIC_AGGREGATE",
        code::AGGREGATOR => "AGGREGATOR",
        code::COMMUNITIES => "COMMUNITIES",
        code::ORIGINATOR_ID => "ORIGINATOR_ID",
        code::CLUSTER_LIST => "CLUSTER_LIST",
        code::MP_REACH_NLRI => "MP_REACH_NLRI",
        code::MP_UNREACH_NLRI => "MP_UNREACH_NLRI",
        code::EXTENDED_COMMUNITIES => "EXTENDED_COMMUNITIES",
        code::AS4_PATH => "AS4_PATH",
        code::AS4_AGGREGATOR => "AS4_AGGREGATOR",
        code::IPV6_EXTENDED_COMMUNITIES => "IPV6_EXTENDED_COMMUNITIES",
        code::LARGE_COMMUNITIES => "LARGE_COMMUNITIES",
        code::ONLY_TO_CUSTOMER => "ONLY_TO_CUSTOMER",
        _ => return None,
    })
}

/// One attribute as it was received.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct RawAttribute<'a> {
    /// See [`flag`].
    pub(super) flags: u8,
    /// See [`code`].
    pub(super) code: u8,
    /// What follows the length.
    pub(super) value: &'a [u8],
    /// Flags, code, length and value: the data of a NOTIFICATION.
    pub(super) whole: &'a [u8],
}

/// The list ends inside an attribute (RFC 7606 §4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Overrun {
    /// The code of the attribute, if the list reaches so far.
    pub(super) code: Option<u8>,
}

/// The attributes of a list. After an error the iterator ends.
#[derive(Clone, Debug)]
pub(super) struct RawAttributes<'a>(&'a [u8]);

impl<'a> RawAttributes<'a> {
    /// The attributes in `bytes`.
    pub(super) fn new(bytes: &'a [u8]) -> RawAttributes<'a> {
        RawAttributes(bytes)
    }

    fn split_one(&mut self) -> Option<RawAttribute<'a>> {
        let mut reader = Reader::new(self.0);
        let (flags, code) = (reader.u8()?, reader.u8()?);
        let value = match flags & flag::EXTENDED_LENGTH {
            0 => reader.short_field()?,
            _ => reader.long_field()?,
        };
        let length = self.0.len().checked_sub(reader.rest().len())?;
        let whole = self.0.get(..length)?;
        self.0 = reader.rest();
        Some(RawAttribute { flags, code, value, whole })
    }
}

impl<'a> Iterator for RawAttributes<'a> {
    type Item = Result<RawAttribute<'a>, Overrun>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        Some(self.split_one().ok_or_else(|| {
            let code = self.0.get(1).copied();
            self.0 = &[];
            Overrun { code }
        }))
    }
}

/// A set of attribute codes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct CodeSet([u128; 2]);

impl CodeSet {
    fn place(code: u8) -> (usize, u128) {
        (usize::from(code >> 7), 1u128.wrapping_shl(u32::from(code & 0x7f)))
    }

    /// Adds a code and says whether it is new.
    pub(super) fn insert(&mut self, code: u8) -> bool {
        let (index, bit) = CodeSet::place(code);
        let new = !self.contains(code);
        if let Some(word) = self.0.get_mut(index) {
            *word |= bit;
        }
        new
    }

    /// Whether the code is in the set.
    pub(super) fn contains(&self, code: u8) -> bool {
        let (index, bit) = CodeSet::place(code);
        self.0.get(index).is_some_and(|word| word & bit != 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_of_length_are_read() {
        let bytes = [0x40, 1, 1, 0, 0x50, 2, 0, 2, 9, 9, 0x40, 6, 0];
        let read: Vec<_> = RawAttributes::new(&bytes).map(Result::unwrap).collect();
        assert_eq!(read.len(), 3);
        assert_eq!((read[0].flags, read[0].code, read[0].value), (0x40, 1, &[0][..]));
        assert_eq!((read[1].flags, read[1].code, read[1].value), (0x50, 2, &[9, 9][..]));
        assert_eq!(read[1].whole, &bytes[4..10]);
        assert_eq!((read[2].code, read[2].value), (6, &[][..]));
    }

    #[test]
    fn an_overrun_ends_the_list() {
        let cases: [(&[u8], Option<u8>); 5] = [
            (&[0x40], None),
            (&[0x40, 1], Some(1)),
            (&[0x40, 1, 2, 0], Some(1)),
            (&[0x50, 2, 0], Some(2)),
            (&[0x50, 2, 1, 0, 7], Some(2)),
        ];
        for (bytes, code) in cases {
            let read: Vec<_> = RawAttributes::new(bytes).collect();
            assert_eq!(read, [Err(Overrun { code })]);
        }
    }

    #[test]
    fn a_set_knows_all_256_codes() {
        let mut set = CodeSet::default();
        for code in 0..=255 {
            assert!(!set.contains(code));
            assert!(set.insert(code));
            assert!(!set.insert(code));
            assert!(set.contains(code));
        }
    }
}
