//! The real binary between clients and targets: which target a connection comes
//! to, what it is told, and when it ends. [`docs/tcp.md`](../docs/tcp.md) has
//! all of it.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, unreachable_pub, dead_code)]

mod common;

#[path = "connections/changes.rs"]
mod changes;
#[path = "connections/endings.rs"]
mod endings;
#[path = "connections/headers.rs"]
mod headers;
#[path = "connections/health.rs"]
mod health;
#[path = "connections/limits.rs"]
mod limits;
#[path = "connections/names.rs"]
mod names;
#[path = "connections/rig.rs"]
mod rig;
