//! Addresses of this host's interfaces, put there and taken away by rtnetlink(7).
//!
//! The kernel acts on a request while it is being sent, and its answer lies in
//! the socket when that returns, so there is nothing to wait for. But it does
//! so under one lock with every other change of the network's configuration, as
//! `ip` does.

use std::io::{self, Read};
use std::net::IpAddr;

use socket2::{Domain, Protocol, Socket, Type};

use super::socket::set_int;

/// Longest datagram that is read. The answers to our requests are shorter: an
/// acknowledgement with the kernel's words, a route, or all there is to know of
/// an interface, some 2 KiB.
const ANSWER: usize = 16 * 1024;
/// Most datagrams that are looked at for one answer: those that are left of a
/// request whose answer was not understood.
const ATTEMPTS: usize = 16;

/// The index of the loopback interface, which is the same in each namespace
/// (LOOPBACK_IFINDEX of net/net_namespace.h).
const LOOPBACK: u32 = 1;

/// What the kernel headers call the parts of a message: linux/netlink.h,
/// linux/rtnetlink.h, linux/if_addr.h and linux/if.h.
mod name {
    pub(super) const NLMSG_ERROR: u16 = 2;
    pub(super) const RTM_NEWLINK: u16 = 16;
    pub(super) const RTM_GETLINK: u16 = 18;
    pub(super) const RTM_NEWADDR: u16 = 20;
    pub(super) const RTM_DELADDR: u16 = 21;
    pub(super) const RTM_NEWROUTE: u16 = 24;
    pub(super) const RTM_GETROUTE: u16 = 26;
    pub(super) const NLM_F_REQUEST: u16 = 0x1;
    pub(super) const NLM_F_ACK: u16 = 0x4;
    pub(super) const NLM_F_CAPPED: u16 = 0x100;
    pub(super) const NLM_F_ACK_TLVS: u16 = 0x200;
    pub(super) const NLM_F_EXCL: u16 = 0x200;
    pub(super) const NLM_F_CREATE: u16 = 0x400;
    pub(super) const NLMSGERR_ATTR_MSG: u16 = 1;
    pub(super) const IFA_ADDRESS: u16 = 1;
    pub(super) const IFA_LOCAL: u16 = 2;
    pub(super) const IFA_F_NODAD: u8 = 0x02;
    pub(super) const IFF_UP: u32 = 1;
    pub(super) const RTA_DST: u16 = 1;
    pub(super) const RTN_LOCAL: u8 = 2;
    pub(super) const RT_SCOPE_UNIVERSE: u8 = 0;
    pub(super) const RT_SCOPE_HOST: u8 = 254;
}

/// Octets of `struct nlmsghdr`.
const HEADER: usize = 16;

/// What came of an attempt to add an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Added {
    /// It is there now, and was not before.
    New,
    /// It was there already.
    WasThere,
}

/// A NETLINK_ROUTE socket.
#[derive(Debug)]
pub struct Netlink {
    socket: Socket,
    sequence: u32,
}

impl Netlink {
    /// Opens the socket, which needs no privilege.
    ///
    /// # Errors
    /// Those of socket(2).
    pub fn new() -> io::Result<Netlink> {
        let kind = Type::RAW.nonblocking();
        let protocol = Protocol::from(libc::NETLINK_ROUTE);
        let socket = Socket::new(Domain::from(libc::AF_NETLINK), kind, Some(protocol))?;
        // Refusals then come with words and without our own message. A kernel
        // that knows neither is understood as well.
        for option in [libc::NETLINK_EXT_ACK, libc::NETLINK_CAP_ACK] {
            let _ = set_int(&socket, libc::SOL_NETLINK, option, 1);
        }
        Ok(Netlink { socket, sequence: 0 })
    }

    /// Adds an address as a host of its own (/32, /128) to the interface of
    /// this index. On the loopback interface an IPv4 one has the scope of the host,
    /// so that it is not chosen as the source of what others send. For an IPv6 one
    /// no duplicate is searched (RFC 4862 §5.4), because other hosts have the same
    /// on purpose; it can be bound at once, and the kernel makes its route a
    /// moment later.
    ///
    /// # Errors
    /// PermissionDenied without CAP_NET_ADMIN, NotFound without such an
    /// interface, and what else the kernel refuses, in its words.
    pub fn add_address(&mut self, interface: u32, address: IpAddr) -> io::Result<Added> {
        let flags = name::NLM_F_ACK | name::NLM_F_CREATE | name::NLM_F_EXCL;
        let body = address_body(interface, address);
        match self.ask(name::RTM_NEWADDR, flags, &body)? {
            Answer::Done => Ok(Added::New),
            Answer::Refused(libc::EEXIST, _) => Ok(Added::WasThere),
            other => Err(other.into_error()),
        }
    }

