//! How often the real binary asks for memory: never for a connection or a
//! message, once there were as many before. A library that is loaded first
//! counts what it asks of the C library.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, unreachable_pub, dead_code)]

mod common;

use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;

use common::program::{Burgee, Log, binary, free_port};

/// Connections at a time, and how often as many come one time after the other.
const CLIENTS: usize = 50;
const WAVES: usize = 20;

/// A directory for the library and its file.
struct Counter(PathBuf);

impl Counter {
    fn new(name: &str) -> Counter {
        let directory = std::env::temp_dir().join(format!("burgee-{}-{name}", std::process::id()));
        fs::create_dir_all(&directory).expect("a directory");
        let counter = Counter(directory);
        fs::write(counter.file(), [0; 8]).expect("a file");
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/allocations/count.c");
        let made = Command::new("cc")
            .args(["-O1", "-shared", "-fPIC", "-fno-builtin", "-o"])
            .arg(counter.library())
            .arg(source)
            .status();
        assert!(made.expect("a C compiler").success());
        counter
    }

    fn file(&self) -> PathBuf {
        self.0.join("count")
    }

    fn library(&self) -> PathBuf {
        self.0.join("count.so")
    }

    /// How many pieces of memory were asked for so far.
    fn count(&self) -> u64 {
        let octets = fs::read(self.file()).expect("eight octets");
        u64::from_ne_bytes(octets.try_into().expect("eight octets"))
    }
}

impl Drop for Counter {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Times that so many waves are counted.
const ROUNDS: usize = 5;

struct Stage {
    counter: Counter,
    burgee: Burgee,
    log: Log,
    port: u16,
    target: TcpListener,
}

impl Stage {
    fn new(name: &str) -> Stage {
        let counter = Counter::new(name);
        let target = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = free_port();
        let to = target.local_addr().expect("bound");
        let mut command = Command::new(binary());
        command
            .arg("run")
            .arg(format!("-proxy.addr=127.0.0.1:{port};proto=tcp"))
            .arg(format!("-registry.static.routes=route add web :{port} tcp://{to}"))
            .args(["-health.interval=1h", "-proxy.shutdownwait=1h", "-proxy.sourcelimit=1000"])
            .stderr(Stdio::piped())
            .env("LD_PRELOAD", counter.library())
            .env("COUNT_FILE", counter.file());
        let mut burgee = Burgee::spawn(&mut command);
        let mut log = burgee.log();
        log.until("event=healthy");
        // The health check.
        drop(target.accept().expect("its connection"));
        assert!(counter.count() > 0, "it counts");
        Stage { counter, burgee, log, port, target }
    }

    /// Clients that all say this, are answered and go, while others are there.
    fn wave(&self, hello: &[u8]) {
        let mut pairs: Vec<(TcpStream, TcpStream)> = (0..CLIENTS)
            .map(|_| {
                let mut client = TcpStream::connect(("127.0.0.1", self.port)).expect("it listens");
                client.write_all(hello).expect("it reads");
                (client, self.target.accept().expect("a connection").0)
            })
            .collect();
        let mut heard = vec![0; hello.len()];
        for (client, target) in &mut pairs {
            target.read_exact(&mut heard).expect("what the client said");
            for _ in 0..3 {
                target.write_all(b"answer").expect("it reads");
                client.read_exact(&mut heard[..6]).expect("the answer");
                client.write_all(b"question").expect("it reads");
                target.read_exact(&mut heard[..8]).expect("the question");
            }
        }
        drop(pairs);
        // Until the listener's is the only one.
        while self.sockets() > 1 {
            thread::yield_now();
        }
    }

    fn sockets(&self) -> usize {
        let all = fs::read_dir(format!("/proc/{}/fd", self.burgee.pid())).expect("it runs");
        let targets = all.filter_map(|it| fs::read_link(it.ok()?.path()).ok());
        targets.filter(|it| it.to_string_lossy().starts_with("socket:")).count()
    }

    fn finish(mut self) {
        self.burgee.signal("TERM");
        self.log.until("event=stopped");
        assert_eq!(self.burgee.wait().code(), Some(0));
    }
}

#[test]
fn a_connection_asks_for_no_memory_after_as_many_before_it() {
    let stage = Stage::new("allocations");
    // How many connections are ready in one turn is up to the machine, so a list
    // may still grow once or twice in a later round; it never shrinks, so rounds
    // without any follow. What a connection asked for would be asked in each.
    let asked: Vec<u64> = (0..ROUNDS)
        .map(|_| {
            let before = stage.counter.count();
            (0..WAVES).for_each(|_| stage.wave(b"hello, target"));
            stage.counter.count() - before
        })
        .collect();
    assert!(asked[1..].contains(&0), "pieces of memory, round by round: {asked:?}");
    stage.finish();
}
