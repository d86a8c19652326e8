//! `service=` and its companions: what the announcement of a prefix depends on,
//! and how it becomes weaker step by step.

use std::cmp::Ordering;

use super::reader::Item;
use super::report::{Report, quoted};
use super::{
    DepreferConfig, RequireConfig, ShareConfig, WhenEmptyConfig, attributes, nearest, values,
};

/// What `minhealthy=` is where it is not set.
const MIN_HEALTHY: ShareConfig = ShareConfig::Count(1);

/// What a prefix says of the services behind it.
pub(super) struct Rule {
    pub(super) services: Vec<String>,
    pub(super) require: RequireConfig,
    pub(super) min_healthy: ShareConfig,
    pub(super) shutdown_below: Option<ShareConfig>,
    pub(super) deprefer_below: Option<ShareConfig>,
    pub(super) when_empty: WhenEmptyConfig,
    pub(super) deprefer: DepreferConfig,
}

/// Reads the options of one prefix. After an error it goes on as if the option
/// were not there.
pub(super) fn read(item: &Item<'_>, report: &mut Report) -> Rule {
    let services = names(item, report);
    let rule = Rule {
        require: require(item, report, &services),
        services,
        min_healthy: item.parse(report, "minhealthy", share).unwrap_or(MIN_HEALTHY),
        shutdown_below: item.parse(report, "shutdownbelow", share),
        deprefer_below: item.parse(report, "depreferbelow", share),
        when_empty: item
            .parse(report, "whenempty", when_empty)
            .unwrap_or(WhenEmptyConfig::Withdraw),
        deprefer: deprefer(item, report),
    };
    check_ladder(item, &rule, report);
    warn_of_idle_when_empty(item, &rule, report);
    rule
}

/// Names with blanks between them. None at all is an error: who wrote it would
/// get a prefix that depends on everything.
fn names(item: &Item<'_>, report: &mut Report) -> Vec<String> {
    let Some(text) = item.map.get("service") else { return Vec::new() };
    let mut names: Vec<String> = Vec::new();
    for name in text.split_whitespace() {
        if names.iter().any(|other| other == name) {
            item.fail_value(report, "service", text, &format!("{} is there twice", quoted(name)));
            return names;
        }
        names.push(name.to_owned());
    }
    if names.is_empty() {
        let what = "expected names of services with blanks between them";
        item.fail(report, &format!("service = {}: {what}", quoted(text)));
    }
    names
}

fn require(item: &Item<'_>, report: &mut Report, services: &[String]) -> RequireConfig {
    let require = item.parse(report, "require", |text| match text {
        "all" => Ok(RequireConfig::All),
        "any" => Ok(RequireConfig::Any),
        _ => Err("expected all or any".to_owned()),
    });
    if require.is_some() && services.len() < 2 {
        item.warn(report, "require has no effect with less than two services in service");
    }
    require.unwrap_or(RequireConfig::All)
}

/// A count, or a number of percent.
fn share(text: &str) -> Result<ShareConfig, String> {
    let expected = || "expected a count from 1 up, or a share from 1% to 100%".to_owned();
    let found = match text.strip_suffix('%') {
        Some(percent) => values::decimal(percent)
            .and_then(|percent| u8::try_from(percent).ok())
            .filter(|percent| (1..=100).contains(percent))
            .map(ShareConfig::Percent),
        None => values::decimal(text)
            .and_then(|count| u32::try_from(count).ok())
            .filter(|count| *count > 0)
            .map(ShareConfig::Count),
    };
    found.ok_or_else(expected)
}

fn when_empty(text: &str) -> Result<WhenEmptyConfig, String> {
    const KNOWN: [&str; 3] = ["withdraw", "keep", "deprefer"];
    match text {
        "withdraw" => Ok(WhenEmptyConfig::Withdraw),
        "keep" => Ok(WhenEmptyConfig::Keep),
        "deprefer" => Ok(WhenEmptyConfig::Deprefer),
        other => Err(match nearest::nearest(other, KNOWN.into_iter()) {
            Some(near) => format!("did you mean {near:?}?"),
            None => "expected withdraw, keep or deprefer".to_owned(),
        }),
    }
}

fn deprefer(item: &Item<'_>, report: &mut Report) -> DepreferConfig {
    let usual = DepreferConfig::default();
    DepreferConfig {
        prepend: attributes::prepend(item, report, "depreferprepend").unwrap_or(usual.prepend),
        local_pref: item
            .number(report, "depreferlocalpref", 0..=u32::MAX)
            .unwrap_or(usual.local_pref),
        med: item.number(report, "deprefermed", 0..=u32::MAX),
        communities: attributes::plain_communities(item, report, "deprefercommunities"),
    }
}

/// The steps go down from `depreferbelow` over `shutdownbelow` to `minhealthy`.
/// Two that are turned round contradict each other, and of two that are the
/// same the upper one is never taken. A count and a share can be compared only
/// when the number of targets is known.
fn check_ladder(item: &Item<'_>, rule: &Rule, report: &mut Report) {
    let upper = [("depreferbelow", rule.deprefer_below), ("shutdownbelow", rule.shutdown_below)];
    let lowest = ("minhealthy", Some(rule.min_healthy));
    let [deprefer, shutdown] = upper;
    for ((upper, above), (lower, below)) in
        [(deprefer, shutdown), (shutdown, lowest), (deprefer, lowest)]
    {
        let (Some(above), Some(below)) = (above, below) else { continue };
        match compare(above, below) {
            Some(Ordering::Less) => {
                let what = format!(
                    "{upper} = {above} is less than {lower} = {below}; expected minhealthy <= \
                     shutdownbelow <= depreferbelow"
                );
                item.fail(report, &what);
            }
            Some(Ordering::Equal) => {
                let what = format!("{upper} has no effect, as it is not more than {lower}");
                item.warn(report, &what);
            }
            Some(Ordering::Greater) | None => {}
        }
    }
}

/// With too few targets a prefix is on the lowest of its steps, and below
/// `shutdownbelow` that is GRACEFUL_SHUTDOWN.
fn warn_of_idle_when_empty(item: &Item<'_>, rule: &Rule, report: &mut Report) {
    let lower = rule.shutdown_below.and_then(|below| compare(below, rule.min_healthy));
    if rule.when_empty == WhenEmptyConfig::Deprefer && lower.is_some() {
        let what = "whenempty=deprefer has no effect beside shutdownbelow: a prefix with fewer \
                    than minhealthy carries graceful-shutdown then";
        item.warn(report, what);
    }
}

fn compare(one: ShareConfig, other: ShareConfig) -> Option<Ordering> {
    match (one, other) {
        (ShareConfig::Count(one), ShareConfig::Count(other)) => Some(one.cmp(&other)),
        (ShareConfig::Percent(one), ShareConfig::Percent(other)) => Some(one.cmp(&other)),
        (ShareConfig::Count(_), ShareConfig::Percent(_))
        | (ShareConfig::Percent(_), ShareConfig::Count(_)) => None,
    }
}
