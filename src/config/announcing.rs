//! `bgp.announce.*` and what a prefix depends on: when it is announced, and how
//! strongly.

use std::fmt;
use std::time::Duration;

use super::reader::Reader;
use super::{duration, values};

/// `bgp.announce.*`: what keeps announcements from going up and down.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AnnouncingConfig {
    /// `bgp.announce.holdup`: how long a prefix has to be fit before it rises.
    pub hold_up: Duration,
    /// `bgp.announce.flaphalflife`: half of the penalty is gone after this
    /// time; zero: there is no penalty.
    pub flap_half_life: Duration,
    /// `bgp.announce.flapsuppress`: a penalty of this much keeps a prefix from
    /// rising.
    pub flap_suppress: u32,
    /// `bgp.announce.flapreuse`: it may rise again below this one, which is
    /// less than the other and not 0.
    pub flap_reuse: u32,
    /// `bgp.announce.flapmax`: the longest time that a penalty keeps a prefix
    /// from rising; not less than the half-life.
    pub flap_max: Duration,
    /// `bgp.announce.statefile`: where penalties survive a restart.
    pub state_file: Option<String>,
}

/// `require=`: how many of the services of a prefix have to be fit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequireConfig {
    /// `all`: the worst of them counts.
    All,
    /// `any`: the best of them counts.
    Any,
}

/// A number of the targets of a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ShareConfig {
    /// So many; not 0.
    Count(u32),
    /// So many percent of them, 1 to 100.
    Percent(u8),
}

/// As it is written.
impl fmt::Display for ShareConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ShareConfig::Count(count) => write!(f, "{count}"),
            ShareConfig::Percent(percent) => write!(f, "{percent}%"),
        }
    }
}

/// `whenempty=`: what becomes of a prefix with too few healthy targets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WhenEmptyConfig {
    /// `withdraw`
    Withdraw,
    /// `keep`: it stays announced.
    Keep,
    /// `deprefer`: it stays announced as less preferred.
    Deprefer,
}

/// `deprefer...=`: what makes routers prefer another instance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DepreferConfig {
    /// `depreferprepend=`: how many more times our AS is in AS_PATH towards
    /// other ASes, at most 32.
    pub prepend: u8,
    /// `depreferlocalpref=`: LOCAL_PREF towards our own AS, where that is not
    /// lower anyway.
    pub local_pref: u32,
    /// `deprefermed=`: MULTI_EXIT_DISC in place of the usual one; `None`: it
    /// stays.
    pub med: Option<u32>,
    /// `deprefercommunities=` (RFC 1997): they are added; ascending.
    pub communities: Vec<u32>,
}

impl Default for DepreferConfig {
    fn default() -> DepreferConfig {
        DepreferConfig { prepend: 3, local_pref: 50, med: None, communities: Vec::new() }
    }
}

/// Nobody waits longer for an instance that is fit to serve, or for one that
/// is to stop.
const LONGEST_WAIT: Duration = Duration::from_secs(60 * 60);

/// With a longer one, who looks after the instance today does not see it come
/// back.
const LONGEST_MEMORY: Duration = Duration::from_secs(24 * 60 * 60);

/// A penalty that halves faster is gone before the second fall.
const SHORTEST_HALF_LIFE: Duration = Duration::from_secs(1);

/// As much as a thousand withdrawals.
const MOST_PENALTY: u32 = 1_000_000;

/// The two that are measured by others.
const REUSE: &str = "bgp.announce.flapreuse";
const MAX: &str = "bgp.announce.flapmax";

/// Reads `bgp.announce.*`.
pub(super) fn read(reader: &mut Reader<'_>) -> AnnouncingConfig {
    let hold_up = duration_to(reader, "bgp.announce.holdup", LONGEST_WAIT);
    let flap_half_life = reader.parse("bgp.announce.flaphalflife", half_life);
    let flap_suppress = reader.parse("bgp.announce.flapsuppress", penalty);
    let flap_reuse = reader.parse(REUSE, penalty);
    let flap_max = duration_to(reader, MAX, LONGEST_MEMORY);
    if let (Some(suppress), Some(reuse)) = (flap_suppress, flap_reuse)
        && reuse >= suppress
        && let Some(setting) = reader.setting(REUSE)
    {
        let what = format!("expected less than bgp.announce.flapsuppress, which is {suppress}");
        reader.fail(setting, &what);
    }
    if let (Some(half_life), Some(longest)) = (flap_half_life, flap_max)
        && longest < half_life
        && let Some(setting) = reader.setting(MAX)
    {
        let half_life = duration::print(half_life);
        let what = format!("expected at least bgp.announce.flaphalflife, which is {half_life}");
        reader.fail(setting, &what);
    }
    AnnouncingConfig {
        hold_up: hold_up.unwrap_or_default(),
        flap_half_life: flap_half_life.unwrap_or_default(),
        flap_suppress: flap_suppress.unwrap_or_default(),
        flap_reuse: flap_reuse.unwrap_or_default(),
        flap_max: flap_max.unwrap_or_default(),
        state_file: file(reader, "bgp.announce.statefile"),
    }
}

