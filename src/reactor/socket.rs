//! TCP sockets and their options: all of them non-blocking and closed on exec.
#![allow(unsafe_code)]

use std::io;
use std::mem::size_of;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd, AsRawFd, FromRawFd, IntoRawFd};
use std::time::Duration;

use mio::net::{TcpListener, TcpStream};
use socket2::{Domain, Protocol, SockAddr, SockRef, Socket, TcpKeepalive, Type};

/// The longest TCP MD5 key that Linux takes, in bytes.
pub const MD5_KEY_LIMIT: usize = libc::TCP_MD5SIG_MAXKEYLEN;

/// The family of a socket, for options that each family names differently.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// IPv4
    V4,
    /// IPv6
    V6,
}

impl From<IpAddr> for Family {
    fn from(address: IpAddr) -> Family {
        if address.is_ipv4() { Family::V4 } else { Family::V6 }
    }
}

impl From<SocketAddr> for Family {
    fn from(address: SocketAddr) -> Family {
        Family::from(address.ip())
    }
}

impl Family {
    fn domain(self) -> Domain {
        match self {
            Family::V4 => Domain::IPV4,
            Family::V6 => Domain::IPV6,
        }
    }
}

/// What to set on a socket before it connects.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ConnectOptions {
    /// The local address; port 0 lets the kernel choose one.
    pub source: Option<SocketAddr>,
    /// TTL (IPv6: hop limit) of our packets.
    pub ttl: Option<u8>,
    /// Packets with a lower TTL are dropped (GTSM, RFC 5082).
    pub minimum_ttl: Option<u8>,
    /// The TCP MD5 key (RFC 2385), at most [`MD5_KEY_LIMIT`] bytes.
    pub md5_key: Option<Vec<u8>>,
    /// How long sent bytes may stay unacknowledged (RFC 5482).
    pub user_timeout: Option<Duration>,
    /// The whole octet, DSCP in its upper six bits: CS6 is 0xc0.
    pub traffic_class: Option<u8>,
    /// Send small segments at once (TCP_NODELAY).
    pub nodelay: bool,
    /// Let `source` be an address that this machine does not have.
    pub freebind: bool,
}

/// What to set on a socket before it listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListenOptions {
    /// Bind although connections of an earlier process are in TIME_WAIT.
    pub reuse_address: bool,
    /// Bind an address that this machine does not have (yet).
    pub freebind: bool,
    /// An IPv6 socket takes no IPv4 connections.
    pub v6_only: bool,
    /// TTL (IPv6: hop limit) of our packets; accepted sockets inherit it.
    pub ttl: Option<u8>,
    /// Packets with a lower TTL are dropped (GTSM, RFC 5082); inherited too.
    pub minimum_ttl: Option<u8>,
    /// The whole octet, DSCP in its upper six bits; inherited too.
    pub traffic_class: Option<u8>,
    /// Most connections that wait to be accepted; the kernel cuts it to
    /// `net.core.somaxconn`.
    pub backlog: i32,
}

impl Default for ListenOptions {
    fn default() -> Self {
        ListenOptions {
            reuse_address: true,
            freebind: false,
            v6_only: false,
            ttl: None,
            minimum_ttl: None,
            traffic_class: None,
            backlog: 4096,
        }
    }
}

