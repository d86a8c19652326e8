"""Targets that are names: dnsmasq at the router answers, burgee follows."""

import signal
import time

from burgee import ANYCAST4, PORT, peer
from cases import scenario
from lab import CLIENTS4, ROUTER4
from processes import Process, command_in
from traffic import SCRIPT, Client
from waiting import check, never_while, wait_for

BACKENDS = {"first": "10.0.9.10", "second": "10.0.9.11", "sixth": "fd00:9::16"}
"""Targets by the names that they say, each at an address of its own."""

TARGET_PORT = 8000
ENTRY = f"{ANYCAST4.split('/')[0]}:{PORT}"
TTL = 2
"""Seconds that the answers of hosts hold, which tests change."""

ROUTE = f"route add web :{PORT} tcp://web.test:{TARGET_PORT}"


class Names:
    """The name server at the router, and the two files that burgee's host has."""

    def __init__(self, lab, *options, conf=""):
        self.lab = lab
        self.options = options
        self.hosts = lab.directory / "dns-hosts"
        self.hosts.write_text("")
        self.log_file = lab.directory / "dnsmasq.log"
        self.process = None
        own = lab.directory / "etc"
        own.mkdir()
        self.resolv_conf, self.own_hosts = own / "resolv.conf", own / "hosts"
        self.resolv_conf.write_text(f"nameserver {ROUTER4}\n{conf}")
        self.own_hosts.write_text("127.0.0.1 localhost\n")
        # burgee's mounts are its own, and end with it. What is mounted are the
        # files, so they are written to and never replaced.
        wrapper = lab.directory / "burgee-with-files"
        mounts = (f"mount --bind {file} /etc/{file.name}" for file in own.iterdir())
        wrapper.write_text(f"#!/bin/sh\n{' && '.join(mounts)} && exec {lab.program} \"$@\"\n")
        wrapper.chmod(0o755)
        lab.program = wrapper

    def start(self):
        """Starts dnsmasq, and waits until it answers."""
        command = ["dnsmasq", "--keep-in-foreground", "--conf-file=/dev/null", "--user=root",
                   "--pid-file=", "--no-resolv", "--no-hosts", "--bind-interfaces",
                   f"--listen-address={ROUTER4}", "--local=/test/", f"--local-ttl={TTL}",
                   f"--addn-hosts={self.hosts}", "--log-queries", "--log-facility=-",
                   *self.options]
        self.process = self.lab.spawn(self.lab.router, command, self.log_file)
        wait_for("dnsmasq listens", lambda: self.lab.router.run(
            "ss", "-Huln", f"src {ROUTER4}:53").strip())
        return self

    def answer(self, **names):
        """From now on these names have these addresses, and no others do. Dots
        are underscores, addresses are separated by blanks."""
        lines = (f"{address} {name.replace('_', '.')}\n"
                 for name, addresses in names.items() for address in addresses.split())
        self.hosts.write_text("".join(lines))
        if self.process:
            self.process.popen.send_signal(signal.SIGHUP)

    def questions(self, name, record="A"):
        """How often a name was asked for."""
        log = self.log_file.read_text() if self.log_file.exists() else ""
        return log.count(f"query[{record}] {name} from ")


def make_way(lab):
    """The targets' addresses, and the clients' way to burgee."""
    lab.host.namespace.address("lo", f"{BACKENDS['sixth']}/128")
    lab.router.ip(f"route add {ANYCAST4} via {lab.host.address4} metric 4096 proto static")


def start_backend(lab, name):
    """A target that says its name."""
    host = BACKENDS[name]
    address = f"[{host}]:{TARGET_PORT}" if ":" in host else f"{host}:{TARGET_PORT}"
    command = ["python3", "-I", SCRIPT, "backend", name, address]
    process = lab.spawn(lab.host.namespace, command, lab.directory / f"{name}.log")
    wait_for(f"{name} listens", lambda: lab.host.namespace.run("ss", "-Htln", f"src {address}"))
    return process


def start_backends(lab):
    """All of them."""
    return {name: start_backend(lab, name) for name in BACKENDS}


def start_burgee(lab, peers=(), **settings):
    """burgee with one name as its target; without BGP unless there are peers."""
    settings = {"registry_static_routes": ROUTE, "proxy_addr": f":{PORT};proto=tcp",
                "bgp_enabled": str(bool(peers)).lower(), **settings}
    return lab.host.start_burgee(list(peers), **settings)


