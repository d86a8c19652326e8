"""GRACEFUL_SHUTDOWN (RFC 8326): a burgee that is about to go is used last."""

from burgee import ANYCAST4, ANYCAST6, peer
from cases import scenario
from lab import ROUTER4, ROUTER6
from waiting import check, wait_for

PREFIXES = (ANYCAST4, ANYCAST6)
COMMUNITY = "65535:0"
LEAVING = f"{ANYCAST4};communities=graceful-shutdown, {ANYCAST6};communities=graceful-shutdown"


def wait_preferred(lab, *hosts, only=True):
    """Waits until the daemon sends the traffic of both prefixes to exactly these
    hosts, or where that is not possible, to some of them."""
    for prefix, wanted in zip(PREFIXES, ({h.address4 for h in hosts}, {h.address6 for h in hosts})):
        wait_for(f"{lab.daemon.name} prefers {wanted}", lambda: (
            (seen := lab.daemon.preferred(prefix)) == wanted
            or (seen and seen < wanted and not only)))


def least_preferred(lab, host, local_pref):
    """Waits until the daemon has both routes of a burgee that is about to go,
    and checks how it shows them."""
    for prefix, neighbour, family in ((ANYCAST4, host.address4, "ipv4"),
                                      (ANYCAST6, host.address6, "ipv6")):
        route = wait_for(f"{lab.daemon.name} has {prefix} of {neighbour}",
                         lambda: lab.daemon.routes(neighbour, family).get(prefix))
        check(route.communities == (COMMUNITY,), f"the communities are {route.communities}")
        check(route.local_pref == local_pref, f"LOCAL_PREF is {route.local_pref}")


def leave_and_return(lab, local_pref, **settings):
    """One of two burgees says that it is about to go: it leaves the traffic to
    the other one, takes it when that one is gone, and gives it back to it."""
    first, second = lab.hosts
    peers = [peer(ROUTER4), peer(ROUTER6)]
    for host in lab.hosts:
        host.start_backends()
        host.start_burgee(peers, **settings)
    wait_preferred(lab, first, second, only=lab.daemon.shows_multipath)

    first.burgee.kill()
    wait_preferred(lab, second)
    first.start_burgee(peers, bgp_anycastaddresses=LEAVING, **settings)
    least_preferred(lab, first, local_pref)
    wait_preferred(lab, second)

    second.burgee.kill()
    wait_preferred(lab, first)
    # By everything else the first one would be preferred now: it is older, and
    # its address and identifier are lower.
    second.start_burgee(peers, **settings)
    wait_preferred(lab, second)
    least_preferred(lab, first, local_pref)


@scenario("graceful-shutdown", "multipath routes", hosts=2)
def graceful_shutdown(lab):
    """eBGP: the neighbour's import rule makes a burgee that goes the last choice."""
    lab.start_daemon()
    leave_and_return(lab, lab.daemon.least_local_pref)


@scenario("graceful-shutdown-ibgp", "multipath routes", hosts=2)
def graceful_shutdown_ibgp(lab):
    """iBGP: burgee's own LOCAL_PREF 0 does it, without any rule."""
    lab.start_daemon(values={"65001": "65000", **lab.daemon_class.without_shutdown_rule})
    leave_and_return(lab, 0, bgp_asn="65000")


@scenario("graceful-shutdown-peer")
def graceful_shutdown_of_a_neighbour(lab):
    """The community set for a neighbour, iBGP, and a LOCAL_PREF that is set goes before it."""
    lab.start_daemon(values={"65001": "65000", **lab.daemon_class.without_shutdown_rule})
    leaving = {"communities": "graceful-shutdown"}
    lab.start_burgee(peer(ROUTER4, **leaving), peer(ROUTER6, **leaving, localpref=50),
                     bgp_asn="65000")
    for prefix, session, local_pref in ((ANYCAST4, "ipv4", 0), (ANYCAST6, "ipv6", 50)):
        route = lab.wait_announced(prefix, session)
        check(route.communities == (COMMUNITY,), f"the communities are {route.communities}")
        check(route.local_pref == local_pref, f"LOCAL_PREF is {route.local_pref}")
