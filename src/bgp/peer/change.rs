//! Other settings for a neighbour that is already there.

use super::{Peer, Side};
use crate::bgp::export::Exporter;
use crate::bgp::intake::limit_cease;
use crate::bgp::message::notification::{Notification, cease};
use crate::bgp::message::prefix::{Family, FamilySet};
use crate::bgp::negotiation::Terms;
use crate::bgp::peer_settings::PeerSettings;
use crate::bgp::session::Start;
use crate::reactor::Time;

/// Whether a session that was made with `old` cannot go on with `new`.
fn needs_new_session(old: &PeerSettings, new: &PeerSettings) -> bool {
    let PeerSettings {
        name: _,
        group: _,
        address,
        terms,
        next_hops: _,
        overrides: _,
        import,
        limit: _,
        advertisement_interval: _,
    } = new;
    // The next attempt takes the new time.
    let terms = Terms { connect_retry: old.terms.connect_retry, ..terms.clone() };
    (old.address, old.import) != (*address, *import) || old.terms != terms
}

impl Peer {
    /// Takes other settings. The session stays up, and the neighbour hears what
    /// is announced otherwise now, unless it was agreed on otherwise or
    /// `connections_differ`: then it ends with Cease/Other Configuration Change
    /// (RFC 4486 §4), and another attempt follows.
    pub fn change(&mut self, now: Time, settings: PeerSettings, connections_differ: bool) {
        let reset = connections_differ || needs_new_session(&self.settings, &settings);
        if reset && !self.stopped {
            let cease = Notification::cease(cease::OTHER_CONFIGURATION_CHANGE, "");
            self.stop(now, &cease);
            self.settings = settings;
            // What was learned of the neighbour was learned of the old settings.
            self.plain = false;
            self.failures = 0;
            self.kept_out_until = None;
            self.stopped = false;
            self.ensure_outgoing(now, Start::AfterIdleHold(super::IDLE_HOLD_FIRST));
            return self.settle(now);
        }
        let limit = std::mem::replace(&mut self.settings, settings).limit;
        if let Some(writer) = &mut self.writer {
            let exporter = Exporter {
                name: self.settings.audience().to_owned(),
                next_hops: self.settings.next_hops,
                overrides: self.settings.overrides.clone(),
                ..writer.exporter().clone()
            };
            writer.set_exporter(exporter);
        }
        if self.settings.limit != limit {
            self.judge_limit(now, limit.is_some());
        }
        self.settle(now);
    }

