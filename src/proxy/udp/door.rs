//! The listening sockets of `proto=udp`.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use super::super::listener::bind_help;
use super::UdpListenerSettings;
use crate::reactor::Readiness;
use crate::reactor::datagram::{DatagramOptions, Datagrams};
use crate::reactor::socket;

/// Octets that the kernel is asked to keep for us until the next turn: some
/// thousand queries. It cuts them to `net.core.rmem_max`.
const RECEIVE_BUFFER: usize = 1 << 20;

/// One listening socket.
#[derive(Debug)]
pub(super) struct Door {
    pub(super) socket: Datagrams,
    /// Its listener.
    pub(super) lane: usize,
    /// Where it listens.
    pub(super) address: SocketAddr,
    /// Something may wait to be read.
    pub(super) readable: bool,
    /// An error may be pending, so that a batch that is not full does not say
    /// that nothing is left.
    pub(super) has_error: bool,
}

impl Door {
    /// Binds the sockets of one listener: two where it serves both families,
    /// because the answers of a socket for both could not leave from an IPv4
    /// address of our choice. None is registered yet.
    ///
    /// # Errors
    /// A sentence with the address and the cause.
    pub(super) fn bind(settings: &UdpListenerSettings, lane: usize) -> Result<Vec<Door>, String> {
        let wanted = settings.address;
        let open = |address| open(address, settings.freebind, lane);
        let first = open(wanted);
        if !settings.dual_stack {
            return Ok(vec![first.map_err(|error| bind_help(wanted, true, &error))?]);
        }
        let ipv4 = |port| SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), port);
        match first {
            Ok(first) => {
                let other = ipv4(first.address.port());
                let second = open(other).map_err(|error| bind_help(other, true, &error))?;
                Ok(vec![first, second])
            }
            // A system without IPv6: the IPv4 half is all that there is.
            Err(error) if socket::has_no_ipv6(&error) => {
                let other = ipv4(wanted.port());
                Ok(vec![open(other).map_err(|error| bind_help(other, true, &error))?])
            }
            Err(error) => Err(bind_help(wanted, true, &error)),
        }
    }

    /// The socket said something.
    pub(super) fn event(&mut self, readiness: Readiness) {
        self.readable |= readiness.intersects(Readiness::READABLE | Readiness::ERROR);
        self.has_error |= readiness.contains(Readiness::ERROR);
    }

    /// Why a datagram must not be passed on, if it must not.
    ///
    /// An answer to a group could not leave from its address, and would be
    /// many answers to one question; one to port 0 cannot be sent (RFC 768);
    /// and who asks in our own name makes us answer ourselves, for ever.
    pub(super) fn is_misaddressed(&self, client: SocketAddr, local: Option<IpAddr>) -> bool {
        let to_many = match local {
            Some(IpAddr::V4(local)) => local.is_multicast() || local.is_broadcast(),
            Some(IpAddr::V6(local)) => local.is_multicast(),
            None => false,
        };
        let is_own = Some(client.ip()) == local && client.port() == self.address.port();
        to_many || is_own || client.port() == 0
    }
}

fn open(address: SocketAddr, freebind: bool, lane: usize) -> io::Result<Door> {
    let options = DatagramOptions {
        receive_buffer: Some(RECEIVE_BUFFER),
        freebind,
        ..DatagramOptions::default()
    };
    let socket = Datagrams::bind(address, &options)?;
    let address = socket.local_address()?;
    Ok(Door { socket, lane, address, readable: false, has_error: false })
}
