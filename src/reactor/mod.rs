//! The ground floor: everything that talks to the kernel, and nothing that
//! knows a protocol.

// Sums here are of sizes and ticks that the program itself bounds; no octet of
// a configuration or of the network gets into one unchecked.
#![allow(clippy::arithmetic_side_effects)]

pub mod buffer;
pub mod calendar;
pub mod clock;
pub mod datagram;
pub mod duration;
pub mod fault;
pub mod inotify;
pub mod interfaces;
pub mod line_sink;
pub mod lock_file;
pub mod log_sink;
pub mod memory;
pub mod netlink;
pub mod pipe;
pub mod poll;
pub mod presence;
pub mod random;
pub mod readiness;
pub mod sd_notify;
pub mod signal;
pub mod slab;
pub mod socket;
pub mod state_file;
pub mod timer_wheel;
pub mod token;
pub mod unix_socket;

pub use clock::Time;
pub use poll::Reactor;
pub use readiness::Readiness;
pub use token::{Kind, Token};

#[cfg(test)]
mod testing;
