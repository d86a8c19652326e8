"""Datagrams: DNS through burgee, with dnsmasq behind it and dig before it."""

from burgee import ANYCAST4, ANYCAST6, peer
from cases import scenario
from lab import CLIENTS4, CLIENTS6, ROUTER4, ROUTER6
from processes import output_of
from waiting import check, wait_for

SECOND4 = "192.0.2.11"
"""A second address of burgee's host, to be told from the first one."""

TARGETS = {"first": "10.0.9.10", "second": "10.0.9.11", "sixth": "fd00:9::16"}
TARGET_PORT = 5300
BIG = 12
"""Texts of 250 octets in the big answer: with their headers, three fragments."""



def url_host(target):
    """The address of a target as it stands in a URL."""
    return f"[{TARGETS[target]}]" if ":" in TARGETS[target] else TARGETS[target]


UDP = r"\n".join(f"route add dns :53 udp://{url_host(name)}:{TARGET_PORT}" for name in TARGETS)
TCP = UDP.replace("udp://", "tcp://")


def start_target(lab, name):
    """Starts a DNS server that says its name for who.test."""
    big = ",".join(chr(ord("a") + n) * 250 for n in range(BIG))
    command = ["dnsmasq", "--keep-in-foreground", "--conf-file=/dev/null", "--user=root",
               "--pid-file=", "--no-resolv", "--no-hosts", "--bind-interfaces",
               f"--listen-address={TARGETS[name]}", f"--port={TARGET_PORT}", "--cache-size=0",
               "--edns-packet-max=4096", "--log-facility=-",
               f"--txt-record=who.test,{name}", f"--txt-record=big.test,{big}"]
    process = lab.spawn(lab.host.namespace, command, lab.directory / f"{name}.log")
    wait_for(f"{name} listens", lambda: lab.host.namespace.run(
        "ss", "-Huln", f"src {url_host(name)}").strip())
    return process


def dig(lab, server, name, *options, source=None, check=True):
    """The answer to a TXT question, as a list of texts. dig itself says when an
    answer comes from an address that was not asked, and does not take it."""
    bind = ["-b", source] if source else []
    said = output_of(["ip", "netns", "exec", lab.client.name, "dig", "+tries=1", "+timeout=2",
                      "+short", *options, *bind, f"@{server}", name, "TXT"], check)
    return [text.strip('"') for line in said.splitlines() if line.startswith('"')
            for text in line.split('" "')]


def ask_all(lab, wanted):
    """Asks from all clients, over both families, until exactly the targets
    `wanted` have answered; nothing is lost meanwhile."""
    seen = set()
    for _ in range(2):
        for server, sources in ((address(ANYCAST4), CLIENTS4), (address(ANYCAST6), CLIENTS6)):
            for source in sources:
                answer = dig(lab, server, "who.test", source=source)
                check(len(answer) == 1, f"{source} asked {server} and got {answer}")
                seen.update(answer)
    check(seen == set(wanted), f"{seen} have answered, and not {set(wanted)}")


def address(prefix):
    """A host prefix without its length."""
    return prefix.split("/")[0]


def start(lab, **settings):
    """The targets, the neighbour, burgee with two sessions, and the way of the
    clients. Returns the targets' processes by name."""
    lab.host.namespace.address("lo", f"{SECOND4}/32", f"{TARGETS['sixth']}/128")
    targets = {name: start_target(lab, name) for name in TARGETS}
    lab.start_daemon()
    lab.host.start_burgee([peer(ROUTER4), peer(ROUTER6)], proxy_strategy="rr", **settings)
    if lab.daemon.fib_refusal():
        lab.router.ip(f"route add {ANYCAST4} via {lab.host.address4}")
        lab.router.ip(f"-6 route add {ANYCAST6} via {lab.host.address6}")
    lab.router.ip(f"route add {SECOND4}/32 via {lab.host.address4}")
    return targets


def wait_way(lab):
    """Both prefixes are announced, and traffic goes there."""
    lab.wait_announced()
    lab.wait_announced(ANYCAST6, "ipv6")
    for server in (address(ANYCAST4), address(ANYCAST6)):
        wait_for(f"{server} answers", lambda: dig(lab, server, "who.test", check=False))


@scenario("udp-dns", "DNS programs")
def udp_dns(lab):
    """DNS over both families: targets that die and come back, the announcement with them."""
    targets = start(lab, proxy_addr=":53;proto=udp", registry_static_routes=UDP)
    wait_way(lab)
    ask_all(lab, TARGETS)

    # From each address, the one that was asked answers, also in fragments.
    for server in (address(ANYCAST4), SECOND4, address(ANYCAST6)):
        big = dig(lab, server, "big.test", "+bufsize=4096", "+ignore", "+notcp")
        check(sum(map(len, big)) == BIG * 250, f"{server}: {sum(map(len, big))} octets")

    # A target dies: the questions that find that out are lost, no others.
    targets.pop("first").end()
    log = lab.host.burgee.log
    wait_for("the target is found dead", lambda: (
        dig(lab, address(ANYCAST4), "who.test", check=False),
        "event=unhealthy service=dns target=udp://10.0.9.10" in log())[1])
    ask_all(lab, targets)

    # All are dead: nobody is left to serve the prefixes, and none to ask.
    for name in list(targets):
        targets.pop(name).end()
    wait_for("no target is healthy", lambda: (
        dig(lab, SECOND4, "who.test", check=False), "no healthy target" in log())[1])
    lab.wait_withdrawn()

    # One is back: it is found without any question of a client.
    start_target(lab, "second")
    wait_way(lab)
    wait_for("only the living target answers", lambda: {
        *dig(lab, address(ANYCAST4), "who.test", check=False)} == {"second"})
    ask_all(lab, ["second"])


@scenario("udp-dns-drain", "DNS programs")
def udp_dns_drain(lab):
    """A planned stop: questions are answered until the end, a flow keeps the drain waiting."""
    start(lab, proxy_addr=":53;proto=udp;it=5s, :53;proto=tcp",
          registry_static_routes=UDP + r"\n" + TCP, proxy_deregistergraceperiod="1s")
    wait_way(lab)
    # Truncated over UDP, dig asks again over TCP: both listeners have port 53.
    big = dig(lab, address(ANYCAST4), "big.test", "+bufsize=512")
    check(sum(map(len, big)) == BIG * 250, f"{sum(map(len, big))} octets over TCP")
    dig(lab, SECOND4, "who.test", "+notcp")

    burgee = lab.host.burgee
    burgee.terminate()
    wait_for("the connections finish", lambda: "step=finishing" in burgee.log())
    check(dig(lab, SECOND4, "who.test", "+notcp"), "a question during the drain was not answered")
    status = burgee.wait_exit()
    check(status == 0, f"burgee's exit status is {status}")
    check("drain event=cut" not in burgee.log(), "flows were cut")
    lab.wait_withdrawn()
