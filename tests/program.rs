//! The real binary, from outside: what it asks of the kernel, what it does
//! when its log is not read, at its limits, after a fault, and when it is
//! asked to stop.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, unreachable_pub, dead_code)]

mod common;

use std::collections::BTreeSet;
use std::fs;
use std::io::{Read, Write, pipe};
use std::net::{SocketAddr, TcpStream};
use std::process::{Command, Stdio};

use burgee::bgp::message::header::MessageType;
use burgee::bgp::message::notification::Notification;
use burgee::bgp::message::prefix::Family;
use burgee::bgp::message::update::{Context, parse};
use common::neighbour::{Heard, Neighbour};
use common::program::{Burgee, backend, binary, free_port, signal};
use common::traced::Traced;

const ASN: u32 = 65001;

fn flags(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}

fn flags_of(settings: &[(&str, String)]) -> Vec<String> {
    settings.iter().map(|(key, value)| format!("-{key}={value}")).collect()
}

/// A speaker with one neighbour that announces whatever happens.
fn speaker(neighbour: &Neighbour) -> Vec<String> {
    let peer = neighbour.address;
    let mut all = flags(&[
        "-bgp.enabled=true",
        "-bgp.asn=65001",
        "-bgp.routerid=203.0.113.1",
        "-bgp.anycastaddresses=192.0.2.10/32",
        "-bgp.announce=always",
        "-bgp.listenport=-1",
        "-bgp.connectretry=1s",
    ]);
    all.push(format!("-bgp.peers=address={};port={};asn=65000", peer.ip(), peer.port()));
    all
}

/// A speaker and a balancer in front of one target, announced while ready.
fn balancer(neighbour: &Neighbour, port: u16, target: SocketAddr) -> Vec<String> {
    let mut all = speaker(neighbour);
    all.retain(|flag| !flag.starts_with("-bgp.announce"));
    all.push(format!("-proxy.addr=127.0.0.1:{port};proto=tcp"));
    all.push(format!("-registry.static.routes=route add web :{port} tcp://{target}"));
    all.push("-health.interval=100ms".to_owned());
    all
}

/// (announced, withdrawn) prefixes of the next UPDATE that has any.
fn next_routes(neighbour: &Neighbour) -> (Vec<String>, Vec<String>) {
    let context = Context {
        four_octet_as: true,
        ibgp: false,
        families: Family::ALL.into_iter().collect(),
        add_path: Default::default(),
        extended_next_hop: Default::default(),
    };
    loop {
        let body = neighbour.expect(MessageType::Update);
        let update = parse(&body, &context).expect("well-formed");
        if update.is_end_of_rib().is_none() {
            return (
                update.announced().map(|(_, _, prefix)| prefix.to_string()).collect(),
                update.withdrawn().map(|(_, _, prefix)| prefix.to_string()).collect(),
            );
        }
    }
}

fn greeting(port: u16) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    let mut buffer = [0; 6];
    stream.read_exact(&mut buffer)?;
    Ok(String::from_utf8_lossy(&buffer).into_owned())
}

/// Lets `count` keepalives of burgee pass, each 0.75 to 1 s after the last.
fn keepalives(neighbour: &Neighbour, count: usize) {
    for _ in 0..count {
        neighbour.expect(MessageType::Keepalive);
    }
}

#[test]
fn idle_it_makes_only_the_calls_of_its_keepalives() {
    let neighbour = Neighbour::start(ASN);
    let folder = std::env::temp_dir().join(format!("burgee-{}-idle", std::process::id()));
    fs::create_dir_all(&folder).expect("a folder");
    let file = |name: &str| folder.join(name).display().to_string();
    fs::write(file("routes"), "").expect("written");
    // Everything that waits for something: files, clients of the API, commands.
    let mut flags = speaker(&neighbour);
    flags.extend(flags_of(&[
        ("registry.backend", "file".to_owned()),
        ("registry.file.path", file("routes")),
        ("bgp.maintenancefile", file("maintenance")),
        ("bgp.announce.statefile", file("state")),
        ("ui.addr", "127.0.0.1:0".to_owned()),
        ("ui.socket", file("socket")),
    ]));
    let traced = Traced::start("idle", &flags, None);
    next_routes(&neighbour);
    keepalives(&neighbour, 3);
    let from = traced.length();
    keepalives(&neighbour, 10);
    let calls = traced.calls_since(from);
    let allowed =
        ["epoll_wait", "epoll_pwait", "sendto", "recvfrom", "write", "read", "writev", "readv"];
    let names: BTreeSet<&str> = calls.iter().map(String::as_str).collect();
    assert!(names.iter().all(|name| allowed.contains(name)), "{names:?}");
    // Ten of ours, and one of the neighbour's each 0.7 s of at most 10 s; each
    // costs a wake-up and one call. Nothing else may wake it.
    let limit = 2 * (10 + 15) + 4;
    assert!(calls.len() >= 30 && calls.len() <= limit, "{} calls: {calls:?}", calls.len());
    drop(traced);
    fs::remove_dir_all(folder).expect("removed");
}

