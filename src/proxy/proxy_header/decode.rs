//! Headers of clients. [`decode`] looks at the first octets of a connection,
//! all that have come so far, and consumes none: whoever calls it keeps them
//! until it is answered with something else than [`Decoded::NeedMore`].

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::crc32c::crc32c;
use super::{Endpoints, FIXED_V2, MAX_UNIQUE_ID, PREFIX, SIGNATURE, Version, tlv};
use crate::proxy::octets::Octets;

/// Most octets of a header of version 1, with the end of its line (PROXY §2.1).
pub const MAX_V1: usize = 107;

/// Most octets of a header of version 2. PROXY §2 wants each to fit into 536
/// octets, but some senders add what they know of the client's TLS, up to its
/// certificate; the field for the length would allow 64 KiB.
pub const MAX_V2: usize = 4096;

/// What the first octets of a connection are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decoded<'a> {
    /// Perhaps the beginning of a header: never more than [`MAX_V2`] octets.
    NeedMore,
    /// A whole header.
    Header(Header<'a>),
    /// Something else than a header.
    Absent,
    /// What begins as a header and is none.
    Malformed(Malformed),
}

/// A header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header<'a> {
    /// Its octets; what follows belongs to the client.
    pub length: usize,
    /// Its format.
    pub version: Version,
    /// The ends of the client's connection, an IPv4 address as such even where
    /// it came as an IPv4-mapped one. `None` where the connection's own ends
    /// are to be used: LOCAL, UNKNOWN, or another transport than TCP.
    pub endpoints: Option<Endpoints>,
    /// The host name that the client asked for (PROXY §2.2.2), whatever its
    /// octets are.
    pub authority: Option<&'a [u8]>,
    /// What names the connection (PROXY §2.2.5), at most 128 octets.
    pub unique_id: Option<&'a [u8]>,
}

/// Why the beginning of a header is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Malformed {
    /// No CR LF in the first [`MAX_V1`] octets (PROXY §2.1).
    EndlessLine,
    /// A CR without a LF, or a LF without a CR (PROXY §2.1).
    LoneLineBreak,
    /// A line that is not `PROXY`, family, two addresses and two ports with
    /// one space between each (PROXY §2.1).
    Line,
    /// An address that is none of the family (PROXY §2.1).
    Address,
    /// A port that is no number up to 65535 without leading zeros (PROXY §2.1).
    Port,
    /// Another version than 2 behind the signature (PROXY §2.2).
    UnknownVersion,
    /// Neither LOCAL nor PROXY (PROXY §2.2).
    UnknownCommand,
    /// A family or a transport that the specification does not know (PROXY §2.2).
    UnknownFamily,
    /// More than [`MAX_V2`] octets.
    TooLong,
    /// Fewer octets than the addresses of the family need (PROXY §2.2).
    TooShort,
    /// A value that ends behind the header, or has a length that it cannot
    /// have (PROXY §2.2).
    Value,
    /// A checksum that is not that of the header (PROXY §2.2.3).
    Checksum,
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Malformed::EndlessLine => "no end of the line within 107 octets",
            Malformed::LoneLineBreak => "a lone CR or LF in the line",
            Malformed::Line => "a line of another form",
            Malformed::Address => "an address that is none of its family",
            Malformed::Port => "a port that is none",
            Malformed::UnknownVersion => "an unknown version",
            Malformed::UnknownCommand => "an unknown command",
            Malformed::UnknownFamily => "an unknown address family or transport",
            Malformed::TooLong => "more than 4096 octets",
            Malformed::TooShort => "no room for its addresses",
            Malformed::Value => "a value of a wrong length",
            Malformed::Checksum => "a wrong checksum",
        })
    }
}

/// Says what `octets` are, the first ones of a connection. More of them change
/// no answer but [`Decoded::NeedMore`].
pub fn decode(octets: &[u8]) -> Decoded<'_> {
    let decoded = match octets.first() {
        None => Ok(None),
        Some(b'\r') if begins(octets, &SIGNATURE) => version_2(octets),
        // The space is not part of what tells version 1 from other protocols
        // (PROXY §2.2), so without it the line is malformed.
        Some(b'P') if begins(octets, b"PROXY") => version_1(octets),
        Some(_) => return Decoded::Absent,
    };
    match decoded {
        Ok(None) => Decoded::NeedMore,
        Ok(Some(header)) => Decoded::Header(header),
        Err(malformed) => Decoded::Malformed(malformed),
    }
}

