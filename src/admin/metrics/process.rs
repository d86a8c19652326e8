//! The metrics of the process; the first ones under the names that client
//! libraries give them.

use super::Kind::{Counter, Gauge};
use super::Samples::Process;
use super::{Family, NONE, before, family};
use crate::admin::view::{InstanceState, PoolMeasure};

const POOL: &[&str] = &["pool"];

pub(super) static FAMILIES: &[Family] = &[
    family(
        "process_start_time_seconds",
        Gauge,
        NONE,
        "When the process started, in seconds since 1970",
        Process(|it, lines| lines.real(&[], before(&it.at, it.instance.started_ms_ago))),
    ),
    family(
        "process_cpu_seconds_total",
        Counter,
        NONE,
        "Time on a CPU",
        Process(|it, lines| {
            let cpu = it.measures.usage.cpu;
            cpu.iter().for_each(|cpu| lines.real(&[], cpu.as_secs_f64()));
        }),
    ),
    family(
        "process_resident_memory_bytes",
        Gauge,
        NONE,
        "Memory that is resident",
        Process(|it, lines| it.measures.usage.resident.iter().for_each(|n| lines.count(&[], *n))),
    ),
    family(
        "process_open_fds",
        Gauge,
        NONE,
        "Descriptors that are open; needs Linux 6.2",
        Process(|it, lines| {
            it.measures.usage.descriptors.iter().for_each(|n| lines.count(&[], *n));
        }),
    ),
    family(
        "process_max_fds",
        Gauge,
        NONE,
        "Descriptors that may be open",
        Process(|it, lines| {
            it.measures.usage.descriptor_limit.iter().for_each(|n| lines.count(&[], *n));
        }),
    ),
    family(
        "burgee_build_info",
        Gauge,
        &["version"],
        "Always 1; the version is the label",
        Process(|it, lines| lines.count(&[&it.instance.version], 1)),
    ),
    family(
        "burgee_healthy",
        Gauge,
        NONE,
        "1 if /health answers with 200",
        Process(|it, lines| lines.flag(&[], it.instance.health.ok)),
    ),
    family(
        "burgee_instance_state",
        Gauge,
        &["state"],
        "1 for the state that the process is in",
        Process(|it, lines| {
            lines.states(&[], &InstanceState::NAMES, it.instance.state.name());
        }),
    ),
    family(
        "burgee_turns_total",
        Counter,
        NONE,
        "Turns of the loop",
        Process(|it, lines| lines.count(&[], it.at.turns)),
    ),
    family(
        "burgee_longest_turn_seconds",
        Gauge,
        NONE,
        "The longest turn of the loop since the start",
        Process(|it, lines| lines.real(&[], it.at.longest_turn.as_secs_f64())),
    ),
    family(
        "burgee_panics_total",
        Counter,
        &["room"],
        "Faults that were caught; each cost one connection or session",
        Process(|it, lines| lines.counts(&it.measures.panics)),
    ),
    family(
        "burgee_log_lines_dropped_total",
        Counter,
        &["log"],
        "Lines that were lost because the reader of the log was slow",
        Process(|it, lines| lines.counts(&it.measures.lines_dropped)),
    ),
    family(
        "burgee_reloads_total",
        Counter,
        &["result"],
        "Times that the configuration was read again",
        Process(|it, lines| lines.counts(&it.measures.reloads)),
    ),
    family(
        "burgee_pool_lent",
        Gauge,
        POOL,
        "Buffers or pipes that are lent",
        Process(|it, lines| {
            let pools = it.measures.pools.iter();
            pools.for_each(|PoolMeasure { name, lent, .. }| lines.count(&[name], *lent));
        }),
    ),
    family(
        "burgee_pool_limit",
        Gauge,
        POOL,
        "Buffers or pipes that may be lent at a time",
        Process(|it, lines| {
            let pools = it.measures.pools.iter();
            pools.for_each(|PoolMeasure { name, limit, .. }| lines.count(&[name], *limit));
        }),
    ),
];
