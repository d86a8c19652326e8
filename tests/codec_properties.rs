//! What holds for every message, not only for those somebody thought of: what
//! is written is read back the same, no octets make a parser panic, and no
//! message is longer than was agreed. The number of cases is fixed; a failure
//! prints the smallest one that was found and the seed of its run.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    unreachable_pub
)]

#[path = "common/properties.rs"]
mod properties;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use proptest::collection::{btree_set, vec};
use proptest::option;
use proptest::prelude::*;
use proptest::sample::{Index, select};

use properties::cases;

use burgee::bgp::message::as_path::{AsPath, AsPathSegment, SegmentKind};
use burgee::bgp::message::attribute::{Attributes, Origin, PartialSet, UnknownAttribute};
use burgee::bgp::message::capability::Capability;
use burgee::bgp::message::header::{
    self, EXTENDED_MAX_LENGTH, HEADER_LENGTH, MAX_LENGTH, MessageType, next_frame,
};
use burgee::bgp::message::notification::Notification;
use burgee::bgp::message::open::Open;
use burgee::bgp::message::prefix::{Family, FamilySet};
use burgee::bgp::message::route_refresh::RouteRefresh;
use burgee::bgp::message::update::{
    Context, EncodeOptions, encode_announce, encode_end_of_rib, encode_withdraw, parse,
};

/// An AS number that can stand in a path: not 0, and not AS_TRANS, which nobody
/// has (RFC 6793 §9).
fn asn() -> impl Strategy<Value = u32> {
    prop_oneof![1..23456_u32, 23457..=u32::MAX]
}

/// A path of sets and sequences in turn: two sequences side by side are joined
/// where an AS4_PATH is merged.
fn as_path(asn: impl Strategy<Value = u32>) -> impl Strategy<Value = AsPath> {
    (any::<bool>(), vec(vec(asn, 1..20), 0..5)).prop_map(|(set_first, lists)| {
        let segments = lists.into_iter().enumerate().map(|(index, asns)| {
            let set = (index % 2 == 0) == set_first;
            AsPathSegment { kind: if set { SegmentKind::Set } else { SegmentKind::Sequence }, asns }
        });
        AsPath { segments: segments.collect() }
    })
}

fn address() -> impl Strategy<Value = Ipv4Addr> {
    any::<u32>().prop_map(Ipv4Addr::from)
}

/// IPv4 with or without a link-local address is none; IPv6 has both forms.
fn next_hop(family: Family) -> impl Strategy<Value = (IpAddr, Option<Ipv6Addr>)> {
    let global = any::<u64>().prop_map(|low| Ipv6Addr::from(0x2001_0db8 << 96 | u128::from(low)));
    let link_local = any::<u64>().prop_map(|low| Ipv6Addr::from(0xfe80 << 112 | u128::from(low)));
    let ipv6 = (global, option::of(link_local)).prop_map(|(global, local)| (global.into(), local));
    let ipv4 = (1..224_u32, 0..1_u32 << 24)
        .prop_map(|(first, rest)| (IpAddr::V4(Ipv4Addr::from(first << 24 | rest)), None));
    match family {
        Family::Ipv4Unicast => prop_oneof![ipv4, ipv6].boxed(),
        Family::Ipv6Unicast => ipv6.boxed(),
    }
}

/// Unknown attributes as they come out of a received UPDATE, by code.
fn unknown() -> impl Strategy<Value = Vec<UnknownAttribute>> {
    let codes = btree_set(36..=254_u8, 0..3);
    (codes, vec(vec(any::<u8>(), 0..400), 3)).prop_map(|(codes, values)| {
        let attributes = codes.into_iter().zip(values);
        attributes.map(|(code, value)| UnknownAttribute { flags: 0xe0, code, value }).collect()
    })
}

/// Marks some of the attributes that are there as partial.
fn mark_partial(mut attributes: Attributes, codes: &[u8]) -> Attributes {
    let there = [
        (7, attributes.aggregator.is_some()),
        (8, !attributes.communities.is_empty()),
        (16, !attributes.extended_communities.is_empty()),
        (32, !attributes.large_communities.is_empty()),
        (35, attributes.only_to_customer.is_some()),
    ];
    for (code, _) in there.into_iter().filter(|(code, there)| *there && codes.contains(code)) {
        attributes.partial.insert(code);
    }
    attributes
}

