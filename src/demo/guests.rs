//! The small programs around the daemon: two backends, a client, and a page
//! that shows the router's table. They speak just enough HTTP for `curl`.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr};

use mio::Interest;
use mio::net::{TcpListener, TcpStream};

use crate::reactor::slab::{Key, Slab};
use crate::reactor::socket::{self, ConnectOptions, ListenOptions};
use crate::reactor::{Kind, Reactor, Token};

/// Most octets of a request or an answer that are looked at.
const MESSAGE_LIMIT: usize = 8 * 1024;

/// Who answers on a listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Host {
    /// A backend, by its number.
    Backend(usize),
    /// The router's page.
    RouterPage,
}

#[derive(Debug)]
enum Guest {
    Listener(Host, TcpListener),
    /// A request that is read until its empty line, then answered.
    Visitor(Host, TcpStream, Vec<u8>),
    /// The client's request: sent, and the answer read to its end.
    Client(TcpStream, Vec<u8>, bool),
}

/// All guests of the demonstration.
#[derive(Debug, Default)]
pub(super) struct Guests {
    sources: Slab<Guest>,
    ready: Vec<Key>,
    answer: Option<Result<String, String>>,
    busy: bool,
}

impl Guests {
    /// Opens a listener for `host`; port 0 lets the system choose.
    pub(super) fn listen(
        &mut self,
        reactor: &mut Reactor,
        host: Host,
        address: SocketAddr,
    ) -> io::Result<SocketAddr> {
        let listener = socket::listen(address, &ListenOptions::default())?;
        let local = listener.local_addr()?;
        let key = self.sources.insert(Guest::Listener(host, listener));
        self.register(reactor, key)?;
        Ok(local)
    }

    /// Closes the listener of `host`: connections are refused from now on.
    pub(super) fn close(&mut self, host: Host) {
        for key in self.sources.keys() {
            if matches!(self.sources.get(key), Some(Guest::Listener(h, _)) if *h == host) {
                self.sources.remove(key);
            }
        }
    }

    /// Whether a backend accepts connections.
    pub(super) fn has_backend(&self) -> bool {
        self.sources
            .keys()
            .into_iter()
            .any(|key| matches!(self.sources.get(key), Some(Guest::Listener(Host::Backend(_), _))))
    }

    /// Sends one request to `address`; [`Guests::take_answer`] has its end.
    pub(super) fn request(&mut self, reactor: &mut Reactor, address: SocketAddr) {
        self.busy = true;
        let begun = socket::connect(address, &ConnectOptions::default()).and_then(|stream| {
            let key = self.sources.insert(Guest::Client(stream, Vec::new(), false));
            self.register(reactor, key)
        });
        if let Err(error) = begun {
            self.answer = Some(Err(error.to_string()));
        }
    }

    /// Whether a request is under way.
    pub(super) fn is_busy(&self) -> bool {
        self.busy
    }

    /// The answer to the last request: its body, or what went wrong.
    pub(super) fn take_answer(&mut self) -> Option<Result<String, String>> {
        let answer = self.answer.take()?;
        self.busy = false;
        Some(answer)
    }

    pub(super) fn collect(&mut self, token: Token) {
        self.ready.push(Key::from(token));
    }

    pub(super) fn has_ready(&self) -> bool {
        !self.ready.is_empty()
    }

    /// Serves what is ready; `page` makes the answer of a host.
    pub(super) fn run(&mut self, reactor: &mut Reactor, page: &dyn Fn(Host) -> String) {
        for key in std::mem::take(&mut self.ready) {
            match self.sources.get_mut(key) {
                Some(Guest::Listener(..)) => self.accept(reactor, key),
                Some(Guest::Visitor(..)) => self.serve(key, page),
                Some(Guest::Client(..)) => self.read_answer(key),
                None => {}
            }
        }
        self.sources.reclaim();
    }

    fn register(&mut self, reactor: &mut Reactor, key: Key) -> io::Result<()> {
        let token = key.token(Kind::Guest);
        let both = Interest::READABLE | Interest::WRITABLE;
        let outcome = match self.sources.get_mut(key) {
            Some(Guest::Listener(_, source)) => reactor.register(source, token, Interest::READABLE),
            Some(Guest::Visitor(_, source, _) | Guest::Client(source, ..)) => {
                reactor.register(source, token, both)
            }
            None => Ok(()),
        };
        if outcome.is_err() {
            self.sources.remove(key);
        }
        outcome
    }

    fn accept(&mut self, reactor: &mut Reactor, key: Key) {
        loop {
            let Some(Guest::Listener(host, listener)) = self.sources.get(key) else { return };
            let (host, accepted) = (*host, socket::accept(listener));
            let Ok((stream, _)) = accepted else { return };
            let visitor = self.sources.insert(Guest::Visitor(host, stream, Vec::new()));
            // A visitor that cannot be watched is hung up on.
            let _ = self.register(reactor, visitor);
        }
    }

    fn serve(&mut self, key: Key, page: &dyn Fn(Host) -> String) {
        let Some(Guest::Visitor(host, stream, request)) = self.sources.get_mut(key) else { return };
        match read_available(stream, request) {
            Ok(false) if !request.windows(4).any(|end| end == b"\r\n\r\n") => return,
            // A health check connects and leaves without a word.
            Ok(_) if request.is_empty() => {}
            Ok(_) => {
                let body = page(*host);
                let _ = write!(
                    stream,
                    "HTTP/1.1 200 OK\r\nContent-Type: text/plain; charset=utf-8\r\n\
                     Content-Length: {}\r\nConnection: close\r\n\r\n{body}",
                    body.len()
                );
                let _ = stream.shutdown(Shutdown::Write);
            }
            Err(_) => {}
        }
        self.sources.remove(key);
    }

    fn read_answer(&mut self, key: Key) {
        let Some(Guest::Client(stream, answer, sent)) = self.sources.get_mut(key) else { return };
        if !*sent {
            match socket::connect_finished(stream) {
                Ok(false) => return,
                Ok(true) => {
                    *sent = true;
                    let _ =
                        stream.write(b"GET / HTTP/1.1\r\nHost: demo\r\nConnection: close\r\n\r\n");
                }
                Err(error) => return self.finish(key, Err(error.to_string())),
            }
        }
        let outcome = match read_available(stream, answer) {
            Ok(false) => return,
            Ok(true) => body_of(answer).ok_or_else(|| "closed without an answer".to_owned()),
            Err(error) => Err(error.to_string()),
        };
        self.finish(key, outcome);
    }

    fn finish(&mut self, key: Key, outcome: Result<String, String>) {
        self.sources.remove(key);
        self.answer = Some(outcome);
    }
}

/// Reads what is there; says whether the other side has finished.
fn read_available(stream: &mut TcpStream, into: &mut Vec<u8>) -> io::Result<bool> {
    let mut buffer = [0; 2048];
    loop {
        match stream.read(&mut buffer) {
            Ok(0) => return Ok(true),
            Ok(count) => into.extend(buffer.iter().take(count)),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
            Err(error) => return Err(error),
        }
        if into.len() > MESSAGE_LIMIT {
            return Err(io::Error::other("the message is too long"));
        }
    }
}

fn body_of(answer: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(answer);
    text.split_once("\r\n\r\n").map(|(_, body)| body.trim_end().to_owned())
}
