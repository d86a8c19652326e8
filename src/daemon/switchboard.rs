//! Where a client's connection meets a target: the route table, the picker and
//! the health of the targets, as the data plane asks for them.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use log::{debug, info, warn};

use super::load::Load;
use super::names::{Answers, Moved, NamedTarget};
use super::udp_targets::UdpHealth;
use crate::announce::TargetFact;
use crate::health::{self, Change, targets::Targets};
use crate::proxy::proxy_header::Version;
use crate::proxy::{self, Client, Pick, Picked, Proxy};
use crate::reactor::Time;
use crate::reactor::log_sink::quoted;
use crate::route::options::ProxyHeader;
use crate::route::{Ask, Picker, Route, Table, Target};

/// Routes and the health of their targets.
#[derive(Debug)]
pub(super) struct Switchboard {
    pub(super) table: Table,
    /// For each of the table's targets its id in `targets`.
    pub(super) ids: Vec<u32>,
    /// The table's targets that are names, and what is known of names.
    pub(super) names: Vec<NamedTarget>,
    pub(super) answers: Answers,
    pub(super) picker: Picker,
    pub(super) targets: Targets,
    pub(super) udp: UdpHealth,
    load: Load,
    /// Most connections to one service; zero: any number.
    service_limit: u32,
    /// Counts picks, so that the addresses of names take turns.
    turn: usize,
    /// The table that is to come, the targets that are to go, and tables whose
    /// memory is to be given back: in this order, a piece at a time.
    pub(super) incoming: Option<Incoming>,
    pub(super) sweep: Option<Sweep>,
    spent: Vec<Table>,
    loaded: bool,
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
    pub(super) names: Vec<NamedTarget>,
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

/// One address of a target, and the number by which its health is known.
#[derive(Clone, Copy, Debug)]
struct Place {
    id: Option<u32>,
    address: SocketAddr,
}

/// Where the targets of the table are.
#[derive(Clone, Copy)]
struct Places<'a> {
    ids: &'a [u32],
    names: &'a [NamedTarget],
}

impl<'a> Places<'a> {
    /// The addresses of one: a single one, or those of its name.
    fn of(self, target: &Target) -> impl Iterator<Item = Place> + use<'a> {
        let id = target.index.and_then(|index| self.ids.get(index)).copied();
        let single = target.address().map(|address| Place { id, address });
        let named = target.name_index.and_then(|index| self.names.get(index));
        let named = named.into_iter().flat_map(|named| &named.places);
        single
            .into_iter()
            .chain(named.map(|(id, address)| Place { id: Some(*id), address: *address }))
    }
}

/// What a piece of a change of the table came to.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Progress {
    /// Targets that are new.
    pub(super) added: Vec<(u32, SocketAddr)>,
    /// Targets that are gone.
    pub(super) removed: Vec<u32>,
}

impl Switchboard {
    pub(super) fn new(picker: Picker, targets: Targets) -> Switchboard {
        Switchboard {
            table: Table::default(),
            ids: Vec::new(),
            names: Vec::new(),
            answers: Answers::default(),
            picker,
            udp: UdpHealth::new(&targets),
            targets,
            load: Load::default(),
            service_limit: 0,
            turn: 0,
            incoming: None,
            sweep: None,
            spent: Vec::new(),
            loaded: false,
            changed: false,
            switched: false,
            swept: false,
        }
    }

    /// Puts a whole new table in place, at once: for the start. Returns the
    /// targets that are new, and those that are gone.
    pub(super) fn load(&mut self, now: Time, table: Table) -> (Vec<(u32, SocketAddr)>, Vec<u32>) {
        let (mut added, mut removed) = (Vec::new(), Vec::new());
        self.begin(now, table);
        while self.is_changing() {
            let mut progress = self.proceed(now, usize::MAX);
            added.append(&mut progress.added);
            removed.append(&mut progress.removed);
        }
        (added, removed)
    }

