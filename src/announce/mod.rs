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

#[cfg(test)]
mod tests {
    use std::rc::Rc;
    use std::time::Duration;

    use super::*;
    use Level::{Depreferred, Full, GracefulShutdown, Withdrawn};

    fn at(seconds: u64) -> Time {
        Time::from_millis(seconds * 1_000)
    }

    fn net(text: &str) -> IpNet {
        text.parse().unwrap()
    }

    fn rules(list: &[&str]) -> Vec<Rule> {
        let deprefer_below = Some(Minimum::Count(2));
        let rule = |text: &&str| Rule { deprefer_below, ..Rule::new(net(text)) };
        list.iter().map(rule).collect()
    }

    fn announcer(list: &[&str]) -> Announcer {
        Announcer::new(at(0), Settings::default(), rules(list), &Restored::default())
    }

    /// Of one prefix, with three targets.
    fn one() -> Announcer {
        announcer(&["192.0.2.1/32"])
    }

    /// The same for ten prefixes.
    fn with(healthy: usize, unknown: usize) -> Facts {
        let targets = TargetFact { total: 3, healthy, unknown, last_error: None };
        let own = PrefixFacts {
            listeners: ListenerFact { bound: 2, configured: 2 },
            pools: vec![PoolFact { service: None, targets }],
            drained: false,
        };
        Facts {
            table_loaded: true,
            registry: RegistryFact::Fresh,
            maintenance: None,
            stopping: None,
            prefixes: vec![own; 10],
        }
    }

    fn ready() -> Facts {
        with(3, 0)
    }

    /// Level and reason of the first prefix.
    fn first(announcer: &Announcer, second: u64) -> (Level, String) {
        let status = announcer.status().first().expect("a prefix");
        (status.level, status.reason.at(at(second)).to_string())
    }

    #[test]
    fn nothing_is_announced_before_the_first_decision() {
        let announcer = one();
        assert!(announcer.is_withdrawn() && !announcer.is_settled());
        assert_eq!(first(&announcer, 0), (Withdrawn, "starting".to_owned()));
        assert_eq!(announcer.deadline(), Some(at(0)));
    }

    #[test]
    fn every_prefix_changes_and_is_desired() {
        let list = ["192.0.2.1/32", "2001:db8::/48"];
        let mut announcer = announcer(&list);
        let changes = announcer.update(at(1), &ready());
        assert_eq!(changes.iter().map(|change| change.prefix).collect::<Vec<_>>(), list.map(net));
        assert!(changes.iter().all(|c| (c.from, c.to) == (Withdrawn, Full)));
        assert_eq!(announcer.desired().collect::<Vec<_>>(), list.map(|text| (net(text), Full)));
        assert_eq!(announcer.deadline(), None);
        let changes = announcer.update(at(2), &with(1, 0));
        assert!(changes.iter().all(|c| (c.from, c.to) == (Full, Depreferred)));
        let stopping = Some(Stop { hurried: false });
        let changes = announcer.update(at(2), &Facts { stopping, ..ready() });
        assert!(changes.iter().all(|c| (c.from, c.to) == (Depreferred, Withdrawn)));
        assert_eq!((changes.len(), announcer.is_withdrawn()), (2, true));
    }

    #[test]
    fn prefixes_without_facts_cannot_be_served() {
        let mut announcer = announcer(&["192.0.2.1/32", "192.0.2.2/32"]);
        let mut facts = ready();
        facts.prefixes.truncate(1);
        announcer.update(at(1), &facts);
        let levels: Vec<Level> = announcer.status().iter().map(|status| status.level).collect();
        assert_eq!(levels, [Full, Withdrawn]);
    }

    #[test]
    fn prefixes_lose_host_bits_and_doubles() {
        let announcer = announcer(&["192.0.2.5/24", "192.0.2.0/24", "192.0.2.0/25"]);
        let prefixes: Vec<String> = announcer.rules().map(|rule| rule.prefix.to_string()).collect();
        assert_eq!(prefixes, ["192.0.2.0/24", "192.0.2.0/25"]);
        assert_eq!(announcer.status().len(), 2);
    }

    #[test]
    fn prefixes_come_and_go_and_those_that_stay_keep_their_state() {
        let mut announcer = announcer(&["192.0.2.1/32", "192.0.2.2/32"]);
        announcer.update(at(1), &ready());
        let set = |announcer: &mut Announcer, second, list: &[&str]| {
            announcer.set_rules(at(second), Settings::default(), rules(list))
        };
        let gone = set(&mut announcer, 2, &["192.0.2.3/32", "192.0.2.2/32"]);
        assert_eq!(gone, [net("192.0.2.1/32")]);
        let status = announcer.status().iter();
        let since: Vec<(Level, Time)> = status.map(|status| (status.level, status.since)).collect();
        assert_eq!(since, [(Withdrawn, at(2)), (Full, at(1))]);
        let changes = announcer.update(at(3), &ready());
        let changed: Vec<IpNet> = changes.iter().map(|change| change.prefix).collect();
        assert_eq!(changed, [net("192.0.2.3/32")], "a new one is announced at once");
        announcer.update(at(4), &with(0, 0));
        assert!(set(&mut announcer, 5, &[]).is_empty(), "they are withdrawn already");
    }

