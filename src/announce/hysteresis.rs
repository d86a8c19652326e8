//! Falls at once, rises slowly: what becomes of one prefix's level over time.
//!
//! Only what the service itself can do counts here. What the operator switches
//! off comes on top, in `gate`, so that it costs no penalty, and
//! switching on again is immediate where the service could serve all the while.

use super::level::Level;
use super::penalty::Penalty;
use super::rule::Settings;
use crate::reactor::Time;

/// What a service can do, as far as is known: at least `floor`, and at most
/// `ceiling` should all targets that have not been checked yet be healthy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Range {
    pub(super) floor: Level,
    pub(super) ceiling: Level,
}

impl Range {
    pub(super) fn is_certain(self) -> bool {
        self.floor == self.ceiling
    }
}

/// Why a level is lower than the service could do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Hold {
    /// Nothing was announced yet, and more is known soon.
    AwaitingChecks,
    /// It has not been able to reach `level` for long enough, only since then.
    HoldingUp { level: Level, since: Time },
    /// It fell too often.
    Suppressed { until: Time },
}

/// A rise that comes when nothing else happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Rise {
    pub(super) at: Time,
    pub(super) level: Level,
    /// Whether it waits for the penalty to decay.
    pub(super) was_suppressed: bool,
}

/// The memory of one prefix.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Hysteresis {
    level: Level,
    /// Nothing was announced yet.
    is_new: bool,
    /// The next rise needs no hold-up.
    immediate: bool,
    /// Since when the service can do each of [`Level::ALL`] without
    /// interruption.
    since: [Option<Time>; Level::ALL.len()],
    pub(super) penalty: Penalty,
}

impl Hysteresis {
    /// Nothing was announced yet; the first announcement is `immediate`, or has
    /// to wait for the hold-up as any other.
    pub(super) fn new(penalty: Penalty, immediate: bool) -> Hysteresis {
        let since = [None; Level::ALL.len()];
        Hysteresis { level: Level::Withdrawn, is_new: true, immediate, since, penalty }
    }

    /// The level now.
    pub(super) fn level(&self) -> Level {
        self.level
    }

    /// Decides anew. `shown` is what the neighbours have: a fall that they do
    /// not see adds no penalty. Returns what holds the level down, if anything.
    pub(super) fn update(
        &mut self,
        now: Time,
        settings: &Settings,
        range: Range,
        shown: Level,
    ) -> Option<Hold> {
        self.penalty.expire(now);
        let waits = self.is_new && !range.is_certain();
        let able = match waits {
            true => Level::Withdrawn,
            // Nothing falls or rises because of what is not known.
            false => self.level.clamp(range.floor, range.ceiling),
        };
        for (level, since) in Level::ALL.into_iter().zip(&mut self.since) {
            *since = (level <= able).then(|| since.unwrap_or(now));
        }
        if able < self.level {
            self.level = able;
            if able < shown {
                self.penalty.charge(now, settings, able);
            }
        }
        if let Some(rise) = self.next_rise(settings).filter(|rise| rise.at <= now) {
            self.level = rise.level;
            self.is_new = false;
            self.immediate = false;
        }
        if waits {
            return Some(Hold::AwaitingChecks);
        }
        let next = self.next_rise(settings)?;
        Some(match self.penalty.suppressed_until() {
            Some(until) => Hold::Suppressed { until },
            None => Hold::HoldingUp { level: next.level, since: self.since(next.level)? },
        })
    }

    /// The rise that comes next, when nothing changes until then.
    pub(super) fn next_rise(&self, settings: &Settings) -> Option<Rise> {
        let until = self.penalty.suppressed_until();
        let hold_up = if self.immediate { Default::default() } else { settings.hold_up };
        let rises =
            Level::ALL.into_iter().filter(|level| *level > self.level).filter_map(|level| {
                let held = self.since(level)? + hold_up;
                let was_suppressed = until.is_some_and(|until| until >= held);
                Some(Rise {
                    at: until.map_or(held, |until| until.max(held)),
                    level,
                    was_suppressed,
                })
            });
        // Of several at the same time the highest one counts.
        rises.reduce(|first, next| if next.at <= first.at { next } else { first })
    }

    /// Since when the service can do `level`.
    pub(super) fn since(&self, level: Level) -> Option<Time> {
        self.since.get(level as usize).copied().flatten()
    }
}
