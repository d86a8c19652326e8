//! The routes in force, the health of their targets, and how another table takes
//! the place of one. [`super::picking`] is what clients make of them.

use std::cell::OnceCell;
use std::collections::HashSet;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use log::warn;

use super::load::Load;
use super::names::{Answers, Missing, Moved, NamedTargets};
use super::udp_targets::UdpHealth;
use crate::health::{HealthDefaults, Targets, Transport, Wanted};
use crate::proxy::Proxy;
use crate::reactor::Time;
use crate::reactor::log_sink::quoted;
use crate::route::{Picker, Route, Table};

/// Routes and the health of their targets.
#[derive(Debug)]
pub(super) struct Switchboard {
    pub(super) table: Table,
    /// For each of the table's targets its id in `targets`.
    pub(super) ids: Vec<u32>,
    /// The table's targets that are names, and what is known of names.
    pub(super) names: NamedTargets,
    pub(super) answers: Answers,
    /// Those of the table that have no address, once they were counted: until
    /// there is another table or answer.
    pub(super) missing: OnceCell<Missing>,
    pub(super) picker: Picker,
    pub(super) targets: Targets,
    pub(super) udp: UdpHealth,
    pub(super) load: Load,
    /// Most connections to one service; zero: any number.
    pub(super) service_limit: u32,
    /// Counts picks, so that the addresses of names take turns.
    pub(super) turn: usize,
    /// Targets whose check is to be made at once, because a dial failed.
    pub(super) urgent: Vec<u32>,
    /// Where the walk over all targets is that lets them be checked by other
    /// defaults.
    pub(super) rearranging: Option<u32>,
    /// The table that is to come, the targets that are to go, and tables whose
    /// memory is to be given back: in this order, a piece at a time.
    pub(super) incoming: Option<Incoming>,
    pub(super) sweep: Option<Sweep>,
    spent: Vec<Table>,
    loaded: bool,
    /// Tables that came into force.
    tables: u64,
    pub(super) changed: bool,
    /// What the data plane was not told yet: another table serves, and the
    /// targets that it does not have are gone.
    switched: bool,
    pub(super) swept: bool,
}

/// A table that is being made ready to take the place of another.
#[derive(Debug)]
pub(super) struct Incoming {
    table: Table,
    /// For each route so far, the place in the old table of the one with its
    /// source.
    old_places: Vec<Option<usize>>,
    /// For each target so far, its id.
    pub(super) ids: Vec<u32>,
    pub(super) wanted: HashSet<u32>,
    /// The same for targets of datagrams.
    udp_ids: Vec<u32>,
    /// How targets are checked, as far as that is translated.
    checks: Vec<Rc<Wanted>>,
    pub(super) names: NamedTargets,
    /// It could serve, but for names of which nothing is known yet.
    pub(super) awaits_names: bool,
    /// When they are waited for no longer.
    give_up: Time,
}

/// A walk over all targets, which takes those away that are not wanted.
#[derive(Debug)]
pub(super) struct Sweep {
    pub(super) wanted: HashSet<u32>,
    from: u32,
}

/// How long a new table waits for the addresses of its new names. They are
/// asked for at once; who serves them usually answers in milliseconds.
const NAME_WAIT: Duration = Duration::from_secs(3);

/// What a piece of a change of the table came to.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Progress {
    /// Targets of connections that are new.
    pub(super) added: Vec<u32>,
    /// Those that are to be checked otherwise.
    pub(super) changed: Vec<u32>,
    /// Targets that are gone.
    pub(super) removed: Vec<u32>,
}

impl Switchboard {
    pub(super) fn new(picker: Picker, defaults: HealthDefaults) -> Switchboard {
        Switchboard {
            table: Table::default(),
            ids: Vec::new(),
            names: NamedTargets::default(),
            answers: Answers::default(),
            missing: OnceCell::new(),
            picker,
            udp: UdpHealth::default(),
            targets: Targets::new(defaults),
            load: Load::default(),
            service_limit: 0,
            turn: 0,
            urgent: Vec::new(),
            rearranging: None,
            incoming: None,
            sweep: None,
            spent: Vec::new(),
            loaded: false,
            tables: 0,
            changed: false,
            switched: false,
            swept: false,
        }
    }

    /// Puts a whole new table in place, at once: for the start.
    pub(super) fn load(&mut self, now: Time, table: Table) -> Progress {
        let mut all = Progress::default();
        self.begin(now, table);
        while self.is_changing() {
            let mut progress = self.proceed(now, usize::MAX);
            all.added.append(&mut progress.added);
            all.changed.append(&mut progress.changed);
            all.removed.append(&mut progress.removed);
        }
        all
    }

