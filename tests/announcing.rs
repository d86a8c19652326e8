//! The real binary: what a neighbour is told, step by step, as targets die and
//! return, as the operator switches, and over crashes and restarts.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, unreachable_pub, dead_code)]

mod common;

use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use burgee::bgp::message::attribute::community::GRACEFUL_SHUTDOWN;
use burgee::bgp::message::header::MessageType;
use burgee::bgp::message::prefix::Family;
use burgee::bgp::message::update::{Context, parse};
use common::neighbour::Neighbour;
use common::program::{Burgee, backend, binary, free_port};

const PREFIX: &str = "192.0.2.10/32";

/// What a neighbour is told of [`PREFIX`].
#[derive(Clone, Debug, PartialEq, Eq)]
enum Told {
    /// With so many ASes in AS_PATH, and whether GRACEFUL_SHUTDOWN is there.
    Path(usize, bool),
    Withdrawn,
}

const FULL: Told = Told::Path(1, false);

fn next(neighbour: &Neighbour) -> Told {
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
        if update.withdrawn().next().is_some() {
            return Told::Withdrawn;
        }
        if update.announced().next().is_some() {
            let attributes = update.attributes();
            let leaves = attributes.communities.contains(&GRACEFUL_SHUTDOWN);
            return Told::Path(attributes.as_path.length(), leaves);
        }
    }
}

