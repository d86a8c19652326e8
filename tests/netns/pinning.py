"""What the router makes of the kernel's next hops: a record of their changes, and
new flows for exactly those of them that are announced, with old flows left where they are.

Run as a program it is the watcher in the router's namespace:

    pinning.py PREFIX PREFIX NEXTHOP=MARK...

It writes a JSON line for each change of the next hops of the IPv4 and the IPv6 prefix.
With marks it has rewritten before that which marks new flows get.
"""

import dataclasses
import json
import os
import pathlib
import select
import socket
import subprocess
import sys
import time

from burgee import ANYCAST4, ANYCAST6
from waiting import wait_for

RTMGRP_IPV4_ROUTE, RTMGRP_IPV6_ROUTE = 0x40, 0x400
SETTLED = 0.005
"""Seconds without another change after which a change is complete: BIRD deletes an
IPv6 route, and adds the new one."""

LAG = 0.05
"""Seconds by which the record may be behind the kernel."""

TABLE = """
table inet pinning {
    chain choose {
    }
    chain pin {
        type filter hook prerouting priority mangle;
        iifname "clients" ct state new ct mark 0 jump choose
        iifname "clients" meta mark set ct mark
    }
}
"""


@dataclasses.dataclass(frozen=True)
class Change:
    """A change of the next hops: when it was first heard of, when it was in force, and
    the next hops of both prefixes since then."""

    began: float
    settled: float
    hops: tuple

    def earliest(self):
        """Packets have not gone the new way before this."""
        return self.began - LAG


class NextHops:
    """A watcher in the lab's router, and what it has seen."""

    def __init__(self, lab, marks=()):
        self.process = lab.spawn(lab.router, ["python3", "-B", SCRIPT, ANYCAST4, ANYCAST6, *marks],
                                 lab.directory / "nexthops.log")
        wait_for("the watcher is there", self.changes)

    def changes(self):
        """All changes so far; the first one is how it was found."""
        lines = self.process.log_text().splitlines(keepends=True)
        whole = (json.loads(line) for line in lines if line.endswith("\n"))
        return [Change(began, settled, tuple(map(tuple, hops))) for began, settled, hops in whole]

    def wait(self, hosts, every=0.02):
        """Waits until both prefixes have exactly these hosts as next hops, and returns
        that change."""
        wanted = (tuple(sorted(h.address4 for h in hosts)),
                  tuple(sorted(h.address6 for h in hosts)))
        return wait_for(f"the next hops are {wanted}", lambda: (
            (last := self.changes()[-1]).hops == wanted and last), every)

    def wait_for(self, host, present, since=0.0, every=0.02):
        """Waits for a change after `since` with or without a host, and returns the first."""
        return wait_for(f"{host.name} is {'' if present else 'not '}a next hop", lambda: next(
            (c for c in self.changes() if c.settled >= since and present == (
                host.address4 in c.hops[0]) == (host.address6 in c.hops[1])), None), every)


def pin(lab):
    """Makes the router one that pins flows: a mark for each host, a route for each mark, new
    flows for the hosts that are announced. Returns the watcher."""
    marks = []
    for host in lab.hosts:
        for family, gateway in (("-4", host.address4), ("-6", host.address6)):
            lab.router.ip(f"{family} rule add fwmark {host.number} lookup {100 + host.number}")
            lab.router.ip(f"{family} route add default via {gateway} table {100 + host.number}")
            marks.append(f"{gateway}={host.number}")
    file = lab.directory / "pinning.nft"
    file.write_text(TABLE)
    lab.router.run("nft", "-f", file)
    return NextHops(lab, marks)


def _next_hops(prefix):
    """The next hops of a prefix in the main table."""
    family = "-6" if ":" in prefix else "-4"
    text = subprocess.run(["ip", family, "-j", "route", "show", prefix], check=True,
                          capture_output=True, text=True).stdout
    return sorted(hop["gateway"] for route in json.loads(text or "[]")
                  for hop in route.get("nexthops", [route]) if "gateway" in hop)


def _choose(prefixes, hops, marks):
    """Rewrites which marks new flows get, at once for both families."""
    commands = ["flush chain inet pinning choose"]
    for prefix, gateways in zip(prefixes, hops):
        family = "ip6" if ":" in prefix else "ip"
        numbers = [marks[gateway] for gateway in gateways]
        if numbers:
            places = ", ".join(f"{place} : {mark}" for place, mark in enumerate(numbers))
            choice = f"jhash {family} saddr . tcp sport mod {len(numbers)} map {{ {places} }}"
            commands.append(f"add rule inet pinning choose {family} daddr {prefix} "
                            f"ct mark set {choice}")
    subprocess.run(["nft", "-f", "-"], input="\n".join(commands), check=True, text=True)


def watch(prefixes, marks):
    """Writes each change, until killed."""
    # A router does not wait for what else there is to do on this machine.
    os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE) as changes:
        changes.bind((0, RTMGRP_IPV4_ROUTE | RTMGRP_IPV6_ROUTE))
        before, began = None, time.monotonic()
        while True:
            while select.select([changes], [], [], SETTLED)[0]:
                changes.recv(1 << 16)
            hops = list(map(_next_hops, prefixes))
            if hops != before:
                if marks:
                    _choose(prefixes, hops, marks)
                print(json.dumps([began, time.monotonic(), hops]), flush=True)
                before = hops
            select.select([changes], [], [])
            began = time.monotonic()


SCRIPT = pathlib.Path(__file__).resolve()

if __name__ == "__main__":
    watch(sys.argv[1:3], dict(argument.split("=") for argument in sys.argv[3:]))
