//! The side of a connection that asks.

use super::body::{Decoder, Encoder, Part};
use super::fault::{Fault, Misuse};
use super::fields::line;
use super::framing::{Content, Framing, persists};
use super::head::{Method, RequestHead, ResponseHead, Version, status_line};
use super::limits::{Limits, MAX_INTERIM};
use super::scan::{Found, Scan};

/// Fields that the machine writes itself.
const OWN: [&str; 4] = ["connection", "content-length", "keep-alive", "transfer-encoding"];

/// What a server sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Response<'a> {
    /// The head of an interim answer (1xx, but not 101): the final one follows.
    Interim(ResponseHead),
    /// The head of the final answer. Its body follows, if it has one, and then
    /// its end.
    Head {
        /// The head.
        head: ResponseHead,
        /// How long its body is.
        framing: Framing,
    },
    /// Octets of the body, never none. Of [`Framing::Tunnel`], of whatever is
    /// spoken then.
    Body(&'a [u8]),
    /// The answer is complete.
    End,
    /// It is no answer. The connection ends, and nothing of it can be trusted.
    Fault(Fault),
}

#[derive(Clone, Debug)]
enum Receiving {
    /// Nothing was asked.
    Idle,
    Head,
    Body(Decoder),
    Complete,
    Stopped,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sending {
    Idle,
    Body(Encoder),
}

/// One connection to a server.
///
/// A request is written, and what was read is given to [`Client::receive`] as with
/// [`Server`](super::Server). The next request can be written when both the last
/// one and its answer are complete, if the connection [is reusable](Client::is_reusable).
#[derive(Clone, Debug)]
pub struct Client {
    limits: Limits,
    scan: Scan,
    receiving: Receiving,
    sending: Sending,
    method: Method,
    asks_upgrade: bool,
    persists: bool,
    interim: u32,
}

impl Client {
    /// A fresh connection.
    pub fn new(limits: Limits) -> Client {
        Client {
            limits,
            scan: Scan::default(),
            receiving: Receiving::Idle,
            sending: Sending::Idle,
            method: Method::Get,
            asks_upgrade: false,
            persists: true,
            interim: 0,
        }
    }

    /// Whether another request can be written.
    pub fn is_reusable(&self) -> bool {
        self.persists && matches!(self.receiving, Receiving::Idle) && self.sending == Sending::Idle
    }

    /// Says that no request follows the next one, which tells the server
    /// (RFC 9112 §9.6).
    pub fn close_after(&mut self) {
        self.persists = false;
    }

    /// Writes the head of a request in HTTP/1.1, with the fields that say how
    /// long its body is and what becomes of the connection. Of `head`, the version
    /// does not matter, nor do its fields that the machine writes itself.
    ///
    /// # Errors
    /// [`Misuse`]; [`Misuse::Head`] where a server would refuse it.
    pub fn request(
        &mut self,
        head: &RequestHead,
        content: Content,
        out: &mut Vec<u8>,
    ) -> Result<(), Misuse> {
        let is_idle = matches!(self.receiving, Receiving::Idle) && self.sending == Sending::Idle;
        if !is_idle {
            return Err(Misuse::OutOfTurn);
        }
        let mut head = RequestHead { version: Version::Http11, ..head.clone() };
        OWN.iter().for_each(|name| head.fields.remove(name));
        Framing::of_request(&head).map_err(Misuse::Head)?;
        head.write_but(out, &[]);
        write_framing(&head.method, content, out);
        self.asks_upgrade = head.fields.has("upgrade");
        match (self.asks_upgrade, self.persists) {
            (true, true) => line(out, "Connection", b"upgrade"),
            (true, false) => line(out, "Connection", b"close, upgrade"),
            (false, false) => line(out, "Connection", b"close"),
            (false, true) => {}
        }
        out.extend_from_slice(b"\r\n");
        self.sending = match content {
            Content::Length(0) => Sending::Idle,
            Content::Length(length) => Sending::Body(Encoder::Length(length)),
            Content::Stream => Sending::Body(Encoder::Chunked),
        };
        self.method = head.method;
        self.receiving = Receiving::Head;
        self.scan = Scan::default();
        self.interim = 0;
        Ok(())
    }

    /// Writes octets of the body.
    ///
    /// # Errors
    /// [`Misuse`].
    pub fn send(&mut self, data: &[u8], out: &mut Vec<u8>) -> Result<(), Misuse> {
        match &mut self.sending {
            Sending::Body(encoder) => encoder.write(data, out),
            Sending::Idle if data.is_empty() => Ok(()),
            Sending::Idle => Err(Misuse::OutOfTurn),
        }
        .inspect_err(|_| self.stop())
    }

