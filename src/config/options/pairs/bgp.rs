//! The options of prefixes and of neighbours.

use super::super::Impact::{Announce, Live};
use super::super::Kind::{Boolean, Duration, Text, Unsigned};
use super::super::PairSpec;
use super::super::Support::{Ignored, Supported};
use super::pair;

const MED: PairSpec = pair(
    "med",
    Unsigned,
    "",
    Supported,
    "MULTI_EXIT_DISC: among paths over the same AS, routers prefer the lowest. Empty: none is sent.",
)
.not_in_fabio()
.costing(Announce);

const LOCAL_PREF: PairSpec = pair(
    "localpref",
    Unsigned,
    "100",
    Supported,
    "LOCAL_PREF, which only iBGP neighbours are sent: they prefer the highest. Unless it is set, \
     `communities=graceful-shutdown` makes it 0.",
)
.not_in_fabio()
.costing(Announce);

const PREPEND: PairSpec = pair(
    "prepend",
    Unsigned,
    "0",
    Supported,
    "How many more times our AS is in AS_PATH, 0 to 32. No effect on iBGP neighbours.",
)
.not_in_fabio()
.costing(Announce);

const COMMUNITIES: PairSpec = pair(
    "communities",
    Text,
    "",
    Supported,
    "Communities (RFC 1997) with blanks between them, at most 64: `65000:1`, or a well-known one of \
     `no-export`, `no-advertise`, `no-export-subconfed`, `no-peer`, `blackhole`, \
     `graceful-shutdown`, `llgr-stale`, `no-llgr`. With `graceful-shutdown` (RFC 8326) routers \
     use the path last: iBGP neighbours by a LOCAL_PREF of 0, others by their own policy.",
)
.not_in_fabio()
.costing(Announce);

const LARGE_COMMUNITIES: PairSpec = pair(
    "largecommunities",
    Text,
    "",
    Supported,
    "Large communities (RFC 8092) with blanks between them, at most 64: `4200000000:1:2`.",
)
.not_in_fabio()
.costing(Announce);

const EXTENDED_COMMUNITIES: PairSpec = pair(
    "extcommunities",
    Text,
    "",
    Supported,
    "Extended communities (RFC 4360, RFC 5668) with blanks between them, at most 64: \
     `rt:65000:1`, `rt:4200000000:1`, `rt:192.0.2.1:1`, the same with `soo:`, or all 8 octets as \
     `0x` and 16 hexadecimal digits.",
)
.not_in_fabio()
.costing(Announce);

