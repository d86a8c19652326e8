//! The door of this room: sockets on one side, conversations on the other.
//!
//! There is a TCP listener for everybody and a unix socket for the commands.
//! Each has connections of its own, so that clients of the one cannot lock out the
//! operator at the other. What a connection does is done inside an unwind boundary;
//! orders, which change what all share, are not.

mod connection;
mod listener;

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};

use log::{debug, error, info, warn};
use mio::Interest;

use self::connection::{Connection, Verdict};
use self::listener::{Client, Listener};
use super::api::{ApiSettings, Order, Verb, obey};
use super::house::{House, Moment};
use crate::reactor::log_sink::quoted;
use crate::reactor::slab::{Key, Slab};
use crate::reactor::{Kind, Reactor, Readiness, Token, fault, socket};

/// Most connections of one listener: a monitor and a person have some each. At
/// the limit the one that is idle for longest gives way, else the one that has
/// had the longest time for its request, so that nobody who says half of one
/// keeps others out.
const CONNECTIONS: usize = 64;

/// Work of all connections in one turn, in the units of a content's allowance:
/// about a millisecond.
const ALLOWANCE: usize = 256;

/// Connections taken from a listener in a turn.
const ACCEPTS: usize = 16;

/// What the settings say of the door.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AdminSettings {
    /// `ui.addr`
    pub address: Option<AddressSettings>,
    /// `ui.socket`
    pub socket: Option<SocketSettings>,
    /// Who may ask for what.
    pub api: ApiSettings,
}

/// Where the API listens for everybody.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AddressSettings {
    /// The address; with port 0 the system chooses one.
    pub address: SocketAddr,
    /// The unspecified IPv6 address stands for IPv4 as well.
    pub dual_stack: bool,
    /// Somebody set it, so that it is an error when it cannot be had.
    pub is_required: bool,
}

/// Where the API listens for commands on this host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SocketSettings {
    /// The path.
    pub path: String,
    /// Somebody set it, so that it is an error when it cannot be had.
    pub is_required: bool,
}

/// New settings, with the sockets that they need.
#[derive(Debug)]
pub struct Prepared {
    settings: AdminSettings,
    opened: Vec<Listener>,
    /// Cannot be bound before another one is closed.
    later: Option<AddressSettings>,
}

/// The listeners and connections of the API.
#[derive(Debug)]
pub struct Admin {
    api: ApiSettings,
    listeners: Slab<Listener>,
    connections: Slab<Connection>,
    ready: VecDeque<Key>,
    panics: u64,
    inject_panic: bool,
}

impl Admin {
    /// Opens the listeners. One that nobody asked for and that cannot be had is
    /// a warning in the log.
    ///
    /// # Errors
    /// A sentence that names the address or the path, and the cause.
    pub fn open(reactor: &mut Reactor, settings: AdminSettings) -> Result<Admin, String> {
        let mut admin = Admin {
            api: ApiSettings::default(),
            listeners: Slab::new(),
            connections: Slab::new(),
            ready: VecDeque::new(),
            panics: 0,
            inject_panic: false,
        };
        let prepared = admin.prepare_change(settings)?;
        let problems = admin.commit_change(reactor, prepared);
        problems.into_iter().next().map_or(Ok(admin), Err)
    }

    /// Opens what new settings need and is not there yet.
    ///
    /// # Errors
    /// As [`Admin::open`]; nothing is changed then.
    pub fn prepare_change(&self, settings: AdminSettings) -> Result<Prepared, String> {
        let (mut opened, mut later) = (Vec::new(), None);
        if let Some(wanted) = &settings.address {
            let all = || self.listeners.iter().map(|(_, listener)| listener);
            let is_there = all().any(|listener| listener.is_for_address(wanted));
            // All addresses and a single one exclude each other on one port.
            let port = wanted.address.port();
            let is_in_the_way = |it: &Listener| it.address().is_some_and(|it| it.port() == port);
            match is_there {
                true => {}
                false if all().any(is_in_the_way) => later = Some(*wanted),
                false => opened.extend(or_told(Listener::tcp(wanted), wanted.is_required)?),
            }
        }
        if let Some(wanted) = &settings.socket
            && !self.listeners.iter().any(|(_, listener)| listener.is_for_path(wanted))
        {
            opened.extend(or_told(Listener::unix(wanted), wanted.is_required)?);
        }
        Ok(Prepared { settings, opened, later })
    }

