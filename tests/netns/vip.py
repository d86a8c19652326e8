"""The anycast addresses on burgee's host (bgp.vip)."""

from burgee import ANYCAST4, ANYCAST6, PORT, peer
from cases import scenario
from lab import CLIENTS4, CLIENTS6, ROUTER4, ROUTER6
from traffic import SCRIPT
from waiting import check, wait_for

OWNED = "192.0.2.12/32"
"""An anycast address that is on the host before burgee is."""

NLRI = r"\x20\xc0\x00\x02\x0a"
"""192.0.2.10/32 in an UPDATE (RFC 4271 4.3), as strace writes it."""

LISTENERS = ", ".join(f"{host}:{PORT};proto=tcp;freebind=true" for host in (
    ANYCAST4.split("/")[0], OWNED.split("/")[0], f"[{ANYCAST6.split('/')[0]}]"))
"""They can be opened before their addresses are there."""


def wrap(lab, name, command):
    """Lets everybody start burgee through another program."""
    wrapper = lab.directory / name
    wrapper.write_text(f'#!/bin/sh\nexec {command} {lab.program} "$@"\n')
    wrapper.chmod(0o755)
    lab.program = wrapper


def start(lab, **settings):
    """burgee on a host that has none of the anycast addresses but one."""
    namespace = lab.host.namespace
    for prefix in (ANYCAST4, ANYCAST6):
        namespace.ip(f"address del {prefix} dev lo")
    namespace.address("lo", OWNED)
    lab.start_daemon(values={ANYCAST4: f"{ANYCAST4}, {OWNED}"})
    return lab.start_burgee(peer(ROUTER4), peer(ROUTER6), proxy_addr=LISTENERS, bgp_vip="lo",
                            bgp_anycastaddresses=f"{ANYCAST4}, {ANYCAST6}, {OWNED}",
                            bgp_announce_holdup="500ms", **settings)


def on_lo(lab):
    """Which of the anycast addresses are on the first host's lo."""
    shown = lab.host.namespace.ip("-o address show dev lo")
    return {prefix for prefix in (ANYCAST4, ANYCAST6, OWNED) if f" {prefix} " in shown}


def wait_announced(lab):
    """Waits until the neighbour has all of the prefixes."""
    for prefix, session in ((ANYCAST4, "ipv4"), (ANYCAST6, "ipv6"), (OWNED, "ipv4")):
        lab.wait_announced(prefix, session)


def check_served(lab):
    """Clients of both families are served at the addresses."""
    for prefix, source in ((ANYCAST4, CLIENTS4[0]), (ANYCAST6, CLIENTS6[0])):
        address = prefix.split("/")[0]
        target = f"[{address}]:{PORT}" if ":" in address else f"{address}:{PORT}"
        said = lab.client.run("python3", "-I", SCRIPT, "once", target, source)
        check(said == f"{lab.host.name}\n", f"{address}: {said!r}")


def stop(lab):
    """SIGTERM, and the end."""
    lab.host.burgee.terminate()
    status = lab.host.burgee.wait_exit()
    check(status == 0, f"burgee's exit status is {status}")


@scenario("vip-on-lo", "strace", daemons=("bird",))
def vip_on_lo(lab):
    """The addresses come before their announcements and go after the withdrawals.

    One that was there before stays, and one that a killed burgee has left is known."""
    trace = lab.directory / "strace.log"
    # The tracer is no child, so that signals and the exit status are burgee's.
    wrap(lab, "burgee-traced",
         f"strace -D -A -qq -xx -s 4096 -e trace=network,write,writev -o {trace}")
    burgee = start(lab)
    wait_announced(lab)
    check(on_lo(lab) == {ANYCAST4, ANYCAST6, OWNED}, f"on lo is {on_lo(lab)}")
    check_served(lab)
    stop(lab)
    check(on_lo(lab) == {OWNED}, f"after the stop on lo is {on_lo(lab)}")
    calls = trace.read_text().splitlines()
    places = {what: [place for place, line in enumerate(calls)
                     if what in line and not line.startswith("recv")]
              for what in ("RTM_NEWADDR", NLRI, "RTM_DELADDR")}
    added, said, removed = places.values()
    check(added and removed and len(said) == 2, f"the calls are {places}")
    check(max(added) < said[0] < said[1] < min(removed), f"the order of the calls is {places}")

    burgee.start()
    wait_announced(lab)
    burgee.kill()
    check(on_lo(lab) == {ANYCAST4, ANYCAST6, OWNED}, f"after kill -9 on lo is {on_lo(lab)}")
    burgee.start()
    wait_announced(lab)
    check_served(lab)
    stop(lab)
    check(on_lo(lab) == {OWNED}, f"after the second stop on lo is {on_lo(lab)}")


@scenario("vip-withdrawn", daemons=("bird",))
def vip_withdrawn(lab):
    """No target: the address goes when the clients had their time, and comes back with them."""
    start(lab, proxy_deregistergraceperiod="500ms", proxy_shutdownwait="500ms")
    wait_announced(lab)
    lab.host.stop_backends()
    lab.wait_withdrawn()
    wait_for("the addresses are gone", lambda: on_lo(lab) == {OWNED})
    lab.host.start_backends()
    wait_announced(lab)
    check(on_lo(lab) == {ANYCAST4, ANYCAST6, OWNED}, f"on lo is {on_lo(lab)}")
    check_served(lab)


@scenario("vip-without-privilege", "setpriv", daemons=("bird",))
def vip_without_privilege(lab):
    """Without CAP_NET_ADMIN: a clear word, and everything else works."""
    wrap(lab, "burgee-unprivileged", "setpriv --bounding-set=-net_admin --inh-caps=-net_admin")
    burgee = start(lab)
    wait_announced(lab)
    for prefix in (ANYCAST4, ANYCAST6):
        wait_for("it says what is wrong", lambda: any(
            prefix.split("/")[0] in line and "CAP_NET_ADMIN" in line
            for line in burgee.log().splitlines()))
    check(on_lo(lab) == {OWNED}, f"on lo is {on_lo(lab)}")
    # Somebody else adds it.
    lab.host.namespace.address("lo", ANYCAST4, ANYCAST6)
    check_served(lab)
    stop(lab)
    check(on_lo(lab) == {ANYCAST4, ANYCAST6, OWNED}, f"after the stop on lo is {on_lo(lab)}")
