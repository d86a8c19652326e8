//! `burgee demo`: a burgee, two backends, a client and an upstream router in
//! one process and one loop, over real loopback TCP. It tells what happens as
//! it happens, and needs no root, no configuration and nothing installed.

mod guests;
mod router;
mod story;

use std::io::{self, Write as _};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::process::ExitCode;
use std::time::Duration;

use log::LevelFilter;

use self::guests::{Guests, Host};
use self::router::Router;
use self::story::Story;
use crate::announce::drain::Step;
use crate::announce::{PrefixStatus, Reason};
use crate::config;
use crate::daemon::{Daemon, seed};
use crate::reactor::poll::{self, Phases};
use crate::reactor::timer_wheel::Alarm;
use crate::reactor::{Kind, Reactor, Readiness, Time, Token, log_sink};

const HOST: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
/// burgee's AS (RFC 5398) and addresses (RFC 5737, RFC 3849) in the story.
const ASN: u32 = 64511;
const PREFIXES: &str = "192.0.2.10/32, 2001:db8::10/128";
const NAMES: [&str; 2] = ["A", "B"];
/// fabio's port; any free one if it is taken.
const PREFERRED_PORT: u16 = 9999;
/// A pause that lets a reader follow what is told.
const PAUSE: Duration = Duration::from_millis(2500);
/// The same with `--once`, which is read afterwards.
const SHORT_PAUSE: Duration = Duration::from_millis(500);
const TIMER: Token = Token::new(Kind::Daemon, 1, 1);

/// The steps of a drain, in their order.
const STEPS: [Step; 5] =
    [Step::Withdrawing, Step::Converging, Step::Finishing, Step::Closing, Step::Done];

/// What the story is waiting for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Scene {
    /// The router to have both routes.
    Meeting,
    /// The client's requests, then the next scene.
    Requests { left: u32, next: Next },
    /// A moment, then the next scene.
    Pause { until: Time, next: Next },
    /// burgee to find one backend dead.
    OneDies,
    /// The router to have no route.
    AllDie,
    /// The router to have the routes again, and both backends to be healthy.
    Return,
    /// The reader to try things, or to press Ctrl-C.
    Open,
    /// The drain to end.
    Leaving,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    Ask,
    StopOne,
    StopAll,
    StartAll,
    Open,
    Leave,
}

struct Demo {
    daemon: Daemon,
    router: Router,
    guests: Guests,
    backends: [SocketAddr; 2],
    page: SocketAddr,
    proxy: SocketAddr,
    story: Story,
    scene: Scene,
    once: bool,
    shown: Vec<PrefixStatus>,
    step: Step,
    asked_in_drain: bool,
    asked: u32,
    lost: u32,
    alarm: Alarm,
}

/// Runs the demonstration; `once` ends it without waiting for Ctrl-C.
pub fn run(once: bool) -> ExitCode {
    // The story is told on standard output; only trouble goes to the log.
    log_sink::install(LevelFilter::Error);
    let outcome = Reactor::new().map_err(|e| e.to_string()).and_then(|mut reactor| {
        let mut demo = Demo::start(&mut reactor, once)?;
        poll::run(&mut reactor, &mut demo).map_err(|error| error.to_string())
    });
    log_sink::flush_at_exit();
    match outcome {
        Ok(0) => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(problem) => {
            let _ = writeln!(io::stderr(), "burgee demo: {problem}");
            ExitCode::FAILURE
        }
    }
}

