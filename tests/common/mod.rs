//! What several test files share.

pub mod namespace;
pub mod neighbour;
pub mod network;
pub mod program;
pub mod running;
pub mod traced;
