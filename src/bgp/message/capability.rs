//! Capabilities (RFC 5492): what a speaker says of itself in its OPEN.

use super::notification::{Notification, UNSPECIFIC, code};
use super::wire::{self, Reader};

mod number {
    pub(super) const MULTIPROTOCOL: u8 = 1;
    pub(super) const ROUTE_REFRESH: u8 = 2;
    pub(super) const EXTENDED_NEXT_HOP: u8 = 5;
    pub(super) const EXTENDED_MESSAGE: u8 = 6;
    pub(super) const ROLE: u8 = 9;
    pub(super) const GRACEFUL_RESTART: u8 = 64;
    pub(super) const FOUR_OCTET_AS: u8 = 65;
    pub(super) const ADD_PATH: u8 = 69;
    pub(super) const ENHANCED_ROUTE_REFRESH: u8 = 70;
    pub(super) const FQDN: u8 = 73;
    pub(super) const SOFTWARE_VERSION: u8 = 75;
}

/// Values of the Send/Receive field of [`Capability::AddPath`] (RFC 7911 §4).
pub mod add_path {
    /// Able to receive several paths.
    pub const RECEIVE: u8 = 1;
    /// Able to send several paths.
    pub const SEND: u8 = 2;
    /// Both.
    pub const BOTH: u8 = 3;
}

/// Values of [`Capability::Role`] (RFC 9234 §4.1).
pub mod role {
    /// The speaker is a transit provider of its neighbour.
    pub const PROVIDER: u8 = 0;
    /// The speaker is a route server.
    pub const ROUTE_SERVER: u8 = 1;
    /// The speaker is a client of a route server.
    pub const ROUTE_SERVER_CLIENT: u8 = 2;
    /// The speaker is a customer of its neighbour.
    pub const CUSTOMER: u8 = 3;
    /// The speaker is a lateral peer of its neighbour.
    pub const PEER: u8 = 4;
}

/// The most octets of a capability's value, whose length is one octet.
const MAX_VALUE: usize = 255;

/// One capability. Its value was well-formed unless it is `Unknown`, which also
/// keeps known codes with values that make no sense: the neighbour then does
/// not have that capability, and the session can still come up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Capability {
    /// Routes of a family (RFC 4760 §8).
    Multiprotocol {
        /// Address family identifier.
        afi: u16,
        /// Subsequent address family identifier.
        safi: u8,
    },
    /// RFC 2918 §2.
    RouteRefresh,
    /// Family (AFI, SAFI) and the AFI of a next hop that it may have
    /// (RFC 8950 §4).
    ExtendedNextHop(Vec<(u16, u16, u16)>),
    /// Messages of up to 65535 octets (RFC 8654 §3).
    ExtendedMessage,
    /// See [`role`] (RFC 9234 §4.1).
    Role(u8),
    /// RFC 4724 §3.
    GracefulRestart {
        /// Four bits: 8 is "restarted", 4 is "notification" (RFC 8538 §2).
        flags: u8,
        /// Seconds, 12 bits.
        time: u16,
        /// AFI, SAFI and the flags of the family.
        families: Vec<(u16, u8, u8)>,
    },
    /// The AS number of the speaker (RFC 6793 §3).
    FourOctetAs(u32),
    /// AFI, SAFI and what of [`add_path`] the speaker can (RFC 7911 §4).
    AddPath(Vec<(u16, u8, u8)>),
    /// RFC 7313 §3.1.
    EnhancedRouteRefresh,
    /// Names for operators (draft-walton-bgp-hostname-capability).
    Fqdn {
        /// Host name.
        host: String,
        /// Domain name, may be empty.
        domain: String,
    },
    /// Name and version of the program (draft-ietf-idr-bgp-software-version).
    SoftwareVersion(String),
    /// A code that is not known, or a value that is not that of its code.
    Unknown {
        /// Capability code.
        code: u8,
        /// Its value, as received.
        value: Vec<u8>,
    },
}

