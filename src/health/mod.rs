//! Which targets are fit to serve.
//!
//! [`machine`] judges one target from the results of its checks; [`targets`]
//! keeps the machines of all targets, across changes of the route table. Both
//! are pure. [`probe`] checks targets of connections, and [`knock`] those of
//! datagrams that refused.

pub mod knock;
pub mod machine;
pub mod probe;
pub mod targets;

pub use machine::{Change, Machine, State};
pub use targets::Targets;
