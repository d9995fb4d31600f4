"""A published fp32 model as a network that can be trained and pruned further: its graph is all that is needed.

Export folds each batch norm into the convolution before it. Here the batch norm is put back, with the statistics of
training frames and the scale and shift that undo them: the network computes what the graph computes.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from torch import Tensor, nn

from pruning.checkpoint import Checkpoint, create
from pruning.config import Network
from pruning.cost import conv_widths
from pruning.data import Frames
from pruning.deploy import Deployed, normalise
from pruning.errors import RunError
from pruning.grouping import find_groups
from pruning.groups import Convolution
from pruning.recovery import Norm
from pruning.removal import History, remove
from pruning.runs import read_json

TOLERANCE = 1e-3  # of the golden frame's probability
TINY = 1e-8  # a filter with smaller weights is dead


def read(folder: Path, spec: Network, frames: Frames) -> Checkpoint:
    """The network of `models/<name>/<version>`, for frames of the size in `spec`, ready to be trained.

    Args:
        frames: training frames that batch norm's statistics are measured on.

    Raises:
        RunError: as `refill`.
    """
    found, norms = refill(folder, spec)
    unfold(found, norms, frames)
    return found


def refill(folder: Path, spec: Network) -> tuple[Checkpoint, dict[str, Norm]]:
    """The network as the graph has it, ready to be exported, and its batch norms, which only scale and shift.

    Raises:
        RunError: it is no fp32 model or another network's, or what comes out computes something else than the graph.
    """
    manifest = read_json(folder / "manifest.json")
    if manifest["precision"] != "fp32" or manifest["training"]["network"] != spec.factory:
        raise RunError(
            f"{folder} holds {manifest['training']['network']} in {manifest['precision']}: "
            f"start from an fp32 model of this recipe's network, {spec.factory}"
        )
    found = create(spec)
    history = narrow(found, manifest["widths"])
    norms = followers(found.network, spec.size)
    graph = onnx.load(folder / "model.onnx").graph
    fill(found.network, norms, {part.name: onnx.numpy_helper.to_array(part) for part in graph.initializer})
    _prove(found, folder, manifest["temperature"])
    return Checkpoint(spec, history, found.network), norms


def narrow(found: Checkpoint, widths: dict[str, int]) -> History:
    """Bring a fresh network to these widths, in place. Which channels go is all one: the graph's weights follow."""
    same = tuple(name for name, width in conv_widths(found.network).items() if widths.get(name, width) == width)
    groups = find_groups(found.network, found.spec.size, same)
    # A layer that the manifest lacks keeps its channels: the graph lacks it too, and `fill` names it.
    surplus = {group.name: [*range(widths.get(group.name, group.width), group.width)] for group in groups}
    return remove(found.network, found.spec.size, {name: channels for name, channels in surplus.items() if channels})


def followers(network: nn.Module, size: int) -> dict[str, Norm]:
    """The batch norm that reads each convolution's output, by the convolution's name, where one does."""
    outputs: list[tuple[str, Tensor]] = []
    norms: dict[str, Norm] = {}

    def follow(norm: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        norms.update({name: norm for name, output in outputs if output is inputs[0]})  # type: ignore[misc]

    def written_by(name: str) -> Any:
        return lambda _module, _inputs, output: outputs.append((name, output))

    hooks = [
        module.register_forward_hook(written_by(name))
        if isinstance(module, Convolution)
        else module.register_forward_pre_hook(follow)
        for name, module in network.named_modules()
        if isinstance(module, Convolution | Norm)
    ]
    with torch.no_grad():
        network(torch.zeros(1, 3, size, size))
    for hook in hooks:
        hook.remove()
    return norms


@torch.no_grad()
def fill(network: nn.Module, norms: dict[str, Norm], weights: dict[str, Any]) -> None:
    """Give every convolution its weights in the graph, at the scale that it was made with where a batch norm follows.

    Folding leaves weights as small as a tenth of what they were trained as. To the network they are all the same, but
    not to an optimiser whose steps have a size of their own: the first would be larger than the weight. The batch norm
    takes the scale back, and adds the folded bias.

    Raises:
        RunError: the graph lacks a layer, or has it in another shape.
    """
    for name, module in network.named_modules():
        if not isinstance(module, Convolution):
            continue
        weight = f"network.{name}.weight"
        made = module.weight.square().mean().sqrt()  # of ImageNet, or of the layer's random start
        _copy(module.weight, weights, weight)
        norm = norms.get(name)
        if norm is not None:
            norm.reset_running_stats()  # mean 0, variance 1
            assert norm.running_var is not None  # noqa: S101 - find_groups refuses a batch norm without statistics
            norm.running_var -= norm.eps
            scale = made / module.weight.square().mean((1, 2, 3), keepdim=True).sqrt().clamp_min(TINY)
            module.weight.mul_(scale)
            norm.weight.copy_(1 / scale.flatten())
        bias = module.bias if norm is None else norm.bias
        if norm is not None and module.bias is not None:
            module.bias.zero_()
        if bias is not None:
            _copy(bias, weights, f"{weight}_bias" if f"{weight}_bias" in weights else f"network.{name}.bias")


def _copy(parameter: Tensor, weights: dict[str, Any], name: str) -> None:
    found = weights.get(name)
    if found is None or found.shape != tuple(parameter.shape):
        got = "none" if found is None else f"it as {list(found.shape)}"
        raise RunError(f"{name} is wanted as {list(parameter.shape)}, and the graph has {got}: was it exported here?")
    parameter.copy_(torch.from_numpy(found.copy()))


def _prove(found: Checkpoint, folder: Path, temperature: float) -> None:
    """Raises RunError where the golden frame's probability is another than the graph's."""
    with np.load(folder / "golden.npz") as golden:
        frame, expected = golden["frame"], golden["probability"]
    deployed = Deployed(found.network, found.spec, temperature).eval()
    with torch.no_grad():
        difference = float(np.abs(deployed(torch.from_numpy(frame[None]))[0].numpy() - expected).max())
    if difference > TOLERANCE:
        raise RunError(
            f"{folder} gives another probability than the network that was read from it, by {difference:.2g}: "
            "are mean, std and colour_transfer in [network] those that it was exported with?"
        )


@torch.no_grad()
def unfold(found: Checkpoint, norms: dict[str, Norm], frames: Frames, batch: int = 16) -> None:
    """Give each batch norm the statistics of its input, and undo them by its scale and shift, in place."""
    sums: dict[Norm, list[Tensor]] = {norm: [] for norm in norms.values()}

    def gather(norm: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        values = inputs[0].double()
        sums[norm].append(torch.stack([values.mean((0, 2, 3)), values.square().mean((0, 2, 3))]))  # type: ignore[index]

    hooks = [norm.register_forward_pre_hook(gather) for norm in sums]
    for part in frames.batches(batch):
        found.network(normalise(part.images, found.spec))
    for hook in hooks:
        hook.remove()
    for norm, moments in sums.items():
        mean, square = torch.stack(moments).mean(0)
        variance = (square - mean.square()).clamp_min(0)
        norm.running_mean.copy_(mean)  # type: ignore[union-attr]
        norm.running_var.copy_(variance)  # type: ignore[union-attr]
        norm.bias.add_(mean * norm.weight)
        norm.weight.mul_((variance + norm.eps).sqrt())
