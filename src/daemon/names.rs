//! Targets that are names: which addresses they have now.

use std::collections::{HashMap, HashSet};
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;

use super::switchboard::{Progress, Switchboard};
use crate::health::targets::Targets;
use crate::reactor::Time;
use crate::resolve::{Event, Name, Resolver};
use crate::route::Table;

/// What was said of a name.
#[derive(Debug, Default)]
struct Answer {
    addresses: Vec<IpAddr>,
    /// Why there are none, or no newer ones.
    error: Option<String>,
    /// Something was said.
    is_there: bool,
}

/// What was said of every name of the table and of the one that is to come.
#[derive(Debug, Default)]
pub(super) struct Answers {
    by_name: HashMap<Rc<str>, Answer>,
    /// Names that the resolver is still to be asked for, and those that it may
    /// forget.
    unasked: Vec<Rc<str>>,
    unwanted: Vec<Rc<str>>,
}

/// Names that the resolver is told of in one turn.
const TOLD_PER_TURN: usize = 64;

/// One of the table's targets that is a name, and its addresses: each with the
/// number by which its health is known.
#[derive(Debug)]
pub(super) struct NamedTarget {
    service: Rc<str>,
    name: Rc<str>,
    port: u16,
    pub(super) places: Vec<(u32, SocketAddr)>,
}

/// What has become of addresses.
#[derive(Debug, Default)]
pub(super) struct Moved {
    /// Those that are new, and the numbers of all that a name has now.
    pub(super) added: Vec<(u32, SocketAddr)>,
    pub(super) kept: Vec<u32>,
    /// Numbers of those that the name has no more.
    pub(super) gone: Vec<u32>,
}

impl Answers {
    /// Makes the named target at `place` of a table to come, with the addresses
    /// that its name is known to have.
    pub(super) fn target(
        &mut self,
        now: Time,
        targets: &mut Targets,
        table: &Table,
        place: usize,
        moved: &mut Moved,
    ) -> Option<NamedTarget> {
        let (service, name, port) = table.names().get(place)?;
        if !self.by_name.contains_key(name) {
            self.by_name.insert(Rc::clone(name), Answer::default());
            self.unasked.push(Rc::clone(name));
        }
        let mut target = NamedTarget {
            service: Rc::clone(service),
            name: Rc::clone(name),
            port: *port,
            places: Vec::new(),
        };
        target.move_to(now, targets, self.addresses(name), moved);
        Some(target)
    }

    /// Whether the resolver is to be told of names.
    pub(super) fn has_news(&self) -> bool {
        !self.unasked.is_empty() || !self.unwanted.is_empty()
    }

    /// Tells the resolver of some. Those that it cannot look up have failed.
    fn tell(&mut self, now: Time, resolver: &mut Resolver) -> Vec<Event> {
        for _ in 0..TOLD_PER_TURN.min(self.unwanted.len()) {
            let name = self.unwanted.pop().and_then(|name| Name::parse(&name).ok());
            name.into_iter().for_each(|name| resolver.unwant(&name));
        }
        let mut failed = Vec::new();
        for _ in 0..TOLD_PER_TURN.min(self.unasked.len()) {
            let name = self.unasked.pop().and_then(|name| Name::parse(&name).ok());
            let Some(name) = name else { continue };
            if let Err(error) = resolver.want(now, &name) {
                failed.push(Event::Failed { name, error, stale: false });
            }
        }
        failed
    }

    /// Whether something was said of all these names.
    pub(super) fn are_there(&self, targets: &[NamedTarget]) -> bool {
        targets.iter().all(|it| self.by_name.get(&it.name).is_none_or(|answer| answer.is_there))
    }

    /// Takes what was said of a name. Says whether it has other addresses now.
    pub(super) fn take(&mut self, event: &Event) -> bool {
        let Some(answer) = self.by_name.get_mut(written(event.name()).as_str()) else {
            return false;
        };
        answer.is_there = true;
        match event {
            Event::Resolved { addresses, .. } => {
                answer.error = None;
                let changed = answer.addresses != *addresses;
                answer.addresses.clone_from(addresses);
                changed
            }
            Event::Failed { error, stale, .. } => {
                answer.error = Some(error.clone());
                let changed = !stale && !answer.addresses.is_empty();
                if changed {
                    answer.addresses = Vec::new();
                }
                changed
            }
        }
    }

    /// The addresses of a name as far as they are known.
    pub(super) fn addresses(&self, name: &str) -> &[IpAddr] {
        self.by_name.get(name).map_or(&[], |answer| &answer.addresses)
    }

