//! What is malformed in an UPDATE and what follows from it (RFC 7606). The
//! rules for single attributes are here; those for the whole message are in
//! [`super::update`].

use std::fmt;

use super::as_path::{SegmentError, Segments};
use super::attribute::Origin;
use super::attribute_list::{self, RawAttribute, code as attribute, flag};
use super::notification::{Notification, code, update_error};
use super::prefix::FamilySet;

/// What was negotiated with the neighbour that an UPDATE comes from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Context {
    /// AS_PATH and AGGREGATOR have four-octet AS numbers (RFC 6793 §4.1).
    pub four_octet_as: bool,
    /// The neighbour is in our own AS.
    pub ibgp: bool,
    /// The families that are exchanged; routes of others are ignored.
    pub families: FamilySet,
    /// The families whose prefixes come with path identifiers (RFC 7911 §3).
    pub add_path: FamilySet,
    /// The families whose routes may come with an IPv6 next hop though that is
    /// not their own kind (RFC 8950 §4), so in practice IPv4 unicast.
    pub extended_next_hop: FamilySet,
}

/// What a fault costs, the milder first. A session reset is no fault but a
/// [`Notification`] (RFC 7606 §2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Approach {
    /// The attribute, or a part of it, is dropped and the rest of the UPDATE
    /// stands.
    AttributeDiscard,
    /// The routes of the UPDATE are taken as withdrawn.
    TreatAsWithdraw,
}

/// One fault of a received UPDATE.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault<'a> {
    /// What follows from it.
    pub approach: Approach,
    /// The code of the attribute, if it is one.
    pub attribute: Option<u8>,
    /// What is wrong, with the section that says so.
    pub reason: &'static str,
    /// Of [`update_error`], should the session have to be reset.
    pub subcode: u8,
    /// What goes with the subcode (RFC 4271 §6.3).
    pub data: &'a [u8],
}

impl<'a> Fault<'a> {
    /// A fault because of which an attribute is dropped. `raw` is the attribute.
    pub(super) fn discard(raw: &RawAttribute<'a>, reason: &'static str) -> Fault<'a> {
        let subcode = update_error::OPTIONAL_ATTRIBUTE_ERROR;
        Fault::of(raw, Approach::AttributeDiscard, subcode, reason)
    }

    fn of(
        raw: &RawAttribute<'a>,
        approach: Approach,
        subcode: u8,
        reason: &'static str,
    ) -> Fault<'a> {
        // Malformed AS_PATH is the one error of an attribute without data.
        let data = if subcode == update_error::MALFORMED_AS_PATH { &[] } else { raw.whole };
        Fault { approach, attribute: Some(raw.code), reason, subcode, data }
    }

    /// The NOTIFICATION that resets the session because of this fault.
    pub(super) fn notification(&self) -> Notification {
        Notification::with_data(code::UPDATE, self.subcode, self.data)
    }
}

impl fmt::Display for Fault<'_> {
    /// `treat-as-withdraw: ORIGIN (1) has an undefined value, RFC 7606 §7.1`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.approach {
            Approach::AttributeDiscard => "attribute-discard: ",
            Approach::TreatAsWithdraw => "treat-as-withdraw: ",
        })?;
        match self.attribute {
            Some(code) => match attribute_list::name(code) {
                Some(name) => write!(f, "{name} ({code}) ")?,
                None => write!(f, "attribute {code} ")?,
            },
            None => f.write_str("the UPDATE ")?,
        }
        f.write_str(self.reason)
    }
}

/// How long the value of an attribute may be (RFC 7606 §4 and §7).
enum Length {
    Exactly(usize),
    /// Any multiple but zero.
    MultipleOf(usize),
    /// The value has an inner structure that is checked apart.
    Any,
}

impl Length {
    fn fits(&self, length: usize) -> bool {
        match self {
            Length::Exactly(expected) => length == *expected,
            Length::MultipleOf(size) => length != 0 && length.is_multiple_of(*size),
            Length::Any => true,
        }
    }
}

