//! What clients of the data plane send first, what is written about their
//! connections, and how those are counted.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use burgee::proxy::access_log::{Ending, Format, TcpRecord};
use burgee::proxy::client_hello::{ClientHello, HelloReader, MAX_OCTETS, Progress};
use burgee::proxy::limits::{LimitCounters, Limits, ListenerId, Permit, Scope, SourceSettings};
use burgee::proxy::proxy_header::{
    Decoded, Endpoints, Extras, Header, HeaderPolicy, Judgement, MAX_UNIQUE_ID, MAX_V1, MAX_V2,
    Mode, TrustedSources, Version, decode, encode_v1, encode_v2,
};

use super::decoders::one_line;
use super::input::Input;

/// The first octets of a connection.
pub(crate) fn proxy_header(data: &[u8]) {
    let whole = decode(data);
    for length in 0..data.len() {
        let part = decode(&data[..length]);
        assert!(part == Decoded::NeedMore || part == whole, "{length}: {part:?}, {whole:?}");
    }
    match whole {
        Decoded::NeedMore => assert!(data.len() < MAX_V2),
        Decoded::Header(header) => {
            let most = if header.version == Version::V1 { MAX_V1 } else { MAX_V2 };
            assert!(header.length <= most.min(data.len()));
            assert!(header.unique_id.is_none_or(|id| id.len() <= MAX_UNIQUE_ID));
            header.endpoints.iter().for_each(|ends| header_again(ends, &header));
        }
        Decoded::Absent => {}
        Decoded::Malformed(why) => one_line(&why.to_string()),
    }
    for mode in [Mode::Strict, Mode::Lenient] {
        let policy = HeaderPolicy { mode, trusted: TrustedSources::everybody() };
        let (now, at_last) = (policy.judge(data), policy.judge_last(data));
        assert_ne!(at_last, Judgement::NeedMore);
        assert!(now == Judgement::NeedMore || now == at_last);
        if let Judgement::Refuse(refusal) = at_last {
            one_line(&refusal.to_string());
        }
        assert!(mode == Mode::Lenient || at_last != Judgement::Plain);
    }
}

/// What was read, written in both formats and read again.
fn header_again(ends: &Endpoints, header: &Header<'_>) {
    for address in [ends.source, ends.destination] {
        assert_eq!(address.ip(), address.ip().to_canonical());
    }
    let authority = header.authority.and_then(|name| str::from_utf8(name).ok());
    let authority = authority.filter(|name| (1..=253).contains(&name.len()));
    let extras = Extras { authority, unique_id: header.unique_id, checksum: true };
    let (mut v1, mut v2) = (Vec::new(), Vec::new());
    encode_v1(&mut v1, Some(ends));
    encode_v2(&mut v2, Some(ends), &extras);
    assert!(v1.len() <= 104 && v2.len() <= 446);
    for out in [v1, v2] {
        let Decoded::Header(again) = decode(&out) else { panic!("our own: {out:?}") };
        assert_eq!((again.endpoints, again.length), (Some(*ends), out.len()));
        if again.version == Version::V2 {
            assert_eq!(again.authority, authority.map(str::as_bytes));
            assert_eq!(again.unique_id, header.unique_id);
        }
    }
}

/// The same, where a ClientHello is awaited.
pub(crate) fn client_hello(data: &[u8]) {
    let progress = HelloReader::new().read(data);
    let mut reader = HelloReader::new();
    let mut slow = (0..=data.len()).map(|length| reader.read(&data[..length]));
    let slow = slow.find(|progress| *progress != Progress::NeedMore);
    assert_eq!(slow.unwrap_or(Progress::NeedMore), progress, "an octet at a time");
    match progress {
        Progress::NeedMore => assert!(data.len() < MAX_OCTETS),
        Progress::Refused(refusal) => {
            one_line(&refusal.to_string());
            let more = [data, &[22, 3, 1, 0, 1, 1]].concat();
            assert_eq!(HelloReader::new().read(&more), Progress::Refused(refusal));
        }
        Progress::Hello(hello) => {
            sound(&hello);
            let more = [data, b"whatever"].concat();
            assert_eq!(HelloReader::new().read(&more), Progress::Hello(hello.clone()));
            recut(data, &hello);
        }
    }
}