/// Starts a connection. That it is under way is success; its end comes as an
/// event, and [`connect_finished`] tells which end.
///
/// Errors: NetworkUnreachable where this machine has no address to reach
/// `remote` from; AddrNotAvailable is left to mean that no port is free, or
/// that `source` cannot be had.
pub fn connect(remote: SocketAddr, options: &ConnectOptions) -> io::Result<TcpStream> {
    let family = Family::from(remote);
    let socket = new_socket(family)?;
    if options.nodelay {
        socket.set_tcp_nodelay(true)?;
    }
    set_hops(&socket, family, options.ttl, options.minimum_ttl, options.traffic_class)?;
    if let Some(timeout) = options.user_timeout {
        set_user_timeout(&socket, timeout)?;
    }
    if let Some(key) = &options.md5_key {
        set_md5_key(&socket, remote.ip(), None, Some(key))?;
    }
    if let Some(source) = options.source {
        bind_source(&socket, family, source, options.freebind)?;
    }
    match socket.connect(&SockAddr::from(remote)) {
        Err(error) if error.raw_os_error() == Some(libc::EINPROGRESS) => {}
        Err(error) if is_no_address(&error) && !has_address_towards(remote) => {
            let text = "this machine has no address to reach it from";
            return Err(io::Error::new(io::ErrorKind::NetworkUnreachable, text));
        }
        Err(error) => return Err(error),
        Ok(()) => {}
    }
    // SAFETY: into_raw_fd gives up the ownership that from_raw_fd takes.
    Ok(unsafe { TcpStream::from_raw_fd(socket.into_raw_fd()) })
}

fn is_no_address(error: &io::Error) -> bool {
    error.raw_os_error() == Some(libc::EADDRNOTAVAIL)
}

/// Whether this machine has an address to reach `remote` from. connect(2) of a
/// stream has one error for that and for the lack of a free port; a datagram
/// socket, whose connect sends nothing, has ports of its own.
fn has_address_towards(remote: SocketAddr) -> bool {
    let domain = Family::from(remote).domain();
    let connected = Socket::new(domain, Type::DGRAM.nonblocking(), None)
        .and_then(|socket| socket.connect(&SockAddr::from(remote)));
    !connected.is_err_and(|error| is_no_address(&error))
}

/// Binds a socket and lets it listen.
pub fn listen(address: SocketAddr, options: &ListenOptions) -> io::Result<TcpListener> {
    let family = Family::from(address);
    let socket = new_socket(family)?;
    socket.set_reuse_address(options.reuse_address)?;
    if family == Family::V6 {
        socket.set_only_v6(options.v6_only)?;
    }
    if options.freebind {
        set_freebind(&socket, family)?;
    }
    set_hops(&socket, family, options.ttl, options.minimum_ttl, options.traffic_class)?;
    socket.bind(&SockAddr::from(address))?;
    socket.listen(options.backlog)?;
    // SAFETY: into_raw_fd gives up the ownership that from_raw_fd takes.
    Ok(unsafe { TcpListener::from_raw_fd(socket.into_raw_fd()) })
}

/// The next connection that waits, by accept4(2).
pub fn accept(listener: &TcpListener) -> io::Result<(TcpStream, SocketAddr)> {
    listener.accept()
}

fn new_socket(family: Family) -> io::Result<Socket> {
    Socket::new(family.domain(), Type::STREAM.nonblocking(), Some(Protocol::TCP))
}

fn set_hops(
    socket: &Socket,
    family: Family,
    ttl: Option<u8>,
    minimum_ttl: Option<u8>,
    traffic_class: Option<u8>,
) -> io::Result<()> {
    if let Some(ttl) = ttl {
        set_ttl(socket, family, ttl)?;
    }
    if let Some(minimum) = minimum_ttl {
        set_minimum_ttl(socket, family, minimum)?;
    }
    if let Some(class) = traffic_class {
        set_traffic_class(socket, family, class)?;
    }
    Ok(())
}

pub(super) fn set_freebind(socket: &Socket, family: Family) -> io::Result<()> {
    match family {
        Family::V4 => socket.set_freebind_v4(true),
        Family::V6 => socket.set_freebind_v6(true),
    }
}

fn bind_source(
    socket: &Socket,
    family: Family,
    source: SocketAddr,
    freebind: bool,
) -> io::Result<()> {
    if freebind {
        set_freebind(socket, family)?;
    }
    if source.port() == 0 {
        // The port is then chosen at connect, where two connections to
        // different targets may share one. Without the option each bind takes
        // a port of its own, and 28,000 connections use them all up.
        let _ = set_int(socket, libc::IPPROTO_IP, libc::IP_BIND_ADDRESS_NO_PORT, 1);
    }
    socket.bind(&SockAddr::from(source))
}

