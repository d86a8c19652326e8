"""What is there only when both sides have asked for it with a capability."""

import time

from burgee import ANYCAST4, ANYCAST6, peer
from capture import ROUTE_REFRESH
from cases import scenario
from lab import ROUTER4, ROUTER6
from scenarios import bounce_backends
from waiting import check, never_while, wait_for

EVERYTHING = {"extendednexthop": True, "addpath": "both", "gracefulrestart": True, "fqdn": True,
              "softwareversion": True}
"""All that burgee can offer to a neighbour that need not know any of it."""


def check_agreed(lab, feature, session="ipv4"):
    """The neighbour says that both have offered a feature."""
    agreed = lab.daemon.agreed(lab.neighbour(session))
    check(feature in agreed, f"{lab.daemon.name} has agreed on {agreed}")


@scenario("extended-message")
def extended_message(lab):
    """Messages longer than 4096 octets are agreed on (RFC 8654)."""
    lab.start_daemon("extmessage")
    lab.start_burgee()
    lab.wait_announced()
    check_agreed(lab, "extended-message")


@scenario("enhanced-refresh")
def enhanced_refresh(lab):
    """A refresh with a beginning and an end (RFC 7313) leaves the route in its place."""
    lab.start_daemon("enhancedrefresh")
    capture = lab.capture()
    lab.start_burgee()
    route = lab.wait_announced()
    check_agreed(lab, "enhanced-route-refresh")
    before = lab.daemon.announcements(lab.neighbour())
    asked = time.monotonic()
    lab.daemon.request_refresh(lab.neighbour())
    never_while("the route is gone", lambda: lab.route(ANYCAST4) is None,
                lambda: lab.daemon.announcements(lab.neighbour()) > before)
    check(lab.wait_announced() == route, "the route is another one")
    wait_for("the answer has an end", lambda: steps(capture, asked)[-1:] == ["end"])
    # A neighbour may ask by itself as well, and two requests have one answer.
    seen = steps(capture, asked)
    answers = [step for step in seen if step != "asked"]
    check(seen[0] == "asked" and answers == ["begin", "routes", "end"] * answers.count("end"),
          f"what came is {seen}")
    bounce_backends(lab, (ANYCAST4,))


def steps(capture, since):
    """What has passed of a route refresh since then, in order: the request, and the
    answer from its beginning to its end (RFC 7313 4)."""
    subtypes = {0: "asked", 1: "begin", 2: "end"}
    return [subtypes[message.body[2]] if message.kind == ROUTE_REFRESH else "routes"
            for message in capture.messages() if message.seen >= since
            and (message.kind == ROUTE_REFRESH or message.announces())]


@scenario("extended-nexthop", "multipath routes")
def extended_next_hop(lab):
    """Both prefixes over the IPv6 session, with an IPv6 next hop (RFC 8950)."""
    lab.start_daemon("extnexthop")
    lab.start_burgee(peer(ROUTER6, extendednexthop=True), bgp_nexthop6=lab.host.address6)
    for prefix in (ANYCAST4, ANYCAST6):
        route = lab.wait_announced(prefix, "ipv6")
        check(route.next_hop == lab.host.address6, f"the next hop of {prefix} is {route.next_hop}")
    check_agreed(lab, "extended-nexthop", "ipv6")
    if not lab.daemon.fib_refusal():
        wait_for("the kernel has the IPv4 prefix by the IPv6 next hop",
                 lambda: lab.router.gateways(ANYCAST4) == {lab.host.address6})


@scenario("add-path")
def add_path(lab):
    """Prefixes with path identifiers come and go (RFC 7911)."""
    lab.start_daemon("addpath", "announce")
    lab.start_burgee(peer(ROUTER4, addpath="both"))
    lab.wait_announced()
    check_agreed(lab, "add-path")
    wait_for(f"{lab.daemon.name} has sent a route",
             lambda: lab.daemon.sent(lab.neighbour(), "198.51.100.0/24"))
    bounce_backends(lab, (ANYCAST4,))


@scenario("graceful-restart")
def graceful_restart(lab):
    """A burgee that is killed keeps its traffic until it is back (RFC 4724); a
    planned stop withdraws as ever."""
    lab.start_daemon("restart")
    # Without a listener. OpenBGPD connects again at once, and where it still
    # found that of the process that was dying, it was seen to begin its next
    # session with a message that has no place there. The answer, an FSM error
    # (RFC 4271 section 6.6), takes the kept route away.
    burgee = lab.start_burgee(peer(ROUTER4, gracefulrestart=True), bgp_listenport="-1")
    lab.wait_announced()
    check_agreed(lab, "graceful-restart")
    used = lambda: lab.daemon.preferred(ANYCAST4) == {lab.host.address4}
    wait_for("the route is used", used)

    burgee.kill()
    wait_for("the session is gone", lambda: not lab.established())
    check(used(), "the route went with the session")
    burgee.start()
    never_while("the route is not used", lambda: not used(), lab.established)
    lab.wait_announced()
    bounce_backends(lab, (ANYCAST4,))

    wait_for("the route is used again", used)
    burgee.terminate()
    check(burgee.wait_exit() == 0, f"burgee's exit status is {burgee.process.popen.returncode}")
    wait_for("the route is gone", lambda: not lab.daemon.preferred(ANYCAST4))


@scenario("role")
def role(lab):
    """burgee is a customer of its provider, and both insist on it (RFC 9234)."""
    lab.start_daemon("role")
    lab.start_burgee(peer(ROUTER4, role="customer", strictrole=True))
    route = lab.wait_announced()
    check(route.otc is None, f"ONLY_TO_CUSTOMER is {route.otc}")
    check_agreed(lab, "role")


@scenario("role-otc")
def role_otc(lab):
    """As the provider, burgee marks its routes with ONLY_TO_CUSTOMER."""
    lab.start_daemon("role", values={"provider": "customer"})
    lab.start_burgee(peer(ROUTER4, role="provider", strictrole=True))
    route = lab.wait_announced()
    check(route.otc == 65001, f"ONLY_TO_CUSTOMER is {route.otc}")


@scenario("role-mismatch")
def role_mismatch(lab):
    """Roles that do not go together: no session, and burgee says why."""
    lab.start_daemon("role")
    burgee = lab.start_burgee(peer(ROUTER4, role="peer"), log_level="DEBUG")
    never_while(f"the session with {lab.daemon.name} is Established", lab.established,
                lambda: "Role Mismatch" in burgee.log())


@scenario("host-name")
def host_name(lab):
    """burgee tells its name."""
    lab.start_daemon("hostname")
    lab.start_burgee(peer(ROUTER4, fqdn=True))
    lab.wait_announced()
    check_agreed(lab, "fqdn")


@scenario("max-prefixes")
def max_prefixes(lab):
    """The neighbour sends two prefixes, and burgee takes one at the most: it ends
    the session and says why (RFC 4486)."""
    lab.start_daemon("announce")
    burgee = lab.start_burgee(peer(ROUTER4, maxprefixes=1))
    said = "sent Cease/Maximum Number of Prefixes Reached (6/1)"
    wait_for("burgee ends the session", lambda: said in burgee.log())
    lab.wait_withdrawn()


@scenario("everything-offered")
def everything_offered(lab):
    """burgee offers all that it can; the neighbour as it is shipped takes no harm."""
    lab.start_daemon()
    lab.start_burgee(peer(ROUTER4, **EVERYTHING))
    lab.wait_announced()
    bounce_backends(lab, (ANYCAST4,))
