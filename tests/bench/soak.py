"""The same load for minutes or hours, and whether the service grows under it: python -m tests.bench.soak --minutes 60

Starts the service as its own process, and asks for masks, reports and overlays at fixed rates; beside that a stream
is open, some frames are broken, and some callers leave before they are answered. Printed and written as CSV are
throughput, latency, memory, file descriptors and threads over time; at the end the slope of the last three over the
second half.
"""

from __future__ import annotations

import argparse
import csv
import http.client
import itertools
import socket
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, fields
from functools import partial
from pathlib import Path

import numpy as np
from websockets import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from app import machine, message
from app.message import Header
from tests.bench.growth import slope
from tests.process import process
from tests.synthetic import colonoscopy, encode

TIMEOUT = 30.0  # seconds, after which an answer counts as failed
ANSWERED, REFUSED, TURNED_AWAY, LEFT, DROPPED, FAILED = (
    "answered",
    "refused",
    "turned away",
    "left",
    "dropped",
    "failed",
)
EXPECTED = {200: ANSWERED, 422: REFUSED, 503: TURNED_AWAY}
FRAME = encode(colonoscopy(512, 640), "JPEG", quality=90)
BROKEN = FRAME[: len(FRAME) // 2]


@dataclass(frozen=True)
class Row:
    """The service between two looks at it. Latencies in ms, of requests that were answered."""

    minutes: float
    rate: float  # answers a second
    p50: float
    p99: float
    turned_away: int
    failed: int
    memory_mb: float  # resident
    descriptors: int
    threads: int


class Tally:
    """What came of requests since the last look. Used by several threads."""

    def __init__(self) -> None:
        self.total: Counter[str] = Counter()
        self.errors: Counter[str] = Counter()
        self._lock = threading.Lock()
        self._outcomes: Counter[str] = Counter()
        self._seconds: list[float] = []

    def add(self, outcome: str, seconds: float | None = None) -> None:
        """One request, or one frame of a stream."""
        with self._lock:
            self._outcomes[outcome] += 1
            self.total[outcome] += 1
            if seconds is not None:
                self._seconds.append(seconds)

    def fail(self, reason: str) -> None:
        """One that should have been answered, and was not."""
        self.errors[reason] += 1
        self.add(FAILED)

    def take(self) -> tuple[Counter[str], list[float]]:
        """Outcomes and latencies since the last call."""
        with self._lock:
            taken = self._outcomes, self._seconds
            self._outcomes, self._seconds = Counter(), []
        return taken


def post(port: int, path: str, data: bytes, tally: Tally) -> Callable[[], None]:
    """Posts over a connection that is kept."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=TIMEOUT)

    def send() -> None:
        start = time.perf_counter()
        connection.request("POST", path, data, {"Content-Type": "image/jpeg"})
        response = connection.getresponse()
        answer = response.read()
        outcome = EXPECTED.get(response.status)
        if outcome is None:
            tally.fail(f"{path}: {response.status} {answer[:200]!r}")
        else:
            tally.add(outcome, time.perf_counter() - start if outcome == ANSWERED else None)

    return send


def leave(port: int, tally: Tally) -> Callable[[], None]:
    """Leaves in the middle of the body and after it, by turns."""
    head = (
        f"POST /v1/segment HTTP/1.1\r\nHost: soak\r\nContent-Type: image/jpeg\r\nContent-Length: {len(FRAME)}\r\n\r\n"
    )
    bodies = itertools.cycle((BROKEN, FRAME))

    def send() -> None:
        with socket.create_connection(("127.0.0.1", port), timeout=TIMEOUT) as opened:
            opened.sendall(head.encode() + next(bodies))
        tally.add(LEFT)

    return send


def paced(make: Callable[[], Callable[[], None]], rate: float, stop: threading.Event, tally: Tally) -> None:
    """Call at this rate; a call that is late by then is left out, so that the load does not pile up."""
    call = make()
    due = time.perf_counter()
    while not stop.wait(max(0.0, due - time.perf_counter())):
        due = max(due + 1 / rate, time.perf_counter())
        try:
            call()
        except (OSError, http.client.HTTPException) as error:
            tally.fail(f"{type(error).__name__}: {error}")
            call = make()


def camera(port: int, rate: float, stop: threading.Event, tally: Tally) -> None:
    """Streams, a minute each."""
    while not stop.is_set():
        try:
            _stream(port, rate, stop, tally)
        except (OSError, ConnectionClosed) as error:
            tally.fail(f"stream: {type(error).__name__}: {error}")


def _stream(port: int, rate: float, stop: threading.Event, tally: Tally) -> None:
    sent: dict[int, float] = {}
    subprotocols = [message.SUBPROTOCOL]
    with connect(f"ws://127.0.0.1:{port}/v1/stream", subprotocols=subprotocols, proxy=None) as opened:
        reader = threading.Thread(target=_read, args=(opened, sent, tally))
        reader.start()
        end = time.perf_counter() + 60
        for number in itertools.count():
            if time.perf_counter() > end or stop.wait(1 / rate):
                break
            sent[number] = time.perf_counter()
            opened.send(FRAME)
        opened.close()
        reader.join()


def _read(opened: ClientConnection, sent: dict[int, float], tally: Tally) -> None:
    dropped = 0
    for answer in opened:
        header, _ = message.unpack(answer)
        if not isinstance(header, Header):
            tally.fail(f"stream: {header.error['detail']}")
            continue
        tally.add(ANSWERED, time.perf_counter() - sent.pop(header.sequence))
        for _ in range(dropped, header.dropped):
            tally.add(DROPPED)
        dropped = header.dropped


def load(port: int, scale: float, stop: threading.Event, tally: Tally) -> list[threading.Thread]:
    """Threads that make the load, until they are stopped."""
    segment = "/v1/segment?output="
    rates = [
        (partial(post, port, f"{segment}mask", FRAME, tally), 4.0),
        (partial(post, port, f"{segment}json", FRAME, tally), 2.0),
        (partial(post, port, f"{segment}overlay", FRAME, tally), 1.0),
        (partial(post, port, f"{segment}mask", BROKEN, tally), 1.0),
        (partial(leave, port, tally), 1.0),
    ]
    threads = [threading.Thread(target=paced, args=(make, scale * rate, stop, tally)) for make, rate in rates]
    threads.append(threading.Thread(target=camera, args=(port, scale * 5.0, stop, tally)))
    for thread in threads:
        thread.start()
    return threads


def look(pid: int) -> dict[str, float]:
    """Memory, file descriptors and threads of a process (proc(5))."""
    status = Path(f"/proc/{pid}/status").read_text()
    known = dict(line.split(":", 1) for line in status.splitlines())
    return {
        "memory_mb": int(known["VmRSS"].split()[0]) / 1024,
        "descriptors": len(list(Path(f"/proc/{pid}/fd").iterdir())),
        "threads": int(known["Threads"]),
    }


def watch(pid: int, tally: Tally, minutes: float, every: float) -> list[Row]:
    """A row each so many seconds, printed as it comes."""
    rows: list[Row] = []
    show(column.name for column in fields(Row))
    start = before = time.perf_counter()
    while before - start < 60 * minutes:
        time.sleep(every)
        now = time.perf_counter()
        rows.append(row_of(pid, tally, minutes=(now - start) / 60, seconds=now - before))
        show(f"{value:.2f}" if isinstance(value, float) else str(value) for value in asdict(rows[-1]).values())
        before = now
    return rows


def row_of(pid: int, tally: Tally, minutes: float, seconds: float) -> Row:
    """What happened in the last so many seconds, and how the process is now."""
    outcomes, latencies = tally.take()
    p50, p99 = 1e3 * np.percentile(latencies, [50, 99]) if latencies else (np.nan, np.nan)
    counts = {"turned_away": outcomes[TURNED_AWAY], "failed": outcomes[FAILED]}
    return Row(minutes=minutes, rate=len(latencies) / seconds, p50=float(p50), p99=float(p99), **counts, **look(pid))


def show(cells: Iterable[str]) -> None:
    """A line of the table."""
    print("".join(f"{cell:>12}" for cell in cells), flush=True)


def verdict(rows: Sequence[Row]) -> list[str]:
    """What grew over the second half: the first is the warm-up."""
    half = rows[len(rows) // 2 :]
    if len(half) < 4:
        return ["too few rows for a verdict: take more minutes, or look more often"]
    hours = np.array([row.minutes for row in half]) / 60
    lines = []
    for name, unit in (("memory_mb", "MB"), ("descriptors", "descriptors"), ("threads", "threads")):
        values = np.array([getattr(row, name) for row in half], float)
        found = slope(hours, values)
        said = "GROWS" if found.grows else "no growth shown"
        lines.append(
            f"{name:<11} {found.mean:+9.2f} {unit} an hour, 95% interval {found.low:+.2f} to {found.high:+.2f}; "
            f"from {values[0]:.1f} to {values[-1]:.1f}: {said}"
        )
    return lines


def main() -> int:
    """Run, print and write; the status is 1 if something grew or was not answered."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", type=Path, default=Path("models"))
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--every", type=float, help="seconds between rows; a 60th of the time otherwise, at least 1")
    parser.add_argument("--scale", type=float, default=1.0, help="of the load: 1 are 14 requests and frames a second")
    parser.add_argument("--csv", type=Path, default=Path("soak.csv"))
    options = parser.parse_args()
    tally, stop = Tally(), threading.Event()
    with process(options.models, POLYPRUNE_PROVIDER="cpu") as (child, client, _):
        threads = load(client.base_url.port or 80, options.scale, stop, tally)
        try:
            rows = watch(child.pid, tally, options.minutes, options.every or max(1.0, options.minutes))
        finally:
            stop.set()
            for thread in threads:
                thread.join()
    write(options.csv, rows)
    print(machine.describe().model_dump_json())
    print(", ".join(f"{count} {outcome}" for outcome, count in sorted(tally.total.items())))
    for reason, count in tally.errors.most_common(10):
        print(f"{count} x {reason}")
    lines = verdict(rows)
    print(*lines, sep="\n")
    return int(any("GROWS" in line for line in lines) or tally.total[FAILED] > 0)


def write(path: Path, rows: Sequence[Row]) -> None:
    """The rows as CSV."""
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, [column.name for column in fields(Row)])
        writer.writeheader()
        writer.writerows(asdict(row) for row in rows)


if __name__ == "__main__":
    sys.exit(main())
