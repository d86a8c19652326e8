"""Open-loop load: connections begin at fixed times, whatever becomes of earlier ones.

Run as a program it is the process inside the clients' namespace:

    load.py SHORT LONG NETWORK=TARGET:PORT...

SHORT and LONG are connections a second, spread over the targets, each from the
next address of the target's network. A short one sends a line and wants the
greeting and its line back; a long one exchanges lines for one, two or three seconds.
One JSON line for each tells when it was due and opened (monotonic clock), when it
ended, and how. After SIGTERM nothing is opened any more, and the process ends with
its last connection.
"""

import asyncio
import dataclasses
import errno
import ipaddress
import itertools
import json
import pathlib
import signal
import sys
import time

from traffic import PATIENCE, split_address
from waiting import check, wait_for

SHORT, LONG = "short", "long"
NETWORK4, NETWORK6 = "10.0.4.0/24", "fd00:4::/64"
"""Where the clients' addresses are from."""

ADDRESSES = 250
DURATIONS = (1.0, 2.0, 3.0)
"""Seconds that long connections last."""

PERIOD = 0.1
"""Seconds between two lines of a long one."""


@dataclasses.dataclass(frozen=True)
class Connection:
    """One connection as its client saw it; `error` is empty if nothing was wrong."""

    kind: str
    due: float
    opened: float
    ended: float
    server: str
    error: str
    source: str


class Load:
    """The parent's view of a load that runs in a lab."""

    def __init__(self, lab, short, long, targets, name="load"):
        self.lab = lab
        self._read, self._records = 0, []
        _make_addresses(lab)
        pairs = [f"{NETWORK6 if '[' in target else NETWORK4}={target}" for target in targets]
        self.process = lab.spawn(lab.client, ["python3", "-B", SCRIPT, short, long, *pairs],
                                 lab.directory / f"{name}.log")

    def connections(self):
        """All that have ended so far, in the order of their ends."""
        with open(self.process.log, encoding="ascii") as log:
            log.seek(self._read)
            text = log.read()
        whole = text[:text.rfind("\n") + 1]
        self._read += len(whole)
        self._records += [Connection(**json.loads(line)) for line in whole.splitlines()]
        return self._records

    def wait_served(self, names, since):
        """Waits until connections opened from now on were served by exactly these hosts."""
        wait_for(f"{names} serve", lambda: set(names) == {
            c.server for c in self.connections() if c.opened >= since and not c.error})

    def finish(self):
        """Opens no more, waits for the last one, and returns all of them."""
        self.process.terminate()
        status = self.process.wait_exit("the load")
        check(status == 0, f"the load ended with {status}")
        return self.connections()


def _make_addresses(lab):
    """All addresses of the clients' networks are the client's."""
    client = lab.client
    client.sysctl("net.ipv4.ip_nonlocal_bind", 1)
    client.sysctl("net.ipv6.ip_nonlocal_bind", 1)
    for family, network in (("-4", NETWORK4), ("-6", NETWORK6)):
        client.ip(f"{family} route replace local {network} dev lo")
        gateway = "10.0.3.10" if family == "-4" else "fd00:3::10"
        lab.router.ip(f"{family} route replace {network} via {gateway}")


def failed(connections):
    """Those that were not served as they should be."""
    return [connection for connection in connections if connection.error]


def counted(connections):
    """How many there are for each error: a text."""
    kinds = [connection.error for connection in connections]
    return ", ".join(f"{kinds.count(kind)} {kind}" for kind in sorted(set(kinds)))


def latencies(connections):
    """Percentiles of the time from when short connections were due to their ends: a text."""
    times = sorted(c.ended - c.due for c in connections if c.kind == SHORT and not c.error)
    ranks = ((name, times[min(len(times) - 1, int(len(times) * share))])
             for name, share in (("p50", 0.5), ("p99", 0.99), ("max", 1.0)))
    return " ".join(f"{name} {seconds * 1000:.1f} ms" for name, seconds in ranks)


class _WrongAnswer(Exception):
    """The connection ended too early, or somebody said something else."""


def _name(error):
    """What is wrong, in a word or two."""
    match error:
        case ConnectionRefusedError():
            return "refused"
        case ConnectionResetError() | BrokenPipeError():
            return "reset"
        case TimeoutError():
            return "timeout"
        case _WrongAnswer():
            return str(error)
        case OSError():
            return errno.errorcode.get(error.errno, str(error))


class _Generator:
    def __init__(self, pairs):
        ways = []
        for network, target in pairs:
            network = ipaddress.ip_network(network)
            hosts = [str(network[number + 1]) for number in range(ADDRESSES)]
            ways.append((*split_address(target), itertools.cycle(hosts)))
        self.ways = itertools.cycle(ways)
        self.durations = itertools.cycle(DURATIONS)
        self.stopping = asyncio.Event()
        self.running = set()

    async def run(self, rates):
        """Until SIGTERM, and then until the last connection has ended."""
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, self.stopping.set)
        await asyncio.gather(*(self.open_all(kind, rate) for kind, rate in rates.items() if rate))
        await asyncio.gather(*self.running)

    async def open_all(self, kind, rate):
        """Begins connections of one kind at their times."""
        began = time.monotonic()
        for number in itertools.count():
            due = began + number / rate
            try:
                await asyncio.wait_for(self.stopping.wait(), max(0.0, due - time.monotonic()))
                return
            except TimeoutError:
                pass
            task = asyncio.create_task(self.one(kind, due))
            self.running.add(task)
            task.add_done_callback(self.running.discard)

    async def one(self, kind, due):
        """One connection, from the next address to the next target."""
        host, port, sources = next(self.ways)
        source = next(sources)
        duration = next(self.durations) if kind == LONG else 0.0
        opened, server, error = time.monotonic(), "", ""
        writer = None
        try:
            async with asyncio.timeout(PATIENCE):
                reader, writer = await asyncio.open_connection(host, port, local_addr=(source, 0))
                server = (await self.line(reader)).decode().strip()
            await self.exchange(reader, writer, opened, duration)
        except (OSError, _WrongAnswer) as wrong:
            error = _name(wrong)
        ended = time.monotonic()
        if writer:
            writer.close()
        record = Connection(kind, due, opened, ended, server, error, source)
        print(json.dumps(dataclasses.asdict(record)), flush=True)

    async def exchange(self, reader, writer, opened, duration):
        """Lines forth and back for so many seconds, at least one, and the end from both sides."""
        for number in itertools.count():
            line = f"ahoy {number} of {opened}\n".encode()
            writer.write(line)
            last = time.monotonic() >= opened + duration
            if last:
                writer.write_eof()
            async with asyncio.timeout(PATIENCE):
                if await self.line(reader) != line:
                    raise _WrongAnswer("wrong answer")
                if last and await reader.read():
                    raise _WrongAnswer("wrong answer")
            if last:
                return
            await asyncio.sleep(PERIOD)

    @staticmethod
    async def line(reader):
        """The next whole line."""
        line = await reader.readline()
        if not line.endswith(b"\n"):
            raise _WrongAnswer("ended early")
        return line


SCRIPT = pathlib.Path(__file__).resolve()

if __name__ == "__main__":
    short, long = map(float, sys.argv[1:3])
    generator_of = [argument.split("=") for argument in sys.argv[3:]]

    async def main():
        """The event loop's entry."""
        await _Generator(generator_of).run({SHORT: short, LONG: long})

    asyncio.run(main())
