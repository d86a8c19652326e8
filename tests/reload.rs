//! The real binary while its configuration changes: what is touched, and what
//! is not.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, unreachable_pub, dead_code)]

mod common;

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Command;

use burgee::bgp::message::attribute::Attributes;
use burgee::bgp::message::header::MessageType;
use burgee::bgp::message::notification::Notification;
use burgee::bgp::message::prefix::Family;
use burgee::bgp::message::update::{Context, parse};
use common::neighbour::{Heard, Neighbour};
use common::program::{backend_saying, binary, free_port};
use common::running::{File, Running};

/// What a new client gets first.
fn greeting(port: u16) -> std::io::Result<String> {
    greeting_of(&mut TcpStream::connect(("127.0.0.1", port))?)
}

fn greeting_of(stream: &mut TcpStream) -> std::io::Result<String> {
    let mut buffer = [0; 6];
    stream.read_exact(&mut buffer)?;
    Ok(String::from_utf8_lossy(&buffer).into_owned())
}

/// Announced prefixes with their attributes, and withdrawn ones, of the next
/// UPDATE that has any. The session must not end before.
fn next_routes(neighbour: &Neighbour) -> (Vec<(String, Attributes)>, Vec<String>) {
    let context = Context {
        four_octet_as: true,
        families: Family::ALL.into_iter().collect(),
        ..Context::default()
    };
    loop {
        let body = neighbour.expect(MessageType::Update);
        let update = parse(&body, &context).expect("well-formed");
        if update.is_end_of_rib().is_none() {
            let announced = update
                .announced()
                .map(|(family, _, prefix)| (prefix.to_string(), update.attributes_for(family)));
            let withdrawn = update.withdrawn().map(|(_, _, prefix)| prefix.to_string());
            return (announced.collect(), withdrawn.collect());
        }
    }
}

/// Prefix and MED of each announced route of the next UPDATE.
fn next_meds(neighbour: &Neighbour) -> Vec<(String, Option<u32>)> {
    let (announced, withdrawn) = next_routes(neighbour);
    assert!(withdrawn.is_empty(), "{withdrawn:?}");
    announced.into_iter().map(|(prefix, attributes)| (prefix, attributes.med)).collect()
}

/// Code and subcode of the NOTIFICATION that comes next.
fn next_cease(neighbour: &Neighbour) -> (u8, u8) {
    let body = neighbour.expect(MessageType::Notification);
    let notification = Notification::parse(&body).expect("well-formed");
    (notification.code, notification.subcode)
}

/// A speaker that announces whatever happens.
fn speaker(prefixes: &str, peers: &str) -> String {
    format!(
        "bgp.enabled=true\nbgp.asn=65001\nbgp.routerid=203.0.113.1\nbgp.announce=always\n\
         bgp.listenport=-1\nbgp.connectretry=1s\nbgp.anycastaddresses={prefixes}\n\
         bgp.peers={peers}\n"
    )
}

fn peer(neighbour: &Neighbour, options: &str) -> String {
    let at = neighbour.address;
    format!("address={};port={};asn=65000{options}", at.ip(), at.port())
}

#[test]
fn a_bad_file_is_named_with_its_line_and_everything_goes_on() {
    let port = free_port();
    let good = format!(
        "proxy.addr=127.0.0.1:{port};proto=tcp\n\
         registry.static.routes=route add web :{port} tcp://{}\n",
        backend_saying("first\n")
    );
    let mut running = Running::start("bad", &good);
    assert_eq!(greeting(port).expect("served"), "first\n");
    running.file.write(&format!("{good}log.level=WARN\nproxy.dialtimeout=soon\n"));
    running.burgee.signal("HUP");
    let line = running.log.until("reload event=error");
    let place = format!("{}:4: proxy.dialtimeout", running.file.path());
    assert!(line.contains(&place) && line.contains("expected a duration"), "{line}");
    let line = running.log.until("event=refused");
    assert!(line.contains("the old configuration stays in force"), "{line}");
    assert_eq!(greeting(port).expect("served as before"), "first\n");
    fs::remove_file(&running.file.0).expect("it is there");
    running.burgee.signal("HUP");
    assert!(running.log.until("reload event=error").contains("cannot be read"));
    running.log.until("event=refused");
    // One good part of a refused file is not in force: INFO is still written.
    assert!(running.reload(&good).contains("changes=0"));
}

