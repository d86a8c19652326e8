"""What dies unasked: all targets of a site, and burgee itself, once and again and again."""

import time

from burgee import ANYCAST4, ANYCAST6, peer
from cases import scenario
from lab import ROUTER4, ROUTER6
from load import Load, counted, failed
from pinning import NextHops
from planned_stops import TARGETS, in_flight
from waiting import check, pause, wait_for

RATE = 200
"""Connections a second: what the gaps are measured with."""

SETTLED = 200
"""Connections opened after a change of the route, none of which may fail."""

HOLD_UP = 2.0
"""Seconds of bgp.announce.holdup."""

CRASHES = 10
MOST_ANNOUNCEMENTS = 4
"""Of one prefix: the fall after the last of them brings the penalty to 3000."""


def start_burgee(host, **settings):
    """Starts burgee on a host, with a session for each family. What is not set here is
    as users have it."""
    host.start_burgee([peer(ROUTER4), peer(ROUTER6)], bgp_announce_holdup=f"{HOLD_UP}s",
                      health_interval="2s", **settings)


def start(lab, **second):
    """The daemon, two hosts, and the watcher of the router's kernel."""
    for family in ("ipv4", "ipv6"):
        lab.router.sysctl(f"net.{family}.fib_multipath_hash_policy", 1)
    hops = NextHops(lab)
    lab.start_daemon()
    for host, settings in zip(lab.hosts, ({}, second)):
        host.start_backends()
        start_burgee(host, **settings)
    return hops


def wait_settled(load, change):
    """Waits until enough connections were opened after a change."""
    wait_for("clients go on", lambda: sum(
        c.opened > change.settled for c in load.connections()) >= SETTLED, every=0.3)


def gap(load, began, change, what):
    """What a change that something at `began` has caused has cost: a text. Nothing that
    was opened after the change may fail."""
    wait_settled(load, change)
    since = [c for c in load.connections() if c.ended >= began]
    lost = failed(since)
    late = [c for c in lost if c.opened > change.settled]
    check(not late, f"{len(late)} connections failed after {what}: {late[:3]}")
    last = max([began, *(c.opened for c in lost)])
    return (f"{what}: the route changed after {change.settled - began:.2f} s, the last failed "
            f"connection began after {last - began:.2f} s, {len(lost)} of {len(since)} failed"
            + (f" ({counted(lost)})" if lost else ""))


def come_back(load, hops, hosts, start_again):
    """Brings back what makes these hosts the next hops; it costs only what is in flight
    when the route changes. Returns a text."""
    began = time.monotonic()
    start_again()
    change = hops.wait(hosts)
    held = change.began - began
    check(held >= HOLD_UP, f"announced after {held:.2f} s")
    wait_settled(load, change)
    since = [c for c in load.connections() if c.ended >= began]
    lost, flying = set(failed(since)), set(in_flight(since, change))
    check(lost <= flying, f"connections failed at the return: {list(lost - flying)[:3]}")
    return f"announced again after {held:.2f} s, {len(lost)} failed of {len(flying)} in flight"


@scenario("backends-die", "multipath routes", "fib_multipath_hash_policy", hosts=2,
          daemons=("bird",), measures=True)
def backends_die(lab):
    """All targets of the preferred site die: the traffic moves to the other one, and back."""
    near, far = lab.hosts
    hops = start(lab, bgp_anycastaddresses=f"{ANYCAST4};prepend=2, {ANYCAST6};prepend=2")
    hops.wait([near])
    load = Load(lab, RATE, 0, TARGETS)
    load.wait_served([near.name], time.monotonic())
    remarks = []
    # The default, after which a target is looked at again that has failed once, and less.
    for interval in ("500ms", "100ms"):
        near.burgee.change(health_fastinterval=interval)
        reloads = len(remarks) + 1
        wait_for("it is in force", lambda: (
            near.burgee.log().count("reload event=done") == reloads))
        died = time.monotonic()
        near.stop_backends()
        remark = gap(load, died, hops.wait([far]), f"health.fastinterval={interval}")
        first = min(c.opened for c in load.connections()
                    if c.server == far.name and not c.error and c.opened >= died)
        back = come_back(load, hops, [near], near.start_backends)
        remarks.append(f"{remark}, the first one that the other site served began after "
                       f"{first - died:.2f} s; {back}")
    load.finish()
    return "; ".join(remarks)


@scenario("kill-nine", "multipath routes", "fib_multipath_hash_policy", hosts=2,
          daemons=("bird",), measures=True)
def kill_nine(lab):
    """kill -9 of one of two burgees that share the load: the gap, and a cautious return."""
    first, second = lab.hosts
    hops = start(lab)
    hops.wait(lab.hosts)
    load = Load(lab, RATE, 0, TARGETS)
    load.wait_served([host.name for host in lab.hosts], time.monotonic())

    died = time.monotonic()
    first.burgee.kill()
    remark = gap(load, died, hops.wait([second]), "kill -9")
    back = come_back(load, hops, lab.hosts, first.burgee.start)
    load.finish()
    return f"{remark}; {back}"


def announcements(capture, host):
    """How often a host has announced the IPv4 prefix."""
    return sum(ANYCAST4 in message.announced() for message in capture.messages(host.address4)
               if message.announces())


@scenario("crash-loop", daemons=("bird",))
def crash_loop(lab):
    """Killed again and again, when it is announced or could be: the router hears little of it."""
    capture = lab.capture()
    lab.start_daemon(values={"error wait time 1, 10": "error wait time 1, 1"})
    burgee = lab.start_burgee(bgp_announce_holdup="500ms")
    lab.wait_announced()
    for _ in range(CRASHES):
        burgee.kill()
        wait_for("the session is gone", lambda: not lab.established())
        burgee.start()
        lab.wait_established()
        # Twice the hold-up: without the penalty it would be announced by now.
        pause(1.0)
    seen = announcements(capture, lab.host)
    check(seen <= MOST_ANNOUNCEMENTS, f"{seen} announcements in {CRASHES + 1} lives")
    check(lab.route(ANYCAST4) is None, "it is announced all the same")
    check("suppressed: flapped" in burgee.log(), "burgee does not say why")
    # What keeps it back is forgotten when the operator says so.
    burgee.change(bgp_announce_flaphalflife="0s")
    lab.wait_announced()
    return f"{seen} announcements while it was killed {CRASHES} times"