    /// Begins to put a whole new table in place; [`Switchboard::proceed`] does
    /// it. One that was on its way already is given up.
    pub(super) fn begin(&mut self, now: Time, table: Table) {
        // What the old sweep would have taken away, that of this table will.
        self.sweep = None;
        let (routes, targets) = (table.routes().len(), table.targets().len());
        let incoming = Incoming {
            table,
            old_places: Vec::with_capacity(routes),
            ids: Vec::with_capacity(targets),
            wanted: HashSet::with_capacity(targets),
            udp_ids: Vec::new(),
            names: Vec::new(),
            awaits_names: false,
            give_up: now + NAME_WAIT,
        };
        let given_up = self.incoming.replace(incoming);
        self.spent.extend(given_up.map(|it| it.table));
    }

    /// Whether a change of the table is under way.
    pub(super) fn is_changing(&self) -> bool {
        self.incoming.is_some()
            || self.sweep.is_some()
            || self.udp.is_sweeping()
            || !self.spent.is_empty()
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
        } else if !self.udp.remove_unwanted(steps) {
            // To count them takes a walk over all, so it is done at the end.
            self.changed |= !self.udp.is_sweeping();
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
        let Incoming { table, old_places, ids, wanted, udp_ids, names, awaits_names, give_up } =
            incoming;
        let mut left = steps;
        for route in table.routes().iter().skip(old_places.len()).take(left) {
            old_places.push(self.table.lookup(route.source()).map(Route::place));
            left = left.saturating_sub(1);
        }
        let known = ids.len();
        for (service, address) in table.targets().iter().skip(known).take(left) {
            let (id, is_new) = self.targets.ensure(now, service, *address);
            progress.added.extend(is_new.then_some((id, *address)));
            ids.push(id);
            wanted.insert(id);
        }
        left = left.saturating_sub(ids.len().saturating_sub(known));
        for (service, address) in table.udp_targets().iter().skip(udp_ids.len()).take(left) {
            udp_ids.push(self.udp.ensure(now, service, *address));
        }
        for place in (names.len()..table.names().len()).take(left) {
            let mut moved = Moved::default();
            let (answers, targets) = (&mut self.answers, &mut self.targets);
            names.extend(answers.target(now, targets, table, place, &mut moved));
            progress.added.append(&mut moved.added);
            wanted.extend(moved.kept);
        }
        let is_listed = old_places.len() == table.routes().len()
            && ids.len() == table.targets().len()
            && udp_ids.len() == table.udp_targets().len()
            && names.len() == table.names().len();
        // A route whose targets get other names must not be without any for
        // the time that it takes to look them up.
        let waits = self.loaded && now < *give_up && !self.answers.are_there(names);
        *awaits_names = is_listed && waits;
        is_listed && !waits
    }