    /// Holds the neighbour to another limit. What it announced while nobody
    /// counted has to come again to be counted.
    fn judge_limit(&mut self, now: Time, counted: bool) {
        self.warned = FamilySet::EMPTY;
        let Some(limit) = self.settings.limit.filter(|_| self.established.is_some()) else {
            return;
        };
        for family in Family::ALL {
            if !counted {
                self.request_refresh(now, family);
            } else if self.received.count(family) > limit.maximum as usize {
                self.kept_out_until = Some(now + limit.restart);
                for side in [Side::Outgoing, Side::Incoming] {
                    if let Some(session) = self.session_mut(side) {
                        session.stop(now, limit_cease(family, limit));
                    }
                }
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::bgp::down::DownReason;
    use crate::bgp::export::Overrides;
    use crate::bgp::message::header::{self, MessageType};
    use crate::bgp::peer::Action;
    use crate::bgp::peer_settings::PrefixLimit;
    use crate::bgp::rib::originated::{Originated, Owner, Path};
    use crate::bgp::testing::terms;

    fn at(millis: u64) -> Time {
        Time::from_millis(millis)
    }

    fn settings() -> PeerSettings {
        let address = "10.0.0.2".parse().expect("an address");
        PeerSettings::new("them", address, terms(65001, 65000, [10, 0, 0, 1]))
    }

    fn sent(peer: &mut Peer, now: Time) -> Vec<MessageType> {
        let bytes = peer.transmit(Side::Outgoing).to_vec();
        peer.transmitted(now, Side::Outgoing, bytes.len());
        let mut rest = &bytes[..];
        let mut kinds = Vec::new();
        while let Some(frame) = header::next_frame(rest, header::MAX_LENGTH).expect("sound") {
            kinds.push(frame.kind);
            rest = &rest[frame.length..];
        }
        kinds
    }

    /// Established since 3 ms, with one route and the End-of-RIBs sent.
    fn established() -> (Peer, Originated) {
        let mut peer = Peer::new(settings(), 1);
        peer.start(at(0));
        let address = |text: &str| text.parse().expect("an address");
        peer.connected(at(1), Side::Outgoing, address("10.0.0.1:1"), address("10.0.0.2:179"));
        sent(&mut peer, at(1));
        let mut theirs = Vec::new();
        terms(65000, 65001, [10, 0, 0, 2]).open().encode(&mut theirs);
        header::encode_keepalive(&mut theirs);
        peer.receive(at(2), Side::Outgoing, &theirs);
        let mut table = Originated::default();
        table.insert("192.0.2.1/32".parse().expect("a prefix"), Owner::File, Path::default());
        peer.pump(at(3), &table);
        sent(&mut peer, at(3));
        while peer.poll_action().is_some() {}
        assert!(peer.established().is_some() && peer.is_quiet(&table));
        (peer, table)
    }

    /// Changes the settings, and returns what is sent and what is done.
    fn changed(change: impl FnOnce(&mut PeerSettings)) -> (Vec<MessageType>, Vec<Action>, Peer) {
        let (mut peer, table) = established();
        let mut settings = settings();
        change(&mut settings);
        peer.change(at(4), settings, false);
        peer.pump(at(4), &table);
        let actions = std::iter::from_fn(|| peer.poll_action()).collect();
        (sent(&mut peer, at(4)), actions, peer)
    }

    #[test]
    fn what_is_announced_changes_over_the_session_that_is_up() {
        let (sent, actions, _) = changed(|_| {});
        assert_eq!((sent, actions), (vec![], vec![]), "nothing is nothing");
        let (sent, actions, peer) =
            changed(|s| s.overrides = Overrides { med: Some(1), ..Overrides::default() });
        assert_eq!((sent, actions), (vec![MessageType::Update], vec![]));
        assert_eq!(peer.counters().flaps, 0);
        let (sent, actions, _) = changed(|s| s.terms.connect_retry = Duration::from_secs(60));
        assert_eq!((sent, actions), (vec![], vec![]));
    }

    #[test]
    fn what_was_agreed_on_needs_a_new_session() {
        for change in [
            |s: &mut PeerSettings| s.terms.hold_time = 30,
            |s: &mut PeerSettings| s.terms.offer.extended_next_hop = true,
        ] {
            let (_, actions, mut peer) = changed(change);
            let reasons: Vec<&DownReason> = actions
                .iter()
                .filter_map(|action| match action {
                    Action::Down { down, .. } => Some(&down.reason),
                    _ => None,
                })
                .collect();
            let cease = Notification::cease(cease::OTHER_CONFIGURATION_CHANGE, "");
            assert_eq!(reasons, [&DownReason::Sent(cease)]);
            assert!(peer.established().is_none());
            let deadline = peer.deadline().expect("another attempt");
            assert!(deadline <= at(104), "soon: {deadline:?}");
            peer.timeout(deadline);
            assert_eq!(peer.poll_action(), Some(Action::Dial));
        }
    }

    /// Other sockets, the same terms; and who is stopped stays so.
    #[test]
    fn other_connections_need_a_new_session() {
        let (mut peer, _) = established();
        peer.change(at(4), settings(), true);
        assert!(peer.established().is_none() && peer.deadline().is_some());
        let (mut peer, _) = established();
        peer.stop(at(4), &Notification::cease(cease::ADMINISTRATIVE_SHUTDOWN, ""));
        peer.change(at(5), settings(), true);
        assert_eq!(peer.deadline(), None);
    }

    #[test]
    fn a_limit_that_is_new_has_the_routes_sent_again() {
        let limit = PrefixLimit { maximum: 1, warning: 0, restart: Duration::from_secs(60) };
        let (sent, actions, _) = changed(|s| s.limit = Some(limit));
        assert_eq!((sent, actions), (vec![MessageType::RouteRefresh; 2], vec![]));
    }

    #[test]
    fn a_limit_that_is_lower_is_judged_at_once() {
        let (mut peer, _) = established();
        let limit = |maximum| {
            let restart = Duration::from_secs(60);
            Some(PrefixLimit { maximum, warning: 0, restart })
        };
        peer.change(at(4), PeerSettings { limit: limit(2), ..settings() }, false);
        let attributes =
            [0x40, 1, 1, 0, 0x40, 2, 6, 2, 1, 0, 0, 0xfd, 0xe8, 0x40, 3, 4, 10, 0, 0, 2];
        let routes = [24, 203, 0, 113, 24, 203, 0, 114];
        let mut update = Vec::new();
        let start = header::begin(&mut update, MessageType::Update);
        update.extend([&[0, 0, 0, 20][..], &attributes, &routes].concat());
        header::finish(&mut update, start);
        peer.receive(at(5), Side::Outgoing, &update);
        peer.change(at(6), PeerSettings { limit: limit(3), ..settings() }, false);
        assert!(peer.established().is_some());
        peer.change(at(7), PeerSettings { limit: limit(1), ..settings() }, false);
        assert!(peer.established().is_none());
        assert_eq!(peer.kept_out_until(), Some(at(60_007)));
        assert!(!peer.accept(at(8)));
    }
}
