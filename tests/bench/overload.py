"""What the service does when more is asked of it than it can do: python -m tests.bench.overload

Starts the service as its own process, measures its capacity with clients that wait for their answers, and then offers
fractions and multiples of that at a fixed rate, whatever comes back. Goodput are the frames answered with 200 within
the round. The clients run on the same machine and take their share of it.
"""

from __future__ import annotations

import argparse
import asyncio
import re
import time
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from app import machine
from tests.bench.serving import PATH, hammer, poster, service
from tests.synthetic import colonoscopy, encode

LENGTH = re.compile(rb"content-length: (\d+)", re.IGNORECASE)


@dataclass
class Round:
    """What came back of one rate."""

    offered: int = 0
    rejected: int = 0
    accepted: list[float] = field(default_factory=list)  # seconds, from when the request was due
    others: int = 0


class Clients:
    """As many as have a request under way, each with a connection that it keeps, as a proxy in front has them.

    Written by hand: an HTTP library would take much of the machine that is measured.
    """

    def __init__(self, port: int, data: bytes) -> None:
        head = f"POST {PATH} HTTP/1.1\r\nHost: bench\r\nContent-Type: image/jpeg\r\nContent-Length: {len(data)}\r\n\r\n"
        self._port = port
        self._request = head.encode() + data
        self._idle: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []

    async def post(self) -> int:
        """The status that came back; 0 where the connection was lost."""
        reader, writer = self._idle.pop() if self._idle else await asyncio.open_connection("127.0.0.1", self._port)
        try:
            writer.write(self._request)
            head = await reader.readuntil(b"\r\n\r\n")
            await reader.readexactly(int(LENGTH.search(head)[1]))
        except (OSError, asyncio.IncompleteReadError):
            writer.close()
            return 0
        self._idle.append((reader, writer))
        return int(head[9:12])

    def close(self) -> None:
        """Leave."""
        for _, writer in self._idle:
            writer.close()


async def offer(port: int, data: bytes, rate: float, seconds: float) -> Round:
    """Send at this rate for a while, each request when it is due, then wait for what is still under way."""
    result, clients = Round(), Clients(port, data)
    start = time.perf_counter()
    async with asyncio.TaskGroup() as group:
        for number in range(int(rate * seconds)):
            due = start + number / rate
            await asyncio.sleep(due - time.perf_counter())
            group.create_task(_send(clients, due, result))
    clients.close()
    return result


async def _send(clients: Clients, due: float, result: Round) -> None:
    result.offered += 1
    status = await clients.post()
    if status == 200:
        result.accepted.append(time.perf_counter() - due)
    elif status == 503:
        result.rejected += 1
    else:
        result.others += 1


def capacity(port: int, data: bytes, clients: int, seconds: float) -> float:
    """Frames a second with so many clients, each of which sends its next frame when it has its answer."""
    return len(hammer(lambda: poster(port, data), clients, seconds)) / seconds


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", type=Path, default=Path("models"))
    parser.add_argument("--model", default="polyp-lite0-pruned")
    parser.add_argument("--seconds", type=float, default=5.0, help="per rate")
    parser.add_argument("--factors", type=float, nargs="+", default=[0.5, 1, 2, 4], help="of the capacity")
    options = parser.parse_args()
    data = encode(colonoscopy(512, 640), "JPEG", quality=90)
    clients = 2 * machine.cores()
    print(machine.describe().model_dump_json())
    with service(options.models, options.model) as server:
        capacity(server.port, data, clients, 1)  # warm-up
        for factor in options.factors:
            # Anew for each rate, since another load on the machine may come and go.
            most = capacity(server.port, data, clients, options.seconds)
            show(factor, most, asyncio.run(offer(server.port, data, factor * most, options.seconds)), options.seconds)


def show(factor: float, most: float, result: Round, seconds: float) -> None:
    """One line of the table."""
    p50, p99 = 1e3 * np.percentile(result.accepted, [50, 99])
    goodput = len(result.accepted) / seconds
    print(
        f"capacity {most:6.1f}/s  offered {factor:4.1f}x {result.offered / seconds:6.1f}/s  goodput {goodput:6.1f}/s"
        f"  rejected {result.rejected:5d}  other {result.others:3d}"
        f"  p50 {p50:6.1f} ms  p99 {p99:6.1f} ms  goodput/capacity {goodput / most:5.2f}"
    )


if __name__ == "__main__":
    main()
