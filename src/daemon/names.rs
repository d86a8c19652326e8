//! Targets that are names: which addresses they have now.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;

use super::switchboard::{Progress, Switchboard};
use crate::health::{Targets, Transport, Wanted};
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

/// Of targets without an address: how many there are, how many of them nothing
/// was said of yet, and what was said of one.
pub(super) type Missing = (usize, usize, Option<String>);

/// Names that the resolver is told of in one turn.
const TOLD_PER_TURN: usize = 64;

/// One of the table's targets that is a name, and its addresses: each with the
/// number by which its health is known.
#[derive(Debug)]
pub(super) struct NamedTarget {
    service: Rc<str>,
    name: Rc<str>,
    port: u16,
    /// How its addresses are checked.
    check: Option<Rc<Wanted>>,
    pub(super) places: Vec<(u32, SocketAddr)>,
}

/// The table's targets that are names, by their places in the table.
#[derive(Debug, Default)]
pub(super) struct NamedTargets {
    all: Vec<NamedTarget>,
    /// The places of each service's.
    by_service: BTreeMap<Rc<str>, Vec<usize>>,
}

/// What has become of addresses.
#[derive(Debug, Default)]
pub(super) struct Moved {
    /// Those that are new, those that are to be checked otherwise, and the
    /// numbers of all that a name has now.
    pub(super) added: Vec<u32>,
    pub(super) changed: Vec<u32>,
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
        check: Option<&Rc<Wanted>>,
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
            check: check.map(Rc::clone),
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
        // The resolver has nothing to say of a name that it knows already: one
        // that is back is forgotten first, and then asked for.
        let most = if self.unwanted.is_empty() { TOLD_PER_TURN } else { 0 };
        for _ in 0..most.min(self.unasked.len()) {
            let name = self.unasked.pop().and_then(|name| Name::parse(&name).ok());
            let Some(name) = name else { continue };
            if let Err(error) = resolver.want(now, &name) {
                failed.push(Event::Failed { name, error, stale: false });
            }
        }
        failed
    }

    /// Whether something was said of all these names.
    pub(super) fn are_there(&self, targets: &NamedTargets) -> bool {
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

    /// How many names have addresses, how many have none, and of how many
    /// nothing was said yet.
    #[cfg(feature = "http")]
    pub(super) fn tally(&self) -> [usize; 3] {
        let mut tally = [0_usize; 3];
        for answer in self.by_name.values() {
            let [resolved, failed, pending] = &mut tally;
            let count = match (answer.addresses.is_empty(), answer.is_there) {
                (false, _) => resolved,
                (true, true) => failed,
                (true, false) => pending,
            };
            *count = count.saturating_add(1);
        }
        tally
    }

    /// What was said of the name of a target that has no address: nothing yet,
    /// or why it has none.
    #[cfg(feature = "http")]
    pub(super) fn trouble(&self, target: &NamedTarget) -> Option<&str> {
        let answer = self.by_name.get(&target.name).filter(|answer| answer.is_there)?;
        Some(answer.error.as_deref().unwrap_or("it has no address"))
    }

    /// Counts those that have no address: a walk over these targets.
    pub(super) fn missing<'a>(&self, targets: impl Iterator<Item = &'a NamedTarget>) -> Missing {
        let (mut all, mut unknown, mut error) = (0_usize, 0_usize, None);
        for target in targets.filter(|target| target.places.is_empty()) {
            all = all.saturating_add(1);
            let Some(answer) = self.by_name.get(&target.name) else { continue };
            unknown = unknown.saturating_add(usize::from(!answer.is_there));
            error = error
                .or_else(|| answer.error.as_ref().map(|error| format!("{}: {error}", target.name)));
        }
        (all, unknown, error)
    }

    /// Forgets all names but those of these targets.
    pub(super) fn keep_only(&mut self, targets: &NamedTargets) {
        let kept: HashSet<&str> = targets.iter().map(|it| &*it.name).collect();
        let is_kept = |name: &Rc<str>| kept.contains(&**name);
        self.unasked.retain(is_kept);
        let unwanted = &mut self.unwanted;
        self.by_name.retain(|name, _| {
            let stays = is_kept(name);
            unwanted.extend((!stays).then(|| Rc::clone(name)));
            stays
        });
    }
}

