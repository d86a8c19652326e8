//! The neighbours, as they are told.

use super::{count, millis, since, until};
use crate::admin::Slice;
use crate::admin::view::{
    BfdView, FailureView, MessagesView, NegotiatedView, SessionState, SessionView,
};
use crate::bfd::machine::Status as BfdStatus;
use crate::bfd::packet;
use crate::bgp::counts::MessageCounts;
use crate::bgp::down::DownReason;
use crate::bgp::message::notification::{Notification, cease, code};
use crate::bgp::negotiation::Negotiated;
use crate::bgp::peer::Side;
use crate::bgp::session::State;
use crate::bgp::speaker::PeerId;
use crate::bgp::status::PeerStatus;
use crate::bgp::transport::Transport;
use crate::daemon::Daemon;
use crate::reactor::Time;

/// Where the neighbours begin that came by a group: their numbers follow. Before
/// them are the places of those that the settings name.
const JOINED: u64 = 1 << 32;

impl Daemon {
    /// See [`crate::admin::House::sessions`].
    pub(super) fn tell_sessions(&self, now: Time, from: u64, most: usize) -> Slice<SessionView> {
        let Some(bgp) = &self.bgp else { return Slice::default() };
        let (ids, next) = some_of(bgp, from, most);
        let view = |id| self.tell_session(now, bgp, id);
        Slice { items: ids.into_iter().filter_map(view).collect(), next }
    }

    fn tell_session(&self, now: Time, bgp: &Transport, id: PeerId) -> Option<SessionView> {
        let status = bgp.speaker().peer(id)?.status();
        let bfd = self.bfd.status(id.0);
        Some(SessionView { bfd: bfd.map(bfd_view), ..view(now, status, bgp.failure(id)) })
    }
}

/// Some neighbours from a place on, and where the next ones begin.
pub(super) fn some_of(bgp: &Transport, from: u64, most: usize) -> (Vec<PeerId>, Option<u64>) {
    let most = most.max(1);
    let place =
        if from < JOINED { usize::try_from(from).unwrap_or(usize::MAX) } else { usize::MAX };
    let mut ids: Vec<PeerId> = bgp.named().iter().skip(place).take(most).copied().collect();
    let named = place.saturating_add(ids.len());
    if named < bgp.named().len() {
        return (ids, Some(count(named)));
    }
    let first = u32::try_from(from.saturating_sub(JOINED)).unwrap_or(u32::MAX);
    let mut joined = bgp.joined_from(PeerId(first));
    ids.extend(joined.by_ref().take(most.saturating_sub(ids.len())));
    let next = joined.next().map(|id| JOINED.saturating_add(id.0.into()));
    (ids, next)
}

/// A neighbour without BFD. `failure` is when and why it could not be reached.
fn view(now: Time, status: PeerStatus, failure: Option<(Time, &str)>) -> SessionView {
    let (local, remote) = status.endpoints.unzip();
    let negotiated = status.negotiated.map(|agreed| NegotiatedView {
        local: local.map(|it| it.to_string()).unwrap_or_default(),
        remote: remote.map(|it| it.to_string()).unwrap_or_default(),
        dialled: status.side == Some(Side::Outgoing),
        ..negotiated_view(&agreed)
    });
    let ended = status.last_down.as_ref().map(|(at, reason)| (*at, ended(now, *at, reason)));
    let failed = failure.map(|(at, why)| (at, failed(now, at, why)));
    let last_error = ended.into_iter().chain(failed).max_by_key(|(at, _)| *at);
    SessionView {
        name: status.name,
        address: status.address.to_string(),
        asn: status.asn,
        dynamic: status.group.is_some(),
        state: state(status.state),
        uptime_ms: status.established.map(|at| since(now, at)),
        flaps: status.counters.flaps,
        announced: count(status.announced),
        received: count(status.received),
        messages_in: messages(&status.counters.received),
        messages_out: messages(&status.counters.sent),
        hold_left_ms: status.hold_until.map(|at| until(now, at)),
        retry_in_ms: status.retry_at.map(|at| until(now, at)),
        kept_out_for_ms: status.kept_out_until.filter(|at| *at > now).map(|at| until(now, at)),
        last_error: last_error.map(|(_, error)| error),
        bfd: None,
        negotiated,
    }
}

/// The states of RFC 4271 §8.2.2.
pub(super) fn state(state: State) -> SessionState {
    match state {
        State::Idle => SessionState::Idle,
        State::Connect => SessionState::Connect,
        State::Active => SessionState::Active,
        State::OpenSent => SessionState::OpenSent,
        State::OpenConfirm => SessionState::OpenConfirm,
        State::Established => SessionState::Established,
    }
}

fn messages(counts: &MessageCounts) -> MessagesView {
    let MessageCounts { opens, updates, notifications, keepalives, route_refreshes } = *counts;
    MessagesView { opens, updates, notifications, keepalives, route_refreshes }
}

fn failed(now: Time, at: Time, why: &str) -> FailureView {
    let text = format!("cannot connect: {why}");
    FailureView { text, kind: "cannot connect".to_owned(), ms_ago: since(now, at) }
}

fn ended(now: Time, at: Time, reason: &DownReason) -> FailureView {
    let kind = match reason {
        DownReason::Sent(n) => format!("sent {}", codes(n)),
        DownReason::Received(n) => format!("received {}", codes(n)),
        DownReason::ConnectionClosed => "connection closed".to_owned(),
        DownReason::Stopped => "stopped".to_owned(),
    };
    FailureView { text: reason.to_string(), kind, ms_ago: since(now, at) }
}

/// The code and the subcode; of those that nobody knows, which a neighbour may
/// make up, there is but one.
fn codes(notification: &Notification) -> String {
    let Notification { code, subcode, .. } = notification;
    let most = match *code {
        code::MESSAGE_HEADER | code::FSM => 3,
        code::OPEN | code::UPDATE => 11,
        code::CEASE => cease::BFD_DOWN,
        code::ROUTE_REFRESH => 1,
        code::HOLD_TIMER | code::SEND_HOLD => 0,
        _ => return "another".to_owned(),
    };
    match *subcode <= most {
        true => format!("{code}/{subcode}"),
        false => format!("{code}/other"),
    }
}

fn negotiated_view(agreed: &Negotiated) -> NegotiatedView {
    NegotiatedView {
        router_id: agreed.peer_identifier.to_string(),
        ibgp: agreed.ibgp,
        hold_time_ms: millis(agreed.hold_time),
        keepalive_ms: millis(agreed.keepalive),
        families: agreed.families.iter().map(|family| family.to_string()).collect(),
        capabilities: agreed.features(),
        ..NegotiatedView::default()
    }
}

fn bfd_view(status: BfdStatus) -> BfdView {
    let name = |state| {
        let name = match state {
            packet::State::AdminDown => "admin-down",
            packet::State::Down => "down",
            packet::State::Init => "init",
            packet::State::Up => "up",
        };
        name.to_owned()
    };
    let micros = |time: std::time::Duration| u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
    BfdView {
        state: name(status.state),
        diagnostic: status.diagnostic.to_string(),
        remote_state: status.remote.map(|(state, _)| name(state)),
        transmit_interval_us: micros(status.transmit_interval),
        detection_time_us: status.detection_time.map(micros),
    }
}
