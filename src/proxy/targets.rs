//! What the data plane asks of those who know routes and health.

use std::net::SocketAddr;
use std::rc::Rc;

use super::client_hello::ClientHello;
use super::proxy_header::Version;
use super::udp::UdpTargets;
use crate::reactor::Time;

/// Who asks for a target.
#[derive(Clone, Copy, Debug)]
pub struct Client<'a> {
    /// Where it came to: the address of the listener, or of the very socket if
    /// the listener is one of `proto=tcp-dynamic`.
    pub local: SocketAddr,
    /// Its address; with a PROXY header the one that this tells.
    pub source: SocketAddr,
    /// What it said of itself, if its listener waits for that. The route is
    /// then the one of the server name.
    pub hello: Option<&'a ClientHello>,
}

/// A target that was picked for a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Picked {
    /// Where to connect to.
    pub address: SocketAddr,
    /// The service that it belongs to.
    pub service: Rc<str>,
    /// What it is told of the client before the first octet.
    pub header: Option<Version>,
}

/// Where a client goes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pick<T = Picked> {
    /// To this target.
    Target(T),
    /// Nowhere: nothing is configured for what it asks.
    NoRoute,
    /// Nowhere: no target is left to try.
    NoTarget,
    /// Nowhere: no target lets this client in.
    Denied,
    /// Nowhere: all services that are left have as many connections as they
    /// may.
    AtLimit,
}

/// Who knows the targets, and learns how their dials went.
pub trait Targets: UdpTargets {
    /// Chooses a target that is none of `tried`.
    fn pick(&mut self, now: Time, client: &Client<'_>, tried: &[SocketAddr]) -> Pick;
    /// A target refused, or did not answer in time.
    fn dial_failed(&mut self, now: Time, target: &Picked, error: &str);
    /// A target accepted.
    fn dial_succeeded(&mut self, now: Time, target: SocketAddr);
    /// The connection to a target is over, or was never dialled. For each
    /// target that was picked comes one of this and `dial_failed`.
    fn released(&mut self, target: &Picked);
    /// Whether a target is still one of the service it was picked for.
    fn is_target(&self, target: &Picked) -> bool;
}
