"""The probability, pixel by pixel: exact as a NumPy array, in 65536 steps as a PNG."""

from __future__ import annotations

import io

import numpy as np

from app.lesions import Segmentation
from app.render import png

STEPS = 65535


def probability_png(segmentation: Segmentation) -> bytes:
    """A 16-bit grey PNG [H, W] of round(p x 65535)."""
    levels = np.rint(segmentation.probability * STEPS)  # float32 [H, W]
    # Bilinear weights add up to 1 but for rounding, and 65536 would wrap to 0.
    return png.grey(np.clip(levels, 0, STEPS).astype(np.uint16))


def probability_npy(segmentation: Segmentation) -> bytes:
    """A `.npy` file (NumPy's NEP 1), float32 [H, W]."""
    file = io.BytesIO()
    np.save(file, segmentation.probability, allow_pickle=False)
    return file.getvalue()
