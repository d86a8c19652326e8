//! Good and bad messages with the section that says what they are, each as a
//! whole and octet by octet.

#![cfg(feature = "http")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, unreachable_pub)]

#[path = "common/http.rs"]
mod http;

use burgee::http::{Fault, Framing, Limits, Method, Phase, RequestHead};

use http::Told;

fn framing(framing: Framing) -> String {
    match framing {
        Framing::Length(length) => length.to_string(),
        Framing::Chunked => "chunked".into(),
        Framing::UntilClose => "close".into(),
        Framing::Tunnel => "tunnel".into(),
    }
}

/// `GET / 0 .` is a request with no body, `200 3 [abc] .` an answer with one,
/// `!Host` a fault, `~Truncated` one that shows at the end of the connection.
fn text(told: &[Told]) -> String {
    let words: Vec<String> = told
        .iter()
        .map(|told| match told {
            Told::Request(head, length) => {
                format!("{} {} {}", head.method, head.target.as_str(), framing(*length))
            }
            Told::Interim(head) => format!("({})", head.status),
            Told::Response(head, length) => format!("{} {}", head.status, framing(*length)),
            Told::Body(body) => format!("[{}]", body.escape_ascii()),
            Told::End => ".".into(),
            Told::Fault(fault) => format!("!{fault:?}"),
            Told::Cut(fault) => format!("~{fault:?}"),
        })
        .collect();
    words.join(" ")
}

fn check_requests(section: &str, input: &[u8], expected: &str) {
    for sizes in [&[0][..], &[1], &[2, 3, 7]] {
        let (told, phase) = http::server(input, sizes, Limits::default());
        let input = input.escape_ascii();
        assert_eq!(text(&told), expected, "{section}: {input} in pieces of {sizes:?}");
        assert_eq!(phase, Phase::Over);
    }
    for size in 1..9 {
        http::check_requests(input, &[size, 1, 3], Limits::default());
    }
}

fn check_answer(section: &str, method: &Method, input: &[u8], expected: &str) {
    let target = if *method == Method::Connect { "a:1" } else { "/" };
    let mut request = RequestHead::new(method.clone(), target, "a").unwrap();
    if *method == Method::Options {
        // Not that it is usual, but so that all four kinds of answer are asked for.
        request.fields.push("Upgrade", "websocket").unwrap();
    }
    for sizes in [&[0][..], &[1], &[2, 3, 7]] {
        let told = http::client(&request, input, sizes, Limits::default());
        let input = input.escape_ascii();
        assert_eq!(text(&told), expected, "{section}: {input} in pieces of {sizes:?}");
    }
    for size in 1..9 {
        http::check_answers(&request, input, &[size, 1, 3], Limits::default());
    }
}

