//! Everything about BGP-4 (RFC 4271).
//!
//! From the inside out: [`message`] is bytes to values and back;
//! [`negotiation`] makes of two OPENs what a session may do; [`session`] is
//! the state machine of one transport connection; [`rib`] holds what we
//! originate and [`export`] turns it into what one neighbour should see;
//! [`writer`] sends the difference between that and what it has; [`peer`] is a
//! neighbour with its one or two sessions; [`speaker`] is all neighbours; and
//! [`transport`] is the door, the only part that touches a socket.
//!
//! Small values beside them: [`timers`] and [`outbox`] belong to a session,
//! [`counts`] is its messages by type and [`down`] its end; [`peer_settings`]
//! says how to speak with a neighbour.

pub mod counts;
pub mod down;
pub mod export;
mod intake;
pub mod message;
pub mod negotiation;
pub mod offer;
pub mod outbox;
pub mod peer;
pub mod peer_settings;
mod retained;
pub mod rib;
pub mod role;
pub mod session;
pub mod speaker;
pub mod status;
#[cfg(test)]
mod testing;
pub mod timers;
pub mod transport;
pub mod writer;
