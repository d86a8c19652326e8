//! Replays the inputs of `tests/corpus`, which fuzzing found to reach different
//! code, with the checks of `fuzz/src`. A failing input is named.

#![allow(unreachable_pub, clippy::panic, clippy::unwrap_used, clippy::expect_used)]

#[path = "../fuzz/src/lib.rs"]
#[allow(dead_code)]
mod fuzzing;

use std::path::{Path, PathBuf};

use burgee::proxy::client_hello::{ClientHello, HelloReader, Progress};
use burgee::proxy::proxy_header::{Decoded, Version, decode};

/// Names the input when a check fails, and only then.
struct Named(PathBuf);

impl Drop for Named {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("the input is {}", self.0.display());
        }
    }
}

fn replay(target: &str) {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus").join(target);
    let entries = std::fs::read_dir(&directory).expect("a corpus");
    let mut inputs: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    inputs.sort();
    assert!(inputs.len() >= 5, "{} inputs for {target}", inputs.len());
    for path in inputs {
        let data = std::fs::read(&path).expect("an input");
        let named = Named(path);
        fuzzing::run(target, &data);
        drop(named);
    }
}

#[test]
fn every_target_has_a_test_and_a_program() {
    let programs = std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/fuzz/fuzz_targets"));
    assert_eq!(programs.expect("programs").count(), fuzzing::TARGETS.len());
    let this = include_str!("corpus.rs");
    for (target, _) in fuzzing::TARGETS {
        assert!(this.contains(&format!("replay(\"{target}\")")), "no test for {target}");
    }
}

#[test]
fn headers() {
    replay("header");
}

#[test]
fn opens() {
    replay("open");
}

#[test]
fn updates() {
    replay("update");
}

#[test]
fn notifications() {
    replay("notification");
}

#[test]
fn route_refreshes() {
    replay("route_refresh");
}

#[test]
fn bfd_packets() {
    replay("bfd");
}

#[test]
fn configurations() {
    replay("configuration");
}

#[test]
fn route_commands() {
    replay("routes");
}

#[test]
fn sessions() {
    replay("session");
}

#[test]
fn pairs_of_speakers() {
    replay("pair");
}

#[test]
fn proxy_headers() {
    replay("proxy_header");
}

#[test]
fn client_hellos() {
    replay("client_hello");
}

#[test]
fn access_logs() {
    replay("access_log");
}

#[test]
fn limits() {
    replay("limits");
}

#[test]
fn names() {
    replay("dns");
}

#[test]
fn http_requests() {
    replay("http_request");
}

#[test]
fn http_answers() {
    replay("http_response");
}

#[test]
fn chunked_bodies() {
    replay("http_chunked");
}

fn recorded_hello(octets: &[u8]) -> ClientHello {
    match HelloReader::new().read(octets) {
        Progress::Hello(hello) => hello,
        other => panic!("{other:?}"),
    }
}

/// What the clients were asked to say: name, protocols, versions.
#[test]
fn hellos_of_real_clients_say_what_they_were_asked_for() {
    macro_rules! recorded {
        ($name:literal) => {
            recorded_hello(include_bytes!(concat!("corpus/client_hello/", $name)))
        };
    }
    let all = &[0x0304, 0x0303, 0x0302, 0x0301][..];
    let h2 = &["h2", "http/1.1"][..];
    for (hello, name, protocols, versions) in [
        (recorded!("openssl-tls13"), Some("www.example.com"), h2, all),
        (recorded!("openssl-tls12"), Some("a.example"), &[], &[0x0303]),
        (recorded!("openssl-tls11"), Some("a.example"), &[], &[0x0302]),
        (recorded!("openssl-tls10"), Some("a.example"), &[], &[0x0301]),
        (recorded!("openssl-no-name"), None, &[], all),
        (recorded!("openssl-only-tls13"), Some("b.example"), &[], &[0x0304]),
        (recorded!("openssl-early-data"), Some("early.example"), &[], all),
        (recorded!("curl-h2"), Some("curl.example"), h2, all),
        (recorded!("curl-http1"), Some("curl.example"), &["http/1.1"], &[0x0303]),
        (recorded!("curl-address"), None, h2, all),
    ] {
        assert_eq!(hello.server_name.as_deref(), name);
        assert!(
            hello.alpn.iter().map(|it| it.as_slice()).eq(protocols.iter().map(|it| it.as_bytes()))
        );
        assert_eq!(hello.versions, versions);
    }
}

#[test]
fn a_real_hello_in_several_records_is_put_together() {
    let octets = include_bytes!("corpus/client_hello/openssl-fragments");
    assert_eq!(octets[3..5], [2, 0], "its first record has 512 octets");
    let hello = recorded_hello(octets);
    assert_eq!(hello.server_name.as_deref(), Some("fragments.example"));
    assert_eq!(hello.alpn.len(), 120);
    assert_eq!(hello.alpn.last().map(|it| it.as_slice()), Some(&b"protocol-119"[..]));
}

#[test]
fn headers_of_other_programs_are_read() {
    macro_rules! recorded {
        ($name:literal) => {
            &include_bytes!(concat!("corpus/proxy_header/", $name))[..]
        };
    }
    // HAProxy was asked for a checksum in both, and for a name of the connection.
    let (v2, v6) = (recorded!("haproxy-v2"), recorded!("haproxy-v2-ipv6"));
    let id = &b"7F000001:E306_6B04B239"[..];
    for (octets, version, source, id, rest) in [
        (recorded!("curl-haproxy-protocol"), Version::V1, "127.0.0.1:37084", None, &b"GET /"[..]),
        (v2, Version::V2, "127.0.0.1:58118", Some(id), b"hello"),
        (v6, Version::V2, "[::1]:59298", None, b"hello"),
    ] {
        let Decoded::Header(header) = decode(octets) else { panic!("{:?}", decode(octets)) };
        assert_eq!((header.version, header.unique_id), (version, id));
        assert_eq!(header.endpoints.map(|ends| ends.source.to_string()).as_deref(), Some(source));
        assert!(octets[header.length..].starts_with(rest));
    }
}
