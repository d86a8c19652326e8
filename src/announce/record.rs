//! What outlives the process, in a small file: so that a process that crashes
//! again and again does not flap its routes, an operator's drain survives a
//! restart, and an address that we added is known to be ours.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use ipnet::IpNet;

use super::level::Level;
use super::operator::Drains;

/// The first line: what the file is, and the version of its form.
const HEAD: &str = "burgee-announcements 1";

/// The last line, without which the rest is missing.
const END: &str = "end";

/// Most octets of a record that are worth reading: some ten thousand prefixes.
pub const LENGTH_LIMIT: usize = 1 << 20;

/// Whose record it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity {
    /// `bgp.routerid`
    pub router_id: Ipv4Addr,
    /// `bgp.asn`
    pub asn: u32,
}

/// One prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PrefixRecord {
    /// The prefix.
    pub prefix: IpNet,
    /// What the neighbours were told last.
    pub level: Level,
    /// The flap penalty when the record was made, rounded up.
    pub penalty: u32,
    /// How much longer it was going to be suppressed, in whole milliseconds
    /// rounded up.
    pub suppressed: Option<Duration>,
    /// How often its level has changed.
    pub changes: u64,
}

/// An address that we added to an interface of this host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Vip {
    /// The address.
    pub address: IpAddr,
    /// The interface's name, without blanks.
    pub interface: String,
}

/// The content of the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Whether the process has ended as planned; while it runs it has not.
    pub clean: bool,
    /// The wall clock when it was made: time since the Unix epoch, in whole
    /// milliseconds.
    pub written: Duration,
    /// Whose it is.
    pub identity: Identity,
    /// What the operator has withdrawn.
    pub drains: Drains,
    /// [`Announcer::record`](super::Announcer::record)
    pub prefixes: Vec<PrefixRecord>,
    /// The addresses that are to be removed again.
    pub vips: Vec<Vip>,
}

/// A record that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordError {
    /// The line, from 1.
    pub line: usize,
    /// What was expected there.
    pub expected: &'static str,
}

impl fmt::Display for RecordError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: expected {}", self.line, self.expected)
    }
}

impl Record {
    /// Whether both say the same, whenever they were made: then the later one
    /// need not be written. (A penalty that only decays is no news.)
    pub fn says_the_same_as(&self, other: &Record) -> bool {
        let news = |record: &Record| {
            let of = |p: &PrefixRecord| (p.prefix, p.level, p.suppressed.is_some(), p.changes);
            record.prefixes.iter().map(of).collect::<Vec<_>>()
        };
        self.clean == other.clean
            && self.identity == other.identity
            && self.drains == other.drains
            && self.vips == other.vips
            && news(self) == news(other)
    }

    /// Reads the text that [`Display`](fmt::Display) makes.
    ///
    /// # Errors
    /// The first line that is not understood. A record is believed as a whole or
    /// not at all.
    pub fn parse(text: &str) -> Result<Record, RecordError> {
        if text.len() > LENGTH_LIMIT {
            return Err(RecordError { line: 1, expected: "no more than 1 MiB" });
        }
        let mut lines = Lines { line: 0, rest: text.lines() };
        lines.next("burgee-announcements 1", |line| (line == HEAD).then_some(()))?;
        let mut record = Record {
            clean: lines.next("clean yes|no", |line| match line {
                "clean yes" => Some(true),
                "clean no" => Some(false),
                _ => None,
            })?,
            written: lines.next("written MILLISECONDS", |line| {
                line.strip_prefix("written ")?.parse().ok().map(Duration::from_millis)
            })?,
            identity: lines.next("speaker ROUTER-ID AS", speaker)?,
            drains: Drains::default(),
            prefixes: Vec::new(),
            vips: Vec::new(),
        };
        let items = "drained all|PREFIX, prefix PREFIX ..., vip ADDRESS INTERFACE, or end";
        while lines.next(items, |line| item(&mut record, line))? == Item::OneMore {}
        match lines.rest.next() {
            None => Ok(record),
            Some(_) => Err(RecordError { line: lines.line.saturating_add(1), expected: "nothing" }),
        }
    }
}

