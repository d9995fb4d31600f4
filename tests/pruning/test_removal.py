"""The golden test: a physically pruned network computes what the dense one computes with those channels masked."""

import copy
from pathlib import Path
from types import SimpleNamespace

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


@pytest.fixture(scope="module")
def halved(request):
    """A network before and after about half of its MACs were removed: outputs, cost models and what they count.

    Made once for all tests, which leave it as it is.
    """
    network = make(request.param)
    frames = torch.randn(2, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(2))
    groups, removed, cost = choose(network)
    trained = CostModel(network, groups, SIZE, parameters, "parameters", count_parameters(network))
    macs = count_macs(network, SIZE)
    with torch.no_grad():
        dense = network(frames)
        with gated(network, removing(network, groups, removed)):
            masked = network(frames)
        history = remove(network, SIZE, removed)
        pruned = network(frames)
    widths = {group: width - len(removed.get(group, [])) for group, width in cost.full.items()}
    return SimpleNamespace(
        name=request.param,
        network=network,
        history=history,
        dense=dense,
        masked=masked,
        pruned=pruned,
        cost=cost,
        trained=trained,
        macs=macs,
        widths=widths,
    )


@pytest.mark.parametrize("halved", [*NETWORKS, *SMALL], indirect=True)
def test_pruned_output_equals_masked_dense_output(halved):
    assert not torch.allclose(halved.dense, halved.masked, atol=1e-3)
    torch.testing.assert_close(halved.pruned, halved.masked, atol=1e-5, rtol=0)


@pytest.mark.parametrize("halved", [*NETWORKS, *SMALL], indirect=True)
def test_the_cost_model_counts_what_pytorch_counts(halved):
    assert halved.cost.total(halved.cost.full) == halved.macs
    assert halved.cost.total(halved.widths) == count_macs(halved.network, SIZE)
    assert halved.trained.total(halved.widths) == count_parameters(halved.network)


@pytest.mark.parametrize("halved", NETWORKS, indirect=True)
def test_a_checkpoint_replays_two_removals(halved, tmp_path):
    factory, arguments = NETWORKS[halved.name]
    network = copy.deepcopy(halved.network)
    _, removed, _ = choose(network, 0.8)
    history = [*halved.history, *remove(network, SIZE, removed)]
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
