from math import inf

import torch
from torch import nn

from pruning.checkpoint import Checkpoint
from pruning.cost import count_macs
from pruning.criteria import score
from pruning.cutting import cut
from pruning.grouping import find_groups
from pruning.signs import keep_both_signs
from tests.pruning.networks import SIZE, Residual, noise, prune_section, spec


def headed(*weights: float) -> nn.Sequential:
    """A convolution of as many channels as weights, behind a ReLU; the weights are its head's."""
    network = nn.Sequential(nn.Conv2d(3, len(weights), 1), nn.ReLU(), nn.Conv2d(len(weights), 1, 1))
    with torch.no_grad():
        network[2].weight.copy_(torch.tensor(weights).reshape(1, -1, 1, 1))
    return network.eval()


def test_the_best_channel_of_each_sign_stays():
    network = headed(0.1, 0.2, -0.3, -0.4, 0.0)
    scores = {"0": torch.tensor([2.0, 1.0, 5.0, 7.0, 9.0]).double()}
    raised = keep_both_signs(network, find_groups(network, SIZE), scores)
    assert raised["0"].tolist() == [inf, 1.0, 5.0, inf, 9.0]
    assert scores["0"].tolist() == [2.0, 1.0, 5.0, 7.0, 9.0]


def test_a_head_of_one_sign_keeps_one():
    network = headed(-0.1, -0.2)
    raised = keep_both_signs(network, find_groups(network, SIZE), {"0": torch.tensor([2.0, 1.0]).double()})
    assert raised["0"].tolist() == [inf, 1.0]


def test_a_layer_with_several_outputs_keeps_nothing_by_its_signs():
    network = nn.Sequential(nn.Conv2d(3, 4, 1), nn.Conv2d(4, 2, 1), nn.Conv2d(2, 1, 1))
    groups = find_groups(network, SIZE)
    scores = {group.name: torch.arange(float(group.width)).double() for group in groups}
    assert keep_both_signs(network, groups, scores)["0"].tolist() == [0.0, 1.0, 2.0, 3.0]


def test_all_members_of_a_group_share_what_stays():
    network = Residual().eval()
    with torch.no_grad():
        network.head.weight.copy_(torch.tensor([1.0, 1.0, -1.0, -1.0]).reshape(1, 4, 1, 1))
    (group,) = find_groups(network, SIZE)
    raised = keep_both_signs(network, [group], {group.name: torch.tensor([1.0, 2.0, 4.0, 3.0]).double()})
    assert raised[group.name].tolist() == [1.0, inf, inf, 3.0]


def test_a_cut_leaves_a_network_that_can_mark_something():
    """Six alike channels for a polyp, each worth little by itself, and six against it that are worth more."""
    network = headed(*[0.1] * 6, *[-1.0] * 6)
    with torch.no_grad():
        network[0].weight[:6] = network[0].weight[:1]
        network[0].bias.fill_(0.5)
    groups, recipe = find_groups(network, SIZE), prune_section(grid=6, floor=6, recalibrate=0)
    scores = score(network, spec(), groups, noise(4), recipe, 0)
    assert scores["0"][:6].max() < scores["0"][6:].min()
    small = Checkpoint(spec(), [], network)
    cut(small, groups, scores, recipe, count_macs(network, SIZE) // 2)
    weights = small.network[2].weight.flatten()
    assert len(weights) == 6
    assert weights.max() > 0 > weights.min()
