//! The path attributes of a route as values (RFC 4271 §5), read from and
//! written to the list of an UPDATE.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::as_path::{self, AsPath};
use super::attribute_list::{RawAttribute, code, flag};
use super::open::AS_TRANS;
use super::wire::{self, Reader};

/// Well-known communities.
pub mod community {
    /// The route is about to go away (RFC 8326 §5).
    pub const GRACEFUL_SHUTDOWN: u32 = 0xffff_0000;
    /// Drop the traffic (RFC 7999 §5).
    pub const BLACKHOLE: u32 = 0xffff_029a;
    /// Not to leave the confederation (RFC 1997).
    pub const NO_EXPORT: u32 = 0xffff_ff01;
    /// Not to be advertised to anybody (RFC 1997).
    pub const NO_ADVERTISE: u32 = 0xffff_ff02;
    /// Not to leave the member AS (RFC 1997).
    pub const NO_EXPORT_SUBCONFED: u32 = 0xffff_ff03;
}

/// Where a route comes from (RFC 4271 §5.1.1). The lower is preferred.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Origin {
    /// From inside its AS.
    #[default]
    Igp = 0,
    /// From the EGP protocol.
    Egp = 1,
    /// By other means.
    Incomplete = 2,
}

impl Origin {
    pub(super) fn from_code(code: u8) -> Option<Origin> {
        Some(match code {
            0 => Origin::Igp,
            1 => Origin::Egp,
            2 => Origin::Incomplete,
            _ => return None,
        })
    }
}

/// An attribute that is passed on without being understood.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UnknownAttribute {
    /// See [`flag`]; the extended length bit is set as the value needs it.
    pub flags: u8,
    /// Attribute type code.
    pub code: u8,
    /// The value.
    pub value: Vec<u8>,
}

/// The attributes with a field in [`Attributes`] whose information is partial:
/// somebody on the way did not know them. Whoever passes them on must not say
/// otherwise (RFC 4271 §5).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PartialSet(u8);

impl PartialSet {
    /// The optional transitive attributes, as no others can be partial
    /// (RFC 4271 §4.3).
    const CODES: [u8; 5] = [
        code::AGGREGATOR,
        code::COMMUNITIES,
        code::EXTENDED_COMMUNITIES,
        code::LARGE_COMMUNITIES,
        code::ONLY_TO_CUSTOMER,
    ];

    /// Adds an attribute, if it is one that can be partial.
    pub fn insert(&mut self, code: u8) {
        self.0 |= PartialSet::bit(code);
    }

    /// Whether the attribute is partial.
    pub fn contains(self, code: u8) -> bool {
        self.0 & PartialSet::bit(code) != 0
    }

    fn bit(code: u8) -> u8 {
        let place = PartialSet::CODES.iter().position(|&known| known == code);
        place.and_then(|place| 1_u8.checked_shl(place.try_into().ok()?)).unwrap_or(0)
    }
}

/// The attributes of a route. `default()` is a route of our own AS without a
/// next hop. Empty lists are attributes that are not there.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Attributes {
    /// ORIGIN.
    pub origin: Origin,
    /// AS_PATH.
    pub as_path: AsPath,
    /// NEXT_HOP, or the next hop of MP_REACH_NLRI.
    pub next_hop: Option<IpAddr>,
    /// The link-local address beside a global IPv6 next hop (RFC 2545 §3).
    pub link_local_next_hop: Option<Ipv6Addr>,
    /// MULTI_EXIT_DISC.
    pub med: Option<u32>,
    /// LOCAL_PREF; only for internal neighbours (RFC 4271 §5.1.5).
    pub local_pref: Option<u32>,
    /// ATOMIC_AGGREGATE.
    pub atomic_aggregate: bool,
    /// AGGREGATOR: AS number and identifier.
    pub aggregator: Option<(u32, Ipv4Addr)>,
    /// COMMUNITIES, see [`community`].
    pub communities: Vec<u32>,
    /// ORIGINATOR_ID; only for internal neighbours (RFC 4456 §8).
    pub originator_id: Option<Ipv4Addr>,
    /// CLUSTER_LIST; only for internal neighbours (RFC 4456 §8).
    pub cluster_list: Vec<Ipv4Addr>,
    /// EXTENDED_COMMUNITIES.
    pub extended_communities: Vec<[u8; 8]>,
    /// LARGE_COMMUNITIES: administrator and two numbers of his.
    pub large_communities: Vec<[u32; 3]>,
    /// ONLY_TO_CUSTOMER: AS number (RFC 9234 §5).
    pub only_to_customer: Option<u32>,
    /// Attributes that are not known here and are to be passed on.
    pub unknown: Vec<UnknownAttribute>,
    /// Which of the attributes above are partial.
    pub partial: PartialSet,
}

