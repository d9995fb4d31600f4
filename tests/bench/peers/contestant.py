"""Whatever is given a turn under load: a server, or a loop without one."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from tests.bench.server import Server
from tests.bench.serving import hammer

SCRIPT = Path(__file__).with_name("post.lua")
TIMEOUT = 30  # seconds for one answer
QUIET = 0.02  # CPU seconds within SETTLE that pass for none
SETTLE = 0.1  # seconds


@dataclass(frozen=True)
class Load:
    """What came of a turn. Times in milliseconds; the CPU's is that of the server, and not of its clients."""

    requests: int
    errors: int
    seconds: float
    p50: float
    p99: float
    cpu: float  # of one request

    @property
    def rate(self) -> float:
        """Frames a second that were answered well."""
        return (self.requests - self.errors) / self.seconds


class Contestant(Protocol):
    """Takes a turn."""

    name: str

    def load(self, connections: int, seconds: int) -> Load:
        """So many clients for so long."""


@dataclass(frozen=True)
class Loop:
    """Calls without a server, in threads of this process.

    Attributes:
        call: works on one frame.
        threads: that call it; as many whatever the clients.
    """

    name: str
    call: Callable[[], object]
    threads: int

    def load(self, connections: int, seconds: int) -> Load:  # noqa: ARG002  (a loop has no clients)
        """As `Contestant`."""
        before = time.process_time()
        taken = hammer(lambda: self.call, self.threads, seconds)
        cpu = time.process_time() - before
        p50, p99 = 1e3 * np.percentile(taken, [50, 99])
        return Load(len(taken), 0, seconds, float(p50), float(p99), 1e3 * cpu / len(taken))


@dataclass(frozen=True)
class Served:
    """A server, and wrk as its clients."""

    name: str
    server: Server
    path: str
    headers: Mapping[str, str]
    body: Path

    def load(self, connections: int, seconds: int) -> Load:
        """As `Contestant`."""
        before = self.server.cpu()
        line = wrk(f"http://127.0.0.1:{self.server.port}{self.path}", self.body, self.headers, connections, seconds)
        cpu = self.server.cpu() - before
        self._settle()
        requests = int(line["requests"])
        return Load(**line, cpu=1e3 * cpu / max(requests, 1))

    def idle(self, seconds: float = 1.0) -> float:
        """CPU that it takes while nobody asks, as a share of one core."""
        self._settle()
        before = self.server.cpu()
        time.sleep(seconds)
        return (self.server.cpu() - before) / seconds

    def _settle(self) -> None:
        # wrk leaves while requests are under way: their work is not to fall into the next one's turn.
        deadline = time.perf_counter() + TIMEOUT
        before, now = -1.0, self.server.cpu()
        while now - before > QUIET and time.perf_counter() < deadline:
            time.sleep(SETTLE)
            before, now = now, self.server.cpu()


def wrk(url: str, body: Path, headers: Mapping[str, str], connections: int, seconds: int) -> dict[str, float]:
    """One thread of wrk with so many connections that are kept: what `post.lua` prints.

    Raises:
        RuntimeError: with what wrk said.
    """
    lines = [f"{name}: {value}" for name, value in headers.items()]
    numbers = ["-t1", f"-c{connections}", f"-d{seconds}s", f"--timeout={TIMEOUT}s"]
    command = ["wrk", *numbers, "--latency", "-s", str(SCRIPT), url, "--", str(body), *lines]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=seconds + 2 * TIMEOUT)
    last = done.stdout.strip().rpartition("\n")[2]
    if done.returncode != 0 or not last.startswith("{"):
        raise RuntimeError(f"wrk failed: {done.stderr.strip() or done.stdout.strip()}")
    return dict(json.loads(last))
