"""A server as a process of its own: started, ready, measured, and ended with all that it started."""

from __future__ import annotations

import http.client
import os
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import psutil

PATIENCE = 180.0  # seconds until ready; long, since a busy machine may have little to give
GRACE = 10.0  # seconds to end by itself
POLL = 0.01  # seconds


class ServerFailedError(RuntimeError):
    """It did not become ready; with the end of what it printed."""


@dataclass(frozen=True)
class Server:
    """One that is ready.

    Attributes:
        port: on 127.0.0.1.
        root: the process that was started, the leader of a session.
        ready: seconds from its start until it said that it is ready.
    """

    port: int
    root: psutil.Process
    ready: float

    def cpu(self) -> float:
        """Seconds of CPU, user and system, that its processes have taken so far; in steps of 10 ms each."""
        return sum(_cpu(process) for process in tree(self.root))

    def resident(self) -> int:
        """Bytes in memory (RSS, /proc/<pid>/statm) over its processes; what they share counts in each."""
        return sum(_resident(process) for process in tree(self.root))


@contextmanager
def started(
    command: Sequence[str],
    port: int,
    ready: str,
    environment: Mapping[str, str] | None = None,
    folder: Path | None = None,
) -> Iterator[Server]:
    """Run the command until the block ends.

    Args:
        port: where it will listen, of 127.0.0.1.
        ready: path that says 200 once it can serve.
        environment: variables on top of ours.
        folder: to run in.

    Raises:
        ServerFailedError: it ended, or was not ready in time.
    """
    with tempfile.TemporaryFile("w+") as log:
        start = time.perf_counter()
        variables = {**os.environ, **(environment or {})}
        process = subprocess.Popen(
            command, env=variables, cwd=folder, stdout=log, stderr=subprocess.STDOUT, start_new_session=True
        )
        try:
            _wait(process, port, ready, log)
            yield Server(port, psutil.Process(process.pid), time.perf_counter() - start)
        finally:
            end(process)


def free_port() -> int:
    """One of 127.0.0.1 that nobody listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def tree(root: psutil.Process) -> list[psutil.Process]:
    """The process and all it started: its descendants, and those of its session whose own parent has ended."""
    found = {root, *root.children(recursive=True)} if root.is_running() else set()
    return [*found, *(process for process in psutil.process_iter() if process not in found and _of(process, root.pid))]


def end(process: subprocess.Popen[bytes]) -> None:
    """Ask it to stop, and kill what is left after a while."""
    try:
        everything = tree(psutil.Process(process.pid))
    except psutil.NoSuchProcess:
        everything = [other for other in psutil.process_iter() if _of(other, process.pid)]
    process.terminate()
    try:
        process.wait(GRACE)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    for survivor in everything:
        try:
            survivor.kill()  # psutil checks that the number has not gone to another process
        except psutil.NoSuchProcess:
            continue
    psutil.wait_procs(everything, GRACE)


def get(port: int, path: str) -> int | None:
    """Status of a GET, None where nobody answers."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", path)
        return connection.getresponse().status
    except (OSError, http.client.HTTPException):
        return None
    finally:
        connection.close()


def _wait(process: subprocess.Popen[bytes], port: int, ready: str, log: IO[str]) -> None:
    deadline = time.perf_counter() + PATIENCE
    while get(port, ready) != 200:
        if process.poll() is not None:
            raise ServerFailedError(f"It ended with {process.returncode} before it was ready: {_last_lines(log)}")
        if time.perf_counter() > deadline:
            raise ServerFailedError(f"It was not ready within {PATIENCE:g} s: {_last_lines(log)}")
        time.sleep(POLL)


def _last_lines(log: IO[str]) -> str:
    log.seek(0)
    return "\n".join(log.read().splitlines()[-24:])


def _of(process: psutil.Process, session: int) -> bool:
    try:
        return os.getsid(process.pid) == session
    except (ProcessLookupError, PermissionError):
        return False


def _cpu(process: psutil.Process) -> float:
    try:
        times = process.cpu_times()
    except psutil.NoSuchProcess:
        return 0.0
    # Those of children are of the ones that have ended: they would be lost otherwise.
    return float(times.user + times.system + times.children_user + times.children_system)


def _resident(process: psutil.Process) -> int:
    try:
        return int(process.memory_info().rss)
    except psutil.NoSuchProcess:
        return 0
