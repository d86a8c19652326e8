//! The first message of a TLS client, read in passing: which name it asks for
//! says where the connection goes, and all its octets go there as they came.
//!
//! A [`HelloReader`] is given all octets that have come so far, as often as
//! more come, and consumes none. It does each octet's work once, however few
//! come at a time, and it finds a ClientHello that is cut into several
//! records (RFC 8446 §5.1), which some clients do on purpose. What comes behind
//! it, such as early data, it does not look at.

use std::borrow::Cow;
use std::fmt;
use std::net::Ipv4Addr;

use super::octets::Octets;

/// Most octets of a ClientHello with its message header: those of one record
/// (RFC 8446 §5.1). Those of browsers have up to 2 KiB; a session ticket, a
/// client's list of protocols or keys against quantum computers add to it.
pub const MAX_HELLO: usize = 1 << 14;

/// Most octets to wait for, with the headers of the records: a ClientHello of
/// [`MAX_HELLO`] may come in records of six octets each, a usual one in records
/// of one octet each.
pub const MAX_OCTETS: usize = 2 * MAX_HELLO;

/// Octets of a record's header: type, version, length (RFC 8446 §5.1).
const RECORD_HEADER: usize = 5;

/// Octets of a message's header: type, length (RFC 8446 §4).
const MESSAGE_HEADER: usize = 4;

/// Most protocols that are kept of a client's list: more than there are. In
/// [`MAX_HELLO`] octets are eight thousand, which would take thirty times their
/// memory, and be compared with those of each target.
const MAX_PROTOCOLS: usize = 128;

/// The content type of records with handshake messages (RFC 8446 §5.1).
const HANDSHAKE: u8 = 22;

/// The type of the message (RFC 8446 §4).
const CLIENT_HELLO: u8 = 1;

/// Types of extensions (RFC 6066 §1.1, RFC 7301 §3.1, RFC 8446 §4.2).
const SERVER_NAME: u16 = 0;
const ALPN: u16 = 16;
const SUPPORTED_VERSIONS: u16 = 43;

/// What a client said of itself. A hostile one makes some ten KiB of it, so it
/// is to be used, and not to be kept as long as the connection.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClientHello {
    /// The host that it wants to talk to, if it says so: a DNS name of at most
    /// 253 octets in lower case, without a dot at its end.
    pub server_name: Option<String>,
    /// The protocols that it can speak inside, in its order of preference
    /// (RFC 7301 §3.1), each 1 to 255 octets such as `h2`; the first 128.
    pub alpn: Vec<Vec<u8>>,
    /// The versions that it can speak: 0x0303 is TLS 1.2, 0x0304 is TLS 1.3.
    /// Without that extension of TLS 1.3 it is the one highest version
    /// (RFC 5246 §7.4.1.2). Values that stand for none (RFC 8701) are left out.
    pub versions: Vec<u16>,
}

/// What is known after so many octets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Progress {
    /// More octets are needed; never more than [`MAX_OCTETS`].
    NeedMore,
    /// The ClientHello is whole.
    Hello(ClientHello),
    /// There is none.
    Refused(Refusal),
}

/// Why there is no ClientHello.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// Another protocol. So is a ClientHello in the form of SSL 2.0 (RFC 5246
    /// appendix E.2), which has no room for a name.
    NotTls,
    /// A rule of TLS is broken: which one, in words.
    Malformed(&'static str),
    /// More than [`MAX_HELLO`] or [`MAX_OCTETS`].
    TooLarge,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Refusal::NotTls => f.write_str("not TLS"),
            Refusal::Malformed(rule) => write!(f, "malformed ClientHello: {rule}"),
            Refusal::TooLarge => f.write_str("a ClientHello that is too large"),
        }
    }
}

const fn malformed(rule: &'static str) -> Refusal {
    Refusal::Malformed(rule)
}

