//! Which targets are fit to serve.
//!
//! [`check`] is how a target is checked. [`machine`] judges one target from the
//! results of its checks, and [`ejection`] from the dials of clients;
//! [`targets`] keeps both of all targets, across changes of the route table, and
//! `tally` counts them. All of these are pure, and so is `exchange`, an HTTP check on
//! the machine of the room `http`. [`probe`] checks targets of connections, and
//! [`knock`] those of datagrams that refused.

pub mod check;
pub mod ejection;
#[cfg(feature = "http")]
mod exchange;
pub mod knock;
pub mod machine;
#[cfg(not(feature = "http"))]
mod no_exchange;
pub mod probe;
mod tally;
pub mod targets;

pub use check::{Check, HealthDefaults, Wanted};
pub use machine::{Change, Machine, State, Thresholds};
pub use targets::{ServiceCounts, Standing, Targets, Transport};