    /// Puts prepared settings in force. Connections of a listener that is gone
    /// go on. Returns what went wrong, a sentence each; the rest is in force.
    pub fn commit_change(&mut self, reactor: &mut Reactor, prepared: Prepared) -> Vec<String> {
        let Prepared { settings, mut opened, later } = prepared;
        for key in self.listeners.keys() {
            let stays = self.listeners.get(key).is_some_and(|listener| {
                settings.address.as_ref().is_some_and(|it| listener.is_for_address(it))
                    || settings.socket.as_ref().is_some_and(|it| listener.is_for_path(it))
            });
            if !stays && let Some(mut listener) = self.listeners.remove(key) {
                listener.clear(&mut reactor.wheel);
                info!("admin event=not_listening address={listener}");
            }
        }
        let mut problems = Vec::new();
        if let Some(wanted) = later {
            match or_told(Listener::tcp(&wanted), wanted.is_required) {
                Ok(listener) => opened.extend(listener),
                Err(problem) => problems.push(problem),
            }
        }
        for listener in opened {
            problems.extend(self.listen(reactor, listener).err());
        }
        self.api = settings.api;
        problems
    }

    fn listen(&mut self, reactor: &mut Reactor, listener: Listener) -> Result<(), String> {
        let name = listener.to_string();
        let key = self.listeners.insert(listener);
        let Some(listener) = self.listeners.get_mut(key) else { return Ok(()) };
        if let Err(error) = listener.register(reactor, key.token(Kind::AdminListener)) {
            self.listeners.remove(key);
            return Err(format!("cannot poll the listener of the API on {name}: {error}"));
        }
        info!("admin event=listening address={name}");
        Ok(())
    }

    /// Where everybody can ask; the port is the one that the system chose for
    /// port 0.
    pub fn listening_on(&self) -> Option<SocketAddr> {
        self.listeners.iter().find_map(|(_, listener)| listener.address())
    }

    /// Panics that were caught at the edge of a connection.
    pub fn panics(&self) -> u64 {
        self.panics
    }

    /// Makes the next connection that is served panic: proof that it is
    /// survived.
    pub fn inject_panic(&mut self) {
        self.inject_panic = true;
    }

    /// Collect: remembers what the kernel said about a socket.
    pub fn collect(&mut self, token: Token, readiness: Readiness) {
        match token.kind {
            Kind::AdminListener => {
                if let Some(listener) = self.listeners.get_mut(token.into()) {
                    listener.is_readable = true;
                }
            }
            _ => {
                if let Some(connection) = self.connections.get_mut(token.into()) {
                    connection.ready |= readiness;
                    self.queue(token.into());
                }
            }
        }
    }

    /// Expire: remembers that a timer fired.
    pub fn expired(&mut self, token: Token) {
        match token.kind {
            Kind::AdminListener => {
                if let Some(listener) = self.listeners.get_mut(token.into()) {
                    listener.fired();
                }
            }
            _ => {
                if let Some(connection) = self.connections.get_mut(token.into()) {
                    connection.fired();
                    self.queue(token.into());
                }
            }
        }
    }

    /// Api: takes clients in, and answers them as far as one turn allows.
    pub fn api(&mut self, reactor: &mut Reactor, house: &mut dyn House) {
        for key in self.listeners.keys() {
            self.accept(reactor, key);
        }
        let at = Moment {
            now: reactor.now(),
            wall: reactor.wall(),
            turns: reactor.turns(),
            longest_turn: reactor.longest_turn(),
            panics: self.panics,
        };
        let mut allowance = ALLOWANCE;
        // Those that want another turn queue up behind the ones that are here.
        for _ in 0..self.ready.len() {
            if allowance == 0 {
                return;
            }
            let Some(key) = self.ready.pop_front() else { return };
            self.serve(reactor, house, &at, key, &mut allowance);
        }
    }