/// What a speaker with two-octet AS numbers passes on beside AS_PATH and
/// AGGREGATOR (RFC 6793 §3).
#[derive(Debug, Default)]
pub(super) struct As4 {
    path: Option<AsPath>,
    aggregator: Option<(u32, Ipv4Addr)>,
}

impl Attributes {
    /// The attributes of a route that begins here.
    pub fn new(origin: Origin, as_path: AsPath, next_hop: Option<IpAddr>) -> Attributes {
        Attributes { origin, as_path, next_hop, ..Attributes::default() }
    }

    /// Takes over what a received attribute says. The caller has judged it; a
    /// value that is malformed all the same changes nothing.
    pub(super) fn read(&mut self, raw: &RawAttribute<'_>, four_octet_as: bool, as4: &mut As4) {
        let _ = self.try_read(raw, four_octet_as, as4);
    }

    fn try_read(
        &mut self,
        raw: &RawAttribute<'_>,
        four_octet_as: bool,
        as4: &mut As4,
    ) -> Option<()> {
        let value = raw.value;
        let mut reader = Reader::new(value);
        match raw.code {
            code::ORIGIN => self.origin = Origin::from_code(reader.u8()?)?,
            code::AS_PATH => self.as_path = AsPath::read(value, four_octet_as),
            code::NEXT_HOP => self.next_hop = Some(IpAddr::V4(address(&mut reader)?)),
            code::MULTI_EXIT_DISC => self.med = Some(reader.u32()?),
            code::LOCAL_PREF => self.local_pref = Some(reader.u32()?),
            code::ATOMIC_AGGREGATE => self.atomic_aggregate = true,
            code::AGGREGATOR => {
                let asn = if four_octet_as { reader.u32()? } else { u32::from(reader.u16()?) };
                self.aggregator = Some((asn, address(&mut reader)?));
            }
            code::COMMUNITIES => {
                self.communities = wire::items(value).map(u32::from_be_bytes).collect();
            }
            code::ORIGINATOR_ID => self.originator_id = Some(address(&mut reader)?),
            code::CLUSTER_LIST => {
                self.cluster_list = wire::items::<4>(value).map(Ipv4Addr::from).collect();
            }
            code::MP_REACH_NLRI | code::MP_UNREACH_NLRI => {}
            code::EXTENDED_COMMUNITIES => self.extended_communities = wire::items(value).collect(),
            code::AS4_PATH => as4.path = Some(AsPath::read(value, true)),
            code::AS4_AGGREGATOR => {
                as4.aggregator = Some((reader.u32()?, address(&mut reader)?));
            }
            code::LARGE_COMMUNITIES => {
                self.large_communities =
                    distinct(wire::items::<12>(value).map(large_community)).collect();
            }
            code::ONLY_TO_CUSTOMER => self.only_to_customer = Some(reader.u32()?),
            _ => self.keep_unknown(raw),
        }
        if raw.flags & flag::PARTIAL != 0 {
            self.partial.insert(raw.code);
        }
        Some(())
    }

    /// Keeps a transitive attribute to be passed on, marked as partial unless
    /// we know its code; a non-transitive one is quietly ignored (RFC 4271 §5).
    fn keep_unknown(&mut self, raw: &RawAttribute<'_>) {
        if raw.flags & flag::TRANSITIVE == 0 {
            return;
        }
        let partial = match raw.code {
            code::IPV6_EXTENDED_COMMUNITIES => 0,
            _ => flag::PARTIAL,
        };
        let flags = (raw.flags | partial) & !flag::EXTENDED_LENGTH;
        self.unknown.push(UnknownAttribute { flags, code: raw.code, value: raw.value.to_vec() });
    }

    /// Puts the four-octet AS numbers back that came beside two-octet ones. If
    /// there are both aggregators and AGGREGATOR is not AS_TRANS, a speaker that
    /// knows no AS4 attributes aggregated the route: both are void
    /// (RFC 6793 §4.2.3).
    pub(super) fn restore_as4(&mut self, as4: As4) {
        if let (Some((asn, _)), Some(_)) = (self.aggregator, as4.aggregator) {
            if asn != u32::from(AS_TRANS) {
                return;
            }
            self.aggregator = as4.aggregator;
        }
        if let Some(path) = as4.path {
            self.as_path = std::mem::take(&mut self.as_path).merge(path);
        }
    }