/// The options of a prefix of `bgp.anycastaddresses`.
pub(in super::super) static PREFIX: &[PairSpec] = &[
    pair("", Text, "", Supported, "The prefix, as the first value without a key."),
    MED,
    LOCAL_PREF,
    PREPEND,
    COMMUNITIES,
    LARGE_COMMUNITIES,
    EXTENDED_COMMUNITIES,
    pair(
        "nexthop",
        Text,
        "bgp.nexthop, bgp.nexthop6",
        Supported,
        "The next hop: an address of the family of the prefix, or `self` for our own address of \
         each session.",
    )
    .not_in_fabio(),
    pair(
        "peers",
        Text,
        "all",
        Supported,
        "The neighbours that hear of the prefix, by `name` or address, with blanks between them. \
         The name of a `prefix` of `bgp.peers` stands for all its neighbours.",
    )
    .not_in_fabio(),
    pair(
        "service",
        Text,
        "",
        Supported,
        "The services that the prefix depends on, as the routes name them, with blanks between them. \
         Empty: the routes that its address serves, on a listener of that address, or else all \
         routes.",
    )
    .not_in_fabio(),
    pair(
        "require",
        Text,
        "all",
        Supported,
        "With several services: whether `all` have to be fit to be served, so that the worst of them \
         counts, or `any`, so that the best does.",
    )
    .not_in_fabio(),
    pair(
        "minhealthy",
        Text,
        "1",
        Supported,
        "How many healthy targets a service needs: a count from 1 up, or a share of its targets such \
         as `50%`. With fewer `whenempty` says what becomes of the prefix.",
    )
    .not_in_fabio(),
    pair(
        "shutdownbelow",
        Text,
        "no such step",
        Supported,
        "With fewer healthy targets than this count or share, but still enough for `minhealthy`, the \
         prefix carries the community `graceful-shutdown` (RFC 8326), and LOCAL_PREF 0 towards iBGP \
         neighbours. An eBGP neighbour has to act on 65535:0 by its own policy.",
    )
    .not_in_fabio(),
    pair(
        "depreferbelow",
        Text,
        "no such step",
        Supported,
        "With fewer healthy targets than this count or share, but still enough for the steps below, \
         the prefix is announced as less preferred, as `depreferprepend` and its companions say.",
    )
    .not_in_fabio(),
    pair(
        "whenempty",
        Text,
        "withdraw",
        Supported,
        "What becomes of the prefix with fewer healthy targets than `minhealthy`: `withdraw`, `keep` \
         it announced on the lowest of its steps, or `deprefer` it, so that it is used only where no \
         other instance announces it.",
    )
    .not_in_fabio(),
    pair(
        "depreferprepend",
        Unsigned,
        "3",
        Supported,
        "While the prefix is less preferred: how many more times our AS is in AS_PATH towards eBGP \
         neighbours, 0 to 32, beside `prepend`.",
    )
    .not_in_fabio(),
    pair(
        "depreferlocalpref",
        Unsigned,
        "50",
        Supported,
        "While the prefix is less preferred: LOCAL_PREF towards iBGP neighbours, unless `localpref` is \
         lower.",
    )
    .not_in_fabio(),
    pair(
        "deprefermed",
        Unsigned,
        "med",
        Supported,
        "While the prefix is less preferred: MULTI_EXIT_DISC, which routers compare only among paths \
         over the same AS.",
    )
    .not_in_fabio(),
    pair(
        "deprefercommunities",
        Text,
        "",
        Supported,
        "While the prefix is less preferred: more communities, written as in `communities`.",
    )
    .not_in_fabio(),
];

