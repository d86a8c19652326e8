//! One client of the API: its socket, and the conversation with it.

use std::io;
use std::time::Duration;

use super::listener::{Client, Socket};
use crate::admin::api::{Answer, ApiSettings, Order};
use crate::admin::conversation::{Conversation, Waiting};
use crate::admin::house::{House, Moment};
use crate::reactor::slab::Key;
use crate::reactor::timer_wheel::{Alarm, TimerWheel};
use crate::reactor::{Readiness, Time, Token};

/// Octets that are read at a time.
const READ: usize = 16 * 1024;

/// How long a request may take to come, which is short for whoever means to send
/// one.
const REQUEST: Duration = Duration::from_secs(10);

/// How long a connection may wait for a request, and how long a client may take
/// nothing of an answer.
const SILENCE: Duration = Duration::from_secs(30);

/// How long a client may take to close after the last answer. What it still sends
/// is read until then: to close before would take the answer back (RFC 9112 §9.6).
const LINGER: Duration = Duration::from_secs(1);

/// A client.
#[derive(Debug)]
pub(super) struct Connection {
    socket: Socket,
    pub(super) listener: Key,
    pub(super) peer: String,
    conversation: Conversation,
    pub(super) ready: Readiness,
    pub(super) is_queued: bool,
    /// The client sends no more.
    is_at_end: bool,
    /// All is said; what still comes is thrown away.
    is_lingering: bool,
    /// What it waits for, and since when.
    waits: Waiting,
    since: Time,
    alarm: Alarm,
}

/// What became of a connection.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It waits for its client.
    Wait,
    /// It goes on in the next turn.
    Again,
    /// It has an order for the house.
    Order(Order),
    /// It is over.
    Close,
}

impl Connection {
    pub(super) fn new(client: Client, listener: Key, now: Time) -> Connection {
        Connection {
            socket: client.socket,
            listener,
            peer: client.peer,
            conversation: Conversation::new(client.local),
            // A fresh socket takes what is written to it, and the poll tells
            // whether there is something to read.
            ready: Readiness::WRITABLE,
            is_queued: false,
            is_at_end: false,
            is_lingering: false,
            waits: Waiting::Idle,
            since: now,
            alarm: Alarm::new(),
        }
    }

    /// The socket, to be registered.
    pub(super) fn socket(&mut self) -> &mut Socket {
        &mut self.socket
    }

    /// Whether it has sent a part of a request, and since when it has not sent the
    /// whole of one, if that is so: then it may be closed.
    pub(super) fn silent_since(&self) -> Option<(bool, Time)> {
        match self.waits {
            Waiting::Idle => Some((false, self.since)),
            Waiting::Request => Some((true, self.since)),
            Waiting::Turn | Waiting::Client | Waiting::Over => None,
        }
    }

    /// The timer fired.
    pub(super) fn fired(&mut self) {
        self.alarm.fired();
    }

    /// Takes the timer out of the wheel.
    pub(super) fn clear(&mut self, wheel: &mut TimerWheel) {
        self.alarm.clear(wheel);
    }

    /// Sets the timer to what it waits for.
    pub(super) fn arm(&mut self, wheel: &mut TimerWheel, token: Token) {
        self.alarm.set(wheel, token, self.deadline());
    }

    fn deadline(&self) -> Option<Time> {
        let limit = match self.waits {
            Waiting::Request => REQUEST,
            Waiting::Idle | Waiting::Client => SILENCE,
            Waiting::Over => LINGER,
            Waiting::Turn => return None,
        };
        Some(self.since + limit)
    }

    /// Takes the answer to an order.
    pub(super) fn answer(&mut self, answer: Answer) {
        self.conversation.answer(answer);
    }

    /// Goes on as far as its client and the allowance let it.
    ///
    /// # Errors
    /// Those of the socket, after which it is over.
    pub(super) fn serve(
        &mut self,
        settings: &ApiSettings,
        house: &dyn House,
        at: &Moment,
        scratch: &mut [u8],
        allowance: &mut usize,
    ) -> io::Result<Verdict> {
        let verdict = self.go_on(settings, house, at, scratch, allowance)?;
        self.note(at.now, false);
        let is_late = self.deadline().is_some_and(|deadline| deadline <= at.now);
        let is_order = matches!(verdict, Verdict::Order(_));
        Ok(if is_late && !is_order { Verdict::Close } else { verdict })
    }

    fn go_on(
        &mut self,
        settings: &ApiSettings,
        house: &dyn House,
        at: &Moment,
        scratch: &mut [u8],
        allowance: &mut usize,
    ) -> io::Result<Verdict> {
        loop {
            if *allowance == 0 {
                return Ok(Verdict::Again);
            }
            *allowance = allowance.saturating_sub(1);
            let was_read = self.read(scratch)?;
            let order = self.conversation.advance(settings, house, at, allowance);
            let was_written = self.write(at.now)?;
            if let Some(order) = order {
                return Ok(Verdict::Order(order));
            }
            match self.conversation.waiting() {
                Waiting::Over if self.is_at_end => return Ok(Verdict::Close),
                Waiting::Over if !self.is_lingering => {
                    self.is_lingering = true;
                    self.socket.finish();
                }
                Waiting::Idle => self.conversation.rest(),
                _ => {}
            }
            if !was_read && !was_written && *allowance > 0 {
                return Ok(Verdict::Wait);
            }
        }
    }

    /// Reads once, if there is room. Says whether anything came.
    fn read(&mut self, scratch: &mut [u8]) -> io::Result<bool> {
        let room = match self.is_lingering {
            true => READ,
            false => self.conversation.room().min(READ),
        };
        let asked = Readiness::READABLE | Readiness::READ_CLOSED | Readiness::ERROR;
        if room == 0 || self.is_at_end || !self.ready.intersects(asked) {
            return Ok(false);
        }
        let Some(place) = scratch.get_mut(..room) else { return Ok(false) };
        match self.socket.read(place) {
            Ok(0) => {
                self.is_at_end = true;
                self.conversation.end_of_input();
                Ok(true)
            }
            Ok(count) => {
                if !self.is_lingering {
                    self.conversation.receive(place.get(..count).unwrap_or_default());
                }
                Ok(true)
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                self.ready.remove(asked);
                Ok(false)
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(true),
            Err(error) => Err(error),
        }
    }

    /// Writes what there is. Says whether anything went.
    fn write(&mut self, now: Time) -> io::Result<bool> {
        let mut was_written = false;
        while !self.conversation.transmit().is_empty() && self.ready.contains(Readiness::WRITABLE) {
            match self.socket.write(self.conversation.transmit()) {
                Ok(count) => {
                    self.conversation.transmitted(count);
                    self.note(now, true);
                    was_written = true;
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.ready.remove(Readiness::WRITABLE);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(was_written)
    }

    /// Remembers since when it waits for what it does.
    fn note(&mut self, now: Time, is_progress: bool) {
        let waits = self.conversation.waiting();
        if waits != self.waits || is_progress {
            (self.waits, self.since) = (waits, now);
        }
    }
}
