//! One session of RFC 5880 §6, pure: packets, commands and the time go in;
//! packets, events and one deadline come out.
//!
//! After every input the owner takes packets from [`Session::poll_transmit`]
//! until there is none, and then looks at [`Session::deadline`]. Both ends of a
//! session are active (RFC 5881 §3).

use std::collections::VecDeque;
use std::num::NonZeroU32;
use std::time::Duration;

use super::packet::{self, Diagnostic, Discard, Packet, State};
use crate::reactor::Time;
use crate::reactor::random::Random;

/// The smallest Desired Min TX Interval of a session that is not Up (RFC 5880
/// §6.8.3): a neighbour without BFD is not flooded.
const SLOW: Duration = Duration::from_secs(1);

/// bfd.RemoteMinRxInterval before anything was heard (RFC 5880 §6.8.1).
const UNKNOWN_MIN_RX: Duration = Duration::from_micros(1);

/// The TTL that packets leave with, and that one arrives with if no router
/// forwarded it (RFC 5881 §5).
pub const MAXIMUM_TTL: u8 = 255;

/// What lies between the two ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Path {
    /// One hop (RFC 5881): what a router forwarded is discarded.
    SingleHop,
    /// Any number of hops (RFC 5883).
    Multihop {
        /// Packets with a lower TTL are discarded; 0 discards none.
        minimum_ttl: u8,
    },
}

impl Path {
    const fn minimum_ttl(self) -> u8 {
        match self {
            Path::SingleHop => MAXIMUM_TTL,
            Path::Multihop { minimum_ttl } => minimum_ttl,
        }
    }
}

/// What the operator asks of a session. Zeros are taken as the least value
/// that there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The interval at which we would send, once Up.
    pub min_tx: Duration,
    /// The interval at which we take packets.
    pub min_rx: Duration,
    /// So many of our packets may be lost in a row (Detect Mult).
    pub multiplier: u8,
    /// What lies between the two ends.
    pub path: Path,
}

impl Settings {
    fn without_zeros(self) -> Settings {
        Settings {
            min_tx: self.min_tx.max(UNKNOWN_MIN_RX),
            min_rx: self.min_rx.max(UNKNOWN_MIN_RX),
            multiplier: self.multiplier.max(1),
            path: self.path,
        }
    }
}

/// What a session tells its owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// Both ends hear each other.
    Up,
    /// The session was Up, and the path failed.
    Down {
        /// bfd.LocalDiag
        diagnostic: Diagnostic,
    },
    /// The session was Up, and one end took it down on purpose. That says
    /// nothing about the path: a client should not act on it (RFC 5882 §3.2).
    AdminDown,
}

/// A Poll Sequence (RFC 5880 §6.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Poll {
    /// None under way.
    Idle,
    /// Every periodic packet has P until one with F comes.
    Active,
    /// The same, and parameters changed meanwhile: the F may answer a packet
    /// that did not have them, so another sequence must follow.
    ActiveThenAgain,
}

/// What the last packet said: the bfd.Remote* variables of RFC 5880 §6.8.1.
#[derive(Clone, Copy, Debug)]
struct Remote {
    discriminator: NonZeroU32,
    state: State,
    diagnostic: Diagnostic,
    multiplier: u8,
    min_tx: Duration,
    min_rx: Duration,
    demand: bool,
    heard: Time,
}

/// A session as operators see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Status {
    /// Our state.
    pub state: State,
    /// Why it last changed.
    pub diagnostic: Diagnostic,
    /// The neighbour's state and why that last changed, if it is heard.
    pub remote: Option<(State, Diagnostic)>,
    /// The longest time between two of our packets.
    pub transmit_interval: Duration,
    /// How long the neighbour may be silent, if it is heard.
    pub detection_time: Option<Duration>,
}