    /// Begins to put a whole new table in place; [`Switchboard::proceed`] does
    /// it. One that was on its way already is given up.
    pub(super) fn begin(&mut self, now: Time, table: Table) {
        // What the old sweep would have taken away, that of this table will.
        self.sweep = None;
        let (routes, targets) = (table.routes().len(), table.targets().len());
        let all = targets.saturating_add(table.udp_targets().len());
        let incoming = Incoming {
            table,
            old_places: Vec::with_capacity(routes),
            ids: Vec::with_capacity(targets),
            wanted: HashSet::with_capacity(all),
            udp_ids: Vec::new(),
            checks: Vec::new(),
            names: NamedTargets::default(),
            awaits_names: false,
            give_up: now + NAME_WAIT,
        };
        let given_up = self.incoming.replace(incoming);
        self.spent.extend(given_up.map(|it| it.table));
    }

    /// Whether a change of the table is under way.
    pub(super) fn is_changing(&self) -> bool {
        self.incoming.is_some() || self.sweep.is_some() || !self.spent.is_empty()
    }

    /// Whether only answers about names can bring a change further.
    pub(super) fn awaits_names(&self) -> bool {
        self.incoming.as_ref().is_some_and(|incoming| incoming.awaits_names)
    }

    /// When names are waited for no longer, if only they are waited for.
    pub(super) fn give_up(&self) -> Option<Time> {
        self.incoming.as_ref().filter(|it| it.awaits_names).map(|it| it.give_up)
    }

    /// Whether a table is on its way that does not serve yet.
    pub(super) fn is_preparing(&self) -> bool {
        self.incoming.is_some()
    }

    /// Goes on with a change of the table, for about `steps` routes or
    /// targets. The new table serves from one moment to the next, when all of
    /// its targets are known. Targets and routes that stay keep their state:
    /// a target its health, a route whose turn it is.
    pub(super) fn proceed(&mut self, now: Time, steps: usize) -> Progress {
        let mut progress = Progress::default();
        if let Some(mut incoming) = self.incoming.take() {
            if self.prepare(now, steps, &mut incoming, &mut progress) {
                self.switch_to(incoming);
            } else {
                self.incoming = Some(incoming);
            }
        } else if let Some(mut sweep) = self.sweep.take() {
            match self.remove_unwanted(steps, &mut sweep, &mut progress) {
                true => self.swept = true,
                false => self.sweep = Some(sweep),
            }
        } else if self.spent.last_mut().is_some_and(|table| !table.dismantle(steps)) {
            self.spent.pop();
        }
        progress
    }

    /// Says whether all is ready.
    fn prepare(
        &mut self,
        now: Time,
        steps: usize,
        incoming: &mut Incoming,
        progress: &mut Progress,
    ) -> bool {
        let Incoming { table, old_places, ids, wanted, udp_ids, checks, names, .. } = incoming;
        let mut left = steps;
        for route in table.routes().iter().skip(old_places.len()).take(left) {
            old_places.push(self.table.lookup(route.source()).map(Route::place));
            left = left.saturating_sub(1);
        }
        for options in table.checks().iter().skip(checks.len()).take(left) {
            checks.push(Rc::new(super::checks::wanted(options)));
            left = left.saturating_sub(1);
        }
        let known = ids.len();
        for (place, (service, address)) in table.targets().iter().enumerate().skip(known).take(left)
        {
            let check = table.target_check(place).and_then(|at| checks.get(at));
            let it = self.targets.ensure(now, Transport::Tcp, service, *address, check);
            progress.added.extend(it.is_new.then_some(it.id));
            progress.changed.extend(it.is_changed.then_some(it.id));
            ids.push(it.id);
            wanted.insert(it.id);
            left = left.saturating_sub(1);
        }
        for (service, address) in table.udp_targets().iter().skip(udp_ids.len()).take(left) {
            let id = self.ensure_udp(now, service, *address);
            udp_ids.push(id);
            wanted.insert(id);
            left = left.saturating_sub(1);
        }
        for place in (names.len()..table.names().len()).take(left) {
            let mut moved = Moved::default();
            let (answers, targets) = (&mut self.answers, &mut self.targets);
            let check = table.name_check(place).and_then(|at| checks.get(at));
            let target = answers.target(now, targets, table, place, check, &mut moved);
            target.into_iter().for_each(|target| names.push(target));
            progress.added.append(&mut moved.added);
            progress.changed.append(&mut moved.changed);
            wanted.extend(moved.kept);
        }
        let is_listed = old_places.len() == table.routes().len()
            && ids.len() == table.targets().len()
            && udp_ids.len() == table.udp_targets().len()
            && names.len() == table.names().len();
        // A route whose targets get other names must not be without any for
        // the time that it takes to look them up.
        let waits = self.loaded && now < incoming.give_up && !self.answers.are_there(names);
        incoming.awaits_names = is_listed && waits;
        is_listed && !waits
    }

