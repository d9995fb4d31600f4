"""Find the groups of a network, and prove that they can be removed."""

from __future__ import annotations

import torch_pruning
from torch import nn

from pruning.errors import RecipeError, UnprunableError
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
    whole = [_describe(graph, group) for group in found if not _holds_output(group)]
    groups = [part for group in whole for part in _parts(group, protect) if not _is_protected(part, protect)]
    prove(network, groups, size)
    return groups


def _check_names(network: nn.Module, protect: tuple[str, ...]) -> None:
    names = [name for name, _ in network.named_modules()]
    for wanted in protect:
        if not any(_covers(wanted, name) for name in names):
            raise RecipeError(f"protect names {wanted!r}, which fits no layer; the layers are: {', '.join(names[1:])}")


def _covers(prefix: str, name: str) -> bool:
    return name == prefix or name.startswith(prefix + ".")


def _is_protected(group: Group, protect: tuple[str, ...]) -> bool:
    layers = {slot.layer for slot in (*group.writers, *group.norms)}
    return any(_covers(prefix, layer) for prefix in protect for layer in layers)


def _holds_output(group: torch_pruning.Group) -> bool:
    return any(dep.target.type == torch_pruning.ops.OPTYPE.OUTPUT for dep, _ in group)


def _describe(graph: torch_pruning.DependencyGraph, group: torch_pruning.Group) -> Group:
    writers, readers, norms, gates = [], [], [], []
    for item in group:
        node, module = item.dep.target, item.dep.target.module
        slot = Slot(node.name.split(" ")[0], tuple(item.idxs), tuple(item.root_idxs))
        if isinstance(module, nn.BatchNorm2d):
            norms.append(slot)
            if not all(_is_factor(after) for after in node.outputs):
                gates.append(slot)
        elif isinstance(module, Convolution) and graph.is_out_channel_pruning_fn(item.dep.handler):
            writers.append(slot)
            if not all(isinstance(after.module, nn.BatchNorm2d) or _is_factor(after) for after in node.outputs):
                gates.append(slot)
        elif isinstance(module, Convolution):
            readers.append(slot)
    return Group(writers[0].layer, len(group[0].idxs), tuple(writers), tuple(readers), tuple(norms), tuple(gates))


def _is_factor(reader: torch_pruning.dependency.Node) -> bool:
    """Whether what reads an output makes a factor of it: that scales the other members, and has no effect alone."""
    return str(reader.grad_fn.name()).startswith(("SigmoidBackward", "HardsigmoidBackward"))


def _parts(group: Group, protect: tuple[str, ...]) -> list[Group]:
    """The groups in what a layer that keeps its channels, such as a depthwise one, reads as a concatenation.

    Torch-Pruning starts at that layer and finds all as one, yet each part of it can go by itself.

    Raises:
        UnprunableError: a part has no layer that writes it alone, by which it is removed, and none is protected.
    """
    kinds: dict[tuple[bool, ...], list[int]] = {}
    for root in range(group.width):
        kinds.setdefault(tuple(root in slot.roots for slot in group.writers), []).append(root)
    if len(kinds) == 1:
        return [group]
    writers = [next((slot for slot in group.writers if sorted(slot.roots) == roots), None) for roots in kinds.values()]
    if None not in writers:
        return [_part(group, slot) for slot in writers if slot]
    if _is_protected(group, protect):
        return []
    raise UnprunableError(
        f"{group.name}: some of its channels share a fate that no layer has alone (a concatenation whose parts are not "
        "those of its layers, or halves of a layer?): name it in prune.protect, and it keeps its channels"
    )


def _part(group: Group, alone: Slot) -> Group:
    place = {root: channel for channel, root in zip(alone.channels, alone.roots, strict=True)}

    def kept(slots: tuple[Slot, ...]) -> tuple[Slot, ...]:
        found = ((s, [(c, place[r]) for c, r in zip(s.channels, s.roots, strict=True) if r in place]) for s in slots)
        return tuple(Slot(s.layer, *zip(*pairs, strict=True)) for s, pairs in found if pairs)

    return Group(alone.layer, len(place), *map(kept, (group.writers, group.readers, group.norms, group.gates)))
