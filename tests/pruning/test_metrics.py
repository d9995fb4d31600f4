import numpy as np
import pytest

from pruning.metrics import bootstrap, dice, iou

A = np.array([[1, 1, 0, 0]], bool)
B = np.array([[0, 1, 1, 0]], bool)
NOTHING = np.zeros((1, 4), bool)


def test_overlap_by_hand():
    assert dice(A, B) == 0.5  # 2·1 / (2 + 2)
    assert iou(A, B) == pytest.approx(1 / 3)


def test_empty_masks():
    assert dice(NOTHING, NOTHING) == iou(NOTHING, NOTHING) == 1
    assert dice(A, NOTHING) == iou(NOTHING, A) == 0


def test_the_interval_covers_the_mean_and_shrinks_with_more_frames():
    random = np.random.default_rng(0)
    few, many = bootstrap(random.random(20)), bootstrap(random.random(2000))
    assert few.low < few.mean < few.high
    assert many.high - many.low < few.high - few.low
    assert many.low < 0.5 < many.high


def test_one_value_has_no_spread():
    assert bootstrap(np.array([0.7])) == bootstrap(np.array([0.7, 0.7]))
