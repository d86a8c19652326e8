//! What is announced, and why: from facts to a level for each prefix.
//!
//! A prefix is announced while its traffic can be served: its listeners are
//! bound, the first route table is there and enough targets of its services are
//! healthy. With less it goes down the ladder of [`Level`]s, at once; it rises
//! only after it could serve for a while, and not while it flaps. With
//! `bgp.announce = always` none of that counts, as in fabio. What the operator
//! switches off is withdrawn in either case. All of it is pure; who carries the
//! decisions out reads [`Announcer::desired`].
//!
//! `decide` says what the facts of a moment allow, `hysteresis` and [`penalty`]
//! what follows over time, and `gate` puts the operator's switches on top.
//! [`record`] outlives the process, and [`drain`] is the planned stop.

mod decide;
pub mod drain;
mod entry;
pub mod explain;
pub mod facts;
mod gate;
mod hysteresis;
pub mod level;
pub mod operator;
pub mod penalty;
pub mod reason;
pub mod record;
pub mod rule;
mod status;

use ipnet::IpNet;

use self::entry::Entry;
use crate::reactor::Time;

pub use self::explain::Condition;
pub use self::facts::{
    Facts, ListenerFact, Maintenance, PoolFact, PrefixFacts, RegistryFact, Stop, TargetFact,
};
pub use self::level::Level;
pub use self::operator::Drains;
pub use self::penalty::Penalty;
pub use self::reason::Reason;
pub use self::record::{Identity, PrefixRecord, Record, Restored, Vip};
pub use self::rule::{Minimum, Policy, Require, Rule, Settings, WhenEmpty, WhenStale};
pub use self::status::{Next, PrefixStatus};

/// A decision that differs from the one before, in its level or in the kind
/// of its reason. (One healthy target more or less is no news by itself.)
#[derive(Clone, Debug, PartialEq)]
pub struct Change {
    /// The prefix.
    pub prefix: IpNet,
    /// The level before.
    pub from: Level,
    /// The level now; the same as before when only the reason is new.
    pub to: Level,
    /// The reason now.
    pub reason: Reason,
}

/// Keeps the decision for each prefix.
#[derive(Clone, Debug)]
pub struct Announcer {
    settings: Settings,
    entries: Vec<Entry>,
    /// One for each entry.
    status: Vec<PrefixStatus>,
    deadline: Option<Time>,
}

impl Announcer {
    /// All prefixes withdrawn since `now`, with what is left of another
    /// process's penalties. Host bits are cleared, and of rules for the same
    /// prefix the first one counts.
    pub fn new(
        now: Time,
        settings: Settings,
        rules: impl IntoIterator<Item = Rule>,
        restored: &Restored,
    ) -> Announcer {
        let (entries, status) = (Vec::new(), Vec::new());
        let mut announcer = Announcer { settings, entries, status, deadline: Some(now) };
        for rule in rules {
            announcer.add(now, rule, restored);
        }
        announcer
    }

    fn add(&mut self, now: Time, mut rule: Rule, restored: &Restored) {
        rule.prefix = rule.prefix.trunc();
        let prefix = rule.prefix;
        if self.status.iter().any(|known| known.prefix == prefix) {
            return;
        }
        let entry = Entry::new(now, &self.settings, rule, restored);
        self.status.push(entry.first_status(now, restored));
        self.entries.push(entry);
    }

    /// Makes these the settings and the rules. Prefixes that stay keep their
    /// level, their history and their penalty; new ones are withdrawn until the
    /// next update, which is due at once. Returns those that are gone and have
    /// to be withdrawn from the neighbours.
    pub fn set_rules(
        &mut self,
        now: Time,
        settings: Settings,
        rules: impl IntoIterator<Item = Rule>,
    ) -> Vec<IpNet> {
        let wanted = Announcer::new(now, settings, rules, &Restored::default());
        let before = std::mem::replace(self, wanted);
        let mut gone = Vec::new();
        for (entry, status) in before.entries.into_iter().zip(before.status) {
            let known = self.status.iter_mut().zip(&mut self.entries);
            match known.into_iter().find(|(wanted, _)| wanted.prefix == status.prefix) {
                Some((new_status, new_entry)) => {
                    new_entry.remember(now, &settings, entry);
                    *new_status = status;
                }
                None if status.level.is_announced() => gone.push(status.prefix),
                None => {}
            }
        }
        gone
    }

    /// The rules in force, in the order of [`Announcer::status`], which is that
    /// of [`Facts::prefixes`] as well.
    pub fn rules(&self) -> impl Iterator<Item = &Rule> {
        self.entries.iter().map(Entry::rule)
    }

    /// Decides anew, and returns what is different now.
    pub fn update(&mut self, now: Time, facts: &Facts) -> Vec<Change> {
        let missing = PrefixFacts::default();
        let mut changes = Vec::new();
        self.deadline = None;
        for (index, (entry, status)) in self.entries.iter_mut().zip(&mut self.status).enumerate() {
            let own = facts.prefixes.get(index).unwrap_or(&missing);
            changes.extend(entry.update(now, &self.settings, facts, own, status));
            let earliest = [self.deadline, entry.deadline(&self.settings)];
            self.deadline = earliest.into_iter().flatten().min();
        }
        changes
    }

    /// When [`Announcer::update`] has to be called if no fact changes before.
    /// Called earlier, it decides the same as before.
    pub fn deadline(&self) -> Option<Time> {
        self.deadline
    }

    /// What the neighbours should have now: every prefix that is announced,
    /// with its level.
    pub fn desired(&self) -> impl Iterator<Item = (IpNet, Level)> {
        let announced = self.status.iter().filter(|status| status.level.is_announced());
        announced.map(|status| (status.prefix, status.level))
    }

    /// Whether nothing is announced.
    pub fn is_withdrawn(&self) -> bool {
        self.desired().next().is_none()
    }

    /// Whether every decision is made with all that there is to know, so that
    /// the neighbours may be told that this is all (RFC 4724 §2).
    pub fn is_settled(&self) -> bool {
        !self.entries.iter().any(Entry::is_preliminary)
    }

    /// Every prefix with its level and reason, in the order configured.
    pub fn status(&self) -> &[PrefixStatus] {
        &self.status
    }

    /// What of each prefix is to outlive the process.
    pub fn record(&self, now: Time) -> Vec<PrefixRecord> {
        self.status.iter().map(|status| status.record(now)).collect()
    }

    /// What a prefix depends on, one by one; empty, if it is not configured.
    pub fn conditions(&self, now: Time, prefix: &IpNet, facts: &Facts) -> Vec<Condition> {
        let place = self.status.iter().position(|status| status.prefix == prefix.trunc());
        let Some((index, entry)) = place.and_then(|at| Some((at, self.entries.get(at)?))) else {
            return Vec::new();
        };
        let missing = PrefixFacts::default();
        let own = facts.prefixes.get(index).unwrap_or(&missing);
        entry.conditions(now, &self.settings, facts, own)
    }
}