/// The attributes of a route to an internal neighbour.
fn attributes(family: Family) -> impl Strategy<Value = Attributes> {
    let path = (select(&[Origin::Igp, Origin::Egp, Origin::Incomplete][..]), as_path(asn()));
    let numbers = (option::of(any::<u32>()), any::<u32>(), any::<bool>());
    let internal = (option::of(address()), vec(address(), 0..5));
    let large = btree_set(any::<[u32; 3]>(), 0..30);
    let communities = (vec(any::<u32>(), 0..80), vec(any::<[u8; 8]>(), 0..5), large);
    let partial = vec(select(&[7_u8, 8, 16, 32, 35][..]), 0..3);
    let rest = (option::of((asn(), address())), option::of(asn()), unknown(), partial);
    (path, next_hop(family), numbers, internal, communities, rest).prop_map(
        |(path, next_hop, numbers, internal, communities, rest)| {
            mark_partial(
                Attributes {
                    origin: path.0,
                    as_path: path.1,
                    next_hop: Some(next_hop.0),
                    link_local_next_hop: next_hop.1,
                    med: numbers.0,
                    local_pref: Some(numbers.1),
                    atomic_aggregate: numbers.2,
                    aggregator: rest.0,
                    communities: communities.0,
                    originator_id: internal.0,
                    cluster_list: internal.1,
                    extended_communities: communities.1,
                    large_communities: communities.2.into_iter().collect(),
                    only_to_customer: rest.1,
                    unknown: rest.2,
                    partial: PartialSet::default(),
                },
                &rest.3,
            )
        },
    )
}

/// A unicast prefix; the highest bit is not set, so it is no multicast one.
fn prefix(family: Family) -> BoxedStrategy<IpNet> {
    match family {
        Family::Ipv4Unicast => (0..1_u32 << 31, 0..=32_u8)
            .prop_map(|(address, bits)| {
                IpNet::V4(Ipv4Net::new(address.into(), bits).unwrap().trunc())
            })
            .boxed(),
        Family::Ipv6Unicast => (0..1_u128 << 127, 0..=128_u8)
            .prop_map(|(address, bits)| {
                IpNet::V6(Ipv6Net::new(address.into(), bits).unwrap().trunc())
            })
            .boxed(),
    }
}

/// Prefixes as they could come, multicast ones and host bits included.
fn any_nlri(bits: u8, add_path: bool) -> impl Strategy<Value = Vec<u8>> {
    let one = (any::<u32>(), 0..=bits, any::<[u8; 16]>(), select(&[0x0a_u8, 0xe0, 0xff][..]));
    vec(one, 0..6).prop_map(move |prefixes| {
        let mut octets = Vec::new();
        for (path_id, bits, mut address, first) in prefixes {
            if add_path {
                octets.extend_from_slice(&path_id.to_be_bytes());
            }
            address[0] = first;
            octets.push(bits);
            octets.extend_from_slice(&address[..usize::from(bits.div_ceil(8))]);
        }
        octets
    })
}

/// The body of an UPDATE.
fn body(withdrawn: &[u8], attributes: &[u8], nlri: &[u8]) -> Vec<u8> {
    let mut body = (withdrawn.len() as u16).to_be_bytes().to_vec();
    body.extend_from_slice(withdrawn);
    body.extend_from_slice(&(attributes.len() as u16).to_be_bytes());
    body.extend_from_slice(attributes);
    body.extend_from_slice(nlri);
    body
}

/// Appends an attribute with a length of two octets.
fn attribute(flags: u8, code: u8, value: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(&[flags | 0x10, code]);
    out.extend_from_slice(&(value.len() as u16).to_be_bytes());
    out.extend_from_slice(value);
}

