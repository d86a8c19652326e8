//! What the door writes to the log: one event, one line.

use std::time::Duration;

use log::{Level, debug, info, log, warn};

use super::Transport;
use crate::bgp::down::{Down, DownReason};
use crate::bgp::message::notification::{Notification, code};
use crate::bgp::peer::{Action, Peer, Side};
use crate::bgp::speaker::PeerId;
use crate::reactor::log_sink::quoted;

impl Transport {
    pub(super) fn log_up(&self, id: PeerId, action: &Action) {
        if let Action::Up { side, negotiated } = action {
            let families: Vec<_> = negotiated.families.iter().map(|f| f.to_string()).collect();
            info!(
                "bgp event=established peer={} asn={} routerid={} kind={} opened_by={} \
                 hold_time={}s keepalive={}s families={}",
                self.name(id),
                negotiated.peer_asn,
                negotiated.peer_identifier,
                if negotiated.ibgp { "ibgp" } else { "ebgp" },
                if *side == Side::Outgoing { "us" } else { "neighbour" },
                negotiated.hold_time.as_secs(),
                negotiated.keepalive.as_secs(),
                families.join(","),
            );
        }
    }

    pub(super) fn log_down(&mut self, id: PeerId, down: &Down, uptime: Duration) {
        let name = self.name(id);
        let reason = &down.reason;
        let cease = |n: &Notification| n.code == code::CEASE;
        let ours = matches!(reason, DownReason::Sent(n) if cease(n));
        if down.was_established {
            let counters = self.speaker.peer(id).map(Peer::counters).unwrap_or_default();
            let level = if ours { Level::Info } else { Level::Warn };
            log!(
                level,
                "bgp event=down peer={name} reason={} uptime={}s flaps={} prefixes_rejected={}",
                quoted(reason),
                uptime.as_secs(),
                counters.flaps,
                counters.prefixes_received,
            );
        } else if !reason.is_collision() && self.complains(id) {
            warn!(
                "bgp event=not_established peer={name} reason={} next=\"keeps trying\"",
                quoted(reason)
            );
        } else {
            debug!("bgp event=not_established peer={name} reason={}", quoted(reason));
        }
    }

    /// Whether this is the first complaint about a neighbour since it was last
    /// up; the others are for those who ask for detail.
    pub(super) fn complains(&mut self, id: PeerId) -> bool {
        self.neighbours.get_mut(&id).is_some_and(|n| !std::mem::replace(&mut n.complained, true))
    }
}