/// The options of a neighbour of `bgp.peers`.
pub(in super::super) static PEER: &[PairSpec] = &[
    pair(
        "name",
        Text,
        "address or prefix",
        Supported,
        "What the neighbour is called in the log and in the `peers` of prefixes: at most 64 \
         letters, digits and `. _ - : / @`. No two have the same.",
    )
    .not_in_fabio()
    .costing(Announce),
    pair(
        "address",
        Text,
        "",
        Supported,
        "The IP address of the neighbour; a link-local one with its interface, `fe80::1%eth0`. \
         This or `prefix` is required.",
    ),
    pair(
        "prefix",
        Text,
        "",
        Supported,
        "Whoever connects from this prefix is a neighbour; none is dialled. An `address` goes \
         before a prefix, a long prefix before a short one.",
    )
    .not_in_fabio(),
    pair(
        "limit",
        Unsigned,
        "100",
        Supported,
        "Most neighbours of the prefix at a time, 1 to 1000.",
    )
    .not_in_fabio()
    .costing(Live),
    pair(
        "template",
        Text,
        "",
        Supported,
        "The name of a template of `bgp.templates`: its options hold unless they are set here.",
    )
    .not_in_fabio(),
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
    pair(
        "source",
        Text,
        "",
        Supported,
        "The local IP address of connections to the neighbour; a link-local one for a link-local \
         neighbour.",
    )
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
    MED,
    LOCAL_PREF,
    PREPEND,
    COMMUNITIES,
    LARGE_COMMUNITIES,
    EXTENDED_COMMUNITIES,
    pair(
        "nexthop",
        Text,
        "nexthop of the prefix",
        Supported,
        "The next hop of what is announced to the neighbour: an address, which holds for prefixes \
         of its family, or `self` for our own address of the session.",
    )
    .not_in_fabio()
    .costing(Announce),
    pair(
        "bfd",
        Boolean,
        "false",
        Supported,
        "Watch the path to the neighbour with BFD (RFC 5880), and end the BGP session as soon as it \
         is lost. With `multihop=true` as RFC 5883 says, else as RFC 5881 does.",
    )
    .not_in_fabio()
    .costing(Live),
    pair(
        "bfdinterval",
        Duration,
        "300ms",
        Supported,
        "Time between two BFD packets, in both directions; 10ms to 1m. The neighbour may ask for a \
         longer one.",
    )
    .not_in_fabio()
    .costing(Live),
    pair(
        "bfdmultiplier",
        Unsigned,
        "3",
        Supported,
        "How many BFD packets may be lost in a row, 1 to 255.",
    )
    .not_in_fabio()
    .costing(Live),
    pair(
        "advertisementinterval",
        Duration,
        "0s",
        Supported,
        "Least time between two announcements to the neighbour, less up to a quarter: \
         MinRouteAdvertisementInterval and MinASOriginationInterval (RFC 4271 §9.2.1). Withdrawals \
         never wait.",
    )
    .not_in_fabio()
    .costing(Live),
    pair(
        "extendednexthop",
        Boolean,
        "false",
        Supported,
        "Offer IPv6 next hops for IPv4 routes (RFC 8950). Where the neighbour agrees and is reached \
         over IPv6, IPv4 prefixes go with `bgp.nexthop6`, or else our own address of the session.",
    )
    .not_in_fabio(),
    pair(
        "addpath",
        Text,
        "none",
        Supported,
        "Path identifiers (RFC 7911): `none`, `send`, `receive` or `both`.",
    )
    .not_in_fabio(),
    pair(
        "gracefulrestart",
        Boolean,
        "false",
        Supported,
        "Graceful restart (RFC 4724, RFC 8538): the neighbour keeps our routes when the session is \
         lost. So a crash no longer withdraws, and traffic goes on coming while nothing serves it; \
         a planned stop withdraws as ever.",
    )
    .not_in_fabio(),
    pair(
        "restarttime",
        Duration,
        "120s",
        Supported,
        "How long the neighbour keeps them with `gracefulrestart=true`; 1s to 4095s.",
    )
    .not_in_fabio(),
    pair(
        "role",
        Text,
        "",
        Supported,
        "What we are to an eBGP neighbour (RFC 9234): `customer`, `provider`, `peer`, `rs` or \
         `rs-client`. A neighbour that says something else than the counterpart is refused, and \
         routes carry ONLY_TO_CUSTOMER as that asks.",
    )
    .not_in_fabio(),
    pair(
        "strictrole",
        Boolean,
        "false",
        Supported,
        "With `role`: refuse a neighbour that does not say its own.",
    )
    .not_in_fabio(),
    pair(
        "fqdn",
        Boolean,
        "false",
        Supported,
        "Tell the neighbour the name of this host, for its operators.",
    )
    .not_in_fabio(),
    pair(
        "softwareversion",
        Boolean,
        "false",
        Supported,
        "Tell the neighbour that this is burgee, and its version.",
    )
    .not_in_fabio(),
    pair(
        "maxprefixes",
        Unsigned,
        "no limit",
        Supported,
        "How many prefixes of each family the neighbour may announce, 1 to 10000000, although all \
         are rejected. With more the session ends. They are kept in memory to be counted.",
    )
    .not_in_fabio()
    .costing(Live),
    pair(
        "maxprefixeswarning",
        Unsigned,
        "75",
        Supported,
        "The share of `maxprefixes` that is warned of, in percent; 0 for never.",
    )
    .not_in_fabio()
    .costing(Live),
    pair(
        "maxprefixesrestart",
        Duration,
        "1m",
        Supported,
        "How long a neighbour that went over `maxprefixes` is kept out.",
    )
    .not_in_fabio()
    .costing(Live),
    pair(
        "neighboraddress",
        Text,
        "",
        Ignored("fabio's help names it, but the key is \"address\""),
        "Named by the help of fabio, which reads `address`.",
    ),
];