/// Reads `bgp.gracefulshutdown`.
pub(super) fn graceful_shutdown(reader: &mut Reader<'_>) -> Duration {
    duration_to(reader, "bgp.gracefulshutdown", LONGEST_WAIT).unwrap_or_default()
}

/// Reads the name of a file; `None`: there is none.
pub(super) fn file(reader: &mut Reader<'_>, key: &str) -> Option<String> {
    Some(reader.text(key)).filter(|path| !path.is_empty()).map(str::to_owned)
}

fn duration_to(reader: &mut Reader<'_>, key: &str, most: Duration) -> Option<Duration> {
    let parse = |text: &str| {
        let value = duration::parse(text)?;
        match value <= most {
            true => Ok(value),
            false => Err(format!("expected a duration of at most {}", duration::print(most))),
        }
    };
    reader.parse(key, parse)
}

fn penalty(text: &str) -> Result<u32, String> {
    u32::try_from(values::integer(text)?)
        .ok()
        .filter(|penalty| (1..=MOST_PENALTY).contains(penalty))
        .ok_or_else(|| format!("expected a whole number from 1 to {MOST_PENALTY}"))
}

fn half_life(text: &str) -> Result<Duration, String> {
    let value = duration::parse(text)?;
    match value.is_zero() || (SHORTEST_HALF_LIFE..=LONGEST_MEMORY).contains(&value) {
        true => Ok(value),
        false => Err("expected 0 for no penalty, or a duration from 1s to 24h".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{errors, loaded};
    use super::*;

    fn announcing(text: &str) -> AnnouncingConfig {
        loaded(text).config.bgp.announcing
    }

    #[test]
    fn defaults_and_every_key() {
        let usual = AnnouncingConfig {
            hold_up: Duration::from_secs(5),
            flap_half_life: Duration::from_secs(60),
            flap_suppress: 3000,
            flap_reuse: 1000,
            flap_max: Duration::from_secs(600),
            state_file: Some("/run/burgee/announcements".to_owned()),
        };
        assert_eq!(announcing(""), usual);
        let all = "bgp.announce.holdup=0\nbgp.announce.flaphalflife=2s\n\
                   bgp.announce.flapsuppress=1_000_000\nbgp.announce.flapreuse=999999\n\
                   bgp.announce.flapmax=2s\nbgp.announce.statefile=";
        assert_eq!(
            announcing(all),
            AnnouncingConfig {
                hold_up: Duration::ZERO,
                flap_half_life: Duration::from_secs(2),
                flap_suppress: 1_000_000,
                flap_reuse: 999_999,
                flap_max: Duration::from_secs(2),
                state_file: None,
            }
        );
        let bgp = loaded("bgp.maintenancefile=/etc/drain\nbgp.gracefulshutdown=1m").config.bgp;
        assert_eq!(bgp.maintenance_file.as_deref(), Some("/etc/drain"));
        assert_eq!(bgp.graceful_shutdown, Duration::from_secs(60));
        let bgp = loaded("").config.bgp;
        assert_eq!((bgp.maintenance_file, bgp.graceful_shutdown), (None, Duration::ZERO));
    }

    #[test]
    fn waits_and_memories_are_bounded() {
        let half_life = "expected 0 for no penalty, or a duration from 1s to 24h";
        let penalty = "expected a whole number from 1 to 1000000";
        let golden = [
            ("bgp.announce.holdup", "1h0m1s", "expected a duration of at most 1h0m0s"),
            ("bgp.gracefulshutdown", "61m", "expected a duration of at most 1h0m0s"),
            ("bgp.announce.flapmax", "24h1s", "expected a duration of at most 24h0m0s"),
            ("bgp.announce.flaphalflife", "999ms", half_life),
            ("bgp.announce.flaphalflife", "25h", half_life),
            ("bgp.announce.flapsuppress", "0", penalty),
            ("bgp.announce.flapsuppress", "1000001", penalty),
            ("bgp.announce.flapreuse", "-1", penalty),
        ];
        for (key, value, what) in golden {
            assert_eq!(
                errors(&format!("{key}={value}")),
                [format!("f:1: {key} = \"{value}\": {what}")]
            );
        }
        assert!(errors("bgp.announce.flaphalflife=0\nbgp.announce.flapmax=0").is_empty());
    }

    #[test]
    fn what_contradicts_is_named_once() {
        assert_eq!(
            errors("bgp.announce.flapreuse=3000"),
            ["f:1: bgp.announce.flapreuse = \"3000\": expected less than \
              bgp.announce.flapsuppress, which is 3000"]
        );
        assert_eq!(
            errors("bgp.announce.flapsuppress=1000"),
            ["bgp.announce.flapreuse: expected less than bgp.announce.flapsuppress, which is 1000"]
        );
        assert_eq!(
            errors("bgp.announce.flapmax=59s"),
            ["f:1: bgp.announce.flapmax = \"59s\": expected at least \
              bgp.announce.flaphalflife, which is 1m0s"]
        );
        // A value that cannot be read is not compared.
        assert_eq!(errors("bgp.announce.flapreuse=x").len(), 1);
        assert_eq!(errors("bgp.announce.flapmax=x").len(), 1);
    }
}