impl Capability {
    /// The capability code.
    pub fn code(&self) -> u8 {
        match self {
            Capability::Multiprotocol { .. } => number::MULTIPROTOCOL,
            Capability::RouteRefresh => number::ROUTE_REFRESH,
            Capability::ExtendedNextHop(_) => number::EXTENDED_NEXT_HOP,
            Capability::ExtendedMessage => number::EXTENDED_MESSAGE,
            Capability::Role(_) => number::ROLE,
            Capability::GracefulRestart { .. } => number::GRACEFUL_RESTART,
            Capability::FourOctetAs(_) => number::FOUR_OCTET_AS,
            Capability::AddPath(_) => number::ADD_PATH,
            Capability::EnhancedRouteRefresh => number::ENHANCED_ROUTE_REFRESH,
            Capability::Fqdn { .. } => number::FQDN,
            Capability::SoftwareVersion(_) => number::SOFTWARE_VERSION,
            Capability::Unknown { code, .. } => *code,
        }
    }

    /// Reads the capabilities of one optional parameter and appends them to
    /// `out`. A capability that runs over the end of the parameter makes the
    /// parameter malformed (RFC 4271 §6.2); a value that does not fit its code
    /// is kept as [`Capability::Unknown`], since RFC 5492 asks for no error.
    pub fn parse_list(bytes: &[u8], out: &mut Vec<Capability>) -> Result<(), Notification> {
        let mut reader = Reader::new(bytes);
        while !reader.is_empty() {
            let (Some(number), Some(value)) = (reader.u8(), reader.short_field()) else {
                return Err(Notification::new(code::OPEN, UNSPECIFIC));
            };
            out.push(
                known(number, value)
                    .unwrap_or_else(|| Capability::Unknown { code: number, value: value.to_vec() }),
            );
        }
        Ok(())
    }

    /// Appends the capability: code, length, value. What is over the 255 octets
    /// of a value is left out, by whole entries or whole characters.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&[self.code(), 0]);
        let begin = out.len();
        self.encode_value(out);
        let length = wire::octet(out.len().saturating_sub(begin));
        if let Some(field) = out.get_mut(begin.saturating_sub(1)) {
            *field = length;
        }
    }

    fn encode_value(&self, out: &mut Vec<u8>) {
        match self {
            Capability::Multiprotocol { afi, safi } => {
                out.extend_from_slice(&afi.to_be_bytes());
                out.extend_from_slice(&[0, *safi]);
            }
            Capability::RouteRefresh
            | Capability::ExtendedMessage
            | Capability::EnhancedRouteRefresh => {}
            Capability::ExtendedNextHop(entries) => {
                for (afi, safi, next_hop_afi) in entries.iter().take(MAX_VALUE / 6) {
                    for field in [afi, safi, next_hop_afi] {
                        out.extend_from_slice(&field.to_be_bytes());
                    }
                }
            }
            Capability::Role(role) => out.push(*role),
            Capability::GracefulRestart { flags, time, families } => {
                let field = u16::from(flags & 0x0f) << 12 | time & 0x0fff;
                out.extend_from_slice(&field.to_be_bytes());
                encode_families(families, (MAX_VALUE - 2) / 4, out);
            }
            Capability::FourOctetAs(asn) => out.extend_from_slice(&asn.to_be_bytes()),
            Capability::AddPath(families) => encode_families(families, MAX_VALUE / 4, out),
            Capability::Fqdn { host, domain } => {
                let host = wire::cut(host, MAX_VALUE - 2);
                encode_text(host, out);
                let space = (MAX_VALUE - 2usize).saturating_sub(host.len());
                encode_text(wire::cut(domain, space), out);
            }
            Capability::SoftwareVersion(version) => {
                encode_text(wire::cut(version, MAX_VALUE - 1), out);
            }
            Capability::Unknown { value, .. } => out.extend(value.iter().take(MAX_VALUE)),
        }
    }
}

