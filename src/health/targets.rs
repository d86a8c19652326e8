//! The health of all targets, by service and address.
//!
//! A target's state belongs to its service and address and not to a route
//! table, so a new table that has the same target does not forget what is
//! known of it. What is counted is counted as it changes, so that to ask costs
//! the same however many targets there are. The defaults are read when they
//! are needed, so that to change them costs nothing either.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::ops::Bound;
use std::rc::Rc;
use std::time::Duration;

use super::check::{self, Check, HealthDefaults, Wanted};
use super::ejection::Ejection;
use super::machine::{Change, Machine, State};
pub use super::tally::{ServiceCounts, Standing, Transport};
use super::tally::{Counted, Tallies, worse};
use crate::reactor::Time;

/// Most targets of a service that are ejected at a time, whatever the limit in
/// percent: to take all of them back must not make a turn of the loop long.
const MOST_EJECTED: usize = 500;

/// One target and what is known of it.
#[derive(Clone, Debug)]
pub struct Target {
    service: Rc<str>,
    address: SocketAddr,
    transport: Transport,
    wanted: Option<Rc<Wanted>>,
    machine: Machine,
    /// What there is to remember of its dials; nothing of most.
    ejection: Option<Box<Ejection>>,
    counted: Option<Counted>,
}

impl Target {
    /// The service that it belongs to.
    pub fn service(&self) -> &Rc<str> {
        &self.service
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// How clients reach it.
    pub fn transport(&self) -> Transport {
        self.transport
    }

    /// Its state by its checks, since when, and its last error.
    pub fn machine(&self) -> &Machine {
        &self.machine
    }

    /// How it stands, with all that counts.
    pub fn standing(&self) -> Standing {
        self.counted.map_or(Standing::Unknown, |counted| counted.standing)
    }

    /// Until when it is ejected.
    pub fn ejected_until(&self) -> Option<Time> {
        self.ejection.as_ref().and_then(|ejection| ejection.until())
    }
}

/// What [`Targets::ensure`] did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ensured {
    /// The target's id.
    pub id: u32,
    /// It was not there before, and is unknown.
    pub is_new: bool,
    /// It was there, and is to be checked otherwise.
    pub is_changed: bool,
}

/// All targets. An id stands for the same target as long as that exists, and
/// is not given to another one afterwards, so a late result cannot be taken
/// for another target's.
#[derive(Clone, Debug)]
pub struct Targets {
    defaults: HealthDefaults,
    next_id: u32,
    targets: BTreeMap<u32, Target>,
    by_address: BTreeMap<(SocketAddr, Transport), Vec<u32>>,
    services: BTreeMap<Rc<str>, Tallies>,
    by_service: BTreeSet<(Rc<str>, u32)>,
    /// The services with a target that is unhealthy or ejected.
    impaired: BTreeSet<Rc<str>>,
    all: Tallies,
    /// The ejected ones, by the end of it.
    ejected: BTreeSet<(Time, u32)>,
}

impl Targets {
    /// No targets.
    pub fn new(defaults: HealthDefaults) -> Targets {
        Targets {
            defaults,
            next_id: 0,
            targets: BTreeMap::new(),
            by_address: BTreeMap::new(),
            services: BTreeMap::new(),
            by_service: BTreeSet::new(),
            impaired: BTreeSet::new(),
            all: Tallies::default(),
            ejected: BTreeSet::new(),
        }
    }

    /// `health.*`, as it is in force.
    pub fn defaults(&self) -> &HealthDefaults {
        &self.defaults
    }

    /// Judges by other defaults from the next result on. What checks are due
    /// when, and which are not wanted any more, is for whoever makes them.
    pub fn set_defaults(&mut self, defaults: HealthDefaults) {
        self.defaults = defaults;
    }