    fn switch_to(&mut self, incoming: Incoming) {
        self.picker.change_table(incoming.old_places);
        self.ids = incoming.ids;
        self.names = incoming.names;
        self.answers.keep_only(&self.names);
        self.udp.switch_to(incoming.udp_ids);
        self.spent.push(std::mem::replace(&mut self.table, incoming.table));
        self.sweep = Some(Sweep { wanted: incoming.wanted, from: 0 });
        self.loaded = true;
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
                self.targets.remove(id);
                progress.removed.push(id);
                self.changed = true;
            }
            match id.checked_add(1) {
                Some(next) => sweep.from = next,
                None => return true,
            }
        }
        false
    }

    /// Tells the data plane what a change of the table means to it.
    pub(super) fn tell(&mut self, proxy: &mut Proxy) {
        if std::mem::take(&mut self.switched) {
            let ports = self.table.dynamic_ports().iter();
            proxy.set_ports(ports.map(|dynamic| dynamic.port).collect());
        }
        if std::mem::take(&mut self.swept) {
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

    /// See [`Targets::change`].
    pub(super) fn set_thresholds(&mut self, rise: u32, fall: u32) {
        self.targets.change(rise, fall);
    }

    /// Takes the result of a check.
    pub(super) fn checked(&mut self, now: Time, id: u32, outcome: Result<(), String>) {
        let change = self.targets.record(id, now, outcome);
        self.note(id, change);
    }

    pub(super) fn targets(&self) -> &Targets {
        &self.targets
    }

    pub(super) fn table(&self) -> &Table {
        &self.table
    }

    /// What the announcer is told of the targets, of connections and of
    /// datagrams.
    pub(super) fn target_fact(&self) -> TargetFact {
        let (tcp, udp) = (&self.targets, self.udp_tally());
        let (nameless, unasked, error) = self.answers.missing(&self.names);
        let last_error = tcp.last_error().or_else(|| self.udp.last_error());
        TargetFact {
            total: tcp.total().saturating_add(udp.total).saturating_add(nameless),
            healthy: tcp.healthy_count().saturating_add(udp.healthy),
            unknown: tcp.unknown_count().saturating_add(udp.unknown).saturating_add(unasked),
            last_error: last_error.map(str::to_owned).or(error),
        }
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

    fn note(&mut self, id: u32, change: Option<Change>) {
        let (Some(change), Some(target)) = (change, self.targets.get(id)) else { return };
        self.changed = true;
        self.udp.epoch = self.udp.epoch.wrapping_add(1);
        let (service, address) = (target.service(), target.address());
        let healthy = self.targets.healthy_count();
        let total = self.targets.total();
        if change.to == health::State::Unhealthy {
            let error = target.machine().last_error().map_or("", |(_, text)| text);
            warn!(
                "health event=unhealthy service={service} target={address} error={} \
                 healthy={healthy}/{total}",
                quoted(error)
            );
        } else {
            info!(
                "health event={} service={service} target={address} healthy={healthy}/{total}",
                change.to
            );
        }
    }
}

impl Switchboard {
    /// Picks a target of a route that lets the client in and is not known to
    /// be unhealthy; when there is none, any that lets it in: the dial itself
    /// is then the judge. None of a service that has as many connections as it
    /// may.
    fn choose(&mut self, client: &Client<'_>, tried: &[SocketAddr]) -> Pick {
        let route = match client.hello {
            Some(hello) => self.table.lookup_name(hello.server_name.as_deref().unwrap_or("")),
            None => self.table.lookup_address(client.local),
        };
        let Some(route) = route else { return Pick::NoRoute };
        let (targets, load) = (&self.targets, &self.load);
        let places = Places { ids: &self.ids, names: &self.names };
        let (table, limit) = (&self.table, self.service_limit);
        let source = client.source.ip();
        let offered = client.hello.map_or(&[][..], |hello| hello.alpn.as_slice());
        let protocol = route.alpn_choice(offered);
        let is_let_in =
            |target: &Target| protocol.admits(target) && target.options.access.admits(source);
        let is_new = |place: &Place| !tried.contains(&place.address);
        let is_untried = |target: &Target| places.of(target).any(|place| is_new(&place));
        let has_room = |target: &Target| {
            let own = table.service_limit(&target.service);
            load.has_room(&target.service, own.unwrap_or(limit))
        };
        let is_served =
            |target: &Target| is_untried(target) && is_let_in(target) && has_room(target);
        let is_well = |place: &Place| {
            let state = place.id.and_then(|id| targets.state(id));
            state != Some(health::State::Unhealthy)
        };
        let is_healthy =
            |target: &Target| places.of(target).any(|place| is_new(&place) && is_well(&place));
        let connections = |target: &Target| {
            places
                .of(target)
                .fold(0, |sum: usize, it| sum.saturating_add(load.of_target(it.address)))
        };
        let healthy = |target: &Target| is_healthy(target) && is_served(target);
        let ask = |fit| Ask { client: source, fit, load: &connections };
        let picked = self
            .picker
            .pick(route, &ask(&healthy))
            .or_else(|| self.picker.pick(route, &ask(&is_served)));
        let address = picked.and_then(|target| {
            // Of several addresses of a name one after the other, and the ones
            // that are well first.
            self.turn = self.turn.wrapping_add(1);
            let untried = || places.of(target).filter(is_new);
            let well = || untried().filter(is_well);
            let turn = |count: usize| self.turn.checked_rem(count);
            let place = match turn(well().count()) {
                Some(turn) => well().nth(turn),
                None => untried().nth(turn(untried().count())?),
            };
            Some((target, place?.address))
        });
        let Some((target, address)) = address else {
            let targets = route.targets();
            return if !targets.iter().any(is_let_in) {
                Pick::Denied
            } else if targets.iter().any(|target| is_untried(target) && is_let_in(target)) {
                Pick::AtLimit
            } else {
                Pick::NoTarget
            };
        };
        let header = target.options.proxy_header.map(|version| match version {
            ProxyHeader::V1 => Version::V1,
            ProxyHeader::V2 => Version::V2,
        });
        let picked = Picked { address, service: Rc::clone(&target.service), header };
        self.load.add(&picked);
        Pick::Target(picked)
    }
}

impl proxy::Targets for Switchboard {
    fn pick(&mut self, _now: Time, client: &Client<'_>, tried: &[SocketAddr]) -> Pick {
        self.choose(client, tried)
    }

    fn dial_failed(&mut self, now: Time, target: &Picked, error: &str) {
        let address = target.address;
        debug!("proxy event=dial_failed target={address} error={}", quoted(error));
        self.load.remove(target);
        for id in self.targets.ids_at(address).to_vec() {
            let change = self.targets.dial_failed(id, now, error.to_owned());
            self.note(id, change);
        }
    }

    fn dial_succeeded(&mut self, _now: Time, target: SocketAddr) {
        self.targets.dial_succeeded(target);
    }

    fn released(&mut self, target: &Picked) {
        self.load.remove(target);
    }

    fn is_target(&self, target: &Picked) -> bool {
        self.targets.by_address(&target.service, target.address).is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proxy::Targets as _;
    use crate::registry::static_routes;
    use crate::route::pick::Strategy;

    fn switchboard(routes: &str, fall: u32) -> Switchboard {
        let picker = Picker::new(Strategy::RoundRobin, 1);
        let mut switchboard = Switchboard::new(picker, Targets::new(1, fall));
        switchboard.load(Time::ZERO, static_routes::load(routes).table);
        switchboard
    }

    #[test]
    fn a_dial_that_succeeds_interrupts_a_row_of_failures() {
        let mut switchboard = switchboard("route add web :80 tcp://192.0.2.1:80", 2);
        let address = SocketAddr::from(([192, 0, 2, 1], 80));
        switchboard.checked(Time::ZERO, 0, Ok(()));
        for second in 1..5 {
            let now = Time::from_millis(second * 1000);
            switchboard.dial_failed(now, &picked(80), "refused");
            switchboard.dial_succeeded(now, address);
            assert_eq!(switchboard.targets().healthy_count(), 1, "one failure is no row");
        }
        switchboard.dial_failed(Time::from_millis(9000), &picked(80), "refused");
        switchboard.dial_failed(Time::from_millis(9001), &picked(80), "refused");
        assert_eq!(switchboard.targets().healthy_count(), 0);
    }

    #[test]
    fn a_dial_counts_for_every_service_at_its_address() {
        let routes = "route add a :80 tcp://192.0.2.1:80\nroute add b :81 tcp://192.0.2.1:80\n\
                      route add a :82 tcp://192.0.2.1:80";
        let mut switchboard = switchboard(routes, 2);
        switchboard.checked(Time::ZERO, 0, Ok(()));
        switchboard.checked(Time::ZERO, 1, Ok(()));
        switchboard.dial_failed(Time::ZERO, &picked(80), "refused");
        assert_eq!(switchboard.targets().healthy_count(), 2, "it counts once for each");
        switchboard.dial_failed(Time::ZERO, &picked(80), "refused");
        assert_eq!(switchboard.targets().unhealthy_count(), 2);
    }

    fn client(text: &str) -> SocketAddr {
        format!("{text}:50000").parse().unwrap()
    }

    /// Picks for a client at `listener`, with nothing tried before.
    fn pick(switchboard: &mut Switchboard, listener: &str, from: &str) -> Pick<SocketAddr> {
        let asker = Client { local: listener.parse().unwrap(), source: client(from), hello: None };
        match switchboard.pick(Time::ZERO, &asker, &[]) {
            // What else there is to know of it is of interest in few tests.
            Pick::Target(picked) => Pick::Target(picked.address),
            Pick::NoRoute => Pick::NoRoute,
            Pick::NoTarget => Pick::NoTarget,
            Pick::Denied => Pick::Denied,
            Pick::AtLimit => Pick::AtLimit,
        }
    }

    fn picked(port: u16) -> Picked {
        let address = SocketAddr::from(([192, 0, 2, 1], port));
        Picked { address, service: "a".into(), header: None }
    }

    fn target(port: u16) -> Pick<SocketAddr> {
        Pick::Target(picked(port).address)
    }

    fn table(text: &str) -> Table {
        static_routes::load(text).table
    }

    #[test]
    fn access_rules_keep_clients_out() {
        let routes = "route add a :80 tcp://192.0.2.1:1 opts \"allow=ip:10.0.0.0/8\"\n\
                      route add a :80 tcp://192.0.2.1:2 opts \"deny=ip:10.0.0.0/8,ip:11.0.0.1\"\n\
                      route add a :81 tcp://192.0.2.1:3 opts \"allow=10.0.0.0/8\"";
        let mut switchboard = switchboard(routes, 2);
        for _ in 0..3 {
            assert_eq!(pick(&mut switchboard, "0.0.0.0:80", "10.0.0.1"), target(1));
            assert_eq!(pick(&mut switchboard, "0.0.0.0:80", "192.0.2.9"), target(2));
            assert_eq!(pick(&mut switchboard, "[::]:80", "[::ffff:10.0.0.1]"), target(1));
            assert_eq!(pick(&mut switchboard, "0.0.0.0:80", "11.0.0.1"), Pick::Denied);
            assert_eq!(pick(&mut switchboard, "0.0.0.0:81", "10.0.0.1"), Pick::Denied);
            assert_eq!(pick(&mut switchboard, "0.0.0.0:82", "10.0.0.1"), Pick::NoRoute);
        }
    }

    #[test]
    fn access_rules_hold_where_no_target_is_healthy() {
        let routes = "route add a :80 tcp://192.0.2.1:1\n\
                      route add a :80 tcp://192.0.2.1:2 opts \"deny=ip:10.0.0.1\"";
        let mut switchboard = switchboard(routes, 1);
        for id in [0, 1] {
            switchboard.checked(Time::ZERO, id, Err("refused".to_owned()));
        }
        for _ in 0..4 {
            assert_eq!(pick(&mut switchboard, "0.0.0.0:80", "10.0.0.1"), target(1));
        }
    }

    #[test]
    fn healthy_targets_go_first() {
        for strategy in ["rnd", "rr", "least", "hash"] {
            let line = |port| {
                format!("route add a :80 tcp://192.0.2.1:{port} opts \"strategy={strategy}\"\n")
            };
            let routes: String = (1..4).map(line).collect();
            let mut switchboard = switchboard(&routes, 1);
            for (id, outcome) in [(0, Err("refused".to_owned())), (2, Err("refused".to_owned()))] {
                switchboard.checked(Time::ZERO, id, outcome);
            }
            for _ in 0..6 {
                let pick = pick(&mut switchboard, "0.0.0.0:80", "10.0.0.1");
                assert_eq!(pick, target(2), "{strategy}");
            }
        }
    }

    #[test]
    fn targets_without_an_address_are_passed_over() {
        let routes = "route add a :80 https://backend/\n\
                      route add a :80 https://example.com/ opts \"redirect=301\"\n";
        assert_eq!(pick(&mut switchboard(routes, 1), "0.0.0.0:80", "10.0.0.1"), Pick::NoTarget);
        let routes = format!("{routes}route add a :80 http://192.0.2.1:3");
        for _ in 0..3 {
            assert_eq!(pick(&mut switchboard(&routes, 1), "0.0.0.0:80", "10.0.0.1"), target(3));
        }
    }

    #[test]
    fn tried_targets_are_passed_over() {
        let routes = "route add a :80 tcp://192.0.2.1:1\nroute add b :80 tcp://192.0.2.1:1\n\
                      route add a :80 tcp://192.0.2.1:2";
        let mut switchboard = switchboard(routes, 1);
        let mut tried = Vec::new();
        let local = "0.0.0.0:80".parse().unwrap();
        let asker = Client { local, source: client("10.0.0.1"), hello: None };
        while let Pick::Target(picked) = switchboard.pick(Time::ZERO, &asker, &tried) {
            tried.push(picked.address);
        }
        assert_eq!(tried.len(), 2, "an address is dialled once");
    }

    #[test]
    fn least_counts_connections_until_they_are_over() {
        let routes = "route add a :80 tcp://192.0.2.1:1 opts \"strategy=least\"\n\
                      route add a :80 tcp://192.0.2.1:2";
        let mut board = switchboard(routes, 9);
        board.checked(Time::ZERO, 0, Ok(()));
        let mut next = || pick(&mut board, "0.0.0.0:80", "10.0.0.1");
        assert_eq!([next(), next(), next()], [target(1), target(2), target(1)]);
        board.released(&picked(1));
        board.dial_failed(Time::ZERO, &picked(1), "refused");
        let counts = [1, 2].map(|port| board.load.of_target(picked(port).address));
        assert_eq!(counts, [0, 1]);
        // The count is the address's own, so a new table does not change it.
        board.load(Time::ZERO, table(&format!("route add b :81 tcp://192.0.2.1:1\n{routes}")));
        let mut next = || pick(&mut board, "0.0.0.0:80", "10.0.0.1");
        assert_eq!([next(), next()], [target(1), target(2)]);
        for _ in 0..9 {
            board.released(&picked(1));
            board.released(&picked(2));
        }
        let counts = [1, 2].map(|port| board.load.of_target(picked(port).address));
        assert_eq!(counts, [0, 0]);
    }

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
        let (added, removed) = board.load(
            Time::ZERO,
            table(
                "route add c :79 tcp://192.0.2.1:1\nroute add a :80 tcp://192.0.2.1:1\n\
                 route add a :80 tcp://192.0.2.1:3",
            ),
        );
        let ports: Vec<u16> = added.iter().map(|(_, address)| address.port()).collect();
        assert_eq!((ports.as_slice(), removed.as_slice()), ([1, 3].as_slice(), [1].as_slice()));
        assert_eq!((board.targets().healthy_count(), board.targets().total()), (1, 3));
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
        assert_eq!(board.targets().total(), 100);
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
        assert!(board.incoming.is_some() && board.targets().total() > 1);
        board.begin(Time::ZERO, table("route add a :81 tcp://192.0.2.1:81"));
        while board.incoming.is_some() {
            board.proceed(Time::ZERO, 5);
        }
        assert!(board.sweep.is_some());
        board.begin(Time::ZERO, table("route add a :82 tcp://192.0.2.1:80"));
        while board.is_changing() {
            board.proceed(Time::ZERO, 5);
        }
        assert_eq!(board.targets().total(), 1);
        assert_eq!(pick(&mut board, "0.0.0.0:82", "10.0.0.1"), target(80));
    }
}
