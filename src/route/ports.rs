//! The ports that `proto=tcp-dynamic` listeners serve.

use super::source::Source;

/// A port that some route serves with `tcp` targets alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DynamicPort {
    /// Its number, from 1.
    pub port: u16,
    /// Whether that holds for every route of the port, `:PORT` and each
    /// `ADDRESS:PORT`, and not only for some of them.
    pub is_all_tcp: bool,
}

/// The ports of the routes so far, in a fixed 16 KiB however many there are.
#[derive(Debug, Default)]
pub(super) struct Ports {
    /// Of a route with `tcp` targets alone, and of one with another target.
    tcp: PortSet,
    other: PortSet,
}

impl Ports {
    /// Notes a route.
    pub(super) fn note(&mut self, source: &Source, is_tcp: bool) {
        let port = match source {
            Source::Port(port) => *port,
            Source::Address(address) => address.port(),
            Source::UdpPort(_) | Source::UdpAddress(_) | Source::Host { .. } => return,
        };
        if is_tcp { self.tcp.insert(port) } else { self.other.insert(port) }
    }

    /// The ports in their order, each once.
    pub(super) fn dynamic(&self) -> Vec<DynamicPort> {
        let dynamic = |port| DynamicPort { port, is_all_tcp: !self.other.contains(port) };
        self.tcp.iter().map(dynamic).collect()
    }
}

/// A bit for each port.
#[derive(Debug, Default)]
struct PortSet(Vec<u64>);

const WORDS: usize = 1 << 10;

impl PortSet {
    fn insert(&mut self, port: u16) {
        if self.0.is_empty() {
            self.0 = vec![0; WORDS];
        }
        if let Some(word) = self.0.get_mut(usize::from(port >> 6)) {
            *word |= 1 << (port & 63);
        }
    }

    fn contains(&self, port: u16) -> bool {
        self.0.get(usize::from(port >> 6)).is_some_and(|word| word >> (port & 63) & 1 == 1)
    }

    fn iter(&self) -> impl Iterator<Item = u16> {
        let words = (0..=u16::MAX >> 6).zip(&self.0);
        words.filter(|(_, word)| **word != 0).flat_map(|(at, word)| {
            (0..64_u16).filter(move |bit| word >> bit & 1 == 1).map(move |bit| at << 6 | bit)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_port_is_kept_once_and_in_order() {
        let mut ports = Ports::default();
        assert_eq!(ports.dynamic(), []);
        for port in (1..=u16::MAX).rev().chain([80, 443]) {
            ports.note(&Source::Port(port), true);
        }
        let all: Vec<u16> = ports.dynamic().iter().map(|dynamic| dynamic.port).collect();
        assert_eq!(all, (1..=u16::MAX).collect::<Vec<u16>>());
        assert!(ports.dynamic().iter().all(|dynamic| dynamic.is_all_tcp));
    }
}