/// What an attribute must look like.
struct Rule {
    /// The Optional and Transitive bits.
    flags: u8,
    length: Length,
    /// What follows if the length or the value is wrong.
    approach: Approach,
    /// What a wrong length is reported as.
    reason: &'static str,
}

/// The rule of an attribute that is known here.
fn rule(code: u8, context: &Context) -> Option<Rule> {
    use Approach::{AttributeDiscard, TreatAsWithdraw};
    use Length::{Any, Exactly, MultipleOf};
    const WELL_KNOWN: u8 = flag::TRANSITIVE;
    const OPTIONAL: u8 = flag::OPTIONAL;
    const BOTH: u8 = flag::OPTIONAL | flag::TRANSITIVE;
    let aggregator = if context.four_octet_as { 8 } else { 6 };
    let (flags, length, approach, reason) = match code {
        attribute::ORIGIN => {
            (WELL_KNOWN, Exactly(1), TreatAsWithdraw, "has a length other than 1, RFC 7606 §7.1")
        }
        attribute::AS_PATH => (WELL_KNOWN, Any, TreatAsWithdraw, ""),
        attribute::NEXT_HOP => {
            (WELL_KNOWN, Exactly(4), TreatAsWithdraw, "has a length other than 4, RFC 7606 §7.3")
        }
        attribute::MULTI_EXIT_DISC => {
            (OPTIONAL, Exactly(4), TreatAsWithdraw, "has a length other than 4, RFC 7606 §7.4")
        }
        attribute::LOCAL_PREF => {
            (WELL_KNOWN, Exactly(4), TreatAsWithdraw, "has a length other than 4, RFC 7606 §7.5")
        }
        attribute::ATOMIC_AGGREGATE => {
            (WELL_KNOWN, Exactly(0), AttributeDiscard, "has a length other than 0, RFC 7606 §7.6")
        }
        attribute::AGGREGATOR => {
            (BOTH, Exactly(aggregator), AttributeDiscard, "has a wrong length, RFC 7606 §7.7")
        }
        attribute::COMMUNITIES => {
            (BOTH, MultipleOf(4), TreatAsWithdraw, "has a wrong length, RFC 7606 §7.8")
        }
        attribute::ORIGINATOR_ID => {
            (OPTIONAL, Exactly(4), TreatAsWithdraw, "has a length other than 4, RFC 7606 §7.9")
        }
        attribute::CLUSTER_LIST => {
            (OPTIONAL, MultipleOf(4), TreatAsWithdraw, "has a wrong length, RFC 7606 §7.10")
        }
        attribute::EXTENDED_COMMUNITIES => {
            (BOTH, MultipleOf(8), TreatAsWithdraw, "has a wrong length, RFC 7606 §7.14")
        }
        attribute::AS4_PATH => {
            (BOTH, MultipleOf(2), AttributeDiscard, "has a wrong length, RFC 6793 §6")
        }
        attribute::AS4_AGGREGATOR => {
            (BOTH, Exactly(8), AttributeDiscard, "has a length other than 8, RFC 6793 §6")
        }
        attribute::IPV6_EXTENDED_COMMUNITIES => {
            (BOTH, MultipleOf(20), TreatAsWithdraw, "has a wrong length, RFC 7606 §7.15")
        }
        attribute::LARGE_COMMUNITIES => {
            (BOTH, MultipleOf(12), TreatAsWithdraw, "has a wrong length, RFC 8092 §6")
        }
        attribute::ONLY_TO_CUSTOMER => {
            (BOTH, Exactly(4), TreatAsWithdraw, "has a length other than 4, RFC 9234 §5")
        }
        _ => return None,
    };
    Some(Rule { flags, length, approach, reason })
}

