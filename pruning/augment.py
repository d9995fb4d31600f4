"""Augmentation of a batch: geometry on frame and mask alike, colour on the frame alone."""

from __future__ import annotations

import kornia.augmentation as K
import torch
from torch import Tensor
from torch.nn import functional as F

from pruning.data import Frames

CELL = 8  # pixels; areas are covered in cells of this size


def augmentation(size: int, close_ups: float, colour: float) -> K.AugmentationSequential:
    """Close-ups, flips, rotation by any angle (an endoscope has no upright), zoom, shear, colour, blur and noise.

    A close-up often shows no polyp: data sets of polyps hold no other examples of mucosa alone.

    Args:
        size: height and width of the frames.
        close_ups: share of frames that are cropped to a tenth to six tenths of their area.
        colour: largest relative change of brightness, contrast and saturation; hue turns by an eighth of it.
    """
    return K.AugmentationSequential(
        K.RandomResizedCrop((size, size), scale=(0.1, 0.6), cropping_mode="resample", p=close_ups),
        K.RandomHorizontalFlip(p=0.5),
        K.RandomVerticalFlip(p=0.5),
        K.RandomAffine(degrees=180, translate=(0.1, 0.1), scale=(0.7, 1.5), shear=(-10, 10), p=0.8),
        K.ColorJiggle(colour, colour, colour, colour / 8, p=0.7),
        K.RandomGaussianBlur(kernel_size=(5, 5), sigma=(0.3, 1.5), p=0.15),
        K.RandomGaussianNoise(std=0.03, p=0.15),
        data_keys=["input", "mask"],
    )


def augment(frames: Frames, transform: K.AugmentationSequential, covered: float) -> tuple[Tensor, Tensor]:
    """Return frames as float32 [N, 3, S, S] of byte values 0 to 255, and masks as float32 [N, 1, S, S].

    Args:
        covered: share of frames whose polyp is covered, see `cover`; as many get a patch elsewhere.
    """
    images, masks = transform(frames.images.float() / 255, frames.masks.float())
    images, masks = images.clamp(0, 1) * 255, (masks > 0.5).to(torch.float32)
    if not covered:
        return images, masks
    draw = torch.rand(len(masks))
    areas = torch.where((draw < covered)[:, None, None, None], masks, masks.roll(1, 0))
    return cover(images, masks, areas * (draw < 2 * covered)[:, None, None, None])


def cover(images: Tensor, masks: Tensor, areas: Tensor) -> tuple[Tensor, Tensor]:
    """Cover areas of frames with what other frames of the batch show there, masks alike.

    CutMix (Yun et al., ICCV 2019) in the shape of polyps: where the area is a frame's own polyp, mucosa without one
    is left, in a whole view of the bowel. The frame that covers is the one with the least polyp there, its colour
    shifted to that around the area. Patches in other places keep the seam from telling where no polyp is.

    Args:
        images: float32 [N, 3, S, S]. masks, areas: float32 [N, 1, S, S] of 0 and 1; an empty area changes nothing.
    """
    tight = F.max_pool2d(areas, CELL)  # [N, 1, S / CELL, S / CELL]
    wide = F.max_pool2d(tight, 3, stride=1, padding=1)
    shared = torch.einsum("nchw,mchw->nm", wide, F.max_pool2d(masks, CELL))
    donors = shared.fill_diagonal_(torch.inf).argmin(1)
    small = F.avg_pool2d(images, CELL)
    ring = wide - tight
    shift = (ring * (small - small[donors])).sum((2, 3), keepdim=True) / ring.sum((2, 3), keepdim=True).clamp_min(1)
    weight = F.interpolate(wide, scale_factor=CELL, mode="bilinear")  # its soft edge is one cell wide
    covered = torch.lerp(images, (images[donors] + shift).clamp(0, 255), weight)
    return covered, torch.where(weight > 0.5, masks[donors], masks)
