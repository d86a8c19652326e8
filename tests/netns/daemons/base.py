"""What every neighbour daemon can do, and how its shipped configuration is used."""

import dataclasses
import pathlib
import re
import shutil
import signal

from processes import Process, command_in, output_of
from waiting import Failure, NotApplicable, wait_for

REPOSITORY = pathlib.Path(__file__).resolve().parents[3]
SHIPPED = REPOSITORY / "vendor-config"

IPV4, IPV6 = "ipv4", "ipv6"


@dataclasses.dataclass(frozen=True)
class Route:
    """A route as the neighbour shows it. None: the neighbour shows no such attribute.
    Communities are texts: `65000:1`, `65000:1:2`, `rt:65000:1`."""

    prefix: str
    next_hop: str
    as_path: tuple
    origin: str
    med: int | None = None
    local_pref: int | None = None
    communities: tuple = ()
    large_communities: tuple = ()
    extended_communities: tuple = ()
    otc: int | None = None


FEATURES = ("route-refresh", "enhanced-route-refresh", "extended-message", "extended-nexthop",
            "add-path", "graceful-restart", "role", "fqdn", "software-version")
"""What two speakers can agree on with capabilities, as `Daemon.agreed` calls it."""


def community(value):
    """A community of 32 bits as `65000:1`."""
    return f"{value >> 16}:{value & 0xffff}"


def uncomment(text, variant):
    """Switches a variant on: takes `# VARIANT: ` away wherever it opens a line.
    A variant that the file does not have is an error, not nothing."""
    changed, count = re.subn(rf"^([ \t]*)# {re.escape(variant)}: ", r"\1", text, flags=re.M)
    if count == 0:
        raise Failure(f"the configuration has no line marked '# {variant}: '")
    return changed


def substitute(text, old, new):
    """Replaces a value as a whole word, everywhere; it must be there."""
    pattern = rf"(?<![\w.:]){re.escape(old)}(?![\w.:])"
    changed, count = re.subn(pattern, lambda _: new, text)
    if count == 0:
        raise Failure(f"the configuration has no value '{old}'")
    return changed


