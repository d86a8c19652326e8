//! `bgp.announce.*` and what a prefix depends on: when it is announced, and how
//! strongly.

use std::fmt;
use std::time::Duration;

use super::duration;
use super::reader::Reader;

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

/// What the values are after an error. They are never used.
const AFTER_AN_ERROR: Duration = Duration::ZERO;

/// Reads `bgp.announce.*`.
pub(super) fn read(reader: &mut Reader<'_>) -> AnnouncingConfig {
    AnnouncingConfig {
        hold_up: duration_to(reader, "bgp.announce.holdup", LONGEST_WAIT),
        flap_half_life: reader
            .parse("bgp.announce.flaphalflife", half_life)
            .unwrap_or(AFTER_AN_ERROR),
        flap_suppress: reader.number("bgp.announce.flapsuppress", 1..=MOST_PENALTY),
        flap_reuse: reader.number("bgp.announce.flapreuse", 1..=MOST_PENALTY),
        flap_max: duration_to(reader, "bgp.announce.flapmax", LONGEST_MEMORY),
        state_file: file(reader, "bgp.announce.statefile"),
    }
}

/// Reads `bgp.gracefulshutdown`.
pub(super) fn graceful_shutdown(reader: &mut Reader<'_>) -> Duration {
    duration_to(reader, "bgp.gracefulshutdown", LONGEST_WAIT)
}

/// Reads the name of a file; `None`: there is none.
pub(super) fn file(reader: &mut Reader<'_>, key: &str) -> Option<String> {
    Some(reader.text(key)).filter(|path| !path.is_empty()).map(str::to_owned)
}

fn duration_to(reader: &mut Reader<'_>, key: &str, most: Duration) -> Duration {
    let parse = |text: &str| {
        let value = duration::parse(text)?;
        match value <= most {
            true => Ok(value),
            false => Err(format!("expected a duration of at most {}", duration::print(most))),
        }
    };
    reader.parse(key, parse).unwrap_or(AFTER_AN_ERROR)
}

fn half_life(text: &str) -> Result<Duration, String> {
    let value = duration::parse(text)?;
    match value.is_zero() || (SHORTEST_HALF_LIFE..=LONGEST_MEMORY).contains(&value) {
        true => Ok(value),
        false => Err("expected 0 for no penalty, or a duration from 1s to 24h".to_owned()),
    }
}
