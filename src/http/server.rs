//! The side of a connection that answers.

use std::time::Duration;

use super::body::{Decoder, Encoder, Part};
use super::date::imf_fixdate;
use super::fault::{Fault, Misuse};
use super::fields::line;
use super::framing::{Content, Framing, expects_continue, persists};
use super::head::{Method, RequestHead, ResponseHead, Version, request_line};
use super::limits::Limits;
use super::scan::{Found, Scan};

/// Fields that the machine writes itself.
const OWN: [&str; 4] = ["connection", "content-length", "keep-alive", "transfer-encoding"];

/// What a client sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request<'a> {
    /// A head. Its body follows, if it has one, and then its end.
    Head {
        /// The head.
        head: RequestHead,
        /// How long its body is; never until close.
        framing: Framing,
    },
    /// Octets of the body, never none. After a 101, or 2xx to CONNECT, of whatever
    /// is spoken then.
    Body(&'a [u8]),
    /// The request is complete.
    End,
    /// It is not to be answered but with [`Fault::status`], and the connection ends.
    Fault(Fault),
}

/// What a connection is at, so that whoever owns the clock can say how long it
/// may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Waiting for a request, none of which has come: may be closed at any time.
    Idle,
    /// Inside a head.
    Head,
    /// Inside a body.
    Body,
    /// The request is complete, its answer is not.
    Answer,
    /// Another protocol.
    Tunnel,
    /// Nothing more comes: what is written is to be sent, and the connection to be
    /// closed.
    Over,
}

#[derive(Clone, Debug)]
enum Receiving {
    Head,
    Body(Decoder),
    /// Complete, to be told once.
    Complete,
    /// Complete; the next request is looked at when this one is answered.
    Told,
    Tunnel,
    /// Nothing is looked at any more.
    Stopped,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sending {
    /// No request.
    Idle,
    /// An answer is due.
    Owed,
    Body(Encoder),
    Done,
}

/// One connection from a client.
///
/// What was read is given to [`Server::receive`] until it has no more to tell; what
/// it is not done with is given again, with more behind it. One request is dealt
/// with at a time: the next one stays where it is until this one is answered, so
/// that whoever reads stops reading when its buffer is full.
#[derive(Clone, Debug)]
pub struct Server {
    limits: Limits,
    scan: Scan,
    had_empty_line: bool,
    receiving: Receiving,
    sending: Sending,
    /// Method and version of the request that is answered; `None` where it was
    /// never understood.
    method: Option<Method>,
    version: Version,
    persists: bool,
    /// The client waits for a 100 before it sends the body.
    awaits_continue: bool,
    /// The client would speak another protocol.
    asks_upgrade: bool,
}

impl Server {
    /// A fresh connection.
    pub fn new(limits: Limits) -> Server {
        Server {
            limits,
            scan: Scan::default(),
            had_empty_line: false,
            receiving: Receiving::Head,
            sending: Sending::Idle,
            method: None,
            version: Version::Http11,
            persists: true,
            awaits_continue: false,
            asks_upgrade: false,
        }
    }

    /// What it is at.
    pub fn phase(&self) -> Phase {
        match (&self.receiving, self.sending) {
            (Receiving::Tunnel, _) => Phase::Tunnel,
            (Receiving::Stopped, Sending::Idle | Sending::Done) => Phase::Over,
            (Receiving::Head, _) if self.scan.is_at_start() => Phase::Idle,
            (Receiving::Head, _) => Phase::Head,
            (Receiving::Body(_), _) => Phase::Body,
            _ => Phase::Answer,
        }
    }

