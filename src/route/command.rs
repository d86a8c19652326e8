//! fabio's route language, one command a line:
//!
//! ```text
//! # a comment, as is a line that begins with //
//! route add SERVICE SOURCE TARGET [weight W] [tags "a,b"] [opts "k=v k2=v2 flag"]
//! route del SERVICE [SOURCE [TARGET]]
//! route del [SERVICE] tags "a,b"
//! route weight SERVICE SOURCE weight W [tags "a,b"]
//! route weight SOURCE weight W tags "a,b"
//! ```
//!
//! Words are separated by any white space, the order of the clauses is fixed,
//! and the texts in quotes know no escapes. A bad line is reported and
//! skipped, and the other lines live. (fabio rejects the whole text.)

use super::check::CheckKind;
use super::destination::{Destination, Scheme};
use super::options::{Oddity, Options};
use super::source::Source;
use super::words::{LineError, Words, quoted};

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
    Add(Box<Add>),
    /// `route del`
    Del(Del),
    /// `route weight`
    Weight(Weight),
}

/// `route add`: one more target of the route with this source.
#[derive(Clone, Debug, PartialEq)]
pub struct Add {
    /// The service that the target belongs to.
    pub service: String,
    /// What the route matches.
    pub source: Source,
    /// Where the target is.
    pub destination: Destination,
    /// `weight`: the fixed fraction of the traffic, finite; 0 when there is
    /// none, and the target then shares what the fixed ones leave.
    pub weight: f64,
    /// `tags`
    pub tags: Vec<String>,
    /// `opts`
    pub options: Options,
    /// What is odd about the line, but does not spoil it.
    pub oddities: Vec<Oddity>,
}

/// `route del`: takes away the targets that all of this holds for. At least
/// the service or a tag is given.
#[derive(Clone, Debug, PartialEq)]
pub struct Del {
    /// The target's service.
    pub service: Option<String>,
    /// The source of the route; needs the service.
    pub source: Option<Source>,
    /// The target's URL; needs the source.
    pub destination: Option<String>,
    /// Tags that the target must have.
    pub tags: Vec<String>,
}

/// `route weight`: divides a fixed weight equally among the targets of one
/// route that all of this holds for.
#[derive(Clone, Debug, PartialEq)]
pub struct Weight {
    /// The target's service; `None` for any.
    pub service: Option<String>,
    /// The source of the route.
    pub source: Source,
    /// The weight of all of them together; 0 takes their fixed weights away.
    pub weight: f64,
    /// Tags that the target must have.
    pub tags: Vec<String>,
}

/// Reads a text of route commands; never fails as a whole.
pub fn parse(text: &str) -> Parsed {
    let mut parsed = Parsed::default();
    for (line, text) in (1..).zip(text.split('\n')) {
        match parse_line(text) {
            Ok(None) => {}
            Ok(Some(command)) => parsed.commands.push((line, command)),
            Err(problem) => parsed.errors.push(LineError::new(line, text.trim(), problem)),
        }
    }
    parsed
}

/// Reads one line; `None` for one without a command.
pub(super) fn parse_line(text: &str) -> Result<Option<Command>, String> {
    let text = text.trim();
    if text.is_empty() || text.starts_with('#') || text.starts_with("//") {
        return Ok(None);
    }
    let words = &mut Words::new(text);
    if !words.take("route") {
        return Err(format!("expected \"route\", found {}", words.found()));
    }
    let command = match words.next() {
        Some("add") => Command::Add(Box::new(parse_add(words)?)),
        Some("del") => Command::Del(parse_del(words)?),
        Some("weight") => Command::Weight(parse_route_weight(words)?),
        Some(word) => {
            return Err(format!(
                "{} is no route command; expected add, del or weight",
                quoted(word)
            ));
        }
        None => return Err("expected add, del or weight after \"route\"".to_owned()),
    };
    Ok(Some(command))
}

fn parse_add(words: &mut Words<'_>) -> Result<Add, String> {
    let service = words.expect("a service name")?.to_owned();
    let source = Source::parse(words.expect("a source such as :80")?)?;
    let target = words.expect("a target such as tcp://192.0.2.1:80")?;
    let weight = if words.take("weight") { parse_weight(words)? } else { 0.0 };
    let tags = if words.take("tags") { parse_tags(words.text("tags")?) } else { Vec::new() };
    let opts = if words.take("opts") { words.text("opts")? } else { "" };
    words.expect_end("the target", "weight W, tags \"…\" and opts \"…\"")?;
    let (options, mut oddities) = Options::parse(opts);
    let destination = Destination::parse(target, options.get("redirect").is_some())?;
    let source = source.of(destination.scheme())?;
    check_served(&destination, &options)?;
    oddities.extend(odd_for_now(&source, &destination, &options));
    Ok(Add { service, source, destination, weight, tags, options, oddities })
}

