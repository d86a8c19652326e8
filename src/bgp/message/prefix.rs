//! Address families and the encoding of prefixes (RFC 4271 §4.3, RFC 4760 §5,
//! RFC 7911 §3).

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use super::wire::Reader;

/// A family of routes that this speaker knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Family {
    /// AFI 1, SAFI 1.
    Ipv4Unicast,
    /// AFI 2, SAFI 1.
    Ipv6Unicast,
}

impl Family {
    /// Every known family.
    pub const ALL: [Family; 2] = [Family::Ipv4Unicast, Family::Ipv6Unicast];

    /// Address family identifier (RFC 4760 §3).
    pub fn afi(self) -> u16 {
        match self {
            Family::Ipv4Unicast => 1,
            Family::Ipv6Unicast => 2,
        }
    }

    /// Subsequent address family identifier (RFC 4760 §6).
    pub fn safi(self) -> u8 {
        1
    }

    /// The family of these identifiers, if it is known here.
    pub fn from_codes(afi: u16, safi: u8) -> Option<Family> {
        Family::ALL.into_iter().find(|family| (family.afi(), family.safi()) == (afi, safi))
    }

    /// The family that a prefix belongs to.
    pub fn of(prefix: &IpNet) -> Family {
        match prefix {
            IpNet::V4(_) => Family::Ipv4Unicast,
            IpNet::V6(_) => Family::Ipv6Unicast,
        }
    }

    /// The longest prefix in bits.
    fn max_bits(self) -> u8 {
        match self {
            Family::Ipv4Unicast => 32,
            Family::Ipv6Unicast => 128,
        }
    }

    fn bit(self) -> u8 {
        match self {
            Family::Ipv4Unicast => 1,
            Family::Ipv6Unicast => 2,
        }
    }
}

impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Family::Ipv4Unicast => "ipv4-unicast",
            Family::Ipv6Unicast => "ipv6-unicast",
        })
    }
}

/// A set of families.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct FamilySet(u8);

impl FamilySet {
    /// The set without members.
    pub const EMPTY: FamilySet = FamilySet(0);

    /// Every known family.
    pub const ALL: FamilySet = FamilySet(3);

    /// Adds a family.
    pub fn insert(&mut self, family: Family) {
        self.0 |= family.bit();
    }

    /// Takes a family away.
    pub fn remove(&mut self, family: Family) {
        self.0 &= !family.bit();
    }

    /// Whether the family is a member.
    pub fn contains(self, family: Family) -> bool {
        self.0 & family.bit() != 0
    }

    /// Whether there is no member.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The members of both sets.
    pub fn intersection(self, other: FamilySet) -> FamilySet {
        FamilySet(self.0 & other.0)
    }

    /// The members, in the order of [`Family`].
    pub fn iter(self) -> impl Iterator<Item = Family> {
        Family::ALL.into_iter().filter(move |&family| self.contains(family))
    }
}

impl FromIterator<Family> for FamilySet {
    fn from_iter<I: IntoIterator<Item = Family>>(families: I) -> FamilySet {
        let mut set = FamilySet::EMPTY;
        families.into_iter().for_each(|family| set.insert(family));
        set
    }
}

impl fmt::Debug for FamilySet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}

/// Why the prefixes of a field cannot be read on (RFC 7606 §5.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PrefixError {
    /// The length in bits is over that of the family.
    Length(u8),
    /// The field ends inside a prefix.
    Truncated,
}

impl fmt::Display for PrefixError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PrefixError::Length(bits) => write!(f, "prefix length {bits} is too long"),
            PrefixError::Truncated => f.write_str("field ends inside a prefix"),
        }
    }
}

impl std::error::Error for PrefixError {}

/// How many octets hold the bits of a prefix length.
fn octets_of(bits: u8) -> usize {
    usize::from(bits.div_ceil(8))
}

/// Appends a prefix, preceded by its path identifier where add-path is in use
/// (RFC 7911 §3). Bits behind the prefix length are sent as zero.
pub fn encode_prefix(prefix: &IpNet, path_id: Option<u32>, out: &mut Vec<u8>) {
    if let Some(path_id) = path_id {
        out.extend_from_slice(&path_id.to_be_bytes());
    }
    let bits = prefix.prefix_len();
    out.push(bits);
    match prefix.trunc() {
        IpNet::V4(net) => out.extend(net.addr().octets().iter().take(octets_of(bits))),
        IpNet::V6(net) => out.extend(net.addr().octets().iter().take(octets_of(bits))),
    }
}

/// How many octets [`encode_prefix`] appends.
pub fn encoded_length(prefix: &IpNet, add_path: bool) -> usize {
    let path_id = if add_path { 4 } else { 0 };
    octets_of(prefix.prefix_len()).saturating_add(path_id).saturating_add(1)
}

/// Whether the prefix lies in the range of multicast addresses, where no unicast
/// route can lead.
fn is_multicast(family: Family, bits: u8, octets: &[u8]) -> bool {
    let first = octets.first().copied().unwrap_or(0);
    match family {
        Family::Ipv4Unicast => bits >= 4 && first & 0xf0 == 0xe0,
        Family::Ipv6Unicast => bits >= 8 && first == 0xff,
    }
}

