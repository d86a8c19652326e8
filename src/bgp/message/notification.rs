//! The NOTIFICATION message (RFC 4271 §4.5), which is at the same time the
//! error of every parser here: the message that has to be sent because of what
//! was received.

use std::fmt;

use super::header::{self, MessageType};
use super::wire::{self, Reader};

/// Error codes (RFC 4271 §4.5).
pub mod code {
    /// Message Header Error (RFC 4271 §6.1).
    pub const MESSAGE_HEADER: u8 = 1;
    /// OPEN Message Error (RFC 4271 §6.2).
    pub const OPEN: u8 = 2;
    /// UPDATE Message Error (RFC 4271 §6.3).
    pub const UPDATE: u8 = 3;
    /// Hold Timer Expired (RFC 4271 §6.5).
    pub const HOLD_TIMER: u8 = 4;
    /// Finite State Machine Error (RFC 4271 §6.6).
    pub const FSM: u8 = 5;
    /// Cease (RFC 4271 §6.7).
    pub const CEASE: u8 = 6;
    /// ROUTE-REFRESH Message Error (RFC 7313 §5).
    pub const ROUTE_REFRESH: u8 = 7;
    /// Send Hold Timer Expired (RFC 9687).
    pub const SEND_HOLD: u8 = 8;
}

/// The subcode 0 of every code: nothing more specific is defined (RFC 4271 §4.5).
pub const UNSPECIFIC: u8 = 0;

/// Subcodes of [`code::MESSAGE_HEADER`] (RFC 4271 §6.1).
pub mod header_error {
    /// The marker is not all ones.
    pub const CONNECTION_NOT_SYNCHRONIZED: u8 = 1;
    /// The length is out of range for the message; data: the length field.
    pub const BAD_MESSAGE_LENGTH: u8 = 2;
    /// The type is not known; data: the type field.
    pub const BAD_MESSAGE_TYPE: u8 = 3;
}

/// Subcodes of [`code::OPEN`] (RFC 4271 §6.2).
pub mod open_error {
    /// Data: the largest supported version in two octets.
    pub const UNSUPPORTED_VERSION_NUMBER: u8 = 1;
    /// The AS number is not the expected one, or 0 (RFC 7607 §2).
    pub const BAD_PEER_AS: u8 = 2;
    /// The BGP identifier is 0 or our own.
    pub const BAD_BGP_IDENTIFIER: u8 = 3;
    /// An optional parameter is not known.
    pub const UNSUPPORTED_OPTIONAL_PARAMETER: u8 = 4;
    /// The hold time is not acceptable.
    pub const UNACCEPTABLE_HOLD_TIME: u8 = 6;
    /// A capability that we need is missing; data: that capability (RFC 5492 §5).
    pub const UNSUPPORTED_CAPABILITY: u8 = 7;
    /// The roles of the two speakers do not fit (RFC 9234 §4.2).
    pub const ROLE_MISMATCH: u8 = 11;
}

/// Subcodes of [`code::UPDATE`] (RFC 4271 §6.3).
pub mod update_error {
    /// The attribute list cannot be taken apart.
    pub const MALFORMED_ATTRIBUTE_LIST: u8 = 1;
    /// Data: the attribute.
    pub const UNRECOGNIZED_WELL_KNOWN_ATTRIBUTE: u8 = 2;
    /// Data: the type code of the missing attribute.
    pub const MISSING_WELL_KNOWN_ATTRIBUTE: u8 = 3;
    /// Data: the attribute.
    pub const ATTRIBUTE_FLAGS_ERROR: u8 = 4;
    /// Data: the attribute.
    pub const ATTRIBUTE_LENGTH_ERROR: u8 = 5;
    /// Data: the attribute.
    pub const INVALID_ORIGIN: u8 = 6;
    /// Data: the attribute.
    pub const INVALID_NEXT_HOP: u8 = 8;
    /// Data: the attribute.
    pub const OPTIONAL_ATTRIBUTE_ERROR: u8 = 9;
    /// A prefix of the NLRI or of the withdrawn routes is malformed.
    pub const INVALID_NETWORK_FIELD: u8 = 10;
    /// The AS_PATH is malformed.
    pub const MALFORMED_AS_PATH: u8 = 11;
}

