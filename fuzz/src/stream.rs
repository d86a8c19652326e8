//! What one connection carries from a speaker, read as its neighbour reads it.

use std::collections::{BTreeMap, BTreeSet};

use burgee::bgp::message::attribute::Attributes;
use burgee::bgp::message::header::{self, Frame, MAX_LENGTH, MessageType};
use burgee::bgp::message::notification::Notification;
use burgee::bgp::message::open::Open;
use burgee::bgp::message::prefix::Family;
use burgee::bgp::message::route_refresh::{RouteRefresh, subtype};
use burgee::bgp::message::update::{self, Context};
use burgee::bgp::negotiation::Negotiated;
use ipnet::IpNet;

use super::decoders;

/// One direction of a connection.
#[derive(Clone, Default)]
pub(crate) struct Stream {
    /// The beginning of a message whose rest has not been taken.
    partial: Vec<u8>,
    pub(crate) messages: usize,
    pub(crate) last: Option<Notification>,
    /// What the speaker says was agreed, once its session is up.
    pub(crate) negotiated: Option<Negotiated>,
    pub(crate) routes: BTreeMap<IpNet, Attributes>,
    pub(crate) ends_of_rib: BTreeSet<Family>,
    /// The families of which a refresh has begun and not ended.
    pub(crate) refreshing: BTreeSet<Family>,
}

impl Stream {
    /// The kernel took these octets.
    pub(crate) fn take(&mut self, octets: &[u8]) {
        let mut bytes = std::mem::take(&mut self.partial);
        bytes.extend_from_slice(octets);
        let mut rest = &bytes[..];
        while let Some(frame) = header::next_frame(rest, self.longest()).expect("framed by us") {
            self.message(&frame);
            rest = &rest[frame.length..];
        }
        self.partial = rest.to_vec();
    }

    /// Whether what was taken and what waits are whole messages.
    pub(crate) fn check_waiting(&self, waiting: &[u8]) {
        let mut bytes = self.partial.clone();
        bytes.extend_from_slice(waiting);
        let mut rest = &bytes[..];
        while let Some(frame) = header::next_frame(rest, self.longest()).expect("framed by us") {
            rest = &rest[frame.length..];
        }
        assert!(rest.is_empty(), "half a message at the end of what waits");
    }

    /// The last octets of a connection.
    pub(crate) fn end(&mut self, rest: &[u8]) {
        self.check_waiting(rest);
        self.take(rest);
    }

    /// The longest message that the neighbour takes.
    pub(crate) fn longest(&self) -> usize {
        self.negotiated.as_ref().map_or(MAX_LENGTH, |agreed| agreed.longest_sent)
    }

    fn message(&mut self, frame: &Frame<'_>) {
        assert!(self.last.is_none(), "{:?} after a NOTIFICATION", frame.kind);
        assert_eq!(self.messages == 0, frame.kind == MessageType::Open, "OPEN comes first, once");
        self.messages += 1;
        match frame.kind {
            MessageType::Open => drop(Open::parse(frame.body).expect("our OPEN")),
            MessageType::Keepalive => {}
            MessageType::Notification => {
                self.last = Some(Notification::parse(frame.body).expect("our NOTIFICATION"));
            }
            MessageType::RouteRefresh => self.refresh(frame.body),
            MessageType::Update => self.update(frame.body),
        }
    }

    /// RFC 7313 section 4: the marks of a refresh come in pairs, and after the
    /// End-of-RIB of the family.
    fn refresh(&mut self, body: &[u8]) {
        let negotiated = self.negotiated.as_ref().expect("before the session is up");
        let refresh = RouteRefresh::parse(body, true).expect("our ROUTE-REFRESH");
        let family = refresh.family().expect("a family that we know");
        assert!(negotiated.families.contains(family) && negotiated.route_refresh);
        if refresh.subtype == subtype::REQUEST {
            return;
        }
        assert!(negotiated.enhanced_refresh && self.ends_of_rib.contains(&family));
        match refresh.subtype {
            subtype::BEGIN => assert!(self.refreshing.insert(family), "begins twice"),
            _ => assert!(self.refreshing.remove(&family), "ends without a beginning"),
        }
    }

    fn update(&mut self, body: &[u8]) {
        let negotiated = self.negotiated.as_ref().expect("an UPDATE before the session is up");
        let context = context(negotiated);
        let update = update::parse(body, &context).expect("our UPDATE");
        decoders::sound(&update, &context);
        assert_eq!(update.faults().next().map(|fault| fault.to_string()), None, "our UPDATE");
        if let Some(family) = update.is_end_of_rib() {
            assert!(self.ends_of_rib.insert(family), "a second End-of-RIB");
        }
        for (_, _, prefix) in update.withdrawn() {
            assert!(self.routes.remove(&prefix).is_some(), "{prefix} was not there");
        }
        for (family, path_id, prefix) in update.announced() {
            assert_eq!(path_id != 0, context.add_path.contains(family));
            self.routes.insert(prefix, update.attributes_for(family));
        }
    }
}

/// How an UPDATE is read on a session with these terms.
pub(crate) fn context(negotiated: &Negotiated) -> Context {
    let ipv4 = [Family::Ipv4Unicast].into_iter().filter(|_| negotiated.extended_next_hop);
    Context {
        four_octet_as: negotiated.four_octet_as,
        ibgp: negotiated.ibgp,
        families: negotiated.families,
        add_path: negotiated.add_path_sent,
        extended_next_hop: ipv4.collect(),
    }
}
