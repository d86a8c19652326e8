//! From whom a header is read, and what becomes of a connection without one.

use std::fmt;
use std::net::IpAddr;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use super::decode::{Decoded, Header, Malformed, decode};

/// Most prefixes in a list of trusted sources. They are looked through one by
/// one for each connection: this many in about a microsecond.
pub const MAX_TRUSTED: usize = 256;

/// Octets after which the beginning of a header is no other protocol's.
/// `PROXY` in version 1; the line breaks and the zero of version 2 are as many.
const UNMISTAKABLE: usize = 5;

/// Who may say where its connections come from: a list of prefixes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TrustedSources(Vec<IpNet>);

impl TrustedSources {
    /// Everybody, as with fabio. PROXY §2 warns of it: whoever reaches the
    /// listener may then claim any address.
    pub fn everybody() -> TrustedSources {
        TrustedSources(vec![Ipv4Net::default().into(), Ipv6Net::default().into()])
    }

    /// These prefixes, an IPv4-mapped one as the IPv4 one that it is, because
    /// that is how sources are compared. They are looked through one by one.
    pub fn new(prefixes: impl IntoIterator<Item = IpNet>) -> TrustedSources {
        TrustedSources(prefixes.into_iter().map(canonical).collect())
    }

    /// Reads addresses and prefixes with commas or blanks between them.
    ///
    /// # Errors
    /// A sentence that names the first part that is neither, or the limit of
    /// [`MAX_TRUSTED`].
    pub fn parse(text: &str) -> Result<TrustedSources, String> {
        let parts = text.split([',', ' ', '\t']).filter(|part| !part.is_empty());
        let prefixes: Vec<IpNet> = parts.map(prefix).collect::<Result<_, String>>()?;
        match prefixes.len() {
            0 => Err("expected addresses or prefixes of trusted sources".to_owned()),
            count if count > MAX_TRUSTED => {
                Err(format!("{count} trusted sources: at most {MAX_TRUSTED} are allowed"))
            }
            _ => Ok(TrustedSources::new(prefixes)),
        }
    }

    /// Whether `source` is one of them. An IPv4-mapped address counts as the
    /// IPv4 address that it is.
    pub fn contains(&self, source: IpAddr) -> bool {
        let source = source.to_canonical();
        self.0.iter().any(|prefix| prefix.contains(&source))
    }
}

/// A prefix, or an address as the prefix of itself alone.
fn prefix(text: &str) -> Result<IpNet, String> {
    let address = || text.parse::<IpAddr>().map(IpNet::from);
    text.parse().or_else(|_| address()).map_err(|_| {
        format!("{text:?} is no address or prefix such as 192.0.2.0/24 or 2001:db8::/32")
    })
}

fn canonical(prefix: IpNet) -> IpNet {
    let IpNet::V6(v6) = prefix else { return prefix };
    let mapped = v6.addr().to_ipv4_mapped().zip(v6.prefix_len().checked_sub(96));
    let narrow = mapped.and_then(|(address, length)| Ipv4Net::new(address, length).ok());
    narrow.map_or(prefix, IpNet::V4)
}

/// Whether a trusted source must send a header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// It must, and nobody else is served: what PROXY §2 asks for.
    Strict,
    /// It may; without one the connection is a plain one, as with fabio. Who
    /// is not trusted gets a plain connection, header or not.
    Lenient,
}

/// How a listener deals with headers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeaderPolicy {
    /// Whether a header must be there.
    pub mode: Mode,
    /// From whom it is believed.
    pub trusted: TrustedSources,
}

/// How a connection begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// Its first octets are to be judged.
    Header,
    /// All its octets are the client's. What may look like a header is not
    /// looked at, so that nobody waits for one.
    Plain,
    /// It is to be closed.
    Refuse(Refusal),
}

/// What becomes of a connection, for its first octets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Judgement<'a> {
    /// More of them are needed.
    NeedMore,
    /// It goes on behind the header.
    Header(Header<'a>),
    /// It goes on as a plain connection, with its first octet.
    Plain,
    /// It is to be closed.
    Refuse(Refusal),
}

/// Why a connection is to be closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// Its source may not send a header, and only those who do are served.
    Untrusted,
    /// It begins with something else than a header.
    Missing,
    /// It ended, or the time was up, before the header was whole.
    Incomplete,
    /// Its header is none.
    Malformed(Malformed),
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Refusal::Untrusted => f.write_str("not a trusted source of PROXY headers"),
            Refusal::Missing => f.write_str("no PROXY header"),
            Refusal::Incomplete => f.write_str("no whole PROXY header in time"),
            Refusal::Malformed(malformed) => write!(f, "malformed PROXY header: {malformed}"),
        }
    }
}

impl HeaderPolicy {
    /// How a connection from `source`, the other end of its socket, begins.
    pub fn start(&self, source: IpAddr) -> Start {
        match (self.trusted.contains(source), self.mode) {
            (true, _) => Start::Header,
            (false, Mode::Lenient) => Start::Plain,
            (false, Mode::Strict) => Start::Refuse(Refusal::Untrusted),
        }
    }

