//! Where the route commands come from, and how they become the route table.
//!
//! A [`Source`] has a text; [`loader`] makes a table of it in slices, by way of
//! [`file`], and [`delta`] says what differs from the one in force. No file is
//! opened here.

pub mod delta;
pub mod file;
pub mod loader;
pub mod static_routes;

use std::time::Duration;

use crate::route::builder::{Built, build_text};
use crate::route::{LineError, Table};

/// `registry.backend`: where the text of the routes is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// `static`: in the configuration itself.
    Static {
        /// `registry.static.routes`, with line feeds.
        routes: String,
    },
    /// `file`: in a file of its own.
    File {
        /// `registry.file.path`
        path: String,
        /// `registry.file.pollinterval`; zero: it is looked at only when the
        /// kernel tells of a change.
        poll_interval: Duration,
    },
}

impl Source {
    /// Whether both are the same place, whatever its text is.
    pub fn is_same_place(&self, other: &Source) -> bool {
        match (self, other) {
            (Source::Static { .. }, Source::Static { .. }) => true,
            (Source::File { path, .. }, Source::File { path: other, .. }) => path == other,
            _ => false,
        }
    }

    /// What messages name: a key of the configuration or a path.
    pub fn origin(&self) -> &str {
        match self {
            Source::Static { .. } => static_routes::ORIGIN,
            Source::File { path, .. } => path,
        }
    }
}

/// What a registry delivers: a whole table, and what was wrong with its text.
#[derive(Clone, Debug)]
pub struct Delivery {
    /// Where the text is from: a key of the configuration or a path.
    pub origin: String,
    /// The routes of all good lines.
    pub table: Table,
    /// One for each line that was skipped.
    pub errors: Vec<LineError>,
    /// Lines that are in the table, but may not do what they seem to do.
    pub warnings: Vec<LineError>,
    /// How many more errors and warnings there are.
    pub omitted: usize,
}

impl Delivery {
    /// What was built of the text from `origin`.
    pub fn new(origin: &str, built: Built) -> Delivery {
        let Built { table, errors, warnings, omitted } = built;
        Delivery { origin: origin.to_owned(), table, errors, warnings, omitted }
    }

    /// Builds the table at once: for the start, before anything is served.
    /// Later a [`TableBuilder`](crate::route::TableBuilder) does it in slices.
    pub fn at_once(origin: &str, text: &[u8]) -> Delivery {
        Delivery::new(origin, build_text(text))
    }

    /// The errors as sentences that begin with the origin, and the number of
    /// those that were not kept.
    pub fn error_lines(&self) -> impl Iterator<Item = String> {
        let omitted =
            (self.omitted > 0).then(|| format!("{}: and {} more", self.origin, self.omitted));
        self.errors.iter().map(|error| format!("{}: {error}", self.origin)).chain(omitted)
    }

    /// The warnings as sentences that begin with the origin.
    pub fn warning_lines(&self) -> impl Iterator<Item = String> {
        self.warnings.iter().map(|warning| format!("{}: {warning}", self.origin))
    }
}
