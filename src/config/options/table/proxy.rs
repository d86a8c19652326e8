//! `proxy.*`: what burgee supports first, then what only fabio has.

use super::super::Impact::{Live, Rebind};
use super::super::Kind::{Boolean, Duration, Integer, KvList, Text, Unsigned};
use super::super::{Spec, pairs};
use super::{later, option};

pub(super) static PROXY: &[Spec] = &[
    option(
        "proxy.addr",
        KvList,
        "",
        Rebind,
        "The listeners: `:80;proto=tcp,192.0.2.1:443;proto=tcp`. fabio's default is `:9999` with \
         HTTP; while burgee has no HTTP, it has no default.",
    )
    .of(pairs::LISTENER),
    option(
        "proxy.strategy",
        Text,
        "rnd",
        Live,
        "How a target is picked, unless a route has a `strategy=` of its own: `rnd` at random and `rr` \
         in turn from the weighted ring of the route, `least` with the fewest connections, `hash` by \
         the client's address, the same on every instance.",
    ),
    option(
        "proxy.dialtimeout",
        Duration,
        "30s",
        Live,
        "How long one target may take to accept a connection; more than 0.",
    ),
    option(
        "proxy.idletimeout",
        Duration,
        "0s",
        Live,
        "A connection over which no byte goes for this long is closed; 0 for never.",
    )
    .not_in_fabio(),
    option(
        "proxy.connectionlimit",
        Unsigned,
        "0",
        Live,
        "The most proxied connections at a time; 0 for what the limit of file descriptors allows. \
         At the limit new clients wait in the queue of the listener.",
    )
    .not_in_fabio(),
    option(
        "proxy.sourcelimit",
        Unsigned,
        "0",
        Live,
        "The most connections of one source address at a time; 0 for any number. Those above it \
         are closed. Where a PROXY protocol header is believed, the source is the one that it \
         names.",
    )
    .not_in_fabio(),
    option(
        "proxy.sourceprefix4",
        Unsigned,
        "32",
        Live,
        "How many leading bits of an IPv4 address are one source for `proxy.sourcelimit`, 1 to 32.",
    )
    .not_in_fabio(),
    option(
        "proxy.sourceprefix6",
        Unsigned,
        "64",
        Live,
        "How many leading bits of an IPv6 address are one source for `proxy.sourcelimit`, 1 to 128. \
         One client has usually 64 bits to itself.",
    )
    .not_in_fabio(),
    option(
        "proxy.servicelimit",
        Unsigned,
        "0",
        Live,
        "The most connections to all targets of one service at a time; 0 for any number. A route \
         may set its own with `limit=`. New clients go to targets of other services of their route, \
         and where there are none they are closed.",
    )
    .not_in_fabio(),
    option(
        "proxy.halfclosedtimeout",
        Duration,
        "0s",
        Live,
        "How long one direction of a connection may go on without a byte after the other one has \
         ended; 0 for ever.",
    )
    .not_in_fabio(),
    option(
        "proxy.removedtargets",
        Text,
        "drain",
        Live,
        "What becomes of connections to a target that is in no route of its service any more: \
         `drain` lets them end by themselves, as fabio does, `cut` resets them at once, and a \
         duration such as `30s` after that time, unless the target is back before.",
    )
    .not_in_fabio(),
    option(
        "proxy.readtimeout",
        Duration,
        "0s",
        Live,
        "The `rt` of listeners that do not set it.",
    ),
    option(
        "proxy.writetimeout",
        Duration,
        "0s",
        Live,
        "The `wt` of listeners that do not set it.",
    ),
    option(
        "proxy.shutdownwait",
        Duration,
        "0s",
        Live,
        "How long connections may go on in a drain after the listeners are closed; what is left \
         then is cut. The drain ends early when none is left.",
    ),
    option(
        "proxy.deregistergraceperiod",
        Duration,
        "",
        Live,
        "How long everything goes on serving in a drain after the routes are withdrawn, while the \
         routers converge. fabio's default is 0s.",
    )
    .noting("2s when bgp.enabled is true, else 0s"),
    later("proxy.cs", KvList, "", "Certificate sources."),
    later("proxy.auth", KvList, "", "Authentication schemes."),
    later("proxy.localip", Text, "", "The address in the `by=` of `Forwarded` headers."),
    later("proxy.matcher", Text, "prefix", "How request paths are matched."),
    later("proxy.noroutestatus", Integer, "404", "The HTTP status when no route matches."),
    later("proxy.maxconn", Integer, "10000", "Most idle HTTP connections to one target."),
    later("proxy.responseheadertimeout", Duration, "0s", "Longest wait for response headers."),
    later("proxy.keepalivetimeout", Duration, "0s", "TCP keep-alive period of HTTP connections."),
    later("proxy.idleconntimeout", Duration, "15s", "Life of idle HTTP connections to targets."),
    later("proxy.flushinterval", Duration, "1s", "Flush period of event streams."),
    later("proxy.globalflushinterval", Duration, "0s", "Flush period of other responses."),
    later("proxy.header.clientip", Text, "", "Request header that gets the address of the client."),
    later("proxy.header.tls", Text, "", "Request header that is set on TLS requests."),
    later("proxy.header.tls.value", Text, "", "The value of that header."),
    later("proxy.header.requestid", Text, "", "Request header that gets a unique value."),
    later("proxy.header.sts.maxage", Integer, "0", "The max-age of the HSTS header."),
    later("proxy.header.sts.subdomains", Boolean, "false", "includeSubDomains in the HSTS header."),
    later("proxy.header.sts.preload", Boolean, "false", "preload in the HSTS header."),
    later("proxy.gzip.contenttype", Text, "", "Content types that are compressed."),
    later("proxy.grpcmaxrxmsgsize", Integer, "4194304", "Longest gRPC message that is received."),
    later("proxy.grpcmaxtxmsgsize", Integer, "4194304", "Longest gRPC message that is sent."),
    later("proxy.grpcshutdowntimeout", Duration, "2s", "Wait before a gRPC connection is closed."),
    later("proxy.log.routes", Text, "", "Old name of log.routes.format."),
];
