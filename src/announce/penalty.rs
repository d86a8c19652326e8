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
        self.expire(now);
    }

    /// Ends the suppression when its time has come.
    pub(super) fn expire(&mut self, now: Time) {
        self.suppression = self.suppression.filter(|suppression| now < suppression.until);
    }

    /// Other settings hold from now on. They do not make a suppression longer:
    /// how long it has lasted is not known after a restart.
    pub(super) fn adopt(&mut self, now: Time, settings: &Settings) {
        if settings.half_life.is_zero() {
            *self = Penalty::new(now);
            return;
        }
        self.set(now, settings, self.at(now));
        let before = self.suppressed_until();
        self.set_until(now, settings);
        if let (Some(suppression), Some(before)) = (&mut self.suppression, before) {
            suppression.until = suppression.until.min(before);
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Time {
        Time::from_millis(seconds * 1_000)
    }

    fn record(penalty: u32, suppressed: u64) -> PrefixRecord {
        PrefixRecord {
            prefix: "192.0.2.1/32".parse().unwrap(),
            level: Level::Full,
            penalty,
            suppressed: (suppressed > 0).then(|| Duration::from_secs(suppressed)),
            changes: 0,
        }
    }

    fn close(a: f64, b: f64) -> bool {
        (a - b).abs() < 1e-6
    }

    #[test]
    fn a_fall_adds_and_half_is_forgotten_in_each_half_life() {
        let settings = Settings::default();
        let mut penalty = Penalty::new(at(0));
        penalty.charge(at(10), &settings, Level::Withdrawn);
        assert!(close(penalty.at(at(10)), 1000.0));
        assert!(close(penalty.at(at(70)), 500.0));
        penalty.charge(at(70), &settings, Level::Depreferred);
        assert!(close(penalty.at(at(70)), 1000.0));
        assert!(close(penalty.at(at(190)), 250.0));
        assert_eq!(penalty.suppressed_until(), None);
    }

    #[test]
    fn it_suppresses_until_it_has_decayed_to_reuse() {
        let settings = Settings::default();
        let mut penalty = Penalty::new(at(0));
        (0..3).for_each(|_| penalty.charge(at(0), &settings, Level::GracefulShutdown));
        assert_eq!(penalty.suppressed_until(), None, "1500");
        (0..2).for_each(|_| penalty.charge(at(0), &settings, Level::Withdrawn));
        let until = penalty.suppressed_until().expect("3500 is too much");
        assert!(close(penalty.at(until), 1000.0), "{}", penalty.at(until));
        penalty.expire(Time::from_nanos(until.as_nanos() - 1));
        assert_eq!(penalty.suppressed_until(), Some(until));
        penalty.expire(until);
        assert_eq!(penalty.suppressed_until(), None);
    }

    #[test]
    fn a_suppression_is_never_longer_than_it_may_be() {
        let settings = Settings { max_suppress: Duration::from_secs(90), ..Settings::default() };
        let mut penalty = Penalty::new(at(0));
        let first = (0..80).find(|second| {
            penalty.charge(at(*second), &settings, Level::Withdrawn);
            penalty.suppressed_until().is_some()
        });
        assert_eq!(first, Some(3), "a little less than 3000 before");
        for second in 4..80 {
            penalty.charge(at(second), &settings, Level::Withdrawn);
            assert_eq!(penalty.suppressed_until(), Some(at(3 + 90)));
            assert!(penalty.at(at(second)) <= 3000.0, "there is a ceiling");
        }
        // 2^(90 s / 60 s) * 1000 is less than what suppresses.
        assert!(close(ceiling(&settings), 3000.0));
        assert!(close(ceiling(&Settings::default()), 1_024_000.0));
    }

    #[test]
    fn without_a_half_life_there_is_none() {
        let settings = Settings { half_life: Duration::ZERO, ..Settings::default() };
        let mut penalty = Penalty::new(at(0));
        (0..9).for_each(|_| penalty.charge(at(0), &settings, Level::Withdrawn));
        assert_eq!((penalty.at(at(0)), penalty.suppressed_until()), (0.0, None));
        let restored = Penalty::restored(at(0), &settings, Some(&record(9000, 60)), Duration::ZERO);
        assert_eq!((restored.at(at(0)), restored.suppressed_until()), (0.0, None));
    }

    #[test]
    fn other_settings_hold_for_what_is_there() {
        let mut settings = Settings::default();
        let mut penalty = Penalty::new(at(0));
        (0..4).for_each(|_| penalty.charge(at(0), &settings, Level::Withdrawn));
        assert_eq!(penalty.suppressed_until(), Some(at(120)));
        settings.half_life = Duration::from_secs(120);
        penalty.adopt(at(60), &settings);
        assert!(close(penalty.at(at(60)), 2000.0), "what was forgotten stays so");
        assert_eq!(penalty.suppressed_until(), Some(at(120)), "it is not made longer");
        settings.half_life = Duration::from_secs(30);
        penalty.adopt(at(60), &settings);
        assert_eq!(penalty.suppressed_until(), Some(at(90)), "but shorter");
        settings.max_suppress = Duration::from_secs(60);
        penalty.adopt(at(61), &settings);
        assert_eq!(penalty.suppressed_until(), None, "it has lasted longer already");
        settings.half_life = Duration::ZERO;
        penalty.adopt(at(62), &settings);
        assert_eq!(penalty.at(at(62)), 0.0);
    }

    #[test]
    fn it_decays_while_no_process_runs() {
        let settings = Settings::default();
        let restored = |penalty, suppressed, away| {
            let away = Duration::from_secs(away);
            Penalty::restored(at(7), &settings, Some(&record(penalty, suppressed)), away)
        };
        let penalty = restored(4000, 120, 60);
        assert!(close(penalty.at(at(7)), 2000.0));
        assert_eq!(penalty.suppressed_until(), Some(at(67)));
        assert_eq!(restored(2000, 60, 60).suppressed_until(), None);
        assert_eq!(restored(2000, 0, 0).suppressed_until(), None, "not above the threshold yet");
        let absurd = restored(u32::MAX, u64::MAX / 1_000, 0);
        assert!(absurd.at(at(7)) <= ceiling(&settings));
        assert_eq!(absurd.suppressed_until(), Some(at(607)), "no file suppresses longer");
    }

    #[test]
    fn settings_without_sense_do_no_harm() {
        for suppress in [0, 1, u32::MAX] {
            for reuse in [0, 1, u32::MAX] {
                for half_life in [Duration::from_nanos(1), Duration::MAX] {
                    for max_suppress in [Duration::ZERO, Duration::from_secs(1), Duration::MAX] {
                        let settings = Settings {
                            suppress,
                            reuse,
                            half_life,
                            max_suppress,
                            ..Settings::default()
                        };
                        let mut penalty = Penalty::new(at(0));
                        for second in [0, 1, 1 << 30] {
                            penalty.charge(at(second), &settings, Level::Withdrawn);
                            penalty.expire(at(second));
                            let value = penalty.at(at(second));
                            assert!((0.0..=ceiling(&settings)).contains(&value), "{settings:?}");
                        }
                    }
                }
            }
        }
    }
}
