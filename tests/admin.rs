//! The admin API and the commands of the real binary, from outside.

#![cfg(feature = "http")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, unreachable_pub, dead_code)]

mod common;

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::thread;
use std::time::Duration;

use burgee::admin::view::{AnnouncementView, InstanceState, SessionState, StatusView};
use common::neighbour::Neighbour;
use common::program::{Burgee, Log, backend, binary, free_port, signal};
use serde_json::{Value, json};

const PREFIX: &str = "192.0.2.10/32";
const SECRET: &str = "correct-horse";

/// Between two looks at something that comes when it comes.
const LOOK: Duration = Duration::from_millis(20);

/// A balancer with one neighbour and an API.
struct Rig {
    burgee: Burgee,
    log: Log,
    directory: PathBuf,
    api: SocketAddr,
    neighbour: Neighbour,
}

impl Rig {
    /// In front of these targets, with these settings besides.
    fn start(name: &str, targets: &[SocketAddr], more: &[&str]) -> Rig {
        Rig::spawn(name, targets, more, &mut Command::new(binary()))
    }

    fn spawn(name: &str, targets: &[SocketAddr], more: &[&str], command: &mut Command) -> Rig {
        let directory = std::env::temp_dir().join(format!("burgee-{}-{name}", std::process::id()));
        fs::create_dir_all(&directory).unwrap();
        let neighbour = Neighbour::start(65001);
        let (proxy, api) = (free_port(), free_port());
        let routes: Vec<String> =
            targets.iter().map(|it| format!("route add web :{proxy} tcp://{it}")).collect();
        let peer = neighbour.address;
        let mut settings = vec![
            format!("proxy.addr = 127.0.0.1:{proxy};proto=tcp"),
            format!("registry.static.routes = {}", routes.join("\\n")),
            "health.interval = 100ms".to_owned(),
            "health.fastinterval = 50ms".to_owned(),
            "bgp.enabled = true".to_owned(),
            "bgp.asn = 65001".to_owned(),
            "bgp.routerid = 203.0.113.1".to_owned(),
            "bgp.listenport = -1".to_owned(),
            "bgp.connectretry = 1s".to_owned(),
            "bgp.announce.holdup = 0s".to_owned(),
            format!("bgp.anycastaddresses = {PREFIX}"),
            format!("bgp.peers = address={};port={};asn=65000", peer.ip(), peer.port()),
            format!("ui.addr = 127.0.0.1:{api}"),
            format!("ui.socket = {}", directory.join("control.sock").display()),
        ];
        settings.extend(more.iter().map(|text| (*text).to_owned()));
        let file = directory.join("burgee.properties");
        fs::write(&file, settings.join("\n")).unwrap();
        command.args(["run", "-cfg"]).arg(&file);
        let mut burgee = spawn(command);
        let log = burgee.log();
        let api = SocketAddr::from(([127, 0, 0, 1], api));
        Rig { burgee, log, directory, api, neighbour }
    }

    /// Until it announces, and its neighbour has been told.
    fn serving(mut self) -> Rig {
        self.log.until("route event=loaded");
        self.until("/api/status", |status: &StatusView| {
            let announced = &status.announcements[0];
            status.sessions[0].state == SessionState::Established && announced.sent_to == 1
        });
        self
    }

    fn socket(&self) -> PathBuf {
        self.directory.join("control.sock")
    }

    fn configuration(&self) -> String {
        self.directory.join("burgee.properties").display().to_string()
    }

    /// Asks until the answer is as it should be.
    fn until<T: serde::de::DeserializeOwned>(
        &self,
        target: &str,
        is_right: impl Fn(&T) -> bool,
    ) -> T {
        for _ in 0..3000 {
            let text = self.get(target).body;
            let value = serde_json::from_str(&text).unwrap_or_else(|it| panic!("{it}: {text}"));
            if is_right(&value) {
                return value;
            }
            thread::sleep(LOOK);
        }
        panic!("never: {}", self.get(&format!("{target}?pretty")).body)
    }

