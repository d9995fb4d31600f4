import pytest
import torch
from torch import nn

from pruning.cost import CostModel
from pruning.errors import BudgetError
from pruning.grouping import find_groups
from pruning.selection import Selection


@pytest.fixture
def cost():
    """Conv 0 (3 -> 40), conv 1 (40 -> 16), conv 2 (16 -> 1), all 1×1 on 64×64: 4096·(120 + 640 + 16) MACs."""
    network = nn.Sequential(nn.Conv2d(3, 40, 1), nn.Conv2d(40, 16, 1), nn.Conv2d(16, 1, 1))
    return CostModel(network, find_groups(network, 64), 64)


def scores(first=None, second=None):
    values = {
        "0": torch.arange(40.0) if first is None else first,
        "1": torch.arange(16.0) if second is None else second,
    }
    return {name: value.double() for name, value in values.items()}


def test_macs_by_hand(cost):
    assert cost.macs({"0": 40, "1": 16}) == 4096 * (120 + 640 + 16)
    assert cost.macs({"0": 32, "1": 8}) == 4096 * (96 + 256 + 8)
    assert cost.saving({"0": 40, "1": 16}, "0", 32) == 4096 * (24 + 128)


def test_widths_fall_to_the_grid_and_the_lowest_scores_go(cost):
    removed = Selection(cost, scores(), 16, 16, cost_exponent=1).select(4096 * 700)
    assert removed == {"0": list(range(8))}  # 40 -> 32: the first step goes to the grid


def test_the_budget_is_met_and_what_fits_is_given_back(cost):
    selection = Selection(cost, scores(first=torch.zeros(40)), 8, 8, cost_exponent=1)
    # 40 -> 32 -> 24 -> 16 costs 4096·(48 + 256 + 16); the budget leaves room for 24 channels: 4096·(72 + 384 + 16).
    assert len(selection.select(4096 * 472)["0"]) == 16


def test_the_cost_exponent_decides_between_many_cheap_and_few_dear(cost):
    # Conv 1's 8 channels matter a little more than conv 0's, but save twice as much.
    values = scores(first=torch.full((40,), 1.0), second=torch.full((16,), 1.5))
    budget = cost.macs(cost.full) - 1
    assert list(Selection(cost, values, 8, 8, cost_exponent=1).select(budget)) == ["1"]
    assert list(Selection(cost, values, 8, 8, cost_exponent=0).select(budget)) == ["0"]


def test_an_unreachable_budget_says_how_near_it_came(cost):
    nearest = 4096 * (3 * 8 + 8 * 8 + 8)
    with pytest.raises(BudgetError, match=f"costs {nearest:,}: raise the budget"):
        Selection(cost, scores(), 8, 8, cost_exponent=1).select(nearest - 1)
    assert Selection(cost, scores(), 8, 8, cost_exponent=1).select(nearest)


def test_a_channel_of_infinite_score_is_never_among_the_first_to_go(cost):
    values = scores(first=torch.full((40,), float("inf")))
    assert list(Selection(cost, values, 8, 8, cost_exponent=1).select(cost.macs(cost.full) - 1)) == ["1"]
