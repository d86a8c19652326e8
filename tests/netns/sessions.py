"""What a session agrees on, how it ends, and what is asked for while it is up."""

from burgee import ANYCAST4, ANYCAST6, peer
from cases import scenario
from lab import ROUTER4, ROUTER6
from scenarios import bounce_backends
from waiting import NotApplicable, check, never_while, wait_for

ASN4 = "4200000001"
"""An AS number of four octets (RFC 6793)."""

AS_TRANS = 23456

OFFERS = ("extmessage", "enhancedrefresh", "extnexthop", "addpath", "restart", "hostname")
"""Variants with capabilities that a neighbour may offer to one that has none of them."""


@scenario("hold-time")
def hold_time(lab):
    """The lower hold time counts: first the neighbour's, then burgee's."""
    lab.start_daemon(hold=30)
    for ours, agreed in ((90, 30), (12, 12)):
        burgee = lab.start_burgee(bgp_holdtime=f"{ours}s")
        lab.wait_announced()
        seen = lab.daemon.agreed_hold_time(lab.neighbour())
        check(seen == agreed, f"{lab.daemon.name} counts with a hold time of {seen} s")
        wait_for("burgee counts with the same", lambda: f" hold_time={agreed}s " in burgee.log())
        burgee.kill()
        lab.host.stop_backends()
        wait_for("the session is gone", lambda: not lab.established())


@scenario("shutdown-text")
def shutdown_text(lab):
    """Who ends the session says why (RFC 9003), and the other side's log shows it."""
    lab.start_daemon()
    burgee = lab.start_burgee()
    lab.wait_announced()
    text = lab.daemon.stop_session(lab.neighbour(), "rack 7 is on fire")
    received = f'received Cease/Administrative Shutdown (6/2) text=\\"{text}\\"'
    wait_for("burgee's log has the neighbour's text", lambda: received in burgee.log())
    lab.daemon.resume_session(lab.neighbour())
    lab.wait_announced()
    burgee.terminate()
    check(burgee.wait_exit() == 0, f"burgee's exit status is {burgee.process.popen.returncode}")
    wait_for(f"{lab.daemon.name} shows burgee's text",
             lambda: lab.daemon.saw_text(lab.neighbour(), "burgee was asked to stop"))


@scenario("route-refresh")
def route_refresh(lab):
    """The neighbour asks for everything again (RFC 2918), and gets the same."""
    lab.start_daemon()
    lab.start_burgee()
    route = lab.wait_announced()
    connection = lab.wait_connection()
    before = lab.daemon.announcements(lab.neighbour())
    lab.daemon.request_refresh(lab.neighbour())
    wait_for("burgee announces again",
             lambda: lab.daemon.announcements(lab.neighbour()) > before)
    again = lab.wait_announced()
    check(again == route, f"at first {route}, then {again}")
    check(lab.wait_connection() == connection, "the session is another one")


@scenario("as4")
def as4(lab):
    """burgee's AS number has four octets."""
    lab.start_daemon(values={"65001": ASN4})
    lab.start_burgee(bgp_asn=ASN4)
    route = lab.wait_announced()
    check(route.as_path == (int(ASN4),), f"AS_PATH is {route.as_path}")


@scenario("as-trans")
def as_trans(lab):
    """The same with a neighbour that knows AS numbers of two octets only: it is
    told AS_TRANS, with AS4_PATH for those behind it."""
    neighbour = lab.daemon_class.as_trans_neighbour.format(ASN4)
    lab.start_daemon(values={**lab.daemon_class.as4_off, "65001": neighbour})
    lab.start_burgee(bgp_asn=ASN4)
    refusal = lab.daemon.as_trans_refusal
    if refusal:
        wait_for(f"{lab.daemon.name} refuses", lambda: refusal in lab.daemon.log_text())
        raise NotApplicable(refusal)
    route = lab.wait_announced()
    wanted = int(ASN4) if lab.daemon.merges_as4_path else AS_TRANS
    check(route.as_path == (wanted,), f"AS_PATH is {route.as_path}")


@scenario("offers")
def offers(lab):
    """The neighbour offers all that it can; nothing of it is in the way."""
    lab.start_daemon(*filter(lab.daemon_class.has_variant, OFFERS))
    lab.start_burgee(peer(ROUTER4), peer(ROUTER6))
    lab.wait_announced()
    lab.wait_announced(ANYCAST6, "ipv6")
    agreed = lab.daemon.agreed(lab.neighbour())
    check("route-refresh" in agreed, f"agreed on {agreed}")
    return f"agreed on {' '.join(sorted(agreed))}"


@scenario("wrong-as")
def wrong_as(lab):
    """The neighbour is in another AS than configured: no session, and burgee says why."""
    lab.start_daemon()
    burgee = lab.start_burgee(peer(ROUTER4, asn=64999), log_level="DEBUG")
    never_while(f"the session with {lab.daemon.name} is Established", lab.established,
                lambda: "Bad Peer AS (2/2)" in burgee.log())
    check(lab.route(ANYCAST4) is None, "a route came over a session that is down")


@scenario("collision", hosts=2)
def collision(lab):
    """Both dial while the cable is out: one connection is left in the end, and it
    stays. The second host keeps the switch alive meanwhile."""
    restore = lab.cut(lab.host)
    lab.start_daemon()
    burgee = lab.start_burgee(log_level="DEBUG")
    wait_for("both dial", lambda: lab.router.dials_bgp() and lab.host.namespace.dials_bgp())
    restore()
    lab.wait_announced()
    bounce_backends(lab, (ANYCAST4,))
    return f"connections resolved: {burgee.log().count('Connection Collision Resolution')}"
