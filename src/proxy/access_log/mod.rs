//! What is written of each relayed connection when it is over.
//!
//! A [`Format`] is compiled once, from fabio's format language or as JSON, and
//! makes one line of a [`TcpRecord`]. [`AccessLog`] is the door: it writes
//! the lines without ever waiting for their reader.

mod format;
mod record;
mod writer;

pub use self::format::{FIELDS, Format};
pub use self::record::{Ending, TcpRecord};
pub use self::writer::AccessLog;

#[cfg(test)]
mod page;
#[cfg(test)]
mod testing;
