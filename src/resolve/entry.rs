//! One name that is wanted: what is known of it, and how far a round of
//! questions about it has come.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::time::Duration;

use super::MAX_ADDRESSES;
use super::event::{Event, Status};
use super::message::Record;
use super::name::Name;
use crate::reactor::Time;

/// The shortest time between two rounds. An answer may say that it holds for no
/// time at all (RFC 1035 §3.2.1); a target that is asked for every second is
/// still followed closely.
const FLOOR: Duration = Duration::from_secs(1);

/// The longest time that an answer is taken to hold. Answers that hold for a
/// day are common, and a name that was moved is to be followed within minutes;
/// a question every five minutes costs nobody anything, since the server that
/// is asked remembers the answer.
pub(super) const CAP: Duration = Duration::from_secs(300);

/// The longest time that a name is taken not to exist. RFC 2308 §5 has hours,
/// but a target that is missing is one that does not serve.
const NEGATIVE_CAP: Duration = Duration::from_secs(60);

/// How long a name is taken not to exist when the server does not say: such an
/// answer must not be kept (RFC 2308 §5).
const NEGATIVE_UNSAID: Duration = Duration::from_secs(5);

/// How long after a round that failed the next one begins; it doubles with each
/// that follows, up to the second number. A round itself takes as long as the
/// timeouts of all servers.
const FIRST_RETRY: Duration = Duration::from_secs(1);
const LAST_RETRY: Duration = Duration::from_secs(30);

/// What came of the questions for one kind of record.
#[derive(Clone, Debug)]
pub(super) enum Outcome {
    /// Addresses, and how long they hold.
    Addresses(Vec<IpAddr>, Duration),
    /// An answer that there are none.
    Nothing {
        /// Whether there is the name itself.
        exists: bool,
        /// For how long that holds, if it was said.
        ttl: Option<Duration>,
    },
    /// No answer: why.
    Failed(String),
}

/// What to do next.
#[derive(Debug)]
pub(super) enum Step {
    /// Something is still under way.
    Wait,
    /// Ask for this name.
    Ask(Name),
    /// The round is over; [`Entry::finish`] says what came of it.
    Done,
}

#[derive(Debug, Default)]
struct Round {
    /// The name that is asked for, and those to ask for after it.
    candidate: Option<Name>,
    others: VecDeque<Name>,
    a: Option<Outcome>,
    aaaa: Option<Outcome>,
    wants_aaaa: bool,
    /// Of the candidates so far that have no address: whether there is one of
    /// them, and how long that holds at least.
    exists: bool,
    negative: Option<Duration>,
}

#[derive(Debug)]
pub(super) struct Entry {
    name: Name,
    a: Vec<IpAddr>,
    aaaa: Vec<IpAddr>,
    /// The candidate that the addresses belong to.
    source: Option<Name>,
    answered: Option<Time>,
    problem: Option<(Time, String)>,
    /// Whether the last round got no answer at all.
    is_stale: bool,
    /// Rounds in a row with a question that got no answer.
    failures: u32,
    round: Option<Round>,
    /// When the next round begins, if none is under way.
    pub(super) due: Option<Time>,
    told: Option<Event>,
}

impl Entry {
    pub(super) fn new(name: Name) -> Entry {
        Entry {
            name,
            a: Vec::new(),
            aaaa: Vec::new(),
            source: None,
            answered: None,
            problem: None,
            is_stale: false,
            failures: 0,
            round: None,
            due: None,
            told: None,
        }
    }

    pub(super) fn name(&self) -> &Name {
        &self.name
    }

    pub(super) fn status(&self) -> Status {
        Status {
            addresses: self.addresses(),
            answered: self.answered,
            problem: self.problem.clone(),
            next: self.due,
        }
    }

    /// Forgets a round that is under way.
    pub(super) fn give_up(&mut self) {
        self.round = None;
    }

    /// Takes what the file of hosts says; returns how long it holds.
    pub(super) fn settle(&mut self, now: Time, addresses: Vec<IpAddr>) -> Duration {
        (self.a, self.aaaa) = addresses.into_iter().partition(IpAddr::is_ipv4);
        self.source = None;
        self.succeed(now);
        CAP
    }

    /// Begins a round; returns the name to ask for.
    pub(super) fn begin(&mut self, candidates: Vec<Name>, wants_aaaa: bool) -> Option<Name> {
        let mut others = VecDeque::from(candidates);
        let candidate = others.pop_front();
        self.round =
            Some(Round { candidate: candidate.clone(), others, wants_aaaa, ..Round::default() });
        candidate
    }

