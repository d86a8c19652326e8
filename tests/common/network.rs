//! A simulated network between two speakers, with a virtual clock. It checks on
//! the way that what a speaker reports of a session is in order.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use burgee::bgp::export::{NextHops, Overrides};
use burgee::bgp::message::attribute::Attributes;
use burgee::bgp::message::notification::{Notification, cease};
use burgee::bgp::message::prefix::Family;
use burgee::bgp::negotiation::Terms;
use burgee::bgp::offer::Offer;
use burgee::bgp::peer::{Action, Peer, Side, collision_cease};
use burgee::bgp::peer_settings::{Import, PeerSettings};
use burgee::bgp::rib::originated::{Owner, Path};
use burgee::bgp::session::State;
use burgee::bgp::speaker::{PeerId, Speaker};
use burgee::reactor::Time;
use burgee::reactor::random::Random;
use ipnet::IpNet;

/// The only neighbour that a node has.
const PEER: PeerId = PeerId(0);

pub fn prefix(text: &str) -> IpNet {
    text.parse().expect("a prefix")
}

/// One end of the network, before it runs.
#[derive(Clone)]
pub struct Node {
    address: IpAddr,
    asn: u32,
    pub identifier: Ipv4Addr,
    pub passive: bool,
    /// What this node calls the other.
    pub neighbour: String,
    /// What this node sets for the other.
    pub overrides: Overrides,
    /// What this node offers the other.
    pub offer: Offer,
    /// Least time between two of its announcements.
    pub advertisement_interval: Duration,
}

impl Node {
    pub fn new(address: &str, asn: u32) -> Node {
        let identifier: Ipv4Addr = address.parse().expect("nodes have IPv4 addresses");
        Node {
            address: identifier.into(),
            asn,
            identifier,
            passive: false,
            neighbour: "other".to_owned(),
            overrides: Overrides::default(),
            offer: Offer::default(),
            advertisement_interval: Duration::ZERO,
        }
    }

    fn settings(&self, other: &Node) -> PeerSettings {
        let terms = Terms {
            asn: self.asn,
            identifier: self.identifier,
            peer_asn: other.asn,
            hold_time: 9,
            keepalive: None,
            families: Family::ALL.into_iter().collect(),
            connect_retry: Duration::from_secs(3),
            passive: self.passive,
            offer: self.offer.clone(),
        };
        let ipv6 = Some("2001:db8:1::1".parse().expect("an address"));
        PeerSettings {
            next_hops: NextHops { ipv4: None, ipv6 },
            overrides: self.overrides.clone(),
            import: Import::Report,
            advertisement_interval: self.advertisement_interval,
            ..PeerSettings::new(self.neighbour.as_str(), other.address, terms)
        }
    }
}

#[derive(Clone, Debug)]
enum Segment {
    Connect,
    Accepted,
    Refused,
    Bytes(Vec<u8>),
    End,
    Reset,
}

/// One TCP connection: node 0's end and node 1's end.
struct Connection {
    opener: usize,
    /// Whether each end's kernel still knows the connection.
    alive: [bool; 2],
    up: [bool; 2],
    /// What is on its way to each end, with its time of arrival.
    flying: [VecDeque<(Time, Segment)>; 2],
    /// What a cut holds up: TCP sends it again when the cut is over.
    held: Vec<(usize, Segment)>,
}

impl Connection {
    fn side_of(&self, node: usize) -> Side {
        if self.opener == node { Side::Outgoing } else { Side::Incoming }
    }

    /// Octets that were sent to `node` and have not arrived.
    fn on_the_way(&self, node: usize) -> usize {
        let octets = |segment: &Segment| match segment {
            Segment::Bytes(bytes) => bytes.len(),
            _ => 0,
        };
        let held = self.held.iter().filter(|(to, _)| *to == node).map(|(_, segment)| segment);
        self.flying[node].iter().map(|(_, segment)| segment).chain(held).map(octets).sum()
    }
}

