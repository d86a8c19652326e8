//! A table while its commands are executed: targets come, go and change.
//!
//! All targets are in one list, in the order in which they were added. Those of
//! a route and those of a service are chained through it, so that a command
//! meets only the targets that it names.

use std::rc::Rc;

use super::check::CheckOptions;
use super::command::{Add, Del, Weight};
use super::destination::{Destination, Scheme};
use super::hash::{Hash, Places, hash_text};
use super::pick::Strategy;
use super::pieces::Pieces;
use super::ports::{DynamicPort, Ports};
use super::source::{Source, hash_socket};
use super::table::{Table, Target};

/// The table under construction.
#[derive(Debug, Default)]
pub(super) struct Drafts {
    targets: Pieces<Draft>,
    routes: Pieces<DraftRoute>,
    services: Pieces<(Rc<str>, Chain)>,
    /// Places of `routes`, `services` and `targets`; the last by all that two
    /// targets must have in common to be duplicates.
    by_source: Places,
    by_service: Places,
    by_identity: Places,
    /// The next route to finish, and the targets that the table has.
    finished: usize,
    numbered: Places,
    ports: Ports,
    checks: Checks,
}

#[derive(Debug)]
struct Draft {
    /// `None` when it was deleted.
    target: Option<Target>,
    line: u32,
    /// Its place in [`Checks::all`].
    check: Option<u32>,
    route: usize,
    next_of_route: Option<usize>,
    next_of_service: Option<usize>,
}

#[derive(Debug)]
struct DraftRoute {
    source: Option<Source>,
    chain: Chain,
    alive: usize,
    strategy: Option<Strategy>,
}

/// The first and the last of some targets, each of which knows the next.
#[derive(Clone, Copy, Debug, Default)]
struct Chain {
    first: Option<usize>,
    last: Option<usize>,
}

/// A command on its way along the targets.
#[derive(Debug)]
pub(super) struct Walk {
    along: Along,
    next: Option<usize>,
    service: Option<Rc<str>>,
    destination: Option<String>,
    tags: Vec<String>,
    action: Action,
    line: usize,
    text: String,
}

#[derive(Clone, Copy, Debug)]
enum Along {
    Route,
    Service,
    All,
}

#[derive(Debug)]
enum Action {
    Delete,
    /// Gives this weight to those that were met.
    Weigh(f64, Vec<usize>),
}

impl Walk {
    /// With the line that it is reported by when it meets nobody.
    pub(super) fn reported_as(mut self, line: usize, text: &str) -> Walk {
        self.line = line;
        text.clone_into(&mut self.text);
        self
    }

    /// Whether a weight met nobody. (To delete what is not there is common:
    /// the service may have gone before.)
    pub(super) fn is_in_vain(&self) -> bool {
        matches!(&self.action, Action::Weigh(_, met) if met.is_empty())
    }

    pub(super) fn line(&self) -> usize {
        self.line
    }

    pub(super) fn text(&self) -> &str {
        &self.text
    }
}

/// How targets are to be checked, each way once: sixty thousand lines may say
/// the same.
#[derive(Debug, Default)]
struct Checks {
    all: Vec<Rc<CheckOptions>>,
    /// Places of `all`; made for `room` lines when the first of them needs it.
    index: Places,
    room: usize,
    /// For each of the table's targets, and each of its names, the line that
    /// said how it is checked; 0 for none.
    target_lines: Vec<u32>,
    name_lines: Vec<u32>,
    overruled: Vec<Overruled>,
}

/// A line whose check does not count.
#[derive(Debug)]
pub(super) struct Overruled {
    pub(super) line: usize,
    /// The one that counts.
    pub(super) by: usize,
    /// Service and URL of the target.
    pub(super) target: String,
}

/// The target's strategy is not that of its route.
#[derive(Debug)]
pub(super) struct OtherStrategy;