    /// Of those that have no address: how many there are, how many of them
    /// nothing was said of yet, and what was said of one.
    pub(super) fn missing(&self, targets: &[NamedTarget]) -> (usize, usize, Option<String>) {
        let (mut all, mut unknown, mut error) = (0_usize, 0_usize, None);
        for target in targets.iter().filter(|target| target.places.is_empty()) {
            all = all.saturating_add(1);
            let Some(answer) = self.by_name.get(&target.name) else { continue };
            unknown = unknown.saturating_add(usize::from(!answer.is_there));
            error = error.or_else(|| answer.error.clone());
        }
        (all, unknown, error)
    }

    /// Forgets all names but those of these targets.
    pub(super) fn keep_only(&mut self, targets: &[NamedTarget]) {
        let kept: HashSet<&str> = targets.iter().map(|it| &*it.name).collect();
        let is_kept = |name: &Rc<str>| kept.contains(&**name);
        self.unasked.retain(is_kept);
        self.unwanted.retain(|name| !is_kept(name));
        let unwanted = &mut self.unwanted;
        self.by_name.retain(|name, _| {
            let stays = is_kept(name);
            unwanted.extend((!stays).then(|| Rc::clone(name)));
            stays
        });
    }
}

impl NamedTarget {
    /// Gives it these addresses.
    pub(super) fn move_to(
        &mut self,
        now: Time,
        targets: &mut Targets,
        addresses: &[IpAddr],
        moved: &mut Moved,
    ) {
        let old = std::mem::take(&mut self.places);
        for address in addresses {
            let address = SocketAddr::new(*address, self.port);
            let (id, is_new) = targets.ensure(now, &self.service, address);
            moved.added.extend(is_new.then_some((id, address)));
            moved.kept.push(id);
            self.places.push((id, address));
        }
        let stays = |id: &u32| self.places.iter().any(|(own, _)| own == id);
        moved.gone.extend(old.into_iter().map(|(id, _)| id).filter(|id| !stays(id)));
    }
}

/// A name as the routes have it.
fn written(name: &Name) -> String {
    let dot = if name.is_absolute() { "." } else { "" };
    format!("{}{dot}", name.as_str())
}

impl Switchboard {
    /// Lets the resolver know which names the routes have, and takes what it
    /// found out.
    pub(super) fn resolve(&mut self, now: Time, resolver: &mut Resolver) -> Progress {
        let mut progress = Progress::default();
        for event in self.answers.tell(now, resolver) {
            self.take_answer(now, &event, &mut progress);
        }
        while let Some(event) = resolver.poll_event() {
            self.take_answer(now, &event, &mut progress);
        }
        progress
    }

    /// Gives the targets of a name the addresses that it has now.
    fn take_answer(&mut self, now: Time, event: &Event, progress: &mut Progress) {
        let changed = self.answers.take(event);
        self.changed = true;
        if let Some(incoming) = &mut self.incoming {
            incoming.awaits_names = false;
        }
        if !changed {
            return;
        }
        let name = written(event.name());
        let addresses = self.answers.addresses(&name).to_vec();
        let coming = self.incoming.iter_mut().flat_map(|incoming| incoming.names.iter_mut());
        let mut moved = Moved::default();
        for target in self.names.iter_mut().chain(coming).filter(|it| *it.name == *name) {
            target.move_to(now, &mut self.targets, &addresses, &mut moved);
        }
        // What a change of the table has still to take away, it leaves these.
        if let Some(incoming) = &mut self.incoming {
            incoming.wanted.extend(&moved.kept);
        }
        if let Some(sweep) = &mut self.sweep {
            sweep.wanted.extend(&moved.kept);
        }
        progress.added.append(&mut moved.added);
        for id in moved.gone {
            if !self.is_used(id) && self.targets.get(id).is_some() {
                self.targets.remove(id);
                progress.removed.push(id);
                self.swept = true;
            }
        }
    }

    /// Whether a target of the table, or of the one to come, has this number.
    fn is_used(&self, id: u32) -> bool {
        let coming = self.incoming.as_ref();
        let in_names = |names: &[NamedTarget]| {
            names.iter().any(|it| it.places.iter().any(|(own, _)| *own == id))
        };
        self.ids.contains(&id)
            || in_names(&self.names)
            || coming.is_some_and(|it| it.ids.contains(&id) || in_names(&it.names))
    }
}