/// The lines of a record, counted.
struct Lines<'a> {
    line: usize,
    rest: std::str::Lines<'a>,
}

impl<'a> Lines<'a> {
    fn next<T>(
        &mut self,
        expected: &'static str,
        read: impl FnOnce(&'a str) -> Option<T>,
    ) -> Result<T, RecordError> {
        self.line = self.line.saturating_add(1);
        self.rest.next().and_then(read).ok_or(RecordError { line: self.line, expected })
    }
}

fn speaker(line: &str) -> Option<Identity> {
    let (router_id, asn) = line.strip_prefix("speaker ")?.split_once(' ')?;
    Some(Identity { router_id: router_id.parse().ok()?, asn: asn.parse().ok()? })
}

#[derive(PartialEq, Eq)]
enum Item {
    OneMore,
    End,
}

fn item(record: &mut Record, line: &str) -> Option<Item> {
    let mut words = line.split_ascii_whitespace();
    match words.next()? {
        "drained" => {
            let prefix = match words.next()? {
                "all" => None,
                prefix => Some(prefix.parse().ok()?),
            };
            record.drains.drain(prefix);
        }
        "prefix" => {
            let mut field = |name: &str| words.next()?.strip_prefix(name);
            let prefix: IpNet = field("")?.parse().ok()?;
            let level = Level::named(field("level=")?)?;
            let penalty = field("penalty=")?.parse().ok()?;
            let left = field("suppressed=")?.parse().ok().map(Duration::from_millis)?;
            let changes = field("changes=")?.parse().ok()?;
            let suppressed = (!left.is_zero()).then_some(left);
            let prefix = prefix.trunc();
            record.prefixes.push(PrefixRecord { prefix, level, penalty, suppressed, changes });
        }
        "vip" => {
            let address = words.next()?.parse().ok()?;
            let interface = words.next()?.to_owned();
            record.vips.push(Vip { address, interface });
        }
        END => return words.next().is_none().then_some(Item::End),
        _ => return None,
    }
    words.next().is_none().then_some(Item::OneMore)
}

impl fmt::Display for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Record { clean, written, identity, drains, prefixes, vips } = self;
        writeln!(f, "{HEAD}")?;
        writeln!(f, "clean {}", if *clean { "yes" } else { "no" })?;
        writeln!(f, "written {}", written.as_millis())?;
        writeln!(f, "speaker {} {}", identity.router_id, identity.asn)?;
        if drains.all {
            writeln!(f, "drained all")?;
        }
        for prefix in &drains.prefixes {
            writeln!(f, "drained {prefix}")?;
        }
        for PrefixRecord { prefix, level, penalty, suppressed, changes } in prefixes {
            let left = suppressed.unwrap_or_default().as_millis();
            writeln!(
                f,
                "prefix {prefix} level={level} penalty={penalty} suppressed={left} \
                 changes={changes}"
            )?;
        }
        for Vip { address, interface } in vips {
            writeln!(f, "vip {address} {interface}")?;
        }
        writeln!(f, "{END}")
    }
}

/// What is known of the process before this one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Restored {
    /// It did not end as planned: the first announcement has to wait for the
    /// hold-up as well.
    pub unclean: bool,
    /// What is wrong with its record, if anything.
    pub problem: Option<String>,
    /// How long ago the record was made. A clock that went back counts as no
    /// time, so that it forgives nothing.
    pub away: Duration,
    /// Its prefixes, as they were then.
    pub prefixes: Vec<PrefixRecord>,
    /// What the operator has withdrawn.
    pub drains: Drains,
    /// The addresses that it added and did not remove.
    pub vips: Vec<Vip>,
}

impl Restored {
    pub(super) fn record_of(&self, prefix: &IpNet) -> Option<&PrefixRecord> {
        self.prefixes.iter().find(|record| record.prefix == *prefix)
    }

