//! The control packet of RFC 5880 §4.1: octets to a value and back.

use std::fmt;
use std::num::NonZeroU32;
use std::time::Duration;

/// Octets of a packet without an authentication section.
pub const LENGTH: usize = 24;

/// The smallest correct Length of a packet with an authentication section (RFC
/// 5880 §6.8.6).
const AUTHENTICATED_LENGTH: u8 = 26;

/// The protocol's version.
const VERSION: u8 = 1;

/// The flags of the second octet (RFC 5880 §4.1).
mod flag {
    pub(super) const POLL: u8 = 0x20;
    pub(super) const FINAL: u8 = 0x10;
    pub(super) const CONTROL_PLANE_INDEPENDENT: u8 = 0x08;
    pub(super) const AUTHENTICATION_PRESENT: u8 = 0x04;
    pub(super) const DEMAND: u8 = 0x02;
    pub(super) const MULTIPOINT: u8 = 0x01;
}

/// The states of a session (RFC 5880 §6.2), by their numbers on the wire.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum State {
    /// Held down on purpose.
    AdminDown = 0,
    /// Not up, or just begun.
    #[default]
    Down = 1,
    /// The neighbour is heard, but does not say yet that it hears us.
    Init = 2,
    /// Both ends hear each other.
    Up = 3,
}

impl State {
    const fn from_bits(bits: u8) -> State {
        match bits & 3 {
            0 => State::AdminDown,
            1 => State::Down,
            2 => State::Init,
            _ => State::Up,
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            State::AdminDown => "AdminDown",
            State::Down => "Down",
            State::Init => "Init",
            State::Up => "Up",
        })
    }
}

/// Why a session last changed its state: five bits (RFC 5880 §4.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Diagnostic(u8);

impl Diagnostic {
    /// No Diagnostic
    pub const NONE: Diagnostic = Diagnostic(0);
    /// Control Detection Time Expired
    pub const DETECTION_TIME_EXPIRED: Diagnostic = Diagnostic(1);
    /// Neighbor Signaled Session Down
    pub const NEIGHBOR_SIGNALED_DOWN: Diagnostic = Diagnostic(3);
    /// Administratively Down
    pub const ADMINISTRATIVELY_DOWN: Diagnostic = Diagnostic(7);

    /// The number on the wire.
    pub const fn code(self) -> u8 {
        self.0
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            0 => "no diagnostic",
            1 => "control detection time expired",
            2 => "echo function failed",
            3 => "neighbor signaled session down",
            4 => "forwarding plane reset",
            5 => "path down",
            6 => "concatenated path down",
            7 => "administratively down",
            8 => "reverse concatenated path down",
            other => return write!(f, "diagnostic {other}"),
        })
    }
}

/// Why a received packet was discarded: a rule of RFC 5880 §6.8.6 each, in its
/// order, but for the last one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Discard {
    /// The version is not 1.
    Version,
    /// Length is less than a packet has.
    Length,
    /// Length is more than what arrived.
    Truncated,
    /// Detect Mult is zero.
    DetectMultiplier,
    /// The Multipoint bit is set.
    Multipoint,
    /// My Discriminator is zero.
    MyDiscriminator,
    /// Your Discriminator names no session.
    UnknownDiscriminator,
    /// Your Discriminator is zero in a state in which the neighbour knows ours.
    StateWithoutDiscriminator,
    /// Your Discriminator is zero, and no session has these addresses.
    UnknownNeighbor,
    /// The A bit is set, and no authentication is in use.
    Authentication,
    /// It came from farther away than the session allows (RFC 5881 §5).
    Ttl,
}

impl Discard {
    /// All reasons, each at the place of its number.
    pub const ALL: [Discard; 11] = [
        Discard::Version,
        Discard::Length,
        Discard::Truncated,
        Discard::DetectMultiplier,
        Discard::Multipoint,
        Discard::MyDiscriminator,
        Discard::UnknownDiscriminator,
        Discard::StateWithoutDiscriminator,
        Discard::UnknownNeighbor,
        Discard::Authentication,
        Discard::Ttl,
    ];
}