    /// Over TCP, as a program that is no browser.
    fn ask(&self, method: &str, target: &str, fields: &[&str]) -> Answer {
        ask(TcpStream::connect(self.api).unwrap(), method, target, fields)
    }

    fn get(&self, target: &str) -> Answer {
        self.ask("GET", target, &[])
    }

    fn over_socket(&self, method: &str, target: &str) -> Answer {
        ask(UnixStream::connect(self.socket()).unwrap(), method, target, &[])
    }

    /// A command with the configuration of this instance.
    fn command(&self, arguments: &[&str]) -> Output {
        let configuration = self.configuration();
        run(&[arguments, &["-cfg", &configuration]].concat())
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.directory);
    }
}

/// Starts a burgee whose API is where its file says.
fn spawn(command: &mut Command) -> Burgee {
    command.env_remove("FABIO_UI_ADDR").env_remove("FABIO_UI_SOCKET");
    Burgee::spawn(command.stderr(Stdio::piped()))
}

struct Answer {
    status: u16,
    head: String,
    body: String,
}

fn ask(mut stream: impl Read + Write, method: &str, target: &str, fields: &[&str]) -> Answer {
    let host = match fields.iter().any(|field| field.starts_with("Host:")) {
        true => "",
        false => "Host: localhost\r\n",
    };
    let fields: String = fields.iter().map(|field| format!("{field}\r\n")).collect();
    let request = format!("{method} {target} HTTP/1.0\r\n{host}{fields}\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no head: {text:?}"));
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    Answer { status, head: head.to_owned(), body: body.to_owned() }
}

fn run(arguments: &[&str]) -> Output {
    Command::new(binary()).args(arguments).env_clear().output().unwrap()
}

fn text(octets: &[u8]) -> &str {
    std::str::from_utf8(octets).unwrap()
}

/// Exit code, and what was printed; what was complained about, if it is not 0
/// or 1.
fn said(output: &Output) -> (i32, String) {
    let shown = [text(&output.stdout), text(&output.stderr)].concat();
    (output.status.code().unwrap(), shown)
}

#[test]
fn what_it_does_is_told_over_both_sockets_and_on_the_command_line() {
    let rig = Rig::start("told", &[backend()], &[]).serving();
    assert_eq!((rig.get("/health").status, rig.get("/health").body.as_str()), (200, "OK\n"));
    assert_eq!(rig.get("/api/version").body, env!("CARGO_PKG_VERSION"));
    let status: StatusView = serde_json::from_str(&rig.get("/api/status").body).unwrap();
    assert_eq!(status.instance.state, InstanceState::Serving);
    assert_eq!(status.instance.pid, rig.burgee.pid());
    assert_eq!(status.services.listed[0].service, "web");
    assert_eq!((status.services.targets, status.services.targets_healthy), (1, 1));
    let over_socket = rig.over_socket("GET", "/api/status");
    assert_eq!(over_socket.status, 200);
    let (code, page) = said(&rig.command(&["status"]));
    assert_eq!(code, 0, "{page}");
    let name = &status.sessions[0].name;
    for part in ["NEIGHBOURS  1 of 1 established", name, "PREFIXES    1 of 1 announced", PREFIX] {
        assert!(page.contains(part), "no {part} in\n{page}");
    }
    assert!(page.contains("SERVICES    1 of 1 healthy, 1 of 1 targets\n"), "{page}");
    assert!(!page.contains('\x1b'), "no colour where there is no terminal");
    let (code, page) = said(&rig.command(&["status", "--json"]));
    let json: StatusView = serde_json::from_str(&page).unwrap();
    assert_eq!((code, json.sessions.len()), (0, 1));
    let (code, page) = said(&rig.command(&["explain", PREFIX]));
    assert_eq!(code, 0, "{page}");
    assert!(page.starts_with(&format!("{PREFIX}  announced  for ")), "{page}");
    assert!(page.contains("AS_PATH 65001, next hop 203.0.113.1"), "{page}");
    let (code, page) = said(&rig.command(&["explain", "192.0.2.10", "--json"]));
    let view: AnnouncementView = serde_json::from_str(&page).unwrap();
    assert_eq!((code, view.prefix.as_str(), view.peers.len()), (0, PREFIX, 1));
    let socket = rig.socket().display().to_string();
    assert_eq!(said(&run(&["status", "--socket", &socket])).0, 0, "without the configuration");
}