#[test]
fn a_listener_that_cannot_be_opened_refuses_the_whole() {
    let (port, taken) = (free_port(), std::net::TcpListener::bind("127.0.0.1:0").expect("free"));
    let taken_port = taken.local_addr().expect("bound").port();
    let routes = format!(
        "registry.static.routes=route add web :{port} tcp://{}\n",
        backend_saying("first\n")
    );
    let mut running =
        Running::start("taken", &format!("proxy.addr=127.0.0.1:{port};proto=tcp\n{routes}"));
    let line = running.reload(&format!("proxy.addr=127.0.0.1:{taken_port};proto=tcp\n{routes}"));
    assert!(line.contains("event=refused") && line.contains("cannot listen on"), "{line}");
    assert_eq!(greeting(port).expect("the old one is served"), "first\n");
}

#[test]
fn a_route_moves_new_connections_and_keeps_old_ones() {
    let port = free_port();
    let with = |target| {
        format!(
            "proxy.addr=127.0.0.1:{port};proto=tcp\n\
             registry.static.routes=route add web :{port} tcp://{target}\n"
        )
    };
    let mut running = Running::start("routes", &with(backend_saying("first\n")));
    let mut old = TcpStream::connect(("127.0.0.1", port)).expect("served");
    assert_eq!(greeting_of(&mut old).expect("served"), "first\n");
    let line = running.reroute(&with(backend_saying("second\n")));
    assert!(line.contains("changes=2 restart_needed=0 failed=0"), "{line}");
    assert_eq!(greeting(port).expect("served"), "second");
    old.write_all(b"still there?").expect("the old connection is open");
    old.set_nonblocking(true).expect("an option");
    let nothing = old.read(&mut [0; 1]).expect_err("no end and no reset");
    assert_eq!(nothing.kind(), std::io::ErrorKind::WouldBlock);
}

#[test]
fn listeners_come_and_go_and_connections_live_on() {
    let (one, two) = (free_port(), free_port());
    let target = backend_saying("first\n");
    let with = |listeners: &str| {
        format!(
            "proxy.addr={listeners}\n\
             registry.static.routes=route add a :{one} tcp://{target}\\nroute add b :{two} \
             tcp://{target}\n"
        )
    };
    let on = |port: u16| format!("127.0.0.1:{port};proto=tcp");
    let mut running = Running::start("listeners", &with(&on(one)));
    let mut old = TcpStream::connect(("127.0.0.1", one)).expect("served");
    assert_eq!(greeting_of(&mut old).expect("served"), "first\n");
    running.reload(&with(&format!("{},{}", on(one), on(two))));
    assert_eq!(greeting(two).expect("served"), "first\n");
    assert_eq!(greeting(one).expect("served"), "first\n");
    running.reload(&with(&on(two)));
    let refused = TcpStream::connect(("127.0.0.1", one)).expect_err("closed");
    assert_eq!(refused.kind(), std::io::ErrorKind::ConnectionRefused);
    old.set_nonblocking(true).expect("an option");
    let nothing = old.read(&mut [0; 1]).expect_err("no end and no reset");
    assert_eq!(nothing.kind(), std::io::ErrorKind::WouldBlock);
}

