//! What tests of connections need: targets, both ends of connections, and the
//! first octets of TLS clients and proxies.

use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, channel};
use std::thread;

use crate::common::program::BOUND;
use crate::common::running::Running;

/// A configuration with these listeners and routes, each of its targets checked
/// once, and whatever else it has.
pub fn configuration(listeners: &str, routes: &[String], more: &str) -> String {
    format!(
        "log.level=DEBUG\nhealth.interval=1h\nproxy.addr={listeners}\n\
         registry.static.routes={}\n{more}\n",
        routes.join("\\n")
    )
}

/// A burgee with such a configuration.
pub fn start(name: &str, listeners: &str, routes: &[String], more: &str) -> Running {
    Running::start(name, &configuration(listeners, routes, more))
}

/// A route to a target of the service `web`.
pub fn route(source: &str, target: &Target, options: &str) -> String {
    route_of("web", source, target, options)
}

/// A route to a target of this service.
pub fn route_of(service: &str, source: &str, target: &Target, options: &str) -> String {
    let options = match options {
        "" => String::new(),
        options => format!(" opts \"{options}\""),
    };
    format!("route add {service} {source} tcp://{}{options}", target.address)
}

/// A server. Health checks, which say nothing, are not shown to the test.
pub struct Target {
    pub address: SocketAddr,
    accepted: Receiver<End>,
}

impl Target {
    /// A server whose connections the test has.
    pub fn start() -> Target {
        let (sender, accepted) = channel();
        let address = serve(move |stream| {
            if matches!(stream.peek(&mut [0]), Ok(1..)) {
                let _ = sender.send(End::new(stream));
            }
        });
        Target { address, accepted }
    }

    /// A server that says this first, and then listens until its client ends.
    pub fn greeting(text: &'static str) -> Target {
        let address = serve(move |mut stream| {
            let _ = stream.write_all(text.as_bytes());
            while let Ok(1..) = stream.read(&mut [0; 1024]) {}
        });
        Target { address, accepted: channel().1 }
    }

    /// The next connection over which an octet has come.
    pub fn next(&self) -> End {
        self.accepted.recv_timeout(BOUND).expect("a connection to the target")
    }

    /// Nobody has said anything that was not looked at.
    pub fn assert_nobody(&self) {
        assert!(self.accepted.try_recv().is_err(), "somebody came to {}", self.address);
    }
}

/// Handles each connection to a port of its own in a thread of its own.
fn serve(handle: impl Fn(TcpStream) + Clone + Send + 'static) -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let handle = handle.clone();
            thread::spawn(move || handle(stream));
        }
    });
    address
}

/// One end of a connection.
#[derive(Debug)]
pub struct End(TcpStream);

impl End {
    fn new(stream: TcpStream) -> End {
        stream.set_read_timeout(Some(BOUND)).unwrap();
        stream.set_write_timeout(Some(BOUND)).unwrap();
        stream.set_nodelay(true).unwrap();
        End(stream)
    }

    /// A client at this port of loopback.
    pub fn connect(port: u16) -> End {
        End::new(TcpStream::connect((Ipv4Addr::LOCALHOST, port)).unwrap())
    }

    /// The same, and it says this at once.
    pub fn saying(port: u16, octets: &[u8]) -> End {
        let mut client = End::connect(port);
        client.send(octets);
        client
    }

    pub fn local(&self) -> SocketAddr {
        self.0.local_addr().unwrap()
    }

    pub fn send(&mut self, octets: &[u8]) {
        self.0.write_all(octets).unwrap();
    }

    /// Ends its own stream.
    pub fn end(&self) {
        self.0.shutdown(Shutdown::Write).unwrap();
    }

    /// Exactly these octets come next.
    #[track_caller]
    pub fn expect(&mut self, octets: &[u8]) {
        let mut found = vec![0; octets.len()];
        self.0.read_exact(&mut found).expect("all octets");
        assert_eq!(
            String::from_utf8_lossy(&found),
            String::from_utf8_lossy(octets),
            "as text; octets {found:?}"
        );
        assert_eq!(found, octets);
    }

