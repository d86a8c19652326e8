//! What the announcer has to do, written down once more: as plainly as can be,
//! from what is promised and not from how it works.

use std::time::Duration;

use burgee::announce::Policy;
use burgee::announce::{
    Facts, Level, Minimum, PrefixFacts, PrefixStatus, RegistryFact, Require, Rule, Settings,
    TargetFact, WhenEmpty, WhenStale,
};
use burgee::reactor::Time;

/// Most that a prefix can fall while it is suppressed and does not rise: to each
/// of the lower levels, one after the other.
const ALL_FALLS: f64 = 2_000.0;

/// Whether so many healthy targets are good for a level.
fn can(level: Level, rule: &Rule, healthy: usize, total: usize) -> bool {
    let enough = |minimum: Minimum| match minimum {
        Minimum::Count(count) => healthy >= 1 && healthy >= count as usize,
        Minimum::Percent(share) => healthy >= 1 && healthy * 100 >= usize::from(share) * total,
    };
    let serves = enough(rule.minimum);
    match level {
        Level::Withdrawn => true,
        Level::GracefulShutdown => serves || rule.when_empty != WhenEmpty::Withdraw,
        Level::Depreferred => {
            (serves || rule.when_empty != WhenEmpty::Withdraw)
                && rule.shutdown_below.is_none_or(enough)
        }
        Level::Full => {
            (serves || rule.when_empty == WhenEmpty::Keep)
                && rule.shutdown_below.is_none_or(enough)
                && rule.deprefer_below.is_none_or(enough)
        }
    }
}

/// The lowest and the highest level that a pool may be good for, whatever the
/// checks say that are still to come.
fn pool(rule: &Rule, targets: &TargetFact) -> (Level, Level) {
    let levels = (0..=targets.unknown).map(|more| {
        let healthy = targets.healthy + more;
        let able = |level: &Level| can(*level, rule, healthy, targets.total);
        Level::ALL.into_iter().rev().find(able).unwrap()
    });
    (levels.clone().min().unwrap(), levels.max().unwrap())
}

/// The lowest and the highest level that the facts may allow.
pub fn allowed(
    settings: &Settings,
    rule: &Rule,
    facts: &Facts,
    own: &PrefixFacts,
) -> (Level, Level) {
    if settings.policy == Policy::Always {
        return (Level::Full, Level::Full);
    }
    let listens = own.listeners.configured > 0 && own.listeners.bound == own.listeners.configured;
    if !listens || !facts.table_loaded {
        return (Level::Withdrawn, Level::Withdrawn);
    }
    let pools: Vec<(Level, Level)> = match own.pools.as_slice() {
        [] => vec![pool(rule, &TargetFact::default())],
        pools => pools.iter().map(|it| pool(rule, &it.targets)).collect(),
    };
    let (lows, highs) = (pools.iter().map(|it| it.0), pools.iter().map(|it| it.1));
    let (low, high) = match rule.require {
        Require::All => (lows.min().unwrap(), highs.min().unwrap()),
        Require::Any => (lows.max().unwrap(), highs.max().unwrap()),
    };
    match (&facts.registry, settings.when_stale) {
        (RegistryFact::Fresh, _) => (low, high),
        (_, WhenStale::Deprefer) => (low.min(Level::Depreferred), high.min(Level::Depreferred)),
        (_, WhenStale::Withdraw) => (Level::Withdrawn, Level::Withdrawn),
    }
}

/// Whether a switch is on.
pub fn is_switched_off(facts: &Facts, own: &PrefixFacts) -> bool {
    facts.stopping.is_some() || facts.maintenance.is_some() || own.drained
}

/// What is left of a penalty after a while.
fn decayed(value: f64, elapsed: Duration, half_life: Duration) -> f64 {
    value * 0.5_f64.powf(elapsed.as_secs_f64() / half_life.as_secs_f64())
}

/// How one prefix's penalty ought to be. The settings of penalties stay the same
/// during a life.
#[derive(Clone, Debug)]
pub struct Shadow {
    value: f64,
    at: Time,
    /// When the suppression began and when it ends.
    suppressed: Option<(Time, Time)>,
    /// All that was ever added.
    added: f64,
    /// How long it had to be forgotten.
    elapsed: Duration,
    suppressions: u32,
    /// Each record rounds.
    restarts: u32,
}

impl Shadow {
    fn new(now: Time) -> Shadow {
        Shadow {
            value: 0.0,
            at: now,
            suppressed: None,
            added: 0.0,
            elapsed: Duration::ZERO,
            suppressions: 0,
            restarts: 0,
        }
    }

    fn pass(&mut self, now: Time, settings: &Settings) {
        let elapsed = now.since(self.at);
        self.elapsed += elapsed;
        self.value = decayed(self.value, elapsed, settings.half_life);
        self.at = now;
    }

