//! The daemon owns every room and carries facts from one to the other, in the
//! order of one turn of the loop. It holds the one table from token to
//! handler.

mod announcing;
mod checks;
mod load;
mod names;
mod neighbours;
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

use self::routes::Routes;
use self::switchboard::Switchboard;
use crate::announce::drain::{Drain, Step};
use crate::announce::{Announcer, TargetFact};
use crate::bfd::transport::BfdTransport;
use crate::bgp::transport::Transport;
use crate::config::{Config, Loaded, Sources};
use crate::health::knock::Knocker;
use crate::health::probe::{Prober, most_under_way};
use crate::proxy::Proxy;
use crate::proxy::access_log::{AccessLog, Format};
use crate::reactor::inotify::FileWatch;
use crate::reactor::log_sink::quoted;
use crate::reactor::signal::{Signal, Signals, descriptor_limit};
use crate::reactor::timer_wheel::Alarm;
use crate::reactor::{Kind, Reactor, Readiness, Token, fault, poll};
use crate::resolve::{Paths, Resolver};
use crate::route::Picker;

pub use self::routes_file::read_routes_file;
pub use self::run::run;
pub(crate) use self::run::seed;

/// The daemon's timer: steps of a drain.
const TIMER: Token = Token::new(Kind::Daemon, 0, 0);

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
    announcer: Announcer,
    bgp: Option<Transport>,
    bfd: BfdTransport,
    drain: Drain,
    alarm: Alarm,
    /// A fact that is no target's changed: listeners, drain.
    facts_changed: bool,
    signalled: bool,
    stop_requests: u32,
    inject_panic: bool,
    /// What a reload reads; `None`: there is nothing to read again.
    sources: Option<Sources>,
    watch: Option<FileWatch>,
    reload_requested: bool,
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
        proxy.bind(reactor, &settings::proxy(&config.proxy))?;
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
        let prefixes = bgp.iter().flat_map(|_| settings::prefixes(&config.bgp));
        let mut daemon = Daemon {
            announcer: Announcer::new(now, prefixes),
            drain: Drain::new(config.proxy.deregister_grace_period, config.proxy.shutdown_wait),
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
            sources: None,
            watch: None,
            reload_requested: false,
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
        daemon.load_routes(reactor);
        daemon.switchboard.tell(&mut daemon.proxy, true);
        daemon.proxy.change_all_ports(reactor);
        Ok(daemon)
    }

    /// The announcer, to show what is announced and why.
    pub fn announcer(&self) -> &Announcer {
        &self.announcer
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
        const KEY: &str = "log.access.format";
        let at = |text: &str| loaded.effective.with_place(KEY, text);
        match settings::access_log(&loaded.config.log.access) {
            Ok(format) => {
                let warnings = format.iter().flat_map(Format::warnings);
                (Vec::new(), warnings.map(|text| at(&format!("{KEY}: {text}"))).collect())
            }
            Err(error) => (vec![at(&error)], Vec::new()),
        }
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
        bgp.saturating_add(rest).saturating_add(names)
    }

    /// Makes the next piece of work at `place` panic: `bgp`, `bfd`, `proxy`,
    /// `names` or `shared`. It proves of the very binary that is deployed that a fault
    /// stays where it happened.
    fn inject_panic(&mut self, place: &str) {
        match (place, &mut self.bgp) {
            ("bgp", Some(bgp)) => bgp.inject_panic(),
            ("bfd", _) => self.bfd.inject_panic(),
            ("proxy", _) => self.proxy.inject_panic(true),
            ("names", _) => self.resolver.inject_panic(),
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
            Kind::Probe => self.prober.collect(token, readiness),
            Kind::Knock => self.knocker.collect(token, readiness),
            Kind::Resolver | Kind::Lookup => self.resolver.collect(token, readiness),
            Kind::BfdListener | Kind::Bfd => self.bfd.collect(token, readiness),
            Kind::Watch => {
                self.watch.iter_mut().for_each(|watch| watch.collect(token));
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
            Kind::Probe => self.prober.expired(token),
            Kind::Knock => self.knocker.expired(token),
            Kind::Resolver | Kind::Lookup => self.resolver.expired(token),
            Kind::BfdListener | Kind::Bfd => self.bfd.expired(token),
            Kind::Watch => {
                self.watch.iter_mut().for_each(|watch| watch.expired(token));
                self.routes.expired(token);
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
        self.routes.control(reactor);
        if let Some(bgp) = &mut self.bgp {
            bgp.control(reactor);
        }
        self.read_notices(reactor);
    }

    fn apply(&mut self, reactor: &mut Reactor) {
        if std::mem::take(&mut self.reload_requested) {
            self.reload(reactor);
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
        if changed || std::mem::take(&mut self.facts_changed) {
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
        self.switchboard.check(reactor, &mut self.prober);
        self.switchboard.knock(reactor, &mut self.knocker);
        self.resolver.api(reactor);
        self.resolve(reactor);
    }

    fn flush(&mut self, reactor: &mut Reactor) {
        self.proxy.flush(reactor);
        self.prober.flush(reactor);
        self.knocker.flush();
        self.resolver.flush();
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
            || self.routes.has_ready(&self.switchboard)
            || self.proxy.has_ready()
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
