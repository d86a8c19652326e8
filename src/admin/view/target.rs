//! What is behind the listeners: routes, services and their targets.

use serde::{Deserialize, Serialize};

/// All services, of which only the noteworthy are listed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ServicesView {
    /// All if there are few, else those of which a target is not healthy, and
    /// of these not more than a person reads.
    pub listed: Vec<ServiceView>,
    /// Services there are.
    pub total: u64,
    /// Services all of whose targets are healthy.
    pub healthy: u64,
    /// Targets of all services.
    pub targets: u64,
    /// Those that are healthy.
    pub targets_healthy: u64,
}

/// A service and how many of its targets can serve.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ServiceView {
    /// Its name.
    pub service: String,
    /// Targets that are healthy.
    pub healthy: u64,
    /// All of its targets.
    pub total: u64,
    /// Those that have not been checked yet.
    pub unknown: u64,
    /// Those that are left out because dials failed.
    pub ejected: u64,
    /// The latest error of a target that is not healthy.
    pub last_error: Option<String>,
}

/// A target of a service.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct TargetView {
    /// The service that it belongs to.
    pub service: String,
    /// `10.1.0.1:8080`
    pub address: String,
    /// What the checks say.
    pub state: TargetState,
    /// For how long.
    pub since_ms: u64,
    /// For how long it is left out because dials failed.
    pub ejected_for_ms: Option<u64>,
    /// Connections that are open to it; none: not counted.
    pub connections: Option<u64>,
    /// Why it is not healthy.
    pub last_error: Option<String>,
}

/// What the checks say of a target.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TargetState {
    /// Fit to serve.
    Healthy,
    /// Not fit.
    Unhealthy,
    /// Not checked yet.
    #[default]
    #[serde(other)]
    Unknown,
}

/// A target of a route, in the words of fabio's `/api/routes`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct RouteView {
    /// The service.
    pub service: String,
    /// The host that the route matches; empty: any.
    pub host: String,
    /// The path; empty for one that matches a port.
    pub path: String,
    /// Both: `host/path`, or `:1234`.
    pub src: String,
    /// The target's URL.
    pub dst: String,
    /// `proto=tcp rise=2`; empty: none.
    pub opts: String,
    /// Always `route add`.
    pub cmd: String,
    /// Left out when there is none.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
    /// Its share of the route's traffic, 0 to 1.
    pub weight: f64,
    /// Always 0, as in fabio.
    pub rate1: f64,
    /// Always 0, as in fabio.
    pub pct99: f64,
}
