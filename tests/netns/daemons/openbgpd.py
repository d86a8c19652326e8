"""OpenBGPD, asked through bgpctl."""

import json
import re

from daemons.base import SHIPPED, Daemon, Route
from waiting import wait_for

WELL_KNOWN = {"NO_EXPORT": "65535:65281", "GRACEFUL_SHUTDOWN": "65535:0"}
"""Communities that bgpctl shows by name."""


class OpenBgpd(Daemon):
    """bgpd in the foreground; its control socket and chroot lie under the
    private /run."""

    name = "openbgpd"
    programs = ("/usr/sbin/bgpd", "bgpctl")
    config_file = SHIPPED / "openbgpd" / "bgpd.conf"
    installed = "bgpd.conf"
    hold_time = "holdtime {}"
    refused = {
        "bfd": ("\nbfd yes", "syntax error"),
        "extmessage": ("\nannounce extended message yes", "syntax error"),
        "extnexthop": ("\nannounce extended nexthop yes", "syntax error"),
        "hostname": ("\nannounce fqdn yes", "syntax error"),
    }
    link_local = {"fd00:1::1": "fe80::1%lan", "fd00:1::2": "fe80::2%lan"}
    # As bgpctl calls them.
    FEATURES = {
        "Route Refresh": "route-refresh", "Enhanced Route Refresh": "enhanced-route-refresh",
        "Graceful Restart": "graceful-restart", "Add-path": "add-path",
        "Open Policy role": "role",
    }
    fills_local_pref = True
    as4_off = {"max-prefix 16": "max-prefix 16\n\tannounce as-4byte no"}
    merges_as4_path = True
    without_shutdown_rule = {"community GRACEFUL_SHUTDOWN": "community 65535:99"}
    shows_multipath = False
    makes_room = False
    second_session = {'descr "burgee2-v4"\n\t\tlocal-address 10.0.1.1':
                      'descr "burgee2-v4"\n\t\tlocal-address 10.0.1.9'}
    shutdown_pattern = r"[Cc]ease, administratively down"

    def launch(self):
        (self.run_directory / "openbgpd").mkdir(exist_ok=True)
        config = self.directory / self.installed
        # bgpd refuses a file that others can read, for it may hold passwords.
        config.chmod(0o600)
        self.spawn("/usr/sbin/bgpd", "-d", "-v", "-f", config)

    def bgpctl(self, *command):
        """The decoded answer of `bgpctl -j show COMMAND`; empty while bgpd starts."""
        try:
            return json.loads(self.ask("bgpctl", "-j", "show", *command))
        except ValueError:
            return {}

    def details(self, neighbour):
        """All that bgpd shows of a session."""
        return next(iter(self.bgpctl("neighbor", neighbour).get("neighbors", [])), {})

    def established(self, neighbour):
        return self.details(neighbour).get("state") == "Established"

    def agreed(self, neighbour):
        shown = self.ask("bgpctl", "show", "neighbor", neighbour)
        section = re.search(r"Negotiated capabilities:\n((?:    .*\n)*)", shown)
        lines = section[1].splitlines() if section else ()
        return {name for line in lines for shown, name in self.FEATURES.items()
                if re.match(rf"    {shown}($|[: ])", line)}

    def agreed_hold_time(self, neighbour):
        return self.details(neighbour)["session"]["holdtime"]

    def announcements(self, neighbour):
        return self.details(neighbour)["stats"]["update"]["received"]["updates"]

    def request_refresh(self, neighbour):
        self.ask("bgpctl", "neighbor", neighbour, "refresh")

    def stop_session(self, neighbour, text):
        self.ask("bgpctl", "neighbor", neighbour, "down", text)
        return text

    def resume_session(self, neighbour):
        self.ask("bgpctl", "neighbor", neighbour, "up")

    def reset_session(self, neighbour):
        self.ask("bgpctl", "neighbor", neighbour, "clear")

    def routes(self, neighbour, family):
        entries = self.bgpctl("rib", "detail", family, "neighbor", neighbour).get("rib", [])
        return {entry["prefix"]: self.route(entry) for entry in entries}

    @staticmethod
    def route(entry):
        """One entry of `bgpctl -j show rib detail`."""
        found = {a["type"]: a for a in entry.get("attributes", [])}
        return Route(
            prefix=entry["prefix"],
            next_hop=entry["exit_nexthop"],
            as_path=tuple(map(int, entry["aspath"].split())),
            origin=entry["origin"].lower(),
            med=entry.get("metric") or None,
            local_pref=entry.get("localpref"),
            communities=tuple(WELL_KNOWN.get(text, text) for text in entry.get("communities", ())),
            large_communities=tuple(entry.get("large_communities", ())),
            extended_communities=tuple(text.replace(" ", ":")
                                       for text in entry.get("extended_communities", ())),
            otc=found.get("OTC", {}).get("as"),
        )

    def preferred(self, prefix):
        entries = self.bgpctl("rib", "detail", prefix).get("rib", [])
        return {entry["exit_nexthop"] for entry in entries if entry.get("best")}

    def sent(self, neighbour, prefix):
        entries = self.bgpctl("rib", "out", "neighbor", neighbour).get("rib", [])
        return any(entry["prefix"] == prefix for entry in entries)

    def fib_refusal(self):
        # A build without access to the kernel's table says so only when asked.
        wait_for("bgpd answers", lambda: self.bgpctl("neighbor"))
        answer = self.ask("bgpctl", "show", "fib")
        return "bgpctl show fib: permission denied" if "permission denied" in answer else ""
