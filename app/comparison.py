"""How far two models' masks of one frame agree."""

from __future__ import annotations

from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, Field


class Agreement(BaseModel):
    """Overlap of two models' masks on the frame, at its own size and each model's threshold."""

    dice: Annotated[float, Field(ge=0, le=1, description="1 where both masks are empty")]
    dense_pixels: int
    pruned_pixels: int


def agree(dense: NDArray[np.uint8], pruned: NDArray[np.uint8]) -> Agreement:
    """Dice, 2 |A and B| / (|A| + |B|), of two masks uint8 [H, W]; two empty masks agree fully."""
    shared = int(np.count_nonzero(dense & pruned))
    sizes = int(np.count_nonzero(dense)), int(np.count_nonzero(pruned))
    dice = 2 * shared / sum(sizes) if sum(sizes) else 1.0
    return Agreement(dice=dice, dense_pixels=sizes[0], pruned_pixels=sizes[1])
