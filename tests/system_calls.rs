//! How many system calls the real binary makes for a connection, a message and
//! a stream: strace counts them, so the figures depend neither on the machine
//! nor on the build.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, unreachable_pub, dead_code)]

mod common;

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::thread;

use common::program::free_port;
use common::traced::Traced;

/// Clients at a time.
const CLIENTS: usize = 64;

/// Times that all of them do something. The fewest calls of all times are what
/// counts: how many events one epoll_wait brings is up to the scheduler.
const WAVES: usize = 20;

/// A listener on a port that the system does not choose by itself, as those of
/// services are: a dial to one that it may choose is asked whether it met itself.
fn low_listener() -> TcpListener {
    let mut bound = (20_000..32_000).filter_map(|port| TcpListener::bind(("127.0.0.1", port)).ok());
    bound.next().expect("a free port")
}

/// A target that sends back what it gets.
fn echo() -> SocketAddr {
    let listener = low_listener();
    let address = listener.local_addr().expect("bound");
    thread::spawn(move || {
        for stream in listener.incoming() {
            thread::spawn(move || {
                let mut stream = stream.expect("a connection");
                let mut buffer = [0; 4096];
                while let Ok(count @ 1..) = stream.read(&mut buffer) {
                    if stream.write_all(&buffer[..count]).is_err() {
                        return;
                    }
                }
            });
        }
    });
    address
}

/// A target that takes everything, and then says how much that was.
fn sink() -> SocketAddr {
    let listener = low_listener();
    let address = listener.local_addr().expect("bound");
    thread::spawn(move || {
        for stream in listener.incoming() {
            thread::spawn(move || {
                let mut stream = stream.expect("a connection");
                let (mut buffer, mut all) = (vec![0; 1 << 20], 0_u64);
                while let Ok(count @ 1..) = stream.read(&mut buffer) {
                    all += count as u64;
                }
                let _ = stream.write_all(&all.to_be_bytes());
            });
        }
    });
    address
}

/// A traced burgee before one target.
struct Stage {
    traced: Traced,
    port: u16,
}

impl Stage {
    fn new(name: &str, target: SocketAddr) -> Stage {
        let port = free_port();
        let flags = [
            format!("-proxy.addr=127.0.0.1:{port};proto=tcp"),
            format!("-registry.static.routes=route add web :{port} tcp://{target}"),
            // The first check is over when the first connection is, and no
            // other comes.
            "-health.interval=1h".to_owned(),
        ];
        let stage = Stage { traced: Traced::start(name, &flags, None), port };
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            thread::yield_now();
        }
        stage
    }

    fn client(&self) -> TcpStream {
        let stream = TcpStream::connect(("127.0.0.1", self.port)).expect("a listener");
        stream.set_nodelay(true).expect("an option");
        stream
    }

    /// The calls of `act`, by name. `last` is how often what comes last of it is
    /// called; only then the trace is whole.
    fn calls(&self, last: (&str, usize), act: impl FnOnce()) -> BTreeMap<String, usize> {
        let from = self.traced.length();
        act();
        loop {
            let mut counts = BTreeMap::new();
            for name in self.traced.calls_since(from) {
                *counts.entry(name).or_insert(0) += 1;
            }
            // The standard library's debug assertions look at each descriptor
            // that is closed.
            counts.remove("fcntl");
            if counts.get(last.0).is_some_and(|count| *count >= last.1) {
                return counts;
            }
            thread::yield_now();
        }
    }
}

fn total(calls: &BTreeMap<String, usize>) -> usize {
    calls.values().sum()
}

/// All write, then all read.
fn exchange(clients: &mut [TcpStream], message: &[u8]) {
    for client in &mut *clients {
        client.write_all(message).expect("a connection");
    }
    for client in clients {
        let mut answer = vec![0; message.len()];
        client.read_exact(&mut answer).expect("an answer");
        assert_eq!(answer, message);
    }
}

#[test]
fn a_connection_takes_fourteen_calls_and_its_share_of_the_waits() {
    let stage = Stage::new("connection", echo());
    let best = (0..WAVES)
        .map(|_| {
            stage.calls(("close", 2 * CLIENTS), || {
                let mut clients: Vec<_> = (0..CLIENTS).map(|_| stage.client()).collect();
                exchange(&mut clients, b"x");
            })
        })
        .min_by_key(total)
        .expect("waves");
    let each = |name: &str| best.get(name).copied().unwrap_or_default() as f64 / CLIENTS as f64;
    for (name, most) in [
        ("accept4", 1.5),
        ("socket", 1.0),
        ("connect", 1.0),
        ("setsockopt", 0.0),
        ("epoll_ctl", 2.0),
        ("recvfrom", 4.0),
        ("sendto", 2.0),
        ("shutdown", 1.0),
        ("close", 2.0),
    ] {
        assert!(each(name) <= most, "{name}: {}, all: {best:?}", each(name));
    }
    assert!(total(&best) <= 15 * CLIENTS, "{best:?}");
}

#[test]
fn a_message_and_its_answer_take_four_calls_and_their_share_of_the_waits() {
    let stage = Stage::new("message", echo());
    let mut clients: Vec<_> = (0..CLIENTS).map(|_| stage.client()).collect();
    exchange(&mut clients, &[b'x'; 64]);
    exchange(&mut clients, &[b'x'; 64]);
    let best = (0..WAVES)
        .map(|_| stage.calls(("sendto", 2 * CLIENTS), || exchange(&mut clients, &[b'x'; 64])))
        .min_by_key(total)
        .expect("waves");
    assert_eq!(best.get("recvfrom"), Some(&(2 * CLIENTS)), "{best:?}");
    assert_eq!(best.get("sendto"), Some(&(2 * CLIENTS)), "{best:?}");
    assert!(total(&best) as f64 <= 4.2 * CLIENTS as f64, "{best:?}");
}

#[test]
fn a_stream_takes_few_calls_for_much() {
    const PIECE: usize = 1 << 20;
    const PIECES: usize = 256;
    let stage = Stage::new("stream", sink());
    let calls = stage.calls(("close", 2), || {
        let mut client = stage.client();
        for _ in 0..PIECES {
            client.write_all(&[b'x'; PIECE]).expect("a connection");
        }
        client.shutdown(Shutdown::Write).expect("a connection");
        let mut count = [0; 8];
        client.read_exact(&mut count).expect("an answer");
        assert_eq!(u64::from_be_bytes(count), (PIECES * PIECE) as u64);
    });
    assert!(calls.contains_key("splice"), "{calls:?}");
    // 16 KiB at a time would be 120,000 a gigabyte, 256 KiB 8000. It is 2000
    // when both ends are as fast as they can, and more when they are not.
    let bound = 20_000 * PIECES * PIECE / 1_000_000_000;
    assert!(total(&calls) <= bound, "{} of {bound}: {calls:?}", total(&calls));
}
