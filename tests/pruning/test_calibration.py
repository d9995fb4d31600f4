"""Temperature, threshold and peak on made-up logits whose best answers are known."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from pruning.calibration import (
    Calibration,
    calibrate,
    cap_unsure,
    choose_peak,
    choose_threshold,
    fit_temperature,
    least_peak,
)
from pruning.checkpoint import Checkpoint
from pruning.data import Frames
from pruning.errors import DatasetError
from pruning.training import frame_logits
from tests.pruning.networks import spec


def test_the_temperature_that_was_put_in_comes_out():
    """Truth drawn with sigmoid(logits / 3): three times too sure."""
    generator = torch.Generator().manual_seed(0)
    logits = 6 * torch.randn(4, 64, 64, generator=generator)
    truth = torch.bernoulli(torch.sigmoid(logits / 3), generator=generator).to(torch.uint8)
    assert fit_temperature(logits, truth) == pytest.approx(3, rel=0.05)


def test_the_threshold_moves_only_for_a_gain():
    truth = np.zeros((1, 4, 4), bool)
    truth[0, :2] = True
    sure = np.where(truth, 0.9, 0.1).astype(np.float32)
    assert choose_threshold(sure, truth) == 0.5
    low = np.where(truth, 0.42, 0.1).astype(np.float32)
    assert choose_threshold(low, truth) == 0.4


@pytest.mark.parametrize("threshold", [0.3, 0.35, 0.4, 0.45, 0.5, 0.55, 0.6, 0.65, 0.7])
def test_thresholds_of_3_to_7_tenths_are_tried_in_steps_of_a_twentieth(threshold):
    """Polyp lies a hundredth above it, all else a hundredth below: no other one parts them."""
    truth = np.zeros((1, 4, 4), bool)
    truth[0, :2] = True
    assert choose_threshold(np.where(truth, threshold + 0.01, threshold - 0.01), truth) == threshold


def test_the_peak_has_half_the_log_odds_of_the_least_sure_frame():
    """Odds 16 to 1 in the first frame, so 4 to 1; the second frame's peak is no polyp, the third finds nothing."""
    truth = np.zeros((3, 2, 2), bool)
    truth[:, 0, 0] = True
    probability = np.zeros((3, 2, 2), np.float32)
    probability[0, 0, 0] = 16 / 17
    probability[1, 1, 1] = 0.6
    probability[2, 0, 0] = 0.4
    assert choose_peak(probability, truth) == pytest.approx(0.8)


def test_without_a_frame_that_was_found_every_area_counts():
    assert choose_peak(np.zeros((1, 2, 2), np.float32), np.zeros((1, 2, 2), bool)) == 0.5


@pytest.mark.parametrize(
    ("marks", "peak"),
    [(0.5, 0.5001), (0.25, 0.7001), (0.3, 0.7001), (0.01, 0.9001)],
    ids=["two", "one", "still one", "none"],
)
def test_the_peak_that_so_many_frames_reach(marks, peak):
    highest = np.array([0.5, 0.9, 0.3, 0.7])
    assert least_peak(highest, marks) == pytest.approx(peak)
    assert (highest >= peak).sum() == int(marks * 4)


def test_a_frame_that_is_as_sure_as_four_decimals_does_not_reach_the_peak():
    """Its 0.9 is of 32 bits, as the peak is when they are compared."""
    highest = np.float32([0.9, 0.3])
    assert least_peak(highest, 0) == 0.9001
    assert not (highest >= least_peak(highest, 0)).any()


def test_a_share_that_no_peak_holds_is_not_promised():
    highest = np.float32([0.99995, 0.99996, 0.3, 0.2])
    assert least_peak(highest, 0.5) == 0.3001
    with pytest.raises(DatasetError, match=r"more than 25% of validation's polyp-free squares reach .* 0\.9999"):
        Calibration().raised(highest, 0.25)


def test_a_recipe_raises_the_peak_for_frames_without_a_polyp():
    network = Checkpoint(spec(width=4, depth=3), [], nn.Conv2d(3, 1, 1))
    nn.init.constant_(network.network.weight, 1.0)
    nn.init.zeros_(network.network.bias)
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (8, 3, 64, 64), dtype=torch.uint8, generator=generator)
    masks = torch.zeros(8, 1, 64, 64, dtype=torch.uint8)
    masks[:, :, 20:40, 20:40] = 1
    validation = Frames(images[:4], masks[:4], list("abcd"))
    free = Frames(images[4:], masks[4:] * 0, list("efgh"))
    for image, column in zip(free.images, range(0, 64, 16), strict=True):
        image[:, :, column:] = 0  # of different brightest pixels
    found, raised = calibrate(network, validation), calibrate(network, validation, free, marks=0.25)
    assert replace(raised, peak=found.peak, marks=None) == found
    assert raised.marks == 0.25
    highest = torch.sigmoid(frame_logits(network.network, network.spec, free.images) / found.temperature).amax((1, 2))
    assert (highest >= found.peak).sum() > 1
    assert (highest >= raised.peak).sum() == 1


def test_areas_that_are_nowhere_sure_stay_below_the_threshold():
    probability = np.zeros((3, 7), np.float32)
    probability[1] = [0.6, 0.95, 0.6, 0.2, 0.5, 0.8, 0.1]
    capped = cap_unsure(probability, Calibration(threshold=0.5, peak=0.9))
    assert (capped[1] >= 0.5).tolist() == [True, True, True, False, False, False, False]
    assert capped[1, 3] == np.float32(0.2)


def test_areas_that_touch_at_a_corner_are_one():
    probability = np.float32([[0.95, 0.1], [0.1, 0.6]])
    assert (cap_unsure(probability, Calibration(threshold=0.5, peak=0.9)) >= 0.5).tolist() == [
        [True, False],
        [False, True],
    ]


def test_what_a_manifest_settled_is_read_back():
    manifest = {"threshold": 0.4, "peak": 0.8, "marks": 0.1}
    assert Calibration.of(manifest) == Calibration(threshold=0.4, peak=0.8, marks=0.1)