    #[test]
    fn other_rules_hold_for_a_prefix_that_stays() {
        let mut announcer = one();
        announcer.update(at(1), &with(2, 0));
        let stricter = Rule { minimum: Minimum::Count(3), ..Rule::new(net("192.0.2.1/32")) };
        assert!(announcer.set_rules(at(2), Settings::default(), [stricter]).is_empty());
        assert_eq!(announcer.deadline(), Some(at(2)));
        announcer.update(at(2), &with(2, 0));
        let reason = "2 of 3 targets healthy, 3 wanted".to_owned();
        assert_eq!(first(&announcer, 2), (Withdrawn, reason));
    }

    /// A reload that replaces all targets is no reason for a flap.
    #[test]
    fn targets_that_are_all_new_change_nothing_until_the_first_check() {
        let mut announcer = one();
        for (second, healthy, unknown, level, settled) in [
            (1, 0, 3, Withdrawn, false),
            // That is enough to be announced, but more may be said soon.
            (2, 1, 2, Withdrawn, false),
            (3, 1, 0, Depreferred, true),
            (4, 0, 3, Depreferred, true),
            (5, 0, 0, Withdrawn, true),
            (6, 0, 3, Withdrawn, true),
        ] {
            announcer.update(at(second), &with(healthy, unknown));
            assert_eq!(first(&announcer, second).0, level, "{second}");
            assert_eq!(announcer.is_settled(), settled, "{second}");
        }
        let reason = "waiting for the first health check of 3 targets";
        assert_eq!(first(&announcer, 6).1, reason);
    }

    #[test]
    fn what_can_be_announced_whatever_the_checks_say_does_not_wait_for_them() {
        let mut announcer = one();
        announcer.update(at(1), &with(2, 1));
        assert_eq!(first(&announcer, 1), (Full, "2 of 3 targets healthy".to_owned()));
    }

    #[test]
    fn only_news_are_changes_but_the_status_is_always_fresh() {
        let mut announcer = one();
        assert_eq!(announcer.update(at(1), &ready()).len(), 1);
        assert_eq!(announcer.update(at(2), &ready()), []);
        assert_eq!(announcer.update(at(3), &with(2, 0)), []);
        assert_eq!(first(&announcer, 3).1, "2 of 3 targets healthy");
        let [status] = announcer.status() else { panic!("one prefix") };
        assert_eq!((status.since, status.changes, status.last_change), (at(1), 1, Some(at(1))));
    }

    #[test]
    fn a_new_reason_to_stay_withdrawn_is_news_and_keeps_since() {
        let mut announcer = one();
        let mut facts = ready();
        facts.prefixes[0].listeners.bound = 0;
        assert_eq!(announcer.update(at(1), &facts).len(), 1);
        facts.prefixes[0].listeners.bound = 1;
        assert_eq!(announcer.update(at(2), &facts), []);
        let changes = announcer.update(at(3), &with(0, 3));
        let [change] = changes.as_slice() else { panic!("one change, not {changes:?}") };
        assert_eq!((change.from, change.to), (Withdrawn, Withdrawn));
        let [status] = announcer.status() else { panic!("one prefix") };
        assert_eq!((status.since, status.changes, status.last_change), (at(0), 0, None));
    }

    #[test]
    fn a_prefix_that_comes_back_is_held_up_and_says_until_when() {
        let mut announcer = one();
        announcer.update(at(1), &ready());
        announcer.update(at(10), &with(0, 0));
        announcer.update(at(20), &ready());
        let reason = "holding up: can serve since 2s of 5s".to_owned();
        assert_eq!(first(&announcer, 22), (Withdrawn, reason));
        let [status] = announcer.status() else { panic!("one prefix") };
        assert_eq!(status.next, Some(Next { at: at(25), level: Full, why: "the hold-up" }));
        assert_eq!(announcer.deadline(), Some(at(25)));
        assert!(announcer.is_settled());
        assert_eq!(announcer.update(at(25), &ready()).len(), 1);
        assert_eq!(first(&announcer, 25).0, Full);
        assert_eq!(announcer.deadline(), None);
    }

