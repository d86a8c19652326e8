//! HTTP/1.1 as pure machines: bytes in, messages out, for both sides of a
//! connection (RFC 9112, with the meaning of fields from RFC 9110).
//!
//! - `server` is the side that answers, `client` the side that asks. Each is
//!   given what was read, says how much of it is done with, and writes what is to be
//!   sent behind a vector. Neither knows a socket or the clock.
//! - `head` is what stands before a body: start line and `fields`; `target` is what a
//!   request is for, `octets` which octets may stand where, and `date` how a
//!   moment is written.
//! - `scan` finds the end of a head in octets that come in pieces; `framing` says
//!   how long the body behind it is; `body` takes bodies apart and puts them
//!   together.
//! - `limits` bounds all of it, and `fault` is everything that can be wrong.
//!
//! What is malformed is refused and never repaired, and a message goes out from
//! its parsed form alone, so that two readers cannot disagree about where it ends.
//! Any way to cut what comes in gives the same messages and the same faults. How long
//! a peer may take is for whoever owns the clock to say: [`Phase`] tells what is waited
//! for.

mod body;
mod client;
mod date;
mod fault;
mod fields;
mod framing;
mod head;
mod limits;
mod octets;
mod scan;
mod server;
mod target;

pub use body::{Decoder, Part, write_chunk, write_last_chunk};
pub use client::{Client, Response};
pub use date::imf_fixdate;
pub use fault::{Fault, Misuse};
pub use fields::Fields;
pub use framing::{Content, Framing};
pub use head::{Method, RequestHead, ResponseHead, Version, reason_phrase};
pub use limits::{
    Limits, MAX_EXTENSIONS, MAX_FIELDS, MAX_HEAD, MAX_INTERIM, MAX_METHOD, MAX_START_LINE,
    MAX_TRAILERS,
};
pub use server::{Phase, Request, Server};
pub use target::{Form, Target, decode_text, percent_decode, query_pairs, segments};
