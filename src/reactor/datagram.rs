//! Datagrams in batches, with what TCP sockets know for a whole connection:
//! where each one came from and to, how far it travelled, and where the next
//! one should leave.
#![allow(unsafe_code)]

use std::ffi::CString;
use std::io;
use std::mem::{MaybeUninit, size_of};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::os::fd::{AsRawFd, RawFd};

use mio::event::Source;
use mio::unix::SourceFd;
use mio::{Interest, Registry};
use socket2::{Domain, Protocol, SockAddr, Socket, Type};

use super::socket::{self, Family};

/// Most datagrams that one system call takes or gives: their bookkeeping is
/// under 8 KiB of stack.
pub const BATCH: usize = 32;

/// Octets for control messages: the larger packet information and a TTL, each
/// with its header, and as much again for what a later kernel may add.
const CONTROL: usize = 128;

/// Octets of the larger socket address.
const NAME: usize = size_of::<libc::sockaddr_in6>();

/// What to set on a socket before it is bound.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DatagramOptions {
    /// TTL (IPv6: hop limit) of our packets.
    pub ttl: Option<u8>,
    /// The whole octet, DSCP in its upper six bits: CS6 is 0xc0.
    pub traffic_class: Option<u8>,
    /// Octets that the kernel keeps for us until we read; it has a least value
    /// of its own.
    pub receive_buffer: Option<usize>,
    /// Bind an address that this machine does not have (yet).
    pub freebind: bool,
}

/// A datagram that came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Received {
    /// Who sent it.
    pub source: SocketAddr,
    /// Which of our addresses it was sent to.
    pub local: Option<IpAddr>,
    /// The index of the interface that it came in on.
    pub interface: Option<u32>,
    /// The TTL (IPv6: hop limit) that it came with.
    pub ttl: Option<u8>,
    /// Whether it was longer than its place, and its end is lost.
    pub truncated: bool,
    start: usize,
    length: usize,
}

impl Received {
    /// Its octets, in the buffer that [`Datagrams::receive`] was given.
    pub fn payload<'a>(&self, buffer: &'a [u8]) -> &'a [u8] {
        buffer.get(self.start..).and_then(|rest| rest.get(..self.length)).unwrap_or_default()
    }
}

/// A datagram to send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outgoing<'a> {
    /// To whom.
    pub destination: SocketAddr,
    /// From which of our addresses; `None`: the socket's, or the kernel's
    /// choice.
    pub source: Option<IpAddr>,
    /// The index of the interface to leave by; `None`: what the routes say.
    pub interface: Option<u32>,
    /// Its octets.
    pub payload: &'a [u8],
}

/// A bound UDP socket, of one family: IPv6 ones take no IPv4.
#[derive(Debug)]
pub struct Datagrams {
    socket: Socket,
    family: Family,
}

impl Datagrams {
    /// Binds a non-blocking socket that nobody else can bind over.
    pub fn bind(address: SocketAddr, options: &DatagramOptions) -> io::Result<Datagrams> {
        let (family, domain) = match address {
            SocketAddr::V4(_) => (Family::V4, Domain::IPV4),
            SocketAddr::V6(_) => (Family::V6, Domain::IPV6),
        };
        let socket = Socket::new(domain, Type::DGRAM.nonblocking(), Some(Protocol::UDP))?;
        match family {
            Family::V4 => {
                enable(&socket, libc::IPPROTO_IP, libc::IP_PKTINFO)?;
                enable(&socket, libc::IPPROTO_IP, libc::IP_RECVTTL)?;
            }
            Family::V6 => {
                socket.set_only_v6(true)?;
                enable(&socket, libc::IPPROTO_IPV6, libc::IPV6_RECVPKTINFO)?;
                enable(&socket, libc::IPPROTO_IPV6, libc::IPV6_RECVHOPLIMIT)?;
            }
        }
        if let Some(ttl) = options.ttl {
            socket::set_ttl(&socket, family, ttl)?;
        }
        if let Some(class) = options.traffic_class {
            socket::set_traffic_class(&socket, family, class)?;
        }
        if let Some(octets) = options.receive_buffer {
            socket.set_recv_buffer_size(octets)?;
        }
        if options.freebind {
            socket::set_freebind(&socket, family)?;
        }
        socket.bind(&SockAddr::from(address))?;
        Ok(Datagrams { socket, family })
    }

