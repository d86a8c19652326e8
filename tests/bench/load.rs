//! Both ends of `tests/bench/proxy`: clients and targets of a proxy, cheap on
//! purpose, so that what the proxy costs is what is seen. Bulk is sent from the
//! page cache and dropped by the kernel where it arrives.
//!
//!     load LOAD FRONT BACK SECONDS [GREETING]
//!
//! It listens on port BACK, says `ready`, and begins when it is told the proxy's
//! process by a line of standard input; its clients connect to port FRONT. What
//! came of it is one line of JSON. GREETING is a file that each client of the
//! loads `snconn` and `sndown` sends first.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout)]

use std::fs::{self, File};
use std::io::{self, ErrorKind, Read, Write};
use std::mem::MaybeUninit;
use std::net::{Ipv4Addr, SocketAddr};
use std::num::NonZeroUsize;
use std::time::{Duration, Instant};

use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token};
use socket2::{Domain, SockRef, Socket, Type};

/// Bytes of one piece of bulk.
const PIECE: usize = 1 << 20;

/// The listener's token; no end has it.
const LISTENER: Token = Token(usize::MAX);

/// Clients that connect at a time: fewer than any backlog.
const CONNECTING: usize = 256;

/// Not measured: buffers and windows grow.
const WARM_UP: Duration = Duration::from_millis(300);

/// Until all clients must have come.
const PATIENCE: Duration = Duration::from_secs(60);

/// What the clients do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// Receive what comes.
    Download,
    /// Send what goes.
    Upload,
    /// Connect, exchange the greeting, close, again.
    Connect,
    /// Exchange messages, one at a time.
    Message,
    /// Exchange one message, and stay.
    Idle,
}

#[derive(Debug)]
struct Load {
    kind: Kind,
    clients: usize,
    /// The first bytes of each client, and of each message.
    greeting: Vec<u8>,
}

impl Load {
    fn named(name: &str, greeting: Option<Vec<u8>>) -> Load {
        let (kind, clients, length) = match name {
            "down" | "sndown" => (Kind::Download, 4, 1),
            "up" => (Kind::Upload, 4, 0),
            "conn" | "snconn" => (Kind::Connect, 64, 1),
            "pp1" => (Kind::Message, 1, 64),
            "pp64" => (Kind::Message, 64, 64),
            "pp1000" => (Kind::Message, 1000, 64),
            "idle" => (Kind::Idle, 8000, 64),
            _ => panic!("no load {name}"),
        };
        Load { kind, clients, greeting: greeting.unwrap_or_else(|| vec![b'x'; length]) }
    }
}

/// One end of a connection: a client's or a target's.
#[derive(Debug)]
struct End {
    stream: TcpStream,
    is_client: bool,
    connected: bool,
    /// Bytes of the answer that came, or of bulk that went.
    got: usize,
    since: Instant,
}

/// What was counted.
#[derive(Clone, Copy, Debug, Default)]
struct Count {
    units: u64,
    bytes: u64,
}

/// The measured part of a run.
#[derive(Debug)]
struct Measured {
    began: Instant,
    count: Count,
    cpu: f64,
}

struct Ends {
    load: Load,
    poll: Poll,
    listener: TcpListener,
    front: SocketAddr,
    ends: Vec<Option<End>>,
    free: Vec<usize>,
    /// Ends that had more to do than their share.
    again: Vec<usize>,
    bulk: File,
    sink: Vec<MaybeUninit<u8>>,
    buffer: Vec<u8>,
    opened: usize,
    connecting: usize,
    count: Count,
    errors: u64,
    /// Microseconds of each exchange.
    times: Vec<u32>,
}

