//! What nobody else counts or remembers.

use crate::proxy::Lent;
use crate::reactor::{Reactor, Time};

/// See the module's page.
#[derive(Debug, Default)]
pub(in crate::daemon) struct Tally {
    /// Reloads that were asked for, and those that put something in force.
    reloads: u64,
    done: u64,
    small_buffers: Option<Lent>,
    /// Since when the maintenance file is there.
    file_since: Option<Time>,
}

impl Tally {
    /// A reload was asked for.
    pub(in crate::daemon) fn reload_asked(&mut self) {
        self.reloads = self.reloads.saturating_add(1);
    }

    /// A reload came to a good end.
    pub(in crate::daemon) fn reload_done(&mut self) {
        self.done = self.done.saturating_add(1);
    }

    /// What the loop and the files know now: to be said in each turn.
    pub(in crate::daemon) fn note(&mut self, reactor: &Reactor, is_file_there: bool) {
        let pool = &reactor.pool;
        self.small_buffers = Some(Lent { count: pool.lent(), limit: pool.limit() });
        self.file_since = is_file_there.then(|| self.file_since.unwrap_or(reactor.now()));
    }

    /// Reloads that came to a good end, and those that did not.
    pub(super) fn reloads(&self) -> (u64, u64) {
        (self.done, self.reloads.saturating_sub(self.done))
    }

    /// The buffers of the loop, as they were in the last turn.
    pub(super) fn small_buffers(&self) -> Option<Lent> {
        self.small_buffers
    }

    /// Since when the maintenance file is there.
    pub(super) fn file_since(&self) -> Option<Time> {
        self.file_since
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reload_that_did_nothing_has_failed() {
        let mut tally = Tally::default();
        for is_good in [true, false, true] {
            tally.reload_asked();
            if is_good {
                tally.reload_done();
            }
        }
        assert_eq!(tally.reloads(), (2, 1));
    }

    #[test]
    fn the_file_is_there_since_it_came() {
        let (mut reactor, mut tally) = (Reactor::new().unwrap(), Tally::default());
        tally.note(&reactor, true);
        let first = tally.file_since();
        assert!(first.is_some());
        let buffer = reactor.pool.take().unwrap();
        tally.note(&reactor, true);
        assert_eq!(tally.file_since(), first);
        assert_eq!(tally.small_buffers().unwrap().count, 1);
        reactor.pool.give(buffer);
        tally.note(&reactor, false);
        assert_eq!(tally.file_since(), None);
    }
}
