//! Taking clients in: from a listener into a slot, as far as the limits allow.

use log::{debug, warn};

use super::access_log::Ending as Why;
use super::limits::Scope;
use super::listener::Accepted;
use super::tcp::{Arrival, Connection, Ending};
use super::{ACCEPTS_AT_CLOSE, ACCEPTS_PER_TURN, Proxy, TURN_BUDGET, Targets, count, register};
use crate::reactor::log_sink::quoted;
use crate::reactor::slab::Key;
use crate::reactor::{Kind, Reactor, Readiness};

/// What a client that is taken in costs of a turn's budget, in steps.
const ACCEPT_STEPS: usize = 4;

/// What an attempt to take a client in came to.
enum Taken {
    Client(Key),
    Failed,
    NoMore,
}

impl Proxy {
    /// Accept: takes clients in, a bounded number from each listener, and none
    /// above the limits.
    pub fn accept(&mut self, reactor: &mut Reactor, targets: &mut dyn Targets) {
        self.tell_released(targets);
        if !self.can_accept() {
            return;
        }
        let mut budget = TURN_BUDGET;
        for _ in 0..self.listeners.len() {
            let key = self.listeners.key_from(self.next).or_else(|| self.listeners.key_from(0));
            let Some(key) = key.filter(|_| !budget.is_spent()) else { return };
            self.next = key.index.saturating_add(1);
            for _ in 0..ACCEPTS_PER_TURN {
                match self.accept_one(reactor, key, false) {
                    Taken::Client(client) => {
                        budget.spend(ACCEPT_STEPS, 0);
                        self.serve(reactor, targets, client, &mut budget);
                    }
                    Taken::Failed => {}
                    Taken::NoMore => break,
                }
            }
        }
    }

    /// Whether a client could be taken in, if one waits.
    pub(super) fn can_accept(&self) -> bool {
        self.connections.len() < self.limit
            && self
                .listeners
                .iter()
                .any(|(_, listener)| listener.is_ready() && self.admission.has_room(listener.id()))
    }

    /// Closes a listener, after taking in who waits at it.
    pub(super) fn close_listener(&mut self, reactor: &mut Reactor, key: Key) {
        if let Some(listener) = self.listeners.get_mut(key) {
            // Whoever came since the poll has made no event yet.
            listener.event(Readiness::READABLE);
        }
        for _ in 0..ACCEPTS_AT_CLOSE {
            // They are dialled in the data phases that follow, within
            // their budgets.
            match self.accept_one(reactor, key, true) {
                Taken::Client(client) => self.queue(client),
                Taken::Failed => {}
                Taken::NoMore => break,
            }
        }
        if let Some(mut listener) = self.listeners.remove(key) {
            self.admission.remove_listener(listener.id());
            listener.clear(&mut reactor.wheel);
        }
    }

    /// Accepts one client, unless a limit is reached. A listener that closes goes
    /// over its own, because who waits there would be reset.
    fn accept_one(&mut self, reactor: &mut Reactor, key: Key, closes: bool) -> Taken {
        if self.connections.len() >= self.limit {
            if !std::mem::replace(&mut self.at_limit, true) {
                count(&mut self.counters.limit_reached);
                warn!(
                    "proxy event=limit_reached connections={} effect=\"who comes now waits\" \
                     key=proxy.connectionlimit",
                    self.limit
                );
            }
            return Taken::NoMore;
        }
        self.at_limit = false;
        let Some(listener) = self.listeners.get_mut(key).filter(|listener| listener.is_ready())
        else {
            return Taken::NoMore;
        };
        let has_room = closes || self.admission.has_room(listener.id());
        if listener.note_limit(!has_room) {
            count(&mut self.counters.limit_reached);
            warn!(
                "proxy event=limit_reached listener={} connections={} effect=\"who comes now waits\" \
                 key=\"connections= of proxy.addr\"",
                listener.address(),
                self.admission.at_listener(listener.id())
            );
        }
        if !has_room {
            return Taken::NoMore;
        }
        let now = reactor.now();
        match listener.accept(now) {
            Accepted::Client(stream, peer) => {
                let local = listener.local_address(&stream);
                let arrival = Arrival { stream, peer, local, limits: listener.limits() };
                self.admit(reactor, key, arrival)
            }
            Accepted::Nobody => Taken::NoMore,
            Accepted::Failed => {
                count(&mut self.counters.accept_errors);
                Taken::Failed
            }
            Accepted::Paused => {
                count(&mut self.counters.accept_errors);
                listener.pause(now, &mut reactor.wheel, key.token(Kind::ProxyListener));
                Taken::NoMore
            }
        }
    }

    /// Gives a client a slot and registers it, once for its whole life.
    fn admit(&mut self, reactor: &mut Reactor, listener: Key, arrival: Arrival) -> Taken {
        let Some(listener) = self.listeners.get(listener) else { return Taken::Failed };
        count(&mut self.counters.accepted);
        let permit = self.admission.admit(listener.id());
        let peer = arrival.peer;
        let mut connection = Connection::new(reactor.now(), arrival, permit);
        connection.sabotaged = std::mem::take(&mut self.inject_panic);
        let expected = connection.expect(reactor.now(), listener.expected());
        let listener = listener.address();
        let key = self.connections.insert(connection);
        if let Err(refusal) = expected {
            debug!(
                "proxy event=refused client={peer} listener={listener} reason={}",
                quoted(refusal)
            );
            self.close(reactor, key, Ending::unserved(refusal.ending()));
            return Taken::Failed;
        }
        let Some(connection) = self.connections.get_mut(key) else { return Taken::Failed };
        let token = key.token(Kind::Client);
        if let Err(error) = register(reactor, connection.client_stream(), token) {
            debug!("proxy event=register_failed error={}", quoted(error));
            count(&mut self.counters.accept_errors);
            self.close(reactor, key, Ending::unserved(Why::Exhausted));
            return Taken::Failed;
        }
        Taken::Client(key)
    }

    /// Counts a connection as one of its source, which is known by now. `None`:
    /// it may stay.
    pub(super) fn refuse_source(&mut self, key: Key) -> Option<Ending> {
        let connection = self.connections.get_mut(key)?;
        let (source, listener) = (connection.peer(), connection.local());
        let permit = connection.uncounted()?;
        let refusal = self.admission.admit_source(permit, source.ip()).err()?;
        debug!("proxy event=refused client={source} listener={listener} reason=\"{refusal}\"");
        Some(Ending::unserved(Why::Limit(Scope::Source)))
    }
}
