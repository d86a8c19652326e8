"""One case's small network, and everything that runs in it.

    client --- router ===(lan)=== burgee 1, burgee 2
               daemon             backends on their own lo

A lab `between` puts a plain router between the neighbour and burgee 1, which
then lives on 10.0.2.0/24. Whatever a lab starts, `close` ends.
"""

import ipaddress
import threading

from burgee import ANYCAST4, ANYCAST6, BACKENDS, PORT, Burgee, peer
from capture import Capture
from namespaces import Namespace, bridge, plug, veth
from processes import Process, command_in
from traffic import SCRIPT, Client
from waiting import wait_for

ROUTER4, ROUTER6 = "10.0.1.1", "fd00:1::1"
CLIENTS4 = [f"10.0.3.{n}" for n in range(10, 18)]
CLIENTS6 = [f"fd00:3::{n}" for n in range(10, 18)]

_open = set()
_lock = threading.Lock()


def close_all():
    """Closes what is still open, when the run ends in any unusual way."""
    for lab in list(_open):
        lab.close()


class Host:
    """A host for one burgee: its namespace, its addresses, its backends."""

    def __init__(self, lab, number, address4, address6):
        self.lab = lab
        self.number = number
        self.address4, self.address6 = address4, address6
        self.namespace = Namespace(f"b{number}")
        self.directory = lab.directory / f"host{number}"
        self.directory.mkdir()
        self.backends = []
        self.burgee = None
        lab.on_close(self.namespace.close)
        backends = (f"{backend.split(':')[0]}/32" for backend in BACKENDS)
        self.namespace.address("lo", ANYCAST4, ANYCAST6, *backends)

    @property
    def name(self):
        """What the backends answer with."""
        return f"host{self.number}"

    def start_backends(self):
        """Starts the backends, or starts them again."""
        command = ["python3", "-I", SCRIPT, "backend", self.name, *BACKENDS]
        log = self.directory / "backend.log"
        self.backends.append(self.lab.spawn(self.namespace, command, log))

    def stop_backends(self):
        """Kills the backends; their ports are then closed."""
        for process in self.backends:
            process.end()
        self.backends.clear()

    def start_burgee(self, peers, **settings):
        """Starts burgee with these `bgp.peers` and settings (dots as underscores)."""
        settings = {key.replace("_", "."): value for key, value in settings.items()}
        settings.setdefault("bgp.routerid", self.address4)
        # A session over IPv4 has no IPv6 address of its own to announce.
        if any(":" not in text.split(";")[0] for text in peers):
            settings.setdefault("bgp.nexthop6", self.address6)
        self.burgee = Burgee(self.lab.program, self.namespace, self.directory, peers, settings)
        self.lab.on_close(self.burgee.end)
        return self.burgee.start()


