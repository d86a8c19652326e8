//! Datagrams: what comes to a `proto=udp` listener goes to a target, and what
//! that answers goes back, from the very address that was asked.
//!
//! `flows` says who belongs together and who gives way; `door` has the
//! listening sockets; this file passes datagrams on. A flow has a connected
//! socket of its own towards its target, so that the kernel says whose answer
//! came, and who refused. Payloads are never changed, and never cut: what does
//! not fit is dropped and counted. All datagrams are read into one buffer, and
//! leave before the turn ends; an idle flow holds nothing but its socket.

mod counters;
mod door;
mod flows;
mod upstream;

#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use log::{debug, error, info, warn};
use mio::Interest;

use self::counters::Told;
pub use self::counters::UdpCounters;
use self::door::Door;
use self::flows::{Bounds, Flows, Name};
use self::upstream::Flow;
use super::{Lent, Listening, Pick, count};
use crate::reactor::datagram::{Arrived, BATCH, Outgoing, Received};
use crate::reactor::slab::Key;
use crate::reactor::timer_wheel::Alarm;
use crate::reactor::{Kind, Reactor, Readiness, Time, Token};

/// Octets of a place in the buffer: more than the longest UDP payload, 65,507
/// octets over IPv4 and 65,527 over IPv6, so nothing is ever cut. Only pages
/// that were written to take memory.
const PLACE: usize = 65_536;

/// Most answers that one flow may have in a batch, so that 32 flows do not wait
/// for one that floods.
const ANSWERS: usize = 8;

/// What all flows together may spend in one turn, in datagrams: about 2 ms, so
/// that BGP is never kept waiting for longer.
const TURN_STEPS: usize = 512;

/// Of these, at most so many go to answers, so that questions get theirs.
const ANSWER_STEPS: usize = 256;

/// What a new flow costs of it: socket, connect, register and close.
const FLOW_STEPS: usize = 4;

/// Most flows in all. Each takes a port of ours, of which Linux gives 28,232
/// unless it is told otherwise (`net.ipv4.ip_local_port_range`), 400 octets
/// here and 2.8 KiB in the kernel.
const FLOWS: usize = 16_384;

/// Flows get this part of the descriptors; connections have the rest.
const DESCRIPTOR_PARTS: u64 = 4;

/// Flows are looked for that are over this part of their idle time late at
/// most, and never more than [`LATEST`], so that many are ended at a time.
const LATENESS_PARTS: u32 = 8;
const LATEST: Duration = Duration::from_secs(1);

/// The timer of all flows.
const TIMER: Token = Token::new(Kind::UdpListener, 0, u32::MAX);

/// One `proto=udp` listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UdpListenerSettings {
    /// Where to listen.
    pub address: SocketAddr,
    /// Both families, with a socket for each.
    pub dual_stack: bool,
    /// `address` may be one that this host does not have (yet).
    pub freebind: bool,
    /// A flow without a datagram for this long is over.
    pub idle_timeout: Duration,
    /// Most flows at a time, as far as there may be so many; zero: that many.
    pub flow_limit: u32,
}

/// Who knows the targets of datagrams, and learns how they fare.
pub trait UdpTargets {
    /// Chooses a target that is none of `tried` for a client who asks `local`.
    fn pick_udp(
        &mut self,
        now: Time,
        local: SocketAddr,
        client: SocketAddr,
        tried: &[SocketAddr],
    ) -> Pick<SocketAddr>;
    /// Whether the flow of a client to `local` may stay with this target: it is
    /// one of theirs, lets the client in, and is not known to be unhealthy.
    fn is_udp_fit(&self, local: SocketAddr, client: SocketAddr, target: SocketAddr) -> bool;
    /// A number that is another one whenever [`UdpTargets::is_udp_fit`] may give
    /// another answer.
    fn udp_epoch(&self) -> u64;
    /// Nobody listens at a target, or it cannot be reached.
    fn udp_refused(&mut self, now: Time, target: SocketAddr, error: &str);
    /// A target answered a flow for the first time.
    fn udp_answered(&mut self, now: Time, target: SocketAddr);
}

/// An answer on its way out: its octets are in a place of the buffer.
#[derive(Clone, Copy, Debug)]
struct Answer {
    door: usize,
    client: SocketAddr,
    local: Option<IpAddr>,
    place: usize,
    length: usize,
}

/// All listeners and flows of datagrams.
#[derive(Debug)]
pub(super) struct Udp {
    doors: Vec<Door>,
    /// The door that is read first in the next turn.
    next_door: usize,
    /// Of each listener the address that it is known by.
    addresses: Vec<SocketAddr>,
    flows: Flows<Flow>,
    /// Flows whose target may have answered or refused.
    ready: VecDeque<Key>,
    /// [`BATCH`] places, once there is a listener.
    buffer: Vec<u8>,
    /// How many of them are taken by `answers`.
    places: usize,
    answers: Vec<Answer>,
    received: Vec<Received>,
    arrived: Vec<Arrived>,
    alarm: Alarm,
    /// The timer fired: flows may be over.
    sweeping: bool,
    limit: usize,
    counters: UdpCounters,
    told: Told,
    inject_panic: bool,
}