/// Request lines; the fields are `Host: a`.
const REQUEST_LINES: &[(&str, &str, &str)] = &[
    ("9112 3", "GET / HTTP/1.1", "GET / 0 ."),
    ("9112 3.2.1", "GET /a/b?c=d&e HTTP/1.1", "GET /a/b?c=d&e 0 ."),
    ("9112 3.2.1", "GET /%7Ea/?%20 HTTP/1.1", "GET /%7Ea/?%20 0 ."),
    ("3986 3.4", "GET /?a=[1]|{2}\\^`\"<> HTTP/1.1", "GET /?a=[1]|{2}\\^`\"<> 0 ."),
    ("9112 3.2.1", "GET // HTTP/1.1", "GET // 0 ."),
    ("9110 9.1", "PROPFIND / HTTP/1.1", "PROPFIND / 0 ."),
    ("9110 9.1", "get / HTTP/1.1", "get / 0 ."),
    ("9110 9.1", "M-SEARCH_!#$%&'*+.^`|~1 / HTTP/1.1", "M-SEARCH_!#$%&'*+.^`|~1 / 0 ."),
    ("9112 3.2.2", "GET http://b/ HTTP/1.1", "GET http://b/ 0 ."),
    ("9112 3.2.2", "GET HTTPS://[::1]:8443?q HTTP/1.1", "GET HTTPS://[::1]:8443?q 0 ."),
    ("9112 3.2.3", "CONNECT a:443 HTTP/1.1", "CONNECT a:443 0 ."),
    ("9112 3.2.4", "OPTIONS * HTTP/1.1", "OPTIONS * 0 ."),
    ("9112 3.2.1", "OPTIONS / HTTP/1.1", "OPTIONS / 0 ."),
    ("9112 2.3", "GET / HTTP/1.0", "GET / 0 ."),
    ("9110 2.5", "GET / HTTP/1.2", "GET / 0 ."),
    ("9112 3", "GET /", "!RequestLine"),
    ("9112 3", "GET", "!RequestLine"),
    ("9112 3", "GET  HTTP/1.1", "!Target"),
    ("9112 3", "GET  / HTTP/1.1", "!RequestLine"),
    ("9112 3", "GET /  HTTP/1.1", "!RequestLine"),
    ("9112 3", " GET / HTTP/1.1", "!RequestLine"),
    ("9112 3", "GET / HTTP/1.1 ", "!RequestLine"),
    ("9112 3", "GET /a b HTTP/1.1", "!RequestLine"),
    ("9112 3", "GET\t/\tHTTP/1.1", "!RequestLine"),
    ("9112 3", "GET /\ta HTTP/1.1", "!Target"),
    ("9110 9.1", "G(T / HTTP/1.1", "!Method"),
    ("9110 9.1", "GET: / HTTP/1.1", "!Method"),
    ("9112 3", "METHODMETHODMETHODMETHODMETHODMET / HTTP/1.1", "!MethodTooLong"),
    ("9112 3.2", "GET a HTTP/1.1", "!Target"),
    ("9112 3.2", "GET a/b HTTP/1.1", "!Target"),
    ("9112 3.2", "GET ?a HTTP/1.1", "!Target"),
    ("9110 7.1", "GET /#top HTTP/1.1", "!Target"),
    ("9112 3.2", "GET /\u{e9} HTTP/1.1", "!Target"),
    ("9112 3.2.4", "GET * HTTP/1.1", "!Target"),
    ("9112 3.2.4", "OPTIONS ** HTTP/1.1", "!Target"),
    ("9112 3.2.3", "GET a:443 HTTP/1.1", "!Target"),
    ("9112 3.2.3", "CONNECT / HTTP/1.1", "!Target"),
    ("9112 3.2.3", "CONNECT a HTTP/1.1", "!Target"),
    ("9112 3.2.3", "CONNECT a: HTTP/1.1", "!Target"),
    ("9112 3.2.3", "CONNECT :1 HTTP/1.1", "!Target"),
    ("9112 3.2.3", "CONNECT [::1] HTTP/1.1", "!Target"),
    ("9112 3.2.3", "CONNECT u@a:1 HTTP/1.1", "!Target"),
    ("9112 3.2.3", "CONNECT http://a:1 HTTP/1.1", "!Target"),
    ("9110 4.2.1", "GET http:/// HTTP/1.1", "!Target"),
    ("9110 4.2.1", "GET http://:80/ HTTP/1.1", "!Target"),
    ("9110 4.2.4", "GET http://u:p@a/ HTTP/1.1", "!Target"),
    ("9112 3.2.2", "GET ftp://a/ HTTP/1.1", "!Target"),
    ("9112 3.2.2", "GET http:/a HTTP/1.1", "!Target"),
    ("9112 2.3", "GET / http/1.1", "!Version"),
    ("9112 2.3", "GET / HTTP/1", "!Version"),
    ("9112 2.3", "GET / HTTP/1.", "!Version"),
    ("9112 2.3", "GET / HTTP/01.1", "!Version"),
    ("9112 2.3", "GET / HTTP/1.01", "!Version"),
    ("9112 2.3", "GET / HTTP/1.10", "!Version"),
    ("9112 2.3", "GET / HTTP/1,1", "!Version"),
    ("9112 2.3", "GET / HTTP /1.1", "!RequestLine"),
    ("9112 2.3", "GET / HTP/1.1", "!Version"),
    ("9112 2.3", "GET / ICY/1.1", "!Version"),
    ("9110 15.6.6", "GET / HTTP/2.0", "!UnsupportedVersion"),
    ("9110 15.6.6", "GET / HTTP/0.9", "!UnsupportedVersion"),
    ("9110 15.6.6", "GET / HTTP/9.9", "!UnsupportedVersion"),
    ("9110 15.6.6", "PRI * HTTP/2.0", "!UnsupportedVersion"),
];