impl Drafts {
    /// Room for the targets of so many lines.
    pub(super) fn with_room(lines: usize) -> Drafts {
        Drafts {
            by_source: Places::with_room(lines),
            by_service: Places::with_room(lines),
            by_identity: Places::with_room(lines),
            checks: Checks::with_room(lines),
            ..Drafts::default()
        }
    }

    /// Adds a target, unless there is one with the same service, URL, fixed
    /// weight and tags. As in fabio, other options make no difference.
    pub(super) fn add(&mut self, line: usize, mut add: Add) -> Result<(), OtherStrategy> {
        let route = self.route(&add.source);
        let service = self.service(&add.service);
        let service_name = add.service.as_str();
        let identity = identity(route, service_name, &add.destination, &add.tags, add.weight);
        let is_same = |at: usize| {
            self.targets.get(at).is_some_and(|draft| {
                draft.route == route && draft.target.as_ref().is_some_and(|t| is_same(t, &add))
            })
        };
        if self.by_identity.find(identity, is_same).is_some() {
            return Ok(());
        }
        let at = self.targets.len();
        self.by_identity.insert(identity, at);
        let strategy = add.options.strategy;
        let check = add.options.check.as_mut().map(|check| self.checks.share(check));
        let Some((name, of_service)) = self.services.get_mut(service) else { return Ok(()) };
        let Some(of_route) = self.routes.get_mut(route) else { return Ok(()) };
        let target = Target {
            service: Rc::clone(name),
            destination: add.destination,
            fixed_weight: add.weight,
            share: 0.0,
            slots: 0,
            tags: add.tags,
            options: add.options,
            index: None,
            name_index: None,
        };
        let differs = of_route.strategy.is_some_and(|own| strategy.is_some_and(|s| s != own));
        of_route.strategy = of_route.strategy.or(strategy);
        of_route.alive = of_route.alive.saturating_add(1);
        let before_in_route = of_route.chain.append(at);
        let before_in_service = of_service.append(at);
        self.targets.push(Draft {
            target: Some(target),
            line: u32::try_from(line).unwrap_or(u32::MAX),
            check,
            route,
            next_of_route: None,
            next_of_service: None,
        });
        if let Some(before) = before_in_route.and_then(|at| self.targets.get_mut(at)) {
            before.next_of_route = Some(at);
        }
        if let Some(before) = before_in_service.and_then(|at| self.targets.get_mut(at)) {
            before.next_of_service = Some(at);
        }
        if differs { Err(OtherStrategy) } else { Ok(()) }
    }

    /// Begins to delete; `None` when there can be nothing to delete.
    pub(super) fn del(&self, del: Del) -> Option<Walk> {
        let (along, next) = match (&del.service, &del.source) {
            (_, Some(source)) => (Along::Route, self.find_route(source)?.chain.first),
            (Some(service), None) => (Along::Service, self.find_service(service)?.first),
            (None, None) => (Along::All, Some(0)),
        };
        Some(Walk {
            along,
            next,
            service: del.service.map(Rc::from),
            destination: del.destination,
            tags: del.tags,
            action: Action::Delete,
            line: 0,
            text: String::new(),
        })
    }

    /// Begins to weigh.
    pub(super) fn weight(&self, weight: Weight) -> Walk {
        Walk {
            along: Along::Route,
            next: self.find_route(&weight.source).and_then(|route| route.chain.first),
            service: weight.service.map(Rc::from),
            destination: None,
            tags: weight.tags,
            action: Action::Weigh(weight.weight, Vec::new()),
            line: 0,
            text: String::new(),
        }
    }

