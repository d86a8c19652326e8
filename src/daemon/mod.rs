//! The daemon owns every room and carries facts from one to the other, in the
//! order of one turn of the loop. It holds the one table from token to
//! handler.

mod addresses;
mod announcing;
#[cfg(feature = "http")]
mod api;
#[cfg(not(feature = "http"))]
#[path = "no_api.rs"]
mod api;
mod checks;
#[cfg(feature = "http")]
mod house;
mod load;
mod manager;
mod memory;
mod names;
mod neighbours;
mod operator;
mod picking;
mod reload;
mod routes;
mod routes_file;
mod run;
mod scope;
mod settings;
mod stopping;
mod switchboard;
mod udp_targets;

use log::{info, warn};
use mio::Interest;

use self::announcing::Announcing;
use self::api::Api;
use self::memory::Memory;
use self::routes::Routes;
use self::switchboard::Switchboard;
use crate::announce::drain::{Drain, Step};
use crate::announce::{Announcer, TargetFact};
use crate::bfd::transport::BfdTransport;
use crate::bgp::transport::Transport;
use crate::config::{Config, Effective, Loaded, Sources};
use crate::health::knock::Knocker;
use crate::health::probe::{Prober, most_under_way};
use crate::proxy::Proxy;
use crate::proxy::access_log::{AccessLog, Format};
use crate::reactor::inotify::FileWatch;
use crate::reactor::log_sink::quoted;
use crate::reactor::presence::Presence;
use crate::reactor::sd_notify::Notifier;
use crate::reactor::signal::{Signal, Signals, descriptor_limit};
use crate::reactor::timer_wheel::Alarm;
use crate::reactor::{Kind, Reactor, Readiness, Token, fault, poll};
use crate::resolve::{Paths, Resolver};
use crate::route::Picker;
use crate::vip;

pub use self::routes_file::read_routes_file;
pub use self::run::run;
pub(crate) use self::run::seed;

/// The daemon's timers: steps of a drain, decisions of the announcer, addresses on
/// the host, signs of life for the service manager.
const TIMER: Token = Token::new(Kind::Daemon, 0, 0);
const ANNOUNCING_TIMER: Token = Token::new(Kind::Daemon, 0, 1);
const VIP_TIMER: Token = Token::new(Kind::Daemon, 0, 2);
const MANAGER_TIMER: Token = Token::new(Kind::Daemon, 0, 3);

/// Owns everything: see the module's page.
#[derive(Debug)]
pub struct Daemon {
    config: Config,
    signals: Signals,
    proxy: Proxy,
    switchboard: Switchboard,
    routes: Routes,
    prober: Prober,
    knocker: Knocker,
    resolver: Resolver,
    announcing: Announcing,
    bgp: Option<Transport>,
    bfd: BfdTransport,
    drain: Drain,
    alarm: Alarm,
    /// A fact that is no target's changed: listeners, drain.
    facts_changed: bool,
    signalled: bool,
    stop_requests: u32,
    inject_panic: bool,
    /// The settings in force, to be shown; the demonstration has none.
    effective: Option<Effective>,
    /// What a reload reads; `None`: there is nothing to read again.
    sources: Option<Sources>,
    watch: Option<FileWatch>,
    api: Api,
    memory: Option<Memory>,
    /// `bgp.vip`
    vip: Option<vip::Door>,
    /// `bgp.maintenancefile`
    maintenance_file: Option<Presence>,
    /// The service manager, if it wants to know.
    notifier: Option<Notifier>,
    /// The registry fails for too long.
    is_stale: bool,
    reload_requested: bool,
    /// What is counted for those who ask.
    #[cfg(feature = "http")]
    tally: house::Tally,
}