fn encode_families(families: &[(u16, u8, u8)], limit: usize, out: &mut Vec<u8>) {
    for (afi, safi, flags) in families.iter().take(limit) {
        out.extend_from_slice(&afi.to_be_bytes());
        out.extend_from_slice(&[*safi, *flags]);
    }
}

fn encode_text(text: &str, out: &mut Vec<u8>) {
    out.push(wire::octet(text.len()));
    out.extend_from_slice(text.as_bytes());
}

/// The capability of this code with this value, or None if the code is not
/// known or the value is not one that it can have.
fn known(code: u8, value: &[u8]) -> Option<Capability> {
    let mut reader = Reader::new(value);
    let capability = match code {
        number::MULTIPROTOCOL => {
            let afi = reader.u16()?;
            let _reserved = reader.u8()?;
            Capability::Multiprotocol { afi, safi: reader.u8()? }
        }
        number::ROUTE_REFRESH => Capability::RouteRefresh,
        number::EXTENDED_NEXT_HOP => {
            let mut entries = Vec::new();
            while !reader.is_empty() {
                entries.push((reader.u16()?, reader.u16()?, reader.u16()?));
            }
            Capability::ExtendedNextHop(entries)
        }
        number::EXTENDED_MESSAGE => Capability::ExtendedMessage,
        number::ROLE => Capability::Role(reader.u8()?),
        number::GRACEFUL_RESTART => {
            let field = reader.u16()?;
            let flags = wire::octet(usize::from(field >> 12));
            let families = read_families(&mut reader)?;
            Capability::GracefulRestart { flags, time: field & 0x0fff, families }
        }
        number::FOUR_OCTET_AS => Capability::FourOctetAs(reader.u32()?),
        number::ADD_PATH => {
            let families = read_families(&mut reader)?;
            // With any other value the capability is to be ignored (RFC 7911 §4).
            let sound = |&(_, _, mode): &(u16, u8, u8)| (1..=3).contains(&mode);
            families.iter().all(sound).then_some(Capability::AddPath(families))?
        }
        number::ENHANCED_ROUTE_REFRESH => Capability::EnhancedRouteRefresh,
        number::FQDN => {
            let host = read_text(&mut reader)?;
            Capability::Fqdn { host, domain: read_text(&mut reader)? }
        }
        number::SOFTWARE_VERSION => Capability::SoftwareVersion(read_text(&mut reader)?),
        _ => return None,
    };
    reader.is_empty().then_some(capability)
}

fn read_families(reader: &mut Reader<'_>) -> Option<Vec<(u16, u8, u8)>> {
    let mut families = Vec::new();
    while !reader.is_empty() {
        families.push((reader.u16()?, reader.u8()?, reader.u8()?));
    }
    Some(families)
}

