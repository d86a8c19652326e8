//! A burgee between a test's own clients and targets, all of them plain sockets
//! on loopback, and what the kernel knows of its process.

use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU16, Ordering};
use std::sync::{Arc, Once};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use burgee::reactor::random::Random;
use socket2::SockRef;

use crate::common::program::{Burgee, Log, binary};

/// Descriptors that the tests of one process need together.
const DESCRIPTORS: u64 = 16_384;

/// A listener outside of the ports that the kernel gives to clients: so nobody
/// gets its port between two tests, and a dial to it after it is closed is
/// refused and cannot meet itself.
pub fn listener(backlog: i32) -> TcpListener {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    const FIRST: u16 = 10_000;
    const COUNT: u16 = 22_000;
    let start = (std::process::id() % u32::from(COUNT)) as u16;
    loop {
        let step = NEXT.fetch_add(1, Ordering::Relaxed);
        let port = FIRST + (start + step % COUNT) % COUNT;
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None);
        let socket = socket.expect("a socket");
        if socket.bind(&address.into()).is_ok() && socket.listen(backlog).is_ok() {
            return socket.into();
        }
    }
}

/// What clients say before anything else, and targets are told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opening {
    /// Nothing.
    Plain,
    /// A ClientHello.
    Names,
    /// A PROXY header.
    Headers,
    /// A PROXY header and a ClientHello.
    Both,
}

impl Opening {
    pub const ALL: [Opening; 4] = [Opening::Plain, Opening::Names, Opening::Headers, Opening::Both];

    fn has_name(self) -> bool {
        matches!(self, Opening::Names | Opening::Both)
    }

    fn has_header(self) -> bool {
        matches!(self, Opening::Headers | Opening::Both)
    }

    /// The octets. The target gets the same, because it is told what the header
    /// says, and the hello is its own.
    pub fn octets(self) -> Vec<u8> {
        let header: &[u8] = b"PROXY TCP4 203.0.113.7 198.51.100.9 51000 443\r\n";
        let mut octets = if self.has_header() { header.to_vec() } else { Vec::new() };
        if self.has_name() {
            octets.extend(client_hello());
        }
        octets
    }
}

/// A ClientHello for `x.example`, in one record (RFC 8446 §4.1.2, RFC 6066 §3).
fn client_hello() -> Vec<u8> {
    let sized = |octets: &[u8]| [&(octets.len() as u16).to_be_bytes(), octets].concat();
    let entry = [&[0], &sized(b"x.example")[..]].concat();
    let extension = [&[0, 0], &sized(&sized(&entry))[..]].concat();
    let body = [&[3, 3][..], &[7; 32], &[0], &[0, 2, 0x13, 1], &[1, 0], &sized(&extension)];
    let message = [&[1, 0], &sized(&body.concat())[..]].concat();
    [&[22, 3, 1], &sized(&message)[..]].concat()
}

/// A running burgee with one route. It is killed when the test fails.
pub struct Rig {
    opening: Opening,
    burgee: Burgee,
    log: Log,
    port: u16,
    targets: Vec<SocketAddr>,
    /// Descriptors without a client.
    idle: usize,
}

impl Rig {
    /// In front of these targets, each of which it has checked once and will
    /// not check again.
    pub fn start(targets: &[&TcpListener], extra: &[&str]) -> Rig {
        Rig::run(targets, Opening::Plain, extra, "$(ulimit -Hn)")
    }

    /// The same with a limit of descriptors.
    pub fn limited(targets: &[&TcpListener], extra: &[&str], descriptors: &str) -> Rig {
        Rig::run(targets, Opening::Plain, extra, descriptors)
    }

    /// In front of one target, for clients that say this first.
    pub fn opened_by(opening: Opening, target: &TcpListener, extra: &[&str]) -> Rig {
        Rig::run(&[target], opening, extra, "$(ulimit -Hn)")
    }

