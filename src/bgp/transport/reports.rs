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
                 hold_time={}s keepalive={}s families={} with={}",
                self.name(id),
                negotiated.peer_asn,
                negotiated.peer_identifier,
                if negotiated.ibgp { "ibgp" } else { "ebgp" },
                if *side == Side::Outgoing { "us" } else { "neighbour" },
                negotiated.hold_time.as_secs(),
                negotiated.keepalive.as_secs(),
                families.join(","),
                negotiated.features().join(","),
            );
        }
    }

    /// What else a session brings that an operator should hear of.
    pub(super) fn log_report(&self, id: PeerId, action: &Action) {
        let name = self.name(id);
        match action {
            Action::RefreshAsked(family) => {
                info!("bgp event=refresh_asked peer={name} family={family}");
            }
            Action::Malformed { text, count, evidence } => {
                let fault = quoted(text);
                warn!("bgp event=malformed_update peer={name} fault={fault} count={count}");
                for text in evidence {
                    let evidence = quoted(text);
                    warn!("bgp event=malformed_update peer={name} evidence={evidence}");
                }
            }
            Action::PrefixWarning { family, count, limit } => warn!(
                "bgp event=prefix_warning peer={name} family={family} prefixes={count} limit={}",
                limit.maximum
            ),
            _ => {}
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
        } else if !reason.is_collision()
            && !self.is_up(id)
            && self.complains(id, &reason.to_string())
        {
            warn!(
                "bgp event=not_established peer={name} reason={} next=\"keeps trying\"",
                quoted(reason)
            );
        } else {
            debug!("bgp event=not_established peer={name} reason={}", quoted(reason));
        }
    }

    fn is_up(&self, id: PeerId) -> bool {
        self.speaker.peer(id).is_some_and(|peer| peer.established().is_some())
    }

    /// Whether this is news about a neighbour that does not come up; the rest
    /// is for those who ask for detail.
    pub(super) fn complains(&mut self, id: PeerId, text: &str) -> bool {
        self.neighbours.get_mut(&id).is_some_and(|neighbour| neighbour.complains(text))
    }
}