    /// Flush: slots that were freed in this turn may be used again.
    pub fn flush(&mut self) {
        self.connections.reclaim();
        self.listeners.reclaim();
    }

    /// Whether anything can make progress without another event.
    pub fn has_ready(&self) -> bool {
        let can_accept =
            |(key, listener): (Key, &Listener)| listener.is_ready() && self.has_room(key);
        !self.ready.is_empty()
            || self.listeners.iter().any(can_accept)
            || self.connections.is_searching()
    }

    fn queue(&mut self, key: Key) {
        if let Some(connection) = self.connections.get_mut(key)
            && !std::mem::replace(&mut connection.is_queued, true)
        {
            self.ready.push_back(key);
        }
    }

    /// The connections of a listener.
    fn of(&self, listener: Key) -> impl Iterator<Item = (Key, &Connection)> {
        self.connections.iter().filter(move |(_, connection)| connection.listener == listener)
    }

    /// Its connection that may give way first.
    fn first_to_go(&self, listener: Key) -> Option<Key> {
        let silent = self.of(listener).filter_map(|(key, it)| Some((it.silent_since()?, key)));
        silent.min_by_key(|(since, _)| *since).map(|(_, key)| key)
    }

    fn has_room(&self, listener: Key) -> bool {
        self.of(listener).count() < CONNECTIONS || self.first_to_go(listener).is_some()
    }

    fn accept(&mut self, reactor: &mut Reactor, key: Key) {
        for _ in 0..ACCEPTS {
            if !self.has_room(key) {
                return;
            }
            let Some(listener) = self.listeners.get_mut(key).filter(|it| it.is_ready()) else {
                return;
            };
            match listener.accept() {
                Ok(Some(client)) => {
                    if self.of(key).count() >= CONNECTIONS
                        && let Some(oldest) = self.first_to_go(key)
                    {
                        self.close(reactor, oldest);
                    }
                    self.take_in(reactor, key, client);
                }
                Ok(None) => return,
                Err(error) if socket::is_of_one_connection(&error) => {}
                Err(error) => {
                    warn!("admin event=accept_failed listener={listener} error={}", quoted(error));
                    let (now, token) = (reactor.now(), key.token(Kind::AdminListener));
                    return listener.pause(now, &mut reactor.wheel, token);
                }
            }
        }
    }

    fn take_in(&mut self, reactor: &mut Reactor, listener: Key, client: Client) {
        let connection = Connection::new(client, listener, reactor.now());
        let key = self.connections.insert(connection);
        let Some(connection) = self.connections.get_mut(key) else { return };
        let token = key.token(Kind::AdminConnection);
        let both = Interest::READABLE | Interest::WRITABLE;
        match reactor.register(connection.socket().source(), token, both) {
            Ok(()) => connection.arm(&mut reactor.wheel, token),
            Err(error) => {
                warn!("admin event=dropped client={} error={}", connection.peer, quoted(error));
                self.close(reactor, key);
            }
        }
    }

    /// Serves one connection as far as it goes now.
    fn serve(
        &mut self,
        reactor: &mut Reactor,
        house: &mut dyn House,
        at: &Moment,
        key: Key,
        allowance: &mut usize,
    ) {
        loop {
            let inject = std::mem::take(&mut self.inject_panic);
            let Admin { api, connections, .. } = self;
            let Some(connection) = connections.get_mut(key) else { return };
            connection.is_queued = false;
            let served = catch_unwind(AssertUnwindSafe(|| {
                if inject {
                    fault::inject("a connection of the API");
                }
                connection.serve(api, &*house, at, &mut reactor.scratch, allowance)
            }));
            let verdict = match served {
                Ok(Ok(verdict)) => verdict,
                Ok(Err(error)) => {
                    debug!("admin event=lost client={} error={}", connection.peer, quoted(error));
                    Verdict::Close
                }
                Err(_) => {
                    let peer = &connection.peer;
                    error!("admin event=panic client={peer} effect=\"this connection is dropped\"");
                    self.panics = self.panics.saturating_add(1);
                    Verdict::Close
                }
            };
            match verdict {
                Verdict::Close => return self.close(reactor, key),
                Verdict::Order(order) => self.carry_out(house, at, key, order),
                Verdict::Wait | Verdict::Again => {
                    if let Some(connection) = self.connections.get_mut(key) {
                        connection.arm(&mut reactor.wheel, key.token(Kind::AdminConnection));
                    }
                    if verdict == Verdict::Again {
                        self.queue(key);
                    }
                    return;
                }
            }
        }
    }

