//! The target's side of a flow: which target it is with, and when it moves to
//! another one.

use std::io;
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};

use log::debug;
use mio::Interest;

use super::{Udp, UdpTargets, add};
use crate::proxy::{Pick, count};
use crate::reactor::datagram::{Arrived, Connected};
use crate::reactor::log_sink::quoted;
use crate::reactor::slab::Key;
use crate::reactor::{Kind, Reactor, Time, fault, socket};

/// Most targets that one datagram is tried with.
const TRIES: usize = 4;

/// What a flow carries.
#[derive(Debug)]
pub(super) struct Flow {
    /// The door that its client knocks at.
    pub(super) door: usize,
    /// Waits in the ready list.
    pub(super) queued: bool,
    /// The target's socket may have an error pending.
    pub(super) has_error: bool,
    /// The address that its client asks.
    local: SocketAddr,
    client: SocketAddr,
    upstream: Option<Upstream>,
    /// The target that refused last: another one is tried first.
    refused: Option<SocketAddr>,
    sabotaged: bool,
}

/// A socket that is connected to the flow's target.
#[derive(Debug)]
pub(super) struct Upstream {
    socket: Connected,
    target: SocketAddr,
    /// The target was fit when the targets had this number.
    epoch: u64,
    answered: bool,
}

/// What became of a datagram that was to be sent.
#[derive(Debug)]
pub(super) enum Sent {
    /// The kernel took it.
    Yes,
    /// The target refused an earlier one, or cannot be reached; this one was
    /// not sent.
    Refused(io::Error),
    /// The kernel did not take it, and the target is not to blame.
    Lost(io::Error),
    /// There was a panic.
    Panicked,
}

impl Flow {
    pub(super) fn new(door: usize, local: SocketAddr, client: SocketAddr, sabotaged: bool) -> Flow {
        Flow {
            door,
            queued: false,
            has_error: false,
            local,
            client,
            upstream: None,
            refused: None,
            sabotaged,
        }
    }

    /// Takes what the target answered; `None` after a panic.
    pub(super) fn receive(
        &self,
        places: &mut [u8],
        size: usize,
        arrived: &mut Vec<Arrived>,
    ) -> Option<io::Result<()>> {
        let Some(upstream) = &self.upstream else {
            return Some(Err(io::ErrorKind::WouldBlock.into()));
        };
        let receive = AssertUnwindSafe(|| upstream.socket.receive(places, size, arrived));
        catch_unwind(receive).ok()
    }

    /// The target, if this is its first answer to the flow.
    pub(super) fn first_answer(&mut self) -> Option<SocketAddr> {
        let upstream = self.upstream.as_mut()?;
        (!std::mem::replace(&mut upstream.answered, true)).then_some(upstream.target)
    }

    /// Sends a datagram to the target, which there has to be.
    fn send(&self, payload: &[u8]) -> Sent {
        let Some(upstream) = &self.upstream else {
            return Sent::Lost(io::ErrorKind::NotConnected.into());
        };
        let send = AssertUnwindSafe(|| {
            if self.sabotaged {
                fault::inject("a flow of datagrams");
            }
            upstream.socket.send(payload)
        });
        match catch_unwind(send) {
            Ok(Ok(())) => Sent::Yes,
            Ok(Err(error)) if speaks_against_the_target(&error) => Sent::Refused(error),
            Ok(Err(error)) => Sent::Lost(error),
            Err(_) => Sent::Panicked,
        }
    }

    /// Whether the flow has a target that it may stay with.
    fn is_settled(&mut self, targets: &dyn UdpTargets) -> bool {
        let epoch = targets.udp_epoch();
        let Some(upstream) = &mut self.upstream else { return false };
        if upstream.epoch != epoch && targets.is_udp_fit(self.local, self.client, upstream.target) {
            upstream.epoch = epoch;
        }
        upstream.epoch == epoch
    }
}

impl Udp {
    /// Sends a datagram to the flow's target; to another one if that refuses,
    /// has become unhealthy, or is gone from the routes.
    pub(super) fn pass_on(
        &mut self,
        reactor: &mut Reactor,
        targets: &mut dyn UdpTargets,
        key: Key,
        payload: &[u8],
    ) {
        for _ in 0..TRIES {
            let Some(flow) = self.flows.get_mut(key) else { return };
            if !flow.is_settled(targets) && !self.settle(reactor, targets, key) {
                self.flows.remove(key);
                return;
            }
            let Some(flow) = self.flows.get_mut(key) else { return };
            match flow.send(payload) {
                Sent::Yes => {
                    count(&mut self.counters.datagrams_up);
                    return add(&mut self.counters.bytes_up, payload.len());
                }
                Sent::Refused(error) => self.refused(reactor.now(), targets, key, &error),
                Sent::Lost(error) => {
                    debug!("udp event=send_failed local={} error=\"{error}\"", flow.local);
                    return count(&mut self.counters.lost_up);
                }
                Sent::Panicked => return self.end_after_panic(key),
            }
        }
        count(&mut self.counters.lost_up);
    }

