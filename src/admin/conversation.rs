//! One connection of the API, without its socket: octets come in, octets go
//! out, and requests are answered between.

use std::net::SocketAddr;

use super::api::{Answer, ApiSettings, Order, Reply, reply};
use super::body::{Body, Stream};
use super::house::{House, Moment};
use super::request::Request as Asked;
use crate::http::{
    Content, Framing, MAX_HEAD, Method, Misuse, Phase, Request, RequestHead, ResponseHead, Server,
};

/// Most octets of a body that are read and thrown away: no path takes one, but
/// some clients send one all the same.
const MAX_BODY: u64 = 64 * 1024;

/// As long as so many octets wait for the client, no more are made for it.
const MAX_OUTPUT: usize = 64 * 1024;

/// What a connection waits for, which says how long it may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Waiting {
    /// A request; may be closed at any time.
    Idle,
    /// The rest of a request.
    Request,
    /// Us: it has something to do that the allowance was too small for.
    Turn,
    /// The client, which has to take what is written.
    Client,
    /// Nothing: all is said, and the client is to close.
    Over,
}

/// See the module's page.
#[derive(Debug)]
pub(super) struct Conversation {
    server: Server,
    local: Option<SocketAddr>,
    /// What was read and is not done with.
    input: Vec<u8>,
    /// What is to be sent, of which so many octets are.
    output: Vec<u8>,
    sent: usize,
    request: Option<RequestHead>,
    /// Octets of its body so far.
    body: u64,
    /// The answer whose head is not written yet.
    answer: Option<Answer>,
    /// The rest of the answer whose head is.
    stream: Option<Box<Stream>>,
}

impl Conversation {
    /// Before the first octet; `local` as in [`Asked::local`].
    pub(super) fn new(local: Option<SocketAddr>) -> Conversation {
        Conversation {
            server: Server::new(crate::http::Limits::default()),
            local,
            input: Vec::new(),
            output: Vec::new(),
            sent: 0,
            request: None,
            body: 0,
            answer: None,
            stream: None,
        }
    }

    /// How many octets may be read now.
    pub(super) fn room(&self) -> usize {
        match self.answers() || self.output.len() > MAX_OUTPUT {
            true => 0,
            false => MAX_HEAD.saturating_sub(self.input.len()),
        }
    }

    /// Octets were read.
    pub(super) fn receive(&mut self, octets: &[u8]) {
        self.input.extend_from_slice(octets);
    }

    /// The client sends no more.
    pub(super) fn end_of_input(&mut self) {
        // Where it is in the middle of a request, that is answered by closing.
        if self.server.end_of_input().is_err() {
            self.server.gives_up();
        }
    }

    /// What is to be sent.
    pub(super) fn transmit(&self) -> &[u8] {
        self.output.get(self.sent..).unwrap_or_default()
    }

    /// So many octets of it were.
    pub(super) fn transmitted(&mut self, count: usize) {
        self.sent = self.sent.saturating_add(count);
        if self.sent >= self.output.len() {
            self.output.clear();
            self.sent = 0;
        }
    }

    /// What it waits for.
    pub(super) fn waiting(&self) -> Waiting {
        if !self.transmit().is_empty() {
            return Waiting::Client;
        }
        match self.server.phase() {
            _ if self.answers() => Waiting::Turn,
            Phase::Idle if self.input.is_empty() => Waiting::Idle,
            Phase::Over => Waiting::Over,
            _ => Waiting::Request,
        }
    }

    fn answers(&self) -> bool {
        self.answer.is_some() || self.stream.is_some()
    }

    /// Gives memory back while there is nothing to do.
    pub(super) fn rest(&mut self) {
        if self.input.is_empty() && self.transmit().is_empty() {
            (self.input, self.output) = (Vec::new(), Vec::new());
        }
    }

