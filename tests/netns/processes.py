"""Processes of a case: started in a namespace, ended by their process group."""

import os
import signal
import subprocess

from waiting import Failure, wait_for

PRIVATE_RUN = 'mount --bind "$0" /run && exec "$@"'
"""Shell line that gives a command its own /run: `ip netns exec` has already
put it into a mount namespace of its own. So several instances of a daemon run
side by side with their packaged default paths."""


def command_in(namespace, run_directory, command):
    """The argument list that runs `command` in `namespace` with a private /run."""
    return ["ip", "netns", "exec", namespace.name, "sh", "-c", PRIVATE_RUN, str(run_directory),
            *map(str, command)]


def output_of(arguments, check=True):
    """Standard output of a short command; its failure fails the case."""
    done = subprocess.run([str(a) for a in arguments], stdin=subprocess.DEVNULL,
                          capture_output=True, text=True, timeout=60)
    if check and done.returncode != 0:
        raise Failure(f"{' '.join(map(str, arguments))}: exit {done.returncode}: "
                      f"{(done.stderr or done.stdout).strip()}")
    return done.stdout


class Process:
    """A long-running command, leader of its own process group, with a log file."""

    def __init__(self, arguments, log, environment=None):
        self.log = log
        with open(log, "ab") as sink:
            self.popen = subprocess.Popen(
                [str(a) for a in arguments], stdin=subprocess.DEVNULL, stdout=sink, stderr=sink,
                start_new_session=True, env={**os.environ, **(environment or {})})

    @property
    def pid(self):
        """The process id, which is the id of the group as well."""
        return self.popen.pid

    def running(self):
        """Whether the leader is still there."""
        return self.popen.poll() is None

    def signal_group(self, number):
        """Sends a signal to all processes of the group; none left is fine."""
        try:
            os.killpg(self.pid, number)
        except ProcessLookupError:
            pass

    def terminate(self):
        """Sends SIGTERM to the leader only, as a service manager does."""
        if self.running():
            self.popen.send_signal(signal.SIGTERM)

    def wait_exit(self, what):
        """Waits until the leader has ended and returns its exit status."""
        wait_for(f"{what} exits", lambda: not self.running(), every=0.02)
        return self.popen.returncode

    def end(self):
        """Ends the whole group for sure, and reaps the leader."""
        self.signal_group(signal.SIGCONT)
        self.signal_group(signal.SIGTERM)
        try:
            self.popen.wait(timeout=3)
        except subprocess.TimeoutExpired:
            pass
        self.signal_group(signal.SIGKILL)
        self.popen.wait()

    def log_text(self):
        """Everything the process has written so far."""
        return self.log.read_text(errors="replace") if self.log.exists() else ""
