//! What is announced: the facts of all rooms in, the speaker's table out.

use std::ops::Range;
use std::rc::Rc;

use ipnet::IpNet;
use log::{Level, log};

use super::scope::Scope;
use super::{ANNOUNCING_TIMER, Daemon, settings};
use crate::announce::drain::Step;
use crate::announce::{
    self, Announcer, Change, Drains, Facts, ListenerFact, Maintenance, PoolFact, PrefixFacts,
    Reason, RegistryFact, Restored, Rule, Stop,
};
use crate::bgp::rib::originated::Owner;
use crate::config::{Config, ListenerConfig, Protocol};
use crate::reactor::log_sink::quoted;
use crate::reactor::timer_wheel::Alarm;
use crate::reactor::{Reactor, Time};

/// The announcer, and what only it needs to know.
#[derive(Debug)]
pub(super) struct Announcing {
    pub(super) announcer: Announcer,
    /// What each rule depends on, as long as the routes and the listeners stay.
    pub(super) scopes: Vec<Scope>,
    /// The number of the route table that they are of; `None`: they are not known.
    scoped: Option<u64>,
    pub(super) drains: Drains,
    /// Since when everything is withdrawn on the operator's order.
    pub(super) drained_since: Time,
    alarm: Alarm,
}

impl Announcing {
    /// Nothing is announced yet.
    pub(super) fn new(now: Time, config: &Config, restored: &Restored) -> Announcing {
        let rules = rules(config);
        Announcing {
            announcer: Announcer::new(now, settings::announcing(config), rules, restored),
            scopes: Vec::new(),
            scoped: None,
            drains: restored.drains.clone(),
            drained_since: now,
            alarm: Alarm::new(),
        }
    }

    /// Other rules and settings. Returns the prefixes that are to be withdrawn.
    pub(super) fn change(&mut self, now: Time, config: &Config) -> Vec<IpNet> {
        self.scoped = None;
        self.announcer.set_rules(now, settings::announcing(config), rules(config))
    }

    /// Expire: the announcer's timer fired.
    pub(super) fn expired(&mut self) {
        self.alarm.fired();
    }
}

/// Without BGP nothing is announced, whatever else is configured.
pub(super) fn rules(config: &Config) -> Vec<Rule> {
    if config.bgp.enabled { settings::rules(&config.bgp) } else { Vec::new() }
}

impl Daemon {
    /// All that the decisions depend on.
    fn facts(&self) -> Facts {
        self.facts_of(0..usize::MAX)
    }

    /// The same, but of the prefixes at these places only; of the others nothing
    /// is said.
    pub(super) fn facts_of(&self, places: Range<usize>) -> Facts {
        let own = |(place, (rule, scope))| match places.contains(&place) {
            true => self.prefix_facts(rule, scope),
            false => PrefixFacts::default(),
        };
        let is_stopping = self.drain.step() != Step::Serving;
        let rules = self.announcing.announcer.rules();
        Facts {
            table_loaded: self.switchboard.is_loaded(),
            registry: self.registry_fact(),
            maintenance: self.maintenance(),
            stopping: is_stopping.then(|| Stop { hurried: self.drain.is_hurried() }),
            prefixes: rules.zip(&self.announcing.scopes).enumerate().map(own).collect(),
        }
    }

    /// Why everything is withdrawn, if it is: the file goes before the command,
    /// because to remove it is not enough otherwise.
    pub(super) fn maintenance(&self) -> Option<Maintenance> {
        let file = self.maintenance_file.as_ref().filter(|file| file.is_there());
        let since = self.announcing.drained_since;
        file.map(|file| Maintenance::File { path: file.path().into() })
            .or_else(|| self.announcing.drains.all.then_some(Maintenance::Operator { since }))
    }

    fn registry_fact(&self) -> RegistryFact {
        match (self.stale_from(), self.routes.trouble()) {
            (Some(_), Some((since, error))) if self.is_stale => {
                RegistryFact::Stale { since, error: error.to_owned() }
            }
            _ => RegistryFact::Fresh,
        }
    }

    /// When the registry will be stale, or was, if it goes on failing.
    pub(super) fn stale_from(&self) -> Option<Time> {
        let after = self.config.registry.stale_after;
        let (since, _) = self.routes.trouble().filter(|_| !after.is_zero())?;
        Some(since + after)
    }

    fn prefix_facts(&self, rule: &Rule, scope: &Scope) -> PrefixFacts {
        let services = |names: &[Rc<str>]| {
            let of = |name: &Rc<str>| PoolFact {
                service: Some(Rc::clone(name)),
                targets: self.switchboard.service_fact(name),
            };
            names.iter().map(of).collect::<Vec<_>>()
        };
        let pools = match &scope.services {
            _ if !rule.services.is_empty() => services(&rule.services),
            Some(names) => vec![together(services(names))],
            None => vec![PoolFact { service: None, targets: self.switchboard.target_fact() }],
        };
        PrefixFacts {
            listeners: self.listener_fact(scope),
            pools,
            drained: self.announcing.drains.has(&rule.prefix),
        }
    }

