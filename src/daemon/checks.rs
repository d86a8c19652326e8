//! How the health of targets gets into the switchboard, and what it says of
//! them: checks, dials that failed, ejections, and the numbers of each service.

use std::rc::Rc;

use log::{info, warn};

use super::names::Missing;
use super::switchboard::{Progress, Switchboard};
use crate::announce::TargetFact;
use crate::health::check::Kind;
use crate::health::probe::Prober;
use crate::health::targets::Target;
use crate::health::{Change, HealthDefaults, ServiceCounts, State, Transport, Wanted};
use crate::reactor::log_sink::quoted;
use crate::reactor::{Reactor, Time};
use crate::route::{CheckKind, CheckOptions};

/// Targets that are looked at in one turn because the defaults have changed, and
/// ejections that end in one.
const PER_TURN: usize = 100;

/// `health.check`, as the checks want it.
///
/// # Errors
/// What was expected.
pub(super) fn default_kind(text: &str) -> Result<Kind, String> {
    match CheckKind::parse(text)? {
        CheckKind::Http { .. } if !cfg!(feature = "http") => {
            Err("it asks over HTTP, and this burgee was built without the feature `http`"
                .to_owned())
        }
        known => Ok(kind(&known)),
    }
}

fn kind(kind: &CheckKind) -> Kind {
    match kind {
        CheckKind::Tcp { port } => Kind::Tcp { port: *port },
        CheckKind::Http { port, path } => Kind::Http { port: *port, path: Rc::from(&**path) },
        CheckKind::None => Kind::None,
    }
}

/// What the routes ask for, as the checks want it.
pub(super) fn wanted(options: &CheckOptions) -> Wanted {
    let CheckOptions { kind: own, host, statuses, interval, timeout, rise, fall } = options;
    Wanted {
        kind: own.as_ref().map(kind),
        host: host.as_deref().map(Rc::from),
        statuses: *statuses,
        interval: *interval,
        timeout: *timeout,
        rise: *rise,
        fall: *fall,
    }
}

impl Switchboard {
    /// `health.*`: judges by these from the next result on. What is due when is
    /// changed over the next turns.
    pub(super) fn set_health(&mut self, defaults: HealthDefaults) {
        if *self.targets.defaults() == defaults {
            return;
        }
        self.targets.set_defaults(defaults);
        self.rearranging = Some(0);
        // What clients are refused may be allowed now.
        self.udp.epoch = self.udp.epoch.wrapping_add(1);
    }

    /// Lets the targets that are new be checked, those that are to be checked
    /// otherwise so, and those that are gone no longer.
    pub(super) fn hand_over(
        &mut self,
        reactor: &mut Reactor,
        prober: &mut Prober,
        progress: Progress,
    ) {
        progress.removed.into_iter().for_each(|id| prober.retire(reactor, id));
        for id in progress.added.into_iter().chain(progress.changed) {
            self.arrange(reactor, prober, id);
        }
    }

    /// Lets a target be checked as it is to be, or not at all.
    fn arrange(&mut self, reactor: &mut Reactor, prober: &mut Prober, id: u32) {
        let now = reactor.now();
        let Some(check) = self.targets.check(id) else { return };
        let Some(target) = self.targets.get(id) else { return };
        if check.kind == Kind::None {
            prober.retire(reactor, id);
            let change = self.targets.trust(id, now);
            self.note(id, change);
            return;
        }
        prober.ensure(reactor, id, target.address(), now);
        self.let_rest(reactor, prober, id);
    }

    /// Says when the next check is due.
    fn let_rest(&mut self, reactor: &mut Reactor, prober: &mut Prober, id: u32) {
        if let Some(pause) = self.targets.pause(id) {
            prober.rest(reactor, id, pause);
        }
    }

    /// Api: lets checks be made, takes what came of them, and ends ejections
    /// whose time is over.
    pub(super) fn check(&mut self, reactor: &mut Reactor, prober: &mut Prober) {
        let now = reactor.now();
        for id in std::mem::take(&mut self.urgent) {
            if let Some(least) = self.targets.haste(id) {
                prober.hurry(reactor, id, least);
            }
        }
        self.rearrange(reactor, prober);
        prober.api(reactor, &self.targets);
        while let Some((id, outcome)) = prober.next_result() {
            self.checked(now, id, outcome);
            self.let_rest(reactor, prober, id);
        }
        for _ in 0..PER_TURN {
            if !self.targets.end_ejection(now) {
                break;
            }
        }
        for id in self.targets.take_returned() {
            self.note_return(id);
        }
        prober.remind(reactor, self.targets.next_return());
    }

