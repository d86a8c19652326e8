//! The routes of a neighbour that restarts gracefully, which are kept for it
//! until it is back (RFC 4724 §4.2, RFC 8538 §4): the receiving speaker's side.

use std::time::Duration;

use super::down::{Down, DownReason};
use super::message::prefix::FamilySet;
use super::negotiation::Negotiated;
use crate::reactor::Time;

/// The longest wait for the End-of-RIB of a neighbour that is back: stale routes
/// are not kept for ever (RFC 4724 §4.2 asks for a bound and names none).
const STALE_PATHS: Duration = Duration::from_secs(360);

/// Whether, and until when, stale routes are kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Retained {
    until: Option<Time>,
    /// The families whose End-of-RIB has still to come, once it is back.
    awaited: FamilySet,
}

impl Retained {
    /// The families whose routes are kept after this end of a session that was
    /// established.
    pub(super) fn families(negotiated: &Negotiated, down: &Down) -> FamilySet {
        let Some(restart) = negotiated.graceful_restart else { return FamilySet::EMPTY };
        let graceful = match &down.reason {
            DownReason::ConnectionClosed => true,
            // RFC 4724 §4: a NOTIFICATION ends it all, unless both agreed that
            // only a hard reset does (RFC 8538 §4).
            DownReason::Sent(n) | DownReason::Received(n) => {
                restart.notification && !n.is_hard_reset()
            }
            DownReason::Stopped => false,
        };
        match graceful && down.was_established {
            true => restart.families.intersection(negotiated.families),
            false => FamilySet::EMPTY,
        }
    }

    /// The neighbour is gone and has its restart time to come back.
    pub(super) fn begin(&mut self, now: Time, negotiated: &Negotiated) {
        let seconds = negotiated.graceful_restart.map_or(0, |restart| restart.time);
        self.until = Some(now + Duration::from_secs(seconds.into()));
        self.awaited = FamilySet::EMPTY;
    }

    /// The neighbour is back. Returns the families whose routes it has not
    /// kept: theirs go at once (RFC 4724 §4.2).
    pub(super) fn back(&mut self, now: Time, negotiated: &Negotiated) -> FamilySet {
        if self.until.is_none() {
            return FamilySet::EMPTY;
        }
        self.until = Some(now + STALE_PATHS);
        let kept = negotiated.graceful_restart.map(|restart| restart.preserved).unwrap_or_default();
        self.awaited = kept.intersection(negotiated.families);
        let mut lost = FamilySet::ALL;
        self.awaited.iter().for_each(|family| lost.remove(family));
        if self.awaited.is_empty() {
            self.end();
        }
        lost
    }

    /// The neighbour that is back has sent all of these families again. With the
    /// last it is over, so that what a refresh marks later is not swept for it.
    pub(super) fn arrived(&mut self, families: FamilySet) {
        if self.awaited.is_empty() {
            return;
        }
        families.iter().for_each(|family| self.awaited.remove(family));
        if self.awaited.is_empty() {
            self.end();
        }
    }

    /// Nothing is stale any more.
    pub(super) fn end(&mut self) {
        *self = Retained::default();
    }

    /// When what is still stale goes.
    pub(super) fn deadline(&self) -> Option<Time> {
        self.until
    }

    /// Whether that time has come; then it is over.
    pub(super) fn take_due(&mut self, now: Time) -> bool {
        let due = self.until.is_some_and(|at| at <= now);
        if due {
            self.end();
        }
        due
    }
}
