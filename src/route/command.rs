//! fabio's route language, one command a line:
//!
//! ```text
//! # a comment, as is a line that begins with //
//! route add SERVICE SOURCE TARGET [weight W] [tags "a,b"] [opts "k=v k2=v2 flag"]
//! ```
//!
//! Words are separated by any white space, the order of the clauses is fixed,
//! and the texts in quotes know no escapes. A bad line is reported and
//! skipped, and the other lines live. (fabio rejects the whole text.)

use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// Most characters of the operator's text that an error repeats.
const EXCERPT: usize = 160;

/// What a text of route commands says: the commands in order, each with its
/// line number (from 1), and what is wrong with the other lines.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Parsed {
    /// Line number and command.
    pub commands: Vec<(usize, Command)>,
    /// One for each line that was skipped.
    pub errors: Vec<LineError>,
}

/// One command of the route language.
#[derive(Clone, Debug, PartialEq)]
pub enum Command {
    /// `route add`
    Add(Add),
}

/// `route add`: one more target of the route with this source.
#[derive(Clone, Debug, PartialEq)]
pub struct Add {
    /// The service that the target belongs to.
    pub service: String,
    /// What the route matches.
    pub source: Source,
    /// The target's address, from `tcp://ADDRESS:PORT` or `udp://ADDRESS:PORT`.
    pub address: SocketAddr,
    /// `weight`: the fixed fraction of the traffic, finite; 0 when there is
    /// none, and the target then shares what the fixed ones leave.
    pub weight: f64,
    /// `tags`
    pub tags: Vec<String>,
    /// `opts`; a word without `=` is a key with an empty value.
    pub opts: BTreeMap<String, String>,
}

/// What a route matches.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Source {
    /// `:PORT`: connections to this port of ours.
    Port(u16),
    /// `:PORT` where the target is `udp://`: datagrams to this port of ours. A
    /// service such as DNS has both, and the two share neither targets nor
    /// weights.
    UdpPort(u16),
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Source::Port(port) | Source::UdpPort(port) => write!(f, ":{port}"),
        }
    }
}

/// Why a line was skipped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LineError {
    /// The line's number, from 1.
    pub line: usize,
    /// The line, shortened and with control characters replaced by U+FFFD.
    pub text: String,
    /// What was found and what was expected.
    pub problem: String,
}

impl LineError {
    fn new(line: usize, text: &str, problem: String) -> LineError {
        let visible = |c: char| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c };
        LineError { line, text: shortened(text).chars().map(visible).collect(), problem }
    }
}

impl fmt::Display for LineError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}: {}", self.line, self.text, self.problem)
    }
}

/// Reads a text of route commands; never fails as a whole.
pub fn parse(text: &str) -> Parsed {
    let mut parsed = Parsed::default();
    for (line, text) in (1..).zip(text.split('\n')) {
        let text = text.trim();
        if text.is_empty() || text.starts_with('#') || text.starts_with("//") {
            continue;
        }
        match parse_command(&mut Words::new(text)) {
            Ok(command) => parsed.commands.push((line, command)),
            Err(problem) => parsed.errors.push(LineError::new(line, text, problem)),
        }
    }
    parsed
}

fn parse_command(words: &mut Words<'_>) -> Result<Command, String> {
    if !words.take("route") {
        return Err(format!("expected \"route\", found {}", words.found()));
    }
    match words.next() {
        Some("add") => parse_add(words).map(Command::Add),
        Some(command @ ("del" | "weight")) => {
            Err(format!("\"route {command}\" is not supported yet; use \"route add\""))
        }
        Some(word) => {
            Err(format!("{} is no route command; expected add, del or weight", quoted(word)))
        }
        None => Err("expected add, del or weight after \"route\"".to_owned()),
    }
}