/// Two speakers and what lies between them.
pub struct Network {
    nodes: [Node; 2],
    speakers: [Speaker; 2],
    learned: [BTreeMap<IpNet, Attributes>; 2],
    withdrawn: [usize; 2],
    /// Whether each node has reported a session as up and not yet as down.
    reported_up: [bool; 2],
    lost_to_collisions: u32,
    random: Random,
    connections: Vec<Connection>,
    made: usize,
    now: Time,
    pub latency: Duration,
    /// Each segment takes half to one and a half of the latency, so that what
    /// is sent on one connection overtakes what is sent on the other.
    pub jitter: bool,
    /// Octets that each kernel holds for a connection, sent and not yet read:
    /// a small number is a slow reader.
    pub window: usize,
    /// Nodes of which nothing listens.
    pub deaf: [bool; 2],
    /// Nothing gets through, and nobody is told.
    pub cut: bool,
    /// Kernels take no octets to send.
    pub stalled: bool,
    /// Nodes whose process does not run, as when a host is paused: for them the
    /// time jumps when they go on.
    pub paused: [bool; 2],
}

impl Network {
    pub fn new(nodes: [Node; 2], seed: u64) -> Network {
        let speakers = [
            Speaker::new(vec![nodes[0].settings(&nodes[1])], seed),
            Speaker::new(vec![nodes[1].settings(&nodes[0])], seed.wrapping_add(99)),
        ];
        Network {
            nodes,
            speakers,
            learned: [BTreeMap::new(), BTreeMap::new()],
            withdrawn: [0; 2],
            reported_up: [false; 2],
            lost_to_collisions: 0,
            random: Random::new(seed.wrapping_add(7)),
            connections: Vec::new(),
            made: 0,
            now: Time::from_millis(1000),
            latency: Duration::from_millis(1),
            jitter: false,
            window: usize::MAX,
            deaf: [false; 2],
            cut: false,
            stalled: false,
            paused: [false; 2],
        }
    }

    pub fn start(&mut self) {
        for node in 0..2 {
            self.speakers[node].start(self.now);
            self.serve(node);
        }
    }

    pub fn stop(&mut self, node: usize, cease: &Notification) {
        self.speakers[node].stop(self.now, cease);
        self.serve(node);
    }

    pub fn announce(&mut self, node: usize, text: &str) {
        self.announce_path(node, text, Path::default());
    }

    pub fn announce_path(&mut self, node: usize, text: &str, path: Path) {
        self.speakers[node].originate(prefix(text), Owner::Announcer, path);
        self.serve(node);
    }

    pub fn withdraw(&mut self, node: usize, text: &str) {
        self.speakers[node].withdraw(prefix(text), Owner::Announcer);
        self.serve(node);
    }

    /// Lets `duration` pass, event by event.
    pub fn run(&mut self, duration: Duration) {
        let end = self.now + duration;
        if !self.cut {
            for index in 0..self.connections.len() {
                for (to, segment) in std::mem::take(&mut self.connections[index].held) {
                    self.send(index, to, segment);
                }
            }
        }
        (0..2).for_each(|node| self.serve(node));
        let mut steps = 0_u32;
        while let Some(at) = self.next_event().filter(|at| *at <= end) {
            // Many events at one moment are a livelock, not progress.
            steps = if at > self.now { 0 } else { steps + 1 };
            assert!(steps < 10_000, "the speakers never come to rest");
            self.now = self.now.max(at);
            for node in 0..2 {
                if !self.paused[node]
                    && self.speakers[node].deadline(PEER).is_some_and(|at| at <= self.now)
                {
                    self.speakers[node].timeout(self.now, PEER);
                    self.serve(node);
                }
            }
            self.deliver();
        }
        self.now = end;
        for node in 0..2 {
            self.serve(node);
        }
    }

    /// `node` asks the other for everything again.
    pub fn refresh(&mut self, node: usize, family: Family) {
        self.speakers[node].request_refresh(self.now, PEER, family);
        self.serve(node);
    }

