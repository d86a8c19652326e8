//! For tests: a name server's side of the wire, written octet by octet, so that
//! it does not share the mistakes of the library.
#![allow(clippy::unwrap_used)]

use std::net::IpAddr;

pub(super) const A: u16 = 1;
pub(super) const CNAME: u16 = 5;
pub(super) const SOA: u16 = 6;
pub(super) const AAAA: u16 = 28;

/// A question, as a server reads it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Asked {
    pub(super) id: u16,
    pub(super) name: String,
    pub(super) kind: u16,
    /// The size of the answer that can be taken, if it was said.
    pub(super) edns: Option<u16>,
}

impl Asked {
    /// Reads a message without its length over TCP.
    pub(super) fn read(octets: &[u8]) -> Asked {
        let number = |at: usize| u16::from_be_bytes([octets[at], octets[at + 1]]);
        assert_eq!(number(2), 0x0100, "a question, recursion desired");
        assert_eq!((number(4), number(6), number(8)), (1, 0, 0));
        let mut at = 12;
        let mut labels = Vec::new();
        while octets[at] != 0 {
            let end = at + 1 + usize::from(octets[at]);
            labels.push(std::str::from_utf8(&octets[at + 1..end]).unwrap());
            at = end;
        }
        assert_eq!(number(at + 3), 1, "class IN");
        let rest = &octets[at + 5..];
        let edns = (number(10) == 1).then(|| {
            assert_eq!((rest.len(), &rest[..3]), (11, &[0, 0, 41][..]), "an OPT record");
            assert_eq!(rest[5..], [0; 6], "version 0, no flags, no options");
            u16::from_be_bytes([rest[3], rest[4]])
        });
        assert!(edns.is_some() || rest.is_empty());
        Asked { id: number(0), name: labels.join("."), kind: number(at + 1), edns }
    }

    /// An answer without records.
    pub(super) fn answer(&self) -> Answer {
        let question = Some((self.name.clone(), self.kind));
        Answer { id: self.id, flags: 0x8180, question, records: Default::default() }
    }

    /// An answer that the name does not exist, or that it has no such record:
    /// for so many seconds.
    pub(super) fn nothing(&self, rcode: u16, ttl: u32) -> Answer {
        self.answer().rcode(rcode).soa(ttl.saturating_add(100), ttl)
    }

    /// The addresses of the kind that was asked for.
    pub(super) fn addresses(&self, addresses: &[&str], ttl: u32) -> Answer {
        let addresses = addresses.iter().map(|text| text.parse::<IpAddr>().unwrap());
        let wanted = addresses.filter(|address| address.is_ipv4() == (self.kind == A));
        wanted.fold(self.answer(), |answer, address| answer.address(&self.name, address, ttl))
    }
}

/// An answer that is being written.
#[derive(Clone, Debug)]
pub(super) struct Answer {
    pub(super) id: u16,
    pub(super) flags: u16,
    pub(super) question: Option<(String, u16)>,
    /// Answer, authority, additional.
    pub(super) records: [Vec<Vec<u8>>; 3],
}

impl Answer {
    pub(super) fn rcode(mut self, rcode: u16) -> Answer {
        self.flags |= rcode;
        self
    }

    pub(super) fn truncated(mut self) -> Answer {
        self.flags |= 0x0200;
        self
    }

    pub(super) fn record(mut self, owner: &str, kind: u16, ttl: u32, data: &[u8]) -> Answer {
        self.records[0].push(record(owner, kind, ttl, data));
        self
    }

    pub(super) fn alias(self, owner: &str, target: &str, ttl: u32) -> Answer {
        self.record(owner, CNAME, ttl, &wire(target))
    }

    pub(super) fn address(self, owner: &str, address: IpAddr, ttl: u32) -> Answer {
        match address {
            IpAddr::V4(v4) => self.record(owner, A, ttl, &v4.octets()),
            IpAddr::V6(v6) => self.record(owner, AAAA, ttl, &v6.octets()),
        }
    }

    pub(super) fn soa(mut self, ttl: u32, minimum: u32) -> Answer {
        let numbers = [1_u32, 3600, 600, 86_400, minimum].map(u32::to_be_bytes).concat();
        let data = [wire("ns.test"), wire("admin.test"), numbers].concat();
        self.records[1].push(record("test", SOA, ttl, &data));
        self
    }

    pub(super) fn octets(&self) -> Vec<u8> {
        let counts = self.records.each_ref().map(|section| section.len() as u16);
        let questions = u16::from(self.question.is_some());
        let header = [self.id, self.flags, questions, counts[0], counts[1], counts[2]];
        let mut octets: Vec<u8> = header.into_iter().flat_map(u16::to_be_bytes).collect();
        if let Some((name, kind)) = &self.question {
            octets.extend(wire(name));
            octets.extend(kind.to_be_bytes());
            octets.extend([0, 1]);
        }
        octets.extend(self.records.concat().concat());
        octets
    }

    /// The same with its length, for TCP.
    pub(super) fn stream(&self) -> Vec<u8> {
        let octets = self.octets();
        [&(octets.len() as u16).to_be_bytes()[..], &octets].concat()
    }
}

pub(super) fn wire(name: &str) -> Vec<u8> {
    let labels =
        name.split('.').flat_map(|label| [&[label.len() as u8], label.as_bytes()].concat());
    labels.chain([0]).collect()
}

fn record(owner: &str, kind: u16, ttl: u32, data: &[u8]) -> Vec<u8> {
    let head = [kind.to_be_bytes(), [0, 1]].concat();
    let length = (data.len() as u16).to_be_bytes();
    [&wire(owner)[..], &head, &ttl.to_be_bytes(), &length, data].concat()
}
