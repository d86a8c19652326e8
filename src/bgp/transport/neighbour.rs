//! What the door keeps of one neighbour.

use std::time::Duration;

use super::settings::PeerTransport;
use crate::reactor::Time;
use crate::reactor::slab::Key;
use crate::reactor::timer_wheel::Alarm;

/// Most octets written to one neighbour in one turn: as much as waits for it at
/// a time (`outbox.rs`), so that one turn costs one fill of the outbox, some
/// 0.1 ms, however much there is to send and however fast it is taken.
pub(super) const WRITE_BUDGET: usize = 64 * 1024;

/// How a neighbour came by a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Membership {
    /// The group's place in the settings.
    pub(super) group: usize,
    /// How long the neighbour is kept after its connection is gone.
    pub(super) keep: Duration,
}

/// One neighbour's connections, timer and the like.
#[derive(Debug)]
pub(super) struct Neighbour {
    pub(super) transport: PeerTransport,
    /// `None` for one that is configured by its address.
    pub(super) membership: Option<Membership>,
    /// The outgoing and the incoming connection.
    pub(super) places: [Option<Key>; 2],
    pub(super) alarm: Alarm,
    /// Whether a failure was logged since it was last up.
    pub(super) complained: bool,
    /// Since when it has had no session at all.
    idle_since: Option<Time>,
    /// Until when it may not have one, after it announced too much.
    kept_out_until: Option<Time>,
    /// The last turn in which something was written, and what is left of the
    /// budget in it.
    written: (u64, usize),
}

impl Neighbour {
    pub(super) fn new(transport: PeerTransport, membership: Option<Membership>) -> Neighbour {
        Neighbour {
            transport,
            membership,
            places: [None; 2],
            alarm: Alarm::new(),
            complained: false,
            idle_since: None,
            kept_out_until: None,
            written: (0, WRITE_BUDGET),
        }
    }

    /// Whether it has no session at all, and how long it may not have one.
    pub(super) fn note_idle(&mut self, now: Time, idle: bool, kept_out_until: Option<Time>) {
        self.idle_since = idle.then(|| self.idle_since.unwrap_or(now));
        self.kept_out_until = kept_out_until;
    }

    /// Since when it is gone and could be forgotten for another's sake.
    pub(super) fn gone_since(&self, now: Time) -> Option<Time> {
        self.idle_since.filter(|_| self.kept_out_until.is_none_or(|until| until <= now))
    }

    /// When it is forgotten, unless it comes back; `None` while it is here, and
    /// for one that is configured by its address.
    pub(super) fn forget_at(&self) -> Option<Time> {
        let at = self.idle_since? + self.membership?.keep;
        Some(self.kept_out_until.map_or(at, |until| until.max(at)))
    }

    pub(super) fn is_of(&self, group: usize) -> bool {
        self.membership.is_some_and(|membership| membership.group == group)
    }

    /// What may still be written in this turn.
    pub(super) fn budget(&mut self, turn: u64) -> &mut usize {
        if self.written.0 != turn {
            self.written = (turn, WRITE_BUDGET);
        }
        &mut self.written.1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Time {
        Time::from_millis(millis)
    }

    #[test]
    fn only_who_came_by_a_group_is_forgotten() {
        let transport = PeerTransport::plain("192.0.2.1:179".parse().expect("an address"));
        let mut configured = Neighbour::new(transport.clone(), None);
        configured.note_idle(at(1), true, None);
        assert_eq!(configured.forget_at(), None);
        let membership = Membership { group: 0, keep: Duration::from_secs(60) };
        let mut member = Neighbour::new(transport, Some(membership));
        assert_eq!(member.forget_at(), None);
        member.note_idle(at(1), true, None);
        member.note_idle(at(2), true, None);
        assert_eq!(member.forget_at(), Some(at(60_001)), "since it became idle");
        assert_eq!(member.gone_since(at(3)), Some(at(1)));
        member.note_idle(at(3), false, None);
        assert_eq!((member.forget_at(), member.gone_since(at(3))), (None, None));
    }

    /// Or it could be back at once, and announce too much again.
    #[test]
    fn who_is_kept_out_is_not_forgotten() {
        let transport = PeerTransport::plain("192.0.2.1:179".parse().expect("an address"));
        let membership = Membership { group: 0, keep: Duration::from_secs(60) };
        let mut member = Neighbour::new(transport, Some(membership));
        member.note_idle(at(1), true, Some(at(90_000)));
        assert_eq!((member.forget_at(), member.gone_since(at(2))), (Some(at(90_000)), None));
        assert_eq!(member.gone_since(at(90_000)), Some(at(1)));
        member.note_idle(at(2), true, Some(at(10)));
        assert_eq!(member.forget_at(), Some(at(60_001)));
    }

    #[test]
    fn each_turn_has_a_budget_of_its_own() {
        let transport = PeerTransport::plain("192.0.2.1:179".parse().expect("an address"));
        let mut neighbour = Neighbour::new(transport, None);
        *neighbour.budget(7) -= 1000;
        assert_eq!(*neighbour.budget(7), WRITE_BUDGET - 1000);
        assert_eq!(*neighbour.budget(8), WRITE_BUDGET);
    }
}