    #[test]
    fn a_drain_tells_first_and_a_resume_is_immediate_and_costs_nothing() {
        let graceful_shutdown = Duration::from_secs(10);
        let settings = Settings { graceful_shutdown, ..Settings::default() };
        let rules = rules(&["192.0.2.1/32", "192.0.2.2/32"]);
        let mut announcer = Announcer::new(at(0), settings, rules, &Restored::default());
        announcer.update(at(1), &ready());
        let mut drained = ready();
        drained.prefixes[0].drained = true;
        announcer.update(at(2), &drained);
        let reason = "this prefix was drained by the operator".to_owned();
        assert_eq!(first(&announcer, 2), (GracefulShutdown, reason));
        let status = &announcer.status()[0];
        let why = "the graceful shutdown";
        assert_eq!(status.next, Some(Next { at: at(12), level: Withdrawn, why }));
        assert_eq!((status.service_level, announcer.deadline()), (Full, Some(at(12))));
        announcer.update(at(12), &drained);
        assert_eq!(announcer.desired().collect::<Vec<_>>(), [(net("192.0.2.2/32"), Full)]);
        let path = Rc::from("/etc/burgee/off");
        let maintenance = Some(Maintenance::File { path });
        announcer.update(at(13), &Facts { maintenance, ..drained });
        assert_eq!(first(&announcer, 13).1, "maintenance: /etc/burgee/off exists");
        announcer.update(at(14), &ready());
        assert!(announcer.status().iter().all(|s| s.level == Full && s.penalty(at(14)) == 0.0));
    }

    #[test]
    fn a_flapping_service_is_suppressed() {
        let mut announcer = one();
        announcer.update(at(0), &ready());
        let mut rises = 0;
        for second in 1..600 {
            let facts = if second % 10 == 1 { with(0, 0) } else { ready() };
            let changes = announcer.update(at(second), &facts);
            rises += changes.iter().filter(|change| change.to > change.from).count();
        }
        assert!((8..=20).contains(&rises), "{rises} of 60");
        let status = &announcer.status()[0];
        assert!(status.suppressed_until.is_some() || status.penalty(at(600)) > 0.0);
    }

    fn restored(unclean: bool, level: Level) -> Restored {
        let prefix = net("192.0.2.1/32");
        let record = PrefixRecord { prefix, level, penalty: 2000, suppressed: None, changes: 7 };
        let away = Duration::from_secs(60);
        Restored { unclean, away, prefixes: vec![record], ..Restored::default() }
    }

    #[test]
    fn a_crash_is_a_fall_and_holds_the_first_announcement_up() {
        for (unclean, level, penalty, second) in [
            (false, Full, 1000.0, 10),
            (true, Withdrawn, 1000.0, 15),
            (true, GracefulShutdown, 2000.0, 15),
        ] {
            let rules = rules(&["192.0.2.1/32"]);
            let settings = Settings::default();
            let restored = restored(unclean, level);
            let mut announcer = Announcer::new(at(10), settings, rules, &restored);
            let status = &announcer.status()[0];
            assert_eq!((status.penalty(at(10)).round(), status.changes), (penalty, 7));
            announcer.update(at(10), &ready());
            let deadline = announcer.deadline();
            assert_eq!(deadline.unwrap_or(at(10)), at(second), "{unclean} {level}");
            // Neighbours that have kept our path go on with it.
            assert_eq!(announcer.is_settled(), !unclean);
            announcer.update(at(second), &ready());
            assert_eq!(first(&announcer, second).0, Full);
            assert!(announcer.is_settled());
        }
    }

    #[test]
    fn what_is_recorded_is_restored() {
        let mut announcer = one();
        for second in 0..40 {
            announcer.update(at(second), &if second % 7 < 6 { ready() } else { with(0, 0) });
        }
        let now = at(40);
        let prefixes = announcer.record(now);
        let status = &announcer.status()[0];
        let until = status.suppressed_until.expect("it flapped");
        let restored = Restored { prefixes: prefixes.clone(), ..Restored::default() };
        let rules = rules(&["192.0.2.1/32"]);
        let again = Announcer::new(now, Settings::default(), rules, &restored);
        let of_again = &again.status()[0];
        assert!((of_again.penalty(now) - status.penalty(now)).abs() <= 1.0);
        let difference = of_again.suppressed_until.map(|again| again.since(until));
        assert!(difference.is_some_and(|time| time <= Duration::from_millis(1)));
        assert_eq!(again.record(now)[0].changes, prefixes[0].changes);
    }

    #[test]
    fn conditions_are_those_of_the_prefix() {
        let announcer = announcer(&["192.0.2.1/32", "192.0.2.2/32"]);
        let mut facts = ready();
        facts.prefixes[1].drained = true;
        let drained = |text: &str| {
            let all = announcer.conditions(at(0), &net(text), &facts);
            all.iter().find(|condition| condition.name == "drain").map(|condition| !condition.ok)
        };
        assert_eq!(drained("192.0.2.1/32"), Some(false));
        assert_eq!(drained("192.0.2.2/32"), Some(true));
        assert_eq!(drained("192.0.2.3/32"), None);
    }
}
