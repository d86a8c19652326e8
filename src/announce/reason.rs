//! Why a prefix is at its level, in words for the operator.

use std::fmt;
use std::rc::Rc;
use std::time::Duration;

use super::facts::{ListenerFact, Maintenance};
use super::level::Level;
use super::penalty::Penalty;
use super::rule::WhenEmpty;
use crate::reactor::Time;

/// Why a prefix is at its level. Its [`Display`](fmt::Display) is what holds at
/// any time; [`Reason::at`] says also for how long.
#[derive(Clone, Debug, PartialEq)]
pub enum Reason {
    /// Nothing was decided yet.
    Starting,
    /// The process is asked to stop.
    Stopping,
    /// Everything is switched off.
    Maintenance(Maintenance),
    /// The operator withdrew this prefix.
    Drained,
    /// `bgp.announce = always`
    Always,
    /// No listener serves it.
    NoListener,
    /// Some listeners do not accept connections.
    ListenersNotBound(ListenerFact),
    /// The first route table is not there yet.
    NoTable,
    /// The level depends on targets that have not been checked yet.
    AwaitingChecks {
        /// The service, if it is one.
        service: Option<Rc<str>>,
        /// How many have not been checked.
        unknown: usize,
    },
    /// The service has no target, or does not exist.
    NoTarget {
        /// The service; `None`: all routes.
        service: Option<Rc<str>>,
        /// What follows.
        when_empty: WhenEmpty,
    },
    /// Fewer targets than `minhealthy` are healthy.
    BelowMinimum {
        /// How many.
        short: Shortage,
        /// What follows.
        when_empty: WhenEmpty,
    },
    /// Fewer than `shutdownbelow` are.
    BelowShutdown(Shortage),
    /// Fewer than `depreferbelow` are.
    BelowDeprefer(Shortage),
    /// The registry cannot be read.
    RegistryStale {
        /// When it last could.
        since: Time,
        /// Why it cannot.
        error: String,
    },
    /// It could rise, but only for a short time yet.
    HoldingUp {
        /// To this level.
        level: Level,
        /// Since then.
        since: Time,
        /// For so long it has to.
        hold_up: Duration,
    },
    /// It could rise, but fell too often.
    Suppressed {
        /// How often, so to speak.
        penalty: Penalty,
        /// Until then.
        until: Time,
    },
    /// Everything is in place.
    Ready {
        /// The targets that count.
        pools: Vec<PoolCount>,
    },
}

/// How many targets of a service are healthy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PoolCount {
    /// Its name; `None`: all routes.
    pub service: Option<Rc<str>>,
    /// Those that are healthy.
    pub healthy: usize,
    /// All there are.
    pub total: usize,
}

/// A service with too few healthy targets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shortage {
    /// Its name; `None`: all routes.
    pub service: Option<Rc<str>>,
    /// Those that are healthy.
    pub healthy: usize,
    /// All there are.
    pub total: usize,
    /// So many would be enough.
    pub needed: usize,
    /// The latest error of one of them.
    pub last_error: Option<String>,
}

impl Reason {
    /// What to say of it now.
    pub fn at(&self, now: Time) -> ReasonAt<'_> {
        ReasonAt { reason: self, now }
    }
}

/// A reason with how long it has held and will hold.
#[derive(Clone, Copy, Debug)]
pub struct ReasonAt<'a> {
    reason: &'a Reason,
    now: Time,
}