    fn carry_out(&mut self, house: &mut dyn House, at: &Moment, key: Key, order: Order) {
        let Some(connection) = self.connections.get_mut(key) else { return };
        let answer = obey(order, house, at);
        let verb = match order.verb {
            Verb::Drain => "drain",
            Verb::Resume => "resume",
        };
        let prefix = order.prefix.map_or_else(|| "all".to_owned(), |prefix| prefix.to_string());
        let (peer, status) = (&connection.peer, answer.status);
        info!("admin event=order verb={verb} prefix={prefix} client={peer} status={status}");
        connection.answer(answer);
    }

    fn close(&mut self, reactor: &mut Reactor, key: Key) {
        if let Some(mut connection) = self.connections.remove(key) {
            connection.clear(&mut reactor.wheel);
        }
    }
}

/// What cannot be had and nobody asked for is told, and left out.
fn or_told(
    opened: Result<Listener, String>,
    is_required: bool,
) -> Result<Option<Listener>, String> {
    match opened {
        Err(problem) if !is_required => {
            warn!("admin event=not_listening error={}", quoted(problem));
            Ok(None)
        }
        other => other.map(Some),
    }
}

#[cfg(test)]
mod tests {
    use std::io::{ErrorKind, Read, Write};
    use std::net::{Shutdown, TcpListener, TcpStream};
    use std::os::unix::net::UnixStream;
    use std::path::PathBuf;
    use std::time::Duration;

    use super::*;
    use crate::admin::testing::{Doll, furnished};
    use crate::reactor::poll::{self, Phases};

    const ASK: &[u8] = b"GET /api/version HTTP/1.1\r\nHost: localhost\r\n\r\n";

    struct Household {
        admin: Admin,
        doll: Doll,
    }

    impl Phases for Household {
        fn collect(&mut self, _: &mut Reactor, token: Token, readiness: Readiness) {
            self.admin.collect(token, readiness);
        }
        fn expired(&mut self, _: &mut Reactor, token: Token) {
            self.admin.expired(token);
        }
        fn control(&mut self, _: &mut Reactor) {}
        fn apply(&mut self, _: &mut Reactor) {}
        fn data(&mut self, _: &mut Reactor) {}
        fn accept(&mut self, _: &mut Reactor) {}
        fn api(&mut self, reactor: &mut Reactor) {
            self.admin.api(reactor, &mut self.doll);
        }
        fn flush(&mut self, _: &mut Reactor) {
            self.admin.flush();
        }
        fn has_ready(&self) -> bool {
            self.admin.has_ready()
        }
        fn exit_code(&self) -> Option<i32> {
            None
        }
    }

    struct Lab {
        reactor: Reactor,
        household: Household,
    }

    fn address(text: &str) -> Option<AddressSettings> {
        let address = text.parse().unwrap();
        Some(AddressSettings { address, dual_stack: false, is_required: true })
    }

    fn path(name: &str) -> PathBuf {
        let name = format!("burgee-door-{}-{name}", std::process::id());
        std::env::temp_dir().join(name).join("control.sock")
    }

    fn at_path(path: &std::path::Path) -> Option<SocketSettings> {
        Some(SocketSettings { path: path.to_str().unwrap().to_owned(), is_required: true })
    }

    fn clean(path: &std::path::Path) {
        std::fs::remove_dir_all(path.parent().unwrap()).unwrap();
    }

    impl Lab {
        fn new(settings: AdminSettings) -> Lab {
            let mut reactor = Reactor::new().unwrap();
            let admin = Admin::open(&mut reactor, settings).unwrap();
            Lab { reactor, household: Household { admin, doll: furnished() } }
        }

