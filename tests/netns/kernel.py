"""Probes: what the kernel under us can do, found out by doing it once."""

import os
import shutil
import socket
import struct

from namespaces import Namespace, bridge, plug, veth
from waiting import Failure

TCP_MD5SIG = 14
IP_MINTTL = 21


def _links(build):
    """Runs `build(left, right)` with two fresh namespaces; true if it works."""
    left = right = None
    try:
        left, right = Namespace("probe"), Namespace("probe")
        build(left, right)
        return True
    except Failure as failure:
        print(f"probe failed: {failure}")
        return False
    finally:
        for namespace in filter(None, (left, right)):
            namespace.close()


def _netns():
    return _links(lambda left, right: None)


def _veth():
    return _links(lambda left, right: veth(left, "eth0", right, "eth0"))


def _bridge():
    def build(left, right):
        veth(left, "eth0", right, "eth0")
        bridge(left, "lan")
        plug(left, "lan", "eth0")
    return _links(build)


def _multipath():
    def build(left, right):
        veth(left, "eth0", right, "eth0")
        left.address("eth0", "10.0.1.1/24", "fd00:1::1/64")
        for prefix, network in (("192.0.2.10/32", "10.0.1."), ("2001:db8::/64", "fd00:1::")):
            left.ip(f"route add {prefix} nexthop via {network}2 nexthop via {network}3")
            if left.gateways(prefix) != {f"{network}2", f"{network}3"}:
                raise Failure("route was not kept as multipath")
    return _links(build)


def _hash_policy():
    def build(left, right):
        left.sysctl("net.ipv4.fib_multipath_hash_policy", 1)
        left.sysctl("net.ipv6.fib_multipath_hash_policy", 1)
    return _links(build)


def _connection_marks():
    def build(left, right):
        left.run("nft", "add table inet t; add chain inet t c { type filter hook prerouting "
                 "priority mangle; }; add rule inet t c ct state new ct mark set jhash ip saddr "
                 ". tcp sport mod 2 map { 0 : 1, 1 : 2 }; add rule inet t c meta mark set ct mark")
        left.ip("rule add fwmark 1 lookup 101")
    return bool(shutil.which("nft")) and _links(build)


def _tcp_md5():
    """A tcp_md5sig structure for 127.0.0.1 (linux/tcp.h) is accepted."""
    address = struct.pack("=HH4s120x", socket.AF_INET, 0, socket.inet_aton("127.0.0.1"))
    key = b"secret"
    option = address + struct.pack("=BBHi80s", 0, 0, len(key), 0, key)
    return _socket_option(socket.IPPROTO_TCP, TCP_MD5SIG, option)


def _min_ttl():
    return _socket_option(socket.IPPROTO_IP, IP_MINTTL, 255)


def _socket_option(level, name, value):
    with socket.socket() as probe:
        try:
            probe.setsockopt(level, name, value)
            return True
        except OSError:
            return False


PROBES = {
    "netns": _netns,
    "veth": _veth,
    "bridge": _bridge,
    "multipath routes": _multipath,
    "fib_multipath_hash_policy": _hash_policy,
    "connection marks": _connection_marks,
    "TCP MD5": _tcp_md5,
    "min TTL": _min_ttl,
    # No feature of the kernel, but what some cases cannot do without either.
    "DNS programs": lambda: all(map(shutil.which, ("dig", "dnsmasq"))),
    "curl": lambda: bool(shutil.which("curl")),
    "strace": lambda: bool(shutil.which("strace")),
    "setpriv": lambda: bool(shutil.which("setpriv")),
    "TLS programs": lambda: all(map(shutil.which, ("openssl", "curl"))),
    "other proxies": lambda: all(map(shutil.which, ("haproxy", "nginx", "curl", "socat"))),
}

BASICS = ("netns", "veth", "bridge")
"""What every case needs."""


def probe():
    """Tries every feature once: name → whether the kernel has it."""
    if os.geteuid() != 0:
        raise PermissionError("namespaces, veth pairs and port 179 need root")
    return {name: attempt() for name, attempt in PROBES.items()}