    /// The address that the socket is bound to.
    pub fn local_address(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()?.as_socket().ok_or_else(|| io::ErrorKind::Unsupported.into())
    }

    /// Takes up to [`BATCH`] datagrams of up to `size` octets each, and no more
    /// than `buffer` has places for. `found` is emptied first.
    ///
    /// # Errors
    /// Those of recvmmsg(2); WouldBlock when none waits. With edge-triggered
    /// events, only that says that the next one will make an event.
    pub fn receive(
        &self,
        buffer: &mut [u8],
        size: usize,
        found: &mut Vec<Received>,
    ) -> io::Result<()> {
        found.clear();
        let size = size.max(1);
        let mut envelopes = [Envelope::EMPTY; BATCH];
        let mut headers = no_headers();
        let mut places: libc::c_uint = 0;
        let slots = headers.iter_mut().zip(&mut envelopes);
        for ((header, envelope), place) in slots.zip(buffer.chunks_exact_mut(size)) {
            envelope.vector.iov_base = place.as_mut_ptr().cast();
            envelope.vector.iov_len = place.len();
            envelope.attach(&mut header.msg_hdr, NAME, CONTROL);
            places = places.saturating_add(1);
        }
        // SAFETY: the first `places` headers point to an envelope each, which
        // lives on this stack, and through it to a place of its own in
        // `buffer`; the kernel writes within the lengths that they name.
        let count = unsafe {
            let headers = headers.as_mut_ptr();
            libc::recvmmsg(self.socket.as_raw_fd(), headers, places, 0, std::ptr::null_mut())
        };
        let count = usize::try_from(count).map_err(|_| io::Error::last_os_error())?;
        for (index, (header, envelope)) in headers.iter().zip(&envelopes).take(count).enumerate() {
            let Some(source) = address(self.family, &envelope.name) else { continue };
            let mut received = Received {
                source,
                local: None,
                interface: None,
                ttl: None,
                truncated: header.msg_hdr.msg_flags & libc::MSG_TRUNC != 0,
                start: index.saturating_mul(size),
                length: size.min(usize::try_from(header.msg_len).unwrap_or(size)),
            };
            let control_length: usize = header.msg_hdr.msg_controllen as _;
            let control = envelope.control.get(..control_length).unwrap_or_default();
            for message in (ControlMessages { rest: control }) {
                message.tell(&mut received);
            }
            found.push(received);
        }
        Ok(())
    }

    /// Sends the first of `batch`, at most [`BATCH`], in order, and returns how
    /// many the kernel took.
    ///
    /// # Errors
    /// Those of sendmmsg(2) for the first datagram. An error of a later one
    /// ends the count before it, and comes when it is the first.
    pub fn send(&self, batch: &[Outgoing<'_>]) -> io::Result<usize> {
        let mut envelopes = [Envelope::EMPTY; BATCH];
        let mut headers = no_headers();
        let mut count: libc::c_uint = 0;
        let slots = headers.iter_mut().zip(&mut envelopes);
        for ((header, envelope), outgoing) in slots.zip(batch) {
            // The kernel only reads through this pointer.
            envelope.vector.iov_base = outgoing.payload.as_ptr().cast_mut().cast();
            envelope.vector.iov_len = outgoing.payload.len();
            let name_length = write_address(&mut envelope.name, outgoing.destination);
            let control_length = write_packet_info(&mut envelope.control, self.family, outgoing);
            envelope.attach(&mut header.msg_hdr, name_length, control_length);
            count = count.saturating_add(1);
        }
        // SAFETY: the first `count` headers point to an envelope each, which
        // lives on this stack, and to a payload that `batch` borrows; the
        // kernel reads within the lengths that they name.
        let sent =
            unsafe { libc::sendmmsg(self.socket.as_raw_fd(), headers.as_mut_ptr(), count, 0) };
        usize::try_from(sent).map_err(|_| io::Error::last_os_error())
    }
}

/// A datagram of a [`Connected`] socket: from whom it came is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arrived {
    /// How many octets of its place it takes; may be 0.
    pub length: usize,
    /// Whether it was longer than its place, and its end is lost.
    pub truncated: bool,
}

