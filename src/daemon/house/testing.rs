//! What the tests of this room begin with: a whole daemon in a loop of its own.

use std::io;
use std::net::TcpListener;
use std::time::Duration;

use crate::admin::Moment;
use crate::config;
use crate::daemon::Daemon;
use crate::reactor::poll::turn;
use crate::reactor::{Kind, Reactor, Token};

/// A daemon and its loop.
pub(super) struct Lab {
    pub(super) reactor: Reactor,
    pub(super) daemon: Daemon,
}

/// Neither an API nor a file that outlives the test.
const ALONE: &str = "ui.addr =\nui.socket =\nbgp.announce.statefile =\n";

impl Lab {
    /// A daemon with these lines of a properties file.
    pub(super) fn new(lines: &str) -> Lab {
        let text = format!("{ALONE}{lines}");
        let read = |_: &str| -> io::Result<Vec<u8>> { Ok(text.clone().into_bytes()) };
        let loaded = config::load(&["-cfg=file".to_owned()], &[], &read);
        let loaded = loaded.unwrap_or_else(|error| panic!("{error:?}"));
        let mut reactor = Reactor::new().expect("a reactor");
        let mut daemon = Daemon::start(&mut reactor, loaded.config, 1).expect("it starts");
        daemon.effective = Some(loaded.effective);
        Lab { reactor, daemon }
    }

    /// One turn, which waits for an event, but not for long.
    pub(super) fn turn(&mut self) {
        let soon = self.reactor.now() + Duration::from_millis(1);
        let guard = self.reactor.wheel.insert(soon, Token::new(Kind::Guest, 0, 0));
        turn(&mut self.reactor, &mut self.daemon).expect("a turn");
        self.reactor.wheel.cancel(guard);
    }

    pub(super) fn until(&mut self, is_so: impl Fn(&Lab) -> bool) {
        while !is_so(self) {
            self.turn();
        }
    }

    pub(super) fn moment(&self) -> Moment {
        Moment {
            now: self.reactor.now(),
            wall: self.reactor.wall(),
            turns: self.reactor.turns(),
            longest_turn: self.reactor.longest_turn(),
            panics: 0,
        }
    }
}

/// Somebody who accepts connections.
pub(super) fn backend() -> TcpListener {
    TcpListener::bind("127.0.0.1:0").expect("a port")
}

/// A port that nobody listens on.
pub(super) fn free_port() -> u16 {
    backend().local_addr().expect("bound").port()
}

/// All of what is told in slices of a size.
pub(super) fn all<T>(most: usize, ask: impl Fn(u64, usize) -> crate::admin::Slice<T>) -> Vec<T> {
    let (mut all, mut next) = (Vec::new(), Some(0));
    while let Some(from) = next {
        let slice = ask(from, most);
        assert!(!slice.items.is_empty() || slice.next.is_none(), "an empty slice is the last");
        assert!(slice.items.len() <= most.max(1), "no more than were asked for");
        all.extend(slice.items);
        next = slice.next;
    }
    all
}

/// Two daemons that are neighbours over loopback, each with the other's prefix
/// and a backend.
pub(super) struct Pair {
    pub(super) one: Lab,
    pub(super) other: Lab,
    /// Dropped, it makes both unhealthy.
    pub(super) backend: Option<TcpListener>,
}

impl Pair {
    /// `lines` are more of the first one's.
    pub(super) fn new(lines: &str) -> Pair {
        let backend = backend();
        let (one, other) = (free_port(), free_port());
        let target = backend.local_addr().expect("bound");
        let lab = |own: (u32, u16), peer: (u32, u16), more: &str| {
            Lab::new(&format!(
                "proxy.addr = 127.0.0.1:0;proto=tcp\n\
                 registry.static.routes = route add web :1 tcp://{target}\n\
                 bgp.enabled = true\nbgp.asn = {}\nbgp.routerid = 192.0.2.{}\n\
                 bgp.listenport = {}\nbgp.listenaddresses = 127.0.0.1\n\
                 bgp.anycastaddresses = 198.51.100.0/24\nbgp.connectretry = 1s\n\
                 bgp.peers = name=them;address=127.0.0.1;port={};asn={}\n{more}",
                own.0,
                own.0 % 100,
                own.1,
                peer.1,
                peer.0,
            ))
        };
        let (one, other) = ((64_511, one), (64_512, other));
        Pair { one: lab(one, other, lines), other: lab(other, one, ""), backend: Some(backend) }
    }

    pub(super) fn until(&mut self, is_so: impl Fn(&Pair) -> bool) {
        while !is_so(self) {
            self.one.turn();
            self.other.turn();
        }
    }

    /// Both have told all that they have to tell.
    pub(super) fn established(lines: &str) -> Pair {
        let mut pair = Pair::new(lines);
        pair.until(|pair| {
            let has_sent = |lab: &Lab| {
                let prefix = "198.51.100.0/24".parse().expect("a prefix");
                lab.daemon.bgp.as_ref().is_some_and(|bgp| bgp.speaker().sent_to(&prefix) == 1)
            };
            has_sent(&pair.one) && has_sent(&pair.other)
        });
        pair
    }
}
