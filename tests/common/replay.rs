//! Recorded sessions: reading them, and replaying what the daemon sent into a
//! speaker under a virtual clock.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::time::Duration;

use burgee::bgp::export::NextHops;
use burgee::bgp::message::attribute::Attributes;
use burgee::bgp::message::header::{self, MAX_LENGTH, MessageType};
use burgee::bgp::message::open::Open;
use burgee::bgp::message::prefix::Family;
use burgee::bgp::message::update::{self, Context};
use burgee::bgp::negotiation::{Negotiated, Terms};
use burgee::bgp::offer::Offer;
use burgee::bgp::peer::{Action, Side};
use burgee::bgp::peer_settings::{Import, PeerSettings};
use burgee::bgp::rib::originated::{Owner, Path};
use burgee::bgp::speaker::{PeerId, Speaker};
use burgee::reactor::Time;
use ipnet::IpNet;

const PEER: PeerId = PeerId(0);
const CONNECTION: (PeerId, Side) = (PEER, Side::Outgoing);

/// What burgee announced while the sessions were recorded.
const ANNOUNCED: [&str; 2] = ["192.0.2.10/32", "2001:db8:a::10/128"];

/// One side's octets, with the time at which they came. None are the end.
pub struct Piece {
    pub at: Time,
    pub octets: Vec<u8>,
}

/// A session as it was recorded.
pub struct Recording {
    pub from_daemon: Vec<Piece>,
    pub from_burgee: Vec<u8>,
}

impl Recording {
    /// Reads the format that `tests/netns/record` describes in each file.
    pub fn parse(text: &str) -> Recording {
        let mut recording = Recording { from_daemon: Vec::new(), from_burgee: Vec::new() };
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            let fields: Vec<&str> = line.split(' ').collect();
            let [direction, millis, octets] = fields[..] else { panic!("three fields: {line}") };
            let octets = if octets == "end" { Vec::new() } else { octets_of(octets) };
            let at = Time::from_millis(millis.parse().expect("milliseconds"));
            match direction {
                "<" => recording.from_daemon.push(Piece { at, octets }),
                ">" => recording.from_burgee.extend(octets),
                _ => panic!("a direction: {line}"),
            }
        }
        recording
    }

    /// The same with other pieces: `cut` says how long the next one is.
    pub fn split(&self, mut cut: impl FnMut() -> usize) -> Vec<Piece> {
        let mut pieces = Vec::new();
        for piece in &self.from_daemon {
            let mut rest = &piece.octets[..];
            while !rest.is_empty() {
                let (head, tail) = rest.split_at(cut().clamp(1, rest.len()));
                pieces.push(Piece { at: piece.at, octets: head.to_vec() });
                rest = tail;
            }
            if piece.octets.is_empty() {
                pieces.push(Piece { at: piece.at, octets: Vec::new() });
            }
        }
        pieces
    }

    /// All octets at once, and then the end.
    pub fn whole(&self) -> Vec<Piece> {
        let octets = self.from_daemon.iter().flat_map(|piece| piece.octets.clone()).collect();
        [octets, Vec::new()].map(|octets| Piece { at: Time::ZERO, octets }).into()
    }
}

fn octets_of(hex: &str) -> Vec<u8> {
    let digits = hex.as_bytes().chunks(2).map(|pair| std::str::from_utf8(pair).expect("ASCII"));
    digits.map(|pair| u8::from_str_radix(pair, 16).expect("hexadecimal")).collect()
}

/// What we bring to the session, as the recorded burgee was configured.
fn terms() -> Terms {
    Terms {
        asn: 65001,
        identifier: [10, 0, 1, 2].into(),
        peer_asn: 65000,
        hold_time: 9,
        keepalive: None,
        families: Family::ALL.into_iter().collect(),
        connect_retry: Duration::from_secs(1),
        passive: false,
        offer: Offer::default(),
    }
}

fn speaker() -> Speaker {
    let settings = PeerSettings {
        next_hops: NextHops { ipv4: None, ipv6: Some([0xfd00, 1, 0, 0, 0, 0, 0, 2].into()) },
        import: Import::Report,
        ..PeerSettings::new("daemon", [10, 0, 1, 254].into(), terms())
    };
    let mut speaker = Speaker::new(vec![settings], 1);
    for prefix in ANNOUNCED {
        let prefix = prefix.parse().expect("a prefix");
        speaker.originate(prefix, Owner::Announcer, Path::default());
    }
    speaker
}

/// What became of a replayed session.
#[derive(Default)]
pub struct Outcome {
    /// What the daemon brought about: what was agreed, each route, the end.
    pub received: String,
    /// The octets that we sent.
    pub sent: Vec<u8>,
    pub negotiated: Option<Negotiated>,
    over: bool,
}