    /// Ends `node`'s session as a lost path does.
    pub fn lose_path(&mut self, node: usize) {
        let cease = Notification::cease(cease::BFD_DOWN, "");
        self.speakers[node].reset(self.now, PEER, cease);
        self.serve(node);
    }

    /// A reset for every connection, to both ends.
    pub fn reset_all(&mut self) {
        let at = self.now;
        for connection in &mut self.connections {
            for node in 0..2 {
                connection.flying[node].push_front((at, Segment::Reset));
            }
        }
        self.deliver();
    }

    /// The kernel of `node` forgets its connections and tells only its own
    /// speaker: a half-open connection for the other.
    pub fn lose_end(&mut self, node: usize) {
        for index in 0..self.connections.len() {
            if self.connections[index].alive[node] {
                self.arrive(index, node, Segment::Reset);
            }
        }
    }

    /// The process of `node` dies and starts again, with nothing announced.
    pub fn crash(&mut self, node: usize) {
        let settings = self.nodes[node].settings(&self.nodes[1 - node]);
        self.speakers[node] = Speaker::new(vec![settings], self.random.next_u64());
        self.reported_up[node] = false;
        self.learned[node].clear();
        for index in 0..self.connections.len() {
            if std::mem::take(&mut self.connections[index].alive[node]) {
                self.send(index, 1 - node, Segment::Reset);
            }
        }
        self.speakers[node].start(self.now);
        self.serve(node);
    }

    /// How often an established session was given up for another connection
    /// that then was given up as well.
    pub fn lost_to_collisions(&self) -> u32 {
        self.lost_to_collisions
    }

    /// How long it has run.
    pub fn elapsed(&self) -> Duration {
        self.now.since(Time::from_millis(1000))
    }

    pub fn learned(&self, node: usize) -> BTreeSet<IpNet> {
        self.learned[node].keys().copied().collect()
    }

    pub fn attributes(&self, node: usize, text: &str) -> Option<&Attributes> {
        self.learned[node].get(&prefix(text))
    }

    /// What `node` counts as sent to the other.
    pub fn sent(&self, node: usize, text: &str) -> Option<&Attributes> {
        self.peer(node).sent(&prefix(text))
    }

    /// How many UPDATEs `node` has sent, and how many routes it has heard
    /// withdrawn.
    pub fn updates_and_withdrawn(&self, node: usize) -> (u64, usize) {
        (self.peer(node).counters().sent.updates, self.withdrawn[node])
    }

    pub fn state(&self, node: usize) -> State {
        self.peer(node).state()
    }

    pub fn is_established(&self) -> bool {
        (0..2).all(|node| self.peer(node).established().is_some())
    }

    pub fn established_side(&self, node: usize) -> Option<Side> {
        self.peer(node).established().map(|(side, _)| side)
    }

    pub fn open_connections(&self) -> usize {
        self.connections.iter().filter(|c| c.alive[0] || c.alive[1]).count()
    }

    pub fn connections_made(&self) -> usize {
        self.made
    }

    pub fn flaps(&self) -> u64 {
        (0..2).map(|node| self.peer(node).counters().flaps).sum()
    }

    pub fn messages_sent(&self) -> u64 {
        (0..2).map(|node| self.peer(node).counters().sent.keepalives).sum()
    }

    pub fn last_down(&self, node: usize) -> Option<String> {
        self.peer(node).last_down().map(|(_, reason)| reason.to_string())
    }

    fn peer(&self, node: usize) -> &Peer {
        self.speakers[node].peer(PEER).expect("the neighbour")
    }

    fn next_event(&self) -> Option<Time> {
        let runs = |node: &usize| !self.paused[*node];
        let timers = (0..2).filter(runs).filter_map(|node| self.speakers[node].deadline(PEER));
        let arrivals = self
            .connections
            .iter()
            .flat_map(|c| (0..2).filter(runs).map(|node| &c.flying[node]))
            .filter_map(|flying| flying.front().map(|(at, _)| *at));
        timers.chain(arrivals).min()
    }

