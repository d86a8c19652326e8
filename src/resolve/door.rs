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

#[cfg(test)]
mod tests {
    use super::super::testing::{Answer, Asked};
    use super::*;
    use crate::reactor::poll::{self, Phases};
    use std::net::{IpAddr, TcpListener, UdpSocket};
    use std::path::PathBuf;
    use std::time::Duration;

    struct House {
        resolver: Resolver,
        events: Vec<Event>,
    }

    impl Phases for House {
        fn collect(&mut self, _: &mut Reactor, token: Token, readiness: Readiness) {
            self.resolver.collect(token, readiness);
        }
        fn expired(&mut self, _: &mut Reactor, token: Token) {
            self.resolver.expired(token);
        }
        fn control(&mut self, _: &mut Reactor) {}
        fn apply(&mut self, _: &mut Reactor) {}
        fn data(&mut self, _: &mut Reactor) {}
        fn accept(&mut self, _: &mut Reactor) {}
        fn api(&mut self, reactor: &mut Reactor) {
            self.resolver.api(reactor);
            self.events.extend(std::iter::from_fn(|| self.resolver.poll_event()));
        }
        fn flush(&mut self, _: &mut Reactor) {
            self.resolver.flush();
        }
        fn has_ready(&self) -> bool {
            self.resolver.has_ready()
        }
        fn exit_code(&self) -> Option<i32> {
            None
        }
    }

    /// A loop with nothing in it but a resolver, and its two files.
    struct Lab {
        reactor: Reactor,
        house: House,
        paths: Paths,
    }

    impl Lab {
        /// `test` names the directory of the files.
        fn new(test: &str, conf: &str) -> Lab {
            let own = format!("burgee-resolve-{}-{test}", std::process::id());
            let directory = std::env::temp_dir().join(own);
            std::fs::create_dir_all(&directory).unwrap();
            let [resolv_conf, hosts] = ["resolv.conf", "hosts"].map(|file| directory.join(file));
            std::fs::write(&resolv_conf, conf).unwrap();
            let paths = Paths { resolv_conf, hosts };
            let resolver = Resolver::new(paths.clone(), 1);
            let reactor = Reactor::new().unwrap();
            Lab { reactor, house: House { resolver, events: Vec::new() }, paths }
        }

        fn want(&mut self, text: &str) {
            let name = Name::parse(text).unwrap();
            self.house.resolver.want(self.reactor.now(), &name).unwrap();
        }

        /// One turn, which a timer ends if nothing happens.
        fn turn(&mut self) {
            let soon = self.reactor.now() + Duration::from_millis(2);
            let guard = self.reactor.wheel.insert(soon, Token::new(Kind::Guest, 0, 0));
            poll::turn(&mut self.reactor, &mut self.house).unwrap();
            self.reactor.wheel.cancel(guard);
        }

        /// Turns, with a server that does its part in between, until something
        /// is reported.
        fn event(&mut self, mut server: impl FnMut()) -> Event {
            for _ in 0..10_000 {
                if !self.house.events.is_empty() {
                    return self.house.events.remove(0);
                }
                self.turn();
                server();
            }
            panic!("{:?}", self.house.resolver);
        }
    }

