"""On what an announcement depends: services and how many of their targets are healthy,
the way down to a withdrawal, and what the operator switches."""

import time

from burgee import ANYCAST4, ANYCAST6, PORT, peer
from capture import UPDATE
from cases import scenario
from lab import ROUTER4, ROUTER6
from traffic import SCRIPT
from waiting import check, wait_for

WEB, MAIL, EITHER = ANYCAST4, "192.0.2.11/32", "192.0.2.12/32"
"""Anycast prefixes by what they depend on."""

ACCEPT_ALL = {WEB: f"{WEB}, {MAIL}, {EITHER}"}
"""What makes the daemon take all of them."""

MAIL_PORT = 2525
WEB_TARGETS = ("10.0.9.10:8000", "10.0.9.11:8000", "10.0.9.11:8001")
MAIL_TARGETS = ("10.0.9.10:8025", "10.0.9.11:8025")

HOLD_UP = 1.0
"""Seconds of bgp.announce.holdup."""

COMMUNITIES = 8
"""The type code of the attribute (RFC 1997)."""

GRACEFUL_SHUTDOWN = bytes((255, 255, 0, 0))
LEAVING = 2.0
"""Seconds of bgp.gracefulshutdown."""


class Targets:
    """Targets on the first host that die and come back one by one."""

    def __init__(self, lab, *addresses):
        self.lab = lab
        self.running = {}
        self.start(*addresses)

    def start(self, *addresses):
        """Starts them, and waits until they listen."""
        for address in addresses:
            log = self.lab.directory / f"target-{address.replace(':', '-')}.log"
            command = ["python3", "-I", SCRIPT, "backend", address, address]
            self.running[address] = self.lab.spawn(self.lab.host.namespace, command, log)
        for address in addresses:
            wait_for(f"{address} listens", lambda: self.lab.host.namespace.run(
                "ss", "-Htln", f"src {address}").strip())

    def kill(self, *addresses):
        """Kills them; their ports are then closed."""
        for address in addresses:
            self.running.pop(address).end()


def start_burgee(lab, prefixes, *peers, **settings):
    """burgee with two services."""
    routes = [f"route add web :{PORT} tcp://{target}" for target in WEB_TARGETS]
    routes += [f"route add mail :{MAIL_PORT} tcp://{target}" for target in MAIL_TARGETS]
    return lab.host.start_burgee(
        peers or [peer(ROUTER4)], proxy_addr=f":{PORT};proto=tcp, :{MAIL_PORT};proto=tcp",
        registry_static_routes=r"\n".join(routes), bgp_anycastaddresses=", ".join(prefixes),
        bgp_announce_holdup=f"{HOLD_UP}s", bgp_announce_flaphalflife="0s", **settings)


class Wire:
    """What the first host has said about IPv4 prefixes since the last look."""

    def __init__(self, lab):
        self.lab = lab
        self.capture = lab.capture()
        self.seen = 0

    def news(self):
        """The prefixes of new UPDATEs: (announced, withdrawn)."""
        updates = [m for m in self.capture.messages(self.lab.host.address4) if m.kind == UPDATE]
        new, self.seen = updates[self.seen:], len(updates)
        return ({prefix for update in new for prefix in update.announced()},
                {prefix for update in new for prefix in update.withdrawn()})

    def check_news(self, announced=(), withdrawn=()):
        """Exactly this was said."""
        news = self.news()
        check(news == (set(announced), set(withdrawn)), f"the UPDATEs say {news}")


@scenario("prefix-follows-service", daemons=("bird",))
def prefix_follows_service(lab):
    """Each prefix goes with the targets of its own services, and returns after the hold-up."""
    targets = Targets(lab, *WEB_TARGETS, *MAIL_TARGETS)
    lab.start_daemon(values=ACCEPT_ALL)
    wire = Wire(lab)
    start_burgee(lab, (f"{WEB};service=web", f"{MAIL};service=mail;minhealthy=2",
                       f"{EITHER};service=web mail;require=any;minhealthy=100%"))
    for prefix in (WEB, MAIL, EITHER):
        lab.wait_announced(prefix)
    wire.check_news(announced=(WEB, MAIL, EITHER))

    # One of two targets is too few where two are wanted.
    targets.kill(MAIL_TARGETS[0])
    lab.wait_withdrawn(MAIL)
    wire.check_news(withdrawn=[MAIL])
    # Now neither service has all of its targets.
    targets.kill(WEB_TARGETS[2])
    lab.wait_withdrawn(EITHER)
    wire.check_news(withdrawn=[EITHER])
    # One of three is enough where one is wanted; the last one is not there any more.
    targets.kill(WEB_TARGETS[1])
    wait_for("two targets are unhealthy", lambda: lab.host.burgee.log().count(
        "event=unhealthy service=web") == 2)
    wire.check_news()
    targets.kill(WEB_TARGETS[0])
    lab.wait_withdrawn(WEB)
    wire.check_news(withdrawn=[WEB])

    # What returns, returns by itself too, and not at once.
    began = time.monotonic()
    targets.start(MAIL_TARGETS[0])
    for prefix in (MAIL, EITHER):
        lab.wait_announced(prefix)
    wire.check_news(announced=(MAIL, EITHER))
    held = wire.capture.messages(lab.host.address4)[-1].seen - began
    check(held >= HOLD_UP, f"announced {held:.2f} s after the target was started")
    targets.start(*WEB_TARGETS)
    lab.wait_announced(WEB)
    wire.check_news(announced=[WEB])
    return f"announced again {held:.2f} s after the target was started"