/// Refuses what a target must not be served without. Nobody can be asked for a
/// password over plain TCP, and no datagram has a place for a PROXY header.
fn check_served(destination: &Destination, options: &Options) -> Result<(), String> {
    let is_plain = matches!(destination.scheme(), Scheme::Tcp | Scheme::Udp);
    if is_plain && options.get("auth").is_some() {
        return Err("the option \"auth\" needs HTTP, and serving a tcp or udp target without it \
                    would let everybody in"
            .to_owned());
    }
    if destination.scheme() == Scheme::Udp && options.get("redirect").is_some() {
        return Err("the option \"redirect\" needs HTTP".to_owned());
    }
    if destination.scheme() == Scheme::Udp && options.proxy_header.is_some() {
        return Err("the option \"pxyproto\" needs connections, and a udp target would wait for \
                    a PROXY header"
            .to_owned());
    }
    check_is_built_in(options)?;
    options.check_alpn()
}

/// Refuses an HTTP check where there is none: a connect check in its place would
/// take for healthy what is not.
fn check_is_built_in(options: &Options) -> Result<(), String> {
    let kind = options.check.as_ref().and_then(|check| check.kind.as_ref());
    match kind {
        Some(CheckKind::Http { .. }) if !cfg!(feature = "http") => Err(format!(
            "the option {} needs HTTP, and this burgee was built without the feature `http`",
            quoted(&format!("check={}", options.get("check").unwrap_or_default()))
        )),
        _ => Ok(()),
    }
}

/// What the table holds, and nothing acts on: some of it yet, some of it here.
fn odd_for_now(source: &Source, destination: &Destination, options: &Options) -> Vec<Oddity> {
    let mut oddities = Vec::new();
    let mut odd = |key: &str, problem: String| {
        oddities.push(Oddity { once: Some(key.to_owned()), problem });
    };
    if let Source::Host { path, .. } = source
        && !source.is_looked_up()
    {
        let source = quoted(&source.to_string());
        if path == "/" {
            let problem = format!(
                "the source {source} is kept, and no listener finds it yet: a TLS server name \
                 is plain ASCII, and only NAME/, *.SUFFIX/, */ and / match one"
            );
            odd("host", problem);
        } else {
            odd("path", format!("the source {source} is kept, and no listener looks paths up yet"));
        }
    }
    if options.get("redirect").is_some() {
        odd("redirect", "redirects are kept, and no listener answers with one yet".to_owned());
    } else if destination.address().is_none() && destination.name().is_none() {
        let problem = format!(
            "the target {} is a name; it is kept, and not dialled: only names of tcp targets \
             are looked up",
            quoted(destination.as_str())
        );
        odd("name", problem);
    }
    if !options.alpn.is_empty() && !matches!(source, Source::Host { .. }) {
        let problem = format!(
            "the option \"alpn\" has no effect: clients of {} are not asked for a protocol; \
             expected a source that is a name",
            quoted(&source.to_string())
        );
        odd("alpn", problem);
    }
    if options.service_limit.is_some() && destination.scheme() == Scheme::Udp {
        odd("limit", "the option \"limit\" has no effect: it is for connections".to_owned());
    }
    if options.check.is_some() && destination.scheme() == Scheme::Udp {
        let problem = "the options of a check have no effect: a udp target is not checked but by \
                       its traffic, and by the check of the tcp target with its service and \
                       address";
        odd("check", problem.to_owned());
    }
    oddities
}

fn parse_del(words: &mut Words<'_>) -> Result<Del, String> {
    let mut del = Del { service: None, source: None, destination: None, tags: Vec::new() };
    if !words.text_follows("tags") {
        del.service = Some(words.expect("a service name, or tags \"…\"")?.to_owned());
    }
    if words.text_follows("tags") {
        words.take("tags");
        del.tags = some_tags(words.text("tags")?)?;
    } else if let Some(source) = words.next() {
        let source = Source::parse(source)?;
        // A redirect is as good as any other target here.
        let target = words.next().map(|target| Destination::parse(target, true)).transpose()?;
        del.source = Some(match &target {
            Some(target) => source.of(target.scheme())?,
            None => source,
        });
        del.destination = target.map(|target| target.to_string());
    }
    words.expect_end(
        "\"route del\"",
        "SERVICE, SERVICE SOURCE, SERVICE SOURCE TARGET or tags \"…\"",
    )?;
    Ok(del)
}

