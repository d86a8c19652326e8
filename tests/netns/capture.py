"""What passed on the wire: a recorder inside a namespace, and its messages.

Run as a program it is the recorder: `capture.py DEVICE` writes one JSON line for
each TCP segment to or from port 179, with the monotonic time at which it was seen.
"""

import dataclasses
import json
import pathlib
import socket
import struct
import sys
import time

SCRIPT = pathlib.Path(__file__).resolve()

BGP_PORT = 179
ETH_P_ALL, ETH_P_IP, ETH_P_IPV6 = 0x0003, 0x0800, 0x86DD
SYN = 0x02
SO_RCVBUFFORCE = 33
READY = "ready"

OPEN, UPDATE, NOTIFICATION, KEEPALIVE, ROUTE_REFRESH = 1, 2, 3, 4, 5
HEADER = 19
"""Octets of a message's header (RFC 4271 4.1)."""

MP_REACH_NLRI, MP_UNREACH_NLRI = 14, 15
EXTENDED_LENGTH = 0x10


@dataclasses.dataclass(frozen=True)
class Message:
    """A BGP message. `seen` is the monotonic time of its last octet, `source` the
    address that sent it, `stream` the two ends of its direction of a connection."""

    seen: float
    source: str
    stream: tuple
    kind: int
    body: bytes

    def __len__(self):
        return HEADER + len(self.body)

    def nlri(self):
        """The octets of an UPDATE that announce IPv4 prefixes, and those that withdraw some."""
        withdrawn, rest = _field(self.body)
        _, announced = _field(rest)
        return announced, withdrawn

    def announced(self):
        """The IPv4 prefixes that an UPDATE announces outside of its attributes."""
        return _prefixes(self.nlri()[0])

    def withdrawn(self):
        """The IPv4 prefixes that an UPDATE withdraws outside of its attributes."""
        return _prefixes(self.nlri()[1])

    def attribute(self, wanted):
        """The value of one path attribute of an UPDATE, or None."""
        _, rest = _field(self.body)
        attributes, _ = _field(rest)
        while attributes:
            flags, number = attributes[:2]
            wide = 2 if flags & EXTENDED_LENGTH else 1
            end = 2 + wide + int.from_bytes(attributes[2:2 + wide])
            if number == wanted:
                return attributes[2 + wide:end]
            attributes = attributes[end:]
        return None

    def announces(self):
        """Whether an UPDATE announces anything."""
        return bool(self.kind == UPDATE
                    and (self.nlri()[0] or self.attribute(MP_REACH_NLRI) is not None))

    def withdraws(self):
        """Whether an UPDATE withdraws anything; an End-of-RIB (RFC 4724 2) does not."""
        if self.kind != UPDATE:
            return False
        unreachable = self.attribute(MP_UNREACH_NLRI)
        return bool(self.nlri()[1] or (unreachable is not None and len(unreachable) > 3))


def _field(octets):
    """A field with a length of two octets before it, and what follows."""
    end = 2 + int.from_bytes(octets[:2])
    return octets[2:end], octets[end:]


def _prefixes(octets):
    """IPv4 prefixes as texts (RFC 4271 4.3)."""
    found = []
    while octets:
        length = octets[0]
        end = 1 + (length + 7) // 8
        address = socket.inet_ntoa(octets[1:end].ljust(4, b"\0"))
        found.append(f"{address}/{length}")
        octets = octets[end:]
    return found


class Capture:
    """A recorder that runs in a namespace until the lab closes."""

    def __init__(self, lab, namespace, device):
        self.process = lab.spawn(namespace, ["python3", "-I", SCRIPT, device],
                                 lab.directory / f"capture-{device}.segments")

    def ready(self):
        """Whether nothing can be missed from now on."""
        return self.process.log_text().startswith(READY)

    def messages(self, source=None):
        """All messages so far, or those that one address has sent, in order of time."""
        found = [message for stream, segments in self._streams().items()
                 for message in _split(stream, *_joined(segments))]
        return sorted((m for m in found if source in (None, m.source)), key=lambda m: m.seen)

    def _streams(self):
        streams = {}
        for line in self.process.log_text().splitlines(keepends=True)[1:]:
            if line.endswith("\n"):
                segment = json.loads(line)
                streams.setdefault(tuple(segment["stream"]), []).append(segment)
        return streams


def _joined(segments):
    """The octets of one direction as far as they are without a gap, and the
    times: (end of a segment, when it came)."""
    begin = next((s["sequence"] + 1 for s in segments if s["syn"]), 0)
    placed = [((s["sequence"] - begin) % (1 << 32), bytes.fromhex(s["octets"]), s["seen"])
              for s in segments if s["octets"]]
    octets, times, latest = b"", [], 0.0
    for offset, data, seen in sorted(placed):
        if offset <= len(octets) < offset + len(data):
            octets += data[len(octets) - offset:]
            latest = max(latest, seen)
            times.append((len(octets), latest))
    return octets, times


def _split(stream, octets, times):
    """The messages of one direction of a connection."""
    start = 0
    while len(octets) >= start + HEADER:
        end = start + int.from_bytes(octets[start + 16:start + 18])
        if end > len(octets) or end < start + HEADER:
            return
        seen = next(time for covered, time in times if covered >= end)
        yield Message(seen, stream[0], stream, octets[start + 18], octets[start + HEADER:end])
        start = end


def segment_of(protocol, packet):
    """An IP packet as the record of a BGP segment, or None if it is something else."""
    if protocol == ETH_P_IP and len(packet) >= 20 and packet[9] == socket.IPPROTO_TCP:
        header, end = (packet[0] & 0xF) * 4, int.from_bytes(packet[2:4])
        family, source, target = socket.AF_INET, packet[12:16], packet[16:20]
    elif protocol == ETH_P_IPV6 and len(packet) >= 40 and packet[6] == socket.IPPROTO_TCP:
        header, end = 40, 40 + int.from_bytes(packet[4:6])
        family, source, target = socket.AF_INET6, packet[8:24], packet[24:40]
    else:
        return None
    segment = packet[header:end]
    source_port, target_port, sequence = struct.unpack("!HHI", segment[:8])
    if BGP_PORT not in (source_port, target_port):
        return None
    return {"stream": [socket.inet_ntop(family, source), source_port,
                       socket.inet_ntop(family, target), target_port],
            "sequence": sequence, "syn": bool(segment[13] & SYN),
            "octets": segment[(segment[12] >> 4) * 4:].hex()}


def record(device):
    """Writes every segment until killed."""
    with socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(ETH_P_ALL)) as tap:
        tap.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 8 << 20)
        tap.bind((device, ETH_P_ALL))
        print(READY, flush=True)
        while True:
            packet, (_, protocol, *_) = tap.recvfrom(1 << 17)
            segment = segment_of(protocol, packet)
            if segment:
                print(json.dumps({"seen": time.monotonic(), **segment}), flush=True)


if __name__ == "__main__":
    record(sys.argv[1])