/// The kernel's `struct tcp_md5sig` (linux/tcp.h).
#[repr(C)]
struct TcpMd5Sig {
    address: libc::sockaddr_storage,
    flags: u8,
    prefix_length: u8,
    key_length: u16,
    interface: libc::c_int,
    key: [u8; MD5_KEY_LIMIT],
}

/// TCP_MD5SIG_FLAG_PREFIX of linux/tcp.h.
const MD5_FLAG_PREFIX: u8 = 1;

/// Sets the TCP MD5 key (RFC 2385) for segments from and to `peer`, or for the
/// whole prefix of `prefix_length` bits around it; `None` removes it, and it is
/// no error if there was none. On a listener it judges the SYN and is
/// inherited.
///
/// Errors: InvalidInput for a key that is empty or longer than
/// [`MD5_KEY_LIMIT`]; OutOfMemory when `net.core.optmem_max` is used up.
pub fn set_md5_key(
    socket: &impl AsRawFd,
    peer: IpAddr,
    prefix_length: Option<u8>,
    key: Option<&[u8]>,
) -> io::Result<()> {
    let bytes = key.unwrap_or_default();
    let mut signature = TcpMd5Sig {
        address: storage(peer),
        flags: 0,
        prefix_length: 0,
        key_length: 0,
        interface: 0,
        key: [0; MD5_KEY_LIMIT],
    };
    match (signature.key.get_mut(..bytes.len()), key) {
        (Some(place), None | Some([_, ..])) => place.copy_from_slice(bytes),
        _ => {
            let text = format!("a TCP MD5 key has 1 to {MD5_KEY_LIMIT} bytes");
            return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
        }
    }
    signature.key_length = u16::try_from(bytes.len()).unwrap_or_default();
    let mut option = libc::TCP_MD5SIG;
    if let Some(length) = prefix_length {
        option = libc::TCP_MD5SIG_EXT;
        signature.flags = MD5_FLAG_PREFIX;
        signature.prefix_length = length;
    }
    match set_option(socket, libc::IPPROTO_TCP, option, &signature) {
        Err(error) if error.raw_os_error() == Some(libc::ENOMEM) => Err(io::Error::new(
            io::ErrorKind::OutOfMemory,
            "no room for another TCP MD5 key; raise net.core.optmem_max",
        )),
        Err(error) if key.is_none() && error.raw_os_error() == Some(libc::ENOENT) => Ok(()),
        other => other,
    }
}

/// An address with port 0 as the kernel's sockaddr_storage.
fn storage(address: IpAddr) -> libc::sockaddr_storage {
    let mut storage = SockAddr::from(SocketAddr::new(address, 0)).as_storage();
    // SAFETY: a SockAddrStorage is a sockaddr_storage of the C library.
    unsafe { *storage.view_as::<libc::sockaddr_storage>() }
}

/// Sets the TTL (IPv6: hop limit) of our packets.
pub fn set_ttl(socket: &impl AsRawFd, family: Family, ttl: u8) -> io::Result<()> {
    match family {
        Family::V4 => set_int(socket, libc::IPPROTO_IP, libc::IP_TTL, ttl.into()),
        Family::V6 => set_int(socket, libc::IPPROTO_IPV6, libc::IPV6_UNICAST_HOPS, ttl.into()),
    }
}

/// Lets the TTL of what is sent be the system's again.
pub fn set_default_ttl(socket: &impl AsRawFd, family: Family) -> io::Result<()> {
    match family {
        Family::V4 => set_int(socket, libc::IPPROTO_IP, libc::IP_TTL, -1),
        Family::V6 => set_int(socket, libc::IPPROTO_IPV6, libc::IPV6_UNICAST_HOPS, -1),
    }
}

/// Drops packets whose TTL (IPv6: hop limit) is lower (GTSM, RFC 5082); 0
/// drops none.
pub fn set_minimum_ttl(socket: &impl AsRawFd, family: Family, minimum: u8) -> io::Result<()> {
    match family {
        Family::V4 => set_int(socket, libc::IPPROTO_IP, libc::IP_MINTTL, minimum.into()),
        Family::V6 => set_int(socket, libc::IPPROTO_IPV6, libc::IPV6_MINHOPCOUNT, minimum.into()),
    }
}

