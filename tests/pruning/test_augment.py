"""Masks that move with their frames; covered polyps on flat frames: what is hidden, what stays, and what masks say."""

import pytest
import torch

from pruning.augment import augment, augmentation, cover
from pruning.data import Frames


def corners(count):
    """Frames of 64 × 64, 60 and in their polyp 200, with noise: it is at the upper left in one, below in the next."""
    masks = torch.zeros(count, 1, 64, 64, dtype=torch.uint8)
    masks[::2, :, 8:24, 8:24] = 1
    masks[1::2, :, 40:56, 40:56] = 1
    grain = torch.randint(0, 10, (count, 3, 64, 64), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    images = 60 + 140 * masks + grain
    return Frames(images, masks, [str(number) for number in range(count)])


def test_masks_move_with_their_frames():
    torch.manual_seed(0)
    frames = corners(32)
    images, masks = augment(frames, augmentation(64, close_ups=0.3, colour=0.0), covered=0.0)
    assert not torch.equal(masks, frames.masks.float())
    assert set(masks.unique().tolist()) == {0, 1}
    bright = images.mean(1, keepdim=True) > 130
    assert (bright == masks.bool()).float().mean() > 0.98
    assert 190 < images[masks.bool().expand_as(images)].median() < 210, "byte values"


def test_a_share_of_the_polyps_is_covered_and_as_many_frames_are_patched_elsewhere():
    torch.manual_seed(0)
    frames = corners(400)
    images, masks = augment(frames, lambda *pair: pair, covered=0.2)
    covered = masks.sum((1, 2, 3)) == 0
    elsewhere = ((images - frames.images).abs() > 1).any(1).any(1).any(1) & ~covered
    assert 60 < covered.sum() < 100
    assert 60 < elsewhere.sum() < 100
    assert torch.equal(masks[elsewhere], frames.masks[elsewhere].float())


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