    /// Takes an address that is a host of its own from the interface of this
    /// index; returns whether it was there.
    ///
    /// # Errors
    /// As those of [`Netlink::add_address`]. An interface that is gone has taken its
    /// addresses along, which is none.
    pub fn remove_address(&mut self, interface: u32, address: IpAddr) -> io::Result<bool> {
        let body = address_body(interface, address);
        match self.ask(name::RTM_DELADDR, name::NLM_F_ACK, &body)? {
            Answer::Done => Ok(true),
            Answer::Refused(libc::EADDRNOTAVAIL | libc::ENODEV, _) => Ok(false),
            other => Err(other.into_error()),
        }
    }

    /// Whether what is sent to `address` stays on this host: it is the address
    /// of an interface, or a route of the type `local` says so.
    ///
    /// # Errors
    /// Those of the socket, and an answer that is none.
    pub fn is_local(&mut self, address: IpAddr) -> io::Result<bool> {
        match self.ask(name::RTM_GETROUTE, 0, &route_body(address))? {
            Answer::Route(kind) => Ok(kind == name::RTN_LOCAL),
            Answer::Refused(..) => Ok(false),
            other => Err(other.into_error()),
        }
    }

    /// Whether the interface of this index is switched on.
    ///
    /// # Errors
    /// NotFound without such an interface; those of the socket, and an answer
    /// that is none.
    pub fn is_up(&mut self, interface: u32) -> io::Result<bool> {
        match self.ask(name::RTM_GETLINK, 0, &link_body(interface))? {
            Answer::Link(flags) => Ok(flags & name::IFF_UP != 0),
            other => Err(other.into_error()),
        }
    }

    fn ask(&mut self, kind: u16, flags: u16, body: &[u8]) -> io::Result<Answer> {
        self.sequence = self.sequence.wrapping_add(1);
        self.socket.send(&message(kind, flags | name::NLM_F_REQUEST, self.sequence, body))?;
        let mut buffer = [0; ANSWER];
        for _ in 0..ATTEMPTS {
            let count = match (&self.socket).read(&mut buffer) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                other => other?,
            };
            let datagram = buffer.get(..count).unwrap_or_default();
            let found = messages(datagram).find(|message| message.sequence == self.sequence);
            if let Some(answer) = found {
                return Ok(answer.read());
            }
        }
        Err(Answer::Unknown.into_error())
    }
}

/// What the kernel answered.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Answer {
    /// It was done.
    Done,
    /// It was not: the error number, and the kernel's words, which may be none.
    Refused(i32, String),
    /// The type of a route.
    Route(u8),
    /// The flags of an interface.
    Link(u32),
    /// Nothing that we understand.
    Unknown,
}

impl Answer {
    fn into_error(self) -> io::Error {
        let (number, words) = match self {
            Answer::Refused(number, words) => (number, words),
            _ => return io::Error::other("the kernel gave no answer that makes sense"),
        };
        let error = io::Error::from_raw_os_error(number);
        match number {
            libc::EPERM => io::Error::new(
                io::ErrorKind::PermissionDenied,
                "changing the addresses of this host needs the capability CAP_NET_ADMIN",
            ),
            libc::ENODEV => io::Error::new(io::ErrorKind::NotFound, "there is no such interface"),
            _ if words.is_empty() => error,
            _ => io::Error::new(error.kind(), format!("{words} ({error})")),
        }
    }
}

/// One message of the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Message<'a> {
    kind: u16,
    flags: u16,
    sequence: u32,
    body: &'a [u8],
}

