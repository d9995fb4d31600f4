import pytest
import torch

from pruning.grouping import find_groups
from pruning.recovery import recalibrate
from pruning.removal import remove
from pruning.sensitivity import SHARES, fragile, lowest, measure
from pruning.signs import keep_both_signs
from pruning.training import frame_dice
from tests.pruning.networks import SIZE, make, noise, spec

SPEC = spec(width=8)


def one_for_a_polyp():
    """A U-Net in whose head the first of eight channels, that of the lowest score, is all that speaks for a polyp."""
    network = make("unet")
    recalibrate(network, SPEC, noise(3))
    with torch.no_grad():
        network.head.weight.fill_(-0.2)[:, 0] = 1.0
        network.head.bias.fill_(-0.05)
    return network


@pytest.fixture(scope="module")
def found():
    """A network, its groups, scores that rise with the channel, and its measured sensitivity."""
    network, frames = one_for_a_polyp(), noise(3)
    groups = find_groups(network, SIZE)
    scores = {group.name: torch.arange(group.width).double() for group in groups}
    ticks = []
    result = measure(network, SPEC, groups, scores, frames, 0.5, lambda: ticks.append(1))
    assert len(ticks) == len(groups)
    return groups, scores, frames, result


def test_every_group_is_measured_at_every_share(found):
    groups, _, frames, result = found
    assert result["dice"] == frame_dice(one_for_a_polyp(), SPEC, frames, 0.5).mean()
    assert list(result["groups"]) == [group.name for group in groups]
    assert all(len(group["dice"]) == len(SHARES) for group in result["groups"].values())


def test_masking_measures_what_a_cut_would_remove(found):
    groups, scores, frames, result = found
    kept = keep_both_signs(one_for_a_polyp(), groups, scores)
    assert lowest(kept, groups[0], 0.75) == [1, 2, 3, 4, 5, 6]
    for group in (groups[0], groups[-1]):
        pruned = one_for_a_polyp()
        remove(pruned, SIZE, {group.name: lowest(kept, group, 0.75)})
        assert result["groups"][group.name]["dice"][2] == pytest.approx(
            frame_dice(pruned, SPEC, frames, 0.5).mean(), abs=1e-3
        )


def test_the_lowest_scores_go_and_one_channel_stays(found):
    group, scores = found[0][0], found[1]
    assert lowest(scores, group, 0.25) == [0, 1]
    assert lowest(scores, group, 1.0) == list(range(7))


def test_what_loses_much_with_half_of_its_channels_is_suggested_the_worst_first():
    groups = {"a": {"dice": [0.9, 0.85]}, "b": {"dice": [0.9, 0.89]}, "c": {"dice": [0.5, 0.1]}}
    assert fragile({"shares": [0.25, 0.5], "dice": 0.9, "groups": groups}) == ["c", "a"]
