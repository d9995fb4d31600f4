"""The golden test: a physically pruned network computes what the dense one computes with those channels masked."""

from pathlib import Path

import pytest
import torch

from pruning import checkpoint
from pruning.checkpoint import Checkpoint
from pruning.config import Network
from pruning.cost import CostModel, count_macs, count_parameters, parameters
from pruning.gates import gated, removing
from pruning.grouping import find_groups
from pruning.removal import remove
from pruning.selection import Selection
from tests.pruning.networks import NETWORKS, SIZE, SMALL, make, spec


def choose(network, share=0.5):
    groups = find_groups(network, SIZE)
    random = torch.Generator().manual_seed(0)
    scores = {group.name: torch.rand(group.width, generator=random) for group in groups}
    cost = CostModel(network, groups, SIZE)
    grid = 8 if sum(cost.full.values()) > 64 else 1
    removed = Selection(cost, scores, grid, grid, cost_exponent=0).select(int(share * cost.total(cost.full)))
    return groups, removed, cost


@pytest.mark.parametrize("name", [*NETWORKS, *SMALL])
def test_pruned_output_equals_masked_dense_output(name):
    network = make(name)
    frames = torch.randn(2, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(2))
    groups, removed, _ = choose(network)
    with torch.no_grad():
        dense = network(frames)
        with gated(network, removing(network, groups, removed)):
            masked = network(frames)
        remove(network, SIZE, removed)
        pruned = network(frames)
    assert not torch.allclose(dense, masked, atol=1e-3)
    torch.testing.assert_close(pruned, masked, atol=1e-5, rtol=0)


@pytest.mark.parametrize("name", [*NETWORKS, *SMALL])
def test_the_cost_model_counts_what_pytorch_counts(name):
    network = make(name)
    groups, removed, cost = choose(network)
    assert cost.total(cost.full) == count_macs(network, SIZE)
    trained = CostModel(network, groups, SIZE, parameters, "parameters", count_parameters(network))
    remove(network, SIZE, removed)
    widths = {group: width - len(removed.get(group, [])) for group, width in cost.full.items()}
    assert cost.total(widths) == count_macs(network, SIZE)
    assert trained.total(widths) == count_parameters(network)


@pytest.mark.parametrize("name", NETWORKS)
def test_a_checkpoint_replays_two_removals(name, tmp_path):
    network = make(name)
    factory, arguments = NETWORKS[name]
    history = []
    for share in (0.7, 0.6):
        _, removed, _ = choose(network, share)
        history += remove(network, SIZE, removed)
    saved = Checkpoint(Network(factory=factory, arguments=arguments, size=SIZE), history, network)
    checkpoint.save(tmp_path / "pruned.pt", saved)
    loaded = checkpoint.load(tmp_path / "pruned.pt")
    frames = torch.randn(1, 3, SIZE, SIZE)
    with torch.no_grad():
        assert torch.equal(loaded.network(frames), network(frames))
    assert loaded.history == history


def test_a_checkpoint_is_read_in_evaluation_mode(tmp_path):
    checkpoint.save(tmp_path / "dense.pt", checkpoint.create(spec(width=4, depth=3)))
    assert not checkpoint.load(tmp_path / "dense.pt").network.training


def test_an_interrupted_write_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "dense.pt"
    checkpoint.write_atomically(path, {"epoch": 1})

    def interrupted(_content, target):
        Path(target).write_bytes(b"half")
        raise KeyboardInterrupt

    monkeypatch.setattr(torch, "save", interrupted)
    with pytest.raises(KeyboardInterrupt):
        checkpoint.write_atomically(path, {"epoch": 2})
    assert checkpoint.read(path) == {"epoch": 1}
