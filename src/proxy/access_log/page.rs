//! `docs/access-log.md`, made of the tables, so that it cannot lag behind.

use std::fmt::Write;

use super::format::{FIELD_TABLE, Field, HEADER, HTTP_FIELDS, JSON, Part, Style, TCP, Who};
use super::testing::{nothing, record};
use super::{Ending, Format, TcpRecord};
use crate::proxy::limits::Scope;
use crate::reactor::calendar::Fraction;

const HEAD: &str = "\
# The access log

<!-- Generated from src/proxy/access_log; `BURGEE_BLESS=1 cargo test access_log` writes it. -->

burgee can write a line about each TCP connection when it is over.

| key | what it does |
|---|---|
| `log.access.target` | `stdout` turns the access log on |
| `log.access.format` | `common`, `combined`, `tcp`, `json`, or a text with fields |

A client that was turned away, at a limit, by an access rule or because there is no route, has its
line too; the field `$ending` says what happened. fabio writes lines about HTTP requests only.

Logging never makes a client wait. The lines of one turn of the loop are written together and
without blocking. Up to 1 MiB waits for a reader that is slow, or for room on a full disk, which is
tried again each second; what does not fit is dropped and counted. The operational log, on standard
error, says when lines begin to be dropped (`access_log event=lines_dropped`), how many it were when
that is over (`event=resumed`), and when the reader is gone for good (`event=closed`). Lines are at
most 4096 octets in one write to a pipe or a socket, and a write ends with a line, so standard
output and standard error may lead to the same place.

## Formats

";

const TEXT: &str = "
A text with fields is anything else that has a field in it: `$remote_host -> $upstream_host`. A name
ends before the first character that is not a letter, a digit or `_`. A line ends with a newline.
What a connection does not have is `-`. In names from outside, quotation marks, backslashes and
control characters are written as `\\xHH`.

";

/// What an example of a line is made of.
fn example(format: &str, record: &TcpRecord<'_>) -> String {
    let mut line = String::new();
    Format::compile(format).expect("a format").write(record, &mut line);
    line.trim_end().to_owned()
}

/// A connection of which everything is known.
fn full() -> TcpRecord<'static> {
    TcpRecord { bytes_sent: 56_789, ..record() }
}

fn markdown() -> String {
    let mut text = String::from(HEAD);
    formats(&mut text);
    text.push_str(TEXT);
    fields(&mut text);
    http_fields(&mut text);
    endings(&mut text);
    text
}

fn formats(text: &mut String) {
    let _ = writeln!(text, "`tcp` is short for\n\n```\n{TCP}\n```\n");
    let _ = writeln!(text, "and a line of it is\n\n```\n{}\n```\n", example("tcp", &full()));
    text.push_str(
        "`common`, the default, and `combined` describe HTTP requests; of a TCP connection they\n\
         say what `tcp` says.\n\n\
         `json` is one object a line (RFC 8259). What a connection does not have is `null`, and\n\
         times are in seconds:\n\n```\n",
    );
    let _ = writeln!(text, "{}\n{}\n```\n", example("json", &full()), example("json", &nothing()));
    text.push_str("| member | is the field |\n|---|---|\n");
    for (name, field) in JSON {
        let (known, _) =
            FIELD_TABLE.iter().find(|(_, known)| *known == field).expect("JSON has known fields");
        let _ = writeln!(text, "| `{name}` | `${known}` |");
    }
}

fn fields(text: &mut String) {
    text.push_str(
        "## Fields\n\n| field | what it is | example | if there is none |\n|---|---|---|---|\n",
    );
    for (name, field) in FIELD_TABLE {
        let (full, empty) =
            (example(&format!("${name}"), &full()), example(&format!("${name}"), &nothing()));
        let none = if empty == "-" { "`-`" } else { "" };
        let _ = writeln!(text, "| `${name}` | {} | `{full}` | {none} |", describe(field));
    }
}

