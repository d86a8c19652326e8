//! What the door writes to the log: one event, one line.

use log::{info, warn};

use super::Transport;
use crate::bgp::message::notification::code;
use crate::bgp::peer::{Action, Side};
use crate::bgp::session::{Down, DownReason};
use crate::bgp::speaker::PeerId;

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

    pub(super) fn log_down(&self, id: PeerId, down: &Down) {
        let name = self.name(id);
        let ours = matches!(&down.reason, DownReason::Sent(n) if n.code == code::CEASE);
        if down.was_established && !ours {
            warn!("bgp event=down peer={name} reason=\"{}\"", down.reason);
        } else if down.was_established || down.had_open {
            info!("bgp event=down peer={name} reason=\"{}\"", down.reason);
        } else {
            info!("bgp event=refused peer={name} reason=\"{}\"", down.reason);
        }
    }
}
