//! The OPEN message (RFC 4271 §4.2).

use std::net::Ipv4Addr;

use super::capability::Capability;
use super::header::{self, MessageType};
use super::notification::{Notification, UNSPECIFIC, code, open_error};
use super::prefix::{Family, FamilySet};
use super::wire::{self, Reader};

/// The version of BGP that is spoken here.
pub const VERSION: u8 = 4;

/// Stands for an AS number that does not fit in two octets (RFC 6793 §9).
pub const AS_TRANS: u16 = 23456;

/// The type of the optional parameter that holds capabilities (RFC 5492 §4).
const CAPABILITIES: u8 = 2;

/// The parameter type that announces the extended form (RFC 9072 §2).
const EXTENDED_LENGTH: u8 = 255;

/// The most octets of capabilities in the form of RFC 4271, where the parameter
/// has a type and a length, and all parameters at most 255 octets.
const MAX_CLASSIC_CAPABILITIES: usize = 255 - 2;

/// The most octets of capabilities at all: an OPEN is never extended
/// (RFC 8654 §4). Its fixed part is 10 octets, the extended form adds 6.
const MAX_CAPABILITIES: usize = header::MAX_LENGTH - header::HEADER_LENGTH - 10 - 6;

/// An OPEN message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Open {
    /// Always [`VERSION`].
    pub version: u8,
    /// The two-octet AS number; [`AS_TRANS`] where it does not fit.
    pub my_as: u16,
    /// Seconds; 0 for no keepalives, otherwise at least 3.
    pub hold_time: u16,
    /// BGP identifier, not 0.
    pub identifier: Ipv4Addr,
    /// The capabilities, in the order in which they came.
    pub capabilities: Vec<Capability>,
}

impl Open {
    /// Reads the body of an OPEN and judges what can be judged without knowing
    /// the neighbour (RFC 4271 §6.2). What is left for the session: whether AS
    /// number and identifier are the right ones.
    pub fn parse(body: &[u8]) -> Result<Open, Notification> {
        let mut reader = Reader::new(body);
        let too_short =
            || Notification::bad_length(header::HEADER_LENGTH.saturating_add(body.len()));
        let version = reader.u8().ok_or_else(too_short)?;
        if version != VERSION {
            return Err(Notification::with_data(
                code::OPEN,
                open_error::UNSUPPORTED_VERSION_NUMBER,
                [0, VERSION],
            ));
        }
        let my_as = reader.u16().ok_or_else(too_short)?;
        let hold_time = reader.u16().ok_or_else(too_short)?;
        let identifier = Ipv4Addr::from(reader.u32().ok_or_else(too_short)?);
        let length = reader.u8().ok_or_else(too_short)?;
        let mut open = Open { version, my_as, hold_time, identifier, capabilities: Vec::new() };
        open.check_fields()?;
        open.read_parameters(usize::from(length), reader)?;
        // Also where it stands only in the capability (RFC 7607 §2).
        if open.asn() == 0 {
            return Err(Notification::new(code::OPEN, open_error::BAD_PEER_AS));
        }
        Ok(open)
    }

    fn check_fields(&self) -> Result<(), Notification> {
        let refuse = |subcode| Err(Notification::new(code::OPEN, subcode));
        if self.my_as == 0 {
            // RFC 7607 §2.
            return refuse(open_error::BAD_PEER_AS);
        }
        if matches!(self.hold_time, 1 | 2) {
            // RFC 4271 §6.2: such hold times MUST be rejected.
            return refuse(open_error::UNACCEPTABLE_HOLD_TIME);
        }
        if self.identifier.is_unspecified() {
            // RFC 6286 §2.1 makes every other value valid.
            return refuse(open_error::BAD_BGP_IDENTIFIER);
        }
        Ok(())
    }

