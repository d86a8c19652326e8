//! What holds for every header, every ClientHello, every line and every order
//! of comings and goings. The number of cases is fixed; a failure prints the
//! smallest one that was found and the seed of its run.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    unreachable_pub
)]

#[path = "common/properties.rs"]
mod properties;

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::{Index, select};

use properties::cases;

use burgee::proxy::access_log::{Ending, FIELDS, Format, TcpRecord};
use burgee::proxy::client_hello::{HelloReader, Progress, Refusal};
use burgee::proxy::limits::{Limits, Permit, Scope, SourceSettings};
use burgee::proxy::proxy_header::{
    Decoded, Endpoints, Extras, MAX_UNIQUE_ID, Malformed, Version, decode, encode_v1, encode_v2,
};

/// Addresses of all kinds: IPv4, IPv6, IPv4 on an IPv6 socket, and IPv6 with
/// runs of zeros in them.
fn address() -> impl Strategy<Value = IpAddr> {
    let sparse = vec((0..16_usize, any::<u8>()), 0..5).prop_map(|octets| {
        let mut address = [0; 16];
        octets.into_iter().for_each(|(place, octet)| address[place] = octet);
        IpAddr::from(address)
    });
    prop_oneof![
        any::<u32>().prop_map(|bits| IpAddr::from(Ipv4Addr::from(bits))),
        any::<u128>().prop_map(|bits| IpAddr::from(Ipv6Addr::from(bits))),
        any::<u32>().prop_map(|bits| IpAddr::from(Ipv4Addr::from(bits).to_ipv6_mapped())),
        sparse,
    ]
}

fn end() -> impl Strategy<Value = SocketAddr> {
    (address(), any::<u16>()).prop_map(SocketAddr::from)
}

fn endpoints() -> impl Strategy<Value = Endpoints> {
    (end(), end()).prop_map(|(source, destination)| Endpoints { source, destination })
}

/// As they are read: IPv4 as such.
fn canonical(ends: &Endpoints) -> Endpoints {
    let end = |end: SocketAddr| SocketAddr::new(end.ip().to_canonical(), end.port());
    Endpoints { source: end(ends.source), destination: end(ends.destination) }
}

/// What headers begin with, and nothing.
const BEGINNINGS: &[&[u8]] = &[b"", b"PROXY TCP4 ", b"PROXY ", b"\r\n\r\n\0\r\nQUIT\n\x21"];

/// A TLS vector with a length of one, two or three octets.
fn list(octets: &[u8], width: usize) -> Vec<u8> {
    let length = u32::try_from(octets.len()).unwrap().to_be_bytes();
    [&length[4 - width..], octets].concat()
}

fn extension(kind: u16, data: &[u8]) -> Vec<u8> {
    [&kind.to_be_bytes()[..], &list(data, 2)].concat()
}

fn label() -> impl Strategy<Value = String> {
    vec(select(&b"abcxyzABCXYZ0189-_"[..]), 1..=63)
        .prop_map(|letters| String::from_utf8(letters).unwrap())
}

/// A name that is no address, with its dots.
fn host_name() -> impl Strategy<Value = String> {
    vec(label(), 1..6)
        .prop_map(|labels| labels.join("."))
        .prop_filter("too long, or an address", |name| {
            name.len() <= 253 && name.parse::<Ipv4Addr>().is_err()
        })
}

/// What a client may say, and its message.
#[derive(Clone, Debug)]
struct Said {
    name: Option<String>,
    alpn: Vec<Vec<u8>>,
    versions: Vec<u16>,
    message: Vec<u8>,
}

