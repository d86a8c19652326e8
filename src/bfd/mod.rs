//! Bidirectional Forwarding Detection: has the path to a neighbour failed?
//! (RFC 5880; over one hop RFC 5881, over several RFC 5883; what BGP makes of
//! the answer RFC 5882.)
//!
//! [`packet`] is octets to a value and back; [`machine`] is one session, pure;
//! and [`transport`] is the door, the only file that touches a socket.
//!
//! Offered is asynchronous mode. Demand mode is honoured when the neighbour
//! asks for it and never asked for; the echo function and authentication are
//! not offered.

#![cfg_attr(not(test), deny(clippy::indexing_slicing, clippy::arithmetic_side_effects))]

pub mod machine;
pub mod packet;
pub mod transport;
