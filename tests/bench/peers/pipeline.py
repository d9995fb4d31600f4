"""The frame's way that all peers share: a JPEG in, the mask as a PNG of the same size out.

It is imported in the peers' environments, so that it needs numpy, OpenCV and onnxruntime alone. Each choice is the
quickest that OpenCV has, and those of `app` where there is one: a JPEG decoded at half, quarter or eighth of its size
where that is still no smaller than the network's, the same resize, one thread a session that does not spin, and the
same options of the PNG. The frames have no black border, so that there is none to cut away.
"""

from __future__ import annotations

import os
from dataclasses import dataclass

import cv2
import numpy as np
import onnxruntime

# As app/render/mask.py, where the options were measured.
PNG_OPTIONS = (
    cv2.IMWRITE_PNG_COMPRESSION,
    1,
    cv2.IMWRITE_PNG_STRATEGY,
    cv2.IMWRITE_PNG_STRATEGY_RLE,
    cv2.IMWRITE_PNG_FILTER,
    cv2.IMWRITE_PNG_FILTER_NONE,
)
REDUCED = {8: cv2.IMREAD_REDUCED_COLOR_8, 4: cv2.IMREAD_REDUCED_COLOR_4, 2: cv2.IMREAD_REDUCED_COLOR_2}


@dataclass(frozen=True)
class Task:
    """What to serve, handed to a peer's process in environment variables.

    Attributes:
        graph: path of an ONNX file, frames uint8 [N, H, W, 3] RGB -> probability float32 [N, H, W].
        height, width: of the network.
        frame_height, frame_width: of the frames that will come.
        threshold: probability from which on a pixel is polyp.
        workers: requests to work on at once: one for each core.
    """

    graph: str
    height: int
    width: int
    frame_height: int
    frame_width: int
    threshold: float
    workers: int

    def environment(self) -> dict[str, str]:
        """Variables from which `from_environment` makes the same task."""
        return {f"PEER_{name.upper()}": str(value) for name, value in vars(self).items()}

    @classmethod
    def from_environment(cls) -> Task:
        """The task of this process."""
        kinds = {"graph": str, "threshold": float}
        names = cls.__dataclass_fields__
        return cls(**{name: kinds.get(name, int)(os.environ[f"PEER_{name.upper()}"]) for name in names})


class Pipeline:
    """A session with one thread, and what comes before and after it. May be called from several threads at once."""

    def __init__(self, task: Task) -> None:
        cv2.setNumThreads(1)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        self._session = onnxruntime.InferenceSession(task.graph, options, providers=["CPUExecutionProvider"])
        self._task = task
        self._flags = _flags(task)

    def __call__(self, data: bytes | np.ndarray) -> bytes:
        """A JPEG, as bytes or uint8 [n] -> a PNG, grey, 0 or 255."""
        pixels = cv2.imdecode(np.frombuffer(data, np.uint8), self._flags)  # [h, w, 3] BGR
        (probability,) = self._session.run(["probability"], {"frames": self._fit(pixels)})
        size = (self._task.frame_width, self._task.frame_height)
        mask = (cv2.resize(probability[0], size) >= self._task.threshold).view(np.uint8) * np.uint8(255)
        return cv2.imencode(".png", mask, PNG_OPTIONS)[1].tobytes()

    def _fit(self, pixels: np.ndarray) -> np.ndarray:
        """Pixels uint8 [h, w, 3] BGR -> uint8 [1, height, width, 3] RGB."""
        task = self._task
        shrinks = pixels.shape[0] > 2 * task.height or pixels.shape[1] > 2 * task.width
        interpolation = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
        small = cv2.resize(pixels, (task.width, task.height), interpolation=interpolation)
        return cv2.cvtColor(small, cv2.COLOR_BGR2RGB)[None]


def _flags(task: Task) -> int:
    """Of `cv2.imdecode`: the smallest size that is at least the network's."""
    for divisor, flags in REDUCED.items():
        if task.frame_height >= divisor * task.height and task.frame_width >= divisor * task.width:
            return int(flags)
    return int(cv2.IMREAD_COLOR)
