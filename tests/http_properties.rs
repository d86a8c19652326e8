//! What holds for every message and for every way to cut it. The number of cases
//! is fixed; a failure prints the smallest one that was found and the seed of its run.

#![cfg(feature = "http")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    unreachable_pub
)]

#[path = "common/http.rs"]
mod http;
#[path = "common/properties.rs"]
mod properties;

use std::time::Duration;

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::{Index, select};

use burgee::http::{
    Client, Content, Decoder, Fields, Framing, Limits, Method, Part, Request, RequestHead,
    Response, ResponseHead, Server, Target, Version, decode_text, percent_decode, query_pairs,
    reason_phrase, segments, write_chunk, write_last_chunk,
};

use properties::cases;

/// Every octet that a token may have.
const TOKEN: &[u8] =
    b"!#$%&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

fn value() -> impl Strategy<Value = Vec<u8>> {
    let octet =
        prop_oneof![3 => 0x21..0x7f_u8, 1 => Just(b' '), 1 => Just(b'\t'), 1 => 0x80..=0xff_u8];
    vec(octet, 0..40)
}

fn fields() -> impl Strategy<Value = Fields> {
    let token = vec(select(TOKEN), 1..20).prop_map(|token| String::from_utf8(token).unwrap());
    let name = token.prop_filter("a field of the machine", |name| {
        !["connection", "content-length", "keep-alive", "transfer-encoding", "host", "expect"]
            .contains(&name.to_ascii_lowercase().as_str())
    });
    vec((name, value()), 0..8).prop_map(|list| {
        let mut fields = Fields::new();
        list.iter().for_each(|(name, value)| fields.push(name, value).unwrap());
        fields
    })
}

fn host() -> impl Strategy<Value = String> {
    let name = "[a-zA-Z0-9_~.-]{1,30}";
    let literal = any::<u128>().prop_map(|bits| format!("[{}]", std::net::Ipv6Addr::from(bits)));
    let host = prop_oneof![name.prop_map(String::from), literal];
    (host, option::of(any::<u16>())).prop_map(|(host, port)| match port {
        Some(port) => format!("{host}:{port}"),
        None => host,
    })
}

