//! The AS path (RFC 4271 §4.3 b, RFC 5065 §3, RFC 6793).

use std::fmt;

use super::open::AS_TRANS;
use super::wire::{self, Reader};

/// The most AS numbers of a segment, whose count is one octet.
const MAX_SEGMENT: usize = 255;

/// The type of a segment (RFC 4271 §4.3 b, RFC 5065 §3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum SegmentKind {
    /// AS_SET: unordered.
    Set = 1,
    /// AS_SEQUENCE: ordered, the nearest first.
    Sequence = 2,
    /// AS_CONFED_SEQUENCE: ordered, inside the confederation.
    ConfedSequence = 3,
    /// AS_CONFED_SET: unordered, inside the confederation.
    ConfedSet = 4,
}

impl SegmentKind {
    fn from_code(code: u8) -> Option<SegmentKind> {
        Some(match code {
            1 => SegmentKind::Set,
            2 => SegmentKind::Sequence,
            3 => SegmentKind::ConfedSequence,
            4 => SegmentKind::ConfedSet,
            _ => return None,
        })
    }

    /// Whether the segment lies inside a confederation.
    pub fn is_confederation(self) -> bool {
        matches!(self, SegmentKind::ConfedSequence | SegmentKind::ConfedSet)
    }
}

/// One segment of a path.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AsPathSegment {
    /// How the numbers are to be read.
    pub kind: SegmentKind,
    /// AS numbers.
    pub asns: Vec<u32>,
}

impl AsPathSegment {
    /// How many AS numbers the segment counts for: a set is one, and what lies
    /// inside a confederation nothing (RFC 4271 §9.1.2.2 a, RFC 5065 §5.3).
    fn length(&self) -> usize {
        match self.kind {
            SegmentKind::Sequence => self.asns.len(),
            SegmentKind::Set => 1,
            SegmentKind::ConfedSequence | SegmentKind::ConfedSet => 0,
        }
    }
}

/// An AS path. The empty path is that of a route of our own AS.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AsPath {
    /// The segments, the nearest first.
    pub segments: Vec<AsPathSegment>,
}

impl AsPath {
    /// A path of one sequence, the nearest AS first.
    pub fn sequence(asns: &[u32]) -> AsPath {
        let mut path = AsPath::default();
        if !asns.is_empty() {
            path.segments.push(AsPathSegment { kind: SegmentKind::Sequence, asns: asns.to_vec() });
        }
        path
    }

    /// The length that paths are compared by (RFC 4271 §9.1.2.2 a).
    pub fn length(&self) -> usize {
        self.segments.iter().map(AsPathSegment::length).fold(0, usize::saturating_add)
    }

    /// Whether an AS is anywhere in the path, also inside a confederation.
    pub fn contains(&self, asn: u32) -> bool {
        self.segments.iter().any(|segment| segment.asns.contains(&asn))
    }

    /// The AS that the route came from: the first of a leading sequence.
    pub fn first(&self) -> Option<u32> {
        let segment = self.segments.iter().find(|segment| !segment.kind.is_confederation())?;
        match segment.kind {
            SegmentKind::Sequence => segment.asns.first().copied(),
            _ => None,
        }
    }

    /// Puts an AS in front, `times` times (RFC 4271 §5.1.2 b).
    pub fn prepend(&mut self, asn: u32, times: usize) {
        let asns = vec![asn; times];
        let mut path = AsPath::sequence(&asns);
        path.append(std::mem::take(&mut self.segments));
        *self = path;
    }

    /// Appends segments; two sequences that meet become one if they fit.
    fn append(&mut self, segments: impl IntoIterator<Item = AsPathSegment>) {
        for segment in segments {
            match self.segments.last_mut() {
                Some(last)
                    if last.kind == SegmentKind::Sequence
                        && segment.kind == SegmentKind::Sequence
                        && last.asns.len().saturating_add(segment.asns.len()) <= MAX_SEGMENT =>
                {
                    last.asns.extend(segment.asns);
                }
                _ => self.segments.push(segment),
            }
        }
    }

    /// Whether a speaker with two-octet AS numbers needs an AS4_PATH beside
    /// this path. Segments of a confederation never go into one (RFC 6793 §4.2.2).
    pub(super) fn needs_as4_path(&self) -> bool {
        self.without_confederation()
            .flat_map(|segment| &segment.asns)
            .any(|&asn| asn > u32::from(u16::MAX))
    }

