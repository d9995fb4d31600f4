"""A synthetic frame: what a published model must answer in a known way, made without anybody's data."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt


def synthetic_frame(size: int, seed: int = 0) -> npt.NDArray[np.uint8]:
    """A lumen, folds and one bright, polyp-like bump: uint8 [size, size, 3] RGB."""
    random = np.random.default_rng(seed)
    rows, columns = np.mgrid[0:size, 0:size].astype(np.float32) / size
    centre = random.uniform(0.35, 0.65, 2)
    depth = np.hypot(rows - centre[0], columns - centre[1])
    wall = 0.35 + 0.6 * np.clip(depth * 1.8, 0, 1) + 0.05 * np.sin(40 * depth)
    bump_at = centre + random.uniform(0.15, 0.25, 2) * random.choice([-1, 1], 2)
    bump = np.exp(-((rows - bump_at[0]) ** 2 + (columns - bump_at[1]) ** 2) / 0.012)
    red = wall + 0.35 * bump
    frame = np.stack([red, 0.5 * wall + 0.25 * bump, 0.4 * wall + 0.2 * bump], axis=-1)
    frame += random.normal(0, 0.02, frame.shape)
    return np.asarray(cv2.GaussianBlur((np.clip(frame, 0, 1) * 255).astype(np.uint8), (3, 3), 0), dtype=np.uint8)
