"""Where the benchmarks are played: two namespaces joined by a cable, processes
in them, and what these cost. Everything is cleaned up when the stage is left,
by whatever way."""

import contextlib
import os
import signal
import struct
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "netns"))

import speakers  # noqa: E402
from namespaces import Namespace, veth  # noqa: E402

CPUS = sorted(os.sched_getaffinity(0))
SPEAKER_CPU, OTHERS_CPU = CPUS[0], CPUS[-1]


def prepare(name):
    """What every benchmark begins with."""
    if os.geteuid() != 0:
        sys.exit(f"tests/bench/{name}: needs root, for network namespaces")
    os.environ["PATH"] += ":/usr/sbin:/sbin"
    # A benchmark that is ended leaves its stage as one that fails.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))


def script(name, *arguments):
    """The command of a program that lies beside this one."""
    return [sys.executable, os.path.join(HERE, name), *map(str, arguments)]


class Stage(contextlib.ExitStack):
    """`up` is where the neighbours and targets are, `down` the speaker's place."""

    def __init__(self):
        super().__init__()
        self.folder = self.enter_context(tempfile.TemporaryDirectory())
        os.chmod(self.folder, 0o777)
        try:
            self.up, self.down = self.namespace("obs"), self.namespace("spk")
            veth(self.up, "up0", self.down, "down0")
            self.up.address("up0", f"{speakers.OBSERVER}/16")
            self.down.address("down0", f"{speakers.SPEAKER}/16")
        except BaseException:
            self.close()
            raise

    def namespace(self, role):
        namespace = Namespace(role)
        self.callback(namespace.close)
        return namespace

    def start(self, namespace, command, cpu, **options):
        """Starts a process in a namespace, on this one CPU, where what else runs
        on the machine gets next to nothing. Its `began` is when it did: before
        that, this interpreter is copied, which takes longer than some starts."""
        moment, told = os.pipe()

        def before():
            place(cpu)
            os.write(told, struct.pack("d", time.monotonic()))

        process = subprocess.Popen(
            ["ip", "netns", "exec", namespace.name, *command], preexec_fn=before,
            **{"stderr": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, **options})
        self.callback(end, process)
        process.began, = struct.unpack("d", os.read(moment, 8))
        os.close(moment)
        os.close(told)
        return process

    def helper(self, namespace, command):
        """A process that is talked to by lines, not on the speaker's CPU."""
        return self.start(namespace, command, OTHERS_CPU, stdin=subprocess.PIPE,
                          stdout=subprocess.PIPE, text=True)

    def succeeds(self, command):
        """Whether a short command beside the speaker does."""
        return not subprocess.run(
            ["ip", "netns", "exec", self.down.name, *command], check=False,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode


def place(cpu):
    """Puts this process on one CPU, where others get next to nothing. The kernel
    may share a CPU between sessions before it does between processes, so it has
    one of its own."""
    os.setsid()
    os.sched_setaffinity(0, {cpu})
    os.setpriority(os.PRIO_PROCESS, 0, -20)
    with contextlib.suppress(OSError), open("/proc/self/autogroup", "w", encoding="ascii") as file:
        file.write("-20")


def real_time(process):
    """From now on the process has its CPU whenever it wants it: what it waits
    for is the speaker, and nobody else. It is to want it for moments only."""
    os.sched_setscheduler(process.pid, os.SCHED_FIFO, os.sched_param(1))


def end(process):
    """Kills a process and those that it started, and waits for it."""
    for pid in reversed(tree(process.pid)):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    process.wait()


def tree(pid):
    """A process and those that it started, and those that they started."""
    pids = [pid]
    for one in pids:
        with contextlib.suppress(OSError):
            for task in os.listdir(f"/proc/{one}/task"):
                with open(f"/proc/{one}/task/{task}/children", encoding="ascii") as file:
                    pids += map(int, file.read().split())
    return pids


def scheduled(pid):
    """Seconds on a CPU and seconds of waiting for one, of a process tree."""
    on, waiting = 0, 0
    for one in tree(pid):
        for task in os.listdir(f"/proc/{one}/task"):
            with open(f"/proc/{one}/task/{task}/schedstat", encoding="ascii") as file:
                ran, waited, _ = map(int, file.read().split())
            on, waiting = on + ran, waiting + waited
    return on / 1e9, waiting / 1e9


def memory(pid, field):
    """KiB of a process tree: `VmRSS`, or at most so far `VmHWM`."""
    total = 0
    for one in tree(pid):
        with open(f"/proc/{one}/status", encoding="utf-8") as file:
            status = dict(line.split(":", 1) for line in file)
        total += int(status[field].split()[0])
    return total