    /// Goes on for up to `visits` targets; returns how many there were, and
    /// whether it met the last.
    pub(super) fn advance(&mut self, walk: &mut Walk, visits: usize) -> (usize, bool) {
        for visited in 0..visits {
            let Some(at) = walk.next else { return (visited, true) };
            let Some(draft) = self.targets.get_mut(at) else { return (visited, true) };
            walk.next = match walk.along {
                Along::Route => draft.next_of_route,
                Along::Service => draft.next_of_service,
                Along::All => Some(at.saturating_add(1)),
            };
            let Some(target) = &draft.target else { continue };
            let matches = walk.service.as_ref().is_none_or(|service| *service == target.service)
                && walk.destination.as_ref().is_none_or(|d| d == target.destination.as_str())
                && walk.tags.iter().all(|tag| target.tags.contains(tag));
            match &mut walk.action {
                Action::Delete if matches => self.delete(at),
                Action::Weigh(_, met) if matches => met.push(at),
                _ => {}
            }
        }
        (visits, false)
    }

    /// Ends a walk that met the last target: each of those that were met gets
    /// an equal part of the weight. Those that differed in their weights alone
    /// are then duplicates, of which the first stays. (In fabio both stay, and
    /// what it shows of the table makes another one.)
    pub(super) fn conclude(&mut self, walk: Walk) {
        let Action::Weigh(weight, mut met) = walk.action else { return };
        let mut distinct = Places::with_room(met.len());
        met.retain(|&at| self.is_first(&mut distinct, at));
        let part = weight / met.len() as f64;
        for at in met {
            let Some(draft) = self.targets.get_mut(at) else { continue };
            let (route, Some(target)) = (draft.route, &mut draft.target) else { continue };
            target.fixed_weight = part;
            let (service, tags) = (&target.service, &target.tags);
            let identity = identity(route, service, &target.destination, tags, part);
            self.by_identity.insert(identity, at);
        }
    }

    /// Whether no target of `distinct` is the same as this one but for the
    /// weight; then it is put in, else it is deleted.
    fn is_first(&mut self, distinct: &mut Places, at: usize) -> bool {
        let target = |at: usize| self.targets.get(at)?.target.as_ref();
        let Some(own) = target(at) else { return false };
        let hash = identity(0, &own.service, &own.destination, &own.tags, 0.0);
        let is_same = |other: &Target| {
            own.service == other.service
                && own.destination == other.destination
                && own.tags == other.tags
        };
        if distinct.find(hash, |place| target(place).is_some_and(is_same)).is_none() {
            distinct.insert(hash, at);
            return true;
        }
        self.delete(at);
        false
    }

    fn delete(&mut self, at: usize) {
        let Some(draft) = self.targets.get_mut(at) else { return };
        draft.target = None;
        if let Some(route) = self.routes.get_mut(draft.route) {
            route.alive = route.alive.saturating_sub(1);
        }
    }

    /// A table with room for what there is.
    pub(super) fn begin_table(&mut self) -> Table {
        self.numbered = Places::with_room(self.targets.len());
        let mut table = Table::with_room(self.routes.len(), self.targets.len());
        table.set_checks(self.checks.begin_table(self.targets.len()));
        table
    }

    /// Gives the memory of some hundred drafts back, once all are finished;
    /// says whether any were left.
    pub(super) fn give_back(&mut self) -> bool {
        let indexes = [
            &mut self.by_source,
            &mut self.by_service,
            &mut self.by_identity,
            &mut self.numbered,
            &mut self.checks.index,
        ];
        for index in indexes {
            if !index.is_empty() {
                *index = Places::default();
                return true;
            }
        }
        self.targets.give_back() || self.routes.give_back() || self.services.give_back()
    }