fn parse_add(words: &mut Words<'_>) -> Result<Add, String> {
    let service = words.expect("a service name")?.to_owned();
    let port = parse_source(words.expect("a source such as :80")?)?;
    let (is_udp, address) = parse_target(words.expect("a target such as tcp://192.0.2.1:80")?)?;
    let source = if is_udp { Source::UdpPort(port) } else { Source::Port(port) };
    let weight = if words.take("weight") {
        parse_weight(words.expect("a number after \"weight\"")?)?
    } else {
        0.0
    };
    let tags = if words.take("tags") { parse_tags(words.text("tags")?) } else { Vec::new() };
    let opts = if words.take("opts") { parse_opts(words.text("opts")?) } else { BTreeMap::new() };
    if words.next_is_none() {
        check_opts(&opts)?;
        Ok(Add { service, source, address, weight, tags, opts })
    } else {
        let expected = "weight W, tags \"…\" and opts \"…\", in this order and once each";
        Err(format!("unexpected {}; the target is followed by {expected}", words.found()))
    }
}

/// `:PORT`; hosts and paths need listeners that do not exist yet.
fn parse_source(word: &str) -> Result<u16, String> {
    let Some(port) = word.strip_prefix(':') else {
        return Err(format!(
            "the source {} is a host or a path, which is not supported yet; \
             expected a port such as :80",
            quoted(word)
        ));
    };
    parse_port(port)
}

/// `tcp://ADDRESS:PORT` or `udp://ADDRESS:PORT`; whether it is the latter, and
/// the address. A path behind it means nothing, as in fabio.
fn parse_target(word: &str) -> Result<(bool, SocketAddr), String> {
    let Some((scheme, rest)) = word.split_once("://") else {
        return Err(format!(
            "the target {} has no scheme; expected tcp://ADDRESS:PORT",
            quoted(word)
        ));
    };
    let is_udp = scheme.eq_ignore_ascii_case("udp");
    if !is_udp && !scheme.eq_ignore_ascii_case("tcp") {
        return Err(format!(
            "targets with the scheme {} are not supported yet; expected tcp://ADDRESS:PORT or \
             udp://ADDRESS:PORT",
            quoted(scheme)
        ));
    }
    let authority = rest.split(['/', '?', '#']).next().unwrap_or(rest);
    let (host, port) = split_authority(authority)?;
    let address = parse_address(host)?;
    match port {
        Some(port) => Ok((is_udp, SocketAddr::new(address, parse_port(port)?))),
        None => Err(format!(
            "the target {} has no port; expected tcp://ADDRESS:PORT",
            quoted(authority)
        )),
    }
}

/// Divides `host:port`, `[host]:port` and the forms without a port. The
/// brackets stay, so that they still tell an IPv6 address.
fn split_authority(authority: &str) -> Result<(&str, Option<&str>), String> {
    let after_host = match (authority.starts_with('['), authority.find(']')) {
        (true, Some(bracket)) => bracket.saturating_add(1),
        (true, None) => {
            return Err(format!("the target {} has no closing bracket", quoted(authority)));
        }
        (false, _) => authority.rfind(':').unwrap_or(authority.len()),
    };
    let (host, rest) = authority.split_at_checked(after_host).unwrap_or((authority, ""));
    match rest.strip_prefix(':') {
        Some(port) => Ok((host, Some(port))),
        None if rest.is_empty() => Ok((host, None)),
        None => Err(format!(
            "expected a colon and a port after {}, found {}",
            quoted(host),
            quoted(rest)
        )),
    }
}

