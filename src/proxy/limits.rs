//! How many connections a listener and a source of clients may have at a time.
//! Counters only: whoever accepts connections asks, and says when one is gone.
//! (How many a service may have is for those who pick targets.)
//!
//! A [`Permit`] is what one connection holds. It is got from
//! [`Limits::admit`], learns of its source when that is known, since a PROXY
//! header may come before, and is given back whole to [`Limits::leave`]. It can be neither copied nor given
//! back twice, so the counters balance as long as no permit is dropped.
//!
//! A refusal says which limit it was, and takes nothing. Counting allocates
//! nothing: all the memory there may be is asked for once.

use std::fmt;
use std::hash::{DefaultHasher, Hasher};
use std::net::IpAddr;

/// Most sources that can be told apart: 2²⁰, which take 36 MiB.
pub const MAX_SOURCES: u32 = 1 << 20;

/// How sources are told apart and limited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SourceSettings {
    /// Most connections of one source at a time; zero: any number, and none is
    /// counted.
    pub limit: u32,
    /// Leading bits of an IPv4 address that are one source, up to 32.
    pub ipv4_prefix: u8,
    /// Leading bits of an IPv6 address that are one source, up to 128. One
    /// subscriber has at least 64 bits to himself (RFC 6177 §2), so a single
    /// address means nothing.
    pub ipv6_prefix: u8,
    /// Most sources that are counted at the same time, up to [`MAX_SOURCES`];
    /// each takes 36 octets. While they are all in use, further sources are
    /// served without being counted: to refuse them would let whoever has many
    /// addresses keep everybody else out. As a source is forgotten with its
    /// last connection, that cannot happen where as many are allowed as there
    /// may be connections.
    pub table: u32,
}

impl Default for SourceSettings {
    fn default() -> SourceSettings {
        SourceSettings { limit: 0, ipv4_prefix: 32, ipv6_prefix: 64, table: 262_144 }
    }
}

/// What a limit is set for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// One service, over all listeners.
    Service,
    /// One source of clients, over all listeners.
    Source,
}

impl Scope {
    /// Its name in a log line.
    pub fn name(self) -> &'static str {
        match self {
            Scope::Service => "service",
            Scope::Source => "source",
        }
    }
}

/// Which limit a connection would go past.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// What it is set for.
    pub scope: Scope,
    /// How many connections it allows.
    pub limit: u32,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the limit of {} connections per {}", self.limit, self.scope.name())
    }
}

/// What happened since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LimitCounters {
    /// Connections refused at the limit of their source.
    pub source: u64,
    /// Connections whose source was not counted, because the table was full.
    pub uncounted: u64,
}

/// A listener, until it is removed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ListenerId(usize);

/// What one connection is counted as.
#[derive(Debug)]
#[must_use = "a connection that is not counted off with `Limits::leave` counts for ever"]
pub struct Permit {
    listener: Option<usize>,
    /// Its place, and in which table of sources.
    source: Option<(u32, usize)>,
}

/// The counters.
#[derive(Debug)]
pub struct Limits {
    listeners: Group,
    sources: Sources,
    /// Which table of sources it is: they differ in what a source is.
    epoch: u32,
    seed: u64,
    counters: LimitCounters,
}

impl Limits {
    /// Counters that know no listener yet. `seed` is what nobody outside knows,
    /// so that nobody can choose sources that are slow to find.
    pub fn new(sources: &SourceSettings, seed: u64) -> Limits {
        Limits {
            listeners: Group::default(),
            sources: Sources::new(sources, seed),
            epoch: 0,
            seed,
            counters: LimitCounters::default(),
        }
    }

    /// Adds a listener with a limit; zero: none.
    pub fn add_listener(&mut self, limit: u32) -> ListenerId {
        ListenerId(self.listeners.add(limit))
    }

    /// Changes a limit. Whoever is above it may stay.
    pub fn set_listener_limit(&mut self, listener: ListenerId, limit: u32) {
        self.listeners.set_limit(listener.0, limit);
    }