    /// Makes sure that a target exists, and is checked like this: as the
    /// defaults say, or otherwise. One that is there keeps its id and all that
    /// is known of it.
    pub fn ensure(
        &mut self,
        now: Time,
        transport: Transport,
        service: &Rc<str>,
        address: SocketAddr,
        wanted: Option<&Rc<Wanted>>,
    ) -> Ensured {
        let Some(id) = self.find(transport, service, address) else {
            let id = self.add(now, transport, service, address, wanted);
            return Ensured { id, is_new: true, is_changed: false };
        };
        let target = self.targets.get_mut(&id);
        let is_changed = target.is_some_and(|target| {
            let is_changed = target.wanted.as_ref() != wanted;
            target.wanted = wanted.map(Rc::clone);
            is_changed
        });
        Ensured { id, is_new: false, is_changed }
    }

    /// A target is gone, and what is still under way for it means nothing.
    pub fn remove(&mut self, id: u32) {
        let Some(target) = self.targets.remove(&id) else { return };
        let Target { service, address, transport, .. } = &target;
        if let Some(until) = target.ejected_until() {
            self.ejected.remove(&(until, id));
        }
        self.by_service.remove(&(Rc::clone(service), id));
        if let Some(ids) = self.by_address.get_mut(&(*address, *transport)) {
            ids.retain(|&other| other != id);
            if ids.is_empty() {
                self.by_address.remove(&(*address, *transport));
            }
        }
        self.count(id, service, *transport, target.counted, None);
        self.settle_twin(service, *address, *transport);
    }

    /// The first id from this one on: to walk over all targets piece by piece.
    pub fn id_from(&self, id: u32) -> Option<u32> {
        self.targets.range(id..).next().map(|(&id, _)| id)
    }

    /// How a target is checked.
    pub fn check(&self, id: u32) -> Option<Check> {
        Some(Check::of(self.get(id)?.wanted.as_deref(), &self.defaults))
    }

    /// How long to wait between two checks of a target, as things stand.
    pub fn pause(&self, id: u32) -> Option<Duration> {
        let target = self.get(id)?;
        let wanted = target.wanted.as_ref().and_then(|wanted| wanted.interval);
        let interval = wanted.unwrap_or(self.defaults.interval);
        Some(match target.machine.is_contradicted() {
            true => interval.min(self.defaults.fast_interval),
            false => interval,
        })
    }

    /// Takes the result of a check; see [`Machine::record`]. `None` as well
    /// for a target that is gone.
    pub fn record(&mut self, id: u32, now: Time, outcome: Result<(), String>) -> Option<Change> {
        let target = self.targets.get_mut(&id)?;
        let thresholds = check::thresholds(target.wanted.as_deref(), &self.defaults);
        let change = target.machine.record(now, thresholds, outcome);
        self.settle(id);
        change
    }

    /// The target is not checked, and counts as healthy.
    pub fn trust(&mut self, id: u32, now: Time) -> Option<Change> {
        let change = self.targets.get_mut(&id)?.machine.trust(now);
        self.settle(id);
        change
    }

    /// A client's connection to the target failed. Returns until when the
    /// target is ejected, if that was one too many: see [`Ejection`]. Only
    /// targets that are fit are, at most `health.ejectlimit` percent of a
    /// service's at a time, and never the last one that is fit.
    pub fn dial_failed(&mut self, id: u32, now: Time, error: String) -> Option<Time> {
        let may = self.can_be_spared(id);
        let rules = &self.defaults.ejection;
        let target = self.targets.get_mut(&id)?;
        target.machine.note_error(now, error);
        let until = match rules.after {
            0 => None,
            _ => target.ejection.get_or_insert_default().failed(now, rules, may),
        };
        self.ejected.extend(until.map(|until| (until, id)));
        self.settle(id);
        until
    }

    /// A client's connection to the targets at this address was made.
    pub fn dial_succeeded(&mut self, now: Time, address: SocketAddr) {
        for id in self.by_address.get(&(address, Transport::Tcp)).into_iter().flatten() {
            let Some(target) = self.targets.get_mut(id) else { continue };
            let Some(ejection) = &mut target.ejection else { continue };
            ejection.succeeded(now);
            if ejection.is_blank() {
                target.ejection = None;
            }
        }
    }

    /// A datagram came from the targets at this address: a row of failures is
    /// interrupted.
    pub fn answered(&mut self, address: SocketAddr) {
        for id in self.by_address.get(&(address, Transport::Udp)).into_iter().flatten() {
            if let Some(target) = self.targets.get_mut(id) {
                target.machine.interrupt();
            }
        }
    }

