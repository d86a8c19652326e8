//! The addresses of this host's interfaces, and the interface of its default
//! route.
#![allow(unsafe_code)]

use std::ffi::CStr;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// One address of an interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InterfaceAddress {
    /// The name of the interface, such as `eth0`.
    pub name: String,
    /// The address.
    pub address: IpAddr,
    /// The length of its network's prefix, in bits.
    pub prefix_len: u8,
    /// Whether the interface is switched on.
    pub up: bool,
    /// Whether it is a loopback interface.
    pub loopback: bool,
}

/// What there is to know of a host's interfaces.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Interfaces {
    /// All addresses, in the order of the kernel.
    pub addresses: Vec<InterfaceAddress>,
    /// The interface of the IPv4 default route, if there is one.
    pub default_route: Option<String>,
}

/// Asks the kernel. It answers at once, though with one allocation for each
/// address.
///
/// # Errors
/// That of getifaddrs(3). A host without `/proc` just has no default route.
pub fn list() -> io::Result<Interfaces> {
    let routes = std::fs::read_to_string("/proc/net/route").unwrap_or_default();
    Ok(Interfaces { addresses: addresses()?, default_route: default_route(&routes) })
}

fn addresses() -> io::Result<Vec<InterfaceAddress>> {
    let mut head: *mut libc::ifaddrs = std::ptr::null_mut();
    // SAFETY: `head` is a valid place for the pointer to the list.
    if unsafe { libc::getifaddrs(&raw mut head) } != 0 {
        return Err(io::Error::last_os_error());
    }
    let mut found = Vec::new();
    let mut next = head;
    // SAFETY: `next` is null or an entry of the list, which lives until
    // freeifaddrs below.
    while let Some(entry) = unsafe { next.as_ref() } {
        found.extend(read(entry));
        next = entry.ifa_next;
    }
    // SAFETY: the list is that of getifaddrs, and nothing that was read from it
    // is borrowed any more.
    unsafe { libc::freeifaddrs(head) };
    Ok(found)
}

/// The address of an entry; `None` for one of a link, or without an address.
fn read(entry: &libc::ifaddrs) -> Option<InterfaceAddress> {
    let address = ip(entry.ifa_addr)?;
    let mask = ip(entry.ifa_netmask);
    let prefix_len = match mask {
        Some(IpAddr::V4(mask)) => mask.to_bits().leading_ones(),
        Some(IpAddr::V6(mask)) => mask.to_bits().leading_ones(),
        None if address.is_ipv4() => 32,
        None => 128,
    };
    if entry.ifa_name.is_null() {
        return None;
    }
    // SAFETY: the name of an entry is a text that ends with a zero, and lives
    // as long as the entry.
    let name = unsafe { CStr::from_ptr(entry.ifa_name) };
    let has = |flag: libc::c_int| entry.ifa_flags & flag.cast_unsigned() != 0;
    Some(InterfaceAddress {
        name: name.to_string_lossy().into_owned(),
        address,
        prefix_len: u8::try_from(prefix_len).ok()?,
        up: has(libc::IFF_UP),
        loopback: has(libc::IFF_LOOPBACK),
    })
}

/// The IP address behind a pointer to a socket address of an entry.
fn ip(address: *const libc::sockaddr) -> Option<IpAddr> {
    // SAFETY: the pointer is null or to a socket address of the list, of which
    // at least the family is there.
    let family = unsafe { address.as_ref() }?.sa_family;
    match libc::c_int::from(family) {
        libc::AF_INET => {
            // SAFETY: a socket address of this family is a `sockaddr_in`; it is
            // copied, so that its alignment does not matter.
            let v4 = unsafe { address.cast::<libc::sockaddr_in>().read_unaligned() };
            Some(Ipv4Addr::from_bits(u32::from_be(v4.sin_addr.s_addr)).into())
        }
        libc::AF_INET6 => {
            // SAFETY: likewise, a `sockaddr_in6`.
            let v6 = unsafe { address.cast::<libc::sockaddr_in6>().read_unaligned() };
            Some(Ipv6Addr::from(v6.sin6_addr.s6_addr).into())
        }
        _ => None,
    }
}

/// The interface of the default route in the text of `/proc/net/route`: the one
/// with the lowest metric, the first of equals.
fn default_route(text: &str) -> Option<String> {
    const ALL: &str = "00000000";
    const RTF_UP: u32 = 0x0001;
    const RTF_REJECT: u32 = 0x0200;
    let route = |line: &str| {
        let mut columns = line.split_whitespace();
        let (name, destination) = (columns.next()?.to_owned(), columns.next()?);
        let flags = u32::from_str_radix(columns.nth(1)?, 16).ok()?;
        let metric: u32 = columns.nth(2)?.parse().ok()?;
        let mask = columns.next()?;
        let leads_out = flags & (RTF_UP | RTF_REJECT) == RTF_UP;
        (destination == ALL && mask == ALL && leads_out).then_some((metric, name))
    };
    let (_, name) = text.lines().skip(1).filter_map(route).min_by_key(|(metric, _)| *metric)?;
    Some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_loopback_interface_is_listed() {
        let found = list().unwrap().addresses;
        let own = found.iter().find(|own| own.address == IpAddr::from(Ipv4Addr::LOCALHOST));
        let own = own.expect("every host has it");
        assert_eq!(
            (own.name.as_str(), own.prefix_len, own.up, own.loopback),
            ("lo", 8, true, true)
        );
        assert!(found.iter().all(|own| !own.name.is_empty() && own.prefix_len <= 128));
    }

    #[test]
    fn the_default_route_is_the_one_of_the_lowest_metric() {
        let head =
            "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\n";
        let golden = [
            ("", None),
            ("eth0\t000200C0\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0\n", None),
            ("eth0\t00000000\t010200C0\t0003\t0\t0\t0\t00000000\t0\t0\t0\n", Some("eth0")),
            (
                "wlan0\t00000000\t010200C0\t0003\t0\t0\t600\t00000000\t0\t0\t0\n\
                 eth1\t00000000\t010200C0\t0003\t0\t0\t100\t00000000\t0\t0\t0\n\
                 eth2\t00000000\t010200C0\t0003\t0\t0\t100\t00000000\t0\t0\t0\n",
                Some("eth1"),
            ),
            // Half of the addresses is not all; a route that is down or that
            // refuses leads nowhere.
            ("tun0\t00000000\t010200C0\t0003\t0\t0\t0\t00000080\t0\t0\t0\n", None),
            ("eth0\t00000000\t010200C0\t0002\t0\t0\t0\t00000000\t0\t0\t0\n", None),
            ("*\t00000000\t00000000\t0201\t0\t0\t0\t00000000\t0\t0\t0\n", None),
            ("eth0\t00000000\n\n", None),
        ];
        for (lines, name) in golden {
            assert_eq!(default_route(&format!("{head}{lines}")).as_deref(), name, "{lines}");
        }
    }
}
