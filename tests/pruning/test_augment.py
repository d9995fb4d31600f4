"""Covered polyps on two flat frames: what is hidden, what stays, and what the masks say."""

import pytest
import torch

from pruning.augment import cover


@pytest.fixture
def batch():
    """A dark frame with a square polyp in its middle, and a lighter one with a polyp at the upper left corner."""
    images = torch.full((2, 3, 64, 64), 60.0)
    images[1] = 120
    masks = torch.zeros(2, 1, 64, 64)
    masks[0, :, 24:40, 24:40] = 1
    masks[1, :, :8, :8] = 1
    images[0, 0, 24:40, 24:40] = 200
    return images, masks


def test_a_covered_polyp_is_gone_from_frame_and_mask(batch):
    images, masks = batch
    areas = masks * torch.tensor([1.0, 0.0]).view(2, 1, 1, 1)
    covered, left = cover(images, masks, areas)
    assert left[0].sum() == 0
    assert covered[0].sub(60).abs().max() < 1e-3, "the frame that covers takes the colour around the polyp"
    assert torch.equal(covered[1], images[1])
    assert torch.equal(left[1], masks[1])


def test_a_polyp_of_the_frame_that_covers_is_in_the_mask(batch):
    images, masks = batch
    areas = torch.zeros_like(masks)
    areas[0, :, :16, :16] = 1
    _, left = cover(images, masks, areas)
    assert torch.equal(left[0, 0, :8, :8], torch.ones(8, 8))
    assert torch.equal(left[0, 0, 24:40, 24:40], torch.ones(16, 16))
    assert left[0].sum() == 64 + 256