fn describe(field: Field) -> String {
    match field {
        Field::Address(who, part) => {
            let part = match part {
                Part::Whole => "address and port",
                Part::Host => "address",
                Part::Port => "port",
            };
            let who = match who {
                Who::Remote => "the client, from the PROXY header if there was one",
                Who::Local => "what the client connected to, from the PROXY header as well",
                Who::Proxy => "the proxy that sent a PROXY header",
                Who::Listener => "the listener",
                Who::Upstream => "the target that accepted",
            };
            format!("{part} of {who}")
        }
        Field::Service => "the service whose target was chosen".to_owned(),
        Field::ServerName => "the host name in the ClientHello".to_owned(),
        Field::BytesReceived => "octets from the client that went to the target".to_owned(),
        Field::BytesSent => "octets from the target that went to the client".to_owned(),
        Field::Time(style) => format!("the end, {}", describe_style(style)),
        Field::Start(style) => format!("the beginning, {}", describe_style(style)),
        Field::SessionTime(fraction) => {
            format!("from beginning to end, in seconds{}", describe_fraction(fraction))
        }
        Field::DialTime(fraction) => {
            format!("until the target accepted, in seconds{}", describe_fraction(fraction))
        }
        Field::Retries => "targets that were tried and did not accept".to_owned(),
        Field::Ending => "how it ended: see [below](#endings)".to_owned(),
    }
}

fn describe_style(style: Style) -> String {
    match style {
        Style::Rfc3339(fraction) => format!("in UTC (RFC 3339){}", describe_fraction(fraction)),
        Style::Unix(fraction) => {
            let unit = match fraction {
                Fraction::Seconds => "seconds",
                Fraction::Millis => "milliseconds",
                Fraction::Micros => "microseconds",
                Fraction::Nanos => "nanoseconds",
            };
            format!("in {unit} since 1970")
        }
        Style::Common => "in UTC, as in the Common Log Format".to_owned(),
    }
}

fn describe_fraction(fraction: Fraction) -> &'static str {
    match fraction {
        Fraction::Seconds => "",
        Fraction::Millis => ", to the millisecond",
        Fraction::Micros => ", to the microsecond",
        Fraction::Nanos => ", to the nanosecond",
    }
}

fn http_fields(text: &mut String) {
    let _ = write!(
        text,
        "\n## Fields of HTTP requests\n\n\
         A format that was written for fabio stays a format: what only an HTTP request has is\n\
         `-`, and there is a warning at the start. Any other name is an error.\n\n\
         | field | of a connection there is |\n|---|---|\n| `${HEADER}NAME` | |\n"
    );
    for (name, instead) in HTTP_FIELDS {
        let instead = instead.map(|instead| format!("`${instead}` ")).unwrap_or_default();
        let _ = writeln!(text, "| `${name}` | {instead}|");
    }
}

fn endings(text: &mut String) {
    text.push_str("\n## Endings\n\n| `$ending` | what happened |\n|---|---|\n");
    for ending in Ending::ALL {
        let _ = writeln!(text, "| `{}` | {} |", ending.name(), describe_ending(ending));
    }
}

fn describe_ending(ending: Ending) -> &'static str {
    match ending {
        Ending::Finished => "both sides ended their streams",
        Ending::ClientReset => "the client reset it",
        Ending::TargetReset => "the target reset it",
        Ending::IdleTimeout => "nobody sent anything for too long",
        Ending::HalfClosedTimeout => {
            "one side had ended its stream, and the other sent nothing for too long"
        }
        Ending::ReadTimeout => "the client sent nothing for too long",
        Ending::WriteTimeout => "the client took nothing for too long",
        Ending::Denied => "no target lets it in",
        Ending::NoRoute => "its listener, or its server name, has no route",
        Ending::NoTarget => "no target was left to try",
        Ending::TargetRemoved => "it was cut because its target left the routes",
        Ending::NoHeader => "its PROXY header was missing, malformed, late or not to be believed",
        Ending::NoHello => "its ClientHello was missing, malformed, late or too large",
        Ending::Limit(Scope::Service) => "the service had as many connections as it may",
        Ending::Limit(Scope::Source) => "the client's address had as many connections as it may",
        Ending::Exhausted => "this machine had no descriptor, memory or port left",
        Ending::Stopped => "it was cut when burgee stopped",
        Ending::Fault => "a fault of burgee itself",
    }
}

#[test]
fn access_log_page_is_the_tables() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/access-log.md");
    if std::env::var_os("BURGEE_BLESS").is_some() {
        std::fs::write(path, markdown()).unwrap();
    }
    let page = std::fs::read_to_string(path).unwrap_or_default();
    assert!(page == markdown(), "docs/access-log.md is not the tables; see its third line");
}

#[test]
fn endings_are_words_and_all_different() {
    let names: std::collections::BTreeSet<&str> = Ending::ALL.map(Ending::name).into();
    assert_eq!(names.len(), Ending::ALL.len());
    for name in names {
        assert!(name.chars().all(|c| c.is_ascii_lowercase() || c == '-'), "{name}");
    }
}
