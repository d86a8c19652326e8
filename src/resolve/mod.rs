//! Names as targets: a stub resolver on the loop, which never blocks.
//!
//! [`machine`] decides what is asked when, and keeps the last good answer; it
//! is pure. [`message`] is what goes over the wire, [`resolv_conf`] and
//! [`hosts`] are the system's own files, and [`door`] has the sockets. Without
//! the feature `names` there is only [`absent`], which finds no name.

pub mod event;
pub mod name;

#[cfg(feature = "names")]
mod entry;
#[cfg(feature = "names")]
pub mod hosts;
#[cfg(feature = "names")]
pub mod machine;
#[cfg(feature = "names")]
pub mod message;
#[cfg(feature = "names")]
pub mod resolv_conf;

pub use event::{Event, Status};
pub use name::Name;

/// Most addresses of one name: each is a target with checks of its own, and
/// more do not fit into an answer over UDP.
#[cfg(feature = "names")]
pub const MAX_ADDRESSES: usize = 64;
