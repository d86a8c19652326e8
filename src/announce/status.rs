//! What there is to know of one prefix.

use std::time::Duration;

use ipnet::IpNet;

use super::level::Level;
use super::penalty::Penalty;
use super::reason::Reason;
use super::record::PrefixRecord;
use crate::reactor::Time;

/// One prefix and what was decided for it.
#[derive(Clone, Debug, PartialEq)]
pub struct PrefixStatus {
    /// The prefix, without host bits.
    pub prefix: IpNet,
    /// What the neighbours hear of it.
    pub level: Level,
    /// Why.
    pub reason: Reason,
    /// Since when it is at this level. The reason may be younger.
    pub since: Time,
    /// The level that it would have if nothing was switched off.
    pub service_level: Level,
    /// What happens next, when no fact changes.
    pub next: Option<Next>,
    /// Until when it does not rise because it fell too often.
    pub suppressed_until: Option<Time>,
    /// How often the level has changed, also before the last restart.
    pub changes: u64,
    /// When it last did; `None`: not since the process started.
    pub last_change: Option<Time>,
    pub(super) penalty: Penalty,
}

/// The next change of a prefix's level when no fact changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Next {
    /// When.
    pub at: Time,
    /// The level then.
    pub level: Level,
    /// What comes to an end then, in words.
    pub why: &'static str,
}

impl PrefixStatus {
    /// The flap penalty now (`bgp.announce.flapsuppress`).
    pub fn penalty(&self, now: Time) -> f64 {
        self.penalty.at(now)
    }

    pub(super) fn record(&self, now: Time) -> PrefixRecord {
        let suppressed = self.suppressed_until.filter(|until| *until > now);
        PrefixRecord {
            prefix: self.prefix,
            level: self.level,
            // Far below the limit of the type, as a penalty has a ceiling.
            penalty: self.penalty(now).ceil() as u32,
            suppressed: suppressed.map(|until| whole_millis(until.since(now))),
            changes: self.changes,
        }
    }
}

fn whole_millis(time: Duration) -> Duration {
    let millis = time.as_nanos().div_ceil(1_000_000);
    Duration::from_millis(u64::try_from(millis).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_of_a_suppression_is_rounded_up() {
        for (nanos, millis) in [(0, 0), (1, 1), (1_000_000, 1), (1_000_001, 2)] {
            assert_eq!(whole_millis(Duration::from_nanos(nanos)), Duration::from_millis(millis));
        }
        assert!(whole_millis(Duration::MAX) > Duration::from_secs(1));
    }
}