    /// Looks at what was read and not yet done with. Says how many octets of it
    /// are done with now, those of the event included, and the next event; `None`
    /// means that more must be read first, or the answer be complete. A head
    /// is done with as a whole, so room for [`Limits::head`] octets is enough.
    pub fn receive<'a>(&mut self, input: &'a [u8]) -> (usize, Option<Request<'a>>) {
        let (done, event) = match &mut self.receiving {
            Receiving::Head => return self.receive_head(input),
            Receiving::Body(decoder) => match decoder.decode(input) {
                Ok((done, Part::More)) => (done, Ok(None)),
                Ok((done, Part::Data(data))) => (done, Ok(Some(Request::Body(data)))),
                Ok((done, Part::End)) => {
                    self.told();
                    (done, Ok(Some(Request::End)))
                }
                Err(fault) => (0, Err(fault)),
            },
            Receiving::Complete => {
                self.told();
                (0, Ok(Some(Request::End)))
            }
            Receiving::Told => (0, Ok(None)),
            Receiving::Tunnel if input.is_empty() => (0, Ok(None)),
            Receiving::Tunnel => (input.len(), Ok(Some(Request::Body(input)))),
            Receiving::Stopped => (input.len(), Ok(None)),
        };
        if done > 0 {
            self.awaits_continue = false;
        }
        match event {
            Ok(event) => (done, event),
            Err(fault) => (done, Some(self.fails(fault))),
        }
    }

    fn receive_head(&mut self, input: &[u8]) -> (usize, Option<Request<'static>>) {
        let judge = |line: &[u8]| request_line(line).map(|_| ());
        let found = match self.scan.advance(input, &self.limits, judge) {
            // RFC 9112 §2.2: at least one empty line before a request is skipped.
            Ok(Found::EmptyLine) if !self.had_empty_line => {
                self.had_empty_line = true;
                let (done, event) = self.receive_head(input.get(2..).unwrap_or_default());
                return (done.saturating_add(2), event);
            }
            Ok(Found::EmptyLine) => Err(Fault::RequestLine),
            Ok(Found::Part) => return (0, None),
            Ok(Found::Head(length)) => {
                let head = input.get(..length).unwrap_or_default();
                self.begin(head).map(|request| (length, Some(request)))
            }
            Err(fault) => Err(fault),
        };
        found.unwrap_or_else(|fault| (0, Some(self.fails(fault))))
    }

