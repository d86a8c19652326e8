//! What clients say first, and what targets are told of them.

use super::*;
use crate::proxy::proxy_header::{HeaderPolicy, Mode, TrustedSources};

const V1: &[u8] = b"PROXY TCP4 203.0.113.7 198.51.100.9 51000 443\r\n";

fn header(mode: Mode, trusted: TrustedSources) -> HeaderSettings {
    HeaderSettings { policy: HeaderPolicy { mode, trusted }, timeout: Duration::from_millis(40) }
}

fn listening(change: impl FnOnce(&mut ListenerSettings)) -> ProxySettings {
    let mut settings = settings();
    change(&mut settings.listeners[0]);
    settings
}

fn strict() -> ProxySettings {
    listening(|it| it.header = Some(header(Mode::Strict, TrustedSources::everybody())))
}

fn lenient() -> ProxySettings {
    listening(|it| it.header = Some(header(Mode::Lenient, TrustedSources::everybody())))
}

/// With a long time for the hello, or a short one.
fn names(hello: Duration) -> ProxySettings {
    listening(|it| it.hello_timeout = Some(hello))
}

const LONG: Duration = Duration::from_secs(60);

/// A ClientHello for this name, in one record (RFC 8446 §4.1.2, RFC 6066 §3).
pub(super) fn client_hello(name: &str) -> Vec<u8> {
    let sized = |octets: &[u8]| [&(octets.len() as u16).to_be_bytes(), octets].concat();
    let entry = [&[0][..], &sized(name.as_bytes())].concat();
    let extension = [&[0, 0][..], &sized(&sized(&entry))].concat();
    let body =
        [&[3, 3][..], &[7; 32], &[0], &[0, 2, 0x13, 1], &[1, 0], &sized(&extension)].concat();
    let message = [&[1, 0][..], &sized(&body)].concat();
    [&[22, 3, 1][..], &sized(&message)].concat()
}

fn accept(lab: &mut Lab, backend: &StdListener) -> Peer {
    let mut accepted = None;
    lab.until("the target is dialled", |_| {
        accepted = accepted.take().or_else(|| backend.accept().ok());
        accepted.is_some()
    });
    Peer::new(accepted.unwrap().0)
}

#[test]
fn a_header_names_the_client_and_is_not_passed_on() {
    let (backend, address) = backend();
    let mut lab = Lab::new(&strict(), &[address]);
    let mut client = lab.client();
    client.send(&[V1, b"hello"].concat());
    let mut target = accept(&mut lab, &backend);
    lab.until("only what is behind it arrives", |_| target.saw(b"hello"));
    let source = lab.house.choice.picks[0].1;
    assert_eq!(source.to_string(), "203.0.113.7:51000");
    drop((client, target));
    lab.assert_empty();
}

#[test]
fn a_header_and_a_hello_may_come_octet_by_octet() {
    let (backend, address) = backend();
    let settings = listening(|it| {
        let mut strict = header(Mode::Strict, TrustedSources::everybody());
        strict.timeout = LONG;
        it.header = Some(strict);
        it.hello_timeout = Some(LONG);
    });
    let mut lab = Lab::new(&settings, &[address]);
    let mut client = lab.client();
    let hello = client_hello("www.example.com");
    for octet in [V1, &hello].concat() {
        assert!(lab.house.choice.picks.is_empty());
        client.send(&[octet]);
        lab.turns(2);
    }
    let mut target = accept(&mut lab, &backend);
    lab.until("the hello arrives whole", |_| target.saw(&hello));
    assert_eq!(lab.house.choice.names, [Some("www.example.com".to_owned())]);
    drop((client, target));
    lab.assert_empty();
}

#[test]
fn what_follows_a_hello_at_once_is_passed_on() {
    let (backend, address) = backend();
    let mut lab = Lab::new(&names(LONG), &[address]);
    let mut client = lab.client();
    let early = [client_hello("a.example"), pattern(20_000)].concat();
    client.send(&early);
    client.end();
    let mut target = accept(&mut lab, &backend);
    lab.until("all of it and the end", |_| target.saw_end());
    assert_eq!(target.seen, early);
    target.send(b"answer");
    drop(target);
    lab.until("and the answer", |_| client.saw_end());
    assert_eq!(client.seen, b"answer");
    lab.assert_empty();
}