class Daemon:
    """A neighbour: started in `namespace`, working in `directory`.

    A subclass says how to start it and how to read its answers; everything it
    knows of its configuration is the file in `vendor-config/`, with `variants`
    switched on and `values` replaced.
    """

    name = ""
    programs = ()
    config_file = pathlib.Path()
    # Where a freshly started daemon reads its configuration, in the directory.
    installed = "daemon.conf"
    # Exact replacements that only the suite needs, such as the log's target.
    test_values = {}
    # How the file spells the hold time of 9 seconds, for other hold times.
    hold_time = ""
    # Variants that the shipped file does not have because the daemon cannot do
    # them, with what would switch them on and the daemon's answer to that; or
    # with None and what its documentation or source says.
    refused = {}
    # Variants that need no line in the file, because that is how it always is.
    always = ()
    # How the IPv6 neighbour is configured by a link-local address, and what it
    # is called then.
    link_local = {}
    link_local_neighbour = "fe80::2%lan"
    # What it cannot do although its file can ask for it: what its log then says.
    lacks = {}
    # LOCAL_PREF 100 is shown for eBGP routes even if none was sent.
    fills_local_pref = False
    # What takes the rule of GRACEFUL_SHUTDOWN (RFC 8326) out of the file, and
    # the LOCAL_PREF that the rule sets.
    without_shutdown_rule = {}
    least_local_pref = 0
    # What makes the daemon one that knows AS numbers of two octets only, how it
    # then wants a neighbour of another kind configured, and whether it puts
    # AS4_PATH into AS_PATH all the same (RFC 6793).
    as4_off = {}
    as_trans_neighbour = "{}"
    merges_as4_path = False
    # Why it is not to be had as one, in its own words.
    as_trans_refusal = ""
    # Whether `preferred` has all equal paths, or the best of them alone.
    shows_multipath = True
    # Sets the N bit (RFC 8538), and takes a Hard Reset for what it is.
    knows_hard_reset = False
    # What makes it accept 198.18.0.0/20 as /32, thousands of them.
    many_accepted = {}
    # Comes through a connection that is opened to it while it opens one itself.
    survives_collision = True
    # What the log or the neighbour's state says after Cease/Administrative
    # Shutdown, as a regular expression.
    shutdown_pattern = ""
    # What gives the daemon another session, from 10.0.1.9 to 10.0.1.3.
    second_session = {}
    # A session that it has stopped does not come back by itself, and one that was
    # refused is tried again soon.
    makes_room = True

    def __init__(self, namespace, directory, variants=(), values=None, hold=None):
        self.namespace = namespace
        self.directory = directory
        self.run_directory = directory / f"run-{self.name}"
        self.processes = []
        self.values = dict(self.test_values)
        self.refusals = [self.refused[variant] for variant in variants if variant in self.refused]
        statements = "".join(statement or "" for statement, _ in self.refusals)
        self.values[self.hold_time.format(9)] = self.hold_time.format(
            9 if hold is None else hold) + statements
        self.values.update(values or {})
        self.variants = [v for v in variants if v not in self.refused and v not in self.always]

    @classmethod
    def missing_programs(cls):
        """The programs that are not installed."""
        return [p for p in cls.programs if shutil.which(p) is None]

    @classmethod
    def has_variant(cls, variant):
        """Whether the daemon can do it, with a line in its file or without."""
        return variant in cls.always or f"# {variant}: " in cls.config_file.read_text()

    def render(self):
        """The shipped file with variants and values, as text."""
        text = self.config_file.read_text()
        for variant in self.variants:
            text = uncomment(text, variant)
        for old, new in self.values.items():
            text = substitute(text, old, new)
        return text

    def start(self):
        """Writes the configuration and starts the processes."""
        self.run_directory.mkdir(exist_ok=True)
        (self.directory / self.installed).write_text(self.render())
        self.launch()
        if self.refusals:
            statement, answer = self.refusals[0]
            if statement is not None:
                wait_for(f"{self.name} says '{answer}'", lambda: answer in self.log_text())
            raise NotApplicable(answer)

    def launch(self):
        """Starts the daemon's processes. To be written by the subclass."""
        raise NotImplementedError

    def spawn(self, *command, log="daemon.log", environment=None):
        """Starts one process of the daemon in its namespace."""
        arguments = command_in(self.namespace, self.run_directory, command)
        process = Process(arguments, self.directory / log, environment)
        self.processes.append(process)
        return process

    def ask(self, *command, check=False):
        """Output of the daemon's own client, run beside it."""
        return output_of(command_in(self.namespace, self.run_directory, command), check)

    def end(self):
        """Ends all processes of the daemon."""
        for process in reversed(self.processes):
            process.end()
        self.processes.clear()

    def freeze(self):
        """Stops all processes as they are; the kernel keeps their sockets."""
        for process in self.processes:
            process.signal_group(signal.SIGSTOP)

    def thaw(self):
        """Lets them go on."""
        for process in self.processes:
            process.signal_group(signal.SIGCONT)

    def log_text(self):
        """Everything the daemon has logged."""
        return "".join(p.read_text(errors="replace") for p in sorted(self.directory.glob("*.log")))

    def admit_lack(self, what):
        """Ends the case as not applicable, if `what` is lacking and the daemon says so."""
        if words := self.lacks.get(what):
            wait_for(f"{self.name} says '{words}'", lambda: words in self.log_text())
            raise NotApplicable(words)

    def saw_shutdown(self, neighbour):
        """Whether the neighbour has taken leave with an Administrative Shutdown."""
        return re.search(self.shutdown_pattern, self.log_text()) is not None

    def saw_text(self, neighbour, text):
        """Whether the daemon shows a text that came with a shutdown (RFC 9003)."""
        return text in self.log_text()

    def stop_session(self, neighbour, text):
        """Ends the session with an Administrative Shutdown that says `text`, or what
        the daemon makes of it; that is returned."""
        raise NotImplementedError

    def resume_session(self, neighbour):
        """Lets the session come up again."""
        raise NotImplementedError

    def reset_session(self, neighbour):
        """Ends the session with an Administrative Reset; it comes back by itself."""
        raise NotImplementedError

    def reset_session_hard(self, neighbour):
        """The same with a Hard Reset (RFC 8538 3); false if it has no such command."""
        return False

    def request_refresh(self, neighbour):
        """Asks the neighbour for all IPv4 routes again (RFC 2918)."""
        raise NotImplementedError

    def announcements(self, neighbour):
        """How many announcements or UPDATEs have come over the present session."""
        raise NotImplementedError

    def agreed(self, neighbour):
        """The features that both sides have offered, as a set of FEATURES."""
        raise NotImplementedError

    def agreed_hold_time(self, neighbour):
        """The hold time in force, in seconds."""
        raise NotImplementedError

    def fib_refusal(self):
        """Why the daemon puts no routes into the kernel, in its own words, or ""."""
        return ""

    def preferred(self, prefix):
        """The next hops to which the daemon sends the prefix's traffic, as a set."""
        if refusal := self.fib_refusal():
            raise NotApplicable(refusal)
        return self.namespace.gateways(prefix)

    def established(self, neighbour):
        """Whether the session with `neighbour` (an address) is Established."""
        raise NotImplementedError

    def routes(self, neighbour, family):
        """What was learned from `neighbour` and accepted: prefix → Route."""
        raise NotImplementedError

    def prefixes(self, neighbour):
        """The IPv4 prefixes of `routes`, where there may be thousands."""
        return self.routes(neighbour, IPV4).keys()

    @classmethod
    def many_announced(cls, prefixes):
        """What makes the variant `announce` announce these IPv4 prefixes as well."""
        return {}

    def wait_originated(self, prefixes):
        """Waits until it could announce all of them."""

    def announce_at_once(self):
        """Announces all again in one go, if it has done that in many small ones before."""

    def sent(self, neighbour, prefix):
        """Whether the daemon has announced `prefix` to `neighbour`."""
        raise NotImplementedError
