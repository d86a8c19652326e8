//! UPDATE messages that go out (RFC 4271 §4.3). Each call makes one whole
//! message and says how many of the prefixes it holds.

use std::net::IpAddr;

use ipnet::IpNet;

use super::attribute::{self, Attributes};
use super::attribute_list::{code, flag};
use super::header::{self, EXTENDED_MAX_LENGTH, MessageType};
use super::prefix::{self, Family};
use super::wire;

/// What was negotiated with the neighbour that an UPDATE goes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EncodeOptions {
    /// It understands four-octet AS numbers in AS_PATH (RFC 6793 §4.1).
    pub four_octet_as: bool,
    /// It takes path identifiers for the family of the message (RFC 7911 §3).
    pub add_path: bool,
    /// The longest message it takes in octets, header included.
    pub max_length: usize,
}

/// Appends an UPDATE that withdraws the first of `prefixes` and says how many
/// it holds. IPv4 goes in the Withdrawn Routes field, IPv6 in MP_UNREACH_NLRI.
///
/// Prefixes are taken up to the first that does not fit or is of another
/// family. If that is the very first, or there is none, nothing is appended: an
/// UPDATE without routes would be an end-of-RIB (RFC 4724 §2).
pub fn encode_withdraw(
    out: &mut Vec<u8>,
    family: Family,
    prefixes: &[(u32, IpNet)],
    options: &EncodeOptions,
) -> usize {
    let mut message = Message::begin(out, family, prefixes, options);
    match family {
        Family::Ipv4Unicast => {
            // The length of the attributes comes behind the prefixes.
            wire::with_length_u16(message.out, |out| message.room.fill(out, 2));
            message.out.extend_from_slice(&[0, 0]);
        }
        Family::Ipv6Unicast => {
            message.out.extend_from_slice(&[0, 0]);
            wire::with_length_u16(message.out, |out| {
                attribute::write(out, flag::OPTIONAL, code::MP_UNREACH_NLRI, |out| {
                    write_family(family, out);
                    message.room.fill(out, 1);
                });
            });
        }
    }
    message.finish()
}

/// Appends an UPDATE that announces the first of `prefixes` with `attributes`
/// and says how many it holds. IPv4 with an IPv4 next hop goes in the NLRI
/// field; IPv6, and IPv4 with an IPv6 next hop (RFC 8950 §3), in MP_REACH_NLRI,
/// which is the first attribute (RFC 7606 §5.1).
///
/// Prefixes are taken up to the first that does not fit or is of another
/// family. Nothing is appended and the answer is 0 if that is the very first:
/// the attributes are too long for any route, or the next hop is missing or is
/// none of this family, and such a route cannot be announced at all.
pub fn encode_announce(
    out: &mut Vec<u8>,
    family: Family,
    attributes: &Attributes,
    prefixes: &[(u32, IpNet)],
    options: &EncodeOptions,
) -> usize {
    let classic = match (family, attributes.next_hop) {
        (Family::Ipv4Unicast, Some(IpAddr::V4(_))) => true,
        (_, Some(IpAddr::V6(_))) => false,
        (Family::Ipv6Unicast, Some(IpAddr::V4(_))) | (_, None) => return 0,
    };
    let mut message = Message::begin(out, family, prefixes, options);
    message.out.extend_from_slice(&[0, 0]);
    wire::with_length_u16(message.out, |out| {
        let start = out.len();
        attributes.encode(options.four_octet_as, classic, out);
        if !classic {
            // How many prefixes fit is known only once the others are written,
            // so MP_REACH_NLRI is written last and brought to the front.
            let length = out.len().saturating_sub(start);
            write_mp_reach(out, family, attributes, &mut message.room);
            if let Some(list) = out.get_mut(start..) {
                list.rotate_left(length);
            }
        }
    });
    if classic {
        message.room.fill(message.out, 0);
    }
    message.finish()
}

/// Appends the UPDATE that says that all routes of a family have been sent
/// (RFC 4724 §2).
pub fn encode_end_of_rib(out: &mut Vec<u8>, family: Family) {
    let start = header::begin(out, MessageType::Update);
    out.extend_from_slice(&[0, 0]);
    wire::with_length_u16(out, |out| {
        if family != Family::Ipv4Unicast {
            attribute::write(out, flag::OPTIONAL, code::MP_UNREACH_NLRI, |out| {
                write_family(family, out);
            });
        }
    });
    header::finish(out, start);
}