fn said() -> impl Strategy<Value = Said> {
    let alpn = vec(vec(any::<u8>(), 1..20), 0..5);
    let versions = vec(select(&[0x0301_u16, 0x0302, 0x0303, 0x0304, 0x7f1c][..]), 0..5);
    let others = vec((44..0x0a00_u16, vec(any::<u8>(), 0..50)), 0..5);
    let order = any::<[Index; 3]>();
    let lengths = (0..=32_usize, 1..50_usize, 1..4_usize);
    (option::of(host_name()), alpn, versions, others, order, lengths).prop_map(
        |(name, alpn, versions, others, order, (session, suites, compressions))| {
            let mut extensions: Vec<Vec<u8>> =
                others.iter().map(|(kind, data)| extension(*kind, data)).collect();
            let mut insert = |extension: Vec<u8>, order: Index| {
                extensions.insert(order.index(extensions.len() + 1), extension);
            };
            if let Some(name) = &name {
                let names = [&[0][..], &list(name.as_bytes(), 2)].concat();
                insert(extension(0, &list(&names, 2)), order[0]);
            }
            if !alpn.is_empty() {
                let names: Vec<u8> = alpn.iter().flat_map(|name| list(name, 1)).collect();
                insert(extension(16, &list(&names, 2)), order[1]);
            }
            if !versions.is_empty() {
                let grease = [0x3a, 0x3a].into_iter();
                let all: Vec<u8> =
                    grease.chain(versions.iter().flat_map(|it| it.to_be_bytes())).collect();
                insert(extension(43, &list(&all, 1)), order[2]);
            }
            let body = [
                &[3, 3][..],
                &[9; 32],
                &list(&vec![1; session], 1),
                &list(&vec![2; 2 * suites], 2),
                &list(&vec![0; compressions], 1),
                &list(&extensions.concat(), 2),
            ];
            let message = [&[1][..], &list(&body.concat(), 3)].concat();
            Said { name, alpn, versions, message }
        },
    )
}

/// The message in records, cut where `cuts` say.
fn records(message: &[u8], cuts: &[Index]) -> Vec<u8> {
    let mut places: Vec<usize> = cuts.iter().map(|cut| cut.index(message.len())).collect();
    places.extend([0, message.len()]);
    places.sort_unstable();
    places.dedup();
    let fragments = places.windows(2).map(|pair| &message[pair[0]..pair[1]]);
    fragments.flat_map(|it| [&[22, 3, 1][..], &list(it, 2)].concat()).collect()
}

