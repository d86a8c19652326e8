"""burgee itself: its configuration as a value, and its process."""

import signal

from processes import Process, command_in, output_of
from waiting import wait_for

ANYCAST4, ANYCAST6 = "192.0.2.10/32", "2001:db8:a::10/128"
BACKENDS = ("10.0.9.10:8000", "10.0.9.11:8000")
PORT = 8080
HEALTH = "http://127.0.0.1:9998/health"

DEFAULTS = {
    "proxy.addr": f":{PORT};proto=tcp",
    "proxy.shutdownwait": "30s",
    "registry.backend": "static",
    "registry.static.routes": r"\n".join(f"route add web :{PORT} tcp://{b}" for b in BACKENDS),
    "health.interval": "200ms",
    "bgp.enabled": "true",
    "bgp.asn": "65001",
    "bgp.routerid": "10.0.1.2",
    "bgp.anycastaddresses": f"{ANYCAST4}, {ANYCAST6}",
    "bgp.holdtime": "9s",
    "bgp.connectretry": "1s",
}


def peer(address, asn=65000, **options):
    """One entry of bgp.peers, for a neighbour with an address."""
    return entry(address=address, asn=asn, **options)


def entry(**options):
    """One entry of bgp.peers or bgp.templates; an option that is None is left out."""
    return ";".join(f"{key}={str(value).lower() if value is True else value}"
                    for key, value in options.items() if value is not None)


class Burgee:
    """One burgee in a namespace. It can be started again after it has ended."""

    def __init__(self, program, namespace, directory, peers, settings):
        self.program = program
        self.namespace = namespace
        self.directory = directory
        self.run_directory = directory / "run-burgee"
        self.config = directory / "burgee.properties"
        self.values = {**DEFAULTS, "bgp.peers": ", ".join(peers), **settings}
        self.process = None
        self._write()

    def _write(self):
        lines = (f"{key} = {value}\n" for key, value in self.values.items())
        self.config.write_text("".join(lines))

    def start(self):
        """Starts `burgee run`. Its /run/burgee is its own, as a service manager makes it,
        and outlives it: there are its control socket and its last announcements."""
        (self.run_directory / "burgee").mkdir(parents=True, exist_ok=True)
        command = command_in(self.namespace, self.run_directory,
                             [self.program, "run", "-cfg", self.config])
        self.process = Process(command, self.directory / "burgee.log")
        return self

    def change(self, **settings):
        """SIGHUP with these settings (dots as underscores) in place of the old ones."""
        self.values |= {key.replace("_", "."): value for key, value in settings.items()}
        self._write()
        self.process.popen.send_signal(signal.SIGHUP)

    def command(self, *words):
        """What a command says that talks to this burgee."""
        return output_of(command_in(self.namespace, self.run_directory,
                                    [self.program, *words]))

    def health(self):
        """The status code that /health answers with; 0 without an answer."""
        return int(self.namespace.run("curl", "--silent", "--output", "/dev/null", "--write-out",
                                      "%{http_code}", HEALTH, check=False))

    def terminate(self):
        """SIGTERM: drain, then exit."""
        self.process.terminate()

    def kill(self):
        """SIGKILL: no chance to say anything."""
        self.process.signal_group(signal.SIGKILL)
        self.wait_exit()

    def wait_exit(self):
        """Waits for the end and returns the exit status."""
        return self.process.wait_exit("burgee")

    def end(self):
        """Ends the process for sure."""
        if self.process:
            self.process.end()

    def log(self):
        """What it has logged so far."""
        return (self.directory / "burgee.log").read_text(errors="replace")

    def listening(self):
        """Whether the proxy's port is open."""
        return bool(self.namespace.run("ss", "-Htln", f"sport = :{PORT}").strip())

    def wait_listening(self):
        """Waits until the proxy's port is open."""
        wait_for("burgee listens", self.listening)