    fn without_confederation(&self) -> impl Iterator<Item = &AsPathSegment> {
        self.segments.iter().filter(|segment| !segment.kind.is_confederation())
    }

    /// Reads as much of an AS_PATH as is well-formed; the caller has checked
    /// that all of it is.
    pub(super) fn read(bytes: &[u8], four_octet: bool) -> AsPath {
        let segments = Segments::new(bytes, four_octet).map_while(Result::ok);
        AsPath { segments: segments.map(|segment| segment.to_owned()).collect() }
    }

    /// Appends the value of an AS_PATH. Without four octets, a number that does
    /// not fit in two becomes AS_TRANS (RFC 6793 §4.2.2).
    pub(super) fn encode(&self, four_octet: bool, out: &mut Vec<u8>) {
        encode_segments(self.segments.iter(), four_octet, out);
    }

    /// Appends the value of an AS4_PATH (RFC 6793 §4.2.2).
    pub(super) fn encode_as4(&self, out: &mut Vec<u8>) {
        encode_segments(self.without_confederation(), true, out);
    }

    /// The path of a route that came through speakers with two-octet AS numbers:
    /// `self` is its AS_PATH, `as4` its AS4_PATH. The numbers that AS_PATH has
    /// more come first, then AS4_PATH; an AS4_PATH that is longer is ignored.
    /// Confederation segments are kept where they lead or adjoin what is kept
    /// (RFC 6793 §4.2.3).
    pub(super) fn merge(self, as4: AsPath) -> AsPath {
        let as4 = AsPath { segments: as4.without_confederation().cloned().collect() };
        let Some(mut more) = self.length().checked_sub(as4.length()) else { return self };
        let mut merged = AsPath::default();
        for segment in self.segments {
            let length = segment.length();
            if length <= more {
                more = more.saturating_sub(length);
                merged.append([segment]);
                continue;
            }
            // Only a sequence can be longer than 1 and so be kept in part.
            let asns: Vec<u32> = segment.asns.into_iter().take(more).collect();
            merged.append(AsPath::sequence(&asns).segments);
            break;
        }
        merged.append(as4.segments);
        merged
    }
}

impl fmt::Display for AsPath {
    /// `65001 65002 {1,2}`; confederation segments as `(1 2)` and `[1,2]`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, segment) in self.segments.iter().enumerate() {
            if index > 0 {
                f.write_str(" ")?;
            }
            let (open, separator, close) = match segment.kind {
                SegmentKind::Sequence => ("", " ", ""),
                SegmentKind::Set => ("{", ",", "}"),
                SegmentKind::ConfedSequence => ("(", " ", ")"),
                SegmentKind::ConfedSet => ("[", ",", "]"),
            };
            f.write_str(open)?;
            for (index, asn) in segment.asns.iter().enumerate() {
                if index > 0 {
                    f.write_str(separator)?;
                }
                write!(f, "{asn}")?;
            }
            f.write_str(close)?;
        }
        Ok(())
    }
}

fn encode_segments<'a>(
    segments: impl Iterator<Item = &'a AsPathSegment>,
    four_octet: bool,
    out: &mut Vec<u8>,
) {
    for segment in segments {
        // An empty segment would be malformed (RFC 7606 §7.2), and has no chunks.
        for asns in segment.asns.chunks(MAX_SEGMENT) {
            out.extend_from_slice(&[segment.kind as u8, wire::octet(asns.len())]);
            for &asn in asns {
                if four_octet {
                    out.extend_from_slice(&asn.to_be_bytes());
                } else {
                    out.extend_from_slice(&two_octet(asn).to_be_bytes());
                }
            }
        }
    }
}

/// An AS number for speakers with two octets (RFC 6793 §4.2.2).
pub(super) fn two_octet(asn: u32) -> u16 {
    u16::try_from(asn).unwrap_or(AS_TRANS)
}

/// Why an AS_PATH is malformed (RFC 7606 §7.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SegmentError {
    /// The type of a segment is not defined.
    UnknownKind,
    /// A segment has no AS numbers.
    Empty,
    /// The value ends inside a segment.
    Truncated,
}

/// A segment as it was received.
#[derive(Clone, Copy, Debug)]
pub(super) struct RawSegment<'a> {
    pub(super) kind: SegmentKind,
    four_octet: bool,
    asns: &'a [u8],
}

