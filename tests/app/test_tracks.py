"""Overlap, matching and ids, with values worked out by hand."""

from __future__ import annotations

import numpy as np

from app.stream.tracks import PATIENCE, Tracks, iou, match


def test_iou() -> None:
    """4 x 4 and a 4 x 4 two to the right share 8 of 24; a 2 x 2 inside shares 4 of 16; one beside it, nothing."""
    found = iou([(0, 0, 4, 4)], [(2, 0, 4, 4), (1, 1, 2, 2), (4, 0, 4, 4), (0, 0, 4, 4)])
    np.testing.assert_allclose(found, [[8 / 24, 4 / 16, 0, 1]])
    assert iou([], [(0, 0, 1, 1)]).shape == (0, 1)
    assert iou([(0, 0, 1, 1)], []).shape == (1, 0)


def test_match_takes_the_greatest_overlap_first() -> None:
    """The sum would be greater the other way, .6 + .6 against .8: it would part the sure pair."""
    assert match(np.array([[0.8, 0.6], [0.6, 0.0]])) == {0: 0}
    assert match(np.array([[0.4, 0.9], [0.5, 0.8]])) == {0: 1, 1: 0}
    assert match(np.array([[0.29]])) == {}


def test_ids_outlive_a_flicker_and_no_more() -> None:
    tracks = Tracks()
    assert tracks.follow([(0, 0, 9, 9), (50, 50, 9, 9)]) == [0, 1]
    for _ in range(PATIENCE):
        assert tracks.follow([(51, 50, 9, 9)]) == [1]
    assert tracks.follow([(51, 50, 9, 9), (0, 0, 9, 9)]) == [1, 0]
    for _ in range(PATIENCE + 1):
        assert tracks.follow([]) == []
    assert tracks.follow([(51, 50, 9, 9)]) == [2]
    tracks.forget()
    assert tracks.follow([(51, 50, 9, 9)]) == [3]