    fn deliver(&mut self) {
        for index in 0..self.connections.len() {
            for node in (0..2).filter(|node| !self.paused[*node]).collect::<Vec<_>>() {
                while let Some((_, segment)) =
                    self.connections[index].flying[node].pop_front_if(|(at, _)| *at <= self.now)
                {
                    self.arrive(index, node, segment);
                }
            }
        }
        let quiet = |c: &Connection| {
            let nothing_flies = c.flying.iter().all(VecDeque::is_empty) && c.held.is_empty();
            !c.alive[0] && !c.alive[1] && nothing_flies
        };
        self.connections.retain(|connection| !quiet(connection));
    }

    fn send(&mut self, index: usize, to: usize, segment: Segment) {
        // What follows a cut does not overtake what the cut held up.
        if self.cut || !self.connections[index].held.is_empty() {
            return self.connections[index].held.push((to, segment));
        }
        let mut at = self.now + self.latency;
        if self.jitter {
            let millis = u64::try_from(self.latency.as_millis()).expect("a short time");
            at = self.now + Duration::from_millis(millis / 2 + self.random.below(millis + 1));
        }
        let flying = &mut self.connections[index].flying[to];
        let at = flying.back().map_or(at, |(last, _)| at.max(*last));
        flying.push_back((at, segment));
    }

    fn arrive(&mut self, index: usize, node: usize, segment: Segment) {
        let side = self.connections[index].side_of(node);
        let known = self.connections[index].alive[node];
        match segment {
            Segment::Connect if self.deaf[node] => {
                return self.send(index, 1 - node, Segment::Refused);
            }
            Segment::Connect => {
                let welcome = self.speakers[node].accept(self.now, PEER);
                self.serve(node);
                if !welcome {
                    return self.turn_away(index, node);
                }
                self.made += 1;
                self.connections[index].alive[node] = true;
                self.send(index, 1 - node, Segment::Accepted);
                self.connected(index, node);
            }
            Segment::Accepted if known => self.connected(index, node),
            Segment::Refused if known => {
                self.connections[index].alive[node] = false;
                self.speakers[node].connect_failed(self.now, PEER);
            }
            Segment::Bytes(bytes) if known => {
                self.speakers[node].receive(self.now, (PEER, side), &bytes);
                // What was read makes room for more.
                self.serve(1 - node);
            }
            // A kernel that knows nothing of the connection says so.
            Segment::Bytes(_) | Segment::Accepted => {
                return self.send(index, 1 - node, Segment::Reset);
            }
            Segment::End | Segment::Reset if known => {
                self.connections[index].alive[node] = false;
                if self.connections[index].up[node] {
                    self.speakers[node].closed(self.now, (PEER, side));
                } else if side == Side::Outgoing {
                    self.speakers[node].connect_failed(self.now, PEER);
                }
            }
            Segment::End | Segment::Reset | Segment::Refused => {}
        }
        self.serve(node);
    }

    /// The door accepts before it asks, so the newcomer hears why it must go.
    fn turn_away(&mut self, index: usize, node: usize) {
        let established = self.peer(node).state() != State::Idle;
        let why = match established {
            true => collision_cease(),
            false => Notification::cease(cease::CONNECTION_REJECTED, ""),
        };
        let mut bytes = Vec::new();
        why.encode(&mut bytes);
        self.send(index, 1 - node, Segment::Accepted);
        self.send(index, 1 - node, Segment::Bytes(bytes));
        self.send(index, 1 - node, Segment::End);
    }

    fn connected(&mut self, index: usize, node: usize) {
        let side = self.connections[index].side_of(node);
        self.connections[index].up[node] = true;
        let local = SocketAddr::new(self.nodes[node].address, 179);
        let remote = SocketAddr::new(self.nodes[1 - node].address, 179);
        self.speakers[node].connected(self.now, (PEER, side), local, remote);
    }

