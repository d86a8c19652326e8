"""Planned stops under an open-loop load, behind both kinds of router."""

import concurrent.futures
import itertools
import threading
import time

from burgee import ANYCAST4, ANYCAST6, PORT, peer
from cases import scenario
from lab import ROUTER4, ROUTER6
from load import LONG, SHORT, Load, counted, failed, latencies
from pinning import NextHops, pin
from waiting import check, pause

TARGETS = (f"{ANYCAST4.split('/')[0]}:{PORT}", f"[{ANYCAST6.split('/')[0]}]:{PORT}")
SHORT_RATE, LONG_RATE = 80, 16
"""Connections a second."""

STOPS = 50
"""Planned stops behind the router that pins."""

ECMP_STOPS = 12
"""Planned stops behind the router that does not."""

GRACE = "1500ms"
"""The time that routers have to converge: many times what this one needs."""

PRESENT = 0.5
"""Seconds for which a host is used, before it stops again."""


def start_burgees(lab, shutdown_wait, **router):
    """The daemon, and burgee on all hosts, with a session for each family."""
    lab.start_daemon(**router)
    for host in lab.hosts:
        host.start_backends()
        host.start_burgee([peer(ROUTER4), peer(ROUTER6)], proxy_deregistergraceperiod=GRACE,
                          proxy_shutdownwait=shutdown_wait, bgp_connectretry="500ms",
                          bgp_maintenancefile=host.directory / "maintenance",
                          bgp_announce_holdup="500ms", bgp_announce_flaphalflife="0s")


def start_load(lab):
    """The load, once all hosts serve it."""
    load = Load(lab, SHORT_RATE, LONG_RATE, TARGETS)
    load.wait_served([host.name for host in lab.hosts], time.monotonic())
    return load


def third_neighbour(lab):
    """What gives the neighbour's configuration sessions with a third burgee."""
    return {f"protocol bgp burgee2_v{n} from burgee_v{n}":
            f"protocol bgp burgee3_v{n} from burgee_v{n} {{ neighbor {address} as BURGEE_AS; }}\n"
            f"protocol bgp burgee2_v{n} from burgee_v{n}"
            for n, address in ((4, lab.hosts[2].address4), (6, lab.hosts[2].address6))}


class Stops:
    """The kinds of planned stop. Each is the beginning, and what brings the host back."""

    def __init__(self, hops):
        self.hops = hops

    def sigterm(self, host):
        """SIGTERM; it is started again some time after it has ended."""
        def come_back():
            self._ended(host)
            pause(0.3)
            host.burgee.start()
        host.burgee.terminate()
        return come_back

    def restart(self, host):
        """SIGTERM; it is started again as soon as it has ended."""
        def come_back():
            self._ended(host)
            host.burgee.start()
        host.burgee.terminate()
        return come_back

    @staticmethod
    def drain(host):
        """`burgee drain` and `burgee resume`."""
        host.burgee.command("drain")
        return lambda: host.burgee.command("resume")

    @staticmethod
    def maintenance(host):
        """The maintenance file comes, and goes."""
        file = host.directory / "maintenance"
        file.touch()
        return file.unlink

    @staticmethod
    def _ended(host):
        status = host.burgee.wait_exit()
        check(status == 0, f"{host.name}: burgee's exit status is {status}")

    def kinds(self):
        """All of them."""
        return [self.sigterm, self.drain, self.restart, self.maintenance]

    def once(self, host, kind):
        """One stop from its beginning until the host is used again. Returns the two changes."""
        began = time.monotonic()
        come_back = kind(host)
        gone = self.hops.wait_for(host, False, began)
        come_back()
        return gone, self.hops.wait_for(host, True, gone.settled)


def held(connections, host, change):
    """Long connections of a host at the time of a change."""
    return sum(c.kind == LONG and c.server == host.name and c.opened < change.began < c.ended
               for c in connections)


@scenario("drain-pinned", "multipath routes", "connection marks", hosts=3, daemons=("bird",),
          measures=True)
