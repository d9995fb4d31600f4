import cv2
import numpy as np
import pytest

from pruning.calibration import Calibration
from pruning.crops import mucosa, polyp_free
from pruning.data import read_pairs
from pruning.evaluate import FalsePositives, false_positives
from tests.pruning.dataset import write_pair

FRAME = np.arange(12 * 20 * 3, dtype=np.uint8).reshape(12, 20, 3)


def largest(mask):
    """The side of the largest empty square, by trying all of odd side."""
    height, width = mask.shape
    return max(
        side
        for side in range(1, height + 1, 2)
        for top in range(height - side + 1)
        for left in range(width - side + 1)
        if not mask[top : top + side, left : left + side].any()
    )


@pytest.mark.parametrize("seed", range(8))
def test_the_crop_is_the_largest_square_without_a_polyp(seed):
    random = np.random.default_rng(seed)
    mask = np.zeros((12, 20), np.uint8)
    top, left = random.integers(0, 8), random.integers(0, 14)
    mask[top : top + 4, left : left + 6] = 1
    crop = polyp_free(FRAME, mask)
    assert crop.shape == (largest(mask), largest(mask), 3)
    places = [
        (top, left)
        for top in range(13 - len(crop))
        for left in range(21 - len(crop))
        if np.array_equal(FRAME[top : top + len(crop), left : left + len(crop)], crop)
    ]
    assert any(not mask[top : top + len(crop), left : left + len(crop)].any() for top, left in places)


def test_a_frame_that_is_nearly_all_polyp_has_no_crop():
    mask = np.ones((12, 20), np.uint8)
    mask[:3, :3] = 0
    assert polyp_free(FRAME, mask) is None


@pytest.mark.filterwarnings("error")
def test_where_no_frame_has_a_crop_nothing_is_marked():
    assert false_positives(None, "crops", iter(()), Calibration()) == FalsePositives("crops", 0, 0.0, 0.0)


def test_squares_become_frames_to_learn_from(tmp_path):
    """Of a frame all of whose ground is dark: what is left of it without the bright ellipse."""
    for index in range(3):
        write_pair(tmp_path, f"f{index}", size=(120, 160), seed=index)
    squares = mucosa(read_pairs(tmp_path), 32)
    assert squares.images.shape == (len(squares), 3, 32, 32)
    assert len(squares) > 0
    assert not squares.masks.any()
    assert squares.masks.shape == (len(squares), 1, 32, 32)
    assert squares.images[:, 0].max() < 180, "the ellipse's red is 230"


def test_frames_without_a_square_add_nothing(tmp_path):
    write_pair(tmp_path, "f0")
    mask = tmp_path / "masks" / "f0.png"
    cv2.imwrite(str(mask), np.full_like(cv2.imread(str(mask), cv2.IMREAD_GRAYSCALE), 255))
    squares = mucosa(read_pairs(tmp_path), 32)
    assert len(squares) == 0
    assert squares.images.shape == (0, 3, 32, 32)
