//! Serving one connection as far as it goes now: what it wants is done, from
//! the choice of its target to its end.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};

use log::{debug, error};

use super::access_log::Ending as Why;
use super::limits::Scope;
use super::pump::{Budget, Tools};
use super::targets::{Pick, Picked, Targets};
use super::tcp::{Ending, Manner, Verdict};
use super::{Proxy, count, register};
use crate::reactor::log_sink::quoted;
use crate::reactor::slab::Key;
use crate::reactor::socket::{self, ConnectOptions};
use crate::reactor::{Kind, Reactor, Time};

/// What a dial costs of a turn's budget, in steps: it has as many system calls.
const DIAL_STEPS: usize = 4;

/// What a close costs of it: two sockets, each with what is queued in it.
pub(super) const CLOSE_STEPS: usize = 4;

impl Proxy {
    /// Serves one connection as far as it goes now. Its own handling runs
    /// inside an unwind boundary; the questions to `targets`, which all
    /// connections share, do not.
    pub(super) fn serve(
        &mut self,
        reactor: &mut Reactor,
        targets: &mut dyn Targets,
        key: Key,
        budget: &mut Budget,
    ) {
        loop {
            let Some(connection) = self.connections.get_mut(key) else { return };
            let now = reactor.now();
            let mut tools = Tools {
                now,
                scratch: &mut reactor.scratch,
                small: &mut reactor.pool,
                large: &mut self.large,
                pipes: &mut self.pipes,
                counters: &mut self.counters,
                budget: &mut *budget,
            };
            let advance = AssertUnwindSafe(|| connection.advance(&mut tools));
            let Ok(verdict) = catch_unwind(advance) else {
                return self.drop_after_panic(reactor, key);
            };
            match verdict {
                Verdict::Wait => {
                    connection.arm(&mut reactor.wheel, key.token(Kind::Client));
                    // Who says nothing takes a place as well.
                    if let Some(ending) = self.refuse_source(key) {
                        self.close(reactor, key, ending);
                    }
                    return;
                }
                Verdict::Again => {
                    connection.arm(&mut reactor.wheel, key.token(Kind::Client));
                    return self.queue(key);
                }
                Verdict::Dial => {
                    budget.spend(DIAL_STEPS, 0);
                    self.dial(reactor, targets, key);
                }
                Verdict::Connected(target) => targets.dial_succeeded(now, target),
                Verdict::DialFailed(target, error) => {
                    self.dial_failed(now, targets, key, &target, &error);
                }
                Verdict::Close(ending) => {
                    budget.spend(CLOSE_STEPS, 0);
                    return self.close(reactor, key, ending);
                }
            }
        }
    }

    /// Asks for a target and starts to dial it.
    fn dial(&mut self, reactor: &mut Reactor, targets: &mut dyn Targets, key: Key) {
        if let Some(ending) = self.refuse_source(key) {
            return self.close(reactor, key, ending);
        }
        // What ended in this turn leaves its place to this one.
        self.tell_released(targets);
        let now = reactor.now();
        let Some(connection) = self.connections.get(key) else { return };
        let pick = match connection.may_dial() {
            true => targets.pick(now, &connection.asker(), connection.tried()),
            false => Pick::NoTarget,
        };
        let why = match pick {
            Pick::Target(picked) => return self.dial_target(reactor, targets, key, picked),
            Pick::NoRoute => Why::NoRoute,
            Pick::NoTarget => Why::NoTarget,
            Pick::Denied => Why::Denied,
            Pick::AtLimit => Why::Limit(Scope::Service),
        };
        self.close(reactor, key, Ending::unserved(why));
    }

    fn dial_target(
        &mut self,
        reactor: &mut Reactor,
        targets: &mut dyn Targets,
        key: Key,
        picked: Picked,
    ) {
        let now = reactor.now();
        // What follows a header must not wait until that is acknowledged; else
        // the option can wait for a second write, which may never come.
        let nodelay = picked.header.is_some();
        let options = ConnectOptions { nodelay, ..ConnectOptions::default() };
        let dialled = socket::connect(picked.address, &options).and_then(|mut stream| {
            register(reactor, &mut stream, key.token(Kind::Upstream))?;
            Ok(stream)
        });
        let Some(connection) = self.connections.get_mut(key) else { return };
        match dialled {
            Ok(stream) => connection.dialing(now, stream, picked, self.dial_timeout),
            Err(error) if socket::is_exhaustion(&error) => {
                // Not the target's fault.
                let address = picked.address;
                self.released.push(picked);
                count(&mut self.counters.dials_exhausted);
                debug!("proxy event=dial_exhausted target={address} error={}", quoted(&error));
                if error.kind() == io::ErrorKind::AddrNotAvailable {
                    // Ports run out for each target by itself.
                    return connection.dial_failed(address);
                }
                // Whoever comes next waits in the backlog until something is
                // given back.
                self.close(reactor, key, Ending::unserved(Why::Exhausted));
                for (key, listener) in self.listeners.iter_mut() {
                    listener.pause(now, &mut reactor.wheel, key.token(Kind::ProxyListener));
                }
            }
            Err(error) => self.dial_failed(now, targets, key, &picked, &error.to_string()),
        }
    }

    fn dial_failed(
        &mut self,
        now: Time,
        targets: &mut dyn Targets,
        key: Key,
        target: &Picked,
        error: &str,
    ) {
        count(&mut self.counters.dial_failures);
        if let Some(connection) = self.connections.get_mut(key) {
            connection.dial_failed(target.address);
        }
        targets.dial_failed(now, target, error);
    }

    fn drop_after_panic(&mut self, reactor: &mut Reactor, key: Key) {
        count(&mut self.counters.panics);
        if let Some(connection) = self.connections.get(key) {
            let peer = connection.peer();
            error!("proxy event=panic client={peer} effect=\"this connection is dropped\"");
        }
        self.close(reactor, key, Ending::reset(Why::Fault));
    }

    /// Ends a connection, whatever it is at.
    pub(super) fn close(&mut self, reactor: &mut Reactor, key: Key, ending: Ending) {
        let Some(mut connection) = self.connections.remove(key) else { return };
        self.counters.ended(ending.why, ending.manner == Manner::Reset);
        let record = || connection.record(reactor.now(), reactor.wall(), ending.why);
        if log::log_enabled!(log::Level::Debug) {
            let record = record();
            debug!(
                "proxy event=closed client={} target={} ending={} up={} down={}",
                record.client,
                record.target.map_or_else(|| "none".to_owned(), |target| target.to_string()),
                record.ending.name(),
                record.bytes_received,
                record.bytes_sent
            );
        }
        if let Some(log) = &mut self.access_log {
            log.write(&record());
        }
        self.released.extend(connection.target().cloned());
        if ending.manner == Manner::Unserved {
            connection.discard_input(&mut reactor.scratch);
        }
        let (small, wheel) = (&mut reactor.pool, &mut reactor.wheel);
        let (large, pipes) = (&mut self.large, &mut self.pipes);
        let permit = connection.close(ending.manner, small, large, pipes, wheel);
        permit.into_iter().for_each(|permit| self.admission.leave(permit));
        if self.connections.is_empty() {
            self.pipes.forget_spare();
        }
    }
}
