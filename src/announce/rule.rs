//! What the operator wants: on what each prefix depends, and how patient the
//! announcer is.

use std::rc::Rc;
use std::time::Duration;

use ipnet::IpNet;

use super::level::Level;

/// `bgp.announce`: what an announcement depends on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Policy {
    /// `ready`: only while the prefix can be served.
    Ready,
    /// `always`: while the process lives, as fabio does. Only what the operator
    /// switches withdraws it.
    Always,
}

/// How many targets are enough: `minhealthy=`, `shutdownbelow=` and
/// `depreferbelow=`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Minimum {
    /// That many.
    Count(u32),
    /// That share of all there are, in percent.
    Percent(u8),
}

impl Minimum {
    /// The number of targets out of `total`: a share is rounded up, and the
    /// least is 1, so that nothing is ever enough without a target.
    pub fn of(self, total: usize) -> usize {
        let count = match self {
            Minimum::Count(count) => usize::try_from(count).unwrap_or(usize::MAX),
            Minimum::Percent(percent) => {
                let parts = total.saturating_mul(usize::from(percent.min(100)));
                parts.div_ceil(100)
            }
        };
        count.max(1)
    }
}

/// `require=`: how many of a prefix's services have to be able to serve.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Require {
    /// All: the weakest decides.
    All,
    /// One is enough: the strongest decides.
    Any,
}

/// `whenempty=`: what becomes of a prefix with fewer healthy targets than
/// `minhealthy=` asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WhenEmpty {
    /// It is withdrawn: other sites serve it.
    Withdraw,
    /// It stays, for there is no other site.
    Keep,
    /// It stays for those who have no other path.
    Deprefer,
}

impl WhenEmpty {
    /// The most that is announced then.
    pub const fn level(self) -> Level {
        match self {
            WhenEmpty::Withdraw => Level::Withdrawn,
            WhenEmpty::Keep => Level::Full,
            WhenEmpty::Deprefer => Level::Depreferred,
        }
    }
}

/// `registry.whenstale`: what becomes of the prefixes while the registry cannot
/// be read for longer than `registry.staleafter`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WhenStale {
    /// They stay for those who have no other path.
    Deprefer,
    /// They are withdrawn.
    Withdraw,
}

impl WhenStale {
    /// The most that is announced then.
    pub const fn level(self) -> Level {
        match self {
            WhenStale::Deprefer => Level::Depreferred,
            WhenStale::Withdraw => Level::Withdrawn,
        }
    }
}

/// One of `bgp.anycastaddresses` with what it depends on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// The prefix. The announcer clears host bits.
    pub prefix: IpNet,
    /// `service=`; empty: it depends on the routes of its own address.
    pub services: Vec<Rc<str>>,
    /// `require=`
    pub require: Require,
    /// `minhealthy=`: fewer healthy targets cannot serve.
    pub minimum: Minimum,
    /// `shutdownbelow=`: with fewer healthy targets it is announced with
    /// GRACEFUL_SHUTDOWN.
    pub shutdown_below: Option<Minimum>,
    /// `depreferbelow=`: with fewer healthy targets it is depreferred.
    pub deprefer_below: Option<Minimum>,
    /// `whenempty=`
    pub when_empty: WhenEmpty,
}

impl Rule {
    /// What holds for a prefix of which nothing else is said: announced with
    /// one healthy target, else withdrawn.
    pub fn new(prefix: IpNet) -> Rule {
        Rule {
            prefix,
            services: Vec::new(),
            require: Require::All,
            minimum: Minimum::Count(1),
            shutdown_below: None,
            deprefer_below: None,
            when_empty: WhenEmpty::Withdraw,
        }
    }
}

/// What holds for all prefixes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// `bgp.announce`
    pub policy: Policy,
    /// `bgp.announce.holdup`: how long a prefix has to be able to serve before
    /// it rises.
    pub hold_up: Duration,
    /// `bgp.announce.flaphalflife`: in this time half of the flap penalty is
    /// forgotten; zero: there is no penalty.
    pub half_life: Duration,
    /// `bgp.announce.flapsuppress`: from this penalty on a prefix does not rise.
    pub suppress: u32,
    /// `bgp.announce.flapreuse`: below this penalty it may rise again.
    pub reuse: u32,
    /// `bgp.announce.flapmax`: the longest that it is kept from rising.
    pub max_suppress: Duration,
    /// `bgp.gracefulshutdown`: how long GRACEFUL_SHUTDOWN is announced before a
    /// planned withdrawal; zero: not at all.
    pub graceful_shutdown: Duration,
    /// `registry.whenstale`
    pub when_stale: WhenStale,
}

impl Default for Settings {
    /// The defaults of the configuration.
    fn default() -> Settings {
        Settings {
            policy: Policy::Ready,
            hold_up: Duration::from_secs(5),
            half_life: Duration::from_secs(60),
            suppress: 3_000,
            reuse: 1_000,
            max_suppress: Duration::from_secs(600),
            graceful_shutdown: Duration::ZERO,
            when_stale: WhenStale::Deprefer,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_rounded_up_and_nothing_is_never_enough() {
        for (minimum, total, needed) in [
            (Minimum::Count(2), 3, 2),
            (Minimum::Count(5), 3, 5),
            (Minimum::Count(0), 3, 1),
            (Minimum::Percent(50), 3, 2),
            (Minimum::Percent(50), 4, 2),
            (Minimum::Percent(1), 3, 1),
            (Minimum::Percent(100), 3, 3),
            (Minimum::Percent(50), 0, 1),
            (Minimum::Percent(0), 9, 1),
            (Minimum::Percent(255), 3, 3),
        ] {
            assert_eq!(minimum.of(total), needed, "{minimum:?} of {total}");
        }
        assert!(Minimum::Percent(100).of(usize::MAX) > 0, "too many to count do no harm");
    }
}
