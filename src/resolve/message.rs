//! Questions and answers as octets (RFC 1035 §4), by way of the one file that
//! uses the library for it.
//!
//! The library reads where it is asked to, and allocates nothing; what is not
//! looked at is not decoded, and so cannot be wrong.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use domain::base::iana::{Class, Opcode, OptRcode, Rcode};
use domain::base::name::ParsedName;
use domain::base::{
    Message, MessageBuilder, Name as WireName, ParsedRecord, RecordSection, Rtype, ToName,
};
use domain::dep::octseq::Array;
use domain::rdata::{A, Aaaa, Cname, Soa};

use super::MAX_ADDRESSES;
use super::name::Name;

/// The longest answer over UDP that we ask for (RFC 6891 §6.2.5): it fits into
/// one packet on every path of the Internet, so that no fragment is needed,
/// which would get lost or could be forged.
const UDP_SIZE: u16 = 1232;

/// Octets of our longest question: a header, a name of 255, type and class, an
/// OPT record (RFC 6891 §6.1.2) of 11.
const QUESTION_SIZE: usize = 512;

/// Most records that an answer may have, several times [`MAX_ADDRESSES`]: all
/// of them are walked over in one turn, once for each alias.
const MAX_RECORDS: u32 = 256;

/// Most aliases that are followed one after the other; servers give up earlier.
const MAX_ALIASES: usize = 16;

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Record {
    /// IPv4 addresses (RFC 1035 §3.4.1).
    A,
    /// IPv6 addresses (RFC 3596 §2.1).
    Aaaa,
}

impl Record {
    const fn rtype(self) -> Rtype {
        match self {
            Record::A => Rtype::A,
            Record::Aaaa => Rtype::AAAA,
        }
    }
}

/// What a server said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// The name has addresses: at least one, sorted, each once.
    Addresses {
        /// At most [`MAX_ADDRESSES`].
        addresses: Vec<IpAddr>,
        /// How long they hold: the least of all records on the way to them.
        ttl: Duration,
    },
    /// There is no such name (NXDOMAIN), and for how long that holds (RFC 2308
    /// §5), if the server says so.
    NoSuchName(Option<Duration>),
    /// The name has no address of this kind (NODATA, RFC 2308 §2.2).
    NoAddress(Option<Duration>),
    /// The whole answer did not fit (TC).
    Truncated,
    /// The server did not understand the question.
    NotUnderstood,
    /// The server cannot or will not answer: why, in words.
    Failed(String),
}

/// A question for the addresses of `name`. With `edns`, it says that a longer
/// answer than 512 octets can be taken.
pub fn question(id: u16, name: &Name, record: Record, edns: bool) -> Vec<u8> {
    // Nothing of this can fail, because a name has at most 255 octets.
    build(id, name, record, edns).map(|octets| octets.as_slice().to_vec()).unwrap_or_default()
}

fn build(id: u16, name: &Name, record: Record, edns: bool) -> Option<Array<QUESTION_SIZE>> {
    let mut builder = MessageBuilder::from_target(Array::<QUESTION_SIZE>::new()).ok()?;
    builder.header_mut().set_id(id);
    builder.header_mut().set_rd(true);
    let mut builder = builder.question();
    let wire = wire(name);
    builder.push((WireName::from_slice(&wire).ok()?, record.rtype())).ok()?;
    let mut builder = builder.additional();
    if edns {
        builder
            .opt(|opt| {
                opt.set_udp_payload_size(UDP_SIZE);
                Ok(())
            })
            .ok()?;
    }
    Some(builder.finish())
}

/// A name as it stands in a message.
fn wire(name: &Name) -> Vec<u8> {
    let mut wire = Vec::with_capacity(name.as_str().len().saturating_add(2));
    for label in name.labels() {
        wire.push(u8::try_from(label.len()).unwrap_or_default());
        wire.extend_from_slice(label.as_bytes());
    }
    wire.push(0);
    wire
}