impl Message<'_> {
    fn read(&self) -> Answer {
        match self.kind {
            name::NLMSG_ERROR => self.verdict().unwrap_or(Answer::Unknown),
            // The eighth octet of `struct rtmsg`.
            name::RTM_NEWROUTE => self.body.get(7).map_or(Answer::Unknown, |t| Answer::Route(*t)),
            name::RTM_NEWLINK => self.link().map_or(Answer::Unknown, Answer::Link),
            _ => Answer::Unknown,
        }
    }

    /// The flags of `struct ifinfomsg`, its third word.
    fn link(&self) -> Option<u32> {
        let flags = self.body.get(8..)?.first_chunk()?;
        Some(u32::from_ne_bytes(*flags))
    }

    /// `struct nlmsgerr`: a number, which is 0 or that of an error below zero,
    /// and our own message, or its header alone; then there may be attributes.
    fn verdict(&self) -> Option<Answer> {
        let (number, rest) =
            self.body.split_first_chunk().map(|(n, r)| (i32::from_ne_bytes(*n), r))?;
        let number = number.checked_neg().filter(|number| *number >= 0)?;
        if number == 0 {
            return Some(Answer::Done);
        }
        let words = self.has(name::NLM_F_ACK_TLVS).then(|| self.words(rest)).flatten();
        Some(Answer::Refused(number, words.unwrap_or_default()))
    }

    fn words(&self, rest: &[u8]) -> Option<String> {
        let ours = match self.has(name::NLM_F_CAPPED) {
            true => HEADER,
            false => usize::try_from(u32::from_ne_bytes(*rest.first_chunk()?)).ok()?,
        };
        let attributes = rest.get(aligned(ours)?..)?;
        let (_, text) = Attributes(attributes).find(|(k, _)| *k == name::NLMSGERR_ATTR_MSG)?;
        let text = text.split(|octet| *octet == 0).next().unwrap_or_default();
        let is_word = |c: &char| !c.is_control();
        Some(String::from_utf8_lossy(text).chars().filter(is_word).collect())
    }

    fn has(&self, flag: u16) -> bool {
        self.flags & flag != 0
    }
}

/// The messages of one datagram, as far as they are whole.
fn messages(datagram: &[u8]) -> impl Iterator<Item = Message<'_>> {
    let mut rest = datagram;
    std::iter::from_fn(move || {
        let (header, _) = rest.split_first_chunk::<HEADER>()?;
        let [l0, l1, l2, l3, k0, k1, f0, f1, s0, s1, s2, s3, ..] = *header;
        let length = usize::try_from(u32::from_ne_bytes([l0, l1, l2, l3])).ok()?;
        let body = rest.get(HEADER..length)?;
        rest = rest.get(aligned(length)?..).unwrap_or_default();
        Some(Message {
            kind: u16::from_ne_bytes([k0, k1]),
            flags: u16::from_ne_bytes([f0, f1]),
            sequence: u32::from_ne_bytes([s0, s1, s2, s3]),
            body,
        })
    })
}

/// The attributes of a message (`struct nlattr`): type and value, as far as
/// they are whole.
struct Attributes<'a>(&'a [u8]);

impl<'a> Iterator for Attributes<'a> {
    type Item = (u16, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let [l0, l1, k0, k1] = *self.0.first_chunk()?;
        let length = usize::from(u16::from_ne_bytes([l0, l1]));
        let value = self.0.get(4..length)?;
        self.0 = self.0.get(aligned(length)?..).unwrap_or_default();
        Some((u16::from_ne_bytes([k0, k1]), value))
    }
}

/// The next multiple of four, where messages and attributes begin.
fn aligned(length: usize) -> Option<usize> {
    length.checked_next_multiple_of(4)
}

/// A whole message to the kernel.
fn message(kind: u16, flags: u16, sequence: u32, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(HEADER + body.len()).unwrap_or_default();
    let mut bytes = Vec::with_capacity(HEADER + body.len());
    bytes.extend_from_slice(&length.to_ne_bytes());
    bytes.extend_from_slice(&kind.to_ne_bytes());
    bytes.extend_from_slice(&flags.to_ne_bytes());
    bytes.extend_from_slice(&sequence.to_ne_bytes());
    // The kernel fills in our port.
    bytes.extend_from_slice(&0_u32.to_ne_bytes());
    bytes.extend_from_slice(body);
    bytes
}

/// `struct ifaddrmsg` and the address, as a host of its own.
fn address_body(interface: u32, address: IpAddr) -> Vec<u8> {
    let (family, octets) = octets(address);
    // The kernel finds the scope of an IPv6 address by itself.
    let (flags, scope) = match (address, interface) {
        (IpAddr::V6(_), _) => (name::IFA_F_NODAD, name::RT_SCOPE_UNIVERSE),
        (IpAddr::V4(_), LOOPBACK) => (0, name::RT_SCOPE_HOST),
        (IpAddr::V4(_), _) => (0, name::RT_SCOPE_UNIVERSE),
    };
    let mut body = vec![family, bits(&octets), flags, scope];
    body.extend_from_slice(&interface.to_ne_bytes());
    push_attribute(&mut body, name::IFA_LOCAL, &octets);
    push_attribute(&mut body, name::IFA_ADDRESS, &octets);
    body
}

