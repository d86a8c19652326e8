//! The planned stop, step by step: withdraw while everything still serves,
//! let the network converge, and only then close.
//!
//! Pure: the daemon does what each [`Step`] asks for and reports facts; this
//! decides when the next one is due.

use std::fmt;
use std::time::Duration;

use crate::reactor::Time;

/// How long the neighbours' kernels may take to acknowledge the withdrawals
/// before the drain goes on without them.
const ACKNOWLEDGE_LIMIT: Duration = Duration::from_secs(1);

/// How often the facts are looked at while a step waits for one that no event
/// announces.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// The last wait: for the neighbours to take the Cease and close.
const CEASE_LIMIT: Duration = Duration::from_millis(1500);

/// Where a planned stop has got to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Step {
    /// No stop was asked for.
    Serving,
    /// Everything is announced with GRACEFUL_SHUTDOWN (RFC 8326), so that the
    /// network moves its traffic while the paths still work.
    GracefulShutdown,
    /// Everything is withdrawn with the sessions up; waiting for the
    /// neighbours' kernels to acknowledge it.
    Withdrawing,
    /// Still serving while the network converges.
    Converging,
    /// Listeners are closed; connections may finish.
    Finishing,
    /// Sessions end with Cease/Administrative Shutdown.
    Closing,
    /// Nothing is left to do.
    Done,
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Step::Serving => "serving",
            Step::GracefulShutdown => "graceful_shutdown",
            Step::Withdrawing => "withdrawing",
            Step::Converging => "converging",
            Step::Finishing => "finishing",
            Step::Closing => "closing",
            Step::Done => "done",
        })
    }
}

/// What a drain waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Facts {
    /// Nothing is announced any more.
    pub withdrawn: bool,
    /// Every withdrawal is acknowledged by the neighbours' kernels.
    pub acknowledged: bool,
    /// Proxied connections that are still open.
    pub connections: usize,
    /// No BGP connection is left.
    pub bgp_closed: bool,
}

/// The state of the stop.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Drain {
    step: Step,
    until: Time,
    hurried: bool,
    limits: Limits,
}

/// How long the steps may take.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// `bgp.gracefulshutdown`; zero: there is no such step.
    pub graceful_shutdown: Duration,
    /// `proxy.deregistergraceperiod`: how long the network converges.
    pub grace: Duration,
    /// `proxy.shutdownwait`: how long connections may take to finish.
    pub finish: Duration,
}

impl Drain {
    /// A drain that has not begun.
    pub fn new(limits: Limits) -> Drain {
        Drain { step: Step::Serving, until: Time::ZERO, hurried: false, limits }
    }

    /// The step.
    pub fn step(&self) -> Step {
        self.step
    }

    /// Time left in this step, at most.
    pub fn remaining(&self, now: Time) -> Duration {
        self.until.since(now)
    }

    /// A stop is asked for: the first time it begins, a second time the waits
    /// are skipped.
    pub fn request(&mut self, now: Time) {
        if self.step == Step::Serving {
            self.enter(
                now,
                match self.limits.graceful_shutdown.is_zero() {
                    true => Step::Withdrawing,
                    false => Step::GracefulShutdown,
                },
            );
        } else {
            self.hurried = true;
        }
    }

    /// Whether the stop was asked for twice.
    pub fn is_hurried(&self) -> bool {
        self.hurried
    }

    /// Moves on by at most one step, and returns it if it is new. Call again
    /// until nothing is returned.
    pub fn advance(&mut self, now: Time, facts: &Facts) -> Option<Step> {
        let late = self.hurried || now >= self.until;
        let (over, next) = match self.step {
            Step::Serving | Step::Done => (false, Step::Done),
            Step::GracefulShutdown => (facts.withdrawn || late, Step::Withdrawing),
            // What is not sent yet is not acknowledged either.
            Step::Withdrawing => (facts.withdrawn && facts.acknowledged || late, Step::Converging),
            Step::Converging => (late, Step::Finishing),
            Step::Finishing => (facts.connections == 0 || late, Step::Closing),
            // The Cease is sent even in a hurry: only its limit ends the wait.
            Step::Closing => (facts.bgp_closed || now >= self.until, Step::Done),
        };
        over.then(|| {
            self.enter(now, next);
            next
        })
    }

    /// When [`Drain::advance`] must be called, if no event does before.
    pub fn deadline(&self, now: Time) -> Option<Time> {
        match self.step {
            Step::Serving | Step::Done => None,
            Step::GracefulShutdown | Step::Converging => Some(self.until),
            Step::Withdrawing | Step::Finishing | Step::Closing => {
                Some(self.until.min(now + LOOK_EVERY))
            }
        }
    }

