//! Headers for targets. The longest that can come out, 446 octets, fits into
//! the smallest segment that every host takes, 536 octets, as PROXY §2 asks.

use std::fmt::Write as _;
use std::net::{IpAddr, Ipv6Addr};

use super::crc32c::crc32c;
use super::{Endpoints, SIGNATURE, tlv};

/// Most octets of a unique identifier (PROXY §2.2.5).
pub const MAX_UNIQUE_ID: usize = 128;

/// Most octets of an authority: those of a host name in text (RFC 1035 §2.3.4).
pub const MAX_AUTHORITY: usize = 253;

/// Version and command (PROXY §2.2).
const LOCAL: u8 = 0x20;
const PROXY: u8 = 0x21;

/// Family and transport (PROXY §2.2).
const UNSPECIFIED: u8 = 0x00;
const TCP4: u8 = 0x11;
const TCP6: u8 = 0x21;

/// What version 2 may say beside the addresses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Extras<'a> {
    /// The host name that the client asked for, as in its SNI (PROXY §2.2.2);
    /// left out if it is longer than [`MAX_AUTHORITY`] or empty.
    pub authority: Option<&'a str>,
    /// What names this connection to all proxies on its way (PROXY §2.2.5);
    /// left out if it is longer than [`MAX_UNIQUE_ID`].
    pub unique_id: Option<&'a [u8]>,
    /// Whether a checksum of the header goes along (PROXY §2.2.3).
    pub checksum: bool,
}

/// Both addresses in one family, which a header can have only one of.
enum Pair {
    V4([u8; 4], [u8; 4]),
    V6(Ipv6Addr, Ipv6Addr),
}

impl Pair {
    /// An IPv4 address of an IPv6 socket counts as IPv4; where just one of the
    /// two is IPv4, it is written as an IPv4-mapped address (RFC 4291
    /// §2.5.5.2).
    fn of(endpoints: &Endpoints) -> Pair {
        let (source, destination) = (endpoints.source.ip(), endpoints.destination.ip());
        match (source.to_canonical(), destination.to_canonical()) {
            (IpAddr::V4(source), IpAddr::V4(destination)) => {
                Pair::V4(source.octets(), destination.octets())
            }
            (source, destination) => Pair::V6(wide(source), wide(destination)),
        }
    }
}

fn wide(address: IpAddr) -> Ipv6Addr {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped(),
        IpAddr::V6(address) => address,
    }
}

/// Appends a header of version 1 (PROXY §2.1): the endpoints of a client, or
/// `UNKNOWN` for a connection of our own.
pub fn encode_v1(out: &mut Vec<u8>, endpoints: Option<&Endpoints>) {
    let line = match endpoints {
        None => "PROXY UNKNOWN\r\n".to_owned(),
        Some(endpoints) => {
            let mut line = String::new();
            // Writing to a string cannot fail.
            let _ = match Pair::of(endpoints) {
                Pair::V4(source, destination) => {
                    let [source, destination] = [source, destination].map(IpAddr::from);
                    write!(line, "PROXY TCP4 {source} {destination}")
                }
                Pair::V6(source, destination) => {
                    write!(line, "PROXY TCP6 {} {}", Hexadecimal(source), Hexadecimal(destination))
                }
            };
            let (from, to) = (endpoints.source.port(), endpoints.destination.port());
            let _ = write!(line, " {from} {to}\r\n");
            line
        }
    };
    out.extend_from_slice(line.as_bytes());
}

/// An IPv6 address without dots: PROXY §2.1 knows hexadecimal digits only,
/// while the usual form of an IPv4-mapped address ends in an IPv4 address.
struct Hexadecimal(Ipv6Addr);

impl std::fmt::Display for Hexadecimal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0.segments() {
            [0, 0, 0, 0, 0, 0xffff, high, low] => write!(f, "::ffff:{high:x}:{low:x}"),
            _ => self.0.fmt(f),
        }
    }
}

