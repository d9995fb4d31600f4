"""A model folder that has proven itself: manifest, graph and golden frame agree.

The proof, in order: the manifest parses and carries the folder's own name; the graph's bytes have the
promised SHA-256; the graph takes and gives what the contract says; the golden frame comes out
as it did where the model was made. Whatever fails is a ModelRefused with the reason.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pydantic import ValidationError

from app import files
from app.engine import CUDA, Engine, Port, Preference, stopped_after
from app.engines import Engines
from app.errors import ModelRefused
from app.golden import Golden, expect, read_golden
from app.manifest import InputSpec, Manifest

# A graph may loop forever. An honest one takes minutes at most, where a device has to prepare its kernels.
GOLDEN_SECONDS = 300.0


@dataclass(frozen=True)
class Model:
    """A proven folder with the sessions that run its graph."""

    folder: Path
    manifest: Manifest
    golden: Golden
    engine: Engines
    graph_bytes: int

    @property
    def id(self) -> str:
        """`name/version`."""
        return f"{self.manifest.name}/{self.manifest.version}"

    def new_engine(self, *, threads: int, preference: Preference) -> Engine:
        """Another session over the same graph, read and checked again; for benchmarks."""
        return Engine(read_graph(self.folder, self.manifest), threads=threads, preference=preference)


def load(folder: Path, *, threads: int, preference: Preference) -> Model:
    """Read `<name>/<version>/` and let it prove itself.

    Raises:
        ModelRefused: with what was promised and what was found.
    """
    manifest = read_manifest(folder)
    graph = read_graph(folder, manifest)
    golden = read_golden(folder, manifest.input)
    engine = open_engines(graph, threads=threads, preference=preference)
    check_ports(engine, manifest.input)
    check_golden(engine.latency, golden, 1, manifest.golden_tolerance)
    check_golden(engine.throughput, golden, 2, manifest.golden_tolerance)
    return Model(folder, manifest, golden, engine, len(graph))


def read_manifest(folder: Path) -> Manifest:
    """`manifest.json`, whose name and version are the folder's own."""
    try:
        manifest = Manifest.model_validate_json(files.read(folder / "manifest.json", files.MAX_MANIFEST_BYTES))
    except ValidationError as error:
        raise ModelRefused(f"manifest.json is not readable: {_first_line(error)}") from error
    promised, found = f"{manifest.name}/{manifest.version}", f"{folder.parent.name}/{folder.name}"
    if promised != found:
        raise ModelRefused(f"manifest.json is that of {promised}, but the folder is {found}: rename one of them.")
    return manifest


def read_graph(folder: Path, manifest: Manifest) -> bytes:
    """`model.onnx`, byte for byte what the manifest was written for."""
    graph = files.read(folder / "model.onnx", files.MAX_GRAPH_BYTES)
    found = hashlib.sha256(graph).hexdigest()
    if found != manifest.sha256:
        raise ModelRefused(
            f"model.onnx has the SHA-256 {found}, but the manifest promises {manifest.sha256}: "
            "copy or publish the folder again."
        )
    return graph


def open_engines(graph: bytes, *, threads: int, preference: Preference) -> Engines:
    """Sessions over the graph, on the device that was insisted on."""
    try:
        engine = Engines(graph, threads=threads, preference=preference)
    except Exception as error:  # onnxruntime's exceptions share no other base
        raise ModelRefused(f"onnxruntime cannot run model.onnx: {error}") from error
    if preference == "cuda" and engine.provider != CUDA:
        raise ModelRefused(
            f"provider=cuda was asked for, but the session runs on {engine.provider}: install CUDA 13 and "
            "cuDNN 9 (pip install onnxruntime-gpu[cuda,cudnn]), or set POLYPRUNE_PROVIDER=auto."
        )
    return engine


def check_ports(engine: Engines, spec: InputSpec) -> None:
    """The graph's one input and one output are as docs/design.md has them, with a batch size left open."""
    frames = Port("frames", "tensor(uint8)", ("N", spec.height, spec.width, 3))
    probability = Port("probability", "tensor(float)", ("N", spec.height, spec.width))
    if not _matches(engine.inputs, frames):
        raise ModelRefused(f"the graph takes {engine.inputs}, and the contract says {frames}: export it again.")
    if not _matches(engine.outputs, probability):
        raise ModelRefused(f"the graph gives {engine.outputs}, and the contract says {probability}: export it again.")


def check_golden(engine: Engine, golden: Golden, count: int, tolerance: float) -> None:
    """The golden frame gives its probability in a batch of this many; which also warms the session up."""
    try:
        with stopped_after(GOLDEN_SECONDS) as options:
            found = engine.run(np.stack([golden.frame] * count), options)  # [count, H, W]
    except Exception as error:  # as in open_engines
        raise ModelRefused(f"the graph fails on a batch of {count}: {error}") from error
    expect("the graph's output", found.dtype, found.shape, np.dtype(np.float32), (count, *golden.probability.shape))
    difference = float(np.abs(found - golden.probability).max())
    if not difference <= tolerance:  # written so that NaN fails
        raise ModelRefused(
            f"the golden frame's probability is off by up to {difference:.3g}, and {tolerance:.3g} is "
            f"allowed, on {engine.provider}: export the model again, or use another provider."
        )


def _matches(ports: list[Port], promised: Port) -> bool:
    if [(port.name, port.type) for port in ports] != [(promised.name, promised.type)]:
        return False
    batch, *sizes = ports[0].shape or (0,)
    # A size may be left open in the graph, the golden frame then shows it. The batch has to be.
    same = [
        size == wanted or not isinstance(size, int) for size, wanted in zip(sizes, promised.shape[1:], strict=False)
    ]
    return not isinstance(batch, int) and len(sizes) == len(promised.shape) - 1 and all(same)


def _first_line(error: ValidationError) -> str:
    problems = [f"{'.'.join(map(str, item['loc'])) or 'file'}: {item['msg']}" for item in error.errors()]
    return "; ".join(problems)
