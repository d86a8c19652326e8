//! The unit in `vendor-config/systemd`: that it is valid, and that what it
//! allows is enough, by a burgee that has no more than that.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, unreachable_pub, dead_code)]

mod common;

use std::collections::BTreeSet;
use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::thread;

use common::namespace::{is_inside, run};
use common::program::{BOUND, Log, binary};
use common::running::File;
use common::traced::Traced;

const UNIT: &str = include_str!("../vendor-config/systemd/burgee.service");
const VIP: &str = include_str!("../vendor-config/systemd/vip.conf");

/// The values of one key of a unit, in order.
fn values<'a>(unit: &'a str, key: &str) -> Vec<&'a str> {
    let pairs = unit.lines().filter_map(|line| line.split_once('='));
    pairs.filter(|(found, _)| *found == key).map(|(_, value)| value).collect()
}

/// The unit on disk, for the binary under test, perhaps with the drop-in.
struct Installed(PathBuf);

impl Installed {
    fn new(name: &str, drop_in: bool) -> Installed {
        let directory = std::env::temp_dir().join(format!("burgee-{}-{name}", std::process::id()));
        let _ = fs::remove_dir_all(&directory);
        fs::create_dir_all(directory.join("burgee.service.d")).unwrap();
        let unit = UNIT.replace("/usr/bin/burgee", &binary());
        fs::write(directory.join("burgee.service"), unit).unwrap();
        if drop_in {
            fs::write(directory.join("burgee.service.d/vip.conf"), VIP).unwrap();
        }
        Installed(directory)
    }

    fn analyze(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new("systemd-analyze");
        command.args(arguments).arg(self.0.join("burgee.service")).env("SYSTEMD_PAGER", "cat");
        command.output().expect("systemd-analyze of systemd")
    }
}

impl Drop for Installed {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[test]
fn systemd_understands_all_of_it() {
    for drop_in in [false, true] {
        let output = Installed::new("unit-valid", drop_in).analyze(&["verify", "--man=no"]);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && said.is_empty(), "{said}");
    }
    let output = {
        let installed = Installed::new("unit-broken", false);
        let path = installed.0.join("burgee.service");
        fs::write(&path, UNIT.replace("Type=notify", "Type=telepathy")).unwrap();
        installed.analyze(&["verify", "--man=no"])
    };
    assert!(!output.stderr.is_empty(), "the test would not notice");
}

/// In tenths of the points of `systemd-analyze security`, where 100 is no
/// protection at all. What is left is what a load balancer is for: the network,
/// ports below 1024, the control socket.
#[test]
fn it_is_exposed_no_more_than_it_has_to_be() {
    for (drop_in, threshold) in [(false, "16"), (true, "18")] {
        let limit = format!("--threshold={threshold}");
        let installed = Installed::new("unit-exposure", drop_in);
        let output = installed.analyze(&["security", "--offline=true", &limit, "--no-pager"]);
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success() && said.contains("Overall exposure"), "{said}");
    }
}

/// The system calls of a set such as `@system-service`.
fn calls_of(set: &str) -> BTreeSet<String> {
    let output = Command::new("systemd-analyze").args(["syscall-filter", set]).output();
    let text = String::from_utf8(output.expect("systemd-analyze of systemd").stdout).unwrap();
    let words = text.lines().skip(1).map(str::trim).filter(|word| !word.starts_with('#'));
    let mut calls = BTreeSet::new();
    for word in words.filter(|word| !word.is_empty()) {
        match word.strip_prefix('@') {
            Some(_) => calls.extend(calls_of(word)),
            None => _ = calls.insert(word.to_owned()),
        }
    }
    assert!(!calls.is_empty(), "{set}");
    calls
}

/// What the unit lets the process call.
fn allowed_calls() -> BTreeSet<String> {
    let mut allowed = BTreeSet::new();
    for line in values(UNIT, "SystemCallFilter") {
        let (denied, sets) = line.strip_prefix('~').map_or((false, line), |sets| (true, sets));
        for call in sets.split(' ').flat_map(calls_of) {
            match denied {
                true => allowed.remove(&call),
                false => allowed.insert(call),
            };
        }
    }
    allowed
}

/// A life of burgee with the capabilities of the unit, from its start to its
/// end, by what it tells the service manager.
struct Life {
    manager: UnixDatagram,
    burgee: Traced,
    log: Log,
    file: File,
}