impl fmt::Display for ReasonAt<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.reason {
            Reason::HoldingUp { since, hold_up, .. } => {
                let (held, hold_up) = (Short(self.now.since(*since)), Short(*hold_up));
                write!(f, "holding up: can serve since {held} of {hold_up}")
            }
            Reason::Suppressed { penalty, until } => {
                let left = Short(until.since(self.now));
                let penalty = penalty.at(self.now);
                write!(f, "suppressed: flapped, penalty {penalty:.0}, for another {left}")
            }
            Reason::RegistryStale { since, error } => {
                let age = Short(self.now.since(*since));
                write!(f, "registry not read for {age} (last error: {error})")
            }
            other => other.fmt(f),
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Reason::Starting => f.write_str("starting"),
            Reason::Stopping => f.write_str("stopping"),
            Reason::Maintenance(Maintenance::File { path }) => {
                write!(f, "maintenance: {path} exists")
            }
            Reason::Maintenance(Maintenance::Operator { .. }) => {
                f.write_str("maintenance: drained by the operator")
            }
            Reason::Drained => f.write_str("this prefix was drained by the operator"),
            Reason::Always => f.write_str("bgp.announce=always"),
            Reason::NoListener => f.write_str("no listener is configured"),
            Reason::ListenersNotBound(ListenerFact { bound, configured }) => {
                write!(f, "listeners not bound ({bound} of {configured})")
            }
            Reason::NoTable => f.write_str("waiting for the first route table"),
            Reason::AwaitingChecks { service, unknown } => {
                let of = Of(service, *unknown);
                write!(f, "waiting for the first health check of {unknown} {of}")
            }
            Reason::NoTarget { service: Some(service), when_empty } => {
                write!(f, "no target of {service}{}", Kept(*when_empty))
            }
            Reason::NoTarget { service: None, when_empty } => {
                write!(f, "no target in the route table{}", Kept(*when_empty))
            }
            Reason::BelowMinimum { short, when_empty } => {
                write!(f, "{short}{}", Kept(*when_empty))
            }
            Reason::BelowShutdown(short) | Reason::BelowDeprefer(short) => short.fmt(f),
            Reason::RegistryStale { error, .. } => {
                write!(f, "registry cannot be read (last error: {error})")
            }
            Reason::HoldingUp { hold_up, .. } => {
                write!(f, "holding up: has to be able to serve for {}", Short(*hold_up))
            }
            Reason::Suppressed { .. } => f.write_str("suppressed: flapped"),
            Reason::Ready { pools } => list(f, pools),
        }
    }
}

fn list(f: &mut fmt::Formatter<'_>, pools: &[PoolCount]) -> fmt::Result {
    for (index, pool) in pools.iter().enumerate() {
        let separator = if index == 0 { "" } else { ", " };
        write!(f, "{separator}{pool}")?;
    }
    Ok(())
}

impl fmt::Display for PoolCount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let PoolCount { service, healthy, total } = self;
        write!(f, "{healthy} of {total} {} healthy", Of(service, *total))
    }
}

impl fmt::Display for Shortage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Shortage { service, healthy, total, needed, last_error } = self;
        let error = last_error.iter().map(|error| format!("; last error: {error}"));
        let error: String = error.collect();
        match (healthy, service) {
            (0, Some(service)) => write!(f, "no healthy target of {service} (0 of {total}{error})"),
            (0, None) => write!(f, "no healthy target (0 of {total}{error})"),
            _ => write!(
                f,
                "{healthy} of {total} {} healthy, {needed} wanted{error}",
                Of(service, *total)
            ),
        }
    }
}

/// "targets of web"
struct Of<'a>(&'a Option<Rc<str>>, usize);

impl fmt::Display for Of<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plural = if self.1 == 1 { "" } else { "s" };
        match self.0 {
            Some(service) => write!(f, "target{plural} of {service}"),
            None => write!(f, "target{plural}"),
        }
    }
}

/// Why a prefix is announced all the same.
struct Kept(WhenEmpty);

impl fmt::Display for Kept {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            WhenEmpty::Withdraw => "",
            WhenEmpty::Keep => "; whenempty=keep",
            WhenEmpty::Deprefer => "; whenempty=deprefer",
        })
    }
}

/// A length of time as people write it: two units at most.
pub(super) struct Short(pub(super) Duration);

