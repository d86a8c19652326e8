//! What the announcer is told of the world.

use std::rc::Rc;

use crate::reactor::Time;

/// Everything that the decisions depend on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facts {
    /// Whether the first route table is there; it may be empty.
    pub table_loaded: bool,
    /// How old the route table may be.
    pub registry: RegistryFact,
    /// The switch that withdraws everything, if it is on.
    pub maintenance: Option<Maintenance>,
    /// Whether the process is asked to stop.
    pub stopping: Option<Stop>,
    /// What concerns one prefix, in the order of
    /// [`Announcer::rules`](super::Announcer::rules). A prefix without cannot be
    /// served.
    pub prefixes: Vec<PrefixFacts>,
}

/// What concerns one prefix.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PrefixFacts {
    /// The listeners that serve it.
    pub listeners: ListenerFact,
    /// The targets of each of its services.
    pub pools: Vec<PoolFact>,
    /// Whether the operator withdrew this prefix.
    pub drained: bool,
}

/// The targets of one service.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PoolFact {
    /// Its name; `None`: all that the prefix depends on, as one pool.
    pub service: Option<Rc<str>>,
    /// How they are.
    pub targets: TargetFact,
}

/// How many listeners accept connections.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ListenerFact {
    /// Those that do.
    pub bound: usize,
    /// Those that should.
    pub configured: usize,
}

/// How many targets can serve.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TargetFact {
    /// All there are.
    pub total: usize,
    /// Those that are healthy.
    pub healthy: usize,
    /// Those that have not been checked yet.
    pub unknown: usize,
    /// The latest error of an unhealthy one.
    pub last_error: Option<String>,
}

/// Whether the route table can be believed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RegistryFact {
    /// The registry could be read not long ago, or its age does not matter.
    Fresh,
    /// It could not for longer than `registry.staleafter`.
    Stale {
        /// When it was last read.
        since: Time,
        /// Why it cannot be read.
        error: String,
    },
}

/// Which switch it is that withdraws everything.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Maintenance {
    /// `bgp.maintenancefile` exists.
    File {
        /// Its path.
        path: Rc<str>,
    },
    /// The operator said so.
    Operator {
        /// When; the start of the process, if that was before.
        since: Time,
    },
}

/// The process is asked to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stop {
    /// Twice: all waits are skipped.
    pub hurried: bool,
}
