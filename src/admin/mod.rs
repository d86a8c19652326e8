//! The admin API: what the process does and why, as JSON and as metrics, and
//! the operator's commands.
//!
//! [`view`] has the values that are told, and [`House`] is who fills them: the
//! daemon.

mod house;
pub mod view;

pub use house::{House, Moment, Refusal, Slice};
