//! `burgee demo`: a burgee, two backends, a client and an upstream router in
//! one process and one loop, over real loopback TCP. It tells what happens as
//! it happens, and needs no root, no configuration and nothing installed.

mod guests;
mod router;

use std::io::{self, Write as _};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::process::ExitCode;
use std::time::Duration;

use log::LevelFilter;

use self::guests::{Guests, Host};
use self::router::Router;
use crate::announce::drain::Step;
use crate::announce::{PrefixStatus, State};
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
/// A pause that lets a reader follow.
const PAUSE: Duration = Duration::from_millis(600);
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
    scene: Scene,
    once: bool,
    shown: Vec<PrefixStatus>,
    step: Step,
    asked_in_drain: bool,
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
        introduce(proxy, &backends, router.port());
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
            scene: Scene::Meeting,
            once,
            step: Step::Serving,
            asked_in_drain: false,
            lost: 0,
            alarm: Alarm::new(),
        })
    }

    /// Tells what happened since the last turn.
    fn narrate(&mut self, now: Time) {
        let (before, step) = (self.step, self.daemon.step());
        for passed in STEPS.into_iter().filter(|passed| before < *passed && *passed <= step) {
            self.narrate_step(now, passed);
        }
        self.step = step;
        let status = self.daemon.announcer().status().to_vec();
        for (old, new) in self.shown.iter().zip(&status) {
            if old.state != new.state {
                let verb = if new.state == State::Announced { "announces" } else { "withdraws" };
                say(now, "burgee", &format!("{verb} {}: {}", new.prefix, new.reason));
            }
        }
        self.shown = status;
        for line in self.router.news() {
            say(now, "router", &line);
        }
        if let Some(answer) = self.guests.take_answer() {
            let text = match answer {
                Ok(body) => format!("asks {} and is answered: {body}", self.proxy),
                Err(error) => {
                    self.lost = self.lost.saturating_add(1);
                    format!("asks {} and fails: {error}", self.proxy)
                }
            };
            say(now, "client", &text);
        }
    }

    fn narrate_step(&mut self, now: Time, step: Step) {
        let lost = format!("is gone; requests lost: {}", self.lost);
        let text = match step {
            Step::Serving => return,
            Step::Withdrawing => {
                self.scene = Scene::Leaving;
                "is asked to stop: withdraws first, the session stays up"
            }
            Step::Converging => "still serves while the network learns that it is leaving",
            Step::Finishing => "closes its listener and lets open connections finish",
            Step::Closing => "ends the session with Cease/Administrative Shutdown",
            Step::Done => &lost,
        };
        say(now, "burgee", text);
    }

    /// Moves the story on, if what it waits for has come.
    fn direct(&mut self, reactor: &mut Reactor) {
        let now = reactor.now();
        let (healthy, total) = self.daemon.healthy();
        let routes = self.router.routes();
        match self.scene {
            Scene::Meeting if routes == 2 => {
                tell("    Traffic for these addresses now has a way to this process. On a real");
                tell("    machine the addresses also sit on `lo`; here they do not, so the client");
                tell("    uses the listener's own address.");
                self.scene = Scene::Requests { left: 4, next: Next::StopOne };
            }
            Scene::Requests { left: 0, next } if !self.guests.is_busy() => {
                self.scene = Scene::Pause { until: now + PAUSE, next };
            }
            Scene::Requests { left, next } if !self.guests.is_busy() => {
                self.guests.request(reactor, self.proxy);
                self.scene = Scene::Requests { left: left.saturating_sub(1), next };
            }
            Scene::Pause { until, next } if now >= until => self.begin(reactor, next),
            Scene::OneDies if healthy == 1 => {
                say(now, "burgee", &format!("{healthy} of {total} targets is healthy: goes on"));
                self.scene = Scene::Requests { left: 2, next: Next::StopAll };
            }
            Scene::AllDie if routes == 0 => {
                tell("    Nothing could serve the addresses here, so nothing leads here any more:");
                tell("    another site that announces them gets the traffic. No black hole.");
                self.scene = Scene::Pause { until: now + PAUSE * 2, next: Next::StartAll };
            }
            Scene::Return if routes == 2 && healthy == 2 => {
                let next = if self.once { Next::Leave } else { Next::Open };
                self.scene = Scene::Requests { left: 2, next };
            }
            Scene::Leaving
                if self.step == Step::Converging && !self.asked_in_drain && routes == 0 =>
            {
                self.asked_in_drain = true;
                self.guests.request(reactor, self.proxy);
            }
            _ => {}
        }
        let wake = match self.scene {
            Scene::Pause { until, .. } => Some(until),
            _ => None,
        };
        self.alarm.set(&mut reactor.wheel, TIMER, wake);
    }

    fn begin(&mut self, reactor: &mut Reactor, next: Next) {
        let now = reactor.now();
        self.scene = match next {
            Next::StopOne => {
                say(now, "story", "backend A dies");
                self.guests.close(Host::Backend(0));
                Scene::OneDies
            }
            Next::StopAll => {
                say(now, "story", "backend B dies as well");
                self.guests.close(Host::Backend(1));
                Scene::AllDie
            }
            Next::StartAll => {
                say(now, "story", "both backends come back");
                for (number, address) in self.backends.into_iter().enumerate() {
                    if let Err(error) = self.guests.listen(reactor, Host::Backend(number), address)
                    {
                        say(now, "story", &format!("backend at {address}: {error}"));
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

    fn invite(&self) {
        tell("");
        tell("    Try it by hand:");
        tell(&format!("      curl http://{}/      a request, balanced", self.proxy));
        tell(&format!("      curl http://{}/      the router's table", self.page));
        tell("    Ctrl-C asks burgee to stop, and shows the drain.");
        tell("");
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

fn introduce(proxy: SocketAddr, backends: &[SocketAddr; 2], router_port: u16) {
    let [a, b] = backends;
    tell("burgee serves anycast addresses and tells the upstream router about them over BGP,");
    tell("but only while it can serve them. This is all of it in one process:");
    tell("");
    tell(&format!("    client → burgee {proxy} → backend A {a}, backend B {b}"));
    tell(&format!(
        "             burgee (AS {ASN}) ─ BGP → router {HOST}:{router_port} (AS {})",
        router::ASN
    ));
    tell(&format!("    anycast addresses: {PREFIXES}"));
    tell("");
}

fn say(now: Time, who: &str, text: &str) {
    let millis = now.as_millis();
    tell(&format!("{:>4}.{:03} s  {who:<7} {text}", millis / 1000, millis % 1000));
}

fn tell(line: &str) {
    // A reader that is gone ends the story, not the program.
    let _ = writeln!(io::stdout(), "{line}");
}
