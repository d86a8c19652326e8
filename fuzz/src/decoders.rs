//! Decoders of one message each: what is read must say of itself what it holds,
//! and must be read again from what it is written as.

use std::time::Duration;

use burgee::bfd::packet::Packet;
use burgee::bgp::message::attribute::Attributes;
use burgee::bgp::message::header::{self, EXTENDED_MAX_LENGTH, MAX_LENGTH, MessageType};
use burgee::bgp::message::notification::Notification;
use burgee::bgp::message::open::{AS_TRANS, Open};
use burgee::bgp::message::prefix::{Family, FamilySet};
use burgee::bgp::message::route_refresh::RouteRefresh;
use burgee::bgp::message::update::{
    self, Context, EncodeOptions, Update, encode_announce, encode_withdraw,
};
use burgee::bgp::negotiation::negotiate;
use ipnet::IpNet;

use super::input::Input;
use super::session::{Choice, terms};

/// The longest body of a message.
const MAX_BODY: usize = MAX_LENGTH - header::HEADER_LENGTH;

/// The only message in `bytes`.
fn only(bytes: &[u8], kind: MessageType) -> &[u8] {
    let frame = header::next_frame(bytes, MAX_LENGTH).expect("well-formed").expect("whole");
    assert_eq!((frame.kind, frame.length), (kind, bytes.len()));
    frame.body
}

/// A NOTIFICATION that we would send: it fits into a message, and a log.
fn answer(notification: &Notification) {
    let mut out = Vec::new();
    notification.encode(&mut out);
    let body = only(&out, MessageType::Notification);
    let read = Notification::parse(body).expect("our own");
    assert_eq!((read.code, read.subcode), (notification.code, notification.subcode));
    one_line(&notification.to_string());
}

/// A text that goes into a log line.
pub(crate) fn one_line(text: &str) {
    assert!(!text.chars().any(char::is_control), "control characters in {text:?}");
    assert!(text.len() < 16 * 1024, "{} octets for a log line", text.len());
}

/// A stream of messages; the first octet chooses their longest length.
pub(crate) fn header(data: &[u8]) {
    let mut input = Input::new(data);
    let max_length = if input.chance() { EXTENDED_MAX_LENGTH } else { MAX_LENGTH };
    let mut rest = input.rest();
    while !rest.is_empty() {
        let read = header::next_frame(rest, max_length);
        for length in (0..rest.len().min(64)).chain(rest.len().saturating_sub(3)..rest.len()) {
            part_of(&rest[..length], &read, max_length);
        }
        let Ok(Some(frame)) = read else {
            return read.map(drop).unwrap_or_else(|refused| answer(&refused));
        };
        let mut out = Vec::new();
        let start = header::begin(&mut out, frame.kind);
        out.extend_from_slice(frame.body);
        header::finish(&mut out, start);
        assert_eq!(out, &rest[..frame.length], "written again");
        assert!(frame.length <= max_length);
        rest = &rest[frame.length..];
    }
}

/// The beginning of a stream never says anything else than the whole does.
fn part_of(
    part: &[u8],
    whole: &Result<Option<header::Frame<'_>>, Notification>,
    max_length: usize,
) {
    match (header::next_frame(part, max_length), whole) {
        (Ok(None), _) => {}
        (Ok(Some(frame)), Ok(Some(expected))) => assert_eq!(frame, *expected),
        (Err(refused), Err(expected)) => assert_eq!(refused, *expected),
        (said, _) => panic!("{said:?} of a part, {whole:?} of the whole"),
    }
}