/// The prefixes that wait for a place in the message, and the end of that.
struct Room<'a> {
    family: Family,
    prefixes: &'a [(u32, IpNet)],
    add_path: bool,
    /// Where in the buffer the message has to end.
    end: usize,
    fitted: usize,
}

impl Room<'_> {
    /// Appends as many prefixes as fit when `reserved` octets are to follow.
    fn fill(&mut self, out: &mut Vec<u8>, reserved: usize) {
        let end = self.end.saturating_sub(reserved);
        for (path_id, prefix) in self.prefixes {
            let length = prefix::encoded_length(prefix, self.add_path);
            if Family::of(prefix) != self.family || out.len().saturating_add(length) > end {
                return;
            }
            prefix::encode_prefix(prefix, self.add_path.then_some(*path_id), out);
            self.fitted = self.fitted.saturating_add(1);
        }
    }
}

/// An UPDATE that is being written.
struct Message<'a> {
    out: &'a mut Vec<u8>,
    start: usize,
    room: Room<'a>,
}

impl<'a> Message<'a> {
    fn begin(
        out: &'a mut Vec<u8>,
        family: Family,
        prefixes: &'a [(u32, IpNet)],
        options: &EncodeOptions,
    ) -> Message<'a> {
        let start = header::begin(out, MessageType::Update);
        let end = start.saturating_add(options.max_length.min(EXTENDED_MAX_LENGTH));
        let add_path = options.add_path;
        Message { out, start, room: Room { family, prefixes, add_path, end, fitted: 0 } }
    }

    /// Closes the message, or takes it back if no prefix found a place.
    fn finish(self) -> usize {
        match self.room.fitted {
            0 => self.out.truncate(self.start),
            _ => header::finish(self.out, self.start),
        }
        self.room.fitted
    }
}

fn write_family(family: Family, out: &mut Vec<u8>) {
    out.extend_from_slice(&family.afi().to_be_bytes());
    out.push(family.safi());
}