    /// Judges all octets that have come so far, of a connection that starts
    /// with [`Start::Header`]. A header that is broken ends the connection in
    /// both modes: whoever sent it meant to say something.
    pub fn judge<'a>(&self, octets: &'a [u8]) -> Judgement<'a> {
        match decode(octets) {
            Decoded::NeedMore => Judgement::NeedMore,
            Decoded::Header(header) => Judgement::Header(header),
            Decoded::Absent => self.without(Refusal::Missing),
            Decoded::Malformed(why) => Judgement::Refuse(Refusal::Malformed(why)),
        }
    }

    /// Judges the same octets when no more will be waited for: the time is up,
    /// or the client has ended its stream. Never [`Judgement::NeedMore`].
    ///
    /// Half a header ends the connection in both modes as soon as it can be
    /// nothing else.
    pub fn judge_last<'a>(&self, octets: &'a [u8]) -> Judgement<'a> {
        match self.judge(octets) {
            Judgement::NeedMore if octets.len() >= UNMISTAKABLE => {
                Judgement::Refuse(Refusal::Incomplete)
            }
            Judgement::NeedMore => self.without(Refusal::Incomplete),
            judgement => judgement,
        }
    }

    fn without(&self, refusal: Refusal) -> Judgement<'static> {
        match self.mode {
            Mode::Strict => Judgement::Refuse(refusal),
            Mode::Lenient => Judgement::Plain,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: &[u8] = b"PROXY TCP4 203.0.113.7 192.0.2.1 51000 443\r\nhello";

    fn policy(mode: Mode) -> HeaderPolicy {
        HeaderPolicy {
            mode,
            trusted: TrustedSources::parse("192.0.2.0/24, 2001:db8::/32").unwrap(),
        }
    }

    #[test]
    fn sources_are_prefixes_or_addresses_of_both_families() {
        let list = "192.0.2.0/24,198.51.100.7  2001:db8::/32,::ffff:10.0.0.0/104";
        let trusted = TrustedSources::parse(list).unwrap();
        for (source, expected) in [
            ("192.0.2.255", true),
            ("192.0.3.0", false),
            ("198.51.100.7", true),
            ("198.51.100.8", false),
            ("::ffff:192.0.2.1", true),
            ("::ffff:192.0.3.1", false),
            ("2001:db8:ffff::1", true),
            ("2001:db9::1", false),
            ("10.9.8.7", true),
        ] {
            assert_eq!(trusted.contains(source.parse().unwrap()), expected, "{source}");
        }
        let everybody = TrustedSources::everybody();
        let anybody = ["203.0.113.7", "2001:db8::1", "::ffff:203.0.113.7"];
        assert!(anybody.iter().all(|source| everybody.contains(source.parse().unwrap())));
        assert!(!TrustedSources::default().contains("127.0.0.1".parse().unwrap()), "nobody");
    }

    #[test]
    fn what_is_no_source_is_named() {
        for (text, part) in [
            ("192.0.2.1,proxy.example", "\"proxy.example\""),
            ("192.0.2.0/33", "\"192.0.2.0/33\""),
            (" , ", "expected"),
        ] {
            let error = TrustedSources::parse(text).unwrap_err();
            assert!(error.contains(part), "{error}");
        }
        assert!(TrustedSources::parse(&"::1,".repeat(256)).is_ok());
        assert!(TrustedSources::parse(&"::1,".repeat(257)).unwrap_err().contains("at most 256"));
    }

    #[test]
    fn others_are_refused_or_not_listened_to() {
        let (lb, other) = ("192.0.2.9".parse().unwrap(), "203.0.113.7".parse().unwrap());
        assert_eq!(policy(Mode::Strict).start(lb), Start::Header);
        assert_eq!(policy(Mode::Lenient).start(lb), Start::Header);
        assert_eq!(policy(Mode::Strict).start(other), Start::Refuse(Refusal::Untrusted));
        assert_eq!(policy(Mode::Lenient).start(other), Start::Plain);
    }

    #[test]
    fn strict_wants_a_header_and_lenient_does_not() {
        let refuse = Judgement::Refuse;
        for (octets, strict, lenient) in [
            (&b"GET /"[..], refuse(Refusal::Missing), Judgement::Plain),
            (b"", refuse(Refusal::Incomplete), Judgement::Plain),
            (b"PROX", refuse(Refusal::Incomplete), Judgement::Plain),
            (b"\r\n\r\n", refuse(Refusal::Incomplete), Judgement::Plain),
            (b"PROXY", refuse(Refusal::Incomplete), refuse(Refusal::Incomplete)),
            (b"\r\n\r\n\0", refuse(Refusal::Incomplete), refuse(Refusal::Incomplete)),
        ] {
            assert_eq!(policy(Mode::Strict).judge_last(octets), strict, "{octets:?}");
            assert_eq!(policy(Mode::Lenient).judge_last(octets), lenient, "{octets:?}");
        }
        for mode in [Mode::Strict, Mode::Lenient] {
            let policy = policy(mode);
            let malformed = Refusal::Malformed(Malformed::Line);
            assert_eq!(policy.judge(b"PROXY TCP4\r\n"), refuse(malformed));
            assert_eq!(policy.judge(b"PRO"), Judgement::NeedMore);
            assert!(matches!(policy.judge(HEADER), Judgement::Header(read) if read.length == 44));
            assert!(matches!(policy.judge_last(HEADER), Judgement::Header(_)));
        }
    }

    #[test]
    fn refusals_are_sentences() {
        assert_eq!(
            Refusal::Malformed(Malformed::Checksum).to_string(),
            "malformed PROXY header: a wrong checksum"
        );
    }
}
