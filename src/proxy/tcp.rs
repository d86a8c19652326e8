//! One client's connection: from its arrival over the dial of a target to the
//! end of both streams.

use std::io::Read;
use std::net::SocketAddr;
use std::time::Duration;

use mio::net::TcpStream;

use super::pump::{Budget, Pumped, Side, Tools, give_back, pump};
use super::relay::{Limits, Relay, Silence};
use crate::reactor::buffer::Pool;
use crate::reactor::fault;
use crate::reactor::pipe::Pipes;
use crate::reactor::socket;
use crate::reactor::timer_wheel::{Alarm, TimerWheel};
use crate::reactor::{Readiness, Time, Token};

/// Most targets that are dialled for one client.
const DIALS: usize = 16;

/// What a connection may spend in one turn before others have theirs: half a
/// millisecond of copying, or of system calls.
const CONNECTION_BUDGET: Budget = Budget { steps: 16, bytes: 1024 * 1024 };

/// What a connection wants after it was served.
#[derive(Debug)]
pub(super) enum Verdict {
    /// An event or its timer.
    Wait,
    /// Another turn: its budget is spent, not its bytes.
    Again,
    /// A target to dial.
    Dial,
    /// Nothing; its target answered, and it can be served at once.
    Connected(SocketAddr),
    /// Nothing; its target did not answer, and it wants another.
    DialFailed(SocketAddr, String),
    /// To be closed.
    Close(Ending),
}

/// How a connection ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    /// Both streams came to their ends.
    Finished,
    /// A side was reset, or bytes were lost: the other must not take it for
    /// the end of a stream.
    Reset,
    /// A limit of silence was reached. With bytes undelivered, as a reset.
    Silent(Silence, bool),
    /// It was never connected.
    Unserved,
}

impl Ending {
    fn is_reset(self) -> bool {
        matches!(self, Ending::Reset | Ending::Silent(_, true))
    }
}

#[derive(Debug)]
enum Stage {
    /// It has no target yet.
    Arrived,
    /// A target was called.
    Dialing { deadline: Time },
    /// Bytes pass.
    Relaying,
}

/// A client's connection and the one to its target.
#[derive(Debug)]
pub(super) struct Connection {
    client: Side,
    target: Option<(Side, SocketAddr)>,
    stage: Stage,
    relay: Relay,
    limits: Limits,
    /// The client's address, and that of the listener it came to.
    peer: SocketAddr,
    listener: SocketAddr,
    /// Targets that failed; empty on the way that is usual.
    tried: Vec<SocketAddr>,
    alarm: Alarm,
    /// A sink was reset by its peer.
    reset: bool,
    /// In the list of those that can make progress.
    pub(super) queued: bool,
    /// Its handling panics; for the test of the boundary around it.
    pub(super) sabotaged: bool,
}

/// An idle connection is this and two sockets.
const _: () = assert!(size_of::<Connection>() <= 600);

impl Connection {
    pub(super) fn new(
        now: Time,
        stream: TcpStream,
        peer: SocketAddr,
        listener: SocketAddr,
        limits: Limits,
    ) -> Connection {
        Connection {
            client: Side { stream, ready: Readiness::NONE },
            target: None,
            stage: Stage::Arrived,
            relay: Relay::new(now),
            limits,
            peer,
            listener,
            tried: Vec::new(),
            alarm: Alarm::new(),
            reset: false,
            queued: false,
            sabotaged: false,
        }
    }

    /// The client's socket, to be registered.
    pub(super) fn client_stream(&mut self) -> &mut TcpStream {
        &mut self.client.stream
    }

    /// The client's address.
    pub(super) fn peer(&self) -> SocketAddr {
        self.peer
    }

    /// The address of the listener that the client came to.
    pub(super) fn listener(&self) -> SocketAddr {
        self.listener
    }

    /// Targets that failed.
    pub(super) fn tried(&self) -> &[SocketAddr] {
        &self.tried
    }

    /// Whether another target may be dialled.
    pub(super) fn may_dial(&self) -> bool {
        self.tried.len() < DIALS
    }

    /// The client's socket said something.
    pub(super) fn client_event(&mut self, readiness: Readiness) {
        self.client.ready |= readiness;
    }

    /// The target's socket said something.
    pub(super) fn target_event(&mut self, readiness: Readiness) {
        if let Some((side, _)) = &mut self.target {
            side.ready |= readiness;
        }
    }

    /// A connection to `address` is under way.
    pub(super) fn dialing(
        &mut self,
        now: Time,
        stream: TcpStream,
        address: SocketAddr,
        limit: Duration,
    ) {
        self.target = Some((Side { stream, ready: Readiness::NONE }, address));
        self.stage = Stage::Dialing { deadline: now + limit };
    }

    /// The target at `address` is not to be dialled again.
    pub(super) fn dial_failed(&mut self, address: SocketAddr) {
        self.target = None;
        self.stage = Stage::Arrived;
        self.tried.push(address);
    }

