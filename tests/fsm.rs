//! Every cell of the state machine of RFC 4271 §8.2.2: what each event does in
//! each state. The whole table is `docs/fsm.md`; `BURGEE_BLESS=1 cargo test
//! --test fsm` writes it anew, for a reviewer to read beside the RFC.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout)]

use std::fmt::Write as _;
use std::net::Ipv4Addr;
use std::time::Duration;

use burgee::bgp::message::header::{self, MAX_LENGTH, MessageType};
use burgee::bgp::message::notification::{Notification, cease};
use burgee::bgp::message::prefix::Family;
use burgee::bgp::message::update::Update;
use burgee::bgp::negotiation::{Negotiated, Terms};
use burgee::bgp::offer::Offer;
use burgee::bgp::session::{Event, Handler, Session, Start, State, Verdict};
use burgee::reactor::Time;

const STATES: [State; 6] = [
    State::Idle,
    State::Connect,
    State::Active,
    State::OpenSent,
    State::OpenConfirm,
    State::Established,
];

/// Accepts or refuses an OPEN, and counts what it is handed.
#[derive(Default)]
struct Owner {
    collides: bool,
    updates: u32,
    refreshes: u32,
}

impl Handler for Owner {
    fn open_received(&mut self, _: &Negotiated) -> Verdict {
        if self.collides { Verdict::Collides } else { Verdict::GoOn }
    }

    fn update(&mut self, _: &Negotiated, _: &Update<'_>) {
        self.updates += 1;
    }

    fn refresh(&mut self, _: Family, _: u8) {
        self.refreshes += 1;
    }
}

fn terms(passive: bool) -> Terms {
    Terms {
        asn: 65001,
        identifier: Ipv4Addr::new(10, 0, 0, 1),
        peer_asn: 65000,
        hold_time: 9,
        keepalive: None,
        families: Family::ALL.into_iter().collect(),
        connect_retry: Duration::from_secs(3),
        passive,
        offer: Offer::default(),
    }
}

fn message(kind: MessageType, body: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let start = header::begin(&mut out, kind);
    out.extend_from_slice(body);
    header::finish(&mut out, start);
    out
}

fn their_open() -> Vec<u8> {
    let mut out = Vec::new();
    let theirs =
        Terms { asn: 65000, identifier: [10, 0, 0, 2].into(), peer_asn: 65001, ..terms(false) };
    theirs.open().encode(&mut out);
    out
}

fn connect(session: &mut Session, now: Time) {
    let address = "10.0.0.1:179".parse().unwrap();
    session.connected(now, address, address);
}

/// A session in `state`, with nothing left to send or to tell.
fn in_state(state: State) -> Session {
    let now = Time::ZERO;
    let mut owner = Owner::default();
    let mut session = Session::outgoing(terms(false), 1);
    match state {
        State::Idle => session.start(now, Start::AfterIdleHold(Duration::from_secs(1))),
        State::Active => session.start(now, Start::AfterConnectRetry),
        _ => session.start(now, Start::Now),
    }
    if matches!(state, State::OpenSent | State::OpenConfirm | State::Established) {
        connect(&mut session, now);
    }
    if matches!(state, State::OpenConfirm | State::Established) {
        session.receive(now, &their_open(), &mut owner);
    }
    if state == State::Established {
        session.receive(now, &message(MessageType::Keepalive, &[]), &mut owner);
    }
    assert_eq!(session.state(), state);
    while session.poll_event().is_some() {}
    session.transmitted(now, session.transmit().len());
    session
}

/// One event of RFC 4271 §8.1 (or of a later RFC), and how to bring it about.
struct Cause {
    number: &'static str,
    name: &'static str,
    apply: fn(&mut Session, &mut Owner),
}

fn octets(session: &mut Session, owner: &mut Owner, bytes: &[u8]) {
    session.receive(Time::from_millis(10), bytes, owner);
}