/// An UPDATE with routes in all four fields, and what was negotiated.
fn full_updates() -> impl Strategy<Value = (Context, Vec<u8>)> {
    any_context().prop_flat_map(|context| {
        let ipv4 = || any_nlri(32, context.add_path.contains(Family::Ipv4Unicast));
        let ipv6 = || any_nlri(128, context.add_path.contains(Family::Ipv6Unicast));
        (Just(context), ipv4(), ipv4(), ipv6(), ipv6()).prop_map(
            |(context, withdrawn, nlri, unreachable, reachable)| {
                let mut list = Vec::new();
                let head = [&[0, 2, 1, 16][..], &[0x20; 16], &[0]].concat();
                attribute(0x80, 14, &[head, reachable].concat(), &mut list);
                attribute(0x80, 15, &[&[0, 2, 1][..], &unreachable].concat(), &mut list);
                attribute(0x40, 1, &[0], &mut list);
                attribute(0x40, 2, &[], &mut list);
                attribute(0x40, 3, &[192, 0, 2, 1], &mut list);
                attribute(0x40, 5, &[0; 4], &mut list);
                (context, body(&withdrawn, &list, &nlri))
            },
        )
    })
}

/// Some, or as many as need several messages.
fn prefixes(family: Family, add_path: bool) -> impl Strategy<Value = Vec<(u32, IpNet)>> {
    let path_id = if add_path { any::<u32>().boxed() } else { Just(0).boxed() };
    let one = (path_id, prefix(family));
    let few = vec(one, 1..40);
    // Repeated rather than drawn, because what is drawn has to be shrunk too.
    (few, select(&[1_usize, 1, 100, 300][..])).prop_map(|(few, times)| few.repeat(times))
}

fn options() -> impl Strategy<Value = EncodeOptions> {
    let max_length = select(&[MAX_LENGTH, EXTENDED_MAX_LENGTH][..]);
    (any::<bool>(), any::<bool>(), max_length).prop_map(|(four_octet_as, add_path, max_length)| {
        EncodeOptions { four_octet_as, add_path, max_length }
    })
}

/// A family, what was negotiated, and routes of that family.
fn routes() -> impl Strategy<Value = (Family, EncodeOptions, Vec<(u32, IpNet)>)> {
    (select(&Family::ALL[..]), options()).prop_flat_map(|(family, options)| {
        (Just(family), Just(options), prefixes(family, options.add_path))
    })
}

fn announcements() -> impl Strategy<Value = (Family, EncodeOptions, Vec<(u32, IpNet)>, Attributes)>
{
    routes().prop_flat_map(|(family, options, routes)| {
        (Just(family), Just(options), Just(routes), attributes(family))
    })
}

/// The receiver's side of the options.
fn receiver(options: &EncodeOptions) -> Context {
    let all: FamilySet = Family::ALL.into_iter().collect();
    Context {
        four_octet_as: options.four_octet_as,
        ibgp: true,
        families: all,
        add_path: if options.add_path { all } else { FamilySet::EMPTY },
        extended_next_hop: all,
    }
}

fn any_context() -> impl Strategy<Value = Context> {
    let set = || {
        vec(select(&Family::ALL[..]), 0..3).prop_map(|list| list.into_iter().collect::<FamilySet>())
    };
    (any::<bool>(), any::<bool>(), set(), set(), set()).prop_map(
        |(four_octet_as, ibgp, families, add_path, extended_next_hop)| Context {
            four_octet_as,
            ibgp,
            families,
            add_path,
            extended_next_hop,
        },
    )
}

/// One whole message at the beginning of `bytes`, which has nothing else.
fn framed(bytes: &[u8], max_length: usize) -> (MessageType, &[u8]) {
    let frame = next_frame(bytes, max_length).unwrap().expect("a whole message");
    assert_eq!(frame.length, bytes.len());
    (frame.kind, frame.body)
}

/// Text that a log can show as it is, and whose octets are not its characters.
fn text(longest: usize) -> impl Strategy<Value = String> {
    let letters = select(&['a', 'Z', '0', ' ', 'ä', '好', '🙂'][..]);
    vec(letters, 0..longest).prop_map(|letters| letters.into_iter().collect())
}

