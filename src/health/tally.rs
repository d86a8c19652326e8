//! How many targets stand how: of one service, and of all.

use std::collections::BTreeSet;

use super::machine::State;
use crate::reactor::Time;

/// How clients reach a target.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Transport {
    /// By connections.
    Tcp,
    /// By datagrams.
    Udp,
}

/// What a target is picked by: of the best that there are, in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Standing {
    /// Healthy, and not ejected.
    Fit,
    /// Not checked yet.
    Unknown,
    /// Healthy by its checks, but clients' connections to it failed.
    Ejected,
    /// Not fit to serve.
    Unhealthy,
}

/// How many targets there are, and what is wrong with those that are not fit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServiceCounts {
    /// All there are: the sum of the next four.
    pub total: usize,
    /// Those that are healthy and not ejected.
    pub healthy: usize,
    /// Those that were not checked yet.
    pub unknown: usize,
    /// Those that are not fit to serve.
    pub unhealthy: usize,
    /// Those that are healthy by their checks, and ejected.
    pub ejected: usize,
    /// The latest error of one that is unhealthy or ejected.
    pub last_error: Option<String>,
}

/// What a target counts as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Counted {
    pub(super) standing: Standing,
    /// When its last error was, if that says why it is not fit.
    pub(super) failing: Option<Time>,
}

/// Targets of one transport.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Tally {
    pub(super) fit: usize,
    pub(super) unknown: usize,
    pub(super) unhealthy: usize,
    pub(super) ejected: BTreeSet<u32>,
    /// Those that are not fit, by the time of their last error.
    errors: BTreeSet<(Time, u32)>,
}

impl Tally {
    pub(super) fn enter(&mut self, id: u32, counted: Counted) {
        self.errors.extend(counted.failing.map(|at| (at, id)));
        if counted.standing == Standing::Ejected {
            self.ejected.insert(id);
        } else if let Some(count) = self.count_of(counted.standing) {
            *count = count.saturating_add(1);
        }
    }

    pub(super) fn leave(&mut self, id: u32, counted: Counted) {
        counted.failing.map(|at| self.errors.remove(&(at, id)));
        if counted.standing == Standing::Ejected {
            self.ejected.remove(&id);
        } else if let Some(count) = self.count_of(counted.standing) {
            *count = count.saturating_sub(1);
        }
    }

    fn count_of(&mut self, standing: Standing) -> Option<&mut usize> {
        match standing {
            Standing::Fit => Some(&mut self.fit),
            Standing::Unknown => Some(&mut self.unknown),
            Standing::Unhealthy => Some(&mut self.unhealthy),
            Standing::Ejected => None,
        }
    }

    pub(super) fn total(&self) -> usize {
        let checked = self.fit.saturating_add(self.unhealthy);
        checked.saturating_add(self.unknown).saturating_add(self.ejected.len())
    }

    /// Whether its ejected targets are the best that it has.
    pub(super) fn needs_ejected(&self) -> bool {
        self.fit == 0 && self.unknown == 0 && !self.ejected.is_empty()
    }
}

/// The targets of a service, or all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Tallies {
    pub(super) tcp: Tally,
    pub(super) udp: Tally,
}

impl Tallies {
    pub(super) fn of(&mut self, transport: Transport) -> &mut Tally {
        match transport {
            Transport::Tcp => &mut self.tcp,
            Transport::Udp => &mut self.udp,
        }
    }

    /// The numbers, and the target whose error is the latest. The error itself
    /// is not set.
    pub(super) fn counts(&self) -> (ServiceCounts, Option<u32>) {
        let sum = |of: fn(&Tally) -> usize| of(&self.tcp).saturating_add(of(&self.udp));
        let counts = ServiceCounts {
            total: sum(Tally::total),
            healthy: sum(|tally| tally.fit),
            unknown: sum(|tally| tally.unknown),
            unhealthy: sum(|tally| tally.unhealthy),
            ejected: sum(|tally| tally.ejected.len()),
            last_error: None,
        };
        let latest = self.tcp.errors.last().max(self.udp.errors.last());
        (counts, latest.map(|&(_, id)| id))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.tcp.total() == 0 && self.udp.total() == 0
    }
}

/// The worse of what is known of a target of datagrams and of its twin: the
/// target of connections with the same service and address.
pub(super) fn worse(own: State, twin: Option<State>) -> Standing {
    match (own, twin.unwrap_or(State::Healthy)) {
        (State::Unhealthy, _) | (_, State::Unhealthy) => Standing::Unhealthy,
        (State::Unknown, _) | (_, State::Unknown) => Standing::Unknown,
        (State::Healthy, State::Healthy) => Standing::Fit,
    }
}
