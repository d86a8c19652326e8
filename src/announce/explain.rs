//! What a prefix depends on, one by one, for the operator who asks why.

use std::fmt::Write;

use super::decide;
use super::facts::{Facts, ListenerFact, Maintenance, PoolFact, PrefixFacts, RegistryFact};
use super::hysteresis::Hysteresis;
use super::level::Level;
use super::reason::{PoolCount, Short};
use super::rule::{Policy, Require, Rule, Settings};
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
    if !ok && rule.require == Require::Any && rule.services.len() > 1 {
        text.push_str("; another service is enough (require=any)");
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

#[cfg(test)]
mod tests {
    use std::rc::Rc;
    use std::time::Duration;

    use super::*;
    use crate::announce::hysteresis::Range;
    use crate::announce::{Minimum, Penalty, Stop, TargetFact};

    fn at(seconds: u64) -> Time {
        Time::from_millis(seconds * 1_000)
    }

    fn pool(service: &str, healthy: usize, unknown: usize, error: Option<&str>) -> PoolFact {
        let last_error = error.map(str::to_owned);
        let targets = TargetFact { total: 3, healthy, unknown, last_error };
        PoolFact { service: Some(Rc::from(service)), targets }
    }

    fn facts() -> Facts {
        Facts {
            table_loaded: true,
            registry: RegistryFact::Fresh,
            maintenance: None,
            stopping: None,
            prefixes: Vec::new(),
        }
    }

    fn up(level: Level) -> Hysteresis {
        let mut memory = Hysteresis::new(Penalty::new(at(0)), true);
        let range = Range { floor: level, ceiling: level };
        memory.update(at(0), &Settings::default(), range, Level::Withdrawn);
        memory
    }

    fn shown(settings: &Settings, facts: &Facts, own: &PrefixFacts, memory: &Hysteresis) -> String {
        let deprefer_below = Some(Minimum::Percent(100));
        let rule = Rule { deprefer_below, ..Rule::new("192.0.2.1/32".parse().unwrap()) };
        let all = conditions(at(100), settings, &rule, facts, own, memory);
        let sign = |ok| if ok { '+' } else { '-' };
        all.iter().map(|c| format!("{} {}: {}\n", sign(c.ok), c.name, c.text)).collect()
    }

    #[test]
    fn everything_is_in_place() {
        let listeners = ListenerFact { bound: 2, configured: 2 };
        let own = PrefixFacts { listeners, pools: vec![pool("web", 3, 0, None)], drained: false };
        let text = "\
+ listeners: 2 of 2 bound
+ table: loaded
+ registry: fresh
+ targets: 3 of 3 targets of web healthy (minhealthy 1, depreferbelow 3)
+ holdup: nothing waits for its 5s
+ penalty: 0 of 3000
+ drain: no
+ maintenance: no
+ stop: not asked for
";
        assert_eq!(shown(&Settings::default(), &facts(), &own, &up(Level::Full)), text);
    }

    #[test]
    fn each_thing_that_is_not_says_so() {
        let error = "connection refused".to_owned();
        let facts = Facts {
            table_loaded: false,
            registry: RegistryFact::Stale { since: at(40), error },
            maintenance: Some(Maintenance::Operator { since: at(90) }),
            stopping: Some(Stop { hurried: false }),
            prefixes: Vec::new(),
        };
        let own = PrefixFacts {
            listeners: ListenerFact { bound: 1, configured: 2 },
            pools: vec![pool("web", 2, 1, None), pool("api", 0, 0, Some("timed out"))],
            drained: true,
        };
        let settings = Settings::default();
        let mut memory = up(Level::Full);
        for level in [Level::Depreferred, Level::GracefulShutdown, Level::Withdrawn] {
            memory.penalty.charge(at(97), &settings, level);
            memory.penalty.charge(at(97), &settings, level);
            let range = Range { floor: level, ceiling: level };
            memory.update(at(97), &settings, range, Level::Withdrawn);
        }
        let range = Range { floor: Level::Full, ceiling: Level::Full };
        memory.update(at(98), &settings, range, Level::Withdrawn);
        let text = "\
- listeners: 1 of 2 bound
- table: waiting for the first one
- registry: not read for 1m0s (last error: connection refused)
- targets: 2 of 3 targets of web healthy (minhealthy 1, depreferbelow 3); 1 not checked yet
- targets: 0 of 3 targets of api healthy (minhealthy 1, depreferbelow 3); last error: timed out
- holdup: full possible since 2s of 5s
- penalty: 3864: suppressed until it is below 1000, in 1m57s
- drain: this prefix was drained by the operator
- maintenance: drained by the operator 10s ago
- stop: asked for
";
        assert_eq!(shown(&settings, &facts, &own, &memory), text);
        let always = Settings { policy: Policy::Always, half_life: Duration::ZERO, ..settings };
        let text = shown(&always, &facts, &own, &memory);
        assert!(text.starts_with("+ policy: bgp.announce=always: listeners, table"), "{text}");
        assert!(text.contains("+ penalty: off\n"), "{text}");
    }
}