impl Discard {
    /// Its name, as a label of metrics.
    pub fn name(self) -> &'static str {
        match self {
            Discard::Version => "version",
            Discard::Length => "length",
            Discard::Truncated => "truncated",
            Discard::DetectMultiplier => "detect-multiplier",
            Discard::Multipoint => "multipoint",
            Discard::MyDiscriminator => "my-discriminator",
            Discard::UnknownDiscriminator => "unknown-discriminator",
            Discard::StateWithoutDiscriminator => "state-without-discriminator",
            Discard::UnknownNeighbor => "unknown-neighbour",
            Discard::Authentication => "authentication",
            Discard::Ttl => "ttl",
        }
    }
}

impl fmt::Display for Discard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Discard::Version => "unknown version",
            Discard::Length => "length too small",
            Discard::Truncated => "length exceeds the datagram",
            Discard::DetectMultiplier => "detect multiplier is zero",
            Discard::Multipoint => "multipoint bit is set",
            Discard::MyDiscriminator => "my discriminator is zero",
            Discard::UnknownDiscriminator => "your discriminator names no session",
            Discard::StateWithoutDiscriminator => "your discriminator is zero in state Init or Up",
            Discard::UnknownNeighbor => "no session with these addresses",
            Discard::Authentication => "authentication is not in use",
            Discard::Ttl => "ttl is too low",
        })
    }
}

/// A control packet. Intervals have whole microseconds on the wire, 32 bits of
/// them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Packet {
    /// Why the sender's session last changed its state.
    pub diagnostic: Diagnostic,
    /// The sender's state.
    pub state: State,
    /// P: the sender asks for a packet with F.
    pub poll: bool,
    /// F: the answer to a packet with P.
    pub is_final: bool,
    /// C: BFD lives on when the sender's control plane dies.
    pub control_plane_independent: bool,
    /// A: an authentication section follows, which is not read.
    pub authenticated: bool,
    /// D: the sender asks for no periodic packets while both ends are Up.
    pub demand: bool,
    /// Detect Mult: so many of the sender's packets may be lost in a row.
    pub detect_multiplier: u8,
    /// The sender's name for the session.
    pub my_discriminator: NonZeroU32,
    /// The receiver's name for the session; zero while it is not known.
    pub your_discriminator: u32,
    /// The sender would send at this interval, or a longer one.
    pub desired_min_tx: Duration,
    /// The sender takes packets at this interval; zero: no periodic ones.
    pub required_min_rx: Duration,
    /// The same for echo packets; zero: none.
    pub required_min_echo_rx: Duration,
}

impl Packet {
    /// Reads the payload of a datagram. Here are the rules of RFC 5880 §6.8.6
    /// that need no more than the packet; the door looks for its session, and
    /// the session judges what depends on its own settings.
    ///
    /// # Errors
    /// The first rule that discards the packet.
    pub fn parse(payload: &[u8]) -> Result<Packet, Discard> {
        let (&first, _) = payload.split_first().ok_or(Discard::Truncated)?;
        // "If the version number is not correct (1)".
        if first >> 5 != VERSION {
            return Err(Discard::Version);
        }
        let head = payload.first_chunk::<LENGTH>().ok_or(Discard::Truncated)?;
        let [_, flags, detect_multiplier, length, rest @ ..] = *head;
        let authenticated = flags & flag::AUTHENTICATION_PRESENT != 0;
        // "If the Length field is less than the minimum correct value (24 if
        // the A bit is clear, or 26 if the A bit is set)".
        if length < if authenticated { AUTHENTICATED_LENGTH } else { LENGTH as u8 } {
            return Err(Discard::Length);
        }
        // "If the Length field is greater than the payload".
        if usize::from(length) > payload.len() {
            return Err(Discard::Truncated);
        }
        // "If the Detect Mult field is zero".
        if detect_multiplier == 0 {
            return Err(Discard::DetectMultiplier);
        }
        // "If the Multipoint (M) bit is nonzero".
        if flags & flag::MULTIPOINT != 0 {
            return Err(Discard::Multipoint);
        }
        let [mine, your_discriminator, tx, rx, echo] = words(&rest);
        // "If the My Discriminator field is zero".
        let my_discriminator = NonZeroU32::new(mine).ok_or(Discard::MyDiscriminator)?;
        let state = State::from_bits(flags >> 6);
        // "If the Your Discriminator field is zero and the State field is not
        // Down or AdminDown".
        if your_discriminator == 0 && matches!(state, State::Init | State::Up) {
            return Err(Discard::StateWithoutDiscriminator);
        }
        let micros = |count: u32| Duration::from_micros(count.into());
        Ok(Packet {
            diagnostic: Diagnostic(first & 0x1f),
            state,
            poll: flags & flag::POLL != 0,
            is_final: flags & flag::FINAL != 0,
            control_plane_independent: flags & flag::CONTROL_PLANE_INDEPENDENT != 0,
            authenticated,
            demand: flags & flag::DEMAND != 0,
            detect_multiplier,
            my_discriminator,
            your_discriminator,
            desired_min_tx: micros(tx),
            required_min_rx: micros(rx),
            required_min_echo_rx: micros(echo),
        })
    }

