//! From the text of a table to the table, in slices.
//!
//! To read sixty thousand lines takes longer than a turn of the loop may, so
//! [`TableBuilder::step`] does a bounded amount of work, and whoever owns the
//! builder calls it turn by turn until the table is there.

use std::collections::HashSet;
use std::rc::Rc;

use super::command::{Add, Command, parse_line};
use super::draft::{Drafts, Overruled, Walk};
use super::options::Oddity;
use super::order::Order;
use super::table::Table;
use super::words::LineError;

/// Longest line, in bytes. It is far more than any command needs; fabio stops
/// reading, without a word, at a line of 64 KiB.
pub const LONGEST_LINE: usize = 1024 * 1024;

/// Most errors, and most warnings, that are kept; of the others only the
/// number is known.
pub const MOST_REPORTS: usize = 1_000;

/// A good number of lines for one [`TableBuilder::step`]: well below a
/// millisecond.
pub const LINES_PER_STEP: usize = 80;

/// What the smallest line costs, in visits to a target, and what one more of
/// these costs in bytes.
const LINE_VISITS: usize = 32;
const BYTES_PER_VISIT: usize = 8;

/// What it costs to finish a target of the table.
const FINISH_VISITS: usize = 8;

/// So many ports to list cost as much as a visit.
const PORTS_PER_VISIT: usize = 16;

/// What it costs to put a route of the table in order, once of several times.
const SORT_VISITS: usize = 8;

/// What it costs to give the memory of some hundred drafts back.
const GIVE_BACK_VISITS: usize = 256;

/// A table, and what was wrong with the text.
#[derive(Clone, Debug, Default)]
pub struct Built {
    /// The routes of all good lines.
    pub table: Table,
    /// The lines that were skipped, the first [`MOST_REPORTS`] of them.
    pub errors: Vec<LineError>,
    /// Lines that are in the table, but may not do what they seem to do; the
    /// first [`MOST_REPORTS`] of them.
    pub warnings: Vec<LineError>,
    /// Errors and warnings that are not kept.
    pub omitted: usize,
}

/// Builds one table.
#[derive(Debug)]
pub struct TableBuilder {
    text: Rc<Vec<u8>>,
    /// Where the next line begins.
    at: usize,
    /// Its number, from 1.
    line: usize,
    /// Inside a line that is too long, and was reported.
    in_long_line: bool,
    /// A command that has more targets to look at.
    walk: Option<Walk>,
    drafts: Drafts,
    built: Built,
    /// What was warned of already.
    warned: HashSet<String>,
    is_read: bool,
    /// The last thing to do but for giving back what is of no more use.
    order: Option<Order>,
    is_sorted: bool,
    is_done: bool,
}

impl TableBuilder {
    /// A builder of the table that this text describes.
    pub fn new(text: Rc<[u8]>) -> TableBuilder {
        TableBuilder::of(text.to_vec())
    }

    /// The same of a text that is not copied.
    pub fn of(text: Vec<u8>) -> TableBuilder {
        let lines = lines_about(&text).min(MOST_ROOM);
        let mut builder = TableBuilder::empty(Rc::new(text), lines);
        // Some editors begin a file with a byte order mark.
        if builder.text.starts_with(b"\xef\xbb\xbf") {
            builder.at = 3;
        }
        builder
    }

    fn empty(text: Rc<Vec<u8>>, lines: usize) -> TableBuilder {
        TableBuilder {
            text,
            at: 0,
            line: 1,
            in_long_line: false,
            walk: None,
            drafts: Drafts::with_room(lines),
            built: Built::default(),
            warned: HashSet::new(),
            is_read: false,
            order: None,
            is_sorted: false,
            is_done: false,
        }
    }

