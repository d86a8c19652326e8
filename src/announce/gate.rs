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
