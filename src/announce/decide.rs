//! What a prefix's service can do at this moment, from the facts alone.

use std::rc::Rc;

use super::facts::{Facts, ListenerFact, PoolFact, PrefixFacts, RegistryFact, TargetFact};
use super::hysteresis::Range;
use super::level::Level;
use super::reason::{PoolCount, Reason, Shortage};
use super::rule::{Policy, Require, Rule, Settings};

/// What the facts allow.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Decision {
    pub(super) range: Range,
    /// Why the floor of the range is what it is.
    pub(super) reason: Reason,
    /// The first checks that decide where in the range it is.
    pub(super) awaited: Option<Reason>,
}

impl Decision {
    fn certain(level: Level, reason: Reason) -> Decision {
        Decision { range: Range { floor: level, ceiling: level }, reason, awaited: None }
    }
}

/// Decides for one prefix.
pub(super) fn decide(
    settings: &Settings,
    rule: &Rule,
    facts: &Facts,
    own: &PrefixFacts,
) -> Decision {
    if settings.policy == Policy::Always {
        return Decision::certain(Level::Full, Reason::Always);
    }
    if let Some(reason) = obstacle(facts, own) {
        return Decision::certain(Level::Withdrawn, reason);
    }
    let mut decision = decide_pools(rule, &own.pools);
    if let RegistryFact::Stale { since, error } = &facts.registry {
        let cap = settings.when_stale.level();
        let Range { floor, ceiling } = decision.range;
        if floor >= cap && ceiling > cap {
            decision.reason = Reason::RegistryStale { since: *since, error: error.clone() };
        }
        decision.range = Range { floor: floor.min(cap), ceiling: ceiling.min(cap) };
    }
    if decision.range.is_certain() {
        decision.awaited = None;
    }
    decision
}

/// The first thing that keeps us from serving at all, in the order in which a
/// start gets over them.
fn obstacle(facts: &Facts, own: &PrefixFacts) -> Option<Reason> {
    let ListenerFact { bound, configured } = own.listeners;
    if configured == 0 {
        Some(Reason::NoListener)
    } else if bound < configured {
        Some(Reason::ListenersNotBound(own.listeners))
    } else if !facts.table_loaded {
        Some(Reason::NoTable)
    } else {
        None
    }
}

/// The weakest pool decides, or the strongest. A prefix without a pool depends
/// on one that is empty.
fn decide_pools(rule: &Rule, pools: &[PoolFact]) -> Decision {
    let empty = [PoolFact::default()];
    let pools = if pools.is_empty() { &empty } else { pools };
    let ranges: Vec<Range> = pools.iter().map(|pool| pool_range(rule, &pool.targets)).collect();
    let floors = || ranges.iter().map(|range| range.floor);
    let ceilings = || ranges.iter().map(|range| range.ceiling);
    let (floor, ceiling) = match rule.require {
        Require::All => (floors().min(), ceilings().min()),
        Require::Any => (floors().max(), ceilings().max()),
    };
    let floor = floor.unwrap_or_default();
    let range = Range { floor, ceiling: ceiling.unwrap_or_default().max(floor) };
    let deciding = pools.iter().zip(&ranges).find(|(_, range)| range.floor == floor);
    let reason = match (deciding, floor, rule.require) {
        (None, ..) => Reason::Starting,
        (Some((pool, _)), _, _) if is_short(rule, &pool.targets) => shortage(rule, pool),
        (Some(_), _, Require::All) => Reason::Ready { pools: pools.iter().map(count).collect() },
        (Some((pool, _)), _, Require::Any) => Reason::Ready { pools: vec![count(pool)] },
    };
    Decision { range, reason, awaited: awaited(pools, &ranges) }
}

/// The levels between which a pool is. Fewer healthy targets never make a level
/// higher: what `whenempty` keeps is no more than what a few would give.
fn pool_range(rule: &Rule, targets: &TargetFact) -> Range {
    let total = targets.total;
    let possible = targets.healthy.saturating_add(targets.unknown);
    Range { floor: level(rule, targets.healthy, total), ceiling: level(rule, possible, total) }
}

