"""The rows of the table: what burgee and one neighbour do together."""

import time

from burgee import ANYCAST4, ANYCAST6, peer
from cases import scenario
from daemons.base import Route
from lab import ROUTER4, ROUTER6
from waiting import check, never_while, wait_for

MD5_DROPS = ("TCPMD5NotFound", "TCPMD5Unexpected", "TCPMD5Failure")
GRACE = 5.0
"""Seconds of proxy.deregistergraceperiod in the drain scenario."""


@scenario("ebgp-ipv4")
def ebgp_ipv4(lab):
    """An IPv4 session carries the IPv4 prefix."""
    lab.start_daemon()
    lab.start_burgee()
    route = lab.wait_announced()
    check(route.next_hop == lab.host.address4, f"next hop {route.next_hop}")
    lab.wait_established()


@scenario("ebgp-ipv6")
def ebgp_ipv6(lab):
    """An IPv6 session carries the IPv6 prefix."""
    lab.start_daemon()
    lab.start_burgee(peer(ROUTER6))
    route = lab.wait_announced(ANYCAST6, "ipv6")
    check(route.next_hop == lab.host.address6, f"next hop {route.next_hop}")
    lab.wait_established("ipv6")


@scenario("dual-stack")
def dual_stack(lab):
    """One IPv4 session carries both prefixes."""
    lab.start_daemon("dualstack")
    lab.start_burgee(bgp_nexthop6=lab.host.address6)
    check(lab.wait_announced(ANYCAST4).next_hop == lab.host.address4, "IPv4 next hop")
    check(lab.wait_announced(ANYCAST6).next_hop == lab.host.address6, "IPv6 next hop")


def start_ibgp(lab):
    """Both sides in AS 65000, with a session for each family."""
    lab.start_daemon(values={"65001": "65000"})
    lab.start_burgee(peer(ROUTER4), peer(ROUTER6), bgp_asn="65000")


@scenario("ibgp")
def ibgp(lab):
    """Both prefixes arrive over sessions inside one AS."""
    start_ibgp(lab)
    lab.wait_announced()
    lab.wait_announced(ANYCAST6, "ipv6")


@scenario("md5", "TCP MD5")
def md5(lab):
    """The right password, IPv4."""
    lab.start_daemon("md5")
    lab.start_burgee(peer(ROUTER4, password="secret"))
    lab.wait_announced()


@scenario("md5-ipv6", "TCP MD5")
def md5_ipv6(lab):
    """The right password, IPv6."""
    lab.start_daemon("md5")
    lab.start_burgee(peer(ROUTER6, password="secret"))
    lab.wait_announced(ANYCAST6, "ipv6")


def md5_drops(lab):
    """Segments that either kernel has dropped for their signature."""
    return sum(n.tcp_counter(*MD5_DROPS) for n in (lab.router, lab.host.namespace))


def min_ttl_drops(lab):
    """Segments that the kernel of burgee's host has dropped for their TTL."""
    return lab.host.namespace.tcp_counter("TCPMinTTLDrop")


def stays_down(lab, drops, wanted, until=0.0):
    """The session does not come up while the kernels drop `wanted` segments,
    nor before the time `until`."""
    never_while(f"the session with {lab.daemon.name} is Established", lab.established,
                lambda: drops(lab) >= wanted and time.monotonic() >= until, every=0.3)
    check(lab.route(ANYCAST4) is None, "a route came over a session that is down")


@scenario("md5-wrong", "TCP MD5")
def md5_wrong(lab):
    """Another password: several attempts reach the kernels, none connects."""
    lab.start_daemon("md5")
    burgee = lab.start_burgee(peer(ROUTER4, password="wrong"), log_level="DEBUG")
    stays_down(lab, md5_drops, 6)
    wait_for("burgee's log names the password as a possible cause",
             lambda: "or the password?" in burgee.log())


@scenario("md5-missing", "TCP MD5")
def md5_missing(lab):
    """burgee signs, the neighbour does not: no session either."""
    lab.start_daemon()
    lab.start_burgee(peer(ROUTER4, password="secret"))
    stays_down(lab, md5_drops, 6)


@scenario("multihop", between=True)
def multihop(lab):
    """eBGP through a router in the middle."""
    lab.start_daemon("multihop")
    lab.start_burgee(peer(ROUTER4, multihop=True, multihoplength=2))
    route = lab.wait_announced()
    check(route.next_hop == lab.host.address4, f"next hop {route.next_hop}")


