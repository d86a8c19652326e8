//! Roles of neighbours, and the attribute ONLY_TO_CUSTOMER (OTC) that keeps
//! routes from leaking (RFC 9234).

use std::fmt;

use super::message::capability::role;

/// What a speaker is to its external neighbour (RFC 9234 §4.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// It gives the neighbour transit.
    Provider,
    /// It is a route server.
    RouteServer,
    /// It is a client of a route server.
    RouteServerClient,
    /// It takes transit from the neighbour.
    Customer,
    /// Both exchange their own and their customers' routes.
    Peer,
}

const ALL: [(Role, u8, &str); 5] = [
    (Role::Provider, role::PROVIDER, "provider"),
    (Role::RouteServer, role::ROUTE_SERVER, "rs"),
    (Role::RouteServerClient, role::ROUTE_SERVER_CLIENT, "rs-client"),
    (Role::Customer, role::CUSTOMER, "customer"),
    (Role::Peer, role::PEER, "peer"),
];

impl Role {
    /// The value of the capability (RFC 9234 §4.1).
    pub fn code(self) -> u8 {
        ALL.iter().find(|(role, ..)| *role == self).map_or(u8::MAX, |(_, code, _)| *code)
    }

    /// The role of this value, if it is one.
    pub fn from_code(code: u8) -> Option<Role> {
        ALL.iter().find(|(_, other, _)| *other == code).map(|(role, ..)| *role)
    }

    /// The role that a neighbour must have whose other end has this one
    /// (RFC 9234 §4.2, table 2).
    pub fn counterpart(self) -> Role {
        match self {
            Role::Provider => Role::Customer,
            Role::Customer => Role::Provider,
            Role::RouteServer => Role::RouteServerClient,
            Role::RouteServerClient => Role::RouteServer,
            Role::Peer => Role::Peer,
        }
    }

    /// The OTC of a route that a speaker of AS `asn` and this role sends, which
    /// has `otc` so far. `None`: such a route must not be sent at all
    /// (RFC 9234 §5, egress).
    pub fn egress(self, asn: u32, otc: Option<u32>) -> Option<Option<u32>> {
        match (self, otc) {
            (Role::Provider | Role::RouteServer | Role::Peer, None) => Some(Some(asn)),
            (Role::Provider | Role::RouteServer, Some(otc)) => Some(Some(otc)),
            (Role::Customer | Role::RouteServerClient, None) => Some(None),
            (Role::Customer | Role::RouteServerClient | Role::Peer, Some(_)) => None,
        }
    }

    /// The OTC that a received route has for a speaker of this role, whose
    /// neighbour is of AS `peer_asn`.
    ///
    /// # Errors
    /// The route is a leak and not eligible (RFC 9234 §5, ingress).
    pub fn ingress(self, peer_asn: u32, otc: Option<u32>) -> Result<Option<u32>, Leak> {
        match (self, otc) {
            (Role::Provider | Role::RouteServer, Some(_)) => Err(Leak),
            (Role::Peer, Some(otc)) if otc != peer_asn => Err(Leak),
            (Role::Customer | Role::RouteServerClient | Role::Peer, None) => Ok(Some(peer_asn)),
            (_, otc) => Ok(otc),
        }
    }
}

/// A route that should never have come from this neighbour (RFC 9234 §5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Leak;

impl fmt::Display for Role {
    /// As `role=` of a neighbour is written.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = ALL.iter().find(|(role, ..)| role == self).map_or("", |(.., name)| name);
        f.pad(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_codes_go_there_and_back() {
        for (role, code, name) in ALL {
            assert_eq!(Role::from_code(code), Some(role));
            assert_eq!(role.code(), code);
            assert_eq!(role.to_string(), name);
            assert_eq!(role.counterpart().counterpart(), role);
        }
        assert_eq!(Role::from_code(5), None);
    }

    /// RFC 9234 §5, both lists, for a neighbour of AS 65000.
    #[test]
    fn otc_follows_the_role() {
        use Role::{Customer, Peer, Provider, RouteServer, RouteServerClient};
        for role in [Provider, RouteServer] {
            assert_eq!(role.ingress(65000, None), Ok(None));
            assert_eq!(role.ingress(65000, Some(65000)), Err(Leak));
            assert_eq!(role.egress(65001, None), Some(Some(65001)));
            assert_eq!(role.egress(65001, Some(7)), Some(Some(7)));
        }
        for role in [Customer, RouteServerClient] {
            assert_eq!(role.ingress(65000, None), Ok(Some(65000)));
            assert_eq!(role.ingress(65000, Some(7)), Ok(Some(7)));
            assert_eq!(role.egress(65001, None), Some(None));
            assert_eq!(role.egress(65001, Some(7)), None);
        }
        assert_eq!(Peer.ingress(65000, None), Ok(Some(65000)));
        assert_eq!(Peer.ingress(65000, Some(65000)), Ok(Some(65000)));
        assert_eq!(Peer.ingress(65000, Some(7)), Err(Leak));
        assert_eq!(Peer.egress(65001, None), Some(Some(65001)));
        assert_eq!(Peer.egress(65001, Some(7)), None);
    }
}
