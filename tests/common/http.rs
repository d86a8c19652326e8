//! One side of an HTTP connection, fed in pieces, and what it told.

use std::time::Duration;

use burgee::http::{
    Client, Content, Fault, Fields, Framing, Limits, Phase, Request, RequestHead, Response,
    ResponseHead, Server, Version,
};

/// An event, with its octets; bodies that follow one another are one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Told {
    Request(RequestHead, Framing),
    Interim(ResponseHead),
    Response(ResponseHead, Framing),
    Body(Vec<u8>),
    End,
    Fault(Fault),
    /// What the end of the connection meant, in the middle of a message.
    Cut(Fault),
}

/// Cuts `input` into pieces of these sizes, over and over; 0 is all that is left.
fn pieces<'a>(input: &'a [u8], sizes: &'a [usize]) -> impl Iterator<Item = &'a [u8]> {
    let mut rest = input;
    let mut sizes = sizes.iter().cycle();
    std::iter::from_fn(move || {
        let size = match sizes.next() {
            None | Some(0) => rest.len(),
            Some(size) => *size,
        };
        let (piece, tail) = rest.split_at(size.min(rest.len()));
        rest = tail;
        (!piece.is_empty()).then_some(piece)
    })
}

fn tell(told: &mut Vec<Told>, event: Told) {
    match (told.last_mut(), event) {
        (Some(Told::Body(body)), Told::Body(more)) => body.extend(more),
        (_, event) => told.push(event),
    }
}

/// What a server tells of `input` in pieces, each request answered with 200 when
/// it is complete, and the phase at its end.
pub fn server(input: &[u8], sizes: &[usize], limits: Limits) -> (Vec<Told>, Phase) {
    let (mut machine, mut kept, mut told) = (Server::new(limits), Vec::new(), Vec::new());
    for piece in pieces(input, sizes) {
        kept.extend_from_slice(piece);
        take_requests(&mut machine, &mut kept, &mut told);
        assert!(kept.len() < limits.head, "room for a head is enough");
    }
    if let Err(fault) = machine.end_of_input() {
        // The client may still read.
        answer(&mut machine, fault.status());
        told.push(Told::Cut(fault));
    }
    (told, machine.phase())
}

fn take_requests(machine: &mut Server, kept: &mut Vec<u8>, told: &mut Vec<Told>) {
    let mut at = 0;
    loop {
        let (done, event) = machine.receive(&kept[at..]);
        let was_told = event.is_some();
        let mut status = None;
        match event {
            None => {}
            Some(Request::Head { head, framing }) => {
                check_head(&kept[at..at + done], framing);
                tell(told, Told::Request(head, framing));
            }
            Some(Request::Body(data)) => {
                assert!(!data.is_empty() && data.len() <= done);
                tell(told, Told::Body(data.to_vec()));
            }
            Some(Request::End) => {
                told.push(Told::End);
                status = Some(200);
            }
            Some(Request::Fault(fault)) => {
                told.push(Told::Fault(fault));
                status = Some(fault.status());
            }
        }
        at += done;
        assert!(at <= kept.len(), "done with more than there is");
        if let Some(status) = status {
            answer(machine, status);
        } else if !was_told {
            kept.drain(..at);
            return;
        }
    }
}

fn answer(machine: &mut Server, status: u16) {
    let (head, mut out) = (ResponseHead::new(status), Vec::new());
    machine.answer(&head, b"answer", Duration::ZERO, &mut out).expect("an answer is due");
    assert!(out.ends_with(b"answer") || out.ends_with(b"\r\n\r\n"));
}

/// What a client tells of `input` in pieces, an answer to `request`, which asks
/// for nothing more.
pub fn client(request: &RequestHead, input: &[u8], sizes: &[usize], limits: Limits) -> Vec<Told> {
    let (mut machine, mut kept, mut told) = (Client::new(limits), Vec::new(), Vec::new());
    machine.request(request, Content::Length(0), &mut Vec::new()).expect("a good request");
    for piece in pieces(input, sizes) {
        kept.extend_from_slice(piece);
        let mut at = 0;
        loop {
            let (done, event) = machine.receive(&kept[at..]);
            let Some(event) = event else { break at += done };
            if let Response::Head { framing, .. } = event {
                check_head(&kept[at..at + done], framing);
            }
            tell(&mut told, of_response(event));
            at += done;
        }
        kept.drain(..at);
        assert!(kept.len() < limits.head, "room for a head is enough");
    }
    match machine.end_of_input() {
        Ok(None) => {}
        Ok(Some(event)) => told.push(of_response(event)),
        Err(fault) => told.push(Told::Cut(fault)),
    }
    assert!(!machine.is_reusable());
    told
}

/// The same, owned.
pub fn of_response(event: Response<'_>) -> Told {
    match event {
        Response::Interim(head) => Told::Interim(head),
        Response::Head { head, framing } => Told::Response(head, framing),
        Response::Body(data) => {
            assert!(!data.is_empty());
            Told::Body(data.to_vec())
        }
        Response::End => Told::End,
        Response::Fault(fault) => Told::Fault(fault),
    }
}