fn sound(hello: &ClientHello) {
    if let Some(name) = &hello.server_name {
        assert!((1..=253).contains(&name.len()) && name.parse::<IpAddr>().is_err());
        for label in name.split('.') {
            assert!((1..=63).contains(&label.len()), "{name}");
            let fits = |c: u8| matches!(c, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_');
            assert!(label.bytes().all(fits), "{name}");
        }
    }
    assert!(hello.alpn.iter().all(|protocol| (1..=255).contains(&protocol.len())));
}

/// The records say nothing: other ones with the same message are the same.
fn recut(data: &[u8], hello: &ClientHello) {
    let (mut rest, mut message) = (data, Vec::new());
    while let Some(([22, 3, _, high, low], behind)) = rest.split_first_chunk() {
        let length = usize::from(u16::from_be_bytes([*high, *low]));
        let (fragment, behind) = behind.split_at(length.min(behind.len()));
        message.extend_from_slice(fragment);
        rest = behind;
    }
    let length = u32::from_be_bytes([0, message[1], message[2], message[3]]);
    message.truncate(4 + length as usize);
    for size in [1, 3, 100, message.len()] {
        let record =
            |part: &[u8]| [&[22, 3, 3][..], &(part.len() as u16).to_be_bytes(), part].concat();
        let cut: Vec<u8> = message.chunks(size).flat_map(record).collect();
        if cut.len() <= MAX_OCTETS {
            assert_eq!(HelloReader::new().read(&cut), Progress::Hello(hello.clone()), "{size}");
        }
    }
}

/// A format before the first zero, and a name behind it.
pub(crate) fn access_log(data: &[u8]) {
    let (format, name) = data.split_once_at(0);
    let (format, name) = (String::from_utf8_lossy(format), String::from_utf8_lossy(name));
    let client = SocketAddr::from((u128::from(data.len() as u64).to_be_bytes(), 1));
    let record = TcpRecord {
        client,
        local: client,
        proxy: None,
        listener: client,
        service: Some(&name),
        target: Some(client),
        server_name: Some(&name),
        bytes_received: data.len() as u64,
        bytes_sent: u64::MAX,
        start: Duration::from_millis(data.len() as u64),
        duration: Duration::MAX,
        dial_time: None,
        retries: u32::MAX,
        ending: Ending::Limit(Scope::Source),
    };
    let mut out = String::new();
    match Format::compile(&format) {
        Ok(format) => {
            format.write(&record, &mut out);
            let line = out.strip_suffix('\n').expect("a line");
            assert!(!line.chars().any(|c| c.is_control() && c != '\t'), "{line:?}");
        }
        Err(error) => assert!(!error.chars().any(char::is_control), "{error:?}"),
    }
    out.clear();
    Format::default().write(&record, &mut out);
    let line = out.strip_suffix('\n').expect("a line");
    one_line(&line.replace(&*name, ""));
    let read = json(line);
    assert_eq!(read.len(), 15);
    assert_eq!(read["server_name"].as_deref(), Some(&*name));
    assert_eq!(read["upstream_service"].as_deref(), Some(&*name));
    assert_eq!(read["proxy_addr"], None);
    assert_eq!(read["bytes_sent"].as_deref(), Some("18446744073709551615"));
}

trait SplitOnceAt {
    fn split_once_at(&self, octet: u8) -> (&[u8], &[u8]);
}

impl SplitOnceAt for [u8] {
    fn split_once_at(&self, octet: u8) -> (&[u8], &[u8]) {
        match self.iter().position(|it| *it == octet) {
            Some(at) => (&self[..at], &self[at + 1..]),
            None => (self, &[]),
        }
    }
}

/// An object of strings, numbers and nulls (RFC 8259), read without our help.
fn json(line: &str) -> BTreeMap<String, Option<String>> {
    let mut rest = line.strip_prefix('{').expect("an object");
    let mut read = BTreeMap::new();
    loop {
        let name = string(&mut rest);
        rest = rest.strip_prefix(':').expect("a value");
        let value = if rest.starts_with('"') {
            Some(string(&mut rest))
        } else {
            let (text, behind) = rest.split_at(rest.find([',', '}']).expect("an end"));
            rest = behind;
            assert!(text == "null" || text.parse::<f64>().is_ok_and(f64::is_finite), "{text}");
            (text != "null").then(|| text.to_owned())
        };
        assert!(read.insert(name, value).is_none(), "a name twice");
        match rest.split_at(1) {
            (",", behind) => rest = behind,
            ("}", "") => return read,
            other => panic!("{other:?}"),
        }
    }
}

fn string(rest: &mut &str) -> String {
    let mut text = String::new();
    let mut chars = rest.strip_prefix('"').expect("a string").chars();
    loop {
        match chars.next().expect("its end") {
            '"' => break,
            '\\' => match chars.next().expect("an escape") {
                'u' => {
                    let digits: String = chars.by_ref().take(4).collect();
                    let code = u32::from_str_radix(&digits, 16).expect("four digits");
                    text.push(char::from_u32(code).expect("a character"));
                }
                c @ ('"' | '\\' | '/') => text.push(c),
                c => panic!("\\{c}"),
            },
            c => {
                assert!(c >= ' ', "{c:?} is to be escaped");
                text.push(c);
            }
        }
    }
    *rest = chars.as_str();
    text
}

/// One connection, and what it should be counted as.
struct Connection {
    permit: Permit,
    listener: usize,
    source: Option<IpAddr>,
}

/// What is done to the counters, beside a plain list of connections.
pub(crate) fn limits(data: &[u8]) {
    let mut input = Input::new(data);
    let settings = SourceSettings {
        limit: input.below(4) as u32,
        ipv4_prefix: 32,
        ipv6_prefix: 128,
        table: input.below(8) as u32,
    };
    let mut limits = Limits::new(&settings, u64::from(input.word()));
    let most = input.below(8) as u32;
    let listeners: Vec<ListenerId> = (0..2).map(|_| limits.add_listener(most)).collect();
    let mut all: Vec<Connection> = Vec::new();
    let mut expected = LimitCounters::default();
    while !input.is_empty() {
        match input.below(3) {
            0 => {
                let at = input.below(2);
                let before = all.iter().filter(|it| it.listener == at).count() as u32;
                let has_room = limits.has_room(listeners[at]);
                assert_eq!(has_room, most == 0 || before < most);
                if has_room {
                    let permit = limits.admit(listeners[at]);
                    all.push(Connection { permit, listener: at, source: None });
                }
            }
            1 if !all.is_empty() => {
                let gone = all.swap_remove(input.below(all.len()));
                limits.leave(gone.permit);
            }
            2 if !all.is_empty() => {
                let at = input.below(all.len());
                let address = IpAddr::from([192, 0, 2, input.octet() % 16]);
                admit_source(&mut limits, &settings, &mut all, (at, address), &mut expected);
            }
            _ => {}
        }
        for (at, id) in listeners.iter().enumerate() {
            let count = all.iter().filter(|it| it.listener == at).count() as u32;
            assert_eq!(limits.at_listener(*id), count);
            assert_eq!(limits.has_room(*id), most == 0 || count < most);
        }
        assert_eq!(*limits.counters(), expected);
    }
    all.into_iter().for_each(|it| limits.leave(it.permit));
    assert_eq!(limits.sources(), 0);
    assert!(listeners.iter().all(|id| limits.at_listener(*id) == 0));
}

fn admit_source(
    limits: &mut Limits,
    settings: &SourceSettings,
    all: &mut [Connection],
    (at, address): (usize, IpAddr),
    expected: &mut LimitCounters,
) {
    all[at].source = None;
    let counted = |all: &[Connection]| all.iter().filter(|it| it.source == Some(address)).count();
    let before = counted(all) as u32;
    let admitted = limits.admit_source(&mut all[at].permit, address);
    match admitted {
        _ if settings.limit == 0 => assert_eq!(admitted, Ok(())),
        Err(refusal) => {
            assert_eq!((refusal.scope, refusal.limit), (Scope::Source, before));
            expected.source += 1;
        }
        Ok(()) if limits.from_source(address) > before => all[at].source = Some(address),
        Ok(()) => {
            assert_eq!((limits.sources(), before), (settings.table as usize, 0), "a full table");
            expected.uncounted += 1;
        }
    }
    assert_eq!(limits.from_source(address), counted(all) as u32);
    let mut sources: Vec<IpAddr> = all.iter().filter_map(|it| it.source).collect();
    sources.sort();
    sources.dedup();
    assert_eq!(limits.sources(), sources.len());
}
