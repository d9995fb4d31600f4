"""A model's sessions under watch: out of service when a run fails, and back when new ones have proven themselves.

    serving --a run raises--> out of service --new sessions pass the proof--> serving
                                  |  ^
                                  +--+  they do not: again, after 1, 2, 4, ... 60 seconds

That ends with the network: where it was unloaded or replaced, as soon as no request and no stream holds it.

The request whose run failed is not repeated, but for a fault of the device, where that is allowed: once, on the CPU.
"""

from __future__ import annotations

import logging
import re
import threading
import time
import weakref
from collections.abc import Callable
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from app import cuda
from app.batcher import Batcher
from app.clock import Clock
from app.device import CPU, Preference
from app.engine import FAILURES
from app.engines import Engines
from app.errors import ModelOutOfService, ModelRefused, NetworkFailed

Open = Callable[[Preference], Engines | Batcher]

# As onnxruntime and its arenas, CUDA, cuBLAS and cuDNN put it.
OUT_OF_MEMORY = re.compile(r"out of memory|failed to allocate memory|_ALLOC_FAILED|AllocateRaw", re.IGNORECASE)
LONGEST_PAUSE = 60.0

log = logging.getLogger(__name__)


class Network:
    """Runs frames through sessions that `open_sessions` makes and proves. `run` may be called from several threads.

    Args:
        name: of the model, for messages.
        open_sessions: makes them where the preference says; raises what is wrong with them.
        preference: where they run.
        fallback: after a fault of the device, repeat the run on the CPU.

    Raises:
        Exception: of `open_sessions`.
    """

    def __init__(self, name: str, open_sessions: Open, preference: Preference, *, fallback: bool = False) -> None:
        self._name = name
        self._open = open_sessions
        self._preference = preference
        self._fallback = fallback
        self._lock = threading.Lock()
        self._closed = threading.Event()
        weakref.finalize(self, self._closed.set)
        self._next_try = 0.0  # a reading of time.monotonic
        self.sessions = open_sessions(preference)
        self.fault: str | None = None  # why it is out of service
        self.failures = 0
        self._fallen_back = 0

    @property
    def provider(self) -> str:
        """Where the graph really runs."""
        return self.sessions.provider

    @property
    def in_flight(self) -> int:
        """Frames that sessions hold beyond those that a core works on."""
        return self.sessions.in_flight

    @property
    def runs(self) -> dict[str, int]:
        """How often each session ran since it was opened."""
        return self.sessions.runs | ({"fallback": self._fallen_back} if self._fallen_back else {})

    def check(self) -> None:
        """Raises ModelOutOfService unless it serves."""
        if self.fault is not None:
            wait = max(1.0, self._next_try - time.monotonic())
            raise ModelOutOfService(
                f"{self._name} is out of service after {self.fault}: new sessions are being tried, come back in "
                f"{wait:.0f} s, or name another model.",
                retry_after=wait,
            )

    def run(self, frames: NDArray[np.uint8], clock: Clock) -> NDArray[np.float32]:
        """Frames uint8 [N, H, W, 3] RGB -> probability float32 [N, H, W].

        Args:
            clock: notes where the network ran, if it was not where it should.

        Raises:
            ModelOutOfService: the sessions failed lately.
            NetworkFailed: they do now.
        """
        self.check()
        sessions = self.sessions
        try:
            return sessions.run(frames)
        except FAILURES as error:
            self._take_out(sessions, error)
            reason = device_fault(error) if self._fallback else None
            if reason is None:
                raise NetworkFailed(f"The network of {self._name} failed on this frame: {_brief(error)}") from error
        return self._fall_back(frames, clock, reason)

    def close(self) -> None:
        """End the sessions; frames that wait are served first."""
        self._closed.set()
        self.sessions.close()

    def _take_out(self, sessions: Engines | Batcher, error: Exception) -> None:
        with self._lock:
            self.failures += 1
            if self.fault is not None or self.sessions is not sessions:
                return  # known already, or over
            self.fault = _brief(error)
        log.error("model %s is out of service: %s", self._name, self.fault)
        threading.Thread(target=_recover, args=(weakref.ref(self), self._closed), name="recovery", daemon=True).start()

    def _is_back(self, pause: float) -> bool:
        """Whether new sessions pass the proof, and then serve; else when they are tried again."""
        try:
            fresh = self._open(self._preference)
        except Exception as error:  # whatever it is, the next try may pass
            log.error("model %s stays out of service, next try in %g s: %s", self._name, pause, _brief(error))
            self._next_try = time.monotonic() + pause
            return False
        self._put_back(fresh)
        return True

    def _put_back(self, fresh: Engines | Batcher) -> None:
        with self._lock:
            failed, self.sessions, self.fault = self.sessions, fresh, None
        log.info("model %s is back in service on %s", self._name, fresh.provider)
        failed.close()
        if self._closed.is_set():  # while they were opened
            fresh.close()

    def _fall_back(self, frames: NDArray[np.uint8], clock: Clock, reason: str) -> NDArray[np.float32]:
        try:
            with self._lock:
                sessions = self._on_cpu
                self._fallen_back += 1
            clock.fallback, clock.provider = reason, CPU
            return sessions.run(frames)
        except (*FAILURES, ModelRefused) as error:
            raise NetworkFailed(f"The network of {self._name} failed on the CPU too: {_brief(error)}") from error

    @cached_property
    def _on_cpu(self) -> Engines | Batcher:
        return self._open("cpu")


def _recover(watched: weakref.ref[Network], closed: threading.Event) -> None:
    """Try new sessions until they serve. Between the tries nothing here keeps the network."""
    pause = 1.0
    while not closed.is_set():
        network = watched()
        if network is None or network._is_back(pause):
            return
        del network
        closed.wait(pause)
        pause = min(2 * pause, LONGEST_PAUSE)


def device_fault(error: Exception) -> str | None:
    """What happened to the device, if it was that: `out-of-memory` or `device-lost`."""
    if cuda.devices() and not cuda.alive():
        return "device-lost"
    return "out-of-memory" if OUT_OF_MEMORY.search(str(error)) else None


def _brief(error: Exception) -> str:
    """An exception's first line: onnxruntime's have traces after it."""
    return (str(error).splitlines() or [type(error).__name__])[0][:300]
