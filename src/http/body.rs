//! Bodies, taken apart and put together.

use super::fault::{Fault, Misuse};
use super::framing::Framing;
use super::limits::{MAX_EXTENSIONS, MAX_TRAILERS};
use super::octets::{is_blank, is_token_octet, is_value_octet};

/// Most digits of a chunk size: those of 64 bits.
const MAX_SIZE_DIGITS: u8 = 16;

/// What the next octets of a body are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part<'a> {
    /// Nothing yet: more must come.
    More,
    /// Octets of the body, never none.
    Data(&'a [u8]),
    /// The body is over.
    End,
}

/// Takes one body apart. It keeps no octet: what it is given is done with, up to
/// the count that it returns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decoder {
    state: State,
    /// Octets of the body, or of the chunk, that are still to come.
    left: u64,
    extensions: u32,
    trailers: u32,
}

/// Where a body is. All but the first three are of a chunked one (RFC 9112 §7.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Length,
    UntilClose,
    Over,
    /// In a chunk size of which so many digits have come.
    Size(u8),
    Extension(Extension),
    /// Behind the CR of the line with the size.
    SizeEnd,
    Data,
    /// Behind the octets of a chunk.
    DataCr,
    DataLf,
    /// At the beginning of a trailer line, or of the empty one.
    Trailer,
    TrailerName,
    TrailerValue,
    TrailerEnd,
    /// Behind the CR of the empty line.
    LastEnd,
}

/// Where a chunk extension is (RFC 9112 §7.1.1): `BWS ; BWS name [ BWS = BWS value ]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Extension {
    /// Behind blanks, where only a semicolon may follow.
    BeforeSemicolon,
    BeforeName,
    Name,
    /// Behind a name and blanks.
    AfterName,
    BeforeValue,
    Value,
    Quoted,
    Escaped,
    /// Behind a quoted value.
    AfterQuoted,
}

impl Decoder {
    /// For the body of one message; of [`Framing::Tunnel`] everything is data.
    pub fn new(framing: Framing) -> Decoder {
        let (state, left) = match framing {
            Framing::Length(0) => (State::Over, 0),
            Framing::Length(length) => (State::Length, length),
            Framing::Chunked => (State::Size(0), 0),
            Framing::UntilClose | Framing::Tunnel => (State::UntilClose, 0),
        };
        Decoder { state, left, extensions: 0, trailers: 0 }
    }