const METHODS: &[&str] =
    &["GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "BREW", "get"];

/// A method and a target that fit together.
fn target() -> impl Strategy<Value = (Method, Target)> {
    let origin = "/[!-\"$->@-~]{0,40}(\\?[!-\"$-~]{0,40})?";
    let absolute = (select(&["http", "HTTPS"][..]), host(), option::of(origin))
        .prop_map(|(scheme, host, rest)| format!("{scheme}://{host}{}", rest.unwrap_or_default()));
    let plain = (select(METHODS), prop_oneof![origin.prop_map(String::from), absolute]);
    let connect = ("[a-z0-9.-]{1,20}", 1..=65535_u16)
        .prop_map(|(host, port)| ("CONNECT", format!("{host}:{port}")));
    prop_oneof![8 => plain, 1 => connect, 1 => Just(("OPTIONS", "*".to_owned()))].prop_map(
        |(method, target)| {
            let method = Method::parse(method.as_bytes()).unwrap();
            let target = Target::parse(target.as_bytes(), &method).unwrap();
            (method, target)
        },
    )
}

fn version() -> impl Strategy<Value = Version> {
    select(&[Version::Http10, Version::Http11][..])
}

fn request_head() -> impl Strategy<Value = RequestHead> {
    (target(), version(), host(), fields()).prop_map(
        |((method, target), version, host, mut fields)| {
            fields.push("Host", host).unwrap();
            RequestHead { method, target, version, fields }
        },
    )
}

fn response_head() -> impl Strategy<Value = ResponseHead> {
    (version(), 100..=599_u16, value(), fields()).prop_map(|(version, status, reason, fields)| {
        ResponseHead { version, status, reason, fields }
    })
}

fn sizes() -> impl Strategy<Value = Vec<usize>> {
    prop_oneof![vec(1..9_usize, 1..9), vec(1..200_usize, 1..9), Just(vec![1])]
}

/// Small ones too, so that messages run into them.
fn limits() -> impl Strategy<Value = Limits> {
    let small = (2..300_usize, 1..100_usize, 0..5_usize)
        .prop_map(|(head, start_line, fields)| Limits { head, start_line, fields });
    prop_oneof![Just(Limits::default()), small]
}

/// Good streams of requests and of answers, to be spoiled.
const REQUESTS: &[&str] = &[
    "GET /a?b HTTP/1.1\r\nHost: a\r\n\r\nGET http://b:1/ HTTP/1.1\r\nHost: a\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhelloGET / HTTP/1.1\r\nHost: a\r\n\r\n",
    "\r\nPUT / HTTP/1.1\r\nHost: [::1]:80\r\nTransfer-Encoding: chunked\r\n\r\n\
     3;a=\"b\"\r\nabc\r\n1\r\n0\r\n0\r\nA: b\r\n\r\n\r\nOPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n",
    "GET / HTTP/1.0\r\nConnection: keep-alive\r\nContent-Length: 1\r\n\r\naHEAD / HTTP/1.0\r\n\r\n",
    "CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\nUpgrade: b\r\nConnection: upgrade\r\n\r\nxyz",
    "POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\na",
];
const ANSWERS: &[&str] = &[
    "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
    "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 \r\nLink: a\r\n\r\nHTTP/1.1 204 \r\nDate: b\r\n\r\n",
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nA ;b\r\n0123456789\r\n0\r\nA: b\r\n\r\n",
    "HTTP/1.0 404 \r\nServer: a\r\n\r\nuntil the end",
    "HTTP/1.1 101 \r\nUpgrade: b\r\nConnection: upgrade\r\n\r\nxyz",
    "HTTP/1.1 304 \r\nContent-Length: 5\r\nETag: \"a\"\r\n\r\n",
];
const BITS: &[&[u8]] = &[
    b"\r\n",
    b"\n",
    b"\r",
    b" ",
    b"\t",
    b"\0",
    b":",
    b",",
    b";",
    b"0",
    b"1",
    b"\r\n\r\n",
    b"\xff",
    b"",
    b"Content-Length: 1\r\n",
    b"Transfer-Encoding: chunked\r\n",
    b"Connection: close\r\n",
    b"Host: b\r\n",
    b"chunked",
    b"\r\n ",
    b"0\r\n\r\n",
];

/// A good stream in which some octets are replaced by other bits.
fn spoiled(good: &'static [&'static str]) -> impl Strategy<Value = Vec<u8>> {
    let edit = (any::<Index>(), 0..3_usize, select(BITS));
    (vec(select(good), 1..3), vec(edit, 0..4)).prop_map(|(streams, edits)| {
        let mut octets = streams.concat().into_bytes();
        for (place, length, bits) in edits {
            let start = place.index(octets.len() + 1);
            let end = (start + length).min(octets.len());
            octets.splice(start..end, bits.iter().copied());
        }
        octets
    })
}

/// What one request and its answer are.
#[derive(Clone, Debug)]
struct Exchange {
    request: RequestHead,
    response: ResponseHead,
    asked: Vec<Vec<u8>>,
    answered: Vec<Vec<u8>>,
    is_streamed: (bool, bool),
}

fn body() -> impl Strategy<Value = Vec<Vec<u8>>> {
    vec(vec(any::<u8>(), 0..50), 0..5)
}

fn exchange() -> impl Strategy<Value = Exchange> {
    let head = request_head().prop_filter("a tunnel", |head| head.method != Method::Connect);
    let response = response_head().prop_filter("not final", |head| head.status >= 200);
    (head, response, body(), body(), any::<(bool, bool)>()).prop_map(
        |(request, response, asked, answered, is_streamed)| Exchange {
            request,
            response,
            asked,
            answered,
            is_streamed,
        },
    )
}

fn content(body: &[Vec<u8>], is_streamed: bool) -> Content {
    let length = body.iter().map(Vec::len).sum::<usize>();
    if is_streamed { Content::Stream } else { Content::Length(u64::try_from(length).unwrap()) }
}

