"""gobgpd, asked through the gobgp client."""

import base64
import json
import re

from daemons.base import FEATURES, SHIPPED, Daemon, Route, community
from waiting import NotApplicable, wait_for

ORIGINS = ("igp", "egp", "incomplete")

# Path attribute types (RFC 4271 5.1, RFC 1997, RFC 4760, RFC 4360, RFC 8092, RFC 9234), as the
# client numbers them.
ORIGIN, AS_PATH, NEXT_HOP, MED, LOCAL_PREF, COMMUNITIES, MP_REACH = 1, 2, 3, 4, 5, 8, 14
EXTENDED_COMMUNITIES, LARGE_COMMUNITIES, OTC = 16, 32, 35

EXTENDED_KINDS = {2: "rt", 3: "soo"}
"""Sub-types of extended communities (RFC 4360 4 and 5)."""


class GoBgp(Daemon):
    """gobgpd with its gRPC port inside the namespace. It shows a route with the
    very attributes that came."""

    name = "gobgp"
    programs = ("gobgpd", "gobgp")
    config_file = SHIPPED / "gobgp" / "gobgpd.toml"
    installed = "gobgpd.toml"
    hold_time = "hold-time = {}"
    as4_off = {"peer-as = 65001": "peer-as = 65001\n        as4-capability = false"}
    without_shutdown_rule = {'"65535:0"': '"65535:99"'}
    as_trans_refusal = "has invalid keys: as4-capability"
    # It takes a `set-local-pref` of 0 for none.
    least_local_pref = 1
    shows_multipath = False
    refused = {
        "bfd": ("\n[peer-groups.bfd.config]", "has invalid keys: bfd"),
        "extmessage": ("\n[peer-groups.extended-message.config]",
                       "has invalid keys: extended-message"),
        "enhancedrefresh": ("\n[peer-groups.enhanced-refresh.config]",
                            "has invalid keys: enhanced-refresh"),
        "role": ('\n[peer-groups.role.config]\nlocal-role = "provider"',
                 "has invalid keys: role"),
    }
    knows_hard_reset = True
    always = ("hostname",)
    # Its sets of neighbours have no interfaces.
    link_local = {'neighbor-address = "fd00:1::2"': 'neighbor-address = "fe80::2%lan"',
                  "fd00:1::2": "fe80::2"}
    # It dials without a signature then.
    lacks = {"link-local md5": "dial tcp [fe80::1%lan]:0-\\u003e[fe80::2%lan]:179: i/o timeout"}
    second_session = {'neighbor-address = "10.0.1.3"\n        peer-group = "burgee"':
                      'neighbor-address = "10.0.1.3"\n        peer-group = "burgee"\n'
                      '    [neighbors.transport.config]\n        local-address = "10.0.1.9"'}
    makes_room = False
    shutdown_pattern = r"Administrative Shutdown|administrative shutdown|Subcode=2|subcode:2"

    def launch(self):
        self.spawn("gobgpd", "-f", self.directory / self.installed, "--log-level", "debug",
                   "--api-hosts", "127.0.0.1:50051")
        if "announce" in self.variants and not self.refusals:
            self.originate()

    def originate(self):
        """Gives gobgpd routes of its own; its file cannot hold any."""
        prefixes = {"198.51.100.0/24", "203.0.113.0/24"}
        def added():
            for prefix in prefixes:
                self.ask("gobgp", "global", "rib", "add", prefix)
            return prefixes <= self.gobgp("global", "rib").keys()
        wait_for("gobgpd takes routes", added, every=1.0)

    def fib_refusal(self):
        return "zebra.md: kernel routing table updates: GoBGP uses zebra of Quagga or FRRouting"

    def preferred(self, prefix):
        family = "ipv6" if ":" in prefix else "ipv4"
        paths = self.gobgp("global", "rib", "-a", family).get(prefix, [])
        return {self.route(prefix, path).next_hop for path in paths if path.get("best")}

    def gobgp(self, *command):
        """The decoded answer of `gobgp -j COMMAND`; empty while gobgpd starts."""
        try:
            answer = json.loads(self.ask("gobgp", "-j", *command)) or {}
        except ValueError:
            return {}
        return {} if "error" in answer else answer

    def details(self, neighbour):
        """All that gobgpd shows of a session."""
        return self.gobgp("neighbor", neighbour)

    def established(self, neighbour):
        state = self.details(neighbour).get("state", {})
        return state.get("session_state") in ("ESTABLISHED", 6)

    def agreed(self, neighbour):
        shown = self.ask("gobgp", "neighbor", neighbour)
        return set(re.findall(r"^    ([\w-]+):\s+advertised and received", shown, re.M)
                   ).intersection(FEATURES)

    def agreed_hold_time(self, neighbour):
        return self.details(neighbour)["timers"]["state"]["negotiated_hold_time"]

    def announcements(self, neighbour):
        return self.details(neighbour)["state"]["messages"]["received"].get("update", 0)

    def request_refresh(self, neighbour):
        # It keeps what came, and never asks a neighbour for it again.
        self.ask("gobgp", "neighbor", neighbour, "softresetin")
        counted = re.search(r"Route Refresh:\s+0\s+0", self.ask("gobgp", "neighbor", neighbour))
        if counted:
            raise NotApplicable(" ".join(counted[0].split()))

    def stop_session(self, neighbour, text):
        # Of `disable`, which has followed it, this release forgets the reason.
        self.ask("gobgp", "neighbor", neighbour, "shutdown", "--reason", text)
        return text

    def resume_session(self, neighbour):
        """It comes back by itself."""

    def reset_session(self, neighbour):
        self.ask("gobgp", "neighbor", neighbour, "reset")

    def routes(self, neighbour, family):
        # The global table holds what the import policy has let in.
        routes = {}
        for prefix, paths in self.gobgp("global", "rib", "-a", family).items():
            for path in paths:
                # It says a link-local address without its interface.
                if path.get("source-id") is None or path.get("neighbor-ip") == neighbour.split("%")[0]:
                    routes[prefix] = self.route(prefix, path)
        return routes

    @staticmethod
    def route(prefix, path):
        """One path of `gobgp -j`."""
        attributes = {attribute["type"]: attribute for attribute in path["attrs"]}
        reach = attributes.get(NEXT_HOP) or attributes.get(MP_REACH)
        segments = attributes.get(AS_PATH, {}).get("as_paths", [])
        return Route(
            prefix=prefix,
            next_hop=reach["nexthop"],
            as_path=tuple(number for segment in segments for number in segment["asns"]),
            origin=ORIGINS[attributes[ORIGIN]["value"]],
            med=attributes.get(MED, {}).get("metric"),
            local_pref=attributes.get(LOCAL_PREF, {}).get("value"),
            communities=tuple(map(community, attributes.get(COMMUNITIES, {}).get("communities", ()))),
            large_communities=tuple(
                f"{each['ASN']}:{each['LocalData1']}:{each['LocalData2']}"
                for each in attributes.get(LARGE_COMMUNITIES, {}).get("value", ())),
            extended_communities=tuple(
                GoBgp.extended(each)
                for each in attributes.get(EXTENDED_COMMUNITIES, {}).get("value", ())),
            # This release does not know it, and shows its octets.
            otc=(int.from_bytes(base64.b64decode(attributes[OTC]["value"]))
                 if OTC in attributes else None),
        )

    @staticmethod
    def extended(shown):
        """One extended community; an AS number of four octets comes as `64086.59904`."""
        administrator, number = shown["value"].rsplit(":", 1)
        if administrator.count(".") == 1:
            high, low = map(int, administrator.split("."))
            administrator = (high << 16) + low
        return f"{EXTENDED_KINDS[shown['subtype']]}:{administrator}:{number}"

    def sent(self, neighbour, prefix):
        return prefix in self.gobgp("neighbor", neighbour, "adj-out")
