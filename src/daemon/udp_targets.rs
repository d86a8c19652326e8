//! The targets of datagrams, as the data plane asks for them.
//!
//! They are healthy until their host says that nobody listens. Each refusal
//! that a flow meets counts as a failed check, and so does each knock that is
//! refused; see [`crate::health::knock`]. Where a service has the same address
//! as a `tcp://` target as well, as DNS has, its connect check counts too: that
//! also finds hosts that are gone, of which datagrams learn nothing.

use std::net::SocketAddr;
use std::rc::Rc;

use log::debug;

use super::switchboard::Switchboard;
use crate::health::knock::Knocker;
use crate::health::{Standing, State, Targets, Transport};
use crate::proxy::Pick;
use crate::proxy::udp::UdpTargets;
use crate::reactor::log_sink::quoted;
use crate::reactor::{Reactor, Time};
use crate::route::{Ask, Target};

/// What there is to know of targets of datagrams beside their health.
#[derive(Debug, Default)]
pub(super) struct UdpHealth {
    /// For each of the table's targets of datagrams its id.
    ids: Vec<u32>,
    /// Another number after each change of routes or health.
    pub(super) epoch: u64,
    /// Targets that refused since they were last asked for.
    suspects: Vec<(u32, SocketAddr)>,
    /// Targets that are not in the routes any more.
    pub(super) retired: Vec<u32>,
}

impl UdpHealth {
    /// A new table serves, whose targets have these ids.
    pub(super) fn switch_to(&mut self, ids: Vec<u32>) {
        self.ids = ids;
        self.epoch = self.epoch.wrapping_add(1);
    }
}

impl Switchboard {
    /// Makes sure that a target of the table to come is known; returns its id.
    /// A new one is healthy: it has not refused yet.
    pub(super) fn ensure_udp(&mut self, now: Time, service: &Rc<str>, address: SocketAddr) -> u32 {
        let it = self.targets.ensure(now, Transport::Udp, service, address, None);
        if it.is_new {
            self.targets.record(it.id, now, Ok(()));
        }
        it.id
    }

    /// Lets those that refused be knocked at, and takes what came of it. They
    /// are left alone again when they are healthy.
    pub(super) fn knock(&mut self, reactor: &mut Reactor, knocker: &mut Knocker) {
        let now = reactor.now();
        for id in std::mem::take(&mut self.udp.retired) {
            knocker.retire(reactor, id);
        }
        for (id, address) in std::mem::take(&mut self.udp.suspects) {
            knocker.suspect(now, id, address);
        }
        knocker.api(reactor);
        while let Some((id, outcome)) = knocker.next_result() {
            let is_good = outcome.is_ok();
            self.checked(now, id, outcome);
            let state = self.targets.get(id).map(|target| target.machine().state());
            if is_good && state == Some(State::Healthy) {
                knocker.retire(reactor, id);
            }
        }
    }

    /// Whether somebody is to be knocked at, or no longer.
    pub(super) fn has_suspects(&self) -> bool {
        !self.udp.suspects.is_empty() || !self.udp.retired.is_empty()
    }
}

/// How a route's target stands.
fn standing(udp: &UdpHealth, targets: &Targets, target: &Target) -> Standing {
    let id = target.index.and_then(|index| udp.ids.get(index));
    id.and_then(|id| targets.standing(*id)).unwrap_or(Standing::Unhealthy)
}

impl UdpTargets for Switchboard {
    /// A target that lets the client in and is healthy; when there is none, one
    /// that is not known to be unhealthy; any only with `health.whennone = all`.
    /// Flows are no connections, so `least` takes the targets in turn.
    fn pick_udp(
        &mut self,
        _now: Time,
        local: SocketAddr,
        client: SocketAddr,
        tried: &[SocketAddr],
    ) -> Pick<SocketAddr> {
        let tiers = self.tiers();
        let (udp, targets, client) = (&self.udp, &self.targets, client.ip());
        let Some(route) = self.table.lookup_udp(local) else { return Pick::NoRoute };
        let admits = |target: &Target| target.options.access.admits(client);
        let untried = |target: &Target| {
            target.address().is_some_and(|address| !tried.contains(&address)) && admits(target)
        };
        let picker = &mut self.picker;
        let picked = tiers.iter().find_map(|&tier| {
            let fit = |target: &Target| untried(target) && standing(udp, targets, target) <= tier;
            picker.pick(route, &Ask { client, fit: &fit, load: &|_: &Target| 0 })
        });
        match picked.and_then(Target::address) {
            Some(address) => Pick::Target(address),
            None if route.targets().iter().any(admits) => Pick::NoTarget,
            None => Pick::Denied,
        }
    }

    fn is_udp_fit(&self, local: SocketAddr, client: SocketAddr, target: SocketAddr) -> bool {
        let route = self.table.lookup_udp(local);
        let mut targets = route.iter().flat_map(|route| route.targets());
        targets.any(|it| {
            it.address() == Some(target)
                && it.options.access.admits(client.ip())
                && standing(&self.udp, &self.targets, it) != Standing::Unhealthy
        })
    }