    /// A whole head has come.
    fn begin(&mut self, head: &[u8]) -> Result<Request<'static>, Fault> {
        let head = RequestHead::parse(head, &self.limits)?;
        self.method = Some(head.method.clone());
        self.version = head.version;
        let framing = Framing::of_request(&head)?;
        self.persists = self.persists && persists(&head.fields, head.version);
        let decoder = Decoder::new(framing);
        self.awaits_continue = expects_continue(&head)? && !decoder.is_over();
        self.receiving =
            if decoder.is_over() { Receiving::Complete } else { Receiving::Body(decoder) };
        self.sending = Sending::Owed;
        // HTTP/1.0 cannot ask for it (RFC 9110 §7.8).
        self.asks_upgrade = head.version == Version::Http11 && head.fields.has("upgrade");
        Ok(Request::Head { head, framing })
    }

    /// The end of a request is told: the next one, if the answer is complete.
    fn told(&mut self) {
        self.receiving = Receiving::Told;
        self.turn();
    }

    /// Nothing more is read. An answer that is due can still be given.
    fn fails(&mut self, fault: Fault) -> Request<'static> {
        self.persists = false;
        self.receiving = Receiving::Stopped;
        if self.sending == Sending::Idle {
            self.sending = Sending::Owed;
        }
        Request::Fault(fault)
    }

    /// The client sends no more; it may still read.
    ///
    /// # Errors
    /// [`Fault::Truncated`], inside a request.
    pub fn end_of_input(&mut self) -> Result<(), Fault> {
        self.persists = false;
        let is_cut = match &mut self.receiving {
            Receiving::Head => !self.scan.is_at_start(),
            Receiving::Body(_) => true,
            _ => false,
        };
        match (&self.receiving, self.sending) {
            _ if is_cut => {
                self.fails(Fault::Truncated);
                return Err(Fault::Truncated);
            }
            (Receiving::Head, _) | (_, Sending::Done) => self.receiving = Receiving::Stopped,
            _ => {}
        }
        Ok(())
    }

    /// Says that no request is taken after this one; the answer, if it was not
    /// begun, tells the client (RFC 9112 §9.6). An idle connection is over.
    pub fn close_after(&mut self) {
        self.persists = false;
        if self.phase() == Phase::Idle {
            self.receiving = Receiving::Stopped;
        }
    }

    /// Says that the body is wanted: writes a 100 where the client waits for it
    /// (RFC 9110 §10.1.1), and nothing where not.
    pub fn accept_body(&mut self, out: &mut Vec<u8>) {
        if self.awaits_continue && self.sending == Sending::Owed {
            ResponseHead::new(100).write(out);
        }
        self.awaits_continue = false;
    }

    /// Writes the head of an answer, with the fields that say how long its body
    /// is, what becomes of the connection, and Date (RFC 9110 §6.6.1) where it has
    /// none; `wall` is the time since the Unix epoch. Of `head`, the version does
    /// not matter, nor do its fields that the machine writes itself.
    ///
    /// An interim head leaves the final one due, and is not sent to HTTP/1.0
    /// (RFC 9110 §15.2).
    ///
    /// # Errors
    /// [`Misuse`].
    pub fn respond(
        &mut self,
        head: &ResponseHead,
        content: Content,
        wall: Duration,
        out: &mut Vec<u8>,
    ) -> Result<(), Misuse> {
        if self.sending != Sending::Owed {
            return Err(Misuse::OutOfTurn);
        }
        head.check().map_err(Misuse::Head)?;
        let head = ResponseHead { version: Version::Http11, ..head.clone() };
        if (100..=199).contains(&head.status) && head.status != 101 {
            if self.version == Version::Http11 {
                head.write_but(out, &OWN);
                out.extend_from_slice(b"\r\n");
            }
            return Ok(());
        }
        let is_tunnel = self.is_tunnel(head.status);
        let is_complete = matches!(self.receiving, Receiving::Complete | Receiving::Told);
        if is_tunnel && !is_complete || head.status == 101 && !self.asks_upgrade {
            return Err(Misuse::OutOfTurn);
        }
        let encoder = self.encoder(head.status, content);
        // A client that still waits for a 100 may send the body or not.
        let is_uncertain = self.awaits_continue || encoder == Encoder::UntilClose;
        self.persists = self.persists && !is_uncertain && !is_tunnel;
        head.write_but(out, &OWN);
        if !head.fields.has("date") {
            line(out, "Date", imf_fixdate(wall).to_string().as_bytes());
        }
        self.write_framing(head.status, content, out);
        self.write_connection(&head, out);
        out.extend_from_slice(b"\r\n");
        self.sending = Sending::Body(encoder);
        if is_tunnel {
            self.receiving = Receiving::Tunnel;
            self.sending = Sending::Body(Encoder::UntilClose);
        }
        Ok(())
    }

    /// Writes a whole answer.
    ///
    /// # Errors
    /// [`Misuse`].
    pub fn answer(
        &mut self,
        head: &ResponseHead,
        body: &[u8],
        wall: Duration,
        out: &mut Vec<u8>,
    ) -> Result<(), Misuse> {
        let length = u64::try_from(body.len()).unwrap_or(u64::MAX);
        self.respond(head, Content::Length(length), wall, out)?;
        self.send(body, out)?;
        self.finish(out)
    }

    /// Writes octets of the body; to HEAD, 204 and 304 nothing.
    ///
    /// # Errors
    /// [`Misuse`].
    pub fn send(&mut self, data: &[u8], out: &mut Vec<u8>) -> Result<(), Misuse> {
        match &mut self.sending {
            Sending::Body(encoder) => encoder.write(data, out),
            _ => Err(Misuse::OutOfTurn),
        }
        .inspect_err(|_| self.gives_up())
    }

    /// Writes the end of the body; then the next request is looked at.
    ///
    /// # Errors
    /// [`Misuse`].
    pub fn finish(&mut self, out: &mut Vec<u8>) -> Result<(), Misuse> {
        match self.sending {
            Sending::Body(encoder) => encoder.finish(out),
            _ => Err(Misuse::OutOfTurn),
        }
        .inspect_err(|_| self.gives_up())?;
        self.sending = Sending::Done;
        if matches!(self.receiving, Receiving::Tunnel) {
            self.receiving = Receiving::Stopped;
        }
        self.turn();
        Ok(())
    }

    /// Ends the connection in the middle of an answer: that it is cut off is the
    /// only way left to tell the client.
    pub fn gives_up(&mut self) {
        self.persists = false;
        self.receiving = Receiving::Stopped;
        self.sending = Sending::Done;
    }

    /// When request and answer are both complete, the next one may come.
    fn turn(&mut self) {
        if self.sending != Sending::Done {
            return;
        }
        match self.receiving {
            Receiving::Told if self.persists => {
                *self = Server::new(self.limits);
            }
            Receiving::Told => self.receiving = Receiving::Stopped,
            // The rest of a request that nobody waits for is not read.
            Receiving::Body(_) | Receiving::Complete if !self.persists => {
                self.receiving = Receiving::Stopped;
            }
            _ => {}
        }
    }

    fn is_tunnel(&self, status: u16) -> bool {
        let connects = self.method == Some(Method::Connect);
        status == 101 || connects && (200..=299).contains(&status)
    }

    fn encoder(&self, status: u16, content: Content) -> Encoder {
        match content {
            _ if status == 204 || status == 304 => Encoder::Nothing,
            _ if self.method == Some(Method::Head) => Encoder::Nothing,
            Content::Length(length) => Encoder::Length(length),
            Content::Stream if self.version == Version::Http11 => Encoder::Chunked,
            Content::Stream => Encoder::UntilClose,
        }
    }

    /// RFC 9112 §6.1 and §6.2: neither length in 204 and behind which no HTTP
    /// follows. A 304 says how long the answer would have been, if that is known.
    fn write_framing(&self, status: u16, content: Content, out: &mut Vec<u8>) {
        match content {
            _ if status == 204 || self.is_tunnel(status) => {}
            Content::Length(0) | Content::Stream if status == 304 => {}
            Content::Length(length) => line(out, "Content-Length", length.to_string().as_bytes()),
            Content::Stream if self.version == Version::Http11 => {
                line(out, "Transfer-Encoding", b"chunked");
            }
            Content::Stream => {}
        }
    }

    /// RFC 9112 §9.3 and §9.6; a 101 names Upgrade (RFC 9110 §7.8).
    fn write_connection(&self, head: &ResponseHead, out: &mut Vec<u8>) {
        let is_tunnel = self.is_tunnel(head.status);
        if is_tunnel && head.status == 101 {
            line(out, "Connection", b"upgrade");
        } else if !self.persists && !is_tunnel {
            line(out, "Connection", b"close");
        } else if self.version == Version::Http10 && !is_tunnel {
            line(out, "Connection", b"keep-alive");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(server: &mut Server, input: &[u8]) -> (usize, Vec<String>) {
        let (mut at, mut events) = (0, Vec::new());
        loop {
            let (done, event) = server.receive(&input[at..]);
            at += done;
            match event {
                None => return (at, events),
                Some(Request::Head { head, framing }) => {
                    events.push(format!("{} {} {framing:?}", head.method, head.target.as_str()));
                }
                Some(Request::Body(data)) => events.push(String::from_utf8_lossy(data).into()),
                Some(other) => events.push(format!("{other:?}")),
            }
        }
    }

    #[test]
    fn requests_come_one_at_a_time() {
        let mut server = Server::new(Limits::default());
        let input =
            b"POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabcGET / HTTP/1.1\r\n";
        let (done, events) = told(&mut server, input);
        assert_eq!(events, ["POST /a Length(3)", "abc", "End"]);
        assert_eq!((&input[done..], server.phase()), (&b"GET / HTTP/1.1\r\n"[..], Phase::Answer));
        let mut out = Vec::new();
        server.answer(&ResponseHead::new(200), b"hello", Duration::ZERO, &mut out).unwrap();
        let expected = "HTTP/1.1 200 OK\r\nDate: Thu, 01 Jan 1970 00:00:00 GMT\r\n\
                        Content-Length: 5\r\n\r\nhello";
        assert_eq!(String::from_utf8_lossy(&out), expected);
        assert_eq!(server.phase(), Phase::Idle);
        assert_eq!(told(&mut server, &input[done..]), (0, vec![]));
        assert_eq!(server.phase(), Phase::Head);
    }
}