fn capability() -> impl Strategy<Value = Capability> {
    let families = || vec(any::<(u16, u8, u8)>(), 0..20);
    let modes = vec((any::<u16>(), any::<u8>(), 1..=3_u8), 0..20);
    prop_oneof![
        any::<(u16, u8)>().prop_map(|(afi, safi)| Capability::Multiprotocol { afi, safi }),
        Just(Capability::RouteRefresh),
        vec(any::<(u16, u16, u16)>(), 0..20).prop_map(Capability::ExtendedNextHop),
        Just(Capability::ExtendedMessage),
        any::<u8>().prop_map(Capability::Role),
        (0..16_u8, 0..4096_u16, families()).prop_map(|(flags, time, families)| {
            Capability::GracefulRestart { flags, time, families }
        }),
        asn().prop_map(Capability::FourOctetAs),
        modes.prop_map(Capability::AddPath),
        Just(Capability::EnhancedRouteRefresh),
        (text(20), text(20)).prop_map(|(host, domain)| Capability::Fqdn { host, domain }),
        text(40).prop_map(Capability::SoftwareVersion),
        (128..=255_u8, vec(any::<u8>(), 0..=255))
            .prop_map(|(code, value)| Capability::Unknown { code, value }),
    ]
}

fn open() -> impl Strategy<Value = Open> {
    let hold_time = prop_oneof![Just(0_u16), 3..=u16::MAX];
    (1..=u16::MAX, hold_time, 1..=u32::MAX, vec(capability(), 0..14)).prop_map(
        |(my_as, hold_time, identifier, capabilities)| Open {
            version: 4,
            my_as,
            hold_time,
            identifier: identifier.into(),
            capabilities,
        },
    )
}

/// A stream of messages of all types.
fn stream() -> impl Strategy<Value = Vec<u8>> {
    let message = prop_oneof![
        Just(MessageType::Keepalive).prop_map(|kind| (kind, Vec::new())),
        vec(any::<u8>(), 4..60).prop_map(|body| (MessageType::Update, body)),
        vec(any::<u8>(), 2..60).prop_map(|body| (MessageType::Notification, body)),
        vec(any::<u8>(), 10..60).prop_map(|body| (MessageType::Open, body)),
        vec(any::<u8>(), 0..9).prop_map(|body| (MessageType::RouteRefresh, body)),
    ];
    vec(message, 0..12).prop_map(|messages| {
        let mut stream = Vec::new();
        for (kind, body) in messages {
            let start = header::begin(&mut stream, kind);
            stream.extend_from_slice(&body);
            header::finish(&mut stream, start);
        }
        stream
    })
}

/// The value of an AS_PATH or AS4_PATH.
fn segments(path: &AsPath, octets: impl Fn(u32) -> Vec<u8>) -> Vec<u8> {
    let mut value = Vec::new();
    for segment in &path.segments {
        value.extend_from_slice(&[segment.kind as u8, segment.asns.len() as u8]);
        segment.asns.iter().for_each(|asn| value.extend_from_slice(&octets(*asn)));
    }
    value
}

/// Reads all that a view offers: the counts are those of its iterators, and
/// what is treated as withdrawn announces nothing.
fn exercise(body: &[u8], context: &Context) -> Result<(), TestCaseError> {
    let update = match parse(body, context) {
        Ok(update) => update,
        Err(notification) => {
            prop_assert_eq!(notification.code, 3);
            return Ok(());
        }
    };
    let announced: Vec<_> = update.announced().collect();
    let withdrawn: Vec<_> = update.withdrawn().collect();
    prop_assert_eq!(update.counts(), (announced.len() as u32, withdrawn.len() as u32));
    prop_assert!(update.treat_as_withdraw().is_none() || announced.is_empty());
    prop_assert!(update.is_end_of_rib().is_none() || announced.len() + withdrawn.len() == 0);
    for (family, path_id, prefix) in announced.into_iter().chain(withdrawn) {
        prop_assert!(context.families.contains(family));
        prop_assert_eq!(family, Family::of(&prefix));
        prop_assert!(path_id == 0 || context.add_path.contains(family));
        prop_assert_eq!(prefix, prefix.trunc());
    }
    prop_assert!(update.faults().all(|fault| !fault.to_string().is_empty()));
    for family in Family::ALL {
        let attributes = update.attributes_for(family);
        prop_assert!(context.ibgp || attributes.local_pref.is_none());
        prop_assert!(context.ibgp || attributes.originator_id.is_none());
        prop_assert!(context.ibgp || attributes.cluster_list.is_empty());
    }
    Ok(())
}

