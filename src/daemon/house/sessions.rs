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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::testing::{Lab, Pair, all, free_port};
    use super::*;
    use crate::admin::House;
    use crate::bfd::packet::Diagnostic;

    fn told(lab: &Lab) -> Vec<SessionView> {
        all(1, |from, most| lab.daemon.sessions(&lab.moment(), from, most))
    }

    #[test]
    fn a_neighbour_that_is_up_says_all_that_was_agreed() {
        let pair = Pair::established("");
        let sessions = told(&pair.one);
        let [them] = &sessions[..] else { panic!("{sessions:?}") };
        assert_eq!((them.name.as_str(), them.address.as_str()), ("them", "127.0.0.1"));
        assert_eq!(
            (them.asn, them.dynamic, them.state),
            (64_512, false, SessionState::Established)
        );
        assert_eq!((them.announced, them.flaps), (1, 0));
        assert!(them.uptime_ms.is_some() && them.retry_in_ms.is_none() && them.bfd.is_none());
        let hold = them.hold_left_ms.expect("it runs");
        let agreed = them.negotiated.as_ref().expect("it is up");
        assert!(hold <= agreed.hold_time_ms && agreed.keepalive_ms < agreed.hold_time_ms);
        assert_eq!((agreed.router_id.as_str(), agreed.ibgp), ("192.0.2.12", false));
        assert_eq!(agreed.families, ["ipv4-unicast"]);
        assert!(agreed.capabilities.contains(&"four-octet-as".to_owned()));
        assert!(agreed.local.starts_with("127.0.0.1:") && agreed.remote.starts_with("127.0.0.1:"));
        let back = told(&pair.other);
        assert_ne!(back[0].negotiated.as_ref().unwrap().dialled, agreed.dialled);
        assert!(them.messages_in.opens > 0 && them.messages_out.updates > 0);
    }

    #[test]
    fn one_that_is_gone_says_why_and_when_it_is_tried_again() {
        let mut pair = Pair::established("");
        pair.other.daemon.request_stop();
        pair.other.daemon.request_stop();
        let is_down = |pair: &Pair| told(&pair.one)[0].state != SessionState::Established;
        pair.until(is_down);
        let them = told(&pair.one).remove(0);
        let error = them.last_error.expect("it ended");
        assert_eq!(error.kind, "received 6/2");
        assert!(error.text.contains("Administrative Shutdown"), "{}", error.text);
        assert!(them.uptime_ms.is_none() && them.negotiated.is_none());
        assert_eq!((them.flaps, them.announced), (1, 0));
        drop(pair.other);
        let is_refused = |lab: &Lab| {
            told(lab)[0].last_error.as_ref().is_some_and(|error| error.kind == "cannot connect")
        };
        pair.one.until(is_refused);
        let them = told(&pair.one).remove(0);
        assert!(them.last_error.unwrap().text.contains("refused"));
        assert!(them.retry_in_ms.is_some_and(|wait| wait <= 1000), "{:?}", them.retry_in_ms);
    }

    #[test]
    fn those_of_the_settings_come_first_and_slices_lose_nobody() {
        let peers: Vec<String> = (1..=5)
            .map(|n| format!("name=n{n};address=127.0.0.{n};asn=64512;passive=true"))
            .collect();
        let mut lab = Lab::new(&format!(
            "bgp.enabled = true\nbgp.asn = 64511\nbgp.routerid = 192.0.2.1\n\
             bgp.listenport = {}\nbgp.listenaddresses = 127.0.0.1\n\
             bgp.anycastaddresses = 198.51.100.0/24\n\
             bgp.peers = name=racks;prefix=127.0.1.0/24;asn=64512,{}\n",
            free_port(),
            peers.join(",")
        ));
        let port = lab.daemon.bgp.as_ref().unwrap().listening_on()[0];
        let from = |host: u8| {
            let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None);
            let socket = socket.expect("a socket");
            let source = std::net::SocketAddr::from(([127, 0, 1, host], 0));
            socket.bind(&source.into()).expect("loopback");
            socket.connect(&port.into()).expect("it listens");
            socket
        };
        let routers = [from(1), from(2), from(3)];
        lab.until(|lab| told(lab).len() == 8);
        let at = lab.moment();
        for most in 1..10 {
            let all = all(most, |from, most| lab.daemon.sessions(&at, from, most));
            let names: Vec<&str> = all.iter().map(|it| it.name.as_str()).collect();
            assert_eq!(names[..5], ["n1", "n2", "n3", "n4", "n5"], "{most}");
            assert_eq!(names[5..], ["racks/127.0.1.1", "racks/127.0.1.2", "racks/127.0.1.3"]);
            assert!(all.iter().skip(5).all(|it| it.dynamic));
        }
        drop(routers);
        let none = Lab::new("").daemon.sessions(&at, 0, 9);
        assert_eq!(none, Slice::default(), "without BGP there is nobody");
    }

    /// Whatever a neighbour sends, the kinds of its errors are few.
    #[test]
    fn what_nobody_knows_has_one_name() {
        let mut names = std::collections::BTreeSet::new();
        for code in 0..=u8::MAX {
            for subcode in 0..=u8::MAX {
                names.insert(codes(&Notification::new(code, subcode)));
            }
        }
        assert!(names.len() < 60, "{}", names.len());
        for known in ["6/2", "4/0", "1/3", "6/other", "another"] {
            assert!(names.contains(known), "{known}");
        }
    }

    #[test]
    fn bfd_is_told_in_its_own_words() {
        let status = BfdStatus {
            state: packet::State::Up,
            diagnostic: Diagnostic::NONE,
            remote: Some((packet::State::Init, Diagnostic::NONE)),
            transmit_interval: Duration::from_millis(300),
            detection_time: Some(Duration::from_millis(900)),
        };
        let expected = BfdView {
            state: "up".into(),
            diagnostic: "no diagnostic".into(),
            remote_state: Some("init".into()),
            transmit_interval_us: 300_000,
            detection_time_us: Some(900_000),
        };
        assert_eq!(bfd_view(status), expected);
    }
}