    /// Appends the attributes in ascending order of their codes (RFC 4271 §5),
    /// NEXT_HOP only with `next_hop` and if it is an IPv4 address. MP_REACH_NLRI
    /// is not among them.
    pub(super) fn encode(&self, four_octet_as: bool, next_hop: bool, out: &mut Vec<u8>) {
        let mut unknown: Vec<_> =
            self.unknown.iter().filter(|attribute| !is_modelled(attribute.code)).collect();
        unknown.sort_by_key(|attribute| attribute.code);
        let mut unknown = unknown.into_iter().peekable();
        for known in MODELLED {
            while let Some(attribute) = unknown.next_if(|attribute| attribute.code < known) {
                write_unknown(attribute, out);
            }
            if known != code::NEXT_HOP || next_hop {
                self.encode_one(known, four_octet_as, out);
            }
        }
        unknown.for_each(|attribute| write_unknown(attribute, out));
    }

    /// Appends one attribute if it is there.
    fn encode_one(&self, code: u8, four_octet_as: bool, out: &mut Vec<u8>) {
        let fixed = |out: &mut Vec<u8>, flags: u8, value: &[u8]| {
            write(out, flags, code, |out| out.extend_from_slice(value));
        };
        match code {
            code::ORIGIN => fixed(out, WELL_KNOWN, &[self.origin as u8]),
            code::AS_PATH => {
                write(out, WELL_KNOWN, code, |out| self.as_path.encode(four_octet_as, out));
            }
            code::NEXT_HOP => {
                if let Some(IpAddr::V4(next_hop)) = self.next_hop {
                    fixed(out, WELL_KNOWN, &next_hop.octets());
                }
            }
            code::MULTI_EXIT_DISC => number(self.med, |value| fixed(out, OPTIONAL, value)),
            code::LOCAL_PREF => number(self.local_pref, |value| fixed(out, WELL_KNOWN, value)),
            code::ATOMIC_AGGREGATE if self.atomic_aggregate => fixed(out, WELL_KNOWN, &[]),
            code::AGGREGATOR => self.encode_aggregator(four_octet_as, out),
            code::COMMUNITIES => {
                let values = self.communities.iter().map(|value| value.to_be_bytes());
                write_list(out, self.transitive(code), code, values);
            }
            code::ORIGINATOR_ID => {
                number(self.originator_id.map(u32::from), |value| fixed(out, OPTIONAL, value));
            }
            code::CLUSTER_LIST => {
                write_list(out, OPTIONAL, code, self.cluster_list.iter().map(Ipv4Addr::octets));
            }
            code::EXTENDED_COMMUNITIES => {
                let values = self.extended_communities.iter().copied();
                write_list(out, self.transitive(code), code, values);
            }
            code::AS4_PATH if !four_octet_as && self.as_path.needs_as4_path() => {
                write(out, OPTIONAL_TRANSITIVE, code, |out| self.as_path.encode_as4(out));
            }
            code::AS4_AGGREGATOR if !four_octet_as => self.encode_as4_aggregator(out),
            code::LARGE_COMMUNITIES => {
                let values = distinct(self.large_communities.iter().copied());
                let fields = values.flatten().map(u32::to_be_bytes);
                write_list(out, self.transitive(code), code, fields);
            }
            code::ONLY_TO_CUSTOMER => {
                number(self.only_to_customer, |value| fixed(out, self.transitive(code), value));
            }
            _ => {}
        }
    }

    /// The flags of an optional transitive attribute.
    fn transitive(&self, code: u8) -> u8 {
        match self.partial.contains(code) {
            true => OPTIONAL_TRANSITIVE | flag::PARTIAL,
            false => OPTIONAL_TRANSITIVE,
        }
    }

    fn encode_aggregator(&self, four_octet_as: bool, out: &mut Vec<u8>) {
        let Some((asn, identifier)) = self.aggregator else { return };
        write(out, self.transitive(code::AGGREGATOR), code::AGGREGATOR, |out| {
            if four_octet_as {
                out.extend_from_slice(&asn.to_be_bytes());
            } else {
                out.extend_from_slice(&as_path::two_octet(asn).to_be_bytes());
            }
            out.extend_from_slice(&identifier.octets());
        });
    }