/// Whether what has come is `pattern`, as far as it reaches.
fn begins(octets: &[u8], pattern: &[u8]) -> bool {
    octets.iter().zip(pattern).all(|(octet, expected)| octet == expected)
}

fn version_1(octets: &[u8]) -> Result<Option<Header<'_>>, Malformed> {
    if !begins(octets, &PREFIX) {
        return Err(Malformed::Line);
    }
    let seen = octets.get(..MAX_V1).unwrap_or(octets);
    let Some(end) = seen.iter().position(|octet| matches!(octet, b'\r' | b'\n')) else {
        return if seen.len() < MAX_V1 { Ok(None) } else { Err(Malformed::EndlessLine) };
    };
    let (line, line_break) = seen.split_at_checked(end).unwrap_or((seen, &[]));
    match line_break {
        [b'\r', b'\n', ..] => {}
        [b'\r'] if seen.len() < MAX_V1 => return Ok(None),
        [b'\r'] => return Err(Malformed::EndlessLine),
        _ => return Err(Malformed::LoneLineBreak),
    }
    let endpoints = match line.get(PREFIX.len()..).unwrap_or_default() {
        // PROXY §2.1: whatever stands behind UNKNOWN is ignored.
        b"UNKNOWN" => None,
        rest if rest.starts_with(b"UNKNOWN ") => None,
        rest => Some(fields(rest)?),
    };
    Ok(Some(Header {
        length: end.saturating_add(2),
        version: Version::V1,
        endpoints,
        authority: None,
        unique_id: None,
    }))
}

/// The line from its family on.
fn fields(rest: &[u8]) -> Result<Endpoints, Malformed> {
    let rest = str::from_utf8(rest).map_err(|_| Malformed::Line)?;
    let mut fields = rest.split(' ');
    let mut next = || fields.next().ok_or(Malformed::Line);
    let (family, source, destination) = (next()?, next()?, next()?);
    let (source_port, destination_port) = (next()?, next()?);
    if fields.next().is_some() {
        return Err(Malformed::Line);
    }
    let address = |text: &str| match family {
        "TCP4" => text.parse().map(IpAddr::V4).map_err(|_| Malformed::Address),
        // Senders that let their C library write an IPv4-mapped address put
        // dots into it, which the specification does not know.
        "TCP6" => text.parse().map(IpAddr::V6).map_err(|_| Malformed::Address),
        _ => Err(Malformed::Line),
    };
    Ok(Endpoints {
        source: end(address(source)?, port(source_port)?),
        destination: end(address(destination)?, port(destination_port)?),
    })
}

/// The standard library's numbers may have a sign and leading zeros.
fn port(text: &str) -> Result<u16, Malformed> {
    let digits = text.bytes().all(|octet| octet.is_ascii_digit());
    match text.parse() {
        Ok(port) if digits && (text == "0" || !text.starts_with('0')) => Ok(port),
        _ => Err(Malformed::Port),
    }
}

fn end(address: IpAddr, port: u16) -> SocketAddr {
    SocketAddr::new(address.to_canonical(), port)
}

/// The address families and transports of PROXY §2.2.
#[derive(Clone, Copy)]
enum Addresses {
    /// None, or none that a TCP connection can have; octets to skip where the
    /// specification gives their number.
    Other(Option<usize>),
    Tcp4,
    Tcp6,
}

