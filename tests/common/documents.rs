//! Documents whose tables name tests: what the rows are, and which tests there
//! are.

#![allow(
    dead_code,
    unreachable_pub,
    clippy::expect_used,
    clippy::panic,
    clippy::arithmetic_side_effects
)]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Where the sources are.
pub fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// A document by its path under the root.
pub fn document(path: &str) -> String {
    fs::read_to_string(root().join(path)).expect("a document")
}

/// The names of all functions under `#[test]`, and of those in `proptest!`.
pub fn tests() -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for folder in ["src", "tests"] {
        visit(&root().join(folder), &mut names);
    }
    names
}

fn visit(folder: &Path, names: &mut BTreeSet<String>) {
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            visit(&path, names);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = fs::read_to_string(&path).expect("a source");
            for piece in text.split("#[test]\n").skip(1) {
                let name = piece.trim_start().strip_prefix("fn ").and_then(|p| p.split('(').next());
                names.extend(name.map(str::to_owned));
            }
        }
    }
}

/// The verdicts on a behaviour of fabio, as they begin.
const VERDICTS: [&str; 3] = ["same", "deliberately better: ", "not yet: "];

/// Goes through the tables in a text: each row is a behaviour, a verdict, and
/// the names of tests that exist. Returns how many rows there are.
pub fn check_rows(text: &str) -> usize {
    let known = tests();
    let mut rows = 0;
    for row in text.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| fabio |"))
    {
        rows += 1;
        let cells: Vec<&str> = row.trim_matches('|').split(" | ").map(str::trim).collect();
        let [_, verdict, tests] = cells.as_slice() else { panic!("not three cells: {row}") };
        assert!(VERDICTS.iter().any(|known| verdict.starts_with(known)), "no verdict: {row}");
        for name in tests.split(", ").map(|name| name.trim_matches('`')) {
            assert!(known.contains(name), "no test is called {name}: {row}");
        }
    }
    rows
}