    fn switch_to(&mut self, incoming: Incoming) {
        self.picker.change_table(incoming.old_places);
        self.ids = incoming.ids;
        self.names = incoming.names;
        self.answers.keep_only(&self.names);
        self.missing.take();
        self.udp.switch_to(incoming.udp_ids);
        self.spent.push(std::mem::replace(&mut self.table, incoming.table));
        self.sweep = Some(Sweep { wanted: incoming.wanted, from: 0 });
        self.loaded = true;
        self.tables = self.tables.wrapping_add(1);
        self.changed = true;
        self.switched = true;
    }

    /// Says whether it met the last target.
    fn remove_unwanted(
        &mut self,
        steps: usize,
        sweep: &mut Sweep,
        progress: &mut Progress,
    ) -> bool {
        for _ in 0..steps {
            let Some(id) = self.targets.id_from(sweep.from) else { return true };
            if !sweep.wanted.contains(&id) {
                let is_udp =
                    self.targets.get(id).is_some_and(|it| it.transport() == Transport::Udp);
                match is_udp {
                    true => self.udp.retired.push(id),
                    false => progress.removed.push(id),
                }
                self.targets.remove(id);
                self.changed = true;
            }
            match id.checked_add(1) {
                Some(next) => sweep.from = next,
                None => return true,
            }
        }
        false
    }

    /// Tells the data plane what a change of the table means to it. Who is to be
    /// cut is found when no other table is on its way, which may bring targets
    /// back.
    pub(super) fn tell(&mut self, proxy: &mut Proxy, is_settled: bool) {
        if std::mem::take(&mut self.switched) {
            let ports = self.table.dynamic_ports().iter();
            proxy.set_ports(ports.map(|dynamic| dynamic.port).collect());
        }
        if is_settled && std::mem::take(&mut self.swept) {
            proxy.targets_changed();
        }
    }

    /// Picks targets otherwise from now on.
    pub(super) fn set_picker(&mut self, picker: Picker) {
        self.picker = picker;
    }

    /// Most connections to one service, where no route says otherwise; zero: any
    /// number.
    pub(super) fn set_service_limit(&mut self, limit: u32) {
        self.service_limit = limit;
    }

    #[cfg(any(test, feature = "http"))]
    pub(super) fn targets(&self) -> &Targets {
        &self.targets
    }

    pub(super) fn table(&self) -> &Table {
        &self.table
    }

    /// Names the listeners, of connections and of datagrams, that have no route.
    pub(super) fn warn_of_missing_routes(&self, proxy: &Proxy) {
        let warn = |address: SocketAddr, effect: &str, expected: &str| {
            warn!(
                "route event=missing listener={address} effect={} expected={}",
                quoted(effect),
                quoted(expected)
            );
        };
        let port = |address: SocketAddr, scheme: &str| {
            format!("route add SERVICE :{} {scheme}://IP:PORT", address.port())
        };
        for address in proxy.listening_on() {
            if !proxy.waits_for_names(address) && self.table.lookup_address(address).is_none() {
                warn(address, "connections are closed", &port(address, "tcp"));
            } else if proxy.waits_for_names(address) && !self.table.has_names() {
                warn(address, "connections are closed", "route add SERVICE NAME/ tcp://IP:PORT");
            }
        }
        for address in proxy.listening_for_datagrams_on() {
            if self.table.lookup_udp(*address).is_none() {
                warn(*address, "datagrams are dropped", &port(*address, "udp"));
            }
        }
    }

    /// How many tables have come into force.
    pub(super) fn tables(&self) -> u64 {
        self.tables
    }

    /// Whether a first table was loaded.
    pub(super) fn is_loaded(&self) -> bool {
        self.loaded
    }

    /// Whether a fact that the announcer reads changed since the last call.
    pub(super) fn take_changed(&mut self) -> bool {
        std::mem::take(&mut self.changed)
    }

