//! The planned stop: what each of its steps asks for.

use log::{info, warn};

use super::{Daemon, TIMER};
use crate::announce::drain::{self, Step};
use crate::bgp::message::notification::{Notification, cease};
use crate::bgp::transport::Transport;
use crate::reactor::Reactor;

impl Daemon {
    /// Asks for a stop, as SIGTERM does; a second time the waits are skipped.
    pub fn request_stop(&mut self) {
        self.stop_requests = self.stop_requests.saturating_add(1);
    }

    /// The step of the planned stop.
    pub fn step(&self) -> Step {
        self.drain.step()
    }

    pub(super) fn advance_drain(&mut self, reactor: &mut Reactor) {
        let now = reactor.now();
        for _ in 0..std::mem::take(&mut self.stop_requests) {
            let began = self.drain.step() == Step::Serving;
            self.drain.request(now);
            self.facts_changed = true;
            if began {
                info!(
                    "drain event=begun step={} limit={}ms connections={}",
                    self.drain.step(),
                    self.drain.remaining(now).as_millis(),
                    self.proxy.connections()
                );
                self.tell_stopping(reactor);
            } else {
                info!("drain event=hurried effect=\"waits are skipped\"");
            }
            // The facts reach the neighbours before anything else is done.
            self.announce(reactor);
        }
        while let Some(step) = self.drain.advance(now, &self.drain_facts()) {
            let limit = self.drain.remaining(now);
            info!(
                "drain event=step step={step} limit={}ms connections={}",
                limit.as_millis(),
                self.proxy.connections()
            );
            self.enter_step(reactor, step);
            self.tell_status(reactor);
        }
        let deadline = self.drain.deadline(now);
        self.alarm.set(&mut reactor.wheel, TIMER, deadline);
    }

    pub(super) fn drain_facts(&self) -> drain::Facts {
        drain::Facts {
            withdrawn: self.announcing.announcer.is_withdrawn(),
            acknowledged: self.bgp.as_ref().is_none_or(Transport::is_acknowledged),
            connections: self.proxy.connections(),
            bgp_closed: self.bgp.as_ref().is_none_or(Transport::is_closed),
        }
    }

    pub(super) fn enter_step(&mut self, reactor: &mut Reactor, step: Step) {
        match step {
            Step::Finishing => {
                self.proxy.close_listeners(reactor, &mut self.switchboard);
                self.facts_changed = true;
            }
            Step::Closing => {
                let cut = self.proxy.connections();
                if cut > 0 {
                    warn!(
                        "drain event=cut connections={cut} reason=\"proxy.shutdownwait is over\""
                    );
                }
                self.proxy.abort_all(reactor);
                self.take_all_from_host(reactor);
                if let Some(bgp) = &mut self.bgp {
                    let cease = Notification::cease(
                        cease::ADMINISTRATIVE_SHUTDOWN,
                        "burgee was asked to stop",
                    );
                    bgp.stop(reactor, &cease);
                }
                self.bfd.retire_all(reactor);
            }
            Step::Serving | Step::GracefulShutdown | Step::Withdrawing | Step::Converging => {}
            Step::Done => self.remember(reactor),
        }
    }

    /// Last words after a fault in shared state: a best-effort Cease, so that
    /// the neighbours withdraw at once.
    pub(super) fn last_words(&mut self) {
        if let Some(bgp) = &mut self.bgp {
            let cease = Notification::cease(cease::ADMINISTRATIVE_SHUTDOWN, "internal fault");
            bgp.last_words(&cease);
        }
    }
}
