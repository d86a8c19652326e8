//! Where the route commands come from.

pub mod static_routes;

use crate::route::{LineError, Table};

/// What a registry delivers: a whole table, and the lines that are not in it.
#[derive(Clone, Debug)]
pub struct Delivery {
    /// The routes of all good lines.
    pub table: Table,
    /// One for each line that was skipped.
    pub errors: Vec<LineError>,
}
