//! What is announced: the facts of all rooms in, the speaker's table out.

use log::{Level, log};

use super::{Daemon, settings};
use crate::announce::drain::Step;
use crate::announce::{self, Change, Facts, ListenerFact, Reason};
use crate::bgp::rib::originated::Owner;
use crate::config::{ListenerConfig, Protocol};
use crate::reactor::Reactor;
use crate::reactor::log_sink::quoted;

impl Daemon {
    pub(super) fn facts(&self) -> Facts {
        Facts {
            policy: settings::announce_policy(&self.config.bgp),
            listeners: self.listener_fact(),
            table_loaded: self.switchboard.is_loaded(),
            targets: self.switchboard.target_fact(),
            draining: self.drain.step() != Step::Serving,
        }
    }

    /// The dynamic listeners are one: a single port that another process holds
    /// must not take everything else down.
    pub(super) fn listener_fact(&self) -> ListenerFact {
        let dynamic = self.proxy.dynamic_listeners().map(|open| usize::from(open > 0));
        let streams = self.proxy.listening_on().len();
        let datagrams = self.proxy.listening_for_datagrams_on().len();
        let is_named = |it: &&ListenerConfig| it.protocol != Protocol::TcpDynamic;
        let named = self.config.proxy.listeners.iter().filter(is_named).count();
        ListenerFact {
            bound: streams.saturating_add(datagrams).saturating_add(dynamic.unwrap_or(0)),
            configured: named.saturating_add(usize::from(dynamic.is_some())),
        }
    }

    /// Carries the announcer's decisions into the speaker's table.
    pub(super) fn announce(&mut self, reactor: &mut Reactor) {
        let facts = self.facts();
        let changes = self.announcer.update(reactor.now(), &facts);
        changes.iter().for_each(report);
        let Some(bgp) = &mut self.bgp else { return };
        let config = &self.config.bgp;
        let settled = self.announcer.is_settled();
        bgp.change(reactor, |speaker| {
            speaker.set_complete(settled);
            for change in &changes {
                match change.state {
                    announce::State::Announced => {
                        let path = settings::path(config, change.prefix);
                        speaker.originate(change.prefix, Owner::Announcer, path);
                    }
                    announce::State::Withdrawn => {
                        speaker.withdraw(change.prefix, Owner::Announcer);
                    }
                }
            }
        });
    }
}

/// One line for each decision; a withdrawal that nobody asked for is what an
/// operator looks for at night.
fn report(change: &Change) {
    use announce::State::{Announced, Withdrawn};
    let event = match (change.from, change.state) {
        (_, Announced) => "announced",
        (Announced, Withdrawn) => "withdrawn",
        (Withdrawn, Withdrawn) => "not_announced",
    };
    let expected = matches!(
        change.reason,
        Reason::Draining | Reason::AwaitingChecks { .. } | Reason::Starting
    );
    let level = if change.state == Announced || expected { Level::Info } else { Level::Warn };
    log!(
        level,
        "announce event={event} prefix={} reason={}",
        change.prefix,
        quoted(&change.reason)
    );
}