/// Replays the pieces.
pub fn replay(pieces: &[Piece]) -> Outcome {
    let mut speaker = speaker();
    let mut outcome = Outcome::default();
    speaker.start(Time::ZERO);
    assert_eq!(speaker.poll_action(PEER), Some(Action::Dial));
    let local = SocketAddr::from(([10, 0, 1, 2], 40000));
    let remote = SocketAddr::from(([10, 0, 1, 254], 1790));
    speaker.connected(Time::ZERO, CONNECTION, local, remote);
    serve(&mut speaker, Time::ZERO, &mut outcome);
    for Piece { at, octets } in pieces {
        while let Some(due) = speaker.deadline(PEER).filter(|due| due < at && !outcome.over) {
            speaker.timeout(due, PEER);
            serve(&mut speaker, due, &mut outcome);
        }
        if outcome.over {
            break;
        }
        match octets.is_empty() {
            true => speaker.closed(*at, CONNECTION),
            false => speaker.receive(*at, CONNECTION, octets),
        }
        serve(&mut speaker, *at, &mut outcome);
    }
    assert!(outcome.over, "the recording ends, and the session does not");
    let counters = speaker.peer(PEER).expect("the neighbour").counters();
    let received = counters.received;
    outcome.line(format!(
        "messages open={} update={} notification={} keepalive={} route_refresh={}",
        received.opens,
        received.updates,
        received.notifications,
        received.keepalives,
        received.route_refreshes
    ));
    outcome.line(format!(
        "routes announced={} withdrawn={} malformed={} flaps={}",
        counters.prefixes_received,
        counters.prefixes_withdrawn,
        counters.malformed_updates,
        counters.flaps
    ));
    outcome
}

/// Writes and acts, as the door does.
fn serve(speaker: &mut Speaker, now: Time, outcome: &mut Outcome) {
    loop {
        speaker.pump(now, PEER);
        if !outcome.over {
            let waiting = speaker.transmit(CONNECTION).to_vec();
            outcome.sent.extend_from_slice(&waiting);
            speaker.transmitted(now, CONNECTION, waiting.len());
        }
        let Some(action) = speaker.poll_action(PEER) else { return };
        outcome.note(action);
    }
}

impl Outcome {
    fn note(&mut self, action: Action) {
        match action {
            Action::Up { negotiated, .. } => {
                self.line(format!(
                    "up asn={} identifier={} hold_time={:?} keepalive={:?} families={:?} \
                     four_octet_as={} route_refresh={}",
                    negotiated.peer_asn,
                    negotiated.peer_identifier,
                    negotiated.hold_time,
                    negotiated.keepalive,
                    negotiated.families,
                    negotiated.four_octet_as,
                    negotiated.route_refresh
                ));
                self.negotiated = Some(negotiated);
            }
            Action::Learned(learned) => {
                for key in learned.withdrawn {
                    self.line(format!("withdrawn {}", key.prefix));
                }
                for (keys, attributes) in learned.announced {
                    for key in keys {
                        self.line(format!("announced {}{}", key.prefix, shown(&attributes)));
                    }
                }
            }
            Action::Close { rest, .. } => {
                self.sent.extend(rest);
                self.over = true;
            }
            Action::Down { down, .. } => self.line(format!("down {}", down.reason)),
            _ => {}
        }
    }

    fn line(&mut self, line: String) {
        self.received.push_str(&line);
        self.received.push('\n');
    }
}

/// The attributes that are there.
fn shown(attributes: &Attributes) -> String {
    let mut text = format!(" origin={:?} as_path=[{}]", attributes.origin, attributes.as_path);
    let mut add = |name: &str, value: Option<String>| {
        if let Some(value) = value {
            let _ = write!(text, " {name}={value}");
        }
    };
    let list = |values: Vec<String>| (!values.is_empty()).then(|| values.join(","));
    let pair = |value: &u32| format!("{}:{}", value >> 16, value & 0xffff);
    let triple = |[a, b, c]: &[u32; 3]| format!("{a}:{b}:{c}");
    let hex = |value: &[u8; 8]| format!("{:016x}", u64::from_be_bytes(*value));
    add("next_hop", attributes.next_hop.map(|hop| hop.to_string()));
    add("link_local", attributes.link_local_next_hop.map(|hop| hop.to_string()));
    add("med", attributes.med.map(|med| med.to_string()));
    add("local_pref", attributes.local_pref.map(|value| value.to_string()));
    add("atomic", attributes.atomic_aggregate.then(|| "true".to_owned()));
    add("aggregator", attributes.aggregator.map(|(asn, id)| format!("{asn},{id}")));
    add("communities", list(attributes.communities.iter().map(pair).collect()));
    add("large", list(attributes.large_communities.iter().map(triple).collect()));
    add("extended", list(attributes.extended_communities.iter().map(hex).collect()));
    add("unknown", list(attributes.unknown.iter().map(|known| known.code.to_string()).collect()));
    text
}

/// What the daemon sees in the end of what burgee sent on a session that came
/// to these terms. Every message must be one that we would take ourselves.
pub fn view(octets: &[u8], negotiated: &Negotiated) -> BTreeMap<IpNet, Attributes> {
    let mut view = BTreeMap::new();
    let mut rest = octets;
    while let Some(frame) = header::next_frame(rest, MAX_LENGTH).expect("framed") {
        if frame.kind == MessageType::Open {
            Open::parse(frame.body).expect("an OPEN");
        }
        if frame.kind == MessageType::Update {
            let context = Context {
                four_octet_as: negotiated.four_octet_as,
                ibgp: negotiated.ibgp,
                families: negotiated.families,
                ..Context::default()
            };
            let update = update::parse(frame.body, &context).expect("an UPDATE");
            assert_eq!(update.faults().count(), 0);
            update.withdrawn().for_each(|(_, _, prefix)| drop(view.remove(&prefix)));
            for (family, _, prefix) in update.announced() {
                view.insert(prefix, update.attributes_for(family));
            }
        }
        rest = &rest[frame.length..];
    }
    assert!(rest.is_empty(), "half a message");
    view
}