impl Udp {
    /// Nothing listens.
    pub(super) fn new() -> Udp {
        Udp {
            doors: Vec::new(),
            next_door: 0,
            addresses: Vec::new(),
            flows: Flows::new(),
            ready: VecDeque::new(),
            buffer: Vec::new(),
            places: 0,
            answers: Vec::new(),
            received: Vec::new(),
            arrived: Vec::new(),
            alarm: Alarm::new(),
            sweeping: false,
            limit: 0,
            counters: UdpCounters::default(),
            told: Told::default(),
            inject_panic: false,
        }
    }

    /// Binds all listeners, or none. `descriptors` is the process's limit.
    ///
    /// # Errors
    /// A sentence that names the address and the cause.
    pub(super) fn bind(
        &mut self,
        reactor: &mut Reactor,
        listeners: &[UdpListenerSettings],
        descriptors: u64,
    ) -> Result<(), String> {
        if listeners.is_empty() {
            return Ok(());
        }
        let possible = usize::try_from(descriptors / DESCRIPTOR_PARTS).unwrap_or(FLOWS);
        let limit = possible.clamp(1, FLOWS);
        let bound: Result<Vec<Vec<Door>>, String> =
            (0..).zip(listeners).map(|(lane, settings)| Door::bind(settings, lane)).collect();
        for (doors, settings) in bound?.into_iter().zip(listeners) {
            let wanted = usize::try_from(settings.flow_limit).unwrap_or(limit);
            let flows = if wanted == 0 { limit } else { wanted.min(limit) };
            self.flows.add_lane(Bounds { idle: settings.idle_timeout, flows });
            self.addresses.extend(doors.first().map(|door| door.address));
            self.doors.extend(doors);
        }
        for (index, door) in (0..).zip(&mut self.doors) {
            let token = Token::new(Kind::UdpListener, 0, index);
            reactor
                .register(&mut door.socket, token, Interest::READABLE)
                .map_err(|e| format!("cannot poll the listener on {}: {e}", door.address))?;
        }
        self.flows.set_limit(limit);
        self.limit = limit;
        self.buffer = vec![0; BATCH.saturating_mul(PLACE)];
        Ok(())
    }

    /// How many descriptors flows may take.
    pub(super) fn limit(&self) -> usize {
        self.limit
    }

