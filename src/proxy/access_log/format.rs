//! The text of a line: fabio's format language, and JSON.
//!
//! Fields have fabio's names where they mean the same (`$remote_addr`,
//! `$upstream_addr`, `$upstream_service`, `$time_…`). What only an HTTP request
//! has is `-`, so that a format that was written for fabio stays one.

use std::fmt::{self, Write};
use std::net::SocketAddr;
use std::time::Duration;

use super::record::TcpRecord;
use crate::config::nearest::nearest;
use crate::reactor::calendar::{Fraction, Utc};

/// Most octets of a format: some lines of text, and no more is read by anyone.
const MAX_FORMAT: usize = 4096;

/// The format `tcp`: what `common` is to HTTP.
pub(super) const TCP: &str = "$remote_addr $local_addr [$time_rfc3339_ms] $upstream_service \
    $upstream_addr $server_name $bytes_received $bytes_sent $session_time_ms $dial_time_ms \
    $retries $ending";

/// Whose address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Who {
    Remote,
    Local,
    Proxy,
    Listener,
    Upstream,
}

/// What of an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// Host and port; an IPv6 host in brackets.
    Whole,
    /// The host, without brackets.
    Host,
    Port,
}

/// How a moment is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Style {
    Rfc3339(Fraction),
    /// A whole number of such parts of a second since the Unix epoch.
    Unix(Fraction),
    Common,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Field {
    Address(Who, Part),
    Service,
    ServerName,
    BytesReceived,
    BytesSent,
    /// The end, as with fabio.
    Time(Style),
    Start(Style),
    /// Seconds.
    SessionTime(Fraction),
    /// Seconds.
    DialTime(Fraction),
    Retries,
    Ending,
}

/// All fields by their names, without the `$`.
pub(super) const FIELD_TABLE: [(&str, Field); 45] = {
    use Field::{Address, DialTime, SessionTime, Start, Time};
    use Fraction::{Micros, Millis, Nanos, Seconds};
    use Part::{Host, Port, Whole};
    use Style::{Common, Rfc3339, Unix};
    [
        ("remote_addr", Address(Who::Remote, Whole)),
        ("remote_host", Address(Who::Remote, Host)),
        ("remote_port", Address(Who::Remote, Port)),
        ("local_addr", Address(Who::Local, Whole)),
        ("local_host", Address(Who::Local, Host)),
        ("local_port", Address(Who::Local, Port)),
        ("proxy_addr", Address(Who::Proxy, Whole)),
        ("proxy_host", Address(Who::Proxy, Host)),
        ("proxy_port", Address(Who::Proxy, Port)),
        ("listener_addr", Address(Who::Listener, Whole)),
        ("listener_host", Address(Who::Listener, Host)),
        ("listener_port", Address(Who::Listener, Port)),
        ("upstream_addr", Address(Who::Upstream, Whole)),
        ("upstream_host", Address(Who::Upstream, Host)),
        ("upstream_port", Address(Who::Upstream, Port)),
        ("upstream_service", Field::Service),
        ("server_name", Field::ServerName),
        ("bytes_received", Field::BytesReceived),
        ("bytes_sent", Field::BytesSent),
        ("session_time_ms", SessionTime(Millis)),
        ("session_time_us", SessionTime(Micros)),
        ("session_time_ns", SessionTime(Nanos)),
        ("dial_time_ms", DialTime(Millis)),
        ("dial_time_us", DialTime(Micros)),
        ("dial_time_ns", DialTime(Nanos)),
        ("retries", Field::Retries),
        ("ending", Field::Ending),
        ("time_rfc3339", Time(Rfc3339(Seconds))),
        ("time_rfc3339_ms", Time(Rfc3339(Millis))),
        ("time_rfc3339_us", Time(Rfc3339(Micros))),
        ("time_rfc3339_ns", Time(Rfc3339(Nanos))),
        ("time_unix_ms", Time(Unix(Millis))),
        ("time_unix_us", Time(Unix(Micros))),
        ("time_unix_ns", Time(Unix(Nanos))),
        ("time_common", Time(Common)),
        ("start_rfc3339", Start(Rfc3339(Seconds))),
        ("start_rfc3339_ms", Start(Rfc3339(Millis))),
        ("start_rfc3339_us", Start(Rfc3339(Micros))),
        ("start_rfc3339_ns", Start(Rfc3339(Nanos))),
        ("start_unix_ms", Start(Unix(Millis))),
        ("start_unix_us", Start(Unix(Micros))),
        ("start_unix_ns", Start(Unix(Nanos))),
        ("start_common", Start(Common)),
        // Short for what most people want.
        ("session_time", SessionTime(Millis)),
        ("dial_time", DialTime(Millis)),
    ]
};