/// One session: see the module's page.
#[derive(Clone, Debug)]
pub struct Session {
    settings: Settings,
    discriminator: NonZeroU32,
    random: Random,
    state: State,
    diagnostic: Diagnostic,
    /// `None` while nothing was heard for a detection time.
    remote: Option<Remote>,
    poll: Poll,
    /// Desired Min TX and Required Min RX Interval as our packets say them.
    announced: (Duration, Duration),
    /// Desired Min TX Interval as it is used: an increase waits for the end of
    /// its Poll Sequence.
    min_tx_in_use: Duration,
    /// Required Min RX Interval as it is used: a decrease waits likewise.
    min_rx_in_use: Duration,
    /// A packet with P waits for its answer.
    final_due: bool,
    /// What was last sent, without P and F, and when a periodic packet last
    /// was.
    said: Option<Packet>,
    sent: Time,
    /// When the next periodic packet is due.
    next: Time,
    events: VecDeque<Event>,
}

impl Session {
    /// A session in state Down. `discriminator` is its name, unique on this
    /// system; `seed` makes its jitter.
    pub fn new(settings: Settings, discriminator: NonZeroU32, seed: u64) -> Session {
        let settings = settings.without_zeros();
        let min_tx = settings.min_tx.max(SLOW);
        Session {
            settings,
            discriminator,
            random: Random::new(seed),
            state: State::Down,
            diagnostic: Diagnostic::NONE,
            remote: None,
            poll: Poll::Idle,
            announced: (min_tx, settings.min_rx),
            min_tx_in_use: min_tx,
            min_rx_in_use: settings.min_rx,
            final_due: false,
            said: None,
            sent: Time::ZERO,
            next: Time::ZERO,
            events: VecDeque::new(),
        }
    }

    /// Takes a packet that was meant for this session and came with `ttl`: the
    /// rest of RFC 5880 §6.8.6, in its order.
    ///
    /// # Errors
    /// Why it was discarded; the session is then as it was.
    pub fn receive(&mut self, now: Time, packet: &Packet, ttl: u8) -> Result<(), Discard> {
        // RFC 5881 §5, and for several hops RFC 5883 §5.
        if ttl < self.settings.path.minimum_ttl() {
            return Err(Discard::Ttl);
        }
        // "If the A bit is set and no authentication is in use".
        if packet.authenticated {
            return Err(Discard::Authentication);
        }
        let interval = self.transmit_interval();
        self.remote = Some(Remote {
            discriminator: packet.my_discriminator,
            state: packet.state,
            diagnostic: packet.diagnostic,
            multiplier: packet.detect_multiplier,
            min_tx: packet.desired_min_tx,
            min_rx: packet.required_min_rx,
            demand: packet.demand,
            heard: now,
        });
        if packet.is_final {
            self.poll_answered();
        }
        self.follow(packet.state);
        // A packet that comes while AdminDown is discarded here, before its P.
        if packet.poll && self.state != State::AdminDown {
            self.final_due = true;
        }
        self.reschedule(interval);
        Ok(())
    }

    /// The state machine of RFC 5880 §6.2 and §6.8.6.
    fn follow(&mut self, remote: State) {
        let signaled = Diagnostic::NEIGHBOR_SIGNALED_DOWN;
        match (self.state, remote) {
            (State::AdminDown, _) => {}
            (State::Up | State::Init, State::AdminDown) => {
                self.fall(State::Down, signaled, Event::AdminDown);
            }
            (State::Down, State::Down) => self.enter(State::Init),
            (State::Down, State::Init) | (State::Init, State::Init | State::Up) => {
                self.enter(State::Up);
                self.events.push_back(Event::Up);
            }
            (State::Up, State::Down) => {
                self.fall(State::Down, signaled, Event::Down { diagnostic: signaled });
            }
            (State::Down, State::AdminDown | State::Up)
            | (State::Init, State::Down)
            | (State::Up, State::Init | State::Up) => {}
        }
    }

    fn enter(&mut self, state: State) {
        self.state = state;
        self.diagnostic = Diagnostic::NONE;
        self.parameters_changed();
    }

