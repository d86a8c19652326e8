//! What others see of the data plane: they look, and change nothing.

use std::net::SocketAddr;

use super::Proxy;
use super::access_log::AccessLog;

/// A listener that is open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Listening {
    /// Where; for port 0 the port that was chosen.
    pub address: SocketAddr,
    /// Connections, or flows, that came by it and are open.
    pub connections: usize,
    /// Most of them; zero: no limit of its own.
    pub limit: usize,
}

/// Things that are lent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lent {
    /// Now.
    pub count: usize,
    /// Most at a time.
    pub limit: usize,
}

impl Proxy {
    /// How many connections there are, without flows of datagrams.
    pub fn streams(&self) -> usize {
        self.connections.len()
    }

    /// The flows of datagrams.
    pub fn flows(&self) -> Lent {
        Lent { count: self.udp.flows(), limit: self.udp.limit() }
    }

    /// The listener for connections that the settings name so, if it is open.
    pub fn listener(&self, address: SocketAddr, dual_stack: bool) -> Option<Listening> {
        let asked = (address, dual_stack);
        let mut all = self.static_listeners();
        let found = all.find(|it| (it.asked_address(), it.is_dual_stack()) == asked)?;
        let limit = usize::try_from(found.connection_limit()).unwrap_or(usize::MAX);
        let connections = usize::try_from(self.admission.at_listener(found.id()));
        let connections = connections.unwrap_or(usize::MAX);
        Some(Listening { address: found.address(), connections, limit })
    }

    /// The listener for datagrams at this place among those of the settings, if
    /// it is open.
    pub fn datagram_listener(&self, place: usize) -> Option<Listening> {
        self.udp.listener(place)
    }

    /// The buffers of [`Proxy::data`] for a whole step.
    pub fn large_buffers(&self) -> Lent {
        Lent { count: self.large.lent(), limit: self.large.limit() }
    }

    /// The pipes.
    pub fn pipes(&self) -> Lent {
        Lent { count: self.pipes.lent(), limit: self.pipes.limit() }
    }

    /// Lines of the access log that were lost.
    pub fn access_lines_dropped(&self) -> u64 {
        self.access_log.as_ref().map_or(0, AccessLog::dropped)
    }
}