class Lab:
    """The network of one case."""

    def __init__(self, program, daemon_class, directory, *, hosts=1, between=False):
        self.program = program
        self.daemon_class = daemon_class
        self.directory = directory
        self.daemon = None
        self._closers = []
        self._ports = {}
        directory.mkdir(parents=True)
        with _lock:
            _open.add(self)
        self.router = self._namespace("router")
        bridge(self.router, "lan")
        self.router.address("lan", f"{ROUTER4}/24", f"{ROUTER6}/64")
        self.router.forward()
        if between:
            self.hosts = [self._far_host()]
        else:
            self.hosts = [self._lan_host(number) for number in range(1, hosts + 1)]
        self.host = self.hosts[0]
        self.client = self._client()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def on_close(self, action):
        """Runs `action` when the lab closes; last registered, first run."""
        self._closers.append(action)

    def close(self):
        """Ends all processes, then removes all namespaces."""
        with _lock:
            _open.discard(self)
            closers, self._closers = self._closers[::-1], []
        for action in closers:
            action()

    def _namespace(self, role):
        namespace = Namespace(role)
        self.on_close(namespace.close)
        return namespace

    def _plug_in(self, other, device):
        """A cable from the router's lan to `device` of another namespace."""
        port = f"to-{device}-{len(self._closers)}"[:15]
        veth(self.router, port, other, device)
        plug(self.router, "lan", port)
        self._ports[other.name] = port

    def cut(self, host):
        """Unplugs a host so that nobody's interface goes down: what is sent is
        lost, and no kernel tells. Returns what plugs it in again."""
        port = self._ports[host.namespace.name]
        self.router.ip(f"link set {port} nomaster")
        return lambda: plug(self.router, "lan", port)

    def _lan_host(self, number):
        host = Host(self, number, f"10.0.1.{number + 1}", f"fd00:1::{number + 1}")
        self._plug_in(host.namespace, "eth0")
        host.namespace.address("eth0", f"{host.address4}/24", f"{host.address6}/64")
        self._default_route(host.namespace, ROUTER4, ROUTER6)
        return host

    def _far_host(self):
        """Burgee 1 behind a second router, one hop away from the daemon."""
        middle = self._namespace("middle")
        host = Host(self, 1, "10.0.2.2", "fd00:2::2")
        self._plug_in(middle, "eth0")
        veth(middle, "eth1", host.namespace, "eth0")
        middle.address("eth0", "10.0.1.254/24", "fd00:1::254/64")
        middle.address("eth1", "10.0.2.254/24", "fd00:2::254/64")
        middle.forward()
        host.namespace.address("eth0", "10.0.2.2/24", "fd00:2::2/64")
        self._default_route(host.namespace, "10.0.2.254", "fd00:2::254")
        self.router.ip("route add 10.0.2.0/24 via 10.0.1.254 proto static")
        self.router.ip("route add fd00:2::/64 via fd00:1::254 proto static")
        return host

    def _client(self):
        client = self._namespace("client")
        veth(self.router, "clients", client, "eth0")
        self.router.address("clients", "10.0.3.1/24", "fd00:3::1/64")
        client.address("eth0", *(f"{a}/24" for a in CLIENTS4), *(f"{a}/64" for a in CLIENTS6))
        self._default_route(client, "10.0.3.1", "fd00:3::1")
        return client

    @staticmethod
    def _default_route(namespace, gateway4, gateway6):
        namespace.ip(f"route add default via {gateway4}")
        namespace.ip(f"-6 route add default via {gateway6}")

    def spawn(self, namespace, command, log):
        """Starts a helper process that ends with the lab."""
        (self.directory / "run").mkdir(exist_ok=True)
        process = Process(command_in(namespace, self.directory / "run", command), log)
        self.on_close(process.end)
        return process

    def start_daemon(self, *variants, values=None, hold=None):
        """Starts the case's daemon with variants of its shipped file."""
        values = dict(values or {})
        if self.host.address4 != "10.0.1.2":
            values |= {"10.0.1.2": self.host.address4, "fd00:1::2": self.host.address6}
        self.daemon = self.daemon_class(self.router, self.directory, variants, values, hold)
        self.on_close(self.daemon.end)
        self.daemon.start()
        return self.daemon

    def start_burgee(self, *peers, **settings):
        """Starts backends and burgee on the first host. Default peer: the
        router's IPv4 address."""
        self.host.start_backends()
        return self.host.start_burgee(peers or (peer(ROUTER4),), **settings)

    def start_clients(self):
        """Starts a client for each family of the anycast address."""
        targets = {"v4": (f"{ANYCAST4.split('/')[0]}:{PORT}", CLIENTS4),
                   "v6": (f"[{ANYCAST6.split('/')[0]}]:{PORT}", CLIENTS6)}
        return {name: self.start_client(name, target, sources)
                for name, (target, sources) in targets.items()}

    def start_client(self, name, target, sources):
        """Starts a client that opens connections to `target` until the end."""
        command = ["python3", "-I", SCRIPT, "client", target, *sources]
        return Client(self.spawn(self.client, command, self.directory / f"client-{name}.log"))

    def start_drain_traffic(self):
        """A client of burgee's IPv4 anycast address whose packets reach the
        first host even when BGP's route is gone, as they do while routers
        have not yet converged; and one connection held open all the time."""
        self.router.ip(f"route add {ANYCAST4} via {self.host.address4} metric 4096 proto static")
        target = f"{ANYCAST4.split('/')[0]}:{PORT}"
        client = self.start_client("steady", target, CLIENTS4[1:])
        command = ["python3", "-I", SCRIPT, "hold", target, CLIENTS4[0]]
        held = self.spawn(self.client, command, self.directory / "held.log")
        wait_for("clients are served", lambda: len(client.attempts()) >= 20 and held.log_text())
        return client, held

    def link_local(self):
        """Leaves the link with nothing but link-local addresses, for both families:
        the router's lan is fe80::1 there, and the first host's eth0 fe80::2."""
        self.router.ip("address flush dev lan")
        self.router.address("lo", f"{ROUTER4}/32")
        self.router.address("lan", "fe80::1/64")
        self.link_local_host()

    def link_local_host(self):
        """The first host's end of that."""
        namespace = self.host.namespace
        namespace.ip("address flush dev eth0")
        namespace.address("eth0", "fe80::2/64")
        for family in ("-4", "-6"):
            namespace.ip(f"{family} route replace default via inet6 fe80::1 dev eth0")

    def unplug(self, host):
        """Takes a host's interface away, with all that the kernel keeps of it.
        Returns what brings another one of that name."""
        host.namespace.ip("link del eth0")
        return lambda: self._plug_in(host.namespace, "eth0")

    def capture(self):
        """Records what passes at the first host from now on."""
        recorder = Capture(self, self.host.namespace, "eth0")
        wait_for("the recorder listens", recorder.ready)
        return recorder

    # What the neighbour sees of the first host.

    def neighbour(self, family="ipv4"):
        """The address under which the daemon knows the first host's burgee."""
        if family == "link-local":
            return self.daemon.link_local_neighbour
        return self.host.address4 if family == "ipv4" else self.host.address6

    def established(self, session="ipv4"):
        """Whether the daemon's session over this family is Established."""
        return self.daemon.established(self.neighbour(session))

    def route(self, prefix, session="ipv4"):
        """The daemon's route to an anycast prefix over this session, or None."""
        family = "ipv6" if ipaddress.ip_network(prefix).version == 6 else "ipv4"
        return self.daemon.routes(self.neighbour(session), family).get(prefix)

    def wait_connection(self):
        """Waits until one BGP connection is left of a possible collision, and
        returns it as burgee's host names it: (local, remote)."""
        found = wait_for("there is one BGP connection",
                         lambda: (c := self.host.namespace.bgp_connections()) and len(c) == 1 and c)
        return next(iter(found))

    def wait_established(self, session="ipv4"):
        """Waits until the session is Established at the daemon."""
        wait_for(f"{self.daemon.name} shows the session over {session} Established",
                 lambda: self.established(session))

    def wait_announced(self, prefix=ANYCAST4, session="ipv4"):
        """Waits until the daemon has the prefix, and returns its Route."""
        return wait_for(f"{self.daemon.name} has {prefix} over {session}",
                        lambda: self.route(prefix, session))

    def wait_withdrawn(self, prefix=ANYCAST4, session="ipv4", every=0.1):
        """Waits until the daemon no longer has the prefix."""
        wait_for(f"{self.daemon.name} no longer has {prefix} over {session}",
                 lambda: self.route(prefix, session) is None, every=every)
