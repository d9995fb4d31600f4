"""Networks that others wrote, pruned at random to half of their MACs: python -m tests.bench.networks

For each of the tests' networks: parameters, groups, MACs left, and how far the pruned network is from the masked one.
"""

from __future__ import annotations

import pytest
import torch
from torch import nn

from pruning.cost import CostModel, count_macs, count_parameters
from pruning.gates import gated, removing
from pruning.grouping import find_groups
from pruning.removal import remove
from pruning.selection import Selection
from tests.pruning.networks import NETWORKS, SIZE, make


def row(name: str, network: nn.Module) -> str:
    """One line of the table."""
    parameters, macs = count_parameters(network), count_macs(network, SIZE)
    groups = find_groups(network, SIZE)
    random = torch.Generator().manual_seed(0)
    scores = {group.name: torch.rand(group.width, generator=random) for group in groups}
    removed = Selection(CostModel(network, groups, SIZE), scores, 8, 8, cost_exponent=0).select(macs // 2)
    frames = torch.randn(2, 3, SIZE, SIZE, generator=random)
    with torch.no_grad():
        with gated(network, removing(network, groups, removed)):
            masked = network(frames)
        remove(network, SIZE, removed)
        difference = (network(frames) - masked).abs().max()
    left, largest = count_macs(network, SIZE) / macs, masked.abs().max()
    return f"| {name} | {parameters / 1e6:.2f} M | {len(groups)} | {left:.0%} | {difference:.1e} | {largest:.1f} |"


def main() -> None:
    """Print the table."""
    print(
        "| network | parameters | groups | MACs left | largest difference | largest logit |\n|---|---|---|---|---|---|"
    )
    for name in NETWORKS:
        try:
            print(row(name, make(name)), flush=True)
        except pytest.skip.Exception as reason:
            print(f"| {name} | not tried: {reason} |")


if __name__ == "__main__":
    main()