@scenario("gtsm", "min TTL")
def gtsm(lab):
    """TTL security on one link, IPv4."""
    lab.start_daemon("gtsm")
    lab.start_burgee(peer(ROUTER4, ttlsecurity=1))
    lab.wait_announced()


@scenario("gtsm-ipv6", "min TTL")
def gtsm_ipv6(lab):
    """TTL security on one link, IPv6."""
    lab.start_daemon("gtsm")
    lab.start_burgee(peer(ROUTER6, ttlsecurity=1))
    lab.wait_announced(ANYCAST6, "ipv6")


@scenario("gtsm-too-far", "min TTL", between=True)
def gtsm_too_far(lab):
    """Two hops away: up with ttlsecurity=2, and never with ttlsecurity=1.
    The neighbour sends TTL 255 and takes 254 both times, so it is burgee's own
    minimum that decides. It is given more than twice the time that the session
    took, from the same fresh start."""
    started = time.monotonic()
    lab.start_daemon("gtsm-far")
    near = lab.start_burgee(peer(ROUTER4, ttlsecurity=2))
    lab.wait_announced()
    took = time.monotonic() - started
    near.kill()
    lab.daemon.end()

    before = min_ttl_drops(lab)
    lab.daemon.start()
    lab.host.start_burgee([peer(ROUTER4, ttlsecurity=1)])
    stays_down(lab, min_ttl_drops, before + 6, until=time.monotonic() + 2 * took + 2)


@scenario("burgee-active")
def burgee_active(lab):
    """The neighbour only listens, burgee dials."""
    lab.start_daemon("passive")
    lab.start_burgee()
    lab.wait_announced()
    _, remote = lab.wait_connection()
    check(remote.endswith(":179"), f"burgee did not dial, the neighbour is {remote}")


@scenario("burgee-passive")
def burgee_passive(lab):
    """burgee only listens, the neighbour dials."""
    lab.start_daemon()
    lab.start_burgee(peer(ROUTER4, passive=True))
    lab.wait_announced()
    local, _ = lab.wait_connection()
    check(local.endswith(":179"), f"burgee was not dialled, it is {local}")


def check_attributes(lab, as_path, local_pref, **others):
    """Both prefixes carry just the attributes they should, as the neighbour shows them."""
    for prefix, session, next_hop in ((ANYCAST4, "ipv4", lab.host.address4),
                                      (ANYCAST6, "ipv6", lab.host.address6)):
        expected = Route(prefix, next_hop, as_path, "igp", local_pref=local_pref, **others)
        seen = lab.wait_announced(prefix, session)
        check(seen == expected, f"expected {expected}, seen {seen}")


@scenario("attributes-ebgp")
def attributes_ebgp(lab):
    """Our AS once, ORIGIN IGP, our next hop, nothing else."""
    lab.start_daemon()
    lab.start_burgee(peer(ROUTER4), peer(ROUTER6))
    check_attributes(lab, (65001,), 100 if lab.daemon.fills_local_pref else None)


@scenario("attributes-ibgp")
def attributes_ibgp(lab):
    """An empty AS_PATH and LOCAL_PREF 100."""
    start_ibgp(lab)
    check_attributes(lab, (), 100)


OF_PREFIX = {"med": 20, "localpref": 200, "prepend": 1, "communities": "65001:7 no-export",
             "largecommunities": "4200000000:1:2", "extcommunities": "rt:65001:1 rt:192.0.2.1:3"}
"""Options of each prefix in the scenarios with attributes."""

OF_PEER = {"med": 10, "prepend": 2, "communities": "65001:6 65001:7",
           "largecommunities": "4200000000:1:1", "extcommunities": "soo:4200000000:2"}
"""Options of each neighbour there."""

JOINED = {"med": 10, "communities": ("65001:6", "65001:7", "65535:65281"),
          "large_communities": ("4200000000:1:1", "4200000000:1:2"),
          "extended_communities": ("rt:65001:1", "rt:192.0.2.1:3", "soo:4200000000:2")}
"""What comes of both."""


def prefixes_with(**options):
    """bgp.anycastaddresses with the same options for both prefixes."""
    text = "".join(f";{key}={value}" for key, value in options.items())
    return f"{ANYCAST4}{text}, {ANYCAST6}{text}"