/// Fields of `GET / HTTP/1.1`, a `\n` for each end of line.
const REQUEST_FIELDS: &[(&str, &str, &str)] = &[
    ("9112 3.2", "Host: a", "GET / 0 ."),
    ("9112 3.2", "hOsT:a:80", "GET / 0 ."),
    ("9112 3.2", "Host: \t [2001:db8::1]:80 \t", "GET / 0 ."),
    ("9112 3.2", "Host: a_b.example.", "GET / 0 ."),
    ("9112 3.2", "Host: a\nHost: a", "!HostRepeated"),
    ("9112 3.2", "Host: a\nX: b\nhost: b", "!HostRepeated"),
    ("9112 3.2", "X: a", "!HostMissing"),
    ("9112 3.2", "Host:", "!Host"),
    ("9112 3.2", "Host: a b", "!Host"),
    ("9112 3.2", "Host: a, b", "!Host"),
    ("9112 3.2", "Host: a,b", "!Host"),
    ("9112 3.2", "Host: a/b", "!Host"),
    ("9112 3.2", "Host: u@a", "!Host"),
    ("9112 3.2", "Host: http://a", "!Host"),
    ("9112 3.2", "Host: a:b", "!Host"),
    ("9112 3.2", "Host: a:65536", "!Host"),
    ("9112 3.2", "Host: a:80:80", "!Host"),
    ("9112 3.2", "Host: ::1", "!Host"),
    ("9112 3.2", "Host: [::1", "!Host"),
    ("9112 3.2", "Host: [::1]x", "!Host"),
    ("9112 3.2", "Host: a#b", "!Host"),
    ("9112 3.2", "Host: a?b", "!Host"),
    ("9112 3.2", "Host: a\\b", "!Host"),
    ("9112 3.2", "Host: \"a\"", "!Host"),
    ("9112 3.2", "Host: \u{e9}", "!Host"),
    ("9112 5", "Host: a\nX:", "GET / 0 ."),
    ("9112 5", "Host: a\nX: \t ", "GET / 0 ."),
    ("9112 5", "Host: a\nX: b:c: d\te", "GET / 0 ."),
    ("9110 5.5", "Host: a\nX: \u{e9}", "GET / 0 ."),
    ("9112 5", "Host: a\nX", "!FieldName"),
    ("9112 5", "Host: a\n: b", "!FieldName"),
    ("9112 5.1", "Host: a\nX : b", "!FieldName"),
    ("9112 5.1", "Host : a", "!FieldName"),
    ("9112 5.1", "Host: a\nTransfer-Encoding : chunked", "!FieldName"),
    ("9112 5.1", "Host: a\nX\t: b", "!FieldName"),
    ("9112 5", "Host: a\nX Y: b", "!FieldName"),
    ("9112 5", "Host: a\nX[1]: b", "!FieldName"),
    ("9112 5", "Host: a\n\u{e9}: b", "!FieldName"),
    ("9112 5", "Host: a\n\"X\": b", "!FieldName"),
    ("9112 5.2", "Host: a\nX: b\n c", "!Folded"),
    ("9112 5.2", "Host: a\nX: b\n\tc: d", "!Folded"),
    ("9112 5.2", "Host: a\nTransfer-Encoding:\n chunked", "!Folded"),
    ("9112 5.2", "Host: a\n ", "!Folded"),
    ("9112 2.2", " Host: a", "!Folded"),
    ("9112 2.2", "\tX: b\nHost: a", "!Folded"),
    ("9110 5.5", "Host: a\nX: b\0c", "!Control"),
    ("9110 5.5", "Host: a\nX: b\x0bc", "!Control"),
    ("9110 5.5", "Host: a\nX: b\x7fc", "!Control"),
    ("9110 5.5", "Host: a\nX\0: b", "!Control"),
    ("9110 5.5", "Host: a\nX: b\x1b[2J", "!Control"),
    ("9112 2.2", "Host: a\nX: b\rc", "!LineEnd"),
    ("9112 2.2", "Host: a\nX: b\r", "!LineEnd"),
    ("9112 6.3", "Host: a\nContent-Length: 0", "GET / 0 ."),
    ("9112 6.2", "Host: a\nContent-Length: 12", "GET / 12 ~Truncated"),
    ("9112 6.2", "Host: a\nContent-Length:\t12 ", "GET / 12 ~Truncated"),
    (
        "9110 8.6",
        "Host: a\nContent-Length: 18446744073709551615",
        "GET / 18446744073709551615 ~Truncated",
    ),
    ("9110 8.6", "Host: a\nContent-Length: 18446744073709551616", "!ContentLength"),
    ("9110 8.6", "Host: a\nContent-Length: 99999999999999999999999999999", "!ContentLength"),
    ("9110 8.6", "Host: a\nContent-Length:", "!ContentLength"),
    ("9110 8.6", "Host: a\nContent-Length: +1", "!ContentLength"),
    ("9110 8.6", "Host: a\nContent-Length: -1", "!ContentLength"),
    ("9110 8.6", "Host: a\nContent-Length: -0", "!ContentLength"),
    ("9110 8.6", "Host: a\nContent-Length: 1_0", "!ContentLength"),
    ("9110 8.6", "Host: a\nContent-Length: 1 0", "!ContentLength"),
    ("9110 8.6", "Host: a\nContent-Length: 0x1", "!ContentLength"),
    ("9110 8.6", "Host: a\nContent-Length: 1.0", "!ContentLength"),
    ("9110 8.6", "Host: a\nContent-Length: 010", "!ContentLength"),
    ("9110 8.6", "Host: a\nContent-Length: \u{661}", "!ContentLength"),
    ("9110 8.6", "Host: a\nContent-Length: 1\nContent-Length: 2", "!ContentLengthRepeated"),
    ("9112 6.3", "Host: a\nContent-Length: 1\ncontent-length: 1", "!ContentLengthRepeated"),
    ("9112 6.3", "Host: a\nContent-Length: 1, 1", "!ContentLengthRepeated"),
    ("9112 6.3", "Host: a\nContent-Length: 1, 2", "!ContentLengthRepeated"),
    ("9112 6.1", "Host: a\nTransfer-Encoding: chunked", "GET / chunked ~Truncated"),
    ("9112 7", "Host: a\ntransfer-encoding: cHunKed", "GET / chunked ~Truncated"),
    ("9112 6.1", "Host: a\nTransfer-Encoding: chunked\nContent-Length: 1", "!BothLengths"),
    ("9112 6.1", "Host: a\nContent-Length: 0\nTransfer-Encoding: chunked", "!BothLengths"),
    ("9112 6.1", "Host: a\nContent-Length: x\nTransfer-Encoding: identity", "!BothLengths"),
    ("9112 6.3", "Host: a\nTransfer-Encoding: chunked, gzip", "!TransferEncoding"),
    ("9112 6.3", "Host: a\nTransfer-Encoding: gzip", "!TransferEncoding"),
    ("9112 6.3", "Host: a\nTransfer-Encoding: identity", "!TransferEncoding"),
    ("9112 6.3", "Host: a\nTransfer-Encoding: xchunked", "!TransferEncoding"),
    ("9112 6.3", "Host: a\nTransfer-Encoding: chunkedx", "!TransferEncoding"),
    ("9112 6.1", "Host: a\nTransfer-Encoding: chunked, chunked", "!TransferEncoding"),
    (
        "9112 6.1",
        "Host: a\nTransfer-Encoding: chunked\nTransfer-Encoding: chunked",
        "!TransferEncoding",
    ),
    (
        "9112 6.1",
        "Host: a\nTransfer-Encoding: chunked\nTransfer-Encoding: identity",
        "!TransferEncoding",
    ),
    ("9112 6.1", "Host: a\nTransfer-Encoding:", "!TransferEncoding"),
    ("9110 5.6.1", "Host: a\nTransfer-Encoding: , chunked", "!TransferEncoding"),
    ("9110 5.6.1", "Host: a\nTransfer-Encoding: chunked,", "!TransferEncoding"),
    ("9112 7", "Host: a\nTransfer-Encoding: chunked;q=1", "!TransferEncoding"),
    ("9112 7", "Host: a\nTransfer-Encoding: \"chunked\"", "!TransferEncoding"),
    ("9112 7", "Host: a\nTransfer-Encoding: chun ked", "!TransferEncoding"),
    ("9112 6.1", "Host: a\nTransfer-Encoding: \x0bchunked", "!Control"),
    ("9112 6.1", "Host: a\nTransfer-Encoding: gzip, chunked", "!UnknownTransferCoding"),
    (
        "9112 6.1",
        "Host: a\nTransfer-Encoding: gzip\nTransfer-Encoding: chunked",
        "!UnknownTransferCoding",
    ),
    ("9110 10.1.1", "Host: a\nExpect: 100-Continue", "GET / 0 ."),
    ("9110 10.1.1", "Host: a\nExpect: 200-ok", "!Expectation"),
    ("9110 10.1.1", "Host: a\nExpect:", "!Expectation"),
];