    /// Arms the timer for the next deadline.
    pub(super) fn arm(&mut self, wheel: &mut TimerWheel, token: Token) {
        let deadline = match self.stage {
            Stage::Arrived => None,
            Stage::Dialing { deadline } => Some(deadline),
            Stage::Relaying => self.relay.watch.deadline(&self.limits).map(|(time, _)| time),
        };
        self.alarm.set(wheel, token, deadline);
    }

    /// The timer fired, on time or early.
    pub(super) fn fired(&mut self) {
        self.alarm.fired();
    }

    /// Does what can be done now, within the budget.
    pub(super) fn advance(&mut self, tools: &mut Tools<'_>) -> Verdict {
        if self.sabotaged {
            fault::inject("a proxied connection");
        }
        match self.stage {
            Stage::Arrived => Verdict::Dial,
            Stage::Dialing { deadline } => self.dial(tools.now, deadline),
            Stage::Relaying => self.relay(tools),
        }
    }

    fn dial(&mut self, now: Time, deadline: Time) -> Verdict {
        let gone = Readiness::ERROR | Readiness::WRITE_CLOSED;
        if self.client.ready.intersects(gone) {
            return Verdict::Close(Ending::Reset);
        }
        let Some((side, address)) = &self.target else { return Verdict::Dial };
        if side.ready.intersects(gone) {
            let error = socket::take_error(&side.stream).ok().flatten();
            let text = error.map_or_else(|| "closed at once".to_owned(), |e| e.to_string());
            return Verdict::DialFailed(*address, text);
        }
        if side.ready.contains(Readiness::WRITABLE) {
            self.stage = Stage::Relaying;
            self.tried = Vec::new();
            self.relay = Relay::new(now);
            return Verdict::Connected(*address);
        }
        if now >= deadline {
            return Verdict::DialFailed(*address, "no answer in time".to_owned());
        }
        Verdict::Wait
    }

    fn relay(&mut self, tools: &mut Tools<'_>) -> Verdict {
        let Some((target, _)) = &mut self.target else { return Verdict::Close(Ending::Reset) };
        let (client, relay) = (&mut self.client, &mut self.relay);
        let before = (relay.up.bytes, relay.down.bytes);
        let mut budget = CONNECTION_BUDGET;

        let down_is_done = relay.down.is_done();
        let up = pump(&mut relay.up, client, target, down_is_done, tools, &mut budget);
        let up_is_done = relay.up.is_done();
        let down = pump(&mut relay.down, target, client, up_is_done, tools, &mut budget);

        let moved = |now: u64, before: u64| now.saturating_sub(before);
        let counters = &mut tools.counters;
        counters.bytes_up = counters.bytes_up.saturating_add(moved(relay.up.bytes, before.0));
        counters.bytes_down = counters.bytes_down.saturating_add(moved(relay.down.bytes, before.1));
        relay.observe(tools.now, before, client.ready, target.ready);

        self.reset |= up == Pumped::SinkReset || down == Pumped::SinkReset;
        if up == Pumped::Lost || down == Pumped::Lost {
            return Verdict::Close(Ending::Reset);
        }
        if relay.is_done() {
            let ending = if self.reset { Ending::Reset } else { Ending::Finished };
            return Verdict::Close(ending);
        }
        if up == Pumped::Unfinished || down == Pumped::Unfinished {
            return Verdict::Again;
        }
        // Whoever waits for the target would not read what the client's kernel
        // has said.
        if relay.up.is_open() && client.is_cut() {
            return Verdict::Close(Ending::Reset);
        }
        match relay.watch.deadline(&self.limits) {
            Some((deadline, silence)) if deadline <= tools.now => {
                let lossy = relay.would_lose(client.ready, target.ready);
                Verdict::Close(Ending::Silent(silence, lossy))
            }
            _ => Verdict::Wait,
        }
    }

    /// Closes both sockets and gives back what was borrowed.
    pub(super) fn close(
        mut self,
        ending: Ending,
        small: &mut Pool,
        large: &mut Pool,
        pipes: &mut Pipes,
        wheel: &mut TimerWheel,
    ) {
        self.alarm.clear(wheel);
        for direction in [&mut self.relay.up, &mut self.relay.down] {
            give_back(direction, small, large, pipes);
        }
        if ending.is_reset() {
            // Fails only on a socket that is gone already.
            let _ = socket::reset_on_close(&self.client.stream);
            if let Some((side, _)) = &self.target {
                let _ = socket::reset_on_close(&side.stream);
            }
        }
    }

    /// Takes from the client what it has sent so far: closing with unread bytes
    /// would be a reset. Bounded, because nothing else of it is served.
    pub(super) fn discard_input(&mut self, scratch: &mut [u8]) {
        const READS: usize = 4;
        for _ in 0..READS {
            match self.client.stream.read(scratch) {
                Ok(1..) => {}
                Ok(0) | Err(_) => return,
            }
        }
    }

    /// The address of the target, if one was chosen.
    pub(super) fn target(&self) -> Option<SocketAddr> {
        self.target.as_ref().map(|(_, address)| *address)
    }

    /// Bytes moved to the target and to the client.
    pub(super) fn bytes(&self) -> (u64, u64) {
        (self.relay.up.bytes, self.relay.down.bytes)
    }
}