/// Looks for the ClientHello in the first octets of one connection.
#[derive(Clone, Debug, Default)]
pub struct HelloReader {
    /// Octets that were looked at: whole headers of records, and fragments.
    seen: usize,
    /// Octets of the current record that were not.
    left: usize,
    /// Octets of the message that were, without the headers of records.
    collected: usize,
    /// The first of them: type and length of the message.
    header: [u8; MESSAGE_HEADER],
}

impl HelloReader {
    /// A reader for a new connection.
    pub fn new() -> HelloReader {
        HelloReader::default()
    }

    /// Goes on with `octets`: all that have come since the connection began,
    /// those of earlier calls among them. It says the same of them however
    /// many came at a time.
    pub fn read(&mut self, octets: &[u8]) -> Progress {
        match self.advance(octets) {
            Ok(Some(hello)) => Progress::Hello(hello),
            Ok(None) if octets.len() >= MAX_OCTETS => Progress::Refused(Refusal::TooLarge),
            Ok(None) => Progress::NeedMore,
            Err(refusal) => Progress::Refused(refusal),
        }
    }

    fn advance(&mut self, octets: &[u8]) -> Result<Option<ClientHello>, Refusal> {
        let octets = octets.get(..MAX_OCTETS).unwrap_or(octets);
        loop {
            if let Some(length) = self.message_length()?
                && self.collected >= length
            {
                let message = message(octets, length);
                let body = message.get(MESSAGE_HEADER..).unwrap_or_default();
                return parse(body).map(Some);
            }
            let rest = octets.get(self.seen..).unwrap_or_default();
            if rest.is_empty() {
                return Ok(None);
            }
            if self.left == 0 {
                match record_length(rest, self.seen == 0)? {
                    None => return Ok(None),
                    Some(length) => self.left = length,
                }
                self.seen = self.seen.saturating_add(RECORD_HEADER);
            } else {
                let fragment = rest.get(..self.left).unwrap_or(rest);
                self.collect(fragment);
            }
        }
    }

    fn collect(&mut self, fragment: &[u8]) {
        let missing = self.header.iter_mut().skip(self.collected);
        missing.zip(fragment).for_each(|(place, octet)| *place = *octet);
        self.collected = self.collected.saturating_add(fragment.len());
        self.seen = self.seen.saturating_add(fragment.len());
        self.left = self.left.saturating_sub(fragment.len());
    }

    /// How many octets the message has with its header, once that is known.
    fn message_length(&self) -> Result<Option<usize>, Refusal> {
        let [kind, length @ ..] = self.header;
        if self.collected > 0 && kind != CLIENT_HELLO {
            // RFC 8446 §4: no other message comes first.
            return Err(malformed("another message before it"));
        }
        if self.collected < MESSAGE_HEADER {
            return Ok(None);
        }
        let [high, middle, low] = length;
        let length = u32::from_be_bytes([0, high, middle, low]);
        let whole = usize::try_from(length).unwrap_or(usize::MAX).saturating_add(MESSAGE_HEADER);
        if whole > MAX_HELLO { Err(Refusal::TooLarge) } else { Ok(Some(whole)) }
    }
}

/// The length of the record that `rest` begins with, once its header is there.
fn record_length(rest: &[u8], first: bool) -> Result<Option<usize>, Refusal> {
    let wrong = |rule| if first { Refusal::NotTls } else { malformed(rule) };
    let mut rest = Octets::new(rest);
    let Some(kind) = rest.u8() else { return Ok(None) };
    if kind != HANDSHAKE {
        // RFC 8446 §5.1: nothing comes between the fragments of a message.
        return Err(wrong("another record between its fragments"));
    }
    let Some(major) = rest.u8() else { return Ok(None) };
    if major != 3 {
        return Err(wrong("a record of another version"));
    }
    // RFC 8446 §5.1: the rest of the version means nothing.
    let Some(_) = rest.u8() else { return Ok(None) };
    match rest.u16().map(usize::from) {
        None => Ok(None),
        // RFC 5246 §6.2.1, RFC 8446 §5.1: handshake records are not empty, and
        // none is longer than 2^14 octets.
        Some(0) => Err(malformed("an empty record")),
        Some(length) if length > 1 << 14 => Err(malformed("a record that is too long")),
        Some(length) => Ok(Some(length)),
    }
}