/// What so many healthy targets are good for.
pub(super) fn level(rule: &Rule, healthy: usize, total: usize) -> Level {
    let below = |minimum: super::Minimum| healthy < minimum.of(total);
    let ladder = if rule.shutdown_below.is_some_and(below) {
        Level::GracefulShutdown
    } else if rule.deprefer_below.is_some_and(below) {
        Level::Depreferred
    } else {
        Level::Full
    };
    if below(rule.minimum) { ladder.min(rule.when_empty.level()) } else { ladder }
}

/// Whether a threshold is not reached.
pub(super) fn is_short(rule: &Rule, targets: &TargetFact) -> bool {
    let below = |minimum: super::Minimum| targets.healthy < minimum.of(targets.total);
    below(rule.minimum)
        || rule.shutdown_below.is_some_and(below)
        || rule.deprefer_below.is_some_and(below)
}

/// Which threshold a pool is below: the one that decided its level.
fn shortage(rule: &Rule, pool: &PoolFact) -> Reason {
    let targets = &pool.targets;
    let service = pool.service.clone();
    let short_of = |minimum: super::Minimum| Shortage {
        service: service.clone(),
        healthy: targets.healthy,
        total: targets.total,
        needed: minimum.of(targets.total),
        last_error: targets.last_error.clone(),
    };
    let below = |minimum: &super::Minimum| targets.healthy < minimum.of(targets.total);
    let is_below_minimum = below(&rule.minimum);
    if is_below_minimum && targets.total == 0 {
        return Reason::NoTarget { service, when_empty: rule.when_empty };
    }
    match (rule.shutdown_below.filter(below), rule.deprefer_below.filter(below)) {
        _ if is_below_minimum => {
            Reason::BelowMinimum { short: short_of(rule.minimum), when_empty: rule.when_empty }
        }
        (Some(minimum), _) => Reason::BelowShutdown(short_of(minimum)),
        (None, Some(minimum)) => Reason::BelowDeprefer(short_of(minimum)),
        (None, None) => Reason::Ready { pools: vec![count(pool)] },
    }
}

fn count(pool: &PoolFact) -> PoolCount {
    let TargetFact { healthy, total, .. } = pool.targets;
    PoolCount { service: pool.service.clone(), healthy, total }
}

