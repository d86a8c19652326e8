//! What is reported of names.

use std::net::IpAddr;

use super::name::Name;
use crate::reactor::Time;

/// Something that has changed about a name. What is reported twice in a row
/// differs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The name has these addresses.
    Resolved {
        /// The name, as it is wanted.
        name: Name,
        /// At least one, sorted, each once, at most 64.
        addresses: Vec<IpAddr>,
    },
    /// The name could not be looked up, or has no address.
    Failed {
        /// The name, as it is wanted.
        name: Name,
        /// Why, in words.
        error: String,
        /// Whether the addresses that were reported last still hold, because
        /// nobody said otherwise. If not, the name has none.
        stale: bool,
    },
}

impl Event {
    /// The name that it is about.
    pub fn name(&self) -> &Name {
        match self {
            Event::Resolved { name, .. } | Event::Failed { name, .. } => name,
        }
    }
}

/// How a name stands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Status {
    /// The addresses that hold now, sorted; none while it is not resolved.
    pub addresses: Vec<IpAddr>,
    /// When a server, or the file of hosts, last said so.
    pub answered: Option<Time>,
    /// What is wrong, and since when.
    pub problem: Option<(Time, String)>,
    /// When it is looked up again; `None` while it is being looked up.
    pub next: Option<Time>,
}
