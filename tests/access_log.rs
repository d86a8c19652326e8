//! The access log of the real binary: a line for each connection, however it
//! ends and whoever reads.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, unreachable_pub, dead_code)]

mod common;

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead, BufReader, PipeReader, Read, Write, pipe};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::process::{Command, Output, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

use common::program::{BOUND, Burgee, Log, binary, free_port};
use common::running::File;
use socket2::SockRef;

/// What tests of endings want to know.
const SHORT: &str = "$ending $remote_addr $upstream_service $bytes_received $bytes_sent $retries";

/// A server that is ready when it has had its health check.
struct Target(TcpListener);

impl Target {
    fn new() -> Target {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        // On Linux it holds for accepting as well.
        SockRef::from(&listener).set_read_timeout(Some(BOUND)).unwrap();
        Target(listener)
    }

    fn address(&self) -> SocketAddr {
        self.0.local_addr().unwrap()
    }

    /// `SERVICE SOURCE TARGET` of a route.
    fn route(&self, service: &str, port: u16) -> String {
        format!("route add {service} :{port} tcp://{}", self.address())
    }

    /// Its end of the next connection.
    fn accept(&self) -> TcpStream {
        bounded(self.0.accept().unwrap().0)
    }
}

fn bounded(stream: TcpStream) -> TcpStream {
    stream.set_read_timeout(Some(BOUND)).unwrap();
    stream.set_write_timeout(Some(BOUND)).unwrap();
    stream
}

/// A running burgee, its two logs, and the file of its configuration.
struct Rig {
    file: File,
    burgee: Burgee,
    log: Log,
    lines: Receiver<String>,
}

/// The settings of all tests, and these: listeners, routes and others.
fn configuration(listeners: &[String], routes: &[String], more: &str) -> String {
    format!(
        "log.access.target=stdout\nhealth.interval=1h\nhealth.rise=1\nproxy.strategy=rr\n\
         proxy.addr={}\nregistry.static.routes={}\n{more}\n",
        listeners.join(","),
        routes.join("\\n")
    )
}

/// A listener for streams.
fn listener(port: u16, options: &str) -> String {
    format!("127.0.0.1:{port};proto=tcp{options}")
}

fn command(file: &File, program: &str) -> Command {
    let mut command = Command::new(binary());
    command.arg(program).arg("-cfg").arg(&file.0);
    command
}

impl Rig {
    fn start(test: &str, targets: &[&Target], text: &str) -> Rig {
        let (reader, rig) = Rig::with_reader(test, targets, text, |_| {});
        let (sender, lines) = channel();
        thread::spawn(move || {
            let lines = BufReader::new(reader).lines().map_while(Result::ok);
            lines.take_while(|line| sender.send(line.clone()).is_ok()).for_each(drop);
        });
        Rig { lines, ..rig }
    }

    /// The reader of the lines is the test itself.
    fn with_reader(
        test: &str,
        targets: &[&Target],
        text: &str,
        change: impl FnOnce(&mut Command),
    ) -> (PipeReader, Rig) {
        let file = File::new(&format!("access-{test}"), text);
        let (reader, writer) = pipe().unwrap();
        let mut command = command(&file, "run");
        command.stdout(writer).stderr(Stdio::piped());
        change(&mut command);
        let mut burgee = Burgee::spawn(&mut command);
        let mut log = burgee.log();
        log.until("route event=loaded");
        for target in targets {
            log.until("health event=healthy");
            drop(target.accept());
        }
        (reader, Rig { file, burgee, log, lines: channel().1 })
    }

    /// The next line.
    #[track_caller]
    fn line(&self) -> String {
        self.lines.recv_timeout(BOUND).expect("a line of the access log")
    }

    /// The next line is this one.
    #[track_caller]
    fn expect(&self, line: &str) {
        assert_eq!(self.line(), line);
    }

    /// It stops when it is asked to; says what its access log said until its
    /// end, and the whole other log.
    fn stop(mut self) -> (Vec<String>, String) {
        self.burgee.signal("TERM");
        let mut rest = Vec::new();
        while let Ok(line) = self.lines.recv_timeout(BOUND) {
            rest.push(line);
        }
        assert_eq!(self.burgee.wait().code(), Some(0));
        let log = self.log.rest();
        assert!(log.contains(" panics=0"), "{log}");
        (rest, log)
    }
}

fn client(port: u16) -> TcpStream {
    bounded(TcpStream::connect((Ipv4Addr::LOCALHOST, port)).unwrap())
}

/// The address of the near end, as the log has it.
fn own(stream: &TcpStream) -> SocketAddr {
    stream.local_addr().unwrap()
}

fn say(stream: &mut TcpStream, text: &str) {
    stream.write_all(text.as_bytes()).unwrap();
}

#[track_caller]
fn hear(stream: &mut TcpStream, text: &str) {
    let mut found = vec![0; text.len()];
    stream.read_exact(&mut found).unwrap();
    assert_eq!(String::from_utf8(found).unwrap(), text);
}

fn end(stream: &TcpStream) {
    stream.shutdown(Shutdown::Write).unwrap();
}

fn reset(stream: TcpStream) {
    SockRef::from(&stream).set_linger(Some(Duration::ZERO)).unwrap();
}

/// Reads until the stream is over, in order or not.
fn until_over(mut stream: TcpStream) {
    let mut place = [0; 4096];
    while let Ok(1..) = stream.read(&mut place) {}
}

/// Both ends of a connection that has carried five octets there and seven back.
fn pair(port: u16, target: &Target) -> (TcpStream, TcpStream) {
    let mut client = client(port);
    let mut accepted = target.accept();
    say(&mut client, "hello");
    hear(&mut accepted, "hello");
    say(&mut accepted, "welcome");
    hear(&mut client, "welcome");
    (client, accepted)
}

/// A rig in front of one target, with the short format.
fn one(test: &str, options: &str, more: &str) -> (Rig, Target, u16) {
    let (target, port) = (Target::new(), free_port());
    let more = format!("log.access.format={SHORT}\n{more}");
    let routes = [target.route("web", port)];
    let text = configuration(&[listener(port, options)], &routes, &more);
    let rig = Rig::start(test, &[&target], &text);
    (rig, target, port)
}

/// A connection in order, from its beginning to its end.
fn finish(client: TcpStream, accepted: TcpStream) {
    end(&client);
    until_over(accepted);
    until_over(client);
}

#[test]
fn a_connection_that_is_served_is_told_when_it_is_over_and_by_whom() {
    let (rig, target, port) = one("served", "", "");
    let (client, accepted) = pair(port, &target);
    let from = own(&client);
    finish(client, accepted);
    rig.expect(&format!("finished {from} web 5 7 0"));
    let (client, accepted) = pair(port, &target);
    let from = own(&client);
    reset(client);
    rig.expect(&format!("client-reset {from} web 5 7 0"));
    until_over(accepted);
    let (client, accepted) = pair(port, &target);
    let from = own(&client);
    reset(accepted);
    rig.expect(&format!("target-reset {from} web 5 7 0"));
    until_over(client);
    assert_eq!(rig.stop().0, [""; 0]);
}

#[test]
fn silence_is_told_by_its_kind() {
    // Nobody says anything, so it does not matter how fast this machine is.
    let (rig, _target, port) = one("idle", "", "proxy.idletimeout=50ms");
    let client = client(port);
    rig.expect(&format!("idle-timeout {} web 0 0 0", own(&client)));
    let (rig, _target, port) = one("read", ";rt=50ms", "");
    let client = self::client(port);
    rig.expect(&format!("read-timeout {} web 0 0 0", own(&client)));
    let (rig, target, port) = one("half", "", "proxy.halfclosedtimeout=50ms");
    let (client, _accepted) = pair(port, &target);
    end(&client);
    rig.expect(&format!("half-closed-timeout {} web 5 7 0", own(&client)));
    let (rig, target, port) = one("write", ";wt=50ms", "");
    let (client, mut accepted) = pair(port, &target);
    // The client reads nothing of it; the target is told by a reset.
    while accepted.write_all(&[b'#'; 65_536]).is_ok() {}
    let line = rig.line();
    let begin = format!("write-timeout {} web 5 ", own(&client));
    let sent = line.strip_prefix(&begin).and_then(|rest| rest.strip_suffix(" 0"));
    assert!(sent.unwrap_or_else(|| panic!("{line}")).parse::<u64>().unwrap() > 65_536, "{line}");
}

#[test]
fn who_is_turned_away_is_told_and_why() {
    let (target, other) = (Target::new(), Target::new());
    let [good, closed, nowhere, denied, full, header, names] = [(); 7].map(|()| free_port());
    let gone = Target::new();
    let routes = [
        target.route("web", good),
        gone.route("gone", closed),
        target.route("private", denied) + " opts \"deny=ip:127.0.0.1\"",
        other.route("small", full) + " opts \"limit=1\"",
        target.route("web", header),
    ];
    let listeners = [
        listener(good, ""),
        listener(closed, ""),
        listener(nowhere, ""),
        listener(denied, ""),
        listener(full, ""),
        listener(header, ";pxyproto=strict"),
        format!("127.0.0.1:{names};proto=tcp+sni"),
    ];
    let more = format!("log.access.format={SHORT}\nproxy.sourcelimit=1");
    let text = configuration(&listeners, &routes, &more);
    // One service, one check, though it has several routes.
    let mut rig = Rig::start("away", &[], &text);
    (0..4).for_each(|_| drop(rig.log.until("health event=healthy")));
    drop((target.accept(), other.accept(), target.accept()));
    drop(gone);

    let turned_away = |port: u16, octets: &[u8], ending: &str| {
        let mut client = client(port);
        let from = own(&client);
        let _ = client.write_all(octets);
        rig.expect(&format!("{ending} {from} - 0 0 0"));
        until_over(client);
    };
    turned_away(nowhere, b"", "no-route");
    turned_away(denied, b"", "denied");
    turned_away(header, b"GET / HTTP/1.1\r\n\r\n", "no-header");
    turned_away(names, b"GET / HTTP/1.1\r\n\r\n", "no-hello");
    // It was asked, and refused.
    let client = client(closed);
    rig.expect(&format!("no-target {} - 0 0 1", own(&client)));
    until_over(client);

    // All clients here are one source.
    let (client, accepted) = pair(good, &target);
    turned_away(good, b"", "limit-source");
    let from = own(&client);
    finish(client, accepted);
    rig.expect(&format!("finished {from} web 5 7 0"));
    rig.file.write(&text.replace("proxy.sourcelimit=1", "proxy.sourcelimit=0"));
    rig.burgee.signal("HUP");
    rig.log.until("reload event=done");
    let turned_away = |port: u16, ending: &str| {
        let client = self::client(port);
        rig.expect(&format!("{ending} {} - 0 0 0", own(&client)));
        until_over(client);
    };
    let (client, accepted) = pair(full, &other);
    turned_away(full, "limit-service");
    let from = own(&client);
    finish(client, accepted);
    rig.expect(&format!("finished {from} small 5 7 0"));
    assert_eq!(rig.stop().0, [""; 0]);
}

#[test]
fn who_is_cut_is_told_and_why() {
    let (mut rig, target, port) = one("cut", "", "proxy.removedtargets=cut");
    let other = Target::new();
    let (client, accepted) = pair(port, &target);
    let text = fs::read_to_string(&rig.file.0).unwrap();
    let moved = text.replace(&target.address().to_string(), &other.address().to_string());
    rig.file.write(&moved);
    rig.burgee.signal("HUP");
    rig.expect(&format!("target-removed {} web 5 7 0", own(&client)));
    until_over(client);
    until_over(accepted);
    // The last lines leave before the end.
    rig.log.until("health event=healthy");
    drop(other.accept());
    let (client, accepted) = pair(port, &other);
    let from = own(&client);
    let (lines, log) = rig.stop();
    assert_eq!(lines, [format!("stopped {from} web 5 7 0")]);
    assert!(log.contains("drain event=cut connections=1"), "{log}");
    drop((client, accepted));
}

#[test]
fn a_fault_is_told_as_one() {
    let (target, port) = (Target::new(), free_port());
    let more = format!("log.access.format={SHORT}");
    let text = configuration(&[listener(port, "")], &[target.route("web", port)], &more);
    let inject = |command: &mut Command| {
        command.env("BURGEE_INJECT_PANIC", "proxy");
    };
    let (reader, _rig) = Rig::with_reader("fault", &[&target], &text, inject);
    let client = client(port);
    let mut line = String::new();
    BufReader::new(reader).read_line(&mut line).unwrap();
    assert_eq!(line, format!("fault {} - 0 0 0\n", own(&client)));
}

#[test]
fn a_target_that_refuses_is_counted_as_a_retry() {
    let (gone, target, port) = (Target::new(), Target::new(), free_port());
    let more = format!("log.access.format={SHORT} $upstream_addr\nhealth.fall=1000");
    let routes = [gone.route("web", port), target.route("web", port)];
    let text = configuration(&[listener(port, "")], &routes, &more);
    let rig = Rig::start("retries", &[&gone, &target], &text);
    drop(gone);
    let (client, accepted) = pair(port, &target);
    let from = own(&client);
    finish(client, accepted);
    rig.expect(&format!("finished {from} web 5 7 1 {}", target.address()));
}

/// A ClientHello for `www.example`, in one record (RFC 8446 §4.1.2, RFC 6066 §3).
fn client_hello() -> String {
    let sized = |octets: &[u8]| [&(octets.len() as u16).to_be_bytes(), octets].concat();
    let entry = [&[0], &sized(b"www.example")[..]].concat();
    let extension = [&[0, 0], &sized(&sized(&entry))[..]].concat();
    let body = [&[3, 3][..], &[7; 32], &[0], &[0, 2, 0x13, 1], &[1, 0], &sized(&extension)];
    let message = [&[1, 0], &sized(&body.concat())[..]].concat();
    String::from_utf8([&[22, 3, 1], &sized(&message)[..]].concat()).unwrap()
}

/// A rig in this format, for clients with a PROXY header and a ClientHello.
fn told(test: &str, format: &str) -> (Rig, Target, u16) {
    let (target, port) = (Target::new(), free_port());
    let routes = [format!("route add web www.example/ tcp://{}", target.address())];
    let listeners = [format!("0.0.0.0:{port};proto=tcp+sni;pxyproto=strict")];
    let rig = Rig::start(test, &[&target], &configuration(&listeners, &routes, format));
    (rig, target, port)
}

/// A connection with a header and a hello, which is over; says where it came
/// from.
fn tell(port: u16, target: &Target) -> SocketAddr {
    let mut client = client(port);
    let from = own(&client);
    say(&mut client, "PROXY TCP6 2001:db8::7 2001:db8::1 51000 443\r\n");
    say(&mut client, &client_hello());
    let mut accepted = target.accept();
    hear(&mut accepted, &client_hello());
    say(&mut accepted, "welcome");
    finish(client, accepted);
    from
}

/// A moment as it is written to the millisecond.
fn is_moment(text: &str) -> bool {
    let shape: String = text.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
    shape == "0000-00-00T00:00:00.000Z"
}

/// A number with so many digits behind the point.
fn is_seconds(text: &str, digits: usize) -> bool {
    text.split_once('.').is_some_and(|(whole, part)| {
        whole.parse::<u64>().is_ok() && part.parse::<u64>().is_ok() && part.len() == digits
    })
}

#[test]
fn the_formats_for_people_say_what_is_documented() {
    let length = client_hello().len();
    // Nothing but the target is set for the first one.
    for (test, format) in [
        ("default", ""),
        ("common", "log.access.format=common"),
        ("combined", "log.access.format=combined"),
        ("tcp", "log.access.format=tcp"),
    ] {
        let (rig, target, port) = told(test, format);
        tell(port, &target);
        let line = rig.line();
        let words: Vec<&str> = line.split(' ').collect();
        let &[remote, local, time, service, upstream, name, up, down, session, dial, retries, how] =
            words.as_slice()
        else {
            panic!("{line}")
        };
        assert_eq!([remote, local], ["[2001:db8::7]:51000", "[2001:db8::1]:443"], "{line}");
        let time = time.strip_prefix('[').and_then(|time| time.strip_suffix(']'));
        assert!(is_moment(time.unwrap()), "{line}");
        assert_eq!([service, name], ["web", "www.example"], "{line}");
        assert_eq!(upstream, target.address().to_string());
        assert_eq!([up, down], [&length.to_string(), "7"], "{line}");
        assert!(is_seconds(session, 3) && is_seconds(dial, 3), "{line}");
        assert_eq!([retries, how], ["0", "finished"], "{line}");
    }
}

#[test]
fn the_format_for_programs_says_what_is_documented() {
    let (rig, target, port) = told("json", "log.access.format=json");
    let from = tell(port, &target);
    let served = rig.line();
    let member = |line: &str, key: &str| -> String {
        let (_, rest) = line.split_once(&format!("\"{key}\":")).expect("a member");
        rest.split_once([',', '}']).expect("its end").0.to_owned()
    };
    let text = |line: &str, key: &str| member(line, key).trim_matches('"').to_owned();
    let [time, start] = ["time", "start"].map(|key| text(&served, key));
    assert!(is_moment(&time) && is_moment(&start) && start <= time, "{served}");
    let [session, dial] = ["session_time", "dial_time"].map(|key| member(&served, key));
    assert!(is_seconds(&session, 6) && is_seconds(&dial, 6), "{served}");
    let length = client_hello().len();
    assert_eq!(
        served,
        format!(
            "{{\"time\":\"{time}\",\"start\":\"{start}\",\"remote_addr\":\"[2001:db8::7]:51000\",\
             \"local_addr\":\"[2001:db8::1]:443\",\"proxy_addr\":\"{from}\",\
             \"listener_addr\":\"0.0.0.0:{port}\",\"upstream_service\":\"web\",\
             \"upstream_addr\":\"{}\",\"server_name\":\"www.example\",\
             \"bytes_received\":{length},\"bytes_sent\":7,\"session_time\":{session},\
             \"dial_time\":{dial},\"retries\":0,\"ending\":\"finished\"}}",
            target.address()
        )
    );
    // What it does not have is null.
    let mut stranger = client(port);
    let from = own(&stranger);
    say(&mut stranger, "GET / HTTP/1.1\r\n\r\n");
    let line = rig.line();
    let nothing = ["proxy_addr", "upstream_service", "upstream_addr", "server_name", "dial_time"];
    assert!(nothing.iter().all(|key| member(&line, key) == "null"), "{line}");
    let said = ["remote_addr", "local_addr", "ending"].map(|key| text(&line, key));
    assert_eq!(said, [from.to_string(), format!("127.0.0.1:{port}"), "no-header".to_owned()]);
}

#[test]
fn a_format_of_one_s_own_warns_of_what_connections_do_not_have() {
    let format = "$proxy_addr|$header.Referer|$response_status|$listener_port|$start_unix_ms";
    let (target, port) = (Target::new(), free_port());
    let listeners = [listener(port, ";pxyproto=strict")];
    let routes = [target.route("web", port)];
    let text = configuration(&listeners, &routes, &format!("log.access.format={format}"));
    let file = File::new("access-own-check", &text);
    let checked = output(&mut command(&file, "check"));
    let said = String::from_utf8_lossy(&checked.stderr).into_owned();
    assert_eq!(checked.status.code(), Some(0), "{said}");
    let warnings = ["$header.Referer is of HTTP requests", "$response_status is of HTTP requests"];
    for warning in warnings {
        assert!(said.contains(warning), "{said}");
    }
    assert!(
        said.contains("there is $ending") && said.contains(":7: log.access.format: $header"),
        "{said}"
    );

    let rig = Rig::start("own", &[&target], &text);
    let mut client = client(port);
    let from = own(&client);
    say(&mut client, "PROXY TCP4 192.0.2.7 192.0.2.1 51000 443\r\n");
    finish(client, target.accept());
    let line = rig.line();
    let begin = format!("{from}|-|-|{port}|");
    assert!(line.strip_prefix(&begin).unwrap_or_else(|| panic!("{line}")).parse::<u64>().is_ok());
    rig.stop();
}

fn output(command: &mut Command) -> Output {
    command.env_clear().output().unwrap()
}

#[test]
fn a_format_that_is_none_is_an_error_with_its_key() {
    let text = |format: &str| configuration(&[listener(1, "")], &[], format);
    for (format, expected) in [
        ("$remote_adr", "unknown field $remote_adr; did you mean $remote_addr?"),
        ("jsno", "\"jsno\" is no format: expected \"common\", \"combined\", \"tcp\", \"json\""),
        ("$ending $", "a $ without the name of a field"),
    ] {
        let file = File::new("access-bad", &text(&format!("log.access.format={format}")));
        for program in ["check", "run"] {
            let output = output(&mut command(&file, program));
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            assert_eq!(output.status.code(), Some(1), "{program} {format}: {said}");
            assert!(said.contains("log.access.format"), "{program}: {said}");
            assert!(said.contains(expected), "{program}: {said}");
            let place = format!("{}:7: ", file.0.display());
            assert!(said.contains(&place), "{program}: no {place} in {said}");
        }
    }
    // A reload and a comparison find it as well, before a restart does.
    let (mut rig, target, port) = one("bad-reload", "", "");
    let old = fs::read_to_string(&rig.file.0).unwrap();
    rig.file.write(&old.replace(SHORT, "$remote_adr"));
    let new = File::new("access-bad-new", &old.replace(SHORT, "$remote_adr"));
    let good = File::new("access-bad-old", &old);
    let mut diff = Command::new(binary());
    diff.arg("check").arg("--diff").arg(&good.0).arg(&new.0);
    let compared = output(&mut diff);
    let said = String::from_utf8_lossy(&compared.stderr).into_owned();
    assert_eq!(compared.status.code(), Some(1), "{said}");
    assert!(said.contains("unknown field $remote_adr"), "{said}");
    rig.burgee.signal("HUP");
    let line = rig.log.until("reload event=error");
    assert!(line.contains("log.access.format") && line.contains("$remote_adr"), "{line}");
    rig.log.until("reload event=refused");
    // Another good one waits for a restart, and is named.
    rig.file.write(&old.replace(SHORT, "json"));
    rig.burgee.signal("HUP");
    let line = rig.log.until("log.access.format");
    assert!(line.contains("restart"), "{line}");
    assert!(rig.log.until("reload event=done").contains("restart_needed=1"));
    let (client, accepted) = pair(port, &target);
    let from = own(&client);
    finish(client, accepted);
    rig.expect(&format!("finished {from} web 5 7 0"));
}

/// A target that answers whoever comes, until its test is over.
fn echo(target: &Target) {
    let listener = target.0.try_clone().unwrap();
    thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            thread::spawn(move || {
                let (mut reader, mut writer) = (&stream, &stream);
                let _ = std::io::copy(&mut reader, &mut writer);
                let _ = stream.shutdown(Shutdown::Write);
            });
        }
    });
}

