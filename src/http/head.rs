//! What stands before a body: the head of a request and that of an answer.

use std::fmt;

use super::fault::{Fault, Misuse};
use super::fields::Fields;
use super::limits::{Limits, MAX_FIELDS, MAX_METHOD};
use super::octets::{is_token, is_value_octet, number};
use super::target::Target;

/// What a request asks for (RFC 9110 §9); names differ in case as well.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Method {
    /// GET.
    Get,
    /// HEAD.
    Head,
    /// POST.
    Post,
    /// PUT.
    Put,
    /// DELETE.
    Delete,
    /// CONNECT.
    Connect,
    /// OPTIONS.
    Options,
    /// TRACE.
    Trace,
    /// PATCH (RFC 5789).
    Patch,
    /// Any other token.
    Other(Box<str>),
}

impl Method {
    /// Reads a method.
    ///
    /// # Errors
    /// [`Fault::Method`], [`Fault::MethodTooLong`].
    pub fn parse(octets: &[u8]) -> Result<Method, Fault> {
        if !is_token(octets) {
            return Err(Fault::Method);
        }
        if octets.len() > MAX_METHOD {
            return Err(Fault::MethodTooLong);
        }
        Ok(match std::str::from_utf8(octets).map_err(|_| Fault::Method)? {
            "GET" => Method::Get,
            "HEAD" => Method::Head,
            "POST" => Method::Post,
            "PUT" => Method::Put,
            "DELETE" => Method::Delete,
            "CONNECT" => Method::Connect,
            "OPTIONS" => Method::Options,
            "TRACE" => Method::Trace,
            "PATCH" => Method::Patch,
            other => Method::Other(other.into()),
        })
    }

    /// As it is written.
    pub fn as_str(&self) -> &str {
        match self {
            Method::Get => "GET",
            Method::Head => "HEAD",
            Method::Post => "POST",
            Method::Put => "PUT",
            Method::Delete => "DELETE",
            Method::Connect => "CONNECT",
            Method::Options => "OPTIONS",
            Method::Trace => "TRACE",
            Method::Patch => "PATCH",
            Method::Other(other) => other,
        }
    }
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The version of a message. A higher minor one is understood as 1.1 (RFC 9110
/// §2.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Version {
    /// HTTP/1.0.
    Http10,
    /// HTTP/1.1.
    Http11,
}

impl Version {
    /// As it is written.
    pub const fn as_str(self) -> &'static str {
        match self {
            Version::Http10 => "HTTP/1.0",
            Version::Http11 => "HTTP/1.1",
        }
    }

    /// RFC 9112 §2.3.
    fn parse(octets: &[u8]) -> Result<Version, Fault> {
        let digits = octets.strip_prefix(b"HTTP/").ok_or(Fault::Version)?;
        match digits {
            b"1.0" => Ok(Version::Http10),
            [b'1', b'.', b'1'..=b'9'] => Ok(Version::Http11),
            [b'0'..=b'9', b'.', b'0'..=b'9'] => Err(Fault::UnsupportedVersion),
            _ => Err(Fault::Version),
        }
    }
}

/// The head of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestHead {
    /// What it asks for.
    pub method: Method,
    /// Of what.
    pub target: Target,
    /// Its version.
    pub version: Version,
    /// Its fields.
    pub fields: Fields,
}

impl RequestHead {
    /// A request of HTTP/1.1 with one field, Host, which comes first (RFC 9110
    /// §7.2).
    ///
    /// # Errors
    /// [`Misuse`], where the target is none or Host has an octet that no field may
    /// have.
    pub fn new(method: Method, target: &str, host: &str) -> Result<RequestHead, Misuse> {
        let target = Target::parse(target.as_bytes(), &method).map_err(Misuse::Head)?;
        let mut fields = Fields::new();
        fields.push("Host", host)?;
        Ok(RequestHead { method, target, version: Version::Http11, fields })
    }

