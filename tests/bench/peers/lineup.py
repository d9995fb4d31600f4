"""The servers that take part: started, and found to give our mask."""

from __future__ import annotations

import http.client
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

import numpy as np

from app import __version__
from app.model import Model
from tests.bench import environments
from tests.bench.peers.contestant import Served
from tests.bench.peers.peer import HERE, JPEG, Peer, Place
from tests.bench.peers.pipeline import Task
from tests.bench.peers.table import Entry
from tests.bench.server import ServerFailedError, free_port, started
from tests.bench.serving import PATH, service
from tests.synthetic import decode

OURS = "Polyprune"
QUEUE = 64  # of ours: more than the most clients, so that all of them wait as they do with the others
WARM_UP = 2  # seconds
WARM_CLIENTS = 8
# Ours decodes a JPEG at n/8 of its size, OpenCV at 1/2: the outline moves by a pixel here and there.
MOST_DIFFERENT = 0.005  # of the pixels


class AnotherMaskError(RuntimeError):
    """A peer's answer is not ours."""


class Lineup:
    """Servers that run side by side until the stack closes, and why others do not.

    Args:
        body: file of the JPEG that all are sent.
        folder: an empty one.
    """

    def __init__(self, model: Model, models_dir: Path, task: Task, body: Path, folder: Path, stack: ExitStack) -> None:
        self.entries: list[Entry] = []
        self.served: list[Served] = []
        self.left_out: dict[str, str] = {}
        self._task, self._body, self._folder, self._stack = task, body, folder, stack
        ours = service(models_dir, model.id, POLYPRUNE_QUEUE=str(QUEUE), POLYPRUNE_LOG_LEVEL="warning")
        served = Served(OURS, stack.enter_context(ours), PATH, JPEG, body)
        self._mask = mask(served)
        self._add(served, __version__, f"default settings but for POLYPRUNE_QUEUE={QUEUE} and a log without requests")

    def try_to_add(self, peer: Peer, environments_dir: Path) -> None:
        """Let the peer take part, or note why it does not."""
        try:
            python = environments.make(
                environments_dir, peer.name, [peer.package, *peer.also], shared=environments.SHARED, alone=peer.alone
            )
            served = self._stack.enter_context(self._start(peer, python))
            self._add(served, environments.version_of(python, peer.package), peer.settings)
        except (environments.NotInstalledError, ServerFailedError, AnotherMaskError, OSError) as error:
            self.left_out[peer.name] = f"{type(error).__name__}: {error}"

    @contextmanager
    def _start(self, peer: Peer, python: Path) -> Iterator[Served]:
        folder = self._folder / peer.name
        folder.mkdir()
        place = Place(python, free_port(), folder, self._task)
        launch = peer.launch(place)
        variables = {"PYTHONPATH": str(HERE), **self._task.environment(), **launch.environment}
        with started(launch.command, place.port, launch.ready, variables, folder) as server:
            yield Served(peer.name, server, launch.path, launch.headers, self._body)

    def _add(self, served: Served, release: str, settings: str) -> None:
        different = float(np.mean(mask(served) != self._mask))
        if different > MOST_DIFFERENT:
            raise AnotherMaskError(f"{different:.2%} of the pixels differ from ours, {MOST_DIFFERENT:.2%} may.")
        served.load(WARM_CLIENTS, WARM_UP)
        self.served.append(served)
        self.entries.append(Entry(served.name, release, settings, different, served.server.ready, served.idle()))


def mask(served: Served) -> np.ndarray:
    """The mask that it answers with, uint8 [frame height, frame width].

    Raises:
        AnotherMaskError: it answers with something else.
    """
    connection = http.client.HTTPConnection("127.0.0.1", served.server.port, timeout=60)
    connection.request("POST", served.path, served.body.read_bytes(), dict(served.headers))
    response = connection.getresponse()
    data = response.read()
    connection.close()
    if response.status != 200:
        raise AnotherMaskError(f"status {response.status}: {data[:300]!r}")
    return np.asarray(decode(png(response.headers, data)))


def png(headers: Mapping[str, str], data: bytes) -> bytes:
    """The mask's bytes; Triton puts a JSON header before them, whose length is in this header of HTTP."""
    return data[int(headers.get("Inference-Header-Content-Length", 0)) :]
