import pytest
import torch
from torch import nn

from pruning.cost import CostModel, count_parameters, parameters
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
    assert cost.total({"0": 40, "1": 16}) == 4096 * (120 + 640 + 16)
    assert cost.total({"0": 32, "1": 8}) == 4096 * (96 + 256 + 8)
    assert cost.saving({"0": 40, "1": 16}, "0", 32) == 4096 * (24 + 128)


def test_widths_fall_to_the_grid_and_the_lowest_scores_go(cost):
    removed = Selection(cost, scores(), 16, 16, cost_exponent=1).select(4096 * 630)
    assert removed == {"0": list(range(8))}  # 40 -> 32: the first step goes to the grid


def test_the_budget_is_met_and_what_fits_is_given_back(cost):
    selection = Selection(cost, scores(first=torch.zeros(40)), 8, 8, cost_exponent=1)
    # 40 -> 32 -> 24 -> 16 costs 4096·(48 + 256 + 16); the budget leaves room for 24 channels: 4096·(72 + 384 + 16).
    assert len(selection.select(4096 * 472)["0"]) == 16


def test_the_cost_exponent_decides_between_many_cheap_and_few_dear(cost):
    # A channel of conv 1 matters a little more than one of conv 0, but saves 4096·41 instead of 4096·19.
    values = scores(first=torch.full((40,), 1.0), second=torch.full((16,), 1.5))
    assert Selection(cost, values, 1, 1, cost_exponent=1).select(4096 * (776 - 41)) == {"1": [0]}
    assert Selection(cost, values, 1, 1, cost_exponent=0).select(4096 * (776 - 57)) == {"0": [0, 1, 2]}


def test_what_would_leave_the_budget_unused_is_exchanged(cost):
    # Conv 0's channels count nothing: 776 -> 624 -> 472 -> 320, of 450; but 40 and 8 channels cost 448.
    removed = Selection(cost, scores(first=torch.zeros(40)), 8, 8, cost_exponent=1).select(4096 * 450)
    assert removed == {"1": list(range(8))}


def test_of_several_exchanges_the_one_that_loses_least_is_taken(cost):
    # Near 320 are 28 and 8 channels (316), which lose 12·0.5 + 8·1, and 16 and 16 (320), which lose 24·0.5.
    values = scores(first=torch.full((40,), 0.5), second=torch.ones(16))
    assert Selection(cost, values, 4, 4, cost_exponent=0).select(4096 * 320) == {"0": list(range(24))}


def test_what_uses_98_percent_of_the_budget_will_do_and_what_uses_97_will_not(cost):
    selection = Selection(cost, scores(), 8, 8, cost_exponent=1)  # 40 and 8 channels cost 448
    assert selection.select(4096 * 456) == {"1": list(range(8))}
    with pytest.raises(BudgetError, match=f"to within 2%: the nearest that were found cost {4096 * 448:,} MACs"):
        selection.select(4096 * 460)


def test_steps_too_coarse_for_the_budget_are_refused_with_the_nearest_on_either_side(cost):
    with pytest.raises(BudgetError, match=f"cost {4096 * 624:,} MACs and {4096 * 776:,} MACs; make one"):
        Selection(cost, scores(), 16, 16, cost_exponent=1).select(4096 * 700)


def test_parameters_by_hand():
    network = nn.Sequential(nn.Conv2d(3, 8, 3, bias=False), nn.BatchNorm2d(8), nn.Conv2d(8, 1, 1), nn.BatchNorm2d(1))
    groups = find_groups(network, 32)
    model = CostModel(network, groups, 32, parameters, "parameters", count_parameters(network))
    assert model.total({"0": 8}) == 27 * 8 + 2 * 8 + (8 + 1) + 2
    assert model.total({"0": 5}) == 27 * 5 + 2 * 5 + (5 + 1) + 2


def test_an_unreachable_budget_says_how_near_it_came(cost):
    nearest = 4096 * (3 * 8 + 8 * 8 + 8)
    with pytest.raises(BudgetError, match=f"costs {nearest:,} MACs: raise the budget"):
        Selection(cost, scores(), 8, 8, cost_exponent=1).select(nearest - 1)
    assert Selection(cost, scores(), 8, 8, cost_exponent=1).select(nearest)


def test_a_channel_of_infinite_score_is_never_among_the_first_to_go(cost):
    values = scores(first=torch.full((40,), float("inf")))
    assert list(Selection(cost, values, 1, 1, cost_exponent=1).select(4096 * 735)) == ["1"]