proptest! {
    #![proptest_config(cases(500))]

    #[test]
    fn headers_are_read_as_they_were_written(
        ends in endpoints(),
        name in option::of("[ -~]{1,253}"),
        id in option::of(vec(any::<u8>(), 0..=MAX_UNIQUE_ID)),
        checksum in any::<bool>(),
        behind in vec(any::<u8>(), 0..20),
    ) {
        let extras = Extras { authority: name.as_deref(), unique_id: id.as_deref(), checksum };
        let (mut v1, mut v2) = (Vec::new(), Vec::new());
        encode_v1(&mut v1, Some(&ends));
        encode_v2(&mut v2, Some(&ends), &extras);
        prop_assert!(v1.len() <= 104 && v2.len() <= 446);
        for (out, version) in [(v1, Version::V1), (v2, Version::V2)] {
            let whole = [&out[..], &behind].concat();
            for length in 0..out.len() {
                prop_assert_eq!(decode(&whole[..length]), Decoded::NeedMore);
            }
            let Decoded::Header(header) = decode(&whole) else { panic!("our own: {whole:?}") };
            prop_assert_eq!((header.length, header.version), (out.len(), version));
            prop_assert_eq!(header.endpoints, Some(canonical(&ends)));
            if version == Version::V2 {
                prop_assert_eq!(header.authority, name.as_deref().map(str::as_bytes));
                prop_assert_eq!(header.unique_id, id.as_deref());
            }
        }
    }

    #[test]
    fn a_checksum_finds_what_was_damaged(
        ends in endpoints(),
        name in "[a-z.]{1,100}",
        place in any::<Index>(),
        change in 1..=255_u8,
    ) {
        let extras = Extras { authority: Some(&name), unique_id: None, checksum: true };
        let mut out = Vec::new();
        encode_v2(&mut out, Some(&ends), &extras);
        // The addresses, the texts and the sum itself: what says where those
        // begin may hide the sum.
        let addresses = 16..out.len() - 7 - name.len() - 3;
        let texts = addresses.end + 3..out.len() - 7;
        let sum = out.len() - 4..out.len();
        let places: Vec<usize> = addresses.chain(texts).chain(sum).collect();
        out[places[place.index(places.len())]] ^= change;
        prop_assert_eq!(decode(&out), Decoded::Malformed(Malformed::Checksum));
    }

    #[test]
    fn no_octets_are_too_strange_for_a_header(
        beginning in select(BEGINNINGS),
        rest in vec(any::<u8>(), 0..200),
    ) {
        let octets = [beginning, &rest].concat();
        let whole = decode(&octets);
        for length in 0..octets.len() {
            let part = decode(&octets[..length]);
            prop_assert!(part == Decoded::NeedMore || part == whole);
        }
    }

    #[test]
    fn hellos_are_understood_however_they_are_cut(
        said in said(),
        cuts in vec(any::<Index>(), 0..8),
        steps in vec(1..100_usize, 1..8),
        behind in vec(any::<u8>(), 0..20),
    ) {
        let octets = records(&said.message, &cuts);
        let whole = [&octets[..], &behind].concat();
        let mut reader = HelloReader::new();
        let mut steps = steps.into_iter().cycle();
        let mut come = 0;
        let hello = loop {
            match reader.read(&whole[..come]) {
                Progress::NeedMore => prop_assert!(come < octets.len(), "it is whole"),
                Progress::Hello(hello) => break hello,
                Progress::Refused(refusal) => panic!("{refusal}"),
            }
            come = whole.len().min(come + steps.next().unwrap());
        };
        prop_assert!(come >= octets.len(), "never before it is whole");
        prop_assert_eq!(hello.server_name, said.name.map(|name| name.to_ascii_lowercase()));
        prop_assert_eq!(hello.alpn, said.alpn);
        let versions = if said.versions.is_empty() { vec![0x0303] } else { said.versions };
        prop_assert_eq!(hello.versions, versions);
    }

    #[test]
    fn damaged_hellos_are_read_the_same_however_they_come(
        said in said(),
        place in any::<Index>(),
        octet in any::<u8>(),
        cut in any::<Index>(),
    ) {
        let mut octets = records(&said.message, &[cut]);
        let place = place.index(octets.len());
        octets[place] = octet;
        let at_once = HelloReader::new().read(&octets);
        let mut reader = HelloReader::new();
        let slow = (0..=octets.len()).map(|length| reader.read(&octets[..length]));
        let slow = slow.into_iter().find(|progress| *progress != Progress::NeedMore);
        prop_assert_eq!(slow.unwrap_or(Progress::NeedMore), at_once);
    }

    #[test]
    fn no_octets_are_too_strange_for_a_hello(octets in vec(any::<u8>(), 0..300)) {
        let body = [&[3, 3][..], &[0; 32], &octets].concat();
        let message = [&[1][..], &list(&body, 3)].concat();
        let read = HelloReader::new().read(&records(&message, &[]));
        prop_assert!(!matches!(read, Progress::NeedMore | Progress::Refused(Refusal::NotTls)));
        let _ = HelloReader::new().read(&octets);
    }

    #[test]
    fn every_format_of_fields_writes_one_line(
        pieces in vec((select(FIELDS.to_vec()), "[^$A-Za-z0-9_\\pC][ -#%-~\t]{0,9}"), 1..20),
        ends in endpoints(),
        name in any::<String>(),
        numbers in any::<(u64, u64, u32)>(),
        start in any::<u64>(),
        times in any::<(u64, Option<u32>)>(),
    ) {
        let (bytes_received, bytes_sent, retries) = numbers;
        let record = TcpRecord {
            client: ends.source,
            local: ends.destination,
            proxy: None,
            listener: ends.destination,
            service: Some(&name),
            target: Some(ends.source),
            server_name: None,
            bytes_received,
            bytes_sent,
            start: Duration::from_nanos(start),
            duration: Duration::from_nanos(times.0),
            dial_time: times.1.map(|micros| Duration::from_micros(micros.into())),
            retries,
            ending: Ending::Finished,
        };
        let format: String =
            pieces.iter().map(|(field, text)| format!("${field}{text}")).collect();
        let mut whole = String::new();
        Format::compile(&format).unwrap().write(&record, &mut whole);
        let mut parts = String::new();
        for (field, text) in &pieces {
            Format::compile(&format!("${field}")).unwrap().write(&record, &mut parts);
            prop_assert_eq!(parts.pop(), Some('\n'));
            parts.push_str(text);
        }
        prop_assert_eq!(&whole, &format!("{parts}\n"), "piece by piece it is the same");
        prop_assert_eq!(whole.matches('\n').count(), 1);
    }
}