/// What there is in one field of prefixes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PrefixCount {
    /// How many the iterator gives.
    pub routes: u32,
    /// How many it passes over.
    pub ignored: u32,
}

/// The prefixes of one field, with their path identifiers (0 without add-path).
/// Multicast prefixes are passed over, as they are semantically incorrect
/// (RFC 4271 §6.3). After an error the iterator ends, because nothing tells
/// where the next prefix would begin.
#[derive(Clone, Debug)]
pub struct Prefixes<'a> {
    reader: Reader<'a>,
    family: Family,
    add_path: bool,
}

impl<'a> Prefixes<'a> {
    /// The prefixes in `bytes`, all of one family; `add_path` says whether each
    /// has a path identifier (RFC 7911 §3).
    pub fn new(bytes: &'a [u8], family: Family, add_path: bool) -> Prefixes<'a> {
        Prefixes { reader: Reader::new(bytes), family, add_path }
    }

    /// How many prefixes there are, or the error that the iterator would end
    /// with. It builds no prefix, so that whole tables can be skimmed.
    pub fn check(mut self) -> Result<PrefixCount, PrefixError> {
        let mut count = PrefixCount::default();
        while !self.reader.is_empty() {
            let (_, bits, octets) = self.split_one()?;
            let number = match is_multicast(self.family, bits, octets) {
                true => &mut count.ignored,
                false => &mut count.routes,
            };
            *number = number.saturating_add(1);
        }
        Ok(count)
    }

    fn split_one(&mut self) -> Result<(u32, u8, &'a [u8]), PrefixError> {
        let path_id = match self.add_path {
            true => self.reader.u32().ok_or(PrefixError::Truncated)?,
            false => 0,
        };
        let bits = self.reader.u8().ok_or(PrefixError::Truncated)?;
        if bits > self.family.max_bits() {
            return Err(PrefixError::Length(bits));
        }
        let octets = self.reader.take(octets_of(bits)).ok_or(PrefixError::Truncated)?;
        Ok((path_id, bits, octets))
    }

    /// The next prefix, or None if it is to be passed over.
    fn read_one(&mut self) -> Result<Option<(u32, IpNet)>, PrefixError> {
        let (path_id, bits, octets) = self.split_one()?;
        if is_multicast(self.family, bits, octets) {
            return Ok(None);
        }
        let prefix = match self.family {
            Family::Ipv4Unicast => {
                Ipv4Net::new(Ipv4Addr::from(padded(octets)), bits).map(IpNet::V4)
            }
            Family::Ipv6Unicast => {
                Ipv6Net::new(Ipv6Addr::from(padded(octets)), bits).map(IpNet::V6)
            }
        };
        let prefix = prefix.map_err(|_| PrefixError::Length(bits))?;
        // The value of the trailing bits is irrelevant (RFC 4271 §4.3).
        Ok(Some((path_id, prefix.trunc())))
    }
}

impl Iterator for Prefixes<'_> {
    type Item = Result<(u32, IpNet), PrefixError>;

    fn next(&mut self) -> Option<Self::Item> {
        while !self.reader.is_empty() {
            let item = self.read_one();
            if item.is_err() {
                self.reader = Reader::new(&[]);
            }
            if let Some(item) = item.transpose() {
                return Some(item);
            }
        }
        None
    }
}

/// `octets` followed by zeros.
fn padded<const N: usize>(octets: &[u8]) -> [u8; N] {
    let mut address = [0; N];
    address.iter_mut().zip(octets).for_each(|(to, from)| *to = *from);
    address
}

#[cfg(test)]
mod tests {
    use super::*;

    fn net(text: &str) -> IpNet {
        text.parse().unwrap()
    }

    fn read(bytes: &[u8], family: Family) -> Vec<Result<(u32, IpNet), PrefixError>> {
        Prefixes::new(bytes, family, false).collect()
    }

    #[test]
    fn families_and_their_codes() {
        for family in Family::ALL {
            assert_eq!(Family::from_codes(family.afi(), family.safi()), Some(family));
        }
        for (afi, safi) in [(1, 2), (2, 2), (1, 128), (25, 65), (0, 0), (3, 1)] {
            assert_eq!(Family::from_codes(afi, safi), None);
        }
        assert_eq!(Family::Ipv4Unicast.to_string(), "ipv4-unicast");
        assert_eq!(Family::Ipv6Unicast.to_string(), "ipv6-unicast");
        assert_eq!(Family::of(&net("::/0")), Family::Ipv6Unicast);
    }

    #[test]
    fn a_set_holds_what_was_put_in() {
        let mut set = FamilySet::EMPTY;
        assert!(set.is_empty());
        set.insert(Family::Ipv6Unicast);
        assert!(set.contains(Family::Ipv6Unicast) && !set.contains(Family::Ipv4Unicast));
        let all = FamilySet::from_iter(Family::ALL);
        assert_eq!(all.intersection(set), set);
        assert_eq!(all.iter().collect::<Vec<_>>(), Family::ALL);
        set.remove(Family::Ipv6Unicast);
        assert!(set.is_empty());
    }

