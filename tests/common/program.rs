//! The real binary as a child process.

use std::io::{BufRead, BufReader, Read};
use std::net::{SocketAddr, TcpListener};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

/// How long something may not come before its test fails: much longer than a
/// loaded machine needs, so it says nothing about speed.
pub const BOUND: Duration = Duration::from_secs(90);

/// The binary under test: `BURGEE_BIN`, else the one that cargo built.
pub fn binary() -> String {
    std::env::var("BURGEE_BIN").unwrap_or_else(|_| env!("CARGO_BIN_EXE_burgee").to_owned())
}

/// A port of loopback that was free a moment ago.
pub fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("bound").port()
}

/// A target that accepts connections, and writes `hello` into each.
pub fn backend() -> SocketAddr {
    backend_saying("hello\n")
}

/// A target that accepts connections, and writes this into each.
pub fn backend_saying(text: &'static str) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("bound");
    thread::spawn(move || {
        for stream in listener.incoming() {
            thread::spawn(move || {
                let Ok(mut stream) = stream else { return };
                let mut buffer = [0; 1024];
                let _ = std::io::Write::write_all(&mut stream, text.as_bytes());
                while let Ok(1..) = stream.read(&mut buffer) {}
            });
        }
    });
    address
}

/// A running burgee; killed when it is dropped.
pub struct Burgee {
    child: Child,
}

impl Burgee {
    /// Starts it with these flags and a clean environment but for `PATH`.
    pub fn start(flags: &[String]) -> Burgee {
        Burgee::spawn(Command::new(binary()).arg("run").args(flags).stderr(Stdio::piped()))
    }

    /// Starts any command that becomes a burgee.
    pub fn spawn(command: &mut Command) -> Burgee {
        let path = std::env::var("PATH").unwrap_or_default();
        // Several run side by side, and none may find what another has left behind.
        let alone = ["UI_ADDR", "UI_SOCKET", "BGP_ANNOUNCE_STATEFILE"];
        let alone = alone.map(|key| (format!("FABIO_{key}"), String::new()));
        // One that a command removes is up to its configuration.
        let is_left = |key: &str| command.get_envs().any(|(name, it)| name == key && it.is_none());
        let alone: Vec<_> = alone.into_iter().filter(|(key, _)| !is_left(key)).collect();
        // A variable that is set for the test run must not become a setting.
        let kept: Vec<_> = command
            .get_envs()
            .filter_map(|(name, value)| Some((name.to_owned(), value?.to_owned())))
            .collect();
        let child = command.env_clear().env("PATH", path).envs(alone).envs(kept).spawn();
        Burgee { child: child.expect("the binary starts") }
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal by name, as an operator does.
    pub fn signal(&self, name: &str) {
        signal(self.pid(), name);
    }

    /// Waits for its end.
    pub fn wait(&mut self) -> ExitStatus {
        self.child.wait().expect("it ends")
    }

    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().expect("a child").is_none()
    }

    /// The log as it comes.
    pub fn log(&mut self) -> Log {
        let stderr = self.child.stderr.take().expect("a piped log");
        let (sender, lines) = channel();
        thread::spawn(move || {
            let lines = BufReader::new(stderr).lines().map_while(Result::ok);
            lines.take_while(|line| sender.send(format!("{line}\n")).is_ok()).for_each(drop);
        });
        Log { lines: Mutex::new(lines), seen: Vec::new() }
    }
}

impl Drop for Burgee {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Sends a signal to a process.
pub fn signal(pid: u32, name: &str) {
    let status = Command::new("kill").args([&format!("-{name}"), &pid.to_string()]).status();
    assert!(status.expect("kill runs").success());
}

/// The log of a burgee, line by line.
pub struct Log {
    /// Behind a lock only because threads share what has a log.
    lines: Mutex<Receiver<String>>,
    seen: Vec<String>,
}

impl Log {
    /// The next line; `None` at the end of the log, or if none came in time.
    fn next(&mut self) -> Option<String> {
        self.lines.get_mut().ok()?.recv_timeout(BOUND).ok()
    }

    /// Reads until a line contains `text`, and returns it.
    pub fn until(&mut self, text: &str) -> String {
        loop {
            let Some(line) = self.next() else {
                panic!(
                    "no line with {text:?}, or the log ended without one:\n{}",
                    self.seen.concat()
                )
            };
            self.seen.push(line.clone());
            if line.contains(text) {
                return line;
            }
        }
    }

    /// Reads to the end; returns the whole log.
    pub fn rest(mut self) -> String {
        while let Some(line) = self.next() {
            self.seen.push(line);
        }
        self.seen.concat()
    }
}
