//! The metrics of neighbours, and of what they are told.

use super::Kind::{Counter, Gauge};
use super::Samples::{Announcement, Process, Session};
use super::{Family, NONE, REASON, before, family, seconds};
use crate::admin::view::{AnnouncementState, MessagesView, SessionState};

const PEER: &[&str] = &["peer"];
const PREFIX: &[&str] = &["prefix"];

pub(super) static FAMILIES: &[Family] = &[
    // The neighbours.
    family(
        "burgee_bgp_session_info",
        Gauge,
        &["peer", "address", "asn"],
        "Always 1; who the neighbour is",
        Session(|it, _, lines| lines.count(&[&it.name, &it.address, &it.asn.to_string()], 1)),
    ),
    family(
        "burgee_bgp_session_up",
        Gauge,
        PEER,
        "1 if the session is established",
        Session(|it, _, lines| lines.flag(&[&it.name], it.state == SessionState::Established)),
    ),
    family(
        "burgee_bgp_session_state",
        Gauge,
        &["peer", "state"],
        "1 for the state that the session is in",
        Session(|it, _, lines| lines.states(&[&it.name], &SessionState::NAMES, it.state.name())),
    ),
    family(
        "burgee_bgp_session_uptime_seconds",
        Gauge,
        PEER,
        "How long the session is established; 0 if it is not",
        Session(|it, _, lines| lines.real(&[&it.name], seconds(it.uptime_ms.unwrap_or(0)))),
    ),
    family(
        "burgee_bgp_session_flaps_total",
        Counter,
        PEER,
        "Times that an established session ended",
        Session(|it, _, lines| lines.count(&[&it.name], it.flaps)),
    ),
    family(
        "burgee_bgp_session_last_error_timestamp_seconds",
        Gauge,
        &["peer", "error"],
        "When the last session ended or could not be made, and the kind of error",
        Session(|it, at, lines| {
            if let Some(error) = &it.last_error {
                lines.real(&[&it.name, &error.kind], before(at, error.ms_ago));
            }
        }),
    ),
    family(
        "burgee_bgp_messages_total",
        Counter,
        &["peer", "direction", "type"],
        "Messages: in is from the neighbour",
        Session(|it, _, lines| {
            for (direction, messages) in [("in", &it.messages_in), ("out", &it.messages_out)] {
                for (kind, count) in by_type(messages) {
                    lines.count(&[&it.name, direction, kind], count);
                }
            }
        }),
    ),
    family(
        "burgee_bgp_prefixes_announced",
        Gauge,
        PEER,
        "Prefixes that the neighbour was announced",
        Session(|it, _, lines| lines.count(&[&it.name], it.announced)),
    ),
    family(
        "burgee_bgp_prefixes_received",
        Gauge,
        PEER,
        "Prefixes that the neighbour announces; counted if it has a limit",
        Session(|it, _, lines| lines.count(&[&it.name], it.received)),
    ),
    family(
        "burgee_bgp_hold_time_left_seconds",
        Gauge,
        PEER,
        "When the hold timer expires, unless the neighbour says something",
        Session(|it, _, lines| {
            it.hold_left_ms.iter().for_each(|left| lines.real(&[&it.name], seconds(*left)));
        }),
    ),
    family(
        "burgee_bgp_strangers_total",
        Counter,
        NONE,
        "Connections to the BGP port by nobody that is a neighbour",
        Process(|it, lines| lines.count(&[], it.measures.bgp_strangers)),
    ),
    family(
        "burgee_bfd_session_up",
        Gauge,
        PEER,
        "1 if BFD says that the path to the neighbour works",
        Session(|it, _, lines| {
            it.bfd.iter().for_each(|bfd| lines.flag(&[&it.name], bfd.state == "up"));
        }),
    ),
    family(
        "burgee_bfd_session_state",
        Gauge,
        &["peer", "state"],
        "1 for the state that BFD with the neighbour is in",
        Session(|it, _, lines| {
            if let Some(bfd) = &it.bfd {
                lines.states(&[&it.name], &["admin-down", "down", "init", "up"], &bfd.state);
            }
        }),
    ),
    family(
        "burgee_bfd_packets_discarded_total",
        Counter,
        REASON,
        "BFD packets that no session took",
        Process(|it, lines| lines.counts(&it.measures.bfd_discarded)),
    ),
    // What they are told.
    family(
        "burgee_announced",
        Gauge,
        PREFIX,
        "1 if the prefix is announced, in whatever state; 0 if it is withdrawn",
        Announcement(|it, _, lines| {
            lines.flag(&[&it.prefix], it.state != AnnouncementState::Withdrawn);
        }),
    ),
    family(
        "burgee_announcement_state",
        Gauge,
        &["prefix", "state"],
        "1 for the state that the prefix is in",
        Announcement(|it, _, lines| {
            lines.states(&[&it.prefix], &AnnouncementState::NAMES, it.state.name());
        }),
    ),
    family(
        "burgee_announcement_reason",
        Gauge,
        &["prefix", "reason"],
        "Always 1; why the prefix is in its state",
        Announcement(|it, _, lines| lines.count(&[&it.prefix, &it.reason_kind], 1)),
    ),
    family(
        "burgee_announcement_servable",
        Gauge,
        PREFIX,
        "1 if the traffic of the prefix can be served, whatever is announced",
        Announcement(|it, _, lines| lines.flag(&[&it.prefix], it.can_serve)),
    ),
    family(
        "burgee_announcement_last_change_timestamp_seconds",
        Gauge,
        PREFIX,
        "When the state of the prefix changed last, in seconds since 1970",
        Announcement(|it, at, lines| lines.real(&[&it.prefix], before(at, it.since_ms))),
    ),
    family(
        "burgee_announcement_changes_total",
        Counter,
        PREFIX,
        "Changes of the state of the prefix",
        Announcement(|it, _, lines| lines.count(&[&it.prefix], it.changes)),
    ),
    family(
        "burgee_announcement_penalty",
        Gauge,
        PREFIX,
        "The penalty for changing often",
        Announcement(|it, _, lines| lines.count(&[&it.prefix], it.penalty.into())),
    ),
    family(
        "burgee_announcement_suppressed",
        Gauge,
        PREFIX,
        "1 while the prefix stays withdrawn because of the penalty",
        Announcement(|it, _, lines| lines.flag(&[&it.prefix], it.suppressed_for_ms.is_some())),
    ),
    family(
        "burgee_announcement_peers",
        Gauge,
        PREFIX,
        "Neighbours that were sent the prefix in the session that is up",
        Announcement(|it, _, lines| lines.count(&[&it.prefix], it.sent_to)),
    ),
    family(
        "burgee_announcement_peers_wanted",
        Gauge,
        PREFIX,
        "Neighbours that are meant to have the prefix, whatever its state",
        Announcement(|it, _, lines| lines.count(&[&it.prefix], it.wanted_by)),
    ),
    family(
        "burgee_announcement_address_on_host",
        Gauge,
        PREFIX,
        "1 if the host has the address of a host prefix",
        Announcement(|it, _, lines| {
            if it.address.needed {
                lines.flag(&[&it.prefix], it.address.on_host);
            }
        }),
    ),
];

fn by_type(messages: &MessagesView) -> [(&'static str, u64); 5] {
    [
        ("open", messages.opens),
        ("update", messages.updates),
        ("notification", messages.notifications),
        ("keepalive", messages.keepalives),
        ("route-refresh", messages.route_refreshes),
    ]
}