    fn run(targets: &[&TcpListener], opening: Opening, extra: &[&str], descriptors: &str) -> Rig {
        allow_descriptors();
        let port = listener(1).local_addr().expect("bound").port();
        let addresses = targets.iter().map(|target| target.local_addr().expect("bound"));
        let addresses: Vec<SocketAddr> = addresses.collect();
        let source = if opening.has_name() { "x.example/".to_owned() } else { format!(":{port}") };
        let opts = if opening.has_header() { " opts \"pxyproto=true\"" } else { "" };
        let line = |at: &SocketAddr| format!("route add web {source} tcp://{at}{opts}\n");
        let routes: String = addresses.iter().map(line).collect();
        let mut command = Command::new("sh");
        command.arg("-c").arg(format!("ulimit -n {descriptors}; exec \"$0\" \"$@\""));
        command.arg(binary()).arg("run");
        let names = if opening.has_name() { "+sni;hellotimeout=1h" } else { "" };
        let header = if opening.has_header() { ";pxyproto=strict;pxytimeout=1h" } else { "" };
        command.arg(format!("-proxy.addr=127.0.0.1:{port};proto=tcp{names}{header}"));
        command.arg(format!("-registry.static.routes={routes}"));
        command.args(["-health.interval=1h", "-health.rise=1", "-health.timeout=1h"]);
        command.args(["-proxy.strategy=rr", "-proxy.shutdownwait=1h"]);
        let mut burgee = Burgee::spawn(command.args(extra).stderr(Stdio::piped()));
        let mut log = burgee.log();
        for _ in targets {
            log.until("health event=healthy");
        }
        // What a check has opened is the first that waits at each target.
        targets.iter().for_each(|target| drop(target.accept().expect("the check")));
        let mut rig = Rig { opening, burgee, log, port, targets: addresses, idle: 0 };
        if let [target] = targets {
            let (mut client, mut accepted) = rig.pair(target);
            exchange(&mut client, &mut accepted, b"ready?");
            rig.idle = rig.descriptors() - 2;
        } else {
            rig.idle = rig.descriptors();
        }
        rig
    }

    pub fn pid(&self) -> u32 {
        self.burgee.pid()
    }

    /// Stops the process, and lets it go on after this was done: so it learns of
    /// all of it at once.
    pub fn while_stopped<T>(&self, act: impl FnOnce() -> T) -> T {
        self.burgee.signal("STOP");
        // The signal is sent, which is not yet the stop.
        let stat = format!("/proc/{}/stat", self.pid());
        while !fs::read_to_string(&stat).expect("it runs").contains(") T ") {
            thread::yield_now();
        }
        let done = act();
        self.burgee.signal("CONT");
        done
    }

    pub fn log(&mut self) -> &mut Log {
        &mut self.log
    }

    pub fn target(&self, place: usize) -> SocketAddr {
        self.targets[place]
    }

