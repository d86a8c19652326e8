//! The embedded upstream router: a second speaker that listens, and shows what
//! it learns.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use ipnet::IpNet;

use crate::bgp::message::attribute::{Attributes, Origin};
use crate::bgp::message::prefix::Family;
use crate::bgp::negotiation::Terms;
use crate::bgp::offer::Offer;
use crate::bgp::peer::{Action, Learned};
use crate::bgp::peer_settings::{Import, PeerSettings};
use crate::bgp::rib::Key;
use crate::bgp::speaker::Speaker;
use crate::bgp::transport::{Kinds, PeerTransport, Transport, TransportSettings};
use crate::reactor::{Kind, Reactor};

/// The router's AS and identifier; both from the documentation ranges
/// (RFC 5398, RFC 5737).
pub(super) const ASN: u32 = 64500;
const IDENTIFIER: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 1);

/// The router: one neighbour, and the routes that it announced.
#[derive(Debug)]
pub(super) struct Router {
    pub(super) bgp: Transport,
    routes: BTreeMap<IpNet, Attributes>,
    up: bool,
}

impl Router {
    /// Listens on a free port of `address` for a neighbour of AS `peer_asn`.
    pub(super) fn start(
        reactor: &mut Reactor,
        address: IpAddr,
        peer_asn: u32,
        seed: u64,
    ) -> Result<Router, String> {
        let terms = Terms {
            asn: ASN,
            identifier: IDENTIFIER,
            peer_asn,
            hold_time: 9,
            keepalive: None,
            families: Family::ALL.into_iter().collect(),
            connect_retry: Duration::from_secs(3),
            passive: true,
            offer: Offer::default(),
        };
        let settings = PeerSettings::new(address.to_string(), address, terms);
        let settings = PeerSettings { import: Import::Report, ..settings };
        let transport = TransportSettings {
            listen: vec![SocketAddr::new(address, 0)],
            peers: vec![PeerTransport {
                remote: SocketAddr::new(address, 0),
                interface: None,
                source: None,
                source_required: false,
                md5_key: None,
                ttl: None,
                minimum_ttl: None,
                user_timeout: None,
            }],
            groups: Vec::new(),
            kinds: Kinds {
                listener: Kind::GuestBgpListener,
                session: Kind::GuestBgpSession,
                peer: Kind::GuestBgpPeer,
            },
        };
        let speaker = Speaker::new(vec![settings], seed);
        let mut bgp = Transport::new(reactor, speaker, transport)?;
        bgp.start(reactor);
        Ok(Router { bgp, routes: BTreeMap::new(), up: false })
    }

    /// The port that it listens on.
    pub(super) fn port(&self) -> u16 {
        self.bgp.listening_on().first().map_or(0, SocketAddr::port)
    }

    /// How many routes it has.
    pub(super) fn routes(&self) -> usize {
        self.routes.len()
    }

    /// Whether the session was up when the news were last read.
    pub(super) fn is_up(&self) -> bool {
        self.up
    }

    /// Takes in what the session brought; returns it as lines to show.
    pub(super) fn news(&mut self) -> Vec<String> {
        let mut lines = Vec::new();
        while let Some((_, action)) = self.bgp.poll_notice() {
            match action {
                Action::Up { negotiated, .. } => {
                    self.up = true;
                    lines.push(format!(
                        "BGP session with burgee is up: AS {ASN} and AS {}, hold time {} s",
                        negotiated.peer_asn,
                        negotiated.hold_time.as_secs()
                    ));
                }
                Action::Down { down, .. } => {
                    self.up = false;
                    self.routes.clear();
                    lines.push(format!("BGP session with burgee ended: {}", down.reason));
                }
                Action::Learned(learned) => self.learn(learned, &mut lines),
                Action::Dial
                | Action::HangUp
                | Action::Close { .. }
                | Action::RefreshAsked(_)
                | Action::Malformed { .. }
                | Action::PrefixWarning { .. } => {}
            }
        }
        lines
    }

    fn learn(&mut self, learned: Learned, lines: &mut Vec<String>) {
        for Key { prefix, .. } in learned.withdrawn {
            // Those of a session that ended are gone already.
            if self.routes.remove(&prefix).is_some() {
                lines.push(format!("route withdrawn: {prefix} leads here no more"));
            }
        }
        for (keys, attributes) in learned.announced {
            for Key { prefix, .. } in keys {
                lines.push(format!("route learned: {}", describe(prefix, &attributes)));
                self.routes.insert(prefix, (*attributes).clone());
            }
        }
    }

    /// The table as a page.
    pub(super) fn page(&self) -> String {
        let mut page = format!("router AS {ASN}: {} routes\n", self.routes.len());
        for (prefix, attributes) in &self.routes {
            let _ = writeln!(page, "{}", describe(*prefix, attributes));
        }
        page
    }
}

fn describe(prefix: IpNet, attributes: &Attributes) -> String {
    let next_hop = attributes.next_hop.map_or_else(|| "none".to_owned(), |a| a.to_string());
    let origin = match attributes.origin {
        Origin::Igp => "IGP",
        Origin::Egp => "EGP",
        Origin::Incomplete => "incomplete",
    };
    format!("{prefix}  next hop {next_hop}  AS path {}  origin {origin}", attributes.as_path)
}