    /// The packet's octets. No authentication section is written, so the A bit
    /// is clear; intervals are cut to what 32 bits hold, 71 minutes.
    pub fn encode(&self) -> [u8; LENGTH] {
        let bit = |set: bool, bit: u8| if set { bit } else { 0 };
        let flags = (self.state as u8) << 6
            | bit(self.poll, flag::POLL)
            | bit(self.is_final, flag::FINAL)
            | bit(self.control_plane_independent, flag::CONTROL_PLANE_INDEPENDENT)
            | bit(self.demand, flag::DEMAND);
        let head =
            [VERSION << 5 | self.diagnostic.0 & 0x1f, flags, self.detect_multiplier, LENGTH as u8];
        let words = [
            self.my_discriminator.get(),
            self.your_discriminator,
            micros(self.desired_min_tx),
            micros(self.required_min_rx),
            micros(self.required_min_echo_rx),
        ];
        let mut octets = [0; LENGTH];
        let fields = std::iter::once(head).chain(words.map(u32::to_be_bytes));
        for (place, field) in octets.chunks_exact_mut(4).zip(fields) {
            place.copy_from_slice(&field);
        }
        octets
    }
}

/// The five words after the first, in network byte order.
fn words(octets: &[u8; LENGTH - 4]) -> [u32; 5] {
    let (chunks, _) = octets.as_chunks::<4>();
    let mut words = [0; 5];
    for (word, chunk) in words.iter_mut().zip(chunks) {
        *word = u32::from_be_bytes(*chunk);
    }
    words
}