impl NamedTargets {
    pub(super) fn push(&mut self, target: NamedTarget) {
        let place = self.all.len();
        match self.by_service.get_mut(&target.service) {
            Some(places) => places.push(place),
            None => {
                self.by_service.insert(Rc::clone(&target.service), vec![place]);
            }
        }
        self.all.push(target);
    }

    pub(super) fn len(&self) -> usize {
        self.all.len()
    }

    pub(super) fn get(&self, place: usize) -> Option<&NamedTarget> {
        self.all.get(place)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &NamedTarget> {
        self.all.iter()
    }

    /// Those of one service.
    pub(super) fn of(&self, service: &str) -> impl Iterator<Item = &NamedTarget> {
        let places = self.by_service.get(service).into_iter().flatten();
        places.filter_map(|&place| self.all.get(place))
    }

    /// The place of the first one of a service.
    #[cfg(feature = "http")]
    pub(super) fn place_of(&self, service: &str) -> Option<usize> {
        self.by_service.get(service)?.first().copied()
    }

    /// The first service behind `after`, or of all.
    #[cfg(any(test, feature = "http"))]
    pub(super) fn next_service(&self, after: Option<&str>) -> Option<&Rc<str>> {
        use std::ops::Bound;
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        self.by_service.range::<str, _>((from, Bound::Unbounded)).next().map(|(name, _)| name)
    }
}

impl NamedTarget {
    /// The service that it belongs to.
    #[cfg(feature = "http")]
    pub(super) fn service(&self) -> &Rc<str> {
        &self.service
    }

