//! The side of a connection that answers.

use std::time::Duration;

use super::body::{Decoder, Encoder, Part};
use super::date::imf_fixdate;
use super::fault::{Fault, Misuse};
use super::fields::{OWN, line};
use super::framing::{Content, Framing, asks_upgrade, expects_continue, persists};
use super::head::{Method, RequestHead, ResponseHead, Version, request_line};
use super::limits::Limits;
use super::scan::{Found, Scan};

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
        // RFC 9112 §2.2: at least one empty line before a request is skipped.
        let has_empty_line =
            !self.had_empty_line && self.scan.is_at_start() && input.starts_with(b"\r\n");
        self.had_empty_line |= has_empty_line;
        let skipped = if has_empty_line { 2 } else { 0 };
        let input = input.get(skipped..).unwrap_or_default();
        let judge = |line: &[u8]| request_line(line).map(|_| ());
        let found = match self.scan.advance(input, &self.limits, judge) {
            Ok(Found::Part) => return (skipped, None),
            Ok(Found::EmptyLine) => Err(Fault::RequestLine),
            Ok(Found::Head(length)) => {
                let head = input.get(..length).unwrap_or_default();
                self.begin(head).map(|request| (skipped.saturating_add(length), Some(request)))
            }
            Err(fault) => Err(fault),
        };
        found.unwrap_or_else(|fault| (skipped, Some(self.fails(fault))))
    }

    /// A whole head has come.
    fn begin(&mut self, head: &[u8]) -> Result<Request<'static>, Fault> {
        let head = RequestHead::parse(head, &self.limits)?;
        self.method = Some(head.method.clone());
        self.version = head.version;
        let framing = Framing::of_request(&head)?;
        self.persists = self.persists && persists(&head.fields, head.version);
        let decoder = Decoder::new(framing);
        self.awaits_continue = expects_continue(&head.fields, head.version)? && !decoder.is_over();
        self.receiving =
            if decoder.is_over() { Receiving::Complete } else { Receiving::Body(decoder) };
        self.sending = Sending::Owed;
        self.asks_upgrade = asks_upgrade(&head.fields, head.version);
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
    /// (RFC 9110 §15.2). A 101, or 2xx to CONNECT, is only possible when the request is
    /// complete.
    ///
    /// # Errors
    /// [`Misuse`]; nothing was written, and another answer can be.
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
        if (100..=199).contains(&head.status) && head.status != 101 {
            self.interim(head, out);
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
        head.write_as(Version::Http11, &OWN, out);
        if !head.fields.has("date") {
            line(out, "Date", imf_fixdate(wall).to_string().as_bytes());
        }
        self.write_framing(head.status, content, out);
        self.write_connection(head, out);
        out.extend_from_slice(b"\r\n");
        self.sending = Sending::Body(encoder);
        if is_tunnel {
            self.receiving = Receiving::Tunnel;
            self.sending = Sending::Body(Encoder::UntilClose);
        }
        Ok(())
    }

    fn interim(&mut self, head: &ResponseHead, out: &mut Vec<u8>) {
        if self.version == Version::Http11 {
            head.write_as(Version::Http11, &OWN, out);
            out.extend_from_slice(b"\r\n");
        }
        if head.status == 100 {
            self.awaits_continue = false;
        }
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
    /// [`Misuse`]; the connection ends with it.
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
    /// [`Misuse`]; the connection ends with it.
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

    /// RFC 9112 §9.3 and §9.6; whoever sends Upgrade names it (RFC 9110 §7.8).
    fn write_connection(&self, head: &ResponseHead, out: &mut Vec<u8>) {
        let mut options = Vec::new();
        match self.version {
            _ if self.is_tunnel(head.status) => {}
            _ if !self.persists => options.push("close"),
            Version::Http10 => options.push("keep-alive"),
            Version::Http11 => {}
        }
        if head.fields.has("upgrade") {
            options.push("upgrade");
        }
        if !options.is_empty() {
            line(out, "Connection", options.join(", ").as_bytes());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The server's events as words, and how many octets are done with.
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

    fn asked(request: &str) -> Server {
        let mut server = Server::new(Limits::default());
        let (done, events) = told(&mut server, request.as_bytes());
        assert_eq!(done, request.len(), "{events:?}");
        server
    }

    /// What answers `request`, without Date.
    fn answer(request: &str, status: u16, content: Content, body: &[u8]) -> (String, Phase) {
        let (mut server, mut out) = (asked(request), Vec::new());
        server.respond(&ResponseHead::new(status), content, Duration::ZERO, &mut out).unwrap();
        body.chunks(3).for_each(|data| server.send(data, &mut out).unwrap());
        server.finish(&mut out).unwrap();
        let out = String::from_utf8(out).unwrap();
        let date = "Date: Thu, 01 Jan 1970 00:00:00 GMT\r\n";
        assert!(out.contains(date));
        (out.replace(date, ""), server.phase())
    }

    const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    const HEAD: &str = "HEAD / HTTP/1.1\r\nHost: a\r\n\r\n";
    const OLD: &str = "GET / HTTP/1.0\r\n\r\n";
    const OLD_KEPT: &str = "GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n";
    const LAST: &str = "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    const POST: &str = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n";
    const UPGRADE: &str =
        "GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n";

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

    #[test]
    fn answers_are_framed_as_request_and_status_need() {
        let length = Content::Length(5);
        for (request, status, content, body, expected, phase) in [
            (GET, 200, length, "hello", "200 OK\r\nContent-Length: 5\r\n\r\nhello", Phase::Idle),
            (
                GET,
                200,
                Content::Stream,
                "hello",
                "200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n",
                Phase::Idle,
            ),
            (HEAD, 200, length, "hello", "200 OK\r\nContent-Length: 5\r\n\r\n", Phase::Idle),
            (HEAD, 200, length, "", "200 OK\r\nContent-Length: 5\r\n\r\n", Phase::Idle),
            (
                HEAD,
                200,
                Content::Stream,
                "hello",
                "200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
                Phase::Idle,
            ),
            (GET, 204, length, "hello", "204 No Content\r\n\r\n", Phase::Idle),
            (GET, 204, Content::Stream, "hello", "204 No Content\r\n\r\n", Phase::Idle),
            (GET, 304, length, "", "304 Not Modified\r\nContent-Length: 5\r\n\r\n", Phase::Idle),
            (GET, 304, Content::Stream, "", "304 Not Modified\r\n\r\n", Phase::Idle),
            (
                GET,
                503,
                Content::Length(0),
                "",
                "503 Service Unavailable\r\nContent-Length: 0\r\n\r\n",
                Phase::Idle,
            ),
            (
                OLD,
                200,
                length,
                "hello",
                "200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello",
                Phase::Over,
            ),
            (
                OLD,
                200,
                Content::Stream,
                "hello",
                "200 OK\r\nConnection: close\r\n\r\nhello",
                Phase::Over,
            ),
            (
                OLD_KEPT,
                200,
                length,
                "hello",
                "200 OK\r\nContent-Length: 5\r\nConnection: keep-alive\r\n\r\nhello",
                Phase::Idle,
            ),
            (
                OLD_KEPT,
                200,
                Content::Stream,
                "hello",
                "200 OK\r\nConnection: close\r\n\r\nhello",
                Phase::Over,
            ),
            (
                LAST,
                299,
                Content::Length(0),
                "",
                "299 \r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
                Phase::Over,
            ),
        ] {
            let found = answer(request, status, content, body.as_bytes());
            assert_eq!(found, (format!("HTTP/1.1 {expected}"), phase), "{request}{status}");
        }
    }

    #[test]
    fn fields_of_the_machine_are_its_own() {
        let (mut server, mut out) = (asked(GET), Vec::new());
        let mut head = ResponseHead::new(426);
        for (name, value) in [
            ("content-length", "99"),
            ("Transfer-Encoding", "gzip"),
            ("Connection", "x"),
            ("Keep-Alive", "timeout=9"),
            ("Upgrade", "websocket"),
            ("Date", "today"),
        ] {
            head.fields.push(name, value).unwrap();
        }
        server.close_after();
        server.answer(&head, b"a", Duration::ZERO, &mut out).unwrap();
        let expected = "HTTP/1.1 426 Upgrade Required\r\nUpgrade: websocket\r\nDate: today\r\n\
                        Content-Length: 1\r\nConnection: close, upgrade\r\n\r\na";
        assert_eq!(
            (String::from_utf8(out).unwrap().as_str(), server.phase()),
            (expected, Phase::Over)
        );
    }

    /// RFC 9110 §10.1.1.
    #[test]
    fn a_body_is_asked_for_when_the_client_waits() {
        let request = format!("{POST}Expect: 100-continue\r\n\r\n");
        let (mut server, mut out) = (asked(&request), Vec::new());
        server.accept_body(&mut out);
        server.accept_body(&mut out);
        assert_eq!(out, b"HTTP/1.1 100 Continue\r\n\r\n");
        assert_eq!(told(&mut server, b"abcd").1, ["abcd", "End"]);
        server.answer(&ResponseHead::new(200), b"", Duration::ZERO, &mut out).unwrap();
        assert_eq!(server.phase(), Phase::Idle);

        // A refusal ends the connection, since the body may come or not.
        let (mut server, mut out) = (asked(&request), Vec::new());
        server.answer(&ResponseHead::new(413), b"", Duration::ZERO, &mut out).unwrap();
        assert!(String::from_utf8(out).unwrap().contains("Connection: close\r\n"));
        assert_eq!(server.phase(), Phase::Over);
        assert_eq!(server.receive(b"abcd"), (4, None), "is thrown away");

        // Unless it has come already; and a 100 from elsewhere is as good as our own.
        for is_sent in [false, true] {
            let (mut server, mut out) = (asked(&request), Vec::new());
            if is_sent {
                server
                    .respond(&ResponseHead::new(100), Content::Length(0), Duration::ZERO, &mut out)
                    .unwrap();
                assert_eq!(out, b"HTTP/1.1 100 Continue\r\n\r\n");
            } else {
                assert_eq!(told(&mut server, b"ab").1, ["ab"]);
                server.accept_body(&mut out);
                assert!(out.is_empty());
            }
            server.answer(&ResponseHead::new(200), b"", Duration::ZERO, &mut out).unwrap();
            assert_eq!(server.phase(), Phase::Body, "the rest is still to come");
            assert_eq!(
                told(&mut server, if is_sent { b"abcd" } else { b"cd" }).1.last().unwrap(),
                "End"
            );
            assert_eq!(server.phase(), Phase::Idle);
        }

        for (request, expected) in [(OLD, ""), (GET, "HTTP/1.1 103 Early Hints\r\n\r\n")] {
            let (mut server, mut out) = (asked(request), Vec::new());
            server.accept_body(&mut out);
            server
                .respond(&ResponseHead::new(103), Content::Stream, Duration::ZERO, &mut out)
                .unwrap();
            assert_eq!(String::from_utf8(out).unwrap(), expected);
            assert_eq!(server.phase(), Phase::Answer);
        }
    }

    #[test]
    fn another_protocol_follows_only_when_it_was_asked_for() {
        let (mut server, mut out) = (asked(UPGRADE), Vec::new());
        let head = ResponseHead::new(101).with("Upgrade", "websocket").unwrap();
        server.respond(&head, Content::Stream, Duration::ZERO, &mut out).unwrap();
        let text = String::from_utf8_lossy(&out);
        assert!(text.ends_with("\r\nConnection: upgrade\r\n\r\n"), "{text}");
        assert_eq!(server.phase(), Phase::Tunnel);
        assert_eq!(server.receive(b"\x81\0"), (2, Some(Request::Body(b"\x81\0"))));
        server.send(b"\x82\0", &mut out).unwrap();
        assert!(out.ends_with(b"\r\n\r\n\x82\0"));
        server.finish(&mut out).unwrap();
        assert_eq!(server.phase(), Phase::Over);

        let mut server = asked("CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n");
        let mut out = Vec::new();
        server.respond(&ResponseHead::new(200), Content::Stream, Duration::ZERO, &mut out).unwrap();
        assert!(out.ends_with(b"GMT\r\n\r\n"), "no length");
        assert_eq!(server.phase(), Phase::Tunnel);

        let unnamed = UPGRADE.replace("Connection: upgrade\r\n", "");
        for request in [GET, OLD, unnamed.as_str(), &UPGRADE.replace("HTTP/1.1", "HTTP/1.0")] {
            let (mut server, mut out) = (asked(request), Vec::new());
            let result = server.respond(&head, Content::Stream, Duration::ZERO, &mut out);
            assert_eq!((result, out.len()), (Err(Misuse::OutOfTurn), 0), "{request}");
        }
        let mut server = asked(&format!("{POST}Upgrade: a\r\nConnection: upgrade\r\n\r\nabc"));
        let result = server.respond(&head, Content::Stream, Duration::ZERO, &mut Vec::new());
        assert_eq!(result, Err(Misuse::OutOfTurn), "before the request is complete");
    }

    #[test]
    fn what_is_wrong_is_not_sent() {
        let (mut server, mut out) = (Server::new(Limits::default()), Vec::new());
        let ok = ResponseHead::new(200);
        let result = server.respond(&ok, Content::Length(0), Duration::ZERO, &mut out);
        assert_eq!(result, Err(Misuse::OutOfTurn), "nothing was asked");

        let mut server = asked(GET);
        for (head, fault) in [
            (ResponseHead::new(99), Fault::Status),
            (ResponseHead::new(600), Fault::Status),
            (ResponseHead { reason: b"a\r\nb".into(), ..ok.clone() }, Fault::StatusLine),
        ] {
            let result = server.respond(&head, Content::Length(0), Duration::ZERO, &mut out);
            assert_eq!(result, Err(Misuse::Head(fault)));
        }
        server.respond(&ok, Content::Length(3), Duration::ZERO, &mut out).unwrap();
        let result = server.respond(&ok, Content::Length(3), Duration::ZERO, &mut out);
        assert_eq!(result, Err(Misuse::OutOfTurn), "twice");
        server.send(b"ab", &mut out).unwrap();
        let mut other = server.clone();
        assert_eq!(server.send(b"cd", &mut out), Err(Misuse::TooMuch));
        assert_eq!(other.finish(&mut out), Err(Misuse::TooLittle));
        assert!(out.ends_with(b"\r\n\r\nab"));
        assert_eq!((server.phase(), other.phase()), (Phase::Over, Phase::Over));
        assert_eq!(server.send(b"c", &mut out), Err(Misuse::OutOfTurn));
    }

    #[test]
    fn connections_end_when_they_should() {
        let mut server = Server::new(Limits::default());
        assert_eq!((server.end_of_input(), server.phase()), (Ok(()), Phase::Over));
        let mut server = Server::new(Limits::default());
        server.close_after();
        assert_eq!((server.phase(), server.receive(b"GET")), (Phase::Over, (3, None)));

        // A client that has said all may still read its answer.
        let (mut server, mut out) = (asked(GET), Vec::new());
        assert_eq!((server.end_of_input(), server.phase()), (Ok(()), Phase::Answer));
        server.answer(&ResponseHead::new(200), b"", Duration::ZERO, &mut out).unwrap();
        assert!(String::from_utf8_lossy(&out).contains("Connection: close"));
        assert_eq!(server.phase(), Phase::Over);

        for cut in ["GET / HTTP/1.1\r\nHost: a\r\n\r", &format!("{POST}\r\nabc")] {
            let mut server = Server::new(Limits::default());
            told(&mut server, cut.as_bytes());
            assert_eq!(
                (server.end_of_input(), server.phase()),
                (Err(Fault::Truncated), Phase::Answer)
            );
        }

        // The rest of a body that nobody wants is not waited for.
        let mut server = asked(&format!("{POST}\r\nab"));
        server.close_after();
        server.answer(&ResponseHead::new(413), b"", Duration::ZERO, &mut out).unwrap();
        assert_eq!((server.phase(), server.receive(b"cdGET")), (Phase::Over, (5, None)));

        // In the middle of an answer only the end itself can tell.
        let (mut server, mut out) = (asked(GET), Vec::new());
        server.respond(&ResponseHead::new(200), Content::Stream, Duration::ZERO, &mut out).unwrap();
        server.gives_up();
        assert_eq!(server.phase(), Phase::Over);
    }

    #[test]
    fn a_fault_is_answered_and_is_the_last() {
        let (mut server, mut out) = (Server::new(Limits::default()), Vec::new());
        let input = b"HEAD / HTTP/1.1\r\n\r\nGET / HTTP/1.0\r\n\r\n";
        let (done, event) = server.receive(input);
        assert_eq!((done, event), (0, Some(Request::Fault(Fault::HostMissing))));
        assert_eq!((server.phase(), server.receive(input)), (Phase::Answer, (input.len(), None)));
        let head = ResponseHead::new(Fault::HostMissing.status());
        server.answer(&head, b"no Host", Duration::ZERO, &mut out).unwrap();
        let text = String::from_utf8(out).unwrap();
        assert!(text.ends_with("Content-Length: 7\r\nConnection: close\r\n\r\n"), "{text}");
        assert_eq!(server.phase(), Phase::Over);
    }
}
