//! Tells the service manager how we do, by the protocol of sd_notify(3):
//! datagrams of `NAME=value` lines to the socket that `$NOTIFY_SOCKET` names.
//!
//! It is news and never a condition: nothing waits for it, and nothing fails
//! with it. What the manager's queue does not take is kept and said a little
//! later, because a READY that is lost would have the service killed. The same
//! loop that serves clients says that it is alive: one that is stuck says
//! nothing, and the manager restarts the service.

use std::ffi::OsStr;
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

use log::warn;

use super::log_sink::quoted;
use super::timer_wheel::Alarm;
use super::{Reactor, Time, Token};

/// Time between two attempts to say what could not be said.
const RETRY: Duration = Duration::from_millis(250);
/// Most attempts in a row, ten seconds of them: a manager that is gone for
/// longer is not coming back to this socket, and the loop would never sleep.
const ATTEMPTS: u32 = 40;
/// Longest status in octets. systemd drops datagrams of more than a page.
const STATUS_LIMIT: usize = 1024;

/// The line to the service manager. All that it says is what it has been told
/// last: what was overtaken before it could be said is not said.
#[derive(Debug)]
pub struct Notifier {
    socket: UnixDatagram,
    manager: SocketAddr,
    token: Token,
    alarm: Alarm,
    /// It fired, perhaps for a deadline that was given up.
    fired: bool,
    /// Half of the time after which the manager takes us for stuck.
    interval: Option<Duration>,
    alive_at: Option<Time>,
    retry_at: Option<Time>,
    failures: u32,
    /// The status that was said last.
    status: String,
    owed: Owed,
}

/// What has still to be said.
#[derive(Debug, Default)]
struct Owed {
    state: Option<String>,
    status: bool,
    alive: bool,
}

impl Notifier {
    /// The manager that the environment names, if there is one. Its timers will
    /// fire as `token`.
    pub fn from_environment(token: Token) -> Option<Notifier> {
        let name = std::env::var_os("NOTIFY_SOCKET").filter(|name| !name.is_empty())?;
        let [usec, pid] = ["WATCHDOG_USEC", "WATCHDOG_PID"].map(|name| std::env::var(name).ok());
        let interval = watchdog(usec.as_deref(), pid.as_deref(), std::process::id());
        match Notifier::new(&name, interval, token) {
            Ok(notifier) => Some(notifier),
            Err(error) => {
                let (name, error) = (quoted(name.display()), quoted(error));
                warn!("sd_notify event=unusable socket={name} error={error}");
                None
            }
        }
    }

    /// A line to the socket of this name: an absolute path, or `@` and a name in
    /// the abstract namespace. A manager that has `watchdog` waits for a sign
    /// of life for that long; it is given one at half of that.
    ///
    /// # Errors
    /// A name of another form, or one that is too long; those of socket(2).
    pub fn new(name: &OsStr, watchdog: Option<Duration>, token: Token) -> io::Result<Notifier> {
        let manager = match name.as_bytes() {
            [b'/', ..] => SocketAddr::from_pathname(name)?,
            [b'@', rest @ ..] => SocketAddr::from_abstract_name(rest)?,
            _ => {
                let text = "neither an absolute path nor an abstract name";
                return Err(io::Error::new(io::ErrorKind::Unsupported, text));
            }
        };
        let socket = UnixDatagram::unbound()?;
        socket.set_nonblocking(true)?;
        Ok(Notifier {
            socket,
            manager,
            token,
            alarm: Alarm::new(),
            fired: false,
            interval: watchdog.map(|time| (time / 2).max(Duration::from_millis(1))),
            alive_at: None,
            retry_at: None,
            failures: 0,
            status: String::new(),
            owed: Owed::default(),
        })
    }

    /// Begins to give signs of life, if the manager waits for them.
    pub fn arm(&mut self, reactor: &mut Reactor) {
        self.alive_at = self.interval.map(|interval| reactor.now() + interval);
        self.set_alarm(reactor);
    }

    /// READY=1: we serve, or do so again after a reload.
    pub fn ready(&mut self, reactor: &mut Reactor) {
        self.set_state(reactor, "READY=1".to_owned());
    }