    /// Moves the next route into the table; returns how many targets it has,
    /// or `None` when there is no other.
    pub(super) fn finish_route(&mut self, table: &mut Table) -> Option<usize> {
        let route = self.routes.get_mut(self.finished)?;
        self.finished = self.finished.saturating_add(1);
        let source = route.source.take();
        let is_looked_up = source.as_ref().is_some_and(Source::is_looked_up);
        let is_udp = source.as_ref().is_some_and(Source::is_udp);
        let mut next = route.chain.first;
        let mut targets = Vec::with_capacity(route.alive);
        let mut visited = 0_usize;
        while let Some(draft) = next.and_then(|at| self.targets.get_mut(at)) {
            next = draft.next_of_route;
            visited = visited.saturating_add(1);
            let Some(mut target) = draft.target.take() else { continue };
            if is_looked_up {
                target.index = number(&mut self.numbered, table, is_udp, &target);
                target.name_index = number_name(&mut self.numbered, table, &target);
                if !is_udp {
                    self.checks.claim(table, &target, draft.line, draft.check);
                }
            }
            if let (Some(limit), false) = (target.options.service_limit, is_udp) {
                table.limit(&target.service, limit);
            }
            targets.push(target);
        }
        if let Some(source) = source.filter(|_| !targets.is_empty()) {
            let is_tcp = |target: &Target| target.destination.scheme() == Scheme::Tcp;
            self.ports.note(&source, targets.iter().all(is_tcp));
            table.push(source, targets);
        }
        Some(visited)
    }

    /// Which lines were found since the last call to say of a target that is
    /// checked already how it is to be checked otherwise.
    pub(super) fn take_overruled(&mut self) -> Vec<Overruled> {
        std::mem::take(&mut self.checks.overruled)
    }

    /// The ports that the finished routes serve with `tcp` targets.
    pub(super) fn dynamic_ports(&self) -> Vec<DynamicPort> {
        self.ports.dynamic()
    }

    fn find_route(&self, source: &Source) -> Option<&DraftRoute> {
        self.routes.get(self.place_of_route(source)?)
    }

    fn place_of_route(&self, source: &Source) -> Option<usize> {
        let is_same = |at: usize| {
            self.routes.get(at).is_some_and(|route| route.source.as_ref() == Some(source))
        };
        self.by_source.find(source.hash(), is_same)
    }

    fn find_service(&self, name: &str) -> Option<&Chain> {
        Some(&self.services.get(self.place_of_service(name)?)?.1)
    }

    fn place_of_service(&self, name: &str) -> Option<usize> {
        let is_same = |at: usize| self.services.get(at).is_some_and(|(own, _)| **own == *name);
        self.by_service.find(hash_text(name), is_same)
    }

    /// The place of the route with this source, which may be new.
    fn route(&mut self, source: &Source) -> usize {
        self.place_of_route(source).unwrap_or_else(|| {
            let place = self.routes.len();
            self.by_source.insert(source.hash(), place);
            let source = Some(source.clone());
            let chain = Chain::default();
            self.routes.push(DraftRoute { source, chain, alive: 0, strategy: None });
            place
        })
    }

    /// The place of the service with this name, which may be new.
    fn service(&mut self, name: &str) -> usize {
        self.place_of_service(name).unwrap_or_else(|| {
            let place = self.services.len();
            self.by_service.insert(hash_text(name), place);
            self.services.push((Rc::from(name), Chain::default()));
            place
        })
    }
}

impl Checks {
    fn with_room(lines: usize) -> Checks {
        Checks { room: lines, ..Checks::default() }
    }

    /// The place of this check, which takes the place of one that is alike.
    fn share(&mut self, check: &mut Rc<CheckOptions>) -> u32 {
        if self.all.is_empty() {
            self.index = Places::with_room(self.room);
        }
        let hash = check.digest();
        let known = self.index.find(hash, |at| self.all.get(at) == Some(check));
        let place = known.unwrap_or_else(|| {
            self.index.insert(hash, self.all.len());
            self.all.push(Rc::clone(check));
            self.all.len().saturating_sub(1)
        });
        if let Some(known) = self.all.get(place) {
            *check = Rc::clone(known);
        }
        // No text has that many lines.
        u32::try_from(place).unwrap_or(u32::MAX)
    }

    /// Gives all of them away; no more come.
    fn begin_table(&mut self, targets: usize) -> Vec<Rc<CheckOptions>> {
        self.target_lines = Vec::with_capacity(targets);
        std::mem::take(&mut self.all)
    }

