//! What the data plane asks of those who know routes and health.

use std::net::SocketAddr;

use super::udp::UdpTargets;
use crate::reactor::Time;

/// Where a client's connection goes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pick {
    /// To this target.
    Target(SocketAddr),
    /// Nowhere: nothing is configured for its listener.
    NoRoute,
    /// Nowhere: no target is left to try.
    NoTarget,
    /// Nowhere: no target lets this client in.
    Denied,
}

/// Who knows the targets, and learns how their dials went.
pub trait Targets: UdpTargets {
    /// Chooses a target for a client at `listener` that is none of `tried`.
    fn pick(
        &mut self,
        now: Time,
        listener: SocketAddr,
        client: SocketAddr,
        tried: &[SocketAddr],
    ) -> Pick;
    /// A target refused, or did not answer in time.
    fn dial_failed(&mut self, now: Time, target: SocketAddr, error: &str);
    /// A target accepted.
    fn dial_succeeded(&mut self, now: Time, target: SocketAddr);
    /// The connection to a target is over, or was never dialled. For each
    /// target that was picked comes one of this and `dial_failed`.
    fn released(&mut self, target: SocketAddr);
}
