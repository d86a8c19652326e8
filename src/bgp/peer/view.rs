//! What others see of a neighbour: they look, and change nothing.

use ipnet::IpNet;

use super::{Peer, PeerCounters, Side};
use crate::bgp::down::DownReason;
use crate::bgp::message::attribute::Attributes;
use crate::bgp::message::prefix::Family;
use crate::bgp::negotiation::Negotiated;
use crate::bgp::peer_settings::PeerSettings;
use crate::bgp::rib::Key;
use crate::bgp::rib::originated::Originated;
use crate::bgp::session::{Session, State};
use crate::bgp::status::PeerStatus;
use crate::bgp::timers::Timer;
use crate::bgp::writer::Writer;
use crate::reactor::Time;

impl Peer {
    /// Whether everything that the neighbour should know has been handed to
    /// the kernel; a neighbour without a session has nothing to know.
    pub fn is_quiet(&self, table: &Originated) -> bool {
        match self.established {
            None => true,
            Some((side, _)) => {
                self.transmit(side).is_empty()
                    && self.writer.as_ref().is_none_or(|writer| !writer.is_due(table))
            }
        }
    }

    /// Until when it is kept out, for having announced too much.
    pub fn kept_out_until(&self) -> Option<Time> {
        self.kept_out_until
    }

    /// The settings.
    pub fn settings(&self) -> &PeerSettings {
        &self.settings
    }

    /// The side and the start of the established session.
    pub fn established(&self) -> Option<(Side, Time)> {
        self.established
    }

    /// The state of the session that is furthest.
    pub fn state(&self) -> State {
        let of = |session: &Option<Session>| session.as_ref().map_or(State::Idle, Session::state);
        let (a, b) = (of(&self.outgoing), of(&self.incoming));
        if a as u8 >= b as u8 { a } else { b }
    }

    /// What the neighbour has been sent.
    pub fn writer(&self) -> Option<&Writer> {
        self.writer.as_ref()
    }

    /// What the neighbour was sent of a prefix and has not been told to forget;
    /// `None`: nothing.
    pub fn sent(&self, prefix: &IpNet) -> Option<&Attributes> {
        self.writer.as_ref()?.sent_of(&Key::new(*prefix))
    }

    /// What was agreed with the neighbour, while it is established.
    pub fn negotiated(&self) -> Option<&Negotiated> {
        self.established.and_then(|(side, _)| self.session(side))?.negotiated()
    }

    /// The counters, with those of the sessions that live.
    pub fn counters(&self) -> PeerCounters {
        let mut counters = self.counters;
        for session in self.outgoing.iter().chain(&self.incoming) {
            let (received, sent) = session.counts();
            counters.received.merge(&received);
            counters.sent.merge(&sent);
        }
        counters
    }

    /// When and why the last session ended.
    pub fn last_down(&self) -> Option<&(Time, DownReason)> {
        self.last_down.as_ref()
    }

    /// All that is known of the neighbour.
    pub fn status(&self) -> PeerStatus {
        let session = self.established.and_then(|(side, _)| self.session(side));
        let received = Family::ALL.map(|family| self.received.count(family));
        PeerStatus {
            name: self.settings.name.clone(),
            group: self.settings.group.clone(),
            address: self.settings.address,
            asn: self.settings.terms.peer_asn,
            state: self.state(),
            established: self.established.map(|(_, since)| since),
            side: self.established.map(|(side, _)| side),
            endpoints: session.and_then(Session::endpoints),
            negotiated: session.and_then(Session::negotiated).cloned(),
            announced: self.writer.as_ref().map_or(0, Writer::sent_count),
            received: received.into_iter().fold(0, usize::saturating_add),
            counters: self.counters(),
            last_down: self.last_down.clone(),
            last_sent: self.last_sent.clone(),
            last_received: self.last_received.clone(),
            kept_out_until: self.kept_out_until,
            hold_until: self.furthest().and_then(|session| session.timer(Timer::Hold)),
            retry_at: self.retry_at(),
        }
    }

    fn furthest(&self) -> Option<&Session> {
        let sessions = self.outgoing.iter().chain(&self.incoming);
        sessions.max_by_key(|session| session.state() as u8)
    }

    /// An attempt is made after the wait in Idle, and again when an earlier one
    /// came to nothing (RFC 4271 §8.2.2).
    fn retry_at(&self) -> Option<Time> {
        let session = self.outgoing.as_ref()?;
        let timers = [Timer::IdleHold, Timer::ConnectRetry];
        timers.into_iter().filter_map(|timer| session.timer(timer)).min()
    }
}