/// Sets the whole traffic class octet; DSCP is its upper six bits.
pub fn set_traffic_class(socket: &impl AsRawFd, family: Family, class: u8) -> io::Result<()> {
    match family {
        Family::V4 => set_int(socket, libc::IPPROTO_IP, libc::IP_TOS, class.into()),
        Family::V6 => set_int(socket, libc::IPPROTO_IPV6, libc::IPV6_TCLASS, class.into()),
    }
}

/// Sets how long sent bytes may stay unacknowledged (RFC 5482); zero is the
/// system's own limit.
pub fn set_user_timeout(socket: &impl AsFd, timeout: Duration) -> io::Result<()> {
    SockRef::from(socket).set_tcp_user_timeout(Some(timeout))
}

/// Sends keep-alive probes after `idle` without a segment. On a listener,
/// accepted sockets inherit it.
pub fn set_keepalive(socket: &impl AsFd, idle: Duration) -> io::Result<()> {
    SockRef::from(socket).set_tcp_keepalive(&TcpKeepalive::new().with_time(idle))
}

/// Whether keep-alive probes are sent.
pub fn keepalive(socket: &impl AsFd) -> io::Result<bool> {
    SockRef::from(socket).keepalive()
}

/// Sends small segments at once (TCP_NODELAY). On a listener, accepted sockets
/// inherit it.
pub fn set_nodelay(socket: &impl AsFd) -> io::Result<()> {
    SockRef::from(socket).set_tcp_nodelay(true)
}

/// Makes the close of this socket a reset, so that the peer cannot take it for
/// the end of a complete stream.
pub fn reset_on_close(socket: &impl AsFd) -> io::Result<()> {
    SockRef::from(socket).set_linger(Some(Duration::ZERO))
}

/// Bytes that were written and are not yet acknowledged (SIOCOUTQ).
pub fn unsent_bytes(socket: &impl AsRawFd) -> io::Result<usize> {
    let mut count: libc::c_int = 0;
    // SAFETY: the ioctl (SIOCOUTQ is TIOCOUTQ) writes one int.
    let result = unsafe { libc::ioctl(socket.as_raw_fd(), libc::TIOCOUTQ, &mut count) };
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(usize::try_from(count).unwrap_or_default())
}

/// The error that is pending on a socket; it is pending no more.
pub fn take_error(socket: &impl AsFd) -> io::Result<Option<io::Error>> {
    SockRef::from(socket).take_error()
}

/// The lowest port that Linux chooses for our own end of a connection, unless
/// `net.ipv4.ip_local_port_range` is another one.
const FIRST_CHOSEN_PORT: u16 = 32_768;

/// Whether both ends of a connection are this one socket: where nobody listens
/// on a port of this machine, the system may choose that very port for our own
/// end, and the two meet (RFC 9293 §3.5). Only ports that it chooses, on the
/// usual addresses of this machine, are worth the system call.
pub fn met_itself(stream: &TcpStream, peer: SocketAddr) -> bool {
    peer.port() >= FIRST_CHOSEN_PORT
        && peer.ip().is_loopback()
        && stream.local_addr().is_ok_and(|own| own == peer)
}

/// Whether a connection has been made; an error says that it failed.
pub fn connect_finished(stream: &TcpStream) -> io::Result<bool> {
    if let Some(error) = stream.take_error()? {
        return Err(error);
    }
    match stream.peer_addr() {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotConnected => Ok(false),
        Err(error) => Err(error),
    }
}

