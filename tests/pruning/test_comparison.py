import io

import numpy as np
import pytest
import torch
from rich.console import Console

from pruning.comparison.cells import Cell, Cells
from pruning.comparison.methods import METHODS
from pruning.comparison.study import start_afresh
from pruning.comparison.summary import Row, rows, table
from pruning.comparison.uniform import uniform
from pruning.cost import CostModel
from pruning.errors import BudgetError
from pruning.grouping import find_groups
from tests.pruning.networks import SIZE, make


def narrow(share, grid=4):
    network = make("unet")
    groups = find_groups(network, SIZE)
    cost = CostModel(network, groups, SIZE)
    scores = {group.name: torch.arange(group.width).flip(0).double() for group in groups}
    return cost, uniform(cost, scores, grid, grid, int(share * cost.total(cost.full)))


@pytest.mark.parametrize("share", [0.6, 0.3])
def test_a_uniformly_narrow_network_keeps_the_same_share_of_every_group_up_to_the_grid(share):
    cost, removed = narrow(share)
    left = {name: full - len(removed.get(name, [])) for name, full in cost.full.items()}
    assert 0.9 * share < cost.total(left) / cost.total(cost.full) <= share
    assert all(width % 4 == 0 for width in left.values())
    lowest = max((left[name] - 8) / full for name, full in cost.full.items())
    highest = min(left[name] / full for name, full in cost.full.items())
    assert lowest <= highest  # one share, rounded up to the grid, and at most one step more


def test_it_keeps_the_best_channels_of_each_group():
    cost, removed = narrow(0.3)
    for name, gone in removed.items():  # the scores fall with the channel's number
        assert gone == list(range(cost.full[name] - len(gone), cost.full[name]))


def test_a_uniform_width_below_the_floor_is_refused():
    with pytest.raises(BudgetError, match="with every group at 4 channels the network costs"):
        narrow(0.001)


def test_fresh_weights_depend_on_the_seed_alone():
    first, again, other = make("unet"), make("unet"), make("unet")
    with torch.no_grad():
        again.get_submodule("encoder.1.0").weight.mul_(2)
    for network, seed in ((first, 1), (again, 1), (other, 2)):
        start_afresh(network, seed)
    frames = torch.rand(1, 3, SIZE, SIZE)
    with torch.no_grad():
        assert torch.equal(first(frames), again(frames))
        assert not torch.equal(first(frames), other(frames))
    assert torch.equal(first.get_submodule("encoder.1.1").running_mean, torch.zeros(16))


def test_dice_is_averaged_over_seeds_frame_by_frame_and_paired_with_the_same_seeds(tmp_path):
    cells = Cells(tmp_path / "compare.json", {})
    values = {"taylor-abs": ([0.8, 0.4, 0.6], [0.6, 0.8, 0.6]), "random": ([0.7, 0.3, 0.5], [0.5, 0.7, 0.5])}
    for method, seeds in values.items():
        for seed, dice in enumerate(seeds):
            cells.add(Cell(0.5, method, seed, 100, 10, tuple(dice), tuple(dice)))
    cells.add(Cell(0.5, "taylor-abs", 2, 100, 10, (0.0,) * 3, (0.0,) * 3))  # random has no third seed yet
    first, random = rows(Cells(tmp_path / "compare.json", {}))
    assert (first.seeds, random.seeds) == (3, 2)
    assert random.after.mean == pytest.approx(np.mean(values["random"]))
    assert (random.lowest, random.highest) == (pytest.approx(0.5), pytest.approx(1.7 / 3))
    assert random.after.low == pytest.approx(0.5)  # frames hold .6, .5 and .5 in the mean over seeds
    assert random.against.mean == pytest.approx(-0.1)
    assert random.against.high == pytest.approx(-0.1)  # every pair differs by the same


def test_before_and_after_are_not_mixed_up(tmp_path):
    cells = Cells(tmp_path / "compare.json", {})
    cells.add(Cell(0.5, "taylor-abs", 0, 100, 10, (0.1, 0.3), (0.6, 0.8)))
    (row,) = rows(cells)
    assert (row.before.mean, row.after.mean) == (pytest.approx(0.2), pytest.approx(0.7))


def test_a_narrow_terminal_cuts_nothing():
    console = Console(width=80, record=True, file=io.StringIO())
    console.print(table([Row(0.5, METHODS[1].name, 1), Row(0.5, "uniform", 1)]))
    shown = console.export_text()
    assert "…" not in shown
