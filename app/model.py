"""A model folder that has proven itself: manifest, graph and golden frame agree.

The proof, in order: the manifest parses and carries the folder's own name; the graph's bytes have the
promised SHA-256; the graph takes and gives what the contract says; the golden frame comes out
as it did where the model was made. Whatever fails is a ModelRefused with the reason.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
from pydantic import ValidationError

from app import files, openvino
from app.batcher import Batcher, Check
from app.binding import Bound
from app.device import CPU, DEFAULT, INSISTED, DeviceOptions, Preference, wanted_providers
from app.engine import Engine, Port, stopped_after
from app.engines import Engines
from app.errors import ModelRefused
from app.golden import Golden, expect, read_golden
from app.manifest import InputSpec, Manifest
from app.network import Network

# A graph may loop forever. An honest one takes minutes at most, where a device has to prepare its kernels.
GOLDEN_SECONDS = 300.0


@dataclass(frozen=True)
class Model:
    """A proven folder with the sessions that run its graph."""

    folder: Path
    manifest: Manifest
    golden: Golden
    engine: Network
    graph_bytes: int

    @property
    def id(self) -> str:
        """`name/version`."""
        return f"{self.manifest.name}/{self.manifest.version}"

    def reopened(self, *, threads: int, preference: Preference) -> Model:
        """The same model with sessions of its own over its graph, read and checked again; for benchmarks."""
        engine = watched(
            self.folder, self.manifest, self.golden, threads=threads, preference=preference, options=DEFAULT
        )
        return replace(self, engine=engine)


def load(folder: Path, *, threads: int, preference: Preference, options: DeviceOptions = DEFAULT) -> Model:
    """Read `<name>/<version>/` and let it prove itself.

    Raises:
        ModelRefused: with what was promised and what was found.
    """
    manifest = read_manifest(folder)
    golden = read_golden(folder, manifest.input)
    engine = watched(folder, manifest, golden, threads=threads, preference=preference, options=options)
    return Model(folder, manifest, golden, engine, (folder / "model.onnx").stat().st_size)


def watched(
    folder: Path, manifest: Manifest, golden: Golden, *, threads: int, preference: Preference, options: DeviceOptions
) -> Network:
    """Sessions over the graph that have shown the golden frame's probability, and will again after a fault.

    The graph is read anew then, and checked again: kept in memory it would take as much as a session's weights.

    Raises:
        ModelRefused: they do not.
    """

    def check(engine: Engine, count: int) -> None:
        check_golden(engine, golden, count, manifest.golden_tolerance)

    def proven(where: Preference) -> Engines | Batcher:
        graph = read_graph(folder, manifest)
        return open_proven(graph, manifest.input, check, threads=threads, preference=where, options=options)

    return Network(f"{manifest.name}/{manifest.version}", proven, preference, fallback=options.fallback)


def read_manifest(folder: Path) -> Manifest:
    """`manifest.json`, whose name and version are the folder's own."""
    try:
        manifest = Manifest.model_validate_json(files.read(folder / "manifest.json", files.MAX_MANIFEST_BYTES))
    except ValidationError as error:
        raise ModelRefused(
            f"manifest.json is not readable: {_first_line(error)}: publish the folder again, or update the service "
            "where a newer `pruning` wrote it."
        ) from error
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


def open_proven(
    graph: bytes, spec: InputSpec, check: Check, *, threads: int, preference: Preference, options: DeviceOptions
) -> Engines | Batcher:
    """Sessions that have run the check in every size that they are for. Raises ModelRefused."""
    engine = open_engines(graph, spec, threads=threads, preference=preference, options=options)
    check_ports(engine, spec)
    engine.prove(check)
    return engine


def open_engines(
    graph: bytes, spec: InputSpec, *, threads: int, preference: Preference, options: DeviceOptions
) -> Engines | Batcher:
    """Sessions over the graph, on the device that was insisted on."""
    try:
        engine = _open(graph, spec, threads, preference, options)
    except ModelRefused:
        raise
    except Exception as error:  # onnxruntime's exceptions share no other base
        raise ModelRefused(f"onnxruntime cannot run model.onnx: {error}") from error
    if engine.provider != INSISTED.get(preference, engine.provider):
        raise ModelRefused(
            f"provider={preference} was asked for, but the session runs on {engine.provider}: install its libraries "
            "(docs/gpu.md), or set POLYPRUNE_PROVIDER=auto."
        )
    return engine


def _open(
    graph: bytes, spec: InputSpec, threads: int, preference: Preference, options: DeviceOptions
) -> Engines | Batcher:
    """Batches on a device, and where they were asked for; else a session for each case."""
    on_request = options.delay_ms is not None and preference not in openvino.ARITHMETIC
    if on_request or wanted_providers(preference) != [CPU]:
        one = partial(Bound, graph, size=spec.size, threads=threads, preference=preference, options=options)
        batcher = Batcher(one, options)
        if on_request or batcher.provider != CPU:
            return batcher
    return Engines(graph, threads=threads, preference=preference)


def check_ports(engine: Engines | Batcher, spec: InputSpec) -> None:
    """The graph's one input and one output are as docs/design.md has them, with a batch size left open."""
    frames = Port("frames", "tensor(uint8)", ("N", *spec.size, 3))
    probability = Port("probability", "tensor(float)", ("N", *spec.size))
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