/// A directory of a test, removed at its end.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Folder {
        let path = std::env::temp_dir().join(format!("burgee-{}-{name}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir(&path).expect("a new folder");
        Folder(path)
    }

    fn file(&self, name: &str) -> String {
        self.0.join(name).to_str().expect("plain").to_owned()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A burgee with one neighbour in front of these targets.
fn flags(neighbour: &Neighbour, targets: &[SocketAddr], prefix: &str) -> Vec<String> {
    let peer = neighbour.address;
    let port = free_port();
    let routes = targets.iter().map(|it| format!("route add web :{port} tcp://{it}\n"));
    let mut all: Vec<String> = [
        "-bgp.enabled=true",
        "-bgp.asn=65001",
        "-bgp.routerid=203.0.113.1",
        "-bgp.listenport=-1",
        "-bgp.connectretry=1s",
        "-health.interval=100ms",
        "-health.fastinterval=20ms",
        "-bgp.announce.holdup=0s",
        "-proxy.deregistergraceperiod=10ms",
    ]
    .map(str::to_owned)
    .into();
    all.push(format!("-bgp.peers=address={};port={};asn=65000", peer.ip(), peer.port()));
    all.push(format!("-bgp.anycastaddresses={PREFIX};{prefix}"));
    all.push(format!("-proxy.addr=127.0.0.1:{port};proto=tcp"));
    all.push(format!("-registry.static.routes={}", routes.collect::<String>()));
    all
}

fn with(mut flags: Vec<String>, more: &[&str]) -> Vec<String> {
    flags.extend(more.iter().map(|text| (*text).to_owned()));
    flags
}

#[test]
fn fewer_healthy_targets_take_a_prefix_down_the_ladder_and_more_bring_it_back() {
    let neighbour = Neighbour::start(65001);
    let mut targets: Vec<TcpListener> =
        (0..4).map(|_| TcpListener::bind("127.0.0.1:0").expect("a port")).collect();
    let addresses: Vec<_> = targets.iter().map(|it| it.local_addr().expect("bound")).collect();
    let ladder = "service=web;minhealthy=1;shutdownbelow=50%;depreferbelow=100%;depreferprepend=2";
    let _burgee = Burgee::start(&flags(&neighbour, &addresses, ladder));
    assert_eq!(next(&neighbour), FULL);
    drop(targets.pop());
    assert_eq!(next(&neighbour), Told::Path(3, false));
    drop(targets.pop());
    drop(targets.pop());
    assert_eq!(next(&neighbour), Told::Path(1, true));
    drop(targets.pop());
    assert_eq!(next(&neighbour), Told::Withdrawn);
    targets.push(TcpListener::bind(addresses[0]).expect("the port is free"));
    assert_eq!(next(&neighbour), Told::Path(1, true));
}

#[test]
fn a_prefix_without_any_healthy_target_stays_where_it_is_to() {
    let neighbour = Neighbour::start(65001);
    let target = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = target.local_addr().expect("bound");
    let _burgee = Burgee::start(&flags(&neighbour, &[address], "whenempty=deprefer"));
    assert_eq!(next(&neighbour), FULL);
    drop(target);
    assert_eq!(next(&neighbour), Told::Path(4, false));
}

#[test]
fn the_maintenance_file_withdraws_after_graceful_shutdown_and_its_end_announces_at_once() {
    let folder = Folder::new("maintenance");
    let neighbour = Neighbour::start(65001);
    let file = folder.file("maintenance");
    let more = [
        &format!("-bgp.maintenancefile={file}"),
        "-bgp.gracefulshutdown=100ms",
        // What the operator switches does not have to wait.
        "-bgp.announce.holdup=1h",
    ];
    let _burgee = Burgee::start(&with(flags(&neighbour, &[backend()], ""), &more));
    assert_eq!(next(&neighbour), FULL);
    fs::write(&file, "").expect("written");
    assert_eq!(next(&neighbour), Told::Path(1, true));
    assert_eq!(next(&neighbour), Told::Withdrawn);
    fs::remove_file(&file).expect("removed");
    assert_eq!(next(&neighbour), FULL);
}

#[test]
fn a_planned_stop_begins_with_graceful_shutdown_and_says_how_long_each_step_lasts() {
    let neighbour = Neighbour::start(65001);
    let more = ["-bgp.gracefulshutdown=100ms"];
    let mut burgee = Burgee::start(&with(flags(&neighbour, &[backend()], ""), &more));
    let log = burgee.log();
    assert_eq!(next(&neighbour), FULL);
    burgee.signal("TERM");
    assert_eq!(next(&neighbour), Told::Path(1, true));
    assert_eq!(next(&neighbour), Told::Withdrawn);
    assert_eq!(burgee.wait().code(), Some(0));
    let log = log.rest();
    let begun = log.lines().find(|line| line.contains("drain event=begun")).expect("a line");
    assert!(begun.contains("step=graceful_shutdown limit=100ms"), "{log}");
    for step in ["withdrawing", "converging", "finishing", "closing", "done"] {
        assert!(log.contains(&format!("drain event=step step={step} limit=")), "{log}");
    }
}

#[test]
fn after_a_crash_the_first_announcement_is_held_up_and_after_a_planned_stop_it_is_not() {
    let folder = Folder::new("crash");
    let neighbour = Neighbour::start(65001);
    let state = format!("-bgp.announce.statefile={}", folder.file("run/state"));
    let base = flags(&neighbour, &[backend()], "");
    let long = with(base.clone(), &[&state, "-bgp.announce.holdup=1h"]);
    let mut burgee = Burgee::start(&long);
    assert_eq!(next(&neighbour), FULL, "a clean start does not wait");
    burgee.signal("KILL");
    burgee.wait();
    neighbour.expect_end();

    let mut burgee = Burgee::start(&long);
    let mut log = burgee.log();
    log.until("memory event=restored");
    log.until("reason=\"holding up");
    burgee.signal("KILL");
    burgee.wait();

    let short = with(base, &[&state, "-bgp.announce.holdup=200ms"]);
    let mut burgee = Burgee::start(&short);
    let mut log = burgee.log();
    log.until("reason=\"holding up");
    log.until("announce event=announced");
    neighbour.forget();
    burgee.signal("TERM");
    assert_eq!(burgee.wait().code(), Some(0));

    let mut burgee = Burgee::start(&long);
    let mut log = burgee.log();
    log.until("announce event=announced");
    burgee.signal("KILL");
    let seen = log.rest();
    assert!(!seen.contains("holding up"), "{seen}");
}

#[test]
fn only_one_of_two_instances_keeps_a_state_file_and_the_other_one_serves_without() {
    let folder = Folder::new("twins");
    let state = format!("-bgp.announce.statefile={}", folder.file("state"));
    let (one, two) = (Neighbour::start(65001), Neighbour::start(65001));
    let _first = Burgee::start(&with(flags(&one, &[backend()], ""), &[&state]));
    assert_eq!(next(&one), FULL);
    let mut second = Burgee::start(&with(flags(&two, &[backend()], ""), &[&state]));
    second.log().until("memory event=off");
    assert_eq!(next(&two), FULL);
}

#[test]
fn a_registry_that_fails_for_too_long_deprefers_and_one_that_is_back_does_not() {
    let folder = Folder::new("stale");
    let neighbour = Neighbour::start(65001);
    let file = folder.file("routes");
    let mut all = flags(&neighbour, &[], "");
    all.retain(|flag| !flag.starts_with("-registry."));
    let addr = all.iter().find_map(|flag| flag.strip_prefix("-proxy.addr=127.0.0.1:"));
    let port = addr.and_then(|rest| rest.split(';').next()).expect("a port");
    let routes = format!("route add web :{port} tcp://{}\n", backend());
    fs::write(&file, &routes).expect("written");
    let path = format!("-registry.file.path={file}");
    let more = ["-registry.backend=file", &path, "-registry.staleafter=200ms"];
    let mut burgee = Burgee::start(&with(all, &more));
    let mut log = burgee.log();
    assert_eq!(next(&neighbour), FULL);
    fs::remove_file(&file).expect("removed");
    log.until("route event=not_read");
    assert_eq!(next(&neighbour), Told::Path(4, false));
    fs::write(&file, &routes).expect("written");
    assert_eq!(next(&neighbour), FULL);
}

#[test]
fn the_service_manager_hears_of_every_turn_of_life() {
    let folder = Folder::new("manager");
    let path = folder.file("notify");
    let socket = UnixDatagram::bind(&path).expect("a socket");
    let said = |wanted: &str| {
        let mut buffer = [0; 4096];
        loop {
            let length = socket.recv(&mut buffer).expect("a datagram");
            let text = String::from_utf8_lossy(&buffer[..length]).into_owned();
            if text.lines().any(|line| line.starts_with(wanted)) {
                return text;
            }
        }
    };
    let neighbour = Neighbour::start(65001);
    let mut command = Command::new(binary());
    command.arg("run").args(flags(&neighbour, &[backend()], "")).stderr(Stdio::null());
    command.env("NOTIFY_SOCKET", &path).env("WATCHDOG_USEC", "200000");
    let mut burgee = Burgee::spawn(&mut command);
    said("READY=1");
    said("STATUS=serving: 1 of 1 prefixes announced, 1 of 1 sessions established");
    said("WATCHDOG=1");
    said("WATCHDOG=1");
    burgee.signal("HUP");
    assert!(said("RELOADING=1").contains("MONOTONIC_USEC="));
    said("READY=1");
    burgee.signal("TERM");
    said("STOPPING=1");
    assert_eq!(burgee.wait().code(), Some(0));
}
