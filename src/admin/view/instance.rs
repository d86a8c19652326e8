//! The process as a whole.

use serde::{Deserialize, Serialize};

use super::{AnnouncementView, ServicesView, SessionView};

/// The answer of `/api/status`: all that a person wants to see first.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct StatusView {
    /// The process.
    #[serde(flatten)]
    pub instance: InstanceView,
    /// All neighbours.
    pub sessions: Vec<SessionView>,
    /// All anycast prefixes, without what each neighbour was sent.
    pub announcements: Vec<AnnouncementView>,
    /// What is behind the listeners.
    pub services: ServicesView,
}

/// The process.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct InstanceView {
    /// `0.1.0`
    pub version: String,
    /// Its process id.
    pub pid: u32,
    /// How long ago it started.
    pub started_ms_ago: u64,
    /// What it is at.
    pub state: InstanceState,
    /// What `/health` says.
    pub health: HealthView,
    /// The planned stop that is under way.
    pub stop: Option<StopView>,
    /// Why and since when it is in maintenance.
    pub maintenance: Option<MaintenanceView>,
    /// Where the routes come from, and how fresh they are.
    pub registry: RegistryView,
    /// The listeners that the settings name.
    pub listeners: Vec<ListenerView>,
    /// Open ports of `proto=tcp-dynamic`, which the routes name.
    pub dynamic_listeners: u64,
    /// Whether `bgp.enabled` is set: without it there is no session.
    pub bgp: bool,
    /// Connections that are open, and flows of datagrams.
    pub connections: u64,
    /// Most connections that there may be.
    pub connection_limit: u64,
    /// Panics that were caught; each cost one connection or session.
    pub panics: u64,
    /// The longest turn of the loop, in microseconds.
    pub longest_turn_us: u64,
}

/// What the process is at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum InstanceState {
    /// Something is still to be known before the first decision: the route
    /// table, or the first health checks.
    Starting,
    /// It serves.
    Serving,
    /// It serves, but announces nothing, because the operator said so: with
    /// `burgee drain` or the maintenance file.
    Maintenance,
    /// A planned stop is under way.
    Draining,
    /// One that this version has no name for.
    #[default]
    #[serde(other)]
    Unknown,
}

impl InstanceState {
    /// The names of all that there are.
    pub const NAMES: [&'static str; 4] = ["starting", "serving", "maintenance", "draining"];

    /// Its name, as in JSON.
    pub fn name(self) -> &'static str {
        match self {
            InstanceState::Starting => "starting",
            InstanceState::Serving => "serving",
            InstanceState::Maintenance => "maintenance",
            InstanceState::Draining => "draining",
            InstanceState::Unknown => "unknown",
        }
    }
}

/// What `/health` says.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct HealthView {
    /// 200, and not 503.
    pub ok: bool,
    /// Why not; empty when it is.
    pub reasons: Vec<String>,
}

/// A planned stop.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct StopView {
    /// The step that it is at.
    pub step: String,
    /// The step takes this long at most.
    pub remaining_ms: u64,
    /// Connections that are waited for.
    pub connections: u64,
}

/// Maintenance: nothing is announced on the operator's order.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct MaintenanceView {
    /// Who ordered it: `burgee drain`, or the path of the file.
    pub by: String,
    /// For how long.
    pub since_ms: u64,
}

/// Where the routes come from.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct RegistryView {
    /// `static` or `file`
    pub backend: String,
    /// Whether the first route table is in force.
    pub loaded: bool,
    /// Routes in it, one for each source.
    pub routes: u64,
    /// Since when it could not be read.
    pub failing_ms: Option<u64>,
    /// Why not.
    pub error: Option<String>,
    /// It fails for longer than `registry.staleafter`.
    pub stale: bool,
}

/// A listener of `proxy.addr`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ListenerView {
    /// `192.0.2.10:443`
    pub address: String,
    /// `tcp`, `tcp+sni`, `udp`
    pub protocol: String,
    /// Whether it takes clients.
    pub open: bool,
    /// Connections, or flows, that came by it and are open.
    pub connections: u64,
    /// Most of them; 0: no limit of its own.
    pub limit: u64,
}
