//! The side of a connection that asks.

use super::body::{Decoder, Encoder, Part};
use super::fault::{Fault, Misuse};
use super::fields::{OWN, line};
use super::framing::{Content, Framing, asks_upgrade, check_sent, persists};
use super::head::{Method, RequestHead, ResponseHead, Version, status_line};
use super::limits::{Limits, MAX_INTERIM};
use super::scan::{Found, Scan};

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
    /// [`Misuse`], [`Misuse::Head`] where a server would refuse it; nothing was
    /// written, and another request can be.
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
        check_sent(head, content).map_err(Misuse::Head)?;
        head.write_as(Version::Http11, &OWN, out);
        write_framing(&head.method, content, out);
        self.asks_upgrade = head.fields.has("upgrade");
        // Whoever sends Upgrade names it (RFC 9110 §7.8).
        match (self.persists, self.asks_upgrade) {
            (true, true) => line(out, "Connection", b"upgrade"),
            (false, true) => line(out, "Connection", b"close, upgrade"),
            (false, false) => line(out, "Connection", b"close"),
            (true, false) => {}
        }
        out.extend_from_slice(b"\r\n");
        self.sending = match content {
            Content::Length(0) => Sending::Idle,
            Content::Length(length) => Sending::Body(Encoder::Length(length)),
            Content::Stream => Sending::Body(Encoder::Chunked),
        };
        self.method = head.method.clone();
        self.receiving = Receiving::Head;
        self.scan = Scan::default();
        self.interim = 0;
        Ok(())
    }

    /// Writes octets of the body.
    ///
    /// # Errors
    /// [`Misuse`]; the connection ends with it.
    pub fn send(&mut self, data: &[u8], out: &mut Vec<u8>) -> Result<(), Misuse> {
        match &mut self.sending {
            Sending::Body(encoder) => encoder.write(data, out),
            Sending::Idle if data.is_empty() => Ok(()),
            Sending::Idle => Err(Misuse::OutOfTurn),
        }
        .inspect_err(|_| self.stop())
    }

    /// Writes the end of the body; nothing where the request has none.
    ///
    /// # Errors
    /// [`Misuse`]; the connection ends with it.
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
            // No empty line may come first, as it may before a request.
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
            101 if !self.asks_upgrade || !asks_upgrade(&head.fields, head.version) => {
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

#[cfg(test)]
mod tests {
    use super::*;

    fn head(method: &str, target: &str) -> RequestHead {
        RequestHead::new(Method::parse(method.as_bytes()).unwrap(), target, "a").unwrap()
    }

    fn written(client: &mut Client, head: &RequestHead, content: Content) -> String {
        let mut out = Vec::new();
        client.request(head, content, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    /// All events of `input`, which is all that is read.
    fn told(client: &mut Client, input: &[u8]) -> Vec<String> {
        let (mut at, mut events) = (0, Vec::new());
        while let (done, Some(event)) = client.receive(&input[at..]) {
            at += done;
            events.push(match event {
                Response::Head { head, .. } => head.status.to_string(),
                other => format!("{other:?}"),
            });
        }
        events
    }

    #[test]
    fn requests_say_how_long_their_body_is() {
        for (method, content, expected) in [
            ("GET", Content::Length(0), ""),
            ("HEAD", Content::Length(0), ""),
            ("POST", Content::Length(0), "Content-Length: 0\r\n"),
            ("BREW", Content::Length(0), "Content-Length: 0\r\n"),
            ("GET", Content::Length(3), "Content-Length: 3\r\n"),
            ("PUT", Content::Stream, "Transfer-Encoding: chunked\r\n"),
        ] {
            let mut client = Client::new(Limits::default());
            let text = written(&mut client, &head(method, "/x"), content);
            assert_eq!(text, format!("{method} /x HTTP/1.1\r\nHost: a\r\n{expected}\r\n"));
        }
    }

    #[test]
    fn fields_of_the_machine_are_its_own() {
        let mut request = head("GET", "/");
        request.version = Version::Http10;
        for (name, value) in [
            ("Content-Length", "99"),
            ("transfer-encoding", "gzip"),
            ("Connection", "x"),
            ("Keep-Alive", "y"),
            ("Upgrade", "websocket"),
        ] {
            request.fields.push(name, value).unwrap();
        }
        let mut client = Client::new(Limits::default());
        client.close_after();
        let expected = "GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\n\
                        Connection: close, upgrade\r\n\r\n";
        assert_eq!(written(&mut client, &request, Content::Length(0)), expected);
    }

    #[test]
    fn what_a_server_would_refuse_is_not_sent() {
        let mut repeated = head("GET", "/");
        repeated.fields.push("host", "b").unwrap();
        let mut missing = head("GET", "/");
        missing.fields.remove("Host");
        let mut expecting = head("GET", "/");
        expecting.fields.push("Expect", "the best").unwrap();
        let invalid = RequestHead::new(Method::Get, "/", "a/b").unwrap();
        let trace = head("TRACE", "/");
        let none = Content::Length(0);
        for (request, content, fault) in [
            (repeated, none, Fault::HostRepeated),
            (missing, none, Fault::HostMissing),
            (expecting, none, Fault::Expectation),
            (invalid, none, Fault::Host),
            (trace, Content::Stream, Fault::TraceContent),
        ] {
            let (mut client, mut out) = (Client::new(Limits::default()), Vec::new());
            let result = client.request(&request, content, &mut out);
            assert_eq!((result, out.len()), (Err(Misuse::Head(fault)), 0));
            assert!(client.is_reusable());
        }
        assert_eq!(RequestHead::new(Method::Get, "/ b", "a"), Err(Misuse::Head(Fault::Target)));
        assert_eq!(RequestHead::new(Method::Get, "/", "a\r\nB: c"), Err(Misuse::Field));
    }

    #[test]
    fn a_connection_is_used_again_when_both_sides_are_done() {
        let mut client = Client::new(Limits::default());
        let ok = b"HTTP/1.1 200 \r\nContent-Length: 0\r\n\r\n";
        for _ in 0..3 {
            written(&mut client, &head("GET", "/"), Content::Length(0));
            assert!(!client.is_reusable());
            assert_eq!(told(&mut client, ok), ["200", "End"]);
            assert!(client.is_reusable());
        }
        // The answer may come before the request is complete.
        let mut out = Vec::new();
        client.request(&head("POST", "/"), Content::Length(3), &mut out).unwrap();
        assert_eq!(told(&mut client, ok), ["200", "End"]);
        assert!(!client.is_reusable());
        let result = client.request(&head("GET", "/"), Content::Length(0), &mut out);
        assert_eq!(result, Err(Misuse::OutOfTurn));
        client.send(b"abc", &mut out).unwrap();
        client.finish(&mut out).unwrap();
        assert!(client.is_reusable() && out.ends_with(b"\r\n\r\nabc"));
        // Nobody asked for this one.
        assert_eq!(told(&mut client, ok), ["Fault(Unasked)"]);
        assert!(!client.is_reusable());
        assert_eq!(client.receive(ok), (ok.len(), None));
    }

    #[test]
    fn answers_say_when_a_connection_is_not_used_again() {
        for (answer, expected) in [
            ("HTTP/1.1 200 \r\nContent-Length: 0\r\n\r\n", true),
            ("HTTP/1.1 200 \r\nContent-Length: 0\r\nConnection: close\r\n\r\n", false),
            ("HTTP/1.0 200 \r\nContent-Length: 0\r\n\r\n", false),
            ("HTTP/1.0 200 \r\nContent-Length: 0\r\nConnection: keep-alive\r\n\r\n", true),
            ("HTTP/1.1 200 \r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", true),
            ("HTTP/1.1 204 \r\n\r\n", true),
        ] {
            let mut client = Client::new(Limits::default());
            written(&mut client, &head("GET", "/"), Content::Length(0));
            assert_eq!(told(&mut client, answer.as_bytes()).last().unwrap(), "End", "{answer}");
            assert_eq!(client.is_reusable(), expected, "{answer}");
        }
    }

    #[test]
    fn the_end_of_the_connection_ends_some_answers() {
        for (answer, expected) in [
            ("", Err(Fault::Truncated)),
            ("HTTP/1.1 200 \r\n", Err(Fault::Truncated)),
            ("HTTP/1.1 200 \r\n\r\nabc", Ok(Some(Response::End))),
            ("HTTP/1.1 200 \r\nContent-Length: 4\r\n\r\nabc", Err(Fault::Truncated)),
            ("HTTP/1.1 200 \r\nContent-Length: 3\r\n\r\nabc", Ok(None)),
        ] {
            let mut client = Client::new(Limits::default());
            written(&mut client, &head("GET", "/"), Content::Length(0));
            told(&mut client, answer.as_bytes());
            assert_eq!(client.end_of_input(), expected, "{answer}");
            assert_eq!(client.end_of_input(), Ok(None), "once");
        }
        assert_eq!(Client::new(Limits::default()).end_of_input(), Ok(None));
    }

    #[test]
    fn bodies_are_as_long_as_was_said() {
        let mut out = Vec::new();
        for (data, send, finish) in [
            (&b"ab"[..], Ok(()), Err(Misuse::TooLittle)),
            (b"abc", Ok(()), Ok(())),
            (b"abcd", Err(Misuse::TooMuch), Err(Misuse::TooLittle)),
        ] {
            let mut client = Client::new(Limits::default());
            client.request(&head("POST", "/"), Content::Length(3), &mut out).unwrap();
            assert_eq!(client.send(data, &mut out), send);
            assert_eq!(client.finish(&mut out), finish);
            assert_eq!(matches!(client.receiving, Receiving::Stopped), finish.is_err());
        }
        let mut client = Client::new(Limits::default());
        assert_eq!(client.send(b"a", &mut out), Err(Misuse::OutOfTurn));
    }
}