/// The body of an OPEN after two octets that choose our terms.
pub(crate) fn open(data: &[u8]) {
    let mut input = Input::new(data);
    let ours = terms(0, Choice { terms: input.octet(), offer: input.octet() });
    let open = match Open::parse(input.take(MAX_BODY)) {
        Ok(open) => open,
        Err(refused) => return answer(&refused),
    };
    let mut out = Vec::new();
    open.encode(&mut out);
    let again = Open::parse(only(&out, MessageType::Open)).expect("our own");
    // One parameter needs fewer octets than several, so all fits.
    assert_eq!(again, open);
    assert!(!open.identifier.is_unspecified() && open.asn() != 0);
    assert!(!matches!(open.hold_time, 1 | 2), "RFC 4271 section 6.2");
    match negotiate(&ours, &open) {
        Ok(agreed) => {
            assert_eq!(agreed.peer_asn, ours.peer_asn);
            assert!(!agreed.families.is_empty());
            assert_eq!(agreed.families, agreed.families.intersection(ours.families));
            assert!(agreed.hold_time <= Duration::from_secs(ours.hold_time.into()));
            assert!(agreed.keepalive * 3 <= agreed.hold_time);
        }
        Err(refused) => answer(&refused),
    }
}

/// What a session may have negotiated.
fn context(choice: u8) -> Context {
    let families = |bits: u8| -> FamilySet {
        let chosen = Family::ALL.into_iter().enumerate();
        chosen.filter(|(place, _)| bits >> place & 1 == 1).map(|(_, family)| family).collect()
    };
    Context {
        four_octet_as: choice & 1 == 1,
        ibgp: choice & 2 == 2,
        families: families(choice >> 2),
        add_path: families(choice >> 4),
        extended_next_hop: families(choice >> 6 & 1),
    }
}

/// The body of an UPDATE after an octet that chooses what was negotiated.
pub(crate) fn update(data: &[u8]) {
    let mut input = Input::new(data);
    let context = context(input.octet());
    match update::parse(input.take(MAX_BODY), &context) {
        Ok(update) => sound(&update, &context),
        Err(refused) => answer(&refused),
    }
}

/// Checks a view of a received UPDATE, whoever it came from.
pub(crate) fn sound(update: &Update<'_>, context: &Context) {
    let (announced, withdrawn) = update.counts();
    assert_eq!(update.announced().count(), announced as usize);
    assert_eq!(update.withdrawn().count(), withdrawn as usize);
    update.faults().for_each(|fault| one_line(&fault.to_string()));
    if update.treat_as_withdraw().is_some() {
        assert_eq!(announced, 0);
    }
    if let Some(family) = update.is_end_of_rib() {
        assert_eq!((announced, withdrawn), (0, 0));
        assert!(context.families.contains(family));
    }
    for (family, path_id, prefix) in update.announced().chain(update.withdrawn()) {
        assert!(context.families.contains(family) && family == Family::of(&prefix));
        assert!(path_id == 0 || context.add_path.contains(family));
        assert_eq!(prefix, prefix.trunc(), "host bits");
    }
    let attributes = update.attributes();
    one_line(&attributes.as_path.to_string());
    for family in Family::ALL {
        let of_family = |(_, id, prefix): (Family, u32, IpNet)| (id, prefix);
        let announced: Vec<_> =
            update.announced().filter(|(of, _, _)| *of == family).map(of_family).collect();
        let withdrawn: Vec<_> =
            update.withdrawn().filter(|(of, _, _)| *of == family).map(of_family).collect();
        withdraw_again(family, &withdrawn, context);
        if !announced.is_empty() {
            announce_again(family, &update.attributes_for(family), &announced, context);
        }
    }
}

fn options(family: Family, context: &Context) -> EncodeOptions {
    EncodeOptions {
        four_octet_as: context.four_octet_as,
        add_path: context.add_path.contains(family),
        max_length: MAX_LENGTH,
    }
}

fn withdraw_again(family: Family, routes: &[(u32, IpNet)], context: &Context) {
    let mut rest = routes;
    while !rest.is_empty() {
        let mut out = Vec::new();
        let count = encode_withdraw(&mut out, family, rest, &options(family, context));
        let again = update::parse(only(&out, MessageType::Update), context).expect("our own");
        assert_eq!(again.counts(), (0, count as u32));
        assert!(again.withdrawn().map(|(_, id, prefix)| (id, prefix)).eq(rest[..count].to_vec()));
        rest = &rest[count..];
    }
}