/// The names of all fields, without the `$`.
pub const FIELDS: [&str; FIELD_TABLE.len()] = {
    let mut names = [""; FIELD_TABLE.len()];
    let (mut from, mut to) = (FIELD_TABLE.as_slice(), names.as_mut_slice());
    while let ([(name, _), from_rest @ ..], [place, to_rest @ ..]) = (from, to) {
        *place = *name;
        (from, to) = (from_rest, to_rest);
    }
    names
};

/// Fields of fabio that only an HTTP request has, and what a connection has
/// instead. `$header.NAME` is another one.
pub(super) const HTTP_FIELDS: [(&str, Option<&str>); 16] = [
    ("request", None),
    ("request_args", None),
    ("request_host", Some("server_name")),
    ("request_method", None),
    ("request_proto", None),
    ("request_scheme", None),
    ("request_uri", None),
    ("request_url", None),
    ("response_body_size", Some("bytes_sent")),
    ("response_status", Some("ending")),
    ("response_time_ms", Some("session_time_ms")),
    ("response_time_us", Some("session_time_us")),
    ("response_time_ns", Some("session_time_ns")),
    ("upstream_request_scheme", None),
    ("upstream_request_uri", None),
    ("upstream_request_url", None),
];

/// What the names of fields that are a header of a request begin with.
pub(super) const HEADER: &str = "header.";

/// The fields of a JSON line, in their order; times are in seconds.
pub(super) const JSON: [(&str, Field); 15] = [
    ("time", Field::Time(Style::Rfc3339(Fraction::Millis))),
    ("start", Field::Start(Style::Rfc3339(Fraction::Millis))),
    ("remote_addr", Field::Address(Who::Remote, Part::Whole)),
    ("local_addr", Field::Address(Who::Local, Part::Whole)),
    ("proxy_addr", Field::Address(Who::Proxy, Part::Whole)),
    ("listener_addr", Field::Address(Who::Listener, Part::Whole)),
    ("upstream_service", Field::Service),
    ("upstream_addr", Field::Address(Who::Upstream, Part::Whole)),
    ("server_name", Field::ServerName),
    ("bytes_received", Field::BytesReceived),
    ("bytes_sent", Field::BytesSent),
    ("session_time", Field::SessionTime(Fraction::Micros)),
    ("dial_time", Field::DialTime(Fraction::Micros)),
    ("retries", Field::Retries),
    ("ending", Field::Ending),
];

/// A compiled format.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Format(Program);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Program {
    Text(Vec<Piece>),
    Json,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Text(String),
    Field(Field),
    /// What only an HTTP request has: the name in the format.
    Http(String),
}