    /// Only where AGGREGATOR has AS_TRANS in its place (RFC 6793 §4.2.2).
    fn encode_as4_aggregator(&self, out: &mut Vec<u8>) {
        let Some((asn, identifier)) = self.aggregator else { return };
        if asn <= u32::from(u16::MAX) {
            return;
        }
        write(out, OPTIONAL_TRANSITIVE, code::AS4_AGGREGATOR, |out| {
            out.extend_from_slice(&asn.to_be_bytes());
            out.extend_from_slice(&identifier.octets());
        });
    }
}

/// Flags of a well-known attribute.
const WELL_KNOWN: u8 = flag::TRANSITIVE;
/// Flags of an optional attribute that is not passed on by others.
const OPTIONAL: u8 = flag::OPTIONAL;
/// Flags of an optional attribute that is passed on.
const OPTIONAL_TRANSITIVE: u8 = flag::OPTIONAL | flag::TRANSITIVE;

/// The attributes that have a field of their own in [`Attributes`], or are made
/// from one, in ascending order.
const MODELLED: [u8; 15] = [
    code::ORIGIN,
    code::AS_PATH,
    code::NEXT_HOP,
    code::MULTI_EXIT_DISC,
    code::LOCAL_PREF,
    code::ATOMIC_AGGREGATE,
    code::AGGREGATOR,
    code::COMMUNITIES,
    code::ORIGINATOR_ID,
    code::CLUSTER_LIST,
    code::EXTENDED_COMMUNITIES,
    code::AS4_PATH,
    code::AS4_AGGREGATOR,
    code::LARGE_COMMUNITIES,
    code::ONLY_TO_CUSTOMER,
];

fn is_modelled(code: u8) -> bool {
    MODELLED.contains(&code) || matches!(code, code::MP_REACH_NLRI | code::MP_UNREACH_NLRI)
}

fn address(reader: &mut Reader<'_>) -> Option<Ipv4Addr> {
    reader.array::<4>().map(Ipv4Addr::from)
}

/// The values without those that came before: a receiver silently removes
/// redundant large communities, and none are sent (RFC 8092 §3).
fn distinct(values: impl Iterator<Item = [u32; 3]>) -> impl Iterator<Item = [u32; 3]> {
    let mut seen = BTreeSet::new();
    values.filter(move |value| seen.insert(*value))
}

fn large_community(octets: [u8; 12]) -> [u32; 3] {
    let mut parts = wire::items(&octets).map(u32::from_be_bytes);
    std::array::from_fn(|_| parts.next().unwrap_or(0))
}

fn number(value: Option<u32>, write: impl FnOnce(&[u8])) {
    if let Some(value) = value {
        write(&value.to_be_bytes());
    }
}

fn write_list<const N: usize>(
    out: &mut Vec<u8>,
    flags: u8,
    code: u8,
    values: impl Iterator<Item = [u8; N]>,
) {
    let mut values = values.peekable();
    if values.peek().is_some() {
        write(out, flags, code, |out| values.for_each(|value| out.extend_from_slice(&value)));
    }
}

fn write_unknown(attribute: &UnknownAttribute, out: &mut Vec<u8>) {
    let flags = attribute.flags & !flag::EXTENDED_LENGTH;
    write(out, flags, attribute.code, |out| out.extend_from_slice(&attribute.value));
}

