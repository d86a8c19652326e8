//! What holds for every table of routes, not only for those somebody thought of:
//! a table is what its commands add up to, what it is shown as makes it again,
//! and neither bad lines nor the size of the steps make a difference. The number
//! of cases is fixed; a failure prints the smallest one that was found and the
//! seed of its run.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    unreachable_pub
)]

#[path = "common/properties.rs"]
mod properties;

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::{select, subsequence};

use properties::cases;

use burgee::route::builder::build_text;
use burgee::route::{Built, DynamicPort, Route, Source, Table, TableBuilder, Target};

/// A source as it may be written, and as it is shown.
const SOURCES: [(&str, &str); 8] = [
    (":80", ":80"),
    ("192.0.2.1:53", "192.0.2.1:53/"),
    ("[2001:db8::9]:80", "[2001:db8::9]:80/"),
    ("Example.com.", "example.com/"),
    ("example.COM/", "example.com/"),
    ("*.example.com/", "*.example.com/"),
    ("/Path", "/Path"),
    ("example.com:80/a", "example.com:80/a"),
];

const TARGETS: [(&str, &str); 6] = [
    ("tcp://192.0.2.1:80", "tcp://192.0.2.1:80"),
    ("TCP://192.0.2.1:80", "tcp://192.0.2.1:80"),
    ("tcp://[2001:db8::1]:80", "tcp://[2001:db8::1]:80"),
    ("http://192.0.2.2", "http://192.0.2.2"),
    ("https://backend/x?y", "https://backend/x?y"),
    ("tcp://DB.x.com:80", "tcp://DB.x.com:80"),
];