    /// Reads the optional parameters, which are the rest of the message. The
    /// extended form is known by the type octet alone, because a classic field
    /// may well have 255 octets (RFC 9072 §2).
    fn read_parameters(&mut self, length: usize, mut reader: Reader) -> Result<(), Notification> {
        let malformed = || Notification::new(code::OPEN, UNSPECIFIC);
        let extended = length != 0 && reader.rest().first() == Some(&EXTENDED_LENGTH);
        let length = match extended {
            true => {
                let _type = reader.u8();
                usize::from(reader.u16().ok_or_else(malformed)?)
            }
            false => length,
        };
        if reader.rest().len() != length {
            return Err(malformed());
        }
        while !reader.is_empty() {
            let kind = reader.u8().ok_or_else(malformed)?;
            let value = if extended { reader.long_field() } else { reader.short_field() };
            let value = value.ok_or_else(malformed)?;
            if kind != CAPABILITIES {
                return Err(Notification::new(
                    code::OPEN,
                    open_error::UNSUPPORTED_OPTIONAL_PARAMETER,
                ));
            }
            Capability::parse_list(value, &mut self.capabilities)?;
        }
        Ok(())
    }

    /// Appends the whole message, with one parameter for all capabilities. The
    /// form of RFC 9072 is used only where it must be, since older speakers do
    /// not know it. Capabilities that do not fit in 4096 octets are left out.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let start = header::begin(out, MessageType::Open);
        out.push(self.version);
        out.extend_from_slice(&self.my_as.to_be_bytes());
        out.extend_from_slice(&self.hold_time.to_be_bytes());
        out.extend_from_slice(&self.identifier.octets());
        let mut capabilities = Vec::new();
        for capability in &self.capabilities {
            let before = capabilities.len();
            capability.encode(&mut capabilities);
            if capabilities.len() > MAX_CAPABILITIES {
                capabilities.truncate(before);
                break;
            }
        }
        let length = capabilities.len();
        if length > MAX_CLASSIC_CAPABILITIES {
            out.extend_from_slice(&[255, EXTENDED_LENGTH]);
            wire::with_length_u16(out, |out| {
                out.push(CAPABILITIES);
                wire::with_length_u16(out, |out| out.extend_from_slice(&capabilities));
            });
        } else if length > 0 {
            out.extend_from_slice(&[wire::octet(length.saturating_add(2)), CAPABILITIES]);
            out.push(wire::octet(length));
            out.extend_from_slice(&capabilities);
        } else {
            out.push(0);
        }
        header::finish(out, start);
    }

    /// The AS number of the speaker: that of the four-octet capability if there
    /// is one (RFC 6793 §4.1).
    pub fn asn(&self) -> u32 {
        let four_octet = self.capabilities.iter().find_map(|capability| match capability {
            Capability::FourOctetAs(asn) => Some(*asn),
            _ => None,
        });
        four_octet.unwrap_or(u32::from(self.my_as))
    }

    /// The known families that the speaker asks for. One that has no
    /// multiprotocol capability at all speaks IPv4 unicast (RFC 4760 §8).
    pub fn families(&self) -> FamilySet {
        let mut asked = false;
        let mut families = FamilySet::EMPTY;
        for capability in &self.capabilities {
            if let Capability::Multiprotocol { afi, safi } = capability {
                asked = true;
                Family::from_codes(*afi, *safi)
                    .into_iter()
                    .for_each(|family| families.insert(family));
            }
        }
        if !asked {
            families.insert(Family::Ipv4Unicast);
        }
        families
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bgp::message::capability;
    use crate::bgp::message::header::{HEADER_LENGTH, MAX_LENGTH, next_frame};

    fn sample() -> Open {
        Open {
            version: 4,
            my_as: AS_TRANS,
            hold_time: 90,
            identifier: Ipv4Addr::new(192, 0, 2, 1),
            capabilities: capability::tests::samples(),
        }
    }

    fn encoded(open: &Open) -> Vec<u8> {
        let mut out = Vec::new();
        open.encode(&mut out);
        out
    }

    fn parse(message: &[u8]) -> Result<Open, Notification> {
        let frame = next_frame(message, MAX_LENGTH).unwrap().unwrap();
        assert_eq!(frame.kind, MessageType::Open);
        Open::parse(frame.body)
    }

    /// A body with these optional parameters, without touching their length.
    fn body(parameters: &[u8]) -> Vec<u8> {
        let mut body = vec![4, 0xfd, 0xe9, 0, 90, 192, 0, 2, 1, parameters.len() as u8];
        body.extend_from_slice(parameters);
        body
    }

    fn refused(subcode: u8) -> Result<Open, Notification> {
        Err(Notification::new(2, subcode))
    }

    #[test]
    fn it_survives_the_wire() {
        let open = sample();
        assert_eq!(parse(&encoded(&open)), Ok(open.clone()));
        let bare = Open { capabilities: vec![], my_as: 65001, hold_time: 0, ..open };
        let bytes = encoded(&bare);
        assert_eq!(bytes.len(), 29);
        assert_eq!(parse(&bytes), Ok(bare));
    }

    /// As FRR sends it: each capability in a parameter of its own.
    #[test]
    fn an_open_of_a_router_is_understood() {
        let mut bytes = vec![0xff; 16];
        bytes.extend_from_slice(&[0, 61, 1, 4, 0x5b, 0xa0, 0, 180, 10, 0, 0, 2, 32]);
        bytes.extend_from_slice(&[2, 6, 1, 4, 0, 1, 0, 1]);
        bytes.extend_from_slice(&[2, 2, 128, 0]);
        bytes.extend_from_slice(&[2, 2, 2, 0]);
        bytes.extend_from_slice(&[2, 6, 65, 4, 0xfa, 0x56, 0xea, 1]);
        bytes.extend_from_slice(&[2, 6, 69, 4, 0, 1, 1, 1]);
        let open = parse(&bytes).unwrap();
        assert_eq!((open.my_as, open.asn(), open.hold_time), (AS_TRANS, 4_200_000_001, 180));
        assert_eq!(open.identifier, Ipv4Addr::new(10, 0, 0, 2));
        assert_eq!(open.families(), FamilySet::from_iter([Family::Ipv4Unicast]));
        assert_eq!(open.capabilities.len(), 5);
        assert_eq!(open.capabilities[4], Capability::AddPath(vec![(1, 1, 1)]));
    }

    #[test]
    fn a_wrong_version_is_answered_with_ours() {
        for version in (0..=255).filter(|version| *version != 4) {
            let mut body = body(&[]);
            body[0] = version;
            assert_eq!(Open::parse(&body), Err(Notification::with_data(2, 1, [0, 4])));
        }
    }

    #[test]
    fn fields_that_can_be_judged_alone() {
        let with = |at: usize, octets: &[u8]| {
            let mut body = body(&[]);
            body[at..at + octets.len()].copy_from_slice(octets);
            Open::parse(&body)
        };
        assert_eq!(with(1, &[0, 0]), refused(2), "AS 0, RFC 7607");
        assert_eq!(with(3, &[0, 1]), refused(6));
        assert_eq!(with(3, &[0, 2]), refused(6));
        assert_eq!(with(3, &[0, 3]).unwrap().hold_time, 3);
        assert_eq!(with(3, &[0, 0]).unwrap().hold_time, 0);
        assert_eq!(with(5, &[0, 0, 0, 0]), refused(3));
        assert!(with(5, &[255, 255, 255, 255]).is_ok(), "RFC 6286");
        let zero = body(&[2, 6, 65, 4, 0, 0, 0, 0]);
        assert_eq!(Open::parse(&zero), refused(2), "four-octet AS 0");
    }

    #[test]
    fn parameters_that_do_not_fit_their_length_are_malformed() {
        for parameters in [&[2][..], &[2, 3, 2, 0], &[2, 2, 2, 0, 2], &[2, 2, 2, 1], &[2, 1, 2]] {
            assert_eq!(Open::parse(&body(parameters)), refused(0), "{parameters:?}");
        }
        let mut longer = body(&[2, 2, 2, 0]);
        longer[9] = 3;
        assert_eq!(Open::parse(&longer), refused(0));
        longer[9] = 5;
        assert_eq!(Open::parse(&longer), refused(0));
        longer[9] = 0;
        assert_eq!(Open::parse(&longer), refused(0));
        assert_eq!(Open::parse(&body(&[2, 0])).unwrap().capabilities, []);
    }

    #[test]
    fn unknown_parameters_are_refused() {
        for kind in [0, 1, 3, 254] {
            assert_eq!(Open::parse(&body(&[kind, 1, 0])), refused(4));
        }
    }

    #[test]
    fn the_extended_form_is_understood_at_any_length() {
        let capabilities = [2, 0, 4, 2, 0, 70, 0];
        for octet in [255, 1] {
            let mut body = body(&[]);
            body[9] = octet;
            body.extend_from_slice(&[255, 0, 7]);
            body.extend_from_slice(&capabilities);
            let open = Open::parse(&body).unwrap();
            let expected = [Capability::RouteRefresh, Capability::EnhancedRouteRefresh];
            assert_eq!(open.capabilities, expected);
            body[9] = 0;
            assert_eq!(Open::parse(&body), refused(0), "0 stands for no parameters");
        }
        let mut wrong = body(&[]);
        wrong[9] = 255;
        wrong.extend_from_slice(&[255, 0, 8]);
        wrong.extend_from_slice(&capabilities);
        assert_eq!(Open::parse(&wrong), refused(0));
        assert_eq!(Open::parse(&body(&[255, 0])), refused(0));
    }

    #[test]
    fn a_classic_field_of_255_octets_is_not_taken_for_the_extended_form() {
        let mut capabilities = Vec::new();
        Capability::Unknown { code: 200, value: vec![7; 251] }.encode(&mut capabilities);
        let mut parameters = vec![2, 253];
        parameters.extend_from_slice(&capabilities);
        assert_eq!(parameters.len(), 255);
        let open = Open::parse(&body(&parameters)).unwrap();
        assert_eq!(open.capabilities.len(), 1);
        let bytes = encoded(&open);
        assert_eq!(bytes[HEADER_LENGTH..][9..11], [255, 2], "and we send it so");
        assert_eq!(parse(&bytes), Ok(open));
    }

    #[test]
    fn the_extended_form_is_sent_only_where_it_must_be() {
        let mut open = sample();
        open.capabilities = vec![Capability::Unknown { code: 200, value: vec![7; 252] }];
        let bytes = encoded(&open);
        assert_eq!(bytes[HEADER_LENGTH..][9..16], [255, 255, 1, 1, 2, 0, 254]);
        assert_eq!(parse(&bytes), Ok(open.clone()));
        open.capabilities = vec![Capability::Unknown { code: 200, value: vec![7; 255] }; 40];
        let bytes = encoded(&open);
        assert!(bytes.len() <= MAX_LENGTH);
        assert_eq!(parse(&bytes).unwrap().capabilities.len(), 15);
    }

    #[test]
    fn families_are_those_asked_for() {
        let open = |capabilities| Open { capabilities, ..sample() };
        let multiprotocol = |afi, safi| Capability::Multiprotocol { afi, safi };
        let ipv4 = FamilySet::from_iter([Family::Ipv4Unicast]);
        assert_eq!(open(vec![]).families(), ipv4);
        assert_eq!(
            open(vec![multiprotocol(2, 1)]).families(),
            FamilySet::from_iter([Family::Ipv6Unicast])
        );
        assert_eq!(
            open(vec![multiprotocol(1, 1), multiprotocol(2, 1), multiprotocol(1, 128)]).families(),
            FamilySet::from_iter(Family::ALL)
        );
        assert!(open(vec![multiprotocol(25, 70)]).families().is_empty());
    }

    #[test]
    fn a_body_shorter_than_its_fields_is_a_bad_length() {
        for end in 0..10 {
            let expected = Notification::with_data(1, 2, [0, 19 + end as u8]);
            assert_eq!(Open::parse(&body(&[])[..end]), Err(expected));
        }
    }

    #[test]
    fn no_truncation_and_no_changed_octet_makes_it_panic() {
        let bytes = encoded(&sample());
        let body = &bytes[HEADER_LENGTH..];
        for end in 0..body.len() {
            assert!(Open::parse(&body[..end]).is_err());
        }
        for at in 0..body.len() {
            for octet in 0..=255 {
                let mut changed = body.to_vec();
                changed[at] = octet;
                if let Ok(open) = Open::parse(&changed) {
                    assert_eq!(parse(&encoded(&open)), Ok(open));
                }
            }
        }
    }
}