    /// Looks at the next octets; says how many of them are done with, those of
    /// the part included. To be called until it says [`Part::More`] or [`Part::End`].
    ///
    /// # Errors
    /// The first fault; of the body nothing can be known then any more.
    pub fn decode<'a>(&mut self, input: &'a [u8]) -> Result<(usize, Part<'a>), Fault> {
        let mut done = 0_usize;
        loop {
            let rest = input.get(done..).unwrap_or_default();
            match self.state {
                State::Over => return Ok((done, Part::End)),
                State::Length | State::Data | State::UntilClose => {
                    let data = self.data(rest);
                    let part = if data.is_empty() { Part::More } else { Part::Data(data) };
                    return Ok((done.saturating_add(data.len()), part));
                }
                _ => {}
            }
            let Some(octet) = rest.first() else { return Ok((done, Part::More)) };
            self.state = self.next(*octet)?;
            done = done.saturating_add(1);
        }
    }

    /// The connection ended: whether the body did as well.
    ///
    /// # Errors
    /// [`Fault::Truncated`].
    pub fn end_of_input(&mut self) -> Result<(), Fault> {
        match self.state {
            State::Over | State::UntilClose => {
                self.state = State::Over;
                Ok(())
            }
            _ => Err(Fault::Truncated),
        }
    }

    /// Whether the body is over.
    pub fn is_over(&self) -> bool {
        self.state == State::Over
    }

    /// The octets of the body at the front of `rest`.
    fn data<'a>(&mut self, rest: &'a [u8]) -> &'a [u8] {
        if self.state == State::UntilClose {
            return rest;
        }
        let most = usize::try_from(self.left).unwrap_or(usize::MAX);
        let data = rest.get(..most).unwrap_or(rest);
        self.left = self.left.saturating_sub(u64::try_from(data.len()).unwrap_or(u64::MAX));
        if self.left == 0 {
            self.state = if self.state == State::Length { State::Over } else { State::DataCr };
        }
        data
    }

    /// One octet of what stands around the chunks.
    fn next(&mut self, octet: u8) -> Result<State, Fault> {
        match (self.state, octet) {
            (State::Size(digits), octet) => self.size(digits, octet),
            (State::Extension(extension), octet) => self.extension(extension, octet),
            (State::SizeEnd, b'\n') if self.left == 0 => Ok(State::Trailer),
            (State::SizeEnd, b'\n') => Ok(State::Data),
            (State::DataCr, b'\r') => Ok(State::DataLf),
            (State::DataLf, b'\n') => Ok(State::Size(0)),
            (State::SizeEnd | State::DataCr | State::DataLf, _) => Err(Fault::ChunkEnd),
            (State::Trailer, b'\r') => Ok(State::LastEnd),
            (State::LastEnd, b'\n') => Ok(State::Over),
            (state, octet) => self.trailer(state, octet),
        }
    }

    /// `1*HEXDIG`, and what may follow it.
    fn size(&mut self, digits: u8, octet: u8) -> Result<State, Fault> {
        if let Some(digit) = char::from(octet).to_digit(16) {
            if digits >= MAX_SIZE_DIGITS {
                return Err(Fault::ChunkSize);
            }
            // Sixteen digits are what 64 bits hold.
            self.left = (self.left << 4) | u64::from(digit);
            return Ok(State::Size(digits.saturating_add(1)));
        }
        match octet {
            _ if digits == 0 => Err(Fault::ChunkSize),
            b'\r' => Ok(State::SizeEnd),
            b';' => Ok(State::Extension(Extension::BeforeName)),
            octet if is_blank(octet) => Ok(State::Extension(Extension::BeforeSemicolon)),
            b'\n' => Err(Fault::ChunkEnd),
            _ => Err(Fault::ChunkSize),
        }
    }

    fn extension(&mut self, extension: Extension, octet: u8) -> Result<State, Fault> {
        use Extension::{
            AfterName, AfterQuoted, BeforeName, BeforeSemicolon, BeforeValue, Escaped, Name,
            Quoted, Value,
        };
        if octet == b'\r' && matches!(extension, Name | Value | AfterQuoted) {
            return Ok(State::SizeEnd);
        }
        self.extensions = self.extensions.saturating_add(1);
        if self.extensions > MAX_EXTENSIONS {
            return Err(Fault::ExtensionsTooLong);
        }
        let next = match (extension, octet) {
            (Name | AfterName | Value | AfterQuoted | BeforeSemicolon, b';') => BeforeName,
            (BeforeSemicolon | BeforeName | AfterName | BeforeValue, b' ' | b'\t') => extension,
            (Name, b' ' | b'\t') => AfterName,
            (Value | AfterQuoted, b' ' | b'\t') => BeforeSemicolon,
            (Name | AfterName, b'=') => BeforeValue,
            (BeforeName | Name, octet) if is_token_octet(octet) => Name,
            (BeforeValue | Value, octet) if is_token_octet(octet) => Value,
            (BeforeValue, b'"') => Quoted,
            (Quoted, b'"') => AfterQuoted,
            (Quoted, b'\\') => Escaped,
            (Quoted | Escaped, octet) if is_value_octet(octet) => Quoted,
            _ => return Err(Fault::ChunkExtension),
        };
        Ok(State::Extension(next))
    }

    /// A trailer field, judged and thrown away: it may be dropped (RFC 9110
    /// §6.5.1), and must never be taken for a field of the head.
    fn trailer(&mut self, state: State, octet: u8) -> Result<State, Fault> {
        self.trailers = self.trailers.saturating_add(1);
        if self.trailers > MAX_TRAILERS {
            return Err(Fault::TrailersTooLong);
        }
        match (state, octet) {
            (State::Trailer | State::TrailerName, octet) if is_token_octet(octet) => {
                Ok(State::TrailerName)
            }
            (State::TrailerName, b':') => Ok(State::TrailerValue),
            (State::TrailerValue, octet) if is_value_octet(octet) => Ok(State::TrailerValue),
            (State::TrailerValue, b'\r') => Ok(State::TrailerEnd),
            (State::TrailerEnd, b'\n') => Ok(State::Trailer),
            _ => Err(Fault::Trailer),
        }
    }
}

/// Writes `data` as one chunk (RFC 9112 §7.1); nothing where there is none, since
/// an empty chunk is the last.
pub fn write_chunk(data: &[u8], out: &mut Vec<u8>) {
    if !data.is_empty() {
        out.extend_from_slice(format!("{:x}\r\n", data.len()).as_bytes());
        out.extend_from_slice(data);
        out.extend_from_slice(b"\r\n");
    }
}

/// Writes the last chunk, without trailer fields.
pub fn write_last_chunk(out: &mut Vec<u8>) {
    out.extend_from_slice(b"0\r\n\r\n");
}

/// Puts one body together, as its head said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Encoder {
    /// So many octets are still to come.
    Length(u64),
    Chunked,
    UntilClose,
    /// An answer that has no body whatever its head says.
    Nothing,
}

impl Encoder {
    pub(super) fn write(&mut self, data: &[u8], out: &mut Vec<u8>) -> Result<(), Misuse> {
        match self {
            Encoder::Length(left) => {
                let count = u64::try_from(data.len()).unwrap_or(u64::MAX);
                *left = left.checked_sub(count).ok_or(Misuse::TooMuch)?;
                out.extend_from_slice(data);
            }
            Encoder::Chunked => write_chunk(data, out),
            Encoder::UntilClose => out.extend_from_slice(data),
            Encoder::Nothing => {}
        }
        Ok(())
    }

    pub(super) fn finish(self, out: &mut Vec<u8>) -> Result<(), Misuse> {
        match self {
            Encoder::Length(1..) => return Err(Misuse::TooLittle),
            Encoder::Chunked => write_last_chunk(out),
            Encoder::Length(0) | Encoder::UntilClose | Encoder::Nothing => {}
        }
        Ok(())
    }
}
