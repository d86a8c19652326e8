//! `docs/tcp.md` keeps its word: each behaviour has a verdict and tests that
//! exist, and so has each scenario with another program.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::BTreeSet;

use burgee::config::load;
use burgee::route::builder::build_text;

#[path = "common/documents.rs"]
mod documents;

/// The two tables' texts: beside fabio, and beside other programs.
fn tables(document: &str) -> (&str, &str) {
    let (_, rest) = document.split_once("## Beside fabio").unwrap();
    rest.split_once("## Beside other programs").unwrap()
}

#[test]
fn every_behaviour_has_a_verdict_and_its_tests_exist() {
    let document = documents::document("docs/tcp.md");
    let rows = documents::check_rows(tables(&document).0);
    assert!(rows > 50, "{rows} rows");
}

#[test]
fn the_scenarios_with_other_programs_are_those_that_there_are() {
    let document = documents::document("docs/tcp.md");
    let rows = tables(&document).1.lines().filter(|line| line.starts_with("| ")).skip(1);
    let listed: BTreeSet<&str> =
        rows.map(|row| row.rsplit('`').nth(1).expect("a scenario in the last cell")).collect();
    let scenarios = documents::document("tests/netns/tcp.py");
    let written: BTreeSet<&str> = scenarios
        .split("@scenario(\"")
        .skip(1)
        .filter_map(|piece| piece.split('"').next())
        .collect();
    assert!(!written.is_empty());
    assert_eq!(listed, written);
}

#[test]
fn the_example_of_the_readme_is_read_without_a_word() {
    let readme = documents::document("README.md");
    let (_, section) = readme.split_once("### Connections\n\n").unwrap();
    let lines = section.lines().take_while(|line| line.starts_with("    "));
    let file: String = lines.map(|line| format!("{}\n", line.trim_start())).collect();
    let loaded = load(&["-cfg=f".to_owned()], &[], &|_| Ok(file.clone().into_bytes())).unwrap();
    assert_eq!(loaded.warnings, [""; 0]);
    assert_eq!(loaded.config.proxy.listeners.len(), 3);
    let routes = build_text(loaded.config.registry.static_routes().as_bytes());
    assert_eq!((routes.errors, routes.warnings), (vec![], vec![]));
    assert_eq!(routes.table.routes().len(), 4);
}