/// A UDP socket that is connected to one remote address. It gets datagrams
/// from there alone, and the ICMP errors of what it sent, which an unconnected
/// socket is not told of.
#[derive(Debug)]
pub struct Connected {
    socket: Socket,
}

impl Connected {
    /// Connects a non-blocking socket; nothing is sent. The kernel chooses the
    /// local address and port.
    ///
    /// # Errors
    /// Those of socket(2) and connect(2); WouldBlock when no port is free.
    pub fn connect(remote: SocketAddr) -> io::Result<Connected> {
        let domain = if remote.is_ipv4() { Domain::IPV4 } else { Domain::IPV6 };
        let socket = Socket::new(domain, Type::DGRAM.nonblocking(), Some(Protocol::UDP))?;
        socket.connect(&SockAddr::from(remote))?;
        Ok(Connected { socket })
    }

    /// Sends one datagram, which may be empty.
    ///
    /// # Errors
    /// Those of send(2). One that an earlier datagram met, such as
    /// ConnectionRefused, comes here as well; this one is then not sent.
    pub fn send(&self, payload: &[u8]) -> io::Result<()> {
        self.socket.send(payload).map(drop)
    }

    /// Takes as many datagrams as `buffer` has places of `size` octets, at most
    /// [`BATCH`]: the first into the first place, and so on. `found` is emptied
    /// first. When fewer were found than there are places, none is left, and
    /// the next one makes an event.
    ///
    /// # Errors
    /// Those of recvmmsg(2), also those that an earlier datagram met; WouldBlock
    /// when none waits.
    pub fn receive(
        &self,
        buffer: &mut [u8],
        size: usize,
        found: &mut Vec<Arrived>,
    ) -> io::Result<()> {
        found.clear();
        let mut vectors = [libc::iovec { iov_base: std::ptr::null_mut(), iov_len: 0 }; BATCH];
        let mut headers = no_headers();
        let mut places: libc::c_uint = 0;
        let slots = headers.iter_mut().zip(&mut vectors);
        for ((header, vector), place) in slots.zip(buffer.chunks_exact_mut(size.max(1))) {
            vector.iov_base = place.as_mut_ptr().cast();
            vector.iov_len = place.len();
            header.msg_hdr.msg_iov = vector;
            header.msg_hdr.msg_iovlen = 1;
            places = places.saturating_add(1);
        }
        // SAFETY: the first `places` headers point to a vector each, which
        // lives on this stack, and through it to a place of its own in
        // `buffer`; the kernel writes within the lengths that they name.
        let count = unsafe {
            let headers = headers.as_mut_ptr();
            libc::recvmmsg(self.socket.as_raw_fd(), headers, places, 0, std::ptr::null_mut())
        };
        let count = usize::try_from(count).map_err(|_| io::Error::last_os_error())?;
        found.extend(headers.iter().take(count).map(|header| Arrived {
            length: size.min(usize::try_from(header.msg_len).unwrap_or(size)),
            truncated: header.msg_hdr.msg_flags & libc::MSG_TRUNC != 0,
        }));
        Ok(())
    }
}

impl AsRawFd for Datagrams {
    fn as_raw_fd(&self) -> RawFd {
        self.socket.as_raw_fd()
    }
}

impl AsRawFd for Connected {
    fn as_raw_fd(&self) -> RawFd {
        self.socket.as_raw_fd()
    }
}

/// Sources by their descriptor.
macro_rules! polled_by_descriptor {
    ($($socket:ty),*) => {$(
        impl Source for $socket {
            fn register(
                &mut self,
                registry: &Registry,
                token: mio::Token,
                interest: Interest,
            ) -> io::Result<()> {
                SourceFd(&self.as_raw_fd()).register(registry, token, interest)
            }

            fn reregister(
                &mut self,
                registry: &Registry,
                token: mio::Token,
                interest: Interest,
            ) -> io::Result<()> {
                SourceFd(&self.as_raw_fd()).reregister(registry, token, interest)
            }

            fn deregister(&mut self, registry: &Registry) -> io::Result<()> {
                SourceFd(&self.as_raw_fd()).deregister(registry)
            }
        }
    )*};
}