/// Appends a header of version 2 (PROXY §2.2): PROXY with the endpoints of a
/// client and `extras`, or LOCAL, which says nothing more, for a connection of
/// our own.
pub fn encode_v2(out: &mut Vec<u8>, endpoints: Option<&Endpoints>, extras: &Extras<'_>) {
    let mut body = Vec::new();
    let (command, family) = match endpoints {
        // PROXY §2.2: a LOCAL header has no addresses and a length of zero.
        None => (LOCAL, UNSPECIFIED),
        Some(endpoints) => {
            let family = addresses(&mut body, endpoints);
            texts(&mut body, extras);
            (PROXY, family)
        }
    };
    let checksum = extras.checksum && command == PROXY;
    if checksum {
        // PROXY §2.2.3: the field is zero while the checksum is computed.
        value(&mut body, tlv::CRC32C, &[0; 4]);
    }
    // The longest body has 430 octets.
    let length = u16::try_from(body.len()).unwrap_or(u16::MAX).to_be_bytes();
    let fixed = [&SIGNATURE[..], &[command, family], &length].concat();
    if checksum {
        let sum = crc32c(&[&fixed, &body]).to_be_bytes();
        if let Some(field) = body.last_chunk_mut() {
            *field = sum;
        }
    }
    out.extend_from_slice(&fixed);
    out.extend_from_slice(&body);
}

/// Appends the address block, and returns its family and transport.
fn addresses(body: &mut Vec<u8>, endpoints: &Endpoints) -> u8 {
    let family = match Pair::of(endpoints) {
        Pair::V4(source, destination) => {
            body.extend_from_slice(&source);
            body.extend_from_slice(&destination);
            TCP4
        }
        Pair::V6(source, destination) => {
            body.extend_from_slice(&source.octets());
            body.extend_from_slice(&destination.octets());
            TCP6
        }
    };
    body.extend_from_slice(&endpoints.source.port().to_be_bytes());
    body.extend_from_slice(&endpoints.destination.port().to_be_bytes());
    family
}

fn texts(body: &mut Vec<u8>, extras: &Extras<'_>) {
    if let Some(authority) =
        extras.authority.filter(|name| (1..=MAX_AUTHORITY).contains(&name.len()))
    {
        value(body, tlv::AUTHORITY, authority.as_bytes());
    }
    if let Some(id) = extras.unique_id.filter(|id| id.len() <= MAX_UNIQUE_ID) {
        value(body, tlv::UNIQUE_ID, id);
    }
}

/// Appends one value of at most [`MAX_AUTHORITY`] octets.
fn value(body: &mut Vec<u8>, kind: u8, value: &[u8]) {
    body.push(kind);
    body.extend_from_slice(&u16::try_from(value.len()).unwrap_or(u16::MAX).to_be_bytes());
    body.extend_from_slice(value);
}

#[cfg(test)]
mod tests {
    use super::super::tests::endpoints;
    use super::*;

    fn v1(source: &str, destination: &str) -> String {
        let mut out = Vec::new();
        encode_v1(&mut out, Some(&endpoints(source, destination)));
        String::from_utf8(out).unwrap()
    }

    fn v2(ends: Option<&Endpoints>, extras: &Extras<'_>) -> Vec<u8> {
        let mut out = Vec::new();
        encode_v2(&mut out, ends, extras);
        out
    }

    #[test]
    fn version_1_is_one_line() {
        assert_eq!(
            v1("203.0.113.7:51000", "192.0.2.1:443"),
            "PROXY TCP4 203.0.113.7 192.0.2.1 51000 443\r\n"
        );
        assert_eq!(
            v1("[2001:db8::7]:0", "[2001:db8:1::1]:65535"),
            "PROXY TCP6 2001:db8::7 2001:db8:1::1 0 65535\r\n"
        );
        let mut out = b"before".to_vec();
        encode_v1(&mut out, None);
        assert_eq!(out, b"beforePROXY UNKNOWN\r\n");
    }

