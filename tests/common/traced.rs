//! The real binary under strace.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use super::program::{Burgee, binary, signal};

/// A burgee under strace, whose calls can be read while it runs.
pub struct Traced {
    pub burgee: Burgee,
    file: PathBuf,
}

impl Traced {
    /// Starts it, with at most so many descriptors.
    pub fn start(name: &str, flags: &[String], descriptors: Option<u32>) -> Traced {
        let file =
            std::env::temp_dir().join(format!("burgee-{}-{name}.strace", std::process::id()));
        let limit = descriptors.map_or(String::new(), |n| format!("ulimit -n {n}; "));
        let script = format!("{limit}exec strace -qq -o \"$0\" \"$@\"");
        let mut command = Command::new("sh");
        command.arg("-c").arg(script).arg(&file).arg(binary()).arg("run").args(flags);
        let burgee = Burgee::spawn(command.stderr(Stdio::null()));
        Traced { burgee, file }
    }

    /// Octets of the trace so far.
    pub fn length(&self) -> usize {
        fs::read(&self.file).expect("strace writes").len()
    }

    /// The names of the calls made since the trace had `from` octets.
    pub fn calls_since(&self, from: usize) -> Vec<String> {
        let text = fs::read_to_string(&self.file).expect("strace writes");
        let calls = text[from..].lines().filter_map(|line| line.split_once('('));
        calls.map(|(name, _)| name.to_owned()).collect()
    }
}

impl Drop for Traced {
    fn drop(&mut self) {
        // A tracer that is killed lets its tracee run on.
        let pid = self.burgee.pid();
        let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"));
        for child in children.unwrap_or_default().split_whitespace() {
            signal(child.parse().expect("a process id"), "KILL");
        }
        let _ = fs::remove_file(&self.file);
    }
}
