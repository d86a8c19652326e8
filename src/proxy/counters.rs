//! What the data plane counts.

use super::access_log::Ending;
use super::limits::Scope;

/// What happened since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Clients that were accepted.
    pub accepted: u64,
    /// Times that accepting stopped because of the connection limit.
    pub limit_reached: u64,
    /// Attempts to accept that failed.
    pub accept_errors: u64,
    /// Clients turned away because their listener has no route.
    pub no_route: u64,
    /// Clients turned away because no target was left to try.
    pub no_target: u64,
    /// Clients turned away because no target lets them in.
    pub denied: u64,
    /// Clients turned away because their service has as many connections as it
    /// may.
    pub service_limit: u64,
    /// Clients turned away because their source has as many connections as it
    /// may.
    pub source_limit: u64,
    /// Clients turned away because of their PROXY header, or for want of one.
    pub no_header: u64,
    /// Clients turned away because of their ClientHello, or for want of one.
    pub no_hello: u64,
    /// Connections cut because their target left the routes.
    pub target_removed: u64,
    /// Dials that failed or were not answered in time.
    pub dial_failures: u64,
    /// Dials that this machine had no descriptor, memory or port for.
    pub dials_exhausted: u64,
    /// Connections closed at a limit of silence.
    pub silent: u64,
    /// Connections that ended with a reset.
    pub resets: u64,
    /// Panics that were caught; each cost its one connection.
    pub panics: u64,
    /// Bytes passed from clients to targets.
    pub bytes_up: u64,
    /// Bytes passed from targets to clients.
    pub bytes_down: u64,
}

impl Counters {
    /// A connection is over.
    pub(super) fn ended(&mut self, ending: Ending, is_reset: bool) {
        let counter = match ending {
            Ending::NoRoute => &mut self.no_route,
            Ending::NoTarget => &mut self.no_target,
            Ending::Denied => &mut self.denied,
            Ending::Limit(Scope::Service) => &mut self.service_limit,
            Ending::Limit(Scope::Source) => &mut self.source_limit,
            Ending::NoHeader => &mut self.no_header,
            Ending::NoHello => &mut self.no_hello,
            Ending::TargetRemoved => &mut self.target_removed,
            Ending::IdleTimeout
            | Ending::ReadTimeout
            | Ending::WriteTimeout
            | Ending::HalfClosedTimeout => &mut self.silent,
            _ if is_reset => &mut self.resets,
            _ => return,
        };
        *counter = counter.saturating_add(1);
    }
}
