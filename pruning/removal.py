"""Physical removal of channels, through Torch-Pruning's dependency graph (Fang et al., CVPR 2023)."""

from __future__ import annotations

from typing import Any

import torch
import torch_pruning
from torch import nn
from torch_pruning.dependency.shape_infer import infer_out_channels_recursively

ELEMENTWISE, PRELU = torch_pruning.ops.OPTYPE.ELEMENTWISE, torch_pruning.ops.OPTYPE.PRELU
History = list[tuple[str, bool, list[int]]]  # layer, whether its outputs are meant, channels; in order


class Graph(torch_pruning.DependencyGraph):  # type: ignore[misc]
    """Torch-Pruning's graph, in which a factor of one channel is no partner of the many that it scales.

    It takes every product for one of equal channels. An attention map, [N, 1, H, W], would lose its only channel with
    the first channel that it weighs, and make the concatenations behind it one channel wide. What comes from no layer
    has no channels at all, such as PReLU's slope: those of a concatenation behind it could not be counted.
    """

    def _trace(self, *arguments: Any, **settings: Any) -> dict[nn.Module, torch_pruning.dependency.Node]:
        nodes: dict[nn.Module, torch_pruning.dependency.Node] = super()._trace(*arguments, **settings)
        for node in nodes.values():
            if not node.inputs and self.get_out_channels(node) is None:
                self._leave_out(node)
        for node in nodes.values():
            if node.type == ELEMENTWISE and len(node.inputs) > 1:
                self._separate(node)
        return nodes

    def _leave_out(self, node: torch_pruning.dependency.Node) -> None:
        for reader in [reader for reader in node.outputs if reader.type in (ELEMENTWISE, PRELU)]:
            _unlink(node, reader)
            if not reader.inputs:
                self._leave_out(reader)

    def _separate(self, node: torch_pruning.dependency.Node) -> None:
        widths = [infer_out_channels_recursively(self, source, [0]) for source in node.inputs]
        for source, width in zip(list(node.inputs), widths, strict=True):
            if width == 1 and max(other or 1 for other in widths) > 1:
                _unlink(source, node)


def _unlink(source: torch_pruning.dependency.Node, reader: torch_pruning.dependency.Node) -> None:
    reader.inputs.remove(source)
    source.outputs.remove(reader)


@torch.enable_grad()
def dependency_graph(network: nn.Module, size: int) -> torch_pruning.DependencyGraph:
    """Trace which layers share channels. Leaves the network in evaluation mode."""
    example = torch.zeros(1, 3, size, size)
    return Graph().build_dependency(
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