polled_by_descriptor!(Datagrams, Connected);

/// The index of an interface, by its name.
///
/// # Errors
/// NotFound when there is none of that name; InvalidInput for a name that no
/// interface can have.
pub fn interface_index(name: &str) -> io::Result<u32> {
    let name = CString::new(name).map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))?;
    // SAFETY: if_nametoindex reads the string up to its zero octet.
    match unsafe { libc::if_nametoindex(name.as_ptr()) } {
        0 => Err(io::ErrorKind::NotFound.into()),
        index => Ok(index),
    }
}

fn enable(socket: &Socket, level: libc::c_int, name: libc::c_int) -> io::Result<()> {
    socket::set_int(socket, level, name, 1)
}

/// What the header of one datagram points to. Control messages begin at an
/// address that their headers can have.
#[repr(C, align(8))]
#[derive(Clone, Copy)]
struct Envelope {
    control: [u8; CONTROL],
    name: [u8; NAME],
    vector: libc::iovec,
}

impl Envelope {
    const EMPTY: Envelope = Envelope {
        control: [0; CONTROL],
        name: [0; NAME],
        vector: libc::iovec { iov_base: std::ptr::null_mut(), iov_len: 0 },
    };

    /// Makes `header` point here, to so many octets of name and control.
    fn attach(&mut self, header: &mut libc::msghdr, name: usize, control: usize) {
        header.msg_name = self.name.as_mut_ptr().cast();
        header.msg_namelen = libc::socklen_t::try_from(name).unwrap_or_default();
        header.msg_iov = &raw mut self.vector;
        header.msg_iovlen = 1;
        if control > 0 {
            header.msg_control = self.control.as_mut_ptr().cast();
            header.msg_controllen = control as _;
        }
    }
}

fn no_headers() -> [libc::mmsghdr; BATCH] {
    // SAFETY: a header of zeros is one with null pointers and no lengths.
    unsafe { MaybeUninit::zeroed().assume_init() }
}

/// Kernel structures of which any octets make a value: integers and arrays of
/// them.
trait Plain: Copy {}
impl Plain for libc::c_int {}
impl Plain for libc::cmsghdr {}
impl Plain for libc::in_pktinfo {}
impl Plain for libc::in6_pktinfo {}
impl Plain for libc::sockaddr_in {}
impl Plain for libc::sockaddr_in6 {}

/// The structure at the front of `octets`, if all of it is there.
fn read<T: Plain>(octets: &[u8]) -> Option<T> {
    let octets = octets.get(..size_of::<T>())?;
    // SAFETY: there are as many octets as the structure has, any of them make
    // one, and their alignment does not matter to this read.
    Some(unsafe { octets.as_ptr().cast::<T>().read_unaligned() })
}

/// Puts the structure at the front of `octets`, if there is room for all of it.
fn write<T: Plain>(octets: &mut [u8], value: T) -> Option<()> {
    let octets = octets.get_mut(..size_of::<T>())?;
    // SAFETY: there are as many octets as the structure has, and their
    // alignment does not matter to this write.
    unsafe { octets.as_mut_ptr().cast::<T>().write_unaligned(value) };
    Some(())
}

fn address(family: Family, name: &[u8]) -> Option<SocketAddr> {
    Some(match family {
        Family::V4 => {
            let name = read::<libc::sockaddr_in>(name)?;
            let ip = Ipv4Addr::from_bits(u32::from_be(name.sin_addr.s_addr));
            SocketAddrV4::new(ip, u16::from_be(name.sin_port)).into()
        }
        Family::V6 => {
            let name = read::<libc::sockaddr_in6>(name)?;
            let ip = Ipv6Addr::from(name.sin6_addr.s6_addr);
            SocketAddrV6::new(ip, u16::from_be(name.sin6_port), 0, name.sin6_scope_id).into()
        }
    })
}