    fn add(&mut self, now: Time, settings: &Settings, more: f64) {
        self.pass(now, settings);
        self.added += more;
        self.value = (self.value + more).min(ceiling(settings));
        self.suppressed = self.suppressed.filter(|(_, until)| now < *until);
        let began = self.suppressed.map(|(began, _)| began);
        let began = began.or((self.value >= f64::from(settings.suppress)).then_some(now));
        if let Some(began) = began {
            self.suppressions += u32::from(self.suppressed.is_none());
            let half_lives = (self.value / f64::from(settings.reuse)).log2().max(0.0);
            let until = now + settings.half_life.mul_f64(half_lives);
            self.suppressed = Some((began, until.min(began + settings.max_suppress)));
        }
    }

    /// By how much the announcer may differ from this, in points and in time.
    fn tolerance(&self, settings: &Settings) -> (f64, Duration) {
        let restarts = self.restarts + 1;
        let rounding = settings.half_life.mul_f64(0.01 * f64::from(self.restarts));
        (f64::from(self.restarts) * 1.1 + 0.01, Duration::from_millis(2) * restarts + rounding)
    }
}

/// The most that a penalty may be.
pub fn ceiling(settings: &Settings) -> f64 {
    let half_lives = settings.max_suppress.as_secs_f64() / settings.half_life.as_secs_f64();
    let decays_in_time = f64::from(settings.reuse) * half_lives.exp2();
    decays_in_time.max(f64::from(settings.suppress)).min(f64::from(u32::MAX))
}

/// What is known of one prefix in one life of the process.
#[derive(Clone, Debug)]
pub struct Model {
    /// What the neighbours have.
    pub level: Level,
    service: Level,
    /// Since when it is at its level.
    since: Time,
    /// It was not announced yet.
    is_new: bool,
    /// What the neighbours have kept of it from a former life is not theirs to drop yet.
    pub is_preliminary: bool,
    /// The first announcement need not be held up.
    immediate: bool,
    /// Since when the facts have allowed each level beyond doubt.
    certain: [Option<Time>; 4],
    pub shadow: Shadow,
}

/// What a record keeps of a model.
#[derive(Clone, Debug)]
pub struct Saved {
    level: Level,
    shadow: Shadow,
}

/// What an update did, for those who count.
#[derive(Clone, Copy, Debug, Default)]
pub struct Seen {
    pub rose: bool,
    pub fell: bool,
    pub was_held_up: bool,
    pub was_suppressed: bool,
    pub awaited_checks: bool,
}

impl Model {
    /// A prefix that is new, in a process that is not or whose last one ended as
    /// planned if `immediate`.
    pub fn new(now: Time, immediate: bool) -> Model {
        Model {
            level: Level::Withdrawn,
            service: Level::Withdrawn,
            since: now,
            is_new: true,
            is_preliminary: true,
            immediate,
            certain: [None; 4],
            shadow: Shadow::new(now),
        }
    }

    /// What a record made now keeps.
    pub fn save(&self, now: Time, settings: &Settings) -> Saved {
        let mut shadow = self.shadow.clone();
        if !settings.half_life.is_zero() {
            shadow.pass(now, settings);
        }
        Saved { level: self.level, shadow }
    }

    /// The next life, which reads a record that was made `away` ago.
    pub fn restored(
        now: Time,
        settings: &Settings,
        saved: &Saved,
        away: Duration,
        crashed: bool,
    ) -> Model {
        let mut model = Model::new(now, !crashed);
        if settings.half_life.is_zero() {
            return model;
        }
        let before = &saved.shadow;
        let left = before.suppressed.map(|(_, until)| until.since(before.at).saturating_sub(away));
        model.shadow = Shadow {
            value: decayed(before.value, away, settings.half_life),
            at: now,
            suppressed: left
                .filter(|left| !left.is_zero())
                .map(|left| (now, now + left.min(settings.max_suppress))),
            elapsed: before.elapsed + away,
            restarts: before.restarts + 1,
            ..before.clone()
        };
        if crashed && saved.level != Level::Withdrawn {
            model.shadow.add(now, settings, 1_000.0);
        }
        model
    }

    /// Whether more is known soon, and nothing is decided before.
    pub fn waits(&self, low: Level, high: Level) -> bool {
        self.is_new && low < high
    }

    /// Holds what the announcer has decided against what it has promised.
    pub fn check(
        &mut self,
        now: Time,
        settings: &Settings,
        rule: &Rule,
        facts: &Facts,
        own: &PrefixFacts,
        status: &PrefixStatus,
    ) -> Seen {
        let (low, high) = allowed(settings, rule, facts, own);
        let waits = self.waits(low, high);
        for (level, since) in Level::ALL.into_iter().zip(&mut self.certain) {
            let is_certain = level <= low && (!waits || level == Level::Withdrawn);
            *since = is_certain.then(|| since.unwrap_or(now));
        }
        let (before, service) = (self.service, status.service_level);
        self.check_fall(now, settings, high, service);
        self.check_penalty(now, settings, status);
        let mut seen = self.check_rise(now, settings, low, status);
        seen.awaited_checks = waits;
        (seen.rose, seen.fell) = (service > before, service < before);
        self.service = service;
        if service > Level::Withdrawn {
            (self.is_new, self.immediate) = (false, false);
        }
        self.check_switches(now, settings, facts, own, status);
        seen
    }