/// Subcodes of [`code::FSM`] (RFC 6608 §3).
pub mod fsm_error {
    /// A message that is not expected in OpenSent.
    pub const UNEXPECTED_MESSAGE_IN_OPEN_SENT: u8 = 1;
    /// A message that is not expected in OpenConfirm.
    pub const UNEXPECTED_MESSAGE_IN_OPEN_CONFIRM: u8 = 2;
    /// A message that is not expected in Established.
    pub const UNEXPECTED_MESSAGE_IN_ESTABLISHED: u8 = 3;
}

/// Subcodes of [`code::CEASE`] (RFC 4486 §4).
pub mod cease {
    /// More prefixes than the configured limit.
    pub const MAXIMUM_PREFIXES_REACHED: u8 = 1;
    /// May carry a text (RFC 9003 §2).
    pub const ADMINISTRATIVE_SHUTDOWN: u8 = 2;
    /// The neighbour is no longer configured.
    pub const PEER_DECONFIGURED: u8 = 3;
    /// May carry a text (RFC 9003 §2).
    pub const ADMINISTRATIVE_RESET: u8 = 4;
    /// The connection is not wanted.
    pub const CONNECTION_REJECTED: u8 = 5;
    /// A change of configuration that needs a new session.
    pub const OTHER_CONFIGURATION_CHANGE: u8 = 6;
    /// The other of two connections was kept (RFC 4271 §6.8).
    pub const CONNECTION_COLLISION_RESOLUTION: u8 = 7;
    /// The speaker is short of something.
    pub const OUT_OF_RESOURCES: u8 = 8;
    /// No graceful restart; data: the real code, subcode and data (RFC 8538 §3).
    pub const HARD_RESET: u8 = 9;
    /// The BFD session went down (RFC 9384 §3).
    pub const BFD_DOWN: u8 = 10;
}

/// Subcodes of [`code::ROUTE_REFRESH`] (RFC 7313 §5).
pub mod route_refresh_error {
    /// Data: the whole message.
    pub const INVALID_MESSAGE_LENGTH: u8 = 1;
}

/// How many octets of the data [`Notification`] shows when it is printed.
const SHOWN_DATA: usize = 32;

/// The most octets a shutdown text that we send may have. More, up to 255, is
/// only for neighbours that are known to take it, which no capability tells
/// (RFC 9003 §3).
const MAX_TEXT: usize = 128;

/// The most octets of data that fit: a NOTIFICATION stays within 4096 octets,
/// because the extended size is not negotiated when an OPEN is refused
/// (RFC 8654 §4).
const MAX_DATA: usize = header::MAX_LENGTH - header::HEADER_LENGTH - 2;

/// A NOTIFICATION message (RFC 4271 §4.5).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notification {
    /// Error code, see [`code`].
    pub code: u8,
    /// Error subcode, in the module of the code.
    pub subcode: u8,
    /// What the code and subcode define, often the offending octets.
    pub data: Vec<u8>,
}

impl Notification {
    /// A NOTIFICATION without data.
    pub fn new(code: u8, subcode: u8) -> Notification {
        Notification { code, subcode, data: Vec::new() }
    }

    /// A NOTIFICATION with data.
    pub fn with_data(code: u8, subcode: u8, data: impl Into<Vec<u8>>) -> Notification {
        Notification { code, subcode, data: data.into() }
    }

    /// A Cease. `text` goes along with the two administrative subcodes that
    /// carry one (RFC 9003 §2), cut to 128 octets, and is left out with others.
    pub fn cease(subcode: u8, text: &str) -> Notification {
        let mut data = Vec::new();
        let text = wire::cut(text, MAX_TEXT);
        if carries_text(code::CEASE, subcode) && !text.is_empty() {
            data.push(wire::octet(text.len()));
            data.extend_from_slice(text.as_bytes());
        }
        Notification { code: code::CEASE, subcode, data }
    }

    /// Bad Message Length for a message of `length` octets in all; the data is
    /// the length field (RFC 4271 §6.1).
    pub(super) fn bad_length(length: usize) -> Notification {
        let mut field = [0; 2];
        wire::set_u16(&mut field, 0, length);
        Notification::with_data(code::MESSAGE_HEADER, header_error::BAD_MESSAGE_LENGTH, field)
    }

    /// Whether the session is to end for good as far as the neighbour is
    /// concerned: its routes must go also where a graceful restart would keep
    /// them (RFC 8538 §5). A path that BFD calls lost is no restart (RFC 9384
    /// §4).
    pub(crate) fn is_final(&self) -> bool {
        self.code == code::CEASE
            && matches!(
                self.subcode,
                cease::MAXIMUM_PREFIXES_REACHED
                    | cease::ADMINISTRATIVE_SHUTDOWN
                    | cease::PEER_DECONFIGURED
                    | cease::OUT_OF_RESOURCES
                    | cease::BFD_DOWN
            )
    }

