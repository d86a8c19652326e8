//! What the data plane counts.

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
