"""Sensitivity: Dice when one group loses a share of its channels and all others stay whole, without fine-tuning.

Channels are masked, not removed, in the order in which a cut would take them: the same output, and quick. A group whose
loss shows at once is a candidate for `prune.protect`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import nn

from pruning.config import Network
from pruning.criteria import Scores
from pruning.data import Frames
from pruning.gates import gated, removing
from pruning.groups import Group
from pruning.selection import Removed
from pruning.signs import keep_both_signs
from pruning.training import frame_dice

SHARES = (0.25, 0.5, 0.75)
# Dice that half of a group may cost before it is suggested for protection. Another seed moves Dice by .010 to .018.
FRAGILE = 0.02


def measure(
    network: nn.Module,
    spec: Network,
    groups: list[Group],
    scores: Scores,
    frames: Frames,
    threshold: float,
    tick: Callable[[], None],
) -> dict[str, Any]:
    """Mean Dice on `frames` for each group and each of `SHARES`, at the network's size.

    Args:
        tick: called after each group.

    Returns:
        `dice` of the whole network, and for each group its `width`, `dice` by share, and the layers of `writers`.
    """

    def dice(removed: Removed) -> float:
        with gated(network, removing(network, groups, removed)):
            return float(frame_dice(network, spec, frames, threshold).mean())

    found: dict[str, Any] = {"frames": len(frames), "shares": list(SHARES), "dice": dice({}), "groups": {}}
    kept = keep_both_signs(network, groups, scores)
    for group in groups:
        falls = [dice({group.name: lowest(kept, group, share)}) for share in SHARES]
        layers = [slot.layer for slot in group.writers]
        found["groups"][group.name] = {"width": group.width, "layers": layers, "dice": falls}
        tick()
    return {**found, "suggested": fragile(found)}


def lowest(scores: Scores, group: Group, share: float) -> list[int]:
    """The channels of a group with the lowest scores; at least one stays."""
    count = min(round(share * group.width), group.width - 1)
    return [int(channel) for channel in scores[group.name].argsort(stable=True)[:count]]


def fragile(found: dict[str, Any]) -> list[str]:
    """Groups of which the lower half costs more than `FRAGILE`, the worst first: to be named in `prune.protect`."""
    half = found["shares"].index(0.5)
    lost = {name: found["dice"] - group["dice"][half] for name, group in found["groups"].items()}
    return [name for name in sorted(lost, key=lost.__getitem__, reverse=True) if lost[name] > FRAGILE]