/// A wire on which octets arrive in pieces of their own sizes.
struct Wire<'a> {
    sizes: std::iter::Cycle<std::slice::Iter<'a, usize>>,
    sent: Vec<u8>,
    arrived: Vec<u8>,
}

impl Wire<'_> {
    /// Lets the next piece arrive; says whether there was one.
    fn carry(&mut self) -> bool {
        let count = (*self.sizes.next().unwrap()).min(self.sent.len());
        self.arrived.extend(self.sent.drain(..count));
        count > 0
    }
}

fn wire(sizes: &[usize]) -> Wire<'_> {
    Wire { sizes: sizes.iter().cycle(), sent: Vec::new(), arrived: Vec::new() }
}

/// Sends a request over and an answer back; both ends must see what was meant.
fn converse(
    client: &mut Client,
    server: &mut Server,
    there: &mut Wire<'_>,
    back: &mut Wire<'_>,
    exchange: &Exchange,
) {
    let Exchange { request, response, asked, answered, is_streamed } = exchange;
    client.request(request, content(asked, is_streamed.0), &mut there.sent).unwrap();
    asked.iter().for_each(|data| client.send(data, &mut there.sent).unwrap());
    client.finish(&mut there.sent).unwrap();
    let (mut seen, mut body, mut is_complete) = (None, Vec::new(), false);
    while there.carry() {
        loop {
            let (done, event) = server.receive(&there.arrived);
            match event {
                None => break drop(there.arrived.drain(..done)),
                Some(Request::Head { head, .. }) => seen = Some(head),
                Some(Request::Body(data)) => body.extend_from_slice(data),
                Some(Request::End) => is_complete = true,
                Some(Request::Fault(fault)) => panic!("{fault:?}"),
            }
            there.arrived.drain(..done);
        }
    }
    let mut seen = seen.expect("a head");
    seen.fields = http::without_own(seen.fields);
    assert_eq!(seen, RequestHead { version: Version::Http11, ..request.clone() });
    assert_eq!((body, is_complete), (asked.concat(), true));

    server
        .respond(response, content(answered, is_streamed.1), Duration::ZERO, &mut back.sent)
        .unwrap();
    answered.iter().for_each(|data| server.send(data, &mut back.sent).unwrap());
    server.finish(&mut back.sent).unwrap();
    let (mut seen, mut body, mut is_complete) = (None, Vec::new(), false);
    while back.carry() {
        loop {
            let (done, event) = client.receive(&back.arrived);
            match event {
                None => break drop(back.arrived.drain(..done)),
                Some(Response::Head { head, .. }) => seen = Some(head),
                Some(Response::Body(data)) => body.extend_from_slice(data),
                Some(Response::End) => is_complete = true,
                Some(other) => panic!("{other:?}"),
            }
            back.arrived.drain(..done);
        }
    }
    let mut seen: ResponseHead = seen.expect("a head");
    seen.fields = http::without_own(seen.fields);
    seen.fields.remove("date");
    let mut expected = ResponseHead { version: Version::Http11, ..response.clone() };
    expected.fields.remove("date");
    assert_eq!(seen.fields, expected.fields);
    assert_eq!(seen.status, expected.status);
    let has_none = request.method == Method::Head || [204, 304].contains(&response.status);
    let expected = if has_none { Vec::new() } else { answered.concat() };
    assert_eq!((body, is_complete), (expected, true));
    assert!(client.is_reusable() && there.arrived.is_empty() && back.arrived.is_empty());
}

/// Everything that can be done to a server, in any order.
#[derive(Clone, Debug)]
enum Act {
    Receive(Vec<u8>),
    Respond(ResponseHead, Content),
    Send(Vec<u8>),
    Finish,
    AcceptBody,
    CloseAfter,
    EndOfInput,
}