/// Writes a socket address; returns its length.
fn write_address(place: &mut [u8], address: SocketAddr) -> usize {
    let address = SockAddr::from(address);
    let length = usize::try_from(address.len()).unwrap_or_default();
    // SAFETY: a SockAddr owns `len` initialised octets at its pointer.
    let octets = unsafe { std::slice::from_raw_parts(address.as_ptr().cast::<u8>(), length) };
    match place.get_mut(..length) {
        Some(place) => {
            place.copy_from_slice(octets);
            length
        }
        None => 0,
    }
}

/// What the kernel wants between the starts of two control messages, and
/// between a header and its data.
const fn aligned(length: usize) -> usize {
    length.next_multiple_of(size_of::<usize>())
}

const CONTROL_HEADER: usize = aligned(size_of::<libc::cmsghdr>());

/// One control message (cmsg(3)).
struct ControlMessage<'a> {
    level: libc::c_int,
    kind: libc::c_int,
    data: &'a [u8],
}

/// The control messages that came with a datagram.
struct ControlMessages<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for ControlMessages<'a> {
    type Item = ControlMessage<'a>;

    fn next(&mut self) -> Option<ControlMessage<'a>> {
        let header = read::<libc::cmsghdr>(self.rest)?;
        let length: usize = header.cmsg_len as _;
        let data = self.rest.get(CONTROL_HEADER..length)?;
        self.rest = self.rest.get(aligned(length)..).unwrap_or_default();
        Some(ControlMessage { level: header.cmsg_level, kind: header.cmsg_type, data })
    }
}

impl ControlMessage<'_> {
    fn tell(&self, received: &mut Received) {
        match (self.level, self.kind) {
            (libc::IPPROTO_IP, libc::IP_PKTINFO) => {
                let Some(info) = read::<libc::in_pktinfo>(self.data) else { return };
                received.local = Some(Ipv4Addr::from(u32::from_be(info.ipi_addr.s_addr)).into());
                received.interface = u32::try_from(info.ipi_ifindex).ok();
            }
            (libc::IPPROTO_IPV6, libc::IPV6_PKTINFO) => {
                let Some(info) = read::<libc::in6_pktinfo>(self.data) else { return };
                received.local = Some(Ipv6Addr::from(info.ipi6_addr.s6_addr).into());
                received.interface = Some(info.ipi6_ifindex);
            }
            (libc::IPPROTO_IP, libc::IP_TTL) | (libc::IPPROTO_IPV6, libc::IPV6_HOPLIMIT) => {
                let ttl = read::<libc::c_int>(self.data);
                received.ttl = ttl.and_then(|ttl| u8::try_from(ttl).ok());
            }
            _ => {}
        }
    }
}

/// Writes the control message that chooses source and interface; returns its
/// length, 0 when there is nothing to choose.
fn write_packet_info(control: &mut [u8], family: Family, outgoing: &Outgoing<'_>) -> usize {
    if outgoing.source.is_none() && outgoing.interface.is_none() {
        return 0;
    }
    let interface = outgoing.interface.unwrap_or_default();
    let written = match (family, outgoing.source) {
        (Family::V4, None | Some(IpAddr::V4(_))) => {
            let source = match outgoing.source {
                Some(IpAddr::V4(ip)) => ip,
                _ => Ipv4Addr::UNSPECIFIED,
            };
            let info = libc::in_pktinfo {
                ipi_ifindex: interface as _,
                ipi_spec_dst: libc::in_addr { s_addr: source.to_bits().to_be() },
                ipi_addr: libc::in_addr { s_addr: 0 },
            };
            write_control(control, (libc::IPPROTO_IP, libc::IP_PKTINFO), info)
        }
        (Family::V6, None | Some(IpAddr::V6(_))) => {
            let source = match outgoing.source {
                Some(IpAddr::V6(ip)) => ip,
                _ => Ipv6Addr::UNSPECIFIED,
            };
            let info = libc::in6_pktinfo {
                ipi6_addr: libc::in6_addr { s6_addr: source.octets() },
                ipi6_ifindex: interface,
            };
            write_control(control, (libc::IPPROTO_IPV6, libc::IPV6_PKTINFO), info)
        }
        // A source of the other family: the kernel refuses the destination.
        _ => None,
    };
    written.unwrap_or_default()
}