    /// A client that has said nothing yet.
    pub fn silent_client(&self) -> TcpStream {
        let client = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).expect("a listener");
        client.set_nodelay(true).expect("a socket");
        client
    }

    /// A client that has said what it says first.
    pub fn client(&self) -> TcpStream {
        let mut client = self.silent_client();
        client.write_all(&self.opening.octets()).expect("an open connection");
        client
    }

    /// Both ends of one proxied connection; nobody else connects meanwhile.
    pub fn pair(&self, target: &TcpListener) -> (TcpStream, TcpStream) {
        let client = self.client();
        (client, self.accept(target))
    }

    /// The target's end of the next proxied connection, behind what the client
    /// said first.
    pub fn accept(&self, target: &TcpListener) -> TcpStream {
        let mut accepted = target.accept().expect("a proxied connection").0;
        accepted.set_nodelay(true).expect("a socket");
        let mut first = self.opening.octets();
        let expected = first.clone();
        first.fill(0);
        accepted.read_exact(&mut first).expect("what the client said first");
        assert_eq!(first, expected);
        accepted
    }

    pub fn descriptors(&self) -> usize {
        fs::read_dir(format!("/proc/{}/fd", self.pid())).expect("it runs").count()
    }

    /// Descriptors that it has for connections.
    pub fn extra_descriptors(&self) -> usize {
        self.descriptors().saturating_sub(self.idle)
    }

    /// KiB of memory by this name in `/proc/PID/status`.
    pub fn memory(&self, name: &str) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid())).expect("it runs");
        let line = status.lines().find_map(|line| line.strip_prefix(name)).expect("a known name");
        let number = line.trim_start_matches(':').trim().trim_end_matches(" kB");
        number.parse().expect("a number")
    }

    /// From now on `VmHWM` is the most memory since now.
    pub fn forget_peak(&self) {
        fs::write(format!("/proc/{}/clear_refs", self.pid()), "5").expect("our own child");
    }

    /// Time on the CPU so far.
    pub fn cpu(&self) -> Duration {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.pid())).expect("it runs");
        let (_, fields) = stat.rsplit_once(") ").expect("a name in brackets");
        let fields: Vec<&str> = fields.split(' ').collect();
        let ticks = |at: usize| fields[at].parse::<u64>().expect("a number");
        // utime and stime are the fields 14 and 15, in ticks of 10 ms.
        Duration::from_millis((ticks(11) + ticks(12)) * 10)
    }

    /// Sets its limit of descriptors.
    pub fn limit_descriptors(&self, limit: usize) {
        prlimit(self.pid(), &format!("{limit}:"));
    }

    /// Waits until it has no connections.
    pub fn until_idle(&self) {
        while self.extra_descriptors() > 0 {
            thread::sleep(Duration::from_millis(1));
        }
    }

    /// All connections are over: it has nothing left of them, and no panic was
    /// caught.
    pub fn finish(mut self) {
        self.until_idle();
        self.burgee.signal("TERM");
        let line = self.log.until("drain event=begun");
        assert!(line.contains(" connections=0"), "{line}");
        let line = self.log.until("daemon event=stopped");
        assert!(line.contains(" panics=0"), "{line}");
        assert_eq!(self.burgee.wait().code(), Some(0));
    }
}

/// Raises the soft limit of this process where it is too low.
fn allow_descriptors() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let limits = fs::read_to_string("/proc/self/limits").expect("Linux");
        let line = limits.lines().find(|line| line.starts_with("Max open files"));
        let numbers = line.expect("a limit").split_whitespace().skip(3);
        let limits: Vec<u64> = numbers.map_while(|word| word.parse().ok()).collect();
        if let [soft, hard] = limits[..]
            && soft < DESCRIPTORS
        {
            assert!(hard >= DESCRIPTORS, "{DESCRIPTORS} descriptors are needed, {hard} allowed");
            prlimit(std::process::id(), &format!("{DESCRIPTORS}:"));
        }
    });
}

fn prlimit(pid: u32, limit: &str) {
    let arguments = [format!("--pid={pid}"), format!("--nofile={limit}")];
    let status = Command::new("prlimit").args(arguments).status().expect("prlimit of util-linux");
    assert!(status.success());
}