    /// Does as much as reading `lines` usual lines takes. The table comes with
    /// the last step, and once.
    pub fn step(&mut self, lines: usize) -> Option<Built> {
        if self.is_done {
            return None;
        }
        let mut visits = lines.max(1).saturating_mul(LINE_VISITS);
        while visits > 0 {
            let cost = if self.walk.is_some() {
                self.walk(visits)
            } else if !self.is_read {
                self.read()
            } else if let Some(order) = &mut self.order {
                let steps = (visits / SORT_VISITS).max(1);
                self.is_sorted = self.built.table.sort(order, steps);
                if self.is_sorted {
                    self.order = None;
                }
                if self.is_sorted { LINE_VISITS } else { visits }
            } else if self.is_sorted {
                if !self.drafts.give_back() {
                    self.is_done = true;
                    return Some(std::mem::take(&mut self.built));
                }
                GIVE_BACK_VISITS
            } else if let Some(targets) = self.drafts.finish_route(&mut self.built.table) {
                self.warn_of_checks();
                targets.saturating_mul(FINISH_VISITS).saturating_add(LINE_VISITS)
            } else {
                let ports = self.drafts.dynamic_ports();
                let cost = (ports.len() / PORTS_PER_VISIT).saturating_add(LINE_VISITS);
                self.built.table.set_dynamic_ports(ports);
                self.order = Some(Order::new(self.built.table.routes().len()));
                cost
            };
            visits = visits.saturating_sub(cost);
        }
        None
    }

    /// Goes on with a command; returns what that cost.
    fn walk(&mut self, visits: usize) -> usize {
        let Some(walk) = &mut self.walk else { return 0 };
        let (visited, is_over) = self.drafts.advance(walk, visits);
        if is_over && let Some(walk) = self.walk.take() {
            if walk.is_in_vain() {
                let problem = "no target of the table so far matches".to_owned();
                self.warn(walk.line(), walk.text(), problem);
            }
            self.drafts.conclude(walk);
        }
        visited.max(1)
    }

    /// Reads one line, or a piece of one that is too long; returns what that
    /// cost.
    fn read(&mut self) -> usize {
        let text = Rc::clone(&self.text);
        let rest = text.get(self.at..).unwrap_or_default();
        let window = rest.get(..=LONGEST_LINE).unwrap_or(rest);
        let end = window.iter().position(|&byte| byte == b'\n');
        let length = end.unwrap_or(window.len());
        let is_whole = length <= LONGEST_LINE;
        let piece = window.get(..length).unwrap_or_default();
        let number = self.line;
        if !is_whole && !self.in_long_line {
            let problem = format!("the line is longer than {LONGEST_LINE} bytes");
            self.error(number, &String::from_utf8_lossy(piece), problem);
        } else if is_whole && !self.in_long_line {
            self.execute(number, piece);
        }
        self.in_long_line = !is_whole;
        self.at = self.at.saturating_add(length);
        if end.is_some() {
            self.at = self.at.saturating_add(1);
            self.line = self.line.saturating_add(1);
        } else if is_whole {
            self.end_of_text();
        }
        (length / BYTES_PER_VISIT).saturating_add(LINE_VISITS)
    }

    fn execute(&mut self, line: usize, bytes: &[u8]) {
        let Ok(text) = std::str::from_utf8(bytes) else {
            let text = String::from_utf8_lossy(bytes);
            return self.error(line, text.trim(), "the line is no UTF-8 text".to_owned());
        };
        let text = text.trim();
        match parse_line(text) {
            Ok(None) => {}
            Ok(Some(command)) => self.command(line, text, command),
            Err(problem) => self.error(line, text, problem),
        }
    }

    fn command(&mut self, line: usize, text: &str, command: Command) {
        match command {
            Command::Add(add) => self.add(line, text, *add),
            Command::Del(del) => self.walk = self.drafts.del(del),
            Command::Weight(weight) => {
                let walk = self.drafts.weight(weight);
                self.walk = Some(walk.reported_as(line, text));
            }
        }
    }

    fn add(&mut self, line: usize, text: &str, mut add: Add) {
        for Oddity { once, problem } in std::mem::take(&mut add.oddities) {
            let is_new =
                once.is_none_or(|key| self.warned.len() < MOST_REPORTS && self.warned.insert(key));
            if is_new {
                self.warn(line, text, problem);
            }
        }
        if self.drafts.add(line, add).is_err() {
            let problem = "its strategy differs from that of the route's first target, which \
                           counts";
            self.warn(line, text, problem.to_owned());
        }
    }

    fn warn_of_checks(&mut self) {
        for Overruled { line, by, target } in self.drafts.take_overruled() {
            let problem = format!(
                "its check differs from that of line {by}, which counts: a target of one service \
                 and address is checked in one way"
            );
            self.warn(line, &target, problem);
        }
    }

