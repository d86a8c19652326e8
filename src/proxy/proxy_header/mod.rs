//! The PROXY protocol: a header before the first octet of a connection that
//! says who its client is.
//!
//! Source: "The PROXY protocol, versions 1 & 2", doc/proxy-protocol.txt of
//! HAProxy; its sections are what "PROXY §" means here. [`encode_v1`] and
//! [`encode_v2`] write headers for targets, [`decode`] reads those of clients,
//! and [`HeaderPolicy`] says from whom one is read and what becomes of a
//! connection without one. All of it is pure.

mod crc32c;
mod decode;
mod encode;
mod policy;

pub use decode::{Decoded, Header, MAX_V1, MAX_V2, Malformed, decode};
pub use encode::{Extras, MAX_AUTHORITY, MAX_UNIQUE_ID, encode_v1, encode_v2};
pub use policy::{HeaderPolicy, Judgement, MAX_TRUSTED, Mode, Refusal, Start, TrustedSources};

use std::net::SocketAddr;

/// The first octets of version 2 (PROXY §2.2).
const SIGNATURE: [u8; 12] = *b"\r\n\r\n\0\r\nQUIT\n";

/// The first octets of version 1, with the space behind (PROXY §2.1).
const PREFIX: [u8; 6] = *b"PROXY ";

/// Octets of version 2 before the addresses: signature, version and command,
/// family and transport, length (PROXY §2.2).
const FIXED_V2: usize = 16;

/// Types of the values that may follow the addresses (PROXY §2.2).
mod tlv {
    pub(super) const AUTHORITY: u8 = 0x02;
    pub(super) const CRC32C: u8 = 0x03;
    pub(super) const UNIQUE_ID: u8 = 0x05;
}

/// Which of the two formats.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// A line of text.
    V1,
    /// Binary, with room for more than addresses.
    V2,
}

/// The two ends of the client's connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Endpoints {
    /// The client.
    pub source: SocketAddr,
    /// What the client connected to.
    pub destination: SocketAddr,
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(super) fn endpoints(source: &str, destination: &str) -> Endpoints {
        Endpoints { source: source.parse().unwrap(), destination: destination.parse().unwrap() }
    }
}