/// Judges one attribute other than the two of RFC 4760. `announces_ipv4` says
/// whether the NLRI field, which NEXT_HOP belongs to, has prefixes.
///
/// # Errors
/// A well-known attribute that is not known resets the session
/// (RFC 4271 §6.3), which RFC 7606 leaves as it is.
pub(super) fn judge<'a>(
    raw: &RawAttribute<'a>,
    context: &Context,
    announces_ipv4: bool,
) -> Result<Option<Fault<'a>>, Notification> {
    let Some(rule) = rule(raw.code, context) else {
        return match raw.flags & flag::OPTIONAL {
            0 => Err(Notification::with_data(
                code::UPDATE,
                update_error::UNRECOGNIZED_WELL_KNOWN_ATTRIBUTE,
                raw.whole,
            )),
            _ => Ok(None),
        };
    };
    // Flags come first, because the strongest of several approaches is taken
    // (RFC 7606 §3 h). For ATOMIC_AGGREGATE and AGGREGATOR, too, it is not §3 f
    // that speaks of them: §3 c has left no session reset for it to revise.
    if has_conflicting_flags(raw, rule.flags) {
        return Ok(Some(Fault::of(
            raw,
            Approach::TreatAsWithdraw,
            update_error::ATTRIBUTE_FLAGS_ERROR,
            "has conflicting flags, RFC 7606 §3 c",
        )));
    }
    // Whatever the value of such an attribute looks like, it is discarded.
    if let Some(reason) = unwanted(raw.code, context) {
        return Ok(Some(Fault::discard(raw, reason)));
    }
    if !rule.length.fits(raw.value.len()) {
        let subcode = update_error::ATTRIBUTE_LENGTH_ERROR;
        return Ok(Some(Fault::of(raw, rule.approach, subcode, rule.reason)));
    }
    let fault = value_fault(raw, context, announces_ipv4);
    Ok(fault.map(|(subcode, reason)| Fault::of(raw, rule.approach, subcode, reason)))
}

/// Whether the Optional and Transitive bits are not as specified. The Partial
/// bit and the unused ones are not judged (RFC 7606 §3 c).
pub(super) fn has_conflicting_flags(raw: &RawAttribute<'_>, expected: u8) -> bool {
    (raw.flags ^ expected) & (flag::OPTIONAL | flag::TRANSITIVE) != 0
}

/// Why an attribute must not come from this neighbour at all.
fn unwanted(code: u8, context: &Context) -> Option<&'static str> {
    match code {
        attribute::LOCAL_PREF if !context.ibgp => {
            Some("comes from an external neighbor, RFC 7606 §7.5")
        }
        attribute::ORIGINATOR_ID if !context.ibgp => {
            Some("comes from an external neighbor, RFC 7606 §7.9")
        }
        attribute::CLUSTER_LIST if !context.ibgp => {
            Some("comes from an external neighbor, RFC 7606 §7.10")
        }
        attribute::AS4_PATH | attribute::AS4_AGGREGATOR if context.four_octet_as => {
            Some("comes from a speaker with four-octet AS numbers, RFC 6793 §4.1")
        }
        _ => None,
    }
}

/// What is left out of an attribute that is sound otherwise: an AS4_PATH from
/// outside of any confederation has none of its segments (RFC 6793 §6).
pub(super) fn leaves_out<'a>(raw: &RawAttribute<'a>) -> Option<Fault<'a>> {
    let confederation = raw.code == attribute::AS4_PATH
        && Segments::new(raw.value, true)
            .map_while(Result::ok)
            .any(|segment| segment.kind.is_confederation());
    let reason = "has confederation segments, which are left out, RFC 6793 §6";
    confederation.then(|| Fault::discard(raw, reason))
}

