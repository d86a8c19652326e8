//! Names for event sources: kind, generation and index in one word.

/// What sort of source a token stands for. `daemon` has the one table from
/// kind to handler; `reactor` gives the kinds no meaning beyond their name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Kind {
    /// The signal descriptor.
    Signal = 0,
    /// The log sink's descriptor.
    Log = 1,
    /// A listening BGP socket.
    BgpListener = 2,
    /// A BGP transport connection.
    BgpSession = 3,
    /// A neighbour: its timers.
    BgpPeer = 4,
    /// A listening proxy socket.
    ProxyListener = 5,
    /// The client's side of a proxied connection, and the connection's timer.
    Client = 6,
    /// The target's side of a proxied connection.
    Upstream = 7,
    /// A health check under way or due.
    Probe = 8,
    /// The daemon's own timers (drain steps, accept pauses).
    Daemon = 9,
    /// The demonstration's sources, which sit beside a daemon in one loop.
    Guest = 10,
    /// The demonstration's second speaker.
    GuestBgpListener = 11,
    /// A transport connection of the second speaker.
    GuestBgpSession = 12,
    /// A neighbour of the second speaker.
    GuestBgpPeer = 13,
    /// A listening BFD socket.
    BfdListener = 14,
    /// A BFD session: its timers.
    Bfd = 15,
    /// A file that is watched, and its timer.
    Watch = 16,
    /// A listening UDP socket of the data plane, and the timer of all flows.
    UdpListener = 17,
    /// The target's side of a flow of datagrams.
    UdpFlow = 18,
    /// A knock at the port of a target that refused datagrams.
    Knock = 19,
    /// The timer of all looking up of names.
    Resolver = 20,
    /// A socket on which a name server was asked.
    Lookup = 21,
    /// The access log's descriptor.
    AccessLog = 22,
    /// A socket on which the admin API listens.
    AdminListener = 23,
    /// A connection of the admin API.
    AdminConnection = 24,
}

impl Kind {
    const ALL: [Kind; 25] = [
        Kind::Signal,
        Kind::Log,
        Kind::BgpListener,
        Kind::BgpSession,
        Kind::BgpPeer,
        Kind::ProxyListener,
        Kind::Client,
        Kind::Upstream,
        Kind::Probe,
        Kind::Daemon,
        Kind::Guest,
        Kind::GuestBgpListener,
        Kind::GuestBgpSession,
        Kind::GuestBgpPeer,
        Kind::BfdListener,
        Kind::Bfd,
        Kind::Watch,
        Kind::UdpListener,
        Kind::UdpFlow,
        Kind::Knock,
        Kind::Resolver,
        Kind::Lookup,
        Kind::AccessLog,
        Kind::AdminListener,
        Kind::AdminConnection,
    ];
}

/// `kind | generation | index`, 8 + 24 + 32 bits. The generation makes a stale
/// event miss a slot that was used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Token {
    /// What it stands for.
    pub kind: Kind,
    /// Which use of the slot is meant; 24 bits are kept.
    pub generation: u32,
    /// The slot.
    pub index: u32,
}

impl Token {
    /// The bits of a generation that a token keeps.
    pub const GENERATION_MASK: u32 = 0x00ff_ffff;

    /// A token; `generation` is cut to 24 bits.
    pub const fn new(kind: Kind, generation: u32, index: u32) -> Token {
        Token { kind, generation: generation & Self::GENERATION_MASK, index }
    }

    /// The same source slot under another kind: the two sockets of one
    /// proxied connection share a slot.
    pub const fn with_kind(self, kind: Kind) -> Token {
        Token { kind, ..self }
    }
}

impl From<Token> for mio::Token {
    fn from(token: Token) -> mio::Token {
        let bits = (token.kind as u64) << 56
            | u64::from(token.generation & Token::GENERATION_MASK) << 32
            | u64::from(token.index);
        mio::Token(bits as usize)
    }
}

impl Token {
    /// Reads a token back from the poll's; `None` for a kind that does not
    /// exist.
    pub fn from_mio(token: mio::Token) -> Option<Token> {
        let bits = token.0 as u64;
        let kind = *Kind::ALL.get((bits >> 56) as usize)?;
        Some(Token::new(kind, (bits >> 32) as u32, bits as u32))
    }
}

const _: () = assert!(usize::BITS >= 64, "tokens need a 64-bit machine");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_survive_the_trip_through_the_poll() {
        for kind in Kind::ALL {
            let token = Token::new(kind, 0xffff_ffff, 0xdead_beef);
            assert_eq!(token.generation, 0x00ff_ffff);
            assert_eq!(Token::from_mio(token.into()), Some(token));
        }
        assert_eq!(Token::from_mio(mio::Token(usize::MAX)), None);
    }
}
