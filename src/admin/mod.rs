//! The admin API: what the process does and why, as JSON and as metrics, and
//! the operator's commands.
//!
//! [`view`] has the values that are told, and [`House`] is who fills them: the
//! daemon.

mod access;
pub mod api;
mod body;
mod configuration;
mod conversation;
pub mod door;
mod house;
mod json;
pub mod metrics;
mod request;
#[cfg(test)]
pub(crate) mod testing;
pub mod view;

pub use access::Credentials;
pub use body::{Body, Stream};
pub use house::{House, Moment, Refusal, Slice};
pub use request::{Request, parse_prefix};
