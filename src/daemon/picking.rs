//! Which target a client's connection gets, as the data plane asks for it: the
//! route, the picker, and the health and the load of the targets.

use std::net::SocketAddr;
use std::rc::Rc;

use log::debug;

use super::names::NamedTargets;
use super::switchboard::Switchboard;
use crate::health::{Standing, Transport};
use crate::proxy::proxy_header::Version;
use crate::proxy::{self, Client, Pick, Picked};
use crate::reactor::Time;
use crate::reactor::log_sink::quoted;
use crate::route::options::ProxyHeader;
use crate::route::{Ask, Target};

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
    names: &'a NamedTargets,
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

    /// Of the addresses that are fit one after the other.
    fn in_turn(
        self,
        target: &Target,
        turn: usize,
        is_fit: impl Fn(&Place) -> bool,
    ) -> Option<SocketAddr> {
        let fit = || self.of(target).filter(|place| is_fit(place));
        let place = fit().nth(turn.checked_rem(fit().count())?)?;
        Some(place.address)
    }
}

impl Switchboard {
    /// What may be picked, the best first. Those that are unhealthy are left
    /// alone unless the operator says otherwise: they would keep clients
    /// waiting in vain.
    pub(super) fn tiers(&self) -> &'static [Standing] {
        const TIERS: [Standing; 4] =
            [Standing::Fit, Standing::Unknown, Standing::Ejected, Standing::Unhealthy];
        match (self.targets.defaults().when_none_all, TIERS.split_last()) {
            (false, Some((_, rest))) => rest,
            _ => &TIERS,
        }
    }

    /// Picks a target of a route that lets the client in and is fit; when there
    /// is none, one that was not checked yet; then one that is healthy by its
    /// checks, but ejected; and one that is unhealthy only with
    /// `health.whennone = all`, where the dial itself is the judge. None of a
    /// service that has as many connections as it may.
    fn choose(&mut self, client: &Client<'_>, tried: &[SocketAddr]) -> Pick {
        let route = match client.hello {
            Some(hello) => self.table.lookup_name(hello.server_name.as_deref().unwrap_or("")),
            None => self.table.lookup_address(client.local),
        };
        let Some(route) = route else { return Pick::NoRoute };
        let tiers = self.tiers();
        let (targets, load) = (&self.targets, &self.load);
        let places = Places { ids: &self.ids, names: &self.names };
        let (table, limit) = (&self.table, self.service_limit);
        let source = client.source.ip();
        let offered = client.hello.map_or(&[][..], |hello| hello.alpn.as_slice());
        let protocol = route.alpn_choice(offered);
        let is_let_in =
            |target: &Target| protocol.admits(target) && target.options.access.admits(source);
        let is_new = |place: &Place| !tried.contains(&place.address);
        let standing = |place: &Place| {
            place.id.and_then(|id| targets.standing(id)).unwrap_or(Standing::Unhealthy)
        };
        let has_place = |target: &Target, tier: Standing| {
            places.of(target).any(|place| is_new(&place) && standing(&place) <= tier)
        };
        let has_room = |target: &Target| {
            let own = table.service_limit(&target.service);
            load.has_room(&target.service, own.unwrap_or(limit))
        };
        let connections = |target: &Target| {
            places
                .of(target)
                .fold(0, |sum: usize, it| sum.saturating_add(load.of_target(it.address)))
        };
        self.turn = self.turn.wrapping_add(1);
        let (picker, turn) = (&mut self.picker, self.turn);
        let picked = tiers.iter().find_map(|&tier| {
            let fit =
                |target: &Target| has_place(target, tier) && is_let_in(target) && has_room(target);
            let ask = Ask { client: source, fit: &fit, load: &connections };
            let target = picker.pick(route, &ask)?;
            let is_meant = |place: &Place| is_new(place) && standing(place) <= tier;
            Some((target, places.in_turn(target, turn, is_meant)?))
        });
        let Some((target, address)) = picked else {
            let targets = route.targets();
            let last = tiers.last().copied().unwrap_or(Standing::Fit);
            return if !targets.iter().any(is_let_in) {
                Pick::Denied
            } else if targets.iter().any(|target| has_place(target, last) && is_let_in(target)) {
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
        for id in self.targets.ids_at(Transport::Tcp, address).to_vec() {
            self.dial_failed_to(now, id, error);
        }
    }

    fn dial_succeeded(&mut self, now: Time, target: SocketAddr) {
        self.targets.dial_succeeded(now, target);
    }

    fn released(&mut self, target: &Picked) {
        self.load.remove(target);
    }

    fn is_target(&self, target: &Picked) -> bool {
        self.targets.find(Transport::Tcp, &target.service, target.address).is_some()
    }
}

/// What tests of this file and of the switchboard share.
#[cfg(test)]
pub(super) mod testing {
    use super::*;
    use crate::health::{HealthDefaults, Thresholds};
    use crate::proxy::Targets as _;
    use crate::registry::static_routes;
    use crate::route::pick::Strategy;
    use crate::route::{Picker, Table};

    pub(in crate::daemon) fn defaults(rise: u32, fall: u32) -> HealthDefaults {
        HealthDefaults { thresholds: Thresholds { rise, fall }, ..HealthDefaults::default() }
    }

    pub(in crate::daemon) fn switchboard(routes: &str, fall: u32) -> Switchboard {
        let picker = Picker::new(Strategy::RoundRobin, 1);
        let mut switchboard = Switchboard::new(picker, defaults(1, fall));
        switchboard.load(Time::ZERO, static_routes::load(routes).table);
        switchboard
    }

    pub(in crate::daemon) fn client(text: &str) -> SocketAddr {
        format!("{text}:50000").parse().unwrap()
    }

    /// Picks for a client at `listener`, with nothing tried before.
    pub(in crate::daemon) fn pick(
        switchboard: &mut Switchboard,
        listener: &str,
        from: &str,
    ) -> Pick<SocketAddr> {
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

    pub(in crate::daemon) fn picked(port: u16) -> Picked {
        let address = SocketAddr::from(([192, 0, 2, 1], port));
        Picked { address, service: "a".into(), header: None }
    }

    pub(in crate::daemon) fn target(port: u16) -> Pick<SocketAddr> {
        Pick::Target(picked(port).address)
    }

    pub(in crate::daemon) fn table(text: &str) -> Table {
        static_routes::load(text).table
    }
}

#[cfg(test)]
mod tests {
    use super::testing::{client, pick, picked, switchboard, table, target};
    use super::*;
    use crate::health::HealthDefaults;
    use crate::proxy::Targets as _;

    /// Two targets of `a`, which are healthy.
    const TWO: &str = "route add a :80 tcp://192.0.2.1:1\nroute add a :80 tcp://192.0.2.1:2";

    /// A switchboard all of whose targets are healthy.
    fn healthy(routes: &str) -> Switchboard {
        let mut switchboard = switchboard(routes, 2);
        for id in 0..switchboard.targets().counts().total {
            switchboard.checked(Time::ZERO, id.try_into().unwrap(), Ok(()));
        }
        switchboard
    }

    /// Where the next clients go.
    fn next<const N: usize>(switchboard: &mut Switchboard) -> [Pick<SocketAddr>; N] {
        [(); N].map(|()| pick(switchboard, "0.0.0.0:80", "10.0.0.1"))
    }

    fn set(switchboard: &mut Switchboard, change: impl FnOnce(&mut HealthDefaults)) {
        let mut defaults = switchboard.targets().defaults().clone();
        change(&mut defaults);
        switchboard.set_health(defaults);
    }

    #[test]
    fn a_target_whose_dials_fail_is_left_alone_and_one_that_succeeds_interrupts_a_row() {
        let mut switchboard = healthy(TWO);
        for second in 1..9 {
            let now = Time::from_millis(second * 1000);
            switchboard.dial_failed(now, &picked(1), "refused");
            switchboard.dial_failed(now, &picked(1), "refused");
            switchboard.dial_succeeded(now, picked(1).address);
        }
        assert_eq!(next(&mut switchboard), [target(1), target(2)], "two failures are no row");
        switchboard.take_changed();
        for _ in 0..3 {
            switchboard.dial_failed(Time::from_millis(9000), &picked(1), "refused");
        }
        assert_eq!(next(&mut switchboard), [target(2); 3]);
        assert!(switchboard.take_changed(), "the announcer is told");
        let fact = switchboard.target_fact();
        assert_eq!((fact.total, fact.healthy, fact.unknown), (2, 1, 0));
        assert_eq!(fact.last_error.as_deref(), Some("refused"));
        assert_eq!(switchboard.urgent.len(), 19, "and its check is made at once");
    }

    #[test]
    fn a_dial_counts_for_every_service_at_its_address() {
        let routes = format!(
            "{TWO}\nroute add b :81 tcp://192.0.2.1:1\nroute add b :81 tcp://192.0.2.1:2\n\
             route add a :82 tcp://192.0.2.1:1"
        );
        let mut switchboard = healthy(&routes);
        for _ in 0..3 {
            assert_eq!(switchboard.target_fact().healthy, 4, "it counts once for each");
            switchboard.dial_failed(Time::ZERO, &picked(1), "refused");
        }
        let ejected = ["a", "b"].map(|service| switchboard.service_counts(service).ejected);
        assert_eq!(ejected, [1, 1]);
    }

    #[test]
    fn who_is_ejected_comes_after_who_was_not_checked_and_before_who_is_unhealthy() {
        let routes =
            format!("{TWO}\nroute add a :80 tcp://192.0.2.1:3\nroute add a :80 tcp://192.0.2.1:4");
        let mut switchboard = switchboard(&routes, 1);
        let local = "0.0.0.0:80".parse().unwrap();
        let asker = Client { local, source: client("10.0.0.1"), hello: None };
        switchboard.checked(Time::ZERO, 0, Ok(()));
        switchboard.checked(Time::ZERO, 1, Ok(()));
        switchboard.checked(Time::ZERO, 3, Err("refused".to_owned()));
        (0..3).for_each(|_| switchboard.dial_failed(Time::ZERO, &picked(1), "refused"));
        let order = |switchboard: &mut Switchboard| {
            let mut tried = Vec::new();
            while let Pick::Target(picked) = switchboard.pick(Time::ZERO, &asker, &tried) {
                tried.push(picked.address);
            }
            tried.iter().map(SocketAddr::port).collect::<Vec<u16>>()
        };
        assert_eq!(order(&mut switchboard), [2, 3, 1], "one after the other, when they fail");
        set(&mut switchboard, |defaults| defaults.when_none_all = true);
        assert_eq!(order(&mut switchboard), [2, 3, 1, 4]);
    }

    #[test]
    fn without_a_healthy_target_clients_are_refused_unless_the_operator_says_otherwise() {
        let mut switchboard = healthy(TWO);
        for id in [0, 1, 0, 1] {
            switchboard.checked(Time::ZERO, id, Err("refused".to_owned()));
        }
        assert_eq!(next(&mut switchboard), [Pick::NoTarget]);
        set(&mut switchboard, |defaults| defaults.when_none_all = true);
        let mut ports = next::<2>(&mut switchboard);
        ports.sort_by_key(|pick| format!("{pick:?}"));
        assert_eq!(ports, [target(1), target(2)]);
        switchboard.checked(Time::ZERO, 1, Ok(()));
        assert_eq!(next(&mut switchboard), [target(2); 3], "one is enough for all");
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
        set(&mut switchboard, |defaults| defaults.when_none_all = true);
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
        (0..2).for_each(|id| board.checked(Time::ZERO, id, Ok(())));
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
}
