"""Maps for figures as papers print them. PySODMetrics itself is not installed here."""

from __future__ import annotations

import cv2
import numpy as np

from pruning import checkpoint, export
from pruning.data import read_pairs
from pruning.sessions import open_session
from tests.bench.pranet import stretched, write_maps
from tests.pruning.dataset import write_dataset
from tests.pruning.networks import spec


def test_a_map_is_stretched_from_0_to_255() -> None:
    found = stretched(np.array([[0.25, 0.5, 0.75]], np.float32))
    assert found.dtype == np.uint8
    assert found.tolist() == [[0, 127, 255]]


def test_an_empty_map_stays_black() -> None:
    assert not stretched(np.zeros((2, 2), np.float32)).any()


def test_maps_and_truth_have_the_frames_own_size(tmp_path) -> None:
    write_dataset(tmp_path / "data", 2)
    export.export(checkpoint.create(spec(width=4, depth=3)), tmp_path / "model.onnx")
    pairs = read_pairs(tmp_path / "data")
    write_maps(open_session(tmp_path / "model.onnx"), pairs, tmp_path / "out")
    for pair in pairs:
        _, mask = pair.read()
        found, truth = (cv2.imread(str(tmp_path / f"out/{kind}/{pair.stem}.png"), 0) for kind in ("maps", "truth"))
        assert found.shape == mask.shape
        np.testing.assert_array_equal(truth == 255, mask == 1)
