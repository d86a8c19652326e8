//! The plan of the house, enforced: who may import whom, what stays on the
//! ground floor, and how long a file may grow.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// The rooms by floor; imports run down, never up, and not inside a floor.
const FLOORS: [(&str, u32); 17] = [
    ("reactor", 0),
    ("announce", 1),
    ("health", 1),
    ("resolve", 1),
    ("bfd", 1),
    ("bgp", 1),
    ("route", 1),
    ("config", 1),
    ("http", 1),
    ("vip", 1),
    ("registry", 2),
    ("proxy", 2),
    ("admin", 2),
    ("daemon", 3),
    ("command", 3),
    ("demo", 4),
    ("main", 5),
];

/// The imports inside a floor that are allowed: room, and what it may use.
const NEIGHBOURS: [(&str, &str); 4] = [
    ("announce", "bgp::message::prefix"),
    ("announce", "bgp::message::attribute"),
    ("announce", "health"),
    ("health", "http"),
];

/// The doors: files that may use the whole of `reactor`. All others are pure
/// and take only value types from it.
const DOORS: [&str; 14] = [
    "admin/door",
    "bfd/transport/",
    "bgp/transport/",
    "command/",
    "health/knock.rs",
    "health/probe.rs",
    "resolve/absent.rs",
    "resolve/door.rs",
    "resolve/files.rs",
    "proxy/",
    "daemon/",
    "demo/",
    "vip/door.rs",
    "main.rs",
];

/// The value types that pure files may take from `reactor`.
const VALUES: [&str; 10] = [
    "Time",
    "Token",
    "Kind",
    "Readiness",
    "random::Random",
    "clock::Time",
    "buffer::",
    "calendar::",
    "duration",
    "interfaces::Interface",
];

/// Lines a file may have before its tests.
const FILE_LIMIT: usize = 600;

/// Lines a function may have.
const FUNCTION_LIMIT: usize = 70;

struct Source {
    /// Path under `src/`.
    name: String,
    /// The text without comments and without the tests at its end.
    code: String,
    lines: usize,
}

impl Source {
    fn room(&self) -> &str {
        self.name.split(['/', '.']).next().unwrap_or_default()
    }
}

fn sources() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = Vec::new();
    visit(&root, &mut found);
    let mut sources: Vec<Source> = found
        .into_iter()
        .map(|path| {
            let text = fs::read_to_string(&path).expect("a readable source");
            let body = text.split("\n#[cfg(test)]\nmod ").next().unwrap_or_default();
            let code: Vec<&str> =
                body.lines().filter(|line| !line.trim_start().starts_with("//")).collect();
            Source {
                name: path.strip_prefix(&root).expect("under src").display().to_string(),
                code: code.join("\n"),
                lines: body.lines().count(),
            }
        })
        .collect();
    sources.sort_by(|a, b| a.name.cmp(&b.name));
    assert!(sources.len() > 30, "the sources were not found");
    sources
}

fn visit(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("a readable folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            visit(&path, found);
        } else if path.extension().is_some_and(|e| e == "rs") {
            found.push(path);
        }
    }
}

/// Every path into another room that a file names: `crate::room::rest`, also
/// from inside a `use` group.
fn imports(source: &Source) -> Vec<(String, String)> {
    let flat: String = source.code.split_whitespace().collect::<Vec<_>>().join(" ");
    let root = if source.name == "main.rs" { "burgee::" } else { "crate::" };
    let mut paths = Vec::new();
    for piece in flat.split(root).skip(1) {
        for path in expand(piece) {
            let (room, rest) = path.split_once("::").unwrap_or((&path, ""));
            paths.push((room.to_owned(), rest.to_owned()));
        }
    }
    paths
}

/// `a::{b, c::d}` → `a::b`, `a::c::d`; anything after the path is cut.
fn expand(text: &str) -> Vec<String> {
    let end =
        text.find(|c: char| !(c.is_alphanumeric() || c == '_' || c == ':')).unwrap_or(text.len());
    let (head, tail) = text.split_at(end);
    if !head.ends_with("::") || !tail.starts_with('{') {
        return vec![head.trim_end_matches(':').to_owned()];
    }
    let mut depth = 0;
    let mut items = vec![String::new()];
    for c in tail.chars() {
        match c {
            '{' if depth == 0 => depth = 1,
            '}' if depth == 1 => break,
            ',' if depth == 1 => items.push(String::new()),
            _ => {
                depth += i32::from(c == '{') - i32::from(c == '}');
                if let Some(item) = items.last_mut() {
                    item.push(c);
                }
            }
        }
    }
    let items = items.iter().map(|item| item.trim()).filter(|item| !item.is_empty());
    items.flat_map(expand).map(|item| format!("{head}{item}")).collect()
}