def logged(burgee, text, count=1):
    """Waits until burgee has logged this text, so often."""
    wait_for(f"burgee has logged {text!r}", lambda: burgee.log().count(text) >= count)


def served_by(client, names):
    """Waits until new connections are served by exactly these targets, each of
    them by turns; nothing may fail on the way."""
    began = time.monotonic()

    def is_so():
        nonlocal began
        recent = client.served(began)
        if set(recent) - set(names):
            began = time.monotonic()
        return sum(recent.values()) >= 40 and set(recent) == set(names)

    wait_for(f"connections are served by {sorted(names)} alone", is_so)


def hold(lab, name="held"):
    """One connection that is used all the time; says its target's name first."""
    command = ["python3", "-I", SCRIPT, "hold", ENTRY, CLIENTS4[0]]
    held = lab.spawn(lab.client, command, lab.directory / f"{name}.log")
    wait_for("the held connection is served", held.log_text)
    return held


def goes_on(held):
    """The held connection is still served."""
    lines = len(held.log_text())
    wait_for("the held connection goes on", lambda: len(held.log_text()) > lines)


@scenario("names-follow", "DNS programs", alone=True)
def names_follow(lab):
    """New connections follow the answers, for both families; established ones
    go on; the last answer stays without a server."""
    make_way(lab)
    start_backends(lab)
    names = Names(lab).start()
    names.answer(web_test=BACKENDS["first"])
    burgee = start_burgee(lab)
    logged(burgee, f"event=resolved name=web.test addresses={BACKENDS['first']}")
    logged(burgee, "health event=healthy")
    held = hold(lab)
    client = lab.start_client("steady", ENTRY, CLIENTS4[1:])
    served_by(client, ["first"])

    names.answer(web_test=BACKENDS["second"])
    served_by(client, ["second"])
    names.answer(web_test=" ".join(BACKENDS.values()))
    served_by(client, BACKENDS)
    names.answer(web_test=BACKENDS["sixth"])
    served_by(client, ["sixth"])
    goes_on(held)
    check(held.log_text().startswith("first\n"), "the held connection went to another target")

    # Without a server the last answer stays, whether it refuses or is silent.
    names.process.end()
    logged(burgee, "event=failed name=web.test")
    check("its last addresses stay in use" in burgee.log(), "the addresses did not stay")
    served_by(client, ["sixth"])
    names.start()
    names.answer(web_test=BACKENDS["first"])
    served_by(client, ["first"])
    names.process.popen.send_signal(signal.SIGSTOP)
    failures = burgee.log().count("event=failed name=web.test")
    logged(burgee, "event=failed name=web.test", failures + 1)
    served_by(client, ["first"])
    goes_on(held)
    names.process.popen.send_signal(signal.SIGCONT)
    check(not client.failed(), f"connections failed: {client.failed()[:3]}")
    return f"{len(client.attempts())} connections"


@scenario("names-cut", "DNS programs", alone=True)
def names_cut(lab):
    """With proxy.removedtargets, connections to an address that a name has no
    more are cut; those to one that it keeps go on."""
    make_way(lab)
    start_backends(lab)
    names = Names(lab).start()
    names.answer(web_test=BACKENDS["first"])
    burgee = start_burgee(lab, proxy_removedtargets="0s")
    logged(burgee, "health event=healthy")
    held = hold(lab)
    names.answer(web_test=f"{BACKENDS['first']} {BACKENDS['second']}")
    logged(burgee, f"addresses={BACKENDS['first']},{BACKENDS['second']}")
    goes_on(held)
    names.answer(web_test=BACKENDS["second"])
    held.wait_exit("the held connection")
    check("held connection ended" in held.log_text() or "reset" in held.log_text(),
          f"it was not cut: {held.log_text()[-300:]}")
    client = lab.start_client("steady", ENTRY, CLIENTS4)
    served_by(client, ["second"])


@scenario("names-late", "DNS programs", alone=True)
def names_late(lab):
    """No server, then no such name, then one: burgee says what is wrong, and
    serves as soon as there is an address."""
    make_way(lab)
    start_backends(lab)
    names = Names(lab)
    burgee = start_burgee(lab)
    logged(burgee, "event=failed name=web.test error=")
    check("it has no address" in burgee.log(), "there is nothing that could be kept")
    names.start()
    logged(burgee, "there is no such name")
    client = lab.start_client("steady", ENTRY, CLIENTS4)
    wait_for("connections are refused", lambda: len(client.failed()) > 20)
    names.answer(web_test=BACKENDS["second"])
    logged(burgee, "health event=healthy")
    served_by(client, ["second"])
    since = time.monotonic()
    names.answer()
    logged(burgee, "there is no such name", 2)
    wait_for("connections are refused again", lambda: len(client.failed(since)) > 20)