fn parse_route_weight(words: &mut Words<'_>) -> Result<Weight, String> {
    let first = words.expect("a service name or a source")?;
    let (service, source) = if words.is_before("weight", "weight") {
        (None, first)
    } else {
        (Some(first.to_owned()), words.expect("a source such as :80")?)
    };
    let source = Source::parse(source)?;
    if !words.take("weight") {
        return Err(format!("expected \"weight\" and a number, found {}", words.found()));
    }
    let weight = parse_weight(words)?;
    let tags = match (&service, words.take("tags")) {
        (Some(_), true) => parse_tags(words.text("tags")?),
        (Some(_), false) => Vec::new(),
        (None, true) => some_tags(words.text("tags")?)?,
        (None, false) => {
            return Err(format!(
                "expected tags \"…\" because no service is named, found {}",
                words.found()
            ));
        }
    };
    words.expect_end("\"route weight\"", "[SERVICE] SOURCE, weight W and tags \"…\"")?;
    Ok(Weight { service, source, weight, tags })
}

/// A fraction of the traffic. A negative weight is none, as in fabio; an
/// infinite one (which crashes fabio) and one that is no number are errors.
fn parse_weight(words: &mut Words<'_>) -> Result<f64, String> {
    let word = words.expect("a number after \"weight\"")?;
    match word.parse::<f64>() {
        Ok(weight) if weight.is_finite() => Ok(if weight > 0.0 { weight } else { 0.0 }),
        _ => Err(format!("{} is no weight; expected a finite number such as 0.5", quoted(word))),
    }
}

fn parse_tags(text: &str) -> Vec<String> {
    text.split(',').map(str::trim).filter(|tag| !tag.is_empty()).map(str::to_owned).collect()
}

