//! How the health of targets gets into the switchboard, and what it says of
//! them: checks, dials that failed, ejections, and the numbers of each service.

use std::collections::BTreeSet;
use std::rc::Rc;

use log::{info, warn};

use super::switchboard::{Progress, Switchboard};
use crate::announce::TargetFact;
use crate::health::check::Kind;
use crate::health::probe::Prober;
use crate::health::targets::Target;
use crate::health::{Change, HealthDefaults, ServiceCounts, State, Transport, Wanted};
use crate::reactor::log_sink::quoted;
use crate::reactor::{Reactor, Time};
use crate::route::{CheckKind, CheckOptions};

/// Targets that are looked at in one turn because the defaults have changed, and
/// ejections that end in one.
const PER_TURN: usize = 100;

/// `health.check`, as the checks want it.
///
/// # Errors
/// What was expected.
pub(super) fn default_kind(text: &str) -> Result<Kind, String> {
    match CheckKind::parse(text)? {
        CheckKind::Http { .. } if !cfg!(feature = "http") => {
            Err("it asks over HTTP, and this burgee was built without the feature `http`"
                .to_owned())
        }
        known => Ok(kind(&known)),
    }
}

fn kind(kind: &CheckKind) -> Kind {
    match kind {
        CheckKind::Tcp { port } => Kind::Tcp { port: *port },
        CheckKind::Http { port, path } => Kind::Http { port: *port, path: Rc::from(&**path) },
        CheckKind::None => Kind::None,
    }
}

/// What the routes ask for, as the checks want it.
pub(super) fn wanted(options: &CheckOptions) -> Wanted {
    let CheckOptions { kind: own, host, statuses, interval, timeout, rise, fall } = options;
    Wanted {
        kind: own.as_ref().map(kind),
        host: host.as_deref().map(Rc::from),
        statuses: *statuses,
        interval: *interval,
        timeout: *timeout,
        rise: *rise,
        fall: *fall,
    }
}

impl Switchboard {
    /// `health.*`: judges by these from the next result on. What is due when is
    /// changed over the next turns.
    pub(super) fn set_health(&mut self, defaults: HealthDefaults) {
        if *self.targets.defaults() == defaults {
            return;
        }
        self.targets.set_defaults(defaults);
        self.rearranging = Some(0);
        // What clients are refused may be allowed now.
        self.udp.epoch = self.udp.epoch.wrapping_add(1);
    }

    /// Lets the targets that are new be checked, those that are to be checked
    /// otherwise so, and those that are gone no longer.
    pub(super) fn hand_over(
        &mut self,
        reactor: &mut Reactor,
        prober: &mut Prober,
        progress: Progress,
    ) {
        progress.removed.into_iter().for_each(|id| prober.retire(reactor, id));
        for id in progress.added.into_iter().chain(progress.changed) {
            self.arrange(reactor, prober, id);
        }
    }

    /// Lets a target be checked as it is to be, or not at all.
    fn arrange(&mut self, reactor: &mut Reactor, prober: &mut Prober, id: u32) {
        let now = reactor.now();
        let Some(check) = self.targets.check(id) else { return };
        let Some(target) = self.targets.get(id) else { return };
        if check.kind == Kind::None {
            prober.retire(reactor, id);
            let change = self.targets.trust(id, now);
            self.note(id, change);
            return;
        }
        prober.ensure(reactor, id, target.address(), now);
        self.let_rest(reactor, prober, id);
    }

    /// Says when the next check is due.
    fn let_rest(&mut self, reactor: &mut Reactor, prober: &mut Prober, id: u32) {
        if let Some(pause) = self.targets.pause(id) {
            prober.rest(reactor, id, pause);
        }
    }

    /// Api: lets checks be made, takes what came of them, and ends ejections
    /// whose time is over.
    pub(super) fn check(&mut self, reactor: &mut Reactor, prober: &mut Prober) {
        let now = reactor.now();
        for id in std::mem::take(&mut self.urgent) {
            if let Some(least) = self.targets.haste(id) {
                prober.hurry(reactor, id, least);
            }
        }
        self.rearrange(reactor, prober);
        prober.api(reactor, &self.targets);
        while let Some((id, outcome)) = prober.next_result() {
            self.checked(now, id, outcome);
            self.let_rest(reactor, prober, id);
        }
        for _ in 0..PER_TURN {
            if !self.targets.end_ejection(now) {
                break;
            }
        }
        for id in self.targets.take_returned() {
            self.note_return(id);
        }
        prober.remind(reactor, self.targets.next_return());
    }

    /// Whether [`Switchboard::check`] has something to do by itself.
    pub(super) fn has_checks(&self) -> bool {
        !self.urgent.is_empty() || self.rearranging.is_some()
    }

    /// Goes on to let all targets be checked by other defaults.
    fn rearrange(&mut self, reactor: &mut Reactor, prober: &mut Prober) {
        for _ in 0..PER_TURN {
            let Some(from) = self.rearranging else { return };
            let found = self.targets.id_from(from);
            self.rearranging = found.and_then(|id| id.checked_add(1));
            let is_tcp = |target: &Target| target.transport() == Transport::Tcp;
            let id = found.filter(|id| self.targets.get(*id).is_some_and(is_tcp));
            id.into_iter().for_each(|id| self.arrange(reactor, prober, id));
        }
    }