    /// Whether [`Switchboard::check`] has something to do by itself.
    pub(super) fn has_checks(&self) -> bool {
        !self.urgent.is_empty() || self.rearranging.is_some()
    }

    /// Goes on to let all targets be checked by other defaults.
    fn rearrange(&mut self, reactor: &mut Reactor, prober: &mut Prober) {
        for _ in 0..PER_TURN {
            let Some(from) = self.rearranging else { return };
            let found = self.targets.id_from(from);
            self.rearranging = found.and_then(|id| id.checked_add(1));
            let is_tcp = |target: &Target| target.transport() == Transport::Tcp;
            let id = found.filter(|id| self.targets.get(*id).is_some_and(is_tcp));
            id.into_iter().for_each(|id| self.arrange(reactor, prober, id));
        }
    }

    /// Takes the result of a check.
    pub(super) fn checked(&mut self, now: Time, id: u32, outcome: Result<(), String>) {
        let change = self.targets.record(id, now, outcome);
        self.note(id, change);
    }

    /// A client's connection to a target failed: that is for its check to judge,
    /// at once, and too many of them eject it.
    pub(super) fn dial_failed_to(&mut self, now: Time, id: u32, error: &str) {
        self.urgent.push(id);
        let Some(until) = self.targets.dial_failed(id, now, error.to_owned()) else { return };
        self.noted();
        let Some(target) = self.targets.get(id) else { return };
        warn!(
            "health event=ejected {} error={} time={}ms {}",
            called(target),
            quoted(error),
            until.since(now).as_millis(),
            self.share(target)
        );
    }

    /// What the facts of announcements and the flows of datagrams go by has
    /// changed.
    fn noted(&mut self) {
        self.changed = true;
        self.udp.epoch = self.udp.epoch.wrapping_add(1);
    }

    fn note_return(&mut self, id: u32) {
        self.noted();
        let Some(target) = self.targets.get(id) else { return };
        info!("health event=returned {} {}", called(target), self.share(target));
    }

    /// A target's state is another one.
    pub(super) fn note(&mut self, id: u32, change: Option<Change>) {
        let Some(change) = change else { return };
        self.noted();
        let Some(target) = self.targets.get(id) else { return };
        let (name, share) = (called(target), self.share(target));
        if change.to == State::Unhealthy {
            let error = target.machine().last_error().map_or("", |(_, text)| text);
            warn!("health event=unhealthy {name} error={} {share}", quoted(error));
        } else {
            info!("health event={} {name} {share}", change.to);
        }
    }

    /// How many of a target's service are healthy.
    fn share(&self, target: &Target) -> String {
        let counts = self.targets.service(target.service());
        format!("healthy={}/{}", counts.healthy, counts.total)
    }

    /// What the announcer is told of all targets, of connections and of
    /// datagrams.
    pub(super) fn target_fact(&self) -> TargetFact {
        fact(self.counts())
    }

    /// The same of one service.
    pub(super) fn service_fact(&self, name: &str) -> TargetFact {
        fact(self.service_counts(name))
    }

    /// How many targets there are of all services. A name without an address is
    /// one that is unknown until something was said of it, and unhealthy from
    /// then on.
    pub(super) fn counts(&self) -> ServiceCounts {
        let missing = self.missing.get_or_init(|| self.answers.missing(self.names.iter()));
        with_names(self.targets.counts(), missing.clone())
    }

    /// The same of one service.
    pub(super) fn service_counts(&self, name: &str) -> ServiceCounts {
        with_names(self.targets.service(name), self.answers.missing(self.names.of(name)))
    }

    /// All services in the order of their names, behind `after` if that is
    /// given.
    #[cfg(any(test, feature = "http"))]
    pub(super) fn services(
        &self,
        after: Option<&str>,
    ) -> impl Iterator<Item = (Rc<str>, ServiceCounts)> {
        let next = |after: Option<&str>| {
            let targets = self.targets.next_service(after);
            let names = self.names.next_service(after);
            let first = match (targets, names) {
                (Some(one), Some(other)) => one.min(other),
                (one, other) => one.or(other)?,
            };
            Some(Rc::clone(first))
        };
        let names = std::iter::successors(next(after), move |name| next(Some(name)));
        names.map(|name| {
            let counts = self.service_counts(&name);
            (name, counts)
        })
    }