    /// The same in a hard reset (RFC 8538 §3).
    pub(crate) fn into_hard_reset(self) -> Notification {
        let mut data = vec![self.code, self.subcode];
        data.extend_from_slice(&self.data);
        Notification::with_data(code::CEASE, cease::HARD_RESET, data)
    }

    /// Whether this is a hard reset (RFC 8538 §3).
    pub fn is_hard_reset(&self) -> bool {
        (self.code, self.subcode) == (code::CEASE, cease::HARD_RESET)
    }

    /// Reads the body of a NOTIFICATION. An error is the NOTIFICATION that
    /// names it; the session may log it but must not send it, since nothing
    /// answers a NOTIFICATION (RFC 4271 §6.4).
    pub fn parse(body: &[u8]) -> Result<Notification, Notification> {
        let mut reader = Reader::new(body);
        match (reader.u8(), reader.u8()) {
            (Some(code), Some(subcode)) => {
                Ok(Notification::with_data(code, subcode, reader.rest()))
            }
            _ => Err(Notification::bad_length(header::HEADER_LENGTH.saturating_add(body.len()))),
        }
    }

    /// Appends the whole message. Data that does not fit is cut.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let start = header::begin(out, MessageType::Notification);
        out.extend_from_slice(&[self.code, self.subcode]);
        out.extend_from_slice(self.data.get(..MAX_DATA).unwrap_or(&self.data));
        header::finish(out, start);
    }

    /// The text of an administrative shutdown or reset (RFC 9003 §2), also of
    /// one inside a hard reset (RFC 8538 §3). It is fit for a log: what is not
    /// UTF-8, control characters and characters that turn the direction of
    /// writing are replaced. None if there is no text or its length is wrong.
    pub fn shutdown_text(&self) -> Option<String> {
        let (code, subcode, data) = self.cause().unwrap_or((self.code, self.subcode, &self.data));
        if !carries_text(code, subcode) {
            return None;
        }
        let text = Reader::new(data).short_field()?;
        (!text.is_empty()).then(|| printable(&String::from_utf8_lossy(text)))
    }

    /// Code, subcode and data inside a hard reset (RFC 8538 §3).
    fn cause(&self) -> Option<(u8, u8, &[u8])> {
        if !self.is_hard_reset() {
            return None;
        }
        let mut reader = Reader::new(&self.data);
        Some((reader.u8()?, reader.u8()?, reader.rest()))
    }
}

impl fmt::Display for Notification {
    /// `Cease/Administrative Shutdown (6/2) text="..."`, or the first octets of
    /// the data in hexadecimal where there is no text.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_name(f, self.code, self.subcode)?;
        let mut data = self.data.as_slice();
        if let Some((code, subcode, rest)) = self.cause() {
            f.write_str(" cause=")?;
            write_name(f, code, subcode)?;
            data = rest;
        }
        if let Some(text) = self.shutdown_text() {
            return write!(f, " text=\"{}\"", text.replace('"', "'"));
        }
        if data.is_empty() {
            return Ok(());
        }
        f.write_str(" data=")?;
        for octet in data.iter().take(SHOWN_DATA) {
            write!(f, "{octet:02x}")?;
        }
        match data.len().saturating_sub(SHOWN_DATA) {
            0 => Ok(()),
            more => write!(f, "+{more}"),
        }
    }
}

impl std::error::Error for Notification {}

fn carries_text(code: u8, subcode: u8) -> bool {
    code == code::CEASE
        && matches!(subcode, cease::ADMINISTRATIVE_SHUTDOWN | cease::ADMINISTRATIVE_RESET)
}

