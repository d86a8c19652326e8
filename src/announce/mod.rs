//! What is announced, and why: from facts to a decision for each prefix.
//!
//! A prefix is announced while its traffic can be served: the listeners are
//! bound, the first route table is there and a target is healthy. With
//! `bgp.announce = always` it is announced whatever happens, as fabio does.
//! A drain withdraws in either case. All of it is pure; who carries the
//! decision out reads [`Announcer::desired`].

pub mod drain;

use std::fmt;

use ipnet::IpNet;

use crate::reactor::Time;

/// `bgp.announce`: what an announcement depends on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Policy {
    /// `ready`: only while the prefix can be served.
    Ready,
    /// `always`: while the process lives, as fabio does.
    Always,
}

/// Everything that a decision depends on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facts {
    /// `bgp.announce`
    pub policy: Policy,
    /// The listeners of `proxy.addr`.
    pub listeners: ListenerFact,
    /// Whether the first route table is there; it may be empty.
    pub table_loaded: bool,
    /// The targets in the route table.
    pub targets: TargetFact,
    /// Whether a drain has begun.
    pub draining: bool,
}

/// How many listeners accept connections.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ListenerFact {
    /// Those that do.
    pub bound: usize,
    /// Those that should.
    pub configured: usize,
}

/// How many targets can serve.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TargetFact {
    /// All there are.
    pub total: usize,
    /// Those that are healthy.
    pub healthy: usize,
    /// Those that have not been checked yet.
    pub unknown: usize,
    /// The latest error of an unhealthy one.
    pub last_error: Option<String>,
}

/// What becomes of a prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum State {
    /// The neighbours are told.
    Announced,
    /// They are not, or are told no longer.
    Withdrawn,
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            State::Announced => "announced",
            State::Withdrawn => "withdrawn",
        })
    }
}

/// Why a prefix is in its state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reason {
    /// Nothing was decided yet.
    Starting,
    /// A drain has begun.
    Draining,
    /// `bgp.announce = always`
    Always,
    /// `proxy.addr` is empty, so nothing is served.
    NoListener,
    /// Some listeners do not accept connections.
    ListenersNotBound(ListenerFact),
    /// The first route table is not there yet.
    NoTable,
    /// The route table is empty.
    NoTarget,
    /// None is healthy, but some have not been checked yet.
    AwaitingChecks {
        /// How many have not been checked.
        unknown: usize,
    },
    /// All have been checked, and none is healthy.
    NoHealthyTarget {
        /// All there are.
        total: usize,
        /// The latest error of one of them.
        last_error: Option<String>,
    },
    /// At least one target is healthy, and everything else is in place.
    Ready {
        /// Those that are healthy.
        healthy: usize,
        /// All there are.
        total: usize,
    },
}

impl Reason {
    /// Whether the decision is only what holds until more is known after a
    /// start.
    fn is_preliminary(&self) -> bool {
        matches!(self, Reason::Starting | Reason::NoTable | Reason::AwaitingChecks { .. })
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Reason::Starting => f.write_str("starting"),
            Reason::Draining => f.write_str("draining"),
            Reason::Always => f.write_str("bgp.announce=always"),
            Reason::NoListener => f.write_str("no listener is configured"),
            Reason::ListenersNotBound(ListenerFact { bound, configured }) => {
                write!(f, "listeners not bound ({bound} of {configured})")
            }
            Reason::NoTable => f.write_str("waiting for the first route table"),
            Reason::NoTarget => f.write_str("no target in the route table"),
            Reason::AwaitingChecks { unknown } => {
                let plural = if *unknown == 1 { "" } else { "s" };
                write!(f, "waiting for the first health check of {unknown} target{plural}")
            }
            Reason::NoHealthyTarget { total, last_error: Some(error) } => {
                write!(f, "no healthy target (0 of {total}; last error: {error})")
            }
            Reason::NoHealthyTarget { total, last_error: None } => {
                write!(f, "no healthy target (0 of {total})")
            }
            Reason::Ready { healthy, total } => {
                let plural = if *total == 1 { "" } else { "s" };
                write!(f, "{healthy} of {total} target{plural} healthy")
            }
        }
    }
}

