//! The options inside the kv-lists that burgee reads.

mod bgp;

pub(super) use bgp::{PEER, PREFIX};

use super::Impact::{Live, Restart};
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
         their own family. `{{ GetPrivateIP }}`, `{{ GetPublicIP }}` and `{{ GetInterfaceIP \"eth0\" \
         }}` stand for an address of this host, and are looked up again on a reload; in brackets, \
         `[{{ GetPrivateIP }}]:80`, it may be an IPv6 one.",
    ),
    pair("addr", Text, "", Supported, "The address, when it is not the first value."),
    pair(
        "proto",
        Text,
        "http",
        Supported,
        "The protocol: `tcp`; `tcp+sni`, where the route is that of the server name in the TLS \
         ClientHello; `tcp-dynamic`, a template for a listener on each port that the routes name, \
         which is written with port 0; or `udp`, which fabio does not have. fabio's others are an error for now, and so is the \
         default.",
    ),
    pair(
        "rt",
        Duration,
        "proxy.readtimeout",
        Supported,
        "Longest wait for bytes from the client; 0 for none. Not with `proto=udp`.",
    )
    .costing(Live),
    pair(
        "wt",
        Duration,
        "proxy.writetimeout",
        Supported,
        "Longest wait for the client to take bytes; 0 for none. Not with `proto=udp`.",
    )
    .costing(Live),
    pair("cs", Text, "", Refused, "The certificate source with which TLS is terminated."),
    pair(
        "pxyproto",
        Text,
        "false",
        Supported,
        "Whether connections begin with a header of the PROXY protocol, version 1 or 2, which says \
         who the client is: `true` where there may be one, as in fabio, `strict` where there must \
         be one: without, and from whom it is not believed, the connection is closed. Not with \
         `proto=udp`.",
    )
    .costing(Live),
    pair(
        "pxytimeout",
        Duration,
        "250ms, 3s with pxyproto=strict",
        Supported,
        "Longest wait for the header; 0 is the default, as in fabio. With `pxyproto=true` a client \
         that sends nothing waits so long too.",
    )
    .costing(Live),
    pair(
        "pxytrusted",
        Text,
        "everybody",
        Supported,
        "Whose header is believed: addresses and prefixes with blanks between them, at most 256. \
         Without it any client can claim any address.",
    )
    .costing(Live)
    .not_in_fabio(),
    pair(
        "connections",
        Unsigned,
        "0",
        Supported,
        "The most connections of this listener at a time, with `proto=tcp-dynamic` of each port; 0 \
         for no limit of its own. At the limit new clients wait in the queue of the listener. Not \
         with `proto=udp`, which has `flows`.",
    )
    .costing(Live)
    .not_in_fabio(),
    pair(
        "hellotimeout",
        Duration,
        "5s",
        Supported,
        "With `proto=tcp+sni`: longest wait for the whole ClientHello; more than 0.",
    )
    .costing(Live)
    .not_in_fabio(),
    pair(
        "it",
        Duration,
        "30s with proto=udp",
        Supported,
        "With `proto=udp`: a flow without a datagram in either direction for this long is over; \
         more than 0. In fabio the idle time of HTTP connections.",
    )
    .costing(Restart),
    pair(
        "flows",
        Unsigned,
        "0",
        Supported,
        "With `proto=udp`: the most flows of this listener at a time, where the one that has been \
         silent for longest gives way; 0 for as many as there may be, 16384 in all listeners or a \
         quarter of the limit of file descriptors.",
    )
    .costing(Restart)
    .not_in_fabio(),
    pair(
        "freebind",
        Boolean,
        "false",
        Supported,
        "Listen on the address although the host does not have it, or not yet, as with an anycast \
         address that is added and removed. Without it such an address is an error.",
    )
    .not_in_fabio(),
    pair("strictmatch", Boolean, "false", NotYet, "Refuse server names without a certificate."),
    pair("tlsmin", Text, "", NotYet, "Lowest version of TLS."),
    pair("tlsmax", Text, "", NotYet, "Highest version of TLS."),
    pair("tlsciphers", Text, "", NotYet, "Cipher suites of TLS 1.2 and below."),
    pair(
        "refresh",
        Duration,
        "0s",
        Supported,
        "With `proto=tcp-dynamic`: fabio's time between two looks for new ports. burgee follows \
         the routes at once, so it makes no difference.",
    ),
];

/// Why the time limits of connections to the API are no options.
const OWN_TIMEOUTS: &str = "the API has time limits of its own";

/// The options of the one listener of `ui.addr`.
pub(super) static ADMIN: &[PairSpec] = &[
    pair(
        "",
        Text,
        "",
        Supported,
        "The address, as the first value without a key, written as in `proxy.addr`: `:9998` for all \
         addresses of both families, `127.0.0.1:9998`, `{{ GetPrivateIP }}:9998`.",
    ),
    pair("addr", Text, "", Supported, "The address, when it is not the first value."),
    pair("proto", Text, "http", Supported, "Only `http`; any other is an error for now."),
    pair("cs", Text, "", Refused, "The certificate source with which TLS is terminated."),
    pair("rt", Duration, "0s", Ignored(OWN_TIMEOUTS), "Longest wait for bytes from the client."),
    pair("wt", Duration, "0s", Ignored(OWN_TIMEOUTS), "Longest wait for the client to take bytes."),
    pair("it", Duration, "0s", Ignored(OWN_TIMEOUTS), "Longest life of an idle connection."),
    pair("pxyproto", Boolean, "false", NotYet, "Expect a header of the PROXY protocol."),
    pair("pxytimeout", Duration, "250ms", NotYet, "Longest wait for that header."),
    pair("strictmatch", Boolean, "false", NotYet, "Refuse server names without a certificate."),
    pair("tlsmin", Text, "", NotYet, "Lowest version of TLS."),
    pair("tlsmax", Text, "", NotYet, "Highest version of TLS."),
    pair("tlsciphers", Text, "", NotYet, "Cipher suites of TLS 1.2 and below."),
    pair(
        "refresh",
        Duration,
        "0s",
        Ignored("it is for proto=tcp-dynamic, and in fabio too without effect here"),
        "Time between two looks for new ports.",
    ),
];