@scenario("attributes-set")
def attributes_set(lab):
    """Prefix and neighbour both set attributes: the neighbour's MED counts,
    prepends add up, and communities of all kinds are joined."""
    lab.start_daemon()
    lab.start_burgee(peer(ROUTER4, **OF_PEER), peer(ROUTER6, **OF_PEER),
                     bgp_anycastaddresses=prefixes_with(**OF_PREFIX))
    local_pref = 100 if lab.daemon.fills_local_pref else None
    check_attributes(lab, (65001,) * 4, local_pref, **JOINED)


@scenario("attributes-set-ibgp")
def attributes_set_ibgp(lab):
    """Inside one AS: LOCAL_PREF as it is set, and nothing prepended."""
    lab.start_daemon(values={"65001": "65000"})
    lab.start_burgee(peer(ROUTER4, **OF_PEER), peer(ROUTER6, **OF_PEER, localpref=300),
                     bgp_asn="65000", bgp_anycastaddresses=prefixes_with(**OF_PREFIX))
    for prefix, session, local_pref in ((ANYCAST4, "ipv4", 200), (ANYCAST6, "ipv6", 300)):
        seen = lab.wait_announced(prefix, session)
        next_hop = lab.host.address4 if session == "ipv4" else lab.host.address6
        expected = Route(prefix, next_hop, (), "igp", local_pref=local_pref, **JOINED)
        check(seen == expected, f"expected {expected}, seen {seen}")


@scenario("attributes-peers")
def attributes_peers(lab):
    """A neighbour hears of its own prefixes only. Over the IPv4 session, which
    carries both families, the IPv4 prefix would come before the other."""
    lab.start_daemon("dualstack")
    burgee = lab.start_burgee(peer(ROUTER4, name="tor4"), peer(ROUTER6, name="tor6"),
                              bgp_anycastaddresses=f"{ANYCAST4};peers=tor6, {ANYCAST6};peers=tor4")
    lab.wait_announced(ANYCAST6, "ipv4")
    check(lab.route(ANYCAST4, "ipv4") is None, "tor4 heard of a prefix that is for tor6")
    lab.wait_established("ipv6")
    check(lab.route(ANYCAST6, "ipv6") is None, "tor6 heard of a prefix that is for tor4")
    wait_for("burgee's log calls the neighbours by their names", lambda: all(
        f"event=established peer={name} " in burgee.process.log_text() for name in ("tor4", "tor6")))


@scenario("next-hop")
def configured_next_hop(lab):
    """bgp.nexthop and bgp.nexthop6 are sent as they are configured."""
    lab.start_daemon()
    lab.host.namespace.address("eth0", "10.0.1.20/24", "fd00:1::20/64")
    lab.start_burgee(peer(ROUTER4), peer(ROUTER6),
                     bgp_nexthop="10.0.1.20", bgp_nexthop6="fd00:1::20")
    check(lab.wait_announced().next_hop == "10.0.1.20", "IPv4 next hop")
    check(lab.wait_announced(ANYCAST6, "ipv6").next_hop == "fd00:1::20", "IPv6 next hop")


def bounce_backends(lab, prefixes):
    """All backends die and come back: withdrawn and announced again, while one
    and the same BGP connection stays up."""
    connection = lab.wait_connection()
    lab.host.stop_backends()
    for prefix in prefixes:
        lab.wait_withdrawn(prefix)
    check(lab.established(), "the session is not Established after the withdrawal")
    lab.host.start_backends()
    for prefix in prefixes:
        lab.wait_announced(prefix)
    check(lab.wait_connection() == connection, "the session was not the same all the time")


@scenario("backend")
def last_backend(lab):
    """The last backend dies, and returns."""
    lab.start_daemon("dualstack")
    lab.start_burgee(bgp_nexthop6=lab.host.address6)
    lab.wait_announced(ANYCAST4)
    lab.wait_announced(ANYCAST6)
    bounce_backends(lab, (ANYCAST4, ANYCAST6))


@scenario("routes-refused")
def routes_refused(lab):
    """The neighbour announces a prefix; burgee takes no notice, and lives on."""
    prefix = "198.51.100.0/24"
    lab.start_daemon("announce")
    lab.start_burgee()
    lab.wait_announced()
    wait_for(f"{lab.daemon.name} has sent {prefix}",
             lambda: lab.daemon.sent(lab.neighbour(), prefix))
    bounce_backends(lab, (ANYCAST4,))
    check(not lab.host.namespace.gateways(prefix), "the route is in the kernel of burgee's host")


