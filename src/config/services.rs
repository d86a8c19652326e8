//! `service=` and its companions: what the announcement of a prefix depends on,
//! and how it becomes weaker step by step.

use std::cmp::Ordering;

use super::reader::Item;
use super::report::{Report, quoted};
use super::{
    AnycastConfig, DepreferConfig, RequireConfig, ShareConfig, WhenEmptyConfig, attributes,
    nearest, values,
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

/// Whether a prefix is ever announced as less preferred for want of healthy
/// targets.
pub(super) fn deprefers(prefix: &AnycastConfig) -> bool {
    let AnycastConfig { min_healthy, shutdown_below, deprefer_below, when_empty, .. } = prefix;
    let is_taken = |below: ShareConfig| {
        let next = shutdown_below.unwrap_or(*min_healthy);
        compare(below, next) != Some(Ordering::Equal)
    };
    let is_hidden = shutdown_below.is_some_and(|below| compare(below, *min_healthy).is_some());
    deprefer_below.is_some_and(is_taken) || (*when_empty == WhenEmptyConfig::Deprefer && !is_hidden)
}

/// With too few targets a prefix is on the lowest of its steps, and below
/// `shutdownbelow` that is GRACEFUL_SHUTDOWN.
fn warn_of_idle_when_empty(item: &Item<'_>, rule: &Rule, report: &mut Report) {
    if rule.when_empty == WhenEmptyConfig::Deprefer
        && rule.shutdown_below.is_some_and(|below| compare(below, rule.min_healthy).is_some())
    {
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

#[cfg(test)]
mod tests {
    use super::super::testing::{errors, load_file, loaded};
    use super::*;

    fn prefix(options: &str) -> AnycastConfig {
        let text = format!("bgp.anycastaddresses=192.0.2.10/32;{options}");
        loaded(&text).config.bgp.anycast_addresses.remove(0)
    }

    /// What is said of a prefix, without what it all begins with.
    fn said(options: &str) -> (Vec<String>, Vec<String>) {
        let text = format!("bgp.anycastaddresses=192.0.2.10/32;{options}");
        let (errors, warnings) = match load_file(&text) {
            Ok(loaded) => (Vec::new(), loaded.warnings),
            Err(error) => (error.errors, error.warnings),
        };
        let begin = "f:1: bgp.anycastaddresses: prefix 192.0.2.10/32: ";
        let own = |texts: Vec<String>| {
            texts.iter().filter_map(|text| text.strip_prefix(begin)).map(str::to_owned).collect()
        };
        (own(errors), own(warnings))
    }

    fn nothing(options: &str) {
        assert_eq!(said(options), (vec![], vec![]), "{options}");
    }

    fn only_error(options: &str) -> String {
        let (mut errors, _) = said(options);
        assert_eq!(errors.len(), 1, "{options}: {errors:?}");
        errors.remove(0)
    }

    fn only_warning(options: &str) -> String {
        let (errors, mut warnings) = said(options);
        assert_eq!((errors.len(), warnings.len()), (0, 1), "{options}: {errors:?} {warnings:?}");
        warnings.remove(0)
    }

    #[test]
    fn defaults_and_every_option() {
        let found = prefix("");
        assert!(found.services.is_empty());
        assert_eq!(found.require, RequireConfig::All);
        assert_eq!(found.min_healthy, ShareConfig::Count(1));
        assert_eq!((found.shutdown_below, found.deprefer_below), (None, None));
        assert_eq!(found.when_empty, WhenEmptyConfig::Withdraw);
        let usual =
            DepreferConfig { prepend: 3, local_pref: 50, med: None, communities: Vec::new() };
        assert_eq!(found.deprefer, usual);
        let found = prefix(
            "service=web  api;require=any;minhealthy=2;shutdownbelow=50%;depreferbelow=100%;\
             whenempty=keep;depreferprepend=0;depreferlocalpref=0;deprefermed=7;\
             deprefercommunities=65000:2 65000:1",
        );
        assert_eq!(found.services, ["web", "api"]);
        assert_eq!(found.require, RequireConfig::Any);
        assert_eq!(found.min_healthy, ShareConfig::Count(2));
        assert_eq!(found.shutdown_below, Some(ShareConfig::Percent(50)));
        assert_eq!(found.deprefer_below, Some(ShareConfig::Percent(100)));
        assert_eq!(found.when_empty, WhenEmptyConfig::Keep);
        let communities = vec![0xfde8_0001, 0xfde8_0002];
        assert_eq!(
            found.deprefer,
            DepreferConfig { prepend: 0, local_pref: 0, med: Some(7), communities }
        );
        assert_eq!(prefix("whenempty=deprefer").when_empty, WhenEmptyConfig::Deprefer);
    }

    #[test]
    fn names_of_services() {
        nothing("service=web");
        nothing("service=web api;require=all");
        let expected = "expected names of services with blanks between them";
        assert_eq!(only_error("service="), format!("service = \"\": {expected}"));
        assert_eq!(only_error("service= "), format!("service = \" \": {expected}"));
        assert_eq!(
            only_error("service=web api web"),
            "service = \"web api web\": \"web\" is there twice"
        );
        // A comma ends the prefix.
        let comma = errors("bgp.anycastaddresses=192.0.2.10/32;service=web,api");
        assert_eq!(comma.len(), 1, "{comma:?}");
        assert!(comma[0].ends_with("the values of service are separated by blanks"), "{comma:?}");
        assert_eq!(only_error("require=most"), "require = \"most\": expected all or any");
        for options in ["require=any", "service=web;require=all"] {
            assert_eq!(
                only_warning(options),
                "require has no effect with less than two services in service"
            );
        }
    }

    #[test]
    fn counts_and_shares() {
        let expected = "expected a count from 1 up, or a share from 1% to 100%";
        for key in ["minhealthy", "shutdownbelow", "depreferbelow"] {
            for bad in ["0", "0%", "101%", "%", "-1", "50 %", "1.5", "4294967296", "half"] {
                let error = only_error(&format!("{key}={bad}"));
                assert_eq!(error, format!("{key} = \"{bad}\": {expected}"));
            }
        }
        assert_eq!(prefix("minhealthy=4294967295").min_healthy, ShareConfig::Count(u32::MAX));
        assert_eq!(prefix("minhealthy=1%").min_healthy, ShareConfig::Percent(1));
    }

    #[test]
    fn what_becomes_of_an_empty_prefix() {
        assert_eq!(
            only_error("whenempty=dperefer"),
            "whenempty = \"dperefer\": did you mean \"deprefer\"?"
        );
        assert_eq!(
            only_error("whenempty=42"),
            "whenempty = \"42\": expected withdraw, keep or deprefer"
        );
        nothing("whenempty=keep;shutdownbelow=3");
        // 10% of ten are one, and two of them can be too few.
        nothing("whenempty=deprefer;minhealthy=2;shutdownbelow=10%");
        assert_eq!(
            only_warning("whenempty=deprefer;shutdownbelow=2"),
            "whenempty=deprefer has no effect beside shutdownbelow: a prefix with fewer than \
             minhealthy carries graceful-shutdown then"
        );
    }

    #[test]
    fn steps_go_down() {
        nothing("minhealthy=1;shutdownbelow=2;depreferbelow=3");
        nothing("minhealthy=10%;shutdownbelow=50%;depreferbelow=90%");
        nothing("minhealthy=5;shutdownbelow=1%;depreferbelow=6");
        let order = "expected minhealthy <= shutdownbelow <= depreferbelow";
        let golden = [
            ("shutdownbelow=3;depreferbelow=2", "depreferbelow = 2 is less than shutdownbelow = 3"),
            ("minhealthy=4;shutdownbelow=3", "shutdownbelow = 3 is less than minhealthy = 4"),
            (
                "minhealthy=60%;depreferbelow=50%",
                "depreferbelow = 50% is less than minhealthy = 60%",
            ),
        ];
        for (options, what) in golden {
            assert_eq!(only_error(options), format!("{what}; {order}"));
        }
        let golden = [
            ("shutdownbelow=1", "shutdownbelow has no effect, as it is not more than minhealthy"),
            ("depreferbelow=1", "depreferbelow has no effect, as it is not more than minhealthy"),
            (
                "shutdownbelow=50%;depreferbelow=50%",
                "depreferbelow has no effect, as it is not more than shutdownbelow",
            ),
        ];
        for (options, what) in golden {
            assert_eq!(only_warning(options), what);
        }
    }

    #[test]
    fn being_less_preferred_has_the_bounds_of_attributes() {
        let number = "expected a number from 0 to";
        assert_eq!(
            only_error("depreferprepend=33"),
            format!("depreferprepend = \"33\": {number} 32")
        );
        assert_eq!(
            only_error("depreferlocalpref=x"),
            format!("depreferlocalpref = \"x\": {number} 4294967295")
        );
        assert_eq!(
            only_error("deprefermed=-1"),
            format!("deprefermed = \"-1\": {number} 4294967295")
        );
        let error = only_error("deprefercommunities=65000");
        assert!(
            error.starts_with("deprefercommunities = \"65000\": expected ASN:VALUE"),
            "{error}"
        );
    }
}