    /// The addresses of all listeners; for port 0 the port that was chosen.
    pub(super) fn listening_on(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// The listener at this place, if it is open.
    pub(super) fn listener(&self, place: usize) -> Option<Listening> {
        let address = *self.addresses.get(place)?;
        let Lent { count, limit } = self.flows.at_lane(place)?;
        Some(Listening { address, connections: count, limit })
    }

    /// How many flows there are.
    pub(super) fn flows(&self) -> usize {
        self.flows.len()
    }

    /// How many flows a drain waits for; without one, all.
    pub(super) fn awaited(&self) -> usize {
        self.flows.awaited()
    }

    /// What happened since the start.
    pub(super) fn counters(&self) -> &UdpCounters {
        &self.counters
    }

    /// Makes the handling of the next flow panic, or takes that back.
    pub(super) fn inject_panic(&mut self, inject: bool) {
        self.inject_panic = inject;
    }

    /// Collect: remembers what the kernel said about a socket.
    pub(super) fn collect(&mut self, token: Token, readiness: Readiness) {
        if token.kind == Kind::UdpListener {
            if let Some(door) = self.doors.get_mut(token.index as usize) {
                door.event(readiness);
            }
        } else if let Some(flow) = self.flows.get_mut(token.into()) {
            flow.has_error |= readiness.contains(Readiness::ERROR);
            self.queue(token.into());
        }
    }

    /// Expire: remembers that flows may be over.
    pub(super) fn expired(&mut self) {
        self.alarm.fired();
        self.sweeping = true;
    }

    /// Data: ends flows, then passes answers and questions on, until the turn's
    /// budget is spent.
    pub(super) fn data(&mut self, reactor: &mut Reactor, targets: &mut dyn UdpTargets) {
        if self.doors.is_empty() {
            return;
        }
        let mut steps = TURN_STEPS;
        if self.sweeping {
            self.sweep(reactor.now(), &mut steps);
        }
        let mut answer_steps = steps.min(ANSWER_STEPS);
        steps = steps.saturating_sub(answer_steps);
        for _ in 0..self.ready.len() {
            let Some(key) = self.ready.pop_front() else { break };
            self.take_answers(reactor.now(), targets, key, &mut answer_steps);
            if answer_steps == 0 {
                break;
            }
        }
        self.send_answers();
        steps = steps.saturating_add(answer_steps);
        self.take_questions(reactor, targets, &mut steps);
        self.told.tell(reactor.now(), &self.counters, self.flows.len(), self.limit);
        let late = |deadline: Time| deadline + self.lateness();
        let deadline = self.flows.deadline().map(late);
        if let (false, Some(deadline)) = (self.sweeping, deadline) {
            self.alarm.set(&mut reactor.wheel, TIMER, Some(deadline));
        }
    }

    /// Flush: slots that were freed in this turn may be used again.
    pub(super) fn flush(&mut self) {
        self.flows.reclaim();
    }

    /// Whether anything can make progress without another event.
    pub(super) fn has_ready(&self) -> bool {
        self.sweeping || !self.ready.is_empty() || self.doors.iter().any(|door| door.readable)
    }

    /// A drain's last part began. The sockets stay open, because the datagrams
    /// of the flows come in through them; newcomers are served too, but nobody
    /// waits for them.
    pub(super) fn begin_drain(&mut self) {
        self.flows.begin_drain();
    }

    /// Ends all flows and closes all listeners.
    pub(super) fn close(&mut self, reactor: &mut Reactor) {
        if self.doors.is_empty() {
            return;
        }
        let UdpCounters { flows, datagrams_up, datagrams_down, gave_way, .. } = self.counters;
        info!(
            "udp event=closed flows={flows} up={datagrams_up} down={datagrams_down} \
             gave_way={gave_way} lost={}",
            self.counters.lost()
        );
        for key in self.flows.keys() {
            self.flows.remove(key);
        }
        self.ready.clear();
        self.doors.clear();
        self.addresses.clear();
        self.alarm.clear(&mut reactor.wheel);
        self.sweeping = false;
        self.buffer = Vec::new();
    }

    /// How late the end of a flow is looked for.
    fn lateness(&self) -> Duration {
        self.flows.shortest_idle().checked_div(LATENESS_PARTS).unwrap_or_default().min(LATEST)
    }

    fn queue(&mut self, key: Key) {
        let flow = self.flows.get_mut(key);
        if flow.is_some_and(|flow| !std::mem::replace(&mut flow.queued, true)) {
            self.ready.push_back(key);
        }
    }

    /// Ends flows whose time is over.
    fn sweep(&mut self, now: Time, steps: &mut usize) {
        while *steps > 0 {
            let Some(key) = self.flows.expired(now) else {
                self.sweeping = false;
                return;
            };
            self.flows.remove(key);
            count(&mut self.counters.expired);
            *steps = steps.saturating_sub(1);
        }
    }

    /// Takes what a flow's target answered into the buffer.
    fn take_answers(
        &mut self,
        now: Time,
        targets: &mut dyn UdpTargets,
        key: Key,
        steps: &mut usize,
    ) {
        if self.places >= BATCH {
            self.send_answers();
        }
        let free = BATCH.saturating_sub(self.places).min(ANSWERS);
        let begin = self.places.saturating_mul(PLACE);
        let octets = free.saturating_mul(PLACE);
        let Some(name) = self.flows.name(key) else { return };
        let Some(flow) = self.flows.get_mut(key) else { return };
        flow.queued = false;
        let Some(places) = self.buffer.get_mut(begin..).and_then(|rest| rest.get_mut(..octets))
        else {
            return;
        };
        *steps = steps.saturating_sub(1);
        let Some(outcome) = flow.receive(places, PLACE, &mut self.arrived) else {
            return self.end_after_panic(key);
        };
        match outcome {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                flow.has_error = false;
                return;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return self.queue(key),
            Err(error) => return self.refused(now, targets, key, &error),
        }
        if let Some(target) = flow.first_answer() {
            targets.udp_answered(now, target);
        }
        // A batch that is not full was the last, unless an error waits behind.
        let is_more = self.arrived.len() >= free || flow.has_error;
        let door = flow.door;
        for (place, arrived) in (self.places..).zip(&self.arrived) {
            if arrived.truncated {
                count(&mut self.counters.truncated);
                continue;
            }
            let Name { client, local, .. } = name;
            self.answers.push(Answer { door, client, local, place, length: arrived.length });
        }
        self.places = self.places.saturating_add(self.arrived.len());
        *steps = steps.saturating_sub(self.arrived.len());
        self.flows.touch(now, key);
        if is_more {
            self.queue(key);
        }
    }

    /// Sends all answers in the buffer, a batch for each door.
    fn send_answers(&mut self) {
        self.places = 0;
        for (index, door) in self.doors.iter().enumerate() {
            let own = self.answers.iter().filter(|answer| answer.door == index);
            let batch: Vec<Outgoing<'_>> = own
                .map(|answer| Outgoing {
                    destination: answer.client,
                    source: answer.local,
                    interface: None,
                    payload: octets(&self.buffer, answer.place, answer.length),
                })
                .collect();
            let mut rest = batch.as_slice();
            while let Some((first, others)) = rest.split_first() {
                match door.socket.send(rest) {
                    Ok(0) => break,
                    Ok(sent) => {
                        let (gone, left) = rest.split_at_checked(sent).unwrap_or((rest, &[]));
                        for outgoing in gone {
                            count(&mut self.counters.datagrams_down);
                            add(&mut self.counters.bytes_down, outgoing.payload.len());
                        }
                        rest = left;
                    }
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    // The send queue is full, for the others too: they are lost,
                    // as they would be in any other queue of the network.
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                        add(&mut self.counters.lost_down, rest.len());
                        break;
                    }
                    Err(error) => {
                        debug!(
                            "udp event=send_failed client={} error=\"{error}\"",
                            first.destination
                        );
                        count(&mut self.counters.lost_down);
                        rest = others;
                    }
                }
            }
        }
        self.answers.clear();
    }

