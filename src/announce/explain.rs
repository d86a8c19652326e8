//! What a prefix depends on, one by one, for the operator who asks why.

use super::facts::{Facts, PrefixFacts};
use super::rule::{Rule, Settings};
use super::status::PrefixStatus;
use crate::reactor::Time;

/// One thing that an announcement depends on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Condition {
    /// A short name that does not change: `listeners`, `table`, `registry`,
    /// `targets`, `maintenance`, `drain`, `stop`, `holdup` or `penalty`.
    pub name: &'static str,
    /// Whether it allows the full level.
    pub ok: bool,
    /// How it is, in words.
    pub text: String,
}

pub(super) fn conditions(
    now: Time,
    settings: &Settings,
    rule: &Rule,
    facts: &Facts,
    own: &PrefixFacts,
    status: &PrefixStatus,
) -> Vec<Condition> {
    let _ = (now, settings, rule, facts, own, status);
    Vec::new()
}
