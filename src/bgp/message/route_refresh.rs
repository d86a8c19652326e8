//! The ROUTE-REFRESH message (RFC 2918 §3, RFC 7313 §3).

use super::header::{self, MessageType};
use super::notification::{Notification, code, route_refresh_error};
use super::prefix::Family;
use super::wire::Reader;

/// Message subtypes (RFC 7313 §3.2). A receiver ignores all others
/// (RFC 7313 §5).
pub mod subtype {
    /// A request for the whole Adj-RIB-Out.
    pub const REQUEST: u8 = 0;
    /// Demarcates the beginning of a route refresh.
    pub const BEGIN: u8 = 1;
    /// Demarcates the end of a route refresh.
    pub const END: u8 = 2;
}

/// A ROUTE-REFRESH message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RouteRefresh {
    /// Address family identifier.
    pub afi: u16,
    /// Subsequent address family identifier.
    pub safi: u8,
    /// See [`subtype`]; the reserved octet of RFC 2918.
    pub subtype: u8,
}

impl RouteRefresh {
    /// A request for all routes of a family.
    pub fn request(family: Family) -> RouteRefresh {
        RouteRefresh { afi: family.afi(), safi: family.safi(), subtype: subtype::REQUEST }
    }

    /// The mark of the beginning or the end of a refresh: see [`subtype`].
    pub fn marker(family: Family, subtype: u8) -> RouteRefresh {
        RouteRefresh { subtype, ..RouteRefresh::request(family) }
    }

    /// The family that is meant, if it is known here.
    pub fn family(&self) -> Option<Family> {
        Family::from_codes(self.afi, self.safi)
    }

    /// Reads the body. Longer bodies than 4 octets belong to outbound route
    /// filters (RFC 5291), which are never negotiated here. `enhanced` says
    /// whether the neighbour has sent the capability of RFC 7313.
    ///
    /// # Errors
    /// If the length is wrong, the error is that of RFC 7313 §5 for the subtypes
    /// that only its capability brings, and otherwise Bad Message Length, which
    /// is what RFC 4271 §6.1 has for all types that it knows.
    pub fn parse(body: &[u8], enhanced: bool) -> Result<RouteRefresh, Notification> {
        let mut reader = Reader::new(body);
        let (afi, subtype, safi) = (reader.u16(), reader.u8(), reader.u8());
        if let (Some(afi), Some(subtype), Some(safi), true) =
            (afi, subtype, safi, reader.is_empty())
        {
            return Ok(RouteRefresh { afi, safi, subtype });
        }
        if !enhanced || !matches!(subtype, Some(subtype::BEGIN | subtype::END)) {
            return Err(Notification::bad_length(body.len().saturating_add(header::HEADER_LENGTH)));
        }
        let mut message = Vec::new();
        let start = header::begin(&mut message, MessageType::RouteRefresh);
        message.extend_from_slice(body);
        header::finish(&mut message, start);
        Err(Notification::with_data(
            code::ROUTE_REFRESH,
            route_refresh_error::INVALID_MESSAGE_LENGTH,
            message,
        ))
    }

    /// Appends the whole message.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let start = header::begin(out, MessageType::RouteRefresh);
        out.extend_from_slice(&self.afi.to_be_bytes());
        out.extend_from_slice(&[self.subtype, self.safi]);
        header::finish(out, start);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bgp::message::header::{MAX_LENGTH, next_frame};

    #[test]
    fn the_bytes_are_those_of_rfc_2918() {
        let mut out = Vec::new();
        RouteRefresh { afi: 2, safi: 1, subtype: 0 }.encode(&mut out);
        let mut expected = vec![0xff; 16];
        expected.extend_from_slice(&[0, 23, 5, 0, 2, 0, 1]);
        assert_eq!(out, expected);
    }

    #[test]
    fn it_survives_the_wire() {
        for (afi, safi, subtype) in [(1, 1, 0), (2, 1, 1), (2, 1, 2), (25, 70, 255)] {
            let message = RouteRefresh { afi, safi, subtype };
            let mut out = Vec::new();
            message.encode(&mut out);
            let frame = next_frame(&out, MAX_LENGTH).unwrap().unwrap();
            assert_eq!(frame.kind, MessageType::RouteRefresh);
            assert_eq!(RouteRefresh::parse(frame.body, false), Ok(message));
            assert_eq!(message.family(), Family::from_codes(afi, safi));
        }
        let request = RouteRefresh::request(Family::Ipv6Unicast);
        assert_eq!(request, RouteRefresh { afi: 2, safi: 1, subtype: 0 });
    }

    #[test]
    fn a_wrong_length_is_answered_with_the_whole_message() {
        for body in [&[0, 1, 1][..], &[0, 1, 2], &[0, 1, 1, 1, 9], &[0, 1, 2, 1, 9]] {
            let mut message = vec![0xff; 16];
            message.extend_from_slice(&[0, 19 + body.len() as u8, 5]);
            message.extend_from_slice(body);
            let expected = Notification::with_data(7, 1, message);
            assert_eq!(RouteRefresh::parse(body, true), Err(expected));
        }
    }

    #[test]
    fn without_the_capability_or_the_subtype_a_wrong_length_is_a_bad_message_length() {
        let bad_length =
            |body: &[u8]| Err(Notification::with_data(1, 2, [0, 19 + body.len() as u8]));
        for body in [&[][..], &[0, 1], &[0, 1, 0], &[0, 1, 0, 1, 9], &[0, 1, 3, 1, 9]] {
            assert_eq!(RouteRefresh::parse(body, true), bad_length(body));
        }
        for body in [&[0, 1, 1][..], &[0, 1, 2, 1, 9]] {
            assert_eq!(RouteRefresh::parse(body, false), bad_length(body));
        }
    }
}