    /// Reads from all doors in turn, a batch each, until none has more or the
    /// budget is spent.
    fn take_questions(
        &mut self,
        reactor: &mut Reactor,
        targets: &mut dyn UdpTargets,
        steps: &mut usize,
    ) {
        // Taken out, so that what was read can be looked at while flows change.
        let mut buffer = std::mem::take(&mut self.buffer);
        let mut received = std::mem::take(&mut self.received);
        while *steps > 0 && self.doors.iter().any(|door| door.readable) {
            let index = self.next_door.checked_rem(self.doors.len()).unwrap_or_default();
            self.next_door = index.saturating_add(1);
            let Some(door) = self.doors.get_mut(index).filter(|door| door.readable) else {
                continue;
            };
            match door.socket.receive(&mut buffer, PLACE, &mut received) {
                // A batch that is not full was the last.
                Ok(()) => door.readable = received.len() >= BATCH || door.has_error,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    let is_over = error.kind() == io::ErrorKind::WouldBlock;
                    door.readable = !is_over && door.has_error;
                    door.has_error = false;
                    if !is_over {
                        warn!(
                            "udp event=receive_failed address={} error=\"{error}\"",
                            door.address
                        );
                    }
                }
            }
            *steps = steps.saturating_sub(received.len().max(1));
            for question in &received {
                self.question(reactor, targets, index, question, &buffer, steps);
            }
        }
        self.buffer = buffer;
        self.received = received;
    }

    /// Passes one datagram of a client on, and makes a flow for it if there is
    /// none.
    fn question(
        &mut self,
        reactor: &mut Reactor,
        targets: &mut dyn UdpTargets,
        index: usize,
        question: &Received,
        buffer: &[u8],
        steps: &mut usize,
    ) {
        let Some(door) = self.doors.get(index) else { return };
        if question.truncated {
            return count(&mut self.counters.truncated);
        }
        let (client, local, own) = (question.source, question.local, door.address);
        if door.is_misaddressed(client, local) {
            return count(&mut self.counters.misaddressed);
        }
        let name = Name { lane: door.lane, client, local };
        let key = match self.flows.find(&name) {
            Some(key) => {
                self.flows.touch(reactor.now(), key);
                key
            }
            None => {
                *steps = steps.saturating_sub(FLOW_STEPS);
                self.make_room(name.lane);
                let asked = SocketAddr::new(local.unwrap_or(own.ip()), own.port());
                let flow = Flow::new(index, asked, client, std::mem::take(&mut self.inject_panic));
                self.flows.insert(reactor.now(), name, flow)
            }
        };
        self.pass_on(reactor, targets, key, question.payload(buffer));
    }

    /// Lets flows give way until another one fits.
    fn make_room(&mut self, lane: usize) {
        while let Some(key) = self.flows.in_the_way(lane) {
            self.flows.remove(key);
            count(&mut self.counters.gave_way);
        }
    }

    fn end_after_panic(&mut self, key: Key) {
        count(&mut self.counters.panics);
        if let Some(name) = self.flows.name(key) {
            let client = name.client;
            error!("udp event=panic client={client} effect=\"this flow is dropped\"");
        }
        self.flows.remove(key);
    }
}

fn octets(buffer: &[u8], place: usize, length: usize) -> &[u8] {
    let begin = place.saturating_mul(PLACE);
    buffer.get(begin..).and_then(|rest| rest.get(..length)).unwrap_or_default()
}

fn add(counter: &mut u64, more: usize) {
    *counter = counter.saturating_add(u64::try_from(more).unwrap_or(u64::MAX));
}
