//! The metrics of clients, routes and targets.

use super::Kind::{Counter, Gauge};
use super::Samples::{Process, Service, Target};
use super::{Family, NONE, REASON, family};
use crate::admin::view::TargetState;

const SERVICE: &[&str] = &["service"];
const TARGET: &[&str] = &["service", "target"];
const LISTENER: &[&str] = &["listener", "protocol"];
const FLOW: &[&str] = &["protocol", "direction"];

pub(super) static FAMILIES: &[Family] = &[
    // What clients see of it.
    family(
        "burgee_connections",
        Gauge,
        NONE,
        "TCP connections of clients that are open",
        Process(|it, lines| lines.count(&[], it.measures.connections)),
    ),
    family(
        "burgee_connections_limit",
        Gauge,
        NONE,
        "TCP connections of clients that may be open",
        Process(|it, lines| lines.count(&[], it.measures.connection_limit)),
    ),
    family(
        "burgee_connections_total",
        Counter,
        NONE,
        "TCP connections of clients that were accepted",
        Process(|it, lines| lines.count(&[], it.measures.accepted)),
    ),
    family(
        "burgee_accept_failures_total",
        Counter,
        REASON,
        "Times that no connection could be accepted",
        Process(|it, lines| lines.counts(&it.measures.accept_failures)),
    ),
    family(
        "burgee_connections_refused_total",
        Counter,
        REASON,
        "Connections that were turned away before they had a target",
        Process(|it, lines| lines.counts(&it.measures.refused)),
    ),
    family(
        "burgee_connections_cut_total",
        Counter,
        REASON,
        "Connections that were ended by other than their two sides, or by a reset",
        Process(|it, lines| lines.counts(&it.measures.cut)),
    ),
    family(
        "burgee_dial_failures_total",
        Counter,
        REASON,
        "Connections to targets that did not come about",
        Process(|it, lines| lines.counts(&it.measures.dial_failures)),
    ),
    family(
        "burgee_relayed_bytes_total",
        Counter,
        FLOW,
        "Octets passed on: up is from clients to targets",
        Process(|it, lines| {
            lines.count(&["tcp", "up"], it.measures.bytes_up);
            lines.count(&["tcp", "down"], it.measures.bytes_down);
            lines.count(&["udp", "up"], it.measures.datagram_bytes_up);
            lines.count(&["udp", "down"], it.measures.datagram_bytes_down);
        }),
    ),
    family(
        "burgee_listener_open",
        Gauge,
        LISTENER,
        "1 if the listener takes clients",
        Process(|it, lines| {
            for listener in &it.instance.listeners {
                lines.flag(&[&listener.address, &listener.protocol], listener.open);
            }
        }),
    ),
    family(
        "burgee_listener_connections",
        Gauge,
        LISTENER,
        "Connections or flows that came by the listener and are open",
        Process(|it, lines| {
            for listener in &it.instance.listeners {
                lines.count(&[&listener.address, &listener.protocol], listener.connections);
            }
        }),
    ),
    family(
        "burgee_listener_connections_limit",
        Gauge,
        LISTENER,
        "Most of them, where the listener has a limit of its own",
        Process(|it, lines| {
            for listener in it.instance.listeners.iter().filter(|listener| listener.limit > 0) {
                lines.count(&[&listener.address, &listener.protocol], listener.limit);
            }
        }),
    ),
    family(
        "burgee_dynamic_listeners",
        Gauge,
        NONE,
        "Open ports of proto=tcp-dynamic",
        Process(|it, lines| lines.count(&[], it.instance.dynamic_listeners)),
    ),
    family(
        "burgee_flows",
        Gauge,
        NONE,
        "Flows of datagrams that are open",
        Process(|it, lines| lines.count(&[], it.measures.flows)),
    ),
    family(
        "burgee_flows_limit",
        Gauge,
        NONE,
        "Flows of datagrams that may be open",
        Process(|it, lines| lines.count(&[], it.measures.flow_limit)),
    ),
    family(
        "burgee_flows_total",
        Counter,
        NONE,
        "Flows of datagrams that began",
        Process(|it, lines| lines.count(&[], it.measures.flows_begun)),
    ),
    family(
        "burgee_flow_troubles_total",
        Counter,
        REASON,
        "What happened to flows before they were over",
        Process(|it, lines| lines.counts(&it.measures.flow_troubles)),
    ),
    family(
        "burgee_datagrams_total",
        Counter,
        &["direction"],
        "Datagrams passed on: up is from clients to targets",
        Process(|it, lines| {
            lines.count(&["up"], it.measures.datagrams_up);
            lines.count(&["down"], it.measures.datagrams_down);
        }),
    ),
    family(
        "burgee_datagrams_lost_total",
        Counter,
        REASON,
        "Datagrams that were not passed on",
        Process(|it, lines| lines.counts(&it.measures.datagrams_lost)),
    ),
    // What is behind it.
    family(
        "burgee_routes",
        Gauge,
        NONE,
        "Routes in the table, one for each source",
        Process(|it, lines| lines.count(&[], it.measures.routes)),
    ),
    family(
        "burgee_route_tables_total",
        Counter,
        NONE,
        "Times that a route table came into force",
        Process(|it, lines| lines.count(&[], it.measures.tables)),
    ),
    family(
        "burgee_registry_failing",
        Gauge,
        NONE,
        "1 while the routes cannot be read",
        Process(|it, lines| lines.flag(&[], it.instance.registry.failing_ms.is_some())),
    ),
    family(
        "burgee_registry_stale",
        Gauge,
        NONE,
        "1 if that is so for longer than registry.staleafter",
        Process(|it, lines| lines.flag(&[], it.instance.registry.stale)),
    ),
    family(
        "burgee_names",
        Gauge,
        &["state"],
        "Names of targets that are looked up",
        Process(|it, lines| lines.counts(&it.measures.names)),
    ),
    family(
        "burgee_service_targets",
        Gauge,
        SERVICE,
        "Targets of the service",
        Service(|it, lines| lines.count(&[&it.service], it.total)),
    ),
    family(
        "burgee_service_targets_healthy",
        Gauge,
        SERVICE,
        "Those that are healthy",
        Service(|it, lines| lines.count(&[&it.service], it.healthy)),
    ),
    family(
        "burgee_service_targets_unknown",
        Gauge,
        SERVICE,
        "Those that have not been checked yet",
        Service(|it, lines| lines.count(&[&it.service], it.unknown)),
    ),
    family(
        "burgee_service_targets_ejected",
        Gauge,
        SERVICE,
        "Those that are left out because dials failed",
        Service(|it, lines| lines.count(&[&it.service], it.ejected)),
    ),
    family(
        "burgee_target_healthy",
        Gauge,
        TARGET,
        "1 if the target's checks succeed",
        Target(|it, lines| {
            lines.flag(&[&it.service, &it.address], it.state == TargetState::Healthy);
        }),
    ),
    family(
        "burgee_target_ejected",
        Gauge,
        TARGET,
        "1 while the target is left out because dials failed",
        Target(|it, lines| {
            lines.flag(&[&it.service, &it.address], it.ejected_for_ms.is_some());
        }),
    ),
    family(
        "burgee_target_connections",
        Gauge,
        TARGET,
        "Connections to the target that are open, where these are counted",
        Target(|it, lines| {
            let connections = it.connections.iter();
            connections.for_each(|count| lines.count(&[&it.service, &it.address], *count));
        }),
    ),
];
