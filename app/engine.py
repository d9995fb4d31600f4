"""One onnxruntime session: frames at the network's size in, probabilities out."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray
from onnxruntime.capi import onnxruntime_pybind11_state as kinds

from app import machine, openvino
from app.device import CPU, Preference, Providers, wanted_providers

# What onnxruntime raises from a run. Its own kinds share no base but Exception; copies of ours raise RuntimeError.
FAILURES = (
    kinds.EPFail,
    kinds.EngineError,
    kinds.Fail,
    kinds.InvalidArgument,
    kinds.NotImplemented,
    kinds.RuntimeException,
    RuntimeError,
)

# A path that cannot exist.
NOWHERE = "/dev/null/model.onnx-holds-every-tensor-itself"

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Port:
    """A graph's input or output: its name, onnxruntime's name of its type, and its shape.

    A dimension is an int where fixed, and a str or None where not.
    """

    name: str
    type: str
    shape: tuple[int | str | None, ...]


class Engine:
    """A session over one graph. `run` may be called from several threads at once.

    Args:
        graph: the bytes of an ONNX model.
        threads: that one run uses on the CPU.
        preference: `cuda` and `auto` ask for CUDA where a device is; what came of it is in `provider`.

    Raises:
        ModelRefused: OpenVINO was asked for and is not here.
        Exception: of onnxruntime's own kinds, when the bytes are not a graph that it can run.
    """

    def __init__(self, graph: bytes, *, threads: int = 1, preference: Preference = "auto") -> None:
        if preference in openvino.ARITHMETIC:
            options = session_options(threads)
            self._session = openvino.open_session(graph, options, preference=preference, threads=threads)
        else:
            self._session = open_session(graph, threads, wanted_providers(preference))

    @property
    def provider(self) -> str:
        """Where the graph really runs: a session without its CUDA libraries falls back without raising."""
        return str(self._session.get_providers()[0])

    @property
    def inputs(self) -> list[Port]:
        """What the graph takes."""
        return [_port(node) for node in self._session.get_inputs()]

    @property
    def outputs(self) -> list[Port]:
        """What the graph gives."""
        return [_port(node) for node in self._session.get_outputs()]

    def run(self, frames: NDArray[np.uint8], options: onnxruntime.RunOptions | None = None) -> NDArray[np.float32]:
        """Frames uint8 [N, H, W, 3] RGB -> probability float32 [N, H, W]."""
        (probability,) = self._session.run(["probability"], {"frames": frames}, options)
        return np.asarray(probability)


def open_session(graph: bytes, threads: int, wanted: Providers) -> onnxruntime.InferenceSession:
    """A session on the best of the providers that works; one that fails raises and changes no provider by itself."""
    options = session_options(threads)
    if wanted == [CPU]:
        _share_arena(options)
    session = onnxruntime.InferenceSession(graph, sess_options=options, providers=wanted)
    session.disable_fallback()
    session._model_bytes = None  # kept to change providers later, which nothing does: a copy of all weights
    if len(wanted) > 1 and session.get_providers()[0] == CPU:
        log.warning("There is a CUDA device, but the session runs on the CPU: install CUDA 13 and cuDNN 9.")
    return session


@contextmanager
def stopped_after(seconds: float) -> Iterator[onnxruntime.RunOptions]:
    """Options with which a run raises after so long, at the end of the operator that runs then."""
    options = onnxruntime.RunOptions()
    options.log_severity_level = 4  # it raises; the log has it from there
    timer = threading.Timer(seconds, lambda: setattr(options, "terminate", True))
    timer.daemon = True
    timer.start()
    try:
        yield options
    finally:
        timer.cancel()


def session_options(threads: int) -> Any:
    """Options of a session whose neighbours need the cores too."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    # A thread that spins takes its core from the next frame (measured: .74 of the throughput with two streams).
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 3
    # Tensors in other files are outside of the checksum, and onnxruntime would look for them in the working directory.
    options.add_session_config_entry("session.model_external_initializers_file_folder_path", NOWHERE)
    return options


def _share_arena(options: Any) -> None:
    """Let all sessions take what a run needs from one arena, which grows to what the workers need at once.

    An arena for each session keeps that much for each session of each model. Memory patterns take one more block
    for each session and batch size. Two models of two sessions each, resident: 455 MB without both, 271 MB with.
    """
    _register_arena()
    options.add_session_config_entry("session.use_env_allocators", "1")
    options.enable_mem_pattern = False


@cache
def _register_arena() -> None:
    memory = onnxruntime.OrtMemoryInfo(
        "Cpu", onnxruntime.OrtAllocatorType.ORT_ARENA_ALLOCATOR, 0, onnxruntime.OrtMemType.DEFAULT
    )
    # A graph that wants more than half of the memory fails, where it would take the process with it. Growth is by
    # doubling (0: kNextPowerOfTwo), whose blocks fit more models than blocks as requested.
    onnxruntime.create_and_register_allocator(memory, onnxruntime.OrtArenaCfg(machine.memory() // 2, 0, -1, -1))


def _port(node: Any) -> Port:
    return Port(node.name, node.type, tuple(node.shape))