    fn udp_epoch(&self) -> u64 {
        self.udp.epoch
    }

    fn udp_refused(&mut self, now: Time, target: SocketAddr, error: &str) {
        debug!("udp event=refused target={target} error={}", quoted(error));
        for id in self.targets.ids_at(Transport::Udp, target).to_vec() {
            self.checked(now, id, Err(error.to_owned()));
            self.udp.suspects.push((id, target));
        }
    }

    fn udp_answered(&mut self, _now: Time, target: SocketAddr) {
        self.targets.answered(target);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::announce::TargetFact;
    use crate::daemon::picking::testing::defaults;
    use crate::health::HealthDefaults;
    use crate::health::knock::KnockSettings;
    use crate::reactor::poll::{self, Phases};
    use crate::reactor::{Kind, Readiness, Token};
    use crate::registry::static_routes;
    use crate::route::Picker;
    use crate::route::pick::Strategy;
    use std::net::UdpSocket;
    use std::time::Duration;

    const LOCAL: &str = "192.0.2.10:53";

    fn switchboard(routes: &str) -> Switchboard {
        let picker = Picker::new(Strategy::RoundRobin, 1);
        let mut switchboard = Switchboard::new(picker, defaults(2, 2));
        load(&mut switchboard, routes);
        switchboard
    }

    fn load(switchboard: &mut Switchboard, routes: &str) {
        switchboard.load(Time::ZERO, static_routes::load(routes).table);
    }

    fn address(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    fn fact(switchboard: &Switchboard) -> (usize, usize, usize) {
        let TargetFact { total, healthy, unknown, .. } = switchboard.target_fact();
        (total, healthy, unknown)
    }

    fn is_fit_for(switchboard: &Switchboard, local: &str, target: SocketAddr) -> bool {
        switchboard.is_udp_fit(address(local), address("198.51.100.1:9"), target)
    }

    fn pick(switchboard: &mut Switchboard) -> Pick<SocketAddr> {
        switchboard.pick_udp(Time::ZERO, address(LOCAL), address("198.51.100.1:9"), &[])
    }

    #[test]
    fn targets_are_healthy_until_they_refuse_and_then_left() {
        let routes = "route add dns :53 udp://192.0.2.1:53\nroute add dns :53 udp://192.0.2.2:53\n\
                      route add dns :53 tcp://192.0.2.3:53";
        let mut switchboard = switchboard(routes);
        assert_eq!(fact(&switchboard), (3, 2, 1), "and connections wait for their check");
        let (one, two) = (address("192.0.2.1:53"), address("192.0.2.2:53"));
        let picks = [pick(&mut switchboard), pick(&mut switchboard), pick(&mut switchboard)];
        assert_eq!(picks, [Pick::Target(one), Pick::Target(two), Pick::Target(one)]);
        let before = switchboard.udp_epoch();
        switchboard.udp_refused(Time::ZERO, one, "refused");
        assert!(is_fit_for(&switchboard, LOCAL, one), "health.fall is 2");
        assert!(switchboard.has_suspects());
        switchboard.udp_refused(Time::ZERO, one, "refused");
        assert_ne!(switchboard.udp_epoch(), before, "flows look again");
        assert!(!is_fit_for(&switchboard, LOCAL, one));
        assert_eq!(fact(&switchboard), (3, 1, 1));
        assert_eq!([0; 4].map(|_| pick(&mut switchboard)), [Pick::Target(two); 4]);
        (0..2).for_each(|_| switchboard.udp_refused(Time::ZERO, two, "refused"));
        assert_eq!(fact(&switchboard), (3, 0, 1));
        assert_eq!(pick(&mut switchboard), Pick::NoTarget);
        let before = switchboard.udp_epoch();
        switchboard.set_health(HealthDefaults { when_none_all: true, ..defaults(2, 2) });
        assert_ne!(switchboard.udp_epoch(), before, "flows look again");
        assert!(matches!(pick(&mut switchboard), Pick::Target(_)), "one that may be back");
        assert_eq!(switchboard.target_fact().last_error.as_deref(), Some("refused"));
    }

    #[test]
    fn answers_interrupt_a_row_of_refusals() {
        let mut switchboard = switchboard("route add dns :53 udp://192.0.2.1:53");
        for _ in 0..5 {
            switchboard.udp_refused(Time::ZERO, address("192.0.2.1:53"), "refused");
            switchboard.udp_answered(Time::ZERO, address("192.0.2.1:53"));
        }
        assert_eq!(fact(&switchboard), (1, 1, 0));
    }

    #[test]
    fn the_check_of_a_tcp_twin_counts_and_of_nobody_else() {
        let routes = "route add dns :53 udp://192.0.2.1:53\nroute add dns :53 tcp://192.0.2.1:53\n\
                      route add log :514 udp://192.0.2.1:53";
        let mut switchboard = switchboard(routes);
        assert_eq!(fact(&switchboard), (3, 1, 2), "it has to be checked first");
        switchboard.checked(Time::ZERO, 0, Ok(()));
        assert_eq!(fact(&switchboard), (3, 3, 0));
        let before = switchboard.udp_epoch();
        (0..2).for_each(|_| switchboard.checked(Time::ZERO, 0, Err("no answer".to_owned())));
        assert_eq!(fact(&switchboard), (3, 1, 0));
        assert_ne!(switchboard.udp_epoch(), before);
        let target = address("192.0.2.1:53");
        assert!(!is_fit_for(&switchboard, LOCAL, target));
        assert!(is_fit_for(&switchboard, "192.0.2.10:514", target));
    }

    #[test]
    fn a_new_table_keeps_what_is_known_and_lets_flows_look_again() {
        let mut switchboard = switchboard("route add dns :53 udp://192.0.2.1:53");
        let one = address("192.0.2.1:53");
        (0..2).for_each(|_| switchboard.udp_refused(Time::ZERO, one, "refused"));
        let before = switchboard.udp_epoch();
        load(
            &mut switchboard,
            "route add dns :53 udp://192.0.2.1:53\nroute add dns :53 udp://192.0.2.2:53",
        );
        assert_ne!(switchboard.udp_epoch(), before);
        assert_eq!(fact(&switchboard), (2, 1, 0));
        load(&mut switchboard, "route add dns :53 udp://192.0.2.2:53");
        assert!(!is_fit_for(&switchboard, LOCAL, one), "it is gone");
        assert_eq!(switchboard.udp.retired, [0]);
        let other = SocketAddr::new(address(LOCAL).ip(), 54);
        assert_eq!(
            switchboard.pick_udp(Time::ZERO, other, address("198.51.100.1:9"), &[]),
            Pick::NoRoute
        );
    }

    #[test]
    fn access_rules_and_addresses_hold_for_datagrams_too() {
        let routes = "route add dns :53 udp://192.0.2.1:53 opts \"deny=ip:198.51.100.1\"\n\
                      route add dns 192.0.2.11:53 udp://192.0.2.2:53 opts \"strategy=hash\"";
        let mut switchboard = switchboard(routes);
        assert_eq!(pick(&mut switchboard), Pick::Denied);
        assert!(!is_fit_for(&switchboard, LOCAL, address("192.0.2.1:53")));
        let (local, client) = (address("192.0.2.11:53"), address("198.51.100.1:9"));
        let picked = switchboard.pick_udp(Time::ZERO, local, client, &[]);
        assert_eq!(picked, Pick::Target(address("192.0.2.2:53")));
    }

    struct House(Switchboard, Knocker);

    impl Phases for House {
        fn collect(&mut self, _: &mut Reactor, token: Token, readiness: Readiness) {
            self.1.collect(token, readiness);
        }
        fn expired(&mut self, _: &mut Reactor, token: Token) {
            assert_eq!(token.kind, Kind::Knock);
            self.1.expired(token);
        }
        fn control(&mut self, _: &mut Reactor) {}
        fn apply(&mut self, _: &mut Reactor) {}
        fn data(&mut self, _: &mut Reactor) {}
        fn accept(&mut self, _: &mut Reactor) {}
        fn api(&mut self, reactor: &mut Reactor) {
            self.0.knock(reactor, &mut self.1);
        }
        fn flush(&mut self, _: &mut Reactor) {
            self.1.flush();
        }
        fn has_ready(&self) -> bool {
            self.0.has_suspects() || self.1.has_ready()
        }
        fn exit_code(&self) -> Option<i32> {
            None
        }
    }

    #[test]
    fn one_refusal_and_a_closed_port_are_enough_and_an_open_one_brings_it_back() {
        let target = UdpSocket::bind("127.0.0.1:0").unwrap();
        let at = target.local_addr().unwrap();
        drop(target);
        let switchboard = switchboard(&format!("route add dns :53 udp://{at}"));
        let (interval, timeout) = (Duration::from_millis(10), Duration::from_millis(10));
        let knocker = Knocker::new(KnockSettings { interval, timeout });
        let (mut reactor, mut house) = (Reactor::new().unwrap(), House(switchboard, knocker));
        house.0.udp_refused(reactor.now(), at, "refused");
        while fact(&house.0) != (1, 0, 0) {
            poll::turn(&mut reactor, &mut house).unwrap();
        }
        assert_eq!(house.1.targets(), 1);
        let _target = UdpSocket::bind(at).unwrap();
        while house.1.targets() > 0 {
            poll::turn(&mut reactor, &mut house).unwrap();
        }
        assert_eq!(fact(&house.0), (1, 1, 0));
        assert!(reactor.wheel.is_empty(), "who serves is left alone");
    }
}