#[derive(Clone, Debug)]
enum Step {
    Come { listener: usize, source: IpAddr },
    Leave(Index),
}

fn step() -> impl Strategy<Value = Step> {
    let source = prop_oneof![
        (0..6_u8).prop_map(|host| IpAddr::from([192, 0, 2, host])),
        (0..4_u128, 0..3_u128)
            .prop_map(|(net, host)| IpAddr::from(Ipv6Addr::from(net << 64 | host))),
    ];
    let come = (0..2_usize, source).prop_map(|(listener, source)| Step::Come { listener, source });
    prop_oneof![2 => come, 1 => any::<Index>().prop_map(Step::Leave)]
}

/// Where a connection is counted: each that leaves early holds less.
type Held = (Permit, Vec<(Option<Scope>, u128)>);

proptest! {
    #![proptest_config(cases(500))]

    #[test]
    fn counters_are_those_of_a_plain_list(
        steps in vec(step(), 1..100),
        most in (0..6_u32, 0..4_u32),
    ) {
        let settings = SourceSettings { limit: most.1, ..SourceSettings::default() };
        let mut limits = Limits::new(&settings, 1);
        let listeners = [limits.add_listener(most.0), limits.add_listener(most.0)];
        let mut here: Vec<Held> = Vec::new();
        for step in steps {
            match step {
                Step::Come { listener, source } => {
                    let listener_id = listeners[listener];
                    if !limits.has_room(listener_id) {
                        prop_assert_eq!(limits.at_listener(listener_id), most.0);
                        continue;
                    }
                    let mut permit = limits.admit(listener_id);
                    let mut held = vec![(None, listener as u128)];
                    // One IPv6 source is 64 bits long, one IPv4 source 32.
                    let key = match source {
                        IpAddr::V4(address) => u128::from(address.to_bits()) | 1 << 127,
                        IpAddr::V6(address) => address.to_bits() >> 64,
                    };
                    if limits.admit_source(&mut permit, source).is_ok() {
                        held.extend((most.1 != 0).then_some((Some(Scope::Source), key)));
                    } else {
                        prop_assert_eq!(limits.from_source(source), most.1);
                    }
                    here.push((permit, held));
                }
                Step::Leave(_) if here.is_empty() => {}
                Step::Leave(which) => {
                    let at = which.index(here.len());
                    limits.leave(here.swap_remove(at).0);
                }
            }
            let count = |scope: Option<Scope>, key: u128| {
                let all = here.iter().flat_map(|(_, held)| held);
                u32::try_from(all.filter(|it| **it == (scope, key)).count()).unwrap()
            };
            for (key, listener) in (0..).zip(&listeners) {
                prop_assert_eq!(limits.at_listener(*listener), count(None, key));
            }
            for net in 0..4 {
                let source = Ipv6Addr::from(net << 64 | 77);
                prop_assert_eq!(limits.from_source(source.into()), count(Some(Scope::Source), net));
            }
            let held = here.iter().flat_map(|(_, held)| held);
            let sources: BTreeMap<u128, ()> =
                held.filter(|it| it.0 == Some(Scope::Source)).map(|it| (it.1, ())).collect();
            prop_assert_eq!(limits.sources(), sources.len());
        }
        here.into_iter().for_each(|(permit, _)| limits.leave(permit));
        prop_assert_eq!(limits.sources(), 0);
        prop_assert!(listeners.iter().all(|id| limits.at_listener(*id) == 0));
    }
}