    /// Reads the record; `None`: there is none, which is a clean start. `wall`
    /// is the wall clock now. A record that cannot be read is taken for that of a
    /// process that crashed. Of one of another speaker, which this host was before
    /// its configuration changed, neither penalties nor the end are believed.
    pub fn read(text: Option<&str>, identity: Identity, wall: Duration) -> Restored {
        let Some(text) = text else { return Restored::default() };
        match Record::parse(text) {
            Ok(record) if record.identity == identity => Restored {
                unclean: !record.clean,
                problem: None,
                away: wall.saturating_sub(record.written),
                prefixes: record.prefixes,
                drains: record.drains,
                vips: record.vips,
            },
            // An order of the operator and an address on an interface are the host's.
            Ok(Record { identity: Identity { router_id, asn }, drains, vips, .. }) => Restored {
                problem: Some(format!("it is of another speaker, {router_id} in AS {asn}")),
                drains,
                vips,
                ..Restored::default()
            },
            Err(error) => {
                Restored { unclean: true, problem: Some(error.to_string()), ..Restored::default() }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const IDENTITY: Identity = Identity { router_id: Ipv4Addr::new(203, 0, 113, 1), asn: 65_001 };

    const TEXT: &str = "\
burgee-announcements 1
clean no
written 1790000000123
speaker 203.0.113.1 65001
drained all
drained 192.0.2.11/32
drained 2001:db8::/48
prefix 192.0.2.10/32 level=full penalty=0 suppressed=0 changes=1
prefix 192.0.2.11/32 level=withdrawn penalty=3400 suppressed=106000 changes=12
vip 192.0.2.10 lo
vip 2001:db8::1 lo
end
";

    fn record() -> Record {
        let net = |text: &str| -> IpNet { text.parse().unwrap() };
        let level = Level::Full;
        let (penalty, suppressed, changes) = (0, None, 1);
        let prefix = net("192.0.2.10/32");
        let first = PrefixRecord { prefix, level, penalty, suppressed, changes };
        let second = PrefixRecord {
            prefix: net("192.0.2.11/32"),
            level: Level::Withdrawn,
            penalty: 3400,
            suppressed: Some(Duration::from_secs(106)),
            changes: 12,
        };
        let vip =
            |address: &str| Vip { address: address.parse().unwrap(), interface: "lo".to_owned() };
        let prefixes = [net("192.0.2.11/32"), net("2001:db8::/48")].into();
        Record {
            clean: false,
            written: Duration::from_millis(1_790_000_000_123),
            identity: IDENTITY,
            drains: Drains { all: true, prefixes },
            prefixes: vec![first, second],
            vips: vec![vip("192.0.2.10"), vip("2001:db8::1")],
        }
    }

    #[test]
    fn what_is_written_is_read() {
        assert_eq!(record().to_string(), TEXT);
        assert_eq!(Record::parse(TEXT), Ok(record()));
        let empty = Record {
            clean: true,
            drains: Drains::default(),
            prefixes: Vec::new(),
            vips: Vec::new(),
            ..record()
        };
        assert_eq!(Record::parse(&empty.to_string()), Ok(empty));
    }

    /// Half a record would let a part of the prefixes flap.
    #[test]
    fn a_record_that_is_not_whole_is_not_believed() {
        for end in 0..TEXT.len() - 1 {
            let text = TEXT.get(..end).unwrap();
            assert!(Record::parse(text).is_err(), "{text}");
        }
        for (line, text) in TEXT.lines().enumerate() {
            let without = TEXT.replacen(&format!("{text}\n"), "", 1);
            let optional = ["drained", "prefix", "vip"].iter().any(|word| text.starts_with(word));
            assert_eq!(Record::parse(&without).is_ok(), optional, "without line {line}");
        }
    }

    #[test]
    fn a_line_that_is_not_understood_is_named() {
        for (from, to, line) in [
            ("announcements 1", "announcements 2", 1),
            ("clean no", "clean maybe", 2),
            ("written 1", "written -1", 3),
            ("written 1", "written x1", 3),
            ("speaker 203.0.113.1", "speaker 203.0.113", 4),
            ("65001", "4294967296", 4),
            ("drained all", "drained", 5),
            ("drained all", "drained all of them", 5),
            ("192.0.2.11/32\n", "192.0.2.11/33\n", 6),
            ("level=full", "level=fuller", 8),
            ("level=full", "full", 8),
            ("penalty=0", "penalty=-1", 8),
            ("penalty=0", "penalty=99999999999", 8),
            ("suppressed=0", "suppressed=", 8),
            ("changes=1\n", "changes=1 more=2\n", 8),
            ("vip 192.0.2.10 lo", "vip 192.0.2.10", 10),
            ("vip 192.0.2.10 lo", "vap 192.0.2.10 lo", 10),
            ("end\n", "end of it\n", 12),
            ("end\n", "end\nend\n", 13),
        ] {
            let text = TEXT.replacen(from, to, 1);
            assert_ne!(text, TEXT, "{from}");
            assert_eq!(Record::parse(&text).map_err(|e| e.line), Err(line), "{to}");
        }
        let long = format!("{TEXT}{}", " ".repeat(LENGTH_LIMIT));
        assert_eq!(
            Record::parse(&long).unwrap_err().to_string(),
            "line 1: expected no more than 1 MiB"
        );
    }

    #[test]
    fn only_news_are_written() {
        let old = record();
        let changed = |change: fn(&mut Record)| {
            let mut new = old.clone();
            change(&mut new);
            !new.says_the_same_as(&old)
        };
        assert!(!changed(|_| ()));
        assert!(!changed(|r| r.written += Duration::from_secs(1)));
        assert!(!changed(|r| r.prefixes[1].penalty -= 100));
        assert!(!changed(|r| r.prefixes[1].suppressed = Some(Duration::from_secs(1))));
        assert!(changed(|r| r.clean = true));
        assert!(changed(|r| r.identity.asn += 1));
        assert!(changed(|r| r.drains.all = false));
        assert!(changed(|r| r.prefixes[0].level = Level::Depreferred));
        assert!(changed(|r| r.prefixes[0].changes += 1));
        assert!(changed(|r| r.prefixes[1].suppressed = None));
        assert!(changed(|r| r.prefixes.truncate(1)));
        assert!(changed(|r| r.vips.truncate(1)));
    }

    #[test]
    fn what_cannot_be_read_was_a_crash_and_of_another_s_only_orders_count() {
        let wall = Duration::from_millis(1_790_000_010_123);
        let read = |text: Option<&str>| Restored::read(text, IDENTITY, wall);
        assert_eq!(read(None), Restored::default());
        let restored = read(Some(TEXT));
        assert_eq!((restored.unclean, restored.away), (true, Duration::from_secs(10)));
        assert_eq!((restored.prefixes, restored.drains), (record().prefixes, record().drains));
        assert_eq!((restored.vips, restored.problem), (record().vips, None));
        assert!(!read(Some(&TEXT.replace("clean no", "clean yes"))).unclean);
        let restored = read(Some("garbage"));
        assert!(restored.unclean && restored.prefixes.is_empty());
        let problem = "line 1: expected burgee-announcements 1";
        assert_eq!(restored.problem.as_deref(), Some(problem));
        let restored = read(Some(&TEXT.replace("65001", "65002")));
        assert!(!restored.unclean && restored.prefixes.is_empty() && restored.problem.is_some());
        let kept = (restored.drains, restored.vips);
        assert_eq!(kept, (record().drains, record().vips), "a drain is a drain");
        let early = Restored::read(Some(TEXT), IDENTITY, Duration::from_secs(1));
        assert_eq!(early.away, Duration::ZERO, "the clock went back");
    }
}
