"""Neighbours on a link that has no other addresses than link-local ones (RFC 4291 2.5.6)."""

import time

from burgee import ANYCAST4, ANYCAST6, PORT, peer
from cases import scenario
from lab import CLIENTS4, CLIENTS6
from waiting import check, wait_for

ROUTER = "fe80::1%eth0"
HOST = "fe80::2"
SESSION = "link-local"

ENOUGH = 20
"""Connections that a client must have had to count as served."""


def start_link(lab, *variants, hold=None):
    """The link, and the daemon with a neighbour on it."""
    lab.link_local()
    lab.start_daemon(*variants, values=lab.daemon_class.link_local, hold=hold)
    lab.daemon.admit_lack("link-local")


def wait_on_link(lab, *prefixes):
    """Waits until the daemon has the prefixes by the link-local next hop."""
    for prefix in prefixes:
        route = lab.wait_announced(prefix, SESSION)
        hop = route.next_hop.split("%")[0]
        check(hop == HOST, f"the next hop of {prefix} is {hop}")


def wait_served(lab, *prefixes):
    """A client behind the router is served over the routes, where the daemon has a FIB."""
    if lab.daemon.fib_refusal():
        return
    for prefix in prefixes:
        wait_for(f"the kernel has {prefix}", lambda: lab.router.gateways(prefix) == {HOST})
        host = prefix.split("/")[0]
        target, sources = ((f"[{host}]", CLIENTS6) if ":" in host else (host, CLIENTS4))
        client = lab.start_client(f"link-{prefix.split('/')[1]}", f"{target}:{PORT}", sources)
        wait_for("clients are served", lambda: len(client.attempts()) >= ENOUGH)
        check(not client.failed(), f"connections failed: {client.failed()[:3]}")


@scenario("link-local")
def link_local(lab):
    """The IPv6 prefix comes over a link without any other address, and the kernel
    of the router has a use for its next hop."""
    start_link(lab)
    lab.start_burgee(peer(ROUTER))
    wait_on_link(lab, ANYCAST6)
    wait_served(lab, ANYCAST6)
    lab.wait_connection()


@scenario("link-local-nexthop", "multipath routes")
def link_local_next_hop(lab):
    """Both families with a link-local next hop (RFC 8950): no IPv4 address on the link."""
    start_link(lab, "extnexthop")
    lab.start_burgee(peer(ROUTER, extendednexthop=True))
    wait_on_link(lab, ANYCAST4, ANYCAST6)
    wait_served(lab, ANYCAST4, ANYCAST6)


@scenario("link-local-active")
def link_local_active(lab):
    """The neighbour only listens, burgee dials."""
    start_link(lab, "passive")
    lab.start_burgee(peer(ROUTER))
    wait_on_link(lab, ANYCAST6)
    _, remote = lab.wait_connection()
    check(remote.endswith(":179"), f"burgee did not dial, the neighbour is {remote}")


@scenario("link-local-passive")
def link_local_passive(lab):
    """burgee only listens, the neighbour dials."""
    start_link(lab)
    lab.start_burgee(peer(ROUTER, passive=True))
    lab.daemon.admit_lack("link-local dial")
    wait_on_link(lab, ANYCAST6)
    local, _ = lab.wait_connection()
    check(local.endswith(":179"), f"burgee was not dialled, it is {local}")


@scenario("link-local-md5", "TCP MD5")
def link_local_md5(lab):
    """TCP MD5 between link-local addresses."""
    start_link(lab, "md5")
    lab.start_burgee(peer(ROUTER, password="secret"))
    lab.daemon.admit_lack("link-local md5")
    wait_on_link(lab, ANYCAST6)


@scenario("link-local-gtsm", "min TTL")
def link_local_gtsm(lab):
    """TTL security between link-local addresses."""
    start_link(lab, "gtsm")
    lab.start_burgee(peer(ROUTER, ttlsecurity=1))
    wait_on_link(lab, ANYCAST6)


@scenario("link-local-bfd", hosts=2)
def link_local_bfd(lab):
    """The link is cut without a word: BFD withdraws long before the hold time."""
    start_link(lab, "bfd", hold=240)
    burgee = lab.start_burgee(peer(ROUTER, bfd=True, bfdinterval="100ms"), bgp_holdtime="240s")
    wait_on_link(lab, ANYCAST6)
    wait_for("BFD is up", lambda: (log := burgee.log()).rfind("bfd event=up")
             > max(log.rfind("bfd event=down"), log.rfind("event=established")))
    restore = lab.cut(lab.host)
    started = time.monotonic()
    lab.wait_withdrawn(ANYCAST6, SESSION)
    seconds = time.monotonic() - started
    wait_for("burgee ends the session", lambda: "BFD Down" in burgee.log())
    restore()
    wait_on_link(lab, ANYCAST6)
    return f"withdrawn {seconds:.1f} s after the path was lost; hold time 240 s"


@scenario("link-local-late")
def link_local_late(lab):
    """The interface comes after burgee, goes, and comes back with another number."""
    start_link(lab)
    plug_in = lab.unplug(lab.host)
    burgee = lab.start_burgee(peer(ROUTER), log_level="DEBUG")
    wait_for("burgee finds no interface", lambda: "event=connect_failed" in burgee.log())
    plug_in()
    lab.link_local_host()
    wait_on_link(lab, ANYCAST6)

    plug_in = lab.unplug(lab.host)
    wait_for("the session is gone", lambda: not lab.established(SESSION))
    plug_in()
    lab.link_local_host()
    wait_on_link(lab, ANYCAST6)
