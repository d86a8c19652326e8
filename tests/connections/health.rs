//! What checks and failed dials mean for clients.

use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};
use std::thread;

use crate::common::program::free_port;
use crate::common::running::Running;
use crate::rig::{End, Target, configuration, route};

/// A server of which the test has the status that it answers with. Where it was
/// asked for what, is in the answer.
fn http_server(status: u16) -> (SocketAddr, Arc<AtomicU16>) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    let status = Arc::new(AtomicU16::new(status));
    let current = Arc::clone(&status);
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let reader = BufReader::new(stream.try_clone().unwrap());
            let lines = reader.lines().map_while(Result::ok).take_while(|line| !line.is_empty());
            let request: Vec<String> = lines.collect();
            let is_right = request.iter().any(|line| line == "GET /ready HTTP/1.1")
                && request.iter().any(|line| line == "Host: shop.example");
            let status = if is_right { current.load(Ordering::Relaxed) } else { 404 };
            let _ = write!(stream, "HTTP/1.1 {status} Whatever\r\nContent-Length: 5\r\n\r\n");
        }
    });
    (address, status)
}

/// How many dials have failed until its end.
fn failed_dials(burgee: Running) -> usize {
    burgee.burgee.signal("TERM");
    burgee.log.rest().matches("event=dial_failed").count()
}

#[test]
fn a_target_that_accepts_but_is_not_ready_gets_no_client() {
    let port = free_port();
    let (busy, ready) = (Target::start(), Target::start());
    let (health, status) = http_server(503);
    let options = format!(
        "check=http:{}/ready checkhost=shop.example checkstatus=200 checkinterval=20ms rise=1 fall=1",
        health.port()
    );
    let routes =
        [route(&format!(":{port}"), &busy, &options), route(&format!(":{port}"), &ready, "")];
    let listener = format!("127.0.0.1:{port};proto=tcp");
    let text = configuration(&listener, &routes, "proxy.strategy=rr");
    let mut burgee = Running::start("health-http", &text);
    let line = burgee.log.until("event=unhealthy");
    assert!(line.contains("error=\"status 503, expected 200\""), "{line}");
    let is_served_by = |target: &Target| {
        let _client = End::saying(port, b"hello");
        target.next().expect(b"hello");
    };
    (0..4).for_each(|_| is_served_by(&ready));
    busy.assert_nobody();
    status.store(200, Ordering::Relaxed);
    burgee.log.until(&format!("event=healthy service=web target={}", busy.address));
    is_served_by(&busy);
    // The same check under another condition keeps what is known.
    let other = options.replace("checkstatus=200", "checkstatus=204");
    let routes =
        [route(&format!(":{port}"), &busy, &other), route(&format!(":{port}"), &ready, "")];
    burgee.reroute(&configuration(&listener, &routes, "proxy.strategy=rr"));
    let line = burgee.log.until("event=unhealthy");
    assert!(line.contains("error=\"status 200, expected 204\""), "{line}");
}

#[test]
fn a_target_that_dies_is_left_after_three_dials_whatever_its_check_says() {
    let port = free_port();
    let (target, gone) = (Target::start(), TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap());
    let address = gone.local_addr().unwrap();
    let routes = [
        format!("route add web :{port} tcp://{address} opts \"check=none\""),
        route(&format!(":{port}"), &target, ""),
    ];
    let listener = format!("127.0.0.1:{port};proto=tcp");
    let text = configuration(&listener, &routes, "proxy.strategy=rr");
    let mut burgee = Running::start("health-ejected", &text);
    burgee.log.until("healthy=2/2");
    drop(gone);
    let served = || {
        let _client = End::saying(port, b"hello");
        target.next().expect(b"hello");
    };
    // Every other client is sent to the one that is gone, and then on.
    (0..6).for_each(|_| served());
    let line = burgee.log.until("event=ejected");
    let expected = format!("event=ejected service=web target={address} error=");
    assert!(line.contains(&expected) && line.ends_with("time=10000ms healthy=1/2\n"), "{line}");
    (0..6).for_each(|_| served());
    assert_eq!(failed_dials(burgee), 3, "nobody was sent there again");
}

#[test]
fn a_target_that_dies_is_found_by_its_check_at_once_under_load() {
    let port = free_port();
    let gone = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = gone.local_addr().unwrap();
    let routes = [format!("route add web :{port} tcp://{address} opts \"fall=1\"")];
    let listener = format!("127.0.0.1:{port};proto=tcp");
    // It would be an hour until the next check.
    let mut burgee = Running::start("health-urgent", &configuration(&listener, &routes, ""));
    burgee.log.until("healthy=1/1");
    drop(gone);
    End::saying(port, b"hello").expect_end();
    burgee.log.until("event=unhealthy");
    // And nobody is sent to who is known to be dead.
    End::saying(port, b"hello").expect_end();
    assert_eq!(failed_dials(burgee), 1);
}

#[test]
fn without_a_healthy_target_clients_are_closed_or_all_are_tried_as_the_operator_says() {
    let port = free_port();
    let target = Target::start();
    // It serves, but its check asks where nobody is.
    let nobody = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port();
    let routes = [route(&format!(":{port}"), &target, &format!("check=tcp:{nobody}"))];
    let listener = format!("127.0.0.1:{port};proto=tcp");
    let with = |settings: &str| configuration(&listener, &routes, settings);
    let mut burgee = Running::start("health-none", &with(""));
    burgee.log.until("event=unhealthy");
    End::saying(port, b"hello").expect_end();
    target.assert_nobody();
    burgee.reload(&with("health.whennone=all"));
    let _client = End::saying(port, b"hello");
    target.next().expect(b"hello");
}

#[test]
fn an_ejected_target_is_given_clients_again_when_its_time_is_over() {
    let port = free_port();
    let (target, gone) = (Target::start(), TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap());
    let address = gone.local_addr().unwrap();
    let routes = [
        format!("route add web :{port} tcp://{address} opts \"check=none\""),
        route(&format!(":{port}"), &target, ""),
    ];
    let settings = "proxy.strategy=rr\nhealth.ejectafter=1\nhealth.ejecttime=300ms";
    let listener = format!("127.0.0.1:{port};proto=tcp");
    let mut burgee = Running::start("health-time", &configuration(&listener, &routes, settings));
    burgee.log.until("healthy=2/2");
    drop(gone);
    let served = || {
        let _client = End::saying(port, b"hello");
        target.next().expect(b"hello");
    };
    (0..2).for_each(|_| served());
    assert!(burgee.log.until("event=ejected").contains("time=300ms"));
    let line = burgee.log.until("event=returned");
    assert!(line.ends_with(&format!("target={address} healthy=2/2\n")), "{line}");
    (0..2).for_each(|_| served());
    assert!(burgee.log.until("event=ejected").contains("time=600ms"), "twice as long");
}