#[test]
fn attributes_and_prefixes_change_over_the_session_that_is_up() {
    let neighbour = Neighbour::start(65001);
    let (one, two, three) = ("192.0.2.1/32", "192.0.2.2/32", "192.0.2.3/32");
    let both = format!("{one},{two}");
    let mut running = Running::start("update", &speaker(&both, &peer(&neighbour, "")));
    assert_eq!(next_meds(&neighbour), [(one.to_owned(), None), (two.to_owned(), None)]);
    // Of one prefix.
    running.reload(&speaker(&format!("{one};med=10,{two}"), &peer(&neighbour, "")));
    assert_eq!(next_meds(&neighbour), [(one.to_owned(), Some(10))]);
    // Of the neighbour: what has the value already is not sent again.
    running.reload(&speaker(&format!("{one};med=10,{two}"), &peer(&neighbour, ";med=10")));
    assert_eq!(next_meds(&neighbour), [(two.to_owned(), Some(10))]);
    // One prefix for another.
    let line = running.reload(&speaker(&format!("{two},{three}"), &peer(&neighbour, ";med=10")));
    assert!(line.contains("changes=2"), "{line}");
    let mut heard = [next_routes(&neighbour), next_routes(&neighbour)].map(|(announced, gone)| {
        (announced.into_iter().map(|(prefix, _)| prefix).collect::<Vec<_>>(), gone)
    });
    heard.sort();
    assert_eq!(heard, [(vec![], vec![one.to_owned()]), (vec![three.to_owned()], vec![])]);
    // All of it in one session: its end would have failed this test.
    neighbour.expect(MessageType::Keepalive);
}

#[test]
fn only_neighbours_that_need_it_are_reset() {
    let (changed, kept) = (Neighbour::start(65001), Neighbour::start_at("127.0.0.2", 65001));
    let kept_peer = |options: &str| peer(&kept, options);
    let with = |peers: String| speaker("192.0.2.1/32", &peers);
    let mut running =
        Running::start("reset", &with(format!("{},{}", peer(&changed, ""), kept_peer(""))));
    next_routes(&changed);
    next_routes(&kept);
    running.reload(&with(format!("{},{}", peer(&changed, ";holdtime=9s"), kept_peer(""))));
    assert_eq!(next_cease(&changed), (6, 6), "Other Configuration Change");
    assert_eq!(changed.next(), Heard::End);
    next_routes(&changed);
    let line = running.reload(&with(kept_peer("")));
    assert!(line.contains("changes=1"), "{line}");
    assert_eq!(next_cease(&changed), (6, 3), "Peer De-configured");
    assert_eq!(changed.next(), Heard::End);
    running.reload(&with(format!("{},{}", peer(&changed, ""), kept_peer(""))));
    next_routes(&changed);
    running.reload(&with(format!("{},{}", peer(&changed, ""), kept_peer(";med=3"))));
    assert_eq!(next_meds(&kept), [("192.0.2.1/32".to_owned(), Some(3))], "in the first session");
}

/// All old targets are gone and the new ones unknown for a moment: the prefix
/// stays announced.
#[test]
fn replacing_every_target_is_no_flap() {
    let neighbour = Neighbour::start(65001);
    let port = free_port();
    let with = |target, med: &str| {
        let speaker = speaker(&format!("192.0.2.1/32{med}"), &peer(&neighbour, ""))
            .replace("bgp.announce=always\n", "");
        format!(
            "{speaker}proxy.addr=127.0.0.1:{port};proto=tcp\n\
             registry.static.routes=route add web :{port} tcp://{target}\n"
        )
    };
    let target = backend_saying("second");
    let mut running = Running::start("targets", &with(backend_saying("first\n"), ""));
    next_routes(&neighbour);
    running.reload(&with(target, ""));
    assert_eq!(greeting(port).expect("served"), "second");
    running.log.until("healthy=1/1");
    // Any withdrawal would come before this.
    running.reload(&with(target, ";med=1"));
    assert_eq!(next_meds(&neighbour), [("192.0.2.1/32".to_owned(), Some(1))]);
}

