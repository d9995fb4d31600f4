"""Find the groups of a network, and prove that they can be removed."""

from __future__ import annotations

import torch_pruning
from torch import nn

from pruning.errors import RecipeError
from pruning.groups import Convolution, Group, Slot
from pruning.proof import prove
from pruning.removal import dependency_graph
from pruning.support import check_layers, check_traced


def find_groups(network: nn.Module, size: int, protect: tuple[str, ...] = ()) -> list[Group]:
    """All prunable groups of a network, without those that hold its output or a protected layer.

    Args:
        size: height and width of the input it is traced with.
        protect: names of layers, or prefixes of them up to a dot.

    Raises:
        UnprunableError: names a layer whose channels cannot be removed rightly.
        RecipeError: a protected name fits no layer.
    """
    check_layers(network, size)
    _check_names(network, protect)
    graph = dependency_graph(network, size)
    check_traced(network, graph, size)
    found = graph.get_all_groups(root_module_types=(nn.Conv2d, nn.ConvTranspose2d))
    groups = [_describe(graph, group) for group in found if not _holds_output(group)]
    prove(network, groups, size)
    return [group for group in groups if not _is_protected(group, protect)]


def _check_names(network: nn.Module, protect: tuple[str, ...]) -> None:
    names = [name for name, _ in network.named_modules()]
    for wanted in protect:
        if not any(_covers(wanted, name) for name in names):
            raise RecipeError(f"protect names {wanted!r}, which fits no layer; the layers are: {', '.join(names[1:])}")


def _covers(prefix: str, name: str) -> bool:
    return name == prefix or name.startswith(prefix + ".")


def _is_protected(group: Group, protect: tuple[str, ...]) -> bool:
    layers = {slot.layer for slot in (*group.writers, *group.gates)}
    return any(_covers(prefix, layer) for prefix in protect for layer in layers)


def _holds_output(group: torch_pruning.Group) -> bool:
    return any(dep.target.type == torch_pruning.ops.OPTYPE.OUTPUT for dep, _ in group)


def _describe(graph: torch_pruning.DependencyGraph, group: torch_pruning.Group) -> Group:
    writers, readers, gates = [], [], []
    for item in group:
        node, module = item.dep.target, item.dep.target.module
        slot = Slot(node.name.split(" ")[0], tuple(item.idxs), tuple(item.root_idxs))
        if isinstance(module, nn.BatchNorm2d):
            gates.append(slot)
        elif isinstance(module, Convolution) and graph.is_out_channel_pruning_fn(item.dep.handler):
            writers.append(slot)
            if not all(_zeroed_by(after) for after in node.outputs):
                gates.append(slot)
        elif isinstance(module, Convolution):
            readers.append(slot)
    return Group(writers[0].layer, len(group[0].idxs), tuple(writers), tuple(readers), tuple(gates))


def _zeroed_by(reader: torch_pruning.dependency.Node) -> bool:
    """Whether what reads an output is a gate itself, or scales the group's other members and so has no effect alone."""
    return isinstance(reader.module, nn.BatchNorm2d) or "SigmoidBackward" in reader.grad_fn.name()