fn write_control<T: Plain>(
    control: &mut [u8],
    (level, kind): (libc::c_int, libc::c_int),
    data: T,
) -> Option<usize> {
    let length = CONTROL_HEADER.checked_add(size_of::<T>())?;
    // SAFETY: a header of zeros is one, and the C library may pad it.
    let mut header: libc::cmsghdr = unsafe { MaybeUninit::zeroed().assume_init() };
    header.cmsg_len = length as _;
    header.cmsg_level = level;
    header.cmsg_type = kind;
    write(control, header)?;
    write(control.get_mut(CONTROL_HEADER..)?, data)?;
    Some(aligned(length))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOCALHOSTS: [&str; 2] = ["127.0.0.1:0", "[::1]:0"];

    /// Waits until a datagram is due, by poll(2).
    fn wait(socket: &Datagrams) {
        let mut entry = libc::pollfd { fd: socket.as_raw_fd(), events: libc::POLLIN, revents: 0 };
        // SAFETY: poll reads and writes the one entry.
        assert_eq!(unsafe { libc::poll(&mut entry, 1, 10_000) }, 1);
    }

    fn to(socket: &Datagrams, payload: &'static [u8]) -> Outgoing<'static> {
        let destination = socket.local_address().unwrap();
        Outgoing { destination, source: None, interface: None, payload }
    }

    #[test]
    fn a_datagram_tells_where_it_came_from_and_how_far() {
        for localhost in LOCALHOSTS {
            let address = localhost.parse().unwrap();
            let receiver = Datagrams::bind(address, &DatagramOptions::default()).unwrap();
            let loopback = interface_index("lo").unwrap();
            let mut buffer = [0; 256];
            let mut found = Vec::new();
            for ttl in [1, 64, 254, 255] {
                let options = DatagramOptions {
                    ttl: Some(ttl),
                    traffic_class: Some(0xc0),
                    ..DatagramOptions::default()
                };
                let sender = Datagrams::bind(address, &options).unwrap();
                assert_eq!(sender.send(&[to(&receiver, b"hello")]).unwrap(), 1);
                wait(&receiver);
                receiver.receive(&mut buffer, 64, &mut found).unwrap();
                let [received] = found[..] else { panic!("{found:?}") };
                assert_eq!(received.source, sender.local_address().unwrap());
                assert_eq!(received.local, Some(address.ip()));
                assert_eq!(received.interface, Some(loopback));
                assert_eq!(received.ttl, Some(ttl));
                assert!(!received.truncated);
                assert_eq!(received.payload(&buffer), b"hello");
            }
            let error = receiver.receive(&mut buffer, 64, &mut found).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
            assert!(found.is_empty());
        }
    }

    #[test]
    fn an_address_of_nobody_can_be_bound_only_on_request() {
        for text in ["192.0.2.77:0", "[2001:db8::77]:0"] {
            let address: SocketAddr = text.parse().unwrap();
            let plain = DatagramOptions::default();
            let error = Datagrams::bind(address, &plain).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::AddrNotAvailable, "{text}");
            let free = DatagramOptions { freebind: true, ..plain };
            let bound = Datagrams::bind(address, &free).unwrap().local_address().unwrap();
            assert_eq!(bound.ip(), address.ip());
        }
    }

    #[test]
    fn source_and_interface_can_be_chosen() {
        let any = "0.0.0.0:0".parse().unwrap();
        let receiver =
            Datagrams::bind("127.0.0.9:0".parse().unwrap(), &DatagramOptions::default()).unwrap();
        let sender = Datagrams::bind(any, &DatagramOptions::default()).unwrap();
        let source: IpAddr = "127.0.0.77".parse().unwrap();
        let outgoing = Outgoing {
            source: Some(source),
            interface: Some(interface_index("lo").unwrap()),
            ..to(&receiver, b"x")
        };
        sender.send(&[outgoing]).unwrap();
        wait(&receiver);
        let (mut buffer, mut found) = ([0; 64], Vec::new());
        receiver.receive(&mut buffer, 64, &mut found).unwrap();
        assert_eq!(found[0].source.ip(), source);
        assert_eq!(found[0].local, Some("127.0.0.9".parse().unwrap()));
        // An interface that does not lead there is an error, not a detour.
        let wrong = Outgoing { interface: Some(u32::MAX >> 1), ..outgoing };
        sender.send(&[wrong]).unwrap_err();
        let receiver =
            Datagrams::bind("[::1]:0".parse().unwrap(), &DatagramOptions::default()).unwrap();
        let sender =
            Datagrams::bind("[::]:0".parse().unwrap(), &DatagramOptions::default()).unwrap();
        let source: IpAddr = "::1".parse().unwrap();
        let outgoing = Outgoing { source: Some(source), ..to(&receiver, b"y") };
        sender.send(&[outgoing]).unwrap();
        wait(&receiver);
        receiver.receive(&mut buffer, 64, &mut found).unwrap();
        assert_eq!(found[0].source.ip(), source);
        let foreign = Outgoing { source: Some("2001:db8::1".parse().unwrap()), ..outgoing };
        sender.send(&[foreign]).unwrap_err();
    }

    #[test]
    fn batches_keep_their_order_and_their_bound() {
        for localhost in LOCALHOSTS {
            let options = DatagramOptions::default();
            let receiver = Datagrams::bind(localhost.parse().unwrap(), &options).unwrap();
            let sender = Datagrams::bind(localhost.parse().unwrap(), &options).unwrap();
            let payloads: Vec<[u8; 4]> = (0..100_u32).map(u32::to_be_bytes).collect();
            let batch: Vec<Outgoing<'_>> = payloads
                .iter()
                .map(|payload| Outgoing {
                    destination: receiver.local_address().unwrap(),
                    source: None,
                    interface: None,
                    payload,
                })
                .collect();
            let mut rest = &batch[..];
            let mut calls = 0;
            while !rest.is_empty() {
                rest = &rest[sender.send(rest).unwrap()..];
                calls += 1;
            }
            assert_eq!(calls, 100_usize.div_ceil(BATCH));
            wait(&receiver);
            let mut buffer = vec![0; 4096];
            let (mut found, mut sizes, mut seen) = (Vec::new(), Vec::new(), Vec::new());
            while receiver.receive(&mut buffer, 8, &mut found).is_ok() {
                sizes.push(found.len());
                seen.extend(found.iter().map(|received| received.payload(&buffer).to_vec()));
            }
            assert_eq!(seen, payloads);
            assert_eq!(sizes, [32, 32, 32, 4]);
            // A buffer with places for two takes two.
            sender.send(&batch[..5]).unwrap();
            wait(&receiver);
            receiver.receive(&mut buffer[..23], 8, &mut found).unwrap();
            assert_eq!(found.len(), 2);
        }
    }

    #[test]
    fn a_long_datagram_is_cut_and_says_so() {
        let receiver =
            Datagrams::bind("127.0.0.1:0".parse().unwrap(), &DatagramOptions::default()).unwrap();
        let sender =
            Datagrams::bind("127.0.0.1:0".parse().unwrap(), &DatagramOptions::default()).unwrap();
        sender.send(&[to(&receiver, &[7; 100]), to(&receiver, b"")]).unwrap();
        wait(&receiver);
        let (mut buffer, mut found) = ([0; 64], Vec::new());
        receiver.receive(&mut buffer, 32, &mut found).unwrap();
        assert_eq!(found[0].payload(&buffer), [7; 32]);
        assert!(found[0].truncated);
        assert_eq!(found[1].payload(&buffer), b"");
        assert!(!found[1].truncated);
        // Without a place nothing is taken, and nothing is written.
        sender.send(&[to(&receiver, b"x")]).unwrap();
        wait(&receiver);
        receiver.receive(&mut [], 32, &mut found).unwrap();
        assert!(found.is_empty());
    }

    /// Waits until a connected socket has something to say, by poll(2).
    fn wait_connected(socket: &Connected) {
        let mut entry = libc::pollfd { fd: socket.as_raw_fd(), events: libc::POLLIN, revents: 0 };
        // SAFETY: poll reads and writes the one entry.
        assert_eq!(unsafe { libc::poll(&mut entry, 1, 10_000) }, 1);
    }

    #[test]
    fn a_connected_socket_gets_answers_of_all_sizes_and_tells_of_lost_ends() {
        for localhost in LOCALHOSTS {
            let options = DatagramOptions::default();
            let target = Datagrams::bind(localhost.parse().unwrap(), &options).unwrap();
            let socket = Connected::connect(target.local_address().unwrap()).unwrap();
            socket.send(b"question").unwrap();
            wait(&target);
            let (mut buffer, mut found) = (vec![0; 65_536], Vec::new());
            target.receive(&mut buffer, 64, &mut found).unwrap();
            let answer = |payload: &'static [u8]| Outgoing {
                destination: found[0].source,
                source: None,
                interface: None,
                payload,
            };
            target.send(&[answer(b"yes"), answer(b""), answer(&[7; 65])]).unwrap();
            wait_connected(&socket);
            let mut arrived = Vec::new();
            socket.receive(&mut buffer[..128], 64, &mut arrived).unwrap();
            let all = |length| Arrived { length, truncated: false };
            assert_eq!(arrived, [all(3), all(0)], "as many as there are places");
            assert_eq!(&buffer[..3], b"yes");
            socket.receive(&mut buffer, 64, &mut arrived).unwrap();
            assert_eq!(arrived, [Arrived { length: 64, truncated: true }]);
            let error = socket.receive(&mut buffer, 64, &mut arrived).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
            assert!(arrived.is_empty());
        }
    }

    #[test]
    fn a_connected_socket_is_told_that_nobody_listens() {
        for localhost in LOCALHOSTS {
            let options = DatagramOptions::default();
            let target = Datagrams::bind(localhost.parse().unwrap(), &options).unwrap();
            let socket = Connected::connect(target.local_address().unwrap()).unwrap();
            drop(target);
            socket.send(b"").unwrap();
            wait_connected(&socket);
            let error = socket.receive(&mut [0; 64], 64, &mut Vec::new()).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
            socket.send(b"again").unwrap();
            wait_connected(&socket);
            let error = socket.send(b"and again").unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
        }
    }

    #[test]
    fn a_port_has_one_owner_in_each_family() {
        let options = DatagramOptions::default();
        let first = Datagrams::bind("0.0.0.0:0".parse().unwrap(), &options).unwrap();
        let address = first.local_address().unwrap();
        let error = Datagrams::bind(address, &options).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
        let six = SocketAddr::new("::".parse().unwrap(), address.port());
        Datagrams::bind(six, &options).unwrap();
    }

    #[test]
    fn broken_control_messages_end_the_list() {
        let mut control = [0; CONTROL];
        let info =
            libc::in6_pktinfo { ipi6_addr: libc::in6_addr { s6_addr: [1; 16] }, ipi6_ifindex: 9 };
        let names = (libc::IPPROTO_IPV6, libc::IPV6_PKTINFO);
        let length = write_control(&mut control, names, info).unwrap();
        let count = |octets: &[u8]| ControlMessages { rest: octets }.count();
        assert_eq!(count(&control[..length]), 1);
        assert_eq!(count(&control), 1, "zeros are no message");
        for cut in 0..CONTROL_HEADER + size_of::<libc::in6_pktinfo>() {
            assert_eq!(count(&control[..cut]), 0, "{cut}");
        }
        control[..8].fill(0xff);
        assert_eq!(count(&control), 0);
    }

    #[test]
    fn interfaces_have_names() {
        assert!(interface_index("lo").unwrap() > 0);
        let error = interface_index("no-such-one").unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
        assert_eq!(interface_index("l\0o").unwrap_err().kind(), io::ErrorKind::InvalidInput);
    }
}
