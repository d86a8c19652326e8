//! `health.*`: the values of the keys.

use std::time::Duration;

use super::HealthConfig;
use super::duration;
use super::reader::Reader;
use super::settings::Setting;

/// Shorter ones would keep the loop busy with checks alone.
const SHORTEST_INTERVAL: Duration = Duration::from_millis(10);

/// An ejection that ends sooner than the next try of a client has no effect.
const SHORTEST_EJECTION: Duration = Duration::from_millis(100);

/// A target that is left out for longer is better taken out of the routes.
const LONGEST_EJECTION: Duration = Duration::from_secs(24 * 60 * 60);

/// Reads all keys of `health.*`.
pub(super) fn read(reader: &mut Reader<'_>) -> HealthConfig {
    let interval = reader.duration_from("health.interval", SHORTEST_INTERVAL);
    let when_none_all = reader.parse("health.whennone", |text| match text {
        "refuse" => Ok(false),
        "all" => Ok(true),
        _ => Err("expected refuse or all".to_owned()),
    });
    let (eject_time, eject_max_time) = ejection(reader);
    HealthConfig {
        check: reader.text("health.check").to_owned(),
        interval,
        fast_interval: fast_interval(reader, interval),
        timeout: reader.duration_from("health.timeout", Duration::from_nanos(1)),
        rise: reader.number("health.rise", 1..=u32::MAX),
        fall: reader.number("health.fall", 1..=u32::MAX),
        eject_after: reader.number("health.ejectafter", 0..=u32::MAX),
        eject_time,
        eject_max_time,
        eject_limit: u8::try_from(reader.number("health.ejectlimit", 0..=100)).unwrap_or(100),
        when_none_all: when_none_all.unwrap_or_default(),
    }
}

/// The default one is no longer than the usual one; who sets a longer one is
/// told that it does nothing.
fn fast_interval(reader: &mut Reader<'_>, usual: Duration) -> Duration {
    const KEY: &str = "health.fastinterval";
    let interval = reader.duration_from(KEY, SHORTEST_INTERVAL);
    if interval > usual
        && let Some(setting) = reader.setting(KEY).filter(|setting| Setting::is_set(setting))
    {
        let what = format!("it has no effect beside health.interval = {}", duration::print(usual));
        reader.warn(setting, &what);
    }
    interval.min(usual)
}

/// The first and the longest ejection.
fn ejection(reader: &mut Reader<'_>) -> (Duration, Duration) {
    const LONGEST: &str = "health.ejectmaxtime";
    let parse = |text: &str| {
        let value = duration::parse(text)?;
        match (SHORTEST_EJECTION..=LONGEST_EJECTION).contains(&value) {
            true => Ok(value),
            false => Err("expected a duration from 100ms to 24h".to_owned()),
        }
    };
    let first = reader.parse("health.ejecttime", parse);
    let longest = reader.parse(LONGEST, parse);
    if let (Some(first), Some(longest)) = (first, longest)
        && longest < first
        && let Some(setting) = reader.setting(LONGEST)
    {
        let first = duration::print(first);
        reader.fail(setting, &format!("expected at least health.ejecttime, which is {first}"));
    }
    (first.unwrap_or_default(), longest.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::super::testing::{errors, loaded, warnings};

    #[test]
    fn the_fast_interval_is_never_the_slow_one() {
        let fast = |text: &str| loaded(text).config.health.fast_interval.as_millis();
        assert_eq!(fast(""), 500);
        assert_eq!(fast("health.interval=100ms"), 100);
        assert_eq!(fast("health.fastinterval=10ms"), 10);
        let own = |text: &str| {
            warnings(text).into_iter().filter(|text| text.starts_with("f:")).collect::<Vec<_>>()
        };
        assert_eq!(own("health.interval=100ms"), Vec::<String>::new());
        let slow = "health.fastinterval=3s\nhealth.interval=100ms";
        assert_eq!(fast(slow), 100);
        assert_eq!(
            own(slow),
            ["f:1: health.fastinterval = \"3s\": it has no effect beside health.interval = 100ms"]
        );
        assert_eq!(
            errors("health.fastinterval=9ms"),
            ["f:1: health.fastinterval = \"9ms\": expected a duration of at least 10ms"]
        );
    }

    #[test]
    fn ejections_are_bounded() {
        let range = "expected a duration from 100ms to 24h";
        let golden = [
            ("health.ejecttime", "99ms", range),
            ("health.ejectmaxtime", "25h", range),
            ("health.ejectmaxtime", "9s", "expected at least health.ejecttime, which is 10s"),
            ("health.ejectlimit", "101", "expected a whole number from 0 to 100"),
            ("health.ejectafter", "-1", "expected a whole number from 0 to 4294967295"),
            ("health.whennone", "some", "expected refuse or all"),
        ];
        for (key, value, what) in golden {
            assert_eq!(
                errors(&format!("{key}={value}")),
                [format!("f:1: {key} = \"{value}\": {what}")]
            );
        }
        assert_eq!(
            errors("health.ejecttime=10m"),
            ["health.ejectmaxtime: expected at least health.ejecttime, which is 10m0s"]
        );
        assert!(errors("health.ejectafter=0\nhealth.ejectlimit=0").is_empty());
    }
}