    /// Changes the limit of each source; whoever is above it may stay. After a
    /// limit of zero, and when a source is something else than before, only new
    /// connections are counted.
    pub fn set_sources(&mut self, settings: &SourceSettings) {
        if !self.sources.is_for(settings) {
            self.sources = Sources::new(settings, self.seed);
            self.epoch = self.epoch.wrapping_add(1);
        }
        self.sources.limit = settings.limit;
    }

    /// Forgets a listener, once its last connection has left. Another may then
    /// get its number.
    pub fn remove_listener(&mut self, listener: ListenerId) {
        self.listeners.remove(listener.0);
    }

    /// Counts a new connection at `listener`, whatever its limit: ask
    /// [`Limits::has_room`] before. One that was removed is not counted.
    pub fn admit(&mut self, listener: ListenerId) -> Permit {
        Permit { listener: self.listeners.take(listener.0), source: None }
    }

    /// Counts the connection as one from `source`, and no more as one from
    /// where it came before.
    ///
    /// # Errors
    /// The limit of the source. The permit has none then, and is still to be
    /// given back.
    pub fn admit_source(&mut self, permit: &mut Permit, source: IpAddr) -> Result<(), Refusal> {
        self.leave_source(permit.source.take());
        match self.sources.admit(source) {
            Counted::At(place) => permit.source = Some((self.epoch, place)),
            Counted::Nowhere => {}
            Counted::Full => count(&mut self.counters.uncounted),
            Counted::Refused => {
                count(&mut self.counters.source);
                return Err(Refusal { scope: Scope::Source, limit: self.sources.limit });
            }
        }
        Ok(())
    }

    /// Whether one more connection at `listener` would be admitted.
    pub fn has_room(&self, listener: ListenerId) -> bool {
        self.listeners.has_room(listener.0)
    }

    /// The connection is gone.
    pub fn leave(&mut self, permit: Permit) {
        let Permit { listener, source } = permit;
        listener.into_iter().for_each(|place| self.listeners.leave(place));
        self.leave_source(source);
    }

    fn leave_source(&mut self, source: Option<(u32, usize)>) {
        if let Some((_, place)) = source.filter(|(epoch, _)| *epoch == self.epoch) {
            self.sources.leave(place);
        }
    }

    /// How many connections a listener has.
    pub fn at_listener(&self, listener: ListenerId) -> u32 {
        self.listeners.count(listener.0)
    }

    /// How many connections the source of this address has, as far as they are
    /// counted.
    pub fn from_source(&self, address: IpAddr) -> u32 {
        self.sources.count(address)
    }

    /// How many sources have connections that are counted.
    pub fn sources(&self) -> usize {
        self.sources.used
    }

    /// What happened since the start.
    pub fn counters(&self) -> &LimitCounters {
        &self.counters
    }
}

fn count(counter: &mut u64) {
    *counter = counter.saturating_add(1);
}

/// All listeners.
#[derive(Debug, Default)]
struct Group(Vec<Member>);

#[derive(Debug)]
struct Member {
    limit: u32,
    count: u32,
    removed: bool,
}

impl Member {
    fn has_room(&self) -> bool {
        self.limit == 0 || self.count < self.limit
    }
}

impl Group {
    /// A place is used again only when nobody is counted there any more.
    fn add(&mut self, limit: u32) -> usize {
        let member = Member { limit, count: 0, removed: false };
        match self.0.iter().position(|it| it.removed && it.count == 0) {
            Some(place) => {
                if let Some(free) = self.0.get_mut(place) {
                    *free = member;
                }
                place
            }
            None => {
                self.0.push(member);
                self.0.len().saturating_sub(1)
            }
        }
    }

    fn set_limit(&mut self, place: usize, limit: u32) {
        self.0.get_mut(place).into_iter().for_each(|member| member.limit = limit);
    }