/// One line of a table. Sources and targets are places in the lists above.
#[derive(Clone, Debug)]
enum Line {
    Add { service: String, source: usize, target: usize, weight: f64, tags: Tags, opts: Vec<Pair> },
    Del { service: String, source: Option<(usize, Option<usize>)> },
    DelTags { service: Option<String>, tags: Tags },
    Weight { service: Option<String>, source: usize, weight: f64, tags: Tags },
    Nothing(&'static str),
    Bad(&'static str),
}

type Tags = Vec<&'static str>;
type Pair = (&'static str, &'static str);

fn line() -> impl Strategy<Value = Line> {
    let service = || select(vec!["a", "b", "tags", "weight"]).prop_map(str::to_owned);
    let tags = || subsequence(vec!["x", "y", "z z"], 0..=3);
    let some_tags = || subsequence(vec!["x", "y", "z z"], 1..=3);
    let weight = || {
        prop_oneof![
            4 => Just(0.0),
            3 => (0..40_u32).prop_map(|n| f64::from(n) / 16.0),
            2 => 0.0..1.5,
            1 => select(vec![1e-9, 1e300, f64::MIN_POSITIVE, 5e-324, 0.00005]),
        ]
    };
    let pairs = vec![
        ("allow", "ip:10.0.0.0/8"),
        ("alpn", "h2,http/1.1"),
        ("flag", ""),
        ("limit", "7"),
        ("odd", "=x"),
        ("pxyproto", "v2"),
        ("strategy", "hash"),
    ];
    let add = (
        service(),
        0..SOURCES.len(),
        0..TARGETS.len(),
        weight(),
        tags(),
        subsequence(pairs, 0..=7),
    );
    prop_oneof![
        8 => add.prop_map(|(service, source, target, weight, tags, opts)| {
            Line::Add { service, source, target, weight, tags, opts }
        }),
        1 => (service(), option::of((0..SOURCES.len(), option::of(0..TARGETS.len()))))
            .prop_map(|(service, source)| Line::Del { service, source }),
        1 => (option::of(service()), some_tags())
            .prop_map(|(service, tags)| Line::DelTags { service, tags }),
        2 => (service(), 0..SOURCES.len(), weight(), tags()).prop_map(|(service, source, weight, tags)| {
            Line::Weight { service: Some(service), source, weight, tags }
        }),
        1 => (0..SOURCES.len(), weight(), some_tags()).prop_map(|(source, weight, tags)| {
            Line::Weight { service: None, source, weight, tags }
        }),
        1 => select(vec!["", "# route del a", "// route del a", " \t "]).prop_map(Line::Nothing),
        1 => select(vec![
            "rout add a :1 tcp://192.0.2.1:1",
            "route add a :80",
            "route add a :80 192.0.2.1:80",
            "route add a :80 tcp://192.0.2.1:80 weight inf",
            "route add a [x/ tcp://192.0.2.1:80",
            "route del a tags \"\"",
            "route weight :80 weight 1",
        ])
        .prop_map(Line::Bad),
    ]
}

fn written(line: &Line) -> String {
    let source = |at: usize| SOURCES[at].0;
    let tag_clause = |tags: &Tags| match tags.is_empty() {
        true => String::new(),
        false => format!(" tags \"{}\"", tags.join(", ")),
    };
    match line {
        Line::Add { service, source: at, target, weight, tags, opts } => {
            let weight = if *weight == 0.0 { String::new() } else { format!(" weight {weight:?}") };
            let pair = |(key, value): &Pair| match value.is_empty() {
                true => (*key).to_owned(),
                false => format!("{key}={value}"),
            };
            let pairs: Vec<String> = opts.iter().map(pair).collect();
            let opts = if pairs.is_empty() {
                String::new()
            } else {
                format!("opts \"{}\"", pairs.join("  "))
            };
            let (source, target, tags) = (source(*at), TARGETS[*target].0, tag_clause(tags));
            format!(" route  add {service}\t{source} {target}{weight}{tags} {opts}\r")
        }
        Line::Del { service, source: None } => format!("route del {service}"),
        Line::Del { service, source: Some((at, None)) } => {
            format!("route del {service} {}", source(*at))
        }
        Line::Del { service, source: Some((at, Some(target))) } => {
            format!("route del {service} {} {}", source(*at), TARGETS[*target].0)
        }
        Line::DelTags { service, tags } => {
            let service = service.as_ref().map_or(String::new(), |s| format!(" {s}"));
            format!("route del{service}{}", tag_clause(tags))
        }
        Line::Weight { service, source: at, weight, tags } => {
            let service = service.as_ref().map_or(String::new(), |s| format!("{s} "));
            let (source, tags) = (source(*at), tag_clause(tags));
            format!("route weight {service}{source} weight {weight:?}{tags}")
        }
        Line::Nothing(text) | Line::Bad(text) => (*text).to_owned(),
    }
}

fn text(lines: &[Line]) -> String {
    lines.iter().map(written).collect::<Vec<String>>().join("\n")
}

/// A target as the rules say it: the plainest program that follows them.
#[derive(Clone, Debug, PartialEq)]
struct Model {
    service: String,
    target: String,
    weight: f64,
    tags: Vec<String>,
    opts: BTreeMap<String, String>,
}

/// Sources in the order in which they were named, each with its targets.
#[derive(Debug, Default)]
struct Models(Vec<(String, Vec<Model>)>);

impl Models {
    fn execute(lines: &[Line]) -> Vec<(String, Vec<Model>)> {
        let mut models = Models::default();
        lines.iter().for_each(|line| models.line(line));
        models.0.retain(|(_, targets)| !targets.is_empty());
        models.0
    }

    fn line(&mut self, line: &Line) {
        let has =
            |model: &Model, tags: &Tags| tags.iter().all(|t| model.tags.iter().any(|m| m == t));
        match line {
            Line::Add { service, source, target, weight, tags, opts } => {
                let model = Model {
                    service: service.clone(),
                    target: TARGETS[*target].1.to_owned(),
                    weight: *weight,
                    tags: tags.iter().map(|&tag| tag.to_owned()).collect(),
                    opts: opts.iter().map(|&(k, v)| (k.to_owned(), v.to_owned())).collect(),
                };
                let source = SOURCES[*source].1;
                let place = self.0.iter().position(|(own, _)| own == source);
                let place = place.unwrap_or_else(|| {
                    self.0.push((source.to_owned(), Vec::new()));
                    self.0.len() - 1
                });
                let targets = &mut self.0[place].1;
                let same =
                    |other: &Model| Model { opts: model.opts.clone(), ..other.clone() } == model;
                if !targets.iter().any(same) {
                    targets.push(model);
                }
            }
            Line::Del { service, source } => {
                let (at, target) = source.map_or((None, None), |(at, target)| (Some(at), target));
                for (own, targets) in &mut self.0 {
                    targets.retain(|model| {
                        let matches = model.service == *service
                            && at.is_none_or(|at| own == SOURCES[at].1)
                            && target.is_none_or(|target| model.target == TARGETS[target].1);
                        !matches
                    });
                }
            }
            Line::DelTags { service, tags } => {
                for (_, targets) in &mut self.0 {
                    targets.retain(|model| {
                        let of_service = service.as_ref().is_none_or(|s| model.service == *s);
                        !(of_service && has(model, tags))
                    });
                }
            }
            Line::Weight { service, source, weight, tags } => {
                let Some((_, targets)) =
                    self.0.iter_mut().find(|(own, _)| own == SOURCES[*source].1)
                else {
                    return;
                };
                let matches = |model: &Model| {
                    service.as_ref().is_none_or(|s| model.service == *s) && has(model, tags)
                };
                // What differs in its weight alone is a duplicate from now on.
                let mut met: Vec<Model> = Vec::new();
                targets.retain(|model| {
                    let own = Model { weight: 0.0, opts: BTreeMap::new(), ..model.clone() };
                    let is_new = !met.contains(&own);
                    if matches(model) && is_new {
                        met.push(own);
                    }
                    is_new
                });
                for model in targets.iter_mut().filter(|model| matches(model)) {
                    model.weight = weight / met.len() as f64;
                }
            }
            Line::Nothing(_) | Line::Bad(_) => {}
        }
    }
}

fn modelled(route: &Route) -> (String, Vec<Model>) {
    let model = |target: &Target| Model {
        service: target.service.to_string(),
        target: target.destination.to_string(),
        weight: target.fixed_weight,
        tags: target.tags.clone(),
        opts: target.options.iter().map(|(k, v)| (k.to_owned(), v.to_owned())).collect(),
    };
    (route.source().to_string(), route.targets().iter().map(model).collect())
}

/// All that matters of a table, without the targets that get no traffic.
fn served(table: &Table) -> Vec<(String, Option<burgee::route::Strategy>, Vec<Target>)> {
    let route = |route: &Route| {
        let served = route.targets().iter().filter(|target| target.slots > 0);
        let unnumbered =
            |target: &Target| Target { index: None, name_index: None, ..target.clone() };
        let targets = served.map(unnumbered).collect();
        (route.source().to_string(), route.strategy(), targets)
    };
    let mut routes: Vec<_> = table.routes().iter().map(route).collect();
    routes.sort_by(|a, b| a.0.cmp(&b.0));
    routes
}

fn in_steps(text: &str, lines: usize) -> Built {
    let mut builder = TableBuilder::new(Rc::from(text.as_bytes()));
    loop {
        if let Some(built) = builder.step(lines) {
            return built;
        }
    }
}

proptest! {
    #![proptest_config(cases(1000))]

    #[test]
    fn a_table_is_what_its_commands_add_up_to(lines in vec(line(), 0..24)) {
        let built = build_text(text(&lines).as_bytes());
        let routes: Vec<_> = built.table.routes().iter().map(modelled).collect();
        prop_assert_eq!(routes, Models::execute(&lines));
        let bad = |(_, line): &(usize, &Line)| matches!(line, Line::Bad(_));
        let bad: Vec<usize> = (1..).zip(&lines).filter(bad).map(|(at, _)| at).collect();
        prop_assert_eq!(built.errors.iter().map(|error| error.line).collect::<Vec<_>>(), bad);
    }

    #[test]
    fn what_a_table_is_shown_as_makes_it_again(lines in vec(line(), 0..24)) {
        let table = build_text(text(&lines).as_bytes()).table;
        let shown = table.to_string();
        let again = build_text(shown.as_bytes());
        prop_assert_eq!(&again.errors, &[]);
        prop_assert_eq!(again.table.to_string(), shown);
        prop_assert_eq!(served(&again.table), served(&table));
    }

    #[test]
    fn the_size_of_the_steps_makes_no_difference(lines in vec(line(), 0..24), step in 0..9_usize) {
        let text = text(&lines);
        let (whole, built) = (build_text(text.as_bytes()), in_steps(&text, step));
        prop_assert_eq!(built.table.to_string(), whole.table.to_string());
        prop_assert_eq!(built.table.targets(), whole.table.targets());
        prop_assert_eq!(built.table.names(), whole.table.names());
        prop_assert_eq!(built.table.dynamic_ports(), whole.table.dynamic_ports());
        prop_assert_eq!((built.errors, built.warnings), (whole.errors, whole.warnings));
    }

    #[test]
    fn every_route_is_found_by_its_source(lines in vec(line(), 0..24)) {
        let table = build_text(text(&lines).as_bytes()).table;
        for route in table.routes() {
            prop_assert_eq!(table.lookup(route.source()).map(Route::place), Some(route.place()));
        }
    }

    #[test]
    fn what_a_table_knows_at_once_is_what_a_scan_finds(lines in vec(line(), 0..24)) {
        let table = build_text(text(&lines).as_bytes()).table;
        let all = || table.routes().iter().flat_map(Route::targets);
        for service in ["a", "b", "tags", "weight", "none"] {
            let own = all().filter(|target| *target.service == *service);
            let lowest = own.filter_map(|target| target.options.service_limit).min();
            prop_assert_eq!(table.service_limit(service), lowest);
        }
        let mut ports = BTreeMap::new();
        for route in table.routes() {
            let port = match route.source() {
                Source::Port(port) => *port,
                Source::Address(address) => address.port(),
                _ => continue,
            };
            let is_tcp = route.targets().iter().all(|t| t.destination.as_str().starts_with("tcp"));
            let (some, every) = ports.entry(port).or_insert((false, true));
            (*some, *every) = (*some || is_tcp, *every && is_tcp);
        }
        let some = ports.into_iter().filter(|(_, (some, _))| *some);
        let expected: Vec<_> =
            some.map(|(port, (_, is_all_tcp))| DynamicPort { port, is_all_tcp }).collect();
        prop_assert_eq!(table.dynamic_ports(), expected);
        let looked_up = |route: &&Route| route.source().is_looked_up();
        for target in table.routes().iter().filter(looked_up).flat_map(Route::targets) {
            let listed = target.index.and_then(|at| table.targets().get(at));
            prop_assert_eq!(listed.map(|(_, address)| *address), target.address());
            let listed = target.name_index.and_then(|at| table.names().get(at));
            prop_assert_eq!(listed.map(|(_, name, port)| (&**name, *port)), target.destination.name());
        }
        let distinct: BTreeSet<_> = table.names().iter().collect();
        prop_assert_eq!(distinct.len(), table.names().len());
    }

    /// The rule in its plainest words, for the offers that a client may make.
    #[test]
    fn alpn_admits_those_that_match_else_those_without(lines in vec(line(), 0..24)) {
        let table = build_text(text(&lines).as_bytes()).table;
        for offered in [vec![], vec![b"h2".to_vec()], vec![b"x".to_vec(), b"http/1.1".to_vec()]] {
            let has = |name: &str| offered.iter().any(|offer| offer == name.as_bytes());
            for route in table.routes() {
                let special = |target: &Target| {
                    target.options.get("alpn").is_some_and(|names| names.split(',').any(has))
                };
                let is_special = route.targets().iter().any(|t| t.slots > 0 && special(t));
                let choice = route.alpn_choice(&offered);
                for target in route.targets() {
                    let without = target.options.get("alpn").is_none();
                    let expected = if is_special { special(target) } else { without };
                    prop_assert_eq!(choice.admits(target), expected);
                }
            }
        }
    }

    #[test]
    fn no_octets_make_the_builder_panic(octets in vec(any::<u8>(), 0..200), tail in ".{0,60}") {
        let mut text = octets;
        text.extend_from_slice(b"\nroute add a :1 ");
        text.extend_from_slice(tail.as_bytes());
        let lines = text.split(|&byte| byte == b'\n').count();
        let built = build_text(&text);
        prop_assert!(built.errors.len() <= lines);
    }
}