/// Bodies behind `Transfer-Encoding: chunked`.
const CHUNKED: &[(&str, &str, &str)] = &[
    ("9112 7.1", "0\r\n\r\n", "."),
    ("9112 7.1", "3\r\nabc\r\n0\r\n\r\n", "[abc] ."),
    ("9112 7.1", "3\r\nabc\r\n0C\r\ndefghijklmno\r\n000\r\n\r\n", "[abcdefghijklmno] ."),
    ("9112 7.1", "2\r\n\r\n\r\n0\r\n\r\n", "[\\r\\n] ."),
    ("9112 7.1", "0000000000000001\r\na\r\n0\r\n\r\n", "[a] ."),
    ("9112 7.1", "00000000000000001\r\na\r\n0\r\n\r\n", "!ChunkSize"),
    ("9112 7.1", "ffffffffffffffff\r\na", "[a] ~Truncated"),
    ("9112 7.1", "10000000000000000\r\na", "!ChunkSize"),
    ("9112 7.1", "\r\n", "!ChunkSize"),
    ("9112 7.1", " 1\r\na\r\n", "!ChunkSize"),
    ("9112 7.1", "0x1\r\na\r\n", "!ChunkSize"),
    ("9112 7.1", "-1\r\na\r\n", "!ChunkSize"),
    ("9112 7.1", "+1\r\na\r\n", "!ChunkSize"),
    ("9112 7.1", "1_0\r\n", "!ChunkSize"),
    ("9112 7.1", "g\r\n", "!ChunkSize"),
    ("9112 7.1", "1\0\r\na\r\n", "!ChunkSize"),
    ("9112 7.1", ";a\r\n", "!ChunkSize"),
    ("9112 2.2", "1\na\r\n", "!ChunkEnd"),
    ("9112 2.2", "1\ra\r\n", "!ChunkEnd"),
    ("9112 2.2", "1\r\na\n", "[a] !ChunkEnd"),
    ("9112 2.2", "1\r\na\r0", "[a] !ChunkEnd"),
    ("9112 7.1", "1\r\nab\r\n", "[a] !ChunkEnd"),
    ("9112 7.1", "1\r\na0\r\n\r\n", "[a] !ChunkEnd"),
    ("9112 7.1", "1\r\na\r\n", "[a] ~Truncated"),
    ("9112 7.1", "1\r\na\r\n0\r\n", "[a] ~Truncated"),
    ("9112 7.1.1", "1;a\r\na\r\n0;b\r\n\r\n", "[a] ."),
    ("9112 7.1.1", "1 ; a = b ;c=\"d\\\"\\\\ \t\u{e9};\"\t;e\r\na\r\n0\r\n\r\n", "[a] ."),
    ("9112 7.1.1", "1;\r\n", "!ChunkExtension"),
    ("9112 7.1.1", "1;;a\r\n", "!ChunkExtension"),
    ("9112 7.1.1", "1;=a\r\n", "!ChunkExtension"),
    ("9112 7.1.1", "1;a=\r\n", "!ChunkExtension"),
    ("9112 7.1.1", "1;a=b=c\r\n", "!ChunkExtension"),
    ("9112 7.1.1", "1;a b\r\n", "!ChunkExtension"),
    ("9112 7.1.1", "1 \r\na\r\n", "!ChunkExtension"),
    ("9112 7.1.1", "1 a\r\n", "!ChunkExtension"),
    ("9112 7.1.1", "1;a=\"b\r\n", "!ChunkExtension"),
    ("9112 7.1.1", "1;a=\"b\"c\r\n", "!ChunkExtension"),
    ("9112 7.1.1", "1;a\n", "!ChunkExtension"),
    ("9112 7.1.1", "1;a=b\nc\r\n", "!ChunkExtension"),
    ("9112 7.1.1", "1;a=\"\n\"\r\n", "!ChunkExtension"),
    ("9112 7.1.1", "1;a\rb\r\n", "!ChunkEnd"),
    ("9112 7.1.1", "1;a\0\r\n", "!ChunkExtension"),
    ("9112 7.1.2", "0\r\nA: b\r\nC:\r\n\r\n", "."),
    ("9112 7.1.2", "0\r\nContent-Length: 5\r\nHost: evil\r\n\r\n", "."),
    ("9112 7.1.2", "0\r\nA\r\n\r\n", "!Trailer"),
    ("9112 7.1.2", "0\r\nA : b\r\n\r\n", "!Trailer"),
    ("9112 7.1.2", "0\r\n: b\r\n\r\n", "!Trailer"),
    ("9112 7.1.2", "0\r\nA: b\r\n c\r\n\r\n", "!Trailer"),
    ("9112 7.1.2", "0\r\nA: b\n\r\n", "!Trailer"),
    ("9112 7.1.2", "0\r\nA: \0\r\n\r\n", "!Trailer"),
    ("9112 7.1", "0\r\n\n", "!Trailer"),
    ("9112 7.1", "0\r\n\r\r", "!Trailer"),
];

