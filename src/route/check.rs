//! `check=` and its company: how a target is to be checked, where the defaults
//! of `health.*` will not do. All of it is burgee's own.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::Ipv6Addr;
use std::time::Duration;

use super::source::parse_port;
use crate::reactor::duration;

/// Longest path and longest host of an HTTP check, in octets: the head of the
/// request has to fit into one segment.
const LONGEST_PATH: usize = 512;
const LONGEST_HOST: usize = 255;

/// Shortest `checkinterval=`, as of `health.interval`.
const SHORTEST_INTERVAL: Duration = Duration::from_millis(10);

/// Shortest `checktimeout=`: what the loop's timers count in.
const SHORTEST_TIMEOUT: Duration = Duration::from_millis(1);

/// How one target is checked; what is `None` is left to the defaults.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct CheckOptions {
    /// `check=`
    pub kind: Option<CheckKind>,
    /// `checkhost=`: the Host of the request (RFC 9110 §7.2), printable ASCII.
    pub host: Option<Box<str>>,
    /// `checkstatus=`: the first and the last status code that is good.
    pub statuses: Option<(u16, u16)>,
    /// `checkinterval=`, at least 10 ms.
    pub interval: Option<Duration>,
    /// `checktimeout=`, at least 1 ms.
    pub timeout: Option<Duration>,
    /// `rise=`, from 1.
    pub rise: Option<u32>,
    /// `fall=`, from 1.
    pub fall: Option<u32>,
}

/// `check=`: what a check does.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum CheckKind {
    /// `tcp`, `tcp:PORT`: connects.
    Tcp {
        /// Another port than the target's.
        port: Option<u16>,
    },
    /// `http:/PATH`, `http:PORT/PATH`: asks for a path.
    Http {
        /// Another port than the target's.
        port: Option<u16>,
        /// The path, with a query if there is one: printable ASCII that begins
        /// with a slash.
        path: Box<str>,
    },
    /// `none`: nothing, the target counts as healthy.
    None,
}

impl CheckOptions {
    /// A number that is the same for those that are alike.
    pub(super) fn digest(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        self.hash(&mut hasher);
        hasher.finish()
    }
}

impl CheckKind {
    /// Reads the value of `check=`, and that of `health.check`.
    ///
    /// # Errors
    /// What was expected.
    pub fn parse(text: &str) -> Result<CheckKind, String> {
        let kind = match text.split_once(':') {
            None if text == "tcp" => Some(CheckKind::Tcp { port: None }),
            None if text == "none" => Some(CheckKind::None),
            Some(("tcp", port)) => {
                parse_port(port).ok().map(|port| CheckKind::Tcp { port: Some(port) })
            }
            Some(("http", rest)) => http(rest),
            _ => None,
        };
        kind.ok_or_else(|| "expected tcp, tcp:PORT, http:/PATH, http:PORT/PATH or none".to_owned())
    }
}

/// `/PATH` or `PORT/PATH`. What begins with two slashes is a URL, whose host
/// would not be asked.
fn http(text: &str) -> Option<CheckKind> {
    let (port, path) = text.split_at_checked(text.find('/')?)?;
    let port = if port.is_empty() { None } else { Some(parse_port(port).ok()?) };
    let is_good = !path.starts_with("//")
        && path.len() <= LONGEST_PATH
        && path.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'#');
    is_good.then(|| CheckKind::Http { port, path: path.into() })
}

/// Takes the options of a check from the texts. `wrong` is told the key, the
/// value, and what was expected; such an option has no effect.
pub(super) fn read<'a>(
    get: impl Fn(&str) -> Option<&'a str>,
    wrong: &mut dyn FnMut(&str, &str, &str),
) -> CheckOptions {
    let mut parse = Parser { get, wrong };
    let mut options = CheckOptions {
        kind: parse.value("check", CheckKind::parse),
        host: parse.value("checkhost", host),
        statuses: parse.value("checkstatus", statuses),
        interval: parse.value("checkinterval", |text| at_least(text, SHORTEST_INTERVAL)),
        timeout: parse.value("checktimeout", |text| at_least(text, SHORTEST_TIMEOUT)),
        rise: parse.value("rise", count),
        fall: parse.value("fall", count),
    };
    let (is_http, is_none) = match options.kind {
        Some(CheckKind::None) => (false, true),
        Some(CheckKind::Tcp { .. }) => (false, false),
        Some(CheckKind::Http { .. }) | None => (true, false),
    };
    if !is_http {
        parse.forget("checkhost", &mut options.host, "check=http:/PATH beside it");
        parse.forget("checkstatus", &mut options.statuses, "check=http:/PATH beside it");
    }
    if is_none {
        parse.forget("checkinterval", &mut options.interval, "a check beside it, not check=none");
        parse.forget("checktimeout", &mut options.timeout, "a check beside it, not check=none");
        parse.forget("rise", &mut options.rise, "a check beside it, not check=none");
        parse.forget("fall", &mut options.fall, "a check beside it, not check=none");
    }
    options
}