/// `text` with everything replaced that could forge or hide part of a log line.
fn printable(text: &str) -> String {
    let unfit =
        |c: char| c.is_control() || matches!(c, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    text.replace(unfit, "\u{fffd}")
}

fn write_name(f: &mut fmt::Formatter<'_>, code: u8, subcode: u8) -> fmt::Result {
    match code_name(code) {
        Some(name) => f.write_str(name)?,
        None => write!(f, "code {code}")?,
    }
    match subcode_name(code, subcode) {
        Some(name) => write!(f, "/{name}")?,
        None if subcode == UNSPECIFIC => {}
        None => write!(f, "/subcode {subcode}")?,
    }
    write!(f, " ({code}/{subcode})")
}

fn code_name(code: u8) -> Option<&'static str> {
    Some(match code {
        code::MESSAGE_HEADER => "Message Header Error",
        code::OPEN => "OPEN Message Error",
        code::UPDATE => "UPDATE Message Error",
        code::HOLD_TIMER => "Hold Timer Expired",
        code::FSM => "Finite State Machine Error",
        code::CEASE => "Cease",
        code::ROUTE_REFRESH => "ROUTE-REFRESH Message Error",
        code::SEND_HOLD => "Send Hold Timer Expired",
        _ => return None,
    })
}

/// The registered name of a subcode, deprecated ones included, since old
/// speakers still send them.
fn subcode_name(code: u8, subcode: u8) -> Option<&'static str> {
    Some(match (code, subcode) {
        (code::MESSAGE_HEADER, 1) => "Connection Not Synchronized",
        (code::MESSAGE_HEADER, 2) => "Bad Message Length",
        (code::MESSAGE_HEADER, 3) => "Bad Message Type",
        (code::OPEN, 1) => "Unsupported Version Number",
        (code::OPEN, 2) => "Bad Peer AS",
        (code::OPEN, 3) => "Bad BGP Identifier",
        (code::OPEN, 4) => "Unsupported Optional Parameter",
        (code::OPEN, 5) => "Authentication Failure",
        (code::OPEN, 6) => "Unacceptable Hold Time",
        (code::OPEN, 7) => "Unsupported Capability",
        (code::OPEN, 11) => "Role Mismatch",
        (code::UPDATE, 1) => "Malformed Attribute List",
        (code::UPDATE, 2) => "Unrecognized Well-known Attribute",
        (code::UPDATE, 3) => "Missing Well-known Attribute",
        (code::UPDATE, 4) => "Attribute Flags Error",
        (code::UPDATE, 5) => "Attribute Length Error",
        (code::UPDATE, 6) => "Invalid ORIGIN Attribute",
        (code::UPDATE, 7) => "AS Routing Loop",
        (code::UPDATE, 8) => "Invalid NEXT_HOP Attribute",
        (code::UPDATE, 9) => "Optional Attribute Error",
        (code::UPDATE, 10) => "Invalid Network Field",
        (code::UPDATE, 11) => "Malformed AS_PATH",
        (code::FSM, 1) => "Receive Unexpected Message in OpenSent State",
        (code::FSM, 2) => "Receive Unexpected Message in OpenConfirm State",
        (code::FSM, 3) => "Receive Unexpected Message in Established State",
        (code::CEASE, 1) => "Maximum Number of Prefixes Reached",
        (code::CEASE, 2) => "Administrative Shutdown",
        (code::CEASE, 3) => "Peer De-configured",
        (code::CEASE, 4) => "Administrative Reset",
        (code::CEASE, 5) => "Connection Rejected",
        (code::CEASE, 6) => "Other Configuration Change",
        (code::CEASE, 7) => "Connection Collision Resolution",
        (code::CEASE, 8) => "Out of Resources",
        (code::CEASE, 9) => "Hard Reset",
        (code::CEASE, 10) => "BFD Down",
        (code::ROUTE_REFRESH, 1) => "Invalid Message Length",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bgp::message::header::{MAX_LENGTH, next_frame};

    fn round_trip(notification: &Notification) -> Notification {
        let mut out = Vec::new();
        notification.encode(&mut out);
        let frame = next_frame(&out, MAX_LENGTH).unwrap().unwrap();
        assert_eq!(frame.kind, MessageType::Notification);
        assert_eq!(frame.length, out.len());
        Notification::parse(frame.body).unwrap()
    }

    #[test]
    fn the_bytes_are_those_of_rfc_4271() {
        let mut out = Vec::new();
        Notification::with_data(2, 1, [0, 4]).encode(&mut out);
        let mut expected = vec![0xff; 16];
        expected.extend_from_slice(&[0, 23, 3, 2, 1, 0, 4]);
        assert_eq!(out, expected);
    }

    #[test]
    fn every_code_survives_the_wire() {
        for code in 0..=255 {
            for subcode in [0, 1, 2, 9, 255] {
                let notification = Notification::with_data(code, subcode, [code, 1, 2]);
                assert_eq!(round_trip(&notification), notification);
            }
        }
    }

    #[test]
    fn data_is_cut_to_the_message_size() {
        let notification = Notification::with_data(3, 5, vec![7; 60_000]);
        let received = round_trip(&notification);
        assert_eq!(received.data, vec![7; 4075]);
    }

    #[test]
    fn a_body_without_subcode_is_a_bad_length() {
        let expected = |length| Notification::with_data(1, 2, [0, length]);
        assert_eq!(Notification::parse(&[]), Err(expected(19)));
        assert_eq!(Notification::parse(&[6]), Err(expected(20)));
    }

    #[test]
    fn cease_carries_a_text_only_where_rfc_9003_defines_it() {
        assert_eq!(Notification::cease(2, "bye").data, b"\x03bye");
        assert_eq!(Notification::cease(4, "bye").data, b"\x03bye");
        assert_eq!(Notification::cease(2, "").data, b"");
        for subcode in [1, 3, 5, 6, 7, 8, 9, 10] {
            assert_eq!(Notification::cease(subcode, "bye"), Notification::new(6, subcode));
        }
    }

    #[test]
    fn a_long_text_is_cut_at_a_character() {
        let text = "xä".repeat(100);
        let notification = Notification::cease(2, &text);
        assert_eq!(notification.data[0], 127);
        assert_eq!(notification.data.len(), 128);
        assert_eq!(notification.shutdown_text().unwrap(), "xä".repeat(42) + "x");
        let full = Notification::cease(2, &"x".repeat(300));
        assert_eq!(full.data[0], 128);
        assert_eq!(full.data.len(), 129);
        let longest = [&[255][..], &[b'x'; 255]].concat();
        let received = Notification::with_data(6, 2, longest);
        assert_eq!(received.shutdown_text().unwrap(), "x".repeat(255), "all of it is read");
    }

    #[test]
    fn a_received_text_is_fit_for_a_log() {
        let text = |data: &[u8]| Notification::with_data(6, 2, data).shutdown_text();
        assert_eq!(text(b"\x05a\nb\x1bc").unwrap(), "a\u{fffd}b\u{fffd}c");
        assert_eq!(text(b"\x02\xff!").unwrap(), "\u{fffd}!");
        assert_eq!(text("\u{5}a\u{202e}b".as_bytes()).unwrap(), "a\u{fffd}b");
        assert_eq!(text(b"\x09short"), None);
        assert_eq!(text(b"\x00"), None);
        assert_eq!(text(b""), None);
        assert_eq!(Notification::with_data(6, 3, *b"\x03bye").shutdown_text(), None);
        assert_eq!(Notification::with_data(3, 2, *b"\x03bye").shutdown_text(), None);
    }

    #[test]
    fn it_prints_with_names() {
        let shown = |notification: Notification| notification.to_string();
        assert_eq!(
            shown(Notification::cease(2, "go \"home\"")),
            "Cease/Administrative Shutdown (6/2) text=\"go 'home'\""
        );
        assert_eq!(shown(Notification::new(4, 0)), "Hold Timer Expired (4/0)");
        assert_eq!(shown(Notification::new(8, 0)), "Send Hold Timer Expired (8/0)");
        assert_eq!(
            shown(Notification::with_data(2, 1, [0, 4])),
            "OPEN Message Error/Unsupported Version Number (2/1) data=0004"
        );
        assert_eq!(shown(Notification::new(2, 11)), "OPEN Message Error/Role Mismatch (2/11)");
        assert_eq!(shown(Notification::new(77, 3)), "code 77/subcode 3 (77/3)");
        assert_eq!(shown(Notification::new(6, 99)), "Cease/subcode 99 (6/99)");
        assert!(shown(Notification::with_data(3, 1, [0xab; 40])).ends_with("abab+8"));
    }

    #[test]
    fn a_hard_reset_shows_its_cause() {
        let inner = Notification::cease(2, "bye");
        let mut data = vec![inner.code, inner.subcode];
        data.extend_from_slice(&inner.data);
        let hard = Notification::with_data(6, 9, data);
        assert_eq!(hard.shutdown_text().unwrap(), "bye");
        assert_eq!(
            hard.to_string(),
            "Cease/Hard Reset (6/9) cause=Cease/Administrative Shutdown (6/2) text=\"bye\""
        );
        let nested = Notification::with_data(6, 9, [6u8, 9].repeat(2000));
        assert!(nested.to_string().len() < 200, "a nested hard reset is not followed");
    }
}