/// Reads the answer to a question. `None` for what is not an answer to it:
/// another number, another question, not an answer at all (RFC 5452 §9.1). It
/// may come from somebody else, and the true one is still to come.
pub fn reply(octets: &[u8], id: u16, name: &Name, record: Record) -> Option<Reply> {
    let message = Message::from_slice(octets).ok()?;
    let header = message.header();
    if header.id() != id || !header.qr() || header.opcode() != Opcode::QUERY {
        return None;
    }
    let wire = wire(name);
    let name = WireName::from_slice(&wire).ok()?;
    let rcode = header.rcode();
    let is_error = rcode != Rcode::NOERROR && rcode != Rcode::NXDOMAIN;
    let counts = message.header_counts();
    // A server that cannot read a question cannot repeat it (RFC 6891 §7).
    let repeats_nothing = is_error && counts.qdcount() == 0;
    if !repeats_nothing && !is_question(message, name, record) {
        return None;
    }
    if rcode == Rcode::FORMERR || rcode == Rcode::NOTIMP {
        return Some(Reply::NotUnderstood);
    }
    if is_error {
        return Some(Reply::Failed(format!("the server says {rcode}")));
    }
    if header.tc() {
        return Some(Reply::Truncated);
    }
    let records = [counts.ancount(), counts.nscount(), counts.arcount()];
    if records.into_iter().map(u32::from).sum::<u32>() > MAX_RECORDS {
        return Some(Reply::Failed("an answer of too many records".to_owned()));
    }
    if message.opt_rcode() == OptRcode::BADVERS {
        return Some(Reply::NotUnderstood);
    }
    let Some(found) = follow(message, record) else {
        return Some(Reply::Failed("an answer that makes no sense".to_owned()));
    };
    let negative_ttl = || negative_ttl(message).map(|ttl| ttl.min(found.ttl));
    Some(match () {
        // After an alias it is the name at its end that does not exist
        // (RFC 6604 §3).
        () if rcode == Rcode::NXDOMAIN => Reply::NoSuchName(negative_ttl()),
        () if found.addresses.is_empty() => Reply::NoAddress(negative_ttl()),
        () => Reply::Addresses { addresses: found.addresses, ttl: found.ttl },
    })
}

fn is_question(message: &Message<[u8]>, name: &WireName<[u8]>, record: Record) -> bool {
    message.sole_question().is_ok_and(|question| {
        question.qtype() == record.rtype()
            && question.qclass() == Class::IN
            && question.qname().name_eq(name)
    })
}

struct Found {
    addresses: Vec<IpAddr>,
    ttl: Duration,
}

/// A name that stands in a message.
type Parsed<'a> = ParsedName<&'a [u8]>;

/// Follows the aliases in the answer to the addresses at their end. `None` for
/// an answer that cannot be decoded, or aliases without an end.
fn follow(message: &Message<[u8]>, record: Record) -> Option<Found> {
    let section = message.answer().ok()?;
    let mut name = message.sole_question().ok()?.into_qname();
    let mut ttl = Duration::MAX;
    for _ in 0..=MAX_ALIASES {
        let Some((target, its_ttl)) = next_alias(section, &name)? else {
            return collect(section, &name, record, ttl);
        };
        ttl = ttl.min(its_ttl);
        name = target;
    }
    None
}

/// What a name is an alias of, if it is one. The outer `None`: nonsense.
#[allow(clippy::option_option, reason = "nonsense is not the same as nothing")]
fn next_alias<'a>(
    section: RecordSection<'a, [u8]>,
    name: &Parsed<'_>,
) -> Option<Option<(Parsed<'a>, Duration)>> {
    for record in section {
        let record = record.ok()?;
        if record.rtype() == Rtype::CNAME && is_of(&record, name) {
            let record = record.to_record::<Cname<_>>().ok()??;
            let ttl = record.ttl().into_duration();
            return Some(Some((record.into_data().into_cname(), ttl)));
        }
    }
    Some(None)
}

fn is_of(record: &ParsedRecord<'_, [u8]>, name: &Parsed<'_>) -> bool {
    record.class() == Class::IN && record.owner().name_eq(name)
}

/// The addresses of a name in the answer; `ttl` is that of the aliases.
fn collect(
    section: RecordSection<'_, [u8]>,
    name: &Parsed<'_>,
    wanted: Record,
    mut ttl: Duration,
) -> Option<Found> {
    let mut addresses = Vec::new();
    for record in section {
        let record = record.ok()?;
        if record.rtype() != wanted.rtype() || !is_of(&record, name) {
            continue;
        }
        let address = match wanted {
            Record::A => record.to_record::<A>().ok()??.data().addr().into(),
            Record::Aaaa => record.to_record::<Aaaa>().ok()??.data().addr().into(),
        };
        ttl = ttl.min(record.ttl().into_duration());
        addresses.extend(usable(address));
    }
    addresses.sort_unstable();
    addresses.dedup();
    addresses.truncate(MAX_ADDRESSES);
    Some(Found { addresses, ttl })
}

/// An address that can be connected to. Filters answer with 0.0.0.0 for what
/// they block, and a connection to that would reach this machine; one on a link
/// needs a zone, which DNS does not say.
fn usable(address: IpAddr) -> Option<IpAddr> {
    let address = address.to_canonical();
    let is_unusable = match address {
        IpAddr::V4(v4) => v4 == Ipv4Addr::BROADCAST,
        IpAddr::V6(v6) => v6.is_unicast_link_local() || v6 == Ipv6Addr::UNSPECIFIED,
    };
    (!is_unusable && !address.is_unspecified() && !address.is_multicast()).then_some(address)
}

/// How long it holds that something does not exist: the lesser of the zone's
/// own word and of its record's time to live (RFC 2308 §5).
fn negative_ttl(message: &Message<[u8]>) -> Option<Duration> {
    let section = message.authority().ok()?;
    let record = section.limit_to_in::<Soa<_>>().next()?.ok()?;
    Some(record.ttl().into_duration().min(record.data().minimum().into_duration()))
}