impl Format {
    /// Compiles `json`, `tcp`, or text with `$fields` in it. fabio's `common`
    /// and `combined` describe HTTP requests; of a TCP connection they say what
    /// `tcp` says, so that fabio's default is a format here as well.
    ///
    /// # Errors
    /// A sentence that names what is wrong, and the nearest thing that is not.
    pub fn compile(text: &str) -> Result<Format, String> {
        let text = match text {
            "json" => return Ok(Format(Program::Json)),
            "tcp" | "common" | "combined" => TCP,
            text => text,
        };
        if text.len() > MAX_FORMAT {
            return Err(format!("a format has at most {MAX_FORMAT} octets, not {}", text.len()));
        }
        if text.chars().any(|c| c.is_control() && c != '\t') {
            return Err("a format is one line, without control characters".to_owned());
        }
        let mut pieces = text.split('$');
        let literal = pieces.next().unwrap_or_default();
        let mut program = vec![Piece::Text(literal.to_owned())];
        for piece in pieces {
            let (name, literal) = split_name(piece);
            program.push(field(name)?);
            program.push(Piece::Text(literal.to_owned()));
        }
        program.retain(|piece| *piece != Piece::Text(String::new()));
        if program.iter().all(|piece| matches!(piece, Piece::Text(_))) {
            return Err(format!(
                "{text:?} is no format: expected \"common\", \"combined\", \"tcp\", \"json\", or \
                 text with fields such as $remote_addr"
            ));
        }
        Ok(Format(Program::Text(program)))
    }

    /// What an operator should know of the format: a sentence about each field
    /// that a TCP connection does not have.
    pub fn warnings(&self) -> Vec<String> {
        let Program::Text(pieces) = &self.0 else { return Vec::new() };
        let mut warnings = Vec::new();
        for piece in pieces {
            let Piece::Http(name) = piece else { continue };
            let known = HTTP_FIELDS.iter().find(|(known, _)| known == name);
            let instead = known.and_then(|(_, instead)| *instead);
            let hint = instead.map(|instead| format!("; there is ${instead}")).unwrap_or_default();
            let warning = format!("${name} is of HTTP requests; for TCP connections it is -{hint}");
            if !warnings.contains(&warning) {
                warnings.push(warning);
            }
        }
        warnings
    }

    /// Appends one line and its end. What a connection does not have is `-`, or
    /// `null` in JSON.
    pub fn write(&self, record: &TcpRecord<'_>, out: &mut String) {
        // Writing to a string cannot fail.
        let _ = match &self.0 {
            Program::Text(pieces) => write_text(pieces, record, out),
            Program::Json => write_json(record, out),
        };
        out.push('\n');
    }
}

impl Default for Format {
    /// The format `json`.
    fn default() -> Format {
        Format(Program::Json)
    }
}

/// The name at the beginning of what follows a `$`, and the text behind it.
fn split_name(piece: &str) -> (&str, &str) {
    let name_end = |text: &str, more: &[char]| {
        let end = text.find(|c: char| !(c.is_ascii_alphanumeric() || more.contains(&c)));
        end.unwrap_or(text.len())
    };
    let mut end = name_end(piece, &['_']);
    if let Some(header) = piece.strip_prefix(HEADER) {
        end = HEADER.len().saturating_add(name_end(header, &['_', '-']));
    }
    piece.split_at_checked(end).unwrap_or((piece, ""))
}

fn field(name: &str) -> Result<Piece, String> {
    if let Some((_, field)) = FIELD_TABLE.iter().find(|(known, _)| *known == name) {
        return Ok(Piece::Field(*field));
    }
    let is_http = match name.strip_prefix(HEADER) {
        Some(header) => !header.is_empty(),
        None => HTTP_FIELDS.iter().any(|(known, _)| *known == name),
    };
    if is_http {
        return Ok(Piece::Http(name.to_owned()));
    }
    if name.is_empty() {
        return Err("a $ without the name of a field".to_owned());
    }
    if name == HEADER || HEADER.strip_suffix('.') == Some(name) {
        return Err(format!("${HEADER} lacks the name of a header, as in ${HEADER}Referer"));
    }
    let known = FIELDS.into_iter().chain(HTTP_FIELDS.iter().map(|(known, _)| *known));
    Err(match nearest(name, known) {
        Some(near) => format!("unknown field ${name}; did you mean ${near}?"),
        None => format!("unknown field ${name}; the fields are ${}", FIELDS.join(" $")),
    })
}

