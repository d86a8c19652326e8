"""BIRD 2, asked through birdc."""

import re

from daemons.base import SHIPPED, Daemon, Route


class Bird(Daemon):
    """bird in the foreground with its control socket under the private /run."""

    name = "bird"
    programs = ("bird", "birdc")
    config_file = SHIPPED / "bird" / "bird.conf"
    installed = "bird.conf"
    test_values = {"log syslog all": "log stderr all"}
    hold_time = "hold time {}"
    fills_local_pref = True
    without_shutdown_rule = {"(65535, 0)": "(65535, 99)"}
    shutdown_pattern = r"Received: Administrative shutdown"

    # Protocols by the neighbour's place in the shipped file.
    PROTOCOL = re.compile(r"protocol bgp (\w+) from \w+ \{\s*neighbor ([\w.:]+) as")

    def launch(self):
        (self.run_directory / "bird").mkdir(exist_ok=True)
        self.spawn("bird", "-f", "-c", self.directory / self.installed, "-s", "/run/bird/bird.ctl")

    def birdc(self, command):
        """The answer to one command."""
        return self.ask("birdc", "-s", "/run/bird/bird.ctl", *command.split())

    def protocol(self, neighbour):
        """The name of the protocol that the configuration gives a neighbour."""
        return {address: name for name, address in self.PROTOCOL.findall(self.render())}[neighbour]

    def established(self, neighbour):
        text = self.birdc(f"show protocols all {self.protocol(neighbour)}")
        return re.search(r"BGP state:\s+Established", text) is not None

    def routes(self, neighbour, family):
        table = {"ipv4": "master4", "ipv6": "master6"}[family]
        text = self.birdc(f"show route table {table} protocol {self.protocol(neighbour)} all")
        routes = {}
        for block in re.split(r"\n(?=\S)", text):
            first = block.split(None, 1)
            if not first or "/" not in first[0] or "unreachable" in block.splitlines()[0]:
                continue
            routes[first[0]] = self.route(first[0], dict(re.findall(r"BGP\.(\w+): ?(.*)", block)))
        return routes

    @staticmethod
    def route(prefix, shown):
        """One route from the attributes that `show route all` prints as BGP.NAME: VALUE."""
        return Route(
            prefix=prefix,
            next_hop=shown["next_hop"].split()[0],
            as_path=tuple(map(int, shown["as_path"].split())),
            origin=shown["origin"].lower(),
            med=int(shown["med"]) if "med" in shown else None,
            local_pref=int(shown["local_pref"]) if "local_pref" in shown else None,
            communities=Bird.communities(shown.get("community", "")),
            large_communities=Bird.communities(shown.get("large_community", "")),
            extended_communities=tuple(re.sub("^ro:", "soo:", text) for text in
                                       Bird.communities(shown.get("ext_community", ""))),
        )

    @staticmethod
    def communities(shown):
        """`(rt, 65000, 1) (…)` as texts."""
        return tuple(re.sub(r",\s*", ":", inside) for inside in re.findall(r"\(([^)]*)\)", shown))

    def sent(self, neighbour, prefix):
        return prefix in self.birdc(f"show route export {self.protocol(neighbour)}")
