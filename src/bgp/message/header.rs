//! The message header (RFC 4271 §4.1): cutting a stream of bytes into messages,
//! and framing those that go out.

use super::notification::{Notification, code, header_error};
use super::wire;

/// Octets of the header: marker 16, length 2, type 1.
pub const HEADER_LENGTH: usize = 19;

/// The longest message in octets, header included (RFC 4271 §4.1).
pub const MAX_LENGTH: usize = 4096;

/// The longest message in octets once both speakers have the extended message
/// capability (RFC 8654 §3).
pub const EXTENDED_MAX_LENGTH: usize = 65535;

const MARKER: [u8; 16] = [0xff; 16];

/// The type of a message (RFC 4271 §4.1, RFC 2918 §3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum MessageType {
    /// RFC 4271 §4.2.
    Open = 1,
    /// RFC 4271 §4.3.
    Update = 2,
    /// RFC 4271 §4.5.
    Notification = 3,
    /// RFC 4271 §4.4.
    Keepalive = 4,
    /// RFC 2918 §3.
    RouteRefresh = 5,
}

impl MessageType {
    fn from_code(code: u8) -> Option<MessageType> {
        Some(match code {
            1 => MessageType::Open,
            2 => MessageType::Update,
            3 => MessageType::Notification,
            4 => MessageType::Keepalive,
            5 => MessageType::RouteRefresh,
            _ => return None,
        })
    }

    /// The shortest and the longest allowed length in octets, given the longest
    /// of the session (RFC 4271 §6.1). OPEN and KEEPALIVE are never extended
    /// (RFC 8654 §4). RFC 4271 §6.1 names the NOTIFICATION too, so that one which
    /// is too short is answered, although §6.4 leaves all that is wrong inside of
    /// one unanswered. A ROUTE-REFRESH of a wrong length may have an error code
    /// of its own (RFC 7313 §5), so its parser judges it.
    fn length_range(self, max_length: usize) -> (usize, usize) {
        match self {
            MessageType::Open => (29, max_length.min(MAX_LENGTH)),
            MessageType::Update => (23, max_length),
            MessageType::Notification => (21, max_length),
            MessageType::Keepalive => (HEADER_LENGTH, HEADER_LENGTH),
            MessageType::RouteRefresh => (HEADER_LENGTH, max_length),
        }
    }
}

/// One whole message at the beginning of the received bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame<'a> {
    /// Its type.
    pub kind: MessageType,
    /// What follows the header.
    pub body: &'a [u8],
    /// Octets of the whole message, to be removed from the stream.
    pub length: usize,
}

/// The message at the beginning of `bytes`, or None if more bytes are needed.
/// `max_length` is [`MAX_LENGTH`] or [`EXTENDED_MAX_LENGTH`].
///
/// Each field is judged as soon as it is there, so that a stream which is no
/// BGP is refused at its first wrong octet (RFC 4271 §6.1).
pub fn next_frame(bytes: &[u8], max_length: usize) -> Result<Option<Frame<'_>>, Notification> {
    if bytes.iter().zip(MARKER).any(|(&octet, marker)| octet != marker) {
        return Err(Notification::new(
            code::MESSAGE_HEADER,
            header_error::CONNECTION_NOT_SYNCHRONIZED,
        ));
    }
    let Some((_, after_marker)) = bytes.split_first_chunk::<16>() else { return Ok(None) };
    let Some((&field, after_length)) = after_marker.split_first_chunk::<2>() else {
        return Ok(None);
    };
    let length = usize::from(u16::from_be_bytes(field));
    if length < HEADER_LENGTH || length > max_length {
        return Err(Notification::bad_length(length));
    }
    let Some(&type_code) = after_length.first() else { return Ok(None) };
    let Some(kind) = MessageType::from_code(type_code) else {
        return Err(Notification::with_data(
            code::MESSAGE_HEADER,
            header_error::BAD_MESSAGE_TYPE,
            [type_code],
        ));
    };
    let (shortest, longest) = kind.length_range(max_length);
    if length < shortest || length > longest {
        return Err(Notification::bad_length(length));
    }
    Ok(bytes.get(HEADER_LENGTH..length).map(|body| Frame { kind, body, length }))
}

/// The type of the message that begins with these octets, if it is known.
pub fn kind_of(message: &[u8]) -> Option<MessageType> {
    message.get(HEADER_LENGTH - 1).copied().and_then(MessageType::from_code)
}

/// Appends a header whose length is not yet known and gives its place, for
/// [`finish`].
pub fn begin(out: &mut Vec<u8>, kind: MessageType) -> usize {
    let start = out.len();
    out.extend_from_slice(&MARKER);
    out.extend_from_slice(&[0, 0, kind as u8]);
    start
}

