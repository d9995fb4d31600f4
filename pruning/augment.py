"""Augmentation of a batch: geometry on frame and mask alike, colour on the frame alone."""

from __future__ import annotations

import kornia.augmentation as K
import torch
from torch import Tensor

from pruning.data import Frames


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


def augment(frames: Frames, transform: K.AugmentationSequential) -> tuple[Tensor, Tensor]:
    """Return frames as float32 [N, 3, S, S] of byte values 0 to 255, and masks as float32 [N, 1, S, S]."""
    images, masks = transform(frames.images.float() / 255, frames.masks.float())
    return images.clamp(0, 1) * 255, (masks > 0.5).to(torch.float32)