    /// Takes the result of a check.
    pub(super) fn checked(&mut self, now: Time, id: u32, outcome: Result<(), String>) {
        let change = self.targets.record(id, now, outcome);
        self.note(id, change);
    }

    /// A client's connection to a target failed: that is for its check to judge,
    /// at once, and too many of them eject it.
    pub(super) fn dial_failed_to(&mut self, now: Time, id: u32, error: &str) {
        self.urgent.push(id);
        let Some(until) = self.targets.dial_failed(id, now, error.to_owned()) else { return };
        self.noted();
        let Some(target) = self.targets.get(id) else { return };
        warn!(
            "health event=ejected {} error={} time={}ms {}",
            called(target),
            quoted(error),
            until.since(now).as_millis(),
            self.share(target)
        );
    }

    /// What the facts of announcements and the flows of datagrams go by has
    /// changed.
    fn noted(&mut self) {
        self.changed = true;
        self.udp.epoch = self.udp.epoch.wrapping_add(1);
    }

    fn note_return(&mut self, id: u32) {
        self.noted();
        let Some(target) = self.targets.get(id) else { return };
        info!("health event=returned {} {}", called(target), self.share(target));
    }

    /// A target's state is another one.
    pub(super) fn note(&mut self, id: u32, change: Option<Change>) {
        let Some(change) = change else { return };
        self.noted();
        let Some(target) = self.targets.get(id) else { return };
        let (name, share) = (called(target), self.share(target));
        if change.to == State::Unhealthy {
            let error = target.machine().last_error().map_or("", |(_, text)| text);
            warn!("health event=unhealthy {name} error={} {share}", quoted(error));
        } else {
            info!("health event={} {name} {share}", change.to);
        }
    }

    /// How many of a target's service are healthy.
    fn share(&self, target: &Target) -> String {
        let counts = self.targets.service(target.service());
        format!("healthy={}/{}", counts.healthy, counts.total)
    }

    /// What the announcer is told of all targets, of connections and of
    /// datagrams.
    pub(super) fn target_fact(&self) -> TargetFact {
        fact(self.counts())
    }

    /// The same of one service.
    pub(super) fn service_fact(&self, name: &str) -> TargetFact {
        fact(self.service_counts(name))
    }

    /// How many targets there are of all services. A name without an address is
    /// one that is unknown until something was said of it, and unhealthy from
    /// then on.
    pub(super) fn counts(&self) -> ServiceCounts {
        with_names(self.targets.counts(), self.answers.missing(self.names.iter()))
    }

    /// The same of one service.
    pub(super) fn service_counts(&self, name: &str) -> ServiceCounts {
        with_names(self.targets.service(name), self.answers.missing(self.names.of(name)))
    }

    /// All services in the order of their names, behind `after` if that is
    /// given.
    pub(super) fn services(
        &self,
        after: Option<&str>,
    ) -> impl Iterator<Item = (Rc<str>, ServiceCounts)> {
        let next = |after: Option<&str>| {
            let targets = self.targets.next_service(after);
            let names = self.names.next_service(after);
            let first = match (targets, names) {
                (Some(one), Some(other)) => one.min(other),
                (one, other) => one.or(other)?,
            };
            Some(Rc::clone(first))
        };
        let names = std::iter::successors(next(after), move |name| next(Some(name)));
        names.map(|name| {
            let counts = self.service_counts(&name);
            (name, counts)
        })
    }

    /// The services with a target that is unhealthy or ejected, or a name without
    /// an address.
    pub(super) fn impaired(&self) -> impl Iterator<Item = Rc<str>> {
        let services = self.names.iter().filter(|name| name.places.is_empty());
        let services = services.map(|name| Rc::clone(name.service()));
        let targets = self.targets.impaired().map(Rc::clone);
        targets.chain(services).collect::<BTreeSet<_>>().into_iter()
    }

    /// The targets of a service with their numbers, from this number on. How
    /// one is checked, [`Targets::check`](crate::health::Targets::check) says.
    pub(super) fn targets_of(
        &self,
        service: &str,
        from: u32,
    ) -> impl Iterator<Item = (u32, &Target)> {
        self.targets.of_service(service, from)
    }
}

fn with_names(
    mut counts: ServiceCounts,
    (nameless, unasked, error): (usize, usize, Option<String>),
) -> ServiceCounts {
    counts.total = counts.total.saturating_add(nameless);
    counts.unknown = counts.unknown.saturating_add(unasked);
    let failed = nameless.saturating_sub(unasked);
    counts.unhealthy = counts.unhealthy.saturating_add(failed);
    counts.last_error = counts.last_error.or(error);
    counts
}

fn fact(counts: ServiceCounts) -> TargetFact {
    let ServiceCounts { total, healthy, unknown, last_error, .. } = counts;
    TargetFact { total, healthy, unknown, last_error }
}

/// A target's service and address, for the log.
fn called(target: &Target) -> String {
    let scheme = match target.transport() {
        Transport::Tcp => "",
        Transport::Udp => "udp://",
    };
    format!("service={} target={scheme}{}", target.service(), target.address())
}