    fn remove(&mut self, place: usize) {
        self.0.get_mut(place).into_iter().for_each(|member| member.removed = true);
    }

    fn has_room(&self, place: usize) -> bool {
        self.0.get(place).is_none_or(Member::has_room)
    }

    /// Where the connection is counted.
    fn take(&mut self, place: usize) -> Option<usize> {
        let member = self.0.get_mut(place).filter(|member| !member.removed)?;
        member.count = member.count.saturating_add(1);
        Some(place)
    }

    fn leave(&mut self, place: usize) {
        if let Some(member) = self.0.get_mut(place) {
            member.count = member.count.saturating_sub(1);
        }
    }

    fn count(&self, place: usize) -> u32 {
        self.0.get(place).map_or(0, |member| member.count)
    }
}

/// A hash table of fixed size: buckets of chained entries. An entry has its
/// place as long as it counts something.
#[derive(Debug)]
struct Sources {
    limit: u32,
    ipv4_prefix: u8,
    ipv6_prefix: u8,
    table: usize,
    seed: u64,
    /// Where each chain begins. A power of two of them, at least as many as
    /// entries.
    buckets: Vec<Link>,
    entries: Vec<Entry>,
    /// The chain of entries that count nothing.
    free: Link,
    used: usize,
}

/// The place of an entry plus one; 0 is the end of a chain, so that memory of
/// zeros, which costs nothing until it is used, is an empty table.
type Link = u32;

#[derive(Clone, Copy, Debug)]
struct Entry {
    key: u128,
    count: u32,
    next: Link,
}

/// What became of a connection of a source.
enum Counted {
    /// It is counted there.
    At(usize),
    /// Nobody counts.
    Nowhere,
    /// There is no room to count it.
    Full,
    /// The limit was reached.
    Refused,
}

fn place(link: Link) -> Option<usize> {
    usize::try_from(link.checked_sub(1)?).ok()
}

fn link(place: usize) -> Link {
    u32::try_from(place).map_or(0, |place| place.saturating_add(1))
}

impl Sources {
    fn new(settings: &SourceSettings, seed: u64) -> Sources {
        let table = usize::try_from(settings.table.min(MAX_SOURCES)).unwrap_or(0);
        Sources {
            limit: settings.limit,
            ipv4_prefix: settings.ipv4_prefix.min(32),
            ipv6_prefix: settings.ipv6_prefix.min(128),
            table,
            seed,
            buckets: vec![0; table.next_power_of_two()],
            entries: Vec::with_capacity(table),
            free: 0,
            used: 0,
        }
    }

    /// Whether these settings tell sources apart in the same way.
    fn is_for(&self, settings: &SourceSettings) -> bool {
        let prefixes = (settings.ipv4_prefix.min(32), settings.ipv6_prefix.min(128));
        let table = usize::try_from(settings.table.min(MAX_SOURCES)).unwrap_or(0);
        prefixes == (self.ipv4_prefix, self.ipv6_prefix) && table == self.table
    }

    /// The leading bits that all addresses of a source have: of an IPv4 one
    /// those of its IPv4-mapped address, which no IPv6 client has.
    fn key(&self, source: IpAddr) -> u128 {
        let (bits, length) = match source.to_canonical() {
            IpAddr::V4(address) => {
                (address.to_ipv6_mapped().to_bits(), self.ipv4_prefix.saturating_add(96))
            }
            IpAddr::V6(address) => (address.to_bits(), self.ipv6_prefix),
        };
        let rest = 128_u32.saturating_sub(length.into());
        bits & u128::MAX.checked_shl(rest).unwrap_or(0)
    }

    fn bucket(&self, key: u128) -> usize {
        // SipHash, whose own key is fixed; the seed comes first instead.
        let mut hasher = DefaultHasher::new();
        hasher.write_u64(self.seed);
        hasher.write_u128(key);
        let mask = self.buckets.len().saturating_sub(1);
        usize::try_from(hasher.finish() & u64::MAX >> 32).unwrap_or(0) & mask
    }