impl Daemon {
    /// Takes signals through the loop, binds the listeners, loads the routes
    /// and starts to dial.
    ///
    /// # Errors
    /// What could not be bound or read, as a sentence that says what to do.
    pub fn start(reactor: &mut Reactor, config: Config, seed: u64) -> Result<Daemon, String> {
        // First of all, so that a stop that is asked for during the start is a
        // planned one as well.
        let signals = watch_signals(reactor).map_err(|e| format!("cannot take signals: {e}"))?;
        let now = reactor.now();
        let mut proxy = Proxy::new(seed.rotate_left(7));
        proxy.bind(reactor, &settings::proxy(&config))?;
        if let Some(format) = settings::access_log(&config.log.access)? {
            proxy.log_accesses(reactor, AccessLog::stdout(format));
        }
        let picker = Picker::new(settings::strategy(config.proxy.strategy), seed);
        let mut switchboard = Switchboard::new(picker, settings::health(&config.health));
        switchboard.set_service_limit(config.proxy.service_limit);
        let prober = Prober::new(most_under_way(descriptor_limit()), seed.rotate_left(17));
        let knocker = Knocker::new(settings::knocks(&config.health));
        let routes = Routes::open(reactor, routes::source(&config.registry))?;
        let bgp = neighbours::start_bgp(reactor, &config, seed.rotate_left(31))?;
        let bfd = neighbours::start_bfd(reactor, &config, seed.rotate_left(47))?;
        let api = Api::open(reactor, &config)?;
        let (memory, restored) = memory::recall(&config, reactor.wall());
        let announcing = Announcing::new(now, &config, &restored);
        let mut daemon = Daemon {
            announcing,
            drain: Drain::new(settings::drain_limits(&config)),
            signals,
            proxy,
            switchboard,
            routes,
            prober,
            knocker,
            resolver: Resolver::new(Paths::default(), seed.rotate_left(23)),
            bgp,
            bfd,
            alarm: Alarm::new(),
            facts_changed: true,
            signalled: false,
            stop_requests: 0,
            inject_panic: false,
            effective: None,
            sources: None,
            watch: None,
            api,
            memory,
            vip: None,
            maintenance_file: None,
            notifier: None,
            is_stale: false,
            reload_requested: false,
            #[cfg(feature = "http")]
            tally: house::Tally::default(),
            config,
        };
        for address in daemon.proxy.listening_on() {
            info!("proxy event=listening address={address}");
        }
        for address in daemon.proxy.listening_for_datagrams_on() {
            info!("udp event=listening address={address}");
        }
        for address in daemon.bgp.iter().flat_map(Transport::listening_on) {
            info!("bgp event=listening address={address}");
        }
        daemon.open_vip(reactor, &restored.vips);
        daemon.warn_of_missing_addresses();
        daemon.watch_maintenance(reactor);
        daemon.load_routes(reactor);
        daemon.switchboard.tell(&mut daemon.proxy, true);
        daemon.proxy.change_all_ports(reactor);
        Ok(daemon)
    }

    /// The announcer, to show what is announced and why.
    pub fn announcer(&self) -> &Announcer {
        &self.announcing.announcer
    }

    /// How many targets are healthy, and how many there are.
    pub fn healthy(&self) -> (usize, usize) {
        let TargetFact { healthy, total, .. } = self.switchboard.target_fact();
        (healthy, total)
    }

    /// The bound addresses of the proxy's listeners.
    pub fn listening_on(&self) -> Vec<std::net::SocketAddr> {
        self.proxy.listening_on()
    }

    fn read_signals(&mut self) {
        for signal in self.signals.by_ref() {
            match signal {
                Signal::Terminate | Signal::Interrupt => {
                    info!("daemon event=signal name={signal:?}");
                    self.stop_requests = self.stop_requests.saturating_add(1);
                }
                Signal::Hangup => {
                    info!("daemon event=signal name={signal:?}");
                    self.reload_requested = true;
                }
            }
        }
    }

    /// What the rooms find wrong with a configuration that is valid as far as
    /// it goes: errors, and warnings, with their places.
    pub fn check(loaded: &Loaded) -> (Vec<String>, Vec<String>) {
        let (mut errors, mut warnings) = (Vec::new(), Vec::new());
        let at = |key: &str, text: &str| loaded.effective.with_place(key, text);
        const FORMAT: &str = "log.access.format";
        match settings::access_log(&loaded.config.log.access) {
            Ok(format) => {
                let found = format.iter().flat_map(Format::warnings);
                warnings.extend(found.map(|text| at(FORMAT, &format!("{FORMAT}: {text}"))));
            }
            Err(error) => errors.push(at(FORMAT, &error)),
        }
        const CHECK: &str = "health.check";
        let check = &loaded.config.health.check;
        if let Err(problem) = checks::default_kind(check) {
            errors.push(at(CHECK, &format!("{CHECK} = {check:?}: {problem}")));
        }
        (errors, warnings)
    }