    #[test]
    fn the_bytes_are_those_of_rfc_4271() {
        let encoded = |prefix: &str, path_id| {
            let mut out = Vec::new();
            encode_prefix(&net(prefix), path_id, &mut out);
            assert_eq!(out.len(), encoded_length(&net(prefix), path_id.is_some()));
            out
        };
        assert_eq!(encoded("0.0.0.0/0", None), [0]);
        assert_eq!(encoded("10.0.0.0/8", None), [8, 10]);
        assert_eq!(encoded("10.128.0.0/9", None), [9, 10, 128]);
        assert_eq!(encoded("192.0.2.1/32", None), [32, 192, 0, 2, 1]);
        assert_eq!(encoded("2001:db8::/32", None), [32, 0x20, 1, 0xd, 0xb8]);
        assert_eq!(encoded("10.0.0.0/8", Some(258)), [0, 0, 1, 2, 8, 10]);
        assert_eq!(encoded("10.255.255.255/9", None), [9, 10, 128], "host bits are not sent");
    }

    #[test]
    fn every_length_survives_the_wire() {
        let mut prefixes = Vec::new();
        for bits in 0..=32 {
            let prefix = Ipv4Net::new(Ipv4Addr::new(203, 0, 113, 255), bits).unwrap().trunc();
            prefixes.push((u32::from(bits), IpNet::V4(prefix)));
        }
        for bits in 0..=128 {
            let address = "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff".parse().unwrap();
            let prefix = Ipv6Net::new(address, bits).unwrap().trunc();
            prefixes.push((u32::from(bits) + 100, IpNet::V6(prefix)));
        }
        for add_path in [false, true] {
            for (path_id, prefix) in &prefixes {
                let mut out = Vec::new();
                encode_prefix(prefix, add_path.then_some(*path_id), &mut out);
                let path_id = if add_path { *path_id } else { 0 };
                let read = Prefixes::new(&out, Family::of(prefix), add_path);
                assert_eq!(read.clone().check(), Ok(PrefixCount { routes: 1, ignored: 0 }));
                assert_eq!(read.collect::<Vec<_>>(), [Ok((path_id, *prefix))]);
            }
        }
    }

    #[test]
    fn host_bits_are_ignored_on_receipt() {
        assert_eq!(
            read(&[9, 10, 255, 0], Family::Ipv4Unicast),
            [Ok((0, net("10.128.0.0/9"))), Ok((0, net("0.0.0.0/0")))]
        );
    }

    #[test]
    fn multicast_prefixes_are_passed_over() {
        let bytes = [4, 224, 3, 224, 32, 239, 1, 2, 3, 4, 240, 0, 8, 223];
        let expected = ["224.0.0.0/3", "240.0.0.0/4", "0.0.0.0/0", "223.0.0.0/8"];
        assert_eq!(read(&bytes, Family::Ipv4Unicast), expected.map(|text| Ok((0, net(text)))));
        let checked = Prefixes::new(&bytes, Family::Ipv4Unicast, false).check();
        assert_eq!(checked, Ok(PrefixCount { routes: 4, ignored: 2 }));
        let bytes = [8, 0xff, 7, 0xfe, 16, 0xff, 2, 8, 0xfe];
        let expected = ["fe00::/7", "fe00::/8"];
        assert_eq!(read(&bytes, Family::Ipv6Unicast), expected.map(|text| Ok((0, net(text)))));
    }

    #[test]
    fn a_wrong_length_ends_the_field() {
        let bytes = [8, 10, 33, 1, 2, 3, 4, 5, 8, 11];
        assert_eq!(
            read(&bytes, Family::Ipv4Unicast),
            [Ok((0, net("10.0.0.0/8"))), Err(PrefixError::Length(33))]
        );
        let long = [&[129][..], &[0; 17]].concat();
        assert_eq!(read(&long, Family::Ipv6Unicast), [Err(PrefixError::Length(129))]);
        let checked = Prefixes::new(&bytes, Family::Ipv4Unicast, false).check();
        assert_eq!(checked, Err(PrefixError::Length(33)));
    }

    #[test]
    fn a_truncated_prefix_ends_the_field() {
        assert_eq!(read(&[24, 1, 2], Family::Ipv4Unicast), [Err(PrefixError::Truncated)]);
        assert_eq!(read(&[], Family::Ipv4Unicast), []);
        for bytes in [&[0][..], &[0, 0, 0], &[0, 0, 0, 1], &[0, 0, 0, 1, 8]] {
            let read = Prefixes::new(bytes, Family::Ipv4Unicast, true);
            assert_eq!(read.clone().check(), Err(PrefixError::Truncated));
            assert_eq!(read.collect::<Vec<_>>(), [Err(PrefixError::Truncated)]);
        }
    }
}
