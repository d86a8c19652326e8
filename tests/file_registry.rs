//! The real binary with its routes in a file: every way in which the file
//! changes, and every way in which it may be broken.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, unreachable_pub, dead_code)]

mod common;

use std::fs;
use std::io::Read;
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use burgee::config::Sources;
use burgee::daemon::Daemon;
use burgee::reactor::poll::{Phases, turn};
use burgee::reactor::{Kind, Reactor, Token};
use common::program::{Burgee, Log, backend_saying, binary, free_port};

/// A directory of its own, which is gone when this is dropped.
struct Directory(PathBuf);

impl Directory {
    fn new(name: &str) -> Directory {
        let path = std::env::temp_dir().join(format!("burgee-file-{}-{name}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).expect("a directory");
        Directory(path)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).expect("written");
    }

    /// Puts another file in the place of `name`, as editors and `mv` do.
    fn replace(&self, name: &str, text: &str) {
        self.write("new", text);
        fs::rename(self.path("new"), self.path(name)).expect("replaced");
    }

    /// Turns the link `name` to another target, as `ln -sfn` does.
    fn turn(&self, name: &str, target: &str) {
        symlink(target, self.path("turned")).expect("linked");
        fs::rename(self.path("turned"), self.path(name)).expect("turned");
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A burgee with one listener, and two backends that its routes can lead to.
struct Running {
    directory: Directory,
    burgee: Burgee,
    log: Log,
    port: u16,
    backends: [SocketAddr; 2],
}

impl Running {
    /// With the routes in `routes`, which leads to the first backend.
    fn start(name: &str, flags: &[&str]) -> Running {
        Running::start_after(name, flags, |directory, routes| directory.write("routes", routes))
    }

    /// With what `prepare` makes of the directory and the text of the routes.
    fn start_after(name: &str, flags: &[&str], prepare: impl FnOnce(&Directory, &str)) -> Running {
        let directory = Directory::new(name);
        let port = free_port();
        let backends = [backend_saying("first\n"), backend_saying("second")];
        prepare(&directory, &route(port, backends[0]));
        let mut all = vec![
            format!("-proxy.addr=127.0.0.1:{port};proto=tcp"),
            "-registry.backend=file".to_owned(),
            format!("-registry.file.path={}", directory.path("routes").display()),
        ];
        all.extend(flags.iter().map(|flag| (*flag).to_owned()));
        let mut burgee = Burgee::start(&all);
        let mut log = burgee.log();
        let line = log.until("route event=loaded");
        assert!(line.contains("/routes routes=1 targets=1 errors=0"), "{line}");
        let running = Running { directory, burgee, log, port, backends };
        assert_eq!(running.greeting(), "first\n");
        running
    }

    fn route_to(&self, backend: usize) -> String {
        route(self.port, self.backends[backend])
    }

    /// What a new client gets first.
    fn greeting(&self) -> String {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).expect("it listens");
        let mut buffer = [0; 6];
        stream.read_exact(&mut buffer).expect("it is served");
        String::from_utf8_lossy(&buffer).into_owned()
    }

    /// Waits for other routes; returns the line that says so.
    fn loaded(&mut self) -> String {
        self.log.until("route event=loaded")
    }

    /// Stops it; returns the whole log.
    fn stop(self) -> String {
        self.burgee.signal("TERM");
        self.log.rest()
    }
}

fn route(port: u16, backend: SocketAddr) -> String {
    format!("route add web :{port} tcp://{backend}\n")
}

#[test]
fn a_file_that_is_written_or_replaced_is_loaded() {
    let mut running = Running::start("written", &[]);
    running.directory.write("routes", &running.route_to(1));
    let line = running.loaded();
    assert!(line.contains("added=0 removed=0 changed=1"), "{line}");
    assert_eq!(running.greeting(), "second");
    let two = format!("{}route add b :1 tcp://192.0.2.1:1\n", running.route_to(0));
    running.directory.replace("routes", &two);
    let line = running.loaded();
    assert!(line.contains("routes=2 targets=2 errors=0 warnings=0"), "{line}");
    assert!(line.contains("added=1 removed=0 changed=1"), "{line}");
    assert_eq!(running.greeting(), "first\n");
    running.directory.replace("routes", &running.route_to(0));
    assert!(running.loaded().contains("added=0 removed=1 changed=0"));
    let line = running.log.until("route event=changed");
    assert!(line.contains("line=\"- route add b :1 tcp://192.0.2.1:1\""), "{line}");
}

/// The way of Kubernetes: the name leads through `..data` to a directory of its
/// own, and `..data` is turned; here from another directory on top of that.
#[test]
fn a_link_that_is_turned_anywhere_on_the_way_is_seen() {
    let fill = |directory: &Directory, name: &str, text: &str| {
        fs::create_dir_all(directory.path(name)).expect("a directory");
        directory.write(&format!("{name}/routes"), text);
    };
    let mut running = Running::start_after("links", &[], |directory, routes| {
        fill(directory, "volume/..1", routes);
        symlink("..1", directory.path("volume/..data")).expect("linked");
        symlink("..data/routes", directory.path("volume/routes")).expect("linked");
        symlink("volume/routes", directory.path("routes")).expect("linked");
    });
    fill(&running.directory, "volume/..2", &running.route_to(1));
    running.directory.turn("volume/..data", "..2");
    running.loaded();
    assert_eq!(running.greeting(), "second");
    fill(&running.directory, "other", &running.route_to(0));
    running.directory.turn("routes", "other/routes");
    running.loaded();
    assert_eq!(running.greeting(), "first\n");
}

#[test]
fn a_file_that_is_gone_changes_nothing_until_it_is_back() {
    let mut running = Running::start("gone", &[]);
    for _ in 0..2 {
        fs::remove_file(running.directory.path("routes")).expect("it is there");
        let line = running.log.until("event=not_read");
        assert!(line.contains("WARN") && line.contains("No such file"), "{line}");
        assert!(line.contains("the old routes stay in force"), "{line}");
        assert_eq!(running.greeting(), "first\n");
        // Told once, however often it is looked for.
        running.directory.write("other", "");
        running.directory.write("routes", &running.route_to(1));
        running.loaded();
        assert_eq!(running.greeting(), "second");
        running.directory.write("routes", &running.route_to(0));
        running.loaded();
    }
    assert_eq!(running.stop().matches("event=not_read").count(), 2);
}

#[test]
fn what_is_no_file_or_too_long_changes_nothing() {
    let mut running = Running::start("no-file", &[]);
    let routes = running.directory.path("routes");
    fs::create_dir(running.directory.path("routes.d")).expect("a directory");
    running.directory.turn("routes", "routes.d");
    let line = running.log.until("event=not_read");
    assert!(line.contains("it is no regular file"), "{line}");
    fs::remove_file(&routes).expect("a link");
    let long = fs::File::create(running.directory.path("long")).expect("a file");
    // It has a length and no blocks.
    long.set_len(64 * 1024 * 1024 + 1).expect("sparse");
    fs::rename(running.directory.path("long"), &routes).expect("replaced");
    let line = loop {
        let line = running.log.until("event=not_read");
        if !line.contains("No such file") {
            break line;
        }
    };
    assert!(line.contains("longer than 64 MiB"), "{line}");
    assert_eq!(running.greeting(), "first\n");
}

#[test]
fn bad_lines_are_named_and_the_others_live() {
    let mut running = Running::start("bad-lines", &[]);
    let text = format!("route add a :1\n\n{}route what\n", running.route_to(1));
    running.directory.write("routes", &text);
    for number in [1, 4] {
        let line = running.log.until("event=line_skipped");
        assert!(line.contains("source=/") && line.contains("WARN"), "{line}");
        assert!(line.contains(&format!("error=\"line {number}: ")), "{line}");
    }
    assert!(running.loaded().contains("routes=1 targets=1 errors=2"));
    assert_eq!(running.greeting(), "second");
    // However many there are, each turn says only some; none is lost up to a
    // thousand.
    let bad: String = (0..1200).map(|n| format!("bad {n}\n")).collect();
    running.directory.write("routes", &(bad + &running.route_to(0)));
    for number in 1..=1000 {
        running.log.until(&format!("error=\"line {number}: bad {}:", number - 1));
    }
    assert!(running.log.until("event=lines_not_shown").contains("count=200"));
    running.directory.write("routes", &running.route_to(1));
    assert!(running.loaded().contains("errors=0"));
}

#[test]
fn an_empty_file_is_an_empty_table() {
    let mut running = Running::start("empty", &[]);
    running.directory.write("routes", "");
    let line = running.log.until("event=empty");
    assert!(line.contains("WARN"), "{line}");
    assert!(running.loaded().contains("routes=0 targets=0 errors=0"));
    let mut stream = TcpStream::connect(("127.0.0.1", running.port)).expect("it listens");
    assert!(!matches!(stream.read(&mut [0; 1]), Ok(1..)), "no route");
    running.directory.write("routes", &running.route_to(1));
    running.loaded();
    assert_eq!(running.greeting(), "second");
}

/// To write through another name of the file is no event in its directory.
#[test]
fn with_an_interval_a_change_without_an_event_is_seen() {
    let flags = ["-registry.file.pollinterval=100ms"];
    let mut running = Running::start_after("polled", &flags, |directory, routes| {
        fs::create_dir(directory.path("elsewhere")).expect("a directory");
        directory.write("elsewhere/routes", routes);
        fs::hard_link(directory.path("elsewhere/routes"), directory.path("routes"))
            .expect("linked");
    });
    running.directory.write("elsewhere/routes", &running.route_to(1));
    running.loaded();
    assert_eq!(running.greeting(), "second");
}

/// A properties file beside the routes, for reloads.
fn properties(port: u16, routes: &Path, more: &str) -> String {
    format!(
        "proxy.addr=127.0.0.1:{port};proto=tcp\nregistry.backend=file\n\
         registry.file.path={}\n{more}\n",
        routes.display()
    )
}

struct Configured {
    directory: Directory,
    burgee: Burgee,
    log: Log,
    port: u16,
}

impl Configured {
    fn start(name: &str) -> Configured {
        let directory = Directory::new(name);
        let port = free_port();
        directory.write("one", &route(port, backend_saying("first\n")));
        directory.write("two", &route(port, backend_saying("second")));
        directory.write("properties", &properties(port, &directory.path("one"), ""));
        let path = directory.path("properties").display().to_string();
        let mut burgee = Burgee::start(&["-cfg".to_owned(), path]);
        let mut log = burgee.log();
        log.until("route event=loaded");
        Configured { directory, burgee, log, port }
    }

    /// Reloads with this file; returns the last line that is said of it.
    fn reload(&mut self, text: &str) -> String {
        self.directory.write("properties", text);
        self.burgee.signal("HUP");
        loop {
            let line = self.log.until("reload event=");
            if line.contains("event=done") || line.contains("event=refused") {
                return line;
            }
        }
    }

    fn greeting(&self) -> String {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).expect("it listens");
        let mut buffer = [0; 6];
        stream.read_exact(&mut buffer).expect("it is served");
        String::from_utf8_lossy(&buffer).into_owned()
    }
}

#[test]
fn a_reload_reads_the_file_again_and_says_again_what_is_wrong() {
    let mut it = Configured::start("reload");
    let text = properties(it.port, &it.directory.path("one"), "");
    assert!(it.reload(&text).contains("changes=0"));
    assert!(it.log.until("route event=loaded").contains("added=0 removed=0 changed=0"));
    fs::remove_file(it.directory.path("one")).expect("it is there");
    it.log.until("event=not_read");
    assert!(it.reload(&text).contains("changes=0"), "the configuration is valid all the same");
    it.log.until("event=not_read");
    assert_eq!(it.greeting(), "first\n");
}

#[test]
fn another_path_takes_effect_at_once_or_not_at_all() {
    let mut it = Configured::start("path");
    let with = |path: &Path, more: &str| properties(it.port, path, more);
    let missing = with(&it.directory.path("three"), "proxy.strategy=rr");
    let two = with(&it.directory.path("two"), "registry.file.pollinterval=1h");
    let fixed = format!(
        "proxy.addr=127.0.0.1:{port};proto=tcp\nregistry.static.routes={}\n",
        route(it.port, backend_saying("static")).trim(),
        port = it.port
    );
    let line = it.reload(&missing);
    assert!(line.contains("event=refused") && line.contains("three: cannot be read"), "{line}");
    assert_eq!(it.greeting(), "first\n");
    assert!(it.reload(&two).contains("changes=2 restart_needed=0 failed=0"));
    assert!(it.log.until("route event=loaded").contains("/two routes=1"));
    assert_eq!(it.greeting(), "second");
    // The new file is watched, and the old one is not.
    it.directory.write("one", "");
    it.directory.write("two", &route(it.port, backend_saying("third\n")));
    assert!(it.log.until("route event=file_changed").contains("/two"));
    it.log.until("route event=loaded");
    assert_eq!(it.greeting(), "third\n");
    it.reload(&fixed);
    let line = it.log.until("route event=loaded");
    assert!(line.contains("source=registry.static.routes"), "{line}");
    assert_eq!(it.greeting(), "static");
    it.reload(&two);
    assert!(it.log.until("route event=loaded").contains("/two routes=1"));
    assert_eq!(it.greeting(), "third\n");
}

#[test]
fn without_a_file_there_is_no_start() {
    let directory = Directory::new("no-start");
    let missing = directory.path("missing");
    let flags = |path: &Path| {
        ["-registry.backend=file".to_owned(), format!("-registry.file.path={}", path.display())]
    };
    for (path, cause) in [(missing.as_path(), "No such file"), (&directory.0, "no regular file")] {
        for command in ["run", "check"] {
            let output = Command::new(binary())
                .env_clear()
                .args([command, "-proxy.addr=127.0.0.1:0;proto=tcp"])
                .args(flags(path))
                .stdout(Stdio::null())
                .output()
                .expect("it runs");
            let said = String::from_utf8_lossy(&output.stderr);
            assert_eq!(output.status.code(), Some(1), "{said}");
            let expected = format!("registry.file.path: {}: cannot be read", path.display());
            assert!(said.contains(&expected) && said.contains(cause), "{said}");
        }
    }
    directory.write("routes", "route add a :1\nroute add a :2 tcp://192.0.2.1:1\n");
    let output = Command::new(binary())
        .env_clear()
        .arg("check")
        .args(flags(&directory.path("routes")))
        .output()
        .expect("it runs");
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("/routes: line 1: route add a :1:"), "{said}");
}