        fn on_any_port() -> Lab {
            Lab::new(AdminSettings { address: address("127.0.0.1:0"), ..AdminSettings::default() })
        }

        /// A turn, or none if there is nothing to do and nothing comes.
        fn turn(&mut self) {
            // A timer of our own, so that the poll does not wait for ever.
            let soon = self.reactor.now() + Duration::from_millis(10);
            let timer = self.reactor.wheel.insert(soon, Token::new(Kind::Daemon, 0, 0));
            poll::turn(&mut self.reactor, &mut self.household).unwrap();
            self.reactor.wheel.cancel(timer);
        }

        fn turns(&mut self, count: usize) {
            (0..count).for_each(|_| self.turn());
        }

        fn connect(&self) -> TcpStream {
            let stream = TcpStream::connect(self.household.admin.listening_on().unwrap()).unwrap();
            stream.set_nonblocking(true).unwrap();
            stream
        }

        /// All that arrives until the other side closes, or until this text.
        fn read(&mut self, stream: &mut impl Read, until: &str) -> String {
            let mut text = Vec::new();
            loop {
                let mut place = [0; 8192];
                match stream.read(&mut place) {
                    Ok(0) => break,
                    Ok(count) => text.extend_from_slice(&place[..count]),
                    Err(error) if error.kind() == ErrorKind::WouldBlock => self.turn(),
                    Err(error) if error.kind() == ErrorKind::ConnectionReset => break,
                    Err(error) => panic!("{error}"),
                }
                if !until.is_empty() && text.ends_with(until.as_bytes()) {
                    break;
                }
            }
            String::from_utf8(text).unwrap()
        }

        fn connections(&self) -> usize {
            self.household.admin.connections.len()
        }
    }

    #[test]
    fn clients_are_answered_over_both_sockets() {
        let path = path("both");
        let settings = AdminSettings {
            address: address("127.0.0.1:0"),
            socket: at_path(&path),
            ..Default::default()
        };
        let mut lab = Lab::new(settings);
        let mut tcp = lab.connect();
        tcp.write_all(ASK).unwrap();
        let answer = lab.read(&mut tcp, "0.1.0");
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
        tcp.write_all(ASK).unwrap();
        assert_eq!(lab.read(&mut tcp, "0.1.0").lines().next(), answer.lines().next());
        let mut unix = UnixStream::connect(&path).unwrap();
        unix.set_nonblocking(true).unwrap();
        let order = b"POST /api/drain HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
        unix.write_all(order).unwrap();
        let answer = lab.read(&mut unix, "");
        assert!(answer.ends_with("{\"message\":\"Drain it is\"}\n"), "{answer}");
        assert_eq!(lab.household.doll.orders.len(), 1);
        drop((tcp, unix));
        lab.turns(3);
        assert_eq!((lab.connections(), lab.reactor.wheel.len()), (0, 0), "nothing is left");
        drop(lab);
        assert!(!path.exists(), "the path is gone with the listener");
        clean(&path);
    }

