//! Falls at once, rises slowly: what becomes of one prefix's level over time.
//!
//! Only what the service itself can do counts here. What the operator switches
//! off comes on top, in `gate`, so that it costs no penalty, and
//! switching on again is immediate where the service could serve all the while.

use std::time::Duration;

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
        // Late, several steps may be due.
        let due = self.rises(settings).filter(|rise| rise.at <= now).max_by_key(|rise| rise.level);
        if let Some(rise) = due {
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
        // Of several at the same time the highest one counts.
        self.rises(settings).reduce(|first, next| if next.at <= first.at { next } else { first })
    }

    /// When the service is to rise to each level that it can do, upwards.
    fn rises(&self, settings: &Settings) -> impl Iterator<Item = Rise> {
        let until = self.penalty.suppressed_until();
        let hold_up = if self.immediate { Duration::ZERO } else { settings.hold_up };
        let above = Level::ALL.into_iter().filter(|level| *level > self.level);
        above.filter_map(move |level| {
            let held = self.since(level)? + hold_up;
            let was_suppressed = until.is_some_and(|until| until >= held);
            Some(Rise { at: until.map_or(held, |until| until.max(held)), level, was_suppressed })
        })
    }

    /// Since when the service can do `level`.
    pub(super) fn since(&self, level: Level) -> Option<Time> {
        self.since.get(level as usize).copied().flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Level::{Depreferred, Full, GracefulShutdown, Withdrawn};

    fn at(seconds: u64) -> Time {
        Time::from_millis(seconds * 1_000)
    }

    /// A hysteresis whose level is what the neighbours have.
    struct Tried {
        settings: Settings,
        it: Hysteresis,
    }

    impl Tried {
        fn new(immediate: bool) -> Tried {
            let it = Hysteresis::new(Penalty::new(at(0)), immediate);
            Tried { settings: Settings::default(), it }
        }

        fn up(level: Level) -> Tried {
            let mut tried = Tried::new(true);
            assert_eq!(tried.certain(0, level), (level, None));
            tried
        }

        fn range(&mut self, second: u64, floor: Level, ceiling: Level) -> (Level, Option<Hold>) {
            let shown = self.it.level();
            let range = Range { floor, ceiling };
            let hold = self.it.update(at(second), &self.settings, range, shown);
            (self.it.level(), hold)
        }

        fn certain(&mut self, second: u64, level: Level) -> (Level, Option<Hold>) {
            self.range(second, level, level)
        }

        fn next(&self) -> Option<(Time, Level)> {
            self.it.next_rise(&self.settings).map(|rise| (rise.at, rise.level))
        }
    }

    fn holding(level: Level, second: u64) -> Option<Hold> {
        Some(Hold::HoldingUp { level, since: at(second) })
    }

    #[test]
    fn the_first_announcement_is_immediate_after_a_clean_start_only() {
        let mut tried = Tried::new(true);
        assert_eq!(tried.certain(1, Withdrawn), (Withdrawn, None));
        assert_eq!(tried.certain(2, Full), (Full, None));
        let mut tried = Tried::new(false);
        assert_eq!(tried.certain(2, Full), (Withdrawn, holding(Full, 2)));
        assert_eq!(tried.certain(7, Full), (Full, None));
    }

    #[test]
    fn it_falls_at_once_and_rises_after_the_hold_up() {
        let mut tried = Tried::up(Full);
        assert_eq!(tried.certain(10, GracefulShutdown), (GracefulShutdown, None));
        assert_eq!(tried.certain(11, Full), (GracefulShutdown, holding(Full, 11)));
        assert_eq!(tried.next(), Some((at(16), Full)));
        assert_eq!(tried.certain(15, Full).0, GracefulShutdown);
        // An interruption, as short as it may be, begins it anew.
        assert_eq!(tried.certain(15, Depreferred).0, GracefulShutdown);
        assert_eq!(tried.next(), Some((at(16), Depreferred)), "that was possible all the while");
        assert_eq!(tried.certain(15, Full).0, GracefulShutdown);
        assert_eq!(tried.certain(16, Full), (Depreferred, holding(Full, 15)));
        assert_eq!(tried.next(), Some((at(20), Full)));
        assert_eq!(tried.certain(20, Full), (Full, None));
        assert_eq!(tried.next(), None);
    }

    #[test]
    fn several_steps_are_taken_at_once() {
        let mut tried = Tried::up(Full);
        tried.certain(10, Withdrawn);
        tried.certain(11, Full);
        assert_eq!(tried.next(), Some((at(16), Full)));
        assert_eq!(tried.certain(16, Full), (Full, None));
    }

    #[test]
    fn late_it_takes_all_steps_that_are_due() {
        let mut tried = Tried::up(Full);
        tried.certain(10, Withdrawn);
        tried.certain(11, Depreferred);
        tried.certain(12, Full);
        assert_eq!(tried.next(), Some((at(16), Depreferred)));
        assert_eq!(tried.certain(60, Full), (Full, None));
    }

    #[test]
    fn the_first_announcement_after_a_suppression_is_a_single_step() {
        let mut tried = Tried::new(true);
        for _ in 0..4 {
            tried.it.penalty.charge(at(0), &tried.settings, Withdrawn);
        }
        tried.certain(1, Depreferred);
        tried.certain(2, Full);
        assert_eq!(tried.next(), Some((at(120), Full)));
        assert_eq!(tried.certain(120, Full), (Full, None));
    }

    #[test]
    fn without_a_hold_up_it_rises_at_once() {
        let mut tried = Tried::up(Full);
        tried.settings.hold_up = Default::default();
        tried.certain(10, Withdrawn);
        assert_eq!(tried.certain(10, Full), (Full, None));
    }

    #[test]
    fn what_is_not_known_changes_nothing() {
        let mut tried = Tried::new(true);
        assert_eq!(tried.range(1, Withdrawn, Full), (Withdrawn, Some(Hold::AwaitingChecks)));
        assert_eq!(tried.range(2, Depreferred, Full).0, Withdrawn, "nothing is announced yet");
        assert_eq!(tried.certain(3, Full), (Full, None));
        assert_eq!(tried.range(4, Withdrawn, Full), (Full, None));
        assert_eq!(tried.range(5, Withdrawn, Depreferred), (Depreferred, None));
        assert_eq!(tried.range(6, Withdrawn, Full), (Depreferred, None));
        assert_eq!(tried.range(99, Withdrawn, Full), (Depreferred, None), "and holds nothing up");
        assert_eq!(tried.certain(100, Full), (Depreferred, holding(Full, 100)));
    }

    #[test]
    fn one_that_falls_too_often_is_suppressed() {
        let mut tried = Tried::up(Full);
        for flap in 0..4 {
            assert_eq!(tried.certain(flap * 7, Full).0, Full, "{flap}");
            assert_eq!(tried.certain(flap * 7 + 1, Withdrawn).0, Withdrawn);
            tried.certain(flap * 7 + 2, Full);
        }
        let until = tried.it.penalty.suppressed_until().expect("a penalty above 3000");
        assert_eq!(tried.certain(28, Full), (Withdrawn, Some(Hold::Suppressed { until })));
        assert_eq!(tried.next(), Some((until, Full)));
        // A level further down is taken at once all the same, and one that could
        // be reached is held up beyond the suppression.
        let last = until.as_nanos() / 1_000_000_000;
        tried.certain(last - 1, Withdrawn);
        tried.certain(last, Full);
        assert_eq!(tried.next(), Some((at(last + 5), Full)));
        let hold = tried.certain(last + 1, Full).1;
        assert_eq!(hold, holding(Full, last), "the suppression is over");
    }

    #[test]
    fn a_fall_that_nobody_sees_costs_nothing() {
        let mut tried = Tried::up(Full);
        for second in 0..99 {
            let able = if second % 2 == 0 { Withdrawn } else { Full };
            tried.settings.hold_up = Default::default();
            let range = Range { floor: able, ceiling: able };
            tried.it.update(at(second), &tried.settings, range, Withdrawn);
        }
        assert_eq!(tried.it.penalty.at(at(99)), 0.0);
    }
}
