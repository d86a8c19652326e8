//! The end of a connection: what is left to say goes out, the writing half is
//! closed, and the neighbour's end is awaited for a moment. Closing with unread
//! input would send a reset, and the neighbour's kernel would throw the
//! NOTIFICATION away with it.

use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::time::Duration;

use mio::net::TcpStream;

use super::{READ_BUDGET, Transport, Use};
use crate::bgp::message::notification::Notification;
use crate::bgp::peer::Side;
use crate::bgp::speaker::PeerId;
use crate::reactor::slab::Key;
use crate::reactor::timer_wheel::Alarm;
use crate::reactor::{Reactor, Readiness};

/// How long the neighbour may take to read our last message and close.
const LINGER: Duration = Duration::from_secs(1);

/// Most connections that linger at a time; beyond it they are closed at once.
const LINGER_LIMIT: usize = 64;

impl Transport {
    pub(super) fn linger(&mut self, reactor: &mut Reactor, key: Key, rest: Vec<u8>) {
        let Some(connection) = self.connections.get_mut(key) else { return };
        if connection.ended || self.lingering >= LINGER_LIMIT {
            let _ = connection.stream.write(&rest);
            return self.drop_connection(reactor, key);
        }
        if rest.is_empty() {
            // An error means that the end is there, which reading finds.
            let _ = connection.stream.shutdown(Shutdown::Write);
        }
        let until = reactor.now() + LINGER;
        let mut alarm = Alarm::new();
        alarm.set(&mut reactor.wheel, key.token(self.settings.kinds.session), Some(until));
        connection.used_for = Use::Lingering { rest, until, alarm };
        connection.readiness |= Readiness::READABLE;
        self.lingering = self.lingering.saturating_add(1);
        self.run_lingering(reactor, key);
    }

    /// Closes a connection of a neighbour that gets no session, and says why.
    /// Half of the places are kept for the ends of sessions, so that newcomers
    /// cannot take them all.
    pub(super) fn refuse(
        &mut self,
        reactor: &mut Reactor,
        stream: TcpStream,
        id: PeerId,
        why: &Notification,
    ) {
        if self.lingering >= LINGER_LIMIT / 2 {
            return;
        }
        let mut rest = Vec::new();
        why.encode(&mut rest);
        if let Ok(key) = self.adopt(reactor, stream, Use::Open(id, Side::Incoming)) {
            self.linger(reactor, key, rest);
        }
    }

    pub(super) fn run_lingering(&mut self, reactor: &mut Reactor, key: Key) {
        let Some(connection) = self.connections.get_mut(key) else { return };
        let Use::Lingering { rest, until, .. } = &mut connection.used_for else { return };
        let mut over = reactor.now() >= *until;
        if !rest.is_empty() {
            match connection.stream.write(rest) {
                Ok(count) => drop(rest.drain(..count.min(rest.len()))),
                Err(error) => over |= error.kind() != io::ErrorKind::WouldBlock,
            }
            if rest.is_empty() {
                over |= connection.stream.shutdown(Shutdown::Write).is_err();
            }
        }
        if let Some(buffer) = reactor.scratch.get_mut(..READ_BUDGET) {
            match connection.stream.read(buffer) {
                Ok(0) => over = true,
                Ok(_) => self.enqueue(key),
                Err(error) => over |= error.kind() != io::ErrorKind::WouldBlock,
            }
        }
        if over {
            self.drop_connection(reactor, key);
        }
    }
}
