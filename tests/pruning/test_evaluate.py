"""Scores of a graph on frames."""

from types import SimpleNamespace

import numpy as np
import pytest

from pruning import evaluate
from pruning.calibration import Calibration
from pruning.config import Data
from tests.pruning.dataset import write_dataset


def test_dice_and_iou_are_not_mixed_up_and_a_frame_without_a_mark_is_no_false_positive(monkeypatch):
    truth = np.array([[True, True], [False, False]])
    marks = {"pair": np.array([[True, False], [False, False]]), "none": truth & False, "half": truth}
    monkeypatch.setattr(evaluate, "predict", lambda _session, frame, _calibration: marks[frame])
    pair = SimpleNamespace(stem="a", read=lambda: ("pair", truth.astype(np.uint8)))
    scores = evaluate.score_frames(None, [pair], Calibration())
    assert (scores.dice[0], scores.iou[0]) == (pytest.approx(2 / 3), pytest.approx(1 / 2))
    found = evaluate.false_positives(None, "free", iter(["none", "none", "none", "half"]), Calibration())
    assert (found.frames, found.frame_rate, found.pixel_rate) == (4, 0.25, 0.125)


def test_areas_that_are_nowhere_sure_are_not_marked_and_the_threshold_is_the_calibrated_one(monkeypatch):
    probability = np.full((64, 64), 0.1, np.float32)
    probability[:20] = 0.8  # sure somewhere
    probability[0, 0] = 0.95
    probability[30:40] = 0.65  # above a half, and below the threshold
    probability[50:] = 0.8  # nowhere sure
    monkeypatch.setattr(evaluate, "input_size", lambda _session: 64)
    monkeypatch.setattr(evaluate, "run", lambda _session, _frames: probability[None])
    mask = evaluate.predict(None, np.full((64, 64, 3), 200, np.uint8), Calibration(threshold=0.7, peak=0.9))
    assert mask[:20].all()
    assert not mask[20:].any()


def test_an_unseen_part_is_measured_on_its_own_frames(tmp_path, monkeypatch):
    for name, count in (("here", 6), ("there", 9)):
        write_dataset(tmp_path / name, count)
    data = Data(root="here", train="here/train.txt", test="here/test.txt", unseen=["there"])
    monkeypatch.setattr(evaluate, "predict", lambda _session, frame, _calibration: frame[..., 0] > 200)
    figures, test = evaluate.measure(None, data, tmp_path, Calibration())
    assert test.stems == list(figures["frames"]) == ["f2", "f3", "f4", "f5"]
    (unseen,) = figures["unseen"]
    assert (unseen["dataset"], unseen["split"], unseen["frames"]) == ("there", "all", 9)
    assert len(figures["unseen_frames"][0]) == 9