    fn end_of_text(&mut self) {
        self.is_read = true;
        self.built.table = self.drafts.begin_table();
    }

    fn error(&mut self, line: usize, text: &str, problem: String) {
        let error = LineError::new(line, text, problem);
        keep(&mut self.built.errors, error, &mut self.built.omitted);
    }

    fn warn(&mut self, line: usize, text: &str, problem: String) {
        let warning = LineError::new(line, text, problem);
        keep(&mut self.built.warnings, warning, &mut self.built.omitted);
    }
}

/// So much of a text says how many lines all of it has.
const SAMPLE: usize = 16 * 1024;

/// How many lines a text has, or some more, if all are as long as the first.
/// Otherwise the indexes have to grow, or take memory that is not needed.
fn lines_about(text: &[u8]) -> usize {
    let sample = text.get(..SAMPLE).unwrap_or(text);
    let lines = sample.iter().filter(|&&byte| byte == b'\n').count().saturating_add(1);
    let times = (text.len() / SAMPLE).saturating_add(1);
    // An eighth more, for lines that are shorter.
    lines.saturating_mul(times).saturating_mul(9) / 8
}

/// Room is made for so many targets at once; for more it grows.
const MOST_ROOM: usize = 1 << 22;

fn keep(list: &mut Vec<LineError>, report: LineError, omitted: &mut usize) {
    if list.len() < MOST_REPORTS {
        list.push(report);
    } else {
        *omitted = omitted.saturating_add(1);
    }
}

/// Builds a table from commands at once.
pub(super) fn build(commands: &[(usize, Command)]) -> Table {
    let mut builder = TableBuilder::empty(Rc::default(), commands.len());
    for (line, command) in commands {
        builder.command(*line, "", command.clone());
        while builder.walk.is_some() {
            builder.walk(usize::MAX);
        }
    }
    builder.end_of_text();
    at_once(builder).table
}

/// Builds a table from its text at once.
pub fn build_text(text: &[u8]) -> Built {
    at_once(TableBuilder::of(text.to_vec()))
}