/// Whole streams of requests.
const REQUESTS: &[(&str, &str, &str)] = &[
    ("9112 9.8", "", ""),
    ("9112 2.2", "\r\nGET / HTTP/1.0\r\n\r\n", "GET / 0 ."),
    ("9112 2.2", "\r\n\r\nGET / HTTP/1.0\r\n\r\n", "!RequestLine"),
    ("9112 2.2", "\nGET / HTTP/1.0\r\n\r\n", "!LineEnd"),
    ("9112 2.2", "GET / HTTP/1.0\n\n", "!LineEnd"),
    ("9112 2.2", "GET / HTTP/1.0\r\rHost: a\r\r", "!LineEnd"),
    ("9112 2.2", "GET / HTTP/1.1\r\nHost: a\n\r\n", "!LineEnd"),
    ("9112 2.2", "GET / HTTP/1.1\r\nHost: a\r\n\n", "!LineEnd"),
    ("9112 2.2", "\x16\x03\x01\x02\0", "!Control"),
    ("9112 8", "GET / HTTP/1.0\r\n", "~Truncated"),
    ("9112 8", "G", "~Truncated"),
    ("9112 3.2", "GET / HTTP/1.0\r\nHost: a\r\nHost: b\r\n\r\n", "!HostRepeated"),
    ("9112 3.2", "GET / HTTP/1.0\r\nHost: a b\r\n\r\n", "!Host"),
    ("9112 3.2.2", "GET http://b/ HTTP/1.1\r\n\r\n", "!HostMissing"),
    (
        "9112 6.1",
        "GET / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n",
        "!TransferEncodingTooEarly",
    ),
    ("9112 6.3", "POST / HTTP/1.0\r\nContent-Length: 2\r\n\r\nabGET /", "POST / 2 [ab] ."),
    ("9110 10.1.1", "GET / HTTP/1.0\r\nExpect: what\r\n\r\n", "GET / 0 ."),
    ("9110 9.3.8", "TRACE / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\na", "!TraceContent"),
    (
        "9112 9.3",
        "GET /1 HTTP/1.1\r\nHost: a\r\n\r\nPOST /2 HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc\
         GET /3 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\nGET /4 HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET /1 0 . POST /2 3 [abc] . GET /3 0 .",
    ),
    (
        "9112 9.3",
        "GET /1 HTTP/1.0\r\nConnection: keep-alive\r\n\r\nGET /2 HTTP/1.0\r\n\r\nGET /3",
        "GET /1 0 . GET /2 0 .",
    ),
    (
        "9112 9.3",
        "GET /1 HTTP/1.1\r\nHost: a\r\nConnection: x, ,CLOSE\r\nConnection: y\r\n\r\nGET /2",
        "GET /1 0 .",
    ),
    (
        "9112 6.3",
        "GET /1 HTTP/1.1\r\nHost: a\r\n\r\n\r\nGET /2 HTTP/1.1\r\nHost: a\r\n\r\n\0",
        "GET /1 0 . GET /2 0 . !Control",
    ),
    (
        "9112 6.3",
        "HEAD /1 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /2 HTTP/1.0\r\n\r\n",
        "HEAD /1 chunked . GET /2 0 .",
    ),
    ("9110 9.3.6", "CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\nGET / HTTP/1.1\r\n", "CONNECT a:1 0 ."),
];

