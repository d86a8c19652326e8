//! The door of this room: sockets on one side, the machine on the other.
//!
//! Each try has a socket of its own that is connected to its server: the kernel
//! gives it a random port, and takes answers from nowhere else (RFC 5452 §9.2).

use std::collections::BTreeMap;
use std::hash::{BuildHasher, RandomState};
use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};

use log::{error, info, warn};
use mio::Interest;
use mio::net::TcpStream;

use super::Paths;
use super::event::{Event, Status};
use super::files::Files;
use super::machine::{IN_FLIGHT, Machine, Transmit, TryId};
use super::name::Name;
use super::resolv_conf::Server;
use crate::reactor::datagram::{Connected, interface_index};
use crate::reactor::log_sink::quoted;
use crate::reactor::slab::{Key, Slab};
use crate::reactor::socket::{self, ConnectOptions};
use crate::reactor::timer_wheel::Alarm;
use crate::reactor::{Kind, Reactor, Readiness, Time, Token, fault};

/// The longest datagram; the answers that we ask for are far shorter.
const LONGEST: usize = 65_535;

/// Reads of one socket in one turn. An answer is one; more are forgeries, and
/// the others have their turn as well.
const READS: usize = 4;

/// The token of the one timer.
const TIMER: Token = Token::new(Kind::Resolver, 0, 0);

#[derive(Debug)]
enum Link {
    Datagram(Connected),
    Stream {
        stream: TcpStream,
        connected: bool,
        /// What is still to be written.
        rest: Vec<u8>,
    },
}

#[derive(Debug)]
struct Lookup {
    id: TryId,
    server: SocketAddr,
    link: Link,
    ready: Readiness,
    queued: bool,
}

/// All names that are looked up.
#[derive(Debug)]
pub struct Resolver {
    machine: Machine,
    files: Files,
    lookups: Slab<Lookup>,
    by_id: BTreeMap<TryId, Key>,
    ready: Vec<Key>,
    alarm: Alarm,
    armed: Option<Time>,
    is_due: bool,
    /// Its keys come from the system and never leave the process, so what it
    /// makes of a count cannot be guessed.
    random: RandomState,
    drawn: u64,
    panics: u64,
    inject_panic: bool,
}

impl Resolver {
    /// No names. Reads the files; `seed` spreads the questions over time.
    pub fn new(paths: Paths, seed: u64) -> Resolver {
        let files = Files::new(paths);
        let (conf, hosts) = files.content();
        Resolver {
            machine: Machine::new(conf, hosts, seed),
            files,
            lookups: Slab::new(),
            by_id: BTreeMap::new(),
            ready: Vec::new(),
            alarm: Alarm::new(),
            armed: None,
            is_due: false,
            random: RandomState::new(),
            drawn: 0,
            panics: 0,
            inject_panic: false,
        }
    }

    /// Looks a name up from now on; see [`Machine::want`].
    ///
    /// # Errors
    /// There are too many names.
    pub fn want(&mut self, now: Time, name: &Name) -> Result<(), String> {
        self.machine.want(now, name)
    }

    /// Looks a name up no more.
    pub fn unwant(&mut self, name: &Name) {
        self.machine.unwant(name);
    }

    /// Looks at the files now: for a reload.
    pub fn reload(&mut self, now: Time) {
        self.look(now);
    }

    /// How a name stands, if it is wanted.
    pub fn status(&self, name: &Name) -> Option<Status> {
        self.machine.status(name)
    }

    /// All names that are wanted.
    pub fn names(&self) -> impl Iterator<Item = &Name> {
        self.machine.names()
    }

    /// Panics that were caught at the edge of one try.
    pub fn panics(&self) -> u64 {
        self.panics
    }

    /// The next answer that is looked at meets a panic: proof that one is
    /// survived.
    pub fn inject_panic(&mut self) {
        self.inject_panic = true;
    }

    /// The next thing to report.
    pub fn poll_event(&mut self) -> Option<Event> {
        let event = self.machine.poll_event()?;
        match &event {
            Event::Resolved { name, addresses } => {
                let addresses: Vec<String> = addresses.iter().map(ToString::to_string).collect();
                info!("resolve event=resolved name={name} addresses={}", addresses.join(","));
            }
            Event::Failed { name, error, stale } => {
                let kept = if *stale { "last" } else { "none" };
                warn!("resolve event=failed name={name} error={} kept={kept}", quoted(error));
            }
        }
        Some(event)
    }

