"""OpenVINO under onnxruntime: an execution provider that a package of its own brings (the extra `openvino`).

The plugin offers Intel's processors only. By itself OpenVINO takes bf16 for fp32 graphs where the processor has it, so
the arithmetic is always said. It holds for what is float in a graph: an int8 model runs in int8 either way.
"""

from __future__ import annotations

import importlib
import json
from functools import cache
from typing import Any

import onnxruntime

from app import machine
from app.errors import ModelRefused

PROVIDER = "OpenVINOExecutionProvider"
ARITHMETIC = {"openvino": "f32", "openvino-bf16": "bf16"}  # by the setting's value


def open_session(graph: bytes, options: Any, *, preference: str, threads: int) -> Any:
    """A session whose whole graph runs in OpenVINO; nothing of it falls back to another provider.

    Args:
        options: of the session; the device is added to them.
        preference: a key of ARITHMETIC.
        threads: that one run uses; with 1, as many runs at once as cores.

    Raises:
        ModelRefused: the package is not installed, or offers no processor here.
        Exception: of onnxruntime's own kinds, when the graph cannot be run.
    """
    options.add_session_config_entry("session.disable_cpu_ep_fallback", "1")
    options.add_provider_for_devices([processor()], {"load_config": json.dumps({"CPU": config(preference, threads)})})
    # Python's own fallback would open the session on the CPU provider where this one fails.
    return onnxruntime.InferenceSession(graph, sess_options=options, enable_fallback=0)


def config(preference: str, threads: int) -> dict[str, str]:
    """OpenVINO's properties of its CPU device; a stream is one run at a time, and the threads are those of all."""
    streams = machine.cores() if threads == 1 else 1
    return {
        "INFERENCE_PRECISION_HINT": ARITHMETIC[preference],
        "NUM_STREAMS": str(streams),
        "INFERENCE_NUM_THREADS": str(threads * streams),
    }


def is_available() -> bool:
    """Whether the plugin is installed and offers a processor here."""
    try:
        return bool(processor())
    except ModelRefused:
        return False


def processor() -> Any:
    """The processor as the plugin offers it."""
    _register()
    for device in onnxruntime.get_ep_devices():
        if device.ep_name == PROVIDER and device.ep_metadata.get("ov_device") == "CPU":
            return device
    raise ModelRefused(
        f"OpenVINO's plugin offers no processor on this machine ({machine.processor()}), it takes Intel's only: "
        "set POLYPRUNE_PROVIDER=cpu."
    )


@cache
def _register() -> None:
    try:
        plugin = importlib.import_module("onnxruntime_ep_openvino")
    except ImportError as error:
        raise ModelRefused(
            "POLYPRUNE_PROVIDER=openvino needs the package onnxruntime-ep-openvino: pip install 'polyprune[openvino]', "
            "or set POLYPRUNE_PROVIDER=cpu."
        ) from error
    onnxruntime.register_execution_provider_library("openvino", plugin.get_library_path())