#[test]
fn what_needs_a_restart_is_said_and_left_alone() {
    let neighbour = Neighbour::start(65001);
    let text = speaker("192.0.2.1/32", &peer(&neighbour, ""));
    let mut running = Running::start("restart", &text);
    next_routes(&neighbour);
    let off = text.replace("bgp.enabled=true", "bgp.enabled=false");
    running.file.write(&format!("{off}proxy.strategy=rr\n"));
    running.burgee.signal("HUP");
    let line = running.log.until("impact=restart");
    assert!(line.contains("bgp.enabled") && line.contains("stays in force"), "{line}");
    let line = running.log.until("event=done");
    assert!(line.contains("restart_needed=1"), "{line}");
    neighbour.forget();
    neighbour.expect(MessageType::Keepalive);
}

#[test]
fn the_log_gets_quieter_and_louder_and_says_so() {
    let with = |level: &str| format!("proxy.addr=127.0.0.1:0;proto=tcp\nlog.level={level}\n");
    let mut running = Running::start("level", &with("INFO"));
    assert!(running.reload(&with("ERROR")).contains("changes=1"));
    // Of this one it says nothing, for the level in force holds.
    running.file.write(&with("ERROR"));
    running.burgee.signal("HUP");
    let line = running.reload(&with("INFO"));
    assert!(line.contains("changes=1"), "{line}");
}

#[test]
fn a_stop_is_not_disturbed() {
    let with = |grace: &str| {
        format!("proxy.addr=127.0.0.1:0;proto=tcp\nproxy.deregistergraceperiod={grace}\n")
    };
    let mut running = Running::start("stop", &with("0s"));
    running.reload(&with("1h"));
    running.burgee.signal("TERM");
    running.log.until("drain event=step step=converging limit=3600000ms");
    let line = running.reload(&with("0s"));
    assert!(line.contains("event=refused") && line.contains("a stop is under way"), "{line}");
    running.burgee.signal("TERM");
    assert_eq!(running.burgee.wait().code(), Some(0));
}

#[test]
fn a_file_that_is_watched_is_reloaded_by_itself() {
    let neighbour = Neighbour::start(65001);
    let with = |med: &str| {
        let text = speaker(&format!("192.0.2.1/32{med}"), &peer(&neighbour, ""));
        format!("{text}config.watch=true\n")
    };
    let mut running = Running::start("watch", &with(""));
    next_routes(&neighbour);
    running.file.write(&with(";med=5"));
    running.log.until("event=file_changed");
    assert_eq!(next_meds(&neighbour), [("192.0.2.1/32".to_owned(), Some(5))]);
    // No longer watched, it is read on SIGHUP only.
    running.file.write(&with(";med=6").replace("watch=true", "watch=false"));
    assert_eq!(next_meds(&neighbour), [("192.0.2.1/32".to_owned(), Some(6))]);
    running.log.until("event=done");
    assert!(running.reload(&with(";med=7")).contains("changes=2"));
    assert_eq!(next_meds(&neighbour), [("192.0.2.1/32".to_owned(), Some(7))]);
}

#[test]
fn a_difference_is_printed_before_it_is_put_in_force() {
    let old = File::new("old", "proxy.strategy=rnd\nproxy.addr=:80;proto=tcp\n");
    let new = File::new("new", "proxy.strategy=rr\nproxy.addr=:81;proto=tcp\n");
    let diff = |files: [&str; 2]| {
        let mut command = Command::new(binary());
        let command = command.env_clear().args(["check", "--diff"]).args(files);
        let output = command.output().expect("it runs");
        (output.status.code(), String::from_utf8(output.stdout).expect("text"))
    };
    let expected = "proxy.strategy: \"rnd\" -> \"rr\"; takes effect at once\n\
                    proxy.addr :80: removed; rebinds the listeners it concerns\n\
                    proxy.addr :81: added; rebinds the listeners it concerns\n";
    assert_eq!(diff([old.path(), new.path()]), (Some(0), expected.to_owned()));
    assert_eq!(diff([old.path(), old.path()]), (Some(0), String::new()));
    assert_eq!(diff([old.path(), "/no/such/file"]).0, Some(1));
}