#[test]
fn commands_withdraw_and_take_that_back() {
    let rig = Rig::start("orders", &[backend()], &[]).serving();
    for of_one in [true, false] {
        let with_prefix = |verb| if of_one { vec![verb, PREFIX] } else { vec![verb] };
        let (code, message) = said(&rig.command(&with_prefix("drain")));
        assert_eq!(code, 0, "{message}");
        rig.until("/api/status", |status: &StatusView| status.announcements[0].sent_to == 0);
        let (code, page) = said(&rig.command(&["status"]));
        assert_eq!(code, 1, "{page}");
        assert!(page.contains("! 192.0.2.10/32  withdrawn"), "{page}");
        assert!(page.contains("1 of 1 established"), "sessions stay up:\n{page}");
        let (code, page) = said(&rig.command(&["explain", PREFIX]));
        assert_eq!(code, 1, "{page}");
        assert!(page.contains("\n! no  "), "{page}");
        let (code, message) = said(&rig.command(&with_prefix("resume")));
        assert_eq!(code, 0, "{message}");
        rig.until("/api/status", |status: &StatusView| status.announcements[0].sent_to == 1);
        assert_eq!(said(&rig.command(&["status"])).0, 0);
    }
    let (code, message) = said(&rig.command(&["drain", "198.51.100.0/24"]));
    assert_eq!(code, 2, "{message}");
    assert_eq!(said(&rig.command(&["explain", "198.51.100.0/24"])).0, 2);
    assert_eq!(rig.get("/health").status, 200);
}

#[test]
fn health_is_red_in_maintenance_and_in_a_stop() {
    let more = ["proxy.deregistergraceperiod = 60s"];
    let mut rig = Rig::start("red", &[backend()], &more).serving();
    assert_eq!(rig.over_socket("POST", "/api/drain").status, 200);
    let health = rig.get("/health");
    assert_eq!(health.status, 503, "from the first moment");
    assert!(!health.body.is_empty() && health.body.ends_with('\n'), "{}", health.body);
    let in_maintenance = |status: &StatusView| status.instance.state == InstanceState::Maintenance;
    let status = rig.until("/api/status", in_maintenance);
    assert!(status.instance.maintenance.is_some() && !status.instance.health.ok);
    assert_eq!(rig.over_socket("POST", "/api/resume").status, 200);
    rig.until("/api/status", |status: &StatusView| status.instance.health.ok);
    rig.burgee.signal("TERM");
    rig.log.until("drain event=begun");
    assert_eq!(rig.get("/health").status, 503);
    let status: StatusView = serde_json::from_str(&rig.get("/api/status").body).unwrap();
    assert_eq!(status.instance.state, InstanceState::Draining);
    let stop = status.instance.stop.expect("a stop");
    assert!(stop.remaining_ms <= 60_000, "{stop:?}");
    let (code, page) = said(&rig.command(&["status"]));
    assert_eq!(code, 1, "{page}");
    assert!(page.contains("  stopping: "), "{page}");
    assert_eq!(rig.over_socket("POST", "/api/resume").status, 409, "a stop goes on");
    // The second one skips the waits.
    rig.burgee.signal("TERM");
    assert!(rig.burgee.wait().success());
    assert!(!rig.socket().exists(), "the socket is gone");
    let (code, message) = said(&rig.command(&["status"]));
    assert_eq!(code, 3, "{message}");
    assert!(message.contains(rig.socket().to_str().unwrap()), "{message}");
    assert!(message.contains("burgee does not run"), "{message}");
}

