//! What `burgee check` says of configurations that are not as they should be.
//!
//! Each `tests/broken/NN-name.properties` is checked in a clean environment,
//! with the flags of `NN-name.arguments` and the variables of
//! `NN-name.environment` where there are such files, one a line. What is
//! printed to stderr and the exit status have to be those of
//! `NN-name.expected`, byte for byte. With `BURGEE_BLESS=1` the expectations
//! are written anew; read the difference as an operator would.

// The functions that the tests share may fail as the tests may.
#![allow(clippy::unwrap_used)]

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Secrets of the cases are made of this word.
const SECRET: &str = "s3cret";

fn cases() -> Vec<PathBuf> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/broken");
    let files = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    let is_case = |path: &PathBuf| path.extension().is_some_and(|end| end == "properties");
    let mut cases: Vec<PathBuf> = files.filter(is_case).collect();
    cases.sort();
    cases
}

/// The lines of a file beside a case; none when it is not there.
fn lines(case: &Path, extension: &str) -> Vec<String> {
    let text = std::fs::read_to_string(case.with_extension(extension)).unwrap_or_default();
    text.lines().map(str::to_string).collect()
}

/// Exit status and stderr, and stdout by itself.
fn check(case: &Path) -> (String, String) {
    let variables = lines(case, "environment");
    let variables = variables.iter().map(|line| line.split_once('=').unwrap());
    let output = Command::new(env!("CARGO_BIN_EXE_burgee"))
        .current_dir(case.parent().unwrap())
        .env_clear()
        .envs(variables)
        .arg("check")
        .arg("-cfg")
        .arg(case.file_name().unwrap())
        .args(lines(case, "arguments"))
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let status = output.status.code().unwrap();
    let errors = String::from_utf8(output.stderr).unwrap();
    let printed = String::from_utf8(output.stdout).unwrap();
    (format!("exit status {status}\n{errors}"), printed)
}

#[test]
fn messages_are_as_expected() {
    let bless = std::env::var_os("BURGEE_BLESS").is_some();
    let mut wrong = Vec::new();
    for case in cases() {
        let (said, _) = check(&case);
        let path = case.with_extension("expected");
        if bless {
            std::fs::write(&path, &said).unwrap();
        }
        let expected = std::fs::read_to_string(&path).unwrap_or_default();
        if said != expected {
            wrong.push(format!("{}\nexpected: {expected}\nsaid: {said}", case.display()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Runs burgee and gives its exit status and what it printed.
fn run(arguments: &[&str]) -> (i32, String, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_burgee"))
        .env_clear()
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

#[test]
fn help_and_version_are_printed() {
    let version = format!("burgee {}\n", env!("CARGO_PKG_VERSION"));
    for arguments in [&["-v"][..], &["--version"], &["check", "-weather", "-version"]] {
        assert_eq!(run(arguments), (0, version.clone(), String::new()), "{arguments:?}");
    }
    for arguments in [&["-h"][..], &["--help"], &["check", "-help"], &["help"]] {
        let (status, printed, errors) = run(arguments);
        assert_eq!((status, errors.as_str()), (0, ""), "{arguments:?}");
        assert!(printed.starts_with("burgee: "), "{arguments:?}");
    }
}

#[test]
fn an_unknown_sub_command_is_named() {
    let (status, _, errors) = run(&["chekc", "-bgp.enabled"]);
    assert_eq!(
        (status, errors.as_str()),
        (
            2,
            "error: unknown sub-command \"chekc\"; known: run, check, demo, status, explain, drain, \
             resume\nsee burgee --help\n"
        )
    );
}

#[test]
fn a_file_of_routes_that_is_not_there_is_an_error() {
    let file = "-registry.file.path=/nowhere/routes";
    let (status, _, errors) =
        run(&["check", "-proxy.addr=:80;proto=tcp", "-registry.backend=file", file]);
    let expected = "error: registry.file.path: /nowhere/routes: cannot be read: No such file or \
                    directory (os error 2)\n";
    assert_eq!((status, errors.as_str()), (1, expected));
}

#[test]
fn what_cannot_be_printed_is_no_panic() {
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let status = Command::new(env!("CARGO_BIN_EXE_burgee"))
        .env_clear()
        .arg("check")
        .stdout(full.try_clone().unwrap())
        .stderr(full)
        .status()
        .unwrap();
    assert_eq!(status.code(), Some(0));
}

#[test]
fn every_case_says_something_and_no_secret() {
    let cases = cases();
    assert!(cases.len() >= 25);
    for case in cases {
        let (said, printed) = check(&case);
        assert!(said.lines().count() > 1, "{}", case.display());
        assert!(!said.contains(SECRET), "{}: {said}", case.display());
        assert!(!printed.contains(SECRET), "{}: {printed}", case.display());
    }
}

#[test]
fn the_configuration_is_printed_when_it_is_valid_and_only_then() {
    for case in cases() {
        let (said, printed) = check(&case);
        let valid = said.starts_with("exit status 0\n");
        assert_eq!(!printed.is_empty(), valid, "{}", case.display());
    }
}