#[test]
fn keepalives_go_on_while_nobody_reads_the_log() {
    let neighbour = Neighbour::start(ASN);
    let (mut reader, mut writer) = pipe().expect("a pipe");
    // A pipe holds 64 KiB unless told otherwise: now it is full.
    writer.write_all(&[b'#'; 65536]).expect("an empty pipe");
    let mut command = Command::new(binary());
    command.arg("run").args(speaker(&neighbour)).arg("-log.level=TRACE");
    let burgee = Burgee::spawn(command.stderr(writer));
    drop(command);
    next_routes(&neighbour);
    keepalives(&neighbour, 5);
    // A reader that comes back finds what was kept for it.
    let mut filler = vec![0; 65536];
    reader.read_exact(&mut filler).expect("the filler");
    let mut text = Vec::new();
    let mut buffer = [0; 1024];
    while !String::from_utf8_lossy(&text).contains("event=established") {
        let count = reader.read(&mut buffer).expect("a log");
        assert!(count > 0, "the log ended: {}", String::from_utf8_lossy(&text));
        text.extend_from_slice(&buffer[..count]);
    }
    drop(burgee);
}

#[test]
fn keepalives_go_on_after_the_log_s_reader_is_gone() {
    let neighbour = Neighbour::start(ASN);
    let (reader, writer) = pipe().expect("a pipe");
    let mut command = Command::new(binary());
    command.arg("run").args(speaker(&neighbour)).arg("-log.level=TRACE");
    let mut burgee = Burgee::spawn(command.stderr(writer));
    drop(command);
    drop(reader);
    next_routes(&neighbour);
    keepalives(&neighbour, 5);
    assert!(burgee.is_running());
    burgee.signal("TERM");
    burgee.signal("TERM");
    assert_eq!(burgee.wait().code(), Some(0));
}

#[test]
fn keepalives_go_on_while_the_log_file_is_at_its_size_limit() {
    let neighbour = Neighbour::start(ASN);
    let file = std::env::temp_dir().join(format!("burgee-{}-limit.log", std::process::id()));
    let length = || fs::metadata(&file).expect("a log file").len();
    let mut command = Command::new("sh");
    // A block has 512 octets, or 1024 with some shells.
    command.arg("-c").arg("ulimit -S -f 1; exec \"$@\" 2>\"$0\"").arg(&file);
    // There is a word about each bad line.
    let routes = "-registry.static.routes=".to_owned() + &"bad line\n".repeat(20);
    command.arg(binary()).arg("run").args(speaker(&neighbour)).arg(routes);
    let mut burgee = Burgee::spawn(&mut command);
    next_routes(&neighbour);
    keepalives(&neighbour, 3);
    assert!([512, 1024].contains(&length()) && burgee.is_running());
    // What was kept is written when there is room again.
    let pid = burgee.pid().to_string();
    let raised = Command::new("prlimit").args(["--pid", &pid, "--fsize=unlimited:"]).status();
    assert!(raised.expect("prlimit runs").success());
    while !fs::read_to_string(&file).expect("a log file").contains("event=established") {
        keepalives(&neighbour, 1);
    }
    fs::remove_file(&file).expect("a log file");
}

/// Turns of the loop for each of `intervals` keepalives: under 20 a second,
/// where a keepalive comes at most a second after the last.
fn assert_few_turns(traced: &Traced, neighbour: &Neighbour, intervals: usize) {
    keepalives(neighbour, 2);
    neighbour.forget();
    let from = traced.length();
    keepalives(neighbour, intervals);
    let calls = traced.calls_since(from);
    let turns = calls.iter().filter(|name| name.starts_with("epoll_")).count();
    assert!(turns < 15 * intervals, "{turns} turns in {intervals} keepalives: {calls:?}");
}