    #[test]
    fn ipv4_on_an_ipv6_socket_is_ipv4_and_a_mixed_pair_is_ipv6_in_hexadecimal() {
        assert_eq!(
            v1("[::ffff:203.0.113.7]:1", "192.0.2.1:2"),
            "PROXY TCP4 203.0.113.7 192.0.2.1 1 2\r\n"
        );
        assert_eq!(
            v1("[2001:db8::7]:1", "192.0.2.1:2"),
            "PROXY TCP6 2001:db8::7 ::ffff:c000:201 1 2\r\n"
        );
        // Neither the scope of a link nor an IPv4-compatible address adds dots.
        assert_eq!(v1("[fe80::1%3]:1", "[::1.2.3.4]:2"), "PROXY TCP6 fe80::1 ::102:304 1 2\r\n");
    }

    #[test]
    fn the_longest_line_has_104_octets() {
        let longest = "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535";
        assert_eq!(v1(longest, longest).len(), 104, "PROXY §2.1");
        assert_eq!(v1("255.255.255.255:65535", "255.255.255.255:65535").len(), 56, "PROXY §2.1");
    }

    #[test]
    fn version_2_in_octets() {
        let ipv4 = endpoints("203.0.113.7:51000", "192.0.2.1:443");
        let expected = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\x00\x0c\xcb\x00\x71\x07\xc0\x00\x02\x01\
            \xc7\x38\x01\xbb";
        assert_eq!(v2(Some(&ipv4), &Extras::default()), expected);
        let mixed = endpoints("203.0.113.7:1", "[2001:db8::1]:2");
        let expected = b"\r\n\r\n\0\r\nQUIT\n\x21\x21\x00\x24\
            \0\0\0\0\0\0\0\0\0\0\xff\xff\xcb\x00\x71\x07\
            \x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x01\x00\x01\x00\x02";
        assert_eq!(v2(Some(&mixed), &Extras::default()), expected);
    }

    #[test]
    fn local_says_nothing_else() {
        let extras = Extras { authority: Some("a.example"), unique_id: Some(b"1"), checksum: true };
        assert_eq!(v2(None, &extras), b"\r\n\r\n\0\r\nQUIT\n\x20\x00\x00\x00");
    }

    #[test]
    fn extras_follow_the_addresses_and_the_checksum_covers_all() {
        let ends = endpoints("203.0.113.7:51000", "192.0.2.1:443");
        let extras =
            Extras { authority: Some("a.example"), unique_id: Some(b"id"), checksum: true };
        let header = v2(Some(&ends), &extras);
        let (before, sum) = header.split_at(header.len() - 4);
        let tail = b"\x02\x00\x09a.example\x05\x00\x02id\x03\x00\x04";
        assert!(before.ends_with(tail), "{before:?}");
        assert_eq!(&before[14..16], [0, 12 + 12 + 5 + 7]);
        assert_eq!(sum, crc32c(&[before, &[0; 4]]).to_be_bytes());
        let none = Extras { checksum: false, ..extras };
        assert!(v2(Some(&ends), &none).ends_with(b"id"));
    }

    #[test]
    fn what_is_too_long_is_left_out_and_the_longest_fits_into_every_segment() {
        let ends = endpoints("[2001:db8::7]:1", "[2001:db8::1]:2");
        let name = "x".repeat(MAX_AUTHORITY);
        let id = [7; MAX_UNIQUE_ID];
        let extras = Extras { authority: Some(&name), unique_id: Some(&id), checksum: true };
        assert_eq!(v2(Some(&ends), &extras).len(), 446);
        let (name, id) = ("x".repeat(MAX_AUTHORITY + 1), [7; MAX_UNIQUE_ID + 1]);
        let extras = Extras { authority: Some(&name), unique_id: Some(&id), checksum: false };
        assert_eq!(v2(Some(&ends), &extras).len(), 16 + 36);
        let extras = Extras { authority: Some(""), ..Extras::default() };
        assert_eq!(v2(Some(&ends), &extras).len(), 16 + 36);
    }
}
