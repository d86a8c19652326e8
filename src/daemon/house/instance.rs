//! The process as a whole.

use super::{count, millis, since};
use crate::admin::Moment;
use crate::admin::view::{
    HealthView, InstanceState, InstanceView, ListenerView, MaintenanceView, RegistryView, StopView,
};
use crate::announce::drain::Step;
use crate::announce::{Maintenance, TargetFact};
use crate::config::{Backend, ListenerConfig, Protocol};
use crate::daemon::Daemon;
use crate::proxy::Listening;
use crate::reactor::Time;

/// Where the process has got to on the way to being able to serve.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Readiness {
    /// It can.
    Ready,
    /// It cannot yet, because something is to be known first.
    Awaiting(String),
    /// It cannot.
    NotReady(String),
}

impl Daemon {
    /// See [`crate::admin::House::instance`].
    pub(super) fn tell_instance(&self, at: &Moment) -> InstanceView {
        let readiness = self.readiness(at.now);
        let flows = self.proxy.flows().count;
        InstanceView {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            pid: std::process::id(),
            started_ms_ago: since(at.now, Time::ZERO),
            state: self.state(&readiness),
            health: self.health_view(at.now, readiness),
            stop: self.stop_view(at.now),
            maintenance: self.maintenance().map(|it| self.maintenance_view(at.now, it)),
            registry: self.registry_view(at.now),
            listeners: self.listener_views(),
            dynamic_listeners: count(self.proxy.dynamic_listeners().unwrap_or(0)),
            bgp: self.config.bgp.enabled,
            connections: count(self.proxy.streams().saturating_add(flows)),
            connection_limit: count(self.proxy.connection_limit()),
            // The door has left its place while it asks.
            panics: self.panics().saturating_add(at.panics),
            longest_turn_us: u64::try_from(at.longest_turn.as_micros()).unwrap_or(u64::MAX),
        }
    }

    /// See [`crate::admin::House::health`].
    pub(super) fn tell_health(&self, now: Time) -> HealthView {
        self.health_view(now, self.readiness(now))
    }

    /// Whoever watches `/health` is to send no new clients from the first moment
    /// of a stop or of maintenance, as whoever follows the announcements.
    fn health_view(&self, now: Time, readiness: Readiness) -> HealthView {
        let mut reasons = Vec::new();
        if let Some(stop) = self.stop_view(now) {
            let left = self.drain.remaining(now).as_secs();
            reasons.push(format!("a planned stop is under way: {}, {left} s at most", stop.step));
        }
        if let Some(maintenance) = self.maintenance() {
            reasons.push(match maintenance {
                Maintenance::File { path } => format!("maintenance: {path} exists"),
                Maintenance::Operator { .. } => "maintenance: burgee drain".to_owned(),
            });
        }
        match readiness {
            Readiness::Ready => {}
            Readiness::Awaiting(why) | Readiness::NotReady(why) => reasons.push(why),
        }
        HealthView { ok: reasons.is_empty(), reasons }
    }

    fn state(&self, readiness: &Readiness) -> InstanceState {
        match readiness {
            _ if self.drain.step() != Step::Serving => InstanceState::Draining,
            _ if self.maintenance().is_some() => InstanceState::Maintenance,
            Readiness::Awaiting(_) => InstanceState::Starting,
            Readiness::Ready | Readiness::NotReady(_) => InstanceState::Serving,
        }
    }

    /// Whether clients can be served, whatever the operator wants: the listeners
    /// are open, there are routes, and a target is healthy. Where there are
    /// prefixes, one of them has to be worth to be announced, too.
    fn readiness(&self, now: Time) -> Readiness {
        let closed = self.named_listeners().find(|(_, open)| open.is_none());
        // A stop closes them on purpose.
        if let Some((closed, _)) = closed.filter(|_| self.drain.step() < Step::Finishing) {
            return Readiness::NotReady(format!("{} is not listened on", closed.address));
        }
        if !self.switchboard.is_loaded() {
            return Readiness::Awaiting("waiting for the first route table".to_owned());
        }
        // Without a listener clients are served by somebody else.
        match self.config.proxy.listeners.is_empty() {
            true => self.worth(now),
            false => match of_targets(&self.switchboard.target_fact()) {
                Readiness::Ready => self.worth(now),
                other => other,
            },
        }
    }

