"""The speakers that the benchmarks compare: AS 65001 on 10.99.0.2, one
neighbour AS 65000 on 10.99.0.1 that waits to be dialled. Each gives its
configuration files, its command, and a command that announces where the
configuration cannot."""

import os

SPEAKER, OBSERVER, PREFIX = "10.99.0.2", "10.99.0.1", "192.0.2.10/32"

BURGEE = f"""
proxy.addr = :8080;proto=tcp
registry.static.routes = route add web :8080 tcp://{OBSERVER}:8000
bgp.enabled = true
bgp.asn = 65001
bgp.routerid = {SPEAKER}
bgp.anycastaddresses = {PREFIX}
bgp.holdtime = 9s
bgp.connectretry = 1s
bgp.peers = address={OBSERVER};asn=65000
"""

BIRD = f"""
router id {SPEAKER};
protocol device {{}}
protocol static {{ ipv4; route {PREFIX} blackhole; }}
protocol bgp up {{
    local {SPEAKER} as 65001;
    neighbor {OBSERVER} as 65000;
    hold time 9;
    keepalive time 3;
    @DELAY@
    ipv4 {{ import none; export all; next hop self; }};
}}
"""

FRR = f"""
frr defaults traditional
router bgp 65001
 bgp router-id {SPEAKER}
 no bgp ebgp-requires-policy
 no bgp network import-check
 timers bgp 3 9
 neighbor {OBSERVER} remote-as 65000
 neighbor {OBSERVER} timers connect 1
 address-family ipv4 unicast
  network {PREFIX}
  neighbor {OBSERVER} route-map NOTHING in
 exit-address-family
route-map NOTHING deny 10
"""

GOBGPD = f"""
[global.config]
as = 65001
router-id = "{SPEAKER}"
[global.apply-policy.config]
import-policy-list = ["nothing"]
default-import-policy = "accept-route"
[[defined-sets.neighbor-sets]]
neighbor-set-name = "any"
neighbor-info-list = ["0.0.0.0/0"]
[[policy-definitions]]
name = "nothing"
[[policy-definitions.statements]]
name = "reject"
[policy-definitions.statements.conditions.match-neighbor-set]
neighbor-set = "any"
[policy-definitions.statements.actions]
route-disposition = "reject-route"
[[neighbors]]
[neighbors.config]
neighbor-address = "{OBSERVER}"
peer-as = 65000
[neighbors.timers.config]
hold-time = 9
keepalive-interval = 3
"""


def write(folder, name, text):
    """Writes a file that daemons that drop their privileges can read."""
    path = os.path.join(folder, name)
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)
    os.chmod(path, 0o644)
    return path


def burgee(folder, program):
    """Started with a properties file, as an operator would."""
    return [program, "run", "-cfg", write(folder, "burgee.properties", BURGEE)], None


def bird(delay):
    """BIRD, with a line about its delay before it connects."""
    def command(folder, _):
        conf = write(folder, "bird.conf", BIRD.replace("@DELAY@", delay))
        return ["bird", "-f", "-c", conf, "-s", os.path.join(folder, "bird.ctl")], None
    return command


def frr(folder, _):
    """FRR's bgpd alone, without zebra."""
    conf = write(folder, "bgpd.conf", FRR)
    return ["/usr/lib/frr/bgpd", "-Z", "-n", "-S", "-f", conf, "-i",
            os.path.join(folder, "bgpd.pid"), "-P", "0", "--vty_socket", folder], None


def gobgpd(folder, _):
    """gobgpd, whose announcements come from its client."""
    conf = write(folder, "gobgpd.toml", GOBGPD)
    return ["gobgpd", "-f", conf, "-t", "toml"], ["gobgp", "global", "rib", "add", PREFIX]


BIRD_AT_ONCE = bird("connect delay time 0;")
