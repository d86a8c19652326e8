//! One prefix: its rule, its memory, and how a new decision comes about.

use super::Change;
use super::decide::{Decision, decide};
use super::explain::{self, Condition};
use super::facts::{Facts, PrefixFacts};
use super::gate::{Gate, Shown, Wanted};
use super::hysteresis::{Hold, Hysteresis};
use super::level::Level;
use super::penalty::Penalty;
use super::reason::Reason;
use super::record::Restored;
use super::rule::{Rule, Settings};
use super::status::{Next, PrefixStatus};
use crate::reactor::Time;

/// The memory of one prefix.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    rule: Rule,
    hysteresis: Hysteresis,
    gate: Gate,
    /// What was decided holds only until more is known after a start.
    is_preliminary: bool,
}

impl Entry {
    /// Nothing was decided yet. `restored` is what a process before this one left.
    pub(super) fn new(now: Time, settings: &Settings, rule: Rule, restored: &Restored) -> Entry {
        let record = restored.record_of(&rule.prefix);
        let mut penalty = Penalty::restored(now, settings, record, restored.away);
        // The neighbours lost the prefix when that process died, which is a fall
        // as any other.
        if restored.unclean && record.is_some_and(|record| record.level.is_announced()) {
            penalty.charge(now, settings, Level::Withdrawn);
        }
        let hysteresis = Hysteresis::new(penalty, !restored.unclean);
        Entry { rule, hysteresis, gate: Gate::Open, is_preliminary: true }
    }

    /// The status before the first decision.
    pub(super) fn first_status(&self, now: Time, restored: &Restored) -> PrefixStatus {
        let record = restored.record_of(&self.rule.prefix);
        PrefixStatus {
            prefix: self.rule.prefix,
            level: Level::Withdrawn,
            reason: Reason::Starting,
            since: now,
            service_level: Level::Withdrawn,
            next: None,
            suppressed_until: self.hysteresis.penalty.suppressed_until(),
            changes: record.map_or(0, |record| record.changes),
            last_change: None,
            penalty: self.hysteresis.penalty,
        }
    }

    pub(super) fn rule(&self) -> &Rule {
        &self.rule
    }

    pub(super) fn is_preliminary(&self) -> bool {
        self.is_preliminary
    }

    /// Keeps the rule and takes everything else from what the prefix had before.
    pub(super) fn remember(&mut self, now: Time, settings: &Settings, before: Entry) {
        let rule = self.rule.clone();
        *self = Entry { rule, ..before };
        self.hysteresis.penalty.adopt(now, settings);
    }

    /// Decides anew. Returns what is news.
    pub(super) fn update(
        &mut self,
        now: Time,
        settings: &Settings,
        facts: &Facts,
        own: &PrefixFacts,
        status: &mut PrefixStatus,
    ) -> Option<Change> {
        let decision = decide(settings, &self.rule, facts, own);
        let hold = self.hysteresis.update(now, settings, decision.range, status.level);
        let service = self.hysteresis.level();
        let (wanted, switch) = wanted(facts, own);
        let shown = Shown { level: status.level, since: status.since };
        let level = self.gate.update(now, settings, wanted, service, shown);
        let reason = match switch {
            Some(reason) => reason,
            None => self.service_reason(settings, decision, hold),
        };
        self.is_preliminary = match reason {
            Reason::Starting | Reason::NoTable => true,
            Reason::AwaitingChecks { .. } => hold == Some(Hold::AwaitingChecks),
            // A neighbour that has kept our path over a crash (RFC 4724 §4.2) is not to
            // drop it now and take it again in a moment.
            Reason::HoldingUp { .. } => self.is_preliminary,
            _ => false,
        };
        status.service_level = service;
        status.penalty = self.hysteresis.penalty;
        status.suppressed_until = status.penalty.suppressed_until();
        status.next = self.next(settings);
        let from = std::mem::replace(&mut status.level, level);
        let previous = std::mem::replace(&mut status.reason, reason.clone());
        if from != level {
            status.since = now;
            status.last_change = Some(now);
            status.changes = status.changes.saturating_add(1);
        }
        let is_same_kind = std::mem::discriminant(&previous) == std::mem::discriminant(&reason);
        let change = Change { prefix: status.prefix, from, to: level, reason };
        (from != level || !is_same_kind).then_some(change)
    }

    /// Why the service is at its level.
    fn service_reason(
        &self,
        settings: &Settings,
        decision: Decision,
        hold: Option<Hold>,
    ) -> Reason {
        let level = self.hysteresis.level();
        let penalty = self.hysteresis.penalty;
        match (hold, decision.awaited) {
            (Some(Hold::Suppressed { until }), _) => Reason::Suppressed { penalty, until },
            (Some(Hold::HoldingUp { level, since }), _) => {
                Reason::HoldingUp { level, since, hold_up: settings.hold_up }
            }
            // Where enough is known for a level that is announced, that counts.
            (None, Some(awaited)) if level > decision.range.floor || !level.is_announced() => {
                awaited
            }
            (Some(Hold::AwaitingChecks), Some(awaited)) => awaited,
            (None | Some(Hold::AwaitingChecks), _) => decision.reason,
        }
    }

    fn next(&self, settings: &Settings) -> Option<Next> {
        if let Some(at) = self.gate.until(settings) {
            return Some(Next { at, level: Level::Withdrawn, why: "the graceful shutdown" });
        }
        let rise = self.hysteresis.next_rise(settings).filter(|_| self.gate == Gate::Open)?;
        let why = if rise.was_suppressed { "the suppression" } else { "the hold-up" };
        Some(Next { at: rise.at, level: rise.level, why })
    }

    /// What the prefix depends on, one by one.
    pub(super) fn conditions(
        &self,
        now: Time,
        settings: &Settings,
        facts: &Facts,
        own: &PrefixFacts,
    ) -> Vec<Condition> {
        explain::conditions(now, settings, &self.rule, facts, own, &self.hysteresis)
    }

    /// When something changes by itself, seen from outside or not.
    pub(super) fn deadline(&self, settings: &Settings) -> Option<Time> {
        let rise = self.hysteresis.next_rise(settings).map(|rise| rise.at);
        let suppression = self.hysteresis.penalty.suppressed_until();
        [self.gate.until(settings), rise, suppression].into_iter().flatten().min()
    }
}

/// Whether the operator wants the prefix withdrawn, and by which switch.
fn wanted(facts: &Facts, own: &PrefixFacts) -> (Wanted, Option<Reason>) {
    match (&facts.stopping, &facts.maintenance, own.drained) {
        (Some(stop), _, _) if stop.hurried => (Wanted::ClosedAtOnce, Some(Reason::Stopping)),
        (Some(_), _, _) => (Wanted::Closed, Some(Reason::Stopping)),
        (None, Some(switch), _) => (Wanted::Closed, Some(Reason::Maintenance(switch.clone()))),
        (None, None, true) => (Wanted::Closed, Some(Reason::Drained)),
        (None, None, false) => (Wanted::Open, None),
    }
}