@scenario("when-empty", daemons=("bird",))
def when_empty(lab):
    """Without any target: a prefix is kept, another one is made the last choice."""
    targets = Targets(lab, *WEB_TARGETS, *MAIL_TARGETS)
    lab.start_daemon(values=ACCEPT_ALL)
    wire = Wire(lab)
    start_burgee(lab, (f"{WEB};service=web;whenempty=keep",
                       f"{MAIL};service=web;whenempty=deprefer;depreferprepend=2",
                       f"{EITHER};service=web"))
    for prefix in (WEB, MAIL, EITHER):
        check(lab.wait_announced(prefix).as_path == (65001,), f"{prefix}: its AS_PATH")
    wire.news()
    targets.kill(*WEB_TARGETS)
    lab.wait_withdrawn(EITHER)
    wait_for("the AS_PATH is longer", lambda: lab.route(MAIL).as_path == (65001,) * 3)
    wire.check_news(announced=[MAIL], withdrawn=[EITHER])
    check(lab.route(WEB).as_path == (65001,), "what is kept has another AS_PATH")


@scenario("deprefer-ladder", daemons=("bird",))
def deprefer_ladder(lab):
    """Fewer and fewer targets: depreferred, GRACEFUL_SHUTDOWN, withdrawn; and the way up again.

    Depreferred is a longer AS_PATH over eBGP and a lower LOCAL_PREF over iBGP."""
    targets = Targets(lab, *WEB_TARGETS)
    # The IPv6 session is one inside burgee's AS, and no rule sets LOCAL_PREF.
    lab.start_daemon(values={"local fd00:1::1 as UPSTREAM_AS": "local fd00:1::1 as BURGEE_AS",
                             **lab.daemon_class.without_shutdown_rule})
    ladder = "service=web;depreferbelow=100%;shutdownbelow=2"
    start_burgee(lab, (f"{ANYCAST4};{ladder};depreferprepend=2",
                       f"{ANYCAST6};{ladder};depreferlocalpref=40"),
                 peer(ROUTER4), peer(ROUTER6, asn=65001))
    full, depreferred = ((65001,), 100, ()), ((65001,) * 3, 40, ())
    leaving = ((65001,), 0, ("65535:0",))

    def wait_step(step):
        as_path, local_pref, communities = step

        def reached():
            outside, inside = lab.route(ANYCAST4), lab.route(ANYCAST6, "ipv6")
            return (outside and inside and outside.as_path == as_path
                    and inside.local_pref == local_pref and inside.as_path == ()
                    and outside.communities == inside.communities == communities)
        wait_for(f"the neighbours see {step}", reached)

    wait_step(full)
    targets.kill(WEB_TARGETS[0])
    wait_step(depreferred)
    targets.kill(WEB_TARGETS[1])
    wait_step(leaving)
    targets.kill(WEB_TARGETS[2])
    lab.wait_withdrawn()
    lab.wait_withdrawn(ANYCAST6, "ipv6")
    targets.start(WEB_TARGETS[0])
    wait_step(leaving)
    targets.start(WEB_TARGETS[1])
    wait_step(depreferred)
    targets.start(WEB_TARGETS[2])
    wait_step(full)


def leaving_and_gone(capture, host):
    """The times at which a host has announced the IPv4 prefix with GRACEFUL_SHUTDOWN
    for the last time, and has withdrawn it for the last time."""
    updates = [m for m in capture.messages(host.address4) if m.kind == UPDATE]
    leaving = [m.seen for m in updates if ANYCAST4 in m.announced()
               and m.attribute(COMMUNITIES) == GRACEFUL_SHUTDOWN]
    gone = [m.seen for m in updates if ANYCAST4 in m.withdrawn()]
    return leaving[-1], gone[-1]