/// `struct rtmsg` that asks for the route to an address.
fn route_body(address: IpAddr) -> Vec<u8> {
    let (family, octets) = octets(address);
    let mut body = vec![family, bits(&octets), 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    push_attribute(&mut body, name::RTA_DST, &octets);
    body
}

/// `struct ifinfomsg` that asks for an interface.
fn link_body(interface: u32) -> Vec<u8> {
    let words = [0, interface, 0, 0];
    words.into_iter().flat_map(u32::to_ne_bytes).collect()
}

fn octets(address: IpAddr) -> (u8, Vec<u8>) {
    let (family, octets) = match address {
        IpAddr::V4(address) => (libc::AF_INET, address.octets().to_vec()),
        IpAddr::V6(address) => (libc::AF_INET6, address.octets().to_vec()),
    };
    (u8::try_from(family).unwrap_or_default(), octets)
}

/// The length of an address in bits.
fn bits(octets: &[u8]) -> u8 {
    u8::try_from(octets.len() * 8).unwrap_or_default()
}

/// Appends an attribute whose value is a multiple of four octets long.
fn push_attribute(body: &mut Vec<u8>, kind: u16, value: &[u8]) {
    let length = u16::try_from(4 + value.len()).unwrap_or_default();
    body.extend_from_slice(&length.to_ne_bytes());
    body.extend_from_slice(&kind.to_ne_bytes());
    body.extend_from_slice(value);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reactor::random::Random;

    fn ip(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    /// An answer as the kernel writes it.
    fn refusal(flags: u16, number: i32, ours: &[u8], attributes: &[u8]) -> Vec<u8> {
        let mut body = (-number).to_ne_bytes().to_vec();
        body.extend_from_slice(ours);
        body.extend_from_slice(attributes);
        message(name::NLMSG_ERROR, flags, 7, &body)
    }

    fn read(datagram: &[u8]) -> Vec<Answer> {
        messages(datagram).map(|message| message.read()).collect()
    }

    /// The words of an attribute, with its zero at the end and what fills it up.
    fn words(text: &str) -> Vec<u8> {
        let mut value = text.as_bytes().to_vec();
        value.push(0);
        let length = u16::try_from(4 + value.len()).expect("short");
        let mut bytes = [length.to_ne_bytes(), name::NLMSGERR_ATTR_MSG.to_ne_bytes()].concat();
        bytes.append(&mut value);
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        bytes
    }

    #[test]
    #[cfg(target_endian = "little")]
    fn requests_are_laid_out_as_the_kernel_reads_them() {
        let flags = name::NLM_F_REQUEST | name::NLM_F_ACK | name::NLM_F_CREATE | name::NLM_F_EXCL;
        let body = address_body(1, ip("192.0.2.10"));
        let mut expected = vec![40, 0, 0, 0, 20, 0, 5, 6, 9, 0, 0, 0, 0, 0, 0, 0];
        expected.extend([2, 32, 0, 254, 1, 0, 0, 0]);
        expected.extend([8, 0, 2, 0, 192, 0, 2, 10, 8, 0, 1, 0, 192, 0, 2, 10]);
        assert_eq!(message(name::RTM_NEWADDR, flags, 9, &body), expected);
        let body = address_body(0x0102, ip("2001:db8::10"));
        assert_eq!(body[..8], [10, 128, 2, 0, 2, 1, 0, 0]);
        assert_eq!(body[8..12], [20, 0, 2, 0]);
        assert_eq!((body[27], body.len()), (0x10, 48));
        assert_eq!(address_body(2, ip("192.0.2.10"))[3], 0, "global, but on lo");
        let route = route_body(ip("192.0.2.10"));
        assert_eq!(route, [2, 32, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 8, 0, 1, 0, 192, 0, 2, 10]);
    }

    #[test]
    fn answers_are_understood_with_and_without_words() {
        let ours = message(name::RTM_NEWADDR, 5, 7, &address_body(1, ip("192.0.2.10")));
        let capped = &ours[..HEADER];
        assert_eq!(read(&refusal(0, 0, &ours, &[])), [Answer::Done]);
        assert_eq!(read(&refusal(name::NLM_F_CAPPED, 0, capped, &[])), [Answer::Done]);
        let bare = || Answer::Refused(17, String::new());
        assert_eq!(read(&refusal(0, 17, &ours, &[])), [bare()]);
        let text = "IPv6 is disabled on this device";
        let spoken = [Answer::Refused(13, text.to_owned())];
        let tlvs = name::NLM_F_ACK_TLVS;
        assert_eq!(read(&refusal(tlvs, 13, &ours, &words(text))), spoken);
        assert_eq!(read(&refusal(tlvs | name::NLM_F_CAPPED, 13, capped, &words(text))), spoken);
        let two = [refusal(0, 0, &ours, &[]), refusal(0, 17, &ours, &[])].concat();
        assert_eq!(read(&two), [Answer::Done, bare()]);
        let route = message(name::RTM_NEWROUTE, 0, 7, &[2, 32, 0, 0, 255, 2, 0, 2, 0, 0, 0, 0]);
        assert_eq!(read(&route), [Answer::Route(name::RTN_LOCAL)]);
        let link = [0_u32, 1, 0x1_0049, 0].map(u32::to_ne_bytes).concat();
        assert_eq!(read(&message(name::RTM_NEWLINK, 0, 7, &link)), [Answer::Link(0x1_0049)]);
    }

    #[test]
    fn errors_are_words() {
        let error = |number, words: &str| Answer::Refused(number, words.to_owned()).into_error();
        let denied = error(libc::EPERM, "");
        assert_eq!(denied.kind(), io::ErrorKind::PermissionDenied);
        assert!(denied.to_string().contains("CAP_NET_ADMIN"), "{denied}");
        let gone = error(libc::ENODEV, "");
        assert!(gone.to_string().contains("no such interface"), "{gone}");
        let disabled = error(libc::EACCES, "IPv6 is disabled on this device");
        assert!(disabled.to_string().starts_with("IPv6 is disabled"), "{disabled}");
        assert_eq!(error(libc::ENOBUFS, "").raw_os_error(), Some(libc::ENOBUFS));
        assert!(Answer::Unknown.into_error().to_string().contains("no answer"));
    }

    /// Whatever is cut off or turned around, it ends, and is at most not
    /// understood.
    #[test]
    fn hostile_answers_do_no_harm() {
        let ours = message(name::RTM_NEWADDR, 5, 7, &address_body(1, ip("2001:db8::10")));
        let sound = refusal(name::NLM_F_ACK_TLVS, 13, &ours, &words("no"));
        for length in 0..sound.len() {
            let found = read(&sound[..length]);
            assert!(found.is_empty(), "{length} octets");
        }
        for (length, expected) in [(16, 1), (15, 0), (0, 0), (u32::MAX, 0)] {
            let mut bytes = message(99, 0, 7, &[]);
            bytes[..4].copy_from_slice(&length.to_ne_bytes());
            let unknown = vec![Answer::Unknown; expected];
            assert_eq!(read(&bytes), unknown, "length {length}");
        }
        for body in [&[][..], &[1, 2, 3], &i32::MIN.to_ne_bytes(), &1_i32.to_ne_bytes()] {
            let bytes = message(name::NLMSG_ERROR, name::NLM_F_ACK_TLVS, 7, body);
            assert_eq!(read(&bytes), [Answer::Unknown], "{body:?}");
        }
        for (kind, short) in [(name::RTM_NEWROUTE, 7), (name::RTM_NEWLINK, 11)] {
            assert_eq!(read(&message(kind, 0, 7, &vec![0; short])), [Answer::Unknown]);
        }
        let mut random = Random::new(11);
        for _ in 0..20_000 {
            let mut bytes = sound.clone();
            for _ in 0..=random.index(3) {
                let at = random.index(bytes.len());
                bytes[at] = random.next_u64().to_le_bytes()[0];
            }
            assert!(read(&bytes).len() <= bytes.len() / HEADER);
        }
    }

    #[test]
    fn the_kernel_knows_which_addresses_are_its_own() {
        let mut netlink = Netlink::new().expect("a socket");
        for (address, local) in
            [("127.0.0.1", true), ("127.1.2.3", true), ("::1", true), ("192.0.2.77", false)]
        {
            assert_eq!(netlink.is_local(ip(address)).expect("an answer"), local, "{address}");
        }
    }

    #[test]
    fn an_interface_that_is_not_there_is_named() {
        let mut netlink = Netlink::new().expect("a socket");
        assert!(netlink.is_up(LOOPBACK).expect("an answer"));
        let none = u32::MAX >> 1;
        let error = netlink.is_up(none).expect_err("there is none").to_string();
        assert!(error.contains("no such interface"), "{error}");
        // Without the privilege the kernel does not even look.
        let error = netlink.add_address(none, ip("192.0.2.77")).expect_err("refused").to_string();
        let expected = ["no such interface", "CAP_NET_ADMIN"];
        assert!(expected.iter().any(|text| error.contains(text)), "{error}");
    }
}
