//! How a target is checked: what its routes ask for, and the defaults of
//! `health.*` for what they leave open.

use std::fmt;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use super::ejection;
use super::machine::Thresholds;
use crate::reactor::duration;

/// What a check does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Connects, and closes the connection.
    Tcp {
        /// Another port than the target's.
        port: Option<u16>,
    },
    /// Asks for a path over HTTP/1.1, and looks at the status of the answer.
    Http {
        /// Another port than the target's.
        port: Option<u16>,
        /// What is asked for: printable ASCII that begins with a slash.
        path: Rc<str>,
    },
    /// Nothing: the target counts as healthy.
    None,
}

impl fmt::Display for Kind {
    /// As `check=` has it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Kind::Tcp { port: None } => f.write_str("tcp"),
            Kind::Tcp { port: Some(port) } => write!(f, "tcp:{port}"),
            Kind::Http { port: None, path } => write!(f, "http:{path}"),
            Kind::Http { port: Some(port), path } => write!(f, "http:{port}{path}"),
            Kind::None => f.write_str("none"),
        }
    }
}

/// What the routes ask for; what is `None` is left to the defaults.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    /// `check=`
    pub kind: Option<Kind>,
    /// `checkhost=`, printable ASCII.
    pub host: Option<Rc<str>>,
    /// `checkstatus=`: the first and the last status code that is good.
    pub statuses: Option<(u16, u16)>,
    /// `checkinterval=`
    pub interval: Option<Duration>,
    /// `checktimeout=`
    pub timeout: Option<Duration>,
    /// `rise=`
    pub rise: Option<u32>,
    /// `fall=`
    pub fall: Option<u32>,
}

/// `health.*`: how targets are checked and judged where their routes say
/// nothing. The default is that of the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HealthDefaults {
    /// `health.check`
    pub kind: Kind,
    /// `health.interval`: time between two checks of one target.
    pub interval: Duration,
    /// `health.fastinterval`: the same while results contradict the state.
    pub fast_interval: Duration,
    /// `health.timeout`: how long one check may take.
    pub timeout: Duration,
    /// `health.rise` and `health.fall`
    pub thresholds: Thresholds,
    /// `health.ejectafter`, `health.ejecttime`, `health.ejectmaxtime`
    pub ejection: ejection::Rules,
    /// `health.ejectlimit`: most targets of a service that are ejected at a
    /// time, in percent.
    pub eject_limit: u8,
    /// `health.whennone = all`: where no target can serve, any may be tried.
    pub when_none_all: bool,
}

impl Default for HealthDefaults {
    fn default() -> HealthDefaults {
        HealthDefaults {
            kind: Kind::Tcp { port: None },
            interval: Duration::from_secs(2),
            fast_interval: Duration::from_millis(500),
            timeout: Duration::from_secs(1),
            thresholds: Thresholds::default(),
            ejection: ejection::Rules::default(),
            eject_limit: 50,
            when_none_all: false,
        }
    }
}

/// Status codes that are good where nothing else is asked for: an answer, and
/// where to find it.
const STATUSES: (u16, u16) = (200, 399);

/// How one target is checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    /// What is done.
    pub kind: Kind,
    /// The Host of an HTTP check (RFC 9110 §7.2); `None`: the address.
    pub host: Option<Rc<str>>,
    /// The first and the last status code that is good.
    pub statuses: (u16, u16),
    /// Time between two checks.
    pub interval: Duration,
    /// The same while results contradict the state; no longer than the other.
    pub fast_interval: Duration,
    /// How long one check may take.
    pub timeout: Duration,
    /// How many results in a row change the state.
    pub thresholds: Thresholds,
}

impl Check {
    /// The check that the routes ask for, completed from the defaults.
    pub fn of(wanted: Option<&Wanted>, defaults: &HealthDefaults) -> Check {
        let nothing = Wanted::default();
        let wanted = wanted.unwrap_or(&nothing);
        let interval = wanted.interval.unwrap_or(defaults.interval);
        Check {
            kind: wanted.kind.as_ref().unwrap_or(&defaults.kind).clone(),
            host: wanted.host.clone(),
            statuses: wanted.statuses.unwrap_or(STATUSES),
            interval,
            fast_interval: defaults.fast_interval.min(interval),
            timeout: wanted.timeout.unwrap_or(defaults.timeout),
            thresholds: thresholds(Some(wanted), defaults),
        }
    }