    #[test]
    fn a_client_that_takes_nothing_holds_nobody_up() {
        let mut lab = Lab::on_any_port();
        lab.household.doll.routes = vec![lab.household.doll.routes[0].clone(); 60_000];
        let mut slow = lab.connect();
        slow.write_all(b"GET /api/routes HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
        lab.turns(20);
        let mut other = lab.connect();
        other.write_all(ASK).unwrap();
        assert!(lab.read(&mut other, "0.1.0").ends_with("0.1.0"));
        // Then the first one is all there as well.
        let text = lab.read(&mut slow, "\r\n0\r\n\r\n");
        assert_eq!(text.matches("\"cmd\":\"route add\"").count(), 60_000);
    }

    #[test]
    fn of_too_many_the_longest_idle_gives_way() {
        let path = path("many");
        let settings = AdminSettings {
            address: address("127.0.0.1:0"),
            socket: at_path(&path),
            ..Default::default()
        };
        let mut lab = Lab::new(settings);
        let mut clients: Vec<TcpStream> = (0..CONNECTIONS).map(|_| lab.connect()).collect();
        while lab.connections() < CONNECTIONS {
            lab.turn();
        }
        // The first one is in the middle of a request, so that it may stay.
        clients[0].write_all(b"GET /").unwrap();
        lab.turns(2);
        let mut new = lab.connect();
        new.write_all(ASK).unwrap();
        assert!(lab.read(&mut new, "0.1.0").ends_with("0.1.0"));
        assert_eq!(lab.connections(), CONNECTIONS);
        assert_eq!(lab.read(&mut clients[1], ""), "", "closed without a word");
        let rest = b"api/version HTTP/1.1\r\nHost: localhost\r\n\r\n";
        clients[0].write_all(rest).unwrap();
        assert!(lab.read(&mut clients[0], "0.1.0").ends_with("0.1.0"));
        // When nobody is idle, who said half of a request goes, and the operator
        // need not care.
        clients.remove(1);
        let mut busy = clients;
        busy.push(new);
        busy[1].write_all(b"GET /").unwrap();
        lab.turns(2);
        busy.iter_mut().for_each(|client| client.write_all(b"GET /").unwrap());
        lab.turns(5);
        let mut operator = UnixStream::connect(&path).unwrap();
        operator.set_nonblocking(true).unwrap();
        operator.write_all(ASK).unwrap();
        assert!(lab.read(&mut operator, "0.1.0").ends_with("0.1.0"));
        let mut another = lab.connect();
        another.write_all(ASK).unwrap();
        assert!(lab.read(&mut another, "0.1.0").ends_with("0.1.0"));
        assert_eq!(lab.read(&mut busy[1], ""), "", "it had the longest time");
        assert!(!lab.household.has_ready(), "nobody spins");
        clean(&path);
    }

    #[test]
    fn a_panic_costs_one_connection() {
        let mut lab = Lab::on_any_port();
        let mut other = lab.connect();
        lab.turns(2);
        lab.household.admin.inject_panic();
        let mut client = lab.connect();
        client.write_all(ASK).unwrap();
        assert_eq!(lab.read(&mut client, ""), "");
        assert_eq!(lab.household.admin.panics(), 1);
        other.write_all(ASK).unwrap();
        assert!(lab.read(&mut other, "0.1.0").ends_with("0.1.0"));
        // Also one in the house, which only was asked.
        lab.household.doll.is_broken = true;
        other.write_all(ASK).unwrap();
        assert_eq!(lab.read(&mut other, ""), "");
        assert_eq!((lab.household.admin.panics(), lab.connections()), (2, 0));
    }

    #[test]
    fn an_answer_arrives_although_more_was_sent_than_was_read() {
        let mut lab = Lab::on_any_port();
        let mut client = lab.connect();
        let head =
            b"POST /api/drain HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9999999\r\n\r\n";
        client.write_all(head).unwrap();
        client.write_all(&[b'x'; 100_000]).unwrap();
        let text = lab.read(&mut client, "");
        assert!(text.starts_with("HTTP/1.1 413 "), "{text}");
        // It has not closed yet; we do.
        client.shutdown(Shutdown::Write).unwrap();
        lab.turns(5);
        assert_eq!(lab.connections(), 0);
    }

    #[test]
    fn listeners_change_and_connections_stay() {
        let (first, second) = (path("first"), path("second"));
        let settings = AdminSettings {
            address: address("127.0.0.1:0"),
            socket: at_path(&first),
            ..AdminSettings::default()
        };
        let mut lab = Lab::new(settings);
        let old = lab.household.admin.listening_on().unwrap();
        let mut client = lab.connect();
        lab.turns(2);
        let api = ApiSettings { path: "/x".into(), ..ApiSettings::default() };
        let any = format!("0.0.0.0:{}", old.port());
        let settings =
            AdminSettings { address: address(&any), socket: at_path(&second), api: api.clone() };
        let prepared = lab.household.admin.prepare_change(settings).unwrap();
        assert!(second.exists() && first.exists());
        let problems = lab.household.admin.commit_change(&mut lab.reactor, prepared);
        assert_eq!(problems, Vec::<String>::new());
        assert!(!first.exists());
        let now = lab.household.admin.listening_on().unwrap();
        assert_eq!(now, any.parse().unwrap(), "the same port");
        client.write_all(b"GET /x/api/version HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
        assert!(lab.read(&mut client, "0.1.0").ends_with("0.1.0"), "under the new settings");
        // What stays is not opened anew; what is wanted no more goes.
        let settings = AdminSettings { address: address(&any), socket: None, api };
        let prepared = lab.household.admin.prepare_change(settings).unwrap();
        lab.household.admin.commit_change(&mut lab.reactor, prepared);
        assert_eq!(lab.household.admin.listening_on(), Some(now));
        assert!(!second.exists());
        let none = lab.household.admin.prepare_change(AdminSettings::default()).unwrap();
        lab.household.admin.commit_change(&mut lab.reactor, none);
        assert_eq!(lab.household.admin.listening_on(), None);
        assert!(TcpStream::connect(("127.0.0.1", now.port())).is_err());
        clean(&first);
        clean(&second);
    }

    #[test]
    fn what_is_taken_is_an_error_only_where_it_was_asked_for() {
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let at = taken.local_addr().unwrap();
        let mut wanted = AddressSettings { address: at, dual_stack: false, is_required: true };
        let mut reactor = Reactor::new().unwrap();
        let mut open = |wanted| {
            let settings = AdminSettings { address: Some(wanted), ..AdminSettings::default() };
            Admin::open(&mut reactor, settings)
        };
        let problem = open(wanted).unwrap_err();
        assert!(problem.contains(&at.to_string()) && problem.contains("ui.addr"), "{problem}");
        wanted.is_required = false;
        assert_eq!(open(wanted).unwrap().listening_on(), None);
        let path = "/proc/burgee/control.sock".to_owned();
        let socket = |is_required| Some(SocketSettings { path: path.clone(), is_required });
        let of = |is_required| AdminSettings { socket: socket(is_required), ..Default::default() };
        let problem = Admin::open(&mut reactor, of(true)).unwrap_err();
        assert!(problem.starts_with("ui.socket: "), "{problem}");
        assert!(Admin::open(&mut reactor, of(false)).is_ok());
    }

    /// The timers of a connection, under a clock that the test moves.
    #[test]
    fn silence_has_its_limits() {
        let (ours, theirs) = std::os::unix::net::UnixStream::pair().unwrap();
        for stream in [&ours, &theirs] {
            stream.set_nonblocking(true).unwrap();
        }
        let mut theirs = theirs;
        let doll = furnished();
        let socket = listener::Socket::Unix(mio::net::UnixStream::from_std(ours));
        let client = Client { socket, peer: "test".into(), local: None };
        let none = Key { index: 0, generation: 0 };
        let start = crate::reactor::Time::ZERO;
        let mut connection = Connection::new(client, none, start);
        let mut serve = |after: u64| {
            let now = start + Duration::from_secs(after);
            let at = Moment { now, ..crate::admin::testing::MOMENT };
            connection.ready |= Readiness::READABLE;
            let mut scratch = vec![0; 32 * 1024];
            connection.serve(&ApiSettings::default(), &doll, &at, &mut scratch, &mut 500).unwrap()
        };
        assert_eq!(serve(29), Verdict::Wait, "idle");
        theirs.write_all(b"GET").unwrap();
        assert_eq!(serve(29), Verdict::Wait);
        theirs.write_all(b" /api/version").unwrap();
        assert_eq!(serve(38), Verdict::Wait, "a request that comes slowly");
        theirs.write_all(b" HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
        assert_eq!(serve(39), Verdict::Wait, "just in time");
        assert_eq!(serve(68), Verdict::Wait, "idle again");
        assert_eq!(serve(69), Verdict::Close);
        theirs.write_all(b"GET").unwrap();
        assert_eq!(serve(69), Verdict::Wait);
        theirs.write_all(b" ").unwrap();
        assert_eq!(serve(79), Verdict::Close, "octets alone are no reason to wait longer");
    }
}