/// Appends MP_REACH_NLRI (RFC 4760 §3) with one IPv6 next hop or with a global
/// and a link-local one (RFC 2545 §3).
fn write_mp_reach(out: &mut Vec<u8>, family: Family, attributes: &Attributes, room: &mut Room<'_>) {
    attribute::write(out, flag::OPTIONAL, code::MP_REACH_NLRI, |out| {
        write_family(family, out);
        if let Some(IpAddr::V6(next_hop)) = attributes.next_hop {
            let link_local = attributes.link_local_next_hop;
            out.push(if link_local.is_some() { 32 } else { 16 });
            out.extend_from_slice(&next_hop.octets());
            link_local.iter().for_each(|address| out.extend_from_slice(&address.octets()));
        }
        out.push(0);
        // One octet is kept for a length of two octets.
        room.fill(out, 1);
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bgp::message::as_path::AsPath;
    use crate::bgp::message::attribute::{Origin, UnknownAttribute};
    use crate::bgp::message::generator::Generator;
    use crate::bgp::message::header::{MAX_LENGTH, next_frame};
    use crate::bgp::message::prefix::FamilySet;
    use crate::bgp::message::update::{Context, Update, parse};

    const OPTIONS: EncodeOptions =
        EncodeOptions { four_octet_as: true, add_path: false, max_length: MAX_LENGTH };

    fn prefixes(texts: &[&str]) -> Vec<(u32, IpNet)> {
        texts.iter().map(|text| (0, text.parse().unwrap())).collect()
    }

    fn attributes(next_hop: &str) -> Attributes {
        let next_hop = Some(next_hop.parse().unwrap());
        Attributes::new(Origin::Igp, AsPath::sequence(&[65001]), next_hop)
    }

    fn context(options: &EncodeOptions) -> Context {
        let families = FamilySet::from_iter(Family::ALL);
        let add_path = if options.add_path { families } else { FamilySet::EMPTY };
        Context {
            four_octet_as: options.four_octet_as,
            ibgp: true,
            families,
            add_path,
            extended_next_hop: families,
        }
    }

    fn received<'a>(message: &'a [u8], options: &EncodeOptions) -> Update<'a> {
        let frame = next_frame(message, options.max_length).unwrap().unwrap();
        assert_eq!((frame.kind, frame.length), (MessageType::Update, message.len()));
        let update = parse(frame.body, &context(options)).unwrap();
        assert_eq!(update.faults().count(), 0);
        update
    }

    /// The message behind its marker.
    fn octets(out: &[u8]) -> &[u8] {
        assert_eq!(out[..16], [0xff; 16]);
        &out[16..]
    }

    #[test]
    fn the_bytes_of_withdrawals() {
        let mut out = Vec::new();
        let ipv4 = prefixes(&["10.0.0.0/8", "192.0.2.1/32"]);
        assert_eq!(encode_withdraw(&mut out, Family::Ipv4Unicast, &ipv4, &OPTIONS), 2);
        assert_eq!(octets(&out), [0, 30, 2, 0, 7, 8, 10, 32, 192, 0, 2, 1, 0, 0]);
        out.clear();
        let ipv6 = prefixes(&["2001:db8::/32"]);
        assert_eq!(encode_withdraw(&mut out, Family::Ipv6Unicast, &ipv6, &OPTIONS), 1);
        let expected = [0, 34, 2, 0, 0, 0, 11, 0x80, 15, 8, 0, 2, 1, 32, 0x20, 1, 0xd, 0xb8];
        assert_eq!(octets(&out), expected);
    }

    #[test]
    fn the_bytes_of_announcements() {
        let mut out = Vec::new();
        let ipv4 = prefixes(&["203.0.113.0/24"]);
        let sent = encode_announce(
            &mut out,
            Family::Ipv4Unicast,
            &attributes("192.0.2.1"),
            &ipv4,
            &OPTIONS,
        );
        assert_eq!(sent, 1);
        let expected: [&[u8]; 5] = [
            &[0, 47, 2, 0, 0, 0, 20],
            &[0x40, 1, 1, 0],
            &[0x40, 2, 6, 2, 1, 0, 0, 0xfd, 0xe9],
            &[0x40, 3, 4, 192, 0, 2, 1],
            &[24, 203, 0, 113],
        ];
        assert_eq!(octets(&out), expected.concat());
        out.clear();
        let ipv6 = prefixes(&["2001:db8::/32"]);
        encode_announce(&mut out, Family::Ipv6Unicast, &attributes("2001:db8::1"), &ipv6, &OPTIONS);
        let next_hop = [0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];
        let expected: [&[u8]; 6] = [
            &[0, 65, 2, 0, 0, 0, 42],
            &[0x80, 14, 26, 0, 2, 1, 16],
            &next_hop,
            &[0, 32, 0x20, 1, 0xd, 0xb8],
            &[0x40, 1, 1, 0],
            &[0x40, 2, 6, 2, 1, 0, 0, 0xfd, 0xe9],
        ];
        assert_eq!(octets(&out), expected.concat());
    }

    #[test]
    fn the_bytes_of_end_of_rib() {
        let mut out = Vec::new();
        encode_end_of_rib(&mut out, Family::Ipv4Unicast);
        assert_eq!(octets(&out), [0, 23, 2, 0, 0, 0, 0]);
        out.clear();
        encode_end_of_rib(&mut out, Family::Ipv6Unicast);
        assert_eq!(octets(&out), [0, 29, 2, 0, 0, 0, 6, 0x80, 15, 3, 0, 2, 1]);
        for family in Family::ALL {
            out.clear();
            encode_end_of_rib(&mut out, family);
            assert_eq!(received(&out, &OPTIONS).is_end_of_rib(), Some(family));
        }
    }

    #[test]
    fn generated_announcements_survive_the_wire() {
        let mut generator = Generator::new(7);
        for round in 0..2000 {
            let family = Family::ALL[round % 2];
            let options = EncodeOptions {
                four_octet_as: generator.below(2) == 0,
                add_path: generator.below(2) == 0,
                max_length: if generator.below(2) == 0 { MAX_LENGTH } else { EXTENDED_MAX_LENGTH },
            };
            let mut attributes = generator.attributes();
            if family == Family::Ipv4Unicast && generator.below(2) == 0 {
                attributes.next_hop = Some("192.0.2.1".parse().unwrap());
                attributes.link_local_next_hop = None;
            }
            let prefixes = generator.prefixes(family, 600, options.add_path);
            let mut sent = 0;
            let mut routes = Vec::new();
            while sent < prefixes.len() {
                let mut out = vec![9; 3];
                let rest = &prefixes[sent..];
                let fitted = encode_announce(&mut out, family, &attributes, rest, &options);
                assert!(fitted > 0);
                sent += fitted;
                let update = received(&out[3..], &options);
                assert_eq!(update.attributes(), attributes);
                assert_eq!(update.counts(), (fitted as u32, 0));
                routes.extend(update.announced().map(|(_, path_id, prefix)| (path_id, prefix)));
            }
            assert_eq!(routes, prefixes);
        }
    }

    #[test]
    fn generated_withdrawals_survive_the_wire() {
        let mut generator = Generator::new(8);
        for round in 0..500 {
            let family = Family::ALL[round % 2];
            let add_path = generator.below(2) == 0;
            let options = EncodeOptions { add_path, ..OPTIONS };
            let prefixes = generator.prefixes(family, 3000, add_path);
            let mut sent = 0;
            let mut routes = Vec::new();
            while sent < prefixes.len() {
                let mut out = Vec::new();
                sent += encode_withdraw(&mut out, family, &prefixes[sent..], &options);
                let update = received(&out, &options);
                routes.extend(update.withdrawn().map(|(_, path_id, prefix)| (path_id, prefix)));
                assert!(sent == prefixes.len() || out.len() > MAX_LENGTH - 24, "messages are full");
            }
            assert_eq!(routes, prefixes);
        }
    }

    #[test]
    fn multiprotocol_reach_comes_first() {
        let mut out = Vec::new();
        let prefixes = prefixes(&["10.0.0.0/8"]);
        let sent = encode_announce(
            &mut out,
            Family::Ipv4Unicast,
            &attributes("fe80::1"),
            &prefixes,
            &OPTIONS,
        );
        assert_eq!(sent, 1);
        assert_eq!(octets(&out)[7..12], [0x80, 14, 23, 0, 1], "RFC 8950, RFC 7606 §5.1");
        let update = received_external(&out);
        assert_eq!(update.attributes().next_hop, Some("fe80::1".parse().unwrap()));
    }

    fn received_external(message: &[u8]) -> Update<'_> {
        let context = Context { ibgp: false, ..context(&OPTIONS) };
        parse(next_frame(message, MAX_LENGTH).unwrap().unwrap().body, &context).unwrap()
    }

    #[test]
    fn what_cannot_be_announced_leaves_the_buffer_alone() {
        let ipv4 = prefixes(&["10.0.0.0/8"]);
        let ipv6 = prefixes(&["2001:db8::/32"]);
        let mut huge = attributes("192.0.2.1");
        huge.unknown = vec![UnknownAttribute { flags: 0xc0, code: 99, value: vec![0; 70_000] }];
        let huge_ipv6 = Attributes { next_hop: Some("::1".parse().unwrap()), ..huge.clone() };
        let cases = [
            (Family::Ipv4Unicast, Attributes::default(), &ipv4[..]),
            (Family::Ipv6Unicast, Attributes::default(), &ipv6),
            (Family::Ipv6Unicast, attributes("192.0.2.1"), &ipv6),
            (Family::Ipv4Unicast, attributes("192.0.2.1"), &[]),
            (Family::Ipv4Unicast, attributes("192.0.2.1"), &ipv6),
            (Family::Ipv4Unicast, huge, &ipv4),
            (Family::Ipv6Unicast, huge_ipv6, &ipv6),
        ];
        for max_length in [MAX_LENGTH, EXTENDED_MAX_LENGTH, usize::MAX] {
            let options = EncodeOptions { max_length, ..OPTIONS };
            for (family, attributes, prefixes) in &cases {
                let mut out = vec![1, 2, 3];
                assert_eq!(encode_announce(&mut out, *family, attributes, prefixes, &options), 0);
                assert_eq!(out, [1, 2, 3]);
            }
            for family in Family::ALL {
                let mut out = vec![1, 2, 3];
                assert_eq!(encode_withdraw(&mut out, family, &[], &options), 0);
                assert_eq!(out, [1, 2, 3]);
            }
        }
    }

    #[test]
    fn prefixes_of_another_family_end_the_message() {
        let mixed = prefixes(&["10.0.0.0/8", "2001:db8::/32", "11.0.0.0/8"]);
        let mut out = Vec::new();
        assert_eq!(encode_withdraw(&mut out, Family::Ipv4Unicast, &mixed, &OPTIONS), 1);
        assert_eq!(received(&out, &OPTIONS).counts(), (0, 1));
    }

    #[test]
    fn every_size_of_message_is_kept() {
        let mut generator = Generator::new(9);
        for max_length in 60..700 {
            for family in Family::ALL {
                let options = EncodeOptions { max_length, ..OPTIONS };
                let prefixes = generator.prefixes(family, 100, false);
                let mut out = Vec::new();
                encode_announce(&mut out, family, &attributes("2001:db8::1"), &prefixes, &options);
                assert!(out.len() <= max_length);
                out.clear();
                encode_withdraw(&mut out, family, &prefixes, &options);
                assert!(out.len() <= max_length);
            }
        }
    }
}