#[test]
fn why_a_prefix_is_gone_is_explained() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let target = listener.local_addr().unwrap();
    let rig = Rig::start("why", &[target], &[]).serving();
    drop(listener);
    let of_prefix = format!("/api/announcements/{PREFIX}");
    let view: AnnouncementView = rig.until(&of_prefix, |view: &AnnouncementView| view.sent_to == 0);
    assert!(!view.can_serve && view.changes > 0 && view.penalty > 0, "{view:?}");
    assert_eq!(view.services[0].healthy, 0);
    let (code, page) = said(&rig.command(&["explain", PREFIX]));
    assert_eq!(code, 1, "{page}");
    let condition = page.lines().find(|line| line.starts_with("! no  targets"));
    let condition = condition.unwrap_or_else(|| panic!("no reason in\n{page}"));
    assert!(condition.contains("refused"), "{condition}");
    let (_, page) = said(&rig.command(&["status"]));
    assert!(page.lines().any(|line| line.starts_with("! web  0/1  ")), "{page}");
}

#[test]
fn without_an_instance_commands_say_what_to_do() {
    let missing = std::env::temp_dir().join(format!("burgee-{}-missing", std::process::id()));
    let missing = missing.to_str().unwrap();
    for command in [&["status"][..], &["explain", PREFIX], &["drain"], &["resume", PREFIX]] {
        let (code, message) = said(&run(&[command, &["--socket", missing]].concat()));
        assert_eq!(code, 3, "{message}");
        assert!(message.starts_with("error: no instance answers at "), "{message}");
        assert!(message.contains(missing), "{message}");
    }
    for wrong in [&["explain"][..], &["explain", "web"], &["status", "-nonsense=1"]] {
        let (code, message) = said(&run(wrong));
        assert_eq!(code, 2, "{message}");
    }
}

#[test]
fn orders_are_for_those_who_may() {
    let rig = Rig::start("ro", &[backend()], &["ui.access = ro"]).serving();
    for answer in [rig.ask("POST", "/api/drain", &[]), rig.over_socket("POST", "/api/drain")] {
        assert_eq!(answer.status, 403, "{}", answer.body);
    }
    let (code, message) = said(&rig.command(&["drain"]));
    assert_eq!(code, 1, "{message}");
    assert!(message.contains("ui.access is ro"), "{message}");
    assert_eq!(said(&rig.command(&["status"])).0, 0, "looking is allowed");
}

#[test]
fn who_asks_on_the_address_has_to_say_who_he_is() {
    let more = ["ui.username = ann", &format!("ui.password = {SECRET}"), "ui.path = /lb"];
    let rig = Rig::start("credentials", &[backend()], &more);
    let known = "Authorization: Basic YW5uOmNvcnJlY3QtaG9yc2U=";
    for _ in 0..3000 {
        if rig.socket().exists() {
            break;
        }
        thread::sleep(LOOK);
    }
    assert_eq!(rig.get("/lb/api/version").status, 401);
    assert!(rig.get("/lb/api/version").head.contains("\r\nWWW-Authenticate: Basic "));
    assert_eq!(rig.get("/metrics").status, 401);
    assert_eq!(rig.ask("GET", "/lb/api/version", &[known]).status, 200);
    assert_eq!(rig.ask("GET", "/api/version", &[known]).status, 404, "without the prefix");
    assert_eq!(rig.ask("GET", "/metrics", &[known]).status, 200);
    assert!([200, 503].contains(&rig.get("/health").status));
    assert_eq!(rig.over_socket("GET", "/api/version").status, 200);
    let config = rig.over_socket("GET", "/api/config").body;
    let value: Value = serde_json::from_str(&config).unwrap();
    assert_eq!(value["Burgee"]["ui.password"], "***", "{config}");
    assert!(!config.contains(SECRET), "{config}");
}

#[test]
fn pages_of_strangers_get_nothing() {
    let rig = Rig::start("strangers", &[backend()], &[]).serving();
    let drain = |fields: &[&str]| rig.ask("POST", "/api/drain", fields).status;
    assert_eq!(drain(&["Origin: http://evil.example"]), 403);
    assert_eq!(drain(&["Origin: null"]), 403);
    assert_eq!(drain(&["Host: evil.example", "Origin: http://evil.example"]), 421);
    assert_eq!(rig.ask("GET", "/api/status", &["Host: evil.example"]).status, 421);
    let own = format!("Origin: http://{}", rig.api);
    assert_eq!(drain(&[&format!("Host: {}", rig.api), &own]), 200);
    rig.until("/api/status", |status: &StatusView| status.announcements[0].sent_to == 0);
}