fn read_text(reader: &mut Reader<'_>) -> Option<String> {
    String::from_utf8(reader.short_field()?.to_vec()).ok()
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// One capability of each kind.
    pub(in super::super) fn samples() -> Vec<Capability> {
        vec![
            Capability::Multiprotocol { afi: 1, safi: 1 },
            Capability::Multiprotocol { afi: 25, safi: 70 },
            Capability::RouteRefresh,
            Capability::ExtendedNextHop(vec![(1, 1, 2), (1, 128, 2)]),
            Capability::ExtendedMessage,
            Capability::Role(role::CUSTOMER),
            Capability::GracefulRestart { flags: 8, time: 4095, families: vec![(1, 1, 0x80)] },
            Capability::FourOctetAs(4_200_000_000),
            Capability::AddPath(vec![(1, 1, add_path::BOTH), (2, 1, add_path::SEND)]),
            Capability::EnhancedRouteRefresh,
            Capability::Fqdn { host: "edge-1".into(), domain: "example.net".into() },
            Capability::SoftwareVersion("burgee/1".into()),
            Capability::Unknown { code: 128, value: vec![] },
            Capability::Unknown { code: 77, value: vec![1, 2, 3] },
        ]
    }

    fn parse(bytes: &[u8]) -> Result<Vec<Capability>, Notification> {
        let mut out = Vec::new();
        Capability::parse_list(bytes, &mut out).map(|()| out)
    }

    fn encoded(capability: &Capability) -> Vec<u8> {
        let mut out = Vec::new();
        capability.encode(&mut out);
        out
    }

    #[test]
    fn every_kind_survives_the_wire() {
        let mut bytes = Vec::new();
        samples().iter().for_each(|capability| capability.encode(&mut bytes));
        assert_eq!(parse(&bytes).unwrap(), samples());
    }

    #[test]
    fn the_bytes_are_those_of_the_rfcs() {
        let bytes = |index: usize| encoded(&samples()[index]);
        assert_eq!(bytes(0), [1, 4, 0, 1, 0, 1]);
        assert_eq!(bytes(2), [2, 0]);
        assert_eq!(bytes(3), [5, 12, 0, 1, 0, 1, 0, 2, 0, 1, 0, 128, 0, 2]);
        assert_eq!(bytes(5), [9, 1, 3]);
        assert_eq!(bytes(6), [64, 6, 0x8f, 0xff, 0, 1, 1, 0x80]);
        assert_eq!(bytes(7), [65, 4, 0xfa, 0x56, 0xea, 0x00]);
        assert_eq!(bytes(8), [69, 8, 0, 1, 1, 3, 0, 2, 1, 2]);
        assert_eq!(bytes(10), b"\x49\x13\x06edge-1\x0bexample.net");
        assert_eq!(bytes(11), b"\x4b\x09\x08burgee/1");
    }

    #[test]
    fn a_value_of_the_wrong_length_is_kept_as_unknown() {
        for sample in samples() {
            let value = encoded(&sample)[2..].to_vec();
            let longer = [&value[..], &[0]].concat();
            let shorter = value[..value.len().saturating_sub(1)].to_vec();
            for changed in [longer, shorter] {
                if changed == value {
                    continue;
                }
                let code = sample.code();
                let mut bytes = vec![code, changed.len() as u8];
                bytes.extend_from_slice(&changed);
                let expected = Capability::Unknown { code, value: changed };
                assert_eq!(parse(&bytes), Ok(vec![expected]), "{sample:?}");
            }
        }
    }

    #[test]
    fn text_that_is_not_utf_8_and_odd_add_path_modes_are_kept_as_unknown() {
        for bytes in [&b"\x4b\x02\x01\xff"[..], b"\x49\x03\x01\xff\x00", &[69, 4, 0, 1, 1, 4]] {
            let expected = Capability::Unknown { code: bytes[0], value: bytes[2..].to_vec() };
            assert_eq!(parse(bytes), Ok(vec![expected]));
        }
    }

    #[test]
    fn a_capability_over_the_end_makes_the_parameter_malformed() {
        for bytes in [&[65][..], &[65, 4, 0, 0, 0], &[2, 0, 1, 4, 0]] {
            assert_eq!(parse(bytes), Err(Notification::new(2, 0)));
        }
    }

    #[test]
    fn what_does_not_fit_is_left_out_whole() {
        let many = vec![(1, 1, 1); 300];
        let long = "ä".repeat(300);
        for capability in [
            Capability::AddPath(many.clone()),
            Capability::GracefulRestart { flags: 0xff, time: 0xffff, families: many },
            Capability::ExtendedNextHop(vec![(1, 1, 2); 300]),
            Capability::SoftwareVersion(long.clone()),
            Capability::Fqdn { host: long.clone(), domain: long.clone() },
            Capability::Fqdn { host: "edge".into(), domain: long },
        ] {
            let bytes = encoded(&capability);
            assert_eq!(bytes.len(), 2 + usize::from(bytes[1]));
            let read = parse(&bytes).unwrap();
            assert_eq!(read.len(), 1);
            assert!(!matches!(read[0], Capability::Unknown { .. }), "{capability:?}");
        }
        let unknown = Capability::Unknown { code: 99, value: vec![1; 300] };
        assert_eq!(encoded(&unknown).len(), 257);
    }
}