    /// The last lines of the access log leave, as far as their reader takes
    /// them.
    fn flush_at_exit(&mut self) {
        self.proxy.flush_at_exit();
    }

    /// Panics that were caught at the edge of a connection or a session.
    pub fn panics(&self) -> u64 {
        let bgp = self.bgp.as_ref().map_or(0, Transport::panics);
        let names = self.resolver.panics();
        let rest = self.bfd.panics().saturating_add(self.proxy.panics());
        bgp.saturating_add(rest).saturating_add(names).saturating_add(self.api.panics())
    }

    /// Makes the next piece of work at `place` panic: `bgp`, `bfd`, `proxy`,
    /// `names`, `admin` or `shared`. It proves of the very binary that is deployed that a fault
    /// stays where it happened.
    fn inject_panic(&mut self, place: &str) {
        match (place, &mut self.bgp) {
            ("bgp", Some(bgp)) => bgp.inject_panic(),
            ("bfd", _) => self.bfd.inject_panic(),
            ("proxy", _) => self.proxy.inject_panic(true),
            ("names", _) => self.resolver.inject_panic(),
            ("admin", _) => self.api.inject_panic(),
            ("shared", _) => self.inject_panic = true,
            _ => warn!("daemon event=ignored BURGEE_INJECT_PANIC={}", quoted(place)),
        }
    }
}

impl poll::Phases for Daemon {
    fn collect(&mut self, _: &mut Reactor, token: Token, readiness: Readiness) {
        match token.kind {
            Kind::Signal => self.signalled = true,
            Kind::BgpListener | Kind::BgpSession | Kind::BgpPeer => {
                if let Some(bgp) = &mut self.bgp {
                    bgp.collect(token, readiness);
                }
            }
            Kind::ProxyListener
            | Kind::Client
            | Kind::Upstream
            | Kind::AccessLog
            | Kind::UdpListener
            | Kind::UdpFlow => self.proxy.collect(token, readiness),
            Kind::AdminListener | Kind::AdminConnection => self.api.collect(token, readiness),
            Kind::Probe => self.prober.collect(token, readiness),
            Kind::Knock => self.knocker.collect(token, readiness),
            Kind::Resolver | Kind::Lookup => self.resolver.collect(token, readiness),
            Kind::BfdListener | Kind::Bfd => self.bfd.collect(token, readiness),
            Kind::Watch => {
                self.watch.iter_mut().for_each(|watch| watch.collect(token));
                self.maintenance_file.iter_mut().for_each(|file| file.collect(token));
                self.routes.collect(token);
            }
            // The log sink's events stay in the reactor; guests have a house
            // of their own.
            Kind::Log
            | Kind::Daemon
            | Kind::Guest
            | Kind::GuestBgpListener
            | Kind::GuestBgpSession
            | Kind::GuestBgpPeer => {}
        }
    }

    fn expired(&mut self, reactor: &mut Reactor, token: Token) {
        match token.kind {
            Kind::BgpListener | Kind::BgpSession | Kind::BgpPeer => {
                if let Some(bgp) = &mut self.bgp {
                    bgp.expired(token);
                }
            }
            Kind::ProxyListener
            | Kind::Client
            | Kind::Upstream
            | Kind::UdpListener
            | Kind::UdpFlow => self.proxy.expired(reactor, token),
            Kind::AdminListener | Kind::AdminConnection => self.api.expired(token),
            Kind::Probe => self.prober.expired(token),
            Kind::Knock => self.knocker.expired(token),
            Kind::Resolver | Kind::Lookup => self.resolver.expired(token),
            Kind::BfdListener | Kind::Bfd => self.bfd.expired(token),
            Kind::Watch => {
                self.watch.iter_mut().for_each(|watch| watch.expired(token));
                self.routes.expired(token);
            }
            Kind::Daemon if token == ANNOUNCING_TIMER => self.announcing.expired(),
            Kind::Daemon if token == VIP_TIMER => {
                self.vip.iter_mut().for_each(|door| door.expired(token));
                // What is ours may be other addresses then.
                self.facts_changed = true;
            }
            Kind::Daemon if token == MANAGER_TIMER => {
                self.notifier.iter_mut().for_each(|notifier| notifier.expired(token));
            }
            Kind::Daemon => self.alarm.fired(),
            Kind::Signal
            | Kind::Log
            | Kind::AccessLog
            | Kind::Guest
            | Kind::GuestBgpListener
            | Kind::GuestBgpSession
            | Kind::GuestBgpPeer => {}
        }
    }

