"""Two burgees behind one router: the router's kernel shares the load."""

import time

from burgee import ANYCAST4, ANYCAST6, peer
from cases import scenario
from lab import ROUTER4, ROUTER6
from waiting import NotApplicable, check, wait_for

PREFIXES = (ANYCAST4, ANYCAST6)
ENOUGH = 50
"""Connections that each burgee must have served to count as serving."""

SETTLED = 200
"""Connections opened after a change of the route, none of which may fail."""


def start_burgee(host):
    """Starts burgee on one of the hosts, with a session for each family."""
    host.start_burgee([peer(ROUTER4), peer(ROUTER6)], proxy_deregistergraceperiod="4s",
                      proxy_shutdownwait="5s")


def wait_next_hops(lab, hosts):
    """Waits until the kernel routes both prefixes to exactly these hosts;
    returns the time after which that is so."""
    wanted = ({h.address4 for h in hosts}, {h.address6 for h in hosts})
    wait_for(f"the kernel's next hops are {wanted}",
             lambda: tuple(map(lab.router.gateways, PREFIXES)) == wanted, every=0.005)
    return time.monotonic()


def wait_both_serve(clients, since):
    """Waits until connections opened from now on reach both burgees."""
    for name, client in clients.items():
        wait_for(f"both burgees serve {name}", lambda: (
            (counts := client.served(since)) and len(counts) == 2
            and min(counts.values()) >= ENOUGH), every=0.3)


def check_settled(clients, since, what):
    """No connection opened after the route changed may fail; a remark with
    the number of those that did fail before."""
    failures = {}
    for name, client in clients.items():
        wait_for(f"{name} clients go on", lambda: len(client.attempts(since)) >= SETTLED, every=0.3)
        late = client.failed(since)
        check(not late, f"{len(late)} {name} connections failed after {what}: {late[:3]}")
        failures[name] = len(client.failed())
    return f"{what}: failed before the route changed {failures}"


@scenario("ecmp", "multipath routes", "fib_multipath_hash_policy", hosts=2)
def ecmp(lab):
    """Both next hops in the kernel, both serve; one drains, returns, is killed."""
    first, second = lab.hosts
    for family in ("ipv4", "ipv6"):
        lab.router.sysctl(f"net.{family}.fib_multipath_hash_policy", 1)
    lab.start_daemon()
    if refusal := lab.daemon.fib_refusal():
        raise NotApplicable(refusal)
    for host in lab.hosts:
        host.start_backends()
        start_burgee(host)
    since = wait_next_hops(lab, lab.hosts)
    clients = lab.start_clients()
    wait_both_serve(clients, since)

    first.burgee.terminate()
    changed = wait_next_hops(lab, [second])
    remarks = [check_settled(clients, changed, "SIGTERM")]
    check(first.burgee.wait_exit() == 0, "burgee's exit status is not 0")

    start_burgee(first)
    wait_both_serve(clients, wait_next_hops(lab, lab.hosts))

    first.burgee.kill()
    changed = wait_next_hops(lab, [second])
    remarks.append(check_settled(clients, changed, "kill -9"))
    totals = {name: client.served() for name, client in clients.items()}
    return "; ".join([f"served {totals}", *remarks])
