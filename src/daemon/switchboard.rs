//! Where a client's connection meets a target: the route table, the picker and
//! the health of the targets, as the data plane asks for them.

use std::net::SocketAddr;
use std::rc::Rc;

use log::{debug, info, warn};

use super::udp_targets::UdpHealth;
use crate::announce::TargetFact;
use crate::health::{self, Change, targets::Targets};
use crate::proxy::{self, Pick};
use crate::reactor::Time;
use crate::reactor::log_sink::quoted;
use crate::route::{Picker, Table};

/// Routes and the health of their targets.
#[derive(Debug)]
pub(super) struct Switchboard {
    pub(super) table: Rc<Table>,
    /// For each of the table's targets its id in `targets`.
    ids: Vec<u32>,
    pub(super) picker: Picker,
    pub(super) targets: Targets,
    pub(super) udp: UdpHealth,
    loaded: bool,
    pub(super) changed: bool,
}

impl Switchboard {
    pub(super) fn new(picker: Picker, targets: Targets) -> Switchboard {
        Switchboard {
            table: Rc::new(Table::default()),
            ids: Vec::new(),
            picker,
            udp: UdpHealth::new(&targets),
            targets,
            loaded: false,
            changed: false,
        }
    }

    /// Puts a whole new table in place. Targets that stay keep their state.
    /// Returns the ids that are new, with their addresses, and those that are
    /// gone.
    pub(super) fn load(&mut self, now: Time, table: Table) -> (Vec<(u32, SocketAddr)>, Vec<u32>) {
        let change = self.targets.sync(now, table.targets());
        self.ids = change.ids;
        self.udp.load(now, &table);
        self.table = Rc::new(table);
        self.loaded = true;
        self.changed = true;
        let address = |id: &u32| Some((*id, self.targets.get(*id)?.address()));
        (change.added.iter().filter_map(address).collect(), change.removed)
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
        let last_error = tcp.last_error().or_else(|| self.udp.last_error());
        TargetFact {
            total: tcp.total().saturating_add(udp.total),
            healthy: tcp.healthy_count().saturating_add(udp.healthy),
            unknown: tcp.unknown_count().saturating_add(udp.unknown),
            last_error: last_error.map(str::to_owned),
        }
    }

    /// Names the listeners, of connections and of datagrams, that have no route.
    pub(super) fn warn_of_missing_routes(&self, tcp: &[SocketAddr], udp: &[SocketAddr]) {
        let tcp = tcp.iter().map(|address| {
            (address, "connections are closed", "tcp", self.table.lookup_port(address.port()))
        });
        let udp = udp.iter().map(|address| {
            (address, "datagrams are dropped", "udp", self.table.lookup_udp_port(address.port()))
        });
        for (address, effect, scheme, _) in tcp.chain(udp).filter(|listener| listener.3.is_none()) {
            warn!(
                "route event=missing listener={address} effect=\"{effect}\" \
                 expected=\"route add SERVICE :{} {scheme}://IP:PORT\"",
                address.port()
            );
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

impl proxy::Targets for Switchboard {
    /// A target that is not known to be unhealthy; when there is none, any:
    /// the dial itself is then the judge.
    fn pick(
        &mut self,
        _now: Time,
        listener: SocketAddr,
        _client: SocketAddr,
        tried: &[SocketAddr],
    ) -> Pick {
        let Some(route) = self.table.lookup_port(listener.port()) else { return Pick::NoRoute };
        let (ids, targets) = (&self.ids, &self.targets);
        let fit = |target: &crate::route::Target| {
            let state = ids.get(target.index).and_then(|id| targets.state(*id));
            state != Some(health::State::Unhealthy)
        };
        let picked = self
            .picker
            .pick(route, &fit, tried)
            .or_else(|| self.picker.pick(route, &|_| true, tried));
        picked.map_or(Pick::NoTarget, |target| Pick::Target(target.address))
    }

    fn dial_failed(&mut self, now: Time, target: SocketAddr, error: &str) {
        debug!("proxy event=dial_failed target={target} error={}", quoted(error));
        for id in self.targets.ids_at(target).to_vec() {
            let change = self.targets.dial_failed(id, now, error.to_owned());
            self.note(id, change);
        }
    }

    fn dial_succeeded(&mut self, _now: Time, target: SocketAddr) {
        self.targets.dial_succeeded(target);
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
            switchboard.dial_failed(now, address, "refused");
            switchboard.dial_succeeded(now, address);
            assert_eq!(switchboard.targets().healthy_count(), 1, "one failure is no row");
        }
        switchboard.dial_failed(Time::from_millis(9000), address, "refused");
        switchboard.dial_failed(Time::from_millis(9001), address, "refused");
        assert_eq!(switchboard.targets().healthy_count(), 0);
    }

    #[test]
    fn a_dial_counts_for_every_service_at_its_address() {
        let routes = "route add a :80 tcp://192.0.2.1:80\nroute add b :81 tcp://192.0.2.1:80\n\
                      route add a :82 tcp://192.0.2.1:80";
        let mut switchboard = switchboard(routes, 2);
        let address = SocketAddr::from(([192, 0, 2, 1], 80));
        switchboard.checked(Time::ZERO, 0, Ok(()));
        switchboard.checked(Time::ZERO, 1, Ok(()));
        switchboard.dial_failed(Time::ZERO, address, "refused");
        assert_eq!(switchboard.targets().healthy_count(), 2, "it counts once for each");
        switchboard.dial_failed(Time::ZERO, address, "refused");
        assert_eq!(switchboard.targets().unhealthy_count(), 2);
    }
}
