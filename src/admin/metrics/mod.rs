//! `/metrics`: the text format 0.0.4 of Prometheus.
//!
//! [`families`] is the one table of all metrics, and the documentation is made
//! of it. A [`Page`] goes through it family by family, because the lines of one
//! have to stand together; where a family has a line for each target it goes
//! through these in slices.

mod bgp;
mod process;
mod traffic;

use std::time::Duration;

use super::body::{ANNOUNCEMENT_COST, SESSION_COST, affordable, charge};
use super::house::{House, Moment, Slice};
use super::view::{AnnouncementView, InstanceView, Measures, ServiceView, SessionView, TargetView};

/// The type of the page.
pub(super) const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// What a family counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// It only grows, from 0 at the start.
    Counter,
    /// It goes up and down.
    Gauge,
}

impl Kind {
    /// Its name in the text format.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
        }
    }
}

/// A metric, and how its lines come about.
#[derive(Debug)]
pub struct Family {
    /// `burgee_connections`
    pub name: &'static str,
    /// What it counts.
    pub kind: Kind,
    /// The labels that each of its lines has.
    pub labels: &'static [&'static str],
    /// What it says, in a sentence without a full stop.
    pub help: &'static str,
    /// Where the lines come from.
    samples: Samples,
}

/// Where the lines of a family come from.
#[derive(Debug)]
enum Samples {
    Process(fn(&Process, &mut Lines<'_>)),
    Session(fn(&SessionView, &Moment, &mut Lines<'_>)),
    Announcement(fn(&AnnouncementView, &Moment, &mut Lines<'_>)),
    Service(fn(&ServiceView, &mut Lines<'_>)),
    Target(fn(&TargetView, &mut Lines<'_>)),
}

const NONE: &[&str] = &[];
const REASON: &[&str] = &["reason"];

const fn family(
    name: &'static str,
    kind: Kind,
    labels: &'static [&'static str],
    help: &'static str,
    samples: Samples,
) -> Family {
    Family { name, kind, labels, help, samples }
}

/// All metrics, in the order of the page.
pub fn families() -> impl Iterator<Item = &'static Family> {
    [process::FAMILIES, traffic::FAMILIES, bgp::FAMILIES].into_iter().flatten()
}

/// What is asked once for a page.
#[derive(Debug)]
struct Process {
    at: Moment,
    instance: InstanceView,
    measures: Measures,
}

/// A page that is being written.
#[derive(Debug, Default)]
pub struct Page {
    process: Option<Box<Process>>,
    family: usize,
    /// Where the next slice of the family begins.
    from: u64,
    /// Whether HELP and TYPE of the family were written.
    has_head: bool,
}

impl Page {
    /// Appends the next lines, for which `allowance` is spent. Says whether
    /// these were the last ones.
    pub(super) fn produce(
        &mut self,
        house: &dyn House,
        at: &Moment,
        allowance: &mut usize,
        out: &mut Vec<u8>,
    ) -> bool {
        let process = self.process.get_or_insert_with(|| {
            let (instance, measures) = (house.instance(at), house.measures(at));
            Box::new(Process { at: *at, instance, measures })
        });
        while *allowance > 0 {
            let Some(family) = families().nth(self.family) else { return true };
            let (from, all) = (self.from, *allowance);
            let mut lines = Lines { family, has_head: &mut self.has_head, out: &mut *out };
            let next = match family.samples {
                Samples::Process(write) => {
                    write(process, &mut lines);
                    *allowance = all.saturating_sub(1);
                    None
                }
                Samples::Session(write) => {
                    let slice = house.sessions(at, from, affordable(all, SESSION_COST));
                    charge(allowance, SESSION_COST, &slice);
                    each(slice, |session| write(session, at, &mut lines))
                }
                Samples::Announcement(write) => {
                    let slice = house.announcements(at, from, affordable(all, ANNOUNCEMENT_COST));
                    charge(allowance, ANNOUNCEMENT_COST, &slice);
                    each(slice, |announcement| write(announcement, at, &mut lines))
                }
                Samples::Service(write) => {
                    let slice = house.services(at, from, all);
                    charge(allowance, 1, &slice);
                    each(slice, |service| write(service, &mut lines))
                }
                Samples::Target(write) => {
                    let slice = house.targets(at, from, all);
                    charge(allowance, 1, &slice);
                    each(slice, |target| write(target, &mut lines))
                }
            };
            match next {
                Some(next) => self.from = next,
                None => {
                    (self.family, self.from) = (self.family.saturating_add(1), 0);
                    self.has_head = false;
                }
            }
        }
        families().nth(self.family).is_none()
    }
}

fn each<T>(slice: Slice<T>, write: impl FnMut(&T)) -> Option<u64> {
    slice.items.iter().for_each(write);
    slice.next
}

/// Writes the lines of one family, and before the first what it is: a family
/// of which there is none is not on the page.
#[derive(Debug)]
struct Lines<'a> {
    family: &'static Family,
    has_head: &'a mut bool,
    out: &'a mut Vec<u8>,
}

impl Lines<'_> {
    /// A line with a whole number. The labels' values are in the order of
    /// [`Family::labels`].
    fn count(&mut self, values: &[&str], number: u64) {
        self.add(values, &number.to_string());
    }

    /// A line with 1 for yes and 0 for no.
    fn flag(&mut self, values: &[&str], flag: bool) {
        self.count(values, u64::from(flag));
    }

    /// A line with a number that may have a fraction.
    fn real(&mut self, values: &[&str], number: f64) {
        self.add(values, &number.to_string());
    }

    /// A line for each of some counts by label.
    fn counts(&mut self, counts: &[(&'static str, u64)]) {
        counts.iter().for_each(|(label, count)| self.count(&[label], *count));
    }

    /// A line for each of some states, with 1 where it is this one.
    fn states(&mut self, first: &[&str], states: &[&str], is: &str) {
        for state in states {
            let mut values = first.to_vec();
            values.push(state);
            self.flag(&values, *state == is);
        }
    }

    fn add(&mut self, values: &[&str], number: &str) {
        let Family { name, kind, labels, help, .. } = self.family;
        let mut text = String::new();
        if !std::mem::replace(self.has_head, true) {
            text = format!("# HELP {name} {help}\n# TYPE {name} {}\n", kind.name());
        }
        text.push_str(name);
        for (place, (label, value)) in labels.iter().zip(values).enumerate() {
            text.push(if place == 0 { '{' } else { ',' });
            text.push_str(label);
            text.push_str("=\"");
            escape(value, &mut text);
            text.push('"');
        }
        text.push_str(if labels.is_empty() { " " } else { "} " });
        text.push_str(number);
        text.push('\n');
        self.out.extend_from_slice(text.as_bytes());
    }
}

/// The three characters that a label's value may not have as they are.
fn escape(value: &str, text: &mut String) {
    for c in value.chars() {
        match c {
            '\\' => text.push_str("\\\\"),
            '"' => text.push_str("\\\""),
            '\n' => text.push_str("\\n"),
            other => text.push(other),
        }
    }
}

fn seconds(ms: u64) -> f64 {
    Duration::from_millis(ms).as_secs_f64()
}

/// A date so long ago, in seconds since 1970.
fn before(at: &Moment, ms: u64) -> f64 {
    at.wall.saturating_sub(Duration::from_millis(ms)).as_secs_f64()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::io::Write;
    use std::process::{Command, Stdio};

    use super::*;
    use crate::admin::body::Body;
    use crate::admin::testing::{Doll, content, furnished};
    use crate::admin::view::{AddressView, BfdView, PoolMeasure, Usage};

    /// A house in which nothing is missing, so that each family has a line.
    fn full() -> Doll {
        let mut house = furnished();
        for session in &mut house.sessions {
            session.bfd = Some(BfdView { state: "up".to_owned(), ..BfdView::default() });
        }
        for announcement in &mut house.announcements {
            announcement.address = AddressView { needed: true, ..AddressView::default() };
        }
        house.targets[0].connections = Some(4);
        let counts = || vec![("a", 1), ("b", 2)];
        house.measures = Measures {
            usage: Usage {
                cpu: Some(Duration::from_millis(1_500)),
                resident: Some(8 << 20),
                descriptors: Some(12),
                descriptor_limit: Some(1024),
            },
            accept_failures: counts(),
            refused: counts(),
            cut: counts(),
            dial_failures: counts(),
            flow_troubles: counts(),
            datagrams_lost: counts(),
            pools: vec![PoolMeasure { name: "small", lent: 1, limit: 4096 }],
            reloads: counts(),
            names: counts(),
            bfd_discarded: counts(),
            panics: counts(),
            lines_dropped: counts(),
            ..Measures::default()
        };
        house
    }

    fn page(house: &Doll) -> String {
        content(Body::metrics(), house, 64)
    }

    /// A line taken apart: name, labels with their values, number.
    fn sample(line: &str) -> (&str, Vec<(&str, String)>, f64) {
        let end = line.find(['{', ' ']).unwrap();
        let (name, mut rest) = line.split_at(end);
        let mut labels = Vec::new();
        while let Some(label) = rest.strip_prefix(['{', ',']) {
            let (label, value) = label.split_once("=\"").unwrap();
            let mut chars = value.char_indices();
            let mut text = String::new();
            let end = loop {
                match chars.next().unwrap() {
                    (at, '"') => break at,
                    (_, '\\') => text.push(match chars.next().unwrap().1 {
                        'n' => '\n',
                        escaped @ ('\\' | '"') => escaped,
                        other => panic!("\\{other} in {line}"),
                    }),
                    (_, other) => text.push(other),
                }
            };
            labels.push((label, text));
            rest = &value[end + 1..];
        }
        let rest = if labels.is_empty() { rest } else { rest.strip_prefix('}').unwrap() };
        (name, labels, rest.strip_prefix(' ').unwrap().parse().unwrap())
    }

    fn is_name(name: &str) -> bool {
        !name.is_empty() && name.bytes().all(|c| c.is_ascii_lowercase() || c == b'_')
    }

    /// What the text format demands, and what its users expect of names.
    fn check(page: &str) {
        let (mut families, mut samples) = (BTreeSet::new(), BTreeSet::new());
        let mut family: Option<&Family> = None;
        assert!(page.ends_with('\n'));
        for line in page.lines() {
            if let Some(head) = line.strip_prefix("# HELP ") {
                let (name, help) = head.split_once(' ').unwrap();
                family = families_named(name);
                assert!(families.insert(name), "{name} is in two places");
                assert_eq!(family.unwrap().help, help);
            } else if let Some(head) = line.strip_prefix("# TYPE ") {
                let family = family.unwrap();
                assert_eq!(head, format!("{} {}", family.name, family.kind.name()));
            } else {
                let (name, labels, number) = sample(line);
                let family = family.unwrap();
                assert_eq!(name, family.name);
                let names: Vec<&str> = labels.iter().map(|(label, _)| *label).collect();
                assert_eq!(names, family.labels, "{line}");
                assert!(number.is_finite() && number >= 0.0, "{line}");
                assert!(samples.insert((name, format!("{labels:?}"))), "twice: {line}");
            }
        }
    }

    fn families_named(name: &str) -> Option<&'static Family> {
        families().find(|family| family.name == name)
    }

    #[test]
    fn names_follow_the_conventions() {
        let mut names = BTreeSet::new();
        for family in families() {
            let Family { name, kind, labels, help, .. } = family;
            assert!(names.insert(name), "{name} twice");
            assert!(is_name(name) && labels.iter().all(|label| is_name(label)), "{name}");
            assert!(name.starts_with("burgee_") || name.starts_with("process_"), "{name}");
            assert_eq!(name.ends_with("_total"), *kind == Kind::Counter, "{name}");
            assert!(!help.is_empty() && !help.ends_with('.') && !help.contains(['\\', '\n']));
            for unit in ["_ms", "_us", "milli", "micro", "kilo", "percent"] {
                assert!(!name.contains(unit), "{name} has no base unit");
            }
        }
    }

    #[test]
    fn the_page_is_well_formed() {
        let house = full();
        let text = page(&house);
        check(&text);
        for family in families() {
            assert!(text.contains(&format!("\n# TYPE {} ", family.name)), "no {}", family.name);
        }
        check(&page(&furnished()));
    }

    #[test]
    fn lines_say_what_is() {
        let text = page(&furnished());
        for line in [
            "process_start_time_seconds 1699996400.5",
            "process_cpu_seconds_total 1.5",
            "burgee_build_info{version=\"0.1.0\"} 1",
            "burgee_healthy 1",
            "burgee_instance_state{state=\"serving\"} 1",
            "burgee_instance_state{state=\"draining\"} 0",
            "burgee_turns_total 12",
            "burgee_longest_turn_seconds 0.00125",
            "burgee_connections 3",
            "burgee_connections_refused_total{reason=\"denied\"} 0",
            "burgee_pool_limit{pool=\"small\"} 4096",
            "burgee_listener_connections{listener=\":80\",protocol=\"tcp\"} 3",
            "burgee_service_targets{service=\"web\"} 3",
            "burgee_service_targets_healthy{service=\"web\"} 2",
            "burgee_target_healthy{service=\"web\",target=\"10.0.0.1:80\"} 1",
            "burgee_target_healthy{service=\"we\\\"b\\\\\\n\",target=\"10.0.0.2:80\"} 0",
            "burgee_bgp_session_up{peer=\"192.0.2.1\"} 1",
            "burgee_bgp_session_state{peer=\"192.0.2.2\",state=\"active\"} 1",
            "burgee_bgp_session_uptime_seconds{peer=\"192.0.2.1\"} 90",
            "burgee_bgp_session_flaps_total{peer=\"192.0.2.2\"} 2",
            "burgee_bgp_session_last_error_timestamp_seconds{peer=\"192.0.2.2\",error=\"received 6/2\"} 1700000000",
            "burgee_bgp_messages_total{peer=\"192.0.2.1\",direction=\"in\",type=\"update\"} 0",
            "burgee_bgp_hold_time_left_seconds{peer=\"192.0.2.1\"} 88.5",
            "burgee_announced{prefix=\"192.0.2.10/32\"} 1",
            "burgee_announced{prefix=\"2001:db8::10/128\"} 0",
            "burgee_announcement_state{prefix=\"192.0.2.10/32\",state=\"announced\"} 1",
            "burgee_announcement_reason{prefix=\"192.0.2.10/32\",reason=\"ready\"} 1",
            "burgee_announcement_last_change_timestamp_seconds{prefix=\"192.0.2.10/32\"} 1699999940",
        ] {
            assert!(text.lines().any(|own| own == line), "no {line} in\n{text}");
        }
        assert!(!text.contains("process_open_fds"), "what is not known has no line");
        assert!(!text.contains("burgee_bgp_hold_time_left_seconds{peer=\"192.0.2.2\"}"));
    }

    /// Prometheus' own check, where it is installed.
    #[test]
    fn promtool_has_nothing_to_say() {
        let mut command = Command::new("promtool");
        command.args(["check", "metrics"]).stdin(Stdio::piped());
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let Ok(mut child) = command.spawn() else {
            return eprintln!("SKIPPED: promtool is not installed; tests/install does that");
        };
        child.stdin.take().unwrap().write_all(page(&full()).as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        let said = format!("{output:?}");
        assert!(output.status.success() && output.stderr.is_empty(), "{said}");
    }

    /// What stands behind the prose of `docs/metrics.md`.
    fn table() -> String {
        let mut text = String::from("| metric | type | labels | |\n|---|---|---|---|\n");
        for Family { name, kind, labels, help, .. } in families() {
            let labels: Vec<String> = labels.iter().map(|label| format!("`{label}`")).collect();
            let (kind, labels) = (kind.name(), labels.join(", "));
            text.push_str(&format!("| `{name}` | {kind} | {labels} | {help} |\n"));
        }
        text
    }

    #[test]
    fn metrics_page_has_the_table() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/metrics.md");
        let mut document = std::fs::read_to_string(path).unwrap();
        let start = document.find("| metric |").unwrap();
        if std::env::var_os("BURGEE_BLESS").is_some() {
            document = format!("{}{}", &document[..start], table());
            std::fs::write(path, &document).unwrap();
        }
        assert!(
            document[start..] == table(),
            "docs/metrics.md is not the table; see its third line"
        );
        for word in document.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_')) {
            let is_ours = word.starts_with("burgee_") && word != "burgee_";
            assert!(!is_ours || families_named(word).is_some(), "there is no {word}");
        }
    }
}
