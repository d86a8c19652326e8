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

#[cfg(test)]
mod tests {
    use super::super::testing::{self, Answer, Asked, wire};
    use super::*;

    fn name() -> Name {
        Name::parse("www.example.test").unwrap()
    }

    fn asked(record: Record) -> Asked {
        Asked::read(&question(7, &name(), record, true))
    }

    fn read(answer: &Answer, record: Record) -> Option<Reply> {
        reply(&answer.octets(), 7, &name(), record)
    }

    fn addresses(addresses: &[&str], seconds: u64) -> Option<Reply> {
        let addresses = addresses.iter().map(|text| text.parse().unwrap()).collect();
        Some(Reply::Addresses { addresses, ttl: Duration::from_secs(seconds) })
    }

    #[test]
    fn questions_are_as_the_standards_have_them() {
        let text = "www.example.test".to_owned();
        let edns = Some(1232);
        let expected = Asked { id: 7, name: text, kind: testing::A, edns };
        assert_eq!(asked(Record::A), expected);
        assert_eq!(asked(Record::Aaaa), Asked { kind: testing::AAAA, ..expected.clone() });
        let plain = Asked::read(&question(7, &name(), Record::A, false));
        assert_eq!(plain, Asked { edns: None, ..expected });
        let long = format!("{}a", "abc.".repeat(63));
        let octets = question(7, &Name::parse(&long).unwrap(), Record::A, true);
        assert_eq!(Asked::read(&octets).name, long, "the longest name fits");
    }

    #[test]
    fn addresses_are_sorted_and_each_is_there_once() {
        let answer = asked(Record::A).addresses(&["192.0.2.2", "192.0.2.1", "192.0.2.2"], 300);
        assert_eq!(read(&answer, Record::A), addresses(&["192.0.2.1", "192.0.2.2"], 300));
        let answer = asked(Record::Aaaa).addresses(&["2001:db8::2", "2001:db8::1"], 60);
        assert_eq!(read(&answer, Record::Aaaa), addresses(&["2001:db8::1", "2001:db8::2"], 60));
        let other_case =
            asked(Record::A).answer().address("WWW.Example.TEST", "192.0.2.1".parse().unwrap(), 9);
        assert_eq!(read(&other_case, Record::A), addresses(&["192.0.2.1"], 9));
    }

    #[test]
    fn no_more_than_a_bounded_number_is_taken() {
        let many: Vec<String> = (0..100).map(|n| format!("192.0.2.{n}")).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        let answer = read(&asked(Record::A).addresses(&many, 60), Record::A);
        let Some(Reply::Addresses { addresses, .. }) = answer else { panic!("{answer:?}") };
        assert_eq!(addresses.len(), MAX_ADDRESSES);
        let answer = asked(Record::A).addresses(&["192.0.2.1"; 257], 60);
        let answer = read(&answer, Record::A);
        assert!(matches!(&answer, Some(Reply::Failed(text)) if text.contains("too many")));
    }

    #[test]
    fn addresses_that_lead_nowhere_are_left_out() {
        let none = ["0.0.0.0", "255.255.255.255", "224.0.0.1"];
        let answer = asked(Record::A).addresses(&none, 60);
        assert_eq!(read(&answer, Record::A), Some(Reply::NoAddress(None)));
        let some = ["::", "fe80::1", "ff02::1", "::ffff:192.0.2.1", "2001:db8::1"];
        let answer = asked(Record::Aaaa).addresses(&some, 60);
        assert_eq!(read(&answer, Record::Aaaa), addresses(&["192.0.2.1", "2001:db8::1"], 60));
    }

    #[test]
    fn aliases_are_followed_in_any_order_and_the_least_time_holds() {
        let address = "192.0.2.1".parse().unwrap();
        let answer = asked(Record::A)
            .answer()
            .address("other.test", "192.0.2.9".parse().unwrap(), 1)
            .address("c.test", address, 300)
            .alias("b.test", "c.test", 20)
            .alias("www.example.test", "b.test", 60);
        assert_eq!(read(&answer, Record::A), addresses(&["192.0.2.1"], 20));
        let dangling = asked(Record::A).answer().alias("www.example.test", "b.test", 60);
        assert_eq!(read(&dangling, Record::A), Some(Reply::NoAddress(None)));
    }

    #[test]
    fn aliases_come_to_an_end() {
        let chain = |length: usize| {
            let owner = |n: usize| match n {
                0 => "www.example.test".to_owned(),
                n => format!("n{n}.test"),
            };
            let answer = (0..length)
                .fold(asked(Record::A).answer(), |a, n| a.alias(&owner(n), &owner(n + 1), 60));
            answer.address(&owner(length), "192.0.2.1".parse().unwrap(), 60)
        };
        assert_eq!(read(&chain(16), Record::A), addresses(&["192.0.2.1"], 60));
        let circle = asked(Record::A).answer().alias("www.example.test", "b.test", 60).alias(
            "b.test",
            "www.example.test",
            60,
        );
        let itself = asked(Record::A).answer().alias("www.example.test", "www.example.test", 60);
        for answer in [chain(17), circle, itself] {
            let answer = read(&answer, Record::A);
            assert!(matches!(&answer, Some(Reply::Failed(text)) if text.contains("no sense")));
        }
    }