fn write_text(pieces: &[Piece], record: &TcpRecord<'_>, out: &mut String) -> fmt::Result {
    for piece in pieces {
        match piece {
            Piece::Text(text) => out.push_str(text),
            Piece::Http(_) => out.push('-'),
            Piece::Field(field) => match value(*field, record) {
                Value::None => out.push('-'),
                Value::Text(text) => write_escaped(text, out)?,
                other => other.write_plain(out)?,
            },
        }
    }
    Ok(())
}

/// Octets that would end the line, or a quotation in it, are written as
/// `\xHH`: names come from outside.
fn write_escaped(text: &str, out: &mut String) -> fmt::Result {
    for c in text.chars() {
        match c {
            '"' | '\\' => write!(out, "\\x{:02x}", u32::from(c))?,
            c if c.is_control() => write!(out, "\\x{:02x}", u32::from(c))?,
            c => out.push(c),
        }
    }
    Ok(())
}

fn write_json(record: &TcpRecord<'_>, out: &mut String) -> fmt::Result {
    let mut before = '{';
    for (name, field) in JSON {
        write!(out, "{before}\"{name}\":")?;
        before = ',';
        match value(field, record) {
            Value::None => out.push_str("null"),
            Value::Text(text) => write_json_string(text, out)?,
            // No address and no time has a character that needs an escape.
            quoted @ (Value::Address(..) | Value::Moment(..)) => {
                out.push('"');
                quoted.write_plain(out)?;
                out.push('"');
            }
            number => number.write_plain(out)?,
        }
    }
    out.push('}');
    Ok(())
}

/// RFC 8259 §7. More is escaped than it asks for: all control characters, and
/// the two line breaks of Unicode that JavaScript takes for such.
fn write_json_string(text: &str, out: &mut String) -> fmt::Result {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            c if c.is_control() || matches!(c, '\u{2028}' | '\u{2029}') => {
                write!(out, "\\u{:04x}", u32::from(c))?;
            }
            c => out.push(c),
        }
    }
    out.push('"');
    Ok(())
}

/// What a field of a record holds.
enum Value<'a> {
    None,
    Text(&'a str),
    Address(SocketAddr, Part),
    Moment(Duration, Style),
    Seconds(Duration, Fraction),
    Number(u64),
}

fn value<'a>(field: Field, record: &TcpRecord<'a>) -> Value<'a> {
    let text = |text: Option<&'a str>| text.map_or(Value::None, Value::Text);
    match field {
        Field::Address(who, part) => {
            let address = match who {
                Who::Remote => Some(record.client),
                Who::Local => Some(record.local),
                Who::Proxy => record.proxy,
                Who::Listener => Some(record.listener),
                Who::Upstream => record.target,
            };
            address.map_or(Value::None, |address| Value::Address(address, part))
        }
        Field::Service => text(record.service),
        Field::ServerName => text(record.server_name),
        Field::BytesReceived => Value::Number(record.bytes_received),
        Field::BytesSent => Value::Number(record.bytes_sent),
        Field::Time(style) => Value::Moment(record.start.saturating_add(record.duration), style),
        Field::Start(style) => Value::Moment(record.start, style),
        Field::SessionTime(fraction) => Value::Seconds(record.duration, fraction),
        Field::DialTime(fraction) => {
            record.dial_time.map_or(Value::None, |time| Value::Seconds(time, fraction))
        }
        Field::Retries => Value::Number(record.retries.into()),
        Field::Ending => Value::Text(record.ending.name()),
    }
}