impl Demo {
    fn start(reactor: &mut Reactor, once: bool) -> Result<Demo, String> {
        let seed = seed(reactor);
        let mut guests = Guests::default();
        let any = SocketAddr::new(HOST, 0);
        let mut open = |host| {
            guests.listen(reactor, host, any).map_err(|e| format!("cannot listen on {HOST}: {e}"))
        };
        let backends = [open(Host::Backend(0))?, open(Host::Backend(1))?];
        let page = open(Host::RouterPage)?;
        let router = Router::start(reactor, HOST, ASN, seed)?;
        let proxy = SocketAddr::new(HOST, free_port()?);
        let mut story = Story::default();
        introduce(&mut story, proxy, &backends, router.port());
        let settings = settings(proxy, &backends, router.port());
        let loaded = config::load(&settings, &[], &|_| Err(io::ErrorKind::NotFound.into()))
            .map_err(|error| format!("the built-in configuration is wrong: {error:?}"))?;
        let daemon = Daemon::start(reactor, loaded.config, seed)?;
        Ok(Demo {
            shown: daemon.announcer().status().to_vec(),
            daemon,
            router,
            guests,
            backends,
            page,
            proxy,
            story,
            scene: Scene::Meeting,
            once,
            step: Step::Serving,
            asked_in_drain: false,
            asked: 0,
            lost: 0,
            alarm: Alarm::new(),
        })
    }

    /// Tells what happened since the last turn: causes before effects, burgee
    /// before the router.
    fn narrate(&mut self, now: Time) {
        let (before, step) = (self.step, self.daemon.step());
        self.step = step;
        for passed in STEPS.into_iter().filter(|passed| before < *passed && *passed <= step) {
            self.narrate_step(now, passed);
        }
        self.narrate_announcements(now);
        for line in self.router.news() {
            self.story.say(now, "router", line);
        }
        if let Some(answer) = self.guests.take_answer() {
            self.asked = self.asked.saturating_add(1);
            let text = match answer {
                Ok(body) => format!("asks {} and is answered: {body}", self.proxy),
                Err(error) => {
                    self.lost = self.lost.saturating_add(1);
                    format!("asks {} and fails: {error}", self.proxy)
                }
            };
            self.story.say(now, "client", text);
        }
        if step == Step::Done && before < step {
            let text = format!("is gone; requests lost: {} of {}", self.lost, self.asked);
            self.story.say(now, "burgee", text);
        }
    }

    fn narrate_announcements(&mut self, now: Time) {
        let status = self.daemon.announcer().status().to_vec();
        for (old, new) in self.shown.iter().zip(&status) {
            let holds_up = |of: &PrefixStatus| matches!(of.reason, Reason::HoldingUp { .. });
            if holds_up(new) && !holds_up(old) {
                let text = format!("does not announce {} yet, {}", new.prefix, new.reason.at(now));
                self.story.say(now, "burgee", text);
            }
            if old.level != new.level {
                let verb = match new.level.is_announced() {
                    true if self.router.is_up() => "announces",
                    true => "is ready and will announce",
                    false => "withdraws",
                };
                let text = format!("{verb} {}: {}", new.prefix, new.reason);
                self.story.say(now, "burgee", text);
            }
        }
        self.shown = status;
    }

    fn narrate_step(&mut self, now: Time, step: Step) {
        let text = match step {
            Step::Withdrawing => {
                self.scene = Scene::Leaving;
                "is asked to stop: withdraws first, the session stays up"
            }
            Step::Finishing => "closes its listener, and lets open connections finish",
            Step::Closing => "ends the session with Cease/Administrative Shutdown: a planned stop",
            // That it converges is told once the router has learned of it,
            // and the end once the session has ended.
            Step::Serving | Step::GracefulShutdown | Step::Converging | Step::Done => return,
        };
        self.story.say(now, "burgee", text);
    }