/// A literal IPv4 address or an IPv6 address in brackets. Names would need a
/// resolver, and the system's blocks.
fn parse_address(host: &str) -> Result<IpAddr, String> {
    let bracketed = host.strip_prefix('[').and_then(|h| h.strip_suffix(']'));
    if let Some(inside) = bracketed {
        let address = inside.parse::<Ipv6Addr>();
        return address
            .map(IpAddr::V6)
            .map_err(|_| format!("{} is no IPv6 address", quoted(inside)));
    }
    if let Ok(address) = host.parse::<Ipv4Addr>() {
        return Ok(IpAddr::V4(address));
    }
    Err(if host.is_empty() {
        "the target has no address; expected tcp://ADDRESS:PORT".to_owned()
    } else if host.contains('@') {
        format!("the target {} has a user name, which tcp does not know", quoted(host))
    } else if host.contains(':') {
        format!("{} must be in brackets, as in tcp://[2001:db8::1]:80", quoted(host))
    } else if host.chars().all(|c| c.is_ascii_digit() || c == '.') {
        format!("{} is no IPv4 address", quoted(host))
    } else {
        format!(
            "the target {} is a name; names are not supported yet, give an IP address",
            quoted(host)
        )
    })
}

fn parse_port(word: &str) -> Result<u16, String> {
    let digits = word.bytes().all(|b| b.is_ascii_digit());
    match word.parse::<u16>() {
        Ok(port) if port > 0 && digits => Ok(port),
        _ => Err(format!("{} is no port; expected a number from 1 to 65535", quoted(word))),
    }
}

/// A fraction of the traffic. A negative weight is none, as in fabio; an
/// infinite one (which crashes fabio) and one that is no number are errors.
fn parse_weight(word: &str) -> Result<f64, String> {
    match word.parse::<f64>() {
        Ok(weight) if weight.is_finite() => Ok(if weight > 0.0 { weight } else { 0.0 }),
        _ => Err(format!("{} is no weight; expected a finite number such as 0.5", quoted(word))),
    }
}

fn parse_tags(text: &str) -> Vec<String> {
    text.split(',').map(str::trim).filter(|tag| !tag.is_empty()).map(str::to_owned).collect()
}

fn parse_opts(text: &str) -> BTreeMap<String, String> {
    let pair = |word: &str| match word.split_once('=') {
        Some((key, value)) => (key.to_owned(), value.to_owned()),
        None => (word.to_owned(), String::new()),
    };
    text.split_whitespace().map(pair).collect()
}

/// Refuses the options that a target must not be served without: who may
/// come in, and what the target expects to read first. Others are kept, and
/// do nothing, as in fabio.
fn check_opts(opts: &BTreeMap<String, String>) -> Result<(), String> {
    if let Some(key) = ["allow", "deny", "auth"].into_iter().find(|&key| opts.contains_key(key)) {
        return Err(format!(
            "the option {} is not supported yet, and serving the route without it would let \
             everybody in",
            quoted(key)
        ));
    }
    if opts.get("pxyproto").is_some_and(|value| value == "true") {
        return Err("the option \"pxyproto=true\" is not supported yet, and the target would \
                    wait for a PROXY header"
            .to_owned());
    }
    Ok(())
}

/// The words of one line, from left to right.
struct Words<'a> {
    rest: &'a str,
}

impl<'a> Words<'a> {
    fn new(line: &'a str) -> Words<'a> {
        Words { rest: line.trim_start() }
    }

    /// The next word and what follows it.
    fn peek(&self) -> Option<(&'a str, &'a str)> {
        let end = self.rest.find(char::is_whitespace).unwrap_or(self.rest.len());
        let (word, rest) = self.rest.split_at_checked(end)?;
        (!word.is_empty()).then(|| (word, rest.trim_start()))
    }

    fn next(&mut self) -> Option<&'a str> {
        let (word, rest) = self.peek()?;
        self.rest = rest;
        Some(word)
    }

    fn next_is_none(&self) -> bool {
        self.rest.is_empty()
    }

    /// Takes the next word if it is this one.
    fn take(&mut self, keyword: &str) -> bool {
        match self.peek() {
            Some((word, rest)) if word == keyword => {
                self.rest = rest;
                true
            }
            _ => false,
        }
    }

