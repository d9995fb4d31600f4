"""Where networks run, and how a device is used: execution providers and their options."""

from __future__ import annotations

import importlib
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal

import onnxruntime

from app import cuda, openvino

Preference = Literal["auto", "cpu", "cuda", "tensorrt", "openvino", "openvino-bf16"]
Providers = list[str | tuple[str, dict[str, str]]]
CPU = "CPUExecutionProvider"
CUDA = "CUDAExecutionProvider"
TENSORRT = "TensorrtExecutionProvider"
ON_GPU = (CUDA, TENSORRT)
# What has to be there for a session to be where the operator insisted on.
INSISTED = {"cuda": CUDA, "tensorrt": TENSORRT} | dict.fromkeys(openvino.ARITHMETIC, openvino.PROVIDER)

# onnxruntime's defaults double the arena on each growth, search the convolution algorithms exhaustively on
# first use, and round to TF32, which the golden frame's tolerance does not allow for.
CUDA_OPTIONS = {
    "arena_extend_strategy": "kSameAsRequested",
    "cudnn_conv_algo_search": "HEURISTIC",
    "use_tf32": "0",
}


@dataclass(frozen=True)
class DeviceOptions:
    """How the frames of concurrent requests are brought together on a device.

    Args:
        instances: sessions of each model, each with a stream and a thread of its own.
        sizes: of the batches that are run; fewer frames are filled up to the next.
        delay_ms: how long a frame waits for others. None: not at all on a device, and no batches on the CPU.
        graphs: record a CUDA graph for each size, and replay it.
        fallback: after a fault of the device, repeat a frame's run on the CPU.
        engine_cache: folder where TensorRT keeps what it built; None: it builds at each start.
    """

    instances: int = 1
    sizes: tuple[int, ...] = (1, 2, 4, 8)
    delay_ms: float | None = None
    graphs: bool = False
    fallback: bool = False
    engine_cache: Path | None = None

    @property
    def largest(self) -> int:
        """The most frames of a batch."""
        return max(self.sizes)

    def holding(self, count: int) -> int:
        """The smallest size that holds so many frames."""
        return min(size for size in self.sizes if size >= count)


DEFAULT = DeviceOptions()


def wanted_providers(
    preference: Preference, options: DeviceOptions | None = None, size: tuple[int, int] | None = None
) -> Providers:
    """The providers to ask for, best first; OpenVINO is none of them, since it takes a device instead.

    Args:
        options: for sessions whose batches have these sizes.
        size: height and width of the network, for which TensorRT builds.
    """
    if (
        preference in ("cpu", *openvino.ARITHMETIC)
        or CUDA not in onnxruntime.get_available_providers()
        or not cuda.devices()
    ):
        return [CPU]
    _preload()
    chosen: Providers = [(CUDA, _cuda_options(options)), CPU]
    if preference == "tensorrt" and TENSORRT in onnxruntime.get_available_providers():
        return [(TENSORRT, tensorrt_options(options, size)), *chosen]
    return chosen


def _cuda_options(options: DeviceOptions | None) -> dict[str, str]:
    return CUDA_OPTIONS | ({"enable_cuda_graph": "1"} if options and options.graphs else {})


def tensorrt_options(options: DeviceOptions | None, size: tuple[int, int] | None) -> dict[str, str]:
    """One engine for every size of a batch, built once and kept where there is a folder for it."""
    chosen: dict[str, str] = {}
    if options and options.engine_cache:
        folder = str(options.engine_cache)
        chosen |= {"trt_engine_cache_enable": "1", "trt_engine_cache_path": folder}
        chosen |= {"trt_timing_cache_enable": "1", "trt_timing_cache_path": folder}
    if options and size:
        height, width = size
        shapes = {"min": min(options.sizes), "opt": options.largest, "max": options.largest}
        chosen |= {f"trt_profile_{k}_shapes": f"frames:{count}x{height}x{width}x3" for k, count in shapes.items()}
    return chosen


@cache
def _preload() -> None:
    # The CUDA and cuDNN of pip's nvidia packages are not on the loader's path; older releases lack the call.
    if hasattr(onnxruntime, "preload_dlls"):
        onnxruntime.preload_dlls()
    with suppress(ImportError):  # TensorRT's wheel loads its own libraries when it is imported
        importlib.import_module("tensorrt_libs")
