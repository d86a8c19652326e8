//! `docs/routes.md` keeps its word: each behaviour has a verdict and tests that
//! exist, and its examples are good lines.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use burgee::route::builder::build_text;

#[path = "common/documents.rs"]
mod documents;

fn document() -> String {
    documents::document("docs/routes.md")
}

#[test]
fn every_behaviour_has_a_verdict_and_its_tests_exist() {
    let document = document();
    let (_, table) = document.split_once("## Beside fabio").unwrap();
    let rows = documents::check_rows(table);
    assert!(rows > 30, "{rows} rows");
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