struct Parser<'w, G> {
    get: G,
    wrong: &'w mut dyn FnMut(&str, &str, &str),
}

impl<'a, G: Fn(&str) -> Option<&'a str>> Parser<'_, G> {
    fn value<T>(&mut self, key: &str, parse: impl FnOnce(&str) -> Result<T, String>) -> Option<T> {
        let text = (self.get)(key)?;
        match parse(text) {
            Ok(value) => Some(value),
            Err(expected) => {
                let expected = expected.strip_prefix("expected ").unwrap_or(&expected);
                (self.wrong)(key, text, expected);
                None
            }
        }
    }

    /// A good value that can have no effect.
    fn forget<T>(&mut self, key: &str, value: &mut Option<T>, expected: &str) {
        if value.take().is_some() {
            (self.wrong)(key, (self.get)(key).unwrap_or_default(), expected);
        }
    }
}

/// A host and perhaps a port (RFC 3986 §3.2.2 and §3.2.3). Of the characters that
/// the grammar allows in a name, those that server names have.
fn host(text: &str) -> Result<Box<str>, String> {
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) if !text.ends_with(']') => (host, Some(port)),
        _ => (text, None),
    };
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
    let is_host = match host.strip_prefix('[').map(|rest| rest.strip_suffix(']')) {
        Some(literal) => literal.is_some_and(|literal| literal.parse::<Ipv6Addr>().is_ok()),
        None => !host.is_empty() && host.bytes().all(is_name),
    };
    let is_port = port.is_none_or(|port| parse_port(port).is_ok());
    match is_host && is_port && text.len() <= LONGEST_HOST {
        true => Ok(text.into()),
        false => Err("expected a host name or an IP address, with a port or without".to_owned()),
    }
}

/// One code, or the first and the last. Codes under 200 end no request
/// (RFC 9110 §15.2).
fn statuses(text: &str) -> Result<(u16, u16), String> {
    let code = |text: &str| {
        let is_code = text.len() == 3 && text.bytes().all(|byte| byte.is_ascii_digit());
        text.parse::<u16>().ok().filter(|code| is_code && (200..600).contains(code))
    };
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    match (code(first), code(last)) {
        (Some(first), Some(last)) if first <= last => Ok((first, last)),
        _ => Err("expected a status code from 200 to 599, or a range such as 200-399".to_owned()),
    }
}

fn at_least(text: &str, least: Duration) -> Result<Duration, String> {
    let value = duration::parse(text)?;
    match value >= least {
        true => Ok(value),
        false => Err(format!("expected a duration of at least {}", duration::print(least))),
    }
}

