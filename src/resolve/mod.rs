//! Names as targets: a stub resolver on the loop, which never blocks.
//!
//! - `machine` decides what is asked when, and keeps the last good answer;
//!   `entry` is what it knows of one name. Both are pure.
//! - `message` is what goes over the wire, by way of the library.
//! - `resolv_conf` and `hosts` are what the system's files say, `files` reads
//!   them again when they change.
//! - `door` has the sockets. Without the feature `names` there is only
//!   `absent` in its place, which finds no name.

use std::path::PathBuf;

pub mod event;
pub mod name;

#[cfg(not(feature = "names"))]
mod absent;
#[cfg(feature = "names")]
pub mod door;
#[cfg(feature = "names")]
mod entry;
#[cfg(feature = "names")]
mod files;
#[cfg(feature = "names")]
pub mod hosts;
#[cfg(feature = "names")]
pub mod machine;
#[cfg(feature = "names")]
pub mod message;
#[cfg(feature = "names")]
pub mod resolv_conf;

#[cfg(all(test, feature = "names"))]
mod testing;

#[cfg(not(feature = "names"))]
pub use absent::Resolver;
#[cfg(feature = "names")]
pub use door::Resolver;
pub use event::{Event, Status};
pub use name::Name;

/// Whether names can be looked up at all.
pub const IS_AVAILABLE: bool = cfg!(feature = "names");

/// Why not, if not.
pub const UNAVAILABLE: &str = "built without the feature `names`";

/// Most addresses of one name: each is a target with checks of its own, and
/// more do not fit into an answer over UDP.
#[cfg(feature = "names")]
pub const MAX_ADDRESSES: usize = 64;

/// Where the system's files are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Paths {
    /// Which servers to ask (resolv.conf(5)).
    pub resolv_conf: PathBuf,
    /// Names with addresses of their own (hosts(5)).
    pub hosts: PathBuf,
}

impl Default for Paths {
    /// The usual places.
    fn default() -> Paths {
        Paths { resolv_conf: PathBuf::from("/etc/resolv.conf"), hosts: PathBuf::from("/etc/hosts") }
    }
}
