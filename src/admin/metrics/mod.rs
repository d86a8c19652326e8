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