impl Life {
    fn start(name: &str, unit: &str, routes: &str) -> Life {
        run("ip link set lo up");
        let file = File::new(name, "");
        let directory = file.0.parent().unwrap().to_owned();
        file.write(&configuration(&directory));
        fs::write(directory.join("routes"), routes).unwrap();
        let path = directory.join("manager");
        let manager = UnixDatagram::bind(&path).unwrap();
        manager.set_read_timeout(Some(BOUND)).unwrap();
        let capabilities = values(unit, "CapabilityBoundingSet").join(" ").to_lowercase();
        let only = |sign: &str| {
            let names = capabilities.split(' ').map(|name| name.trim_start_matches("cap_"));
            names.fold("-all".to_owned(), |list, name| format!("{list},{sign}{name}"))
        };
        let mut command = Command::new("setpriv");
        command
            .args([format!("--bounding-set={}", only("+")), format!("--inh-caps={}", only("+"))])
            .args([&format!("--ambient-caps={}", only("+")), "--no-new-privs"])
            .stderr(Stdio::piped())
            .env("NOTIFY_SOCKET", &path)
            .env("WATCHDOG_USEC", "200000");
        // By flags, because other tests switch them off in the environment.
        let flags = [
            "-cfg".to_owned(),
            file.path().to_owned(),
            format!("-bgp.announce.statefile={}", directory.join("state").display()),
            format!("-ui.socket={}", directory.join("control.sock").display()),
            "-ui.addr=127.0.0.1:9998;proto=http".to_owned(),
        ];
        let mut burgee = Traced::under(&mut command, name, &flags);
        let log = burgee.burgee.log();
        Life { manager, burgee, log, file }
    }

    /// Waits until the service manager is told a line.
    fn is_told(&self, line: &str) {
        let mut buffer = [0; 4096];
        loop {
            let count = self.manager.recv(&mut buffer).unwrap();
            let text = std::str::from_utf8(&buffer[..count]).unwrap();
            if text.lines().any(|said| said == line) {
                return;
            }
        }
    }
}

/// All that takes a privilege or an unusual call.
fn configuration(directory: &Path) -> String {
    let directory = directory.display();
    format!(
        "proxy.addr = :80;proto=tcp,192.0.2.10:443;proto=tcp;freebind=true,:53;proto=udp\n\
         registry.backend = file\n\
         registry.file.path = {directory}/routes\n\
         bgp.enabled = true\n\
         bgp.asn = 65001\n\
         bgp.routerid = 10.0.0.1\n\
         bgp.nexthop = 10.0.0.1\n\
         bgp.anycastaddresses = 192.0.2.10/32\n\
         bgp.peers = address=127.0.0.2;asn=65000;password=secret;ttlsecurity=1,\
         address=127.0.0.3;asn=65000;bfd=true\n\
         bgp.maintenancefile = {directory}/maintenance\n\
         bgp.vip = lo\n\
         bgp.announce = always\n\
         log.access.target = stdout\n\
         proxy.shutdownwait = 0s\n\
         proxy.deregistergraceperiod = 0s\n"
    )
}

/// A target that sends back what it gets, over TCP and UDP.
fn echo() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let socket = UdpSocket::bind(("127.0.0.1", port)).unwrap();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut buffer = [0; 512];
            while let Ok(count @ 1..) = stream.read(&mut buffer) {
                let _ = stream.write_all(&buffer[..count]);
            }
        }
    });
    thread::spawn(move || {
        let mut buffer = [0; 512];
        while let Ok((count, client)) = socket.recv_from(&mut buffer) {
            let _ = socket.send_to(&buffer[..count], client);
        }
    });
    port
}

fn live(name: &str, unit: &str, vip: &str) {
    if !is_inside(name, &[]) {
        return;
    }
    let port = echo();
    let routes = format!(
        "route add web :80 tcp://127.0.0.1:{port}\nroute add dns :53 udp://127.0.0.1:{port}\n"
    );
    let mut life = Life::start(name, unit, &routes);
    let directory = life.file.0.parent().unwrap().to_owned();
    life.is_told("READY=1");
    life.log.until(vip);
    life.is_told("WATCHDOG=1");
    let mut buffer = [0; 16];
    let mut stream = TcpStream::connect("127.0.0.1:80").unwrap();
    stream.write_all(b"hello").unwrap();
    stream.read_exact(&mut buffer[..5]).unwrap();
    drop(stream);
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.send_to(b"hello", "127.0.0.1:53").unwrap();
    assert_eq!(socket.recv(&mut buffer).unwrap(), 5);
    fs::write(directory.join("routes"), format!("{routes}\n")).unwrap();
    life.log.until("route event=loaded");
    fs::write(directory.join("maintenance"), "").unwrap();
    life.log.until("announce event=withdrawn");
    fs::remove_file(directory.join("maintenance")).unwrap();
    life.log.until("announce event=announced");
    life.burgee.signal("HUP");
    life.is_told("READY=1");
    life.burgee.signal("TERM");
    life.is_told("STOPPING=1");
    assert!(life.burgee.burgee.wait().success());
    let allowed = allowed_calls();
    let made: BTreeSet<String> = life.burgee.calls_since(0).into_iter().collect();
    assert!(made.contains("recvmmsg") && made.contains("flock"), "{made:?}");
    let beyond: Vec<_> = made.difference(&allowed).collect();
    assert!(beyond.is_empty(), "the unit denies {beyond:?}");
}

#[test]
fn what_it_allows_is_enough() {
    live("what_it_allows_is_enough", UNIT, "vip event=failed action=add");
}

#[test]
fn what_it_allows_with_the_drop_in_is_enough_for_addresses() {
    let both = format!("{UNIT}\n{VIP}");
    live("what_it_allows_with_the_drop_in_is_enough_for_addresses", &both, "vip event=added");
}
