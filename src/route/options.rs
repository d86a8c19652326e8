//! `opts`: what is to be different for one target.

use std::collections::BTreeMap;
use std::fmt;
use std::rc::Rc;

use super::access::Access;
use super::check::{self, CheckOptions};
use super::pick::Strategy;
use super::words::quoted;

/// Options that fabio knows, and `alpn`, `limit`, `strategy` and those of
/// [`super::check`], which are burgee's own.
const KNOWN: [&str; 23] = [
    "allow",
    "alpn",
    "auth",
    "check",
    "checkhost",
    "checkinterval",
    "checkstatus",
    "checktimeout",
    "deny",
    "fall",
    "grpcservername",
    "host",
    "limit",
    "prepend",
    "proto",
    "pxyproto",
    "redirect",
    "register",
    "rise",
    "strategy",
    "strip",
    "tlsskipverify",
    "weight",
];

/// Most protocols of one `alpn=`: more than any client has been seen to offer.
const MOST_PROTOCOLS: usize = 16;

/// The options of a target: all of them as they were written, and those that
/// burgee acts on as values.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Options {
    texts: BTreeMap<String, String>,
    /// `proto=`
    pub protocol: Option<Protocol>,
    /// `pxyproto=`: what to say to the target before the client's first byte.
    pub proxy_header: Option<ProxyHeader>,
    /// `allow=` and `deny=`
    pub access: Access,
    /// `alpn=`: the target is for clients that offer one of these protocols,
    /// each of 1 to 255 octets (RFC 7301 §3.1); empty for any client. See
    /// [`Route::alpn_choice`](super::Route::alpn_choice).
    pub alpn: Vec<Box<[u8]>>,
    /// `limit=`: most connections to the target's service, from 1. See
    /// [`Table::service_limit`](super::Table::service_limit).
    pub service_limit: Option<u32>,
    /// `strategy=`: how the targets of the route are picked, if not by
    /// `proxy.strategy`.
    pub strategy: Option<Strategy>,
    /// `tlsskipverify=true`
    pub tls_skip_verify: bool,
    /// `check=` and its company, if any of them is there and good. A table
    /// has one value for all targets whose checks are alike.
    pub check: Option<Rc<CheckOptions>>,
}

/// `proto=`: how a target is spoken to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// `tcp`: the client's bytes are passed on as they are, TLS included.
    Tcp,
    /// `http`
    Http,
    /// `https`
    Https,
    /// `grpc`
    Grpc,
    /// `grpcs`
    Grpcs,
}

/// `pxyproto=`: the version of the PROXY protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProxyHeader {
    /// `true` or `v1`: a line of text.
    V1,
    /// `v2`: binary, which fabio cannot send.
    V2,
}

/// What is odd about a line that is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Oddity {
    /// Of those with the same word here only the first is worth telling.
    pub once: Option<String>,
    /// A sentence.
    pub problem: String,
}

impl Options {
    /// Reads the text of `opts`: words, each `KEY=VALUE` or a key whose value
    /// is empty. Of two with one key the last counts. Every option is kept.
    pub fn parse(text: &str) -> (Options, Vec<Oddity>) {
        let pair = |word: &str| match word.split_once('=') {
            Some((key, value)) => (key.to_owned(), value.to_owned()),
            None => (word.to_owned(), String::new()),
        };
        let texts = text.split_whitespace().map(pair).collect();
        let mut options = Options { texts, ..Options::default() };
        let problems = options.read();
        (options, problems)
    }