/// Status lines; the field is `Content-Length: 0`.
const STATUS_LINES: &[(&str, &str, &str)] = &[
    ("9112 4", "HTTP/1.1 200 OK", "200 0 ."),
    ("9112 4", "HTTP/1.1 200 ", "200 0 ."),
    ("9112 4", "HTTP/1.1 200", "200 0 ."),
    ("9112 4", "HTTP/1.1 200  not\tquite \u{e9}", "200 0 ."),
    ("9112 4", "HTTP/1.0 599 ", "599 0 ."),
    ("9110 2.5", "HTTP/1.9 200 OK", "200 0 ."),
    ("9112 4", "HTTP/1.1", "!StatusLine"),
    ("9112 4", "HTTP/1.1 ", "!StatusLine"),
    ("9112 4", "HTTP/1.1 OK", "!StatusLine"),
    ("9112 4", "HTTP/1.1 20", "!StatusLine"),
    ("9112 4", "HTTP/1.1 2000", "!StatusLine"),
    ("9112 4", "HTTP/1.1 0200 OK", "!StatusLine"),
    ("9112 4", "HTTP/1.1 +20 OK", "!StatusLine"),
    ("9112 4", "HTTP/1.1  200 OK", "!StatusLine"),
    ("9112 4", "HTTP/1.1\t200 OK", "!Version"),
    ("9112 4", "HTTP/1.1 200\tOK", "!StatusLine"),
    ("9112 4", "HTTP/1.1 200 \0", "!Control"),
    ("9110 15", "HTTP/1.1 099 ", "!Status"),
    ("9110 15", "HTTP/1.1 600 ", "!Status"),
    ("9110 15", "HTTP/1.1 999 ", "!Status"),
    ("9112 2.3", "HTTP/2.0 200 OK", "!UnsupportedVersion"),
    ("9112 2.3", "HTTP/2 200 OK", "!Version"),
    ("9112 2.3", "http/1.1 200 OK", "!Version"),
    ("9112 2.3", "ICY 200 OK", "!Version"),
    ("9112 2.3", "200 OK", "!Version"),
    ("9112 2.3", "<html>hello", "!Version"),
    ("9112 2.2", "", "!StatusLine"),
];