    /// Its name and port.
    #[cfg(feature = "http")]
    pub(super) fn authority(&self) -> String {
        format!("{}:{}", self.name, self.port)
    }

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
            let check = self.check.as_ref();
            let it = targets.ensure(now, Transport::Tcp, &self.service, address, check);
            moved.added.extend(it.is_new.then_some(it.id));
            moved.changed.extend(it.is_changed.then_some(it.id));
            moved.kept.push(it.id);
            self.places.push((it.id, address));
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
        self.missing.take();
        self.changed = true;
        if let Some(incoming) = &mut self.incoming {
            incoming.awaits_names = false;
        }
        if !changed {
            return;
        }
        let name = written(event.name());
        let addresses = self.answers.addresses(&name).to_vec();
        let coming = self.incoming.iter_mut().flat_map(|incoming| &mut incoming.names.all);
        let mut moved = Moved::default();
        for target in self.names.all.iter_mut().chain(coming).filter(|it| *it.name == *name) {
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
        progress.changed.append(&mut moved.changed);
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
        let in_names = |names: &NamedTargets| {
            names.iter().any(|it| it.places.iter().any(|(own, _)| *own == id))
        };
        self.ids.contains(&id)
            || in_names(&self.names)
            || coming.is_some_and(|it| it.ids.contains(&id) || in_names(&it.names))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::daemon::picking::testing::defaults;
    use crate::health::HealthDefaults;
    use crate::proxy::{Client, Pick, Targets as _};
    use crate::registry::static_routes;
    use crate::route::pick::{Picker, Strategy};

    const AT: Time = Time::ZERO;

    fn board(routes: &str) -> Switchboard {
        let picker = Picker::new(Strategy::RoundRobin, 1);
        let mut board = Switchboard::new(picker, defaults(1, 1));
        board.load(AT, static_routes::load(routes).table);
        board
    }

    fn change(board: &mut Switchboard, routes: &str) {
        board.begin(AT, static_routes::load(routes).table);
    }

    /// Goes on with a change of the table as far as it goes.
    fn proceed(board: &mut Switchboard) {
        while board.is_changing() && !board.awaits_names() {
            board.proceed(AT, 10);
        }
    }

    fn resolved(board: &mut Switchboard, name: &str, addresses: &[&str]) -> Progress {
        let addresses = addresses.iter().map(|it| it.parse().unwrap()).collect();
        let event = Event::Resolved { name: Name::parse(name).unwrap(), addresses };
        let mut progress = Progress::default();
        board.take_answer(AT, &event, &mut progress);
        progress
    }

    fn failed(board: &mut Switchboard, name: &str, stale: bool) -> Progress {
        let name = Name::parse(name).unwrap();
        let event = Event::Failed { name, error: "no such name".to_owned(), stale };
        let mut progress = Progress::default();
        board.take_answer(AT, &event, &mut progress);
        progress
    }

    fn facts(board: &Switchboard) -> (usize, usize, usize) {
        let fact = board.target_fact();
        (fact.total, fact.healthy, fact.unknown)
    }

    /// Where the next clients go, by address.
    fn picks<const N: usize>(board: &mut Switchboard, tried: &[SocketAddr]) -> [String; N] {
        let client = Client {
            local: "0.0.0.0:80".parse().unwrap(),
            source: "10.0.0.1:5".parse().unwrap(),
            hello: None,
        };
        [(); N].map(|()| match board.pick(AT, &client, tried) {
            Pick::Target(picked) => picked.address.to_string(),
            other => format!("{other:?}"),
        })
    }

    const ONE: &str = "route add web :80 tcp://web.test:8080";

    #[test]
    fn a_name_without_addresses_is_a_target_that_is_not_healthy() {
        let mut board = board(ONE);
        assert_eq!(facts(&board), (1, 0, 1), "nothing is known yet");
        assert_eq!(picks(&mut board, &[]), ["NoTarget"]);
        failed(&mut board, "web.test", false);
        assert_eq!(facts(&board), (1, 0, 0));
        let error = board.target_fact().last_error;
        assert_eq!(error.as_deref(), Some("web.test: no such name"));
        let progress = resolved(&mut board, "web.test", &["192.0.2.1", "2001:db8::1"]);
        assert_eq!(progress.added.len(), 2, "each is checked");
        assert_eq!(facts(&board), (2, 0, 2));
        board.checked(AT, progress.added[0], Ok(()));
        assert_eq!(facts(&board), (2, 1, 1));
    }

    #[test]
    fn a_name_that_is_no_longer_routed_to_counts_no_longer() {
        let mut board = board(ONE);
        assert_eq!(facts(&board), (1, 0, 1));
        change(&mut board, "route add web :80 tcp://192.0.2.9:80");
        proceed(&mut board);
        assert_eq!(facts(&board), (1, 0, 1), "the address alone");
    }

    #[test]
    fn the_addresses_of_a_name_take_turns_and_those_that_are_well_go_first() {
        let mut board = board(ONE);
        let progress = resolved(&mut board, "web.test", &["192.0.2.1", "192.0.2.2"]);
        let mut two = picks::<2>(&mut board, &[]);
        two.sort();
        assert_eq!(two, ["192.0.2.1:8080", "192.0.2.2:8080"]);
        board.checked(AT, progress.added[0], Err("refused".to_owned()));
        assert_eq!(picks(&mut board, &[]), ["192.0.2.2:8080", "192.0.2.2:8080"]);
        let tried = ["192.0.2.2:8080".parse().unwrap()];
        assert_eq!(picks(&mut board, &tried), ["NoTarget"]);
        board.set_health(HealthDefaults { when_none_all: true, ..defaults(1, 1) });
        assert_eq!(picks(&mut board, &tried), ["192.0.2.1:8080"], "better than none");
        let both = ["192.0.2.2:8080".parse().unwrap(), "192.0.2.1:8080".parse().unwrap()];
        assert_eq!(picks(&mut board, &both), ["NoTarget"]);
    }

    #[test]
    fn other_addresses_take_the_place_of_old_ones_and_a_failure_of_none() {
        let mut board = board(&format!("{ONE}\nroute add web :81 tcp://192.0.2.2:8080"));
        resolved(&mut board, "web.test", &["192.0.2.1", "192.0.2.2"]);
        assert_eq!(board.targets().counts().total, 2, "one of them is a target by itself");
        let progress = resolved(&mut board, "web.test", &["192.0.2.3"]);
        assert_eq!((progress.added.len(), progress.removed.len()), (1, 1));
        assert_eq!(board.targets().counts().total, 2, "who is used otherwise stays");
        failed(&mut board, "web.test", true);
        assert_eq!(picks(&mut board, &[]), ["192.0.2.3:8080"]);
        let progress = failed(&mut board, "web.test", false);
        assert_eq!(progress.removed.len(), 1);
        assert_eq!(picks(&mut board, &[]), ["NoTarget"]);
    }

    #[test]
    fn a_new_table_waits_for_its_new_names_but_not_for_ever() {
        let mut board = board("route add web :80 tcp://192.0.2.9:1");
        change(&mut board, ONE);
        proceed(&mut board);
        assert!(board.awaits_names() && board.answers.has_news());
        assert_eq!(picks(&mut board, &[]), ["192.0.2.9:1"], "the old table serves");
        resolved(&mut board, "web.test", &["192.0.2.1"]);
        proceed(&mut board);
        assert!(!board.is_changing());
        assert_eq!(picks(&mut board, &[]), ["192.0.2.1:8080"]);
        change(&mut board, "route add web :80 tcp://other.test:1");
        proceed(&mut board);
        assert!(board.awaits_names());
        let later = board.give_up().unwrap();
        while board.is_changing() {
            board.proceed(later, 10);
        }
        assert_eq!(board.give_up(), None);
        assert_eq!(picks(&mut board, &[]), ["NoTarget"]);
    }

    #[test]
    fn a_table_that_keeps_a_name_keeps_its_addresses_and_their_health() {
        let mut board = board(ONE);
        let progress = resolved(&mut board, "web.test", &["192.0.2.1"]);
        board.checked(AT, progress.added[0], Ok(()));
        change(&mut board, &format!("route add api :81 tcp://web.test:9\n{ONE}"));
        proceed(&mut board);
        assert!(!board.is_changing(), "nothing to wait for");
        assert_eq!(facts(&board), (2, 1, 1));
        assert_eq!(picks(&mut board, &[]), ["192.0.2.1:8080"]);
        change(&mut board, "route add web :80 tcp://192.0.2.9:1");
        proceed(&mut board);
        assert_eq!(facts(&board), (1, 0, 1));
        assert!(board.answers.has_news(), "the resolver may forget it");
        assert!(board.answers.by_name.is_empty());
    }

    #[test]
    fn an_answer_in_the_middle_of_a_change_holds_for_both_tables() {
        let mut board = board(ONE);
        resolved(&mut board, "web.test", &["192.0.2.1"]);
        let lines = (1..50).map(|n| format!("route add a :{n} tcp://192.0.2.9:{n}\n"));
        let routes: String = lines.chain([ONE.to_owned()]).collect();
        for steps in [1, 60, 110, 160] {
            change(&mut board, &routes);
            board.proceed(AT, steps);
            let address = format!("192.0.2.{}", 100 + steps % 100);
            resolved(&mut board, "web.test", &[&address]);
            assert_eq!(picks(&mut board, &[]), [format!("{address}:8080")]);
            proceed(&mut board);
            assert_eq!(picks(&mut board, &[]), [format!("{address}:8080")]);
            assert_eq!(board.targets().counts().total, 50);
        }
    }

    /// The resolver has no event to tell of a name that it knows already.
    #[cfg(feature = "names")]
    #[test]
    fn a_name_that_is_back_before_the_resolver_forgot_it_is_looked_up_again() {
        let count = 3 * TOLD_PER_TURN;
        let line = |n: usize| format!("route add web :80 tcp://n{n}.localhost:8080\n");
        let all: String = (0..count).map(line).collect();
        let mut board = board(&all);
        let mut reactor = crate::reactor::Reactor::new().unwrap();
        let mut resolver = Resolver::new(crate::resolve::Paths::default(), 1);
        let mut turns = |board: &mut Switchboard, later: std::time::Duration| {
            for _ in 0..20 {
                resolver.api(&mut reactor);
                board.resolve(AT, &mut resolver);
                board.proceed(AT + later, 1000);
            }
        };
        let nameless = |board: &Switchboard| {
            assert_eq!(board.names.len(), count);
            board.names.iter().filter(|name| name.places.is_empty()).count()
        };
        turns(&mut board, std::time::Duration::ZERO);
        assert_eq!(nameless(&board), 0);
        change(&mut board, "route add web :80 tcp://192.0.2.9:1");
        proceed(&mut board);
        change(&mut board, &all);
        turns(&mut board, std::time::Duration::ZERO);
        turns(&mut board, std::time::Duration::from_secs(60));
        assert_eq!(nameless(&board), 0, "names that nobody looks up any more");
    }
}