/// Sets the length of the message that began at `start` and ends where `out`
/// ends. The caller keeps it within the negotiated size.
pub fn finish(out: &mut [u8], start: usize) {
    let length = out.len().saturating_sub(start);
    wire::set_u16(out, start.saturating_add(MARKER.len()), length);
}

/// Appends a KEEPALIVE, which is nothing but a header (RFC 4271 §4.4).
pub fn encode_keepalive(out: &mut Vec<u8>) {
    let start = begin(out, MessageType::Keepalive);
    finish(out, start);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(length: u16, kind: u8, body: usize) -> Vec<u8> {
        let mut bytes = vec![0xff; 16];
        bytes.extend_from_slice(&length.to_be_bytes());
        bytes.push(kind);
        bytes.resize(HEADER_LENGTH + body, 0);
        bytes
    }

    fn bad_length(length: u16) -> Notification {
        Notification::with_data(1, 2, length.to_be_bytes())
    }

    #[test]
    fn a_keepalive_is_nineteen_octets() {
        let mut out = Vec::new();
        encode_keepalive(&mut out);
        assert_eq!(out, message(19, 4, 0));
        let frame = next_frame(&out, MAX_LENGTH).unwrap().unwrap();
        assert_eq!(frame, Frame { kind: MessageType::Keepalive, body: &[], length: 19 });
    }

    #[test]
    fn more_bytes_are_asked_for_until_the_message_is_whole() {
        let bytes = message(23, 2, 4);
        for end in 0..bytes.len() {
            assert_eq!(next_frame(&bytes[..end], MAX_LENGTH), Ok(None), "{end} octets");
        }
        let mut stream = bytes.clone();
        stream.extend_from_slice(&bytes[..5]);
        let frame = next_frame(&stream, MAX_LENGTH).unwrap().unwrap();
        assert_eq!(frame, Frame { kind: MessageType::Update, body: &[0; 4], length: 23 });
    }

    #[test]
    fn a_wrong_marker_is_seen_at_its_first_wrong_octet() {
        let expected = Err(Notification::new(1, 1));
        for wrong in 0..16 {
            let mut bytes = message(19, 4, 0);
            bytes[wrong] = 0xfe;
            assert_eq!(next_frame(&bytes, MAX_LENGTH), expected);
            assert_eq!(next_frame(&bytes[..=wrong], MAX_LENGTH), expected);
            assert_eq!(next_frame(&bytes[..wrong], MAX_LENGTH), Ok(None));
        }
        assert_eq!(next_frame(b"GET / HTTP/1.1\r\n", MAX_LENGTH), expected);
    }

    #[test]
    fn lengths_out_of_range_are_refused_with_the_field_as_data() {
        for length in [0, 1, 18, 4097, 65535] {
            let bytes = message(length, 2, 4);
            assert_eq!(next_frame(&bytes[..18], MAX_LENGTH), Err(bad_length(length)));
        }
        for (kind, shortest) in [(1, 29), (2, 23), (3, 21), (4, 19)] {
            let bytes = message(shortest - 1, kind, 20);
            assert_eq!(next_frame(&bytes, MAX_LENGTH), Err(bad_length(shortest - 1)));
            let bytes = message(shortest, kind, usize::from(shortest) - 19);
            assert!(next_frame(&bytes, MAX_LENGTH).unwrap().is_some());
        }
        assert_eq!(next_frame(&message(20, 4, 1), MAX_LENGTH), Err(bad_length(20)));
    }

    #[test]
    fn a_short_route_refresh_is_left_to_its_parser() {
        let bytes = message(22, 5, 3);
        let frame = next_frame(&bytes, MAX_LENGTH).unwrap().unwrap();
        assert_eq!(frame.kind, MessageType::RouteRefresh);
    }

    #[test]
    fn only_some_messages_are_extended() {
        for kind in [2, 3, 5] {
            let bytes = message(65535, kind, 65535 - 19);
            let frame = next_frame(&bytes, EXTENDED_MAX_LENGTH).unwrap().unwrap();
            assert_eq!(frame.length, 65535);
        }
        for kind in [1, 4] {
            let bytes = message(4097, kind, 4097 - 19);
            assert_eq!(next_frame(&bytes, EXTENDED_MAX_LENGTH), Err(bad_length(4097)));
        }
        let bytes = message(4096, 1, 4096 - 19);
        assert!(next_frame(&bytes, EXTENDED_MAX_LENGTH).unwrap().is_some());
    }

    #[test]
    fn an_unknown_type_is_refused_with_the_type_as_data() {
        for kind in (0..=255).filter(|kind| !(1..=5).contains(kind)) {
            let bytes = message(19, kind, 0);
            let expected = Err(Notification::with_data(1, 3, [kind]));
            assert_eq!(next_frame(&bytes, MAX_LENGTH), expected);
        }
    }
}