impl Value<'_> {
    fn write_plain(&self, out: &mut String) -> fmt::Result {
        match *self {
            Value::None => Ok(()),
            Value::Text(text) => out.write_str(text),
            Value::Address(address, Part::Whole) => write!(out, "{address}"),
            Value::Address(address, Part::Host) => write!(out, "{}", address.ip()),
            Value::Address(address, Part::Port) => write!(out, "{}", address.port()),
            Value::Moment(time, Style::Rfc3339(fraction)) => {
                write!(out, "{}", Utc::at(time).rfc3339(fraction))
            }
            Value::Moment(time, Style::Common) => write!(out, "{}", Utc::at(time).common()),
            Value::Moment(time, Style::Unix(fraction)) => match fraction {
                Fraction::Seconds => write!(out, "{}", time.as_secs()),
                Fraction::Millis => write!(out, "{}", time.as_millis()),
                Fraction::Micros => write!(out, "{}", time.as_micros()),
                Fraction::Nanos => write!(out, "{}", time.as_nanos()),
            },
            Value::Seconds(time, fraction) => {
                write!(out, "{}", time.as_secs())?;
                fraction.write(out, time.subsec_nanos())
            }
            Value::Number(number) => write!(out, "{number}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proxy::access_log::testing::{nothing, record};

    fn line(format: &str, record: &TcpRecord<'_>) -> String {
        let mut out = String::new();
        Format::compile(format).unwrap().write(record, &mut out);
        out.strip_suffix('\n').expect("one line").to_owned()
    }

    fn error(format: &str) -> String {
        Format::compile(format).unwrap_err()
    }

    #[test]
    fn every_field() {
        for (field, full, empty) in [
            ("remote_addr", "[2001:db8::7]:51000", "[2001:db8::7]:51000"),
            ("remote_host", "2001:db8::7", "2001:db8::7"),
            ("remote_port", "51000", "51000"),
            ("local_addr", "192.0.2.1:443", "192.0.2.1:443"),
            ("local_host", "192.0.2.1", "192.0.2.1"),
            ("local_port", "443", "443"),
            ("proxy_addr", "198.51.100.2:40000", "-"),
            ("proxy_host", "198.51.100.2", "-"),
            ("proxy_port", "40000", "-"),
            ("listener_addr", "0.0.0.0:443", "0.0.0.0:443"),
            ("listener_host", "0.0.0.0", "0.0.0.0"),
            ("listener_port", "443", "443"),
            ("upstream_addr", "10.0.0.5:8443", "-"),
            ("upstream_host", "10.0.0.5", "-"),
            ("upstream_port", "8443", "-"),
            ("upstream_service", "web", "-"),
            ("server_name", "www.example", "-"),
            ("bytes_received", "1234", "0"),
            ("bytes_sent", "18446744073709551615", "0"),
            ("session_time", "61.023", "0.000"),
            ("session_time_ms", "61.023", "0.000"),
            ("session_time_us", "61.023456", "0.000000"),
            ("session_time_ns", "61.023456789", "0.000000000"),
            ("dial_time", "0.001", "-"),
            ("dial_time_ms", "0.001", "-"),
            ("dial_time_us", "0.001500", "-"),
            ("dial_time_ns", "0.001500000", "-"),
            ("retries", "2", "0"),
            ("ending", "finished", "no-route"),
            ("time_rfc3339", "2026-11-23T17:01:01Z", "2026-11-23T17:00:00Z"),
            ("time_rfc3339_ms", "2026-11-23T17:01:01.123Z", "2026-11-23T17:00:00.100Z"),
            ("time_rfc3339_us", "2026-11-23T17:01:01.123456Z", "2026-11-23T17:00:00.100000Z"),
            ("time_rfc3339_ns", "2026-11-23T17:01:01.123456789Z", "2026-11-23T17:00:00.100000000Z"),
            ("time_unix_ms", "1795453261123", "1795453200100"),
            ("time_unix_us", "1795453261123456", "1795453200100000"),
            ("time_unix_ns", "1795453261123456789", "1795453200100000000"),
            ("time_common", "23/Nov/2026:17:01:01 +0000", "23/Nov/2026:17:00:00 +0000"),
            ("start_rfc3339", "2026-11-23T17:00:00Z", "2026-11-23T17:00:00Z"),
            ("start_rfc3339_ms", "2026-11-23T17:00:00.100Z", "2026-11-23T17:00:00.100Z"),
            ("start_rfc3339_us", "2026-11-23T17:00:00.100000Z", "2026-11-23T17:00:00.100000Z"),
            (
                "start_rfc3339_ns",
                "2026-11-23T17:00:00.100000000Z",
                "2026-11-23T17:00:00.100000000Z",
            ),
            ("start_unix_ms", "1795453200100", "1795453200100"),
            ("start_unix_us", "1795453200100000", "1795453200100000"),
            ("start_unix_ns", "1795453200100000000", "1795453200100000000"),
            ("start_common", "23/Nov/2026:17:00:00 +0000", "23/Nov/2026:17:00:00 +0000"),
        ] {
            assert!(FIELDS.contains(&field));
            assert_eq!(line(&format!("${field}"), &record()), full, "{field}");
            assert_eq!(line(&format!("<${field}>"), &nothing()), format!("<{empty}>"), "{field}");
        }
        let names: std::collections::BTreeSet<&str> = FIELDS.into_iter().collect();
        assert_eq!(names.len(), 45, "and these are all");
    }

    #[test]
    fn text_stands_between_fields() {
        assert_eq!(
            line("a\t\"$remote_port$retries\" é $ending.", &record()),
            "a\t\"510002\" é finished."
        );
        assert_eq!(
            line("tcp", &record()),
            "[2001:db8::7]:51000 192.0.2.1:443 [2026-11-23T17:01:01.123Z] web 10.0.0.5:8443 \
             www.example 1234 18446744073709551615 61.023 0.001 2 finished"
        );
    }

    #[test]
    fn formats_that_are_none() {
        assert_eq!(error("$remote_adr"), "unknown field $remote_adr; did you mean $remote_addr?");
        assert_eq!(error("$Ending"), "unknown field $Ending; did you mean $ending?");
        assert!(
            error("$weather").starts_with("unknown field $weather; the fields are $remote_addr")
        );
        for bare in ["$", "a $ b", "$ending $", "$$ending", "$-"] {
            assert_eq!(error(bare), "a $ without the name of a field", "{bare}");
        }
        for text in ["", "jsn", "no field"] {
            assert!(error(text).contains("is no format"), "{text}");
        }
        for text in ["$ending\n", "\r$ending", "$ending\u{85}", "\0$ending"] {
            assert!(error(text).contains("one line"), "{text:?}");
        }
        assert!(error(&"$ending".repeat(600)).contains("at most 4096 octets, not 4200"));
    }

    #[test]
    fn formats_of_http_are_good_for_connections() {
        let tcp = Format::compile("tcp").unwrap();
        for name in ["common", "combined"] {
            let format = Format::compile(name).unwrap();
            assert_eq!((&format, format.warnings().len()), (&tcp, 0), "{name}");
        }
        let format = "$remote_host - - [$time_common] \"$request\" $response_status \
                      $response_time_ms \"$header.User-Agent\" $header.X_a.b $request \
                      $upstream_request_url";
        assert_eq!(
            line(format, &record()),
            "2001:db8::7 - - [23/Nov/2026:17:01:01 +0000] \"-\" - - \"-\" -.b - -"
        );
        assert_eq!(
            Format::compile(format).unwrap().warnings(),
            [
                "$request is of HTTP requests; for TCP connections it is -",
                "$response_status is of HTTP requests; for TCP connections it is -; there is \
                 $ending",
                "$response_time_ms is of HTTP requests; for TCP connections it is -; there is \
                 $session_time_ms",
                "$header.User-Agent is of HTTP requests; for TCP connections it is -",
                "$header.X_a is of HTTP requests; for TCP connections it is -",
                "$upstream_request_url is of HTTP requests; for TCP connections it is -",
            ]
        );
        for (name, instead) in HTTP_FIELDS {
            assert_eq!(line(&format!("${name}"), &record()), "-");
            assert!(instead.is_none_or(|instead| FIELDS.contains(&instead)));
            assert!(!FIELDS.contains(&name));
        }
        for bare in ["$header", "$header.", "$header. $header.a"] {
            assert!(error(bare).starts_with("$header. lacks the name of a header"), "{bare}");
        }
        assert_eq!(error("$headers.a").split(';').next(), Some("unknown field $headers"));
        assert_eq!(
            error("$request_hos"),
            "unknown field $request_hos; did you mean $request_host?"
        );
        assert_eq!(Format::compile("$ending").unwrap().warnings(), [""; 0]);
    }

    #[test]
    fn names_from_outside_cannot_forge_a_line() {
        let evil = TcpRecord { service: Some("a\"b\\c\nd\u{85}é"), ..record() };
        assert_eq!(line("\"$upstream_service\"", &evil), "\"a\\x22b\\x5cc\\x0ad\\x85é\"");
        let json = line("json", &evil);
        assert!(json.contains(r#""upstream_service":"a\"b\\c\u000ad\u0085é""#), "{json}");
    }

    #[test]
    fn json_has_all_of_it_in_one_line() {
        assert_eq!(
            line("json", &record()),
            "{\"time\":\"2026-11-23T17:01:01.123Z\",\"start\":\"2026-11-23T17:00:00.100Z\",\
             \"remote_addr\":\"[2001:db8::7]:51000\",\"local_addr\":\"192.0.2.1:443\",\
             \"proxy_addr\":\"198.51.100.2:40000\",\"listener_addr\":\"0.0.0.0:443\",\
             \"upstream_service\":\"web\",\"upstream_addr\":\"10.0.0.5:8443\",\
             \"server_name\":\"www.example\",\"bytes_received\":1234,\
             \"bytes_sent\":18446744073709551615,\"session_time\":61.023456,\
             \"dial_time\":0.001500,\"retries\":2,\"ending\":\"finished\"}"
        );
        assert_eq!(
            line("json", &nothing()),
            "{\"time\":\"2026-11-23T17:00:00.100Z\",\"start\":\"2026-11-23T17:00:00.100Z\",\
             \"remote_addr\":\"[2001:db8::7]:51000\",\"local_addr\":\"192.0.2.1:443\",\
             \"proxy_addr\":null,\"listener_addr\":\"0.0.0.0:443\",\
             \"upstream_service\":null,\"upstream_addr\":null,\
             \"server_name\":null,\"bytes_received\":0,\
             \"bytes_sent\":0,\"session_time\":0.000000,\
             \"dial_time\":null,\"retries\":0,\"ending\":\"no-route\"}"
        );
        assert_eq!(Format::default(), Format::compile("json").unwrap());
    }

    #[test]
    fn lines_follow_each_other_in_a_buffer_that_is_used_again() {
        let format = Format::compile("$ending").unwrap();
        let mut out = String::new();
        format.write(&record(), &mut out);
        format.write(&nothing(), &mut out);
        assert_eq!(out, "finished\nno-route\n");
        for format in ["tcp", "json"].map(|name| Format::compile(name).unwrap()) {
            out.clear();
            format.write(&record(), &mut out);
            let place = (out.as_ptr(), out.capacity());
            out.clear();
            format.write(&record(), &mut out);
            assert_eq!((out.as_ptr(), out.capacity()), place);
        }
    }

    #[test]
    fn no_time_is_too_long() {
        let long = TcpRecord { start: Duration::MAX, duration: Duration::MAX, ..record() };
        for field in FIELDS {
            assert!(!line(&format!("${field}"), &long).is_empty());
        }
    }
}