impl fmt::Display for Short {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (seconds, millis) = (self.0.as_secs(), self.0.subsec_millis());
        match seconds {
            0 if millis > 0 => write!(f, "{millis}ms"),
            0..60 => write!(f, "{seconds}s"),
            60..3600 => write!(f, "{}m{}s", seconds / 60, seconds % 60),
            _ => write!(f, "{}h{}m", seconds / 3600, seconds / 60 % 60),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::announce::rule::Settings;

    fn at(seconds: u64) -> Time {
        Time::from_millis(seconds * 1_000)
    }

    fn short(service: Option<&str>, healthy: usize, total: usize, error: &str) -> Shortage {
        let last_error = (!error.is_empty()).then(|| error.to_owned());
        Shortage { service: service.map(Rc::from), healthy, total, needed: 2, last_error }
    }

    fn pool(service: Option<&str>, healthy: usize, total: usize) -> PoolCount {
        PoolCount { service: service.map(Rc::from), healthy, total }
    }

    #[test]
    fn reasons_are_short_and_have_numbers() {
        let web = || Some(Rc::from("web"));
        let below = |short, when_empty| Reason::BelowMinimum { short, when_empty };
        let path = Rc::from("/etc/burgee/off");
        for (reason, text) in [
            (
                Reason::Maintenance(Maintenance::File { path }),
                "maintenance: /etc/burgee/off exists",
            ),
            (
                Reason::Maintenance(Maintenance::Operator { since: at(0) }),
                "maintenance: drained by the operator",
            ),
            (
                Reason::ListenersNotBound(ListenerFact { bound: 1, configured: 2 }),
                "listeners not bound (1 of 2)",
            ),
            (
                Reason::AwaitingChecks { service: None, unknown: 1 },
                "waiting for the first health check of 1 target",
            ),
            (
                Reason::AwaitingChecks { service: web(), unknown: 2 },
                "waiting for the first health check of 2 targets of web",
            ),
            (
                Reason::NoTarget { service: web(), when_empty: WhenEmpty::Withdraw },
                "no target of web",
            ),
            (
                Reason::NoTarget { service: None, when_empty: WhenEmpty::Keep },
                "no target in the route table; whenempty=keep",
            ),
            (below(short(None, 0, 3, ""), WhenEmpty::Withdraw), "no healthy target (0 of 3)"),
            (
                below(short(None, 0, 3, "connection refused"), WhenEmpty::Withdraw),
                "no healthy target (0 of 3; last error: connection refused)",
            ),
            (
                below(short(Some("web"), 0, 3, ""), WhenEmpty::Deprefer),
                "no healthy target of web (0 of 3); whenempty=deprefer",
            ),
            (
                below(short(Some("web"), 1, 3, "timed out"), WhenEmpty::Withdraw),
                "1 of 3 targets of web healthy, 2 wanted; last error: timed out",
            ),
            (Reason::BelowDeprefer(short(None, 1, 1, "")), "1 of 1 target healthy, 2 wanted"),
            (
                Reason::Ready { pools: vec![pool(Some("web"), 2, 3), pool(Some("api"), 1, 1)] },
                "2 of 3 targets of web healthy, 1 of 1 target of api healthy",
            ),
            (Reason::Ready { pools: vec![pool(None, 2, 3)] }, "2 of 3 targets healthy"),
        ] {
            assert_eq!(reason.to_string(), text);
            assert_eq!(reason.at(at(9)).to_string(), text);
        }
    }

    #[test]
    fn what_lasts_is_told_with_how_long() {
        let hold_up = Duration::from_secs(5);
        let reason = Reason::HoldingUp { level: Level::Full, since: at(10), hold_up };
        assert_eq!(reason.at(at(12)).to_string(), "holding up: can serve since 2s of 5s");
        assert_eq!(reason.to_string(), "holding up: has to be able to serve for 5s");
        let mut penalty = Penalty::new(at(0));
        (0..4).for_each(|_| penalty.charge(at(0), &Settings::default(), Level::Withdrawn));
        let reason = Reason::Suppressed { penalty, until: at(120) };
        let text = "suppressed: flapped, penalty 2828, for another 1m30s";
        assert_eq!(reason.at(at(30)).to_string(), text);
        assert_eq!(reason.to_string(), "suppressed: flapped");
        let error = "connection refused".to_owned();
        let reason = Reason::RegistryStale { since: at(0), error };
        let text = "registry not read for 1h1m (last error: connection refused)";
        assert_eq!(reason.at(at(3_665)).to_string(), text);
    }

    #[test]
    fn times_have_two_units_at_most() {
        for (millis, text) in [
            (0, "0s"),
            (7, "7ms"),
            (1_900, "1s"),
            (59_999, "59s"),
            (60_000, "1m0s"),
            (3_600_000, "1h0m"),
        ] {
            assert_eq!(Short(Duration::from_millis(millis)).to_string(), text);
        }
    }
}