    fn enter(&mut self, now: Time, step: Step) {
        self.step = step;
        self.until = now
            + match step {
                Step::GracefulShutdown => self.limits.graceful_shutdown,
                Step::Withdrawing => ACKNOWLEDGE_LIMIT,
                Step::Converging => self.limits.grace,
                Step::Finishing => self.limits.finish,
                Step::Closing => CEASE_LIMIT,
                Step::Serving | Step::Done => Duration::ZERO,
            };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits {
        graceful_shutdown: Duration::ZERO,
        grace: Duration::from_secs(2),
        finish: Duration::from_secs(5),
    };

    const SIX: Duration = Duration::from_secs(6);

    fn at(millis: u64) -> Time {
        Time::from_millis(millis)
    }

    fn facts(acknowledged: bool, connections: usize, bgp_closed: bool) -> Facts {
        Facts { withdrawn: true, acknowledged, connections, bgp_closed }
    }

    #[test]
    fn a_stop_withdraws_waits_closes_and_says_goodbye_in_this_order() {
        let mut drain = Drain::new(LIMITS);
        assert_eq!(drain.advance(at(0), &facts(true, 0, true)), None);
        drain.request(at(0));
        assert_eq!(drain.step(), Step::Withdrawing);
        assert_eq!(drain.advance(at(5), &facts(false, 3, false)), None);
        assert_eq!(drain.advance(at(8), &facts(true, 3, false)), Some(Step::Converging));
        // The convergence wait begins with the acknowledgement.
        assert_eq!(drain.deadline(at(8)), Some(at(2008)));
        assert_eq!(drain.advance(at(2007), &facts(true, 0, false)), None);
        assert_eq!(drain.advance(at(2008), &facts(true, 3, false)), Some(Step::Finishing));
        assert_eq!(drain.advance(at(2500), &facts(true, 1, false)), None);
        assert_eq!(drain.advance(at(2600), &facts(true, 0, false)), Some(Step::Closing));
        assert_eq!(drain.advance(at(2601), &facts(true, 0, false)), None);
        assert_eq!(drain.advance(at(2602), &facts(true, 0, true)), Some(Step::Done));
        assert_eq!(drain.deadline(at(2602)), None);
    }

    #[test]
    fn every_wait_is_bounded() {
        let mut drain = Drain::new(LIMITS);
        drain.request(at(0));
        let stuck = facts(false, 9, false);
        let mut now = at(0);
        let mut steps = Vec::new();
        while drain.step() != Step::Done {
            now = drain.deadline(now).expect("a drain under way has a deadline");
            steps.extend(drain.advance(now, &stuck));
        }
        assert_eq!(steps, [Step::Converging, Step::Finishing, Step::Closing, Step::Done]);
        assert_eq!(now, at(1000 + 2000 + 5000 + 1500));
    }

    #[test]
    fn a_second_request_skips_the_waits_but_not_the_steps() {
        let mut drain = Drain::new(LIMITS);
        drain.request(at(0));
        drain.request(at(1));
        let busy = facts(false, 9, false);
        let steps: Vec<_> = std::iter::from_fn(|| drain.advance(at(1), &busy)).collect();
        assert_eq!(steps, [Step::Converging, Step::Finishing, Step::Closing]);
        assert_eq!(drain.advance(at(2), &facts(true, 0, true)), Some(Step::Done));
    }

    #[test]
    fn with_a_graceful_shutdown_everything_is_announced_so_first() {
        let limits = Limits { graceful_shutdown: Duration::from_secs(10), ..LIMITS };
        let mut drain = Drain::new(limits);
        let with = |withdrawn| Facts { withdrawn, ..facts(true, 3, false) };
        drain.request(at(0));
        assert_eq!((drain.step(), drain.remaining(at(4_000))), (Step::GracefulShutdown, SIX));
        // What is acknowledged is the community, not yet the withdrawal.
        assert_eq!(drain.advance(at(5), &with(false)), None);
        assert_eq!(drain.deadline(at(5)), Some(at(10_000)));
        assert_eq!(drain.advance(at(10_000), &with(false)), Some(Step::Withdrawing));
        assert_eq!(drain.advance(at(10_000), &with(false)), None);
        assert_eq!(drain.advance(at(10_001), &with(true)), Some(Step::Converging));
        // It is over early when nothing is announced any more.
        let mut drain = Drain::new(limits);
        drain.request(at(0));
        assert_eq!(drain.advance(at(1), &with(true)), Some(Step::Withdrawing));
        // And in a hurry.
        let mut drain = Drain::new(limits);
        drain.request(at(0));
        assert!(!drain.is_hurried());
        drain.request(at(1));
        assert!(drain.is_hurried());
        let steps: Vec<_> = std::iter::from_fn(|| drain.advance(at(1), &with(false))).collect();
        let hurried = [Step::Withdrawing, Step::Converging, Step::Finishing, Step::Closing];
        assert_eq!(steps, hurried);
    }
}
