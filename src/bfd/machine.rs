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

    /// Whether the detection time has passed without a packet.
    pub fn is_silent(&self, now: Time) -> bool {
        self.detection_deadline().is_some_and(|deadline| now >= deadline)
    }

    /// Judges the silence of the neighbour (RFC 5880 §6.8.4).
    pub fn timeout(&mut self, now: Time) {
        if !self.is_silent(now) {
            return;
        }
        let interval = self.transmit_interval();
        // RFC 5880 §6.8.1: the remote discriminator is forgotten after a
        // detection time in any state; what else was said has no more weight.
        self.remote = None;
        self.poll = Poll::Idle;
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

#[cfg(test)]
mod tests {
    use super::*;

    const NEIGHBOR_SIGNALED: Event = Event::Down { diagnostic: Diagnostic::NEIGHBOR_SIGNALED_DOWN };
    const EXPIRED: Event = Event::Down { diagnostic: Diagnostic::DETECTION_TIME_EXPIRED };
    const A: usize = 0;
    const B: usize = 1;

    fn millis(count: u64) -> Duration {
        Duration::from_millis(count)
    }

    fn name(number: u32) -> NonZeroU32 {
        NonZeroU32::new(number).unwrap()
    }

    fn settings(min_tx: u64, min_rx: u64, multiplier: u8) -> Settings {
        Settings {
            min_tx: millis(min_tx),
            min_rx: millis(min_rx),
            multiplier,
            path: Path::SingleHop,
        }
    }

    /// Two sessions, and a wire for each direction.
    struct World {
        now: Time,
        sessions: [Session; 2],
        wires: [VecDeque<(Time, Packet)>; 2],
        delay: [Duration; 2],
        cut: [bool; 2],
        /// So many packets of a hundred are lost.
        loss: u64,
        /// At most so many in a row, in each direction.
        row: [u32; 2],
        longest_row: u32,
        random: Random,
        events: Vec<(Time, usize, Event)>,
        sent: [Vec<(Time, Packet)>; 2],
    }

    impl World {
        fn new(settings: [Settings; 2], seed: u64) -> World {
            let [a, b] = settings;
            World {
                now: Time::from_millis(1000),
                sessions: [Session::new(a, name(10), seed), Session::new(b, name(20), !seed)],
                wires: Default::default(),
                delay: [millis(2); 2],
                cut: [false; 2],
                loss: 0,
                row: [0; 2],
                longest_row: u32::MAX,
                random: Random::new(seed.rotate_left(7)),
                events: Vec::new(),
                sent: Default::default(),
            }
        }

        /// Both with 100 ms and a multiplier of 3, and Up.
        fn up(seed: u64) -> World {
            let mut world = World::new([settings(100, 100, 3); 2], seed);
            world.run(5000);
            assert_eq!(world.take_events(), [(A, Event::Up), (B, Event::Up)]);
            world
        }

        fn loses(&mut self, who: usize) -> bool {
            let lost = self.random.below(100) < self.loss && self.row[who] < self.longest_row;
            self.row[who] = if lost { self.row[who] + 1 } else { 0 };
            lost || self.cut[who]
        }

        fn settle(&mut self, who: usize) {
            while let Some(octets) = self.sessions[who].poll_transmit(self.now) {
                let packet = Packet::parse(&octets).unwrap();
                assert!(!(packet.poll && packet.is_final), "never both");
                self.sent[who].push((self.now, packet));
                if !self.loses(who) {
                    let arrival = self.now + self.delay[who];
                    self.wires[who].push_back((arrival, packet));
                }
            }
            while let Some(event) = self.sessions[who].poll_event() {
                self.events.push((self.now, who, event));
            }
        }

        fn run(&mut self, milliseconds: u64) {
            let end = self.now + millis(milliseconds);
            loop {
                for who in [A, B] {
                    self.settle(who);
                }
                let arrivals = self.wires.iter().filter_map(|wire| Some(wire.front()?.0));
                let deadlines = self.sessions.iter().filter_map(Session::deadline);
                let next = arrivals.chain(deadlines).min().unwrap().max(self.now);
                if next > end {
                    self.now = end;
                    return;
                }
                self.now = next;
                for who in [A, B] {
                    let arrived = self.wires[1 - who].front().is_some_and(|p| p.0 <= next);
                    if arrived && let Some((_, packet)) = self.wires[1 - who].pop_front() {
                        self.deliver(who, &packet);
                    }
                    self.sessions[who].timeout(next);
                }
            }
        }

        fn deliver(&mut self, who: usize, packet: &Packet) {
            let session = &mut self.sessions[who];
            if [0, session.discriminator().get()].contains(&packet.your_discriminator) {
                session.receive(self.now, packet, MAXIMUM_TTL).unwrap();
            }
        }

        fn take_events(&mut self) -> Vec<(usize, Event)> {
            let mut events: Vec<_> =
                std::mem::take(&mut self.events).iter().map(|e| (e.1, e.2)).collect();
            events.sort_by_key(|event| event.0);
            events
        }

        fn states(&self) -> [State; 2] {
            [A, B].map(|who| self.sessions[who].state)
        }

        fn is_polling(&self) -> [bool; 2] {
            [A, B].map(|who| self.sessions[who].poll != Poll::Idle)
        }

        /// The times between two packets of one end, without answers to polls.
        fn gaps(&self, who: usize) -> Vec<Duration> {
            let times: Vec<Time> =
                self.sent[who].iter().filter(|(_, p)| !p.is_final).map(|(at, _)| *at).collect();
            times.windows(2).map(|pair| pair[1].since(pair[0])).collect()
        }
    }

    fn packet(state: State, your_discriminator: u32) -> Packet {
        Packet {
            diagnostic: Diagnostic::NONE,
            state,
            poll: false,
            is_final: false,
            control_plane_independent: false,
            authenticated: false,
            demand: false,
            detect_multiplier: 3,
            my_discriminator: name(77),
            your_discriminator,
            desired_min_tx: millis(100),
            required_min_rx: millis(100),
            required_min_echo_rx: Duration::ZERO,
        }
    }

    /// A session that has just become Up at `now`, with nothing left to send.
    fn session_up(now: Time) -> Session {
        let mut session = Session::new(settings(100, 100, 3), name(10), 1);
        session.receive(now, &packet(State::Init, 10), 255).unwrap();
        assert_eq!(session.poll_event(), Some(Event::Up));
        while session.poll_transmit(now).is_some() {}
        session.receive(now, &Packet { is_final: true, ..packet(State::Up, 10) }, 255).unwrap();
        while session.poll_transmit(now).is_some() {}
        session
    }

    fn say(session: &mut Session, now: Time) -> Option<Packet> {
        session.poll_transmit(now).map(|octets| Packet::parse(&octets).unwrap())
    }

    #[test]
    fn two_sessions_come_up_in_a_few_round_trips_and_then_speed_up() {
        for seed in 0..20 {
            let mut world = World::new([settings(100, 100, 3); 2], seed);
            world.run(20);
            assert_eq!(world.states(), [State::Up; 2], "seed {seed}");
            assert_eq!(world.is_polling(), [false; 2], "seed {seed}");
            world.run(10);
            world.sent = Default::default();
            world.run(10_000);
            assert_eq!(world.take_events(), [(A, Event::Up), (B, Event::Up)]);
            for who in [A, B] {
                let gaps = world.gaps(who);
                assert!(gaps.iter().all(|gap| (millis(75)..=millis(100)).contains(gap)));
                let (shortest, longest) = (gaps.iter().min().unwrap(), gaps.iter().max().unwrap());
                assert!(*longest - *shortest > millis(20), "jitter of RFC 5880 §6.8.7");
                assert_eq!(world.sessions[who].status().detection_time, Some(millis(300)));
            }
        }
    }

    #[test]
    fn one_lost_packet_too_many_leaves_room_for_jitter() {
        let mut world = World::new([settings(100, 100, 1); 2], 3);
        world.run(30);
        world.sent = Default::default();
        world.run(20_000);
        assert_eq!(world.states(), [State::Up; 2]);
        assert_eq!(world.events.len(), 2, "never down");
        for who in [A, B] {
            let gaps = world.gaps(who);
            assert!(gaps.iter().all(|gap| (millis(75)..=millis(90)).contains(gap)), "{gaps:?}");
        }
    }

    #[test]
    fn nobody_is_flooded_before_the_session_is_up() {
        let mut world = World::new([settings(10, 10, 3); 2], 4);
        world.cut = [true; 2];
        world.run(60_000);
        for who in [A, B] {
            let gaps = world.gaps(who);
            assert!(gaps.iter().all(|gap| (millis(750)..=millis(1000)).contains(gap)));
            assert!(world.sent[who].iter().all(|(_, p)| p.desired_min_tx == SLOW && !p.poll));
        }
        assert!(world.events.is_empty());
        // An interval above a second is not made shorter.
        let mut world = World::new([settings(5000, 10, 3); 2], 4);
        world.cut = [true; 2];
        world.run(60_000);
        assert!(world.gaps(A).iter().all(|gap| *gap >= millis(3750)));
    }

    #[test]
    fn silence_is_noticed_after_exactly_the_detection_time() {
        let mut world = World::up(5);
        world.cut = [true; 2];
        let heard = [A, B].map(|who| world.sent[1 - who].last().unwrap().0 + millis(2));
        world.run(1000);
        let mut events = std::mem::take(&mut world.events);
        events.sort_by_key(|event| event.1);
        assert_eq!(
            events,
            [(heard[A] + millis(300), A, EXPIRED), (heard[B] + millis(300), B, EXPIRED)]
        );
        let said = world.sent[A].last().unwrap().1;
        assert_eq!((said.state, said.your_discriminator), (State::Down, 0));
        assert_eq!(said.diagnostic, Diagnostic::DETECTION_TIME_EXPIRED);
        world.cut = [false; 2];
        world.run(2000);
        assert_eq!(world.take_events(), [(A, Event::Up), (B, Event::Up)]);
        assert_eq!(world.sent[A].last().unwrap().1.diagnostic, Diagnostic::NONE);
    }

    #[test]
    fn with_one_direction_cut_one_end_notices_and_tells_the_other() {
        for (cut, deaf) in [(A, B), (B, A)] {
            let mut world = World::up(6);
            world.cut[cut] = true;
            world.run(1000);
            let mut events = world.take_events();
            events.sort_by_key(|event| event.0 != deaf);
            assert_eq!(events, [(deaf, EXPIRED), (cut, NEIGHBOR_SIGNALED)]);
            // Neither is up again while one direction is missing.
            world.run(60_000);
            assert!(world.events.is_empty());
            world.cut[cut] = false;
            world.run(2000);
            assert_eq!(world.states(), [State::Up; 2]);
        }
    }

    #[test]
    fn each_direction_has_the_slower_of_the_two_wishes() {
        let mut world = World::new([settings(50, 400, 3), settings(200, 100, 5)], 7);
        world.run(5000);
        world.sent = Default::default();
        world.run(10_000);
        assert!(world.gaps(A).iter().all(|gap| (millis(75)..=millis(100)).contains(gap)));
        assert!(world.gaps(B).iter().all(|gap| (millis(300)..=millis(400)).contains(gap)));
        let [a, b] = [A, B].map(|who| world.sessions[who].status());
        assert_eq!((a.transmit_interval, a.detection_time), (millis(100), Some(millis(2000))));
        assert_eq!((b.transmit_interval, b.detection_time), (millis(400), Some(millis(300))));
        assert_eq!(world.events.len(), 2);
    }

    #[test]
    fn losses_below_the_multiplier_are_no_failure() {
        for seed in 0..20 {
            let mut world = World::up(seed);
            world.loss = 40;
            world.longest_row = 1;
            world.run(60_000);
            assert!(world.events.is_empty(), "seed {seed}: {:?}", world.events);
        }
    }

    #[test]
    fn a_neighbour_that_begins_again_is_noticed_at_once() {
        let mut world = World::up(8);
        world.sessions[B] = Session::new(settings(100, 100, 3), name(21), 99);
        world.wires = Default::default();
        let began = world.now;
        world.run(50);
        assert_eq!(world.take_events(), [(A, NEIGHBOR_SIGNALED), (A, Event::Up), (B, Event::Up)]);
        assert!(world.now.since(began) <= millis(50));
        assert_eq!(world.sent[A].last().unwrap().1.your_discriminator, 21);
    }

    #[test]
    fn what_is_taken_down_on_purpose_is_no_failure() {
        let mut world = World::up(9);
        world.sessions[A].administratively_down();
        world.run(10_000);
        assert_eq!(world.take_events(), [(A, Event::AdminDown), (B, Event::AdminDown)]);
        assert_eq!(world.states(), [State::AdminDown, State::Down]);
        let said = world.sent[A].last().unwrap().1;
        assert_eq!(said.diagnostic, Diagnostic::ADMINISTRATIVELY_DOWN);
        assert_eq!(world.sent[B].last().unwrap().1.diagnostic, Diagnostic::NEIGHBOR_SIGNALED_DOWN);
        let ends = world.sent[A].iter().rev().take(5);
        assert!(ends.clone().all(|(_, p)| p.desired_min_tx == SLOW), "slow again");
        world.sessions[A].administratively_down();
        world.run(100);
        assert!(world.events.is_empty(), "once is enough");
        world.sessions[A].enable();
        world.run(50);
        assert_eq!(world.take_events(), [(A, Event::Up), (B, Event::Up)]);
        world.sessions[A].enable();
        world.run(1000);
        assert!(world.events.is_empty());
    }

    #[test]
    fn a_longer_interval_waits_until_the_neighbour_knows_it() {
        let mut world = World::up(10);
        world.cut[B] = true;
        world.sessions[A].change(settings(900, 100, 3));
        world.sent = Default::default();
        world.run(200);
        // The answer is lost: P goes on, at the old pace.
        assert!(world.sent[A].len() >= 2);
        assert!(world.sent[A].iter().all(|(_, p)| p.poll && p.desired_min_tx == millis(900)));
        assert!(world.gaps(A).iter().all(|gap| *gap <= millis(100)));
        assert!(world.sent[B].iter().any(|(_, p)| p.is_final));
        world.cut[B] = false;
        world.run(500);
        assert_eq!(world.is_polling(), [false; 2]);
        world.sent = Default::default();
        world.run(20_000);
        assert!(world.gaps(A).iter().all(|gap| *gap >= millis(675)));
        assert!(world.sent[A].iter().all(|(_, p)| !p.poll));
        assert_eq!(world.sessions[B].status().detection_time, Some(millis(2700)));
        assert!(world.events.is_empty(), "{:?}", world.events);
    }

    #[test]
    fn a_shorter_detection_time_waits_until_the_neighbour_is_faster() {
        let mut world = World::new([settings(10, 1000, 3), settings(10, 1000, 3)], 11);
        world.run(5000);
        assert_eq!(world.states(), [State::Up; 2]);
        world.cut[B] = true;
        world.sessions[A].change(settings(10, 50, 3));
        world.run(100);
        assert_eq!(world.sessions[A].status().detection_time, Some(millis(3000)), "not yet");
        // B sends at the new pace at once: RFC 5880 §6.8.3.
        assert!(world.gaps(B).last().is_some_and(|gap| *gap <= millis(50)));
        world.cut[B] = false;
        world.run(1500);
        assert_eq!(world.sessions[A].status().detection_time, Some(millis(150)));
        world.run(10_000);
        assert_eq!(world.events.len(), 2, "never down: {:?}", world.events);
        // And back: a longer one is used at once.
        world.sessions[A].change(settings(10, 1000, 3));
        assert_eq!(world.sessions[A].status().detection_time, Some(millis(3000)));
        world.run(10_000);
        assert_eq!(world.events.len(), 2);
    }

    #[test]
    fn a_change_during_a_poll_gets_a_poll_of_its_own() {
        let now = Time::from_millis(5000);
        let mut session = session_up(now);
        session.change(settings(200, 100, 3));
        assert!(say(&mut session, now).unwrap().poll);
        session.change(settings(400, 100, 3));
        let answer = Packet { is_final: true, ..packet(State::Up, 10) };
        session.receive(now, &answer, 255).unwrap();
        assert_eq!(session.transmit_interval(), millis(100), "an answer to the first");
        assert!(say(&mut session, now).unwrap().poll);
        session.receive(now, &answer, 255).unwrap();
        assert_eq!(session.transmit_interval(), millis(400));
        assert_eq!(say(&mut session, now), None);
    }

    #[test]
    fn a_poll_is_answered_at_once_and_does_not_slow_ours() {
        let mut now = Time::from_millis(5000);
        let mut session = session_up(now);
        session.change(settings(300, 100, 3));
        let mut polls = 0;
        for _ in 0..1000 {
            now = now + millis(1);
            session.receive(now, &Packet { poll: true, ..packet(State::Up, 10) }, 255).unwrap();
            let answer = say(&mut session, now).unwrap();
            assert!(answer.is_final && !answer.poll);
            polls += std::iter::from_fn(|| say(&mut session, now)).filter(|p| p.poll).count();
        }
        assert!((10..=14).contains(&polls), "{polls}");
    }

    #[test]
    fn while_administratively_down_no_poll_is_answered() {
        let now = Time::from_millis(5000);
        let mut session = session_up(now);
        session.administratively_down();
        assert_eq!(say(&mut session, now).unwrap().state, State::AdminDown);
        session.receive(now, &Packet { poll: true, ..packet(State::Up, 10) }, 255).unwrap();
        assert_eq!(say(&mut session, now), None);
        assert_eq!(session.status().state, State::AdminDown);
    }

    #[test]
    fn a_neighbour_can_ask_for_silence() {
        let now = Time::from_millis(5000);
        for (asks, silence) in [
            (packet(State::Up, 10), false),
            (Packet { demand: true, ..packet(State::Up, 10) }, true),
            (Packet { required_min_rx: Duration::ZERO, ..packet(State::Up, 10) }, true),
        ] {
            let mut session = session_up(now);
            session.receive(now, &asks, 255).unwrap();
            while say(&mut session, now).is_some() {}
            assert_eq!(say(&mut session, now + millis(200)).is_none(), silence, "{asks:?}");
            // Its own silence is judged all the same, and what changes is told.
            let deadline = session.deadline().unwrap();
            assert!(deadline <= now + millis(300));
            session.timeout(now + millis(300));
            assert_eq!(session.poll_event(), Some(EXPIRED));
            assert_eq!(say(&mut session, now + millis(300)).unwrap().state, State::Down);
        }
        // A poll goes out although the neighbour is in demand mode.
        let mut session = session_up(now);
        let asks = Packet { demand: true, ..packet(State::Up, 10) };
        session.receive(now, &asks, 255).unwrap();
        session.change(settings(200, 100, 3));
        assert!(say(&mut session, now).unwrap().poll);
        assert!(say(&mut session, now + millis(200)).unwrap().poll, "until it is answered");
    }

    #[test]
    fn far_packets_and_authenticated_ones_change_nothing() {
        let now = Time::from_millis(5000);
        let multihop = |minimum_ttl| Settings {
            path: Path::Multihop { minimum_ttl },
            ..settings(100, 100, 3)
        };
        for (settings, ttl, expected) in [
            (settings(100, 100, 3), 255, Ok(())),
            (settings(100, 100, 3), 254, Err(Discard::Ttl)),
            (settings(100, 100, 3), 0, Err(Discard::Ttl)),
            (multihop(250), 250, Ok(())),
            (multihop(250), 249, Err(Discard::Ttl)),
            (multihop(0), 0, Ok(())),
        ] {
            let mut session = Session::new(settings, name(10), 1);
            assert_eq!(session.receive(now, &packet(State::Down, 0), ttl), expected);
            let state = if expected.is_ok() { State::Init } else { State::Down };
            assert_eq!(session.status().state, state, "{settings:?} {ttl}");
            assert_eq!(session.status().remote.is_some(), expected.is_ok());
        }
        let mut session = session_up(now);
        let signed = Packet { authenticated: true, ..packet(State::Down, 10) };
        assert_eq!(session.receive(now, &signed, 255), Err(Discard::Authentication));
        assert_eq!(session.status().state, State::Up);
    }

    /// RFC 5880 §6.2, every state against every state.
    #[test]
    fn the_state_machine_is_the_one_of_the_rfc() {
        use State::{AdminDown, Down, Init, Up};
        let table = [
            (AdminDown, [AdminDown, AdminDown, AdminDown, AdminDown]),
            (Down, [Down, Init, Up, Down]),
            (Init, [Down, Init, Up, Up]),
            (Up, [Down, Down, Up, Up]),
        ];
        let now = Time::from_millis(5000);
        for (from, results) in table {
            for (remote, expected) in [AdminDown, Down, Init, Up].into_iter().zip(results) {
                let mut session = Session::new(settings(100, 100, 3), name(10), 1);
                session.state = from;
                session.receive(now, &packet(remote, 10), 255).unwrap();
                assert_eq!(session.state, expected, "{from} hears {remote}");
                let event = match (from, expected, remote) {
                    (Up, Down, AdminDown) => Some(Event::AdminDown),
                    (Up, Down, _) => Some(NEIGHBOR_SIGNALED),
                    (Down | Init, Up, _) => Some(Event::Up),
                    _ => None,
                };
                assert_eq!(session.poll_event(), event, "{from} hears {remote}");
            }
        }
    }

    #[test]
    fn a_name_that_was_not_heard_again_is_forgotten() {
        let now = Time::from_millis(5000);
        let mut session = Session::new(settings(100, 100, 3), name(10), 1);
        session.receive(now, &packet(State::AdminDown, 0), 255).unwrap();
        assert_eq!(say(&mut session, now).unwrap().your_discriminator, 77);
        assert_eq!(session.deadline().unwrap(), now + millis(300), "though it is Down");
        assert!(!session.is_silent(now + millis(299)));
        session.timeout(now + millis(300));
        assert_eq!(say(&mut session, now + millis(300)).unwrap().your_discriminator, 0);
        assert_eq!(session.poll_event(), None);
    }

    #[test]
    fn zeros_in_the_settings_are_the_least_there_is() {
        let nothing = settings(0, 0, 0);
        let mut session = Session::new(nothing, name(10), 1);
        let said = say(&mut session, Time::ZERO).unwrap();
        assert_eq!((said.detect_multiplier, said.required_min_rx), (1, UNKNOWN_MIN_RX));
    }

    /// Whatever happens to the wires, the ends agree when they are whole again,
    /// and every Down follows an Up.
    #[test]
    fn after_any_trouble_both_ends_are_up_again() {
        for seed in 0..200 {
            let mut world = World::new([settings(50, 80, 3), settings(120, 30, 4)], seed);
            let mut restarts = 100;
            for _ in 0..60 {
                match world.random.below(8) {
                    0 => world.cut[A] ^= true,
                    1 => world.cut[B] ^= true,
                    2 => world.loss = world.random.below(60),
                    3 => {
                        let who = world.random.index(2);
                        world.delay[who] = millis(world.random.below(200));
                    }
                    4 => {
                        restarts += 1;
                        let who = world.random.index(2);
                        let settings = world.sessions[who].settings;
                        world.sessions[who] = Session::new(settings, name(restarts), seed);
                        // Its owner has forgotten that it was Up, as has the test.
                        world.events.push((world.now, who, Event::AdminDown));
                    }
                    5 => {
                        let who = world.random.index(2);
                        match world.random.below(2) {
                            0 => world.sessions[who].administratively_down(),
                            _ => world.sessions[who].enable(),
                        }
                    }
                    6 => {
                        let who = world.random.index(2);
                        let new = settings(20 + world.random.below(300), 30, 3);
                        world.sessions[who].change(new);
                    }
                    _ => {}
                }
                let pause = world.random.below(1500);
                world.run(pause);
            }
            world.cut = [false; 2];
            world.loss = 0;
            world.delay = [millis(5); 2];
            world.sessions.iter_mut().for_each(Session::enable);
            world.run(10_000);
            assert_eq!(world.states(), [State::Up; 2], "seed {seed}");
            assert_eq!(world.is_polling(), [false; 2], "seed {seed}");
            for who in [A, B] {
                let mut up = false;
                for (_, _, event) in world.events.iter().filter(|event| event.1 == who) {
                    let was = std::mem::replace(&mut up, *event == Event::Up);
                    assert!(was != up || *event == Event::AdminDown, "seed {seed}: {event:?}");
                }
                assert!(up, "seed {seed}");
            }
        }
    }

    #[test]
    fn any_packet_is_survived() {
        let mut random = Random::new(12);
        let mut now = Time::from_millis(1000);
        let mut session = Session::new(settings(100, 100, 3), name(10), 1);
        let mut ups = 0;
        for _ in 0..100_000 {
            let mut octets = [0; packet::LENGTH];
            for place in octets.chunks_exact_mut(8) {
                place.copy_from_slice(&random.next_u64().to_be_bytes());
            }
            octets[0] = 0x20;
            octets[1] &= 0xfa;
            octets[3] = 24;
            if let Ok(packet) = Packet::parse(&octets) {
                session.receive(now, &packet, 255).unwrap();
            }
            while session.poll_transmit(now).is_some() {}
            ups += std::iter::from_fn(|| session.poll_event()).filter(|e| *e == Event::Up).count();
            now = now + Duration::from_nanos(random.below(1 << 28));
            session.timeout(now);
            assert!(session.deadline().is_some());
        }
        assert!(ups > 1000, "{ups}");
    }
}