#[test]
fn at_its_connection_limit_clients_wait_and_the_loop_rests() {
    let neighbour = Neighbour::start(ASN);
    let port = free_port();
    let mut all = balancer(&neighbour, port, backend());
    all.push("-proxy.connectionlimit=2".to_owned());
    all.push("-health.interval=60s".to_owned());
    let traced = Traced::start("limit", &all, None);
    next_routes(&neighbour);
    let mut clients: Vec<TcpStream> =
        (0..6).map(|_| TcpStream::connect(("127.0.0.1", port)).expect("queued")).collect();
    assert_few_turns(&traced, &neighbour, 3);
    // As soon as one leaves, the next is served.
    let mut greeted = [0; 6];
    clients[0].read_exact(&mut greeted).expect("served");
    clients.remove(0);
    clients[1].read_exact(&mut greeted).expect("served once there is room");
}

#[test]
fn without_descriptors_clients_wait_and_the_loop_rests() {
    let neighbour = Neighbour::start(ASN);
    let port = free_port();
    let mut all = balancer(&neighbour, port, backend());
    all.push("-proxy.connectionlimit=1000".to_owned());
    all.push("-health.interval=60s".to_owned());
    let traced = Traced::start("emfile", &all, Some(24));
    next_routes(&neighbour);
    let clients: Vec<TcpStream> =
        (0..40).map(|_| TcpStream::connect(("127.0.0.1", port)).expect("queued")).collect();
    assert_few_turns(&traced, &neighbour, 3);
    drop(clients);
    assert_eq!(greeting(port).expect("served again"), "hello\n");
}

#[test]
fn a_planned_stop_withdraws_first_serves_on_and_says_goodbye() {
    let neighbour = Neighbour::start(ASN);
    let port = free_port();
    let mut all = balancer(&neighbour, port, backend());
    all.push("-proxy.deregistergraceperiod=1500ms".to_owned());
    all.push("-proxy.shutdownwait=60s".to_owned());
    let mut burgee = Burgee::start(&all);
    let mut log = burgee.log();
    let (announced, _) = next_routes(&neighbour);
    assert_eq!(announced, ["192.0.2.10/32"]);
    let mut long_lived = TcpStream::connect(("127.0.0.1", port)).expect("served");
    burgee.signal("TERM");
    let (_, withdrawn) = next_routes(&neighbour);
    assert_eq!(withdrawn, ["192.0.2.10/32"]);
    assert_eq!(greeting(port).expect("still served"), "hello\n");
    log.until("step=finishing");
    let refused = TcpStream::connect(("127.0.0.1", port)).expect_err("the listener is closed");
    assert_eq!(refused.kind(), std::io::ErrorKind::ConnectionRefused);
    // The old connection may finish, and the session stays up until then.
    let mut hello = [0; 6];
    long_lived.read_exact(&mut hello).expect("served to the end");
    neighbour.forget();
    keepalives(&neighbour, 1);
    drop(long_lived);
    let body = neighbour.expect(MessageType::Notification);
    let goodbye = Notification::parse(&body).expect("well-formed");
    assert_eq!((goodbye.code, goodbye.subcode), (6, 2));
    assert_eq!(goodbye.shutdown_text().as_deref(), Some("burgee was asked to stop"));
    assert_eq!(burgee.wait().code(), Some(0));
    let log = log.rest();
    let order = ["announce event=withdrawn", "step=finishing", "step=closing", "event=stopped"];
    let places: Vec<_> = order.iter().map(|text| log.find(text).expect(text)).collect();
    assert!(places.is_sorted(), "{log}");
    assert!(log.contains("panics=0"), "{log}");
}

#[test]
fn a_second_signal_skips_the_waits() {
    let neighbour = Neighbour::start(ASN);
    let port = free_port();
    let mut all = balancer(&neighbour, port, backend());
    all.push("-proxy.deregistergraceperiod=1h".to_owned());
    all.push("-proxy.shutdownwait=1h".to_owned());
    let mut burgee = Burgee::start(&all);
    next_routes(&neighbour);
    let _open = TcpStream::connect(("127.0.0.1", port)).expect("served");
    burgee.signal("INT");
    let (_, withdrawn) = next_routes(&neighbour);
    assert_eq!(withdrawn, ["192.0.2.10/32"]);
    burgee.signal("INT");
    neighbour.expect(MessageType::Notification);
    assert_eq!(burgee.wait().code(), Some(0));
}

#[test]
fn the_announcement_follows_the_target() {
    let neighbour = Neighbour::start(ASN);
    let (port, target) = (free_port(), free_port());
    let address = SocketAddr::from(([127, 0, 0, 1], target));
    let _burgee = Burgee::start(&balancer(&neighbour, port, address));
    // Up, but nothing to announce: the first check has failed.
    keepalives(&neighbour, 2);
    neighbour.forget();
    let listener = std::net::TcpListener::bind(address).expect("the port is free");
    assert_eq!(next_routes(&neighbour).0, ["192.0.2.10/32"]);
    drop(listener);
    assert_eq!(next_routes(&neighbour).1, ["192.0.2.10/32"]);
}