def drain_pinned(lab):
    """Behind a router that pins flows: 50 planned stops of all kinds, and no request fails."""
    hops = pin(lab)
    start_burgees(lab, "10s", values=third_neighbour(lab))
    hops.wait(lab.hosts)
    load = start_load(lab)

    # One host is always there, so two may be away.
    stops, may_go, done = Stops(hops), threading.Semaphore(len(lab.hosts) - 1), []
    broken = threading.Event()

    def stop_again_and_again(host, kinds):
        for kind in kinds:
            with may_go:
                check(not broken.is_set(), "another host did not come back")
                try:
                    done.append((host, kind.__name__, *stops.once(host, kind)))
                except BaseException:
                    broken.set()
                    raise
            pause(PRESENT)

    schedule = list(itertools.islice(itertools.cycle(stops.kinds()), STOPS))
    with concurrent.futures.ThreadPoolExecutor() as pool:
        stopping = [pool.submit(stop_again_and_again, host, schedule[number::len(lab.hosts)])
                    for number, host in enumerate(lab.hosts)]
        for one in concurrent.futures.as_completed(stopping):
            one.result()
    connections = load.finish()

    lost = failed(connections)
    check(not lost, f"{len(lost)} of {len(connections)} failed ({counted(lost)}): {lost[:5]}")
    kept = sum(held(connections, host, gone) for host, _, gone, _ in done)
    check(kept >= STOPS, f"only {kept} long connections were there when their host left")
    kinds = [kind for _, kind, _, _ in done]
    stopped = ", ".join(f"{kinds.count(kind)} {kind}" for kind in dict.fromkeys(kinds))
    sizes = ", ".join(f"{sum(c.kind == kind for c in connections)} {kind}"
                      for kind in (SHORT, LONG))
    return (f"{len(done)} planned stops ({stopped}), 0 failures in {len(connections)} connections "
            f"({sizes}), {kept} long ones open when their host left; {latencies(connections)}")


def in_flight(connections, change):
    """Those that were open during a change."""
    return [c for c in connections if c.opened <= change.settled and change.earliest() <= c.ended]


def by_change(lost, changes):
    """What has failed by the last change before its end, in which it must have been in
    flight: change → connections."""
    found = {change: [] for pair in changes for change in pair}
    for connection in lost:
        before = [change for change in found if change.earliest() <= connection.ended]
        last = max(before, key=lambda change: change.began, default=None)
        check(last and connection.opened <= last.settled,
              f"one failed that was opened after the route had changed: {connection}, {last}")
        found[last].append(connection)
    return found


@scenario("drain-ecmp", "multipath routes", "fib_multipath_hash_policy", hosts=2,
          daemons=("bird",), measures=True)
def drain_ecmp(lab):
    """Behind plain ECMP: only what is in flight when the route changes can fail."""
    for family in ("ipv4", "ipv6"):
        lab.router.sysctl(f"net.{family}.fib_multipath_hash_policy", 1)
    hops = NextHops(lab)
    # What the router has taken from a host never ends there.
    start_burgees(lab, "500ms")
    hops.wait(lab.hosts)
    load = start_load(lab)
    stops = Stops(hops)
    schedule = itertools.islice(itertools.cycle(stops.kinds()), ECMP_STOPS)
    # Each host gets all kinds.
    turns = (host for host in itertools.cycle(lab.hosts) for _ in stops.kinds())
    changes = []
    for host, kind in zip(turns, schedule):
        changes.append(stops.once(host, kind))
        pause(PRESENT)
    connections = load.finish()

    lost, remarks = by_change(failed(connections), changes), []
    for what, of_a_kind in zip(("withdrawal", "return"), zip(*changes)):
        flying = sum(len(in_flight(connections, change)) for change in of_a_kind)
        broken = sum(len(lost[change]) for change in of_a_kind)
        check(broken <= flying, f"{what}: {broken} failed of {flying} in flight")
        remarks.append(f"{what}: {broken} failed of {flying} in flight at {len(of_a_kind)} changes")
    return f"{len(connections)} connections; {'; '.join(remarks)}; {latencies(connections)}"