/// Lets time pass up to `limit`, with a neighbour that says nothing; `takes`
/// says whether its kernel takes what is sent.
fn silence(session: &mut Session, limit: Duration, takes: bool) {
    let end = Time::ZERO + limit;
    while let Some(at) = session.deadline().filter(|at| *at <= end) {
        session.timeout(at);
        if takes && !session.is_over() {
            session.transmitted(at, session.transmit().len());
        }
    }
}

fn causes() -> Vec<Cause> {
    vec![
        Cause {
            number: "1, 3",
            name: "ManualStart, AutomaticStart",
            apply: |s, _| s.start(Time::from_millis(10), Start::Now),
        },
        Cause {
            number: "2, 8",
            name: "ManualStop, AutomaticStop",
            apply: |s, _| {
                let cease = Notification::cease(cease::ADMINISTRATIVE_SHUTDOWN, "");
                s.stop(Time::from_millis(10), cease);
            },
        },
        Cause {
            number: "9",
            name: "ConnectRetryTimer_Expires",
            apply: |s, _| {
                if matches!(s.state(), State::Connect | State::Active) {
                    silence(s, Duration::from_millis(3000), true);
                }
            },
        },
        Cause {
            number: "10",
            name: "HoldTimer_Expires",
            apply: |s, _| match s.state() {
                State::OpenSent => silence(s, Duration::from_secs(240), true),
                State::OpenConfirm | State::Established => {
                    silence(s, Duration::from_secs(9), true);
                }
                _ => {}
            },
        },
        Cause {
            number: "11",
            name: "KeepaliveTimer_Expires",
            apply: |s, _| {
                if matches!(s.state(), State::OpenConfirm | State::Established) {
                    let due = s.deadline().unwrap();
                    s.timeout(due);
                }
            },
        },
        Cause {
            number: "13",
            name: "IdleHoldTimer_Expires",
            apply: |s, _| {
                if s.state() == State::Idle {
                    silence(s, Duration::from_secs(1), true);
                }
            },
        },
        Cause {
            number: "14, 16, 17",
            name: "Tcp_CR_Acked, TcpConnectionConfirmed",
            apply: |s, _| connect(s, Time::from_millis(10)),
        },
        Cause {
            number: "18",
            name: "TcpConnectionFails",
            apply: |s, _| match s.state() {
                State::Idle | State::Connect | State::Active => {
                    s.connect_failed(Time::from_millis(10));
                }
                _ => s.closed(Time::from_millis(10)),
            },
        },
        Cause { number: "19", name: "BGPOpen", apply: |s, o| octets(s, o, &their_open()) },
        Cause { number: "21", name: "BGPHeaderErr", apply: |s, o| octets(s, o, &[0; 19]) },
        Cause {
            number: "22",
            name: "BGPOpenMsgErr",
            apply: |s, o| {
                let mut open = their_open();
                open[19] = 3;
                octets(s, o, &open);
            },
        },
        Cause {
            number: "23",
            name: "OpenCollisionDump",
            apply: |s, o| {
                o.collides = true;
                octets(s, o, &their_open());
            },
        },
        Cause {
            number: "24",
            name: "NotifMsgVerErr",
            apply: |s, o| octets(s, o, &message(MessageType::Notification, &[2, 1, 0, 4])),
        },
        Cause {
            number: "25",
            name: "NotifMsg",
            apply: |s, o| octets(s, o, &message(MessageType::Notification, &[6, 4])),
        },
        Cause {
            number: "26",
            name: "KeepAliveMsg",
            apply: |s, o| octets(s, o, &message(MessageType::Keepalive, &[])),
        },
        Cause {
            number: "27",
            name: "UpdateMsg",
            apply: |s, o| octets(s, o, &message(MessageType::Update, &[0; 4])),
        },
        Cause {
            number: "28",
            name: "UpdateMsgErr",
            apply: |s, o| octets(s, o, &message(MessageType::Update, &[0, 9, 0, 0])),
        },
        Cause {
            number: "RFC 2918",
            name: "ROUTE-REFRESH",
            apply: |s, o| octets(s, o, &message(MessageType::RouteRefresh, &[0, 1, 0, 1])),
        },
        Cause {
            number: "RFC 9687",
            name: "SendHoldTimer_Expires",
            apply: |s, _| {
                if s.state() == State::Established {
                    // The neighbour goes on talking, but takes nothing.
                    let mut owner = Owner::default();
                    while !s.is_over() {
                        let now = s.deadline().unwrap();
                        s.receive(now, &message(MessageType::Keepalive, &[]), &mut owner);
                        s.timeout(now);
                    }
                }
            },
        },
    ]
}

