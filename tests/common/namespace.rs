//! Tests in a network namespace of their own.

use std::process::Command;

const INSIDE: &str = "BURGEE_TEST_NAMESPACE";

/// Whether this is the process inside of the namespace. The one outside runs
/// the test of this name again in there, by unshare(1), and fails as it does.
/// With a namespace of users as well, that takes no privilege.
pub fn is_inside(name: &str, wrapper: &[&str]) -> bool {
    if std::env::var_os(INSIDE).is_some() {
        return true;
    }
    let output = Command::new("unshare")
        .args(["--map-root-user", "--net"])
        .args(wrapper)
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", name, "--nocapture"])
        .env(INSIDE, "1")
        .output()
        .expect("unshare of util-linux");
    let said = String::from_utf8_lossy(&output.stdout);
    let complained = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.contains("1 passed"), "{said}\n{complained}");
    false
}

/// Runs a command of plain words.
pub fn run(line: &str) {
    let mut words = line.split(' ');
    let status = Command::new(words.next().unwrap()).args(words).status().unwrap();
    assert!(status.success(), "{line}");
}