    /// Where a target at `address` is checked.
    pub fn address(&self, address: SocketAddr) -> SocketAddr {
        let port = match self.kind {
            Kind::Tcp { port } | Kind::Http { port, .. } => port,
            Kind::None => None,
        };
        SocketAddr::new(address.ip(), port.unwrap_or(address.port()))
    }
}

/// The same as [`Check::thresholds`], without the rest.
pub(super) fn thresholds(wanted: Option<&Wanted>, defaults: &HealthDefaults) -> Thresholds {
    let Thresholds { rise, fall } = defaults.thresholds;
    Thresholds {
        rise: wanted.and_then(|wanted| wanted.rise).unwrap_or(rise),
        fall: wanted.and_then(|wanted| wanted.fall).unwrap_or(fall),
    }
}

impl fmt::Display for Check {
    /// The options that are in force, defaults included.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "check={}", self.kind)?;
        if self.kind == Kind::None {
            return Ok(());
        }
        if let Kind::Http { .. } = self.kind {
            let (first, last) = self.statuses;
            self.host.iter().try_for_each(|host| write!(f, " checkhost={host}"))?;
            write!(f, " checkstatus={first}")?;
            if last != first {
                write!(f, "-{last}")?;
            }
        }
        write!(
            f,
            " checkinterval={} checktimeout={} rise={} fall={}",
            duration::print(self.interval),
            duration::print(self.timeout),
            self.thresholds.rise,
            self.thresholds.fall
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn http(port: Option<u16>) -> Kind {
        Kind::Http { port, path: "/h?x".into() }
    }

    #[test]
    fn what_the_routes_leave_open_is_as_the_defaults_say() {
        let defaults = HealthDefaults { kind: http(None), ..HealthDefaults::default() };
        let check = Check::of(None, &defaults);
        assert_eq!(check, Check::of(Some(&Wanted::default()), &defaults));
        assert_eq!(
            check.to_string(),
            "check=http:/h?x checkstatus=200-399 checkinterval=2s checktimeout=1s rise=2 fall=2"
        );
        let wanted = Wanted {
            kind: Some(http(Some(81))),
            host: Some("www.example".into()),
            statuses: Some((204, 204)),
            interval: Some(Duration::from_millis(300)),
            timeout: Some(Duration::from_millis(100)),
            rise: Some(7),
            fall: Some(8),
        };
        let check = Check::of(Some(&wanted), &defaults);
        assert_eq!(
            check.to_string(),
            "check=http:81/h?x checkhost=www.example checkstatus=204 checkinterval=300ms \
             checktimeout=100ms rise=7 fall=8"
        );
        assert_eq!(check.fast_interval, check.interval, "it is not slower");
        assert_eq!(Kind::Tcp { port: Some(9) }.to_string(), "tcp:9");
        let none = Wanted { kind: Some(Kind::None), ..Wanted::default() };
        assert_eq!(Check::of(Some(&none), &defaults).to_string(), "check=none");
    }

    #[test]
    fn another_port_is_asked_at_the_same_host() {
        let at = |kind, address: &str| {
            let wanted = Wanted { kind: Some(kind), ..Wanted::default() };
            let check = Check::of(Some(&wanted), &HealthDefaults::default());
            check.address(address.parse().unwrap()).to_string()
        };
        assert_eq!(at(Kind::Tcp { port: None }, "192.0.2.1:80"), "192.0.2.1:80");
        assert_eq!(at(Kind::Tcp { port: Some(81) }, "192.0.2.1:80"), "192.0.2.1:81");
        assert_eq!(at(http(Some(81)), "[2001:db8::1]:80"), "[2001:db8::1]:81");
        assert_eq!(at(http(None), "[2001:db8::1]:80"), "[2001:db8::1]:80");
    }
}
