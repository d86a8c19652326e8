//! The tables of routes: what we originate ourselves, and which routes a
//! neighbour has announced, as far as that has to be known; they are rejected.

pub mod originated;
pub mod received;

use ipnet::IpNet;

use super::message::prefix::Family;

/// Names one path of one prefix. The path identifier (RFC 7911) is 0 until a
/// neighbour asks for more than one path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    /// The prefix, without host bits.
    pub prefix: IpNet,
    /// The path identifier.
    pub path_id: u32,
}

impl Key {
    /// The key of the only path of `prefix`.
    pub fn new(prefix: IpNet) -> Key {
        Key { prefix, path_id: 0 }
    }

    /// The family that carries it.
    pub fn family(&self) -> Family {
        Family::of(&self.prefix)
    }
}