/// One connection from the first octet to the end of its stream.
fn exchange(port: u16) -> SocketAddr {
    let mut client = client(port);
    let from = own(&client);
    say(&mut client, "hello");
    end(&client);
    let mut answer = String::new();
    client.read_to_string(&mut answer).expect("served");
    assert_eq!(answer, "hello");
    from
}

#[test]
fn lines_of_many_connections_and_of_both_logs_stay_whole() {
    const CLIENTS: usize = 8;
    const EACH: usize = 60;
    let (target, port) = (Target::new(), free_port());
    let long = "x".repeat(1000);
    let more = format!("log.access.format=access $remote_addr {long} $ending\nlog.level=DEBUG");
    let text = configuration(&[listener(port, "")], &[target.route("web", port)], &more);
    // Both logs go to one pipe, as with `2>&1`.
    let file = File::new("access-whole", &text);
    let (reader, writer) = pipe().unwrap();
    let mut run = command(&file, "run");
    run.stdout(writer.try_clone().unwrap()).stderr(writer);
    let mut burgee = Burgee::spawn(&mut run);
    drop(run);
    let (sender, lines) = channel();
    thread::spawn(move || {
        let lines = BufReader::new(reader).lines().map_while(Result::ok);
        lines.take_while(|line| sender.send(line.clone()).is_ok()).for_each(drop);
    });
    let next = || lines.recv_timeout(BOUND).expect("a line");
    while !next().contains("health event=healthy") {}
    drop(target.accept());
    echo(&target);
    let clients: Vec<_> = (0..CLIENTS)
        .map(|_| thread::spawn(move || (0..EACH).map(|_| exchange(port)).collect::<Vec<_>>()))
        .collect();
    let expected: BTreeSet<String> = clients
        .into_iter()
        .flat_map(|client| client.join().unwrap())
        .map(|from| format!("access {from} {long} finished"))
        .collect();
    burgee.signal("TERM");
    let mut found = Vec::new();
    let mut others = 0;
    while let Ok(line) = lines.recv_timeout(BOUND) {
        match line.starts_with("access ") {
            true => found.push(line),
            false => {
                assert!(line.starts_with("20") && line.contains("Z ") && !line.contains("xxx"));
                others += 1;
            }
        }
    }
    assert_eq!(burgee.wait().code(), Some(0));
    assert!(others > CLIENTS * EACH, "a line of the other log for each connection");
    assert_eq!(found.len(), CLIENTS * EACH);
    assert!(found.into_iter().collect::<BTreeSet<_>>() == expected);
}