fn act() -> impl Strategy<Value = Act> {
    let content = prop_oneof![(0..20_u64).prop_map(Content::Length), Just(Content::Stream)];
    prop_oneof![
        4 => spoiled(REQUESTS).prop_map(Act::Receive),
        4 => (response_head(), content).prop_map(|(head, content)| Act::Respond(head, content)),
        2 => vec(any::<u8>(), 0..20).prop_map(Act::Send),
        4 => Just(Act::Finish),
        1 => Just(Act::AcceptBody),
        1 => Just(Act::CloseAfter),
        1 => Just(Act::EndOfInput),
    ]
}

proptest! {
    #![proptest_config(cases(300))]

    #[test]
    fn request_heads_are_read_as_they_were_written(head in request_head()) {
        let mut octets = Vec::new();
        head.write(&mut octets);
        prop_assert_eq!(RequestHead::parse(&octets, &Limits::default()), Ok(head.clone()));
        prop_assert_eq!(Framing::of_request(&head), Ok(Framing::Length(0)));
        prop_assert!(head.authority().is_some());
        let origin = Target::parse(head.target.origin_form().as_bytes(), &Method::Options);
        if head.method != Method::Connect {
            let origin = origin.unwrap();
            let target = &head.target;
            prop_assert_eq!((origin.path(), origin.query()), (target.path(), target.query()));
        }
    }

    #[test]
    fn answer_heads_are_read_as_they_were_written(mut head in response_head()) {
        // The reason begins behind one blank, and ends with the line.
        head.fields.push("Content-Length", "7").unwrap();
        let mut octets = Vec::new();
        head.write(&mut octets);
        prop_assert_eq!(ResponseHead::parse(&octets, &Limits::default()), Ok(head.clone()));
        prop_assert!(head.check().is_ok());
        prop_assert!(reason_phrase(head.status).is_ascii());
    }

    #[test]
    fn any_split_of_requests_is_the_same(
        input in spoiled(REQUESTS),
        sizes in sizes(),
        limits in limits(),
    ) {
        http::check_requests(&input, &sizes, limits);
    }

    #[test]
    fn any_split_of_answers_is_the_same(
        input in spoiled(ANSWERS),
        method in select(&["GET", "HEAD", "CONNECT"][..]),
        upgrades in any::<bool>(),
        sizes in sizes(),
        limits in limits(),
    ) {
        let method = Method::parse(method.as_bytes()).unwrap();
        let mut request = RequestHead::new(method.clone(), "/", "a")
            .or_else(|_| RequestHead::new(method, "a:1", "a"))
            .unwrap();
        if upgrades {
            request.fields.push("Upgrade", "b").unwrap();
        }
        http::check_answers(&request, &input, &sizes, limits);
    }

    #[test]
    fn any_octets_are_no_panic(input in vec(any::<u8>(), 0..300), sizes in sizes()) {
        http::check_requests(&input, &sizes, Limits::default());
        let request = RequestHead::new(Method::Get, "/", "a").unwrap();
        http::check_answers(&request, &input, &sizes, Limits::default());
    }

    #[test]
    fn chunks_hold_what_was_put_into_them(body in body(), sizes in sizes()) {
        let mut octets = Vec::new();
        body.iter().for_each(|data| write_chunk(data, &mut octets));
        write_last_chunk(&mut octets);
        let whole = octets.len();
        octets.extend_from_slice(b"rest");
        let (mut decoder, mut data, mut at, mut end) = (Decoder::new(Framing::Chunked), Vec::new(), 0, 0);
        let mut sizes = sizes.iter().cycle();
        loop {
            let (done, part) = decoder.decode(&octets[at..end]).unwrap();
            at += done;
            match part {
                Part::Data(part) => data.extend_from_slice(part),
                Part::More => end = (end + sizes.next().unwrap()).min(octets.len()),
                Part::End => break,
            }
        }
        prop_assert_eq!((data, at), (body.concat(), whole));
    }

    #[test]
    fn no_field_is_more_than_one_line(name in any::<String>(), value in vec(any::<u8>(), 0..40)) {
        let mut head = ResponseHead::new(200);
        let is_taken = head.fields.push(&name, &value).is_ok();
        let mut octets = Vec::new();
        head.write(&mut octets);
        let again = ResponseHead::parse(&octets, &Limits::default()).unwrap();
        prop_assert_eq!(again.fields.len(), usize::from(is_taken));
        prop_assert_eq!(&again, &head);
    }

    #[test]
    fn what_is_end_to_end_is_not_named(all in fields(), named in vec(any::<Index>(), 0..3)) {
        let mut sent = all.clone();
        let name = |index: &Index| all.iter().nth(index.index(all.len())).unwrap().0.to_owned();
        let named: Vec<String> = if all.is_empty() { vec![] } else { named.iter().map(name).collect() };
        sent.push("Connection", named.join(", ")).unwrap();
        sent.push("Keep-Alive", "timeout=5").unwrap();
        sent.retain_end_to_end();
        let hop = ["te", "trailer", "upgrade", "proxy-connection"];
        let is_kept = |name: &str| {
            !named.iter().any(|other| other.eq_ignore_ascii_case(name))
                && !hop.contains(&name.to_ascii_lowercase().as_str())
        };
        let expected: Vec<(&str, &[u8])> = all.iter().filter(|(name, _)| is_kept(name)).collect();
        prop_assert_eq!(sent.iter().collect::<Vec<_>>(), expected);
    }

    #[test]
    fn escapes_stand_for_any_octet(octets in vec(any::<u8>(), 0..40), text in any::<String>()) {
        let escaped: String = octets.iter().map(|octet| format!("%{octet:02x}")).collect();
        prop_assert_eq!(percent_decode(&escaped), Some(octets));
        let escaped: String = text.bytes().map(|octet| format!("%{octet:02X}")).collect();
        let expected = (!text.contains(char::is_control)).then(|| text.clone());
        prop_assert_eq!(decode_text(&escaped), expected.clone());
        let is_dots = text == "." || text == "..";
        let found: Vec<Option<String>> = segments(&format!("/{escaped}/b")).collect();
        prop_assert_eq!(found, [expected.clone().filter(|_| !is_dots), Some("b".into())]);
        let pair = query_pairs(&format!("a={escaped}")).next().unwrap();
        prop_assert_eq!(pair, expected.map(|text| ("a".to_owned(), text)));
        // And no text at all is a panic.
        let _ = (percent_decode(&text), segments(&text).count(), query_pairs(&text).count());
    }

    #[test]
    fn a_server_may_be_used_in_any_order(acts in vec(act(), 0..20)) {
        let (mut server, mut kept, mut out) = (Server::new(Limits::default()), Vec::new(), Vec::new());
        for act in acts {
            let before = out.len();
            let result = match act {
                Act::Receive(octets) => {
                    kept.extend(octets);
                    let (done, _) = server.receive(&kept);
                    kept.drain(..done);
                    Ok(())
                }
                Act::Respond(head, content) => server.respond(&head, content, Duration::ZERO, &mut out),
                Act::Send(data) => server.send(&data, &mut out),
                Act::Finish => server.finish(&mut out),
                Act::AcceptBody => {
                    server.accept_body(&mut out);
                    Ok(())
                }
                Act::CloseAfter => {
                    server.close_after();
                    Ok(())
                }
                Act::EndOfInput => {
                    let _ = server.end_of_input();
                    Ok(())
                }
            };
            prop_assert!(result.is_ok() || out.len() == before, "a misuse wrote something");
        }
    }
}

proptest! {
    #![proptest_config(cases(100))]

    #[test]
    fn both_sides_see_what_was_meant(
        exchanges in vec(exchange(), 1..4),
        sizes in (sizes(), sizes()),
    ) {
        let (mut client, mut server) = (Client::new(Limits::default()), Server::new(Limits::default()));
        let (mut there, mut back) = (wire(&sizes.0), wire(&sizes.1));
        for exchange in &exchanges {
            converse(&mut client, &mut server, &mut there, &mut back, exchange);
        }
    }
}