/// What is wrong with a value whose length is right.
fn value_fault(
    raw: &RawAttribute<'_>,
    context: &Context,
    announces_ipv4: bool,
) -> Option<(u8, &'static str)> {
    let value = raw.value;
    match raw.code {
        attribute::ORIGIN => {
            let defined = value.first().is_some_and(|&code| Origin::from_code(code).is_some());
            let fault = "has an undefined value, RFC 7606 §7.1";
            (!defined).then_some((update_error::INVALID_ORIGIN, fault))
        }
        attribute::AS_PATH => {
            let fault = path_fault(value, context.four_octet_as, !context.ibgp);
            fault.map(|reason| (update_error::MALFORMED_AS_PATH, reason))
        }
        attribute::NEXT_HOP => {
            // Without NLRI the attribute is to be ignored (RFC 4760 §3).
            let invalid = announces_ipv4 && value.first().is_some_and(|&octet| no_host(octet));
            let fault = "is not the address of a host, RFC 4271 §6.3";
            invalid.then_some((update_error::INVALID_NEXT_HOP, fault))
        }
        attribute::AGGREGATOR | attribute::AS4_AGGREGATOR => {
            // The AS number is what stands before the identifier.
            let asn = value.len().checked_sub(4).and_then(|length| value.get(..length))?;
            let zero = asn.iter().all(|&octet| octet == 0);
            zero.then_some((update_error::OPTIONAL_ATTRIBUTE_ERROR, "has AS 0, RFC 7607 §2"))
        }
        attribute::AS4_PATH => {
            let fault = path_fault(value, true, false);
            fault.map(|reason| (update_error::OPTIONAL_ATTRIBUTE_ERROR, reason))
        }
        _ => None,
    }
}

/// What is wrong with the value of an AS_PATH or AS4_PATH.
fn path_fault(value: &[u8], four_octet: bool, external: bool) -> Option<&'static str> {
    Segments::new(value, four_octet).find_map(|segment| match segment {
        Err(SegmentError::UnknownKind) => Some("has a segment of unknown type, RFC 7606 §7.2"),
        Err(SegmentError::Empty) => Some("has a segment of length zero, RFC 7606 §7.2"),
        Err(SegmentError::Truncated) => Some("ends inside a segment, RFC 7606 §7.2"),
        Ok(segment) if segment.contains_zero() => Some("has AS 0, RFC 7607 §2"),
        Ok(segment) if external && segment.kind.is_confederation() => {
            Some("has a confederation segment from outside of it, RFC 5065 §5")
        }
        Ok(_) => None,
    })
}

/// Whether an IPv4 address with this first octet is never that of a host: this
/// network, multicast, reserved. A loopback address is one, as long as both
/// speakers run on the same host.
pub(super) fn no_host(first_octet: u8) -> bool {
    first_octet == 0 || first_octet >= 224
}

#[cfg(test)]
mod tests {
    use super::*;

    const INTERNAL: Context = Context {
        four_octet_as: true,
        ibgp: true,
        families: FamilySet::EMPTY,
        add_path: FamilySet::EMPTY,
        extended_next_hop: FamilySet::EMPTY,
    };
    const EXTERNAL: Context = Context { ibgp: false, ..INTERNAL };
    const OLD: Context = Context { four_octet_as: false, ..EXTERNAL };

    /// The approach and subcode of a fault.
    type Found = Option<(Approach, u8)>;

    /// What is made of an attribute.
    fn judged(context: &Context, flags: u8, code: u8, value: &[u8]) -> Found {
        let whole = [&[flags, code, value.len() as u8], value].concat();
        let raw = RawAttribute { flags, code, value, whole: &whole };
        let fault = judge(&raw, context, true).unwrap()?;
        assert_eq!(fault.attribute, Some(code));
        let data = if fault.subcode == 11 { &[][..] } else { &whole };
        assert_eq!(fault.notification(), Notification::with_data(3, fault.subcode, data));
        Some((fault.approach, fault.subcode))
    }

    fn withdraw(subcode: u8) -> Found {
        Some((Approach::TreatAsWithdraw, subcode))
    }

    fn discard(subcode: u8) -> Found {
        Some((Approach::AttributeDiscard, subcode))
    }

