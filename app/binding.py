"""A session whose batches lie at fixed addresses: IO binding, and CUDA graphs on top of it.

Frames are laid into page-locked memory, from which the device copies them; the probability comes back into
page-locked memory the same way. A CUDA graph repeats what was recorded, on the addresses of the recording, so it needs
both ends on the device. On the CPU the session reads and writes the same arrays without any copy.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from app import cuda
from app.device import CPU, DeviceOptions, Preference, wanted_providers
from app.engine import Engine, open_session
from app.gate import Gate

Frames = Sequence[NDArray[np.uint8]] | NDArray[np.uint8]

_gate = Gate()


class Bound(Engine):
    """A session over one graph. To be made and used by one thread, since CUDA graphs belong to a thread.

    Args:
        graph: the bytes of an ONNX model.
        size: height and width of the network.
        threads: that one run uses on the CPU.
        preference: as for `Engine`.
        options: the sizes of its batches, and whether to record graphs.

    Raises:
        Exception: as `Engine`.
    """

    def __init__(
        self, graph: bytes, *, size: tuple[int, int], threads: int, preference: Preference, options: DeviceOptions
    ) -> None:
        self._session = open_session(graph, threads, wanted_providers(preference, options, size))
        self._size = size
        self._options = options
        self._graphs = options.graphs and self.provider != CPU
        self._batches: dict[int, Batch] = {}

    def run(self, frames: Frames, options: onnxruntime.RunOptions | None = None) -> NDArray[np.float32]:
        """At most as many frames as the largest batch, uint8 [H, W, 3] RGB each -> probability float32 [N, H, W].

        The first run of a size takes longer.
        """
        size = self._options.holding(len(frames))
        with self._pass(recorded=size in self._batches):
            batch = self._batches.get(size) or self._new(size)
            return batch.run(frames, options)

    def _pass(self, *, recorded: bool) -> AbstractContextManager[None]:
        if not self._graphs:
            return nullcontext()
        return _gate.together() if recorded else _gate.alone()

    def _new(self, count: int) -> Batch:
        device = "cpu" if self.provider == CPU else "cuda"
        batch = Batch(self._session, count, self._size, device, graph=self._graphs)
        self._batches[count] = batch
        return batch


class Batch:
    """The memory of batches of one size, bound to a session."""

    def __init__(self, session: Any, count: int, size: tuple[int, int], device: str, *, graph: bool) -> None:
        self._frames = cuda.page_locked((count, *size, 3), np.uint8)
        self._probability = cuda.page_locked((count, *size), np.float32)
        self._on_device = device != "cpu"
        self._graph = graph
        self._session = session
        self._input = onnxruntime.OrtValue.ortvalue_from_numpy(self._frames, device)
        # A replayed graph writes where the recording wrote; any other run copies to the host by itself.
        self._output = onnxruntime.OrtValue.ortvalue_from_numpy(self._probability, device if graph else "cpu")
        self._binding = session.io_binding()
        self._binding.bind_ortvalue_input("frames", self._input)
        self._binding.bind_ortvalue_output("probability", self._output)
        self._run = self._numbered(onnxruntime.RunOptions())

    def run(self, frames: Frames, options: onnxruntime.RunOptions | None = None) -> NDArray[np.float32]:
        """As `Bound.run`. Places that are left over hold old frames, whose probability nobody gets."""
        for place, frame in zip(self._frames, frames, strict=False):
            np.copyto(place, frame)
        if self._on_device:
            self._input.update_inplace(self._frames)
        self._session.run_with_iobinding(self._binding, self._numbered(options) if options else self._run)
        probability = self._output.numpy() if self._graph else self._probability
        return np.array(probability[: len(frames)])

    def _numbered(self, options: onnxruntime.RunOptions) -> onnxruntime.RunOptions:
        if self._graph:  # a graph for each size
            options.add_run_config_entry("gpu_graph_id", str(len(self._frames)))
        return options