fn version_2(octets: &[u8]) -> Result<Option<Header<'_>>, Malformed> {
    // What is wrong is said as soon as it is there, because PROXY §2.1
    // recommends that the sender learns of it soon.
    let mut rest = Octets::new(octets);
    let Some(_) = rest.take(SIGNATURE.len()) else { return Ok(None) };
    let Some(command) = rest.u8() else { return Ok(None) };
    if command >> 4 != 2 {
        return Err(Malformed::UnknownVersion);
    }
    let local = match command & 0xf {
        0 => true,
        1 => false,
        _ => return Err(Malformed::UnknownCommand),
    };
    let Some(family) = rest.u8() else { return Ok(None) };
    // PROXY §2.2: the family of LOCAL is ignored.
    let addresses = if local { Addresses::Other(None) } else { addresses(family)? };
    let Some(length) = rest.u16() else { return Ok(None) };
    let length = usize::from(length);
    let whole = FIXED_V2.saturating_add(length);
    let least = match addresses {
        Addresses::Other(octets) => octets.unwrap_or(0),
        Addresses::Tcp4 => 12,
        Addresses::Tcp6 => 36,
    };
    if whole > MAX_V2 {
        return Err(Malformed::TooLong);
    }
    if length < least {
        return Err(Malformed::TooShort);
    }
    let (Some(body), Some(header)) = (rest.take(length), octets.get(..whole)) else {
        return Ok(None);
    };
    let mut body = Octets::new(body);
    let endpoints = match addresses {
        Addresses::Other(None) => None,
        Addresses::Other(Some(count)) => body.take(count).and(None),
        Addresses::Tcp4 => ends::<4, Ipv4Addr>(&mut body),
        Addresses::Tcp6 => ends::<16, Ipv6Addr>(&mut body),
    };
    // Without a known family nobody knows where the values begin.
    let values = match addresses {
        Addresses::Other(None) => Values::default(),
        _ => values(header, body)?,
    };
    Ok(Some(Header {
        length: whole,
        version: Version::V2,
        endpoints,
        authority: values.authority,
        unique_id: values.unique_id,
    }))
}

/// The family in the upper four bits, the transport in the lower four.
fn addresses(octet: u8) -> Result<Addresses, Malformed> {
    match (octet >> 4, octet & 0xf) {
        (1, 1) => Ok(Addresses::Tcp4),
        (2, 1) => Ok(Addresses::Tcp6),
        // Datagrams and UNIX sockets: PROXY §2.2 lets a receiver skip them as
        // if they were unspecified.
        (1, 2) => Ok(Addresses::Other(Some(12))),
        (2, 2) => Ok(Addresses::Other(Some(36))),
        (3, 1 | 2) => Ok(Addresses::Other(Some(216))),
        (0, 0..=2) | (1..=3, 0) => Ok(Addresses::Other(None)),
        _ => Err(Malformed::UnknownFamily),
    }
}

/// Two addresses, then two ports (PROXY §2.2); `None` only where the octets
/// are too few.
fn ends<const N: usize, A: From<[u8; N]> + Into<IpAddr>>(
    body: &mut Octets<'_>,
) -> Option<Endpoints> {
    let (source, destination) = (body.array::<N>()?, body.array::<N>()?);
    let (source_port, destination_port) = (body.u16()?, body.u16()?);
    Some(Endpoints {
        source: end(A::from(source).into(), source_port),
        destination: end(A::from(destination).into(), destination_port),
    })
}

#[derive(Default)]
struct Values<'a> {
    authority: Option<&'a [u8]>,
    unique_id: Option<&'a [u8]>,
}

/// The values behind the addresses. Of two of one type the first counts.
fn values<'a>(header: &'a [u8], mut rest: Octets<'a>) -> Result<Values<'a>, Malformed> {
    let mut values = Values::default();
    while !rest.is_empty() {
        let kind = rest.u8().ok_or(Malformed::Value)?;
        let value = rest.list16().ok_or(Malformed::Value)?;
        match kind {
            tlv::AUTHORITY => values.authority = values.authority.or(Some(value)),
            tlv::UNIQUE_ID if value.len() > MAX_UNIQUE_ID => return Err(Malformed::Value),
            tlv::UNIQUE_ID => values.unique_id = values.unique_id.or(Some(value)),
            tlv::CRC32C => {
                let sum = value.try_into().map(u32::from_be_bytes).map_err(|_| Malformed::Value)?;
                // PROXY §2.2.3: computed with zeros where it stands itself.
                let behind = rest.len();
                let before = header.len().saturating_sub(behind.saturating_add(4));
                let before = header.get(..before).unwrap_or_default();
                let after = header.get(header.len().saturating_sub(behind)..).unwrap_or_default();
                if crc32c(&[before, &[0; 4], after]) != sum {
                    return Err(Malformed::Checksum);
                }
            }
            _ => {}
        }
    }
    Ok(values)
}

#[cfg(test)]
mod tests {
    use super::super::tests::endpoints;
    use super::super::{Extras, encode_v1, encode_v2};
    use super::*;