@scenario("names-ttl", "DNS programs", alone=True)
def names_ttl(lab):
    """A name is asked for when its answer ends, and not before."""
    make_way(lab)
    start_backends(lab)
    names = Names(lab, f"--host-record=slow.test,{BACKENDS['second']},86400",
                  f"--host-record=zero.test,{BACKENDS['second']},0").start()
    names.answer(web_test=BACKENDS["first"])
    started = time.monotonic()
    route = r"\n".join(f"route add {name} :{PORT} tcp://{name}.test:{TARGET_PORT}"
                       for name in ("web", "slow", "zero"))
    start_burgee(lab, registry_static_routes=route)
    rounds = 8
    wait_for("web.test is asked for", lambda: names.questions("web.test") >= rounds)
    took = time.monotonic() - started
    least = (rounds - 1) * TTL * 0.9
    check(took >= least, f"{rounds} questions took {took:.2f} s, and less than {least:.2f}")
    for name, record in (("slow.test", "A"), ("slow.test", "AAAA")):
        asked = names.questions(name, record)
        check(asked == 1, f"{name} was asked for {asked} times")
    asked, most = names.questions("zero.test"), took / 0.9 + 1
    check(rounds < asked <= most, f"zero.test was asked for {asked} times in {took:.2f} s")


@scenario("names-many", "DNS programs", alone=True)
def names_many(lab):
    """An answer that is too long for a datagram comes over TCP; of more than 64
    addresses, 64 are used."""
    make_way(lab)
    start_backend(lab, "first")
    names = Names(lab).start()
    # Addresses of burgee's own host at which nobody listens, but for one.
    addresses = [f"10.0.9.{n}" for n in range(10, 110)]
    lab.host.namespace.ip("address add 10.0.9.0/24 dev lo")
    names.answer(web_test=" ".join(addresses))
    burgee = start_burgee(lab, health_fall=1)
    logged(burgee, "event=resolved name=web.test")
    found = burgee.log().split("event=resolved name=web.test addresses=")[1].split()[0].split(",")
    check(found == addresses[:64], f"{len(found)} addresses: {found}")
    asked = names.questions("web.test")
    check(asked == 2, f"{asked} questions, and not one over UDP and one over TCP")
    logged(burgee, "health event=healthy")
    logged(burgee, "health event=unhealthy", 63)
    client = lab.start_client("steady", ENTRY, CLIENTS4)
    served_by(client, ["first"])
    check(not client.failed(), f"connections failed: {client.failed()[:3]}")


@scenario("names-search", "DNS programs", alone=True)
def names_search(lab):
    """Names are completed by the search list, and not if they end with a dot."""
    make_way(lab)
    start_backends(lab)
    names = Names(lab, conf="search nowhere.test right.test\n").start()
    names.answer(web_right_test=BACKENDS["first"], web=BACKENDS["second"])
    burgee = start_burgee(lab, registry_static_routes=(
        rf"route add web :{PORT} tcp://web:{TARGET_PORT}"))
    client = lab.start_client("steady", ENTRY, CLIENTS4)
    served_by(client, ["first"])
    check(names.questions("web.nowhere.test") >= 1, "the first domain was not tried")
    burgee.change(registry_static_routes=rf"route add web :{PORT} tcp://web.:{TARGET_PORT}")
    served_by(client, ["second"])


@scenario("names-hosts", "DNS programs", alone=True)
def names_hosts(lab):
    """The file of hosts goes before DNS, and a reload reads it again; without
    one, a name is asked for where resolv.conf says by then."""
    make_way(lab)
    start_backends(lab)
    names = Names(lab).start()
    names.answer(web_test=BACKENDS["second"])
    names.own_hosts.write_text(f"{BACKENDS['first']} web.test\n")
    burgee = start_burgee(lab)
    client = lab.start_client("steady", ENTRY, CLIENTS4)
    served_by(client, ["first"])
    check(names.questions("web.test") == 0, "DNS was asked")
    for name in ("sixth", "first"):
        names.own_hosts.write_text(f"{BACKENDS[name]} web.test\n")
        burgee.change()
        served_by(client, [name])
    names.own_hosts.write_text("")
    burgee.change()
    served_by(client, ["second"])
    check(not client.failed(time.monotonic() - 1), "connections failed")


