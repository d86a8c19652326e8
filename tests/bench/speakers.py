"""The speakers that the benchmarks compare: AS 65001 on 10.99.0.2. Their
neighbours, AS 65000, wait to be dialled. Each gives its configuration files,
its command, and a command that announces where the configuration cannot."""

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
"""

BIRD = f"""
router id {SPEAKER};
protocol device {{}}
protocol static own {{ ipv4; route {PREFIX} blackhole; }}
template bgp up {{
    local {SPEAKER} as 65001;
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
 @NEIGHBOURS@
 address-family ipv4 unicast
  network {PREFIX}
  @FILTERS@
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
"""

GOBGPD_NEIGHBOUR = """
[[neighbors]]
[neighbors.config]
neighbor-address = "@ADDRESS@"
peer-as = 65000
[neighbors.timers.config]
hold-time = 9
keepalive-interval = 3
"""

OPENBGPD = f"""
AS 65001
router-id {SPEAKER}
listen on {SPEAKER}
socket "@FOLDER@/bgpd.sock"
fib-update no
holdtime 9
network {PREFIX}
@NEIGHBOURS@
deny from any
allow to any
"""

HAPROXY = f"""
global
    nbthread 1
defaults
    mode tcp
    timeout connect 5s
    timeout client 1m
    timeout server 1m
listen web
    bind :8080
    server target {OBSERVER}:8000
"""


def write(folder, name, text, mode=0o644):
    """Writes a file that daemons that drop their privileges can read."""
    path = os.path.join(folder, name)
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)
    os.chmod(path, mode)
    return path


def each(text, neighbours, joint="\n"):
    """The text once for each neighbour."""
    return joint.join(text.replace("@ADDRESS@", address) for address in neighbours)


def burgee(folder, program, neighbours=(OBSERVER,), more=""):
    """Started with a properties file, as an operator would."""
    peers = each("address=@ADDRESS@;asn=65000", neighbours, ",")
    path = write(folder, "burgee.properties", f"{BURGEE}bgp.peers = {peers}\n{more}")
    return [program, "run", "-cfg", path], None


def bird(delay):
    """BIRD, with a line about its delay before it connects."""
    def command(folder, _, neighbours=(OBSERVER,)):
        text = BIRD.replace("@DELAY@", delay)
        text += each("protocol bgp from up { neighbor @ADDRESS@ as 65000; }", neighbours)
        conf = write(folder, "bird.conf", text)
        return ["bird", "-f", "-c", conf, "-s", os.path.join(folder, "bird.ctl")], None
    return command


def frr(folder, _, neighbours=(OBSERVER,)):
    """FRR's bgpd alone, without zebra."""
    remote = (" neighbor @ADDRESS@ remote-as 65000\n neighbor @ADDRESS@ timers connect 1\n"
              " neighbor @ADDRESS@ advertisement-interval 0")
    text = FRR.replace(" @NEIGHBOURS@", each(remote, neighbours))
    inward = "  neighbor @ADDRESS@ route-map NOTHING in"
    text = text.replace("  @FILTERS@", each(inward, neighbours))
    conf = write(folder, "bgpd.conf", text)
    return ["/usr/lib/frr/bgpd", "-Z", "-n", "-S", "-f", conf, "-i",
            os.path.join(folder, "bgpd.pid"), "-P", "0", "--vty_socket", folder], None


def gobgpd(folder, _, neighbours=(OBSERVER,)):
    """gobgpd, whose announcements come from its client."""
    conf = write(folder, "gobgpd.toml", GOBGPD + each(GOBGPD_NEIGHBOUR, neighbours))
    return (["gobgpd", "-f", conf, "-t", "toml"],
            ["gobgp", "global", "rib", "add", PREFIX, "nexthop", SPEAKER])


def openbgpd(folder, _, neighbours=(OBSERVER,)):
    """OpenBGPD: a parent and three children."""
    # Its children live here, and it does not make the place.
    os.makedirs("/run/openbgpd", exist_ok=True)
    text = OPENBGPD.replace("@FOLDER@", folder)
    text = text.replace("@NEIGHBOURS@", each("neighbor @ADDRESS@ { remote-as 65000 }", neighbours))
    return ["/usr/sbin/bgpd", "-d", "-f", write(folder, "bgpd.conf", text, 0o600)], None


def haproxy(folder):
    """A proxy with nothing but the listener and the target that burgee has."""
    return ["haproxy", "-db", "-f", write(folder, "haproxy.cfg", HAPROXY)]


BIRD_AT_ONCE = bird("connect delay time 0; connect retry time 1;")