    /// Takes the values from the texts.
    fn read(&mut self) -> Vec<Oddity> {
        let get = |key: &str| self.texts.get(key).map(String::as_str);
        let (access, closed) = Access::parse(get("allow"), get("deny"));
        let mut problems = closed;
        let mut wrong = |key: &str, text: &str, expected: &str| {
            let found = quoted(&format!("{key}={text}"));
            problems.push(format!("the option {found} has no effect; expected {expected}"));
        };
        let protocol = get("proto").and_then(|text| {
            let protocol = protocol(text);
            if protocol.is_none() {
                wrong("proto", text, "tcp, http, https, grpc or grpcs");
            }
            protocol
        });
        let proxy_header = get("pxyproto").and_then(|text| match text {
            "true" | "v1" => Some(ProxyHeader::V1),
            "v2" => Some(ProxyHeader::V2),
            _ => {
                if text != "false" {
                    wrong("pxyproto", text, "true, v1, v2 or false");
                }
                None
            }
        });
        let strategy = get("strategy").and_then(|text| {
            let strategy = Strategy::parse(text);
            if strategy.is_none() {
                wrong("strategy", text, "rnd, rr, least or hash");
            }
            strategy
        });
        let service_limit = get("limit").and_then(|text| {
            let limit = check::count(text).ok();
            if limit.is_none() {
                wrong("limit", text, "a number from 1 to 4294967295");
            }
            limit
        });
        if let Some(text) = get("weight") {
            wrong("weight", text, "the clause: weight W, before tags and opts");
        }
        let tls_skip_verify = get("tlsskipverify") == Some("true");
        let check = check::read(get, &mut wrong);
        let known = |key: &&String| KNOWN.contains(&key.as_str());
        let unknown = self.texts.keys().filter(|key| !known(key)).map(|key| Oddity {
            once: Some(format!("option {key}")),
            problem: format!(
                "the option {} is not known; it is kept, and does nothing",
                quoted(key)
            ),
        });
        let plain = |problem: String| Oddity { once: None, problem };
        let oddities = problems.into_iter().map(plain).chain(unknown).collect();
        self.protocol = protocol;
        self.proxy_header = proxy_header;
        self.access = access;
        self.alpn = get("alpn").and_then(|text| protocols(text).ok()).unwrap_or_default();
        self.service_limit = service_limit;
        self.strategy = strategy;
        self.tls_skip_verify = tls_skip_verify;
        self.check = (check != CheckOptions::default()).then(|| Rc::new(check));
        oddities
    }

    /// What is wrong with `alpn=`, if anything is. A target must not be served
    /// to everybody because of that.
    pub(super) fn check_alpn(&self) -> Result<(), String> {
        self.get("alpn").map_or(Ok(()), |text| protocols(text).map(|_| ()))
    }

    /// The value of an option as it was written; empty for a key alone.
    pub fn get(&self, key: &str) -> Option<&str> {
        self.texts.get(key).map(String::as_str)
    }

    /// All options as they were written, in the order of their keys.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.texts.iter().map(|(key, value)| (key.as_str(), value.as_str()))
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.texts.is_empty()
    }
}

/// All of them, as in `opts`.
impl fmt::Display for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (key, value)) in self.iter().enumerate() {
            let separator = if index == 0 { "" } else { " " };
            write!(f, "{separator}{key}={value}")?;
        }
        Ok(())
    }
}

/// Protocol names of RFC 7301: those with a comma, a space or a quotation mark
/// cannot be written, and no registered one has any.
fn protocols(text: &str) -> Result<Vec<Box<[u8]>>, String> {
    let names: Vec<Box<[u8]>> = text.split(',').map(|name| name.as_bytes().into()).collect();
    let is_good = |name: &[u8]| (1..=usize::from(u8::MAX)).contains(&name.len());
    if names.len() > MOST_PROTOCOLS {
        return Err(format!(
            "the option \"alpn\" names {} protocols; expected at most {MOST_PROTOCOLS}",
            names.len()
        ));
    }
    match names.iter().find(|name| !is_good(name)) {
        None => Ok(names),
        Some(name) => Err(format!(
            "the option {} has a protocol of {} octets; expected 1 to 255, as in \
             alpn=h2,http/1.1",
            quoted(&format!("alpn={text}")),
            name.len()
        )),
    }
}

