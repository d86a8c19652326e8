//! The table itself: what burgee supports first, then what only fabio has.

use super::Impact::{Announce, Live, Rebind, Restart, SessionReset};
use super::Kind::{Boolean, Duration, Integer, KvList, List, Text, Unsigned};
use super::Support::{Ignored, NotYet, Supported};
use super::{Impact, Kind, Spec, pairs};

const fn option(
    key: &'static str,
    kind: Kind,
    default: &'static str,
    impact: Impact,
    help: &'static str,
) -> Spec {
    let mut spec = Spec::new(key, kind, default, Supported, help);
    spec.impact = impact;
    spec
}

/// A key of fabio that has no effect yet.
const fn later(key: &'static str, kind: Kind, default: &'static str, help: &'static str) -> Spec {
    Spec::new(key, kind, default, NotYet, help)
}

/// A key of fabio that has no meaning here.
const fn ignored(
    key: &'static str,
    kind: Kind,
    default: &'static str,
    why: &'static str,
    help: &'static str,
) -> Spec {
    Spec::new(key, kind, default, Ignored(why), help)
}

const GO: &str = "it is for the runtime of Go, in which fabio is written";
const UNUSED: &str = "fabio accepts it too and makes no use of it";

/// All options, those of one group together.
pub static OPTIONS: &[Spec] = &[
    ignored(
        "insecure",
        Boolean,
        "false",
        "burgee says nothing about running as root",
        "Changes the text of a warning about running as root.",
    ),
    // config
    option(
        "config.watch",
        Boolean,
        "false",
        Live,
        "Watch the properties file, and reload when it is another one, as SIGHUP does.",
    )
    .not_in_fabio(),
    // proxy
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
    // log
    option(
        "log.level",
        Text,
        "INFO",
        Live,
        "From which level on log lines are written: TRACE, DEBUG, INFO, WARN, ERROR or FATAL, in \
         any case. FATAL is the same as ERROR.",
    ),
    option(
        "log.access.target",
        Text,
        "",
        Restart,
        "Where the access log goes: `stdout`, or nothing for no access log.",
    ),
    option(
        "log.access.format",
        Text,
        "common",
        Restart,
        "The format of the access log: the name of one, or text with `$fields` in it.",
    ),
    later("log.routes.format", Text, "delta", "How changes of the routes are logged."),
    // health
    option("health.interval", Duration, "2s", Live, "Time between two checks of a target.")
        .not_in_fabio(),
    option("health.timeout", Duration, "1s", Live, "How long one check of a target may take.")
        .not_in_fabio(),
    option(
        "health.rise",
        Unsigned,
        "2",
        Live,
        "Checks in a row that have to succeed before a target is healthy.",
    )
    .not_in_fabio(),
    option(
        "health.fall",
        Unsigned,
        "2",
        Live,
        "Checks in a row that have to fail before a target is unhealthy.",
    )
    .not_in_fabio(),
    // registry
    option(
        "registry.backend",
        Text,
        "static",
        Live,
        "Where the routes come from: `static` for `registry.static.routes`, `file` for the file of \
         `registry.file.path`. fabio's others are an error for now, and so is its default, `consul`.",
    ),
    option(
        "registry.static.routes",
        Text,
        "",
        Live,
        "The route commands of the static backend, one a line. A properties file writes the end \
         of a line as `\\n`.",
    ),
    option(
        "registry.file.path",
        Text,
        "",
        Live,
        "The file of the file backend: route commands, one a line. Required with it. The file is \
         read again whenever it is another one; fabio reads it once.",
    ),
    option(
        "registry.file.pollinterval",
        Duration,
        "0s",
        Live,
        "Look at the file this often, beside being told of changes by the kernel, which cannot tell \
         of those that are made on another host; 0 for never, else at least 100ms.",
    )
    .not_in_fabio(),
    later("registry.timeout", Duration, "10s", "How long the start waits for the backend."),
    later("registry.retry", Duration, "500ms", "Pause between two tries to reach the backend."),
    later("registry.static.noroutehtml", Text, "", "The page for requests without a route.")
        .also_called(&["registry.static.noroutehtmlpath"]),
    later("registry.file.noroutehtmlpath", Text, "", "The file with the page."),
    later("registry.consul.addr", Text, "localhost:8500", "The address of Consul."),
    later("registry.consul.token", Text, "", "The ACL token for Consul.").secret(),
    later("registry.consul.namespace", Text, "", "The namespace of Consul Enterprise."),
    later("registry.consul.kvpath", Text, "/fabio/config", "The prefix of routes in the KV store."),
    later(
        "registry.consul.noroutehtmlpath",
        Text,
        "/fabio/noroute.html",
        "The prefix of the page in the KV store.",
    ),
    later("registry.consul.tagprefix", Text, "urlprefix-", "The prefix of tags that are routes."),
    later("registry.consul.service.status", List, "passing", "The check states that are good."),
    later("registry.consul.checksRequired", Text, "one", "Whether all checks have to be good."),
    later("registry.consul.serviceMonitors", Integer, "1", "Look-ups in parallel."),
    later("registry.consul.pollinterval", Duration, "0s", "Poll instead of waiting for changes.")
        .also_called(&["registry.consul.pollInterval"]),
    later("registry.consul.requireConsistent", Boolean, "true", "Consistent reads."),
    later("registry.consul.allowStale", Boolean, "false", "Stale reads."),
    later("registry.consul.tls.keyfile", Text, "", "The key for Consul."),
    later("registry.consul.tls.certfile", Text, "", "The certificate for Consul."),
    later("registry.consul.tls.cafile", Text, "", "The CA of Consul, as a file."),
    later("registry.consul.tls.capath", Text, "", "The CAs of Consul, as a directory."),
    later("registry.consul.tls.insecureskipverify", Boolean, "false", "Trust any Consul."),
    later("registry.consul.register.enabled", Boolean, "true", "Register this proxy in Consul."),
    later("registry.consul.register.addr", Text, "", "The address that is registered.")
        .noting("the value of ui.addr"),
    later("registry.consul.register.name", Text, "fabio", "The name that is registered."),
    later("registry.consul.register.tags", List, "", "The tags that are registered."),
    later("registry.consul.register.checkInterval", Duration, "1s", "Time between two checks."),
    later("registry.consul.register.checkTimeout", Duration, "3s", "Longest time for a check."),
    later(
        "registry.consul.register.checkTLSSkipVerify",
        Boolean,
        "false",
        "Trust any certificate.",
    ),
    ignored(
        "registry.consul.register.checkDeregisterCriticalServiceAfter",
        Text,
        "",
        UNUSED,
        "When Consul forgets a proxy that is gone.",
    )
    .also_called(&["registry.consul.register.deregisterCriticalServiceAfter"]),
    later("registry.custom.host", Text, "", "The host of the custom backend."),
    later("registry.custom.scheme", Text, "https", "Its scheme."),
    later("registry.custom.path", Text, "", "Its path."),
    later("registry.custom.queryparams", Text, "", "Its query.").secret(),
    later("registry.custom.pollinterval", Duration, "10s", "Time between two polls."),
    later("registry.custom.timeout", Duration, "5s", "Longest time for a poll."),
    later("registry.custom.checkTLSSkipVerify", Boolean, "false", "Trust any backend."),
    later("registry.custom.noroutehtml", Text, "", "The page for requests without a route."),
    // bgp
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
    // metrics
    later("metrics.target", Text, "", "The systems that metrics are sent to."),
    later(
        "metrics.prefix",
        Text,
        "{{clean .Hostname}}.{{clean .Exec}}",
        "The template of the prefix of metrics.",
    ),
    ignored("metrics.names", Text, "", UNUSED, "The template of the names of metrics."),
    later("metrics.interval", Duration, "30s", "Time between two pushes."),
    ignored("metrics.timeout", Duration, "10s", UNUSED, "Longest time for a push."),
    ignored("metrics.retry", Duration, "500ms", UNUSED, "Pause before another push."),
    later("metrics.graphite.addr", Text, "", "The address of Graphite."),
    later("metrics.statsd.addr", Text, "", "The address of statsd."),
    later("metrics.dogstatsd.addr", Text, "", "The address of DogStatsD."),
    later("metrics.prometheus.subsystem", Text, "", "The subsystem in the names of metrics."),
    later("metrics.prometheus.path", Text, "/metrics", "The path of the metrics."),
    later(
        "metrics.prometheus.buckets",
        List,
        ".005,.01,.025,.05,.1,.25,.5,1,2.5,5,10",
        "The buckets of histograms, in seconds.",
    ),
    later("metrics.circonus.apikey", Text, "", "The key for Circonus.").secret(),
    later("metrics.circonus.apiapp", Text, "fabio", "The name for Circonus."),
    later("metrics.circonus.apiurl", Text, "", "The address of Circonus."),
    later("metrics.circonus.brokerid", Text, "", "The broker at Circonus."),
    later("metrics.circonus.checkid", Text, "", "The check at Circonus."),
    later("metrics.circonus.submissionurl", Text, "", "Where Circonus takes metrics.").secret(),
    // ui
    later("ui.addr", KvList, ":9998", "Where the web page and the API listen."),
    later("ui.access", Text, "rw", "Whether the API may change routes."),
    later("ui.path", Text, "", "The prefix of the web page."),
    later("ui.color", Text, "light-green", "The colour of the web page."),
    later("ui.title", Text, "", "The title of the web page."),
    later("ui.routingtable.source.linkenabled", Boolean, "false", "Links to the sources."),
    later("ui.routingtable.source.newtab", Boolean, "true", "Whether links open a new tab."),
    later("ui.routingtable.source.scheme", Text, "http", "The scheme of links."),
    later("ui.routingtable.source.host", Text, "", "The host of links."),
    later("ui.routingtable.source.port", Text, "", "The port of links."),
    // The runtime of fabio.
    ignored("profile.mode", Text, "", GO, "What the profiler of Go measures."),
    ignored("profile.path", Text, "", GO, "Where the profiler writes.")
        .noting("the directory for temporary files"),
    ignored("runtime.gogc", Integer, "100", GO, "How much garbage may gather."),
    ignored("runtime.gomaxprocs", Integer, "", GO, "How many processors are used.")
        .noting("the number of processors"),
    later("glob.matching.disabled", Boolean, "false", "Compare host names and not host globs."),
    ignored(
        "glob.cache.size",
        Integer,
        "1000",
        "burgee keeps no cache of host globs",
        "How many host globs are kept ready.",
    ),
    ignored("aws.apigw.cert.cn", Text, "", UNUSED, "Replaced by the caupgcn of proxy.cs."),
];