    fn fall(&mut self, state: State, diagnostic: Diagnostic, event: Event) {
        let was = std::mem::replace(&mut self.state, state);
        self.diagnostic = diagnostic;
        self.parameters_changed();
        if was == State::Up {
            self.events.push_back(event);
        }
    }

    /// Judges the silence of the neighbour (RFC 5880 §6.8.4).
    pub fn timeout(&mut self, now: Time) {
        if self.detection_deadline().is_none_or(|deadline| now < deadline) {
            return;
        }
        let interval = self.transmit_interval();
        // RFC 5880 §6.8.1: the remote discriminator is forgotten after a
        // detection time in any state; what else was said has no more weight.
        self.remote = None;
        self.poll = Poll::Idle;
        self.final_due = false;
        if matches!(self.state, State::Init | State::Up) {
            let diagnostic = Diagnostic::DETECTION_TIME_EXPIRED;
            self.fall(State::Down, diagnostic, Event::Down { diagnostic });
        }
        self.reschedule(interval);
    }

    /// Holds the session down until [`Session::enable`] (RFC 5880 §6.8.16). The
    /// neighbour goes on to be told so.
    pub fn administratively_down(&mut self) {
        if self.state == State::AdminDown {
            return;
        }
        let interval = self.transmit_interval();
        self.final_due = false;
        self.fall(State::AdminDown, Diagnostic::ADMINISTRATIVELY_DOWN, Event::AdminDown);
        self.reschedule(interval);
    }

    /// Ends [`Session::administratively_down`].
    pub fn enable(&mut self) {
        if self.state == State::AdminDown {
            let interval = self.transmit_interval();
            self.enter(State::Down);
            self.reschedule(interval);
        }
    }

    /// Changes the settings; the session stays Up (RFC 5880 §6.8.3, §6.8.12).
    pub fn change(&mut self, settings: Settings) {
        let interval = self.transmit_interval();
        self.settings = settings.without_zeros();
        self.parameters_changed();
        self.reschedule(interval);
    }

    /// Makes the intervals follow the settings and the state (RFC 5880 §6.8.3).
    fn parameters_changed(&mut self) {
        let (min_tx, min_rx) = (self.desired_min_tx(), self.settings.min_rx);
        let waits = self.state == State::Up;
        // "If bfd.DesiredMinTxInterval is increased and bfd.SessionState is Up,
        // the actual transmission interval used MUST NOT change until the Poll
        // Sequence […] has terminated."
        if !waits || min_tx < self.min_tx_in_use {
            self.min_tx_in_use = min_tx;
        }
        // The same for bfd.RequiredMinRxInterval when it is reduced.
        if !waits || min_rx > self.min_rx_in_use {
            self.min_rx_in_use = min_rx;
        }
        if std::mem::replace(&mut self.announced, (min_tx, min_rx)) != (min_tx, min_rx) {
            // Nobody would answer before the neighbour is heard.
            self.poll = match (self.remote, self.poll) {
                (None, _) => Poll::Idle,
                (Some(_), Poll::Idle) => Poll::Active,
                (Some(_), Poll::Active | Poll::ActiveThenAgain) => Poll::ActiveThenAgain,
            };
        }
    }

    fn poll_answered(&mut self) {
        match self.poll {
            Poll::Idle => {}
            Poll::Active => {
                self.poll = Poll::Idle;
                (self.min_tx_in_use, self.min_rx_in_use) = self.announced;
            }
            Poll::ActiveThenAgain => self.poll = Poll::Active,
        }
    }

    /// bfd.DesiredMinTxInterval
    fn desired_min_tx(&self) -> Duration {
        match self.state {
            State::Up => self.settings.min_tx,
            State::AdminDown | State::Down | State::Init => self.settings.min_tx.max(SLOW),
        }
    }

    /// The negotiated interval (RFC 5880 §6.8.2).
    fn transmit_interval(&self) -> Duration {
        self.min_tx_in_use.max(self.remote.map_or(UNKNOWN_MIN_RX, |remote| remote.min_rx))
    }