impl Ends {
    fn new(load: Load, front: u16, back: u16) -> io::Result<Ends> {
        let poll = Poll::new()?;
        let socket = Socket::new(Domain::IPV4, Type::STREAM.nonblocking(), None)?;
        socket.set_reuse_address(true)?;
        socket.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, back)).into())?;
        socket.listen(16_384)?;
        let mut listener = TcpListener::from_std(socket.into());
        poll.registry().register(&mut listener, LISTENER, Interest::READABLE)?;
        let path = std::env::temp_dir().join(format!("burgee-load-{}", std::process::id()));
        fs::write(&path, vec![b'x'; PIECE])?;
        let bulk = File::open(&path)?;
        fs::remove_file(&path)?;
        Ok(Ends {
            load,
            poll,
            listener,
            front: (Ipv4Addr::LOCALHOST, front).into(),
            ends: Vec::new(),
            free: Vec::new(),
            again: Vec::new(),
            bulk,
            sink: vec![MaybeUninit::uninit(); PIECE],
            buffer: vec![0; 64 * 1024],
            opened: 0,
            connecting: 0,
            count: Count::default(),
            errors: 0,
            times: Vec::new(),
        })
    }

    fn add(&mut self, stream: TcpStream, is_client: bool) -> io::Result<()> {
        let index = self.free.pop().unwrap_or_else(|| {
            self.ends.push(None);
            self.ends.len() - 1
        });
        let end = End { stream, is_client, connected: !is_client, got: 0, since: Instant::now() };
        let end = self.ends[index].insert(end);
        let all = Interest::READABLE | Interest::WRITABLE;
        self.poll.registry().register(&mut end.stream, Token(index), all)
    }

    fn accept(&mut self) -> io::Result<()> {
        loop {
            match self.listener.accept() {
                Ok((stream, _)) => {
                    stream.set_nodelay(true)?;
                    self.add(stream, false)?;
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            }
        }
    }

    /// Clients connect until there are enough of them, a bounded number at a time.
    fn connect(&mut self) -> io::Result<()> {
        while self.opened < self.load.clients && self.connecting < CONNECTING {
            let stream = TcpStream::connect(self.front)?;
            stream.set_nodelay(true)?;
            self.opened += 1;
            self.connecting += 1;
            self.add(stream, true)?;
        }
        Ok(())
    }

    /// Serves one end; it is closed when its part is over, or went wrong.
    fn serve(&mut self, index: usize, gone: &mut Vec<usize>) {
        let Some(mut end) = self.ends[index].take() else { return };
        let was_connected = end.connected;
        let outcome = self.play(index, &mut end);
        let is_over = match outcome {
            Ok(is_over) => is_over,
            Err(error) if error.kind() == ErrorKind::WouldBlock => false,
            Err(_) => {
                // A target learns by an error that its client is gone.
                self.errors += u64::from(end.is_client);
                true
            }
        };
        if end.is_client && (end.connected || is_over) && !was_connected {
            self.connecting -= 1;
        }
        if is_over {
            self.opened -= usize::from(end.is_client);
            gone.push(index);
        } else {
            self.ends[index] = Some(end);
        }
    }

    /// Says whether the end is over.
    fn play(&mut self, index: usize, end: &mut End) -> io::Result<bool> {
        match (end.is_client, self.load.kind) {
            (true, kind) => {
                if !end.connected {
                    if kind == Kind::Upload {
                        end.stream.peer_addr().map_err(|_| ErrorKind::WouldBlock)?;
                    } else {
                        write(&end.stream, &self.load.greeting)?;
                    }
                    end.connected = true;
                    if kind != Kind::Connect {
                        end.since = Instant::now();
                    }
                }
                match kind {
                    Kind::Download => self.drop_bulk(index, end),
                    Kind::Upload => self.send_bulk(index, end),
                    Kind::Connect | Kind::Message | Kind::Idle => self.read_answer(end),
                }
            }
            (false, Kind::Upload) => self.drop_bulk(index, end),
            (false, Kind::Download) => {
                if end.got < self.load.greeting.len() {
                    match read(&end.stream, &mut self.buffer)? {
                        0 => return Ok(true),
                        count => end.got += count,
                    }
                    if end.got < self.load.greeting.len() {
                        return Ok(false);
                    }
                }
                self.send_bulk(index, end)
            }
            (false, _) => loop {
                match read(&end.stream, &mut self.buffer)? {
                    0 => return Ok(true),
                    count => write(&end.stream, &self.buffer[..count])?,
                }
            },
        }
    }

    /// A client's answer; the next message follows it.
    fn read_answer(&mut self, end: &mut End) -> io::Result<bool> {
        let count = read(&end.stream, &mut self.buffer)?;
        if count == 0 {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        end.got += count;
        if end.got < self.load.greeting.len() {
            return Ok(false);
        }
        let now = Instant::now();
        let passed = now.duration_since(end.since).as_micros();
        self.times.push(u32::try_from(passed).unwrap_or(u32::MAX));
        self.count.units += 1;
        self.count.bytes += end.got as u64;
        (end.got, end.since) = (0, now);
        match self.load.kind {
            Kind::Connect => Ok(true),
            Kind::Message => write(&end.stream, &self.load.greeting).map(|()| false),
            _ => Ok(false),
        }
    }

    /// Sends a piece of bulk, and the next one after the other ends had theirs.
    fn send_bulk(&mut self, index: usize, end: &mut End) -> io::Result<bool> {
        let length = NonZeroUsize::new(PIECE).unwrap();
        SockRef::from(&end.stream).sendfile(&self.bulk, 0, Some(length))?;
        self.again.push(index);
        Ok(false)
    }

    /// Drops what came, in the kernel.
    fn drop_bulk(&mut self, index: usize, end: &mut End) -> io::Result<bool> {
        const MSG_TRUNC: i32 = 0x20;
        let count = SockRef::from(&end.stream).recv_with_flags(&mut self.sink, MSG_TRUNC)?;
        self.count.bytes += count as u64;
        if count > 0 {
            self.again.push(index);
        }
        Ok(count == 0)
    }

    fn turn(&mut self, events: &mut Events) -> io::Result<()> {
        self.connect()?;
        let patience = if self.again.is_empty() { 100 } else { 0 };
        match self.poll.poll(events, Some(Duration::from_millis(patience))) {
            Err(error) if error.kind() == ErrorKind::Interrupted => return Ok(()),
            other => other?,
        }
        let mut due = std::mem::take(&mut self.again);
        let mut is_called = false;
        for event in &*events {
            match event.token() {
                LISTENER => is_called = true,
                Token(index) if !due.contains(&index) => due.push(index),
                Token(_) => {}
            }
        }
        let mut gone = Vec::new();
        for index in due {
            self.serve(index, &mut gone);
        }
        if is_called {
            self.accept()?;
        }
        // An event of this turn finds no newcomer in an old place.
        self.free.extend(gone);
        Ok(())
    }

    /// Whether all clients that stay have come.
    fn are_there(&self) -> bool {
        self.connecting == 0 || self.load.kind == Kind::Connect
    }

    /// Plays for `length`, of which the beginning is not measured.
    fn run(&mut self, length: Duration, process: &str) -> io::Result<String> {
        let mut events = Events::with_capacity(1024);
        let started = Instant::now();
        let mut measured: Option<Measured> = None;
        loop {
            self.turn(&mut events)?;
            assert!(self.errors < 10_000, "too many connections fail");
            let is_late = measured.is_none() && started.elapsed() > PATIENCE;
            assert!(!is_late, "not all clients are served");
            match &measured {
                Some(it) if it.began.elapsed() >= length => break,
                None if started.elapsed() >= WARM_UP && self.are_there() => {
                    self.times.clear();
                    let (began, cpu) = (Instant::now(), cpu(process)?);
                    measured = Some(Measured { began, count: self.count, cpu });
                }
                _ => {}
            }
        }
        let Some(before) = measured else { return Ok(String::new()) };
        let (seconds, cpu) = (before.began.elapsed().as_secs_f64(), cpu(process)? - before.cpu);
        self.times.sort_unstable();
        let quantile = |q: f64| {
            let last = self.times.len().saturating_sub(1);
            self.times.get((last as f64 * q) as usize).copied().unwrap_or(0)
        };
        Ok(format!(
            "{{\"units\": {}, \"bytes\": {}, \"all_units\": {}, \"all_bytes\": {}, \
             \"seconds\": {seconds:.4}, \"cpu\": {cpu:.6}, \"errors\": {}, \"p50_us\": {}, \
             \"p99_us\": {}}}",
            self.count.units - before.count.units,
            self.count.bytes - before.count.bytes,
            self.count.units,
            self.count.bytes,
            self.errors,
            quantile(0.5),
            quantile(0.99),
        ))
    }

    /// Until each client has had its exchange.
    fn hold(&mut self) -> io::Result<()> {
        let mut events = Events::with_capacity(1024);
        let started = Instant::now();
        while (self.count.units as usize) < self.load.clients {
            self.turn(&mut events)?;
            assert!(self.errors == 0, "connections fail");
            assert!(started.elapsed() < PATIENCE, "not all clients are served");
        }
        Ok(())
    }

    /// Closes all clients, and waits until the proxy has closed all targets.
    fn leave(&mut self) -> io::Result<()> {
        self.load.clients = 0;
        for end in &mut self.ends {
            end.take_if(|end| end.is_client);
        }
        let mut events = Events::with_capacity(1024);
        while self.ends.iter().any(Option::is_some) {
            self.turn(&mut events)?;
        }
        Ok(())
    }
}

/// All of it at once, or it is an error: what is sent here fits any buffer.
fn write(mut stream: &TcpStream, bytes: &[u8]) -> io::Result<()> {
    match stream.write(bytes)? {
        count if count == bytes.len() => Ok(()),
        _ => Err(ErrorKind::WriteZero.into()),
    }
}

fn read(mut stream: &TcpStream, buffer: &mut [u8]) -> io::Result<usize> {
    stream.read(buffer)
}

/// Seconds that a process with one thread was on a CPU.
fn cpu(process: &str) -> io::Result<f64> {
    let text = fs::read_to_string(format!("/proc/{process}/schedstat"))?;
    let nanoseconds: f64 = text.split(' ').next().unwrap().parse().unwrap();
    Ok(nanoseconds / 1e9)
}

fn line() -> String {
    let mut line = String::new();
    io::stdin().read_line(&mut line).unwrap();
    line.trim().to_owned()
}

fn main() -> io::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [name, front, back, seconds, rest @ ..] = &arguments[..] else {
        panic!("load LOAD FRONT BACK SECONDS [GREETING]");
    };
    let greeting = rest.first().map(fs::read).transpose()?;
    let load = Load::named(name, greeting);
    let kind = load.kind;
    let mut ends = Ends::new(load, front.parse().unwrap(), back.parse().unwrap())?;
    println!("ready");
    let process = line();
    if kind == Kind::Idle {
        ends.hold()?;
        println!("held");
        line();
        ends.leave()?;
        println!("left");
        line();
    } else {
        println!("{}", ends.run(Duration::from_secs_f64(seconds.parse().unwrap()), &process)?);
    }
    Ok(())
}