/// The first checks on which the level depends.
fn awaited(pools: &[PoolFact], ranges: &[Range]) -> Option<Reason> {
    let mut open = pools.iter().zip(ranges).filter(|(_, range)| !range.is_certain());
    let (first, _) = open.next()?;
    let mut service: Option<Rc<str>> = first.service.clone();
    let mut unknown = first.targets.unknown;
    for (pool, _) in open {
        service = None;
        unknown = unknown.saturating_add(pool.targets.unknown);
    }
    Some(Reason::AwaitingChecks { service, unknown })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::announce::{Minimum, WhenEmpty, WhenStale};
    use crate::reactor::Time;
    use Level::{Depreferred, Full, GracefulShutdown, Withdrawn};

    /// A pool with `healthy` and `unknown` of `total` targets.
    fn pool(service: &str, healthy: usize, unknown: usize, total: usize) -> PoolFact {
        let targets = TargetFact { total, healthy, unknown, last_error: None };
        let service = (!service.is_empty()).then(|| Rc::from(service));
        PoolFact { service, targets }
    }

    fn with(pools: &[PoolFact]) -> (Facts, PrefixFacts) {
        let listeners = ListenerFact { bound: 2, configured: 2 };
        let own = PrefixFacts { listeners, pools: pools.to_vec(), drained: false };
        let facts = Facts {
            table_loaded: true,
            registry: RegistryFact::Fresh,
            maintenance: None,
            stopping: None,
            prefixes: Vec::new(),
        };
        (facts, own)
    }

    fn rule() -> Rule {
        Rule::new("192.0.2.1/32".parse().unwrap())
    }

    fn ladder() -> Rule {
        let [minimum, shutdown, deprefer] = [2, 3, 4].map(Minimum::Count);
        let (shutdown_below, deprefer_below) = (Some(shutdown), Some(deprefer));
        Rule { minimum, shutdown_below, deprefer_below, ..rule() }
    }

    fn range(rule: &Rule, pools: &[PoolFact]) -> (Level, Level) {
        let (facts, own) = with(pools);
        let Range { floor, ceiling } = decide(&Settings::default(), rule, &facts, &own).range;
        (floor, ceiling)
    }

    #[test]
    fn each_threshold_has_its_level() {
        for (healthy, level, reason) in [
            (0, Withdrawn, "no healthy target (0 of 5)"),
            (1, Withdrawn, "1 of 5 targets healthy, 2 wanted"),
            (2, GracefulShutdown, "2 of 5 targets healthy, 3 wanted"),
            (3, Depreferred, "3 of 5 targets healthy, 4 wanted"),
            (4, Full, "4 of 5 targets healthy"),
        ] {
            let (facts, own) = with(&[pool("", healthy, 0, 5)]);
            let decision = decide(&Settings::default(), &ladder(), &facts, &own);
            assert_eq!(decision, Decision::certain(level, decision.reason.clone()));
            assert_eq!(decision.reason.to_string(), reason);
        }
    }

    #[test]
    fn each_missing_condition_withdraws_and_is_named() {
        let without = |change: fn(&mut Facts, &mut PrefixFacts), reason: &str| {
            let (mut facts, mut own) = with(&[pool("web", 2, 0, 2)]);
            change(&mut facts, &mut own);
            let decision = decide(&Settings::default(), &rule(), &facts, &own);
            assert_eq!(decision, Decision::certain(Withdrawn, decision.reason.clone()));
            assert_eq!(decision.reason.to_string(), reason);
            // None of that counts for `always`.
            let settings = Settings { policy: Policy::Always, ..Settings::default() };
            let always = Decision::certain(Full, Reason::Always);
            assert_eq!(decide(&settings, &rule(), &facts, &own), always);
        };
        without(|_, own| own.listeners.bound = 1, "listeners not bound (1 of 2)");
        without(|_, own| own.listeners = ListenerFact::default(), "no listener is configured");
        without(|facts, _| facts.table_loaded = false, "waiting for the first route table");
        without(|_, own| own.pools.clear(), "no target in the route table");
        without(|_, own| own.pools = vec![pool("web", 0, 0, 0)], "no target of web");
        without(
            |_, own| own.pools = vec![pool("web", 0, 0, 2)],
            "no healthy target of web (0 of 2)",
        );
    }

    #[test]
    fn with_too_few_the_operator_says_what_happens() {
        for (when_empty, level) in [
            (WhenEmpty::Withdraw, Withdrawn),
            (WhenEmpty::Deprefer, Depreferred),
            (WhenEmpty::Keep, Full),
        ] {
            let rule = Rule { when_empty, ..rule() };
            assert_eq!(range(&rule, &[pool("", 0, 0, 2)]), (level, level));
            assert_eq!(range(&rule, &[]), (level, level));
            assert_eq!(range(&rule, &[pool("", 1, 0, 2)]), (Full, Full));
        }
    }

    /// Else a service that loses its last target would draw more traffic than
    /// before.
    #[test]
    fn fewer_healthy_targets_never_make_a_level_higher() {
        for when_empty in [WhenEmpty::Withdraw, WhenEmpty::Keep, WhenEmpty::Deprefer] {
            for thresholds in 0..1000 {
                let minimum = |digit: u32| Minimum::Count(digit % 10);
                let (one, two, three) = (thresholds % 10, thresholds / 10 % 10, thresholds / 100);
                let rule = Rule {
                    minimum: minimum(one),
                    shutdown_below: (two > 0).then(|| minimum(two)),
                    deprefer_below: (three > 0).then(|| minimum(three)),
                    when_empty,
                    ..rule()
                };
                let levels: Vec<Level> = (0..10).map(|healthy| level(&rule, healthy, 9)).collect();
                assert!(levels.is_sorted(), "{rule:?}: {levels:?}");
            }
        }
    }

    #[test]
    fn all_services_or_any() {
        let pools = [pool("web", 4, 0, 4), pool("api", 3, 0, 4), pool("dns", 0, 0, 4)];
        let any = Rule { require: Require::Any, ..ladder() };
        assert_eq!(range(&ladder(), &pools), (Withdrawn, Withdrawn));
        assert_eq!(range(&ladder(), &pools[..2]), (Depreferred, Depreferred));
        assert_eq!(range(&any, &pools), (Full, Full));
        assert_eq!(range(&any, &pools[1..]), (Depreferred, Depreferred));
        assert_eq!(range(&any, &pools[2..]), (Withdrawn, Withdrawn));
        for (rule, pools, reason) in [
            (ladder(), &pools[..], "no healthy target of dns (0 of 4)"),
            (ladder(), &pools[..1], "4 of 4 targets of web healthy"),
            (any.clone(), &pools[..], "4 of 4 targets of web healthy"),
            (any, &pools[1..], "3 of 4 targets of api healthy, 4 wanted"),
        ] {
            let (facts, own) = with(pools);
            let decision = decide(&Settings::default(), &rule, &facts, &own);
            assert_eq!(decision.reason.to_string(), reason);
        }
    }

    #[test]
    fn what_was_not_checked_may_be_either() {
        let any = Rule { require: Require::Any, ..ladder() };
        for (pools, all, of_any) in [
            (vec![pool("", 0, 5, 5)], (Withdrawn, Full), (Withdrawn, Full)),
            (
                vec![pool("", 2, 1, 5)],
                (GracefulShutdown, Depreferred),
                (GracefulShutdown, Depreferred),
            ),
            (vec![pool("", 4, 1, 5)], (Full, Full), (Full, Full)),
            (vec![pool("", 4, 0, 4), pool("", 0, 3, 4)], (Withdrawn, Depreferred), (Full, Full)),
            (
                vec![pool("", 0, 0, 4), pool("", 0, 3, 4)],
                (Withdrawn, Withdrawn),
                (Withdrawn, Depreferred),
            ),
        ] {
            assert_eq!(range(&ladder(), &pools), all, "all of {pools:?}");
            assert_eq!(range(&any, &pools), of_any, "any of {pools:?}");
        }
        let (facts, own) = with(&[pool("web", 0, 2, 2), pool("api", 1, 0, 1)]);
        let decision = decide(&Settings::default(), &rule(), &facts, &own);
        let text = decision.awaited.map(|reason| reason.to_string());
        let expected = "waiting for the first health check of 2 targets of web";
        assert_eq!(text.as_deref(), Some(expected));
    }

    #[test]
    fn a_stale_registry_is_a_ceiling() {
        let stale = |when_stale, pools: &[PoolFact]| {
            let (mut facts, own) = with(pools);
            let error = "connection refused".to_owned();
            facts.registry = RegistryFact::Stale { since: Time::ZERO, error };
            let settings = Settings { when_stale, ..Settings::default() };
            decide(&settings, &ladder(), &facts, &own)
        };
        let full = [pool("", 5, 0, 5)];
        for (when_stale, level) in
            [(WhenStale::Deprefer, Depreferred), (WhenStale::Withdraw, Withdrawn)]
        {
            let decision = stale(when_stale, &full);
            assert_eq!(decision, Decision::certain(level, decision.reason.clone()));
            let text = "registry cannot be read (last error: connection refused)";
            assert_eq!(decision.reason.to_string(), text);
        }
        // Below that the targets are what matters.
        let decision = stale(WhenStale::Deprefer, &[pool("", 2, 0, 5)]);
        assert_eq!(decision.range, Range { floor: GracefulShutdown, ceiling: GracefulShutdown });
        assert_eq!(decision.reason.to_string(), "2 of 5 targets healthy, 3 wanted");
        let decision = stale(WhenStale::Withdraw, &[pool("", 0, 5, 5)]);
        assert_eq!((decision.range.ceiling, decision.awaited), (Withdrawn, None));
        assert!(matches!(decision.reason, Reason::RegistryStale { .. }));
    }
}