#[test]
fn routes_and_settings_are_told_as_fabio_does() {
    let targets = [backend(), backend()];
    let more = [&format!("bgp.templates = name=lab;password={SECRET}") as &str];
    let rig = Rig::start("fabio", &targets, &more).serving();
    let routes: Value = serde_json::from_str(&rig.get("/api/routes").body).unwrap();
    let first = routes
        .as_array()
        .unwrap()
        .iter()
        .find(|route| route["dst"].as_str().unwrap().contains(&targets[0].to_string()));
    let first = first.unwrap();
    assert_eq!((&first["service"], &first["cmd"]), (&json!("web"), &json!("route add")));
    assert_eq!(first["weight"], 0.5);
    let raw = rig.get("/api/routes?raw");
    assert!(raw.head.contains("\r\nContent-Type: text/plain; charset=utf-8\r\n"), "{}", raw.head);
    assert_eq!(raw.body.lines().count(), 2);
    assert!(raw.body.lines().all(|line| line.starts_with("route add web :")), "{}", raw.body);
    let config = rig.get("/api/config?pretty").body;
    let value: Value = serde_json::from_str(&config).unwrap();
    assert_eq!(value["BGP"]["Asn"], 65001);
    assert_eq!(value["BGP"]["Peers"][0]["Asn"], 65000);
    assert_eq!(value["BGP"]["AnycastAddresses"], json!([PREFIX]));
    assert_eq!(value["Listen"][0]["Proto"], "tcp");
    assert_eq!(value["Proxy"]["DialTimeout"], 30_000_000_000_u64);
    assert_eq!(value["Burgee"]["health.interval"], "100ms");
    assert!(!config.contains(SECRET), "{config}");
    assert!(config.starts_with("{\n    \""), "{config}");
}

