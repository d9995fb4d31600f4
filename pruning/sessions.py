"""onnxruntime sessions on exported graphs, on the CPU."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnxruntime


def open_session(path: Path, threads: int = 0) -> onnxruntime.InferenceSession:
    """A CPU session on a graph; `threads` 0 means all cores."""
    return onnxruntime.InferenceSession(path, session_options(threads), providers=["CPUExecutionProvider"])


def session_options(threads: int) -> onnxruntime.SessionOptions:
    """How a session of this package runs; `threads` 0 means all cores."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    # Threads that spin while they wait take the core from whoever runs next.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return options


def input_size(session: onnxruntime.InferenceSession) -> int:
    """Height and width of the graph's frames."""
    return int(session.get_inputs()[0].shape[1])


def run(session: onnxruntime.InferenceSession, frames: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    """Probability float32 [N, S, S] for frames uint8 [N, S, S, 3]."""
    (probability,) = session.run(["probability"], {"frames": frames})
    return np.asarray(probability, dtype=np.float32)