    /// Whether any prefix is announced, or would be if the operator had not
    /// switched everything off. One that is drained alone does not count.
    fn worth(&self, now: Time) -> Readiness {
        let (announcer, drains) = (&self.announcing.announcer, &self.announcing.drains);
        let is_switched_off = self.maintenance().is_some() || self.drain.step() != Step::Serving;
        if is_switched_off || announcer.status().is_empty() {
            return Readiness::Ready;
        }
        let left = || announcer.status().iter().filter(|status| !drains.has(&status.prefix));
        let Some(first) = left().next() else {
            return Readiness::NotReady("every prefix is drained by the operator".to_owned());
        };
        if left().any(|status| status.service_level.is_announced()) {
            return Readiness::Ready;
        }
        let text = format!("no prefix is announced; {}: {}", first.prefix, first.reason.at(now));
        match announcer.is_settled() {
            true => Readiness::NotReady(text),
            false => Readiness::Awaiting(text),
        }
    }

    fn stop_view(&self, now: Time) -> Option<StopView> {
        let step = self.drain.step();
        (step != Step::Serving).then(|| StopView {
            step: step.to_string(),
            remaining_ms: millis(self.drain.remaining(now)),
            connections: count(self.proxy.connections()),
        })
    }

    fn maintenance_view(&self, now: Time, maintenance: Maintenance) -> MaintenanceView {
        match maintenance {
            Maintenance::File { path } => MaintenanceView {
                by: path.to_string(),
                since_ms: self.tally.file_since().map_or(0, |at| since(now, at)),
            },
            Maintenance::Operator { since: at } => {
                MaintenanceView { by: "burgee drain".to_owned(), since_ms: since(now, at) }
            }
        }
    }

    fn registry_view(&self, now: Time) -> RegistryView {
        let trouble = self.routes.trouble();
        RegistryView {
            backend: match self.config.registry.backend {
                Backend::Static { .. } => "static".to_owned(),
                Backend::File { .. } => "file".to_owned(),
            },
            loaded: self.switchboard.is_loaded(),
            routes: count(self.switchboard.table().routes().len()),
            failing_ms: trouble.map(|(at, _)| since(now, at)),
            error: trouble.map(|(_, error)| error.to_owned()),
            stale: self.is_stale && trouble.is_some(),
        }
    }

    fn listener_views(&self) -> Vec<ListenerView> {
        let view = |it: &ListenerConfig, open: Option<Listening>| ListenerView {
            address: open.map_or(it.address, |open| open.address).to_string(),
            protocol: protocol(it).to_owned(),
            open: open.is_some(),
            connections: open.map_or(0, |open| count(open.connections)),
            limit: open.map_or(it.connection_limit.into(), |open| count(open.limit)),
        };
        self.named_listeners().map(|(it, open)| view(it, open)).collect()
    }

    /// The listeners that the settings name, and those of them that are open.
    fn named_listeners(&self) -> impl Iterator<Item = (&ListenerConfig, Option<Listening>)> {
        let mut places = 0..;
        let all = self.config.proxy.listeners.iter();
        all.filter(|it| it.protocol != Protocol::TcpDynamic).map(move |it| {
            let open = match it.takes_datagrams() {
                true => places.next().and_then(|place| self.proxy.datagram_listener(place)),
                false => self.proxy.listener(it.address, it.dual_stack),
            };
            (it, open)
        })
    }
}

fn of_targets(TargetFact { total, healthy, unknown, last_error }: &TargetFact) -> Readiness {
    match (total, healthy, unknown) {
        (0, _, _) => Readiness::NotReady("no target in the route table".to_owned()),
        (_, 0, 0) => {
            let error = last_error.iter().map(|error| format!("; last error: {error}"));
            let error: String = error.collect();
            Readiness::NotReady(format!("no healthy target (0 of {total}{error})"))
        }
        (_, 0, unknown) => {
            let plural = if *unknown == 1 { "" } else { "s" };
            let text = format!("waiting for the first health check of {unknown} target{plural}");
            Readiness::Awaiting(text)
        }
        _ => Readiness::Ready,
    }
}

