//! `proto=tcp-dynamic`: listeners on the ports that the routes name, opened and
//! closed as routes come and go.

use std::collections::{HashSet, VecDeque};
use std::net::SocketAddr;
use std::time::Duration;

use log::{info, warn};

use super::listener::Listener;
use super::{ListenerSettings, Proxy, ProxySettings};
use crate::reactor::log_sink::quoted;
use crate::reactor::slab::Key;
use crate::reactor::timer_wheel::Alarm;
use crate::reactor::{Kind, Reactor, Token};

/// Most listeners that are opened or closed in one turn: about half a
/// millisecond.
const CHANGES_PER_TURN: usize = 16;

/// How long it takes until those that could not be opened are tried again:
/// often enough for a port that another process leaves.
const RETRY: Duration = Duration::from_secs(5);

/// No listener has this place.
const TIMER: Token = Token::new(Kind::ProxyListener, 0, u32::MAX);

/// What is still to be done until the listeners are those of the routes.
#[derive(Debug)]
pub(super) struct Dynamic {
    /// One listener each for every port.
    templates: Vec<ListenerSettings>,
    ports: Vec<u16>,
    closing: VecDeque<Key>,
    opening: VecDeque<ListenerSettings>,
    /// Those that could not be opened, told once each.
    failed: HashSet<SocketAddr>,
    alarm: Alarm,
    /// One was opened or closed, and nobody was told.
    changed: bool,
}

impl Dynamic {
    pub(super) fn new() -> Dynamic {
        Dynamic {
            templates: Vec::new(),
            ports: Vec::new(),
            closing: VecDeque::new(),
            opening: VecDeque::new(),
            failed: HashSet::new(),
            alarm: Alarm::new(),
            changed: false,
        }
    }

    /// Whether something is still to be opened or closed.
    pub(super) fn is_changing(&self) -> bool {
        !self.opening.is_empty() || !self.closing.is_empty()
    }

    /// Opens nothing any more.
    pub(super) fn stop(&mut self, reactor: &mut Reactor) {
        self.alarm.clear(&mut reactor.wheel);
        *self = Dynamic::new();
    }
}

impl Proxy {
    /// Says which ports the routes name, sorted. They are opened and closed in
    /// the data phases to come.
    pub fn set_ports(&mut self, ports: Vec<u16>) {
        if self.dynamic.ports != ports {
            self.dynamic.ports = ports;
            self.plan_ports();
        }
    }

    /// Opens and closes all of them at once: for the start.
    pub fn change_all_ports(&mut self, reactor: &mut Reactor) {
        while self.dynamic.is_changing() {
            self.change_ports(reactor);
        }
    }

    /// How many listeners there are on ports of the routes; `None` where none is
    /// to be.
    pub fn dynamic_listeners(&self) -> Option<usize> {
        let open = || self.listeners.iter().filter(|(_, it)| it.is_dynamic()).count();
        (!self.dynamic.templates.is_empty()).then(open)
    }

    /// Whether the answer to [`Proxy::dynamic_listeners`] is another one than at
    /// the last call.
    pub fn take_listeners_changed(&mut self) -> bool {
        std::mem::take(&mut self.dynamic.changed)
    }

    /// Takes other templates.
    pub(super) fn set_templates(&mut self, settings: &ProxySettings) {
        for (_, listener) in self.listeners.iter_mut().filter(|(_, it)| it.is_dynamic()) {
            let wanted = settings.dynamic.iter().find(|it| is_of(listener, it));
            if let Some(template) = wanted {
                let address =
                    SocketAddr::new(template.address.ip(), listener.asked_address().port());
                let own = ListenerSettings { address, ..template.clone() };
                self.admission.set_listener_limit(listener.id(), own.connection_limit);
                listener.change(&own, self.silences);
            }
        }
        self.dynamic.templates.clone_from(&settings.dynamic);
        self.plan_ports();
    }

    /// Whether the timer was the one of ports that could not be opened.
    pub(super) fn retry_ports(&mut self, token: Token) -> bool {
        if token != TIMER {
            return false;
        }
        self.dynamic.alarm.fired();
        self.plan_ports();
        true
    }

    /// Finds out what is to be opened and closed. Ports that another listener
    /// has are left to it.
    fn plan_ports(&mut self) {
        let taken: HashSet<u16> = self.static_listeners().map(|it| it.address().port()).collect();
        let ports = self.dynamic.ports.iter().filter(|port| !taken.contains(port));
        let mut wanted: Vec<ListenerSettings> = Vec::new();
        for port in ports {
            wanted.extend(self.dynamic.templates.iter().map(|template| ListenerSettings {
                address: SocketAddr::new(template.address.ip(), *port),
                ..template.clone()
            }));
        }
        let addresses: HashSet<SocketAddr> = wanted.iter().map(|it| it.address).collect();
        let is_wanted = |it: &Listener| {
            let template = self.dynamic.templates.iter().any(|template| is_of(it, template));
            template && addresses.contains(&it.asked_address())
        };
        let (mut open, mut closing) = (HashSet::new(), VecDeque::new());
        for (key, listener) in self.listeners.iter().filter(|(_, it)| it.is_dynamic()) {
            if is_wanted(listener) {
                open.insert(listener.asked_address());
            } else {
                closing.push_back(key);
            }
        }
        wanted.retain(|settings| !open.contains(&settings.address));
        self.dynamic.failed.retain(|address| addresses.contains(address));
        self.dynamic.opening = wanted.into();
        self.dynamic.closing = closing;
    }

    /// Opens and closes some listeners.
    pub(super) fn change_ports(&mut self, reactor: &mut Reactor) {
        for _ in 0..CHANGES_PER_TURN {
            if let Some(key) = self.dynamic.closing.pop_front() {
                let Some(listener) = self.listeners.get(key) else { continue };
                info!(
                    "proxy event=not_listening address={} reason=\"no route\"",
                    listener.address()
                );
                self.close_listener(reactor, key);
                self.dynamic.changed = true;
            } else if let Some(settings) = self.dynamic.opening.pop_front() {
                self.open_port(reactor, &settings);
            } else {
                return;
            }
        }
    }

    fn open_port(&mut self, reactor: &mut Reactor, settings: &ListenerSettings) {
        let address = settings.address;
        let opened = Listener::bind(settings, self.silences)
            .and_then(|listener| self.listen(reactor, listener));
        match opened {
            Ok(()) => {
                self.dynamic.failed.remove(&address);
                self.dynamic.changed = true;
                info!("proxy event=listening address={address} reason=route");
            }
            Err(problem) => {
                if self.dynamic.failed.insert(address) {
                    warn!(
                        "proxy event=not_listening address={address} error={} effect=\"it is \
                         tried again\"",
                        quoted(problem)
                    );
                }
                let again = reactor.now() + RETRY;
                self.dynamic.alarm.set(&mut reactor.wheel, TIMER, Some(again));
            }
        }
    }
}

/// Whether a listener's socket is one that this template asks for.
fn is_of(listener: &Listener, template: &ListenerSettings) -> bool {
    listener.asked_address().ip() == template.address.ip()
        && listener.is_dual_stack() == template.dual_stack
}