    /// Moves the story on, if what it waits for has come.
    fn direct(&mut self, reactor: &mut Reactor) {
        let now = reactor.now();
        let (healthy, total) = self.daemon.healthy();
        let routes = self.router.routes();
        match self.scene {
            Scene::Meeting if routes == 2 => {
                self.story.remark(&[
                    "A route says: the way to this address is the next hop. The AS path lists the",
                    "networks (autonomous systems) on the way. When one side of the session is",
                    "silent for the hold time, the other gives it up, and its routes. Now traffic",
                    "finds this process. On a real machine the addresses also sit on `lo`; here",
                    "they do not, so the client asks the listener's own address.",
                ]);
                self.scene = Scene::Pause { until: now + self.pause(), next: Next::Ask };
            }
            Scene::Requests { left: 0, next } if !self.guests.is_busy() => {
                self.scene = Scene::Pause { until: now + self.pause(), next };
            }
            Scene::Requests { left, next } if !self.guests.is_busy() => {
                self.guests.request(reactor, self.proxy);
                self.scene = Scene::Requests { left: left.saturating_sub(1), next };
            }
            Scene::Pause { until, next } if now >= until => self.begin(reactor, next),
            Scene::OneDies if healthy == 1 => {
                let text =
                    format!("finds it: {healthy} of {total} targets healthy, the routes stay");
                self.story.say(now, "burgee", text);
                self.scene = Scene::Requests { left: 2, next: Next::StopAll };
            }
            Scene::AllDie if routes == 0 => {
                self.story.remark(&[
                    "Nothing can serve the addresses here, so no route leads here any more. Other",
                    "sites that announce the same addresses get the traffic: no black hole.",
                ]);
                self.scene = Scene::Pause { until: now + self.pause(), next: Next::StartAll };
            }
            Scene::Return if routes == 2 && healthy == 2 => {
                let text = format!("finds both: {healthy} of {total} targets healthy");
                self.story.say(now, "burgee", text);
                let next = if self.once { Next::Leave } else { Next::Open };
                self.scene = Scene::Requests { left: 2, next };
            }
            Scene::Leaving if self.is_converging() && !self.asked_in_drain && routes == 0 => {
                self.asked_in_drain = true;
                if self.guests.has_backend() {
                    let text = "still serves, while the network learns that it is leaving";
                    self.story.say(now, "burgee", text);
                    self.guests.request(reactor, self.proxy);
                }
            }
            _ => {}
        }
        let wake = match self.scene {
            Scene::Pause { until, .. } => Some(until),
            _ => None,
        };
        self.alarm.set(&mut reactor.wheel, TIMER, wake);
    }

    fn is_converging(&self) -> bool {
        self.step == Step::Converging
    }

    fn pause(&self) -> Duration {
        if self.once { SHORT_PAUSE } else { PAUSE }
    }

    fn begin(&mut self, reactor: &mut Reactor, next: Next) {
        let now = reactor.now();
        self.scene = match next {
            Next::Ask => Scene::Requests { left: 4, next: Next::StopOne },
            Next::StopOne => {
                self.story.say(now, "story", "backend A dies");
                self.guests.close(Host::Backend(0));
                Scene::OneDies
            }
            Next::StopAll => {
                self.story.say(now, "story", "backend B dies as well");
                self.guests.close(Host::Backend(1));
                Scene::AllDie
            }
            Next::StartAll => {
                self.story.say(now, "story", "both backends come back");
                for (number, address) in self.backends.into_iter().enumerate() {
                    if let Err(error) = self.guests.listen(reactor, Host::Backend(number), address)
                    {
                        let text = format!("backend at {address}: {error}");
                        self.story.say(now, "story", text);
                    }
                }
                Scene::Return
            }
            Next::Open => {
                self.invite();
                Scene::Open
            }
            Next::Leave => {
                self.daemon.request_stop();
                Scene::Leaving
            }
        };
    }

    fn invite(&mut self) {
        let (proxy, page) = (self.proxy, self.page);
        self.story.line("");
        self.story.line("    Try it by hand, from another terminal:");
        self.story.line(format_args!("      curl http://{proxy}/      a request, balanced"));
        self.story.line(format_args!("      curl http://{page}/      the router's table"));
        self.story.line(
            "    Ctrl-C asks burgee to stop, and shows the drain: it leaves the router's table",
        );
        self.story.line("    first, and serves on for a second. Ctrl-C again skips that wait.");
        self.story.line("");
    }
}

impl Phases for Demo {
    fn collect(&mut self, reactor: &mut Reactor, token: Token, readiness: Readiness) {
        match token.kind {
            Kind::Guest => self.guests.collect(token),
            Kind::GuestBgpListener | Kind::GuestBgpSession | Kind::GuestBgpPeer => {
                self.router.bgp.collect(token, readiness);
            }
            _ => self.daemon.collect(reactor, token, readiness),
        }
    }