    impl Drop for Lab {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(self.paths.hosts.parent().unwrap());
        }
    }

    /// A name server that answers what waits, and notes who asked.
    struct Server {
        socket: UdpSocket,
        answer: fn(&Asked) -> Answer,
        clients: Vec<SocketAddr>,
    }

    impl Server {
        fn new(address: &str, answer: fn(&Asked) -> Answer) -> Server {
            let socket = UdpSocket::bind(address).unwrap();
            socket.set_nonblocking(true).unwrap();
            Server { socket, answer, clients: Vec::new() }
        }

        fn address(&self) -> SocketAddr {
            self.socket.local_addr().unwrap()
        }

        /// Its line in the file.
        fn line(&self) -> String {
            let address = self.address();
            format!("nameserver [{}]:{}\n", address.ip(), address.port())
        }

        fn serve(&mut self) {
            let mut place = [0; 512];
            while let Ok((length, client)) = self.socket.recv_from(&mut place) {
                let asked = Asked::read(&place[..length]);
                let answer = (self.answer)(&asked);
                self.socket.send_to(&answer.octets(), client).unwrap();
                self.clients.push(client);
            }
        }
    }

    /// A server of half an answer, and its port for TCP, which refuses until
    /// somebody listens there.
    fn truncating() -> (Server, socket2::Socket) {
        loop {
            let server = Server::new("127.0.0.1:0", |asked| asked.answer().truncated());
            let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None);
            let socket = socket.unwrap();
            if socket.bind(&server.address().into()).is_ok() {
                return (server, socket);
            }
        }
    }

    fn listening(socket: socket2::Socket) -> TcpListener {
        socket.listen(8).unwrap();
        socket.set_nonblocking(true).unwrap();
        socket.into()
    }

    fn good(asked: &Asked) -> Answer {
        asked.addresses(&["192.0.2.1", "2001:db8::1"], 300)
    }

    fn resolved(addresses: &[&str]) -> Event {
        let addresses: Vec<IpAddr> = addresses.iter().map(|text| text.parse().unwrap()).collect();
        Event::Resolved { name: Name::parse("web.test").unwrap(), addresses }
    }

    fn error_of(event: &Event) -> String {
        let Event::Failed { error, .. } = event else { panic!("{event:?}") };
        error.clone()
    }

    #[test]
    fn a_name_is_looked_up_over_both_families() {
        for (test, address) in [("v4", "127.0.0.1:0"), ("v6", "[::1]:0")] {
            let mut server = Server::new(address, good);
            let mut lab = Lab::new(test, &server.line());
            lab.want("web.test");
            let event = lab.event(|| server.serve());
            assert_eq!(event, resolved(&["192.0.2.1", "2001:db8::1"]));
            let [a, aaaa] = server.clients[..] else { panic!("{:?}", server.clients) };
            assert_ne!(a.port(), aaaa.port(), "each has a port of its own");
            lab.turn();
            assert!(lab.house.resolver.lookups.is_empty() && !lab.house.resolver.has_ready());
            assert_eq!(lab.reactor.wheel.len(), 1, "the next round");
            assert!(lab.reactor.wheel.next_deadline().unwrap().as_millis() > 250_000);
        }
    }

    #[test]
    fn numbers_are_all_over_the_place_and_differ_between_processes() {
        let mut lab = [0, 1].map(|n| Lab::new(&format!("numbers-{n}"), ""));
        let draw = |lab: &mut Lab| lab.house.resolver.unpredictable();
        let numbers: Vec<[u16; 2]> = (0..1000).map(|_| lab.each_mut().map(draw)).collect();
        // As a resolver of another process with the same seed has other keys.
        assert!(numbers.iter().filter(|[one, other]| one == other).count() < 10);
        let mut one: Vec<u16> = numbers.iter().map(|[one, _]| *one).collect();
        one.sort_unstable();
        one.dedup();
        assert!(one.len() > 900, "{}", one.len());
        assert!(one[0] < 1000 && one[one.len() - 1] > 64_000);
    }

    #[test]
    fn half_an_answer_is_fetched_over_tcp() {
        let (mut server, socket) = truncating();
        let listener = listening(socket);
        let mut lab = Lab::new("tcp", &format!("{}options no-aaaa", server.line()));
        lab.want("web.test");
        let mut stream = None;
        while stream.is_none() {
            lab.turn();
            server.serve();
            stream = listener.accept().ok();
        }
        let (mut stream, _) = stream.unwrap();
        let mut place = [0; 512];
        // Everything but the reading end of the connection is in this thread.
        stream.set_nonblocking(true).unwrap();
        let length = loop {
            lab.turn();
            if let Ok(length) = stream.read(&mut place) {
                break length;
            }
        };
        let answer = good(&Asked::read(&place[2..length])).stream();
        for piece in answer.chunks(20) {
            assert!(lab.house.events.is_empty());
            stream.write_all(piece).unwrap();
            lab.turn();
        }
        assert_eq!(lab.event(|| ()), resolved(&["192.0.2.1"]));
        lab.turn();
        assert!(lab.house.resolver.lookups.is_empty());
    }

    #[test]
    fn a_connection_that_is_refused_or_closed_is_a_failure() {
        let (mut server, socket) = truncating();
        let mut lab = Lab::new("closed", &format!("{}options no-aaaa attempts:1", server.line()));
        lab.want("web.test");
        let refused = lab.event(|| server.serve());
        assert!(error_of(&refused).contains("refused"), "{refused:?}");
        let listener = listening(socket);
        let closed = lab.event(|| {
            server.serve();
            drop(listener.accept());
        });
        let text = error_of(&closed);
        assert!(text.contains("closed") || text.contains("reset"), "{text}");
    }

    #[test]
    fn a_server_that_is_not_there_is_told_by_its_host() {
        let gone = Server::new("127.0.0.1:0", good).line();
        let mut server = Server::new("127.0.0.1:0", good);
        let mut lab = Lab::new("gone", &format!("{gone}{}", server.line()));
        lab.want("web.test");
        let event = lab.event(|| server.serve());
        assert_eq!(event, resolved(&["192.0.2.1", "2001:db8::1"]), "with no time lost");
        drop(server);
        let mut lab = Lab::new("gone-too", &format!("{gone}nameserver fe80::1%none0\n"));
        lab.want("web.test");
        let text = error_of(&lab.event(|| ()));
        assert!(text.contains("fe80::1%none0: no interface none0"), "{text}");
    }

    #[test]
    fn an_answer_from_somebody_else_does_not_arrive() {
        let mut server = Server::new("127.0.0.1:0", good);
        let other = UdpSocket::bind("127.0.0.1:0").unwrap();
        let mut lab = Lab::new("other", &format!("{}options no-aaaa", server.line()));
        lab.want("web.test");
        let mut place = [0; 512];
        let (length, client) = loop {
            lab.turn();
            if let Ok(came) = server.socket.recv_from(&mut place) {
                break came;
            }
        };
        let asked = Asked::read(&place[..length]);
        let forged = asked.addresses(&["203.0.113.1"], 60).octets();
        other.send_to(&forged, client).unwrap();
        (0..5).for_each(|_| lab.turn());
        assert!(lab.house.events.is_empty());
        server.socket.send_to(&good(&asked).octets(), client).unwrap();
        assert_eq!(lab.event(|| server.serve()), resolved(&["192.0.2.1"]));
    }

    #[test]
    fn the_files_are_read_again_when_they_have_changed() {
        let mut first = Server::new("127.0.0.1:0", |asked| asked.addresses(&["192.0.2.1"], 0));
        let mut second = Server::new("127.0.0.1:0", |asked| asked.addresses(&["192.0.2.2"], 300));
        let mut lab = Lab::new("files", &first.line());
        lab.want("web.test");
        assert_eq!(lab.event(|| first.serve()), resolved(&["192.0.2.1"]));
        let changed = lab.paths.resolv_conf.with_extension("new");
        std::fs::write(&changed, second.line()).unwrap();
        std::fs::rename(&changed, &lab.paths.resolv_conf).unwrap();
        // The first answer holds for a second only.
        let event = lab.event(|| {
            first.serve();
            second.serve();
        });
        assert_eq!(event, resolved(&["192.0.2.2"]));
        std::fs::write(&lab.paths.hosts, "192.0.2.3 web.test\n").unwrap();
        let event = lab.event_after_reload();
        assert_eq!(event, resolved(&["192.0.2.3"]));
    }

    impl Lab {
        /// Asks for a look at the files until one was taken.
        fn event_after_reload(&mut self) -> Event {
            loop {
                let now = self.reactor.now();
                self.house.resolver.reload(now);
                self.turn();
                if !self.house.events.is_empty() {
                    return self.house.events.remove(0);
                }
            }
        }
    }

    #[test]
    fn without_files_this_machine_is_asked_and_localhost_is_known() {
        let mut lab = Lab::new("none", "");
        std::fs::remove_file(&lab.paths.resolv_conf).unwrap();
        let resolver = Resolver::new(lab.paths.clone(), 1);
        let servers = resolver.files.content().0.servers;
        assert_eq!(servers[0].address, "127.0.0.1:53".parse().unwrap());
        lab.want("localhost");
        let Event::Resolved { addresses, .. } = lab.event(|| ()) else { panic!() };
        assert!(addresses.iter().all(IpAddr::is_loopback));
        // What is no file is not waited for.
        let paths = Paths { resolv_conf: PathBuf::from("/dev/tty"), ..lab.paths.clone() };
        assert_eq!(Resolver::new(paths, 1).files.content().0.servers, servers);
    }

    #[test]
    fn a_panic_costs_one_try() {
        let mut server = Server::new("127.0.0.1:0", good);
        let mut lab = Lab::new("panic", &server.line());
        lab.house.resolver.inject_panic();
        lab.want("web.test");
        let event = lab.event(|| server.serve());
        assert_eq!(event, resolved(&["192.0.2.1", "2001:db8::1"]));
        assert_eq!((lab.house.resolver.panics(), server.clients.len()), (1, 3));
    }

    #[test]
    fn a_name_that_is_given_up_takes_its_sockets_with_it() {
        let silent = UdpSocket::bind("127.0.0.1:0").unwrap();
        let port = silent.local_addr().unwrap().port();
        let mut lab = Lab::new("unwant", &format!("nameserver [127.0.0.1]:{port}"));
        (0..100).for_each(|n| lab.want(&format!("n{n}.test")));
        lab.turn();
        assert_eq!(lab.house.resolver.lookups.len(), IN_FLIGHT);
        assert!(!lab.house.resolver.has_ready(), "the others wait without spinning");
        for n in 0..100 {
            lab.house.resolver.unwant(&Name::parse(&format!("n{n}.test")).unwrap());
        }
        lab.turn();
        assert!(lab.house.resolver.lookups.is_empty() && lab.house.resolver.by_id.is_empty());
        assert!(!lab.house.resolver.has_ready());
        assert_eq!(lab.reactor.wheel.len(), 0);
    }
}