fn announce_again(
    family: Family,
    attributes: &Attributes,
    routes: &[(u32, IpNet)],
    context: &Context,
) {
    let mut rest = routes;
    while !rest.is_empty() {
        let count = announce_once(family, attributes, rest, context);
        if count == 0 {
            // MP_REACH_NLRI and AS4 attributes may need more room than what came.
            return;
        }
        rest = &rest[count..];
    }
    // A confederation has no place in AS4_PATH, nor AS_TRANS a meaning.
    let mut segments = attributes.as_path.segments.iter();
    let four_octets = !context.four_octet_as;
    let trans = u32::from(AS_TRANS);
    if !segments.any(|segment| segment.kind.is_confederation())
        && !attributes.as_path.contains(trans)
        && attributes.aggregator.is_none_or(|(asn, _)| asn != trans)
    {
        let other = Context { four_octet_as: four_octets, ..*context };
        announce_once(family, attributes, routes, &other);
    }
}

/// Announces as many routes as one message holds, reads that as the neighbour
/// does, and says how many they were.
fn announce_once(
    family: Family,
    attributes: &Attributes,
    routes: &[(u32, IpNet)],
    context: &Context,
) -> usize {
    let mut out = Vec::new();
    let count = encode_announce(&mut out, family, attributes, routes, &options(family, context));
    if count == 0 {
        assert!(out.is_empty());
        return 0;
    }
    let again = update::parse(only(&out, MessageType::Update), context).expect("our own");
    assert_eq!(again.faults().next().map(|fault| fault.to_string()), None);
    assert!(again.announced().map(|(_, id, prefix)| (id, prefix)).eq(routes[..count].to_vec()));
    assert_eq!(again.attributes_for(family), canonical(attributes.clone()));
    count
}

/// Attributes that are not understood are written in ascending order of their
/// codes (RFC 4271 section 5); all else is written as it was read.
fn canonical(mut attributes: Attributes) -> Attributes {
    attributes.unknown.sort_by_key(|unknown| unknown.code);
    attributes
}

/// The body of a NOTIFICATION.
pub(crate) fn notification(data: &[u8]) {
    let body = &data[..data.len().min(MAX_BODY)];
    let notification = match Notification::parse(body) {
        Ok(notification) => notification,
        Err(refused) => return answer(&refused),
    };
    let mut out = Vec::new();
    notification.encode(&mut out);
    assert_eq!(only(&out, MessageType::Notification), body);
    one_line(&notification.to_string());
    if let Some(text) = notification.shutdown_text() {
        assert!(!text.is_empty() && text.chars().count() <= 255);
        one_line(&text);
    }
}

/// The body of a ROUTE-REFRESH after an octet that chooses what was agreed.
pub(crate) fn route_refresh(data: &[u8]) {
    let mut input = Input::new(data);
    let enhanced = input.chance();
    let body = input.take(MAX_BODY);
    match RouteRefresh::parse(body, enhanced) {
        Ok(refresh) => {
            let mut out = Vec::new();
            refresh.encode(&mut out);
            assert_eq!(only(&out, MessageType::RouteRefresh), body);
            if let Some(family) = refresh.family() {
                assert_eq!((family.afi(), family.safi()), (refresh.afi, refresh.safi));
            }
        }
        Err(refused) => answer(&refused),
    }
}

/// The payload of a datagram.
pub(crate) fn bfd(data: &[u8]) {
    match Packet::parse(data) {
        Ok(packet) => {
            let octets = packet.encode();
            let plain = Packet { authenticated: false, ..packet };
            assert_eq!(Packet::parse(&octets), Ok(plain));
            if !packet.authenticated && data.get(3) == Some(&24) {
                assert_eq!(octets, data[..24], "nothing is lost");
            }
            one_line(&format!("{} {}", packet.state, packet.diagnostic));
        }
        Err(discard) => one_line(&discard.to_string()),
    }
}