#[test]
fn a_reader_that_stops_reading_delays_nobody_and_hears_what_it_has_missed() {
    const LOST: usize = 100;
    let (target, port) = (Target::new(), free_port());
    // Some 300 lines fill the pipe and what waits for it.
    let more = format!("log.access.format=$ending {}", "x".repeat(4000));
    let text = configuration(&[listener(port, "")], &[target.route("web", port)], &more);
    let (reader, rig) = Rig::with_reader("stalled", &[&target], &text, |_| {});
    let Rig { file: _file, mut burgee, mut log, .. } = rig;
    echo(&target);
    let (sender, told) = channel();
    let follow = thread::spawn(move || {
        let first = log.until("access_log event=lines_dropped");
        sender.send(first).unwrap();
        log
    });
    let mut served = 0;
    while told.try_recv().is_err() {
        exchange(port);
        served += 1;
        assert!(served < 100_000, "nothing is dropped");
    }
    for _ in 0..LOST {
        exchange(port);
    }
    served += LOST;
    let mut log = follow.join().unwrap();
    let (sender, lines) = channel();
    thread::spawn(move || {
        let lines = BufReader::new(reader).lines().map_while(Result::ok);
        lines.take_while(|line| sender.send(line.clone()).is_ok()).for_each(drop);
    });
    let line = log.until("access_log event=resumed");
    let lost = line.trim_end().rsplit_once("dropped=").unwrap().1.parse::<usize>().unwrap();
    assert!(lost > LOST, "{line}");
    exchange(port);
    served += 1;
    burgee.signal("TERM");
    let mut count = 0;
    while let Ok(line) = lines.recv_timeout(BOUND) {
        assert!(line.starts_with("finished xxx") && line.len() == 4009, "{}", line.len());
        count += 1;
    }
    assert_eq!(count + lost, served);
    assert_eq!(burgee.wait().code(), Some(0));
    assert!(log.rest().contains(" panics=0"));
}

#[test]
fn a_reader_that_is_gone_costs_nothing_but_lines() {
    let (target, port) = (Target::new(), free_port());
    let text = configuration(&[listener(port, "")], &[target.route("web", port)], "");
    let (reader, rig) = Rig::with_reader("gone", &[&target], &text, |_| {});
    let Rig { file: _file, mut burgee, mut log, .. } = rig;
    echo(&target);
    drop(reader);
    let (sender, told) = channel();
    let follow = thread::spawn(move || {
        log.until("access_log event=closed");
        sender.send(()).unwrap();
        log
    });
    // A process that is being started elsewhere may have the reader's end for a
    // moment.
    while told.try_recv().is_err() {
        exchange(port);
    }
    for _ in 0..20 {
        exchange(port);
    }
    burgee.signal("TERM");
    assert_eq!(burgee.wait().code(), Some(0));
    let all = follow.join().unwrap().rest();
    assert_eq!(all.matches("access_log event=").count(), 1, "told once: {all}");
    assert!(all.contains(" panics=0"), "{all}");
}