@scenario("sigterm")
def withdraw_on_sigterm(lab):
    """Withdraw first and serve on, close the listeners, let connections
    finish, take leave."""
    lab.start_daemon()
    burgee = lab.start_burgee(proxy_deregistergraceperiod=f"{GRACE:.0f}s",
                              proxy_shutdownwait="60s")
    lab.wait_announced()
    client, held = lab.start_drain_traffic()
    over = time.monotonic() + GRACE
    burgee.terminate()
    lab.wait_withdrawn(every=0.02)
    withdrawn = time.monotonic()
    check(lab.established(), "the session is not Established after the withdrawal")
    wait_for("burgee's listener closes", lambda: not burgee.listening())

    failed = client.failed(before=over)
    check(not failed, f"{len(failed)} connections failed in the grace period: {failed[:3]}")
    served = [a for a in client.attempts(withdrawn) if a.ok and a.opened < over]
    check(served, "no connection was opened between withdrawal and end of the grace period")

    lines = len(held.log_text())
    wait_for("the held connection is served", lambda: len(held.log_text()) > lines)
    check(lab.established(), "the session did not stay while a connection finished")
    held.end()
    check(burgee.wait_exit() == 0, f"burgee's exit status is {burgee.process.popen.returncode}")
    check("panics=0" in burgee.log(), "a panic was caught on the way")
    wait_for(f"{lab.daemon.name} saw Cease/Administrative Shutdown",
             lambda: lab.daemon.saw_shutdown(lab.neighbour()))
    return f"{len(client.attempts())} connections, {len(served)} of them after the withdrawal"


@scenario("kill")
def withdraw_on_kill(lab):
    """kill -9: the kernel's close is enough. The hold time is far longer than
    the wait, so it cannot be what withdraws."""
    lab.start_daemon(hold=240)
    burgee = lab.start_burgee(bgp_holdtime="240s")
    lab.wait_announced()
    lab.wait_connection()
    burgee.kill()
    lab.wait_withdrawn()
    check(not lab.established(), "the session outlived burgee")


@scenario("bfd", hosts=2)
def bfd(lab):
    """The path is lost without a word: BFD withdraws long before the hold time
    could, and after its return all is as before. The second host keeps the
    switch alive, so that no interface goes down."""
    lab.start_daemon("bfd", hold=240)
    burgee = lab.start_burgee(peer(ROUTER4, bfd=True, bfdinterval="100ms"),
                              bgp_holdtime="240s")
    lab.wait_announced()
    wait_for("BFD is up", lambda: (log := burgee.log()).rfind("bfd event=up")
             > max(log.rfind("bfd event=down"), log.rfind("event=established")))
    connection = lab.wait_connection()
    check(lab.wait_connection() == connection, "BFD ended a session that was well")
    restore = lab.cut(lab.host)
    started = time.monotonic()
    lab.wait_withdrawn()
    seconds = time.monotonic() - started
    wait_for("burgee ends the session", lambda: "BFD Down" in burgee.log())
    restore()
    lab.wait_announced()
    return f"withdrawn {seconds:.1f} s after the path was lost; hold time 240 s"


@scenario("neighbour-restart")
def neighbour_restart(lab):
    """The neighbour is stopped and started: announced again."""
    lab.start_daemon()
    lab.start_burgee()
    lab.wait_announced()
    client, _ = lab.start_drain_traffic()
    lab.daemon.end()
    lab.daemon.start()
    lab.wait_announced()
    check(not client.failed(), f"connections failed meanwhile: {client.failed()[:3]}")


@scenario("neighbour-frozen")
def neighbour_frozen(lab):
    """The neighbour hangs beyond the hold time: burgee drops the session,
    serves on, and has a new session when the neighbour goes on."""
    lab.start_daemon()
    passive = not lab.daemon.survives_collision
    lab.start_burgee(peer(ROUTER4, passive=passive), bgp_holdtime="3s")
    lab.wait_announced()
    client, _ = lab.start_drain_traffic()
    before = lab.wait_connection()
    lab.daemon.freeze()
    wait_for("burgee drops the session",
             lambda: before not in lab.host.namespace.bgp_connections())
    lab.daemon.thaw()
    wait_for("there is a new session with the route", lambda: (
        before not in lab.host.namespace.bgp_connections() and lab.established()
        and lab.route(ANYCAST4)))
    check(lab.wait_connection() != before, "the session is the old one")
    check(not client.failed(), f"connections failed meanwhile: {client.failed()[:3]}")