/// Tags that choose; none would choose everything.
fn some_tags(text: &str) -> Result<Vec<String>, String> {
    let tags = parse_tags(text);
    if tags.is_empty() { Err("expected at least one tag, found none".to_owned()) } else { Ok(tags) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::route::options::ProxyHeader;

    fn add(line: &str) -> Add {
        let parsed = parse(line);
        assert_eq!(parsed.errors, [], "{line}");
        let [(1, Command::Add(add))] = parsed.commands.as_slice() else {
            panic!("{line} gave {:?}", parsed.commands);
        };
        (**add).clone()
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

    fn command(line: &str) -> Command {
        let parsed = parse(line);
        assert_eq!(parsed.errors, [], "{line}");
        parsed.commands[0].1.clone()
    }

    fn source(word: &str) -> Source {
        Source::parse(word).unwrap()
    }

    #[test]
    fn the_shortest_add_has_no_weight_tags_or_opts() {
        assert_eq!(
            add("route add web :80 tcp://192.0.2.1:8080"),
            Add {
                service: "web".to_owned(),
                source: Source::Port(80),
                destination: Destination::parse("tcp://192.0.2.1:8080", false).unwrap(),
                weight: 0.0,
                tags: Vec::new(),
                options: Options::default(),
                oddities: Vec::new(),
            }
        );
    }

    #[test]
    fn all_clauses_are_read_whatever_the_space_between() {
        let add = add("  route\tadd  svc-1   :1234 \t tcp://[2001:db8::1]:80  weight  0.25 \
                       tags  \"a, b ,,c\"  opts \"proto=tcp  x=y=z flag\" \r");
        assert_eq!(add.service, "svc-1");
        assert_eq!(add.source, Source::Port(1234));
        assert_eq!(add.destination.address(), Some("[2001:db8::1]:80".parse().unwrap()));
        assert_eq!(add.weight, 0.25);
        assert_eq!(add.tags, ["a", "b", "c"]);
        let options: Vec<(&str, &str)> = add.options.iter().collect();
        assert_eq!(options, [("flag", ""), ("proto", "tcp"), ("x", "y=z")]);
        assert_eq!(add.oddities.len(), 2);
    }

    #[test]
    fn all_five_forms_of_del_are_read() {
        let del = |service: Option<&str>, source: Option<&str>, target: Option<&str>| Del {
            service: service.map(str::to_owned),
            source: source.map(self::source),
            destination: target.map(str::to_owned),
            tags: Vec::new(),
        };
        let tagged = |del: Del| Del { tags: vec!["x".to_owned(), "y".to_owned()], ..del };
        for (line, expected) in [
            ("route del a", del(Some("a"), None, None)),
            ("route del a :1", del(Some("a"), Some(":1"), None)),
            (
                "route del a Foo.com TCP://192.0.2.1:1",
                del(Some("a"), Some("foo.com/"), Some("tcp://192.0.2.1:1")),
            ),
            ("route del a tags \"x,y\"", tagged(del(Some("a"), None, None))),
            ("route del tags \"x, y\"", tagged(del(None, None, None))),
            ("route del tags", del(Some("tags"), None, None)),
            ("route del tags :1", del(Some("tags"), Some(":1"), None)),
            ("route del tags tags \"x,y\"", tagged(del(Some("tags"), None, None))),
        ] {
            assert_eq!(command(line), Command::Del(expected), "{line}");
        }
    }

    #[test]
    fn both_forms_of_weight_are_read() {
        let weight = |service: Option<&str>, source: &str, weight: f64, tags: &[&str]| {
            Command::Weight(Weight {
                service: service.map(str::to_owned),
                source: self::source(source),
                weight,
                tags: tags.iter().map(|&tag| tag.to_owned()).collect(),
            })
        };
        for (line, expected) in [
            ("route weight a :1 weight 0.5", weight(Some("a"), ":1", 0.5, &[])),
            ("route weight a :1 weight -1 tags \"\"", weight(Some("a"), ":1", 0.0, &[])),
            (
                "route weight a Foo.com/X weight 1 tags \"x,y\"",
                weight(Some("a"), "foo.com/X", 1.0, &["x", "y"]),
            ),
            ("route weight :1 weight .5 tags \"x\"", weight(None, ":1", 0.5, &["x"])),
            ("route weight a weight weight 1", weight(Some("a"), "weight/", 1.0, &[])),
        ] {
            assert_eq!(command(line), expected, "{line}");
        }
    }

    #[test]
    fn bad_dels_and_weights_say_what_is_wrong() {
        for (line, part) in [
            ("route del", "expected a service name, or tags"),
            ("route del a tags \"\"", "at least one tag"),
            ("route del tags \" , \"", "at least one tag"),
            ("route del a :x", "is no port"),
            ("route del a :1 192.0.2.1:1", "has no scheme"),
            ("route del a :1 tags \"x\"", "\"tags\" has no scheme"),
            ("route del a :1 tcp://192.0.2.1:1 x", "unexpected \"x\"; \"route del\""),
            ("route del a tags \"x\" :1", "unexpected \":1\""),
            ("route weight", "expected a service name or a source"),
            ("route weight a", "expected a source such as :80"),
            ("route weight a :1", "expected \"weight\" and a number, found the end"),
            ("route weight a :1 0.5", "expected \"weight\" and a number, found \"0.5\""),
            ("route weight a :1 weight", "a number after \"weight\""),
            ("route weight a :1 weight NaN", "is no weight"),
            ("route weight :1 weight Inf tags \"x\"", "is no weight"),
            ("route weight :1 weight 1", "because no service is named"),
            ("route weight :1 weight 1 tags \"\"", "at least one tag"),
            ("route weight a :1 weight 1 opts \"x\"", "unexpected \"opts\""),
        ] {
            assert_problem(line, part);
        }
    }

    #[test]
    fn each_clause_may_be_left_out() {
        assert_eq!(add("route add a :1 tcp://192.0.2.1:1 tags \"\"").tags, [""; 0]);
        assert_eq!(add("route add a :1 tcp://192.0.2.1:1 opts \"x=1\"").options.iter().count(), 1);
        let add = add("route add a :1 tcp://192.0.2.1:1 weight 1 opts \"x=1 x=2\"");
        assert_eq!(add.options.get("x"), Some("2"));
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
             route add web :80 tcp://back_end:80\n\
             route add a :1 tcp://192.0.2.2:1",
        );
        assert_eq!(parsed.commands.len(), 2);
        assert_eq!(
            parsed.errors[1].to_string(),
            "line 3: route add web :80 tcp://back_end:80: \"back_end\" is no host name: a part \
             of a name is 1 to 63 letters, digits and hyphens, with no hyphen first or last; \
             found \"back_end\""
        );
    }

    #[test]
    fn other_commands_are_named() {
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
    fn bad_sources_and_targets_are_named() {
        for (rest, part) in [
            (":0 tcp://192.0.2.1:1", "\"0\" is no port"),
            ("[a tcp://192.0.2.1:1", "a [ without its ]"),
            (":1 192.0.2.1:1", "has no scheme; expected tcp://ADDRESS:PORT"),
            (":1 tcp://backend", "has no port"),
        ] {
            assert_problem(&format!("route add a {rest}"), part);
        }
    }

    #[test]
    fn what_is_held_and_not_served_is_odd() {
        let odd = |line: &str| -> Vec<String> {
            add(line).oddities.into_iter().filter_map(|oddity| oddity.once).collect()
        };
        assert_eq!(odd("route add a :1 https://192.0.2.1"), [""; 0]);
        assert_eq!(odd("route add a x.com/ https://192.0.2.1"), [""; 0]);
        assert_eq!(odd("route add a *.x.com tcp://x.com:1 opts \"alpn=h2 limit=1\""), [""; 0]);
        assert_eq!(odd("route add a *x.com/ https://192.0.2.1"), ["host"]);
        assert_eq!(odd("route add a x.com:80/ https://192.0.2.1"), ["host"]);
        assert_eq!(odd("route add a x.com/a http://192.0.2.1"), ["path"]);
        assert_eq!(odd("route add a :1 http://backend/"), ["name"]);
        assert_eq!(odd("route add a / https://$host$path opts \"redirect=301\""), ["redirect"]);
    }

    #[test]
    fn options_that_have_no_effect_where_they_stand_are_odd() {
        let odd = |line: &str| -> Vec<Option<String>> {
            add(line).oddities.into_iter().map(|oddity| oddity.once).collect()
        };
        let once = |key: &str| vec![Some(key.to_owned())];
        assert_eq!(odd("route add a :1 tcp://192.0.2.1:1 opts \"alpn=h2\""), once("alpn"));
        assert_eq!(odd("route add a 192.0.2.1:1 tcp://x:1 opts \"alpn=h2\""), once("alpn"));
        assert_eq!(odd("route add a :1 udp://192.0.2.1:1 opts \"limit=1\""), once("limit"));
        assert_eq!(odd("route add a :1 tcp://192.0.2.1:1 opts \"limit=1 pxyproto=v2\""), []);
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
    fn a_proxy_header_is_for_connections() {
        let header = |value: &str| {
            let line = format!("route add a :1 tcp://192.0.2.1:1 opts \"pxyproto={value}\"");
            add(&line).options.proxy_header
        };
        assert_eq!([header("true"), header("v1")], [Some(ProxyHeader::V1); 2]);
        assert_eq!((header("v2"), header("false")), (Some(ProxyHeader::V2), None));
    }

    #[test]
    fn rules_that_cannot_be_kept_are_never_ignored() {
        let line = "route add a :1 tcp://192.0.2.1:1 opts";
        let udp = "route add a :1 udp://192.0.2.1:1 opts";
        assert_problem(&format!("{udp} \"pxyproto=v2\""), "\"pxyproto\" needs connections");
        add(&format!("{udp} \"pxyproto=false strip=/a\""));
        assert_problem("route add a x/ tcp://192.0.2.1:1 opts \"alpn=h2,\"", "0 octets");
        assert_problem(&format!("{line} \"proto=tcp auth=mine\""), "let everybody in");
        add("route add a x/ http://192.0.2.1 opts \"auth=mine\"");
    }

    #[test]
    fn access_lists_close_a_target_when_they_are_bad() {
        let add = add("route add a :1 tcp://192.0.2.1:1 opts \"allow=10.0.0.0/8\"");
        assert!(!add.options.access.admits("10.0.0.1".parse().unwrap()));
        assert_eq!(add.oddities.len(), 1);
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
            "del",
            "weight ",
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
            for line in [
                text.clone(),
                format!("route add a :80 tcp://{text}"),
                format!("route del {text}"),
                format!("route weight {text}"),
            ] {
                let parsed = parse(&line);
                let lines = line.split('\n').count();
                assert!(parsed.commands.len() + parsed.errors.len() <= lines);
            }
        }
    }
}
