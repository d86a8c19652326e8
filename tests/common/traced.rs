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
        let limit = descriptors.map_or(String::new(), |n| format!("ulimit -n {n}; "));
        let script = format!("{limit}exec \"$@\"");
        let mut command = Command::new("sh");
        command.args(["-c", &script, "sh"]).stderr(Stdio::null());
        Traced::under(&mut command, name, flags)
    }

    /// Starts it by a command that executes what it is given.
    pub fn under(command: &mut Command, name: &str, flags: &[String]) -> Traced {
        let file =
            std::env::temp_dir().join(format!("burgee-{}-{name}.strace", std::process::id()));
        command.args(["strace", "-qq", "-o"]).arg(&file).arg(binary()).arg("run").args(flags);
        Traced { burgee: Burgee::spawn(command), file }
    }

    /// Sends a signal to the burgee itself, as an operator does.
    pub fn signal(&self, name: &str) {
        self.tracees().for_each(|pid| signal(pid, name));
    }

    /// The process that is traced, while it runs.
    fn tracees(&self) -> impl Iterator<Item = u32> + use<> {
        let pid = self.burgee.pid();
        let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"));
        let children: Vec<u32> = children
            .unwrap_or_default()
            .split_whitespace()
            .map(|child| child.parse().expect("a process id"))
            .collect();
        children.into_iter()
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
        self.signal("KILL");
        let _ = fs::remove_file(&self.file);
    }
}
