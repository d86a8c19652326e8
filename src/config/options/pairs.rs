//! The options inside the kv-lists that burgee reads.

use super::Kind::{Boolean, Duration, Text, Unsigned};
use super::Support::{Ignored, NotYet, Refused, Supported};
use super::{Kind, PairSpec, Support};

const fn pair(
    key: &'static str,
    kind: Kind,
    default: &'static str,
    support: Support,
    help: &'static str,
) -> PairSpec {
    PairSpec::new(key, kind, default, support, help)
}

/// The options of a listener of `proxy.addr`.
pub(super) static LISTENER: &[PairSpec] = &[
    pair(
        "",
        Text,
        "",
        Supported,
        "The address, as the first value without a key: `:port` for all addresses of both \
         families, `ip:port`, or `[ipv6]:port`. `0.0.0.0` and `[::]` stand for all addresses of \
         their own family.",
    ),
    pair("addr", Text, "", Supported, "The address, when it is not the first value."),
    pair(
        "proto",
        Text,
        "http",
        Supported,
        "The protocol. Only `tcp` is supported for now; fabio's others are an error, and so is \
         the default.",
    ),
    pair(
        "rt",
        Duration,
        "proxy.readtimeout",
        Supported,
        "Longest wait for bytes from the client; 0 for none.",
    ),
    pair(
        "wt",
        Duration,
        "proxy.writetimeout",
        Supported,
        "Longest wait for the client to take bytes; 0 for none.",
    ),
    pair("cs", Text, "", Refused, "The certificate source with which TLS is terminated."),
    pair("pxyproto", Boolean, "false", Refused, "Read the PROXY protocol from clients."),
    pair(
        "pxytimeout",
        Duration,
        "250ms",
        Ignored("it is the wait for a PROXY protocol header"),
        "Longest wait for a PROXY protocol header.",
    ),
    pair(
        "it",
        Duration,
        "rt",
        Ignored("it is for HTTP, and in fabio too without effect on proto=tcp"),
        "Idle time of HTTP connections.",
    ),
    pair("strictmatch", Boolean, "false", NotYet, "Refuse server names without a certificate."),
    pair("tlsmin", Text, "", NotYet, "Lowest version of TLS."),
    pair("tlsmax", Text, "", NotYet, "Highest version of TLS."),
    pair("tlsciphers", Text, "", NotYet, "Cipher suites of TLS 1.2 and below."),
    pair(
        "refresh",
        Duration,
        "0s",
        Ignored("it is for proto=tcp-dynamic"),
        "Time between two looks for new ports.",
    ),
];

/// The options of a neighbour of `bgp.peers`.
pub(super) static PEER: &[PairSpec] = &[
    pair("address", Text, "", Supported, "The IP address of the neighbour. Required."),
    pair(
        "port",
        Unsigned,
        "179",
        Supported,
        "The port of the neighbour; 0 is 179. When it is set, connections are made from \
         `bgp.routerid`, as in fabio, unless `source` is set.",
    ),
    pair(
        "asn",
        Unsigned,
        "",
        Supported,
        "The AS number of the neighbour. Required, while fabio takes a missing one for any AS.",
    ),
    pair(
        "multihop",
        Boolean,
        "false",
        Supported,
        "The neighbour is more than one hop away. Without it packets to an eBGP neighbour leave \
         with a TTL of 1.",
    ),
    pair(
        "multihoplength",
        Unsigned,
        "2",
        Supported,
        "The TTL of packets to a neighbour with `multihop=true`; 0 is 255.",
    ),
    pair(
        "password",
        Text,
        "",
        Supported,
        "The TCP MD5 password (RFC 2385), of at most 80 bytes. Never printed.",
    )
    .secret(),
    pair(
        "passwordfile",
        Text,
        "",
        Supported,
        "A file that holds the password; a newline at its end is dropped.",
    )
    .not_in_fabio(),
    pair(
        "ttlsecurity",
        Text,
        "false",
        Supported,
        "GTSM (RFC 5082): the most hops to the neighbour, 1 to 254, or `true` for 1. Packets from \
         further away are dropped. The neighbour has to send with a TTL of 255 too. Not together \
         with `multihop`.",
    )
    .not_in_fabio(),
    pair(
        "passive",
        Boolean,
        "false",
        Supported,
        "Wait for the neighbour to connect and never connect to it.",
    )
    .not_in_fabio(),
    pair("source", Text, "", Supported, "The local IP address of connections to the neighbour.")
        .not_in_fabio(),
    pair("holdtime", Duration, "bgp.holdtime", Supported, "The hold time for this neighbour.")
        .not_in_fabio(),
    pair(
        "keepalive",
        Duration,
        "bgp.keepalive",
        Supported,
        "Time between two KEEPALIVE messages to this neighbour.",
    )
    .not_in_fabio(),
    pair(
        "neighboraddress",
        Text,
        "",
        Ignored("fabio's help names it, but the key is \"address\""),
        "Named by the help of fabio, which reads `address`.",
    ),
];
