//! What can be wrong with what a peer sends, and with what we are told to send.

use std::fmt;

/// What is wrong with a message. Whatever follows it on the connection has no
/// meaning, so that the connection ends with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// A CR without LF, or a LF without CR (RFC 9112 §2.2).
    LineEnd,
    /// A control octet (RFC 9110 §5.5).
    Control,
    /// Not `method SP target SP version` (RFC 9112 §3).
    RequestLine,
    /// A method that is no token (RFC 9110 §9.1).
    Method,
    /// A method longer than any there is (RFC 9112 §3).
    MethodTooLong,
    /// A target of none of the four forms, or of one that is not the method's
    /// (RFC 9112 §3.2).
    Target,
    /// A request line longer than the limit (RFC 9112 §3).
    TargetTooLong,
    /// Not `HTTP/` digit `.` digit (RFC 9112 §2.3).
    Version,
    /// Another major version than 1 (RFC 9110 §15.6.6).
    UnsupportedVersion,
    /// Not `version SP three digits SP reason` (RFC 9112 §4).
    StatusLine,
    /// A status code outside 100 to 599 (RFC 9110 §15).
    Status,
    /// A field that goes on in a second line, or blanks before the first one
    /// (RFC 9112 §5.2 and §2.2).
    Folded,
    /// A field name that is no token, or a blank before its colon (RFC 9112 §5.1).
    FieldName,
    /// A field value with an octet that may not be in one (RFC 9110 §5.5).
    FieldValue,
    /// A head longer than the limit.
    HeadTooLong,
    /// More fields than the limit.
    TooManyFields,
    /// No Host (RFC 9112 §3.2).
    HostMissing,
    /// More than one Host (RFC 9112 §3.2).
    HostRepeated,
    /// A Host that is none (RFC 9112 §3.2).
    Host,
    /// A Content-Length that is no number in digits without zeros in front, or one
    /// that does not fit (RFC 9110 §8.6).
    ContentLength,
    /// More than one Content-Length (RFC 9112 §6.3). Equal ones may be taken as one,
    /// but whoever sends two is not sure of either.
    ContentLengthRepeated,
    /// Both Content-Length and Transfer-Encoding (RFC 9112 §6.1).
    BothLengths,
    /// A Transfer-Encoding in which `chunked` is not the last, or there twice, or
    /// not written plainly (RFC 9112 §6.1 and §6.3).
    TransferEncoding,
    /// A transfer coding beside `chunked` (RFC 9112 §6.1).
    UnknownTransferCoding,
    /// A Transfer-Encoding in a message of HTTP/1.0 (RFC 9112 §6.1).
    TransferEncodingTooEarly,
    /// An expectation that is not `100-continue` (RFC 9110 §10.1.1).
    Expectation,
    /// A TRACE with a body (RFC 9110 §9.3.8).
    TraceContent,
    /// A chunk size that is no hexadecimal number, or none that fits (RFC 9112 §7.1).
    ChunkSize,
    /// A chunk extension of another form (RFC 9112 §7.1.1).
    ChunkExtension,
    /// Chunk extensions longer than the limit.
    ExtensionsTooLong,
    /// No CR LF behind a chunk or its size (RFC 9112 §7.1).
    ChunkEnd,
    /// A trailer field that is none (RFC 9112 §7.1.2).
    Trailer,
    /// Trailer fields longer than the limit.
    TrailersTooLong,
    /// The connection ended inside a message (RFC 9112 §8).
    Truncated,
    /// Octets behind the end of an answer, or before its request (RFC 9112 §9.2).
    Unasked,
    /// A 101 that no request asked for (RFC 9110 §15.2.2).
    UnaskedSwitch,
    /// More interim answers than the limit.
    TooManyInterim,
}

impl Fault {
    /// The status code that answers a request with this fault.
    pub const fn status(self) -> u16 {
        match self {
            Fault::TargetTooLong => 414,
            Fault::Expectation => 417,
            Fault::HeadTooLong | Fault::TooManyFields => 431,
            Fault::MethodTooLong | Fault::UnknownTransferCoding => 501,
            Fault::UnsupportedVersion => 505,
            _ => 400,
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Fault::LineEnd => "a lone CR or LF",
            Fault::Control => "a control octet",
            Fault::RequestLine => "a request line of another form",
            Fault::Method => "a method that is no token",
            Fault::MethodTooLong => "a method too long",
            Fault::Target => "a target that is none",
            Fault::TargetTooLong => "a request line too long",
            Fault::Version => "a version that is none",
            Fault::UnsupportedVersion => "another version than HTTP/1",
            Fault::StatusLine => "a status line of another form",
            Fault::Status => "a status code outside 100 to 599",
            Fault::Folded => "a folded field line",
            Fault::FieldName => "a field name that is no token",
            Fault::FieldValue => "a field value with an octet that may not be there",
            Fault::HeadTooLong => "a head too long",
            Fault::TooManyFields => "too many fields",
            Fault::HostMissing => "no Host",
            Fault::HostRepeated => "more than one Host",
            Fault::Host => "a Host that is none",
            Fault::ContentLength => "a Content-Length that is no number",
            Fault::ContentLengthRepeated => "more than one Content-Length",
            Fault::BothLengths => "both Content-Length and Transfer-Encoding",
            Fault::TransferEncoding => "a Transfer-Encoding that does not end in one `chunked`",
            Fault::UnknownTransferCoding => "an unknown transfer coding",
            Fault::TransferEncodingTooEarly => "a Transfer-Encoding in HTTP/1.0",
            Fault::Expectation => "an expectation other than 100-continue",
            Fault::TraceContent => "a TRACE with a body",
            Fault::ChunkSize => "a chunk size that is no number",
            Fault::ChunkExtension => "a chunk extension of another form",
            Fault::ExtensionsTooLong => "chunk extensions too long",
            Fault::ChunkEnd => "no end of line behind a chunk",
            Fault::Trailer => "a trailer field that is none",
            Fault::TrailersTooLong => "trailer fields too long",
            Fault::Truncated => "the connection ended inside a message",
            Fault::Unasked => "octets that nobody asked for",
            Fault::UnaskedSwitch => "a 101 that nobody asked for",
            Fault::TooManyInterim => "too many interim answers",
        })
    }
}

/// What was wrong with what a machine was told to send, of which nothing was
/// written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Misuse {
    /// It is not the time for it: no request, an answer already, or no body.
    OutOfTurn,
    /// A head that its receiver would refuse.
    Head(Fault),
    /// More octets of a body than its head said.
    TooMuch,
    /// Fewer octets of a body than its head said.
    TooLittle,
    /// A field that is none, or one too many.
    Field,
}

impl fmt::Display for Misuse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Misuse::OutOfTurn => f.write_str("a message out of turn"),
            Misuse::Head(fault) => write!(f, "a head with {fault}"),
            Misuse::TooMuch => f.write_str("a body longer than its head said"),
            Misuse::TooLittle => f.write_str("a body shorter than its head said"),
            Misuse::Field => f.write_str("a field that is none, or one too many"),
        }
    }
}