    /// RELOADING=1: the configuration is being read again, until the next
    /// [`Notifier::ready`]. `monotonic` is [`clock::monotonic`] at that moment.
    ///
    /// [`clock::monotonic`]: super::clock::monotonic
    pub fn reloading(&mut self, reactor: &mut Reactor, monotonic: Duration) {
        let state = format!("RELOADING=1\nMONOTONIC_USEC={}", monotonic.as_micros());
        self.set_state(reactor, state);
    }

    /// STOPPING=1: a stop has begun. It may last for `longest` from now, though
    /// the unit's `TimeoutStopSec=` be shorter (EXTEND_TIMEOUT_USEC).
    pub fn stopping(&mut self, reactor: &mut Reactor, longest: Duration) {
        let state = format!("STOPPING=1\nEXTEND_TIMEOUT_USEC={}", longest.as_micros());
        self.set_state(reactor, state);
    }

    /// STATUS=: how we do, in one line for people. Said only if it is another
    /// one than before; control characters become blanks, and what is longer than
    /// 1024 octets is cut.
    pub fn status(&mut self, reactor: &mut Reactor, text: &str) {
        let text: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        let text = text.get(..text.floor_char_boundary(STATUS_LIMIT)).unwrap_or_default();
        if text != self.status {
            text.clone_into(&mut self.status);
            self.owed.status = true;
            self.say(reactor);
        }
    }

    /// Phase 2: its timer fired.
    pub fn expired(&mut self, token: Token) {
        if token == self.token {
            self.alarm.fired();
            self.fired = true;
        }
    }

    /// Phase 3: the sign of life that is due, and what could not be said before.
    pub fn control(&mut self, reactor: &mut Reactor) {
        let now = reactor.now();
        let is_due = |at: &Option<Time>| at.is_some_and(|at| at <= now);
        let (alive, retry) = (is_due(&self.alive_at), is_due(&self.retry_at));
        if alive {
            self.alive_at = self.interval.map(|interval| now + interval);
            self.owed.alive = true;
        }
        if alive || retry {
            self.say(reactor);
        } else if std::mem::take(&mut self.fired) {
            self.set_alarm(reactor);
        }
    }

    fn set_state(&mut self, reactor: &mut Reactor, state: String) {
        self.owed.state = Some(state);
        self.failures = 0;
        self.say(reactor);
    }

    /// Says all that is owed in one datagram, or arranges another attempt.
    fn say(&mut self, reactor: &mut Reactor) {
        self.retry_at = None;
        let text = self.owed.datagram(&self.status);
        if !text.is_empty() {
            match self.socket.send_to_addr(text.as_bytes(), &self.manager) {
                Ok(_) => (self.failures, self.owed) = (0, Owed::default()),
                Err(error) => self.failed(reactor.now(), &error),
            }
        }
        self.set_alarm(reactor);
    }

    fn failed(&mut self, now: Time, error: &io::Error) {
        self.failures = self.failures.saturating_add(1);
        if self.failures == 1 {
            warn!("sd_notify event=unsent error={}", quoted(error));
        }
        self.retry_at = (self.failures < ATTEMPTS).then_some(now + RETRY);
    }

    fn set_alarm(&mut self, reactor: &mut Reactor) {
        let next = self.alive_at.into_iter().chain(self.retry_at).min();
        self.alarm.set(&mut reactor.wheel, self.token, next);
    }
}

impl Owed {
    fn datagram(&self, status: &str) -> String {
        let status = self.status.then(|| format!("STATUS={status}"));
        let alive = self.alive.then(|| "WATCHDOG=1".to_owned());
        let lines: Vec<String> =
            self.state.clone().into_iter().chain(status).chain(alive).collect();
        lines.join("\n")
    }
}