    fn find(&self, bucket: usize, key: u128) -> Option<usize> {
        let mut at = place(self.buckets.get(bucket).copied()?)?;
        loop {
            let entry = self.entries.get(at)?;
            if entry.key == key {
                return Some(at);
            }
            at = place(entry.next)?;
        }
    }

    fn admit(&mut self, source: IpAddr) -> Counted {
        if self.limit == 0 {
            return Counted::Nowhere;
        }
        let key = self.key(source);
        let bucket = self.bucket(key);
        if let Some(at) = self.find(bucket, key) {
            let limit = self.limit;
            return match self.entries.get_mut(at).filter(|entry| entry.count < limit) {
                Some(entry) => {
                    entry.count = entry.count.saturating_add(1);
                    Counted::At(at)
                }
                None => Counted::Refused,
            };
        }
        self.insert(bucket, key).map_or(Counted::Full, Counted::At)
    }

    /// Puts a new entry at the head of its chain.
    fn insert(&mut self, bucket: usize, key: u128) -> Option<usize> {
        let next = self.buckets.get(bucket).copied()?;
        let entry = Entry { key, count: 1, next };
        let at = match place(self.free) {
            Some(at) => {
                let unused = self.entries.get_mut(at)?;
                self.free = unused.next;
                *unused = entry;
                at
            }
            None if self.entries.len() < self.table => {
                self.entries.push(entry);
                self.entries.len().saturating_sub(1)
            }
            None => return None,
        };
        *self.buckets.get_mut(bucket)? = link(at);
        self.used = self.used.saturating_add(1);
        Some(at)
    }

    fn leave(&mut self, at: usize) {
        let Some(entry) = self.entries.get_mut(at) else { return };
        entry.count = entry.count.saturating_sub(1);
        if entry.count == 0 {
            let (key, next) = (entry.key, entry.next);
            self.unlink(at, key, next);
        }
    }

    /// Takes an entry out of its chain, and puts it into that of the free ones.
    fn unlink(&mut self, at: usize, key: u128, next: Link) {
        let bucket = self.bucket(key);
        let Some(head) = self.buckets.get_mut(bucket) else { return };
        if *head == link(at) {
            *head = next;
        } else {
            let mut before = place(*head);
            while let Some(entry) = before.and_then(|before| self.entries.get_mut(before)) {
                if entry.next == link(at) {
                    entry.next = next;
                    break;
                }
                before = place(entry.next);
            }
        }
        if let Some(entry) = self.entries.get_mut(at) {
            entry.next = self.free;
            self.free = link(at);
            self.used = self.used.saturating_sub(1);
        }
    }