    /// Goes on until more must be read or sent first, or the allowance is spent.
    /// An order is the caller's to carry out and to [answer](Conversation::answer).
    pub(super) fn advance(
        &mut self,
        settings: &ApiSettings,
        house: &dyn House,
        at: &Moment,
        allowance: &mut usize,
    ) -> Option<Order> {
        while *allowance > 0 && self.transmit().len() < MAX_OUTPUT {
            if self.answers() {
                if self.speak(house, at, allowance).is_err() {
                    self.give_up();
                }
                continue;
            }
            let (done, event) = self.server.receive(&self.input);
            let event = match event {
                Some(Request::Head { head, framing }) => Some(Request::Head { head, framing }),
                Some(Request::Body(octets)) => {
                    self.body = self.body.saturating_add(octets.len() as u64);
                    (self.body > MAX_BODY).then_some(Request::End)
                }
                Some(Request::End) => Some(Request::End),
                Some(Request::Fault(fault)) => Some(Request::Fault(fault)),
                None if done == 0 => return None,
                None => None,
            };
            self.input.drain(..done.min(self.input.len()));
            *allowance = allowance.saturating_sub(1);
            match event {
                Some(Request::Head { head, framing }) => self.begin(head, framing),
                Some(Request::End) if self.body > MAX_BODY => self.refuse_body(),
                Some(Request::End) => match self.reply(settings, house, at)? {
                    Reply::Answer(answer) => self.answer(answer),
                    Reply::Order(order) => return Some(order),
                },
                Some(Request::Fault(fault)) => {
                    self.answer(Answer::error(fault.status(), &fault.to_string()));
                }
                Some(Request::Body(_)) | None => {}
            }
        }
        None
    }

    /// Takes the answer to the request that is complete.
    pub(super) fn answer(&mut self, answer: Answer) {
        self.answer = Some(answer);
    }

    fn begin(&mut self, head: RequestHead, framing: Framing) {
        self.body = 0;
        self.request = Some(head);
        match framing {
            Framing::Length(length) if length > MAX_BODY => self.refuse_body(),
            _ => self.server.accept_body(&mut self.output),
        }
    }

    fn refuse_body(&mut self) {
        self.request = None;
        self.server.close_after();
        self.answer(Answer::error(413, "nothing here takes a body of that length"));
    }

    fn reply(&mut self, settings: &ApiSettings, house: &dyn House, at: &Moment) -> Option<Reply> {
        let head = self.request.as_ref()?;
        Some(reply(settings, &Asked { head, local: self.local }, house, at))
    }

    /// Writes a part of the answer.
    fn speak(
        &mut self,
        house: &dyn House,
        at: &Moment,
        allowance: &mut usize,
    ) -> Result<(), Misuse> {
        let Some(answer) = self.answer.take() else { return self.go_on(house, at, allowance) };
        let mut head = ResponseHead::new(answer.status);
        for (name, value) in &answer.fields {
            head.fields.push(name, value)?;
        }
        let is_head = self.request.take().is_some_and(|head| head.method == Method::Head);
        let out = &mut self.output;
        match answer.body {
            Body::Whole(body) => self.server.answer(&head, &body, at.wall, out),
            // What is not sent need not be made.
            Body::Stream(_) if is_head => {
                self.server.respond(&head, Content::Stream, at.wall, out)?;
                self.server.finish(out)
            }
            Body::Stream(mut stream) => {
                let mut slice = Vec::new();
                if stream.produce(house, at, allowance, &mut slice) {
                    return self.server.answer(&head, &slice, at.wall, out);
                }
                self.server.respond(&head, Content::Stream, at.wall, out)?;
                self.server.send(&slice, out)?;
                self.stream = Some(stream);
                Ok(())
            }
        }
    }

    fn go_on(
        &mut self,
        house: &dyn House,
        at: &Moment,
        allowance: &mut usize,
    ) -> Result<(), Misuse> {
        let Some(mut stream) = self.stream.take() else { return Ok(()) };
        let mut slice = Vec::new();
        let is_last = stream.produce(house, at, allowance, &mut slice);
        self.server.send(&slice, &mut self.output)?;
        match is_last {
            true => self.server.finish(&mut self.output),
            false => {
                self.stream = Some(stream);
                Ok(())
            }
        }
    }