/// A number from 1.
pub(super) fn count(text: &str) -> Result<u32, String> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    let number = text.parse::<u32>().ok().filter(|&number| number > 0 && digits);
    number.ok_or_else(|| "expected a number from 1 to 4294967295".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::route::Options;

    fn options(text: &str) -> CheckOptions {
        let (options, oddities) = Options::parse(text);
        assert_eq!(oddities, [], "{text}");
        options.check.map(|check| (*check).clone()).unwrap_or_default()
    }

    fn problems(text: &str) -> Vec<String> {
        Options::parse(text).1.into_iter().map(|oddity| oddity.problem).collect()
    }

    #[test]
    fn every_kind_of_check_is_read() {
        let http = |port, path: &str| CheckKind::Http { port, path: path.into() };
        for (text, kind) in [
            ("tcp", CheckKind::Tcp { port: None }),
            ("tcp:8081", CheckKind::Tcp { port: Some(8081) }),
            ("none", CheckKind::None),
            ("http:/", http(None, "/")),
            ("http:/health?full=1&x=:80", http(None, "/health?full=1&x=:80")),
            ("http:8081/healthz", http(Some(8081), "/healthz")),
        ] {
            assert_eq!(CheckKind::parse(text), Ok(kind.clone()));
            assert_eq!(options(&format!("check={text}")).kind, Some(kind));
        }
    }

    #[test]
    fn what_is_no_check_is_named_with_what_was_expected() {
        let long = format!("http:/{}", "x".repeat(LONGEST_PATH));
        for text in [
            "",
            "http",
            "http:",
            "http:80",
            "http://192.0.2.1/",
            "http:x/",
            "http:0/",
            "http:/a#b",
            "http:65536/",
            "http:/é",
            "tcp:",
            "tcp:0",
            "tcp:x",
            "tcp:80/",
            "none:1",
            "https:/",
            "udp",
            "TCP",
            &long,
        ] {
            let (options, oddities) = Options::parse(&format!("check={text}"));
            assert_eq!(options.check, None, "{text}");
            assert_eq!(oddities.len(), 1, "{text}");
            let problem = &oddities[0].problem;
            assert!(problem.contains("has no effect; expected tcp, tcp:PORT, http:/"), "{problem}");
        }
        assert!(options(&format!("check={}", &long[..long.len() - 1])).kind.is_some());
    }

    #[test]
    fn every_option_of_a_check_becomes_a_value() {
        let all = options(
            "check=http:/h checkhost=www.example:8080 checkstatus=204 checkinterval=1.5s \
             checktimeout=300ms rise=3 fall=4294967295",
        );
        let expected = CheckOptions {
            kind: Some(CheckKind::Http { port: None, path: "/h".into() }),
            host: Some("www.example:8080".into()),
            statuses: Some((204, 204)),
            interval: Some(Duration::from_millis(1500)),
            timeout: Some(Duration::from_millis(300)),
            rise: Some(3),
            fall: Some(u32::MAX),
        };
        assert_eq!(all, expected);
        assert_eq!(options("checkstatus=200-599").statuses, Some((200, 599)));
        assert_eq!(options("checkhost=[2001:db8::1]").host.as_deref(), Some("[2001:db8::1]"));
        assert_eq!(Options::parse("weird=1").0.check, None, "and without any there is none");
    }

    #[test]
    fn bad_values_are_named_and_have_no_effect() {
        for (text, part) in [
            ("checkhost", "expected a host name"),
            ("checkhost=a/b", "expected a host name"),
            ("checkhost=münchen.example", "expected a host name"),
            ("checkhost=:80", "expected a host name"),
            ("checkhost=www.example:", "expected a host name"),
            ("checkhost=www.example:80:81", "expected a host name"),
            ("checkhost=2001:db8::1", "expected a host name"),
            ("checkhost=[2001:db8::1", "expected a host name"),
            ("checkstatus=99", "expected a status code from 200 to 599"),
            ("checkstatus=100-199", "expected a status code from 200 to 599"),
            ("checkstatus=600", "expected a status code"),
            ("checkstatus=0200", "expected a status code"),
            ("checkstatus=+20", "expected a status code"),
            ("checkstatus=399-200", "or a range such as 200-399"),
            ("checkstatus=2xx", "expected a status code"),
            ("checkinterval=2", "expected a duration such as 30s or 1m30s (the unit is missing)"),
            ("checkinterval=9ms", "expected a duration of at least 10ms"),
            ("checktimeout=0", "expected a duration of at least 1ms"),
            ("rise=0", "expected a number from 1 to"),
            ("fall=+1", "expected a number from 1 to"),
            ("fall=4294967296", "expected a number from 1 to"),
        ] {
            let problems = problems(text);
            assert_eq!(problems.len(), 1, "{text}: {problems:?}");
            assert!(problems[0].contains(part), "{text}: {problems:?}");
            assert_eq!(Options::parse(text).0.check, None, "{text}");
        }
    }

    #[test]
    fn what_can_have_no_effect_beside_the_check_is_named() {
        for (text, kept, named) in [
            ("check=tcp checkhost=x checkstatus=200 rise=1", "check=tcp rise=1", 2),
            (
                "check=none checkhost=x checkinterval=1s checktimeout=1s rise=1 fall=1",
                "check=none",
                5,
            ),
        ] {
            let (options, oddities) = Options::parse(text);
            assert_eq!(options.check, Options::parse(kept).0.check);
            assert_eq!(oddities.len(), named, "{oddities:?}");
        }
        assert_eq!(problems("checkhost=x checkstatus=200"), [""; 0], "health.check may be HTTP");
    }
}