    /// The flow's target refused: another one is found when the next datagram
    /// comes.
    pub(super) fn refused(
        &mut self,
        now: Time,
        targets: &mut dyn UdpTargets,
        key: Key,
        error: &io::Error,
    ) {
        let Some(flow) = self.flows.get_mut(key) else { return };
        flow.has_error = false;
        let Some(upstream) = flow.upstream.take() else { return };
        flow.refused = Some(upstream.target);
        count(&mut self.counters.refused);
        targets.udp_refused(now, upstream.target, &error.to_string());
    }

    /// Finds a target for a flow that has none that it may stay with. False
    /// when there is none; the datagram is then counted as dropped.
    fn settle(&mut self, reactor: &mut Reactor, targets: &mut dyn UdpTargets, key: Key) -> bool {
        let now = reactor.now();
        let Some(flow) = self.flows.get_mut(key) else { return false };
        let (local, client) = (flow.local, flow.client);
        let before = flow.upstream.take().map(|upstream| upstream.target).or(flow.refused);
        // First without the one that it leaves; if that is all there is, with it.
        let mut tried: Vec<SocketAddr> = before.into_iter().collect();
        let mut last_resort = before;
        for _ in 0..TRIES {
            let target = match targets.pick_udp(now, local, client, &tried) {
                Pick::Target(target) => target,
                Pick::NoTarget | Pick::AtLimit => match last_resort.take() {
                    Some(last) => {
                        tried.retain(|target| *target != last);
                        continue;
                    }
                    None => break,
                },
                Pick::NoRoute => {
                    count(&mut self.counters.no_route);
                    return false;
                }
                Pick::Denied => {
                    count(&mut self.counters.denied);
                    return false;
                }
            };
            match self.connect(reactor, key, target) {
                Ok(socket) => {
                    let epoch = targets.udp_epoch();
                    self.attach(key, Upstream { socket, target, epoch, answered: false }, before);
                    return true;
                }
                Err(error) if socket::is_exhaustion(&error) => {
                    debug!("udp event=exhausted target={target} error={}", quoted(&error));
                    count(&mut self.counters.exhausted);
                    return false;
                }
                Err(error) => {
                    count(&mut self.counters.refused);
                    targets.udp_refused(now, target, &error.to_string());
                    tried.push(target);
                }
            }
        }
        count(&mut self.counters.no_target);
        false
    }

    fn attach(&mut self, key: Key, upstream: Upstream, before: Option<SocketAddr>) {
        match before {
            None => count(&mut self.counters.flows),
            Some(before) if before != upstream.target => count(&mut self.counters.moved),
            Some(_) => {}
        }
        if let Some(flow) = self.flows.get_mut(key) {
            flow.refused = None;
            flow.has_error = false;
            flow.upstream = Some(upstream);
        }
    }

    /// Connects a socket for the flow. When this machine has no descriptor or
    /// port left, the flow that has been silent for longest gives its own.
    fn connect(
        &mut self,
        reactor: &mut Reactor,
        key: Key,
        target: SocketAddr,
    ) -> io::Result<Connected> {
        let mut open = || {
            let mut socket = Connected::connect(target)?;
            reactor.register(&mut socket, key.token(Kind::UdpFlow), Interest::READABLE)?;
            Ok(socket)
        };
        match open() {
            Err(error) if socket::is_exhaustion(&error) => {
                let Some(oldest) = self.flows.oldest().filter(|oldest| *oldest != key) else {
                    return Err(error);
                };
                self.flows.remove(oldest);
                count(&mut self.counters.gave_way);
                open()
            }
            other => other,
        }
    }
}

/// Whether an error of send(2) says that nobody is at the target. The kernel's
/// own refusals (a full queue, a filter, a datagram that is too long) do not.
fn speaks_against_the_target(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionRefused
            | io::ErrorKind::HostUnreachable
            | io::ErrorKind::NetworkUnreachable
            | io::ErrorKind::NetworkDown
    )
}