    /// The dynamic listeners are one: a single port that another process holds
    /// must not take everything else down.
    fn listener_fact(&self, scope: &Scope) -> ListenerFact {
        let listeners =
            || scope.listeners.iter().filter_map(|&place| self.config.proxy.listeners.get(place));
        let dynamic = listeners().any(|it| it.protocol == Protocol::TcpDynamic);
        let open = self.proxy.dynamic_listeners().is_some_and(|open| open > 0);
        let named = || listeners().filter(|it| it.protocol != Protocol::TcpDynamic);
        let bound = named().filter(|it| self.is_bound(it)).count();
        ListenerFact {
            bound: bound.saturating_add(usize::from(dynamic && open)),
            configured: named().count().saturating_add(usize::from(dynamic)),
        }
    }

    fn is_bound(&self, listener: &ListenerConfig) -> bool {
        match listener.takes_datagrams() {
            true => self.proxy.is_bound_for_datagrams(listener.address),
            false => self.proxy.is_bound(listener.address),
        }
    }

    /// Carries the announcer's decisions into the speaker's table.
    pub(super) fn announce(&mut self, reactor: &mut Reactor) {
        let now = reactor.now();
        self.is_stale = self.stale_from().is_some_and(|at| at <= now);
        if self.announcing.scoped != Some(self.switchboard.tables()) {
            self.find_scopes();
        }
        let facts = self.facts();
        let changes = self.announcing.announcer.update(now, &facts);
        changes.iter().for_each(report);
        // An address that is asked for has to be there before anybody is told, and
        // stays until all have been told otherwise.
        for change in changes.iter().filter(|change| change.to.is_announced()) {
            self.put_on_host(reactor, change.prefix);
        }
        // Written down first, so that a crash cannot make us forget what was told.
        self.remember(reactor);
        self.originate(reactor, &changes);
        for change in changes.iter().filter(|change| !change.to.is_announced()) {
            self.take_from_host(reactor, change.prefix);
        }
        self.tell_status(reactor);
        let stale = self.stale_from().filter(|at| *at > now);
        let deadline = [self.announcing.announcer.deadline(), stale].into_iter().flatten().min();
        self.announcing.alarm.set(&mut reactor.wheel, ANNOUNCING_TIMER, deadline);
    }

    /// Whether it is time to decide anew, though no fact has changed.
    pub(super) fn is_decision_due(&self, now: Time) -> bool {
        let stale = self.stale_from().filter(|_| !self.is_stale);
        let deadline = self.announcing.announcer.deadline();
        [deadline, stale].into_iter().flatten().any(|at| at <= now)
    }

    /// Finds out again what each prefix depends on.
    fn find_scopes(&mut self) {
        let listeners = &self.config.proxy.listeners;
        let table = self.switchboard.table();
        let rules = self.announcing.announcer.rules();
        self.announcing.scopes =
            rules.map(|rule| Scope::of(&rule.prefix, listeners, table)).collect();
        self.announcing.scoped = Some(self.switchboard.tables());
    }

    fn originate(&mut self, reactor: &mut Reactor, changes: &[Change]) {
        let Some(bgp) = &mut self.bgp else { return };
        let config = &self.config.bgp;
        let settled = self.announcing.announcer.is_settled();
        bgp.change(reactor, |speaker| {
            speaker.set_complete(settled);
            for change in changes {
                if change.to.is_announced() {
                    let path = settings::path(config, change.prefix, change.to);
                    speaker.originate(change.prefix, Owner::Announcer, path);
                } else {
                    speaker.withdraw(change.prefix, Owner::Announcer);
                }
            }
        });
    }
}

/// Several services that count as one.
fn together(pools: Vec<PoolFact>) -> PoolFact {
    let mut all = PoolFact::default();
    if let [one] = pools.as_slice() {
        return one.clone();
    }
    for PoolFact { targets, .. } in pools {
        all.targets.total = all.targets.total.saturating_add(targets.total);
        all.targets.healthy = all.targets.healthy.saturating_add(targets.healthy);
        all.targets.unknown = all.targets.unknown.saturating_add(targets.unknown);
        all.targets.last_error = all.targets.last_error.or(targets.last_error);
    }
    all
}

/// One line for each decision; a withdrawal that nobody asked for is what an
/// operator looks for at night.
fn report(change: &Change) {
    let event = match (change.from, change.to) {
        (announce::Level::Withdrawn, announce::Level::Withdrawn) => "not_announced",
        (_, announce::Level::Withdrawn) => "withdrawn",
        (_, announce::Level::GracefulShutdown) => "graceful_shutdown",
        (_, announce::Level::Depreferred) => "depreferred",
        (_, announce::Level::Full) => "announced",
    };
    let expected = matches!(
        change.reason,
        Reason::Stopping
            | Reason::Maintenance(_)
            | Reason::Drained
            | Reason::AwaitingChecks { .. }
            | Reason::HoldingUp { .. }
            | Reason::Starting
    );
    let is_good = expected || change.to > change.from || change.to == announce::Level::Full;
    let level = if is_good { Level::Info } else { Level::Warn };
    let (prefix, reason) = (change.prefix, quoted(&change.reason));
    log!(level, "announce event={event} prefix={prefix} reason={reason}");
}
