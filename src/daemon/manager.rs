//! What the service manager is told (sd_notify).

use std::time::Duration;

use super::{Daemon, MANAGER_TIMER};
use crate::announce::Level;
use crate::bgp::speaker::Speaker;
use crate::bgp::transport::Transport;
use crate::reactor::sd_notify::Notifier;
use crate::reactor::{Reactor, clock};

/// What a stop takes beside the waits that the configuration sets: the
/// acknowledgement, the Cease, and a margin for a busy machine.
const STOP_MARGIN: Duration = Duration::from_secs(10);

impl Daemon {
    /// Everything is bound, loaded and dialled: tells the manager that the
    /// environment names, if there is one, and gives it signs of life.
    pub(super) fn report_to_manager(&mut self, reactor: &mut Reactor) {
        self.notifier = Notifier::from_environment(MANAGER_TIMER);
        if let Some(notifier) = &mut self.notifier {
            notifier.arm(reactor);
            notifier.ready(reactor);
        }
        self.tell_status(reactor);
    }

    /// How we do, in a line: said only if it has changed.
    pub(super) fn tell_status(&mut self, reactor: &mut Reactor) {
        if self.notifier.is_none() {
            return;
        }
        let text = self.status_line();
        if let Some(notifier) = &mut self.notifier {
            notifier.status(reactor, &text);
        }
    }

    fn status_line(&self) -> String {
        let prefixes = self.announcing.announcer.status();
        let full = prefixes.iter().filter(|status| status.level == Level::Full).count();
        let speaker = self.bgp.as_ref().map(Transport::speaker);
        let up = speaker.map_or(0, Speaker::established);
        let neighbours = speaker.map_or(0, |speaker| speaker.peer_ids().count());
        let (healthy, total) = self.healthy();
        format!(
            "{}: {full} of {} prefixes announced, {up} of {neighbours} sessions established, \
             {healthy} of {total} targets healthy",
            self.drain.step(),
            prefixes.len()
        )
    }

    /// The configuration is about to be read again.
    pub(super) fn tell_reloading(&mut self, reactor: &mut Reactor) {
        if let Some(notifier) = &mut self.notifier {
            notifier.reloading(reactor, clock::monotonic());
        }
    }

    /// The configuration was read again, whatever came of it.
    pub(super) fn tell_ready(&mut self, reactor: &mut Reactor) {
        if let Some(notifier) = &mut self.notifier {
            notifier.ready(reactor);
        }
    }

    /// A stop has begun.
    pub(super) fn tell_stopping(&mut self, reactor: &mut Reactor) {
        let waits = [
            self.config.bgp.graceful_shutdown,
            self.config.proxy.deregister_grace_period,
            self.config.proxy.shutdown_wait,
        ];
        let longest = waits.iter().fold(STOP_MARGIN, |sum, wait| sum.saturating_add(*wait));
        if let Some(notifier) = &mut self.notifier {
            notifier.stopping(reactor, longest);
        }
    }
}
