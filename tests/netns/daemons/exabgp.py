"""ExaBGP, known by the JSON lines that it writes for its helper process."""

import json
import pathlib

from daemons.base import Daemon, Route

EXTENDED_KINDS = {"target": "rt", "origin": "soo"}
"""Kinds of extended communities, as this release calls them."""


class ExaBgp(Daemon):
    """exabgp in the foreground. It has no table and no FIB: what is known of
    a neighbour is the sum of the messages since its session came up."""

    name = "exabgp"
    programs = ("exabgp",)
    config_file = pathlib.Path(__file__).with_name("exabgp.conf")
    installed = "exabgp.conf"
    hold_time = "hold-time {}"
    as4_off = {"graceful-restart disable": "graceful-restart disable; asn4 disable"}
    as_trans_neighbour = "23456"
    merges_as4_path = True
    refused = {"bfd": ("; bfd on", 'invalid keyword "bfd"'),
               "role": ("; role provider", 'invalid keyword "role"'),
               "hostname": (None, "capabilities.py: Cumulus draft - disabling until -01 is out")}
    link_local = {"fd00:1::1": "fe80::1%lan", "fd00:1::2": "fe80::2%lan"}
    lacks = {"link-local": '"fe80::2%lan" is an invalid IP address'}
    always = ("extmessage", "enhancedrefresh")
    second_session = {"neighbor 10.0.1.2": "neighbor 10.0.1.3 {\n    inherit burgee;\n"
                      "    local-address 10.0.1.9;\n    family { ipv4 unicast; }\n}\n"
                      "neighbor 10.0.1.2"}
    makes_room = False
    # As the OPENs in the record call them.
    FEATURES = {
        "route-refresh": "route-refresh", "enhanced-route-refresh": "enhanced-route-refresh",
        "extended-message": "extended-message", "nexthop": "extended-nexthop",
        "addpath": "add-path", "graceful restart": "graceful-restart",
    }
    # Its state is then OpenConfirm still, and its new connection has no OPEN yet:
    # "'NoneType' object has no attribute 'router_id'", once a second for ever.
    survives_collision = False

    def __init__(self, *arguments):
        super().__init__(*arguments)
        self.record = self.directory / "exabgp.json"
        self.recorder = self.directory / "recorder"
        self.commands = self.directory / "exabgp.commands"
        self.values["/bin/cat"] = str(self.recorder)

    def launch(self):
        self.record.unlink(missing_ok=True)
        self.commands.write_text("")
        # Its standard output stays as it is: exabgp takes the end of it for a death.
        self.recorder.write_text(f"#!/bin/sh\ntail -n +1 -f {self.commands} &\n"
                                 f"while read -r line; do\n"
                                 f"    printf '%s\\n' \"$line\" >>{self.record}\ndone\n")
        self.recorder.chmod(0o755)
        self.spawn("exabgp", self.directory / self.installed, environment={
            "exabgp_daemon_user": "root",
            "exabgp_daemon_drop": "false",
            "exabgp_api_ack": "false",
            "exabgp_api_cli": "false",
            "exabgp_log_all": "false",
        })

    def messages(self, neighbour):
        """The recorded messages about one neighbour, oldest first."""
        if not self.record.exists():
            return []
        lines = self.record.read_text().splitlines(keepends=True)
        # Not strict, for this release writes the length octet of a shutdown's text.
        records = [json.loads(line, strict=False) for line in lines if line.endswith("\n")]
        return [r for r in records
                if r.get("neighbor", {}).get("address", {}).get("peer") == neighbour]

    def current(self, neighbour):
        """The messages of the neighbour's present session; None without one."""
        messages = self.messages(neighbour)
        for index in range(len(messages) - 1, -1, -1):
            if messages[index]["type"] == "state":
                state = messages[index]["neighbor"]["state"]
                return messages[index:] if state == "up" else None
        return None

    def established(self, neighbour):
        return self.running() and self.current(neighbour) is not None

    def command(self, text):
        """Gives exabgp a command, as its helper process does."""
        with self.commands.open("a") as commands:
            commands.write(f"{text}\n")

    def opens(self, neighbour):
        """The two OPENs of the present session."""
        # Its own word on what is negotiated fails with ADD-PATH in this release.
        opens = {message["neighbor"]["direction"]: message["neighbor"]["open"]
                 for message in self.messages(neighbour) if "open" in message["neighbor"]}
        return opens.values()

    def agreed(self, neighbour):
        offers = [{capability["name"] for capability in opened["capabilities"].values()}
                  for opened in self.opens(neighbour)]
        both = set.intersection(*offers) if len(offers) == 2 else ()
        return {self.FEATURES[name] for name in both if name in self.FEATURES}

    def agreed_hold_time(self, neighbour):
        return min(opened["hold_time"] for opened in self.opens(neighbour))

    def announcements(self, neighbour):
        return sum("announce" in update for update in self.updates(neighbour, "receive"))

    def request_refresh(self, neighbour):
        self.command(f"neighbor {neighbour} announce route-refresh ipv4 unicast")

    def stop_session(self, neighbour, text):
        # Its command takes a subcode, and no text.
        self.command(f"neighbor {neighbour} teardown 2")
        return "Administrative Shutdown"

    def reset_session(self, neighbour):
        self.command(f"neighbor {neighbour} teardown 4")

    def resume_session(self, neighbour):
        """It comes back by itself."""

    def running(self):
        """A dead exabgp has written no farewell into the record."""
        return any(process.running() for process in self.processes)

    def updates(self, neighbour, direction):
        """The UPDATEs of the present session in one direction."""
        for message in self.current(neighbour) or ():
            about = message["neighbor"]
            if message["type"] == "update" and about["direction"] == direction:
                yield about["message"].get("update", {})

    def routes(self, neighbour, family):
        routes = {}
        wanted = f"{family} unicast"
        for update in self.updates(neighbour, "receive"):
            for entry in update.get("withdraw", {}).get(wanted, ()):
                routes.pop(entry["nlri"], None)
            for next_hop, entries in update.get("announce", {}).get(wanted, {}).items():
                for entry in entries:
                    routes[entry["nlri"]] = self.route(entry["nlri"], next_hop, update["attribute"])
        return routes

    @staticmethod
    def route(prefix, next_hop, attributes):
        """One announced prefix of an UPDATE."""
        return Route(
            prefix=prefix,
            next_hop=next_hop,
            as_path=tuple(attributes.get("as-path", ())),
            origin=attributes["origin"],
            med=attributes.get("med"),
            local_pref=attributes.get("local-preference"),
            communities=ExaBgp.joined(attributes.get("community", ())),
            large_communities=ExaBgp.joined(attributes.get("large-community", ())),
            extended_communities=tuple(map(ExaBgp.extended,
                                           attributes.get("extended-community", ()))),
            otc=ExaBgp.otc(attributes),
        )

    @staticmethod
    def otc(attributes):
        """ONLY_TO_CUSTOMER (RFC 9234), which this release shows as it came."""
        values = [int(value, 16) for key, value in attributes.items()
                  if key.startswith("attribute-0x23-")]
        return values[0] if values else None

    @staticmethod
    def joined(shown):
        """Communities that come as lists of numbers, as texts."""
        return tuple(":".join(map(str, numbers)) for numbers in shown)

    @staticmethod
    def extended(shown):
        """One extended community; `L` marks an AS number of four octets."""
        kind, administrator, number = shown["string"].split(":")
        return f"{EXTENDED_KINDS[kind]}:{administrator.removesuffix('L')}:{number}"

    @classmethod
    def many_announced(cls, prefixes):
        last = "route 203.0.113.0/24 next-hop self;"
        return {last: last + "".join(f" route {prefix} next-hop self;" for prefix in prefixes)}

    def sent(self, neighbour, prefix):
        return any(entry["nlri"] == prefix
                   for update in self.updates(neighbour, "send")
                   for entries in update.get("announce", {}).get("ipv4 unicast", {}).values()
                   for entry in entries)

    def saw_shutdown(self, neighbour):
        # The raw octets, because this release fails to decode the message when
        # it carries a text (RFC 9003).
        return any(message["type"] == "notification" and message["neighbor"]["message"]
                   .get("body", "").startswith("0x0602") for message in self.messages(neighbour))

    def saw_text(self, neighbour, text):
        return any(message["type"] == "notification"
                   and text.encode().hex() in message["neighbor"]["message"].get("body", "").lower()
                   for message in self.messages(neighbour))

    def fib_refusal(self):
        return "exabgp(1): does not perform any FIB manipulation on the system it runs on"