/// Reads a head that was taken once more, in the plainest way there is: whatever
/// was let through must look the same to the simplest of readers.
fn check_head(head: &[u8], framing: Framing) {
    let head = head.strip_prefix(b"\r\n").unwrap_or(head);
    let text: String = head.iter().map(|octet| char::from(*octet)).collect();
    let lines = text.strip_suffix("\r\n\r\n").expect("an empty line at the end");
    assert!(!lines.contains("\r\n\r\n"), "and only there");
    let lines: Vec<&str> = lines.split("\r\n").collect();
    for line in &lines {
        assert!(line.bytes().all(|octet| octet == b'\t' || octet >= b' ' && octet != 0x7f));
    }
    let (mut lengths, mut codings) = (Vec::new(), Vec::new());
    for line in &lines[1..] {
        let (name, value) = line.split_once(':').expect("a colon");
        assert!(!name.is_empty() && name.bytes().all(|octet| octet.is_ascii_graphic()), "{line}");
        let value = value.trim_matches([' ', '\t']);
        match name.to_ascii_lowercase().as_str() {
            "content-length" => lengths.push(value),
            "transfer-encoding" => codings.push(value.to_ascii_lowercase()),
            _ => {}
        }
    }
    assert!(lengths.len() + codings.len() <= 1, "{lengths:?} {codings:?}");
    match framing {
        Framing::Chunked => assert_eq!(codings, ["chunked"]),
        Framing::Length(1..) => assert_eq!(lengths, [framing_length(framing)]),
        // A body that is none may be declared all the same: of HEAD, 204 and so on.
        Framing::Length(0) | Framing::Tunnel => {}
        Framing::UntilClose => assert!(lengths.is_empty() && codings.is_empty()),
    }
}

fn framing_length(framing: Framing) -> String {
    match framing {
        Framing::Length(length) => length.to_string(),
        other => panic!("{other:?}"),
    }
}

/// Fields that a machine writes itself.
const OWN: [&str; 4] = ["connection", "content-length", "keep-alive", "transfer-encoding"];

/// Leaves out what the machines write themselves.
pub fn without_own(mut fields: Fields) -> Fields {
    OWN.iter().for_each(|name| fields.remove(name));
    fields
}

/// What holds of any stream of requests: pieces change nothing; each request, sent
/// on from its parsed form, is read as the same request; and a fault is the last.
pub fn check_requests(input: &[u8], sizes: &[usize], limits: Limits) {
    let (told, phase) = server(input, &[0], limits);
    assert_eq!(server(input, sizes, limits), (told.clone(), phase), "in pieces of {sizes:?}");
    assert_eq!(phase, Phase::Over);
    check_order(&told);
    let mut told = told.into_iter().peekable();
    while let Some(event) = told.next() {
        let Told::Request(head, framing) = event else { continue };
        let body = match told.next_if(|told| matches!(told, Told::Body(_))) {
            Some(Told::Body(body)) => body,
            _ => Vec::new(),
        };
        if told.peek() == Some(&Told::End) {
            check_sent_on(head, framing, &body);
        }
    }
}

/// RFC 9112 section 11.2: what a proxy would send on is read as what it was.
fn check_sent_on(head: RequestHead, framing: Framing, body: &[u8]) {
    let (mut client, mut out) = (Client::new(Limits::default()), Vec::new());
    let length = u64::try_from(body.len()).unwrap();
    let content =
        if framing == Framing::Chunked { Content::Stream } else { Content::Length(length) };
    // HTTP/1.0 needs no Host and may expect what it likes; on the way out it is
    // HTTP/1.1.
    let Ok(()) = client.request(&head, content, &mut out) else {
        assert_eq!(head.version, Version::Http10);
        return;
    };
    client.send(body, &mut out).expect("a body of the right length");
    client.finish(&mut out).expect("a whole body");
    let limits = Limits { head: 2 * Limits::default().head, ..Limits::default() };
    let (told, _) = server(&out, &[0], limits);
    let Some(Told::Request(again, framing)) = told.first() else { panic!("{told:?}") };
    assert_eq!((&again.method, &again.target), (&head.method, &head.target));
    assert_eq!(without_own(again.fields.clone()), without_own(head.fields));
    assert_eq!(*framing == Framing::Chunked, content == Content::Stream);
    let rest: &[Told] =
        if body.is_empty() { &[Told::End] } else { &[Told::Body(body.to_vec()), Told::End] };
    assert_eq!(&told[1..], rest);
}

/// What holds of any stream of answers.
pub fn check_answers(request: &RequestHead, input: &[u8], sizes: &[usize], limits: Limits) {
    let told = client(request, input, &[0], limits);
    assert_eq!(client(request, input, sizes, limits), told, "in pieces of {sizes:?}");
    check_order(&told);
    for told in &told {
        if let Told::Interim(head) | Told::Response(head, _) = told {
            let mut out = Vec::new();
            head.write(&mut out);
            let limits = Limits { head: usize::MAX, ..Limits::default() };
            let version = head.version.min(Version::Http11);
            let again = ResponseHead::parse(&out, &limits).expect("what was read before");
            assert_eq!(again, ResponseHead { version, ..head.clone() });
        }
    }
}

/// Heads, bodies and ends come in order, and a fault is the last of all.
fn check_order(told: &[Told]) {
    let mut is_inside = false;
    for (index, event) in told.iter().enumerate() {
        match event {
            Told::Request(..) | Told::Response(..) => {
                assert!(!is_inside);
                is_inside = true;
            }
            Told::Interim(_) => assert!(!is_inside),
            Told::Body(_) => assert!(is_inside),
            Told::End => {
                assert!(is_inside);
                is_inside = false;
            }
            Told::Fault(_) | Told::Cut(_) => {
                assert_eq!(index + 1, told.len());
                is_inside = false;
            }
        }
    }
    assert!(!is_inside, "{told:?}");
}
