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
        if decision.range.floor > cap {
            decision.reason = Reason::RegistryStale { since: *since, error: error.clone() };
        }
        decision.range.floor = decision.range.floor.min(cap);
        decision.range.ceiling = decision.range.ceiling.min(cap);
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