    /// When an ejection is to end next.
    pub fn next_return(&self) -> Option<Time> {
        let is_off = self.defaults.ejection.after == 0;
        self.ejected.first().map(|(until, _)| if is_off { Time::ZERO } else { *until })
    }

    /// Ends the next ejection whose time is over, or that nobody wants any more.
    /// Returns whose it was.
    pub fn end_ejection(&mut self, now: Time) -> Option<u32> {
        let is_due = self.next_return().is_some_and(|at| at <= now);
        let (_, id) = *self.ejected.first().filter(|_| is_due)?;
        self.take_back(id);
        Some(id)
    }

    /// The target with this id.
    pub fn get(&self, id: u32) -> Option<&Target> {
        self.targets.get(&id)
    }

    /// How the target with this id stands.
    pub fn standing(&self, id: u32) -> Option<Standing> {
        self.get(id).map(Target::standing)
    }

    /// The id of a service's target at this address.
    pub fn find(&self, transport: Transport, service: &str, address: SocketAddr) -> Option<u32> {
        let has_service = |id: &u32| self.get(*id).is_some_and(|t| *t.service == *service);
        self.ids_at(transport, address).iter().copied().find(has_service)
    }

    /// The ids of the targets at this address, one for each service.
    pub fn ids_at(&self, transport: Transport, address: SocketAddr) -> &[u32] {
        self.by_address.get(&(address, transport)).map_or(&[], Vec::as_slice)
    }

    /// How many there are of all services.
    pub fn counts(&self) -> ServiceCounts {
        self.with_error(&self.all)
    }

    /// How many there are of a service; zeros for one without targets.
    pub fn service(&self, name: &str) -> ServiceCounts {
        self.services.get(name).map_or_else(ServiceCounts::default, |of| self.with_error(of))
    }

    /// All services with targets in the order of their names, behind `after`
    /// if that is given: to go on where an earlier walk ended.
    pub fn services(&self, after: Option<&str>) -> impl Iterator<Item = (&Rc<str>, ServiceCounts)> {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let rest = self.services.range::<str, _>((from, Bound::Unbounded));
        rest.map(|(name, tallies)| (name, self.with_error(tallies)))
    }

    /// The services with a target that is unhealthy or ejected, in the order of
    /// their names.
    pub fn impaired(&self) -> impl Iterator<Item = &Rc<str>> {
        self.impaired.iter()
    }

    /// The targets of a service with their ids, from this id on, oldest first.
    pub fn of_service(&self, name: &str, from: u32) -> impl Iterator<Item = (u32, &Target)> {
        let name = self.services.get_key_value(name).map(|(name, _)| name);
        let range = name.map(|name| (Rc::clone(name), from)..=(Rc::clone(name), u32::MAX));
        let ids = range.into_iter().flat_map(|range| self.by_service.range(range));
        ids.filter_map(|&(_, id)| Some((id, self.get(id)?)))
    }

    /// All targets with their ids, oldest first.
    pub fn iter(&self) -> impl Iterator<Item = (u32, &Target)> {
        self.targets.iter().map(|(&id, target)| (id, target))
    }

    fn with_error(&self, tallies: &Tallies) -> ServiceCounts {
        let (counts, latest) = tallies.counts();
        let error = latest.and_then(|id| self.get(id)?.machine.last_error());
        ServiceCounts { last_error: error.map(|(_, text)| text.to_owned()), ..counts }
    }

    fn add(
        &mut self,
        now: Time,
        transport: Transport,
        service: &Rc<str>,
        address: SocketAddr,
        wanted: Option<&Rc<Wanted>>,
    ) -> u32 {
        // After four billion targets ids start over, past those in use.
        while self.targets.contains_key(&self.next_id) {
            self.next_id = self.next_id.wrapping_add(1);
        }
        let id = self.next_id;
        self.next_id = id.wrapping_add(1);
        // One text for all targets of a service, whatever table they are from.
        let known = self.services.get_key_value(service).map(|(name, _)| name);
        let service = Rc::clone(known.unwrap_or(service));
        self.by_service.insert((Rc::clone(&service), id));
        self.by_address.entry((address, transport)).or_default().push(id);
        let target = Target {
            service,
            address,
            transport,
            wanted: wanted.map(Rc::clone),
            machine: Machine::new(now),
            ejection: None,
            counted: None,
        };
        self.targets.insert(id, target);
        self.settle(id);
        id
    }

