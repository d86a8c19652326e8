//! Routes: fabio's route language, the table made from it, and the pickers.
//!
//! [`command`] reads the language line by line, [`table`] turns commands into
//! an immutable [`Table`], [`ring`] spreads a route's targets over a weighted
//! ring, and [`pick`] chooses a target from it. All of it is pure.

pub mod command;
pub mod pick;
pub mod ring;
pub mod table;

pub use command::{Command, LineError, Parsed, Source, parse};
pub use pick::Picker;
pub use table::{Route, Table, Target};