#[test]
fn without_a_hello_a_client_is_closed_and_costs_no_dial() {
    let mut lab = Lab::new(&names(Duration::from_millis(40)), &[refusing()]);
    let mut silent = lab.client();
    lab.until("in time", |_| silent.saw_end());
    let mut half = lab.client();
    half.send(&client_hello("a.example")[..20]);
    lab.until("with half of one", |_| half.saw_end());
    let mut other = lab.client();
    other.send(b"GET / HTTP/1.1\r\n\r\n");
    lab.until("with another protocol", |_| other.saw_end());
    let mut ended = lab.client();
    ended.end();
    lab.until("with an end", |_| ended.saw_end());
    assert_eq!(lab.counters().no_hello, 4);
    assert!(lab.house.choice.picks.is_empty());
    lab.assert_empty();
}

#[test]
fn a_server_that_speaks_first_is_heard_when_no_header_came_in_time() {
    let (backend, address) = backend();
    let mut lab = Lab::new(&lenient(), &[address]);
    let mut client = lab.client();
    let mut target = accept(&mut lab, &backend);
    target.send(b"220 ready");
    lab.until("the greeting arrives", |_| client.saw(b"220 ready"));
    client.send(b"PRO");
    lab.until("what looks like one later is the client's", |_| target.saw(b"PRO"));
    drop((client, target));
    lab.assert_empty();
}

#[test]
fn what_is_no_header_is_the_client_s_own_unless_one_must_come() {
    let (backend, address) = backend();
    let mut lab = Lab::new(&lenient(), &[address]);
    let mut client = lab.client();
    client.send(b"GET /");
    let mut target = accept(&mut lab, &backend);
    lab.until("it arrives", |_| target.saw(b"GET /"));
    let mut lab = Lab::new(&strict(), &[address]);
    for octets in [&b"GET /"[..], b"PROXY TCP4 nonsense\r\n", b""] {
        let mut client = lab.client();
        client.send(octets);
        lab.until("it is closed", |_| client.saw_end());
    }
    assert_eq!(lab.counters().no_header, 3);
    lab.assert_empty();
}

#[test]
fn a_stranger_s_header_is_not_believed() {
    let trusted = TrustedSources::parse("192.0.2.0/24").unwrap();
    let (backend, address) = backend();
    let lenient = listening(|it| it.header = Some(header(Mode::Lenient, trusted.clone())));
    let mut lab = Lab::new(&lenient, &[address]);
    let mut client = lab.client();
    client.send(V1);
    let mut target = accept(&mut lab, &backend);
    lab.until("it is passed on", |_| target.saw(V1));
    assert!(lab.house.choice.picks[0].1.ip().is_loopback());
    let strict = listening(|it| it.header = Some(header(Mode::Strict, trusted)));
    let mut lab = Lab::new(&strict, &[address]);
    let mut client = lab.client();
    lab.until("it is closed before it says anything", |_| client.saw_end());
    assert_eq!(lab.counters().no_header, 1);
    lab.assert_empty();
}

#[test]
fn a_target_is_told_of_the_client_before_anything_else() {
    let (backend, address) = backend();
    let mut lab = Lab::new(&settings(), &[address]);
    lab.house.choice.header = Some(Version::V1);
    let mut client = lab.client();
    client.send(b"hello");
    let mut target = accept(&mut lab, &backend);
    let (from, to) = (client.stream.local_addr().unwrap(), client.stream.peer_addr().unwrap());
    let line =
        format!("PROXY TCP4 {} {} {} {}\r\nhello", from.ip(), to.ip(), from.port(), to.port());
    lab.until("the line comes first", |_| target.saw(line.as_bytes()));
    drop((client, target));
    lab.assert_empty();
}