/// One whole message after another, as the session takes them.
fn frames(stream: &[u8], chunks: impl Iterator<Item = usize>) -> Vec<(MessageType, Vec<u8>)> {
    let mut found = Vec::new();
    let mut waiting = Vec::new();
    let mut come = 0;
    for end in chunks.chain([stream.len()]) {
        waiting.extend_from_slice(&stream[come..end]);
        come = end;
        while let Some(frame) = next_frame(&waiting, MAX_LENGTH).unwrap() {
            found.push((frame.kind, frame.body.to_vec()));
            let length = frame.length;
            waiting.drain(..length);
        }
    }
    assert!(waiting.is_empty());
    found
}

proptest! {
    #![proptest_config(cases(150))]

    /// Whatever was negotiated, routes and attributes arrive as they were, in as
    /// many messages as it takes, none over the length.
    #[test]
    fn announcements_survive_the_wire((family, options, routes, attributes) in announcements()) {
        let mut sent = 0;
        while sent < routes.len() {
            let mut out = Vec::new();
            let rest = &routes[sent..];
            let fitted = encode_announce(&mut out, family, &attributes, rest, &options);
            prop_assert!(fitted > 0 && out.len() <= options.max_length);
            let (kind, body) = framed(&out, options.max_length);
            prop_assert_eq!(kind, MessageType::Update);
            let context = receiver(&options);
            let update = parse(body, &context).unwrap();
            prop_assert_eq!(update.faults().count(), 0);
            prop_assert_eq!(&update.attributes(), &attributes);
            let read: Vec<_> = update.announced().map(|(_, id, prefix)| (id, prefix)).collect();
            prop_assert_eq!(&read[..], &rest[..fitted]);
            prop_assert_eq!(update.counts(), (fitted as u32, 0));
            sent += fitted;
        }
    }

    #[test]
    fn withdrawals_survive_the_wire((family, options, routes) in routes()) {
        let mut sent = 0;
        while sent < routes.len() {
            let mut out = Vec::new();
            let rest = &routes[sent..];
            let fitted = encode_withdraw(&mut out, family, rest, &options);
            prop_assert!(fitted > 0 && out.len() <= options.max_length);
            let context = receiver(&options);
            let update = parse(framed(&out, options.max_length).1, &context).unwrap();
            prop_assert_eq!(update.faults().count(), 0);
            prop_assert_eq!(update.is_end_of_rib(), None);
            let read: Vec<_> = update.withdrawn().map(|(_, id, prefix)| (id, prefix)).collect();
            prop_assert_eq!(&read[..], &rest[..fitted]);
            prop_assert_eq!(update.counts(), (0, fitted as u32));
            sent += fitted;
        }
    }

    /// Also where hardly anything fits: a message keeps its length or is not
    /// there at all, and what stood before it is untouched.
    #[test]
    fn no_message_is_longer_than_agreed(
        (family, options, routes, attributes) in announcements(),
        max_length in 0..2000_usize,
    ) {
        let options = EncodeOptions { max_length, ..options };
        for withdraw in [false, true] {
            let mut out = vec![1, 2, 3];
            let fitted = match withdraw {
                true => encode_withdraw(&mut out, family, &routes, &options),
                false => encode_announce(&mut out, family, &attributes, &routes, &options),
            };
            prop_assert_eq!(&out[..3], &[1, 2, 3]);
            prop_assert!(out.len() - 3 <= max_length);
            prop_assert_eq!(fitted == 0, out.len() == 3);
            if fitted > 0 {
                let context = receiver(&options);
                let update = parse(framed(&out[3..], max_length.max(HEADER_LENGTH)).1, &context);
                let (announced, withdrawn) = update.unwrap().counts();
                prop_assert_eq!(announced + withdrawn, fitted as u32);
            }
        }
    }

    /// An UPDATE of which some octets were changed, put in or lost.
    #[test]
    fn damaged_updates_never_panic(
        (family, options, routes, attributes) in announcements(),
        damages in vec((any::<Index>(), any::<u8>(), 0..3_u8), 0..8),
        context in option::of(any_context()),
    ) {
        let mut out = Vec::new();
        encode_announce(&mut out, family, &attributes, &routes, &options);
        let mut body = out[HEADER_LENGTH..].to_vec();
        for (at, octet, kind) in damages {
            let at = at.index(body.len().max(1)).min(body.len());
            match kind {
                0 => body.insert(at, octet),
                _ if at == body.len() => {}
                1 => drop(body.remove(at)),
                _ => body[at] = octet,
            }
        }
        exercise(&body, &context.unwrap_or_else(|| receiver(&options)))?;
    }
}

