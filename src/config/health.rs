//! `health.*`: the values of the keys.

use std::time::Duration;

use super::HealthConfig;
use super::reader::Reader;
use super::settings::Setting;
use super::{duration, values};

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
        check: reader.parse("health.check", check).unwrap_or_default(),
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

/// The same as in routes: `tcp`, `tcp:PORT`, `http:/PATH`, `http:PORT/PATH` or
/// `none`.
fn check(text: &str) -> Result<String, String> {
    const EXPECTED: &str = "expected tcp, tcp:PORT, http:/PATH, http:PORT/PATH or none";
    let is_port = |text: &str| {
        let port = values::decimal(text).and_then(|port| u16::try_from(port).ok());
        port.is_some_and(|port| port > 0)
    };
    let is_visible = |path: &str| path.bytes().all(|byte| byte.is_ascii_graphic());
    let known = match text.split_once(':') {
        None => matches!(text, "tcp" | "none"),
        Some(("tcp", port)) => is_port(port),
        Some(("http", rest)) => match rest.split_once('/') {
            Some((port, path)) => (port.is_empty() || is_port(port)) && is_visible(path),
            None => false,
        },
        Some(_) => false,
    };
    match known {
        false => Err(EXPECTED.to_owned()),
        true if text.starts_with("http") && !cfg!(feature = "http") => {
            Err("it asks over HTTP, and this burgee was built without the feature `http`"
                .to_owned())
        }
        true => Ok(text.to_owned()),
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