    /// Collect: remembers what the kernel said about a socket.
    pub fn collect(&mut self, token: Token, readiness: Readiness) {
        if token.kind == Kind::Lookup
            && let Some(lookup) = self.lookups.get_mut(token.into())
        {
            lookup.ready |= readiness;
            self.queue(token.into());
        }
    }

    /// Expire: remembers that the timer fired.
    pub fn expired(&mut self, token: Token) {
        if token == TIMER {
            self.alarm.fired();
            self.armed = None;
            self.is_due = true;
        }
    }

    /// Api: takes answers, draws conclusions of time, and asks what there is to
    /// ask.
    pub fn api(&mut self, reactor: &mut Reactor) {
        let now = reactor.now();
        self.is_due = false;
        for key in std::mem::take(&mut self.ready) {
            self.guarded(reactor, key);
        }
        self.machine.timeout(now);
        if self.machine.is_about_to_ask() && self.look(now) {
            self.machine.timeout(now);
        }
        // Counted, because one that fails at once is never under way.
        for _ in 0..IN_FLIGHT {
            let number = self.unpredictable();
            let Some(transmit) = self.machine.poll_transmit(now, number) else { break };
            self.send(reactor, transmit);
        }
        self.close();
        self.arm(reactor);
    }

    /// Flush: slots that were freed in this turn may be used again.
    pub fn flush(&mut self) {
        self.lookups.reclaim();
    }

    /// Whether anything can make progress without another event.
    pub fn has_ready(&self) -> bool {
        self.is_due || !self.ready.is_empty() || self.machine.has_ready()
    }

    fn look(&mut self, now: Time) -> bool {
        let is_changed = self.files.look(now);
        if is_changed {
            let (conf, hosts) = self.files.content();
            self.machine.configure(now, conf, hosts);
            self.is_due = true;
        }
        is_changed
    }

    fn unpredictable(&mut self) -> u16 {
        self.drawn = self.drawn.wrapping_add(1);
        let [high, low, ..] = self.random.hash_one(self.drawn).to_be_bytes();
        u16::from_be_bytes([high, low])
    }

    fn queue(&mut self, key: Key) {
        let lookup = self.lookups.get_mut(key);
        if lookup.is_some_and(|lookup| !std::mem::replace(&mut lookup.queued, true)) {
            self.ready.push(key);
        }
    }

    fn send(&mut self, reactor: &mut Reactor, transmit: Transmit) {
        let now = reactor.now();
        let id = transmit.id;
        match self.open(reactor, transmit) {
            Ok(key) => {
                self.by_id.insert(id, key);
            }
            // No IPv6 is not a want that passes.
            Err(error) if socket::is_exhaustion(&error) && !socket::has_no_ipv6(&error) => {
                self.machine.exhausted(now, id);
            }
            Err(error) => self.machine.failed(now, id, &error.to_string()),
        }
    }

    fn open(&mut self, reactor: &mut Reactor, transmit: Transmit) -> io::Result<Key> {
        let Transmit { id, server, over_tcp, octets } = transmit;
        let server = address(&server)?;
        let link = match over_tcp {
            false => Link::Datagram(Connected::connect(server)?),
            true => Link::Stream {
                stream: socket::connect(server, &ConnectOptions::default())?,
                connected: false,
                rest: octets.clone(),
            },
        };
        let ready = Readiness::NONE;
        let key = self.lookups.insert(Lookup { id, server, link, ready, queued: false });
        let opened = match self.lookups.get_mut(key).map(|lookup| &mut lookup.link) {
            Some(Link::Datagram(socket)) => reactor
                .register(socket, key.token(Kind::Lookup), Interest::READABLE)
                .and_then(|()| socket.send(&octets)),
            Some(Link::Stream { stream, .. }) => {
                let both = Interest::READABLE | Interest::WRITABLE;
                reactor.register(stream, key.token(Kind::Lookup), both)
            }
            None => Ok(()),
        };
        if opened.is_err() {
            self.lookups.remove(key);
        }
        opened.map(|()| key)
    }