    /// The next word, or an error that says what should stand there.
    fn expect(&mut self, what: &str) -> Result<&'a str, String> {
        self.next().ok_or_else(|| format!("expected {what}, found the end of the line"))
    }

    /// The text in double quotes that follows the keyword `clause`.
    fn text(&mut self, clause: &str) -> Result<&'a str, String> {
        let Some(body) = self.rest.strip_prefix('"') else {
            return Err(format!(
                "expected a text in double quotes after {}, found {}",
                quoted(clause),
                self.found()
            ));
        };
        let Some((text, rest)) = body.split_once('"') else {
            return Err(format!("the text after {} has no closing quote", quoted(clause)));
        };
        if !rest.is_empty() && !rest.starts_with(char::is_whitespace) {
            return Err(format!(
                "expected a space after the closing quote of {}, found {}",
                quoted(clause),
                quoted(rest)
            ));
        }
        self.rest = rest.trim_start();
        Ok(text)
    }

    /// What an error says stands here.
    fn found(&self) -> String {
        self.peek().map_or_else(|| "the end of the line".to_owned(), |(word, _)| quoted(word))
    }
}

/// A piece of the operator's text for an error: shortened, in quotes, and
/// with control characters escaped.
fn quoted(text: &str) -> String {
    format!("{:?}", shortened(text))
}