/// Drops up to `scratch.len()` bytes from the front of a stream's receive
/// queue, and returns how many. With [`TcpStream::peek`] it takes only what
/// could be passed on. `scratch` may be overwritten (recv(2): for TCP,
/// MSG_TRUNC discards).
pub fn discard(stream: &TcpStream, scratch: &mut [u8]) -> io::Result<usize> {
    stream.try_io(|| {
        let (start, len) = (scratch.as_mut_ptr().cast(), scratch.len());
        // SAFETY: recv writes at most `len` bytes to `start`, the slice.
        let count = unsafe { libc::recv(stream.as_raw_fd(), start, len, libc::MSG_TRUNC) };
        usize::try_from(count).map_err(|_| io::Error::last_os_error())
    })
}

/// Whether an error of socket(2), connect(2) or accept4(2) says that this
/// machine has no descriptor, memory or port left: the other end is not to
/// blame, and it passes when something else is given back.
pub fn is_exhaustion(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(
            libc::EMFILE
                | libc::ENFILE
                | libc::ENOBUFS
                | libc::ENOMEM
                | libc::ENOSPC
                | libc::EADDRNOTAVAIL
                | libc::EAGAIN
        )
    )
}

/// Whether an error of accept4(2) is that of the one connection that it took
/// out of the queue, so that the next one can be accepted at once: the pending
/// errors of TCP/IP that accept(2) lists, and a filter's refusal.
pub fn is_of_one_connection(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(
            libc::ECONNABORTED
                | libc::EINTR
                | libc::EPERM
                | libc::EPROTO
                | libc::ENOPROTOOPT
                | libc::EOPNOTSUPP
                | libc::ENETDOWN
                | libc::ENETUNREACH
                | libc::EHOSTDOWN
                | libc::EHOSTUNREACH
                | libc::ENONET
        )
    )
}

/// Whether an error says that the system has no IPv6.
pub fn has_no_ipv6(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EAFNOSUPPORT | libc::EADDRNOTAVAIL))
}

pub(super) fn set_int(
    socket: &impl AsRawFd,
    level: libc::c_int,
    name: libc::c_int,
    value: libc::c_int,
) -> io::Result<()> {
    set_option(socket, level, name, &value)
}

