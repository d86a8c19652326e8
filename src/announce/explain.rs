//! What a prefix depends on, one by one, for the operator who asks why.

use std::fmt::Write;

use super::decide;
use super::facts::{Facts, ListenerFact, Maintenance, PoolFact, PrefixFacts, RegistryFact};
use super::hysteresis::Hysteresis;
use super::level::Level;
use super::reason::{PoolCount, Short};
use super::rule::{Policy, Rule, Settings};
use crate::reactor::Time;

/// One thing that an announcement depends on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Condition {
    /// A short name that does not change: `policy` (only where that is
    /// `always`), `listeners`, `table`, `registry`, `targets` (one for each
    /// service), `holdup`, `penalty`, `drain`, `maintenance` or `stop`.
    pub name: &'static str,
    /// Whether it allows the full level.
    pub ok: bool,
    /// How it is, in words.
    pub text: String,
}

impl Condition {
    fn new(name: &'static str, ok: bool, text: impl Into<String>) -> Condition {
        Condition { name, ok, text: text.into() }
    }
}

/// Everything that one prefix depends on, the service's part before the
/// operator's.
pub(super) fn conditions(
    now: Time,
    settings: &Settings,
    rule: &Rule,
    facts: &Facts,
    own: &PrefixFacts,
    memory: &Hysteresis,
) -> Vec<Condition> {
    let mut all = Vec::new();
    if settings.policy == Policy::Always {
        let text = "bgp.announce=always: listeners, table, registry and targets do not count";
        all.push(Condition::new("policy", true, text));
    }
    all.push(listeners(own.listeners));
    let text = if facts.table_loaded { "loaded" } else { "waiting for the first one" };
    all.push(Condition::new("table", facts.table_loaded, text));
    all.push(registry(now, &facts.registry));
    let empty = [PoolFact::default()];
    let pools = if own.pools.is_empty() { &empty } else { own.pools.as_slice() };
    all.extend(pools.iter().map(|pool| targets(rule, pool)));
    all.push(hold_up(now, settings, memory));
    all.push(penalty(now, settings, memory));
    let text = if own.drained { "this prefix was drained by the operator" } else { "no" };
    all.push(Condition::new("drain", !own.drained, text));
    all.push(maintenance(now, facts.maintenance.as_ref()));
    let text = match facts.stopping {
        None => "not asked for",
        Some(stop) if stop.hurried => "asked for twice: the waits are skipped",
        Some(_) => "asked for",
    };
    all.push(Condition::new("stop", facts.stopping.is_none(), text));
    all
}

fn listeners(ListenerFact { bound, configured }: ListenerFact) -> Condition {
    let text = match configured {
        0 => "none is configured".to_owned(),
        _ => format!("{bound} of {configured} bound"),
    };
    Condition::new("listeners", configured > 0 && bound >= configured, text)
}

fn registry(now: Time, fact: &RegistryFact) -> Condition {
    match fact {
        RegistryFact::Fresh => Condition::new("registry", true, "fresh"),
        RegistryFact::Stale { since, error } => {
            let age = Short(now.since(*since));
            Condition::new("registry", false, format!("not read for {age} (last error: {error})"))
        }
    }
}

fn targets(rule: &Rule, PoolFact { service, targets }: &PoolFact) -> Condition {
    let (healthy, total) = (targets.healthy, targets.total);
    let ok = decide::level(rule, healthy, total) == Level::Full && !decide::is_short(rule, targets);
    let mut text = PoolCount { service: service.clone(), healthy, total }.to_string();
    let thresholds = [
        ("minhealthy", Some(rule.minimum)),
        ("shutdownbelow", rule.shutdown_below),
        ("depreferbelow", rule.deprefer_below),
    ];
    let mut separator = " (";
    for (name, minimum) in thresholds {
        if let Some(minimum) = minimum {
            // Writing to a String does not fail.
            let _ = write!(text, "{separator}{name} {}", minimum.of(total));
            separator = ", ";
        }
    }
    text.push(')');
    if targets.unknown > 0 {
        let _ = write!(text, "; {} not checked yet", targets.unknown);
    }
    if let Some(error) = &targets.last_error {
        let _ = write!(text, "; last error: {error}");
    }
    Condition::new("targets", ok, text)
}

fn hold_up(now: Time, settings: &Settings, memory: &Hysteresis) -> Condition {
    let hold_up = settings.hold_up;
    let pending = memory.next_rise(settings).and_then(|rise| {
        let since = memory.since(rise.level)?;
        (now < since + hold_up).then_some((rise.level, since))
    });
    match pending {
        Some((level, since)) => {
            let (held, hold_up) = (Short(now.since(since)), Short(hold_up));
            Condition::new("holdup", false, format!("{level} possible since {held} of {hold_up}"))
        }
        None => Condition::new("holdup", true, format!("nothing waits for its {}", Short(hold_up))),
    }
}

fn penalty(now: Time, settings: &Settings, memory: &Hysteresis) -> Condition {
    if settings.half_life.is_zero() {
        return Condition::new("penalty", true, "off");
    }
    let Settings { suppress, reuse, .. } = settings;
    let value = memory.penalty.at(now);
    match memory.penalty.suppressed_until() {
        Some(until) => {
            let left = Short(until.since(now));
            let text = format!("{value:.0}: suppressed until it is below {reuse}, in {left}");
            Condition::new("penalty", false, text)
        }
        None => Condition::new("penalty", true, format!("{value:.0} of {suppress}")),
    }
}

fn maintenance(now: Time, switch: Option<&Maintenance>) -> Condition {
    let text = match switch {
        None => "no".to_owned(),
        Some(Maintenance::File { path }) => format!("{path} exists"),
        Some(Maintenance::Operator { since }) => {
            format!("drained by the operator {} ago", Short(now.since(*since)))
        }
    };
    Condition::new("maintenance", switch.is_none(), text)
}