fn at_once(mut builder: TableBuilder) -> Built {
    loop {
        if let Some(built) = builder.step(usize::MAX) {
            return built;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(text: &str) -> String {
        let built = build_text(text.as_bytes());
        assert_eq!(built.errors, []);
        built.table.to_string()
    }

    const THREE: &str = "route add a :1 tcp://192.0.2.1:1 tags \"x,y\"\n\
                         route add b :1 tcp://192.0.2.1:2 tags \"y\"\n\
                         route add a x.com/ tcp://192.0.2.1:3 tags \"x\"\n";

    /// The ports of the targets that are left.
    fn left(commands: &str) -> Vec<u16> {
        let built = build_text(format!("{THREE}{commands}").as_bytes());
        assert_eq!(built.errors, [], "{commands}");
        let targets = built.table.routes().iter().flat_map(|route| route.targets());
        targets.filter_map(|target| Some(target.address()?.port())).collect()
    }

    #[test]
    fn del_takes_away_what_it_names() {
        assert_eq!(left(""), [1, 2, 3]);
        assert_eq!(left("route del a"), [2]);
        assert_eq!(left("route del a :1"), [2, 3]);
        assert_eq!(left("route del a X.Com"), [1, 2]);
        assert_eq!(left("route del a :1 TCP://192.0.2.1:1"), [2, 3]);
        assert_eq!(left("route del a :1 tcp://192.0.2.1:2"), [1, 2, 3]);
        assert_eq!(left("route del a tags \"x\""), [2]);
        assert_eq!(left("route del a tags \"y,x\""), [2, 3]);
        assert_eq!(left("route del tags \"y\""), [3]);
        assert_eq!(left("route del tags \"x,y\""), [2, 3]);
        for nothing in ["c", "a :2", "b x.com", "tags \"z\"", "b tags \"x\""] {
            assert_eq!(left(&format!("route del {nothing}")), [1, 2, 3], "{nothing}");
        }
    }

    #[test]
    fn commands_act_on_what_was_added_before() {
        assert_eq!(left("route del a\nroute add a :2 tcp://192.0.2.1:4"), [2, 4]);
        assert_eq!(left("route del a\nroute add a :1 tcp://192.0.2.1:1 tags \"x,y\""), [2, 1]);
        let text = "route weight a :1 weight 1\nroute add a :1 tcp://192.0.2.1:1";
        let built = build_text(text.as_bytes());
        assert_eq!(built.table.routes()[0].targets()[0].fixed_weight, 0.0);
        assert_eq!(built.warnings.len(), 1, "a weight without a target is named");
        assert_eq!(built.warnings[0].line, 1);
    }

    #[test]
    fn a_route_without_targets_is_no_route() {
        let built = build_text(format!("{THREE}route del a").as_bytes());
        assert_eq!(built.table.routes().len(), 1);
        assert!(built.table.lookup_name("x.com").is_none());
        assert_eq!(built.table.targets().len(), 1);
    }

    /// The fixed weights after these commands.
    fn weights(commands: &str) -> Vec<f64> {
        let text = "route add a :1 tcp://192.0.2.1:1 tags \"x,y\"\n\
                    route add a :1 tcp://192.0.2.1:2 tags \"x\"\n\
                    route add b :1 tcp://192.0.2.1:3 tags \"x\"\n";
        let built = build_text(format!("{text}{commands}").as_bytes());
        assert_eq!(built.errors, [], "{commands}");
        built.table.routes()[0].targets().iter().map(|target| target.fixed_weight).collect()
    }

    #[test]
    fn weight_is_divided_among_the_targets_that_match() {
        assert_eq!(weights("route weight a :1 weight 0.5"), [0.25, 0.25, 0.0]);
        assert_eq!(weights("route weight b :1 weight 0.5"), [0.0, 0.0, 0.5]);
        assert_eq!(weights("route weight :1 weight 0.75 tags \"x\""), [0.25; 3]);
        assert_eq!(weights("route weight a :1 weight 0.5 tags \"x,y\""), [0.5, 0.0, 0.0]);
        assert_eq!(
            weights("route weight :1 weight 3 tags \"x\"\nroute weight a :1 weight -1"),
            [0.0, 0.0, 1.0],
            "no weight, or less, makes them share again"
        );
        assert_eq!(weights("route weight c :1 weight 1\nroute weight a :2 weight 1"), [0.0; 3]);
    }

    #[test]
    fn weight_finds_hosts_in_any_case() {
        let text = "route add a x.com/ tcp://192.0.2.1:1\nroute weight a X.COM/ weight 0.5";
        assert!(table(text).contains(" weight 0.5000"));
    }

    #[test]
    fn duplicates_are_told_by_the_weight_that_they_have_now() {
        let two = "route add a :1 tcp://192.0.2.1:1\nroute weight a :1 weight 0.5\n";
        let count = |line: &str| {
            build_text(format!("{two}{line}").as_bytes()).table.routes()[0].targets().len()
        };
        assert_eq!(count("route add a :1 tcp://192.0.2.1:1 weight 0.5"), 1);
        assert_eq!(count("route add a :1 tcp://192.0.2.1:1"), 2);
    }

    #[test]
    fn targets_that_a_weight_makes_the_same_are_one() {
        let built = build_text(
            b"route add a :1 tcp://192.0.2.1:1 weight 0.1 opts \"first=1\"\n\
              route add a :1 tcp://192.0.2.1:1\n\
              route add a :1 tcp://192.0.2.1:2\n\
              route weight a :1 weight 0.5",
        );
        let targets = built.table.routes()[0].targets();
        assert_eq!(targets.iter().map(|t| t.fixed_weight).collect::<Vec<_>>(), [0.25, 0.25]);
        assert_eq!(targets[0].options.get("first"), Some("1"));
    }

    #[test]
    fn a_duplicate_of_what_was_deleted_is_none() {
        let line = "route add a :1 tcp://192.0.2.1:1\n";
        assert_eq!(table(&format!("{line}route del a\n{line}{line}")), line);
    }

    #[test]
    fn unknown_options_are_warned_of_once() {
        let built = build_text(
            b"route add a :1 tcp://192.0.2.1:1 opts \"stripe=/a\"\n\
              route add a :2 tcp://192.0.2.1:1 opts \"stripe=/b odd\"\n\
              route add a :3 tcp://192.0.2.1:1 opts \"odd pxyproto=x\"\n\
              route add a :4 tcp://192.0.2.1:1 opts \"pxyproto=x\"",
        );
        let lines: Vec<usize> = built.warnings.iter().map(|warning| warning.line).collect();
        assert_eq!(lines, [1, 2, 3, 4], "bad values are named each time");
        assert_eq!(built.table.routes().len(), 4);
    }

    #[test]
    fn a_strategy_that_differs_is_named() {
        let line = "route add a :1 tcp://192.0.2.1:1 opts \"strategy=hash\"\n\
                    route add a :1 tcp://192.0.2.1:2\n\
                    route add a :1 tcp://192.0.2.1:3 opts \"strategy=rr\"";
        let built = build_text(line.as_bytes());
        assert_eq!(built.warnings.len(), 1);
        assert_eq!(built.warnings[0].line, 3);
    }

    /// For each target of connections the fall of its check.
    fn falls(table: &Table) -> Vec<Option<u32>> {
        let check = |at| table.checks().get(table.target_check(at)?)?.fall;
        (0..table.targets().len()).map(check).collect()
    }

    #[test]
    fn checks_that_are_alike_are_one_value() {
        let built = build_text(
            b"route add a :1 tcp://192.0.2.1:1 opts \"fall=3 checkinterval=1s\"\n\
              route add a :2 tcp://192.0.2.1:2 opts \"checkinterval=1000ms fall=3 strategy=rr\"\n\
              route add a :3 tcp://192.0.2.1:3 opts \"fall=4\"\n\
              route add a :3 tcp://192.0.2.1:4\n\
              route add a :3 tcp://a.test:5 opts \"fall=4\"\n\
              route add a :4 tcp://192.0.2.1:6 opts \"fall=5\"\nroute del a :4",
        );
        assert_eq!(built.warnings, []);
        let table = built.table;
        assert_eq!(falls(&table), [Some(3), Some(3), Some(4), None]);
        assert_eq!(table.target_check(0), table.target_check(1));
        assert_eq!(table.name_check(0), table.target_check(2));
        assert_eq!((table.target_check(4), table.name_check(1)), (None, None), "deleted");
        let shared = |at: usize| table.routes()[at].targets()[0].options.check.clone().unwrap();
        assert!(Rc::ptr_eq(&shared(0), &shared(1)));
    }

    /// The routes are finished in another order than that of the lines.
    #[test]
    fn the_first_line_that_says_how_a_target_is_checked_counts() {
        let text = "route add a :1 tcp://192.0.2.1:9\n\
                    route add a :2 tcp://192.0.2.1:1 opts \"fall=2\"\n\
                    route add a :1 tcp://192.0.2.1:1 opts \"fall=3\"\n\
                    route add a :3 tcp://192.0.2.1:1\n\
                    route add a :4 tcp://192.0.2.1:1/x opts \"fall=2\"\n\
                    route add b :3 tcp://192.0.2.1:1 opts \"fall=4\"\n\
                    route add a :5 tcp://192.0.2.1:1 opts \"fall=5\"\n\
                    route add a :6 tcp://a.test:1 opts \"fall=6\"\n\
                    route add a :7 tcp://a.test:1 opts \"fall=7\"";
        let built = build_text(text.as_bytes());
        assert_eq!(falls(&built.table), [None, Some(2), Some(4)]);
        let lines: Vec<usize> = built.warnings.iter().map(|warning| warning.line).collect();
        assert_eq!(lines, [3, 7, 9]);
        let warning = &built.warnings[0];
        assert_eq!(warning.text, "a tcp://192.0.2.1:1");
        assert!(warning.problem.contains("differs from that of line 2, which counts"));
        assert!(built.warnings[2].problem.contains("line 8"));
    }

    #[test]
    fn the_check_of_a_udp_target_has_no_effect() {
        let built = build_text(b"route add a :1 udp://192.0.2.1:1 opts \"check=tcp\"");
        assert_eq!((built.table.checks().len(), built.warnings.len()), (1, 1));
        assert!(built.warnings[0].problem.contains("a udp target is not checked"));
    }

    #[test]
    fn an_http_check_needs_the_feature() {
        let built = build_text(b"route add a :1 tcp://192.0.2.1:1 opts \"check=http:/x\"");
        match cfg!(feature = "http") {
            true => assert_eq!((built.errors, built.warnings), (vec![], vec![])),
            false => assert!(built.errors[0].problem.contains("without the feature `http`")),
        }
    }

    #[test]
    fn long_lines_are_no_end_of_the_table() {
        let tag = "x".repeat(200_000);
        let text = format!(
            "route add a :1 tcp://192.0.2.1:1 tags \"{tag}\"\n# {}\n\
             route add a :2 tcp://192.0.2.1:1\n{}",
            "y".repeat(3 * LONGEST_LINE),
            "z".repeat(2 * LONGEST_LINE),
        );
        let built = build_text(text.as_bytes());
        assert_eq!(built.table.routes().len(), 2);
        let lines: Vec<usize> = built.errors.iter().map(|error| error.line).collect();
        assert_eq!(lines, [2, 4]);
        assert!(built.errors[0].problem.contains("longer than"));
        let exact = format!("#{}", "y".repeat(LONGEST_LINE - 1));
        assert_eq!(build_text(exact.as_bytes()).errors, []);
        assert_eq!(build_text(format!("{exact}y").as_bytes()).errors.len(), 1);
    }

    #[test]
    fn a_byte_order_mark_is_no_part_of_the_first_line() {
        let built = build_text(b"\xef\xbb\xbfroute add a :1 tcp://192.0.2.1:1");
        assert_eq!((built.table.routes().len(), built.errors.len()), (1, 0));
    }

    #[test]
    fn reports_are_bounded_and_the_rest_is_counted() {
        let text = "bad\n".repeat(MOST_REPORTS + 7);
        let built = build_text(text.as_bytes());
        assert_eq!((built.errors.len(), built.omitted), (MOST_REPORTS, 7));
        let text: String = (0..MOST_REPORTS + 7)
            .map(|n| format!("route add a :1 tcp://192.0.2.1:{} opts \"o{n}\"\n", n + 1))
            .collect();
        let built = build_text(text.as_bytes());
        assert_eq!(
            (built.warnings.len(), built.warnings.len() + built.omitted),
            (MOST_REPORTS, MOST_REPORTS)
        );
    }

    /// Each step does its part and no more, whatever the command.
    #[test]
    fn no_step_is_long() {
        let adds = (0..2_000).map(|n| format!("route add s{} h{n}/ http://192.0.2.1\n", n % 7));
        let dels = (0..20).map(|n| format!("route del tags \"t{n}\"\nroute del s{n}\n"));
        let text: String = adds.chain(dels).collect();
        let mut builder = TableBuilder::new(Rc::from(text.as_bytes()));
        let mut steps = 0;
        let built = loop {
            let line = builder.line;
            let built = builder.step(10);
            steps += 1;
            if let Some(built) = built {
                break built;
            }
            assert!(builder.line - line <= 10);
        };
        // A step is 320 visits: 2040 lines at 37 each, 21 times 2000 targets that
        // a command looks at, and 2000 routes to finish at 40 each.
        assert!((590..640).contains(&steps), "{steps}");
        assert!(built.table.routes().is_empty());
    }

    #[test]
    fn the_size_of_the_steps_makes_no_difference() {
        let text = format!(
            "{THREE}route weight :1 weight 0.5 tags \"y\"\nbad\nroute del tags \"x,y\"\n\
             route add c *.x.com/ tcp://192.0.2.1:9 opts \"odd\"\n{}\nbad",
            "#".repeat(LONGEST_LINE + 1)
        );
        let whole = build_text(text.as_bytes());
        for lines in [0, 1, 2, 3, 50] {
            let mut builder = TableBuilder::new(Rc::from(text.as_bytes()));
            let built = loop {
                if let Some(built) = builder.step(lines) {
                    break built;
                }
            };
            assert_eq!(built.table.to_string(), whole.table.to_string());
            assert_eq!(
                (built.errors, built.warnings),
                (whole.errors.clone(), whole.warnings.clone())
            );
            assert!(builder.step(lines).is_none(), "the table comes once");
        }
    }
}
