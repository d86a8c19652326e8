"""Neighbours that are not known one by one: whoever connects from a prefix, and
settings that several neighbours share."""

import re
import time

from burgee import ANYCAST4, ANYCAST6, entry, peer
from capture import NOTIFICATION
from cases import scenario
from lab import ROUTER4, ROUTER6
from waiting import check, never_while, wait_for

NETWORK4, NETWORK6 = "10.0.1.0/24", "fd00:1::/64"
SECOND = ("10.0.1.3", "10.0.1.9")
"""The second session of a daemon: where it goes to, and where it comes from."""

CONNECTION_REJECTED = bytes((6, 5))


def racks(prefix=NETWORK4, name="racks", asn=65000, **options):
    """An entry of bgp.peers for all neighbours of a prefix."""
    return entry(prefix=prefix, name=name, asn=asn, **options)


def start_racks(lab, *peers, **settings):
    """burgee with neighbours by prefix, of both families unless others are given."""
    peers = peers or (racks(), racks(NETWORK6, "racks6"))
    return lab.start_burgee(*peers, bgp_nexthop6=lab.host.address6, **settings)


def wait_dialled(lab, burgee, name, number=1):
    """Waits for the log line of a session that the neighbour has opened."""
    wait_for(f"the neighbour is called {name}", lambda: len(re.findall(
        rf"event=established peer={re.escape(name)} .* opened_by=neighbour", burgee.log())) >= number)


@scenario("dynamic")
def dynamic(lab):
    """The neighbour connects from the prefix and gets the routes; it goes, and comes back."""
    lab.start_daemon()
    burgee = start_racks(lab)
    lab.wait_announced()
    lab.wait_announced(ANYCAST6, "ipv6")
    wait_dialled(lab, burgee, f"racks/{ROUTER4}")
    wait_dialled(lab, burgee, f"racks6/{ROUTER6}")

    lab.daemon.end()
    wait_for("burgee has no session", lambda: not lab.host.namespace.bgp_connections())
    check(not lab.host.namespace.dials_bgp(), "burgee dials a neighbour of a prefix")
    lab.daemon.start()
    lab.wait_announced()
    wait_dialled(lab, burgee, f"racks/{ROUTER4}", 2)


@scenario("dynamic-md5", "TCP MD5")
def dynamic_md5(lab):
    """One password for all of a prefix, of either family."""
    lab.start_daemon("md5")
    start_racks(lab, racks(password="secret"), racks(NETWORK6, "racks6", password="secret"))
    lab.wait_announced()
    lab.wait_announced(ANYCAST6, "ipv6")


@scenario("dynamic-md5-wrong", "TCP MD5")
def dynamic_md5_wrong(lab):
    """Another password for the prefix: nobody gets in."""
    lab.start_daemon("md5")
    start_racks(lab, racks(password="wrong"))
    never_while(f"the session with {lab.daemon.name} is Established", lab.established,
                lambda: lab.host.namespace.tcp_counter("TCPMD5Failure") >= 3, every=0.3)
    check(lab.route(ANYCAST4) is None, "a route came over a session that is down")


@scenario("dynamic-gtsm", "min TTL")
def dynamic_gtsm(lab):
    """TTL security for all of a prefix, of either family."""
    lab.start_daemon("gtsm")
    start_racks(lab, racks(ttlsecurity=1), racks(NETWORK6, "racks6", ttlsecurity=1))
    lab.wait_announced()
    lab.wait_announced(ANYCAST6, "ipv6")


@scenario("dynamic-limit")
def dynamic_limit(lab):
    """The one who comes when the limit is reached is refused with Cease/Connection
    Rejected, until there is a place again."""
    to, source = SECOND
    lab.host.namespace.address("eth0", f"{to}/24")
    lab.router.address("lan", f"{source}/24")
    lab.start_daemon(values=lab.daemon_class.second_session)
    capture = lab.capture()
    burgee = start_racks(lab, racks(limit=1))
    neighbours = (lab.host.address4, to)
    up = lambda: [n for n in neighbours if lab.daemon.established(n)]
    inside = wait_for("one session is up", up)
    check(len(inside) == 1, f"sessions in spite of the limit: {inside}")
    outside = next(n for n in neighbours if n not in inside)
    never_while("both sessions are up", lambda: len(up()) == 2,
                lambda: any(m.kind == NOTIFICATION and m.body[:2] == CONNECTION_REJECTED
                            for m in capture.messages(outside)))
    wait_for("burgee says why", lambda: "limit of 1" in burgee.log())

    if not lab.daemon.makes_room:
        return
    lab.daemon.stop_session(inside[0], "making room")
    wait_for("the other one has its place", lambda: up() == [outside])
    wait_for("and the route", lambda: lab.daemon.routes(outside, "ipv4").get(ANYCAST4))


@scenario("dynamic-address")
def dynamic_address(lab):
    """An address goes before the prefix that it is in, and a long prefix before a short one."""
    lab.start_daemon()
    burgee = start_racks(lab, racks(asn=64999), peer(ROUTER4, name="tor", med=7),
                         racks("fd00::/16", "wide", asn=64999), racks("fd00:1::/64", "narrow"))
    check(lab.wait_announced().med == 7, "the MED is not that of the address")
    lab.wait_announced(ANYCAST6, "ipv6")
    wait_for("both are called by the right names", lambda: all(
        f"event=established peer={name} " in burgee.log() for name in ("tor", f"narrow/{ROUTER6}")))


@scenario("dynamic-bfd", hosts=2)
def dynamic_bfd(lab):
    """BFD with a neighbour that nobody knew before it came."""
    lab.start_daemon("bfd", hold=240)
    burgee = start_racks(lab, racks(bfd=True, bfdinterval="100ms"), bgp_holdtime="240s")
    lab.wait_announced()
    wait_for("BFD is up", lambda: (log := burgee.log()).rfind("bfd event=up")
             > max(log.rfind("bfd event=down"), log.rfind("event=established")))
    restore = lab.cut(lab.host)
    started = time.monotonic()
    lab.wait_withdrawn()
    seconds = time.monotonic() - started
    wait_for("burgee ends the session", lambda: "BFD Down" in burgee.log())
    restore()
    lab.wait_announced()
    return f"withdrawn {seconds:.1f} s after the path was lost; hold time 240 s"


@scenario("template", "TCP MD5")
def template(lab):
    """Two neighbours share a template; one of them sets an option itself, and takes one away."""
    lab.start_daemon("md5")
    lab.start_burgee(
        peer(ROUTER4, asn=None, template="tor"),
        peer(ROUTER6, asn=None, template="tor", med="", communities="65001:8"),
        bgp_templates=entry(name="tor", asn=65000, password="secret", holdtime="6s", med=10,
                            communities="65001:7"))
    first, second = lab.wait_announced(), lab.wait_announced(ANYCAST6, "ipv6")
    check((first.med, first.communities) == (10, ("65001:7",)), f"as in the template: {first}")
    check((second.med, second.communities) == (None, ("65001:8",)), f"as set apart: {second}")
    for session in ("ipv4", "ipv6"):
        seen = lab.daemon.agreed_hold_time(lab.neighbour(session))
        check(seen == 6, f"{lab.daemon.name} counts with a hold time of {seen} s")
