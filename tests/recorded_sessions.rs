//! Replays what real BGP daemons sent into a speaker, in pieces of all sizes.
//!
//! Each `tests/recorded/DAEMON-VERSION.session` was written by
//! `tests/netns/record`. What was agreed, learned and counted, and how the
//! session ended, has to be what the `.expected` file beside it says. With
//! `BURGEE_BLESS=1` the expectations are written anew; read them beside the
//! daemon's configuration in `tests/netns/record`.

#![allow(unreachable_pub, clippy::panic, clippy::unwrap_used, clippy::expect_used)]

#[path = "common/replay.rs"]
mod replay;

use std::path::{Path, PathBuf};

use burgee::reactor::random::Random;
use replay::{Recording, replay, view};

fn recordings() -> Vec<(PathBuf, Recording)> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/recorded");
    let files = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    let is_session = |path: &PathBuf| path.extension().is_some_and(|end| end == "session");
    let mut paths: Vec<PathBuf> = files.filter(is_session).collect();
    paths.sort();
    assert!(paths.len() >= 5, "a recording of each daemon");
    let read = |path: &PathBuf| Recording::parse(&std::fs::read_to_string(path).unwrap());
    paths.into_iter().map(|path| (path.clone(), read(&path))).collect()
}

#[test]
fn each_session_comes_out_as_expected() {
    let bless = std::env::var_os("BURGEE_BLESS").is_some();
    let mut wrong = Vec::new();
    for (path, recording) in recordings() {
        let outcome = replay(&recording.from_daemon);
        let expectation = path.with_extension("expected");
        if bless {
            std::fs::write(&expectation, &outcome.received).unwrap();
        }
        let expected = std::fs::read_to_string(&expectation).unwrap_or_default();
        if outcome.received != expected {
            let (path, said) = (path.display(), outcome.received);
            wrong.push(format!("{path}\nexpected:\n{expected}\nbut:\n{said}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_session_has_all_that_was_asked_of_the_daemon() {
    for (path, recording) in recordings() {
        let said = replay(&recording.from_daemon).received;
        for wanted in [
            "families={Ipv4Unicast, Ipv6Unicast}",
            "\nannounced 198.51.100.0/24 ",
            "\nannounced 2001:db8:1::/48 ",
            "\nwithdrawn 203.0.113.0/24\n",
            "\nwithdrawn 2001:db8:f::/48\n",
            " communities=65000:1",
            " large=65000:1:2",
            "\ndown received Cease/Administrative Shutdown (6/2)",
            " malformed=0 flaps=1\n",
        ] {
            assert!(said.contains(wanted), "{}: no {wanted:?} in\n{said}", path.display());
        }
    }
}

#[test]
fn any_split_of_the_stream_gives_the_same_session() {
    for (path, recording) in recordings() {
        let expected = replay(&recording.from_daemon);
        let same = |how: &str, pieces: &[replay::Piece], sent: bool| {
            let outcome = replay(pieces);
            assert_eq!(outcome.received, expected.received, "{} {how}", path.display());
            assert!(!sent || outcome.sent == expected.sent, "{} {how}: sent", path.display());
            // Whatever was sent before the end can be read.
            view(&outcome.sent, outcome.negotiated.as_ref().expect("a session"));
        };
        same("in one piece", &recording.whole(), false);
        same("octet by octet", &recording.split(|| 1), true);
        for seed in 0..50 {
            let mut random = Random::new(seed);
            let longest = 1 << random.below(10);
            let pieces = recording.split(|| 1 + random.index(longest));
            same(&format!("in random pieces, seed {seed}"), &pieces, true);
        }
    }
}

#[test]
fn the_daemon_is_told_what_it_was_told_when_it_was_recorded() {
    for (path, recording) in recordings() {
        let outcome = replay(&recording.from_daemon);
        let negotiated = outcome.negotiated.expect("a session");
        let then = view(&recording.from_burgee, &negotiated);
        assert_eq!(then.len(), 2, "{}: one prefix of each family", path.display());
        assert_eq!(view(&outcome.sent, &negotiated), then, "{}", path.display());
    }
}
