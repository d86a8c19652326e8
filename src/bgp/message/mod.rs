//! BGP messages: bytes to values and back, one file a concept.
//!
//! Nothing here knows a socket, a clock or a session. A parser takes the bytes
//! that came and either gives a value or the [`notification::Notification`]
//! that must be sent; an encoder appends a whole message to a buffer. Every
//! parser is total: whatever the bytes are, it answers and does not panic.
//!
//! - [`header`] cuts the stream into messages and frames those that go out.
//! - [`open`] and [`capability`] are what two speakers agree on.
//! - [`update`] is a borrowed view of a received UPDATE, judged as RFC 7606
//!   asks, and also builds those that go out; [`attribute`],
//!   [`attribute_list`], [`as_path`] and [`prefix`] are their parts, and
//!   [`fault`] holds the rules for what is malformed, and `evidence` what of it
//!   goes to the log.
//! - [`route_refresh`] asks for a family again; [`notification`] ends a session.

pub mod as_path;
pub mod attribute;
pub mod attribute_list;
pub mod capability;
mod evidence;
pub mod fault;
#[cfg(test)]
mod generator;
pub mod header;
pub mod notification;
pub mod open;
pub mod prefix;
pub mod route_refresh;
pub mod update;
mod update_encode;
mod wire;