/// The loop itself, in this process: what it would sleep for.
#[test]
fn with_nothing_to_do_there_is_no_timer_but_the_one_that_was_asked_for() {
    let directory = Directory::new("idle");
    directory.write("routes", "# none yet\n");
    for (flag, is_timed) in [("0s", false), ("1h", true)] {
        let sources = Sources {
            arguments: vec![
                "-proxy.addr=127.0.0.1:0;proto=tcp".to_owned(),
                "-registry.backend=file".to_owned(),
                format!("-registry.file.path={}", directory.path("routes").display()),
                format!("-registry.file.pollinterval={flag}"),
            ],
            environment: Vec::new(),
            interfaces: burgee::reactor::interfaces::list,
        };
        let loaded = sources.load(&|path| fs::read(path)).expect("valid");
        let mut reactor = Reactor::new().expect("a reactor");
        let mut daemon = Daemon::start(&mut reactor, loaded.config, 1).expect("it starts");
        // A guard lets the loop wake though nothing happens.
        let settle = |reactor: &mut Reactor, daemon: &mut Daemon| {
            let guard = reactor.wheel.insert(reactor.now(), Token::new(Kind::Guest, 0, 0));
            turn(reactor, daemon).expect("a turn");
            reactor.wheel.cancel(guard);
            while daemon.has_ready() {
                turn(reactor, daemon).expect("a turn");
            }
        };
        settle(&mut reactor, &mut daemon);
        assert_eq!(reactor.wheel.next_deadline().is_some(), is_timed);
        assert_eq!(reactor.wheel.len(), usize::from(is_timed));
        // A change sets a timer to let it settle, and that is gone afterwards.
        directory.write("routes", &format!("# changed for {flag}\n"));
        settle(&mut reactor, &mut daemon);
        let soon = reactor.wheel.next_deadline().expect("a look");
        while reactor.now() < soon || daemon.has_ready() {
            turn(&mut reactor, &mut daemon).expect("a turn");
        }
        settle(&mut reactor, &mut daemon);
        let left = reactor.wheel.next_deadline().is_some_and(|at| at <= soon);
        assert!(!left, "the timer of the look is gone");
        assert_eq!(reactor.wheel.len(), usize::from(is_timed));
    }
}
