//! What the operator has withdrawn with `burgee drain`.

use std::collections::BTreeSet;

use ipnet::IpNet;

/// The operator's switches: one for everything, and one for each prefix. A
/// prefix stays in here when it is no longer configured, so that it does not
/// come back announced.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Drains {
    /// Everything is withdrawn.
    pub all: bool,
    /// These are, whatever `all` says. Without host bits.
    pub prefixes: BTreeSet<IpNet>,
}

impl Drains {
    /// Withdraws a prefix, or everything. Returns whether that is new.
    pub fn drain(&mut self, prefix: Option<IpNet>) -> bool {
        match prefix {
            Some(prefix) => self.prefixes.insert(prefix.trunc()),
            None => !std::mem::replace(&mut self.all, true),
        }
    }

    /// Ends that for a prefix, or for all of them and for everything. Returns
    /// whether anything was withdrawn. A prefix that is resumed alone stays
    /// withdrawn while everything is.
    pub fn resume(&mut self, prefix: Option<IpNet>) -> bool {
        match prefix {
            Some(prefix) => self.prefixes.remove(&prefix.trunc()),
            None => std::mem::take(self) != Drains::default(),
        }
    }

    /// Whether the switch of this prefix is on.
    pub fn has(&self, prefix: &IpNet) -> bool {
        self.prefixes.contains(&prefix.trunc())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn net(text: &str) -> Option<IpNet> {
        Some(text.parse().unwrap())
    }

    #[test]
    fn one_prefix_or_everything() {
        let mut drains = Drains::default();
        assert!(drains.drain(net("192.0.2.1/24")));
        assert!(!drains.drain(net("192.0.2.0/24")), "the same");
        assert!(drains.has(&net("192.0.2.9/24").unwrap()) && !drains.all);
        assert!(drains.drain(None) && !drains.drain(None) && drains.all);
        assert!(drains.resume(net("192.0.2.0/24")) && !drains.resume(net("192.0.2.0/24")));
        assert!(drains.all, "a single one does not end the drain of everything");
        drains.drain(net("192.0.2.0/24"));
        assert!(drains.resume(None) && !drains.resume(None));
        assert_eq!(drains, Drains::default());
    }
}
