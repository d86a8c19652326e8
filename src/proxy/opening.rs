//! What a client says first, before a target is chosen for it: a PROXY header
//! where one is believed, a ClientHello where it names the route. Pure.

use std::fmt;
use std::net::IpAddr;
use std::rc::Rc;
use std::time::Duration;

use super::access_log::Ending;
use super::client_hello::{self, ClientHello, HelloReader, Progress};
use super::proxy_header::{self, Endpoints, HeaderPolicy, Judgement, Start};
use crate::reactor::Time;

/// PROXY headers at a listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeaderSettings {
    /// Whose are believed, and whether one must come.
    pub policy: HeaderPolicy,
    /// How long a client may take to send one.
    pub timeout: Duration,
}

/// What clients of one listener say first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Expected {
    pub(super) header: Option<HeaderSettings>,
    /// A ClientHello, which may take this long.
    pub(super) hello: Option<Duration>,
}

/// Why a client is not served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    Header(proxy_header::Refusal),
    Hello(client_hello::Refusal),
    /// The time was up, or the client ended its stream, before its ClientHello
    /// was whole.
    NoHello,
}

impl Refusal {
    /// How the connection ends.
    pub(super) fn ending(self) -> Ending {
        match self {
            Refusal::Header(_) => Ending::NoHeader,
            Refusal::Hello(_) | Refusal::NoHello => Ending::NoHello,
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Refusal::Header(refusal) => refusal.fmt(f),
            Refusal::Hello(refusal) => refusal.fmt(f),
            Refusal::NoHello => f.write_str("no whole ClientHello in time"),
        }
    }
}

/// What is known after so many octets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Heard {
    /// More of them are needed.
    NeedMore,
    /// A PROXY header. Its octets are to be taken out of the stream, and those
    /// behind it are to be heard next.
    Header {
        length: usize,
        /// The client that the header tells of; `None` for a connection of the
        /// proxy that sent it.
        endpoints: Option<Endpoints>,
    },
    /// All that was waited for. What comes now is for the target, and the
    /// ClientHello as well.
    Done(Option<ClientHello>),
    Refused(Refusal),
}

#[derive(Debug)]
enum Stage {
    Header,
    Hello(HelloReader),
    Over,
}

/// One client that says what it has to say first.
#[derive(Debug)]
pub(super) struct Opening {
    expected: Rc<Expected>,
    stage: Stage,
    deadline: Time,
}

impl Expected {
    /// What to wait for from a client at `source`, the other end of its socket;
    /// `None`: nothing.
    ///
    /// # Errors
    /// It may not come at all.
    pub(super) fn begin(
        self: &Rc<Self>,
        now: Time,
        source: IpAddr,
    ) -> Result<Option<Opening>, Refusal> {
        let start = self.header.as_ref().map_or(Start::Plain, |it| it.policy.start(source));
        let mut opening =
            Opening { expected: Rc::clone(self), stage: Stage::Header, deadline: now };
        match start {
            Start::Refuse(refusal) => return Err(Refusal::Header(refusal)),
            Start::Plain => opening.go_on(now),
            Start::Header => {
                let timeout = self.header.as_ref().map_or(Duration::ZERO, |it| it.timeout);
                opening.deadline = now + timeout;
            }
        }
        Ok((!matches!(opening.stage, Stage::Over)).then_some(opening))
    }
}

impl Opening {
    /// When no more is waited for.
    pub(super) fn deadline(&self) -> Time {
        self.deadline
    }

    /// Whether a PROXY header may come, which says who the client is.
    pub(super) fn awaits_header(&self) -> bool {
        matches!(self.stage, Stage::Header)
    }

    /// Takes all octets that have come since the beginning, or since the end of
    /// the header once that was told. `ended` says that the client will send no
    /// more.
    pub(super) fn hear(&mut self, now: Time, octets: &[u8], ended: bool) -> Heard {
        loop {
            let is_last = ended || now >= self.deadline;
            match &mut self.stage {
                Stage::Over => return Heard::Done(None),
                Stage::Hello(reader) => return hear_hello(reader, octets, is_last),
                Stage::Header => {
                    let Some(header) = &self.expected.header else {
                        self.go_on(now);
                        continue;
                    };
                    let judgement = match is_last {
                        true => header.policy.judge_last(octets),
                        false => header.policy.judge(octets),
                    };
                    match judgement {
                        Judgement::NeedMore => return Heard::NeedMore,
                        Judgement::Refuse(refusal) => {
                            return Heard::Refused(Refusal::Header(refusal));
                        }
                        Judgement::Plain => self.go_on(now),
                        Judgement::Header(header) => {
                            let (length, endpoints) = (header.length, header.endpoints);
                            self.go_on(now);
                            return Heard::Header { length, endpoints };
                        }
                    }
                }
            }
        }
    }