    fn detection_time(&self, remote: &Remote) -> Duration {
        self.min_rx_in_use.max(remote.min_tx).saturating_mul(remote.multiplier.into())
    }

    fn detection_deadline(&self) -> Option<Time> {
        self.remote.map(|remote| remote.heard + self.detection_time(&remote))
    }

    /// How long the neighbour waits for us before it calls the session down,
    /// as far as we know.
    pub fn remote_detection_time(&self) -> Duration {
        self.transmit_interval().saturating_mul(self.settings.multiplier.into())
    }

    /// Whether packets go out at intervals (RFC 5880 §6.8.7).
    fn is_periodic(&self) -> bool {
        let Some(remote) = self.remote else { return true };
        let on_demand = remote.demand && self.state == State::Up && remote.state == State::Up;
        !remote.min_rx.is_zero() && (!on_demand || self.poll != Poll::Idle)
    }

    /// A changed interval counts from the last packet: a shorter one must not
    /// wait for the end of the longer (RFC 5880 §6.8.3).
    fn reschedule(&mut self, before: Duration) {
        if self.transmit_interval() != before {
            self.schedule();
        }
    }

    /// The next packet comes a jittered interval after the last (RFC 5880
    /// §6.8.7): 75 to 100 % of it, and 75 to 90 % where one lost packet is
    /// enough to end the session.
    fn schedule(&mut self) {
        let interval = u64::try_from(self.transmit_interval().as_nanos()).unwrap_or(u64::MAX);
        let longest = match self.settings.multiplier {
            1 => interval.saturating_sub(interval / 10),
            _ => interval,
        };
        let shortest = interval.saturating_sub(interval / 4);
        let spread = longest.saturating_sub(shortest);
        let wait = longest.saturating_sub(self.random.below(spread));
        self.next = self.sent + Duration::from_nanos(wait);
    }

    /// The next packet to send now: the answer to a poll, a packet because what
    /// it says has changed, or a periodic one (RFC 5880 §6.8.7). It takes the
    /// packet for sent.
    pub fn poll_transmit(&mut self, now: Time) -> Option<[u8; packet::LENGTH]> {
        let contents = self.contents();
        if std::mem::take(&mut self.final_due) {
            // Outside the schedule, so that a neighbour that polls often does
            // not keep us from polling.
            self.said = Some(contents);
            return Some(Packet { is_final: true, ..contents }.encode());
        }
        let periodic = self.is_periodic() && now >= self.next;
        if !periodic && self.said == Some(contents) {
            return None;
        }
        self.said = Some(contents);
        self.sent = now;
        self.schedule();
        Some(Packet { poll: self.poll != Poll::Idle, ..contents }.encode())
    }

    fn contents(&self) -> Packet {
        Packet {
            diagnostic: self.diagnostic,
            state: self.state,
            poll: false,
            is_final: false,
            // The session dies with the process that announces the routes.
            control_plane_independent: false,
            authenticated: false,
            demand: false,
            detect_multiplier: self.settings.multiplier,
            my_discriminator: self.discriminator,
            your_discriminator: self.remote.map_or(0, |remote| remote.discriminator.get()),
            desired_min_tx: self.announced.0,
            required_min_rx: self.announced.1,
            required_min_echo_rx: Duration::ZERO,
        }
    }

    /// When [`Session::timeout`] and [`Session::poll_transmit`] must be called
    /// next.
    pub fn deadline(&self) -> Option<Time> {
        let periodic = self.is_periodic().then_some(self.next);
        self.detection_deadline().into_iter().chain(periodic).min()
    }

    /// The next event, in order.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// The session's name.
    pub fn discriminator(&self) -> NonZeroU32 {
        self.discriminator
    }

    /// How the session stands.
    pub fn status(&self) -> Status {
        Status {
            state: self.state,
            diagnostic: self.diagnostic,
            remote: self.remote.map(|remote| (remote.state, remote.diagnostic)),
            transmit_interval: self.transmit_interval(),
            detection_time: self.remote.map(|remote| self.detection_time(&remote)),
        }
    }
}