/// The first `length` octets of the message: as they are if they came in one
/// record, or else put together. The records have been looked at before.
fn message(octets: &[u8], length: usize) -> Cow<'_, [u8]> {
    if let Ok(Some(first)) = record_length(octets, true)
        && first >= length
    {
        let end = RECORD_HEADER.saturating_add(length);
        return Cow::Borrowed(octets.get(RECORD_HEADER..end).unwrap_or_default());
    }
    let mut whole = Vec::with_capacity(length);
    let mut rest = octets;
    while let Ok(Some(count)) = record_length(rest, true) {
        let (_, behind) = rest.split_at_checked(RECORD_HEADER).unwrap_or_default();
        let (fragment, behind) = behind.split_at_checked(count).unwrap_or((behind, &[]));
        let missing = length.saturating_sub(whole.len());
        whole.extend_from_slice(fragment.get(..missing).unwrap_or(fragment));
        rest = behind;
    }
    Cow::Owned(whole)
}

/// The body of the message (RFC 5246 §7.4.1.2, RFC 8446 §4.1.2).
fn parse(body: &[u8]) -> Result<ClientHello, Refusal> {
    let short = malformed("it ends too early");
    let mut rest = Octets::new(body);
    let version = rest.u16().ok_or(short)?;
    if version >> 8 != 3 {
        return Err(malformed("another version than those of TLS"));
    }
    let _random = rest.take(32).ok_or(short)?;
    if rest.list8().ok_or(short)?.len() > 32 {
        return Err(malformed("a session identifier of more than 32 octets"));
    }
    let suites = rest.list16().ok_or(short)?;
    if suites.is_empty() || suites.len() % 2 != 0 {
        return Err(malformed("no list of cipher suites"));
    }
    if rest.list8().ok_or(short)?.is_empty() {
        return Err(malformed("no list of compression methods"));
    }
    let mut hello = ClientHello { versions: vec![version], ..ClientHello::default() };
    // RFC 5246 §7.4.1.2: a message without extensions ends here.
    if !rest.is_empty() {
        let list = rest.list16().ok_or(short)?;
        if !rest.is_empty() {
            return Err(malformed("octets behind its extensions"));
        }
        extensions(&mut hello, Octets::new(list))?;
    }
    Ok(hello)
}

fn extensions(hello: &mut ClientHello, mut rest: Octets<'_>) -> Result<(), Refusal> {
    let short = malformed("an extension that ends too early");
    let mut known = [(SERVER_NAME, false), (ALPN, false), (SUPPORTED_VERSIONS, false)];
    while !rest.is_empty() {
        let kind = rest.u16().ok_or(short)?;
        let data = rest.list16().ok_or(short)?;
        if let Some((_, seen)) = known.iter_mut().find(|(known, _)| *known == kind) {
            // RFC 5246 §7.4.1.4, RFC 8446 §4.2: each comes once. Of those that
            // nobody looks at here, the target may complain itself.
            if std::mem::replace(seen, true) {
                return Err(malformed("an extension that comes twice"));
            }
        }
        match kind {
            SERVER_NAME => hello.server_name = server_name(data)?,
            ALPN => hello.alpn = protocols(data).ok_or(malformed("a list of protocols"))?,
            SUPPORTED_VERSIONS => {
                hello.versions = versions(data).ok_or(malformed("a list of versions"))?;
            }
            _ => {}
        }
    }
    Ok(())
}

/// The only list in an extension, which is not empty.
fn only_list<'a>(list: Option<&'a [u8]>, rest: Octets<'a>) -> Option<Octets<'a>> {
    let list = list.filter(|list| !list.is_empty() && rest.is_empty())?;
    Some(Octets::new(list))
}

