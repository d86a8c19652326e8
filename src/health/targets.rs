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
use super::tally::{Counted, Tallies, worse};
pub use super::tally::{ServiceCounts, Standing, Transport};
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
    all: Tallies,
    /// The ejected ones, by the end of it.
    ejected: BTreeSet<(Time, u32)>,
    returned: Vec<u32>,
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
            all: Tallies::default(),
            ejected: BTreeSet::new(),
            returned: Vec::new(),
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
        let is_contradicted = target.machine.is_contradicted();
        if is_contradicted { self.haste(id) } else { Some(self.interval(target)) }
    }

    /// The least that there may be between two checks of a target.
    pub fn haste(&self, id: u32) -> Option<Duration> {
        Some(self.interval(self.get(id)?).min(self.defaults.fast_interval))
    }

    fn interval(&self, target: &Target) -> Duration {
        let wanted = target.wanted.as_ref().and_then(|wanted| wanted.interval);
        wanted.unwrap_or(self.defaults.interval)
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
    /// Says whether there was one.
    pub fn end_ejection(&mut self, now: Time) -> bool {
        let is_due = self.next_return().is_some_and(|at| at <= now);
        let due = self.ejected.first().filter(|_| is_due).copied();
        due.into_iter().for_each(|(_, id)| self.take_back(id));
        is_due
    }

    /// Whose ejections have ended since the last call, unless their checks have
    /// found them unhealthy.
    pub fn take_returned(&mut self) -> Vec<u32> {
        std::mem::take(&mut self.returned)
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

    /// The first service behind `after`, or of all.
    pub fn next_service(&self, after: Option<&str>) -> Option<&Rc<str>> {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        self.services.range::<str, _>((from, Bound::Unbounded)).next().map(|(name, _)| name)
    }

    /// The service at a place in the order of their names: a walk over those
    /// before it.
    pub fn nth_service(&self, place: usize) -> Option<&Rc<str>> {
        self.services.keys().nth(place)
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
            target.ejection.iter_mut().for_each(|ejection| ejection.end());
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
        target.ejection.iter_mut().for_each(|ejection| ejection.end());
        self.returned.push(id);
        self.settle(id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::health::{Thresholds, check::Kind};
    use crate::reactor::random::Random;

    const TCP: Transport = Transport::Tcp;
    const UDP: Transport = Transport::Udp;

    fn at(seconds: u64) -> Time {
        Time::from_millis(seconds * 1_000)
    }

    fn address(port: u16) -> SocketAddr {
        SocketAddr::from(([192, 0, 2, 1], port))
    }

    fn defaults(rise: u32, fall: u32) -> HealthDefaults {
        HealthDefaults { thresholds: Thresholds { rise, fall }, ..HealthDefaults::default() }
    }

    fn failed() -> Result<(), String> {
        Err("refused".to_owned())
    }

    /// The ports of the TCP targets of a service, with the id of each.
    fn targets(list: &[(&str, u16)]) -> Targets {
        let mut targets = Targets::new(defaults(1, 1));
        for (place, (service, port)) in list.iter().enumerate() {
            assert_eq!(ensure(&mut targets, TCP, service, *port), place as u32);
        }
        targets
    }

    fn ensure(targets: &mut Targets, transport: Transport, service: &str, port: u16) -> u32 {
        targets.ensure(at(1), transport, &service.into(), address(port), None).id
    }

    /// Those that are checked and healthy.
    fn healthy(list: &[(&str, u16)]) -> Targets {
        let mut targets = targets(list);
        (0..list.len()).for_each(|id| {
            targets.record(id as u32, at(2), Ok(()));
        });
        targets
    }

    /// Fails as many dials in a row as eject; says whether it is ejected.
    fn eject(targets: &mut Targets, id: u32, now: Time) -> bool {
        (0..3).fold(false, |_, _| targets.dial_failed(id, now, "timed out".to_owned()).is_some())
    }

    /// Healthy, unknown, unhealthy, ejected.
    fn numbers(counts: &ServiceCounts) -> [usize; 4] {
        assert_eq!(
            counts.total,
            counts.healthy + counts.unknown + counts.unhealthy + counts.ejected
        );
        [counts.healthy, counts.unknown, counts.unhealthy, counts.ejected]
    }

    fn standings(targets: &Targets) -> Vec<Standing> {
        targets.iter().map(|(_, target)| target.standing()).collect()
    }

    /// Counts everything again.
    fn assert_balance(targets: &Targets) {
        let mut services: BTreeMap<Rc<str>, Tallies> = BTreeMap::new();
        let (mut all, mut by_service) = (Tallies::default(), BTreeSet::new());
        let mut ejected = BTreeSet::new();
        for (id, target) in targets.iter() {
            let standing = targets.judge(target);
            let is_failing = matches!(standing, Standing::Ejected | Standing::Unhealthy);
            let error = target.machine.last_error().filter(|_| is_failing);
            let counted = Counted { standing, failing: error.map(|(at, _)| at) };
            assert_eq!(target.counted, Some(counted));
            let own = services.entry(Rc::clone(&target.service)).or_default();
            own.of(target.transport).enter(id, counted);
            all.of(target.transport).enter(id, counted);
            by_service.insert((Rc::clone(&target.service), id));
            ejected.extend(target.ejected_until().map(|until| (until, id)));
            assert!(targets.ids_at(target.transport, target.address).contains(&id));
        }
        assert!(services.values().all(|service| !service.tcp.needs_ejected()));
        assert_eq!((&targets.services, &targets.all), (&services, &all));
        assert_eq!((&targets.by_service, &targets.ejected), (&by_service, &ejected));
        let indexed: usize = targets.by_address.values().map(Vec::len).sum();
        assert_eq!(targets.targets.len(), indexed);
    }

    #[test]
    fn targets_come_and_go_and_ids_are_not_used_twice() {
        let mut targets = targets(&[("a", 1), ("b", 1), ("a", 2)]);
        assert_eq!(ensure(&mut targets, TCP, "b", 1), 1);
        targets.remove(0);
        targets.remove(0);
        assert_eq!(ensure(&mut targets, TCP, "a", 1), 3);
        let service = |id| targets.get(id).map(|target| target.service().to_string());
        assert_eq!([service(0), service(3)], [None, Some("a".to_owned())]);
        assert_eq!(
            [targets.id_from(0), targets.id_from(3), targets.id_from(4)],
            [Some(1), Some(3), None]
        );
        assert_balance(&targets);
        [1, 2, 3].iter().for_each(|id| targets.remove(*id));
        assert_balance(&targets);
        assert_eq!((targets.counts(), targets.services.len()), (ServiceCounts::default(), 0));
    }

    #[test]
    fn ids_that_start_over_pass_those_in_use() {
        let mut targets = targets(&[("a", 1)]);
        targets.next_id = u32::MAX;
        assert_eq!([2, 3].map(|port| ensure(&mut targets, TCP, "a", port)), [u32::MAX, 1]);
    }

    #[test]
    fn state_survives_what_a_new_table_says_of_the_check() {
        let mut targets = healthy(&[("a", 1), ("a", 2)]);
        targets.record(1, at(3), failed());
        let wanted = Rc::new(Wanted { fall: Some(3), rise: Some(2), ..Wanted::default() });
        let mut again = |id: u16, wanted: Option<&Rc<Wanted>>| {
            targets.ensure(at(4), TCP, &"a".into(), address(id + 1), wanted)
        };
        let same = Ensured { id: 0, is_new: false, is_changed: false };
        assert_eq!(again(0, None), same);
        assert_eq!(again(0, Some(&wanted)), Ensured { is_changed: true, ..same });
        assert_eq!(again(0, Some(&Rc::new((*wanted).clone()))), same, "alike");
        assert!(again(1, Some(&wanted)).is_changed);
        assert_eq!(standings(&targets), [Standing::Fit, Standing::Unhealthy]);
        for second in [5, 6] {
            assert_eq!(targets.record(0, at(second), failed()), None, "three are needed now");
        }
        assert!(targets.record(0, at(7), failed()).is_some());
        assert_eq!(targets.record(1, at(8), Ok(())), None);
        assert!(targets.record(1, at(9), Ok(())).is_some(), "and two to rise");
        assert_balance(&targets);
    }

    #[test]
    fn other_defaults_hold_from_the_next_result_on() {
        let mut targets = healthy(&[("a", 1)]);
        assert_eq!(targets.pause(0), Some(Duration::from_secs(2)));
        targets.set_defaults(HealthDefaults {
            interval: Duration::from_secs(9),
            kind: Kind::Tcp { port: Some(7) },
            ..defaults(1, 2)
        });
        assert_eq!(targets.record(0, at(3), failed()), None);
        assert_eq!(targets.pause(0), Some(Duration::from_millis(500)), "it is contradicted");
        targets.record(0, at(3), Ok(()));
        assert_eq!(targets.pause(0), Some(Duration::from_secs(9)));
        assert_eq!(targets.haste(0), Some(Duration::from_millis(500)));
        assert!(targets.check(0).unwrap().to_string().starts_with("check=tcp:7 checkinterval=9s"));
        assert_eq!((targets.pause(1), targets.check(1)), (None, None));
    }

    #[test]
    fn a_short_interval_is_not_made_longer_by_the_fast_one() {
        let mut targets = Targets::new(defaults(2, 2));
        let wanted =
            Rc::new(Wanted { interval: Some(Duration::from_millis(50)), ..Wanted::default() });
        targets.ensure(at(1), TCP, &"a".into(), address(1), Some(&wanted));
        targets.record(0, at(1), Ok(()));
        targets.record(0, at(1), failed());
        assert_eq!(targets.pause(0), Some(Duration::from_millis(50)));
        assert_eq!(targets.haste(0), Some(Duration::from_millis(50)));
    }

    #[test]
    fn the_numbers_of_a_service_are_its_own() {
        let mut targets = healthy(&[("a", 1), ("a", 2), ("b", 1), ("c", 3)]);
        ensure(&mut targets, TCP, "c", 4);
        targets.record(0, at(3), Err("first".to_owned()));
        targets.record(2, at(4), Err("second".to_owned()));
        targets.record(1, at(5), Err("third".to_owned()));
        targets.record(1, at(6), Ok(()));
        let a = targets.service("a");
        assert_eq!((numbers(&a), a.last_error.as_deref()), ([1, 0, 1, 0], Some("first")));
        let c = targets.service("c");
        assert_eq!((numbers(&c), c.last_error), ([1, 1, 0, 0], None));
        let all = targets.counts();
        assert_eq!((numbers(&all), all.last_error.as_deref()), ([2, 1, 2, 0], Some("second")));
        assert_eq!(targets.service("d"), ServiceCounts::default());
        assert_balance(&targets);
    }

    #[test]
    fn walks_over_services_and_targets_go_on_where_they_ended() {
        let targets = targets(&[("b", 1), ("a", 1), ("c", 1), ("b", 2), ("b", 3)]);
        let names = |after| -> Vec<String> {
            targets
                .services(after)
                .map(|(name, counts)| format!("{name}{}", counts.total))
                .collect()
        };
        assert_eq!(names(None), ["a1", "b3", "c1"]);
        assert_eq!(names(Some("a")), ["b3", "c1"]);
        assert_eq!(names(Some("aa")), ["b3", "c1"], "one that is gone by now");
        assert_eq!(names(Some("c")), [""; 0]);
        assert_eq!(targets.next_service(Some("b")).map(|name| &**name), Some("c"));
        let ids = |service, from| -> Vec<u32> {
            targets.of_service(service, from).map(|(id, _)| id).collect()
        };
        assert_eq!(ids("b", 0), [0, 3, 4]);
        assert_eq!((ids("b", 1), ids("b", 5), ids("x", 0)), (vec![3, 4], vec![], vec![]));
    }

    #[test]
    fn who_is_not_checked_counts_as_healthy() {
        let mut targets = targets(&[("a", 1), ("a", 2)]);
        targets.record(1, at(2), failed());
        assert!(targets.trust(0, at(3)).is_some() && targets.trust(1, at(3)).is_some());
        assert_eq!((targets.trust(0, at(4)), targets.trust(9, at(4))), (None, None));
        assert_eq!(numbers(&targets.counts()), [2, 0, 0, 0]);
        assert_balance(&targets);
    }

    #[test]
    fn failed_dials_eject_and_are_no_failed_checks() {
        let mut targets = healthy(&[("a", 1), ("a", 2), ("b", 1)]);
        let mut fail = |now| targets.dial_failed(0, at(now), "timed out".to_owned());
        assert_eq!([fail(3), fail(3), fail(4), fail(5)], [None, None, Some(at(14)), None]);
        assert_eq!(standings(&targets), [Standing::Ejected, Standing::Fit, Standing::Fit]);
        let counts = targets.service("a");
        assert_eq!(
            (numbers(&counts), counts.last_error.as_deref()),
            ([1, 0, 0, 1], Some("timed out"))
        );
        assert_eq!(targets.get(0).unwrap().machine().state(), State::Healthy);
        assert_eq!(targets.get(0).unwrap().ejected_until(), Some(at(14)));
        assert_eq!(targets.next_return(), Some(at(14)));
        assert_balance(&targets);
        assert!(!targets.end_ejection(Time::from_millis(13_999)));
        assert!(targets.end_ejection(at(14)) && !targets.end_ejection(at(14)));
        assert_eq!((targets.take_returned(), targets.take_returned()), (vec![0], vec![]));
        assert_eq!(numbers(&targets.counts()), [3, 0, 0, 0]);
        let again = targets.dial_failed(0, at(15), String::new());
        assert_eq!(again, Some(at(35)), "one is enough now, and it is for longer");
        assert_balance(&targets);
    }

    #[test]
    fn dials_that_succeed_make_ejections_be_forgotten() {
        let mut targets = healthy(&[("a", 1), ("a", 2), ("a", 3)]);
        targets.dial_failed(0, at(3), String::new());
        targets.dial_failed(0, at(3), String::new());
        targets.dial_succeeded(at(3), address(1));
        assert!(targets.get(0).unwrap().ejection.is_none(), "nothing to remember");
        assert!(eject(&mut targets, 0, at(4)));
        targets.end_ejection(at(14));
        targets.dial_succeeded(at(14), address(1));
        targets.dial_succeeded(at(24), address(1));
        assert!(targets.get(0).unwrap().ejection.is_none());
        assert_eq!(targets.dial_failed(0, at(25), String::new()), None);
        assert_balance(&targets);
    }

    #[test]
    fn an_ejection_survives_a_new_table_and_ends_with_the_target() {
        let mut targets = healthy(&[("a", 1), ("a", 2)]);
        assert!(eject(&mut targets, 0, at(3)));
        ensure(&mut targets, TCP, "a", 1);
        assert_eq!(targets.standing(0), Some(Standing::Ejected));
        targets.remove(0);
        assert_eq!(targets.next_return(), None);
        assert_balance(&targets);
    }

    #[test]
    fn only_some_of_a_service_are_ejected_and_never_the_last() {
        let ports: Vec<(&str, u16)> = (1..=5).map(|port| ("a", port)).collect();
        let mut targets = healthy(&ports);
        ensure(&mut targets, TCP, "b", 1);
        // Half of five, rounded down.
        let ejected: Vec<bool> = (0..5).map(|id| eject(&mut targets, id, at(3))).collect();
        assert_eq!(ejected, [true, true, false, false, false]);
        // Whose time comes later is ejected by the next failure.
        targets.end_ejection(at(13));
        assert!(targets.dial_failed(2, at(13), String::new()).is_some());
        assert_balance(&targets);
        for limit in [0, 100] {
            let mut targets = healthy(&ports);
            targets.set_defaults(HealthDefaults { eject_limit: limit, ..defaults(1, 1) });
            let ejected = (0..5).filter(|&id| eject(&mut targets, id, at(3))).count();
            assert_eq!(ejected, if limit == 0 { 0 } else { 4 });
            assert_eq!(targets.counts().healthy, 5 - ejected);
        }
        let mut two = healthy(&[("a", 1), ("a", 2)]);
        two.record(1, at(3), failed());
        assert!(!eject(&mut two, 0, at(3)), "the other one is unhealthy");
        let mut one = healthy(&[("a", 1)]);
        ensure(&mut one, UDP, "a", 1);
        one.record(1, at(2), Ok(()));
        ensure(&mut one, TCP, "a", 2);
        assert!(!eject(&mut one, 0, at(3)), "the others are unknown, or for datagrams");
    }

    #[test]
    fn only_who_is_healthy_by_its_checks_is_ejected() {
        let mut targets = healthy(&[("a", 1), ("a", 2), ("a", 3)]);
        let unknown = ensure(&mut targets, TCP, "a", 4);
        targets.record(0, at(3), failed());
        assert!(!eject(&mut targets, 0, at(4)) && !eject(&mut targets, unknown, at(4)));
        targets.record(unknown, at(5), Ok(()));
        assert!(targets.dial_failed(unknown, at(6), String::new()).is_some());
        assert_balance(&targets);
    }

    #[test]
    fn when_the_check_fails_as_well_its_rise_brings_the_target_back() {
        let mut targets = healthy(&[("a", 1), ("a", 2)]);
        assert!(eject(&mut targets, 0, at(3)));
        targets.record(0, at(4), failed());
        assert_eq!((targets.standing(0), targets.next_return()), (Some(Standing::Unhealthy), None));
        targets.record(0, at(5), Ok(()));
        assert_eq!(targets.standing(0), Some(Standing::Fit));
        assert!(targets.take_returned().is_empty());
        let again = targets.dial_failed(0, at(6), String::new());
        assert_eq!(again, Some(at(26)), "it is not forgotten");
        assert_balance(&targets);
    }

    #[test]
    fn who_is_ejected_is_taken_back_when_nobody_better_is_left() {
        let mut targets = healthy(&[("a", 1), ("a", 2), ("a", 3), ("a", 4)]);
        assert!(eject(&mut targets, 0, at(3)) && eject(&mut targets, 1, at(3)));
        targets.record(2, at(4), failed());
        assert_eq!(numbers(&targets.counts()), [1, 0, 1, 2]);
        let unknown = ensure(&mut targets, TCP, "a", 5);
        targets.remove(3);
        assert_eq!(numbers(&targets.counts()), [0, 1, 1, 2], "one may be better");
        targets.record(unknown, at(5), failed());
        assert_eq!(numbers(&targets.counts()), [2, 0, 2, 0]);
        assert_eq!((targets.take_returned(), targets.next_return()), (vec![0, 1], None));
        assert_balance(&targets);
        let again = targets.dial_failed(0, at(6), String::new());
        assert_eq!(again, Some(at(26)));
        assert_eq!(targets.dial_failed(1, at(6), String::new()), None, "the last one");
        targets.remove(1);
        assert_eq!(numbers(&targets.counts()), [1, 0, 2, 0], "to be gone is no better");
        assert_balance(&targets);
    }

    #[test]
    fn with_no_number_of_dials_ejections_end_at_once() {
        let mut targets = healthy(&[("a", 1), ("a", 2), ("a", 3), ("a", 4)]);
        assert!(eject(&mut targets, 0, at(3)) && eject(&mut targets, 1, at(3)));
        let mut off = defaults(1, 1);
        off.ejection.after = 0;
        targets.set_defaults(off);
        assert_eq!(targets.next_return(), Some(Time::ZERO));
        assert!(targets.end_ejection(at(4)) && targets.end_ejection(at(4)));
        assert!(!targets.end_ejection(at(4)) && !eject(&mut targets, 2, at(5)));
        assert!(targets.get(2).unwrap().ejection.is_none());
        assert_balance(&targets);
    }

    #[test]
    fn a_target_of_datagrams_is_no_better_than_its_twin() {
        let mut targets = targets(&[("dns", 53), ("log", 53)]);
        let udp = ensure(&mut targets, UDP, "dns", 53);
        let alone = ensure(&mut targets, UDP, "other", 53);
        for id in [udp, alone] {
            targets.record(id, at(2), Ok(()));
        }
        let standing = |targets: &Targets| targets.standing(udp).unwrap();
        assert_eq!(
            (standing(&targets), targets.standing(alone)),
            (Standing::Unknown, Some(Standing::Fit))
        );
        targets.record(0, at(3), Ok(()));
        assert_eq!(standing(&targets), Standing::Fit);
        targets.record(0, at(4), Err("no answer".to_owned()));
        let dns = targets.service("dns");
        assert_eq!((numbers(&dns), dns.last_error.as_deref()), ([0, 0, 2, 0], Some("no answer")));
        assert_balance(&targets);
        targets.remove(0);
        assert_eq!(standing(&targets), Standing::Fit, "without its twin");
        targets.record(udp, at(5), failed());
        targets.ensure(at(6), TCP, &"dns".into(), address(53), None);
        assert_eq!(standing(&targets), Standing::Unhealthy, "it refused itself");
        assert_balance(&targets);
    }

    #[test]
    fn answers_interrupt_a_row_of_refusals() {
        let mut targets = Targets::new(defaults(1, 2));
        let id = ensure(&mut targets, UDP, "dns", 53);
        targets.record(id, at(1), Ok(()));
        for second in 2..9 {
            assert_eq!(targets.record(id, at(second), failed()), None);
            targets.answered(address(53));
        }
        targets.record(id, at(9), failed());
        assert!(targets.record(id, at(9), failed()).is_some());
    }

    #[test]
    fn results_of_a_target_that_is_gone_mean_nothing() {
        let mut targets = healthy(&[("a", 1), ("a", 2)]);
        targets.remove(0);
        assert_eq!(targets.record(0, at(3), failed()), None);
        assert_eq!(targets.dial_failed(0, at(3), String::new()), None);
        targets.dial_succeeded(at(3), address(1));
        assert_eq!(targets.standing(0), None);
        assert_balance(&targets);
    }

    /// Whatever happens in whatever order, what is counted is what there is, a
    /// service keeps a target that is fit as long as it has a healthy one, and
    /// no more than half of it is ejected.
    #[test]
    fn the_numbers_are_right_after_anything() {
        for seed in 0..20 {
            let mut random = Random::new(seed);
            let mut targets = Targets::new(defaults(2, 2));
            let mut now = at(1);
            for _ in 0..2_000 {
                now = now + Duration::from_millis(random.below(3_000));
                let service: Rc<str> = ["a", "b", "c"][random.index(3)].into();
                let transport = [TCP, TCP, UDP][random.index(3)];
                let port = random.below(6) as u16;
                let ids: Vec<u32> = targets.iter().map(|(id, _)| id).collect();
                let id = ids.get(random.index(ids.len())).copied().unwrap_or_default();
                match random.below(12) {
                    0 | 1 => {
                        targets.ensure(now, transport, &service, address(port), None);
                    }
                    2 if random.below(3) == 0 => targets.remove(id),
                    3..6 => {
                        targets.record(id, now, Ok(()));
                    }
                    6 | 7 => {
                        targets.record(id, now, failed());
                    }
                    8..10 => {
                        let is_tcp = targets.get(id).is_some_and(|it| it.transport() == TCP);
                        if is_tcp {
                            eject(&mut targets, id, now);
                        }
                    }
                    10 => targets.dial_succeeded(now, address(port)),
                    _ => while targets.end_ejection(now) {},
                }
                assert_balance(&targets);
                for (name, counts) in targets.services(None) {
                    let tcp = &targets.services[name].tcp;
                    assert!(tcp.ejected.is_empty() || tcp.fit + tcp.unknown > 0, "seed {seed}");
                    assert!(counts.ejected <= tcp.total(), "seed {seed}");
                }
            }
        }
    }
}
