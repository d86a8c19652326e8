//! `registry.*`: what burgee supports first, then what only fabio has.

use super::super::Impact::{Announce, Live};
use super::super::Kind::{Boolean, Duration, Integer, List, Text};
use super::super::Spec;
use super::{UNUSED, ignored, later, option};

pub(super) static REGISTRY: &[Spec] = &[
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
    option(
        "registry.staleafter",
        Duration,
        "0s",
        Live,
        "While the routes cannot be read: how long after the last good read they count as stale; 0 \
         for never.",
    )
    .not_in_fabio(),
    option(
        "registry.whenstale",
        Text,
        "deprefer",
        Announce,
        "What becomes of the anycast prefixes while the routes are stale: `deprefer` announces them \
         as less preferred, `withdraw` takes them back. Clients are served by the last good routes \
         either way.",
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
];
