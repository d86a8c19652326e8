//! Replays the inputs of `tests/corpus`, which fuzzing found to reach different
//! code, with the checks of `fuzz/src`. A failing input is named.

#![allow(unreachable_pub, clippy::panic, clippy::unwrap_used, clippy::expect_used)]

#[path = "../fuzz/src/lib.rs"]
#[allow(dead_code)]
mod fuzzing;

use std::path::{Path, PathBuf};

/// Names the input when a check fails, and only then.
struct Named(PathBuf);

impl Drop for Named {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("the input is {}", self.0.display());
        }
    }
}

fn replay(target: &str) {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus").join(target);
    let entries = std::fs::read_dir(&directory).expect("a corpus");
    let mut inputs: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    inputs.sort();
    assert!(inputs.len() >= 5, "{} inputs for {target}", inputs.len());
    for path in inputs {
        let data = std::fs::read(&path).expect("an input");
        let named = Named(path);
        fuzzing::run(target, &data);
        drop(named);
    }
}

#[test]
fn every_target_has_a_test_and_a_program() {
    let programs = std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/fuzz/fuzz_targets"));
    assert_eq!(programs.expect("programs").count(), fuzzing::TARGETS.len());
    let this = include_str!("corpus.rs");
    for (target, _) in fuzzing::TARGETS {
        assert!(this.contains(&format!("replay(\"{target}\")")), "no test for {target}");
    }
}

#[test]
fn headers() {
    replay("header");
}

#[test]
fn opens() {
    replay("open");
}

#[test]
fn updates() {
    replay("update");
}

#[test]
fn notifications() {
    replay("notification");
}

#[test]
fn route_refreshes() {
    replay("route_refresh");
}

#[test]
fn bfd_packets() {
    replay("bfd");
}

#[test]
fn configurations() {
    replay("configuration");
}

#[test]
fn route_commands() {
    replay("routes");
}

#[test]
fn sessions() {
    replay("session");
}

#[test]
fn pairs_of_speakers() {
    replay("pair");
}