    /// Writes the end of the body.
    ///
    /// # Errors
    /// [`Misuse`].
    pub fn finish(&mut self, out: &mut Vec<u8>) -> Result<(), Misuse> {
        match std::mem::replace(&mut self.sending, Sending::Idle) {
            Sending::Body(encoder) => encoder.finish(out),
            Sending::Idle => Ok(()),
        }
        .inspect_err(|_| self.stop())
    }

    /// Looks at what was read and not yet done with, as
    /// [`Server::receive`](super::Server::receive). Octets that nobody asked for are
    /// a fault.
    pub fn receive<'a>(&mut self, input: &'a [u8]) -> (usize, Option<Response<'a>>) {
        let (done, event) = match &mut self.receiving {
            Receiving::Idle if input.is_empty() => (0, Ok(None)),
            Receiving::Idle => (0, Err(Fault::Unasked)),
            Receiving::Head => self.receive_head(input),
            Receiving::Body(decoder) => match decoder.decode(input) {
                Ok((done, Part::More)) => (done, Ok(None)),
                Ok((done, Part::Data(data))) => (done, Ok(Some(Response::Body(data)))),
                Ok((done, Part::End)) => {
                    self.receiving = Receiving::Idle;
                    (done, Ok(Some(Response::End)))
                }
                Err(fault) => (0, Err(fault)),
            },
            Receiving::Complete => {
                self.receiving = Receiving::Idle;
                (0, Ok(Some(Response::End)))
            }
            Receiving::Stopped => (input.len(), Ok(None)),
        };
        match event {
            Ok(event) => (done, event),
            Err(fault) => {
                self.stop();
                (done, Some(Response::Fault(fault)))
            }
        }
    }

    fn receive_head(&mut self, input: &[u8]) -> (usize, Result<Option<Response<'static>>, Fault>) {
        let judge = |line: &[u8]| status_line(line).map(|_| ());
        match self.scan.advance(input, &self.limits, judge) {
            Ok(Found::EmptyLine) => (0, Err(Fault::StatusLine)),
            Ok(Found::Part) => (0, Ok(None)),
            Ok(Found::Head(length)) => {
                self.scan = Scan::default();
                (length, self.begin(input.get(..length).unwrap_or_default()).map(Some))
            }
            // There is no target in a status line.
            Err(Fault::TargetTooLong) => (0, Err(Fault::StatusLine)),
            Err(fault) => (0, Err(fault)),
        }
    }

    /// A whole head has come.
    fn begin(&mut self, head: &[u8]) -> Result<Response<'static>, Fault> {
        let head = ResponseHead::parse(head, &self.limits)?;
        let framing = Framing::of_response(&head, &self.method)?;
        match head.status {
            101 if !self.asks_upgrade || !head.fields.has("upgrade") => {
                return Err(Fault::UnaskedSwitch);
            }
            100 | 102..=199 => {
                self.interim = self.interim.saturating_add(1);
                if self.interim > MAX_INTERIM {
                    return Err(Fault::TooManyInterim);
                }
                return Ok(Response::Interim(head));
            }
            _ => {}
        }
        let ends_with_connection = matches!(framing, Framing::UntilClose | Framing::Tunnel);
        self.persists =
            self.persists && !ends_with_connection && persists(&head.fields, head.version);
        let decoder = Decoder::new(framing);
        self.receiving =
            if decoder.is_over() { Receiving::Complete } else { Receiving::Body(decoder) };
        Ok(Response::Head { head, framing })
    }

    /// The server sends no more.
    ///
    /// # Errors
    /// [`Fault::Truncated`], before or inside an answer.
    pub fn end_of_input(&mut self) -> Result<Option<Response<'static>>, Fault> {
        let event = match &mut self.receiving {
            Receiving::Idle | Receiving::Stopped => Ok(None),
            Receiving::Head => Err(Fault::Truncated),
            Receiving::Body(decoder) => decoder.end_of_input().map(|()| Some(Response::End)),
            Receiving::Complete => Ok(Some(Response::End)),
        };
        self.stop();
        event
    }

    fn stop(&mut self) {
        self.persists = false;
        self.receiving = Receiving::Stopped;
    }
}

/// RFC 9110 §8.6: a method that usually has a body says that there is none.
fn write_framing(method: &Method, content: Content, out: &mut Vec<u8>) {
    let has_none = matches!(
        method,
        Method::Get
            | Method::Head
            | Method::Delete
            | Method::Connect
            | Method::Options
            | Method::Trace
    );
    match content {
        Content::Length(0) if has_none => {}
        Content::Length(length) => line(out, "Content-Length", length.to_string().as_bytes()),
        Content::Stream => line(out, "Transfer-Encoding", b"chunked"),
    }
}