/// The name of the host (RFC 6066 §3). A list without one, but with names of
/// other types, is as good as none.
fn server_name(data: &[u8]) -> Result<Option<String>, Refusal> {
    let wrong = malformed("a list of server names");
    let mut rest = Octets::new(data);
    let list = rest.list16();
    let mut names = only_list(list, rest).ok_or(wrong)?;
    let mut found = None;
    while !names.is_empty() {
        let kind = names.u8().ok_or(wrong)?;
        // All types of names begin with their length.
        let name = names.list16().ok_or(wrong)?;
        if kind == 0 && found.replace(name).is_some() {
            return Err(malformed("two server names"));
        }
    }
    found.map(host_name).transpose()
}

/// A DNS name in lower case. RFC 6066 §3 wants no dot at its end; with one it
/// is the same name, and must not get past the routes of that name.
fn host_name(octets: &[u8]) -> Result<String, Refusal> {
    let octets = octets.strip_suffix(b".").unwrap_or(octets);
    let fits = |label: &[u8]| {
        // RFC 1035 §2.3.4; the underscore is no letter of a host name (RFC 1123
        // §2.1), but of names that hosts have.
        let letters =
            label.iter().all(|octet| octet.is_ascii_alphanumeric() || matches!(octet, b'-' | b'_'));
        (1..=63).contains(&label.len()) && letters
    };
    if octets.len() > 253 || !octets.split(|octet| *octet == b'.').all(fits) {
        return Err(malformed("a server name that is no DNS name"));
    }
    let name: String = octets.iter().map(|octet| char::from(octet.to_ascii_lowercase())).collect();
    // RFC 6066 §3: no addresses. Those of IPv6 have colons.
    if name.parse::<Ipv4Addr>().is_ok() {
        return Err(malformed("an address for a server name"));
    }
    Ok(name)
}

/// RFC 7301 §3.1.
fn protocols(data: &[u8]) -> Option<Vec<Vec<u8>>> {
    let mut rest = Octets::new(data);
    let list = rest.list16();
    let mut list = only_list(list, rest)?;
    let mut protocols = Vec::new();
    while !list.is_empty() {
        let protocol = list.list8().filter(|protocol| !protocol.is_empty())?;
        if protocols.len() < MAX_PROTOCOLS {
            protocols.push(protocol.to_vec());
        }
    }
    Some(protocols)
}

/// RFC 8446 §4.2.1.
fn versions(data: &[u8]) -> Option<Vec<u16>> {
    let mut rest = Octets::new(data);
    let list = rest.list8();
    let mut list = only_list(list, rest)?;
    let mut versions = Vec::new();
    while !list.is_empty() {
        let version = list.u16()?;
        if !is_grease(version) {
            versions.push(version);
        }
    }
    Some(versions)
}

