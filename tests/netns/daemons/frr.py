"""FRR's zebra and bgpd, asked through vtysh."""

import json
import os
import pwd

from daemons.base import SHIPPED, Daemon, Route
from waiting import wait_for

LIBEXEC = "/usr/lib/frr"

WELL_KNOWN = {"noExport": "65535:65281", "gracefulShutdown": "65535:0"}
"""Communities that bgpd shows by name."""


class Frr(Daemon):
    """zebra, staticd and bgpd without their supervisor. The integrated file is
    loaded through vtysh, as the packaged start-up script does it."""

    name = "frr"
    programs = tuple(f"{LIBEXEC}/{p}" for p in ("zebra", "staticd", "bfdd", "bgpd")) + ("vtysh",)
    config_file = SHIPPED / "frr" / "frr.conf"
    installed = "frr.conf"
    test_values = {"log syslog informational": "log stdout debugging\ndebug bgp neighbor-events"}
    hold_time = "timers 3 {}"
    always = ("extmessage", "enhancedrefresh", "hostname")
    link_local = {
        "neighbor fd00:1::2 peer-group BURGEE": "neighbor fe80::2 peer-group BURGEE\n"
                                                " neighbor fe80::2 interface lan",
        "neighbor fd00:1::2 activate": "neighbor fe80::2 activate"}
    link_local_neighbour = "fe80::2"
    # It dials those only that it has heard router advertisements of.
    lacks = {"link-local dial": "fe80::2 [FSM] Waiting for NHT"}
    # The members of neighborCapabilities.
    FEATURES = {
        "routeRefresh": "route-refresh", "enhancedRouteRefresh": "enhanced-route-refresh",
        "extendedMessage": "extended-message", "extendedNexthop": "extended-nexthop",
        "gracefulRestart": "graceful-restart", "role": "role",
    }
    second_session = {"neighbor 10.0.1.3 peer-group BURGEE":
                      "neighbor 10.0.1.3 peer-group BURGEE\n neighbor 10.0.1.3 update-source 10.0.1.9"}
    knows_hard_reset = True
    many_accepted = {
        "ip prefix-list ANYCAST-V4 seq 10 permit 192.0.2.10/32":
            "ip prefix-list ANYCAST-V4 seq 10 permit 198.18.0.0/20 ge 32",
        "maximum-prefix 16": "maximum-prefix 5000"}
    as4_off = {"timers 3 9": "timers 3 9\n neighbor BURGEE dont-capability-negotiate"
                             "\n neighbor BURGEE override-capability"}
    without_shutdown_rule = {"permit graceful-shutdown": "permit 65535:99"}

    def launch(self):
        user = pwd.getpwnam("frr")
        sockets = self.run_directory / "frr"
        sockets.mkdir(exist_ok=True)
        # The daemons run as user frr, and their logs and sockets lie here.
        for path in (sockets, self.run_directory):
            os.chown(path, user.pw_uid, user.pw_gid)
        (self.directory / "vtysh.conf").touch()
        for program in ("zebra", "staticd", "bfdd", "bgpd"):
            (sockets / f"{program}.vty").unlink(missing_ok=True)
            self.spawn(f"{LIBEXEC}/{program}", "-f", "/dev/null", "-P", "0", "--log", "stdout",
                       log=f"{program}.log")
            wait_for(f"{program} takes commands", (sockets / f"{program}.vty").exists)
        # Errors in the file are on standard output; the log then shows them.
        loaded = self.ask("vtysh", "--config_dir", self.directory, "-b")
        (self.directory / "vtysh-load.log").write_text(loaded)

    def vtysh(self, *commands):
        """The answer to commands that are given one after the other."""
        options = [option for command in commands for option in ("-c", command)]
        return self.ask("vtysh", "--config_dir", self.directory, *options)

    def show(self, command):
        """The decoded answer to `show COMMAND json`; empty while bgpd starts."""
        text = self.vtysh(f"show {command} json")
        try:
            return json.loads(text)
        except ValueError:
            return {}

    def details(self, neighbour):
        """All that bgpd shows of a session."""
        return self.show(f"bgp neighbors {neighbour}").get(neighbour, {})

    def established(self, neighbour):
        return self.details(neighbour).get("bgpState") == "Established"

    def agreed(self, neighbour):
        shown = self.details(neighbour).get("neighborCapabilities", {})
        agreed = {name for key, name in self.FEATURES.items()
                  if str(shown.get(key)).startswith("advertisedAndReceived")}
        directions = (key for family in shown.get("addPath", {}).values() for key in family)
        if any(key.endswith("AdvertisedAndReceived") for key in directions):
            agreed.add("add-path")
        if {"advHostName", "rcvHostName"} <= shown.get("hostName", {}).keys():
            agreed.add("fqdn")
        return agreed

    def agreed_hold_time(self, neighbour):
        return self.details(neighbour)["bgpTimerHoldTimeMsecs"] / 1000

    def announcements(self, neighbour):
        return self.details(neighbour)["messageStats"]["updatesRecv"]

    def request_refresh(self, neighbour):
        self.vtysh(f"clear bgp ipv4 unicast {neighbour} soft in")

    def stop_session(self, neighbour, text):
        self.vtysh("configure terminal", "router bgp 65000",
                   f"neighbor {neighbour} shutdown message {text}")
        return text

    def resume_session(self, neighbour):
        self.vtysh("configure terminal", "router bgp 65000", f"no neighbor {neighbour} shutdown")

    def reset_session(self, neighbour):
        self.vtysh("configure terminal", "router bgp 65000", "no bgp hard-administrative-reset")
        self.vtysh(f"clear bgp {neighbour}")

    def reset_session_hard(self, neighbour):
        self.vtysh("configure terminal", "router bgp 65000", "bgp hard-administrative-reset")
        self.vtysh(f"clear bgp {neighbour}")
        return True

    def prefixes(self, neighbour, family="ipv4"):
        return self.show(f"bgp {family} unicast neighbors {neighbour} routes").get("routes", {}).keys()

    def routes(self, neighbour, family):
        # The list names the prefixes, only the single view has all attributes.
        routes = {}
        for prefix in self.prefixes(neighbour, family):
            for path in self.show(f"bgp {family} unicast {prefix}").get("paths", []):
                if path["peer"]["peerId"] == neighbour and path.get("valid"):
                    routes[prefix] = self.route(prefix, path)
        return routes

    @staticmethod
    def route(prefix, path):
        """One path of `show bgp PREFIX json`."""
        hops = [hop for hop in path["nexthops"] if hop.get("scope", "global") == "global"]
        segments = path["aspath"].get("segments", [])
        return Route(
            prefix=prefix,
            next_hop=hops[0]["ip"],
            as_path=tuple(number for segment in segments for number in segment["list"]),
            origin=path["origin"].lower(),
            med=path.get("metric"),
            local_pref=path.get("locPrf"),
            communities=tuple(WELL_KNOWN.get(text, text)
                              for text in path.get("community", {}).get("list", ())),
            large_communities=tuple(path.get("largeCommunity", {}).get("list", ())),
            extended_communities=tuple(
                path.get("extendedCommunity", {}).get("string", "").lower().split()),
            otc=path.get("otc"),
        )

    @classmethod
    def many_announced(cls, prefixes):
        last = "network 203.0.113.0/24"
        return {last: "\n  ".join([last, *(f"network {prefix}" for prefix in prefixes)]),
                "bgp log-neighbor-changes": "bgp log-neighbor-changes\n no bgp network import-check",
                "ip prefix-list SENT-V4 seq 20 permit 203.0.113.0/24":
                    "ip prefix-list SENT-V4 seq 20 permit 203.0.113.0/24\n"
                    "ip prefix-list SENT-V4 seq 30 permit 198.18.0.0/20 ge 32"}

    def wait_originated(self, prefixes):
        wait_for("bgpd has its own routes", lambda: len(
            self.show("bgp ipv4 unicast").get("routes", {})) >= len(prefixes), every=1.0)

    def sent(self, neighbour, prefix):
        answer = self.show(f"bgp ipv4 unicast neighbors {neighbour} advertised-routes")
        return prefix in answer.get("advertisedRoutes", {})

    def saw_shutdown(self, neighbour):
        return "Administrative Shutdown" in self.details(neighbour).get(
            "lastNotificationReason", "")
