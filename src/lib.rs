//! burgee: a load balancer for the edge that announces its anycast addresses
//! over BGP, and only while it is ready to serve them.
//!
//! One process, one thread, one poll loop. This page is the map of the house;
//! every room says at its own door what it is for.
//!
//! - [`reactor`] is the ground floor: the poll loop and its turn, tokens, the
//!   timer wheel, the clock, buffers, socket options, signals, watched files
//!   and the log sink. It knows nothing of proxies or BGP, and it is the only room with
//!   `unsafe` in it.
//! - [`config`] is what the operator wrote: properties files, flags and the
//!   environment, read through one table of options into one plain value, and what
//!   a change of it costs.
//! - [`bgp`] is everything about BGP: bytes to values in `bgp::message`, one
//!   transport connection in `bgp::session`, a neighbour in `bgp::peer`, the
//!   difference between what should be and what was announced in
//!   `bgp::writer`, all neighbours in `bgp::speaker`, and the one door to the
//!   sockets in `bgp::transport`.
//! - [`bfd`] watches the path to each neighbour, and tells within a second when
//!   it fails.
//! - [`route`] is fabio's route language, the table made from it and the
//!   pickers; [`registry`] says where the route commands come from.
//! - [`health`] decides which targets are fit to serve; [`announce`] turns
//!   facts into what is announced, and why; [`vip`] puts the anycast addresses on
//!   the host.
//! - `http` is HTTP/1.1 as pure machines; `admin` is the API on it, and `command` the
//!   commands that ask it. All three come with the feature `http`.
//! - [`resolve`] looks up names over DNS, and keeps the last good answer.
//! - [`proxy`] is the data plane: listeners, relayed connections, and flows of
//!   datagrams.
//! - [`daemon`] owns all of them and hands facts from one to the other, in the
//!   order of one turn of the loop. [`demo`] shows the whole in one process.
//!
//! Imports run one way, from `main` down to `reactor`; `tests/architecture.rs`
//! reads the `use` lines and fails on one that runs back up.

#![cfg_attr(
    not(test),
    deny(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::string_slice)
)]

#[cfg(feature = "http")]
pub mod admin;
pub mod announce;
pub mod bfd;
pub mod bgp;
#[cfg(feature = "http")]
pub mod command;
pub mod config;
pub mod daemon;
pub mod demo;
pub mod health;
#[cfg(feature = "http")]
pub mod http;
pub mod proxy;
pub mod reactor;
pub mod registry;
pub mod resolve;
pub mod route;
pub mod vip;
