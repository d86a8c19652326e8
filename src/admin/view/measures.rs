//! What is counted of the process as a whole; only for the metrics.

use std::time::Duration;

/// Counts by a label out of a small, fixed set.
pub type Counts = Vec<(&'static str, u64)>;

/// Everything that is counted once, since the start unless it says otherwise.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Measures {
    /// What the process uses.
    pub usage: Usage,
    /// Connections that are open.
    pub connections: u64,
    /// Most that there may be.
    pub connection_limit: u64,
    /// Connections that were accepted.
    pub accepted: u64,
    /// Times that accepting failed or was suspended: `limit`, `error`.
    pub accept_failures: Counts,
    /// Connections that were turned away, by reason: `no-route`, `denied`,
    /// `source-limit`.
    pub refused: Counts,
    /// Connections that were cut, by reason: `silent`, `reset`,
    /// `target-removed`.
    pub cut: Counts,
    /// Dials that came to nothing, by reason: `target`, `exhausted`.
    pub dial_failures: Counts,
    /// Octets passed from clients to targets, TCP.
    pub bytes_up: u64,
    /// Octets passed from targets to clients, TCP.
    pub bytes_down: u64,
    /// Flows of datagrams that are open.
    pub flows: u64,
    /// Most that there may be.
    pub flow_limit: u64,
    /// Flows that began.
    pub flows_begun: u64,
    /// Flows that ended or moved before their time, by reason: `gave-way`,
    /// `moved`, `refused`.
    pub flow_troubles: Counts,
    /// Datagrams passed from clients to targets.
    pub datagrams_up: u64,
    /// Datagrams passed from targets to clients.
    pub datagrams_down: u64,
    /// Octets of datagrams from clients to targets.
    pub datagram_bytes_up: u64,
    /// Octets of datagrams from targets to clients.
    pub datagram_bytes_down: u64,
    /// Datagrams that were lost, by reason: `no-route`, `exhausted`.
    pub datagrams_lost: Counts,
    /// Buffers and pipes.
    pub pools: Vec<PoolMeasure>,
    /// Routes in the table, one for each source.
    pub routes: u64,
    /// Times that a route table came into force.
    pub tables: u64,
    /// Reloads of the configuration: `done`, `failed`.
    pub reloads: Counts,
    /// Names that are looked up: `resolved`, `failed`, `pending`.
    pub names: Counts,
    /// Connections to the BGP port by nobody that is a neighbour.
    pub bgp_strangers: u64,
    /// BFD packets that were discarded, by reason.
    pub bfd_discarded: Counts,
    /// Panics that were caught, by room: `bgp`, `bfd`, `proxy`.
    pub panics: Counts,
    /// Lines that were lost because their reader was slow: `log`, `access`.
    pub lines_dropped: Counts,
}

/// Things that are lent, and most of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PoolMeasure {
    /// `small`, `large`, `pipes`
    pub name: &'static str,
    /// Lent now.
    pub lent: u64,
    /// Most at a time.
    pub limit: u64,
}

/// What the process uses of the machine. What is not known is missing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Time on a CPU.
    pub cpu: Option<Duration>,
    /// Octets in memory.
    pub resident: Option<u64>,
    /// Descriptors that are open.
    pub descriptors: Option<u64>,
    /// Most of them.
    pub descriptor_limit: Option<u64>,
}
