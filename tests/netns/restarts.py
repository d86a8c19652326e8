"""How a session ends that both sides agreed to survive (RFC 4724, RFC 8538)."""

from burgee import ANYCAST4, peer
from capture import NOTIFICATION, OPEN
from capabilities import check_agreed
from cases import scenario
from lab import ROUTER4
from waiting import NotApplicable, check, never_while, wait_for

GRACEFUL_RESTART = 64
"""The code of the capability (RFC 4724 3)."""

SURVIVES_NOTIFICATION = 0x40
"""The "N" bit in the first octet of its value (RFC 8538 2)."""

NO_N_BIT = "its OPEN: graceful restart without the N bit (RFC 8538)"

HOLD_TIMER_EXPIRED = bytes((4, 0))
CEASE, SHUTDOWN, RESET, HARD_RESET = 6, 2, 4, 9


def capabilities(message):
    """The capabilities in an OPEN, as a dictionary from code to value."""
    found, parameters = {}, message.body[10:]
    while parameters:
        kind, length = parameters[:2]
        inside, parameters = parameters[2:2 + length], parameters[2 + length:]
        while kind == 2 and inside:
            found[inside[0]] = inside[2:2 + inside[1]]
            inside = inside[2 + inside[1]:]
    return found


def survives_notification(capture, address):
    """Whether a side has set the N bit in its last OPEN."""
    last = [m for m in capture.messages(address) if m.kind == OPEN][-1]
    return bool(capabilities(last).get(GRACEFUL_RESTART, b"\0")[0] & SURVIVES_NOTIFICATION)


def notifications(capture, address):
    """The NOTIFICATIONs that a side has sent: their octets."""
    return [m.body for m in capture.messages(address) if m.kind == NOTIFICATION]


def start_restarting(lab, **settings):
    """Both sides agree on graceful restart, and the N bit is there if both know it."""
    lab.start_daemon("restart")
    capture = lab.capture()
    burgee = lab.start_burgee(peer(ROUTER4, gracefulrestart=True), **settings)
    lab.wait_announced()
    check_agreed(lab, "graceful-restart")
    check(survives_notification(capture, lab.host.address4), "burgee has not set the N bit")
    known = survives_notification(capture, ROUTER4)
    check(known == lab.daemon.knows_hard_reset, f"the N bit of {lab.daemon.name} is {known}")
    return burgee, capture


@scenario("hard-reset")
def hard_reset(lab):
    """A planned stop: burgee withdraws, and its last word is a Hard Reset to a
    neighbour that knows it, so that nothing is kept."""
    burgee, capture = start_restarting(lab)
    lab.wait_connection()
    burgee.terminate()
    lab.wait_withdrawn()
    check(burgee.wait_exit() == 0, f"burgee's exit status is {burgee.process.popen.returncode}")
    wait_for("the session is gone", lambda: not lab.established())
    check(lab.route(ANYCAST4) is None, "the route is back")
    last = notifications(capture, lab.host.address4)[-1]
    known = lab.daemon.knows_hard_reset
    wanted = (CEASE, HARD_RESET, CEASE, SHUTDOWN) if known else (CEASE, SHUTDOWN)
    check(last.startswith(bytes(wanted)), f"the last NOTIFICATION is {last.hex()}")


def wait_new_session(lab, before):
    """Waits for a session on another connection, with the route."""
    wait_for("there is a new session with the route", lambda: (
        before not in lab.host.namespace.bgp_connections() and lab.established()
        and lab.route(ANYCAST4)))


@scenario("notification-survived")
def notification_survived(lab):
    """The neighbour hangs beyond the hold time, and burgee's NOTIFICATION is no Hard
    Reset: the route is used all the time, until there is a new session and after."""
    _, capture = start_restarting(lab, bgp_holdtime="3s")
    if not lab.daemon.knows_hard_reset:
        raise NotApplicable(NO_N_BIT)
    used = lambda: lab.daemon.preferred(ANYCAST4) == {lab.host.address4}
    wait_for("the route is used", used)
    before = lab.wait_connection()
    lab.daemon.freeze()
    wait_for("burgee drops the session", lambda: (
        before not in lab.host.namespace.bgp_connections()))
    lab.daemon.thaw()
    never_while("the route is not used", lambda: not used(), lambda: (
        lab.established() and lab.host.namespace.bgp_connections() - {before}))
    wait_new_session(lab, before)
    check(used(), "the route is not used in the new session")
    said = notifications(capture, lab.host.address4)
    check(said[:1] == [HOLD_TIMER_EXPIRED], f"burgee has sent {[n.hex() for n in said]}")


@scenario("reset-by-neighbour")
def reset_by_neighbour(lab):
    """The neighbour's operator resets the session, and where that is possible with a
    Hard Reset too: burgee says what came, and has a session again."""
    burgee, capture = start_restarting(lab)
    before = lab.wait_connection()
    lab.daemon.reset_session(lab.neighbour())
    wait_new_session(lab, before)
    for said in notifications(capture, ROUTER4):
        check(said.startswith(bytes((CEASE, RESET))), f"{lab.daemon.name} has sent {said.hex()}")
        check("received Cease/Administrative Reset (6/4)" in burgee.log(), "burgee does not say so")

    before = lab.wait_connection()
    if lab.daemon.reset_session_hard(lab.neighbour()):
        wait_new_session(lab, before)
        last = notifications(capture, ROUTER4)[-1]
        check(last.startswith(bytes((CEASE, HARD_RESET, CEASE, RESET))), f"it says {last.hex()}")
        said = "received Cease/Hard Reset (6/9) cause=Cease/Administrative Reset (6/4)"
        check(said in burgee.log(), "burgee does not say that it was a Hard Reset")