/// Whole streams of answers, and the method of the request.
const ANSWERS: &[(&str, Method, &str, &str)] = &[
    ("9112 6.3", Method::Get, "HTTP/1.1 200 \r\nContent-Length: 3\r\n\r\nabc", "200 3 [abc] ."),
    (
        "9112 8",
        Method::Get,
        "HTTP/1.1 200 \r\nContent-Length: 3\r\n\r\nab",
        "200 3 [ab] ~Truncated",
    ),
    ("9112 6.3", Method::Get, "HTTP/1.1 200 \r\n\r\nabc", "200 close [abc] ."),
    ("9112 6.3", Method::Get, "HTTP/1.0 200 \r\n\r\n", "200 close ."),
    (
        "9112 7.1",
        Method::Get,
        "HTTP/1.1 200 \r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\nA: b\r\n\r\n",
        "200 chunked [a] .",
    ),
    (
        "9112 8",
        Method::Get,
        "HTTP/1.1 200 \r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n",
        "200 chunked [a] ~Truncated",
    ),
    (
        "9112 7.1",
        Method::Get,
        "HTTP/1.1 200 \r\nTransfer-Encoding: chunked\r\n\r\n1\na\r\n0\r\n",
        "200 chunked !ChunkEnd",
    ),
    (
        "9112 6.1",
        Method::Get,
        "HTTP/1.1 200 \r\nTransfer-Encoding: chunked\r\nContent-Length: 1\r\n\r\n",
        "!BothLengths",
    ),
    (
        "9112 6.1",
        Method::Get,
        "HTTP/1.0 200 \r\nTransfer-Encoding: chunked\r\n\r\n",
        "!TransferEncodingTooEarly",
    ),
    (
        "9112 6.3",
        Method::Get,
        "HTTP/1.1 200 \r\nTransfer-Encoding: gzip\r\n\r\n",
        "!TransferEncoding",
    ),
    (
        "9112 6.3",
        Method::Get,
        "HTTP/1.1 200 \r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        "!ContentLengthRepeated",
    ),
    ("9110 8.6", Method::Get, "HTTP/1.1 200 \r\nContent-Length: a\r\n\r\n", "!ContentLength"),
    ("9112 6.3", Method::Head, "HTTP/1.1 200 \r\nContent-Length: 3\r\n\r\n", "200 0 ."),
    ("9112 6.3", Method::Head, "HTTP/1.1 200 \r\nTransfer-Encoding: chunked\r\n\r\n", "200 0 ."),
    ("9112 6.3", Method::Head, "HTTP/1.1 200 \r\nContent-Length: 1\r\n\r\na", "200 0 . !Unasked"),
    ("9112 6.3", Method::Head, "HTTP/1.1 200 \r\nContent-Length: -1\r\n\r\n", "!ContentLength"),
    ("9112 6.3", Method::Get, "HTTP/1.1 204 \r\nContent-Length: 3\r\n\r\n", "204 0 ."),
    ("9112 6.3", Method::Get, "HTTP/1.1 204 \r\n\r\na", "204 0 . !Unasked"),
    ("9112 6.3", Method::Get, "HTTP/1.1 304 \r\nContent-Length: 3\r\n\r\n", "304 0 ."),
    (
        "9112 9.2",
        Method::Get,
        "HTTP/1.1 200 \r\nContent-Length: 1\r\n\r\naHTTP/1.1 200 \r\n\r\n",
        "200 1 [a] . !Unasked",
    ),
    (
        "9110 15.2",
        Method::Get,
        "HTTP/1.1 100 \r\n\r\nHTTP/1.1 103 \r\nLink: a\r\n\r\nHTTP/1.1 200 \r\nContent-Length: 0\r\n\r\n",
        "(100) (103) 200 0 .",
    ),
    ("9110 15.2", Method::Get, "HTTP/1.1 100 \r\n\r\n", "(100) ~Truncated"),
    (
        "9110 15.2.2",
        Method::Get,
        "HTTP/1.1 101 \r\nUpgrade: a\r\nConnection: upgrade\r\n\r\n",
        "!UnaskedSwitch",
    ),
    ("9110 15.2.2", Method::Options, "HTTP/1.1 101 \r\nUpgrade: a\r\n\r\n", "!UnaskedSwitch"),
    (
        "9110 15.2.2",
        Method::Options,
        "HTTP/1.1 101 \r\nConnection: upgrade\r\n\r\n",
        "!UnaskedSwitch",
    ),
    (
        "9110 7.8",
        Method::Options,
        "HTTP/1.1 101 \r\nUpgrade: a\r\nConnection: Upgrade\r\n\r\n\x01\x02",
        "101 tunnel [\\x01\\x02] .",
    ),
    ("9110 7.8", Method::Options, "HTTP/1.1 200 \r\nContent-Length: 0\r\n\r\n", "200 0 ."),
    (
        "9110 9.3.6",
        Method::Connect,
        "HTTP/1.1 200 \r\nContent-Length: 9\r\n\r\nab",
        "200 tunnel [ab] .",
    ),
    ("9110 9.3.6", Method::Connect, "HTTP/1.1 407 \r\nContent-Length: 1\r\n\r\na", "407 1 [a] ."),
    ("9112 2.2", Method::Get, "HTTP/1.1 200 \nContent-Length: 0\n\n", "!LineEnd"),
    ("9112 5.1", Method::Get, "HTTP/1.1 200 \r\nA : b\r\n\r\n", "!FieldName"),
    ("9112 5.2", Method::Get, "HTTP/1.1 200 \r\nA: b\r\n c\r\n\r\n", "!Folded"),
    ("9110 5.5", Method::Get, "HTTP/1.1 200 \r\nA: \0\r\n\r\n", "!Control"),
    ("9112 8", Method::Get, "HTTP/1.1 200 \r\n", "~Truncated"),
    ("9112 8", Method::Get, "", "~Truncated"),
];

#[test]
fn request_lines() {
    for (section, line, expected) in REQUEST_LINES {
        let input = format!("{line}\r\nHost: a\r\n\r\n");
        check_requests(section, input.as_bytes(), expected);
    }
}

#[test]
fn request_fields() {
    for (section, fields, expected) in REQUEST_FIELDS {
        let fields = fields.replace('\n', "\r\n");
        check_requests(section, format!("GET / HTTP/1.1\r\n{fields}\r\n\r\n").as_bytes(), expected);
    }
}

#[test]
fn chunked_bodies() {
    let head = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
    for (section, body, expected) in CHUNKED {
        let input = format!("{head}{body}");
        check_requests(section, input.as_bytes(), &format!("POST / chunked {expected}"));
    }
}