/// Whether a value is one of those that keep servers used to unknown values:
/// twice the same octet, which ends in 0xa (RFC 8701 §2).
fn is_grease(value: u16) -> bool {
    let [high, low] = value.to_be_bytes();
    high == low && low & 0xf == 0xa
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A client's message, part by part.
    struct Parts {
        version: u16,
        session: Vec<u8>,
        suites: Vec<u8>,
        compressions: Vec<u8>,
        extensions: Option<Vec<u8>>,
        behind: Vec<u8>,
    }

    impl Default for Parts {
        fn default() -> Parts {
            Parts {
                version: 0x0303,
                session: vec![9; 32],
                suites: vec![0x1a, 0x1a, 0x13, 0x01],
                compressions: vec![0],
                extensions: None,
                behind: Vec::new(),
            }
        }
    }

    fn list8(octets: &[u8]) -> Vec<u8> {
        [&[u8::try_from(octets.len()).unwrap()], octets].concat()
    }

    fn list16(octets: &[u8]) -> Vec<u8> {
        [&u16::try_from(octets.len()).unwrap().to_be_bytes(), octets].concat()
    }

    fn extension(kind: u16, data: &[u8]) -> Vec<u8> {
        [&kind.to_be_bytes()[..], &list16(data)].concat()
    }

    fn names(names: &[(u8, &[u8])]) -> Vec<u8> {
        let list: Vec<Vec<u8>> =
            names.iter().map(|(kind, name)| [&[*kind][..], &list16(name)].concat()).collect();
        extension(SERVER_NAME, &list16(&list.concat()))
    }

    fn message_of(body: &[u8]) -> Vec<u8> {
        let length = u32::try_from(body.len()).unwrap().to_be_bytes();
        [&[CLIENT_HELLO][..], &length[1..], body].concat()
    }

    fn record(fragment: &[u8]) -> Vec<u8> {
        [&[HANDSHAKE, 3, 1][..], &list16(fragment)].concat()
    }

    impl Parts {
        fn message(&self) -> Vec<u8> {
            let mut body = self.version.to_be_bytes().to_vec();
            body.extend([7; 32]);
            body.extend(list8(&self.session));
            body.extend(list16(&self.suites));
            body.extend(list8(&self.compressions));
            body.extend(self.extensions.iter().flat_map(|list| list16(list)));
            body.extend(&self.behind);
            message_of(&body)
        }
    }

    fn with(extensions: &[Vec<u8>]) -> Vec<u8> {
        Parts { extensions: Some(extensions.concat()), ..Parts::default() }.message()
    }

    /// What is said of octets that come one at a time, and all at once: the same.
    fn read(octets: &[u8]) -> Progress {
        let mut reader = HelloReader::new();
        let slow = (0..=octets.len()).map(|count| reader.read(&octets[..count]));
        let slow = slow.into_iter().find(|progress| *progress != Progress::NeedMore);
        let at_once = HelloReader::new().read(octets);
        assert_eq!(slow.unwrap_or(Progress::NeedMore), at_once);
        at_once
    }

    fn hello(octets: &[u8]) -> ClientHello {
        match read(octets) {
            Progress::Hello(hello) => hello,
            other => panic!("{other:?}"),
        }
    }

    fn refused(octets: &[u8]) -> Refusal {
        match read(octets) {
            Progress::Refused(refusal) => refusal,
            other => panic!("{other:?}"),
        }
    }

    fn rule(message: &[u8]) -> &'static str {
        match refused(&record(message)) {
            Refusal::Malformed(rule) => rule,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_hello_may_be_cut_anywhere() {
        let message = with(&[names(&[(0, b"cut.example")])]);
        for size in 1..=message.len() {
            let octets: Vec<u8> = message.chunks(size).flat_map(record).collect();
            assert_eq!(hello(&octets).server_name.as_deref(), Some("cut.example"), "{size}");
            // Nothing behind it is looked at, in the same record or another.
            let behind = [&octets[..], b"\x17\x03\x03\x00\x05early"].concat();
            assert_eq!(hello(&behind), hello(&octets));
        }
        let behind = [&message[..], b"another message"].concat();
        assert_eq!(hello(&record(&behind)).server_name.as_deref(), Some("cut.example"));
    }

    #[test]
    fn records_that_are_none() {
        let message = with(&[names(&[(0, b"a.example")])]);
        let (one, two) = message.split_at(20);
        for (between, rule) in [
            (&b"\x16\x03\x01\x00\x00"[..], "an empty record"),
            (b"\x15\x03\x01\x00\x02\x01\x00", "another record between its fragments"),
            (b"\x16\x02\x01\x00\x02\x01\x00", "a record of another version"),
            (b"\x16\x03\x01\x40\x01", "a record that is too long"),
        ] {
            let octets = [&record(one), between, &record(two)].concat();
            assert_eq!(refused(&octets), Refusal::Malformed(rule));
        }
        assert_eq!(refused(b"\x16\x03\x01\x00\x00"), Refusal::Malformed("an empty record"));
        assert_eq!(refused(&record(b"\x02")), Refusal::Malformed("another message before it"));
    }

    #[test]
    fn other_protocols_are_not_tls() {
        let others: [&[u8]; 6] = [
            b"GET / HTTP/1.1\r\n",
            b"SSH-2.0-x\r\n",
            b"\x15\x03\x01\x00\x02\x02\x28",
            b"\x16\x02\x00\x00\x02",
            // SSL 2.0: a length of two octets, then the message.
            b"\x80\x2e\x01\x03\x01\x00\x15\x00\x00\x00\x10",
            b"\x80\x2e\x01\x00\x02\x00\x15\x00\x00\x00\x10",
        ];
        for octets in others {
            assert_eq!(refused(octets), Refusal::NotTls, "{octets:?}");
        }
        assert_eq!(read(b""), Progress::NeedMore);
    }

    #[test]
    fn a_hello_without_extensions_has_no_name() {
        let plain = hello(&record(&Parts { version: 0x0300, ..Parts::default() }.message()));
        assert_eq!(plain, ClientHello { versions: vec![0x0300], ..ClientHello::default() });
        assert_eq!(hello(&record(&with(&[]))).server_name, None);
    }

    #[test]
    fn the_form_of_the_message() {
        let parts = Parts::default;
        for (parts, expected) in [
            (Parts { version: 0x0203, ..parts() }, "another version than those of TLS"),
            (
                Parts { session: vec![0; 33], ..parts() },
                "a session identifier of more than 32 octets",
            ),
            (Parts { suites: vec![], ..parts() }, "no list of cipher suites"),
            (Parts { suites: vec![0; 3], ..parts() }, "no list of cipher suites"),
            (Parts { compressions: vec![], ..parts() }, "no list of compression methods"),
            (Parts { behind: vec![0], ..parts() }, "it ends too early"),
            (
                Parts { extensions: Some(vec![]), behind: vec![0], ..parts() },
                "octets behind its extensions",
            ),
            (Parts { extensions: Some(vec![0; 3]), ..parts() }, "an extension that ends too early"),
            (
                Parts { extensions: Some(vec![0, 5, 0, 1]), ..parts() },
                "an extension that ends too early",
            ),
        ] {
            assert_eq!(rule(&parts.message()), expected);
        }
        let whole = Parts::default().message();
        for length in 0..whole.len() - 4 {
            assert_eq!(rule(&message_of(&whole[4..4 + length])), "it ends too early", "{length}");
        }
    }

    #[test]
    fn lists_of_names() {
        let name_of = |list: &[(u8, &[u8])]| hello(&record(&with(&[names(list)]))).server_name;
        assert_eq!(name_of(&[(0, b"A.Example")]).as_deref(), Some("a.example"));
        assert_eq!(name_of(&[(7, b"\0"), (0, b"a.example")]).as_deref(), Some("a.example"));
        assert_eq!(name_of(&[(7, b"a.example")]), None);
        assert_eq!(rule(&with(&[names(&[(0, b"a"), (0, b"b")])])), "two server names");
        let twice = [names(&[(0, b"a")]), names(&[(0, b"a")])];
        assert_eq!(rule(&with(&twice)), "an extension that comes twice");
        for data in [&[][..], &[0, 0], &[0], &[0, 1, 0], &[0, 4, 0, 0, 2, 97], &[0, 0, 0]] {
            let message = with(&[extension(SERVER_NAME, data)]);
            assert_eq!(rule(&message), "a list of server names", "{data:?}");
        }
        let longer = extension(SERVER_NAME, &[0, 4, 0, 0, 1, 97, 0]);
        assert_eq!(rule(&with(&[longer])), "a list of server names");
    }

    #[test]
    fn names_of_hosts() {
        let name = |name: &[u8]| host_name(name);
        for good in ["a", "xn--bcher-kva.example", "_sip.a-b.example", "1.2.3.4.example", "-"] {
            assert_eq!(name(good.as_bytes()), Ok(good.to_owned()));
        }
        assert_eq!(name(b"WWW.Example."), Ok("www.example".to_owned()));
        let label = "x".repeat(63);
        let longest = [&label[..], &label, &label, &label[..61]].join(".");
        assert_eq!(name(longest.as_bytes()), Ok(longest.clone()));
        assert_eq!(name(format!("{longest}.").as_bytes()), Ok(longest.clone()));
        let long = format!("{longest}x");
        for bad in [
            &b""[..],
            b".",
            b"a..b",
            b".a",
            b"a..",
            b"a.example\0.evil.example",
            b"a b",
            b"a:443",
            b"*.example",
            b"[::1]",
            "b\u{fc}cher.example".as_bytes(),
            long.as_bytes(),
            &[b'x'; 64],
        ] {
            assert_eq!(name(bad), Err(malformed("a server name that is no DNS name")), "{bad:?}");
        }
        for address in [&b"192.0.2.1"[..], b"192.0.2.1."] {
            assert_eq!(name(address), Err(malformed("an address for a server name")));
        }
    }

    #[test]
    fn protocols_and_versions() {
        let message = with(&[
            extension(0x2a2a, &[]),
            extension(ALPN, &list16(b"\x02h2\x02\x0a\x0a\x08http/1.1")),
            extension(SUPPORTED_VERSIONS, &list8(&[0x8a, 0x8a, 3, 4, 3, 3, 0x0a, 0x1a])),
        ]);
        let hello = hello(&record(&message));
        assert_eq!(hello.alpn, [&b"h2"[..], b"\x0a\x0a", b"http/1.1"]);
        assert_eq!(hello.versions, [0x0304, 0x0303, 0x0a1a]);
        for (kind, data) in [
            (ALPN, &[][..]),
            (ALPN, &[0, 0]),
            (ALPN, &[0, 1, 0]),
            (ALPN, &[0, 2, 2, 1]),
            (ALPN, &[0, 2, 1, 1, 0]),
            (SUPPORTED_VERSIONS, &[]),
            (SUPPORTED_VERSIONS, &[0]),
            (SUPPORTED_VERSIONS, &[3, 3, 4, 3]),
            (SUPPORTED_VERSIONS, &[2, 3, 4, 3]),
            (SUPPORTED_VERSIONS, &[4, 3, 4]),
        ] {
            let list = if kind == ALPN { "a list of protocols" } else { "a list of versions" };
            assert_eq!(rule(&with(&[extension(kind, data)])), list, "{data:?}");
        }
        for kind in [ALPN, SUPPORTED_VERSIONS] {
            let good = extension(kind, if kind == ALPN { &[0, 2, 1, 1] } else { &[2, 3, 4] });
            assert_eq!(rule(&with(&[good.clone(), good])), "an extension that comes twice");
        }
    }

    #[test]
    fn sizes_are_bounded_before_the_octets_have_come() {
        let padded = |padding: usize| with(&[extension(21, &vec![0; padding])]);
        let room = MAX_HELLO - padded(0).len();
        assert_eq!(hello(&record(&padded(room))).versions, [0x0303]);
        let large = padded(room + 1);
        assert_eq!(refused(&record(&large[..4])), Refusal::TooLarge, "its length says so");
        let cut = |size: usize| -> Vec<u8> { padded(room).chunks(size).flat_map(record).collect() };
        let octets = cut(6);
        assert!(matches!(HelloReader::new().read(&octets), Progress::Hello(_)));
        let octets = cut(4);
        assert!(octets.len() > MAX_OCTETS);
        assert_eq!(HelloReader::new().read(&octets), Progress::Refused(Refusal::TooLarge));
        assert_eq!(HelloReader::new().read(&octets[..MAX_OCTETS - 1]), Progress::NeedMore);
        let mut reader = HelloReader::new();
        assert_eq!(reader.read(&octets[..MAX_OCTETS - 1]), Progress::NeedMore);
        assert_eq!(reader.read(&octets[..MAX_OCTETS]), Progress::Refused(Refusal::TooLarge));
    }
}