    /// No fall is delayed, none is for nothing, and what the neighbours see of
    /// it costs.
    fn check_fall(&mut self, now: Time, settings: &Settings, high: Level, service: Level) {
        assert!(service <= high, "at {service}, though no more than {high} is possible");
        if service < self.service {
            assert_eq!(service, high, "it fell further than the facts ask for");
            if service < self.level && !settings.half_life.is_zero() {
                let cost = if service == Level::Withdrawn { 1_000.0 } else { 500.0 };
                self.shadow.add(now, settings, cost);
            }
        }
    }

    fn check_penalty(&mut self, now: Time, settings: &Settings, status: &PrefixStatus) {
        if settings.half_life.is_zero() {
            assert_eq!((status.penalty(now), status.suppressed_until), (0.0, None));
            return;
        }
        self.shadow.pass(now, settings);
        let (points, time) = self.shadow.tolerance(settings);
        let (value, is) = (self.shadow.value, status.penalty(now));
        assert!((value - is).abs() <= points, "a penalty of {is}, not {value}");
        match (self.shadow.suppressed, status.suppressed_until) {
            (Some((_, until)), None) => {
                assert!(now + time >= until, "suppressed until {until:?}, and it is {now:?}");
                self.shadow.suppressed = None;
            }
            (Some((began, until)), Some(at)) => {
                let difference = until.since(at).max(at.since(until));
                assert!(difference <= time, "until {at:?}, not {until:?}");
                // So that rounding does not add up.
                self.shadow.suppressed = Some((began, at));
            }
            (None, Some(until)) => {
                let is_close = (value - f64::from(settings.suppress)).abs() <= points;
                assert!(is_close, "suppressed with a penalty of {value}");
                self.shadow.suppressed = Some((now, until));
            }
            (None, None) => {}
        }
        let Shadow { added, elapsed, suppressions, .. } = self.shadow;
        let most = f64::from(settings.suppress) + ALL_FALLS;
        let forgotten = elapsed.as_secs_f64() / settings.half_life.as_secs_f64();
        let mut bound = most * (1.0 + forgotten * std::f64::consts::LN_2) + 0.01;
        if ceiling(settings) < most {
            // What is above the ceiling is not remembered.
            bound += ALL_FALLS * f64::from(suppressions);
        }
        assert!(added <= bound, "{added} points of falls in {elapsed:?}, more than {bound}");
    }

    /// A rise is to what was certain for long enough, and is not put off.
    fn check_rise(
        &mut self,
        now: Time,
        settings: &Settings,
        low: Level,
        status: &PrefixStatus,
    ) -> Seen {
        let service = status.service_level;
        let hold_up = if self.immediate { Duration::ZERO } else { settings.hold_up };
        let is_due = |level: Level| {
            let since = self.certain.get(level as usize).copied().flatten();
            since.is_some_and(|since| since + hold_up <= now)
        };
        let suppressed = status.suppressed_until;
        assert!(suppressed.is_none_or(|until| until > now), "it is over");
        let mut seen = Seen::default();
        if service > self.service {
            assert!(service <= low, "a rise to {service} that not more than {low} allows");
            assert!(is_due(service), "a rise to {service} that was not held up");
            assert!(suppressed.is_none(), "a rise to {service} while it is suppressed");
        }
        for level in Level::ALL.into_iter().filter(|level| *level > service) {
            let certain = self.certain.get(level as usize).copied().flatten().is_some();
            seen.was_suppressed |= certain && suppressed.is_some();
            seen.was_held_up |= certain && !is_due(level);
            assert!(!is_due(level) || suppressed.is_some(), "{level} is due, and it is {service}");
        }
        seen
    }

    /// A switch withdraws, after the time in which the neighbours are told; when
    /// it is off the service alone counts.
    fn check_switches(
        &mut self,
        now: Time,
        settings: &Settings,
        facts: &Facts,
        own: &PrefixFacts,
        status: &PrefixStatus,
    ) {
        let service = status.service_level;
        let tells = |since: Time| now < since + settings.graceful_shutdown;
        let hurried = facts.stopping.is_some_and(|stop| stop.hurried);
        let expected = match self.level {
            _ if !is_switched_off(facts, own) => service,
            Level::Withdrawn => Level::Withdrawn,
            _ if hurried || service == Level::Withdrawn => Level::Withdrawn,
            Level::GracefulShutdown if tells(self.since) => Level::GracefulShutdown,
            Level::GracefulShutdown => Level::Withdrawn,
            _ if tells(now) => Level::GracefulShutdown,
            _ => Level::Withdrawn,
        };
        assert_eq!(status.level, expected, "was {}, the service {service}", self.level);
        if status.level != self.level {
            (self.level, self.since) = (status.level, now);
            assert_eq!(status.last_change, Some(now));
        }
        assert_eq!(status.since, self.since);
    }
}
