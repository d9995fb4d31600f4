"""A network on disk: how to build it, what was removed from it, and its weights. Never a pickled module.

The file loads with `torch.load(..., weights_only=True)`.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from pruning.config import Network
from pruning.errors import NetworkError, RunError
from pruning.networks import build
from pruning.removal import History, replay


@dataclass
class Checkpoint:
    """A network with the way it came about.

    Attributes:
        spec: factory, arguments, input size and normalisation.
        history: what was removed since the factory, replayable.
        network: the module itself, on the CPU, in evaluation mode.
    """

    spec: Network
    history: History
    network: nn.Module


def create(spec: Network) -> Checkpoint:
    """Build an unpruned network and check that it maps [1, 3, S, S] to [1, 1, S, S].

    Raises:
        NetworkError: it does not, or cannot be built.
    """
    network = build(spec.factory, spec.arguments).eval()
    try:
        with torch.no_grad():
            logits = network(torch.zeros(1, 3, spec.size, spec.size))
    except RuntimeError as error:
        raise NetworkError(
            f"{spec.factory} with the arguments {spec.arguments} takes no frame of {spec.size} × {spec.size}: {error}"
        ) from error
    expected = (1, 1, spec.size, spec.size)
    if not isinstance(logits, torch.Tensor) or logits.shape != expected:
        got = tuple(logits.shape) if isinstance(logits, torch.Tensor) else type(logits).__name__
        raise NetworkError(f"{spec.factory} must return logits of shape {expected}; got {got}")
    return Checkpoint(spec, [], network)


def save(path: Path, checkpoint: Checkpoint) -> None:
    """Write a checkpoint; an interrupted write leaves the old file in place."""
    content = {
        "spec": checkpoint.spec.model_dump(),
        "history": checkpoint.history,
        "state": checkpoint.network.state_dict(),
    }
    write_atomically(path, content)


def load(path: Path) -> Checkpoint:
    """Rebuild the network, replay its pruning history and load its weights.

    Raises:
        RunError: there is no such file.
    """
    content = read(path)
    spec = Network.model_validate(content["spec"])
    network = build(spec.factory, spec.arguments)
    replay(network, spec.size, content["history"])
    network.load_state_dict(content["state"])
    return Checkpoint(spec, content["history"], network.eval())


def write_atomically(path: Path, content: object) -> None:
    """`torch.save` beside the target, then rename."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    torch.save(content, partial)
    partial.replace(path)


def read(path: Path) -> dict[str, Any]:
    """`torch.load` of plain values and tensors.

    Raises:
        RunError: there is no such file.
    """
    if not path.is_file():
        raise RunError(f"{path} is missing: run the station before this one first")
    content: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    return content