#[test]
fn a_target_is_told_what_a_header_told_and_the_name() {
    let (backend, address) = backend();
    let settings = listening(|it| {
        it.header = Some(header(Mode::Strict, TrustedSources::everybody()));
        it.hello_timeout = Some(LONG);
    });
    let mut lab = Lab::new(&settings, &[address]);
    lab.house.choice.header = Some(Version::V2);
    let mut client = lab.client();
    let hello = client_hello("a.example");
    client.send(&[V1, &hello].concat());
    let mut target = accept(&mut lab, &backend);
    lab.until("header and hello", |_| {
        target.read(1 << 16);
        target.seen.ends_with(&hello)
    });
    // PROXY §2.2: source, destination, both ports, then PP2_TYPE_AUTHORITY.
    let told = &target.seen[16..target.seen.len() - hello.len()];
    assert_eq!(told[..4], [203, 0, 113, 7]);
    assert_eq!(told[4..8], [198, 51, 100, 9]);
    assert_eq!(told[8..12], [199, 56, 1, 187]);
    assert_eq!(&told[12..], b"\x02\x00\x09a.example");
    drop((client, target));
    lab.assert_empty();
}

#[test]
fn a_client_that_leaves_before_it_said_anything_leaves_nothing() {
    for settings in [strict(), names(LONG)] {
        let mut lab = Lab::new(&settings, &[refusing()]);
        let client = lab.client();
        lab.turns(5);
        assert_eq!(lab.house.proxy.connections(), 1);
        client.reset();
        lab.assert_empty();
    }
}

/// 16 KiB of protocols of one octet each.
fn hostile_hello() -> Vec<u8> {
    let sized = |octets: &[u8]| [&(octets.len() as u16).to_be_bytes(), octets].concat();
    let list = [1, b'x'].repeat(8_100);
    let extension = [&[0, 16][..], &sized(&sized(&list))].concat();
    let body =
        [&[3, 3][..], &[7; 32], &[0], &[0, 2, 0x13, 1], &[1, 0], &sized(&extension)].concat();
    let message = [&[1, 0][..], &sized(&body)].concat();
    [&[22, 3, 1][..], &sized(&message)].concat()
}

#[test]
fn a_hello_takes_no_more_memory_than_it_has_octets() {
    use crate::proxy::client_hello::{HelloReader, Progress};
    let octets = hostile_hello();
    let read = HelloReader::new().read(&octets);
    let Progress::Hello(hello) = read else { panic!("{read:?}") };
    let names = hello.alpn.iter().map(|name| name.capacity().max(24) + 8);
    let heap = hello.alpn.capacity() * size_of::<Vec<u8>>() + names.sum::<usize>();
    assert!(heap <= octets.len(), "{heap} for {}", octets.len());
}

#[test]
fn what_is_looked_at_again_and_again_is_paid_for() {
    let (_backend, address) = backend();
    let mut lab = Lab::new(&names(LONG), &[address]);
    let hello = hostile_hello();
    let mut clients: Vec<_> = (0..600).map(|_| lab.client()).collect();
    lab.until("all are accepted", |lab| lab.counters().accepted == 600);
    clients.iter_mut().for_each(|client| client.send(&hello[..16_000]));
    lab.until("all is quiet", |lab| {
        lab.turns(3);
        !lab.house.proxy.has_ready()
    });
    clients.iter_mut().for_each(|client| client.send(&hello[16_000..16_001]));
    lab.turn();
    assert!(lab.house.proxy.has_ready(), "9 MiB are more than a turn's");
    drop(clients);
    lab.assert_empty();
}

#[test]
fn clients_that_say_nothing_are_counted_for_their_source() {
    use crate::proxy::limits::SourceSettings;
    let (_backend, address) = backend();
    let sources = SourceSettings { limit: 2, ..SourceSettings::default() };
    let trusted = listening(|it| {
        it.hello_timeout = Some(LONG);
        it.header = Some(header(Mode::Lenient, TrustedSources::everybody()));
    });
    for (settings, header) in [(names(LONG), &b""[..]), (trusted, V1)] {
        let mut lab = Lab::new(&ProxySettings { sources, ..settings }, &[address]);
        let mut clients: Vec<_> = (0..9).map(|_| lab.client()).collect();
        clients.iter_mut().for_each(|client| client.send(header));
        lab.until("all are accepted", |lab| lab.counters().accepted == 9);
        lab.turns(3);
        assert_eq!((lab.house.proxy.connections(), lab.counters().source_limit), (2, 7));
        drop(clients);
        lab.assert_empty();
    }
}