#[test]
fn groups_of_imports_are_understood() {
    let paths = expand("bgp::{message::{prefix::Family, header}, rib, peer as p}; fn");
    assert_eq!(
        paths,
        ["bgp::message::prefix::Family", "bgp::message::header", "bgp::rib", "bgp::peer"]
    );
    assert_eq!(expand("reactor::Time;"), ["reactor::Time"]);
}

#[test]
fn imports_run_down_and_never_in_a_circle() {
    let floors: BTreeMap<&str, u32> = FLOORS.into_iter().collect();
    let mut wrong = Vec::new();
    let mut edges = BTreeSet::new();
    for source in sources().iter().filter(|source| source.name != "lib.rs") {
        let room = source.room().to_owned();
        let own = *floors.get(room.as_str()).unwrap_or_else(|| panic!("{room} has no floor"));
        for (other, rest) in imports(source) {
            let Some(&floor) = floors.get(other.as_str()) else { continue };
            if other == room {
                continue;
            }
            edges.insert((room.clone(), other.clone()));
            let path = format!("{other}::{rest}");
            let allowed = floor < own
                || NEIGHBOURS.iter().any(|(from, to)| *from == room && path.starts_with(to));
            if !allowed {
                wrong.push(format!("{} imports {path}", source.name));
            }
        }
    }
    assert!(wrong.is_empty(), "imports that run up or sideways:\n{}", wrong.join("\n"));
    assert!(
        edges.contains(&("daemon".into(), "bgp".into())),
        "the test sees no imports: {edges:?}"
    );
}

#[test]
fn pure_files_take_only_values_from_the_reactor() {
    let mut wrong = Vec::new();
    for source in sources() {
        let is_door = DOORS.iter().any(|door| source.name.starts_with(door));
        if source.room() == "reactor" || source.name == "lib.rs" || is_door {
            continue;
        }
        for (room, rest) in imports(&source) {
            if room == "reactor" && !VALUES.iter().any(|value| rest.starts_with(value)) {
                wrong.push(format!("{} uses reactor::{rest}", source.name));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn what_belongs_to_the_ground_floor_stays_there() {
    let only_in_reactor =
        ["unsafe ", "Instant::now", "SystemTime::now", "libc::", "thread::", "static mut"];
    let nowhere = ["RefCell", "todo!(", "unimplemented!(", "dbg!("];
    let mut wrong = Vec::new();
    for source in sources() {
        for word in nowhere {
            if source.code.contains(word) {
                wrong.push(format!("{}: {word}", source.name));
            }
        }
        for word in only_in_reactor {
            if source.room() != "reactor" && source.code.contains(word) {
                wrong.push(format!("{}: {word}", source.name));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_clock_is_read_in_one_file() {
    let readers: Vec<String> = sources()
        .into_iter()
        .filter(|s| s.code.contains("Instant::now") || s.code.contains("SystemTime::now"))
        .map(|source| source.name)
        .collect();
    assert_eq!(readers, ["reactor/clock.rs"]);
}

#[test]
fn files_and_functions_stay_short() {
    let mut long = Vec::new();
    for source in sources() {
        if source.lines > FILE_LIMIT {
            long.push(format!("{}: {} lines before its tests", source.name, source.lines));
        }
        for (name, lines) in functions(&source.code) {
            if lines > FUNCTION_LIMIT {
                long.push(format!("{}: fn {name} has {lines} lines", source.name));
            }
        }
    }
    assert!(long.is_empty(), "{}", long.join("\n"));
}

/// Each function with its length, found by the indentation that rustfmt gives
/// its last brace.
fn functions(code: &str) -> Vec<(String, usize)> {
    let lines: Vec<&str> = code.lines().collect();
    let mut found = Vec::new();
    for (start, line) in lines.iter().enumerate() {
        let text = line.trim_start();
        let Some(at) = text.find("fn ").filter(|at| {
            *at == 0
                || text[..*at].split(' ').all(|w| {
                    w.starts_with("pub")
                        || w == "const"
                        || w.starts_with("super)")
                        || w.starts_with("crate)")
                        || w.is_empty()
                        || w == "in"
                })
        }) else {
            continue;
        };
        let name = text[at + 3..].split(['(', '<']).next().unwrap_or_default().to_owned();
        let closing = format!("{}}}", &line[..line.len() - text.len()]);
        if let Some(length) = lines[start..].iter().position(|l| *l == closing) {
            found.push((name, length + 1));
        }
    }
    found
}
