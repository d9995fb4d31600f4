"""COCO's run-length encoding, against COCO's own code."""

from __future__ import annotations

import numpy as np
import pytest
from pycocotools import mask as coco

from app import rle

RANDOM = np.random.default_rng(5)
SPECKLE = (RANDOM.random((61, 47)) < 0.5).astype(np.uint8) * 255
DISC = ((np.indices((300, 400)) - 180) ** 2).sum(axis=0) < 90**2


@pytest.mark.parametrize(
    "mask",
    [
        np.zeros((5, 7)),
        np.ones((5, 7)),
        np.eye(9),
        np.ones((1, 1)),
        np.zeros((1, 1)),
        np.pad(np.ones((3, 2000)), 40),
        DISC,
        SPECKLE,
    ],
    ids=["empty", "full", "diagonal", "one", "none", "long", "disc", "speckle"],
)
def test_equals_pycocotools(mask: np.ndarray) -> None:
    mask = (mask != 0).astype(np.uint8) * 255
    assert rle.encode(mask) == coco.encode(np.asfortranarray(mask // 255))["counts"].decode()


def test_runs_go_down_the_columns() -> None:
    assert rle.run_lengths(np.array([[0, 255], [255, 255]], np.uint8)).tolist() == [1, 3]
    assert rle.run_lengths(np.array([[255, 0], [0, 0]], np.uint8)).tolist() == [0, 1, 3]
