//! What there is to say of a connection when it is over.

use std::net::SocketAddr;
use std::time::Duration;

use crate::proxy::limits::Scope;

/// One connection, from its beginning to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TcpRecord<'a> {
    /// The client, as a PROXY header says if there was one.
    pub client: SocketAddr,
    /// What the client connected to, as a PROXY header says if there was one.
    pub local: SocketAddr,
    /// Who sent the PROXY header.
    pub proxy: Option<SocketAddr>,
    /// Where the listener listens.
    pub listener: SocketAddr,
    /// The service whose target was chosen.
    pub service: Option<&'a str>,
    /// The target that accepted.
    pub target: Option<SocketAddr>,
    /// The host name in the ClientHello.
    pub server_name: Option<&'a str>,
    /// Bytes from the client that went to the target.
    pub bytes_received: u64,
    /// Bytes from the target that went to the client.
    pub bytes_sent: u64,
    /// When it was accepted: since the Unix epoch.
    pub start: Duration,
    /// From then to the end.
    pub duration: Duration,
    /// How long the target took to accept.
    pub dial_time: Option<Duration>,
    /// Targets that were tried and did not accept.
    pub retries: u32,
    /// How it ended.
    pub ending: Ending,
}

/// How a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// Both sides ended their streams.
    Finished,
    /// The client reset it.
    ClientReset,
    /// The target reset it.
    TargetReset,
    /// Nobody sent anything for too long.
    IdleTimeout,
    /// One side had ended its stream, and the other sent nothing for too long.
    HalfClosedTimeout,
    /// The client sent nothing for too long.
    ReadTimeout,
    /// The client took nothing for too long.
    WriteTimeout,
    /// No target lets it in.
    Denied,
    /// Its listener, or its server name, has no route.
    NoRoute,
    /// No target was left to try.
    NoTarget,
    /// It was cut because its target left the routes.
    TargetRemoved,
    /// Its PROXY header was missing, malformed, late or not to be believed.
    NoHeader,
    /// Its ClientHello was missing, malformed, late or too large.
    NoHello,
    /// A limit was reached.
    Limit(Scope),
    /// This machine had no descriptor, memory or port left.
    Exhausted,
    /// It was cut when burgee stopped.
    Stopped,
    /// A fault of burgee itself.
    Fault,
}

impl Ending {
    /// All of them.
    pub const ALL: [Ending; 18] = [
        Ending::Finished,
        Ending::ClientReset,
        Ending::TargetReset,
        Ending::IdleTimeout,
        Ending::HalfClosedTimeout,
        Ending::ReadTimeout,
        Ending::WriteTimeout,
        Ending::Denied,
        Ending::NoRoute,
        Ending::NoTarget,
        Ending::TargetRemoved,
        Ending::NoHeader,
        Ending::NoHello,
        Ending::Limit(Scope::Service),
        Ending::Limit(Scope::Source),
        Ending::Exhausted,
        Ending::Stopped,
        Ending::Fault,
    ];

    /// Its name in a line: one word.
    pub fn name(self) -> &'static str {
        match self {
            Ending::Finished => "finished",
            Ending::ClientReset => "client-reset",
            Ending::TargetReset => "target-reset",
            Ending::IdleTimeout => "idle-timeout",
            Ending::HalfClosedTimeout => "half-closed-timeout",
            Ending::ReadTimeout => "read-timeout",
            Ending::WriteTimeout => "write-timeout",
            Ending::Denied => "denied",
            Ending::NoRoute => "no-route",
            Ending::NoTarget => "no-target",
            Ending::TargetRemoved => "target-removed",
            Ending::NoHeader => "no-header",
            Ending::NoHello => "no-hello",
            Ending::Limit(Scope::Service) => "limit-service",
            Ending::Limit(Scope::Source) => "limit-source",
            Ending::Exhausted => "exhausted",
            Ending::Stopped => "stopped",
            Ending::Fault => "fault",
        }
    }
}