    /// The header is behind.
    fn go_on(&mut self, now: Time) {
        self.stage = match self.expected.hello {
            None => Stage::Over,
            Some(timeout) => {
                self.deadline = now + timeout;
                Stage::Hello(HelloReader::new())
            }
        };
    }
}

fn hear_hello(reader: &mut HelloReader, octets: &[u8], is_last: bool) -> Heard {
    match reader.read(octets) {
        Progress::NeedMore if is_last => Heard::Refused(Refusal::NoHello),
        Progress::NeedMore => Heard::NeedMore,
        Progress::Hello(hello) => Heard::Done(Some(hello)),
        Progress::Refused(refusal) => Heard::Refused(Refusal::Hello(refusal)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proxy::proxy_header::{Mode, TrustedSources};

    const SECOND: Duration = Duration::from_secs(1);
    const HEADER: &[u8] = b"PROXY TCP4 203.0.113.7 192.0.2.1 51000 443\r\n";
    const TRUSTED: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 9));
    const STRANGER: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(198, 51, 100, 1));

    fn at(seconds: u64) -> Time {
        Time::from_millis(seconds * 1000)
    }

    fn expected(mode: Option<Mode>, hello: bool) -> Rc<Expected> {
        let trusted = TrustedSources::parse("192.0.2.0/24").unwrap();
        let settings = |mode| HeaderSettings {
            policy: HeaderPolicy { mode, trusted: trusted.clone() },
            timeout: SECOND,
        };
        Rc::new(Expected { header: mode.map(settings), hello: hello.then_some(5 * SECOND) })
    }

    fn begin(expected: &Rc<Expected>, source: IpAddr) -> Opening {
        expected.begin(at(0), source).unwrap().unwrap()
    }

    #[test]
    fn nothing_is_waited_for_where_nothing_is_expected() {
        assert!(expected(None, false).begin(at(0), STRANGER).unwrap().is_none());
        let lenient = expected(Some(Mode::Lenient), false);
        assert!(lenient.begin(at(0), STRANGER).unwrap().is_none());
        let strict = expected(Some(Mode::Strict), true);
        assert!(matches!(strict.begin(at(0), STRANGER), Err(Refusal::Header(_))));
    }

    #[test]
    fn a_header_is_told_and_then_what_is_behind_it() {
        let mut opening = begin(&expected(Some(Mode::Strict), false), TRUSTED);
        assert_eq!(opening.hear(at(0), &HEADER[..20], false), Heard::NeedMore);
        let octets = [HEADER, b"hello"].concat();
        let Heard::Header { length, endpoints: Some(endpoints) } =
            opening.hear(at(0), &octets, false)
        else {
            panic!("a header")
        };
        assert_eq!(length, HEADER.len());
        assert_eq!(endpoints.source.to_string(), "203.0.113.7:51000");
        assert_eq!(opening.hear(at(0), b"hello", false), Heard::Done(None));
    }

    #[test]
    fn without_a_header_a_lenient_listener_goes_on_and_a_strict_one_does_not() {
        let mut lenient = begin(&expected(Some(Mode::Lenient), false), TRUSTED);
        assert_eq!(lenient.hear(at(0), b"", false), Heard::NeedMore);
        assert_eq!(lenient.hear(at(1), b"", false), Heard::Done(None), "the time is up");
        let mut strict = begin(&expected(Some(Mode::Strict), false), TRUSTED);
        assert_eq!(strict.hear(at(0), b"", false), Heard::NeedMore);
        assert!(matches!(strict.hear(at(1), b"", false), Heard::Refused(Refusal::Header(_))));
        let mut ended = begin(&expected(Some(Mode::Strict), false), TRUSTED);
        assert!(matches!(ended.hear(at(0), b"", true), Heard::Refused(Refusal::Header(_))));
    }

    #[test]
    fn a_hello_has_a_time_of_its_own_after_the_header() {
        let mut opening = begin(&expected(Some(Mode::Lenient), true), TRUSTED);
        assert_eq!(opening.deadline(), at(1));
        assert_eq!(opening.hear(at(1), b"", false), Heard::NeedMore, "no header, so a plain hello");
        assert_eq!(opening.deadline(), at(6));
        assert_eq!(opening.hear(at(5), b"\x16\x03\x01", false), Heard::NeedMore);
        assert_eq!(opening.hear(at(6), b"\x16\x03\x01", false), Heard::Refused(Refusal::NoHello));
        let mut opening = begin(&expected(None, true), STRANGER);
        assert!(matches!(
            opening.hear(at(0), b"GET / HTTP/1.1\r\n", false),
            Heard::Refused(Refusal::Hello(client_hello::Refusal::NotTls))
        ));
    }
}