/// What became of the session, in words that fit into a cell.
fn outcome(session: &mut Session, owner: &Owner, before: State) -> String {
    let mut said: Vec<String> = Vec::new();
    let bytes = session.transmit().to_vec();
    let mut rest = &bytes[..];
    while let Some(frame) = header::next_frame(rest, MAX_LENGTH).unwrap() {
        let text = match frame.kind {
            MessageType::Notification => {
                let sent = Notification::parse(frame.body).unwrap();
                format!("sends NOTIFICATION {}/{}", sent.code, sent.subcode)
            }
            kind => format!("sends {}", format!("{kind:?}").to_uppercase()),
        };
        if !said.contains(&text) {
            said.push(text);
        }
        rest = &rest[frame.length..];
    }
    while let Some(event) = session.poll_event() {
        said.push(match event {
            Event::Dial => "dials".to_owned(),
            Event::HangUp => "gives up the attempt".to_owned(),
            Event::Up => "is up".to_owned(),
            Event::Down(_) => continue,
        });
    }
    if owner.updates > 0 {
        said.push("hands on the routes".to_owned());
    }
    if owner.refreshes > 0 {
        said.push("sends the family again".to_owned());
    }
    let state = match session.is_over() {
        true => "→ Idle".to_owned(),
        false if session.state() == before => String::new(),
        false => format!("→ {:?}", session.state()),
    };
    if !state.is_empty() {
        said.push(state);
    }
    if said.is_empty() { "·".to_owned() } else { said.join(", ") }
}

fn table() -> String {
    let mut text = String::from(
        "# The state machine, cell by cell\n\n\
         <!-- Written by tests/fsm.rs; `BURGEE_BLESS=1 cargo test --test fsm` writes it anew. -->\n\n\
         What each event of RFC 4271 §8.1 does in each state of one session. `·` changes nothing: the\n\
         event cannot happen there (no timer runs, or no connection is there to bring it), or it is\n\
         ignored as §8.2.2 says. `→ Idle` is the end of this session; the neighbour then gets a fresh\n\
         one. DelayOpen, DampPeerOscillations and TrackTcpState are not offered, so that their events\n\
         (6, 7, 12, 15, 20) do not exist; with `passive=true`, a start (4, 5) leads to Active.\n\n\
         | event | | Idle | Connect | Active | OpenSent | OpenConfirm | Established |\n\
         |---|---|---|---|---|---|---|---|\n",
    );
    for cause in causes() {
        let _ = write!(text, "| {} | {} |", cause.number, cause.name);
        for state in STATES {
            let mut session = in_state(state);
            let mut owner = Owner::default();
            (cause.apply)(&mut session, &mut owner);
            let _ = write!(text, " {} |", outcome(&mut session, &owner, state));
        }
        text.push('\n');
    }
    text
}

#[test]
fn every_cell_is_as_the_table_says() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/fsm.md");
    let table = table();
    println!("{table}");
    if std::env::var_os("BURGEE_BLESS").is_some() {
        std::fs::write(path, &table).expect("docs can be written");
    }
    let expected = std::fs::read_to_string(path).expect("docs/fsm.md");
    assert_eq!(table, expected, "the table has changed; read it beside RFC 4271 §8.2.2");
}

#[test]
fn a_passive_start_waits_in_active() {
    let mut session = Session::outgoing(terms(true), 1);
    session.start(Time::ZERO, Start::Now);
    assert_eq!(session.state(), State::Active);
    assert_eq!((session.poll_event(), session.deadline()), (None, None));
}