/// Decides from the facts alone.
pub fn decide(facts: &Facts) -> (State, Reason) {
    if facts.draining {
        return (State::Withdrawn, Reason::Draining);
    }
    match facts.policy {
        Policy::Always => (State::Announced, Reason::Always),
        Policy::Ready => match obstacle(facts) {
            Some(reason) => (State::Withdrawn, reason),
            None => {
                let TargetFact { healthy, total, .. } = facts.targets;
                (State::Announced, Reason::Ready { healthy, total })
            }
        },
    }
}

/// The first thing that keeps us from serving, in the order in which a start
/// gets over them.
fn obstacle(facts: &Facts) -> Option<Reason> {
    let Facts { listeners, targets, .. } = facts;
    if listeners.configured == 0 {
        Some(Reason::NoListener)
    } else if listeners.bound < listeners.configured {
        Some(Reason::ListenersNotBound(*listeners))
    } else if !facts.table_loaded {
        Some(Reason::NoTable)
    } else if targets.total == 0 {
        Some(Reason::NoTarget)
    } else if targets.healthy > 0 {
        None
    } else if targets.unknown > 0 {
        Some(Reason::AwaitingChecks { unknown: targets.unknown })
    } else {
        let last_error = targets.last_error.clone();
        Some(Reason::NoHealthyTarget { total: targets.total, last_error })
    }
}

/// One prefix and what was decided for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PrefixStatus {
    /// The prefix, without host bits.
    pub prefix: IpNet,
    /// What becomes of it.
    pub state: State,
    /// Why.
    pub reason: Reason,
    /// Since when it is in this state. The reason may be younger.
    pub since: Time,
}

/// A decision that differs from the one before, in its state or in the kind
/// of its reason. (One healthy target more or less is no news by itself.)
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// The prefix.
    pub prefix: IpNet,
    /// The state before.
    pub from: State,
    /// The state now; the same as before when only the reason is new.
    pub state: State,
    /// The reason now.
    pub reason: Reason,
}

/// Keeps the decision for each prefix.
#[derive(Clone, Debug)]
pub struct Announcer {
    prefixes: Vec<PrefixStatus>,
}

impl Announcer {
    /// All prefixes withdrawn since `now`; host bits are cleared, and a prefix
    /// that comes twice is one.
    pub fn new(now: Time, prefixes: impl IntoIterator<Item = IpNet>) -> Announcer {
        let mut announcer = Announcer { prefixes: Vec::new() };
        for prefix in prefixes.into_iter().map(|prefix| prefix.trunc()) {
            if announcer.prefixes.iter().all(|known| known.prefix != prefix) {
                let (state, reason) = (State::Withdrawn, Reason::Starting);
                announcer.prefixes.push(PrefixStatus { prefix, state, reason, since: now });
            }
        }
        announcer
    }

    /// Makes these the prefixes. Those that stay keep their state, new ones are
    /// withdrawn until the next decision. Returns those that are gone and have
    /// to be withdrawn from the neighbours.
    pub fn set_prefixes(
        &mut self,
        now: Time,
        prefixes: impl IntoIterator<Item = IpNet>,
    ) -> Vec<IpNet> {
        let wanted = Announcer::new(now, prefixes).prefixes;
        let before = std::mem::replace(&mut self.prefixes, wanted);
        for status in &mut self.prefixes {
            if let Some(known) = before.iter().find(|known| known.prefix == status.prefix) {
                *status = known.clone();
            }
        }
        let is_gone = |status: &&PrefixStatus| {
            status.state == State::Announced
                && self.prefixes.iter().all(|wanted| wanted.prefix != status.prefix)
        };
        before.iter().filter(is_gone).map(|status| status.prefix).collect()
    }