    fn expired(&mut self, reactor: &mut Reactor, token: Token) {
        match token.kind {
            Kind::GuestBgpListener | Kind::GuestBgpSession | Kind::GuestBgpPeer => {
                self.router.bgp.expired(token);
            }
            _ if token == TIMER => self.alarm.fired(),
            _ => self.daemon.expired(reactor, token),
        }
    }

    fn control(&mut self, reactor: &mut Reactor) {
        self.daemon.control(reactor);
        self.router.bgp.control(reactor);
    }

    fn apply(&mut self, reactor: &mut Reactor) {
        self.daemon.apply(reactor);
    }

    fn data(&mut self, reactor: &mut Reactor) {
        self.daemon.data(reactor);
    }

    fn accept(&mut self, reactor: &mut Reactor) {
        self.daemon.accept(reactor);
    }

    fn api(&mut self, reactor: &mut Reactor) {
        self.daemon.api(reactor);
        let router = &self.router;
        self.guests.run(reactor, &|host| match host {
            Host::Backend(number) => {
                format!("hello from backend {}\n", NAMES.get(number).unwrap_or(&"?"))
            }
            Host::RouterPage => router.page(),
        });
    }

    fn flush(&mut self, reactor: &mut Reactor) {
        self.daemon.flush(reactor);
        self.router.bgp.flush();
        self.narrate(reactor.now());
        self.direct(reactor);
        // Nobody is there to press Ctrl-C.
        if self.story.is_unheard() && self.step == Step::Serving {
            self.daemon.request_stop();
        }
    }

    fn has_ready(&self) -> bool {
        self.daemon.has_ready() || self.router.bgp.has_ready() || self.guests.has_ready()
    }

    fn exit_code(&self) -> Option<i32> {
        self.daemon.exit_code()
    }
}

/// The configuration, as the flags that a user would give.
fn settings(proxy: SocketAddr, backends: &[SocketAddr; 2], router_port: u16) -> Vec<String> {
    let [a, b] = backends;
    let port = proxy.port();
    [
        format!("-proxy.addr={proxy};proto=tcp"),
        "-proxy.strategy=rr".to_owned(),
        "-proxy.deregistergraceperiod=1s".to_owned(),
        "-proxy.shutdownwait=1s".to_owned(),
        format!(
            "-registry.static.routes=route add web :{port} tcp://{a}\n\
             route add web :{port} tcp://{b}"
        ),
        "-health.interval=200ms".to_owned(),
        "-bgp.announce.holdup=800ms".to_owned(),
        "-bgp.announce.statefile=".to_owned(),
        "-bgp.enabled=true".to_owned(),
        format!("-bgp.asn={ASN}"),
        "-bgp.routerid=203.0.113.1".to_owned(),
        "-bgp.nexthop6=2001:db8:1::1".to_owned(),
        format!("-bgp.anycastaddresses={PREFIXES}"),
        "-bgp.listenport=-1".to_owned(),
        format!("-bgp.peers=address={HOST};port={router_port};asn={}", router::ASN),
    ]
    .into()
}

/// A free port of loopback, fabio's by preference.
fn free_port() -> Result<u16, String> {
    TcpListener::bind((HOST, PREFERRED_PORT))
        .or_else(|_| TcpListener::bind((HOST, 0)))
        .and_then(|listener| listener.local_addr())
        .map(|address| address.port())
        .map_err(|error| format!("no free port on {HOST}: {error}"))
}

fn introduce(story: &mut Story, proxy: SocketAddr, backends: &[SocketAddr; 2], router_port: u16) {
    let [a, b] = backends;
    story.line(
        "An anycast address is served at several sites; each tells the routers around it, over",
    );
    story.line(
        "BGP, that it has a way there. burgee serves such addresses, and tells the router about",
    );
    story.line("them only while it can serve them. This is all of it in one process, on loopback:");
    story.line("");
    story.line(format_args!("    client → burgee {proxy} → backend A {a}, backend B {b}"));
    story.line(format_args!(
        "             burgee (AS {ASN}) ─ BGP → router {HOST}:{router_port} (AS {})",
        router::ASN
    ));
    story.line(format_args!("    anycast addresses: {PREFIXES}"));
    story.line("");
}