    /// Reads a whole head, up to and with the empty line. How long the body is
    /// and whether Host is right, [`Framing`](super::Framing) says.
    ///
    /// # Errors
    /// The first fault.
    pub fn parse(head: &[u8], limits: &Limits) -> Result<RequestHead, Fault> {
        let (line, fields) = split(head, limits)?;
        let (method, target, version) = request_line(line)?;
        Ok(RequestHead { method, target, version, fields: parse_fields(fields, limits)? })
    }

    /// Writes the head, with the empty line. What was parsed from it is equal.
    pub fn write(&self, out: &mut Vec<u8>) {
        self.write_as(self.version, &[], out);
        out.extend_from_slice(b"\r\n");
    }

    /// The same in this version, without the fields that `skip` names, and without
    /// the end.
    pub(super) fn write_as(&self, version: Version, skip: &[&str], out: &mut Vec<u8>) {
        let parts =
            [self.method.as_str(), " ", self.target.as_str(), " ", version.as_str(), "\r\n"];
        parts.iter().for_each(|part| out.extend_from_slice(part.as_bytes()));
        self.fields.write(out, skip);
    }

    /// Which host is asked: that of the target where it has one, else Host
    /// (RFC 9112 §3.3). `None` in HTTP/1.0 without either.
    pub fn authority(&self) -> Option<&str> {
        self.target.authority().or_else(|| self.fields.text("host"))
    }
}

/// The head of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResponseHead {
    /// Its version.
    pub version: Version,
    /// 100 to 599.
    pub status: u16,
    /// A text for people, perhaps empty, whatever its octets are.
    pub reason: Vec<u8>,
    /// Its fields.
    pub fields: Fields,
}

impl ResponseHead {
    /// An answer of HTTP/1.1 without fields.
    pub fn new(status: u16) -> ResponseHead {
        let reason = reason_phrase(status).into();
        ResponseHead { version: Version::Http11, status, reason, fields: Fields::new() }
    }

    /// The same with one field more.
    ///
    /// # Errors
    /// [`Misuse::Field`].
    pub fn with(mut self, name: &str, value: impl AsRef<[u8]>) -> Result<ResponseHead, Misuse> {
        self.fields.push(name, value)?;
        Ok(self)
    }

    /// Reads a whole head, up to and with the empty line.
    ///
    /// # Errors
    /// The first fault.
    pub fn parse(head: &[u8], limits: &Limits) -> Result<ResponseHead, Fault> {
        let (line, fields) = split(head, limits)?;
        let (version, status, reason) = status_line(line)?;
        let fields = parse_fields(fields, limits)?;
        Ok(ResponseHead { version, status, reason: reason.to_vec(), fields })
    }

    /// Writes the head, with the empty line. What was parsed from it is equal,
    /// if it can be parsed: see [`ResponseHead::check`].
    pub fn write(&self, out: &mut Vec<u8>) {
        self.write_as(self.version, &[], out);
        out.extend_from_slice(b"\r\n");
    }

    /// The same in this version, without the fields that `skip` names, and without
    /// the end.
    pub(super) fn write_as(&self, version: Version, skip: &[&str], out: &mut Vec<u8>) {
        out.extend_from_slice(format!("{} {:03} ", version.as_str(), self.status).as_bytes());
        out.extend_from_slice(&self.reason);
        out.extend_from_slice(b"\r\n");
        self.fields.write(out, skip);
    }

    /// Whether the status code and the reason can be written.
    ///
    /// # Errors
    /// [`Fault::Status`], [`Fault::StatusLine`].
    pub fn check(&self) -> Result<(), Fault> {
        if !(100..=599).contains(&self.status) {
            return Err(Fault::Status);
        }
        let is_text = self.reason.iter().all(|octet| is_value_octet(*octet));
        is_text.then_some(()).ok_or(Fault::StatusLine)
    }
}

/// The first line without its end, and all that follows it.
fn split<'a>(head: &'a [u8], limits: &Limits) -> Result<(&'a [u8], &'a [u8]), Fault> {
    if head.len() > limits.head {
        return Err(Fault::HeadTooLong);
    }
    let end = head.windows(2).position(|two| two == b"\r\n").ok_or(Fault::Truncated)?;
    let (line, rest) = head.split_at_checked(end).unwrap_or_default();
    Ok((line, rest.get(2..).unwrap_or_default()))
}

