//! What the operator switches off: a planned withdrawal, for as long as it is
//! wanted.
//!
//! The neighbours first hear that the path is about to go, so that they move
//! the traffic while it still works (RFC 8326 §3), and only then that it is
//! gone.

use super::level::Level;
use super::rule::Settings;
use crate::reactor::Time;

/// The planned withdrawal of one prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Gate {
    /// None is wanted.
    Open,
    /// It is announced with GRACEFUL_SHUTDOWN, since then.
    Closing { since: Time },
    /// It is withdrawn.
    Closed,
}

/// What is wanted of a gate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wanted {
    /// The service decides.
    Open,
    /// A planned withdrawal.
    Closed,
    /// A withdrawal without the wait.
    ClosedAtOnce,
}

/// What the neighbours have of a prefix, and since when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Shown {
    pub(super) level: Level,
    pub(super) since: Time,
}

impl Gate {
    /// Moves on, and returns the level that is left of the service's.
    pub(super) fn update(
        &mut self,
        now: Time,
        settings: &Settings,
        wanted: Wanted,
        service: Level,
        shown: Shown,
    ) -> Level {
        *self = match (wanted, *self) {
            (Wanted::Open, _) => Gate::Open,
            (Wanted::ClosedAtOnce, _) | (Wanted::Closed, Gate::Closed) => Gate::Closed,
            (Wanted::Closed, Gate::Closing { since }) => Gate::Closing { since },
            (Wanted::Closed, Gate::Open) => Gate::Closing {
                // A neighbour that knows already has moved its traffic already.
                since: if shown.level == Level::GracefulShutdown { shown.since } else { now },
            },
        };
        if let Some(until) = self.until(settings) {
            // What is withdrawn already is not announced once more.
            let level = service.min(shown.level);
            if until <= now || level == Level::Withdrawn {
                *self = Gate::Closed;
            }
        }
        match self {
            Gate::Open => service,
            Gate::Closing { .. } => service.min(Level::GracefulShutdown),
            Gate::Closed => Level::Withdrawn,
        }
    }

    /// When the announcement with GRACEFUL_SHUTDOWN ends.
    pub(super) fn until(self, settings: &Settings) -> Option<Time> {
        match self {
            Gate::Closing { since } => Some(since + settings.graceful_shutdown),
            Gate::Open | Gate::Closed => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn at(seconds: u64) -> Time {
        Time::from_millis(seconds * 1_000)
    }

    /// A gate with what the neighbours have.
    struct Tried {
        settings: Settings,
        gate: Gate,
        shown: Shown,
    }

    impl Tried {
        fn new(seconds: u64, level: Level) -> Tried {
            let graceful_shutdown = Duration::from_secs(seconds);
            let settings = Settings { graceful_shutdown, ..Settings::default() };
            Tried { settings, gate: Gate::Open, shown: Shown { level, since: at(0) } }
        }

        fn update(&mut self, second: u64, wanted: Wanted, service: Level) -> Level {
            let (now, shown) = (at(second), self.shown);
            let level = self.gate.update(now, &self.settings, wanted, service, shown);
            if level != shown.level {
                self.shown = Shown { level, since: now };
            }
            level
        }
    }

    use Level::{Depreferred, Full, GracefulShutdown, Withdrawn};
    use Wanted::{Closed, ClosedAtOnce, Open};

    #[test]
    fn a_planned_withdrawal_is_told_before_it_comes() {
        for level in [Full, Depreferred] {
            let mut tried = Tried::new(10, level);
            assert_eq!(tried.update(5, Open, level), level);
            assert_eq!(tried.update(6, Closed, level), GracefulShutdown);
            assert_eq!(tried.gate.until(&tried.settings), Some(at(16)));
            assert_eq!(tried.update(15, Closed, level), GracefulShutdown);
            assert_eq!(tried.update(16, Closed, level), Withdrawn);
            assert_eq!(tried.update(99, Closed, level), Withdrawn);
            assert_eq!(tried.update(100, Open, level), level, "resumed at once");
        }
    }

    #[test]
    fn without_that_time_or_in_a_hurry_it_comes_at_once() {
        assert_eq!(Tried::new(0, Full).update(6, Closed, Full), Withdrawn);
        assert_eq!(Tried::new(10, Full).update(6, ClosedAtOnce, Full), Withdrawn);
        let mut tried = Tried::new(10, Full);
        tried.update(6, Closed, Full);
        assert_eq!(tried.update(7, ClosedAtOnce, Full), Withdrawn);
    }

    #[test]
    fn nothing_rises_behind_a_closing_gate() {
        let mut tried = Tried::new(10, Full);
        tried.update(6, Closed, Full);
        assert_eq!(tried.update(7, Closed, Withdrawn), Withdrawn);
        assert_eq!(tried.update(8, Closed, Full), Withdrawn);
        let mut tried = Tried::new(10, Withdrawn);
        assert_eq!(tried.update(6, Closed, Full), Withdrawn, "it was not announced");
    }

    #[test]
    fn what_the_neighbours_know_already_is_not_waited_for_again() {
        let mut tried = Tried::new(10, GracefulShutdown);
        assert_eq!(tried.update(6, Closed, Full), GracefulShutdown);
        assert_eq!(tried.gate.until(&tried.settings), Some(at(10)));
        let mut tried = Tried::new(10, GracefulShutdown);
        assert_eq!(tried.update(11, Closed, GracefulShutdown), Withdrawn);
    }

    #[test]
    fn a_shorter_time_holds_at_once() {
        let mut tried = Tried::new(10, Full);
        tried.update(6, Closed, Full);
        tried.settings.graceful_shutdown = Duration::from_secs(2);
        assert_eq!(tried.update(7, Closed, Full), GracefulShutdown);
        assert_eq!(tried.update(8, Closed, Full), Withdrawn);
    }
}
