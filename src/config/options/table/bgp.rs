//! `bgp.*`: what burgee supports first, then what only fabio has.

use super::super::Impact::{Announce, Live, Rebind, Restart, SessionReset};
use super::super::Kind::{Boolean, Duration, Integer, KvList, List, Text, Unsigned};
use super::super::{Spec, pairs};
use super::{later, option};

pub(super) static BGP: &[Spec] = &[
    option(
        "bgp.enabled",
        Boolean,
        "false",
        Restart,
        "Whether the anycast addresses are announced over BGP.",
    ),
    option("bgp.asn", Unsigned, "65000", SessionReset, "Our AS number, of up to 32 bits."),
    option(
        "bgp.routerid",
        Text,
        "",
        SessionReset,
        "Our BGP identifier: an IPv4 address of this host that is not an anycast address. \
         Required with BGP.",
    ),
    option(
        "bgp.nexthop",
        Text,
        "",
        Announce,
        "The next hop of IPv4 prefixes. 0.0.0.0 is the local address of each session.",
    )
    .noting("bgp.routerid"),
    option(
        "bgp.nexthop6",
        Text,
        "::",
        Announce,
        "The next hop of IPv6 prefixes. `::` is the local address of each session, which takes \
         neighbours with IPv6 addresses.",
    )
    .not_in_fabio(),
    option(
        "bgp.anycastaddresses",
        KvList,
        "",
        Announce,
        "The prefixes to announce: `192.0.2.53/32,2001:db8::53/128;med=10`. Required with BGP. \
         What a neighbour sets in `bgp.peers` goes before what a prefix sets here, but prepends \
         add up and communities are joined.",
    )
    .of(pairs::PREFIX),
    option(
        "bgp.announce",
        Text,
        "ready",
        Announce,
        "When a prefix is announced: `ready` only while it can be served, `always` as long as the \
         process lives, as fabio does.",
    )
    .not_in_fabio(),
    option(
        "bgp.announce.holdup",
        Duration,
        "5s",
        Announce,
        "How long a prefix has to be fit to be served before it is announced, or announced as more \
         preferred, again; at most 1h. A fall never waits, and neither does the first announcement \
         after a clean stop.",
    )
    .not_in_fabio(),
    option(
        "bgp.announce.flaphalflife",
        Duration,
        "1m",
        Announce,
        "Each withdrawal of a prefix adds 1000 to its penalty, and each other fall 500; after this \
         time half of it is gone. 0 for no penalty, else 1s to 24h.",
    )
    .not_in_fabio(),
    option(
        "bgp.announce.flapsuppress",
        Unsigned,
        "3000",
        Announce,
        "From this penalty on a prefix that fell does not rise again; 1 to 1000000.",
    )
    .not_in_fabio(),
    option(
        "bgp.announce.flapreuse",
        Unsigned,
        "1000",
        Announce,
        "Below this penalty it may rise again; less than `bgp.announce.flapsuppress`.",
    )
    .not_in_fabio(),
    option(
        "bgp.announce.flapmax",
        Duration,
        "10m",
        Announce,
        "The longest time that a penalty keeps a prefix from rising, however often it fell; not less \
         than `bgp.announce.flaphalflife`, and at most 24h.",
    )
    .not_in_fabio(),
    option(
        "bgp.announce.statefile",
        Text,
        "/run/burgee/announcements",
        Restart,
        "The file in which penalties survive a restart, and by which the next start knows of a crash: \
         then the first announcement waits for `bgp.announce.holdup` too, so that a crash loop is no \
         flap. Empty for none.",
    )
    .not_in_fabio(),
    option(
        "bgp.maintenancefile",
        Text,
        "",
        Live,
        "While a file of this name is there, everything is drained as by `burgee drain`. Empty for \
         none.",
    )
    .not_in_fabio(),
    option(
        "bgp.gracefulshutdown",
        Duration,
        "0s",
        Live,
        "How long a prefix carries the community `graceful-shutdown` (RFC 8326) before a planned \
         withdrawal, so that routers move its traffic while the old path still works; 0 for not at \
         all, at most 1h. eBGP neighbours have to act on 65535:0 by their own policy.",
    )
    .not_in_fabio(),
    option(
        "bgp.vip",
        Text,
        "",
        Restart,
        "The interface, such as `lo`, to which the addresses of prefixes of one address (`/32`, \
         `/128`) are added before they are announced, and from which they are removed after they are \
         withdrawn. Addresses that are there anyway are left alone. Empty: none is added.",
    )
    .not_in_fabio(),
    option(
        "bgp.listenport",
        Integer,
        "179",
        Rebind,
        "The port on which neighbours can connect; 0 is 179, and -1 is no listener.",
    ),
    option(
        "bgp.listenaddresses",
        List,
        "0.0.0.0",
        Rebind,
        "The addresses on which neighbours can connect. Set to nothing it is `0.0.0.0,::`.",
    )
    .noting("and `::` when a neighbour has an IPv6 address"),
    option(
        "bgp.connectretry",
        Duration,
        "3s",
        Live,
        "Time between two tries to connect to a neighbour, less a random quarter.",
    )
    .not_in_fabio(),
    option(
        "bgp.holdtime",
        Duration,
        "1m30s",
        SessionReset,
        "The hold time to propose: a session is lost when its neighbour is silent for so long. 0 \
         for never, else whole seconds from 3s up.",
    )
    .not_in_fabio(),
    option(
        "bgp.keepalive",
        Duration,
        "0s",
        SessionReset,
        "Time between two KEEPALIVE messages; 0 for a third of the negotiated hold time.",
    )
    .not_in_fabio(),
    option(
        "bgp.templates",
        KvList,
        "",
        SessionReset,
        "Options that several neighbours share: `name=tor;asn=65000;bfd=true`, for those that have \
         `template=tor` in `bgp.peers`. They can be all those of `bgp.peers` but `address`, `prefix` \
         and `template`. What a neighbour sets itself goes before, and to set it to nothing, as in \
         `med=`, takes it away.",
    )
    .of(pairs::PEER)
    .not_in_fabio()
    .documented_elsewhere(),
    option(
        "bgp.peers",
        KvList,
        "",
        SessionReset,
        "The neighbours: `address=192.0.2.1;asn=65001,address=192.0.2.2;asn=65001`. Required \
         with BGP. A change resets only the sessions of neighbours that changed.",
    )
    .of(pairs::PEER),
    later("bgp.enablegrpc", Boolean, "false", "The gRPC interface of GoBGP."),
    later("bgp.grpclistenaddress", Text, "127.0.0.1:50051", "Where the gRPC interface listens."),
    later("bgp.gobgpdcfgfile", Text, "", "A configuration file of gobgpd."),
    later(
        "bgp.grpctls",
        Boolean,
        "false",
        "TLS for it. Documented by fabio, without effect there.",
    ),
    later("bgp.certfile", Text, "", "Its certificate. Likewise."),
    later("bgp.keyfile", Text, "", "The key of the certificate. Likewise."),
];