/// `method SP request-target SP HTTP-version` (RFC 9112 §3).
pub(super) fn request_line(line: &[u8]) -> Result<(Method, Target, Version), Fault> {
    let mut parts = line.split(|octet| *octet == b' ');
    let (Some(method), Some(target), Some(version), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(Fault::RequestLine);
    };
    let method = Method::parse(method)?;
    // The version goes before the target: what another version means by its
    // target is not ours to judge.
    let version = Version::parse(version)?;
    let target = Target::parse(target, &method)?;
    Ok((method, target, version))
}

/// `HTTP-version SP status-code SP [ reason-phrase ]` (RFC 9112 §4). The blank
/// behind the code may be missing where there is no reason: many servers do so,
/// and RFC 9112 §4 lets a recipient read it.
pub(super) fn status_line(line: &[u8]) -> Result<(Version, u16, &[u8]), Fault> {
    let mut parts = line.splitn(3, |octet| *octet == b' ');
    let version = Version::parse(parts.next().unwrap_or_default())?;
    let code = parts.next().unwrap_or_default();
    let reason = parts.next().unwrap_or_default();
    let status = number(code).filter(|_| code.len() == 3).ok_or(Fault::StatusLine)?;
    let status = u16::try_from(status).map_err(|_| Fault::Status)?;
    if !(100..=599).contains(&status) {
        return Err(Fault::Status);
    }
    if !reason.iter().all(|octet| is_value_octet(*octet)) {
        return Err(Fault::StatusLine);
    }
    Ok((version, status, reason))
}

/// All field lines (RFC 9112 §5) and the empty one.
fn parse_fields(lines: &[u8], limits: &Limits) -> Result<Fields, Fault> {
    let mut found = [httparse::EMPTY_HEADER; MAX_FIELDS];
    let room = found.get_mut(..limits.fields.min(MAX_FIELDS)).unwrap_or_default();
    let parsed = httparse::parse_headers(lines, room).map_err(|error| match error {
        httparse::Error::TooManyHeaders => Fault::TooManyFields,
        httparse::Error::HeaderValue => Fault::FieldValue,
        httparse::Error::NewLine => Fault::LineEnd,
        _ => Fault::FieldName,
    })?;
    let httparse::Status::Complete((length, found)) = parsed else { return Err(Fault::Truncated) };
    if length != lines.len() {
        return Err(Fault::LineEnd);
    }
    let mut fields = Fields::with_capacity(found.len(), lines.len());
    for field in found {
        // What is no token was refused above.
        fields.push(field.name, field.value).map_err(|_| Fault::FieldValue)?;
    }
    Ok(fields)
}

/// The usual reason of a status code (RFC 9110 §15); empty for one that is
/// unknown.
pub const fn reason_phrase(status: u16) -> &'static str {
    match status {
        100 => "Continue",
        101 => "Switching Protocols",
        103 => "Early Hints",
        200 => "OK",
        201 => "Created",
        202 => "Accepted",
        204 => "No Content",
        206 => "Partial Content",
        301 => "Moved Permanently",
        302 => "Found",
        303 => "See Other",
        304 => "Not Modified",
        307 => "Temporary Redirect",
        308 => "Permanent Redirect",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        406 => "Not Acceptable",
        408 => "Request Timeout",
        409 => "Conflict",
        411 => "Length Required",
        412 => "Precondition Failed",
        413 => "Content Too Large",
        414 => "URI Too Long",
        415 => "Unsupported Media Type",
        416 => "Range Not Satisfiable",
        417 => "Expectation Failed",
        421 => "Misdirected Request",
        422 => "Unprocessable Content",
        426 => "Upgrade Required",
        429 => "Too Many Requests",
        431 => "Request Header Fields Too Large",
        500 => "Internal Server Error",
        501 => "Not Implemented",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        505 => "HTTP Version Not Supported",
        _ => "",
    }
}