/// How long the manager waits for a sign of life, as `$WATCHDOG_USEC` says, if
/// it waits for one of this process: see sd_watchdog_enabled(3).
fn watchdog(usec: Option<&str>, pid: Option<&str>, own: u32) -> Option<Duration> {
    let usec: u64 = usec?.parse().ok().filter(|usec| *usec > 0)?;
    let is_ours = pid.is_none_or(|pid| pid.parse() == Ok(own));
    is_ours.then(|| Duration::from_micros(usec))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reactor::{Kind, Readiness, poll};
    use std::path::PathBuf;

    const TOKEN: Token = Token::new(Kind::Daemon, 0, 77);

    /// A service manager's socket.
    struct Manager {
        socket: UnixDatagram,
        path: PathBuf,
    }

    impl Manager {
        fn new(name: &str) -> Manager {
            let path = std::env::temp_dir().join(format!("burgee-{}-{name}", std::process::id()));
            let _ = std::fs::remove_file(&path);
            let socket = UnixDatagram::bind(&path).unwrap();
            socket.set_nonblocking(true).unwrap();
            Manager { socket, path }
        }

        fn notifier(&self, watchdog: Option<Duration>) -> Notifier {
            Notifier::new(self.path.as_os_str(), watchdog, TOKEN).unwrap()
        }

        fn heard(&self) -> Vec<String> {
            let mut texts = Vec::new();
            let mut buffer = [0; 8192];
            while let Ok(count) = self.socket.recv(&mut buffer) {
                texts.push(String::from_utf8(buffer[..count].to_vec()).unwrap());
            }
            texts
        }
    }

    impl Drop for Manager {
        fn drop(&mut self) {
            let _ = std::fs::remove_file(&self.path);
        }
    }

    /// Nothing but a notifier in the loop.
    struct House(Notifier);

    impl poll::Phases for House {
        fn collect(&mut self, _: &mut Reactor, _: Token, _: Readiness) {}
        fn expired(&mut self, _: &mut Reactor, token: Token) {
            self.0.expired(token);
        }
        fn control(&mut self, reactor: &mut Reactor) {
            self.0.control(reactor);
        }
        fn apply(&mut self, _: &mut Reactor) {}
        fn data(&mut self, _: &mut Reactor) {}
        fn accept(&mut self, _: &mut Reactor) {}
        fn api(&mut self, _: &mut Reactor) {}
        fn flush(&mut self, _: &mut Reactor) {}
        fn has_ready(&self) -> bool {
            false
        }
        fn exit_code(&self) -> Option<i32> {
            None
        }
    }

    #[test]
    fn a_life_is_told_in_order() {
        let manager = Manager::new("notify-life");
        let mut reactor = Reactor::new().unwrap();
        let mut notifier = manager.notifier(None);
        notifier.arm(&mut reactor);
        notifier.status(&mut reactor, "starting");
        notifier.ready(&mut reactor);
        notifier.status(&mut reactor, "2 of 2 prefixes\nannounced");
        notifier.status(&mut reactor, "2 of 2 prefixes\nannounced");
        notifier.reloading(&mut reactor, Duration::from_nanos(12_345_678));
        notifier.ready(&mut reactor);
        notifier.stopping(&mut reactor, Duration::from_secs(40));
        let expected = [
            "STATUS=starting",
            "READY=1",
            "STATUS=2 of 2 prefixes announced",
            "RELOADING=1\nMONOTONIC_USEC=12345",
            "READY=1",
            "STOPPING=1\nEXTEND_TIMEOUT_USEC=40000000",
        ];
        assert_eq!(manager.heard(), expected);
        assert!(reactor.wheel.is_empty(), "without a watchdog there is no timer");
    }

    #[test]
    fn a_status_has_a_length() {
        let manager = Manager::new("notify-long");
        let mut reactor = Reactor::new().unwrap();
        let mut notifier = manager.notifier(None);
        notifier.status(&mut reactor, &"é".repeat(STATUS_LIMIT));
        let odd = format!("a{}", "é".repeat(STATUS_LIMIT));
        notifier.status(&mut reactor, &odd);
        let cut = format!("STATUS=a{}", "é".repeat(STATUS_LIMIT / 2 - 1));
        assert_eq!(manager.heard(), [format!("STATUS={}", "é".repeat(STATUS_LIMIT / 2)), cut]);
    }

    #[test]
    fn each_turn_that_is_due_gives_a_sign_of_life() {
        let manager = Manager::new("notify-watchdog");
        let mut reactor = Reactor::new().unwrap();
        let mut notifier = manager.notifier(Some(Duration::from_millis(20)));
        let began = reactor.now();
        notifier.arm(&mut reactor);
        let mut house = House(notifier);
        for n in 1..=3_u32 {
            poll::turn(&mut reactor, &mut house).unwrap();
            assert!(reactor.now().since(began) >= Duration::from_millis(10) * n);
            assert_eq!(manager.heard(), ["WATCHDOG=1"], "turn {n}");
        }
        // A loop that makes no turn says nothing, however late it is.
        std::thread::sleep(Duration::from_millis(30));
        assert!(manager.heard().is_empty());
    }

    #[test]
    fn signs_of_life_outlast_a_deadline_that_was_given_up() {
        let manager = Manager::new("notify-early");
        let mut reactor = Reactor::new().unwrap();
        let mut notifier = manager.notifier(Some(Duration::from_secs(1)));
        notifier.arm(&mut reactor);
        notifier.retry_at = Some(reactor.now());
        notifier.set_alarm(&mut reactor);
        notifier.retry_at = None;
        let mut house = House(notifier);
        poll::turn(&mut reactor, &mut house).unwrap();
        assert!(manager.heard().is_empty());
        poll::turn(&mut reactor, &mut house).unwrap();
        assert_eq!(manager.heard(), ["WATCHDOG=1"]);
    }

    #[test]
    fn what_a_full_queue_does_not_take_is_said_later_and_only_the_last_of_it() {
        let manager = Manager::new("notify-full");
        let mut reactor = Reactor::new().unwrap();
        let mut notifier = manager.notifier(None);
        let stranger = UnixDatagram::unbound().unwrap();
        stranger.set_nonblocking(true).unwrap();
        while stranger.send_to(b"x", &manager.path).is_ok() {}
        notifier.ready(&mut reactor);
        notifier.reloading(&mut reactor, Duration::ZERO);
        notifier.status(&mut reactor, "one");
        notifier.ready(&mut reactor);
        notifier.status(&mut reactor, "two");
        assert!(manager.heard().iter().all(|text| text == "x"));
        let mut house = House(notifier);
        poll::turn(&mut reactor, &mut house).unwrap();
        assert_eq!(manager.heard(), ["READY=1\nSTATUS=two"]);
        assert!(reactor.wheel.is_empty());
    }

    #[test]
    fn a_manager_that_is_gone_is_not_asked_for_ever() {
        let manager = Manager::new("notify-gone");
        let mut reactor = Reactor::new().unwrap();
        let mut notifier = manager.notifier(None);
        drop(manager);
        notifier.ready(&mut reactor);
        let now = reactor.now();
        for _ in 1..ATTEMPTS {
            assert_eq!(notifier.retry_at, Some(now + RETRY));
            notifier.say(&mut reactor);
        }
        assert_eq!(notifier.retry_at, None);
        notifier.expired(TOKEN);
        // It may be back by the next word.
        let manager = Manager::new("notify-gone");
        notifier.stopping(&mut reactor, Duration::ZERO);
        assert_eq!(manager.heard(), ["STOPPING=1\nEXTEND_TIMEOUT_USEC=0"]);
    }

    #[test]
    fn names_are_paths_or_abstract() {
        let name = format!("burgee-notify-{}", std::process::id());
        let address = SocketAddr::from_abstract_name(&name).unwrap();
        let socket = UnixDatagram::bind_addr(&address).unwrap();
        let mut reactor = Reactor::new().unwrap();
        let mut notifier =
            Notifier::new(OsStr::new(&format!("@{name}")), None, TOKEN).expect("abstract");
        notifier.ready(&mut reactor);
        let mut buffer = [0; 64];
        let count = socket.recv(&mut buffer).unwrap();
        assert_eq!(&buffer[..count], b"READY=1");
        let long = format!("/{}", "x".repeat(200));
        for other in ["", "run/notify", "vsock:2:1234", &long] {
            assert!(Notifier::new(OsStr::new(other), None, TOKEN).is_err(), "{other}");
        }
    }

    #[test]
    fn a_watchdog_is_ours_or_another_process_s() {
        let time = |usec: u64| Some(Duration::from_micros(usec));
        assert_eq!(watchdog(Some("3000000"), Some("42"), 42), time(3_000_000));
        assert_eq!(watchdog(Some("3000000"), None, 42), time(3_000_000));
        for (usec, pid) in [
            (Some("3000000"), Some("43")),
            (Some("3000000"), Some("")),
            (Some("0"), None),
            (Some("-1"), None),
            (Some("3s"), Some("42")),
            (None, Some("42")),
        ] {
            assert_eq!(watchdog(usec, pid, 42), None, "{usec:?} {pid:?}");
        }
    }
}