    /// Whether a target is fit, and so many others of its service are that it
    /// may be ejected.
    fn can_be_spared(&self, id: u32) -> bool {
        let Some(target) = self.get(id).filter(|it| it.standing() == Standing::Fit) else {
            return false;
        };
        let Some(Tallies { tcp, .. }) = self.services.get(&target.service) else { return false };
        let most = tcp.total().saturating_mul(self.defaults.eject_limit.into()) / 100;
        tcp.fit > 1 && tcp.ejected.len() < most.min(MOST_EJECTED)
    }

    /// Counts a target as what it is now.
    fn settle(&mut self, id: u32) {
        let Some(target) = self.targets.get_mut(&id) else { return };
        if target.machine.state() == State::Unhealthy
            && let Some(until) = target.ejected_until()
        {
            // The check has found out as well, and will find out when it is back.
            self.ejected.remove(&(until, id));
            target.ejection.as_mut().map(|ejection| ejection.end());
        }
        let Some(target) = self.targets.get(&id) else { return };
        let standing = self.judge(target);
        let is_failing = matches!(standing, Standing::Ejected | Standing::Unhealthy);
        let error = target.machine.last_error().filter(|_| is_failing);
        let new = Some(Counted { standing, failing: error.map(|(at, _)| at) });
        let (old, service) = (target.counted, Rc::clone(&target.service));
        let (address, transport) = (target.address, target.transport);
        if old == new {
            return;
        }
        if let Some(target) = self.targets.get_mut(&id) {
            target.counted = new;
        }
        self.count(id, &service, transport, old, new);
        self.settle_twin(&service, address, transport);
    }

    /// How a target stands by all that is known of it.
    fn judge(&self, target: &Target) -> Standing {
        let own = target.machine.state();
        if target.transport == Transport::Tcp {
            return match own {
                State::Healthy if target.ejected_until().is_some() => Standing::Ejected,
                own => worse(own, None),
            };
        }
        let twin = self.find(Transport::Tcp, &target.service, target.address);
        worse(own, twin.and_then(|id| self.get(id)).map(|twin| twin.machine.state()))
    }

    /// A target of connections changed: so may that of datagrams.
    fn settle_twin(&mut self, service: &str, address: SocketAddr, transport: Transport) {
        if transport == Transport::Tcp
            && let Some(twin) = self.find(Transport::Udp, service, address)
        {
            self.settle(twin);
        }
    }

    /// A target counts as something else, or no more.
    fn count(
        &mut self,
        id: u32,
        service: &Rc<str>,
        transport: Transport,
        old: Option<Counted>,
        new: Option<Counted>,
    ) {
        let own = match self.services.get_mut(service) {
            Some(own) => own,
            None => self.services.entry(Rc::clone(service)).or_default(),
        };
        for tally in [own.of(transport), self.all.of(transport)] {
            old.into_iter().for_each(|old| tally.leave(id, old));
            new.into_iter().for_each(|new| tally.enter(id, new));
        }
        if !own.is_impaired() {
            self.impaired.remove(service);
        } else if !self.impaired.contains(service) {
            self.impaired.insert(Rc::clone(service));
        }
        if own.is_empty() {
            self.services.remove(service);
        } else if own.tcp.needs_ejected() {
            // Those that are left alone are the best that there is.
            let ejected: Vec<u32> = own.tcp.ejected.iter().copied().collect();
            ejected.into_iter().for_each(|id| self.take_back(id));
        }
    }

    fn take_back(&mut self, id: u32) {
        let Some(target) = self.targets.get_mut(&id) else { return };
        let until = target.ejected_until();
        until.map(|until| self.ejected.remove(&(until, id)));
        target.ejection.as_mut().map(|ejection| ejection.end());
        self.settle(id);
    }
}