    #[test]
    fn lengths_of_all_attributes() {
        type Case = (u8, u8, &'static [usize], &'static [usize], fn(u8) -> Found);
        let cases: [Case; 13] = [
            (0x40, 1, &[1], &[0, 2], withdraw),
            (0x40, 3, &[4], &[0, 3, 5, 16], withdraw),
            (0x80, 4, &[4], &[0, 3, 5], withdraw),
            (0x40, 5, &[4], &[0, 3, 5], withdraw),
            (0x40, 6, &[0], &[1, 4], discard),
            (0xc0, 7, &[8], &[0, 6, 7, 9], discard),
            (0xc0, 8, &[4, 8, 252], &[0, 1, 3, 5], withdraw),
            (0x80, 9, &[4], &[0, 3, 5], withdraw),
            (0x80, 10, &[4, 8], &[0, 3, 5], withdraw),
            (0xc0, 16, &[8, 16], &[0, 4, 9], withdraw),
            (0xc0, 25, &[20, 40], &[0, 8, 21], withdraw),
            (0xc0, 32, &[12, 24], &[0, 8, 13], withdraw),
            (0xc0, 35, &[4], &[0, 3, 5], withdraw),
        ];
        for (flags, code, good, bad, expected) in cases {
            for &length in good {
                let value = vec![1; length];
                assert_eq!(judged(&INTERNAL, flags, code, &value), None, "{code} {length}");
            }
            for &length in bad {
                let value = vec![1; length];
                assert_eq!(judged(&INTERNAL, flags, code, &value), expected(5), "{code} {length}");
            }
        }
        assert_eq!(judged(&OLD, 0xc0, 7, &[1; 6]), None);
        assert_eq!(judged(&OLD, 0xc0, 7, &[1; 8]), discard(5));
        assert_eq!(judged(&OLD, 0xc0, 18, &[1; 8]), None);
        assert_eq!(judged(&OLD, 0xc0, 18, &[1; 6]), discard(5));
    }

    #[test]
    fn flags_of_all_attributes() {
        let cases: [(u8, u8, &[u8]); 13] = [
            (0x40, 1, &[0]),
            (0x40, 2, &[]),
            (0x40, 3, &[10, 0, 0, 1]),
            (0x80, 4, &[0; 4]),
            (0x40, 5, &[0; 4]),
            (0x40, 6, &[]),
            (0xc0, 7, &[1; 8]),
            (0xc0, 8, &[1; 4]),
            (0x80, 9, &[1; 4]),
            (0x80, 10, &[1; 4]),
            (0xc0, 16, &[1; 8]),
            (0xc0, 32, &[1; 12]),
            (0xc0, 35, &[1; 4]),
        ];
        for (flags, code, value) in cases {
            for changed in [0x40, 0x80, 0xc0] {
                let found = judged(&INTERNAL, flags ^ changed, code, value);
                assert_eq!(found, withdraw(4), "{code} {changed:x}");
            }
            for ignored in [0x20, 0x10, 0x0f] {
                assert_eq!(judged(&INTERNAL, flags ^ ignored, code, value), None, "{code}");
            }
        }
    }

    #[test]
    fn values_of_the_base_attributes() {
        for origin in 0..=2 {
            assert_eq!(judged(&EXTERNAL, 0x40, 1, &[origin]), None);
        }
        assert_eq!(judged(&EXTERNAL, 0x40, 1, &[3]), withdraw(6));
        assert_eq!(judged(&EXTERNAL, 0x40, 3, &[127, 0, 0, 1]), None);
        for address in [[0; 4], [0, 1, 2, 3], [224, 0, 0, 5], [240, 0, 0, 1], [255; 4]] {
            assert_eq!(judged(&EXTERNAL, 0x40, 3, &address), withdraw(8));
        }
        assert_eq!(judged(&EXTERNAL, 0xc0, 7, &[0, 0, 0, 0, 10, 0, 0, 1]), discard(9));
        assert_eq!(judged(&OLD, 0xc0, 7, &[0, 0, 10, 0, 0, 1]), discard(9));
        assert_eq!(judged(&OLD, 0xc0, 18, &[0, 0, 0, 0, 10, 0, 0, 1]), discard(9));
    }

    #[test]
    fn a_next_hop_without_nlri_is_ignored() {
        let value = [0, 0, 0, 0];
        let raw = RawAttribute { flags: 0x40, code: 3, value: &value, whole: &value };
        assert_eq!(judge(&raw, &EXTERNAL, false), Ok(None));
    }