    /// The kinds of records that this round asks for.
    pub(super) fn records(&self) -> &'static [Record] {
        match &self.round {
            Some(Round { wants_aaaa: true, .. }) => &[Record::A, Record::Aaaa],
            _ => &[Record::A],
        }
    }

    /// Takes what came of one question.
    pub(super) fn take(&mut self, record: Record, outcome: Outcome) -> Step {
        let Some(round) = &mut self.round else { return Step::Wait };
        match record {
            Record::A => round.a = Some(outcome),
            Record::Aaaa => round.aaaa = Some(outcome),
        }
        if round.a.is_none() || (round.aaaa.is_none() && round.wants_aaaa) {
            return Step::Wait;
        }
        for outcome in [&round.a, &round.aaaa].into_iter().flatten() {
            // After a failure the other candidates are not asked for: what
            // they lead to could be another host than the one that is meant.
            let Outcome::Nothing { exists, ttl } = outcome else { return Step::Done };
            let ttl = ttl.unwrap_or(NEGATIVE_UNSAID);
            round.exists |= exists;
            round.negative = Some(round.negative.map_or(ttl, |least| least.min(ttl)));
        }
        let Some(next) = round.others.pop_front() else { return Step::Done };
        (round.a, round.aaaa) = (None, None);
        round.candidate = Some(next.clone());
        Step::Ask(next)
    }

    /// Makes use of the addresses of one kind, if there are any, while the
    /// question for the other kind goes from server to server: some answer
    /// only one of the two. Says whether there are any.
    pub(super) fn use_early(&mut self, now: Time) -> bool {
        let Some(round) = &self.round else { return false };
        let candidate = round.candidate.clone();
        let found = |outcome: &Option<Outcome>| match outcome {
            Some(Outcome::Addresses(addresses, _)) => Some(addresses.clone()),
            _ => None,
        };
        let (a, aaaa) = (found(&round.a), found(&round.aaaa));
        let is_found = a.is_some() || aaaa.is_some();
        if is_found {
            self.change_source(candidate);
            self.a = a.unwrap_or_else(|| std::mem::take(&mut self.a));
            self.aaaa = aaaa.unwrap_or_else(|| std::mem::take(&mut self.aaaa));
            self.answered = Some(now);
            self.is_stale = false;
        }
        is_found
    }

    /// Draws the conclusion of a round; returns how long it holds.
    pub(super) fn finish(&mut self, now: Time) -> Duration {
        let Some(round) = self.round.take() else { return FLOOR };
        let mut outcomes = [(Record::A, round.a), (Record::Aaaa, round.aaaa)];
        let is_found = |outcome: &Option<Outcome>| matches!(outcome, Some(Outcome::Addresses(..)));
        let error = outcomes.iter().find_map(|(_, outcome)| match outcome {
            Some(Outcome::Failed(error)) => Some(error.clone()),
            _ => None,
        });
        if !outcomes.iter().any(|(_, outcome)| is_found(outcome)) {
            self.is_stale = error.is_some();
            return match error {
                Some(error) => self.fail(now, error),
                None => self.have_nothing(now, round.exists, round.negative),
            };
        }
        self.change_source(round.candidate);
        let mut rest = CAP;
        for (record, outcome) in &mut outcomes {
            let kept = match record {
                Record::A => &mut self.a,
                Record::Aaaa => &mut self.aaaa,
            };
            match outcome.take() {
                Some(Outcome::Addresses(addresses, ttl)) => {
                    *kept = addresses;
                    rest = rest.min(ttl.max(FLOOR));
                }
                Some(Outcome::Failed(_)) => {}
                Some(Outcome::Nothing { .. }) | None => kept.clear(),
            }
        }
        (self.answered, self.is_stale) = (Some(now), false);
        match error {
            Some(error) => rest.min(self.fail(now, error)),
            None => {
                self.succeed(now);
                rest
            }
        }
    }

    /// What there is to report, if it differs from what was reported last.
    pub(super) fn report(&mut self) -> Option<Event> {
        let addresses = self.addresses();
        let name = self.name.clone();
        let event = match &self.problem {
            Some((_, error)) if addresses.is_empty() || self.is_stale => {
                Event::Failed { name, error: error.clone(), stale: !addresses.is_empty() }
            }
            _ => Event::Resolved { name, addresses },
        };
        if self.told.as_ref() == Some(&event) {
            return None;
        }
        self.told = Some(event.clone());
        Some(event)
    }

    fn addresses(&self) -> Vec<IpAddr> {
        let mut addresses: Vec<IpAddr> = self.a.iter().chain(&self.aaaa).copied().collect();
        addresses.sort_unstable();
        addresses.dedup();
        addresses.truncate(MAX_ADDRESSES);
        addresses
    }

    /// Addresses of another candidate are those of another host.
    fn change_source(&mut self, source: Option<Name>) {
        if self.source != source {
            self.a.clear();
            self.aaaa.clear();
            self.source = source;
        }
    }

    fn succeed(&mut self, now: Time) {
        self.answered = Some(now);
        self.problem = None;
        self.is_stale = false;
        self.failures = 0;
    }

    /// An answer that there is nothing replaces what there was (RFC 8767 §4).
    fn have_nothing(&mut self, now: Time, exists: bool, ttl: Option<Duration>) -> Duration {
        self.change_source(None);
        self.a.clear();
        self.aaaa.clear();
        self.succeed(now);
        let error = if exists { "the name has no address" } else { "there is no such name" };
        self.problem = Some((now, error.to_owned()));
        ttl.unwrap_or(NEGATIVE_UNSAID).clamp(FLOOR, NEGATIVE_CAP)
    }

    /// Without an answer everything stays as it was (RFC 8767), for as long as
    /// it takes: the checks of the targets say whether they still serve.
    fn fail(&mut self, now: Time, error: String) -> Duration {
        let since = self.problem.take().filter(|_| self.failures > 0).map_or(now, |(at, _)| at);
        self.problem = Some((since, error));
        let doubled = FIRST_RETRY.saturating_mul(1 << self.failures.min(5));
        self.failures = self.failures.saturating_add(1);
        doubled.min(LAST_RETRY)
    }
}