#[test]
fn streams_of_requests() {
    for (section, input, expected) in REQUESTS {
        check_requests(section, input.as_bytes(), expected);
    }
}

#[test]
fn status_lines() {
    for (section, line, expected) in STATUS_LINES {
        let input = format!("{line}\r\nContent-Length: 0\r\n\r\n");
        check_answer(section, &Method::Get, input.as_bytes(), expected);
    }
}

#[test]
fn streams_of_answers() {
    for (section, method, input, expected) in ANSWERS {
        check_answer(section, method, input.as_bytes(), expected);
    }
}

#[test]
fn faults_have_the_status_of_their_rfc() {
    for (section, fault, status) in [
        ("9112 3", Fault::TargetTooLong, 414),
        ("9112 3", Fault::MethodTooLong, 501),
        ("9112 3", Fault::RequestLine, 400),
        ("9112 3.2", Fault::HostMissing, 400),
        ("9112 6.1", Fault::UnknownTransferCoding, 501),
        ("9112 6.3", Fault::BothLengths, 400),
        ("9110 10.1.1", Fault::Expectation, 417),
        ("6585 5", Fault::HeadTooLong, 431),
        ("6585 5", Fault::TooManyFields, 431),
        ("9110 15.6.6", Fault::UnsupportedVersion, 505),
    ] {
        assert_eq!(fault.status(), status, "{section}");
    }
}

/// Of each bound: what just fits, and what does not.
#[test]
fn bounds_are_exact() {
    let start = |length: usize| format!("GET /{} HTTP/1.0\r\n\r\n", "a".repeat(length - 14));
    let get = "GET / HTTP/1.0\r\n";
    let head = |length: usize| format!("{get}A: {}\r\n\r\n", "b".repeat(length - get.len() - 7));
    let fields = |count: usize| format!("{get}{}\r\n", "A: b\r\n".repeat(count));
    for (at, input, fault) in [
        ("start line", start(8192), None),
        ("start line", start(8193), Some(Fault::TargetTooLong)),
        ("start line", "G".repeat(8193), Some(Fault::TargetTooLong)),
        ("head", head(16_384), None),
        ("head", head(16_385), Some(Fault::HeadTooLong)),
        ("head", head(40_000), Some(Fault::HeadTooLong)),
        ("fields", fields(100), None),
        ("fields", fields(101), Some(Fault::TooManyFields)),
    ] {
        for sizes in [&[0][..], &[1], &[4096], &[16_383, 1]] {
            let (told, _) = http::server(input.as_bytes(), sizes, Limits::default());
            let found = told.iter().find_map(|told| match told {
                Told::Fault(fault) => Some(*fault),
                _ => None,
            });
            assert_eq!(found, fault, "{at} of {} octets in {sizes:?}", input.len());
        }
    }
    let chunked = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
    let extended = |length: usize| format!("{chunked}0;{}\r\n\r\n", "a".repeat(length));
    let trailed = |length: usize| format!("{chunked}0\r\nA:{}\r\n\r\n", "b".repeat(length - 4));
    for (input, fault) in [
        (extended(4096), None),
        (extended(4097), Some(Told::Fault(Fault::ExtensionsTooLong))),
        (trailed(8192), None),
        (trailed(8193), Some(Told::Fault(Fault::TrailersTooLong))),
    ] {
        let (told, _) = http::server(input.as_bytes(), &[0], Limits::default());
        assert_eq!(told.get(1), fault.as_ref().or(Some(&Told::End)));
    }
    // The extensions of all chunks count together.
    let long = format!("{chunked}{}", format!("1;{}\r\na\r\n", "a".repeat(99)).repeat(50));
    let (told, _) = http::server(long.as_bytes(), &[0], Limits::default());
    assert_eq!(told.last(), Some(&Told::Fault(Fault::ExtensionsTooLong)));
    let get = RequestHead::new(Method::Get, "/", "a").unwrap();
    for (count, last) in
        [(16, Told::Cut(Fault::Truncated)), (17, Told::Fault(Fault::TooManyInterim))]
    {
        let input = "HTTP/1.1 100 \r\n\r\n".repeat(count);
        let told = http::client(&get, input.as_bytes(), &[0], Limits::default());
        assert_eq!(told.last(), Some(&last));
    }
}

/// The tables are as large as they are said to be, and nothing is in them twice.
#[test]
fn there_are_many_cases_and_each_once() {
    let mut all: Vec<(usize, &str)> = Vec::new();
    for (table, rows) in
        [REQUEST_LINES, REQUEST_FIELDS, CHUNKED, REQUESTS, STATUS_LINES].into_iter().enumerate()
    {
        all.extend(rows.iter().map(|(_, input, _)| (table, *input)));
    }
    let count = all.len();
    all.sort_unstable();
    all.dedup();
    assert_eq!(all.len(), count);
    assert!(count + ANSWERS.len() >= 250, "{count}");
}
