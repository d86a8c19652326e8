//! One HTTP check: a request, and the status of its answer.
//!
//! The body is not waited for, and the connection is not used again: what is
//! asked is whether the server answers a client who comes now.

use std::fmt;

use crate::http::{Client, Content, Limits, Method, RequestHead, Response};

/// Who asks (RFC 9110 §10.1.5).
const USER_AGENT: &str = concat!("burgee/", env!("CARGO_PKG_VERSION"));

/// A request that is being sent, or an answer that is being waited for.
#[derive(Debug)]
pub(super) struct Exchange {
    client: Client,
    request: Vec<u8>,
    sent: usize,
    /// What has come of a head that is not complete: less than the client's
    /// limit of a head.
    input: Vec<u8>,
    statuses: (u16, u16),
}

impl Exchange {
    /// Asks `host` for `path`; an answer is good if its status is from the first
    /// to the last of `statuses`.
    ///
    /// # Errors
    /// Why it cannot be asked.
    pub(super) fn new(path: &str, host: &str, statuses: (u16, u16)) -> Result<Exchange, String> {
        let mut client = Client::new(Limits::default());
        client.close_after();
        let mut request = Vec::new();
        let mut head = RequestHead::new(Method::Get, path, host).map_err(cannot_ask)?;
        head.fields.push("User-Agent", USER_AGENT).map_err(cannot_ask)?;
        client.request(&head, Content::Length(0), &mut request).map_err(cannot_ask)?;
        Ok(Exchange { client, request, sent: 0, input: Vec::new(), statuses })
    }

    /// What is still to be sent.
    pub(super) fn to_send(&self) -> &[u8] {
        self.request.get(self.sent..).unwrap_or_default()
    }

    /// So many octets of it were sent.
    pub(super) fn sent(&mut self, count: usize) {
        self.sent = self.sent.saturating_add(count);
    }

    /// Takes what was received. The outcome, once it is known.
    pub(super) fn received(&mut self, octets: &[u8]) -> Option<Result<(), String>> {
        self.input.extend_from_slice(octets);
        loop {
            let (done, response) = self.client.receive(&self.input);
            let outcome = match response {
                Some(Response::Head { head, .. }) => Some(judge(head.status, self.statuses)),
                Some(Response::Fault(fault)) => Some(Err(no_response(fault))),
                Some(Response::Interim(_) | Response::Body(_) | Response::End) => None,
                None => return None,
            };
            self.input.drain(..done.min(self.input.len()));
            if outcome.is_some() {
                return outcome;
            }
        }
    }

    /// The server sends no more, and there is no outcome yet.
    pub(super) fn ended(&mut self) -> Result<(), String> {
        if self.input.is_empty() {
            return Err("closed without an answer".to_owned());
        }
        let fault = self.client.end_of_input().err();
        Err(fault.map_or_else(|| "closed without an answer".to_owned(), no_response))
    }
}

fn judge(status: u16, (first, last): (u16, u16)) -> Result<(), String> {
    if (first..=last).contains(&status) {
        return Ok(());
    }
    let to = if first == last { String::new() } else { format!("-{last}") };
    Err(format!("status {status}, expected {first}{to}"))
}

fn no_response(fault: impl fmt::Display) -> String {
    format!("not an HTTP response: {fault}")
}

fn cannot_ask(misuse: impl fmt::Display) -> String {
    format!("cannot be asked: {misuse}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exchange() -> Exchange {
        Exchange::new("/health?all", "www.example:8080", (200, 399)).unwrap()
    }

    /// What comes of an answer, however it is cut.
    fn outcome(answer: &str) -> Result<(), String> {
        let whole = |parts: &[&str]| {
            let mut exchange = exchange();
            let early = parts.iter().find_map(|part| exchange.received(part.as_bytes()));
            early.unwrap_or_else(|| exchange.ended())
        };
        let outcome = whole(&[answer]);
        for at in 1..answer.len() {
            let (head, tail) = answer.split_at_checked(at).unwrap();
            assert_eq!(whole(&[head, tail]), outcome, "{answer:?} cut at {at}");
        }
        outcome
    }

    #[test]
    fn the_request_asks_for_one_answer_and_says_who_asks() {
        let mut exchange = exchange();
        let request = std::str::from_utf8(exchange.to_send()).unwrap().to_owned();
        assert_eq!(
            request,
            format!(
                "GET /health?all HTTP/1.1\r\nHost: www.example:8080\r\n\
                 User-Agent: burgee/{}\r\nConnection: close\r\n\r\n",
                env!("CARGO_PKG_VERSION")
            )
        );
        exchange.sent(4);
        assert!(exchange.to_send().starts_with(b"/health"));
        exchange.sent(request.len());
        assert_eq!(exchange.to_send(), b"");
    }

    #[test]
    fn the_status_decides_and_the_body_is_not_waited_for() {
        assert_eq!(outcome("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"), Ok(()));
        assert_eq!(outcome("HTTP/1.0 204 \r\n\r\n"), Ok(()));
        assert_eq!(outcome("HTTP/1.1 302 Found\r\nLocation: /x\r\n\r\n<html>"), Ok(()));
        let bad = outcome("HTTP/1.1 503 Service Unavailable\r\nTransfer-Encoding: chunked\r\n\r\n");
        assert_eq!(bad.unwrap_err(), "status 503, expected 200-399");
        let mut exact = Exchange::new("/", "x", (204, 204)).unwrap();
        let outcome = exact.received(b"HTTP/1.1 200 OK\r\n\r\n");
        assert_eq!(outcome, Some(Err("status 200, expected 204".to_owned())));
    }

    #[test]
    fn interim_answers_are_no_answers() {
        let hints = "HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n";
        assert_eq!(outcome(&format!("{hints}{hints}HTTP/1.1 200 OK\r\n\r\n")), Ok(()));
        assert_eq!(outcome(hints).unwrap_err(), "closed without an answer");
    }

    #[test]
    fn what_is_no_answer_is_said_in_words() {
        for (answer, error) in [
            ("", "closed without an answer"),
            ("SSH-2.0-OpenSSH_9.9\r\n", "not an HTTP response: "),
            ("HTTP/2 200 OK\r\n\r\n", "not an HTTP response: "),
            ("HTTP/1.1 200 O", "not an HTTP response: the connection ended inside a message"),
            ("HTTP/1.1 200 OK\r\nbad field\r\n\r\n", "not an HTTP response: a field name"),
        ] {
            let found = outcome(answer).unwrap_err();
            assert!(found.starts_with(error), "{answer:?}: {found}");
        }
    }

    #[test]
    fn a_head_without_an_end_is_not_read_for_ever() {
        let mut exchange = exchange();
        assert_eq!(exchange.received(b"HTTP/1.1 200 OK\r\n"), None);
        let mut fed = 0;
        let error = loop {
            fed += 100;
            assert!(fed < 100_000, "no bound");
            let line = format!("X: {}\r\n", "y".repeat(95));
            if let Some(outcome) = exchange.received(line.as_bytes()) {
                break outcome.unwrap_err();
            }
        };
        assert!(error.starts_with("not an HTTP response: "), "{error}");
    }

    #[test]
    fn what_cannot_be_asked_is_said() {
        let error = Exchange::new("/", "a b", (200, 200)).unwrap_err();
        assert!(error.starts_with("cannot be asked: "), "{error}");
    }
}