    /// The next line, without its end.
    #[track_caller]
    pub fn line(&mut self) -> String {
        let mut line = Vec::new();
        loop {
            let mut octet = [0];
            self.0.read_exact(&mut octet).expect("a line");
            match octet {
                [b'\n'] => return String::from_utf8(line).unwrap(),
                [octet] => line.push(octet),
            }
        }
    }

    /// The other side has ended its stream, and nothing came before that.
    #[track_caller]
    pub fn expect_end(&mut self) {
        assert_eq!(self.0.read(&mut [0]).expect("an end in order"), 0, "an octet came");
    }

    /// The connection was cut.
    #[track_caller]
    pub fn expect_reset(&mut self) {
        let error = self.0.read(&mut [0; 64]).expect_err("a reset");
        assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    }

    /// What this end says arrives at the other, and the other way.
    #[track_caller]
    pub fn talks_to(&mut self, other: &mut End) {
        self.send(b"question");
        other.expect(b"question");
        other.send(b"answer");
        self.expect(b"answer");
    }
}

/// Nobody listens there.
#[track_caller]
pub fn assert_refused(port: u16) {
    let refused = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).expect_err("a closed port");
    assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
}

/// Octets behind their number, which takes `width` octets.
fn sized(width: usize, octets: &[u8]) -> Vec<u8> {
    [&octets.len().to_be_bytes()[size_of::<usize>() - width..], octets].concat()
}

/// A ClientHello (RFC 8446 §4.1.2) for this name (RFC 6066 §3), with these
/// protocols (RFC 7301 §3.1).
pub fn hello_message(name: Option<&str>, protocols: &[&str]) -> Vec<u8> {
    let extension = |kind: u8, data: &[u8]| [&[0, kind][..], &sized(2, data)].concat();
    let mut extensions = Vec::new();
    if let Some(name) = name {
        let entry = [&[0][..], &sized(2, name.as_bytes())].concat();
        extensions.extend(extension(0, &sized(2, &entry)));
    }
    if !protocols.is_empty() {
        let list: Vec<u8> = protocols.iter().flat_map(|it| sized(1, it.as_bytes())).collect();
        extensions.extend(extension(16, &sized(2, &list)));
    }
    let body = [&[3, 3][..], &[7; 32], &[0], &[0, 2, 0x13, 1], &[1, 0], &sized(2, &extensions)];
    [&[1][..], &sized(3, &body.concat())].concat()
}

/// A message in TLS records of at most so many octets (RFC 8446 §5.1).
pub fn records(message: &[u8], longest: usize) -> Vec<u8> {
    let record = |piece: &[u8]| [&[22, 3, 1][..], &sized(2, piece)].concat();
    message.chunks(longest).flat_map(record).collect()
}

/// A ClientHello in one record.
pub fn hello(name: Option<&str>, protocols: &[&str]) -> Vec<u8> {
    records(&hello_message(name, protocols), 1 << 14)
}

/// A PROXY header of version 1 (PROXY §2.1).
pub fn header_v1(source: &str, destination: &str) -> Vec<u8> {
    let (source, destination) = ends(source, destination);
    let family = if source.is_ipv4() { "TCP4" } else { "TCP6" };
    let (from, to) = (source.ip(), destination.ip());
    format!("PROXY {family} {from} {to} {} {}\r\n", source.port(), destination.port()).into_bytes()
}

/// A PROXY header of version 2 (PROXY §2.2), with these TLVs.
pub fn header_v2(source: &str, destination: &str, extra: &[u8]) -> Vec<u8> {
    let (source, destination) = ends(source, destination);
    let octets = |address: IpAddr| match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    };
    let ports = [source.port().to_be_bytes(), destination.port().to_be_bytes()].concat();
    let body = [octets(source.ip()), octets(destination.ip()), ports, extra.to_vec()].concat();
    let family = if source.is_ipv4() { 0x11 } else { 0x21 };
    [&b"\r\n\r\n\0\r\nQUIT\n\x21"[..], &[family], &sized(2, &body)].concat()
}

fn ends(source: &str, destination: &str) -> (SocketAddr, SocketAddr) {
    (source.parse().unwrap(), destination.parse().unwrap())
}