@scenario("graceful-shutdown-stop", daemons=("bird",))
def graceful_shutdown_stop(lab):
    """Before each planned withdrawal the prefix is announced with GRACEFUL_SHUTDOWN for a while."""
    lab.start_daemon()
    capture = lab.capture()
    file = lab.directory / "maintenance"
    burgee = lab.start_burgee(bgp_gracefulshutdown=f"{LEAVING}s", bgp_maintenancefile=file)
    lab.wait_announced()
    waits = []
    for begin, come_back in ((file.touch, file.unlink),
                             (lambda: burgee.command("drain"), lambda: burgee.command("resume")),
                             (burgee.terminate, None)):
        began = time.monotonic()
        begin()
        wait_for("the community is seen", lambda: (
            (route := lab.route(ANYCAST4)) and route.communities == ("65535:0",)))
        lab.wait_withdrawn()
        leaving, gone = leaving_and_gone(capture, lab.host)
        waits.append(gone - leaving)
        # The recorder may be late, so the time is counted from the order to go.
        check(leaving < gone and gone - began >= LEAVING, f"withdrawn after {gone - began:.2f} s")
        if come_back:
            come_back()
            check(lab.wait_announced().communities == (), "it still has the community")
    check(burgee.wait_exit() == 0, "burgee's exit status is not 0")
    return "withdrawn " + ", ".join(f"{wait:.2f} s" for wait in waits) + " after the community"


@scenario("operator-drain", daemons=("bird",))
def operator_drain(lab):
    """`burgee drain` of one prefix and of all: it outlives a restart and a crash, until `resume`."""
    Targets(lab, *WEB_TARGETS, *MAIL_TARGETS)
    lab.start_daemon(values={"error wait time 1, 10": "error wait time 1, 1", **ACCEPT_ALL})
    wire = Wire(lab)
    burgee = start_burgee(lab, (f"{WEB};service=web", f"{MAIL};service=mail"))
    lab.wait_announced(WEB)
    lab.wait_announced(MAIL)
    wire.check_news(announced=(WEB, MAIL))
    burgee.command("drain", MAIL)
    lab.wait_withdrawn(MAIL)
    wire.check_news(withdrawn=[MAIL])

    for end in (burgee.terminate, burgee.kill):
        end()
        burgee.wait_exit()
        wait_for("the session is gone", lambda: not lab.established())
        wire.news()
        burgee.start()
        lab.wait_announced(WEB)
        wire.check_news(announced=[WEB])

    burgee.command("drain")
    lab.wait_withdrawn(WEB)
    burgee.command("resume")
    lab.wait_announced(WEB)
    lab.wait_announced(MAIL)
    wire.check_news(announced=(WEB, MAIL), withdrawn=[WEB])


@scenario("maintenance-file", "curl", daemons=("bird",))
def maintenance_file(lab):
    """The file comes and goes, in every way that files do; /health is red from the first moment."""
    lab.start_daemon()
    wire = Wire(lab)
    directory = lab.directory / "operator"
    file, elsewhere = directory / "maintenance", lab.directory / "elsewhere"
    burgee = lab.start_burgee(bgp_gracefulshutdown="1s", bgp_maintenancefile=file,
                              bgp_announce_holdup="500ms")
    lab.wait_announced()
    wait_for("/health is green", lambda: burgee.health() == 200)
    wire.news()

    def red():
        """It is red before anything is withdrawn."""
        wait_for("/health is red", lambda: burgee.health() == 503, every=0.02)
        check(not wire.news()[1], "withdrawn before /health was red")
        lab.wait_withdrawn()
        check(burgee.health() == 503, "/health is green while it is withdrawn")

    def green():
        lab.wait_announced()
        wait_for("/health is green", lambda: burgee.health() == 200)
        wire.news()

    def link_there():
        elsewhere.touch()
        file.symlink_to(elsewhere)

    def move_away():
        directory.rename(lab.directory / "moved")

    # The directory is not there at first.
    directory.mkdir()
    for come, go in ((file.touch, file.unlink), (link_there, elsewhere.unlink),
                     (elsewhere.touch, file.unlink), (file.mkdir, file.rmdir),
                     (file.touch, move_away)):
        come()
        red()
        go()
        green()

    # It is there from the start.
    directory.mkdir()
    file.touch()
    lab.wait_withdrawn()
    burgee.terminate()
    check(burgee.wait_exit() == 0, "burgee's exit status is not 0")
    burgee.start()
    lab.wait_established()
    wait_for("/health is there", burgee.health)
    check(burgee.health() == 503, "/health is green")
    wire.news()
    file.unlink()
    green()