fn micros(duration: Duration) -> u32 {
    u32::try_from(duration.as_micros()).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reactor::random::Random;

    /// A packet in state Up as RFC 5880 §4.1 draws it.
    const UP: [u8; LENGTH] = [
        0x20, 0xc0, 3, 24, 0x01, 0x02, 0x03, 0x04, 0x0a, 0x0b, 0x0c, 0x0d, 0x00, 0x04, 0x93, 0xe0,
        0x00, 0x0f, 0x42, 0x40, 0, 0, 0, 0,
    ];

    fn with(place: usize, octet: u8) -> [u8; LENGTH] {
        let mut octets = UP;
        octets[place] = octet;
        octets
    }

    #[test]
    fn fields_are_where_the_rfc_draws_them() {
        let packet = Packet::parse(&UP).unwrap();
        let expected = Packet {
            diagnostic: Diagnostic::NONE,
            state: State::Up,
            poll: false,
            is_final: false,
            control_plane_independent: false,
            authenticated: false,
            demand: false,
            detect_multiplier: 3,
            my_discriminator: NonZeroU32::new(0x0102_0304).unwrap(),
            your_discriminator: 0x0a0b_0c0d,
            desired_min_tx: Duration::from_millis(300),
            required_min_rx: Duration::from_secs(1),
            required_min_echo_rx: Duration::ZERO,
        };
        assert_eq!(packet, expected);
        assert_eq!(packet.encode(), UP);
        assert!(Packet::parse(&with(1, 0xe0)).unwrap().poll);
        assert!(Packet::parse(&with(1, 0xd0)).unwrap().is_final);
        assert!(Packet::parse(&with(1, 0xc8)).unwrap().control_plane_independent);
        assert!(Packet::parse(&with(1, 0xc2)).unwrap().demand);
        assert_eq!(Packet::parse(&with(1, 0x80)).unwrap().state, State::Init);
        assert_eq!(Packet::parse(&with(1, 0x40)).unwrap().state, State::Down);
        assert_eq!(Packet::parse(&with(1, 0x00)).unwrap().state, State::AdminDown);
        assert_eq!(Packet::parse(&with(0, 0x3f)).unwrap().diagnostic.code(), 31);
    }

    #[test]
    fn each_rule_discards_what_it_names() {
        assert_eq!(Packet::parse(&with(0, 0x00)), Err(Discard::Version));
        assert_eq!(Packet::parse(&with(0, 0x40)), Err(Discard::Version));
        assert_eq!(Packet::parse(&with(3, 23)), Err(Discard::Length));
        assert_eq!(Packet::parse(&with(3, 25)), Err(Discard::Truncated));
        assert_eq!(Packet::parse(&with(2, 0)), Err(Discard::DetectMultiplier));
        assert_eq!(Packet::parse(&with(1, 0xc1)), Err(Discard::Multipoint));
        let mut octets = UP;
        octets[4..8].fill(0);
        assert_eq!(Packet::parse(&octets), Err(Discard::MyDiscriminator));
        for flags in [0x00, 0x40, 0x80, 0xc0] {
            let mut octets = with(1, flags);
            octets[8..12].fill(0);
            let expected = (flags >= 0x80).then_some(Discard::StateWithoutDiscriminator);
            assert_eq!(Packet::parse(&octets).err(), expected, "{flags:#x}");
        }
    }

    #[test]
    fn the_first_rule_that_applies_is_told() {
        let mut octets = [0; LENGTH];
        let mut repair = |place: usize, octet: u8| {
            let before = Packet::parse(&octets).unwrap_err();
            octets[place] = octet;
            before
        };
        let reasons = [
            repair(0, 0x20),
            repair(3, 25),
            repair(3, 24),
            repair(2, 1),
            repair(1, 0x81),
            repair(1, 0x80),
            repair(7, 1),
            repair(11, 1),
        ];
        let expected = [
            Discard::Version,
            Discard::Length,
            Discard::Truncated,
            Discard::DetectMultiplier,
            Discard::MyDiscriminator,
            Discard::Multipoint,
            Discard::MyDiscriminator,
            Discard::StateWithoutDiscriminator,
        ];
        assert_eq!(reasons, expected);
        assert!(Packet::parse(&octets).is_ok());
    }

    #[test]
    fn an_authentication_section_is_seen_and_has_a_minimum() {
        let mut octets = [0; 40];
        octets[..LENGTH].copy_from_slice(&with(1, 0xc4));
        for (length, expected) in [
            (24, Err(Discard::Length)),
            (25, Err(Discard::Length)),
            (26, Ok(true)),
            (40, Ok(true)),
            (41, Err(Discard::Truncated)),
        ] {
            octets[3] = length;
            assert_eq!(Packet::parse(&octets).map(|packet| packet.authenticated), expected);
        }
    }

    #[test]
    fn what_is_too_short_is_truncated_and_what_follows_is_ignored() {
        for length in 0..LENGTH {
            assert_eq!(Packet::parse(&UP[..length]), Err(Discard::Truncated), "{length}");
        }
        let long = [&UP[..], &[0xff; 100]].concat();
        assert_eq!(Packet::parse(&long), Packet::parse(&UP));
    }

    #[test]
    fn packets_survive_the_wire() {
        let mut random = Random::new(5880);
        let mut read = 0;
        for _ in 0..50_000 {
            let mut octets = [0; LENGTH];
            for place in octets.chunks_exact_mut(8) {
                place.copy_from_slice(&random.next_u64().to_be_bytes());
            }
            octets[0] = 0x20 | octets[0] & 0x1f;
            octets[3] = 24;
            if let Ok(packet) = Packet::parse(&octets) {
                assert_eq!(packet.encode(), octets);
                read += 1;
            }
        }
        assert!(read > 10_000, "{read}");
    }

    #[test]
    fn intervals_that_do_not_fit_are_cut() {
        let day = Duration::from_secs(86_400);
        let packet = Packet { desired_min_tx: day, ..Packet::parse(&UP).unwrap() };
        let read = Packet::parse(&packet.encode()).unwrap();
        assert_eq!(read.desired_min_tx, Duration::from_micros(u32::MAX.into()));
    }

    #[test]
    fn reasons_stand_at_their_numbers() {
        for (number, reason) in Discard::ALL.into_iter().enumerate() {
            assert_eq!(reason as usize, number);
        }
    }
}