fn protocol(listener: &ListenerConfig) -> &'static str {
    match listener.protocol {
        Protocol::Tcp => "tcp",
        Protocol::TcpSni { .. } => "tcp+sni",
        Protocol::TcpDynamic => "tcp-dynamic",
        Protocol::Udp { .. } => "udp",
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Lab, Pair, backend, free_port};
    use super::*;
    use crate::admin::House;

    fn told(lab: &Lab) -> InstanceView {
        let view = lab.daemon.instance(&lab.moment());
        assert_eq!(view.health, lab.daemon.health(&lab.moment()));
        view
    }

    #[test]
    fn a_start_a_service_and_its_loss() {
        let backend = backend();
        let target = backend.local_addr().unwrap();
        let mut lab = Lab::new(&format!(
            "proxy.addr = 127.0.0.1:0;proto=tcp;connections=9,127.0.0.1:0;proto=udp;flows=7\n\
             registry.static.routes = route add web :80 tcp://{target}\n\
             health.interval = 20ms\nhealth.fall = 1\n"
        ));
        let view = told(&lab);
        assert_eq!(view.state, InstanceState::Starting);
        assert_eq!(view.health.reasons, ["waiting for the first health check of 1 target"]);
        assert_eq!(view.pid, std::process::id());
        let listeners: Vec<(&str, bool, u64)> =
            view.listeners.iter().map(|it| (it.protocol.as_str(), it.open, it.limit)).collect();
        assert_eq!(listeners, [("tcp", true, 9), ("udp", true, 7)]);
        assert!(view.listeners.iter().all(|it| !it.address.ends_with(":0")), "the real port");
        assert_eq!(
            view.registry,
            RegistryView {
                backend: "static".into(),
                loaded: true,
                routes: 1,
                ..RegistryView::default()
            }
        );
        lab.until(|lab| told(lab).health.ok);
        let view = told(&lab);
        assert_eq!((view.state, view.bgp), (InstanceState::Serving, false));
        assert!(view.stop.is_none() && view.maintenance.is_none());
        drop(backend);
        lab.until(|lab| !told(lab).health.ok);
        let view = told(&lab);
        assert_eq!(view.state, InstanceState::Serving, "it serves as far as it can");
        let reason = &view.health.reasons[0];
        assert!(reason.starts_with("no healthy target (0 of 1; last error: "), "{reason}");
    }

    #[test]
    fn connections_are_counted_where_they_came_in() {
        let backend = backend();
        let (port, target) = (free_port(), backend.local_addr().unwrap());
        let mut lab = Lab::new(&format!(
            "proxy.addr = 127.0.0.1:{port};proto=tcp\n\
             registry.static.routes = route add web :{port} tcp://{target}\n"
        ));
        let client = std::net::TcpStream::connect(("127.0.0.1", port)).unwrap();
        lab.until(|lab| told(lab).listeners[0].connections == 1);
        assert_eq!(told(&lab).connections, 1);
        // Who is not accepted is reset.
        drop((client, backend));
        lab.until(|lab| told(lab).connections == 0);
        assert_eq!(told(&lab).listeners[0].connections, 0);
    }

    #[test]
    fn health_is_red_from_the_first_moment_of_maintenance_and_of_a_stop() {
        let mut pair = Pair::established("proxy.deregistergraceperiod = 1h\n");
        let lab = &mut pair.one;
        assert!(told(lab).health.ok);
        let at = lab.moment();
        lab.daemon.drain(&at, None).unwrap();
        let view = told(lab);
        assert_eq!(view.state, InstanceState::Maintenance);
        assert_eq!(view.health.reasons, ["maintenance: burgee drain"]);
        assert_eq!(view.maintenance.unwrap().by, "burgee drain");
        lab.daemon.resume(&at, None).unwrap();
        assert!(told(lab).health.ok, "it is ready, though it is not announced yet");
        lab.daemon.request_stop();
        lab.until(|lab| told(lab).stop.is_some_and(|stop| stop.step == "converging"));
        let view = told(lab);
        assert_eq!((view.state, view.health.ok), (InstanceState::Draining, false));
        let stop = view.stop.unwrap();
        assert!(stop.remaining_ms > 3_000_000, "{stop:?}");
        assert!(view.health.reasons[0].starts_with("a planned stop is under way: converging, "));
    }

    #[test]
    fn health_is_red_when_every_prefix_is_drained_by_itself() {
        let more = "bgp.anycastaddresses = 198.51.100.0/24, 203.0.113.0/24\n";
        let mut pair = Pair::established(more);
        let lab = &mut pair.one;
        let at = lab.moment();
        let [one, other] = ["198.51.100.0/24", "203.0.113.0/24"].map(|it| it.parse().unwrap());
        lab.daemon.drain(&at, Some(one)).unwrap();
        assert!(told(lab).health.ok, "there is another one");
        lab.daemon.drain(&at, Some(other)).unwrap();
        assert_eq!(told(lab).health.reasons, ["every prefix is drained by the operator"]);
        lab.daemon.drain(&at, None).unwrap();
        assert_eq!(told(lab).health.reasons, ["maintenance: burgee drain"]);
        lab.daemon.resume(&at, None).unwrap();
        assert!(told(lab).health.ok);
    }

    #[test]
    fn a_maintenance_file_is_told_with_its_age() {
        let path = std::env::temp_dir().join(format!("burgee-{}-house", std::process::id()));
        std::fs::write(&path, "").unwrap();
        let mut lab = Lab::new(&format!("bgp.maintenancefile = {}\n", path.display()));
        lab.turn();
        let first = lab.moment().now;
        lab.until(|lab| lab.moment().now > first + std::time::Duration::from_millis(3));
        let view = told(&lab);
        let maintenance = view.maintenance.unwrap();
        assert_eq!(maintenance.by, path.display().to_string());
        assert!(maintenance.since_ms >= 3, "{maintenance:?}");
        let reason = format!("maintenance: {} exists", path.display());
        assert_eq!(view.health.reasons[0], reason);
        std::fs::remove_file(&path).unwrap();
        lab.until(|lab| told(lab).maintenance.is_none());
    }

    #[test]
    fn a_registry_that_fails_says_since_when_and_why() {
        let path = std::env::temp_dir().join(format!("burgee-{}-house-routes", std::process::id()));
        std::fs::write(&path, "route add web :80 tcp://192.0.2.1:80\n").unwrap();
        let mut lab = Lab::new(&format!(
            "registry.backend = file\nregistry.file.path = {}\nregistry.staleafter = 1ns\n",
            path.display()
        ));
        lab.turn();
        assert!(told(&lab).registry.failing_ms.is_none());
        std::fs::remove_file(&path).unwrap();
        lab.until(|lab| told(lab).registry.stale);
        let registry = told(&lab).registry;
        assert_eq!((registry.backend.as_str(), registry.loaded), ("file", true));
        assert!(registry.failing_ms.is_some());
        assert!(registry.error.unwrap().contains("No such file"));
    }
    /// Nothing else need happen: no check, no neighbour, no look at the file.
    #[test]
    fn a_registry_that_fails_is_stale_in_time() {
        let path = std::env::temp_dir().join(format!("burgee-{}-house-idle", std::process::id()));
        std::fs::write(&path, "route add web :80 tcp://192.0.2.1:80\n").unwrap();
        let mut lab = Lab::new(&format!(
            "registry.backend = file\nregistry.file.path = {}\nhealth.check = none\n\
             registry.file.pollinterval = 0s\nregistry.staleafter = 1h\n",
            path.display()
        ));
        while lab.daemon.routes.has_ready(&lab.daemon.switchboard) {
            lab.turn();
        }
        std::fs::remove_file(&path).unwrap();
        lab.until(|lab| told(lab).registry.failing_ms.is_some());
        let due = lab.daemon.stale_from().unwrap();
        // What the look at the file waits for comes first.
        let soon = lab.moment().now + std::time::Duration::from_secs(60);
        while lab.reactor.wheel.next_deadline().is_some_and(|at| at < soon) {
            lab.turn();
        }
        let next = lab.reactor.wheel.next_deadline();
        let tick = std::time::Duration::from_millis(1);
        assert!(next.is_some_and(|at| due <= at && at < due + tick), "it wakes up for that");
    }
}
