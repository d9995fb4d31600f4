"""Which networks can be pruned rightly: the others are refused by the name of the layer."""

from __future__ import annotations

import torch
import torch_pruning
from torch import nn

from pruning.errors import UnprunableError
from pruning.groups import Convolution

NORMS = (nn.InstanceNorm1d, nn.InstanceNorm2d, nn.InstanceNorm3d)
REASONS: list[tuple[type[nn.Module] | tuple[type[nn.Module], ...], str]] = [
    (nn.GroupNorm, "group norm changes its meaning when a group loses channels: use batch norm"),
    (nn.LayerNorm, "layer norm changes its meaning when channels are removed: use batch norm"),
    (nn.Linear, "a linear layer in a segmentation network is not supported: use a 1×1 convolution"),
    (nn.RNNBase, "recurrent layers are not supported"),
    (nn.MultiheadAttention, "attention heads are not supported"),
]


def check_layers(network: nn.Module, size: int) -> None:
    """Refuse layers that run by their type; one that is defined and never runs, such as a classifier, does no harm.

    Raises:
        UnprunableError: names the first such layer and the remedy.
    """
    owners: dict[nn.Parameter, str] = {}
    for name, module in running(network, size).items():
        for parameter in module.parameters(recurse=False):
            if owners.setdefault(parameter, name) != name:
                raise UnprunableError(f"{name}: it shares a parameter with {owners[parameter]}: call one layer twice")
        for types, reason in REASONS:
            if isinstance(module, types):
                raise UnprunableError(f"{name} ({type(module).__name__}): {reason}")
        if isinstance(module, nn.PReLU) and module.num_parameters > 1:  # one slope for all channels is left as it is
            raise UnprunableError(f"{name} (PReLU): a slope for each channel is not followed by the graph: use ReLU")
        if isinstance(module, NORMS) and module.affine:
            raise UnprunableError(f"{name}: affine instance norm cannot be pruned: use batch norm")
        if isinstance(module, Convolution) and "weight" not in dict(module.named_parameters(recurse=False)):
            raise UnprunableError(
                f"{name}: its weight is computed from others, as by weight norm or spectral norm: bake it in first, "
                "with torch.nn.utils.parametrize.remove_parametrizations or torch.nn.utils.remove_weight_norm"
            )
        if isinstance(module, Convolution) and not _is_plain_or_depthwise(module):
            raise UnprunableError(f"{name}: {module.groups} groups; only plain and depthwise convolutions are pruned")


def _is_plain_or_depthwise(convolution: Convolution) -> bool:
    return convolution.groups == 1 or convolution.groups == convolution.in_channels == convolution.out_channels


def check_traced(network: nn.Module, graph: torch_pruning.DependencyGraph, size: int) -> None:
    """Refuse a network in which a layer runs that the gradient does not reach: a detached shortcut or an unused output.

    Its channels would be removed on one side only.

    Raises:
        UnprunableError: names the first such layer.
    """
    for name, module in running(network, size).items():
        if isinstance(module, Convolution) and module not in graph.module2node:
            raise UnprunableError(
                f"{name}: it runs, but no gradient reaches it (a detached path, or an output that is not used, such as "
                "a head for deep supervision?); it cannot be pruned: leave it out of the forward pass"
            )


@torch.no_grad()
def running(network: nn.Module, size: int) -> dict[str, nn.Module]:
    """The layers that run, by name, in the order in which they end."""
    ran: dict[str, nn.Module] = {}
    hooks = [
        module.register_forward_hook(lambda module, _i, _o, name=name: ran.update({name: module}))
        for name, module in network.named_modules()
    ]
    network.eval()(torch.zeros(1, 3, size, size))
    for hook in hooks:
        hook.remove()
    return ran