fn set_option<T>(
    socket: &impl AsRawFd,
    level: libc::c_int,
    name: libc::c_int,
    value: &T,
) -> io::Result<()> {
    let length = libc::socklen_t::try_from(size_of::<T>()).unwrap_or_default();
    // SAFETY: setsockopt reads `length` bytes, the whole of `value`.
    let result = unsafe {
        libc::setsockopt(socket.as_raw_fd(), level, name, std::ptr::from_ref(value).cast(), length)
    };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};

    const LOCALHOSTS: [&str; 2] = ["127.0.0.1:0", "[::1]:0"];

    /// Waits until an event is due on the stream, by poll(2).
    fn wait(socket: &impl AsRawFd, events: i16, milliseconds: i32) -> bool {
        let mut entry = libc::pollfd { fd: socket.as_raw_fd(), events, revents: 0 };
        // SAFETY: poll reads and writes the one entry.
        unsafe { libc::poll(&mut entry, 1, milliseconds) == 1 }
    }

    fn finish(stream: &TcpStream) -> bool {
        wait(stream, libc::POLLOUT, 10_000) && connect_finished(stream).unwrap()
    }

    fn get_int(socket: &impl AsRawFd, level: i32, name: i32) -> i32 {
        let mut value = 0_i32;
        let mut length = size_of::<i32>() as libc::socklen_t;
        let place = std::ptr::from_mut(&mut value).cast();
        // SAFETY: getsockopt writes at most `length` bytes into `value`.
        let result =
            unsafe { libc::getsockopt(socket.as_raw_fd(), level, name, place, &mut length) };
        assert_eq!(result, 0, "{}", io::Error::last_os_error());
        value
    }

    #[test]
    fn options_are_on_the_socket_before_it_connects() {
        let names = [
            (libc::IPPROTO_IP, [libc::IP_TTL, libc::IP_MINTTL, libc::IP_TOS]),
            (
                libc::IPPROTO_IPV6,
                [libc::IPV6_UNICAST_HOPS, libc::IPV6_MINHOPCOUNT, libc::IPV6_TCLASS],
            ),
        ];
        for (localhost, (level, [ttl, minimum, class])) in LOCALHOSTS.into_iter().zip(names) {
            let address: SocketAddr = localhost.parse().unwrap();
            let listener = listen(
                address,
                &ListenOptions {
                    v6_only: true,
                    ttl: Some(255),
                    minimum_ttl: Some(253),
                    traffic_class: Some(0xc0),
                    ..ListenOptions::default()
                },
            )
            .unwrap();
            let options = ConnectOptions {
                source: Some(address),
                ttl: Some(254),
                minimum_ttl: Some(255),
                user_timeout: Some(Duration::from_secs(9)),
                traffic_class: Some(0xc0),
                nodelay: true,
                freebind: true,
                ..ConnectOptions::default()
            };
            let stream = connect(listener.local_addr().unwrap(), &options).unwrap();
            assert!(finish(&stream));
            assert!(stream.nodelay().unwrap());
            assert_eq!(get_int(&stream, level, ttl), 254);
            assert_eq!(get_int(&stream, level, minimum), 255);
            assert_eq!(get_int(&stream, level, class), 0xc0);
            assert_eq!(get_int(&stream, libc::IPPROTO_TCP, libc::TCP_USER_TIMEOUT), 9000);
            let (accepted, peer) = accept(&listener).unwrap();
            assert_eq!(peer, stream.local_addr().unwrap());
            assert_eq!(get_int(&accepted, level, ttl), 255, "inherited");
            assert_eq!(get_int(&accepted, level, minimum), 253, "inherited");
            set_keepalive(&accepted, Duration::from_secs(180)).unwrap();
            assert_eq!(get_int(&accepted, libc::IPPROTO_TCP, libc::TCP_KEEPIDLE), 180);
            // SAFETY: both only read flags.
            let (status, descriptor) = unsafe {
                let raw = accepted.as_raw_fd();
                (libc::fcntl(raw, libc::F_GETFL), libc::fcntl(raw, libc::F_GETFD))
            };
            assert_ne!(status & libc::O_NONBLOCK, 0);
            assert_ne!(descriptor & libc::FD_CLOEXEC, 0);
        }
    }

    #[test]
    fn packets_with_a_low_ttl_are_dropped() {
        for localhost in LOCALHOSTS {
            let options = ListenOptions {
                ttl: Some(255),
                minimum_ttl: Some(255),
                ..ListenOptions::default()
            };
            let listener = listen(localhost.parse().unwrap(), &options).unwrap();
            let remote = listener.local_addr().unwrap();
            let near = ConnectOptions { ttl: Some(255), ..ConnectOptions::default() };
            assert!(finish(&connect(remote, &near).unwrap()), "{localhost}");
            let far = connect(remote, &ConnectOptions { ttl: Some(254), ..near }).unwrap();
            assert!(!wait(&far, libc::POLLOUT, 100), "{localhost}");
            assert!(!connect_finished(&far).unwrap());
        }
    }

    #[test]
    fn md5_keys_let_in_who_has_them() {
        for localhost in LOCALHOSTS {
            for prefix_length in [None, Some(8)] {
                let address: SocketAddr = localhost.parse().unwrap();
                let listener = listen(address, &ListenOptions::default()).unwrap();
                set_md5_key(&listener, address.ip(), prefix_length, Some(b"right")).unwrap();
                let remote = listener.local_addr().unwrap();
                let with = |key: Option<&[u8]>| ConnectOptions {
                    md5_key: key.map(<[u8]>::to_vec),
                    ..ConnectOptions::default()
                };
                let right = connect(remote, &with(Some(b"right"))).unwrap();
                assert!(finish(&right), "{localhost} {prefix_length:?}");
                let (mut accepted, _) = accept(&listener).unwrap();
                accepted.write_all(b"signed").unwrap();
                assert!(wait(&right, libc::POLLIN, 10_000));
                for key in [Some(&b"wrong"[..]), None] {
                    let wrong = connect(remote, &with(key)).unwrap();
                    assert!(!wait(&wrong, libc::POLLOUT, 100), "{localhost} {key:?}");
                }
                set_md5_key(&listener, address.ip(), prefix_length, None).unwrap();
                set_md5_key(&listener, address.ip(), prefix_length, None).unwrap();
                assert!(finish(&connect(remote, &with(None)).unwrap()), "removed");
            }
        }
    }

    #[test]
    fn md5_keys_have_a_length() {
        let listener = listen("127.0.0.1:0".parse().unwrap(), &ListenOptions::default()).unwrap();
        let peer = "127.0.0.1".parse().unwrap();
        for key in [&[][..], &[1; MD5_KEY_LIMIT + 1]] {
            let error = set_md5_key(&listener, peer, None, Some(key)).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
        }
        set_md5_key(&listener, peer, None, Some(&[1; MD5_KEY_LIMIT])).unwrap();
    }

    #[test]
    fn a_refused_connection_is_an_error() {
        let unused = listen("127.0.0.1:0".parse().unwrap(), &ListenOptions::default()).unwrap();
        let remote = unused.local_addr().unwrap();
        drop(unused);
        let outcome = connect(remote, &ConnectOptions::default()).and_then(|stream| {
            wait(&stream, libc::POLLOUT, 10_000);
            connect_finished(&stream)
        });
        assert_eq!(outcome.unwrap_err().kind(), io::ErrorKind::ConnectionRefused);
    }

    #[test]
    fn dual_stack_is_a_choice_and_a_port_has_one_owner() {
        let any: SocketAddr = "[::]:0".parse().unwrap();
        let dual = listen(any, &ListenOptions::default()).unwrap();
        let port = dual.local_addr().unwrap().port();
        let v4 = SocketAddr::from(([127, 0, 0, 1], port));
        assert!(finish(&connect(v4, &ConnectOptions::default()).unwrap()));
        let error = listen(v4, &ListenOptions::default()).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
        let own = ListenOptions { v6_only: true, ..ListenOptions::default() };
        let v6 = listen(any, &own).unwrap();
        let port = v6.local_addr().unwrap().port();
        listen(SocketAddr::from(([127, 0, 0, 1], port)), &ListenOptions::default()).unwrap();
    }

    #[test]
    fn an_address_of_nobody_can_be_bound_only_on_request() {
        for text in ["192.0.2.77:0", "[2001:db8::77]:0"] {
            let address: SocketAddr = text.parse().unwrap();
            let error = listen(address, &ListenOptions::default()).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::AddrNotAvailable, "{text}");
            let free = ListenOptions { freebind: true, ..ListenOptions::default() };
            let bound = listen(address, &free).unwrap().local_addr().unwrap();
            assert_eq!(bound.ip(), address.ip());
        }
    }

    #[test]
    fn bytes_can_be_looked_at_discarded_and_counted() {
        let listener = listen("127.0.0.1:0".parse().unwrap(), &ListenOptions::default()).unwrap();
        let options = ConnectOptions::default();
        let mut stream = connect(listener.local_addr().unwrap(), &options).unwrap();
        assert!(finish(&stream));
        let (mut accepted, _) = accept(&listener).unwrap();
        stream.write_all(b"hello world").unwrap();
        assert!(wait(&accepted, libc::POLLIN, 10_000));
        let mut scratch = [0; 64];
        assert_eq!(accepted.peek(&mut scratch).unwrap(), 11);
        assert_eq!(discard(&accepted, &mut scratch[..6]).unwrap(), 6);
        assert_eq!(accepted.read(&mut scratch).unwrap(), 5);
        assert_eq!(&scratch[..5], b"world");
        let error = discard(&accepted, &mut scratch).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
        // What the peer's full window keeps back is unsent.
        let big = vec![0; 1 << 20];
        while stream.write(&big).is_ok() {}
        assert!(unsent_bytes(&stream).unwrap() > 0);
        reset_on_close(&accepted).unwrap();
        drop(accepted);
        assert!(wait(&stream, libc::POLLHUP, 10_000));
        let error = take_error(&stream).unwrap().unwrap();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
    }
}
