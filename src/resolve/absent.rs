//! What stands in the place of the door without the feature `names`: the same
//! methods, and no name has an address.

use std::collections::{BTreeSet, VecDeque};

use super::Paths;
use super::event::{Event, Status};
use super::name::Name;
use crate::reactor::{Reactor, Readiness, Time, Token};

/// Names that are not looked up.
#[derive(Debug, Default)]
pub struct Resolver {
    names: BTreeSet<Name>,
    events: VecDeque<Event>,
}

impl Resolver {
    /// No names.
    pub fn new(_: Paths, _seed: u64) -> Resolver {
        Resolver::default()
    }

    /// Reports that the name cannot be looked up.
    ///
    /// # Errors
    /// None.
    pub fn want(&mut self, _: Time, name: &Name) -> Result<(), String> {
        if self.names.insert(name.clone()) {
            let error = super::UNAVAILABLE.to_owned();
            self.events.push_back(Event::Failed { name: name.clone(), error, stale: false });
        }
        Ok(())
    }

    /// Forgets a name.
    pub fn unwant(&mut self, name: &Name) {
        self.names.remove(name);
        self.events.retain(|event| event.name() != name);
    }

    /// There is nothing to read.
    pub fn reload(&mut self, _: Time) {}

    /// Nothing is known of a name.
    pub fn status(&self, name: &Name) -> Option<Status> {
        self.names.contains(name).then(Status::default)
    }

    /// All names that are wanted.
    pub fn names(&self) -> impl Iterator<Item = &Name> {
        self.names.iter()
    }

    /// None.
    pub fn panics(&self) -> u64 {
        0
    }

    /// There is nothing that could panic.
    pub fn inject_panic(&mut self) {}

    /// The next thing to report.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// Collect: there are no sockets.
    pub fn collect(&mut self, _: Token, _: Readiness) {}

    /// Expire: there is no timer.
    pub fn expired(&mut self, _: Token) {}

    /// Api: there is nothing to do.
    pub fn api(&mut self, _: &mut Reactor) {}

    /// Flush: there is nothing to free.
    pub fn flush(&mut self) {}

    /// Whether there is something to report.
    pub fn has_ready(&self) -> bool {
        !self.events.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_fails_and_says_why() {
        let mut resolver = Resolver::new(Paths::default(), 1);
        let name = Name::parse("web.test").unwrap();
        resolver.want(Time::ZERO, &name).unwrap();
        resolver.want(Time::ZERO, &name).unwrap();
        assert!(resolver.has_ready());
        let error = "built without the feature `names`".to_owned();
        let failed = Event::Failed { name: name.clone(), error, stale: false };
        assert_eq!((resolver.poll_event(), resolver.poll_event()), (Some(failed), None));
        assert!(resolver.status(&name).is_some());
        resolver.unwant(&name);
        assert_eq!((resolver.status(&name), resolver.names().count()), (None, 0));
    }
}
