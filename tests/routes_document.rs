//! `docs/routes.md` keeps its word: each behaviour has a verdict and tests that
//! exist, and its examples are good lines.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use burgee::route::builder::build_text;

const VERDICTS: [&str; 2] = ["same", "deliberately better: "];

fn document() -> String {
    fs::read_to_string(root().join("docs/routes.md")).unwrap()
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// The names of all functions under `#[test]`, and of those in `proptest!`.
fn tests() -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for folder in ["src", "tests"] {
        visit(&root().join(folder), &mut names);
    }
    names
}

fn visit(folder: &Path, names: &mut BTreeSet<String>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            visit(&path, names);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = fs::read_to_string(&path).unwrap();
            for piece in text.split("#[test]\n").skip(1) {
                let name = piece.trim_start().strip_prefix("fn ").and_then(|p| p.split('(').next());
                names.extend(name.map(str::to_owned));
            }
        }
    }
}

#[test]
fn every_behaviour_has_a_verdict_and_its_tests_exist() {
    let document = document();
    let (_, table) = document.split_once("## Beside fabio").unwrap();
    let rows: Vec<&str> = table.lines().filter(|line| line.starts_with("| ")).skip(1).collect();
    assert!(rows.len() > 30, "{} rows", rows.len());
    let known = tests();
    for row in rows {
        let cells: Vec<&str> = row.trim_matches('|').split(" | ").map(str::trim).collect();
        let [_, verdict, tests] = cells.as_slice() else { panic!("not three cells: {row}") };
        assert!(VERDICTS.iter().any(|known| verdict.starts_with(known)), "no verdict: {row}");
        let names: Vec<&str> = tests.split(", ").map(|name| name.trim_matches('`')).collect();
        assert!(!names.is_empty());
        for name in names {
            assert!(known.contains(name), "no test is called {name}: {row}");
        }
    }
}

#[test]
fn the_examples_are_good_lines() {
    let document = document();
    let examples: Vec<&str> =
        document.split("```routes\n").skip(1).filter_map(|rest| rest.split("```").next()).collect();
    assert!(!examples.is_empty());
    for example in examples {
        let built = build_text(example.as_bytes());
        assert_eq!((built.errors, built.warnings), (vec![], vec![]));
        assert!(built.table.routes().len() > 3);
    }
}
