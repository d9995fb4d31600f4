"""Physical removal of channels, through Torch-Pruning's dependency graph (Fang et al., CVPR 2023)."""

from __future__ import annotations

import torch
import torch_pruning
from torch import nn

History = list[tuple[str, bool, list[int]]]  # layer, whether its outputs are meant, channels; in order


@torch.enable_grad()
def dependency_graph(network: nn.Module, size: int) -> torch_pruning.DependencyGraph:
    """Trace which layers share channels. Leaves the network in evaluation mode."""
    example = torch.zeros(1, 3, size, size)
    return torch_pruning.DependencyGraph().build_dependency(
        network,
        example,
        # The graph marks an output only where the last operation is no layer: without this, the head looks prunable.
        output_transform=lambda logits: logits + 0,
        verbose=False,
    )


def replay(network: nn.Module, size: int, history: History) -> None:
    """Remove from a fresh network, in place, what `history` says."""
    if history:
        dependency_graph(network, size).load_pruning_history([list(entry) for entry in history])


def remove(network: nn.Module, size: int, removed: dict[str, list[int]]) -> History:
    """Remove output channels of the named convolutions, and all that goes with them, in place.

    Every parameter is replaced: an optimiser made before is stale.

    Returns:
        What `replay` needs to do the same again.
    """
    graph = dependency_graph(network, size)
    for layer, channels in removed.items():
        module = network.get_submodule(layer)
        prune = graph.get_pruner_of_module(module).prune_out_channels
        graph.get_pruning_group(module, prune, channels).prune()
    return [(layer, is_output, list(channels)) for layer, is_output, channels in graph.pruning_history()]