impl RawSegment<'_> {
    /// Whether AS 0 is among the numbers, which never may be (RFC 7607 §2).
    pub(super) fn contains_zero(&self) -> bool {
        match self.four_octet {
            true => self.asns.as_chunks::<4>().0.contains(&[0; 4]),
            false => self.asns.as_chunks::<2>().0.contains(&[0; 2]),
        }
    }

    fn to_owned(self) -> AsPathSegment {
        let asns = match self.four_octet {
            true => wire::items(self.asns).map(u32::from_be_bytes).collect(),
            false => wire::items(self.asns).map(u16::from_be_bytes).map(u32::from).collect(),
        };
        AsPathSegment { kind: self.kind, asns }
    }
}

/// The segments of an AS_PATH or AS4_PATH. After an error the iterator ends.
pub(super) struct Segments<'a> {
    reader: Reader<'a>,
    four_octet: bool,
}

impl<'a> Segments<'a> {
    /// The segments in `bytes`, with AS numbers of four or of two octets.
    pub(super) fn new(bytes: &'a [u8], four_octet: bool) -> Segments<'a> {
        Segments { reader: Reader::new(bytes), four_octet }
    }

    fn read_one(&mut self) -> Result<RawSegment<'a>, SegmentError> {
        let kind = self.reader.u8().ok_or(SegmentError::Truncated)?;
        let kind = SegmentKind::from_code(kind).ok_or(SegmentError::UnknownKind)?;
        let count = self.reader.u8().ok_or(SegmentError::Truncated)?;
        if count == 0 {
            return Err(SegmentError::Empty);
        }
        let octets = if self.four_octet { 4 } else { 2 };
        let length = usize::from(count).saturating_mul(octets);
        let asns = self.reader.take(length).ok_or(SegmentError::Truncated)?;
        Ok(RawSegment { kind, four_octet: self.four_octet, asns })
    }
}

