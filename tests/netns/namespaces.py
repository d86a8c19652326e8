"""Network namespaces and the links between them.

The kernels this runs on may lack dummy interfaces and VRFs, so an anycast
address hangs off `lo`, and nothing but veth pairs and bridges is needed.
"""

import itertools
import json
import os

from processes import output_of

_serial = itertools.count(1)


class Namespace:
    """One network namespace with a unique name, deleted by `close`."""

    def __init__(self, role):
        self.name = f"bgn{os.getpid()}-{next(_serial)}-{role}"
        output_of(["ip", "netns", "add", self.name])
        # Before any interface exists, so that all of them inherit it. Without
        # duplicate address detection an address is usable at once.
        self.sysctl("net.ipv6.conf.default.accept_dad", 0)
        self.sysctl("net.ipv6.conf.all.disable_ipv6", 0)
        self.sysctl("net.ipv4.conf.all.rp_filter", 0)
        self.sysctl("net.ipv4.conf.default.rp_filter", 0)
        self.ip("link set lo up")

    def close(self):
        """Removes the namespace, and with it its interfaces."""
        output_of(["ip", "netns", "del", self.name], check=False)

    def run(self, *command, check=True):
        """Standard output of a short command inside the namespace."""
        return output_of(["ip", "netns", "exec", self.name, *command], check)

    def ip(self, arguments):
        """`ip ARGUMENTS` inside the namespace."""
        return output_of(["ip", "-n", self.name, *arguments.split()])

    def sysctl(self, key, value):
        """Sets a kernel parameter of the namespace."""
        self.run("sysctl", "-qw", f"{key}={value}")

    def address(self, device, *addresses):
        """Gives `device` addresses, each with a prefix length."""
        for address in addresses:
            nodad = " nodad" if ":" in address else ""
            self.ip(f"address add {address} dev {device}{nodad}")

    def forward(self):
        """Makes the namespace a router."""
        self.sysctl("net.ipv4.ip_forward", 1)
        self.sysctl("net.ipv6.conf.all.forwarding", 1)

    def gateways(self, prefix):
        """Next hops of the route to `prefix` in the kernel's main table, as a set."""
        family = "-6" if ":" in prefix else "-4"
        text = output_of(["ip", family, "-n", self.name, "-j", "route", "show", prefix])
        hops = set()
        for route in json.loads(text or "[]"):
            for hop in route.get("nexthops", [route]):
                # An IPv4 route by an IPv6 next hop (RFC 8950) has "via" instead.
                hops.add(hop.get("gateway") or hop.get("via", {}).get("host"))
        return hops - {None}

    def bgp_connections(self):
        """Established TCP connections with port 179 on one side, as a set of
        (local, remote) texts. It names a connection exactly, so "the same
        session as before" can be told from "a session again"."""
        text = self.run("ss", "-Htn", "state", "established", "( sport = :179 or dport = :179 )")
        return {tuple(line.split()[2:4]) for line in text.splitlines()}

    def dials_bgp(self):
        """Whether a connection to port 179 waits for its answer."""
        return bool(self.run("ss", "-Htn", "state", "syn-sent", "( dport = :179 )").strip())

    def tcp_counter(self, *names):
        """Sum of the named TcpExt counters of the kernel in this namespace."""
        lines = self.run("cat", "/proc/net/netstat").splitlines()
        counters = {}
        for keys, values in zip(lines[::2], lines[1::2]):
            counters.update(zip(keys.split()[1:], map(int, values.split()[1:])))
        return sum(counters.get(name, 0) for name in names)


def veth(left, left_device, right, right_device):
    """A cable between two namespaces; both ends are up."""
    output_of(["ip", "link", "add", left_device, "netns", left.name, "type", "veth",
               "peer", "name", right_device, "netns", right.name])
    left.ip(f"link set {left_device} up")
    right.ip(f"link set {right_device} up")


def bridge(namespace, device):
    """A switch inside a namespace."""
    namespace.ip(f"link add {device} type bridge")
    namespace.ip(f"link set {device} up")


def plug(namespace, switch, device):
    """Plugs a device of the namespace into its switch."""
    namespace.ip(f"link set {device} master {switch}")
