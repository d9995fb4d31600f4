"""A model's two sessions: all cores on a lone frame, or one core on each of several frames.

Neither can do both on a CPU: one thread a frame leaves cores idle while a frame is alone, and several threads a frame
cost throughput when it is not. The second session costs its own copy of the weights (onnxruntime shares packed weights
through its C interface only, and its optimizer makes new ones anyway); what runs need is shared, see `engine`.
"""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar
from threading import Lock

import numpy as np
from numpy.typing import NDArray

from app import openvino
from app.device import CPU, Preference
from app.engine import Engine, Port

# Whether this thread's work is the only one in the workers. Admission sets it; work from elsewhere is not alone.
alone: ContextVar[bool] = ContextVar("alone", default=False)


class Engines:
    """Sessions over one graph. `run` may be called from several threads at once.

    Args:
        graph: the bytes of an ONNX model.
        threads: that a lone frame gets on the CPU. With 1, and on CUDA, one session serves both cases.
        preference: as for `Engine`.

    Raises:
        Exception: as `Engine`.
    """

    def __init__(self, graph: bytes, *, threads: int, preference: Preference) -> None:
        self.latency = Engine(graph, threads=threads, preference=preference)
        one_is_enough = threads == 1 or self.latency.provider not in (CPU, openvino.PROVIDER)
        on_cpu = preference if self.latency.provider == openvino.PROVIDER else "cpu"
        self.throughput = self.latency if one_is_enough else Engine(graph, threads=1, preference=on_cpu)
        self.runs: dict[str, int] = {"latency": 0, "throughput": 0}
        self._lock = Lock()

    @property
    def provider(self) -> str:
        """Where the graph really runs."""
        return self.latency.provider

    @property
    def inputs(self) -> list[Port]:
        """What the graph takes."""
        return self.latency.inputs

    @property
    def outputs(self) -> list[Port]:
        """What the graph gives."""
        return self.latency.outputs

    @property
    def in_flight(self) -> int:
        """Frames that sessions hold beyond those that a core works on: none."""
        return 0

    def prove(self, check: Callable[[Engine, int], None]) -> None:
        """Let a check run each session with the batch that it is for, or one more. It warms them up too."""
        check(self.latency, 1)
        check(self.throughput, 2)

    def close(self) -> None:
        """Nothing to end: the sessions have no threads of ours."""

    def run(self, frames: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Frames uint8 [N, H, W, 3] RGB -> probability float32 [N, H, W]."""
        lone = alone.get()
        with self._lock:
            self.runs["latency" if lone else "throughput"] += 1
        return (self.latency if lone else self.throughput).run(frames)
