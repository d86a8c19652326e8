//! The minimal build has exactly six crates beside ours, and says what it cannot do.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::BTreeSet;
use std::process::Command;

#[test]
fn without_features_there_are_exactly_six_crates() {
    let output = Command::new(env!("CARGO"))
        .args(["tree", "--no-default-features", "--edges", "normal,build", "--prefix", "none"])
        .args(["--format", "{p}", "--target", "x86_64-unknown-linux-gnu"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .expect("cargo runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let crates: BTreeSet<String> = String::from_utf8_lossy(&output.stdout)
        .lines()
        .filter_map(|line| line.split(' ').next().map(str::to_owned))
        .filter(|name| !name.is_empty() && name != "burgee")
        .collect();
    let expected = ["ipnet", "libc", "log", "mio", "simple_logger", "socket2"];
    assert_eq!(crates, expected.map(str::to_owned).into());
}

/// What `burgee check` says of a route to a name: its exit code, and errors.
fn check_of_a_name() -> (Option<i32>, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_burgee"))
        .arg("check")
        .arg("-proxy.addr=127.0.0.1:8080;proto=tcp")
        .arg("-registry.static.routes=route add web :8080 tcp://web.test:80")
        .env_clear()
        .output()
        .expect("the binary runs");
    (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
}

#[test]
#[cfg(not(feature = "names"))]
fn a_name_is_a_bad_line_that_says_what_is_missing() {
    let (code, errors) = check_of_a_name();
    let expected = "error: registry.static.routes: line 1: route add web :8080 tcp://web.test:80: \
                    \"web.test\" is a name, and this burgee was built without the feature `names`\n";
    assert_eq!((code, &*errors), (Some(1), expected));
}

#[test]
#[cfg(feature = "names")]
fn a_name_is_a_good_target_of_the_usual_build() {
    assert_eq!(check_of_a_name(), (Some(0), String::new()));
}

/// What `burgee check` says of one setting: its exit code, and errors.
#[cfg(not(feature = "http"))]
fn check_of(setting: &str) -> (Option<i32>, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_burgee"))
        .args(["check", "-proxy.addr=127.0.0.1:8080;proto=tcp", setting])
        .arg("-registry.static.routes=route add web :8080 tcp://127.0.0.1:80")
        .env_clear()
        .output()
        .expect("the binary runs");
    (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
}

#[test]
#[cfg(not(feature = "http"))]
fn what_needs_http_is_an_error_that_says_what_is_missing() {
    let hint = "see burgee --help\n";
    let without = "this burgee was built without the feature `http`";
    for (key, value) in [("ui.addr", "127.0.0.1:9998"), ("ui.socket", "/run/burgee/sock")] {
        let expected =
            format!("error: flag -{key}: {key} = {value:?}: {without}; set it to nothing\n{hint}");
        assert_eq!(check_of(&format!("-{key}={value}")), (Some(2), expected));
        assert_eq!(check_of(&format!("-{key}=")), (Some(0), String::new()));
    }
    let expected = format!(
        "error: flag -health.check: health.check = \"http:/\": it asks over HTTP, and {without}\n"
    );
    assert_eq!(check_of("-health.check=http:/"), (Some(1), expected));
    assert_eq!(check_of("-health.check=tcp"), (Some(0), String::new()));
}