    /// Handles one socket inside an unwind boundary: a panic costs one try.
    fn guarded(&mut self, reactor: &mut Reactor, key: Key) {
        let Some(lookup) = self.lookups.get_mut(key) else { return };
        lookup.queued = false;
        let (id, server) = (lookup.id, lookup.server);
        let inject = std::mem::take(&mut self.inject_panic);
        let handled = catch_unwind(AssertUnwindSafe(|| {
            if inject {
                fault::inject("the looking up of a name");
            }
            self.look_at(reactor, key)
        }));
        match handled {
            Ok(Ok(())) => {}
            Ok(Err(error)) => self.machine.failed(reactor.now(), id, &error.to_string()),
            Err(_) => {
                self.panics = self.panics.saturating_add(1);
                error!("resolve event=panic server={server} action=\"another try\"");
                self.machine.failed(reactor.now(), id, "a fault of our own");
            }
        }
        // Nothing of this turn is read from a socket that is of no more use.
        self.close();
    }

    fn look_at(&mut self, reactor: &mut Reactor, key: Key) -> io::Result<()> {
        let Some(lookup) = self.lookups.get_mut(key) else { return Ok(()) };
        match &lookup.link {
            Link::Datagram(_) => self.read_datagrams(reactor, key),
            Link::Stream { .. } => {
                lookup.write()?;
                self.read_stream(reactor, key)
            }
        }
    }

    fn read_datagrams(&mut self, reactor: &mut Reactor, key: Key) -> io::Result<()> {
        let now = reactor.now();
        let Some(place) = reactor.scratch.get_mut(..LONGEST) else { return Ok(()) };
        let mut found = Vec::new();
        for _ in 0..READS {
            let Some(lookup) = self.lookups.get_mut(key) else { return Ok(()) };
            let Link::Datagram(socket) = &lookup.link else { return Ok(()) };
            match socket.receive(place, LONGEST, &mut found) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                other => other?,
            }
            for arrived in &found {
                let octets = place.get(..arrived.length).unwrap_or_default();
                self.machine.receive(now, lookup.id, lookup.server, octets);
            }
        }
        self.queue(key);
        Ok(())
    }

    fn read_stream(&mut self, reactor: &mut Reactor, key: Key) -> io::Result<()> {
        let now = reactor.now();
        let Some(lookup) = self.lookups.get_mut(key) else { return Ok(()) };
        let Link::Stream { stream, connected: true, .. } = &mut lookup.link else { return Ok(()) };
        for _ in 0..READS {
            let Some(place) = reactor.scratch.get_mut(..LONGEST) else { return Ok(()) };
            match stream.read(place) {
                Ok(0) => return Err(io::Error::other("the connection was closed")),
                Ok(count) => {
                    let octets = place.get(..count).unwrap_or_default();
                    self.machine.receive_stream(now, lookup.id, lookup.server, octets);
                    if !self.machine.is_open(lookup.id) {
                        return Ok(());
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        self.queue(key);
        Ok(())
    }

    /// Closes the sockets of tries that are over.
    fn close(&mut self) {
        while let Some(id) = self.machine.poll_closed() {
            if let Some(key) = self.by_id.remove(&id) {
                self.lookups.remove(key);
            }
        }
    }

    fn arm(&mut self, reactor: &mut Reactor) {
        let deadline = self.machine.deadline();
        if self.armed == deadline {
            return;
        }
        // Not left to fire early: the next round may be minutes away, and an
        // idle process is to sleep until then.
        self.alarm.clear(&mut reactor.wheel);
        self.alarm.set(&mut reactor.wheel, TIMER, deadline);
        self.armed = deadline;
    }
}

impl Lookup {
    /// Finishes the connection, and writes what is left of the question.
    fn write(&mut self) -> io::Result<()> {
        let Link::Stream { stream, connected, rest } = &mut self.link else { return Ok(()) };
        if self.ready.intersects(Readiness::ERROR)
            && let Some(error) = socket::take_error(stream)?
        {
            return Err(error);
        }
        if !*connected {
            *connected =
                self.ready.contains(Readiness::WRITABLE) && socket::connect_finished(stream)?;
        }
        while *connected && !rest.is_empty() {
            match stream.write(rest) {
                Ok(count) => drop(rest.drain(..count.min(rest.len()))),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

/// Where a server is, its zone as the kernel wants it (RFC 4007 §11).
fn address(server: &Server) -> io::Result<SocketAddr> {
    let mut address = server.address;
    if let (SocketAddr::V6(v6), Some(zone)) = (&mut address, &server.zone) {
        let index = zone.parse().map_or_else(|_| interface_index(zone), Ok);
        let index = index.map_err(|_| io::Error::other(format!("no interface {zone}")))?;
        v6.set_scope_id(index);
    }
    Ok(address)
}