    /// Decides anew, and returns what is different now.
    pub fn update(&mut self, now: Time, facts: &Facts) -> Vec<Change> {
        let (state, reason) = decide(facts);
        let update = |status: &mut PrefixStatus| status.update(now, state, &reason);
        self.prefixes.iter_mut().filter_map(update).collect()
    }

    /// The prefixes that the neighbours should have now.
    pub fn desired(&self) -> impl Iterator<Item = IpNet> {
        let announced = self.prefixes.iter().filter(|status| status.state == State::Announced);
        announced.map(|status| status.prefix)
    }

    /// Whether every decision is made with all that there is to know, so that
    /// the neighbours may be told that this is all (RFC 4724 §2).
    pub fn is_settled(&self) -> bool {
        !self.prefixes.iter().any(|status| status.reason.is_preliminary())
    }

    /// Every prefix with its state and reason, in the order configured.
    pub fn status(&self) -> &[PrefixStatus] {
        &self.prefixes
    }
}

impl PrefixStatus {
    fn update(&mut self, now: Time, state: State, reason: &Reason) -> Option<Change> {
        // New targets in the place of all old ones are served as soon as they
        // are there. Their first check says within its time limit whether the
        // prefix goes; to take it back until then would be a flap.
        let waits = matches!(reason, Reason::AwaitingChecks { .. });
        let state = if waits { self.state } else { state };
        let from = std::mem::replace(&mut self.state, state);
        let previous = std::mem::replace(&mut self.reason, reason.clone());
        if from != state {
            self.since = now;
        }
        let is_same_kind = std::mem::discriminant(&previous) == std::mem::discriminant(reason);
        let change = Change { prefix: self.prefix, from, state, reason: reason.clone() };
        (from != state || !is_same_kind).then_some(change)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ready() -> Facts {
        Facts {
            policy: Policy::Ready,
            listeners: ListenerFact { bound: 2, configured: 2 },
            table_loaded: true,
            targets: TargetFact { total: 3, healthy: 2, unknown: 0, last_error: None },
            draining: false,
        }
    }

    fn at(seconds: u64) -> Time {
        Time::from_millis(seconds * 1_000)
    }

    fn assert_decision(facts: &Facts, state: State, reason: &str) {
        let (decided, why) = decide(facts);
        assert_eq!((decided, why.to_string().as_str()), (state, reason), "{facts:?}");
    }

    #[test]
    fn ready_is_announced() {
        assert_decision(&ready(), State::Announced, "2 of 3 targets healthy");
        let mut facts = ready();
        facts.targets = TargetFact { total: 1, healthy: 1, ..TargetFact::default() };
        assert_decision(&facts, State::Announced, "1 of 1 target healthy");
    }

    #[test]
    fn each_missing_condition_withdraws_and_is_named() {
        let without = |change: fn(&mut Facts), reason: &str| {
            let mut facts = ready();
            change(&mut facts);
            assert_decision(&facts, State::Withdrawn, reason);
        };
        without(|f| f.draining = true, "draining");
        without(|f| f.listeners.bound = 1, "listeners not bound (1 of 2)");
        without(|f| f.listeners = ListenerFact::default(), "no listener is configured");
        without(|f| f.table_loaded = false, "waiting for the first route table");
        without(|f| f.targets = TargetFact::default(), "no target in the route table");
        without(|f| f.targets.healthy = 0, "no healthy target (0 of 3)");
        without(
            |f| {
                f.targets.healthy = 0;
                f.targets.last_error = Some("connection refused".to_owned());
            },
            "no healthy target (0 of 3; last error: connection refused)",
        );
        without(
            |f| (f.targets.healthy, f.targets.unknown) = (0, 2),
            "waiting for the first health check of 2 targets",
        );
        without(
            |f| (f.targets.healthy, f.targets.unknown) = (0, 1),
            "waiting for the first health check of 1 target",
        );
    }

    /// Every combination of the facts that matter.
    fn all_facts() -> Vec<Facts> {
        let mut all = Vec::new();
        for bits in 0..0x200_usize {
            let bit = |n: usize| bits >> n & 1;
            let always = bit(0) == 1;
            let (healthy, unknown, unhealthy) = (bit(6), bit(7), bit(8));
            all.push(Facts {
                policy: if always { Policy::Always } else { Policy::Ready },
                listeners: ListenerFact { bound: bit(1) * bit(2), configured: bit(2) + bit(3) },
                table_loaded: bit(4) == 1,
                draining: bit(5) == 1,
                targets: TargetFact {
                    total: healthy + unknown + unhealthy,
                    healthy,
                    unknown,
                    last_error: None,
                },
            });
        }
        all
    }

    #[test]
    fn announced_if_and_only_if_everything_is_in_place() {
        for facts in all_facts() {
            let ListenerFact { bound, configured } = facts.listeners;
            let serves = configured > 0
                && bound == configured
                && facts.table_loaded
                && facts.targets.healthy > 0;
            let wanted = !facts.draining && (facts.policy == Policy::Always || serves);
            let expected = if wanted { State::Announced } else { State::Withdrawn };
            assert_eq!(decide(&facts).0, expected, "{facts:?}");
        }
    }

    #[test]
    fn always_is_announced_unless_draining() {
        let mut facts = ready();
        facts.policy = Policy::Always;
        facts.listeners.bound = 0;
        facts.table_loaded = false;
        facts.targets = TargetFact::default();
        assert_decision(&facts, State::Announced, "bgp.announce=always");
        facts.draining = true;
        assert_decision(&facts, State::Withdrawn, "draining");
    }

    fn prefixes(list: &[&str]) -> Vec<IpNet> {
        list.iter().map(|text| text.parse().unwrap()).collect()
    }

    #[test]
    fn nothing_is_announced_before_the_first_decision() {
        let announcer = Announcer::new(at(1), prefixes(&["192.0.2.1/32"]));
        assert_eq!(announcer.desired().count(), 0);
        let [status] = announcer.status() else { panic!("one prefix") };
        assert_eq!((status.state, status.since), (State::Withdrawn, at(1)));
        assert_eq!(status.reason.to_string(), "starting");
    }

    #[test]
    fn every_prefix_changes_and_is_desired() {
        let list = prefixes(&["192.0.2.1/32", "2001:db8::/48"]);
        let mut announcer = Announcer::new(at(0), list.clone());
        let changes = announcer.update(at(1), &ready());
        let changed: Vec<IpNet> = changes.iter().map(|change| change.prefix).collect();
        assert_eq!(changed, list);
        assert!(changes.iter().all(|c| (c.from, c.state) == (State::Withdrawn, State::Announced)));
        assert_eq!(announcer.desired().collect::<Vec<IpNet>>(), list);
        let mut facts = ready();
        facts.draining = true;
        let changes = announcer.update(at(2), &facts);
        assert!(changes.iter().all(|c| (c.from, c.state) == (State::Announced, State::Withdrawn)));
        assert_eq!(changes.len(), 2);
        assert_eq!(announcer.desired().count(), 0);
    }

    #[test]
    fn prefixes_come_and_go_and_those_that_stay_keep_their_state() {
        let mut announcer = Announcer::new(at(0), prefixes(&["192.0.2.1/32", "192.0.2.2/32"]));
        announcer.update(at(1), &ready());
        let gone = announcer.set_prefixes(at(2), prefixes(&["192.0.2.3/32", "192.0.2.2/32"]));
        assert_eq!(gone, prefixes(&["192.0.2.1/32"]));
        let since: Vec<(State, Time)> =
            announcer.status().iter().map(|status| (status.state, status.since)).collect();
        assert_eq!(since, [(State::Withdrawn, at(2)), (State::Announced, at(1))]);
        let changes = announcer.update(at(3), &ready());
        assert_eq!(
            changes.iter().map(|c| c.prefix).collect::<Vec<_>>(),
            prefixes(&["192.0.2.3/32"])
        );
        let mut facts = ready();
        facts.draining = true;
        announcer.update(at(4), &facts);
        assert!(announcer.set_prefixes(at(5), []).is_empty(), "they are withdrawn already");
    }

    /// A reload that replaces all targets is no reason for a flap.
    #[test]
    fn targets_that_are_all_new_change_nothing_until_the_first_check() {
        let mut announcer = Announcer::new(at(0), prefixes(&["192.0.2.1/32"]));
        let with = |healthy, unknown| {
            let mut facts = ready();
            facts.targets = TargetFact { total: 2, healthy, unknown, last_error: None };
            facts
        };
        for (second, healthy, unknown, state) in [
            (1, 0, 2, State::Withdrawn),
            (2, 1, 1, State::Announced),
            (3, 0, 2, State::Announced),
            (4, 0, 0, State::Withdrawn),
            (5, 0, 1, State::Withdrawn),
        ] {
            announcer.update(at(second), &with(healthy, unknown));
            assert_eq!(announcer.status()[0].state, state, "{second}");
        }
    }

    #[test]
    fn only_news_are_changes_but_the_status_is_always_fresh() {
        let mut announcer = Announcer::new(at(0), prefixes(&["192.0.2.1/32"]));
        assert_eq!(announcer.update(at(1), &ready()).len(), 1);
        assert_eq!(announcer.update(at(2), &ready()), []);
        let mut facts = ready();
        facts.targets.healthy = 1;
        assert_eq!(announcer.update(at(3), &facts), []);
        let [status] = announcer.status() else { panic!("one prefix") };
        assert_eq!(status.reason.to_string(), "1 of 3 targets healthy");
        assert_eq!(status.since, at(1));
    }

    #[test]
    fn a_new_reason_to_stay_withdrawn_is_news_and_keeps_since() {
        let mut announcer = Announcer::new(at(0), prefixes(&["192.0.2.1/32"]));
        let mut facts = ready();
        facts.listeners.bound = 0;
        assert_eq!(announcer.update(at(1), &facts).len(), 1);
        facts.listeners.bound = 1;
        assert_eq!(announcer.update(at(2), &facts), []);
        facts = ready();
        (facts.targets.healthy, facts.targets.unknown) = (0, 3);
        let changes = announcer.update(at(3), &facts);
        let [change] = changes.as_slice() else { panic!("one change, not {changes:?}") };
        assert_eq!((change.from, change.state), (State::Withdrawn, State::Withdrawn));
        assert_eq!(change.reason, Reason::AwaitingChecks { unknown: 3 });
        assert_eq!(announcer.status()[0].since, at(0));
    }

    #[test]
    fn it_is_settled_once_every_first_check_is_done() {
        let mut announcer = Announcer::new(at(0), prefixes(&["192.0.2.1/32"]));
        assert!(!announcer.is_settled());
        let mut facts = ready();
        (facts.targets.healthy, facts.targets.unknown) = (0, 3);
        announcer.update(at(1), &facts);
        assert!(!announcer.is_settled());
        facts.targets.unknown = 0;
        announcer.update(at(2), &facts);
        assert!(announcer.is_settled(), "nothing is announced, and that is final for now");
    }

    #[test]
    fn prefixes_lose_host_bits_and_doubles() {
        let list = prefixes(&["192.0.2.5/24", "192.0.2.0/24", "192.0.2.0/25"]);
        let mut announcer = Announcer::new(at(0), list);
        announcer.update(at(1), &ready());
        let desired: Vec<String> = announcer.desired().map(|p| p.to_string()).collect();
        assert_eq!(desired, ["192.0.2.0/24", "192.0.2.0/25"]);
    }
}