    /// What is said of `octets`; of each part of it nothing else is said.
    fn decoded(octets: &[u8]) -> Decoded<'_> {
        let whole = decode(octets);
        for length in 0..octets.len() {
            let part = decode(&octets[..length]);
            assert!(part == Decoded::NeedMore || part == whole, "{length}: {part:?} {whole:?}");
        }
        whole
    }

    fn header(octets: &[u8]) -> Header<'_> {
        match decoded(octets) {
            Decoded::Header(header) => header,
            other => panic!("{other:?}"),
        }
    }

    fn malformed(octets: &[u8]) -> Malformed {
        match decoded(octets) {
            Decoded::Malformed(malformed) => malformed,
            other => panic!("{other:?} of {octets:?}"),
        }
    }

    fn v2(command_and_family: [u8; 2], body: &[u8]) -> Vec<u8> {
        let length = u16::try_from(body.len()).unwrap().to_be_bytes();
        [&SIGNATURE[..], &command_and_family, &length, body].concat()
    }

    /// TCP over IPv4 from 203.0.113.7:51000 to 192.0.2.1:443.
    const BODY: [u8; 12] = *b"\xcb\x00\x71\x07\xc0\x00\x02\x01\xc7\x38\x01\xbb";

    #[test]
    fn version_1_lines() {
        let line = b"PROXY TCP4 203.0.113.7 192.0.2.1 51000 443\r\nGET / HTTP/1.1\r\n";
        let read = header(line);
        assert_eq!((read.length, read.version), (44, Version::V1));
        assert_eq!(read.endpoints, Some(endpoints("203.0.113.7:51000", "192.0.2.1:443")));
        let read = header(b"PROXY TCP6 2001:DB8::7 2001:db8:0:0:0:0:0:1 0 65535\r\n");
        assert_eq!(read.endpoints, Some(endpoints("[2001:db8::7]:0", "[2001:db8::1]:65535")));
        for mapped in ["::ffff:203.0.113.7", "::ffff:cb00:7107"] {
            let line = format!("PROXY TCP6 {mapped} 2001:db8::1 1 2\r\n");
            let expected = endpoints("203.0.113.7:1", "[2001:db8::1]:2");
            assert_eq!(header(line.as_bytes()).endpoints, Some(expected));
        }
    }

    #[test]
    fn what_stands_behind_unknown_is_ignored() {
        let lines: [&[u8]; 4] = [
            b"PROXY UNKNOWN\r\n",
            b"PROXY UNKNOWN \r\n",
            b"PROXY UNKNOWN 203.0.113.7 192.0.2.1 51000 443\r\n",
            b"PROXY UNKNOWN \xff\x00 any thing\r\n",
        ];
        for line in lines {
            let read = header(line);
            assert_eq!((read.length, read.endpoints), (line.len(), None));
        }
        assert_eq!(malformed(b"PROXY UNKNOWNS\r\n"), Malformed::Line);
    }

    #[test]
    fn a_line_has_at_most_107_octets() {
        let line = |spaces: usize| format!("PROXY UNKNOWN{}\r\nrest", " ".repeat(spaces));
        assert_eq!(header(line(92).as_bytes()).length, MAX_V1);
        assert_eq!(malformed(line(93).as_bytes()), Malformed::EndlessLine);
        assert_eq!(malformed("PROXY ".repeat(100).as_bytes()), Malformed::EndlessLine);
    }

    #[test]
    fn lines_that_are_none() {
        let refused = |rest: &str| malformed(format!("PROXY {rest}\r\n").as_bytes());
        for rest in [
            "",
            " ",
            "TCP4",
            "TCP5 203.0.113.7 192.0.2.1 1 2",
            "tcp4 203.0.113.7 192.0.2.1 1 2",
            " TCP4 203.0.113.7 192.0.2.1 1 2",
            "TCP4 203.0.113.7 192.0.2.1 1",
            "TCP4 203.0.113.7 192.0.2.1 1 2 ",
            "TCP4 203.0.113.7 192.0.2.1 1 2 3",
            "TCP4 203.0.113.7 192.0.2.1 1 2\u{e9} 3",
        ] {
            assert_eq!(refused(rest), Malformed::Line, "{rest}");
        }
        for (family, address) in [
            ("TCP4", ""),
            ("TCP4", "203.0.113"),
            ("TCP4", "203.0.113.07"),
            ("TCP4", "203.0.113.256"),
            ("TCP4", "2001:db8::1"),
            ("TCP6", "203.0.113.7"),
            ("TCP6", "2001:db8::1::2"),
            ("TCP6", "fe80::1%3"),
            ("TCP6", "[2001:db8::1]"),
        ] {
            let other = if family == "TCP4" { "192.0.2.1" } else { "2001:db8::9" };
            for (source, destination) in [(address, other), (other, address)] {
                let rest = format!("{family} {source} {destination} 1 2");
                assert_eq!(refused(&rest), Malformed::Address, "{rest}");
            }
        }
        for port in ["", "+1", "-1", "01", "00", "65536", "1a", "99999999999999999999"] {
            for (from, to) in [(port, "1"), ("1", port)] {
                let rest = format!("TCP4 203.0.113.7 192.0.2.1 {from} {to}");
                assert_eq!(refused(&rest), Malformed::Port, "{rest}");
            }
        }
    }

    #[test]
    fn only_cr_lf_ends_a_line() {
        assert_eq!(malformed(b"PROXY UNKNOWN\n"), Malformed::LoneLineBreak);
        assert_eq!(malformed(b"PROXY UNKNOWN \rx\r\n"), Malformed::LoneLineBreak);
        assert_eq!(malformed(b"PROXY UNKNOWN\r\r\n"), Malformed::LoneLineBreak);
        assert_eq!(decoded(b"PROXY UNKNOWN\r"), Decoded::NeedMore);
    }

    #[test]
    fn other_protocols_are_absent_headers() {
        let others: [&[u8]; 8] = [
            b"GET / HTTP/1.1\r\n",
            b"POST / HTTP/1.1\r\n",
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
            b"PROXz",
            b"\x16\x03\x01\x02\x00\x01",
            b"\r\n\r\n\0\r\nQUIX",
            b"\r\n\r\nGET",
            b"\0",
        ];
        for octets in others {
            assert_eq!(decoded(octets), Decoded::Absent, "{octets:?}");
        }
        assert_eq!(malformed(b"PROXYING"), Malformed::Line);
        for beginning in [&b""[..], b"P", b"PROXY", b"\r", b"\r\n\r\n\0\r\nQUIT\n"] {
            assert_eq!(decode(beginning), Decoded::NeedMore);
        }
    }

    #[test]
    fn version_2_headers() {
        let octets = [v2([0x21, 0x11], &BODY), b"the client's".to_vec()].concat();
        let read = header(&octets);
        assert_eq!((read.length, read.version), (28, Version::V2));
        assert_eq!(read.endpoints, Some(endpoints("203.0.113.7:51000", "192.0.2.1:443")));
        let mut body = [0; 36];
        body[10..16].copy_from_slice(&[0xff, 0xff, 203, 0, 113, 7]);
        body[16..32].copy_from_slice(&"2001:db8::1".parse::<Ipv6Addr>().unwrap().octets());
        body[32..].copy_from_slice(&[0, 1, 0, 2]);
        let octets = v2([0x21, 0x21], &body);
        let expected = endpoints("203.0.113.7:1", "[2001:db8::1]:2");
        assert_eq!(header(&octets).endpoints, Some(expected), "IPv4-mapped");
    }

    #[test]
    fn local_and_other_transports_keep_the_ends_of_the_connection() {
        for (command_and_family, body) in [
            ([0x20, 0x00], vec![]),
            // The family of LOCAL is ignored, whatever it is, and so is the block.
            ([0x20, 0x11], BODY.to_vec()),
            ([0x20, 0xff], vec![3, 0, 4, 9]),
            ([0x21, 0x00], vec![1, 2, 3]),
            ([0x21, 0x01], vec![]),
            ([0x21, 0x10], vec![]),
            ([0x21, 0x12], BODY.to_vec()),
            ([0x21, 0x22], vec![0; 36]),
            ([0x21, 0x31], vec![0; 216]),
            ([0x21, 0x32], vec![0; 216]),
        ] {
            let octets = v2(command_and_family, &body);
            let read = header(&octets);
            assert_eq!((read.length, read.endpoints), (octets.len(), None));
        }
    }

    #[test]
    fn version_2_headers_that_are_none() {
        for (octets, expected) in [
            (v2([0x11, 0x11], &BODY), Malformed::UnknownVersion),
            (v2([0x31, 0x11], &BODY), Malformed::UnknownVersion),
            (v2([0x22, 0x11], &BODY), Malformed::UnknownCommand),
            (v2([0x21, 0x13], &BODY), Malformed::UnknownFamily),
            (v2([0x21, 0x41], &BODY), Malformed::UnknownFamily),
            (v2([0x21, 0x11], &BODY[..11]), Malformed::TooShort),
            (v2([0x21, 0x12], &BODY[..11]), Malformed::TooShort),
            (v2([0x21, 0x21], &[0; 35]), Malformed::TooShort),
            (v2([0x21, 0x31], &[0; 215]), Malformed::TooShort),
            (v2([0x21, 0x11], &[&BODY[..], &[4]].concat()), Malformed::Value),
            (v2([0x21, 0x11], &[&BODY[..], &[4, 0]].concat()), Malformed::Value),
            (v2([0x21, 0x11], &[&BODY[..], &[4, 0, 2, 0]].concat()), Malformed::Value),
            (v2([0x21, 0x11], &[&BODY[..], &[3, 0, 3, 0, 0, 0]].concat()), Malformed::Value),
            (v2([0x21, 0x11], &[&BODY[..], &[3, 0, 4, 0, 0, 0, 0]].concat()), Malformed::Checksum),
        ] {
            assert_eq!(malformed(&octets), expected, "{octets:?}");
        }
        let value = |length: usize| {
            let count = u16::try_from(length).unwrap().to_be_bytes();
            v2([0x21, 0x11], &[&BODY[..], &[5], &count, &vec![1; length]].concat())
        };
        assert_eq!(header(&value(128)).unique_id, Some(&[1; 128][..]));
        assert_eq!(malformed(&value(129)), Malformed::Value, "PROXY §2.2.5");
    }

    #[test]
    fn the_length_is_bounded_before_the_octets_have_come() {
        let octets = v2([0x20, 0x00], &vec![0; MAX_V2 - FIXED_V2]);
        assert_eq!(header(&octets).length, MAX_V2);
        let octets = v2([0x20, 0x00], &vec![0; MAX_V2 - FIXED_V2 + 1]);
        assert_eq!(malformed(&octets), Malformed::TooLong);
        assert_eq!(decode(&octets[..16]), Decoded::Malformed(Malformed::TooLong));
    }

    #[test]
    fn what_is_written_is_read() {
        let extras =
            Extras { authority: Some("www.example"), unique_id: Some(&[0, 1, 2]), checksum: true };
        for (source, destination) in [
            ("203.0.113.7:51000", "192.0.2.1:443"),
            ("203.0.113.7:51000", "[2001:db8::1]:443"),
            ("[2001:db8::7]:51000", "192.0.2.1:443"),
            ("[2001:db8::7]:51000", "[2001:db8::1]:443"),
        ] {
            let ends = endpoints(source, destination);
            let mut out = Vec::new();
            encode_v1(&mut out, Some(&ends));
            assert_eq!(header(&out).endpoints, Some(ends));
            out.clear();
            encode_v2(&mut out, Some(&ends), &extras);
            let read = header(&out);
            assert_eq!((read.endpoints, read.length), (Some(ends), out.len()));
            assert_eq!(read.authority, Some(&b"www.example"[..]));
            assert_eq!(read.unique_id, Some(&[0, 1, 2][..]));
            for bit in 0..8 * (out.len() - 16) {
                let mut damaged = out.clone();
                damaged[16 + bit / 8] ^= 1 << (bit % 8);
                assert!(
                    !matches!(decode(&damaged), Decoded::Header(h) if h.endpoints != Some(ends))
                );
            }
        }
    }

    #[test]
    fn the_first_of_two_values_counts_and_strange_ones_are_skipped() {
        let body = [&BODY[..], b"\x04\0\0\xe0\0\x01x\x02\0\x01a\x02\0\x01b\x05\0\0"].concat();
        let octets = v2([0x21, 0x11], &body);
        let read = header(&octets);
        assert_eq!((read.authority, read.unique_id), (Some(&b"a"[..]), Some(&b""[..])));
    }
}