/// Appends an attribute whose value is what `write_value` appends. The length
/// has two octets only where one is too small (RFC 4271 §4.3).
pub(super) fn write(
    out: &mut Vec<u8>,
    flags: u8,
    code: u8,
    write_value: impl FnOnce(&mut Vec<u8>),
) {
    let start = out.len();
    out.extend_from_slice(&[flags, code, 0]);
    let begin = out.len();
    write_value(out);
    let length = out.len().saturating_sub(begin);
    let at = begin.saturating_sub(1);
    if let Ok(length) = u8::try_from(length) {
        if let Some(field) = out.get_mut(at) {
            *field = length;
        }
        return;
    }
    out.insert(at, 0);
    wire::set_u16(out, at, length);
    if let Some(field) = out.get_mut(start) {
        *field |= flag::EXTENDED_LENGTH;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bgp::message::attribute_list::RawAttributes;
    use crate::bgp::message::generator::Generator;

    fn encoded(attributes: &Attributes, four_octet_as: bool) -> Vec<u8> {
        let mut out = Vec::new();
        attributes.encode(four_octet_as, true, &mut out);
        out
    }

    fn read(bytes: &[u8], four_octet_as: bool) -> Attributes {
        let mut attributes = Attributes::default();
        let mut as4 = As4::default();
        for raw in RawAttributes::new(bytes) {
            attributes.read(&raw.unwrap(), four_octet_as, &mut as4);
        }
        attributes.restore_as4(as4);
        attributes
    }

    #[test]
    fn generated_attributes_survive_the_wire() {
        let mut generator = Generator::new(1);
        for _ in 0..2000 {
            let mut attributes = generator.attributes();
            attributes.next_hop = Some(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)));
            attributes.link_local_next_hop = None;
            let bytes = encoded(&attributes, true);
            assert_eq!(read(&bytes, true), attributes);
            assert_eq!(read(&encoded(&attributes, false), false), attributes);
            let codes: Vec<u8> = RawAttributes::new(&bytes).map(|raw| raw.unwrap().code).collect();
            assert!(codes.is_sorted(), "{codes:?}");
        }
    }

    #[test]
    fn the_bytes_are_those_of_the_rfcs() {
        let attributes = Attributes {
            origin: Origin::Incomplete,
            as_path: AsPath::sequence(&[65001]),
            next_hop: Some(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1))),
            med: Some(5),
            local_pref: Some(100),
            atomic_aggregate: true,
            aggregator: Some((65001, Ipv4Addr::new(10, 0, 0, 1))),
            communities: vec![community::GRACEFUL_SHUTDOWN],
            originator_id: Some(Ipv4Addr::new(10, 0, 0, 2)),
            cluster_list: vec![Ipv4Addr::new(10, 0, 0, 3)],
            extended_communities: vec![[0, 2, 0, 1, 0, 0, 0, 9]],
            large_communities: vec![[1, 2, 3]],
            only_to_customer: Some(65001),
            unknown: vec![UnknownAttribute { flags: 0xe0, code: 99, value: vec![7] }],
            ..Attributes::default()
        };
        let expected: [&[u8]; 14] = [
            &[0x40, 1, 1, 2],
            &[0x40, 2, 6, 2, 1, 0, 0, 0xfd, 0xe9],
            &[0x40, 3, 4, 192, 0, 2, 1],
            &[0x80, 4, 4, 0, 0, 0, 5],
            &[0x40, 5, 4, 0, 0, 0, 100],
            &[0x40, 6, 0],
            &[0xc0, 7, 8, 0, 0, 0xfd, 0xe9, 10, 0, 0, 1],
            &[0xc0, 8, 4, 0xff, 0xff, 0, 0],
            &[0x80, 9, 4, 10, 0, 0, 2],
            &[0x80, 10, 4, 10, 0, 0, 3],
            &[0xc0, 16, 8, 0, 2, 0, 1, 0, 0, 0, 9],
            &[0xc0, 32, 12, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3],
            &[0xc0, 35, 4, 0, 0, 0xfd, 0xe9],
            &[0xe0, 99, 1, 7],
        ];
        assert_eq!(encoded(&attributes, true), expected.concat());
    }

    #[test]
    fn an_old_speaker_gets_as_trans_and_the_as4_attributes() {
        let attributes = Attributes {
            as_path: AsPath::sequence(&[65001, 70000]),
            aggregator: Some((70000, Ipv4Addr::new(10, 0, 0, 1))),
            ..Attributes::default()
        };
        let expected: [&[u8]; 5] = [
            &[0x40, 1, 1, 0],
            &[0x40, 2, 6, 2, 2, 0xfd, 0xe9, 0x5b, 0xa0],
            &[0xc0, 7, 6, 0x5b, 0xa0, 10, 0, 0, 1],
            &[0xc0, 17, 10, 2, 2, 0, 0, 0xfd, 0xe9, 0, 1, 0x11, 0x70],
            &[0xc0, 18, 8, 0, 1, 0x11, 0x70, 10, 0, 0, 1],
        ];
        let bytes = encoded(&attributes, false);
        assert_eq!(bytes, expected.concat());
        assert_eq!(read(&bytes, false), attributes);
        let small = Attributes {
            as_path: AsPath::sequence(&[65535]),
            aggregator: Some((65535, Ipv4Addr::new(10, 0, 0, 1))),
            ..Attributes::default()
        };
        let expected: [&[u8]; 3] = [
            &[0x40, 1, 1, 0],
            &[0x40, 2, 4, 2, 1, 0xff, 0xff],
            &[0xc0, 7, 6, 0xff, 0xff, 10, 0, 0, 1],
        ];
        assert_eq!(encoded(&small, false), expected.concat());
    }

    #[test]
    fn an_aggregator_of_an_old_speaker_voids_the_as4_attributes() {
        let bytes: [&[u8]; 4] = [
            &[0x40, 2, 6, 2, 2, 0xfd, 0xe9, 0x5b, 0xa0],
            &[0xc0, 7, 6, 0, 9, 10, 0, 0, 1],
            &[0xc0, 17, 6, 2, 1, 0, 1, 0x11, 0x70],
            &[0xc0, 18, 8, 0, 1, 0x11, 0x70, 10, 0, 0, 2],
        ];
        let attributes = read(&bytes.concat(), false);
        assert_eq!(attributes.aggregator, Some((9, Ipv4Addr::new(10, 0, 0, 1))));
        assert_eq!(attributes.as_path.to_string(), "65001 23456");
    }

    /// RFC 8092 §3 and §6.
    #[test]
    fn redundant_large_communities_are_removed_in_both_directions() {
        let twice = Attributes {
            large_communities: vec![[9, 9, 9], [1, 2, 3], [9, 9, 9]],
            ..Attributes::default()
        };
        let bytes = encoded(&twice, true);
        assert_eq!(read(&bytes, true).large_communities, [[9, 9, 9], [1, 2, 3]]);
        let value = [9, 0, 0, 0, 9, 0, 0, 0, 9, 0, 0, 0].repeat(3);
        let received = [&[0xc0, 32, 36], &value[..]].concat();
        assert_eq!(read(&received, true).large_communities.len(), 1);
    }

    #[test]
    fn a_long_value_gets_the_extended_length() {
        for (count, header) in [(63, &[0xc0, 8, 252][..]), (64, &[0xd0, 8, 1, 0])] {
            let mut out = Vec::new();
            let values = (0..count).map(|value: u32| value.to_be_bytes());
            write_list(&mut out, OPTIONAL_TRANSITIVE, code::COMMUNITIES, values);
            assert_eq!(&out[..header.len()], header);
            assert_eq!(out.len(), header.len() + count as usize * 4);
            assert_eq!(read(&out, true).communities.len(), count as usize);
        }
    }

    /// RFC 4271 §5.
    #[test]
    fn what_came_as_partial_is_passed_on_as_partial() {
        let partial: [&[u8]; 5] = [
            &[0xe0, 7, 8, 0, 0, 0xfd, 0xe9, 10, 0, 0, 1],
            &[0xe0, 8, 4, 0xff, 0xff, 0, 0],
            &[0xe0, 16, 8, 0, 2, 0, 1, 0, 0, 0, 9],
            &[0xe0, 32, 12, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3],
            &[0xe0, 35, 4, 0, 0, 0xfd, 0xe9],
        ];
        let base = [0x40, 1, 1, 0, 0x40, 2, 0];
        for attribute in partial {
            let bytes = [&base, attribute].concat();
            let attributes = read(&bytes, true);
            assert_eq!(encoded(&attributes, true), bytes);
            let whole = [&base[..], &[0xc0], &attribute[1..]].concat();
            assert_eq!(encoded(&read(&whole, true), true), whole);
        }
        let well_known = read(&[0x60, 1, 1, 0, 0x60, 2, 0], true);
        assert_eq!(well_known.partial, PartialSet::default());
    }

    #[test]
    fn what_is_unknown_is_passed_on_as_partial_or_not_at_all() {
        let bytes = [&[0xc0, 99, 1, 7][..], &[0x80, 98, 1, 7], &[0xd0, 97, 0, 1, 7]].concat();
        let unknown = read(&bytes, true).unknown;
        let expected = |code| UnknownAttribute { flags: 0xe0, code, value: vec![7] };
        assert_eq!(unknown, [expected(99), expected(97)]);
        let twice = Attributes {
            unknown: vec![UnknownAttribute { flags: 0xc0, code: code::COMMUNITIES, value: vec![] }],
            ..Attributes::default()
        };
        assert_eq!(encoded(&twice, true), [0x40, 1, 1, 0, 0x40, 2, 0], "no second COMMUNITIES");
    }
}