impl<'a> Iterator for Segments<'a> {
    type Item = Result<RawSegment<'a>, SegmentError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.reader.is_empty() {
            return None;
        }
        let item = self.read_one();
        if item.is_err() {
            self.reader = Reader::new(&[]);
        }
        Some(item)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use SegmentKind::{ConfedSequence, ConfedSet, Sequence, Set};

    fn path(segments: &[(SegmentKind, &[u32])]) -> AsPath {
        let segments = segments
            .iter()
            .map(|(kind, asns)| AsPathSegment { kind: *kind, asns: asns.to_vec() })
            .collect();
        AsPath { segments }
    }

    fn encoded(path: &AsPath, four_octet: bool) -> Vec<u8> {
        let mut out = Vec::new();
        path.encode(four_octet, &mut out);
        out
    }

    fn as4(path: &AsPath) -> AsPath {
        let mut out = Vec::new();
        path.encode_as4(&mut out);
        AsPath::read(&out, true)
    }

    #[test]
    fn it_prints_as_operators_write_it() {
        assert_eq!(AsPath::default().to_string(), "");
        let all = path(&[(Sequence, &[65001, 65002]), (Set, &[1, 2])]);
        assert_eq!(all.to_string(), "65001 65002 {1,2}");
        let confederation = path(&[(ConfedSequence, &[7, 8]), (ConfedSet, &[9, 10])]);
        assert_eq!(confederation.to_string(), "(7 8) [9,10]");
    }

    #[test]
    fn length_counts_a_set_once_and_a_confederation_not_at_all() {
        let all = path(&[
            (ConfedSequence, &[7, 8]),
            (ConfedSet, &[9]),
            (Sequence, &[1, 2, 3]),
            (Set, &[4, 5]),
        ]);
        assert_eq!(all.length(), 4);
        assert!(all.contains(8) && all.contains(5) && !all.contains(6));
        assert_eq!(all.first(), Some(1));
        assert_eq!(path(&[(Set, &[4, 5])]).first(), None);
        assert_eq!(AsPath::default().first(), None);
    }

    #[test]
    fn prepending_fills_the_leading_sequence() {
        let mut own = AsPath::default();
        own.prepend(65001, 1);
        assert_eq!(own, AsPath::sequence(&[65001]));
        own.prepend(65002, 2);
        assert_eq!(own, AsPath::sequence(&[65002, 65002, 65001]));
        own.prepend(65003, 0);
        assert_eq!(own.length(), 3);
        let mut set = path(&[(Set, &[1])]);
        set.prepend(2, 1);
        assert_eq!(set, path(&[(Sequence, &[2]), (Set, &[1])]));
        let mut full = AsPath::sequence(&[1; 255]);
        full.prepend(2, 1);
        assert_eq!(full, path(&[(Sequence, &[2]), (Sequence, &[1; 255])]));
    }

    #[test]
    fn the_bytes_are_those_of_the_rfcs() {
        let all = path(&[(Sequence, &[65001, 70000]), (Set, &[1])]);
        assert_eq!(
            encoded(&all, true),
            [2, 2, 0, 0, 0xfd, 0xe9, 0, 1, 0x11, 0x70, 1, 1, 0, 0, 0, 1]
        );
        assert_eq!(encoded(&all, false), [2, 2, 0xfd, 0xe9, 0x5b, 0xa0, 1, 1, 0, 1]);
        assert_eq!(AsPath::read(&encoded(&all, true), true), all);
        let long = AsPath::sequence(&[9; 600]);
        let read = AsPath::read(&encoded(&long, true), true);
        let counts: Vec<_> = read.segments.iter().map(|segment| segment.asns.len()).collect();
        assert_eq!(counts, [255, 255, 90]);
        assert!(encoded(&path(&[(Sequence, &[])]), true).is_empty());
    }

    #[test]
    fn faults_of_segments() {
        let fault =
            |bytes: &[u8], four_octet| Segments::new(bytes, four_octet).find_map(Result::err);
        assert_eq!(fault(&[5, 1, 0, 1], false), Some(SegmentError::UnknownKind));
        assert_eq!(fault(&[0, 1, 0, 1], false), Some(SegmentError::UnknownKind));
        assert_eq!(fault(&[2, 0], false), Some(SegmentError::Empty));
        assert_eq!(fault(&[2], false), Some(SegmentError::Truncated));
        assert_eq!(fault(&[2, 2, 0, 1, 0], false), Some(SegmentError::Truncated));
        assert_eq!(fault(&[2, 1, 0, 1], true), Some(SegmentError::Truncated));
        assert_eq!(fault(&[2, 1, 0, 1, 1], false), Some(SegmentError::Truncated));
        assert_eq!(fault(&[], true), None);
    }

    #[test]
    fn a_path_through_old_speakers_is_restored() {
        let ours = path(&[(Sequence, &[1, 70000, 2]), (Set, &[80000, 3])]);
        assert!(ours.needs_as4_path());
        let old = AsPath::read(&encoded(&ours, false), false);
        assert_eq!(old.to_string(), "1 23456 2 {23456,3}");
        assert_eq!(old.clone().merge(as4(&ours)), ours);

        let mut further = old.clone();
        further.prepend(5, 2);
        assert_eq!(further.merge(as4(&ours)).to_string(), "5 5 1 70000 2 {80000,3}");

        let mut longer = ours.clone();
        longer.prepend(9, 1);
        assert_eq!(old.clone().merge(as4(&longer)), old, "an AS4_PATH that is longer is ignored");
    }

    #[test]
    fn a_set_that_an_old_speaker_put_in_front_is_kept() {
        let ours = AsPath::sequence(&[70000]);
        let old = path(&[(Set, &[4, 5]), (Sequence, &[6, 23456])]);
        assert_eq!(old.merge(ours).to_string(), "{4,5} 6 70000");
    }

    #[test]
    fn confederations_stay_out_of_as4_path_and_are_kept_in_front() {
        let ours = path(&[(ConfedSequence, &[90000]), (Sequence, &[1, 2])]);
        assert!(!ours.needs_as4_path());
        let ours = path(&[(ConfedSequence, &[7]), (Sequence, &[1, 70000])]);
        assert_eq!(as4(&ours), AsPath::sequence(&[1, 70000]));
        let old = path(&[(ConfedSequence, &[7]), (Sequence, &[1, 23456])]);
        assert_eq!(old.merge(as4(&ours)), ours);
        let sent = path(&[(ConfedSequence, &[7]), (Sequence, &[70000])]);
        let received = path(&[(Sequence, &[1, 23456])]);
        assert_eq!(received.merge(sent).to_string(), "1 70000");
    }
}