#[test]
fn a_hangup_without_a_file_reads_the_flags_again_and_changes_nothing() {
    let neighbour = Neighbour::start(ASN);
    let mut burgee = Burgee::start(&speaker(&neighbour));
    let mut log = burgee.log();
    next_routes(&neighbour);
    burgee.signal("HUP");
    log.until("name=Hangup");
    assert!(log.until("reload event=done").contains("changes=0 restart_needed=0 failed=0"));
    keepalives(&neighbour, 2);
    assert!(burgee.is_running());
}

fn with_fault(place: &str, flags: &[String]) -> Burgee {
    let mut command = Command::new(binary());
    command.env("BURGEE_INJECT_PANIC", place).arg("run").args(flags);
    Burgee::spawn(command.stderr(Stdio::piped()))
}

#[test]
fn a_panic_in_one_session_costs_that_session_and_nothing_else() {
    let neighbour = Neighbour::start(ASN);
    let port = free_port();
    let mut burgee = with_fault("bgp", &balancer(&neighbour, port, backend()));
    let mut log = burgee.log();
    neighbour.expect_end();
    assert_eq!(greeting(port).expect("served all the while"), "hello\n");
    log.until("event=panic");
    // The neighbour is dialled again, and all is as it should be.
    assert_eq!(next_routes(&neighbour).0, ["192.0.2.10/32"]);
}

#[test]
fn a_panic_in_one_connection_costs_that_connection_and_nothing_else() {
    let neighbour = Neighbour::start(ASN);
    let port = free_port();
    let mut burgee = with_fault("proxy", &balancer(&neighbour, port, backend()));
    let mut log = burgee.log();
    next_routes(&neighbour);
    assert!(greeting(port).is_err(), "this one met the panic");
    log.until("event=panic");
    assert_eq!(greeting(port).expect("the next is served"), "hello\n");
    neighbour.forget();
    keepalives(&neighbour, 1);
}

#[test]
fn a_panic_in_shared_state_says_cease_and_ends_the_process() {
    let neighbour = Neighbour::start(ASN);
    let mut burgee = with_fault("shared", &speaker(&neighbour));
    let mut log = burgee.log();
    let body = neighbour.expect(MessageType::Notification);
    let cease = Notification::parse(&body).expect("well-formed");
    assert_eq!((cease.code, cease.subcode), (6, 2));
    assert_eq!(neighbour.next(), Heard::End);
    log.until("event=fault");
    assert_eq!(burgee.wait().code(), Some(70));
}

#[test]
fn a_port_that_is_taken_is_an_error_that_says_what_to_do() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = taken.local_addr().expect("bound").port();
    let neighbour = Neighbour::start(ASN);
    let mut all = speaker(&neighbour);
    all.retain(|flag| !flag.starts_with("-bgp.listenport"));
    all.push(format!("-bgp.listenport={port}"));
    all.push("-bgp.listenaddresses=127.0.0.1".to_owned());
    let mut burgee = Burgee::start(&all);
    let log = burgee.log().rest();
    assert_eq!(burgee.wait().code(), Some(1));
    assert!(log.contains("bgp.listenport") && log.contains("another BGP speaker"), "{log}");
}

#[test]
fn the_demonstration_tells_its_story_and_ends_by_itself() {
    let output = Command::new(binary()).args(["demo", "--once"]).output().expect("it runs");
    let story = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{story}{}", String::from_utf8_lossy(&output.stderr));
    let order = [
        "BGP session with burgee is up",
        "route learned: 192.0.2.10/32",
        "hello from backend A",
        "backend A dies",
        "backend B dies as well",
        "route withdrawn: 192.0.2.10/32",
        "both backends come back",
        "route learned: 192.0.2.10/32",
        "is asked to stop",
        "route withdrawn: 192.0.2.10/32",
        "hello from backend",
        "Administrative Shutdown",
        "is gone; requests lost: 0",
    ];
    let mut rest = &*story;
    for text in order {
        let at = rest.find(text).unwrap_or_else(|| panic!("{text:?} is missing in:\n{story}"));
        rest = &rest[at + text.len()..];
    }
    assert!(!story.contains("fails"), "a request was lost:\n{story}");
}

#[test]
fn signals_by_name_reach_the_process() {
    // `kill` of the tests must itself be able to fail.
    let mut child = Command::new("sleep").arg("60").spawn().expect("sleep runs");
    signal(child.id(), "KILL");
    assert!(!child.wait().expect("it ends").success());
}