    #[test]
    fn what_does_not_exist_holds_for_as_long_as_the_zone_says() {
        let seconds = |n| Some(Duration::from_secs(n));
        let answer = asked(Record::A).nothing(3, 30);
        assert_eq!(read(&answer, Record::A), Some(Reply::NoSuchName(seconds(30))));
        let answer = asked(Record::A).answer().soa(10, 30);
        assert_eq!(read(&answer, Record::A), Some(Reply::NoAddress(seconds(10))));
        let answer = asked(Record::A).answer().rcode(3);
        assert_eq!(read(&answer, Record::A), Some(Reply::NoSuchName(None)));
        // RFC 6604 §3: the name at the end of the alias does not exist.
        let answer =
            asked(Record::A).answer().rcode(3).alias("www.example.test", "b.test", 5).soa(60, 60);
        assert_eq!(read(&answer, Record::A), Some(Reply::NoSuchName(seconds(5))));
    }

    #[test]
    fn an_answer_to_something_else_is_none() {
        let good = asked(Record::A).addresses(&["192.0.2.1"], 60);
        let with = |change: fn(&mut Answer)| {
            let mut answer = good.clone();
            change(&mut answer);
            read(&answer, Record::A)
        };
        assert!(with(|_| ()).is_some());
        assert_eq!(with(|answer| answer.id = 8), None);
        assert_eq!(with(|answer| answer.flags &= 0x7fff), None, "a question");
        assert_eq!(with(|answer| answer.flags |= 0x0800), None, "another operation");
        assert_eq!(with(|answer| answer.question = None), None);
        assert_eq!(with(|a| a.question = Some(("b.test".into(), testing::A))), None);
        assert_eq!(with(|a| a.question = Some(("www.example.test".into(), 28))), None);
        assert_eq!(reply(&good.octets(), 7, &name(), Record::Aaaa), None);
        let mut chaos = good.octets();
        chaos[12 + wire("www.example.test").len() + 3] = 3;
        assert_eq!(reply(&chaos, 7, &name(), Record::A), None, "another class");
        for length in 0..12 + wire("www.example.test").len() + 4 {
            assert_eq!(reply(&good.octets()[..length], 7, &name(), Record::A), None);
        }
    }

    #[test]
    fn half_an_answer_is_told_from_nonsense() {
        let good = asked(Record::A).addresses(&["192.0.2.1"], 60);
        assert_eq!(read(&good.clone().truncated(), Record::A), Some(Reply::Truncated));
        let octets = good.octets();
        for length in 12 + wire("www.example.test").len() + 4..octets.len() {
            let answer = reply(&octets[..length], 7, &name(), Record::A);
            assert!(matches!(answer, Some(Reply::Failed(_))), "{length}: {answer:?}");
        }
        let short =
            asked(Record::A).answer().record("www.example.test", testing::A, 60, &[1, 2, 3]);
        assert!(matches!(read(&short, Record::A), Some(Reply::Failed(_))));
    }

    #[test]
    fn names_may_be_compressed_and_circles_are_none() {
        let mut octets = asked(Record::A).answer().octets();
        octets[7] = 1;
        let record =
            |pointer: u8| [0xc0, pointer, 0, 1, 0, 1, 0, 0, 0, 9, 0, 4, 192, 0, 2, 1].to_vec();
        let good = [octets.clone(), record(12)].concat();
        assert_eq!(reply(&good, 7, &name(), Record::A), addresses(&["192.0.2.1"], 9));
        let itself = u8::try_from(octets.len()).unwrap();
        let circle = [octets, record(itself)].concat();
        assert!(matches!(reply(&circle, 7, &name(), Record::A), Some(Reply::Failed(_))));
    }

    #[test]
    fn errors_of_servers_are_told_apart() {
        for (rcode, text) in [(2, "SERVFAIL"), (5, "REFUSED"), (9, "NOTAUTH")] {
            let answer = read(&asked(Record::A).answer().rcode(rcode), Record::A);
            assert_eq!(answer, Some(Reply::Failed(format!("the server says {text}"))));
        }
        for rcode in [1, 4] {
            let mut answer = asked(Record::A).answer().rcode(rcode);
            assert_eq!(read(&answer, Record::A), Some(Reply::NotUnderstood));
            answer.question = None;
            assert_eq!(read(&answer, Record::A), Some(Reply::NotUnderstood));
        }
    }
}