#[test]
fn prometheus_can_read_the_metrics() {
    let rig = Rig::start("metrics", &[backend()], &[]).serving();
    let answer = rig.get("/metrics");
    assert!(answer.head.contains("\r\nContent-Type: text/plain; version=0.0.4; "));
    let name = rig.neighbour.address.ip();
    for line in [
        "burgee_healthy 1".to_owned(),
        "burgee_instance_state{state=\"serving\"} 1".to_owned(),
        format!("burgee_announced{{prefix=\"{PREFIX}\"}} 1"),
        format!("burgee_announcement_peers{{prefix=\"{PREFIX}\"}} 1"),
        "burgee_service_targets_healthy{service=\"web\"} 1".to_owned(),
        "burgee_panics_total".to_owned(),
        format!("burgee_bgp_session_up{{peer=\"{name}"),
    ] {
        let has = answer.body.lines().any(|own| own.starts_with(&line));
        assert!(has, "no {line} in\n{}", answer.body);
    }
    let mut command = Command::new("promtool");
    command.args(["check", "metrics"]).stdin(Stdio::piped());
    let Ok(mut child) = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn() else {
        return eprintln!("SKIPPED: promtool is not installed; tests/install does that");
    };
    child.stdin.take().unwrap().write_all(answer.body.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
}

#[test]
fn a_fault_in_the_api_costs_one_connection() {
    let mut command = Command::new(binary());
    command.env("BURGEE_INJECT_PANIC", "admin");
    let rig = Rig::spawn("panic", &[backend()], &[], &mut command);
    for _ in 0..3000 {
        if rig.socket().exists() {
            break;
        }
        thread::sleep(LOOK);
    }
    let mut stream = UnixStream::connect(rig.socket()).unwrap();
    // It may be dropped before that is written, and with it unread it is reset.
    let _ = stream.write_all(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_eq!(stream.read(&mut [0; 100]).unwrap_or(0), 0);
    let rig = rig.serving();
    let status: StatusView = serde_json::from_str(&rig.get("/api/status").body).unwrap();
    assert_eq!(status.instance.panics, 1);
    let (_, page) = said(&rig.command(&["status"]));
    assert!(page.contains("! 1 fault caught"), "{page}");
}

#[test]
fn a_reload_moves_the_api() {
    let mut rig = Rig::start("reload", &[backend()], &[]).serving();
    let old = fs::read_to_string(rig.configuration()).unwrap();
    let (port, moved) = (free_port(), rig.directory.join("moved.sock"));
    let text = old
        .replace(&rig.api.to_string(), &format!("127.0.0.1:{port}"))
        .replace("control.sock", "moved.sock");
    fs::write(rig.configuration(), format!("{text}\nui.access = ro\n")).unwrap();
    rig.burgee.signal("HUP");
    rig.log.until("reload event=done");
    assert!(TcpStream::connect(rig.api).is_err());
    rig.api.set_port(port);
    assert_eq!(rig.get("/api/version").status, 200);
    assert!(moved.exists() && !rig.socket().exists());
    assert_eq!(said(&rig.command(&["status"])).0, 0, "the commands read the file as well");
    assert_eq!(rig.ask("POST", "/api/drain", &[]).status, 403, "and read only");
}

#[test]
fn an_address_that_is_taken_is_an_error_only_where_it_was_asked_for() {
    const DEFAULT: &str = "127.0.0.1:9998";
    // If this fails, somebody else has it, which is the same here.
    let _taken = TcpListener::bind(DEFAULT);
    let start = |more: &str| {
        let mut command = Command::new(binary());
        let port = free_port();
        command.args(["run", &format!("-proxy.addr=127.0.0.1:{port};proto=tcp"), "-ui.socket="]);
        command.args(Some(more).filter(|more| !more.is_empty()));
        spawn(&mut command)
    };
    let mut burgee = start("");
    let log = burgee.log().until("admin event=not_listening");
    assert!(log.contains(DEFAULT) && log.contains("in use"), "{log}");
    assert!(burgee.is_running(), "it serves without");
    let mut burgee = start(&format!("-ui.addr={DEFAULT}"));
    let log = burgee.log().until("daemon event=start_failed");
    assert!(log.contains("ui.addr") && log.contains("in use"), "{log}");
    assert_eq!(burgee.wait().code(), Some(1));
}

#[test]
fn a_page_is_drawn_until_nobody_reads_it() {
    let rig = Rig::start("watch", &[backend()], &[]).serving();
    let configuration = rig.configuration();
    let mut command = Command::new(binary());
    command.args(["status", "--watch", "-cfg", &configuration]).stdout(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut out = child.stdout.take().unwrap();
    let mut text = String::new();
    while text.matches("NEIGHBOURS").count() < 2 {
        let mut octets = [0; 1024];
        let count = out.read(&mut octets).unwrap();
        assert!(count > 0, "it ended after {text}");
        text.push_str(std::str::from_utf8(&octets[..count]).unwrap());
    }
    drop(out);
    assert!(child.wait().unwrap().success());
    let mut command = Command::new(binary());
    command.args(["explain", PREFIX, "--watch", "-cfg", &configuration]).stdout(Stdio::null());
    let mut child = command.spawn().unwrap();
    signal(child.id(), "INT");
    assert!(!child.wait().unwrap().success(), "interrupted");
}

#[test]
fn a_socket_that_a_dead_instance_left_behind_is_taken_over() {
    let mut rig = Rig::start("stale", &[backend()], &[]).serving();
    rig.burgee.signal("KILL");
    rig.burgee.wait();
    assert!(rig.socket().exists());
    let (code, message) = said(&rig.command(&["status"]));
    assert_eq!(code, 3, "{message}");
    assert!(message.contains("is gone"), "{message}");
    let mut again = spawn(Command::new(binary()).args(["run", "-cfg", &rig.configuration()]));
    again.log().until("route event=loaded");
    assert!(Path::new(&rig.socket()).exists());
    assert_eq!(rig.over_socket("GET", "/api/version").status, 200);
}