    #[test]
    fn paths() {
        let path = |context: &Context, value: &[u8]| judged(context, 0x40, 2, value);
        assert_eq!(path(&EXTERNAL, &[]), None);
        assert_eq!(path(&EXTERNAL, &[2, 1, 0, 0, 0, 9, 1, 1, 0, 0, 0, 8]), None);
        assert_eq!(path(&EXTERNAL, &[9, 1, 0, 0, 0, 9]), withdraw(11));
        assert_eq!(path(&EXTERNAL, &[2, 0]), withdraw(11));
        assert_eq!(path(&EXTERNAL, &[2, 2, 0, 0, 0, 9]), withdraw(11));
        assert_eq!(path(&EXTERNAL, &[2, 1, 0, 0, 0, 9, 7]), withdraw(11));
        assert_eq!(path(&EXTERNAL, &[2, 2, 0, 0, 0, 9, 0, 0, 0, 0]), withdraw(11), "AS 0");
        assert_eq!(path(&OLD, &[2, 2, 0, 9, 0, 0]), withdraw(11), "AS 0");
        assert_eq!(path(&EXTERNAL, &[2, 1, 0, 1, 0, 0]), None, "AS 65536 has zero octets");
        assert_eq!(path(&OLD, &[2, 2, 9, 0, 0, 9]), None, "zero octets of two numbers");
        for kind in [3, 4] {
            let value = [kind, 1, 0, 0, 0, 9];
            assert_eq!(path(&EXTERNAL, &value), withdraw(11), "RFC 5065");
            assert_eq!(path(&INTERNAL, &value), None);
        }
    }

    #[test]
    fn what_must_not_come_from_this_neighbor_is_discarded_whatever_it_is() {
        for (flags, code) in [(0x40, 5), (0x80, 9), (0x80, 10)] {
            for value in [&[0, 0, 0, 100][..], &[1], &[]] {
                assert_eq!(judged(&EXTERNAL, flags, code, value), discard(9));
                let conflicting = judged(&EXTERNAL, flags ^ 0xc0, code, value);
                assert_eq!(conflicting, withdraw(4), "the stronger approach, RFC 7606 §3 h");
            }
        }
        for code in [17, 18] {
            assert_eq!(judged(&EXTERNAL, 0xc0, code, &[]), discard(9));
        }
    }

    #[test]
    fn an_as4_path_of_an_old_speaker_is_discarded_if_malformed() {
        let path = |value: &[u8]| judged(&OLD, 0xc0, 17, value);
        assert_eq!(path(&[2, 1, 0, 1, 0, 0]), None);
        assert_eq!(path(&[3, 1, 0, 1, 0, 0]), None, "dropped when read, RFC 6793 §6");
        assert_eq!(path(&[]), discard(5));
        assert_eq!(path(&[2, 1, 0, 1, 0, 0, 2]), discard(5));
        assert_eq!(path(&[2, 1, 0, 1]), discard(9));
        assert_eq!(path(&[2, 0]), discard(9));
        assert_eq!(path(&[7, 1, 0, 1, 0, 0]), discard(9));
        assert_eq!(path(&[2, 1, 0, 0, 0, 0]), discard(9), "AS 0");
    }

    #[test]
    fn unknown_attributes() {
        for flags in [0x80, 0xc0, 0xe0, 0xa0] {
            assert_eq!(judged(&EXTERNAL, flags, 99, &[1]), None);
        }
        for flags in [0x40, 0x00, 0x60] {
            let raw = RawAttribute { flags, code: 99, value: &[1], whole: &[flags, 99, 1, 1] };
            let expected = Notification::with_data(3, 2, [flags, 99, 1, 1]);
            assert_eq!(judge(&raw, &EXTERNAL, true), Err(expected));
        }
    }

    #[test]
    fn it_prints_for_a_log() {
        let raw = RawAttribute { flags: 0x40, code: 1, value: &[3], whole: &[0x40, 1, 1, 3] };
        let fault = judge(&raw, &EXTERNAL, true).unwrap().unwrap();
        assert_eq!(
            fault.to_string(),
            "treat-as-withdraw: ORIGIN (1) has an undefined value, RFC 7606 §7.1"
        );
    }
}