    /// That the answer breaks off is the only way left to say that it is none.
    fn give_up(&mut self) {
        (self.answer, self.stream) = (None, None);
        self.server.gives_up();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admin::testing::{Doll, MOMENT, furnished};
    use crate::http::{Client, Limits, Response};

    const STATUS: &[u8] = b"GET /api/version HTTP/1.1\r\nHost: localhost\r\n\r\n";

    fn settings() -> ApiSettings {
        ApiSettings { metrics_path: "/metrics".into(), ..ApiSettings::default() }
    }

    fn advance(conversation: &mut Conversation, house: &Doll) -> Option<Order> {
        conversation.advance(&settings(), house, &MOMENT, &mut 1000)
    }

    /// All that it says now, which is taken at once.
    fn said(conversation: &mut Conversation, house: &Doll) -> String {
        let mut text = Vec::new();
        for _ in 0..10_000 {
            let mut allowance = 1000;
            let order = conversation.advance(&settings(), house, &MOMENT, &mut allowance);
            assert_eq!(order, None);
            let sent = conversation.transmit().to_vec();
            if sent.is_empty() && allowance > 0 {
                return String::from_utf8(text).unwrap();
            }
            conversation.transmitted(sent.len());
            text.extend_from_slice(&sent);
        }
        panic!("it never ends")
    }

    fn tell(octets: &[u8], house: &Doll) -> (Conversation, String) {
        let mut conversation = Conversation::new(None);
        conversation.receive(octets);
        let text = said(&mut conversation, house);
        (conversation, text)
    }

    #[test]
    fn a_request_is_answered_however_it_is_cut() {
        let house = furnished();
        let (conversation, whole) = tell(STATUS, &house);
        assert!(whole.starts_with("HTTP/1.1 200 OK\r\n"), "{whole}");
        assert!(whole.contains("\r\nContent-Length: 5\r\n") && whole.ends_with("\r\n\r\n0.1.0"));
        assert!(whole.contains("\r\nDate: Tue, 14 Nov 2023 22:13:20 GMT\r\n"));
        assert_eq!(conversation.waiting(), Waiting::Idle);
        let mut conversation = Conversation::new(None);
        for (place, octet) in STATUS.iter().enumerate() {
            let waits = if place == 0 { Waiting::Idle } else { Waiting::Request };
            assert_eq!(conversation.waiting(), waits);
            assert_eq!(said(&mut conversation, &house), "");
            conversation.receive(&[*octet]);
        }
        assert_eq!(said(&mut conversation, &house), whole);
        conversation.receive(STATUS);
        assert_eq!(said(&mut conversation, &house), whole, "the connection stays");
    }

    #[test]
    fn requests_that_come_together_are_answered_one_by_one() {
        let (conversation, text) = tell(&STATUS.repeat(3), &furnished());
        assert_eq!(text.matches("HTTP/1.1 200 OK").count(), 3);
        assert_eq!(conversation.waiting(), Waiting::Idle);
    }

    #[test]
    fn to_a_head_there_is_no_body() {
        let house = furnished();
        for target in ["/api/version", "/api/status", "/metrics"] {
            let request = format!("HEAD {target} HTTP/1.1\r\nHost: localhost\r\n\r\n");
            let (conversation, text) = tell(request.as_bytes(), &house);
            assert!(
                text.starts_with("HTTP/1.1 200 OK\r\n") && text.ends_with("\r\n\r\n"),
                "{text}"
            );
            assert_eq!(text.matches("\r\n\r\n").count(), 1, "{text}");
            assert_eq!(conversation.waiting(), Waiting::Idle);
        }
    }

    /// An answer of some megabytes, to a client that takes little at a time.
    #[test]
    fn a_long_answer_is_made_as_it_is_taken() {
        let mut house = furnished();
        house.routes = vec![house.routes[0].clone(); 20_000];
        let mut conversation = Conversation::new(None);
        conversation.receive(b"GET /api/routes HTTP/1.1\r\nHost: localhost\r\n\r\n");
        let mut client = Client::new(Limits::default());
        let head = RequestHead::new(Method::Get, "/", "h").unwrap();
        client.request(&head, Content::Length(0), &mut Vec::new()).unwrap();
        let (mut input, mut body, mut is_over) = (Vec::new(), Vec::new(), false);
        while !is_over {
            conversation.advance(&settings(), &house, &MOMENT, &mut 100);
            assert!(conversation.transmit().len() < MAX_OUTPUT + 100_000, "it is bounded");
            let taken = conversation.transmit().len().min(3000);
            assert!(taken > 0, "no progress");
            input.extend_from_slice(&conversation.transmit()[..taken]);
            conversation.transmitted(taken);
            loop {
                let (done, event) = client.receive(&input);
                match event {
                    Some(Response::Body(octets)) => body.extend_from_slice(octets),
                    Some(Response::End) => is_over = true,
                    Some(Response::Head { framing, .. }) => assert_eq!(framing, Framing::Chunked),
                    Some(other) => panic!("{other:?}"),
                    None if done == 0 => break,
                    None => {}
                }
                input.drain(..done);
            }
        }
        let routes: Vec<serde_json::Value> = serde_json::from_slice(&body).unwrap();
        assert_eq!(routes.len(), 20_000);
        assert_eq!(conversation.waiting(), Waiting::Idle);
    }

    #[test]
    fn while_it_answers_nothing_is_read() {
        let mut house = furnished();
        house.routes = vec![house.routes[0].clone(); 20_000];
        let mut conversation = Conversation::new(None);
        assert_eq!(conversation.room(), MAX_HEAD);
        conversation.receive(b"GET /api/routes HTTP/1.1\r\nHost: localhost\r\n\r\nGET");
        conversation.advance(&settings(), &house, &MOMENT, &mut 5);
        assert_eq!((conversation.room(), conversation.waiting()), (0, Waiting::Client));
        conversation.transmitted(conversation.transmit().len());
        assert_eq!((conversation.room(), conversation.waiting()), (0, Waiting::Turn));
    }

    #[test]
    fn orders_are_handed_out_and_answered() {
        let house = furnished();
        let mut conversation = Conversation::new(None);
        conversation.receive(b"POST /api/drain HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n{");
        assert_eq!(advance(&mut conversation, &house), None, "not before it is complete");
        conversation.receive(b"}");
        assert!(advance(&mut conversation, &house).is_some());
        conversation.answer(Answer::error(409, "no"));
        let text = said(&mut conversation, &house);
        assert!(text.starts_with("HTTP/1.1 409 Conflict\r\n"), "{text}");
        assert_eq!(conversation.waiting(), Waiting::Idle);
    }

    #[test]
    fn bodies_are_thrown_away_up_to_a_length() {
        let house = furnished();
        let request = |length: usize| {
            let head =
                format!("GET /health HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n");
            [head.as_bytes(), &vec![b'x'; length.min(80_000)]].concat()
        };
        let mut conversation = Conversation::new(None);
        conversation.receive(&request(65_536));
        let text = said(&mut conversation, &house);
        assert!(text.starts_with("HTTP/1.1 200 OK\r\n"), "{text}");
        assert_eq!(conversation.waiting(), Waiting::Idle);
        let (conversation, text) = tell(&request(65_537), &house);
        assert!(text.starts_with("HTTP/1.1 413 "), "{text}");
        assert!(text.contains("\r\nConnection: close\r\n"));
        assert_eq!(conversation.waiting(), Waiting::Over);
        let chunked = b"GET /health HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
        let endless = [&chunked[..], &b"5\r\nxxxxx\r\n".repeat(14_000)].concat();
        let (conversation, text) = tell(&endless, &house);
        assert!(text.starts_with("HTTP/1.1 413 "), "{text}");
        assert_eq!(conversation.waiting(), Waiting::Over);
        let expects =
            b"GET /health HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nExpect: 100-continue\r\n\r\n";
        let (mut conversation, text) = tell(expects, &house);
        assert_eq!(text, "HTTP/1.1 100 Continue\r\n\r\n");
        conversation.receive(b"x");
        assert!(said(&mut conversation, &house).starts_with("HTTP/1.1 200 OK\r\n"));
    }

    #[test]
    fn what_is_no_http_ends_the_connection() {
        let house = furnished();
        for (octets, status) in [
            (&b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n"[..], "400"),
            (b"GET / HTTP/2.0\r\n\r\n", "505"),
            (b"GET / HTTP/1.1\r\n\r\n", "400"),
            (b"GET /\xff HTTP/1.1\r\nHost: a\r\n\r\n", "400"),
        ] {
            let (conversation, text) = tell(octets, &house);
            assert!(text.starts_with(&format!("HTTP/1.1 {status} ")), "{text}");
            assert!(text.contains("{\"error\":\""), "{text}");
            assert_eq!(conversation.waiting(), Waiting::Over);
        }
        let (conversation, text) = tell(&vec![b'a'; MAX_HEAD + 1], &house);
        assert!(text.starts_with("HTTP/1.1 4"), "{text}");
        assert_eq!(conversation.waiting(), Waiting::Over);
    }

    #[test]
    fn a_client_may_stop_sending_and_still_be_answered() {
        let house = furnished();
        let mut conversation = Conversation::new(None);
        conversation.receive(STATUS);
        assert_eq!(advance(&mut conversation, &house), None);
        conversation.end_of_input();
        assert!(said(&mut conversation, &house).ends_with("0.1.0"));
        assert_eq!(conversation.waiting(), Waiting::Over);
        let mut conversation = Conversation::new(None);
        conversation.receive(b"GET / HT");
        assert_eq!(said(&mut conversation, &house), "");
        conversation.end_of_input();
        assert_eq!(said(&mut conversation, &house), "");
        assert_eq!(conversation.waiting(), Waiting::Over, "cut off");
    }
}