    /// Whether [`Switchboard::take_changed`] would say yes.
    pub(super) fn has_changed(&self) -> bool {
        self.changed
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::daemon::picking::testing::{pick, switchboard, table, target};

    #[test]
    fn state_survives_a_new_table_and_only_for_what_stays() {
        let mut board = switchboard(
            "route add a :80 tcp://192.0.2.1:1\nroute add a :80 tcp://192.0.2.1:2\n\
             route add a :81 tcp://192.0.2.1:1\nroute add a :81 tcp://192.0.2.1:2",
            1,
        );
        board.checked(Time::ZERO, 0, Ok(()));
        board.checked(Time::ZERO, 1, Ok(()));
        assert_eq!(pick(&mut board, "0.0.0.0:80", "10.0.0.1"), target(1));
        assert_eq!(pick(&mut board, "0.0.0.0:81", "10.0.0.1"), target(1));
        let progress = board.load(
            Time::ZERO,
            table(
                "route add c :79 tcp://192.0.2.1:1\nroute add a :80 tcp://192.0.2.1:1\n\
                 route add a :80 tcp://192.0.2.1:3",
            ),
        );
        let port = |id: &u32| board.targets().get(*id).unwrap().address().port();
        let ports: Vec<u16> = progress.added.iter().map(port).collect();
        assert_eq!((ports.as_slice(), progress.removed), ([1, 3].as_slice(), vec![1]));
        let counts = board.targets().counts();
        assert_eq!((counts.healthy, counts.total), (1, 3));
        board.checked(Time::ZERO, progress.added[1], Ok(()));
        assert_eq!(pick(&mut board, "0.0.0.0:80", "10.0.0.1"), target(3), "it is its turn");
        let text = "route add a :81 tcp://192.0.2.1:1\nroute add a :81 tcp://192.0.2.1:2";
        board.load(Time::ZERO, table(text));
        assert_eq!(pick(&mut board, "0.0.0.0:81", "10.0.0.1"), target(1), "it was gone");
    }

    #[test]
    fn a_table_is_put_in_place_piece_by_piece_and_serves_at_once() {
        let text = |service: &str, first: u16| -> String {
            let line = |port| format!("route add {service} :{port} tcp://192.0.2.1:{port}\n");
            (first..first + 100).map(line).collect()
        };
        let mut board = switchboard(&text("a", 1), 1);
        board.take_changed();
        board.begin(Time::ZERO, table(&text("a", 51)));
        let (mut added, mut removed, mut pieces) = (0, 0, 0);
        while board.is_changing() {
            let progress = board.proceed(Time::ZERO, 10);
            assert!(progress.added.len() <= 10 && progress.removed.len() <= 10);
            added += progress.added.len();
            removed += progress.removed.len();
            pieces += 1;
            let old = pick(&mut board, "0.0.0.0:1", "10.0.0.1") == target(1);
            let new = pick(&mut board, "0.0.0.0:150", "10.0.0.1") == target(150);
            assert!(old != new, "one table or the other, whole");
            assert_eq!(new, added == 50 && board.incoming.is_none());
        }
        assert_eq!((added, removed), (50, 50));
        assert!(pieces >= 40, "{pieces}");
        assert_eq!(board.targets().counts().total, 100);
        assert!(board.take_changed());
    }

    #[test]
    fn a_table_that_is_overtaken_leaves_nothing_behind() {
        let line = |port: u16| format!("route add a :{port} tcp://192.0.2.1:{port}\n");
        let text: String = (1..50).map(line).collect();
        let mut board = switchboard("route add a :80 tcp://192.0.2.1:80", 1);
        // One is given up while it is prepared, one while the old targets go.
        board.begin(Time::ZERO, table(&text));
        for _ in 0..12 {
            board.proceed(Time::ZERO, 5);
        }
        assert!(board.incoming.is_some() && board.targets().counts().total > 1);
        board.begin(Time::ZERO, table("route add a :81 tcp://192.0.2.1:81"));
        while board.incoming.is_some() {
            board.proceed(Time::ZERO, 5);
        }
        assert!(board.sweep.is_some());
        board.begin(Time::ZERO, table("route add a :82 tcp://192.0.2.1:80"));
        while board.is_changing() {
            board.proceed(Time::ZERO, 5);
        }
        assert_eq!(board.targets().counts().total, 1);
        assert_eq!(pick(&mut board, "0.0.0.0:82", "10.0.0.1"), target(80));
    }
}