    /// Does what the door does: writes, acts, until the speaker is satisfied.
    fn serve(&mut self, node: usize) {
        if self.paused[node] {
            return;
        }
        loop {
            self.speakers[node].pump(self.now, PEER);
            for side in [Side::Outgoing, Side::Incoming] {
                self.write(node, side);
            }
            let Some(action) = self.speakers[node].poll_action(PEER) else { break };
            self.act(node, action);
        }
        self.check_counts(node);
    }

    /// What is counted of all neighbours is what the one has.
    fn check_counts(&self, node: usize) {
        let speaker = &self.speakers[node];
        let mut after = None;
        while let Some(key) = speaker.table().next_key(after) {
            let has = self.peer(node).sent(&key.prefix).is_some();
            assert_eq!(speaker.sent_to(&key.prefix), usize::from(has), "{key:?}");
            after = Some(key);
        }
    }

    fn connection_of(&self, node: usize, side: Side) -> Option<usize> {
        self.connections.iter().rposition(|c| c.alive[node] && c.side_of(node) == side)
    }

    fn write(&mut self, node: usize, side: Side) {
        let Some(index) = self.connection_of(node, side) else { return };
        if self.stalled || !self.connections[index].up[node] {
            return;
        }
        let room = self.window.saturating_sub(self.connections[index].on_the_way(1 - node));
        let waiting = self.speakers[node].transmit((PEER, side));
        let bytes = waiting[..waiting.len().min(room)].to_vec();
        if !bytes.is_empty() {
            self.speakers[node].transmitted(self.now, (PEER, side), bytes.len());
            self.send(index, 1 - node, Segment::Bytes(bytes));
        }
    }

    fn act(&mut self, node: usize, action: Action) {
        match action {
            Action::Dial => {
                let mut alive = [false; 2];
                alive[node] = true;
                self.connections.push(Connection {
                    opener: node,
                    alive,
                    up: [false; 2],
                    flying: [VecDeque::new(), VecDeque::new()],
                    held: Vec::new(),
                });
                let index = self.connections.len() - 1;
                self.send(index, 1 - node, Segment::Connect);
            }
            Action::HangUp => {
                if let Some(index) = self.connection_of(node, Side::Outgoing) {
                    self.connections[index].alive[node] = false;
                    self.send(index, 1 - node, Segment::End);
                }
            }
            Action::Close { side, rest } => {
                if let Some(index) = self.connection_of(node, side) {
                    if !rest.is_empty() && !self.stalled {
                        self.send(index, 1 - node, Segment::Bytes(rest));
                    }
                    self.connections[index].alive[node] = false;
                    self.send(index, 1 - node, Segment::End);
                }
            }
            Action::Up { .. } => {
                assert!(!self.reported_up[node], "up twice");
                let keeps = self.nodes.iter().all(|node| node.offer.graceful_restart.is_some());
                assert!(keeps || self.learned[node].is_empty(), "routes of an earlier session");
                self.reported_up[node] = true;
            }
            Action::Down { down, .. } => {
                if down.was_established {
                    assert!(self.reported_up[node], "down without up");
                    self.reported_up[node] = false;
                    let left = matches!(self.state(node), State::OpenSent | State::OpenConfirm);
                    self.lost_to_collisions += u32::from(down.reason.is_collision() && !left);
                }
            }
            Action::Learned(learned) => {
                for gone in learned.withdrawn {
                    self.withdrawn[node] += 1;
                    self.learned[node].remove(&gone.prefix);
                }
                for (keys, attributes) in learned.announced {
                    assert!(self.reported_up[node], "routes without a session");
                    for key in keys {
                        self.learned[node].insert(key.prefix, (*attributes).clone());
                    }
                }
            }
            Action::RefreshAsked(_) | Action::Malformed { .. } | Action::PrefixWarning { .. } => {}
        }
    }
}