fn protocol(text: &str) -> Option<Protocol> {
    Some(match text {
        "tcp" => Protocol::Tcp,
        "http" => Protocol::Http,
        "https" => Protocol::Https,
        "grpc" => Protocol::Grpc,
        "grpcs" => Protocol::Grpcs,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(text: &str) -> Options {
        let (options, oddities) = Options::parse(text);
        assert_eq!(oddities, [], "{text}");
        options
    }

    fn problems(text: &str) -> Vec<String> {
        Options::parse(text).1.into_iter().map(|oddity| oddity.problem).collect()
    }

    #[test]
    fn options_that_burgee_acts_on_become_values() {
        let all = options(
            "proto=tcp pxyproto=v2 strategy=least tlsskipverify=true allow=ip:10.0.0.0/8 \
             deny=ip:10.0.0.1",
        );
        assert_eq!(all.protocol, Some(Protocol::Tcp));
        assert_eq!(all.proxy_header, Some(ProxyHeader::V2));
        assert_eq!(all.strategy, Some(Strategy::Least));
        assert!(all.tls_skip_verify);
        assert!(all.access.admits("10.0.0.2".parse().unwrap()));
        assert!(!all.access.admits("10.0.0.1".parse().unwrap()));
        assert_eq!(options("pxyproto=true").proxy_header, Some(ProxyHeader::V1));
        assert_eq!(options("pxyproto=false tlsskipverify=yes").proxy_header, None);
        assert_eq!(options(""), Options::default());
    }

    #[test]
    fn protocols_of_alpn_are_octets_of_a_bounded_number() {
        let alpn = options("alpn=h2,http/1.1").alpn;
        assert_eq!(alpn, [Box::from(&b"h2"[..]), Box::from(&b"http/1.1"[..])]);
        let names = |count: usize, length: usize| {
            options(&format!("alpn={}", vec!["x".repeat(length); count].join(",")))
        };
        assert_eq!(names(MOST_PROTOCOLS, 255).alpn.len(), MOST_PROTOCOLS);
        for (options, part) in [
            (names(MOST_PROTOCOLS + 1, 1), "17 protocols; expected at most 16"),
            (names(1, 256), "a protocol of 256 octets"),
            (options("alpn=h2,"), "a protocol of 0 octets"),
            (options("alpn"), "a protocol of 0 octets"),
        ] {
            assert_eq!(options.alpn, []);
            assert!(options.check_alpn().unwrap_err().contains(part));
        }
    }

    #[test]
    fn a_limit_is_a_number_from_one() {
        assert_eq!(options("limit=1").service_limit, Some(1));
        assert_eq!(options("limit=4294967295").service_limit, Some(u32::MAX));
        for text in ["limit=0", "limit", "limit=+1", "limit=-1", "limit=4294967296", "limit=1k"] {
            assert_eq!(Options::parse(text).0.service_limit, None);
            assert!(problems(text)[0].contains("expected a number from 1 to"), "{text}");
        }
    }

    #[test]
    fn all_options_are_kept_as_text() {
        let (options, _) = Options::parse("strip=/a  x=y=z flag =v x=2 pxyproto=true");
        let texts: Vec<(&str, &str)> = options.iter().collect();
        assert_eq!(
            texts,
            [("", "v"), ("flag", ""), ("pxyproto", "true"), ("strip", "/a"), ("x", "2")]
        );
        assert_eq!(options.get("strip"), Some("/a"));
        assert_eq!(options.get("prepend"), None);
        assert!(!options.is_empty());
    }

    #[test]
    fn every_option_of_fabio_is_known() {
        options(
            "strip=/p prepend=/p host=dst tlsskipverify=true proto=https pxyproto=true \
             register=name auth=mine allow=ip:::1 redirect=301 grpcservername=x",
        );
    }

    #[test]
    fn unknown_options_are_kept_and_named() {
        let (options, oddities) = Options::parse("stripe=/a weird");
        assert_eq!(options.get("stripe"), Some("/a"));
        let keys: Vec<Option<&str>> = oddities.iter().map(|o| o.once.as_deref()).collect();
        assert_eq!(keys, [Some("option stripe"), Some("option weird")]);
        assert!(oddities[0].problem.contains("\"stripe\" is not known"));
    }

    #[test]
    fn values_that_mean_nothing_are_named() {
        for (text, part) in [
            ("proto=udp", "\"proto=udp\" has no effect; expected tcp"),
            ("pxyproto=yes", "expected true, v1, v2 or false"),
            ("pxyproto", "expected true, v1, v2 or false"),
            ("strategy=best", "expected rnd, rr, least or hash"),
            ("weight=0.5", "the clause"),
            ("allow=10.0.0.1", "nobody is let in"),
        ] {
            let problems = problems(text);
            assert_eq!(problems.len(), 1, "{text}: {problems:?}");
            assert!(problems[0].contains(part), "{text}: {problems:?}");
        }
    }
}