    /// A line says how a target is checked, or says nothing about it. The
    /// first line that does counts.
    fn claim(&mut self, table: &mut Table, target: &Target, line: u32, check: Option<u32>) {
        let Some(check) = check else { return };
        let (lines, index) = match (target.index, target.name_index) {
            (Some(index), _) => (&mut self.target_lines, index),
            (None, Some(index)) => (&mut self.name_lines, index),
            (None, None) => return,
        };
        let counts = match target.index {
            Some(index) => table.target_check_mut(index),
            None => table.name_check_mut(index),
        };
        if lines.len() <= index {
            lines.resize(index.saturating_add(1), 0);
        }
        let (Some(counts), Some(own)) = (counts, lines.get_mut(index)) else { return };
        if *counts == Some(check) {
            *own = line.min(*own);
            return;
        }
        let known = counts.is_some();
        let (first, other) = if known && *own < line { (*own, line) } else { (line, *own) };
        if first == line {
            (*own, *counts) = (line, Some(check));
        }
        if known {
            self.overruled.push(Overruled {
                line: usize::try_from(other).unwrap_or(usize::MAX),
                by: usize::try_from(first).unwrap_or(usize::MAX),
                target: format!("{} {}", target.service, target.destination),
            });
        }
    }
}

impl Chain {
    /// Makes this the last one; returns the one before it.
    fn append(&mut self, at: usize) -> Option<usize> {
        self.first = self.first.or(Some(at));
        self.last.replace(at)
    }
}

/// The place of the target's service and address in the table's list of targets
/// of connections, or of datagrams.
fn number(
    numbered: &mut Places,
    table: &mut Table,
    is_udp: bool,
    target: &Target,
) -> Option<usize> {
    let address = target.address()?;
    let hash = Hash::new().byte(is_udp.into()).bytes(target.service.as_bytes());
    let hash = hash_socket(hash, address).finish();
    let list = if is_udp { table.udp_targets() } else { table.targets() };
    // A place of the other list that has the same hash by chance is no harm: it
    // counts only if this very target is at that place of its own list.
    let is_same =
        |at: usize| list.get(at).is_some_and(|(s, a)| *a == address && *s == target.service);
    let known = numbered.find(hash, is_same);
    Some(known.unwrap_or_else(|| {
        let place = table.push_target(is_udp, Rc::clone(&target.service), address);
        numbered.insert(hash, place);
        place
    }))
}

/// The place of the target's service, name and port in the table's list of names.
fn number_name(numbered: &mut Places, table: &mut Table, target: &Target) -> Option<usize> {
    let (name, port) = target.destination.name()?;
    let hash = Hash::new().byte(2).bytes(target.service.as_bytes()).bytes(name.as_bytes());
    let hash = hash.number(port.into()).finish();
    let is_same = |at: usize| {
        table.names().get(at).is_some_and(|(service, other, own)| {
            *service == target.service && **other == *name && *own == port
        })
    };
    let known = numbered.find(hash, is_same);
    Some(known.unwrap_or_else(|| {
        let place = table.push_name(Rc::clone(&target.service), Rc::from(name), port);
        numbered.insert(hash, place);
        place
    }))
}

fn identity(
    route: usize,
    service: &str,
    destination: &Destination,
    tags: &[String],
    weight: f64,
) -> u64 {
    let hash = Hash::new().number(route as u64).number(weight.to_bits());
    let hash = hash.bytes(service.as_bytes()).bytes(destination.as_str().as_bytes());
    tags.iter().fold(hash, |hash, tag| hash.bytes(tag.as_bytes())).finish()
}

fn is_same(target: &Target, add: &Add) -> bool {
    target.fixed_weight == add.weight
        && *target.service == *add.service
        && target.destination == add.destination
        && target.tags == add.tags
}