@scenario("names-reload", "DNS programs", alone=True)
def names_reload(lab):
    """Reloads from addresses to names and back lose no connection, also where
    nobody answers for the name."""
    make_way(lab)
    start_backends(lab)
    names = Names(lab).start()
    names.answer(web_test=BACKENDS["second"], other_test=BACKENDS["sixth"])
    by_address = f"route add web :{PORT} tcp://{BACKENDS['first']}:{TARGET_PORT}"
    burgee = start_burgee(lab, registry_static_routes=by_address)
    logged(burgee, "health event=healthy")
    client = lab.start_client("steady", ENTRY, CLIENTS4)
    served_by(client, ["first"])
    for route, name in ((ROUTE, "second"), (by_address, "first"), (ROUTE, "second"),
                        (ROUTE.replace("web.test", "other.test"), "sixth"),
                        (by_address, "first")) * 3:
        burgee.change(registry_static_routes=route)
        served_by(client, [name])
    # One without an answer beside one that has an address: no harm is done.
    names.process.popen.send_signal(signal.SIGSTOP)
    both = by_address + r"\n" + ROUTE.replace("web.test", "silent.test")
    loaded = burgee.log().count("route event=loaded")
    burgee.change(registry_static_routes=both)
    logged(burgee, "route event=loaded", loaded + 1)
    served_by(client, ["first"])
    names.process.popen.send_signal(signal.SIGCONT)
    check(not client.failed(), f"connections failed: {client.failed()[:3]}")
    return f"{len(client.attempts())} connections"


@scenario("names-announced", "DNS programs")
def names_announced(lab):
    """The prefix is announced when a target of the name is healthy, and no
    sooner; it is withdrawn when the name is gone."""
    make_way(lab)
    names = Names(lab).start()
    lab.start_daemon()
    burgee = start_burgee(lab, [peer(ROUTER4)])
    lab.wait_established()
    never_while("a prefix without a target is announced", lambda: lab.route(ANYCAST4),
                lambda: "there is no such name" in burgee.log())
    # The name has an address now, at which nobody listens.
    names.answer(web_test=BACKENDS["first"])
    never_while("a prefix without a healthy target is announced", lambda: lab.route(ANYCAST4),
                lambda: "health event=unhealthy" in burgee.log())
    start_backend(lab, "first")
    lab.wait_announced()
    connection = lab.wait_connection()
    # All addresses are other ones, and nobody hears of it.
    start_backend(lab, "second")
    names.answer(web_test=BACKENDS["second"])
    logged(burgee, f"health event=healthy service=web target={BACKENDS['second']}")
    check("announce event=withdrawn" not in burgee.log(), "the move was a flap")
    check("web.test: there is no such name" in burgee.log(), "the reason does not say which name")
    names.answer()
    lab.wait_withdrawn()
    names.answer(web_test=BACKENDS["first"])
    lab.wait_announced()
    check(lab.wait_connection() == connection, "the session was not the same all the time")


@scenario("names-idle", "DNS programs", alone=True)
def names_idle(lab):
    """Until an answer ends, a name costs no system call: the checks of its
    target are all that happens."""
    make_way(lab)
    start_backend(lab, "first")
    names = Names(lab, f"--host-record=web.test,{BACKENDS['first']},300").start()
    calls = lab.directory / "calls"
    tracer = lab.directory / "traced-burgee"
    tracer.write_text(f"#!/bin/sh\nexec strace -f -qq -o {calls} {lab.program} \"$@\"\n")
    tracer.chmod(0o755)
    lab.program = tracer
    burgee = start_burgee(lab)
    logged(burgee, "health event=healthy")
    before = calls.read_text()
    check("SOCK_DGRAM" in before and "/etc/hosts" in before, "the trace shows no look-up")
    checks = f"htons({TARGET_PORT})"
    wait_for("the target is checked", lambda: calls.read_text().count(checks) > 25)
    since = calls.read_text()[len(before):]
    found = [line for line in since.splitlines()
             if any(word in line for word in ("SOCK_DGRAM", "/etc/", "htons(53)"))]
    check(not found, f"it was looked for: {found}")
    check(names.questions("web.test") == 1, "it was asked for again")