/// A target that does the same with each connection, one after the other, until
/// it is dropped.
pub struct Service {
    address: SocketAddr,
    over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Service {
    pub fn start(listener: &TcpListener, serve: impl Fn(TcpStream) + Send + 'static) -> Service {
        let address = listener.local_addr().expect("bound");
        let listener = listener.try_clone().expect("a descriptor");
        let over = Arc::new(AtomicBool::new(false));
        let is_over = Arc::clone(&over);
        let run = move || {
            for stream in listener.incoming() {
                if is_over.load(Ordering::SeqCst) {
                    return;
                }
                serve(stream.expect("accepted"));
            }
        };
        Service { address, over, thread: Some(thread::spawn(run)) }
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        self.over.store(true, Ordering::SeqCst);
        let _last = TcpStream::connect(self.address);
        let ended = self.thread.take().map(JoinHandle::join);
        assert!(thread::panicking() || matches!(ended, Some(Ok(()))), "the target has failed");
    }
}

/// A message there, and the same back.
pub fn exchange(client: &mut TcpStream, target: &mut TcpStream, message: &[u8]) {
    let mut buffer = vec![0; message.len()];
    client.write_all(message).expect("an open connection");
    target.read_exact(&mut buffer).expect("a message");
    assert_eq!(buffer, message);
    target.write_all(&buffer).expect("an open connection");
    buffer.fill(0);
    client.read_exact(&mut buffer).expect("an answer");
    assert_eq!(buffer, message);
}

/// How a stream ends for its reader.
#[derive(Debug, PartialEq, Eq)]
pub enum End {
    InOrder,
    Reset,
}

/// Reads to the end of a stream.
pub fn drain(stream: &mut TcpStream) -> (Vec<u8>, End) {
    let mut all = Vec::new();
    let mut buffer = vec![0; 1 << 16];
    loop {
        match stream.read(&mut buffer) {
            Ok(0) => return (all, End::InOrder),
            Ok(count) => all.extend_from_slice(&buffer[..count]),
            Err(error) if error.kind() == ErrorKind::ConnectionReset => return (all, End::Reset),
            Err(error) => panic!("{error}"),
        }
    }
}

pub fn half_close(stream: &TcpStream) {
    stream.shutdown(Shutdown::Write).expect("an open connection");
}

/// Closes with a reset.
pub fn reset(stream: TcpStream) {
    SockRef::from(&stream).set_linger(Some(Duration::ZERO)).expect("a socket");
}

/// A stream of octets that two ends make each by themselves.
pub struct Pattern {
    random: Random,
    /// Octets of the last number that were not taken.
    rest: Vec<u8>,
}

impl Pattern {
    pub fn new(seed: u64) -> Pattern {
        Pattern { random: Random::new(seed), rest: Vec::new() }
    }

    pub fn take(&mut self, count: usize) -> Vec<u8> {
        let mut octets = std::mem::take(&mut self.rest);
        octets.reserve(count);
        while octets.len() < count {
            octets.extend_from_slice(&self.random.next_u64().to_ne_bytes());
        }
        self.rest = octets.split_off(count);
        octets
    }
}

/// A socket that is cut off when its thread fails, so that no other thread waits
/// for it in vain.
pub struct Held(pub TcpStream);

impl Drop for Held {
    fn drop(&mut self) {
        if thread::panicking() {
            let _ = self.0.shutdown(Shutdown::Both);
        }
    }
}

/// Sends so many octets of a pattern, in pieces of random sizes.
pub fn send_pattern(stream: &Held, seed: u64, count: usize, largest: usize) {
    let (mut pattern, mut sizes) = (Pattern::new(seed), Random::new(!seed));
    let mut left = count;
    while left > 0 {
        let size = (1 + sizes.index(largest)).min(left);
        (&stream.0).write_all(&pattern.take(size)).unwrap_or_else(|error| {
            panic!("seed {seed}: {left} of {count} octets unsent: {error}");
        });
        left -= size;
    }
}

/// Reads to the end of the stream, which has to be this pattern.
pub fn expect_pattern(stream: &Held, seed: u64, count: usize, largest: usize) {
    let (mut pattern, mut sizes) = (Pattern::new(seed), Random::new(seed << 1));
    let mut buffer = vec![0; largest];
    let mut left = count;
    loop {
        let size = 1 + sizes.index(largest);
        let found = (&stream.0).read(&mut buffer[..size]).unwrap_or_else(|error| {
            panic!("seed {seed}: {left} of {count} octets missing: {error}");
        });
        assert!(found <= left, "seed {seed}: more than {count} octets");
        assert!(buffer[..found] == pattern.take(found), "seed {seed}: wrong after {left} to come");
        left -= found;
        if found == 0 {
            assert_eq!(left, 0, "seed {seed}: the stream of {count} ended early");
            return;
        }
    }
}
