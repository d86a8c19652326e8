//! Seeded values for tests: messages that this speaker could send.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use super::as_path::{AsPath, AsPathSegment, SegmentKind};
use super::attribute::{Attributes, Origin, PartialSet, UnknownAttribute};
use super::prefix::Family;
use crate::reactor::random::Random;

/// Makes values of messages: the same seed gives the same ones.
pub(super) struct Generator(Random);

impl Generator {
    pub(super) fn new(seed: u64) -> Generator {
        Generator(Random::new(seed))
    }

    pub(super) fn next(&mut self) -> u64 {
        self.0.next_u64()
    }

    /// A number below `limit`.
    pub(super) fn below(&mut self, limit: u64) -> u64 {
        self.0.below(limit)
    }

    pub(super) fn octet(&mut self) -> u8 {
        self.below(256) as u8
    }

    fn u32(&mut self) -> u32 {
        self.next() as u32
    }

    fn chance(&mut self) -> bool {
        self.below(2) == 0
    }

    fn maybe<T>(&mut self, value: impl FnOnce(&mut Generator) -> T) -> Option<T> {
        self.chance().then(|| value(self))
    }

    fn list<T>(&mut self, longest: u64, mut value: impl FnMut(&mut Generator) -> T) -> Vec<T> {
        let count = if self.chance() { 0 } else { self.below(longest + 1) };
        (0..count).map(|_| value(self)).collect()
    }

    /// An AS number that is neither 0 nor AS_TRANS, as often small as large.
    fn asn(&mut self) -> u32 {
        let asn = if self.chance() { self.below(23456) } else { self.below(1 << 32) } as u32;
        if asn == 0 || asn == 23456 { 1 } else { asn }
    }

    fn address(&mut self) -> Ipv4Addr {
        Ipv4Addr::from(self.u32())
    }

    fn as_path(&mut self) -> AsPath {
        let segments = self.list(4, |generator| AsPathSegment {
            kind: if generator.chance() { SegmentKind::Set } else { SegmentKind::Sequence },
            asns: {
                let count = 1 + generator.below(5);
                (0..count).map(|_| generator.asn()).collect()
            },
        });
        // Two sequences side by side are joined where paths are merged.
        let mut path = AsPath { segments };
        path.segments.dedup_by_key(|segment| segment.kind);
        path
    }

    /// Attributes of a route to an internal neighbour, with an IPv6 next hop.
    pub(super) fn attributes(&mut self) -> Attributes {
        Attributes {
            origin: [Origin::Igp, Origin::Egp, Origin::Incomplete][self.below(3) as usize],
            as_path: self.as_path(),
            next_hop: Some(IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1))),
            link_local_next_hop: self.maybe(|_| Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1)),
            med: self.maybe(Generator::u32),
            local_pref: Some(self.u32()),
            atomic_aggregate: self.chance(),
            aggregator: self.maybe(|generator| (generator.asn(), generator.address())),
            communities: self.list(80, Generator::u32),
            originator_id: self.maybe(Generator::address),
            cluster_list: self.list(4, Generator::address),
            extended_communities: self.list(4, |generator| generator.next().to_be_bytes()),
            large_communities: self
                .list(30, |generator| [generator.u32(), generator.u32(), generator.u32()]),
            only_to_customer: self.maybe(Generator::asn),
            unknown: {
                let value = self.list(300, Generator::octet);
                self.maybe(|_| UnknownAttribute { flags: 0xe0, code: 99, value })
                    .into_iter()
                    .collect()
            },
            partial: PartialSet::default(),
        }
    }

    /// Unicast prefixes of a family with path identifiers, or with 0 without add-path.
    pub(super) fn prefixes(
        &mut self,
        family: Family,
        longest: u64,
        add_path: bool,
    ) -> Vec<(u32, IpNet)> {
        (0..=self.below(longest))
            .map(|_| {
                let path_id = if add_path { self.u32() } else { 0 };
                (path_id, self.prefix(family))
            })
            .collect()
    }

    fn prefix(&mut self, family: Family) -> IpNet {
        let high = u128::from(self.next());
        let low = u128::from(self.next());
        let prefix = match family {
            Family::Ipv4Unicast => {
                let bits = self.below(33) as u8;
                IpNet::V4(Ipv4Net::new(Ipv4Addr::from(self.u32() >> 1), bits).unwrap())
            }
            Family::Ipv6Unicast => {
                let bits = self.below(129) as u8;
                IpNet::V6(Ipv6Net::new(Ipv6Addr::from((high << 75 | low) >> 1), bits).unwrap())
            }
        };
        prefix.trunc()
    }
}
