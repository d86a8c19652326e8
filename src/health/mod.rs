//! Which targets are fit to serve.
//!
//! [`machine`] judges one target from the results of its checks; [`targets`]
//! keeps the machines of all targets, across changes of the route table. Both
//! are pure.

pub mod machine;
pub mod probe;
pub mod targets;

pub use machine::{Change, Machine, State};
pub use targets::Targets;
