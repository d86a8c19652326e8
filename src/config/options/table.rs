//! The table itself: what burgee supports first, then what only fabio has.

mod bgp;
mod proxy;
mod registry;

use super::Impact::{Live, Rebind, Restart};
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
pub(super) static TABLE: [&[Spec]; 6] =
    [GENERAL, proxy::PROXY, LOG_AND_HEALTH, registry::REGISTRY, bgp::BGP, OTHERS];

static GENERAL: &[Spec] = &[
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
];

static LOG_AND_HEALTH: &[Spec] = &[
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
    option(
        "health.check",
        Text,
        "tcp",
        Live,
        "How targets are checked, unless a route has a `check=` of its own: `tcp` for a connection, \
         `http:/PATH` for a request that has to be answered with a status from 200 to 399, on \
         another port `tcp:PORT` or `http:PORT/PATH`, or `none`, with which every target is healthy.",
    )
    .not_in_fabio(),
    option("health.interval", Duration, "2s", Live, "Time between two checks of a target.")
        .not_in_fabio(),
    option(
        "health.fastinterval",
        Duration,
        "500ms",
        Live,
        "The same while the last result contradicts the state of the target, so that `health.rise` \
         and `health.fall` are reached sooner; at least 10ms. Where `health.interval` is shorter, \
         that holds.",
    )
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
    option(
        "health.ejectafter",
        Unsigned,
        "3",
        Live,
        "How many connections for clients a target has to miss in a row before it is ejected, which \
         is to be out of use for a time whatever its checks say; 0 for never.",
    )
    .not_in_fabio(),
    option(
        "health.ejecttime",
        Duration,
        "10s",
        Live,
        "How long a target is ejected for the first time; each time after that twice as long. At \
         least 100ms.",
    )
    .not_in_fabio(),
    option(
        "health.ejectmaxtime",
        Duration,
        "5m",
        Live,
        "The longest time for which a target is ejected; not less than `health.ejecttime`, and at \
         most 24h.",
    )
    .not_in_fabio(),
    option(
        "health.ejectlimit",
        Unsigned,
        "50",
        Live,
        "How many targets of a service may be ejected at a time: percent of them, rounded down, 0 to \
         100.",
    )
    .not_in_fabio(),
    option(
        "health.whennone",
        Text,
        "refuse",
        Live,
        "What becomes of connections to a service without a healthy target: `refuse`, or `all` to \
         use all its targets as if they were healthy. What is announced does not depend on it.",
    )
    .not_in_fabio(),
];

static OTHERS: &[Spec] = &[
    // metrics
    option(
        "metrics.prometheus.path",
        Text,
        "/metrics",
        Live,
        "The path of the metrics for Prometheus on the listener of `ui.addr`. In fabio they are on \
         listeners with `proto=prometheus`, and `metrics.target` switches them on.",
    ),
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
    option(
        "ui.addr",
        KvList,
        "127.0.0.1:9998",
        Rebind,
        "The one listener of the admin API, of `/health` and of the metrics; empty for none. fabio's \
         default is `:9998`. Set, it has to be free at the start; its default is given up with a \
         warning when another process has it.",
    )
    .of(pairs::ADMIN),
    option(
        "ui.socket",
        Text,
        "/run/burgee/control.sock",
        Rebind,
        "The unix socket of the same API, by which `burgee status`, `explain`, `drain` and `resume` \
         find the running instance; empty for none. Its default is given up with a warning when it \
         cannot be made.",
    )
    .not_in_fabio(),
    option(
        "ui.access",
        Text,
        "rw",
        Live,
        "`rw`, or `ro` to refuse everything that changes something, as a drain does, on the listener \
         and on the socket.",
    ),
    option(
        "ui.path",
        Text,
        "",
        Live,
        "What the paths of the API begin with, such as `/burgee`; not those of `/health` and of the \
         metrics.",
    ),
    option(
        "ui.username",
        Text,
        "",
        Live,
        "The user name that clients of `ui.addr` have to give (basic authentication, RFC 7617), but \
         for `/health`; not on the unix socket. Empty for no authentication.",
    )
    .not_in_fabio(),
    option("ui.password", Text, "", Live, "The password of that user. Never printed.")
        .not_in_fabio()
        .secret(),
    option(
        "ui.passwordfile",
        Text,
        "",
        Live,
        "A file whose first line is the password, in place of `ui.password`.",
    )
    .not_in_fabio(),
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
