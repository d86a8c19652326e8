//! How long the body of a message is (RFC 9112 §6.3), and whether what says so
//! can be read in one way only.

use super::fault::Fault;
use super::fields::Fields;
use super::head::{Method, RequestHead, ResponseHead, Version};
use super::octets::{is_authority, list, number};

/// Where the body of a received message ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// After so many octets; 0 is a message without a body.
    Length(u64),
    /// With the last chunk.
    Chunked,
    /// With the connection; never of a request.
    UntilClose,
    /// Never: behind the head it is another protocol (101, or 2xx to CONNECT).
    Tunnel,
}

/// How a body that is sent says where it ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Content {
    /// So many octets; 0 is a message without a body.
    Length(u64),
    /// Nobody knows yet: in chunks, or until the connection closes where the other
    /// side knows no chunks.
    Stream,
}

impl Framing {
    /// The body of a request, whose head is judged on the way: Host (RFC 9112
    /// §3.2), both lengths (§6.1, §6.3) and Expect (RFC 9110 §10.1.1).
    ///
    /// # Errors
    /// The first fault.
    pub fn of_request(head: &RequestHead) -> Result<Framing, Fault> {
        check_host(&head.fields, head.version)?;
        let framing = match declared(&head.fields, head.version)? {
            Some(framing) => framing,
            // RFC 9112 §6.3, the seventh rule.
            None => Framing::Length(0),
        };
        expects_continue(&head.fields, head.version)?;
        if head.method == Method::Trace && framing != Framing::Length(0) {
            return Err(Fault::TraceContent);
        }
        Ok(framing)
    }

    /// The body of the final or an interim answer to a request with this method.
    ///
    /// # Errors
    /// The first fault: what the fields say is judged even where they have no
    /// meaning, since a server that writes nonsense is not to be trusted with the
    /// next request.
    pub fn of_response(head: &ResponseHead, method: &Method) -> Result<Framing, Fault> {
        let declared = declared(&head.fields, head.version)?;
        Ok(match (head.status, method) {
            (101, _) => Framing::Tunnel,
            (200..=299, Method::Connect) => Framing::Tunnel,
            (100..=199 | 204 | 304, _) | (_, Method::Head) => Framing::Length(0),
            _ => declared.unwrap_or(Framing::UntilClose),
        })
    }
}

/// Whether a request can be sent in HTTP/1.1 with this body: what a server would
/// refuse is not.
pub(super) fn check_sent(head: &RequestHead, content: Content) -> Result<(), Fault> {
    check_host(&head.fields, Version::Http11)?;
    expects_continue(&head.fields, Version::Http11)?;
    match (&head.method, content) {
        (Method::Trace, Content::Length(1..) | Content::Stream) => Err(Fault::TraceContent),
        _ => Ok(()),
    }
}

/// What the fields say of the body.
fn declared(fields: &Fields, version: Version) -> Result<Option<Framing>, Fault> {
    let mut lengths = fields.all("content-length");
    let length = lengths.next();
    if length.is_some() && lengths.next().is_some() {
        return Err(Fault::ContentLengthRepeated);
    }
    let has_codings = fields.has("transfer-encoding");
    match (length, has_codings) {
        (Some(_), true) => Err(Fault::BothLengths),
        (Some(value), false) => length_of(value).map(Framing::Length).map(Some),
        (None, true) if version == Version::Http10 => Err(Fault::TransferEncodingTooEarly),
        (None, true) => check_codings(fields).map(|()| Some(Framing::Chunked)),
        (None, false) => Ok(None),
    }
}

/// `1*DIGIT` (RFC 9110 §8.6). A list of equal numbers may be read as one of
/// them, and is a second length all the same; zeros in front are allowed, and make
/// some readers take the number for an octal one.
fn length_of(value: &[u8]) -> Result<u64, Fault> {
    let has_zeros = value.starts_with(b"0") && value.len() > 1;
    match number(value) {
        Some(_) if has_zeros => Err(Fault::ContentLength),
        Some(length) => Ok(length),
        None if value.contains(&b',') => Err(Fault::ContentLengthRepeated),
        None => Err(Fault::ContentLength),
    }
}

/// `chunked` is the only coding that we know, and it comes last and once
/// (RFC 9112 §6.1, §7). Empty elements and parameters, which it never has, are how
/// one reader is made to see it and another not.
fn check_codings(fields: &Fields) -> Result<(), Fault> {
    let is_chunked = |coding: &[u8]| coding.eq_ignore_ascii_case(b"chunked");
    let (mut before, mut last) = (0_usize, None);
    for coding in fields.all("transfer-encoding").flat_map(list) {
        if coding.is_empty() || last.is_some_and(is_chunked) {
            return Err(Fault::TransferEncoding);
        }
        before = before.saturating_add(usize::from(last.is_some()));
        last = Some(coding);
    }
    match (last.is_some_and(is_chunked), before) {
        (true, 0) => Ok(()),
        (true, _) => Err(Fault::UnknownTransferCoding),
        (false, _) => Err(Fault::TransferEncoding),
    }
}

/// Exactly one valid Host in HTTP/1.1, at most one in HTTP/1.0 (RFC 9112 §3.2).
/// An empty one names no host, with which no `http` URI is valid (RFC 9110 §4.2.1).
fn check_host(fields: &Fields, version: Version) -> Result<(), Fault> {
    let mut hosts = fields.all("host");
    match (hosts.next(), hosts.next()) {
        (Some(_), Some(_)) => Err(Fault::HostRepeated),
        (Some(host), None) if is_authority(host) => Ok(()),
        (Some(_), None) => Err(Fault::Host),
        (None, _) if version == Version::Http10 => Ok(()),
        (None, _) => Err(Fault::HostMissing),
    }
}

/// Whether the client waits for a 100 before it sends the body. HTTP/1.0 knows
/// no expectations (RFC 9110 §10.1.1).
pub(super) fn expects_continue(fields: &Fields, version: Version) -> Result<bool, Fault> {
    if version == Version::Http10 {
        return Ok(false);
    }
    let mut expects = false;
    for expectation in fields.all("expect").flat_map(list) {
        if !expectation.eq_ignore_ascii_case(b"100-continue") {
            return Err(Fault::Expectation);
        }
        expects = true;
    }
    Ok(expects)
}

/// Whether the other side would go on in another protocol, and says so in full
/// (RFC 9110 §7.8). HTTP/1.0 cannot.
pub(super) fn asks_upgrade(fields: &Fields, version: Version) -> bool {
    version == Version::Http11 && fields.has("upgrade") && fields.lists("connection", "upgrade")
}

/// Whether the connection goes on after a message (RFC 9112 §9.3).
pub(super) fn persists(fields: &Fields, version: Version) -> bool {
    !fields.lists("connection", "close")
        && (version == Version::Http11 || fields.lists("connection", "keep-alive"))
}