    fn count(&self, source: IpAddr) -> u32 {
        let key = self.key(source);
        let found = self.find(self.bucket(key), key);
        found.and_then(|at| self.entries.get(at)).map_or(0, |entry| entry.count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn limits(limit: u32, table: u32) -> Limits {
        Limits::new(&SourceSettings { limit, table, ..SourceSettings::default() }, 7)
    }

    #[test]
    fn each_refusal_names_its_limit_and_takes_nothing() {
        let mut limits = limits(3, 10);
        let listener = limits.add_listener(4);
        let client = address("192.0.2.1");
        let mut permits: Vec<Permit> = (0..4).map(|_| limits.admit(listener)).collect();
        assert!(!limits.has_room(listener));
        for permit in &mut permits[..3] {
            assert_eq!(limits.admit_source(permit, client), Ok(()));
        }
        let refusal = limits.admit_source(&mut permits[3], client);
        assert_eq!(refusal, Err(Refusal { scope: Scope::Source, limit: 3 }));
        assert_eq!(refusal.unwrap_err().to_string(), "the limit of 3 connections per source");
        let counts = |limits: &Limits| (limits.at_listener(listener), limits.from_source(client));
        assert_eq!(counts(&limits), (4, 3));
        let expected = LimitCounters { source: 1, uncounted: 0 };
        assert_eq!(*limits.counters(), expected);
        permits.into_iter().for_each(|permit| limits.leave(permit));
        assert_eq!(counts(&limits), (0, 0));
        assert_eq!(limits.sources(), 0);
    }

    #[test]
    fn zero_is_no_limit() {
        let mut limits = limits(0, 10);
        let listener = limits.add_listener(0);
        let permits: Vec<Permit> = (0..100)
            .map(|_| {
                let mut permit = limits.admit(listener);
                limits.admit_source(&mut permit, address("192.0.2.1")).unwrap();
                permit
            })
            .collect();
        assert_eq!(limits.at_listener(listener), 100);
        assert_eq!(limits.sources(), 0, "nobody counts them");
        permits.into_iter().for_each(|permit| limits.leave(permit));
        assert_eq!(limits.at_listener(listener), 0);
    }

    #[test]
    fn sources_are_prefixes() {
        for (prefixes, same, others) in [
            (
                (32, 64),
                [("192.0.2.1", "::ffff:192.0.2.1"), ("2001:db8::1", "2001:db8::ffff:0:0:9")],
                [("192.0.2.1", "192.0.2.2"), ("2001:db8::1", "2001:db8:0:1::1")],
            ),
            (
                (24, 56),
                [("192.0.2.1", "192.0.2.255"), ("2001:db8::1", "2001:db8:0:ff::1")],
                [("192.0.2.1", "192.0.3.1"), ("2001:db8::1", "2001:db8:0:100::1")],
            ),
            (
                (0, 0),
                [("192.0.2.1", "0.0.0.0"), ("2001:db8::1", "::1")],
                [("192.0.2.1", "::1"), ("::ffff:1.2.3.4", "2001:db8::1")],
            ),
            (
                (255, 255),
                [("192.0.2.1", "192.0.2.1"), ("2001:db8::1", "2001:db8::1")],
                [("192.0.2.1", "192.0.2.0"), ("2001:db8::1", "2001:db8::2")],
            ),
        ] {
            let settings = SourceSettings {
                limit: 1,
                ipv4_prefix: prefixes.0,
                ipv6_prefix: prefixes.1,
                table: 9,
            };
            let sources = Sources::new(&settings, 1);
            let keys = |(one, other)| (sources.key(address(one)), sources.key(address(other)));
            same.map(keys).iter().for_each(|(one, other)| assert_eq!(one, other));
            others.map(keys).iter().for_each(|(one, other)| assert_ne!(one, other));
        }
    }

    #[test]
    fn a_full_table_counts_no_more_sources_and_refuses_none() {
        let mut limits = limits(1, 3);
        let listener = limits.add_listener(0);
        let mut admit = |host: u8| {
            let mut permit = limits.admit(listener);
            let admitted = limits.admit_source(&mut permit, IpAddr::from([192, 0, 2, host]));
            (permit, admitted.is_ok())
        };
        let permits: Vec<(Permit, bool)> = (0..5).map(&mut admit).collect();
        assert!(permits.iter().all(|(_, admitted)| *admitted));
        let (again, admitted) = admit(4);
        assert!(admitted, "nobody counts it");
        let (refused, admitted) = admit(0);
        assert!(!admitted, "it is one of those that are counted");
        assert_eq!((limits.sources(), limits.counters().uncounted), (3, 3));
        let gone = permits.into_iter().map(|(permit, _)| permit).chain([again, refused]);
        gone.for_each(|permit| limits.leave(permit));
        assert_eq!((limits.sources(), limits.at_listener(listener)), (0, 0));
        assert_eq!(limits.sources.entries.len(), 3);
    }

    #[test]
    fn the_memory_of_sources_is_that_of_the_beginning() {
        let mut limits = limits(2, 1000);
        let listener = limits.add_listener(0);
        let before = (limits.sources.entries.as_ptr(), limits.sources.buckets.len());
        let mut random = crate::reactor::random::Random::new(3);
        let mut permits = Vec::new();
        for _ in 0..50_000 {
            if permits.len() > 800 {
                limits.leave(permits.swap_remove(random.index(permits.len())));
            }
            let mut permit = limits.admit(listener);
            let source = IpAddr::from((u128::from(random.next_u64() % 5000) << 64).to_be_bytes());
            // Two of the same source may be refused a third time.
            let _ = limits.admit_source(&mut permit, source);
            permits.push(permit);
        }
        assert_eq!((limits.sources.entries.as_ptr(), limits.sources.buckets.len()), before);
        permits.into_iter().for_each(|permit| limits.leave(permit));
        assert_eq!(limits.sources(), 0);
        assert!(limits.sources.buckets.iter().all(|bucket| *bucket == 0));
        let free = std::iter::successors(place(limits.sources.free), |at| {
            place(limits.sources.entries[*at].next)
        });
        assert_eq!(free.count(), limits.sources.entries.len());
    }

    #[test]
    fn a_source_is_exchanged() {
        let mut limits = limits(1, 10);
        let listener = limits.add_listener(0);
        let mut permit = limits.admit(listener);
        for source in ["192.0.2.1", "192.0.2.1", "192.0.2.2"] {
            limits.admit_source(&mut permit, address(source)).unwrap();
        }
        assert_eq!(limits.from_source(address("192.0.2.1")), 0);
        assert_eq!(limits.from_source(address("192.0.2.2")), 1);
        limits.leave(permit);
        assert_eq!(limits.sources(), 0);
    }

    #[test]
    fn a_limit_may_change_and_a_place_is_used_again_when_it_is_empty() {
        let mut limits = limits(1, 10);
        let listener = limits.add_listener(1);
        let permit = limits.admit(listener);
        limits.set_listener_limit(listener, 2);
        let another = limits.admit(listener);
        assert!(!limits.has_room(listener));
        limits.leave(another);
        assert!(limits.has_room(listener));
        limits.set_listener_limit(listener, 1);
        assert!(!limits.has_room(listener));
        limits.remove_listener(listener);
        let uncounted = limits.admit(listener);
        assert_eq!(limits.at_listener(listener), 1, "one that was removed");
        limits.leave(uncounted);
        assert_ne!(limits.add_listener(0), listener, "somebody is still counted there");
        limits.leave(permit);
        assert_eq!(limits.add_listener(0), listener);
        assert_eq!(limits.at_listener(listener), 0);

        let settings = SourceSettings { limit: 0, table: 10, ..SourceSettings::default() };
        limits.set_sources(&settings);
        let mut permit = limits.admit(listener);
        limits.admit_source(&mut permit, address("::1")).unwrap();
        assert_eq!(limits.sources(), 0);
        limits.leave(permit);
    }

    #[test]
    fn what_a_source_is_may_change() {
        let mut limits = limits(1, 10);
        let listener = limits.add_listener(0);
        let admit = |limits: &mut Limits, host: &str| {
            let mut permit = limits.admit(listener);
            let admitted = limits.admit_source(&mut permit, address(host)).is_ok();
            (permit, admitted)
        };
        let (old, _) = admit(&mut limits, "192.0.2.1");
        let settings =
            SourceSettings { limit: 1, ipv4_prefix: 24, table: 10, ..Default::default() };
        limits.set_sources(&settings);
        let (new, admitted) = admit(&mut limits, "192.0.2.2");
        assert!(admitted, "the old one is not counted any more");
        let (third, admitted) = admit(&mut limits, "192.0.2.3");
        assert!(!admitted, "it is of the same source");
        limits.leave(old);
        assert_eq!(limits.from_source(address("192.0.2.9")), 1, "nor when it leaves");
        limits.leave(new);
        limits.leave(third);
        assert_eq!(limits.sources(), 0);
    }
}
