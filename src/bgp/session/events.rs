//! What a session and its owner say to each other.

use std::time::Duration;

use crate::bgp::down::Down;
use crate::bgp::message::prefix::Family;
use crate::bgp::message::update::Update;
use crate::bgp::negotiation::Negotiated;

/// The states of RFC 4271 §8.2.2.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Not started, waiting in IdleHold, or over.
    Idle,
    /// A connection attempt is under way.
    Connect,
    /// Waiting: for the neighbour to connect, or for the next attempt.
    Active,
    /// Connected, our OPEN is sent.
    OpenSent,
    /// The neighbour's OPEN was accepted, ours not yet confirmed.
    OpenConfirm,
    /// Routes may flow.
    Established,
}

/// How the first move of an outgoing session is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// Connect at once.
    Now,
    /// Wait in Idle first, exactly so long: the neighbour's last session failed.
    AfterIdleHold(Duration),
    /// Wait in Active first: the neighbour could not be reached.
    AfterConnectRetry,
}

/// What a session asks its owner to do, or tells it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// Open a connection, then call `connected` or `connect_failed`.
    Dial,
    /// Give up the connection attempt under way.
    HangUp,
    /// The session is established.
    Up,
    /// The session is over. If it had a connection, what [`super::Session::transmit`]
    /// still holds should reach the neighbour before it is closed.
    Down(Down),
}

/// What the owner says to an acceptable OPEN (RFC 4271 §6.8).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Go on with this connection.
    GoOn,
    /// Another connection with this neighbour is kept instead.
    Collides,
}

/// What a session hands out while it reads.
pub trait Handler {
    /// An acceptable OPEN arrived: is this the connection to keep?
    fn open_received(&mut self, negotiated: &Negotiated) -> Verdict;
    /// An UPDATE arrived; the view borrows the received octets.
    fn update(&mut self, negotiated: &Negotiated, update: &Update<'_>);
    /// The neighbour wants `family` again in full (RFC 2918 §4), or marks the
    /// beginning or the end of such a refresh (RFC 7313 §4).
    fn refresh(&mut self, family: Family, subtype: u8);
}
