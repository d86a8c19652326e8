//! The flap penalty: a figure of merit that grows with every fall and is
//! forgotten by and by (after RFC 2439 §4.2).

use std::time::Duration;

use super::level::Level;
use super::record::PrefixRecord;
use super::rule::Settings;
use crate::reactor::Time;

/// What a fall to [`Level::Withdrawn`] adds.
const WITHDRAWAL: u32 = 1_000;

/// What a fall to another level adds.
const STEP: u32 = 500;

/// The penalty of one prefix. It decays exponentially between two falls.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Penalty {
    /// The figure at `at`.
    value: f64,
    at: Time,
    /// Zero: there is none.
    half_life: Duration,
    suppression: Option<Suppression>,
}

/// From when to when a prefix does not rise.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Suppression {
    since: Time,
    until: Time,
}

impl Penalty {
    /// None.
    pub(super) fn new(now: Time) -> Penalty {
        Penalty { value: 0.0, at: now, half_life: Duration::ZERO, suppression: None }
    }

    /// What is left of another process's penalty, whose `record` was made
    /// `away` ago.
    pub(super) fn restored(
        now: Time,
        settings: &Settings,
        record: Option<&PrefixRecord>,
        away: Duration,
    ) -> Penalty {
        let mut penalty = Penalty::new(now);
        let Some(record) = record.filter(|_| !settings.half_life.is_zero()) else {
            return penalty;
        };
        let kept = decayed(f64::from(record.penalty), away, settings.half_life);
        penalty.set(now, settings, kept);
        let left = record.suppressed.unwrap_or_default().saturating_sub(away);
        let until = now + left.min(settings.max_suppress);
        penalty.suppression = (until > now).then_some(Suppression { since: now, until });
        penalty
    }

    /// The figure now.
    pub fn at(&self, now: Time) -> f64 {
        decayed(self.value, now.since(self.at), self.half_life)
    }

    /// Until when the prefix does not rise, if it is suppressed.
    pub fn suppressed_until(&self) -> Option<Time> {
        self.suppression.map(|suppression| suppression.until)
    }

    /// The service fell to `level`.
    pub(super) fn charge(&mut self, now: Time, settings: &Settings, level: Level) {
        if settings.half_life.is_zero() {
            return;
        }
        let more = if level == Level::Withdrawn { WITHDRAWAL } else { STEP };
        self.set(now, settings, self.at(now) + f64::from(more));
        if self.value >= f64::from(settings.suppress) && self.suppression.is_none() {
            self.suppression = Some(Suppression { since: now, until: now });
        }
        self.set_until(now, settings);
    }

    /// Ends the suppression when its time has come.
    pub(super) fn expire(&mut self, now: Time) {
        self.suppression = self.suppression.filter(|suppression| now < suppression.until);
    }

    /// Other settings hold from now on.
    pub(super) fn adopt(&mut self, now: Time, settings: &Settings) {
        if settings.half_life.is_zero() {
            *self = Penalty::new(now);
            return;
        }
        self.set(now, settings, self.at(now));
        self.set_until(now, settings);
        self.expire(now);
    }

    fn set(&mut self, now: Time, settings: &Settings, value: f64) {
        self.value = value.min(ceiling(settings));
        self.at = now;
        self.half_life = settings.half_life;
    }

    /// A suppression lasts until the penalty has decayed to `reuse`, and no
    /// longer than `max_suppress` in all.
    fn set_until(&mut self, now: Time, settings: &Settings) {
        if let Some(suppression) = &mut self.suppression {
            let half_lives = (self.value / f64::from(settings.reuse)).log2().max(0.0);
            let decay = half_lives * settings.half_life.as_secs_f64();
            // Infinite without a `reuse`.
            let decay = Duration::try_from_secs_f64(decay).unwrap_or(Duration::MAX);
            suppression.until = (now + decay).min(suppression.since + settings.max_suppress);
        }
    }
}

/// What is left of a penalty after a while; nothing, without a half-life.
fn decayed(value: f64, elapsed: Duration, half_life: Duration) -> f64 {
    if half_life.is_zero() {
        return 0.0;
    }
    value * (-(elapsed.as_secs_f64() / half_life.as_secs_f64())).exp2()
}

/// The most that a penalty can be: what decays to `reuse` in `max_suppress`,
/// and enough to suppress.
pub fn ceiling(settings: &Settings) -> f64 {
    let half_lives = settings.max_suppress.as_secs_f64() / settings.half_life.as_secs_f64();
    let ceiling = f64::from(settings.reuse) * half_lives.exp2();
    ceiling.min(f64::from(u32::MAX)).max(f64::from(settings.suppress))
}