    /// The targets of a service with their numbers, from this number on. How
    /// one is checked, [`Targets::check`](crate::health::Targets::check) says.
    #[cfg(any(test, feature = "http"))]
    pub(super) fn targets_of(
        &self,
        service: &str,
        from: u32,
    ) -> impl Iterator<Item = (u32, &Target)> {
        self.targets.of_service(service, from)
    }
}

fn with_names(mut counts: ServiceCounts, (nameless, unasked, error): Missing) -> ServiceCounts {
    counts.total = counts.total.saturating_add(nameless);
    counts.unknown = counts.unknown.saturating_add(unasked);
    let failed = nameless.saturating_sub(unasked);
    counts.unhealthy = counts.unhealthy.saturating_add(failed);
    counts.last_error = counts.last_error.or(error);
    counts
}

fn fact(counts: ServiceCounts) -> TargetFact {
    let ServiceCounts { total, healthy, unknown, last_error, .. } = counts;
    TargetFact { total, healthy, unknown, last_error }
}

/// A target's service and address, for the log.
fn called(target: &Target) -> String {
    let scheme = match target.transport() {
        Transport::Tcp => "",
        Transport::Udp => "udp://",
    };
    format!("service={} target={scheme}{}", target.service(), target.address())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::daemon::picking::testing::{defaults, picked, table};
    use crate::health::Standing;
    use crate::proxy::Targets as _;
    use crate::reactor::poll::{self, Phases};
    use crate::reactor::{Readiness, Token};
    use crate::resolve::{Event, Name};
    use crate::route::Picker;
    use crate::route::pick::Strategy;
    use std::net::{SocketAddr, TcpListener};
    use std::time::Duration;

    /// A switchboard and its prober, with nothing else in the loop.
    struct House {
        board: Switchboard,
        prober: Prober,
    }

    impl Phases for House {
        fn collect(&mut self, _: &mut Reactor, token: Token, readiness: Readiness) {
            self.prober.collect(token, readiness);
        }
        fn expired(&mut self, _: &mut Reactor, token: Token) {
            self.prober.expired(token);
        }
        fn control(&mut self, _: &mut Reactor) {}
        fn apply(&mut self, _: &mut Reactor) {}
        fn data(&mut self, _: &mut Reactor) {}
        fn accept(&mut self, _: &mut Reactor) {}
        fn api(&mut self, reactor: &mut Reactor) {
            self.board.check(reactor, &mut self.prober);
        }
        fn flush(&mut self, reactor: &mut Reactor) {
            self.prober.flush(reactor);
        }
        fn has_ready(&self) -> bool {
            self.prober.has_ready() || self.board.has_checks()
        }
        fn exit_code(&self) -> Option<i32> {
            None
        }
    }

    struct Lab {
        reactor: Reactor,
        house: House,
    }

    impl Lab {
        fn new(defaults: HealthDefaults, routes: &str) -> Lab {
            let board = Switchboard::new(Picker::new(Strategy::RoundRobin, 1), defaults);
            let house = House { board, prober: Prober::new(64, 1) };
            let mut lab = Lab { reactor: Reactor::new().unwrap(), house };
            lab.load(routes);
            lab
        }

        fn load(&mut self, routes: &str) {
            let now = self.reactor.now();
            let progress = self.house.board.load(now, table(routes));
            self.house.board.hand_over(&mut self.reactor, &mut self.house.prober, progress);
        }

        fn until(&mut self, done: impl Fn(&Switchboard) -> bool) {
            while !done(&self.house.board) {
                poll::turn(&mut self.reactor, &mut self.house).unwrap();
            }
        }

        fn standings(&self) -> Vec<Standing> {
            self.house.board.targets().iter().map(|(_, target)| target.standing()).collect()
        }

        fn check(&self, id: u32) -> String {
            self.house.board.targets().check(id).unwrap().to_string()
        }
    }

    fn listening() -> (TcpListener, SocketAddr) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        (listener, address)
    }

    fn closed() -> SocketAddr {
        listening().1
    }

    fn rarely() -> HealthDefaults {
        HealthDefaults { interval: Duration::from_secs(3600), ..defaults(1, 1) }
    }

    fn fact(board: &Switchboard, service: &str) -> (usize, usize, usize) {
        let TargetFact { total, healthy, unknown, .. } = board.service_fact(service);
        (total, healthy, unknown)
    }

    #[test]
    fn a_default_check_is_what_a_route_may_ask_for() {
        assert_eq!(default_kind("tcp:81"), Ok(Kind::Tcp { port: Some(81) }));
        assert_eq!(default_kind("none"), Ok(Kind::None));
        assert!(default_kind("ping").unwrap_err().starts_with("expected tcp, "));
        match cfg!(feature = "http") {
            true => assert_eq!(default_kind("http:/x").unwrap().to_string(), "http:/x"),
            false => assert!(default_kind("http:/x").unwrap_err().contains("the feature `http`")),
        }
    }

    #[test]
    fn each_target_is_checked_as_its_routes_say_and_else_as_the_defaults() {
        let (_listener, up) = listening();
        let down = closed();
        let routes = format!(
            "route add a :1 tcp://{down} opts \"check=tcp:{} rise=7\"\n\
             route add a :1 tcp://{up}\nroute add b :2 tcp://{up} opts \"fall=9 checkinterval=9s\"",
            up.port()
        );
        let mut lab = Lab::new(rarely(), &routes);
        lab.until(|board| board.target_fact().unknown == 0);
        assert_eq!(lab.standings(), [Standing::Fit; 3], "another port of the same host");
        assert_eq!(lab.check(1), "check=tcp checkinterval=1h0m0s checktimeout=1s rise=1 fall=1");
        assert_eq!(lab.check(2), "check=tcp checkinterval=9s checktimeout=1s rise=1 fall=9");
        assert!(lab.check(0).ends_with("rise=7 fall=1"));
    }

    #[test]
    fn a_new_table_changes_the_check_and_not_the_state() {
        let (_listener, up) = listening();
        let line = |opts: &str| format!("route add a :1 tcp://{up} opts \"{opts}\"");
        let mut lab = Lab::new(rarely(), &line("strategy=rr"));
        lab.until(|board| board.target_fact().healthy == 1);
        // Somebody else answers, so the next check would fail.
        let down = closed();
        lab.load(&line(&format!("check=tcp:{} checkinterval=10ms", down.port())));
        assert_eq!(lab.standings(), [Standing::Fit], "not before the next check");
        lab.until(|board| board.target_fact().healthy == 0);
        lab.load(&line("check=none"));
        assert_eq!((lab.standings(), lab.house.prober.targets()), (vec![Standing::Fit], 0));
        lab.load(&line("checkinterval=10ms check=tcp"));
        assert_eq!((lab.standings(), lab.house.prober.targets()), (vec![Standing::Fit], 1));
    }

    #[test]
    fn other_defaults_reach_all_targets_in_slices() {
        let count = 5 * PER_TURN;
        let (_listener, up) = listening();
        let line = |n: usize| format!("route add s{n} :{} tcp://127.0.1.{}:1\n", n + 1, n % 250);
        let routes: String = (0..count).map(line).collect();
        let last = format!("route add last :9999 tcp://{up} opts \"check=tcp\"");
        let off = HealthDefaults { kind: Kind::None, ..rarely() };
        let mut lab = Lab::new(off.clone(), &format!("{routes}{last}"));
        assert_eq!(lab.house.prober.targets(), 1);
        assert_eq!(lab.house.board.target_fact().healthy, count, "but for the last");
        lab.house.board.set_health(off.clone());
        assert!(!lab.house.board.has_checks(), "nothing differs");
        lab.house.board.set_health(rarely());
        for turn in 1..=5 {
            assert!(lab.house.board.has_checks());
            lab.house.board.rearrange(&mut lab.reactor, &mut lab.house.prober);
            assert_eq!(lab.house.prober.targets(), turn * PER_TURN + usize::from(turn < 6));
        }
        lab.house.board.set_health(off);
        while lab.house.board.has_checks() {
            lab.house.board.rearrange(&mut lab.reactor, &mut lab.house.prober);
        }
        assert_eq!(lab.house.prober.targets(), 1);
    }

    #[test]
    fn a_failed_dial_makes_the_check_be_made_at_once() {
        let (_listener, up) = listening();
        let slow = HealthDefaults { fast_interval: Duration::from_millis(5), ..rarely() };
        let mut lab = Lab::new(slow, &format!("route add a :1 tcp://{up}"));
        lab.until(|board| board.target_fact().healthy == 1);
        drop(_listener);
        let now = lab.reactor.now();
        lab.house.board.dial_failed_to(now, 0, "refused");
        assert!(lab.house.board.has_checks());
        // It would be an hour else.
        lab.until(|board| board.target_fact().healthy == 0);
    }

    #[test]
    fn an_ejection_ends_in_time_though_nothing_else_happens() {
        let mut short = HealthDefaults { kind: Kind::None, ..rarely() };
        short.ejection.time = Duration::from_millis(20);
        let routes = "route add a :1 tcp://192.0.2.1:1\nroute add a :1 tcp://192.0.2.1:2";
        let mut lab = Lab::new(short, routes);
        let begin = lab.reactor.now();
        for _ in 0..3 {
            lab.house.board.load.add(&picked(1));
            lab.house.board.dial_failed(begin, &picked(1), "refused");
        }
        assert_eq!(fact(&lab.house.board, "a"), (2, 1, 0));
        lab.house.board.take_changed();
        lab.until(|board| board.target_fact().healthy == 2);
        assert!(lab.reactor.now() >= begin + Duration::from_millis(20));
        assert!(lab.house.board.take_changed(), "the announcer is told");
        lab.house.api(&mut lab.reactor);
        assert!(lab.reactor.wheel.is_empty() && !lab.house.has_ready());
    }

    #[test]
    fn what_is_said_of_a_service_is_about_connections_datagrams_and_names() {
        let routes = "route add dns :53 udp://192.0.2.1:53\nroute add dns :53 tcp://192.0.2.1:53\n\
                      route add dns :53 tcp://192.0.2.2:53\nroute add web :80 tcp://web.test:80\n\
                      route add app :81 tcp://192.0.2.3:1\nroute add app :82 tcp://web.test:81";
        let mut lab = Lab::new(defaults(1, 1), routes);
        let board = &mut lab.house.board;
        assert_eq!(fact(board, "dns"), (3, 0, 3));
        for id in [0, 2] {
            board.checked(Time::ZERO, id, Ok(()));
        }
        assert_eq!(fact(board, "dns"), (3, 2, 1), "the datagrams' twin is well");
        assert_eq!((fact(board, "web"), fact(board, "app")), ((1, 0, 1), (2, 1, 1)));
        assert_eq!(fact(board, "none"), (0, 0, 0));
        let event = Event::Failed {
            name: Name::parse("web.test").unwrap(),
            error: "no such name".to_owned(),
            stale: false,
        };
        board.answers.take(&event);
        let web = board.service_counts("web");
        assert_eq!((web.total, web.unhealthy, web.unknown), (1, 1, 0));
        assert_eq!(web.last_error.as_deref(), Some("web.test: no such name"));
        assert_eq!(fact(board, "app"), (2, 1, 0));
        let names = |board: &Switchboard, after| -> Vec<String> {
            board.services(after).map(|(name, it)| format!("{name}:{}", it.total)).collect()
        };
        assert_eq!(names(board, None), ["app:2", "dns:3", "web:1"]);
        assert_eq!(names(board, Some("app")), ["dns:3", "web:1"]);
        board.checked(Time::ZERO, 1, Err("refused".to_owned()));
        let sum = board.services(None).fold((0, 0, 0, 0), |(total, healthy, unknown, bad), it| {
            let ServiceCounts { total: t, healthy: h, unknown: u, unhealthy: b, .. } = it.1;
            (total + t, healthy + h, unknown + u, bad + b)
        });
        let all = board.counts();
        assert_eq!((all.total, all.healthy, all.unknown, all.unhealthy), sum);
        let targets: Vec<String> = board.targets_of("dns", 0).map(|(_, it)| called(it)).collect();
        assert_eq!(
            targets,
            [
                "service=dns target=192.0.2.1:53",
                "service=dns target=192.0.2.2:53",
                "service=dns target=udp://192.0.2.1:53",
            ]
        );
    }

    /// What a route may say, an HTTP check can ask.
    #[cfg(feature = "http")]
    #[test]
    fn every_host_and_path_that_a_route_may_have_can_be_asked() {
        use crate::http::{Client, Content, Limits, Method, RequestHead};
        let hosts = ["a", "A-b._c:1", "192.0.2.1", "192.0.2.1:65535", "[2001:db8::1]", "[::]:80"];
        let path: String =
            (0x21..0x7f_u8).map(char::from).filter(|c| !"#\"".contains(*c)).collect();
        for host in hosts {
            let opts = format!("check=http:/{path} checkhost={host}");
            let (options, oddities) = crate::route::Options::parse(&opts);
            assert_eq!(oddities, [], "{opts}");
            let wanted = wanted(&options.check.unwrap());
            let Some(Kind::Http { path: asked, .. }) = &wanted.kind else { panic!("{wanted:?}") };
            assert_eq!((**asked).strip_prefix('/'), Some(path.as_str()));
            let head = RequestHead::new(Method::Get, asked, &wanted.host.unwrap()).unwrap();
            let mut client = Client::new(Limits::default());
            client.request(&head, Content::Length(0), &mut Vec::new()).unwrap();
        }
    }
}
