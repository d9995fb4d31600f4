"""A rolling restart under load: python -m tests.bench.restart

Two processes of the service behind a balancer, which is in the clients here: it sends to the processes whose
`/readyz` says 200, in turns, and tries the next one where a connection is refused or the answer is 503. Meanwhile one
process after the other is told to stop and started again. Lost is what got no answer at all.
"""

from __future__ import annotations

import argparse
import itertools
import os
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import httpx

from tests.bench.serving import PATH
from tests.synthetic import colonoscopy, encode

HEADERS = {"Content-Type": "image/jpeg"}
PROBE_SECONDS = 0.2


class Balancer:
    """Knows which ports are ready, and counts what became of each request."""

    def __init__(self, ports: list[int]) -> None:
        self.counts: Counter[str] = Counter()
        self._ports = ports
        self._ready: list[int] = []
        self._turn = itertools.count()
        self._client = httpx.Client(timeout=30)

    def probe(self) -> None:
        """Ask every process whether it is ready."""
        self._ready = [port for port in self._ports if is_ready(port)]

    def send(self, data: bytes) -> None:
        """One request, to the next process that takes it."""
        self.counts["sent"] += 1
        first = next(self._turn)
        ready = self._ready
        for attempt in range(len(ready)):
            port = ready[(first + attempt) % len(ready)]
            outcome = self._try(port, data)
            if outcome not in ("refused", "503"):
                break
            self.counts[f"{outcome}, tried the next"] += 1
        self.counts[outcome if ready else "no process ready"] += 1

    def _try(self, port: int, data: bytes) -> str:
        try:
            return str(self._client.post(f"http://127.0.0.1:{port}{PATH}", content=data, headers=HEADERS).status_code)
        except httpx.ConnectError:
            return "refused"
        except httpx.TransportError as error:
            return f"lost: {type(error).__name__}"


def is_ready(port: int) -> bool:
    """Whether the process that listens there, if any, says so."""
    try:
        return httpx.get(f"http://127.0.0.1:{port}/readyz", timeout=5).status_code == 200
    except httpx.TransportError:
        return False


def start(models: Path, port: int, drain: float) -> subprocess.Popen[bytes]:
    """The service as a process, ready."""
    variables = {
        "POLYPRUNE_MODELS_DIR": str(models),
        "POLYPRUNE_PORT": str(port),
        "POLYPRUNE_PROVIDER": "cpu",
        "POLYPRUNE_DRAIN_SECONDS": str(drain),
        "POLYPRUNE_LOG_LEVEL": "warning",
    }
    process = subprocess.Popen([sys.executable, "-m", "app"], env={**os.environ, **variables})
    while not is_ready(port):
        assert process.poll() is None, "the service did not start"
        time.sleep(0.05)
    return process


def free_ports(count: int) -> list[int]:
    """Ports of 127.0.0.1 that nobody listens on."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports: list[int] = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


def repeat(action: Callable[[], None], pause: float, ended: threading.Event) -> threading.Thread:
    """Do it again and again in a thread until the end."""

    def loop() -> None:
        while not ended.wait(pause):
            action()

    thread = threading.Thread(target=loop)
    thread.start()
    return thread


def main() -> None:
    """Restart each process once under load, and print what became of the requests."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", type=Path, default=Path("models"))
    parser.add_argument("--drain", type=float, default=1.0, help="POLYPRUNE_DRAIN_SECONDS")
    parser.add_argument("--clients", type=int, default=4)
    parser.add_argument("--pause", type=float, default=0.1, help="of a client between requests, in seconds")
    options = parser.parse_args()
    data = encode(colonoscopy(512, 640), "JPEG", quality=90)
    ports = free_ports(2)
    processes = [start(options.models, port, options.drain) for port in ports]
    balancer = Balancer(ports)
    balancer.probe()
    ended = threading.Event()
    threads = [repeat(balancer.probe, PROBE_SECONDS, ended)]
    threads += [repeat(lambda: balancer.send(data), options.pause, ended) for _ in range(options.clients)]
    try:
        for index, port in enumerate(ports):
            time.sleep(2)
            processes[index].terminate()
            print(f"process {index} ended with status {processes[index].wait()}")
            processes[index] = start(options.models, port, options.drain)
        time.sleep(2)
    finally:
        ended.set()
        for thread in threads:
            thread.join()
        for process in processes:
            process.terminate()
            process.wait()
    for outcome, count in sorted(balancer.counts.items()):
        print(f"{outcome:<28} {count}")


if __name__ == "__main__":
    main()