    fn control(&mut self, reactor: &mut Reactor) {
        self.watch_paths(reactor);
        if std::mem::take(&mut self.signalled) {
            self.read_signals();
        }
        if self.watch.as_mut().is_some_and(|watch| watch.poll_changed(reactor)) {
            info!("reload event=file_changed");
            self.reload_requested = true;
        }
        self.look_at_maintenance();
        if let Some(door) = &mut self.vip {
            door.control(reactor, |address| self.proxy.may_have_clients_at(address));
        }
        if let Some(notifier) = &mut self.notifier {
            notifier.control(reactor);
        }
        self.routes.control(reactor);
        if let Some(bgp) = &mut self.bgp {
            bgp.control(reactor);
        }
        self.read_notices(reactor);
    }

    fn apply(&mut self, reactor: &mut Reactor) {
        if std::mem::take(&mut self.reload_requested) {
            // In a stop it is refused, and the manager is not to hear that we are ready.
            let is_serving = self.drain.step() == Step::Serving;
            if is_serving {
                self.tell_reloading(reactor);
            }
            #[cfg(feature = "http")]
            self.tally.reload_asked();
            self.reload(reactor);
            if is_serving {
                self.tell_ready(reactor);
            }
        }
        self.advance_routes(reactor);
        if self.drain.step() != Step::Serving || self.stop_requests > 0 {
            self.advance_drain(reactor);
        }
        if self.inject_panic && self.bgp.as_ref().is_some_and(|b| b.speaker().established() > 0) {
            fault::inject("shared state");
        }
        let is_settled = !self.routes.is_busy();
        self.switchboard.tell(&mut self.proxy, is_settled);
        self.facts_changed |= self.proxy.take_listeners_changed();
        let changed = self.switchboard.take_changed();
        let is_due = self.is_decision_due(reactor.now());
        if std::mem::take(&mut self.facts_changed) || changed || is_due {
            self.announce(reactor);
        }
    }

    fn data(&mut self, reactor: &mut Reactor) {
        self.proxy.data(reactor, &mut self.switchboard);
    }

    fn accept(&mut self, reactor: &mut Reactor) {
        self.proxy.accept(reactor, &mut self.switchboard);
    }

    fn api(&mut self, reactor: &mut Reactor) {
        #[cfg(feature = "http")]
        self.tally.note(reactor, self.maintenance_file.as_ref().is_some_and(Presence::is_there));
        self.switchboard.check(reactor, &mut self.prober);
        self.switchboard.knock(reactor, &mut self.knocker);
        self.resolver.api(reactor);
        self.resolve(reactor);
        self.serve_api(reactor);
    }

    fn flush(&mut self, reactor: &mut Reactor) {
        self.proxy.flush(reactor);
        self.prober.flush(reactor);
        self.knocker.flush();
        self.resolver.flush();
        self.api.flush();
        self.bfd.flush();
        if let Some(bgp) = &mut self.bgp {
            bgp.flush();
        }
    }

    fn has_ready(&self) -> bool {
        self.facts_changed
            || self.switchboard.has_changed()
            || self.stop_requests > 0
            || self.watch.as_ref().is_some_and(FileWatch::has_ready)
            || self.maintenance_file.as_ref().is_some_and(Presence::has_ready)
            || self.routes.has_ready(&self.switchboard)
            || self.proxy.has_ready()
            || self.api.has_ready()
            || self.prober.has_ready()
            || self.switchboard.has_checks()
            || self.switchboard.has_suspects()
            || self.knocker.has_ready()
            || self.resolver.has_ready()
            || self.switchboard.answers.has_news()
            || self.bfd.has_ready()
            || self.bgp.as_ref().is_some_and(Transport::has_ready)
    }

    fn exit_code(&self) -> Option<i32> {
        (self.drain.step() == Step::Done).then_some(0)
    }
}

fn watch_signals(reactor: &mut Reactor) -> std::io::Result<Signals> {
    let mut signals = Signals::new()?;
    reactor.register(&mut signals, Token::new(Kind::Signal, 0, 0), Interest::READABLE)?;
    Ok(signals)
}
