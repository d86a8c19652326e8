"""What the messages of a session look like on the wire, and in which order they come."""

import ipaddress

from burgee import ANYCAST4, ANYCAST6, peer
from capabilities import check_agreed
from capture import NOTIFICATION, ROUTE_REFRESH, Message
from cases import scenario
from lab import ROUTER4, ROUTER6
from waiting import check, wait_for

MANY = [f"{address}/32" for address in
        list(ipaddress.ip_network("198.18.0.0/20").hosts())[:2000]]
"""Prefixes of which a message of 4096 octets holds less than half."""

LONGEST = 4096
"""Octets of a message that is not an extended one (RFC 4271 4.1)."""

INTERVAL = 8.0
"""Seconds of advertisementinterval."""

LEAST = INTERVAL / 2
"""Seconds that have to be between two announcements as they were recorded. The interval
itself may be a quarter shorter (RFC 4271 10), and the recorder is late at times."""


def classic_updates(prefixes):
    """How many UPDATEs of at most 4096 octets the prefixes need at least: each has
    a header, two lengths, and ORIGIN, AS_PATH and NEXT_HOP."""
    room = LONGEST - (19 + 4 + 4 + 9 + 7)
    return -(-len(prefixes) * 5 // room)


def until_all(messages):
    """The UPDATEs of the last connection up to the one that has made it complete:
    what comes after them is asked for by a refresh."""
    last = [m.stream for m in messages if m.announces()][-1]
    updates, left = [], set(MANY)
    for message in messages:
        if left and message.stream == last and message.announces():
            updates.append(message)
            left.difference_update(message.announced())
    return updates


@scenario("extended-sent")
def extended_sent(lab):
    """2000 prefixes come complete, in fewer messages than without RFC 8654."""
    lab.start_daemon("extmessage", values=lab.daemon_class.many_accepted)
    capture = lab.capture()
    lab.start_burgee(bgp_anycastaddresses=",".join(MANY))
    lab.wait_established()
    check_agreed(lab, "extended-message")
    wait_for(f"{lab.daemon.name} has all prefixes", lambda: (
        set(MANY) <= lab.daemon.prefixes(lab.neighbour())), every=0.5)
    updates = until_all(capture.messages(lab.host.address4))
    longest = max(map(len, updates))
    check(longest > LONGEST, f"the longest of {len(updates)} UPDATEs has {longest} octets")
    fewest = classic_updates(MANY)
    check(len(updates) < fewest, f"{len(updates)} UPDATEs, {fewest} would do without")
    return f"{len(updates)} UPDATEs, the longest of {longest} octets; {fewest} of at most {LONGEST}"


@scenario("extended-received")
def extended_received(lab):
    """The neighbour sends 2000 routes in a message that is longer than 4096 octets:
    burgee counts them, and lives on."""
    lab.start_daemon("extmessage", "announce", values=lab.daemon_class.many_announced(MANY))
    capture = lab.capture()
    lab.daemon.wait_originated(MANY)
    burgee = lab.start_burgee()
    lab.wait_announced()
    check_agreed(lab, "extended-message")
    lab.daemon.announce_at_once()
    sent = lambda: [m for m in capture.messages(ROUTER4) if m.announces()]
    wait_for(f"{lab.daemon.name} has sent all in extended messages", lambda: set(MANY) <= {
        prefix for m in sent() if len(m) > LONGEST for prefix in m.announced()})
    wait_for("a sign of life after that", lambda: any(
        m.seen > sent()[-1].seen for m in capture.messages(lab.host.address4)))
    check(not any(m.kind == NOTIFICATION for m in capture.messages()), "one side complains")
    longest = max(map(len, sent()))
    lab.host.stop_backends()
    lab.wait_withdrawn()
    burgee.terminate()
    check(burgee.wait_exit() == 0, f"burgee's exit status is {burgee.process.popen.returncode}")
    counted = sum(len(m.announced()) for m in sent())
    check(f" prefixes_rejected={counted}\n" in burgee.log(), f"burgee has not counted {counted}")
    return f"{counted} routes, the longest message has {longest} octets"


@scenario("advertisement-interval")
def advertisement_interval(lab):
    """A withdrawal goes at once, the announcement after it has to wait. Both prefixes
    live and die together, and the one of the session without an interval is the clock."""
    lab.start_daemon()
    capture = lab.capture()
    lab.start_burgee(peer(ROUTER4),
                     peer(ROUTER6, advertisementinterval=f"{INTERVAL:.0f}s"))
    lab.wait_announced(ANYCAST6, "ipv6")
    lab.wait_announced()
    between = None
    # A refresh that the neighbour asks for by itself is answered without delay, so a
    # round with one in it says nothing.
    while between is None:
        between = interval_in_one_round(lab, capture)
    check(between >= LEAST, f"{between:.1f} s between the announcements")
    return f"{between:.1f} s between two announcements"


def interval_in_one_round(lab, capture):
    """The backends die and come back. Returns the seconds between two announcements on
    the session with an interval, or None if the neighbour has asked for a refresh."""
    def last(address, what):
        return [m.seen for m in capture.messages(address) if what(m)][-1]

    before6 = last(lab.host.address6, Message.announces)
    lab.host.stop_backends()
    lab.wait_withdrawn()
    lab.host.start_backends()
    lab.wait_announced()
    lab.wait_announced(ANYCAST6, "ipv6")
    if any(m.kind == ROUTE_REFRESH and m.seen > before6 for m in capture.messages()):
        return None
    gone6 = last(lab.host.address6, Message.withdraws)
    check(before6 < gone6 < last(lab.host.address4, Message.announces), "the withdrawal has waited")
    return last(lab.host.address6, Message.announces) - before6