proptest! {
    #![proptest_config(cases(1000))]

    #[test]
    fn any_octets_are_judged_as_an_update(
        octets in vec(any::<u8>(), 0..300),
        context in any_context(),
    ) {
        exercise(&octets, &context)?;
    }

    /// Lengths that fit, so that the attributes are reached.
    #[test]
    fn any_octets_are_judged_as_attributes(
        attributes in vec((select(&[0x40, 0x80, 0xc0, 0x00][..]), 0..40_u8,
            vec(any::<u8>(), 0..30)), 0..6),
        withdrawn in any_nlri(32, false),
        nlri in any_nlri(33, false),
        context in any_context(),
    ) {
        let mut list = Vec::new();
        for (flags, code, value) in attributes {
            attribute(flags, code, &value, &mut list);
        }
        exercise(&body(&withdrawn, &list, &nlri), &context)?;
    }

    /// All of its fields are read, whatever family is negotiated.
    #[test]
    fn routes_of_all_fields_are_counted((context, body) in full_updates()) {
        prop_assert!(parse(&body, &context).is_ok());
        exercise(&body, &context)?;
    }

    /// Speakers with two-octet AS numbers put theirs in front; the four-octet
    /// ones behind them come back (RFC 6793 §4.2.3).
    #[test]
    fn a_path_through_old_speakers_is_restored(
        front in as_path(prop_oneof![1..23456_u32, 23457..65536_u32]),
        path in as_path(asn()),
        joined in any::<bool>(),
    ) {
        let mut whole = front.clone();
        whole.segments.extend(path.segments.clone());
        let mut come = whole.clone();
        if joined {
            come.segments.dedup_by(|next, last| {
                let both = next.kind == SegmentKind::Sequence && last.kind == next.kind;
                if both {
                    last.asns.append(&mut next.asns);
                }
                both
            });
        }
        let two_octet = |asn: u32| u16::try_from(asn).unwrap_or(23456).to_be_bytes().to_vec();
        let mut list = Vec::new();
        attribute(0x40, 1, &[0], &mut list);
        attribute(0x40, 2, &segments(&come, two_octet), &mut list);
        attribute(0x40, 3, &[192, 0, 2, 1], &mut list);
        if !path.segments.is_empty() {
            let four_octet = segments(&path, |asn| asn.to_be_bytes().to_vec());
            attribute(0xc0, 17, &four_octet, &mut list);
        }
        let body = body(&[], &list, &[8, 10]);
        let families = Family::ALL.into_iter().collect();
        let context = Context { families, ..Context::default() };
        let update = parse(&body, &context).unwrap();
        prop_assert_eq!(update.faults().count(), 0);
        prop_assert_eq!(update.attributes().as_path.to_string(), whole.to_string());
    }

    #[test]
    fn any_octets_are_judged_as_any_message(octets in vec(any::<u8>(), 0..100)) {
        if let Ok(open) = Open::parse(&octets) {
            let mut out = Vec::new();
            open.encode(&mut out);
            prop_assert_eq!(Open::parse(framed(&out, MAX_LENGTH).1), Ok(open));
        }
        if let Ok(notification) = Notification::parse(&octets) {
            prop_assert!(!notification.to_string().contains('\n'));
        }
        for enhanced in [false, true] {
            prop_assert_eq!(RouteRefresh::parse(&octets, enhanced).is_ok(), octets.len() == 4);
        }
        let (marked, mut longer) = ([&[0xff; 16][..], &octets].concat(), vec![0xff; 16]);
        longer.extend_from_slice(&[0, (octets.len() + 19) as u8, 4]);
        longer.extend_from_slice(&octets);
        for bytes in [&octets, &marked, &longer] {
            for max_length in [MAX_LENGTH, EXTENDED_MAX_LENGTH] {
                match next_frame(bytes, max_length) {
                    Ok(Some(frame)) => {
                        prop_assert_eq!(frame.body, &bytes[HEADER_LENGTH..frame.length]);
                    }
                    Ok(None) => prop_assert!(bytes.len() < max_length),
                    Err(refusal) => prop_assert_eq!(refusal.code, 1),
                }
            }
        }
    }

    #[test]
    fn opens_survive_the_wire(open in open()) {
        let mut out = Vec::new();
        open.encode(&mut out);
        prop_assert!(out.len() <= MAX_LENGTH);
        let (kind, body) = framed(&out, MAX_LENGTH);
        prop_assert_eq!(kind, MessageType::Open);
        prop_assert_eq!(Open::parse(body), Ok(open));
    }

    #[test]
    fn notifications_survive_the_wire(
        code in any::<u8>(),
        subcode in any::<u8>(),
        data in vec(any::<u8>(), 0..5000),
    ) {
        let notification = Notification::with_data(code, subcode, data);
        let mut out = Vec::new();
        notification.encode(&mut out);
        prop_assert!(out.len() <= MAX_LENGTH);
        let read = Notification::parse(framed(&out, MAX_LENGTH).1).unwrap();
        prop_assert_eq!((read.code, read.subcode), (code, subcode));
        let longest = MAX_LENGTH - HEADER_LENGTH - 2;
        let kept = notification.data.len().min(longest);
        prop_assert_eq!(&read.data[..], &notification.data[..kept]);
    }

    /// RFC 9003 §3: at most 128 octets are sent, cut at a character.
    #[test]
    fn shutdown_texts_survive_the_wire(told in text(100), subcode in select(&[2_u8, 4][..])) {
        let mut out = Vec::new();
        Notification::cease(subcode, &told).encode(&mut out);
        let read = Notification::parse(framed(&out, MAX_LENGTH).1).unwrap();
        let heard = read.shutdown_text().unwrap_or_default();
        prop_assert!(told.starts_with(&heard) && heard.len() <= 128);
        prop_assert!(told.len() > 124 || heard == told);
        prop_assert!(heard.len() > 124 || heard == told);
    }

    #[test]
    fn route_refreshes_survive_the_wire(
        (afi, safi, subtype) in any::<(u16, u8, u8)>(),
        enhanced in any::<bool>(),
    ) {
        let message = RouteRefresh { afi, safi, subtype };
        let mut out = Vec::new();
        message.encode(&mut out);
        let (kind, body) = framed(&out, MAX_LENGTH);
        prop_assert_eq!(kind, MessageType::RouteRefresh);
        prop_assert_eq!(RouteRefresh::parse(body, enhanced), Ok(message));
    }

    /// Where the stream is cut says nothing about the messages in it.
    #[test]
    fn a_stream_is_framed_the_same_wherever_it_is_cut(
        stream in stream(),
        cuts in vec(any::<Index>(), 0..20),
    ) {
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(stream.len() + 1)).collect();
        cuts.sort_unstable();
        let whole = frames(&stream, std::iter::empty());
        prop_assert_eq!(&frames(&stream, cuts.into_iter()), &whole);
        prop_assert_eq!(&frames(&stream, 1..stream.len()), &whole);
    }
}

#[test]
fn an_end_of_rib_survives_the_wire() {
    for family in Family::ALL {
        let mut out = Vec::new();
        encode_end_of_rib(&mut out, family);
        let context = Context { families: Family::ALL.into_iter().collect(), ..Context::default() };
        let update = parse(framed(&out, MAX_LENGTH).1, &context).unwrap();
        assert_eq!(update.is_end_of_rib(), Some(family));
    }
}
