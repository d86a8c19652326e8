//! HTTP from peers: requests, answers and chunked bodies, in pieces of any size.

use burgee::http::{
    Decoder, Fault, Framing, Limits, MAX_EXTENSIONS, MAX_FIELDS, MAX_HEAD, MAX_START_LINE,
    MAX_TRAILERS, Method, Part, RequestHead, Target, percent_decode, query_pairs, segments,
    write_chunk, write_last_chunk,
};

use super::decoders::one_line;
use super::input::Input;
use super::peers::{Told, check_answers, check_requests, server};

/// Sizes of pieces, and the usual limits or small ones.
fn settings(input: &mut Input<'_>) -> ([usize; 2], Limits) {
    let sizes = [input.below(40), 1 + input.below(7)];
    let limits = match input.below(4) {
        0 => Limits {
            head: 2 + input.below(250),
            start_line: 1 + input.below(100),
            fields: input.below(5),
        },
        _ => Limits { head: MAX_HEAD, start_line: MAX_START_LINE, fields: MAX_FIELDS },
    };
    (sizes, limits)
}

fn fault(told: &[Told]) {
    if let Some(Told::Fault(fault) | Told::Cut(fault)) = told.last() {
        one_line(&fault.to_string());
        assert!([400, 414, 417, 431, 501, 505].contains(&fault.status()));
    }
}

/// A stream of requests.
pub(crate) fn request(data: &[u8]) {
    let mut input = Input::new(data);
    let (sizes, limits) = settings(&mut input);
    let stream = input.rest();
    check_requests(stream, &sizes, limits);
    let (told, _) = server(stream, &[0], limits);
    fault(&told);
    for event in told {
        if let Told::Request(head, _) = event {
            target(&head.target);
        }
    }
}

/// A target is taken apart without loss.
fn target(target: &Target) {
    let origin = target.origin_form();
    if target.path().starts_with('/') {
        let again = Target::parse(origin.as_bytes(), &Method::Get).expect("an origin form");
        assert_eq!((again.path(), again.query()), (target.path(), target.query()));
    }
    let count = target.path().matches('/').count();
    assert!(segments(target.path()).count() <= count.max(1));
    for text in segments(target.path()).flatten() {
        assert!(text != ".." && !text.contains(char::is_control));
    }
    let query = target.query().unwrap_or_default();
    assert!(query_pairs(query).count() <= query.len());
    if !query.contains('%') {
        assert_eq!(percent_decode(query).as_deref(), Some(query.as_bytes()));
    }
}

/// A stream of answers, to one of several requests.
pub(crate) fn response(data: &[u8]) {
    let mut input = Input::new(data);
    let (sizes, limits) = settings(&mut input);
    let (method, target) = match input.below(4) {
        0 => (Method::Head, "/"),
        1 => (Method::Connect, "a:1"),
        _ => (Method::Get, "/"),
    };
    let mut request = RequestHead::new(method, target, "a").expect("a good request");
    if input.chance() {
        request.fields.push("Upgrade", "a").expect("a good field");
    }
    check_answers(&request, input.rest(), &sizes, limits);
}

/// A chunked body, and one that is made of the same octets.
pub(crate) fn chunked(data: &[u8]) {
    let mut input = Input::new(data);
    let size = 1 + input.below(20);
    let stream = input.rest();
    let whole = decode(stream, stream.len().max(1));
    assert_eq!(decode(stream, size), whole);
    let (body, done, end) = whole;
    assert!(body.len() <= stream.len() && done <= stream.len());
    let around = usize::try_from(MAX_EXTENSIONS + MAX_TRAILERS).expect("small");
    if end == Ok(true) {
        assert!(done >= 5 && stream[..done].ends_with(b"\r\n"));
        // A chunk of one octet has six around it, and at most fifteen digits more.
        assert!(done <= 22 * (body.len() + 1) + around);
    }
    let mut octets = Vec::new();
    stream.chunks(size).for_each(|data| write_chunk(data, &mut octets));
    write_last_chunk(&mut octets);
    let length = octets.len();
    octets.extend_from_slice(stream);
    assert_eq!(decode(&octets, size), (stream.to_vec(), length, Ok(true)));
}

/// The body, how many octets were done with, and whether it ended.
fn decode(stream: &[u8], size: usize) -> (Vec<u8>, usize, Result<bool, Fault>) {
    let mut decoder = Decoder::new(Framing::Chunked);
    let (mut body, mut at, mut end) = (Vec::new(), 0, 0);
    loop {
        let (done, part) = match decoder.decode(&stream[at..end]) {
            Ok(decoded) => decoded,
            // How far it came is no matter where it failed.
            Err(fault) => return (body, 0, Err(fault)),
        };
        at += done;
        match part {
            Part::Data(data) => body.extend_from_slice(data),
            Part::More if end == stream.len() => return (body, at, Ok(false)),
            Part::More => end = (end + size).min(stream.len()),
            Part::End => return (body, at, Ok(true)),
        }
    }
}
