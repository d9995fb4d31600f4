import pytest
import torch
from torch import nn

from pruning.cost import CostModel
from pruning.criteria import score
from pruning.cutting import select
from pruning.gates import gated, removing
from pruning.grouping import find_groups
from pruning.rounds import refine
from tests.pruning.networks import SIZE, make, noise, prune_section, spec


@pytest.fixture(scope="module")
def network():
    return make("unet")


def in_rounds(network, **settings):
    """(scores of the whole network, scores in rounds, groups, cost model, recipe, budget)."""
    recipe = prune_section(floor=1, **settings)
    groups = find_groups(network, SIZE)
    cost = CostModel(network, groups, SIZE)
    budget = 0.05 * cost.total(cost.full)
    first = score(network, spec(), groups, noise(4), recipe, 0)
    found = refine(network, spec(), groups, noise(4), recipe, 0, first, cost, budget)
    return first, found, groups, cost, recipe, budget


def test_one_round_looks_once(network):
    first, found, *_ = in_rounds(network)
    assert all(torch.equal(found[name], values) for name, values in first.items())


def test_what_a_smaller_cut_takes_keeps_its_score_and_the_rest_is_scored_without_it(network):
    first, found, groups, cost, recipe, budget = in_rounds(network, rounds=2)
    half_way = (budget * cost.total(cost.full)) ** 0.5
    gone = select(network, groups, first, recipe.model_copy(update={"grid": 1}), cost, half_way, tolerance=1)
    with gated(network, removing(network, groups, gone)):
        without = score(network, spec(), groups, noise(4), recipe, 0)
    assert gone
    for name, values in found.items():
        taken = torch.zeros(len(values), dtype=torch.bool)
        taken[gone.get(name, [])] = True
        assert torch.equal(values[taken], first[name][taken])
        assert torch.equal(values[~taken], without[name][~taken])
    assert any(not torch.equal(values, first[name]) for name, values in found.items())


@pytest.mark.parametrize(
    "settings", [{"reduction": "pixel"}, {"criterion": "taylor-weight"}, {"gradient": "random"}], ids=str
)
def test_every_way_of_scoring_goes_in_rounds(network, settings):
    first, found, *_ = in_rounds(network, rounds=3, **settings)
    assert all(torch.isfinite(values).all() for values in found.values())
    assert any(not torch.equal(values, first[name]) for name, values in found.items())


def test_the_network_stays_as_it_was(network):
    frames = torch.rand(1, 3, SIZE, SIZE)
    before = network.eval()(frames)
    in_rounds(network, rounds=3)
    assert torch.equal(network(frames), before)


def twins():
    """Logits tanh(2a + 2b) + c/50 of the channels a = b = c = 1: a or b can go, not both, and c matters little."""
    network = nn.Sequential(nn.Conv2d(3, 3, 1), nn.Conv2d(3, 2, 1), nn.Tanh(), nn.Conv2d(2, 1, 1)).eval()
    with torch.no_grad():
        for layer in (network[0], network[1], network[3]):
            layer.weight.zero_()
            layer.bias.zero_()
        network[0].bias.fill_(1)
        network[1].weight[0, :2] = 2
        network[1].weight[1, 2] = 0.02
        network[3].weight.fill_(1)
    return network


@pytest.mark.parametrize(("rounds", "gone"), [(1, [0, 1]), (3, [0, 2])])
def test_of_channels_that_say_the_same_one_stays(rounds, gone):
    network, recipe = twins(), prune_section(rounds=rounds, grid=1, floor=1)
    groups = find_groups(network, SIZE, protect=("1",))
    cost = CostModel(network, groups, SIZE)
    budget = cost.total({"0": 1})
    first = score(network, spec(), groups, noise(4), recipe, 0)
    scores = refine(network, spec(), groups, noise(4), recipe, 0, first, cost, budget)
    assert select(network, groups, scores, recipe, cost, budget) == {"0": gone}
