//! The daemon owns every room and carries facts from one to the other, in the
//! order of one turn of the loop. It holds the one table from token to
//! handler.

mod load;
mod names;
mod picking;
mod reload;
mod routes;
mod routes_file;
mod run;
mod settings;
mod switchboard;
mod udp_targets;

use log::{Level, info, log, warn};
use mio::Interest;

use self::routes::Routes;
use self::switchboard::Switchboard;
use crate::announce::drain::{self, Drain, Step};
use crate::announce::{
    Announcer, Change, Facts, ListenerFact, PoolFact, PrefixFacts, Reason, RegistryFact, Restored,
    Stop, TargetFact,
};
use crate::bfd::transport::{BfdTransport, Notice, Ports};
use crate::bgp::message::notification::{Notification, cease};
use crate::bgp::peer::{Action, Peer};
use crate::bgp::rib::originated::Owner;
use crate::bgp::speaker::{PeerId, Speaker};
use crate::bgp::transport::Transport;
use crate::config::{Config, ListenerConfig, Loaded, Protocol, Sources};
use crate::health::knock::Knocker;
use crate::health::probe::{Prober, ProberSettings};
use crate::health::targets::Targets;
use crate::proxy::Proxy;
use crate::proxy::access_log::{AccessLog, Format};
use crate::reactor::inotify::FileWatch;
use crate::reactor::log_sink::quoted;
use crate::reactor::signal::{Signal, Signals};
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
        let health = &config.health;
        let mut proxy = Proxy::new(seed.rotate_left(7));
        proxy.bind(reactor, &settings::proxy(&config.proxy))?;
        if let Some(format) = settings::access_log(&config.log.access)? {
            proxy.log_accesses(reactor, AccessLog::stdout(format));
        }
        let picker = Picker::new(settings::strategy(config.proxy.strategy), seed);
        let mut switchboard = Switchboard::new(picker, Targets::new(health.rise, health.fall));
        switchboard.set_service_limit(config.proxy.service_limit);
        let checks = ProberSettings { interval: health.interval, timeout: health.timeout };
        let prober = Prober::new(checks, seed.rotate_left(17));
        let knocker = Knocker::new(checks);
        let routes = Routes::open(reactor, routes::source(&config.registry))?;
        let bgp = start_bgp(reactor, &config, seed.rotate_left(31))?;
        let bfd = start_bfd(reactor, &config, seed.rotate_left(47))?;
        let announcing = settings::announcing(&config.bgp);
        let rules = bgp.iter().flat_map(|_| settings::rules(&config.bgp));
        let mut daemon = Daemon {
            announcer: Announcer::new(now, announcing, rules, &Restored::default()),
            drain: Drain::new(settings::drain_limits(&config.proxy)),
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

    /// Asks for a stop, as SIGTERM does; a second time the waits are skipped.
    pub fn request_stop(&mut self) {
        self.stop_requests = self.stop_requests.saturating_add(1);
    }

    /// The step of the planned stop.
    pub fn step(&self) -> Step {
        self.drain.step()
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

    fn facts(&self) -> Facts {
        let own = PrefixFacts {
            listeners: self.listener_fact(),
            pools: vec![PoolFact { service: None, targets: self.switchboard.target_fact() }],
            drained: false,
        };
        let is_stopping = self.drain.step() != Step::Serving;
        Facts {
            table_loaded: self.switchboard.is_loaded(),
            registry: RegistryFact::Fresh,
            maintenance: None,
            stopping: is_stopping.then(|| Stop { hurried: self.drain.is_hurried() }),
            prefixes: self.announcer.rules().map(|_| own.clone()).collect(),
        }
    }

    /// The dynamic listeners are one: a single port that another process holds
    /// must not take everything else down.
    fn listener_fact(&self) -> ListenerFact {
        let dynamic = self.proxy.dynamic_listeners().map(|open| usize::from(open > 0));
        let streams = self.proxy.listening_on().len();
        let datagrams = self.proxy.listening_for_datagrams_on().len();
        let is_named = |it: &&ListenerConfig| it.protocol != Protocol::TcpDynamic;
        let named = self.config.proxy.listeners.iter().filter(is_named).count();
        ListenerFact {
            bound: streams.saturating_add(datagrams).saturating_add(dynamic.unwrap_or(0)),
            configured: named.saturating_add(usize::from(dynamic.is_some())),
        }
    }

    /// Carries the announcer's decisions into the speaker's table.
    fn announce(&mut self, reactor: &mut Reactor) {
        let facts = self.facts();
        let changes = self.announcer.update(reactor.now(), &facts);
        changes.iter().for_each(report);
        let Some(bgp) = &mut self.bgp else { return };
        let config = &self.config.bgp;
        let settled = self.announcer.is_settled();
        bgp.change(reactor, |speaker| {
            speaker.set_complete(settled);
            for change in &changes {
                match change.to.is_announced() {
                    true => {
                        let path = settings::path(config, change.prefix);
                        speaker.originate(change.prefix, Owner::Announcer, path);
                    }
                    false => {
                        speaker.withdraw(change.prefix, Owner::Announcer);
                    }
                }
            }
        });
    }

    /// What BFD finds out reaches BGP in the same turn (RFC 5882 §4.3).
    fn watch_paths(&mut self, reactor: &mut Reactor) {
        self.bfd.control(reactor);
        while let Some((id, notice)) = self.bfd.poll_notice() {
            // A session that is taken down on purpose says nothing of the path
            // (RFC 5882 §3.2).
            if let (Notice::Down { .. }, Some(bgp)) = (notice, &mut self.bgp) {
                bgp.reset(reactor, PeerId(id), Notification::cease(cease::BFD_DOWN, ""));
            }
        }
    }

    /// The path is watched while there is a session on it: some neighbours begin
    /// with BFD anew when BGP comes up, and that must not look like a loss.
    fn read_notices(&mut self, reactor: &mut Reactor) {
        let Some(bgp) = &mut self.bgp else { return };
        while let Some((id, notice)) = bgp.poll_notice() {
            match notice {
                Action::Up { .. } => watch_path(reactor, bgp, &mut self.bfd, &self.config, id),
                Action::Down { down, .. } if down.was_established => {
                    let stays = bgp.speaker().peer(id).is_some() && bgp.group(id).is_none();
                    match stays {
                        true => self.bfd.set_administratively_down(id.0, true),
                        false => self.bfd.retire(reactor, id.0),
                    }
                }
                _ => {}
            }
        }
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

    fn advance_drain(&mut self, reactor: &mut Reactor) {
        let now = reactor.now();
        for _ in 0..std::mem::take(&mut self.stop_requests) {
            let began = self.drain.step() == Step::Serving;
            self.drain.request(now);
            self.facts_changed = true;
            if began {
                info!("drain event=begun connections={}", self.proxy.connections());
                // The facts reach the neighbours before anything else is done.
                self.announce(reactor);
            } else {
                info!("drain event=hurried effect=\"waits are skipped\"");
                self.announce(reactor);
            }
        }
        while let Some(step) = self.drain.advance(now, &self.drain_facts()) {
            let limit = self.drain.remaining(now);
            info!(
                "drain event=step step={step} limit={}ms connections={}",
                limit.as_millis(),
                self.proxy.connections()
            );
            self.enter_step(reactor, step);
        }
        let deadline = self.drain.deadline(now);
        self.alarm.set(&mut reactor.wheel, TIMER, deadline);
    }

    fn drain_facts(&self) -> drain::Facts {
        drain::Facts {
            withdrawn: self.announcer.is_withdrawn(),
            acknowledged: self.bgp.as_ref().is_none_or(Transport::is_acknowledged),
            connections: self.proxy.connections(),
            bgp_closed: self.bgp.as_ref().is_none_or(Transport::is_closed),
        }
    }

    fn enter_step(&mut self, reactor: &mut Reactor, step: Step) {
        match step {
            Step::Finishing => {
                self.proxy.close_listeners(reactor, &mut self.switchboard);
                self.facts_changed = true;
            }
            Step::Closing => {
                let cut = self.proxy.connections();
                if cut > 0 {
                    warn!(
                        "drain event=cut connections={cut} reason=\"proxy.shutdownwait is over\""
                    );
                }
                self.proxy.abort_all(reactor);
                if let Some(bgp) = &mut self.bgp {
                    let cease = Notification::cease(
                        cease::ADMINISTRATIVE_SHUTDOWN,
                        "burgee was asked to stop",
                    );
                    bgp.stop(reactor, &cease);
                }
                self.bfd.retire_all(reactor);
            }
            Step::Serving
            | Step::GracefulShutdown
            | Step::Withdrawing
            | Step::Converging
            | Step::Done => {}
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

    /// Last words after a fault in shared state: a best-effort Cease, so that
    /// the neighbours withdraw at once.
    fn last_words(&mut self) {
        if let Some(bgp) = &mut self.bgp {
            let cease = Notification::cease(cease::ADMINISTRATIVE_SHUTDOWN, "internal fault");
            bgp.last_words(&cease);
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
        self.prober.api(reactor);
        while let Some((id, outcome)) = self.prober.next_result() {
            self.switchboard.checked(reactor.now(), id, outcome);
        }
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

/// One line for each decision; a withdrawal that nobody asked for is what an
/// operator looks for at night.
fn report(change: &Change) {
    let is_announced = change.to.is_announced();
    let event = match (change.from.is_announced(), is_announced) {
        (_, true) => "announced",
        (true, false) => "withdrawn",
        (false, false) => "not_announced",
    };
    let expected = matches!(
        change.reason,
        Reason::Stopping
            | Reason::Maintenance(_)
            | Reason::Drained
            | Reason::AwaitingChecks { .. }
            | Reason::Starting
    );
    let is_fall = change.to < change.from || !is_announced;
    let level = if is_fall && !expected { Level::Warn } else { Level::Info };
    log!(
        level,
        "announce event={event} prefix={} level={} reason={}",
        change.prefix,
        change.to,
        quoted(&change.reason)
    );
}

fn start_bfd(reactor: &mut Reactor, config: &Config, seed: u64) -> Result<BfdTransport, String> {
    let mut bfd = BfdTransport::new(settings::BFD_KINDS, Ports::default(), seed);
    let sessions = config.bgp.enabled.then(|| settings::bfd(&config.bgp));
    for settings in sessions.into_iter().flatten() {
        let id = settings.id;
        bfd.ensure(reactor, settings)?;
        bfd.set_administratively_down(id, true);
    }
    Ok(bfd)
}

/// Lets the BFD session with a neighbour that is up run, and makes it first
/// where the connection had to say where that is.
fn watch_path(
    reactor: &mut Reactor,
    bgp: &Transport,
    bfd: &mut BfdTransport,
    config: &Config,
    id: PeerId,
) {
    let Some(peer) = bgp.speaker().peer(id).map(Peer::settings) else { return };
    let remote = bgp.remote(id);
    let settings =
        remote.and_then(|remote| settings::bfd_at(&config.bgp, id.0, peer.audience(), remote));
    if let Some(settings) = settings
        && let Err(problem) = bfd.ensure(reactor, settings)
    {
        warn!("bfd event=not_started peer={} error={}", peer.name, quoted(problem));
    }
    bfd.set_administratively_down(id.0, false);
}

fn start_bgp(
    reactor: &mut Reactor,
    config: &Config,
    seed: u64,
) -> Result<Option<Transport>, String> {
    if !config.bgp.enabled {
        return Ok(None);
    }
    let mut speaker = Speaker::new(settings::peers(&config.bgp), seed);
    speaker.set_complete(false);
    let mut bgp = Transport::new(reactor, speaker, settings::transport(&config.bgp))?;
    bgp.start(reactor);
    Ok(Some(bgp))
}