fn shortened(text: &str) -> &str {
    let end = text.char_indices().nth(EXCERPT).map_or(text.len(), |(at, _)| at);
    text.get(..end).unwrap_or(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn add(line: &str) -> Add {
        let parsed = parse(line);
        assert_eq!(parsed.errors, [], "{line}");
        let [(1, Command::Add(add))] = parsed.commands.as_slice() else {
            panic!("{line} gave {:?}", parsed.commands);
        };
        add.clone()
    }

    fn problem(line: &str) -> String {
        let parsed = parse(line);
        assert_eq!(parsed.commands, [], "{line}");
        let [error] = parsed.errors.as_slice() else {
            panic!("{line} gave {:?}", parsed.errors);
        };
        assert_eq!(error.line, 1);
        error.problem.clone()
    }

    fn assert_problem(line: &str, part: &str) {
        let problem = problem(line);
        assert!(problem.contains(part), "{line}: {problem}");
    }

    #[test]
    fn the_shortest_add_has_no_weight_tags_or_opts() {
        assert_eq!(
            add("route add web :80 tcp://192.0.2.1:8080"),
            Add {
                service: "web".to_owned(),
                source: Source::Port(80),
                address: "192.0.2.1:8080".parse().unwrap(),
                weight: 0.0,
                tags: Vec::new(),
                opts: BTreeMap::new(),
            }
        );
    }

    #[test]
    fn all_clauses_are_read_whatever_the_space_between() {
        let add = add("  route\tadd  svc-1   :1234 \t tcp://[2001:db8::1]:80  weight  0.25 \
                       tags  \"a, b ,,c\"  opts \"proto=tcp  x=y=z flag\" \r");
        assert_eq!(add.service, "svc-1");
        assert_eq!(add.source, Source::Port(1234));
        assert_eq!(add.address, "[2001:db8::1]:80".parse().unwrap());
        assert_eq!(add.weight, 0.25);
        assert_eq!(add.tags, ["a", "b", "c"]);
        let opts: Vec<(&str, &str)> =
            add.opts.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
        assert_eq!(opts, [("flag", ""), ("proto", "tcp"), ("x", "y=z")]);
    }

    #[test]
    fn each_clause_may_be_left_out() {
        assert_eq!(add("route add a :1 tcp://192.0.2.1:1 tags \"\"").tags, [""; 0]);
        assert_eq!(add("route add a :1 tcp://192.0.2.1:1 opts \"x=1\"").opts.len(), 1);
        let add = add("route add a :1 tcp://192.0.2.1:1 weight 1 opts \"x=1 x=2\"");
        assert_eq!(add.opts.get("x").map(String::as_str), Some("2"));
    }

    #[test]
    fn comments_and_blank_lines_count_as_lines() {
        let parsed = parse(
            "# one\n\n   // three\nroute add a :1 tcp://192.0.2.1:1\r\n \t\n\
             route add b :1 tcp://192.0.2.2:1\nnonsense\n",
        );
        let lines: Vec<usize> = parsed.commands.iter().map(|(line, _)| *line).collect();
        assert_eq!(lines, [4, 6]);
        assert_eq!(parsed.errors.len(), 1);
        assert_eq!(parsed.errors[0].line, 7);
        assert_eq!(parse(""), Parsed::default());
    }

    #[test]
    fn a_bad_line_spoils_no_other() {
        let parsed = parse(
            "route add a :1 tcp://192.0.2.1:1\n\
             route add a :1\n\
             route add web :80 tcp://backend:80\n\
             route add a :1 tcp://192.0.2.2:1",
        );
        assert_eq!(parsed.commands.len(), 2);
        assert_eq!(
            parsed.errors[1].to_string(),
            "line 3: route add web :80 tcp://backend:80: the target \"backend\" is a name; \
             names are not supported yet, give an IP address"
        );
    }

    #[test]
    fn other_commands_are_named() {
        assert_problem("route del a", "\"route del\" is not supported yet");
        assert_problem("route weight a :1 weight 1", "\"route weight\" is not supported yet");
        assert_problem("route addx a", "\"addx\" is no route command");
        assert_problem("route", "expected add, del or weight");
        assert_problem("rout add a", "expected \"route\", found \"rout\"");
    }

    #[test]
    fn missing_words_are_named() {
        assert_problem("route add", "expected a service name, found the end");
        assert_problem("route add a", "expected a source such as :80");
        assert_problem("route add a :80", "expected a target such as tcp://");
        assert_problem("route add a :80 tcp://192.0.2.1:1 weight", "a number after \"weight\"");
        assert_problem("route add a :80 tcp://192.0.2.1:1 tags", "found the end of the line");
    }

    #[test]
    fn sources_other_than_ports_are_refused() {
        for source in ["example.com/", "/", "example.com:80/x"] {
            assert_problem(&format!("route add a {source} tcp://192.0.2.1:1"), "a host or a path");
        }
        for source in [":", ":0", ":65536", ":http", ":+1"] {
            assert_problem(&format!("route add a {source} tcp://192.0.2.1:1"), "is no port");
        }
    }

    #[test]
    fn bad_targets_say_what_is_wrong() {
        for (target, part) in [
            ("192.0.2.1:80", "has no scheme"),
            ("http://192.0.2.1:80/", "the scheme \"http\" are not supported yet"),
            ("tcp://192.0.2.1", "has no port"),
            ("tcp://[2001:db8::1]", "has no port"),
            ("tcp://192.0.2.1:", "\"\" is no port"),
            ("tcp://192.0.2.1:0", "\"0\" is no port"),
            ("tcp://[2001:db8::1]:99999", "\"99999\" is no port"),
            ("tcp://2001:db8::1:80", "must be in brackets"),
            ("tcp://[2001:db8::1:80", "no closing bracket"),
            ("tcp://[192.0.2.1]:80", "is no IPv6 address"),
            ("tcp://[2001:db8::1]80", "expected a colon and a port"),
            ("tcp://192.0.2.256:80", "is no IPv4 address"),
            ("tcp://backend:80", "is a name"),
            ("tcp://backend", "is a name"),
            ("tcp://me@192.0.2.1:80", "has a user name"),
            ("tcp://:80", "has no address"),
            ("tcp://", "has no address"),
        ] {
            assert_problem(&format!("route add a :80 {target}"), part);
        }
    }

    #[test]
    fn scheme_case_and_path_of_a_target_mean_nothing() {
        for target in ["TCP://192.0.2.1:80", "tcp://192.0.2.1:80/", "tcp://192.0.2.1:80/a?b#c"] {
            let add = add(&format!("route add a :80 {target}"));
            assert_eq!(add.address, "192.0.2.1:80".parse().unwrap());
        }
    }

    #[test]
    fn weights_are_finite_and_never_negative() {
        let weight = |w: &str| add(&format!("route add a :1 tcp://192.0.2.1:1 weight {w}")).weight;
        assert_eq!(weight("1e-3"), 0.001);
        assert_eq!(weight("7"), 7.0);
        assert_eq!(weight("-0.5").to_bits(), 0);
        assert_eq!(weight("-0").to_bits(), 0);
        for bad in ["nan", "NaN", "inf", "-Inf", "1e999", "half", "1,5"] {
            assert_problem(
                &format!("route add a :1 tcp://192.0.2.1:1 weight {bad}"),
                "is no weight",
            );
        }
    }

    #[test]
    fn clauses_have_one_order_and_come_once() {
        let line = "route add a :1 tcp://192.0.2.1:1";
        for tail in [
            "tags \"a\" weight 1",
            "opts \"a=b\" tags \"a\"",
            "weight 1 weight 1",
            "something",
            "tags\"a\"",
        ] {
            assert_problem(&format!("{line} {tail}"), "in this order and once each");
        }
    }

    #[test]
    fn quotes_are_closed_and_followed_by_space() {
        let line = "route add a :1 tcp://192.0.2.1:1";
        assert_problem(&format!("{line} tags a"), "in double quotes after \"tags\", found \"a\"");
        assert_problem(&format!("{line} opts \"a"), "has no closing quote");
        assert_problem(&format!("{line} tags \"a\"opts \"b\""), "expected a space");
    }

    #[test]
    fn rules_that_cannot_be_kept_are_never_ignored() {
        let line = "route add a :1 tcp://192.0.2.1:1 opts";
        for key in ["allow=ip:10.0.0.0/8", "deny=ip:10.0.0.1", "allow", "auth=mine"] {
            assert_problem(&format!("{line} \"proto=tcp {key}\""), "let everybody in");
        }
        assert_problem(&format!("{line} \"pxyproto=true\""), "\"pxyproto=true\" is not supported");
        assert_eq!(add(&format!("{line} \"pxyproto=false strip=/a\"")).opts.len(), 2);
    }

    #[test]
    fn errors_are_short_and_hold_no_control_characters() {
        let error = &parse(&format!("\u{1b}[31m{}", "é".repeat(100_000))).errors[0];
        let text = error.to_string();
        assert!(text.len() < 1_000);
        assert!(!text.chars().any(char::is_control), "{text}");
        let target = format!("tcp://192.0.2.1\u{7f}/{}", "x".repeat(100_000));
        for line in
            [format!("route add a :1 {target}"), format!("route add a :1 tcp://[::1]/{target}")]
        {
            let text = parse(&line).errors[0].to_string();
            assert!(text.len() < 1_000);
            assert!(!text.chars().any(char::is_control), "{text}");
        }
        let error = &parse("nonsense \"in quotes\"").errors[0];
        assert_eq!(error.text, "nonsense \"in quotes\"");
    }

    #[test]
    fn no_text_breaks_the_parser() {
        let pieces = [
            "route",
            "add",
            " ",
            "\"",
            "tags",
            "opts",
            "weight",
            ":",
            "80",
            "tcp://",
            "[",
            "]",
            "192.0.2.1",
            "::1",
            "é",
            "\u{a0}",
            "=",
            ",",
            "\n",
            "#",
            "@",
            "1e9",
        ];
        let mut random = crate::reactor::random::Random::new(3);
        for _ in 0..20_000 {
            let count = random.index(14);
            let text: String = (0..count).map(|_| pieces[random.index(pieces.len())]).collect();
            for line in [text.clone(), format!("route add a :80 tcp://{text}")] {
                let parsed = parse(&line);
                let lines = line.split('\n').count();
                assert!(parsed.commands.len() + parsed.errors.len() <= lines);
            }
        }
    }
}
