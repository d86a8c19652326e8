//! Routes: fabio's route language, the table made from it, and the pickers.
//!
//! [`command`] reads the language line by line: [`source`] is what a route
//! matches, [`destination`] where a target is, [`options`], [`access`] and
//! [`check`] what is different for it. [`builder`] executes the commands in slices and makes
//! an immutable [`Table`] of them. [`ring`] spreads a route's targets over a
//! weighted ring, [`pick`] chooses one of them, and [`listing`] shows them all,
//! some at a time. All of it is pure.

pub mod access;
mod alpn;
pub mod builder;
pub mod check;
pub mod command;
pub mod destination;
mod draft;
pub mod hash;
mod host_name;
pub mod listing;
pub mod options;
mod order;
pub mod pick;
mod pieces;
mod ports;
pub mod ring;
pub mod source;
pub mod table;
mod words;

pub use alpn::AlpnChoice;
pub use builder::{Built, TableBuilder};
pub use check::{CheckKind, CheckOptions};
pub use command::{Command, Parsed, parse};
pub use destination::Destination;
pub use options::Options;
pub use pick::{Ask, Picker, Strategy};
pub use ports::DynamicPort;
pub use source::Source;
pub use table::{Route, Table, Target};
pub use words::LineError;
