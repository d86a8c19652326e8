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
    always = ("enhancedrefresh",)
    link_local = {"local fd00:1::1 as": "local fe80::1 as",
                  "neighbor fd00:1::2 as": "neighbor fe80::2%lan as",
                  "neighbor fd00:1::3 as": "neighbor fe80::3%lan as"}
    as4_off = {"hold time 9": "hold time 9; enable as4 off"}
    as_trans_neighbour = "23456"
    # It believes the capability even if its own is off.
    as_trans_refusal = "Error: Bad peer AS: 4200000001"
    without_shutdown_rule = {"(65535, 0)": "(65535, 99)"}
    second_session = {"neighbor 10.0.1.3 as BURGEE_AS":
                      "neighbor 10.0.1.3 as BURGEE_AS; local 10.0.1.9 as UPSTREAM_AS"}
    shutdown_pattern = r"Received: Administrative shutdown"

    # Protocols by the neighbour's place in the shipped file.
    PROTOCOL = re.compile(r"protocol bgp (\w+) from \w+ \{\s*neighbor ([\w.:%]+) as")

    # Features as `show protocols all` calls them.
    many_accepted = {"192.0.2.10/32": "192.0.2.10/32, 198.18.0.0/20{32,32}",
                     "import limit 16": "import limit 5000"}
    FEATURES = {
        "Route refresh": "route-refresh", "Enhanced refresh": "enhanced-route-refresh",
        "Extended message": "extended-message", "Extended next hop": "extended-nexthop",
        "ADD-PATH": "add-path", "Graceful restart": "graceful-restart", "Role": "role",
        "Hostname": "fqdn",
    }

    def launch(self):
        (self.run_directory / "bird").mkdir(exist_ok=True)
        self.spawn("bird", "-f", "-c", self.directory / self.installed, "-s", "/run/bird/bird.ctl")

    def birdc(self, command):
        """The answer to one command."""
        return self.ask("birdc", "-s", "/run/bird/bird.ctl", command)

    def protocol(self, neighbour):
        """The name of the protocol that the configuration gives a neighbour."""
        return {address: name for name, address in self.PROTOCOL.findall(self.render())}[neighbour]

    def details(self, neighbour):
        """All that bird shows of a session."""
        return self.birdc(f"show protocols all {self.protocol(neighbour)}")

    def established(self, neighbour):
        return re.search(r"BGP state:\s+Established", self.details(neighbour)) is not None

    def agreed(self, neighbour):
        sections = re.split(r"^    (?=\S)", self.details(neighbour), flags=re.M)
        offers = [set(re.findall(r"^      (\S[^:\n]*)", section, re.M)) for section in sections
                  if "capabilities" in section.split("\n")[0]]
        both = set.intersection(*offers) if len(offers) == 2 else ()
        return {self.FEATURES[name] for name in both if name in self.FEATURES}

    def agreed_hold_time(self, neighbour):
        return int(re.search(r"Hold timer:\s+[\d.]+/(\d+)", self.details(neighbour))[1])

    def announcements(self, neighbour):
        return int(re.search(r"Import updates:\s+(\d+)", self.details(neighbour))[1])

    def request_refresh(self, neighbour):
        self.birdc(f"reload in {self.protocol(neighbour)}")

    def stop_session(self, neighbour, text):
        self.birdc(f'disable {self.protocol(neighbour)} "{text}"')
        return text

    def resume_session(self, neighbour):
        self.birdc(f"enable {self.protocol(neighbour)}")

    def reset_session(self, neighbour):
        self.birdc(f"restart {self.protocol(neighbour)}")

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
            # The global one; a link-local one comes after it, or after "::".
            next_hop=shown["next_hop"].removeprefix(":: ").split()[0],
            as_path=tuple(map(int, shown["as_path"].split())),
            origin=shown["origin"].lower(),
            med=int(shown["med"]) if "med" in shown else None,
            local_pref=int(shown["local_pref"]) if "local_pref" in shown else None,
            communities=Bird.communities(shown.get("community", "")),
            large_communities=Bird.communities(shown.get("large_community", "")),
            extended_communities=tuple(re.sub("^ro:", "soo:", text) for text in
                                       Bird.communities(shown.get("ext_community", ""))),
            otc=int(shown["otc"]) if "otc" in shown else None,
        )

    @staticmethod
    def communities(shown):
        """`(rt, 65000, 1) (…)` as texts."""
        return tuple(re.sub(r",\s*", ":", inside) for inside in re.findall(r"\(([^)]*)\)", shown))

    @classmethod
    def many_announced(cls, prefixes):
        last = "route 203.0.113.0/24 unreachable;"
        return {last: last + "".join(f" route {prefix} unreachable;" for prefix in prefixes)}

    def announce_at_once(self):
        # A new session is fed 256 routes at a time.
        self.birdc("restart static1")

    def sent(self, neighbour, prefix):
        return prefix in self.birdc(f"show route export {self.protocol(neighbour)}")
