//! What the door keeps of one neighbour.

use std::time::Duration;

use super::settings::PeerTransport;
use crate::bgp::session::State;
use crate::reactor::Time;
use crate::reactor::slab::Key;
use crate::reactor::timer_wheel::Alarm;

/// Most octets written to one neighbour in one turn: as much as waits for it at
/// a time (`outbox.rs`), so that one turn costs one fill of the outbox, some
/// 0.1 ms, however much there is to send and however fast it is taken.
pub(super) const WRITE_BUDGET: usize = 64 * 1024;

/// How long a neighbour may be silent before its place in a full group goes to
/// another: an OPEN follows its connection at once (RFC 4271 §8.2.2), so that one
/// that has not come by then is not coming.
const PATIENCE: Duration = Duration::from_secs(10);

/// Most reasons that are logged for a neighbour that does not come up.
const COMPLAINTS: usize = 8;

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
    /// Whether it is in the list of those whose turn comes.
    pub(super) due: bool,
    /// The failures that were logged since it was last up.
    complaints: Vec<String>,
    /// When and why it could last not be reached.
    failure: Option<(Time, String)>,
    /// Since when it has had no session at all.
    idle_since: Option<Time>,
    /// Since when it has had a connection and shown no OPEN.
    silent_since: Option<Time>,
    /// Until when it may not have a session, after it announced too much.
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
            due: false,
            complaints: Vec::new(),
            failure: None,
            idle_since: None,
            silent_since: None,
            kept_out_until: None,
            written: (0, WRITE_BUDGET),
        }
    }

    /// Whether `text` is news about a neighbour that does not come up. It is
    /// said once, and so is a bounded number of other reasons: one that is down
    /// for a year does not fill the log.
    pub(super) fn complains(&mut self, text: &str) -> bool {
        let news = self.complaints.len() < COMPLAINTS && self.complaints.iter().all(|c| c != text);
        if news {
            self.complaints.push(text.to_owned());
        }
        news
    }

    /// It is up, so that the next failure is news again.
    pub(super) fn contented(&mut self) {
        self.complaints = Vec::new();
        self.failure = None;
    }

    /// It could not be reached.
    pub(super) fn failed(&mut self, now: Time, why: &str) {
        self.failure = Some((now, why.to_owned()));
    }

    /// When and why it could last not be reached, since it was last up.
    pub(super) fn failure(&self) -> Option<(Time, &str)> {
        self.failure.as_ref().map(|(at, why)| (*at, why.as_str()))
    }

    /// How far it is, and until when it may not have a session.
    pub(super) fn note(&mut self, now: Time, state: State, kept_out_until: Option<Time>) {
        let since = |is_so: bool, since: Option<Time>| is_so.then(|| since.unwrap_or(now));
        let silent = matches!(state, State::Connect | State::Active | State::OpenSent);
        self.idle_since = since(state == State::Idle, self.idle_since);
        self.silent_since = since(silent, self.silent_since);
        self.kept_out_until = kept_out_until;
    }

    /// Since when its place could go to another: it is gone, or it has a
    /// connection and says nothing.
    pub(super) fn useless_since(&self, now: Time) -> Option<Time> {
        if self.kept_out_until.is_some_and(|until| now < until) {
            return None;
        }
        let silent = self.silent_since.filter(|since| now.since(*since) >= PATIENCE);
        self.idle_since.or(silent)
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
        configured.note(at(1), State::Idle, None);
        assert_eq!(configured.forget_at(), None);
        let membership = Membership { group: 0, keep: Duration::from_secs(60) };
        let mut member = Neighbour::new(transport, Some(membership));
        assert_eq!(member.forget_at(), None);
        member.note(at(1), State::Idle, None);
        member.note(at(2), State::Idle, None);
        assert_eq!(member.forget_at(), Some(at(60_001)), "since it became idle");
        assert_eq!(member.useless_since(at(3)), Some(at(1)));
        member.note(at(3), State::Established, None);
        assert_eq!((member.forget_at(), member.useless_since(at(3))), (None, None));
    }

    /// A stranger with many addresses of the prefix could fill the group.
    #[test]
    fn who_is_silent_gives_way_after_a_while() {
        let transport = PeerTransport::plain("192.0.2.1:179".parse().expect("an address"));
        let mut member = Neighbour::new(transport, None);
        for state in [State::Active, State::OpenSent] {
            member.note(at(1), state, None);
            assert_eq!(member.useless_since(at(10_000)), None);
            assert_eq!(member.useless_since(at(10_001)), Some(at(1)));
            member.note(at(500), state, None);
            assert_eq!(member.useless_since(at(10_001)), Some(at(1)), "another connection");
        }
        member.note(at(2), State::OpenConfirm, None);
        assert_eq!(member.useless_since(at(99_000)), None);
    }

    /// Or it could be back at once, and announce too much again.
    #[test]
    fn who_is_kept_out_is_not_forgotten() {
        let transport = PeerTransport::plain("192.0.2.1:179".parse().expect("an address"));
        let membership = Membership { group: 0, keep: Duration::from_secs(60) };
        let mut member = Neighbour::new(transport, Some(membership));
        member.note(at(1), State::Idle, Some(at(90_000)));
        assert_eq!((member.forget_at(), member.useless_since(at(2))), (Some(at(90_000)), None));
        assert_eq!(member.useless_since(at(90_000)), Some(at(1)));
        member.note(at(2), State::Idle, Some(at(10)));
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
